/* Operations that wait for the threads of a store: writes are taken in batches, reads one by one, and no read is taken
 * before every write that was put ahead of it is finished. Any thread may put; one thread takes writes, one takes
 * reads. */
#ifndef STORE_OPQUEUE_H
#define STORE_OPQUEUE_H

#include "store/store.h"

struct opqueue;

struct opqueue *opqueue_new(size_t max);  /* GIVES; at most `max` writes and `max` reads wait */
void opqueue_free(struct opqueue *queue); /* empty by then; NULL is allowed */

bool opqueue_put(struct opqueue *queue, struct store_op *op); /* false when full: the op stays the caller's */
bool opqueue_has_room(struct opqueue *queue);                 /* for a write and for a read. No lock */

/* Whether more writes wait than `most`, or one is not finished that was put before `since_ms` (clock_mono_ms). No lock.
 */
bool opqueue_is_behind(const struct opqueue *queue, size_t most, int64_t since_ms);

struct op_batch {                  /* zeroed first */
    struct store_op *first, *last; /* linked by `next` */
    size_t count, bytes;           /* bytes: of their bodies */
};

/* Adds what waits to a batch: up to `most` writes in all, and no more once their bodies pass `most_bytes`. Waits until
 * there is one: `wait_ms` long, or for ever if that is negative. False: none was added, since the time is up, the batch
 * is full, or the queue is closed and has no writes. */
bool opqueue_take_writes(struct opqueue *queue, struct op_batch *batch, size_t most, size_t most_bytes,
                         int64_t wait_ms);
void opqueue_finish_writes(struct opqueue *queue, size_t count); /* they were carried out: later reads may go on */
struct store_op *opqueue_take_read(struct opqueue *queue);       /* NULL: closed and no reads */

void opqueue_close_reads(struct opqueue *queue); /* the taker of reads gets NULL once there are none */
void opqueue_close(struct opqueue *queue);       /* takers empty it and then get NULL; nothing is put from here on */
bool opqueue_drained(struct opqueue *queue);     /* closed, and no write waits: none will come */

#endif
