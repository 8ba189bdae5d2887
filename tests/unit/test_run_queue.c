/* Runs and calls that wait for a turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

static void begin_queued(struct rig *rig, const char *definition) {
    rig_begin(rig, definition, 1);
    rig->queued = true;
    rig_start_with(rig, NULL);
}

static void test_queued_until_its_turn(void **state) {
    (void)state;
    struct rig rig;
    begin_queued(&rig, rig_two_steps);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    assert_string_equal(rig.run->progress, "queued");
    struct run_world world = rig_world(&rig);
    run_say_turn(rig.run, &world, "queued: 2nd of 3");
    assert_string_equal(rig.run->progress, "queued: 2nd of 3");
    rig.now_ms += 3600 * S; /* the time of its first step has not begun */
    rig_restart(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    assert_int_equal(rig.sends[0], 0);
    rig_give_turn(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    assert_int_equal(rig.sends[0], 0); /* not before it is durable */
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    assert_int_equal(rig.run->step_began_ms, rig.now_ms);
    run_say_turn(rig.run, &world, "queued: not any more");
    assert_null(strstr(rig.run->progress, "queued"));
    rig_restart(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    rig_end(&rig);
}

static void test_turn_before_the_first_record(void **state) {
    (void)state;
    struct rig rig;
    begin_queued(&rig, rig_two_steps);
    rig_give_turn(&rig);
    assert_int_equal(rig.run->state, RUN_ACCEPTING);
    rig_written(&rig); /* the first record, which says that it is queued */
    assert_int_equal(rig.sends[0], 0);
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_CALLING);
    rig_end(&rig);
}

static void test_cancel_while_queued(void **state) {
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct rig rig;
        begin_queued(&rig, rig_two_steps);
        if (how == 3) rig_give_turn(&rig);
        if (how < 2) rig_stored(&rig);
        if (how == 1) rig_give_turn(&rig);
        rig_cancel(&rig);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
        assert_int_equal(rig.sends[0] + rig.cancel_sends, 0);
        rig_end(&rig);
    }
}

static void test_cancel_wish_and_a_restart_while_queued(void **state) {
    (void)state;
    struct rig rig;
    begin_queued(&rig, rig_two_steps);
    rig_cancel(&rig);
    rig_written(&rig);
    rig_crash(&rig, true);
    rig_resume(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
    rig_end(&rig);
}

static void test_time_is_up_while_queued(void **state) {
    (void)state;
    struct rig rig;
    begin_queued(&rig, "name = \"s\"; timeout = \"8s\"; request = { url = \"http://up.test/\"; timeout = \"2s\"; }; "
                       "cancel = { url = \"http://up.test/stop\"; };");
    rig_stored(&rig);
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 8 * S);
    rig.timer_ms = RIG_BEGAN + 3 * S; /* a timer of before */
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    rig_due(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_non_null(strstr(rig.run->error, "no call had been made"));
    assert_int_equal(rig.sends[0] + rig.cancel_sends, 0);
    rig_end(&rig);
}

static bool always_busy(struct rig *rig) {
    (void)rig;
    return true;
}

static void test_call_that_is_held(void **state) {
    (void)state;
    struct rig rig;
    rig_begin(&rig, rig_two_steps, 1);
    rig.busy = always_busy;
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    assert_string_equal(rig.run->progress, "request: held: 1st of 1");
    assert_int_equal(rig.run->steps[0].calls, 0);
    rig_restart(&rig); /* at any moment: rig_holds */
    rig_due(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    rig_give_turn(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig); /* the poll is held too */
    assert_int_equal(rig.run->state, RUN_QUEUED);
    assert_int_equal(rig.timer_ms, rig.run->step_began_ms + 60 * S);
    rig_give_turn(&rig);
    assert_int_equal(rig.run->state, RUN_CALLING);
    rig_answer(&rig, 200, "{}");
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    assert_int_equal(rig.sends[1], 1);
    rig_end(&rig);
}

static void test_time_is_up_while_a_call_is_held(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig.busy = always_busy;
    rig_answer(&rig, 200, "{}");
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    rig_due(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1); /* which is not held */
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queued_until_its_turn),
        cmocka_unit_test(test_turn_before_the_first_record),
        cmocka_unit_test(test_cancel_while_queued),
        cmocka_unit_test(test_cancel_wish_and_a_restart_while_queued),
        cmocka_unit_test(test_time_is_up_while_queued),
        cmocka_unit_test(test_call_that_is_held),
        cmocka_unit_test(test_time_is_up_while_a_call_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
