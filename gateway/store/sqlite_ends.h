/* When runs ended, for those who delete old ones. Private to store/sqlite*. */
#ifndef STORE_SQLITE_ENDS_H
#define STORE_SQLITE_ENDS_H

#include "store/sqlite_statement.h"

/* Of a connection that writes, in a transaction: notes the place of a run that is over now. What is noted has to be
 * written before the commit, or dropped with what is undone. */
void ends_note(struct sqlite_connection *c, int64_t place, int64_t ended_ms);
int ends_write(struct sqlite_connection *c);
void ends_drop(struct sqlite_connection *c);
void ends_free(struct ends *ends); /* NULL is allowed */

/* Deletes runs that ended before `before_ms`, `most` of them at most. */
int ends_prune(struct sqlite_connection *c, int64_t before_ms, size_t most, size_t *ret_count);

#endif
