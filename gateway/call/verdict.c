/* Judging: from a reply to a verdict, by the rules of its step.
 *
 * Pure: no clock, no socket. Here is the outside of the reply (did it come, is its code expected); its body is judged
 * by verdict_body. What may pass (unreachable, 5xx, 429, 408, 425, a 404 just after the start) gives AGAIN, and the run
 * decides how often; but a call that is not idempotent gives AGAIN only when it was never sent, or when a status 429
 * says that it was not acted on. */
#include "call/verdict.h"

#include <string.h>

static const char *const words[] = {
#define X(id, word) [REASON_##id] = word,
    REASONS(X)
#undef X
};

const char *reason_word(enum reason reason) {
    return (size_t)reason < sizeof words / sizeof *words ? words[reason] : NULL;
}

enum reason reason_parse(const char *word) {
    for (size_t i = 1; word && i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], word) == 0) return (enum reason)i;
    return REASON_NONE;
}

/* Retry-After in seconds (RFC 9110, 10.2.3); its date form is not looked at. */
static int64_t retry_after(const struct reply *reply) {
    const char *value = reply_header(reply, "Retry-After");
    int64_t seconds;
    if (!value || !text_to_int(text_trim(text_of(value)), &seconds) || seconds < 0 || seconds > 86400) return -1;
    return seconds * 1000;
}

static void fail(struct verdict *verdict, enum reason reason, const char *message) {
    verdict->kind = VERDICT_FAILED;
    verdict->reason = reason;
    verdict->message = message;
}

static void judge_failed_call(const struct stage_step *step, const struct reply *reply, struct verdict *verdict) {
    verdict->message = reply->fault.what;
    bool may_pass = reply->fault.kind != FAULT_FORBIDDEN && reply->fault.kind != FAULT_TOO_LARGE &&
                    reply->fault.kind != FAULT_INVALID && reply->fault.kind != FAULT_UNSUPPORTED;
    if (may_pass && (reply->phase == REPLY_NEVER_SENT || step->call.idempotent)) {
        verdict->kind = VERDICT_AGAIN;
        verdict->reason = reply->phase == REPLY_NEVER_SENT ? REASON_UPSTREAM_UNREACHABLE : REASON_BAD_REPLY;
        return;
    }
    fail(verdict,
         reply->fault.kind == FAULT_FORBIDDEN     ? REASON_REFUSED_EGRESS
         : reply->fault.kind == FAULT_INVALID     ? REASON_INVALID_REQUEST
         : reply->fault.kind == FAULT_TOO_LARGE   ? REASON_BAD_REPLY
         : reply->fault.kind == FAULT_UNSUPPORTED ? REASON_BAD_REPLY
         : step->call.idempotent                  ? REASON_BAD_REPLY
         : reply->phase == REPLY_MAYBE_ACTED_ON   ? REASON_IN_DOUBT
                                                  : REASON_UPSTREAM_UNREACHABLE,
         reply->fault.what);
}

static void judge_refusal(struct arena *arena, const struct stage_step *step, const struct reply *reply,
                          const struct json *body, const struct verdict_scope *scope, struct verdict *verdict) {
    bool busy = reply->code == 429;
    bool passing = reply->code >= 500 || reply->code == 408 || reply->code == 425;
    bool early = reply->code == 404 && step->rules.exist && scope->elapsed_ms < step->not_found_grace_ms;
    const char *error = verdict_error(arena, &step->rules, body, scope->roots);
    verdict->rule = "expect";
    verdict->message = arena_printf(arena, "the upstream answered %d%s%s", reply->code, error ? ": " : "",
                                    error ? error : "");
    if (early) {
        verdict->kind = VERDICT_RUNNING;
        verdict->rule = "not_found_grace";
    } else if (busy || (passing && step->call.idempotent)) {
        verdict->kind = VERDICT_AGAIN;
        verdict->reason = REASON_UPSTREAM_REFUSED;
        verdict->retry_after_ms = retry_after(reply);
    } else {
        fail(verdict, REASON_UPSTREAM_REFUSED, verdict->message);
    }
}

/* The reply at hand becomes what templates call body, headers and code. */
static void put_reply(struct arena *arena, const struct reply *reply, const struct json *body,
                      const struct json **roots) {
    roots[ROOT_BODY] = body;
    roots[ROOT_HEADERS] = reply_headers(arena, reply);
    roots[ROOT_CODE] = json_new_int(arena, reply->code);
}

void verdict_judge(struct arena *arena, const struct stage_step *step, const struct reply *reply,
                   const struct verdict_scope *scope, struct verdict *ret_verdict) {
    const struct stage_rules *rules = &step->rules;
    *ret_verdict = (struct verdict){.kind = VERDICT_RUNNING, .percent = -1, .retry_after_ms = -1};
    if (reply->phase != REPLY_ANSWERED) {
        judge_failed_call(step, reply, ret_verdict);
        return;
    }
    bool is_json, expected = code_set_holds(&step->call.expect, reply->code);
    if (expected && !rules->exist && !rules->use_roots) {
        ret_verdict->kind = VERDICT_SUCCEEDED;
        ret_verdict->rule = "expect";
        return;
    }
    const struct json *body = expected || rules->use_roots ? reply_body(arena, reply, &is_json) : NULL;
    if (rules->use_roots && scope->roots) put_reply(arena, reply, body, scope->roots);
    if (expected) verdict_judge_body(arena, rules, body, scope->roots, ret_verdict);
    else judge_refusal(arena, step, reply, body, scope, ret_verdict);
}
