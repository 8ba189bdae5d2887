/* HTTP-dates, by a table: the three forms of RFC 9110, 5.6.7, and what is none of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "call/http_date.h"

#define NOW 1795429692000 /* 2026-11-23T10:28:12Z */

static void test_dates(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t wall_ms; /* -1: it is none */
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777000},
        {"Sun Nov  6 08:49:37 1994", 784111777000},
        {"Sun Nov 16 08:49:37 1994", 784975777000},
        {"Mon, 23 Nov 2026 10:28:12 GMT", NOW},
        {"Monday, 23-Nov-26 10:28:12 GMT", NOW},
        {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800000},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228799000},     /* a leap second */
        {"Fri, 06 Nov 1994 08:49:37 GMT", 784111777000},      /* the wrong day: the date counts */
        {"Wednesday, 01-Jan-75 00:00:00 GMT", 3313526400000}, /* 2075: less than 50 years ahead */
        {"Saturday, 01-Jan-77 00:00:00 GMT", 220924800000},   /* 1977: 2077 would be more */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"", -1},
        {"0", -1},
        {"120", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37 +0000", -1},
        {"sun, 06 nov 1994 08:49:37 GMT", -1}, /* names have one spelling */
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 94 08:49:37 GMT", -1},
        {"Sun, 06  Nov 1994 08:49:37 GMT", -1},
        {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
        {"Thu, 29 Feb 2023 00:00:00 GMT", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMTx", -1},
        {"Sun Nov 6 08:49:37 1994", -1},
        {"Sun Nov  6 08:49:37 94", -1},
        {"1994-11-06T08:49:37Z", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t wall_ms = -1;
        bool good = http_date_parse(text_of(rows[i].text), NOW, &wall_ms);
        if (good != (rows[i].wall_ms >= 0) || (good && wall_ms != rows[i].wall_ms))
            fail_msg("\"%s\": %d, %lld", rows[i].text, good, (long long)wall_ms);
    }
}

/* Cut off anywhere, a date is none. */
static void test_pieces(void **state) {
    (void)state;
    static const char whole[] = "Sunday, 06-Nov-94 08:49:37 GMT";
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char *piece = mem_strndup(whole, len);
        int64_t wall_ms;
        assert_false(http_date_parse((struct text){piece, len}, NOW, &wall_ms));
        mem_free(piece);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dates), cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
