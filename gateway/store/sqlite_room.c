/* Room on the disk for the file of the embedded store and its log.
 *
 * On a small disk the log (WAL) and the file are in each other's way: pages are written to the log first, and the log
 * is given back only once all of them have been moved to the file. Were the log to take the room that the file needs,
 * neither could go on, for ever. So a transaction is committed only when the file has a place for each of its pages:
 * then what is in the log can always be moved, however full the disk is. And new runs leave room for what becomes of
 * those that are there, and for pruning: SPARE in the file, what rows will take that are not there yet
 * (store/sqlite_tail), and LOG_LEAST in the log.
 *
 * Room is taken by zeros: behind the end of the file, a chunk at a time, and behind the end of the log, where they are
 * no frames. SQLite is told the chunk's size, so that it leaves the file as long as that. */
#include "store/sqlite_room.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "store/sqlite_tail.h"

#define CHUNK (256 << 10)
#define SPARE (256 << 10)
#define LOG_LEAST (1 << 20)
#define LOG_MOST (16 << 20) /* once all of it has been moved */

static sqlite3_file *file_of(struct sqlite_connection *c, int which) {
    sqlite3_file *file = NULL;
    sqlite3_file_control(c->db, "main", which, &file);
    return file && file->pMethods ? file : NULL;
}

/* In large pieces: SQLite's own hint writes to each block by a call, and took a tenth of the writer's CPU. */
static int lengthen(sqlite3_file *file, int64_t to) {
    static const char zeros[64 << 10];
    for (;;) {
        sqlite3_int64 at = 0;
        int rc = file->pMethods->xFileSize(file, &at); /* each time: another program may write to the file */
        if (rc != SQLITE_OK || at >= to) return rc;
        int64_t n = to - at < (int64_t)sizeof zeros ? to - at : (int64_t)sizeof zeros;
        rc = file->pMethods->xWrite(file, zeros, (int)n, at);
        if (rc != SQLITE_OK) return rc;
    }
}

void sqlite_room_take_log(struct sqlite_connection *c) {
    sqlite3_file *log = file_of(c, SQLITE_FCNTL_JOURNAL_POINTER);
    if (log) lengthen(log, LOG_LEAST);
}

/* ---- the file ---- */

/* Of the ways in which a disk can be full, SQLite calls one so; of others the file knows. */
static int told_why(sqlite3_file *file, int rc) {
    int why = 0;
    if ((rc & 0xff) == SQLITE_IOERR) file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &why);
    return why == ENOSPC || why == EDQUOT || why == EFBIG ? SQLITE_FULL : rc;
}

int sqlite_room_reserve(struct sqlite_connection *c, int64_t page_bytes, bool spare) {
    sqlite3_file *file = file_of(c, SQLITE_FCNTL_FILE_POINTER);
    int64_t pages = 0, unused = 0;
    sqlite3_int64 size = 0;
    int rc = sqlite_op_pages(c, &pages, &unused);
    int64_t wanted = pages * page_bytes;
    int64_t spared = SPARE + 2 * (int64_t)tail_bytes(c); /* rows do not fill their pages */
    if (spare && unused * page_bytes < spared) wanted += spared - unused * page_bytes;
    if (rc == SQLITE_OK) rc = file->pMethods->xFileSize(file, &size);
    if (rc != SQLITE_OK || size >= wanted) return rc;
    return told_why(file, lengthen(file, (wanted + CHUNK - 1) / CHUNK * CHUNK));
}

static void limit_log(struct sqlite_connection *c, int64_t bytes) {
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA journal_size_limit = %" PRId64, bytes);
    sqlite3_exec(c->db, sql, NULL, NULL, NULL);
}

void sqlite_room_open(struct sqlite_connection *c) {
    int chunk = CHUNK;
    sqlite3_file_control(c->db, "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk);
    limit_log(c, LOG_MOST);
}

/* SQLite cuts a log that is too long with the first commit after the log has begun anew. */
void sqlite_room_make(struct sqlite_connection *c) {
    if (sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL) != SQLITE_OK) return;
    limit_log(c, LOG_LEAST);
    if (sqlite_op_probe(c) != SQLITE_OK) sqlite_op_undo(c);
    limit_log(c, LOG_MOST);
}
