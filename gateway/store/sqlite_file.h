/* The file of the embedded store, with its two connections. Private to store/sqlite*. */
#ifndef STORE_SQLITE_FILE_H
#define STORE_SQLITE_FILE_H

#include <limits.h>

#include "store/sqlite_log.h"
#include "store/sqlite_op.h"

struct sqlite_file {
    char path[PATH_MAX]; /* real */
    int lock_fd;
    int64_t page_bytes;
    struct sqlite_connection writer, reader; /* the only one that writes or checkpoints; read-only */
    struct sqlite_log *log;                  /* the writer's */
};

/* As store_open says. Has to be closed in either case. */
bool sqlite_file_open(struct sqlite_file *file, const char *path, struct fault *fault);
void sqlite_file_close(struct sqlite_file *file);

/* The writer's transaction, once there is room for what it adds (sqlite_room_reserve). */
int sqlite_file_commit(struct sqlite_file *file, bool spare);

#endif
