/* What SQLite itself can do: rows of a kilobyte, inserted and committed durably, so many to a commit, by one thread.
 *
 *     bench_sqlite FILE ROWS_A_COMMIT SECONDS      {"rows_per_s": …} */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void must(sqlite3 *db, int code) {
    if (code == SQLITE_OK || code == SQLITE_DONE) return;
    fprintf(stderr, "bench_sqlite: %s\n", sqlite3_errmsg(db));
    exit(1);
}

static void insert(sqlite3 *db, sqlite3_stmt *statement, long long id, const char *body) {
    char text[32];
    snprintf(text, sizeof text, "%026lld", id);
    must(db, sqlite3_bind_text(statement, 1, text, -1, SQLITE_TRANSIENT));
    must(db, sqlite3_bind_text(statement, 2, body, -1, SQLITE_STATIC));
    must(db, sqlite3_step(statement));
    must(db, sqlite3_reset(statement));
}

int main(int argc, char **argv) {
    sqlite3 *db;
    sqlite3_stmt *statement;
    char body[1001];
    if (argc != 4) return 2;
    long batch = strtol(argv[2], NULL, 10);
    double seconds = strtod(argv[3], NULL);
    memset(body, 'x', 1000);
    body[1000] = 0;
    must(NULL, sqlite3_open(argv[1], &db));
    must(db, sqlite3_exec(db,
                          "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                          "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID;"
                          "DELETE FROM runs;",
                          NULL, NULL, NULL));
    must(db, sqlite3_prepare_v2(db, "INSERT INTO runs VALUES (?, ?)", -1, &statement, NULL));
    long long rows = 0;
    double began = now_s();
    while (now_s() - began < seconds) {
        must(db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
        for (long i = 0; i < batch; i++) insert(db, statement, ++rows, body);
        must(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
    }
    printf("{\"rows_per_s\": %.1f}\n", (double)rows / (now_s() - began));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return 0;
}
