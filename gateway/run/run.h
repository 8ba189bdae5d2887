/* A run: one execution of a stage, and the one function that changes its state.
 *
 * run_move takes an event and gives orders; it knows no socket, no clock, no store. The engine carries the orders out,
 * and brings what comes of them as the next event. Every pair of state and event has a row in the table of run.c.
 *
 *     ACCEPTING ─stored─▶ CALLING ─reply─▶ RECORDING ─stored─▶ CALLING (next step) …
 *                           │  ▲
 *                     reply │  │ due                 any ─cancel─▶ STOPPING ─stored─▶ CANCELING ─reply─▶ ENDING
 *                           ▼  │
 *                         WAITING                    any verdict that ends it ─▶ ENDING ─stored─▶ ENDED
 *
 * Where limits hold the run, or its call, it is QUEUED in between, until its turn comes.
 *
 * Invariants
 *  1. No byte of a call that is not idempotent is sent before a record with `sending` is durable. That record is not
 *     written before the call may go, as limits and upstreams have it: a call that waits is in no doubt.
 *  2. Nothing acts on a reply that decides a step before a record that holds it is durable.
 *  3. An end is reported only after its record is durable.
 *  4. A call that is not idempotent is sent again only if it was never sent, or the definition said so: on_in_doubt =
 *     "resend", or a probe that did not find what the call would have begun. */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "call/history.h"
#include "call/reply.h"
#include "call/request.h"
#include "call/verdict.h"
#include "lang/frozen.h"
#include "lang/json.h"
#include "run/inbox.h"
#include "run/journal.h"
#include "stage/stage.h"
#include "store/store.h"

struct contract;

/* orca's words (ExecutionStatus). */
#define RUN_STATUSES(X)           \
    X(NOT_STARTED, "NOT_STARTED") \
    X(RUNNING, "RUNNING")         \
    X(SUCCEEDED, "SUCCEEDED")     \
    X(TERMINAL, "TERMINAL")       \
    X(CANCELED, "CANCELED")       \
    X(SKIPPED, "SKIPPED") /* of steps only */

enum run_status {
#define X(id, word) RUN_##id,
    RUN_STATUSES(X)
#undef X
};

/* What a run is doing. */
#define RUN_STATES(X)                                                                                              \
    X(ACCEPTING, "accepting")             /* its first record is being written; nobody was told of it yet */       \
    X(QUEUED, "queued")                   /* for its turn: the limits of its stage or of a host hold it */         \
    X(INTENDING, "intending")             /* "being sent" is being written before a call that is not idempotent */ \
    X(CALLING, "calling")                 /* a step's call is under way */                                         \
    X(RECORDING, "recording")             /* a step's last reply is being written; the next step comes after it */ \
    X(WAITING, "waiting")                 /* for the next poll, or the next try */                                 \
    X(PROBING, "probing")                 /* in doubt: the call that looks for the work is under way */            \
    X(PROBE_WAITING, "probe_waiting")     /* in doubt: for the next look */                                        \
    X(STOPPING, "stopping")               /* the wish to cancel is being written */                                \
    X(CANCELING, "canceling")             /* the cancel call is under way */                                       \
    X(CANCEL_WAITING, "cancel_waiting")   /* for the next try of the cancel call */                                \
    X(CANCEL_CHECKING, "cancel_checking") /* the upstream was told: a poll asks whether it stopped */              \
    X(CANCEL_CHECK_WAITING, "cancel_check_waiting") /* for the next such poll */                                   \
    X(ENDING, "ending")                             /* its end is being written */                                 \
    X(ENDED, "ended")                                                                                              \
    X(DROPPED, "dropped") /* never accepted: its first record could not be written */

enum run_state {
#define X(id, word) RUN_##id,
    RUN_STATES(X)
#undef X
        RUN_STATE_END
};

#define RUN_EVENTS(X)                                                                       \
    X(STORED)   /* all records of the run that were ordered are durable */                  \
    X(UNSTORED) /* the first record could not be written (later ones the engine repeats) */ \
    X(REPLY)    /* the call that was ordered has ended */                                   \
    X(REFUSED)  /* the call that was ordered could not be rendered; nothing was sent */     \
    X(HELD)     /* the call that was ordered is not begun now: it has to wait */            \
    X(DUE)      /* the time that was ordered has come */                                    \
    X(CANCEL)   /* somebody wants it stopped */                                             \
    X(CALLBACK) /* a verified callback has come for one of its steps */                     \
    X(TURN)     /* its turn has come */

enum run_event_kind {
#define X(id) RUN_EVENT_##id,
    RUN_EVENTS(X)
#undef X
        RUN_EVENT_END
};

/* A callback: what somebody told us about a step. */
struct run_callback {
    size_t step;
    char mark[INBOX_MARK_SIZE]; /* the same for a message that is sent again; a digest */
    bool named;                 /* of the sender's own name for the message, not of its body */
    struct inbox_message message;
};

struct run_event {
    enum run_event_kind kind;
    const struct reply *reply;           /* REPLY; borrowed */
    const struct fault *fault;           /* REFUSED; HELD, where until_ms says for how long: why */
    int64_t until_ms;                    /* HELD: wall; 0: the gateway is being stopped */
    bool orphaned;                       /* CANCEL: nobody asked for it, since nobody looks at the run any more */
    const struct run_callback *callback; /* CALLBACK; borrowed */
    const char *turn; /* HELD: its turn has not come; where it stands, for people. NULL: the gateway stops */
};

/* What became of a callback. */
enum run_taken {
    RUN_CALLBACK_STALE,    /* the step is passed, or the run is over or being canceled: it comes too late */
    RUN_CALLBACK_TAKEN,    /* judged, or kept until its step waits; either way to be made durable */
    RUN_CALLBACK_REPEATED, /* it was taken before, and has no second effect */
    RUN_CALLBACK_REFUSED   /* more have come early than are kept: to be sent again later */
};

enum run_call { RUN_CALL_NONE, RUN_CALL_STEP, RUN_CALL_PROBE, RUN_CALL_CANCEL, RUN_CALL_CHECK };

/* What the engine is to do next. Several may be set. */
struct run_orders {
    bool store;           /* write the record; STORED when durable */
    bool ask_first;       /* with `store`: it says no more than that a call is about to be sent. Where that call may not
                             go now, or cannot be rendered, nothing is written: HELD, REFUSED */
    bool intended;        /* with `call`: the store has it as being sent, so nothing holds it any more */
    enum run_call call;   /* render and send; REPLY or REFUSED. Never together with `store`, but after its STORED. HELD
                             where the gateway is being stopped, or the upstream wants no calls now */
    bool abort_call;      /* end the call that is under way; no REPLY comes */
    int64_t wait_until;   /* wall ms; DUE then, in place of an earlier time. 0: as it was */
    bool ended;           /* the run is over: tell who waits, let it go */
    bool unknown_word;    /* for the counters: the word is in run->upstream_word, for the first time */
    bool undone;          /* an end without success, for the log */
    enum run_taken taken; /* of CALLBACK */
};

/* What run_move may know of the world. */
struct run_world {
    int64_t now_ms;  /* wall */
    int64_t mono_ms; /* goes on evenly, whatever is done to the other */
    uint32_t random;
    bool limited;                  /* calls may be HELD: none is recorded as being sent before it may go */
    const struct history *history; /* of the stage's runs; NULL: none */
    struct contract *contract;     /* of its definition: told what replies had, and never asked. NULL: nobody watches */
};

/* What the replies to the present step had, those of this life of the process; for the contract watch. */
struct run_seen {
    unsigned replies; /* that its rules were applied to */
    bool value, progress, success_defined;
};

struct run_step {
    const char *name;     /* as the store had it; only where the run has no stage */
    struct frozen *value; /* {body, headers, code, outputs} of the reply that decided it; NULL before */
    char *url;            /* heap; that it called last */
    char *location;       /* heap; where its last 202 said to ask next; NULL: as the step before says */
    struct inbox *inbox;  /* of its callbacks; NULL: none has come */
    unsigned calls;
    int code; /* of its last reply; 0: none */
    enum run_status status;
};

struct run {
    struct arena *arena;
    struct stage *stage; /* a reference; NULL for a run that was read from the store only to be shown */
    char id[STORE_ID_SIZE];
    const char *stage_name, *key, *definition;
    const char *fingerprint; /* SHA-256 of the parameters: does its key come with the same content? NULL: it has none */
    const char *attached_to; /* the id of the run that its key leads to: it is none itself. NULL: it is one */
    const char *traceparent; /* W3C; sent upstream */
    const char *caller_name; /* who is allowed to see it: the authenticated caller; NULL when open */
    struct frozen *caller;   /* an object: user, application, pipeline, execution */
    struct frozen *parameters;  /* checked values; those of type secret are masked once the run has ended */
    const char *const *secrets; /* their texts, by the number of the parameter; NULL: its stage has none */

    enum run_state state;
    enum run_status status;
    enum reason reason;
    size_t step;
    struct run_step *steps;
    size_t step_count;
    bool queued;         /* it waits for the limits of its stage, and no call was made */
    bool sending;        /* the call of `step` may have left, as far as the store knows */
    bool may_have_acted; /* a try of the present step may have been acted on, whatever came of the later ones */
    bool cancel_wanted;
    bool awaiting;          /* the present step's call is done, or it has none: only its callback is waited for */
    bool hinted;            /* a callback asked for the next poll, during a poll */
    bool orphaned;          /* the cancel is ours, since nobody has looked at the run for long */
    bool timed_out;         /* the cancel is ours, since the time is up: the run ends as TERMINAL */
    unsigned attempt;       /* tries of the present call that failed in a row */
    unsigned probe_attempt; /* looks that failed in a row, of the present doubt */
    int64_t probe_failing_since_ms;
    int64_t doubt_since_ms;  /* of the present doubt; a restart begins anew */
    int64_t doubt_mono_ms;   /* the same by the other clock: a clock set forward must not make it old */
    unsigned cancel_attempt; /* tries of the cancel call that failed in a row; a restart begins anew */
    int64_t cancel_failing_since_ms;
    int64_t cancel_since_ms; /* the wish; then the first cancel call; 0: neither */
    bool cancel_told;        /* a cancel call was accepted */
    bool cancel_fell_back;   /* the fallback is what is called */
    bool cancel_checked;     /* asked at least once since it was told, in this life of the process */
    int64_t created_ms, updated_ms, ended_ms;
    int64_t begun_ms; /* its work: wall; 0 while its first call waits for a turn, or for its upstream */
    int64_t step_began_ms;
    int64_t failing_since_ms;
    int64_t deadline_ms;          /* wall; the caller's. 0: none */
    struct verdict_series steady; /* of the present step, with success_for */
    struct run_seen seen;         /* of the present step */
    int64_t due_ms;               /* next call, in the states that wait for one */
    char *progress, *error;       /* heap; progress is never NULL */
    char *upstream_word;          /* heap; or NULL */
    int upstream_code;            /* 0: none yet */
    int percent;                  /* -1: unknown */
    bool warned_unknown;
    bool outputs_left_out;    /* they were too large for a report */
    struct frozen *outputs;   /* an object; NULL: none */
    struct frozen *artifacts; /* an array; NULL: none */
    struct frozen *warnings;  /* an array of sentences; NULL: none */
    struct journal journal;   /* its calls, for explain */
    struct run_fresh *fresh;  /* NULL once the first call was rendered, and where that may be long from now */
};

/* Of a run that begins at once: its values as they came, so that its first call need not thaw them. */
struct run_fresh {
    struct arena *arena;
    const struct json *caller, *parameters;
};

struct run_new {
    struct stage *stage; /* a reference is taken */
    const char *id, *key, *fingerprint, *traceparent, *caller_name;
    const struct json *caller, *parameters; /* borrowed */
    int64_t now_ms;
    int64_t deadline_ms; /* wall; the caller's. 0: none */
    bool queued;         /* its turn has not come: it is QUEUED once it is durable, until TURN */
    bool limited;        /* as in run_world */
};

struct run *run_new(const struct run_new *from); /* GIVES; in ACCEPTING: store it, then send STORED */
struct run *
run_new_canceled(const struct run_new *from,
                 const char *stage_name); /* GIVES; canceled before it began, to be stored; stage may be NULL */
/* GIVES; over, to be stored: it keeps the key of a start that was attached to the run `id`. */
struct run *run_new_attached(const struct run_new *from, const char *id);
void run_free(struct run *run);                /* NULL is allowed */
void run_shed(struct run *run);                /* what the record of an ended run has not */
struct arena *run_take_fresh(struct run *run); /* its first call is rendered: GIVES the arena of run->fresh, or NULL */
size_t run_bytes(const struct run *run);       /* of memory that it takes, nearly */

void run_move(struct run *run, const struct run_event *event, const struct run_world *world,
              struct run_orders *ret_orders);
void run_resume(struct run *run, const struct run_world *world,
                struct run_orders *ret_orders); /* after run_load; once */

/* Ends a run that cannot go on, because its pinned definition or its record is no use any more (BROKEN_DEFINITION,
 * BROKEN_RECORD). After run_load without a stage. */
void run_give_up(struct run *run, const struct run_world *world, enum reason reason, const char *what,
                 struct run_orders *ret_orders);

/* Of a run that was read from the store after its end: was this callback taken while it went on? */
bool run_callback_known(const struct run *run, const struct run_callback *callback);

/* Where a run that is QUEUED stands, for people; nothing in any other state. */
void run_say_turn(struct run *run, const struct run_world *world, const char *text);

bool run_ended(const struct run *run);          /* durably */
int64_t run_deadline_ms(const struct run *run); /* wall; by when its step, or all of it, has to be over. 0: never */
const char *run_status_word(enum run_status status);
const char *run_state_word(enum run_state state);
const struct stage_call *run_call_of(const struct run *run, enum run_call call);

/* What a call with an idempotency key carries: a UUID made from stage, step, and the run's key (its id where it has
 * none), so the same at each try. In `arena`. */
const char *run_idempotency_key(const struct run *run, struct arena *arena);

/* The values that a template of this run may name, by root index: STAGE_STEPS_MAX + ROOT_STEPS places. `reply` may be
 * NULL. In `arena`. */
#define RUN_ROOTS_MAX (ROOT_STEPS + STAGE_STEPS_MAX)
void run_roots(const struct run *run, struct arena *arena, int64_t now_ms, const struct json *reply,
               const struct json *roots[RUN_ROOTS_MAX]);
/* The same for those alone that a call, or the judging by some rules, names; the others are NULL. */
void run_roots_of_call(const struct run *run, struct arena *arena, int64_t now_ms, const struct stage_call *call,
                       const struct json *roots[RUN_ROOTS_MAX]);
void run_roots_of_rules(const struct run *run, struct arena *arena, int64_t now_ms, const struct stage_rules *rules,
                        const struct json *roots[RUN_ROOTS_MAX]);

/* ---- run/record: what the store keeps ---- */
void run_record_write(const struct run *run, struct buf *out);
/* GIVES a run as it was written; NULL with a fault for a record that is none. `stage` (may be NULL) gets a reference
 * taken. */
struct run *run_load(const struct store_record *record, struct stage *stage, struct fault *fault);
int64_t run_record_begun_ms(const struct store_record *record); /* its begun_ms, without reading all of it */

/* ---- run/report: what callers see ---- */
/* The report of DESIGN.md section 5 as one JSON object; `base_url` without a slash at its end. `${` never stands in it.
 * `history` (NULL: none) tells what is to be expected of a run in flight at `now_ms`: when it may end, how far it is
 * where the upstream does not say, whether it is stalled. */
void run_report_write(const struct run *run, const struct history *history, int64_t now_ms, const char *base_url,
                      struct buf *out);
/* Which call was what, what judged it, and what comes next and when: {"id", "stage", "status", "reason", "progress",
 * "state", "calls", "leftOut", "next", "deadline"}. Secrets are masked. */
void run_explain_write(const struct run *run, struct buf *out);
void run_report_defuse(struct buf *out, struct text json); /* any JSON text, with every `${` in it as `$ {` */

#endif
