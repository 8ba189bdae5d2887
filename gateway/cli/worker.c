/* One loop of the gateway, put together; and the messages by which the main thread changes what it works with.
 *
 * A worker's catalog and callers belong to its loop: the main thread posts new ones, and the loop swaps its reference.
 * So a request never waits for a lock, and what it was given stays whole until it is done. */
#include "cli/worker.h"

#include <string.h>
#include <unistd.h>

#include "back/transfer.h"
#include "base/mem.h"

struct message {
    struct worker *worker;
    struct catalog *catalog;
    struct callers *callers;
    const struct settings *settings;
    const char *callback_url;
    struct tls_context *tls;
    int *holders;
};

/* A loop's part of a limit that holds for the gateway. */
static size_t share_of(int64_t limit, unsigned loops) {
    return ((size_t)limit + loops - 1) / loops;
}

unsigned worker_count(const struct settings *settings) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return settings->loops ? (unsigned)settings->loops : cores > 0 ? (unsigned)cores : 1;
}

void worker_init(struct worker *worker, unsigned index, const struct settings *settings, struct store *store,
                 const struct worker_callbacks *callbacks, const struct worker_shared *shared,
                 struct engines *engines) {
    worker->loop = loop_new(index);
    worker->upstream = upstream_new(
        worker->loop, &(struct upstream_settings){.user_agent = settings->user_agent, .max_connections = 256});
    worker->engine = engine_new(worker->loop, worker->upstream, store,
                                &(struct engine_settings){.max_runs = share_of(settings->max_runs, engines->count),
                                                          .callback_key = callbacks->key,
                                                          .callback_url = callbacks->url,
                                                          .gate = shared->gate,
                                                          .holds = shared->holds,
                                                          .contracts = shared->contracts,
                                                          .engines = engines});
    engines->items[index] = worker->engine;
    worker->api = (struct api){.loop = worker->loop,
                               .engines = engines,
                               .store = store,
                               .contracts = shared->contracts,
                               .public_url = settings->public_url,
                               .callback_key = callbacks->key,
                               .admission = admission_new(worker->loop, store, settings->queue_timeout_ms),
                               .admission_in_memory = admission_new(worker->loop, NULL, settings->queue_timeout_ms),
                               .open = settings->open,
                               .json = {.max_bytes = (size_t)settings->max_body_size_bytes,
                                        .max_depth = (size_t)settings->max_json_depth,
                                        .max_items = (size_t)settings->max_json_items}};
    worker->listener = listener_new(
        worker->loop,
        &(struct listener_settings){.limits = {.max_head_bytes = (size_t)settings->max_header_size_bytes,
                                               .max_headers = (size_t)settings->max_headers,
                                               .max_body_bytes = (size_t)settings->max_body_size_bytes,
                                               .max_connections = share_of(shared->max_connections, engines->count),
                                               .head_timeout_ms = settings->head_timeout_ms,
                                               .body_timeout_ms = settings->body_timeout_ms,
                                               .idle_timeout_ms = settings->idle_timeout_ms,
                                               .write_timeout_ms = settings->write_timeout_ms},
                                    .handle = api_handle,
                                    .turn_away = api_turn_away,
                                    .refuse = api_refuse,
                                    .arg = &worker->api});
}

bool worker_listen(struct worker *worker, struct listen_socket *const *sockets, size_t count, struct tls_context *tls,
                   struct fault *fault) {
    for (size_t i = 0; i < count; i++)
        if (!listener_add(worker->listener, sockets[i], listen_socket_wants_tls(sockets[i]) ? tls : NULL, fault))
            return false;
    return true;
}

static void *thread_main(void *arg) {
    struct worker *worker = arg;
    loop_run(worker->loop);
    return NULL;
}

bool worker_start(struct worker *worker, struct fault *fault) {
    if (pthread_create(&worker->thread, NULL, thread_main, worker) != 0)
        return fault_set(fault, FAULT_IO, NULL, "a thread for a loop cannot be started");
    worker->running = true;
    return true;
}

void worker_join(struct worker *worker) {
    if (!worker->running) return;
    loop_stop(worker->loop);
    pthread_join(worker->thread, NULL);
    worker->running = false;
}

void worker_fini(struct worker *worker) {
    if (!worker->loop) return;
    loop_flush(worker->loop);
    engine_free(worker->engine);
    listener_free(worker->listener);
    loop_flush(worker->loop);
    upstream_free(worker->upstream);
    admission_free(worker->api.admission);
    admission_free(worker->api.admission_in_memory);
    catalog_unref(worker->api.catalog);
    callers_unref(worker->api.callers);
    loop_free(worker->loop);
}

static void take(void *arg) {
    struct message *message = arg;
    struct api *api = &message->worker->api;
    if (message->catalog) {
        catalog_unref(api->catalog);
        api->catalog = message->catalog;
    }
    if (message->callers) {
        callers_unref(api->callers);
        api->callers = message->callers;
    }
    if (message->settings) {
        api->public_url = message->settings->public_url;
        admission_tune(api->admission, message->settings->queue_timeout_ms);
        admission_tune(api->admission_in_memory, message->settings->queue_timeout_ms);
        engine_limit(message->worker->engine, share_of(message->settings->max_runs, api->engines->count));
        engine_call_back(message->worker->engine, message->callback_url);
    }
    if (message->tls) {
        listener_renew_tls(message->worker->listener, message->tls);
        if (__atomic_sub_fetch(message->holders, 1, __ATOMIC_ACQ_REL) == 0) {
            tls_context_free(message->tls);
            mem_free(message->holders);
        }
    }
    mem_free(message);
}

static void post(const struct message *message) {
    struct message *copy = mem_alloc(sizeof *copy);
    *copy = *message;
    if (message->worker->running) loop_post(message->worker->loop, take, copy);
    else take(copy); /* at start, before there are threads */
}

void worker_offer(struct worker *worker, struct catalog *catalog) {
    post(&(struct message){.worker = worker, .catalog = catalog_ref(catalog)});
}

void worker_tune(struct worker *worker, const struct settings *settings, const char *callback_url) {
    post(&(struct message){.worker = worker, .settings = settings, .callback_url = callback_url});
}

void worker_admit(struct worker *worker, struct callers *callers) {
    post(&(struct message){.worker = worker, .callers = callers_ref(callers)});
}

void worker_renew_tls(struct worker *worker, struct tls_context *tls, int *holders) {
    post(&(struct message){.worker = worker, .tls = tls, .holders = holders});
}

static void look_drained(struct worker *worker) {
    if (worker->listener_drained && worker->engine_drained) worker->drained(worker->drained_arg, worker);
}

static void on_listener_drained(void *arg) {
    struct worker *worker = arg;
    worker->listener_drained = true;
    look_drained(worker);
}

static void on_engine_drained(void *arg) {
    struct worker *worker = arg;
    worker->engine_drained = true;
    look_drained(worker);
}

static void drain(void *arg) {
    struct worker *worker = arg;
    worker->api.draining = true;
    engine_drain(worker->engine, on_engine_drained, worker);
    listener_drain(worker->listener, on_listener_drained, worker);
}

void worker_drain(struct worker *worker, void (*drained)(void *arg, struct worker *worker), void *arg) {
    worker->drained = drained;
    worker->drained_arg = arg;
    loop_post(worker->loop, drain, worker);
}

/* ---- another process takes over ---- */

struct step {
    struct worker *worker;
    enum worker_step step;
    void (*done)(void *arg);
    void *arg;
};

static void take_step(void *arg) {
    struct step *step = arg;
    struct worker *worker = step->worker;
    switch (step->step) {
    case WORKER_LEAVE: listener_leave(worker->listener, step->done, step->arg); break;
    case WORKER_SETTLE: engine_settle(worker->engine, step->done, step->arg); break;
    case WORKER_RETIRE:
        engine_hand_over(worker->engine);
        listener_retire(worker->listener, step->done, step->arg);
        break;
    case WORKER_EMPTY: engine_drain(worker->engine, step->done, step->arg); break;
    }
    mem_free(step);
}

void worker_step(struct worker *worker, enum worker_step step, void (*done)(void *arg), void *arg) {
    struct step *message = mem_alloc(sizeof *message);
    *message = (struct step){.worker = worker, .step = step, .done = done, .arg = arg};
    loop_post(worker->loop, take_step, message);
}

static void stay(void *arg) {
    struct worker *worker = arg;
    listener_stay(worker->listener);
    engine_unsettle(worker->engine);
}

void worker_stay(struct worker *worker) {
    loop_post(worker->loop, stay, worker);
}
