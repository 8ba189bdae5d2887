/* A run and a world for it: a store, an upstream and a clock that are plain data, so that a test drives the whole life
 * of a run by hand. After every event the rig checks what run.h promises (its numbered invariants), and that a run that
 * has not ended waits for something. Header only, since each unit test is one file; include cmocka.h before it. */
#ifndef TESTS_RUN_RIG_H
#define TESTS_RUN_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../helpers/definition.h"
#include "call/pace.h"
#include "run/callback.h"
#include "run/mask.h"
#include "run/run.h"

#define RIG_ID "01KAW00000ABCDEFGHJKMNPQRS"
#define RIG_BEGAN 1763880000000

/* A record as the store holds it: everything is a copy. */
struct rig_image {
    bool exists;
    char *body;
    enum run_status status;
    int64_t created_ms, updated_ms, ended_ms;
};

struct rig {
    struct stage *stage;
    struct run *run;
    int64_t set_ms; /* by so much the wall clock was set forward */
    int64_t now_ms;
    uint64_t random;
    /* the store: one record is written at a time, what changes meanwhile is written after it */
    struct rig_image durable, writing;
    bool changed;
    /* the upstream */
    enum run_call under_way;
    size_t under_way_step;                                              /* the run may be past it when it ends */
    unsigned sends[STAGE_STEPS_MAX], cancel_sends, probe_sends, checks; /* calls begun, over all lives */
    bool may_have_acted[STAGE_STEPS_MAX];                               /* as far as the gateway can know */
    unsigned acted[STAGE_STEPS_MAX];                                    /* what the upstream did, whoever knows */
    enum { RIG_LOST_ACTED, RIG_LOST_IDLE } lost;                        /* of a call without a reply: did it act? */
    /* the rest of the world */
    int64_t timer_ms; /* 0: none */
    bool over, accepted, hold_calls;
    bool queued;                   /* it is made as one whose turn has not come */
    bool held, has_turn;           /* a call waits for its turn; has got it */
    bool (*busy)(struct rig *rig); /* whether the next call has to wait; NULL: it never has */
    unsigned unknown_words, undone;
    const struct history *history; /* of the stage's runs; the test's own. NULL: none */
    struct contract *contract;     /* of the watch; the test's own. NULL: nobody watches */
    char *end_text;                /* the record of the end */
    struct arena *thawed;          /* what a test has looked at */
    /* callbacks, by whoever sends them: those that were taken, and those of them that were answered so */
    struct rig_sent {
        size_t step;
        char mark[INBOX_MARK_SIZE];
        bool answered;
    } sent[64];
    unsigned sent_count;
};

static const char rig_two_steps[] =
    "name = \"job\"; request = { url = \"http://up.test/jobs\"; body = \"[{{ callback.url }}]\"; };"
    "status = { url = \"http://up.test/jobs/1\"; every = \"5s\"; timeout = \"60s\"; value = \"$.state\";"
    " success = [ \"passed\" ]; failure = [ \"failed\" ]; canceled = [ \"aborted\" ]; running = [ \"running\" ];"
    " warn = [ \"unstable\" ]; progress = \"$.percent\"; message = \"$.message\";"
    " callback = { value = \"$.state\"; success = [ \"passed\" ]; failure = [ \"failed\" ]; }; };"
    "cancel = { method = \"DELETE\"; url = \"http://up.test/jobs/{{ request.body.id }}\"; };"
    "outputs = { report = \"$.report\"; };";

static inline struct stage *rig_stage(const char *definition) {
    return definition_must("stages.d/rig.conf", definition);
}

static inline uint32_t rig_chance(struct rig *rig) { /* splitmix64 */
    uint64_t z = rig->random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)(z >> 32);
}

static inline struct run_world rig_world(struct rig *rig) {
    return (struct run_world){.now_ms = rig->now_ms,
                              .mono_ms = rig->now_ms - rig->set_ms,
                              .random = rig_chance(rig),
                              .limited = rig->busy,
                              .history = rig->history,
                              .contract = rig->contract};
}

static inline struct run_new rig_new(struct rig *rig, const struct json *parameters) {
    return (struct run_new){.stage = rig->stage,
                            .id = RIG_ID,
                            .key = "build-7",
                            .fingerprint = "f",
                            .traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                            .caller_name = "orca",
                            .parameters = parameters,
                            .now_ms = rig->now_ms,
                            .queued = rig->queued,
                            .limited = rig->busy};
}

/* ---- the store ---- */

static inline void rig_image_take(struct rig *rig, struct rig_image *image) {
    struct buf text;
    buf_init(&text, 64 << 20);
    run_record_write(rig->run, &text);
    assert_false(text.full);
    const struct run *run = rig->run;
    *image = (struct rig_image){true, buf_take(&text), run->status, run->created_ms, run->updated_ms, run->ended_ms};
}

static inline void rig_image_drop(struct rig_image *image) {
    mem_free(image->body);
    *image = (struct rig_image){0};
}

static inline int64_t rig_durable_int(const struct rig *rig, const char *name) {
    if (!rig->durable.exists) return -1;
    struct arena *arena = arena_new();
    struct json_limits limits = {64 << 20, 256, 1000000};
    struct fault fault;
    const struct json *record = json_parse(arena, text_of(rig->durable.body), &limits, &fault);
    assert_non_null(record);
    int64_t value = json_int(json_gets(record, name));
    arena_free(arena);
    return value;
}

/* Does the durable record hold the reply that decided this step, or that it is left out? */
static inline bool rig_durable_decided(const struct rig *rig, size_t step) {
    struct arena *arena = arena_new();
    struct json_limits limits = {64 << 20, 256, 1000000};
    struct fault fault;
    const struct json *record = json_parse(arena, text_of(rig->durable.body), &limits, &fault);
    const struct json *kept = json_at(json_gets(record, "steps"), step);
    const char *status = json_gets_text(kept, "status");
    bool decided = json_kind(json_gets(kept, "value")) == JSON_OBJECT || (status && strcmp(status, "SKIPPED") == 0);
    arena_free(arena);
    return decided;
}

static inline void rig_check_report(const struct rig *rig) {
    struct arena *arena = arena_new();
    struct json_limits limits = {64 << 20, 256, 1000000};
    struct fault fault;
    struct buf text;
    buf_init(&text, 64 << 20);
    run_report_write(rig->run, NULL, 0, "http://gw.test", &text);
    const struct json *report = json_parse(arena, buf_text(&text), &limits, &fault);
    if (!report) fail_msg("the report is no JSON: %s: %s", fault.what, buf_cstr(&text));
    const char *status = json_gets_text(report, "status"), *progress = json_gets_text(report, "progress");
    assert_non_null(progress);
    bool told = rig->run->state == RUN_ENDED;
    assert_int_equal(strcmp(status, "RUNNING") != 0, told);
    if (told) { /* invariant 3 */
        assert_true(rig->durable.ended_ms);
        assert_string_equal(status, run_status_word(rig->durable.status));
        assert_true(rig->durable.status == RUN_SUCCEEDED || rig->durable.status == RUN_TERMINAL ||
                    rig->durable.status == RUN_CANCELED);
        assert_int_equal(json_kind(json_gets(report, "reason")) == JSON_NULL, rig->durable.status == RUN_SUCCEEDED);
    }
    buf_fini(&text);
    arena_free(arena);
}

/* ---- carrying out orders, and checking them ---- */

static inline void rig_carry_out(struct rig *rig, const struct run_orders *orders);

static inline void rig_move(struct rig *rig, const struct run_event *event) {
    struct run_world world = rig_world(rig);
    struct run_orders orders;
    run_move(rig->run, event, &world, &orders);
    rig_carry_out(rig, &orders);
}

/* Its turn has not come. Nobody is in doubt about a call that was not sent: a restart would be. */
static inline bool rig_holds(struct rig *rig) {
    const struct run *run = rig->run;
    if (rig->has_turn || !rig->busy || !rig->busy(rig)) return false;
    if (!rig->may_have_acted[run->step]) assert_int_equal(rig_durable_int(rig, "sending"), 0);
    rig->held = true;
    rig_move(rig, &(struct run_event){.kind = RUN_EVENT_HELD, .turn = "held: 1st of 1"});
    return true;
}

static inline void rig_begin_call(struct rig *rig, enum run_call call, bool intended) {
    struct run *run = rig->run;
    assert_int_equal(rig->under_way, RUN_CALL_NONE);
    assert_false(rig->durable.ended_ms);
    if (rig->hold_calls) {
        rig_move(rig, &(struct run_event){.kind = RUN_EVENT_HELD});
        return;
    }
    if (call == RUN_CALL_STEP && !intended && rig_holds(rig)) return;
    rig->has_turn = false;
    rig->under_way = call;
    rig->under_way_step = run->step;
    if (call == RUN_CALL_PROBE) {
        assert_true(rig_durable_int(rig, "sending")); /* so that a restart looks again */
        rig->probe_sends++;
        return;
    }
    if (call == RUN_CALL_CHECK) {
        assert_true(rig_durable_int(rig, "cancel_wanted"));
        assert_true(rig->stage->steps[run->step].call.idempotent);
        rig->checks++;
        return;
    }
    if (call == RUN_CALL_CANCEL) {
        assert_non_null(rig->stage->cancel);
        assert_true(rig_durable_int(rig, "cancel_wanted"));
        rig->cancel_sends++;
        return;
    }
    const struct stage_step *step = &rig->stage->steps[run->step];
    assert_non_null(step->call.url);
    assert_false(run->awaiting);
    assert_true(rig->durable.exists);
    assert_false(run->queued);
    assert_int_equal(rig_durable_int(rig, "queued"), 0); /* a restart would think that nothing was sent */
    assert_int_equal(rig_durable_int(rig, "step"), run->step);
    for (size_t i = 0; i < run->step; i++) assert_true(rig_durable_decided(rig, i)); /* invariant 2 */
    if (!step->call.idempotent) {
        assert_true(rig_durable_int(rig, "sending"));                                   /* invariant 1 */
        if (step->in_doubt == DOUBT_FAIL) assert_false(rig->may_have_acted[run->step]); /* invariant 4 */
        if (step->in_doubt == DOUBT_PROBE) assert_int_equal(rig->acted[run->step], 0);
    }
    bool for_cancel = step->call.idempotent && step->rules.exist && run->step < rig->stage->cancel_needs;
    assert_true(!run->cancel_wanted || for_cancel);
    rig->may_have_acted[run->step] = true; /* until its reply says otherwise */
    rig->sends[run->step]++;
}

/* The call under way ends without a reply that the gateway sees. */
static inline void rig_lose(struct rig *rig) {
    if (rig->under_way == RUN_CALL_STEP && rig->lost == RIG_LOST_ACTED) rig->acted[rig->under_way_step]++;
    rig->under_way = RUN_CALL_NONE;
}

static inline void rig_store(struct rig *rig) {
    if (rig->writing.exists) rig->changed = true;
    else rig_image_take(rig, &rig->writing);
}

static inline void rig_check(struct rig *rig) {
    const struct run *run = rig->run;
    rig_check_report(rig);
    if (rig->over) return;
    bool waits = rig->writing.exists || rig->under_way || rig->hold_calls || run->state == RUN_QUEUED;
    if (run->state == RUN_QUEUED) assert_true(run->queued || rig->held); /* the gate knows of it */
    bool timed = run->state == RUN_WAITING || run->state == RUN_CANCEL_WAITING || run->state == RUN_PROBE_WAITING ||
                 run->state == RUN_CANCEL_CHECK_WAITING;
    if (timed) waits = waits || rig->timer_ms;
    if (!waits) fail_msg("a run in state %s waits for nothing", run_state_word(run->state));
    bool calls = run->state == RUN_CALLING || run->state == RUN_CANCELING || run->state == RUN_PROBING ||
                 run->state == RUN_CANCEL_CHECKING;
    assert_true(calls == (rig->under_way != RUN_CALL_NONE));
}

static inline void rig_carry_out(struct rig *rig, const struct run_orders *orders) {
    assert_false(orders->store && orders->call);
    if (orders->unknown_word) rig->unknown_words++;
    if (orders->undone) rig->undone++;
    if (orders->abort_call) {
        assert_int_not_equal(rig->under_way, RUN_CALL_NONE);
        rig_lose(rig);
    }
    if (orders->wait_until) rig->timer_ms = orders->wait_until;
    if (orders->ask_first && rig->hold_calls) {
        rig_move(rig, &(struct run_event){.kind = RUN_EVENT_HELD});
        return;
    }
    if (orders->ask_first && rig_holds(rig)) return;
    if (orders->store) rig_store(rig);
    if (orders->ended) rig->over = true;
    if (orders->call) rig_begin_call(rig, orders->call, orders->intended);
    rig_check(rig);
}

/* What the run holds, until the rig ends. */
static inline const struct json *rig_value(const struct rig *rig, const struct frozen *frozen) {
    return frozen_thaw(rig->thawed, frozen);
}

/* ---- events ---- */

static inline void rig_begin(struct rig *rig, const char *definition, uint64_t seed) {
    *rig = (struct rig){.now_ms = RIG_BEGAN, .random = seed, .thawed = arena_new()};
    rig->stage = rig_stage(definition);
}

static inline void rig_start_with(struct rig *rig, const struct json *parameters) {
    struct run_new from = rig_new(rig, parameters);
    rig->run = run_new(&from);
    rig_store(rig);
    rig_check(rig);
}

/* A run of it is made: its first record is being written. */
static inline void rig_start(struct rig *rig, const char *definition) {
    rig_begin(rig, definition, 1);
    rig_start_with(rig, NULL);
}

/* The record that is being written is durable; what changed meanwhile is written next. */
static inline void rig_written(struct rig *rig) {
    assert_true(rig->writing.exists);
    rig_image_drop(&rig->durable);
    rig->durable = rig->writing;
    rig->writing = (struct rig_image){0};
    rig->accepted = true;
    if (rig->changed) {
        rig->changed = false;
        rig_store(rig);
        return;
    }
    for (unsigned i = 0; i < rig->sent_count; i++) rig->sent[i].answered = true;
    rig_move(rig, &(struct run_event){.kind = RUN_EVENT_STORED});
}

static inline void rig_stored(struct rig *rig) {
    while (rig->writing.exists) rig_written(rig);
}

/* … and is durable: its first call is under way. */
static inline void rig_accept(struct rig *rig, const char *definition) {
    rig_start(rig, definition);
    rig_stored(rig);
}

static inline void rig_unstored(struct rig *rig) {
    rig_image_drop(&rig->writing);
    rig->changed = false;
    rig_move(rig, &(struct run_event){.kind = RUN_EVENT_UNSTORED});
}

static inline void rig_reply(struct rig *rig, const struct reply *reply) {
    assert_int_not_equal(rig->under_way, RUN_CALL_NONE);
    const struct run *run = rig->run;
    if (rig->under_way == RUN_CALL_STEP) {
        const struct stage_step *step = &rig->stage->steps[run->step];
        bool answered = reply->phase == REPLY_ANSWERED;
        if (reply->phase == REPLY_NEVER_SENT || (answered && reply->code == 429) || (answered && step->rules.exist))
            rig->may_have_acted[run->step] = false;
        if (reply->phase == REPLY_MAYBE_ACTED_ON) rig_lose(rig);
        else if (answered && reply->code != 429) rig->acted[run->step]++;
    }
    rig->under_way = RUN_CALL_NONE;
    rig_move(rig, &(struct run_event){.kind = RUN_EVENT_REPLY, .reply = reply});
}

static inline void rig_answer(struct rig *rig, int code, const char *body) {
    struct reply reply = {.phase = REPLY_ANSWERED, .code = code, .body = text_of(body), .url = "http://up.test/jobs/1"};
    rig_reply(rig, &reply);
}

/* The same with a Retry-After. */
static inline void rig_answer_asking(struct rig *rig, int code, const char *body, const char *retry_after) {
    struct reply_header header = {"Retry-After", retry_after};
    struct reply reply = {
        .phase = REPLY_ANSWERED, .code = code, .headers = &header, .header_count = 1, .body = text_of(body)};
    rig_reply(rig, &reply);
}

static inline void rig_fail(struct rig *rig, enum reply_phase phase) {
    struct fault fault;
    struct reply reply = {.phase = phase, .fault = &fault};
    fault_set(&fault, FAULT_UPSTREAM, NULL, phase == REPLY_NEVER_SENT ? "connection refused" : "cut short");
    rig_reply(rig, &reply);
}

static inline void rig_refuse(struct rig *rig, enum fault_kind kind) {
    struct fault fault;
    fault_set(&fault, kind, NULL, "request.body.id is not there");
    if (rig->under_way == RUN_CALL_STEP) {
        rig->may_have_acted[rig->run->step] = false;
        rig->sends[rig->run->step]--;
    } else if (rig->under_way == RUN_CALL_CANCEL) {
        rig->cancel_sends--;
    } else if (rig->under_way == RUN_CALL_CHECK) {
        rig->checks--;
    }
    rig->under_way = RUN_CALL_NONE;
    rig_move(rig, &(struct run_event){.kind = RUN_EVENT_REFUSED, .fault = &fault});
}

/* … accepted, submitted, answered, and the first poll of rig_two_steps under way. */
static inline void rig_begin_polling(struct rig *rig) {
    rig_accept(rig, rig_two_steps);
    rig_answer(rig, 201, "{\"id\": 5}");
    rig_stored(rig);
    assert_int_equal(rig->run->state, RUN_CALLING);
    assert_int_equal(rig->run->step, 1);
}

static inline void rig_cancel(struct rig *rig) {
    rig_move(rig, &(struct run_event){.kind = RUN_EVENT_CANCEL});
}

/* Its turn has come. */
static inline void rig_give_turn(struct rig *rig) {
    rig->held = false;
    if (!rig->run->queued) rig->has_turn = true;
    rig_move(rig, &(struct run_event){.kind = RUN_EVENT_TURN});
}

static inline void rig_due(struct rig *rig) {
    assert_true(rig->timer_ms);
    if (rig->now_ms < rig->timer_ms) rig->now_ms = rig->timer_ms;
    rig->timer_ms = 0;
    rig_move(rig, &(struct run_event){.kind = RUN_EVENT_DUE});
}

/* The upstream takes the cancel call, and says to the first poll behind it that it has stopped. */
static inline void rig_stops(struct rig *rig) {
    assert_int_equal(rig->under_way, RUN_CALL_CANCEL);
    rig_answer(rig, 204, "");
    assert_int_equal(rig->run->state, RUN_CANCEL_CHECK_WAITING);
    rig_due(rig);
    assert_int_equal(rig->under_way, RUN_CALL_CHECK);
    rig_answer(rig, 200, "{\"state\": \"aborted\"}");
}

/* A callback for a step, with a name that its sender gave it (NULL: none). */
static inline enum run_taken rig_call_back(struct rig *rig, size_t step, const char *name, const char *body) {
    struct reply_header header = {"webhook-id", name};
    struct reply message = {
        .phase = REPLY_ANSWERED, .code = 200, .headers = &header, .header_count = name != NULL, .body = text_of(body)};
    struct run_world world = rig_world(rig);
    struct run_callback callback;
    struct run_orders orders;
    struct arena *arena = arena_new();
    struct rig_image before, after;
    callback_read(arena, step, &message, &callback);
    rig_image_take(rig, &before);
    enum run_state from = rig->run->state;
    run_move(rig->run, &(struct run_event){.kind = RUN_EVENT_CALLBACK, .callback = &callback}, &world, &orders);
    rig_image_take(rig, &after);
    bool same = from == rig->run->state && strcmp(before.body, after.body) == 0 && !orders.store;
    if (orders.taken != RUN_CALLBACK_TAKEN && !same) fail_msg("a callback that was not taken has an effect");
    if (orders.taken == RUN_CALLBACK_TAKEN && !same && rig->sent_count < 64) {
        struct rig_sent *sent = &rig->sent[rig->sent_count++];
        *sent = (struct rig_sent){.step = step};
        memcpy(sent->mark, callback.mark, sizeof sent->mark);
    }
    rig_image_drop(&before);
    rig_image_drop(&after);
    rig_carry_out(rig, &orders);
    if (orders.taken == RUN_CALLBACK_TAKEN && !same) assert_true(rig->writing.exists); /* answered when it is durable */
    arena_free(arena);
    return orders.taken;
}

/* None that was answered is forgotten. Steps of the rig are sent fewer than are known at a time. */
static inline void rig_check_callbacks(const struct rig *rig) {
    unsigned behind[STAGE_STEPS_MAX] = {0};
    for (unsigned i = rig->sent_count; i-- > 0;) {
        const struct rig_sent *sent = &rig->sent[i];
        if (!sent->answered || ++behind[sent->step] > INBOX_KNOWN) continue;
        assert_true(inbox_knows(rig->run->steps[sent->step].inbox, sent->mark));
    }
}

/* What is being written becomes durable, and with it the run is over, so and for this reason. */
static inline void rig_assert_ends(struct rig *rig, enum run_status status, enum reason reason) {
    rig_stored(rig);
    if (!rig->over) fail_msg("it goes on: %s, %s", run_state_word(rig->run->state), rig->run->progress);
    assert_string_equal(run_status_word(rig->run->status), run_status_word(status));
    if (rig->run->reason != reason) fail_msg("the reason is %s: %s", reason_word(rig->run->reason), rig->run->progress);
    assert_int_equal(rig->undone > 0, status != RUN_SUCCEEDED);
}

/* The next poll is on the run's grid of 5 s, not at once and not far. */
static inline void rig_assert_on_grid(const struct rig *rig) {
    struct stage_step step = {.every_ms = 5000};
    int64_t origin = pace_origin_ms(&step, rig->run->step_began_ms, TEXT(RIG_ID));
    assert_int_equal((rig->timer_ms - origin) % (5000), 0);
    assert_in_range(rig->timer_ms - rig->now_ms, 500, 5500);
}

static inline struct store_record rig_record(const struct rig *rig, const struct rig_image *image) {
    struct store_record record = {.stage = rig->stage->name,
                                  .key = "build-7",
                                  .status = run_status_word(image->status),
                                  .definition = rig->stage->hash,
                                  .created_ms = image->created_ms,
                                  .updated_ms = image->updated_ms,
                                  .ended_ms = image->ended_ms,
                                  .body = text_of(image->body)};
    memcpy(record.id, RIG_ID, sizeof record.id);
    return record;
}

/* kill -9: what is not durable is lost, or not (a write that was under way). */
static inline void rig_crash(struct rig *rig, bool write_made_it) {
    if (rig->writing.exists && write_made_it) {
        rig_image_drop(&rig->durable);
        rig->durable = rig->writing;
        rig->writing = (struct rig_image){0};
    }
    rig_image_drop(&rig->writing);
    rig->changed = rig->hold_calls = rig->held = rig->has_turn = false;
    unsigned kept = 0;
    for (unsigned i = 0; i < rig->sent_count; i++)
        if (rig->sent[i].answered) rig->sent[kept++] = rig->sent[i];
    rig->sent_count = kept;
    rig_lose(rig);
    rig->timer_ms = 0;
    run_free(rig->run);
    rig->run = NULL;
}

/* The start after that. Only for a run that the store has, and that has not ended. */
static inline void rig_resume(struct rig *rig) {
    struct fault fault;
    struct store_record record = rig_record(rig, &rig->durable);
    rig->run = run_load(&record, rig->stage, &fault);
    rig->accepted = true;
    if (!rig->run) fail_msg("%s", fault.what);
    rig_check_callbacks(rig);
    for (size_t i = 0; i < rig->run->step_count; i++) { /* every call that was recorded before it left is counted */
        const struct stage_step *step = &rig->stage->steps[i];
        bool recorded = !step->call.idempotent && step->in_doubt != DOUBT_RESEND;
        if (recorded) assert_true(rig->run->steps[i].calls >= rig->sends[i]);
    }
    struct run_world world = rig_world(rig);
    struct run_orders orders;
    run_resume(rig->run, &world, &orders);
    rig_carry_out(rig, &orders);
}

static inline void rig_restart(struct rig *rig) {
    rig_crash(rig, false);
    rig_resume(rig);
}

static inline void rig_end(struct rig *rig) {
    run_free(rig->run);
    stage_unref(rig->stage);
    rig_image_drop(&rig->durable);
    rig_image_drop(&rig->writing);
    mem_free(rig->end_text);
    arena_free(rig->thawed);
}

#endif
