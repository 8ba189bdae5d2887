/* The file of the embedded store: found, locked, made, opened, and brought up to date.
 *
 * A side file `PATH.lock`, under flock, keeps a second gateway out: closing a descriptor of the database itself would
 * drop SQLite's own locks in this process. One connection writes, another only reads. */
#include "store/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/sqlite_ends.h"
#include "store/sqlite_room.h"
#include "store/sqlite_row.h"
#include "store/sqlite_tail.h"

#define APPLICATION_ID 0x53444F52 /* "SDOR", so that another program's database is not taken for ours */
#define BUSY_MS 5000
#define AGAIN_BYTES (64 << 10) /* SQLite writes less than 128 KiB at a time */

/* Row n brings a file of version n to version n + 1. Rows are only ever added. */
static const char *const migrations[] = {
    "CREATE TABLE runs (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, stage TEXT NOT NULL, key TEXT,"
    "  status TEXT NOT NULL, definition TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER NOT NULL, body BLOB NOT NULL);"
    "CREATE UNIQUE INDEX runs_key ON runs (stage, key) WHERE key IS NOT NULL;"
    "CREATE INDEX runs_created ON runs (created_ms);"
    "CREATE INDEX runs_stage ON runs (stage, created_ms);"
    "CREATE INDEX runs_status ON runs (status, created_ms);"
    "CREATE INDEX runs_stage_status ON runs (stage, status, created_ms);"
    "CREATE INDEX runs_open ON runs (created_ms) WHERE ended_ms = 0;"
    "CREATE INDEX runs_ended ON runs (ended_ms) WHERE ended_ms <> 0;"
    "CREATE INDEX runs_definition ON runs (definition);"
    "CREATE TABLE definitions (hash TEXT PRIMARY KEY NOT NULL, source TEXT NOT NULL);",
    "CREATE TABLE keys (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL);",
    "DROP INDEX runs_stage; DROP INDEX runs_status; DROP INDEX runs_stage_status; DROP INDEX runs_open;"
    "DROP INDEX runs_definition;"
    "CREATE INDEX runs_in_flight ON runs (ended_ms, stage, status, created_ms) WHERE ended_ms = 0;"
    "CREATE INDEX runs_over ON runs (stage, status, created_ms) WHERE ended_ms <> 0;"
    "CREATE INDEX runs_pins ON runs (definition) WHERE ended_ms = 0;",
    "CREATE TABLE run_groups (number INTEGER PRIMARY KEY, stage TEXT NOT NULL, definition TEXT NOT NULL,"
    "  status TEXT NOT NULL, over INTEGER NOT NULL, UNIQUE (stage, definition, status, over));"
    "INSERT INTO run_groups (stage, definition, status, over)"
    "  SELECT DISTINCT stage, definition, status, ended_ms <> 0 FROM runs;"
    "CREATE TABLE places (seq INTEGER PRIMARY KEY, before INTEGER NOT NULL);"
    "INSERT INTO places SELECT (created_ms << 20) + row_number() OVER (PARTITION BY created_ms ORDER BY seq) - 1, seq"
    "  FROM runs;"
    "DROP INDEX runs_key; DROP INDEX runs_created; DROP INDEX runs_ended; DROP INDEX runs_in_flight;"
    "DROP INDEX runs_over; DROP INDEX runs_pins;"
    "ALTER TABLE runs RENAME TO runs_before;"
    "CREATE TABLE runs (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, stage TEXT NOT NULL, key TEXT,"
    "  in_group INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER NOT NULL, body BLOB NOT NULL);"
    "INSERT INTO runs SELECT places.seq, id, b.stage, key, (SELECT number FROM run_groups AS g WHERE g.stage = b.stage"
    "    AND g.definition = b.definition AND g.status = b.status AND g.over = (b.ended_ms <> 0)),"
    "    created_ms, updated_ms, ended_ms, body"
    "  FROM places CROSS JOIN runs_before AS b ON b.seq = before ORDER BY places.seq;"
    "DROP TABLE runs_before; DROP TABLE places;"
    "CREATE UNIQUE INDEX runs_id ON runs (id);"
    "CREATE UNIQUE INDEX runs_key ON runs (stage, key) WHERE key IS NOT NULL;"
    "CREATE INDEX runs_group ON runs (in_group);"
    "CREATE INDEX runs_ended ON runs (ended_ms) WHERE ended_ms <> 0;",
    "ALTER TABLE runs ADD COLUMN room BLOB;"
    "CREATE TABLE run_ends (seq INTEGER PRIMARY KEY, places TEXT NOT NULL);"
    "INSERT INTO run_ends SELECT ended_ms / 1000 * 1000 << 20, json_group_array(seq) FROM runs WHERE ended_ms <> 0"
    "  GROUP BY ended_ms / 1000;"
    "DROP INDEX runs_ended;",
    "CREATE TABLE run_starts (seq INTEGER PRIMARY KEY, records BLOB NOT NULL);"};
_Static_assert(sizeof migrations / sizeof *migrations == TABLES_VERSION, "the version is the number of migrations");

/* The file's real path, so that one database has one lock file however it is named. */
static bool find_path(struct sqlite_file *file, const char *path, struct fault *fault) {
    if (!*path || strcmp(path, ":memory:") == 0)
        return fault_set(fault, FAULT_INVALID, "store", "runs have to outlive the gateway: name a file, sqlite:PATH");
    if (strlen(path) >= PATH_MAX - 16) return fault_set(fault, FAULT_INVALID, "store", "the path is too long");
    struct stat status;
    if (realpath(path, file->path)) {
        if (stat(file->path, &status) == 0 && S_ISREG(status.st_mode)) return true;
        return fault_set(fault, FAULT_INVALID, path, "the store is not a regular file");
    }
    char head[PATH_MAX], tail[PATH_MAX], folder[PATH_MAX];
    snprintf(head, sizeof head, "%s", path);
    snprintf(tail, sizeof tail, "%s", path);
    if (errno != ENOENT || path[strlen(path) - 1] == '/')
        return fault_set(fault, FAULT_IO, path, "cannot open the database: %s", strerror(errno));
    const char *parent = dirname(head);
    if (!realpath(parent, folder))
        return fault_set(fault, FAULT_IO, path, "the folder %s cannot be used: %s", parent, strerror(errno));
    int n = snprintf(file->path, sizeof file->path, "%s/%s", folder, basename(tail));
    if (n >= (int)sizeof file->path - 16) return fault_set(fault, FAULT_INVALID, "store", "the path is too long");
    return true;
}

static bool take_lock(struct sqlite_file *file, struct fault *fault) {
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.lock", file->path);
    file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->lock_fd < 0) return fault_set(fault, FAULT_IO, path, "cannot make the lock file: %s", strerror(errno));
    if (flock(file->lock_fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK)
        return fault_set(fault, FAULT_CONFLICT, file->path, "another stagedoor has the database open");
    return fault_set(fault, FAULT_IO, path, "cannot take the lock: %s", strerror(errno));
}

/* Made here, since SQLite would make it readable for all; its side files take the mode of the file. */
static bool make_file(struct sqlite_file *file, struct fault *fault) {
    int fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return fault_set(fault, FAULT_IO, file->path, "cannot make the database: %s", strerror(errno));
    if (fd >= 0) close(fd);
    return true;
}

static int write_again(sqlite3_file *log) {
    char *bytes = mem_alloc(AGAIN_BYTES);
    sqlite3_int64 size = 0;
    int rc = log->pMethods->xFileSize(log, &size);
    for (sqlite3_int64 at = 0; at < size && rc == SQLITE_OK; at += AGAIN_BYTES) {
        int n = size - at < AGAIN_BYTES ? (int)(size - at) : AGAIN_BYTES;
        rc = log->pMethods->xRead(log, bytes, n, at);
        if (rc == SQLITE_OK) rc = log->pMethods->xWrite(log, bytes, n, at);
    }
    mem_free(bytes);
    return rc == SQLITE_OK && size ? log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) : rc;
}

/* A process that was killed may have left frames in the log that a sync had failed for: they can be read, since the
 * system keeps them in memory, but no later sync would bring them to the disk, nor what is then built on them. So all
 * of the log is written again, in place, before anything is taken from it. */
static bool renew_log(struct sqlite_file *file, struct fault *fault) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    char log_path[PATH_MAX + 8];
    int exists = 0, flags = SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE;
    snprintf(log_path, sizeof log_path, "%s-wal", file->path);
    if (vfs->xAccess(vfs, log_path, SQLITE_ACCESS_READWRITE, &exists) != SQLITE_OK || !exists) return true;
    sqlite3_filename name = sqlite3_create_filename(file->path, "", log_path, 0, NULL);
    sqlite3_file *log = mem_alloc((size_t)vfs->szOsFile);
    int rc = vfs->xOpen(vfs, sqlite3_filename_wal(name), log, flags, &flags);
    if (rc == SQLITE_OK) rc = write_again(log);
    if (log->pMethods) log->pMethods->xClose(log);
    mem_free(log);
    sqlite3_free_filename(name);
    return rc == SQLITE_OK || sqlite_op_fault(fault, file->path, NULL, rc);
}

static int connect_to(struct sqlite_file *file, struct sqlite_connection *c, int flags) {
    int rc = sqlite3_open_v2(file->path, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK) return rc;
    sqlite3_busy_timeout(c->db, BUSY_MS);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return sqlite3_exec(c->db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -16384",
                        NULL, NULL, NULL);
}

static int ask_int(sqlite3 *db, const char *sql, int64_t *ret) {
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) *ret = sqlite3_column_int64(s, 0), rc = SQLITE_OK;
    sqlite3_finalize(s);
    return rc;
}

/* Looks before anything is written: the file is empty, or ours and not from the future. */
static bool check_file(struct sqlite_file *file, int64_t *ret_version, struct fault *fault) {
    sqlite3 *db = file->writer.db;
    int64_t application = 0, tables = 0;
    int rc = ask_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc == SQLITE_OK) rc = ask_int(db, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK) rc = ask_int(db, "PRAGMA user_version", ret_version);
    if (rc != SQLITE_OK) return sqlite_op_fault(fault, file->path, db, rc);
    bool empty = tables == 0 && application == 0 && *ret_version == 0;
    if (application != APPLICATION_ID && !empty)
        return fault_set(fault, FAULT_INVALID, file->path, "the database is not stagedoor's; name another file");
    if (*ret_version > TABLES_VERSION)
        return fault_set(fault, FAULT_UNSUPPORTED, file->path,
                         "the database is of version %" PRId64 ", from a newer stagedoor; this one knows up to %d",
                         *ret_version, TABLES_VERSION);
    if (*ret_version < 0) return fault_set(fault, FAULT_INVALID, file->path, "the database's version is negative");
    return true;
}

static bool wal_refused(sqlite3 *db) { /* the pragma fails by answering another word */
    sqlite3_stmt *s = NULL;
    bool refused = true;
    if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        refused = strcmp((const char *)sqlite3_column_text(s, 0), "wal") != 0;
    sqlite3_finalize(s);
    return refused;
}

static int set_up(struct sqlite_file *file) {
    sqlite3 *db = file->writer.db;
    if (wal_refused(db)) return sqlite3_errcode(db) == SQLITE_OK ? SQLITE_BUSY : sqlite3_extended_errcode(db);
    int rc = sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = ask_int(db, "PRAGMA page_size", &file->page_bytes);
    if (rc == SQLITE_OK) sqlite_room_open(&file->writer);
    if (rc == SQLITE_OK) rc = row_offer(&file->writer);
    return rc;
}

int sqlite_file_commit(struct sqlite_file *file, bool spare) {
    int rc = tail_write(&file->writer); /* some of those may have ended */
    if (rc == SQLITE_OK) rc = ends_write(&file->writer);
    if (rc == SQLITE_OK) rc = sqlite_room_reserve(&file->writer, file->page_bytes, spare);
    if (rc == SQLITE_OK) rc = sqlite_op_commit(&file->writer);
    if (rc == SQLITE_OK) tail_keep(&file->writer);
    return rc;
}

static int migrate(struct sqlite_file *file, int64_t version) {
    int rc = SQLITE_OK;
    for (; version < TABLES_VERSION && rc == SQLITE_OK; version++) {
        char sql[128];
        snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %" PRId64, APPLICATION_ID,
                 version + 1);
        rc = sqlite_op_begin(&file->writer, true);
        if (rc == SQLITE_OK) rc = sqlite3_exec(file->writer.db, migrations[version], NULL, NULL, NULL);
        if (rc == SQLITE_OK) rc = sqlite3_exec(file->writer.db, sql, NULL, NULL, NULL);
        if (rc == SQLITE_OK) rc = sqlite_file_commit(file, false);
        if (rc != SQLITE_OK) sqlite_op_undo(&file->writer);
    }
    return rc;
}

static bool open_writer(struct sqlite_file *file, struct fault *fault) {
    int64_t version = 0;
    int rc = connect_to(file, &file->writer, SQLITE_OPEN_READWRITE);
    if (rc != SQLITE_OK) return sqlite_op_fault(fault, file->path, file->writer.db, rc);
    if (sqlite3_db_readonly(file->writer.db, "main") == 1) /* SQLite then opens it for reading, and says nothing */
        return sqlite_op_fault(fault, file->path, file->writer.db, SQLITE_READONLY);
    if (!check_file(file, &version, fault)) return false;
    rc = set_up(file);
    if (rc == SQLITE_OK) rc = migrate(file, version);
    if (rc == SQLITE_OK) sqlite_room_take_log(&file->writer);
    if (rc == SQLITE_OK) file->log = sqlite_log_gather(&file->writer);
    if (rc == SQLITE_OK) rc = tail_load(&file->writer);
    return rc == SQLITE_OK || sqlite_op_fault(fault, file->path, file->writer.db, rc);
}

static bool open_reader(struct sqlite_file *file, struct fault *fault) {
    int rc = connect_to(file, &file->reader, SQLITE_OPEN_READONLY);
    if (rc == SQLITE_OK) rc = sqlite3_db_config(file->reader.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return rc == SQLITE_OK || sqlite_op_fault(fault, file->path, file->reader.db, rc);
}

static bool check_tables(struct sqlite_file *file, struct fault *fault) {
    int rc = sqlite_op_prepare_all(&file->writer);
    if (rc == SQLITE_ERROR)
        return fault_set(fault, FAULT_IO, file->path, "the tables are not as stagedoor made them: %s",
                         sqlite3_errmsg(file->writer.db));
    return rc == SQLITE_OK || sqlite_op_fault(fault, file->path, file->writer.db, rc);
}

/* Made once; whoever copies the file copies it too. */
static bool make_key(struct sqlite_file *file, struct fault *fault) {
    unsigned char chance[32];
    char *key;
    int rc = sqlite_op_key(&file->writer, &key);
    if (rc == SQLITE_OK && !key) {
        struct buf made;
        digest_random(chance, sizeof chance);
        buf_init(&made, 2 * sizeof chance);
        buf_add_hex(&made, chance, sizeof chance);
        rc = sqlite_op_add_key(&file->writer, buf_cstr(&made));
        buf_fini(&made);
    }
    mem_free(key);
    return rc == SQLITE_OK || sqlite_op_fault(fault, file->path, file->writer.db, rc);
}

bool sqlite_file_open(struct sqlite_file *file, const char *path, struct fault *fault) {
    *file = (struct sqlite_file){.lock_fd = -1};
    return find_path(file, path, fault) && take_lock(file, fault) && make_file(file, fault) && renew_log(file, fault) &&
           open_writer(file, fault) && open_reader(file, fault) && check_tables(file, fault) && make_key(file, fault);
}

/* The reader goes first: the last connection to close moves the WAL into the file, and that has to be the writer. */
void sqlite_file_close(struct sqlite_file *file) {
    sqlite_op_disconnect(&file->reader);
    sqlite_op_disconnect(&file->writer);
    sqlite_log_free(file->log);
    file->log = NULL;
    if (file->lock_fd >= 0) close(file->lock_fd);
    file->lock_fd = -1;
}
