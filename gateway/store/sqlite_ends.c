/* When runs ended, for those who delete old ones.
 *
 * An index of ends would be paid for by each run, to be used once, days later. Runs that end in one commit end within
 * milliseconds of each other: they share a row, which has the places of all of them, and whose own place (seq) is made
 * of the time of the first end among them. So the row says only from when on there may be something to delete; each
 * run's own row says whether it is old enough, and the places of those that are not stay in the row.
 *
 * Always holds after a commit: the place of each run that is over is in a row of a time not later than its end. */
#include "store/sqlite_ends.h"

#include "base/text.h"
#include "store/sqlite_place.h"

#define PLACES_BYTES (16 << 20) /* of a commit: some 20 a run */

struct ends {
    struct buf places; /* as a list in JSON, without its end */
    int64_t first_ms;
};

void ends_note(struct sqlite_connection *c, int64_t place, int64_t ended_ms) {
    if (!c->ends) {
        c->ends = mem_alloc(sizeof *c->ends);
        buf_init(&c->ends->places, PLACES_BYTES);
    }
    struct ends *ends = c->ends;
    bool first = ends->places.len == 0;
    buf_addc(&ends->places, first ? '[' : ',');
    buf_addi(&ends->places, place);
    if (first || ended_ms < ends->first_ms) ends->first_ms = ended_ms;
}

void ends_drop(struct sqlite_connection *c) {
    if (c->ends) buf_clear(&c->ends->places);
}

void ends_free(struct ends *ends) {
    if (!ends) return;
    buf_fini(&ends->places);
    mem_free(ends);
}

int ends_write(struct sqlite_connection *c) {
    if (!c->ends || c->ends->places.len == 0) return SQLITE_OK;
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_ADD_ENDS, &s);
    if (rc != SQLITE_OK) return rc;
    int64_t first = place_first(c->ends->first_ms);
    buf_addc(&c->ends->places, ']');
    sqlite3_bind_int64(s, 1, first);
    sqlite3_bind_int64(s, 2, first + (INT64_C(1) << PLACE_BITS) - 1);
    statement_bind_cstr(s, 3, buf_cstr(&c->ends->places));
    rc = statement_settle(s, sqlite3_step(s));
    ends_drop(c);
    return rc;
}

/* ---- deleting ---- */

static int next_row(struct sqlite_connection *c, int64_t before_ms, int64_t *row) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_NEXT_ENDS, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, *row);
    sqlite3_bind_int64(s, 2, place_first(before_ms));
    rc = sqlite3_step(s);
    *row = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    return statement_settle(s, rc);
}

static int prune_row(struct sqlite_connection *c, int64_t row, int64_t before_ms, size_t most) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_PRUNE, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, row);
    sqlite3_bind_int64(s, 2, before_ms);
    sqlite3_bind_int64(s, 3, (int64_t)most);
    return statement_settle(s, sqlite3_step(s));
}

static int change_row(struct sqlite_connection *c, enum statement id, int64_t row) {
    sqlite3_stmt *s;
    int rc = statement_find(c, id, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, row);
    return statement_settle(s, sqlite3_step(s));
}

int ends_prune(struct sqlite_connection *c, int64_t before_ms, size_t most, size_t *ret_count) {
    int64_t row = -1;
    *ret_count = 0;
    place_forget(c);
    int rc = next_row(c, before_ms, &row);
    while (rc == SQLITE_OK && row >= 0 && *ret_count < most) {
        rc = prune_row(c, row, before_ms, most - *ret_count);
        if (rc == SQLITE_OK) *ret_count += (size_t)sqlite3_changes(c->db);
        if (rc == SQLITE_OK) rc = change_row(c, STATEMENT_LEAVE_ENDS, row);
        if (rc == SQLITE_OK) rc = change_row(c, STATEMENT_DROP_ENDS, row);
        if (rc == SQLITE_OK) rc = next_row(c, before_ms, &row);
    }
    return rc;
}
