/* The policy of retries: every outcome of a call, idempotent or not; and how long and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "call/policy.h"

#define NEVER REPLY_NEVER_SENT
#define MAYBE REPLY_MAYBE_ACTED_ON

static const char *const words[] = {[POLICY_EXPECTED] = "expected",
                                    [POLICY_AGAIN] = "again",
                                    [POLICY_IN_DOUBT] = "in doubt",
                                    [POLICY_FAILED] = "failed"};

static void assert_policy(size_t row, const struct stage_call *call, const struct reply *reply, const char *word,
                          enum reason reason) {
    struct policy policy = policy_judge(call, reply, 0);
    if (strcmp(words[policy.answer], word) != 0 || policy.reason != reason)
        fail_msg("row %zu, %sidempotent: %s, %s", row, call->idempotent ? "" : "not ", words[policy.answer],
                 reason_word(policy.reason) ? reason_word(policy.reason) : "-");
}

static void test_what_did_not_come(void **state) {
    (void)state;
    static const struct {
        enum reply_phase phase;
        enum fault_kind fault;
        const char *idempotent, *other;
        enum reason reason, other_reason;
    } rows[] = {
        {NEVER, FAULT_UPSTREAM, "again", "again", REASON_UPSTREAM_UNREACHABLE, REASON_UPSTREAM_UNREACHABLE},
        {MAYBE, FAULT_UPSTREAM, "again", "in doubt", REASON_BAD_REPLY, REASON_IN_DOUBT},
        {NEVER, FAULT_FORBIDDEN, "failed", "failed", REASON_REFUSED_EGRESS, REASON_REFUSED_EGRESS},
        {MAYBE, FAULT_FORBIDDEN, "failed", "failed", REASON_REFUSED_EGRESS, REASON_REFUSED_EGRESS},
        {NEVER, FAULT_INVALID, "failed", "failed", REASON_INVALID_REQUEST, REASON_INVALID_REQUEST},
        {MAYBE, FAULT_TOO_LARGE, "failed", "failed", REASON_BAD_REPLY, REASON_BAD_REPLY},
        {MAYBE, FAULT_UNSUPPORTED, "failed", "failed", REASON_BAD_REPLY, REASON_BAD_REPLY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply reply = {.phase = rows[i].phase, .fault = &(struct fault){.kind = rows[i].fault}};
        struct stage_call call = {.idempotent = true};
        assert_policy(i, &call, &reply, rows[i].idempotent, rows[i].reason);
        call.idempotent = false;
        assert_policy(i, &call, &reply, rows[i].other, rows[i].other_reason);
    }
}

static void test_codes(void **state) {
    (void)state;
    static const char by_default[] = "408,425,429,5xx";
    static const struct {
        const char *on; /* NULL: not given */
        int code;
        const char *remaining; /* X-RateLimit-Remaining */
        const char *idempotent, *other;
    } rows[] = {
        {NULL, 200, NULL, "expected", "expected"},  {NULL, 299, "0", "expected", "expected"},
        {NULL, 301, NULL, "failed", "failed"},      {NULL, 400, NULL, "failed", "failed"},
        {NULL, 403, NULL, "failed", "failed"},      {NULL, 403, "5", "failed", "failed"},
        {NULL, 403, "0", "again", "again"},         {NULL, 404, "0", "failed", "failed"},
        {NULL, 408, NULL, "again", "failed"},       {NULL, 425, NULL, "again", "failed"},
        {NULL, 429, NULL, "again", "again"},        {NULL, 500, NULL, "again", "failed"},
        {NULL, 502, NULL, "again", "failed"},       {NULL, 503, NULL, "again", "failed"},
        {NULL, 504, NULL, "again", "failed"},       {NULL, 599, NULL, "again", "failed"},
        {"409", 409, NULL, "again", "again"},       {"409", 429, NULL, "failed", "failed"},
        {"409", 403, "0", "failed", "failed"},      {"409", 500, NULL, "failed", "failed"},
        {"403", 403, "5", "again", "again"},        {"429", 403, "0", "again", "again"},
        {"429,5xx", 503, NULL, "again", "again"},   {"429,5xx", 502, NULL, "again", "failed"},
        {"429,5xx", 408, NULL, "failed", "failed"}, {"408,425", 408, NULL, "again", "again"},
        {"3xx", 302, NULL, "again", "failed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply_header headers[] = {{"X-RateLimit-Remaining", rows[i].remaining}, {"X-RateLimit-Reset", "60"}};
        struct reply reply = {.phase = REPLY_ANSWERED,
                              .code = rows[i].code,
                              .headers = headers,
                              .header_count = rows[i].remaining ? 2 : 0};
        struct stage_call call = {.retry_on_given = rows[i].on != NULL};
        assert_true(code_set_parse(TEXT("2xx"), &call.expect, NULL));
        assert_true(code_set_parse(text_of(rows[i].on ? rows[i].on : by_default), &call.retry_on, NULL));
        bool expected = rows[i].code < 300;
        for (int idempotent = 0; idempotent < 2; idempotent++) {
            call.idempotent = idempotent;
            assert_policy(i, &call, &reply, idempotent ? rows[i].idempotent : rows[i].other,
                          expected ? REASON_NONE : REASON_UPSTREAM_REFUSED);
        }
    }
}

static void test_delays(void **state) {
    (void)state;
    static const struct {
        unsigned failed;
        bool endless;
        int64_t budget_ms, spent_ms, wait_ms;
        struct policy_bound bound;
        int64_t delay_ms; /* with the greatest chance; -1: no more */
        const char *why;
    } rows[] = {
        {1, false, 0, 0, -1, {0}, 1000, NULL},
        {2, false, 0, 0, -1, {0}, 2000, NULL},
        {3, false, 0, 0, -1, {0}, 4000, NULL},
        {4, false, 0, 0, -1, {0}, -1, NULL},
        {4, true, 0, 0, -1, {0}, 5000, NULL},
        {400, true, 0, 1 << 30, -1, {0}, 5000, NULL},
        {1, false, 0, 0, 60000, {0}, 60000, NULL},
        {1, false, 60000, 0, 60000, {0}, 60000, NULL},
        {1, false, 60000, 1, 60000, {0}, -1, "it asks to wait for 1m, and 59s of retry.budget (1m) are left"},
        {1, false, 60000, 0, 7200000, {0}, -1, "it asks to wait for 2h, and retry.budget is 1m"},
        {1, false, 10000, 9000, -1, {0}, 1000, NULL},
        {2, false, 10000, 9000, -1, {0}, -1, "retry.budget of 10s is used up"},
        {2, true, 10000, 9000, -1, {0}, -1, "retry.budget of 10s is used up"},
        {2, true, 10000, 9000, 500, {0}, -1, "retry.budget of 10s is used up"},
        {1, false, 10000, -50000, -1, {0}, 1000, NULL}, /* the clock was set back */
        {1, false, 0, 0, -1, {"cancel.timeout", 60000, 59000}, 1000, NULL},
        {1, false, 0, 0, -1, {"cancel.timeout", 60000, 59001}, -1, "cancel.timeout of 1m is used up"},
        {1, false, 0, 0, 30000, {"cancel.timeout", 60000, 30000}, 30000, NULL},
        {1,
         true,
         0,
         0,
         30000,
         {"cancel.timeout", 60000, 30001},
         -1,
         "it asks to wait for 30s, and 29s of cancel.timeout (1m) are left"},
        {1,
         false,
         10000,
         0,
         20000,
         {"cancel.timeout", 60000, 0},
         -1,
         "it asks to wait for 20s, and retry.budget is 10s"},
        {1,
         false,
         60000,
         0,
         20000,
         {"cancel.timeout", 10000, 0},
         -1,
         "it asks to wait for 20s, and cancel.timeout is 10s"},
        {4, false, 0, 0, -1, {"cancel.timeout", 60000, 0}, -1, NULL},
        {1, false, 0, 0, -1, {"cancel.timeout", 0, 90000}, 1000, NULL}, /* there is none */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct stage_call call = {.retry_attempts = 3,
                                  .retry_delay_ms = 1000,
                                  .retry_max_delay_ms = 5000,
                                  .retry_budget_ms = rows[i].budget_ms};
        struct policy_try one = {.failed = rows[i].failed,
                                 .since_ms = 1000000,
                                 .now_ms = 1000000 + rows[i].spent_ms,
                                 .wait_ms = rows[i].wait_ms,
                                 .endless = rows[i].endless,
                                 .bound = rows[i].bound,
                                 .random = UINT32_MAX};
        const char *why;
        int64_t delay_ms = policy_delay_ms(arena, &call, &one, &why);
        if (delay_ms != rows[i].delay_ms || !why != !rows[i].why || (why && strcmp(why, rows[i].why) != 0))
            fail_msg("row %zu: %lld, %s", i, (long long)delay_ms, why ? why : "-");
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_did_not_come),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_delays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
