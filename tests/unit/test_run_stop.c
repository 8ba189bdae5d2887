/* A wish to cancel, in every state; run/run_cancel's own rules are in test_run_cancel.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

static void test_cancel_before_the_first_record(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig, rig_two_steps);
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
    assert_int_equal(rig.sends[0] + rig.cancel_sends, 0);
    rig_end(&rig);
}

/* Its reply says what there is to cancel, so it is waited for. */
static void test_cancel_during_the_submit_call(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, rig_two_steps);
    rig_cancel(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_STEP);
    rig_stored(&rig);
    assert_true(rig_durable_int(&rig, "cancel_wanted"));
    rig_cancel(&rig);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    assert_int_equal(rig.sends[1], 0);
    rig_end(&rig);
}

/* The same where the submit call is idempotent: a PUT may start work too. */
static void test_cancel_during_an_idempotent_submit_call(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, "name = \"s\"; request = { method = \"PUT\"; url = \"http://up.test/\"; }; status = { url = "
                     "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; canceled = [ \"aborted\" ]; }; "
                     "cancel = { url = "
                     "\"http://up.test/{{ request.body.id }}\"; };");
    rig_cancel(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_STEP);
    rig_answer(&rig, 200, "{\"id\": 5}");
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

/* What became of the submit call that a cancel waited for, and how sure the end may be. */
static void test_cancel_then_how_the_submit_call_ends(void **state) {
    (void)state;
    static const char put[] =
        "name = \"s\"; request = { method = \"PUT\"; url = \"http://up.test/\"; }; status = { url = "
        "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; }; cancel = { url = "
        "\"http://up.test/{{ request.body.id }}\"; };";
    static const struct {
        const char *definition;
        int code; /* 0: no answer, as `phase` says */
        enum reply_phase phase;
        enum reason reason;
    } rows[] = {
        {rig_two_steps, 0, REPLY_NEVER_SENT, REASON_CANCELED_BEFORE_START},
        {rig_two_steps, 0, REPLY_MAYBE_ACTED_ON, REASON_CANCEL_UNCONFIRMED},
        {rig_two_steps, 400, REPLY_ANSWERED, REASON_CANCELED_BEFORE_START},
        {rig_two_steps, 429, REPLY_ANSWERED, REASON_CANCELED_BEFORE_START},
        {put, 0, REPLY_NEVER_SENT, REASON_CANCELED_BEFORE_START},
        {put, 0, REPLY_MAYBE_ACTED_ON, REASON_CANCEL_UNCONFIRMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_accept(&rig, rows[i].definition);
        rig_cancel(&rig);
        rig_stored(&rig);
        if (rows[i].code) rig_answer(&rig, rows[i].code, "");
        else rig_fail(&rig, rows[i].phase);
        rig_assert_ends(&rig, RUN_CANCELED, rows[i].reason);
        rig_end(&rig);
    }
}

static void test_cancel_during_the_last_call(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, "name = \"s\"; request = { url = \"http://up.test/\"; };");
    rig_cancel(&rig);
    rig_answer(&rig, 200, ""); /* done before it could be stopped */
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

static void test_cancel_while_waiting(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_answer(&rig, 200, "{}");
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_STOPPING);
    assert_int_equal(rig.cancel_sends, 0); /* not before it is durable */
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_cancel(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    rig_stops(&rig);
    rig_cancel(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_cancel_during_a_poll(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_cancel(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_NONE); /* it is given up */
    rig_stored(&rig);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_cancel_while_the_reply_is_written(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, rig_two_steps);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_RECORDING);
    rig_written(&rig); /* the reply, without the wish */
    assert_int_equal(rig.cancel_sends, 0);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    assert_int_equal(rig.sends[1], 0);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_cancel_while_the_intent_is_written(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, rig_two_steps);
    rig_fail(&rig, REPLY_NEVER_SENT);
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_cancel_while_the_end_is_written_and_after(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_answer(&rig, 200, "{\"state\": \"passed\"}");
    rig_cancel(&rig);
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    struct buf before, after;
    buf_init(&before, 1 << 20);
    buf_init(&after, 1 << 20);
    run_report_write(rig.run, NULL, 0, "", &before);
    rig_cancel(&rig);
    rig_move(&rig, &(struct run_event){.kind = RUN_EVENT_DUE});
    rig_move(&rig, &(struct run_event){.kind = RUN_EVENT_STORED});
    run_report_write(rig.run, NULL, 0, "", &after);
    assert_string_equal(buf_cstr(&before), buf_cstr(&after));
    assert_false(rig.writing.exists);
    buf_fini(&before);
    buf_fini(&after);
    rig_end(&rig);
}

static void test_cancel_without_a_cancel_call(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig,
              "name = \"s\"; request = { url = \"http://up.test/\"; }; status = { url = \"http://up.test/1\"; value = "
              "\"$.state\"; success = [ \"ok\" ]; };");
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_STOPPING);
    rig_written(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

static void test_cancel_call_answers(void **state) {
    (void)state;
    static const struct {
        int codes[6]; /* 0: the call fails; -1: none any more */
        enum reason reason;
    } rows[] = {
        {{200, -1}, REASON_CANCELED},
        {{404, -1}, REASON_CANCELED},
        {{409, -1}, REASON_CANCELED},
        {{410, -1}, REASON_CANCELED},
        {{405, -1}, REASON_CANCELED},
        {{400, -1}, REASON_CANCEL_UNCONFIRMED},
        {{403, -1}, REASON_CANCEL_UNCONFIRMED},
        {{503, 204, -1}, REASON_CANCELED},
        {{0, 429, 204, -1}, REASON_CANCELED},
        {{0, 0, 0, 0, 0, -1}, REASON_CANCEL_UNCONFIRMED},
        {{0, 0, 0, 0, 404, -1}, REASON_CANCELED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_begin_polling(&rig);
        rig_cancel(&rig);
        rig_stored(&rig);
        for (size_t n = 0; rows[i].codes[n] >= 0; n++) {
            if (n) rig_due(&rig);
            if (rows[i].codes[n]) rig_answer(&rig, rows[i].codes[n], "");
            else rig_fail(&rig, REPLY_NEVER_SENT);
        }
        if (rig.run->state == RUN_CANCEL_CHECK_WAITING)
            rig_due(&rig), rig_answer(&rig, 200, "{\"state\": \"aborted\"}");
        rig_assert_ends(&rig, RUN_CANCELED, rows[i].reason);
        rig_end(&rig);
    }
}

static void test_cancel_call_cannot_be_rendered(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_refuse(&rig, FAULT_UNDEFINED);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    assert_string_equal(rig.run->progress, "canceled: request.body.id is not there");
    rig_end(&rig);
}

static void test_canceled_in_advance(void **state) {
    (void)state;
    for (int written = 0; written <= 1; written++) {
        struct rig rig;
        rig_begin(&rig, rig_two_steps, 1);
        struct run_new from = rig_new(&rig, NULL);
        from.stage = NULL;
        rig.run = run_new_canceled(&from, "job");
        rig_store(&rig);
        rig_cancel(&rig);
        if (written) {
            rig_stored(&rig);
            assert_int_equal(rig.run->state, RUN_ENDED);
            assert_int_equal(rig.run->status, RUN_CANCELED);
        } else {
            rig_unstored(&rig); /* nobody was told of it */
            assert_int_equal(rig.run->state, RUN_DROPPED);
        }
        assert_true(rig.over);
        rig_end(&rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_before_the_first_record),
        cmocka_unit_test(test_cancel_during_the_submit_call),
        cmocka_unit_test(test_cancel_during_an_idempotent_submit_call),
        cmocka_unit_test(test_cancel_then_how_the_submit_call_ends),
        cmocka_unit_test(test_cancel_during_the_last_call),
        cmocka_unit_test(test_cancel_while_waiting),
        cmocka_unit_test(test_cancel_during_a_poll),
        cmocka_unit_test(test_cancel_while_the_reply_is_written),
        cmocka_unit_test(test_cancel_while_the_intent_is_written),
        cmocka_unit_test(test_cancel_while_the_end_is_written_and_after),
        cmocka_unit_test(test_cancel_without_a_cancel_call),
        cmocka_unit_test(test_cancel_call_answers),
        cmocka_unit_test(test_cancel_call_cannot_be_rendered),
        cmocka_unit_test(test_canceled_in_advance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
