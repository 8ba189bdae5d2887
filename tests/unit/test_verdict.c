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

static void assert_verdict(const char *what, const struct verdict *v, enum verdict_kind kind, enum reason reason) {
    if (v->kind != kind || v->reason != reason)
        fail_msg("%s: kind %d reason %s, not %d %s", what, v->kind,
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
        struct reply reply = {.phase = rows[i].phase};
        struct verdict v;
        char what[32];
        snprintf(what, sizeof what, "row %zu", i);
        fault_set(&reply.fault, rows[i].fault, NULL, "as it was");
        judge(arena, stage, rows[i].step, &reply, 0, &v);
        assert_verdict(what, &v, rows[i].kind, rows[i].reason);
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
        char what[32];
        snprintf(what, sizeof what, "row %zu", i);
        judge(arena, stage, rows[i].step, &reply, rows[i].elapsed_ms, &v);
        assert_verdict(what, &v, rows[i].kind, rows[i].reason);
        assert_null(v.word);
        arena_free(arena);
    }
    stage_unref(stage);
}

static void test_retry_after(void **state) {
    (void)state;
    static const struct {
        const char *value;
        int64_t ms;
    } rows[] = {
        {"0", 0},
        {"17", 17000},
        {" 17 ", 17000},
        {"86400", 86400000},
        {"86401", -1},
        {"-1", -1},
        {"1.5", -1},
        {"", -1},
        {"soon", -1},
        {"Wed, 21 Oct 2026 07:28:00 GMT", -1},
        {"9999999999999999999999", -1},
    };
    struct stage *stage = rig_stage(stage_text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct reply_header header = {"RETRY-AFTER", rows[i].value};
        struct reply reply = {.phase = REPLY_ANSWERED, .code = 429, .headers = &header, .header_count = 1};
        struct verdict v;
        judge(arena, stage, POLL, &reply, 0, &v);
        assert_int_equal(v.kind, VERDICT_AGAIN);
        assert_int_equal(v.retry_after_ms, rows[i].ms);
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
        {POLL, "{\"s\": \"\"}", VERDICT_RUNNING, REASON_NONE, "", true, false},
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
        assert_verdict(rows[i].body, &v, rows[i].kind, rows[i].reason);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_that_failed), cmocka_unit_test(test_codes),
        cmocka_unit_test(test_retry_after),       cmocka_unit_test(test_words),
        cmocka_unit_test(test_progress),          cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
