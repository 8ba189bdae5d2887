/* An engine: a loop's runs as a whole. How it begins, takes in what comes from the store, and stops.
 *
 * What a single run needs is run/life's. A stop begins no more calls, moves what is in memory alone to the disk, and
 * waits until no call is under way and every record is durable. */
#include "run/engine.h"

#include "base/digest.h"
#include "base/log.h"
#include "run/life.h"
#include "run/turns.h"

#define SETTLE_LOOK_MS 20 /* how often it is looked whether calls that may not be repeated are under way */

bool engine_limits(const struct engine *engine, const struct stage *stage) {
    return turns_limit(engine, stage) || holds_any(engine->settings.holds);
}

bool engine_forgets(const struct engine *engine, const struct stage *stage) {
    return stage && !stage->durable && !engine->draining;
}

void engine_look_drained(struct engine *engine) {
    if (!engine->drained || engine->to_move || engine->moving) return;
    for (struct life *life = engine->lives; life; life = life->next)
        if (life->transfer || life_writes(life)) return;
    void (*drained)(void *) = engine->drained;
    engine->drained = NULL;
    drained(engine->drained_arg);
}

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
    struct run_world world = life_world(life);
    struct run_orders orders;
    if (stage) run_resume(run, &world, &orders);
    else run_give_up(run, &world, reason, why->what, &orders);
    struct log_context ctx = life_context(run);
    log_put(LOG_DEBUG, "run_resumed", &ctx, LOG_STR("progress", run->progress));
    turns_resume(life, number);
    life_carry_out(life, &orders);
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
        if (life_may_repeat(life)) life_call_abort(life);
        ask_answer_waiting(life);
    }
    engine->to_move = engine->lives;
    life_record_move(engine);
}

void engine_drain(struct engine *engine, void (*done)(void *arg), void *arg) {
    begin_no_more(engine);
    engine->drained = done;
    engine->drained_arg = arg;
    engine_look_drained(engine);
}

static void on_settle_look(void *arg) {
    struct engine *engine = arg;
    for (const struct life *life = engine->lives; life; life = life->next) {
        if (!life->transfer || life_may_repeat(life)) continue;
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
    while (engine->lives) life_drop(engine->lives);
    loop_timer_clear(&engine->gate_timer); /* lives that leave the gate set it */
    loop_timer_clear(&engine->settle_timer);
    index_fini(&engine->by_id);
    index_fini(&engine->by_key);
    pasts_fini(&engine->pasts);
    life_record_fini(engine);
    mem_free(engine);
}
