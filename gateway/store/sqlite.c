/* The embedded store on SQLite: two connections, each with a thread of its own.
 *
 * The writer thread takes what waits, carries it out in one transaction, with what has come meanwhile, commits, and
 * only then answers: the fsync is shared by all (group commit). While it waits for the disk the next batch gathers. It
 * is the only one that writes or checkpoints; the reader's connection is read-only, so the WAL-reset bug of SQLite
 * before 3.51.3 (two connections that write or checkpoint at once) cannot be met. A slow list holds up no write.
 * Checkpoints are made in idle moments, or when the WAL passes WAL_MOST.
 *
 * A row that breaks a constraint fails alone. Any other error fails its whole batch, which is rolled back: `well` is
 * false until a commit succeeds again, and an idle writer tries one now and then, so that room made on the disk is
 * noticed. An op that failed is not known to be on disk; one that is done, is. */
#include "store/sqlite.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/count.h"
#include "store/opqueue.h"
#include "store/sqlite_file.h"
#include "store/sqlite_op.h"
#include "store/sqlite_room.h"
#include "store/sqlite_tail.h"

#define BATCH_OPS 1024
#define BATCH_OPS_ENOUGH 256 /* to share a sync among; where more wait, the disk is behind */
#define BATCH_OPS_LITTLE 8   /* after one that failed: its log may have been what there was no room for */
#define CRAMPED_BATCHES 256
#define BATCH_BYTES (16 << 20)
#ifdef TINY_LIMITS
#define WAL_MOST (1 << 20)
#else
#define WAL_MOST (16 << 20)
#endif
#define IDLE_MS 250   /* then what is in the WAL is moved to the file */
#define RETRY_MS 1000 /* after a commit that failed */

struct sqlite {
    struct sqlite_file file;
    struct opqueue *queue;
    pthread_mutex_t reading; /* the reader's connection: its thread, or a blocking call */
    pthread_t write_thread, read_thread;
    atomic_bool well;        /* the last commit was made */
    atomic_size_t unsettled; /* runs that have no rows */
    /* the writer thread's */
    int64_t wal_bytes;     /* not yet moved to the file */
    int64_t checkpoint_at; /* bytes of WAL */
    bool busy;             /* there was more than one op to the last batch */
    int cramped;           /* batches that are to be small, since one was too large for the disk */
};

/* ---- writing ---- */

static void fail(struct store_op *op, const struct fault *fault) {
    store_op_fini(op);
    op->outcome = STORE_FAILED;
    op->fault = *fault;
}

static void fail_with(struct sqlite *store, struct store_op *op, int rc) {
    struct fault fault;
    sqlite_op_fault(&fault, store->file.path, store->file.writer.db, rc);
    fail(op, &fault);
}

static int write_one(struct sqlite *store, struct store_op *op) {
    int rc = sqlite_op_write(&store->file.writer, op);
    if (!sqlite_op_fails_alone(rc)) return rc;
    fail_with(store, op, rc);
    return SQLITE_OK;
}

/* What has come while the batch was written belongs to its commit. */
static bool grow(struct sqlite *store, struct op_batch *batch) {
    size_t most = store->cramped > 0 ? BATCH_OPS_LITTLE : BATCH_OPS;
    return opqueue_take_writes(store->queue, batch, most, BATCH_BYTES, 0);
}

static int write_growing(struct sqlite *store, struct op_batch *batch) {
    bool spare = false;
    int rc = sqlite_op_begin(&store->file.writer, true);
    struct store_op **at = &batch->first;
    do {
        for (; *at && rc == SQLITE_OK; at = &(*at)->next) {
            spare = spare || (*at)->kind == STORE_INSERT;
            rc = write_one(store, *at);
        }
    } while (rc == SQLITE_OK && grow(store, batch));
    return rc == SQLITE_OK ? sqlite_file_commit(&store->file, spare) : rc;
}

/* With `starts`, or all but those: they fail then, for want of room. */
static int write_all(struct sqlite *store, struct store_op *first, bool starts) {
    bool spare = false;
    int rc = sqlite_op_begin(&store->file.writer, true);
    for (struct store_op *op = first; op && rc == SQLITE_OK; op = op->next) {
        if (op->kind == STORE_INSERT && !starts) {
            fail_with(store, op, SQLITE_FULL);
            continue;
        }
        spare = spare || op->kind == STORE_INSERT;
        rc = write_one(store, op);
    }
    return rc == SQLITE_OK ? sqlite_file_commit(&store->file, spare) : rc;
}

static bool is_full(int rc) {
    return (rc & 0xff) == SQLITE_FULL;
}

/* The log may hold the room that is wanted. */
static void make_room(struct sqlite *store) {
    pthread_mutex_lock(&store->reading);
    sqlite_room_make(&store->file.writer);
    pthread_mutex_unlock(&store->reading);
}

static int write_again(struct sqlite *store, struct store_op *first, bool starts) {
    sqlite_op_undo(&store->file.writer);
    for (struct store_op *op = first; op; op = op->next) {
        store_op_fini(op);
        op->fault = (struct fault){0};
    }
    store->file.writer.little_room = true;
    int rc = write_all(store, first, starts);
    store->file.writer.little_room = false;
    return rc;
}

/* Where there is no room for new runs, there may be for what becomes of the others. */
static int write_in_little_room(struct sqlite *store, struct store_op *first, bool *ret_starts) {
    sqlite_op_undo(&store->file.writer);
    make_room(store);
    int rc = write_again(store, first, true);
    bool starts = false, others = false;
    for (struct store_op *op = first; op; op = op->next) *(op->kind == STORE_INSERT ? &starts : &others) = true;
    *ret_starts = !is_full(rc) || !starts;
    return is_full(rc) && starts && others ? write_again(store, first, false) : rc;
}

static void count_outcomes(const struct store_op *first) {
    int64_t writes = 0, faults = 0;
    for (const struct store_op *op = first; op; op = op->next) {
        writes += op->outcome == STORE_DONE && op->kind != STORE_SETTLE;
        faults += op->outcome == STORE_FAILED;
    }
    count_add(COUNT_STORE_WRITES, writes);
    count_add(COUNT_STORE_FAULTS, faults);
}

/* Writes a page, and changes nothing. */
static int commit_nothing(struct sqlite *store, bool spare) {
    struct sqlite_connection *c = &store->file.writer;
    int rc = sqlite_op_begin(c, true);
    if (rc == SQLITE_OK) rc = sqlite_op_probe(c);
    if (rc == SQLITE_OK) rc = sqlite_file_commit(&store->file, spare);
    if (rc != SQLITE_OK) sqlite_op_undo(c);
    return rc;
}

/* Could a new run be taken? */
static void probe(struct sqlite *store) {
    int rc = commit_nothing(store, true);
    if (is_full(rc)) {
        make_room(store);
        rc = commit_nothing(store, true);
    }
    atomic_store(&store->well, rc == SQLITE_OK);
}

/* Under load, whoever waits for this core goes first, once: a loop among them hands over all that it has, and that is
 * one commit instead of one for the first record and another for the rest. On a core that nobody else needs, the writer
 * goes on at once. */
static void let_loops_go_first(const struct sqlite *store) {
    if (store->busy) sched_yield();
}

static void write_batch(struct sqlite *store, struct op_batch *batch) {
    let_loops_go_first(store);
    int64_t began = clock_mono_ms();
    int rc = write_growing(store, batch);
    struct store_op *first = batch->first;
    bool starts = true;
    if (store->cramped) store->cramped--;
    if (is_full(rc)) store->cramped = CRAMPED_BATCHES;
    if (is_full(rc)) rc = write_in_little_room(store, first, &starts);
    if (rc == SQLITE_OK) {
        count_add(COUNT_STORE_COMMITS, 1);
        count_observe(COUNT_HISTOGRAM_COMMIT_MS, clock_mono_ms() - began);
    } else {
        struct fault fault;
        sqlite_op_fault(&fault, store->file.path, store->file.writer.db, rc);
        sqlite_op_undo(&store->file.writer);
        for (struct store_op *op = first; op; op = op->next) fail(op, &fault);
    }
    /* After a sync that failed: what was refused loses its place in the log, so that a restart does not find it. */
    if ((rc & 0xff) == SQLITE_IOERR) commit_nothing(store, false);
    atomic_store(&store->well, rc == SQLITE_OK && starts);
    atomic_store(&store->unsettled, tail_count(&store->file.writer));
    count_outcomes(first);
    store->busy = batch->count > 1;
    opqueue_finish_writes(store->queue, batch->count);
    store_answer(first);
}

/* ---- the writer's thread ---- */

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages) {
    (void)db, (void)name;
    struct sqlite *store = arg;
    store->wal_bytes = pages * store->file.page_bytes;
    return SQLITE_OK;
}

/* A reader in the middle of a list keeps the newest pages in the log, and SQLite takes the others for moved without a
 * sync of the file: should a later one fail, they would be lost. So nobody reads meanwhile; a list that takes long puts
 * the move off, until the log is twice as long as it should be. */
static bool keep_readers_out(struct sqlite *store) {
    if (pthread_mutex_trylock(&store->reading) == 0) return true;
    return store->wal_bytes >= 2 * (int64_t)WAL_MOST && pthread_mutex_lock(&store->reading) == 0;
}

static void checkpoint(struct sqlite *store) {
    int pages = 0, moved = 0;
    store->checkpoint_at = store->wal_bytes + WAL_MOST / 4;
    if (!keep_readers_out(store)) return;
    int rc = sqlite3_wal_checkpoint_v2(store->file.writer.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
    pthread_mutex_unlock(&store->reading);
    if (rc != SQLITE_OK || moved != pages) return;
    store->checkpoint_at = WAL_MOST;
    store->wal_bytes = 0;
}

static int64_t idle_ms(const struct sqlite *store) {
    if (!atomic_load(&store->well)) return RETRY_MS;
    return store->wal_bytes ? IDLE_MS : -1;
}

static void idle(struct sqlite *store) {
    if (store->wal_bytes) checkpoint(store); /* also makes room in the WAL for the probe */
    if (!atomic_load(&store->well)) probe(store);
}

/* So that the file of a gateway that is stopped is whole for all who look at it. */
static void settle_last(struct sqlite *store) {
    struct store_op op = {.kind = STORE_SETTLE};
    if (tail_count(&store->file.writer) && write_all(store, &op, true) != SQLITE_OK)
        sqlite_op_undo(&store->file.writer);
}

static void *write_thread(void *arg) {
    struct sqlite *store = arg;
    for (;;) {
        struct op_batch batch = {0};
        size_t most = store->cramped > 0 ? BATCH_OPS_LITTLE : BATCH_OPS;
        bool any = opqueue_take_writes(store->queue, &batch, most, BATCH_BYTES, idle_ms(store));
        if (any) write_batch(store, &batch);
        else if (opqueue_drained(store->queue)) break;
        else idle(store);
        bool stuck = any && !atomic_load(&store->well); /* maybe for want of room, which an emptied WAL has */
        if (store->wal_bytes && (stuck || store->wal_bytes >= store->checkpoint_at)) checkpoint(store);
    }
    settle_last(store);
    return NULL;
}

static void sqlite_submit(void *state, struct store_op *op) {
    struct sqlite *store = state;
    if (opqueue_put(store->queue, op)) return;
    op->outcome = STORE_FAILED;
    fault_set(&op->fault, FAULT_BUSY, store->file.path, "too many operations wait for the disk");
    count_add(COUNT_STORE_FAULTS, 1);
    store_answer(op);
}

/* ---- reading ---- */

static void on_settled(struct store_op *op) {
    sem_post(op->arg);
}

/* Who reads sees rows alone: the writer gives them to all that were written until now. */
static bool settle(struct sqlite *store, struct fault *fault) {
    sem_t settled;
    struct store_op op = {.kind = STORE_SETTLE, .done = on_settled, .arg = &settled};
    sem_init(&settled, 0, 0);
    sqlite_submit(store, &op);
    while (sem_wait(&settled) != 0) continue; /* a signal came */
    sem_destroy(&settled);
    if (op.outcome != STORE_DONE && fault) *fault = op.fault;
    return op.outcome == STORE_DONE;
}

static bool read_one(struct sqlite *store, struct store_op *op, struct fault *fault) {
    struct sqlite_connection *c = &store->file.reader;
    pthread_mutex_lock(&store->reading);
    int rc = sqlite_op_begin(c, false); /* one view for the many statements of a list */
    if (rc == SQLITE_OK) rc = sqlite_op_read(c, op);
    if (rc != SQLITE_OK) sqlite_op_fault(fault, store->file.path, c->db, rc);
    if (!sqlite3_get_autocommit(c->db)) sqlite_op_commit(c);
    pthread_mutex_unlock(&store->reading);
    return rc == SQLITE_OK;
}

/* Most that are asked for are over, and have rows; places are of rows. */
static bool needs_rows(const struct sqlite *store, const struct store_op *op) {
    if (op->kind == STORE_LIST) return atomic_load(&store->unsettled) > 0;
    return op->kind != STORE_AT && tail_may_have(&store->file.writer, &op->record);
}

static void answer_read(struct sqlite *store, struct store_op *op) {
    struct fault fault;
    bool settled = !needs_rows(store, op) || settle(store, &fault);
    if (!settled || !read_one(store, op, &fault)) {
        fail(op, &fault);
        count_add(COUNT_STORE_FAULTS, 1);
    }
    store_answer(op);
}

static void *read_thread(void *arg) {
    struct sqlite *store = arg;
    struct store_op *op;
    while ((op = opqueue_take_read(store->queue))) answer_read(store, op);
    return NULL;
}

static bool sqlite_places(void *state, int64_t **ret_places, size_t *ret_count, struct fault *fault) {
    struct sqlite *store = state;
    if (atomic_load(&store->unsettled) && !settle(store, fault)) return false;
    pthread_mutex_lock(&store->reading);
    int rc = sqlite_op_places(&store->file.reader, ret_places, ret_count);
    if (rc != SQLITE_OK) sqlite_op_fault(fault, store->file.path, store->file.reader.db, rc);
    pthread_mutex_unlock(&store->reading);
    return rc == SQLITE_OK;
}

static bool sqlite_each_stage(void *state, void (*fn)(void *arg, const char *stage), void *arg, struct fault *fault) {
    struct sqlite *store = state;
    pthread_mutex_lock(&store->reading);
    int rc = sqlite_op_each_stage(&store->file.reader, fn, arg);
    if (rc != SQLITE_OK) sqlite_op_fault(fault, store->file.path, store->file.reader.db, rc);
    pthread_mutex_unlock(&store->reading);
    return rc == SQLITE_OK;
}

static char *sqlite_definition(void *state, const char *hash, struct fault *fault) {
    struct sqlite *store = state;
    char *source;
    pthread_mutex_lock(&store->reading);
    int rc = sqlite_op_definition(&store->file.reader, hash, &source);
    if (rc != SQLITE_OK) sqlite_op_fault(fault, store->file.path, store->file.reader.db, rc);
    else if (!source)
        fault_set(fault, FAULT_NOT_FOUND, store->file.path, "no definition with the hash %s is kept", hash);
    pthread_mutex_unlock(&store->reading);
    return source;
}

static char *sqlite_key(void *state, struct fault *fault) {
    struct sqlite *store = state;
    char *key;
    pthread_mutex_lock(&store->reading);
    int rc = sqlite_op_key(&store->file.reader, &key);
    if (rc != SQLITE_OK) sqlite_op_fault(fault, store->file.path, store->file.reader.db, rc);
    else if (!key) fault_set(fault, FAULT_IO, store->file.path, "the store's key is gone");
    pthread_mutex_unlock(&store->reading);
    return key;
}

/* ---- opening ---- */

static bool start_threads(struct sqlite *store, struct fault *fault) {
    pthread_mutex_init(&store->reading, NULL);
    atomic_init(&store->well, true);
    atomic_init(&store->unsettled, tail_count(&store->file.writer));
    store->checkpoint_at = WAL_MOST;
    sqlite3_wal_hook(store->file.writer.db, on_wal, store);
    int error = pthread_create(&store->write_thread, NULL, write_thread, store);
    if (error == 0) {
        error = pthread_create(&store->read_thread, NULL, read_thread, store);
        if (error == 0) return true;
        opqueue_close(store->queue);
        pthread_join(store->write_thread, NULL);
    }
    return fault_set(fault, FAULT_IO, store->file.path, "cannot start a thread for the database: %s", strerror(error));
}

static void release(struct sqlite *store) {
    sqlite_file_close(&store->file);
    opqueue_free(store->queue);
    mem_free(store);
}

/* SQLite counts its memory under a lock that all threads share; nobody reads that. Before its first use; later it says
 * no, and goes on as it is. */
static void count_no_memory(void) {
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static void *sqlite_open(const char *path, const struct store_settings *settings, struct fault *fault) {
    struct sqlite *store = mem_alloc(sizeof *store);
    store->queue = opqueue_new(settings->max_queue);
    count_no_memory();
    if (sqlite_file_open(&store->file, path, fault) && start_threads(store, fault)) return store;
    release(store);
    return NULL;
}

static void sqlite_close(void *state) {
    struct sqlite *store = state;
    opqueue_close_reads(store->queue);
    pthread_join(store->read_thread, NULL); /* it may wait for the writer */
    opqueue_close(store->queue);
    pthread_join(store->write_thread, NULL);
    pthread_mutex_destroy(&store->reading);
    release(store);
}

static bool sqlite_ready(const void *state) {
    const struct sqlite *store = state;
    return atomic_load(&store->well) && opqueue_has_room(store->queue);
}

static bool sqlite_behind(const void *state, int64_t now_ms) {
    const struct sqlite *store = state;
    return opqueue_is_behind(store->queue, BATCH_OPS_ENOUGH, now_ms - STORE_BEHIND_MS);
}

const struct store_driver sqlite_driver = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .submit = sqlite_submit,
    .ready = sqlite_ready,
    .behind = sqlite_behind,
    .places = sqlite_places,
    .each_stage = sqlite_each_stage,
    .definition = sqlite_definition,
    .key = sqlite_key,
};
