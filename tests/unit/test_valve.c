/* One limit on a clock of its own: what it lets through, when, and how its breaker opens and closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run/valve.h"

static void begin(struct valve *valve, const char *settings[][2]) {
    struct limits limits;
    limits_init(&limits);
    for (size_t i = 0; settings[i][0]; i++)
        assert_true(limits_set(&limits, text_of(settings[i][0]), text_of(settings[i][1]), NULL));
    *valve = (struct valve){0};
    valve_tune(valve, &limits);
}

static void assert_check(const struct valve *valve, bool changes, int64_t now_ms, enum valve_why why, int64_t until) {
    int64_t told;
    assert_int_equal(valve_check(valve, changes, now_ms, &told), why);
    assert_int_equal(told, until);
}

static void test_nothing_set(void **state) {
    (void)state;
    struct valve valve;
    begin(&valve, (const char *[][2]){{NULL}});
    for (int i = 0; i < 1000; i++) {
        assert_check(&valve, true, 5, VALVE_FREE, 0);
        assert_false(valve_take(&valve, true, 5));
        if (i % 2) assert_false(valve_give(&valve, false, VALVE_BAD, 5));
    }
}

static void test_concurrency(void **state) {
    (void)state;
    struct valve valve;
    begin(&valve, (const char *[][2]){{"concurrency", "2"}, {NULL}});
    valve_take(&valve, false, 0);
    assert_check(&valve, false, 0, VALVE_FREE, 0);
    valve_take(&valve, false, 0);
    assert_check(&valve, false, 1000, VALVE_BUSY, 0);
    valve_take(&valve, true, 0); /* one that was not asked for */
    valve_give(&valve, false, VALVE_NONE, 0);
    assert_check(&valve, false, 1000, VALVE_BUSY, 0);
    valve_give(&valve, false, VALVE_NONE, 0);
    assert_check(&valve, false, 1000, VALVE_FREE, 0);
}

/* Any window of a second sees no more than the rate says, and what could go is not held back for long. */
static void test_rate_is_even(void **state) {
    (void)state;
    struct valve valve;
    int64_t taken[64], until;
    size_t count = 0;
    begin(&valve, (const char *[][2]){{"rate", "7/s"}, {NULL}});
    for (int64_t now = 0; now < 5000; now++)
        if (valve_check(&valve, false, now, &until) == VALVE_FREE) {
            valve_take(&valve, false, now);
            taken[count++] = now;
        } else {
            assert_in_range(until, now + 1, now + 145);
        }
    assert_in_range(count, 34, 36);
    for (size_t i = 7; i < count; i++) assert_true(taken[i] - taken[i - 7] >= 1000);
    assert_check(&valve, false, 100000, VALVE_FREE, 0);
    valve_take(&valve, false, 100000); /* a pause saves nothing up */
    assert_check(&valve, false, 100100, VALVE_RATE, 100143);
}

static void test_gap(void **state) {
    (void)state;
    struct valve valve;
    begin(&valve, (const char *[][2]){{"gap", "1s"}, {NULL}});
    valve_take(&valve, true, 100);
    assert_check(&valve, true, 1099, VALVE_GAP, 1100);
    assert_check(&valve, false, 101, VALVE_FREE, 0);
    valve_take(&valve, false, 101); /* does not put off the next */
    assert_check(&valve, true, 1100, VALVE_FREE, 0);
}

static void test_new_limits(void **state) {
    (void)state;
    struct valve valve;
    struct limits limits;
    begin(&valve, (const char *[][2]){{"rate", "1/h"}, {NULL}});
    valve_take(&valve, true, 0);
    assert_check(&valve, true, 1000, VALVE_RATE, 3600001);
    limits = valve.limits;
    valve_tune(&valve, &limits); /* the same */
    assert_check(&valve, true, 1000, VALVE_RATE, 3600001);
    limits.per_second = 2;
    valve_tune(&valve, &limits);
    assert_check(&valve, true, 1000, VALVE_FREE, 0);
}

static void fail_one(struct valve *valve, int64_t now_ms) {
    valve_give(valve, valve_take(valve, false, now_ms), VALVE_BAD, now_ms);
}

static void pass_one(struct valve *valve, int64_t now_ms) {
    assert_false(valve_give(valve, valve_take(valve, false, now_ms), VALVE_GOOD, now_ms));
}

#define BREAKER                                                                      \
    {"breaker.window", "10s"}, {"breaker.ratio", "0.5"}, {"breaker.minimum", "4"}, { \
        "breaker.pause", "5s"                                                        \
    }

static void test_breaker_judges_no_fewer_than_its_minimum(void **state) {
    (void)state;
    struct valve valve;
    begin(&valve, (const char *[][2]){BREAKER, {NULL}});
    for (int i = 0; i < 3; i++) fail_one(&valve, 100);
    assert_check(&valve, false, 100, VALVE_FREE, 0);
    valve_take(&valve, false, 100);
    assert_true(valve_give(&valve, false, VALVE_BAD, 100));
    assert_check(&valve, false, 100, VALVE_BROKEN, 5100);
}

static void test_breaker_by_ratio(void **state) {
    (void)state;
    struct valve valve;
    int64_t calls, bad;
    begin(&valve, (const char *[][2]){BREAKER, {NULL}});
    for (int i = 0; i < 5; i++) pass_one(&valve, 200);
    for (int i = 0; i < 4; i++) fail_one(&valve, 300);
    assert_check(&valve, false, 300, VALVE_FREE, 0); /* 4 of 9 */
    valve_give(&valve, valve_take(&valve, false, 300), VALVE_NONE, 300);
    valve_window(&valve, 300, &calls, &bad);
    assert_int_equal(calls, 9);
    assert_int_equal(bad, 4);
    fail_one(&valve, 400); /* 5 of 10 */
    assert_check(&valve, true, 400, VALVE_BROKEN, 5400);
}

/* What is older than the window does not count any more. */
static void test_breaker_forgets(void **state) {
    (void)state;
    struct valve valve;
    int64_t calls, bad;
    begin(&valve, (const char *[][2]){BREAKER, {NULL}});
    for (int i = 0; i < 3; i++) fail_one(&valve, 1500);
    valve_window(&valve, 10999, &calls, &bad);
    assert_int_equal(bad, 3);
    valve_window(&valve, 11000, &calls, &bad);
    assert_int_equal(bad, 0);
    fail_one(&valve, 11000);
    assert_check(&valve, false, 11000, VALVE_FREE, 0);
}

static void test_breaker_finds_out(void **state) {
    (void)state;
    struct valve valve;
    begin(&valve, (const char *[][2]){BREAKER, {NULL}});
    valve_take(&valve, false, 0); /* under way all the time */
    for (int i = 0; i < 4; i++) fail_one(&valve, 0);
    assert_check(&valve, false, 4999, VALVE_BROKEN, 5000);
    valve_give(&valve, false, VALVE_GOOD, 4999); /* it says nothing any more */
    assert_check(&valve, false, 5000, VALVE_FREE, 0);
    assert_true(valve_take(&valve, false, 5000));
    assert_check(&valve, false, 60000, VALVE_BROKEN, 0); /* one call at a time */
    assert_true(valve_give(&valve, true, VALVE_BAD, 6000));
    assert_check(&valve, false, 10999, VALVE_BROKEN, 11000);
    assert_true(valve_take(&valve, false, 11000));
    assert_false(valve_give(&valve, true, VALVE_NONE, 11500)); /* given up: nothing was found out */
    assert_check(&valve, false, 11500, VALVE_FREE, 0);
    assert_true(valve_take(&valve, false, 11500));
    assert_false(valve_give(&valve, true, VALVE_GOOD, 11600));
    assert_check(&valve, false, 11600, VALVE_FREE, 0);
    for (int i = 0; i < 3; i++) fail_one(&valve, 11600); /* it has begun anew */
    assert_check(&valve, false, 11600, VALVE_FREE, 0);
}

static void test_breaker_that_is_taken_away(void **state) {
    (void)state;
    struct valve valve;
    struct limits none;
    limits_init(&none);
    begin(&valve, (const char *[][2]){BREAKER, {NULL}});
    for (int i = 0; i < 4; i++) fail_one(&valve, 0);
    valve_take(&valve, false, 5000);
    valve_tune(&valve, &none);
    assert_check(&valve, false, 5000, VALVE_FREE, 0);
    assert_false(valve_give(&valve, true, VALVE_BAD, 5000));
}

static void test_settings(void **state) {
    (void)state;
    static const struct {
        const char *text, *what; /* NULL: it is good */
    } rows[] = {
        {"api.github.com concurrency=20 rate=10/s gap=1s breaker", NULL},
        {"[::1]:8443 breaker.window=1m breaker.ratio=0.25 breaker.minimum=3 breaker.pause=500ms", NULL},
        {"CI.example.com  gap=5ms", NULL},
        {"", "\"\" is not a host such as \"api.github.com\" or \"ci:8443\""},
        {"http://x", "\"http://x\" is not a host such as \"api.github.com\" or \"ci:8443\""},
        {"x.example:99999 rate=1/s", "\"x.example:99999\" is not a host such as \"api.github.com\" or \"ci:8443\""},
        {"a:b:c rate=1/s", "\"a:b:c\" is not a host such as \"api.github.com\" or \"ci:8443\""},
        {":80 rate=1/s", "\":80\" is not a host such as \"api.github.com\" or \"ci:8443\""},
        {"api.github.com", "nothing is limited: say concurrency, rate, gap or breaker"},
        {"a rate", "\"rate\": write name=value, as in rate=10/s"},
        {"a rat=5/s", "unknown setting \"rat\"; did you mean \"rate\"?"},
        {"a concurrency=0", "concurrency: 0 is out of range: 1 to 1000000 are possible"},
        {"a concurrency=x", "concurrency: \"x\" is not a whole number"},
        {"a breaker.ratio=1.5", "breaker.ratio: 1.5 is out of range: 0.01 to 1 are possible"},
        {"a breaker.ratio=.", "breaker.ratio: \".\" is not a number such as 0.5"},
        {"a queue=5", "queue is for a stage: what waits for a host is held, not refused"},
        {"a gap=2h", "gap: 2h is out of range: 1ms to 1h are possible"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct limits_upstream upstream;
        struct fault fault;
        bool good = limits_upstream_parse(arena, text_of(rows[i].text), &upstream, &fault);
        if (good != !rows[i].what) fail_msg("%s: %s", rows[i].text, good ? "accepted" : fault.what);
        if (!good) assert_string_equal(fault.what, rows[i].what);
        if (i == 2) assert_string_equal(upstream.host, "ci.example.com");
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set),       cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_rate_is_even),      cmocka_unit_test(test_gap),
        cmocka_unit_test(test_new_limits),        cmocka_unit_test(test_breaker_judges_no_fewer_than_its_minimum),
        cmocka_unit_test(test_breaker_by_ratio),  cmocka_unit_test(test_breaker_forgets),
        cmocka_unit_test(test_breaker_finds_out), cmocka_unit_test(test_breaker_that_is_taken_away),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
