/* Asking a store from a test's own loop, as engines do, and looking at its file past it. */
#ifndef STORE_ASK_H
#define STORE_ASK_H

#include <event2/event.h>
#include <sqlite3.h>

#include "store/store.h"

static inline void store_ask_done(struct store_op *op) {
    --*(size_t *)op->arg;
}

/* *left counts what is under way. */
static inline void store_hand_over(struct store *store, struct loop *loop, struct store_op *op, size_t *left) {
    op->loop = loop;
    op->done = store_ask_done;
    op->arg = left;
    ++*left;
    store_submit(store, op);
}

static inline void store_wait(struct loop *loop, const size_t *left) {
    while (*left) event_base_loop(loop_base(loop), EVLOOP_ONCE);
}

static inline enum store_outcome store_carry_out(struct store *store, struct loop *loop, struct store_op *op) {
    size_t left = 0;
    store_hand_over(store, loop, op, &left);
    assert_int_equal(left, 1); /* never answered before submit has returned */
    store_wait(loop, &left);
    return op->outcome;
}

/* Somebody else writes to the file. */
static inline void store_meddle(const char *url, const char *sql) {
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open_v2(url + strlen("sqlite:"), &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

/* Runs in the file, as a crash would leave them. */
static inline int store_rows(const char *url) {
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open_v2(url + strlen("sqlite:"), &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM runs", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int count = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return count;
}

#endif
