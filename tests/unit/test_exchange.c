/* Exchanges by tables: paths, queries, headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "front/exchange.h"
#include "front/guard.h"

struct path_row {
    const char *path;
    const char *expected; /* segments in brackets, or a word of the refusal with '!' in front */
};

static void test_paths(void **state) {
    (void)state;
    static const struct path_row rows[] = {
        {"/", ""},
        {"/runs", "[runs]"},
        {"/runs/", "[runs]"},
        {"/runs/x%20y", "[runs][x y]"},
        {"/runs/%41%7a", "[runs][Az]"},
        {"/a+b", "[a+b]"},
        {"/a%25b", "[a%b]"},
        {"/a%252fb", "[a%2fb]"},
        {"/a;b=c,d:e@f", "[a;b=c,d:e@f]"},
        {"/%c3%a4/%F0%9F%98%80", "[\xc3\xa4][\xf0\x9f\x98\x80]"},
        {"/...", "[...]"},
        {"/.a", "[.a]"},
        {"/a/b/c/d/e", "[a][b][c][d][e]"},
        {"//", "!empty"},
        {"//a", "!empty"},
        {"/a//b", "!empty"},
        {"/a//", "!empty"},
        {"/.", "!'.'"},
        {"/..", "!'..'"},
        {"/a/../b", "!'..'"},
        {"/a/./b", "!'.'"},
        {"/a/%2e%2E/b", "!'..'"},
        {"/%2e", "!'.'"},
        {"/.%2e/", "!'..'"},
        {"/a%2fb", "!slash"},
        {"/a%2Fb", "!slash"},
        {"/%2f", "!slash"},
        {"/a%5cb", "!backslash"},
        {"/a\\b", "!backslash"},
        {"/a#b", "!#"},
        {"/a%00b", "!control"},
        {"/%0d%0a", "!control"},
        {"/%7f", "!control"},
        {"/a%", "!escape"},
        {"/a%4", "!escape"},
        {"/a%4/b", "!escape"},
        {"/a%zz", "!escape"},
        {"/%-1", "!escape"},
        {"/%ff", "!UTF-8"},
        {"/%c0%af", "!UTF-8"},
        {"/%ed%a0%80", "!UTF-8"},
        {"a", "!begin"},
        {"", "!begin"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *arena = arena_new();
        const struct text *segments = NULL;
        size_t count = 0;
        const char *what = NULL;
        bool fine = exchange_split_path(arena, text_of(rows[i].path), &segments, &count, &what);
        struct buf got;
        buf_init(&got, 1000);
        for (size_t j = 0; fine && j < count; j++) buf_addf(&got, "[%.*s]", TEXT_ARG(segments[j]));
        if (rows[i].expected[0] == '!') {
            if (fine) print_error("%s gave %s\n", rows[i].path, buf_cstr(&got));
            assert_false(fine);
            if (!strstr(what, rows[i].expected + 1)) print_error("%s: %s\n", rows[i].path, what);
            assert_non_null(strstr(what, rows[i].expected + 1));
        } else {
            if (!fine) print_error("%s: %s\n", rows[i].path, what);
            assert_true(fine);
            assert_string_equal(buf_cstr(&got), rows[i].expected);
        }
        buf_fini(&got);
        arena_free(arena);
    }
}

static void test_queries(void **state) {
    (void)state;
    static const struct {
        const char *query, *name, *expected;
    } rows[] = {
        {"a=1&b=2", "a", "1"},  {"a=1&b=2", "b", "2"},
        {"a=1&b=2", "c", NULL}, {"a=1&a=2", "a", "1"},
        {"aa=1&a=2", "a", "2"}, {"a", "a", ""},
        {"a=", "a", ""},        {"a&b=2", "b", "2"},
        {"a=b=c", "a", "b=c"},  {"a=x+y%20z%2B", "a", "x y z+"},
        {"%61=1", "a", "1"},    {"a%20b=1", "a b", "1"},
        {"&&a=1&", "a", "1"},   {"a=%c3%a4", "a", "\xc3\xa4"},
        {"", "a", NULL},        {"a=%", "a", NULL},
        {"a=%4", "a", NULL},    {"a=%gg", "a", NULL},
        {"a=%00", "a", NULL},   {"a=x%00y", "a", NULL},
        {"a=%ff", "a", NULL},   {"%zz=1&a=2", "a", "2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *arena = arena_new();
        struct exchange exchange = {.arena = arena, .query = text_of(rows[i].query)};
        const char *got = exchange_query(&exchange, rows[i].name);
        if (!got != !rows[i].expected) print_error("%s: %s\n", rows[i].query, got ? got : "NULL");
        if (rows[i].expected) assert_string_equal(got, rows[i].expected);
        else assert_null(got);
        arena_free(arena);
    }
    struct exchange none = {0};
    assert_null(exchange_query(&none, "a"));
}

static void test_query_check(void **state) {
    (void)state;
    static const struct {
        const char *query, *refused; /* a word of the refusal; NULL: it is fine */
    } rows[] = {
        {"", NULL},         {"a=1&b=x+y%20z", NULL}, {"a=%c3%a4", NULL},  {"&&=&a", NULL},  {"a=%", "escape"},
        {"a=%4", "escape"}, {"a=%gg&b=1", "escape"}, {"%zz=1", "escape"}, {"a=%00", "NUL"}, {"b=1&a=%ff", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *arena = arena_new();
        const char *what = NULL;
        bool fine = exchange_check_query(arena, text_of(rows[i].query), &what);
        if (fine != !rows[i].refused) print_error("%s\n", rows[i].query);
        assert_int_equal(fine, !rows[i].refused);
        if (rows[i].refused) assert_non_null(strstr(what, rows[i].refused));
        arena_free(arena);
    }
}

static void test_headers(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum http_header header;
    } rows[] = {
#define X(id, letter, name) {name, HTTP_HEADER_##id},
        HTTP_HEADERS(X)
#undef X
            {"hOST", HTTP_HEADER_HOST},
        {"content-type", HTTP_HEADER_CONTENT_TYPE},
        {"CONTENT-LENGTH", HTTP_HEADER_CONTENT_LENGTH},
        {"TraceParent", HTTP_HEADER_TRACEPARENT},
        {"", HTTP_HEADER_END},
        {"x", HTTP_HEADER_END},
        {"hos", HTTP_HEADER_END},
        {"Hosts", HTTP_HEADER_END},
        {"Hose", HTTP_HEADER_END},
        {"Content\x0dType", HTTP_HEADER_END},
        {"X-Deadlines", HTTP_HEADER_END},
        {"\xe9xpect", HTTP_HEADER_END},
        {"User-Agent", HTTP_HEADER_END},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (http_header_of(text_of(rows[i].name)) != rows[i].header) fail_msg("row %zu", i);
    const char *known[HTTP_HEADER_END] = {[HTTP_HEADER_HOST] = "gw", [HTTP_HEADER_PREFER] = ""};
    struct exchange exchange = {.known = known};
    assert_string_equal(exchange_header(&exchange, HTTP_HEADER_HOST), "gw");
    assert_string_equal(exchange_header(&exchange, HTTP_HEADER_PREFER), "");
    assert_null(exchange_header(&exchange, HTTP_HEADER_EXPECT));
}

static int sent;

static void count_send(struct exchange *exchange, const struct answer *answer) {
    assert_null(exchange->on_gone);
    sent = answer->status;
}

static void test_answer_is_sent(void **state) {
    (void)state;
    struct exchange exchange = {.send = count_send};
    exchange_answer(&exchange, &(struct answer){.status = 202});
    assert_int_equal(sent, 202);
    assert_null(exchange.send);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),   cmocka_unit_test(test_queries),        cmocka_unit_test(test_query_check),
        cmocka_unit_test(test_headers), cmocka_unit_test(test_answer_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
