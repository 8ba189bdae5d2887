/* A world for the gateway's engines: clock, disk, network and chance as plain data, all made from one number.
 *
 * The engines, the questions, the gate and all of run/ are the real ones. What they wait for is here: world.c stands in
 * for base/loop, store/store, back/transfer, base/log and the system's random numbers, by having their functions, so
 * that the linker leaves the real ones out. One scenario is one world; there is one at a time, since the functions that
 * it stands in for know no other. */
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/text.h"
#include "run/ask.h"
#include "run/engine.h"
#include "run/gate.h"
#include "run/recovery.h"
#include "run/run.h"
#include "stage/stage.h"

#define WORLD_BEGAN_MS 1763880000000
#define WORLD_LOOPS 2
#define WORLD_RUNS 16
#define WORLD_JOBS 64
#define WORLD_HOOKS 32
#define WORLD_TIMERS 512
#define WORLD_POSTS 4096
#define WORLD_CALLS 64
#define WORLD_OPS 256
#define WORLD_ASKS 64
#define WORLD_STEPS 5

#define SECRET_TOKEN "tok-5ecret-Zq81" /* of every call */
#define SECRET_HOOK "hook-5ecret-Xv42" /* of callbacks */
#define SECRET_PARAM "par-5ecret-Wm63" /* a parameter of type secret */
#define CALLBACK_KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* Work at the upstream. */
struct job {
    char id[12];
    struct seen *seen;
    size_t step;                        /* that began it */
    int64_t born_ms, visible_ms;        /* mono; it is found from then on */
    int64_t ends_ms, stops_ms, blip_ms; /* mono; 0: never */
    const char *end, *mid;              /* its words: at last, and before */
    bool go;                            /* what `when` asks for */
    int obeys;                          /* what becomes of a cancel: see upstream.c */
    char key[80];                       /* its idempotency key */
};

/* What the model has seen of a step of a run, from outside. */
struct seen_step {
    unsigned sends, acted, probes;
    bool doubtful, nothing_found; /* the durable record or the network leaves it open; a probe has said no since */
    bool was_doubtful;            /* ever */
    unsigned said_ok, said_bad, said_gone, said_unknown; /* by replies and callbacks that the gateway took */
    unsigned ok_in_a_row;
    int64_t ok_since_ms; /* wall; 0: it is not */
    bool calm;           /* its last reply was an answer, and no callback came since */
    unsigned answered;   /* with an expected code */
    int64_t called_ms;   /* mono; the last time */
    char key[80];
    bool called_ok;                             /* by a callback */
    bool callback_owed;                         /* one that decides was acknowledged */
    struct job *job;                            /* that it began, or looked at */
    unsigned intended_sends, intended_restarts; /* when the record said first that it is being sent */
};

/* What the model has seen of a run. */
struct seen {
    char id[STORE_ID_SIZE], key[24], app[8];
    struct stage *stage;        /* a reference: the definition that it began with; NULL until it is known */
    bool acknowledged, advance; /* advance: canceled before it was started */
    bool forgotten;             /* it was in memory alone, and that is gone */
    bool cancel_acknowledged, cancel_acknowledged_in_time;
    bool told_end;
    char end_word[16];
    struct seen_step steps[WORLD_STEPS];
    unsigned messages; /* different ones, by those who may call back */
    unsigned sends, cancel_sends, cancel_accepted, checks_said_end;
    int64_t looked_before_ms, looked_ms, read_ms; /* mono; the last look began, and was over at the latest */
    unsigned restarts;                            /* of the gateway while it was in flight */
    char definition[65];
    bool callback_taken[WORLD_HOOKS];
};

struct image {
    struct store_record record; /* its texts are on the heap */
    bool cancel_wanted, timed_out;
    bool taken_away;         /* by somebody else; it is only what the disk had */
    bool queued, was_queued; /* now; when the process began */
    int64_t step, calls;
};

/* One that may call back, since a call told it where. */
struct hook {
    struct seen *seen;
    size_t step; /* that waits */
    struct job *job;
    char token[112];
    bool early_sent;
    unsigned sent, taken; /* of the end's message */
    int64_t due_ms;
    bool given_up;
};

enum fate {
    FATE_ANSWERED,
    FATE_NEVER_SENT,
    FATE_LOST_BEFORE,
    FATE_LOST_AFTER,
    FATE_STALL,
    FATE_STALL_ACTED,
    FATE_TOO_LARGE
};

struct transfer {
    bool used, arrived, aborted;
    const struct request *request;
    struct arena *arena;
    void (*done)(void *arg, const struct reply *reply);
    void *arg;
    unsigned engine;
    enum fate fate;
    int64_t began_ms, arrives_ms, ends_ms; /* mono */
    /* of the request, copied: the engine's memory may be gone when it arrives */
    char path[160], kind[12], definition[8], key[80], hook[200], auth[40];
    struct seen *seen;
    size_t step;
    /* the answer */
    int code;
    char body[640], location[64], retry_after[16], word[16];
    bool said_nothing; /* of a probe: there is no work */
};

struct client {
    bool used;
    struct ask *ask;
    enum ask_kind kind;
    char key[24], id[STORE_ID_SIZE];
    int hook, message; /* of a callback: which, and which of its messages */
    bool forged, named;
    const struct job *job;
    const char *word;
};

struct world {
    uint64_t seed, random;
    bool tracing, dying;
    int64_t mono_ms, wall_off_ms;
    unsigned engines_count;
    struct engines engines;
    struct engine *items[WORLD_LOOPS];
    struct gate *gate;
    struct holds holds;
    struct recovery *recovery;
    struct stage *stages[2]; /* two versions of the definition */
    char *texts[2];
    unsigned version;   /* in force */
    size_t cancel_step; /* whose job the cancel call names; WORLD_STEPS: none */
    /* the loop */
    struct loop_timer *timers[WORLD_TIMERS];
    size_t timer_count;
    struct posted {
        void (*fn)(void *);
        void *arg;
    } posts[WORLD_POSTS];
    size_t post_first, post_count;
    /* the disk */
    struct image images[WORLD_RUNS];
    size_t image_count;
    struct pinned {
        char hash[65];
        char *source;
    } pinned[2];
    size_t pinned_count;
    struct store_op *ops[WORLD_OPS];
    int64_t op_due_ms[WORLD_OPS];
    size_t op_count;
    int64_t broken_until_ms;
    /* the network and the upstream */
    struct transfer calls[WORLD_CALLS];
    struct job jobs[WORLD_JOBS];
    size_t job_count;
    struct hook hooks[WORLD_HOOKS];
    size_t hook_count;
    struct seen seen[WORLD_RUNS];
    size_t seen_count;
    int trouble; /* of 100 calls, how many go wrong */
    int64_t down_until_ms;
    int64_t quiet_until_ms; /* wall; 0: none. For all loops */
    int64_t quiet_asked_ms; /* mono; when that began */
    bool stopping;          /* in order: nothing begins any more */
    int64_t changed_ms;     /* mono; the last call that changes things, in this life; 0: none */
    /* clients */
    struct client clients[WORLD_ASKS];
    unsigned starts_left, reads_left;
    int64_t next_start_ms, next_look_ms;
    /* disturbances */
    unsigned disturbances, every;
    unsigned restarts, jumps, breaks, reloads;
    int64_t set_back_ms;
    int64_t last_disturbance_ms;
    unsigned events;
};

extern struct world world;

/* ---- chance ---- */
uint32_t chance(void);
uint32_t below(uint32_t n);
bool one_in(uint32_t n);

/* ---- telling ---- */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define TRACE(...) (world.tracing ? trace(__VA_ARGS__) : (void)0)

/* ---- world.c ---- */
int64_t world_wall_ms(void);
struct loop *world_loop(unsigned index);
bool world_next(void); /* the next thing that happens by itself; false: nothing is going to */
void world_boot(void);
void world_replace_definition(void);
void world_kill(void); /* kill -9 */
void world_stop(void); /* SIGTERM, as far as the engines have a part in it */
void world_begin(uint64_t seed);
void world_end(void);
void world_fini(void); /* behind the last */
struct image *world_image(const char *id);
int64_t record_int(struct text body, const char *name);

/* ---- definitions.c ---- */
void definition_make(unsigned version, struct buf *out);
void definition_pick(void); /* draws the scenario's definition */

/* ---- upstream.c ---- */
void upstream_note(struct transfer *call); /* what the request says */
void upstream_arrives(struct transfer *call);
void upstream_call_back(struct hook *hook);
const char *job_word(const struct job *job);
bool word_is_ok(const char *word);

/* ---- clients.c ---- */
void client_start(void);
void client_look(void);
void client_cancel(void);
void client_call_back(int hook, const char *word, int message, bool forged, bool named);
bool client_waits(void);
struct seen *seen_find(const char *id);
struct seen *seen_make(const char *id);

#endif
