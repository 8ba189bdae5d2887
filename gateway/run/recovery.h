/* Recovery: after a restart, every run of the store that has not ended goes on in the engine that owns it. */
#ifndef RUN_RECOVERY_H
#define RUN_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "run/engine.h"
#include "run/gate.h"
#include "stage/catalog.h"
#include "store/store.h"

struct recovery {
    const struct engines *engines;
    struct store *store;
    const struct catalog *catalog;       /* a definition that is in force is not compiled again */
    const struct stage_context *context; /* for those that are not in force any more */
    struct gate *gate;                   /* NULL: there are no limits */
};

/* Before the loops run; blocking. A run whose definition is no use any more ends as TERMINAL. False, with a fault,
 * where the store cannot be read. */
bool recovery_resume(const struct recovery *recovery, size_t *ret_count, struct fault *fault);

#endif
