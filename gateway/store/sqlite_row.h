/* Rows of runs. Of a connection that writes, in a transaction. Private to store/sqlite*. */
#ifndef STORE_SQLITE_ROW_H
#define STORE_SQLITE_ROW_H

#include "store/sqlite_statement.h"

struct row {
    struct store_record record;
    int64_t place; /* where there is none */
    int64_t group;
    bool added;
};

int row_offer(struct sqlite_connection *c); /* once, before any statement of the connection */
/* Sets `added` of each: a run whose id or key has a row already changes nothing. */
int row_add(struct sqlite_connection *c, struct row *rows, size_t count);
int row_exists(struct sqlite_connection *c, const struct store_record *record, bool *ret); /* with that id, or key */

/* A value too large to bind is left NULL, which its column refuses. */
void row_bind_body(sqlite3_stmt *s, int at, struct text body);

#endif
