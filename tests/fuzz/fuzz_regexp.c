/* The first line is a pattern, the rest a subject. What a dialect takes compiles or is too large, and what the strict
 * dialect takes means the same in the plain one; a match takes no more steps than it has. */
#include <stdint.h>
#include <stdlib.h>

#include "lang/pattern.h"
#include "lang/regexp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 20000 };

static enum pattern_result result_of(struct arena *arena, struct text source, enum regexp_dialect dialect,
                                     struct text subject) {
    struct buf out;
    struct fault fault = {0};
    size_t steps = STEPS;
    enum pattern_result result = PATTERN_TOO_HARD;
    buf_init(&out, 1 << 17);
    if (regexp_rewrite(&out, source, dialect, &fault)) {
        if (out.full) abort();
        const struct pattern *pattern = pattern_compile(arena, buf_text(&out), false, &fault);
        if (pattern) result = pattern_match_within(pattern, subject, &steps);
        if (steps > STEPS) abort();
    } else if (fault.kind == FAULT_NONE) abort();
    buf_fini(&out);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new();
    struct text subject = {(const char *)data, size}, source = {0};
    text_cut(&subject, '\n', &source);
    enum pattern_result strict = result_of(arena, source, REGEXP_INTEROPERABLE, subject);
    enum pattern_result plain = result_of(arena, source, REGEXP_PLAIN, subject);
    if (strict != PATTERN_TOO_HARD && plain != PATTERN_TOO_HARD && strict != plain) abort();
    arena_free(arena);
    return 0;
}
