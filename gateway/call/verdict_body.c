/* Judging what a reply says: words at `value`, conditions, thresholds, errors.
 *
 * The settings are asked in one order, and the first that holds decides: an error, failure, canceled, success (with a
 * warning or without), running. A condition that cannot be evaluated, since the reply has not the member that it speaks
 * of, does not hold; where nothing decided, the verdict's message says so, because a misspelt path looks like work that
 * goes on. Nothing here knows whether the body came as a reply or in a callback. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "call/outputs.h"
#include "call/verdict.h"

#define WORD_MAX (1 << 20) /* bytes; of what a report shows, less is told */

struct judging {
    struct arena *arena;
    const struct stage_rules *rules;
    const struct json *body, *value; /* at `value`; NULL: the reply has none */
    const struct json *const *roots;
    struct verdict *verdict;
    const char *trouble; /* why the first condition that could not be evaluated could not */
};

/* ---- words ---- */

static const char *json_word(struct arena *arena, const struct json *value) {
    struct buf text;
    buf_init(&text, WORD_MAX);
    json_write(&text, value);
    const char *word = arena_strdup(arena, buf_cstr(&text));
    buf_fini(&text);
    return word;
}

static bool is_number(const struct json *value) {
    return json_kind(value) == JSON_INT || json_kind(value) == JSON_REAL;
}

/* Argo Workflows says so of what it has not looked at yet. */
static bool is_empty(const struct json *value) {
    return json_kind(value) == JSON_STRING && json_text(value).len == 0;
}

/* A status word as text: numbers and booleans are words too. NULL where there is none. */
static const char *word_of(struct arena *arena, const struct json *value) {
    if (json_kind(value) == JSON_STRING) return arena_strndup(arena, json_text(value).at, json_text(value).len);
    return is_number(value) || json_kind(value) == JSON_BOOL ? json_word(arena, value) : NULL;
}

/* 1.0 is 1: JSON has one kind of number. */
static bool same_number(const struct json *value, const char *item) {
    double number = json_number(value), listed;
    struct arena *scratch = arena_new();
    bool same = verdict_number(json_new_string(scratch, item), &listed) && !(number < listed) && !(number > listed);
    arena_free(scratch);
    return same;
}

static bool list_holds(const struct judging *j, const struct stage_words *list) {
    const char *word = j->verdict->word;
    for (size_t i = 0; word && i < list->count; i++) {
        if (text_is_nocase(text_trim(text_of(word)), list->items[i])) return true;
        if (is_number(j->value) && same_number(j->value, list->items[i])) return true;
    }
    return false;
}

static bool names_null(const struct stage_rules *r) {
    const struct stage_words *const lists[] = {&r->success, &r->failure, &r->canceled, &r->running, &r->warn};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (size_t k = 0; k < lists[i]->count; k++)
            if (text_is_nocase(TEXT("null"), lists[i]->items[k])) return true;
    return false;
}

static bool has_lists(const struct stage_rules *r) {
    return r->success.count || r->failure.count || r->canceled.count || r->running.count || r->warn.count;
}

/* ---- conditions ---- */

bool verdict_truth(const struct json *value) {
    switch (json_kind(value)) {
    case JSON_NULL: return false;
    case JSON_BOOL: return json_truth(value);
    case JSON_INT:
    case JSON_REAL: return json_number(value) < 0 || json_number(value) > 0;
    case JSON_STRING: return json_text(value).len > 0;
    default: return json_size(value) > 0;
    }
}

static bool condition_holds(struct judging *j, const struct stage_condition *condition, const char *name) {
    if (!condition->holds || !j->roots) return false;
    struct fault fault;
    const struct json *value = template_value(condition->holds, j->roots, j->arena, &fault);
    if (!value && !j->trouble) j->trouble = arena_printf(j->arena, "%s: %s", name, fault.what);
    if (!value && fault.kind == FAULT_UNDEFINED && condition == &j->rules->success_when)
        j->verdict->success_undefined = true;
    return verdict_truth(value);
}

/* Whether the list or the condition says so; which one is noted. */
static bool says(struct judging *j, const struct stage_words *list, const char *list_name,
                 const struct stage_condition *condition, const char *condition_name) {
    const char *rule = list_holds(j, list)                             ? list_name
                       : condition_holds(j, condition, condition_name) ? condition_name
                                                                       : NULL;
    if (rule) j->verdict->rule = rule;
    return rule;
}

/* ---- thresholds ---- */

bool verdict_number(const struct json *value, double *ret_number) {
    if (is_number(value)) {
        *ret_number = json_number(value);
        return true;
    }
    if (json_kind(value) != JSON_STRING || json_text(value).len == 0) return false;
    char *end;
    const char *text = json_text(value).at;                  /* NUL-terminated behind its end */
    if (text[strspn(text, "0123456789+-.eE")]) return false; /* strtod takes more: spaces, hexadecimal, words */
    *ret_number = strtod(text, &end);
    return *end == 0 && isfinite(*ret_number);
}

enum bound { BOUND_MET, BOUND_MISSED, BOUND_UNKNOWN, BOUND_BAD };

/* What the reply at hand has to give may come later; what the run has to give will not. */
static enum bound bound_of(struct judging *j, const struct template *t, const char *name, bool is_most) {
    double number, bound;
    struct fault fault = {0};
    if (!t) return BOUND_MET;
    const struct json *value = j->roots ? template_value(t, j->roots, j->arena, &fault) : NULL;
    if (!value && fault.kind == FAULT_UNDEFINED && (template_uses(t, ROOT_BODY) || template_uses(t, ROOT_HEADERS))) {
        if (!j->trouble) j->trouble = arena_printf(j->arena, "%s: %s", name, fault.what);
        return BOUND_UNKNOWN;
    }
    if (!value || !verdict_number(value, &bound)) return BOUND_BAD;
    if (!verdict_number(j->value, &number)) return BOUND_UNKNOWN;
    return is_most ? (number > bound ? BOUND_MISSED : BOUND_MET) : (number < bound ? BOUND_MISSED : BOUND_MET);
}

/* The value has to meet both; a threshold that is none ends the step. */
static bool meets_bounds(struct judging *j) {
    const struct stage_rules *r = j->rules;
    if (!r->at_most && !r->at_least) return false;
    enum bound most = bound_of(j, r->at_most, "at_most", true), least = bound_of(j, r->at_least, "at_least", false);
    if (most == BOUND_BAD || least == BOUND_BAD) {
        *j->verdict = (struct verdict){.kind = VERDICT_FAILED,
                                       .reason = REASON_INVALID_REQUEST,
                                       .percent = -1,
                                       .retry_after_ms = -1,
                                       .rule = most == BOUND_BAD ? "at_most" : "at_least",
                                       .message = "the threshold (at_most, at_least) is not a number"};
        return false;
    }
    if (most != BOUND_MET || least != BOUND_MET) return false;
    j->verdict->rule = r->at_most ? "at_most" : "at_least";
    return true;
}

/* ---- what is told ---- */

/* The first value at a path; NULL where there is none, or no path. */
static const struct json *look(const struct judging *j, const struct jsonpath *path, enum verdict_part part) {
    const struct json *value = path ? jsonpath_first(path, j->body, j->arena) : NULL;
    if (path) j->verdict->stood[part] = (unsigned char)(value ? VERDICT_KINDS + json_kind(value) : VERDICT_NOTHING);
    return value;
}

static void note_progress(struct judging *j) {
    const struct stage_rules *r = j->rules;
    const struct json *value = look(j, r->progress, VERDICT_PROGRESS);
    if (is_number(value)) {
        double number = json_number(value);
        j->verdict->percent = number < 0 ? 0 : number > 100 ? 100 : (int)number;
    } else if (json_kind(value) == JSON_STRING) {
        j->verdict->message = word_of(j->arena, value);
    }
    const char *message = word_of(j->arena, look(j, r->message, VERDICT_MESSAGE));
    if (message) j->verdict->message = message;
}

/* Why there is no word to judge by: whoever waits should see it before the time is up. A null is a word to come. */
static const char *why_no_word(const struct judging *j) {
    const char *path = j->rules->value ? jsonpath_source(j->rules->value) : NULL;
    if (!path || j->verdict->word) return NULL;
    if (json_kind(j->body) == JSON_NULL) return arena_printf(j->arena, "the reply is empty, and has no %s", path);
    if (json_kind(j->body) == JSON_STRING) return arena_printf(j->arena, "the reply is not JSON, and has no %s", path);
    if (!j->value) return arena_printf(j->arena, "the reply has no %s", path);
    if (json_kind(j->value) == JSON_NULL) return NULL;
    if (is_empty(j->value)) return arena_printf(j->arena, "%s is empty", path);
    return arena_printf(j->arena, "%s is an %s", path, json_kind_word(json_kind(j->value)));
}

const char *verdict_error(struct arena *arena, const struct stage_rules *rules, const struct json *body,
                          const struct json *const *roots) {
    const struct json *value = NULL;
    if (rules->error_path) value = jsonpath_first(rules->error_path, body, arena);
    else if (rules->error && roots) value = template_value(rules->error, roots, arena, NULL);
    if (!verdict_truth(value)) return NULL;
    const char *text = word_of(arena, value);
    return text ? text : json_word(arena, value);
}

/* Why a condition ended the step: what the reply says of it, or else the condition itself. */
static const char *why(const struct judging *j, const struct stage_condition *condition) {
    const char *error = verdict_error(j->arena, j->rules, j->body, j->roots);
    if (error) return error;
    if (j->verdict->message || !strstr(j->verdict->rule, "_when")) return j->verdict->message;
    return arena_printf(j->arena, "%s holds: %s", j->verdict->rule, condition->source);
}

/* ---- deciding ---- */

static bool decide(struct judging *j, enum verdict_kind kind, enum reason reason) {
    j->verdict->kind = kind;
    j->verdict->reason = reason;
    return true;
}

/* The call was answered, and has failed all the same. Without `error_when`, an error is whatever stands at `error`. */
static bool judge_error(struct judging *j) {
    const struct stage_rules *r = j->rules;
    if (r->error_when.holds && !condition_holds(j, &r->error_when, "error_when")) return false;
    const char *error = verdict_error(j->arena, r, j->body, j->roots);
    if (!r->error_when.holds && !error) return false;
    j->verdict->rule = r->error_when.holds ? "error_when" : "error";
    j->verdict->error_missing = r->error_path && !error;
    j->verdict->message = error ? arena_printf(j->arena, "the reply has an error: %s", error) : why(j, &r->error_when);
    return decide(j, VERDICT_FAILED, REASON_UPSTREAM_REFUSED);
}

bool verdict_is_error(const struct verdict *verdict) {
    const char *rule = verdict->rule ? verdict->rule : "";
    return verdict->kind == VERDICT_FAILED && (strcmp(rule, "error") == 0 || strcmp(rule, "error_when") == 0);
}

static bool judge_bad_end(struct judging *j) {
    const struct stage_rules *r = j->rules;
    if (says(j, &r->failure, "failure", &r->failure_when, "failure_when")) {
        j->verdict->message = why(j, &r->failure_when);
        return decide(j, VERDICT_FAILED, REASON_UPSTREAM_FAILED);
    }
    if (says(j, &r->canceled, "canceled", &r->canceled_when, "canceled_when")) {
        j->verdict->message = why(j, &r->canceled_when);
        return decide(j, VERDICT_CANCELED, REASON_UPSTREAM_CANCELED);
    }
    return false;
}

/* A warning is a success that should be looked at: what `warn` says counts also where `success` says so. */
static bool judge_success(struct judging *j) {
    const struct stage_rules *r = j->rules;
    bool good = meets_bounds(j) || (j->verdict->kind == VERDICT_RUNNING &&
                                    says(j, &r->success, "success", &r->success_when, "success_when"));
    if (j->verdict->kind == VERDICT_FAILED) return true;
    j->verdict->warned = says(j, &r->warn, "warn", &r->warn_when, "warn_when");
    return (good || j->verdict->warned) && decide(j, VERDICT_SUCCEEDED, REASON_NONE);
}

/* No list and no condition says what it means. What could not be looked at may come. */
static void judge_unknown(struct judging *j) {
    const struct stage_rules *r = j->rules;
    bool described = says(j, &r->running, "running", &r->running_when, "running_when");
    bool unmapped = j->verdict->word && has_lists(r), undescribed = !r->value && !j->trouble;
    if (described) return;
    j->verdict->unknown_word = unmapped;
    if (r->unknown_fails && (unmapped || undescribed)) {
        decide(j, VERDICT_FAILED, REASON_UNKNOWN_STATUS);
        j->verdict->rule = "unknown";
        if (!j->verdict->word && !j->verdict->message) j->verdict->message = "no condition describes the reply";
    } else if (!j->verdict->message) {
        const char *no_word = why_no_word(j);
        j->verdict->message = no_word ? no_word : unmapped ? NULL : j->trouble;
    }
}

void verdict_put_outputs(struct arena *arena, const struct stage_rules *rules, const struct json **roots) {
    if (rules->output_count) roots[ROOT_OUTPUTS] = outputs_make(arena, rules->outputs, rules->output_count, roots);
}

void verdict_judge_body(struct arena *arena, const struct stage_rules *rules, const struct json *body,
                        const struct json *const *roots, struct verdict *ret_verdict) {
    *ret_verdict = (struct verdict){.kind = VERDICT_RUNNING, .percent = -1, .retry_after_ms = -1, .looked = true};
    struct judging j = {.arena = arena, .rules = rules, .body = body, .roots = roots, .verdict = ret_verdict};
    j.value = look(&j, rules->value, VERDICT_VALUE);
    ret_verdict->word = is_empty(j.value) ? NULL : word_of(arena, j.value);
    if (j.value && json_kind(j.value) == JSON_NULL && names_null(rules)) ret_verdict->word = "null";
    note_progress(&j);
    if (judge_error(&j)) return;
    if (!rules->exist) {
        decide(&j, VERDICT_SUCCEEDED, REASON_NONE);
        ret_verdict->rule = "expect";
    } else if (!judge_bad_end(&j) && !judge_success(&j)) {
        judge_unknown(&j);
    }
}

/* ---- success that has to last ---- */

static const char *how_far(struct arena *arena, const struct stage_rules *rules, const struct verdict_series *series,
                           int64_t now_ms) {
    if (rules->success_polls)
        return arena_printf(arena, "%lld of %lld in a row", (long long)series->replies,
                            (long long)rules->success_polls);
    struct buf text;
    buf_init(&text, 100);
    buf_adds(&text, "for ");
    duration_write(&text, (now_ms - series->since_ms) / 1000 * 1000);
    buf_adds(&text, " of ");
    duration_write(&text, rules->success_for_ms);
    const char *far = arena_strdup(arena, buf_cstr(&text));
    buf_fini(&text);
    return far;
}

bool verdict_settle(struct arena *arena, const struct stage_rules *rules, int64_t now_ms, struct verdict_series *series,
                    struct verdict *verdict) {
    if (!rules->success_for_ms && !rules->success_polls) return false;
    struct verdict_series before = *series;
    if (verdict->kind != VERDICT_SUCCEEDED) {
        *series = (struct verdict_series){0};
        return before.since_ms != 0;
    }
    bool first = before.since_ms == 0 || before.since_ms > now_ms; /* or the clock was set back */
    if (first) *series = (struct verdict_series){.since_ms = now_ms};
    if (rules->success_polls) series->replies++;
    if (rules->success_polls ? series->replies >= rules->success_polls
                             : now_ms - series->since_ms >= rules->success_for_ms)
        return true;
    const char *far = how_far(arena, rules, series, now_ms);
    verdict->kind = VERDICT_RUNNING;
    verdict->message = verdict->message ? arena_printf(arena, "%s (%s)", verdict->message, far) : far;
    return first || rules->success_polls;
}
