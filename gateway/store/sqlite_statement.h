/* A connection to SQLite and its statements: all that the store ever says to a database, in one table. Results are
 * SQLite's codes. Private to store/sqlite*. */
#ifndef STORE_SQLITE_STATEMENT_H
#define STORE_SQLITE_STATEMENT_H

#include <sqlite3.h>

#include "store/store.h"

#define TABLES_VERSION 6 /* of the tables, as sqlite_file makes them */
#define STATEMENTS_MAX 44

enum statement {
    STATEMENT_BEGIN_WRITE,
    STATEMENT_BEGIN_READ,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_ADD_DEFINITION,
    STATEMENT_FIND_GROUP,
    STATEMENT_ADD_GROUP,
    STATEMENT_INSERT,
    STATEMENT_UPDATE_BODY,
    STATEMENT_UPDATE,
    STATEMENT_ADD_STARTS,
    STATEMENT_DROP_STARTS,
    STATEMENT_EACH_STARTS,
    STATEMENT_ADD_ENDS,
    STATEMENT_NEXT_ENDS,
    STATEMENT_PRUNE,
    STATEMENT_LEAVE_ENDS,
    STATEMENT_DROP_ENDS,
    STATEMENT_PRUNE_GROUPS,
    STATEMENT_PRUNE_DEFINITIONS,
    STATEMENT_GET,
    STATEMENT_FIND_KEY,
    STATEMENT_PLACE,
    STATEMENT_PLACE_BEFORE,
    STATEMENT_PLACE_OF_KEY,
    STATEMENT_NEWEST_ID,
    STATEMENT_HEAD,
    STATEMENT_HEAD_OF_GROUP,
    STATEMENT_GROUPS,
    STATEMENT_GROUPS_OF_STAGE,
    STATEMENT_ROW,
    STATEMENT_EACH_OPEN,
    STATEMENT_DEFINITION,
    STATEMENT_ADD_KEY,
    STATEMENT_KEY,
    STATEMENT_PAGES,
    STATEMENT_FREE_PAGES,
    STATEMENT_PROBE, /* writes a page, changes nothing */
    STATEMENT_END
};
_Static_assert(STATEMENT_END <= STATEMENTS_MAX, "a connection has room for all statements");

struct groups;
struct recent;
struct ends;
struct tail;
struct row;

struct sqlite_connection { /* of one thread at a time */
    sqlite3 *db;
    sqlite3_stmt *prepared[STATEMENTS_MAX]; /* when first needed */
    bool little_room;                       /* deletes little at a time */
    /* of one that writes; made when first needed */
    struct groups *groups;
    struct recent *recent;
    struct ends *ends;
    struct tail *tail;
    struct row *new_rows; /* what STATEMENT_INSERT adds */
    size_t new_row_count;
    int64_t last_place;            /* no run has a higher one; 0: not known yet */
    char newest_id[STORE_ID_SIZE]; /* no run with a row has a higher one */
    bool newest_id_known;
};

int statement_find(struct sqlite_connection *c, enum statement id,
                   sqlite3_stmt **ret);        /* borrowed, until it is settled */
int statement_settle(sqlite3_stmt *s, int rc); /* ends its use; what it was bound to is borrowed and goes */
int statement_run(struct sqlite_connection *c, enum statement id);
void statement_bind_cstr(sqlite3_stmt *s, int at, const char *value); /* NULL binds NULL */
const char *statement_cstr(sqlite3_stmt *s, int at);

/* The row of a statement that gives records: GET, FIND_KEY, ROW. Copied into `arena`. */
void statement_take_record(struct arena *arena, sqlite3_stmt *s, struct store_record *to);

#endif
