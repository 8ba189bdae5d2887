/* Pace: polls keep to their grid, retries back off within their bounds and never come before what was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "call/pace.h"

/* With the empty id of a run whose grid begins with `origin_ms`, a multiple of 4. */
static int64_t grid(const struct stage_step *step, int64_t origin_ms, int64_t now_ms) {
    int64_t shift = pace_origin_ms(step, 0, TEXT(""));
    struct pace_now now = {.id = TEXT(""), .step_began_ms = origin_ms - shift, .now_ms = now_ms};
    int64_t delay = pace_poll_ms(step, &now);
    assert_int_equal(delay, pace_grid_ms(step, &now));
    return delay;
}

static void test_polls(void **state) {
    (void)state;
    static const struct {
        int64_t every, began, now, delay;
    } rows[] = {
        {5000, 0, 0, 5000},
        {5000, 0, 1, 4999},
        {5000, 0, 4500, 500},
        {5000, 0, 4501, 5499},
        {5000, 0, 5000, 5000},
        {5000, 0, 12000, 3000},
        {5000, 1236, 1236, 5000},
        {5000, 1236, 6236, 5000},
        {5000, 10000, 4000, 5000},
        {10, 0, 9, 1},
        {1, 0, 77, 1},
        {0, 0, 77, 1},
        {-5, 0, 77, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stage_step step = {.every_ms = rows[i].every};
        int64_t delay = grid(&step, rows[i].began, rows[i].now);
        if (delay != rows[i].delay) fail_msg("row %zu: %lld", i, (long long)delay);
    }
}

/* Whenever one asks, the poll is on the grid, and neither at once nor more than 1.1 x every away. */
static void test_grid(void **state) {
    (void)state;
    struct stage_step step = {.every_ms = 700};
    for (int64_t now = 1000; now < 10000; now++) {
        int64_t delay = grid(&step, 1000, now);
        assert_int_equal((now + delay - 1000) % 700, 0);
        assert_true(delay >= 70 && delay <= 770);
    }
}

/* 10,000 runs that began in one moment: in none of a hundred parts of `every` are many more than their share. */
static void test_origins_spread(void **state) {
    (void)state;
    struct stage_step step = {.every_ms = 10000};
    unsigned parts[100] = {0};
    char id[] = "01KAW00000ABCDEFGHJKMNPQRS";
    for (unsigned i = 0; i < 10000; i++) {
        for (unsigned at = 25, left = i; at > 21; at--, left /= 10) id[at] = (char)('0' + left % 10);
        int64_t origin = pace_origin_ms(&step, 50000, text_of(id));
        assert_in_range(origin, 40000, 50000);
        assert_int_equal(origin % 4, 0);
        assert_int_equal(origin, pace_origin_ms(&step, 50000, text_of(id)));
        parts[(origin - 40000) / 100 % 100]++;
    }
    for (unsigned i = 0; i < 100; i++) assert_in_range(parts[i], 50, 150);
    assert_int_equal(pace_origin_ms(&(struct stage_step){0}, 50000, TEXT("x")), 50000);
}

#define MIDDLE (UINT32_MAX / 2 + 1) /* of the chances: no jitter */

/* The delays follow each other as a geometric series would, whoever asks and when. */
static void test_backoff(void **state) {
    (void)state;
    struct stage_step step = {.every_ms = 1000, .max_every_ms = 20000, .backoff = 2};
    static const int64_t wanted[] = {1000, 2000, 4000, 8000, 16000, 20000, 20000};
    struct pace_now now = {.id = TEXT(""), .step_began_ms = 5000, .now_ms = 5000, .random = MIDDLE};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int64_t delay = pace_poll_ms(&step, &now);
        assert_int_equal(delay, wanted[i]);
        now.now_ms += delay;
    }
    now.now_ms = 0; /* the clock was set back */
    assert_int_equal(pace_poll_ms(&step, &now), 1000);
    now.random = 0;
    assert_int_equal(pace_poll_ms(&step, &now), 900);
    now.random = UINT32_MAX;
    assert_int_equal(pace_poll_ms(&step, &now), 1100); /* 1099, and the next moment that polls fall together */
    now.now_ms = INT64_MAX;
    assert_int_equal(pace_poll_ms(&step, &now), 22001);
}

/* Those of all runs are due at multiples of 4 ms, as long as `every` is one, and never before their time. */
static void test_polls_fall_together(void **state) {
    (void)state;
    static const struct stage_step steps[] = {
        {.every_ms = 1000},
        {.every_ms = 60},
        {.every_ms = 1000, .backoff = 1.5, .max_every_ms = 7000},
        {.every_ms = 333, .backoff = 2, .max_every_ms = 1001},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const struct stage_step *step = &steps[i];
        int64_t most_ms = step->backoff > 1 ? step->max_every_ms + 3 : step->every_ms + step->every_ms / 10;
        for (int64_t now_ms = 12345; now_ms < 12345 + 5000; now_ms++) {
            struct pace_now now = {.id = TEXT("a"), .step_began_ms = 12341, .now_ms = now_ms, .random = MIDDLE};
            int64_t delay = pace_poll_ms(step, &now);
            assert_int_equal((now_ms + delay) % 4, 0);
            assert_in_range(delay, step->backoff > 1 ? step->every_ms : step->every_ms / 10, most_ms);
        }
    }
}

/* Runs of a stage take about 10 minutes: few polls before, many there, few again when it takes longer than ever. */
static void test_adaptive(void **state) {
    (void)state;
    struct history history = {0};
    struct stage_step step = {.every_ms = 1000, .max_every_ms = 60000, .backoff = 1, .adaptive = true};
    struct pace_now now = {.id = TEXT(""), .random = MIDDLE, .history = &history};
    for (int64_t i = 0; i < 9; i++) history_add(&history, 600000 + 500 * i);
    assert_int_equal(pace_poll_ms(&step, &now), pace_grid_ms(&step, &now)); /* too few to go by */
    for (int64_t i = 9; i < 100; i++) history_add(&history, 600000 + 500 * i);
    static const struct {
        int64_t age, delay;
    } rows[] = {
        {0, 60000},     {500000, 60000}, {590000, 12500}, {604900, 2100},   {640000, 1000},
        {649499, 1001}, {649500, 1000},  {700000, 5052},  {2000000, 60000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        now.now_ms = rows[i].age;
        int64_t delay = pace_poll_ms(&step, &now);
        if (delay != rows[i].delay) fail_msg("row %zu: %lld", i, (long long)delay);
    }
}

static void test_retries(void **state) {
    (void)state;
    static const struct {
        int64_t first, most;
        unsigned attempt;
        int64_t asked;
        int64_t low, high; /* with the lowest and the highest chance */
    } rows[] = {
        {1000, 30000, 1, -1, 1, 1000},
        {1000, 30000, 2, -1, 1, 2000},
        {1000, 30000, 5, -1, 1, 16000},
        {1000, 30000, 6, -1, 1, 30000},
        {1000, 30000, 4000000000u, -1, 1, 30000},
        {1000, 30000, 0, -1, 1, 1000},
        {0, 0, 3, -1, 1, 1},
        {1000, 0, 9, -1, 1, 1000},
        {60000, 30000, 1, -1, 1, 30000},
        {1000, 30000, 1, 0, 1, 1000},
        {1000, 30000, 1, 5000, 5000, 5000},
        {1000, 30000, 6, 5000, 5000, 30000},
        {1000, 30000, 1, 7200000, 3600000, 3600000},
        {86400000, 86400000, 1, -1, 1, 86400000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stage_call call = {.retry_delay_ms = rows[i].first, .retry_max_delay_ms = rows[i].most};
        int64_t low = pace_retry_ms(&call, rows[i].attempt, rows[i].asked, 0);
        int64_t high = pace_retry_ms(&call, rows[i].attempt, rows[i].asked, UINT32_MAX);
        if (low != rows[i].low || high != rows[i].high)
            fail_msg("row %zu: %lld to %lld", i, (long long)low, (long long)high);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_polls),
                                       cmocka_unit_test(test_grid),
                                       cmocka_unit_test(test_origins_spread),
                                       cmocka_unit_test(test_backoff),
                                       cmocka_unit_test(test_adaptive),
                                       cmocka_unit_test(test_retries),
                                       cmocka_unit_test(test_polls_fall_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
