/* The record of a run: what the store keeps of it, as JSON, and the way back.
 *
 * A record of a run in flight holds what its next calls need (parameters, the replies that decided steps); a record of
 * an ended one only what a report shows. The gateway's secrets are masked in both, those among the parameters once the
 * run has ended. Unknown members are ignored, absent ones have
 * their neutral value, so that records of an older version can be read. */
#include <string.h>

#include "lang/json_walk.h"
#include "run/mask.h"
#include "run/member.h"
#include "run/run.h"
#include "run/run_move.h"

#define RECORD_USUAL 1023 /* bytes */
#define HEAD "{\"version\":1"
#define BEGUN ",\"begun\":"

static const struct json_limits inbox_limits = {
    .max_bytes = 64 * 1024 * 1024, .max_depth = JSON_WALK_DEPTH, .max_items = 10 * 1000 * 1000};

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
    if (!value) return;
    member_begin(out, member);
    buf_addi(out, value);
}

static void add_frozen(struct buf *out, struct text member, const struct frozen *value) {
    if (!value) return;
    member_begin(out, member);
    buf_addt(out, frozen_text(value));
}

/* Those that are kept stay as long as they may be judged, without secrets, as a reply does. */
static const struct json *inbox_of(const struct run *run, const struct inbox *inbox, struct arena *arena) {
    const struct json *values[INBOX_KEPT];
    for (unsigned i = 0; i < inbox->kept_count; i++) values[i] = mask_value(run, arena, inbox->kept[i].value);
    return inbox_write(inbox, arena, run->ended_ms ? NULL : values);
}

/* This record is the last one before a call that may do harm: who reads it has to count with that call. */
static bool is_about_to_call(const struct run *run, size_t step) {
    bool before = run->state == RUN_ACCEPTING || run->state == RUN_INTENDING || run->state == RUN_RECORDING;
    return before && run->sending && run->step == step;
}

static void add_step(struct buf *out, const struct run *run, size_t i, struct arena *arena) {
    const struct run_step *step = &run->steps[i];
    buf_adds(out, i ? ",{" : "{");
    add_text(out, arena, MEMBER("name"), run->stage ? run->stage->steps[i].name : step->name);
    add_text(out, arena, MEMBER("status"), run_status_word(step->status));
    add_number(out, MEMBER("calls"), step->calls + is_about_to_call(run, i));
    add_number(out, MEMBER("code"), step->code);
    if (step->inbox) put_value(out, MEMBER("callbacks"), inbox_of(run, step->inbox, arena));
    if (!run->ended_ms) {
        if (step->url) put_value(out, MEMBER("url"), mask_value(run, arena, json_new_string(arena, step->url)));
        add_text(out, arena, MEMBER("location"), step->location);
        if (step->value) put_value(out, MEMBER("value"), mask_value(run, arena, frozen_thaw(arena, step->value)));
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

void run_record_write(const struct run *run, struct buf *out) {
    struct arena *arena = arena_new();
    buf_expect(out, RECORD_USUAL);
    buf_adds(out, HEAD);
    if (run->begun_ms != run->created_ms) member_number(out, "begun", run->begun_ms);
    add_text(out, arena, MEMBER("reason"), reason_word(run->reason));
    add_text(out, arena, MEMBER("fingerprint"), run->fingerprint);
    add_text(out, arena, MEMBER("attached_to"), run->attached_to);
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
    for (size_t i = 0; i < run->step_count; i++) add_step(out, run, i, arena);
    buf_adds(out, "]}");
    arena_free(arena);
}

/* ---- reading ---- */

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

/* Its members, in the order in which they are written. */
#define RECORD_MEMBERS(X)  \
    X(reason)              \
    X(fingerprint)         \
    X(attached_to)         \
    X(traceparent)         \
    X(caller_name)         \
    X(caller)              \
    X(parameters)          \
    X(step)                \
    X(queued)              \
    X(sending)             \
    X(may_have_acted)      \
    X(awaiting)            \
    X(cancel_wanted)       \
    X(cancel_since)        \
    X(cancel_told)         \
    X(cancel_fell_back)    \
    X(orphaned)            \
    X(timed_out)           \
    X(deadline)            \
    X(attempt)             \
    X(failing_since)       \
    X(probe_attempt)       \
    X(probe_failing_since) \
    X(step_began)          \
    X(due)                 \
    X(steady_since)        \
    X(steady_replies)      \
    X(progress)            \
    X(error)               \
    X(upstream_word)       \
    X(upstream_code)       \
    X(percent)             \
    X(outputs)             \
    X(artifacts)           \
    X(warnings)            \
    X(journal_left_out)    \
    X(journal)             \
    X(steps)
#define STEP_MEMBERS(X) X(name) X(status) X(calls) X(code) X(callbacks) X(url) X(location) X(value)

enum record_member {
#define X(name) RECORD_##name,
    RECORD_MEMBERS(X)
#undef X
        RECORD_MEMBER_END
};

enum step_member {
#define X(name) STEP_##name,
    STEP_MEMBERS(X)
#undef X
        STEP_MEMBER_END
};

static const struct text record_names[] = {
#define X(name) {#name, sizeof #name - 1},
    RECORD_MEMBERS(X)
#undef X
};

static const struct text step_names[] = {
#define X(name) {#name, sizeof #name - 1},
    STEP_MEMBERS(X)
#undef X
};

static enum run_status status_parse(struct text word) {
    for (int status = RUN_NOT_STARTED; status <= RUN_SKIPPED; status++)
        if (text_is(word, run_status_word((enum run_status)status))) return (enum run_status)status;
    return RUN_NOT_STARTED;
}

/* Of a fixed word, which needs no escapes. */
static struct text word_of(struct text value) {
    return json_walk_kind(value) == JSON_STRING ? (struct text){value.at + 1, value.len - 2} : (struct text){0};
}

static struct inbox *load_inbox(struct run *run, struct text callbacks) {
    struct fault fault;
    if (!callbacks.len) return NULL;
    struct arena *scratch = arena_new();
    struct inbox *inbox = inbox_load(run->arena, json_parse(scratch, callbacks, &inbox_limits, &fault));
    arena_free(scratch);
    return inbox;
}

static void load_step(struct run *run, struct run_step *to, const struct text *from) {
    if (!run->stage) to->name = json_walk_string_in(run->arena, from[STEP_name]);
    to->status = status_parse(word_of(from[STEP_status]));
    to->calls = (unsigned)json_walk_int(from[STEP_calls]);
    to->code = (int)json_walk_int(from[STEP_code]);
    to->url = json_walk_string(from[STEP_url]);
    to->location = json_walk_string(from[STEP_location]);
    to->inbox = load_inbox(run, from[STEP_callbacks]);
    to->value = frozen_of_text(from[STEP_value]);
}

static void load_steps(struct run *run, struct text steps) {
    struct text members[STEP_MEMBER_END], item;
    size_t at;
    for (size_t i = 0; i < run->step_count && json_walk_next(&steps, &item); i++)
        if (json_walk_members(item, step_names, STEP_MEMBER_END, members, &at)) load_step(run, &run->steps[i], members);
}

static size_t count_items(struct text array) {
    struct text item;
    size_t count = 0;
    while (json_walk_next(&array, &item)) count++;
    return count;
}

/* NULL where it is empty, or no such thing. */
static struct frozen *load_value(struct text value, enum json_kind kind) {
    return json_walk_kind(value) == kind && !json_walk_empty(value) ? frozen_of_text(value) : NULL;
}

static void load_members(struct run *run, const struct text *from) {
#define INT(name) json_walk_int(from[RECORD_##name])
    char *reason = json_walk_string(from[RECORD_reason]);
    run->reason = reason_parse(reason);
    mem_free(reason);
    run->step = (size_t)INT(step);
    run->queued = INT(queued);
    run->sending = INT(sending);
    run->may_have_acted = INT(may_have_acted);
    run->awaiting = INT(awaiting);
    run->cancel_wanted = INT(cancel_wanted);
    run->cancel_since_ms = INT(cancel_since);
    run->cancel_told = INT(cancel_told);
    run->cancel_fell_back = INT(cancel_fell_back);
    run->orphaned = INT(orphaned);
    run->timed_out = INT(timed_out);
    run->deadline_ms = INT(deadline);
    run->attempt = (unsigned)INT(attempt);
    run->failing_since_ms = INT(failing_since);
    run->probe_attempt = (unsigned)INT(probe_attempt);
    run->probe_failing_since_ms = INT(probe_failing_since);
    run->step_began_ms = INT(step_began);
    run->due_ms = INT(due);
    run->steady.since_ms = INT(steady_since);
    run->steady.replies = INT(steady_replies);
    run->progress = json_walk_string(from[RECORD_progress]);
    if (!run->progress) run->progress = mem_strdup("");
    run->error = json_walk_string(from[RECORD_error]);
    run->upstream_word = json_walk_string(from[RECORD_upstream_word]);
    run->upstream_code = (int)INT(upstream_code);
    run->percent = json_walk_kind(from[RECORD_percent]) == JSON_INT ? (int)INT(percent) : -1;
    run->outputs = load_value(from[RECORD_outputs], JSON_OBJECT);
    run->artifacts = load_value(from[RECORD_artifacts], JSON_ARRAY);
    run->warnings = load_value(from[RECORD_warnings], JSON_ARRAY);
    journal_load(&run->journal, from[RECORD_journal], (uint64_t)INT(journal_left_out));
    load_steps(run, from[RECORD_steps]);
#undef INT
}

static struct run *make_run(const struct store_record *record, struct stage *stage, const struct text *from) {
    struct arena *scratch = arena_new();
    struct run_new made = {.stage = stage,
                           .id = record->id,
                           .key = record->key,
                           .fingerprint = json_walk_string_in(scratch, from[RECORD_fingerprint]),
                           .traceparent = json_walk_string_in(scratch, from[RECORD_traceparent]),
                           .caller_name = json_walk_string_in(scratch, from[RECORD_caller_name]),
                           .now_ms = record->created_ms};
    struct run *run = run_make(&made, record->stage, record->definition,
                               stage ? stage->step_count : count_items(from[RECORD_steps]));
    arena_free(scratch);
    run->caller = frozen_of_text(from[RECORD_caller]);
    run->parameters = frozen_of_text(from[RECORD_parameters]);
    run->attached_to = json_walk_string_in(run->arena, from[RECORD_attached_to]);
    run_find_secrets(run, NULL);
    return run;
}

struct run *run_load(const struct store_record *record, struct stage *stage, struct fault *fault) {
    struct text members[RECORD_MEMBER_END];
    size_t at;
    if (!json_walk_members(record->body, record_names, RECORD_MEMBER_END, members, &at)) {
        fault_set(fault, FAULT_SYNTAX, record->id, "the record is no JSON object from byte %zu on", at);
        return NULL;
    }
    struct run *run = make_run(record, stage, members);
    run->status = status_parse(text_of(record->status));
    run->updated_ms = record->updated_ms;
    run->ended_ms = record->ended_ms;
    run->begun_ms = run_record_begun_ms(record);
    run->state = record->ended_ms ? RUN_ENDED : RUN_WAITING;
    load_members(run, members);
    if (run->stage && run->step >= run->step_count) run->step = run->step_count - 1;
    return run;
}
