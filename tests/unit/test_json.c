/* JSON: what is taken and refused, that numbers stay exact, and that what is written reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lang/json.h"

static const struct json_limits LIMITS = {.max_bytes = 4096, .max_depth = 8, .max_items = 64};

static const struct json *parse(struct arena *arena, const char *source, struct fault *fault) {
    return json_parse(arena, text_of(source), &LIMITS, fault);
}

static void texts_that_parse(void **state) {
    (void)state;
    static const struct {
        const char *source, *written;
    } cases[] = {
        {"null", "null"},
        {" true ", "true"},
        {"\"a\"", "\"a\""},
        {"[1, 2.5, -0.1, 1e3]", "[1,2.5,-0.1,1000.0]"},
        {"0.1", "0.1"},
        {"1e300", "1e+300"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"-0", "0"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775808", "9.223372036854776e+18"},
        {"[9007199254740993,99999999999999999999,\"99999999999999999999\"]",
         "[9007199254740993,1e+20,\"99999999999999999999\"]"},
        {"{\"b\":1,\"a\":{}}", "{\"b\":1,\"a\":{}}"},
        {"{\"99999999999999999999\":99999999999999999999}", "{\"99999999999999999999\":1e+20}"},
        {"\"\\ud83d\\ude00\\u00e9\\n\\u007f\"", "\"\xF0\x9F\x98\x80\xC3\xA9\\n\\u007f\""},
        {"[[[[[[[[]]]]]]]]", "[[[[[[[[]]]]]]]]"},
        {"\"\\u0041\\u00df\\uFFFF\\uDBFF\\uDFFF\\/\\b\\f\\r\\t\\\\\"",
         "\"A\xC3\x9F\xEF\xBF\xBF\xF4\x8F\xBF\xBF/\\b\\f\\r\\t\\\\\""},
        {"\"1234567\\n1234567\xC3\xA9\"", "\"1234567\\n1234567\xC3\xA9\""},
        {"[1.50,-0.0,1E2,12345678901234567890123456789012345678901234567890.5,0.1e-2]",
         "[1.5,-0.0,100.0,1.2345678901234567e+49,0.001]"},
        {"{\"\":{\"\\u0061\":[ ]}}", "{\"\":{\"a\":[]}}"},
        {"[\"[[[[[[[[[[\\\"[[[[\"]", "[\"[[[[[[[[[[\\\"[[[[\"]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        struct buf out;
        buf_init(&out, 4096);
        const struct json *value = parse(arena, cases[i].source, &fault);
        if (!value) fail_msg("%s: %s", cases[i].source, fault.what);
        json_write(&out, value);
        assert_string_equal(buf_cstr(&out), cases[i].written);
        const struct json *again = parse(arena, buf_cstr(&out), &fault);
        assert_non_null(again);
        assert_true(json_same(value, again));
        buf_fini(&out);
        arena_free(arena);
    }
}

static void texts_that_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *source;
        enum fault_kind kind;
        const char *what; /* a part of the sentence */
    } cases[] = {
        {"", FAULT_SYNTAX, "empty"},
        {"   ", FAULT_SYNTAX, "line 1"},
        {"{", FAULT_SYNTAX, "ends in the middle"},
        {"{\"a\":1", FAULT_SYNTAX, "ends in the middle"},
        {"[1,]", FAULT_SYNTAX, "line 1, column 4"},
        {"[1 2]", FAULT_SYNTAX, "line 1"},
        {"[1]\n[2]", FAULT_SYNTAX, "line 2, column 1: something follows"},
        {"{\"a\":1,\n \"a\":2}", FAULT_SYNTAX, "line 2, column 4: a name occurs twice"},
        {"{a:1}", FAULT_SYNTAX, "expected"},
        {"'a'", FAULT_SYNTAX, "invalid token"},
        {"NaN", FAULT_SYNTAX, "invalid token"},
        {"01", FAULT_SYNTAX, "invalid token"},
        {"1e400", FAULT_SYNTAX, "a number is too large"},
        {"\"\\ud800\"", FAULT_SYNTAX, "line 1"},
        {"\"\\ud800\\u0041\"", FAULT_SYNTAX, "half of a surrogate pair"},
        {"\"\\udc00\\ud800\"", FAULT_SYNTAX, "half of a surrogate pair"},
        {"\"\\u12g4\"", FAULT_SYNTAX, "four hexadecimal digits"},
        {"\"\\u123", FAULT_SYNTAX, "ends in the middle"},
        {"\"\\", FAULT_SYNTAX, "ends in the middle"},
        {"\"\\x41\"", FAULT_SYNTAX, "an escape that is not known"},
        {"-", FAULT_SYNTAX, "invalid token"},
        {"1.", FAULT_SYNTAX, "invalid token"},
        {"1.e1", FAULT_SYNTAX, "invalid token"},
        {"1e+", FAULT_SYNTAX, "invalid token"},
        {".5", FAULT_SYNTAX, "invalid token"},
        {"+1", FAULT_SYNTAX, "invalid token"},
        {"1a", FAULT_SYNTAX, "something follows"},
        {"nul", FAULT_SYNTAX, "invalid token"},
        {"[", FAULT_SYNTAX, "ends in the middle"},
        {"[1}", FAULT_SYNTAX, "a comma or ] is expected"},
        {"{\"a\"}", FAULT_SYNTAX, "a colon is expected"},
        {"{\"a\":1,}", FAULT_SYNTAX, "a name in quotes is expected"},
        {"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"\\u0061\":10}", FAULT_SYNTAX,
         "column 63: a name occurs twice"},
        {"\"a\\u0000b\"", FAULT_SYNTAX, "U+0000"},
        {"{\"a\\u0000b\":1}", FAULT_SYNTAX, "U+0000"},
        {"\"\xFF\"", FAULT_SYNTAX, "UTF-8"},
        {"\"\xC0\xAF\"", FAULT_SYNTAX, "UTF-8"},
        {"\xEF\xBB\xBF{}", FAULT_SYNTAX, "byte order mark"},
        {"\"\x01\"", FAULT_SYNTAX, "control character"},
        {"[[[[[[[[[]]]]]]]]]", FAULT_TOO_LARGE, "deeper than 8"},
        {"[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
         "0,0,0,0,0,0,0,0,0,0,0,0]",
         FAULT_TOO_LARGE, "more than 64 values"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        if (parse(arena, cases[i].source, &fault)) fail_msg("taken: %s", cases[i].source);
        assert_int_equal(fault.kind, cases[i].kind);
        if (!strstr(fault.what, cases[i].what)) fail_msg("%s: %s", cases[i].source, fault.what);
        arena_free(arena);
    }
}

static void bytes_and_raw_nul_are_counted(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct json_limits limits = {.max_bytes = 3, .max_depth = 1, .max_items = 1};
    assert_null(json_parse(arena, TEXT("1234"), &limits, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    assert_null(json_parse(arena, TEXT("1\0"), &limits, &fault));
    assert_null(json_parse(arena, TEXT("1\0\0"), &limits, &fault));
    assert_int_equal(fault.kind, FAULT_SYNTAX);
    assert_non_null(json_parse(arena, TEXT("123"), &limits, &fault));
    limits = (struct json_limits){.max_bytes = 100, .max_depth = 4, .max_items = 4};
    assert_non_null(json_parse(arena, TEXT("{\"a\":[1,\"x\"]}"), &limits, &fault)); /* names are not values */
    assert_null(json_parse(arena, TEXT("{\"a\":[1,\"x\",2]}"), &limits, &fault));
    arena_free(arena);
}

static void no_fault_repeats_the_text(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct fault fault = {0};
    assert_null(parse(arena, "{\"token\": \"hunter2\" \"x\"}", &fault));
    assert_null(strstr(fault.what, "hunter2"));
    assert_null(parse(arena, "[hunter2]", &fault));
    assert_null(strstr(fault.what, "hunter2"));
    arena_free(arena);
}

static void values_are_read(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    const struct json *v = parse(arena, "{\"a\":[1,2.9,\"x\",true,null],\"n\":-3,\"s\":\"t\"}", NULL);
    const struct json *a = json_gets(v, "a");
    assert_int_equal(json_kind(v), JSON_OBJECT);
    assert_int_equal(json_size(a), 5);
    assert_int_equal(json_int(json_at(a, 0)), 1);
    assert_int_equal(json_int(json_at(a, 1)), 2);
    assert_true(json_number(json_at(a, 1)) > 2.8);
    assert_true(text_is(json_text(json_at(a, 2)), "x"));
    assert_true(json_truth(json_at(a, 3)));
    assert_int_equal(json_kind(json_at(a, 4)), JSON_NULL);
    assert_null(json_at(a, 5));
    assert_null(json_gets(a, "a"));
    assert_null(json_gets(v, "z"));
    assert_string_equal(json_gets_text(v, "s"), "t");
    assert_null(json_gets_text(v, "n"));
    assert_int_equal(json_kind(NULL), JSON_NULL);
    assert_int_equal(json_size(NULL), 0);
    char names[8] = "";
    for (struct json_member m = json_first(v); m.name.at; m = json_next(v, m)) strncat(names, m.name.at, 1);
    assert_string_equal(names, "ans");
    arena_free(arena);
}

static void members_are_sought_in_any_order(void **state) {
    (void)state;
    static const char *const orders[] = {"abcd", "dcba", "aabb", "bd", "dada", "cabd", "xaxbx", "d", "", "xyz"};
    struct arena *arena = arena_new();
    const struct json *objects[] = {parse(arena, "{\"a\":1,\"bb\":2,\"c\":3,\"d\":4}", NULL),
                                    parse(arena, "{\"c\":30,\"a\":10}", NULL), parse(arena, "{}", NULL),
                                    parse(arena, "[\"a\"]", NULL), NULL};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct json_cursor cursor = {0};
        for (const char *at = orders[i]; *at; at++) {
            char name[] = {*at, *at == 'b' ? 'b' : 0, 0};
            for (size_t k = 0; k < sizeof objects / sizeof *objects; k++) { /* the cursor goes from one to the other */
                assert_ptr_equal(json_seek(&cursor, objects[0], text_of(name)), json_gets(objects[0], name));
                assert_ptr_equal(json_seek(&cursor, objects[k], text_of(name)), json_gets(objects[k], name));
            }
        }
    }
    arena_free(arena);
}

/* Beyond a few members an object has an index, which has to keep up with what is added and replaced. */
static void large_objects_are_searched(void **state) {
    (void)state;
    enum { MANY = 3000 };
    struct arena *arena = arena_new(), *other = arena_new();
    struct json *made = json_new_object(arena);
    char name[64];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%s%d", i % 2 ? "a name that is longer " : "", i);
        json_set(made, name, json_new_int(other, -1));
        json_set(made, name, json_new_int(other, i));
        assert_int_equal(json_size(made), i + 1);
    }
    struct buf text;
    buf_init(&text, 1 << 20);
    json_write(&text, made);
    struct json_limits limits = {.max_bytes = 1 << 20, .max_depth = 2, .max_items = MANY + 1};
    const struct json *parsed = json_parse(other, buf_text(&text), &limits, NULL);
    const struct json *shared = json_share(arena, parsed);
    arena_free(other);
    assert_true(json_same(shared, made));
    struct json_member m = json_first(shared);
    for (int i = 0; i < MANY; i++, m = json_next(shared, m)) {
        snprintf(name, sizeof name, "%s%d", i % 2 ? "a name that is longer " : "", i);
        assert_int_equal(json_int(json_gets(made, name)), i);
        assert_ptr_equal(json_gets(shared, name), m.value);
        assert_true(text_is(m.name, name));
    }
    assert_null(m.name.at);
    assert_null(json_gets(made, "3000"));
    assert_null(json_gets(made, ""));
    buf_fini(&text);
    arena_free(arena);
}

static void numbers_compare_by_value(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"1", "1.0", true},
        {"9007199254740993", "9007199254740992.0", false},
        {"{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1}", true},
        {"{\"a\":null}", "{\"b\":null}", false},
        {"[1,2]", "[2,1]", false},
        {"null", "false", false},
        {"\"1\"", "1", false},
        {"9223372036854775807", "9223372036854775808", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new();
        const struct json *a = parse(arena, cases[i].a, NULL), *b = parse(arena, cases[i].b, NULL);
        if (json_same(a, b) != cases[i].same || json_same(b, a) != cases[i].same)
            fail_msg("%s, %s", cases[i].a, cases[i].b);
        arena_free(arena);
    }
}

static void built_values_outlive_their_arena_when_shared(void **state) {
    (void)state;
    struct arena *outer = arena_new(), *inner = arena_new();
    struct json *object = json_new_object(outer);
    struct json *list = json_new_array(inner);
    json_push(list, json_new_string(inner, "x"));
    json_push(list, NULL);
    json_set(object, "list", list);
    json_set(object, "bad", json_new_text(inner, TEXT("a\xFF\0b\xE2\x82")));
    json_set(object, "nan", json_new_real(inner, 0.0 / 0.0));
    json_set(object, "none", json_new_string(inner, NULL));
    json_set(object, "flag", json_new_bool(inner, true));
    json_set(object, "n", json_new_int(inner, 1));
    json_set(object, "n", json_new_int(inner, 2));
    const struct json *shared = json_share(outer, json_at(list, 0));
    arena_free(inner);
    struct buf out;
    buf_init(&out, 4096);
    json_write(&out, object);
    assert_string_equal(buf_cstr(&out), "{\"list\":[\"x\",null],\"bad\":\"a\xEF\xBF\xBD\xEF\xBF\xBD"
                                        "b\xEF\xBF\xBD\xEF\xBF\xBD\",\"nan\":null,\"none\":null,\"flag\":true,"
                                        "\"n\":2}");
    assert_true(text_is(json_text(shared), "x"));
    buf_clear(&out);
    json_write_indented(&out, parse(outer, "{\"a\":[1,{}],\"b\":[]}", NULL), 2);
    assert_string_equal(buf_cstr(&out), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
    buf_clear(&out);
    json_write_text(&out, shared);
    json_write_text(&out, NULL);
    json_write_text(&out, parse(outer, "[\"a\"]", NULL));
    assert_string_equal(buf_cstr(&out), "x[\"a\"]");
    buf_fini(&out);
    arena_free(outer);
}

static void name_that_is_twice_is_found(void **state) {
    (void)state;
    static const struct {
        const char *source;
        size_t end; /* 0: none is found */
    } cases[] = {
        {"{\"a\":1,\"a\":2}", 10},
        {"{\"\xC3\xA9\":[{\"b\":1}],\n \"b\":1, \"\xC3\xA9\" :2}", 29},
        {"{\"a\":1,\"b\":2}", 0},
        {"{\"a\":1,\"a", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t end = 0;
        bool found = json_find_twice(text_of(cases[i].source), &end);
        assert_int_equal(found ? end : 0, cases[i].end);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_parse),
        cmocka_unit_test(texts_that_are_refused),
        cmocka_unit_test(bytes_and_raw_nul_are_counted),
        cmocka_unit_test(no_fault_repeats_the_text),
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(members_are_sought_in_any_order),
        cmocka_unit_test(large_objects_are_searched),
        cmocka_unit_test(numbers_compare_by_value),
        cmocka_unit_test(name_that_is_twice_is_found),
        cmocka_unit_test(built_values_outlive_their_arena_when_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
