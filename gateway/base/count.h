/* Counters, gauges and histograms, and their Prometheus text form.
 *
 * The plain ones are rows of a table, kept per thread without locks and summed when they are read. The labelled ones
 * (per stage, per status) are shared by the threads, and are for events that happen once a run, not once a byte; a lock
 * is taken for the first event of a set of labels only. Of those there are COUNT_SETS_MAX at most: what comes later is
 * counted under the labels COUNT_OTHERS. */
#ifndef BASE_COUNT_H
#define BASE_COUNT_H

#include <stdint.h>

#include "base/text.h"

#define COUNT_PREFIX "stagedoor_"
#define COUNT_OTHERS "(others)"
#ifdef TINY_LIMITS
#define COUNT_SETS_MAX 1000
#else
#define COUNT_SETS_MAX 100000
#endif

/* id, type, name without prefix, help */
#define COUNTS(X)                                                                                                     \
    X(CONNECTIONS, "gauge", "connections", "Client connections that are open")                                        \
    X(CONNECTIONS_ACCEPTED, "counter", "connections_accepted_total", "Client connections accepted")                   \
    X(REQUESTS_REFUSED, "counter", "requests_refused_total",                                                          \
      "Requests refused before routing: malformed, oversized, too slow")                                              \
    X(RUNS_IN_FLIGHT, "gauge", "runs_in_flight", "Runs that are not ended")                                           \
    X(RUNS_KEPT, "gauge", "runs_kept_in_memory", "Ended runs of stages that are not durable")                         \
    X(RUNS_FORGOTTEN, "counter", "runs_forgotten_total", "Ended runs that had to make room in memory for newer ones") \
    X(CALLS_IN_FLIGHT, "gauge", "upstream_calls_in_flight", "Calls to upstreams that are under way")                  \
    X(STORE_WRITES, "counter", "store_writes_total", "Records written to the store")                                  \
    X(STORE_COMMITS, "counter", "store_commits_total", "Commits that the store made")                                 \
    X(STORE_FAULTS, "counter", "store_faults_total", "Store operations that failed")                                  \
    X(LOOP_STALLS, "counter", "loop_stalls_total", "Callbacks that held up a loop for more than 50 ms")               \
    X(RELOADS, "counter", "reloads_total", "Times the definitions were read")                                         \
    X(STARTS_WAITING, "gauge", "starts_waiting", "Starts that wait until there is nothing else to do")                \
    X(STARTS_SHED, "counter", "starts_shed_total", "Starts refused, since there was more to do than could be done")   \
    X(OVERLOADED, "gauge", "overloaded", "Loops that have refused starts within the last second")                     \
    X(UNMAPPED_WORDS, "counter", "unmapped_words_total", "Upstream status words that no list of their definition names")

enum count {
#define X(id, type, name, help) COUNT_##id,
    COUNTS(X)
#undef X
        COUNT_END
};

/* id, name without prefix, help, first label, second label or NULL */
#define COUNT_FAMILIES(X)                                                                                       \
    X(REQUESTS, "requests_total", "Requests answered", "route", "code")                                         \
    X(RUNS_STARTED, "runs_started_total", "Runs accepted", "stage", NULL)                                       \
    X(RUNS_ENDED, "runs_ended_total", "Runs ended", "stage", "status")                                          \
    X(CALLBACKS, "callbacks_total", "Callbacks with a URL of ours, by what became of them", "stage", "outcome") \
    X(CALLS, "upstream_calls_total", "Calls to upstreams, by how they went", "stage", "phase")                  \
    X(STAGE_STATE, "stage_broken", "1 where the newest definition of a stage is broken", "stage", NULL)         \
    X(WAITING, "limit_waiting", "Runs and calls that wait for their turn", "limit", NULL)                       \
    X(WAITED, "limit_waits_total", "Runs and calls that had to wait for their turn", "limit", NULL)             \
    X(QUEUE_FULL, "queue_full_total", "Starts refused, since the queue of the stage was full", "stage", NULL)   \
    X(BREAKER, "breaker_open", "1 where the breaker is open", "limit", NULL)                                    \
    X(BREAKER_OPENED, "breaker_opened_total", "Times the breaker opened", "limit", NULL)                        \
    X(CONTRACT_FINDINGS, "contract_findings_total",                                                             \
      "Replies that were not as the definition expects, by what they had", "stage", "kind")                     \
    X(DUPLICATES, "duplicates_total", "Starts of work that was in flight, by what became of them", "stage", "outcome")

enum count_family {
#define X(id, name, help, first, second) COUNT_FAMILY_##id,
    COUNT_FAMILIES(X)
#undef X
        COUNT_FAMILY_END
};

/* id, name without prefix, help; values in milliseconds, shown in seconds */
#define COUNT_HISTOGRAMS(X)                                                                   \
    X(CALL_MS, "upstream_call_seconds", "Duration of calls to upstreams")                     \
    X(RUN_MS, "run_seconds", "Duration of runs")                                              \
    X(REQUEST_MS, "request_seconds", "Duration of requests, from their head to their answer") \
    X(COMMIT_MS, "store_commit_seconds", "Duration of the store's commits")                   \
    X(POLL_LATE_MS, "poll_late_seconds", "How late polls start after they were due")          \
    X(READ_WAIT_MS, "read_wait_seconds",                                                      \
      "How long what clients sent waited to be read, where that took more than one turn")     \
    X(WAITED_MS, "limit_wait_seconds", "How long runs and calls waited that got their turn")

enum count_histogram {
#define X(id, name, help) COUNT_HISTOGRAM_##id,
    COUNT_HISTOGRAMS(X)
#undef X
        COUNT_HISTOGRAM_END
};

void count_add(enum count id, int64_t n);
int64_t count_read(enum count id); /* the sum over all threads */
void count_add_labelled(enum count_family family, const char *first, const char *second, int64_t n);
void count_set_labelled(enum count_family family, const char *first, const char *second, int64_t value);
void count_observe(enum count_histogram histogram, int64_t ms);

/* Prometheus text exposition format 0.0.4, appended to `out`. */
void count_write(struct buf *out);

#endif
