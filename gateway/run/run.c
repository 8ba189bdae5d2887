/* The life of a run, as a table: for every state and every event, the function that answers it.
 *
 * The functions below the table change the run and fill the orders; nobody else writes `state`. They are pure: time and
 * chance come in `world`, and what is to be done goes out in `orders`, so that the whole life can be driven by a test
 * with a clock of its own. What replies had that the definition does not expect is told to `world->contract`, which
 * changes nothing here. A function that stands for "nothing to do" says so by its name, so that every pair is a
 * decision. */
#include "run/run.h"

#include <stdio.h>
#include <string.h>

#include "call/capture.h"
#include "call/pace.h"
#include "call/policy.h"
#include "run/contract.h"
#include "run/run_move.h"

/* ---- words ---- */

const char *run_status_word(enum run_status status) {
    static const char *const words[] = {
#define X(id, word) [RUN_##id] = word,
        RUN_STATUSES(X)
#undef X
    };
    return words[status];
}

const char *run_state_word(enum run_state state) {
    static const char *const words[] = {
#define X(id, word) [RUN_##id] = word,
        RUN_STATES(X)
#undef X
    };
    return words[state];
}

bool run_ended(const struct run *run) {
    return run->state == RUN_ENDED;
}

/* As far as one can know before its reply: the steps behind it may be left out. */
bool move_is_last(const struct run *run) {
    return run->step + 1 == run->step_count;
}

const struct stage_call *run_call_of(const struct run *run, enum run_call call) {
    if (call == RUN_CALL_PROBE) return &step_of(run)->probe->step.call;
    if (call != RUN_CALL_CANCEL) return &step_of(run)->call;
    return run->cancel_fell_back ? &run->stage->cancel_fallback->call : &run->stage->cancel->call;
}

/* ---- orders ---- */

/* The time at which the present step, or the whole run, is over; 0: never. A poll that goes on only so that the run can
 * be canceled has the cancel's time. */
int64_t run_deadline_ms(const struct run *run) {
    if (run_cancel_needs_step(run)) return run_cancel_limit_ms(run);
    int64_t whole = run->stage->timeout_ms ? run->created_ms + run->stage->timeout_ms : 0;
    int64_t step = step_of(run)->timeout_ms && !run->queued ? run->step_began_ms + step_of(run)->timeout_ms : 0;
    int64_t first = whole && (!step || whole < step) ? whole : step;
    return run->deadline_ms && (!first || run->deadline_ms < first) ? run->deadline_ms : first;
}

static void order_call(struct move *m) {
    struct run *run = m->run;
    run->state = RUN_CALLING;
    run->steps[run->step].calls++;
    run->steps[run->step].status = RUN_RUNNING;
    m->orders->call = RUN_CALL_STEP;
    m->orders->wait_until = run_deadline_ms(run);
}

bool move_intends(const struct move *m) {
    return !step_of(m->run)->call.idempotent && !m->run->cancel_wanted && !m->world->limited;
}

/* The call of the present step; recorded as being sent first, where sending it twice would do harm. A callback that
 * came before may make a poll needless. */
void move_call(struct move *m) {
    struct run *run = m->run;
    bool harmless = step_of(run)->call.idempotent;
    if (!step_of(run)->call.url) {
        run_callback_wait(m);
        return;
    }
    if (step_of(run)->rules.exist && run_callback_judge_kept(m)) return;
    if (!run->begun_ms) run->begun_ms = m->world->now_ms;
    if ((harmless || run->sending) && !m->orders->store) {
        order_call(m);
        return;
    }
    m->orders->ask_first = !m->orders->store;
    run->sending = run->sending || (m->orders->ask_first ? !harmless : move_intends(m));
    run->state = RUN_INTENDING;
    m->orders->store = true;
}

void move_wait(struct move *m, int64_t due_ms) {
    int64_t deadline = run_deadline_ms(m->run);
    m->run->state = RUN_WAITING;
    m->run->due_ms = due_ms;
    m->orders->wait_until = deadline && deadline < due_ms ? deadline : due_ms;
}

void move_queue(struct move *m) {
    m->run->state = RUN_QUEUED;
    m->run->updated_ms = m->world->now_ms;
    m->orders->wait_until = run_deadline_ms(m->run);
}

void move_end(struct move *m, enum run_status status, enum reason reason, const char *error) {
    struct run *run = m->run;
    run->state = RUN_ENDING;
    run->status = status;
    run->reason = reason;
    run->ended_ms = run->updated_ms = m->world->now_ms;
    run->sending = false;
    if (status == RUN_SUCCEEDED) run->percent = 100;
    move_put_text(&run->error, run, error);
    m->orders->store = true;
    m->orders->undone = status != RUN_SUCCEEDED;
}

void move_fail(struct move *m, enum reason reason, const char *what) {
    struct run *run = m->run;
    run->steps[run->step].status = RUN_TERMINAL;
    if (!what) what = "";
    move_say(m, "%s: %.*s", step_of(run)->name, move_told(what), what);
    char *sentence = mem_strdup(run->progress);
    move_end(m, RUN_TERMINAL, reason, sentence);
    mem_free(sentence);
}

/* ---- replies ---- */

/* Which step comes behind the present one, which has succeeded: step_count where there is none. Those whose `when` does
 * not hold are left out. */
static bool find_next(struct move *m, const struct said *said, struct arena *scratch, size_t *ret_next,
                      struct fault *fault) {
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

void move_succeed(struct move *m, const struct said *said, const struct verdict *verdict, struct arena *scratch) {
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
        move_say(m, "succeeded%s%s%.*s", warned ? " with a warning" : "", *what ? ": " : "", move_told(what), what);
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
static void failed(struct move *m, const struct verdict *verdict, const struct said *said, struct arena *scratch) {
    const char *word = verdict->word, *what = verdict->message ? verdict->message : "";
    bool unknown = verdict->reason == REASON_UNKNOWN_STATUS, by_word = word && (unknown || rule_is(verdict, "failure"));
    if (word || verdict->reason == REASON_UPSTREAM_FAILED)
        move_outputs(m, said, said_value(scratch, m->run, said), move_is_last(m->run), false, scratch);
    if (by_word)
        what = arena_printf(scratch, "the upstream says \"%.*s\"%s%s%.*s", move_told(word), word,
                            unknown ? ", which no list of the definition names" : "", *what ? " - " : "",
                            move_told(what), what);
    move_fail(m, verdict->reason, what);
}

static void canceled(struct move *m, const struct verdict *verdict, const struct said *said, struct arena *scratch) {
    struct run *run = m->run;
    const char *word = verdict->word, *what = verdict->message ? verdict->message : "";
    move_outputs(m, said, said_value(scratch, run, said), move_is_last(run), false, scratch);
    run->steps[run->step].status = RUN_CANCELED;
    if (word && rule_is(verdict, "canceled"))
        move_say(m, "%s: the upstream says \"%.*s\"", step_of(run)->name, move_told(word), word);
    else move_say(m, "%s: canceled by the upstream: %.*s", step_of(run)->name, move_told(what), what);
    move_end(m, RUN_CANCELED, verdict->reason, NULL);
}

void move_decide(struct move *m, const struct verdict *verdict, const struct said *said, struct arena *scratch) {
    if (verdict->kind == VERDICT_SUCCEEDED) move_succeed(m, said, verdict, scratch);
    else if (verdict->kind == VERDICT_FAILED) failed(m, verdict, said, scratch);
    else canceled(m, verdict, said, scratch);
}

static void follow(struct move *m, const struct verdict *verdict, const struct said *said, struct arena *scratch) {
    if (verdict->kind == VERDICT_AGAIN) again(m, verdict, scratch);
    else if (verdict->kind == VERDICT_RUNNING) still_running(m, verdict);
    else if (verdict->reason == REASON_IN_DOUBT) run_doubt_begin(m, verdict->message);
    else move_decide(m, verdict, said, scratch);
}

/* The reply is judged: the next step, another poll or try, the end, or the cancel call that waited for it. */
static void replied(struct move *m) {
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
static void call_refused(struct move *m) {
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
static void call_held(struct move *m) {
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

/* ---- time ---- */

bool move_time_is_up(const struct move *m) {
    int64_t deadline = run_deadline_ms(m->run);
    return deadline && m->world->now_ms >= deadline;
}

/* The upstream is told to stop, so that what nobody waits for does not go on. */
void move_time_out(struct move *m) {
    if (!m->run->cancel_wanted) contract_step_over(m->world, m->run, false);
    if (!m->run->cancel_wanted) m->run->timed_out = m->run->cancel_wanted = true;
    if (!m->run->cancel_since_ms) m->run->cancel_since_ms = m->world->now_ms;
    m->run->updated_ms = m->world->now_ms;
    move_say_not_done(m, "");
    run_cancel_stop_now(m);
}

/* The next poll or try; or the time of the step or the run is up. */
static void due(struct move *m) {
    if (move_time_is_up(m) && run_callback_at_last(m)) return;
    if (move_time_is_up(m) || run_callback_overdue(m)) move_time_out(m);
    else if (m->run->awaiting) run_callback_wait_on(m);
    else move_call(m); /* also where the clock was set back meanwhile: the timer knows better */
}

/* The time is up: the call is given up, and the upstream told to stop. */
static void due_in_call(struct move *m) {
    if (!move_time_is_up(m)) {
        m->orders->wait_until = run_deadline_ms(m->run);
        return;
    }
    m->orders->abort_call = true;
    if (run_callback_at_last(m)) return;
    m->run->sending = m->run->may_have_acted = true; /* whatever it is */
    move_time_out(m);
}

/* Its turn has not come; its time may be up all the same. */
static void due_in_queue(struct move *m) {
    if (move_time_is_up(m)) move_time_out(m);
    else m->orders->wait_until = run_deadline_ms(m->run);
}

/* ---- records ---- */

/* The run, its intent, or what decided the step before is durable: the call may leave. No byte of it has yet, so a wish
 * to cancel that came meanwhile stops it, and so does its time, where the disk was slow. */
static void recorded(struct move *m) {
    if (m->run->cancel_wanted) {
        m->run->sending = false;
        run_cancel_begin(m);
    } else if (move_time_is_up(m)) {
        m->run->sending = false;
        if (m->run->state != RUN_INTENDING || !run_callback_at_last(m)) move_time_out(m);
    } else if (m->run->queued) {
        move_queue(m);
    } else if (m->run->state == RUN_RECORDING && !m->run->awaiting && m->run->due_ms > m->world->now_ms) {
        move_wait(m, m->run->due_ms); /* the upstream said when to ask first */
    } else {
        move_call(m);
        m->orders->intended = m->orders->call && !step_of(m->run)->call.idempotent;
    }
}

/* The end is durable, so it may be told. */
static void ended(struct move *m) {
    m->run->state = RUN_ENDED;
    m->orders->ended = true;
}

/* Nobody was told of it, so it is let go without a trace. */
static void dropped(struct move *m) {
    m->run->state = RUN_DROPPED;
    m->orders->ended = true;
}

/* ---- nothing to do, each for its reason ---- */

static void cannot_be(struct move *m) { /* the engine never brings this event here */
    (void)m;
}

static void is_over(struct move *m) { /* an end is an end */
    (void)m;
}

static void is_known(struct move *m) { /* it is being canceled already */
    (void)m;
}

static void is_durable(struct move *m) { /* a record that nothing waited for, as of a cancel wish during a call */
    (void)m;
}

static void came_late(struct move *m) { /* a timer of the state before */
    (void)m;
}

static void (*const moves[RUN_STATE_END][RUN_EVENT_END])(struct move *) = {
    /*                       STORED        UNSTORED    REPLY           REFUSED    HELD     DUE           CANCEL CALLBACK
       ADMITTED */
    [RUN_ACCEPTING] = {recorded, dropped, cannot_be, cannot_be, cannot_be, came_late, run_cancel_want, cannot_be,
                       run_queue_admitted_early},
    [RUN_QUEUED] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, due_in_queue, run_cancel_stop,
                    run_queue_called_back, run_queue_admitted},
    [RUN_INTENDING] = {recorded, cannot_be, cannot_be, call_refused, call_held, came_late, run_cancel_want,
                       run_callback_early, cannot_be},
    [RUN_CALLING] = {is_durable, cannot_be, replied, call_refused, call_held, due_in_call, run_cancel_stop_call,
                     run_callback_in_call, cannot_be},
    [RUN_RECORDING] = {recorded, cannot_be, cannot_be, cannot_be, cannot_be, came_late, run_cancel_want,
                       run_callback_early, cannot_be},
    [RUN_WAITING] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, due, run_cancel_stop, run_callback_in_wait,
                     cannot_be},
    [RUN_PROBING] = {is_durable, cannot_be, run_doubt_replied, run_doubt_refused, run_doubt_held, run_doubt_due_in_call,
                     run_doubt_cancel_in_call, run_callback_in_doubt, cannot_be},
    [RUN_PROBE_WAITING] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, run_doubt_due, run_doubt_cancel,
                           run_callback_in_doubt, cannot_be},
    [RUN_STOPPING] = {run_cancel_begin, cannot_be, cannot_be, cannot_be, cannot_be, came_late, is_known,
                      run_callback_late, cannot_be},
    [RUN_CANCELING] = {is_durable, cannot_be, run_cancel_replied, run_cancel_refused, run_cancel_held,
                       run_cancel_due_in_call, is_known, run_callback_late, cannot_be},
    [RUN_CANCEL_WAITING] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, run_cancel_again, is_known,
                            run_callback_late, cannot_be},
    [RUN_CANCEL_CHECKING] = {is_durable, cannot_be, run_cancel_checked, run_cancel_check_refused, run_cancel_check_held,
                             run_cancel_due_in_check, is_known, run_callback_late, cannot_be},
    [RUN_CANCEL_CHECK_WAITING] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, run_cancel_check, is_known,
                                  run_callback_late, cannot_be},
    [RUN_ENDING] = {ended, dropped, cannot_be, cannot_be, cannot_be, came_late, is_over, run_callback_late, is_over},
    [RUN_ENDED] = {is_over, is_over, is_over, is_over, is_over, is_over, is_over, run_callback_late, is_over},
    [RUN_DROPPED] = {is_over, is_over, is_over, is_over, is_over, is_over, is_over, run_callback_late, is_over},
};

static const char *why_given_up(enum run_event_kind kind) {
    if (kind == RUN_EVENT_DUE) return "the time is up";
    return kind == RUN_EVENT_CANCEL ? "the run is canceled" : "a callback came first";
}

void run_move(struct run *run, const struct run_event *event, const struct run_world *world,
              struct run_orders *ret_orders) {
    *ret_orders = (struct run_orders){0};
    struct move m = {.run = run, .event = event, .world = world, .orders = ret_orders};
    m.before = run->state;
    m.step = run->step;
    moves[m.before][event->kind](&m);
    if (ret_orders->abort_call) move_judged(&m, "given_up", "%s", why_given_up(event->kind));
    move_write_journal(&m);
}

/* After a restart. What was being sent is in doubt, unless sending it again does no harm. */
void run_resume(struct run *run, const struct run_world *world, struct run_orders *ret_orders) {
    *ret_orders = (struct run_orders){0};
    struct move m = {.run = run, .world = world, .orders = ret_orders};
    run->status = RUN_RUNNING;
    if (run->queued) {
        if (run->cancel_wanted) run_cancel_begin(&m);
        else move_queue(&m);
        return;
    }
    bool called = run->steps[run->step].calls > 0 || !run->cancel_wanted; /* as far as one can know */
    if (called && !run_callback_is_all(run) && step_of(run)->call.idempotent && !step_of(run)->rules.exist)
        run->sending = true;
    run->may_have_acted = run->may_have_acted || run->sending;
    if (run->cancel_wanted) {
        run_cancel_begin(&m);
    } else if (run_callback_is_all(run)) {
        run_callback_wait_on(&m);
    } else if (run->sending && !step_of(run)->call.idempotent) {
        run_doubt_resume(&m);
    } else {
        const struct stage_step *step = step_of(run);
        bool ahead = run->due_ms > world->now_ms && run->due_ms <= world->now_ms + RUN_DUE_MAX_MS;
        int64_t due_ms = ahead ? run->due_ms : world->now_ms;
        struct pace_now now = move_pace(run, world);
        if (step->rules.exist && world->now_ms - run->step_began_ms >= step->every_ms && !ahead)
            due_ms += pace_grid_ms(step, &now); /* each at its own phase: no herd */
        move_wait(&m, due_ms);
    }
}

void run_say_turn(struct run *run, const struct run_world *world, const char *text) {
    struct move m = {.run = run, .world = world};
    if (run->state != RUN_QUEUED) return;
    if (run->queued) move_say(&m, "%s", text);
    else move_say(&m, "%s: %s", step_of(run)->name, text);
}

void run_give_up(struct run *run, const struct run_world *world, enum reason reason, const char *what,
                 struct run_orders *ret_orders) {
    *ret_orders = (struct run_orders){0};
    struct move m = {.run = run, .world = world, .orders = ret_orders};
    move_say(&m, "%s cannot be used any more: %s",
             reason == REASON_BROKEN_RECORD ? "what the store holds of the run"
                                            : "the definition that the run began with",
             what);
    char *sentence = mem_strdup(run->progress);
    move_end(&m, RUN_TERMINAL, reason, sentence);
    mem_free(sentence);
}
