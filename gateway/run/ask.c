/* Questions, on the loop of the run that they are about, and their answers.
 *
 * What is in memory is answered from there; what has ended, from the store. A question may wait: for a record to be
 * durable (a start, a cancel), or for the end of a run (Prefer: wait). It is in one list at a time, that of the life
 * that it waits for; the life's engine says when that has come. Always holds: every question is answered exactly once,
 * on the loop that asked. */
#include "run/ask.h"

#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "base/digest.h"
#include "run/callback.h"
#include "run/id.h"
#include "run/life.h"
#include "run/turns.h"

#define REPORT_MAX (16 * 1024 * 1024)
#define LIST_MAX (64 * 1024 * 1024)
#define LIST_ENOUGH \
    (LIST_MAX / 2)    /* no further run is put into an answer of that size; the cursor tells where to go on */
#define SLICE_RUNS 16 /* of a list, before the loop does something else */
#define SLICE_BYTES (256 << 10)
/* The same for one that the caller may not see. Whoever polled the run has to find out why it is gone. */
#define NO_SUCH_RUN                                                                                               \
    "there is no such run; a run of a stage that is not durable is gone after a crash, and once newer runs need " \
    "its room"
#define STOPPING "the gateway is being stopped; try again"

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

static void answer_fault(struct ask *ask, enum fault_kind kind, const char *where, const char *what) {
    ask->failed = true;
    fault_set(&ask->fault, kind, where, "%s", what);
    answer(ask);
}

static bool begins_nothing(const struct engine *engine) {
    return engine->draining && !engine->handing_over;
}

/* It is attached to a run, and nobody else knows yet that its key leads there. */
static bool has_to_keep_key(const struct ask *ask) {
    return ask->attached && ask->key && !ask->key_kept;
}

static bool waits_for_end(const struct ask *ask, const struct engine *engine) {
    return ask->wait_ms > 0 && !engine->draining && !has_to_keep_key(ask);
}

static void attached_leaves(void *arg);
static void key_leaves(void *arg);

/* True: the answer comes from elsewhere. A key leads to another run, or has to be made to first. */
static bool goes_on(struct ask *ask, const struct run *run) {
    bool keeps = has_to_keep_key(ask);
    if (!run->attached_to && !keeps) return false;
    if (keeps && begins_nothing(ask->engine)) {
        answer_fault(ask, FAULT_BUSY, "gateway", STOPPING);
        return true;
    }
    loop_timer_clear(&ask->timer);
    snprintf(ask->taken, sizeof ask->taken, "%s", run->attached_to ? run->attached_to : run->id);
    ask->attached = ask->key_kept = !keeps;
    loop_post(ask->from, keeps ? key_leaves : attached_leaves, ask);
    return true;
}

static void answer_report(struct ask *ask, const struct run *run, const struct history *history) {
    if (goes_on(ask, run)) return;
    if (ask->kind == ASK_EXPLAIN) {
        run_explain_write(run, &ask->report);
        answer(ask);
        return;
    }
    ask->ended = run_ended(run);
    ask->status = ask->ended ? run->status : RUN_RUNNING;
    memcpy(ask->id, run->id, sizeof ask->id);
    if (ask->kind != ASK_CALLBACK)
        run_report_write(run, history, loop_wall_ms(ask->engine->loop), ask->base_url, &ask->report);
    answer(ask);
}

static bool allowed(const struct ask *ask, const char *stage) {
    return !ask->allowed || ask->allowed(ask, stage);
}

/* Is the run that was found the one that the question is about? Answers, and says false, where it is not. */
static bool fits(struct ask *ask, const struct run *run) {
    bool by_key = ask->kind == ASK_START || ask->kind == ASK_CANCEL_KEY;
    if (!allowed(ask, run->stage_name) || (run->attached_to && !by_key)) {
        answer_fault(ask, FAULT_NOT_FOUND, run->id, NO_SUCH_RUN);
        return false;
    }
    if (ask->kind == ASK_START && !ask->attached && run->fingerprint &&
        strcmp(run->fingerprint, ask->fingerprint) != 0) {
        char what[160];
        snprintf(what, sizeof what,
                 "the run %s has this key, with other parameters; a new piece of work needs a new key",
                 run->attached_to ? run->attached_to : run->id);
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
    life_read(life);
    answer_report(ask, life->run, life->history);
}

/* Puts the question to a run in flight: answered now, or when what it waits for has come. */
static void ask_life(struct ask *ask, struct life *life) {
    if (!fits(ask, life->run)) return;
    bool cancel = ask->kind == ASK_CANCEL || ask->kind == ASK_CANCEL_KEY;
    life_read(life);
    ask->waits_for_record = cancel || !life->accepted;
    ask->op = life;
    if (!ask->waits_for_record && !waits_for_end(ask, life->engine)) {
        answer_report(ask, life->run, life->history);
        return;
    }
    loop_timer_init(&ask->timer, life->engine->loop, "wait", ask_time_is_up, ask);
    if (!ask->waits_for_record) loop_timer_set(&ask->timer, ask->wait_ms);
    ask->next = life->asks;
    life->asks = ask;
    if (cancel) {
        struct log_context ctx = life_context(life->run);
        log_put(LOG_INFO, "run_cancel_wanted", &ctx, LOG_STR("by", ask->caller_name));
        life_cancel(life);
        if (!life_writes(life)) { /* it wants no record: it is known, or over */
            unlist(&life->asks, ask);
            answer_report(ask, life->run, life->history);
        }
    }
}

/* All records are durable: whoever waited for that is answered, or waits on for the end. */
void ask_recorded(struct life *life) {
    struct ask *waiting = life->asks;
    life->asks = NULL;
    while (waiting) {
        struct ask *ask = waiting;
        waiting = ask->next;
        if (ask->waits_for_record && !(ask->kind == ASK_START && waits_for_end(ask, life->engine))) {
            answer_report(ask, life->run, life->history);
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

void ask_answer_all(struct life *life) {
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        answer_report(ask, life->run, life->history);
    }
}

/* The end will not come here any more. Who waits for a record is answered when it is durable. */
void ask_answer_waiting(struct life *life) {
    for (struct ask **at = &life->asks; *at;) {
        struct ask *ask = *at;
        if (ask->waits_for_record) {
            at = &ask->next;
            continue;
        }
        *at = ask->next;
        answer_report(ask, life->run, life->history);
    }
}

void ask_refuse_all(struct life *life, const struct fault *fault) {
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        answer_fault(ask, FAULT_BUSY, "store", fault->what);
    }
}

/* Another run has the key. Its start was asked for twice, or it is there from before a restart. */
void ask_found_instead(struct life *life, const struct store_record *record) {
    struct fault fault;
    struct run *other = run_load(record, NULL, &fault);
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        ask->created = false;
        if (!other) answer_fault(ask, FAULT_INTERNAL, record->id, fault.what);
        else if (fits(ask, other)) answer_report(ask, other, NULL);
    }
    run_free(other);
}

/* ---- questions that the store answers ---- */

static void op_free(struct store_op *op) {
    store_op_fini(op);
    mem_free(op);
}

static void submit(struct engine *engine, struct ask *ask, enum store_kind kind, void (*done)(struct store_op *op)) {
    if (!engine->store) {
        answer_fault(ask, FAULT_BUSY, "store", STOPPING);
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

/* ---- runs that are still to come from the store, after a restart ---- */

static void park(struct engine *engine, struct ask *ask) {
    if (engine->draining) {
        answer_fault(ask, FAULT_BUSY, "gateway", STOPPING);
        return;
    }
    ask->next = engine->parked;
    engine->parked = ask;
}

/* The run that the store has found is in flight, and not here yet. */
static bool is_to_come(const struct engine *engine, const struct store_op *op) {
    return engine->expects && op->outcome == STORE_DONE && !op->found->ended_ms;
}

static void ask_arrives(void *arg);

/* First come, first asked. */
void ask_again_parked(struct engine *engine) {
    struct ask *parked = NULL;
    while (engine->parked) {
        struct ask *ask = engine->parked;
        engine->parked = ask->next;
        ask->next = parked;
        parked = ask;
    }
    while (parked) {
        struct ask *ask = parked;
        parked = ask->next;
        ask->next = NULL;
        loop_post(engine->loop, ask_arrives, ask); /* one at a time: they may be many */
    }
}

void ask_refuse_parked(struct engine *engine, const struct fault *fault) {
    while (engine->parked) {
        struct ask *ask = engine->parked;
        engine->parked = ask->next;
        answer_fault(ask, fault->kind, fault->where, fault->what);
    }
}

/* ---- beginning ---- */

static void begin_life(struct engine *engine, struct run *run, struct turns *turns, struct ask *ask) {
    struct life *life = life_new(engine, run);
    life->in_memory = engine_forgets(engine, run->stage);
    turns_adopt(life, turns);
    ask->op = life;
    ask->waits_for_record = true;
    loop_timer_init(&ask->timer, engine->loop, "wait", ask_time_is_up, ask);
    ask->next = NULL; /* it may have waited for another life before */
    life->asks = ask;
    life_record(life);
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
                            .now_ms = now_ms,
                            .deadline_ms = ask->deadline_ms};
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

/* ---- the same work ---- */

static void on_found(struct store_op *op);

/* On the loop of the run that does the same work. */
static void attached_arrives(void *arg) {
    struct ask *ask = arg;
    struct life *life = life_find_id(ask->engine, ask->id);
    if (life) ask_life(ask, life);
    else submit(ask->engine, ask, STORE_GET, on_found); /* it has ended meanwhile */
}

/* On the loop that asked, which has to know where it may be hurried. */
static void attached_leaves(void *arg) {
    struct ask *ask = arg;
    const struct engines *engines = ask->engine->settings.engines;
    if (ask->hurried) ask->wait_ms = 0;
    memcpy(ask->id, ask->taken, sizeof ask->id);
    memcpy(ask->asked_id, ask->taken, sizeof ask->asked_id);
    ask->engine = ask->asked = engines->items[id_owner(text_of(ask->id)) % engines->count];
    loop_post(ask->engine->loop, attached_arrives, ask);
}

/* A start that is attached keeps its key as a run does, in a record of its own. It comes behind that of the run, which
 * so is never missing where the key is there. */
static void key_arrives(void *arg) {
    struct ask *ask = arg;
    struct engine *engine = ask->engine;
    struct life *life = life_find_key(engine, ask->stage_name, ask->key);
    struct run_new from = new_of(ask, loop_wall_ms(engine->loop));
    if (life) ask_life(ask, life);
    else if (begins_nothing(engine)) answer_fault(ask, FAULT_BUSY, "gateway", STOPPING);
    else begin_life(engine, run_new_attached(&from, ask->taken), NULL, ask);
}

/* On the loop that asked. */
static void key_leaves(void *arg) {
    struct ask *ask = arg;
    const struct engines *engines = ask->engine->settings.engines;
    make_id(ask, engines->count);
    memcpy(ask->asked_id, ask->id, sizeof ask->asked_id);
    ask->engine = ask->asked = engines->items[id_owner(text_of(ask->id)) % engines->count];
    loop_post(ask->engine->loop, key_arrives, ask);
}

static void give_nothing(struct ask *ask) {
    if (ask->attached) {
        loop_post(ask->from, attached_leaves, ask);
        return;
    }
    ask->failed = true;
    answer(ask);
}

/* A key that was used before gives its run, whatever else is in flight. */
static void on_key_looked_up(struct store_op *op) {
    struct ask *ask = op->arg;
    struct fault fault;
    struct run *run = op->outcome == STORE_DONE ? run_load(op->found, NULL, &fault) : NULL;
    if (run) ask->attached = false;
    if (run && fits(ask, run)) answer_report(ask, run, NULL);
    else if (!run) give_nothing(ask);
    run_free(run);
    op_free(op);
}

/* ---- starting ---- */

static void make_run(struct engine *engine, struct ask *ask, struct turns *turns, bool queued) {
    struct run_new from = new_of(ask, loop_wall_ms(engine->loop));
    from.queued = queued;
    from.limited = engine_limits(engine, ask->stage);
    ask->created = true;
    begin_life(engine, run_new(&from), turns, ask);
}

/* Nothing new begins: the answer is the run that had the key before, or does the same work, or a refusal. */
static void make_nothing(struct engine *engine, struct ask *ask) {
    if (ask->key) submit(engine, ask, STORE_FIND_KEY, on_key_looked_up);
    else give_nothing(ask);
}

static void refuse_at_gate(struct engine *engine, struct ask *ask, enum turns_answer answer) {
    bool attach = answer == TURNS_TAKEN && ask->stage->dedup->on_duplicate == DUPLICATE_ATTACH;
    ask->attached = attach;
    if (answer == TURNS_FULL)
        fault_set(&ask->fault, FAULT_BUSY, "limits.queue",
                  "as many runs of the stage as allowed wait for their turn; try again later");
    else if (!attach)
        fault_set(&ask->fault, FAULT_CONFLICT, "/parameters",
                  "the run %s does the same work, and has not ended; see dedup in the stage's definition", ask->taken);
    make_nothing(engine, ask);
}

static void come_to_gate(struct engine *engine, struct ask *ask) {
    struct turns *turns = NULL;
    struct fault fault;
    enum turns_answer answer = turns_start(engine, ask, &turns, &fault);
    switch (answer) {
    case TURNS_FULL:
    case TURNS_TAKEN: refuse_at_gate(engine, ask, answer); return;
    case TURNS_BAD: answer_fault(ask, FAULT_INVALID, "/parameters", fault.what); return;
    case TURNS_NONE:
    case TURNS_GOES:
    case TURNS_WAITS: make_run(engine, ask, turns, answer == TURNS_WAITS); return;
    }
}

/* May a run that is still to come decide about the start? One that has a limit or does the same work may; one that has
 * its key too, which the store can tell. */
static bool start_has_to_wait(struct engine *engine, struct ask *ask) {
    if (!engine->expects) return false;
    if (ask->stage->limits || ask->stage->dedup) park(engine, ask);
    else if (ask->key && !ask->looked_up) submit(engine, ask, STORE_FIND_KEY, on_found);
    else return false;
    return true;
}

static void ask_start(struct engine *engine, struct ask *ask) {
    struct life *life = ask->key ? life_find_key(engine, ask->stage_name, ask->key) : NULL;
    if (life) {
        ask_life(ask, life);
    } else if (begins_nothing(engine)) {
        answer_fault(ask, FAULT_BUSY, "gateway", STOPPING);
    } else if (!store_takes(engine->store, engine_forgets(engine, ask->stage))) {
        answer_fault(ask, FAULT_BUSY, "store", "the store cannot take runs at the moment; try again");
    } else if (start_has_to_wait(engine, ask)) {
        return;
    } else if (engine->count + engine->to_come >= engine->settings.max_runs) {
        answer_fault(ask, FAULT_BUSY, "max_runs", "as many runs as allowed are in flight; try again later");
    } else if (ask->deadline_ms && ask->deadline_ms <= loop_wall_ms(engine->loop)) {
        fault_set(&ask->fault, FAULT_INVALID, "X-Deadline", "the deadline is past: nothing was started");
        make_nothing(engine, ask);
    } else {
        come_to_gate(engine, ask);
    }
}

/* ---- what the store has ---- */

static void cancel_in_advance(struct engine *engine, struct ask *ask) {
    if (!allowed(ask, ask->stage_name)) {
        answer_fault(ask, FAULT_NOT_FOUND, ask->stage_name, "there is no such stage");
        return;
    }
    struct run_new from = new_of(ask, loop_wall_ms(engine->loop));
    begin_life(engine, run_new_canceled(&from, ask->stage_name), NULL, ask);
}

static void on_found(struct store_op *op) {
    struct ask *ask = op->arg;
    struct engine *engine = ask->engine;
    bool starts = ask->kind == ASK_START && !ask->attached;
    bool cancels_key = ask->kind == ASK_CANCEL_KEY && !ask->attached;
    struct life *life = starts || cancels_key ? life_find_key(engine, ask->stage_name, ask->key)
                                              : life_find_id(engine, ask->id);
    struct fault fault;
    struct run *run = NULL;
    if (life) ask_life(ask, life); /* it came meanwhile */
    else if (is_to_come(engine, op)) park(engine, ask);
    else if (op->outcome == STORE_MISSING && starts) ask->looked_up = true, ask_start(engine, ask);
    else if (op->outcome == STORE_FAILED) answer_fault(ask, FAULT_BUSY, "store", op->fault.what);
    else if (op->outcome == STORE_MISSING && cancels_key) cancel_in_advance(engine, ask);
    else if (op->outcome == STORE_MISSING && ask->key_kept)
        answer_fault(ask, FAULT_GONE, "/key",
                     "the run that this key led to is gone; a new piece of work needs a new key");
    else if (op->outcome == STORE_MISSING && ask->attached)
        answer_fault(ask, FAULT_BUSY, "store", "the run that did the same work was not recorded; try again");
    else if (op->outcome == STORE_MISSING) answer_fault(ask, FAULT_NOT_FOUND, ask->id, NO_SUCH_RUN);
    else if (!(run = run_load(op->found, NULL, &fault))) answer_fault(ask, FAULT_INTERNAL, ask->id, fault.what);
    else if (fits(ask, run)) answer_report(ask, run, NULL);
    run_free(run);
    op_free(op);
}

/* ---- callbacks ---- */

static void log_callback(const struct ask *ask, const struct run *run, const char *outcome) {
    struct log_context ctx = life_context(run);
    if (run->stage && ask->step < run->step_count) ctx.step = run->stage->steps[ask->step].name;
    count_add_labelled(COUNT_FAMILY_CALLBACKS, run->stage_name, outcome, 1);
    log_put(strcmp(outcome, "unverified") == 0 ? LOG_WARN : LOG_INFO, "callback", &ctx, LOG_STR("outcome", outcome),
            LOG_INT("bytes", ask->message->body.len), LOG_STR("what", ask->failed ? ask->fault.what : NULL));
}

static void refuse_callback(struct ask *ask, const struct run *run, enum fault_kind kind, const char *what,
                            const char *outcome) {
    ask->failed = true;
    fault_set(&ask->fault, kind, NULL, "%s", what);
    log_callback(ask, run, outcome);
    answer(ask);
}

static void callback_too_late(struct ask *ask, const struct run *run) {
    refuse_callback(ask, run, FAULT_GONE, "the run does not wait for this any more", "stale");
}

/* The move has been made: answered when what it changed is durable. */
static void callback_taken(struct ask *ask, struct life *life, enum run_taken taken) {
    static const char *const outcomes[] = {[RUN_CALLBACK_TAKEN] = "taken", [RUN_CALLBACK_REPEATED] = "repeated"};
    if (taken == RUN_CALLBACK_STALE) {
        callback_too_late(ask, life->run);
    } else if (taken == RUN_CALLBACK_REFUSED) {
        refuse_callback(ask, life->run, FAULT_BUSY, "more callbacks came early than are kept; send it again later",
                        "refused");
    } else {
        log_callback(ask, life->run, outcomes[taken]);
        if (!life_writes(life)) {
            answer_report(ask, life->run, NULL);
            return;
        }
        ask->op = life;
        ask->waits_for_record = true;
        loop_timer_init(&ask->timer, life->engine->loop, "wait", ask_time_is_up, ask);
        ask->next = life->asks;
        life->asks = ask;
    }
}

static void ask_callback(struct ask *ask, struct life *life) {
    const struct run *run = life->run;
    struct fault fault;
    struct run_callback callback;
    const struct store *store = life->engine->store;
    if (!run->stage || ask->step >= run->step_count || !run->stage->steps[ask->step].callback) {
        callback_too_late(ask, run);
    } else if (!store || !store_takes(store, life->in_memory)) {
        refuse_callback(ask, run, FAULT_BUSY, "the store cannot write at the moment; send it again later", "refused");
    } else if (!callback_verify(run, ask->step, ask->message, loop_wall_ms(life->engine->loop), &fault)) {
        refuse_callback(ask, run, fault.kind, fault.what, "unverified");
    } else {
        callback_read(ask->arena, ask->step, ask->message, &callback);
        callback_taken(ask, life, life_callback(life, &callback));
    }
}

/* The run is over, or was deleted since. It cannot be verified any more, and has no effect. */
static void callback_to_the_past(struct ask *ask, const struct run *run) {
    struct run_callback callback;
    callback_read(ask->arena, ask->step, ask->message, &callback);
    if (run_callback_known(run, &callback)) {
        log_callback(ask, run, "repeated");
        answer_report(ask, run, NULL);
    } else {
        callback_too_late(ask, run);
    }
}

static void on_callback_found(struct store_op *op) {
    struct ask *ask = op->arg;
    struct life *life = life_find_id(ask->engine, ask->id);
    struct run *run = op->outcome == STORE_DONE ? run_load(op->found, NULL, NULL) : NULL;
    if (life) ask_callback(ask, life);
    else if (is_to_come(ask->engine, op)) park(ask->engine, ask);
    else if (op->outcome == STORE_FAILED) answer_fault(ask, FAULT_BUSY, "store", op->fault.what);
    else if (run) callback_to_the_past(ask, run);
    else answer_fault(ask, FAULT_GONE, ask->id, "the run is over");
    run_free(run);
    op_free(op);
}

/* ---- lists ---- */

/* A list under way: what the store found, and what is known better than there. It goes round the loops that own a run
 * of it which is in flight, since the store is not told of every poll, or which is in memory alone; and comes home to
 * be answered. It works in slices, between which its loop does whatever else there is: a thousand reports take tens of
 * milliseconds. */
struct listing {
    struct store_op *op;
    const struct engines *engines;
    unsigned visited;   /* engines, from the home one on */
    const char **fresh; /* a report for each record; NULL: as the store has it */
    size_t at;          /* the next record */
    bool writes;        /* all engines were visited */
};

/* What one slice has done, of all that it may. */
struct slice {
    size_t runs, bytes;
};

static bool slice_is_full(const struct slice *slice) {
    return slice->runs >= SLICE_RUNS || slice->bytes >= SLICE_BYTES;
}

static struct listing *listing_new(struct ask *ask, const struct engines *engines) {
    struct listing *listing = arena_new_of(ask->arena, struct listing);
    listing->engines = engines;
    return listing;
}

static unsigned owner_of(const struct listing *listing, size_t i) {
    return id_owner(text_of(listing->op->found[i].id)) % listing->engines->count;
}

static void refresh_one(struct ask *ask, struct listing *listing, struct slice *slice) {
    const struct engine *engine = ask->engine;
    struct store_record *record = &listing->op->found[listing->at];
    struct life *life = life_find_id(engine, record->id);
    if (life) turns_look(life);
    if (!life && record->in_memory && engine->store) {
        store_recall(engine->store, listing->op->results, record);
        slice->runs++;
        slice->bytes += record->body.len;
    }
    if (!life || (ask->orphaned && !life_is_orphan(life))) return;
    struct buf report;
    buf_init(&report, REPORT_MAX);
    run_report_write(life->run, life->history, loop_wall_ms(engine->loop), ask->base_url, &report);
    listing->fresh[listing->at] = arena_strdup(ask->arena, buf_cstr(&report));
    slice->runs++;
    slice->bytes += report.len;
    buf_fini(&report);
}

/* What this engine knows better. False: there is more. */
static bool refresh(struct ask *ask, struct listing *listing) {
    struct slice slice = {0};
    for (; listing->at < listing->op->found_count; listing->at++) {
        if (listing->engines->items[owner_of(listing, listing->at)] != ask->engine) continue;
        if (slice_is_full(&slice)) return false;
        refresh_one(ask, listing, &slice);
    }
    listing->at = 0;
    return true;
}

static bool owns_more(const struct listing *listing, unsigned engine) {
    const struct store_op *op = listing->op;
    for (size_t i = 0; i < op->found_count; i++)
        if ((op->found[i].ended_ms == 0 || op->found[i].in_memory) && owner_of(listing, i) == engine) return true;
    return false;
}

static void add_listed(const struct ask *ask, const struct listing *listing, size_t i, struct buf *out) {
    if (ask->orphaned && !listing->fresh[i]) return;
    struct run *loaded = listing->fresh[i] ? NULL : run_load(&listing->op->found[i], NULL, NULL);
    if (!listing->fresh[i] && !loaded) return;
    if (out->at[out->len - 1] != '[') buf_addc(out, ',');
    if (loaded) run_report_write(loaded, NULL, 0, ask->base_url, out);
    else buf_adds(out, listing->fresh[i]);
    run_free(loaded);
}

static void write_head(struct ask *ask, struct listing *listing) {
    listing->writes = true;
    buf_adds(&ask->report, "{\"runs\":[");
}

/* False: there is more. */
static bool write_some(struct ask *ask, struct listing *listing) {
    size_t before = ask->report.len;
    struct slice slice = {0};
    for (; listing->at < listing->op->found_count && ask->report.len < LIST_ENOUGH; listing->at++) {
        if (slice_is_full(&slice)) return false;
        add_listed(ask, listing, listing->at, &ask->report);
        slice.runs++;
        slice.bytes = ask->report.len - before;
    }
    return true;
}

static void listing_end(struct ask *ask, const struct listing *listing) {
    struct store_op *op = listing->op;
    size_t n = listing->at;
    buf_adds(&ask->report, "],\"cursor\":");
    if (op->more || n < op->found_count) buf_addf(&ask->report, "\"%s\"}", op->found[n - 1].id);
    else buf_adds(&ask->report, "null}");
    answer(ask);
    op_free(op);
}

static void listing_goes_on(void *arg);

static void listing_arrives(void *arg) {
    struct ask *ask = arg;
    const struct listing *listing = ask->op;
    ask->engine = listing->engines->items[(loop_index(ask->from) + listing->visited) % listing->engines->count];
    listing_goes_on(ask);
}

/* False: no other engine has a run of it. */
static bool listing_travels(struct ask *ask, struct listing *listing) {
    const struct engines *engines = listing->engines;
    while (++listing->visited < engines->count) {
        unsigned next = (loop_index(ask->from) + listing->visited) % engines->count;
        if (!owns_more(listing, next)) continue;
        loop_post(engines->items[next]->loop, listing_arrives, ask);
        return true;
    }
    return false;
}

static void listing_goes_on(void *arg) {
    struct ask *ask = arg;
    struct listing *listing = ask->op;
    bool done = listing->writes ? write_some(ask, listing) : refresh(ask, listing);
    if (done && listing->writes) {
        listing_end(ask, listing);
        return;
    }
    if (done && listing_travels(ask, listing)) return;
    if (done) write_head(ask, listing);
    loop_post(ask->engine->loop, listing_goes_on, ask);
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
    if (ask->attached) {
        attached_arrives(ask);
        return;
    }
    switch (ask->kind) {
    case ASK_START: ask_start(engine, ask); return;
    case ASK_LIST: submit(engine, ask, STORE_LIST, on_listed); return;
    case ASK_CANCEL_KEY: life = life_find_key(engine, ask->stage_name, ask->key); break;
    case ASK_CALLBACK:
        life = life_find_id(engine, ask->id);
        if (life) ask_callback(ask, life);
        else submit(engine, ask, STORE_GET, on_callback_found);
        return;
    case ASK_GET:
    case ASK_EXPLAIN:
    case ASK_CANCEL: life = life_find_id(engine, ask->id); break;
    }
    if (life) ask_life(ask, life);
    else submit(engine, ask, ask->kind == ASK_CANCEL_KEY ? STORE_FIND_KEY : STORE_GET, on_found);
}

void ask_send(const struct engines *engines, struct ask *ask) {
    uint32_t owner = loop_index(ask->from);
    if (ask->key && (ask->kind == ASK_START || ask->kind == ASK_CANCEL_KEY))
        owner = id_owner_of_key(text_of(ask->stage_name), text_of(ask->key));
    else if (ask->kind == ASK_GET || ask->kind == ASK_CANCEL || ask->kind == ASK_EXPLAIN || ask->kind == ASK_CALLBACK)
        owner = id_owner(text_of(ask->id));
    ask->engine = ask->asked = engines->items[owner % engines->count];
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
    struct life *life = life_find_id(hurry->engine, hurry->id);
    for (struct ask *ask = hurry->engine->parked; ask; ask = ask->next)
        if (ask == hurry->ask) ask->wait_ms = 0;
    for (struct ask *ask = life ? life->asks : NULL; ask; ask = ask->next) {
        if (ask != hurry->ask) continue;
        ask->wait_ms = 0;
        if (ask->waits_for_record) break;
        unlist(&life->asks, ask);
        life_read(life);
        answer_report(ask, life->run, life->history);
        break;
    }
    mem_free(hurry);
}

void ask_hurry(struct ask *ask) {
    struct hurry *hurry = mem_alloc(sizeof *hurry);
    ask->hurried = true;
    hurry->engine = ask->asked;
    hurry->ask = ask;
    memcpy(hurry->id, ask->asked_id, sizeof hurry->id);
    loop_post(ask->asked->loop, hurry_arrives, hurry);
}
