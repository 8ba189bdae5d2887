/* Callbacks: a step that waits for one, and what one does to its run.
 *
 * A callback is for a step. It may come before the step waits: then it is kept, with the run, and judged when its time
 * has come. It may come while the step waits, or polls: then it is judged, and whoever decides first has decided. Or it
 * comes too late. These are the column CALLBACK of the table in run/run, and the waiting that goes with it; they run
 * under its rule: no clock, no socket, only the run and the orders. */
#include "run/contract.h"
#include "run/run_move.h"

#define WAIT_MS (60 * 60 * 1000) /* where the definition has no limit; then again */

static const struct stage_callback *callback_of(const struct run *run) {
    return step_of(run)->callback;
}

static struct inbox *inbox_of(struct run *run, size_t step) {
    struct inbox **inbox = &run->steps[step].inbox;
    if (!*inbox) *inbox = arena_new_of(run->arena, struct inbox);
    return *inbox;
}

bool run_callback_known(const struct run *run, const struct run_callback *callback) {
    return callback->step < run->step_count && inbox_knows(run->steps[callback->step].inbox, callback->mark);
}

/* ---- judging ---- */

/* By the rules of callback = { … }; without any, that it came is success. */
static void judge(const struct move *m, struct arena *scratch, const struct json *value, struct verdict *ret_verdict) {
    const struct json *roots[RUN_ROOTS_MAX];
    const struct stage_rules *rules = &callback_of(m->run)->rules;
    if (rules->use_roots) {
        run_roots(m->run, scratch, m->world->now_ms, value, roots);
        verdict_put_outputs(scratch, rules, roots);
    }
    verdict_judge_body(scratch, rules, json_gets(value, "body"), rules->use_roots ? roots : NULL, ret_verdict);
}

/* What somebody told us of the present step. True where that has decided it. */
static bool judge_message(struct move *m, const struct inbox_message *message) {
    struct arena *scratch = arena_new();
    struct said said = {.message = *message};
    struct verdict verdict;
    judge(m, scratch, message->value, &verdict);
    bool decided = verdict.kind != VERDICT_RUNNING;
    move_journal_callback(m, &verdict);
    move_note(m, &verdict);
    contract_judged(m->world, m->run, true, &verdict);
    if (decided && m->run->cancel_wanted && verdict.kind != VERDICT_SUCCEEDED) run_cancel_instead(m);
    else if (decided) move_decide(m, &verdict, &said, scratch);
    else move_say_running(m, &verdict);
    m->orders->store = true;
    arena_free(scratch);
    return decided;
}

bool run_callback_judge_kept(struct move *m) {
    struct run *run = m->run;
    struct inbox_message message;
    bool decided = false;
    while (!decided && inbox_take(run->steps[run->step].inbox, &message)) decided = judge_message(m, &message);
    return decided;
}

/* ---- waiting ---- */

void run_callback_wait(struct move *m) {
    struct run *run = m->run;
    int64_t timeout_ms = callback_of(run)->timeout_ms;
    run->awaiting = true;
    run->sending = false;
    run->steps[run->step].status = RUN_RUNNING;
    m->orders->store = true;
    move_say(m, "%s: waiting to be called back", step_of(run)->name);
    move_wait(m, m->world->now_ms + (timeout_ms ? timeout_ms : WAIT_MS));
    run_callback_judge_kept(m);
}

void run_callback_wait_on(struct move *m) {
    struct run *run = m->run;
    if (!run->awaiting) run_callback_wait(m);
    else move_wait(m, callback_of(run)->timeout_ms ? run->due_ms : m->world->now_ms + WAIT_MS);
}

bool run_callback_overdue(const struct move *m) {
    const struct run *run = m->run;
    return run->awaiting && callback_of(run)->timeout_ms && m->world->now_ms >= run->due_ms;
}

/* One has come for the present step, whose URL only this step's call tells: so that call has arrived. */
static bool proves_arrival(const struct run *run) {
    const struct inbox *inbox = run->steps[run->step].inbox;
    for (size_t i = 0; i < run->step; i++)
        if (run->stage->steps[i].callback_step == run->step) return false;
    return inbox && inbox->kept_count;
}

bool run_callback_waits(const struct run *run) {
    return step_of(run)->callback && !step_of(run)->rules.exist;
}

bool run_callback_at_last(struct move *m) {
    const struct run *run = m->run;
    if (run->cancel_wanted || run->awaiting) return false;
    if (step_of(run)->rules.exist) return run_callback_judge_kept(m);
    if (!run_callback_waits(run) || !proves_arrival(run)) return false;
    run_callback_wait(m);
    return true;
}

bool run_callback_is_all(const struct run *run) {
    const struct stage_step *step = step_of(run);
    return run->awaiting || !step->call.url || (run_callback_waits(run) && run->sending && proves_arrival(run));
}

bool run_callback_follows(const struct move *m, const struct verdict *verdict) {
    const struct run *run = m->run;
    if (!run_callback_waits(run)) return false;
    bool lost = m->event->reply->phase == REPLY_MAYBE_ACTED_ON;
    return verdict->kind == VERDICT_SUCCEEDED || (lost && proves_arrival(run));
}

/* What the call gave is what the cancel call may speak of, while the step waits. */
void run_callback_await(struct move *m, struct said *said, struct arena *scratch) {
    struct run *run = m->run;
    if (move_refuse_large(m, said)) return;
    if (!said->reply || said->reply->phase == REPLY_ANSWERED) move_keep(run, said, scratch);
    run->attempt = 0;
    run->awaiting = true;
    run->sending = false;
    if (run->cancel_wanted) run_cancel_stop_now(m);
    else run_callback_wait(m);
}

bool run_callback_has_reply(const struct run *run) {
    return run->awaiting && run->steps[run->step].value;
}

/* ---- the column of the table ---- */

/* A sender that names its messages is believed. Of one that does not, two that are alike may both be meant, unless the
 * first was not even looked at. */
static bool is_repeated(const struct move *m) {
    const struct run_callback *callback = m->event->callback;
    const struct inbox *inbox = m->run->steps[callback->step].inbox;
    if (callback->named) return inbox_knows(inbox, callback->mark);
    return inbox && inbox->kept_count && inbox_newest_is(inbox, callback->mark);
}

/* Its step is decided, or the run: one that was taken before is answered as it was then. */
void run_callback_late(struct move *m) {
    const struct run_callback *callback = m->event->callback;
    m->orders->taken = run_callback_known(m->run, callback) ? RUN_CALLBACK_REPEATED : RUN_CALLBACK_STALE;
}

/* Is it new? Then its mark is put down, and will be durable before anybody is told. */
static bool is_news(struct move *m) {
    const struct run_callback *callback = m->event->callback;
    m->orders->taken = is_repeated(m) ? RUN_CALLBACK_REPEATED : RUN_CALLBACK_TAKEN;
    if (m->orders->taken == RUN_CALLBACK_REPEATED) return false;
    inbox_note(inbox_of(m->run, callback->step), callback->mark);
    m->orders->store = true;
    return true;
}

/* Its step does not wait yet, so it is kept. Not a hint, though: the first poll comes anyway. */
void run_callback_early(struct move *m) {
    struct run *run = m->run;
    const struct run_callback *callback = m->event->callback;
    bool hint = run->stage->steps[callback->step].callback->hint;
    if (callback->step < run->step) run_callback_late(m);
    else if (!hint && !is_repeated(m) && !inbox_keep(inbox_of(run, callback->step), run->arena, &callback->message))
        m->orders->taken = RUN_CALLBACK_REFUSED;
    else is_news(m);
}

static void take(struct move *m) {
    if (is_news(m)) judge_message(m, &m->event->callback->message);
}

/* A poll that may be given up is, where the callback decides. The reply to any other call is waited for. */
void run_callback_in_call(struct move *m) {
    struct run *run = m->run;
    const struct stage_step *step = step_of(run);
    bool polls = m->event->callback->step == run->step && step->rules.exist && !run->cancel_wanted;
    if (polls && step->callback->hint) {
        run->hinted = is_news(m) || run->hinted;
    } else if (polls && step->call.idempotent) {
        take(m);
        m->orders->abort_call = run->state != RUN_CALLING;
    } else {
        run_callback_early(m);
    }
}

/* The next poll comes now, but not the sooner the more hints there are; and an upstream in trouble is left alone. */
static void poll_soon(struct move *m) {
    struct run *run = m->run;
    int64_t now_ms = m->world->now_ms, soon_ms = run->updated_ms + MOVE_HINT_GAP_MS;
    int64_t due_ms = soon_ms > now_ms && soon_ms <= now_ms + MOVE_HINT_GAP_MS ? soon_ms : now_ms;
    if (is_news(m) && !run->attempt && run->due_ms > due_ms) move_wait(m, due_ms);
}

/* Judged, where the step polls or waits for nothing else; kept, between two tries of its call. */
void run_callback_in_wait(struct move *m) {
    struct run *run = m->run;
    const struct stage_step *step = step_of(run);
    bool present = m->event->callback->step == run->step;
    if (present && step->rules.exist && step->callback->hint) poll_soon(m);
    else if (present && (step->rules.exist || run->awaiting)) take(m);
    else run_callback_early(m);
}

/* Kept; and where it shows that the call has arrived, there is no doubt any more. */
void run_callback_in_doubt(struct move *m) {
    struct run *run = m->run;
    run_callback_early(m);
    if (run->cancel_wanted || !run_callback_waits(run) || !proves_arrival(run)) return;
    m->orders->abort_call = run->state == RUN_PROBING;
    run_callback_wait(m);
}
