/* Runs whose calls fail, are lost or refused, and whose time is up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

static void test_never_sent_is_tried_again(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, rig_two_steps);
    rig_fail(&rig, REPLY_NEVER_SENT);
    assert_int_equal(rig.run->state, RUN_WAITING);
    rig_stored(&rig);
    assert_false(rig_durable_int(&rig, "sending")); /* a restart here is in no doubt */
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    rig_stored(&rig);
    rig_fail(&rig, REPLY_NEVER_SENT);
    rig_due(&rig); /* before its record is durable */
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 3);
    rig_fail(&rig, REPLY_NEVER_SENT);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_UNREACHABLE);
    assert_string_equal(rig.run->error, "request: connection refused");
    rig_end(&rig);
}

static void test_lost_reply_is_in_doubt(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, rig_two_steps);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_submit_answers(void **state) {
    (void)state;
    static const struct {
        int code;
        enum run_state state;
        enum reason reason;
    } rows[] = {
        {201, RUN_RECORDING, REASON_NONE},          {204, RUN_RECORDING, REASON_NONE},
        {400, RUN_ENDING, REASON_UPSTREAM_REFUSED}, {302, RUN_ENDING, REASON_UPSTREAM_REFUSED},
        {500, RUN_ENDING, REASON_UPSTREAM_REFUSED}, {503, RUN_ENDING, REASON_UPSTREAM_REFUSED},
        {408, RUN_ENDING, REASON_UPSTREAM_REFUSED}, {429, RUN_WAITING, REASON_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_accept(&rig, rig_two_steps);
        rig_answer(&rig, rows[i].code, "{\"state\": \"passed\"}");
        assert_int_equal(rig.run->state, rows[i].state);
        assert_int_equal(rig.run->reason, rows[i].reason);
        rig_end(&rig);
    }
}

static void test_poll_errors_go_on_until_the_time_is_up(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    int64_t began = rig.run->step_began_ms;
    for (int i = 0; rig.run->state == RUN_CALLING; i++) {
        if (i % 3 == 0) rig_answer(&rig, 503, "down");
        else rig_fail(&rig, i % 3 == 1 ? REPLY_NEVER_SENT : REPLY_MAYBE_ACTED_ON);
        assert_int_equal(rig.run->state, RUN_WAITING);
        rig_due(&rig);
    }
    assert_int_equal(rig.run->state, RUN_STOPPING);
    assert_int_equal(rig.now_ms, began + 60 * S);
    assert_true(rig.sends[1] > 2);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_CANCELING); /* the upstream is told to stop */
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_int_equal(rig.cancel_sends, 1);
    rig_end(&rig);
}

/* What kept it from being done is told: no word that was looked for would have come. */
static void test_time_is_up_in_trouble(void **state) {
    (void)state;
    for (int code = 0; code <= 503; code += 503) {
        struct rig rig;
        rig_begin_polling(&rig);
        while (rig.run->state == RUN_CALLING) {
            if (code) rig_answer(&rig, code, "{}");
            else rig_fail(&rig, REPLY_NEVER_SENT);
            rig_due(&rig);
        }
        rig_stored(&rig);
        rig_answer(&rig, 403, "{}"); /* the cancel call */
        rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
        const char *what = code ? "and the upstream last answered 503; " : "and its last call was not answered; ";
        if (!strstr(rig.run->error, what)) fail_msg("%s", rig.run->error);
        rig_end(&rig);
    }
}

static void assert_journal_has(const struct rig *rig, const char *part) {
    struct buf told;
    buf_init(&told, 10000);
    journal_print(&rig->run->journal, &told);
    if (!strstr(buf_cstr(&told), part)) fail_msg("no %s in %s", part, buf_cstr(&told));
    buf_fini(&told);
}

/* A call whose answer is not waited for was made all the same. */
static void test_given_up_calls_are_told(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_due(&rig); /* the step's time */
    assert_journal_has(&rig, "\"rule\":\"the time is up\"");
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_due(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_journal_has(&rig, "\"step\":\"cancel\"");
    rig_end(&rig);

    rig_begin_polling(&rig);
    rig_cancel(&rig);
    assert_journal_has(&rig, "\"verdict\":\"given_up\"");
    assert_journal_has(&rig, "\"phase\":\"maybe_acted_on\"");
    rig_end(&rig);
}

/* explain says so of the call that was the last one. */
static void test_the_last_try_is_told_as_such(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig,
              "name = \"job\"; request = { url = \"http://up.test/\"; retry = { attempts = 5; budget = \"20s\"; }; };");
    rig_stored(&rig);
    rig_answer_asking(&rig, 429, "", "60");
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_REFUSED);
    assert_journal_has(&rig, "\"verdict\":\"failed\"");
    assert_journal_has(&rig, "retry.budget is 20s");
    rig_end(&rig);
}

static void test_time_is_up_without_a_word(void **state) {
    (void)state;
    static const struct {
        const char *body, *error;
    } rows[] = {
        {"{\"stat\": \"passed\"}", "status: not done within its time, and no reply had a word at $.state; the upstream "
                                   "was told to stop, and does not say that it has"},
        {"{\"state\": \"queued\"}",
         "status: not done within its time; the upstream was told to stop, and still says \"queued\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_begin_polling(&rig);
        while (rig.run->state == RUN_CALLING) {
            rig_answer(&rig, 200, rows[i].body);
            rig_due(&rig);
        }
        rig_stored(&rig);
        rig_answer(&rig, 204, "");
        while (rig.run->state == RUN_CANCEL_CHECK_WAITING) {
            rig_due(&rig);
            if (rig.under_way) rig_answer(&rig, 200, rows[i].body);
        }
        rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
        assert_string_equal(rig.run->error, rows[i].error);
        rig_end(&rig);
    }
}

static void test_retry_after_is_obeyed(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    struct reply_header header = {"retry-after", "17"};
    struct reply reply = {.phase = REPLY_ANSWERED, .code = 429, .headers = &header, .header_count = 1};
    rig_reply(&rig, &reply);
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 17 * S);
    rig_due(&rig);
    header.value = "90"; /* past the time of the step */
    rig_reply(&rig, &reply);
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 60 * S);
    rig_end(&rig);
}

static void test_time_is_up_during_a_call(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 60 * S);
    rig_due(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_NONE);
    rig_stored(&rig);
    rig_answer(&rig, 500, "");
    assert_int_equal(rig.run->state, RUN_CANCEL_WAITING);
    rig_due(&rig);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    rig_end(&rig);
}

/* Asked for first, so the end is what was asked for. */
static void test_cancel_then_time_is_up(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, "name = \"s\"; timeout = \"10s\"; request = { url = \"http://up.test/\"; }; cancel = { url = "
                     "\"http://up.test/stop\"; };");
    rig_cancel(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_CALLING);
    rig_due(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_CANCELING);
    rig_answer(&rig, 200, "");
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_whole_run_has_a_time(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, "name = \"s\"; timeout = \"8s\"; request = { url = \"http://up.test/\"; }; status = { url = "
                     "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; every = \"5s\"; };");
    rig.now_ms += 2 * S;
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    while (rig.run->state == RUN_CALLING) {
        rig_answer(&rig, 200, "{\"state\": \"busy\"}");
        rig_due(&rig);
    }
    assert_int_equal(rig.now_ms, RIG_BEGAN + 8 * S);
    rig_stored(&rig);
    assert_int_equal(rig.run->reason, REASON_TIMEOUT);
    rig_end(&rig);
}

static void test_time_is_up_before_the_record_is_written(void **state) {
    (void)state;
    struct rig rig;
    const char *definition =
        "name = \"s\"; timeout = \"8s\"; request = { url = \"http://up.test/\"; }; status = { url = "
        "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; canceled = [ \"aborted\" ]; }; cancel = { "
        "url = "
        "\"http://up.test/stop\"; };";
    rig_start(&rig, definition);
    rig.now_ms += 9 * S;
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_int_equal(rig.sends[0] + rig.cancel_sends, 0);
    rig_end(&rig);
    rig_accept(&rig, definition);
    rig_answer(&rig, 201, "{}");
    assert_int_equal(rig.run->state, RUN_RECORDING);
    rig.now_ms += 9 * S;
    rig_stored(&rig);
    assert_int_equal(rig.sends[1], 0);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_int_equal(rig.cancel_sends, 1);
    rig_end(&rig);
}

static void test_refused_requests(void **state) {
    (void)state;
    static const struct {
        enum fault_kind kind;
        enum reason reason;
    } rows[] = {{FAULT_UNDEFINED, REASON_INVALID_REQUEST},
                {FAULT_INVALID, REASON_INVALID_REQUEST},
                {FAULT_FORBIDDEN, REASON_REFUSED_EGRESS}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_accept(&rig, rig_two_steps);
        rig_refuse(&rig, rows[i].kind);
        rig_assert_ends(&rig, RUN_TERMINAL, rows[i].reason);
        assert_int_equal(rig.run->steps[0].calls, 0);
        rig_end(&rig);
    }
}

/* The second poll comes 0.5 to 5.5 s behind the first one, the third one 5 s later, wherever the run's grid lies. */
static void test_not_found_at_first(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig,
              "name = \"s\"; request = { url = \"http://up.test/\"; }; status = { url = \"http://up.test/1\"; value = "
              "\"$.state\"; success = [ \"ok\" ]; every = \"5s\"; not_found_grace = \"5500ms\"; };");
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    rig_answer(&rig, 404, "");
    rig_due(&rig);
    rig_answer(&rig, 404, "");
    rig_due(&rig);
    rig_answer(&rig, 404, "");
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_REFUSED);
    rig_end(&rig);
}

static void test_first_record_cannot_be_written(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig, rig_two_steps);
    rig_unstored(&rig);
    assert_int_equal(rig.run->state, RUN_DROPPED);
    assert_true(rig.over);
    assert_int_equal(rig.sends[0], 0);
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_sent_is_tried_again),
        cmocka_unit_test(test_lost_reply_is_in_doubt),
        cmocka_unit_test(test_submit_answers),
        cmocka_unit_test(test_poll_errors_go_on_until_the_time_is_up),
        cmocka_unit_test(test_time_is_up_without_a_word),
        cmocka_unit_test(test_time_is_up_in_trouble),
        cmocka_unit_test(test_the_last_try_is_told_as_such),
        cmocka_unit_test(test_given_up_calls_are_told),
        cmocka_unit_test(test_retry_after_is_obeyed),
        cmocka_unit_test(test_time_is_up_during_a_call),
        cmocka_unit_test(test_cancel_then_time_is_up),
        cmocka_unit_test(test_whole_run_has_a_time),
        cmocka_unit_test(test_time_is_up_before_the_record_is_written),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_not_found_at_first),
        cmocka_unit_test(test_first_record_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
