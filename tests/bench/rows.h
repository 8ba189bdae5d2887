/* What a database itself can do: rows of a kilobyte, inserted and committed durably, so many to a commit, by one
 * thread. Of bench_sqlite and bench_postgres: FILE ROWS_A_COMMIT SECONDS, and {"rows_per_s": …}. Header only, since
 * each bench is one file. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROW_ID_SIZE 32

struct rows {
    long batch;
    double seconds;
    char body[1001];
};

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct rows rows_of(char **argv) {
    struct rows rows = {.batch = strtol(argv[2], NULL, 10), .seconds = strtod(argv[3], NULL)};
    memset(rows.body, 'x', sizeof rows.body - 1);
    return rows;
}

static void row_id(char id[ROW_ID_SIZE], long long number) {
    snprintf(id, ROW_ID_SIZE, "%026lld", number);
}

/* `commit` inserts a batch of rows, the first of which has that number, and commits them. */
static void rows_run(const struct rows *rows, void (*commit)(void *db, const struct rows *rows, long long first),
                     void *db) {
    long long count = 0;
    double began = now_s();
    for (; now_s() - began < rows->seconds; count += rows->batch) commit(db, rows, count + 1);
    printf("{\"rows_per_s\": %.1f}\n", (double)count / (now_s() - began));
}

#endif
