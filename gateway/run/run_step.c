/* The part of a run's table that is about the call of its present step: what its reply decides, when it is made again,
 * and what becomes of it where it was not sent.
 *
 * A reply is judged by the rules of the step. It ends the step well (the next one, or the end), or badly; or another
 * poll or try comes. Rows and columns of the table in run/run, and run under its rule: no clock, no socket, only the
 * run and the orders. */
#include <stdio.h>
#include <string.h>

#include "call/capture.h"
#include "run/contract.h"
#include "run/run_move.h"

/* Which step comes behind the present one, which has succeeded: step_count where there is none. Those whose `when` does
 * not hold are left out. */
static bool find_next(struct move *m, struct said *said, struct arena *scratch, size_t *ret_next, struct fault *fault) {
    struct run *run = m->run;
    const struct json *roots[RUN_ROOTS_MAX] = {0};
    bool known = false;
    size_t next = run->step + 1;
    for (; next < run->step_count && run->stage->steps[next].when.holds; next++) {
        if (!known) run_roots(run, scratch, m->world->now_ms, move_value(m, said, scratch), roots);
        known = true;
        const struct json *holds = template_value(run->stage->steps[next].when.holds, roots, scratch, fault);
        if (!holds) return false;
        if (verdict_truth(holds)) break;
    }
    for (size_t i = run->step + 1; i < next; i++) move_note_skipped(m, i);
    *ret_next = next;
    return true;
}

/* Nobody knows whether the step is to be made: nothing more is sent. */
static void fail_when(struct move *m, const struct fault *fault) {
    char what[MOVE_SAID_MAX];
    snprintf(what, sizeof what, "when of a step behind it cannot be told: %s", fault->what);
    if (m->run->cancel_wanted) {
        m->run->may_have_acted = true;
        run_cancel_instead(m);
        return;
    }
    move_fail(m, REASON_INVALID_REQUEST, what);
}

static int64_t asked_bounded(const struct verdict *verdict) {
    return verdict->retry_after_ms > RUN_DUE_MAX_MS ? RUN_DUE_MAX_MS : verdict->retry_after_ms;
}

void move_succeed(struct move *m, struct said *said, const struct verdict *verdict, struct arena *scratch) {
    struct run *run = m->run;
    struct fault fault;
    size_t next;
    if (!move_is_last(run) && !said->captured && move_refuse_large(m, said)) return;
    if (said->captured && step_of(run)->capture.missing == MISSING_FAIL && !json_size(said->captured->values)) {
        move_fail(m, REASON_NOTHING_CAPTURED, CAPTURE_NOTHING);
        return;
    }
    if (!find_next(m, said, scratch, &next, &fault)) {
        fail_when(m, &fault);
        return;
    }
    bool last = next == run->step_count;
    contract_step_over(m->world, run, true);
    move_keep_said(m, verdict, said, last, scratch);
    run->sending = run->awaiting = run->hinted = false;
    if (last && run->outputs_left_out) {
        move_say(m, "succeeded; outputs are left out, since they are larger than 4 MiB");
        move_end(m, RUN_SUCCEEDED, REASON_NONE, NULL);
        return;
    }
    if (last) {
        const char *what = verdict->warned && verdict->word ? verdict->word : verdict->message ? verdict->message : "";
        const char *first = json_text(json_at(frozen_thaw(scratch, run->warnings), 0)).at;
        bool warned = verdict->warned || (first && !*what);
        if (first && !*what) what = first;
        move_say_succeeded(m, warned, what);
        move_end(m, RUN_SUCCEEDED, REASON_NONE, NULL);
        return;
    }
    const struct stage_step *behind = &run->stage->steps[next];
    bool waits = behind->follows || (step_of(run)->call.retry_after && behind->call.url);
    run->step = next;
    run->may_have_acted = false;
    run->attempt = run->probe_attempt = 0;
    run->steady = (struct verdict_series){0};
    run->seen = (struct run_seen){0};
    run->step_began_ms = m->world->now_ms;
    run->percent = -1;
    mem_free(run->upstream_word);
    run->upstream_word = NULL;
    move_say(m, "%s: beginning", step_of(run)->name);
    run->due_ms = waits && verdict->retry_after_ms > 0 ? m->world->now_ms + asked_bounded(verdict) : 0;
    /* The intent goes along with the reply. */
    run->sending = !run->due_ms && move_intends(m);
    run->state = RUN_RECORDING;
    m->orders->store = true;
}

int64_t move_retry_ms(struct move *m, const struct move_try *one, struct arena *scratch, const char **ret_why) {
    int64_t now_ms = m->world->now_ms;
    if (++*one->failed == 1 || !*one->since_ms) *one->since_ms = now_ms;
    struct policy_try next = {.failed = *one->failed,
                              .since_ms = *one->since_ms,
                              .now_ms = now_ms,
                              .wait_ms = one->wait_ms,
                              .endless = one->endless,
                              .random = m->world->random,
                              .bound = one->bound};
    return policy_delay_ms(scratch, one->call, &next, ret_why);
}

int64_t move_retry_step_ms(struct move *m, int64_t wait_ms, struct arena *scratch, const char **ret_why) {
    struct move_try one = {.call = &step_of(m->run)->call,
                           .failed = &m->run->attempt,
                           .since_ms = &m->run->failing_since_ms,
                           .wait_ms = wait_ms,
                           .endless = step_of(m->run)->rules.exist}; /* a poll goes on until its step's time is up */
    return move_retry_ms(m, &one, scratch, ret_why);
}

static void again(struct move *m, const struct verdict *verdict, struct arena *scratch) {
    const struct stage_step *step = step_of(m->run);
    const char *why, *what = verdict->message ? verdict->message : "no verdict";
    int64_t delay_ms = move_retry_step_ms(m, verdict->retry_after_ms, scratch, &why);
    if (delay_ms < 0) {
        move_judged(m, "failed", "%s", move_and_why(scratch, what, why));
        if (m->run->cancel_wanted) run_cancel_instead(m); /* the cancel call needs what was looked for */
        else move_fail(m, verdict->reason, move_and_why(scratch, what, why));
        return;
    }
    m->orders->store |= !step->call.idempotent; /* or a restart would find it in doubt */
    move_say(m, "%s: %.*s; %s", step->name, move_told(what), what,
             move_trying_again(scratch, delay_ms, verdict->retry_after_ms));
    move_wait(m, m->world->now_ms + delay_ms);
}

struct pace_now move_pace(const struct run *run, const struct run_world *world) {
    return (struct pace_now){.id = text_of(run->id),
                             .run_began_ms = run->begun_ms ? run->begun_ms : world->now_ms,
                             .step_began_ms = run->step_began_ms,
                             .now_ms = world->now_ms,
                             .history = world->history,
                             .random = world->random};
}

static void still_running(struct move *m, const struct verdict *verdict) {
    struct run *run = m->run;
    run->attempt = 0;
    m->orders->store |= !step_of(run)->call.idempotent; /* it was answered: a restart has to know that */
    move_say_running(m, verdict);
    struct pace_now now = move_pace(run, m->world);
    int64_t delay_ms = run->hinted ? MOVE_HINT_GAP_MS : pace_poll_ms(step_of(run), &now);
    int64_t asked_ms = asked_bounded(verdict);
    move_wait(m, m->world->now_ms + (asked_ms > delay_ms ? asked_ms : delay_ms));
    run->hinted = false;
}

void move_note(struct move *m, const struct verdict *verdict) {
    struct run *run = m->run;
    run->updated_ms = m->world->now_ms;
    if (verdict->word) move_put_text(&run->upstream_word, run, verdict->word);
    if (verdict->percent >= 0) run->percent = verdict->percent;
    if (verdict->unknown_word && !run->warned_unknown) run->warned_unknown = m->orders->unknown_word = true;
}

/* Whether the upstream keeps to what the definition expects. */
static void note_seen(struct run_seen *seen, const struct verdict *verdict) {
    seen->replies++;
    seen->value |= verdict->stood[VERDICT_VALUE] >= VERDICT_KINDS && verdict->word;
    seen->progress |= verdict->stood[VERDICT_PROGRESS] >= VERDICT_KINDS;
    seen->success_defined |= !verdict->success_undefined;
}

void move_note_url(struct run *run, const char *url) {
    char **to = &run->steps[run->step].url;
    if (!url || (*to && strcmp(*to, url) == 0)) return;
    mem_free(*to);
    *to = mem_strdup(url);
}

/* It is made durable: the place before may be gone once a newer one was told. */
static void note_location(struct move *m) {
    struct run_step *step = &m->run->steps[m->run->step];
    const struct reply *reply = m->event->reply;
    bool accepted = reply->phase == REPLY_ANSWERED && reply->code == 202;
    const char *location = accepted ? reply_header(reply, "Location") : NULL;
    if (!location && accepted && step->location) location = reply->url; /* it is to be asked again */
    if (!location || (step->location && strcmp(location, step->location) == 0)) return;
    mem_free(step->location);
    step->location = mem_strdup(location);
    m->orders->store = true;
}

static void note_upstream(struct move *m, const struct verdict *verdict) {
    struct run *run = m->run;
    const struct reply *reply = m->event->reply;
    run->upstream_code = run->steps[run->step].code = reply->phase == REPLY_ANSWERED ? reply->code : 0;
    move_note_url(run, reply->url);
    if (step_of(run)->follows) note_location(m);
    move_note(m, verdict);
    if (verdict->looked) note_seen(&run->seen, verdict);
    contract_judged(m->world, run, false, verdict);
}

/* May the call be made again, although an earlier one may have been acted on? */
static bool repeatable(const struct stage_step *step) {
    return step->call.idempotent || step->in_doubt == DOUBT_RESEND;
}

static bool may_have_acted(const struct stage_call *call, const struct reply *reply) {
    if (reply->phase != REPLY_ANSWERED) return reply->phase == REPLY_MAYBE_ACTED_ON;
    return !code_set_holds(&call->expect, reply->code) && !policy_code_is_harmless(reply->code);
}

/* Of several tries, one that may have been acted on counts until an answer has come; and for whoever wants to know
 * whether work has begun, also behind an answer that speaks of the last try only. */
static void note_phase(struct run *run, const struct reply *reply) {
    if (may_have_acted(&step_of(run)->call, reply)) run->may_have_acted = true;
    if (reply->phase == REPLY_MAYBE_ACTED_ON) run->sending = true;
    else if (reply->phase == REPLY_ANSWERED || !repeatable(step_of(run))) run->sending = false;
}

static bool rule_is(const struct verdict *verdict, const char *setting) {
    return verdict->rule && strcmp(verdict->rule, setting) == 0;
}

void move_judge(struct move *m, struct arena *scratch, struct verdict *ret_verdict) {
    const struct run *run = m->run;
    const struct json *roots[RUN_ROOTS_MAX];
    struct verdict_scope scope = {.now_ms = m->world->now_ms, .elapsed_ms = m->world->now_ms - run->step_began_ms};
    if (step_of(run)->rules.use_roots) {
        run_roots_of_rules(run, scratch, m->world->now_ms, &step_of(run)->rules, roots);
        scope.roots = roots;
        scope.step_root = ROOT_STEPS + run->step;
    }
    verdict_judge(scratch, step_of(run), m->event->reply, &scope, ret_verdict);
    if (verdict_settle(scratch, &step_of(run)->rules, m->world->now_ms, &m->run->steady, ret_verdict))
        m->orders->store = true;
    move_judged_by(m, &step_of(run)->rules, ret_verdict);
    if (ret_verdict->kind == VERDICT_SUCCEEDED && !m->why) m->why = mem_strdup("the code is in expect");
    note_upstream(m, ret_verdict);
}

void move_judge_apart(const struct move *m, const struct stage_step *as, struct arena *scratch,
                      struct verdict *ret_verdict) {
    const struct json *roots[RUN_ROOTS_MAX];
    struct verdict_scope scope = {.now_ms = m->world->now_ms};
    if (as->rules.use_roots) {
        run_roots_of_rules(m->run, scratch, m->world->now_ms, &as->rules, roots);
        scope.roots = roots;
    }
    verdict_judge(scratch, as, m->event->reply, &scope, ret_verdict);
}

/* In the upstream's own word, where that is what failed. Outputs help to find out why. */
static void failed(struct move *m, const struct verdict *verdict, struct said *said, struct arena *scratch) {
    const char *word = verdict->word, *what = verdict->message ? verdict->message : "";
    bool unknown = verdict->reason == REASON_UNKNOWN_STATUS, by_word = word && (unknown || rule_is(verdict, "failure"));
    if (word || verdict->reason == REASON_UPSTREAM_FAILED) move_outputs(m, said, move_is_last(m->run), false, scratch);
    if (by_word)
        what = arena_printf(scratch, "the upstream says \"%.*s\"%s%s%.*s", move_told(word), word,
                            unknown ? ", which no list of the definition names" : "", *what ? " - " : "",
                            move_told(what), what);
    move_fail(m, verdict->reason, what);
}

static void canceled(struct move *m, const struct verdict *verdict, struct said *said, struct arena *scratch) {
    struct run *run = m->run;
    const char *word = verdict->word, *what = verdict->message ? verdict->message : "";
    move_outputs(m, said, move_is_last(run), false, scratch);
    run->steps[run->step].status = RUN_CANCELED;
    if (word && rule_is(verdict, "canceled"))
        move_say(m, "%s: the upstream says \"%.*s\"", step_of(run)->name, move_told(word), word);
    else move_say(m, "%s: canceled by the upstream: %.*s", step_of(run)->name, move_told(what), what);
    move_end(m, RUN_CANCELED, verdict->reason, NULL);
}

void move_decide(struct move *m, const struct verdict *verdict, struct said *said, struct arena *scratch) {
    if (verdict->kind == VERDICT_SUCCEEDED) move_succeed(m, said, verdict, scratch);
    else if (verdict->kind == VERDICT_FAILED) failed(m, verdict, said, scratch);
    else canceled(m, verdict, said, scratch);
}

static void follow(struct move *m, const struct verdict *verdict, struct said *said, struct arena *scratch) {
    if (verdict->kind == VERDICT_AGAIN) again(m, verdict, scratch);
    else if (verdict->kind == VERDICT_RUNNING) still_running(m, verdict);
    else if (verdict->reason == REASON_IN_DOUBT) run_doubt_begin(m, verdict->message);
    else move_decide(m, verdict, said, scratch);
}

/* The reply is judged: the next step, another poll or try, the end, or the cancel call that waited for it. */
void run_step_replied(struct move *m) {
    struct run *run = m->run;
    struct arena *scratch = arena_new();
    struct verdict verdict;
    struct said said = {.reply = m->event->reply};
    bool polls = step_of(run)->rules.exist;
    move_judge(m, scratch, &verdict);
    said.body = verdict.body;
    note_phase(run, m->event->reply);
    bool open = verdict.kind == VERDICT_RUNNING || verdict.kind == VERDICT_AGAIN;
    if (!open) move_capture(m, &said, scratch);
    if (run_callback_follows(m, &verdict)) run_callback_await(m, &said, scratch);
    else if (run->cancel_wanted && verdict.kind != VERDICT_SUCCEEDED && !(open && run_cancel_needs_step(run)))
        run_cancel_instead(m);
    else if (!polls || !run_callback_judge_kept(m)) follow(m, &verdict, &said, scratch); /* who came first */
    arena_free(scratch);
}

/* The call that was ordered, or about to be recorded, has not left. */
static void not_sent(struct move *m) {
    struct run *run = m->run;
    bool ordered = run->state == RUN_CALLING;
    if (!ordered || !repeatable(step_of(run))) run->sending = false;
    if (ordered) run->steps[run->step].calls--;
    if (run->step == 0 && !run->steps[0].calls && !run->may_have_acted) run->begun_ms = 0;
}

/* Nothing was sent, and rendering it again would fail again: the run ends. */
void run_step_refused(struct move *m) {
    const struct fault *fault = m->event->fault;
    struct run *run = m->run;
    move_judged(m, "failed", "%s", fault->what);
    run->updated_ms = m->world->now_ms;
    not_sent(m);
    contract_refused(m->world, run, false, fault);
    if (run->cancel_wanted) run_cancel_instead(m);
    else move_fail(m, fault->kind == FAULT_FORBIDDEN ? REASON_REFUSED_EGRESS : REASON_INVALID_REQUEST, fault->what);
}

/* It was not sent, so nothing is in doubt: it begins anew, when its turn or its time has come, or after the restart. */
void run_step_held(struct move *m) {
    struct run *run = m->run;
    not_sent(m);
    m->orders->store = !repeatable(step_of(run));
    if (m->event->turn) {
        run_queue_held(m);
        return;
    }
    if (m->event->until_ms) move_say(m, "%s: %s", step_of(run)->name, m->event->fault->what);
    move_wait(m, m->event->until_ms ? m->event->until_ms : m->world->now_ms);
}
