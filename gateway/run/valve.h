/* A valve: what one limit has let through, and whether it lets more. Pure: time comes in.
 *
 * It knows how many are at work, when the next may begin, when the next that changes things may, and, where it has a
 * breaker, how the calls of late have ended. Who waits, and in which order, is run/gate's. */
#ifndef RUN_VALVE_H
#define RUN_VALVE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/limits.h"

enum valve_why {
    VALVE_FREE,
    VALVE_BUSY,  /* as many as allowed are at work */
    VALVE_RATE,  /* the one before began too short a time ago */
    VALVE_GAP,   /* the one before that changes things did */
    VALVE_BROKEN /* too many calls have failed of late */
};

enum valve_outcome { VALVE_NONE, VALVE_GOOD, VALVE_BAD };

#define VALVE_SLOTS 10 /* the breaker's window, in so many parts */

struct valve {
    struct limits limits;
    int64_t at_work;
    double next_start_ms;
    int64_t next_change_ms;
    struct {
        int64_t turn; /* its number since the beginning of time */
        int64_t good, bad;
    } slots[VALVE_SLOTS];
    bool broken;
    bool probing;         /* broken, and the one call that is to find out is under way */
    int64_t broken_until; /* then one call may find out */
};

/* The limits may change while things are at work. */
void valve_tune(struct valve *valve, const struct limits *limits);

/* Whether another may begin. *ret_until is when the answer may change by time alone; 0: not by time. */
enum valve_why valve_check(const struct valve *valve, bool changes, int64_t now_ms, int64_t *ret_until);

/* Another begins; also one that was not asked for (a cancel call). True where it is the
 * call that finds out whether the breaker may close; valve_give has to be told. */
bool valve_take(struct valve *valve, bool changes, int64_t now_ms);
/* One that began before a restart is at work still: it takes a place, and puts nobody behind it off. */
void valve_take_back(struct valve *valve);
/* What was let through begins only now: the next that changes things keeps its distance from here. */
void valve_begin(struct valve *valve, bool changes, int64_t now_ms);
/* It has ended. True where the breaker opened by it. */
bool valve_give(struct valve *valve, bool probe, enum valve_outcome outcome, int64_t now_ms);

/* Calls in the breaker's window. */
void valve_window(const struct valve *valve, int64_t now_ms, int64_t *ret_calls, int64_t *ret_bad);

/* How long the next waits behind the first: by rate or gap; 0 where neither is. */
int64_t valve_interval_ms(const struct valve *valve, enum valve_why why);

#endif
