/* The life of a run without trouble, and what it gives, driven by hand; run_rig.h checks the invariants at every step.
 * The same with chance is the model test (tests/model). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

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
        rig_accept(&rig, buf_cstr(&definition));
        rig_answer(&rig, 200, held_cases[i].body);
        struct text held = frozen_text(rig.run->steps[0].value);
        if (!text_is(held, held_cases[i].held)) fail_msg("%s: %.*s", held_cases[i].named, TEXT_ARG(held));
        rig_end(&rig);
        buf_fini(&definition);
    }
}

/* ---- the paths without trouble ---- */

static void test_two_steps_succeed(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig, rig_two_steps);
    assert_int_equal(rig.run->state, RUN_ACCEPTING);
    assert_int_equal(rig.sends[0], 0); /* nothing before the record */
    rig_stored(&rig);
    assert_int_equal(rig.sends[0], 1);
    rig_answer(&rig, 201, "{\"id\": 5}");
    assert_int_equal(rig.run->state, RUN_RECORDING);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"running\", \"percent\": 40, \"message\": \"warming up\"}");
    assert_int_equal(rig.run->state, RUN_WAITING);
    rig_assert_on_grid(&rig);
    assert_string_equal(rig.run->progress, "status: running (40 %) - warming up");
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": \"PASSED\", \"report\": \"http://r\"}");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
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
        rig_begin_polling(&rig);
        rig_answer(&rig, 200, rows[i].body);
        if (rows[i].status == RUN_RUNNING) assert_int_equal(rig.run->state, RUN_WAITING);
        else rig_assert_ends(&rig, rows[i].status, rows[i].reason);
        assert_string_equal(rig.run->progress, rows[i].progress);
        if (rows[i].status == RUN_TERMINAL) assert_string_equal(rig.run->error, rows[i].progress);
        rig_end(&rig);
    }
}

static void test_warn_gives_an_output(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
    rig_answer(&rig, 200, "{\"state\": \"unstable\", \"report\": \"http://r\"}");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_string_equal(output(&rig, "result"), "WARN");
    assert_string_equal(output(&rig, "report"), "http://r");
    rig_end(&rig);
}

static void test_unknown_word_is_told_once(void **state) {
    (void)state;
    struct rig rig;
    rig_begin_polling(&rig);
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
    rig_start(&rig,
              "name = \"s\"; request = { url = \"http://up.test/\"; }; status = { url = \"http://up.test/1\"; value = "
              "\"$.state\"; success = [ \"ok\" ]; unknown = \"fail\"; };");
    rig_stored(&rig);
    rig_answer(&rig, 200, "");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"odd\"}");
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_UNKNOWN_STATUS);
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
        if (rows[i].met) rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
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
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_INVALID_REQUEST);
    rig_end(&rig);
    arena_free(arena);
}

static void test_outputs(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig,
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
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
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
    rig_start(
        &rig,
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
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_int_equal(json_int(json_gets(rig_value(&rig, rig.run->outputs), "of_b")), 3);
    assert_string_equal(output(&rig, "none"), "n");
    rig_end(&rig);
}

/* An output that came to nothing is undefined where a later request needs it. */
static void test_outputs_that_are_missing(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig,
               "name = \"s\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/\"; outputs = { "
               "id = \"$.id\"; }; }, { name = \"b\"; url = \"http://up.test/{{ a.outputs.id }}\"; } );");
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
        rig_assert_ends(&rig, c->status, c->reason);
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
        rig_accept(&rig, definition);
        rig_answer(&rig, 200, "done\n");
        rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
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
        rig_begin_polling(&rig);
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
    rig_start(&rig, "name = \"s\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/\"; }, { name = "
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
        rig_begin_polling(&rig);
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
    rig_begin_polling(&rig);
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
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
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

/* The first call is rendered from the values that came, later ones from what the run keeps of them. */
static void test_first_call_sees_what_later_ones_see(void **state) {
    (void)state;
    struct rig rig;
    struct arena *arena = arena_new();
    rig_begin(&rig,
              "name = \"a\"; parameters = ( { name = \"p\"; type = \"json\"; } ); request = { url = "
              "\"http://u.test/{{ parameters.p }}/{{ caller.user }}\"; };",
              1);
    struct json *parameters = json_new_object(arena), *list = json_new_array(arena);
    json_push(list, json_new_real(arena, 2.0));
    json_push(list, json_new_null(arena));
    json_set(parameters, "p", list);
    struct run_new from = rig_new(&rig, parameters);
    struct json *caller = json_new_object(arena);
    json_set(caller, "user", json_new_string(arena, "caf\u00e9 \"jane\""));
    from.caller = caller;
    struct run *run = run_new(&from);
    from.queued = true;
    struct run *queued = run_new(&from);
    arena_free(arena); /* of who asked */

    arena = arena_new();
    const struct stage_call *call = run_call_of(run, RUN_CALL_STEP);
    const struct json *first[RUN_ROOTS_MAX], *later[RUN_ROOTS_MAX];
    assert_non_null(run->fresh);
    assert_null(queued->fresh); /* nobody knows how long it waits */
    run_roots_of_call(run, arena, 0, call, first);
    struct arena *fresh = run_take_fresh(run);
    assert_null(run->fresh);
    run_roots_of_call(run, arena, 0, call, later);
    assert_int_equal(json_size(first[ROOT_PARAMETERS]), 1);
    assert_true(json_same(first[ROOT_PARAMETERS], later[ROOT_PARAMETERS]));
    assert_true(json_same(first[ROOT_CALLER], later[ROOT_CALLER]));
    run_roots_of_call(queued, arena, 0, call, later);
    assert_true(json_same(first[ROOT_PARAMETERS], later[ROOT_PARAMETERS]));
    run_free(queued);
    rig.run = run;
    arena_free(fresh);
    arena_free(arena);
    rig_end(&rig);
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
        cmocka_unit_test(test_secrets_do_not_come_back),
        cmocka_unit_test(test_first_call_sees_what_later_ones_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
