/* Bounds on decimal text: what a bound is written like, and that each pattern parts the numbers where the bound is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "lang/pattern.h"
#include "stage/decimal.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void bounds_are_written_exactly(void **state) {
    (void)state;
    static const struct {
        double bound;
        const char *decimal; /* NULL: refused */
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-5000, "-5000"},
        {0.5, "0.5"},
        {-0.25, "-0.25"},
        {0.1, "0.1"},
        {12345.678, "12345.678"},
        {1e-15, "0.000000000000001"},
        {9007199254740991.0, "9007199254740991"},
        {9007199254740992.0, NULL},
        {1e300, NULL},
        {1e-16, NULL},
        {0.1 + 0.2, NULL},
        {1.0 / 3, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char decimal[DECIMAL_ROOM];
        bool good = decimal_write(cases[i].bound, decimal);
        assert_int_equal(good, cases[i].decimal != NULL);
        if (good) assert_string_equal(decimal, cases[i].decimal);
    }
}

static const char *const bounds[] = {"0",    "1",    "-1",    "9",     "10",    "50",     "99",
                                     "100",  "109",  "990",   "5000",  "-5000", "0.5",    "-0.5",
                                     "0.05", "2.75", "-2.75", "12.09", "99.99", "-0.001", "1000000"};
static const char *const numbers[] = {
    "0",       "-0",       "0.0",     "1",         "-1",      "2",       "8",     "9",    "9.0",   "9.01",   "10",
    "11",      "49",       "49.999",  "50",        "50.0",    "50.001",  "98",    "99",   "99.98", "99.99",  "99.990",
    "99.991",  "100",      "101",     "0100",      "109",     "110",     "989",   "990",  "991",   "999",    "4999",
    "5000",    "5001",     "-4999",   "-5000",     "-5001",   "-5000.1", "0.4",   "0.49", "0.5",   "0.50",   "0.500001",
    "0.6",     "-0.4",     "-0.5",    "-0.51",     "0.05",    "0.049",   "0.051", "2.7",  "2.74",  "2.75",   "2.750",
    "2.751",   "2.8",      "-2.74",   "-2.75",     "-2.76",   "12.08",   "12.09", "12.1", "12",    "-0.001", "-0.0009",
    "-0.0011", "999999.9", "1000000", "1000000.1", "10000000"};

static bool matches(const char *bound, const char *number, bool at_most) {
    struct arena *arena = arena_new();
    struct buf pattern;
    buf_init(&pattern, 1 << 16);
    if (at_most) decimal_add_at_most(&pattern, bound, true);
    else decimal_add_at_least(&pattern, bound, true);
    const struct pattern *compiled = pattern_compile(arena, buf_text(&pattern), false, NULL);
    assert_non_null(compiled);
    enum pattern_result result = pattern_match(compiled, text_of(number));
    assert_int_not_equal(result, PATTERN_TOO_HARD);
    buf_fini(&pattern);
    arena_free(arena);
    return result == PATTERN_YES;
}

static void patterns_part_at_the_bound(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(bounds); i++)
        for (size_t j = 0; j < COUNT(numbers); j++) {
            double bound = strtod(bounds[i], NULL), number = strtod(numbers[j], NULL);
            if (matches(bounds[i], numbers[j], true) != (number <= bound))
                fail_msg("%s at most %s", numbers[j], bounds[i]);
            if (matches(bounds[i], numbers[j], false) != (number >= bound))
                fail_msg("%s at least %s", numbers[j], bounds[i]);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bounds_are_written_exactly),
                                       cmocka_unit_test(patterns_part_at_the_bound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
