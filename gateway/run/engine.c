/* A loop's runs: carries out what run_move orders, and brings it the next event.
 *
 * A `life` is a run together with what it needs while it is in flight: its timer, its call, its record being written,
 * and who waits for it. One record of a life is written at a time; what changes meanwhile is written after it, so that
 * STORED means that all of it is durable. A first record that cannot be written ends the life (its start is refused); a
 * later one is written again until the store takes it. Always holds: a life is in the indexes exactly while its run may
 * still change; a question is in one list at a time. */
#include "run/engine.h"

#include <stdio.h>
#include <string.h>

#include "back/secrets.h"
#include "base/count.h"
#include "base/digest.h"
#include "base/log.h"
#include "run/id.h"
#include "run/index.h"
#include "run/mask.h"

#define RECORD_MAX (64 * 1024 * 1024)
#define REPORT_MAX (16 * 1024 * 1024)
#define LIST_MAX (64 * 1024 * 1024)
#define LIST_ENOUGH \
    (LIST_MAX / 2) /* no further run is put into an answer of that size; the cursor tells where to go on */
#define STORE_RETRY_MS 1000

struct life {
    struct engine *engine;
    struct run *run;
    struct index_link by_id, by_key;
    struct life *previous, *next; /* of the engine's list */
    struct loop_timer timer;      /* DUE */
    struct loop_timer store_timer;
    struct write *write; /* under way */
    bool record_changed; /* since that write was begun */
    bool accepted;       /* its first record is durable */
    bool dead;
    struct transfer *transfer;
    struct arena *attempt; /* of the call under way */
    struct request request;
    struct secrets *secrets;
    struct ask *asks;
};

struct write {
    struct store_op op;
    struct buf body;
    struct life *life;
};

struct engine {
    struct loop *loop;
    struct upstream *upstream;
    struct store *store;
    struct engine_settings settings;
    struct index by_id, by_key;
    struct life *lives;
    size_t count;
    uint32_t random;            /* xorshift state: jitter needs no better */
    bool draining;              /* nothing begins any more */
    void (*drained)(void *arg); /* until it was called */
    void *drained_arg;
};

static void drive(struct life *life, enum run_event_kind kind, const struct reply *reply, const struct fault *fault);
static void carry_out(struct life *life, const struct run_orders *orders);

/* ---- the log ---- */

static struct log_context context_of(const struct run *run) {
    struct log_context ctx = {
        .run = run->id, .stage = run->stage_name, .caller = run->caller_name, .trace = run->traceparent};
    if (run->stage && run->step < run->step_count) ctx.step = run->stage->steps[run->step].name;
    return ctx;
}

static void log_end(const struct run *run) {
    struct log_context ctx = context_of(run);
    log_put(run->status == RUN_TERMINAL ? LOG_WARN : LOG_INFO, "run_ended", &ctx,
            LOG_STR("status", run_status_word(run->status)), LOG_STR("reason", reason_word(run->reason)),
            LOG_STR("progress", run->progress), LOG_INT("ms", run->ended_ms - run->created_ms));
    count_add_labelled(COUNT_FAMILY_RUNS_ENDED, run->stage_name, run_status_word(run->status), 1);
    count_observe(COUNT_HISTOGRAM_RUN_MS, run->ended_ms - run->created_ms);
}

/* ---- questions ---- */

struct ask *ask_new(enum ask_kind kind, struct loop *from, void (*done)(struct ask *ask), void *arg) {
    struct arena *arena = arena_new();
    struct ask *ask = arena_new_of(arena, struct ask);
    ask->kind = kind;
    ask->arena = arena;
    ask->from = from;
    ask->done = done;
    ask->arg = arg;
    buf_init(&ask->report, LIST_MAX);
    return ask;
}

void ask_free(struct ask *ask) {
    if (!ask) return;
    stage_unref(ask->stage);
    buf_fini(&ask->report);
    arena_free(ask->arena);
}

static void deliver(void *arg) {
    struct ask *ask = arg;
    ask->done(ask);
}

static void answer(struct ask *ask) {
    loop_timer_clear(&ask->timer);
    if (ask->engine->loop == ask->from) loop_later(ask->from, deliver, ask);
    else loop_post(ask->from, deliver, ask);
}

static void answer_report(struct ask *ask, const struct run *run) {
    ask->ended = run_ended(run);
    ask->status = ask->ended ? run->status : RUN_RUNNING;
    memcpy(ask->id, run->id, sizeof ask->id);
    run_report_write(run, ask->base_url, &ask->report);
    answer(ask);
}

static void answer_fault(struct ask *ask, enum fault_kind kind, const char *where, const char *what) {
    ask->failed = true;
    fault_set(&ask->fault, kind, where, "%s", what);
    answer(ask);
}

static bool allowed(const struct ask *ask, const char *stage) {
    return !ask->allowed || ask->allowed(ask, stage);
}

/* Is the run that was found the one that the question is about? Answers, and says false, where it is not. */
static bool fits(struct ask *ask, const struct run *run) {
    if (!allowed(ask, run->stage_name)) {
        answer_fault(ask, FAULT_NOT_FOUND, run->id, "there is no such run");
        return false;
    }
    if (ask->kind == ASK_START && run->fingerprint && strcmp(run->fingerprint, ask->fingerprint) != 0) {
        char what[160];
        snprintf(what, sizeof what,
                 "the run %s has this key, with other parameters; a new piece of work needs a new key", run->id);
        answer_fault(ask, FAULT_CONFLICT, "/key", what);
        return false;
    }
    return true;
}

static void unlist(struct ask **list, struct ask *ask) {
    for (; *list; list = &(*list)->next)
        if (*list == ask) {
            *list = ask->next;
            return;
        }
}

static void ask_time_is_up(void *arg) {
    struct ask *ask = arg;
    struct life *life = ask->op;
    unlist(&life->asks, ask);
    answer_report(ask, life->run);
}

/* Is there something that is not durable yet? */
static bool writes(const struct life *life) {
    return life->write || loop_timer_waits(&life->store_timer);
}

/* Puts the question to a run in flight: answered now, or when what it waits for has come. */
static void ask_life(struct ask *ask, struct life *life) {
    if (!fits(ask, life->run)) return;
    bool cancel = ask->kind == ASK_CANCEL || ask->kind == ASK_CANCEL_KEY;
    ask->waits_for_record = cancel || !life->accepted;
    ask->op = life;
    if (!ask->waits_for_record && (ask->wait_ms <= 0 || life->engine->draining)) {
        answer_report(ask, life->run);
        return;
    }
    loop_timer_init(&ask->timer, life->engine->loop, "wait", ask_time_is_up, ask);
    if (!ask->waits_for_record) loop_timer_set(&ask->timer, ask->wait_ms);
    ask->next = life->asks;
    life->asks = ask;
    if (cancel) {
        struct log_context ctx = context_of(life->run);
        log_put(LOG_INFO, "run_cancel_wanted", &ctx, LOG_STR("by", ask->caller_name));
        drive(life, RUN_EVENT_CANCEL, NULL, NULL);
        if (!writes(life)) { /* it wants no record: it is known, or over */
            unlist(&life->asks, ask);
            answer_report(ask, life->run);
        }
    }
}

/* All records are durable: whoever waited for that is answered, or waits on for the end. */
static void answer_recorded(struct life *life) {
    struct ask *waiting = life->asks;
    life->asks = NULL;
    while (waiting) {
        struct ask *ask = waiting;
        waiting = ask->next;
        bool goes_on = !ask->waits_for_record ||
                       (ask->kind == ASK_START && ask->wait_ms > 0 && !life->engine->draining);
        if (!goes_on) {
            answer_report(ask, life->run);
            continue;
        }
        if (ask->waits_for_record) {
            ask->waits_for_record = false;
            loop_timer_set(&ask->timer, ask->wait_ms);
        }
        ask->next = life->asks;
        life->asks = ask;
    }
}

static void answer_all(struct life *life) {
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        answer_report(ask, life->run);
    }
}

/* The end will not come here any more. Who waits for a record is answered when it is durable. */
static void answer_waiting(struct life *life) {
    for (struct ask **at = &life->asks; *at;) {
        struct ask *ask = *at;
        if (ask->waits_for_record) {
            at = &ask->next;
            continue;
        }
        *at = ask->next;
        answer_report(ask, life->run);
    }
}

static void refuse_all(struct life *life, const struct fault *fault) {
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        answer_fault(ask, FAULT_BUSY, "store", fault->what);
    }
}

/* ---- lives ---- */

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

static struct life *find_id(const struct engine *engine, const char *id) {
    return index_find(&engine->by_id, index_hash(text_of(id), (struct text){0}), same_id, id);
}

static struct life *find_key(const struct engine *engine, const char *stage, const char *key) {
    return index_find(&engine->by_key, index_hash(text_of(stage), text_of(key)), same_key, &(struct pair){stage, key});
}

static void on_due(void *arg) {
    struct life *life = arg;
    if (life->engine->draining) return; /* the record knows what is due */
    if (life->run->state == RUN_WAITING)
        count_observe(COUNT_HISTOGRAM_POLL_LATE_MS, loop_wall_ms(life->engine->loop) - life->run->due_ms);
    drive(life, RUN_EVENT_DUE, NULL, NULL);
}

static void write_record(struct life *life);

static void on_store_due(void *arg) {
    write_record(arg);
}

static struct life *life_new(struct engine *engine, struct run *run) {
    struct life *life = mem_alloc(sizeof *life);
    life->engine = engine;
    life->run = run;
    loop_timer_init(&life->timer, engine->loop, "run", on_due, life);
    loop_timer_init(&life->store_timer, engine->loop, "record again", on_store_due, life);
    index_add(&engine->by_id, &life->by_id, index_hash(text_of(run->id), (struct text){0}), life);
    if (run->key)
        index_add(&engine->by_key, &life->by_key, index_hash(text_of(run->stage_name), text_of(run->key)), life);
    life->next = engine->lives;
    if (life->next) life->next->previous = life;
    engine->lives = life;
    engine->count++;
    count_add(COUNT_RUNS_IN_FLIGHT, 1);
    return life;
}

static void life_unlink(struct life *life) {
    struct engine *engine = life->engine;
    index_remove(&engine->by_id, &life->by_id);
    if (life->run->key) index_remove(&engine->by_key, &life->by_key);
    if (life->previous) life->previous->next = life->next;
    else engine->lives = life->next;
    if (life->next) life->next->previous = life->previous;
    engine->count--;
    count_add(COUNT_RUNS_IN_FLIGHT, -1);
    loop_timer_clear(&life->timer);
    loop_timer_clear(&life->store_timer);
}

static void end_attempt(struct life *life) {
    life->transfer = NULL;
    secrets_unref(life->secrets);
    life->secrets = NULL;
    arena_free(life->attempt);
    life->attempt = NULL;
}

static void life_free(void *arg) {
    struct life *life = arg;
    end_attempt(life);
    run_free(life->run);
    mem_free(life);
}

static void look_drained(struct engine *engine) {
    if (!engine->drained) return;
    for (struct life *life = engine->lives; life; life = life->next)
        if (life->transfer || writes(life)) return;
    void (*drained)(void *) = engine->drained;
    engine->drained = NULL;
    drained(engine->drained_arg);
}

/* ---- records ---- */

static struct run_world world_of(struct life *life) {
    struct engine *engine = life->engine;
    engine->random ^= engine->random << 13, engine->random ^= engine->random >> 17,
        engine->random ^= engine->random << 5;
    return (struct run_world){
        .now_ms = loop_wall_ms(engine->loop), .random = engine->random, .mask = mask_value, .arg = life->run};
}

static void fill_record(const struct run *run, struct store_record *record) {
    memcpy(record->id, run->id, sizeof record->id);
    record->stage = run->stage_name;
    record->key = run->key;
    record->status = run_status_word(run->status);
    record->definition = run->definition;
    record->created_ms = run->created_ms;
    record->updated_ms = run->updated_ms;
    record->ended_ms = run->ended_ms;
}

static void write_free(struct write *write) {
    buf_fini(&write->body);
    store_op_fini(&write->op);
    mem_free(write);
}

/* Another run has the key. Its start was asked for twice, or it is there from before a restart. */
static void found_instead(struct life *life, const struct store_record *record) {
    struct fault fault;
    struct run *other = run_load(record, NULL, &fault);
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        ask->created = false;
        if (!other) answer_fault(ask, FAULT_INTERNAL, record->id, fault.what);
        else if (fits(ask, other)) answer_report(ask, other);
    }
    run_free(other);
}

static void unstored(struct life *life, const struct write *write) {
    struct log_context ctx = context_of(life->run);
    if (write->op.outcome == STORE_EXISTS) {
        found_instead(life, write->op.found);
    } else {
        log_fault(LOG_ERROR, "start_not_recorded", &ctx, &write->op.fault);
        refuse_all(life, &write->op.fault);
    }
    drive(life, RUN_EVENT_UNSTORED, NULL, NULL);
}

static void write_again_later(struct life *life, const struct write *write) {
    struct log_context ctx = context_of(life->run);
    if (write->op.outcome == STORE_MISSING) log_put(LOG_ERROR, "record_missing", &ctx);
    else log_fault(LOG_ERROR, "record_not_written", &ctx, &write->op.fault);
    life->record_changed = true;
    loop_timer_set(&life->store_timer, STORE_RETRY_MS);
}

static void on_written(struct store_op *op) {
    struct write *write = op->arg;
    struct life *life = write->life;
    struct engine *engine = life->engine;
    life->write = NULL;
    bool good = op->outcome == STORE_DONE;
    if (good && !life->accepted) {
        life->accepted = true;
        if (!life->run->ended_ms) count_add_labelled(COUNT_FAMILY_RUNS_STARTED, life->run->stage_name, NULL, 1);
    }
    if (good && life->record_changed) {
        write_record(life);
    } else if (good) {
        drive(life, RUN_EVENT_STORED, NULL, NULL);
        if (!life->dead) answer_recorded(life);
    } else if (!life->accepted) {
        unstored(life, write);
    } else {
        write_again_later(life, write);
    }
    write_free(write);
    look_drained(engine);
}

static void write_record(struct life *life) {
    if (life->write || loop_timer_waits(&life->store_timer) || !life->engine->store) {
        life->record_changed = true;
        return;
    }
    struct write *write = mem_alloc(sizeof *write);
    struct run_world world = world_of(life);
    buf_init(&write->body, RECORD_MAX);
    run_record_write(life->run, &world, &write->body);
    write->life = life;
    write->op = (struct store_op){.kind = life->accepted ? STORE_UPDATE : STORE_INSERT,
                                  .loop = life->engine->loop,
                                  .done = on_written,
                                  .arg = write,
                                  .definition_source = life->run->stage ? life->run->stage->source : NULL};
    fill_record(life->run, &write->op.record);
    write->op.record.body = buf_text(&write->body);
    life->write = write;
    life->record_changed = false;
    store_submit(life->engine->store, &write->op);
}

/* ---- calls ---- */

static void on_reply(void *arg, const struct reply *reply) {
    struct life *life = arg;
    struct log_context ctx = context_of(life->run);
    count_add_labelled(COUNT_FAMILY_CALLS, life->run->stage_name, reply_phase_word(reply->phase), 1);
    log_put(reply->phase == REPLY_ANSWERED ? LOG_DEBUG : LOG_WARN, "call_ended", &ctx,
            LOG_STR("phase", reply_phase_word(reply->phase)), LOG_STR("method", life->request.method),
            LOG_INT("code", reply->code), LOG_INT("ms", reply->took_ms), LOG_INT("bytes", reply->body.len),
            LOG_STR("what", reply->phase == REPLY_ANSWERED ? NULL : reply->fault.what));
    /* The reply lives in the attempt's arena, which has to outlast the move that reads it. */
    struct arena *attempt = life->attempt;
    life->attempt = NULL;
    end_attempt(life);
    struct engine *engine = life->engine;
    drive(life, RUN_EVENT_REPLY, reply, NULL);
    arena_free(attempt);
    look_drained(engine);
}

static bool render(struct life *life, enum run_call call, struct fault *fault) {
    struct run *run = life->run;
    const struct json *roots[RUN_ROOTS_MAX];
    const char *urls[STAGE_STEPS_MAX] = {0};
    run_roots(run, life->attempt, loop_wall_ms(life->engine->loop), NULL, roots);
    life->secrets = secrets_ref();
    roots[ROOT_SECRET] = secrets_json(life->secrets);
    for (size_t i = 0; i < run->step_count; i++) urls[i] = run->steps[i].url;
    struct request_source source = {
        .stage = run->stage, .roots = roots, .step_urls = urls, .traceparent = run->traceparent};
    return request_render(life->attempt, run_call_of(run, call), &source, &life->request, fault);
}

static void begin_call(struct life *life, enum run_call call) {
    struct fault fault;
    life->attempt = arena_new();
    if (render(life, call, &fault)) {
        life->transfer = transfer_begin(life->engine->upstream, &life->request, life->attempt, on_reply, life);
        return;
    }
    end_attempt(life);
    struct log_context ctx = context_of(life->run);
    log_fault(LOG_WARN, "call_not_rendered", &ctx, &fault);
    drive(life, RUN_EVENT_REFUSED, NULL, &fault);
}

static void abort_call(struct life *life) {
    if (!life->transfer) return;
    transfer_cancel(life->transfer);
    end_attempt(life);
}

/* ---- events and orders ---- */

static void log_unknown_word(const struct life *life) {
    struct log_context ctx = context_of(life->run);
    count_add(COUNT_UNMAPPED_WORDS, 1);
    log_put(LOG_WARN, "unmapped_word", &ctx, LOG_STR("word", life->run->upstream_word));
}

static void let_go(struct life *life) {
    life->dead = true;
    if (life->run->state == RUN_ENDED) log_end(life->run);
    answer_all(life);
    life_unlink(life);
    loop_later(life->engine->loop, life_free, life);
}

static void carry_out(struct life *life, const struct run_orders *orders) {
    if (orders->unknown_word) log_unknown_word(life);
    if (orders->abort_call) abort_call(life);
    if (orders->wait_until) loop_timer_set(&life->timer, orders->wait_until - loop_wall_ms(life->engine->loop));
    if (orders->store) write_record(life);
    if (orders->ended) let_go(life);
    else if (orders->call && life->engine->draining) drive(life, RUN_EVENT_HELD, NULL, NULL);
    else if (orders->call) begin_call(life, orders->call);
}

static void drive(struct life *life, enum run_event_kind kind, const struct reply *reply, const struct fault *fault) {
    struct run_event event = {.kind = kind, .reply = reply, .fault = fault};
    struct run_world world = world_of(life);
    struct run_orders orders;
    run_move(life->run, &event, &world, &orders);
    carry_out(life, &orders);
}

/* ---- starting ---- */

static void begin_life(struct engine *engine, struct run *run, struct ask *ask) {
    struct life *life = life_new(engine, run);
    ask->op = life;
    ask->waits_for_record = true;
    loop_timer_init(&ask->timer, engine->loop, "wait", ask_time_is_up, ask);
    life->asks = ask;
    write_record(life);
}

static struct run_new new_of(const struct ask *ask, int64_t now_ms) {
    return (struct run_new){.stage = ask->stage,
                            .id = ask->id,
                            .key = ask->key,
                            .fingerprint = ask->fingerprint,
                            .traceparent = ask->traceparent,
                            .caller_name = ask->caller_name,
                            .caller = ask->caller,
                            .parameters = ask->parameters,
                            .now_ms = now_ms};
}

static void make_id(struct ask *ask, unsigned loops) {
    uint32_t owner;
    if (ask->key) {
        owner = id_owner_of_key(text_of(ask->stage_name), text_of(ask->key));
    } else {
        digest_random(&owner, sizeof owner);
        owner %= ID_OWNER_VALUES / loops;
        owner = owner * loops + loop_index(ask->engine->loop);
    }
    id_make(loop_wall_ms(ask->from), owner, ask->id);
}

static void ask_start(struct engine *engine, struct ask *ask) {
    struct life *life = ask->key ? find_key(engine, ask->stage_name, ask->key) : NULL;
    if (life) {
        ask_life(ask, life);
    } else if (engine->draining) {
        answer_fault(ask, FAULT_BUSY, "gateway", "the gateway is being stopped; try again");
    } else if (!store_ready(engine->store)) {
        answer_fault(ask, FAULT_BUSY, "store", "the store cannot take runs at the moment; try again");
    } else if (engine->count >= engine->settings.max_runs) {
        answer_fault(ask, FAULT_BUSY, "max_runs", "as many runs as allowed are in flight; try again later");
    } else {
        struct run_new from = new_of(ask, loop_wall_ms(engine->loop));
        ask->created = true;
        begin_life(engine, run_new(&from), ask);
    }
}

/* ---- questions that the store answers ---- */

static void op_free(struct store_op *op) {
    store_op_fini(op);
    mem_free(op);
}

static void submit(struct engine *engine, struct ask *ask, enum store_kind kind, void (*done)(struct store_op *op)) {
    if (!engine->store) {
        answer_fault(ask, FAULT_BUSY, "store", "the gateway is being stopped; try again");
        return;
    }
    struct store_op *op = mem_alloc(sizeof *op);
    op->kind = kind;
    op->loop = engine->loop;
    op->done = done;
    op->arg = ask;
    memcpy(op->record.id, ask->id, sizeof op->record.id);
    op->record.stage = ask->stage_name;
    op->record.key = ask->key;
    op->filter = ask->filter;
    store_submit(engine->store, op);
}

static void cancel_in_advance(struct engine *engine, struct ask *ask) {
    if (!allowed(ask, ask->stage_name)) {
        answer_fault(ask, FAULT_NOT_FOUND, ask->stage_name, "there is no such stage");
        return;
    }
    struct run_new from = new_of(ask, loop_wall_ms(engine->loop));
    begin_life(engine, run_new_canceled(&from, ask->stage_name), ask);
}

static void on_found(struct store_op *op) {
    struct ask *ask = op->arg;
    struct engine *engine = ask->engine;
    struct life *life = ask->kind == ASK_CANCEL_KEY ? find_key(engine, ask->stage_name, ask->key)
                                                    : find_id(engine, ask->id);
    struct fault fault;
    struct run *run = NULL;
    if (life) ask_life(ask, life); /* it came meanwhile */
    else if (op->outcome == STORE_FAILED) answer_fault(ask, FAULT_BUSY, "store", op->fault.what);
    else if (op->outcome == STORE_MISSING && ask->kind == ASK_CANCEL_KEY) cancel_in_advance(engine, ask);
    else if (op->outcome == STORE_MISSING) answer_fault(ask, FAULT_NOT_FOUND, ask->id, "there is no such run");
    else if (!(run = run_load(op->found, NULL, &fault))) answer_fault(ask, FAULT_INTERNAL, ask->id, fault.what);
    else if (fits(ask, run)) answer_report(ask, run);
    run_free(run);
    op_free(op);
}

/* ---- lists ---- */

/* A list under way: what the store found, and what is known better than there. It goes round the loops that own a run
 * of it which is in flight, since the store is not told of every poll, and comes home to be answered. */
struct listing {
    struct store_op *op;
    const struct engines *engines;
    unsigned visited;   /* engines, from the home one on */
    const char **fresh; /* a report for each record; NULL: as the store has it */
};

static struct listing *listing_new(struct ask *ask, const struct engines *engines) {
    struct listing *listing = arena_new_of(ask->arena, struct listing);
    listing->engines = engines;
    return listing;
}

static unsigned owner_of(const struct listing *listing, size_t i) {
    return id_owner(text_of(listing->op->found[i].id)) % listing->engines->count;
}

static void refresh(struct ask *ask, struct listing *listing, const struct engine *engine) {
    for (size_t i = 0; i < listing->op->found_count; i++) {
        if (listing->engines->items[owner_of(listing, i)] != engine) continue;
        const struct life *life = find_id(engine, listing->op->found[i].id);
        if (!life) continue;
        struct buf report;
        buf_init(&report, REPORT_MAX);
        run_report_write(life->run, ask->base_url, &report);
        listing->fresh[i] = arena_strdup(ask->arena, buf_cstr(&report));
        buf_fini(&report);
    }
}

static bool owns_open(const struct listing *listing, unsigned engine) {
    for (size_t i = 0; i < listing->op->found_count; i++)
        if (listing->op->found[i].ended_ms == 0 && owner_of(listing, i) == engine) return true;
    return false;
}

static void add_listed(const struct ask *ask, const struct listing *listing, size_t i, struct buf *out) {
    struct run *loaded = listing->fresh[i] ? NULL : run_load(&listing->op->found[i], NULL, NULL);
    if (!listing->fresh[i] && !loaded) return;
    if (out->at[out->len - 1] != '[') buf_addc(out, ',');
    if (loaded) run_report_write(loaded, ask->base_url, out);
    else buf_adds(out, listing->fresh[i]);
    run_free(loaded);
}

static void listing_end(struct ask *ask, const struct listing *listing) {
    struct store_op *op = listing->op;
    buf_adds(&ask->report, "{\"runs\":[");
    size_t n = 0;
    while (n < op->found_count && ask->report.len < LIST_ENOUGH) add_listed(ask, listing, n++, &ask->report);
    buf_adds(&ask->report, "],\"cursor\":");
    if (op->more || n < op->found_count) buf_addf(&ask->report, "\"%s\"}", op->found[n - 1].id);
    else buf_adds(&ask->report, "null}");
    answer(ask);
    op_free(op);
}

static void listing_arrives(void *arg) {
    struct ask *ask = arg;
    struct listing *listing = ask->op;
    const struct engines *engines = listing->engines;
    unsigned home = loop_index(ask->from);
    ask->engine = engines->items[(home + listing->visited) % engines->count];
    refresh(ask, listing, ask->engine);
    while (++listing->visited < engines->count) {
        unsigned next = (home + listing->visited) % engines->count;
        if (!owns_open(listing, next)) continue;
        loop_post(engines->items[next]->loop, listing_arrives, ask);
        return;
    }
    listing_end(ask, listing);
}

static void on_listed(struct store_op *op) {
    struct ask *ask = op->arg;
    if (op->outcome == STORE_DONE) {
        struct listing *listing = ask->op;
        listing->op = op;
        listing->fresh = arena_array_of(ask->arena, const char *, op->found_count + 1);
        listing_arrives(ask);
        return;
    }
    if (op->outcome == STORE_FAILED) answer_fault(ask, FAULT_BUSY, "store", op->fault.what);
    else answer_fault(ask, FAULT_INVALID, "cursor", "there is no run with this id any more; begin without a cursor");
    op_free(op);
}

/* ---- asking ---- */

static void ask_arrives(void *arg) {
    struct ask *ask = arg;
    struct engine *engine = ask->engine;
    struct life *life = NULL;
    switch (ask->kind) {
    case ASK_START: ask_start(engine, ask); return;
    case ASK_LIST: submit(engine, ask, STORE_LIST, on_listed); return;
    case ASK_CANCEL_KEY: life = find_key(engine, ask->stage_name, ask->key); break;
    case ASK_GET:
    case ASK_CANCEL: life = find_id(engine, ask->id); break;
    }
    if (life) ask_life(ask, life);
    else submit(engine, ask, ask->kind == ASK_CANCEL_KEY ? STORE_FIND_KEY : STORE_GET, on_found);
}

void engines_ask(const struct engines *engines, struct ask *ask) {
    uint32_t owner = loop_index(ask->from);
    if (ask->key && (ask->kind == ASK_START || ask->kind == ASK_CANCEL_KEY))
        owner = id_owner_of_key(text_of(ask->stage_name), text_of(ask->key));
    else if (ask->kind == ASK_GET || ask->kind == ASK_CANCEL) owner = id_owner(text_of(ask->id));
    ask->engine = engines->items[owner % engines->count];
    if (ask->kind == ASK_LIST) ask->op = listing_new(ask, engines);
    if (ask->kind == ASK_START || ask->kind == ASK_CANCEL_KEY) make_id(ask, engines->count);
    memcpy(ask->asked_id, ask->id, sizeof ask->asked_id);
    if (ask->engine->loop == ask->from) ask_arrives(ask);
    else loop_post(ask->engine->loop, ask_arrives, ask);
}

struct hurry {
    struct engine *engine;
    const struct ask *ask; /* only compared: it may have been answered, and be gone */
    char id[STORE_ID_SIZE];
};

static void hurry_arrives(void *arg) {
    struct hurry *hurry = arg;
    struct life *life = find_id(hurry->engine, hurry->id);
    for (struct ask *ask = life ? life->asks : NULL; ask; ask = ask->next) {
        if (ask != hurry->ask) continue;
        ask->wait_ms = 0;
        if (ask->waits_for_record) break;
        unlist(&life->asks, ask);
        answer_report(ask, life->run);
        break;
    }
    mem_free(hurry);
}

void engines_hurry(const struct ask *ask) {
    struct hurry *hurry = mem_alloc(sizeof *hurry);
    hurry->engine = ask->engine;
    hurry->ask = ask;
    memcpy(hurry->id, ask->asked_id, sizeof hurry->id);
    loop_post(ask->engine->loop, hurry_arrives, hurry);
}

/* ---- the engine itself ---- */

struct engine *engine_new(struct loop *loop, struct upstream *upstream, struct store *store,
                          const struct engine_settings *settings) {
    struct engine *engine = mem_alloc(sizeof *engine);
    *engine = (struct engine){.loop = loop, .upstream = upstream, .store = store, .settings = *settings};
    digest_random(&engine->random, sizeof engine->random);
    engine->random |= 1;
    return engine;
}

void engine_resume(struct engine *engine, const struct store_record *record, struct stage *stage,
                   const struct fault *why) {
    struct fault fault;
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
    life->accepted = true;
    struct run_world world = world_of(life);
    struct run_orders orders;
    if (stage) run_resume(run, &world, &orders);
    else run_give_up(run, &world, reason, why->what, &orders);
    struct log_context ctx = context_of(run);
    log_put(LOG_DEBUG, "run_resumed", &ctx, LOG_STR("progress", run->progress));
    carry_out(life, &orders);
}

void engine_drain(struct engine *engine, void (*done)(void *arg), void *arg) {
    engine->draining = true;
    engine->drained = done;
    engine->drained_arg = arg;
    for (struct life *life = engine->lives; life; life = life->next) {
        const struct run *run = life->run;
        if (run->state == RUN_CALLING && run_call_of(run, RUN_CALL_STEP)->idempotent) abort_call(life);
        answer_waiting(life);
    }
    look_drained(engine);
}

void engine_limit(struct engine *engine, size_t max_runs) {
    engine->settings.max_runs = max_runs;
}

void engine_detach(struct engine *engine) {
    engine->draining = true;
    engine->store = NULL;
}

void engine_dismiss(struct engine *engine) {
    struct fault fault;
    fault_set(&fault, FAULT_BUSY, "gateway", "the gateway is being stopped; try again");
    for (struct life *life = engine->lives; life; life = life->next) refuse_all(life, &fault);
}

void engine_free(struct engine *engine) {
    if (!engine) return;
    while (engine->lives) {
        struct life *life = engine->lives;
        abort_call(life);
        life_unlink(life);
        life_free(life);
    }
    index_fini(&engine->by_id);
    index_fini(&engine->by_key);
    mem_free(engine);
}
