/* Replies as values: what is JSON and what is text, and how headers are seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "call/reply.h"

static const struct body_case {
    const char *name, *body;
    bool is_json;
    const char *value; /* as JSON */
} body_cases[] = {
    {"empty", "", false, "null"},
    {"object", "{\"state\": \"passed\", \"n\": 1}", true, "{\"state\":\"passed\",\"n\":1}"},
    {"scalar", " 12 ", true, "12"},
    {"null", "null", true, "null"},
    {"string", "\"text\"", true, "\"text\""},
    {"byte order mark", "\xEF\xBB\xBF{\"a\":1}", true, "{\"a\":1}"},
    {"nothing but a byte order mark", "\xEF\xBB\xBF", false, "null"},
    {"plain text", "still running\n", false, "\"still running\\n\""},
    {"HTML", "<html>\"502\"</html>", false, "\"<html>\\\"502\\\"</html>\""},
    {"cut JSON", "{\"state\": ", false, "\"{\\\"state\\\": \""},
    {"a name twice", "{\"a\":1,\"a\":2}", false, "\"{\\\"a\\\":1,\\\"a\\\":2}\""},
    {"not UTF-8", "caf\xe9!", false, "\"caf\xEF\xBF\xBD!\""},
    {"not UTF-8 within JSON", "\"\xff\"", false, "\"\\\"\xEF\xBF\xBD\\\"\""},
    {"lone surrogate", "\"\\ud800\"", false, "\"\\\"\\\\ud800\\\"\""},
};

static void test_body(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof body_cases / sizeof *body_cases; i++) {
        const struct body_case *c = &body_cases[i];
        struct arena *arena = arena_new();
        struct reply reply = {.phase = REPLY_ANSWERED, .code = 200, .body = text_of(c->body)};
        struct buf written;
        bool is_json = !c->is_json;
        buf_init(&written, 4096);
        json_write(&written, reply_body(arena, &reply, &is_json));
        print_message("  %s\n", c->name);
        assert_string_equal(buf_cstr(&written), c->value);
        assert_int_equal(is_json, c->is_json);
        buf_fini(&written);
        arena_free(arena);
    }
}

static bool repeated_is_json(const char *open, const char *item, const char *close, size_t count, size_t items) {
    struct arena *arena = arena_new();
    struct buf body;
    bool is_json;
    buf_init(&body, 16 << 20);
    for (size_t i = 0; i < count; i++) buf_adds(&body, open);
    for (size_t i = 0; i < items; i++) buf_adds(&body, i ? "," : ""), buf_adds(&body, item);
    for (size_t i = 0; i < count; i++) buf_adds(&body, close);
    struct reply reply = {.phase = REPLY_ANSWERED, .body = buf_text(&body)};
    const struct json *value = reply_body(arena, &reply, &is_json);
    assert_int_equal(json_kind(value), is_json ? JSON_ARRAY : JSON_STRING);
    buf_fini(&body);
    arena_free(arena);
    return is_json;
}

/* Too deep or too many is not an error: it is text, and a rule that looks into it finds nothing. */
static void test_body_limits(void **state) {
    (void)state;
    assert_true(repeated_is_json("[", "1", "]", 128, 1));
    assert_false(repeated_is_json("[", "1", "]", 129, 1));
    assert_true(repeated_is_json("[", "1", "]", 1, 200000));
    assert_false(repeated_is_json("[", "1", "]", 1, 300000));
}

static const struct reply_header headers[] = {
    {"Location", "https://h/1"}, {"Set-Cookie", "a=1"}, {"X-Empty", ""}, {"set-cookie", "b=2"}, {"LOCATION", "second"},
};

static void test_headers(void **state) {
    (void)state;
    struct reply reply = {.headers = headers, .header_count = sizeof headers / sizeof *headers};
    assert_string_equal(reply_header(&reply, "location"), "https://h/1");
    assert_string_equal(reply_header(&reply, "x-empty"), "");
    assert_null(reply_header(&reply, "locatio"));
    assert_null(reply_header(&(struct reply){0}, "location"));
}

static void test_value(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct reply reply = {
        .phase = REPLY_ANSWERED, .code = 201, .headers = headers, .header_count = 4, .body = TEXT("{\"id\":7}")};
    struct buf written;
    buf_init(&written, 4096);
    json_write(&written, reply_value(arena, &reply));
    assert_string_equal(buf_cstr(&written), "{\"body\":{\"id\":7},\"headers\":{\"location\":\"https://h/1\","
                                            "\"set-cookie\":\"a=1, b=2\",\"x-empty\":\"\"},\"code\":201}");
    buf_fini(&written);
    arena_free(arena);
}

static void test_phase_words(void **state) {
    (void)state;
    assert_string_equal(reply_phase_word(REPLY_NEVER_SENT), "never_sent");
    assert_string_equal(reply_phase_word(REPLY_MAYBE_ACTED_ON), "maybe_acted_on");
    assert_string_equal(reply_phase_word(REPLY_ANSWERED), "answered");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body),  cmocka_unit_test(test_body_limits), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_value), cmocka_unit_test(test_phase_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
