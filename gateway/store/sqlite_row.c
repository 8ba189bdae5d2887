/* Rows of runs: how they are added, and whether there is one.
 *
 * All rows that a commit adds are added by one statement, which reads them from a table that is not there (a virtual
 * one): to bind and to begin a statement for each, and to find its place in each index from the root, would take twice
 * as long.
 *
 * New rows fill their page, and those of runs in flight grow as these end: without `room` in them, pages would have to
 * be split. */
#include "store/sqlite_row.h"

#include <stdio.h>
#include <string.h>

#include "store/sqlite_ends.h"
#include "store/sqlite_place.h"

#define ROOM_BYTES 256 /* what an end adds to most records, or less */

void row_bind_body(sqlite3_stmt *s, int at, struct text body) {
    sqlite3_bind_blob64(s, at, body.at ? body.at : "", body.len, SQLITE_STATIC);
}

static void was_added(struct sqlite_connection *c, const struct row *row) {
    const struct store_record *record = &row->record;
    if (record->ended_ms) ends_note(c, row->place, record->ended_ms);
    else place_remember(c, record->id, row->place);
    if (strcmp(record->id, c->newest_id) > 0) memcpy(c->newest_id, record->id, sizeof c->newest_id);
}

/* ---- what is added, as a table ---- */

struct cursor {
    sqlite3_vtab_cursor base;
    struct sqlite_connection *c;
    size_t at;
};

struct source {
    sqlite3_vtab base;
    struct sqlite_connection *c;
};

static struct cursor *cursor_of(sqlite3_vtab_cursor *base) {
    return (struct cursor *)(void *)base;
}

static int on_connect(sqlite3 *db, void *c, int argc, const char *const *argv, sqlite3_vtab **ret, char **message) {
    (void)argc, (void)argv, (void)message;
    struct source *source = mem_alloc(sizeof *source);
    source->c = c;
    *ret = &source->base;
    return sqlite3_declare_vtab(db, "CREATE TABLE new_rows (seq, id, stage, key, in_group, created_ms, updated_ms,"
                                    " ended_ms, body, room)");
}

static int on_disconnect(sqlite3_vtab *source) {
    mem_free(source);
    return SQLITE_OK;
}

static int on_plan(sqlite3_vtab *source, sqlite3_index_info *info) {
    (void)source, (void)info;
    return SQLITE_OK;
}

static int on_open(sqlite3_vtab *source, sqlite3_vtab_cursor **ret) {
    struct cursor *cursor = mem_alloc(sizeof *cursor);
    cursor->c = ((struct source *)(void *)source)->c;
    *ret = &cursor->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *cursor) {
    mem_free(cursor);
    return SQLITE_OK;
}

static int on_filter(sqlite3_vtab_cursor *base, int plan, const char *name, int argc, sqlite3_value **argv) {
    (void)plan, (void)name, (void)argc, (void)argv;
    cursor_of(base)->at = 0;
    return SQLITE_OK;
}

static int on_end(sqlite3_vtab_cursor *base) {
    const struct cursor *cursor = cursor_of(base);
    return cursor->at == cursor->c->new_row_count;
}

static int on_next(sqlite3_vtab_cursor *base) {
    cursor_of(base)->at++;
    return SQLITE_OK;
}

static void give_text(sqlite3_context *to, const char *text) {
    if (text) sqlite3_result_text(to, text, -1, SQLITE_STATIC);
}

static void give_body(sqlite3_context *to, struct text body) {
    sqlite3_result_blob64(to, body.at ? body.at : "", body.len, SQLITE_STATIC);
}

static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int column) {
    const struct cursor *cursor = cursor_of(base);
    const struct row *row = &cursor->c->new_rows[cursor->at];
    const struct store_record *record = &row->record;
    switch (column) {
    case 0: sqlite3_result_int64(to, row->place); break;
    case 1: give_text(to, record->id); break;
    case 2: give_text(to, record->stage); break;
    case 3: give_text(to, record->key); break;
    case 4: sqlite3_result_int64(to, row->group); break;
    case 5: sqlite3_result_int64(to, record->created_ms); break;
    case 6: sqlite3_result_int64(to, record->updated_ms); break;
    case 7: sqlite3_result_int64(to, record->ended_ms); break;
    case 8: give_body(to, record->body); break;
    default:
        if (!record->ended_ms) sqlite3_result_zeroblob(to, ROOM_BYTES);
    }
    return SQLITE_OK;
}

static int on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret) {
    *ret = (sqlite3_int64)cursor_of(base)->at;
    return SQLITE_OK;
}

static const sqlite3_module new_rows = {.xConnect = on_connect,
                                        .xBestIndex = on_plan,
                                        .xDisconnect = on_disconnect,
                                        .xOpen = on_open,
                                        .xClose = on_close,
                                        .xFilter = on_filter,
                                        .xNext = on_next,
                                        .xEof = on_end,
                                        .xColumn = on_column,
                                        .xRowid = on_rowid};

int row_offer(struct sqlite_connection *c) {
    return sqlite3_create_module(c->db, "new_rows", &new_rows, c);
}

/* What is remembered of its id may be of a row that was there before. */
static int find_added(struct sqlite_connection *c, struct row *row) {
    int64_t place;
    place_forget(c);
    int rc = place_find(c, row->record.id, &place);
    row->added = rc == SQLITE_OK && place == row->place;
    return rc;
}

int row_add(struct sqlite_connection *c, struct row *rows, size_t count) {
    c->new_rows = rows;
    c->new_row_count = count;
    int rc = statement_run(c, STATEMENT_INSERT);
    bool all = rc == SQLITE_OK && (size_t)sqlite3_changes(c->db) == count;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
        if (all) rows[i].added = true;
        else rc = find_added(c, &rows[i]);
    }
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
        if (rows[i].added) was_added(c, &rows[i]);
    return rc;
}

/* ---- what is there ---- */

static int learn_newest_id(struct sqlite_connection *c) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_NEWEST_ID, &s);
    if (rc != SQLITE_OK) return rc;
    rc = sqlite3_step(s);
    const char *id = rc == SQLITE_ROW ? statement_cstr(s, 0) : NULL;
    snprintf(c->newest_id, sizeof c->newest_id, "%s", id ? id : "");
    rc = statement_settle(s, rc);
    c->newest_id_known = rc == SQLITE_OK;
    return rc;
}

static int has_key(struct sqlite_connection *c, const struct store_record *record, bool *ret) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_PLACE_OF_KEY, &s);
    if (rc != SQLITE_OK) return rc;
    statement_bind_cstr(s, 1, record->stage);
    statement_bind_cstr(s, 2, record->key);
    rc = sqlite3_step(s);
    *ret = rc == SQLITE_ROW;
    return statement_settle(s, rc);
}

/* Ids sort by the time of their making: most new ones are behind all that have rows, which needs no look. */
int row_exists(struct sqlite_connection *c, const struct store_record *record, bool *ret) {
    int64_t place = -1;
    int rc = c->newest_id_known ? SQLITE_OK : learn_newest_id(c);
    if (rc == SQLITE_OK && strcmp(record->id, c->newest_id) <= 0) rc = place_find(c, record->id, &place);
    *ret = place >= 0;
    return rc == SQLITE_OK && !*ret && record->key ? has_key(c, record, ret) : rc;
}
