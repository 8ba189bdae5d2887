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
enum pattern_result pattern_match(const struct pattern *pattern, struct text subject); /* any thread */
/* The same with a limit of 2,000 steps in place of 200,000, for callers that match many times over. */
enum pattern_result pattern_match_quick(const struct pattern *pattern, struct text subject);

/* The same from byte `from` on, with what the pattern and its first groups match; at == NULL: a group that took no
 * part. `quick` as above. */
#define PATTERN_GROUPS 10
enum pattern_result pattern_find(const struct pattern *pattern, struct text subject, size_t from, bool quick,
                                 struct text groups[PATTERN_GROUPS]);

#endif
