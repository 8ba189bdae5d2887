/* The durations of a stage's last runs, kept sorted, so that every question is a binary search.
 *
 * What is asked is always about the runs that took longer than the one at hand has taken already: a load test that is
 * in its tenth minute is no longer compared with those that failed in the first. */
#include "call/history.h"

#include <string.h>

#define OUTLOOK_LEAST 5
#define STALLED_LEAST 20

/* How many of the durations are at most this long. */
static size_t count_to(const struct history *history, int64_t ms) {
    size_t low = 0, high = history->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (history->sorted[middle] <= ms) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void forget(struct history *history, int64_t took_ms) {
    size_t at = count_to(history, took_ms) - 1;
    history->count--;
    memmove(&history->sorted[at], &history->sorted[at + 1], (history->count - at) * sizeof *history->sorted);
}

void history_add(struct history *history, int64_t took_ms) {
    if (took_ms < 0) took_ms = 0;
    if (history->count == HISTORY_KEPT) forget(history, history->newest[history->next]);
    history->newest[history->next] = took_ms;
    history->next = (history->next + 1) % HISTORY_KEPT;
    size_t at = count_to(history, took_ms);
    memmove(&history->sorted[at + 1], &history->sorted[at], (history->count - at) * sizeof *history->sorted);
    history->sorted[at] = took_ms;
    history->count++;
}

int64_t history_rest_ms(const struct history *history, int64_t elapsed_ms, double part) {
    size_t first = count_to(history, elapsed_ms), rest = history->count - first;
    if (rest == 0) return -1;
    size_t at = (size_t)(part * (double)rest);
    return history->sorted[first + (at < rest ? at : rest - 1)];
}

struct outlook history_outlook(const struct history *history, int64_t elapsed_ms) {
    struct outlook outlook = {.percent = -1, .left_ms = -1};
    if (history->count < OUTLOOK_LEAST || elapsed_ms < 0) return outlook;
    int64_t end = history_rest_ms(history, elapsed_ms, 0.5);
    outlook.percent = 99;
    if (end > 0) {
        outlook.left_ms = end - elapsed_ms;
        int percent = (int)(100 * (double)elapsed_ms / (double)end);
        outlook.percent = percent < 99 ? percent : 99;
    }
    size_t longer = history->count - count_to(history, elapsed_ms);
    outlook.stalled = history->count >= STALLED_LEAST && longer * 100 < history->count;
    return outlook;
}
