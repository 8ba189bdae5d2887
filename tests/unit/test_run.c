/* The life of a run, driven by hand through each of its paths; run_rig.h checks the invariants at every step. The same
 * with chance is the model test (tests/model). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "call/pace.h"
#include "run_rig.h"

#define S 1000

/* ---- helpers ---- */

static void begin(struct rig *rig, const char *definition) {
    rig_begin(rig, definition, 1);
    rig_start_with(rig, NULL);
}

/* … accepted, submitted, answered, and the first poll under way. */
static void begin_polling(struct rig *rig) {
    begin(rig, rig_two_steps);
    rig_stored(rig);
    rig_answer(rig, 201, "{\"id\": 5}");
    rig_stored(rig);
    assert_int_equal(rig->run->state, RUN_CALLING);
    assert_int_equal(rig->run->step, 1);
}

static void assert_ends(struct rig *rig, enum run_status status, enum reason reason) {
    rig_stored(rig);
    assert_true(rig->over);
    assert_int_equal(rig->run->state, RUN_ENDED);
    assert_string_equal(run_status_word(rig->run->status), run_status_word(status));
    if (rig->run->reason != reason) fail_msg("the reason is %s: %s", reason_word(rig->run->reason), rig->run->progress);
    assert_int_equal(rig->undone > 0, status != RUN_SUCCEEDED);
}

static const char *output(const struct rig *rig, const char *name) {
    return json_gets_text(rig_value(rig, rig->run->outputs), name);
}

/* ---- what is held of a reply ---- */

static const struct {
    const char *named, *body, *held;
} held_cases[] = {
    {"x", "{\"id\": 7, \"rest\": [1]}", "{\"code\":200}"},
    {"{{ a.code }}", "{\"id\": 7, \"rest\": [1]}", "{\"code\":200}"},
    {"{{ a.body.id }}", "{\"rest\": [1], \"id\": 7}", "{\"body\":{\"id\":7},\"code\":200}"},
    {"{{ a.body['id'] }}", "{\"rest\": [1], \"id\": 7}", "{\"body\":{\"id\":7},\"code\":200}"},
    {"{{ a.body.id }}/{{ a.body.rest[0] }}/{{ a.body.id }}", "{\"z\": 0, \"rest\": [1], \"id\": 7}",
     "{\"body\":{\"rest\":[1],\"id\":7},\"code\":200}"},
    {"{{ a.body.none | default('n') }}", "{\"id\": 7}", "{\"body\":{},\"code\":200}"},
    {"{{ a.body | length }}", "{\"id\": 7, \"rest\": [1]}", "{\"body\":{\"id\":7,\"rest\":[1]},\"code\":200}"},
    {"{{ a.body[parameters.name] | default('n') }}", "{\"id\": 7}", "{\"body\":{\"id\":7},\"code\":200}"},
    {"{{ a[parameters.name] | default('n') }}", "{\"id\": 7}",
     "{\"body\":{\"id\":7},\"headers\":{},\"code\":200,\"outputs\":{}}"},
    {"{% set all = a.body %}{{ all.id }}", "{\"id\": 7, \"z\": 0}", "{\"body\":{\"id\":7,\"z\":0},\"code\":200}"},
    {"{{ a.body[0] }}", "[7, 8]", "{\"body\":[7,8],\"code\":200}"},
    {"{{ a.body.id | default('n') }}", "[7, 8]", "{\"body\":[7,8],\"code\":200}"},
};

static void test_what_no_template_names_is_not_held(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof held_cases / sizeof *held_cases; i++) {
        struct rig rig;
        struct buf definition;
        buf_init(&definition, 4096);
        buf_addf(
            &definition,
            "name = \"job\"; parameters = ( { name = \"name\"; type = \"string\"; } ); steps = ( { name = \"a\"; url = "
            "\"http://up.test/a\"; method = \"GET\"; }, { name = \"b\"; url = \"http://up.test/%s\"; method = "
            "\"GET\"; } );",
            held_cases[i].named);
        rig_begin(&rig, buf_cstr(&definition), 1);
        rig_start_with(&rig, NULL);
        rig_stored(&rig);
        rig_answer(&rig, 200, held_cases[i].body);
        struct text held = frozen_text(rig.run->steps[0].value);
        if (!text_is(held, held_cases[i].held)) fail_msg("%s: %.*s", held_cases[i].named, TEXT_ARG(held));
        rig_end(&rig);
        buf_fini(&definition);
    }
}

/* ---- the paths without trouble ---- */

/* The next poll is on the run's grid of 5 s, not at once and not far. */
static void assert_on_grid(const struct rig *rig) {
    struct stage_step step = {.every_ms = 5 * S};
    int64_t origin = pace_origin_ms(&step, rig->run->step_began_ms, TEXT(RIG_ID));
    assert_int_equal((rig->timer_ms - origin) % (5 * S), 0);
    assert_in_range(rig->timer_ms - rig->now_ms, S / 2, 5 * S + S / 2);
}

static void test_two_steps_succeed(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    assert_int_equal(rig.run->state, RUN_ACCEPTING);
    assert_int_equal(rig.sends[0], 0); /* nothing before the record */
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    rig_answer(&rig, 201, "{\"id\": 5}");
    assert_int_equal(rig.run->state, RUN_RECORDING);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"running\", \"percent\": 40, \"message\": \"warming up\"}");
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_on_grid(&rig);
    assert_string_equal(rig.run->progress, "status: running (40 %) - warming up");
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": \"PASSED\", \"report\": \"http://r\"}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_string_equal(output(&rig, "report"), "http://r");
    assert_int_equal(rig.run->percent, 100);
    assert_int_equal(rig.run->upstream_code, 200);
    assert_int_equal(rig.run->steps[1].calls, 2);
    assert_null(rig.run->error);
    rig_end(&rig);
}

static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *body;
        enum run_status status; /* RUNNING: it goes on */
        enum reason reason;
        const char *progress;
    } rows[] = {
        {"{\"state\": \"passed\"}", RUN_SUCCEEDED, REASON_NONE, "succeeded"},
        {"{\"state\": \"Passed\", \"message\": \"all green\"}", RUN_SUCCEEDED, REASON_NONE, "succeeded: all green"},
        {"{\"state\": \"unstable\"}", RUN_SUCCEEDED, REASON_NONE, "succeeded with a warning: unstable"},
        {"{\"state\": \"failed\"}", RUN_TERMINAL, REASON_UPSTREAM_FAILED, "status: the upstream says \"failed\""},
        {"{\"state\": \"failed\", \"message\": \"p99\"}", RUN_TERMINAL, REASON_UPSTREAM_FAILED,
         "status: the upstream says \"failed\" - p99"},
        {"{\"state\": \"aborted\"}", RUN_CANCELED, REASON_UPSTREAM_CANCELED, "status: the upstream says \"aborted\""},
        {"{\"state\": \"queued\"}", RUN_RUNNING, REASON_NONE, "status: queued"},
        {"{\"state\": null}", RUN_RUNNING, REASON_NONE, "status: running"},
        {"{}", RUN_RUNNING, REASON_NONE, "status: running - the reply has no $.state"},
        {"", RUN_RUNNING, REASON_NONE, "status: running - the reply is empty, and has no $.state"},
        {"<html>", RUN_RUNNING, REASON_NONE, "status: running - the reply is not JSON, and has no $.state"},
        {"{\"state\": [\"passed\"]}", RUN_RUNNING, REASON_NONE, "status: running - $.state is an array"},
        {"{\"state\": {}}", RUN_RUNNING, REASON_NONE, "status: running - $.state is an object"},
        {"{\"message\": \"soon\"}", RUN_RUNNING, REASON_NONE, "status: running - soon"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin_polling(&rig);
        rig_answer(&rig, 200, rows[i].body);
        if (rows[i].status == RUN_RUNNING) assert_int_equal(rig.run->state, RUN_WAITING);
        else assert_ends(&rig, rows[i].status, rows[i].reason);
        assert_string_equal(rig.run->progress, rows[i].progress);
        if (rows[i].status == RUN_TERMINAL) assert_string_equal(rig.run->error, rows[i].progress);
        rig_end(&rig);
    }
}

static void test_warn_gives_an_output(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_answer(&rig, 200, "{\"state\": \"unstable\", \"report\": \"http://r\"}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_string_equal(output(&rig, "result"), "WARN");
    assert_string_equal(output(&rig, "report"), "http://r");
    rig_end(&rig);
}

static void test_unknown_word_is_told_once(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    for (int i = 0; i < 3; i++) {
        rig_answer(&rig, 200, "{\"state\": \"queued\"}");
        assert_int_equal(rig.unknown_words, 1);
        rig_due(&rig);
    }
    assert_string_equal(rig.run->upstream_word, "queued");
    rig_end(&rig);
}

static void test_unknown_word_may_fail(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig,
          "name = \"s\"; request = { url = \"http://up.test/\"; }; status = { url = \"http://up.test/1\"; value = "
          "\"$.state\"; success = [ \"ok\" ]; unknown = \"fail\"; };");
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"odd\"}");
    assert_ends(&rig, RUN_TERMINAL, REASON_UNKNOWN_STATUS);
    assert_non_null(strstr(rig.run->error, "odd"));
    rig_end(&rig);
}

static void test_threshold_gates(void **state) {
    (void)state;
    static const char gate[] = "name = \"gate\"; parameters = ( { name = \"limit\"; type = \"string\"; } );"
                               "request = { method = \"GET\"; url = \"http://up.test/\"; value = \"$.v\"; %s = \"{{ "
                               "parameters.limit }}\"; every = \"1s\"; timeout = \"10s\"; };";
    static const struct {
        const char *bound, *limit, *body;
        bool met;
    } rows[] = {
        {"at_most", "0.5", "{\"v\": 0.5}", true},       {"at_most", "0.5", "{\"v\": \"0.25\"}", true},
        {"at_most", "0.5", "{\"v\": 0.51}", false},     {"at_most", "0.5", "{\"v\": \"NaN\"}", false},
        {"at_most", "0.5", "{\"v\": \"-Inf\"}", false}, {"at_most", "0.5", "{}", false},
        {"at_least", "10", "{\"v\": 10}", true},        {"at_least", "10", "{\"v\": 9}", false},
        {"at_least", "10", "{\"v\": \"\"}", false},     {"at_least", "10", "{\"v\": true}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        char definition[512];
        snprintf(definition, sizeof definition, gate, rows[i].bound);
        rig_begin(&rig, definition, 1);
        struct arena *arena = arena_new();
        struct json *parameters = json_new_object(arena);
        json_set(parameters, "limit", json_new_string(arena, rows[i].limit));
        rig_start_with(&rig, parameters);
        rig_stored(&rig);
        rig_answer(&rig, 200, rows[i].body);
        if (rows[i].met) assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        else if (rig.run->state != RUN_WAITING) fail_msg("row %zu: %s", i, rig.run->progress);
        rig_end(&rig);
        arena_free(arena);
    }
}

static void test_threshold_that_is_no_number(void **state) {
    (void)state;
    struct rig rig;
    rig_begin(&rig,
              "name = \"gate\"; parameters = ( { name = \"limit\"; } ); request = { method = \"GET\"; url = "
              "\"http://up.test/\"; value = \"$.v\"; at_most = \"{{ parameters.limit }}\"; };",
              1);
    struct arena *arena = arena_new();
    struct json *parameters = json_new_object(arena);
    json_set(parameters, "limit", json_new_string(arena, "fast"));
    rig_start_with(&rig, parameters);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"v\": 1}");
    assert_ends(&rig, RUN_TERMINAL, REASON_INVALID_REQUEST);
    rig_end(&rig);
    arena_free(arena);
}

static void test_outputs(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig,
          "name = \"s\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/\"; outputs = { "
          "first = \"$.id\"; shared = \"$.id\"; }; }, { name = \"b\"; url = \"http://up.test/\"; outputs = { "
          "shared = \"$.x\"; }; } ); outputs = { all = \"$.list[*]\"; missing = \"$.none\"; code = \"{{ code }}\"; "
          "from_a = \"{{ a.body.id }}-{{ b.code }}\"; };");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"id\": 7}");
    rig_stored(&rig);
    rig_restart(&rig); /* what the first step gave outlives a restart */
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"x\": \"new\", \"list\": [1, 2]}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    struct buf text;
    buf_init(&text, 4096);
    buf_addt(&text, frozen_text(rig.run->outputs));
    assert_string_equal(
        buf_cstr(&text),
        "{\"first\":7,\"shared\":\"new\",\"all\":[1,2],\"missing\":null,\"code\":200,\"from_a\":\"7-200\"}");
    buf_fini(&text);
    rig_end(&rig);
}

/* What the URL of the step at hand is made to; NULL: it is refused since a value is undefined. */
static void assert_url(const struct rig *rig, const char *wanted) {
    struct arena *arena = arena_new();
    const struct json *roots[RUN_ROOTS_MAX];
    struct fault fault = {0};
    struct buf url;
    buf_init(&url, 4096);
    run_roots(rig->run, arena, rig->now_ms, NULL, roots);
    bool made = template_render(rig->stage->steps[rig->run->step].call.url, roots, &url, &fault);
    if (wanted) assert_string_equal(made ? buf_cstr(&url) : fault.what, wanted);
    else assert_int_equal(made ? FAULT_NONE : fault.kind, FAULT_UNDEFINED);
    buf_fini(&url);
    arena_free(arena);
}

static void test_outputs_in_templates(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig,
          "name = \"s\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/\"; outputs = { "
          "id = \"$.list[?@.mine].id\"; none = \"$.none\"; }; }, { name = \"b\"; url = \"http://up.test/{{ "
          "a.outputs.id | first }}\"; outputs = { twice = \"{{ a.outputs.id + body.list }}\"; }; } ); "
          "outputs = { of_b = \"{{ b.outputs.twice | length }}\"; none = \"{{ a.outputs.none | default('n') }}\"; };");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"list\": [{\"id\": 1}, {\"id\": \"x y\", \"mine\": true}]}");
    rig_stored(&rig);
    rig_restart(&rig);
    rig_due(&rig);
    assert_url(&rig, "http://up.test/x%20y");
    rig_answer(&rig, 200, "{\"list\": [2, 3]}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(json_int(json_gets(rig_value(&rig, rig.run->outputs), "of_b")), 3);
    assert_string_equal(output(&rig, "none"), "n");
    rig_end(&rig);
}

/* An output that came to nothing is undefined where a later request needs it. */
static void test_outputs_that_are_missing(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/\"; outputs = { "
                "id = \"$.id\"; }; }, { name = \"b\"; url = \"http://up.test/{{ a.outputs.id }}\"; } );");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{}");
    rig_stored(&rig);
    assert_url(&rig, NULL);
    rig_end(&rig);
}

/* ---- logs ---- */

#define RIG_LOG(more)                                                                                                \
    "name = \"s\"; parameters = ( { name = \"token\"; type = \"secret\"; } ); steps = ( { name = \"log\"; url = "    \
    "\"http://up.test/\"; capture = " more " outputs = { last = \"{{ body[-3:] }}\"; own = \"{{ code }}\"; }; }, { " \
    "name = \"end\"; url = \"http://up.test/{{ log.outputs.image }}\"; } ); outputs = { again = \"{{ "               \
    "log.outputs.Image }}\"; };"

static const struct log_case {
    const char *definition, *log;
    enum run_status status;
    enum reason reason;
    const char *outputs, *warnings, *progress;
} log_cases[] = {
    {RIG_LOG("\"properties\";"), "SPINNAKER_PROPERTY_Image=a:1\nSPINNAKER_PROPERTY_own=theirs\nbye", RUN_SUCCEEDED,
     REASON_NONE, "{\"Image\":\"a:1\",\"image\":\"a:1\",\"own\":200,\"last\":\"bye\",\"again\":\"a:1\"}", "[]",
     "succeeded"},
    {RIG_LOG("\"properties\";"), "SPINNAKER_PROPERTY_Image=hunter22\nSPINNAKER_PROPERTY_hunter22=x\n12345",
     RUN_SUCCEEDED, REASON_NONE,
     "{\"Image\":\"***\",\"image\":\"***\",\"***\":\"x\",\"last\":\"345\",\"own\":200,\"again\":\"***\"}", "[]",
     "succeeded"},
    {RIG_LOG("\"properties\";"), "SPINNAKER_PROPERTY_Image=a\n.\nSPINNAKER_CONFIG_JSON={\n{}", RUN_SUCCEEDED,
     REASON_NONE, "{\"Image\":\"a\",\"image\":\"a\",\"last\":\"\\n{}\",\"own\":200,\"again\":\"a\"}",
     "[\"log: line 3: what follows SPINNAKER_CONFIG_JSON= is not a JSON object\"]",
     "succeeded with a warning: log: line 3: what follows SPINNAKER_CONFIG_JSON= is not a JSON object"},
    {RIG_LOG("{ format = \"properties\"; missing = \"fail\"; };"), "nothing", RUN_TERMINAL, REASON_NOTHING_CAPTURED, "",
     "", "log: the log has no line that begins with SPINNAKER_PROPERTY_ or SPINNAKER_CONFIG_JSON="},
};

static void assert_json(const struct json *value, const char *wanted) {
    struct buf text;
    buf_init(&text, 1 << 16);
    if (value) json_write(&text, value);
    assert_string_equal(buf_cstr(&text), wanted);
    buf_fini(&text);
}

static void test_logs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof log_cases / sizeof *log_cases; i++) {
        const struct log_case *c = &log_cases[i];
        struct arena *arena = arena_new();
        struct json *parameters = json_new_object(arena);
        struct rig rig;
        json_set(parameters, "token", json_new_string(arena, "hunter22"));
        rig_begin(&rig, c->definition, i);
        rig_start_with(&rig, parameters);
        rig_stored(&rig);
        rig_answer(&rig, 200, c->log);
        rig_stored(&rig);
        if (c->status == RUN_SUCCEEDED) {
            assert_null(json_gets(rig_value(&rig, rig.run->steps[0].value), "body")); /* a log is not kept */
            rig_restart(&rig);
            rig_due(&rig);
            rig_answer(&rig, 200, "{}");
        }
        assert_ends(&rig, c->status, c->reason);
        if (c->outputs[0]) assert_json(rig_value(&rig, rig.run->outputs), c->outputs);
        if (c->warnings[0])
            assert_json(rig.run->warnings ? rig_value(&rig, rig.run->warnings) : json_new_array(arena), c->warnings);
        assert_string_equal(rig.run->progress, c->progress);
        rig_end(&rig);
        arena_free(arena);
    }
}

/* Nothing to capture: said, or not, and the run goes on; as the last step too. */
static void test_log_without_lines(void **state) {
    (void)state;
    static const char *const missing[] = {"warn", "ignore"};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        char definition[256];
        snprintf(definition, sizeof definition,
                 "name = \"s\"; request = { method = \"GET\"; url = \"http://up.test/\"; capture = { format = "
                 "\"properties\"; missing = \"%s\"; }; };",
                 missing[i]);
        begin(&rig, definition);
        rig_stored(&rig);
        rig_answer(&rig, 200, "done\n");
        assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        assert_int_equal(json_size(rig_value(&rig, rig.run->warnings)), 1 - i);
        assert_int_equal(strstr(rig.run->progress, "the log has no line") != NULL, 1 - i);
        rig_end(&rig);
    }
}

/* What a failed run gave helps to find out why. */
static void test_outputs_of_a_run_without_success(void **state) {
    (void)state;
    static const char *const words[] = {"failed", "aborted"};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        char body[64];
        begin_polling(&rig);
        snprintf(body, sizeof body, "{\"state\": \"%s\", \"report\": \"http://r\"}", words[i]);
        rig_answer(&rig, 200, body);
        rig_stored(&rig);
        assert_true(rig.over);
        assert_string_equal(output(&rig, "report"), "http://r");
        rig_end(&rig);
    }
}

/* The intent goes along with the reply before it: one record between two calls, not two. */
static void test_one_record_between_two_calls(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/\"; }, { name = "
                "\"b\"; method = \"POST\"; url = \"http://up.test/\"; } );");
    rig_written(&rig);
    assert_int_equal(rig.sends[0], 1);
    rig_answer(&rig, 200, "");
    rig_written(&rig);
    assert_int_equal(rig.sends[1], 1);
    rig_end(&rig);
}

/* A text without end from the upstream is cut, not lost. */
static void test_long_messages(void **state) {
    (void)state;
    static const char *const states[] = {"running", "passed", "failed"};
    for (size_t i = 0; i < 3; i++) {
        struct rig rig;
        begin_polling(&rig);
        struct buf body;
        buf_init(&body, 1 << 20);
        buf_addf(&body, "{\"state\": \"%s\", \"message\": \"disk: ", states[i]);
        for (int n = 0; n < 20000; n++) buf_adds(&body, "\u20ac");
        buf_adds(&body, "\"}");
        rig_answer(&rig, 200, buf_cstr(&body));
        assert_non_null(strstr(rig.run->progress, "disk: \u20ac\u20ac"));
        assert_true(strlen(rig.run->progress) <= 4096);
        assert_null(strstr(rig.run->progress, "\xEF\xBF\xBD")); /* cut between characters */
        buf_fini(&body);
        rig_end(&rig);
    }
}

static void test_polling_holds_no_more_memory(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_answer(&rig, 200, "{\"state\": \"running\"}");
    size_t before = arena_bytes(rig.run->arena);
    rig.run->created_ms = rig.run->step_began_ms = rig.now_ms;
    for (int i = 0; i < 5000; i++) {
        rig_due(&rig);
        rig.run->step_began_ms = rig.now_ms; /* no time-out here */
        rig_answer(&rig, 200, "{\"state\": \"running\", \"message\": \"still at it\"}");
    }
    assert_true(arena_bytes(rig.run->arena) <= before + 4096);
    rig_end(&rig);
}

/* ---- calls that fail ---- */

static void test_never_sent_is_tried_again(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_stored(&rig);
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
    assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_UNREACHABLE);
    assert_string_equal(rig.run->error, "request: connection refused");
    rig_end(&rig);
}

static void test_lost_reply_is_in_doubt(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_stored(&rig);
    rig_fail(&rig, REPLY_MAYBE_ACTED_ON);
    assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
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
        begin(&rig, rig_two_steps);
        rig_stored(&rig);
        rig_answer(&rig, rows[i].code, "{\"state\": \"passed\"}");
        assert_int_equal(rig.run->state, rows[i].state);
        assert_int_equal(rig.run->reason, rows[i].reason);
        rig_end(&rig);
    }
}

static void test_poll_errors_go_on_until_the_time_is_up(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
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
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_int_equal(rig.cancel_sends, 1);
    rig_end(&rig);
}

/* What kept it from being done is told: no word that was looked for would have come. */
static void test_time_is_up_in_trouble(void **state) {
    (void)state;
    for (int code = 0; code <= 503; code += 503) {
        struct rig rig;
        begin_polling(&rig);
        while (rig.run->state == RUN_CALLING) {
            if (code) rig_answer(&rig, code, "{}");
            else rig_fail(&rig, REPLY_NEVER_SENT);
            rig_due(&rig);
        }
        rig_stored(&rig);
        rig_answer(&rig, 403, "{}"); /* the cancel call */
        assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
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
    begin_polling(&rig);
    rig_due(&rig); /* the step's time */
    assert_journal_has(&rig, "\"rule\":\"the time is up\"");
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_due(&rig);
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_journal_has(&rig, "\"step\":\"cancel\"");
    rig_end(&rig);

    begin_polling(&rig);
    rig_cancel(&rig);
    assert_journal_has(&rig, "\"verdict\":\"given_up\"");
    assert_journal_has(&rig, "\"phase\":\"maybe_acted_on\"");
    rig_end(&rig);
}

/* explain says so of the call that was the last one. */
static void test_the_last_try_is_told_as_such(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig,
          "name = \"job\"; request = { url = \"http://up.test/\"; retry = { attempts = 5; budget = \"20s\"; }; };");
    rig_stored(&rig);
    rig_answer_asking(&rig, 429, "", "60");
    assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_REFUSED);
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
        begin_polling(&rig);
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
        assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
        assert_string_equal(rig.run->error, rows[i].error);
        rig_end(&rig);
    }
}

static void test_retry_after_is_obeyed(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
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
    begin_polling(&rig);
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 60 * S);
    rig_due(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_NONE);
    rig_stored(&rig);
    rig_answer(&rig, 500, "");
    assert_int_equal(rig.run->state, RUN_CANCEL_WAITING);
    rig_due(&rig);
    rig_stops(&rig);
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    rig_end(&rig);
}

/* Asked for first, so the end is what was asked for. */
static void test_cancel_then_time_is_up(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; timeout = \"10s\"; request = { url = \"http://up.test/\"; }; cancel = { url = "
                "\"http://up.test/stop\"; };");
    rig_stored(&rig);
    rig_cancel(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_CALLING);
    rig_due(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_CANCELING);
    rig_answer(&rig, 200, "");
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_whole_run_has_a_time(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; timeout = \"8s\"; request = { url = \"http://up.test/\"; }; status = { url = "
                "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; every = \"5s\"; };");
    rig_stored(&rig);
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
    begin(&rig, definition);
    rig.now_ms += 9 * S;
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    assert_int_equal(rig.sends[0] + rig.cancel_sends, 0);
    rig_end(&rig);
    begin(&rig, definition);
    rig_stored(&rig);
    rig_answer(&rig, 201, "{}");
    assert_int_equal(rig.run->state, RUN_RECORDING);
    rig.now_ms += 9 * S;
    rig_stored(&rig);
    assert_int_equal(rig.sends[1], 0);
    rig_stops(&rig);
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
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
        begin(&rig, rig_two_steps);
        rig_stored(&rig);
        rig_refuse(&rig, rows[i].kind);
        assert_ends(&rig, RUN_TERMINAL, rows[i].reason);
        assert_int_equal(rig.run->steps[0].calls, 0);
        rig_end(&rig);
    }
}

static void test_not_found_at_first(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig,
          "name = \"s\"; request = { url = \"http://up.test/\"; }; status = { url = \"http://up.test/1\"; value = "
          "\"$.state\"; success = [ \"ok\" ]; every = \"5s\"; not_found_grace = \"8s\"; };");
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    rig_answer(&rig, 404, "");
    rig_due(&rig);
    rig_answer(&rig, 404, "");
    rig_due(&rig);
    rig_answer(&rig, 404, "");
    assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_REFUSED);
    rig_end(&rig);
}

static void test_first_record_cannot_be_written(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_unstored(&rig);
    assert_int_equal(rig.run->state, RUN_DROPPED);
    assert_true(rig.over);
    assert_int_equal(rig.sends[0], 0);
    rig_end(&rig);
}

/* ---- waiting for a turn ---- */

static void begin_queued(struct rig *rig, const char *definition) {
    rig_begin(rig, definition, 1);
    rig->queued = true;
    rig_start_with(rig, NULL);
}

static void test_queued_until_admitted(void **state) {
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
    rig_admit(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    assert_int_equal(rig.sends[0], 0); /* not before it is durable */
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    assert_int_equal(rig.run->step_began_ms, rig.now_ms);
    run_say_turn(rig.run, &world, "queued: not any more");
    assert_null(strstr(rig.run->progress, "queued"));
    rig_restart(&rig);
    assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    rig_end(&rig);
}

static void test_admitted_before_the_first_record(void **state) {
    (void)state;
    struct rig rig;
    begin_queued(&rig, rig_two_steps);
    rig_admit(&rig);
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
        if (how == 3) rig_admit(&rig);
        if (how < 2) rig_stored(&rig);
        if (how == 1) rig_admit(&rig);
        rig_cancel(&rig);
        assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
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
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
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
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
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
    rig_admit(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig); /* the poll is held too */
    assert_int_equal(rig.run->state, RUN_QUEUED);
    assert_int_equal(rig.timer_ms, rig.run->step_began_ms + 60 * S);
    rig_admit(&rig);
    assert_int_equal(rig.run->state, RUN_CALLING);
    rig_answer(&rig, 200, "{}");
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_stops(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    assert_int_equal(rig.sends[1], 1);
    rig_end(&rig);
}

static void test_time_is_up_while_a_call_is_held(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig.busy = always_busy;
    rig_answer(&rig, 200, "{}");
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_QUEUED);
    rig_due(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1); /* which is not held */
    rig_stops(&rig);
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    rig_end(&rig);
}

/* ---- cancel, in every state ---- */

static void test_cancel_before_the_first_record(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_cancel(&rig);
    rig_stored(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
    assert_int_equal(rig.sends[0] + rig.cancel_sends, 0);
    rig_end(&rig);
}

/* Its reply says what there is to cancel, so it is waited for. */
static void test_cancel_during_the_submit_call(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_stored(&rig);
    rig_cancel(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_STEP);
    rig_stored(&rig);
    assert_true(rig_durable_int(&rig, "cancel_wanted"));
    rig_cancel(&rig);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_stops(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    assert_int_equal(rig.sends[1], 0);
    rig_end(&rig);
}

/* The same where the submit call is idempotent: a PUT may start work too. */
static void test_cancel_during_an_idempotent_submit_call(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; request = { method = \"PUT\"; url = \"http://up.test/\"; }; status = { url = "
                "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; canceled = [ \"aborted\" ]; }; "
                "cancel = { url = "
                "\"http://up.test/{{ request.body.id }}\"; };");
    rig_stored(&rig);
    rig_cancel(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_STEP);
    rig_answer(&rig, 200, "{\"id\": 5}");
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL);
    rig_stops(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
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
        begin(&rig, rows[i].definition);
        rig_stored(&rig);
        rig_cancel(&rig);
        rig_stored(&rig);
        if (rows[i].code) rig_answer(&rig, rows[i].code, "");
        else rig_fail(&rig, rows[i].phase);
        assert_ends(&rig, RUN_CANCELED, rows[i].reason);
        rig_end(&rig);
    }
}

static void test_cancel_during_the_last_call(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; request = { url = \"http://up.test/\"; };");
    rig_stored(&rig);
    rig_cancel(&rig);
    rig_answer(&rig, 200, ""); /* done before it could be stopped */
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

static void test_cancel_while_waiting(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
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
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_cancel_during_a_poll(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_cancel(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_NONE); /* it is given up */
    rig_stored(&rig);
    rig_stops(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_cancel_while_the_reply_is_written(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_stored(&rig);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_RECORDING);
    rig_written(&rig); /* the reply, without the wish */
    assert_int_equal(rig.cancel_sends, 0);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    assert_int_equal(rig.sends[1], 0);
    rig_stops(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_cancel_while_the_intent_is_written(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_stored(&rig);
    rig_fail(&rig, REPLY_NEVER_SENT);
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED_BEFORE_START);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_cancel_while_the_end_is_written_and_after(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_answer(&rig, 200, "{\"state\": \"passed\"}");
    rig_cancel(&rig);
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
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
    begin(&rig,
          "name = \"s\"; request = { url = \"http://up.test/\"; }; status = { url = \"http://up.test/1\"; value = "
          "\"$.state\"; success = [ \"ok\" ]; };");
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    rig_cancel(&rig);
    assert_int_equal(rig.run->state, RUN_STOPPING);
    rig_written(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
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
        begin_polling(&rig);
        rig_cancel(&rig);
        rig_stored(&rig);
        for (size_t n = 0; rows[i].codes[n] >= 0; n++) {
            if (n) rig_due(&rig);
            if (rows[i].codes[n]) rig_answer(&rig, rows[i].codes[n], "");
            else rig_fail(&rig, REPLY_NEVER_SENT);
        }
        if (rig.run->state == RUN_CANCEL_CHECK_WAITING)
            rig_due(&rig), rig_answer(&rig, 200, "{\"state\": \"aborted\"}");
        assert_ends(&rig, RUN_CANCELED, rows[i].reason);
        rig_end(&rig);
    }
}

static void test_cancel_call_cannot_be_rendered(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_refuse(&rig, FAULT_UNDEFINED);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
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

/* ---- conditions, and success that has to last ---- */

static const char one_gate[] = "name = \"gate\"; request = { method = \"GET\"; url = \"http://up.test/\"; every = "
                               "\"1s\"; timeout = \"10m\"; %s };";

static void begin_gate(struct rig *rig, const char *settings) {
    char definition[1000];
    snprintf(definition, sizeof definition, one_gate, settings);
    rig_begin(rig, definition, 1);
    rig_start_with(rig, NULL);
    rig_stored(rig);
}

static void test_ends_by_conditions(void **state) {
    (void)state;
    static const struct {
        const char *settings, *body;
        enum run_status status;
        enum reason reason;
        const char *said;
    } rows[] = {
        {"success_when = \"body.n > 2\";", "{\"n\": 3}", RUN_SUCCEEDED, REASON_NONE, "succeeded"},
        {"success_when = \"false\"; failure_when = \"body.n > 2\";", "{\"n\": 3}", RUN_TERMINAL, REASON_UPSTREAM_FAILED,
         "request: failure_when holds: body.n > 2"},
        {"success_when = \"false\"; canceled_when = \"body.n > 2\";", "{\"n\": 3}", RUN_CANCELED,
         REASON_UPSTREAM_CANCELED, "request: canceled by the upstream: canceled_when holds: body.n > 2"},
        {"warn_when = \"body.n > 2\";", "{\"n\": 3}", RUN_SUCCEEDED, REASON_NONE, "succeeded with a warning"},
        {"value = \"$.s\"; success = [ \"ok\" ]; failure = [ \"bad\" ]; error_when = \"false\"; error = \"$.why\";",
         "{\"s\": \"bad\", \"why\": \"disk full\"}", RUN_TERMINAL, REASON_UPSTREAM_FAILED,
         "request: the upstream says \"bad\" - disk full"},
        {"value = \"$.s\"; success = [ \"ok\" ]; unknown = \"fail\";", "{\"s\": \"odd\"}", RUN_TERMINAL,
         REASON_UNKNOWN_STATUS, "request: the upstream says \"odd\", which no list of the definition names"},
        {"success_when = \"body.done\"; unknown = \"fail\";", "{\"done\": false}", RUN_TERMINAL, REASON_UNKNOWN_STATUS,
         "request: no condition describes the reply"},
        {"success_when = \"body.done\"; error = \"$.e\";", "{\"done\": true, \"e\": \"no\"}", RUN_TERMINAL,
         REASON_UPSTREAM_REFUSED, "request: the reply has an error: no"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin_gate(&rig, rows[i].settings);
        rig_answer(&rig, 200, rows[i].body);
        assert_ends(&rig, rows[i].status, rows[i].reason);
        assert_string_equal(rig.run->progress, rows[i].said);
        if (rows[i].status == RUN_TERMINAL) assert_string_equal(rig.run->error, rows[i].said);
        rig_end(&rig);
    }
}

static void test_a_condition_over_what_is_not_there(void **state) {
    (void)state;
    struct rig rig;
    begin_gate(&rig, "success_when = \"body.state.ready\";");
    rig_answer(&rig, 200, "{}");
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_non_null(strstr(rig.run->progress, "request: running - success_when: body.state"));
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": {\"ready\": true}}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

static void test_an_error_in_a_200_ends_a_step_that_runs_once(void **state) {
    (void)state;
    struct rig rig;
    rig_begin(&rig,
              "name = \"s\"; steps = ( { name = \"send\"; method = \"POST\"; url = \"http://up.test/\"; error = "
              "\"$.errors[0].message\"; }, { name = \"next\"; url = \"http://up.test/\"; } );",
              1);
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"errors\": [{\"message\": \"no such field\"}]}");
    assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_REFUSED);
    assert_string_equal(rig.run->error, "send: the reply has an error: no such field");
    assert_int_equal(rig.sends[1], 0);
    rig_end(&rig);
}

static void test_success_has_to_last_over_a_restart(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        unsigned polls;
    } rows[] = {{"success_for = 3;", 3}, {"success_for = \"2500ms\";", 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        char settings[200];
        snprintf(settings, sizeof settings, "value = \"$.s\"; success = [ \"up\" ]; %s", rows[i].settings);
        begin_gate(&rig, settings);
        rig_answer(&rig, 200, "{\"s\": \"up\"}");
        rig_stored(&rig);
        assert_true(rig_durable_int(&rig, "steady_since") > 0);
        rig_due(&rig);
        rig_answer(&rig, 200, "{\"s\": \"down\"}");
        rig_stored(&rig);
        assert_int_equal(rig_durable_int(&rig, "steady_since"), 0);
        for (unsigned n = 1; n <= rows[i].polls; n++) {
            if (rig.run->state != RUN_WAITING) fail_msg("row %zu: %s after %u", i, run_state_word(rig.run->state), n);
            rig_due(&rig);
            rig_answer(&rig, 200, "{\"s\": \"up\"}");
            if (n < rows[i].polls) assert_non_null(strstr(rig.run->progress, "request: up - "));
            if (n == 1) {
                rig_stored(&rig);
                rig_restart(&rig);
            }
        }
        assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        rig_end(&rig);
    }
}

static void test_cancel_while_success_lasts(void **state) {
    (void)state;
    struct rig rig;
    begin_gate(&rig, "success_when = \"true\"; success_for = 3;");
    rig_answer(&rig, 200, "{}");
    rig_due(&rig);
    rig_cancel(&rig);
    while (!rig.over) rig_stored(&rig);
    assert_int_equal(rig.run->status, RUN_CANCELED);
    rig_end(&rig);
}

/* ---- restarts ---- */

static void test_restart_before_the_call_is_known_to_have_left(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_stored(&rig);
    rig_restart(&rig);
    assert_ends(&rig, RUN_TERMINAL, REASON_IN_DOUBT);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_restart_during_an_idempotent_call(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; request = { method = \"PUT\"; url = \"http://up.test/\"; };");
    rig_stored(&rig);
    rig_restart(&rig);
    assert_int_equal(rig.timer_ms, rig.now_ms);
    rig_due(&rig);
    assert_int_equal(rig.sends[0], 2);
    rig_answer(&rig, 200, "");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

/* Whether the call had been made before the restart is not known. */
static void test_cancel_after_a_restart_during_an_idempotent_call(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; request = { method = \"PUT\"; url = \"http://up.test/\"; };");
    rig_stored(&rig);
    rig_restart(&rig);
    rig_cancel(&rig);
    rig_written(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

static void test_restart_while_polling_keeps_the_phase(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_answer(&rig, 200, "{}");
    int64_t before_ms = rig.timer_ms;
    rig_crash(&rig, false);
    rig.now_ms = RIG_BEGAN + 12 * S;
    rig_resume(&rig);
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_int_equal((rig.timer_ms - before_ms) % (5 * S), 0);
    assert_on_grid(&rig);
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": \"passed\"}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(rig.sends[0], 1);
    rig_end(&rig);
}

static void test_restart_after_the_time_is_up(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_crash(&rig, false);
    rig.now_ms += 3600 * S;
    rig_resume(&rig);
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_STOPPING);
    rig_stored(&rig);
    rig_restart(&rig); /* it is known, so the cancel call goes out */
    rig_stops(&rig);
    assert_ends(&rig, RUN_TERMINAL, REASON_TIMEOUT);
    rig_end(&rig);
}

static void test_restart_while_canceling(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_cancel(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.cancel_sends, 1);
    rig_restart(&rig);
    assert_int_equal(rig.cancel_sends, 2);
    rig_stops(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_restart_with_a_cancel_wish_during_the_submit_call(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
    rig_stored(&rig);
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_restart(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

/* The same with a PUT, which is made without a word in the record. */
static void test_restart_with_a_cancel_wish_during_an_idempotent_call(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, "name = \"s\"; request = { method = \"PUT\"; url = \"http://up.test/\"; };");
    rig_stored(&rig);
    rig_cancel(&rig);
    rig_stored(&rig);
    rig_restart(&rig);
    assert_ends(&rig, RUN_CANCELED, REASON_CANCEL_UNCONFIRMED);
    rig_end(&rig);
}

static void test_restart_while_the_end_is_written(void **state) {
    (void)state;
    for (int made_it = 0; made_it <= 1; made_it++) {
        struct rig rig;
        begin_polling(&rig);
        rig_answer(&rig, 200, "{\"state\": \"passed\", \"report\": \"r\"}");
        rig_crash(&rig, made_it);
        if (made_it) {
            assert_true(rig.durable.ended_ms);
        } else {
            rig_resume(&rig);
            rig_due(&rig);
            rig_answer(&rig, 200, "{\"state\": \"passed\", \"report\": \"r\"}");
            assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
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
    begin(&rig, polled_by_post);
    rig_stored(&rig);
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
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

/* A drain: the call is ordered when nothing may begin any more. It was never sent, so a restart is in no doubt. */
static void test_restart_with_a_call_held_back(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, rig_two_steps);
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
    assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

static void test_clock_set_back_holds_nobody_up(void **state) {
    (void)state;
    struct rig rig;
    begin_polling(&rig);
    rig_answer(&rig, 200, "{}");
    rig.now_ms -= 3600 * S;
    rig.timer_ms = rig.now_ms; /* timers run by another clock, so it comes in time */
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_CALLING);
    rig_answer(&rig, 200, "{}");
    assert_true(rig.timer_ms <= rig.now_ms + 5 * S);
    rig_end(&rig);

    begin(&rig, polled_by_post); /* the time of the next try is in its record */
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
    begin_polling(&rig);
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
    assert_ends(&rig, RUN_TERMINAL, REASON_BROKEN_DEFINITION);
    assert_non_null(strstr(rig.run->error, "ca.pem"));
    assert_non_null(strstr(rig.durable.body, "\"name\":\"status\"")); /* what steps there were is still told */
    rig_end(&rig);
}

/* ---- secrets ---- */

static void test_secrets_do_not_come_back(void **state) {
    (void)state;
    struct rig rig;
    rig_begin(&rig,
              "name = \"s\"; parameters = ( { name = \"pin\"; type = \"secret\"; }, { name = \"longer\"; type = "
              "\"secret\"; } ); request = { url = \"http://up.test/?pin={{ parameters.pin }}\"; }; status = { url = "
              "\"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; failure = [ \"failed\" ]; message = "
              "\"$.message\"; }; outputs = { seen = \"$.seen\"; };",
              1);
    struct arena *arena = arena_new();
    struct json *parameters = json_new_object(arena);
    json_set(parameters, "pin", json_new_string(arena, "hunter22"));
    json_set(parameters, "longer", json_new_string(arena, "hunter22-and-more"));
    rig_start_with(&rig, parameters);
    rig_stored(&rig);
    assert_non_null(strstr(rig.durable.body, "hunter22")); /* in flight: the next calls need it */
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"hunter22\", \"message\": \"hello hunter22-and-more\"}");
    assert_string_equal(rig.run->progress, "status: *** - hello ***");
    assert_string_equal(rig.run->upstream_word, "***");
    rig_due(&rig);
    rig_answer(&rig, 200,
               "{\"state\": \"ok\", \"message\": \"hunter22!\", \"seen\": [{\"a\": \"xhunter22x\", \"hunter22\": 1}]}");
    assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_null(strstr(rig.durable.body, "hunter22"));
    struct buf report;
    buf_init(&report, 1 << 20);
    run_report_write(rig.run, NULL, 0, "", &report);
    assert_null(strstr(buf_cstr(&report), "hunter22"));
    assert_non_null(strstr(buf_cstr(&report), "{\"seen\":[{\"a\":\"x***x\",\"***\":1}]}"));
    buf_fini(&report);
    rig_end(&rig);
    arena_free(arena);
}

/* ---- the table ---- */

static void test_words_and_back(void **state) {
    (void)state;
    for (int i = REASON_NONE + 1; reason_word((enum reason)i); i++)
        assert_int_equal(reason_parse(reason_word((enum reason)i)), i);
    assert_null(reason_word(REASON_NONE));
    assert_null(reason_word((enum reason)1000));
    assert_int_equal(reason_parse(NULL), REASON_NONE);
    assert_int_equal(reason_parse("no such reason"), REASON_NONE);
    for (int i = 0; i < RUN_STATE_END; i++) assert_non_null(run_state_word((enum run_state)i));
}

static void reach_doubt(struct rig *rig, enum run_state state) {
    begin(rig, "name = \"job\"; timeout = \"60s\"; request = { url = \"http://up.test/{{ callback.url }}\"; probe = { "
               "url = \"http://up.test/jobs\"; found = \"$.items[0]\"; }; callback = { }; };");
    rig_stored(rig);
    rig_fail(rig, REPLY_MAYBE_ACTED_ON);
    if (state == RUN_PROBING) rig_due(rig);
}

/* Brings a run into a state, by the shortest way there. */
static void reach(struct rig *rig, enum run_state state) {
    if (state == RUN_PROBING || state == RUN_PROBE_WAITING) {
        reach_doubt(rig, state);
        assert_int_equal(rig->run->state, state);
        return;
    }
    if (state >= RUN_WAITING && state <= RUN_ENDED) {
        begin_polling(rig);
        rig_answer(rig, 200, state >= RUN_ENDING ? "{\"state\": \"passed\"}" : "{}");
    } else {
        rig_begin(rig, rig_two_steps, 1);
        rig->queued = state == RUN_QUEUED;
        rig_start_with(rig, NULL);
        if (state == RUN_DROPPED) rig_unstored(rig);
        else if (state != RUN_ACCEPTING) rig_stored(rig);
    }
    if (state == RUN_INTENDING) rig_fail(rig, REPLY_NEVER_SENT), rig_due(rig);
    if (state == RUN_RECORDING) rig_answer(rig, 201, "{\"id\": 5}");
    if (state >= RUN_STOPPING && state <= RUN_CANCEL_CHECK_WAITING) rig_cancel(rig);
    if (state >= RUN_CANCELING && state <= RUN_CANCEL_CHECK_WAITING) rig_stored(rig);
    if (state == RUN_CANCEL_WAITING) rig_answer(rig, 503, "");
    if (state == RUN_CANCEL_CHECKING || state == RUN_CANCEL_CHECK_WAITING) rig_answer(rig, 204, ""), rig_stored(rig);
    if (state == RUN_CANCEL_CHECKING) rig_due(rig);
    if (state == RUN_ENDED) rig_stored(rig);
    assert_string_equal(run_state_word(rig->run->state), run_state_word(state));
}

/* What becomes of every state with every event: the state after it, and the orders: s store, c call, p probe, k cancel
 * call, h check whether it has stopped, a abort the call, w wait until, e ended. "-" is nothing at all: no order, and a
 * record as before. */
static void test_every_state_with_every_event(void **state) {
    (void)state;
    static const char *const table[RUN_STATE_END][RUN_EVENT_END] = {
        /* STORED, UNSTORED, REPLY (200), REFUSED, HELD, DUE, CANCEL, CALLBACK, ADMITTED */
        [RUN_ACCEPTING] = {"calling c", "dropped e", "-", "-", "-", "-", "accepting s", "-", "-"},
        [RUN_QUEUED] = {"-", "-", "-", "-", "-", "-", "stopping s", "queued s", "intending s"},
        [RUN_INTENDING] = {"calling c", "-", "-", "ending s", "waiting sw", "-", "intending s", "intending s", "-"},
        [RUN_CALLING] = {"-", "-", "recording s", "ending s", "waiting sw", "-", "calling s", "calling s", "-"},
        [RUN_RECORDING] = {"calling cw", "-", "-", "-", "-", "-", "recording s", "recording s", "-"},
        [RUN_WAITING] = {"-", "-", "-", "-", "-", "calling cw", "stopping s", "ending s", "-"},
        [RUN_PROBING] = {"-", "-", "probe_waiting w", "ending s", "probe_waiting w", "probing w", "stopping sa",
                         "ending saw", "-"},
        [RUN_PROBE_WAITING] = {"-", "-", "-", "-", "-", "probing pw", "stopping s", "ending sw", "-"},
        [RUN_STOPPING] = {"canceling kw", "-", "-", "-", "-", "-", "-", "-", "-"},
        [RUN_CANCELING] = {"-", "-", "cancel_check_waiting sw", "ending s", "cancel_waiting w", "canceling w", "-", "-",
                           "-"},
        [RUN_CANCEL_WAITING] = {"-", "-", "-", "-", "-", "canceling kw", "-", "-", "-"},
        [RUN_CANCEL_CHECKING] = {"-", "-", "cancel_check_waiting w", "ending s", "cancel_check_waiting w",
                                 "cancel_checking w", "-", "-", "-"},
        [RUN_CANCEL_CHECK_WAITING] = {"-", "-", "-", "-", "-", "cancel_checking hw", "-", "-", "-"},
        [RUN_ENDING] = {"ended e", "dropped e", "-", "-", "-", "-", "-", "-", "-"},
        [RUN_ENDED] = {"-", "-", "-", "-", "-", "-", "-", "-", "-"},
        [RUN_DROPPED] = {"-", "-", "-", "-", "-", "-", "-", "-", "-"},
    };
    for (int from = 0; from < RUN_STATE_END; from++)
        for (int kind = 0; kind < RUN_EVENT_END; kind++) {
            struct rig rig;
            struct rig_image before, after;
            struct run_orders orders;
            struct fault fault;
            reach(&rig, (enum run_state)from);
            rig_image_take(&rig, &before);
            struct reply reply = {.phase = REPLY_ANSWERED, .code = 200, .body = TEXT("{}")};
            fault_set(&fault, FAULT_UNDEFINED, NULL, "not there");
            struct run_callback callback;
            struct arena *arena = arena_new();
            callback_read(arena, rig.run->step_count - 1, &(struct reply){.body = TEXT("{\"state\": \"passed\"}")},
                          &callback);
            struct run_event event = {
                .kind = (enum run_event_kind)kind, .reply = &reply, .fault = &fault, .callback = &callback};
            struct run_world world = rig_world(&rig);
            run_move(rig.run, &event, &world, &orders);
            rig_image_take(&rig, &after);
            char became[64];
            snprintf(became, sizeof became, "%s %s%s%s%s%s%s", run_state_word(rig.run->state), orders.store ? "s" : "",
                     orders.call == RUN_CALL_STEP    ? "c"
                     : orders.call == RUN_CALL_PROBE ? "p"
                     : orders.call == RUN_CALL_CHECK ? "h"
                                                     : "",
                     orders.call == RUN_CALL_CANCEL ? "k" : "", orders.abort_call ? "a" : "",
                     orders.wait_until ? "w" : "", orders.ended ? "e" : "");
            bool same = (int)rig.run->state == from && strcmp(before.body, after.body) == 0 &&
                        became[strlen(became) - 1] == ' ';
            if (strcmp(same ? "-" : became, table[from][kind]) != 0)
                fail_msg("%s, event %d: %s, not %s", run_state_word((enum run_state)from), kind, same ? "-" : became,
                         table[from][kind]);
            rig_image_drop(&before);
            rig_image_drop(&after);
            rig_end(&rig);
            arena_free(arena);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_no_template_names_is_not_held),
        cmocka_unit_test(test_two_steps_succeed),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_warn_gives_an_output),
        cmocka_unit_test(test_unknown_word_is_told_once),
        cmocka_unit_test(test_unknown_word_may_fail),
        cmocka_unit_test(test_threshold_gates),
        cmocka_unit_test(test_ends_by_conditions),
        cmocka_unit_test(test_a_condition_over_what_is_not_there),
        cmocka_unit_test(test_an_error_in_a_200_ends_a_step_that_runs_once),
        cmocka_unit_test(test_success_has_to_last_over_a_restart),
        cmocka_unit_test(test_cancel_while_success_lasts),
        cmocka_unit_test(test_threshold_that_is_no_number),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_outputs_in_templates),
        cmocka_unit_test(test_outputs_that_are_missing),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_log_without_lines),
        cmocka_unit_test(test_outputs_of_a_run_without_success),
        cmocka_unit_test(test_one_record_between_two_calls),
        cmocka_unit_test(test_long_messages),
        cmocka_unit_test(test_polling_holds_no_more_memory),
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
        cmocka_unit_test(test_queued_until_admitted),
        cmocka_unit_test(test_admitted_before_the_first_record),
        cmocka_unit_test(test_cancel_while_queued),
        cmocka_unit_test(test_cancel_wish_and_a_restart_while_queued),
        cmocka_unit_test(test_time_is_up_while_queued),
        cmocka_unit_test(test_call_that_is_held),
        cmocka_unit_test(test_time_is_up_while_a_call_is_held),
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
        cmocka_unit_test(test_restart_before_the_call_is_known_to_have_left),
        cmocka_unit_test(test_restart_during_an_idempotent_call),
        cmocka_unit_test(test_cancel_after_a_restart_during_an_idempotent_call),
        cmocka_unit_test(test_restart_while_polling_keeps_the_phase),
        cmocka_unit_test(test_restart_after_the_time_is_up),
        cmocka_unit_test(test_restart_while_canceling),
        cmocka_unit_test(test_restart_with_a_cancel_wish_during_the_submit_call),
        cmocka_unit_test(test_restart_with_a_cancel_wish_during_an_idempotent_call),
        cmocka_unit_test(test_restart_while_the_end_is_written),
        cmocka_unit_test(test_restart_between_polls_that_are_not_idempotent),
        cmocka_unit_test(test_restart_with_a_call_held_back),
        cmocka_unit_test(test_clock_set_back_holds_nobody_up),
        cmocka_unit_test(test_definition_that_is_no_use_any_more),
        cmocka_unit_test(test_secrets_do_not_come_back),
        cmocka_unit_test(test_words_and_back),
        cmocka_unit_test(test_every_state_with_every_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
