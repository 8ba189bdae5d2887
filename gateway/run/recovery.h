/* Recovery: after a restart, every run of the store that has not ended goes on in the engine that owns it, while the
 * loops are at work already. */
#ifndef RUN_RECOVERY_H
#define RUN_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/loop.h"
#include "run/engine.h"
#include "run/gate.h"
#include "store/store.h"

#define RECOVERY_SLICE 512 /* runs; read and decoded in some milliseconds */

struct recovery_settings {
    const struct engines *engines;
    struct store *store;
    struct gate *gate; /* opened when all runs are back; NULL: there are no limits */
    struct loop *loop; /* whose thread leads all this; it may be one of the engines' */
    size_t slice;      /* so many runs at a time */
    /* GIVES the definition with that hash; NULL with a fault. On `loop`, once a hash: compiling takes far longer than
     * reading a run */
    struct stage *(*find_stage)(void *arg, const char *hash, struct fault *fault);
    void (*done)(void *arg, size_t count); /* on `loop`: all are back. Not after recovery_stop */
    void *arg;
};

struct recovery;

/* Before the loops run: finds out which runs there are, and has the engines expect them. Blocking. GIVES; NULL with a
 * fault where the store cannot be read. Where there are none, it is over at once: `done` is called in here. */
struct recovery *recovery_new(const struct recovery_settings *settings, struct fault *fault);
void recovery_begin(struct recovery *recovery);         /* on the loop, or before it runs; once */
bool recovery_is_over(const struct recovery *recovery); /* on the loop; NULL is over */
void recovery_stop(
    struct recovery *recovery); /* on the loop, or when it has ended: nothing more is read. NULL is allowed
                                 */
void recovery_free(struct recovery *recovery); /* after all loops were flushed; NULL is allowed */

#endif
