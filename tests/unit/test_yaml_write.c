/* YAML: what every value looks like, and that it is read back as what it was, also by libyaml itself. That YAML 1.1
 * reads it so is for the end-to-end tests, which have another reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "orca/yaml_read.h"
#include "orca/yaml_write.h"

struct row {
    const char *json, *yaml;
};

static const struct row rows[] = {
    {"{\"a\": \"Load test\"}", "a: Load test\n"},
    {"{\"a\": \"Runs, and waits. (Twice)\"}", "a: Runs, and waits. (Twice)\n"},
    {"{\"a\": \"http://gw.ops.svc:8095/stages/x\"}", "a: http://gw.ops.svc:8095/stages/x\n"},
    {"{\"a\": \"$.status\"}", "a: $.status\n"},
    {"{\"a\": \"\"}", "a: ''\n"},
    {"{\"a\": \"no\"}", "a: 'no'\n"},
    {"{\"a\": \"On\"}", "a: 'On'\n"},
    {"{\"a\": \"~\"}", "a: '~'\n"},
    {"{\"a\": \"null\"}", "a: 'null'\n"},
    {"{\"a\": \"50\"}", "a: '50'\n"},
    {"{\"a\": \"1_000\"}", "a: '1_000'\n"},
    {"{\"a\": \"12:30\"}", "a: '12:30'\n"},
    {"{\"a\": \".5\"}", "a: '.5'\n"},
    {"{\"a\": \"a: b\"}", "a: 'a: b'\n"},
    {"{\"a\": \"a #b\"}", "a: 'a #b'\n"},
    {"{\"a\": \"a:\"}", "a: 'a:'\n"},
    {"{\"a\": \"it's\"}", "a: 'it''s'\n"},
    {"{\"a\": \"x \"}", "a: 'x '\n"},
    {"{\"a\": \"\\u00e9\"}", "a: 'é'\n"},
    {"{\"a\": \"a\\tb\"}", "a: \"a\\tb\"\n"},
    {"{\"a\": \"\\u2028\"}", "a: \"\\L\"\n"},
    {"{\"a\": \"x\\u0085y\"}", "a: \"x\\Ny\"\n"},
    {"{\"a\": \"one\\ntwo\\n\"}", "a: |\n  one\n  two\n"},
    {"{\"a\": \"one\\ntwo\"}", "a: |-\n  one\n  two\n"},
    {"{\"a\": \"one\\n\\n\"}", "a: \"one\\n\\n\"\n"},
    {"{\"a\": \"one \\ntwo\"}", "a: \"one \\ntwo\"\n"},
    {"{\"a\": true, \"b\": null, \"c\": -7, \"d\": 0}", "a: true\nb: null\nc: -7\nd: 0\n"},
    {"{\"a\": [501, 504], \"b\": [\"application/json\", \"a, b\", \"x:y\"], \"c\": []}",
     "a: [501, 504]\nb: [application/json, 'a, b', 'x:y']\nc: []\n"},
    {"{\"a\": [{\"b\": 1, \"c\": {\"d\": [2]}}, {\"b\": 3}]}", "a:\n- b: 1\n  c:\n    d: [2]\n- b: 3\n"},
    {"{\"no\": {\"a, b\": 1}}", "'no':\n  'a, b': 1\n"},
    {"{\"Content-Type\": {\"${x}\": \"y\"}}", "Content-Type:\n  '${x}': 'y'\n"},
    {"[]", "[]\n"},
    {"{}", "{}\n"},
};

static void write(struct arena *arena, const char *json, struct buf *out) {
    struct json_limits limits = {1 << 20, 64, 1000};
    struct fault fault;
    const struct json *value = json_parse(arena, text_of(json), &limits, &fault);
    assert_non_null(value);
    assert_true(yaml_write(out, value));
}

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct buf out;
        buf_init(&out, 1 << 20);
        write(arena, rows[i].json, &out);
        assert_string_equal(buf_cstr(&out), rows[i].yaml);
        buf_fini(&out);
        arena_free(arena);
    }
}

/* Every text of up to three of these comes back. */
static void test_texts_come_back(void **state) {
    static const char *const pieces[] = {"",  "a", " ", "\n", "\t", ":", "#", "-", "'",        "\"",           "\\",
                                         "{", "|", "~", "0",  ",",  "?", "é", "😀", "\xC2\x85", "\xE2\x80\xA9", "\r"};
    enum { COUNT = sizeof pieces / sizeof *pieces };
    (void)state;
    for (size_t n = 0; n < (size_t)COUNT * COUNT * COUNT; n++) {
        struct arena *arena = arena_new();
        struct fault fault;
        struct yaml **documents;
        size_t count;
        struct buf out;
        buf_init(&out, 1 << 20);
        const char *text = arena_printf(arena, "%s%s%s", pieces[n % COUNT], pieces[n / COUNT % COUNT],
                                        pieces[n / COUNT / COUNT]);
        struct json *value = json_new_object(arena), *list = json_new_array(arena);
        json_push(list, json_new_string(arena, text));
        json_set(value, "a", json_new_string(arena, text));
        json_set(value, "b", list);
        assert_true(yaml_write(&out, value));
        if (!yaml_read(arena, buf_text(&out), "it", &documents, &count, &fault)) fail_msg("%s\n%s", fault.what, out.at);
        const struct yaml *a = yaml_get(documents[0], "a"), *b = yaml_get(documents[0], "b");
        if (!text_is(a->text, text) || !text_is(b->items[0]->text, text)) fail_msg("%s", buf_cstr(&out));
        buf_fini(&out);
        arena_free(arena);
    }
}

static void test_a_ceiling_is_told(void **state) {
    (void)state;
    for (size_t max = 0; max < 40; max++) {
        struct arena *arena = arena_new();
        struct buf out;
        struct json *value = json_new_object(arena);
        json_set(value, "a", json_new_string(arena, "a text of thirty-three characters"));
        buf_init(&out, max);
        assert_int_equal(yaml_write(&out, value), max >= 37);
        buf_fini(&out);
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_texts_come_back),
        cmocka_unit_test(test_a_ceiling_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
