/* The store on a disk that is small, that fails to sync, and whose power is cut.
 *
 * The disk is a layer over SQLite's file access. It has a size, which all files share. It keeps an image of what a
 * power cut would leave: the pages that were written since the last sync get there by the next one that succeeds; one
 * that fails loses them, as Linux does (the page stays in memory and counts as clean, so no later sync writes it). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store_ask.h"

#define PAGE 4096
#define MOST (8 << 20) /* of a file */
#define BODY 3000

/* ---- the disk ---- */

enum medium { DATABASE, LOG };

struct platter {
    int64_t size, kept_size; /* as the process sees it; as a power cut leaves it */
    bool dirty[MOST / PAGE];
    char kept[MOST];
    int failing_syncs, good_syncs, writes;
};

static struct {
    pthread_mutex_t lock;
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    int64_t room; /* for all files together; 0: endless */
    struct platter platters[2];
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct disk_file {
    sqlite3_file base;
    struct platter *platter;
    sqlite3_file real[]; /* of the real one's size */
};

static sqlite3_file *real_of(sqlite3_file *file) {
    return ((struct disk_file *)(void *)file)->real;
}

static struct platter *platter_of(sqlite3_file *file) {
    return ((struct disk_file *)(void *)file)->platter;
}

static bool has_room(const struct platter *platter, int64_t size) {
    int64_t used = 0;
    if (size <= platter->size || !disk.room) return true;
    for (int i = 0; i < 2; i++) used += &disk.platters[i] == platter ? size : disk.platters[i].size;
    return used <= disk.room;
}

static void changed(struct platter *platter, int64_t from, int64_t to) {
    assert_true(to <= MOST);
    for (int64_t page = from / PAGE; page * PAGE < to; page++) platter->dirty[page] = true;
    if (to > platter->size) platter->size = to;
}

static int disk_read(sqlite3_file *file, void *to, int n, sqlite3_int64 from) {
    return real_of(file)->pMethods->xRead(real_of(file), to, n, from);
}

static int disk_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 to) {
    pthread_mutex_lock(&disk.lock);
    int rc = has_room(platter_of(file), to + n) ? SQLITE_OK : SQLITE_FULL;
    if (rc == SQLITE_OK) rc = real_of(file)->pMethods->xWrite(real_of(file), from, n, to);
    if (rc == SQLITE_OK) changed(platter_of(file), to, to + n);
    platter_of(file)->writes++;
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int64_t real_size(sqlite3_file *file) {
    sqlite3_int64 size = 0;
    assert_int_equal(real_of(file)->pMethods->xFileSize(real_of(file), &size), SQLITE_OK);
    return size;
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size) {
    pthread_mutex_lock(&disk.lock);
    int rc = real_of(file)->pMethods->xTruncate(real_of(file), size);
    platter_of(file)->size = real_size(file);
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

static void keep_page(sqlite3_file *file, struct platter *platter, int64_t page) {
    int64_t from = page * PAGE, left = platter->size - from;
    int n = left < PAGE ? (int)left : PAGE;
    if (n > 0) assert_int_equal(disk_read(file, platter->kept + from, n, from), SQLITE_OK);
}

static int disk_sync(sqlite3_file *file, int flags) {
    struct platter *platter = platter_of(file);
    (void)flags;
    pthread_mutex_lock(&disk.lock);
    bool fails = platter->failing_syncs > 0;
    if (fails) platter->failing_syncs--;
    for (int64_t page = 0; page < MOST / PAGE; page++) {
        if (platter->dirty[page] && !fails) keep_page(file, platter, page);
        platter->dirty[page] = false;
    }
    if (!fails) platter->kept_size = platter->size, platter->good_syncs++;
    pthread_mutex_unlock(&disk.lock);
    return fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

#define PASS(name, parameters, ...)                                            \
    static int disk_##name parameters {                                        \
        return real_of(file)->pMethods->x##name(real_of(file), ##__VA_ARGS__); \
    }

PASS(Close, (sqlite3_file * file))
PASS(FileSize, (sqlite3_file * file, sqlite3_int64 *ret), ret)
PASS(Lock, (sqlite3_file * file, int level), level)
PASS(Unlock, (sqlite3_file * file, int level), level)
PASS(CheckReservedLock, (sqlite3_file * file, int *ret), ret)
PASS(FileControl, (sqlite3_file * file, int op, void *arg), op, arg)
PASS(SectorSize, (sqlite3_file * file))
PASS(DeviceCharacteristics, (sqlite3_file * file))
PASS(ShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile **ret), page, size, extend, ret)
PASS(ShmLock, (sqlite3_file * file, int from, int n, int flags), from, n, flags)
PASS(ShmUnmap, (sqlite3_file * file, int remove), remove)

static void disk_ShmBarrier(sqlite3_file *file) {
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = disk_Close,
                                           .xRead = disk_read,
                                           .xWrite = disk_write,
                                           .xTruncate = disk_truncate,
                                           .xSync = disk_sync,
                                           .xFileSize = disk_FileSize,
                                           .xLock = disk_Lock,
                                           .xUnlock = disk_Unlock,
                                           .xCheckReservedLock = disk_CheckReservedLock,
                                           .xFileControl = disk_FileControl,
                                           .xSectorSize = disk_SectorSize,
                                           .xDeviceCharacteristics = disk_DeviceCharacteristics,
                                           .xShmMap = disk_ShmMap,
                                           .xShmLock = disk_ShmLock,
                                           .xShmBarrier = disk_ShmBarrier,
                                           .xShmUnmap = disk_ShmUnmap};

static int disk_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags) {
    (void)vfs;
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
        return disk.real->xOpen(disk.real, name, file, flags, out_flags);
    struct disk_file *it = (struct disk_file *)(void *)file;
    *it = (struct disk_file){.platter = &disk.platters[flags & SQLITE_OPEN_WAL ? LOG : DATABASE]};
    memset(it->real, 0, (size_t)disk.real->szOsFile);
    int rc = disk.real->xOpen(disk.real, name, real_of(file), flags, out_flags);
    if (rc != SQLITE_OK) return rc;
    file->pMethods = &methods;
    pthread_mutex_lock(&disk.lock);
    it->platter->size = real_size(file);
    pthread_mutex_unlock(&disk.lock);
    return rc;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync) {
    (void)vfs;
    size_t len = strlen(name);
    if (len > 4 && strcmp(name + len - 4, "-wal") == 0) {
        pthread_mutex_lock(&disk.lock);
        memset(&disk.platters[LOG], 0, sizeof disk.platters[LOG]);
        pthread_mutex_unlock(&disk.lock);
    }
    return disk.real->xDelete(disk.real, name, sync);
}

/* ---- the rig ---- */

struct rig {
    char folder[64], path[96];
    struct loop *loop;
    struct store *store;
    int64_t inserted; /* ids are numbers from 0 */
};

static void rig_open(struct rig *rig) {
    char url[128];
    struct fault fault = {0};
    snprintf(url, sizeof url, "sqlite:%s", rig->path);
    rig->store = store_open(&(struct store_settings){.url = url, .max_queue = 10000}, &fault);
    if (!rig->store) fail_msg("%s: %s", fault.where, fault.what);
}

static int set_up(void **state) {
    struct rig *rig = mem_alloc(sizeof *rig);
    snprintf(rig->folder, sizeof rig->folder, "/tmp/stagedoor-disk-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->path, sizeof rig->path, "%s/s.db", rig->folder);
    disk.real = sqlite3_vfs_find("unix");
    disk.vfs = *disk.real;
    disk.vfs.zName = "disk";
    disk.vfs.szOsFile += (int)sizeof(struct disk_file);
    disk.vfs.xOpen = disk_open;
    disk.vfs.xDelete = disk_delete;
    disk.room = 0;
    memset(disk.platters, 0, sizeof disk.platters);
    sqlite3_vfs_register(&disk.vfs, 1);
    rig->loop = loop_new(0);
    rig_open(rig);
    *state = rig;
    return 0;
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    static const char *const names[] = {"s.db",   "s.db-wal",   "s.db-shm",  "s.db.lock",
                                        "cut.db", "cut.db-wal", "cut.db-shm"};
    store_close(rig->store);
    loop_free(rig->loop);
    sqlite3_vfs_unregister(&disk.vfs);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", rig->folder, names[i]);
        unlink(path);
    }
    rmdir(rig->folder);
    mem_free(rig);
    return 0;
}

static void hand_over(struct rig *rig, struct store_op *op, size_t *left) {
    store_hand_over(rig->store, rig->loop, op, left);
}

static enum store_outcome carry_out(struct rig *rig, struct store_op *op) {
    return store_carry_out(rig->store, rig->loop, op);
}

static struct store_record make(int64_t number, size_t bytes) {
    static const char body[64 << 10];
    struct store_record record = {.stage = "s",
                                  .status = "RUNNING",
                                  .definition = "d",
                                  .created_ms = number + 1,
                                  .updated_ms = number + 1,
                                  .body = {body, bytes}};
    snprintf(record.id, sizeof record.id, "%06d", (int)number);
    return record;
}

static enum store_outcome insert(struct rig *rig, int64_t number, size_t bytes) {
    struct store_op op = {.kind = STORE_INSERT, .record = make(number, bytes)};
    enum store_outcome outcome = carry_out(rig, &op);
    if (outcome == STORE_FAILED) assert_int_equal(op.fault.kind, FAULT_IO);
    store_op_fini(&op);
    return outcome;
}

static struct store_op end_of(int64_t number) {
    struct store_op op = {.kind = STORE_UPDATE, .record = make(number, 2)};
    op.record.status = "SUCCEEDED";
    op.record.ended_ms = number + 1;
    return op;
}

static enum store_outcome end(struct rig *rig, int64_t number) {
    struct store_op op = end_of(number);
    enum store_outcome outcome = carry_out(rig, &op);
    store_op_fini(&op);
    return outcome;
}

static bool holds(struct rig *rig, int64_t number) {
    struct store_op op = {.kind = STORE_GET, .record = make(number, 0)};
    enum store_outcome outcome = carry_out(rig, &op);
    store_op_fini(&op);
    assert_in_range(outcome, STORE_DONE, STORE_MISSING);
    return outcome == STORE_DONE;
}

static void wait_until_ready(struct rig *rig) {
    int64_t until = clock_mono_ms() + 20000;
    while (!store_ready(rig->store) && clock_mono_ms() < until) usleep(10000);
    assert_true(store_ready(rig->store));
}

/* ---- the log's writes ---- */

static int writes_to(enum medium medium) {
    pthread_mutex_lock(&disk.lock);
    int writes = disk.platters[medium].writes;
    pthread_mutex_unlock(&disk.lock);
    return writes;
}

/* Of a commit of some twenty pages, which are two writes each for SQLite. */
static void commit_is_written_in_few_pieces(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE); /* with which the log begins */
    int before = writes_to(LOG);
    assert_int_equal(insert(rig, rig->inserted++, 60 << 10), STORE_DONE);
    assert_int_equal(writes_to(LOG) - before, 1);
    assert_int_equal(insert(rig, rig->inserted++, 60 << 10), STORE_DONE);
    assert_int_equal(writes_to(LOG) - before, 2);
}

/* ---- a small disk ---- */

#define ROOM (4 << 20)

static int64_t insert_until_full(struct rig *rig) {
    int64_t number = rig->inserted, failed = 0;
    while (failed < 3 && number < 10000) { /* so that the log is never moved for want of work */
        if (insert(rig, number, BODY) == STORE_DONE) number++, failed = 0;
        else failed++;
    }
    rig->inserted = number;
    return number;
}

/* Its log alone would fill the disk, and must not: most of it is for what was accepted. */
static void small_disk_is_used_to_its_end(void **state) {
    struct rig *rig = *state;
    disk.room = ROOM;
    int64_t count = insert_until_full(rig);
    assert_in_range(count * BODY, ROOM * 2 / 5, ROOM);
    for (int64_t i = 0; i < count; i++) assert_true(holds(rig, i));
    assert_false(holds(rig, count));
}

/* A disk without room for more runs has room for what becomes of those that it holds, also where both come together;
 * and what is pruned is room again. */
static void full_disk_lets_runs_end(void **state) {
    struct rig *rig = *state;
    disk.room = ROOM;
    int64_t count = insert_until_full(rig);
    static struct store_op ops[2][ROOM / BODY];
    static size_t left;
    for (int64_t i = 0; i < count; i++) {
        ops[0][i] = (struct store_op){.kind = STORE_INSERT, .record = make(10000 + i, BODY)};
        ops[1][i] = end_of(i);
        for (int kind = 0; kind < 2; kind++) hand_over(rig, &ops[kind][i], &left);
    }
    store_wait(rig->loop, &left);
    assert_int_equal(ops[0][0].outcome, STORE_FAILED);
    for (int64_t i = 0; i < count; i++) { /* as the engine does: written again until it is taken */
        for (int tries = 0; tries < 3 && ops[1][i].outcome != STORE_DONE; tries++) carry_out(rig, &ops[1][i]);
        assert_int_equal(ops[1][i].outcome, STORE_DONE);
    }
    struct store_op prune = {.kind = STORE_PRUNE, .before_ms = count / 2, .more = true};
    for (int64_t old = count / 2 - 1; old > 0; old -= (int64_t)prune.found_count) {
        assert_true(prune.more);
        assert_int_equal(carry_out(rig, &prune), STORE_DONE);
    }
    assert_in_range(insert_until_full(rig), count + count / 3, 2 * count);
}

/* Somebody else fills the disk while much is in the log. */
static void disk_filled_by_others_is_got_over(void **state) {
    struct rig *rig = *state;
    assert_in_range(disk.platters[LOG].size, 1 << 20, 2 << 20); /* from the beginning */
    for (; rig->inserted < 50; rig->inserted++) assert_int_equal(insert(rig, rig->inserted, BODY), STORE_DONE);
    disk.room = 1; /* no file may grow */
    int64_t count = insert_until_full(rig);
    assert_in_range(count, 50, 5000);
    for (int64_t i = 0; i < count; i++) assert_int_equal(end(rig, i), STORE_DONE);
    count = insert_until_full(rig); /* into what their rows did not take */
    assert_false(store_ready(rig->store));
    disk.room = 0;
    wait_until_ready(rig);
    assert_int_equal(insert(rig, count, BODY), STORE_DONE);
    for (int64_t i = 0; i <= count; i++) assert_true(holds(rig, i));
}

/* ---- syncs that fail ---- */

static void put(const char *path, const char *bytes, int64_t n) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, (size_t)n), n);
    close(fd);
}

/* What a power cut at this moment would leave: the runs in it, from 0 on, without a gap. */
static int64_t runs_after_power_cut(struct rig *rig) {
    char path[128], log[136];
    snprintf(path, sizeof path, "%s/cut.db", rig->folder);
    snprintf(log, sizeof log, "%s-wal", path);
    pthread_mutex_lock(&disk.lock);
    put(path, disk.platters[DATABASE].kept, disk.platters[DATABASE].kept_size);
    put(log, disk.platters[LOG].kept, disk.platters[LOG].kept_size);
    pthread_mutex_unlock(&disk.lock);
    sqlite3 *db;
    sqlite3_stmt *s;
    int64_t runs = -1;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_string_equal(sqlite3_column_text(s, 0), "ok");
    sqlite3_finalize(s);
    char max_id[STORE_ID_SIZE];
    runs = store_runs_in(db, max_id);
    if (runs > 0) assert_int_equal(strtol(max_id, NULL, 10), runs - 1);
    sqlite3_close(db);
    return runs;
}

static int good_syncs_of(enum medium medium) {
    pthread_mutex_lock(&disk.lock);
    int syncs = disk.platters[medium].failing_syncs ? -1 : disk.platters[medium].good_syncs;
    pthread_mutex_unlock(&disk.lock);
    return syncs;
}

static void fail_syncs(enum medium medium, int count) {
    pthread_mutex_lock(&disk.lock);
    disk.platters[medium].failing_syncs = count;
    pthread_mutex_unlock(&disk.lock);
}

static void wait_for_sync(enum medium medium, int after) {
    int64_t until = clock_mono_ms() + 20000;
    while (good_syncs_of(medium) <= after && clock_mono_ms() < until) usleep(5000);
    assert_true(good_syncs_of(medium) > after);
}

static void failed_commit_is_nothing_to_build_on(void **state) {
    struct rig *rig = *state;
    for (int round = 0; round < 40; round++) {
        size_t bytes = (size_t)(round * 797 % 20000);
        if (round % 3 == 0) {
            fail_syncs(LOG, 1 + round % 2);
            assert_int_equal(insert(rig, rig->inserted, 20000 - bytes), STORE_FAILED);
            wait_until_ready(rig);
        }
        assert_int_equal(insert(rig, rig->inserted++, bytes), STORE_DONE);
        assert_int_equal(runs_after_power_cut(rig), rig->inserted);
    }
}

/* What was to become of a run is undone with its commit, and can be done again; so is what began beside it. */
static void failed_end_leaves_the_run(void **state) {
    struct rig *rig = *state;
    for (int round = 0; round < 20; round++) {
        int64_t number = rig->inserted;
        assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE);
        assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE);
        fail_syncs(LOG, 1);
        assert_int_equal(end(rig, number), STORE_FAILED);
        wait_until_ready(rig);
        if (round % 2) assert_true(holds(rig, number));
        assert_int_equal(runs_after_power_cut(rig), rig->inserted);
        assert_int_equal(end(rig, number), STORE_DONE);
        assert_int_equal(runs_after_power_cut(rig), rig->inserted);
    }
    struct store_op list = {.kind = STORE_LIST, .filter = {.limit = 1000, .status = "RUNNING"}};
    assert_int_equal(carry_out(rig, &list), STORE_DONE);
    assert_int_equal(list.found_count, 20);
    store_op_fini(&list);
}

/* The log is moved into the file; a sync of the file fails in between, and what it lost is written once more. */
static void failed_move_is_made_again(void **state) {
    struct rig *rig = *state;
    for (int round = 0; round < 4; round++) {
        int syncs = good_syncs_of(DATABASE);
        for (int i = 0; i < 20; i++) assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE);
        fail_syncs(DATABASE, 1 + round % 2);
        wait_for_sync(DATABASE, syncs);
        assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE); /* the log begins anew */
        assert_int_equal(runs_after_power_cut(rig), rig->inserted);
    }
}

/* How often somebody found that another was in the way, as the writer does that may not move the log. */
static atomic_int put_off;

int pthread_mutex_trylock(pthread_mutex_t *lock) {
    int (*real)(pthread_mutex_t *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_mutex_trylock");
    int rc = real(lock);
    if (rc == EBUSY) atomic_fetch_add(&put_off, 1);
    return rc;
}

/* Until it was, or the log is moved all the same. */
static void wait_for_the_idle_writer(void) {
    int64_t until = clock_mono_ms() + 20000;
    int before = atomic_load(&put_off), written = writes_to(DATABASE);
    while (atomic_load(&put_off) == before && writes_to(DATABASE) == written && clock_mono_ms() < until) usleep(1000);
    assert_true(clock_mono_ms() < until);
}

/* Holds the reader up in the middle of a list. */
static atomic_bool reader_is_there, let_reader_go;

static bool sees_slowly(const void *rights, const char *stage) {
    (void)rights, (void)stage;
    atomic_store(&reader_is_there, true);
    while (!atomic_load(&let_reader_go)) usleep(1000);
    return true;
}

static void write_beside_a_reader(struct rig *rig) {
    struct store_op list = {.kind = STORE_LIST, .filter = {.limit = 9, .sees = sees_slowly}};
    size_t left = 0;
    atomic_store(&reader_is_there, false);
    atomic_store(&let_reader_go, false);
    hand_over(rig, &list, &left);
    while (!atomic_load(&reader_is_there)) usleep(1000);
    for (int i = 0; i < 20; i++) assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE);
    wait_for_the_idle_writer();
    atomic_store(&let_reader_go, true);
    store_wait(rig->loop, &left);
    assert_int_equal(list.outcome, STORE_DONE);
    store_op_fini(&list);
}

/* A reader in the middle keeps some of the log from being moved: the rest must not count as done before its sync. */
static void failed_move_beside_a_reader_is_made_again(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE);
        int syncs = good_syncs_of(DATABASE);
        fail_syncs(DATABASE, 1);
        write_beside_a_reader(rig);
        wait_for_sync(DATABASE, syncs);
        assert_int_equal(insert(rig, rig->inserted++, BODY), STORE_DONE); /* the log begins anew */
        assert_int_equal(runs_after_power_cut(rig), rig->inserted);
    }
}

static int64_t get(const char *path, char *bytes) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    int64_t n = read(fd, bytes, MOST);
    close(fd);
    return n;
}

/* The process is killed: its files stay as the system sees them, and the disk as it is. */
static void kill_and_restart(struct rig *rig) {
    static struct platter platters[2];
    static char bytes[2][MOST];
    char log[128], shm[128];
    snprintf(log, sizeof log, "%s-wal", rig->path);
    snprintf(shm, sizeof shm, "%s-shm", rig->path);
    pthread_mutex_lock(&disk.lock);
    memcpy(platters, disk.platters, sizeof platters);
    int64_t sizes[2] = {get(rig->path, bytes[0]), get(log, bytes[1])};
    pthread_mutex_unlock(&disk.lock);
    store_close(rig->store);
    put(rig->path, bytes[0], sizes[0]);
    put(log, bytes[1], sizes[1]);
    unlink(shm);
    memcpy(disk.platters, platters, sizeof platters);
    fail_syncs(LOG, 0);
    rig_open(rig);
}

/* What a failed sync has lost is still in memory when the next process comes, and looks like any other. */
static void restart_does_not_build_on_what_was_lost(void **state) {
    struct rig *rig = *state;
    for (int round = 0; round < 6; round++) {
        size_t bytes = (size_t)(round * 1797 % 20000);
        assert_int_equal(insert(rig, rig->inserted++, bytes), STORE_DONE);
        fail_syncs(LOG, 1000);
        assert_int_equal(insert(rig, rig->inserted, 20000 - bytes), STORE_FAILED);
        kill_and_restart(rig);
        assert_false(holds(rig, rig->inserted)); /* it was refused */
        assert_int_equal(insert(rig, rig->inserted++, bytes), STORE_DONE);
        assert_int_equal(runs_after_power_cut(rig), rig->inserted);
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(commit_is_written_in_few_pieces),
        T(small_disk_is_used_to_its_end),
        T(full_disk_lets_runs_end),
        T(disk_filled_by_others_is_got_over),
        T(failed_commit_is_nothing_to_build_on),
        T(failed_end_leaves_the_run),
        T(failed_move_is_made_again),
        T(failed_move_beside_a_reader_is_made_again),
        T(restart_does_not_build_on_what_was_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
