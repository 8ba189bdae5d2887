/* Callbacks in the life of a run, driven by hand: early, in time, late, twice, beside polls, and over restarts.
 * run_rig.h checks after each that none which was answered is forgotten, and that none which was not taken has an
 * effect; the same with chance is the model test (tests/model). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

#define RULES                                                                                                          \
    "value = \"$.state\"; success = [ \"ok\" ]; failure = [ \"bad\" ]; canceled = [ \"gone\" ]; running = [ \"busy\" " \
    "];"

/* One step that calls and then waits. */
static const char one[] =
    "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; callback = { timeout = "
    "\"30s\"; " RULES " progress = \"$.percent\"; }; }; cancel = { url = "
    "\"http://up.test/stop/{{ request.body.id }}\"; }; outputs = { v = \"$.v\"; };";

/* Two calls, and a third step that only waits. */
static const char three[] =
    "name = \"s\"; steps = ( { name = \"a\"; url = \"http://up.test/{{ callback.url }}\"; method = \"POST\"; }, { name "
    "= "
    "\"b\"; url = \"http://up.test/b\"; method = \"POST\"; }, { name = \"c\"; timeout = \"20s\"; callback = { " RULES
    " }; outputs = { c = \"$.v\"; }; }, { name = \"d\"; url = \"http://up.test/{{ c.body.v }}\"; } ); "
    "outputs = { from_c = \"{{ c.body.v }}\"; };";

/* Polls, and may be called back. */
static const char polls[] =
    "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; }; status = { url = \"http://up.test/1\"; "
    "every = \"5s\"; timeout = \"60s\"; " RULES " callback = { " RULES
    " }; }; cancel = { url = \"http://up.test/stop\"; "
    "}; outputs = { v = \"$.v\"; };";

static const char posts_polls[] =
    "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; }; status = { url = \"http://up.test/1\"; "
    "method = \"POST\"; every = \"5s\"; timeout = \"60s\"; " RULES " callback = { " RULES " }; }; "
    "outputs = { v = \"$.v\"; };";

static const char hints[] =
    "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; }; status = { url = \"http://up.test/1\"; "
    "every = \"50s\"; timeout = \"600s\"; " RULES " callback = { hint = true; }; };";

static void begin_waiting(struct rig *rig) {
    rig_accept(rig, one);
    rig_answer(rig, 202, "{\"id\": 5}");
    rig_stored(rig);
    assert_int_equal(rig->run->state, RUN_WAITING);
}

static void begin_polling(struct rig *rig, const char *definition) {
    rig_accept(rig, definition);
    rig_answer(rig, 202, "{\"id\": 5}");
    rig_stored(rig);
    assert_int_equal(rig->run->state, RUN_CALLING);
    assert_int_equal(rig->run->step, 1);
}

static void assert_ends(struct rig *rig, enum run_status status, enum reason reason) {
    rig_stored(rig);
    if (!rig->over) fail_msg("it has not ended: %s", rig->run->progress);
    assert_string_equal(run_status_word(rig->run->status), run_status_word(status));
    if (rig->run->reason != reason) fail_msg("the reason is %s: %s", reason_word(rig->run->reason), rig->run->progress);
}

static void call_back(struct rig *rig, size_t step, const char *body, enum run_taken wanted) {
    assert_int_equal(rig_call_back(rig, step, NULL, body), wanted);
}

static int64_t output(const struct rig *rig, const char *name) {
    return json_int(json_gets(rig_value(rig, rig->run->outputs), name));
}

/* ---- a step that waits ---- */

static void test_call_then_callback(void **state) {
    (void)state;
    struct rig rig;
    begin_waiting(&rig);
    assert_string_equal(rig.run->progress, "request: waiting to be called back");
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 30 * S);
    call_back(&rig, 0, "{\"state\": \"busy\", \"percent\": 40}", RUN_CALLBACK_TAKEN);
    assert_string_equal(rig.run->progress, "request: busy (40 %)");
    assert_int_equal(rig.run->state, RUN_WAITING);
    rig_stored(&rig);
    call_back(&rig, 0, "{\"state\": \"busy\", \"percent\": 40}", RUN_CALLBACK_TAKEN); /* it may well be meant again */
    call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
    call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_REPEATED); /* while the end is written */
    call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 8}", RUN_CALLBACK_STALE);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(output(&rig, "v"), 7);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_what_a_callback_says(void **state) {
    (void)state;
    static const struct {
        const char *body;
        enum run_status status;
        enum reason reason;
        const char *progress;
    } rows[] = {
        {"{\"state\": \"OK\"}", RUN_SUCCEEDED, REASON_NONE, "succeeded"},
        {"{\"state\": \"bad\"}", RUN_TERMINAL, REASON_UPSTREAM_FAILED, "request: the upstream says \"bad\""},
        {"{\"state\": \"gone\"}", RUN_CANCELED, REASON_UPSTREAM_CANCELED, "request: the upstream says \"gone\""},
        {"{\"state\": \"odd\"}", RUN_RUNNING, REASON_NONE, "request: odd"},
        {"", RUN_RUNNING, REASON_NONE, "request: running - the reply is empty, and has no $.state"},
        {"<html>", RUN_RUNNING, REASON_NONE, "request: running - the reply is not JSON, and has no $.state"},
        {"{\"state\": \"see sdcb-01KAW00000ABCDEFGHJKMNPQRS-0-0123\"}", RUN_RUNNING, REASON_NONE,
         "request: see sdcb-***"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin_waiting(&rig);
        call_back(&rig, 0, rows[i].body, RUN_CALLBACK_TAKEN);
        if (rows[i].status == RUN_RUNNING) assert_int_equal(rig.run->state, RUN_WAITING);
        else assert_ends(&rig, rows[i].status, rows[i].reason);
        assert_string_equal(rig.run->progress, rows[i].progress);
        rig_end(&rig);
    }
}

static void test_without_rules_any_callback_is_success(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; callback = { }; };");
    rig_answer(&rig, 200, "");
    call_back(&rig, 0, "", RUN_CALLBACK_TAKEN);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

static void test_time_is_up(void **state) {
    (void)state;
    struct rig rig;
    begin_waiting(&rig);
    rig_due(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1); /* it may speak of the reply that the step had */
    rig_answer(&rig, 204, "");
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_string_equal(rig.run->error, "request: not called back within its time; the upstream was told to stop");
    call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_STALE);
    rig_end(&rig);

    rig_accept(&rig,
               "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; timeout = \"0s\"; callback = { "
               "}; };"); /* no limit at all */
    rig_answer(&rig, 200, "");
    for (int i = 0; i < 30; i++) rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    rig_end(&rig);

    rig_accept(&rig,
               "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; timeout = \"10s\"; callback = { "
               "timeout = \"20s\"; }; };"); /* the shorter one counts */
    rig_answer(&rig, 200, "");
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 10 * S);
    rig_end(&rig);
}

/* It came in time, while the call's own reply is still out; so it counts. */
static void test_time_is_up_with_one_that_came(void **state) {
    (void)state;
    static const char call[] = "name = \"s\"; steps = ( { name = \"a\"; url = \"http://up.test/{{ callback.url }}\"; "
                               "method = \"POST\"; timeout = \"20s\"; callback = { " RULES " }; } );";
    static const char poll[] = "name = \"s\"; steps = ( { name = \"a\"; url = \"http://up.test/{{ callback.url }}\"; "
                               "method = \"POST\"; every = \"5s\"; timeout = \"20s\"; " RULES " callback = { " RULES
                               " }; } );";
    static const struct {
        const char *definition, *body;
        enum run_status status;
        enum reason reason;
    } rows[] = {{call, "{\"state\": \"ok\"}", RUN_SUCCEEDED, REASON_NONE},
                {call, "{\"state\": \"bad\"}", RUN_TERMINAL, REASON_UPSTREAM_FAILED},
                {call, "{\"state\": \"busy\"}", RUN_TERMINAL, REASON_TIMEOUT},
                {poll, "{\"state\": \"ok\"}", RUN_SUCCEEDED, REASON_NONE},
                {poll, "{\"state\": \"busy\"}", RUN_TERMINAL, REASON_TIMEOUT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_accept(&rig, rows[i].definition);
        call_back(&rig, 0, rows[i].body, RUN_CALLBACK_TAKEN);
        rig_stored(&rig);
        rig_due(&rig);
        while (!rig.over && (rig.writing.exists || rig.timer_ms)) {
            if (rig.writing.exists) rig_stored(&rig);
            else rig_due(&rig);
        }
        assert_ends(&rig, rows[i].status, rows[i].reason);
        assert_int_equal(rig.now_ms - RIG_BEGAN, 20 * S);
        assert_int_equal(rig.sends[0], 1);
        rig_end(&rig);
    }
}

/* Polling goes on for the sake of the cancel call; what a callback says then does not undo the wish. */
/* It came in time, while the next poll was recorded as being sent; the disk was slow. */
static void test_time_is_up_while_a_poll_is_recorded(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; }; status = { url = "
                     "\"http://up.test/1\"; method = \"POST\"; every = \"5s\"; timeout = \"20s\"; " RULES
                     " callback = { " RULES " }; };");
    rig_answer(&rig, 202, "{\"id\": 5}");
    rig_stored(&rig);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"busy\"}");
    rig_stored(&rig);
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    call_back(&rig, 1, "{\"state\": \"ok\"}", RUN_CALLBACK_TAKEN);
    rig.now_ms += 20 * S;
    rig_stored(&rig);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

static void test_callback_while_a_cancel_needs_the_poll(void **state) {
    (void)state;
    static const struct {
        const char *body;
        enum reason reason;
    } rows[] = {{"{\"state\": \"bad\"}", REASON_CANCEL_UNCONFIRMED},
                {"{\"state\": \"gone\"}", REASON_CANCEL_UNCONFIRMED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_accept(
            &rig,
            "name = \"s\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/{{ callback.url }}\"; "
            "}, { name = \"find\"; url = \"http://up.test/f\"; every = \"5s\"; " RULES " callback = { " RULES
            " }; } ); cancel = { url = \"http://up.test/{{ find.body.id }}\"; };");
        rig_answer(&rig, 201, "{}");
        rig_stored(&rig);
        rig_answer(&rig, 200, "{\"state\": \"busy\"}");
        rig_cancel(&rig);
        rig_stored(&rig);
        assert_int_equal(rig.run->state, RUN_WAITING);
        call_back(&rig, 1, rows[i].body, RUN_CALLBACK_TAKEN);
        assert_ends(&rig, RUN_CANCELED, rows[i].reason);
        rig_end(&rig);
    }
}

static void test_cancel_while_waiting(void **state) {
    (void)state;
    struct rig rig;
    begin_waiting(&rig);
    rig_cancel(&rig);
    call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_STALE);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_STALE);
    rig_answer(&rig, 204, "");
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_cancel_during_the_call(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, one);
    rig_cancel(&rig);
    call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_TAKEN);
    rig_answer(&rig, 202, "{\"id\": 5}");
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1); /* what it gave is known to the cancel call */
    rig_answer(&rig, 204, "");
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_call_that_is_refused(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, one);
    call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_TAKEN); /* whatever it says */
    rig_answer(&rig, 400, "");
    assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_REFUSED);
    rig_end(&rig);
}

/* ---- early ones ---- */

static void test_early_in_the_call(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, one);
    call_back(&rig, 0, "{\"state\": \"busy\"}", RUN_CALLBACK_TAKEN);
    call_back(&rig, 0, "{\"state\": \"busy\"}", RUN_CALLBACK_REPEATED);
    call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
    assert_int_equal(rig.run->state, RUN_CALLING);
    rig_stored(&rig);
    rig_answer(&rig, 202, "{\"id\": 5}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(output(&rig, "v"), 7);
    rig_end(&rig);
}

static void test_early_in_an_earlier_step(void **state) {
    (void)state;
    for (int restarts = 0; restarts <= 1; restarts++) {
        struct rig rig;
        rig_accept(&rig, three);
        rig_answer(&rig, 201, "");
        call_back(&rig, 2, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN); /* while a's reply is written */
        rig_stored(&rig);
        assert_int_equal(rig.run->state, RUN_CALLING);
        rig_answer(&rig, 201, "");
        if (restarts) {
            rig_crash(&rig, true);
            rig_resume(&rig); /* c calls nobody, so what came is judged at once */
        }
        rig_stored(&rig);
        if (restarts && rig.run->state == RUN_WAITING) rig_due(&rig);
        assert_int_equal(rig.run->step, 3);
        rig_answer(&rig, 200, "{}");
        assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        assert_int_equal(output(&rig, "c"), 7);
        assert_int_equal(output(&rig, "from_c"), 7);
        rig_end(&rig);
    }
}

static void test_only_so_many_are_kept(void **state) {
    (void)state;
    struct rig rig;
    char body[64];
    rig_accept(&rig, one);
    for (unsigned i = 0; i < INBOX_KEPT; i++) {
        snprintf(body, sizeof body, "{\"state\": \"busy\", \"n\": %u}", i);
        call_back(&rig, 0, body, RUN_CALLBACK_TAKEN);
    }
    call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_REFUSED);
    rig_answer(&rig, 202, "{\"id\": 5}");
    rig_stored(&rig);
    call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_TAKEN); /* sent again */
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

static void test_no_timer_before_the_reply(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig,
               "name = \"s\"; request = { url = \"http://up.test/{{ callback.url }}\"; retry = { attempts = 3; }; "
               "callback = { }; };");
    rig_fail(&rig, REPLY_NEVER_SENT);
    assert_int_equal(rig.run->state, RUN_WAITING); /* for the next try, not for a callback */
    call_back(&rig, 0, "{}", RUN_CALLBACK_TAKEN);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    rig_due(&rig);
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

/* ---- names ---- */

static void test_named_ones_are_recognised(void **state) {
    (void)state;
    struct rig rig;
    begin_waiting(&rig);
    assert_int_equal(rig_call_back(&rig, 0, "m1", "{\"state\": \"busy\"}"), RUN_CALLBACK_TAKEN);
    assert_int_equal(rig_call_back(&rig, 0, "m1", "{\"state\": \"busy\"}"), RUN_CALLBACK_REPEATED);
    assert_int_equal(rig_call_back(&rig, 0, "m2", "{\"state\": \"busy\"}"), RUN_CALLBACK_TAKEN);
    rig_stored(&rig);
    rig_restart(&rig);
    assert_int_equal(rig_call_back(&rig, 0, "m1", "{\"state\": \"busy\"}"), RUN_CALLBACK_REPEATED);
    assert_int_equal(rig_call_back(&rig, 0, "m3", "{\"state\": \"ok\"}"), RUN_CALLBACK_TAKEN);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig_call_back(&rig, 0, "m2", "{\"state\": \"busy\"}"), RUN_CALLBACK_REPEATED);
    assert_int_equal(rig_call_back(&rig, 0, "m4", "{\"state\": \"ok\"}"), RUN_CALLBACK_STALE);
    rig_end(&rig);
}

/* What the store has after the end is enough to know a callback that is sent again. */
static void test_known_after_the_end(void **state) {
    (void)state;
    struct rig rig;
    struct run_callback known, other;
    struct arena *arena = arena_new();
    begin_waiting(&rig);
    call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_TAKEN);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    struct store_record record = rig_record(&rig, &rig.durable);
    struct run *run = run_load(&record, NULL, NULL);
    callback_read(arena, 0, &(struct reply){.body = TEXT("{\"state\": \"ok\"}")}, &known);
    callback_read(arena, 0, &(struct reply){.body = TEXT("{\"state\": \"other\"}")}, &other);
    assert_true(run_callback_known(run, &known));
    assert_false(run_callback_known(run, &other));
    known.step = 7;
    assert_false(run_callback_known(run, &known));
    assert_null(strstr(rig.durable.body, "\"kept\""));
    run_free(run);
    rig_end(&rig);
    arena_free(arena);
}

/* ---- beside polls ---- */

static void test_callback_before_the_poll(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig, polls);
    call_back(&rig, 1, "{\"state\": \"busy\"}", RUN_CALLBACK_TAKEN);
    assert_int_equal(rig.under_way, RUN_CALL_STEP); /* the poll goes on */
    call_back(&rig, 1, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
    assert_int_equal(rig.under_way, RUN_CALL_NONE);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(output(&rig, "v"), 7);
    rig_end(&rig);

    begin_polling(&rig, polls);
    rig_answer(&rig, 200, "{\"state\": \"busy\"}");
    call_back(&rig, 1, "{\"state\": \"bad\"}", RUN_CALLBACK_TAKEN); /* between two polls */
    assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_FAILED);
    rig_end(&rig);
}

static void test_poll_before_the_callback(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig, polls);
    rig_answer(&rig, 200, "{\"state\": \"ok\", \"v\": 3}");
    call_back(&rig, 1, "{\"state\": \"bad\"}", RUN_CALLBACK_STALE);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(output(&rig, "v"), 3);
    rig_end(&rig);
}

static void test_callback_makes_the_first_poll_needless(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, polls);
    call_back(&rig, 1, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
    rig_answer(&rig, 202, "{\"id\": 5}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig.sends[1], 0);
    rig_end(&rig);

    rig_accept(&rig, polls); /* one that decides nothing does not hold it up */
    call_back(&rig, 1, "{\"state\": \"busy\"}", RUN_CALLBACK_TAKEN);
    rig_answer(&rig, 202, "{\"id\": 5}");
    rig_stored(&rig);
    assert_int_equal(rig.sends[1], 1);
    rig_answer(&rig, 200, "{\"state\": \"ok\"}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

/* A poll that cannot be repeated is waited for, but the callback came first. */
static void test_callback_during_a_poll_by_post(void **state) {
    (void)state;
    for (int lost = 0; lost <= 1; lost++) {
        struct rig rig;
        begin_polling(&rig, posts_polls);
        call_back(&rig, 1, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
        assert_int_equal(rig.under_way, RUN_CALL_STEP);
        rig_stored(&rig);
        if (lost) rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        else rig_answer(&rig, 200, "{\"state\": \"bad\"}");
        assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        assert_int_equal(output(&rig, "v"), 7);
        rig_end(&rig);
    }
}

static bool always_busy(struct rig *rig) {
    (void)rig;
    return true;
}

/* While its poll is held, by the limits of its host, a callback is judged as between two polls. */
static void test_callback_while_the_poll_is_held(void **state) {
    (void)state;
    for (int hint = 0; hint <= 1; hint++) {
        struct rig rig;
        begin_polling(&rig, hint ? hints : polls);
        rig.busy = always_busy;
        rig_answer(&rig, 200, "{\"state\": \"busy\"}");
        rig_due(&rig);
        assert_int_equal(rig.run->state, RUN_QUEUED);
        assert_int_equal(rig_call_back(&rig, 1, "1", "{\"state\": \"busy\"}"), RUN_CALLBACK_TAKEN);
        assert_int_equal(rig.run->state, RUN_QUEUED);
        if (hint) {
            rig_give_turn(&rig);
            assert_int_equal(rig.run->state, RUN_CALLING);
        } else {
            assert_int_equal(rig_call_back(&rig, 1, "2", "{\"state\": \"ok\"}"), RUN_CALLBACK_TAKEN);
            assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
            assert_int_equal(rig.sends[1], 1);
        }
        rig_end(&rig);
    }
}

static void test_hints(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig, hints);
    rig_answer(&rig, 200, "{\"state\": \"busy\"}");
    assert_true(rig.timer_ms > rig.now_ms + S);
    rig.now_ms += S;
    call_back(&rig, 1, "{\"state\": \"bad\"}", RUN_CALLBACK_TAKEN); /* it decides nothing */
    assert_int_equal(rig.timer_ms, rig.now_ms);
    rig_stored(&rig);
    rig_due(&rig);
    assert_int_equal(rig.sends[1], 2);
    call_back(&rig, 1, "{\"state\": \"bad\"}", RUN_CALLBACK_TAKEN); /* that poll may not know yet what was meant */
    rig_answer(&rig, 200, "{\"state\": \"busy\"}");
    assert_in_range(rig.timer_ms - rig.now_ms, 1, S);
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": \"busy\"}");
    for (int i = 0; i < 5; i++) call_back(&rig, 1, "{}", RUN_CALLBACK_TAKEN);
    assert_in_range(rig.timer_ms - rig.now_ms, 1, S); /* not the sooner for being many */
    assert_int_equal(rig_call_back(&rig, 1, "m1", ""), RUN_CALLBACK_TAKEN);
    assert_int_equal(rig_call_back(&rig, 1, "m1", ""), RUN_CALLBACK_REPEATED);
    rig_due(&rig);
    rig_answer(&rig, 429, ""); /* it wants to be left alone */
    int64_t due = rig.timer_ms;
    rig.now_ms += 1;
    call_back(&rig, 1, "{}", RUN_CALLBACK_TAKEN);
    assert_int_equal(rig.timer_ms, due);
    rig_end(&rig);
}

/* The poll that a hint asked for is made after a restart as well. */
static void test_hint_then_restart(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig, hints);
    rig_answer(&rig, 200, "{\"state\": \"busy\"}");
    rig.now_ms += S;
    call_back(&rig, 1, "{}", RUN_CALLBACK_TAKEN);
    rig_stored(&rig);
    rig_restart(&rig);
    assert_true(rig.timer_ms <= rig.now_ms);
    rig_end(&rig);
}

/* ---- restarts ---- */

static void test_restart_while_waiting(void **state) {
    (void)state;
    struct rig rig;
    begin_waiting(&rig);
    rig.now_ms += 10 * S;
    rig_restart(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 30 * S); /* what is left of its time */
    call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);

    begin_waiting(&rig);
    rig_crash(&rig, false);
    rig.now_ms += 40 * S;
    rig_resume(&rig);
    rig_due(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    rig_answer(&rig, 204, "");
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    rig_end(&rig);
}

static void test_restart_before_the_callback_was_answered(void **state) {
    (void)state;
    for (int made_it = 0; made_it <= 1; made_it++) {
        struct rig rig;
        begin_waiting(&rig);
        call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
        rig_crash(&rig, made_it);
        if (made_it) {
            assert_true(rig.durable.ended_ms);
        } else {
            rig_resume(&rig); /* its sender had no answer, and sends it again */
            call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
            assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        }
        rig_end(&rig);
    }
}

/* Whoever calls back has got the call: so there is no doubt, and it is not made a second time. */
static void test_callback_settles_the_doubt(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, one);
    call_back(&rig, 0, "{\"state\": \"busy\"}", RUN_CALLBACK_TAKEN);
    rig_stored(&rig);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);

    rig_accept(&rig, one);
    call_back(&rig, 0, "{\"state\": \"ok\", \"v\": 7}", RUN_CALLBACK_TAKEN);
    rig_stored(&rig);
    rig_restart(&rig);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);

    rig_accept(&rig, one); /* without a callback the doubt stays */
    rig_restart(&rig);
    assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    rig_end(&rig);

    rig_accept(
        &rig,
        "name = \"s\"; steps = ( { name = \"a\"; url = \"http://up.test/{{ callback.url }}\"; method = \"POST\"; }, "
        "{ name = \"b\"; url = \"http://up.test/b\"; method = \"POST\"; callback = { }; } );");
    rig_answer(&rig, 201, "");
    rig_stored(&rig);
    call_back(&rig, 1, "{}", RUN_CALLBACK_TAKEN); /* its URL was told by the call before: it says nothing of b's */
    rig_stored(&rig);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    rig_end(&rig);
}

static const char probes[] =
    "name = \"s\"; steps = ( { name = \"a\"; url = \"http://up.test/{{ callback.url }}\"; method = \"POST\"; retry = { "
    "attempts = 2; delay = \"1s\"; }; probe = { url = \"http://up.test/list\"; found = \"$.items[0]\"; "
    "not_found_grace = \"0s\"; }; callback = { " RULES " }; }, { name = \"b\"; url = "
    "\"http://up.test/{{ callback.url }}\"; callback = { }; } ); cancel = { url = \"http://up.test/stop/{{ a.body.id "
    "}}\"; };";

/* Of probe and callback, too, whoever comes first tells what became of the call. */
static void test_callback_and_probe(void **state) {
    (void)state;
    for (int probing = 0; probing <= 1; probing++) {
        struct rig rig;
        rig_accept(&rig, probes);
        rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        assert_int_equal(rig.run->state, RUN_PROBE_WAITING);
        if (probing) rig_due(&rig);
        call_back(&rig, 1, "{}", RUN_CALLBACK_TAKEN); /* it says nothing of this step */
        assert_int_equal(rig.run->state, probing ? RUN_PROBING : RUN_PROBE_WAITING);
        call_back(&rig, 0, "{\"state\": \"busy\"}", RUN_CALLBACK_TAKEN);
        assert_int_equal(rig.run->state, RUN_WAITING);
        assert_int_equal(rig.under_way, RUN_CALL_NONE);
        rig_stored(&rig);
        rig_restart(&rig);
        call_back(&rig, 0, "{\"state\": \"ok\"}", RUN_CALLBACK_TAKEN);
        rig_stored(&rig);
        assert_int_equal(rig.run->step, 1);
        rig_answer(&rig, 200, ""); /* and the other one is judged now */
        assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        assert_int_equal(rig.sends[0], 1);
        rig_end(&rig);
    }
}

/* What the probe finds takes the place of the reply; the step waits all the same. */
static void test_probe_finds_and_the_step_waits(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, probes);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"items\": [{\"id\": 9}]}");
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_true(rig.run->awaiting);
    assert_int_equal(json_int(json_gets(json_gets(rig_value(&rig, rig.run->steps[0].value), "body"), "id")), 9);
    rig_cancel(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    rig_answer(&rig, 204, "");
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_then_callback),
        cmocka_unit_test(test_what_a_callback_says),
        cmocka_unit_test(test_without_rules_any_callback_is_success),
        cmocka_unit_test(test_time_is_up),
        cmocka_unit_test(test_time_is_up_with_one_that_came),
        cmocka_unit_test(test_time_is_up_while_a_poll_is_recorded),
        cmocka_unit_test(test_callback_while_a_cancel_needs_the_poll),
        cmocka_unit_test(test_cancel_while_waiting),
        cmocka_unit_test(test_cancel_during_the_call),
        cmocka_unit_test(test_call_that_is_refused),
        cmocka_unit_test(test_early_in_the_call),
        cmocka_unit_test(test_early_in_an_earlier_step),
        cmocka_unit_test(test_only_so_many_are_kept),
        cmocka_unit_test(test_no_timer_before_the_reply),
        cmocka_unit_test(test_named_ones_are_recognised),
        cmocka_unit_test(test_known_after_the_end),
        cmocka_unit_test(test_callback_before_the_poll),
        cmocka_unit_test(test_poll_before_the_callback),
        cmocka_unit_test(test_callback_makes_the_first_poll_needless),
        cmocka_unit_test(test_callback_during_a_poll_by_post),
        cmocka_unit_test(test_callback_while_the_poll_is_held),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_hint_then_restart),
        cmocka_unit_test(test_restart_while_waiting),
        cmocka_unit_test(test_restart_before_the_callback_was_answered),
        cmocka_unit_test(test_callback_settles_the_doubt),
        cmocka_unit_test(test_callback_and_probe),
        cmocka_unit_test(test_probe_finds_and_the_step_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
