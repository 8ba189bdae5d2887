/* The journal: calls that end in the same way are one entry, the middle of a long one is left out, and it survives the
 * way to a record and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lang/json.h"
#include "run/journal.h"

static struct journal_note note(const char *step, int code, const char *rule, int64_t at_ms) {
    return (struct journal_note){.step = step,
                                 .call = "step",
                                 .phase = "answered",
                                 .verdict = "running",
                                 .rule = rule,
                                 .code = code,
                                 .at_ms = at_ms,
                                 .took_ms = at_ms % 10};
}

static void add(struct journal *journal, const char *step, int code, const char *rule, int64_t at_ms) {
    struct journal_note made = note(step, code, rule, at_ms);
    journal_add(journal, &made);
}

static const struct json *parse(struct arena *arena, struct buf *text) {
    struct json_limits limits = {1 << 20, 16, 10000};
    struct fault fault;
    const struct json *value = json_parse(arena, buf_text(text), &limits, &fault);
    if (!value) fail_msg("%s: %s", fault.what, buf_cstr(text));
    return value;
}

static void test_the_same_again_is_one_entry(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct journal journal = {0};
    struct buf text;
    add(&journal, "request", 201, NULL, 1000);
    for (int64_t i = 0; i < 100000; i++) add(&journal, "status", 200, "$.state is \"running\"", 2000 + i);
    add(&journal, "status", 200, "$.state is \"passed\"", 200003);
    add(&journal, "status", 200, NULL, 200004);
    add(&journal, "status", 200, "", 200005); /* nothing to say is nothing, however it is said */
    assert_int_equal(journal.count, 4);
    buf_init(&text, 1 << 20);
    journal_print(&journal, &text);
    assert_string_equal(
        buf_cstr(&text),
        "[{\"count\":1,\"step\":\"request\",\"call\":\"step\",\"first\":\"1970-01-01T00:00:01.000Z\","
        "\"last\":\"1970-01-01T00:00:01.000Z\",\"ms\":0,\"phase\":\"answered\",\"code\":201,"
        "\"verdict\":\"running\",\"rule\":null},"
        "{\"count\":100000,\"step\":\"status\",\"call\":\"step\",\"first\":\"1970-01-01T00:00:02.000Z\","
        "\"last\":\"1970-01-01T00:01:41.999Z\",\"ms\":9,\"phase\":\"answered\",\"code\":200,"
        "\"verdict\":\"running\",\"rule\":\"$.state is \\\"running\\\"\"},"
        "{\"count\":1,\"step\":\"status\",\"call\":\"step\",\"first\":\"1970-01-01T00:03:20.003Z\","
        "\"last\":\"1970-01-01T00:03:20.003Z\",\"ms\":3,\"phase\":\"answered\",\"code\":200,"
        "\"verdict\":\"running\",\"rule\":\"$.state is \\\"passed\\\"\"},"
        "{\"count\":2,\"step\":\"status\",\"call\":\"step\",\"first\":\"1970-01-01T00:03:20.004Z\","
        "\"last\":\"1970-01-01T00:03:20.005Z\",\"ms\":5,\"phase\":\"answered\",\"code\":200,"
        "\"verdict\":\"running\",\"rule\":null}]");
    buf_fini(&text);
    journal_fini(&journal);
    arena_free(arena);
}

static void test_the_middle_is_left_out(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct journal journal = {0};
    struct buf text;
    for (int i = 0; i < 1000; i++) add(&journal, "status", i % 2 ? 200 : 503, NULL, i);
    assert_int_equal(journal.count, JOURNAL_MAX);
    assert_int_equal(journal.left_out, 1000 - JOURNAL_MAX);
    buf_init(&text, 1 << 20);
    journal_write(&journal, &text);
    const struct json *entries = parse(arena, &text);
    for (int i = 0; i < JOURNAL_MAX; i++) {
        int at = i < JOURNAL_FIRST ? i : 1000 - JOURNAL_MAX + i;
        assert_int_equal(json_int(json_gets(json_at(entries, (size_t)i), "first")), at);
    }
    struct journal loaded = {0};
    struct buf again;
    journal_load(&loaded, buf_text(&text), journal.left_out);
    buf_init(&again, 1 << 20);
    journal_write(&loaded, &again);
    assert_string_equal(buf_cstr(&again), buf_cstr(&text));
    assert_int_equal(loaded.left_out, journal.left_out);
    buf_fini(&again);
    buf_fini(&text);
    journal_fini(&loaded);
    journal_fini(&journal);
    arena_free(arena);
}

/* A text of any length is told in its beginning, and no character is cut in two. */
static void test_long_rules(void **state) {
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        char rule[1200] = "";
        memset(rule, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof rule; i += 4) memcpy(rule + i, "\xF0\x9F\x9A\xAA", 4);
        struct journal journal = {0};
        struct arena *arena = arena_new();
        struct buf text;
        add(&journal, "status", 200, rule, 1);
        add(&journal, "status", 200, rule, 2);
        assert_int_equal(journal.count, 1);
        buf_init(&text, 1 << 20);
        journal_print(&journal, &text);
        assert_true(text_utf8_check(buf_text(&text)));
        const char *told = json_gets_text(json_at(parse(arena, &text), 0), "rule");
        assert_in_range(strlen(told), 396, 400);
        assert_memory_equal(told, rule, strlen(told));
        buf_fini(&text);
        journal_fini(&journal);
        arena_free(arena);
    }
}

/* Records of other versions, and of other hands. */
static void test_what_cannot_be_read(void **state) {
    (void)state;
    static const char *const texts[] = {"[]", "{}", "null", "[1, null, {}, {\"count\": 0}, {\"count\": -1}, []]",
                                        "\"x\""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct journal journal = {0};
        journal_load(&journal, text_of(texts[i]), 0);
        assert_int_equal(journal.count, 0);
        journal_load(&journal, (struct text){0}, 0);
        assert_int_equal(journal.count, 0);
        journal_fini(&journal);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_same_again_is_one_entry),
                                       cmocka_unit_test(test_the_middle_is_left_out), cmocka_unit_test(test_long_rules),
                                       cmocka_unit_test(test_what_cannot_be_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
