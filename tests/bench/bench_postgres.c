/* What PostgreSQL itself can do: rows of a kilobyte, inserted and committed durably, so many to a commit, over one
 * connection in pipeline mode.
 *
 *     bench_postgres CONNINFO ROWS_A_COMMIT SECONDS      {"rows_per_s": …} */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

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

static void insert(PGconn *db, long long id, const char *body) {
    char text[32];
    const char *values[] = {text, body};
    snprintf(text, sizeof text, "%026lld", id);
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

int main(int argc, char **argv) {
    char body[1001];
    if (argc != 4) return 2;
    long batch = strtol(argv[2], NULL, 10);
    double seconds = strtod(argv[3], NULL);
    memset(body, 'x', 1000);
    body[1000] = 0;
    PGconn *db = PQconnectdb(argv[1]);
    must(db, PQstatus(db) == CONNECTION_OK);
    run(db, "SET client_min_messages = warning");
    run(db, "DROP TABLE IF EXISTS runs");
    run(db, "CREATE TABLE runs (id TEXT PRIMARY KEY, body TEXT)");
    PGresult *prepared = PQprepare(db, "put", "INSERT INTO runs VALUES ($1, $2)", 2, NULL);
    must(db, PQresultStatus(prepared) == PGRES_COMMAND_OK);
    PQclear(prepared);
    must(db, PQenterPipelineMode(db) == 1);
    long long rows = 0;
    double began = now_s();
    while (now_s() - began < seconds) {
        for (long i = 0; i < batch; i++) insert(db, ++rows, body); /* up to a sync it is one transaction */
        must(db, PQpipelineSync(db) == 1);
        wait_for_commit(db);
    }
    printf("{\"rows_per_s\": %.1f}\n", (double)rows / (now_s() - began));
    PQfinish(db);
    return 0;
}
