/* A life, from its run's first event to its last: brings what happens to run_move, and carries out what that orders.
 *
 * A `life` is a run together with what it needs while it is in flight: its timer, its call (run/life_call), its record
 * being written (run/life_record), and who waits for it (run/ask_answer). Always holds: a life is in the indexes
 * exactly while its run may still change; a question is in one list at a time. */
#include "run/life.h"

#include <string.h>

#include "base/count.h"
#include "run/contract.h"
#include "run/rest.h"
#include "run/turns.h"

#define HELD_LOOK_MS 100                 /* how often a call that is held back is tried again */
#define ORPHAN_AFTER_MS (10 * 60 * 1000) /* in lists, of stages that do not say */

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

/* ---- which one ---- */

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

bool life_may_repeat(const struct life *life) {
    const struct run *run = life->run;
    if (run->state == RUN_PROBING || run->state == RUN_PROBE_WAITING) return true;
    if (run->state == RUN_CANCEL_CHECKING || run->state == RUN_CANCEL_CHECK_WAITING) return true;
    return (run->state == RUN_CALLING || run->state == RUN_WAITING) && run_call_of(run, RUN_CALL_STEP)->idempotent;
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
    life_drive(life, &(struct run_event){.kind = RUN_EVENT_CANCEL, .orphaned = true});
}

static void watch_for_orphan(struct life *life) {
    life_read(life);
    if (!life->run->stage || !life->run->stage->orphan_after_ms) return;
    life->orphan_timer = mem_alloc(sizeof *life->orphan_timer);
    loop_timer_init(life->orphan_timer, life->engine->loop, "orphan", on_orphan_due, life);
    loop_timer_set(life->orphan_timer, orphan_after_ms(life));
}

/* ---- its end ---- */

static void unlink_life(struct life *life) {
    struct engine *engine = life->engine;
    life_record_moved(life);
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

static void free_life(void *arg) {
    struct life *life = arg;
    life_call_end(life);
    if (life->rest) store_source_unref(life->rest);
    else run_free(life->run);
    contract_unref(life->contract);
    mem_free(life->orphan_timer);
    mem_free(life->store_timer);
    mem_free(life);
}

void life_drop(struct life *life) {
    life_call_abort(life);
    unlink_life(life);
    free_life(life);
}

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
    unlink_life(life);
    if (run->state == RUN_ENDED && life->in_memory && life->engine->store) keep(life);
    loop_later(life->engine->loop, free_life, life);
}

/* ---- events and orders ---- */

struct run_world life_world(struct life *life) {
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

static bool holds(const struct life *life) {
    return life->engine->draining || (life->engine->settling && !life_may_repeat(life));
}

void life_carry_out(struct life *life, const struct run_orders *orders) {
    if (orders->unknown_word) count_add(COUNT_UNMAPPED_WORDS, 1);
    if (orders->abort_call) life_call_abort(life);
    if (orders->wait_until) loop_timer_set(&life->timer, orders->wait_until - loop_wall_ms(life->engine->loop));
    if ((orders->call || orders->ask_first) && holds(life)) {
        life_drive(life, &(struct run_event){.kind = RUN_EVENT_HELD});
        return;
    }
    if (orders->ask_first && !life_call_may_go(life)) return;
    if (orders->store) life_record(life);
    if (orders->ended) let_go(life);
    else if (orders->call) life_call_begin(life, orders->call, orders->intended);
}

static void drive(struct life *life, const struct run_event *event, struct run_orders *ret_orders) {
    struct run_world world = life_world(life);
    run_move(life->run, event, &world, ret_orders);
    life_carry_out(life, ret_orders);
    turns_settle(life);
}

void life_drive(struct life *life, const struct run_event *event) {
    struct run_orders orders;
    drive(life, event, &orders);
}

void life_cancel(struct life *life) {
    life_drive(life, &(struct run_event){.kind = RUN_EVENT_CANCEL});
}

enum run_taken life_callback(struct life *life, const struct run_callback *callback) {
    struct run_orders orders;
    drive(life, &(struct run_event){.kind = RUN_EVENT_CALLBACK, .callback = callback}, &orders);
    return orders.taken;
}

void life_say_turn(struct life *life, const char *text) {
    struct run_world world = life_world(life);
    run_say_turn(life->run, &world, text);
}

/* ---- beginning ---- */

static void on_due(void *arg) {
    struct life *life = arg;
    if (life->engine->draining) return; /* the record knows what is due */
    if (life->engine->settling && !life->transfer && !life_may_repeat(life)) {
        loop_timer_set(&life->timer, HELD_LOOK_MS);
        return;
    }
    if (life->run->state == RUN_WAITING)
        count_observe(COUNT_HISTOGRAM_POLL_LATE_MS, loop_wall_ms(life->engine->loop) - life->run->due_ms);
    life_drive(life, &(struct run_event){.kind = RUN_EVENT_DUE});
}

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
