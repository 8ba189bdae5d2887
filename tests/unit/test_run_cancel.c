/* Canceling to the end: the upstream is told, and asked whether it has stopped; the fallback; what is known only later;
 * and a restart at each point. run_rig.h checks the invariants at every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

#define JOB                                                                                              \
    "name = \"job\"; request = { url = \"http://up.test/jobs\"; };"                                      \
    "status = { url = \"http://up.test/jobs/1\"; every = \"5s\"; timeout = \"1h\"; value = \"$.state\";" \
    " success = [ \"passed\" ]; failure = [ \"failed\" ]; canceled = [ \"aborted\" ]; running = [ \"running\" ]; };"

static const char plain[] = JOB "cancel = { url = \"http://up.test/stop\"; timeout = \"40s\"; };";
static const char forced[] = JOB "cancel = { url = \"http://up.test/stop\"; timeout = \"40s\"; fallback = { url = "
                                 "\"http://up.test/kill\"; expect = \"202\"; }; };";
/* As GitHub's workflows without return_run_details: the id has to be looked for. */
static const char searched[] =
    "name = \"flow\"; steps = ( { name = \"dispatch\"; method = \"POST\"; url = \"http://up.test/d\"; }, { name = "
    "\"find\"; url = \"http://up.test/f\"; value = \"$.state\"; success = [ \"found\" ]; failure = [ \"gone\" ]; every "
    "= "
    "\"5s\"; }, { name = \"watch\"; url = \"http://up.test/w\"; value = \"$.state\"; success = [ \"ok\" ]; canceled = "
    "[ "
    "\"aborted\" ]; } ); cancel = { url = \"http://up.test/{{ find.body.id }}\"; timeout = \"40s\"; };";

#define RUNNING "{\"state\": \"running\"}"
#define ABORTED "{\"state\": \"aborted\"}"

static void begin(struct rig *rig, const char *definition) {
    rig_accept(rig, definition);
    rig_answer(rig, 201, "{}");
    rig_stored(rig);
}

/* … and the first cancel call is under way. */
static void begin_canceling(struct rig *rig, const char *definition) {
    begin(rig, definition);
    rig_cancel(rig);
    rig_stored(rig);
    assert_int_equal(rig->under_way, RUN_CALL_CANCEL);
}

/* … and was taken. */
static void begin_checking(struct rig *rig, const char *definition) {
    begin_canceling(rig, definition);
    rig_answer(rig, 202, "");
    assert_int_equal(rig->run->state, RUN_CANCEL_CHECK_WAITING);
    rig_stored(rig);
}

/* Each poll is answered so, until polling ends, or the fallback is to be called. */
static void poll_on(struct rig *rig, const char *body) {
    while (rig->run->state == RUN_CANCEL_CHECK_WAITING) {
        rig_due(rig);
        if (rig->under_way) rig_answer(rig, 200, body);
    }
}

/* ---- whether there is something to stop ---- */

/* Of a call that is tried again: an answer speaks of its own try. */
static void test_what_a_failed_try_may_have_begun(void **state) {
    (void)state;
    static const char definition[] = "name = \"job\"; request = { url = \"http://up.test/jobs\"; idempotent = true; "
                                     "retry = { attempts = 5; delay = \"1s\"; }; }; "
                                     "cancel = { url = \"http://up.test/stop\"; };";
    static const struct {
        int codes[2]; /* -1: lost; 0: no further try */
        bool told;
    } rows[] = {{{503, 0}, false}, {{429, 0}, false}, {{500, 0}, true},
                {{-1, 0}, true},   {{-1, 503}, true}, {{500, 429}, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        rig_accept(&rig, definition);
        for (int k = 0; k < 2 && rows[i].codes[k]; k++) {
            if (k) rig_due(&rig);
            if (rows[i].codes[k] < 0) rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
            else rig_answer(&rig, rows[i].codes[k], "");
        }
        rig_cancel(&rig);
        rig_stored(&rig);
        if (rows[i].told != (rig.under_way == RUN_CALL_CANCEL)) fail_msg("row %zu: %s", i, rig.run->progress);
        if (!rows[i].told) assert_int_equal(rig.run->reason, REASON_CANCELED_BEFORE_START);
        rig_end(&rig);
    }
}

/* The call left, the process died, and the record knew of no call: but a probe has found what it began. */
static void test_what_a_probe_has_found_is_stopped(void **state) {
    (void)state;
    struct rig rig;
    rig_begin(&rig,
              "name = \"job\"; request = { url = \"http://up.test/{{ callback.url }}\"; probe = { url = "
              "\"http://up.test/q\"; found = \"$.item\"; }; callback = { timeout = \"60s\"; }; }; "
              "cancel = { url = \"http://up.test/stop/{{ request.body.id }}\"; };",
              1);
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    rig_restart(&rig);
    rig_due(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_PROBE);
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"item\": {\"id\": 7}}");
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_answer(&rig, 204, "");
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

/* ---- asking ---- */

static void test_asked_until_it_has_stopped(void **state) {
    (void)state;
    struct rig rig;
    begin_checking(&rig, plain);
    assert_int_equal(rig.timer_ms, rig.now_ms); /* at once, and then at the step's pace */
    int64_t began = rig.now_ms;
    for (int i = 0; i < 3; i++) {
        rig_due(&rig);
        rig_answer(&rig, 200, RUNNING);
        assert_string_equal(rig.run->progress, "canceling: the upstream says \"running\"");
        assert_in_range(rig.timer_ms - rig.now_ms, 500, 5500);
    }
    rig_due(&rig);
    rig_answer(&rig, 200, ABORTED);
    assert_in_range(rig.now_ms - began, 10 * S, 16 * S);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    assert_string_equal(rig.run->progress, "canceled: the upstream says \"aborted\"");
    assert_int_equal(rig.cancel_sends, 1);
    assert_int_equal(rig.checks, 4);
    rig_end(&rig);
}

static void test_what_the_upstream_says(void **state) {
    (void)state;
    static const struct {
        int code;                    /* 0: no answer */
        const char *body, *progress; /* NULL: it is asked again */
    } rows[] = {
        {200, ABORTED, "canceled: the upstream says \"aborted\""},
        {200, "{\"state\": \"failed\"}", "canceled: the upstream says \"failed\""},
        {200, "{\"state\": \"passed\"}", "canceled: the work was done already: the upstream says \"passed\""},
        {404, "", "canceled: the upstream has it no more"},
        {410, "", "canceled: the upstream has it no more"},
        {200, RUNNING, NULL},
        {200, "{\"state\": \"canceling\"}", NULL},
        {200, "{}", NULL},
        {200, "<html>", NULL},
        {500, "", NULL},
        {401, "", NULL},
        {429, "", NULL},
        {0, "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin_checking(&rig, plain);
        rig_due(&rig);
        if (rows[i].code) rig_answer(&rig, rows[i].code, rows[i].body);
        else rig_fail(&rig, REPLY_NEVER_SENT);
        if (rows[i].progress) {
            rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
            assert_string_equal(rig.run->progress, rows[i].progress);
        } else if (rig.run->state != RUN_CANCEL_CHECK_WAITING) {
            fail_msg("row %zu: %s", i, rig.run->progress);
        }
        rig_end(&rig);
    }
}

/* An unknown word is no end, also where it would end the step; and an error of the poll says nothing of the work. */
static void test_what_is_no_end(void **state) {
    (void)state;
    struct rig rig;
    begin_checking(&rig, "name = \"job\"; request = { url = \"http://up.test/jobs\"; }; status = { url = "
                         "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; unknown = \"fail\"; "
                         "error = \"$.error\"; }; cancel = { url = \"http://up.test/stop\"; };");
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": \"stopping\"}");
    assert_int_equal(rig.run->state, RUN_CANCEL_CHECK_WAITING);
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"error\": \"try later\"}");
    assert_int_equal(rig.run->state, RUN_CANCEL_CHECK_WAITING);
    rig_end(&rig);
}

static void test_never_stops(void **state) {
    (void)state;
    struct rig rig;
    begin_checking(&rig, plain);
    int64_t began = rig.now_ms;
    poll_on(&rig, RUNNING);
    assert_int_equal(rig.now_ms - began, 40 * S);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    assert_string_equal(rig.run->progress, "canceled: the upstream was told to stop, and still says \"running\"");
    rig_end(&rig);

    begin_checking(&rig, plain); /* the poll hangs */
    rig_due(&rig);
    rig_due(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_NONE);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

static void test_where_nothing_can_be_asked(void **state) {
    (void)state;
    static const char *const definitions[] = {
        JOB "cancel = { url = \"http://up.test/stop\"; timeout = \"0s\"; };",
        "name = \"j\"; request = { url = \"http://up.test/\"; }; status = { method = \"POST\"; url = "
        "\"http://up.test/q\"; "
        "value = \"$.s\"; success = [ \"ok\" ]; }; cancel = { url = \"http://up.test/stop\"; };",
        "name = \"j\"; request = { url = \"http://up.test/\"; }; status = { url = \"http://up.test/q\"; value = "
        "\"$.s\"; "
        "at_most = 5; }; cancel = { url = \"http://up.test/stop\"; };",
    };
    for (size_t i = 0; i < sizeof definitions / sizeof *definitions; i++) {
        struct rig rig;
        begin(&rig, definitions[i]);
        rig_cancel(&rig);
        rig_stored(&rig);
        if (rig.under_way == RUN_CALL_STEP) rig_answer(&rig, 200, "{}"), rig_stored(&rig);
        rig_answer(&rig, 202, "");
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
        assert_string_equal(rig.run->progress, "canceled: the upstream was told to stop");
        assert_int_equal(rig.checks, 0);
        rig_end(&rig);
    }
}

static void test_the_poll_cannot_be_made(void **state) {
    (void)state;
    struct rig rig;
    begin_checking(&rig, plain);
    rig_due(&rig);
    rig_refuse(&rig, FAULT_UNDEFINED);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

static void test_time_out_is_verified_too(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, plain);
    while (rig.run->state == RUN_CALLING) rig_answer(&rig, 200, RUNNING), rig_due(&rig);
    rig_stored(&rig);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_string_equal(rig.run->error, "status: not done within its time; the upstream says \"aborted\"");
    rig_end(&rig);
}

/* ---- telling it: by the same rules as any other call ---- */

/* The cancel call is answered with the same each time, until the run is over, or 20 times. */
static void answer_each_call(struct rig *rig, int code, const char *body, const char *retry_after) {
    for (int i = 0; i < 20 && !rig->over; i++) {
        if (rig->run->state == RUN_CANCEL_WAITING) rig_due(rig);
        if (retry_after) rig_answer_asking(rig, code, body, retry_after);
        else if (code) rig_answer(rig, code, body);
        else rig_fail(rig, REPLY_NEVER_SENT);
        rig_stored(rig);
    }
}

static void test_tried_again_as_its_retry_says(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        int code; /* 0: it is never sent */
        const char *retry_after;
        unsigned calls;
        int64_t least_ms; /* from the first of them to the end */
        const char *progress;
    } rows[] = {
        {"", 503, NULL, 5, 0, "canceled: the cancel call failed: the upstream answered 503"},
        {"", 0, NULL, 5, 0, "canceled: the cancel call failed: connection refused"},
        {"retry = { attempts = 0; };", 503, NULL, 1, 0, "canceled: the cancel call failed: the upstream answered 503"},
        {"retry = { attempts = 7; delay = \"10ms\"; };", 0, NULL, 8, 0,
         "canceled: the cancel call failed: connection refused"},
        {"retry = { on = \"429\"; };", 503, NULL, 1, 0, "canceled: the cancel call failed: the upstream answered 503"},
        {"retry = { on = \"400\"; };", 400, NULL, 5, 0, "canceled: the cancel call failed: the upstream answered 400"},
        {"retry = { budget = \"5s\"; };", 503, "6", 1, 0,
         "canceled: the cancel call failed: the upstream answered 503; it asks to wait for 6s, and retry.budget is 5s"},
        {"retry = { budget = \"5s\"; };", 503, "3", 2, 3 * S,
         "canceled: the cancel call failed: the upstream answered 503; it asks to wait for 3s, and 2s of retry.budget "
         "(5s) are left"},
        {"retry = { budget = \"5s\"; attempts = 1000; delay = \"10s\"; };", 503, NULL, 0, 0,
         "canceled: the cancel call failed: the upstream answered 503; retry.budget of 5s is used up"},
        {"", 429, "15", 3, 30 * S,
         "canceled: the cancel call failed: the upstream answered 429; it asks to wait for 15s, and 10s of "
         "cancel.timeout (40s) are left"},
        {"retry = { attempts = 1000; delay = \"20s\"; max_delay = \"20s\"; };", 503, NULL, 0, 0,
         "canceled: the cancel call failed: the upstream answered 503; cancel.timeout of 40s is used up"},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        bool fallback = i % 2; /* which has a retry of its own, and a time that begins with it */
        struct rig rig;
        char definition[1000];
        snprintf(definition, sizeof definition,
                 fallback ? JOB "cancel = { url = \"http://up.test/stop\"; timeout = \"40s\"; fallback = { url = "
                                "\"http://up.test/kill\"; %s }; };"
                          : JOB "cancel = { url = \"http://up.test/stop\"; timeout = \"40s\"; %s };",
                 rows[i / 2].settings);
        begin_canceling(&rig, definition);
        if (fallback) rig_answer(&rig, 403, ""), rig_stored(&rig);
        int64_t began = rig.now_ms;
        answer_each_call(&rig, rows[i / 2].code, "", rows[i / 2].retry_after);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
        assert_string_equal(rig.run->progress, rows[i / 2].progress);
        if (rows[i / 2].calls) assert_int_equal(rig.cancel_sends, rows[i / 2].calls + fallback);
        assert_in_range(rig.now_ms - began, rows[i / 2].least_ms, 40 * S);
        rig_end(&rig);
    }
}

/* … and what it asks for is told. */
static void test_what_the_upstream_asks_for_is_waited_for(void **state) {
    (void)state;
    struct rig rig;
    begin_canceling(&rig, plain);
    rig_answer_asking(&rig, 503, "", "30");
    assert_int_equal(rig.timer_ms, rig.now_ms + 30 * S);
    assert_int_equal(rig.run->due_ms, rig.timer_ms);
    assert_string_equal(rig.run->progress, "canceling: the cancel call failed: the upstream answered 503; trying again "
                                           "in 30 s, as it asks");
    rig_due(&rig);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

/* Told late, it is asked all the same before the fallback is called. */
static void test_told_after_half_of_the_time(void **state) {
    (void)state;
    struct rig rig;
    begin_canceling(&rig, forced);
    rig_answer_asking(&rig, 503, "", "30");
    rig_due(&rig);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    assert_int_equal(rig.cancel_sends, 2);
    rig_end(&rig);

    begin_canceling(&rig, forced);
    rig_answer_asking(&rig, 503, "", "30");
    rig_due(&rig);
    rig_answer(&rig, 202, "");
    rig_due(&rig);
    rig_answer(&rig, 200, RUNNING);
    rig_due(&rig);
    rig_stored(&rig);
    assert_ptr_equal(run_call_of(rig.run, RUN_CALL_CANCEL), &rig.stage->cancel_fallback->call);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_end(&rig);
}

/* The upstream takes no calls at all: it is waited for, but not for longer than the cancel has. */
static void test_the_cancel_call_is_held(void **state) {
    (void)state;
    static const struct {
        const char *definition;
        int64_t held_ms, most_ms;
        enum reason reason;
    } rows[] = {
        {plain, 30 * S, 30 * S, REASON_CANCELED},
        {plain, 3600 * S, 40 * S, REASON_CANCEL_UNCONFIRMED},
        {forced, 3600 * S, 80 * S, REASON_CANCEL_UNCONFIRMED}, /* the fallback as well */
        {JOB "cancel = { url = \"http://up.test/stop\"; timeout = \"0s\"; };", 3600 * S, 3600 * S, REASON_CANCELED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        struct fault fault;
        fault_set(&fault, FAULT_BUSY, NULL, "held until later");
        begin_canceling(&rig, rows[i].definition);
        int64_t began = rig.now_ms, until_ms = began + rows[i].held_ms;
        for (int n = 0; !rig.over && rig.now_ms < until_ms; n++) {
            assert_true(n < 5);
            rig.under_way = RUN_CALL_NONE;
            rig_move(&rig, &(struct run_event){.kind = RUN_EVENT_HELD, .fault = &fault, .until_ms = until_ms});
            rig_stored(&rig);
            if (rig.run->state == RUN_CANCEL_WAITING) rig_due(&rig);
        }
        assert_int_equal(rig.now_ms - began, rows[i].most_ms);
        if (!rig.over) rig_answer(&rig, 202, "");
        if (rig.run->state == RUN_CANCEL_CHECK_WAITING) rig_due(&rig), rig_answer(&rig, 200, ABORTED);
        rig_assert_ends(&rig, RUN_CANCELED, rows[i].reason);
        rig_end(&rig);
    }
}

/* A poll that fails after the cancel call has its `retry`, too. */
static void test_the_poll_fails(void **state) {
    (void)state;
    static const char budget[] =
        "name = \"job\"; request = { url = \"http://up.test/jobs\"; }; status = { url = \"http://up.test/1\"; value = "
        "\"$.state\"; success = [ \"ok\" ]; canceled = [ \"aborted\" ]; retry = { budget = \"5s\"; }; }; cancel = { "
        "url = \"http://up.test/stop\"; timeout = \"40s\"; %s};";
    for (int fallback = 0; fallback <= 1; fallback++) {
        struct rig rig;
        char definition[600];
        snprintf(definition, sizeof definition, budget,
                 fallback ? "fallback = { url = \"http://up.test/kill\"; }; " : "");
        begin_checking(&rig, definition);
        int64_t began = rig.now_ms;
        rig_due(&rig);
        rig_answer_asking(&rig, 503, "", "4");
        assert_int_equal(rig.timer_ms, rig.now_ms + 4 * S);
        rig_due(&rig);
        rig_answer_asking(&rig, 503, "", "4");
        if (fallback) {
            assert_int_equal(rig.timer_ms, began + 20 * S); /* nothing is learned from the poll until then */
            rig_due(&rig);
            rig_stored(&rig);
            rig_stops(&rig);
        }
        rig_assert_ends(&rig, RUN_CANCELED, fallback ? REASON_CANCELED : REASON_CANCEL_UNCONFIRMED);
        assert_int_equal(rig.checks, 2 + fallback);
        rig_end(&rig);
    }
    struct rig rig;
    begin_checking(&rig, plain); /* what it asks for counts where it is answered well, too */
    rig_due(&rig);
    rig_answer_asking(&rig, 200, RUNNING, "25");
    assert_int_equal(rig.timer_ms, rig.now_ms + 25 * S);
    rig_end(&rig);
}

/* GraphQL and its like say no in a 200. */
static void test_an_error_in_the_reply(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        int code;
        const char *body, *progress; /* NULL: it was taken */
    } rows[] = {
        {"", 200, "{\"errors\": [{\"message\": \"no\"}]}", NULL},
        {"error = \"$.errors[0].message\";", 200, "{\"errors\": [{\"message\": \"no\"}]}",
         "canceled: the cancel call failed: the reply has an error: no"},
        {"error = \"$.errors[0].message\";", 200, "{\"data\": {}}", NULL},
        {"error = \"$.errors[0].message\";", 200, "", NULL},
        {"error = \"{{ body.code }} of {{ parameters.p }}\"; error_when = \"not body.ok\";", 200,
         "{\"ok\": false, \"code\": 7}", "canceled: the cancel call failed: the reply has an error: 7 of job"},
        {"error_when = \"not body.ok\";", 200, "{\"ok\": false}",
         "canceled: the cancel call failed: error_when holds: not body.ok"},
        {"error_when = \"not body.ok\";", 200, "{\"ok\": true}", NULL},
        {"error_when = \"body.state != request.body.state\";", 200, "{\"state\": 1}",
         "canceled: the cancel call failed: error_when holds: body.state != request.body.state"},
        {"error = \"$.message\";", 403, "{\"message\": \"denied\"}",
         "canceled: the cancel call failed: the upstream answered 403: denied"},
        {"error = \"$.message\";", 409, "{\"message\": \"it is over\"}", NULL},
        {"error = \"$.message\"; expect = \"2xx,409\";", 409, "{\"message\": \"locked\"}",
         "canceled: the cancel call failed: the reply has an error: locked"},
        {"", 409, "", NULL},
        {"expect = \"2xx,409\";", 409, "", NULL},
        {"expect = \"202\";", 409, "", "canceled: the cancel call failed: the upstream answered 409"},
        {"expect = \"202\";", 200, "", "canceled: the cancel call failed: the upstream answered 200"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        char definition[1000];
        snprintf(definition, sizeof definition,
                 "parameters = ( { name = \"p\"; default = \"job\"; } );" JOB
                 "cancel = { url = \"http://up.test/stop\"; %s };",
                 rows[i].settings);
        struct arena *arena = arena_new();
        struct json *parameters = json_new_object(arena);
        json_set(parameters, "p", json_new_string(arena, "job"));
        rig_begin(&rig, definition, 1);
        rig_start_with(&rig, parameters);
        rig_stored(&rig);
        rig_answer(&rig, 201, "{\"state\": 2}");
        rig_stored(&rig);
        rig_cancel(&rig);
        rig_stored(&rig);
        rig_answer(&rig, rows[i].code, rows[i].body);
        if (rows[i].progress) {
            rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
            assert_string_equal(rig.run->progress, rows[i].progress);
        } else if (rig.run->state != RUN_CANCEL_CHECK_WAITING) {
            fail_msg("row %zu: %s", i, rig.run->progress);
        }
        assert_int_equal(rig.cancel_sends, 1); /* a refusal is no reason to ask again */
        rig_end(&rig);
        arena_free(arena);
    }
}

static void test_an_error_in_the_reply_and_the_fallback(void **state) {
    (void)state;
    for (int refused = 0; refused <= 1; refused++) {
        struct rig rig;
        begin_canceling(&rig, JOB "cancel = { url = \"http://up.test/stop\"; error = \"$.error\"; timeout = \"40s\"; "
                                  "fallback = { url = \"http://up.test/kill\"; error_when = \"body.killed is not "
                                  "defined\"; }; };");
        rig_answer(&rig, 200, "{\"error\": \"try force\"}");
        rig_stored(&rig);
        assert_int_equal(rig.cancel_sends, 2);
        rig_answer(&rig, 200, refused ? "{}" : "{\"killed\": 1}");
        if (!refused) rig_due(&rig), rig_answer(&rig, 200, ABORTED);
        rig_assert_ends(&rig, RUN_CANCELED, refused ? REASON_CANCEL_UNCONFIRMED : REASON_CANCELED);
        rig_end(&rig);
    }
}

/* ---- the fallback ---- */

static void test_fallback_where_the_call_is_refused(void **state) {
    (void)state;
    for (int how = 0; how <= 1; how++) {
        struct rig rig;
        begin_canceling(&rig, forced);
        if (how) rig_refuse(&rig, FAULT_UNDEFINED);
        else rig_answer(&rig, 403, "");
        assert_int_equal(rig.run->state, RUN_STOPPING);
        rig_stored(&rig);
        assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
        assert_ptr_equal(run_call_of(rig.run, RUN_CALL_CANCEL), &rig.stage->cancel_fallback->call);
        rig_answer(&rig, 202, "");
        rig_due(&rig);
        rig_answer(&rig, 200, ABORTED);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
        rig_end(&rig);
    }
}

static void test_fallback_where_it_does_not_stop(void **state) {
    (void)state;
    struct rig rig;
    begin_checking(&rig, forced);
    int64_t began = rig.now_ms;
    poll_on(&rig, RUNNING);
    assert_int_equal(rig.now_ms - began, 20 * S); /* half of the time */
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 2);
    rig_answer(&rig, 202, "");
    rig_due(&rig);
    rig_answer(&rig, 200, ABORTED);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

/* The answer to the fallback comes when the time is up: it is asked once all the same, since it was only just told. */
static void test_fallback_that_is_slow(void **state) {
    (void)state;
    for (int stops = 0; stops <= 1; stops++) {
        struct rig rig;
        begin_checking(&rig, forced);
        poll_on(&rig, RUNNING);
        rig_stored(&rig);
        rig.now_ms += 21 * S;
        rig_answer(&rig, 202, "");
        rig_due(&rig);
        assert_int_equal(rig.under_way, RUN_CALL_CHECK);
        rig_answer(&rig, 200, stops ? ABORTED : RUNNING);
        rig_assert_ends(&rig, RUN_CANCELED, stops ? REASON_CANCELED : REASON_CANCEL_UNCONFIRMED);
        rig_end(&rig);
    }
}

/* The first call was taken, so the upstream may stop all the same. */
static void test_fallback_that_is_refused(void **state) {
    (void)state;
    for (int stops = 0; stops <= 1; stops++) {
        struct rig rig;
        begin_checking(&rig, forced);
        poll_on(&rig, RUNNING);
        rig_stored(&rig);
        rig_answer(&rig, 403, "");
        assert_int_equal(rig.run->state, RUN_CANCEL_CHECK_WAITING);
        poll_on(&rig, stops ? ABORTED : RUNNING);
        rig_assert_ends(&rig, RUN_CANCELED, stops ? REASON_CANCELED : REASON_CANCEL_UNCONFIRMED);
        assert_int_equal(rig.cancel_sends, 2);
        rig_end(&rig);
    }
    struct rig rig;
    begin_canceling(&rig, forced);
    rig_answer(&rig, 403, "");
    rig_stored(&rig);
    rig_answer(&rig, 200, ""); /* not in its expect */
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    assert_string_equal(rig.run->progress, "canceled: the cancel call failed: the upstream answered 200");
    rig_end(&rig);
}

/* ---- restarts ---- */

static void test_restart_while_asking(void **state) {
    (void)state;
    for (int under_way = 0; under_way <= 1; under_way++) {
        struct rig rig;
        begin_checking(&rig, plain);
        if (under_way) rig_due(&rig);
        rig_restart(&rig);
        assert_int_equal(rig.run->state, RUN_CANCEL_CHECK_WAITING);
        rig_due(&rig);
        rig_answer(&rig, 200, ABORTED);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
        assert_int_equal(rig.cancel_sends, 1); /* it was told */
        rig_end(&rig);
    }
}

/* Not asked for longer than its time, but once in any case. */
static void test_restart_after_the_time_is_up(void **state) {
    (void)state;
    for (int stopped = 0; stopped <= 1; stopped++) {
        struct rig rig;
        begin_checking(&rig, plain);
        rig_crash(&rig, false);
        rig.now_ms += 3600 * S;
        rig_resume(&rig);
        rig_due(&rig);
        rig_answer(&rig, 200, stopped ? ABORTED : RUNNING);
        rig_assert_ends(&rig, RUN_CANCELED, stopped ? REASON_CANCELED : REASON_CANCEL_UNCONFIRMED);
        assert_int_equal(rig.checks, 1);
        rig_end(&rig);
    }
}

static void test_restart_during_the_fallback(void **state) {
    (void)state;
    struct rig rig;
    begin_canceling(&rig, forced);
    rig_answer(&rig, 403, "");
    rig_stored(&rig);
    rig_restart(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    assert_ptr_equal(run_call_of(rig.run, RUN_CALL_CANCEL), &rig.stage->cancel_fallback->call);
    rig_end(&rig);
}

static void test_held_back(void **state) {
    (void)state;
    struct rig rig;
    begin_checking(&rig, plain);
    rig.hold_calls = true;
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_CANCEL_CHECK_WAITING);
    rig_restart(&rig);
    rig_due(&rig);
    rig_answer(&rig, 200, ABORTED);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

/* The upstream takes no calls for longer than the cancel has: it ends all the same. */
static void test_held_for_longer_than_its_time(void **state) {
    (void)state;
    struct rig rig;
    struct fault fault;
    fault_set(&fault, FAULT_BUSY, NULL, "held until later");
    begin_checking(&rig, plain);
    for (int i = 0; rig.run->state == RUN_CANCEL_CHECK_WAITING; i++) {
        assert_true(i < 3);
        rig_due(&rig);
        rig.under_way = RUN_CALL_NONE;
        rig_move(&rig, &(struct run_event){.kind = RUN_EVENT_HELD, .fault = &fault, .until_ms = rig.now_ms + 3600 * S});
    }
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

/* … and told late: it cannot be asked, so the fallback is called, for which it is time. */
static void test_held_when_the_fallback_is_due(void **state) {
    (void)state;
    struct rig rig;
    struct fault fault;
    fault_set(&fault, FAULT_BUSY, NULL, "held until later");
    begin_canceling(&rig, forced);
    rig_answer_asking(&rig, 503, "", "30");
    rig_due(&rig);
    rig_answer(&rig, 202, "");
    rig_due(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CHECK);
    rig.under_way = RUN_CALL_NONE;
    rig_move(&rig, &(struct run_event){.kind = RUN_EVENT_HELD, .fault = &fault, .until_ms = rig.now_ms + 3600 * S});
    assert_int_equal(rig.run->state, RUN_STOPPING);
    rig_stored(&rig);
    assert_ptr_equal(run_call_of(rig.run, RUN_CALL_CANCEL), &rig.stage->cancel_fallback->call);
    rig_end(&rig);
}

/* ---- what there is to cancel is known only later ---- */

static void test_sent_as_soon_as_it_is_known(void **state) {
    (void)state;
    for (int when = 0; when <= 4; when++) {
        struct rig rig;
        rig_accept(&rig, searched);
        if (when == 0) rig_cancel(&rig); /* during the dispatch */
        rig_answer(&rig, 204, "");
        if (when == 1) rig_cancel(&rig); /* while its reply is written */
        rig_stored(&rig);
        assert_int_equal(rig.under_way, RUN_CALL_STEP);
        if (when == 2) rig_cancel(&rig); /* during the search */
        rig_answer(&rig, 200, "{}");
        assert_int_equal(rig.run->state, RUN_WAITING);
        if (when == 3) rig_cancel(&rig), rig_cancel(&rig); /* between two looks */
        if (when == 4) rig_cancel(&rig), rig_stored(&rig), rig_restart(&rig);
        else rig_due(&rig);
        assert_int_equal(rig.under_way, RUN_CALL_STEP);
        assert_int_equal(rig.cancel_sends, 0);
        rig_answer(&rig, 200, "{\"state\": \"found\", \"id\": 8}");
        rig_stored(&rig);
        assert_int_equal(rig.sends[2], 0);
        rig_stops(&rig);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
        assert_int_equal(rig.cancel_sends, 1);
        rig_end(&rig);
    }
}

static bool looks_wait(struct rig *rig) {
    return rig->run->step == 1;
}

/* A look that waits for its turn keeps its place, and its time is the cancel's. */
static void test_needed_look_is_held(void **state) {
    (void)state;
    struct rig rig;
    rig_begin(&rig, searched, 1);
    rig.busy = looks_wait;
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    rig_answer(&rig, 204, "");
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    assert_int_equal(rig.timer_ms, rig.now_ms + 40 * S);
    rig_stored(&rig);
    rig_give_turn(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_STEP);
    rig_answer(&rig, 200, "{\"state\": \"found\", \"id\": 8}");
    rig_stored(&rig);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_never_known(void **state) {
    (void)state;
    enum { NOT_YET, HANGS, NEVER, REFUSED };
    for (int how = NOT_YET; how <= REFUSED; how++) {
        struct rig rig;
        begin(&rig, searched);
        if (how == NOT_YET) rig_answer(&rig, 200, "{}");
        rig_cancel(&rig);
        int64_t began = rig.now_ms;
        if (how == HANGS) {
            rig_stored(&rig);
            rig_due(&rig);
        }
        if (how == NEVER) rig_answer(&rig, 200, "{\"state\": \"gone\"}");
        if (how == REFUSED) rig_refuse(&rig, FAULT_UNDEFINED);
        while (rig.run->state == RUN_WAITING) {
            rig_due(&rig);
            if (rig.under_way) rig_answer(&rig, 200, "{}");
        }
        assert_int_equal(rig.now_ms - began, how <= HANGS ? 40 * S : 0);
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
        rig_end(&rig);
    }
}

/* A look that may not be tried again is the end of looking, and not a failure of what was canceled. */
static void test_looks_that_fail(void **state) {
    (void)state;
    struct rig rig;
    char definition[1000];
    const char *settings = strstr(searched, "success = ");
    snprintf(definition, sizeof definition, "%.*sretry = { budget = \"10s\"; delay = \"4s\"; }; %s",
             (int)(settings - searched), searched, settings);
    begin(&rig, definition);
    rig_cancel(&rig);
    for (int i = 0; i < 100 && rig.run->state != RUN_ENDING; i++) {
        if (rig.under_way) rig_fail(&rig, REPLY_NEVER_SENT);
        else rig_due(&rig);
    }
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    assert_int_equal(rig.cancel_sends, 0);
    rig_end(&rig);
}

/* No work is begun only to be canceled. */
static void test_no_further_call_is_made(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/a\"; }, { name = "
                "\"b\"; method = \"POST\"; url = \"http://up.test/b\"; } ); cancel = { url = \"http://up.test/{{ "
                "b.body.id }}\"; };");
    rig_fail(&rig, REPLY_NEVER_SENT);
    rig_cancel(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    assert_int_equal(rig.sends[1], 1);
    rig_end(&rig);
}

/* A search that has found the work is no end of the work. */
static void test_a_search_is_no_end(void **state) {
    (void)state;
    struct rig rig;
    begin(
        &rig,
        "name = \"flow\"; steps = ( { name = \"dispatch\"; method = \"POST\"; url = \"http://up.test/d\"; }, { name = "
        "\"find\"; url = \"http://up.test/f\"; value = \"$.state\"; success = [ \"found\" ]; }, { name = \"watch\"; "
        "url = \"http://up.test/w\"; value = \"$.state\"; success = [ \"ok\" ]; } ); cancel = { url = "
        "\"http://up.test/stop\"; timeout = \"10s\"; };");
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    poll_on(&rig, "{\"state\": \"found\"}");
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

/* It takes the call, and says nothing: that does not keep the run longer than its time, by the fallback neither. */
static void test_the_cancel_call_is_not_answered(void **state) {
    (void)state;
    for (int fallback = 0; fallback <= 1; fallback++) {
        struct rig rig;
        begin_canceling(&rig, fallback ? forced : plain);
        for (int i = 0; i <= fallback; i++) {
            int64_t began = rig.now_ms;
            assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
            assert_int_equal(rig.timer_ms, began + 40 * S);
            rig_due(&rig);
            assert_int_equal(rig.under_way, RUN_CALL_NONE);
            rig_stored(&rig);
        }
        rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
        assert_string_equal(rig.run->progress, "canceled: the cancel call was not answered within cancel.timeout");
        rig_end(&rig);
    }
}

/* What the cancel call needs was lost; the fallback names the run's own key. */
static void test_the_fallback_needs_less(void **state) {
    (void)state;
    static const char *const doubts[] = {"", "probe = { url = \"http://up.test/s\"; found = \"$.job\"; };",
                                         "on_in_doubt = \"fail\";"};
    for (size_t i = 0; i < sizeof doubts / sizeof *doubts; i++) {
        struct rig rig;
        char definition[1000];
        bool needs = i == 0, looks = i == 1;
        snprintf(definition, sizeof definition,
                 "name = \"job\"; request = { url = \"http://up.test/jobs\"; %s }; cancel = { url = "
                 "\"http://up.test/{{ request.body.id }}\"; fallback = { url = \"http://up.test/{{ %s }}\"; }; };",
                 doubts[i], needs ? "request.body.id" : "run.key");
        rig_accept(&rig, definition);
        rig_cancel(&rig);
        rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
        rig_stored(&rig);
        if (looks) {
            assert_int_equal(rig.under_way, RUN_CALL_PROBE);
            rig_answer(&rig, 403, "{}"); /* it cannot tell */
            rig_stored(&rig);
        }
        if (!needs) {
            if (rig.under_way != RUN_CALL_CANCEL) fail_msg("%s", rig.run->progress);
            assert_ptr_equal(run_call_of(rig.run, RUN_CALL_CANCEL), &rig.stage->cancel_fallback->call);
            rig_restart(&rig);
            assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
            rig_answer(&rig, 200, "");
        }
        rig_assert_ends(&rig, RUN_CANCELED, needs ? REASON_CANCEL_UNCONFIRMED : REASON_CANCELED);
        rig_end(&rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_fallback_needs_less),
        cmocka_unit_test(test_the_cancel_call_is_not_answered),
        cmocka_unit_test(test_what_a_failed_try_may_have_begun),
        cmocka_unit_test(test_what_a_probe_has_found_is_stopped),
        cmocka_unit_test(test_asked_until_it_has_stopped),
        cmocka_unit_test(test_what_the_upstream_says),
        cmocka_unit_test(test_what_is_no_end),
        cmocka_unit_test(test_never_stops),
        cmocka_unit_test(test_where_nothing_can_be_asked),
        cmocka_unit_test(test_the_poll_cannot_be_made),
        cmocka_unit_test(test_time_out_is_verified_too),
        cmocka_unit_test(test_tried_again_as_its_retry_says),
        cmocka_unit_test(test_what_the_upstream_asks_for_is_waited_for),
        cmocka_unit_test(test_told_after_half_of_the_time),
        cmocka_unit_test(test_the_cancel_call_is_held),
        cmocka_unit_test(test_the_poll_fails),
        cmocka_unit_test(test_an_error_in_the_reply),
        cmocka_unit_test(test_an_error_in_the_reply_and_the_fallback),
        cmocka_unit_test(test_fallback_where_the_call_is_refused),
        cmocka_unit_test(test_fallback_where_it_does_not_stop),
        cmocka_unit_test(test_fallback_that_is_slow),
        cmocka_unit_test(test_fallback_that_is_refused),
        cmocka_unit_test(test_restart_while_asking),
        cmocka_unit_test(test_restart_after_the_time_is_up),
        cmocka_unit_test(test_restart_during_the_fallback),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_held_for_longer_than_its_time),
        cmocka_unit_test(test_held_when_the_fallback_is_due),
        cmocka_unit_test(test_sent_as_soon_as_it_is_known),
        cmocka_unit_test(test_needed_look_is_held),
        cmocka_unit_test(test_never_known),
        cmocka_unit_test(test_looks_that_fail),
        cmocka_unit_test(test_no_further_call_is_made),
        cmocka_unit_test(test_a_search_is_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
