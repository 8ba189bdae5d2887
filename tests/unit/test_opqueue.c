/* The queue before a store's threads: order, ceilings, and that no read overtakes a write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/clock.h"
#include "store/opqueue.h"

static struct store_op write_op(size_t bytes) {
    return (struct store_op){.kind = STORE_UPDATE, .record.body = {"", bytes}};
}

static size_t take(struct opqueue *queue, size_t most, size_t most_bytes, struct store_op **ret_first) {
    struct op_batch batch = {0};
    bool any = opqueue_take_writes(queue, &batch, most, most_bytes, 0);
    assert_int_equal(any, batch.count > 0);
    *ret_first = batch.first;
    size_t linked = 0;
    for (struct store_op *op = batch.first; op; op = op->next) linked++;
    assert_int_equal(linked, batch.count);
    return batch.count;
}

static void writes_come_in_batches(void **state) {
    (void)state;
    static const struct {
        size_t bytes[6];
        size_t most, most_bytes;
        size_t batches[6];
    } cases[] = {
        {{1, 1, 1, 1, 1, 1}, 10, 100, {6}},
        {{1, 1, 1, 1, 1, 1}, 4, 100, {4, 2}},
        {{1, 1, 1, 1, 1, 1}, 1, 100, {1, 1, 1, 1, 1, 1}},
        {{60, 60, 60, 1, 1, 1}, 10, 100, {2, 4}},
        {{500, 500, 0, 0, 0, 0}, 10, 100, {1, 1, 4}}, /* one that is too large still goes, alone */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct opqueue *queue = opqueue_new(6);
        struct store_op ops[6], *first;
        for (size_t i = 0; i < 6; i++) {
            ops[i] = write_op(cases[c].bytes[i]);
            assert_true(opqueue_put(queue, &ops[i]));
        }
        struct store_op *expected = ops;
        for (size_t b = 0; b < 6; b++) {
            assert_int_equal(take(queue, cases[c].most, cases[c].most_bytes, &first), cases[c].batches[b]);
            for (; first; first = first->next) assert_ptr_equal(first, expected++);
        }
        assert_ptr_equal(expected, ops + 6);
        opqueue_free(queue);
    }
}

/* Writes that come later are linked behind those that are there, and the ceilings are those of all together. */
static void batches_grow(void **state) {
    (void)state;
    struct opqueue *queue = opqueue_new(9);
    struct store_op ops[6];
    for (size_t i = 0; i < 6; i++) ops[i] = write_op(10);
    struct op_batch batch = {0};
    assert_false(opqueue_take_writes(queue, &batch, 4, 1000, 0));
    for (size_t i = 0; i < 2; i++) assert_true(opqueue_put(queue, &ops[i]));
    assert_true(opqueue_take_writes(queue, &batch, 4, 1000, 0));
    assert_false(opqueue_take_writes(queue, &batch, 4, 1000, 0));
    for (size_t i = 2; i < 6; i++) assert_true(opqueue_put(queue, &ops[i]));
    assert_false(opqueue_take_writes(queue, &batch, 4, 20, 0)); /* as large as it may be */
    assert_true(opqueue_take_writes(queue, &batch, 4, 1000, 0));
    assert_false(opqueue_take_writes(queue, &batch, 4, 1000, 0)); /* as many as there may be */
    assert_int_equal(batch.count, 4);
    assert_int_equal(batch.bytes, 40);
    assert_ptr_equal(batch.last, &ops[3]);
    struct store_op *expected = ops;
    for (struct store_op *op = batch.first; op; op = op->next) assert_ptr_equal(op, expected++);
    assert_ptr_equal(expected, ops + 4);
    opqueue_free(queue);
}

static void lanes_have_ceilings_of_their_own(void **state) {
    (void)state;
    struct opqueue *queue = opqueue_new(1);
    struct store_op writes[2] = {write_op(0), write_op(0)}, reads[2] = {{.kind = STORE_GET}, {.kind = STORE_LIST}};
    assert_true(opqueue_has_room(queue));
    assert_true(opqueue_put(queue, &writes[0]));
    assert_false(opqueue_has_room(queue));
    assert_false(opqueue_put(queue, &writes[1]));
    assert_true(opqueue_put(queue, &reads[0]));
    assert_false(opqueue_put(queue, &reads[1]));
    struct store_op *first;
    assert_int_equal(take(queue, 9, 9, &first), 1);
    opqueue_finish_writes(queue, 1); /* the refused one was never counted as handed over */
    assert_false(opqueue_has_room(queue));
    assert_ptr_equal(opqueue_take_read(queue), &reads[0]);
    assert_true(opqueue_has_room(queue));
    opqueue_free(queue);
}

struct reader {
    struct opqueue *queue;
    pthread_mutex_t lock;
    struct store_op *seen[8];
    size_t count, finished_at[8];
    size_t finished;
};

static void *read_on(void *arg) {
    struct reader *reader = arg;
    for (struct store_op *op; (op = opqueue_take_read(reader->queue));) {
        pthread_mutex_lock(&reader->lock);
        reader->finished_at[reader->count] = reader->finished;
        reader->seen[reader->count++] = op;
        pthread_mutex_unlock(&reader->lock);
    }
    return NULL;
}

static void reads_wait_for_the_writes_before_them(void **state) {
    (void)state;
    struct reader reader = {.queue = opqueue_new(9), .lock = PTHREAD_MUTEX_INITIALIZER};
    struct store_op writes[3] = {write_op(0), write_op(0), write_op(0)}, reads[3], *first;
    for (size_t i = 0; i < 3; i++) {
        reads[i] = (struct store_op){.kind = STORE_GET};
        assert_true(opqueue_put(reader.queue, &writes[i]));
        assert_true(opqueue_put(reader.queue, &reads[i]));
    }
    pthread_t thread;
    pthread_create(&thread, NULL, read_on, &reader);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(take(reader.queue, 1, 9, &first), 1);
        pthread_mutex_lock(&reader.lock);
        reader.finished++; /* before the queue knows, so that a read that was let go too early is seen */
        pthread_mutex_unlock(&reader.lock);
        opqueue_finish_writes(reader.queue, 1);
    }
    opqueue_close(reader.queue);
    pthread_join(thread, NULL);
    assert_int_equal(reader.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(reader.seen[i], &reads[i]);
        assert_true(reader.finished_at[i] > i);
    }
    opqueue_free(reader.queue);
}

static void closing_leaves_what_waits(void **state) {
    (void)state;
    struct opqueue *queue = opqueue_new(9);
    struct store_op write = write_op(0), read = {.kind = STORE_GET}, *first;
    opqueue_put(queue, &write);
    opqueue_put(queue, &read);
    opqueue_close(queue);
    assert_false(opqueue_drained(queue));
    assert_int_equal(take(queue, 9, 9, &first), 1);
    assert_true(opqueue_drained(queue));
    opqueue_finish_writes(queue, 1);
    assert_ptr_equal(opqueue_take_read(queue), &read);
    assert_null(opqueue_take_read(queue));
    struct op_batch batch = {0};
    assert_false(opqueue_take_writes(queue, &batch, 9, 9, -1)); /* does not wait for ever */
    assert_int_equal(batch.count, 0);
    opqueue_free(queue);
}

/* Writes go on meanwhile: a read that waits for them is answered still. */
static void reads_may_close_first(void **state) {
    (void)state;
    struct opqueue *queue = opqueue_new(9);
    struct store_op write = write_op(0), read = {.kind = STORE_GET}, settle = {.kind = STORE_SETTLE}, *first;
    opqueue_put(queue, &write);
    opqueue_put(queue, &read);
    opqueue_close_reads(queue);
    assert_false(opqueue_drained(queue));
    assert_int_equal(take(queue, 9, 9, &first), 1);
    assert_false(opqueue_drained(queue));
    opqueue_finish_writes(queue, 1);
    assert_ptr_equal(opqueue_take_read(queue), &read);
    assert_true(opqueue_put(queue, &settle)); /* among the writes */
    assert_null(opqueue_take_read(queue));
    assert_int_equal(take(queue, 9, 9, &first), 1);
    assert_ptr_equal(first, &settle);
    opqueue_close(queue);
    assert_true(opqueue_drained(queue));
    opqueue_free(queue);
}

static void queue_knows_that_it_is_behind(void **state) {
    (void)state;
    struct opqueue *queue = opqueue_new(9);
    struct store_op writes[3] = {write_op(0), write_op(0), write_op(0)}, read = {.kind = STORE_GET}, *first;
    int64_t before = clock_mono_ms(), after;
    assert_false(opqueue_is_behind(queue, 0, INT64_MAX));
    opqueue_put(queue, &read);
    assert_false(opqueue_is_behind(queue, 0, INT64_MAX)); /* that is the reader's */
    for (size_t i = 0; i < 3; i++) opqueue_put(queue, &writes[i]);
    after = clock_mono_ms() + 1;
    assert_true(opqueue_is_behind(queue, 2, 0));
    assert_false(opqueue_is_behind(queue, 3, before));
    assert_true(opqueue_is_behind(queue, 3, after));
    take(queue, 3, 9, &first);
    assert_false(opqueue_is_behind(queue, 0, before));
    assert_true(opqueue_is_behind(queue, 0, after)); /* taken, and not finished */
    opqueue_finish_writes(queue, 3);
    assert_false(opqueue_is_behind(queue, 0, INT64_MAX));
    opqueue_take_read(queue);
    opqueue_free(queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_come_in_batches),           cmocka_unit_test(batches_grow),
        cmocka_unit_test(lanes_have_ceilings_of_their_own), cmocka_unit_test(reads_wait_for_the_writes_before_them),
        cmocka_unit_test(closing_leaves_what_waits),        cmocka_unit_test(reads_may_close_first),
        cmocka_unit_test(queue_knows_that_it_is_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
