/* The store's front: picks the driver by the scheme of the URL, holds what is the same for all of them, and sees to it
 * that records on disk and those in memory are one store.
 *
 * A driver does the work and the waiting; here is no thread and no queue. Called by the engine (writes), the API
 * (reads) and main (open, recovery, close). An op is answered by a message to its loop, so `done` never runs inside a
 * call of store_submit, nor on a thread of the store.
 *
 * A start of a run in memory with a key has to find a run on disk that has it, without waiting for the disk where there
 * cannot be one: so it is known of which stages the disk has runs. */
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/index.h"
#include "store/driver.h"
#include "store/memory.h"
#include "store/sqlite.h"

#define ANSWERS_AT_ONCE 16
#define SAVES_AT_ONCE 256 /* each takes memory until it is on the disk */

struct keyed { /* a stage of which the disk has runs */
    struct index_link link;
    struct keyed *next;
    char name[];
};

struct store {
    const struct store_driver *driver;
    void *state;
    struct memory *memory;
    pthread_mutex_t lock; /* guards what follows */
    struct index stages;
    struct keyed *first;
    size_t saving, unsaved; /* when it is closed */
    pthread_cond_t saved;
};

static const struct store_driver *const drivers[] = {&sqlite_driver};

static const struct store_driver *driver_find(struct text scheme) {
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (text_is(scheme, drivers[i]->scheme)) return drivers[i];
    return NULL;
}

/* ---- stages of which the disk has runs ---- */

static bool same_stage(const void *owner, const void *name) {
    return strcmp(((const struct keyed *)owner)->name, name) == 0;
}

static void note_stage(void *arg, const char *name) {
    struct store *store = arg;
    uint32_t hash = index_hash(text_of(name), (struct text){0});
    pthread_mutex_lock(&store->lock);
    if (!index_find(&store->stages, hash, same_stage, name)) {
        size_t size = strlen(name) + 1;
        struct keyed *keyed = mem_alloc(sizeof *keyed + size);
        memcpy(keyed->name, name, size);
        keyed->next = store->first;
        store->first = keyed;
        index_add(&store->stages, &keyed->link, hash, keyed);
    }
    pthread_mutex_unlock(&store->lock);
}

static bool may_be_on_disk(struct store *store, const struct store_record *record) {
    if (!record->key) return false;
    pthread_mutex_lock(&store->lock);
    bool known = index_find(&store->stages, index_hash(text_of(record->stage), (struct text){0}), same_stage,
                            record->stage);
    pthread_mutex_unlock(&store->lock);
    return known;
}

/* ---- opening and closing ---- */

static void release(struct store *store) {
    while (store->first) {
        struct keyed *keyed = store->first;
        store->first = keyed->next;
        mem_free(keyed);
    }
    index_fini(&store->stages);
    pthread_cond_destroy(&store->saved);
    pthread_mutex_destroy(&store->lock);
    memory_free(store->memory);
    mem_free(store);
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
    store->driver = driver;
    store->state = state;
    store->memory = memory_new(settings->max_kept);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->saved, NULL);
    if (driver->each_stage(state, note_stage, store, fault)) return store;
    driver->close(state);
    release(store);
    return NULL;
}

struct farewell { /* of a run that was kept in memory */
    struct store_op op;
    struct arena *arena;
    struct store_source *source;
};

static void on_saved(struct store_op *op) {
    struct farewell *farewell = op->arg;
    struct store *store = op->store;
    bool saved = op->outcome == STORE_DONE;
    store_op_fini(op);
    store_source_unref(farewell->source);
    arena_free(farewell->arena);
    pthread_mutex_lock(&store->lock);
    store->unsaved += !saved;
    store->saving--;
    pthread_cond_signal(&store->saved);
    pthread_mutex_unlock(&store->lock);
}

static struct farewell *take_next(struct store *store) {
    struct arena *arena = arena_new();
    struct farewell *farewell = arena_new_of(arena, struct farewell);
    farewell->arena = arena;
    farewell->source = memory_take(store->memory, arena, &farewell->op.record);
    if (farewell->source) return farewell;
    arena_free(arena);
    return NULL;
}

static void save(struct store *store, struct farewell *farewell) {
    pthread_mutex_lock(&store->lock);
    while (store->saving == SAVES_AT_ONCE) pthread_cond_wait(&store->saved, &store->lock);
    store->saving++;
    pthread_mutex_unlock(&store->lock);
    farewell->op.kind = STORE_INSERT;
    farewell->op.done = on_saved;
    farewell->op.arg = farewell;
    farewell->op.store = store;
    farewell->op.record.in_memory = false;
    farewell->op.definition_source = farewell->source->definition;
    store->driver->submit(store->state, &farewell->op);
}

size_t store_close(struct store *store) {
    struct farewell *farewell;
    if (!store) return 0;
    while ((farewell = take_next(store))) save(store, farewell);
    store->driver->close(store->state);
    size_t unsaved = store->unsaved;
    release(store);
    return unsaved;
}

/* ---- operations ---- */

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

/* It was answered without waiting. */
static bool answer_soon(struct store_op *op) {
    loop_later(op->loop, call_done, op);
    return true;
}

static void insert_in_memory(struct store *store, struct store_op *op) {
    if (memory_insert(store->memory, &op->record)) op->outcome = STORE_DONE;
    else if (op->record.key && memory_find_key(store->memory, op)) op->outcome = STORE_EXISTS;
    else fault_set(&op->fault, FAULT_CONFLICT, NULL, "a run with the id %s exists already", op->record.id);
}

/* Has the disk a run with the key? Answered on a thread of the store, so that none is left when that is closed. */
struct inquiry {
    struct store_op op;
    struct store_op *for_it;
};

static void on_inquired(struct store_op *op) {
    struct inquiry *inquiry = op->arg;
    struct store_op *for_it = inquiry->for_it;
    if (op->outcome == STORE_MISSING) {
        insert_in_memory(op->store, for_it);
    } else {
        for_it->outcome = op->outcome == STORE_DONE ? STORE_EXISTS : STORE_FAILED;
        for_it->fault = op->fault;
        for_it->found = op->found;
        for_it->found_count = op->found_count;
        for_it->results = op->results;
    }
    mem_free(inquiry);
    store_answer(for_it);
}

static bool inquire(struct store *store, struct store_op *op) {
    struct inquiry *inquiry = mem_alloc(sizeof *inquiry);
    inquiry->for_it = op;
    inquiry->op = (struct store_op){
        .kind = STORE_FIND_KEY, .done = on_inquired, .arg = inquiry, .store = store, .record = op->record};
    store->driver->submit(store->state, &inquiry->op);
    return true;
}

static bool insert(struct store *store, struct store_op *op) {
    if (op->record.in_memory) {
        if (may_be_on_disk(store, &op->record)) return inquire(store, op);
        insert_in_memory(store, op);
        return answer_soon(op);
    }
    memory_drop(store->memory, op->record.id);
    if (op->record.key && memory_find_key(store->memory, op)) {
        op->outcome = STORE_EXISTS;
        return answer_soon(op);
    }
    if (op->record.key) note_stage(store, op->record.stage);
    return false;
}

static bool update(struct store *store, struct store_op *op) {
    if (!op->record.in_memory) return false;
    op->outcome = memory_update(store->memory, &op->record) ? STORE_DONE : STORE_MISSING;
    return answer_soon(op);
}

/* False: it is the driver's. */
static bool carry_out(struct store *store, struct store_op *op) {
    switch (op->kind) {
    case STORE_INSERT: return insert(store, op);
    case STORE_UPDATE: return update(store, op);
    case STORE_GET: return memory_get(store->memory, op) && answer_soon(op);
    case STORE_FIND_KEY: return memory_find_key(store->memory, op) && answer_soon(op);
    case STORE_LIST:
        if (op->filter.before_id) memory_place(store->memory, op->filter.before_id, &op->cursor);
        return false;
    case STORE_AT:
    case STORE_SETTLE: return false; /* of the disk alone */
    case STORE_PRUNE: memory_prune(store->memory, op->before_ms); return false;
    }
    return false;
}

void store_submit(struct store *store, struct store_op *op) {
    assert(op->loop && op->done);
    op->outcome = STORE_FAILED;
    fault_clear(&op->fault);
    op->found = NULL;
    op->found_count = 0;
    op->passed = 0;
    op->more = false;
    op->results = NULL;
    op->next = NULL;
    op->store = store;
    op->cursor = (struct store_place){0};
    if (!carry_out(store, op)) store->driver->submit(store->state, op);
}

void store_op_fini(struct store_op *op) {
    arena_free(op->results);
    op->results = NULL;
    op->found = NULL;
    op->found_count = 0;
}

void store_source_unref(struct store_source *source) {
    if (source && atomic_fetch_sub(&source->references, 1) == 1) source->end(source);
}

void store_keep(struct store *store, const char *id, struct store_source *source) {
    memory_keep(store->memory, id, source);
}

bool store_recall(struct store *store, struct arena *arena, struct store_record *record) {
    return memory_recall(store->memory, arena, record);
}

bool store_ready(const struct store *store) {
    return store->driver->ready(store->state);
}

bool store_is_behind(const struct store *store, int64_t now_ms) {
    return store->driver->behind(store->state, now_ms);
}

bool store_takes(const struct store *store, bool in_memory) {
    return in_memory || store_ready(store);
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

static void answer_here(struct store_op *op) {
    while (op) {
        struct store_op *next = op->next;
        op->done(op);
        op = next;
    }
}

/* One message to a loop, so that a loop that shares a core with the store's threads is woken once a commit. */
void store_answer(struct store_op *first) {
    for (struct store_op *op = first; op; op = op->next)
        if (op->kind == STORE_LIST && op->outcome == STORE_DONE) memory_merge(op->store->memory, op);
    while (first) {
        struct loop *loop = first->loop;
        struct store_op *ops = take_those_of(loop, &first);
        if (loop) loop_post(loop, call_done, ops);
        else answer_here(ops); /* nobody's */
    }
}

struct arena *store_results(struct store_op *op) {
    if (!op->results) op->results = arena_new();
    return op->results;
}
