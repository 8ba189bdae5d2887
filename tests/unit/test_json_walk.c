/* JSON read where it stands: members are found as they are written, what is no JSON is refused wherever it stands, and
 * in all of that it agrees with lang/json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "lang/json_walk.h"

static const struct text names[] = {{"a", 1}, {"b", 1}, {"long name", 9}};
enum { A, B, LONG, NAMES };

static void test_members(void **state) {
    (void)state;
    static const struct {
        const char *object, *values[NAMES]; /* "": it is not there */
    } cases[] = {
        {"{}", {"", "", ""}},
        {" { } ", {"", "", ""}},
        {"{\"a\":1,\"b\":2,\"long name\":3}", {"1", "2", "3"}},
        {"{\"long name\":3,\"b\":2,\"a\":1}", {"1", "2", "3"}},
        {" {\n\"b\" : [1, {\"a\": 5}] , \"x\" : {\"a\":7} }\t", {"", "[1, {\"a\": 5}]", ""}},
        {"{\"x\":\"\\\"a\\\":1,\",\"a\":\"}\"}", {"\"}\"", "", ""}},
        {"{\"A\":1,\"aa\":2,\"\":3,\"a\":null}", {"null", "", ""}},
        {"{\"b\":-0.5e+10,\"a\":true}", {"true", "-0.5e+10", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text values[NAMES];
        size_t at;
        assert_true(json_walk_members(text_of(cases[i].object), names, NAMES, values, &at));
        for (size_t j = 0; j < NAMES; j++) assert_true(text_is(values[j], cases[i].values[j]));
    }
}

static void test_what_is_no_object(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } cases[] = {{"", 0},           {"null", 0},    {"[]", 0},        {"\"{}\"", 0},    {"{", 1},
                 {"{\"a\"", 4},     {"{\"a\":", 5}, {"{\"a\":1", 6},  {"{\"a\":1,", 7}, {"{\"a\":1,}", 7},
                 {"{\"a\":1}x", 7}, {"{a:1}", 1},   {"{\"a\" 1}", 5}, {"{,}", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text values[NAMES];
        size_t at;
        if (json_walk_members(text_of(cases[i].text), names, NAMES, values, &at)) fail_msg("%s", cases[i].text);
        assert_int_equal(at, cases[i].at);
    }
}

static bool is_good(const char *value, size_t len) {
    struct buf object;
    struct text values[NAMES];
    size_t at;
    buf_init(&object, 1 << 20);
    buf_adds(&object, "{\"else\":");
    buf_add(&object, value, len);
    buf_adds(&object, "}");
    bool good = json_walk_members(buf_text(&object), names, NAMES, values, &at);
    buf_fini(&object);
    return good;
}

/* The same texts as lang/json takes, also in members that nobody asks for. */
static void test_every_part_is_checked(void **state) {
    (void)state;
    static const struct json_limits limits = {1 << 20, JSON_WALK_DEPTH, 100000};
    static const char *const values[] = {"1",
                                         "-1",
                                         "0",
                                         "-0",
                                         "1.5",
                                         "1e5",
                                         "1E+5",
                                         "1e-5",
                                         "01",
                                         "+1",
                                         ".5",
                                         "1.",
                                         "1e",
                                         "1e+",
                                         "-",
                                         "--1",
                                         "0x1",
                                         "1 2",
                                         "true",
                                         "false",
                                         "null",
                                         "tru",
                                         "True",
                                         "nulll",
                                         "nan",
                                         "\"\"",
                                         "\"a",
                                         "a\"",
                                         "\"\\n\\t\\\\\\/\\b\\f\\r\\\"\"",
                                         "\"\\x\"",
                                         "\"\\\"",
                                         "\"\\u00e9\"",
                                         "\"\\u0000\"",
                                         "\"\\u00g0\"",
                                         "\"\\u00\"",
                                         "\"\\ud83d\\ude00\"",
                                         "\"\\ud83d\"",
                                         "\"\\ude00\"",
                                         "\"\\ud83dx\"",
                                         "\"\\ud83d\\u0041\"",
                                         "\"\\uD83D\\uDE00\"",
                                         "\"\t\"",
                                         "\"\x01\"",
                                         "\"\x7f\"",
                                         "\"\xC3\xA9\"",
                                         "\"\xC3\"",
                                         "\"\xC0\x80\"",
                                         "\"\xED\xA0\x80\"",
                                         "\"\xF0\x9F\x98\x80\"",
                                         "\"\xFF\"",
                                         "[]",
                                         "[1,2]",
                                         "[1,]",
                                         "[,1]",
                                         "[1 2]",
                                         "[1",
                                         "1]",
                                         "[[[]]]",
                                         "[[]",
                                         "{}",
                                         "{\"x\":{}}",
                                         "{\"x\"}",
                                         "{\"x\":}",
                                         "{1:2}",
                                         "{\"x\":1,}",
                                         "[{]}",
                                         "[}",
                                         "{]",
                                         "\xC3\xA9",
                                         "\x0b"
                                         "1",
                                         "1\xC2\xA0",
                                         "/**/1",
                                         "'a'",
                                         ""};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct arena *arena = arena_new();
        struct fault fault;
        bool parses = json_parse(arena, text_of(values[i]), &limits, &fault) != NULL;
        if (is_good(values[i], strlen(values[i])) != parses) fail_msg("%s is %s", values[i], parses ? "good" : "bad");
        arena_free(arena);
    }
    assert_false(is_good("\"\0\"", 3));
}

static void test_depth(void **state) {
    (void)state;
    char deep[2 * JSON_WALK_DEPTH];
    memset(deep, '[', JSON_WALK_DEPTH);
    memset(deep + JSON_WALK_DEPTH, ']', JSON_WALK_DEPTH);
    assert_true(is_good(deep + 1, 2 * JSON_WALK_DEPTH - 2));
    assert_false(is_good(deep, 2 * JSON_WALK_DEPTH));
    memset(deep, '[', sizeof deep);
    assert_false(is_good(deep, sizeof deep));
}

static void test_a_name_that_occurs_twice(void **state) {
    (void)state;
    struct text values[NAMES];
    size_t at;
    assert_false(json_walk_members(TEXT("{\"a\":1,\"b\":2,\"a\":1}"), names, NAMES, values, &at));
    assert_true(json_walk_members(TEXT("{\"a\":1,\"x\":2,\"x\":1}"), names, NAMES, values, &at));
}

static void test_elements(void **state) {
    (void)state;
    static const struct {
        const char *array, *joined;
    } cases[] = {
        {"[]", ""}, {" [] ", ""}, {"[1]", "1;"}, {"[1 , [2,3],{\"a\":[4]} ,\"],[\"]", "1;[2,3];{\"a\":[4]};\"],[\";"},
        {"{}", ""}, {"5", ""},    {"", ""},      {"\"[1]\"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text rest = text_trim(text_of(cases[i].array)), value;
        struct buf joined;
        buf_init(&joined, 1000);
        while (json_walk_next(&rest, &value)) buf_addt(&joined, value), buf_addc(&joined, ';');
        assert_string_equal(buf_cstr(&joined), cases[i].joined);
        buf_fini(&joined);
    }
}

static void test_values(void **state) {
    (void)state;
    static const struct {
        const char *value;
        enum json_kind kind;
        int64_t number;
        bool empty;
    } cases[] = {{"", JSON_NULL, 0, true},
                 {"null", JSON_NULL, 0, true},
                 {"true", JSON_BOOL, 0, true},
                 {"17", JSON_INT, 17, true},
                 {"-9223372036854775808", JSON_INT, INT64_MIN, true},
                 {"9223372036854775808", JSON_INT, 0, true},
                 {"1.5", JSON_REAL, 0, true},
                 {"1e3", JSON_REAL, 0, true},
                 {"\"17\"", JSON_STRING, 0, true},
                 {"[]", JSON_ARRAY, 0, true},
                 {"{ }", JSON_OBJECT, 0, true},
                 {"[0]", JSON_ARRAY, 0, false},
                 {"{\"a\":1}", JSON_OBJECT, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(json_walk_kind(text_of(cases[i].value)), cases[i].kind);
        assert_int_equal(json_walk_int(text_of(cases[i].value)), cases[i].number);
        assert_true(json_walk_empty(text_of(cases[i].value)) == cases[i].empty);
    }
}

static void test_strings(void **state) {
    (void)state;
    static const struct {
        const char *value, *text; /* NULL: it is none */
    } cases[] = {{"\"\"", ""},
                 {"\"plain\"", "plain"},
                 {"\"caf\xC3\xA9\"", "caf\xC3\xA9"},
                 {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
                 {"\"a\\u0041\\u00e9\\u20ac\\ud83d\\ude00z\"", "aA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z"},
                 {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", "\x7f\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"},
                 {"null", NULL},
                 {"5", NULL},
                 {"[\"a\"]", NULL},
                 {"", NULL}};
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = json_walk_string(text_of(cases[i].value));
        const char *other = json_walk_string_in(arena, text_of(cases[i].value));
        assert_true(!text == !cases[i].text && !other == !cases[i].text);
        if (text) assert_string_equal(text, cases[i].text);
        if (text) assert_string_equal(other, cases[i].text);
        mem_free(text);
    }
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_what_is_no_object),
        cmocka_unit_test(test_every_part_is_checked),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_a_name_that_occurs_twice),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
