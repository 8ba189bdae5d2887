/* The statements of the embedded store.
 *
 * They are prepared when they are first needed, and kept by their connection. Here they stand beside each other, since
 * together they say what the tables and their indexes are for; what they mean is said where they are used. */
#include "store/sqlite_statement.h"

#include <stdio.h>

#define TEXT_OF(number) TEXT_OF_IT(number)
#define TEXT_OF_IT(number) #number
#define RECORDS                                                                                        \
    "SELECT id, runs.stage, key, status, definition, created_ms, updated_ms, ended_ms, body FROM runs" \
    " CROSS JOIN run_groups ON number = in_group WHERE "
#define NEWEST "seq < ?1 AND seq >= ?2 ORDER BY seq DESC LIMIT 1"

static const char *const sql_of[STATEMENT_END] = {
    [STATEMENT_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [STATEMENT_BEGIN_READ] = "BEGIN",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
    [STATEMENT_ADD_DEFINITION] = "INSERT INTO definitions (hash, source) VALUES (?, ?) ON CONFLICT DO NOTHING",
    [STATEMENT_FIND_GROUP] =
        "SELECT number FROM run_groups WHERE stage = ? AND definition = ? AND status = ? AND over = ?",
    [STATEMENT_ADD_GROUP] = "INSERT INTO run_groups (stage, definition, status, over) VALUES (?, ?, ?, ?)",
    [STATEMENT_INSERT] = "INSERT OR IGNORE INTO runs (seq, id, stage, key, in_group, created_ms, updated_ms, ended_ms,"
                         " body, room) SELECT * FROM new_rows",
    [STATEMENT_UPDATE_BODY] = "UPDATE runs SET updated_ms = ?2, body = ?3 WHERE seq = ?1 AND in_group = ?4",
    [STATEMENT_UPDATE] =
        "UPDATE runs SET updated_ms = ?2, body = ?3, in_group = ?4, ended_ms = ?5, room = NULL WHERE seq = ?1",
    [STATEMENT_ADD_STARTS] = "INSERT INTO run_starts (seq, records) VALUES (?, ?)",
    [STATEMENT_DROP_STARTS] = "DELETE FROM run_starts WHERE seq = ?",
    [STATEMENT_EACH_STARTS] = "SELECT seq, records FROM run_starts ORDER BY seq",
    [STATEMENT_ADD_ENDS] = "INSERT INTO run_ends (seq, places) VALUES"
                           " (1 + ifnull((SELECT max(seq) FROM run_ends WHERE seq BETWEEN ?1 AND ?2), ?1 - 1), ?3)",
    [STATEMENT_NEXT_ENDS] = "SELECT seq FROM run_ends WHERE seq > ?1 AND seq < ?2 ORDER BY seq LIMIT 1",
    [STATEMENT_PRUNE] = "DELETE FROM runs WHERE seq IN (SELECT r.seq FROM run_ends AS e CROSS JOIN json_each(places)"
                        " CROSS JOIN runs AS r ON r.seq = value"
                        " WHERE e.seq = ?1 AND r.ended_ms <> 0 AND r.ended_ms < ?2 LIMIT ?3)",
    [STATEMENT_LEAVE_ENDS] = "UPDATE run_ends SET places = (SELECT json_group_array(value) FROM json_each(places)"
                             " WHERE EXISTS (SELECT 1 FROM runs WHERE runs.seq = value)) WHERE seq = ?1",
    [STATEMENT_DROP_ENDS] = "DELETE FROM run_ends WHERE seq = ?1 AND places = '[]'",
    [STATEMENT_PRUNE_GROUPS] = "DELETE FROM run_groups WHERE NOT EXISTS (SELECT 1 FROM runs WHERE in_group = number)",
    [STATEMENT_PRUNE_DEFINITIONS] = "DELETE FROM definitions"
                                    " WHERE hash NOT IN (SELECT definition FROM run_groups WHERE over = 0)",
    [STATEMENT_GET] = RECORDS "id = ?",
    [STATEMENT_FIND_KEY] = RECORDS "runs.stage = ? AND key = ?",
    [STATEMENT_PLACE] = "SELECT seq FROM runs WHERE id = ?",
    [STATEMENT_PLACE_BEFORE] = "SELECT seq FROM runs WHERE seq < ? ORDER BY seq DESC LIMIT 1",
    [STATEMENT_PLACE_OF_KEY] = "SELECT seq FROM runs WHERE stage = ? AND key = ?",
    [STATEMENT_NEWEST_ID] = "SELECT max(id) FROM runs",
    [STATEMENT_HEAD] = "SELECT seq FROM runs CROSS JOIN run_groups ON number = in_group"
                       " WHERE status <> '" STORE_ATTACHED "' AND " NEWEST,
    [STATEMENT_HEAD_OF_GROUP] = "SELECT seq FROM runs WHERE in_group = ?3 AND " NEWEST,
    [STATEMENT_GROUPS] = "SELECT number, stage, status FROM run_groups",
    [STATEMENT_GROUPS_OF_STAGE] = "SELECT number, stage, status FROM run_groups WHERE stage = ?",
    [STATEMENT_ROW] = RECORDS "seq = ?",
    [STATEMENT_EACH_OPEN] =
        "SELECT seq FROM runs WHERE in_group IN (SELECT number FROM run_groups WHERE over = 0) ORDER BY seq",
    [STATEMENT_DEFINITION] = "SELECT source FROM definitions WHERE hash = ?",
    [STATEMENT_ADD_KEY] = "INSERT INTO keys (name, value) VALUES ('callbacks', ?) ON CONFLICT DO NOTHING",
    [STATEMENT_KEY] = "SELECT value FROM keys WHERE name = 'callbacks'",
    [STATEMENT_PAGES] = "PRAGMA page_count",
    [STATEMENT_FREE_PAGES] = "PRAGMA freelist_count",
    [STATEMENT_PROBE] = "PRAGMA user_version = " TEXT_OF(TABLES_VERSION),
};

int statement_find(struct sqlite_connection *c, enum statement id, sqlite3_stmt **ret) {
    int rc = SQLITE_OK;
    if (!c->prepared[id])
        rc = sqlite3_prepare_v3(c->db, sql_of[id], -1, SQLITE_PREPARE_PERSISTENT, &c->prepared[id], NULL);
    *ret = c->prepared[id];
    return rc;
}

int statement_settle(sqlite3_stmt *s, int rc) {
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int statement_run(struct sqlite_connection *c, enum statement id) {
    sqlite3_stmt *s;
    int rc = statement_find(c, id, &s);
    return rc != SQLITE_OK ? rc : statement_settle(s, sqlite3_step(s));
}

void statement_bind_cstr(sqlite3_stmt *s, int at, const char *value) {
    sqlite3_bind_text(s, at, value, -1, SQLITE_STATIC);
}

const char *statement_cstr(sqlite3_stmt *s, int at) {
    return (const char *)sqlite3_column_text(s, at);
}

/* Borrows from the statement, until its next step. */
static struct store_record read_row(sqlite3_stmt *s) {
    struct store_record record = {.stage = statement_cstr(s, 1),
                                  .key = statement_cstr(s, 2),
                                  .status = statement_cstr(s, 3),
                                  .definition = statement_cstr(s, 4),
                                  .created_ms = sqlite3_column_int64(s, 5),
                                  .updated_ms = sqlite3_column_int64(s, 6),
                                  .ended_ms = sqlite3_column_int64(s, 7)};
    const char *body = sqlite3_column_blob(s, 8); /* before its length is asked for */
    record.body = (struct text){body, (size_t)sqlite3_column_bytes(s, 8)};
    snprintf(record.id, sizeof record.id, "%s", statement_cstr(s, 0));
    return record;
}

void statement_take_record(struct arena *arena, sqlite3_stmt *s, struct store_record *to) {
    *to = read_row(s);
    to->stage = arena_strdup(arena, to->stage);
    to->key = arena_strdup(arena, to->key);
    to->status = arena_strdup(arena, to->status);
    to->definition = arena_strdup(arena, to->definition);
    to->body.at = arena_copy(arena, to->body.at, to->body.len);
}
