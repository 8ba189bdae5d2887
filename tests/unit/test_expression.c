/* Expressions that are left over: where each is found, in JSON and in what should have been JSON, and what is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "front/body.h"
#include "stage/expression.h"

static const struct json_limits limits = {.max_bytes = 1 << 20, .max_depth = 64, .max_items = 10000};

/* "/a /b:" where a fault with a colon as its cause has one behind its place. */
static void check_places(const struct faults *faults, const char *body, const char *wanted) {
    struct buf got;
    buf_init(&got, 100000);
    for (size_t i = 0; i < faults->count; i++) {
        bool colon = strstr(faults->items[i].what, "It has a \":\"") != NULL;
        assert_int_equal(faults->items[i].kind, FAULT_INVALID);
        assert_non_null(strstr(faults->items[i].what, "Spinnaker could not evaluate"));
        buf_addf(&got, "%s%s%s", i ? " " : "", faults->items[i].where, colon ? ":" : "");
    }
    if (strcmp(buf_cstr(&got), wanted) != 0) fail_msg("%s: got \"%s\", wanted \"%s\"", body, buf_cstr(&got), wanted);
    buf_fini(&got);
}

static void test_values(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"{\"a\": \"$x {y}\", \"b\": 1}", ""},
        {"{\"a\": \"${x}\"}", "/a"},
        {"{\"a\": \"v ${x ?: 'd'} w\"}", "/a:"},
        {"{\"a\": \"${x}: ${y}\"}", "/a"},
        {"{\"a\": \"${x} ${y == 'z' ? 'a' : 'b'}\"}", "/a:"},
        {"{\"a\": \"${#toJson({'k': '}'})}\"}", "/a:"},
        {"{\"a\": \"${'}'} a:b\"}", "/a"},
        {"{\"a\": \"${never closed: \"}", "/a:"},
        {"{\"a\": \"\\u0024\\u007bx}\"}", "/a"},
        {"{\"a\": [1, {\"b\": \"${x}\"}, \"${y}\"], \"c\": {\"d/e~f\": \"${z}\"}}", "/a/1/b /a/2 /c/d~1e~0f"},
        {"{\"${x}\": \"${y}\"}", "/${x} /${x}"},
    };
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct faults faults;
        struct buf where;
        faults_init(&faults);
        buf_init(&where, 10000);
        const struct json *value = json_parse(arena, text_of(rows[i][0]), &limits, NULL);
        assert_non_null(value);
        assert_int_equal(expression_is_inside(value), rows[i][1][0] != 0);
        assert_int_equal(expression_find(value, &where, &faults), rows[i][1][0] != 0);
        check_places(&faults, rows[i][0], rows[i][1]);
        assert_int_equal(where.len, 0);
        buf_fini(&where);
        faults_fini(&faults);
    }
    arena_free(arena);
}

static void test_what_is_no_json(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"{\"a\": 1", ""},
        {"{\"key\": \"k\", \"parameters\": ${#toJson(parameterValues)}}", "/parameters"},
        {"{\"key\":\"${execution['id']}:1\",\"parameters\":${#toJson(parameterValues)},\"user\":${trigger['user']}}",
         "/key /parameters /user"},
        {"{\"parameters\": {\"a\": ${x ?: 'd'}, \"b\": \"${y}\", \"c\": [1, ${z}]}}",
         "/parameters/a: /parameters/b /parameters/c/1"},
        {"{\"parameters\": {\"a\": \"${parameterValues[\"x\"]}\"}}", "/parameters/a"},
        {"{\"a\": \"quoted \\\" ${x}\", \"b\": ${y}}", "/a /b"},
        {"{\"a\": {\"b\": {}}, \"c\": ${x}}", "/c"},
        {"[${x}, ${y}]", "/0 /1"},
        {"${#toJson(payload)}", "/"},
        {"{\"a\": ${x", "/a"},
        {"{\"a\": \"${x", "/a"},
        {"}}]]:,${x}", "/"},
        {"${", "/"},
    };
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct faults faults;
        faults_init(&faults);
        assert_int_equal(expression_find_raw(text_of(rows[i][0]), &faults), rows[i][1][0] != 0);
        check_places(&faults, rows[i][0], rows[i][1]);
        faults_fini(&faults);
    }
    arena_free(arena);
}

/* As long as a body may be, and of nothing else: it has to take no longer than reading it. */
static void test_many(void **state) {
    (void)state;
    static const char *const pieces[] = {"${", "${x}", "{\"a\":${", "[${x},", "\"${", "${'"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct buf body;
        struct faults faults;
        buf_init(&body, 2 << 20);
        while (body.len < 1 << 20) buf_adds(&body, pieces[i]);
        faults_init(&faults);
        assert_true(expression_find_raw(buf_text(&body), &faults));
        faults_fini(&faults);
        faults_init(&faults);
        expression_refuse("/x", buf_text(&body), &faults);
        assert_int_equal(faults.count, 1);
        faults_fini(&faults);
        buf_fini(&body);
    }
}

/* ---- bodies ---- */

static void test_bodies(void **state) {
    (void)state;
    static const struct {
        const char *type, *body, *wanted; /* as JSON; or NULL, and how it was refused */
        enum fault_kind kind;
    } rows[] = {
        {"application/json", "{\"a\":\"caf\xC3\xA9\"}", "{\"a\":\"caf\xC3\xA9\"}", FAULT_NONE},
        {NULL, "{\"a\":\"caf\xC3\xA9\"}", "{\"a\":\"caf\xC3\xA9\"}", FAULT_NONE},
        {"application/vnd.x+json; charset=utf-8", "{}", "{}", FAULT_NONE},
        {"text/plain;charset=ISO-8859-1", "{\"a\":\"caf\xE9\"}", "{\"a\":\"caf\xC3\xA9\"}", FAULT_NONE},
        {"text/plain; Charset=\"iso-8859-1\"", "{\"a\":\"caf\xE9\"}", "{\"a\":\"caf\xC3\xA9\"}", FAULT_NONE},
        {"text/plain; format=flowed; charset=latin1 ", "{\"a\":\"\xFF\"}", "{\"a\":\"\xC3\xBF\"}", FAULT_NONE},
        /* the label is what was done: these are two characters, and were two where they come from */
        {"text/plain;charset=ISO-8859-1", "{\"a\":\"\xC3\xA9\"}", "{\"a\":\"\xC3\x83\xC2\xA9\"}", FAULT_NONE},
        /* without one: UTF-8 if it can be */
        {"text/plain", "{\"a\":\"caf\xC3\xA9\"}", "{\"a\":\"caf\xC3\xA9\"}", FAULT_NONE},
        {"text/plain", "{\"a\":\"caf\xE9\"}", "{\"a\":\"caf\xC3\xA9\"}", FAULT_NONE},
        {"text/plain;charset=utf-8", "{\"a\":\"caf\xE9\"}", NULL, FAULT_SYNTAX},
        {"text/plain;charset=iso-8859-15", "{\"a\":\"caf\xE9\"}", NULL, FAULT_SYNTAX},
        {"application/json", "{\"a\":\"caf\xE9\"}", NULL, FAULT_SYNTAX},
        {"application/json;charset=ISO-8859-1", "{\"a\":\"caf\xE9\"}", "{\"a\":\"caf\xC3\xA9\"}", FAULT_NONE},
        {"text/plainly", "{}", NULL, FAULT_UNSUPPORTED},
        {"application/x-www-form-urlencoded", "a=1", NULL, FAULT_UNSUPPORTED},
        {"application/xml", "", "{}", FAULT_NONE},
        {"text/plain", " \r\n", "{}", FAULT_NONE},
        {"text/plain", "[1]", NULL, FAULT_SYNTAX},
        {"text/plain", "{\"a\": ${x}}", NULL, FAULT_INVALID},
        {"text/plain;charset=ISO-8859-1", "{\"\xE9\": ${x}}", NULL, FAULT_INVALID},
        {"text/plain", "{\"a\": \"${x}\"}", "{\"a\":\"${x}\"}", FAULT_NONE}, /* for whoever knows the members */
    };
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct faults faults;
        struct buf out;
        faults_init(&faults);
        buf_init(&out, 10000);
        const struct json *got = body_object(arena, rows[i].type, text_of(rows[i].body), &limits, &faults);
        if (got) json_write(&out, got);
        if ((got != NULL) != (rows[i].wanted != NULL) || (got && strcmp(buf_cstr(&out), rows[i].wanted) != 0))
            fail_msg("row %zu, %s: got %s", i, rows[i].type, got ? buf_cstr(&out) : faults.items[0].what);
        if (!got && faults.items[0].kind != rows[i].kind) fail_msg("row %zu: %s", i, faults.items[0].what);
        buf_fini(&out);
        faults_fini(&faults);
    }
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_what_is_no_json),
                                       cmocka_unit_test(test_many), cmocka_unit_test(test_bodies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
