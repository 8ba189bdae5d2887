/* How long a run has been at work: from its first call on, not from its start, as far as what is expected of it goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

static const char adaptive[] =
    "name = \"s\"; request = { url = \"http://up.test/\"; };"
    "status = { url = \"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; every = \"1s\"; "
    "max_every = \"1m\"; adaptive = true; };";

/* Twenty runs that took some 100 s. */
static struct history hundred_seconds(void) {
    struct history history = {0};
    for (int64_t i = 0; i < 20; i++) history_add(&history, 100 * S + i);
    return history;
}

/* What the report says: its percent (-1: null), and whether it expects an end, or finds the run stalled. */
static int64_t outlook_of(const struct rig *rig, bool *ret_eta, bool *ret_stalled) {
    struct history history = hundred_seconds();
    struct arena *arena = arena_new();
    struct json_limits limits = {64 << 20, 256, 1000000};
    struct fault fault;
    struct buf text;
    buf_init(&text, 1 << 20);
    run_report_write(rig->run, &history, rig->now_ms, "http://gw.test", &text);
    const struct json *report = json_parse(arena, buf_text(&text), &limits, &fault);
    assert_non_null(report);
    const struct json *percent = json_gets(report, "percent");
    int64_t value = json_kind(percent) == JSON_INT ? json_int(percent) : -1;
    *ret_eta = json_kind(json_gets(report, "eta")) == JSON_STRING;
    *ret_stalled = json_truth(json_gets(report, "stalled"));
    buf_fini(&text);
    arena_free(arena);
    return value;
}

static void assert_outlook(const struct rig *rig, int64_t percent, bool eta, bool stalled) {
    bool said_eta, said_stalled;
    assert_int_equal(outlook_of(rig, &said_eta, &said_stalled), percent);
    assert_int_equal(said_eta, eta);
    assert_int_equal(said_stalled, stalled);
}

static void test_waiting_is_no_work(void **state) {
    (void)state;
    struct rig rig;
    rig_begin(&rig, adaptive, 1);
    rig.queued = true;
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    rig.now_ms += 3600 * S;
    assert_outlook(&rig, -1, false, false); /* nobody knows when its turn comes */
    rig_restart(&rig);
    assert_outlook(&rig, -1, false, false);
    rig_give_turn(&rig);
    rig_stored(&rig);
    assert_outlook(&rig, 0, true, false);
    rig_answer(&rig, 201, "{}");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{}");
    rig.now_ms += 50 * S;
    assert_outlook(&rig, 49, true, false);
    rig_restart(&rig);
    assert_outlook(&rig, 49, true, false);
    rig_end(&rig);
}

static bool is_busy;

static bool while_busy(struct rig *rig) {
    (void)rig;
    return is_busy;
}

/* It has its turn among the runs of its stage, and waits for one at its upstream. */
static void test_a_first_call_that_is_held(void **state) {
    (void)state;
    struct rig rig;
    is_busy = true;
    rig_begin(&rig, adaptive, 1);
    rig.busy = while_busy;
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    rig.now_ms += 20 * S;
    assert_outlook(&rig, -1, false, false);
    is_busy = false;
    rig_give_turn(&rig);
    rig_stored(&rig);
    assert_outlook(&rig, 0, true, false);
    rig_answer(&rig, 201, "{}");
    rig_stored(&rig);
    rig.now_ms += 50 * S;
    is_busy = true; /* a poll that is held is a part of the work */
    rig_answer(&rig, 200, "{}");
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    bool eta, stalled;
    assert_in_range(outlook_of(&rig, &eta, &stalled), 49, 60);
    assert_true(eta);
    rig_end(&rig);
}

/* Polls come where runs used to end, counted from the same moment. */
static void test_polls_count_from_it(void **state) {
    (void)state;
    struct history history = hundred_seconds();
    struct rig rig;
    rig_begin(&rig, adaptive, 1);
    rig.queued = true;
    rig.history = &history;
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    rig.now_ms += 3600 * S;
    rig_give_turn(&rig);
    rig_stored(&rig);
    rig_answer(&rig, 201, "{}");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{}");
    assert_in_range(rig.timer_ms - rig.now_ms, 54 * S, 66 * S); /* max_every: none ended before 100 s */
    rig.now_ms += 99 * S;
    rig_due(&rig);
    rig_answer(&rig, 200, "{}");
    assert_in_range(rig.timer_ms - rig.now_ms, 900, 1100);
    rig_end(&rig);
}

/* What the store tells of a run's time, without the whole record being read. */
static void test_the_record_tells(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, adaptive);
    struct store_record record = rig_record(&rig, &rig.durable);
    assert_int_equal(run_record_begun_ms(&record), RIG_BEGAN);
    rig_end(&rig);

    rig_begin(&rig, adaptive, 1);
    rig.queued = true;
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    record = rig_record(&rig, &rig.durable);
    assert_int_equal(run_record_begun_ms(&record), 0);
    rig.now_ms += 77;
    rig_give_turn(&rig);
    rig_stored(&rig);
    record = rig_record(&rig, &rig.durable);
    assert_int_equal(run_record_begun_ms(&record), RIG_BEGAN + 77);
    static const char *const older[] = {"{}", "{\"version\":1}", "{\"version\":1,\"begun\":\"x\"}", "rubbish", ""};
    for (size_t i = 0; i < sizeof older / sizeof *older; i++) {
        record.body = text_of(older[i]);
        assert_int_equal(run_record_begun_ms(&record), RIG_BEGAN);
    }
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting_is_no_work),
        cmocka_unit_test(test_a_first_call_that_is_held),
        cmocka_unit_test(test_polls_count_from_it),
        cmocka_unit_test(test_the_record_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
