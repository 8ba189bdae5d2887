/* Problem documents: JSON whatever stands in them, nothing that orca would evaluate, and the map of kinds to statuses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "front/answer.h"
#include "front/problem.h"
#include "lang/json.h"

static const struct json *written(struct arena *arena, int status, const char *kind, const char *detail,
                                  const struct fault *faults, size_t count) {
    struct buf text;
    struct fault fault;
    struct json_limits limits = {1 << 20, 16, 10000};
    buf_init(&text, 1 << 20);
    problem_write(&text, status, kind, detail, faults, count);
    assert_null(strstr(buf_cstr(&text), "${"));
    const struct json *value = json_parse(arena, buf_text(&text), &limits, &fault);
    if (!value) fail_msg("%s: %s", fault.what, buf_cstr(&text));
    buf_fini(&text);
    return value;
}

static void test_plain(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    const struct json *problem = written(arena, 404, "not_found", "there is no such run", NULL, 0);
    assert_string_equal(json_gets_text(problem, "type"), "about:blank");
    assert_string_equal(json_gets_text(problem, "title"), "Not Found");
    assert_int_equal(json_int(json_gets(problem, "status")), 404);
    assert_string_equal(json_gets_text(problem, "detail"), "there is no such run");
    assert_string_equal(json_gets_text(problem, "kind"), "not_found");
    assert_null(json_gets(problem, "errors"));
    assert_null(json_gets(written(arena, 500, NULL, "", NULL, 0), "kind"));
    arena_free(arena);
}

static void test_errors(void **state) {
    (void)state;
    struct fault faults[4] = {0};
    fault_set(&faults[0], FAULT_INVALID, "/parameters/users", "users has to be at most 5000, not 9000");
    fault_set(&faults[1], FAULT_INVALID, NULL, "no place, so no entry");
    fault_set(&faults[2], FAULT_UNDEFINED, "/parameters/a\"b", "there is no parameter \"a\"b\"");
    fault_set(&faults[3], FAULT_INVALID, "/parameters/${x}", "holds ${x}");
    struct arena *arena = arena_new();
    const struct json *errors = json_gets(written(arena, 422, "invalid", "as above", faults, 4), "errors");
    assert_int_equal(json_size(errors), 3);
    assert_string_equal(json_gets_text(json_at(errors, 0), "pointer"), "/parameters/users");
    assert_string_equal(json_gets_text(json_at(errors, 0), "detail"), "users has to be at most 5000, not 9000");
    assert_string_equal(json_gets_text(json_at(errors, 1), "pointer"), "/parameters/a\"b");
    assert_string_equal(json_gets_text(json_at(errors, 2), "detail"), "holds $ {x}");
    assert_null(json_gets(written(arena, 422, "invalid", "as above", faults + 1, 1), "errors"));
    arena_free(arena);
}

static void test_hostile_details(void **state) {
    (void)state;
    static const struct {
        const char *detail, *shown;
    } rows[] = {
        {"\"}, {\"a\": \"", "\"}, {\"a\": \""},
        {"\\", "\\"},
        {"a\x01\n\t\x1f\x7f", "a\x01\n\t\x1f\x7f"},
        {"${x}", "$ {x}"},
        {"$${x}${", "$$ {x}$ {"},
        {"$", "$"},
        {"$$$", "$$$"},
        {"caf\xc3\xa9 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xf0\x9f\x98\x80"},
        {"\xff\xfe", "?"},
        {"good $ \xff", "good $?"},
        {"\xed\xa0\x80", "?"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        assert_string_equal(json_gets_text(written(arena, 400, "syntax", rows[i].detail, NULL, 0), "detail"),
                            rows[i].shown);
        struct fault fault;
        fault_set(&fault, FAULT_INVALID, rows[i].detail, "%s", rows[i].detail);
        written(arena, 400, rows[i].detail, "x", &fault, 1);
        arena_free(arena);
    }
}

static void test_statuses(void **state) {
    (void)state;
    static const struct {
        enum fault_kind kind;
        int status;
    } rows[] = {
        {FAULT_SYNTAX, 400},       {FAULT_INVALID, 422},   {FAULT_UNDEFINED, 422}, {FAULT_TOO_LARGE, 413},
        {FAULT_UNSUPPORTED, 415},  {FAULT_FORBIDDEN, 403}, {FAULT_NOT_FOUND, 404}, {FAULT_CONFLICT, 409},
        {FAULT_UNAUTHORIZED, 401}, {FAULT_GONE, 410},      {FAULT_BUSY, 503},      {FAULT_IO, 503},
        {FAULT_UPSTREAM, 502},     {FAULT_INTERNAL, 500},  {FAULT_NONE, 500},      {(enum fault_kind)99, 500},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(problem_status(rows[i].kind), rows[i].status);
        assert_string_not_equal(answer_phrase(rows[i].status), "Status");
    }
    assert_string_equal(answer_phrase(418), "Status");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain), cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_hostile_details), cmocka_unit_test(test_statuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
