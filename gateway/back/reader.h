/* The reader: parses large bodies, and frees what became of them, on a thread of its own. One a loop; private to back/.
 *
 * A body of 10 MiB takes hundreds of milliseconds to parse, and tens to free: every run of the loop would wait. */
#ifndef BACK_READER_H
#define BACK_READER_H

#include "base/loop.h"
#include "base/mem.h"
#include "call/reply.h"

struct reader;
struct reading;

struct reader *reader_new(struct loop *loop); /* GIVES; there is no thread before the first body */
void reader_free(struct reader *reader);      /* after the loop has ended, or none is being read; arenas may live on */

/* Reads `body`, TAKES it, for `reply`, whose body and value it becomes, as reply_body has it; both last as long as
 * `arena`. `wanted` is copied. `done` is called once, on the loop and later, unless reader_cancel or the arena's end
 * come before. */
struct reading *reader_begin(struct reader *reader, struct arena *arena, struct reply *reply, char *body, size_t len,
                             const struct json_wanted *wanted, void (*done)(void *arg), void *arg);
void reader_cancel(struct reading *reading);

#endif
