/* A loop's runs: carries out what run_move orders, and brings it the next event.
 *
 * A `life` is a run together with what it needs while it is in flight: its timer, its call, its record being written,
 * and who waits for it. One record of a life is written at a time; what changes meanwhile is written after it, so that
 * STORED means that all of it is durable. A first record that cannot be written ends the life (its start is refused); a
 * later one is written again until the store takes it. Where a stage needs no disk all of this is the same, but that
 * the store keeps the record in memory, and the text of it is not made; an orderly stop moves it to the disk. Always
 * holds: a life is in the indexes exactly while its run may still change; a question is in one list at a time. */
#include "run/engine.h"

#include <string.h>

#include "back/secrets.h"
#include "base/count.h"
#include "base/digest.h"
#include "base/log.h"
#include "run/callback.h"
#include "run/contract.h"
#include "run/life.h"
#include "run/rest.h"
#include "run/turns.h"

#define RECORD_MAX (64 * 1024 * 1024)
#define STORE_RETRY_MS 1000
#define SETTLE_LOOK_MS 20 /* how often it is looked whether calls that may not be repeated are under way */
#define MOVES_AT_ONCE 256 /* to the disk: each takes memory until it is there */
#define HELD_LOOK_MS 100  /* how often a call that is held back is tried again */
#define ORPHAN_AFTER_MS (10 * 60 * 1000) /* in lists, of stages that do not say */

#ifdef MEM_SINGLE
#define WRITES_SPARE 0 /* each has memory of its own, so that a use behind its end is seen */
#else
#define WRITES_SPARE 64
#endif
#define WRITE_SPARE_BYTES (16 * 1024)

struct write {
    struct write *next; /* of those that wait to be used again */
    struct store_op op;
    struct buf body;
    struct life *life;
};

static void drive(struct life *life, const struct run_event *event);
static void carry_out(struct life *life, const struct run_orders *orders);

/* ---- the log ---- */

struct log_context life_context(const struct run *run) {
    struct log_context ctx = {
        .run = run->id, .stage = run->stage_name, .caller = run->caller_name, .trace = run->traceparent};
    if (run->stage && run->step < run->step_count) ctx.step = run->stage->steps[run->step].name;
    return ctx;
}

static void log_end(const struct run *run) {
    struct log_context ctx = life_context(run);
    log_put(run->status == RUN_TERMINAL ? LOG_WARN : LOG_INFO, "run_ended", &ctx,
            LOG_STR("status", run_status_word(run->status)), LOG_STR("reason", reason_word(run->reason)),
            LOG_STR("progress", run->progress), LOG_INT("ms", run->ended_ms - run->created_ms));
    count_add_labelled(COUNT_FAMILY_RUNS_ENDED, run->stage_name, run_status_word(run->status), 1);
    count_observe(COUNT_HISTOGRAM_RUN_MS, run->ended_ms - run->created_ms);
}

/* ---- lives ---- */

/* Is there something that is not durable yet? */
bool life_writes(const struct life *life) {
    return life->write || (life->store_timer && loop_timer_waits(life->store_timer));
}

struct pair {
    const char *stage, *key;
};

static bool same_id(const void *owner, const void *id) {
    return strcmp(((const struct life *)owner)->run->id, id) == 0;
}

static bool same_key(const void *owner, const void *arg) {
    const struct run *run = ((const struct life *)owner)->run;
    const struct pair *pair = arg;
    return strcmp(run->stage_name, pair->stage) == 0 && strcmp(run->key, pair->key) == 0;
}

struct life *life_find_id(const struct engine *engine, const char *id) {
    return index_find(&engine->by_id, index_hash(text_of(id), (struct text){0}), same_id, id);
}

struct life *life_find_key(const struct engine *engine, const char *stage, const char *key) {
    return index_find(&engine->by_key, index_hash(text_of(stage), text_of(key)), same_key, &(struct pair){stage, key});
}

/* The call that the run makes, or waits to make, may be ended at any moment, and begun again by whoever resumes the
 * run. */
static bool may_repeat(const struct life *life) {
    const struct run *run = life->run;
    if (run->state == RUN_PROBING || run->state == RUN_PROBE_WAITING) return true;
    if (run->state == RUN_CANCEL_CHECKING || run->state == RUN_CANCEL_CHECK_WAITING) return true;
    return (run->state == RUN_CALLING || run->state == RUN_WAITING) && run_call_of(run, RUN_CALL_STEP)->idempotent;
}

static void on_due(void *arg) {
    struct life *life = arg;
    if (life->engine->draining) return; /* the record knows what is due */
    if (life->engine->settling && !life->transfer && !may_repeat(life)) {
        loop_timer_set(&life->timer, HELD_LOOK_MS);
        return;
    }
    if (life->run->state == RUN_WAITING)
        count_observe(COUNT_HISTOGRAM_POLL_LATE_MS, loop_wall_ms(life->engine->loop) - life->run->due_ms);
    drive(life, &(struct run_event){.kind = RUN_EVENT_DUE});
}

static void on_store_due(void *arg) {
    life_record(arg);
}

/* ---- orphans ---- */

static int64_t orphan_after_ms(const struct life *life) {
    const struct stage *stage = life->run->stage;
    return stage && stage->orphan_after_ms ? stage->orphan_after_ms : ORPHAN_AFTER_MS;
}

static int64_t unread_ms(const struct life *life) {
    return life->asks ? 0 : loop_mono_ms(life->engine->loop) - life->read_ms;
}

bool life_is_orphan(const struct life *life) {
    return unread_ms(life) >= orphan_after_ms(life);
}

void life_read(struct life *life) {
    life->read_ms = loop_mono_ms(life->engine->loop);
    turns_look(life);
}

static void on_orphan_due(void *arg) {
    struct life *life = arg;
    if (!life_is_orphan(life)) {
        loop_timer_set(life->orphan_timer, orphan_after_ms(life) - unread_ms(life));
        return;
    }
    if (life->engine->draining) return;
    struct log_context ctx = life_context(life->run);
    log_put(LOG_WARN, "run_orphaned", &ctx, LOG_INT("unread_ms", unread_ms(life)));
    drive(life, &(struct run_event){.kind = RUN_EVENT_CANCEL, .orphaned = true});
}

static void watch_for_orphan(struct life *life) {
    life_read(life);
    if (!life->run->stage || !life->run->stage->orphan_after_ms) return;
    life->orphan_timer = mem_alloc(sizeof *life->orphan_timer);
    loop_timer_init(life->orphan_timer, life->engine->loop, "orphan", on_orphan_due, life);
    loop_timer_set(life->orphan_timer, orphan_after_ms(life));
}

/* ---- lives ---- */

struct life *life_new(struct engine *engine, struct run *run) {
    struct life *life = mem_alloc(sizeof *life);
    life->engine = engine;
    life->run = run;
    loop_timer_init(&life->timer, engine->loop, "run", on_due, life);
    index_add(&engine->by_id, &life->by_id, index_hash(text_of(run->id), (struct text){0}), life);
    if (run->key)
        index_add(&engine->by_key, &life->by_key, index_hash(text_of(run->stage_name), text_of(run->key)), life);
    if (run->stage) life->history = pasts_find(&engine->pasts, engine->loop, engine->store, run->stage_name);
    if (run->stage && engine->settings.contracts)
        life->contract = contracts_begin(engine->settings.contracts, run->stage, loop_wall_ms(engine->loop));
    watch_for_orphan(life);
    life->next = engine->lives;
    if (life->next) life->next->previous = life;
    engine->lives = life;
    engine->count++;
    count_add(COUNT_RUNS_IN_FLIGHT, 1);
    return life;
}

static void life_unlink(struct life *life) {
    struct engine *engine = life->engine;
    engine->moving -= life->moves;
    if (engine->to_move == life) engine->to_move = life->next;
    turns_free(life);
    index_remove(&engine->by_id, &life->by_id);
    if (life->run->key) index_remove(&engine->by_key, &life->by_key);
    if (life->previous) life->previous->next = life->next;
    else engine->lives = life->next;
    if (life->next) life->next->previous = life->previous;
    engine->count--;
    count_add(COUNT_RUNS_IN_FLIGHT, -1);
    loop_timer_clear(&life->timer);
    if (life->store_timer) loop_timer_clear(life->store_timer);
    if (life->orphan_timer) loop_timer_clear(life->orphan_timer);
}

static void end_attempt(struct life *life) {
    life->transfer = NULL;
    secrets_unref(life->secrets);
    life->secrets = NULL;
    arena_free(life->attempt);
    life->attempt = NULL;
    life->request = NULL;
}

static void life_free(void *arg) {
    struct life *life = arg;
    end_attempt(life);
    if (life->rest) store_source_unref(life->rest);
    else run_free(life->run);
    contract_unref(life->contract);
    mem_free(life->orphan_timer);
    mem_free(life->store_timer);
    mem_free(life);
}

static void look_drained(struct engine *engine) {
    if (!engine->drained || engine->to_move || engine->moving) return;
    for (struct life *life = engine->lives; life; life = life->next)
        if (life->transfer || life_writes(life)) return;
    void (*drained)(void *) = engine->drained;
    engine->drained = NULL;
    drained(engine->drained_arg);
}

/* ---- records ---- */

bool engine_limits(const struct engine *engine, const struct stage *stage) {
    return turns_limit(engine, stage) || holds_any(engine->settings.holds);
}

static struct run_world world_of(struct life *life) {
    struct engine *engine = life->engine;
    engine->random ^= engine->random << 13, engine->random ^= engine->random >> 17,
        engine->random ^= engine->random << 5;
    return (struct run_world){.now_ms = loop_wall_ms(engine->loop),
                              .mono_ms = loop_mono_ms(engine->loop),
                              .random = engine->random,
                              .limited = life->run->stage && engine_limits(engine, life->run->stage),
                              .history = life->history,
                              .contract = life->contract};
}

bool engine_forgets(const struct engine *engine, const struct stage *stage) {
    return stage && !stage->durable && !engine->draining;
}

static void fill_record(const struct run *run, struct store_record *record) {
    memcpy(record->id, run->id, sizeof record->id);
    record->stage = run->stage_name;
    record->key = run->key;
    record->status = run->attached_to ? STORE_ATTACHED : run_status_word(run->status);
    record->definition = run->definition;
    record->created_ms = run->created_ms;
    record->updated_ms = run->updated_ms;
    record->ended_ms = run->ended_ms;
}

/* Every run has some, one after the other; each is as large as its record. */
static struct write *write_new(struct engine *engine) {
    struct write *write = engine->writes;
    if (write) {
        engine->writes = write->next;
        engine->write_count--;
        return write;
    }
    write = mem_alloc(sizeof *write);
    buf_init(&write->body, RECORD_MAX);
    return write;
}

static void write_free(struct engine *engine, struct write *write) {
    store_op_fini(&write->op);
    if (engine->write_count + 1 <= WRITES_SPARE && write->body.cap <= WRITE_SPARE_BYTES) {
        buf_clear(&write->body);
        write->next = engine->writes;
        engine->writes = write;
        engine->write_count++;
        return;
    }
    buf_fini(&write->body);
    mem_free(write);
}

static void writes_fini(struct engine *engine) {
    while (engine->writes) {
        struct write *write = engine->writes;
        engine->writes = write->next;
        buf_fini(&write->body);
        mem_free(write);
    }
}

static void unstored(struct life *life, const struct write *write) {
    struct log_context ctx = life_context(life->run);
    turns_free(life); /* before anybody is answered: who asks next does not find it at work */
    if (write->op.outcome == STORE_EXISTS) {
        ask_found_instead(life, write->op.found);
    } else {
        log_fault(LOG_ERROR, "start_not_recorded", &ctx, &write->op.fault);
        ask_refuse_all(life, &write->op.fault);
    }
    drive(life, &(struct run_event){.kind = RUN_EVENT_UNSTORED});
}

static void write_again_later(struct life *life, const struct write *write) {
    struct log_context ctx = life_context(life->run);
    if (write->op.outcome == STORE_MISSING) log_put(LOG_ERROR, "record_missing", &ctx);
    else log_fault(LOG_ERROR, "record_not_written", &ctx, &write->op.fault);
    life->record_changed = true;
    if (!life->store_timer) {
        life->store_timer = mem_alloc(sizeof *life->store_timer);
        loop_timer_init(life->store_timer, life->engine->loop, "record again", on_store_due, life);
    }
    loop_timer_set(life->store_timer, STORE_RETRY_MS);
}

/* The process that comes next is to go on with those that are in memory alone. */
static void move_to_disk(struct engine *engine) {
    while (engine->to_move && engine->moving < MOVES_AT_ONCE) {
        struct life *life = engine->to_move;
        engine->to_move = life->next;
        if (!life->in_memory) continue;
        life->in_memory = life->recorded = false;
        life->moves = true;
        engine->moving++;
        life_record(life);
    }
}

static void moved(struct life *life) {
    life->moves = false;
    life->engine->moving--;
    move_to_disk(life->engine);
}

static void on_written(struct store_op *op) {
    struct write *write = op->arg;
    struct life *life = write->life;
    struct engine *engine = life->engine;
    life->write = NULL;
    bool good = op->outcome == STORE_DONE, was_new = !life->accepted;
    if (good && write->op.record.in_memory == life->in_memory) life->recorded = true;
    if (life->recorded && life->moves) moved(life);
    if (good && was_new) {
        life->accepted = true;
        if (!life->run->ended_ms) count_add_labelled(COUNT_FAMILY_RUNS_STARTED, life->run->stage_name, NULL, 1);
    }
    if (good && was_new) turns_supersede(life);
    if (good && life->record_changed) {
        life_record(life);
    } else if (good) {
        drive(life, &(struct run_event){.kind = RUN_EVENT_STORED});
        if (!life->dead) ask_recorded(life);
    } else if (!life->accepted) {
        unstored(life, write);
    } else {
        write_again_later(life, write);
    }
    write_free(engine, write);
    look_drained(engine);
}

void life_record(struct life *life) {
    if (life_writes(life) || !life->engine->store) {
        life->record_changed = true;
        return;
    }
    struct write *write = write_new(life->engine);
    if (!life->in_memory) run_record_write(life->run, &write->body);
    write->life = life;
    write->op = (struct store_op){.kind = life->recorded ? STORE_UPDATE : STORE_INSERT,
                                  .loop = life->engine->loop,
                                  .done = on_written,
                                  .arg = write,
                                  .definition_source = life->run->stage ? life->run->stage->source : NULL};
    fill_record(life->run, &write->op.record);
    write->op.record.in_memory = life->in_memory;
    write->op.record.body = buf_text(&write->body);
    life->write = write;
    life->record_changed = false;
    store_submit(life->engine->store, &write->op);
}

/* ---- calls ---- */

static const char *call_word(const struct run *run) {
    return run->state == RUN_CANCELING ? "cancel" : run->state == RUN_PROBING ? "probe" : "step";
}

static struct holds_now holds_now_of(const struct engine *engine) {
    return (struct holds_now){.wall_ms = loop_wall_ms(engine->loop), .mono_ms = loop_mono_ms(engine->loop)};
}

static void on_reply(void *arg, const struct reply *reply) {
    struct life *life = arg;
    struct log_context ctx = life_context(life->run);
    count_add_labelled(COUNT_FAMILY_CALLS, life->run->stage_name, reply_phase_word(reply->phase), 1);
    log_put(reply->phase == REPLY_ANSWERED ? LOG_DEBUG : LOG_WARN, "call_ended", &ctx,
            LOG_STR("phase", reply_phase_word(reply->phase)), LOG_STR("method", life->request->method),
            LOG_INT("code", reply->code), LOG_INT("ms", reply->took_ms), LOG_INT("bytes", reply->body.len),
            LOG_STR("what", reply->phase == REPLY_ANSWERED ? NULL : reply->fault.what));
    if (life->engine->settings.holds) {
        struct holds_now now = holds_now_of(life->engine);
        holds_note(life->engine->settings.holds, life->request, reply, &now);
    }
    contract_headers(life->contract, life->run, call_word(life->run), reply, loop_wall_ms(life->engine->loop));
    /* The reply lives in the attempt's arena, which has to outlast the move that reads it. */
    struct arena *attempt = life->attempt;
    life->attempt = NULL;
    end_attempt(life);
    struct engine *engine = life->engine;
    turns_called(life, reply);
    drive(life, &(struct run_event){.kind = RUN_EVENT_REPLY, .reply = reply});
    arena_free(attempt);
    look_drained(engine);
}

static bool render(struct life *life, enum run_call call, struct fault *fault) {
    struct run *run = life->run;
    life->request = arena_new_of(life->attempt, struct request);
    const struct json *roots[RUN_ROOTS_MAX];
    const char *urls[STAGE_STEPS_MAX] = {0};
    run_roots_of_call(run, life->attempt, loop_wall_ms(life->engine->loop), run_call_of(run, call), roots);
    run_take_fresh(run); /* the attempt has them */
    life->secrets = secrets_ref();
    roots[ROOT_SECRET] = secrets_json(life->secrets);
    if (call == RUN_CALL_STEP || call == RUN_CALL_PROBE)
        roots[ROOT_CALLBACK] = callback_root(life->attempt, run, life->engine->settings.callback_key,
                                             life->engine->settings.callback_url);
    for (size_t i = 0; i < run->step_count; i++) urls[i] = run->steps[i].url;
    if (run->steps[run->step].location) urls[run->step - 1] = run->steps[run->step].url; /* it came from there */
    struct request_source source = {
        .stage = run->stage, .roots = roots, .step_urls = urls, .traceparent = run->traceparent};
    if (run_call_of(run, call)->idempotency_header) source.idempotency_key = run_idempotency_key(run, life->attempt);
    return request_render(life->attempt, run_call_of(run, call), &source, life->request, fault);
}

/* The upstream has asked for quiet: the call waits, and is rendered anew then. */
static bool hold_for_quiet(struct life *life) {
    struct fault fault;
    const char *why;
    struct holds *holds = life->engine->settings.holds;
    if (!holds) return false;
    struct run_world world = world_of(life);
    struct holds_now now = holds_now_of(life->engine);
    int64_t until_ms = holds_until_ms(holds, life->attempt, life->request, &now, world.random, &why);
    if (!until_ms) return false;
    fault_set(&fault, FAULT_UPSTREAM, NULL, "%s", why);
    turns_called(life, NULL); /* its turn, if it had one, is for others */
    end_attempt(life);
    struct log_context ctx = life_context(life->run);
    log_fault(LOG_DEBUG, "call_held", &ctx, &fault);
    drive(life, &(struct run_event){.kind = RUN_EVENT_HELD, .fault = &fault, .until_ms = until_ms});
    return true;
}

/* Its turn has not come: it is rendered anew when it has. */
static bool hold_for_turn(struct life *life, enum run_call call, bool intended) {
    char turn[TURNS_TEXT_SIZE];
    if (turns_call(life, call, intended, turn)) return false;
    end_attempt(life);
    drive(life, &(struct run_event){.kind = RUN_EVENT_HELD, .turn = turn});
    return true;
}

/* The attempt is ready, and may go; else the run was told that it is HELD or REFUSED, and there is no attempt. What the
 * store has as being sent is not held any more: it would be in doubt. */
static bool prepare(struct life *life, enum run_call call, bool intended) {
    struct fault fault;
    life->attempt = arena_new();
    if (render(life, call, &fault)) return !(!intended && hold_for_quiet(life)) && !hold_for_turn(life, call, intended);
    end_attempt(life);
    struct log_context ctx = life_context(life->run);
    log_fault(LOG_WARN, "call_not_rendered", &ctx, &fault);
    drive(life, &(struct run_event){.kind = RUN_EVENT_REFUSED, .fault = &fault});
    return false;
}

static void begin_call(struct life *life, enum run_call call, bool intended) {
    if (prepare(life, call, intended))
        life->transfer = transfer_begin(life->engine->upstream, life->request, life->attempt, on_reply, life);
}

/* The call may be recorded as being sent: it has its turn, and keeps it. It is rendered once more then. */
static bool may_go(struct life *life) {
    if (!engine_limits(life->engine, life->run->stage)) return true;
    if (!prepare(life, RUN_CALL_STEP, false)) return false;
    end_attempt(life);
    return true;
}

static void abort_call(struct life *life) {
    if (!life->transfer) return;
    transfer_cancel(life->transfer);
    end_attempt(life);
    turns_called(life, NULL);
}

/* ---- events and orders ---- */

/* Whoever asks for it from now on asks the store. */
static void keep(struct life *life) {
    char id[STORE_ID_SIZE];
    memcpy(id, life->run->id, sizeof id);
    life->rest = rest_new(life->run);
    store_keep(life->engine->store, id, life->rest);
}

static void let_go(struct life *life) {
    life->dead = true;
    const struct run *run = life->run;
    if (run->state == RUN_ENDED && !run->attached_to) log_end(run);
    if (run->state == RUN_ENDED && run->status == RUN_SUCCEEDED && run->begun_ms && life->history)
        history_add(life->history, run->ended_ms - run->begun_ms);
    ask_answer_all(life);
    life_unlink(life);
    if (run->state == RUN_ENDED && life->in_memory && life->engine->store) keep(life);
    loop_later(life->engine->loop, life_free, life);
}

static bool holds(const struct life *life) {
    return life->engine->draining || (life->engine->settling && !may_repeat(life));
}

static void carry_out(struct life *life, const struct run_orders *orders) {
    if (orders->unknown_word) count_add(COUNT_UNMAPPED_WORDS, 1);
    if (orders->abort_call) abort_call(life);
    if (orders->wait_until) loop_timer_set(&life->timer, orders->wait_until - loop_wall_ms(life->engine->loop));
    if ((orders->call || orders->ask_first) && holds(life)) {
        drive(life, &(struct run_event){.kind = RUN_EVENT_HELD});
        return;
    }
    if (orders->ask_first && !may_go(life)) return;
    if (orders->store) life_record(life);
    if (orders->ended) let_go(life);
    else if (orders->call) begin_call(life, orders->call, orders->intended);
}

static void drive(struct life *life, const struct run_event *event) {
    struct run_world world = world_of(life);
    struct run_orders orders;
    run_move(life->run, event, &world, &orders);
    carry_out(life, &orders);
    turns_settle(life);
}

void life_drive(struct life *life, const struct run_event *event) {
    drive(life, event);
}

void life_say_turn(struct life *life, const char *text) {
    struct run_world world = world_of(life);
    run_say_turn(life->run, &world, text);
}

void life_cancel(struct life *life) {
    drive(life, &(struct run_event){.kind = RUN_EVENT_CANCEL});
}

enum run_taken life_callback(struct life *life, const struct run_callback *callback) {
    struct run_event event = {.kind = RUN_EVENT_CALLBACK, .callback = callback};
    struct run_world world = world_of(life);
    struct run_orders orders;
    run_move(life->run, &event, &world, &orders);
    carry_out(life, &orders);
    turns_settle(life);
    return orders.taken;
}

/* ---- the engine itself ---- */

static void on_settle_look(void *arg);

struct engine *engine_new(struct loop *loop, struct upstream *upstream, struct store *store,
                          const struct engine_settings *settings) {
    struct engine *engine = mem_alloc(sizeof *engine);
    *engine = (struct engine){.loop = loop, .upstream = upstream, .store = store, .settings = *settings};
    digest_random(&engine->random, sizeof engine->random);
    engine->random |= 1;
    loop_timer_init(&engine->settle_timer, loop, "settle", on_settle_look, engine);
    turns_sit(engine);
    return engine;
}

void engine_expect(struct engine *engine, size_t about) {
    engine->expects = true;
    engine->to_come = about;
}

bool engine_expects(const struct engine *engine) {
    return engine->expects;
}

void engine_resume(struct engine *engine, const struct store_record *record, uint64_t number, struct stage *stage,
                   const struct fault *why) {
    struct fault fault;
    if (engine->draining) return;
    if (engine->to_come) engine->to_come--;
    struct run *run = run_load(record, stage, &fault);
    enum reason reason = REASON_BROKEN_DEFINITION;
    if (!run) { /* nobody can say how far it was: it ends, rather than being open for ever */
        struct log_context ctx = {.run = record->id, .stage = record->stage};
        log_fault(LOG_ERROR, "record_not_read", &ctx, &fault);
        struct store_record bare = *record;
        bare.body = TEXT("{}");
        run = run_load(&bare, NULL, NULL);
        stage = NULL;
        why = &fault;
        reason = REASON_BROKEN_RECORD;
    }
    struct life *life = life_new(engine, run);
    life->accepted = life->recorded = true;
    struct run_world world = world_of(life);
    struct run_orders orders;
    if (stage) run_resume(run, &world, &orders);
    else run_give_up(run, &world, reason, why->what, &orders);
    struct log_context ctx = life_context(run);
    log_put(LOG_DEBUG, "run_resumed", &ctx, LOG_STR("progress", run->progress));
    turns_resume(life, number);
    carry_out(life, &orders);
}

void engine_supersede(struct engine *engine) {
    for (struct life *life = engine->lives; life; life = life->next)
        if (life->run->queued && !life->run->cancel_wanted) turns_supersede(life);
}

void engine_expect_none(struct engine *engine) {
    engine->expects = false;
    engine->to_come = 0;
    ask_again_parked(engine);
}

static void refuse_parked(struct engine *engine, const char *where, const char *what) {
    struct fault fault;
    fault_set(&fault, FAULT_BUSY, where, "%s; try again", what);
    ask_refuse_parked(engine, &fault);
}

void engine_put_off(struct engine *engine) {
    refuse_parked(engine, "store", "the run cannot be read from the store at the moment");
}

static void begin_no_more(struct engine *engine) {
    engine->draining = true;
    refuse_parked(engine, "gateway", "the gateway is being stopped");
    for (struct life *life = engine->lives; life; life = life->next) {
        if (may_repeat(life)) abort_call(life);
        ask_answer_waiting(life);
    }
    engine->to_move = engine->lives;
    move_to_disk(engine);
}

void engine_drain(struct engine *engine, void (*done)(void *arg), void *arg) {
    begin_no_more(engine);
    engine->drained = done;
    engine->drained_arg = arg;
    look_drained(engine);
}

static void on_settle_look(void *arg) {
    struct engine *engine = arg;
    for (const struct life *life = engine->lives; life; life = life->next) {
        if (!life->transfer || may_repeat(life)) continue;
        loop_timer_set(&engine->settle_timer, SETTLE_LOOK_MS);
        return;
    }
    engine->settled(engine->settled_arg);
}

void engine_settle(struct engine *engine, void (*done)(void *arg), void *arg) {
    engine->settling = true;
    engine->settled = done;
    engine->settled_arg = arg;
    loop_timer_set(&engine->settle_timer, 0);
}

void engine_unsettle(struct engine *engine) {
    engine->settling = false;
    loop_timer_clear(&engine->settle_timer);
}

void engine_hand_over(struct engine *engine) {
    engine->handing_over = true;
    begin_no_more(engine);
}

struct loop *engine_loop(const struct engine *engine) {
    return engine->loop;
}

void engine_limit(struct engine *engine, size_t max_runs) {
    engine->settings.max_runs = max_runs;
}

void engine_call_back(struct engine *engine, const char *url) {
    engine->settings.callback_url = url;
}

/* Those that did not get to the disk: for want of room there, or of time. */
static void tell_lost(const struct engine *engine) {
    int64_t lost = 0;
    for (const struct life *life = engine->lives; life; life = life->next)
        lost += life->accepted && (life->in_memory || !life->recorded);
    if (lost) log_put(LOG_WARN, "runs_lost", NULL, LOG_INT("runs", lost));
}

void engine_detach(struct engine *engine) {
    turns_rise(engine); /* turns that others give back as they end are of no use to it, and may come too late */
    engine->draining = true;
    engine->handing_over = false;
    engine->store = NULL;
}

void engine_dismiss(struct engine *engine) {
    struct fault fault;
    tell_lost(engine);
    fault_set(&fault, FAULT_BUSY, "gateway", "the gateway is being stopped; try again");
    for (struct life *life = engine->lives; life; life = life->next) ask_refuse_all(life, &fault);
    ask_refuse_parked(engine, &fault);
}

void engine_free(struct engine *engine) {
    if (!engine) return;
    while (engine->lives) {
        struct life *life = engine->lives;
        abort_call(life);
        life_unlink(life);
        life_free(life);
    }
    loop_timer_clear(&engine->gate_timer); /* lives that leave the gate set it */
    loop_timer_clear(&engine->settle_timer);
    index_fini(&engine->by_id);
    index_fini(&engine->by_key);
    pasts_fini(&engine->pasts);
    writes_fini(engine);
    mem_free(engine);
}
