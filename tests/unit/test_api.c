/* The API without a socket and without an engine: routes, who is let in, and every request that is answered without a
 * run being touched. What reaches a run is for the end-to-end tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "front/api.h"
#include "front/problem.h"
#include "run_rig.h"

#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" /* "test" */
#define HEX_OF_LOOKS "95d09b6231e6627f68a42cf844d9e928ac3f5df11c1a78025da84e22292955b1"

struct bench {
    struct loop *loop;
    struct stage *stage;
    struct fault fault;
    struct catalog_entry entries[2];
    struct catalog catalog;
    struct callers *callers;
    struct api api;
};

struct sent {
    unsigned count;
    int status;
    char type[64], allow[64], challenge[64];
    struct buf body;
};

static int set_up(void **state) {
    struct bench *bench = mem_alloc(sizeof *bench);
    bench->loop = loop_new(0);
    bench->stage = rig_stage(
        "name = \"job\"; label = \"Job\"; parameters = ( { name = \"users\"; type = \"integer\"; maximum = 50; }, { "
        "name = \"target\"; type = \"url\"; required = true; }, { name = \"pin\"; type = \"secret\"; } ); request = { "
        "url = \"http://up.test/\"; };");
    fault_set(&bench->fault, FAULT_SYNTAX, "stages.d/bad.conf:3", "a \"quoted\" mistake ${x}");
    bench->entries[0] = (struct catalog_entry){
        .name = "bad", .file = "stages.d/bad.conf", .faults = &bench->fault, .fault_count = 1};
    bench->entries[1] = (struct catalog_entry){.name = "job", .file = "stages.d/job.conf", .stage = bench->stage};
    bench->catalog = (struct catalog){.entries = bench->entries, .count = 2};
    bench->api = (struct api){
        .loop = bench->loop, .catalog = &bench->catalog, .public_url = "http://gw.test", .json = {1 << 20, 32, 1000}};
    *state = bench;
    return 0;
}

static int tear_down(void **state) {
    struct bench *bench = *state;
    callers_unref(bench->callers);
    stage_unref(bench->stage);
    loop_free(bench->loop);
    mem_free(bench);
    return 0;
}

static void keep(struct exchange *exchange, const struct answer *answer) {
    struct sent *sent = exchange->sender;
    sent->count++;
    sent->status = answer->status;
    snprintf(sent->type, sizeof sent->type, "%s", answer->content_type ? answer->content_type : "");
    for (size_t i = 0; i < answer->header_count; i++) {
        if (strcmp(answer->headers[i].name, "Allow") == 0)
            snprintf(sent->allow, sizeof sent->allow, "%s", answer->headers[i].value);
        if (strcmp(answer->headers[i].name, "WWW-Authenticate") == 0)
            snprintf(sent->challenge, sizeof sent->challenge, "%s", answer->headers[i].value);
    }
    buf_addt(&sent->body, answer->body);
}

/* Of "Name: value" lines, or NULL. */
static const char *const *headers_of(struct arena *arena, const char *headers) {
    struct text rest = text_of(headers), line, name;
    const char **known = arena_array_of(arena, const char *, HTTP_HEADER_END);
    while (headers && text_cut(&rest, '\n', &line)) {
        text_cut(&line, ':', &name);
        enum http_header header = http_header_of(name);
        assert_int_not_equal(header, HTTP_HEADER_END);
        line = text_trim(line);
        known[header] = arena_strndup(arena, line.at, line.len);
    }
    return known;
}

/* Every answer with a body has to be JSON that orca would not evaluate. */
static void request(struct bench *bench, enum http_method method, const char *target, const char *headers,
                    struct text body, struct sent *ret) {
    struct arena *arena = arena_new();
    *ret = (struct sent){0};
    buf_init(&ret->body, 1 << 20);
    struct exchange exchange = {.arena = arena,
                                .loop = bench->loop,
                                .server = &bench->api,
                                .method = method,
                                .body = body,
                                .peer = "127.0.0.1:9",
                                .send = keep,
                                .sender = ret};
    struct text path = text_of(target);
    const char *question = strchr(target, '?'), *what;
    exchange.target = path;
    if (question) path.len = (size_t)(question - target), exchange.query = text_of(question + 1);
    assert_true(exchange_split_path(arena, path, &exchange.segments, &exchange.segment_count, &what));
    exchange.known = headers_of(arena, headers);
    api_handle(&exchange);
    assert_int_equal(ret->count, 1);
    if (ret->body.len) {
        struct json_limits limits = {1 << 20, 64, 100000};
        struct fault fault;
        if (!json_parse(arena, buf_text(&ret->body), &limits, &fault))
            fail_msg("%s %s: %s: %s", http_method_word(method), target, fault.what, buf_cstr(&ret->body));
        assert_null(strstr(buf_cstr(&ret->body), "${"));
    }
    arena_free(arena);
}

static bool turned_away(struct bench *bench, enum http_method method, const char *target, const char *headers) {
    struct arena *arena = arena_new();
    struct exchange exchange = {.arena = arena, .loop = bench->loop, .server = &bench->api, .method = method};
    const char *what;
    assert_true(exchange_split_path(arena, text_of(target), &exchange.segments, &exchange.segment_count, &what));
    exchange.known = headers_of(arena, headers);
    const struct answer *answer = api_turn_away(&exchange);
    if (answer) assert_int_equal(answer->status, 503);
    arena_free(arena);
    return answer != NULL;
}

static void test_routes(void **state) {
    static const struct {
        enum http_method method;
        const char *target;
        int status;
        const char *allow;
    } rows[] = {
        {HTTP_GET, "/stages", 200, ""},
        {HTTP_HEAD, "/stages", 200, ""},
        {HTTP_GET, "/stages/", 200, ""},
        {HTTP_GET, "/stages/job", 200, ""},
        {HTTP_GET, "/stages/bad", 200, ""},
        {HTTP_GET, "/stages/jab", 404, ""},
        {HTTP_GET, "/webhooks/preconfigured", 200, ""},
        {HTTP_GET, "/nothing", 404, ""},
        {HTTP_GET, "/stages/job/more", 404, ""},
        {HTTP_GET, "/runs/xyz", 404, ""},
        {HTTP_GET, "/runs/01kaw00000abcdefghjkmnpqrs", 404, ""},
        {HTTP_DELETE, "/stages", 405, "GET, HEAD"},
        {HTTP_PUT, "/stages/job", 405, "GET, HEAD, POST"},
        {HTTP_GET, "/stages/job/cancel", 405, "POST"},
        {HTTP_PUT, "/runs", 405, "GET, HEAD, POST"},
        {HTTP_PATCH, "/runs/01KAW00000ABCDEFGHJKMNPQRS", 405, "GET, HEAD, DELETE"},
        {HTTP_OPTIONS, "/runs/01KAW00000ABCDEFGHJKMNPQRS", 204, "GET, HEAD, DELETE"},
        {HTTP_OPTIONS, "/nothing", 404, ""},
        {HTTP_GET, "/health", 200, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sent sent;
        request(*state, rows[i].method, rows[i].target, NULL, (struct text){0}, &sent);
        if (sent.status != rows[i].status || strcmp(sent.allow, rows[i].allow) != 0)
            fail_msg("%s %s: %d, Allow \"%s\"", http_method_word(rows[i].method), rows[i].target, sent.status,
                     sent.allow);
        if (sent.status >= 400) assert_string_equal(sent.type, PROBLEM_TYPE);
        buf_fini(&sent.body);
    }
}

static void test_starts_that_are_refused(void **state) {
    static const struct {
        const char *target, *headers, *body;
        int status;
        const char *part;
    } rows[] = {
        {"/stages/jab", NULL, "", 404, "did you mean \\\"job\\\""},
        {"/stages/bad", NULL, "", 404, "is broken"},
        {"/stages/job", NULL, "{", 400, "\"kind\":\"syntax\""},
        {"/stages/job", NULL, "[1]", 400, "of type array"},
        {"/stages/job", NULL, "5", 400, "of type integer"},
        {"/stages/job", NULL, "null", 400, "of type null"},
        {"/stages/job", NULL, "{\"a\": 1, \"a\": 2}", 400, "\"kind\":\"syntax\""},
        {"/stages/job", NULL, "\xff", 400, "\"kind\":\"syntax\""},
        {"/stages/job", "Content-Type: text/html", "{}", 415, "application/json"},
        {"/stages/job", "Content-Type: application/jsonx", "{}", 415, "application/json"},
        {"/stages/job", "Content-Type: application/xml+json", "{}", 422, "/parameters/target"},
        {"/stages/job", "Content-Type: text/plain; charset=ISO-8859-1", "{\"caf\xe9\": 1}", 422, "/caf\xc3\xa9"},
        {"/stages/job", NULL, "", 422, "/parameters/target"},
        {"/stages/job", NULL, "{\"parameters\": {\"target\": \"http://t/\", \"users\": 51}}", 422, "/parameters/users"},
        {"/stages/job", NULL, "{\"parameters\": {\"target\": \"${x}\"}}", 422, "/parameters/target"},
        {"/stages/job", NULL, "{\"parameters\": {\"target\": \"http://t/\"}, \"parametres\": {}}", 422,
         "did you mean \\\"parameters\\\""},
        {"/stages/job", NULL, "{\"key\": [1]}", 422, "\"pointer\":\"/key\""},
        {"/stages/job", NULL, "{\"key\": \"\"}", 422, "1 to 255 bytes"},
        {"/stages/job", NULL, "{\"key\": \"a\\u0007\"}", 422, "control character"},
        {"/stages/job", NULL, "{\"key\": \"${execution.id}\"}", 422, "Spinnaker could not evaluate"},
        {"/stages/job", "Idempotency-Key: ${x}", "{}", 422, "\"pointer\":\"Idempotency-Key\""},
        {"/stages/job", "Idempotency-Key: a", "{\"key\": \"b\"}", 422, "another one"},
        {"/stages/job", NULL, "{\"caller\": \"me\"}", 422, "\"pointer\":\"/caller\""},
        {"/stages/job", NULL, "{\"caller\": {\"usr\": \"me\"}}", 422, "did you mean \\\"user\\\""},
        {"/stages/job", NULL, "{\"user\": 5}", 422, "\"pointer\":\"/user\""},
        {"/stages/job", NULL, "{\"parameters\": {\"pin\": [\"hunter22\"], \"target\": \"http://t/\"}}", 422,
         "/parameters/pin"},
        {"/stages/job/cancel", NULL, "{}", 422, "the key of the run to cancel is missing"},
        {"/stages/job/cancel", NULL, "{\"key\": \"${execution.id}\"}", 200, "ignored"},
        {"/stages/job/cancel", "Idempotency-Key: ${x}", "{}", 200, "ignored"},
        {"/stages/nothing/cancel", NULL, "{}", 404, "no stage of this name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sent sent;
        request(*state, HTTP_POST, rows[i].target, rows[i].headers, text_of(rows[i].body), &sent);
        if (sent.status != rows[i].status || !strstr(buf_cstr(&sent.body), rows[i].part))
            fail_msg("row %zu: %d %s", i, sent.status, buf_cstr(&sent.body));
        assert_null(strstr(buf_cstr(&sent.body), "hunter22"));
        buf_fini(&sent.body);
    }
}

static void test_lists_that_are_refused(void **state) {
    static const struct {
        const char *target, *part;
    } rows[] = {
        {"/runs?limit=0", "limit"},
        {"/runs?limit=1001", "limit"},
        {"/runs?limit=x", "limit"},
        {"/runs?status=running", "status"},
        {"/runs?cursor=abc", "cursor"},
        {"/runs?since=yesterday", "since"},
        {"/runs?stauts=RUNNING", "did you mean \\\"status\\\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sent sent;
        request(*state, HTTP_GET, rows[i].target, NULL, (struct text){0}, &sent);
        if (sent.status != 422 || !strstr(buf_cstr(&sent.body), rows[i].part))
            fail_msg("%s: %d %s", rows[i].target, sent.status, buf_cstr(&sent.body));
        buf_fini(&sent.body);
    }
}

static void let_in(struct bench *bench, const char *text) {
    char path[] = "/tmp/stagedoor-api-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct faults faults;
    faults_init(&faults);
    bench->api.callers = bench->callers = callers_load(path, &faults);
    unlink(path);
    assert_non_null(bench->callers);
    faults_fini(&faults);
}

static void test_who_is_let_in(void **state) {
    struct bench *bench = *state;
    let_in(bench, "callers = ( { name = \"looker\"; token_sha256 = \"" HEX "\"; see = [ \"job\" ]; } );");
    static const struct {
        enum http_method method;
        const char *target, *headers;
        int status;
    } rows[] = {
        {HTTP_GET, "/health", NULL, 200},
        {HTTP_GET, "/stages", NULL, 401},
        {HTTP_GET, "/metrics", NULL, 401},
        {HTTP_GET, "/runs/xyz", NULL, 401},
        {HTTP_POST, "/stages/job", NULL, 401},
        {HTTP_GET, "/stages", "Authorization: Bearer wrong", 401},
        {HTTP_GET, "/stages", "Authorization: Bearer test", 200},
        {HTTP_GET, "/stages/job", "Authorization: Bearer test", 200},
        {HTTP_GET, "/stages/bad", "Authorization: Bearer test", 404}, /* not for this caller's eyes */
        {HTTP_POST, "/stages/bad", "Authorization: Bearer test", 404},
        {HTTP_POST, "/stages/job", "Authorization: Bearer test", 403},
        {HTTP_POST, "/stages/job/cancel", "Authorization: Bearer test", 403},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sent sent;
        request(bench, rows[i].method, rows[i].target, rows[i].headers, (struct text){0}, &sent);
        if (sent.status != rows[i].status) fail_msg("row %zu: %d", i, sent.status);
        assert_int_equal(sent.challenge[0] != 0, sent.status == 401);
        if (sent.status != 200) assert_null(strstr(buf_cstr(&sent.body), "bad.conf"));
        buf_fini(&sent.body);
    }
    struct sent sent;
    request(bench, HTTP_GET, "/stages", "Authorization: Bearer test", (struct text){0}, &sent);
    assert_null(strstr(buf_cstr(&sent.body), "bad"));
    buf_fini(&sent.body);
}

static const struct {
    enum http_method method;
    const char *target;
    bool away; /* where there is too much to do */
} asked[] = {
    {HTTP_POST, "/stages/job", true},
    {HTTP_POST, "/stages/job/", true},
    {HTTP_POST, "/stages/other", true},
    {HTTP_POST, "/runs", true},
    {HTTP_GET, "/stages/job", false},
    {HTTP_GET, "/health", false},
    {HTTP_POST, "/stages/job/cancel", false},
    {HTTP_POST, "/runs/cancel", false},
    {HTTP_POST, "/", false},
    {HTTP_POST, "/callbacks/x", false},
};
#define ASKED (sizeof asked / sizeof *asked)

/* A message waits behind this one, so there is more to do than is done. Only starts are turned away, and of the kind
 * that there is too much of. */
static void turn_away_on_loop(void *arg) {
    struct bench *bench = arg;
    for (size_t i = 0; i < ASKED; i++)
        if (turned_away(bench, asked[i].method, asked[i].target, NULL) != asked[i].away)
            fail_msg("%s", asked[i].target);
    bench->stage->durable = false;
    assert_false(turned_away(bench, HTTP_POST, "/stages/job", NULL));
    bench->api.admission_in_memory = bench->api.admission;
    assert_true(turned_away(bench, HTTP_POST, "/stages/job", NULL));
}

static void stop_on_loop(void *arg) {
    loop_stop(arg);
}

static void test_who_is_turned_away(void **state) {
    struct bench *bench = *state;
    for (size_t i = 0; i < ASKED; i++) assert_false(turned_away(bench, asked[i].method, asked[i].target, NULL));
    bench->api.admission = admission_new(bench->loop, NULL, 0);
    for (size_t i = 0; i < ASKED; i++) assert_false(turned_away(bench, asked[i].method, asked[i].target, NULL));
    loop_post(bench->loop, turn_away_on_loop, bench);
    loop_post(bench->loop, stop_on_loop, bench->loop);
    loop_run(bench->loop);
    admission_dismiss(bench->api.admission);
    admission_free(bench->api.admission);
}

/* Where disk and memory differ in what they can do, only who may start the stage is answered by what it needs: anybody
 * else would learn that there is such a stage. */
static void strangers_on_loop(void *arg) {
    struct bench *bench = arg;
    static const struct {
        const char *headers;
        bool starts; /* may this one start the stage? */
    } rows[] = {
        {"Authorization: Bearer test", true},   {NULL, false},
        {"Authorization: Bearer wrong", false}, {"Authorization: Basic test", false},
        {"Authorization: Bearer looks", false}, {"Authorization: Bearer test\nOrigin: http://elsewhere.test", false},
    };
    struct admission *full = bench->api.admission, *idle = bench->api.admission_in_memory;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        bool disk_is_behind = i % 2;
        const char *headers = rows[i / 2].headers;
        bench->api.admission = disk_is_behind ? full : idle;
        bench->api.admission_in_memory = disk_is_behind ? idle : full;
        bool other = turned_away(bench, HTTP_POST, "/stages/other", headers);
        assert_int_equal(other, disk_is_behind);
        if (turned_away(bench, HTTP_POST, "/stages/job", headers) != (rows[i / 2].starts ? !other : other))
            fail_msg("%s, %s", headers, disk_is_behind ? "disk" : "memory");
    }
    struct sent sent[2];
    bench->api.admission = full;
    bench->api.admission_in_memory = idle;
    request(bench, HTTP_POST, "/stages/job", "Authorization: Bearer looks", (struct text){0}, &sent[0]);
    request(bench, HTTP_POST, "/stages/other", "Authorization: Bearer looks", (struct text){0}, &sent[1]);
    assert_int_equal(sent[0].status, 503);
    assert_int_equal(sent[1].status, 503);
    for (size_t i = 0; i < 2; i++) buf_fini(&sent[i].body);
}

static void test_strangers_learn_no_names(void **state) {
    struct bench *bench = *state;
    let_in(bench, "callers = ( { name = \"starter\"; token_sha256 = \"" HEX "\"; start = [ \"job\" ]; },"
                  " { name = \"looker\"; token_sha256 = \"" HEX_OF_LOOKS "\"; see = [ ]; } );");
    struct admission *full = admission_new(bench->loop, NULL, 0), *idle = admission_new(bench->loop, NULL, 60000);
    bench->stage->durable = false;
    bench->api.admission = full;
    bench->api.admission_in_memory = idle;
    loop_post(bench->loop, strangers_on_loop, bench);
    loop_post(bench->loop, stop_on_loop, bench->loop);
    loop_run(bench->loop);
    admission_dismiss(full);
    admission_dismiss(idle);
    admission_free(full);
    admission_free(idle);
}

/* Who has waited, and who is turned away, read the same: what problem_write would have written. */
static void refuse_on_loop(void *arg) {
    struct bench *bench = arg;
    struct sent sent;
    struct fault fault;
    struct buf usual;
    request(bench, HTTP_POST, "/stages/job", NULL, (struct text){0}, &sent);
    assert_int_equal(sent.status, 503);
    fault_set(&fault, FAULT_BUSY, "queue_timeout", "%s", strstr(buf_cstr(&sent.body), "the gateway has"));
    *strchr(fault.what, '"') = 0;
    buf_init(&usual, 4096);
    problem_write(&usual, 503, "busy", fault.what, &fault, 1);
    assert_string_equal(buf_cstr(&sent.body), buf_cstr(&usual));
    buf_fini(&usual);
    buf_fini(&sent.body);
}

static void test_what_is_said_where_there_is_too_much(void **state) {
    struct bench *bench = *state;
    bench->api.admission = admission_new(bench->loop, NULL, 0);
    loop_post(bench->loop, refuse_on_loop, bench);
    loop_post(bench->loop, stop_on_loop, bench->loop);
    loop_run(bench->loop);
    admission_dismiss(bench->api.admission);
    admission_free(bench->api.admission);
}

static void test_a_broken_stage_is_shown(void **state) {
    struct sent sent;
    request(*state, HTTP_GET, "/stages", NULL, (struct text){0}, &sent);
    assert_non_null(strstr(buf_cstr(&sent.body), "\"state\":\"broken\""));
    assert_non_null(strstr(buf_cstr(&sent.body), "stages.d/bad.conf:3"));
    buf_fini(&sent.body);
    request(*state, HTTP_GET, "/webhooks/preconfigured", NULL, (struct text){0}, &sent);
    assert_null(strstr(buf_cstr(&sent.body), "\"bad\""));
    assert_non_null(strstr(buf_cstr(&sent.body), "\"type\":\"job\""));
    buf_fini(&sent.body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_routes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_starts_that_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lists_that_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_is_let_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_is_turned_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strangers_learn_no_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_said_where_there_is_too_much, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_broken_stage_is_shown, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
