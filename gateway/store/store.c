/* The store's front: picks the driver by the scheme of the URL, and holds what is the same for all of them.
 *
 * A driver does the work and the waiting; here is no thread and no queue. Called by the engine (writes), the API
 * (reads) and main (open, recovery, close). An op is answered by a message to its loop, so `done` never runs inside a
 * call of store_submit, nor on a thread of the store. */
#include "store/store.h"

#include <assert.h>
#include <string.h>

#include "store/driver.h"
#include "store/sqlite.h"

#define ANSWERS_AT_ONCE 16

struct store {
    const struct store_driver *driver;
    void *state;
};

static const struct store_driver *const drivers[] = {&sqlite_driver};

static const struct store_driver *driver_find(struct text scheme) {
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (text_is(scheme, drivers[i]->scheme)) return drivers[i];
    return NULL;
}

struct store *store_open(const struct store_settings *settings, struct fault *fault) {
    const char *colon = strchr(settings->url, ':');
    struct text scheme = {settings->url, colon ? (size_t)(colon - settings->url) : 0};
    const struct store_driver *driver = driver_find(scheme);
    if (!driver) { /* the URL itself may hold a password: only its scheme is told */
        if (colon)
            fault_set(fault, FAULT_UNSUPPORTED, "store", "no store is called '%.*s'; use sqlite:PATH",
                      TEXT_ARG(scheme));
        else fault_set(fault, FAULT_INVALID, "store", "a store is written as sqlite:PATH");
        return NULL;
    }
    void *state = driver->open(colon + 1, settings, fault);
    if (!state) return NULL;
    struct store *store = mem_alloc(sizeof *store);
    *store = (struct store){.driver = driver, .state = state};
    return store;
}

void store_close(struct store *store) {
    if (!store) return;
    store->driver->close(store->state);
    mem_free(store);
}

void store_submit(struct store *store, struct store_op *op) {
    assert(op->loop && op->done);
    op->outcome = STORE_FAILED;
    op->fault = (struct fault){0};
    op->found = NULL;
    op->found_count = 0;
    op->passed = 0;
    op->more = false;
    op->results = NULL;
    op->next = NULL;
    store->driver->submit(store->state, op);
}

void store_op_fini(struct store_op *op) {
    arena_free(op->results);
    op->results = NULL;
    op->found = NULL;
    op->found_count = 0;
}

bool store_ready(const struct store *store) {
    return store->driver->ready(store->state);
}

bool store_places(struct store *store, int64_t **ret_places, size_t *ret_count, struct fault *fault) {
    return store->driver->places(store->state, ret_places, ret_count, fault);
}

char *store_definition(struct store *store, const char *hash, struct fault *fault) {
    return store->driver->definition(store->state, hash, fault);
}

char *store_key(struct store *store, struct fault *fault) {
    return store->driver->key(store->state, fault);
}

/* ---- for drivers ---- */

/* The others wait behind what else came to the loop. */
static void call_done(void *arg) {
    struct store_op *op = arg;
    struct loop *loop = op->loop;
    for (int i = 0; op && i < ANSWERS_AT_ONCE; i++) {
        struct store_op *next = op->next; /* once answered, the op may be gone */
        op->done(op);
        op = next;
    }
    if (op) loop_post(loop, call_done, op);
}

static struct store_op *take_those_of(struct loop *loop, struct store_op **at) {
    struct store_op *taken = NULL, **last = &taken;
    while (*at) {
        struct store_op *op = *at;
        if (op->loop != loop) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        *last = op;
        last = &op->next;
    }
    *last = NULL;
    return taken;
}

/* One message to a loop, so that a loop that shares a core with the store's threads is woken once a commit. */
void store_answer(struct store_op *first) {
    while (first) {
        struct loop *loop = first->loop;
        loop_post(loop, call_done, take_those_of(loop, &first));
    }
}

struct arena *store_results(struct store_op *op) {
    if (!op->results) op->results = arena_new();
    return op->results;
}
