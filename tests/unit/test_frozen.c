/* Values at rest: what is thawed is what was frozen, and a text that is written is that of the value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lang/frozen.h"

static const struct json_limits limits = {.max_bytes = 1 << 20, .max_depth = 512, .max_items = 100000};

static const struct json *value_of(struct arena *arena, const char *text) {
    struct fault fault;
    const struct json *value = json_parse(arena, text_of(text), &limits, &fault);
    if (!value) fail_msg("%s: %s", text, fault.what);
    return value;
}

static void test_values_come_back_as_they_were(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "true",
        "0",
        "\"\"",
        "-9223372036854775808",
        "[1,1.0,0.1,-0.0,1e300,5e-324]",
        "{\"b\":1,\"a\":{\"z\":[null,false]},\"\":\"\"}",
        "\"a \\\"quote\\\", a \\\\, \\n, \\u0001, \xC3\xA9 and \xF0\x9F\x98\x80\"",
        "[\"123456789012345678901234567890\",\"${x}\"]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct arena *first = arena_new(), *second = arena_new();
        const struct json *value = value_of(first, texts[i]);
        struct frozen *frozen = frozen_new(value);
        struct buf was, is;
        buf_init(&was, 1 << 20);
        buf_init(&is, 1 << 20);
        json_write(&was, value);
        arena_free(first); /* it stands on its own */
        assert_true(text_same(frozen_text(frozen), buf_text(&was)));
        json_write(&is, frozen_thaw(second, frozen));
        assert_string_equal(buf_cstr(&is), buf_cstr(&was));
        frozen_free(frozen);
        buf_fini(&was);
        buf_fini(&is);
        arena_free(second);
    }
}

static void test_texts_are_taken_as_they_are(void **state) {
    (void)state;
    assert_null(frozen_of_text((struct text){0}));
    assert_null(frozen_of_text(TEXT("null")));
    struct arena *arena = arena_new();
    char source[] = "{\"a\":[1,\"x\"]}";
    struct frozen *frozen = frozen_of_text(text_of(source));
    memset(source, '?', sizeof source - 1); /* it stands on its own */
    assert_true(text_is(frozen_text(frozen), "{\"a\":[1,\"x\"]}"));
    assert_int_equal(json_int(json_at(json_gets(frozen_thaw(arena, frozen), "a"), 0)), 1);
    frozen_free(frozen);
    arena_free(arena);
}

static void test_integers_beyond_64_bits_stay_reals(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct frozen *frozen = frozen_new(value_of(arena, "[123456789012345678901234567890]"));
    const struct json *item = json_at(frozen_thaw(arena, frozen), 0);
    assert_int_equal(json_kind(item), JSON_REAL);
    assert_true(json_number(item) > 1.2e29 && json_number(item) < 1.3e29);
    frozen_free(frozen);
    arena_free(arena);
}

static void test_null_takes_nothing(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    assert_null(frozen_new(NULL));
    assert_null(frozen_new(json_new_null(arena)));
    assert_null(frozen_thaw(arena, NULL));
    assert_true(text_is(frozen_text(NULL), "null"));
    frozen_free(NULL);
    arena_free(arena);
}

static void test_a_value_is_replaced(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct frozen *frozen = NULL;
    frozen_put(&frozen, json_new_int(arena, 1));
    frozen_put(&frozen, json_new_string(arena, "two"));
    assert_true(text_is(frozen_text(frozen), "\"two\""));
    frozen_put(&frozen, NULL);
    assert_null(frozen);
    arena_free(arena);
}

static void test_what_is_too_deep_is_null(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    const struct json *value = json_new_int(arena, 1);
    for (int i = 0; i < 513; i++) {
        struct json *outer = json_new_array(arena);
        json_push(outer, value);
        value = outer;
        struct frozen *frozen = i >= 510 ? frozen_new(value) : NULL;
        if (i >= 510) assert_true((frozen_thaw(arena, frozen) != NULL) == (i < 512));
        frozen_free(frozen);
    }
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back_as_they_were),
        cmocka_unit_test(test_texts_are_taken_as_they_are),
        cmocka_unit_test(test_integers_beyond_64_bits_stay_reals),
        cmocka_unit_test(test_null_takes_nothing),
        cmocka_unit_test(test_a_value_is_replaced),
        cmocka_unit_test(test_what_is_too_deep_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
