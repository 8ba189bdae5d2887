/* The part of a run's table that waits for a turn.
 *
 * A run is QUEUED for one of two things. Either its stage has as much at work as its limits allow: then it is `queued`,
 * durably so, and no call was made; a restart puts it back where it was. Or a call has to wait for its upstream host:
 * then it is as if it had never been ordered, and a restart orders it anew. Who is next, and when, is run/gate's. */
#include "run/run_move.h"

/* The call that was ordered waits for its turn. */
void run_queue_held(struct move *m) {
    move_queue(m);
    run_say_turn(m->run, m->world, m->event->turn);
}

/* No call leaves before the store knows that the run is not queued any more: a restart would take it for one that
 * has done nothing. The intent goes along, where nothing else may hold the call. */
static void leave_queue(struct move *m) {
    struct run *run = m->run;
    run->queued = false;
    run->sending = move_intends(m);
    run->begun_ms = run->step_began_ms = run->updated_ms = m->world->now_ms;
    move_say(m, "%s: beginning", step_of(run)->name);
    m->orders->store = true;
}

/* The run begins, once that is durable; or the call that was held does. */
void run_queue_turn(struct move *m) {
    if (m->run->queued) {
        leave_queue(m);
        m->run->state = RUN_INTENDING;
    } else {
        move_call(m);
    }
}

/* Before its first record was durable: it never has to wait. */
void run_queue_turn_early(struct move *m) {
    if (m->run->queued) leave_queue(m);
}

/* A poll that is held is judged in its place, as one that is due would be; anything else comes early. A hint adds
 * nothing: the poll comes as soon as it may. */
void run_queue_called_back(struct move *m) {
    const struct run *run = m->run;
    const struct stage_step *step = step_of(run);
    bool polls = !run->queued && m->event->callback->step == run->step && step->rules.exist;
    if (polls && !step->callback->hint) run_callback_in_wait(m);
    else run_callback_early(m);
}
