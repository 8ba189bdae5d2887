/* Regular expressions: what each dialect takes and how it goes out, what is refused and why; and that no pattern,
 * however evil, makes a match take more than its steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "lang/pattern.h"
#include "lang/regexp.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LAST "\xF4\x8F\xBF\xBF"

static const struct {
    const char *source, *interoperable, *plain; /* as it goes out, or the sentence behind "!" */
} cases[] = {
    {"", "", ""},
    {"abc", "abc", "abc"},
    {"a|b|", "a|b|", "a|b|"},
    {"(a)", "(?:a)", "(?:a)"},
    {"()", "(?:)", "(?:)"},
    {".", "[^\\n\\r]", "[^\\n\\r]"},
    {"[.]", "[\\.]", "[\\.]"},
    {"\\.", "\\.", "\\."},
    {"a/b", "a\\/b", "a\\/b"},
    {"-", "-", "-"},
    {"\\-", "-", "-"},
    {"[-a]", "[\\-a]", "[\\-a]"},
    {"[a-]", "[a\\-]", "[a\\-]"},
    {"[-]", "[\\-]", "[\\-]"},
    {"[--]", "[\\-\\-]", "[\\-\\-]"},
    {"[^-a-c]", "[^\\-a-c]", "[^\\-a-c]"},
    {"[a\\-z]", "[a\\-z]", "[a\\-z]"},
    {"[\\]\\\\]", "[\\]\\\\]", "[\\]\\\\]"},
    {"[a-z0-9_]+", "[a-z0-9_]+", "[a-z0-9_]+"},
    {"\xC3\xA9", "\xC3\xA9", "\xC3\xA9"},
    {"[\xC3\xA9-\xF0\x9F\x98\x80]", "[\xC3\xA9-\xF0\x9F\x98\x80]", "[\xC3\xA9-\xF0\x9F\x98\x80]"},
    {"\\n\\r\\t\n\x01", "\\n\\r\\t\\n\\x01", "\\n\\r\\t\\n\\x01"},
    {"a*b+c?", "a*b+c?", "a*b+c?"},
    {"a{2}b{2,}c{2,5}", "a{2,2}b{2,}c{2,5}", "a{2,2}b{2,}c{2,5}"},
    {"a{002}", "a{2,2}", "a{2,2}"},
    {"\\p{L}\\P{Nd}[\\p{Lu}x]", "\\p{L}\\P{Nd}[\\p{Lu}x]", "\\p{L}\\P{Nd}[\\p{Lu}x]"},
    {"^a$", "(?:^)a(?:$(?!\\n))", "(?:^)a(?:$(?!\\n))"},
    {"^*", "(?:^)*", "!column 2: there is nothing to repeat here"},
    {"\\d", "!column 1: RFC 9485 has no \\d", "[0-9]"},
    {"[\\w.]", "!column 2: RFC 9485 has no \\d", "[0-9A-Z_a-z\\.]"},
    {"\\S", "!column 1: RFC 9485 has no \\d", "[\\x01-\\x08\\x0e-\\x1f\\x21-" LAST "]"},
    {"\\$", "!column 1: RFC 9485 has no \\$; write [$]", "\\$"},
    {"\\@", "!column 1: there is no such escape", "@"},
    {"[[]", "!column 2: a [ inside a class is written as \\[", "[\\[]"},
    {"a*?", "!column 3: there is nothing to repeat here", "a*?"},
    {"(?:a)", "!column 1: RFC 9485 has only plain groups", "(?:a)"},
    {"(?=a)b", "!column 1: RFC 9485 has only plain groups", "(?=a)b"},
    {"(?!a)+b", "!column 1: RFC 9485 has only plain groups", "!column 6: there is nothing to repeat here"},
};

/* Refused by both, with the same sentence. */
static const struct {
    const char *source, *what;
} refused[] = {
    {"*", "column 1: there is nothing to repeat here"},
    {"a**", "column 3: there is nothing to repeat here"},
    {"a*+", "column 3: there is nothing to repeat here"},
    {"a{2}{3}", "column 5: there is nothing to repeat here"},
    {"\xC3\xA9(", "column 2: the group lacks its closing bracket"},
    {")", "column 1: a bracket that closes nothing"},
    {"a]", "column 2: a bracket that closes nothing"},
    {"}", "column 1: a bracket that closes nothing"},
    {"a{", "column 3: a count is written as {2}"},
    {"a{x}", "column 3: a count is written as {2}"},
    {"a{,2}", "column 3: a count is written as {2}"},
    {"a{2", "column 2: the count lacks its }"},
    {"a{3,2}", "column 2: the second count is less"},
    {"a{65536}", "column 3: a count may be 65535 at most"},
    {"[", "column 2: the class of characters lacks its ]"},
    {"[]", "column 2: an empty class"},
    {"[^]", "column 3: an empty class"},
    {"[a", "column 3: the class of characters lacks its ]"},
    {"[z-a]", "column 2: this range of characters runs backwards"},
    {"[a-b-c]", "column 5: a - inside a class has to be first or last"},
    {"[\\p{L}-z]", "column 7: a - inside a class has to be first or last"},
    {"\\", "column 1: the backslash has nothing behind it"},
    {"\\b", "column 1: word boundaries are not supported"},
    {"\\1", "column 1: references to groups are not supported"},
    {"\\z", "column 1: write ^ and $"},
    {"\\x41", "column 1: there is no such escape"},
    {"\\p{Cs}", "column 1: a category of characters"},
    {"\\p{Latin}", "column 1: a category of characters"},
    {"\\pL", "column 1: there is no such escape"},
    {"\xFF", "it is not UTF-8"},
};

static void rewrites(const char *source, enum regexp_dialect dialect, const char *wanted) {
    struct buf out;
    struct fault fault = {0};
    buf_init(&out, 1 << 16);
    bool good = regexp_rewrite(&out, text_of(source), dialect, &fault);
    if (*wanted == '!') {
        if (good) fail_msg("%s: taken", source);
        assert_int_equal(fault.kind, FAULT_SYNTAX);
        if (!strstr(fault.what, wanted + 1)) fail_msg("%s: %s", source, fault.what);
    } else {
        if (!good) fail_msg("%s: %s", source, fault.what);
        assert_string_equal(buf_cstr(&out), wanted);
        struct arena *arena = arena_new();
        if (!pattern_compile(arena, buf_text(&out), true, &fault)) fail_msg("%s: %s", source, fault.what);
        arena_free(arena);
    }
    buf_fini(&out);
}

static void both_dialects(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        rewrites(cases[i].source, REGEXP_INTEROPERABLE, cases[i].interoperable);
        rewrites(cases[i].source, REGEXP_PLAIN, cases[i].plain);
    }
    for (size_t i = 0; i < COUNT(refused); i++) {
        char wanted[200] = "!";
        memcpy(wanted + 1, refused[i].what, strlen(refused[i].what) + 1);
        rewrites(refused[i].source, REGEXP_INTEROPERABLE, wanted);
        rewrites(refused[i].source, REGEXP_PLAIN, wanted);
    }
}

static void ceilings(void **state) {
    (void)state;
    char source[5000];
    struct buf out;
    struct fault fault = {0};
    buf_init(&out, 1 << 16);
    memset(source, 'a', sizeof source);
    assert_false(regexp_rewrite(&out, (struct text){source, 5000}, REGEXP_PLAIN, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    memset(source, '(', sizeof source);
    assert_false(regexp_rewrite(&out, (struct text){source, 4000}, REGEXP_PLAIN, &fault));
    assert_non_null(strstr(fault.what, "nested too deeply"));
    assert_false(regexp_rewrite(&out, (struct text){"a\0b", 3}, REGEXP_PLAIN, &fault));
    buf_fini(&out);
}

static void what_goes_out_matches(void **state) {
    (void)state;
    static const struct {
        const char *source, *subject;
        bool yes;
    } rows[] = {
        {"a$", "a\n", false},        {"a$", "a", true},
        {".", "\n", false},          {".", "\r", false},
        {".", "\xE2\x80\xA8", true}, {"\\d", "\xD9\xA1", false},
        {"\\D", "\xD9\xA1", true},   {"[\\s\\S]", "\n", true},
        {"[^a]", "\n", true},        {"(?!-)[a-z-]+", "-a", false},
        {"\\w+", "a_9", true},       {"[\\W]", "_", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct arena *arena = arena_new();
        struct buf out;
        buf_init(&out, 1 << 16);
        assert_true(regexp_rewrite(&out, text_of(rows[i].source), REGEXP_PLAIN, NULL));
        const struct pattern *pattern = pattern_compile(arena, buf_text(&out), true, NULL);
        if (pattern_match(pattern, text_of(rows[i].subject)) != (rows[i].yes ? PATTERN_YES : PATTERN_NO))
            fail_msg("%s on %s", rows[i].source, rows[i].subject);
        buf_fini(&out);
        arena_free(arena);
    }
}

/* ---- evil patterns ---- */

/* Straight to the matcher, as PCRE2 knows them, so that neither dialect's reader stands in front. NULL: does not
 * compile is an end as well. */
static const char *const evil[] = {
    "(a+)+$",
    "(a|aa)+$",
    "(a|a)*$",
    "(.*a){20}",
    "(.*a){20}[0-9]",
    "([a-zA-Z]+)*$",
    "(a*)*b",
    "(?:a?){60}a{60}",
    "(?=(?=(?=(a+)+$)a+)+a+)+b",
    "(?!(?!(?!(a|aa)+$)))+b",
    "((a{1,100}){1,100}){1,100}",
    "(((a{1,60}){1,60}){1,10})b",
    "a{65535}b",
    "[a-z]*[0-9]",
    "[a-z]+[a-z]+[a-z]+[0-9]",
    "\\p{L}*\\p{Ll}*\\p{L&}*\\p{Xan}*[0-9]",
    "(\\p{L}+)+[0-9]",
    "(\\p{L}|\\p{Ll}|[\\p{L}\\p{M}])*[0-9]",
    "[^\\p{Nd}]{1,60000}[0-9]",
    "(a*)\\1\\1[0-9]",
    "(?R)?a|(?R)",
    ".*.*.*.*[0-9]",
    "(?<=a{200})(?:a|aa)+[0-9]",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(x+x+)+y",
    "(?:(?:a+)+)+[0-9]",
    "a{30000}[0-9]",
    "(?>a+)[0-9]",
    "a++[0-9]",
    "(?:a{500}){2}[0-9]",
};

/* The steps are what the matcher counts, so they say the same on every machine; that they stand for time is what the
 * loose limit on CPU is for: a hundred times what one match may take. */
static void evil_patterns_end(void **state) {
    (void)state;
    enum { LENGTHS = 4 };
    static const size_t lengths[LENGTHS] = {30, 1000, 60000, 1 << 20};
    char *subject = mem_alloc(1 << 20);
    memset(subject, 'a', 1 << 20);
    size_t hard = 0;
    for (size_t i = 0; i < COUNT(evil); i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        const struct pattern *pattern = pattern_compile(arena, text_of(evil[i]), false, &fault);
        if (!pattern && fault.kind != FAULT_SYNTAX) fail_msg("%s: %s", evil[i], fault.what);
        for (size_t l = 0; pattern && l < LENGTHS; l++) {
            size_t steps = 2 * PATTERN_STEPS_MAX;
            subject[lengths[l] - 1] = '!';
            clock_t began = clock();
            enum pattern_result result = pattern_match_within(pattern, (struct text){subject, lengths[l]}, &steps);
            double took = (double)(clock() - began) / CLOCKS_PER_SEC;
            subject[lengths[l] - 1] = 'a';
            hard += result == PATTERN_TOO_HARD;
            if (2 * PATTERN_STEPS_MAX - steps > PATTERN_STEPS_MAX) fail_msg("%s: more steps than a match has", evil[i]);
            if (took > 1) fail_msg("%s took %.1f s for %zu bytes", evil[i], took, lengths[l]);
        }
        arena_free(arena);
    }
    assert_true(hard > 30);
    mem_free(subject);
}

/* A search through an innocent text is nowhere near the limit, and spent steps are spent for the next match too. */
static void steps_add_up(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    const struct pattern *pattern = pattern_compile(arena, TEXT("[a-z]+[0-9]+"), false, NULL);
    static const char text[] =
        "GET /runs/17 from web frontend of team alpha took 12 ms; status ok, cache miss, host web1";
    size_t steps = 10000;
    assert_int_equal(pattern_match_within(pattern, text_of(text), &steps), PATTERN_YES);
    size_t once = 10000 - steps;
    assert_in_range(once, 10, 1000);
    assert_int_equal(pattern_match_within(pattern, text_of(text), &steps), PATTERN_YES);
    assert_int_equal(10000 - steps, 2 * once);
    steps = once - 1;
    assert_int_equal(pattern_match_within(pattern, text_of(text), &steps), PATTERN_TOO_HARD);
    assert_int_equal(steps, 0);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_dialects),     cmocka_unit_test(ceilings),     cmocka_unit_test(what_goes_out_matches),
        cmocka_unit_test(evil_patterns_end), cmocka_unit_test(steps_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
