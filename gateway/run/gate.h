/* The gate: who goes on, and who waits for a turn. One for the process, shared by its loops under a lock.
 *
 * A ticket stands for a run, or for a call. It names one or two lines; it waits in the first of them, and goes on when
 * all of them let it. Lines are first come, first served, but for two things: calls that change things wait apart from
 * those that do not, since a gap between them holds up nobody else; and whoever only waits for the second line lets
 * those behind pass.
 *
 * Tickets belong to a seat, that is to a loop: what the gate lets go on by and by is put into the seat's box, and the
 * seat is woken. Whoever wants nothing of the gate never comes here. */
#ifndef RUN_GATE_H
#define RUN_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "run/valve.h"
#include "store/store.h"

enum gate_kind {
    GATE_RUNS,  /* the runs of a stage */
    GATE_CALLS, /* the calls of a stage */
    GATE_HOST,  /* the calls to an upstream host */
    GATE_SAME   /* the runs of a stage with one dedup key: one at a time */
};

#define GATE_LINES 2

struct gate;
struct gate_line;

enum gate_state { GATE_IDLE, GATE_WAITS, GATE_GOES };

/* Zeroed before its first use. Its memory is the owner's, and free after gate_leave. */
struct gate_ticket {
    void *owner;
    char id[STORE_ID_SIZE]; /* of its run */
    uint64_t number; /* with RESUME and BACK: its place among those that were there before a restart, from 1 on, in
                        whatever order they come; 0: it comes after all that are there */
    unsigned seat;
    bool changes;
    /* private to the gate; `state` may be read where the owner has not been told of a change yet: see gate_goes */
    enum gate_state state;
    bool in_box, probe[GATE_LINES];
    struct gate_line *lines[GATE_LINES];
    struct gate_ticket *previous, *next;           /* where it waits */
    struct gate_ticket *box_previous, *box_next;   /* in its seat's box */
    struct gate_ticket *mate_previous, *mate_next; /* all of one GATE_SAME line */
    uint64_t turn;
    size_t rank;
    int64_t came_ms;
};

struct gate_want {
    enum gate_kind kind;
    const char *stage; /* NULL for GATE_HOST */
    const char *name;  /* the host, the dedup key; else NULL */
};

enum gate_answer { GATE_ANSWER_GOES, GATE_ANSWER_WAITS, GATE_ANSWER_FULL, GATE_ANSWER_TAKEN };

enum gate_mode {
    GATE_QUEUE,  /* waits where it has to */
    GATE_ALONE,  /* TAKEN where a GATE_SAME line has somebody already */
    GATE_RESUME, /* waits, also where the queue is full: it was let in before */
    GATE_BACK,   /* goes at once: it did before a restart, and is at work still */
    GATE_FORCE   /* goes at once, whatever the limits say, and counts */
};

struct gate *gate_new(unsigned seats); /* GIVES; closed: nobody goes on by and by before gate_open */
void gate_free(struct gate *gate);     /* after all tickets have left */
void gate_sit(struct gate *gate, unsigned seat, void (*wake)(void *arg),
              void *arg); /* before the loops run. `wake` is called under the lock: it may post, no more */
void gate_open(struct gate *gate, int64_t now_ms);

/* Sets a line's limits, for good: also of those that wait. `limits` with nothing set: it lets everybody through. */
void gate_tune(struct gate *gate, const struct gate_want *want, const struct limits *limits, int64_t now_ms);
/* Those of a stage: of its runs, and of its calls. NULL: none. */
void gate_tune_stage(struct gate *gate, const char *stage, const struct limits *runs, const struct limits *calls,
                     int64_t now_ms);
/* The limits of upstream hosts: those that are not named have none any more. */
void gate_tune_hosts(struct gate *gate, const struct limits_upstream *hosts, size_t count, int64_t now_ms);
bool gate_has_hosts(const struct gate *gate); /* cheap; no lock */
bool gate_knows_host(struct gate *gate, const char *host);

/* *ret_taken is the id of the run that has the line, of TAKEN. */
enum gate_answer gate_enter(struct gate *gate, struct gate_ticket *ticket, const struct gate_want *wants, size_t count,
                            enum gate_mode mode, int64_t now_ms, char ret_taken[STORE_ID_SIZE]);
/* A call that was let go leaves only now: its intent had to be recorded first. */
void gate_begin(struct gate *gate, const struct gate_ticket *ticket, int64_t now_ms);
/* It gives up waiting, or has ended. An idle ticket may leave too. */
void gate_leave(struct gate *gate, struct gate_ticket *ticket, enum valve_outcome outcome, int64_t now_ms);

struct gate_ticket *gate_next(struct gate *gate, unsigned seat); /* out of the seat's box; NULL: it is empty */
void gate_advance(struct gate *gate, int64_t now_ms);
int64_t gate_due(const struct gate *gate); /* when somebody may go on by time alone; 0: not by time. Cheap; no lock */

/* The runs that are in the ticket's GATE_SAME line before it: at most `max` ids, the last ones first. */
size_t gate_before(struct gate *gate, const struct gate_ticket *ticket, char (*ids)[STORE_ID_SIZE], size_t max);

/* Where a ticket stands. */
struct gate_place {
    size_t rank, count; /* 1 is the first */
    enum valve_why why;
    enum gate_kind kind; /* of the line that holds it */
    char name[64];       /* its host; cut */
    struct limits limits;
    int64_t wait_ms;    /* about; -1: nobody knows */
    int64_t calls, bad; /* of a breaker */
};
bool gate_place(struct gate *gate, struct gate_ticket *ticket, int64_t now_ms, struct gate_place *ret);

#endif
