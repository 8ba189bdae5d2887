/* Retries by phase, as a table: what became of a call, and whether it is idempotent, give what may be done.
 *
 * A call that is not idempotent is made again only where it cannot have been acted on: it was never sent, or the answer
 * itself says so. Codes are listed by the definition (`on`); of a call that is not idempotent only those of them count
 * that are harmless, and by default none but 429. What an upstream asks for is waited for, as far as the budget goes:
 * where it does not, to wait for nothing would be a waste, and to come too early bad manners. */
#include "call/policy.h"

#include "call/asked.h"
#include "call/pace.h"
#include "lang/units.h"

enum outcome {
    OUTCOME_NEVER_SENT,
    OUTCOME_MAYBE_ACTED_ON,
    OUTCOME_NOT_ALLOWED, /* it leads where the definition does not allow */
    OUTCOME_UNSENDABLE,
    OUTCOME_NO_REPLY, /* what came was too large, or is not HTTP: it would come again */
    OUTCOME_EXPECTED,
    OUTCOME_LISTED, /* by `on`, or its default */
    OUTCOME_LISTED_HARMLESS,
    OUTCOME_REFUSED
};

struct row {
    enum policy_answer answer;
    enum reason reason;
};

static const struct row table[][2] = {
    /*                           not idempotent                                idempotent */
    [OUTCOME_NEVER_SENT] = {{POLICY_AGAIN, REASON_UPSTREAM_UNREACHABLE}, {POLICY_AGAIN, REASON_UPSTREAM_UNREACHABLE}},
    [OUTCOME_MAYBE_ACTED_ON] = {{POLICY_IN_DOUBT, REASON_IN_DOUBT}, {POLICY_AGAIN, REASON_BAD_REPLY}},
    [OUTCOME_NOT_ALLOWED] = {{POLICY_FAILED, REASON_REFUSED_EGRESS}, {POLICY_FAILED, REASON_REFUSED_EGRESS}},
    [OUTCOME_UNSENDABLE] = {{POLICY_FAILED, REASON_INVALID_REQUEST}, {POLICY_FAILED, REASON_INVALID_REQUEST}},
    [OUTCOME_NO_REPLY] = {{POLICY_FAILED, REASON_BAD_REPLY}, {POLICY_FAILED, REASON_BAD_REPLY}},
    [OUTCOME_EXPECTED] = {{POLICY_EXPECTED, REASON_NONE}, {POLICY_EXPECTED, REASON_NONE}},
    [OUTCOME_LISTED] = {{POLICY_FAILED, REASON_UPSTREAM_REFUSED}, {POLICY_AGAIN, REASON_UPSTREAM_REFUSED}},
    [OUTCOME_LISTED_HARMLESS] = {{POLICY_AGAIN, REASON_UPSTREAM_REFUSED}, {POLICY_AGAIN, REASON_UPSTREAM_REFUSED}},
    [OUTCOME_REFUSED] = {{POLICY_FAILED, REASON_UPSTREAM_REFUSED}, {POLICY_FAILED, REASON_UPSTREAM_REFUSED}},
};

bool policy_code_is_harmless(int code) {
    return (code >= 400 && code <= 499) || code == 503;
}

static enum outcome outcome_of_failure(const struct reply *reply) {
    switch (reply->fault->kind) {
    case FAULT_FORBIDDEN: return OUTCOME_NOT_ALLOWED;
    case FAULT_INVALID: return OUTCOME_UNSENDABLE;
    case FAULT_TOO_LARGE:
    case FAULT_UNSUPPORTED: return OUTCOME_NO_REPLY;
    default: return reply->phase == REPLY_NEVER_SENT ? OUTCOME_NEVER_SENT : OUTCOME_MAYBE_ACTED_ON;
    }
}

static enum outcome outcome_of_code(const struct stage_call *call, const struct reply *reply) {
    if (code_set_holds(&call->expect, reply->code)) return OUTCOME_EXPECTED;
    int code = asked_is_limited(reply) ? 429 : reply->code; /* what a 403 may mean */
    if (!code_set_holds(&call->retry_on, code) && !code_set_holds(&call->retry_on, reply->code)) return OUTCOME_REFUSED;
    bool harmless = code == 429 || (call->retry_on_given && policy_code_is_harmless(code));
    return harmless ? OUTCOME_LISTED_HARMLESS : OUTCOME_LISTED;
}

struct policy policy_judge(const struct stage_call *call, const struct reply *reply, int64_t now_ms) {
    bool answered = reply->phase == REPLY_ANSWERED;
    enum outcome outcome = answered ? outcome_of_code(call, reply) : outcome_of_failure(reply);
    const struct row *row = &table[outcome][call->idempotent];
    return (struct policy){row->answer, row->reason, asked_wait_ms(reply, now_ms)};
}

static const char *shown(struct arena *arena, int64_t ms) {
    struct buf text;
    buf_init(&text, 100);
    duration_write(&text, ms < 1000 ? ms : ms / 1000 * 1000);
    const char *copy = arena_strdup(arena, buf_cstr(&text));
    buf_fini(&text);
    return copy;
}

/* Why the wait does not fit into the bound; NULL where it does. */
static const char *too_long(struct arena *arena, const struct policy_bound *bound, int64_t delay_ms, int64_t asked_ms) {
    int64_t spent_ms = bound->spent_ms > 0 ? bound->spent_ms : 0;
    int64_t wait_ms = asked_ms > delay_ms ? asked_ms : delay_ms;
    if (!bound->ms || spent_ms + wait_ms <= bound->ms) return NULL;
    if (asked_ms > 0 && asked_ms <= bound->ms && spent_ms < bound->ms && spent_ms + asked_ms > bound->ms)
        return arena_printf(arena, "it asks to wait for %s, and %s of %s (%s) are left", shown(arena, asked_ms),
                            shown(arena, bound->ms - spent_ms), bound->name, shown(arena, bound->ms));
    if (asked_ms > 0 && spent_ms + asked_ms > bound->ms)
        return arena_printf(arena, "it asks to wait for %s, and %s is %s", shown(arena, asked_ms), bound->name,
                            shown(arena, bound->ms));
    return arena_printf(arena, "%s of %s is used up", bound->name, shown(arena, bound->ms));
}

int64_t policy_delay_ms(struct arena *arena, const struct stage_call *call, const struct policy_try *one,
                        const char **ret_why) {
    const struct policy_bound budget = {"retry.budget", call->retry_budget_ms, one->now_ms - one->since_ms};
    *ret_why = NULL;
    if (!one->endless && one->failed > call->retry_attempts) return -1;
    int64_t delay_ms = pace_retry_ms(call, one->failed, one->wait_ms, one->random);
    *ret_why = too_long(arena, &budget, delay_ms, one->wait_ms);
    if (!*ret_why) *ret_why = too_long(arena, &one->bound, delay_ms, one->wait_ms);
    return *ret_why ? -1 : delay_ms;
}
