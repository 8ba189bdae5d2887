/* Where runs are in their table. Private to store/sqlite*.
 *
 * A place (seq, the rowid) is made of created_ms and of the order of insertion, so that the table is in the order of
 * lists. */
#ifndef STORE_SQLITE_PLACE_H
#define STORE_SQLITE_PLACE_H

#include "store/sqlite_statement.h"

#define PLACE_BITS 20 /* which of the runs of its millisecond; above them the millisecond */

int64_t place_first(int64_t created_ms); /* the first place of a millisecond */

/* Behind all runs of its millisecond that are there. Of a connection that writes. */
int place_next(struct sqlite_connection *c, int64_t created_ms, int64_t *ret);
int place_find(struct sqlite_connection *c, const char *id, int64_t *ret); /* -1: there is no such run */

/* For place_find: a connection that writes remembers the places of runs that it has just added, until it is told to
 * forget them, since some may be gone: runs were deleted, or a transaction was undone. */
void place_remember(struct sqlite_connection *c, const char *id, int64_t place);
void place_forget(struct sqlite_connection *c);

#endif
