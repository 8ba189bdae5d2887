/* base/wheel: against the plainest thing that could be right, a list that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "base/wheel.h"

enum { TIMERS = 400 };

static struct loop_timer timers[TIMERS];
static struct wheel wheel;
static uint64_t seed;

static uint64_t any(uint64_t below) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed % below;
}

/* Of every size, and often at the edge of a slot or of a level. */
static int64_t any_delay(void) {
    int64_t delay = (int64_t)any((uint64_t)1 << any(36));
    switch (any(4)) {
    case 0: return delay;
    case 1: return ((int64_t)1 << 8 * any(5)) + (int64_t)any(3) - 1;
    case 2: return (int64_t)any(600);
    default: return delay / 256 * 256;
    }
}

static void add(struct loop_timer *timer, int64_t delay, int64_t now) {
    timer->due_ms = now + delay;
    wheel_add(&wheel, timer, now);
}

static bool waits(const struct loop_timer *timer) {
    return timer->link.next != NULL;
}

static int64_t earliest(void) {
    int64_t found = WHEEL_NEVER;
    for (size_t i = 0; i < TIMERS; i++)
        if (waits(&timers[i]) && timers[i].due_ms < found) found = timers[i].due_ms;
    return found;
}

/* All that is due is taken, in order, and nothing else; what the wheel says comes next is never too late. */
static void turn_and_take(int64_t now) {
    int64_t last = INT64_MIN;
    wheel_turn(&wheel, now);
    for (struct loop_timer *timer; (timer = wheel_take(&wheel));) {
        assert_false(waits(timer));
        assert_true(timer->due_ms <= now);
        assert_true(timer->due_ms >= last);
        last = timer->due_ms;
    }
    assert_true(earliest() > now);
    assert_true(wheel_next(&wheel) <= earliest());
    assert_true(wheel_next(&wheel) > now);
}

static void like_a_list(void **state) {
    (void)state;
    for (uint64_t round = 1; round <= 60; round++) {
        seed = round * 0x9E3779B97F4A7C15;
        int64_t now = any_delay();
        memset(timers, 0, sizeof timers);
        wheel_init(&wheel, now);
        assert_true(wheel_next(&wheel) == WHEEL_NEVER);
        for (int i = 0; i < 3000; i++) {
            struct loop_timer *timer = &timers[any(TIMERS)];
            if (waits(timer)) wheel_remove(&wheel, timer);
            if (any(4)) add(timer, any_delay(), now);
            assert_true(wheel_next(&wheel) <= earliest() || earliest() <= now);
            if (any(3)) continue;
            /* sometimes to the very moment, sometimes far beyond it */
            now = any(2) && wheel_next(&wheel) != WHEEL_NEVER ? wheel_next(&wheel) : now + any_delay();
            turn_and_take(now);
        }
    }
}

/* As many steps as levels, and not one a millisecond: a timer far away is waited for in peace. */
static void a_year_is_few_steps(void **state) {
    (void)state;
    int64_t year = 365LL * 24 * 3600 * 1000, now = 12345;
    int steps = 0;
    memset(timers, 0, sizeof timers);
    wheel_init(&wheel, now);
    add(&timers[0], year, now);
    for (; waits(&timers[0]); steps++) {
        now = wheel_next(&wheel);
        assert_true(now <= timers[0].due_ms);
        wheel_turn(&wheel, now);
        if (now == timers[0].due_ms) assert_ptr_equal(wheel_take(&wheel), &timers[0]);
    }
    assert_true(steps < 40); /* a year is eight turns of the last level */
    assert_true(wheel_next(&wheel) == WHEEL_NEVER);
}

/* What waits with others in a slot, or is due already, can be taken out; the rest stays, in the order of coming. */
static void taken_out_of_company(void **state) {
    (void)state;
    for (int64_t delay = 0; delay < 100000; delay = delay * 10 + 5) {
        for (int turned = 0; turned < 2; turned++) {
            memset(timers, 0, sizeof timers);
            wheel_init(&wheel, 1000);
            for (int i = 0; i < 4; i++) add(&timers[i], delay, 1000);
            if (turned) wheel_turn(&wheel, 1000 + delay);
            wheel_remove(&wheel, &timers[0]);
            wheel_remove(&wheel, &timers[2]);
            wheel_turn(&wheel, 1000 + delay);
            assert_ptr_equal(wheel_take(&wheel), &timers[1]);
            add(&timers[0], -1, 1000 + delay); /* waits for the next turn, though it is late */
            assert_ptr_equal(wheel_take(&wheel), &timers[3]);
            assert_null(wheel_take(&wheel));
            assert_true(wheel_next(&wheel) <= 1000 + delay);
            wheel_turn(&wheel, 1000 + delay);
            assert_ptr_equal(wheel_take(&wheel), &timers[0]);
            assert_true(wheel_next(&wheel) == WHEEL_NEVER);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(like_a_list),
        cmocka_unit_test(a_year_is_few_steps),
        cmocka_unit_test(taken_out_of_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
