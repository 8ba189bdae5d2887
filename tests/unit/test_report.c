/* Reports: every field in every state, `status` and `progress` always strings, nothing in it that orca would evaluate,
 * and JSON whatever came from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

static const struct json *report_of(struct arena *arena, const struct run *run, const char *base_url) {
    struct buf text;
    struct fault fault;
    struct json_limits limits = {64 << 20, 256, 10000000};
    buf_init(&text, 128 << 20);
    run_report_write(run, NULL, 0, base_url, &text);
    assert_null(strstr(buf_cstr(&text), "${"));
    const struct json *report = json_parse(arena, buf_text(&text), &limits, &fault);
    if (!report) fail_msg("%s: %.2000s", fault.what, buf_cstr(&text));
    buf_fini(&text);
    return report;
}

static const struct {
    const char *name;
    unsigned kinds; /* bits by json_kind */
} fields[] = {
#define K(kind) (1u << (kind))
    {"id", K(JSON_STRING)},
    {"stage", K(JSON_STRING)},
    {"status", K(JSON_STRING)},
    {"reason", K(JSON_STRING) | K(JSON_NULL)},
    {"progress", K(JSON_STRING)},
    {"percent", K(JSON_INT) | K(JSON_NULL)},
    {"percentEstimated", K(JSON_BOOL)},
    {"eta", K(JSON_STRING) | K(JSON_NULL)},
    {"stalled", K(JSON_BOOL)},
    {"statusUrl", K(JSON_STRING)},
    {"cancelUrl", K(JSON_STRING)},
    {"upstream", K(JSON_OBJECT)},
    {"outputs", K(JSON_OBJECT)},
    {"artifacts", K(JSON_ARRAY)},
    {"warnings", K(JSON_ARRAY)},
    {"error", K(JSON_STRING) | K(JSON_NULL)},
    {"created", K(JSON_STRING)},
    {"updated", K(JSON_STRING)},
    {"ended", K(JSON_STRING) | K(JSON_NULL)},
    {"key", K(JSON_STRING) | K(JSON_NULL)},
    {"steps", K(JSON_ARRAY)},
};

static void check_fields(const struct run *run) {
    struct arena *arena = arena_new();
    const struct json *report = report_of(arena, run, "http://gw.test");
    size_t i = 0;
    for (struct json_member m = json_first(report); m.name.at; m = json_next(report, m), i++) {
        assert_true(i < sizeof fields / sizeof *fields);
        assert_true(text_is(m.name, fields[i].name));
        if (!(fields[i].kinds & K(json_kind(m.value)))) fail_msg("%s is a %d", fields[i].name, json_kind(m.value));
    }
    assert_int_equal(i, sizeof fields / sizeof *fields);
    assert_int_equal(json_kind(json_gets(json_gets(report, "upstream"), "status")) == JSON_NULL, !run->upstream_word);
    assert_int_equal(json_size(json_gets(report, "upstream")), 2);
    arena_free(arena);
}

static void test_every_field_in_every_state(void **state) {
    (void)state;
    struct rig rig;
    rig_start(&rig, rig_two_steps);
    check_fields(rig.run);
    rig_stored(&rig);
    check_fields(rig.run);
    rig_answer(&rig, 201, "{\"id\": 5}");
    check_fields(rig.run);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"running\"}");
    check_fields(rig.run);
    rig_cancel(&rig);
    check_fields(rig.run);
    rig_stored(&rig);
    check_fields(rig.run);
    rig_fail(&rig, REPLY_NEVER_SENT);
    check_fields(rig.run);
    rig_due(&rig);
    rig_answer(&rig, 204, "");
    check_fields(rig.run);
    rig_stored(&rig);
    check_fields(rig.run);
    rig_end(&rig);
}

static void test_values(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, rig_two_steps);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"failed\", \"percent\": 12.7}");
    struct arena *arena = arena_new();
    const struct json *report = report_of(arena, rig.run, "https://gw.test/x");
    assert_string_equal(json_gets_text(report, "status"), "RUNNING"); /* its end is not durable yet */
    assert_null(json_gets_text(report, "reason"));
    assert_null(json_gets_text(report, "error"));
    assert_null(json_gets_text(report, "ended"));
    rig_stored(&rig);
    report = report_of(arena, rig.run, "https://gw.test/x");
    assert_string_equal(json_gets_text(report, "status"), "TERMINAL");
    assert_string_equal(json_gets_text(report, "reason"), "upstream_failed");
    assert_string_equal(json_gets_text(report, "error"), "status: the upstream says \"failed\"");
    assert_string_equal(json_gets_text(report, "statusUrl"), "https://gw.test/x/runs/" RIG_ID);
    assert_string_equal(json_gets_text(report, "cancelUrl"), "https://gw.test/x/runs/" RIG_ID "/cancel");
    assert_string_equal(json_gets_text(report, "created"), "2025-11-23T06:40:00.000Z");
    assert_int_equal(json_int(json_gets(report, "percent")), 12);
    const struct json *step = json_at(json_gets(report, "steps"), 1);
    assert_string_equal(json_gets_text(step, "name"), "status");
    assert_string_equal(json_gets_text(step, "status"), "TERMINAL");
    assert_int_equal(json_int(json_gets(step, "calls")), 1);
    assert_int_equal(json_int(json_gets(step, "code")), 200);
    arena_free(arena);
    rig_end(&rig);
}

/* What orca would evaluate, what is no text, and what could break out of a string. */
static void test_hostile_values(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"state\": \"passed\", \"report\": \"${now()} $${x} \\u0024{y} $\\u007bz}\"}",
        "{\"state\": \"passed\", \"report\": {\"${key}\": [\"${a}\", {\"b${\": \"$\"}], \"{\": \"$\"}}",
        "{\"state\": \"passed\", \"report\": \"\\u0001\\u001f\\u007f\\b\\\"\\\\ \xF0\x9F\x98\x80 \\ud83d\\ude00\"}",
        "{\"state\": \"failed\", \"message\": \"${T(java.lang.Runtime).exec()}\"}",
        "{\"state\": \"${odd}\", \"message\": \"\\\"}, {\"}",
        "{\"state\": \"passed\", \"report\": 1e400}",
        "{\"state\": \"passed\", \"report\": 123456789012345678901234567890}",
        "\xFF\xFE${",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct rig rig;
        rig_accept(&rig, rig_two_steps);
        rig_answer(&rig, 201, "{\"id\": 5}");
        rig_stored(&rig);
        rig_answer(&rig, 200, bodies[i]);
        if (rig.writing.exists) rig_stored(&rig);
        check_fields(rig.run);
        rig_end(&rig);
    }
}

/* A client may send any Host that HTTP allows, and more. */
static void test_hostile_base_url(void **state) {
    (void)state;
    static const char *const hosts[] = {"http://a\"b",    "http://a\\b",     "http://${x}",
                                        "http://a\x01\n", "http://\xFF\x80", "http://[::1]:80"};
    struct rig rig;
    rig_start(&rig, rig_two_steps);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct arena *arena = arena_new();
        const struct json *report = report_of(arena, rig.run, hosts[i]);
        if (i < 2) assert_int_equal(strncmp(json_gets_text(report, "statusUrl"), hosts[i], strlen(hosts[i])), 0);
        arena_free(arena);
    }
    rig_end(&rig);
}

/* Outputs past the ceiling are left out, and the report says so; it is never half a report. */
static void test_huge_outputs(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, rig_two_steps);
    rig_answer(&rig, 201, "{\"id\": 5}");
    rig_stored(&rig);
    struct buf body;
    buf_init(&body, 64 << 20);
    buf_adds(&body, "{\"state\": \"passed\", \"report\": \"");
    for (int i = 0; i < 17 << 16; i++) buf_adds(&body, "0123456789abcdef");
    buf_adds(&body, "\"}");
    rig_answer(&rig, 200, buf_cstr(&body));
    rig_stored(&rig);
    check_fields(rig.run);
    struct arena *arena = arena_new();
    const struct json *report = report_of(arena, rig.run, "");
    assert_string_equal(json_gets_text(report, "status"), "SUCCEEDED");
    assert_int_equal(json_size(json_gets(report, "outputs")), 0);
    assert_non_null(strstr(json_gets_text(report, "progress"), "outputs"));
    arena_free(arena);
    buf_fini(&body);
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_in_every_state),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_hostile_values),
        cmocka_unit_test(test_hostile_base_url),
        cmocka_unit_test(test_huge_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
