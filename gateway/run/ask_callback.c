/* Callbacks: messages to a step of a run, verified and judged on the run's loop.
 *
 * One that does something is answered when that is durable. A run that is over, or was deleted since, takes none: one
 * that it took before is told apart from one that comes too late. */
#include <string.h>

#include "base/count.h"
#include "run/ask_inside.h"
#include "run/callback.h"

static void tell(const struct ask *ask, const struct run *run, const char *outcome) {
    struct log_context ctx = life_context(run);
    if (run->stage && ask->step < run->step_count) ctx.step = run->stage->steps[ask->step].name;
    count_add_labelled(COUNT_FAMILY_CALLBACKS, run->stage_name, outcome, 1);
    log_put(strcmp(outcome, "unverified") == 0 ? LOG_WARN : LOG_INFO, "callback", &ctx, LOG_STR("outcome", outcome),
            LOG_INT("bytes", ask->message->body.len), LOG_STR("what", ask->failed ? ask->fault->what : NULL));
}

static void refuse(struct ask *ask, const struct run *run, enum fault_kind kind, const char *what,
                   const char *outcome) {
    ask->failed = true;
    fault_set(ask_fault(ask), kind, NULL, "%s", what);
    tell(ask, run, outcome);
    ask_answer(ask);
}

static void too_late(struct ask *ask, const struct run *run) {
    refuse(ask, run, FAULT_GONE, "the run does not wait for this any more", "stale");
}

/* The move has been made: answered when what it changed is durable. */
static void taken(struct ask *ask, struct life *life, enum run_taken what) {
    static const char *const outcomes[] = {[RUN_CALLBACK_TAKEN] = "taken", [RUN_CALLBACK_REPEATED] = "repeated"};
    if (what == RUN_CALLBACK_STALE) {
        too_late(ask, life->run);
    } else if (what == RUN_CALLBACK_REFUSED) {
        refuse(ask, life->run, FAULT_BUSY, "more callbacks came early than are kept; send it again later", "refused");
    } else {
        tell(ask, life->run, outcomes[what]);
        if (life_writes(life)) ask_await_record(ask, life);
        else ask_answer_report(ask, life->run, NULL);
    }
}

static void take(struct ask *ask, struct life *life) {
    const struct run *run = life->run;
    struct fault fault;
    struct run_callback callback;
    const struct store *store = life->engine->store;
    if (!run->stage || ask->step >= run->step_count || !run->stage->steps[ask->step].callback) {
        too_late(ask, run);
    } else if (!store || !store_takes(store, life->in_memory)) {
        refuse(ask, run, FAULT_BUSY, "the store cannot write at the moment; send it again later", "refused");
    } else if (!callback_verify(run, ask->step, ask->message, loop_wall_ms(life->engine->loop), &fault)) {
        refuse(ask, run, fault.kind, fault.what, "unverified");
    } else {
        callback_read(ask->arena, ask->step, ask->message, &callback);
        taken(ask, life, life_callback(life, &callback));
    }
}

/* The run is over, or was deleted since. It cannot be verified any more, and has no effect. */
static void of_the_past(struct ask *ask, const struct run *run) {
    struct run_callback callback;
    callback_read(ask->arena, ask->step, ask->message, &callback);
    if (run_callback_known(run, &callback)) {
        tell(ask, run, "repeated");
        ask_answer_report(ask, run, NULL);
    } else {
        too_late(ask, run);
    }
}

static void on_found(struct store_op *op) {
    struct ask *ask = op->arg;
    struct life *life = life_find_id(ask->engine, ask->id);
    struct run *run = op->outcome == STORE_DONE ? run_load(op->found, NULL, NULL) : NULL;
    if (life) take(ask, life);
    else if (ask_is_to_come(ask->engine, op)) ask_park(ask);
    else if (op->outcome == STORE_FAILED) ask_answer_fault(ask, FAULT_BUSY, "store", op->fault.what);
    else if (run) of_the_past(ask, run);
    else ask_answer_fault(ask, FAULT_GONE, ask->id, "the run is over");
    run_free(run);
    ask_op_free(op);
}

void ask_callback(struct ask *ask) {
    struct life *life = life_find_id(ask->engine, ask->id);
    if (life) take(ask, life);
    else ask_submit(ask, STORE_GET, on_found);
}
