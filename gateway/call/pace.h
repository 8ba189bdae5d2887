/* Pace: when the next call is due. Pure: time and randomness are arguments. */
#ifndef CALL_PACE_H
#define CALL_PACE_H

#include <stdint.h>

#include "call/history.h"
#include "stage/stage.h"

/* What the next poll of a step may depend on. */
struct pace_now {
    struct text id;                              /* the run's */
    int64_t run_began_ms, step_began_ms, now_ms; /* wall */
    const struct history *history;               /* of the stage's runs; NULL: none */
    uint32_t random;
};

/* The delay before the next poll of a step, at least a tenth of `every`.
 *
 * Without `backoff` and `adaptive` polls keep to a grid (pace_origin_ms + n x every), so that a restart finds every run
 * at its own phase. With `backoff` the delay is every + (backoff - 1) x the step's age: that of a series that grows by
 * this factor each time, known without counting, so that a restart changes nothing. With `adaptive`, and a history of
 * at least 10 runs, it is the time by which a twentieth of those that took as long as this one had ended: polls are
 * dense where runs end, and rare where they do not. Both are bounded by max_every, and vary by a tenth either way.
 *
 * Polls of different runs are due at the same moments, 4 ms apart by the wall clock, where `every` allows that: what is
 * due together wakes a loop up once. */
int64_t pace_poll_ms(const struct stage_step *step, const struct pace_now *now);
int64_t pace_grid_ms(const struct stage_step *step,
                     const struct pace_now *now); /* on the grid, whatever the step says */

/* The origin of a run's grid: about `every` before its step began at most, as its id decides. Runs that started
 * together poll apart from their second poll on; the first one waits for nothing. */
int64_t pace_origin_ms(const struct stage_step *step, int64_t step_began_ms, struct text id);

/* The delay before try number `attempt` (1: the first repetition): exponential from retry_delay to retry_max_delay,
 * with full jitter (random: 0…UINT32_MAX), and never less than what the upstream asked for (asked_ms; -1: nothing),
 * which is bounded by 1 h. */
int64_t pace_retry_ms(const struct stage_call *call, unsigned attempt, int64_t asked_ms, uint32_t random);

#endif
