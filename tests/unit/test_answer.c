/* Answers by tables: the bytes that a client gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "front/answer.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
