/* When to call again: polls on a grid, retries with exponential back-off and full jitter.
 *
 * Nothing here waits or reads a clock; run/run asks, and the engine sets the timer. */
#include "call/pace.h"

#define ASKED_MAX_MS (60 * 60 * 1000)

int64_t pace_origin_ms(const struct stage_step *step, int64_t step_began_ms, struct text id) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < id.len; i++) hash = (hash ^ (unsigned char)id.at[i]) * 16777619u;
    hash ^= hash >> 16; /* ids of one moment differ in few places */
    return step->every_ms > 0 ? step_began_ms - (int64_t)((uint64_t)step->every_ms * hash >> 32) : step_began_ms;
}

int64_t pace_poll_ms(const struct stage_step *step, int64_t origin_ms, int64_t now_ms) {
    int64_t every = step->every_ms > 0 ? step->every_ms : 1, elapsed = now_ms - origin_ms;
    if (elapsed < 0) return every; /* the wall clock was set back */
    int64_t left = every - elapsed % every;
    return left < every / 10 ? left + every : left;
}

int64_t pace_retry_ms(const struct stage_call *call, unsigned attempt, int64_t asked_ms, uint32_t random) {
    int64_t top = call->retry_delay_ms > 0 ? call->retry_delay_ms : 1;
    while (attempt-- > 1 && top < call->retry_max_delay_ms) top *= 2;
    if (top > call->retry_max_delay_ms && call->retry_max_delay_ms > 0) top = call->retry_max_delay_ms;
    int64_t delay = 1 + (int64_t)((uint64_t)top * random >> 32);
    if (asked_ms > ASKED_MAX_MS) asked_ms = ASKED_MAX_MS;
    return delay < asked_ms ? asked_ms : delay;
}
