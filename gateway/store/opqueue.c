/* The queue before a store's threads: two lanes behind one lock.
 *
 * Every write has a number, its place in the order of putting; a read remembers the number of the last write before it
 * and waits until that many are finished. So a read sees what was asked for before it, and a slow read holds up other
 * reads only. Always holds: finished <= handed; a lane's ops are in the order of their `turn`. */
#include "store/opqueue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"

struct lane {
    struct store_op *first, **last;
    size_t count;
    pthread_cond_t changed;
};

struct opqueue {
    pthread_mutex_t lock; /* guards all of it */
    struct lane writes, reads;
    size_t max;
    uint64_t handed, finished;  /* writes */
    int64_t under_way_since_ms; /* of the first write that was taken and is not finished; 0: there is none */
    bool closed, reads_closed;
    /* changed under the lock, read without it */
    atomic_size_t waiting, asking; /* writes, reads */
    _Atomic int64_t oldest_ms;     /* when the first write was put that is not finished; 0: there is none */
};

static void lane_init(struct lane *lane, const pthread_condattr_t *attr) {
    lane->last = &lane->first;
    pthread_cond_init(&lane->changed, attr);
}

static void lane_put(struct lane *lane, struct store_op *op) {
    op->next = NULL;
    *lane->last = op;
    lane->last = &op->next;
    if (lane->count++ == 0) pthread_cond_signal(&lane->changed);
}

static struct store_op *lane_take(struct lane *lane) {
    struct store_op *op = lane->first;
    lane->first = op->next;
    if (!lane->first) lane->last = &lane->first;
    lane->count--;
    op->next = NULL;
    return op;
}

struct opqueue *opqueue_new(size_t max) {
    struct opqueue *queue = mem_alloc(sizeof *queue);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    lane_init(&queue->writes, &attr);
    lane_init(&queue->reads, &attr);
    pthread_condattr_destroy(&attr);
    queue->max = max;
    return queue;
}

void opqueue_free(struct opqueue *queue) {
    if (!queue) return;
    pthread_cond_destroy(&queue->writes.changed);
    pthread_cond_destroy(&queue->reads.changed);
    pthread_mutex_destroy(&queue->lock);
    mem_free(queue);
}

static bool is_write(const struct store_op *op) {
    return op->kind == STORE_INSERT || op->kind == STORE_UPDATE || op->kind == STORE_PRUNE || op->kind == STORE_SETTLE;
}

/* Writes have been put, taken or finished. */
static void note_writes(struct opqueue *queue) {
    const struct store_op *first = queue->under_way_since_ms ? NULL : queue->writes.first;
    atomic_store_explicit(&queue->waiting, queue->writes.count, memory_order_relaxed);
    atomic_store_explicit(&queue->oldest_ms, first ? first->since_ms : queue->under_way_since_ms, memory_order_relaxed);
}

static void note_reads(struct opqueue *queue) {
    atomic_store_explicit(&queue->asking, queue->reads.count, memory_order_relaxed);
}

bool opqueue_put(struct opqueue *queue, struct store_op *op) {
    pthread_mutex_lock(&queue->lock);
    struct lane *lane = is_write(op) ? &queue->writes : &queue->reads;
    bool room = lane->count < queue->max;
    if (room) {
        if (is_write(op)) queue->handed++;
        op->turn = queue->handed;
        op->since_ms = clock_mono_ms();
        lane_put(lane, op);
        note_writes(queue);
        note_reads(queue);
    }
    pthread_mutex_unlock(&queue->lock);
    return room;
}

bool opqueue_has_room(struct opqueue *queue) {
    return atomic_load_explicit(&queue->waiting, memory_order_relaxed) < queue->max &&
           atomic_load_explicit(&queue->asking, memory_order_relaxed) < queue->max;
}

bool opqueue_is_behind(const struct opqueue *queue, size_t most, int64_t since_ms) {
    int64_t oldest_ms = atomic_load_explicit(&queue->oldest_ms, memory_order_relaxed);
    return atomic_load_explicit(&queue->waiting, memory_order_relaxed) > most || (oldest_ms && oldest_ms < since_ms);
}

static struct timespec in_ms(int64_t ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
    return at;
}

static void wait_for_writes(struct opqueue *queue, int64_t wait_ms) {
    struct timespec until = in_ms(wait_ms > 0 ? wait_ms : 0);
    while (!queue->writes.first && !queue->closed) {
        if (wait_ms < 0) pthread_cond_wait(&queue->writes.changed, &queue->lock);
        else if (pthread_cond_timedwait(&queue->writes.changed, &queue->lock, &until) != 0) return;
    }
}

static void batch_add(struct op_batch *batch, struct store_op *op) {
    if (batch->last) batch->last->next = op;
    else batch->first = op;
    batch->last = op;
    batch->count++;
    batch->bytes += op->record.body.len;
}

bool opqueue_take_writes(struct opqueue *queue, struct op_batch *batch, size_t most, size_t most_bytes,
                         int64_t wait_ms) {
    size_t before = batch->count;
    pthread_mutex_lock(&queue->lock);
    if (wait_ms) wait_for_writes(queue, wait_ms);
    while (queue->writes.first && batch->count < most && batch->bytes < most_bytes)
        batch_add(batch, lane_take(&queue->writes));
    if (batch->first) queue->under_way_since_ms = batch->first->since_ms;
    note_writes(queue);
    pthread_mutex_unlock(&queue->lock);
    return batch->count > before;
}

void opqueue_finish_writes(struct opqueue *queue, size_t count) {
    pthread_mutex_lock(&queue->lock);
    queue->finished += count;
    queue->under_way_since_ms = 0;
    note_writes(queue);
    if (queue->reads.first) pthread_cond_signal(&queue->reads.changed);
    pthread_mutex_unlock(&queue->lock);
}

struct store_op *opqueue_take_read(struct opqueue *queue) {
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        struct store_op *first = queue->reads.first;
        if (first ? first->turn <= queue->finished : queue->reads_closed) break;
        pthread_cond_wait(&queue->reads.changed, &queue->lock);
    }
    struct store_op *op = queue->reads.first ? lane_take(&queue->reads) : NULL;
    note_reads(queue);
    pthread_mutex_unlock(&queue->lock);
    return op;
}

void opqueue_close_reads(struct opqueue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->reads_closed = true;
    pthread_cond_signal(&queue->reads.changed);
    pthread_mutex_unlock(&queue->lock);
}

void opqueue_close(struct opqueue *queue) {
    opqueue_close_reads(queue);
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_signal(&queue->writes.changed);
    pthread_mutex_unlock(&queue->lock);
}

bool opqueue_drained(struct opqueue *queue) {
    pthread_mutex_lock(&queue->lock);
    bool drained = queue->closed && !queue->writes.first;
    pthread_mutex_unlock(&queue->lock);
    return drained;
}
