/* Turns: what a life has at the gate. Private to those that run/life.h is for; on the engine's own loop.
 *
 * A life whose stage and hosts have no limits has none (NULL), and costs nothing. */
#ifndef RUN_TURNS_H
#define RUN_TURNS_H

#include "run/life.h"

struct turns;

void turns_sit(struct engine *engine);  /* the engine has its seat at the gate; a gate of NULL is none at all */
void turns_rise(struct engine *engine); /* nothing more comes to it */

enum turns_answer {
    TURNS_NONE,  /* the stage has no limits */
    TURNS_GOES,  /* the run may begin */
    TURNS_WAITS, /* it has to be made as one that is queued */
    TURNS_FULL,
    TURNS_TAKEN, /* another run does the same work: ask->taken */
    TURNS_BAD    /* there is no dedup key; *fault says why */
};

/* A start comes to the gate. *ret_turns is to be given to the run's life (turns_adopt), with GOES and WAITS. */
enum turns_answer turns_start(struct engine *engine, struct ask *ask, struct turns **ret_turns, struct fault *fault);
void turns_adopt(struct life *life, struct turns *turns); /* TAKES; NULL is allowed */
void turns_resume(struct life *life, uint64_t number);    /* a run that came from the store; gate_ticket's number */

bool turns_limit(const struct engine *engine, const struct stage *stage); /* may calls of it have to wait? */

/* A call is to begin. False: it has to wait, and `text` says where it stands; the life is told by TURN. What is
 * forced goes at once, and is counted. */
#define TURNS_TEXT_SIZE 320
bool turns_call(struct life *life, enum run_call call, bool force, char text[TURNS_TEXT_SIZE]);
void turns_called(struct life *life, const struct reply *reply); /* it has ended; NULL: it was given up */

void turns_settle(struct life *life);    /* after every move: what the run does not wait for any more is left */
void turns_look(struct life *life);      /* somebody reads the report: where does the run stand? */
void turns_supersede(struct life *life); /* it is durable, so what it supersedes is canceled */
void turns_free(struct life *life);      /* it is over */

#endif
