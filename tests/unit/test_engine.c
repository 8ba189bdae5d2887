/* Engines on real stores, real loops (each a thread of its own) and a scripted upstream: questions and their answers,
 * keys, cancels, draining, restarts, and questions that travel between loops. All but the crashes is the same where a
 * stage keeps its runs in memory alone, so it is done with such a stage as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "run/ask.h"
#include "run/engine.h"
#include "run/id.h"
#include "run/recovery.h"
#include "run_rig.h"
#include "store_ask.h"
#include "upstream_script.h"

#define PATIENCE_S 20
#define LOOPS_MAX 2

struct gateway {
    char folder[64], url[96];
    unsigned count;
    struct loop *loops[LOOPS_MAX];
    pthread_t threads[LOOPS_MAX];
    struct upstream *upstreams[LOOPS_MAX];
    struct engine *items[LOOPS_MAX];
    struct engines engines;
    struct gate *gate;
    struct store *store;
    struct stage *stage;
    struct recovery *recovery;
    bool keeps_runs_back; /* until bring_back */
    bool all_resumed;
    size_t resumed;
    struct script script;
    atomic_int word;   /* what the upstream says */
    atomic_bool holds; /* it answers nothing while this is so */
};

static const char *durable = ""; /* of the definition */
static const char *const words[] = {"busy", "passed", "failed"};
enum { BUSY, PASSED, FAILED };

/* ---- waiting, with an end to patience ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void await(const bool *flag, const char *what) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&lock);
    while (!*flag)
        if (pthread_cond_timedwait(&changed, &lock, &until) != 0) {
            pthread_mutex_unlock(&lock);
            fail_msg("waited %d s: %s", PATIENCE_S, what);
        }
    pthread_mutex_unlock(&lock);
}

static void raise_flag(void *flag) {
    pthread_mutex_lock(&lock);
    *(bool *)flag = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- the upstream ---- */

static enum script_after answer_all(struct script_end *end, unsigned index) {
    (void)index;
    struct gateway *gw = end->script->arg;
    while (atomic_load(&gw->holds)) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    char body[128], reply[256];
    int n = snprintf(body, sizeof body, "{\"id\": 7, \"state\": \"%s\"}", words[atomic_load(&gw->word)]);
    snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, body);
    script_puts(end, reply);
    return AFTER_KEEP;
}

static unsigned sent(struct gateway *gw, const char *line) {
    unsigned count = 0;
    pthread_mutex_lock(&gw->script.lock);
    for (const char *at = buf_cstr(&gw->script.got); (at = strstr(at, line)); at++) count++;
    pthread_mutex_unlock(&gw->script.lock);
    return count;
}

static void await_requests(struct gateway *gw, unsigned least) {
    for (int ms = 0; atomic_load(&gw->script.requests) < least; ms++) {
        if (ms > PATIENCE_S * 1000) fail_msg("only %u requests came", atomic_load(&gw->script.requests));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* ---- the gateway ---- */

static void *loop_main(void *loop) {
    loop_run(loop);
    return NULL;
}

static struct stage *find_stage(void *arg, const char *hash, struct fault *fault) {
    struct gateway *gw = arg;
    (void)fault;
    assert_string_equal(hash, gw->stage->hash);
    return stage_ref(gw->stage);
}

static void on_resumed(void *arg, size_t count) {
    struct gateway *gw = arg;
    gw->resumed = count;
    raise_flag(&gw->all_resumed);
}

static void open_gateway(struct gateway *gw, size_t max_runs) {
    struct fault fault;
    gw->store = store_open(&(struct store_settings){.url = gw->url, .max_queue = 10000, .max_kept = 16 << 20}, &fault);
    if (!gw->store) fail_msg("%s", fault.what);
    gw->engines = (struct engines){gw->items, gw->count};
    gw->gate = gate_new(gw->count);
    for (unsigned i = 0; i < gw->count; i++) {
        gw->loops[i] = loop_new(i);
        gw->upstreams[i] = upstream_new(
            gw->loops[i], &(struct upstream_settings){.user_agent = "stagedoor/test", .max_connections = 8});
        gw->items[i] = engine_new(
            gw->loops[i], gw->upstreams[i], gw->store,
            &(struct engine_settings){.max_runs = max_runs, .gate = gw->gate, .engines = &gw->engines});
    }
    struct recovery_settings settings = {.engines = &gw->engines,
                                         .store = gw->store,
                                         .gate = gw->gate,
                                         .loop = gw->loops[0],
                                         .slice = 2,
                                         .find_stage = find_stage,
                                         .done = on_resumed,
                                         .arg = gw};
    gw->all_resumed = false;
    gw->recovery = recovery_new(&settings, &fault);
    assert_non_null(gw->recovery);
    if (!gw->keeps_runs_back) recovery_begin(gw->recovery);
    for (unsigned i = 0; i < gw->count; i++) pthread_create(&gw->threads[i], NULL, loop_main, gw->loops[i]);
}

/* As the process would end, with or without a drain before it. */
static void close_gateway(struct gateway *gw) {
    for (unsigned i = 0; i < gw->count; i++) {
        loop_stop(gw->loops[i]);
        pthread_join(gw->threads[i], NULL);
        engine_detach(gw->items[i]);
    }
    recovery_stop(gw->recovery);
    store_close(gw->store);
    for (unsigned i = 0; i < gw->count; i++) loop_flush(gw->loops[i]);
    for (unsigned i = 0; i < gw->count; i++) loop_flush(gw->loops[i]);
    recovery_free(gw->recovery);
    for (unsigned i = 0; i < gw->count; i++) {
        engine_dismiss(gw->items[i]);
        loop_flush(gw->loops[i]);
        engine_free(gw->items[i]);
        loop_flush(gw->loops[i]);
        upstream_free(gw->upstreams[i]);
        loop_free(gw->loops[i]);
    }
    gate_free(gw->gate);
}

static void begin_with(struct gateway *gw, unsigned loops, const char *more) {
    upstream_global_init();
    *gw = (struct gateway){.count = loops};
    gw->script.answer = answer_all;
    gw->script.arg = gw;
    script_start(&gw->script);
    atomic_store(&gw->word, PASSED);
    snprintf(gw->folder, sizeof gw->folder, "/tmp/stagedoor-engine-XXXXXX");
    assert_non_null(mkdtemp(gw->folder));
    snprintf(gw->url, sizeof gw->url, "sqlite:%s/s.db", gw->folder);
    char definition[1024];
    snprintf(definition, sizeof definition,
             "%s%sname = \"job\"; request = { url = \"http://127.0.0.1:%d/jobs\"; }; status = { url = "
             "\"http://127.0.0.1:%d/jobs/{{ request.body.id }}\"; every = \"20ms\"; value = \"$.state\"; success = [ "
             "\"passed\" ]; failure = [ \"failed\" ]; running = [ \"busy\" ]; }; cancel = { method = \"DELETE\"; url = "
             "\"http://127.0.0.1:%d/jobs/{{ request.body.id }}\"; }; outputs = { id = \"{{ request.body.id }}\"; };",
             durable, more, gw->script.port, gw->script.port, gw->script.port);
    gw->stage = rig_stage(definition);
    open_gateway(gw, 1000);
}

static void begin(struct gateway *gw, unsigned loops) {
    begin_with(gw, loops, "");
}

static void end(struct gateway *gw) {
    close_gateway(gw);
    atomic_store(&gw->holds, false);
    script_stop(&gw->script);
    script_fini(&gw->script);
    stage_unref(gw->stage);
    DIR *dir = opendir(gw->folder);
    for (struct dirent *entry; (entry = readdir(dir));) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(gw->folder);
}

static void restart(struct gateway *gw) {
    close_gateway(gw);
    open_gateway(gw, 1000);
}

/* ---- asking ---- */

struct question {
    struct gateway *gw;
    struct ask *ask;
    bool done;
    bool then_drain; /* in the same breath */
    bool drained;
    struct onlooker *onlooker; /* of a list */
};

static void on_done(struct ask *ask) {
    raise_flag(&((struct question *)ask->arg)->done);
}

static void put_question(void *arg) {
    struct question *question = arg;
    struct gateway *gw = question->gw;
    bool drain = question->then_drain; /* the question may be over at once */
    ask_send(&gw->engines, question->ask);
    if (drain) engine_drain(gw->items[0], raise_flag, &question->drained);
}

static struct question question(struct gateway *gw, unsigned from, enum ask_kind kind, const char *key) {
    struct ask *ask = ask_new(kind, gw->loops[from], on_done, NULL);
    ask->stage_name = "job";
    ask->key = key;
    ask->base_url = "http://gw.test";
    ask->fingerprint = "f1";
    if (kind == ASK_START || kind == ASK_CANCEL_KEY) ask->stage = stage_ref(gw->stage);
    if (kind == ASK_START) ask->parameters = json_new_object(ask->arena);
    return (struct question){.gw = gw, .ask = ask};
}

static void put(struct question *question) {
    question->ask->arg = question;
    loop_post(question->ask->from, put_question, question);
}

static void answered(struct question *question) {
    await(&question->done, "an answer");
}

static void ask(struct question *question) {
    put(question);
    answered(question);
}

static const char *told(const struct question *question) {
    return buf_cstr(&question->ask->report);
}

static void assert_told(const struct question *question, const char *part) {
    if (question->ask->failed) fail_msg("refused: %s", question->ask->fault->what);
    if (!strstr(told(question), part)) fail_msg("%s is not in %s", part, told(question));
}

static void assert_refused(const struct question *question, enum fault_kind kind) {
    assert_true(question->ask->failed);
    assert_string_equal(fault_word(question->ask->fault->kind), fault_word(kind));
}

static void ask_in_vain(struct question *question, enum fault_kind kind) {
    ask(question);
    assert_refused(question, kind);
    ask_free(question->ask);
}

static struct question get(struct gateway *gw, unsigned from, const char *id, int64_t wait_ms) {
    struct question q = question(gw, from, ASK_GET, NULL);
    memcpy(q.ask->id, id, sizeof q.ask->id);
    q.ask->wait_ms = wait_ms;
    return q;
}

static void assert_end(struct gateway *gw, const char *id, const char *part) {
    struct question q = get(gw, 0, id, PATIENCE_S * 1000);
    ask(&q);
    assert_true(q.ask->ended);
    assert_told(&q, part);
    ask_free(q.ask);
}

static void on_key_found(struct store_op *op) {
    raise_flag(op->arg);
}

static void submit(void *op) {
    struct store_op *of = op;
    store_submit(of->store, of);
}

static void id_of_key(struct gateway *gw, const char *key, char id[STORE_ID_SIZE]) {
    bool found = false;
    struct store_op op = {.kind = STORE_FIND_KEY,
                          .loop = gw->loops[0],
                          .done = on_key_found,
                          .arg = &found,
                          .store = gw->store,
                          .record = {.stage = "job", .key = key}};
    loop_post(gw->loops[0], submit, &op);
    await(&found, "the store");
    assert_int_equal(op.outcome, STORE_DONE);
    memcpy(id, op.found->id, STORE_ID_SIZE);
    store_op_fini(&op);
}

/* Starts, and gives the id. */
static void start(struct gateway *gw, const char *key, char id[STORE_ID_SIZE]) {
    struct question q = question(gw, 0, ASK_START, key);
    ask(&q);
    assert_told(&q, "\"status\":\"RUNNING\"");
    assert_true(q.ask->created);
    memcpy(id, q.ask->id, STORE_ID_SIZE);
    ask_free(q.ask);
}

/* ---- tests ---- */

static void test_start_and_wait(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    struct question q = question(&gw, 0, ASK_START, NULL);
    q.ask->wait_ms = PATIENCE_S * 1000;
    ask(&q);
    assert_told(&q, "\"status\":\"SUCCEEDED\"");
    assert_told(&q, "\"outputs\":{\"id\":7}");
    assert_true(q.ask->created && q.ask->ended);
    assert_int_equal(q.ask->status, RUN_SUCCEEDED);
    struct question later = get(&gw, 0, q.ask->id, 0);
    ask(&later);
    assert_string_equal(told(&q), told(&later)); /* from the store now */
    ask_free(later.ask);
    ask_free(q.ask);
    end(&gw);
}

static void test_waiting_has_an_end(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    atomic_store(&gw.word, BUSY);
    struct question q = question(&gw, 0, ASK_START, NULL);
    q.ask->wait_ms = 50;
    ask(&q);
    assert_told(&q, "\"status\":\"RUNNING\"");
    assert_false(q.ask->ended);
    struct question again = get(&gw, 0, q.ask->id, 50);
    ask(&again);
    assert_told(&again, "\"status\":\"RUNNING\"");
    atomic_store(&gw.word, FAILED);
    assert_end(&gw, q.ask->id, "\"reason\":\"upstream_failed\"");
    ask_free(again.ask);
    ask_free(q.ask);
    end(&gw);
}

static void test_one_key_twice_at_once(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 2);
    struct question qs[8];
    for (unsigned i = 0; i < 8; i++) qs[i] = question(&gw, i % 2, ASK_START, "k"), qs[i].ask->wait_ms = 10000;
    for (unsigned i = 0; i < 8; i++) put(&qs[i]);
    unsigned created = 0;
    for (unsigned i = 0; i < 8; i++) {
        answered(&qs[i]);
        assert_told(&qs[i], "\"status\":\"SUCCEEDED\"");
        assert_string_equal(qs[i].ask->id, qs[0].ask->id);
        created += qs[i].ask->created;
    }
    assert_int_equal(created, 1);
    for (unsigned i = 0; i < 8; i++) ask_free(qs[i].ask);
    struct question later = question(&gw, 0, ASK_START, "k"); /* it is over, and in the store only */
    ask(&later);
    assert_told(&later, "\"status\":\"SUCCEEDED\"");
    assert_false(later.ask->created);
    ask_free(later.ask);
    assert_int_equal(sent(&gw, "POST /jobs "), 1);
    end(&gw);
}

static void test_one_key_with_other_parameters(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    atomic_store(&gw.word, BUSY);
    char id[STORE_ID_SIZE];
    start(&gw, "k", id);
    for (int over = 0; over <= 1; over++) { /* in flight, and from the store */
        struct question q = question(&gw, 0, ASK_START, "k");
        q.ask->fingerprint = "f2";
        ask_in_vain(&q, FAULT_CONFLICT);
        atomic_store(&gw.word, PASSED);
        assert_end(&gw, id, "SUCCEEDED");
    }
    end(&gw);
}

static void test_cancel(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    atomic_store(&gw.word, BUSY);
    char id[STORE_ID_SIZE];
    start(&gw, "k", id);
    await_requests(&gw, 2);
    struct question by_id = question(&gw, 0, ASK_CANCEL, NULL), by_key = question(&gw, 0, ASK_CANCEL_KEY, "k");
    memcpy(by_id.ask->id, id, sizeof id);
    put(&by_id);
    put(&by_key);
    answered(&by_id);
    answered(&by_key);
    assert_string_equal(by_id.ask->id, id);
    assert_string_equal(by_key.ask->id, id);
    for (int ms = 0; !sent(&gw, "DELETE /jobs/7 "); ms++) {
        assert_true(ms < PATIENCE_S * 1000);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    atomic_store(&gw.word, FAILED); /* what the upstream calls it when it has stopped */
    assert_end(&gw, id, "\"status\":\"CANCELED\",\"reason\":\"canceled\"");
    assert_int_equal(sent(&gw, "DELETE /jobs/7 "), 1);
    ask_free(by_id.ask);
    ask_free(by_key.ask);
    end(&gw);
}

static void test_cancel_in_advance(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    struct question cancel = question(&gw, 0, ASK_CANCEL_KEY, "k"), late = question(&gw, 0, ASK_START, "k");
    ask(&cancel);
    assert_told(&cancel, "\"status\":\"CANCELED\",\"reason\":\"canceled_before_start\"");
    ask(&late);
    assert_told(&late, "\"status\":\"CANCELED\"");
    assert_false(late.ask->created);
    assert_int_equal(atomic_load(&gw.script.requests), 0);
    ask_free(cancel.ask);
    ask_free(late.ask);
    end(&gw);
}

/* ---- keys of starts that were attached ---- */

#define ATTACHES "dedup = { key = \"same\"; on_duplicate = \"attach\"; }; "
#define OTHERS 8

/* With a run that goes on until the word changes. */
static void begin_busy(struct gateway *gw, unsigned loops, const char *key, char id[STORE_ID_SIZE]) {
    begin_with(gw, loops, ATTACHES);
    atomic_store(&gw->word, BUSY);
    start(gw, key, id);
}

static void start_again(struct gateway *gw, unsigned from, const char *key, const char *id) {
    struct question q = question(gw, from, ASK_START, key);
    ask(&q);
    if (q.ask->failed) fail_msg("%s is refused: %s", key, q.ask->fault->what);
    assert_false(q.ask->created);
    assert_string_equal(q.ask->id, id);
    ask_free(q.ask);
}

/* All at once, each key from both loops; then one by one, and with other parameters. */
static void start_others(struct gateway *gw, const char *id) {
    static const char *const keys[OTHERS] = {"o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7"};
    struct question qs[2 * OTHERS];
    for (unsigned i = 0; i < 2 * OTHERS; i++) {
        qs[i] = question(gw, i % 2, ASK_START, keys[i / 2]);
        put(&qs[i]);
    }
    for (unsigned i = 0; i < 2 * OTHERS; i++) {
        answered(&qs[i]);
        assert_told(&qs[i], id);
        assert_string_equal(qs[i].ask->id, id);
        ask_free(qs[i].ask);
    }
    for (unsigned i = 0; i < OTHERS; i++) {
        start_again(gw, i % 2, keys[i], id);
        struct question q = question(gw, i % 2, ASK_START, keys[i]);
        q.ask->fingerprint = "f2";
        ask(&q);
        assert_refused(&q, FAULT_CONFLICT);
        assert_non_null(strstr(q.ask->fault->what, id));
        ask_free(q.ask);
    }
}

static void test_attached_keys(void **state) {
    (void)state;
    struct gateway gw;
    char id[STORE_ID_SIZE];
    begin_busy(&gw, 2, "k", id);
    start_others(&gw, id);
    atomic_store(&gw.word, PASSED);
    assert_end(&gw, id, "SUCCEEDED");
    start_others(&gw, id); /* the run is in the store only */
    struct question waits = question(&gw, 0, ASK_START, "o3");
    waits.ask->wait_ms = PATIENCE_S * 1000;
    ask(&waits);
    assert_told(&waits, "\"status\":\"SUCCEEDED\"");
    ask_free(waits.ask);
    assert_int_equal(sent(&gw, "POST /jobs "), 1);
    struct question list = question(&gw, 0, ASK_LIST, NULL);
    list.ask->filter.limit = 1;
    ask(&list);
    assert_told(&list, id);
    assert_told(&list, "],\"cursor\":null}");
    ask_free(list.ask);
    end(&gw);
}

static void test_attached_start_waits(void **state) {
    (void)state;
    struct gateway gw;
    char id[STORE_ID_SIZE];
    begin_busy(&gw, 2, NULL, id);
    struct question q = question(&gw, 1, ASK_START, "o");
    q.ask->wait_ms = PATIENCE_S * 1000;
    put(&q);
    await_requests(&gw, atomic_load(&gw.script.requests) + 5);
    atomic_store(&gw.word, PASSED);
    answered(&q);
    assert_string_equal(q.ask->id, id);
    assert_told(&q, "\"status\":\"SUCCEEDED\"");
    ask_free(q.ask);
    end(&gw);
}

static void test_cancel_by_attached_key(void **state) {
    (void)state;
    struct gateway gw;
    char id[STORE_ID_SIZE];
    begin_busy(&gw, 2, "k", id);
    await_requests(&gw, 2);
    start_again(&gw, 1, "o", id);
    for (int over = 0; over <= 1; over++) {
        struct question q = question(&gw, 0, ASK_CANCEL_KEY, "o");
        ask(&q);
        assert_false(q.ask->failed);
        assert_string_equal(q.ask->id, id);
        ask_free(q.ask);
        atomic_store(&gw.word, FAILED); /* what the upstream calls it when it has stopped */
        assert_end(&gw, id, "\"status\":\"CANCELED\",\"reason\":\"canceled\"");
    }
    start_again(&gw, 1, "o", id);
    assert_int_equal(sent(&gw, "DELETE /jobs/7 "), 1);
    end(&gw);
}

/* What keeps the key is no run. */
static void test_attached_key_is_no_run(void **state) {
    (void)state;
    struct gateway gw;
    char id[STORE_ID_SIZE], kept[STORE_ID_SIZE];
    begin_busy(&gw, 1, "k", id);
    start_again(&gw, 0, "o", id);
    id_of_key(&gw, "o", kept);
    assert_string_not_equal(kept, id);
    enum ask_kind kinds[] = {ASK_GET, ASK_EXPLAIN, ASK_CANCEL};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct question q = question(&gw, 0, kinds[i], NULL);
        memcpy(q.ask->id, kept, sizeof kept);
        ask_in_vain(&q, FAULT_NOT_FOUND);
    }
    end(&gw);
}

static bool nobody(const struct ask *q, const char *stage) {
    (void)q, (void)stage;
    return false;
}

static void test_refusals(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    atomic_store(&gw.word, BUSY);
    char id[STORE_ID_SIZE];
    struct question unknown = get(&gw, 0, RIG_ID, 1000);
    ask_in_vain(&unknown, FAULT_NOT_FOUND);
    start(&gw, "k", id);
    struct question hidden = get(&gw, 0, id, 0), cancel = question(&gw, 0, ASK_CANCEL_KEY, "k");
    struct question advance = question(&gw, 0, ASK_CANCEL_KEY, "other");
    hidden.ask->allowed = cancel.ask->allowed = advance.ask->allowed = nobody;
    ask(&hidden);
    ask(&cancel);
    ask(&advance);
    assert_refused(&hidden, FAULT_NOT_FOUND);
    assert_refused(&cancel, FAULT_NOT_FOUND);
    assert_refused(&advance, FAULT_NOT_FOUND);
    atomic_store(&gw.word, PASSED);
    assert_end(&gw, id, "SUCCEEDED"); /* nobody canceled it */
    ask_free(hidden.ask);
    ask_free(cancel.ask);
    ask_free(advance.ask);
    end(&gw);
}

static void test_as_many_as_allowed(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    close_gateway(&gw);
    open_gateway(&gw, 2);
    atomic_store(&gw.word, BUSY);
    char ids[2][STORE_ID_SIZE];
    start(&gw, "a", ids[0]);
    start(&gw, "b", ids[1]);
    struct question third = question(&gw, 0, ASK_START, "c"), known = question(&gw, 0, ASK_START, "a");
    ask_in_vain(&third, FAULT_BUSY);
    ask(&known);
    assert_told(&known, ids[0]);
    atomic_store(&gw.word, PASSED);
    assert_end(&gw, ids[0], "SUCCEEDED");
    assert_end(&gw, ids[1], "SUCCEEDED");
    char id[STORE_ID_SIZE];
    start(&gw, "c", id);
    assert_end(&gw, id, "SUCCEEDED");
    ask_free(known.ask);
    end(&gw);
}

static void test_list(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    char ids[3][STORE_ID_SIZE];
    for (int i = 0; i < 3; i++) {
        if (i == 2) atomic_store(&gw.word, BUSY);
        start(&gw, NULL, ids[i]);
        if (i < 2) assert_end(&gw, ids[i], "SUCCEEDED");
    }
    struct question first = question(&gw, 0, ASK_LIST, NULL), rest = question(&gw, 0, ASK_LIST, NULL);
    struct question by_status = question(&gw, 0, ASK_LIST, NULL), stale = question(&gw, 0, ASK_LIST, NULL);
    first.ask->filter.limit = 2;
    rest.ask->filter = (struct store_filter){.limit = 2, .before_id = ids[1]};
    by_status.ask->filter = (struct store_filter){.limit = 10, .status = "RUNNING"};
    stale.ask->filter = (struct store_filter){.limit = 10, .before_id = RIG_ID};
    ask(&first);
    ask(&rest);
    ask(&by_status);
    ask(&stale);
    char cursor[64];
    snprintf(cursor, sizeof cursor, "],\"cursor\":\"%s\"}", ids[1]);
    assert_told(&first, cursor);
    assert_told(&first, ids[2]);
    assert_null(strstr(told(&first), ids[0]));
    assert_told(&rest, ids[0]);
    assert_told(&rest, "],\"cursor\":null}");
    assert_null(strstr(told(&rest), ids[2]));
    assert_told(&by_status, ids[2]);
    assert_null(strstr(told(&by_status), ids[1]));
    assert_refused(&stale, FAULT_INVALID);
    struct arena *arena = arena_new();
    struct json_limits limits = {1 << 20, 64, 10000};
    struct fault fault;
    assert_int_equal(json_size(json_gets(json_parse(arena, buf_text(&first.ask->report), &limits, &fault), "runs")), 2);
    arena_free(arena);
    ask_free(first.ask);
    ask_free(rest.ask);
    ask_free(by_status.ask);
    ask_free(stale.ask);
    end(&gw);
}

/* Looks at a list in every pass of its loop, from when the store has answered: how much is added between two looks? */
struct onlooker {
    const struct ask *ask;
    size_t seen, most, looks;
    bool ended;
};

static void look(void *arg) {
    struct onlooker *onlooker = arg;
    if (onlooker->ended) return;
    size_t len = onlooker->ask->report.len;
    if (len - onlooker->seen > onlooker->most) onlooker->most = len - onlooker->seen;
    onlooker->looks += len != onlooker->seen;
    onlooker->seen = len;
    loop_post(onlooker->ask->from, look, onlooker);
}

static void on_watched(struct ask *ask) {
    struct question *question = ask->arg;
    question->onlooker->ended = true;
    raise_flag(&question->done);
}

/* A list is made in pieces: other work of its loop gets its turn between them. */
static void test_a_long_list_is_made_in_slices(void **state) {
    (void)state;
    enum { RUNS = 120 };
    struct gateway gw;
    begin(&gw, 1);
    char id[STORE_ID_SIZE];
    for (int i = 0; i < RUNS; i++) {
        if (i == RUNS / 2) atomic_store(&gw.holds, true);
        start(&gw, NULL, id);
        if (i < RUNS / 2) assert_end(&gw, id, "SUCCEEDED");
    }
    struct question list = question(&gw, 0, ASK_LIST, NULL);
    struct onlooker onlooker = {.ask = list.ask};
    list.onlooker = &onlooker;
    list.ask->done = on_watched;
    list.ask->filter.limit = 1000;
    loop_post(list.ask->from, look, &onlooker);
    ask(&list);
    size_t len = strlen(told(&list)), count = 0;
    for (const char *at = told(&list); (at = strstr(at, "\"statusUrl\"")); at++) count++;
    assert_int_equal(count, RUNS);
    assert_in_range(onlooker.looks, RUNS / 16 - 1, RUNS);
    assert_in_range(onlooker.most, 1, len / 4);
    ask_free(list.ask);
    end(&gw);
}

/* The submit call is waited for and its reply recorded; the polls are left to the next start. */
static void test_drain_during_a_submit_call(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    atomic_store(&gw.holds, true);
    char id[STORE_ID_SIZE];
    start(&gw, "k", id);
    await_requests(&gw, 1);
    struct question waiting = get(&gw, 0, id, PATIENCE_S * 1000), drain = get(&gw, 0, id, 0);
    drain.then_drain = true;
    put(&waiting);
    ask(&drain);
    answered(&waiting); /* long before its time: nobody is kept waiting by a gateway that ends */
    assert_told(&waiting, "\"status\":\"RUNNING\"");
    assert_false(drain.drained);
    struct question refused = question(&gw, 0, ASK_START, "other");
    ask_in_vain(&refused, FAULT_BUSY);
    atomic_store(&gw.holds, false);
    await(&drain.drained, "the drain");
    assert_int_equal(sent(&gw, "GET /jobs/7 "), 0);
    restart(&gw);
    assert_end(&gw, id, "\"status\":\"SUCCEEDED\"");
    assert_int_equal(sent(&gw, "POST /jobs "), 1);
    ask_free(waiting.ask);
    ask_free(drain.ask);
    end(&gw);
}

/* Accepted, but the call not begun: after the restart it is, and in no doubt. */
static void test_drain_during_the_first_record(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    struct question q = question(&gw, 0, ASK_START, "k");
    q.then_drain = true;
    ask(&q);
    await(&q.drained, "the drain");
    assert_told(&q, "\"status\":\"RUNNING\"");
    assert_int_equal(atomic_load(&gw.script.requests), 0);
    restart(&gw);
    assert_end(&gw, q.ask->id, "\"status\":\"SUCCEEDED\"");
    assert_int_equal(sent(&gw, "POST /jobs "), 1);
    ask_free(q.ask);
    end(&gw);
}

static void test_restart_while_polling(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 2);
    atomic_store(&gw.word, BUSY);
    char ids[6][STORE_ID_SIZE];
    for (int i = 0; i < 6; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        start(&gw, i % 2 ? key : NULL, ids[i]);
        await_requests(&gw, atomic_load(&gw.script.requests) + 2);
    }
    while (sent(&gw, "POST /jobs ") < 6) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    unsigned polls = sent(&gw, "GET /jobs/7 ");
    while (sent(&gw, "GET /jobs/7 ") < polls + 20) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    restart(&gw);
    atomic_store(&gw.word, PASSED);
    for (int i = 0; i < 6; i++) assert_end(&gw, ids[i], "\"status\":\"SUCCEEDED\"");
    assert_int_equal(sent(&gw, "POST /jobs "), 6);
    end(&gw);
}

#define OTHER_ID "01KAAAAAAAAAAAAAAAAAAAAAAA"

/* Whatever becomes of its record meanwhile, a run that was acknowledged ends, and is recorded. */
static void test_record_is_taken_away(void **state) {
    (void)state;
    static const struct {
        const char *name, *sql;
        bool keeps_key;
    } cases[] = {
        {"deleted", "DELETE FROM runs;", true},
        {"deleted, and its key is another's",
         "CREATE TEMP TABLE taken AS SELECT * FROM runs; DELETE FROM runs; UPDATE taken SET seq = seq + 1, id = "
         "'" OTHER_ID "'; INSERT INTO runs SELECT * FROM taken;",
         false},
        {"deleted, and put back when it is missed",
         "CREATE TABLE taken AS SELECT * FROM runs; DELETE FROM runs; CREATE TRIGGER back BEFORE INSERT ON runs BEGIN "
         "INSERT INTO runs SELECT * FROM taken; END;",
         true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gateway gw;
        char id[STORE_ID_SIZE], found[STORE_ID_SIZE];
        print_message("  %s\n", cases[i].name);
        begin(&gw, 1);
        atomic_store(&gw.word, BUSY);
        start(&gw, "k", id);
        await_requests(&gw, 3); /* it polls: nothing is to be recorded before its end */
        store_meddle(gw.url, cases[i].sql);
        atomic_store(&gw.word, PASSED);
        assert_end(&gw, id, "\"status\":\"SUCCEEDED\"");
        id_of_key(&gw, "k", found);
        assert_string_equal(found, cases[i].keeps_key ? id : OTHER_ID);
        if (cases[i].keeps_key) restart(&gw);
        assert_end(&gw, id, "\"outputs\":{\"id\":7}"); /* from the store */
        assert_int_equal(sent(&gw, "POST /jobs "), 1);
        end(&gw);
    }
}

/* Cut off in the middle of the call: nobody knows, and the report says so. */
static void test_restart_in_a_submit_call(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 1);
    atomic_store(&gw.holds, true);
    char id[STORE_ID_SIZE];
    start(&gw, "k", id);
    await_requests(&gw, 1);
    restart(&gw);
    assert_end(&gw, id, "\"status\":\"TERMINAL\",\"reason\":\"in_doubt\"");
    assert_int_equal(sent(&gw, "POST /jobs "), 1);
    end(&gw);
}

static void delete_run(struct gateway *gw, const char *id) {
    sqlite3 *db;
    char sql[80];
    snprintf(sql, sizeof sql, "DELETE FROM runs WHERE id = '%s'", id);
    assert_int_equal(sqlite3_open_v2(gw->url + strlen("sqlite:"), &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    sqlite3_close(db);
}

static void test_attached_keys_outlive_the_process(void **state) {
    (void)state;
    struct gateway gw;
    char id[STORE_ID_SIZE];
    begin_busy(&gw, 2, "k", id);
    await_requests(&gw, 3); /* its call is in no doubt */
    start_others(&gw, id);
    restart(&gw);
    start_others(&gw, id);
    atomic_store(&gw.word, PASSED);
    assert_end(&gw, id, "SUCCEEDED");
    restart(&gw);
    start_others(&gw, id);
    assert_int_equal(sent(&gw, "POST /jobs "), 1);
    close_gateway(&gw);
    delete_run(&gw, id);
    open_gateway(&gw, 1000);
    struct question gone = question(&gw, 0, ASK_START, "o1");
    ask_in_vain(&gone, FAULT_GONE);
    assert_int_equal(sent(&gw, "POST /jobs "), 1);
    end(&gw);
}

/* ---- while runs are still to come back ---- */

static void begin_recovery(void *recovery) {
    recovery_begin(recovery);
}

static void bring_back(struct gateway *gw) {
    loop_post(gw->loops[0], begin_recovery, gw->recovery);
    await(&gw->all_resumed, "all runs");
}

/* Several runs that are polled, of the keys k0, k1 …; then the process is another one, and has not read them yet. */
static void restart_and_keep_back(struct gateway *gw, unsigned count, char (*ids)[STORE_ID_SIZE]) {
    atomic_store(&gw->word, BUSY);
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        start(gw, key, ids[i]);
        while (sent(gw, "POST /jobs ") <= i) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        unsigned polls = sent(gw, "GET /jobs/7 ");
        while (sent(gw, "GET /jobs/7 ") < polls + 4 * count) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    gw->keeps_runs_back = true;
    restart(gw);
}

/* The store answers in order: what was asked before this has been looked up. */
static void let_store_answer(struct gateway *gw) {
    for (unsigned i = 0; i < gw->count; i++) {
        char id[STORE_ID_SIZE];
        id_make(1, i, id);
        struct question nobody = get(gw, i, id, 0);
        ask_in_vain(&nobody, FAULT_NOT_FOUND);
    }
}

static void test_questions_before_the_runs_are_back(void **state) {
    (void)state;
    enum { RUNS = 5, WAITING = 6 };
    struct gateway gw;
    char ids[RUNS][STORE_ID_SIZE], keyless[STORE_ID_SIZE], keyed[STORE_ID_SIZE];
    begin(&gw, 2);
    restart_and_keep_back(&gw, RUNS, ids);
    start(&gw, NULL, keyless); /* depends on none of them */
    start(&gw, "other", keyed);
    struct question waiting[WAITING] = {get(&gw, 0, ids[0], 0),
                                        get(&gw, 1, ids[1], PATIENCE_S * 1000),
                                        question(&gw, 0, ASK_START, "k2"),
                                        question(&gw, 1, ASK_CANCEL_KEY, "k3"),
                                        get(&gw, 0, ids[4], 0),
                                        question(&gw, 0, ASK_START, "k0")};
    waiting[4].ask->kind = ASK_CANCEL;
    waiting[5].ask->fingerprint = "f2";
    for (int i = 0; i < WAITING; i++) put(&waiting[i]);
    let_store_answer(&gw);
    for (int i = 0; i < WAITING; i++) assert_false(waiting[i].done);
    bring_back(&gw);
    assert_int_equal(gw.resumed, RUNS);
    atomic_store(&gw.word, PASSED);
    for (int i = 0; i < WAITING; i++) answered(&waiting[i]);
    assert_told(&waiting[0], ids[0]);
    assert_told(&waiting[1], "\"status\":\"SUCCEEDED\"");
    assert_told(&waiting[2], ids[2]);
    assert_false(waiting[2].ask->created);
    assert_told(&waiting[3], ids[3]);
    assert_told(&waiting[4], ids[4]);
    assert_refused(&waiting[5], FAULT_CONFLICT);
    for (int i = 0; i < RUNS; i++) assert_end(&gw, ids[i], i < 3 ? "\"status\":\"SUCCEEDED\"" : "\"ended\":\"");
    assert_int_equal(sent(&gw, "POST /jobs "), RUNS + 2);
    assert_end(&gw, keyless, "\"status\":\"SUCCEEDED\"");
    assert_end(&gw, keyed, "\"status\":\"SUCCEEDED\"");
    for (int i = 0; i < WAITING; i++) ask_free(waiting[i].ask);
    end(&gw);
}

/* The key's record is over, that of its run is still to come back. */
static void test_attached_keys_before_the_run_is_back(void **state) {
    (void)state;
    struct gateway gw;
    begin_with(&gw, 2, ATTACHES);
    char id[STORE_ID_SIZE];
    atomic_store(&gw.word, BUSY);
    start(&gw, "k", id);
    await_requests(&gw, 3);
    start_others(&gw, id);
    gw.keeps_runs_back = true;
    restart(&gw);
    struct question again = question(&gw, 0, ASK_START, "o5"), cancel = question(&gw, 1, ASK_CANCEL_KEY, "o6");
    put(&again);
    put(&cancel);
    let_store_answer(&gw);
    let_store_answer(&gw);
    assert_false(again.done || cancel.done);
    atomic_store(&gw.word, FAILED);
    bring_back(&gw);
    answered(&again);
    answered(&cancel);
    assert_string_equal(again.ask->id, id);
    assert_string_equal(cancel.ask->id, id);
    assert_int_equal(sent(&gw, "POST /jobs "), 1);
    ask_free(again.ask);
    ask_free(cancel.ask);
    end(&gw);
}

/* Who waits is told to come again, and the runs are there for the next process. */
static void test_drain_before_the_runs_are_back(void **state) {
    (void)state;
    enum { RUNS = 3 };
    struct gateway gw;
    char ids[RUNS][STORE_ID_SIZE];
    begin(&gw, 1);
    restart_and_keep_back(&gw, RUNS, ids);
    struct question waiting = get(&gw, 0, ids[0], PATIENCE_S * 1000), drain = get(&gw, 0, ids[1], 0);
    put(&waiting);
    let_store_answer(&gw);
    drain.then_drain = true;
    ask(&drain);
    answered(&waiting);
    assert_refused(&waiting, FAULT_BUSY);
    assert_refused(&drain, FAULT_BUSY);
    await(&drain.drained, "the drain");
    atomic_store(&gw.word, PASSED);
    gw.keeps_runs_back = false;
    restart(&gw);
    for (int i = 0; i < RUNS; i++) assert_end(&gw, ids[i], "\"status\":\"SUCCEEDED\"");
    assert_int_equal(sent(&gw, "POST /jobs "), RUNS);
    ask_free(waiting.ask);
    ask_free(drain.ask);
    end(&gw);
}

/* Those that are still to come count. */
static void test_as_many_as_allowed_before_the_runs_are_back(void **state) {
    (void)state;
    enum { RUNS = 3 };
    struct gateway gw;
    char ids[RUNS][STORE_ID_SIZE];
    begin(&gw, 1);
    restart_and_keep_back(&gw, RUNS, ids);
    close_gateway(&gw);
    open_gateway(&gw, RUNS);
    struct question refused = question(&gw, 0, ASK_START, NULL);
    ask_in_vain(&refused, FAULT_BUSY);
    atomic_store(&gw.word, PASSED);
    bring_back(&gw);
    for (int i = 0; i < RUNS; i++) assert_end(&gw, ids[i], "\"status\":\"SUCCEEDED\"");
    end(&gw);
}

static void test_questions_travel(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 2);
    enum { COUNT = 40 };
    static struct question starts[COUNT], gets[COUNT];
    static char keys[COUNT][16];
    unsigned owners[2] = {0};
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        starts[i] = question(&gw, i % 2, ASK_START, keys[i]);
        put(&starts[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        answered(&starts[i]);
        assert_false(starts[i].ask->failed);
        owners[id_owner(text_of(starts[i].ask->id)) % 2]++;
        gets[i] = get(&gw, (i + i / 2) % 2, starts[i].ask->id, PATIENCE_S * 1000);
        put(&gets[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        answered(&gets[i]);
        assert_told(&gets[i], "\"status\":\"SUCCEEDED\"");
        ask_free(gets[i].ask);
        ask_free(starts[i].ask);
    }
    assert_true(owners[0] && owners[1]);
    assert_int_equal(sent(&gw, "POST /jobs "), COUNT);
    end(&gw);
}

/* ---- runs that need no disk ---- */

/* What was in flight is gone with the process, and all that is known of it. */
static void test_crash_forgets(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 2);
    atomic_store(&gw.word, BUSY);
    char id[STORE_ID_SIZE], other[STORE_ID_SIZE];
    start(&gw, "k", id);
    await_requests(&gw, 3);
    assert_int_equal(store_runs(gw.url), 0);
    restart(&gw);
    struct question lost = get(&gw, 0, id, 0);
    ask(&lost);
    assert_refused(&lost, FAULT_NOT_FOUND);
    assert_non_null(strstr(lost.ask->fault->what, "not durable"));
    ask_free(lost.ask);
    atomic_store(&gw.word, PASSED);
    start(&gw, "k", other); /* a new run: the key is not known any more */
    assert_string_not_equal(id, other);
    assert_end(&gw, other, "\"status\":\"SUCCEEDED\"");
    assert_int_equal(sent(&gw, "POST /jobs "), 2);
    end(&gw);
}

struct drain_of {
    struct engine *engine;
    bool *drained;
};

static void drain_one(void *arg) {
    const struct drain_of *one = arg;
    engine_drain(one->engine, raise_flag, one->drained);
}

static void test_stop_forgets_nothing(void **state) {
    (void)state;
    struct gateway gw;
    begin(&gw, 2);
    char over[STORE_ID_SIZE], flies[STORE_ID_SIZE];
    start(&gw, "over", over);
    assert_end(&gw, over, "\"status\":\"SUCCEEDED\"");
    atomic_store(&gw.word, BUSY);
    start(&gw, "flies", flies);
    await_requests(&gw, atomic_load(&gw.script.requests) + 3);
    assert_int_equal(store_runs(gw.url), 0);
    bool drained[2] = {false, false};
    for (unsigned i = 0; i < 2; i++) {
        loop_post(gw.loops[i], drain_one, &(struct drain_of){gw.items[i], &drained[i]});
        await(&drained[i], "the drain");
    }
    assert_int_equal(store_runs(gw.url), 1);
    restart(&gw);
    assert_int_equal(store_runs(gw.url), 2);
    assert_end(&gw, over, "\"status\":\"SUCCEEDED\"");
    atomic_store(&gw.word, PASSED);
    assert_end(&gw, flies, "\"status\":\"SUCCEEDED\"");
    struct question again = question(&gw, 0, ASK_START, "flies");
    ask(&again);
    assert_false(again.ask->created);
    assert_string_equal(again.ask->id, flies);
    ask_free(again.ask);
    assert_int_equal(sent(&gw, "POST /jobs "), 2);
    end(&gw);
}

struct stop {
    struct gateway *gw;
    struct question *starts;
    unsigned count;
    bool drained;
};

static void ask_and_drain(void *arg) {
    struct stop *stop = arg;
    for (unsigned i = 0; i < stop->count; i++) ask_send(&stop->gw->engines, stop->starts[i].ask);
    engine_drain(stop->gw->items[0], raise_flag, &stop->drained);
}

/* More starts than move at once turn out to be none, since their keys are used: what flies moves all the same. */
static void test_stop_among_repeated_starts(void **state) {
    (void)state;
    enum { REPEATS = 300 };
    struct gateway gw;
    begin(&gw, 1);
    char id[STORE_ID_SIZE], keys[REPEATS][8];
    static struct question starts[REPEATS];
    for (unsigned i = 0; i < REPEATS; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        struct question used = question(&gw, 0, ASK_CANCEL_KEY, keys[i]);
        ask(&used);
        ask_free(used.ask);
        starts[i] = question(&gw, 0, ASK_START, keys[i]);
        starts[i].ask->arg = &starts[i];
    }
    atomic_store(&gw.word, BUSY);
    start(&gw, NULL, id);
    struct stop stop = {.gw = &gw, .starts = starts, .count = REPEATS};
    loop_post(gw.loops[0], ask_and_drain, &stop);
    await(&stop.drained, "the drain");
    assert_int_equal(store_runs(gw.url), 1);
    for (unsigned i = 0; i < REPEATS; i++) {
        answered(&starts[i]);
        assert_told(&starts[i], "\"reason\":\"canceled_before_start\"");
        ask_free(starts[i].ask);
    }
    end(&gw);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_and_wait),
        cmocka_unit_test(test_waiting_has_an_end),
        cmocka_unit_test(test_one_key_twice_at_once),
        cmocka_unit_test(test_one_key_with_other_parameters),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_in_advance),
        cmocka_unit_test(test_attached_keys),
        cmocka_unit_test(test_attached_start_waits),
        cmocka_unit_test(test_cancel_by_attached_key),
        cmocka_unit_test(test_attached_key_is_no_run),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_as_many_as_allowed),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_a_long_list_is_made_in_slices),
        cmocka_unit_test(test_drain_during_a_submit_call),
        cmocka_unit_test(test_drain_during_the_first_record),
        cmocka_unit_test(test_questions_travel),
    };
    const struct CMUnitTest crashes[] = {
        cmocka_unit_test(test_restart_while_polling),
        cmocka_unit_test(test_record_is_taken_away),
        cmocka_unit_test(test_restart_in_a_submit_call),
        cmocka_unit_test(test_attached_keys_outlive_the_process),
        cmocka_unit_test(test_questions_before_the_runs_are_back),
        cmocka_unit_test(test_attached_keys_before_the_run_is_back),
        cmocka_unit_test(test_drain_before_the_runs_are_back),
        cmocka_unit_test(test_as_many_as_allowed_before_the_runs_are_back),
    };
    const struct CMUnitTest memory[] = {
        cmocka_unit_test(test_crash_forgets),
        cmocka_unit_test(test_stop_forgets_nothing),
        cmocka_unit_test(test_stop_among_repeated_starts),
    };
    int failed = cmocka_run_group_tests_name("durable", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("durable, killed", crashes, NULL, NULL);
    durable = "durable = false; ";
    failed += cmocka_run_group_tests_name("in memory", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("in memory, killed", memory, NULL, NULL);
}
