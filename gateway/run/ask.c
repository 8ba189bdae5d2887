/* Questions, and their way: to the loop of the run that they are about, and there to whoever can answer.
 *
 * What is in memory is answered from there (run/ask_answer), and what has ended from the store. Starts are
 * run/ask_start, callbacks run/ask_callback, lists run/ask_list. Always holds: every question is answered exactly once,
 * on the loop that asked. */
#include "run/ask.h"

#include <string.h>

#include "run/ask_inside.h"
#include "run/id.h"

/* ---- questions ---- */

struct ask *ask_new(enum ask_kind kind, struct loop *from, void (*done)(struct ask *ask), void *arg) {
    struct arena *arena = arena_new_for(ARENA_ROOM(sizeof(struct ask)));
    struct ask *ask = arena_new_of(arena, struct ask);
    ask->kind = kind;
    ask->arena = arena;
    ask->from = from;
    ask->done = done;
    ask->arg = arg;
    buf_init(&ask->report, ASK_REPORT_MAX);
    return ask;
}

void ask_free(struct ask *ask) {
    if (!ask) return;
    stage_unref(ask->stage);
    buf_fini(&ask->report);
    arena_free(ask->arena);
}

/* ---- what the store has ---- */

void ask_op_free(struct store_op *op) {
    store_op_fini(op);
    mem_free(op);
}

void ask_submit(struct ask *ask, enum store_kind kind, void (*done)(struct store_op *op)) {
    struct engine *engine = ask->engine;
    if (!engine->store) {
        ask_answer_fault(ask, FAULT_BUSY, "store", ASK_STOPPING);
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

/* By a key, rather than by an id; once that has led to a run, the run is what it is about. */
static bool goes_by_key(const struct ask *ask) {
    return (ask->kind == ASK_START || ask->kind == ASK_CANCEL_KEY) && !ask->attached;
}

static struct life *find_life(const struct ask *ask) {
    return goes_by_key(ask) ? life_find_key(ask->engine, ask->stage_name, ask->key)
                            : life_find_id(ask->engine, ask->id);
}

static void found_nothing(struct ask *ask) {
    if (goes_by_key(ask) && ask->kind == ASK_START) ask->looked_up = true, ask_start(ask);
    else if (goes_by_key(ask)) ask_start_canceled(ask);
    else if (ask->key_kept)
        ask_answer_fault(ask, FAULT_GONE, "/key",
                         "the run that this key led to is gone; a new piece of work needs a new key");
    else if (ask->attached)
        ask_answer_fault(ask, FAULT_BUSY, "store", "the run that did the same work was not recorded; try again");
    else ask_answer_fault(ask, FAULT_NOT_FOUND, ask->id, ASK_NO_SUCH_RUN);
}

static void on_found(struct store_op *op) {
    struct ask *ask = op->arg;
    struct life *life = find_life(ask);
    struct fault fault;
    struct run *run = NULL;
    if (life) ask_of_life(ask, life); /* it came meanwhile */
    else if (ask_is_to_come(ask->engine, op)) ask_park(ask);
    else if (op->outcome == STORE_FAILED) ask_answer_fault(ask, FAULT_BUSY, "store", op->fault.what);
    else if (op->outcome == STORE_MISSING) found_nothing(ask);
    else if (!(run = run_load(op->found, NULL, &fault))) ask_answer_fault(ask, FAULT_INTERNAL, ask->id, fault.what);
    else if (ask_fits(ask, run)) ask_answer_report(ask, run, NULL);
    run_free(run);
    ask_op_free(op);
}

void ask_look_up(struct ask *ask) {
    ask_submit(ask, goes_by_key(ask) ? STORE_FIND_KEY : STORE_GET, on_found);
}

/* ---- asking ---- */

static void ask_of_run(struct ask *ask) {
    struct life *life = find_life(ask);
    if (life) ask_of_life(ask, life);
    else ask_look_up(ask);
}

void ask_arrives(void *arg) {
    struct ask *ask = arg;
    switch (ask->kind) {
    case ASK_START:
        if (ask->attached) ask_of_run(ask);
        else ask_start(ask);
        return;
    case ASK_LIST: ask_list(ask); return;
    case ASK_CALLBACK: ask_callback(ask); return;
    case ASK_GET:
    case ASK_EXPLAIN:
    case ASK_CANCEL:
    case ASK_CANCEL_KEY: ask_of_run(ask); return;
    }
}

void ask_send(const struct engines *engines, struct ask *ask) {
    uint32_t owner = loop_index(ask->from);
    if (ask->key && (ask->kind == ASK_START || ask->kind == ASK_CANCEL_KEY))
        owner = id_owner_of_key(text_of(ask->stage_name), text_of(ask->key));
    else if (ask->kind == ASK_GET || ask->kind == ASK_CANCEL || ask->kind == ASK_EXPLAIN || ask->kind == ASK_CALLBACK)
        owner = id_owner(text_of(ask->id));
    ask->engine = ask->asked = engines->items[owner % engines->count];
    if (ask->kind == ASK_LIST) ask_list_prepare(ask, engines);
    if (ask->kind == ASK_START || ask->kind == ASK_CANCEL_KEY) ask_start_make_id(ask, engines->count);
    memcpy(ask->asked_id, ask->id, sizeof ask->asked_id);
    if (ask->engine->loop == ask->from) ask_arrives(ask);
    else loop_post(ask->engine->loop, ask_arrives, ask);
}
