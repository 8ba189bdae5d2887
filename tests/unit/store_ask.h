/* Asking a store from a test's own loop, as engines do, and looking at its file past it. */
#ifndef STORE_ASK_H
#define STORE_ASK_H

#include <event2/event.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

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

static inline uint64_t store_number_at(const unsigned char *at) {
    uint64_t number = 0;
    for (int i = 7; i >= 0; i--) number = number << 8 | at[i];
    return number;
}

/* Of the runs in a note that have no row: their count, and the highest id. A run is four numbers and four texts there,
 * of which the first is its id. */
static inline int store_note(sqlite3 *db, const unsigned char *at, size_t len, char max_id[STORE_ID_SIZE]) {
    int count = 0;
    for (const unsigned char *end = at + len; at < end;) {
        sqlite3_stmt *s;
        char id[STORE_ID_SIZE] = "";
        at += 4 * 8;
        for (int text = 0; text < 4; text++) {
            size_t bytes = store_number_at(at) == UINT64_MAX ? 0 : (size_t)store_number_at(at);
            assert_true(bytes <= (size_t)(end - at) - 8);
            if (text == 0) memcpy(id, at + 8, bytes);
            at += 8 + bytes;
        }
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT 1 FROM runs WHERE id = ?", -1, &s, NULL), SQLITE_OK);
        sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
        if (sqlite3_step(s) == SQLITE_DONE) {
            count++;
            if (strcmp(id, max_id) > 0) memcpy(max_id, id, sizeof id);
        }
        sqlite3_finalize(s);
    }
    return count;
}

/* Runs in a file, with rows or without; -1: it has no tables yet. */
static inline int store_runs_in(sqlite3 *db, char max_id[STORE_ID_SIZE]) {
    sqlite3_stmt *s;
    *max_id = 0;
    if (sqlite3_prepare_v2(db, "SELECT records FROM run_starts", -1, &s, NULL) != SQLITE_OK) return -1;
    int count = 0;
    while (sqlite3_step(s) == SQLITE_ROW) {
        const unsigned char *at = sqlite3_column_blob(s, 0);
        count += store_note(db, at, (size_t)sqlite3_column_bytes(s, 0), max_id);
    }
    sqlite3_finalize(s);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*), ifnull(max(id), '') FROM runs", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    count += sqlite3_column_int(s, 0);
    const char *id = (const char *)sqlite3_column_text(s, 1);
    if (strcmp(id, max_id) > 0) snprintf(max_id, STORE_ID_SIZE, "%s", id);
    sqlite3_finalize(s);
    return count;
}

/* As a crash would leave them. */
static inline int store_runs(const char *url) {
    sqlite3 *db;
    char max_id[STORE_ID_SIZE];
    assert_int_equal(sqlite3_open_v2(url + strlen("sqlite:"), &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    int count = store_runs_in(db, max_id);
    sqlite3_close(db);
    return count;
}

#endif
