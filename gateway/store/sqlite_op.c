/* What each kind of operation does to the tables.
 *
 * Statements are prepared when they are first needed, and kept by their connection. A row that breaks a constraint
 * fails alone (sqlite_op_fails_alone); after any other error the transaction is of no use any more.
 *
 * Every index is paid for by every run, so there are few, and of small numbers. A run's place in the table (seq, the
 * rowid) is made of created_ms and of the order of insertion, so the table is in the order of lists, and so is each
 * group (store/sqlite_group) in the one index of groups, which the rowid ends. A list that is not of all runs is merged
 * from groups, one head each; the runs in flight, and the definitions that they pin, are those of the groups that are
 * not over. */
#include "store/sqlite_op.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "store/driver.h"
#include "store/sqlite_group.h"

#define LIST_BYTES (32 << 20)
#define AT_BYTES (1 << 20)
#define PLACE_BITS 20                          /* of a place: which of the runs of its millisecond */
#define PLACE_MS_MOST ((INT64_C(1) << 43) - 2) /* in the year 2248; there is a place behind it */
#define PRUNE_RUNS 1000
#define PRUNE_RUNS_LITTLE 10 /* each takes room in the log before it gives some back */
#define TEXT_OF(number) TEXT_OF_IT(number)
#define TEXT_OF_IT(number) #number

#define RECORDS                                                                                        \
    "SELECT id, runs.stage, key, status, definition, created_ms, updated_ms, ended_ms, body FROM runs" \
    " CROSS JOIN run_groups ON number = in_group WHERE "
#define NEWEST "seq < ?1 AND seq >= ?2 ORDER BY seq DESC LIMIT 1"

#define STATEMENTS(X)                                                                                                  \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                                                  \
    X(BEGIN_READ, "BEGIN")                                                                                             \
    X(COMMIT, "COMMIT")                                                                                                \
    X(ROLLBACK, "ROLLBACK")                                                                                            \
    X(ADD_DEFINITION, "INSERT INTO definitions (hash, source) VALUES (?, ?) ON CONFLICT DO NOTHING")                   \
    X(FIND_GROUP, "SELECT number FROM run_groups WHERE stage = ? AND definition = ? AND status = ? AND over = ?")      \
    X(ADD_GROUP, "INSERT INTO run_groups (stage, definition, status, over) VALUES (?, ?, ?, ?)")                       \
    X(INSERT, "INSERT INTO runs (seq, id, stage, key, in_group, created_ms, updated_ms, ended_ms, body)"               \
              " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")                                            \
    X(UPDATE_BODY, "UPDATE runs SET updated_ms = ?2, body = ?3 WHERE id = ?1 AND in_group = ?4")                       \
    X(UPDATE, "UPDATE runs SET updated_ms = ?2, body = ?3, in_group = ?4, ended_ms = ?5 WHERE id = ?1")                \
    X(PRUNE, "DELETE FROM runs WHERE seq IN (SELECT seq FROM runs WHERE ended_ms <> 0 AND ended_ms < ?"                \
             " ORDER BY ended_ms LIMIT ?)")                                                                            \
    X(PRUNE_GROUPS, "DELETE FROM run_groups WHERE NOT EXISTS (SELECT 1 FROM runs WHERE in_group = number)")            \
    X(PRUNE_DEFINITIONS, "DELETE FROM definitions"                                                                     \
                         " WHERE hash NOT IN (SELECT definition FROM run_groups WHERE over = 0)")                      \
    X(GET, RECORDS "id = ?")                                                                                           \
    X(FIND_KEY, RECORDS "runs.stage = ? AND key = ?")                                                                  \
    X(PLACE, "SELECT seq FROM runs WHERE id = ?")                                                                      \
    X(PLACE_BEFORE, "SELECT seq FROM runs WHERE seq < ? ORDER BY seq DESC LIMIT 1")                                    \
    X(HEAD, "SELECT seq FROM runs CROSS JOIN run_groups ON number = in_group"                                          \
            " WHERE status <> '" STORE_ATTACHED "' AND " NEWEST)                                                       \
    X(HEAD_OF_GROUP, "SELECT seq FROM runs WHERE in_group = ?3 AND " NEWEST)                                           \
    X(GROUPS, "SELECT number, stage, status FROM run_groups")                                                          \
    X(GROUPS_OF_STAGE, "SELECT number, stage, status FROM run_groups WHERE stage = ?")                                 \
    X(ROW, RECORDS "seq = ?")                                                                                          \
    X(EACH_OPEN, "SELECT seq FROM runs WHERE in_group IN (SELECT number FROM run_groups WHERE over = 0) ORDER BY seq") \
    X(DEFINITION, "SELECT source FROM definitions WHERE hash = ?")                                                     \
    X(ADD_KEY, "INSERT INTO keys (name, value) VALUES ('callbacks', ?) ON CONFLICT DO NOTHING")                        \
    X(KEY, "SELECT value FROM keys WHERE name = 'callbacks'")                                                          \
    X(PAGES, "PRAGMA page_count")                                                                                      \
    X(FREE_PAGES, "PRAGMA freelist_count")                                                                             \
    X(PROBE, "PRAGMA user_version = " TEXT_OF(TABLES_VERSION)) /* writes a page, changes nothing */

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

_Static_assert(STATEMENT_END <= STATEMENTS_MAX, "a connection has room for all statements");

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

/* ---- statements ---- */

static int prepare(struct sqlite_connection *c, enum statement id, sqlite3_stmt **ret) {
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

static int run(struct sqlite_connection *c, enum statement id) {
    sqlite3_stmt *s;
    int rc = prepare(c, id, &s);
    return rc != SQLITE_OK ? rc : settle(s, sqlite3_step(s));
}

static void bind_cstr(sqlite3_stmt *s, int at, const char *value) {
    sqlite3_bind_text(s, at, value, -1, SQLITE_STATIC); /* NULL binds NULL */
}

static void bind_group(sqlite3_stmt *s, const struct run_group *group) {
    bind_cstr(s, 1, group->stage);
    bind_cstr(s, 2, group->definition);
    bind_cstr(s, 3, group->status);
    sqlite3_bind_int(s, 4, group->over);
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

static int get(struct sqlite_connection *c, struct store_op *op) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_GET, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, op->record.id);
    return fetch(op, s);
}

static int find_key(struct sqlite_connection *c, struct store_op *op) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_FIND_KEY, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, op->record.stage);
    bind_cstr(s, 2, op->record.key);
    return fetch(op, s);
}

static int add_definition(struct sqlite_connection *c, const char *hash, const char *source) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_ADD_DEFINITION, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, hash);
    bind_cstr(s, 2, source);
    return settle(s, sqlite3_step(s));
}

static int add_group(struct sqlite_connection *c, struct run_group *like) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_ADD_GROUP, &s);
    if (rc != SQLITE_OK) return rc;
    bind_group(s, like);
    rc = settle(s, sqlite3_step(s));
    like->number = sqlite3_last_insert_rowid(c->db);
    return rc;
}

static int learn_group(struct sqlite_connection *c, struct run_group *like) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_FIND_GROUP, &s);
    if (rc != SQLITE_OK) return rc;
    bind_group(s, like);
    rc = sqlite3_step(s);
    like->number = sqlite3_column_int64(s, 0);
    bool found = rc == SQLITE_ROW;
    rc = settle(s, rc);
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

/* Of the first run of a millisecond. */
static int64_t first_place(int64_t created_ms) {
    if (created_ms < 0) created_ms = 0;
    if (created_ms > PLACE_MS_MOST) created_ms = PLACE_MS_MOST;
    return created_ms << PLACE_BITS;
}

static int place_before(struct sqlite_connection *c, int64_t before, int64_t *ret) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_PLACE_BEFORE, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, before);
    rc = sqlite3_step(s);
    *ret = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    return settle(s, rc);
}

/* Behind all runs of its millisecond that are there. Most runs are newer than all others, which needs no look. */
static int next_place(struct sqlite_connection *c, int64_t created_ms, int64_t *ret) {
    int64_t first = first_place(created_ms), end = first + (INT64_C(1) << PLACE_BITS), last = c->last_place;
    int rc = SQLITE_OK;
    if (!last) rc = place_before(c, INT64_MAX, &last);
    if (rc == SQLITE_OK && last > c->last_place) c->last_place = last;
    if (rc == SQLITE_OK && last >= end) rc = place_before(c, end, &last);
    *ret = last < first ? first : last + 1;
    if (*ret > c->last_place) c->last_place = *ret;
    return rc;
}

static int add_run(struct sqlite_connection *c, const struct store_record *record, const struct run_group *group) {
    sqlite3_stmt *s;
    int64_t place;
    int rc = next_place(c, record->created_ms, &place);
    if (rc == SQLITE_OK) rc = prepare(c, STATEMENT_INSERT, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, place);
    bind_cstr(s, 2, record->id);
    bind_cstr(s, 3, record->stage);
    bind_cstr(s, 4, record->key);
    sqlite3_bind_int64(s, 5, group->number);
    sqlite3_bind_int64(s, 6, record->created_ms);
    sqlite3_bind_int64(s, 7, record->updated_ms);
    sqlite3_bind_int64(s, 8, record->ended_ms);
    bind_body(s, 9, record->body);
    return settle(s, sqlite3_step(s));
}

static int pin_definition(struct sqlite_connection *c, struct run_group *group, const char *source) {
    if (!source || group->defined) return SQLITE_OK;
    int rc = add_definition(c, group->definition, source);
    group->defined = rc == SQLITE_OK;
    return rc;
}

/* The definition goes first: if the run then turns out to exist, one that nobody pins is left for PRUNE, and nothing
 * has to be undone. */
static int insert(struct sqlite_connection *c, struct store_op *op) {
    const struct store_record *record = &op->record;
    struct run_group *group;
    int rc = find_group(c, record, &group);
    if (rc == SQLITE_OK) rc = pin_definition(c, group, op->definition_source);
    if (rc == SQLITE_OK) rc = add_run(c, record, group);
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

static int change(struct sqlite_connection *c, enum statement id, const struct store_record *record,
                  const struct run_group *group) {
    sqlite3_stmt *s;
    int rc = prepare(c, id, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, record->id);
    sqlite3_bind_int64(s, 2, record->updated_ms);
    bind_body(s, 3, record->body);
    sqlite3_bind_int64(s, 4, group->number);
    if (id == STATEMENT_UPDATE) sqlite3_bind_int64(s, 5, record->ended_ms);
    return settle(s, sqlite3_step(s));
}

/* Most updates of a run in flight leave the group as it is; naming it in SET would rewrite the index of groups. */
static int update(struct sqlite_connection *c, struct store_op *op) {
    struct run_group *group;
    int rc = find_group(c, &op->record, &group);
    bool stays = rc == SQLITE_OK && !group->over;
    if (stays) rc = change(c, STATEMENT_UPDATE_BODY, &op->record, group);
    if (rc == SQLITE_OK && (!stays || sqlite3_changes(c->db) == 0))
        rc = change(c, STATEMENT_UPDATE, &op->record, group);
    op->outcome = sqlite3_changes(c->db) ? STORE_DONE : STORE_MISSING;
    return rc;
}

/* Groups without a run, and the definitions that no run in flight pins. */
static int prune_groups(struct sqlite_connection *c) {
    if (c->groups) groups_forget(c->groups);
    int rc = run(c, STATEMENT_PRUNE_GROUPS);
    return rc == SQLITE_OK ? run(c, STATEMENT_PRUNE_DEFINITIONS) : rc;
}

static int prune(struct sqlite_connection *c, struct store_op *op) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_PRUNE, &s);
    if (rc != SQLITE_OK) return rc;
    int most = c->little_room ? PRUNE_RUNS_LITTLE : PRUNE_RUNS;
    sqlite3_bind_int64(s, 1, op->before_ms);
    sqlite3_bind_int(s, 2, most);
    rc = settle(s, sqlite3_step(s));
    if (rc != SQLITE_OK) return rc;
    op->outcome = STORE_DONE;
    op->found_count = (size_t)sqlite3_changes(c->db);
    op->more = op->found_count == (size_t)most;
    return !op->more ? prune_groups(c) : SQLITE_OK;
}

int sqlite_op_write(struct sqlite_connection *c, struct store_op *op) {
    switch (op->kind) {
    case STORE_INSERT: return insert(c, op);
    case STORE_UPDATE: return update(c, op);
    default: return prune(c, op);
    }
}

/* Errors that undo one statement and leave the transaction as it was. */
bool sqlite_op_fails_alone(int rc) {
    int primary = rc & 0xff;
    return primary == SQLITE_CONSTRAINT || primary == SQLITE_TOOBIG || primary == SQLITE_MISMATCH;
}

/* ---- reading ---- */

/* Where a walk through one group of runs (or all of them) stands: at a row, or at its end. */
struct head {
    int64_t group; /* 0: all */
    int64_t seq;
    bool ended;
};

struct heads {
    struct arena *arena;
    struct head *items;
    size_t count, room;
};

static int head_move(struct sqlite_connection *c, const struct store_filter *filter, struct head *head) {
    sqlite3_stmt *s;
    int rc = prepare(c, head->group ? STATEMENT_HEAD_OF_GROUP : STATEMENT_HEAD, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, head->seq);
    sqlite3_bind_int64(s, 2, filter->since_ms ? first_place(filter->since_ms) : INT64_MIN);
    if (head->group) sqlite3_bind_int64(s, 3, head->group);
    rc = sqlite3_step(s);
    head->ended = rc != SQLITE_ROW;
    if (rc == SQLITE_ROW) head->seq = sqlite3_column_int64(s, 0);
    return settle(s, rc);
}

/* Sets the place that the op's cursor names; `ended` when its run is not there. */
static int find_cursor(struct sqlite_connection *c, struct store_op *op, struct head *ret) {
    const char *id = op->filter.before_id;
    *ret = (struct head){.seq = INT64_MAX};
    if (op->cursor.created_ms) ret->seq = first_place(op->cursor.created_ms + 1);
    if (!id || op->cursor.created_ms) return SQLITE_OK;
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_PLACE, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, id);
    rc = sqlite3_step(s);
    ret->ended = rc != SQLITE_ROW;
    ret->seq = sqlite3_column_int64(s, 0);
    op->cursor.created_ms = ret->seq >> PLACE_BITS;
    return settle(s, rc);
}

static struct head *newest(struct head *heads, size_t count) {
    struct head *best = NULL;
    for (struct head *head = heads; head < heads + count; head++) {
        if (!head->ended && (!best || head->seq > best->seq)) best = head;
    }
    return best;
}

static int list_row(struct sqlite_connection *c, struct store_op *op, int64_t seq) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_ROW, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, seq);
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) keep_row(op->results, s, &op->found[op->found_count++]);
    return settle(s, rc);
}

/* A stage that the filter names twice has two heads at the same row: all of them move on. */
static int heads_pass(struct sqlite_connection *c, const struct store_filter *filter, struct heads *heads,
                      int64_t seq) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < heads->count && rc == SQLITE_OK; i++)
        if (!heads->items[i].ended && heads->items[i].seq == seq) rc = head_move(c, filter, &heads->items[i]);
    return rc;
}

static int merge(struct sqlite_connection *c, struct store_op *op, struct heads *heads) {
    int rc = SQLITE_OK;
    struct head *head;
    while (rc == SQLITE_OK && (head = newest(heads->items, heads->count))) {
        op->more = op->found_count == op->filter.limit || arena_bytes(op->results) > LIST_BYTES;
        if (op->more) break;
        int64_t seq = head->seq;
        rc = list_row(c, op, seq);
        if (rc == SQLITE_OK) rc = heads_pass(c, &op->filter, heads, seq);
    }
    return rc;
}

/* Puts a head at the group's first row behind its place; a group without such a row needs none. */
static int heads_add(struct sqlite_connection *c, const struct store_filter *filter, struct heads *heads,
                     struct head head) {
    int rc = head_move(c, filter, &head);
    if (rc != SQLITE_OK || head.ended) return rc;
    if (heads->count == heads->room) {
        struct head *before = heads->items;
        heads->room = heads->room ? 2 * heads->room : 16;
        heads->items = arena_array_of(heads->arena, struct head, heads->room);
        if (heads->count) memcpy(heads->items, before, heads->count * sizeof *before);
    }
    heads->items[heads->count++] = head;
    return rc;
}

static bool group_fits(const struct store_filter *filter, sqlite3_stmt *s) {
    if (strcmp(STORE_ATTACHED, column_cstr(s, 2)) == 0) return false;
    if (filter->status && strcmp(filter->status, column_cstr(s, 2)) != 0) return false;
    return filter->stages || !filter->sees || filter->sees(filter->rights, column_cstr(s, 1));
}

/* Those of a stage, or of all (NULL). */
static int add_groups(struct sqlite_connection *c, const struct store_filter *filter, const char *stage,
                      struct head head, struct heads *heads) {
    sqlite3_stmt *s;
    int rc = prepare(c, stage ? STATEMENT_GROUPS_OF_STAGE : STATEMENT_GROUPS, &s);
    if (rc != SQLITE_OK) return rc;
    if (stage) bind_cstr(s, 1, stage);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        head.group = sqlite3_column_int64(s, 0);
        if (group_fits(filter, s) && (rc = heads_add(c, filter, heads, head)) != SQLITE_OK) break;
    }
    return settle(s, rc);
}

static int add_heads(struct sqlite_connection *c, const struct store_filter *filter, struct head from,
                     struct heads *heads) {
    if (!filter->stages && !filter->status && !filter->sees) return heads_add(c, filter, heads, from);
    if (!filter->stages) return add_groups(c, filter, NULL, from, heads);
    int rc = SQLITE_OK;
    for (size_t i = 0; i < filter->stage_count && rc == SQLITE_OK; i++)
        rc = add_groups(c, filter, filter->stages[i], from, heads);
    return rc;
}

static int list(struct sqlite_connection *c, struct store_op *op) {
    const struct store_filter *filter = &op->filter;
    struct heads heads = {.arena = store_results(op)};
    assert(filter->limit >= 1 && filter->limit <= 1000);
    op->found = arena_array_of(op->results, struct store_record, filter->limit);
    struct head from;
    int rc = find_cursor(c, op, &from);
    op->outcome = from.ended ? STORE_MISSING : STORE_DONE;
    if (from.ended || rc != SQLITE_OK) return rc;
    rc = add_heads(c, filter, from, &heads);
    return rc == SQLITE_OK ? merge(c, op, &heads) : rc;
}

static int at_places(struct sqlite_connection *c, struct store_op *op) {
    int rc = SQLITE_OK;
    op->found = arena_array_of(store_results(op), struct store_record, op->place_count);
    op->outcome = STORE_DONE;
    while (op->passed < op->place_count && rc == SQLITE_OK && arena_bytes(op->results) < AT_BYTES)
        rc = list_row(c, op, op->places[op->passed++]);
    return rc;
}

int sqlite_op_read(struct sqlite_connection *c, struct store_op *op) {
    switch (op->kind) {
    case STORE_GET: return get(c, op);
    case STORE_FIND_KEY: return find_key(c, op);
    case STORE_AT: return at_places(c, op);
    default: return list(c, op);
    }
}

/* Places alone are sorted, and no row is looked at: those are large. */
int sqlite_op_places(struct sqlite_connection *c, int64_t **ret_places, size_t *ret_count) {
    sqlite3_stmt *s;
    size_t room = 64, count = 0;
    int rc = prepare(c, STATEMENT_EACH_OPEN, &s);
    if (rc != SQLITE_OK) return rc;
    int64_t *places = mem_alloc(room * sizeof *places);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (count == room) places = mem_resize(places, (room *= 2) * sizeof *places);
        places[count++] = sqlite3_column_int64(s, 0);
    }
    rc = settle(s, rc);
    *ret_places = rc == SQLITE_OK ? places : NULL;
    *ret_count = rc == SQLITE_OK ? count : 0;
    if (rc != SQLITE_OK) mem_free(places);
    return rc;
}

int sqlite_op_each_stage(struct sqlite_connection *c, void (*fn)(void *arg, const char *stage), void *arg) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_GROUPS, &s);
    if (rc != SQLITE_OK) return rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) fn(arg, column_cstr(s, 1));
    return settle(s, rc);
}

int sqlite_op_definition(struct sqlite_connection *c, const char *hash, char **ret_source) {
    sqlite3_stmt *s;
    *ret_source = NULL;
    int rc = prepare(c, STATEMENT_DEFINITION, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, hash);
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) *ret_source = mem_strdup(column_cstr(s, 0));
    return settle(s, rc);
}

int sqlite_op_add_key(struct sqlite_connection *c, const char *key) {
    sqlite3_stmt *s;
    int rc = prepare(c, STATEMENT_ADD_KEY, &s);
    if (rc != SQLITE_OK) return rc;
    bind_cstr(s, 1, key);
    return settle(s, sqlite3_step(s));
}

int sqlite_op_key(struct sqlite_connection *c, char **ret_key) {
    sqlite3_stmt *s;
    *ret_key = NULL;
    int rc = prepare(c, STATEMENT_KEY, &s);
    if (rc != SQLITE_OK) return rc;
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) *ret_key = mem_strdup(column_cstr(s, 0));
    return settle(s, rc);
}

/* ---- transactions and connections ---- */

int sqlite_op_begin(struct sqlite_connection *c, bool writes) {
    return run(c, writes ? STATEMENT_BEGIN_WRITE : STATEMENT_BEGIN_READ);
}

int sqlite_op_commit(struct sqlite_connection *c) {
    return run(c, STATEMENT_COMMIT);
}

void sqlite_op_undo(struct sqlite_connection *c) { /* some errors have rolled back by themselves */
    if (c->groups) groups_forget(c->groups);
    if (!sqlite3_get_autocommit(c->db)) run(c, STATEMENT_ROLLBACK);
}

int sqlite_op_probe(struct sqlite_connection *c) {
    return run(c, STATEMENT_PROBE);
}

static int ask_number(struct sqlite_connection *c, enum statement id, int64_t *ret) {
    sqlite3_stmt *s;
    int rc = prepare(c, id, &s);
    if (rc != SQLITE_OK) return rc;
    rc = sqlite3_step(s);
    *ret = sqlite3_column_int64(s, 0);
    return settle(s, rc);
}

int sqlite_op_pages(struct sqlite_connection *c, int64_t *ret_pages, int64_t *ret_free) {
    int rc = ask_number(c, STATEMENT_PAGES, ret_pages);
    return rc == SQLITE_OK ? ask_number(c, STATEMENT_FREE_PAGES, ret_free) : rc;
}

int sqlite_op_prepare_all(struct sqlite_connection *c) {
    int rc = SQLITE_OK;
    sqlite3_stmt *unused;
    for (size_t i = 0; i < STATEMENT_END && rc == SQLITE_OK; i++) rc = prepare(c, (enum statement)i, &unused);
    return rc;
}

void sqlite_op_disconnect(struct sqlite_connection *c) {
    for (size_t i = 0; i < STATEMENT_END; i++) sqlite3_finalize(c->prepared[i]);
    sqlite3_close(c->db);
    groups_free(c->groups);
    *c = (struct sqlite_connection){0};
}
