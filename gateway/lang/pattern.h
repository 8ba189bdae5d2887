/* Regular expressions on PCRE2 (10.42) with match, depth and heap limits: no pattern can run long. */
#ifndef LANG_PATTERN_H
#define LANG_PATTERN_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

struct pattern;

/* UTF-8, unanchored as in PCRE unless `whole`, which anchors both ends. Fault: SYNTAX with the column. */
const struct pattern *pattern_compile(struct arena *arena, struct text source, bool whole, struct fault *fault);
enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_TOO_HARD };

/* Steps of a match: one for each item of the pattern that is tried anywhere, and one for each 16 bytes that it moved
 * over the subject. They are counted by us over the whole match, since PCRE2's own limit begins anew at each position
 * of the subject. 200,000 steps take about 10 ms. */
#define PATTERN_STEPS_MAX 200000

enum pattern_result pattern_match(const struct pattern *pattern, struct text subject); /* any thread */
/* The same for callers that match many times over: takes the steps off *steps, and is too hard where they are spent. */
enum pattern_result pattern_match_within(const struct pattern *pattern, struct text subject, size_t *steps);

/* The same from byte `from` on, with what the pattern and its first groups match; at == NULL: a group that took no
 * part. */
#define PATTERN_GROUPS 10
enum pattern_result pattern_find(const struct pattern *pattern, struct text subject, size_t from, size_t *steps,
                                 struct text groups[PATTERN_GROUPS]);

#endif
