/* When to call again: polls on a grid, or further and further apart, or where runs of the stage used to end; retries
 * with exponential back-off and full jitter.
 *
 * Nothing here waits or reads a clock; run/run asks, and the engine sets the timer. */
#include "call/pace.h"

#include "base/index.h"

#define TOGETHER_MS 4 /* a power of 2. Waking up costs most of a poll, so a loop does it once for those of so long */
#define ADAPT_LEAST 10
#define ASKED_MAX_MS (60 * 60 * 1000)

int64_t pace_origin_ms(const struct stage_step *step, int64_t step_began_ms, struct text id) {
    if (step->every_ms <= 0) return step_began_ms;
    uint64_t hash = index_hash(id, (struct text){0});
    int64_t origin_ms = step_began_ms - (int64_t)((uint64_t)step->every_ms * hash >> 32);
    return origin_ms & ~(int64_t)(TOGETHER_MS - 1);
}

int64_t pace_grid_ms(const struct stage_step *step, const struct pace_now *now) {
    int64_t origin_ms = pace_origin_ms(step, now->step_began_ms, now->id);
    int64_t every = step->every_ms > 0 ? step->every_ms : 1, elapsed = now->now_ms - origin_ms;
    if (elapsed < 0) return every; /* the wall clock was set back */
    int64_t left = every - elapsed % every;
    return left < every / 10 ? left + every : left;
}

static int64_t age_of(int64_t began_ms, int64_t now_ms) {
    return now_ms > began_ms ? now_ms - began_ms : 0;
}

static int64_t backed_off(const struct stage_step *step, const struct pace_now *now) {
    double grown = (step->backoff - 1) * (double)age_of(now->step_began_ms, now->now_ms);
    return grown < (double)step->max_every_ms ? step->every_ms + (int64_t)grown : step->max_every_ms;
}

/* Where it takes longer than any before, nobody knows when it will end: the longer ago that was to be expected, the
 * rarer. */
static int64_t adapted(const struct stage_step *step, const struct pace_now *now) {
    const struct history *history = now->history;
    int64_t age = age_of(now->run_began_ms, now->now_ms), next = history_rest_ms(history, age, 0.05);
    if (next >= 0) return next - age;
    int64_t over = age - history->sorted[history->count - 1];
    return over / 10 > step->every_ms ? over / 10 : step->every_ms;
}

/* Never earlier. */
static int64_t put_together(int64_t delay_ms, int64_t now_ms) {
    uint64_t due = (uint64_t)now_ms + (uint64_t)delay_ms;
    return delay_ms + (int64_t)(-due % TOGETHER_MS);
}

int64_t pace_poll_ms(const struct stage_step *step, const struct pace_now *now) {
    bool adapts = step->adaptive && now->history && now->history->count >= ADAPT_LEAST;
    if (!adapts && step->backoff <= 1) return pace_grid_ms(step, now);
    int64_t delay = adapts ? adapted(step, now) : backed_off(step, now);
    if (delay > step->max_every_ms) delay = step->max_every_ms;
    if (delay < step->every_ms) delay = step->every_ms;
    int64_t tenth = delay / 10;
    delay += (int64_t)((uint64_t)(2 * tenth) * now->random >> 32) - tenth;
    return put_together(delay > 0 ? delay : 1, now->now_ms);
}

int64_t pace_retry_ms(const struct stage_call *call, unsigned attempt, int64_t asked_ms, uint32_t random) {
    int64_t top = call->retry_delay_ms > 0 ? call->retry_delay_ms : 1;
    while (attempt-- > 1 && top < call->retry_max_delay_ms) top *= 2;
    if (top > call->retry_max_delay_ms && call->retry_max_delay_ms > 0) top = call->retry_max_delay_ms;
    int64_t delay = 1 + (int64_t)((uint64_t)top * random >> 32);
    if (asked_ms > ASKED_MAX_MS) asked_ms = ASKED_MAX_MS;
    return delay < asked_ms ? asked_ms : delay;
}
