/* Operations on a connection to SQLite. Knows what each means in the tables; no file, no thread, and no transaction but
 * what its caller begins and commits. Results are SQLite's codes. Private to store/sqlite*. */
#ifndef STORE_SQLITE_OP_H
#define STORE_SQLITE_OP_H

#include "store/sqlite_statement.h"

int sqlite_op_begin(struct sqlite_connection *c, bool writes);
int sqlite_op_commit(struct sqlite_connection *c);
void sqlite_op_undo(struct sqlite_connection *c);
int sqlite_op_probe(struct sqlite_connection *c); /* writes a page, changes nothing */
int sqlite_op_pages(struct sqlite_connection *c, int64_t *ret_pages,
                    int64_t *ret_free); /* of the transaction at hand */

/* Inside a transaction: sets the op's outcome and results. */
int sqlite_op_write(struct sqlite_connection *c, struct store_op *op);
int sqlite_op_read(struct sqlite_connection *c, struct store_op *op);
bool sqlite_op_fails_alone(int rc); /* of sqlite_op_write: the transaction is as it was, and may go on */

int sqlite_op_places(struct sqlite_connection *c, int64_t **ret_places, size_t *ret_count); /* GIVES */
int sqlite_op_each_stage(struct sqlite_connection *c, void (*fn)(void *arg, const char *stage),
                         void *arg); /* of which there are runs */
int sqlite_op_definition(struct sqlite_connection *c, const char *hash, char **ret_source); /* GIVES; NULL: none */

int sqlite_op_add_key(struct sqlite_connection *c, const char *key); /* where there is none yet */
int sqlite_op_key(struct sqlite_connection *c, char **ret_key);      /* GIVES; NULL: none */

int sqlite_op_prepare_all(struct sqlite_connection *c); /* so that an altered schema is met now */
void sqlite_op_disconnect(struct sqlite_connection *c);

/* What a code means, in words; false. `db` may be NULL. */
bool sqlite_op_fault(struct fault *fault, const char *path, sqlite3 *db, int rc);

#endif
