/* Pace: when the next call is due. Pure: time and randomness are arguments. */
#ifndef CALL_PACE_H
#define CALL_PACE_H

#include <stdint.h>

#include "stage/stage.h"

/* The delay before the next poll of a step. Polls keep to a grid (origin + n x every), so that a restart finds every
 * run at its own phase. At least a tenth of `every`. */
int64_t pace_poll_ms(const struct stage_step *step, int64_t origin_ms, int64_t now_ms);

/* The origin of a run's grid: up to `every` before its step began, as its id decides. Runs that started together poll
 * apart from their second poll on; the first one waits for nothing. */
int64_t pace_origin_ms(const struct stage_step *step, int64_t step_began_ms, struct text id);

/* The delay before try number `attempt` (1: the first repetition): exponential from retry_delay to retry_max_delay,
 * with full jitter (random: 0…UINT32_MAX), and never less than what the upstream asked for (asked_ms; -1: nothing),
 * which is bounded by 1 h. */
int64_t pace_retry_ms(const struct stage_call *call, unsigned attempt, int64_t asked_ms, uint32_t random);

#endif
