/* In doubt: a call that is not idempotent may have been acted on, and nobody knows. Its reply was lost, or the gateway
 * stopped while it was being sent.
 *
 * The definition says what is done then: the run fails, the call is sent again, or a probe looks for the work that it
 * would have begun. What the probe finds takes the place of the lost reply; where it finds nothing, the call is sent
 * again. As long as that is open the durable record says `sending`, so a restart comes back here; both answers are
 * recorded before anything follows from them. A probe that cannot tell leaves the run in doubt: it ends, and says so.
 */
#include <string.h>

#include "call/outputs.h"
#include "run/run_move.h"

static const struct stage_probe *probe_of(const struct run *run) {
    return step_of(run)->probe;
}

/* Once it is to be stopped, the run's time may be up already: then looking has the cancel's. 0: it has its tries alone.
 */
static int64_t look_deadline_ms(const struct run *run) {
    if (!run->cancel_wanted) return run_deadline_ms(run);
    return run->cancel_since_ms && run->stage->cancel_timeout_ms > 0 ? run_cancel_limit_ms(run) : 0;
}

static bool look_is_over(const struct move *m) {
    int64_t deadline = look_deadline_ms(m->run);
    return deadline && m->world->now_ms >= deadline;
}

static void wait_until(struct move *m, int64_t due_ms) {
    int64_t deadline = look_deadline_ms(m->run);
    m->run->state = RUN_PROBE_WAITING;
    m->run->due_ms = m->orders->wait_until = deadline && deadline < due_ms ? deadline : due_ms;
}

/* ---- how it begins ---- */

static void resend(struct move *m, const char *what) {
    struct arena *scratch = arena_new();
    const char *why;
    int64_t delay_ms = move_retry_step_ms(m, -1, scratch, &why);
    if (delay_ms < 0) {
        move_fail(m, REASON_IN_DOUBT, move_and_why(scratch, what, why));
    } else {
        move_say(m, "%s: %.*s; sending it again", step_of(m->run)->name, move_told(what), what);
        m->orders->store = true;
        move_wait(m, m->world->now_ms + delay_ms);
    }
    arena_free(scratch);
}

static void begin_doubt(struct move *m) {
    m->run->doubt_since_ms = m->world->now_ms;
    m->run->doubt_mono_ms = m->world->mono_ms;
}

static void look_first(struct move *m, const char *what) {
    struct run *run = m->run;
    run->probe_attempt = 0;
    begin_doubt(m);
    move_say(m, "%s: %.*s; looking for what became of it", step_of(run)->name, move_told(what), what);
    wait_until(m, m->world->now_ms);
}

void run_doubt_begin(struct move *m, const char *what) {
    switch (step_of(m->run)->in_doubt) {
    case DOUBT_FAIL: move_fail(m, REASON_IN_DOUBT, what); break;
    case DOUBT_RESEND: resend(m, what); break;
    case DOUBT_PROBE: look_first(m, what); break;
    }
}

/* No fault of the upstream, so it is not counted as a failed try. */
void run_doubt_resume(struct move *m) {
    const char *what =
        "the gateway was stopped while the call was being sent; whether the upstream acted on it is not known";
    if (step_of(m->run)->in_doubt == DOUBT_RESEND) move_wait(m, m->world->now_ms);
    else run_doubt_begin(m, what);
}

bool run_doubt_helps_cancel(const struct run *run) {
    return run->sending && step_of(run)->in_doubt == DOUBT_PROBE && run->stage->cancel && !run->cancel_fell_back &&
           run->step < run->stage->cancel_needs;
}

void run_doubt_look(struct move *m) {
    struct run *run = m->run;
    if (!run->doubt_since_ms) begin_doubt(m);
    run->state = RUN_PROBING;
    m->orders->call = RUN_CALL_PROBE;
    if (!look_is_over(m)) m->orders->wait_until = look_deadline_ms(run); /* else, after a restart, it has one look */
}

/* ---- how it ends ---- */

static void give_up(struct move *m, const char *what) {
    struct buf text;
    buf_init(&text, 4096);
    buf_addf(&text, "whether the upstream acted on the call is not known, and the probe could not tell: %.*s",
             move_told(what), what);
    if (m->run->cancel_wanted) run_cancel_untold(m, buf_cstr(&text));
    else move_fail(m, REASON_IN_DOUBT, buf_cstr(&text));
    buf_fini(&text);
}

/* The probe has not said anything; it is asked again, as its own retry says. */
static void unanswered(struct move *m, const char *what, int64_t asked_ms, struct arena *scratch) {
    struct run *run = m->run;
    const char *why;
    struct move_try one = {.call = &probe_of(run)->step.call,
                           .failed = &run->probe_attempt,
                           .since_ms = &run->probe_failing_since_ms,
                           .wait_ms = asked_ms};
    int64_t delay_ms = move_retry_ms(m, &one, scratch, &why);
    move_judged(m, delay_ms < 0 ? "failed" : "again", "%.*s", move_told(what), what);
    if (delay_ms < 0) {
        give_up(m, move_and_why(scratch, what, why));
        return;
    }
    move_say(m, "%s: in doubt; the probe: %.*s; looking again", step_of(run)->name, move_told(what), what);
    wait_until(m, m->world->now_ms + delay_ms);
}

/* The work is there: as if its reply had come. */
static void found(struct move *m, const struct json *body, struct arena *scratch) {
    struct run *run = m->run;
    const struct reply *reply = m->event->reply;
    struct verdict verdict = {.kind = VERDICT_SUCCEEDED, .percent = -1, .retry_after_ms = -1};
    struct json *value = json_new_object(scratch);
    const struct json *whole = reply_value(scratch, reply);
    move_judged(m, "succeeded", "found has what the call began");
    json_set(value, "body", body);
    json_set(value, "headers", json_gets(whole, "headers"));
    json_set(value, "code", json_gets(whole, "code"));
    run->upstream_code = run->steps[run->step].code = reply->code;
    move_note_url(run, reply->url);
    struct said said = {.message = {value, reply->body.len}};
    if (run_callback_waits(run)) run_callback_await(m, &said, scratch);
    else move_succeed(m, &said, &verdict, scratch);
}

/* It was never acted on, so it is sent again, as its retry says: once at least, since what failed may have been the
 * gateway. The time that it took to find out counts. */
static void not_found(struct move *m, struct arena *scratch) {
    static const char what[] = "the call was sent and its reply lost, each time, and the probe finds no work";
    struct run *run = m->run;
    const char *why;
    int64_t now_ms = m->world->now_ms, due_ms = run->doubt_since_ms < now_ms ? run->doubt_since_ms : now_ms;
    run->sending = run->may_have_acted = false;
    run->doubt_since_ms = 0;
    run->probe_attempt = 0;
    if (run->cancel_wanted) {
        run_cancel_begin(m);
        return;
    }
    int64_t delay_ms = move_retry_step_ms(m, -1, scratch, &why);
    if (run->attempt == 1) run->failing_since_ms = due_ms;
    if (delay_ms < 0 && run->attempt > 1) {
        move_fail(m, REASON_BAD_REPLY, move_and_why(scratch, what, why));
        return;
    }
    move_say(m, "%s: the probe finds no work; sending the call again", step_of(run)->name);
    due_ms += delay_ms;
    if (due_ms <= now_ms) {
        move_call(m);
        return;
    }
    m->orders->store = true; /* or a restart would find it in doubt */
    move_wait(m, due_ms);
}

/* ---- what the probe's reply means ---- */

static bool is_nothing(const struct json *value) {
    switch (json_kind(value)) {
    case JSON_NULL: return true;
    case JSON_BOOL: return !json_truth(value);
    case JSON_STRING: return json_text(value).len == 0;
    case JSON_ARRAY:
    case JSON_OBJECT: return json_size(value) == 0;
    default: return false;
    }
}

/* An error page that comes as 200 must not pass for "there is no such work": then it would be done twice. */
static bool is_empty_answer(const struct reply *reply) {
    return reply->code < 200 || reply->code > 299 || reply->code == 204;
}

/* The same of a reply that has something else where `found` looks: it may be an error, or the upstream has changed. */
static bool is_strange(const struct stage_probe *probe, const struct reply *reply, const struct json *body) {
    const struct jsonpath *path = probe->found.path;
    bool empty = json_kind(body) == JSON_NULL || (json_kind(body) == JSON_OBJECT && json_size(body) == 0);
    bool good = reply->code >= 200 && reply->code <= 299;
    return good && !empty && path && jsonpath_singular(path) && jsonpath_misfits(path, body);
}

static int64_t pause_of(const struct stage_call *call, int64_t asked_ms) {
    int64_t pause_ms = call->retry_delay_ms ? call->retry_delay_ms : 1;
    return asked_ms > RUN_DUE_MAX_MS ? RUN_DUE_MAX_MS : asked_ms > pause_ms ? asked_ms : pause_ms;
}

static void judge(struct move *m, int64_t asked_ms, struct arena *scratch) {
    struct run *run = m->run;
    const struct stage_probe *probe = probe_of(run);
    const struct reply *reply = m->event->reply;
    const struct json *roots[RUN_ROOTS_MAX];
    struct fault fault;
    int64_t looked_ms = m->world->mono_ms - reply->took_ms; /* what it says was so then, at the earliest */
    bool is_json, early = looked_ms - run->doubt_mono_ms < probe->step.not_found_grace_ms;
    const struct json *whole = reply_body(scratch, reply, NULL, &is_json);
    run_roots(run, scratch, m->world->now_ms, reply_value(scratch, reply), roots);
    const struct json *value = is_json ? outputs_value(&probe->found, scratch, roots, &fault) : NULL;
    if (!is_json && !is_empty_answer(reply)) {
        unanswered(m, reply->body.len ? "the reply is not JSON" : "the reply is empty", asked_ms, scratch);
    } else if (is_json && !value) {
        unanswered(m, fault.what, asked_ms, scratch);
    } else if (value && !is_nothing(value)) {
        found(m, value, scratch);
    } else if (is_json && is_strange(probe, reply, whole)) {
        const char *path = jsonpath_source(probe->found.path);
        unanswered(m, arena_printf(scratch, "the reply has another form than %s expects", path), asked_ms, scratch);
    } else if (early) {
        move_judged(m, "running", "found has nothing, within not_found_grace");
        move_say(m, "%s: in doubt; the probe finds no work yet; looking again", step_of(run)->name);
        run->probe_attempt = 0;
        wait_until(m, m->world->now_ms + pause_of(&probe->step.call, asked_ms));
    } else {
        move_judged(m, "failed", "found has nothing");
        not_found(m, scratch);
    }
}

/* Found, not found, or not answered: the run goes on from what was found, sends the call again, or looks again. */
void run_doubt_replied(struct move *m) {
    struct arena *scratch = arena_new();
    struct verdict verdict;
    m->run->updated_ms = m->world->now_ms;
    move_judge_apart(m, &probe_of(m->run)->step, scratch, &verdict);
    const char *what = verdict.message ? verdict.message : "no verdict";
    if (verdict.kind == VERDICT_SUCCEEDED) {
        judge(m, verdict.retry_after_ms, scratch);
    } else if (verdict.kind == VERDICT_AGAIN || verdict_is_error(&verdict)) {
        unanswered(m, what, verdict.retry_after_ms, scratch);
    } else {
        move_judged(m, "failed", "%.*s", move_told(what), what);
        give_up(m, what);
    }
    arena_free(scratch);
}

/* ---- the other events ---- */

/* The probe cannot be made, so nobody can tell. */
void run_doubt_refused(struct move *m) {
    move_judged(m, "failed", "%s", m->event->fault->what);
    give_up(m, m->event->fault->what);
}

/* The record says that the call is in doubt, so the run looks after the restart, or when the upstream takes calls. */
void run_doubt_held(struct move *m) {
    int64_t until_ms = m->event->until_ms;
    if (until_ms) move_say(m, "%s: in doubt; the probe: %s", step_of(m->run)->name, m->event->fault->what);
    wait_until(m, until_ms ? until_ms : m->world->now_ms);
}

static void time_is_up(struct move *m) {
    if (m->run->cancel_wanted) give_up(m, "cancel.timeout is used up");
    else move_time_out(m);
}

/* The next look, unless the time is up. */
void run_doubt_due(struct move *m) {
    if (look_is_over(m)) time_is_up(m);
    else run_doubt_look(m);
}

/* The time is up: looking ends, and the upstream is told to stop. */
void run_doubt_due_in_call(struct move *m) {
    if (!look_is_over(m)) {
        m->orders->wait_until = look_deadline_ms(m->run);
        return;
    }
    m->orders->abort_call = true;
    time_is_up(m);
}

/* Stopped at once; but where the cancel call needs the reply that was lost, looking goes on for its sake. */
void run_doubt_cancel(struct move *m) {
    if (run_doubt_helps_cancel(m->run)) {
        run_cancel_want(m);
        wait_until(m, m->run->due_ms);
    } else {
        run_cancel_stop(m);
    }
}

/* The same while the probe is under way: it is given up, or waited for. */
void run_doubt_cancel_in_call(struct move *m) {
    if (run_doubt_helps_cancel(m->run)) {
        run_cancel_want(m);
        m->orders->wait_until = look_deadline_ms(m->run);
    } else {
        m->orders->abort_call = true;
        run_cancel_stop(m);
    }
}
