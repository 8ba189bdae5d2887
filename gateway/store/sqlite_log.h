/* The log (WAL) of the embedded store, written in few pieces. Private to store/sqlite*. */
#ifndef STORE_SQLITE_LOG_H
#define STORE_SQLITE_LOG_H

#include "store/sqlite_op.h"

struct sqlite_log;

/* Of a connection that has the log open, and that writes. GIVES; NULL where there is no log. It is freed after the
 * connection is closed. */
struct sqlite_log *sqlite_log_gather(struct sqlite_connection *c);
void sqlite_log_free(struct sqlite_log *log); /* NULL is allowed */

#endif
