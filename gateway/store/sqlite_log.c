/* The log (WAL) of the embedded store, written in few pieces.
 *
 * SQLite writes each page of a commit to the log by two calls of the system, one for the frame's head and one for the
 * page, and a call costs more than a page: ten times as much for a commit of some twenty pages. So what it writes is
 * gathered here, as far as it is one piece, and goes to the file when it is to be synced or read. Before its sync
 * nobody else looks for it: a commit is told to other connections after it (synchronous = FULL).
 *
 * Always holds: what is gathered is one piece, of `len` bytes from `from` on. What cannot be written is given up, and
 * the call that was to write it fails: each such call fails its transaction, which SQLite then writes anew, or never.
 */
#include "store/sqlite_log.h"

#include <string.h>

#define PIECE_BYTES (127 << 10) /* SQLite writes less than 128 KiB at a time */

struct sqlite_log {
    sqlite3_io_methods methods; /* the first member: what the file has in place of its own */
    const sqlite3_io_methods *real;
    sqlite3_int64 from;
    int len;
    char bytes[PIECE_BYTES];
};

static struct sqlite_log *log_of(sqlite3_file *file) {
    union {
        const sqlite3_io_methods *methods;
        struct sqlite_log *log;
    } of = {.methods = file->pMethods};
    return of.log;
}

static int flush(sqlite3_file *file) {
    struct sqlite_log *log = log_of(file);
    int len = log->len;
    log->len = 0;
    return len ? log->real->xWrite(file, log->bytes, len, log->from) : SQLITE_OK;
}

static int on_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 to) {
    struct sqlite_log *log = log_of(file);
    if (log->len && (to != log->from + log->len || n > PIECE_BYTES - log->len)) {
        int rc = flush(file);
        if (rc != SQLITE_OK) return rc;
    }
    if (n > PIECE_BYTES) return log->real->xWrite(file, bytes, n, to);
    if (!log->len) log->from = to;
    memcpy(log->bytes + log->len, bytes, (size_t)n);
    log->len += n;
    return SQLITE_OK;
}

static int on_read(sqlite3_file *file, void *to, int n, sqlite3_int64 from) {
    int rc = flush(file);
    return rc == SQLITE_OK ? log_of(file)->real->xRead(file, to, n, from) : rc;
}

static int on_sync(sqlite3_file *file, int flags) {
    int rc = flush(file);
    return rc == SQLITE_OK ? log_of(file)->real->xSync(file, flags) : rc;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size) {
    int rc = flush(file);
    return rc == SQLITE_OK ? log_of(file)->real->xTruncate(file, size) : rc;
}

static int on_size(sqlite3_file *file, sqlite3_int64 *ret) {
    const struct sqlite_log *log = log_of(file);
    int rc = log->real->xFileSize(file, ret);
    if (rc == SQLITE_OK && log->len && log->from + log->len > *ret) *ret = log->from + log->len;
    return rc;
}

struct sqlite_log *sqlite_log_gather(struct sqlite_connection *c) {
    sqlite3_file *file = NULL;
    sqlite3_file_control(c->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    if (!file || !file->pMethods) return NULL;
    struct sqlite_log *log = mem_alloc(sizeof *log);
    log->real = file->pMethods;
    log->methods = *file->pMethods;
    log->methods.xWrite = on_write;
    log->methods.xRead = on_read;
    log->methods.xSync = on_sync;
    log->methods.xTruncate = on_truncate;
    log->methods.xFileSize = on_size;
    file->pMethods = &log->methods;
    return log;
}

void sqlite_log_free(struct sqlite_log *log) {
    mem_free(log);
}
