/* Questions about runs: start one, look at one, cancel one, list them.
 *
 * A question about a run of another loop travels there and back as a message; nothing else is shared between loops. */
#ifndef RUN_ASK_H
#define RUN_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/loop.h"
#include "run/engine.h"
#include "run/run.h"
#include "store/store.h"

enum ask_kind {
    ASK_START, /* stage, key, parameters, caller …; the answer comes when the run is durable (and after wait_ms, or its
                  end) */
    ASK_GET,   /* id; wait_ms holds the answer until the run has ended */
    ASK_CANCEL,     /* id */
    ASK_EXPLAIN,    /* id */
    ASK_CANCEL_KEY, /* stage_name, key: also one that never came, which is then canceled in advance */
    ASK_LIST,       /* filter */
    ASK_CALLBACK    /* id, step, message: a callback with a token of ours; the answer comes when what it did is durable.
                       UNAUTHORIZED: not from whom the step wants it; GONE: too late; BUSY: to be sent again */
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
    struct stage *stage; /* START; CANCEL_KEY, where one is in force, else NULL: a reference, held by the asker */
    const struct json *parameters, *caller;
    const char *fingerprint; /* with a key */
    const char *traceparent, *caller_name;
    const char *base_url; /* of the links in the report */
    int64_t wait_ms;
    int64_t deadline_ms; /* START: wall; 0: none */
    bool orphaned;       /* LIST: only runs in flight whose status nobody has read for long */
    struct store_filter filter;
    size_t step;                                               /* CALLBACK */
    const struct reply *message;                               /* CALLBACK: its headers and body */
    bool (*allowed)(const struct ask *ask, const char *stage); /* asked before anything is done or told; NULL: yes */
    const void *rights;                                        /* for `allowed` */
    /* the answer */
    bool failed;
    struct fault *fault;    /* where it has failed */
    bool created;           /* START: a run was made by this question */
    bool ended;             /* the run is over */
    enum run_status status; /* of the run */
    struct buf report;      /* JSON: the run's report; LIST: {"runs": […], "cursor": …} */
    /* private to the engine */
    struct engine *engine;
    char taken[STORE_ID_SIZE]; /* START: the run that does the same work; START, CANCEL_KEY: that the key leads to */
    bool attached;             /* it is answered with that run */
    bool key_kept;             /* its key leads to that run, durably */
    /* of ask->from's thread alone, for ask_hurry: where the answer is waited for */
    struct engine *asked;
    char asked_id[STORE_ID_SIZE];
    bool hurried;
    struct ask *next;
    struct loop_timer timer;
    bool waits_for_record;
    bool looked_up; /* START: the store has no run with its key */
    void *op;
};

struct ask *ask_new(enum ask_kind kind, struct loop *from, void (*done)(struct ask *ask), void *arg); /* GIVES */
void ask_free(struct ask *ask);
void ask_send(const struct engines *engines, struct ask *ask); /* on ask->from's thread */
/* The asker has no more patience: an answer that only waits for an end comes now. On ask->from's thread, until `done`.
 */
void ask_hurry(struct ask *ask);

#endif
