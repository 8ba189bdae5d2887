/* The engine: a loop's runs. Every run belongs to one loop, found from its id (run/id). */
#ifndef RUN_ENGINE_H
#define RUN_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "back/transfer.h"
#include "base/fault.h"
#include "base/loop.h"
#include "run/gate.h"
#include "run/holds.h"
#include "run/run.h"
#include "store/store.h"

struct engine_settings {
    size_t max_runs;          /* in flight, a loop */
    const char *callback_key; /* store_key's; borrowed. NULL: callback.url is not known */
    const char *callback_url; /* what callback.url begins with, without a slash at its end; borrowed. NULL or "": … */
    struct gate *gate;        /* of the process; NULL: nothing is limited */
    struct holds *holds;      /* of the process; NULL: what upstreams ask for, others do not wait for */
    struct contracts *contracts;   /* of the process; NULL: nobody watches what upstreams send */
    const struct engines *engines; /* all of them; only with a gate */
};

struct engine;

struct engine *engine_new(struct loop *loop, struct upstream *upstream, struct store *store,
                          const struct engine_settings *settings);
struct loop *engine_loop(const struct engine *engine);
void engine_limit(struct engine *engine, size_t max_runs);     /* for starts from now on; on its loop */
void engine_call_back(struct engine *engine, const char *url); /* settings.callback_url from now on; on its loop */

/* After the loop has ended and before the store is closed: nothing is written any more. */
void engine_detach(struct engine *engine);
/* After that, while the loops exist: who still waits is told to try again. */
void engine_dismiss(struct engine *engine);
void engine_free(struct engine *engine); /* after the loop has ended; runs in flight stay in the store */

/* After a restart (run/recovery). Before the loop runs: runs are to come from the store, about so many. */
void engine_expect(struct engine *engine, size_t about);
bool engine_expects(const struct engine *engine); /* some may still be to come */
/* Then on the engine's loop: a run from the store goes on in the engine that owns it. `number` is its place in the
 * order of all that come, from 1 on. `stage` may be NULL with a fault that says why. An engine that drains leaves the
 * run to the next process. */
void engine_resume(struct engine *engine, const struct store_record *record, uint64_t number, struct stage *stage,
                   const struct fault *why);
void engine_put_off(struct engine *engine);     /* they cannot be read now: who waits for one is to try again */
void engine_supersede(struct engine *engine);   /* all engines have all of theirs: what superseded is told again */
void engine_expect_none(struct engine *engine); /* then, with the gate open: who waited for one of them goes on */

/* On the loop's thread: begins no more calls, answers who waits, ends calls that may be repeated at once and waits for
 * the others; `done` is called when nothing is under way and all is recorded. */
void engine_drain(struct engine *engine, void (*done)(void *arg), void *arg);

/* The same in steps, where another process takes over. First: calls that may not be repeated are held back, all else
 * goes on; `done` is called when none of them is under way, which may be never: the deadline is the caller's. */
void engine_settle(struct engine *engine, void (*done)(void *arg), void *arg);
void engine_unsettle(struct engine *engine); /* nobody takes over after all; `done` is not called any more */
/* Then: begins no more calls, as engine_drain, yet starts are still recorded; the other process makes their calls. Goes
 * before engine_drain. */
void engine_hand_over(struct engine *engine);

/* All loops' engines; read-only after start. */
struct engines {
    struct engine **items;
    unsigned count;
};

#endif
