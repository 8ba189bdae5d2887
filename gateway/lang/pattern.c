/* Patterns on PCRE2, for parameters and for JSONPath's match() and search().
 *
 * Patterns come from definitions and subjects from strangers, so what can run away is limited here once: the steps of
 * a match, its depth, its heap. Where a limit is met the answer is "too hard" and the caller decides; it never means
 * no. No JIT: its compiled code would have to be checked against other limits, and our subjects are short. */
#include "lang/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>

#define SOURCE_MAX 4096
#define STEPS_MAX 200000
#define STEPS_QUICK 2000
#define DEPTH_MAX 2000
#define HEAP_MAX_KIB 4096

struct pattern {
    pcre2_code *code;
    pcre2_match_context *limits, *quick;
};

static void end_code(void *code) {
    pcre2_code_free(code);
}

static void end_limits(void *limits) {
    pcre2_match_context_free(limits);
}

static bool mistake(int number, size_t offset, struct fault *fault) {
    PCRE2_UCHAR what[256];
    pcre2_get_error_message(number, what, sizeof what);
    return fault_set(fault, FAULT_SYNTAX, NULL, "the pattern has a mistake at column %zu: %s", offset + 1,
                     (const char *)what);
}

static pcre2_match_context *make_limits(struct arena *arena, uint32_t steps) {
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (!limits) abort();
    arena_defer(arena, end_limits, limits);
    pcre2_set_match_limit(limits, steps);
    pcre2_set_depth_limit(limits, DEPTH_MAX);
    pcre2_set_heap_limit(limits, HEAP_MAX_KIB);
    return limits;
}

const struct pattern *pattern_compile(struct arena *arena, struct text source, bool whole, struct fault *fault) {
    if (source.len > SOURCE_MAX) {
        fault_set(fault, FAULT_TOO_LARGE, NULL, "the pattern has more than %d bytes", SOURCE_MAX);
        return NULL;
    }
    int number = 0;
    size_t offset = 0;
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | (whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(source.at ? source.at : ""), source.len, options, &number, &offset,
                                     NULL);
    if (!code) {
        mistake(number, offset, fault);
        return NULL;
    }
    arena_defer(arena, end_code, code);
    struct pattern *pattern = arena_new_of(arena, struct pattern);
    *pattern = (struct pattern){code, make_limits(arena, STEPS_MAX), make_limits(arena, STEPS_QUICK)};
    return pattern;
}

static enum pattern_result result_of(int found) {
    switch (found) {
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_NOMEMORY:
    case PCRE2_ERROR_RECURSELOOP: return PATTERN_TOO_HARD;
    default: return found >= 0 ? PATTERN_YES : PATTERN_NO; /* 0: more groups than room, a match all the same */
    }
}

static enum pattern_result match(const struct pattern *pattern, struct text subject, pcre2_match_context *limits) {
    pcre2_match_data *data = pcre2_match_data_create(1, NULL); /* threads may share a pattern, so not kept in it */
    if (!data) abort();
    int found = pcre2_match(pattern->code, (PCRE2_SPTR)(subject.at ? subject.at : ""), subject.len, 0, 0, data, limits);
    pcre2_match_data_free(data);
    return result_of(found);
}

/* \K in a look-ahead may put the start behind the end; such a match counts as empty. */
enum pattern_result pattern_find(const struct pattern *pattern, struct text subject, size_t from, bool quick,
                                 struct text groups[PATTERN_GROUPS]) {
    pcre2_match_data *data = pcre2_match_data_create(PATTERN_GROUPS, NULL);
    if (!data) abort();
    const char *at = subject.at ? subject.at : "";
    int found = pcre2_match(pattern->code, (PCRE2_SPTR)at, subject.len, from, 0, data,
                            quick ? pattern->quick : pattern->limits);
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(data);
    for (int i = 0; i < PATTERN_GROUPS; i++) {
        bool in = found >= 0 && (found == 0 || i < found) && bounds[2 * i] != PCRE2_UNSET;
        size_t start = in ? bounds[2 * i] : 0, end = in && bounds[2 * i + 1] > start ? bounds[2 * i + 1] : start;
        groups[i] = in ? (struct text){at + start, end - start} : (struct text){NULL, 0};
    }
    pcre2_match_data_free(data);
    return result_of(found);
}

enum pattern_result pattern_match(const struct pattern *pattern, struct text subject) {
    return match(pattern, subject, pattern->limits);
}

enum pattern_result pattern_match_quick(const struct pattern *pattern, struct text subject) {
    return match(pattern, subject, pattern->quick);
}
