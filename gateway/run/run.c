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

#define SAID_MAX 1000                 /* bytes of one text that came from outside */
#define OUTPUTS_MAX (4 * 1024 * 1024) /* bytes; what Spinnaker would have to keep */
#define WARNINGS_MAX 50
#define NO_PROPERTY "the log has no line that begins with SPINNAKER_PROPERTY_ or SPINNAKER_CONFIG_JSON="
#define KEPT_MAX (8 * 1024 * 1024) /* bytes of a reply that later steps may speak of */

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
static bool is_last(const struct run *run) {
    return run->step + 1 == run->step_count;
}

const struct stage_call *run_call_of(const struct run *run, enum run_call call) {
    if (call == RUN_CALL_PROBE) return &step_of(run)->probe->step.call;
    if (call != RUN_CALL_CANCEL) return &step_of(run)->call;
    return run->cancel_fell_back ? &run->stage->cancel_fallback->call : &run->stage->cancel->call;
}

/* ---- saying things: everything that came from outside is masked before it is kept ---- */

static void put_text(char **to, const struct run_world *world, const char *text) {
    char *made = NULL;
    if (text) {
        struct arena *scratch = arena_new();
        const struct json *value = json_new_string(scratch, text);
        if (world->mask) value = world->mask(world->arg, scratch, value);
        made = mem_strndup(json_text(value).at, json_text(value).len);
        arena_free(scratch);
    }
    mem_free(*to);
    *to = made;
}

/* What came from outside may be of any length; only its beginning is told. */
int move_told(const char *text) {
    size_t n = strnlen(text, SAID_MAX + 1);
    if (n > SAID_MAX)
        for (n = SAID_MAX; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;) n--; /* between two characters */
    return (int)n;
}

void move_say(struct move *m, const char *format, ...) {
    struct buf text;
    buf_init(&text, 4 * SAID_MAX);
    va_list args;
    va_start(args, format);
    buf_addv(&text, format, args);
    va_end(args);
    put_text(&m->run->progress, m->world, buf_cstr(&text));
    buf_fini(&text);
}

void move_say_running(struct move *m, const struct verdict *verdict) {
    struct run *run = m->run;
    const char *word = verdict->word ? verdict->word : "running";
    const char *message = verdict->message ? verdict->message : "";
    const char *between = *message ? " - " : "";
    if (run->percent >= 0)
        move_say(m, "%s: %.*s (%d %%)%s%.*s", step_of(run)->name, move_told(word), word, run->percent, between,
                 move_told(message), message);
    else move_say(m, "%s: %.*s%s%.*s", step_of(run)->name, move_told(word), word, between, move_told(message), message);
}

/* ---- the journal ---- */

void move_judged(struct move *m, const char *verdict, const char *format, ...) {
    struct buf text;
    buf_init(&text, 4 * SAID_MAX);
    va_list args;
    va_start(args, format);
    buf_addv(&text, format, args);
    va_end(args);
    m->judged = verdict;
    put_text(&m->why, m->world, text.len ? buf_cstr(&text) : NULL);
    buf_fini(&text);
}

static void judged_by(struct move *m, const struct stage_rules *rules, const struct verdict *verdict) {
    static const char *const words[] = {[VERDICT_RUNNING] = "running",
                                        [VERDICT_SUCCEEDED] = "succeeded",
                                        [VERDICT_FAILED] = "failed",
                                        [VERDICT_CANCELED] = "canceled",
                                        [VERDICT_AGAIN] = "again"};
    const char *word = words[verdict->kind], *what = verdict->message ? verdict->message : "";
    const struct jsonpath *value = rules->value;
    bool by_condition = verdict->rule && strstr(verdict->rule, "_when") && !strstr(what, verdict->rule);
    if (by_condition) move_judged(m, word, "%s holds%s%.*s", verdict->rule, *what ? ": " : "", move_told(what), what);
    else if (value && verdict->word)
        move_judged(m, word, "%s is \"%.*s\"%s", jsonpath_source(value), move_told(verdict->word), verdict->word,
                    verdict->unknown_word ? ", which no list names" : "");
    else move_judged(m, word, "%.*s", move_told(what), what);
}

static const char *why_given_up(enum run_event_kind kind) {
    if (kind == RUN_EVENT_DUE) return "the time is up";
    return kind == RUN_EVENT_CANCEL ? "the run is canceled" : "a callback came first";
}

/* The call that ended. Written before what follows from it, so that the journal is in the order of time. */
static void write_journal(struct move *m) {
    if (!m->judged) return;
    const struct reply *reply = m->event->kind == RUN_EVENT_REPLY ? m->event->reply : NULL;
    bool refused = m->event->kind == RUN_EVENT_REFUSED;
    bool cancel = m->before == RUN_CANCELING, check = m->before == RUN_CANCEL_CHECKING;
    struct journal_note note = {.step = cancel ? "cancel" : m->run->stage->steps[m->step].name,
                                .call = cancel                     ? "cancel"
                                        : check                    ? "check"
                                        : m->before == RUN_PROBING ? "probe"
                                                                   : "step",
                                .phase = reply     ? reply_phase_word(reply->phase)
                                         : refused ? "refused"
                                                   : reply_phase_word(REPLY_MAYBE_ACTED_ON),
                                .verdict = m->judged,
                                .rule = m->why,
                                .code = reply && reply->phase == REPLY_ANSWERED ? reply->code : 0,
                                .at_ms = m->world->now_ms,
                                .took_ms = reply ? reply->took_ms : 0};
    journal_add(&m->run->journal, &note);
    mem_free(m->why);
    m->why = NULL;
    m->judged = NULL;
}

/* Besides what the move itself is judged by: one that was kept is judged in the move of another event. */
void move_journal_callback(struct move *m, const struct verdict *verdict) {
    write_journal(m);
    struct move own = *m;
    judged_by(&own, &step_of(m->run)->callback->rules, verdict);
    journal_add(&m->run->journal, &(struct journal_note){.step = step_of(m->run)->name,
                                                         .call = "callback",
                                                         .phase = "received",
                                                         .verdict = own.judged,
                                                         .rule = own.why,
                                                         .at_ms = m->world->now_ms});
    mem_free(own.why);
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
    put_text(&run->error, m->world, error);
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

/* A path that leads nowhere looks like work that goes on, until the time is up. */
void move_say_not_done(struct move *m, const char *what) {
    const struct run *run = m->run;
    const struct jsonpath *value = step_of(run)->rules.value;
    const char *between = *what ? "; " : "";
    const char *time = run->deadline_ms && m->world->now_ms >= run->deadline_ms ? "by the caller's deadline"
                                                                                : "within its time";
    const struct run_step *step = &run->steps[run->step];
    if (run->awaiting && !step->inbox)
        move_say(m, "%s: not called back %s%s%s", step_of(run)->name, time, between, what);
    else if (step->calls && !step->code && !run->awaiting)
        move_say(m, "%s: not done %s, and its last call was not answered%s%s", step_of(run)->name, time, between, what);
    else if (step->code && !code_set_holds(&step_of(run)->call.expect, step->code))
        move_say(m, "%s: not done %s, and the upstream last answered %d%s%s", step_of(run)->name, time, step->code,
                 between, what);
    else if (value && !run->upstream_word && step->code)
        move_say(m, "%s: not done %s, and no reply had a word at %s%s%s", step_of(run)->name, time,
                 jsonpath_source(value), between, what);
    else move_say(m, "%s: not done %s%s%s", step_of(run)->name, time, between, what);
}

/* ---- replies ---- */

static const struct json *masked(struct move *m, struct arena *scratch, const struct json *value) {
    return m->world->mask ? m->world->mask(m->world->arg, scratch, value) : value;
}

static bool is_small(const struct json *value, size_t max) {
    struct buf text;
    buf_init(&text, max);
    json_write(&text, value);
    bool small = !text.full;
    buf_fini(&text);
    return small;
}

static void note_warning(struct move *m, const char *what, struct arena *scratch) {
    struct run *run = m->run;
    const struct json *before = frozen_thaw(scratch, run->warnings);
    if (json_size(before) >= WARNINGS_MAX) return;
    struct json *warnings = json_new_array(scratch);
    for (size_t i = 0; i < json_size(before); i++) json_push(warnings, json_at(before, i));
    const char *sentence = arena_printf(scratch, "%s: %.*s", step_of(run)->name, move_told(what), what);
    json_push(warnings, masked(m, scratch, json_new_string(scratch, sentence)));
    frozen_put(&run->warnings, warnings);
}

/* Of a step that captures: reads the log that decided it. */
static void capture_log(struct move *m, struct said *said, struct arena *scratch) {
    const struct stage_capture *how = &step_of(m->run)->capture;
    if (!how->properties || said->reply->phase != REPLY_ANSWERED) return;
    struct captured *captured = arena_new_of(scratch, struct captured);
    capture_read(scratch, how, said->reply, captured);
    said->captured = captured;
    for (size_t i = 0; i < json_size(captured->warnings); i++)
        note_warning(m, json_text(json_at(captured->warnings, i)).at, scratch);
    if (how->missing == MISSING_WARN && !json_size(captured->values)) note_warning(m, NO_PROPERTY, scratch);
}

/* What the definition says itself wins over what a log says. */
static const struct json *own_outputs(struct move *m, const struct said *said, const struct json *value,
                                      struct arena *scratch) {
    const struct stage_step *step = step_of(m->run);
    const struct json *own = run_outputs_of(m->run, scratch, step->outputs, step->output_count, m->world->now_ms,
                                            value);
    if (!said->captured) return own;
    struct json *both = json_new_object(scratch);
    const struct json *parts[] = {said->captured->values, own};
    for (size_t i = 0; i < 2; i++)
        for (struct json_member o = json_first(parts[i]); o.name.at; o = json_next(parts[i], o))
            json_set_text(both, o.name, o.value);
    return both;
}

/* The outputs at the top may name those of the last step. */
static const struct json *with_outputs(const struct json *value, const struct json *own, struct arena *scratch) {
    struct json *whole = json_new_object(scratch);
    for (struct json_member v = json_first(value); v.name.at; v = json_next(value, v))
        json_set_text(whole, v.name, v.value);
    json_set(whole, "outputs", own);
    return whole;
}

/* The reply decided the step: take the outputs from it. Gives those of the step itself. */
static const struct json *take_outputs(struct move *m, const struct said *said, const struct json *value, bool last,
                                       bool warned, struct arena *scratch) {
    struct run *run = m->run;
    const struct json *own = own_outputs(m, said, value, scratch);
    const struct json *whole = last ? run_outputs_of(run, scratch, run->stage->outputs, run->stage->output_count,
                                                     m->world->now_ms, with_outputs(value, own, scratch))
                                    : NULL;
    if (!warned && !run->outputs && !json_size(own) && !json_size(whole)) return own;
    struct json *outputs = json_new_object(scratch);
    const struct json *parts[] = {frozen_thaw(scratch, run->outputs), masked(m, scratch, own),
                                  masked(m, scratch, whole)}; /* a log may hold a secret as a name */
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (struct json_member o = json_first(parts[i]); o.name.at; o = json_next(parts[i], o))
            json_set_text(outputs, o.name, o.value);
    if (warned) json_set(outputs, "result", json_new_string(scratch, "WARN"));
    run->outputs_left_out = run->outputs_left_out || !is_small(outputs, OUTPUTS_MAX);
    frozen_put(&run->outputs, run->outputs_left_out ? NULL : outputs);
    return own;
}

static bool is_named(const struct stage_named *named, struct text name) {
    for (const struct stage_member *member = named->members; member; member = member->next)
        if (text_same(member->name, name)) return true;
    return false;
}

/* What no template speaks of is not held while the run rests. */
static const struct json *named_of(const struct stage_named *named, const struct json *body, struct arena *scratch) {
    if (named->whole || (named->members && json_kind(body) != JSON_OBJECT)) return body;
    if (!named->members) return NULL;
    struct json *made = json_new_object(scratch);
    for (struct json_member m = json_first(body); m.name.at; m = json_next(body, m))
        if (is_named(named, m.name)) json_set_text(made, m.name, m.value);
    return made;
}

void move_keep(struct run *run, const struct json *value, const struct json *own_outputs) {
    struct arena *scratch = arena_new();
    struct json *kept = json_new_object(scratch);
    bool log = step_of(run)->capture.properties; /* which nobody behind it may ask for */
    for (struct json_member v = json_first(value); v.name.at; v = json_next(value, v)) {
        bool is_body = text_is(v.name, "body");
        if (is_body) v.value = log ? NULL : named_of(&run->stage->named[run->step], v.value, scratch);
        if (is_body ? v.value != NULL : !text_is(v.name, "headers") || run->stage->names_headers)
            json_set_text(kept, v.name, v.value);
    }
    if (run->stage->names_outputs && is_small(own_outputs, OUTPUTS_MAX)) json_set(kept, "outputs", own_outputs);
    frozen_put(&run->steps[run->step].value, kept);
    arena_free(scratch);
}

/* The step is done: keep what later templates may ask for. */
static void keep_said(struct move *m, const struct verdict *verdict, const struct said *said, bool last,
                      struct arena *scratch) {
    struct run *run = m->run;
    run->steps[run->step].status = RUN_SUCCEEDED;
    if (!verdict->warned && last && !run->stage->output_count && !step_of(run)->output_count && !said->captured)
        return; /* nobody will ask */
    const struct json *value = said_value(scratch, said);
    if (!said->captured) contract_outputs(m->world, run, json_gets(value, "body"));
    move_keep(run, value, take_outputs(m, said, value, last, verdict->warned, scratch));
}

static void note_skipped(struct move *m, size_t step) {
    const struct stage_step *skipped = &m->run->stage->steps[step];
    struct buf why;
    write_journal(m);
    buf_init(&why, 4 * SAID_MAX);
    buf_addf(&why, "when: %.*s", move_told(skipped->when.source), skipped->when.source);
    struct journal_note note = {.step = skipped->name,
                                .call = "none",
                                .phase = "skipped",
                                .verdict = "skipped",
                                .rule = buf_cstr(&why),
                                .at_ms = m->world->now_ms};
    journal_add(&m->run->journal, &note);
    buf_fini(&why);
    m->run->steps[step].status = RUN_SKIPPED;
}

/* Which step comes behind the present one, which has succeeded: step_count where there is none. Those whose `when` does
 * not hold are left out. */
static bool find_next(struct move *m, const struct said *said, struct arena *scratch, size_t *ret_next,
                      struct fault *fault) {
    struct run *run = m->run;
    const struct json *roots[RUN_ROOTS_MAX] = {0};
    bool known = false;
    size_t next = run->step + 1;
    for (; next < run->step_count && run->stage->steps[next].when.holds; next++) {
        const struct json *value = said_value(scratch, said);
        if (!known)
            run_roots(run, scratch, m->world->now_ms,
                      with_outputs(value, own_outputs(m, said, value, scratch), scratch), roots);
        known = true;
        const struct json *holds = template_value(run->stage->steps[next].when.holds, roots, scratch, fault);
        if (!holds) return false;
        if (verdict_truth(holds)) break;
    }
    for (size_t i = run->step + 1; i < next; i++) note_skipped(m, i);
    *ret_next = next;
    return true;
}

/* Nobody knows whether the step is to be made: nothing more is sent. */
static void fail_when(struct move *m, const struct fault *fault) {
    char what[SAID_MAX];
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

bool move_refuse_large(struct move *m, const struct said *said) {
    size_t bytes = said->reply ? said->reply->body.len : said->message.bytes;
    if (bytes <= KEPT_MAX) return false;
    move_fail(m, REASON_BAD_REPLY, "the reply is larger than the 8 MiB that are kept for the steps behind it");
    return true;
}

void move_succeed(struct move *m, const struct said *said, const struct verdict *verdict, struct arena *scratch) {
    struct run *run = m->run;
    struct fault fault;
    size_t next;
    if (!is_last(run) && !said->captured && move_refuse_large(m, said)) return;
    if (said->captured && step_of(run)->capture.missing == MISSING_FAIL && !json_size(said->captured->values)) {
        move_fail(m, REASON_NOTHING_CAPTURED, NO_PROPERTY);
        return;
    }
    if (!find_next(m, said, scratch, &next, &fault)) {
        fail_when(m, &fault);
        return;
    }
    bool last = next == run->step_count;
    contract_step_over(m->world, run, true);
    keep_said(m, verdict, said, last, scratch);
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

const char *move_and_why(struct arena *scratch, const char *what, const char *why) {
    return arena_printf(scratch, "%.*s%s%s", move_told(what), what, why ? "; " : "", why ? why : "");
}

const char *move_trying_again(struct arena *scratch, int64_t delay_ms, int64_t asked_ms) {
    bool asked = delay_ms >= 1000 && delay_ms == asked_ms;
    return asked ? arena_printf(scratch, "trying again in %lld s, as it asks", (long long)(delay_ms / 1000))
                 : "trying again";
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
                             .run_began_ms = run->created_ms,
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
    if (verdict->word) put_text(&run->upstream_word, m->world, verdict->word);
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
    judged_by(m, &step_of(run)->rules, ret_verdict);
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

void move_take_outputs(struct move *m, struct arena *scratch) {
    struct said said = {.reply = m->event->reply};
    take_outputs(m, &said, said_value(scratch, &said), is_last(m->run), false, scratch);
}

/* In the upstream's own word, where that is what failed. Outputs help to find out why. */
static void failed(struct move *m, const struct verdict *verdict, const struct said *said, struct arena *scratch) {
    const char *word = verdict->word, *what = verdict->message ? verdict->message : "";
    bool unknown = verdict->reason == REASON_UNKNOWN_STATUS, by_word = word && (unknown || rule_is(verdict, "failure"));
    if (word || verdict->reason == REASON_UPSTREAM_FAILED)
        take_outputs(m, said, said_value(scratch, said), is_last(m->run), false, scratch);
    if (by_word)
        what = arena_printf(scratch, "the upstream says \"%.*s\"%s%s%.*s", move_told(word), word,
                            unknown ? ", which no list of the definition names" : "", *what ? " - " : "",
                            move_told(what), what);
    move_fail(m, verdict->reason, what);
}

static void canceled(struct move *m, const struct verdict *verdict, const struct said *said, struct arena *scratch) {
    struct run *run = m->run;
    const char *word = verdict->word, *what = verdict->message ? verdict->message : "";
    take_outputs(m, said, said_value(scratch, said), is_last(run), false, scratch);
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
    note_phase(run, m->event->reply);
    bool open = verdict.kind == VERDICT_RUNNING || verdict.kind == VERDICT_AGAIN;
    if (!open) capture_log(m, &said, scratch);
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

void run_move(struct run *run, const struct run_event *event, const struct run_world *world,
              struct run_orders *ret_orders) {
    *ret_orders = (struct run_orders){0};
    struct move m = {.run = run, .event = event, .world = world, .orders = ret_orders};
    m.before = run->state;
    m.step = run->step;
    moves[m.before][event->kind](&m);
    if (ret_orders->abort_call) move_judged(&m, "given_up", "%s", why_given_up(event->kind));
    write_journal(&m);
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

/* ---- making and ending ---- */

/* Whoever masks asks for each text anew, so they are at hand as they are. */
static void find_secrets(struct run *run, const struct json *parameters) {
    const char **secrets = NULL;
    for (size_t i = 0; i < run->stage->param_count; i++) {
        const struct param *param = &run->stage->params[i];
        const char *value = param->type == PARAM_SECRET ? json_gets_text(parameters, param->name) : NULL;
        if (!value) continue;
        if (!secrets) secrets = arena_array_of(run->arena, const char *, run->stage->param_count);
        secrets[i] = arena_strdup(run->arena, value);
    }
    run->secrets = secrets;
}

static size_t room_of(const struct run_new *from, const char *stage_name, const char *definition, size_t step_count) {
    const char *texts[] = {from->key, from->fingerprint, from->traceparent, from->caller_name, stage_name, definition};
    size_t room = ARENA_ROOM(sizeof(struct run)) + ARENA_ROOM(step_count * sizeof(struct run_step));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) room += texts[i] ? ARENA_ROOM(strlen(texts[i]) + 1) : 0;
    return room;
}

/* The stage has its own name and hash already, where there is one. */
struct run *run_make(const struct run_new *from, const char *stage_name, const char *definition, size_t step_count) {
    struct stage *stage = from->stage;
    if (stage && stage_name && strcmp(stage_name, stage->name) == 0) stage_name = NULL;
    if (stage && definition && strcmp(definition, stage->hash) == 0) definition = NULL;
    struct arena *arena = arena_new_for(room_of(from, stage_name, definition, step_count));
    struct run *run = arena_new_of(arena, struct run);
    run->arena = arena;
    memcpy(run->id, from->id, sizeof run->id);
    run->key = arena_strdup(arena, from->key);
    run->fingerprint = arena_strdup(arena, from->fingerprint);
    run->traceparent = arena_strdup(arena, from->traceparent);
    run->caller_name = arena_strdup(arena, from->caller_name);
    run->stage_name = stage_name || !stage ? arena_strdup(arena, stage_name) : stage->name;
    run->definition = definition || !stage ? arena_strdup(arena, definition) : stage->hash;
    run->caller = frozen_new(from->caller);
    run->parameters = frozen_new(from->parameters);
    run->created_ms = run->updated_ms = run->step_began_ms = from->now_ms;
    run->deadline_ms = from->deadline_ms;
    run->percent = -1;
    run->step_count = step_count;
    run->steps = arena_array_of(arena, struct run_step, step_count);
    if (stage) run->stage = stage_ref(stage);
    if (stage) find_secrets(run, from->parameters);
    return run;
}

struct run *run_new(const struct run_new *from) {
    struct run *run = run_make(from, NULL, NULL, from->stage->step_count);
    run->state = RUN_ACCEPTING;
    run->status = RUN_RUNNING;
    run->queued = from->queued;
    bool held = run->queued || from->limited;
    run->sending = !held && !run->stage->steps[0].call.idempotent; /* the intent goes along with the record */
    run->progress = mem_strdup(run->queued ? "queued" : "accepted");
    return run;
}

struct run *run_new_canceled(const struct run_new *from, const char *stage_name) {
    const struct stage *stage = from->stage;
    struct run *run = run_make(from, stage ? NULL : stage_name, stage ? NULL : "", stage ? stage->step_count : 0);
    run->state = RUN_ENDING;
    run->status = RUN_CANCELED;
    run->reason = REASON_CANCELED_BEFORE_START;
    run->cancel_wanted = true;
    run->ended_ms = from->now_ms;
    run->progress = mem_strdup("canceled: before it was started");
    return run;
}

void run_free(struct run *run) {
    if (!run) return;
    stage_unref(run->stage);
    mem_free(run->progress);
    mem_free(run->error);
    mem_free(run->upstream_word);
    for (size_t i = 0; i < run->step_count; i++) {
        mem_free(run->steps[i].url);
        mem_free(run->steps[i].location);
        frozen_free(run->steps[i].value);
    }
    struct frozen *values[] = {run->caller, run->parameters, run->outputs, run->artifacts, run->warnings};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) frozen_free(values[i]);
    journal_fini(&run->journal);
    arena_free(run->arena);
}
