/* Timers in order of time, at a cost that does not grow with how many there are. Private to base/loop.
 *
 * Times are milliseconds of one clock that never goes back. */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define WHEEL_LEVELS 4
#define WHEEL_SLOTS 256
#define WHEEL_NEVER INT64_MAX

struct wheel {
    int64_t now;                                   /* what was due before it has been taken, or is in `due` */
    int64_t next;                                  /* nothing in a slot has to be moved or taken before */
    struct loop_link due;                          /* to be taken */
    uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* a bit a slot: it is not empty */
    struct loop_link slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, int64_t now); /* it may not be moved in memory from here on */
void wheel_add(struct wheel *wheel, struct loop_timer *timer, int64_t now); /* by its due_ms; it must be idle */
void wheel_remove(struct wheel *wheel, struct loop_timer *timer);           /* it must wait */

int64_t wheel_next(const struct wheel *wheel); /* nothing has to be done before; WHEEL_NEVER: there is nothing to do */

/* Makes due what is due at `now`; wheel_take then takes it out, the earliest first, NULL at the end. What is added
 * meanwhile is not among it. */
void wheel_turn(struct wheel *wheel, int64_t now);
struct loop_timer *wheel_take(struct wheel *wheel);

#endif
