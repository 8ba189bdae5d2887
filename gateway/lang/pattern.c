/* Patterns on PCRE2, for parameters and for JSONPath's match() and search().
 *
 * Patterns come from definitions and subjects from strangers, so what can run away is limited here once: the steps of
 * a match, its depth, its heap. Where a limit is met the answer is "too hard" and the caller decides; it never means
 * no. No JIT: its compiled code would have to be checked against other limits, and our subjects are short.
 *
 * PCRE2's match limit is no bound for a search: it counts the backtracking from one start alone, and neither the starts
 * nor the bytes that `[a-z]*` runs over. So patterns are compiled with a callout in front of every item, and the
 * callout counts. */
#include "lang/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

#define SOURCE_MAX 16384
#define STEP_BYTES 16
#define DEPTH_MAX 2000
#define HEAP_MAX_KIB 4096

struct pattern {
    pcre2_code *code;
    pcre2_match_context *limits;
    size_t run; /* bytes that one item may run over without the callout hearing of it */
};

struct count {
    size_t left, at, run;
};

static void end_code(void *code) {
    pcre2_code_free(code);
}

static void end_limits(void *limits) {
    pcre2_match_context_free(limits);
}

static int count_step(pcre2_callout_block *here, void *data) {
    struct count *count = data;
    size_t at = here->current_position, moved = at > count->at ? at - count->at : count->at - at;
    size_t steps = 1 + (moved + count->run) / STEP_BYTES;
    count->at = at;
    if (steps > count->left) {
        count->left = 0;
        return PCRE2_ERROR_MATCHLIMIT;
    }
    count->left -= steps;
    return 0;
}

/* An item that fails has moved nowhere, but may have run: one with a count up to that count, a reference over all. */
static size_t find_run(struct text source) {
    size_t run = 0;
    for (size_t i = 0; i + 1 < source.len; i++) {
        char c = source.at[i], next = source.at[i + 1];
        if ((c == '\\' && next && strchr("123456789gk", next)) ||
            (c == '(' && next == '?' && source.len - i > 2 && strchr("PR&+-0123456789", source.at[i + 2])))
            return SIZE_MAX;
        if (c == '\\') i++;
        if (c != '{') continue;
        for (size_t count = 0;
             ++i < source.len && ((source.at[i] >= '0' && source.at[i] <= '9') || source.at[i] == ',');) {
            count = source.at[i] == ',' ? 0 : count * 10 + (size_t)(source.at[i] - '0');
            if (count > run) run = count;
        }
        i--;
    }
    return run;
}

static bool mistake(int number, size_t offset, struct fault *fault) {
    PCRE2_UCHAR what[256];
    pcre2_get_error_message(number, what, sizeof what);
    return fault_set(fault, FAULT_SYNTAX, NULL, "the pattern has a mistake at column %zu: %s", offset + 1,
                     (const char *)what);
}

static pcre2_match_context *make_limits(struct arena *arena) {
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (!limits) abort();
    arena_defer(arena, end_limits, limits);
    pcre2_set_match_limit(limits, PATTERN_STEPS_MAX);
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
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT |
                       (whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(source.at ? source.at : ""), source.len, options, &number, &offset,
                                     NULL);
    if (!code) {
        mistake(number, offset, fault);
        return NULL;
    }
    arena_defer(arena, end_code, code);
    struct pattern *pattern = arena_new_of(arena, struct pattern);
    *pattern = (struct pattern){code, make_limits(arena), find_run(source)};
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

/* Threads may share a pattern, so what a match writes to is its own. */
static int match(const struct pattern *pattern, struct text subject, size_t from, struct count *count,
                 pcre2_match_data *data) {
    pcre2_match_context *limits = pcre2_match_context_copy(pattern->limits);
    if (!data || !limits) abort();
    pcre2_set_callout(limits, count_step, count);
    const char *at = subject.at ? subject.at : "";
    int found = pcre2_match(pattern->code, (PCRE2_SPTR)at, subject.len, from, 0, data, limits);
    pcre2_match_context_free(limits);
    return found;
}

static int match_within(const struct pattern *pattern, struct text subject, size_t from, size_t *steps,
                        pcre2_match_data *data) {
    size_t most = *steps < PATTERN_STEPS_MAX ? *steps : PATTERN_STEPS_MAX, reading = 1 + (subject.len - from) / 1024;
    size_t run = pattern->run < subject.len ? pattern->run : subject.len;
    struct count count = {.left = most > reading ? most - reading : 0, .at = from, .run = run};
    int found = count.left ? match(pattern, subject, from, &count, data) : PCRE2_ERROR_MATCHLIMIT;
    *steps -= most - count.left;
    return found;
}

enum pattern_result pattern_match_within(const struct pattern *pattern, struct text subject, size_t *steps) {
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    enum pattern_result result = result_of(match_within(pattern, subject, 0, steps, data));
    pcre2_match_data_free(data);
    return result;
}

/* \K in a look-ahead may put the start behind the end; such a match counts as empty. */
enum pattern_result pattern_find(const struct pattern *pattern, struct text subject, size_t from, size_t *steps,
                                 struct text groups[PATTERN_GROUPS]) {
    pcre2_match_data *data = pcre2_match_data_create(PATTERN_GROUPS, NULL);
    int found = match_within(pattern, subject, from, steps, data);
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(data);
    for (int i = 0; i < PATTERN_GROUPS; i++) {
        bool in = found >= 0 && (found == 0 || i < found) && bounds[2 * i] != PCRE2_UNSET;
        size_t start = in ? bounds[2 * i] : 0, end = in && bounds[2 * i + 1] > start ? bounds[2 * i + 1] : start;
        groups[i] = in ? (struct text){subject.at + start, end - start} : (struct text){NULL, 0};
    }
    pcre2_match_data_free(data);
    return result_of(found);
}

enum pattern_result pattern_match(const struct pattern *pattern, struct text subject) {
    size_t steps = PATTERN_STEPS_MAX;
    return pattern_match_within(pattern, subject, &steps);
}
