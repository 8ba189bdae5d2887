/* What SQLite itself can do: rows of a kilobyte, inserted and committed durably, so many to a commit, by one thread.
 *
 *     bench_sqlite FILE ROWS_A_COMMIT SECONDS      {"rows_per_s": …} */
#include <sqlite3.h>

#include "rows.h"

static void must(sqlite3 *db, int code) {
    if (code == SQLITE_OK || code == SQLITE_DONE) return;
    fprintf(stderr, "bench_sqlite: %s\n", sqlite3_errmsg(db));
    exit(1);
}

struct target {
    sqlite3 *db;
    sqlite3_stmt *statement;
};

static void insert(const struct target *to, long long number, const char *body) {
    char id[ROW_ID_SIZE];
    row_id(id, number);
    must(to->db, sqlite3_bind_text(to->statement, 1, id, -1, SQLITE_TRANSIENT));
    must(to->db, sqlite3_bind_text(to->statement, 2, body, -1, SQLITE_STATIC));
    must(to->db, sqlite3_step(to->statement));
    must(to->db, sqlite3_reset(to->statement));
}

static void commit(void *target, const struct rows *rows, long long first) {
    const struct target *to = target;
    must(to->db, sqlite3_exec(to->db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    for (long i = 0; i < rows->batch; i++) insert(to, first + i, rows->body);
    must(to->db, sqlite3_exec(to->db, "COMMIT", NULL, NULL, NULL));
}

int main(int argc, char **argv) {
    struct target to;
    if (argc != 4) return 2;
    struct rows rows = rows_of(argv);
    must(NULL, sqlite3_open(argv[1], &to.db));
    must(to.db, sqlite3_exec(to.db,
                             "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                             "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID;"
                             "DELETE FROM runs;",
                             NULL, NULL, NULL));
    must(to.db, sqlite3_prepare_v2(to.db, "INSERT INTO runs VALUES (?, ?)", -1, &to.statement, NULL));
    rows_run(&rows, commit, &to);
    sqlite3_finalize(to.statement);
    sqlite3_close(to.db);
    return 0;
}
