/* base/crowd: turns of many readable descriptors, their order, and who leaves meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/crowd.h"
#include "base/loop.h"

enum { MANY = 200, TURN_MS = 5 };

struct member {
    int ends[2];
    int read; /* how often */
};

static struct loop *loop;
static struct crowd *crowd;
static struct member members[MANY];
static int all_read, turns_between, stop_at;
static bool was_behind, until_calm, removes_others;

static void take(struct member *member) {
    char byte;
    assert_int_equal(read(member->ends[0], &byte, 1), 1);
    member->read++;
    all_read++;
}

static void send_to(struct member *member) {
    assert_int_equal(write(member->ends[1], "x", 1), 1);
}

static void remove_others(const struct member *but) {
    for (struct member *member = members; member < members + MANY; member++)
        if (member != but) crowd_remove(crowd, member->ends[0], member);
}

/* Each takes a millisecond, so that no turn has time for all. */
static void on_readable(void *arg) {
    int64_t now = clock_mono_ms();
    while (clock_mono_ms() == now) {}
    bool behind = loop_is_behind(loop);
    was_behind = was_behind || behind;
    take(arg);
    if (all_read >= stop_at && until_calm && behind) send_to(arg); /* a pass may be long for other reasons */
    else if (all_read >= stop_at) loop_stop(loop);
    if (!removes_others) return;
    remove_others(arg);
    loop_stop(loop);
}

static int begin_with(bool presses) {
    loop = loop_new(0);
    crowd = crowd_new(loop, "test", TURN_MS, presses, on_readable);
    all_read = turns_between = 0;
    stop_at = MANY;
    was_behind = until_calm = removes_others = false;
    for (int i = 0; i < MANY; i++) {
        members[i] = (struct member){0};
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, members[i].ends) != 0) return -1;
        if (!crowd_add(crowd, members[i].ends[0], &members[i])) return -1;
    }
    return 0;
}

static int begin(void **state) {
    (void)state;
    return begin_with(true);
}

static int begin_without_pressure(void **state) {
    (void)state;
    return begin_with(false);
}

static int end(void **state) {
    (void)state;
    crowd_free(crowd);
    for (int i = 0; i < MANY; i++) {
        close(members[i].ends[0]);
        close(members[i].ends[1]);
    }
    loop_free(loop);
    return 0;
}

static void send_to_all(void) {
    for (int i = 0; i < MANY; i++) send_to(&members[i]);
}

static void on_turn_between(void *unused) {
    turns_between++;
    if (all_read < MANY) loop_later(loop, on_turn_between, unused);
}

/* 200 that take a millisecond each, in turns of 5: others have at least 30 turns between them. */
static void test_a_turn_ends(void **state) {
    (void)state;
    send_to_all();
    loop_later(loop, on_turn_between, NULL);
    loop_run(loop);
    assert_in_range(turns_between, MANY / (TURN_MS + 1) - 3, 1000000);
    for (int i = 0; i < MANY; i++) assert_int_equal(members[i].read, 1);
}

/* So often it was measured how long they wait. */
static int64_t waits(void) {
    static const char name[] = "\nstagedoor_read_wait_seconds_count ";
    struct buf page;
    buf_init(&page, 1 << 20);
    count_write(&page);
    const char *at = strstr(buf_cstr(&page), name);
    assert_non_null(at);
    int64_t count = strtoll(at + strlen(name), NULL, 10);
    buf_fini(&page);
    return count;
}

static void test_waiting_is_measured(void **state) {
    (void)state;
    int64_t before = waits();
    until_calm = true;
    send_to_all();
    loop_run(loop);
    assert_true(waits() > before);
}

static void test_waiting_of_those_who_may_wait_is_not(void **state) {
    (void)state;
    int64_t before = waits();
    send_to_all();
    loop_run(loop);
    assert_int_equal(waits(), before);
}

static void test_the_loop_is_behind_while_they_wait(void **state) {
    (void)state;
    until_calm = true;
    send_to_all();
    loop_run(loop);
    assert_true(was_behind);
}

/* Who was read once and has sent more comes after all who have waited. */
static void test_who_sends_on_holds_up_nobody(void **state) {
    (void)state;
    for (int i = 0; i < MANY; i++) send_to(&members[0]);
    for (int i = 1; i < MANY; i++) send_to(&members[i]);
    loop_run(loop);
    assert_in_range(members[0].read, 1, MANY / TURN_MS + 2);
    for (int i = 1; i < MANY - 64; i++) assert_int_equal(members[i].read, 1);
}

/* Stopped half way: outside of a pass nothing else says that it is behind. */
static bool is_behind_half_way(void) {
    stop_at = MANY / 2;
    send_to_all();
    loop_run(loop);
    return loop_is_behind(loop);
}

static void test_one_that_presses(void **state) {
    (void)state;
    assert_true(is_behind_half_way());
    crowd_free(crowd);
    crowd = NULL;
    assert_false(loop_is_behind(loop));
}

static void test_one_that_does_not_press(void **state) {
    (void)state;
    assert_false(is_behind_half_way());
}

static void test_who_was_removed_is_not_read(void **state) {
    (void)state;
    removes_others = true;
    send_to_all();
    loop_run(loop);
    assert_int_equal(all_read, 1);
    assert_int_equal(members[0].read, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_turn_ends, begin, end),
        cmocka_unit_test_setup_teardown(test_waiting_is_measured, begin, end),
        cmocka_unit_test_setup_teardown(test_waiting_of_those_who_may_wait_is_not, begin_without_pressure, end),
        cmocka_unit_test_setup_teardown(test_the_loop_is_behind_while_they_wait, begin, end),
        cmocka_unit_test_setup_teardown(test_who_sends_on_holds_up_nobody, begin, end),
        cmocka_unit_test_setup_teardown(test_one_that_presses, begin, end),
        cmocka_unit_test_setup_teardown(test_one_that_does_not_press, begin_without_pressure, end),
        cmocka_unit_test_setup_teardown(test_who_was_removed_is_not_read, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
