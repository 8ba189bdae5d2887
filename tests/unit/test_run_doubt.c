/* Calls in doubt: what becomes of a run whose call may have been acted on, by the definition's word. run_rig.h checks
 * at every step that the upstream acted no more often than that allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

static const char probed[] =
    "name = \"job\"; request = { url = \"http://up.test/jobs\"; retry = { attempts = 2; delay = \"1s\"; max_delay = "
    "\"1s\"; }; probe = { url = \"http://up.test/jobs?by={{ run.key }}\"; found = \"$.items[0]\"; not_found_grace = "
    "\"4s\"; retry = { attempts = 2; delay = \"1s\"; max_delay = \"1s\"; }; }; }; status = { url = "
    "\"http://up.test/jobs/{{ request.body.id }}\"; value = \"$.state\"; success = [ \"passed\" ]; canceled = [ "
    "\"aborted\" ]; timeout = \"60s\"; };"
    "cancel = { method = \"DELETE\"; url = \"http://up.test/jobs/{{ request.body.id }}\"; };";

static const char resent[] = "name = \"job\"; request = { url = \"http://up.test/jobs\"; on_in_doubt = \"resend\"; "
                             "retry = { attempts = 2; delay = "
                             "\"1s\"; }; }; cancel = { url = \"http://up.test/stop\"; };";

#define NOTHING "{\"items\": []}"
#define WORK "{\"items\": [{\"id\": 7}]}"

/* … and a reply that is lost is one to a call that was never acted on. */
static void begin_idle(struct rig *rig, const char *definition) {
    rig_begin(rig, definition, 1);
    rig->lost = RIG_LOST_IDLE;
    rig_start_with(rig, NULL);
    rig_stored(rig);
}

/* … the reply is lost, and the first look is under way. */
static void begin_looking(struct rig *rig, const char *definition) {
    rig_accept(rig, definition);
    rig_fail(rig, REPLY_MAYBE_ACTED_ON);
    assert_int_equal(rig->run->state, RUN_PROBE_WAITING);
    rig_due(rig);
    assert_int_equal(rig->under_way, RUN_CALL_PROBE);
}

/* ---- the probe ---- */

static void test_found_work_is_gone_on_with(void **state) {
    (void)state;
    struct rig rig;
    begin_looking(&rig, probed);
    rig_answer(&rig, 200, WORK);
    assert_int_equal(rig.run->state, RUN_RECORDING); /* nothing follows before it is durable */
    assert_int_equal(rig.sends[1], 0);
    rig_stored(&rig);
    assert_true(rig_durable_decided(&rig, 0));
    assert_int_equal(json_int(json_gets(json_gets(rig_value(&rig, rig.run->steps[0].value), "body"), "id")), 7);
    assert_int_equal(json_int(json_gets(rig_value(&rig, rig.run->steps[0].value), "code")), 200);
    assert_int_equal(rig.sends[1], 1);
    rig_answer(&rig, 200, "{\"state\": \"passed\"}");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_found_after_a_restart(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, probed);
    rig_restart(&rig);
    assert_int_equal(rig.run->state, RUN_PROBE_WAITING);
    assert_non_null(strstr(rig.run->progress, "the gateway was stopped"));
    rig_due(&rig);
    rig_restart(&rig); /* while looking: looks again */
    rig_due(&rig);
    rig_answer(&rig, 200, WORK);
    rig_crash(&rig, false); /* before it is durable: looks again */
    rig_resume(&rig);
    rig_due(&rig);
    rig_answer(&rig, 200, WORK);
    rig_crash(&rig, true);
    rig_resume(&rig);
    assert_int_equal(rig.run->step, 1);
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": \"passed\"}");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_not_found_is_sent_again(void **state) {
    (void)state;
    struct rig rig;
    begin_idle(&rig, probed);
    int64_t began = rig.now_ms;
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    rig_due(&rig);
    for (int i = 0; i < 4; i++) { /* it may only be late */
        rig_answer(&rig, 200, NOTHING);
        assert_int_equal(rig.run->state, RUN_PROBE_WAITING);
        rig_due(&rig);
    }
    assert_int_equal(rig.now_ms - began, 4 * S);
    rig_answer(&rig, 200, NOTHING);
    assert_int_equal(rig.run->state, RUN_INTENDING); /* recorded first */
    assert_int_equal(rig.sends[0], 1);
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 2);
    rig_answer(&rig, 201, "{\"id\": 7}");
    rig_stored(&rig);
    assert_int_equal(rig.sends[1], 1);
    rig_end(&rig);
}

/* An answer is as old as its question: what took long may have been looked for before the work could be seen. */
static void test_a_slow_answer_finds_nothing(void **state) {
    (void)state;
    struct rig rig;
    begin_looking(&rig, probed);
    rig.now_ms += 6 * S;
    rig_reply(&rig, &(struct reply){.phase = REPLY_ANSWERED, .code = 200, .body = TEXT(NOTHING), .took_ms = 6 * S});
    assert_int_equal(rig.run->state, RUN_PROBE_WAITING); /* not_found_grace is 4 s */
    rig_due(&rig);
    rig_answer(&rig, 200, WORK);
    rig_stored(&rig);
    assert_int_equal(rig.run->step, 1);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

/* The doubt is no older for it. */
static void test_the_clock_is_set_while_it_looks(void **state) {
    (void)state;
    struct rig rig;
    begin_looking(&rig, probed);
    rig.now_ms += 3600 * S;
    rig.set_ms = 3600 * S;
    rig_answer(&rig, 200, NOTHING);
    assert_int_equal(rig.run->state, RUN_PROBE_WAITING); /* not_found_grace is 4 s */
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

/* Each time lost, and each time not acted on: as often as retry says. After a crash, once in any case. */
static void test_not_found_for_ever(void **state) {
    (void)state;
    struct rig rig;
    begin_idle(&rig, probed);
    for (int i = 0; rig.run->state == RUN_CALLING; i++) {
        assert_true(i < 10);
        rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        while (rig.run->state == RUN_PROBE_WAITING) {
            rig_due(&rig);
            rig_answer(&rig, 200, NOTHING);
        }
        rig_stored(&rig);
    }
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_BAD_REPLY);
    assert_int_equal(rig.sends[0], 3);
    rig_end(&rig);

    begin_idle(&rig,
               "name = \"job\"; request = { url = \"http://up.test/\"; retry = { attempts = 0; }; probe = { url = "
               "\"http://up.test/q\"; found = \"$.id\"; not_found_grace = \"0s\"; }; };");
    rig_restart(&rig);
    rig_due(&rig);
    rig_answer(&rig, 200, "{}");
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 2);
    rig_answer(&rig, 200, "");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

/* What is no clear "there is none" must not lead to the work being done twice. */
static void test_what_the_probe_answers(void **state) {
    (void)state;
    static const struct {
        const char *found; /* and other settings of the probe */
        int code;          /* 0: no answer */
        const char *body;
        enum { FOUND, NONE, AGAIN, DOUBT } then;
    } rows[] = {
        {"$.items[0]", 200, WORK, FOUND},
        {"$.items[0]", 200, "{\"items\": [5]}", FOUND},
        {"$.items[0]", 200, "{\"items\": [0]}", FOUND},
        {"$.items[0]", 200, NOTHING, NONE},
        {"$.items[0]", 200, "{\"items\": [null]}", NONE},
        {"$.items", 200, NOTHING, NONE},
        {"$.items", 200, "{\"items\": null}", NONE},
        {"$.items[0]", 200, "{}", NONE},
        {"$.items[0]", 200, "{\"error\": \"busy\"}", AGAIN},
        {"$.items[0]", 200, "{\"items\": {\"0\": 5}}", AGAIN},
        {"$.id", 200, "[{\"id\": 5}]", AGAIN},
        {"$.id", 200, "\"busy\"", AGAIN},
        {"$.id", 404, "{\"error\": \"no such job\"}", NONE},
        {"$.items[?@.id == 7]", 200, WORK, FOUND},
        {"$.items[?@.id == 8]", 200, WORK, NONE},
        {"{{ body.items | default([]) | first | default('') }}", 200, WORK, FOUND},
        {"{{ body.items | default([]) | first | default('') }}", 200, NOTHING, NONE},
        {"{{ body.jobs.id }}", 200, WORK, AGAIN},
        {"$.items[0]", 200, "<html>sign in</html>", AGAIN},
        {"$.items[0]", 200, "", AGAIN},
        {"$.items[0]", 204, "", NONE},
        {"$.items[0]", 404, "not here", NONE},
        {"$.items[0]", 400, "{}", DOUBT},
        {"$.items[0]", 401, "{}", DOUBT},
        {"$.items[0]", 500, "{}", AGAIN},
        {"$.items[0]", 429, "{}", AGAIN},
        {"$.items[0]", 0, "", AGAIN},
        {"$.items[0]\"; error = \"$.errors[0]", 200, "{\"items\": [], \"errors\": [\"busy\"]}", AGAIN},
        {"$.items[0]\"; error = \"$.errors[0]", 200, "{\"items\": [{}], \"errors\": [\"busy\"]}", AGAIN},
        {"$.items[0]\"; error = \"$.errors[0]", 200, NOTHING, NONE},
        {"$.items[0]\"; error = \"$.errors[0]", 200, WORK, FOUND},
        {"$.items[0]\"; error = \"$.errors[0]", 400, "{\"errors\": [\"bad\"]}", DOUBT},
        {"$.items[0]\"; error_when = \"body.items is not defined", 200, "{}", AGAIN},
        {"$.items[0]\"; error_when = \"body.items is not defined", 200, NOTHING, NONE},
        {"$.items[0]\"; error_when = \"code == 204", 204, "", AGAIN},
        {"$.items[0]\"; retry = { attempts = 0; }; error_when = \"run.key == 'build-7'", 200, WORK, DOUBT},
        {"$.items[0]\"; retry = { on = \"400\"; }; method = \"GET", 400, "{}", AGAIN},
        {"$.items[0]\"; retry = { on = \"429\"; }; method = \"GET", 500, "{}", DOUBT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        char definition[600];
        snprintf(definition, sizeof definition,
                 "name = \"job\"; request = { url = \"http://up.test/\"; probe = { url = \"http://up.test/q\"; "
                 "not_found_grace = \"0s\"; expect = \"2xx,404\"; found = \"%s\"; }; };",
                 rows[i].found);
        begin_idle(&rig, definition);
        rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        rig_due(&rig);
        if (rows[i].code) rig_answer(&rig, rows[i].code, rows[i].body);
        else rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        static const enum run_state states[] = {RUN_ENDING, RUN_WAITING, RUN_PROBE_WAITING, RUN_ENDING};
        if (rig.run->state != states[rows[i].then]) fail_msg("row %zu: %s", i, rig.run->progress);
        if (rows[i].then == FOUND) rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        if (rows[i].then == DOUBT) rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
        rig_end(&rig);
    }
}

static void test_probe_that_cannot_tell(void **state) {
    (void)state;
    struct rig rig;
    begin_looking(&rig, probed);
    rig_answer(&rig, 503, "");
    rig_due(&rig);
    rig_fail(&rig, REPLY_NEVER_SENT);
    rig_due(&rig);
    rig_answer(&rig, 503, "");
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    assert_int_equal(rig.probe_sends, 3);
    assert_string_equal(rig.run->error, "request: whether the upstream acted on the call is not known, and the probe "
                                        "could not tell: the upstream answered 503");
    rig_end(&rig);

    begin_looking(&rig, probed);
    rig_refuse(&rig, FAULT_UNDEFINED);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    assert_non_null(strstr(rig.run->error, "request.body.id is not there"));
    rig_end(&rig);
}

/* What was lost, and what looks for it, are made again as their retry says: not for longer than its budget, and no
 * sooner than was asked for. */
static void test_budgets_and_what_is_asked_for(void **state) {
    (void)state;
    struct rig rig;
    begin_looking(&rig, probed);
    rig_answer_asking(&rig, 503, "", "20");
    assert_int_equal(rig.timer_ms, rig.now_ms + 20 * S);
    assert_int_equal(rig.run->due_ms, rig.timer_ms);
    rig_due(&rig);
    rig_answer_asking(&rig, 200, NOTHING, "30"); /* it is late enough: there is none */
    rig_end(&rig);

    begin_looking(&rig, probed);
    rig_answer_asking(&rig, 200, NOTHING, "3"); /* there may be one yet, and then */
    assert_int_equal(rig.timer_ms, rig.now_ms + 3 * S);
    rig_end(&rig);

    begin_looking(&rig, "name = \"job\"; request = { url = \"http://up.test/\"; probe = { url = \"http://up.test/q\"; "
                        "found = \"$.id\"; retry = { attempts = 1000; budget = \"1m\"; }; }; };");
    int64_t began = rig.now_ms;
    rig_answer_asking(&rig, 503, "", "50");
    rig_restart(&rig); /* begins anew, at once */
    rig_due(&rig);
    rig_answer_asking(&rig, 503, "", "50");
    assert_int_equal(rig.timer_ms, began + 50 * S);
    rig_due(&rig);
    rig_answer_asking(&rig, 503, "", "50");
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    assert_string_equal(rig.run->error,
                        "request: whether the upstream acted on the call is not known, and the probe could not tell: "
                        "the upstream answered 503; it asks to wait for 50s, and 10s of retry.budget (1m) are left");
    rig_end(&rig);

    rig_accept(&rig,
               "name = \"job\"; request = { url = \"http://up.test/\"; on_in_doubt = \"resend\"; retry = { attempts = "
               "1000; delay = \"1s\"; budget = \"20s\"; }; };");
    began = rig.now_ms;
    while (rig.run->state == RUN_CALLING) {
        rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        rig_stored(&rig);
        if (rig.run->state == RUN_WAITING) rig_due(&rig), rig_stored(&rig);
    }
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    assert_string_equal(rig.run->error, "request: cut short; retry.budget of 20s is used up");
    assert_in_range(rig.now_ms - began, 5 * S, 20 * S);
    rig_end(&rig);
}

/* Not found so soon that its retry has it wait: it waits, and that it was not found is not asked again. */
static void test_not_found_waits_for_its_delay(void **state) {
    (void)state;
    static const char quick[] =
        "name = \"job\"; request = { url = \"http://up.test/\"; retry = { attempts = 1000; delay = \"40s\"; max_delay "
        "= "
        "\"40s\"; budget = \"1m\"; }; probe = { url = \"http://up.test/q\"; found = \"$.id\"; not_found_grace = "
        "\"0s\"; }; };";
    struct rig rig;
    begin_idle(&rig, quick);
    int64_t began = rig.now_ms;
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    rig_due(&rig);
    rig_answer(&rig, 200, "{}");
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_in_range(rig.timer_ms - rig.now_ms, 100, 40 * S);
    rig_stored(&rig);
    rig_restart(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    while (!rig.over) {
        rig_due(&rig);
        rig_stored(&rig);
        rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        rig_due(&rig);
        rig_answer(&rig, 200, "{}");
        rig_stored(&rig);
    }
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_BAD_REPLY);
    assert_non_null(strstr(rig.run->error, "the probe finds no work; retry.budget of 1m is used up"));
    assert_in_range(rig.now_ms - began, 1, 60 * S);
    rig_end(&rig);
}

static void test_held_back_while_looking(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, probed);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    rig.hold_calls = true;
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_PROBE_WAITING);
    rig_restart(&rig);
    rig_due(&rig);
    rig_answer(&rig, 200, WORK);
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

/* ---- canceling while in doubt ---- */

/* Only the work itself says what there is to cancel. */
static void test_cancel_needs_what_is_looked_for(void **state) {
    (void)state;
    for (int early = 0; early <= 1; early++) {
        struct rig rig;
        rig_accept(&rig, probed);
        if (early) rig_cancel(&rig); /* while the call is under way */
        rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        rig_stored(&rig);
        if (!early) rig_due(&rig), rig_cancel(&rig), rig_stored(&rig);
        assert_int_equal(rig.under_way, RUN_CALL_PROBE);
        assert_int_equal(rig.cancel_sends, 0);
        rig_restart(&rig);
        assert_int_equal(rig.under_way, RUN_CALL_PROBE);
        rig_answer(&rig, 200, WORK);
        rig_stored(&rig);
        assert_int_equal(rig.cancel_sends, 1);
        assert_int_equal(rig.sends[1], 0);
        rig_stops(&rig);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
        rig_end(&rig);
    }
}

static void test_cancel_then_nothing_is_found(void **state) {
    (void)state;
    struct rig rig;
    begin_idle(&rig, probed);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_PROBE_WAITING);
    for (int i = 0; i < 5; i++) {
        rig_due(&rig);
        rig_answer(&rig, 200, NOTHING);
    }
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_cancel_then_the_probe_cannot_tell(void **state) {
    (void)state;
    struct rig rig;
    begin_looking(&rig, probed);
    rig_cancel(&rig);
    rig_answer(&rig, 400, "");
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

/* However long the probe's upstream asks to wait, or says nothing at all: canceling has its own time. */
static void test_looking_for_a_cancel_has_an_end(void **state) {
    (void)state;
    for (int under_way = 0; under_way <= 1; under_way++) {
        struct rig rig;
        begin_looking(&rig, probed);
        if (!under_way) rig_answer_asking(&rig, 503, "", "300");
        int64_t began = rig.now_ms;
        rig_cancel(&rig);
        assert_int_equal(rig.timer_ms, began + 60 * S);
        rig_due(&rig);
        rig_stored(&rig);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
        assert_non_null(strstr(rig.run->progress, "cancel.timeout is used up"));
        rig_end(&rig);
    }
}

/* A cancel call that can be made as it is does not wait for the probe. */
static void test_cancel_that_needs_no_reply(void **state) {
    (void)state;
    for (int under_way = 0; under_way <= 1; under_way++) {
        struct rig rig;
        rig_accept(&rig, "name = \"job\"; request = { url = \"http://up.test/\"; probe = { url = \"http://up.test/q\"; "
                         "found = \"$.id\"; }; }; cancel = { url = \"http://up.test/stop/{{ run.key }}\"; };");
        rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        if (under_way) rig_due(&rig);
        rig_cancel(&rig);
        rig_stored(&rig);
        assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
        rig_answer(&rig, 200, "");
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
        rig_end(&rig);
    }
}

static void test_time_is_up_while_looking(void **state) {
    (void)state;
    static const char timed[] =
        "name = \"job\"; timeout = \"3s\"; request = { url = \"http://up.test/\"; probe = { url = "
        "\"http://up.test/q\"; found = \"$.id\"; retry = { attempts = 1; delay = \"1s\"; max_delay = \"1s\"; }; }; }; "
        "cancel = { url = \"http://up.test/{{ request.body }}\"; };";
    struct rig rig;
    begin_looking(&rig, timed);
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 3 * S);
    rig_due(&rig); /* it hangs */
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_PROBE); /* what is there has to be stopped, so it is looked for */
    rig_answer(&rig, 200, "{\"id\": 4}");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE); /* done, however late it became known */
    rig_end(&rig);

    begin_looking(&rig, timed);
    rig_answer(&rig, 500, "");
    while (rig.run->state == RUN_PROBE_WAITING || rig.run->state == RUN_PROBING) {
        if (rig.run->state == RUN_PROBE_WAITING) rig_due(&rig);
        else rig_answer(&rig, 500, "");
    }
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    rig_end(&rig);
}

/* ---- sent again ---- */

static void test_resend(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, resent);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    assert_int_equal(rig.run->state, RUN_WAITING);
    rig_stored(&rig);
    rig_restart(&rig);
    rig_due(&rig);
    assert_int_equal(rig.sends[0], 2);
    rig_restart(&rig); /* no fault of the upstream: not counted */
    rig_due(&rig);
    rig_fail(&rig, REPLY_NEVER_SENT);
    rig_stored(&rig);
    rig_cancel(&rig); /* the first may have been acted on, whatever became of the second */
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_end(&rig);

    rig_accept(&rig, resent);
    for (int i = 0; i < 2; i++) rig_fail(&rig, REPLY_MAYBE_ACTED_ON), rig_due(&rig);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    assert_int_equal(rig.sends[0], 3);
    rig_end(&rig);
}

/* A 5xx is an answer, and no doubt: only a call that is idempotent is repeated for it. */
static void test_resend_is_for_doubt_only(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, resent);
    rig_answer(&rig, 503, "");
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_REFUSED);
    rig_end(&rig);
}

/* ---- with a key ---- */

static void test_idempotency_key(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, "name = \"job\"; request = { url = \"http://up.test/\"; idempotency_key = true; };");
    assert_true(rig.stage->steps[0].call.idempotent);
    struct arena *arena = arena_new();
    const char *key = run_idempotency_key(rig.run, arena);
    assert_int_equal(strlen(key), 36);
    assert_int_equal(key[14], '4');
    assert_non_null(strchr("89ab", key[19]));
    assert_int_equal(strspn(key, "0123456789abcdef-"), 36);
    rig_restart(&rig);
    assert_string_equal(run_idempotency_key(rig.run, arena), key); /* the same after a restart … */
    rig.run->key = "build-8";
    assert_string_not_equal(run_idempotency_key(rig.run, arena), key); /* … and another for another run */
    rig_due(&rig);
    rig_answer(&rig, 502, "");
    rig_due(&rig);
    rig_answer(&rig, 200, "");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    arena_free(arena);
    rig_end(&rig);
}

static void test_each_step_has_a_key_of_its_own(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, "name = \"job\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/\"; "
                     "idempotency_key = true; }, { name = \"b\"; method = \"POST\"; url = \"http://up.test/\"; "
                     "idempotency_key = \"X-Request-Id\"; } );");
    struct arena *arena = arena_new();
    const char *first = run_idempotency_key(rig.run, arena);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    assert_string_not_equal(run_idempotency_key(rig.run, arena), first);
    assert_string_equal(rig.stage->steps[1].call.idempotency_header, "X-Request-Id");
    arena_free(arena);
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_work_is_gone_on_with),
        cmocka_unit_test(test_found_after_a_restart),
        cmocka_unit_test(test_not_found_is_sent_again),
        cmocka_unit_test(test_a_slow_answer_finds_nothing),
        cmocka_unit_test(test_the_clock_is_set_while_it_looks),
        cmocka_unit_test(test_not_found_for_ever),
        cmocka_unit_test(test_what_the_probe_answers),
        cmocka_unit_test(test_probe_that_cannot_tell),
        cmocka_unit_test(test_budgets_and_what_is_asked_for),
        cmocka_unit_test(test_not_found_waits_for_its_delay),
        cmocka_unit_test(test_held_back_while_looking),
        cmocka_unit_test(test_cancel_needs_what_is_looked_for),
        cmocka_unit_test(test_cancel_then_nothing_is_found),
        cmocka_unit_test(test_cancel_then_the_probe_cannot_tell),
        cmocka_unit_test(test_looking_for_a_cancel_has_an_end),
        cmocka_unit_test(test_cancel_that_needs_no_reply),
        cmocka_unit_test(test_time_is_up_while_looking),
        cmocka_unit_test(test_resend),
        cmocka_unit_test(test_resend_is_for_doubt_only),
        cmocka_unit_test(test_idempotency_key),
        cmocka_unit_test(test_each_step_has_a_key_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
