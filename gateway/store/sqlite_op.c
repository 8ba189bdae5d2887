/* What each kind of operation does to the tables.
 *
 * A row that breaks a constraint fails alone (sqlite_op_fails_alone); after any other error the transaction is of no
 * use any more.
 *
 * Every index is paid for by every run, so there are few, and of small numbers. A run's row has a place that is made of
 * its time (store/sqlite_place) and a group (store/sqlite_group); the runs in flight, and the definitions that they
 * pin, are those of the groups that are not over. What begins and what ends is noted once a commit
 * (store/sqlite_tail, store/sqlite_ends); a run has a row of its own once it has changed. */
#include "store/sqlite_op.h"

#include <string.h>

#include "store/driver.h"
#include "store/sqlite_ends.h"
#include "store/sqlite_group.h"
#include "store/sqlite_list.h"
#include "store/sqlite_place.h"
#include "store/sqlite_row.h"
#include "store/sqlite_tail.h"

#define AT_BYTES (1 << 20)
#define PRUNE_RUNS 1000
#define PRUNE_RUNS_LITTLE 10 /* each takes room in the log before it gives some back */

bool sqlite_op_fault(struct fault *fault, const char *path, sqlite3 *db, int rc) {
    int primary = rc & 0xff;
    int system = db ? sqlite3_system_errno(db) : 0;
    const char *why = system ? strerror(system) : sqlite3_errstr(rc);
    switch (primary) {
    case SQLITE_FULL: return fault_set(fault, FAULT_IO, path, "the disk is full");
    case SQLITE_NOTADB: return fault_set(fault, FAULT_IO, path, "the file is not a SQLite database");
    case SQLITE_CORRUPT: return fault_set(fault, FAULT_IO, path, "the database is damaged; restore it from a copy");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return fault_set(fault, FAULT_BUSY, path, "another program holds the database locked");
    case SQLITE_READONLY: return fault_set(fault, FAULT_IO, path, "the database may not be written");
    case SQLITE_CANTOPEN: return fault_set(fault, FAULT_IO, path, "cannot open the database: %s", why);
    case SQLITE_IOERR: return fault_set(fault, FAULT_IO, path, "cannot read or write the database: %s", why);
    case SQLITE_TOOBIG: return fault_set(fault, FAULT_TOO_LARGE, path, "a record is larger than SQLite takes");
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH: return fault_set(fault, FAULT_INTERNAL, path, "a record is refused: %s", sqlite3_errmsg(db));
    default: return fault_set(fault, FAULT_IO, path, "the database failed: %s", why);
    }
}

/* ---- writing ---- */

static int fetch(struct store_op *op, sqlite3_stmt *s) {
    int rc = sqlite3_step(s);
    op->outcome = rc == SQLITE_ROW ? STORE_DONE : STORE_MISSING;
    if (rc == SQLITE_ROW) {
        op->found = arena_new_of(store_results(op), struct store_record);
        op->found_count = 1;
        statement_take_record(op->results, s, op->found);
    }
    return statement_settle(s, rc);
}

static int get(struct sqlite_connection *c, struct store_op *op) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_GET, &s);
    if (rc != SQLITE_OK) return rc;
    statement_bind_cstr(s, 1, op->record.id);
    return fetch(op, s);
}

static int find_key(struct sqlite_connection *c, struct store_op *op) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_FIND_KEY, &s);
    if (rc != SQLITE_OK) return rc;
    statement_bind_cstr(s, 1, op->record.stage);
    statement_bind_cstr(s, 2, op->record.key);
    return fetch(op, s);
}

/* ---- writing ---- */

static void bind_group(sqlite3_stmt *s, const struct run_group *group) {
    statement_bind_cstr(s, 1, group->stage);
    statement_bind_cstr(s, 2, group->definition);
    statement_bind_cstr(s, 3, group->status);
    sqlite3_bind_int(s, 4, group->over);
}

static int add_definition(struct sqlite_connection *c, const char *hash, const char *source) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_ADD_DEFINITION, &s);
    if (rc != SQLITE_OK) return rc;
    statement_bind_cstr(s, 1, hash);
    statement_bind_cstr(s, 2, source);
    return statement_settle(s, sqlite3_step(s));
}

static int add_group(struct sqlite_connection *c, struct run_group *like) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_ADD_GROUP, &s);
    if (rc != SQLITE_OK) return rc;
    bind_group(s, like);
    rc = statement_settle(s, sqlite3_step(s));
    like->number = sqlite3_last_insert_rowid(c->db);
    return rc;
}

static int learn_group(struct sqlite_connection *c, struct run_group *like) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_FIND_GROUP, &s);
    if (rc != SQLITE_OK) return rc;
    bind_group(s, like);
    rc = sqlite3_step(s);
    like->number = sqlite3_column_int64(s, 0);
    bool found = rc == SQLITE_ROW;
    rc = statement_settle(s, rc);
    return rc == SQLITE_OK && !found ? add_group(c, like) : rc;
}

static int find_group(struct sqlite_connection *c, const struct store_record *record, struct run_group **ret) {
    struct run_group like = {.stage = record->stage,
                             .definition = record->definition,
                             .status = record->status,
                             .over = record->ended_ms != 0};
    if (!c->groups) c->groups = groups_new();
    *ret = groups_find(c->groups, &like);
    if (*ret) return SQLITE_OK;
    int rc = learn_group(c, &like);
    if (rc == SQLITE_OK) *ret = groups_add(c->groups, &like);
    return rc;
}

static int pin_definition(struct sqlite_connection *c, struct run_group *group, const char *source) {
    if (!source || group->defined) return SQLITE_OK;
    int rc = add_definition(c, group->definition, source);
    group->defined = rc == SQLITE_OK;
    return rc;
}

/* With a row at once; one that is in the way has to be found, so all others get theirs first. */
static int insert_row(struct sqlite_connection *c, struct store_op *op, const struct run_group *group) {
    const struct store_record *record = &op->record;
    struct row row = {.record = *record, .group = group->number};
    int rc = tail_settle(c);
    if (rc == SQLITE_OK) rc = place_next(c, record->created_ms, &row.place);
    if (rc == SQLITE_OK) rc = row_add(c, &row, 1);
    if (rc != SQLITE_OK || row.added) return rc;
    if (record->key) rc = find_key(c, op);
    op->outcome = STORE_EXISTS;
    if (rc == SQLITE_OK && op->found_count == 0) {
        op->outcome = STORE_FAILED;
        fault_set(&op->fault, FAULT_CONFLICT, NULL, "a run with the id %s exists already", record->id);
    }
    return rc;
}

static int insert_note(struct sqlite_connection *c, const struct store_record *record, const struct run_group *group) {
    struct row row = {.record = *record, .group = group->number};
    int rc = place_next(c, record->created_ms, &row.place);
    if (rc == SQLITE_OK) tail_add(c, &row);
    return rc;
}

/* The definition goes first: if the run then turns out to exist, one that nobody pins is left for PRUNE, and nothing
 * has to be undone. */
static int insert(struct sqlite_connection *c, struct store_op *op) {
    const struct store_record *record = &op->record;
    struct run_group *group;
    bool exists = false;
    int rc = find_group(c, record, &group);
    if (rc == SQLITE_OK) rc = pin_definition(c, group, op->definition_source);
    if (rc == SQLITE_OK && !tail_has(c, record)) rc = row_exists(c, record, &exists);
    else exists = true;
    op->outcome = STORE_DONE;
    if (rc != SQLITE_OK) return rc;
    return exists || !tail_takes(record) ? insert_row(c, op, group) : insert_note(c, record, group);
}

static int change(struct sqlite_connection *c, enum statement id, int64_t place, const struct store_record *record,
                  const struct run_group *group) {
    sqlite3_stmt *s;
    int rc = statement_find(c, id, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, place);
    sqlite3_bind_int64(s, 2, record->updated_ms);
    row_bind_body(s, 3, record->body);
    sqlite3_bind_int64(s, 4, group->number);
    if (id == STATEMENT_UPDATE) sqlite3_bind_int64(s, 5, record->ended_ms);
    return statement_settle(s, sqlite3_step(s));
}

/* Most updates of a run in flight leave the group as it is; naming it in SET would rewrite the index of groups. */
static int update_row(struct sqlite_connection *c, struct store_op *op) {
    struct run_group *group;
    int64_t place;
    int rc = place_find(c, op->record.id, &place);
    op->outcome = STORE_MISSING;
    if (rc != SQLITE_OK || place < 0) return rc;
    rc = find_group(c, &op->record, &group);
    bool stays = rc == SQLITE_OK && !group->over;
    if (stays) rc = change(c, STATEMENT_UPDATE_BODY, place, &op->record, group);
    if (rc == SQLITE_OK && (!stays || sqlite3_changes(c->db) == 0))
        rc = change(c, STATEMENT_UPDATE, place, &op->record, group);
    if (rc != SQLITE_OK || sqlite3_changes(c->db) == 0) return rc; /* no row: its place is of before */
    op->outcome = STORE_DONE;
    if (group->over) ends_note(c, place, op->record.ended_ms);
    return rc;
}

static int update(struct sqlite_connection *c, struct store_op *op) {
    struct tail_run *noted = tail_find(c, op->record.id);
    struct run_group *group;
    bool taken = false;
    int rc = noted ? find_group(c, &op->record, &group) : SQLITE_OK;
    op->outcome = STORE_DONE;
    if (noted && rc == SQLITE_OK) rc = tail_change(c, noted, op, group->number, &taken);
    return rc != SQLITE_OK || taken ? rc : update_row(c, op);
}

/* Groups without a run, and the definitions that no run in flight pins. */
static int prune_groups(struct sqlite_connection *c) {
    if (c->groups) groups_forget(c->groups);
    int rc = statement_run(c, STATEMENT_PRUNE_GROUPS);
    return rc == SQLITE_OK ? statement_run(c, STATEMENT_PRUNE_DEFINITIONS) : rc;
}

static int prune(struct sqlite_connection *c, struct store_op *op) {
    size_t most = c->little_room ? PRUNE_RUNS_LITTLE : PRUNE_RUNS;
    int rc = tail_settle(c); /* those that groups are looked through for have rows */
    if (rc == SQLITE_OK) rc = ends_prune(c, op->before_ms, most, &op->found_count);
    op->outcome = STORE_DONE;
    op->more = op->found_count == most;
    return rc == SQLITE_OK && !op->more ? prune_groups(c) : rc;
}

int sqlite_op_write(struct sqlite_connection *c, struct store_op *op) {
    switch (op->kind) {
    case STORE_INSERT: return insert(c, op);
    case STORE_UPDATE: return update(c, op);
    case STORE_SETTLE: op->outcome = STORE_DONE; return tail_settle(c);
    default: return prune(c, op);
    }
}

/* Errors that undo one statement and leave the transaction as it was. */
bool sqlite_op_fails_alone(int rc) {
    int primary = rc & 0xff;
    return primary == SQLITE_CONSTRAINT || primary == SQLITE_TOOBIG || primary == SQLITE_MISMATCH;
}

/* ---- reading ---- */

static int at_places(struct sqlite_connection *c, struct store_op *op) {
    int rc = SQLITE_OK;
    op->found = arena_array_of(store_results(op), struct store_record, op->place_count);
    op->outcome = STORE_DONE;
    while (op->passed < op->place_count && rc == SQLITE_OK && arena_bytes(op->results) < AT_BYTES)
        rc = sqlite_list_row(c, op, op->places[op->passed++]);
    return rc;
}

int sqlite_op_read(struct sqlite_connection *c, struct store_op *op) {
    switch (op->kind) {
    case STORE_GET: return get(c, op);
    case STORE_FIND_KEY: return find_key(c, op);
    case STORE_AT: return at_places(c, op);
    default: return sqlite_list(c, op);
    }
}

/* Places alone are sorted, and no row is looked at: those are large. */
int sqlite_op_places(struct sqlite_connection *c, int64_t **ret_places, size_t *ret_count) {
    sqlite3_stmt *s;
    size_t room = 64, count = 0;
    int rc = statement_find(c, STATEMENT_EACH_OPEN, &s);
    if (rc != SQLITE_OK) return rc;
    int64_t *places = mem_alloc(room * sizeof *places);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (count == room) places = mem_resize(places, (room *= 2) * sizeof *places);
        places[count++] = sqlite3_column_int64(s, 0);
    }
    rc = statement_settle(s, rc);
    *ret_places = rc == SQLITE_OK ? places : NULL;
    *ret_count = rc == SQLITE_OK ? count : 0;
    if (rc != SQLITE_OK) mem_free(places);
    return rc;
}

int sqlite_op_each_stage(struct sqlite_connection *c, void (*fn)(void *arg, const char *stage), void *arg) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_GROUPS, &s);
    if (rc != SQLITE_OK) return rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) fn(arg, statement_cstr(s, 1));
    return statement_settle(s, rc);
}

int sqlite_op_definition(struct sqlite_connection *c, const char *hash, char **ret_source) {
    sqlite3_stmt *s;
    *ret_source = NULL;
    int rc = statement_find(c, STATEMENT_DEFINITION, &s);
    if (rc != SQLITE_OK) return rc;
    statement_bind_cstr(s, 1, hash);
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) *ret_source = mem_strdup(statement_cstr(s, 0));
    return statement_settle(s, rc);
}

int sqlite_op_add_key(struct sqlite_connection *c, const char *key) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_ADD_KEY, &s);
    if (rc != SQLITE_OK) return rc;
    statement_bind_cstr(s, 1, key);
    return statement_settle(s, sqlite3_step(s));
}

int sqlite_op_key(struct sqlite_connection *c, char **ret_key) {
    sqlite3_stmt *s;
    *ret_key = NULL;
    int rc = statement_find(c, STATEMENT_KEY, &s);
    if (rc != SQLITE_OK) return rc;
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) *ret_key = mem_strdup(statement_cstr(s, 0));
    return statement_settle(s, rc);
}

/* ---- transactions and connections ---- */

int sqlite_op_begin(struct sqlite_connection *c, bool writes) {
    return statement_run(c, writes ? STATEMENT_BEGIN_WRITE : STATEMENT_BEGIN_READ);
}

int sqlite_op_commit(struct sqlite_connection *c) {
    return statement_run(c, STATEMENT_COMMIT);
}

void sqlite_op_undo(struct sqlite_connection *c) { /* some errors have rolled back by themselves */
    if (c->groups) groups_forget(c->groups);
    place_forget(c);
    ends_drop(c);
    tail_undo(c);
    if (!sqlite3_get_autocommit(c->db)) statement_run(c, STATEMENT_ROLLBACK);
}

int sqlite_op_probe(struct sqlite_connection *c) {
    return statement_run(c, STATEMENT_PROBE);
}

static int ask_number(struct sqlite_connection *c, enum statement id, int64_t *ret) {
    sqlite3_stmt *s;
    int rc = statement_find(c, id, &s);
    if (rc != SQLITE_OK) return rc;
    rc = sqlite3_step(s);
    *ret = sqlite3_column_int64(s, 0);
    return statement_settle(s, rc);
}

int sqlite_op_pages(struct sqlite_connection *c, int64_t *ret_pages, int64_t *ret_free) {
    int rc = ask_number(c, STATEMENT_PAGES, ret_pages);
    return rc == SQLITE_OK ? ask_number(c, STATEMENT_FREE_PAGES, ret_free) : rc;
}

int sqlite_op_prepare_all(struct sqlite_connection *c) {
    int rc = SQLITE_OK;
    sqlite3_stmt *unused;
    for (size_t i = 0; i < STATEMENT_END && rc == SQLITE_OK; i++) rc = statement_find(c, (enum statement)i, &unused);
    return rc;
}

void sqlite_op_disconnect(struct sqlite_connection *c) {
    for (size_t i = 0; i < STATEMENT_END; i++) sqlite3_finalize(c->prepared[i]);
    sqlite3_close(c->db);
    groups_free(c->groups);
    place_forget(c);
    ends_free(c->ends);
    tail_free(c->tail);
    *c = (struct sqlite_connection){0};
}
