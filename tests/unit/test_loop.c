/* base/loop: timers in their order, messages from other threads, descriptors, and ends within callbacks. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/loop.h"
#include "base/mem.h"

static struct loop *loop;

static int open_loop(void **state) {
    (void)state;
    loop = loop_new(3);
    return 0;
}

static int close_loop(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static void stop(void *unused) {
    (void)unused;
    loop_stop(loop);
}

/* ---- timers ---- */

enum { MANY = 500 };

struct alarm_clock {
    struct loop_timer timer;
    int64_t due_ms;
    int rung;
};

static struct alarm_clock alarms[MANY];
static int rung;
static int64_t last_due_ms;

static void on_ring(void *arg) {
    struct alarm_clock *alarm = arg;
    assert_false(loop_timer_waits(&alarm->timer));
    assert_true(loop_mono_ms(loop) >= alarm->due_ms);
    assert_true(alarm->due_ms >= last_due_ms);
    last_due_ms = alarm->due_ms;
    alarm->rung++;
    rung++;
}

static void set_alarm(struct alarm_clock *alarm, int64_t delay_ms) {
    loop_timer_set(&alarm->timer, delay_ms);
    alarm->due_ms = loop_mono_ms(loop) + delay_ms;
    assert_true(loop_timer_waits(&alarm->timer));
}

/* Set, set again and cleared in a mixed order: each rings once, none early, earlier ones first. */
static void timers_ring_in_order(void **state) {
    (void)state;
    srand(7);
    rung = 0, last_due_ms = 0;
    for (int i = 0; i < MANY; i++) {
        alarms[i].rung = 0;
        loop_timer_init(&alarms[i].timer, loop, "alarm", on_ring, &alarms[i]);
        loop_timer_clear(&alarms[i].timer); /* idle */
        set_alarm(&alarms[i], rand() % 60);
    }
    for (int i = 0; i < MANY; i += 3) set_alarm(&alarms[i], rand() % 60);
    for (int i = 1; i < MANY; i += 3) loop_timer_clear(&alarms[i].timer);
    struct loop_timer last;
    loop_timer_init(&last, loop, "last", stop, NULL);
    loop_timer_set(&last, 61);
    loop_run(loop);
    for (int i = 0; i < MANY; i++) assert_int_equal(alarms[i].rung, i % 3 != 1);
    assert_int_equal(loop_index(loop), 3);
}

static struct loop_timer victims[3];
static int killed;

static void on_kill(void *arg) { /* whichever comes first clears the others, which are due as well */
    (void)arg;
    killed++;
    for (int i = 0; i < 3; i++) loop_timer_clear(&victims[i]);
}

static void timer_cleared_in_a_callback_never_rings(void **state) {
    (void)state;
    killed = 0;
    for (int i = 0; i < 3; i++) {
        loop_timer_init(&victims[i], loop, "victim", on_kill, NULL);
        loop_timer_set(&victims[i], 1);
    }
    struct loop_timer last;
    loop_timer_init(&last, loop, "last", stop, NULL);
    loop_timer_set(&last, 20);
    loop_run(loop);
    assert_int_equal(killed, 1);
}

/* Waking up is what most of a timer costs: it is done when one is due, and not to see whether one is. */
enum { RINGS = 40, LOST_WAITS = RINGS / 4 };

static void on_repeat(void *arg) {
    struct alarm_clock *alarm = arg;
    if (++alarm->rung == RINGS) loop_stop(loop);
    else loop_timer_set(&alarm->timer, 3 + alarm->rung % 5);
}

static void a_timer_is_waited_for_once(void **state) {
    (void)state;
    struct alarm_clock alarm = {0};
    struct rusage before, after;
    loop_timer_init(&alarm.timer, loop, "alarm", on_repeat, &alarm);
    loop_timer_set(&alarm.timer, 3);
    getrusage(RUSAGE_THREAD, &before);
    loop_run(loop);
    getrusage(RUSAGE_THREAD, &after);
    assert_int_equal(alarm.rung, RINGS);
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, RINGS + LOST_WAITS); /* fewer where it was late */
}

static struct loop_timer eager;
static int eager_rung, fds[2];

static void on_eager(void *arg) {
    (void)arg;
    if (eager_rung++ == 0) assert_int_equal(write(fds[1], "x", 1), 1);
    loop_timer_set(&eager, 0);
}

static void on_readable(void *arg, int fd, int events) {
    char byte;
    assert_int_equal(events, LOOP_READ);
    assert_int_equal(read(fd, &byte, 1), 1);
    *(char *)arg = byte;
    loop_stop(loop);
}

/* A timer that is always due again starves neither descriptors nor messages. */
static void eager_timer_starves_nobody(void **state) {
    (void)state;
    char got = 0;
    eager_rung = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct loop_watch *watch = loop_watch_new(loop, fds[0], LOOP_READ, "reader", on_readable, &got);
    loop_timer_init(&eager, loop, "eager", on_eager, NULL);
    loop_timer_set(&eager, 0);
    loop_run(loop);
    assert_int_equal(got, 'x');
    loop_timer_clear(&eager);
    loop_watch_free(watch);
    close(fds[0]), close(fds[1]);
}

/* ---- messages ---- */

enum { THREADS = 4, EACH = 5000 };

struct letter {
    int thread, number;
};

static struct letter letters[THREADS][EACH];
static int next_number[THREADS], arrived;

static void on_letter(void *arg) {
    struct letter *letter = arg;
    assert_int_equal(letter->number, next_number[letter->thread]++);
    if (++arrived == THREADS * EACH) loop_stop(loop);
}

static void *write_letters(void *arg) {
    for (int i = 0; i < EACH; i++) loop_post(loop, on_letter, (struct letter *)arg + i);
    return NULL;
}

static void start_writers(pthread_t threads[THREADS]) {
    arrived = 0;
    for (int t = 0; t < THREADS; t++) {
        next_number[t] = 0;
        for (int i = 0; i < EACH; i++) letters[t][i] = (struct letter){t, i};
        assert_int_equal(pthread_create(&threads[t], NULL, write_letters, letters[t]), 0);
    }
}

static void messages_arrive_in_order(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    start_writers(threads);
    loop_run(loop);
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    assert_int_equal(arrived, THREADS * EACH);
}

static void later_again(void *arg) {
    int *left = arg;
    if (--*left) loop_later(loop, later_again, left);
}

static void what_waits_at_the_end_is_run(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    start_writers(threads);
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    int left = 3;
    loop_later(loop, later_again, &left);
    assert_int_equal(arrived, 0);
    loop_free(loop);
    loop = NULL;
    assert_int_equal(arrived, THREADS * EACH);
    assert_int_equal(left, 0);
}

static int64_t later_pass[2];
static bool inside;

static void second(void *arg) {
    (void)arg;
    assert_false(inside);
    loop_stop(loop);
}

static void first(void *arg) {
    (void)arg;
    inside = true;
    loop_later(loop, second, NULL);
    inside = false;
    later_pass[0]++;
}

static void later_never_runs_inside(void **state) {
    (void)state;
    later_pass[0] = 0;
    loop_later(loop, first, NULL);
    assert_int_equal(later_pass[0], 0);
    loop_run(loop);
    assert_int_equal(later_pass[0], 1);
}

static void *stop_from_outside(void *arg) {
    loop_stop(arg);
    return NULL;
}

static void stops_from_another_thread(void **state) {
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_from_outside, loop), 0);
    loop_run(loop); /* waits for nothing else */
    pthread_join(thread, NULL);
}

/* ---- descriptors ---- */

static struct loop_watch *writer_watch;
static int turns;

static void on_either(void *arg, int fd, int events) {
    (void)arg;
    char byte;
    switch (turns++) {
    case 0: /* first writable; then rest, until the timer wakes it for reading */
        assert_int_equal(events, LOOP_WRITE);
        loop_watch_change(writer_watch, 0);
        break;
    case 1: /* level triggered: nothing was read, so it comes again */ assert_int_equal(events, LOOP_READ); break;
    default:
        assert_int_equal(events, LOOP_READ);
        assert_int_equal(read(fd, &byte, 1), 1);
        loop_watch_free(writer_watch); /* within its own callback */
        writer_watch = NULL;
        loop_stop(loop);
    }
}

static void wake_for_reading(void *arg) {
    (void)arg;
    assert_int_equal(turns, 1);
    assert_int_equal(write(fds[1], "y", 1), 1);
    loop_watch_change(writer_watch, LOOP_READ);
}

static void watch_changes_rests_and_ends(void **state) {
    (void)state;
    turns = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    writer_watch = loop_watch_new(loop, fds[0], LOOP_WRITE, "either", on_either, NULL);
    struct loop_timer timer;
    loop_timer_init(&timer, loop, "wake", wake_for_reading, NULL);
    loop_timer_set(&timer, 10);
    loop_run(loop);
    assert_int_equal(turns, 3);
    assert_null(writer_watch);
    loop_watch_free(NULL);
    close(fds[0]), close(fds[1]);
}

/* ---- stalls ---- */

static void hold_up(void *arg) {
    int64_t until = clock_mono_ms() + *(int *)arg;
    while (clock_mono_ms() < until) {}
}

static void stall_is_counted(void **state) {
    (void)state;
    int64_t before = count_read(COUNT_LOOP_STALLS);
    int much = LOOP_STALL_MS + 10;
    struct loop_timer slow, last;
    loop_timer_init(&slow, loop, "slow", hold_up, &much);
    loop_timer_init(&last, loop, "last", stop, NULL);
    loop_timer_set(&slow, 0);
    loop_timer_set(&last, 1);
    loop_run(loop);
    assert_int_equal(count_read(COUNT_LOOP_STALLS), before + 1);
}

/* Both ends can be written to, so both come in one pass, and again in the next one. */
static void see_how_late_it_is(void *arg, int fd, int events) {
    (void)fd, (void)events;
    int64_t *first_ms = arg, now_ms = loop_mono_ms(loop);
    bool is_second = turns++ % 2;
    if (is_second) {
        assert_true(loop_is_behind(loop));
        assert_true(now_ms >= first_ms[0] + LOOP_BEHIND_MS);
        assert_true(loop_wall_ms(loop) >= first_ms[1] + LOOP_BEHIND_MS);
        if (turns == 4) loop_stop(loop);
        return;
    }
    first_ms[0] = now_ms;
    first_ms[1] = loop_wall_ms(loop);
    hold_up(&(int){LOOP_BEHIND_MS + 5});
    assert_int_equal(loop_mono_ms(loop), now_ms); /* the same all the time that a callback takes */
}

static void loop_knows_that_it_is_behind(void **state) {
    (void)state;
    int64_t first_ms[2];
    turns = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct loop_watch *one = loop_watch_new(loop, fds[0], LOOP_WRITE, "one", see_how_late_it_is, first_ms);
    struct loop_watch *other = loop_watch_new(loop, fds[1], LOOP_WRITE, "other", see_how_late_it_is, first_ms);
    loop_run(loop);
    loop_watch_free(one);
    loop_watch_free(other);
    close(fds[0]), close(fds[1]);
}

/* ---- clocks ---- */

enum { MILLISECONDS = 200 };

struct times {
    int64_t wall_ms, first_ms;
};

static void look_at_the_clock(void *arg) {
    struct times *times = arg;
    assert_true(loop_wall_ms(loop) >= times->wall_ms);
    times->wall_ms = loop_wall_ms(loop);
}

/* Passes of more than one callback, so that times are told by either clock. */
static void look_again(void *arg) {
    struct times *times = arg;
    look_at_the_clock(times);
    if (times->wall_ms >= times->first_ms + MILLISECONDS) {
        loop_stop(loop);
        return;
    }
    loop_later(loop, look_at_the_clock, times);
    loop_post(loop, look_again, times);
}

/* What ends within a millisecond does not end before it began. */
static void wall_clock_goes_back_only_where_it_is_set(void **state) {
    (void)state;
    struct times times = {loop_wall_ms(loop), loop_wall_ms(loop)};
    loop_post(loop, look_again, &times);
    loop_run(loop);
    assert_true(loop_wall_ms(loop) <= clock_wall_ms() + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)

int main(void) {
    static const struct CMUnitTest tests[] = {
        TEST(timers_ring_in_order),         TEST(timer_cleared_in_a_callback_never_rings),
        TEST(a_timer_is_waited_for_once),   TEST(eager_timer_starves_nobody),
        TEST(messages_arrive_in_order),     TEST(what_waits_at_the_end_is_run),
        TEST(later_never_runs_inside),      TEST(stops_from_another_thread),
        TEST(watch_changes_rests_and_ends), TEST(stall_is_counted),
        TEST(loop_knows_that_it_is_behind), TEST(wall_clock_goes_back_only_where_it_is_set),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
