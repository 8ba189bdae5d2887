/* Records in memory and on disk as one store: what each operation does with them, lists that have both, keys that are
 * found in either place, what is forgotten and when, and what an orderly end and a crash leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_ask.h"

#define KEPT_MAX (1 << 20)

struct rig {
    char folder[64], url[112];
    struct loop *loop;
    struct store *store;
    size_t max_kept, max_queue;
};

static atomic_int sources; /* that have not ended */

/* ---- the rig ---- */

static void rig_open(struct rig *rig) {
    struct fault fault = {0};
    rig->store = store_open(
        &(struct store_settings){.url = rig->url, .max_queue = rig->max_queue, .max_kept = rig->max_kept}, &fault);
    if (!rig->store) fail_msg("%s: %s", fault.where, fault.what);
}

static void reopen(struct rig *rig) {
    store_close(rig->store);
    rig_open(rig);
}

static int set_up(void **state) {
    struct rig *rig = mem_alloc(sizeof *rig);
    snprintf(rig->folder, sizeof rig->folder, "/tmp/stagedoor-memory-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->url, sizeof rig->url, "sqlite:%s/s.db", rig->folder);
    rig->loop = loop_new(0);
    rig->max_kept = KEPT_MAX;
    rig->max_queue = 100000;
    rig_open(rig);
    *state = rig;
    return 0;
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    store_close(rig->store);
    loop_free(rig->loop);
    DIR *dir = opendir(rig->folder);
    for (struct dirent *entry; (entry = readdir(dir));) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(rig->folder);
    mem_free(rig);
    assert_int_equal(atomic_load(&sources), 0);
    return 0;
}

static enum store_outcome carry_out(struct rig *rig, struct store_op *op) {
    return store_carry_out(rig->store, rig->loop, op);
}

static struct store_record make(const char *id, const char *stage, const char *key, int64_t created) {
    struct store_record record = {.stage = stage,
                                  .key = key,
                                  .status = "RUNNING",
                                  .definition = "d1",
                                  .created_ms = created,
                                  .updated_ms = created};
    snprintf(record.id, sizeof record.id, "%s", id);
    return record;
}

static struct store_record in_memory(const char *id, const char *stage, const char *key, int64_t created) {
    struct store_record record = make(id, stage, key, created);
    record.in_memory = true;
    return record;
}

/* Gives the id of the run that has the key already. */
static enum store_outcome insert(struct rig *rig, struct store_record record, char other[STORE_ID_SIZE]) {
    struct store_op op = {.kind = STORE_INSERT, .record = record, .definition_source = "name = \"x\";"};
    if (!record.in_memory) op.record.body = TEXT("{\"on\":\"disk\"}");
    enum store_outcome outcome = carry_out(rig, &op);
    if (outcome == STORE_EXISTS && other) memcpy(other, op.found->id, STORE_ID_SIZE);
    store_op_fini(&op);
    return outcome;
}

static enum store_outcome update(struct rig *rig, struct store_record record, const char *status, int64_t ended_ms) {
    record.status = status;
    record.updated_ms = record.ended_ms = ended_ms;
    struct store_op op = {.kind = STORE_UPDATE, .record = record};
    if (!record.in_memory) op.record.body = TEXT("{}");
    return carry_out(rig, &op);
}

/* A run at rest, for as long as somebody reads it. */
struct source {
    struct store_source source;
    char body[64];
};

static void write_body(const struct store_source *source, struct buf *out) {
    buf_adds(out, ((const struct source *)source)->body);
}

static void end_source(struct store_source *source) {
    atomic_fetch_sub(&sources, 1);
    mem_free(source);
}

static void keep(struct rig *rig, const char *id, size_t bytes) {
    struct source *source = mem_alloc(sizeof *source);
    source->source = (struct store_source){
        .write = write_body, .end = end_source, .definition = "name = \"x\";", .bytes = bytes};
    atomic_init(&source->source.references, 1);
    snprintf(source->body, sizeof source->body, "{\"of\":\"%s\"}", id);
    atomic_fetch_add(&sources, 1);
    store_keep(rig->store, id, &source->source);
    store_source_unref(&source->source);
}

static void begin_and_end(struct rig *rig, struct store_record record, size_t bytes) {
    assert_int_equal(insert(rig, record, NULL), STORE_DONE);
    assert_int_equal(update(rig, record, "SUCCEEDED", record.created_ms + 5), STORE_DONE);
    keep(rig, record.id, bytes);
}

static enum store_outcome get(struct rig *rig, const char *id, struct store_op *ret) {
    *ret = (struct store_op){.kind = STORE_GET, .record = make(id, NULL, NULL, 0)};
    return carry_out(rig, ret);
}

static bool is_there(struct rig *rig, const char *id) {
    struct store_op op;
    bool found = get(rig, id, &op) == STORE_DONE;
    store_op_fini(&op);
    return found;
}

static void assert_body(struct rig *rig, const char *id, const char *body) {
    struct store_op op;
    assert_int_equal(get(rig, id, &op), STORE_DONE);
    assert_int_equal(op.found->body.len, strlen(body));
    assert_memory_equal(op.found->body.at, body, op.found->body.len);
    store_op_fini(&op);
}

/* ---- single operations ---- */

static void is_found_like_any_other(void **state) {
    struct rig *rig = *state;
    struct store_record record = in_memory("a", "s", "k", 10);
    assert_int_equal(insert(rig, record, NULL), STORE_DONE);
    struct store_op op;
    assert_int_equal(get(rig, "a", &op), STORE_DONE);
    assert_true(op.found->in_memory);
    assert_string_equal(op.found->stage, "s");
    assert_string_equal(op.found->key, "k");
    assert_string_equal(op.found->definition, "d1");
    assert_int_equal(op.found->created_ms, 10);
    store_op_fini(&op);
    assert_int_equal(update(rig, record, "CANCELED", 17), STORE_DONE);
    keep(rig, "a", 100);
    assert_body(rig, "a", "{\"of\":\"a\"}");
    op = (struct store_op){.kind = STORE_FIND_KEY, .record = make("", "s", "k", 0)};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    assert_string_equal(op.found->id, "a");
    assert_string_equal(op.found->status, "CANCELED");
    assert_int_equal(op.found->ended_ms, 17);
    store_op_fini(&op);
    assert_int_equal(update(rig, in_memory("nobody", "s", NULL, 1), "RUNNING", 0), STORE_MISSING);
    assert_int_equal(store_runs(rig->url), 0);
}

static void id_is_one_run(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, in_memory("a", "s", NULL, 10), NULL), STORE_DONE);
    struct store_op op = {.kind = STORE_INSERT, .record = in_memory("a", "s", NULL, 10)};
    assert_int_equal(carry_out(rig, &op), STORE_FAILED);
    assert_int_equal(op.fault.kind, FAULT_CONFLICT);
    assert_int_equal(insert(rig, in_memory("b", "s", NULL, 10), NULL), STORE_DONE);
}

static void key_is_one_run_in_either_place(void **state) {
    struct rig *rig = *state;
    char other[STORE_ID_SIZE];
    assert_int_equal(insert(rig, in_memory("a", "s", "k", 1), NULL), STORE_DONE);
    assert_int_equal(insert(rig, in_memory("b", "s", "k", 2), other), STORE_EXISTS);
    assert_string_equal(other, "a");
    assert_int_equal(insert(rig, make("c", "s", "k", 3), other), STORE_EXISTS);
    assert_string_equal(other, "a");
    assert_int_equal(insert(rig, in_memory("d", "other", "k", 4), NULL), STORE_DONE);
    assert_int_equal(insert(rig, make("e", "s", "disk", 5), NULL), STORE_DONE);
    assert_int_equal(insert(rig, in_memory("f", "s", "disk", 6), other), STORE_EXISTS);
    assert_string_equal(other, "e");
    assert_int_equal(insert(rig, in_memory("g", "s", "none", 7), NULL), STORE_DONE); /* the disk was asked */
    reopen(rig); /* now it is from before that the disk has runs of the stage */
    assert_int_equal(insert(rig, in_memory("h", "s", "disk", 8), other), STORE_EXISTS);
    assert_string_equal(other, "e");
    assert_int_equal(insert(rig, in_memory("i", "s", "k", 9), NULL), STORE_DONE); /* that of a is forgotten */
}

static void moves_to_the_disk(void **state) {
    struct rig *rig = *state;
    struct store_record record = in_memory("a", "s", "k", 10);
    assert_int_equal(insert(rig, record, NULL), STORE_DONE);
    record.in_memory = false;
    assert_int_equal(insert(rig, record, NULL), STORE_DONE);
    assert_int_equal(store_runs(rig->url), 1);
    assert_body(rig, "a", "{\"on\":\"disk\"}");
    assert_int_equal(update(rig, record, "SUCCEEDED", 20), STORE_DONE);
    struct store_op op = {.kind = STORE_LIST, .filter = {.limit = 9}};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    assert_int_equal(op.found_count, 1);
    assert_false(op.found->in_memory);
    store_op_fini(&op);
}

static void waits_for_no_disk(void **state) {
    struct rig *rig = *state;
    size_t left = 1, own_left = 1;
    struct store_op write = {.kind = STORE_INSERT,
                             .loop = rig->loop,
                             .done = store_ask_done,
                             .arg = &left,
                             .record = make("d", "s", NULL, 1)};
    struct store_op own = write;
    own.record = in_memory("m", "t", "key", 1);
    own.arg = &own_left;
    write.record.body = TEXT("{}");
    store_submit(rig->store, &write);
    store_submit(rig->store, &own);
    event_base_loop(loop_base(rig->loop), EVLOOP_NONBLOCK);
    assert_int_equal(own_left, 0);
    assert_int_equal(own.outcome, STORE_DONE);
    while (left) event_base_loop(loop_base(rig->loop), EVLOOP_ONCE);
    store_op_fini(&write);
    assert_true(store_takes(rig->store, true));
}

static atomic_bool reader_is_there, let_reader_go;

static bool sees_slowly(const void *rights, const char *stage) {
    (void)rights, (void)stage;
    atomic_store(&reader_is_there, true);
    while (!atomic_load(&let_reader_go)) usleep(1000);
    return true;
}

/* Whether the disk has the key cannot be asked; that is no yes. */
static void busy_disk_is_told(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, make("a", "s", "disk", 1), NULL), STORE_DONE);
    rig->max_queue = 1;
    reopen(rig);
    size_t left = 0;
    struct store_op ops[] = {{.kind = STORE_LIST, .filter = {.limit = 9, .sees = sees_slowly}},
                             {.kind = STORE_GET, .record = make("a", NULL, NULL, 0)},
                             {.kind = STORE_INSERT, .record = in_memory("b", "s", "none", 2)}};
    for (size_t i = 0; i < 3; i++) {
        store_hand_over(rig->store, rig->loop, &ops[i], &left);
        while (!atomic_load(&reader_is_there)) usleep(1000);
    }
    atomic_store(&let_reader_go, true);
    store_wait(rig->loop, &left);
    assert_int_equal(ops[1].outcome, STORE_DONE);
    assert_int_equal(ops[2].outcome, STORE_FAILED);
    assert_int_equal(ops[2].fault.kind, FAULT_BUSY);
    assert_false(is_there(rig, "b"));
    for (size_t i = 0; i < 3; i++) store_op_fini(&ops[i]);
}

/* ---- what is forgotten ---- */

static void oldest_makes_room(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, in_memory("flies", "s", NULL, 1), NULL), STORE_DONE);
    for (int i = 0; i < 20; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "r%02d", i);
        begin_and_end(rig, in_memory(id, "s", id, 100 - i), KEPT_MAX / 10); /* by their ends, not by their starts */
    }
    assert_in_range(atomic_load(&sources), 8, 9);
    assert_false(is_there(rig, "r00"));
    assert_false(is_there(rig, "r10"));
    assert_true(is_there(rig, "r12"));
    assert_true(is_there(rig, "r19"));
    assert_true(is_there(rig, "flies")); /* one in flight is never forgotten */
    assert_int_equal(insert(rig, in_memory("again", "s", "r00", 200), NULL), STORE_DONE); /* its key is free */
    begin_and_end(rig, in_memory("huge", "s", NULL, 300), KEPT_MAX + 1);
    assert_int_equal(atomic_load(&sources), 0);
    assert_false(is_there(rig, "huge"));
    assert_true(is_there(rig, "flies"));
}

static void retention_holds(void **state) {
    struct rig *rig = *state;
    begin_and_end(rig, in_memory("a", "s", NULL, 100), 1);
    begin_and_end(rig, in_memory("b", "s", NULL, 200), 1);
    assert_int_equal(insert(rig, in_memory("c", "s", NULL, 1), NULL), STORE_DONE);
    struct store_op op = {.kind = STORE_PRUNE, .before_ms = 205};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    store_op_fini(&op);
    assert_false(is_there(rig, "a"));
    assert_true(is_there(rig, "b")); /* ended at 205 */
    assert_true(is_there(rig, "c"));
}

static void who_reads_has_it_to_the_end(void **state) {
    struct rig *rig = *state;
    begin_and_end(rig, in_memory("a", "s", NULL, 100), 1);
    struct arena *arena = arena_new();
    struct store_op op = {.kind = STORE_LIST, .filter = {.limit = 9}};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    assert_int_equal(op.found_count, 1);
    assert_int_equal(op.found->body.len, 0);
    assert_true(store_recall(rig->store, arena, op.found));
    assert_int_equal(op.found->body.len, strlen("{\"of\":\"a\"}"));
    begin_and_end(rig, in_memory("b", "s", NULL, 200), KEPT_MAX);
    assert_false(store_recall(rig->store, arena, op.found));
    store_op_fini(&op);
    arena_free(arena);
}

static void orderly_end_loses_nothing_that_is_over(void **state) {
    struct rig *rig = *state;
    begin_and_end(rig, in_memory("a", "s", "k", 100), 1);
    begin_and_end(rig, in_memory("b", "s", NULL, 200), 1);
    assert_int_equal(insert(rig, in_memory("flies", "s", NULL, 300), NULL), STORE_DONE);
    reopen(rig);
    assert_int_equal(atomic_load(&sources), 0);
    assert_body(rig, "a", "{\"of\":\"a\"}");
    assert_body(rig, "b", "{\"of\":\"b\"}");
    assert_false(is_there(rig, "flies")); /* its engine did not move it */
    assert_int_equal(store_runs(rig->url), 2);
}

/* ---- lists ---- */

#define ROWS 300

struct row {
    struct store_record record;
    int order; /* of insertion */
};

static int by_place(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->record.created_ms != y->record.created_ms) return x->record.created_ms < y->record.created_ms ? 1 : -1;
    if (x->record.in_memory != y->record.in_memory) return x->record.in_memory ? -1 : 1;
    return y->order - x->order;
}

static const char *const stages[] = {"s0", "s1", "s2"};

static void make_rows(struct rig *rig, struct row *rows, unsigned *seed) {
    for (int i = 0; i < ROWS; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "id%03d", i);
        const char *stage = stages[rand_r(seed) % 3];
        int64_t created = 1000 + rand_r(seed) % 200; /* several a millisecond, and clocks that are set */
        bool memory = rand_r(seed) % 2;
        rows[i] = (struct row){memory ? in_memory(id, stage, NULL, created) : make(id, stage, NULL, created), i};
        assert_int_equal(insert(rig, rows[i].record, NULL), STORE_DONE);
        if (rand_r(seed) % 3 == 0) continue;
        assert_int_equal(update(rig, rows[i].record, "SUCCEEDED", created + 9), STORE_DONE);
        rows[i].record.status = "SUCCEEDED";
        if (memory && rand_r(seed) % 2) keep(rig, rows[i].record.id, 10);
    }
    qsort(rows, ROWS, sizeof *rows, by_place);
}

static bool wanted(const struct store_record *record, const struct store_filter *filter) {
    return (!filter->status || strcmp(filter->status, record->status) == 0) && record->created_ms >= filter->since_ms &&
           (!filter->stages || strcmp(filter->stages[0], record->stage) == 0);
}

/* The disk is asked first whether it has the key; the answer comes when there is no store any more. */
static void close_answers_who_waits_for_the_disk(void **state) {
    struct rig *rig = *state;
    size_t left = 0;
    assert_int_equal(insert(rig, make("a", "s", "disk", 1), NULL), STORE_DONE);
    struct store_op ops[] = {{.kind = STORE_INSERT, .record = in_memory("b", "s", "none", 2)},
                             {.kind = STORE_INSERT, .record = in_memory("c", "s", "disk", 3)}};
    for (size_t i = 0; i < 2; i++) store_hand_over(rig->store, rig->loop, &ops[i], &left);
    store_close(rig->store);
    loop_flush(rig->loop);
    assert_int_equal(left, 0);
    assert_int_equal(ops[0].outcome, STORE_DONE);
    assert_int_equal(ops[1].outcome, STORE_EXISTS);
    assert_string_equal(ops[1].found->id, "a");
    store_op_fini(&ops[1]);
    rig_open(rig);
}

static void lists_are_merged(void **state) {
    struct rig *rig = *state;
    static struct row rows[ROWS];
    unsigned seed = 7;
    make_rows(rig, rows, &seed);
    for (int round = 0; round < 60; round++) {
        const char *stage[] = {stages[rand_r(&seed) % 3]};
        struct store_filter filter = {.limit = 1 + (size_t)rand_r(&seed) % 40,
                                      .status = rand_r(&seed) % 2 ? "SUCCEEDED" : NULL,
                                      .since_ms = rand_r(&seed) % 3 ? 0 : 1000 + rand_r(&seed) % 200};
        if (rand_r(&seed) % 3 == 0) filter.stages = stage, filter.stage_count = 1;
        char last[STORE_ID_SIZE] = "";
        size_t at = 0;
        bool more = true;
        while (more) { /* page by page */
            struct store_op op = {.kind = STORE_LIST, .filter = filter};
            if (last[0]) op.filter.before_id = last;
            assert_int_equal(carry_out(rig, &op), STORE_DONE);
            for (size_t i = 0; i < op.found_count; i++, at++) {
                while (at < ROWS && !wanted(&rows[at].record, &filter)) at++;
                assert_true(at < ROWS);
                assert_string_equal(op.found[i].id, rows[at].record.id);
                assert_int_equal(op.found[i].in_memory, rows[at].record.in_memory);
            }
            more = op.more;
            if (more) assert_int_equal(op.found_count, filter.limit);
            if (op.found_count) memcpy(last, op.found[op.found_count - 1].id, sizeof last);
            store_op_fini(&op);
        }
        while (at < ROWS && !wanted(&rows[at].record, &filter)) at++;
        assert_int_equal(at, ROWS);
    }
}

static bool sees_first(const void *rights, const char *stage) {
    return strcmp(stage, rights) == 0;
}

static void lists_know_rights_and_cursors(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, in_memory("a", "s0", NULL, 10), NULL), STORE_DONE);
    assert_int_equal(insert(rig, in_memory("b", "s1", NULL, 20), NULL), STORE_DONE);
    begin_and_end(rig, in_memory("c", "s0", NULL, 30), 1);
    struct store_op op = {.kind = STORE_LIST, .filter = {.limit = 9, .sees = sees_first, .rights = "s0"}};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    assert_int_equal(op.found_count, 2);
    assert_string_equal(op.found[0].id, "c");
    assert_string_equal(op.found[1].id, "a");
    store_op_fini(&op);
    op = (struct store_op){.kind = STORE_LIST, .filter = {.limit = 1, .before_id = "c"}};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    assert_string_equal(op.found->id, "b");
    assert_true(op.more);
    store_op_fini(&op);
    begin_and_end(rig, in_memory("huge", "s0", NULL, 40), KEPT_MAX); /* c is forgotten: its page is, too */
    op = (struct store_op){.kind = STORE_LIST, .filter = {.limit = 1, .before_id = "c"}};
    assert_int_equal(carry_out(rig, &op), STORE_MISSING);
    store_op_fini(&op);
}

/* ---- several loops ---- */

#define LOOPS 3
#define EACH 3000

struct hand {
    struct rig *rig;
    unsigned number;
    struct loop *loop;
    pthread_t thread;
};

static void *work(void *arg) {
    struct hand *hand = arg;
    struct rig own = *hand->rig; /* the same store, from a loop of its own */
    own.loop = hand->loop;
    for (int i = 0; i < EACH; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "h%u-%05d", hand->number, i);
        begin_and_end(&own, in_memory(id, "s", i % 3 ? NULL : id, i), 200);
        if (i % 16 == 0) assert_true(is_there(&own, id));
        if (i % 64 != 0) continue;
        struct store_op op = {.kind = STORE_LIST, .filter = {.limit = 20, .status = "SUCCEEDED"}};
        struct arena *arena = arena_new();
        assert_int_equal(carry_out(&own, &op), STORE_DONE);
        for (size_t k = 1; k < op.found_count; k++) assert_true(op.found[k - 1].created_ms >= op.found[k].created_ms);
        for (size_t k = 0; k < op.found_count; k++) store_recall(own.store, arena, &op.found[k]);
        arena_free(arena);
        store_op_fini(&op);
    }
    return NULL;
}

static void several_loops_have_it_in_common(void **state) {
    struct rig *rig = *state;
    struct hand hands[LOOPS];
    for (unsigned i = 0; i < LOOPS; i++) {
        hands[i] = (struct hand){.rig = rig, .number = i, .loop = loop_new(i)};
        pthread_create(&hands[i].thread, NULL, work, &hands[i]);
    }
    for (unsigned i = 0; i < LOOPS; i++) pthread_join(hands[i].thread, NULL);
    assert_true(is_there(rig, "h0-02999"));
    assert_true(atomic_load(&sources) > 100 && atomic_load(&sources) < LOOPS * EACH); /* the bound was met */
    store_close(rig->store);
    for (unsigned i = 0; i < LOOPS; i++) loop_free(hands[i].loop);
    rig_open(rig);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(is_found_like_any_other),
        T(id_is_one_run),
        T(key_is_one_run_in_either_place),
        T(moves_to_the_disk),
        T(waits_for_no_disk),
        T(busy_disk_is_told),
        T(oldest_makes_room),
        T(retention_holds),
        T(who_reads_has_it_to_the_end),
        T(orderly_end_loses_nothing_that_is_over),
        T(close_answers_who_waits_for_the_disk),
        T(lists_are_merged),
        T(lists_know_rights_and_cursors),
        T(several_loops_have_it_in_common),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
