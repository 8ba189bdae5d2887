/* Histories: what is expected of a run is what became of those that took as long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "call/history.h"

/* 1 s, 2 s, … */
static struct history seconds(size_t count) {
    struct history history = {0};
    for (size_t i = 1; i <= count; i++) history_add(&history, (int64_t)(i * 7 % count + 1) * 1000);
    return history;
}

static void test_sorted_whatever_the_order(void **state) {
    (void)state;
    struct history history = seconds(100);
    assert_int_equal(history.count, 100);
    for (size_t i = 0; i < 100; i++) assert_int_equal(history.sorted[i], (int64_t)(i + 1) * 1000);
    history_add(&history, -5);
    assert_int_equal(history.sorted[0], 0);
}

static void test_the_oldest_is_forgotten(void **state) {
    (void)state;
    struct history history = {0};
    for (int64_t i = 0; i < 3 * HISTORY_KEPT + 5; i++) {
        history_add(&history, (i * 7919) % 1000);
        size_t kept = (size_t)(i + 1) < HISTORY_KEPT ? (size_t)(i + 1) : HISTORY_KEPT;
        assert_int_equal(history.count, kept);
        int64_t sum = 0, wanted = 0;
        for (size_t j = 0; j < kept; j++) {
            sum += history.sorted[j];
            wanted += ((i - (int64_t)j) * 7919) % 1000;
            if (j) assert_true(history.sorted[j - 1] <= history.sorted[j]);
        }
        assert_int_equal(sum, wanted);
    }
}

static void test_rest(void **state) {
    (void)state;
    struct history history = seconds(100);
    static const struct {
        int64_t elapsed;
        double part;
        int64_t wanted;
    } rows[] = {
        {0, 0, 1000},         {0, 0.1, 11000},   {0, 0.5, 51000},   {0, 0.99, 100000},
        {0, 1, 100000},       {1000, 0, 2000},   {999, 0, 1000},    {50000, 0.5, 76000},
        {99999, 0.1, 100000}, {100000, 0.1, -1}, {500000, 0.5, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = history_rest_ms(&history, rows[i].elapsed, rows[i].part);
        if (ms != rows[i].wanted) fail_msg("row %zu: %lld", i, (long long)ms);
    }
    assert_int_equal(history_rest_ms(&(struct history){0}, 0, 0.5), -1);
}

static void test_outlook(void **state) {
    (void)state;
    static const struct {
        size_t count;
        int64_t elapsed;
        int percent;
        int64_t left;
        bool stalled;
    } rows[] = {
        {0, 0, -1, -1, false},         {4, 1000, -1, -1, false},      {5, 0, 0, 3000, false},
        {5, -1, -1, -1, false},        {100, 0, 0, 51000, false},     {100, 25500, 40, 37500, false},
        {100, 98999, 98, 1001, false}, {100, 99000, 99, 1000, false}, {100, 100000, 99, -1, true},
        {19, 50000, 99, -1, false},    {20, 20000, 99, -1, true},     {20, 19999, 99, 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct history history = seconds(rows[i].count);
        struct outlook outlook = history_outlook(&history, rows[i].elapsed);
        if (outlook.percent != rows[i].percent || outlook.left_ms != rows[i].left || outlook.stalled != rows[i].stalled)
            fail_msg("row %zu: %d %%, %lld ms, %d", i, outlook.percent, (long long)outlook.left_ms, outlook.stalled);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sorted_whatever_the_order),
                                       cmocka_unit_test(test_the_oldest_is_forgotten), cmocka_unit_test(test_rest),
                                       cmocka_unit_test(test_outlook)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
