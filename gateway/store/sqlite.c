/* The embedded store on SQLite: two connections, each with a thread of its own.
 *
 * The writer thread takes what waits, carries it out in one transaction, commits, and only then answers: the fsync is
 * shared by all (group commit). It is the only one that writes or checkpoints; the reader's connection is read-only, so
 * the WAL-reset bug of SQLite before 3.51.3 (two connections that write or checkpoint at once) cannot be met. A slow
 * list holds up no write. Checkpoints are made in idle moments, or when the WAL passes WAL_MOST.
 *
 * A row that breaks a constraint fails alone. Any other error fails its whole batch, which is rolled back: `well` is
 * false until a commit succeeds again, and an idle writer tries one now and then, so that room made on the disk is
 * noticed. An op that failed is not known to be on disk; one that is done, is.
 *
 * A side file `PATH.lock`, under flock, keeps a second gateway out: closing a descriptor of the database itself would
 * drop SQLite's own locks in this process. Lists are ordered by (created_ms, seq), which each of their indexes gives
 * without sorting (the rowid ends every index); several stages are merged from one head each. */
#include "store/sqlite.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/count.h"
#include "store/opqueue.h"

#define APPLICATION_ID 0x53444F52 /* "SDOR", so that another program's database is not taken for ours */
#define BATCH_OPS 1024
#define BATCH_BYTES (16 << 20)
#define LIST_BYTES (32 << 20)
#define PRUNE_RUNS 1000
#ifdef TINY_LIMITS
#define WAL_MOST (1 << 20)
#else
#define WAL_MOST (64 << 20)
#endif
#define IDLE_MS 250   /* then what is in the WAL is moved to the file */
#define RETRY_MS 1000 /* after a commit that failed */
#define BUSY_MS 5000
#define TEXT_OF(number) TEXT_OF_IT(number)
#define TEXT_OF_IT(number) #number

/* Row n brings a file of version n to version n + 1. Rows are only ever added. */
static const char *const migrations[] = {
    "CREATE TABLE runs (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, stage TEXT NOT NULL, key TEXT,"
    "  status TEXT NOT NULL, definition TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER NOT NULL, body BLOB NOT NULL);"
    "CREATE UNIQUE INDEX runs_key ON runs (stage, key) WHERE key IS NOT NULL;"
    "CREATE INDEX runs_created ON runs (created_ms);"
    "CREATE INDEX runs_stage ON runs (stage, created_ms);"
    "CREATE INDEX runs_status ON runs (status, created_ms);"
    "CREATE INDEX runs_stage_status ON runs (stage, status, created_ms);"
    "CREATE INDEX runs_open ON runs (created_ms) WHERE ended_ms = 0;"
    "CREATE INDEX runs_ended ON runs (ended_ms) WHERE ended_ms <> 0;"
    "CREATE INDEX runs_definition ON runs (definition);"
    "CREATE TABLE definitions (hash TEXT PRIMARY KEY NOT NULL, source TEXT NOT NULL);"};
#define VERSION_NOW 1
_Static_assert(sizeof migrations / sizeof *migrations == VERSION_NOW, "the version is the number of migrations");

#define RECORD "id, stage, key, status, definition, created_ms, updated_ms, ended_ms, body"
#define NEXT_HEAD "(created_ms, seq) < (?1, ?2) AND created_ms >= ?3 ORDER BY created_ms DESC, seq DESC LIMIT 1"

#define STATEMENTS(X)                                                                                            \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                                            \
    X(BEGIN_READ, "BEGIN")                                                                                       \
    X(COMMIT, "COMMIT")                                                                                          \
    X(ROLLBACK, "ROLLBACK")                                                                                      \
    X(ADD_DEFINITION, "INSERT INTO definitions (hash, source) VALUES (?, ?) ON CONFLICT DO NOTHING")             \
    X(INSERT, "INSERT INTO runs (" RECORD ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")         \
    X(UPDATE_BODY, "UPDATE runs SET updated_ms = ?2, body = ?3 WHERE id = ?1 AND status = ?4 AND ended_ms = ?5") \
    X(UPDATE, "UPDATE runs SET updated_ms = ?2, body = ?3, status = ?4, ended_ms = ?5 WHERE id = ?1")            \
    X(PRUNE, "DELETE FROM runs WHERE seq IN (SELECT seq FROM runs WHERE ended_ms <> 0 AND ended_ms < ?"          \
             " ORDER BY ended_ms LIMIT " TEXT_OF(PRUNE_RUNS) ")")                                                \
    X(PRUNE_DEFINITIONS, "DELETE FROM definitions"                                                               \
                         " WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.definition = definitions.hash)")      \
    X(GET, "SELECT " RECORD " FROM runs WHERE id = ?")                                                           \
    X(FIND_KEY, "SELECT " RECORD " FROM runs WHERE stage = ? AND key = ?")                                       \
    X(CURSOR, "SELECT created_ms, seq FROM runs WHERE id = ?")                                                   \
    X(HEAD, "SELECT created_ms, seq FROM runs WHERE " NEXT_HEAD)                                                 \
    X(HEAD_STAGE, "SELECT created_ms, seq FROM runs WHERE stage = ?4 AND " NEXT_HEAD)                            \
    X(HEAD_STATUS, "SELECT created_ms, seq FROM runs WHERE status = ?5 AND " NEXT_HEAD)                          \
    X(HEAD_STAGE_STATUS, "SELECT created_ms, seq FROM runs WHERE stage = ?4 AND status = ?5 AND " NEXT_HEAD)     \
    X(ROW, "SELECT " RECORD " FROM runs WHERE seq = ?")                                                          \
    X(EACH_OPEN, "SELECT " RECORD " FROM runs WHERE ended_ms = 0 ORDER BY created_ms, seq")                      \
    X(DEFINITION, "SELECT source FROM definitions WHERE hash = ?")                                               \
    X(PROBE, "PRAGMA user_version = " TEXT_OF(VERSION_NOW)) /* writes a page, changes nothing */

enum statement {
#define X(id, sql) STATEMENT_##id,
    STATEMENTS(X)
#undef X
        STATEMENT_END
};

static const char *const sql_of[] = {
#define X(id, sql) [STATEMENT_##id] = (sql),
    STATEMENTS(X)
#undef X
};

struct connection { /* of one thread at a time */
    sqlite3 *db;
    sqlite3_stmt *prepared[STATEMENT_END]; /* when first needed */
};

struct sqlite {
    char path[PATH_MAX];
    int lock_fd;
    struct opqueue *queue;
    struct connection writer, reader;
    pthread_mutex_t reading; /* the reader's connection: its thread, or a blocking call; recursive, since a visitor of
                                each_open may ask for a definition */
    pthread_t write_thread, read_thread;
    atomic_bool well; /* the last commit was made */
    /* the writer thread's */
    int64_t wal_bytes;     /* not yet moved to the file */
    int64_t checkpoint_at; /* bytes of WAL */
    int64_t page_bytes;
};

/* ---- faults ---- */

static bool fault_of(struct fault *fault, const struct sqlite *store, sqlite3 *db, int rc) {
    int primary = rc & 0xff;
    int system = db ? sqlite3_system_errno(db) : 0;
    const char *why = system ? strerror(system) : sqlite3_errstr(rc);
    switch (primary) {
    case SQLITE_FULL: return fault_set(fault, FAULT_IO, store->path, "the disk is full");
    case SQLITE_NOTADB: return fault_set(fault, FAULT_IO, store->path, "the file is not a SQLite database");
    case SQLITE_CORRUPT:
        return fault_set(fault, FAULT_IO, store->path, "the database is damaged; restore it from a copy");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return fault_set(fault, FAULT_BUSY, store->path, "another program holds the database locked");
    case SQLITE_READONLY: return fault_set(fault, FAULT_IO, store->path, "the database may not be written");
    case SQLITE_CANTOPEN: return fault_set(fault, FAULT_IO, store->path, "cannot open the database: %s", why);
    case SQLITE_IOERR: return fault_set(fault, FAULT_IO, store->path, "cannot read or write the database: %s", why);
    case SQLITE_TOOBIG: return fault_set(fault, FAULT_TOO_LARGE, store->path, "a record is larger than SQLite takes");
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return fault_set(fault, FAULT_INTERNAL, store->path, "a record is refused: %s", sqlite3_errmsg(db));
    default: return fault_set(fault, FAULT_IO, store->path, "the database failed: %s", why);
    }
}

/* ---- statements ---- */

static int prepare(struct connection *c, enum statement id, sqlite3_stmt **ret) {
    int rc = SQLITE_OK;
    if (!c->prepared[id])
        rc = sqlite3_prepare_v3(c->db, sql_of[id], -1, SQLITE_PREPARE_PERSISTENT, &c->prepared[id], NULL);
    *ret = c->prepared[id];
    return rc;
}

/* Ends a statement's use; what it was bound to is borrowed and goes. */
static int settle(sqlite3_stmt *statement, int rc) {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int run(struct connection *c, enum statement id) {
    sqlite3_stmt *s;
    int rc = prepare(c, id, &s);
    return rc != SQLITE_OK ? rc : settle(s, sqlite3_step(s));
}

static void bind_cstr(sqlite3_stmt *s, int at, const char *value) {
    sqlite3_bind_text(s, at, value, -1, SQLITE_STATIC); /* NULL binds NULL */
}

/* A value too large to bind is left NULL, which its column refuses. */
static void bind_body(sqlite3_stmt *s, int at, struct text body) {
    sqlite3_bind_blob64(s, at, body.at ? body.at : "", body.len, SQLITE_STATIC);
}

static const char *column_cstr(sqlite3_stmt *s, int at) {
    return (const char *)sqlite3_column_text(s, at);
}

/* Borrows from the statement, until its next step. */
static struct store_record read_row(sqlite3_stmt *s) {
    struct store_record record = {.stage = column_cstr(s, 1),
                                  .key = column_cstr(s, 2),
                                  .status = column_cstr(s, 3),
                                  .definition = column_cstr(s, 4),
                                  .created_ms = sqlite3_column_int64(s, 5),
                                  .updated_ms = sqlite3_column_int64(s, 6),
                                  .ended_ms = sqlite3_column_int64(s, 7)};
    const char *body = sqlite3_column_blob(s, 8); /* before its length is asked for */
    record.body = (struct text){body, (size_t)sqlite3_column_bytes(s, 8)};
    snprintf(record.id, sizeof record.id, "%s", column_cstr(s, 0));
    return record;
}

static void keep_row(struct arena *arena, sqlite3_stmt *s, struct store_record *to) {
    *to = read_row(s);
    to->stage = arena_strdup(arena, to->stage);
    to->key = arena_strdup(arena, to->key);
    to->status = arena_strdup(arena, to->status);
    to->definition = arena_strdup(arena, to->definition);
    to->body.at = arena_copy(arena, to->body.at, to->body.len);
}

/* ---- writing ---- */

static int fetch(struct store_op *op, sqlite3_stmt *s) {
    int rc = sqlite3_step(s);
    op->outcome = rc == SQLITE_ROW ? STORE_DONE : STORE_MISSING;
    if (rc == SQLITE_ROW) {
        op->found = arena_new_of(store_results(op), struct store_record);
        op->found_count = 1;
        keep_row(op->results, s, op->found);
    }
    return settle(s, rc);
}

static int get(struct connection *c, struct store_op *op) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_GET, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, op->record.id);
    return fetch(op, s);
}

static int find_key(struct connection *c, struct store_op *op) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_FIND_KEY, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, op->record.stage);
    bind_cstr(s, 2, op->record.key);
    return fetch(op, s);
}

static int add_definition(struct connection *c, const char *hash, const char *source) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_ADD_DEFINITION, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, hash);
    bind_cstr(s, 2, source);
    return settle(s, sqlite3_step(s));
}

static int add_run(struct connection *c, const struct store_record *record) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_INSERT, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, record->id);
    bind_cstr(s, 2, record->stage);
    bind_cstr(s, 3, record->key);
    bind_cstr(s, 4, record->status);
    bind_cstr(s, 5, record->definition);
    sqlite3_bind_int64(s, 6, record->created_ms);
    sqlite3_bind_int64(s, 7, record->updated_ms);
    sqlite3_bind_int64(s, 8, record->ended_ms);
    bind_body(s, 9, record->body);
    return settle(s, sqlite3_step(s));
}

/* The definition goes first: if the run then turns out to exist, one that nobody pins is left for PRUNE, and nothing
 * has to be undone. */
static int insert(struct connection *c, struct store_op *op) {
    const struct store_record *record = &op->record;
    int rc = op->definition_source ? add_definition(c, record->definition, op->definition_source) : SQLITE_OK;
    if (rc == SQLITE_OK) rc = add_run(c, record);
    op->outcome = STORE_DONE;
    if (rc != SQLITE_OK || sqlite3_changes(c->db) == 1) return rc;
    if (record->key) rc = find_key(c, op);
    op->outcome = STORE_EXISTS;
    if (rc == SQLITE_OK && op->found_count == 0) {
        op->outcome = STORE_FAILED;
        fault_set(&op->fault, FAULT_CONFLICT, NULL, "a run with the id %s exists already", record->id);
    }
    return rc;
}

static int change(struct connection *c, enum statement id, const struct store_record *record) {
    sqlite3_stmt *s;
    int rc = prepare(c, id, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, record->id);
    sqlite3_bind_int64(s, 2, record->updated_ms);
    bind_body(s, 3, record->body);
    bind_cstr(s, 4, record->status);
    sqlite3_bind_int64(s, 5, record->ended_ms);
    return settle(s, sqlite3_step(s));
}

/* Most updates leave the status as it is; naming it in SET would rewrite every index that holds it. */
static int update(struct connection *c, struct store_op *op) {
    int rc = change(c, STATEMENT_UPDATE_BODY, &op->record);
    if (rc == SQLITE_OK && sqlite3_changes(c->db) == 0) rc = change(c, STATEMENT_UPDATE, &op->record);
    op->outcome = sqlite3_changes(c->db) ? STORE_DONE : STORE_MISSING;
    return rc;
}

static int prune(struct connection *c, struct store_op *op) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_PRUNE, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, op->before_ms);
    rc = settle(s, sqlite3_step(s));
    if (rc != SQLITE_OK) return rc;
    op->outcome = STORE_DONE;
    op->found_count = (size_t)sqlite3_changes(c->db);
    return op->found_count < PRUNE_RUNS ? run(c, STATEMENT_PRUNE_DEFINITIONS) : SQLITE_OK;
}

static int write_op(struct connection *c, struct store_op *op) {
    switch (op->kind) {
    case STORE_INSERT: return insert(c, op);
    case STORE_UPDATE: return update(c, op);
    default: return prune(c, op);
    }
}

/* Errors that undo one statement and leave the transaction as it was. */
static bool fails_alone(int rc) {
    int primary = rc & 0xff;
    return primary == SQLITE_CONSTRAINT || primary == SQLITE_TOOBIG || primary == SQLITE_MISMATCH;
}

static void fail(struct store_op *op, const struct fault *fault) {
    store_op_fini(op);
    op->outcome = STORE_FAILED;
    op->fault = *fault;
}

static int write_all(struct sqlite *store, struct store_op *first) {
    struct connection *c = &store->writer;
    int rc = run(c, STATEMENT_BEGIN_WRITE);
    for (struct store_op *op = first; op && rc == SQLITE_OK; op = op->next) {
        rc = write_op(c, op);
        if (!fails_alone(rc)) continue;
        struct fault fault;
        fault_of(&fault, store, c->db, rc);
        fail(op, &fault);
        rc = SQLITE_OK;
    }
    return rc == SQLITE_OK ? run(c, STATEMENT_COMMIT) : rc;
}

static void undo(struct sqlite *store) { /* some errors have rolled back by themselves */
    if (!sqlite3_get_autocommit(store->writer.db)) run(&store->writer, STATEMENT_ROLLBACK);
}

static void count_outcomes(const struct store_op *first) {
    int64_t writes = 0, faults = 0;
    for (const struct store_op *op = first; op; op = op->next) {
        writes += op->outcome == STORE_DONE;
        faults += op->outcome == STORE_FAILED;
    }
    count_add(COUNT_STORE_WRITES, writes);
    count_add(COUNT_STORE_FAULTS, faults);
}

static void answer_all(struct store_op *op) {
    while (op) {
        struct store_op *next = op->next; /* once answered, the op may be gone */
        store_answer(op);
        op = next;
    }
}

static void write_batch(struct sqlite *store, struct store_op *first, size_t count) {
    int64_t began = clock_mono_ms();
    int rc = write_all(store, first);
    if (rc == SQLITE_OK) {
        count_add(COUNT_STORE_COMMITS, 1);
        count_observe(COUNT_HISTOGRAM_COMMIT_MS, clock_mono_ms() - began);
    } else {
        struct fault fault;
        fault_of(&fault, store, store->writer.db, rc);
        undo(store);
        for (struct store_op *op = first; op; op = op->next) fail(op, &fault);
    }
    atomic_store(&store->well, rc == SQLITE_OK);
    count_outcomes(first);
    opqueue_finish_writes(store->queue, count);
    answer_all(first);
}

/* ---- the writer's thread ---- */

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages) {
    (void)db, (void)name;
    struct sqlite *store = arg;
    store->wal_bytes = pages * store->page_bytes;
    return SQLITE_OK;
}

/* A reader in the middle of a list keeps the newest pages in the WAL; then the next try is a quarter later. */
static void checkpoint(struct sqlite *store) {
    int pages = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(store->writer.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
    bool whole = rc == SQLITE_OK && moved == pages;
    store->checkpoint_at = whole ? WAL_MOST : store->wal_bytes + WAL_MOST / 4;
    if (whole) store->wal_bytes = 0;
}

static void probe(struct sqlite *store) {
    int rc = run(&store->writer, STATEMENT_PROBE);
    if (rc != SQLITE_OK) undo(store);
    atomic_store(&store->well, rc == SQLITE_OK);
}

static int64_t idle_ms(const struct sqlite *store) {
    if (!atomic_load(&store->well)) return RETRY_MS;
    return store->wal_bytes ? IDLE_MS : -1;
}

static void idle(struct sqlite *store) {
    if (store->wal_bytes) checkpoint(store); /* also makes room in the WAL for the probe */
    if (!atomic_load(&store->well)) probe(store);
}

static void *write_thread(void *arg) {
    struct sqlite *store = arg;
    for (;;) {
        size_t count;
        struct store_op *batch = opqueue_take_writes(store->queue, BATCH_OPS, BATCH_BYTES, idle_ms(store), &count);
        if (batch) write_batch(store, batch, count);
        else if (opqueue_drained(store->queue)) return NULL;
        else idle(store);
        if (store->wal_bytes >= store->checkpoint_at) checkpoint(store);
    }
}

/* ---- reading ---- */

/* Where a walk through one stage (or all of them) stands: at a row, or at its end. */
struct head {
    const char *stage;
    int64_t created_ms, seq;
    bool ended;
};

static enum statement head_statement(const struct store_filter *filter) {
    if (filter->stages) return filter->status ? STATEMENT_HEAD_STAGE_STATUS : STATEMENT_HEAD_STAGE;
    return filter->status ? STATEMENT_HEAD_STATUS : STATEMENT_HEAD;
}

static int head_move(struct connection *c, const struct store_filter *filter, struct head *head) {
    sqlite3_stmt *s;
    int rc = prepare(c, head_statement(filter), &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, head->created_ms);
    sqlite3_bind_int64(s, 2, head->seq);
    sqlite3_bind_int64(s, 3, filter->since_ms ? filter->since_ms : INT64_MIN);
    if (filter->stages) bind_cstr(s, 4, head->stage);
    if (filter->status) bind_cstr(s, 5, filter->status);
    rc = sqlite3_step(s);
    head->ended = rc != SQLITE_ROW;
    if (rc == SQLITE_ROW) {
        head->created_ms = sqlite3_column_int64(s, 0);
        head->seq = sqlite3_column_int64(s, 1);
    }
    return settle(s, rc);
}

/* Sets the place that the filter's cursor names; `ended` when its run is not there. */
static int find_cursor(struct connection *c, const char *id, struct head *ret) {
    *ret = (struct head){.created_ms = INT64_MAX, .seq = INT64_MAX};
    if (!id) return SQLITE_OK;
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_CURSOR, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, id);
    rc = sqlite3_step(s);
    ret->ended = rc != SQLITE_ROW;
    ret->created_ms = sqlite3_column_int64(s, 0);
    ret->seq = sqlite3_column_int64(s, 1);
    return settle(s, rc);
}

static struct head *newest(struct head *heads, size_t count) {
    struct head *best = NULL;
    for (struct head *head = heads; head < heads + count; head++) {
        if (head->ended) continue;
        if (!best || head->created_ms > best->created_ms ||
            (head->created_ms == best->created_ms && head->seq > best->seq))
            best = head;
    }
    return best;
}

static int list_row(struct connection *c, struct store_op *op, int64_t seq) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_ROW, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, seq);
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) keep_row(op->results, s, &op->found[op->found_count++]);
    return settle(s, rc);
}

/* A stage that the filter names twice has two heads at the same row: all of them move on. */
static int heads_pass(struct connection *c, const struct store_filter *filter, struct head *heads, size_t count,
                      int64_t seq) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
        if (!heads[i].ended && heads[i].seq == seq) rc = head_move(c, filter, &heads[i]);
    return rc;
}

static int merge(struct connection *c, struct store_op *op, struct head *heads, size_t count) {
    int rc = SQLITE_OK;
    struct head *head;
    while (rc == SQLITE_OK && (head = newest(heads, count))) {
        op->more = op->found_count == op->filter.limit || arena_bytes(op->results) > LIST_BYTES;
        if (op->more) break;
        int64_t seq = head->seq;
        rc = list_row(c, op, seq);
        if (rc == SQLITE_OK) rc = heads_pass(c, &op->filter, heads, count, seq);
    }
    return rc;
}

static int list(struct connection *c, struct store_op *op) {
    const struct store_filter *filter = &op->filter;
    struct arena *arena = store_results(op);
    size_t count = filter->stages ? filter->stage_count : 1;
    assert(filter->limit >= 1 && filter->limit <= 1000);
    struct head *heads = arena_array_of(arena, struct head, count);
    op->found = arena_array_of(arena, struct store_record, filter->limit);
    struct head from;
    int rc = find_cursor(c, filter->before_id, &from);
    op->outcome = from.ended ? STORE_MISSING : STORE_DONE;
    if (from.ended) return rc;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
        heads[i] = from;
        if (filter->stages) heads[i].stage = filter->stages[i];
        rc = head_move(c, filter, &heads[i]);
    }
    return rc == SQLITE_OK ? merge(c, op, heads, count) : rc;
}

static int read_op(struct connection *c, struct store_op *op) {
    switch (op->kind) {
    case STORE_GET: return get(c, op);
    case STORE_FIND_KEY: return find_key(c, op);
    default: return list(c, op);
    }
}

static void answer_read(struct sqlite *store, struct store_op *op) {
    struct connection *c = &store->reader;
    pthread_mutex_lock(&store->reading);
    int rc = run(c, STATEMENT_BEGIN_READ); /* one view for the many statements of a list */
    if (rc == SQLITE_OK) rc = read_op(c, op);
    if (rc != SQLITE_OK) {
        struct fault fault;
        fault_of(&fault, store, c->db, rc);
        fail(op, &fault);
        count_add(COUNT_STORE_FAULTS, 1);
    }
    if (!sqlite3_get_autocommit(c->db)) run(c, STATEMENT_COMMIT);
    pthread_mutex_unlock(&store->reading);
    store_answer(op);
}

static void *read_thread(void *arg) {
    struct sqlite *store = arg;
    struct store_op *op;
    while ((op = opqueue_take_read(store->queue))) answer_read(store, op);
    return NULL;
}

static bool sqlite_each_open(void *state, bool (*fn)(void *arg, const struct store_record *record), void *arg,
                             struct fault *fault) {
    struct sqlite *store = state;
    sqlite3_stmt *s;
    pthread_mutex_lock(&store->reading);
    int rc = prepare(&store->reader, STATEMENT_EACH_OPEN, &s);
    if (rc == SQLITE_OK) {
        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
            struct store_record record = read_row(s);
            if (!fn(arg, &record)) break;
        }
        rc = settle(s, rc);
    }
    if (rc != SQLITE_OK) fault_of(fault, store, store->reader.db, rc);
    pthread_mutex_unlock(&store->reading);
    return rc == SQLITE_OK;
}

static char *sqlite_definition(void *state, const char *hash, struct fault *fault) {
    struct sqlite *store = state;
    char *source = NULL;
    sqlite3_stmt *s;
    pthread_mutex_lock(&store->reading);
    int rc = prepare(&store->reader, STATEMENT_DEFINITION, &s);
    if (rc == SQLITE_OK) {
        bind_cstr(s, 1, hash);
        rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) source = mem_strdup(column_cstr(s, 0));
        rc = settle(s, rc);
    }
    if (rc != SQLITE_OK) fault_of(fault, store, store->reader.db, rc);
    else if (!source) fault_set(fault, FAULT_NOT_FOUND, store->path, "no definition with the hash %s is kept", hash);
    pthread_mutex_unlock(&store->reading);
    return source;
}

/* ---- opening ---- */

/* The file's real path, so that one database has one lock file however it is named. */
static bool find_path(struct sqlite *store, const char *path, struct fault *fault) {
    if (!*path || strcmp(path, ":memory:") == 0)
        return fault_set(fault, FAULT_INVALID, "store", "runs have to outlive the gateway: name a file, sqlite:PATH");
    if (strlen(path) >= PATH_MAX - 16) return fault_set(fault, FAULT_INVALID, "store", "the path is too long");
    struct stat status;
    if (realpath(path, store->path)) {
        if (stat(store->path, &status) == 0 && S_ISREG(status.st_mode)) return true;
        return fault_set(fault, FAULT_INVALID, path, "the store is not a regular file");
    }
    char head[PATH_MAX], tail[PATH_MAX], folder[PATH_MAX];
    snprintf(head, sizeof head, "%s", path);
    snprintf(tail, sizeof tail, "%s", path);
    if (errno != ENOENT || path[strlen(path) - 1] == '/')
        return fault_set(fault, FAULT_IO, path, "cannot open the database: %s", strerror(errno));
    const char *parent = dirname(head);
    if (!realpath(parent, folder))
        return fault_set(fault, FAULT_IO, path, "the folder %s cannot be used: %s", parent, strerror(errno));
    int n = snprintf(store->path, sizeof store->path, "%s/%s", folder, basename(tail));
    if (n >= (int)sizeof store->path - 16) return fault_set(fault, FAULT_INVALID, "store", "the path is too long");
    return true;
}

static bool take_lock(struct sqlite *store, struct fault *fault) {
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.lock", store->path);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0) return fault_set(fault, FAULT_IO, path, "cannot make the lock file: %s", strerror(errno));
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK)
        return fault_set(fault, FAULT_CONFLICT, store->path, "another stagedoor has the database open");
    return fault_set(fault, FAULT_IO, path, "cannot take the lock: %s", strerror(errno));
}

/* Made here, since SQLite would make it readable for all; its side files take the mode of the file. */
static bool make_file(struct sqlite *store, struct fault *fault) {
    int fd = open(store->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return fault_set(fault, FAULT_IO, store->path, "cannot make the database: %s", strerror(errno));
    if (fd >= 0) close(fd);
    return true;
}

static int connect_to(struct sqlite *store, struct connection *c, int flags) {
    int rc = sqlite3_open_v2(store->path, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK) return rc;
    sqlite3_busy_timeout(c->db, BUSY_MS);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return sqlite3_exec(c->db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -16384",
                        NULL, NULL, NULL);
}

static void disconnect(struct connection *c) {
    for (size_t i = 0; i < STATEMENT_END; i++) sqlite3_finalize(c->prepared[i]);
    sqlite3_close(c->db);
    *c = (struct connection){0};
}

static int ask_int(sqlite3 *db, const char *sql, int64_t *ret) {
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) *ret = sqlite3_column_int64(s, 0), rc = SQLITE_OK;
    sqlite3_finalize(s);
    return rc;
}

/* Looks before anything is written: the file is empty, or ours and not from the future. */
static bool check_file(struct sqlite *store, int64_t *ret_version, struct fault *fault) {
    sqlite3 *db = store->writer.db;
    int64_t application = 0, tables = 0;
    int rc = ask_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc == SQLITE_OK) rc = ask_int(db, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK) rc = ask_int(db, "PRAGMA user_version", ret_version);
    if (rc != SQLITE_OK) return fault_of(fault, store, db, rc);
    bool empty = tables == 0 && application == 0 && *ret_version == 0;
    if (application != APPLICATION_ID && !empty)
        return fault_set(fault, FAULT_INVALID, store->path, "the database is not stagedoor's; name another file");
    if (*ret_version > VERSION_NOW)
        return fault_set(fault, FAULT_UNSUPPORTED, store->path,
                         "the database is of version %" PRId64 ", from a newer stagedoor; this one knows up to %d",
                         *ret_version, VERSION_NOW);
    if (*ret_version < 0) return fault_set(fault, FAULT_INVALID, store->path, "the database's version is negative");
    return true;
}

static bool wal_refused(sqlite3 *db) { /* the pragma fails by answering another word */
    sqlite3_stmt *s = NULL;
    bool refused = true;
    if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        refused = strcmp(column_cstr(s, 0), "wal") != 0;
    sqlite3_finalize(s);
    return refused;
}

static int set_up(struct sqlite *store) {
    sqlite3 *db = store->writer.db;
    if (wal_refused(db)) return sqlite3_errcode(db) == SQLITE_OK ? SQLITE_BUSY : sqlite3_extended_errcode(db);
    int rc = sqlite3_exec(db,
                          "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                          "PRAGMA journal_size_limit = 67108864",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = ask_int(db, "PRAGMA page_size", &store->page_bytes);
    sqlite3_wal_hook(db, on_wal, store);
    return rc;
}

static int migrate(struct sqlite *store, int64_t version) {
    int rc = SQLITE_OK;
    for (; version < VERSION_NOW && rc == SQLITE_OK; version++) {
        char sql[128];
        snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %" PRId64, APPLICATION_ID,
                 version + 1);
        rc = run(&store->writer, STATEMENT_BEGIN_WRITE);
        if (rc == SQLITE_OK) rc = sqlite3_exec(store->writer.db, migrations[version], NULL, NULL, NULL);
        if (rc == SQLITE_OK) rc = sqlite3_exec(store->writer.db, sql, NULL, NULL, NULL);
        if (rc == SQLITE_OK) rc = run(&store->writer, STATEMENT_COMMIT);
        if (rc != SQLITE_OK) undo(store);
    }
    return rc;
}

static bool open_writer(struct sqlite *store, struct fault *fault) {
    int64_t version = 0;
    int rc = connect_to(store, &store->writer, SQLITE_OPEN_READWRITE);
    if (rc != SQLITE_OK) return fault_of(fault, store, store->writer.db, rc);
    if (sqlite3_db_readonly(store->writer.db, "main") == 1) /* SQLite then opens it for reading, and says nothing */
        return fault_of(fault, store, store->writer.db, SQLITE_READONLY);
    if (!check_file(store, &version, fault)) return false;
    rc = set_up(store);
    if (rc == SQLITE_OK) rc = migrate(store, version);
    return rc == SQLITE_OK || fault_of(fault, store, store->writer.db, rc);
}

static bool open_reader(struct sqlite *store, struct fault *fault) {
    int rc = connect_to(store, &store->reader, SQLITE_OPEN_READONLY);
    if (rc == SQLITE_OK) rc = sqlite3_db_config(store->reader.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return rc == SQLITE_OK || fault_of(fault, store, store->reader.db, rc);
}

/* Every statement is tried once, so that a damaged or altered schema is met now. */
static bool prepare_all(struct sqlite *store, struct fault *fault) {
    for (size_t i = 0; i < STATEMENT_END; i++) {
        sqlite3_stmt *unused;
        int rc = prepare(&store->writer, (enum statement)i, &unused);
        if (rc == SQLITE_ERROR)
            return fault_set(fault, FAULT_IO, store->path, "the tables are not as stagedoor made them: %s",
                             sqlite3_errmsg(store->writer.db));
        if (rc != SQLITE_OK) return fault_of(fault, store, store->writer.db, rc);
    }
    return true;
}

static bool start_threads(struct sqlite *store, struct fault *fault) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&store->reading, &attr);
    pthread_mutexattr_destroy(&attr);
    atomic_init(&store->well, true);
    store->checkpoint_at = WAL_MOST;
    int error = pthread_create(&store->write_thread, NULL, write_thread, store);
    if (error == 0) {
        error = pthread_create(&store->read_thread, NULL, read_thread, store);
        if (error == 0) return true;
        opqueue_close(store->queue);
        pthread_join(store->write_thread, NULL);
    }
    return fault_set(fault, FAULT_IO, store->path, "cannot start a thread for the database: %s", strerror(error));
}

/* The reader goes first: the last connection to close moves the WAL into the file, and that has to be the writer. */
static void release(struct sqlite *store) {
    disconnect(&store->reader);
    disconnect(&store->writer);
    if (store->lock_fd >= 0) close(store->lock_fd);
    opqueue_free(store->queue);
    mem_free(store);
}

static void *sqlite_open(const char *path, const struct store_settings *settings, struct fault *fault) {
    struct sqlite *store = mem_alloc(sizeof *store);
    store->lock_fd = -1;
    store->queue = opqueue_new(settings->max_queue);
    bool ok = find_path(store, path, fault) && take_lock(store, fault) && make_file(store, fault) &&
              open_writer(store, fault) && open_reader(store, fault) && prepare_all(store, fault) &&
              start_threads(store, fault);
    if (ok) return store;
    release(store);
    return NULL;
}

static void sqlite_close(void *state) {
    struct sqlite *store = state;
    opqueue_close(store->queue);
    pthread_join(store->write_thread, NULL);
    pthread_join(store->read_thread, NULL);
    pthread_mutex_destroy(&store->reading);
    release(store);
}

static void sqlite_submit(void *state, struct store_op *op) {
    struct sqlite *store = state;
    if (opqueue_put(store->queue, op)) return;
    fault_set(&op->fault, FAULT_BUSY, store->path, "too many operations wait for the disk");
    count_add(COUNT_STORE_FAULTS, 1);
    store_answer(op);
}

static bool sqlite_ready(const void *state) {
    const struct sqlite *store = state;
    return atomic_load(&store->well) && opqueue_has_room(store->queue);
}

const struct store_driver sqlite_driver = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .submit = sqlite_submit,
    .ready = sqlite_ready,
    .each_open = sqlite_each_open,
    .definition = sqlite_definition,
};
