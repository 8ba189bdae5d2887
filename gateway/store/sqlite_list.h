/* Lists of runs from the embedded store. Private to store/sqlite*. */
#ifndef STORE_SQLITE_LIST_H
#define STORE_SQLITE_LIST_H

#include "store/sqlite_statement.h"

/* Inside a transaction: sets the op's outcome and results. */
int sqlite_list(struct sqlite_connection *c, struct store_op *op);                    /* of a LIST */
int sqlite_list_row(struct sqlite_connection *c, struct store_op *op, int64_t place); /* adds the run there, if any */

#endif
