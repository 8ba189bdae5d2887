/* Admission: who begins at once, who waits and in which order, who is refused, and that all else goes first. The disk
 * is a flag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/mem.h"
#include "front/admission.h"

#define PATIENCE_MS 30000 /* longer than any machine stands still */
#define LITTLE_PATIENCE_MS 50
#define SEATS 8

static bool disk_is_behind;

/* In place of store/store.c, which nothing here pulls in. */
bool store_is_behind(const struct store *store, int64_t now_ms) {
    (void)store, (void)now_ms;
    return disk_is_behind;
}

struct start {
    struct admission_seat seat;
    int decided;
    bool went;
    int64_t at_ms;
    int place; /* among those that were decided */
    int pass;
};

struct bench {
    struct loop *loop;
    struct admission *admission;
    struct start starts[SEATS];
    int decided, wanted, passes;
    struct loop_timer timer;
};

static struct bench bench;

static int set_up(void **state) {
    (void)state;
    bench = (struct bench){.loop = loop_new(0)};
    bench.admission = admission_new(bench.loop, (const struct store *)&bench, PATIENCE_MS);
    disk_is_behind = false;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    admission_dismiss(bench.admission);
    loop_flush(bench.loop);
    admission_free(bench.admission);
    loop_free(bench.loop);
    assert_int_equal(count_read(COUNT_STARTS_WAITING), 0);
    assert_int_equal(count_read(COUNT_OVERLOADED), 0);
    return 0;
}

static void count_passes(void *unused) {
    bench.passes++;
    if (bench.decided < bench.wanted) loop_later(bench.loop, count_passes, unused);
}

static void on_decided(void *arg, bool goes) {
    struct start *start = arg;
    start->decided++;
    start->went = goes;
    start->at_ms = clock_mono_ms();
    start->pass = bench.passes;
    start->place = bench.decided++;
    if (bench.decided == bench.wanted) loop_stop(bench.loop);
}

static void enter(int i, size_t bytes) {
    admission_enter(bench.admission, &bench.starts[i].seat, bytes, on_decided, &bench.starts[i]);
}

static void run_until_decided(int wanted) {
    bench.wanted = wanted;
    loop_run(bench.loop);
    for (int i = 0; i < wanted; i++) assert_int_equal(bench.starts[i].decided, 1);
}

static void begins_at_once_where_all_keeps_up(void **state) {
    (void)state;
    for (int i = 0; i < SEATS; i++) enter(i, 100);
    for (int i = 0; i < SEATS; i++) assert_true(bench.starts[i].decided == 1 && bench.starts[i].went);
    assert_int_equal(count_read(COUNT_STARTS_WAITING), 0);
}

static void disk_catches_up(void *arg) {
    (void)arg;
    disk_is_behind = false;
}

static void line_keeps_its_order(void **state) {
    (void)state;
    disk_is_behind = true;
    for (int i = 0; i < 3; i++) enter(i, 100);
    assert_int_equal(bench.decided, 0);
    assert_int_equal(count_read(COUNT_STARTS_WAITING), 3);
    disk_is_behind = false;
    enter(3, 100); /* nobody passes those who wait */
    assert_int_equal(bench.decided, 0);
    run_until_decided(4);
    for (int i = 0; i < 4; i++) assert_true(bench.starts[i].went && bench.starts[i].place == i);
}

static void line_goes_on_when_the_disk_has_caught_up(void **state) {
    (void)state;
    disk_is_behind = true;
    enter(0, 100);
    loop_timer_init(&bench.timer, bench.loop, "disk", disk_catches_up, NULL);
    loop_timer_set(&bench.timer, 30);
    run_until_decided(1);
    assert_true(bench.starts[0].went);
}

static void patience_ends(void **state) {
    (void)state;
    int64_t shed = count_read(COUNT_STARTS_SHED);
    disk_is_behind = true;
    admission_tune(bench.admission, LITTLE_PATIENCE_MS);
    enter(0, 100);
    enter(1, 100);
    run_until_decided(2);
    for (int i = 0; i < 2; i++) {
        assert_false(bench.starts[i].went);
        assert_true(bench.starts[i].at_ms - bench.starts[i].seat.came_ms >= LITTLE_PATIENCE_MS);
    }
    assert_int_equal(count_read(COUNT_STARTS_SHED), shed + 2);
    assert_int_equal(count_read(COUNT_OVERLOADED), 1);
}

static void enter_late(void *arg) {
    (void)arg;
    enter(1, 100);
    assert_true(bench.starts[1].decided == 1 && !bench.starts[1].went);
    assert_int_equal(bench.starts[0].decided, 0);
    disk_is_behind = false;
}

static void nobody_queues_up_where_the_first_waits_for_long(void **state) {
    (void)state;
    disk_is_behind = true;
    enter(0, 100);
    admission_tune(bench.admission, 2000);
    loop_timer_init(&bench.timer, bench.loop, "late", enter_late, NULL);
    loop_timer_set(&bench.timer, 1000);
    run_until_decided(2);
    assert_true(bench.starts[0].went);
}

static void memory_has_a_ceiling(void **state) {
    (void)state;
    disk_is_behind = true;
    enter(0, (size_t)1 << 30);
    assert_true(bench.starts[0].decided == 1 && !bench.starts[0].went);
    enter(1, 100);
    assert_int_equal(bench.starts[1].decided, 0);
}

/* A backlog of messages, as the disk's answers can be: a pass does a few of them. */
static void work(void *arg) {
    int64_t until_ms = clock_mono_ms() + 2;
    while (clock_mono_ms() < until_ms) {}
    assert_int_equal(bench.starts[0].decided, 0);
    ++*(int *)arg;
}

static void what_was_accepted_goes_first(void **state) {
    (void)state;
    int worked = 0;
    disk_is_behind = true;
    enter(0, 100);
    disk_is_behind = false;
    for (int i = 0; i < 30; i++) loop_post(bench.loop, work, &worked);
    run_until_decided(1);
    assert_true(bench.starts[0].went);
    assert_int_equal(worked, 30);
}

#ifdef TINY_LIMITS
enum { MANY = 13, A_SLICE = 4 };
#else
enum { MANY = 200, A_SLICE = 64 };
#endif

/* A line of many goes on by slices, between which others have their turn. */
static void others_have_turns_between_slices(void **state) {
    (void)state;
    struct start many[MANY] = {0};
    bench.wanted = MANY;
    disk_is_behind = true;
    for (int i = 0; i < MANY; i++) admission_enter(bench.admission, &many[i].seat, 100, on_decided, &many[i]);
    disk_is_behind = false;
    loop_later(bench.loop, count_passes, NULL);
    loop_run(bench.loop);
    for (int i = 0; i < MANY; i++) assert_true(many[i].went && many[i].place == i);
    assert_in_range(many[MANY - 1].pass - many[0].pass, MANY / A_SLICE, MANY);
}

/* Others who never stop asking: the line moves all the same. */
static void ask_on(void *arg) {
    if (bench.decided < 3) loop_post(bench.loop, ask_on, arg);
}

static void nobody_starves(void **state) {
    (void)state;
    disk_is_behind = true;
    for (int i = 0; i < 3; i++) enter(i, 100);
    disk_is_behind = false;
    loop_post(bench.loop, ask_on, NULL);
    run_until_decided(3);
    for (int i = 0; i < 3; i++) assert_true(bench.starts[i].went);
}

static void hold_up(void *arg) {
    int64_t until_ms = clock_mono_ms() + 3 * LOOP_BEHIND_MS;
    while (clock_mono_ms() < until_ms) {}
    enter(0, 100);
    assert_int_equal(bench.starts[0].decided, 0);
    (void)arg;
}

static void loop_that_is_behind_lets_starts_wait(void **state) {
    (void)state;
    loop_post(bench.loop, hold_up, NULL);
    run_until_decided(1);
    assert_true(bench.starts[0].went);
}

static void without_patience_nobody_waits(void **state) {
    (void)state;
    admission_tune(bench.admission, 0);
    disk_is_behind = true;
    enter(0, 100);
    assert_true(bench.starts[0].decided == 1 && !bench.starts[0].went);
    disk_is_behind = false;
    enter(1, 100);
    assert_true(bench.starts[1].decided == 1 && bench.starts[1].went);
}

static void who_would_be_refused_is_turned_away(void **state) {
    (void)state;
    int64_t shed = count_read(COUNT_STARTS_SHED);
    assert_false(admission_turns_away(bench.admission, (size_t)1 << 30)); /* nobody waits: it would begin at once */
    disk_is_behind = true;
    assert_false(admission_turns_away(bench.admission, 100));
    assert_int_equal(count_read(COUNT_STARTS_SHED), shed);
    assert_true(admission_turns_away(bench.admission, (size_t)1 << 30));
    admission_tune(bench.admission, 0);
    assert_true(admission_turns_away(bench.admission, 100));
    assert_int_equal(count_read(COUNT_STARTS_SHED), shed + 2);
    assert_int_equal(count_read(COUNT_OVERLOADED), 1);
    disk_is_behind = false;
    assert_false(admission_turns_away(bench.admission, 100));
}

static void who_waits_at_the_end_is_refused(void **state) {
    (void)state;
    disk_is_behind = true;
    enter(0, 100);
    admission_dismiss(bench.admission);
    assert_true(bench.starts[0].decided == 1 && !bench.starts[0].went);
}

int main(void) {
#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST_OF(begins_at_once_where_all_keeps_up),
        TEST_OF(line_keeps_its_order),
        TEST_OF(line_goes_on_when_the_disk_has_caught_up),
        TEST_OF(patience_ends),
        TEST_OF(nobody_queues_up_where_the_first_waits_for_long),
        TEST_OF(memory_has_a_ceiling),
        TEST_OF(what_was_accepted_goes_first),
        TEST_OF(others_have_turns_between_slices),
        TEST_OF(nobody_starves),
        TEST_OF(loop_that_is_behind_lets_starts_wait),
        TEST_OF(without_patience_nobody_waits),
        TEST_OF(who_would_be_refused_is_turned_away),
        TEST_OF(who_waits_at_the_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
