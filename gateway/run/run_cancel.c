/* Canceling: how a run is stopped, and what may be said of it.
 *
 * The wish is recorded first, so that it outlives a restart; then the upstream is told by the definition's cancel call,
 * as soon as what that call needs is known. These are rows and columns of the table in run/run, and run under its rule:
 * no clock, no socket, only the run and the orders. */
#include <stdio.h>
#include <string.h>

#include "call/pace.h"
#include "call/policy.h"
#include "run/run_move.h"

#define CANCEL_TRIES 5

void run_cancel_end(struct move *m, enum reason reason, const char *what) {
    struct run *run = m->run;
    if (run->timed_out) {
        run->steps[run->step].status = RUN_TERMINAL;
        move_say_not_done(m, what);
        char *sentence = mem_strdup(run->progress);
        move_end(m, RUN_TERMINAL, REASON_TIMEOUT, sentence);
        mem_free(sentence);
        return;
    }
    run->steps[run->step].status = RUN_CANCELED;
    if (run->orphaned && reason == REASON_CANCELED) reason = REASON_ORPHANED;
    move_say(m, "canceled%s: %s", run->orphaned ? ", since nobody looked at the run any more" : "", what);
    move_end(m, RUN_CANCELED, reason, NULL);
}

/* Nothing can have begun at the upstream: no call was made, or only calls that were never sent or were refused. */
static bool nothing_began(const struct run *run) {
    return run->step == 0 && !run->sending && !run->awaiting && !step_of(run)->rules.exist;
}

static bool nothing_was_sent(const struct run *run) {
    return run->step == 0 && run->steps[0].calls == 0 && !run->sending;
}

/* Makes the cancel call, or ends the run where there is nothing to stop or no way to. */
void run_cancel_begin(struct move *m) {
    struct run *run = m->run;
    if (nothing_was_sent(run)) {
        run_cancel_end(m, REASON_CANCELED_BEFORE_START, "no call had been made");
    } else if (nothing_began(run)) {
        run_cancel_end(m, REASON_CANCELED_BEFORE_START, "nothing had begun at the upstream");
    } else if (!run->stage->cancel) {
        run_cancel_end(m, REASON_CANCEL_UNCONFIRMED, "the definition has no cancel call, so the upstream was not told");
    } else if (run_doubt_helps_cancel(run)) {
        run_doubt_look(m);
    } else if (run->step + run_callback_has_reply(run) < run->stage->cancel_needs) {
        run_cancel_end(m, REASON_CANCEL_UNCONFIRMED,
                       "the upstream was not told: the cancel call needs an answer that has not come");
    } else {
        run->state = RUN_CANCELING;
        move_say(m, "canceling");
        m->orders->call = RUN_CALL_CANCEL;
    }
}

/* The wish is recorded; what is being written comes first. */
void run_cancel_want(struct move *m) {
    m->run->cancel_wanted = true;
    m->run->orphaned = m->event->orphaned;
    m->run->updated_ms = m->world->now_ms;
    m->orders->store = true;
    move_say(m, m->run->orphaned ? "canceling, since nobody looks at the run any more" : "cancel asked for");
}

/* The cancel call begins when the wish, and what is known of the call before it, is durable. */
void run_cancel_stop_now(struct move *m) {
    m->run->state = RUN_STOPPING;
    m->orders->store = true;
}

/* The cancel call comes when the wish is durable. */
void run_cancel_stop(struct move *m) {
    run_cancel_want(m);
    run_cancel_stop_now(m);
}

/* A poll is given up. A call that may begin work is waited for: its reply says what there is to cancel. */
void run_cancel_stop_call(struct move *m) {
    const struct stage_step *step = step_of(m->run);
    if (!step->call.idempotent || !step->rules.exist) {
        run_cancel_want(m);
        return;
    }
    m->orders->abort_call = true;
    run_cancel_stop(m);
}

/* Canceled, as far as the upstream confirmed it; or another try. */
void run_cancel_replied(struct move *m) {
    struct run *run = m->run;
    const struct reply *reply = m->event->reply;
    int code = reply->phase == REPLY_ANSWERED ? reply->code : 0;
    bool over = code == 404 || code == 405 || code == 409 || code == 410; /* there is nothing to stop any more */
    struct stage_call call = *run->stage->cancel;
    call.idempotent = true; /* to be told twice to stop does no harm */
    struct policy policy = policy_judge(&call, reply, m->world->now_ms);
    const char *failed = code ? "" : reply->fault.what;
    if (over || code_set_holds(&run->stage->cancel->expect, code)) {
        move_judged(m, "succeeded", "%s", over ? "there is nothing to stop" : "the code is in expect");
        run_cancel_end(m, REASON_CANCELED, over ? "the upstream has nothing to stop" : "the upstream was told to stop");
    } else if (policy.answer == POLICY_AGAIN && ++run->cancel_attempt < CANCEL_TRIES) {
        move_judged(m, "again", "%s", failed);
        run->state = RUN_CANCEL_WAITING;
        m->orders->wait_until = m->world->now_ms +
                                pace_retry_ms(&call, run->cancel_attempt, policy.wait_ms, m->world->random);
    } else {
        move_judged(m, "failed", "%s", failed);
        char what[256];
        if (code) snprintf(what, sizeof what, "the upstream answered %d to the cancel call", code);
        else snprintf(what, sizeof what, "the cancel call failed: %.180s", reply->fault.what);
        run_cancel_end(m, REASON_CANCEL_UNCONFIRMED, what);
    }
}

/* It cannot be made, so the upstream was not told. */
void run_cancel_refused(struct move *m) {
    move_judged(m, "failed", "%s", m->event->fault->what);
    run_cancel_end(m, REASON_CANCEL_UNCONFIRMED, m->event->fault->what);
}

/* The next try. */
void run_cancel_again(struct move *m) {
    m->run->state = RUN_CANCELING;
    m->orders->call = RUN_CALL_CANCEL;
}

/* The wish is in the store, and the call is made when the run is resumed, or the upstream takes calls again. */
void run_cancel_held(struct move *m) {
    m->run->state = RUN_CANCEL_WAITING;
    if (m->event->until_ms) move_say(m, "canceling: %s", m->event->fault->what);
    m->orders->wait_until = m->event->until_ms ? m->event->until_ms : m->world->now_ms;
}
