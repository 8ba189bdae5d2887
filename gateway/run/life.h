/* A life: a run in flight, with what it needs meanwhile. Private to run/engine, which has them, to run/life and the
 * files beside that, to run/turns, and to the files of run/ask, which answer for it. */
#ifndef RUN_LIFE_H
#define RUN_LIFE_H

#include "base/index.h"
#include "base/log.h"
#include "run/ask.h"
#include "run/engine.h"
#include "run/past.h"

struct life {
    struct engine *engine;
    struct run *run;
    struct index_link by_id, by_key;
    struct life *previous, *next;   /* of the engine's list */
    struct loop_timer timer;        /* DUE */
    struct loop_timer *store_timer; /* NULL: the store has taken every record at once, as it does */
    struct write *write;            /* under way */
    bool record_changed;            /* since that write was begun */
    bool accepted;                  /* its first record is durable, or its stage needs none */
    bool in_memory;                 /* its records are nowhere else */
    bool recorded;                  /* the store has one, there where they are now */
    bool key_taken;                 /* its records go without: the store has the key for another run */
    bool moves;                     /* to the disk, and is not there yet */
    struct store_source *rest;      /* it is over, and was in memory: this has the run. Else NULL */
    bool dead;
    struct transfer *transfer;
    struct arena *attempt;   /* of the call under way */
    struct request *request; /* in `attempt`; NULL without one */
    struct secrets *secrets;
    struct ask *asks;
    struct turns *turns;             /* at the gate; NULL: it needs none */
    struct history *history;         /* of its stage; the engine's. NULL: it has no stage */
    struct contract *contract;       /* a reference, to that of its definition. NULL: nobody watches */
    int64_t read_ms;                 /* monotonic; when somebody last looked at it, or it came here */
    struct loop_timer *orphan_timer; /* NULL: its stage has no orphan_after */
};

struct engine {
    struct loop *loop;
    struct upstream *upstream;
    struct store *store;
    struct engine_settings settings;
    struct index by_id, by_key;
    struct life *lives;
    size_t count;
    struct write *writes; /* to be used again */
    size_t write_count;
    struct pasts pasts;
    unsigned seat;                /* at the gate */
    struct loop_timer gate_timer; /* when somebody may go on by time alone */
    uint32_t random;              /* xorshift state: jitter needs no better */
    bool expects;                 /* runs from the store are still to come … */
    size_t to_come;               /* … about so many */
    struct ask *parked;           /* questions that wait until all have come */
    struct life *to_move;         /* the next that may have to move to the disk; NULL: all have begun to */
    size_t moving;                /* lives that do */
    bool draining;                /* nothing begins any more */
    bool handing_over;            /* but runs, for the process that comes next */
    bool settling;                /* no call begins that may not be repeated */
    struct loop_timer settle_timer;
    void (*settled)(void *arg); /* while it settles */
    void *settled_arg;
    void (*drained)(void *arg); /* until it was called */
    void *drained_arg;
};

/* ---- of run/engine ---- */

bool engine_limits(const struct engine *engine, const struct stage *stage); /* may its calls have to wait? */
/* Is a run of it that begins now kept in memory alone? */
bool engine_forgets(const struct engine *engine, const struct stage *stage);
void engine_look_drained(struct engine *engine); /* something is over that a stop may have waited for */

/* ---- of run/life ---- */

/* TAKES the run; in no list before, in the indexes after. */
struct life *life_new(struct engine *engine, struct run *run);
void life_drop(struct life *life); /* as it is, once no loop runs any more */
struct life *life_find_id(const struct engine *engine, const char *id);
struct life *life_find_key(const struct engine *engine, const char *stage, const char *key);
void life_drive(struct life *life, const struct run_event *event);
void life_carry_out(struct life *life, const struct run_orders *orders);
void life_cancel(struct life *life);
enum run_taken life_callback(struct life *life, const struct run_callback *callback);
void life_say_turn(struct life *life, const char *text); /* where it stands; see run_say_turn */
void life_read(struct life *life);                       /* somebody looks at it */
bool life_is_orphan(const struct life *life);            /* nobody has for its stage's orphan_after, or 10 minutes */
/* The call that it makes, or waits to make, may be ended at any moment, and begun again by whoever resumes the run. */
bool life_may_repeat(const struct life *life);
struct run_world life_world(struct life *life);
struct log_context life_context(const struct run *run);

/* ---- of run/life_record ---- */

void life_record(struct life *life);          /* writes what is known of it, now or behind the write under way */
bool life_writes(const struct life *life);    /* something of it is not durable yet */
void life_record_move(struct engine *engine); /* more of engine->to_move, as many as may move at once */
void life_record_moved(struct life *life);    /* it does not move any more: it is there, or over */
void life_record_fini(struct engine *engine);

/* ---- of run/life_call ---- */

void life_call_begin(struct life *life, enum run_call call, bool intended);
/* May the step's call be recorded as being sent? It has its turn then, and keeps it; else the run was told. */
bool life_call_may_go(struct life *life);
void life_call_abort(struct life *life); /* none may be under way */
void life_call_end(struct life *life);   /* frees what the call took */

/* ---- of run/ask_answer: the questions that wait for a life ---- */
void ask_recorded(
    struct life *life); /* all of it is durable: who waited for that is answered, or waits on for the end */
void ask_answer_all(struct life *life);
void ask_answer_waiting(struct life *life); /* the end will not come here any more */
void ask_refuse_all(struct life *life, const struct fault *fault);
void ask_found_instead(struct life *life, const struct store_record *record); /* another run has the key */
void ask_again_parked(struct engine *engine);                                 /* all runs have come */
void ask_refuse_parked(struct engine *engine, const struct fault *fault);

#endif
