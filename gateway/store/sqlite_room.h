/* Room on the disk for the file of the embedded store and its log. Private to store/sqlite*. */
#ifndef STORE_SQLITE_ROOM_H
#define STORE_SQLITE_ROOM_H

#include "store/sqlite_op.h"

/* Of a connection that writes: before its first transaction, and after it. A disk that is full already is no error. */
void sqlite_room_open(struct sqlite_connection *c);
void sqlite_room_take_log(struct sqlite_connection *c);

/* Inside a transaction, as the last before its commit: room for every page that the database then has. One that takes
 * on new runs leaves some `spare`, so that there is room for their ends. SQLITE_FULL where there is none. */
int sqlite_room_reserve(struct sqlite_connection *c, int64_t page_bytes, bool spare);

/* Moves the log into the file and gives back what it took beyond its least. No reader may be at work. */
void sqlite_room_make(struct sqlite_connection *c);

#endif
