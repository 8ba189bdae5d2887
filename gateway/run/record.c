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
#define RECORD_USUAL 1023 /* bytes */

static const struct json_limits record_limits = {
    .max_bytes = 64 * 1024 * 1024, .max_depth = RECORD_DEPTH, .max_items = 10 * 1000 * 1000};

static void put_text(struct buf *out, struct arena *arena, const char *value) {
    struct text text = text_of(value);
    if (text_utf8_check(text)) buf_add_json_string(out, text);
    else json_write(out, json_new_text(arena, text)); /* which makes good text of it */
}

static void put_value(struct buf *out, struct text member, const struct json *value) {
    member_begin(out, member);
    json_write(out, value);
}

/* What is neutral is left out: absent, it reads back as that. */

static void add_text(struct buf *out, struct arena *arena, struct text member, const char *value) {
    if (!value) return;
    member_begin(out, member);
    put_text(out, arena, value);
}

static void add_number(struct buf *out, struct text member, int64_t value) {
    if (value) member_add_number(out, member, value);
}

static void add_frozen(struct buf *out, struct text member, const struct frozen *value) {
    if (!value) return;
    member_begin(out, member);
    buf_addt(out, frozen_text(value));
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

static void add_step(struct buf *out, const struct run *run, size_t i, const struct run_world *world,
                     struct arena *arena) {
    const struct run_step *step = &run->steps[i];
    buf_adds(out, i ? ",{" : "{");
    add_text(out, arena, MEMBER("name"), run->stage ? run->stage->steps[i].name : step->name);
    add_text(out, arena, MEMBER("status"), run_status_word(step->status));
    add_number(out, MEMBER("calls"), step->calls);
    add_number(out, MEMBER("code"), step->code);
    if (step->inbox) put_value(out, MEMBER("callbacks"), inbox_of(run, step->inbox, world, arena));
    if (!run->ended_ms) {
        if (step->url) put_value(out, MEMBER("url"), masked(world, arena, json_new_string(arena, step->url)));
        add_text(out, arena, MEMBER("location"), step->location);
        if (step->value) put_value(out, MEMBER("value"), masked(world, arena, frozen_thaw(arena, step->value)));
    }
    buf_addc(out, '}');
}

/* Calls need them as they are. After the end nobody does; and without the definition nobody knows which are secret. */
static void add_parameters(struct buf *out, const struct run *run, struct arena *arena) {
    const struct stage *stage = run->stage;
    if (!run->ended_ms || (stage ? !run->secrets : run->state == RUN_ENDED))
        add_frozen(out, MEMBER("parameters"), run->parameters);
    else if (stage)
        put_value(out, MEMBER("parameters"),
                  params_masked(arena, stage->params, stage->param_count, frozen_thaw(arena, run->parameters)));
}

void run_record_write(const struct run *run, const struct run_world *world, struct buf *out) {
    struct arena *arena = arena_new();
    buf_expect(out, RECORD_USUAL);
    buf_addc(out, '{');
    member_number(out, "version", 1);
    add_text(out, arena, MEMBER("reason"), reason_word(run->reason));
    add_text(out, arena, MEMBER("fingerprint"), run->fingerprint);
    add_text(out, arena, MEMBER("traceparent"), run->traceparent);
    add_text(out, arena, MEMBER("caller_name"), run->caller_name);
    add_frozen(out, MEMBER("caller"), run->caller);
    add_parameters(out, run, arena);
    add_number(out, MEMBER("step"), (int64_t)run->step);
    add_number(out, MEMBER("queued"), run->queued);
    add_number(out, MEMBER("sending"), run->sending);
    add_number(out, MEMBER("may_have_acted"), run->may_have_acted);
    add_number(out, MEMBER("awaiting"), run->awaiting);
    add_number(out, MEMBER("cancel_wanted"), run->cancel_wanted);
    add_number(out, MEMBER("cancel_since"), run->cancel_since_ms);
    add_number(out, MEMBER("cancel_told"), run->cancel_told);
    add_number(out, MEMBER("cancel_fell_back"), run->cancel_fell_back);
    add_number(out, MEMBER("orphaned"), run->orphaned);
    add_number(out, MEMBER("timed_out"), run->timed_out);
    add_number(out, MEMBER("deadline"), run->deadline_ms);
    add_number(out, MEMBER("attempt"), run->attempt);
    if (run->attempt) add_number(out, MEMBER("failing_since"), run->failing_since_ms);
    add_number(out, MEMBER("probe_attempt"), run->probe_attempt);
    if (run->probe_attempt) add_number(out, MEMBER("probe_failing_since"), run->probe_failing_since_ms);
    add_number(out, MEMBER("step_began"), run->step_began_ms);
    add_number(out, MEMBER("due"), run->due_ms);
    if (run->steady.since_ms) {
        add_number(out, MEMBER("steady_since"), run->steady.since_ms);
        add_number(out, MEMBER("steady_replies"), run->steady.replies);
    }
    add_text(out, arena, MEMBER("progress"), run->progress);
    add_text(out, arena, MEMBER("error"), run->error);
    add_text(out, arena, MEMBER("upstream_word"), run->upstream_word);
    add_number(out, MEMBER("upstream_code"), run->upstream_code);
    if (run->percent >= 0) member_number(out, "percent", run->percent);
    add_frozen(out, MEMBER("outputs"), run->outputs);
    add_frozen(out, MEMBER("artifacts"), run->artifacts);
    add_frozen(out, MEMBER("warnings"), run->warnings);
    add_number(out, MEMBER("journal_left_out"), (int64_t)run->journal.left_out);
    if (run->journal.first) member_name(out, "journal"), journal_write(&run->journal, out);
    member_name(out, "steps");
    buf_addc(out, '[');
    for (size_t i = 0; i < run->step_count; i++) add_step(out, run, i, world, arena);
    buf_adds(out, "]}");
    arena_free(arena);
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
    run->state = record->ended_ms ? RUN_ENDED : RUN_WAITING;
    load_members(run, body);
    arena_free(scratch);
    if (run->stage && run->step >= run->step_count) run->step = run->step_count - 1;
    return run;
}
