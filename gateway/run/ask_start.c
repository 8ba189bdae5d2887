/* Starts: the runs that they make, and what becomes of those that make none.
 *
 * A start comes to the gate, and makes a run where that says so. One whose key was used before gives that run, whatever
 * else is in flight; one that does the same work as a run in flight is attached to it (`dedup`): it travels to that
 * run, and is answered as a question about it. The key of a start that was attached is kept before anybody is told of
 * it, in a record of its own, which a life writes as it would a run's: so it is found while it is being written, is
 * refused where it cannot be, moves to the disk at a stop, and lasts as long as a run of the stage does. */
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "run/ask_inside.h"
#include "run/id.h"
#include "run/turns.h"

static bool begins_nothing(const struct engine *engine) {
    return engine->draining && !engine->handing_over;
}

/* ---- beginning ---- */

static void begin_life(struct ask *ask, struct run *run, struct turns *turns) {
    struct life *life = life_new(ask->engine, run);
    life->in_memory = engine_forgets(ask->engine, run->stage);
    turns_adopt(life, turns);
    ask_await_record(ask, life);
    life_record(life);
}

static struct run_new new_of(const struct ask *ask) {
    return (struct run_new){.stage = ask->stage,
                            .id = ask->id,
                            .key = ask->key,
                            .fingerprint = ask->fingerprint,
                            .traceparent = ask->traceparent,
                            .caller_name = ask->caller_name,
                            .caller = ask->caller,
                            .parameters = ask->parameters,
                            .now_ms = loop_wall_ms(ask->engine->loop),
                            .deadline_ms = ask->deadline_ms};
}

void ask_start_make_id(struct ask *ask, unsigned loops) {
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

/* ---- keys that lead to another run ---- */

bool ask_start_keeps_key(const struct ask *ask) {
    return ask->attached && ask->key && !ask->key_kept;
}

/* To the engine that ask->id belongs to. On the loop that asked, which has to know where it may be hurried. */
static void send_on(struct ask *ask, void (*arrives)(void *arg)) {
    const struct engines *engines = ask->engine->settings.engines;
    memcpy(ask->asked_id, ask->id, sizeof ask->asked_id);
    ask->engine = ask->asked = engines->items[id_owner(text_of(ask->id)) % engines->count];
    loop_post(ask->engine->loop, arrives, ask);
}

static void attached_leaves(void *arg) {
    struct ask *ask = arg;
    if (ask->hurried) ask->wait_ms = 0;
    memcpy(ask->id, ask->taken, sizeof ask->id);
    send_on(ask, ask_arrives);
}

/* The record of the key comes behind that of the run, which so is never missing where the key is there. */
static void key_arrives(void *arg) {
    struct ask *ask = arg;
    struct engine *engine = ask->engine;
    struct life *life = life_find_key(engine, ask->stage_name, ask->key);
    struct run_new from = new_of(ask);
    if (life) ask_of_life(ask, life);
    else if (begins_nothing(engine)) ask_answer_fault(ask, FAULT_BUSY, "gateway", ASK_STOPPING);
    else begin_life(ask, run_new_attached(&from, ask->taken), NULL);
}

static void key_leaves(void *arg) {
    struct ask *ask = arg;
    ask_start_make_id(ask, ask->engine->settings.engines->count);
    send_on(ask, key_arrives);
}

bool ask_start_goes_on(struct ask *ask, const struct run *run) {
    bool keeps = ask_start_keeps_key(ask);
    if (!run->attached_to && !keeps) return false;
    if (keeps && begins_nothing(ask->engine)) {
        ask_answer_fault(ask, FAULT_BUSY, "gateway", ASK_STOPPING);
        return true;
    }
    loop_timer_clear(&ask->timer);
    snprintf(ask->taken, sizeof ask->taken, "%s", run->attached_to ? run->attached_to : run->id);
    ask->attached = ask->key_kept = !keeps;
    loop_post(ask->from, keeps ? key_leaves : attached_leaves, ask);
    return true;
}

/* ---- starts that make no run ---- */

static void give_nothing(struct ask *ask) {
    if (ask->attached) {
        loop_post(ask->from, attached_leaves, ask);
        return;
    }
    ask->failed = true;
    ask_answer(ask);
}

/* A key that was used before gives its run, whatever else is in flight. */
static void on_key_looked_up(struct store_op *op) {
    struct ask *ask = op->arg;
    struct fault fault;
    struct run *run = op->outcome == STORE_DONE ? run_load(op->found, NULL, &fault) : NULL;
    if (run) ask->attached = false;
    if (run && ask_fits(ask, run)) ask_answer_report(ask, run, NULL);
    else if (!run) give_nothing(ask);
    run_free(run);
    ask_op_free(op);
}

/* Nothing new begins: the answer is the run that had the key before, or does the same work, or a refusal. */
static void make_nothing(struct ask *ask) {
    if (ask->key) ask_submit(ask, STORE_FIND_KEY, on_key_looked_up);
    else give_nothing(ask);
}

static void refuse_at_gate(struct ask *ask, enum turns_answer answer) {
    bool attach = answer == TURNS_TAKEN && ask->stage->dedup->on_duplicate == DUPLICATE_ATTACH;
    ask->attached = attach;
    if (answer == TURNS_FULL)
        fault_set(ask_fault(ask), FAULT_BUSY, "limits.queue",
                  "as many runs of the stage as allowed wait for their turn; try again later");
    else if (!attach)
        fault_set(ask_fault(ask), FAULT_CONFLICT, "/parameters",
                  "the run %s does the same work, and has not ended; see dedup in the stage's definition", ask->taken);
    make_nothing(ask);
}

/* ---- starting ---- */

static void make_run(struct ask *ask, struct turns *turns, bool queued) {
    struct run_new from = new_of(ask);
    from.queued = queued;
    from.limited = engine_limits(ask->engine, ask->stage);
    ask->created = true;
    begin_life(ask, run_new(&from), turns);
}

static void come_to_gate(struct ask *ask) {
    struct turns *turns = NULL;
    struct fault fault;
    enum turns_answer answer = turns_start(ask->engine, ask, &turns, &fault);
    switch (answer) {
    case TURNS_FULL:
    case TURNS_TAKEN: refuse_at_gate(ask, answer); return;
    case TURNS_BAD: ask_answer_fault(ask, FAULT_INVALID, "/parameters", fault.what); return;
    case TURNS_NONE:
    case TURNS_GOES:
    case TURNS_WAITS: make_run(ask, turns, answer == TURNS_WAITS); return;
    }
}

/* May a run that is still to come decide about the start? One that has a limit or does the same work may; one that has
 * its key too, which the store can tell. */
static bool has_to_wait(struct ask *ask) {
    if (!ask->engine->expects) return false;
    if (ask->stage->limits || ask->stage->dedup) ask_park(ask);
    else if (ask->key && !ask->looked_up) ask_look_up(ask);
    else return false;
    return true;
}

void ask_start(struct ask *ask) {
    struct engine *engine = ask->engine;
    struct life *life = ask->key ? life_find_key(engine, ask->stage_name, ask->key) : NULL;
    if (life) {
        ask_of_life(ask, life);
    } else if (begins_nothing(engine)) {
        ask_answer_fault(ask, FAULT_BUSY, "gateway", ASK_STOPPING);
    } else if (!store_takes(engine->store, engine_forgets(engine, ask->stage))) {
        ask_answer_fault(ask, FAULT_BUSY, "store", "the store cannot take runs at the moment; try again");
    } else if (has_to_wait(ask)) {
        return;
    } else if (engine->count + engine->to_come >= engine->settings.max_runs) {
        ask_answer_fault(ask, FAULT_BUSY, "max_runs", "as many runs as allowed are in flight; try again later");
    } else if (ask->deadline_ms && ask->deadline_ms <= loop_wall_ms(engine->loop)) {
        fault_set(ask_fault(ask), FAULT_INVALID, "X-Deadline", "the deadline is past: nothing was started");
        make_nothing(ask);
    } else {
        come_to_gate(ask);
    }
}

/* ---- canceled in advance ---- */

void ask_start_canceled(struct ask *ask) {
    if (!ask_allowed(ask, ask->stage_name)) {
        ask_answer_fault(ask, FAULT_NOT_FOUND, ask->stage_name, "there is no such stage");
        return;
    }
    struct run_new from = new_of(ask);
    begin_life(ask, run_new_canceled(&from, ask->stage_name), NULL);
}
