/* Verdicts, by tables: what did not come, what came with another code, and what the words and numbers of a body mean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "call/verdict.h"
#include "run_rig.h"

static const char stage_text[] =
    "name = \"s\"; steps = ("
    "{ name = \"post\"; method = \"POST\"; url = \"http://up.test/\"; },"
    "{ name = \"put\"; method = \"PUT\"; url = \"http://up.test/\"; expect = \"2xx,304\"; },"
    "{ name = \"poll\"; url = \"http://up.test/\"; value = \"$.s\"; success = [ \"ok\", \"done\" ];"
    "  failure = [ \"bad\" ]; canceled = [ \"gone\" ]; running = [ \"busy\" ]; warn = [ \"hm\", "
    "\"3\" ];"
    "  progress = \"$.p\"; message = \"$.m\"; not_found_grace = \"10s\"; },"
    "{ name = \"strict\"; url = \"http://up.test/\"; value = \"$.s\"; success = [ \"ok\", \"true\", \"1\" ]; unknown = "
    "\"fail\"; },"
    "{ name = \"query\"; method = \"POST\"; url = \"http://up.test/\"; value = \"$.s\"; success = [ \"ok\" ]; } );";

enum { POST, PUT, POLL, STRICT, QUERY };

static void judge(struct arena *arena, const struct stage *stage, size_t step, const struct reply *reply,
                  int64_t elapsed_ms, struct verdict *ret) {
    struct verdict_scope scope = {.now_ms = 1000000, .elapsed_ms = elapsed_ms};
    verdict_judge(arena, &stage->steps[step], reply, &scope, ret);
}

static void assert_verdict(size_t row, const struct verdict *v, enum verdict_kind kind, enum reason reason) {
    if (v->kind != kind || v->reason != reason)
        fail_msg("row %zu: kind %d reason %s, not %d %s", row, v->kind,
                 reason_word(v->reason) ? reason_word(v->reason) : "-", kind,
                 reason_word(reason) ? reason_word(reason) : "-");
}

static void test_calls_that_failed(void **state) {
    (void)state;
    static const struct {
        size_t step;
        enum reply_phase phase;
        enum fault_kind fault;
        enum verdict_kind kind;
        enum reason reason;
    } rows[] = {
        {POST, REPLY_NEVER_SENT, FAULT_UPSTREAM, VERDICT_AGAIN, REASON_UPSTREAM_UNREACHABLE},
        {POST, REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM, VERDICT_FAILED, REASON_IN_DOUBT},
        {POST, REPLY_NEVER_SENT, FAULT_FORBIDDEN, VERDICT_FAILED, REASON_REFUSED_EGRESS},
        {POST, REPLY_MAYBE_ACTED_ON, FAULT_FORBIDDEN, VERDICT_FAILED, REASON_REFUSED_EGRESS},
        {POST, REPLY_MAYBE_ACTED_ON, FAULT_TOO_LARGE, VERDICT_FAILED, REASON_BAD_REPLY},
        {POST, REPLY_NEVER_SENT, FAULT_INVALID, VERDICT_FAILED, REASON_INVALID_REQUEST},
        {POST, REPLY_MAYBE_ACTED_ON, FAULT_UNSUPPORTED, VERDICT_FAILED, REASON_BAD_REPLY},
        {POLL, REPLY_MAYBE_ACTED_ON, FAULT_UNSUPPORTED, VERDICT_FAILED, REASON_BAD_REPLY},
        {PUT, REPLY_NEVER_SENT, FAULT_UPSTREAM, VERDICT_AGAIN, REASON_UPSTREAM_UNREACHABLE},
        {PUT, REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM, VERDICT_AGAIN, REASON_BAD_REPLY},
        {PUT, REPLY_MAYBE_ACTED_ON, FAULT_TOO_LARGE, VERDICT_FAILED, REASON_BAD_REPLY},
        {POLL, REPLY_NEVER_SENT, FAULT_UPSTREAM, VERDICT_AGAIN, REASON_UPSTREAM_UNREACHABLE},
        {POLL, REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM, VERDICT_AGAIN, REASON_BAD_REPLY},
        {QUERY, REPLY_NEVER_SENT, FAULT_UPSTREAM, VERDICT_AGAIN, REASON_UPSTREAM_UNREACHABLE},
        {QUERY, REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM, VERDICT_FAILED, REASON_IN_DOUBT},
    };
    struct stage *stage = rig_stage(stage_text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct fault fault;
        struct reply reply = {.phase = rows[i].phase, .fault = &fault};
        struct verdict v;
        fault_set(&fault, rows[i].fault, NULL, "as it was");
        judge(arena, stage, rows[i].step, &reply, 0, &v);
        assert_verdict(i, &v, rows[i].kind, rows[i].reason);
        assert_string_equal(v.message, "as it was");
        assert_int_equal(v.retry_after_ms, -1);
        arena_free(arena);
    }
    stage_unref(stage);
}

static void test_codes(void **state) {
    (void)state;
    static const struct {
        size_t step;
        int code;
        int64_t elapsed_ms;
        enum verdict_kind kind;
        enum reason reason;
    } rows[] = {
        {POST, 200, 0, VERDICT_SUCCEEDED, REASON_NONE},
        {POST, 299, 0, VERDICT_SUCCEEDED, REASON_NONE},
        {POST, 301, 0, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
        {POST, 404, 0, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
        {POST, 408, 0, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
        {POST, 429, 0, VERDICT_AGAIN, REASON_UPSTREAM_REFUSED},
        {POST, 503, 0, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
        {PUT, 304, 0, VERDICT_SUCCEEDED, REASON_NONE},
        {PUT, 408, 0, VERDICT_AGAIN, REASON_UPSTREAM_REFUSED},
        {PUT, 425, 0, VERDICT_AGAIN, REASON_UPSTREAM_REFUSED},
        {PUT, 500, 0, VERDICT_AGAIN, REASON_UPSTREAM_REFUSED},
        {PUT, 599, 0, VERDICT_AGAIN, REASON_UPSTREAM_REFUSED},
        {PUT, 400, 0, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
        {POLL, 404, 9999, VERDICT_RUNNING, REASON_NONE},
        {POLL, 404, 10000, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
        {STRICT, 404, 0, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
        {POLL, 401, 0, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
        {POLL, 502, 0, VERDICT_AGAIN, REASON_UPSTREAM_REFUSED},
        {POLL, 204, 0, VERDICT_RUNNING, REASON_NONE},
        {QUERY, 502, 0, VERDICT_FAILED, REASON_UPSTREAM_REFUSED},
    };
    struct stage *stage = rig_stage(stage_text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct reply reply = {.phase = REPLY_ANSWERED, .code = rows[i].code};
        struct verdict v;
        judge(arena, stage, rows[i].step, &reply, rows[i].elapsed_ms, &v);
        assert_verdict(i, &v, rows[i].kind, rows[i].reason);
        assert_null(v.word);
        arena_free(arena);
    }
    stage_unref(stage);
}

/* What headers ask for is a matter of call/asked; that it is asked of every reply is one of this. */
static void test_retry_after(void **state) {
    (void)state;
    static const struct {
        int code;
        enum verdict_kind kind;
    } rows[] = {{429, VERDICT_AGAIN}, {503, VERDICT_AGAIN}, {200, VERDICT_RUNNING}, {404, VERDICT_RUNNING}};
    struct stage *stage = rig_stage(stage_text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct reply_header header = {"RETRY-AFTER", "17"};
        struct reply reply = {.phase = REPLY_ANSWERED, .code = rows[i].code, .headers = &header, .header_count = 1};
        struct verdict v;
        judge(arena, stage, POLL, &reply, 0, &v);
        assert_int_equal(v.kind, rows[i].kind);
        assert_int_equal(v.retry_after_ms, 17000);
        arena_free(arena);
    }
    stage_unref(stage);
}

/* Of a step that runs once as of one that polls, and the later of both where a header says something as well. */
static void test_retry_after_in_a_body(void **state) {
    (void)state;
    static const char stage_with[] =
        "name = \"s\"; steps = ( { name = \"once\"; url = \"http://up.test/\"; retry_after = \"$.wait\"; }, { name = "
        "\"poll\"; url = \"http://up.test/\"; retry_after = \"$.wait\"; value = \"$.s\"; success = [ \"ok\" ]; } );";
    static const struct {
        int code; /* 0: no reply */
        const char *body, *header;
        int64_t wait_ms;
    } rows[] = {
        {200, "{\"wait\": 17}", NULL, 17000},
        {200, "{\"wait\": 17}", "20", 20000},
        {200, "{\"wait\": 17}", "5", 17000},
        {200, "{\"wait\": 0}", NULL, 0},
        {200, "{}", "5", 5000},
        {200, "{}", NULL, -1},
        {200, "{\"wait\": \"x\"}", "5", 5000},
        {200, "<html>", NULL, -1},
        {200, "", NULL, -1},
        {503, "{\"wait\": 2.5}", NULL, 2500},
        {429, "{\"wait\": \"3\"}", NULL, 3000},
        {404, "{\"wait\": 1}", NULL, 1000},
        {0, "{\"wait\": 1}", NULL, -1},
    };
    struct stage *stage = rig_stage(stage_with);
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct reply_header header = {"Retry-After", rows[i / 2].header};
        struct reply reply = {.phase = rows[i / 2].code ? REPLY_ANSWERED : REPLY_MAYBE_ACTED_ON,
                              .fault = &(struct fault){.kind = FAULT_NONE},
                              .code = rows[i / 2].code,
                              .headers = &header,
                              .header_count = rows[i / 2].header != NULL,
                              .body = text_of(rows[i / 2].body)};
        struct verdict v;
        judge(arena, stage, i % 2, &reply, 0, &v);
        if (v.retry_after_ms != rows[i / 2].wait_ms) fail_msg("row %zu: %lld", i / 2, (long long)v.retry_after_ms);
        arena_free(arena);
    }
    stage_unref(stage);
}

static void test_words(void **state) {
    (void)state;
    static const struct {
        size_t step;
        const char *body;
        enum verdict_kind kind;
        enum reason reason;
        const char *word;
        bool unknown, warned;
    } rows[] = {
        {POLL, "{\"s\": \"ok\"}", VERDICT_SUCCEEDED, REASON_NONE, "ok", false, false},
        {POLL, "{\"s\": \"OK\"}", VERDICT_SUCCEEDED, REASON_NONE, "OK", false, false},
        {POLL, "{\"s\": \" ok\\n\"}", VERDICT_SUCCEEDED, REASON_NONE, " ok\n", false, false},
        {POLL, "{\"s\": \"bad\"}", VERDICT_FAILED, REASON_UPSTREAM_FAILED, "bad", false, false},
        {POLL, "{\"s\": \"gone\"}", VERDICT_CANCELED, REASON_UPSTREAM_CANCELED, "gone", false, false},
        {POLL, "{\"s\": \"hm\"}", VERDICT_SUCCEEDED, REASON_NONE, "hm", false, true},
        {POLL, "{\"s\": 3}", VERDICT_SUCCEEDED, REASON_NONE, "3", false, true},
        {POLL, "{\"s\": \"busy\"}", VERDICT_RUNNING, REASON_NONE, "busy", false, false},
        {POLL, "{\"s\": \"odd\"}", VERDICT_RUNNING, REASON_NONE, "odd", true, false},
        {POLL, "{\"s\": \"okay\"}", VERDICT_RUNNING, REASON_NONE, "okay", true, false},
        {POLL, "{\"s\": \"\"}", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
        {POLL, "{\"s\": null}", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
        {POLL, "{\"s\": {\"ok\": 1}}", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
        {POLL, "{\"s\": [\"ok\"]}", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
        {POLL, "{}", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
        {POLL, "ok", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
        {POLL, "[]", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
        {POLL, "{\"s\": \"ok\"", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
        {STRICT, "{\"s\": true}", VERDICT_SUCCEEDED, REASON_NONE, "true", false, false},
        {STRICT, "{\"s\": 1}", VERDICT_SUCCEEDED, REASON_NONE, "1", false, false},
        {STRICT, "{\"s\": false}", VERDICT_FAILED, REASON_UNKNOWN_STATUS, "false", true, false},
        {STRICT, "{\"s\": 1.5}", VERDICT_FAILED, REASON_UNKNOWN_STATUS, "1.5", true, false},
        {STRICT, "{\"s\": null}", VERDICT_RUNNING, REASON_NONE, NULL, false, false},
    };
    struct stage *stage = rig_stage(stage_text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct reply reply = {.phase = REPLY_ANSWERED, .code = 200, .body = text_of(rows[i].body)};
        struct verdict v;
        judge(arena, stage, rows[i].step, &reply, 0, &v);
        assert_verdict(i, &v, rows[i].kind, rows[i].reason);
        if (rows[i].word) assert_string_equal(v.word, rows[i].word);
        else assert_null(v.word);
        assert_int_equal(v.unknown_word, rows[i].unknown);
        assert_int_equal(v.warned, rows[i].warned);
        arena_free(arena);
    }
    stage_unref(stage);
}

static void test_progress(void **state) {
    (void)state;
    static const struct {
        const char *body;
        int percent;
        const char *message;
    } rows[] = {
        {"{\"s\": \"busy\", \"p\": 40}", 40, NULL},
        {"{\"s\": \"busy\", \"p\": 40.9}", 40, NULL},
        {"{\"s\": \"busy\", \"p\": -1}", 0, NULL},
        {"{\"s\": \"busy\", \"p\": 1e300}", 100, NULL},
        {"{\"s\": \"busy\", \"p\": \"half\"}", -1, "half"},
        {"{\"s\": \"busy\", \"p\": null}", -1, NULL},
        {"{\"s\": \"busy\", \"p\": [1]}", -1, NULL},
        {"{\"s\": \"busy\", \"m\": \"text\"}", -1, "text"},
        {"{\"s\": \"busy\", \"p\": \"a\", \"m\": \"b\"}", -1, "b"},
        {"{\"s\": \"busy\", \"m\": 5}", -1, "5"},
        {"{\"s\": \"busy\", \"p\": 7, \"m\": {}}", 7, NULL},
        {"{\"s\": \"busy\", \"p\": \"a\", \"m\": null}", -1, "a"},
    };
    struct stage *stage = rig_stage(stage_text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct reply reply = {.phase = REPLY_ANSWERED, .code = 200, .body = text_of(rows[i].body)};
        struct verdict v;
        judge(arena, stage, POLL, &reply, 0, &v);
        assert_int_equal(v.percent, rows[i].percent);
        if (rows[i].message) assert_string_equal(v.message, rows[i].message);
        else assert_null(v.message);
        arena_free(arena);
    }
    stage_unref(stage);
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        const char *json;
        bool good;
        double number;
    } rows[] = {
        {"5", true, 5},         {"-0.5", true, -0.5},  {"\"5\"", true, 5},      {"\"1e3\"", true, 1000},
        {"\"+Inf\"", false, 0}, {"\"NaN\"", false, 0}, {"\"1e999\"", false, 0}, {"\"\"", false, 0},
        {"\" 5\"", false, 0},   {"\"5 \"", false, 0},  {"\"5ms\"", false, 0},   {"\"0x10\"", false, 0},
        {"true", false, 0},     {"null", false, 0},    {"[5]", false, 0},       {"{}", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct json_limits limits = {1000, 10, 100};
        struct fault fault;
        double number = 0;
        bool good = verdict_number(json_parse(arena, text_of(rows[i].json), &limits, &fault), &number);
        if (good != rows[i].good) fail_msg("%s", rows[i].json);
        if (good) assert_true(number >= rows[i].number && number <= rows[i].number);
        arena_free(arena);
    }
    assert_false(verdict_number(NULL, &(double){0}));
}

/* ---- conditions ---- */

/* Judges bodies by one step's settings, with all the values that a run would have. */
struct bench {
    struct arena *arena;
    struct stage *stage;
    struct verdict v;
};

static void bench_begin(struct bench *bench, const char *settings) {
    char text[2000];
    snprintf(text, sizeof text,
             "name = \"s\"; parameters = ( { name = \"limit\"; type = \"integer\"; } );"
             "steps = ( { name = \"first\"; url = \"http://up.test/\"; },"
             "{ name = \"it\"; url = \"http://up.test/\"; %s } );",
             settings);
    bench->arena = arena_new();
    bench->stage = rig_stage(text);
}

static void bench_end(struct bench *bench) {
    arena_free(bench->arena);
    stage_unref(bench->stage);
}

static const struct json *parsed(struct bench *bench, const char *text) {
    struct json_limits limits = {.max_bytes = 10000, .max_depth = 10, .max_items = 100};
    return json_parse(bench->arena, text_of(text), &limits, NULL);
}

static const struct verdict *bench_judge(struct bench *bench, int code, const char *body) {
    const struct json *roots[ROOT_STEPS + STAGE_STEPS_MAX] = {0};
    struct reply_header header = {"X-State", "final"};
    struct reply reply = {
        .phase = REPLY_ANSWERED, .code = code, .headers = &header, .header_count = 1, .body = text_of(body)};
    struct verdict_scope scope = {.roots = roots, .step_root = ROOT_STEPS + 1, .now_ms = 1000};
    roots[ROOT_PARAMETERS] = parsed(bench, "{\"limit\": 3}");
    roots[ROOT_RUN] = parsed(bench, "{\"id\": \"r1\"}");
    roots[ROOT_STEPS] = parsed(bench, "{\"body\": {\"id\": 7}, \"code\": 201}");
    verdict_judge(bench->arena, &bench->stage->steps[1], &reply, &scope, &bench->v);
    return &bench->v;
}

static void test_conditions(void **state) {
    (void)state;
    static const struct {
        const char *settings, *body;
        enum verdict_kind kind;
        enum reason reason;
        const char *rule, *message;
        bool warned;
    } rows[] = {
        {"success_when = \"body.done\";", "{\"done\": true}", VERDICT_SUCCEEDED, REASON_NONE, "success_when", NULL, 0},
        {"success_when = \"body.done\";", "{\"done\": false}", VERDICT_RUNNING, REASON_NONE, NULL, NULL, 0},
        {"success_when = \"body.done\";", "{\"done\": null}", VERDICT_RUNNING, REASON_NONE, NULL, NULL, 0},
        {"success_when = \"body.a.b == 1\";", "{}", VERDICT_RUNNING, REASON_NONE, NULL, "success_when: body.a", 0},
        {"success_when = \"body.n >= parameters.limit and first.body.id == body.id\";", "{\"n\": 3, \"id\": 7}",
         VERDICT_SUCCEEDED, REASON_NONE, "success_when", NULL, 0},
        {"success_when = \"headers['x-state'] == 'final' and code == 200 and run.id == 'r1'\";", "", VERDICT_SUCCEEDED,
         REASON_NONE, "success_when", NULL, 0},
        {"success_when = \"body < 3\";", "{}", VERDICT_RUNNING, REASON_NONE, NULL, "success_when: ", 0},
        {"success_when = \"true\"; failure_when = \"body.bad\";", "{\"bad\": 1}", VERDICT_FAILED,
         REASON_UPSTREAM_FAILED, "failure_when", "failure_when holds: body.bad", 0},
        {"success_when = \"true\"; failure_when = \"body.bad\"; canceled_when = \"true\";", "{}", VERDICT_CANCELED,
         REASON_UPSTREAM_CANCELED, "canceled_when", "canceled_when holds: true", 0},
        {"failure_when = \"true\"; canceled_when = \"true\"; success_when = \"true\";", "{}", VERDICT_FAILED,
         REASON_UPSTREAM_FAILED, "failure_when", NULL, 0},
        {"success_when = \"body.done\"; warn_when = \"body.warnings | length > 0\";",
         "{\"done\": 1, \"warnings\": [1]}", VERDICT_SUCCEEDED, REASON_NONE, "warn_when", NULL, true},
        {"success_when = \"body.done\"; warn_when = \"body.warnings | length > 0\";", "{\"done\": 1, \"warnings\": []}",
         VERDICT_SUCCEEDED, REASON_NONE, "success_when", NULL, false},
        {"warn_when = \"body.odd\";", "{\"odd\": 1}", VERDICT_SUCCEEDED, REASON_NONE, "warn_when", NULL, true},
        {"success_when = \"body.done\"; running_when = \"body.busy\"; unknown = \"fail\";",
         "{\"done\": false, \"busy\": true}", VERDICT_RUNNING, REASON_NONE, "running_when", NULL, 0},
        {"success_when = \"body.done\"; running_when = \"body.busy\"; unknown = \"fail\";",
         "{\"done\": false, \"busy\": false}", VERDICT_FAILED, REASON_UNKNOWN_STATUS, "unknown",
         "no condition describes the reply", 0},
        {"success_when = \"body.done\"; running_when = \"body.busy\"; unknown = \"fail\";", "{\"done\": false}",
         VERDICT_RUNNING, REASON_NONE, NULL, "running_when: ", 0},
        {"value = \"$.s\"; success = [ \"ok\" ]; failure_when = \"body.n > 2\";", "{\"s\": \"ok\", \"n\": 3}",
         VERDICT_FAILED, REASON_UPSTREAM_FAILED, "failure_when", NULL, 0},
        {"value = \"$.s\"; failure = [ \"bad\" ]; success_when = \"true\";", "{\"s\": \"bad\"}", VERDICT_FAILED,
         REASON_UPSTREAM_FAILED, "failure", NULL, 0},
        {"value = \"$.s\"; success = [ \"ok\" ]; success_when = \"body.n == 0\";", "{\"s\": \"other\", \"n\": 0}",
         VERDICT_SUCCEEDED, REASON_NONE, "success_when", NULL, 0},
        {"value = \"$.s\"; at_most = 5; failure_when = \"body.s == 1\";", "{\"s\": 1}", VERDICT_FAILED,
         REASON_UPSTREAM_FAILED, "failure_when", NULL, 0},
        {"value = \"$.s\"; at_most = \"{{ body.top }}\";", "{\"s\": 1, \"top\": 2}", VERDICT_SUCCEEDED, REASON_NONE,
         "at_most", NULL, 0},
        {"value = \"$.s\"; at_most = \"{{ body.top }}\";", "{\"s\": 1}", VERDICT_RUNNING, REASON_NONE, NULL,
         "at_most: body.top", 0},
        {"value = \"$.s\"; at_most = \"{{ body.top }}\";", "{\"s\": 1, \"top\": \"x\"}", VERDICT_FAILED,
         REASON_INVALID_REQUEST, "at_most", "the threshold (at_most, at_least) is not a number", 0},
        {"value = \"$.s\"; at_least = 2; at_most = 4;", "{\"s\": 3}", VERDICT_SUCCEEDED, REASON_NONE, "at_most", NULL,
         0},
        {"value = \"$.s\"; at_least = 2; at_most = 4;", "{\"s\": 5}", VERDICT_RUNNING, REASON_NONE, NULL, NULL, 0},
        {"value = \"$.s\"; at_least = 2; at_most = 4;", "{\"s\": 1}", VERDICT_RUNNING, REASON_NONE, NULL, NULL, 0},
        {"value = \"$.s\"; at_most = 4; warn_when = \"body.s > 2\";", "{\"s\": 3}", VERDICT_SUCCEEDED, REASON_NONE,
         "warn_when", NULL, true},
        {"outputs = { worst = \"{{ body.rates | max }}\"; }; success_when = \"outputs.worst <= parameters.limit\"; "
         "failure_when = \"outputs.worst > parameters.limit\"; error = \"{{ 'the worst is ' ~ outputs.worst }}\"; "
         "error_when = \"false\";",
         "{\"rates\": [1, 9, 2]}", VERDICT_FAILED, REASON_UPSTREAM_FAILED, "failure_when", "the worst is 9", false},
        {"outputs = { worst = \"{{ it.body.rates | max }}\"; }; success_when = \"outputs.worst <= parameters.limit\";",
         "{\"rates\": [1, 3, 2]}", VERDICT_SUCCEEDED, REASON_NONE, "success_when", NULL, false},
        {"outputs = { ready = \"$.parts[*].ready\"; }; success_when = \"outputs.ready == [true, true]\";",
         "{\"parts\": [{\"ready\": true}, {\"ready\": true}]}", VERDICT_SUCCEEDED, REASON_NONE, "success_when", NULL,
         false},
        {"outputs = { id = \"{{ body.id }}\"; }; success_when = \"outputs.id is not none\"; running_when = "
         "\"outputs.id "
         "is none\"; unknown = \"fail\";",
         "{}", VERDICT_RUNNING, REASON_NONE, "running_when", NULL, false},
        {"outputs = { top = \"$.top\"; }; value = \"$.s\"; at_most = \"{{ outputs.top }}\";", "{\"s\": 1, \"top\": 2}",
         VERDICT_SUCCEEDED, REASON_NONE, "at_most", NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench bench;
        bench_begin(&bench, rows[i].settings);
        const struct verdict *v = bench_judge(&bench, 200, rows[i].body);
        assert_verdict(i, v, rows[i].kind, rows[i].reason);
        if (!rows[i].rule != !v->rule || (v->rule && strcmp(v->rule, rows[i].rule) != 0))
            fail_msg("row %zu: rule %s", i, v->rule ? v->rule : "-");
        if (rows[i].message && (!v->message || !strstr(v->message, rows[i].message)))
            fail_msg("row %zu: message %s", i, v->message ? v->message : "-");
        assert_int_equal(v->warned, rows[i].warned);
        bench_end(&bench);
    }
}

static void test_error(void **state) {
    (void)state;
#define NO_ERROR \
    { VERDICT_SUCCEEDED, REASON_NONE, NULL }
#define REFUSED(message) \
    { VERDICT_FAILED, REASON_UPSTREAM_REFUSED, message }
    static const struct {
        const char *settings;
        int code;
        const char *body;
        struct {
            enum verdict_kind kind;
            enum reason reason;
            const char *message;
        } is;
    } rows[] = {
        {"error = \"$.errors[0].message\";", 200, "{\"data\": {}}", NO_ERROR},
        {"error = \"$.errors[0].message\";", 200, "{\"errors\": []}", NO_ERROR},
        {"error = \"$.errors[0].message\";", 200, "", NO_ERROR},
        {"error = \"$.errors[0].message\";", 200, "not JSON", NO_ERROR},
        {"error = \"$.error\";", 200, "{\"error\": null}", NO_ERROR},
        {"error = \"$.error\";", 200, "{\"error\": \"\"}", NO_ERROR},
        {"error = \"$.error\";", 200, "{\"error\": false}", NO_ERROR},
        {"error = \"$.error\";", 200, "{\"error\": 0}", NO_ERROR},
        {"error = \"$.error\";", 200, "{\"error\": {}}", NO_ERROR},
        {"error = \"$.errors[0].message\";", 200, "{\"errors\": [{\"message\": \"no such field\"}]}",
         REFUSED("the reply has an error: no such field")},
        {"error = \"$.error\";", 200, "{\"error\": {\"id\": 5}}", REFUSED("the reply has an error: {\"id\":5}")},
        {"error = \"$.error\";", 200, "{\"error\": 17}", REFUSED("the reply has an error: 17")},
        {"error = \"{{ body.kind }}: {{ body.text }}\";", 200, "{\"kind\": \"a\", \"text\": \"b\"}",
         REFUSED("the reply has an error: a: b")},
        {"error = \"{{ body.kind }}: {{ body.text }}\";", 200, "{\"kind\": \"a\"}", NO_ERROR},
        {"error_when = \"body.errors is defined\";", 200, "{\"data\": 1}", NO_ERROR},
        {"error_when = \"body.errors | length > 0\";", 200, "{\"data\": 1}", NO_ERROR},
        {"error_when = \"body.errors is defined\";", 200, "{\"errors\": 1}",
         REFUSED("error_when holds: body.errors is defined")},
        {"error_when = \"body.ok == false\"; error = \"$.message\";", 200, "{\"ok\": true, \"message\": \"hello\"}",
         NO_ERROR},
        {"error_when = \"body.ok == false\"; error = \"$.message\";", 200, "{\"ok\": false, \"message\": \"no\"}",
         REFUSED("the reply has an error: no")},
        {"error_when = \"not body.batch\"; error = \"no batch was begun\";", 200, "{\"batch\": \"\"}",
         REFUSED("the reply has an error: no batch was begun")},
        {"error_when = \"not body.batch\"; error = \"no batch was begun\";", 200, "{\"batch\": \"b7\"}", NO_ERROR},
        {"error = \"$.message\";", 422, "{\"message\": \"bad ref\"}", REFUSED("the upstream answered 422: bad ref")},
        {"error = \"{{ body.message }} ({{ code }})\";", 422, "{\"message\": \"bad ref\"}",
         REFUSED("the upstream answered 422: bad ref (422)")},
        {"error = \"$.message\";", 422, "<html>", REFUSED("the upstream answered 422")},
        {"error = \"$.why\"; value = \"$.s\"; success = [ \"ok\" ]; failure = [ \"bad\" ]; error_when = \"false\";",
         200,
         "{\"s\": \"bad\", \"why\": \"disk full\"}",
         {VERDICT_FAILED, REASON_UPSTREAM_FAILED, "disk full"}},
        {"error = \"$.why\"; value = \"$.s\"; success = [ \"ok\" ];", 200, "{\"s\": \"ok\", \"why\": \"x\"}",
         REFUSED("the reply has an error: x")},
        {"error_when = \"body.e\"; success_when = \"true\"; failure_when = \"true\";", 200, "{\"e\": 1}",
         REFUSED("error_when holds: body.e")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench bench;
        bench_begin(&bench, rows[i].settings);
        const struct verdict *v = bench_judge(&bench, rows[i].code, rows[i].body);
        assert_verdict(i, v, rows[i].is.kind, rows[i].is.reason);
        if (!rows[i].is.message != !v->message || (v->message && strcmp(v->message, rows[i].is.message) != 0))
            fail_msg("row %zu: message %s", i, v->message ? v->message : "-");
        bench_end(&bench);
    }
}

/* Numbers compare as numbers; null is a word where a list names it, and nothing else is. */
static void test_words_that_are_no_texts(void **state) {
    (void)state;
    static const struct {
        const char *settings, *body;
        enum verdict_kind kind;
        const char *word;
        bool unknown;
    } rows[] = {
        {"success = [ 1 ]; failure = [ 2 ];", "{\"s\": 1.0}", VERDICT_SUCCEEDED, "1.0", false},
        {"success = [ 1 ]; failure = [ 2 ];", "{\"s\": 2}", VERDICT_FAILED, "2", false},
        {"success = [ \"1.50\" ];", "{\"s\": 1.5}", VERDICT_SUCCEEDED, "1.5", false},
        {"success = [ 1 ];", "{\"s\": \"1\"}", VERDICT_SUCCEEDED, "1", false},
        {"success = [ 1 ];", "{\"s\": \"1.0\"}", VERDICT_RUNNING, "1.0", true},
        {"success = ( true ); failure = ( false );", "{\"s\": true}", VERDICT_SUCCEEDED, "true", false},
        {"success = ( true ); failure = ( false );", "{\"s\": false}", VERDICT_FAILED, "false", false},
        {"success = ( true ); failure = ( false );", "{\"s\": \"False\"}", VERDICT_FAILED, "False", false},
        {"success = ( true );", "{\"s\": 1}", VERDICT_RUNNING, "1", true},
        {"success = [ \"ok\" ];", "{\"s\": null}", VERDICT_RUNNING, NULL, false},
        {"success = [ \"ok\", \"null\" ];", "{\"s\": null}", VERDICT_SUCCEEDED, "null", false},
        {"success = [ \"ok\", \"null\" ];", "{}", VERDICT_RUNNING, NULL, false},
        {"success = [ \"ok\" ]; failure = [ \"NULL\" ];", "{\"s\": null}", VERDICT_FAILED, "null", false},
        {"success = [ \"ok\" ]; running = [ \"null\" ]; unknown = \"fail\";", "{\"s\": null}", VERDICT_RUNNING, "null",
         false},
        {"success = [ \"ok\" ]; unknown = \"fail\"; running_when = \"body.s == 'x'\";", "{\"s\": \"x\"}",
         VERDICT_RUNNING, "x", false},
        {"success_when = \"false\";", "{\"s\": \"x\"}", VERDICT_RUNNING, "x", false},
        {"success = [ \"ok\" ];", "{\"s\": \"\"}", VERDICT_RUNNING, NULL, false},
        {"success = [ \"ok\" ]; unknown = \"fail\";", "{\"s\": \"\"}", VERDICT_RUNNING, NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench bench;
        char settings[500];
        snprintf(settings, sizeof settings, "value = \"$.s\"; %s", rows[i].settings);
        bench_begin(&bench, settings);
        const struct verdict *v = bench_judge(&bench, 200, rows[i].body);
        if (v->kind != rows[i].kind || v->unknown_word != rows[i].unknown)
            fail_msg("row %zu: kind %d, unknown %d", i, v->kind, v->unknown_word);
        if (rows[i].word) assert_string_equal(v->word, rows[i].word);
        else assert_null(v->word);
        bench_end(&bench);
    }
}

/* A body that came in another way is judged by the same rules. */
static void test_a_body_alone(void **state) {
    (void)state;
    struct bench bench;
    bench_begin(&bench, "value = \"$.s\"; success = [ \"ok\" ]; failure = [ \"bad\" ];");
    const struct stage_rules *rules = &bench.stage->steps[1].rules;
    verdict_judge_body(bench.arena, rules, parsed(&bench, "{\"s\": \"ok\"}"), NULL, &bench.v);
    assert_int_equal(bench.v.kind, VERDICT_SUCCEEDED);
    verdict_judge_body(bench.arena, rules, parsed(&bench, "{\"s\": \"bad\"}"), NULL, &bench.v);
    assert_int_equal(bench.v.kind, VERDICT_FAILED);
    verdict_judge_body(bench.arena, rules, NULL, NULL, &bench.v);
    assert_int_equal(bench.v.kind, VERDICT_RUNNING);
    assert_string_equal(bench.v.message, "the reply is empty, and has no $.s");
    bench_end(&bench);
}

static void test_success_that_lasts(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        struct {
            int64_t now_ms;
            enum verdict_kind kind, settled;
            bool changed;
            const char *message;
        } replies[8];
    } rows[] = {
        {"", {{1000, VERDICT_SUCCEEDED, VERDICT_SUCCEEDED, false, NULL}}},
        {"success_for = 3;",
         {{1000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "1 of 3 in a row"},
          {2000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "2 of 3 in a row"},
          {3000, VERDICT_RUNNING, VERDICT_RUNNING, true, NULL},
          {4000, VERDICT_RUNNING, VERDICT_RUNNING, false, NULL},
          {5000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "1 of 3 in a row"},
          {5000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "2 of 3 in a row"},
          {5000, VERDICT_SUCCEEDED, VERDICT_SUCCEEDED, true, NULL}}},
        {"success_for = 2;",
         {{1000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "1 of 2 in a row"},
          {2000, VERDICT_AGAIN, VERDICT_AGAIN, true, NULL},
          {3000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "1 of 2 in a row"},
          {4000, VERDICT_FAILED, VERDICT_FAILED, true, NULL}}},
        {"success_for = 1;", {{1000, VERDICT_SUCCEEDED, VERDICT_SUCCEEDED, true, NULL}}},
        {"success_for = \"2m\";",
         {{1000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "for 0s of 2m"},
          {41900, VERDICT_SUCCEEDED, VERDICT_RUNNING, false, "for 40s of 2m"},
          {120999, VERDICT_SUCCEEDED, VERDICT_RUNNING, false, "for 1m59s of 2m"},
          {121000, VERDICT_SUCCEEDED, VERDICT_SUCCEEDED, true, NULL}}},
        {"success_for = \"2m\";",
         {{100000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "for 0s of 2m"},
          {50000, VERDICT_SUCCEEDED, VERDICT_RUNNING, true, "for 0s of 2m"}, /* the clock was set back */
          {170000, VERDICT_SUCCEEDED, VERDICT_SUCCEEDED, true, NULL}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench bench;
        char settings[500];
        struct verdict_series series = {0};
        snprintf(settings, sizeof settings, "success_when = \"true\"; %s", rows[i].settings);
        bench_begin(&bench, settings);
        for (size_t k = 0; k < 8 && rows[i].replies[k].now_ms; k++) {
            struct verdict v = {.kind = rows[i].replies[k].kind};
            bool changed = verdict_settle(bench.arena, &bench.stage->steps[1].rules, rows[i].replies[k].now_ms, &series,
                                          &v);
            if (v.kind != rows[i].replies[k].settled || changed != rows[i].replies[k].changed)
                fail_msg("row %zu, reply %zu: kind %d, changed %d", i, k, v.kind, changed);
            if (rows[i].replies[k].message) assert_string_equal(v.message, rows[i].replies[k].message);
            else assert_null(v.message);
        }
        bench_end(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_that_failed),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_retry_after_in_a_body),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_words_that_are_no_texts),
        cmocka_unit_test(test_a_body_alone),
        cmocka_unit_test(test_success_that_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
