/* The record of a run: what the store keeps of it, as JSON, and the way back.
 *
 * A record of a run in flight holds what its next calls need (parameters, the replies that decided steps); a record of
 * an ended one only what a report shows. The gateway's secrets are masked in both, those among the parameters once the
 * run has ended. Unknown members are ignored, absent ones have
 * their neutral value, so that records of an older version can be read. */
#include <string.h>

#include "run/run.h"

#define RECORD_DEPTH 256

static const struct json_limits record_limits = {
    .max_bytes = 64 * 1024 * 1024, .max_depth = RECORD_DEPTH, .max_items = 10 * 1000 * 1000};

static void set_text(struct json *to, struct arena *arena, const char *name, const char *value) {
    if (value) json_set(to, name, json_new_string(arena, value));
}

static void set_int(struct json *to, struct arena *arena, const char *name, int64_t value) {
    json_set(to, name, json_new_int(arena, value));
}

static const struct json *masked(const struct run_world *world, struct arena *arena, const struct json *value) {
    return world->mask ? world->mask(world->arg, arena, value) : value;
}

static const struct json *steps_of(const struct run *run, const struct run_world *world, struct arena *arena) {
    struct json *steps = json_new_array(arena);
    for (size_t i = 0; i < run->step_count; i++) {
        const struct run_step *from = &run->steps[i];
        struct json *to = json_new_object(arena);
        set_text(to, arena, "name", run->stage ? run->stage->steps[i].name : from->name);
        set_text(to, arena, "status", run_status_word(from->status));
        set_int(to, arena, "calls", from->calls);
        set_int(to, arena, "code", from->code);
        if (!run->ended_ms) {
            json_set(to, "url", masked(world, arena, json_new_string(arena, from->url)));
            if (from->value) json_set(to, "value", masked(world, arena, from->value));
        }
        json_push(steps, to);
    }
    return steps;
}

/* Calls need them as they are. After the end nobody does; and without the definition nobody knows which are secret. */
static const struct json *parameters_of(const struct run *run, struct arena *arena) {
    if (!run->ended_ms) return run->parameters;
    if (!run->stage) return run->state == RUN_ENDED ? run->parameters : NULL;
    return params_masked(arena, run->stage->params, run->stage->param_count, run->parameters);
}

void run_record_write(const struct run *run, const struct run_world *world, struct buf *out) {
    struct arena *arena = arena_new();
    struct json *record = json_new_object(arena);
    set_int(record, arena, "version", 1);
    set_text(record, arena, "reason", reason_word(run->reason));
    set_text(record, arena, "fingerprint", run->fingerprint);
    set_text(record, arena, "traceparent", run->traceparent);
    set_text(record, arena, "caller_name", run->caller_name);
    json_set(record, "caller", run->caller);
    json_set(record, "parameters", parameters_of(run, arena));
    set_int(record, arena, "step", (int64_t)run->step);
    set_int(record, arena, "sending", run->sending);
    set_int(record, arena, "cancel_wanted", run->cancel_wanted);
    set_int(record, arena, "timed_out", run->timed_out);
    set_int(record, arena, "attempt", run->attempt);
    set_int(record, arena, "step_began", run->step_began_ms);
    set_int(record, arena, "due", run->due_ms);
    set_text(record, arena, "progress", run->progress);
    set_text(record, arena, "error", run->error);
    set_text(record, arena, "upstream_word", run->upstream_word);
    set_int(record, arena, "upstream_code", run->upstream_code);
    set_int(record, arena, "percent", run->percent);
    json_set(record, "outputs", run->outputs);
    json_set(record, "artifacts", run->artifacts);
    json_set(record, "steps", steps_of(run, world, arena));
    json_write(out, record);
    arena_free(arena);
}

static int64_t int_of(const struct json *from, const char *name) {
    return json_int(json_gets(from, name));
}

static enum run_status status_parse(const char *word) {
    for (int status = RUN_NOT_STARTED; word && status <= RUN_CANCELED; status++)
        if (strcmp(run_status_word((enum run_status)status), word) == 0) return (enum run_status)status;
    return RUN_NOT_STARTED;
}

static void load_steps(struct run *run, const struct json *steps) {
    run->step_count = run->stage ? run->stage->step_count : json_size(steps);
    run->steps = arena_array_of(run->arena, struct run_step, run->step_count);
    for (size_t i = 0; i < run->step_count; i++) {
        const struct json *from = json_at(steps, i);
        struct run_step *to = &run->steps[i];
        to->name = json_gets_text(from, "name");
        to->status = status_parse(json_gets_text(from, "status"));
        to->calls = (unsigned)int_of(from, "calls");
        to->code = (int)int_of(from, "code");
        to->url = json_gets_text(from, "url");
        to->value = json_gets(from, "value");
        if (json_kind(to->value) == JSON_NULL) to->value = NULL;
    }
}

static void load_members(struct run *run, const struct json *record) {
    run->reason = reason_parse(json_gets_text(record, "reason"));
    run->fingerprint = json_gets_text(record, "fingerprint");
    run->traceparent = json_gets_text(record, "traceparent");
    run->caller_name = json_gets_text(record, "caller_name");
    run->caller = json_gets(record, "caller");
    run->parameters = json_gets(record, "parameters");
    run->step = (size_t)int_of(record, "step");
    run->sending = int_of(record, "sending");
    run->cancel_wanted = int_of(record, "cancel_wanted");
    run->timed_out = int_of(record, "timed_out");
    run->attempt = (unsigned)int_of(record, "attempt");
    run->step_began_ms = int_of(record, "step_began");
    run->due_ms = int_of(record, "due");
    const char *progress = json_gets_text(record, "progress");
    run->progress = mem_strdup(progress ? progress : "");
    run->error = mem_strdup(json_gets_text(record, "error"));
    run->upstream_word = mem_strdup(json_gets_text(record, "upstream_word"));
    run->upstream_code = (int)int_of(record, "upstream_code");
    run->percent = json_kind(json_gets(record, "percent")) == JSON_INT ? (int)int_of(record, "percent") : -1;
    run->outputs = json_gets(record, "outputs");
    run->artifacts = json_gets(record, "artifacts");
    if (json_kind(run->outputs) != JSON_OBJECT) run->outputs = json_new_object(run->arena);
    if (json_kind(run->artifacts) != JSON_ARRAY) run->artifacts = json_new_array(run->arena);
    load_steps(run, json_gets(record, "steps"));
}

struct run *run_load(const struct store_record *record, struct stage *stage, struct fault *fault) {
    struct arena *arena = arena_new();
    const struct json *body = json_parse(arena, record->body, &record_limits, fault);
    if (!body || json_kind(body) != JSON_OBJECT) {
        if (body) fault_set(fault, FAULT_INVALID, record->id, "the record is not an object");
        arena_free(arena);
        return NULL;
    }
    struct run *run = arena_new_of(arena, struct run);
    run->arena = arena;
    run->stage = stage ? stage_ref(stage) : NULL;
    memcpy(run->id, record->id, sizeof run->id);
    run->stage_name = arena_strdup(arena, record->stage);
    run->key = arena_strdup(arena, record->key);
    run->definition = arena_strdup(arena, record->definition);
    run->status = status_parse(record->status);
    run->created_ms = record->created_ms;
    run->updated_ms = record->updated_ms;
    run->ended_ms = record->ended_ms;
    run->state = record->ended_ms ? RUN_ENDED : RUN_WAITING;
    load_members(run, body);
    if (run->stage && run->step >= run->step_count) run->step = run->step_count - 1;
    return run;
}
