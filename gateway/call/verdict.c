/* Judging: from a reply to a verdict, by the rules of its step.
 *
 * Pure: no clock, no socket. Here is the outside of the reply (did it come, is its code expected); its body is judged
 * by verdict_body. What may be done again after a call that failed is policy's to say; how often is the run's. */
#include "call/verdict.h"

#include <string.h>

#include "call/asked.h"
#include "call/policy.h"

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

static void fail(struct verdict *verdict, enum reason reason, const char *message) {
    verdict->kind = VERDICT_FAILED;
    verdict->reason = reason;
    verdict->message = message;
}

/* What may be done again is; what else went wrong is the end. */
static void judge_by_policy(const struct policy *policy, const char *message, struct verdict *verdict) {
    fail(verdict, policy->reason, message);
    if (policy->answer == POLICY_AGAIN) verdict->kind = VERDICT_AGAIN;
}

static void judge_refusal(struct arena *arena, const struct stage_step *step, const struct reply *reply,
                          const struct json *body, const struct verdict_scope *scope, const struct policy *policy,
                          struct verdict *verdict) {
    bool early = reply->code == 404 && step->rules.exist && scope->elapsed_ms < step->not_found_grace_ms;
    const char *error = verdict_error(arena, &step->rules, body, scope->roots);
    const char *between = error ? ": " : "";
    verdict->error_missing = step->rules.error_path && !error && json_kind(body) == JSON_OBJECT;
    if (!error) error = "";
    judge_by_policy(policy, arena_printf(arena, "the upstream answered %d%s%s", reply->code, between, error), verdict);
    verdict->rule = early ? "not_found_grace" : "expect";
    if (early) verdict->kind = VERDICT_RUNNING, verdict->reason = REASON_NONE;
    if (verdict->kind != VERDICT_FAILED) verdict->error_missing = false; /* a refusal that may pass has other forms */
}

/* The reply at hand becomes what templates call body, headers and code. */
static void put_reply(struct arena *arena, const struct stage_rules *rules, const struct reply *reply,
                      const struct json *body, const struct verdict_scope *scope) {
    const struct json **roots = scope->roots;
    roots[ROOT_BODY] = body;
    roots[ROOT_HEADERS] = reply_headers(arena, reply);
    roots[ROOT_CODE] = json_new_int(arena, reply->code);
    if (!rules->output_count) return;
    struct json *step = json_new_object(arena);
    json_set(step, "body", body);
    json_set(step, "headers", roots[ROOT_HEADERS]);
    json_set(step, "code", roots[ROOT_CODE]);
    roots[scope->step_root] = step;
    verdict_put_outputs(arena, rules, roots);
}

/* The later of what the headers ask for, and what the body does by `retry_after`. */
static int64_t wait_of(struct arena *arena, const struct stage_call *call, const struct reply *reply,
                       const struct json *body, int64_t now_ms, int64_t by_headers_ms) {
    if (!call->retry_after || reply->phase != REPLY_ANSWERED) return by_headers_ms;
    int64_t by_body_ms = asked_value_ms(jsonpath_first(call->retry_after, body, arena), reply, now_ms);
    return by_body_ms > by_headers_ms ? by_body_ms : by_headers_ms;
}

void verdict_judge(struct arena *arena, const struct stage_step *step, const struct reply *reply,
                   const struct verdict_scope *scope, struct verdict *ret_verdict) {
    const struct stage_rules *rules = &step->rules;
    struct policy policy = policy_judge(&step->call, reply, scope->now_ms);
    bool is_json, expected = policy.answer == POLICY_EXPECTED, answered = reply->phase == REPLY_ANSWERED;
    bool looks = (expected && rules->exist) || rules->use_roots || step->call.retry_after;
    const struct json *body = answered && looks ? reply_body(arena, reply, step->call.wanted, &is_json) : NULL;
    *ret_verdict = (struct verdict){.kind = VERDICT_RUNNING, .percent = -1};
    if (!answered) {
        judge_by_policy(&policy, reply->fault->what, ret_verdict);
    } else if (expected && !rules->exist && !rules->use_roots) {
        ret_verdict->kind = VERDICT_SUCCEEDED;
        ret_verdict->rule = "expect";
    } else {
        if (rules->use_roots && scope->roots) put_reply(arena, rules, reply, body, scope);
        if (expected) verdict_judge_body(arena, rules, body, scope->roots, ret_verdict);
        else judge_refusal(arena, step, reply, body, scope, &policy, ret_verdict);
    }
    ret_verdict->body = body;
    ret_verdict->retry_after_ms = wait_of(arena, &step->call, reply, body, scope->now_ms, policy.wait_ms);
}
