/* A move: one event that a run answers, while it is being answered. Private to run/run and the files beside it that
 * have parts of its table (run/run_step, run/run_cancel, run/run_doubt, run/run_callback, run/run_queue), or help them:
 * run/run_say, run/run_keep, run/run_artifacts, run/run_make. Nobody else writes a run's state. */
#ifndef RUN_RUN_MOVE_H
#define RUN_RUN_MOVE_H

#include "call/capture.h"
#include "call/pace.h"
#include "call/policy.h"
#include "run/run.h"

#define RUN_DUE_MAX_MS (60 * 60 * 1000) /* nothing is put off for longer */

struct move {
    struct run *run;
    const struct run_event *event;
    const struct run_world *world;
    struct run_orders *orders;
    /* What became of the call that ended, for the journal: a fixed word, and why (heap; or NULL). By move_judged. */
    const char *judged;
    char *why;
    enum run_state before; /* the state that the event came to, and the step */
    size_t step;
};

/* What speaks for the upstream: the reply to a call, or a callback. */
struct said {
    const struct reply *reply; /* NULL: the message does */
    const struct json *body;   /* once it was asked for: see move_said_body */
    struct inbox_message message;
    const struct captured *captured; /* what the reply's log gave, of a step that captures; else NULL */
    bool outputs_made;
    const struct json *outputs; /* of its step, once they are made of it; NULL: there are none */
};

/* Its body, as paths and templates see it: read once. In `arena`, which has to last as long as `said`. */
const struct json *move_said_body(struct arena *arena, const struct run *run, struct said *said);
/* All of it, as templates see it: {body, headers, code, outputs}; without headers and outputs, if none of the stage's
 * reads them. Most ask for the body alone. In `arena`. */
const struct json *move_said_value(struct arena *arena, const struct run *run, struct said *said);

static inline const struct stage_step *step_of(const struct run *run) {
    return &run->stage->steps[run->step];
}

/* ---- of run/run_say ---- */

#define MOVE_SAID_MAX 1000 /* bytes of one text that came from outside */

/* What came from outside may be of any length; this much of it is told. For "%.*s". */
int move_told(const char *text);
/* In place of the text that is there (heap; or NULL); secrets are masked. */
void move_put_text(char **to, const struct run *run, const char *text);
/* The progress; secrets are masked. */
void move_say(struct move *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
void move_say_running(struct move *m, const struct verdict *verdict);
void move_say_succeeded(struct move *m, bool warned, const char *what); /* `what` ("": nothing) comes behind it */
/* That the time is up; `what` ("": nothing) comes behind it. */
void move_say_not_done(struct move *m, const char *what);
/* "WHAT; WHY", or WHAT alone where there is no why; as much of it as is told. In `scratch`. */
const char *move_and_why(struct arena *scratch, const char *what, const char *why);
/* "trying again", and when, where that is what the upstream asked for. In `scratch`. */
const char *move_trying_again(struct arena *scratch, int64_t delay_ms, int64_t asked_ms);
/* What became of the call that ended, and why ("": there is nothing to say); secrets are masked. */
void move_judged(struct move *m, const char *verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
void move_judged_by(struct move *m, const struct stage_rules *rules, const struct verdict *verdict);
void move_write_journal(struct move *m); /* what move_judged was told, if it was; before what follows from it */
void move_journal_callback(struct move *m, const struct verdict *verdict); /* of the present step */
void move_note_skipped(struct move *m, size_t step);

/* ---- of run/run_keep ---- */

void move_capture(struct move *m, struct said *said,
                  struct arena *scratch); /* reads the log, of a step that captures */
/* Takes the outputs from what decided the step. Gives those of the whole stage; NULL: none. */
const struct json *move_outputs(struct move *m, struct said *said, bool last, bool warned, struct arena *scratch);
/* The reply at hand as templates behind it see it, with the outputs of its step. In `scratch`. */
const struct json *move_value(struct move *m, struct said *said, struct arena *scratch);
/* The outputs of a reply that is the run's last one, but no success. */
void move_take_outputs(struct move *m, struct arena *scratch);
bool move_refuse_large(struct move *m, const struct said *said); /* more than is kept: the run has failed */
/* What templates see of the present step from now on. */
void move_keep(struct run *run, struct said *said, struct arena *scratch);
void move_keep_said(struct move *m, const struct verdict *verdict, struct said *said, bool last, struct arena *scratch);

/* Into the report's warnings, in the name of the present step; secrets are masked. */
void move_warn(struct move *m, const char *what, struct arena *scratch);

/* ---- of run/run_artifacts ---- */

bool move_makes_artifacts(const struct run *run, bool last); /* does the definition name any for the present step? */
/* Takes them from what decided it well; `value` is what templates see of that. */
void move_artifacts(struct move *m, const struct json *value, bool last, struct arena *scratch);

/* ---- of run/scope ---- */

/* The outputs that a deciding reply gives, as an object; NULL: none are wanted. An output that the reply has not is
 * null. */
const struct json *run_outputs_of(const struct run *run, struct arena *arena, const struct stage_output *outputs,
                                  size_t count, int64_t now_ms, struct said *said);

/* ---- of run/run ---- */

bool move_is_last(const struct run *run); /* as far as one can know before its reply: steps may be left out */
void move_call(struct move *m);           /* the call of the present step, its intent first */
/* May the intent to make it go along with the record at hand? Not where the call may have to wait for its turn. */
bool move_intends(const struct move *m);
void move_wait(struct move *m, int64_t due_ms); /* WAITING, until then or the deadline */
void move_queue(struct move *m);                /* QUEUED, until its turn or the deadline comes */
void move_end(struct move *m, enum run_status status, enum reason reason, const char *error);
void move_fail(struct move *m, enum reason reason, const char *what); /* TERMINAL, in the name of the present step */
void move_time_out(struct move *m);                                   /* the upstream is told to stop */

/* ---- of run/run_step ---- */

void move_note(struct move *m, const struct verdict *verdict); /* the upstream's word, and what goes with it */
void move_decide(struct move *m, const struct verdict *verdict, struct said *said,
                 struct arena *scratch); /* a verdict that ends the step */
/* Judges the reply at hand as one to the present step, and notes what it says. */
void move_judge(struct move *m, struct arena *scratch, struct verdict *ret_verdict);
/* Judges it as one to another call than the step's: a probe or a cancel call. It changes nothing. */
void move_judge_apart(const struct move *m, const struct stage_step *as, struct arena *scratch,
                      struct verdict *ret_verdict);
struct pace_now move_pace(const struct run *run, const struct run_world *world);
/* The step is decided well: the next one, or the end. */
void move_succeed(struct move *m, struct said *said, const struct verdict *verdict, struct arena *scratch);
void move_note_url(struct run *run, const char *url);

/* A call that has failed, and may be made again as its `retry` says. */
struct move_try {
    const struct stage_call *call;
    unsigned *failed;  /* tries in a row that failed; this one is counted in */
    int64_t *since_ms; /* when the first of them did */
    int64_t wait_ms;   /* what the upstream asks for; -1: nothing */
    bool endless;
    struct policy_bound bound;
};
/* The delay before the next try; -1: there is none, and *ret_why (in `scratch`, may be NULL) says what forbids it. */
int64_t move_retry_ms(struct move *m, const struct move_try *one, struct arena *scratch, const char **ret_why);
/* The same of the present step's own call. */
int64_t move_retry_step_ms(struct move *m, int64_t wait_ms, struct arena *scratch, const char **ret_why);

/* Answers of the table. */
void run_step_replied(struct move *m);
void run_step_refused(struct move *m);
void run_step_held(struct move *m);

/* ---- of run/run_doubt ---- */

/* The present call may have been acted on, and nobody knows: what the definition says. */
void run_doubt_begin(struct move *m, const char *what);
void run_doubt_resume(struct move *m); /* after a restart */
/* Would looking tell what there is to cancel? */
bool run_doubt_helps_cancel(const struct run *run);
void run_doubt_look(struct move *m); /* now */

/* Answers of the table. */
void run_doubt_replied(struct move *m);
void run_doubt_refused(struct move *m);
void run_doubt_held(struct move *m);
void run_doubt_due(struct move *m);
void run_doubt_due_in_call(struct move *m);
void run_doubt_cancel(struct move *m);
void run_doubt_cancel_in_call(struct move *m);

/* ---- of run/run_callback ---- */

#define MOVE_HINT_GAP_MS 200 /* between a reply and the poll that a hint asks for */

bool run_callback_waits(const struct run *run); /* once its call is done, the present step waits for one */
/* Does the step go on with waiting for its callback, now that its call has been judged so? */
bool run_callback_follows(const struct move *m, const struct verdict *verdict);
void run_callback_await(struct move *m, struct said *said, struct arena *scratch); /* … then this */
void run_callback_wait(struct move *m);    /* there is nothing to do but wait; begins */
void run_callback_wait_on(struct move *m); /* … goes on, also after a restart */
bool run_callback_overdue(const struct move *m);
/* The step's time is up during its call, or between two tries of it. One that came before is judged first, where the
 * step polls, or where it shows that the call has arrived. False: there is none, or it decides nothing. */
bool run_callback_at_last(struct move *m);
/* After a restart: is waiting for the callback all that is left of the step? */
bool run_callback_is_all(const struct run *run);
/* Those that came before the step could judge them. True where one of them has decided it. */
bool run_callback_judge_kept(struct move *m);
bool run_callback_has_reply(const struct run *run); /* the step waits, and the reply to its call is known */

/* Answers of the table. */
void run_callback_early(struct move *m);
void run_callback_in_call(struct move *m);
void run_callback_in_wait(struct move *m);
void run_callback_in_doubt(struct move *m);
void run_callback_late(struct move *m);

/* ---- of run/run_cancel ---- */

/* The cancel call needs the reply that the present step polls for, so polling goes on until the cancel's time is up. */
bool run_cancel_needs_step(const struct run *run);
int64_t run_cancel_limit_ms(const struct run *run); /* when the upstream has to have stopped */

/* Records, then run_cancel_begin. */
void run_cancel_stop_now(struct move *m);
void run_cancel_instead(struct move *m); /* the step of a run that is to be canceled did not succeed */
/* What the cancel call needs will not come: the fallback, where that needs less; or the end, unconfirmed. */
void run_cancel_untold(struct move *m, const char *what);

/* Answers of the table. */
void run_cancel_begin(struct move *m);
void run_cancel_want(struct move *m);
void run_cancel_stop(struct move *m);
void run_cancel_stop_call(struct move *m);
void run_cancel_replied(struct move *m);
void run_cancel_refused(struct move *m);
void run_cancel_held(struct move *m);
void run_cancel_again(struct move *m);
void run_cancel_due_in_call(struct move *m);
void run_cancel_check(struct move *m);
void run_cancel_checked(struct move *m);
void run_cancel_check_refused(struct move *m);
void run_cancel_check_held(struct move *m);
void run_cancel_due_in_check(struct move *m);

/* ---- of run/run_make ---- */

/* A run with nothing behind it, without caller and parameters. The stage name and the definition's hash may be NULL
 * where `from` has a stage. */
struct run *run_make(const struct run_new *from, const char *stage_name, const char *definition, size_t step_count);
/* Once it has its parameters; NULL, where they are not at hand as a tree. */
void run_find_secrets(struct run *run, const struct json *parameters);

/* ---- of run/run_queue: answers of the table ---- */
void run_queue_held(struct move *m);
void run_queue_turn(struct move *m);
void run_queue_turn_early(struct move *m);
void run_queue_called_back(struct move *m);

#endif
