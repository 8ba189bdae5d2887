/* Transfers: calls to upstreams, in the loop's own thread. */
#ifndef BACK_TRANSFER_H
#define BACK_TRANSFER_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/loop.h"
#include "call/reply.h"
#include "call/request.h"

struct upstream_settings {
    const char *user_agent; /* "stagedoor/0.1.0" */
    size_t max_connections; /* kept open for reuse, a loop, besides those at work */
};

struct upstream; /* one a loop: the pool of connections */

void upstream_global_init(void); /* once, before threads */
struct upstream *upstream_new(struct loop *loop, const struct upstream_settings *settings);
void upstream_free(struct upstream *upstream); /* no transfer may be under way */

struct transfer;

/* Begins a call. `request` and what it points to are borrowed until `done` has been called; the reply lives in `arena`.
 * `done` is called exactly once, never before this has returned, never after transfer_cancel. The request is sent at
 * most once over the network if request->call->idempotent is false, also where a pooled connection dies under it. */
struct transfer *transfer_begin(struct upstream *upstream, const struct request *request, struct arena *arena,
                                void (*done)(void *arg, const struct reply *reply), void *arg);
void transfer_cancel(struct transfer *transfer);

#endif
