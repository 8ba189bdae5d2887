/* One limit, as numbers.
 *
 * A rate is kept by even spacing, without bursts: of 5/s one begins every 200 ms at the soonest, so that no second ever
 * sees more, and the time of each is known. A breaker counts calls in a window of ten parts, which move on by
 * themselves. Once it has opened, calls that were under way before say nothing any more; one call finds out. Called by
 * run/gate, under its lock. */
#include "run/valve.h"

void valve_tune(struct valve *valve, const struct limits *limits) {
    if (limits_same(&valve->limits, limits)) return;
    valve->limits = *limits;
    valve->next_start_ms = 0; /* what an older rate put off is not put off any more */
    valve->next_change_ms = 0;
    if (!limits->breaker.window_ms) valve->broken = valve->probing = false;
}

static enum valve_why until(enum valve_why why, int64_t at_ms, int64_t *ret_until) {
    *ret_until = at_ms;
    return why;
}

enum valve_why valve_check(const struct valve *valve, bool changes, int64_t now_ms, int64_t *ret_until) {
    const struct limits *limits = &valve->limits;
    *ret_until = 0;
    if (valve->broken && valve->probing) return VALVE_BROKEN;
    if (valve->broken && now_ms < valve->broken_until) return until(VALVE_BROKEN, valve->broken_until, ret_until);
    if (limits->concurrency && valve->at_work >= limits->concurrency) return VALVE_BUSY;
    if (limits->per_second > 0 && (double)now_ms < valve->next_start_ms)
        return until(VALVE_RATE, (int64_t)valve->next_start_ms + 1, ret_until);
    if (changes && limits->gap_ms && now_ms < valve->next_change_ms)
        return until(VALVE_GAP, valve->next_change_ms, ret_until);
    return VALVE_FREE;
}

bool valve_take(struct valve *valve, bool changes, int64_t now_ms) {
    const struct limits *limits = &valve->limits;
    valve->at_work++;
    if (limits->per_second > 0) {
        if (valve->next_start_ms < (double)now_ms) valve->next_start_ms = (double)now_ms;
        valve->next_start_ms += 1000 / limits->per_second;
    }
    if (changes) valve->next_change_ms = now_ms + limits->gap_ms;
    bool probe = valve->broken && !valve->probing && now_ms >= valve->broken_until;
    if (probe) valve->probing = true;
    return probe;
}

void valve_take_back(struct valve *valve) {
    valve->at_work++;
}

void valve_begin(struct valve *valve, bool changes, int64_t now_ms) {
    int64_t next_ms = now_ms + valve->limits.gap_ms;
    if (changes && next_ms > valve->next_change_ms) valve->next_change_ms = next_ms;
}

/* ---- the breaker ---- */

static int64_t turn_of(const struct valve *valve, int64_t now_ms) {
    int64_t width = valve->limits.breaker.window_ms / VALVE_SLOTS;
    return now_ms / (width > 0 ? width : 1);
}

static void count(struct valve *valve, bool bad, int64_t now_ms) {
    int64_t turn = turn_of(valve, now_ms);
    int slot = (int)(turn % VALVE_SLOTS);
    if (valve->slots[slot].turn != turn) {
        valve->slots[slot].turn = turn;
        valve->slots[slot].good = valve->slots[slot].bad = 0;
    }
    if (bad) valve->slots[slot].bad++;
    else valve->slots[slot].good++;
}

void valve_window(const struct valve *valve, int64_t now_ms, int64_t *ret_calls, int64_t *ret_bad) {
    int64_t turn = turn_of(valve, now_ms);
    *ret_calls = *ret_bad = 0;
    for (int i = 0; i < VALVE_SLOTS; i++) {
        if (valve->slots[i].turn <= turn - VALVE_SLOTS || valve->slots[i].turn > turn) continue;
        *ret_calls += valve->slots[i].good + valve->slots[i].bad;
        *ret_bad += valve->slots[i].bad;
    }
}

static bool break_off(struct valve *valve, int64_t now_ms) {
    valve->broken = true;
    valve->probing = false;
    valve->broken_until = now_ms + valve->limits.breaker.pause_ms;
    return true;
}

static bool found_out(struct valve *valve, enum valve_outcome outcome, int64_t now_ms) {
    valve->probing = false;
    if (outcome == VALVE_BAD) return break_off(valve, now_ms);
    if (outcome == VALVE_NONE) return false; /* it was given up: another one finds out */
    valve->broken = false;
    for (int i = 0; i < VALVE_SLOTS; i++) valve->slots[i].turn = -VALVE_SLOTS;
    return false;
}

bool valve_give(struct valve *valve, bool probe, enum valve_outcome outcome, int64_t now_ms) {
    const struct limits_breaker *breaker = &valve->limits.breaker;
    int64_t calls, bad;
    valve->at_work--;
    if (!breaker->window_ms) return false;
    if (probe && valve->broken) return found_out(valve, outcome, now_ms);
    if (valve->broken || outcome == VALVE_NONE) return false;
    count(valve, outcome == VALVE_BAD, now_ms);
    valve_window(valve, now_ms, &calls, &bad);
    bool opens = outcome == VALVE_BAD && calls >= breaker->minimum && (double)bad >= breaker->ratio * (double)calls;
    return opens && break_off(valve, now_ms);
}

int64_t valve_interval_ms(const struct valve *valve, enum valve_why why) {
    if (why == VALVE_RATE && valve->limits.per_second > 0) return (int64_t)(1000 / valve->limits.per_second);
    return why == VALVE_GAP ? valve->limits.gap_ms : 0;
}
