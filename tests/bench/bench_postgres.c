/* What PostgreSQL itself can do: rows of a kilobyte, inserted and committed durably, so many to a commit, over one
 * connection in pipeline mode.
 *
 *     bench_postgres CONNINFO ROWS_A_COMMIT SECONDS      {"rows_per_s": …} */
#include <libpq-fe.h>
#include <stdbool.h>

#include "rows.h"

static void must(PGconn *db, bool good) {
    if (good) return;
    fprintf(stderr, "bench_postgres: %s\n", PQerrorMessage(db));
    exit(1);
}

static void run(PGconn *db, const char *sql) {
    PGresult *result = PQexec(db, sql);
    must(db, PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
}

static void insert(PGconn *db, long long number, const char *body) {
    char id[ROW_ID_SIZE];
    const char *values[] = {id, body};
    row_id(id, number);
    must(db, PQsendQueryPrepared(db, "put", 2, values, NULL, NULL, 0));
}

/* Until the commit is answered. */
static void wait_for_commit(PGconn *db) {
    bool synced = false;
    while (!synced) {
        PGresult *result = PQgetResult(db);
        if (!result) continue; /* stands between two answers */
        ExecStatusType status = PQresultStatus(result);
        must(db, status == PGRES_COMMAND_OK || status == PGRES_PIPELINE_SYNC);
        synced = status == PGRES_PIPELINE_SYNC;
        PQclear(result);
    }
}

static void commit(void *db, const struct rows *rows, long long first) {
    for (long i = 0; i < rows->batch; i++) insert(db, first + i, rows->body); /* up to a sync it is one transaction */
    must(db, PQpipelineSync(db) == 1);
    wait_for_commit(db);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    struct rows rows = rows_of(argv);
    PGconn *db = PQconnectdb(argv[1]);
    must(db, PQstatus(db) == CONNECTION_OK);
    run(db, "SET client_min_messages = warning");
    run(db, "DROP TABLE IF EXISTS runs");
    run(db, "CREATE TABLE runs (id TEXT PRIMARY KEY, body TEXT)");
    PGresult *prepared = PQprepare(db, "put", "INSERT INTO runs VALUES ($1, $2)", 2, NULL);
    must(db, PQresultStatus(prepared) == PGRES_COMMAND_OK);
    PQclear(prepared);
    must(db, PQenterPipelineMode(db) == 1);
    rows_run(&rows, commit, db);
    PQfinish(db);
    return 0;
}
