/* The store on real files: what each op does, order, several loops at once, durability under kill -9, a full disk,
 * files that must be refused, and that no statement scans a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/count.h"
#include "store_ask.h"

struct rig {
    char folder[64];
    char path[96];
    char url[112];
    struct loop *loop;
    struct store *store;
};

/* ---- the rig ---- */

static struct store *open_url(const char *url, size_t max_queue, struct fault *fault) {
    return store_open(&(struct store_settings){.url = url, .max_queue = max_queue}, fault);
}

static void rig_open(struct rig *rig) {
    struct fault fault = {0};
    rig->store = open_url(rig->url, 100000, &fault);
    if (!rig->store) fail_msg("%s: %s", fault.where, fault.what);
}

static int set_up(void **state) {
    struct rig *rig = mem_alloc(sizeof *rig);
    snprintf(rig->folder, sizeof rig->folder, "/tmp/stagedoor-store-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->path, sizeof rig->path, "%s/s.db", rig->folder);
    snprintf(rig->url, sizeof rig->url, "sqlite:%s", rig->path);
    rig->loop = loop_new(0);
    rig_open(rig);
    *state = rig;
    return 0;
}

static void rig_reopen(struct rig *rig) {
    store_close(rig->store);
    rig_open(rig);
}

static void remove_folder(const char *folder) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(folder);
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    store_close(rig->store);
    loop_free(rig->loop);
    remove_folder(rig->folder);
    mem_free(rig);
    return 0;
}

static void hand_over(struct rig *rig, struct store_op *op, size_t *left) {
    store_hand_over(rig->store, rig->loop, op, left);
}

static enum store_outcome carry_out(struct rig *rig, struct store_op *op) {
    return store_carry_out(rig->store, rig->loop, op);
}

static struct store_record make(const char *id, const char *stage, const char *key, const char *status, int64_t created,
                                int64_t ended) {
    struct store_record record = {.stage = stage,
                                  .key = key,
                                  .status = status,
                                  .definition = "d1",
                                  .created_ms = created,
                                  .updated_ms = created,
                                  .ended_ms = ended,
                                  .body = TEXT("{}")};
    snprintf(record.id, sizeof record.id, "%s", id);
    return record;
}

static enum store_outcome insert(struct rig *rig, struct store_record record) {
    struct store_op op = {.kind = STORE_INSERT, .record = record, .definition_source = "name = \"x\";"};
    enum store_outcome outcome = carry_out(rig, &op);
    if (outcome == STORE_FAILED) print_message("%s: %s\n", op.fault.where, op.fault.what);
    store_op_fini(&op);
    return outcome;
}

static struct store_op get(struct rig *rig, const char *id) {
    struct store_op op = {.kind = STORE_GET, .record = make(id, NULL, NULL, NULL, 0, 0)};
    carry_out(rig, &op);
    return op;
}

/* By whoever knows the run, as the engine does. */
static enum store_outcome update(struct rig *rig, const char *id, const char *status, int64_t ended, struct text body) {
    struct store_op op = {.kind = STORE_UPDATE, .record = make(id, "nowhere", NULL, status, 0, ended)}, known;
    known = get(rig, id);
    if (known.found_count) op.record.stage = known.found->stage, op.record.definition = known.found->definition;
    op.record.updated_ms = 77;
    op.record.body = body;
    enum store_outcome outcome = carry_out(rig, &op);
    store_op_fini(&op);
    store_op_fini(&known);
    return outcome;
}

static bool holds(struct rig *rig, const char *id) {
    struct store_op op = get(rig, id);
    assert_true(op.outcome == STORE_DONE || op.outcome == STORE_MISSING);
    store_op_fini(&op);
    return op.outcome == STORE_DONE;
}

static void assert_same(const struct store_record *a, const struct store_record *b) {
    assert_string_equal(a->id, b->id);
    assert_string_equal(a->stage, b->stage);
    assert_true((a->key == NULL) == (b->key == NULL));
    if (a->key) assert_string_equal(a->key, b->key);
    assert_string_equal(a->status, b->status);
    assert_string_equal(a->definition, b->definition);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->updated_ms, b->updated_ms);
    assert_int_equal(a->ended_ms, b->ended_ms);
    assert_int_equal(a->body.len, b->body.len);
    if (a->body.len) assert_memory_equal(a->body.at, b->body.at, a->body.len);
}

/* ---- single operations ---- */

static void keeps_every_field(void **state) {
    struct rig *rig = *state;
    static char large[1 << 20];
    memset(large, 'x', sizeof large);
    struct store_record rows[] = {
        make("a", "plain", NULL, "RUNNING", 1, 0),
        make("b", "it's \"quoted\"; DROP TABLE runs; --", "k'\"\\%_", "RUNNING", INT64_MAX, 9),
        make("c", "größe-漢字-🚪", "ключ", "SUCCEEDED", 3, INT64_MAX),
        make("d", "", "", "", 0, -1),
        make("e", "large", NULL, "RUNNING", -5, 0),
        make("f", "empty", NULL, "RUNNING", 5, 0),
        make("g", "bytes", NULL, "RUNNING", 5, 0),
    };
    rows[4].body = (struct text){large, sizeof large};
    rows[5].body = (struct text){NULL, 0};
    rows[6].body = TEXT("\0\xff\x01\0");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_int_equal(insert(rig, rows[i]), STORE_DONE);
    rig_reopen(rig);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct store_op op = get(rig, rows[i].id);
        assert_int_equal(op.outcome, STORE_DONE);
        assert_int_equal(op.found_count, 1);
        assert_same(op.found, &rows[i]);
        store_op_fini(&op);
    }
}

static void key_belongs_to_one_run(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, make("a", "s", "k", "RUNNING", 1, 0)), STORE_DONE);
    struct store_op op = {.kind = STORE_INSERT, .record = make("b", "s", "k", "RUNNING", 2, 0)};
    assert_int_equal(carry_out(rig, &op), STORE_EXISTS);
    assert_string_equal(op.found->id, "a");
    store_op_fini(&op);
    assert_false(holds(rig, "b"));
    assert_int_equal(insert(rig, make("c", "other", "k", "RUNNING", 2, 0)), STORE_DONE);
    assert_int_equal(insert(rig, make("d", "s", NULL, "RUNNING", 2, 0)), STORE_DONE);
    assert_int_equal(insert(rig, make("e", "s", NULL, "RUNNING", 2, 0)), STORE_DONE);
    struct store_op find = {.kind = STORE_FIND_KEY, .record = make("", "other", "k", NULL, 0, 0)};
    assert_int_equal(carry_out(rig, &find), STORE_DONE);
    assert_string_equal(find.found->id, "c");
    store_op_fini(&find);
    find.record.key = "none";
    assert_int_equal(carry_out(rig, &find), STORE_MISSING);
    assert_int_equal(find.found_count, 0);
    store_op_fini(&find);
}

static void update_changes_what_it_names(void **state) {
    struct rig *rig = *state;
    struct store_record row = make("a", "s", "k", "RUNNING", 1, 0);
    assert_int_equal(insert(rig, row), STORE_DONE);
    for (int round = 0; round < 2; round++) { /* the status stays, then it changes */
        row.status = round ? "SUCCEEDED" : "RUNNING";
        row.ended_ms = round ? 9 : 0;
        row.body = round ? TEXT("[2]") : TEXT("[1]");
        row.updated_ms = 77;
        assert_int_equal(update(rig, "a", row.status, row.ended_ms, row.body), STORE_DONE);
        struct store_op op = get(rig, "a");
        assert_same(op.found, &row);
        store_op_fini(&op);
    }
    assert_int_equal(update(rig, "nobody", "RUNNING", 0, TEXT("")), STORE_MISSING);
}

static void order_is_that_of_handing_over(void **state) {
    struct rig *rig = *state;
    size_t left = 0;
    struct store_op ops[] = {
        {.kind = STORE_INSERT, .record = make("a", "s", "k", "RUNNING", 1, 0)},
        {.kind = STORE_GET, .record = make("a", NULL, NULL, NULL, 0, 0)},
        {.kind = STORE_UPDATE, .record = make("a", "s", NULL, "CANCELED", 1, 5)},
        {.kind = STORE_UPDATE, .record = make("a", "s", NULL, "SUCCEEDED", 1, 6)},
        {.kind = STORE_FIND_KEY, .record = make("", "s", "k", NULL, 0, 0)},
    };
    for (size_t i = 0; i < 5; i++) hand_over(rig, &ops[i], &left);
    store_wait(rig->loop, &left);
    for (size_t i = 0; i < 5; i++) assert_int_equal(ops[i].outcome, STORE_DONE);
    assert_string_equal(ops[1].found->id, "a");
    assert_string_equal(ops[4].found->status, "SUCCEEDED");
    for (size_t i = 0; i < 5; i++) store_op_fini(&ops[i]);
}

static void one_bad_record_fails_alone(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, make("taken", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
    size_t left = 0;
    struct store_op ops[4] = {{.kind = STORE_INSERT, .record = make("a", "s", NULL, "RUNNING", 1, 0)},
                              {.kind = STORE_INSERT, .record = make("b", "s", NULL, NULL, 1, 0)},
                              {.kind = STORE_INSERT, .record = make("taken", "s", "k", "RUNNING", 1, 0)},
                              {.kind = STORE_INSERT, .record = make("c", "s", NULL, "RUNNING", 1, 0)}};
    for (size_t i = 0; i < 4; i++) hand_over(rig, &ops[i], &left);
    store_wait(rig->loop, &left);
    assert_int_equal(ops[0].outcome, STORE_DONE);
    assert_int_equal(ops[1].outcome, STORE_FAILED);
    assert_non_null(strstr(ops[1].fault.what, "run_groups.status"));
    assert_int_equal(ops[2].outcome, STORE_FAILED);
    assert_int_equal(ops[2].fault.kind, FAULT_CONFLICT);
    assert_int_equal(ops[3].outcome, STORE_DONE);
    assert_true(store_ready(rig->store));
    assert_true(holds(rig, "a") && holds(rig, "c") && !holds(rig, "b"));
    for (size_t i = 0; i < 4; i++) store_op_fini(&ops[i]);
}

/* ---- lists ---- */

static void expect_list(struct rig *rig, struct store_filter filter, const char *ids, bool more) {
    struct store_op op = {.kind = STORE_LIST, .filter = filter};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    char got[256] = "";
    for (size_t i = 0; i < op.found_count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s", op.found[i].id);
    assert_string_equal(got, ids);
    assert_int_equal(op.more, more);
    store_op_fini(&op);
}

static bool sees_named(const void *rights, const char *stage) {
    return strchr(rights, stage[0]) != NULL;
}

static void lists_by_every_filter(void **state) {
    struct rig *rig = *state;
    static const char *const xs[] = {"x"}, *const xy[] = {"x", "y"}, *const xxz[] = {"x", "x", "z"},
                             *const none[] = {"q"};
    /* h is older than g though it came later; c and d are of the same moment; s, t and u only keep their keys */
    struct store_record rows[] = {
        make("a", "x", NULL, "RUNNING", 10, 0),      make("b", "y", NULL, "SUCCEEDED", 20, 1),
        make("c", "z", NULL, "RUNNING", 30, 0),      make("d", "x", NULL, "SUCCEEDED", 30, 1),
        make("e", "y", NULL, "RUNNING", 50, 0),      make("f", "x", NULL, "RUNNING", 60, 0),
        make("g", "z", NULL, "SUCCEEDED", 90, 1),    make("h", "x", NULL, "TERMINAL", 80, 1),
        make("s", "x", "k1", STORE_ATTACHED, 5, 1),  make("t", "x", "k2", STORE_ATTACHED, 70, 1),
        make("u", "q", "k1", STORE_ATTACHED, 95, 1),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_int_equal(insert(rig, rows[i]), STORE_DONE);
    struct {
        struct store_filter filter;
        const char *ids;
        bool more;
    } cases[] = {
        {{.limit = 1000}, "ghfedcba", false},
        {{.limit = 8}, "ghfedcba", false},
        {{.limit = 7}, "ghfedcb", true},
        {{.limit = 2, .before_id = "f"}, "ed", true},
        {{.limit = 2, .before_id = "d"}, "cb", true},
        {{.limit = 9, .before_id = "c"}, "ba", false},
        {{.limit = 9, .before_id = "a"}, "", false},
        {{.limit = 9, .since_ms = 30}, "ghfedc", false},
        {{.limit = 9, .since_ms = 91}, "", false},
        {{.limit = 9, .since_ms = 80, .before_id = "g"}, "h", false},
        {{.limit = 9, .status = "RUNNING"}, "feca", false},
        {{.limit = 2, .status = "RUNNING", .before_id = "f"}, "ec", true},
        {{.limit = 9, .status = "running"}, "", false},
        {{.limit = 9, .status = STORE_ATTACHED}, "", false},
        {{.limit = 9, .stages = xs, .stage_count = 1}, "hfda", false},
        {{.limit = 9, .stages = xy, .stage_count = 2}, "hfedba", false},
        {{.limit = 3, .stages = xy, .stage_count = 2, .before_id = "h"}, "fed", true},
        {{.limit = 9, .stages = xxz, .stage_count = 3}, "ghfdca", false},
        {{.limit = 9, .stages = xy, .stage_count = 2, .status = "RUNNING", .since_ms = 20}, "fe", false},
        {{.limit = 9, .stages = xxz, .stage_count = 3, .status = "SUCCEEDED"}, "gd", false},
        {{.limit = 9, .stages = none, .stage_count = 1}, "", false},
        {{.limit = 9, .stages = xs, .stage_count = 0}, "", false},
        {{.limit = 9, .stages = xs, .stage_count = 1, .since_ms = 60}, "hf", false},
        {{.limit = 9, .sees = sees_named, .rights = "xz"}, "ghfdca", false},
        {{.limit = 2, .sees = sees_named, .rights = "xz", .before_id = "f"}, "dc", true},
        {{.limit = 9, .sees = sees_named, .rights = "y", .status = "RUNNING"}, "e", false},
        {{.limit = 9, .sees = sees_named, .rights = ""}, "", false},
        {{.limit = 9, .sees = sees_named, .rights = "", .stages = xs, .stage_count = 1}, "hfda", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_list(rig, cases[i].filter, cases[i].ids, cases[i].more);
    struct store_op op = {.kind = STORE_LIST, .filter = {.limit = 5, .before_id = "' OR 1"}};
    assert_int_equal(carry_out(rig, &op), STORE_MISSING);
    assert_int_equal(op.found_count, 0);
    store_op_fini(&op);
}

static void list_of_large_bodies_has_a_ceiling(void **state) {
    struct rig *rig = *state;
    static char large[1 << 20];
    struct store_record row = make("", "s", NULL, "RUNNING", 1, 0);
    row.body = (struct text){large, sizeof large};
    for (int i = 0; i < 40; i++) {
        snprintf(row.id, sizeof row.id, "%02d", i);
        assert_int_equal(insert(rig, row), STORE_DONE);
    }
    size_t seen = 0;
    char before[STORE_ID_SIZE] = "";
    for (bool more = true; more;) {
        struct store_op op = {.kind = STORE_LIST, .filter = {.limit = 1000, .before_id = *before ? before : NULL}};
        assert_int_equal(carry_out(rig, &op), STORE_DONE);
        assert_in_range(op.found_count, 1, 34);
        seen += op.found_count;
        more = op.more;
        snprintf(before, sizeof before, "%s", op.found[op.found_count - 1].id);
        store_op_fini(&op);
    }
    assert_int_equal(seen, 40);
}

/* ---- prune ---- */

static size_t prune(struct rig *rig, int64_t before_ms) {
    struct store_op op = {.kind = STORE_PRUNE, .before_ms = before_ms};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    assert_int_equal(op.more, op.found_count == 1000);
    return op.found_count;
}

static bool knows(struct rig *rig, const char *hash) {
    struct fault fault = {0};
    char *source = store_definition(rig->store, hash, &fault);
    if (!source) assert_int_equal(fault.kind, FAULT_NOT_FOUND);
    mem_free(source);
    return source != NULL;
}

static void prunes_in_slices(void **state) {
    struct rig *rig = *state;
    enum { OLD = 2300 };
    struct store_op *ops = mem_alloc((OLD + 2) * sizeof *ops);
    size_t left = 0;
    for (size_t i = 0; i < OLD + 2; i++) {
        char id[16];
        snprintf(id, sizeof id, "%04zu", i);
        ops[i] = (struct store_op){.kind = STORE_INSERT, .record = make(id, "s", NULL, "SUCCEEDED", 1, 100)};
        if (i == OLD) ops[i].record.ended_ms = 0;
        if (i == OLD + 1) ops[i].record.ended_ms = 200;
        ops[i].record.definition = i < OLD ? "old" : "kept";
        ops[i].definition_source = i < OLD ? "old source" : "kept source";
        hand_over(rig, &ops[i], &left);
    }
    store_wait(rig->loop, &left);
    assert_int_equal(prune(rig, 101), 1000);
    assert_true(knows(rig, "old"));
    assert_int_equal(prune(rig, 101), 1000);
    assert_true(knows(rig, "old")); /* they go with the last slice */
    assert_int_equal(prune(rig, 101), 300);
    assert_int_equal(prune(rig, 101), 0);
    assert_false(knows(rig, "old"));
    assert_true(knows(rig, "kept"));
    expect_list(rig, (struct store_filter){.limit = 9}, "23012300", false);
    assert_int_equal(prune(rig, 200), 0); /* it ended with the others' commit, but later */
    assert_int_equal(prune(rig, 201), 1);
    expect_list(rig, (struct store_filter){.limit = 9}, "2300", false);
    mem_free(ops);
}

/* A definition is kept for runs that may have to be resumed. */
static void definitions_are_kept_for_runs_in_flight(void **state) {
    struct rig *rig = *state;
    struct store_record row = make("a", "s", NULL, "RUNNING", 1, 0);
    assert_int_equal(insert(rig, row), STORE_DONE);
    assert_int_equal(prune(rig, 1000), 0);
    assert_true(knows(rig, "d1"));
    assert_int_equal(update(rig, "a", "SUCCEEDED", 2000, TEXT("{}")), STORE_DONE);
    assert_true(knows(rig, "d1"));
    assert_int_equal(prune(rig, 1000), 0);
    assert_false(knows(rig, "d1"));
    assert_true(holds(rig, "a"));
    row = make("b", "s", NULL, "RUNNING", 1, 0);
    assert_int_equal(insert(rig, row), STORE_DONE);
    assert_true(knows(rig, "d1"));
}

/* ---- start ---- */

/* As recovery does it, in slices of that size. */
static void expect_open(struct rig *rig, size_t slice, const char *ids) {
    int64_t *places;
    size_t count, at = 0;
    char got[64] = "";
    assert_true(store_places(rig->store, &places, &count, NULL));
    while (at < count) {
        size_t left = count - at;
        struct store_op op = {.kind = STORE_AT, .places = places + at, .place_count = left < slice ? left : slice};
        assert_int_equal(carry_out(rig, &op), STORE_DONE);
        assert_int_equal(op.passed, op.place_count);
        assert_int_equal(op.found_count, op.place_count);
        for (size_t i = 0; i < op.found_count; i++) {
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s", op.found[i].id);
            assert_int_equal(op.found[i].ended_ms, 0);
            assert_string_equal(op.found[i].stage, "s");
            char *source = store_definition(rig->store, op.found[i].definition, NULL);
            assert_string_equal(source, "name = \"x\";");
            mem_free(source);
        }
        at += op.passed;
        store_op_fini(&op);
    }
    mem_free(places);
    assert_string_equal(got, ids);
}

static void open_runs_are_found_after_a_restart(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 30, 0)), STORE_DONE);
    assert_int_equal(insert(rig, make("b", "s", NULL, "RUNNING", 10, 0)), STORE_DONE);
    assert_int_equal(insert(rig, make("c", "s", NULL, "SUCCEEDED", 5, 6)), STORE_DONE);
    assert_int_equal(insert(rig, make("d", "s", NULL, "RUNNING", 20, 0)), STORE_DONE);
    assert_int_equal(update(rig, "d", "CANCELED", 40, TEXT("{}")), STORE_DONE);
    rig_reopen(rig);
    expect_open(rig, 60, "ba");
    expect_open(rig, 1, "ba");
    assert_int_equal(insert(rig, make("e", "s", NULL, "RUNNING", 30, 0)), STORE_DONE);
}

/* What begins behind the question is none of them; what ends or goes meanwhile is not there, or is as it is. */
static void places_are_of_one_moment(void **state) {
    struct rig *rig = *state;
    int64_t *places;
    size_t count;
    for (char id[] = "a"; id[0] <= 'e'; id[0]++)
        assert_int_equal(insert(rig, make(id, "s", NULL, "RUNNING", id[0], 0)), STORE_DONE);
    assert_true(store_places(rig->store, &places, &count, NULL));
    assert_int_equal(count, 5);
    assert_int_equal(insert(rig, make("f", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
    assert_int_equal(update(rig, "b", "SUCCEEDED", 40, TEXT("{}")), STORE_DONE);
    assert_int_equal(update(rig, "d", "SUCCEEDED", 41, TEXT("{}")), STORE_DONE);
    struct store_op prune = {.kind = STORE_PRUNE, .before_ms = 41};
    assert_int_equal(carry_out(rig, &prune), STORE_DONE);
    store_op_fini(&prune);
    struct store_op op = {.kind = STORE_AT, .places = places, .place_count = count};
    assert_int_equal(carry_out(rig, &op), STORE_DONE);
    assert_int_equal(op.passed, 5);
    assert_int_equal(op.found_count, 4);
    const char *ids[] = {"a", "c", "d", "e"};
    for (size_t i = 0; i < 4; i++) assert_string_equal(op.found[i].id, ids[i]);
    assert_int_equal(op.found[2].ended_ms, 41);
    store_op_fini(&op);
    mem_free(places);
}

/* A slice of large records is a short one. */
static void slices_stop_short(void **state) {
    struct rig *rig = *state;
    static char large[400000];
    int64_t *places;
    size_t count, at = 0, slices = 0;
    memset(large, ' ', sizeof large);
    for (char id[] = "a"; id[0] <= 'h'; id[0]++) {
        struct store_record record = make(id, "s", NULL, "RUNNING", id[0], 0);
        record.body = (struct text){large, sizeof large};
        assert_int_equal(insert(rig, record), STORE_DONE);
    }
    assert_true(store_places(rig->store, &places, &count, NULL));
    for (; at < count; slices++) {
        struct store_op op = {.kind = STORE_AT, .places = places + at, .place_count = count - at};
        assert_int_equal(carry_out(rig, &op), STORE_DONE);
        assert_in_range(op.passed, 1, 3);
        assert_int_equal(op.found_count, op.passed);
        for (size_t i = 0; i < op.found_count; i++) assert_int_equal(op.found[i].id[0], 'a' + at + i);
        at += op.passed;
        store_op_fini(&op);
    }
    assert_int_equal(slices, 3);
    mem_free(places);
}

/* ---- many at once ---- */

enum { THREADS = 4, EACH = 5000 };

struct feeder {
    struct store *store;
    unsigned index;
    size_t done, exists;
};

struct fed {
    struct store_op op;
    char key[24];
    size_t left;
};

static void *feed(void *arg) {
    struct feeder *feeder = arg;
    struct loop *loop = loop_new(feeder->index);
    struct fed *all = mem_alloc(EACH * sizeof *all);
    size_t left = EACH;
    for (size_t i = 0; i < EACH; i++) {
        struct fed *fed = &all[i];
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "t%u-%05zu", feeder->index, i);
        snprintf(fed->key, sizeof fed->key, "k%zu-%u", i, i % 10 ? feeder->index : 0); /* a tenth is shared */
        fed->op = (struct store_op){.kind = STORE_INSERT,
                                    .loop = loop,
                                    .done = store_ask_done,
                                    .arg = &left,
                                    .record = make(id, "s", fed->key, "RUNNING", (int64_t)i, 0)};
        store_submit(feeder->store, &fed->op);
    }
    store_wait(loop, &left);
    for (size_t i = 0; i < EACH; i++) {
        feeder->done += all[i].op.outcome == STORE_DONE;
        feeder->exists += all[i].op.outcome == STORE_EXISTS;
        store_op_fini(&all[i].op);
    }
    mem_free(all);
    loop_free(loop);
    return NULL;
}

static void several_loops_share_commits(void **state) {
    struct rig *rig = *state;
    int64_t writes = count_read(COUNT_STORE_WRITES), commits = count_read(COUNT_STORE_COMMITS);
    struct feeder feeders[THREADS];
    pthread_t threads[THREADS];
    int64_t began = clock_mono_ms();
    for (unsigned i = 0; i < THREADS; i++) {
        feeders[i] = (struct feeder){.store = rig->store, .index = i};
        pthread_create(&threads[i], NULL, feed, &feeders[i]);
    }
    size_t done = 0, exists = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        done += feeders[i].done;
        exists += feeders[i].exists;
    }
    int64_t took = clock_mono_ms() - began;
    writes = count_read(COUNT_STORE_WRITES) - writes;
    commits = count_read(COUNT_STORE_COMMITS) - commits;
    assert_int_equal(done + exists, THREADS * EACH);
    assert_int_equal(exists, (THREADS - 1) * EACH / 10);
    assert_int_equal(writes, done);
    assert_in_range(commits, THREADS * EACH / 1024, THREADS * EACH / 20);
    print_message("%d inserts in %lld ms, %lld commits\n", THREADS * EACH, (long long)took, (long long)commits);
}

/* Holds the reader up in the middle of a list. */
static atomic_bool reader_is_there, let_reader_go;

static bool sees_slowly(const void *rights, const char *stage) {
    (void)rights, (void)stage;
    atomic_store(&reader_is_there, true);
    while (!atomic_load(&let_reader_go)) usleep(1000);
    return true;
}

static void reads_hold_up_no_write(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
    struct store_op list = {.kind = STORE_LIST, .filter = {.limit = 9, .sees = sees_slowly}};
    struct store_op read = {.kind = STORE_GET, .record = make("a", NULL, NULL, NULL, 0, 0)};
    size_t left = 0;
    atomic_store(&reader_is_there, false);
    atomic_store(&let_reader_go, false);
    hand_over(rig, &list, &left);
    while (!atomic_load(&reader_is_there)) usleep(1000);
    hand_over(rig, &read, &left); /* waits, since the list holds the reader up */
    for (int i = 0; i < 3; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "during-%d", i);
        assert_int_equal(insert(rig, make(id, "s", NULL, "RUNNING", 9, 0)), STORE_DONE);
    }
    assert_int_equal(left, 2);
    atomic_store(&let_reader_go, true);
    store_wait(rig->loop, &left);
    assert_int_equal(list.found_count, 1);
    assert_int_equal(read.outcome, STORE_DONE);
    store_op_fini(&list);
    store_op_fini(&read);
    assert_true(holds(rig, "during-2"));
}

static void full_queue_says_busy(void **state) {
    struct rig *rig = *state;
    struct fault fault = {0};
    store_close(rig->store);
    rig->store = open_url(rig->url, 1, &fault);
    assert_non_null(rig->store);
    sqlite3 *other; /* holds the writer up, as a stalled disk would */
    assert_int_equal(sqlite3_open(rig->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    static struct store_op ops[20]; /* the store may hold them still when an assertion fails */
    static size_t left;
    size_t busy = 0, done = 0;
    left = 0;
    for (size_t i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof id, "%02zu", i);
        ops[i] = (struct store_op){.kind = STORE_INSERT, .record = make(id, "s", NULL, "RUNNING", 1, 0)};
        hand_over(rig, &ops[i], &left);
        while (i == 0 && !store_ready(rig->store)) usleep(1000); /* until the writer has taken it, and is held up */
    }
    assert_int_equal(left, 20);
    assert_false(store_ready(rig->store));
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    store_wait(rig->loop, &left);
    for (size_t i = 0; i < 20; i++) {
        busy += ops[i].outcome == STORE_FAILED && ops[i].fault.kind == FAULT_BUSY;
        done += ops[i].outcome == STORE_DONE;
        assert_int_equal(holds(rig, ops[i].record.id), ops[i].outcome == STORE_DONE);
    }
    assert_int_equal(busy, 18);
    assert_int_equal(done, 2);
    assert_true(store_ready(rig->store));
    sqlite3_close(other);
}

static void close_carries_out_what_waits(void **state) {
    struct rig *rig = *state;
    enum { N = 3000 };
    struct store_op *ops = mem_alloc(N * sizeof *ops);
    size_t left = 0;
    for (size_t i = 0; i < N; i++) {
        char id[8];
        snprintf(id, sizeof id, "%04zu", i);
        ops[i] = (struct store_op){.kind = i % 2 ? STORE_GET : STORE_INSERT};
        if (i % 2) snprintf(id, sizeof id, "%04zu", i - 1);
        ops[i].record = make(id, "s", NULL, "RUNNING", 1, 0);
        hand_over(rig, &ops[i], &left);
    }
    store_close(rig->store);
    assert_int_equal(left, N);
    loop_free(rig->loop); /* runs what was posted */
    assert_int_equal(left, 0);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(ops[i].outcome, STORE_DONE);
        store_op_fini(&ops[i]);
    }
    struct stat status;
    char wal[128];
    snprintf(wal, sizeof wal, "%s-wal", rig->path);
    assert_int_equal(stat(wal, &status), -1); /* moved into the file, and gone */
    mem_free(ops);
    rig->loop = loop_new(0);
    rig_open(rig);
}

/* ---- durability: a writer process is killed at random moments ---- */

struct ack { /* written to the pipe once `done` was called; smaller than PIPE_BUF, so whole or not at all */
    char id[STORE_ID_SIZE];
    uint32_t version;
};

struct victim {
    struct store_op op;
    struct store *store;
    uint32_t version;
    int pipe;
    char body[32];
};

static void victim_goes_on(struct store_op *op) {
    struct victim *victim = op->arg;
    if (op->outcome != STORE_DONE) _exit(3);
    struct ack ack = {.version = victim->version};
    memcpy(ack.id, op->record.id, sizeof ack.id);
    if (write(victim->pipe, &ack, sizeof ack) != sizeof ack) _exit(4);
    op->kind = STORE_UPDATE;
    if (++victim->version % 4 == 0) op->record.status = victim->version % 8 ? "RUNNING" : "WAITING";
    snprintf(victim->body, sizeof victim->body, "%u", victim->version);
    op->record.body = text_of(victim->body);
    store_op_fini(op);
    store_submit(victim->store, op);
}

static void be_the_victim(const char *url, int pipe, int round) {
    struct fault fault;
    struct store *store = open_url(url, 1000, &fault);
    if (!store) _exit(2);
    struct loop *loop = loop_new(0);
    static struct victim victims[16];
    for (int i = 0; i < 16; i++) {
        struct victim *victim = &victims[i];
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "r%03d-%03d", round, i);
        *victim = (struct victim){.store = store, .pipe = pipe, .body = "0"};
        victim->op = (struct store_op){.kind = STORE_INSERT, .loop = loop, .done = victim_goes_on, .arg = victim};
        victim->op.record = make(id, "s", NULL, "RUNNING", 1, 0);
        victim->op.record.body = text_of(victim->body);
        store_submit(store, &victim->op);
    }
    loop_run(loop);
    _exit(5);
}

static int64_t number_in(struct text t) {
    while (t.len > 1 && t.at[0] == '0') t.at++, t.len--;
    int64_t number = -1;
    assert_true(text_to_int(t, &number));
    return number;
}

static void survives_kill(void **state) {
    struct rig *rig = *state;
    store_close(rig->store);
    unsigned seed = (unsigned)clock_mono_ms();
    print_message("seed %u\n", seed);
    int64_t total = 0;
    for (int round = 0; round < 25; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0) be_the_victim(rig->url, ends[1], round);
        close(ends[1]);
        int64_t versions[16];
        for (int i = 0; i < 16; i++) versions[i] = -1;
        int wanted = rand_r(&seed) % 400, got = 0;
        struct ack ack;
        if (wanted == 0) kill(pid, SIGKILL); /* also in the middle of opening */
        for (ssize_t n; (n = read(ends[0], &ack, sizeof ack)) == sizeof ack;) {
            versions[number_in(text_of(strchr(ack.id, '-') + 1))] = ack.version;
            if (++got == wanted) kill(pid, SIGKILL);
        }
        close(ends[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        rig_open(rig);
        for (int i = 0; i < 16; i++) {
            char id[STORE_ID_SIZE], body[16] = "";
            snprintf(id, sizeof id, "r%03d-%03d", round, i);
            struct store_op op = get(rig, id);
            if (op.outcome == STORE_DONE) memcpy(body, op.found->body.at, op.found->body.len);
            int64_t kept = op.outcome == STORE_DONE ? number_in(text_of(body)) : -1;
            if (kept < versions[i])
                fail_msg("%s: version %d was acknowledged, %d is kept", id, (int)versions[i], (int)kept);
            if (kept > versions[i] + 1) fail_msg("%s: version %d was never handed over", id, (int)kept);
            store_op_fini(&op);
        }
        store_close(rig->store);
        total += got;
    }
    assert_true(total > 25);
    rig_open(rig);
}

static void survives_kill_while_made(void **state) {
    struct rig *rig = *state;
    unsigned seed = (unsigned)clock_mono_ms();
    print_message("seed %u\n", seed);
    store_close(rig->store);
    for (int round = 0; round < 30; round++) {
        snprintf(rig->path, sizeof rig->path, "%s/%d.db", rig->folder, round);
        snprintf(rig->url, sizeof rig->url, "sqlite:%s", rig->path);
        pid_t pid = fork();
        if (pid == 0) {
            store_close(open_url(rig->url, 1, NULL));
            for (;;) pause();
        }
        usleep((useconds_t)rand_r(&seed) % 8000); /* the random moment */
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        rig_open(rig);
        assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
        store_close(rig->store);
    }
    rig_open(rig);
}

/* ---- durability: what a power cut would leave ----
 *
 * A layer over SQLite's file access copies a file into `image` whenever it was synced: that is the least a disk holds
 * after a power cut. Whatever `done` was called for has to be found there. */

static struct {
    pthread_mutex_t lock;
    char folder[96];
    sqlite3_vfs vfs;
    sqlite3_io_methods methods[2]; /* of databases, of logs */
    struct {
        const sqlite3_file *file;
        const sqlite3_io_methods *real;
        char name[96];
    } open[16];
    size_t syncs;
} power = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void copy_file(const char *from, const char *to) {
    char bytes[65536];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, bytes, sizeof bytes)) > 0;) assert_int_equal(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

static void image_path(char *to, size_t size, const char *folder, const char *name) {
    snprintf(to, size, "%s/%s", folder, strrchr(name, '/') + 1);
}

static size_t slot_of(const sqlite3_file *file) {
    size_t slot = 0;
    while (slot < 15 && power.open[slot].file != file) slot++;
    return slot;
}

static int power_sync(sqlite3_file *file, int flags) {
    char to[256];
    pthread_mutex_lock(&power.lock);
    size_t slot = slot_of(file);
    int rc = power.open[slot].real->xSync(file, flags);
    image_path(to, sizeof to, power.folder, power.open[slot].name);
    copy_file(power.open[slot].name, to);
    power.syncs++;
    pthread_mutex_unlock(&power.lock);
    return rc;
}

static int power_close(sqlite3_file *file) {
    pthread_mutex_lock(&power.lock);
    size_t slot = slot_of(file);
    power.open[slot].file = NULL;
    int rc = power.open[slot].real->xClose(file);
    pthread_mutex_unlock(&power.lock);
    return rc;
}

static int power_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags) {
    (void)vfs;
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    int rc = real->xOpen(real, name, file, flags, out_flags);
    if (rc != SQLITE_OK || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))) return rc;
    pthread_mutex_lock(&power.lock);
    int kind = flags & SQLITE_OPEN_WAL ? 1 : 0;
    size_t slot = slot_of(NULL);
    power.open[slot].file = file;
    power.open[slot].real = file->pMethods;
    snprintf(power.open[slot].name, sizeof power.open[slot].name, "%s", name);
    power.methods[kind] = *file->pMethods;
    power.methods[kind].xSync = power_sync;
    power.methods[kind].xClose = power_close;
    file->pMethods = &power.methods[kind];
    pthread_mutex_unlock(&power.lock);
    return rc;
}

static int runs_after_power_cut(struct rig *rig, const char *copy) {
    static const char *const endings[] = {"", "-wal"};
    char from[256], to[256], path[256];
    pthread_mutex_lock(&power.lock);
    for (size_t i = 0; i < 2; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", rig->path, endings[i]);
        image_path(from, sizeof from, power.folder, name);
        image_path(to, sizeof to, copy, name);
        copy_file(from, to);
    }
    pthread_mutex_unlock(&power.lock);
    image_path(path, sizeof path, copy, rig->path);
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    char max_id[STORE_ID_SIZE];
    int runs = store_runs_in(db, max_id);
    sqlite3_close(db);
    return runs;
}

static void survives_power_cut(void **state) {
    struct rig *rig = *state;
    char copy[96];
    store_close(rig->store);
    unlink(rig->path);
    snprintf(power.folder, sizeof power.folder, "%s/image", rig->folder);
    snprintf(copy, sizeof copy, "%s/copy", rig->folder);
    assert_int_equal(mkdir(power.folder, 0700) | mkdir(copy, 0700), 0);
    power.vfs = *sqlite3_vfs_find("unix");
    power.vfs.zName = "power";
    power.vfs.xOpen = power_open;
    sqlite3_vfs_register(&power.vfs, 1);
    rig_open(rig);
    for (int i = 0; i < 40; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "%d", i);
        assert_int_equal(insert(rig, make(id, "s", NULL, "RUNNING", i, 0)), STORE_DONE);
        assert_int_equal(runs_after_power_cut(rig, copy), i + 1);
    }
    assert_true(power.syncs >= 40);
    store_close(rig->store);
    sqlite3_vfs_unregister(&power.vfs);
    remove_folder(power.folder);
    remove_folder(copy);
    rig_open(rig);
}

/* ---- the write-ahead log ---- */

static off_t size_of(const struct rig *rig, const char *ending) {
    char path[128];
    struct stat status;
    snprintf(path, sizeof path, "%s%s", rig->path, ending);
    return stat(path, &status) == 0 ? status.st_size : -1;
}

/* As they are without the log. */
static int64_t rows_in_file(const struct rig *rig) {
    char uri[128];
    sqlite3 *db;
    sqlite3_stmt *s = NULL;
    snprintf(uri, sizeof uri, "file:%s?immutable=1", rig->path);
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
    assert_int_equal(sqlite3_open_v2(uri, &db, flags, NULL), SQLITE_OK);
    bool good = sqlite3_prepare_v2(db, "SELECT count(*) FROM runs", -1, &s, NULL) == SQLITE_OK;
    int64_t rows = good && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_finalize(s);
    sqlite3_close(db);
    return rows;
}

static void log_is_moved_to_the_file(void **state) {
    struct rig *rig = *state;
    static char large[64 << 10];
#ifdef TINY_LIMITS
    enum { N = 160, MOST = 2 << 20 };
#else
    enum { N = 1600, MOST = 70 << 20 };
#endif
    struct store_op *ops = mem_alloc(N * sizeof *ops);
    size_t left = 0;
    for (size_t i = 0; i < N; i++) { /* never idle */
        ops[i] = (struct store_op){.kind = STORE_INSERT, .record = make("", "s", NULL, "RUNNING", 1, 0)};
        snprintf(ops[i].record.id, sizeof ops[i].record.id, "%zu", i);
        ops[i].record.body = (struct text){large, sizeof large};
        hand_over(rig, &ops[i], &left);
        while (left > 8) event_base_loop(loop_base(rig->loop), EVLOOP_ONCE);
    }
    store_wait(rig->loop, &left);
    assert_in_range(size_of(rig, "-wal"), 1, MOST);
    int64_t until = clock_mono_ms() + 10000; /* idle: the rest follows */
    while (rows_in_file(rig) < N && clock_mono_ms() < until) usleep(10000);
    assert_int_equal(rows_in_file(rig), N);
    mem_free(ops);
}

/* ---- a disk that is full ---- */

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void full_disk_is_told_and_got_over(void **state) {
    struct rig *rig = *state;
    static char large[64 << 10];
    enum { N = 40 };
    bool kept[N] = {0};
    size_t failed = 0;
    signal(SIGXFSZ, SIG_IGN);
    limit_files(1 << 20);
    for (size_t i = 0; i < N; i++) {
        struct store_op op = {.kind = STORE_INSERT, .record = make("", "s", NULL, "RUNNING", 1, 0)};
        snprintf(op.record.id, sizeof op.record.id, "%02zu", i);
        op.record.body = (struct text){large, sizeof large};
        kept[i] = carry_out(rig, &op) == STORE_DONE;
        if (!kept[i]) {
            assert_int_equal(op.outcome, STORE_FAILED);
            assert_int_equal(op.fault.kind, FAULT_IO);
            assert_string_equal(op.fault.where, rig->path);
            if (failed++ == 0) assert_false(store_ready(rig->store));
        }
    }
    assert_true(kept[0]);
    assert_in_range(failed, 1, N - 5);
    limit_files(RLIM_INFINITY);
    int64_t until = clock_mono_ms() + 10000;
    while (!store_ready(rig->store) && clock_mono_ms() < until) usleep(10000); /* by the writer's own probe */
    assert_true(store_ready(rig->store));
    assert_int_equal(insert(rig, make("after", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
    for (int round = 0; round < 2; round++, rig_reopen(rig)) {
        assert_true(holds(rig, "after"));
        for (size_t i = 0; i < N; i++) {
            char id[8];
            snprintf(id, sizeof id, "%02zu", i);
            assert_int_equal(holds(rig, id), kept[i]);
        }
    }
}

/* ---- what must be refused ---- */

static void expect_refusal(const char *url, enum fault_kind kind, const char *words) {
    struct fault fault = {0};
    struct store *store = open_url(url, 10, &fault);
    if (store) fail_msg("%s was opened", url);
    if (fault.kind != kind || !strstr(fault.what, words)) fail_msg("%s: %s: %s", url, fault.where, fault.what);
}

static void refuses_bad_names(void **state) {
    struct rig *rig = *state;
    char url[512];
    static const struct {
        const char *url;
        enum fault_kind kind;
        const char *words;
    } cases[] = {
        {"", FAULT_INVALID, "sqlite:PATH"},
        {"stagedoor.db", FAULT_INVALID, "sqlite:PATH"},
        {"mysql://u:secret@h/d", FAULT_UNSUPPORTED, "'mysql'"},
        {"sqlite:", FAULT_INVALID, "name a file"},
        {"sqlite::memory:", FAULT_INVALID, "name a file"},
        {"sqlite:/nonexistent/folder/x.db", FAULT_IO, "the folder /nonexistent/folder cannot be used"},
        {"sqlite:/etc/passwd/x.db", FAULT_IO, "Not a directory"},
        {"sqlite:/tmp/nothing-here/", FAULT_IO, "No such file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refusal(cases[i].url, cases[i].kind, cases[i].words);
    expect_refusal("sqlite:/dev/null", FAULT_INVALID, "not a regular file");
    snprintf(url, sizeof url, "sqlite:%s", rig->folder);
    expect_refusal(url, FAULT_INVALID, "not a regular file");
    snprintf(url, sizeof url, "sqlite:%s/fifo", rig->folder);
    assert_int_equal(mkfifo(url + strlen("sqlite:"), 0600), 0);
    expect_refusal(url, FAULT_INVALID, "not a regular file"); /* and does not wait for a writer */
    static char long_url[8192] = "sqlite:/tmp/";
    memset(long_url + 12, 'x', sizeof long_url - 13);
    expect_refusal(long_url, FAULT_INVALID, "too long");
}

static void refuses_a_file_it_may_not_write(void **state) {
    struct rig *rig = *state;
    char lock[128];
    snprintf(lock, sizeof lock, "%s.lock", rig->path);
    store_close(rig->store);
    assert_int_equal(chmod(rig->folder, 0777) | chmod(rig->path, 0444) | chmod(lock, 0666), 0);
    pid_t pid = fork();
    if (pid == 0) { /* root may write anything, so somebody else tries */
        struct fault fault = {0};
        if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
        struct store *store = open_url(rig->url, 10, &fault);
        _exit(!store && strstr(fault.what, "may not be written") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    chmod(rig->path, 0600);
    rig_open(rig);
}

static void refuses_a_second_gateway(void **state) {
    struct rig *rig = *state;
    char link[128], url[144];
    expect_refusal(rig->url, FAULT_CONFLICT, "another stagedoor has the database open");
    snprintf(link, sizeof link, "%s/link.db", rig->folder);
    assert_int_equal(symlink(rig->path, link), 0);
    snprintf(url, sizeof url, "sqlite:%s", link);
    expect_refusal(url, FAULT_CONFLICT, "another stagedoor has the database open");
    assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 1, 0)), STORE_DONE); /* the first is unharmed */
}

static void change_file(struct rig *rig, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* The writer remembers where the latest runs are; somebody else has taken this one out of the file. */
static void update_of_a_run_that_is_gone(void **state) {
    struct rig *rig = *state;
    struct store_op op = {.kind = STORE_UPDATE};
    for (int over = 0; over < 2; over++) {
        assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
        assert_true(holds(rig, "a")); /* which gives it a row */
        change_file(rig, "DELETE FROM runs");
        op.record = make("a", "s", NULL, over ? "SUCCEEDED" : "RUNNING", 1, over ? 9 : 0);
        assert_int_equal(carry_out(rig, &op), STORE_MISSING);
        store_op_fini(&op);
        assert_false(holds(rig, "a"));
    }
}

/* ---- runs that have no rows yet ---- */

static int count_of(struct rig *rig, const char *sql) {
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open_v2(rig->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int count = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return count;
}

#define ROWS "SELECT count(*) FROM runs"
#define NOTES "SELECT count(*) FROM run_starts"
#define NOTED_BYTES "SELECT ifnull(sum(length(records)), 0) FROM run_starts"

/* By each that is asked for: until then a start has no row, and one that ends gives rows to those before it. */
static void first_change_gives_a_row(void **state) {
    struct rig *rig = *state;
    enum { N = 20 };
    struct store_op ops[N];
    size_t left = 0;
    for (size_t i = 0; i < N; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "%02zu", i);
        ops[i] = (struct store_op){.kind = STORE_INSERT, .record = make(id, "s", NULL, "RUNNING", 5, 0)};
        ops[i].definition_source = "name = \"x\";";
        hand_over(rig, &ops[i], &left);
    }
    store_wait(rig->loop, &left);
    assert_int_equal(count_of(rig, ROWS), 0);
    assert_in_range(count_of(rig, NOTES), 1, N);
    assert_int_equal(store_runs(rig->url), N);
    ops[0].kind = STORE_UPDATE;
    ops[0].record = make("05", "s", NULL, "SUCCEEDED", 5, 9);
    assert_int_equal(carry_out(rig, &ops[0]), STORE_DONE);
    assert_int_equal(count_of(rig, ROWS), 6);
    assert_int_equal(store_runs(rig->url), N);
    assert_true(holds(rig, "05"));
    assert_int_equal(count_of(rig, ROWS), 6); /* which it had */
    assert_false(holds(rig, "99"));
    assert_int_equal(count_of(rig, ROWS), 6);
    assert_true(holds(rig, "17"));
    assert_int_equal(count_of(rig, ROWS), N);
    assert_int_equal(count_of(rig, NOTES), 0);
    expect_list(rig, (struct store_filter){.limit = 3, .status = "RUNNING", .before_id = "07"}, "060403", true);
    for (size_t i = 0; i < N; i++) store_op_fini(&ops[i]);
}

static void each_question_sees_them(void **state) {
    struct rig *rig = *state;
    static const char *const s[] = {"s"};
    int64_t created = 0;
    for (int question = 0; question < 6; question++) {
        char id[STORE_ID_SIZE] = {(char)('a' + question)};
        struct store_op find = {.kind = STORE_FIND_KEY, .record = make("", "s", id, NULL, 0, 0)};
        struct store_record row = make(id, "s", id, "RUNNING", ++created, 0);
        assert_int_equal(insert(rig, row), STORE_DONE);
        assert_int_equal(count_of(rig, NOTES), 1);
        int64_t *places;
        size_t count;
        switch (question) {
        case 0: assert_true(holds(rig, id)); break;
        case 1: assert_int_equal(carry_out(rig, &find), STORE_DONE); break;
        case 2: expect_list(rig, (struct store_filter){.limit = 9, .stages = s, .stage_count = 1}, "cba", false); break;
        case 3:
            assert_true(store_places(rig->store, &places, &count, NULL));
            assert_int_equal(count, 4);
            mem_free(places);
            break;
        case 4:
            assert_int_equal(insert(rig, make("z", "s", id, "RUNNING", 1, 0)), STORE_EXISTS);
            row.key = NULL;
            assert_int_equal(insert(rig, row), STORE_FAILED);
            break;
        case 5:
            assert_int_equal(prune(rig, 100), 0);
            assert_true(knows(rig, "d1"));
            break;
        }
        store_op_fini(&find);
        assert_int_equal(count_of(rig, ROWS), question + 1);
        assert_int_equal(count_of(rig, NOTES), 0);
    }
}

/* A clock that goes back, or two loops whose clocks were read at different times. */
static void late_ones_have_places_of_their_own(void **state) {
    struct rig *rig = *state;
    static const int64_t created[] = {50, 40, 50, 40, 45, 40, 60, 45, 50};
    for (size_t i = 0; i < sizeof created / sizeof *created; i++) {
        char id[STORE_ID_SIZE] = {(char)('a' + i)};
        assert_int_equal(insert(rig, make(id, "s", NULL, "RUNNING", created[i], 0)), STORE_DONE);
        if (i == 4) assert_int_equal(update(rig, "b", "SUCCEEDED", 70, TEXT("1")), STORE_DONE);
    }
    assert_int_equal(store_runs(rig->url), 9);
    expect_list(rig, (struct store_filter){.limit = 9}, "gicahefdb", false);
    rig_reopen(rig);
    expect_list(rig, (struct store_filter){.limit = 9, .status = "RUNNING"}, "gicahefd", false);
}

/* They are few, however many begin and do not end; those that were large never are among them. */
static void they_are_few(void **state) {
    struct rig *rig = *state;
    static char body[20000];
    enum { N = 600 };
    struct store_op *ops = mem_alloc(N * sizeof *ops);
    size_t left = 0;
    for (size_t i = 0; i < N; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "%03zu", i);
        ops[i] = (struct store_op){.kind = STORE_INSERT, .record = make(id, "s", NULL, "RUNNING", (int64_t)i / 8, 0)};
        ops[i].record.body = (struct text){body, i % 100 == 50 ? sizeof body : 1000};
        hand_over(rig, &ops[i], &left);
        if (i % 30 == 0) store_wait(rig->loop, &left);
        assert_in_range(count_of(rig, NOTED_BYTES), 0, 256 << 10); /* with those that leave */
    }
    store_wait(rig->loop, &left);
    assert_in_range(count_of(rig, NOTED_BYTES), 1, 256 << 10);
    assert_int_equal(store_runs(rig->url), N);
    for (size_t i = 0; i < N; i++) {
        ops[i].kind = STORE_UPDATE;
        ops[i].record.status = "SUCCEEDED";
        ops[i].record.ended_ms = 1000;
        ops[i].record.body.len = i % 100 == 51 ? sizeof body : 1200;
        if (i % 3) hand_over(rig, &ops[i], &left);
    }
    store_wait(rig->loop, &left);
    for (size_t i = 0; i < N; i++) assert_int_equal(ops[i].outcome, STORE_DONE);
    assert_int_equal(count_of(rig, "SELECT count(*) FROM runs WHERE ended_ms = 1000"), N * 2 / 3);
    assert_int_equal(prune(rig, 2000), N * 2 / 3);
    struct store_op list = {.kind = STORE_LIST, .filter = {.limit = 1000}};
    assert_int_equal(carry_out(rig, &list), STORE_DONE);
    assert_int_equal(list.found_count, N / 3);
    store_op_fini(&list);
    mem_free(ops);
}

/* Two or more changes of one run in a commit, small ones and large ones: the last one stays. */
static void last_change_stays(void **state) {
    struct rig *rig = *state;
    static char large[100 << 10];
    for (int round = 0; round < 8; round++) {
        char id[STORE_ID_SIZE] = {(char)('a' + round)};
        size_t left = 0;
        struct store_op ops[4];
        if (round & 4) assert_int_equal(insert(rig, make(id, "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
        for (int i = 0; i < 4; i++) {
            ops[i] = (struct store_op){.kind = STORE_UPDATE, .record = make(id, "s", NULL, "RUNNING", 1, 0)};
            if (i == 0 && !(round & 4)) ops[i].kind = STORE_INSERT;
            bool is_large = i == 1 + (round & 1) && round & 2;
            ops[i].record.body = (struct text){large, is_large ? sizeof large : (size_t)i};
            ops[i].record.ended_ms = i == 3 ? 50 : 0;
            hand_over(rig, &ops[i], &left);
        }
        store_wait(rig->loop, &left);
        for (int i = 0; i < 4; i++) assert_int_equal(ops[i].outcome, STORE_DONE);
        struct store_op op = get(rig, id);
        assert_int_equal(op.found->body.len, 3);
        assert_int_equal(op.found->ended_ms, 50);
        store_op_fini(&op);
        for (int i = 0; i < 4; i++) store_op_fini(&ops[i]);
    }
    assert_int_equal(prune(rig, 51), 8);
}

/* Somebody else has taken its key, or its id, before it had a row: it has no record any more, and may get one anew. */
static void one_whose_row_is_anothers_is_missing(void **state) {
    struct rig *rig = *state;
    static const char *const taken[] = {"'z', 's', 'k'", "'a', 's', NULL"};
    for (int i = 0; i < 2; i++) {
        char sql[256];
        assert_int_equal(insert(rig, make("a", "s", "k", "RUNNING", 10, 0)), STORE_DONE);
        assert_int_equal(insert(rig, make("b", "s", NULL, "RUNNING", 20, 0)), STORE_DONE);
        snprintf(sql, sizeof sql, "INSERT INTO runs SELECT 1, %s, number, 1, 1, 0, 'x', NULL FROM run_groups LIMIT 1",
                 taken[i]);
        change_file(rig, sql);
        struct store_op ends[2] = {{.kind = STORE_UPDATE, .record = make("a", "s", NULL, "SUCCEEDED", 10, 30)},
                                   {.kind = STORE_UPDATE, .record = make("b", "s", NULL, "SUCCEEDED", 20, 30)}};
        size_t left = 0;
        for (int k = 0; k < 2; k++) hand_over(rig, &ends[k], &left);
        store_wait(rig->loop, &left);
        assert_int_equal(ends[0].outcome, STORE_MISSING);
        assert_int_equal(ends[1].outcome, STORE_DONE);
        assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 10, 0)), i ? STORE_FAILED : STORE_DONE);
        expect_list(rig, (struct store_filter){.limit = 9}, i ? "ba" : "baz", false);
        change_file(rig, "DELETE FROM runs; DELETE FROM run_ends; DELETE FROM run_starts");
        rig_reopen(rig);
    }
}

struct life { /* of a run: it begins, and ends with the next round, which is when it is asked for, before or after */
    struct store_op begin, end, get, find;
    char key[16];
};

static void live(struct rig *rig, struct life *life, int number, size_t *left) {
    char id[STORE_ID_SIZE];
    snprintf(id, sizeof id, "%05d", number);
    snprintf(life->key, sizeof life->key, "k%d", number);
    life->begin = (struct store_op){.kind = STORE_INSERT, .record = make(id, "s", life->key, "RUNNING", number, 0)};
    life->end = (struct store_op){.kind = STORE_UPDATE, .record = make(id, "s", NULL, "SUCCEEDED", 1, 9)};
    life->get = (struct store_op){.kind = STORE_GET, .record = make(id, NULL, NULL, NULL, 0, 0)};
    life->find = (struct store_op){.kind = STORE_FIND_KEY, .record = make("", "s", life->key, NULL, 0, 0)};
    hand_over(rig, &life->begin, left);
}

/* The reader looks while the writer is at work: whoever was there is there, with a row or without. */
static void none_is_missed_meanwhile(void **state) {
    struct rig *rig = *state;
    enum { ROUNDS = 60, EACH_ROUND = 24 };
    static struct life lives[ROUNDS][EACH_ROUND];
    static size_t left;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH_ROUND; i++) {
            live(rig, &lives[round][i], round * EACH_ROUND + i, &left);
            if (round == 0) continue;
            struct life *old = &lives[round - 1][i];
            if (i % 2) hand_over(rig, &old->get, &left);
            if (i % 5) hand_over(rig, &old->end, &left);
            if (i % 2 == 0) hand_over(rig, &old->get, &left);
            hand_over(rig, &old->find, &left);
        }
        store_wait(rig->loop, &left);
    }
    for (int round = 0; round + 1 < ROUNDS; round++) {
        for (int i = 0; i < EACH_ROUND; i++) {
            struct life *life = &lives[round][i];
            assert_int_equal(life->get.outcome, STORE_DONE);
            assert_int_equal(life->find.outcome, STORE_DONE);
            if (i % 5 && i % 2 == 0) assert_string_equal(life->get.found->status, "SUCCEEDED");
            if (i % 5) assert_string_equal(life->find.found->status, "SUCCEEDED");
            store_op_fini(&life->get);
            store_op_fini(&life->find);
        }
    }
}

static void die_with_notes(struct rig *rig) {
    rig->loop = loop_new(0);
    rig_open(rig);
    size_t left = 0;
    struct store_op ops[5];
    for (size_t i = 0; i < 5; i++) {
        char id[STORE_ID_SIZE] = {(char)('a' + i)};
        ops[i] = (struct store_op){.kind = STORE_INSERT, .record = make(id, "s", NULL, "RUNNING", 10 + (int64_t)i, 0)};
        ops[i].definition_source = "name = \"x\";";
        if (i == 4) ops[i].record.key = "k";
        hand_over(rig, &ops[i], &left);
    }
    store_wait(rig->loop, &left);
    struct store_op ends[2];
    for (size_t i = 0; i < 2; i++) {
        ends[i] = (struct store_op){.kind = STORE_UPDATE, .record = make(i ? "c" : "a", "s", NULL, "SUCCEEDED", 1, 20)};
        hand_over(rig, &ends[i], &left);
    }
    store_wait(rig->loop, &left);
    _exit(ends[0].outcome == STORE_DONE && ends[1].outcome == STORE_DONE && count_of(rig, NOTES) > 0 ? 7 : 8);
}

/* Those that ended are over, though a note may name them still, also once they are pruned. */
static void notes_outlive_the_process(void **state) {
    struct rig *rig = *state;
    for (int round = 0; round < 2; round++) {
        store_close(rig->store);
        unlink(rig->path);
        int status;
        pid_t pid = fork();
        if (pid == 0) die_with_notes(rig);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        rig_open(rig);
        if (round) assert_int_equal(insert(rig, make("f", "s", NULL, "RUNNING", 14, 0)), STORE_DONE);
        expect_open(rig, 60, round ? "bdef" : "bde");
        expect_list(rig, (struct store_filter){.limit = 9, .status = "SUCCEEDED"}, "ca", false);
        assert_int_equal(insert(rig, make("g", "s", "k", "RUNNING", 1, 0)), STORE_EXISTS);
        assert_int_equal(prune(rig, 100), 2);
        assert_int_equal(count_of(rig, NOTES), 0);
        rig_reopen(rig);
        expect_open(rig, 60, round ? "bdef" : "bde");
    }
}

static void damaged_notes_are_told(void **state) {
    struct rig *rig = *state;
#define NUMBER "0100000000000000"
    static const char *const notes[] = {
        "x'01'",                                                               /* less than a number */
        "zeroblob(31)",                                                        /* less than four */
        "zeroblob(64)",                                                        /* no id */
        "x'" NUMBER NUMBER NUMBER NUMBER "200000000000000061'",                /* an id that goes on behind the end */
        "x'" NUMBER NUMBER NUMBER NUMBER NUMBER "62ffffffffffffffff'",         /* no stage */
        "x'" NUMBER NUMBER NUMBER NUMBER NUMBER "62" NUMBER "73" NUMBER "6b'", /* no body */
    };
    assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        char sql[256];
        store_close(rig->store);
        snprintf(sql, sizeof sql, "INSERT INTO run_starts VALUES (1, %s)", notes[i]);
        change_file(rig, sql);
        expect_refusal(rig->url, FAULT_IO, "damaged");
        change_file(rig, "DELETE FROM run_starts");
        rig_open(rig);
        assert_true(holds(rig, "a"));
    }
}

static void overwrite(struct rig *rig, off_t at, const char *bytes, size_t len) {
    int fd = open(rig->path, O_WRONLY);
    assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

/* Without the room that lies ready at the file's end. */
static off_t used_of(const struct rig *rig) {
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA page_count", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    off_t used = 4096 * sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return used;
}

static char *key_of(struct rig *rig) {
    struct fault fault;
    char *key = store_key(rig->store, &fault);
    if (!key) fail_msg("%s", fault.what);
    return key;
}

/* What each version changed, taken back: the tables and the indexes are those that the version made. */
#define AS_VERSION_5 "DROP TABLE run_starts; PRAGMA user_version = 5;"
#define AS_VERSION_4                                                  \
    AS_VERSION_5                                                      \
    "ALTER TABLE runs DROP COLUMN room; DROP TABLE run_ends;"         \
    "CREATE INDEX runs_ended ON runs (ended_ms) WHERE ended_ms <> 0;" \
    "PRAGMA user_version = 4;"
#define AS_VERSION_3                                                                                               \
    AS_VERSION_4                                                                                                   \
    "CREATE TABLE old (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, stage TEXT NOT NULL, key TEXT,"           \
    "  status TEXT NOT NULL, definition TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"  \
    "  ended_ms INTEGER NOT NULL, body BLOB NOT NULL);"                                                            \
    "INSERT INTO old (id, stage, key, status, definition, created_ms, updated_ms, ended_ms, body)"                 \
    "  SELECT id, runs.stage, key, status, definition, created_ms, updated_ms, ended_ms, body"                     \
    "  FROM runs JOIN run_groups ON number = in_group ORDER BY id;" /* in the order in which the test adds them */ \
    "DROP TABLE runs; DROP TABLE run_groups; ALTER TABLE old RENAME TO runs;"                                      \
    "CREATE UNIQUE INDEX runs_key ON runs (stage, key) WHERE key IS NOT NULL;"                                     \
    "CREATE INDEX runs_created ON runs (created_ms);"                                                              \
    "CREATE INDEX runs_ended ON runs (ended_ms) WHERE ended_ms <> 0;"                                              \
    "CREATE INDEX runs_in_flight ON runs (ended_ms, stage, status, created_ms) WHERE ended_ms = 0;"                \
    "CREATE INDEX runs_over ON runs (stage, status, created_ms) WHERE ended_ms <> 0;"                              \
    "CREATE INDEX runs_pins ON runs (definition) WHERE ended_ms = 0;"                                              \
    "PRAGMA user_version = 3;"
#define AS_VERSION_2                                                         \
    AS_VERSION_3                                                             \
    "DROP INDEX runs_in_flight; DROP INDEX runs_over; DROP INDEX runs_pins;" \
    "CREATE INDEX runs_stage ON runs (stage, created_ms);"                   \
    "CREATE INDEX runs_status ON runs (status, created_ms);"                 \
    "CREATE INDEX runs_stage_status ON runs (stage, status, created_ms);"    \
    "CREATE INDEX runs_open ON runs (created_ms) WHERE ended_ms = 0;"        \
    "CREATE INDEX runs_definition ON runs (definition);"                     \
    "PRAGMA user_version = 2;"
#define AS_VERSION_1 AS_VERSION_2 "DROP TABLE keys; PRAGMA user_version = 1;"

static void assert_indexes(struct rig *rig, const char *names) {
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open_v2(rig->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema"
                                        " WHERE type = 'index' AND sql IS NOT NULL ORDER BY name)",
                                        -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(s, 0), names);
    sqlite3_finalize(s);
    sqlite3_close(db);
}

/* Of a file that an older stagedoor left, with runs in it. */
static void older_files_are_brought_up_to_date(void **state) {
    struct rig *rig = *state;
    static const char *const versions[] = {AS_VERSION_1, AS_VERSION_2, AS_VERSION_3, AS_VERSION_4, AS_VERSION_5},
                             *const s[] = {"s"};
    for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
        /* f is of d's moment, and came after it; e and g are of one group */
        struct store_record rows[] = {
            make("a", "s", "k", "RUNNING", 10, 0),    make("b", "s", NULL, "SUCCEEDED", 20, 30),
            make("c", "s", NULL, "RUNNING", 5, 0),    make("d", "t", NULL, "TERMINAL", 40, 50),
            make("e", "t", "k", "CANCELED", 60, 61),  make("f", "s", NULL, "TERMINAL", 40, 50),
            make("g", "t", "k2", "CANCELED", 70, 71),
        };
        rows[1].body = TEXT("[1]");
        rows[4].definition = rows[6].definition = "d2";
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_int_equal(insert(rig, rows[i]), STORE_DONE);
        store_close(rig->store);
        change_file(rig, versions[v]);
        rig_open(rig);
        assert_indexes(rig, "runs_group runs_id runs_key");
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct store_op op = get(rig, rows[i].id);
            assert_int_equal(op.outcome, STORE_DONE);
            assert_same(op.found, &rows[i]);
            store_op_fini(&op);
        }
        expect_open(rig, 60, "ca");
        expect_list(rig, (struct store_filter){.limit = 9}, "gefdbac", false);
        expect_list(rig, (struct store_filter){.limit = 9, .stages = s, .stage_count = 1}, "fbac", false);
        expect_list(rig, (struct store_filter){.limit = 9, .status = "RUNNING"}, "ac", false);
        expect_list(rig, (struct store_filter){.limit = 9, .since_ms = 40, .before_id = "e"}, "fd", false);
        assert_int_equal(insert(rig, make("h", "s", "k", "RUNNING", 50, 0)), STORE_EXISTS);
        assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 50, 0)), STORE_FAILED);
        assert_int_equal(insert(rig, make("i", "t", NULL, "TERMINAL", 40, 80)), STORE_DONE);
        expect_list(rig, (struct store_filter){.limit = 9, .status = "TERMINAL"}, "ifd", false);
        assert_int_equal(prune(rig, 40), 1);
        assert_false(holds(rig, "b"));
        assert_int_equal(update(rig, "a", "CANCELED", 60, TEXT("{}")), STORE_DONE);
        expect_list(rig, (struct store_filter){.limit = 9, .stages = s, .stage_count = 1, .status = "CANCELED"}, "a",
                    false);
        rig_reopen(rig);
        expect_list(rig, (struct store_filter){.limit = 9, .status = "RUNNING"}, "c", false);
        assert_int_equal(update(rig, "c", "CANCELED", 90, TEXT("{}")), STORE_DONE);
        assert_int_equal(prune(rig, 1000), 7);
        expect_list(rig, (struct store_filter){.limit = 9}, "", false);
    }
}

/* Made with the file, or with the first start of a version that has keys, and the same ever after. */
static void keeps_its_key(void **state) {
    struct rig *rig = *state;
    char *first = key_of(rig);
    assert_int_equal(strlen(first), 64);
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    rig_reopen(rig);
    char *again = key_of(rig);
    assert_string_equal(again, first);
    store_close(rig->store);
    change_file(rig, AS_VERSION_1); /* as an older stagedoor left it */
    rig_open(rig);
    char *other = key_of(rig);
    assert_int_equal(strlen(other), 64);
    assert_string_not_equal(other, first);
    rig_reopen(rig);
    char *kept = key_of(rig);
    assert_string_equal(kept, other);
    mem_free(first), mem_free(again), mem_free(other), mem_free(kept);
}

static void refuses_strange_files(void **state) {
    struct rig *rig = *state;
    static char rubbish[8192];
    memset(rubbish, 'R', sizeof rubbish);
    assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
    store_close(rig->store);
    change_file(rig, "PRAGMA user_version = 1000");
    expect_refusal(rig->url, FAULT_UNSUPPORTED, "version 1000, from a newer stagedoor");
    change_file(rig, "PRAGMA user_version = 6; ALTER TABLE runs RENAME COLUMN body TO boody");
    expect_refusal(rig->url, FAULT_IO, "no column named body");
    change_file(rig, "ALTER TABLE runs RENAME COLUMN boody TO body; PRAGMA application_id = 7");
    expect_refusal(rig->url, FAULT_INVALID, "not stagedoor's");
    change_file(rig, "PRAGMA application_id = 1396985682");
    rig_open(rig); /* whole again */
    assert_true(holds(rig, "a"));
    store_close(rig->store);
    assert_int_equal(truncate(rig->path, used_of(rig) / 2 / 4096 * 4096), 0);
    expect_refusal(rig->url, FAULT_IO, "damaged");
    overwrite(rig, 100, rubbish, 2000);
    expect_refusal(rig->url, FAULT_IO, "damaged");
    overwrite(rig, 0, rubbish, sizeof rubbish);
    expect_refusal(rig->url, FAULT_IO, "not a SQLite database");
    unlink(rig->path);
    change_file(rig, "CREATE TABLE recipes (name)");
    expect_refusal(rig->url, FAULT_INVALID, "not stagedoor's");
    unlink(rig->path);
    rig_open(rig);
}

static void damage_is_told_by_the_op_that_meets_it(void **state) {
    struct rig *rig = *state;
    static char rubbish[16 * 4096], body[2048];
    enum { N = 200 };
    memset(rubbish, 'R', sizeof rubbish);
    for (int i = 0; i < N; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "%d", i);
        struct store_record row = make(id, "s", NULL, "RUNNING", i, 0);
        row.body = (struct text){body, sizeof body};
        assert_int_equal(insert(rig, row), STORE_DONE);
    }
    store_close(rig->store);
    overwrite(rig, used_of(rig) / 2 / 4096 * 4096, rubbish, sizeof rubbish);
    rig_open(rig);
    size_t whole = 0, damaged = 0;
    for (int i = 0; i < N; i++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof id, "%d", i);
        struct store_op op = get(rig, id);
        whole += op.outcome == STORE_DONE;
        damaged += op.outcome == STORE_FAILED && strstr(op.fault.what, "damaged") && op.found == NULL;
        store_op_fini(&op);
    }
    assert_int_equal(whole + damaged, N); /* never taken for missing */
    assert_true(whole > 0 && damaged > 0);
}

static void files_are_private(void **state) {
    struct rig *rig = *state;
    assert_int_equal(insert(rig, make("a", "s", NULL, "RUNNING", 1, 0)), STORE_DONE);
    static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        struct stat status;
        snprintf(path, sizeof path, "%s%s", rig->path, endings[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
}

/* ---- plans: every statement that the store ran, as SQLite means to carry it out ---- */

static struct {
    pthread_mutex_t lock;
    bool on;
    size_t count;
    char *sql[64];
} traced = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int on_statement(unsigned type, void *arg, void *statement, void *unused) {
    (void)type, (void)arg, (void)unused;
    const char *sql = sqlite3_sql(statement);
    pthread_mutex_lock(&traced.lock);
    bool known = !traced.on;
    for (size_t i = 0; i < traced.count; i++) known = known || strcmp(traced.sql[i], sql) == 0;
    if (!known && traced.count < 64) traced.sql[traced.count++] = mem_strdup(sql);
    pthread_mutex_unlock(&traced.lock);
    return 0;
}

static int on_connection(sqlite3 *db, char **message, const void *api) {
    (void)message, (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, NULL);
}

static void run_everything(struct rig *rig) {
    static const char *const stages[] = {"x", "y"};
    assert_int_equal(insert(rig, make("a", "x", "k", "RUNNING", 1, 0)), STORE_DONE);
    assert_int_equal(insert(rig, make("b", "x", "k", "RUNNING", 1, 0)), STORE_EXISTS);
    update(rig, "a", "RUNNING", 0, TEXT("1"));
    update(rig, "a", "SUCCEEDED", 4, TEXT("2"));
    for (int i = 0; i < 4; i++)
        expect_list(rig,
                    (struct store_filter){.limit = 5,
                                          .stages = i & 1 ? stages : NULL,
                                          .stage_count = 2,
                                          .status = i & 2 ? "SUCCEEDED" : NULL,
                                          .before_id = "a"},
                    "", false);
    expect_list(rig, (struct store_filter){.limit = 5}, "a", false);
    knows(rig, "d1");
    expect_open(rig, 60, "");
    prune(rig, 5);
}

static bool plan_is_fine(const char *sql, const char *step) {
    if (strncmp(step, "SEARCH ", 7) == 0 || strstr(step, "SUBQUERY")) return true;
    if (strstr(sql, "WHERE over = 0) ORDER BY seq") && strstr(step, "ORDER BY")) return true;
    if (strstr(sql, "DELETE FROM definitions") && strncmp(step, "SCAN definitions", 16) == 0) return true;
    if (strncmp(step, "SCAN json_each", 14) == 0) return true; /* the runs that ended in one commit */
    return strncmp(step, "SCAN run_groups", 15) == 0;          /* a few hundred, as the definitions are */
}

/* An index is paid for by every run: each has a statement that needs it. */
static void every_index_is_used(struct rig *rig, const char *steps) {
    sqlite3 *db;
    sqlite3_stmt *s;
    size_t count = 0;
    assert_int_equal(sqlite3_open_v2(rig->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT name FROM pragma_index_list('runs')", -1, &s, NULL), SQLITE_OK);
    for (; sqlite3_step(s) == SQLITE_ROW; count++)
        if (!strstr(steps, (const char *)sqlite3_column_text(s, 0)))
            fail_msg("%s is of no use", (const char *)sqlite3_column_text(s, 0));
    assert_int_equal(count, 3);
    sqlite3_finalize(s);
    sqlite3_close(db);
}

static void no_statement_scans(void **state) {
    struct rig *rig = *state;
    struct buf all;
    buf_init(&all, 1 << 20);
    store_close(rig->store);
    sqlite3_auto_extension((void (*)(void))on_connection);
    rig_open(rig);
    traced.on = true;
    run_everything(rig);
    traced.on = false;
    sqlite3_cancel_auto_extension((void (*)(void))on_connection);
    sqlite3 *db;
    size_t steps = 0;
    assert_int_equal(sqlite3_open_v2(rig->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < traced.count; i++) {
        char sql[1024];
        sqlite3_stmt *s;
        if (strstr(traced.sql[i], "FROM new_rows")) { /* which the store alone has; they are all added */
            mem_free(traced.sql[i]);
            continue;
        }
        snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", traced.sql[i]);
        if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        for (; sqlite3_step(s) == SQLITE_ROW; steps++) {
            const char *step = (const char *)sqlite3_column_text(s, 3);
            if (!plan_is_fine(traced.sql[i], step)) fail_msg("%s: %s", traced.sql[i], step);
            buf_addf(&all, "%s\n", step);
        }
        sqlite3_finalize(s);
        mem_free(traced.sql[i]);
    }
    sqlite3_close(db);
    assert_in_range(traced.count, 18, 40);
    assert_in_range(steps, 13, 60);
    every_index_is_used(rig, buf_cstr(&all));
    buf_fini(&all);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(keeps_every_field),
        T(key_belongs_to_one_run),
        T(update_changes_what_it_names),
        T(update_of_a_run_that_is_gone),
        T(order_is_that_of_handing_over),
        T(one_bad_record_fails_alone),
        T(lists_by_every_filter),
        T(list_of_large_bodies_has_a_ceiling),
        T(prunes_in_slices),
        T(definitions_are_kept_for_runs_in_flight),
        T(open_runs_are_found_after_a_restart),
        T(places_are_of_one_moment),
        T(slices_stop_short),
        T(several_loops_share_commits),
        T(reads_hold_up_no_write),
        T(full_queue_says_busy),
        T(close_carries_out_what_waits),
        T(survives_kill),
        T(survives_kill_while_made),
        T(survives_power_cut),
        T(log_is_moved_to_the_file),
        T(full_disk_is_told_and_got_over),
        T(first_change_gives_a_row),
        T(each_question_sees_them),
        T(late_ones_have_places_of_their_own),
        T(they_are_few),
        T(last_change_stays),
        T(one_whose_row_is_anothers_is_missing),
        T(none_is_missed_meanwhile),
        T(notes_outlive_the_process),
        T(damaged_notes_are_told),
        T(refuses_bad_names),
        T(refuses_a_file_it_may_not_write),
        T(refuses_a_second_gateway),
        T(older_files_are_brought_up_to_date),
        T(keeps_its_key),
        T(refuses_strange_files),
        T(damage_is_told_by_the_op_that_meets_it),
        T(files_are_private),
        T(no_statement_scans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
