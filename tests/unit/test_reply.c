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
        json_write(&written, reply_body(arena, &reply, NULL, &is_json));
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
    const struct json *value = reply_body(arena, &reply, NULL, &is_json);
    assert_int_equal(json_kind(value), is_json ? JSON_ARRAY : JSON_STRING);
    buf_fini(&body);
    arena_free(arena);
    return is_json;
}

/* Of an object nobody makes what nobody wants; anything else is there whole. */
static void test_body_wanted(void **state) {
    (void)state;
    static const struct json_name names[] = {{&names[1], {"state", 5}}, {NULL, {"caf\u00e9", 5}}};
    static const struct json_wanted some = {.names = names}, none = {0}, all = {.all = true, .names = names};
    static const struct {
        const char *body;
        const struct json_wanted *wanted;
        bool is_json;
        const char *value;
    } cases[] = {
        {"{\"state\": \"done\", \"n\": 1}", NULL, true, "{\"state\":\"done\",\"n\":1}"},
        {"{\"state\": \"done\", \"n\": 1}", &all, true, "{\"state\":\"done\",\"n\":1}"},
        {"{\"state\": \"done\", \"n\": 1}", &none, true, "{}"},
        {"{\"n\": [1, {\"state\": 2}], \"state\": {\"n\": 3}, \"m\": -1e5}", &some, true, "{\"state\":{\"n\":3}}"},
        {"{\"st\\u0061te\": 1, \"States\": 2, \"caf\\u00e9\": \"\\n\"}", &some, true,
         "{\"state\":1,\"caf\u00e9\":\"\\n\"}"},
        {"[{\"n\": 1}]", &some, true, "[{\"n\":1}]"},
        {"12", &none, true, "12"},
        {"{\"n\": 1, \"n\": 2}", &some, true, "{}"}, /* which is nobody's concern */
        {"{\"state\": 1, \"state\": 2}", &some, false, NULL},
        {"{\"n\": 01}", &some, false, NULL},
        {"{\"n\": \"\xff\"}", &some, false, NULL},
        {"{\"n\": \"\\ud800\"}", &some, false, NULL},
        {"{\"n\": [1, 2}", &some, false, NULL},
        {"{\"n\": ", &some, false, NULL},
        {"{\"n\": 1", &some, false, NULL},
        {"{\"n\": 1 2}", &some, false, NULL},
        {"{\"n\" 1}", &some, false, NULL},
        {"{\"n\": , \"state\": 1}", &some, false, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new();
        struct reply reply = {.phase = REPLY_ANSWERED, .body = text_of(cases[i].body)};
        struct buf written;
        bool is_json;
        buf_init(&written, 4096);
        const struct json *value = reply_body(arena, &reply, cases[i].wanted, &is_json);
        json_write(&written, value);
        if (is_json != cases[i].is_json) fail_msg("%s", cases[i].body);
        if (is_json) assert_string_equal(buf_cstr(&written), cases[i].value);
        else assert_int_equal(json_kind(value), JSON_STRING);
        buf_fini(&written);
        arena_free(arena);
    }
}

/* A part that is passed over may be as deep as any other one. */
static void test_wanted_depth(void **state) {
    (void)state;
    static const struct json_wanted none = {0};
    for (size_t depth = 126; depth < 130; depth++) {
        struct arena *arena = arena_new();
        struct buf body;
        bool is_json, all_is_json;
        buf_init(&body, 4096);
        buf_adds(&body, "{\"n\": ");
        for (size_t i = 1; i < depth; i++) buf_addc(&body, '[');
        for (size_t i = 1; i < depth; i++) buf_addc(&body, ']');
        buf_addc(&body, '}');
        struct reply reply = {.phase = REPLY_ANSWERED, .body = buf_text(&body)};
        reply_body(arena, &reply, &none, &is_json);
        reply_body(arena, &reply, NULL, &all_is_json);
        assert_int_equal(is_json, all_is_json);
        assert_int_equal(is_json, depth <= 128);
        buf_fini(&body);
        arena_free(arena);
    }
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
        cmocka_unit_test(test_body),        cmocka_unit_test(test_body_wanted), cmocka_unit_test(test_wanted_depth),
        cmocka_unit_test(test_body_limits), cmocka_unit_test(test_headers),     cmocka_unit_test(test_value),
        cmocka_unit_test(test_phase_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
