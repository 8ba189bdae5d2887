/* A move: one event that a run answers, while it is being answered. Private to run/run and the files beside it that
 * have parts of its table: run/run_cancel. Nobody else writes a run's state. */
#ifndef RUN_RUN_MOVE_H
#define RUN_RUN_MOVE_H

#include "run/run.h"

struct move {
    struct run *run;
    const struct run_event *event;
    const struct run_world *world;
    struct run_orders *orders;
    const struct captured *captured; /* what the reply's log gave, of a step that captures; else NULL */
    /* What became of the call that ended, for the journal: a fixed word, and why (heap; or NULL). By move_judged. */
    const char *judged;
    char *why;
};

static inline const struct stage_step *step_of(const struct run *run) {
    return &run->stage->steps[run->step];
}

/* ---- of run/run ---- */

/* What came from outside may be of any length; this much of it is told. For "%.*s". */
int move_told(const char *text);
/* The progress; secrets are masked. */
void move_say(struct move *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What became of the call that ended, and why ("": there is nothing to say); secrets are masked. */
void move_judged(struct move *m, const char *verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* That the time is up; `what` ("": nothing) comes behind it. */
void move_say_not_done(struct move *m, const char *what);

void move_call(struct move *m);                 /* the call of the present step, its intent first */
void move_wait(struct move *m, int64_t due_ms); /* WAITING, until then or the deadline */
void move_end(struct move *m, enum run_status status, enum reason reason, const char *error);
void move_fail(struct move *m, enum reason reason, const char *what); /* TERMINAL, in the name of the present step */

/* ---- of run/run_cancel ---- */

/* Records, then run_cancel_begin. */
void run_cancel_stop_now(struct move *m);

/* Answers of the table. */
void run_cancel_begin(struct move *m);
void run_cancel_want(struct move *m);
void run_cancel_stop(struct move *m);
void run_cancel_stop_call(struct move *m);
void run_cancel_replied(struct move *m);
void run_cancel_refused(struct move *m);
void run_cancel_held(struct move *m);
void run_cancel_again(struct move *m);

#endif
