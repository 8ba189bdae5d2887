/* What upstreams ask for, by tables of headers as they are seen in the wild. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "call/asked.h"

#define NOW 1795429692000 /* 2026-11-23T10:28:12Z */

struct row {
    int code;
    struct reply_header headers[4];
    int64_t wait_ms, hold_ms;
    bool limited;
};

static void check(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct reply reply = {.phase = REPLY_ANSWERED, .code = rows[i].code, .headers = rows[i].headers};
        while (reply.header_count < 4 && rows[i].headers[reply.header_count].name) reply.header_count++;
        int64_t wait_ms = asked_wait_ms(&reply, NOW), hold_ms = asked_hold_ms(&reply, NOW);
        bool limited = asked_is_limited(&reply);
        if (wait_ms != rows[i].wait_ms || hold_ms != rows[i].hold_ms || limited != rows[i].limited)
            fail_msg("row %zu: wait %lld, hold %lld, limited %d", i, (long long)wait_ms, (long long)hold_ms, limited);
        reply.phase = REPLY_MAYBE_ACTED_ON;
        assert_int_equal(asked_wait_ms(&reply, NOW), -1);
        assert_int_equal(asked_hold_ms(&reply, NOW), -1);
        assert_false(asked_is_limited(&reply));
    }
}

static void test_retry_after(void **state) {
    (void)state;
    static const struct row rows[] = {
        {429, {{0}}, -1, -1, true},
        {429, {{"Retry-After", "0"}}, 0, 0, true},
        {429, {{"retry-after", "17"}}, 17000, 17000, true},
        {429, {{"Retry-After", " 17 "}}, 17000, 17000, true},
        {429, {{"Retry-After", "86400"}}, ASKED_MAX_MS, ASKED_MAX_MS, true},
        {429, {{"Retry-After", "86401"}}, ASKED_MAX_MS, ASKED_MAX_MS, true},
        {429, {{"Retry-After", "99999999999999999999999"}}, ASKED_MAX_MS, ASKED_MAX_MS, true},
        {429, {{"Retry-After", "-1"}}, -1, -1, true},
        {429, {{"Retry-After", "1.5"}}, -1, -1, true},
        {429, {{"Retry-After", ""}}, -1, -1, true},
        {429, {{"Retry-After", "soon"}}, -1, -1, true},
        {429, {{"Retry-After", "Mon, 23 Nov 2026 10:28:42 GMT"}}, 30000, 30000, true},
        {429, {{"Retry-After", "Monday, 23-Nov-26 10:28:42 GMT"}}, 30000, 30000, true},
        {429, {{"Retry-After", "Mon Nov 23 10:28:42 2026"}}, 30000, 30000, true},
        {429, {{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}}, 0, 0, true},
        {429, {{"Retry-After", "Tue, 23 Nov 2027 10:28:42 GMT"}}, ASKED_MAX_MS, ASKED_MAX_MS, true},
        /* the upstream's clock is an hour ahead, and it says so */
        {429,
         {{"Retry-After", "Mon, 23 Nov 2026 11:28:42 GMT"}, {"Date", "Mon, 23 Nov 2026 11:28:12 GMT"}},
         30000,
         30000,
         true},
        {503, {{"Retry-After", "5"}}, 5000, 5000, false},
        {503, {{0}}, -1, -1, false},
        {202, {{"Retry-After", "5"}}, 5000, -1, false}, /* when this work is worth another look: no matter of others */
        {301, {{"Retry-After", "5"}}, 5000, -1, false},
    };
    check(rows, sizeof rows / sizeof *rows);
}

static void test_limits(void **state) {
    (void)state;
    static const struct row rows[] = {
        /* GitHub: the primary limit, a permission that is missing, the secondary limit, the last call that was left */
        {403, {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "1795429752"}}, 60000, 60000, true},
        {403, {{"X-RateLimit-Remaining", "4999"}, {"X-RateLimit-Reset", "1795429752"}}, -1, -1, false},
        {403, {{"X-RateLimit-Remaining", "4999"}, {"Retry-After", "60"}}, 60000, 60000, true},
        {200, {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "1795429752"}}, 60000, 60000, false},
        {200, {{"X-RateLimit-Remaining", "12"}, {"X-RateLimit-Reset", "1795429752"}}, -1, -1, false},
        {403, {{0}}, -1, -1, false},
        /* its clock is a minute behind */
        {429,
         {{"X-RateLimit-Remaining", "0"},
          {"X-RateLimit-Reset", "1795429692"},
          {"Date", "Mon, 23 Nov 2026 10:27:12 GMT"}},
         60000,
         60000,
         true},
        {429, {{"X-RateLimit-Reset", "1795429702"}}, 10000, 10000, true},
        {429, {{"X-RateLimit-Remaining", "3"}, {"X-RateLimit-Reset", "1795429702"}}, -1, -1, true},
        {200, {{"X-RateLimit-Reset", "1795429702"}}, -1, -1, false},
        {429, {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "30"}}, 30000, 30000, true}, /* seconds to wait */
        {429, {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "1000"}}, 1000000, 1000000, true},
        {429,
         {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "9999999999999"}},
         ASKED_MAX_MS,
         ASKED_MAX_MS,
         true},
        {429, {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "rubbish"}}, -1, -1, true},
        {429, {{"X-RateLimit-Remaining", "none"}, {"X-RateLimit-Reset", "30"}}, 30000, 30000, true},
        {429, {{"RateLimit-Remaining", "0"}, {"RateLimit-Reset", "7"}}, 7000, 7000, true},
        {429, {{"RateLimit-Reset", "7"}}, 7000, 7000, true},
        {200, {{"RateLimit-Remaining", "0"}, {"RateLimit-Reset", "7"}}, 7000, 7000, false},
        {200, {{"RateLimit-Remaining", "1"}, {"RateLimit-Reset", "7"}}, -1, -1, false},
        {429, {{"RateLimit", "\"default\";r=0;t=30"}}, 30000, 30000, true},
        {429, {{"RateLimit", "\"default\"; r=0; t=30"}}, 30000, 30000, true},
        {200, {{"RateLimit", "\"default\";r=50;t=30"}}, -1, -1, false},
        {200, {{"RateLimit", "\"burst\";r=0;t=5, \"daily\";r=0;t=500"}}, 500000, 500000, false},
        {200, {{"RateLimit", "\"burst\";r=0;t=5, \"daily\";r=9;t=500"}}, 5000, 5000, false},
        {200, {{"RateLimit", "\"daily\";r=9;t=500, \"burst\";r=0;t=5"}}, 5000, 5000, false},
        {200, {{"RateLimit", "limit=100, remaining=0, reset=50"}}, 50000, 50000, false},
        {200, {{"RateLimit", "limit=100, remaining=1, reset=50"}}, -1, -1, false},
        {429, {{"RateLimit", "\"default\";t=30"}}, 30000, 30000, true},
        {429, {{"RateLimit", ";;=;r=;t=,,"}}, -1, -1, true},
        /* Retry-After knows best */
        {429, {{"Retry-After", "3"}, {"RateLimit", "\"default\";r=0;t=30"}}, 3000, 3000, true},
        {200, {{"Retry-After", "3"}, {"RateLimit", "\"default\";r=0;t=30"}}, 3000, 30000, false},
    };
    check(rows, sizeof rows / sizeof *rows);
}

static void test_values(void **state) {
    (void)state;
    static const struct {
        const char *json;
        int64_t wait_ms;
    } rows[] = {
        {"0", 0},
        {"17", 17000},
        {"0.25", 250},
        {"86399.5", 86399500},
        {"86400", ASKED_MAX_MS},
        {"1e300", ASKED_MAX_MS},
        {"9223372036854775807", ASKED_MAX_MS},
        {"-1", -1},
        {"-0.5", -1},
        {"\"17\"", 17000},
        {"\" 17 \"", 17000},
        {"\"99999999999999999999\"", ASKED_MAX_MS},
        {"\"Mon, 23 Nov 2026 10:28:42 GMT\"", 30000},
        {"\"Sun, 06 Nov 1994 08:49:37 GMT\"", 0},
        {"\"\"", -1},
        {"\"soon\"", -1},
        {"\"1.5\"", -1},
        {"null", -1},
        {"true", -1},
        {"[5]", -1},
        {"{}", -1},
    };
    static const struct reply reply = {.phase = REPLY_ANSWERED, .code = 200};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct json_limits limits = {1000, 10, 100};
        const struct json *value = json_parse(arena, text_of(rows[i].json), &limits, NULL);
        assert_non_null(value);
        int64_t wait_ms = asked_value_ms(value, &reply, NOW);
        if (wait_ms != rows[i].wait_ms) fail_msg("%s: %lld", rows[i].json, (long long)wait_ms);
        arena_free(arena);
    }
    assert_int_equal(asked_value_ms(NULL, &reply, NOW), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_retry_after), cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
