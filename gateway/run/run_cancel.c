/* Canceling: how a run is stopped, and what may be said of it.
 *
 * The wish is recorded first, so that it outlives a restart; then the upstream is told by the definition's cancel call,
 * as soon as what that call needs is known. Being told is not being stopped: where the present step is a poll, it is
 * asked until it says that the work has ended, within the cancel's time. Where the call is refused, or the upstream
 * goes on for half of that time, the fallback is called. A restart comes back to where this was. These are rows and
 * columns of the table in run/run, and run under its rule: no clock, no socket, only the run and the orders. */
#include <string.h>

#include "run/contract.h"
#include "run/run_move.h"

/* Ends it as canceled, or as timed out where nobody asked. */
static void end(struct move *m, enum reason reason, const char *what) {
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
    return run->step == 0 && !run->sending && !run->may_have_acted && !run->awaiting && !step_of(run)->rules.exist;
}

static bool nothing_was_sent(const struct run *run) {
    return run->step == 0 && run->steps[0].calls == 0 && !run->sending && !run->may_have_acted && !run->awaiting;
}

/* ---- what there is to ask ---- */

int64_t run_cancel_limit_ms(const struct run *run) {
    return run->cancel_since_ms + run->stage->cancel_timeout_ms;
}

static bool is_poll(const struct stage_step *step) {
    return step->rules.exist && step->call.idempotent;
}

/* Whether a number is within its limits says nothing about whether the work goes on. */
static bool can_check(const struct run *run) {
    const struct stage_rules *rules = &step_of(run)->rules;
    return is_poll(step_of(run)) && !rules->at_most && !rules->at_least && run->stage->cancel_timeout_ms > 0;
}

bool run_cancel_needs_step(const struct run *run) {
    return run->cancel_wanted && !run->timed_out && run->stage->cancel && !run->cancel_fell_back &&
           run->step < run->stage->cancel_needs && is_poll(step_of(run)) && run->stage->cancel_timeout_ms > 0;
}

/* Where a later poll looks at the work itself, this one has only found it. */
static bool success_is_the_end(const struct run *run) {
    for (size_t i = run->step + 1; i < run->step_count; i++)
        if (run->stage->steps[i].rules.exist) return false;
    return true;
}

/* The time from which the fallback is called; 0: not any more. */
static int64_t falls_back_at(const struct run *run) {
    bool may = run->stage->cancel_fallback && !run->cancel_fell_back;
    return may ? run->cancel_since_ms + run->stage->cancel_timeout_ms / 2 : 0;
}

/* Where it was told so late that it is time for the fallback already, it is asked first. */
static void check_later(struct move *m, int64_t due_ms) {
    struct run *run = m->run;
    int64_t limit = run_cancel_limit_ms(run), other = falls_back_at(run);
    bool changes = other && (run->cancel_checked || other > m->world->now_ms);
    run->state = RUN_CANCEL_CHECK_WAITING;
    if (limit < due_ms) due_ms = limit;
    run->due_ms = m->orders->wait_until = changes && other < due_ms ? other : due_ms;
}

/* ---- the wish ---- */

/* The wish is recorded; what is being written comes first. */
void run_cancel_want(struct move *m) {
    struct run *run = m->run;
    run->cancel_wanted = true;
    run->orphaned = m->event->orphaned;
    run->updated_ms = m->world->now_ms;
    if (!run->cancel_since_ms) run->cancel_since_ms = m->world->now_ms;
    m->orders->store = true;
    move_say(m, run->orphaned ? "canceling, since nobody looks at the run any more" : "cancel asked for");
}

/* The cancel call begins when the wish, and what is known of the call before it, is durable. */
void run_cancel_stop_now(struct move *m) {
    m->run->state = RUN_STOPPING;
    m->orders->store = true;
}

/* The cancel call comes when the wish is durable; or once the polls that it needs have found what there is to cancel.
 */
void run_cancel_stop(struct move *m) {
    const struct run *run = m->run;
    run_cancel_want(m);
    if (!run_cancel_needs_step(run) || nothing_was_sent(run)) run_cancel_stop_now(m);
    else if (run->state == RUN_QUEUED) m->orders->wait_until = run_deadline_ms(run);
    else move_wait(m, run->due_ms ? run->due_ms : m->world->now_ms);
}

/* A poll is given up, unless the cancel call needs its reply. A call that may begin work is waited for: its reply says
 * what there is to cancel. */
void run_cancel_stop_call(struct move *m) {
    run_cancel_want(m);
    if (!is_poll(step_of(m->run))) return;
    if (run_cancel_needs_step(m->run)) {
        m->orders->wait_until = run_deadline_ms(m->run);
        return;
    }
    m->orders->abort_call = true;
    run_cancel_stop_now(m);
}

static void fall_back(struct move *m) {
    m->run->cancel_fell_back = true;
    m->run->cancel_attempt = 0;
    move_say(m, "canceling: by the fallback");
    run_cancel_stop_now(m);
}

/* How many steps have one that templates may speak of. */
static size_t replies(const struct run *run) {
    return run->step + run_callback_has_reply(run);
}

void run_cancel_untold(struct move *m, const char *what) {
    const struct run *run = m->run;
    bool may = run->stage->cancel_fallback && !run->cancel_fell_back;
    if (may && replies(run) >= run->stage->fallback_needs) fall_back(m);
    else end(m, REASON_CANCEL_UNCONFIRMED, what);
}

void run_cancel_instead(struct move *m) {
    if (run_cancel_needs_step(m->run))
        run_cancel_untold(m, "the upstream was not told: the cancel call needs an answer that did not come");
    else run_cancel_stop_now(m);
}

/* ---- telling the upstream ---- */

/* A call that begins when the upstream should have stopped already, after a restart, has its own time. */
static void tell(struct move *m) {
    struct run *run = m->run;
    int64_t limit = run_cancel_limit_ms(run);
    run->state = RUN_CANCELING;
    m->orders->call = RUN_CALL_CANCEL;
    if (m->world->now_ms < limit) m->orders->wait_until = limit;
}

/* Makes the cancel call, goes on with what it needs, or ends the run where there is nothing to stop or no way to. */
void run_cancel_begin(struct move *m) {
    struct run *run = m->run;
    if (nothing_was_sent(run)) {
        end(m, REASON_CANCELED_BEFORE_START, "no call had been made");
    } else if (nothing_began(run)) {
        end(m, REASON_CANCELED_BEFORE_START, "nothing had begun at the upstream");
    } else if (!run->stage->cancel) {
        end(m, REASON_CANCEL_UNCONFIRMED, "the definition has no cancel call, so the upstream was not told");
    } else if (run_doubt_helps_cancel(run)) {
        run_doubt_look(m);
    } else if (run_cancel_needs_step(run) && m->world->now_ms < run_cancel_limit_ms(run)) {
        move_call(m);
    } else if (!run->cancel_fell_back && replies(run) < run->stage->cancel_needs) {
        run_cancel_untold(m, "the upstream was not told: the cancel call needs an answer that has not come");
    } else if (run->cancel_told && !run->cancel_fell_back) { /* before a restart */
        check_later(m, m->world->now_ms);
    } else {
        if (!run->cancel_told) run->cancel_since_ms = m->world->now_ms;
        move_say(m, "canceling");
        tell(m);
    }
}

static void told(struct move *m, bool over) {
    struct run *run = m->run;
    const char *what = over ? "the upstream has nothing to stop" : "the upstream was told to stop";
    run->cancel_told = true;
    run->cancel_checked = false; /* it is asked once after it was told, however late that was */
    if (!can_check(run)) {
        end(m, REASON_CANCELED, what);
        return;
    }
    run->attempt = 0;
    move_say(m, "canceling: %s", what);
    m->orders->store = true;
    check_later(m, m->world->now_ms);
}

/* The call has failed for good. One that was accepted before may still have its effect. */
static void not_told(struct move *m, const char *what) {
    const struct run *run = m->run;
    if (run->stage->cancel_fallback && !run->cancel_fell_back) {
        fall_back(m);
    } else if (run->cancel_told) {
        move_say(m, "canceling: %.*s", move_told(what), what);
        check_later(m, m->world->now_ms);
    } else {
        end(m, REASON_CANCEL_UNCONFIRMED, what);
    }
}

static void call_later(struct move *m, int64_t due_ms) {
    m->run->state = RUN_CANCEL_WAITING;
    m->run->due_ms = m->orders->wait_until = due_ms;
}

/* By its own `retry`, and within the time that the upstream has to stop. */
static void call_again(struct move *m, const struct verdict *verdict, const char *what, struct arena *scratch) {
    struct run *run = m->run;
    const char *why;
    struct move_try one = {
        .call = run_call_of(run, RUN_CALL_CANCEL),
        .failed = &run->cancel_attempt,
        .since_ms = &run->cancel_failing_since_ms,
        .wait_ms = verdict->retry_after_ms,
        .bound = {"cancel.timeout", run->stage->cancel_timeout_ms, m->world->now_ms - run->cancel_since_ms}};
    int64_t delay_ms = move_retry_ms(m, &one, scratch, &why);
    if (delay_ms < 0) {
        move_judged(m, "failed", "%s", move_and_why(scratch, verdict->message, why));
        not_told(m, move_and_why(scratch, what, why));
        return;
    }
    move_judged(m, "again", "%.*s", move_told(verdict->message), verdict->message);
    move_say(m, "canceling: %.*s; %s", move_told(what), what, move_trying_again(scratch, delay_ms, one.wait_ms));
    call_later(m, m->world->now_ms + delay_ms);
}

/* There is nothing to stop (any more), where the definition does not say itself which codes are good. */
static bool says_over(const struct stage_call *call, const struct reply *reply) {
    int code = reply->phase == REPLY_ANSWERED ? reply->code : 0;
    return (code == 404 || code == 405 || code == 409 || code == 410) && !call->expect_given;
}

/* The upstream was told, or has nothing to stop; or another try; or the fallback. */
void run_cancel_replied(struct move *m) {
    const struct run *run = m->run;
    const struct stage_step *as = run->cancel_fell_back ? run->stage->cancel_fallback : run->stage->cancel;
    struct arena *scratch = arena_new();
    struct verdict verdict;
    move_judge_apart(m, as, scratch, &verdict);
    const char *said = move_and_why(scratch, verdict.message ? verdict.message : "", NULL);
    const char *what = arena_printf(scratch, "the cancel call failed: %s", said);
    if (says_over(&as->call, m->event->reply)) {
        move_judged(m, "succeeded", "there is nothing to stop");
        told(m, true);
    } else if (verdict.kind == VERDICT_SUCCEEDED) {
        move_judged(m, "succeeded", "the code is in expect");
        told(m, m->event->reply->code >= 400);
    } else if (verdict.kind == VERDICT_AGAIN) {
        call_again(m, &verdict, what, scratch);
    } else {
        move_judged(m, "failed", "%s", said);
        not_told(m, what);
    }
    arena_free(scratch);
}

/* It cannot be made, so the upstream was not told by it. */
void run_cancel_refused(struct move *m) {
    move_judged(m, "failed", "%s", m->event->fault->what);
    if (!m->run->stage->cancel_fallback) /* of two, one may be for when the other cannot be made */
        contract_refused(m->world, m->run, true, m->event->fault);
    not_told(m, m->event->fault->what);
}

/* The next try. */
void run_cancel_again(struct move *m) {
    tell(m);
}

/* The upstream takes the call, and says nothing for all the time that it has to stop. */
void run_cancel_due_in_call(struct move *m) {
    if (m->run->stage->cancel_timeout_ms <= 0) return; /* the call's own time will do */
    if (m->world->now_ms < run_cancel_limit_ms(m->run)) {
        m->orders->wait_until = run_cancel_limit_ms(m->run);
        return;
    }
    m->orders->abort_call = true;
    not_told(m, "the cancel call was not answered within cancel.timeout");
}

/* The wish is in the store, and the call is made when the run is resumed, or the upstream takes calls again; but not
 * later than it would have to have stopped. */
void run_cancel_held(struct move *m) {
    int64_t until_ms = m->event->until_ms, limit_ms = run_cancel_limit_ms(m->run);
    bool bounded = m->run->stage->cancel_timeout_ms > 0;
    if (until_ms && bounded && m->world->now_ms >= limit_ms) {
        not_told(m, m->event->fault->what);
        return;
    }
    if (until_ms) move_say(m, "canceling: %s", m->event->fault->what);
    if (bounded && until_ms > limit_ms) until_ms = limit_ms;
    call_later(m, until_ms ? until_ms : m->world->now_ms);
}

/* ---- asking whether it has stopped ---- */

static void unconfirmed(struct move *m) {
    const char *word = m->run->upstream_word;
    char *what = NULL;
    struct buf text;
    buf_init(&text, 4096);
    if (word) buf_addf(&text, "the upstream was told to stop, and still says \"%.*s\"", move_told(word), word);
    else buf_adds(&text, "the upstream was told to stop, and does not say that it has");
    what = buf_take(&text);
    end(m, REASON_CANCEL_UNCONFIRMED, what);
    mem_free(what);
}

/* Asks; or the fallback, once half of the time is over; or the end, once all of it is. */
void run_cancel_check(struct move *m) {
    struct run *run = m->run;
    int64_t now_ms = m->world->now_ms, limit = run_cancel_limit_ms(run), other = falls_back_at(run);
    if (now_ms >= limit && run->cancel_checked) {
        unconfirmed(m);
    } else if (other && now_ms >= other && run->cancel_checked) {
        fall_back(m);
    } else {
        run->state = RUN_CANCEL_CHECKING;
        run->steps[run->step].calls++;
        m->orders->call = RUN_CALL_CHECK;
        if (now_ms < limit) m->orders->wait_until = limit; /* else, after a restart, the call's own time will do */
    }
}

static bool is_over(const struct move *m, const struct verdict *verdict) {
    const char *rule = verdict->rule ? verdict->rule : "";
    bool failed = strcmp(rule, "failure") == 0 || strcmp(rule, "failure_when") == 0; /* no error of the poll itself */
    return verdict->kind == VERDICT_CANCELED || (verdict->kind == VERDICT_FAILED && failed) ||
           (verdict->kind == VERDICT_SUCCEEDED && success_is_the_end(m->run));
}

static void has_stopped(struct move *m, const struct verdict *verdict, struct arena *scratch) {
    const char *word = verdict->word, *what = "the upstream says that it has stopped";
    bool good = verdict->kind == VERDICT_SUCCEEDED;
    if (word)
        what = arena_printf(scratch, "%sthe upstream says \"%.*s\"", good ? "the work was done already: " : "",
                            move_told(word), word);
    else if (good) what = "the work was done already";
    move_take_outputs(m, scratch);
    end(m, REASON_CANCELED, what);
}

/* Nothing can be learned from the poll; the upstream may still be told by the fallback. */
static void ask_no_more(struct move *m) {
    if (falls_back_at(m->run)) check_later(m, run_cancel_limit_ms(m->run));
    else unconfirmed(m);
}

static void ask_again(struct move *m, const struct verdict *verdict, struct arena *scratch) {
    struct run *run = m->run;
    const struct stage_step *step = step_of(run);
    const char *why;
    int64_t delay_ms, most_ms = run->stage->cancel_timeout_ms / 4, asked_ms = verdict->retry_after_ms;
    struct pace_now now = move_pace(run, m->world);
    if (run->upstream_word)
        move_say(m, "canceling: the upstream says \"%.*s\"", move_told(run->upstream_word), run->upstream_word);
    if (verdict->kind == VERDICT_AGAIN) {
        delay_ms = move_retry_step_ms(m, asked_ms, scratch, &why);
    } else {
        run->attempt = 0;
        delay_ms = pace_poll_ms(step, &now);
        if (delay_ms > most_ms) delay_ms = most_ms;
        if (delay_ms < asked_ms) delay_ms = asked_ms;
    }
    if (delay_ms < 0) ask_no_more(m);
    else check_later(m, m->world->now_ms + delay_ms);
}

/* It has stopped, however it ended; or it is asked again, until its time is up. */
void run_cancel_checked(struct move *m) {
    struct run *run = m->run;
    const struct reply *reply = m->event->reply;
    struct arena *scratch = arena_new();
    struct verdict verdict;
    run->cancel_checked = true;
    move_judge(m, scratch, &verdict);
    bool gone = verdict.kind == VERDICT_FAILED && (reply->code == 404 || reply->code == 410);
    if (reply->phase == REPLY_ANSWERED && gone) end(m, REASON_CANCELED, "the upstream has it no more");
    else if (is_over(m, &verdict)) has_stopped(m, &verdict, scratch);
    else if (m->world->now_ms >= run_cancel_limit_ms(run)) unconfirmed(m);
    else ask_again(m, &verdict, scratch);
    arena_free(scratch);
}

/* It cannot be asked. */
void run_cancel_check_refused(struct move *m) {
    move_judged(m, "failed", "%s", m->event->fault->what);
    m->run->steps[m->run->step].calls--;
    end(m, REASON_CANCEL_UNCONFIRMED, m->event->fault->what);
}

/* It is asked when the run is resumed, or the upstream takes calls again; but not for longer than its time, and not
 * where it is time for the fallback. */
void run_cancel_check_held(struct move *m) {
    int64_t now_ms = m->world->now_ms, until_ms = m->event->until_ms, other = falls_back_at(m->run);
    m->run->steps[m->run->step].calls--;
    if (until_ms && now_ms >= run_cancel_limit_ms(m->run)) {
        unconfirmed(m);
    } else if (until_ms && other && now_ms >= other) {
        fall_back(m);
    } else {
        if (until_ms) move_say(m, "canceling: %s", m->event->fault->what);
        check_later(m, until_ms ? until_ms : now_ms);
    }
}

/* The time is up: nobody knows whether it has stopped. */
void run_cancel_due_in_check(struct move *m) {
    if (m->world->now_ms < run_cancel_limit_ms(m->run)) {
        m->orders->wait_until = run_cancel_limit_ms(m->run);
        return;
    }
    m->orders->abort_call = true;
    unconfirmed(m);
}
