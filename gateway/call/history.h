/* How long the runs of a stage took: what to expect of the next one. Pure data, no clock. */
#ifndef CALL_HISTORY_H
#define CALL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_KEPT 128 /* the newest durations */

struct history {
    int64_t newest[HISTORY_KEPT]; /* a ring */
    int64_t sorted[HISTORY_KEPT]; /* the same, shortest first */
    size_t count, next;
};

struct outlook {
    int percent;     /* 0…99; -1: nothing is known */
    int64_t left_ms; /* until half of those that took at least as long had ended; -1: nothing is known */
    bool stalled;    /* it takes longer than 99 % did; never said of less than 20 */
};

void history_add(struct history *history, int64_t took_ms); /* less than 0 counts as 0 */

/* Of the runs that took longer than `elapsed_ms`: the time, from their beginning, by which this part of them (0…1) had
 * ended. -1 where there is none. */
int64_t history_rest_ms(const struct history *history, int64_t elapsed_ms, double part);

/* Nothing is known with fewer than 5 durations. */
struct outlook history_outlook(const struct history *history, int64_t elapsed_ms);

#endif
