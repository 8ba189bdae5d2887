/* Exchanges by tables: paths, queries, headers, and answers on the wire. */
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

static void test_headers(void **state) {
    (void)state;
    struct guard_header third = {NULL, TEXT("A"), TEXT("2")}, second = {&third, TEXT("X-b"), TEXT("")},
                        first = {&second, TEXT("a"), TEXT("1")};
    struct exchange exchange = {.headers = &first};
    assert_string_equal(exchange_header(&exchange, "A"), "1");
    assert_string_equal(exchange_header(&exchange, "x-B"), "");
    assert_null(exchange_header(&exchange, "x"));
}

#define TOP(status) "HTTP/1.1 " status "\r\nServer: stagedoor\r\nDate: now\r\n"

static void test_answers(void **state) {
    (void)state;
    static const struct {
        struct answer answer;
        struct answer_wire wire;
        const char *expected;
    } rows[] = {
        {{.status = 200, .content_type = "text/plain", .body = {"hi", 2}},
         {.minor = 1, .keep_alive = true},
         TOP("200 OK") "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"},
        {{.status = 200, .content_type = "multipart/mixed", .body = {"hi", 2}},
         {.minor = 1, .keep_alive = true, .head_only = true},
         TOP("200 OK") "Content-Type: multipart/mixed\r\nContent-Length: 2\r\n\r\n"},
        {{.status = 200},
         {.minor = 0, .keep_alive = true},
         TOP("200 OK") "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
        {{.status = 422},
         {.minor = 1},
         TOP("422 Unprocessable Content") "Content-Length: 0\r\nConnection: close\r\n\r\n"},
        {{.status = 599}, {.minor = 0}, TOP("599 Status") "Content-Length: 0\r\nConnection: close\r\n\r\n"},
        {{.status = 204, .content_type = "text/plain", .body = {"hi", 2}},
         {.minor = 1, .keep_alive = true},
         TOP("204 No Content") "\r\n"},
        {{.status = 304}, {.minor = 1, .keep_alive = true}, TOP("304 Not Modified") "\r\n"},
        {{.status = 202, .headers = {{"Location", "/x"}, {"Retry-After", "1"}}, .header_count = 2},
         {.minor = 1, .keep_alive = true},
         TOP("202 Accepted") "Content-Length: 0\r\nLocation: /x\r\nRetry-After: 1\r\n\r\n"},
        /* what would split or contradict the answer is not sent */
        {{.status = 202,
          .headers = {{"Location", "/x\r\nA: b"},
                      {"A\nB", "c"},
                      {"", "x"},
                      {"content-length", "9"},
                      {"Connection", "upgrade"},
                      {"Transfer-Encoding", "chunked"},
                      {"B", "d\x01"},
                      {"C", "e"}},
          .header_count = 8},
         {.minor = 1, .keep_alive = true},
         TOP("202 Accepted") "Content-Length: 0\r\nC: e\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 1000);
        struct answer_wire wire = rows[i].wire;
        wire.date = "now";
        answer_write(&out, &rows[i].answer, &wire);
        assert_string_equal(buf_cstr(&out), rows[i].expected);
        buf_fini(&out);
    }
}

static void test_dates(void **state) {
    (void)state;
    char date[ANSWER_DATE_SIZE];
    answer_date(784111777000, date); /* the example of RFC 9110, 5.6.7 */
    assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    answer_date(1709210096999, date);
    assert_string_equal(date, "Thu, 29 Feb 2024 12:34:56 GMT");
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
        cmocka_unit_test(test_paths),   cmocka_unit_test(test_queries), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_answers), cmocka_unit_test(test_dates),   cmocka_unit_test(test_answer_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
