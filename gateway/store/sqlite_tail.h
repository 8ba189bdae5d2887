/* The newest runs, which have no rows yet. Private to store/sqlite*.
 *
 * Of a connection that writes. What is done in a transaction counts once it is kept, and is gone once it is undone. */
#ifndef STORE_SQLITE_TAIL_H
#define STORE_SQLITE_TAIL_H

#include "store/sqlite_row.h"

struct tail_run;

int tail_load(struct sqlite_connection *c); /* first: what an earlier process left. Writes nothing */
void tail_free(struct tail *tail);          /* NULL is allowed */

size_t tail_count(const struct sqlite_connection *c);                            /* runs */
size_t tail_bytes(const struct sqlite_connection *c);                            /* of their records */
bool tail_has(const struct sqlite_connection *c, const struct store_record *it); /* with that id, or (stage, key) */
struct tail_run *tail_find(const struct sqlite_connection *c, const char *id);   /* borrowed, or NULL */
int64_t tail_place_before(const struct sqlite_connection *c, int64_t before);    /* the last place; -1: none */

/* Any thread: the same, perhaps of one that gets its row at this moment. Who is not here has a row that can be read, or
 * is nowhere. */
bool tail_may_have(const struct sqlite_connection *c, const struct store_record *it);

bool tail_takes(const struct store_record *record);                /* others get a row at once */
void tail_add(struct sqlite_connection *c, const struct row *row); /* that is nowhere yet; copied */
/* What the run's row is to say: an UPDATE, whose outcome becomes MISSING if there can be no row. Borrowed until the
 * transaction's end. False: the run has a row now, which can be changed as any other. */
int tail_change(struct sqlite_connection *c, struct tail_run *run, struct store_op *op, int64_t group, bool *ret_taken);
int tail_settle(struct sqlite_connection *c); /* gives all of them rows */

int tail_write(struct sqlite_connection *c); /* before the commit */
void tail_keep(struct sqlite_connection *c); /* after it */
void tail_undo(struct sqlite_connection *c);

#endif
