/* What the gateway's own writer does: records handed to the store by store_submit, as an engine hands them over, and
 * counted when they are acknowledged.
 *
 *     bench_writer FILE starts|runs|jobs STARTERS SECONDS
 *
 * So many starters each write the record of a start; "starts" then begin the next one, and leave a run in flight
 * behind, "runs" write its end first, "jobs" one record before that, as those do that are polled. Prints records a
 * second, the CPU of a record, records a commit, and, seen from below SQLite, the bytes that a record takes in the log
 * and in the file, and its syncs. */
#include <event2/event.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/count.h"
#include "run/id.h"
#include "store/store.h"

/* ---- what reaches the disk ---- */

static struct {
    sqlite3_vfs vfs;
    sqlite3_io_methods methods[2]; /* of the file, of the log */
    const sqlite3_io_methods *real[2];
    atomic_llong bytes[2], syncs;
} disk;

#define WATCH(name, which)                                                                    \
    static int name##_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at) { \
        atomic_fetch_add(&disk.bytes[which], n);                                              \
        return disk.real[which]->xWrite(file, bytes, n, at);                                  \
    }                                                                                         \
    static int name##_sync(sqlite3_file *file, int flags) {                                   \
        atomic_fetch_add(&disk.syncs, 1);                                                     \
        return disk.real[which]->xSync(file, flags);                                          \
    }

WATCH(file, 0)
WATCH(log, 1)

static int disk_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags) {
    (void)vfs;
    sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
    int rc = unix_vfs->xOpen(unix_vfs, name, file, flags, out_flags);
    if (rc != SQLITE_OK || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))) return rc;
    int kind = flags & SQLITE_OPEN_WAL ? 1 : 0;
    disk.real[kind] = file->pMethods;
    disk.methods[kind] = *file->pMethods;
    disk.methods[kind].xWrite = kind ? log_write : file_write;
    disk.methods[kind].xSync = kind ? log_sync : file_sync;
    file->pMethods = &disk.methods[kind];
    return SQLITE_OK;
}

static void watch_disk(void) {
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* as the store does, if nobody has used SQLite before it */
    disk.vfs = *sqlite3_vfs_find("unix");
    disk.vfs.zName = "watched";
    disk.vfs.xOpen = disk_open;
    sqlite3_vfs_register(&disk.vfs, 1);
}

/* ---- starters ---- */

#define BODY_BYTES 1000 /* as bench_sqlite has them */
#define END_ADDS 240    /* to a record: what was replied, and when */

struct starter {
    struct store_op op;
    int changes_left; /* of its run */
};

static struct bench {
    struct store *store;
    struct loop *loop;
    int changes; /* of a run, with its end */
    bool over;
    size_t under_way, records;
    char body[BODY_BYTES + END_ADDS];
} bench;

static void next_record(struct store_op *op) {
    struct starter *starter = op->arg;
    int64_t now_ms = clock_wall_ms();
    bool starts = starter->changes_left == 0, ends = starter->changes_left == 1;
    op->kind = starts ? STORE_INSERT : STORE_UPDATE;
    op->record.updated_ms = now_ms;
    op->record.ended_ms = ends ? now_ms : 0;
    op->record.body.len = BODY_BYTES + (ends ? END_ADDS : 0);
    op->record.status = ends ? "SUCCEEDED" : "RUNNING";
    starter->changes_left = starts ? bench.changes : starter->changes_left - 1;
    if (starts) {
        id_make(now_ms, 0, op->record.id);
        op->record.created_ms = now_ms;
    }
    store_submit(bench.store, op);
}

static void on_written(struct store_op *op) {
    if (op->outcome != STORE_DONE) {
        fprintf(stderr, "bench_writer: %s\n", op->fault.what);
        exit(1);
    }
    bench.records++;
    store_op_fini(op);
    if (!bench.over) next_record(op);
    else bench.under_way--;
}

static void begin(struct starter *starter) {
    struct store_op *op = &starter->op;
    *op = (struct store_op){.loop = bench.loop,
                            .arg = starter,
                            .done = on_written,
                            .definition_source = "{}",
                            .record = {.stage = "fire",
                                       .definition = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
                                       .body.at = bench.body}};
    bench.under_way++;
    next_record(op);
}

static double cpu_s(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void run_for(size_t starters, double seconds) {
    struct starter *all = mem_alloc(starters * sizeof *all);
    int64_t until = clock_mono_ms() + (int64_t)(seconds * 1000);
    for (size_t i = 0; i < starters; i++) begin(&all[i]);
    while (bench.under_way) {
        event_base_loop(loop_base(bench.loop), EVLOOP_ONCE);
        bench.over = clock_mono_ms() >= until;
    }
    mem_free(all);
}

int main(int argc, char **argv) {
    struct fault fault;
    char url[4096];
    if (argc != 5) return 2;
    memset(bench.body, 'x', sizeof bench.body);
    bench.changes = strcmp(argv[2], "starts") == 0 ? 0 : strcmp(argv[2], "runs") == 0 ? 1 : 2;
    snprintf(url, sizeof url, "sqlite:%s", argv[1]);
    watch_disk();
    bench.store = store_open(&(struct store_settings){.url = url, .max_queue = 200000}, &fault);
    if (!bench.store) {
        fprintf(stderr, "bench_writer: %s: %s\n", fault.where, fault.what);
        return 1;
    }
    bench.loop = loop_new(0);
    long long syncs = disk.syncs, log = disk.bytes[1], file = disk.bytes[0];
    double cpu = cpu_s();
    int64_t began_ms = clock_mono_ms();
    run_for((size_t)strtoul(argv[3], NULL, 10), strtod(argv[4], NULL));
    double n = (double)bench.records;
    printf("{\"records\": %.0f, \"records_per_s\": %.1f, \"cpu_us\": %.2f, \"records_a_commit\": %.2f, \"log_bytes\": "
           "%.0f,"
           " \"file_bytes\": %.0f, \"syncs\": %.4f}\n",
           n, n / ((double)(clock_mono_ms() - began_ms) / 1e3), (cpu_s() - cpu) / n * 1e6,
           n / (double)count_read(COUNT_STORE_COMMITS), (double)(disk.bytes[1] - log) / n,
           (double)(disk.bytes[0] - file) / n, (double)(disk.syncs - syncs) / n);
    store_close(bench.store);
    loop_free(bench.loop);
    return 0;
}
