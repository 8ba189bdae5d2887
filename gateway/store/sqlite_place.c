/* Where runs are in their table.
 *
 * Most runs end soon after they have begun, and are then looked for by their id. So the places of the latest are
 * remembered, each where its id's hash says, for as long as no other takes that: what is remembered is right, and what
 * is not is looked for in the index of ids. */
#include "store/sqlite_place.h"

#include <string.h>

#include "store/sqlite_tail.h"

#define PLACE_MS_MOST ((INT64_C(1) << 43) - 2) /* in the year 2248; there is a place behind it */
#define RECENT 8192

struct recent {
    struct {
        char id[STORE_ID_SIZE];
        int64_t place;
    } runs[RECENT];
};

int64_t place_first(int64_t created_ms) {
    if (created_ms < 0) created_ms = 0;
    if (created_ms > PLACE_MS_MOST) created_ms = PLACE_MS_MOST;
    return created_ms << PLACE_BITS;
}

static int place_before(struct sqlite_connection *c, int64_t before, int64_t *ret) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_PLACE_BEFORE, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, before);
    rc = sqlite3_step(s);
    int64_t row = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1, noted = tail_place_before(c, before);
    *ret = row > noted ? row : noted;
    return statement_settle(s, rc);
}

/* Most runs are newer than all others, which needs no look. */
int place_next(struct sqlite_connection *c, int64_t created_ms, int64_t *ret) {
    int64_t first = place_first(created_ms), end = first + (INT64_C(1) << PLACE_BITS), last = c->last_place;
    int rc = SQLITE_OK;
    if (!last) rc = place_before(c, INT64_MAX, &last);
    if (rc == SQLITE_OK && last > c->last_place) c->last_place = last;
    if (rc == SQLITE_OK && last >= end) rc = place_before(c, end, &last);
    *ret = last < first ? first : last + 1;
    if (*ret > c->last_place) c->last_place = *ret;
    return rc;
}

/* ---- those that were added last ---- */

static size_t slot_of(const char *id) {
    uint32_t value = 2166136261u;
    for (const char *at = id; *at; at++) value = (value ^ (unsigned char)*at) * 16777619u;
    return (value ^ value >> 16) % RECENT;
}

void place_remember(struct sqlite_connection *c, const char *id, int64_t place) {
    size_t slot = slot_of(id);
    if (!c->recent) c->recent = mem_alloc(sizeof *c->recent);
    memcpy(c->recent->runs[slot].id, id, STORE_ID_SIZE);
    c->recent->runs[slot].place = place;
}

void place_forget(struct sqlite_connection *c) {
    mem_free(c->recent);
    c->recent = NULL;
}

int place_find(struct sqlite_connection *c, const char *id, int64_t *ret) {
    size_t slot = slot_of(id);
    if (c->recent && strcmp(c->recent->runs[slot].id, id) == 0) {
        *ret = c->recent->runs[slot].place;
        return SQLITE_OK;
    }
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_PLACE, &s);
    if (rc != SQLITE_OK) return rc;
    statement_bind_cstr(s, 1, id);
    rc = sqlite3_step(s);
    *ret = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    return statement_settle(s, rc);
}
