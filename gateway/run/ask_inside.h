/* What the files of run/ask share. Private to them, as run/life.h is; all of it on the loop of ask->engine. */
#ifndef RUN_ASK_INSIDE_H
#define RUN_ASK_INSIDE_H

#include "run/ask.h"
#include "run/life.h"

/* The same for one that the caller may not see. Whoever polled the run has to find out why it is gone. */
#define ASK_NO_SUCH_RUN                                                                                           \
    "there is no such run; a run of a stage that is not durable is gone after a crash, and once newer runs need " \
    "its room"
#define ASK_REPORT_MAX (64 * 1024 * 1024) /* of a list, too */
#define ASK_STOPPING "the gateway is being stopped; try again"

/* ---- of run/ask: the way of a question ---- */

void ask_arrives(void *arg); /* on the loop of the engine that it was sent to */
/* `done` ends the op with ask_op_free. Without a store, the question is refused. */
void ask_submit(struct ask *ask, enum store_kind kind, void (*done)(struct store_op *op));
void ask_op_free(struct store_op *op);
/* What the store has of its run decides: no life is it, or has its key. */
void ask_look_up(struct ask *ask);

/* ---- of run/ask_answer: answers, now or later ---- */

struct fault *ask_fault(struct ask *ask); /* to be filled */
void ask_answer(struct ask *ask);         /* as it has been filled; whoever waited in a list has left it */
void ask_answer_fault(struct ask *ask, enum fault_kind kind, const char *where, const char *what);
/* With the run, or what else is asked of it; a start whose key leads on is answered from there. `history` may be NULL.
 */
void ask_answer_report(struct ask *ask, const struct run *run, const struct history *history);
bool ask_allowed(const struct ask *ask, const char *stage);
/* Is the run that was found the one that the question is about? Answers, and says false, where it is not. */
bool ask_fits(struct ask *ask, const struct run *run);

void ask_of_life(struct ask *ask, struct life *life); /* answered now, or when what it waits for has come */
void ask_await_record(struct ask *ask, struct life *life);

/* After a restart: the run that the store has found is in flight, and not here yet. */
bool ask_is_to_come(const struct engine *engine, const struct store_op *op);
void ask_park(struct ask *ask); /* until all runs are here; then it arrives once more */

/* ---- of run/ask_start: what makes runs, and keys ---- */

void ask_start(struct ask *ask);
void ask_start_canceled(struct ask *ask);                /* CANCEL_KEY of a key that never came */
void ask_start_make_id(struct ask *ask, unsigned loops); /* of the engine that the key belongs to, or the asked one */
bool ask_start_keeps_key(const struct ask *ask);         /* it is attached, and its key has to be made lead there */
bool ask_start_goes_on(struct ask *ask, const struct run *run); /* true: the answer comes from elsewhere */

/* ---- of run/ask_callback, run/ask_list ---- */

void ask_callback(struct ask *ask);
void ask_list_prepare(struct ask *ask, const struct engines *engines); /* before it is sent */
void ask_list(struct ask *ask);

#endif
