/* What a run says of itself: its progress and its journal.
 *
 * Everything that came from outside is masked before it is kept, and cut to what a person reads. */
#include <stdio.h>
#include <string.h>

#include "run/mask.h"
#include "run/run_move.h"

#define SAID_ROOM 256 /* bytes: for a text as long as most */

/* What is said again stays where it is: a poll mostly says what the one before it said. */
void move_put_text(char **to, const struct run *run, const char *text) {
    if (!text) {
        mem_free(*to);
        *to = NULL;
        return;
    }
    struct buf good, masked;
    struct text said = text_of(text);
    if (json_mend_text(said, &good)) said = buf_text(&good);
    if (mask_text(run, said, &masked)) said = buf_text(&masked);
    if (!*to || !text_is(said, *to)) {
        mem_free(*to);
        *to = mem_strndup(said.at, said.len);
    }
    buf_fini(&masked);
    buf_fini(&good);
}

/* What came from outside may be of any length; only its beginning is told. */
int move_told(const char *text) {
    struct text seen = {text, strnlen(text, MOVE_SAID_MAX + 1)};
    return (int)text_beginning(seen, MOVE_SAID_MAX).len;
}

static void begin_text(struct buf *text) {
    buf_init(text, 4 * MOVE_SAID_MAX);
    buf_room(text, SAID_ROOM);
}

static void add_told(struct buf *text, const char *what) {
    buf_add(text, what, (size_t)move_told(what));
}

static void say(struct move *m, struct buf *text) {
    move_put_text(&m->run->progress, m->run, buf_cstr(text));
    buf_fini(text);
}

void move_say(struct move *m, const char *format, ...) {
    struct buf text;
    begin_text(&text);
    va_list args;
    va_start(args, format);
    buf_addv(&text, format, args);
    va_end(args);
    say(m, &text);
}

/* Of each run, so it is put together by hand. */
void move_say_succeeded(struct move *m, bool warned, const char *what) {
    struct buf text;
    begin_text(&text);
    buf_adds(&text, warned ? "succeeded with a warning" : "succeeded");
    if (*what) buf_adds(&text, ": ");
    add_told(&text, what);
    say(m, &text);
}

/* Of each poll, likewise. */
void move_say_running(struct move *m, const struct verdict *verdict) {
    struct run *run = m->run;
    struct buf text;
    begin_text(&text);
    buf_adds(&text, step_of(run)->name);
    buf_adds(&text, ": ");
    add_told(&text, verdict->word ? verdict->word : "running");
    if (run->percent >= 0) {
        buf_adds(&text, " (");
        buf_addi(&text, run->percent);
        buf_adds(&text, " %)");
    }
    if (verdict->message && *verdict->message) {
        buf_adds(&text, " - ");
        add_told(&text, verdict->message);
    }
    say(m, &text);
}

static void judged(struct move *m, const char *verdict, struct buf *why) {
    m->judged = verdict;
    move_put_text(&m->why, m->run, why->len ? buf_cstr(why) : NULL);
    buf_fini(why);
}

void move_judged(struct move *m, const char *verdict, const char *format, ...) {
    struct buf why;
    begin_text(&why);
    va_list args;
    va_start(args, format);
    buf_addv(&why, format, args);
    va_end(args);
    judged(m, verdict, &why);
}

void move_judged_by(struct move *m, const struct stage_rules *rules, const struct verdict *verdict) {
    static const char *const words[] = {[VERDICT_RUNNING] = "running",
                                        [VERDICT_SUCCEEDED] = "succeeded",
                                        [VERDICT_FAILED] = "failed",
                                        [VERDICT_CANCELED] = "canceled",
                                        [VERDICT_AGAIN] = "again"};
    const char *what = verdict->message ? verdict->message : "";
    bool by_condition = verdict->rule && strstr(verdict->rule, "_when") && !strstr(what, verdict->rule);
    struct buf why;
    begin_text(&why);
    if (by_condition) {
        buf_adds(&why, verdict->rule);
        buf_adds(&why, *what ? " holds: " : " holds");
        add_told(&why, what);
    } else if (rules->value && verdict->word) {
        buf_adds(&why, jsonpath_source(rules->value));
        buf_adds(&why, " is \"");
        add_told(&why, verdict->word);
        buf_adds(&why, verdict->unknown_word ? "\", which no list names" : "\"");
    } else {
        add_told(&why, what);
    }
    judged(m, words[verdict->kind], &why);
}

/* The call that ended. Written before what follows from it, so that the journal is in the order of time. */
void move_write_journal(struct move *m) {
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
    move_write_journal(m);
    struct move own = *m;
    move_judged_by(&own, &step_of(m->run)->callback->rules, verdict);
    journal_add(&m->run->journal, &(struct journal_note){.step = step_of(m->run)->name,
                                                         .call = "callback",
                                                         .phase = "received",
                                                         .verdict = own.judged,
                                                         .rule = own.why,
                                                         .at_ms = m->world->now_ms});
    mem_free(own.why);
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

const char *move_and_why(struct arena *scratch, const char *what, const char *why) {
    return arena_printf(scratch, "%.*s%s%s", move_told(what), what, why ? "; " : "", why ? why : "");
}

const char *move_trying_again(struct arena *scratch, int64_t delay_ms, int64_t asked_ms) {
    bool asked = delay_ms >= 1000 && delay_ms == asked_ms;
    return asked ? arena_printf(scratch, "trying again in %lld s, as it asks", (long long)(delay_ms / 1000))
                 : "trying again";
}

void move_note_skipped(struct move *m, size_t step) {
    const struct stage_step *skipped = &m->run->stage->steps[step];
    struct buf why;
    move_write_journal(m);
    buf_init(&why, 4 * MOVE_SAID_MAX);
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
