/* The engine: a loop's runs, and the questions that are asked about them.
 *
 * Every run belongs to one loop, found from its id (run/id). A question about a run of another loop travels there and
 * back as a message; nothing else is shared. */
#ifndef RUN_ENGINE_H
#define RUN_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "back/transfer.h"
#include "base/fault.h"
#include "base/loop.h"
#include "run/run.h"
#include "store/store.h"

struct engine_settings {
    size_t max_runs; /* in flight, a loop */
};

struct engine;

struct engine *engine_new(struct loop *loop, struct upstream *upstream, struct store *store,
                          const struct engine_settings *settings);
void engine_limit(struct engine *engine, size_t max_runs); /* for starts from now on; on its loop */

/* After the loop has ended and before the store is closed: nothing is written any more. */
void engine_detach(struct engine *engine);
/* After that, while the loops exist: who still waits is told to try again. */
void engine_dismiss(struct engine *engine);
void engine_free(struct engine *engine); /* after the loop has ended; runs in flight stay in the store */

/* Before the loops run: a run from the store goes on in the engine that owns it. `stage` may be NULL with a fault that
 * says why. */
void engine_resume(struct engine *engine, const struct store_record *record, struct stage *stage,
                   const struct fault *why);

/* On the loop's thread: begins no more calls, answers who waits, ends calls that may be repeated at once and waits for
 * the others; `done` is called when nothing is under way and all is recorded. */
void engine_drain(struct engine *engine, void (*done)(void *arg), void *arg);

/* All loops' engines; read-only after start. */
struct engines {
    struct engine **items;
    unsigned count;
};

enum ask_kind {
    ASK_START, /* stage, key, parameters, caller …; the answer comes when the run is durable (and after wait_ms, or its
                  end) */
    ASK_GET,   /* id; wait_ms holds the answer until the run has ended */
    ASK_CANCEL,     /* id */
    ASK_CANCEL_KEY, /* stage_name, key: also one that never came, which is then canceled in advance */
    ASK_LIST        /* filter */
};

/* A question and its answer. The asker owns it, and ends it after `done`, which is called exactly once, on `from`. */
struct ask {
    enum ask_kind kind;
    struct arena *arena; /* all of what this points to lives in here, or as long as it */
    struct loop *from;
    void (*done)(struct ask *ask);
    void *arg;
    /* the question */
    char id[STORE_ID_SIZE];
    const char *stage_name, *key;
    struct stage *stage; /* START: a reference, held by the asker */
    const struct json *parameters, *caller;
    const char *fingerprint, *traceparent, *caller_name;
    const char *base_url; /* of the links in the report */
    int64_t wait_ms;
    struct store_filter filter;
    bool (*allowed)(const struct ask *ask, const char *stage); /* asked before anything is done or told; NULL: yes */
    const void *rights;                                        /* for `allowed` */
    /* the answer */
    bool failed;
    struct fault fault;
    bool created;           /* START: a run was made by this question */
    bool ended;             /* the run is over */
    enum run_status status; /* of the run */
    struct buf report;      /* JSON: the run's report; LIST: {"runs": […], "cursor": …} */
    /* private to the engine */
    struct engine *engine;
    char asked_id[STORE_ID_SIZE]; /* the asker's copy, for engines_hurry */
    struct ask *next;
    struct loop_timer timer;
    bool waits_for_record;
    void *op;
};

struct ask *ask_new(enum ask_kind kind, struct loop *from, void (*done)(struct ask *ask), void *arg); /* GIVES */
void ask_free(struct ask *ask);
void engines_ask(const struct engines *engines, struct ask *ask); /* on ask->from's thread */
/* The asker has no more patience: an answer that only waits for an end comes now. On ask->from's thread, until `done`.
 */
void engines_hurry(const struct ask *ask);

#endif
