/* Judging: from a reply to a verdict, by the rules of its step.
 *
 * Pure: no clock, no socket. First the outside of the reply (did it come, is its code expected), then its body. What
 * may pass (unreachable, 5xx, 429, 408, 425, a 404 just after the start) gives AGAIN, and the run decides how often;
 * but a call that is not idempotent gives AGAIN only when it was never sent, or when a status 429 says that it was not
 * acted on. */
#include "call/verdict.h"

#include <math.h>
#include <stdlib.h>
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

static bool holds(const struct stage_words *list, struct text word) {
    for (size_t i = 0; i < list->count; i++)
        if (text_is_nocase(word, list->items[i])) return true;
    return false;
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
                          int64_t elapsed_ms, struct verdict *verdict) {
    bool busy = reply->code == 429;
    bool passing = reply->code >= 500 || reply->code == 408 || reply->code == 425;
    bool early = reply->code == 404 && step->rules.exist && elapsed_ms < step->not_found_grace_ms;
    verdict->message = arena_printf(arena, "the upstream answered %d", reply->code);
    if (early) {
        verdict->kind = VERDICT_RUNNING;
    } else if (busy || (passing && step->call.idempotent)) {
        verdict->kind = VERDICT_AGAIN;
        verdict->reason = REASON_UPSTREAM_REFUSED;
        verdict->retry_after_ms = retry_after(reply);
    } else {
        fail(verdict, REASON_UPSTREAM_REFUSED, verdict->message);
    }
}

/* A status word as text: numbers and booleans are words too. NULL where there is none. */
static const char *word_of(struct arena *arena, const struct json *value) {
    switch (json_kind(value)) {
    case JSON_STRING: return arena_strndup(arena, json_text(value).at, json_text(value).len);
    case JSON_BOOL:
    case JSON_INT:
    case JSON_REAL: {
        struct buf text;
        buf_init(&text, 64);
        json_write(&text, value);
        const char *word = arena_strdup(arena, buf_cstr(&text));
        buf_fini(&text);
        return word;
    }
    default: return NULL;
    }
}

static void judge_word(const struct stage_rules *rules, struct verdict *verdict) {
    struct text word = text_trim(text_of(verdict->word));
    if (holds(&rules->failure, word)) {
        verdict->kind = VERDICT_FAILED;
        verdict->reason = REASON_UPSTREAM_FAILED;
    } else if (holds(&rules->canceled, word)) {
        verdict->kind = VERDICT_CANCELED;
        verdict->reason = REASON_UPSTREAM_CANCELED;
    } else if (holds(&rules->success, word) || holds(&rules->warn, word)) {
        verdict->kind = VERDICT_SUCCEEDED;
        verdict->warned = !holds(&rules->success, word);
    } else if (!holds(&rules->running, word)) {
        verdict->unknown_word = true;
        if (rules->unknown_fails) verdict->kind = VERDICT_FAILED, verdict->reason = REASON_UNKNOWN_STATUS;
    }
}

bool verdict_number(const struct json *value, double *ret_number) {
    enum json_kind kind = json_kind(value);
    if (kind == JSON_INT || kind == JSON_REAL) {
        *ret_number = json_number(value);
        return true;
    }
    if (kind != JSON_STRING || json_text(value).len == 0) return false;
    char *end;
    const char *text = json_text(value).at;                  /* NUL-terminated behind its end */
    if (text[strspn(text, "0123456789+-.eE")]) return false; /* strtod takes more: spaces, hexadecimal, words */
    *ret_number = strtod(text, &end);
    return *end == 0 && isfinite(*ret_number);
}

static void judge_progress(struct arena *arena, const struct stage_rules *rules, const struct json *body,
                           struct verdict *verdict) {
    const struct json *value = rules->progress ? jsonpath_first(rules->progress, body, arena) : NULL;
    double number;
    if (json_kind(value) == JSON_INT || json_kind(value) == JSON_REAL) {
        number = json_number(value);
        verdict->percent = number < 0 ? 0 : number > 100 ? 100 : (int)number;
    } else if (json_kind(value) == JSON_STRING) {
        verdict->message = word_of(arena, value);
    }
    const struct json *message = rules->message ? jsonpath_first(rules->message, body, arena) : NULL;
    if (word_of(arena, message)) verdict->message = word_of(arena, message);
}

/* The value has to meet the thresholds; until it does, the step goes on. */
static void judge_bounds(const struct json *value, const struct verdict_bounds *bounds, struct verdict *verdict) {
    double number;
    if (verdict_number(value, &number) && !(number > bounds->at_most) && !(number < bounds->at_least))
        verdict->kind =
            VERDICT_SUCCEEDED; /* comparisons with NaN are false: a bound that is not there holds nobody up */
}

/* Why there is no word to judge by: whoever waits should see it before the time is up. A null is a word to come. */
static const char *why_no_word(struct arena *arena, const struct stage_rules *rules, const struct json *body,
                               bool is_json, const struct json *value) {
    const char *path = rules->value ? jsonpath_source(rules->value) : NULL;
    if (!path) return NULL;
    if (value && json_kind(value) == JSON_NULL && is_json) return NULL;
    if (!is_json && json_kind(body) == JSON_NULL) return arena_printf(arena, "the reply is empty, and has no %s", path);
    if (!is_json) return arena_printf(arena, "the reply is not JSON, and has no %s", path);
    if (!value) return arena_printf(arena, "the reply has no %s", path);
    return arena_printf(arena, "%s is an %s", path, json_kind_word(json_kind(value)));
}

static void judge_body(struct arena *arena, const struct stage_rules *rules, const struct json *body, bool is_json,
                       const struct verdict_bounds *bounds, struct verdict *verdict) {
    const struct json *value = rules->value ? jsonpath_first(rules->value, body, arena) : NULL;
    verdict->word = word_of(arena, value);
    judge_progress(arena, rules, body, verdict);
    if (!verdict->word && !verdict->message) verdict->message = why_no_word(arena, rules, body, is_json, value);
    if (rules->at_most || rules->at_least) {
        if (bounds) judge_bounds(value, bounds, verdict);
    } else if (verdict->word) {
        judge_word(rules, verdict);
    }
}

void verdict_judge(struct arena *arena, const struct stage_step *step, const struct reply *reply,
                   const struct verdict_bounds *bounds, int64_t elapsed_ms, struct verdict *ret_verdict) {
    struct verdict verdict = {.kind = VERDICT_RUNNING, .percent = -1, .retry_after_ms = -1};
    const struct stage_rules *rules = &step->rules;
    if (reply->phase != REPLY_ANSWERED) {
        judge_failed_call(step, reply, &verdict);
    } else if (!code_set_holds(&step->call.expect, reply->code)) {
        judge_refusal(arena, step, reply, elapsed_ms, &verdict);
    } else if (!rules->exist) {
        verdict.kind = VERDICT_SUCCEEDED;
    } else {
        bool is_json;
        const struct json *body = reply_body(arena, reply, &is_json);
        judge_body(arena, rules, body, is_json, bounds, &verdict);
    }
    *ret_verdict = verdict;
}

void verdict_judge_value(struct arena *arena, const struct stage_rules *rules, const struct json *value,
                         const struct verdict_bounds *bounds, struct verdict *ret_verdict) {
    struct verdict verdict = {.kind = VERDICT_RUNNING, .percent = -1, .retry_after_ms = -1};
    const struct json *body = json_gets(value, "body");
    bool is_json = json_kind(body) != JSON_STRING && json_kind(body) != JSON_NULL;
    if (!rules->exist) verdict.kind = VERDICT_SUCCEEDED;
    else judge_body(arena, rules, body, is_json, bounds, &verdict);
    *ret_verdict = verdict;
}
