/* Patterns: anchoring, mistakes with their column, and that no pattern runs long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lang/pattern.h"

static void matches(void **state) {
    (void)state;
    static const struct {
        const char *source, *subject;
        bool whole;
        enum pattern_result result;
    } cases[] = {
        {"b", "abc", false, PATTERN_YES},
        {"b", "abc", true, PATTERN_NO},
        {"a|ab", "ab", true, PATTERN_YES},
        {"[a-z]+", "abc", true, PATTERN_YES},
        {"[a-z]+", "abc\n", true, PATTERN_NO},
        {"^a$", "a\n", false, PATTERN_YES},
        {".", "\xC3\xA9", true, PATTERN_YES},
        {"", "", true, PATTERN_YES},
        {"a", "", false, PATTERN_NO},
        {"\\d+", "\xD9\xA1", true, PATTERN_NO},
        {"a", "a\xFF", false, PATTERN_NO},
        {"(a)(b)(c)", "abc", false, PATTERN_YES},
        {"(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false, PATTERN_TOO_HARD},
        {"(?R)?a|(?R)", "aaaaaaaaaaaaaaaaaab", true, PATTERN_TOO_HARD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        const struct pattern *pattern = pattern_compile(arena, text_of(cases[i].source), cases[i].whole, &fault);
        if (!pattern) fail_msg("%s: %s", cases[i].source, fault.what);
        if (pattern_match(pattern, text_of(cases[i].subject)) != cases[i].result) fail_msg("%s", cases[i].source);
        arena_free(arena);
    }
}

static void mistakes(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct fault fault = {0};
    char long_source[20000];
    memset(long_source, 'a', sizeof long_source);
    assert_null(pattern_compile(arena, TEXT("a(b"), false, &fault));
    assert_int_equal(fault.kind, FAULT_SYNTAX);
    assert_non_null(strstr(fault.what, "column 4"));
    assert_null(pattern_compile(arena, TEXT("a\xFF"), false, &fault));
    assert_null(pattern_compile(arena, TEXT("\\C"), false, &fault));
    assert_null(pattern_compile(arena, (struct text){long_source, sizeof long_source}, false, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(matches), cmocka_unit_test(mistakes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
