/* Restarts at any moment, and definitions that are no use any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

static const char put[] = "name = \"s\"; request = { method = \"PUT\"; url = \"http://up.test/\"; };";

static void test_restart_before_the_call_is_known_to_have_left(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, rig_two_steps);
    rig_restart(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_restart_during_an_idempotent_call(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, put);
    rig_restart(&rig);
    assert_int_equal(rig.timer_ms, rig.now_ms);
    rig_due(&rig);
    assert_int_equal(rig.sends[0], 2);
    rig_answer(&rig, 200, "");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

/* Whether the call had been made before the restart is not known. */
static void test_cancel_after_a_restart_during_an_idempotent_call(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, put);
    rig_restart(&rig);
    rig_cancel(&rig);
    rig_written(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

static void test_restart_while_polling_keeps_the_phase(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_answer(&rig, 200, "{}");
    int64_t before_ms = rig.timer_ms;
    rig_crash(&rig, false);
    rig.now_ms = RIG_BEGAN + 12 * S;
    rig_resume(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_int_equal((rig.timer_ms - before_ms) % (5 * S), 0);
    rig_assert_on_grid(&rig);
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": \"passed\"}");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_restart_after_the_time_is_up(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_crash(&rig, false);
    rig.now_ms += 3600 * S;
    rig_resume(&rig);
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_STOPPING);
    rig_stored(&rig);
    rig_restart(&rig); /* it is known, so the cancel call goes out */
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    rig_end(&rig);
}

static void test_restart_while_canceling(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_cancel(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    rig_restart(&rig);
    assert_int_equal(rig.cancel_sends, 2);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

/* Also of a PUT, which is made without a word in the record. */
static void test_restart_with_a_cancel_wish_during_the_submit_call(void **state) {
    (void)state;
    const char *const definitions[] = {rig_two_steps, put};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_accept(&rig, definitions[i]);
        rig_cancel(&rig);
        rig_stored(&rig);
        rig_restart(&rig);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
        rig_end(&rig);
    }
}

static void test_restart_while_the_end_is_written(void **state) {
    (void)state;
    for (int made_it = 0; made_it <= 1; made_it++) {
        struct rig rig;
        rig_begin_polling(&rig);
        rig_answer(&rig, 200, "{\"state\": \"passed\", \"report\": \"r\"}");
        rig_crash(&rig, made_it);
        if (made_it) {
            assert_true(rig.durable.ended_ms);
        } else {
            rig_resume(&rig);
            rig_due(&rig);
            rig_answer(&rig, 200, "{\"state\": \"passed\", \"report\": \"r\"}");
            rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        }
        rig_end(&rig);
    }
}

static const char polled_by_post[] =
    "name = \"s\"; request = { url = \"http://up.test/\"; }; status = { method = \"POST\"; url = \"http://up.test/q\"; "
    "value = \"$.state\"; success = [ \"ok\" ]; every = \"5s\"; retry = { delay = \"10s\"; max_delay = \"10s\"; }; };";

/* A poll by POST that was answered is in no doubt, whenever the gateway stops. */
static void test_restart_between_polls_that_are_not_idempotent(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, polled_by_post);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    for (int i = 0; i < 3; i++) {
        rig_answer(&rig, 200, "{\"state\": \"busy\"}");
        rig_stored(&rig);
        rig_restart(&rig);
        assert_int_equal(rig.run->state, RUN_WAITING);
        rig_due(&rig);
        rig_stored(&rig);
    }
    rig_answer(&rig, 200, "{\"state\": \"ok\"}");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

/* A drain: the call is ordered when nothing may begin any more. It was never sent, so a restart is in no doubt. */
static void test_restart_with_a_call_held_back(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig, rig_two_steps);
    rig.hold_calls = true;
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_false(rig_durable_int(&rig, "sending"));
    rig_restart(&rig);
    rig_due(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig.hold_calls = true;
    rig_stored(&rig);
    rig_restart(&rig);
    rig_due(&rig);
    rig_cancel(&rig);
    rig.hold_calls = true;
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 0);
    rig_restart(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_clock_set_back_holds_nobody_up(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_answer(&rig, 200, "{}");
    rig.now_ms -= 3600 * S;
    rig.timer_ms = rig.now_ms; /* timers run by another clock, so it comes in time */
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_CALLING);
    rig_answer(&rig, 200, "{}");
    assert_true(rig.timer_ms <= rig.now_ms + 5 * S);
    rig_end(&rig);

    rig_start(&rig, polled_by_post); /* the time of the next try is in its record */
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    rig_fail(&rig, REPLY_NEVER_SENT);
    rig_stored(&rig);
    rig_crash(&rig, false);
    rig.now_ms -= 24 * 3600 * S;
    rig_resume(&rig);
    assert_true(rig.timer_ms <= rig.now_ms + 3600 * S);
    rig_end(&rig);
}

static void test_definition_that_is_no_use_any_more(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_crash(&rig, false);
    struct store_record record = rig_record(&rig, &rig.durable);
    struct fault fault;
    rig.run = run_load(&record, NULL, &fault);
    assert_non_null(rig.run);
    struct run_world world = rig_world(&rig);
    struct run_orders orders;
    run_give_up(rig.run, &world, REASON_BROKEN_DEFINITION, "the file ca.pem is gone", &orders);
    rig_carry_out(&rig, &orders);
    rig_cancel(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_BROKEN_DEFINITION);
    assert_non_null(strstr(rig.run->error, "ca.pem"));
    assert_non_null(strstr(rig.durable.body, "\"name\":\"status\"")); /* what steps there were is still told */
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart_before_the_call_is_known_to_have_left),
        cmocka_unit_test(test_restart_during_an_idempotent_call),
        cmocka_unit_test(test_cancel_after_a_restart_during_an_idempotent_call),
        cmocka_unit_test(test_restart_while_polling_keeps_the_phase),
        cmocka_unit_test(test_restart_after_the_time_is_up),
        cmocka_unit_test(test_restart_while_canceling),
        cmocka_unit_test(test_restart_with_a_cancel_wish_during_the_submit_call),
        cmocka_unit_test(test_restart_while_the_end_is_written),
        cmocka_unit_test(test_restart_between_polls_that_are_not_idempotent),
        cmocka_unit_test(test_restart_with_a_call_held_back),
        cmocka_unit_test(test_clock_set_back_holds_nobody_up),
        cmocka_unit_test(test_definition_that_is_no_use_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
