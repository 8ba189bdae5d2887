/* What an engine knows of its stages' past: how long their runs took. Belongs to one loop. */
#ifndef RUN_PAST_H
#define RUN_PAST_H

#include "base/index.h"
#include "base/loop.h"
#include "call/history.h"
#include "store/store.h"

struct past;

struct pasts {
    struct index by_stage;
    struct past *first;
};

/* The history of a stage, by name; it lives as long as `pasts`. At the first question the store is asked for the newest
 * runs that succeeded, and what it answers comes in later. `store` may be NULL: nothing is asked. */
struct history *pasts_find(struct pasts *pasts, struct loop *loop, struct store *store, const char *stage);
void pasts_fini(struct pasts *pasts); /* after the store is closed */

#endif
