/* Lists of runs from the embedded store.
 *
 * The table of runs is in the order of lists, and so is each group (store/sqlite_group) in the one index of groups,
 * which the rowid ends. A list that is not of all runs is merged from groups, one head each. */
#include "store/sqlite_list.h"

#include <assert.h>
#include <string.h>

#include "store/driver.h"
#include "store/sqlite_place.h"

#define LIST_BYTES (32 << 20)

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
    int rc = statement_find(c, head->group ? STATEMENT_HEAD_OF_GROUP : STATEMENT_HEAD, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, head->seq);
    sqlite3_bind_int64(s, 2, filter->since_ms ? place_first(filter->since_ms) : INT64_MIN);
    if (head->group) sqlite3_bind_int64(s, 3, head->group);
    rc = sqlite3_step(s);
    head->ended = rc != SQLITE_ROW;
    if (rc == SQLITE_ROW) head->seq = sqlite3_column_int64(s, 0);
    return statement_settle(s, rc);
}

/* Sets the place that the op's cursor names; `ended` when its run is not there. */
static int find_cursor(struct sqlite_connection *c, struct store_op *op, struct head *ret) {
    const char *id = op->filter.before_id;
    *ret = (struct head){.seq = INT64_MAX};
    if (op->cursor.created_ms) ret->seq = place_first(op->cursor.created_ms + 1);
    if (!id || op->cursor.created_ms) return SQLITE_OK;
    int rc = place_find(c, id, &ret->seq);
    ret->ended = rc == SQLITE_OK && ret->seq < 0;
    op->cursor.created_ms = ret->seq >> PLACE_BITS;
    return rc;
}

static struct head *newest(struct head *heads, size_t count) {
    struct head *best = NULL;
    for (struct head *head = heads; head < heads + count; head++) {
        if (!head->ended && (!best || head->seq > best->seq)) best = head;
    }
    return best;
}

int sqlite_list_row(struct sqlite_connection *c, struct store_op *op, int64_t place) {
    sqlite3_stmt *s;
    int rc = statement_find(c, STATEMENT_ROW, &s);
    if (rc != SQLITE_OK) return rc;
    sqlite3_bind_int64(s, 1, place);
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) statement_take_record(op->results, s, &op->found[op->found_count++]);
    return statement_settle(s, rc);
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
        rc = sqlite_list_row(c, op, seq);
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
    if (strcmp(STORE_ATTACHED, statement_cstr(s, 2)) == 0) return false;
    if (filter->status && strcmp(filter->status, statement_cstr(s, 2)) != 0) return false;
    return filter->stages || !filter->sees || filter->sees(filter->rights, statement_cstr(s, 1));
}

/* Those of a stage, or of all (NULL). */
static int add_groups(struct sqlite_connection *c, const struct store_filter *filter, const char *stage,
                      struct head head, struct heads *heads) {
    sqlite3_stmt *s;
    int rc = statement_find(c, stage ? STATEMENT_GROUPS_OF_STAGE : STATEMENT_GROUPS, &s);
    if (rc != SQLITE_OK) return rc;
    if (stage) statement_bind_cstr(s, 1, stage);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        head.group = sqlite3_column_int64(s, 0);
        if (group_fits(filter, s) && (rc = heads_add(c, filter, heads, head)) != SQLITE_OK) break;
    }
    return statement_settle(s, rc);
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

int sqlite_list(struct sqlite_connection *c, struct store_op *op) {
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
