/* The record of a run: what the store keeps of it, as JSON, and the way back.
 *
 * A record of a run in flight holds what its next calls need (parameters, the replies that decided steps); a record of
 * an ended one only what a report shows. The gateway's secrets are masked in both, those among the parameters once the
 * run has ended. Unknown members are ignored, absent ones have
 * their neutral value, so that records of an older version can be read. */
#include <string.h>

#include "run/member.h"
#include "run/run.h"
#include "run/run_move.h"

#define RECORD_DEPTH 256
#define HEAD "{\"version\":1"
#define BEGUN ",\"begun\":"

static const struct json_limits record_limits = {
    .max_bytes = 64 * 1024 * 1024, .max_depth = RECORD_DEPTH, .max_items = 10 * 1000 * 1000};

static void add_text(struct buf *out, struct arena *arena, const char *name, const char *value) {
    if (!value) return;
    member_name(out, name);
    json_write(out, json_new_string(arena, value)); /* which makes good text of what is not */
}

static void add_value(struct buf *out, const char *name, const struct json *value) {
    member_name(out, name);
    json_write(out, value);
}

static void add_frozen(struct buf *out, const char *name, const struct frozen *value) {
    member_name(out, name);
    buf_addt(out, frozen_text(value));
}

static void add_or(struct buf *out, const char *name, const struct frozen *value, const char *neutral) {
    if (value) {
        add_frozen(out, name, value);
        return;
    }
    member_name(out, name);
    buf_adds(out, neutral);
}

static const struct json *masked(const struct run_world *world, struct arena *arena, const struct json *value) {
    return world->mask ? world->mask(world->arg, arena, value) : value;
}

/* Those that are kept stay as long as they may be judged, without secrets, as a reply does. */
static const struct json *inbox_of(const struct run *run, const struct inbox *inbox, const struct run_world *world,
                                   struct arena *arena) {
    const struct json *values[INBOX_KEPT];
    for (unsigned i = 0; i < inbox->kept_count; i++) values[i] = masked(world, arena, inbox->kept[i].value);
    return inbox_write(inbox, arena, run->ended_ms ? NULL : values);
}

/* This record is the last one before a call that may do harm: who reads it has to count with that call. */
static bool is_about_to_call(const struct run *run, size_t step) {
    bool before = run->state == RUN_ACCEPTING || run->state == RUN_INTENDING || run->state == RUN_RECORDING;
    return before && run->sending && run->step == step;
}

static void add_step(struct buf *out, const struct run *run, size_t i, const struct run_world *world,
                     struct arena *arena) {
    const struct run_step *step = &run->steps[i];
    buf_adds(out, i ? ",{" : "{");
    add_text(out, arena, "name", run->stage ? run->stage->steps[i].name : step->name);
    add_text(out, arena, "status", run_status_word(step->status));
    member_number(out, "calls", step->calls + is_about_to_call(run, i));
    member_number(out, "code", step->code);
    if (step->inbox) add_value(out, "callbacks", inbox_of(run, step->inbox, world, arena));
    if (!run->ended_ms) {
        add_value(out, "url", masked(world, arena, json_new_string(arena, step->url)));
        add_text(out, arena, "location", step->location);
        if (step->value) add_value(out, "value", masked(world, arena, frozen_thaw(arena, step->value)));
    }
    buf_addc(out, '}');
}

/* Calls need them as they are. After the end nobody does; and without the definition nobody knows which are secret. */
static void add_parameters(struct buf *out, const struct run *run, struct arena *arena) {
    const struct stage *stage = run->stage;
    bool as_they_are = !run->ended_ms || (!stage && run->state == RUN_ENDED);
    if (as_they_are || !stage) add_frozen(out, "parameters", as_they_are ? run->parameters : NULL);
    else
        add_value(out, "parameters",
                  params_masked(arena, stage->params, stage->param_count, frozen_thaw(arena, run->parameters)));
}

void run_record_write(const struct run *run, const struct run_world *world, struct buf *out) {
    struct arena *arena = arena_new();
    buf_adds(out, HEAD);
    if (run->begun_ms != run->created_ms) member_number(out, "begun", run->begun_ms);
    add_text(out, arena, "reason", reason_word(run->reason));
    add_text(out, arena, "fingerprint", run->fingerprint);
    add_text(out, arena, "traceparent", run->traceparent);
    add_text(out, arena, "caller_name", run->caller_name);
    add_frozen(out, "caller", run->caller);
    add_parameters(out, run, arena);
    member_number(out, "step", (int64_t)run->step);
    if (run->queued) member_number(out, "queued", 1);
    member_number(out, "sending", run->sending);
    if (run->may_have_acted) member_number(out, "may_have_acted", 1);
    member_number(out, "awaiting", run->awaiting);
    member_number(out, "cancel_wanted", run->cancel_wanted);
    member_number(out, "cancel_since", run->cancel_since_ms);
    member_number(out, "cancel_told", run->cancel_told);
    member_number(out, "cancel_fell_back", run->cancel_fell_back);
    member_number(out, "orphaned", run->orphaned);
    member_number(out, "timed_out", run->timed_out);
    if (run->deadline_ms) member_number(out, "deadline", run->deadline_ms);
    member_number(out, "attempt", run->attempt);
    if (run->attempt) member_number(out, "failing_since", run->failing_since_ms);
    member_number(out, "probe_attempt", run->probe_attempt);
    if (run->probe_attempt) member_number(out, "probe_failing_since", run->probe_failing_since_ms);
    member_number(out, "step_began", run->step_began_ms);
    member_number(out, "due", run->due_ms);
    if (run->steady.since_ms) {
        member_number(out, "steady_since", run->steady.since_ms);
        member_number(out, "steady_replies", run->steady.replies);
    }
    add_text(out, arena, "progress", run->progress);
    add_text(out, arena, "error", run->error);
    add_text(out, arena, "upstream_word", run->upstream_word);
    member_number(out, "upstream_code", run->upstream_code);
    member_number(out, "percent", run->percent);
    add_or(out, "outputs", run->outputs, "{}");
    add_or(out, "artifacts", run->artifacts, "[]");
    add_or(out, "warnings", run->warnings, "[]");
    member_number(out, "journal_left_out", (int64_t)run->journal.left_out);
    member_name(out, "journal");
    journal_write(&run->journal, out);
    member_name(out, "steps");
    buf_addc(out, '[');
    for (size_t i = 0; i < run->step_count; i++) add_step(out, run, i, world, arena);
    buf_adds(out, "]}");
    arena_free(arena);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* It stands first, where it is not when the run was made. */
int64_t run_record_begun_ms(const struct store_record *record) {
    struct text head = TEXT(HEAD BEGUN), body = record->body;
    int64_t begun_ms;
    if (body.len < head.len || memcmp(body.at, head.at, head.len) != 0) return record->created_ms;
    struct text number = {body.at + head.len, 0};
    while (head.len + number.len < body.len && is_digit(number.at[number.len])) number.len++;
    return text_to_int(number, &begun_ms) ? begun_ms : record->created_ms;
}

static int64_t int_of(const struct json *from, const char *name) {
    return json_int(json_gets(from, name));
}

static enum run_status status_parse(const char *word) {
    for (int status = RUN_NOT_STARTED; word && status <= RUN_SKIPPED; status++)
        if (strcmp(run_status_word((enum run_status)status), word) == 0) return (enum run_status)status;
    return RUN_NOT_STARTED;
}

static void load_steps(struct run *run, const struct json *steps) {
    for (size_t i = 0; i < run->step_count; i++) {
        const struct json *from = json_at(steps, i);
        struct run_step *to = &run->steps[i];
        if (!run->stage) to->name = arena_strdup(run->arena, json_gets_text(from, "name"));
        to->status = status_parse(json_gets_text(from, "status"));
        to->calls = (unsigned)int_of(from, "calls");
        to->code = (int)int_of(from, "code");
        to->url = mem_strdup(json_gets_text(from, "url"));
        to->location = mem_strdup(json_gets_text(from, "location"));
        to->inbox = inbox_load(run->arena, json_gets(from, "callbacks"));
        to->value = frozen_new(json_gets(from, "value"));
    }
}

/* NULL where it is empty, or no such thing. */
static struct frozen *load_value(const struct json *record, const char *name, enum json_kind kind) {
    const struct json *value = json_gets(record, name);
    return json_kind(value) == kind && json_size(value) ? frozen_new(value) : NULL;
}

static void load_members(struct run *run, const struct json *record) {
    run->reason = reason_parse(json_gets_text(record, "reason"));
    run->step = (size_t)int_of(record, "step");
    run->queued = int_of(record, "queued");
    run->sending = int_of(record, "sending");
    run->may_have_acted = int_of(record, "may_have_acted");
    run->awaiting = int_of(record, "awaiting");
    run->cancel_wanted = int_of(record, "cancel_wanted");
    run->cancel_since_ms = int_of(record, "cancel_since");
    run->cancel_told = int_of(record, "cancel_told");
    run->cancel_fell_back = int_of(record, "cancel_fell_back");
    run->orphaned = int_of(record, "orphaned");
    run->timed_out = int_of(record, "timed_out");
    run->deadline_ms = int_of(record, "deadline");
    run->attempt = (unsigned)int_of(record, "attempt");
    run->failing_since_ms = int_of(record, "failing_since");
    run->probe_attempt = (unsigned)int_of(record, "probe_attempt");
    run->probe_failing_since_ms = int_of(record, "probe_failing_since");
    run->step_began_ms = int_of(record, "step_began");
    run->due_ms = int_of(record, "due");
    run->steady.since_ms = int_of(record, "steady_since");
    run->steady.replies = int_of(record, "steady_replies");
    const char *progress = json_gets_text(record, "progress");
    run->progress = mem_strdup(progress ? progress : "");
    run->error = mem_strdup(json_gets_text(record, "error"));
    run->upstream_word = mem_strdup(json_gets_text(record, "upstream_word"));
    run->upstream_code = (int)int_of(record, "upstream_code");
    run->percent = json_kind(json_gets(record, "percent")) == JSON_INT ? (int)int_of(record, "percent") : -1;
    run->outputs = load_value(record, "outputs", JSON_OBJECT);
    run->artifacts = load_value(record, "artifacts", JSON_ARRAY);
    run->warnings = load_value(record, "warnings", JSON_ARRAY);
    journal_load(&run->journal, json_gets(record, "journal"), (uint64_t)int_of(record, "journal_left_out"));
    load_steps(run, json_gets(record, "steps"));
}

struct run *run_load(const struct store_record *record, struct stage *stage, struct fault *fault) {
    struct arena *scratch = arena_new();
    const struct json *body = json_parse(scratch, record->body, &record_limits, fault);
    if (!body || json_kind(body) != JSON_OBJECT) {
        if (body) fault_set(fault, FAULT_INVALID, record->id, "the record is not an object");
        arena_free(scratch);
        return NULL;
    }
    size_t step_count = stage ? stage->step_count : json_size(json_gets(body, "steps"));
    struct run_new from = {.stage = stage,
                           .id = record->id,
                           .key = record->key,
                           .fingerprint = json_gets_text(body, "fingerprint"),
                           .traceparent = json_gets_text(body, "traceparent"),
                           .caller_name = json_gets_text(body, "caller_name"),
                           .caller = json_gets(body, "caller"),
                           .parameters = json_gets(body, "parameters"),
                           .now_ms = record->created_ms};
    struct run *run = run_make(&from, record->stage, record->definition, step_count);
    run->status = status_parse(record->status);
    run->updated_ms = record->updated_ms;
    run->ended_ms = record->ended_ms;
    run->begun_ms = run_record_begun_ms(record);
    run->state = record->ended_ms ? RUN_ENDED : RUN_WAITING;
    load_members(run, body);
    arena_free(scratch);
    if (run->stage && run->step >= run->step_count) run->step = run->step_count - 1;
    return run;
}
