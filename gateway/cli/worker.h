/* A worker: one loop with its thread, listener, upstream side and runs. */
#ifndef CLI_WORKER_H
#define CLI_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "config/settings.h"
#include "front/api.h"
#include "front/listener.h"

struct worker {
    struct loop *loop;
    struct upstream *upstream;
    struct engine *engine;
    struct listener *listener;
    struct api api;
    pthread_t thread;
    bool running, listener_drained, engine_drained;
    void (*drained)(void *arg, struct worker *worker); /* on the worker's loop */
    void *drained_arg;
};

/* What callbacks need: the key their tokens are signed with, and the URL that upstreams are told. Borrowed for good. */
struct worker_callbacks {
    const char *key, *url; /* url "": there is none to tell */
};

/* What all loops share under locks of its own. */
struct worker_shared {
    struct gate *gate;
    struct holds *holds;
    struct contracts *contracts;
    int64_t max_connections; /* of clients */
};

unsigned worker_count(const struct settings *settings); /* `loops`, or one a core */

/* Everything but the thread. `engines->items[loop_index]` is set to the worker's engine. */
void worker_init(struct worker *worker, unsigned index, const struct settings *settings, struct store *store,
                 const struct worker_callbacks *callbacks, const struct worker_shared *shared, struct engines *engines);
bool worker_listen(struct worker *worker, struct listen_socket *const *sockets, size_t count, struct tls_context *tls,
                   struct fault *fault);
bool worker_start(struct worker *worker, struct fault *fault);
void worker_fini(struct worker *worker); /* after worker_join, and after the store was closed */
void worker_join(struct worker *worker); /* stops the loop, and waits for its thread */

/* From the main thread: the worker takes it over on its own loop, at its next pass. */
void worker_offer(struct worker *worker, struct catalog *catalog); /* takes a reference of its own */
/* public_url, max_runs, queue_timeout, and the URL of callbacks; borrowed for good */
void worker_tune(struct worker *worker, const struct settings *settings, const char *callback_url);
void worker_admit(struct worker *worker, struct callers *callers); /* the same */
void worker_renew_tls(struct worker *worker, struct tls_context *tls,
                      int *holders); /* TAKES a share: the last holder frees both */
void worker_drain(struct worker *worker, void (*drained)(void *arg, struct worker *worker), void *arg);

/* The steps by which another process takes over (cli/upgrade), in this order. `done` is called on the worker's loop, at
 * most once a step, and not for the step before. */
enum worker_step { WORKER_LEAVE, WORKER_SETTLE, WORKER_RETIRE, WORKER_EMPTY };
void worker_step(struct worker *worker, enum worker_step step, void (*done)(void *arg), void *arg);
void worker_stay(struct worker *worker); /* after the first two: nobody takes over */

#endif
