/* Names in a file of Spring's: which spellings are one, where a setting stands, and where it stands twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "orca/spring.h"

static void test_keys(void **state) {
    (void)state;
    static const struct {
        const char *key, *name;
        bool same;
    } rows[] = {
        {"statusUrlJsonPath", "statusUrlJsonPath", true},
        {"status-url-json-path", "statusUrlJsonPath", true},
        {"STATUS_URL_JSON_PATH", "statusUrlJsonPath", true},
        {"StatusURLJsonPath", "statusUrlJsonPath", true},
        {"statusUrlJsonPaths", "statusUrlJsonPath", false},
        {"statusUrlJson", "statusUrlJsonPath", false},
        {"status.url", "statusUrl", false},
        {"", "url", false},
        {"-_url_", "url", true},
        {"u rl", "url", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (spring_key_is(text_of(rows[i].key), rows[i].name) != rows[i].same) fail_msg("row %zu", i);
}

static void test_ends_of_paths(void **state) {
    (void)state;
    static const struct {
        const char *path, *name, *before; /* before NULL: it does not end so */
    } rows[] = {
        {"webhook", "webhook", ""},         {"a.b.Web-Hook", "webhook", "a.b"}, {".webhook", "webhook", ""},
        {"webhook.", "webhook", NULL},      {"awebhook", "webhook", NULL},      {"", "webhook", NULL},
        {"webhook.trust", "webhook", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text before;
        bool ends = spring_path_ends(text_of(rows[i].path), rows[i].name, &before);
        if (ends != (rows[i].before != NULL)) fail_msg("row %zu", i);
        if (ends && !text_is(before, rows[i].before)) fail_msg("row %zu: %.*s", i, TEXT_ARG(before));
    }
}

static void test_mentions(void **state) {
    (void)state;
    assert_true(spring_mentions(TEXT("a: 1\nPre-Configured: []"), "preconfigured"));
    assert_false(spring_mentions(TEXT("pre configured, preconf"), "preconfigured"));
    assert_false(spring_mentions(TEXT(""), "preconfigured"));
}

static void test_paths(void **state) {
    (void)state;
    static const struct {
        const char *source;
        size_t count;
        int lines[2]; /* of the keys */
    } rows[] = {
        {"a: {b: 1}", 1, {1}},
        {"a.b: 1", 1, {1}},
        {"A:\n  B-: 1\n  b: 2\n", 2, {2, 3}},
        {"A:\n  b: 1\na:\n  B: 2\n", 2, {2, 4}},
        {"a:\n  b: 1\n\"a.b\": 1\n", 2, {2, 3}},
        {"a:\n  b: 1\n  B: 1\na.b: 1\n", 2, {2, 3}},
        {"a: [b]", 0, {0}},
        {"a: b", 0, {0}},
        {"a.b.c: 1", 0, {0}},
        {"[a]", 0, {0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct yaml **documents;
        struct fault fault;
        size_t count;
        if (!yaml_read(arena, text_of(rows[i].source), "a.yml", &documents, &count, &fault)) fail_msg("%s", fault.what);
        struct spring_found found = spring_paths(documents[0], "a", "b");
        assert_int_equal(found.count, rows[i].count);
        for (size_t j = 0; j < found.count; j++) assert_int_equal(found.pairs[j]->key->line, rows[i].lines[j]);
        assert_ptr_equal(spring_find(documents[0], "a", "b"), found.count ? found.pairs[0]->value : NULL);
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_ends_of_paths),
        cmocka_unit_test(test_mentions),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
