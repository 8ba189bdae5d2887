/* Definitions: every broken one of tests/broken gives exactly the mistakes that its head announces, and those of
 * tests/good compile to what they say, also from what a run pins. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/conf_file.h"
#include "stage/fields.h"
#include "stage/stage.h"

static char home[1024];

static bool knows(void *arg, const char *name) {
    (void)arg;
    return strcmp(name, "known") == 0 || strcmp(name, "loadtest_token") == 0;
}

static const struct stage_context context = {.templates = "templates", .secret_known = knows};

static void enter(const char *directory) {
    assert_int_equal(chdir(home), 0);
    assert_int_equal(chdir(directory), 0);
}

static bool is_definition(const char *name) {
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

/* The lines "# PLACE: message" at the head, one after the other; PLACE is a line of this file, or file:line. */
static const char *expected_of(struct arena *arena, const char *file) {
    struct text text, line;
    struct buf out;
    assert_true(conf_disk.read(NULL, arena, file, &text, NULL));
    buf_init(&out, 1 << 16);
    while (text_cut(&text, '\n', &line) && text_starts(line, "# ")) {
        line = (struct text){line.at + 2, line.len - 2};
        if (line.at[0] >= '0' && line.at[0] <= '9') buf_addf(&out, "%s:", file);
        buf_addf(&out, "%.*s\n", TEXT_ARG(line));
    }
    const char *expected = arena_strdup(arena, buf_cstr(&out));
    buf_fini(&out);
    return expected;
}

static const char *found_in(struct arena *arena, const char *file) {
    struct faults faults;
    struct buf out;
    faults_init(&faults);
    buf_init(&out, 1 << 16);
    struct stage *stage = stage_load(file, &context, &faults);
    assert_null(stage);
    for (size_t i = 0; i < faults.count; i++) buf_addf(&out, "%s: %s\n", faults.items[i].where, faults.items[i].what);
    const char *found = arena_strdup(arena, buf_cstr(&out));
    buf_fini(&out);
    faults_fini(&faults);
    return found;
}

static void test_broken(void **state) {
    (void)state;
    enter("tests/broken");
    DIR *dir = opendir(".");
    assert_non_null(dir);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (!is_definition(entry->d_name)) continue;
        struct arena *arena = arena_new();
        const char *expected = expected_of(arena, entry->d_name);
        assert_true(expected[0]);
        assert_string_equal(found_in(arena, entry->d_name), expected);
        arena_free(arena);
        count++;
    }
    closedir(dir);
    assert_true(count >= 60);
}

static struct stage *load(const char *file) {
    struct faults faults;
    faults_init(&faults);
    struct stage *stage = stage_load(file, &context, &faults);
    for (size_t i = 0; i < faults.count; i++) print_message("%s: %s\n", faults.items[i].where, faults.items[i].what);
    faults_fini(&faults);
    assert_non_null(stage);
    return stage;
}

static const char *rendered(struct arena *arena, const struct template *t) {
    const struct json *roots[ROOT_STEPS + STAGE_STEPS_MAX] = {NULL};
    struct buf out;
    struct fault fault;
    buf_init(&out, 1 << 16);
    if (!template_render(t, roots, &out, &fault)) print_message("%s\n", fault.what);
    const char *s = arena_strdup(arena, buf_cstr(&out));
    buf_fini(&out);
    return s;
}

static void test_two_steps(void **state) {
    (void)state;
    enter("tests/good");
    struct stage *s = load("load-test.conf");
    struct arena *arena = arena_new();
    size_t root;
    assert_string_equal(s->name, "load-test");
    assert_string_equal(s->file, "load-test.conf");
    assert_int_equal(s->param_count, 3);
    assert_int_equal(s->params[1].type, PARAM_INTEGER);
    assert_int_equal(json_int(s->params[1].preset), 50);
    assert_true(s->params[1].maximum == 5000);
    assert_int_equal(s->step_count, 2);
    const struct stage_step *request = &s->steps[0], *status = &s->steps[1];
    assert_string_equal(request->name, "request");
    assert_string_equal(request->call.method, "POST");
    assert_string_equal(rendered(arena, request->call.url), "https://loadtest.example.com/api/runs");
    assert_int_equal(request->call.auth.kind, AUTH_BEARER);
    assert_string_equal(request->call.content_type, "application/json");
    assert_non_null(request->call.body);
    assert_true(code_set_holds(&request->call.expect, 201) && !code_set_holds(&request->call.expect, 200));
    assert_false(request->call.idempotent);
    assert_false(request->rules.exist);
    assert_int_equal(request->timeout_ms, 0);
    assert_string_equal(status->call.method, "GET");
    assert_true(status->call.idempotent && status->rules.exist);
    assert_int_equal(status->every_ms, 5000);
    assert_int_equal(status->timeout_ms, 3600 * 1000);
    assert_true(s->durable);
    assert_true(template_is_whole_url(status->call.url, &root) && root == ROOT_STEPS);
    assert_string_equal(jsonpath_source(status->rules.value), "$.state");
    assert_int_equal(status->rules.failure.count, 2);
    assert_string_equal(status->rules.failure.items[1], "error");
    assert_string_equal(s->cancel->call.method, "DELETE");
    assert_int_equal(s->cancel_needs, 1);
    assert_int_equal(s->output_count, 2);
    assert_string_equal(s->outputs[1].name, "p99_ms");
    assert_string_equal(s->roots[ROOT_STEPS + 1], "status");
    assert_int_equal(s->warning_count, 0);
    arena_free(arena);
    stage_unref(s);
}

/* A URL into which nothing goes is known at once, and is what rendering it would give, but for a fragment. */
static struct stage *compiled(const char *definition) {
    struct arena *arena = arena_new();
    struct json *source = json_new_object(arena);
    struct faults faults;
    struct buf text;
    json_set(source, "file", json_new_string(arena, "x.conf"));
    json_set(source, "text", json_new_string(arena, definition));
    buf_init(&text, 4096);
    json_write(&text, source);
    faults_init(&faults);
    struct stage *stage = stage_load_source(buf_cstr(&text), &context, &faults);
    if (!stage) fail_msg("%s: %s: %s", definition, faults.items[0].where, faults.items[0].what);
    faults_fini(&faults);
    buf_fini(&text);
    arena_free(arena);
    return stage;
}

static void test_fixed_urls(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"http://h/", "http://h/"},
                                          {"https://h:8443/a?b=c#part", "https://h:8443/a?b=c"},
                                          {"http://h{# why #}/a%20b", "http://h/a%20b"},
                                          {"http://h/{{ 'a b' }}", "http://h/a%20b"},
                                          {"http://h/{% if true %}x{% endif %}", "http://h/x"},
                                          {"http://h/{{ run.id }}", NULL},
                                          {"http://h/?at={{ now }}", NULL},
                                          {"http://h/{{ secret.loadtest_token }}", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char definition[200];
        snprintf(definition, sizeof definition, "name = \"x\"; request = { url = \"%s\"; };", rows[i][0]);
        struct stage *stage = compiled(definition);
        const char *fixed = stage->steps[0].call.fixed_url;
        assert_int_equal(fixed != NULL, rows[i][1] != NULL);
        if (fixed) assert_string_equal(fixed, rows[i][1]);
        stage_unref(stage);
    }
}

/* Sorted as they come, and with a space between them. */
static const char *wanted_of(struct arena *arena, const struct json_wanted *wanted) {
    const char *names = "";
    if (wanted->all) return "all";
    for (const struct json_name *name = wanted->names; name; name = name->next)
        names = arena_printf(arena, "%.*s%s%s", TEXT_ARG(name->text), *names ? " " : "", names);
    return names;
}

/* What anything looks at in the body of the reply to `a`, which `b` follows. */
static void test_wanted(void **state) {
    (void)state;
    static const struct {
        const char *of_a, *of_b, *of_all, *wanted;
    } rows[] = {
        {"", "", "", ""},
        {"value = \"$.state\"; success = [ \"done\" ]; progress = \"$.percent.now\"; message = \"$.state\";", "", "",
         "state percent"},
        {"value = \"$.state\"; success = [ \"done\" ]; error = \"$.error[0]\"; retry_after = \"$.later\";", "", "",
         "state later error"},
        {"outputs = { x = \"$.jobs[*].name\"; y = \"{{ code }}\"; };", "", "", "jobs"},
        {"outputs = { x = \"$.jobs[?@.ok == $.ok].name\"; };", "", "", "all"},
        {"outputs = { x = \"$..name\"; };", "", "", "all"},
        {"success_when = \"body.x.y == 'done' and body['z'] is defined\";", "", "", "x z"},
        {"success_when = \"'x' in body\";", "", "", "all"},
        {"outputs = { x = \"{{ a.body.x }}\"; };", "", "", "x"},
        {"artifacts = ( { type = \"x\"; name = \"$.tag\"; } );", "", "", "tag"},
        {"artifacts = \"$.made\";", "", "", "made"},
        {"headers = { X = \"{{ body | length }}\"; }; method = \"POST\"; body = \"{}\";", "", "", ""},
        {"", "body = \"{{ a.body.id }}{{ a.code }}\"; content_type = \"text/plain\"; method = \"POST\";", "", "id"},
        {"", "when = \"a.body.queue\"; value = \"$.of_b\"; success = [ \"done\" ];", "", "queue"},
        {"", "success_when = \"body.of_b and a.body.id\";", "", "id"},
        {"", "body = \"{{ a.body }}\"; content_type = \"text/plain\"; method = \"POST\";", "", "all"},
        {"", "body = \"{{ a[parameters.p].x }}\"; content_type = \"text/plain\"; method = \"POST\";", "", "all"},
        {"", "", "outputs = { x = \"$.last\"; y = \"{{ a.body.id }}\"; };", "last id"},
        {"", "", "outputs = { x = \"{{ body.last }}\"; };", "last"},
        {"", "", "artifacts = ( { type = \"x\"; name = \"$.tag\"; } );", "tag"},
        {"", "", "cancel = { url = \"http://h/{{ a.body.id }}\"; };", "id"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct stage *stage = compiled(arena_printf(
            arena,
            "name = \"x\"; parameters = ( { name = \"p\"; type = \"string\"; } ); steps = ( { name = \"a\"; url = "
            "\"http://h/\"; %s }, { name = \"b\"; url = \"http://h/\"; %s } ); %s",
            rows[i].of_a, rows[i].of_b, rows[i].of_all));
        const char *wanted = wanted_of(arena, stage->steps[0].call.wanted);
        if (strcmp(wanted, rows[i].wanted) != 0) fail_msg("row %zu: %s", i, wanted);
        stage_unref(stage);
        arena_free(arena);
    }
}

static void test_threshold(void **state) {
    (void)state;
    enter("tests/good");
    struct stage *s = load("prometheus-gate.conf");
    struct arena *arena = arena_new();
    assert_int_equal(s->step_count, 1);
    assert_string_equal(s->steps[0].call.method, "GET");
    assert_true(s->steps[0].rules.exist);
    assert_true(template_uses(s->steps[0].rules.at_most, ROOT_PARAMETERS));
    assert_string_equal(rendered(arena, s->steps[0].rules.at_least), "-1.5");
    assert_int_equal(s->steps[0].timeout_ms, 600 * 1000);
    arena_free(arena);
    stage_unref(s);
}

static void test_steps(void **state) {
    (void)state;
    enter("tests/good");
    struct stage *s = load("labels.conf");
    assert_int_equal(s->step_count, 2);
    assert_string_equal(s->steps[0].name, "manifest");
    assert_string_equal(s->steps[0].call.method, "GET");
    assert_int_equal(s->steps[0].output_count, 1);
    assert_int_equal(s->steps[1].call.follow_redirects, 5);
    assert_int_equal(s->steps[1].call.max_reply_bytes, 8 << 20);
    assert_true(template_uses(s->steps[1].call.url, ROOT_STEPS));
    assert_null(s->cancel);
    stage_unref(s);
}

static void test_in_doubt(void **state) {
    (void)state;
    enter("tests/good");
    static const struct {
        bool idempotent;
        enum stage_doubt in_doubt;
        const char *header;
    } rows[] = {{false, DOUBT_PROBE, NULL},
                {false, DOUBT_FAIL, NULL},
                {false, DOUBT_RESEND, NULL},
                {true, DOUBT_FAIL, "Idempotency-Key"},
                {true, DOUBT_RESEND, "X-Request-Id"},
                {true, DOUBT_RESEND, NULL},
                {false, DOUBT_PROBE, NULL}};
    struct stage *s = load("in-doubt.conf");
    assert_int_equal(s->step_count, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < s->step_count; i++) {
        const struct stage_step *step = &s->steps[i];
        if (step->call.idempotent != rows[i].idempotent || step->in_doubt != rows[i].in_doubt)
            fail_msg("%s", step->name);
        if (rows[i].header) assert_string_equal(step->call.idempotency_header, rows[i].header);
        else assert_null(step->call.idempotency_header);
    }
    const struct stage_probe *probe = s->steps[0].probe;
    assert_true(probe->step.call.idempotent);
    assert_string_equal(probe->step.call.method, "GET");
    assert_int_equal(probe->step.not_found_grace_ms, 20000);
    assert_int_equal(probe->step.call.retry_attempts, 9);
    assert_string_equal(jsonpath_source(probe->found.path), "$.items[0]");
    assert_false(probe->step.rules.use_roots);
    probe = s->steps[6].probe;
    assert_string_equal(jsonpath_source(probe->step.rules.error_path), "$.errors[0].message");
    assert_string_equal(probe->step.rules.error_when.source, "body.errors");
    assert_true(probe->step.rules.use_roots && !probe->step.rules.exist);
    assert_int_equal(probe->step.call.retry_attempts, 5);
    const struct stage_step *fallback = s->cancel_fallback;
    assert_true(s->cancel->call.idempotent && fallback->call.idempotent);
    assert_int_equal(s->cancel->call.retry_attempts, 0);
    assert_int_equal(fallback->call.retry_attempts, 4);
    assert_string_equal(jsonpath_source(s->cancel->rules.error_path), "$.errors[0].message");
    assert_string_equal(fallback->rules.error_when.source, "not body.ok");
    assert_null(fallback->rules.error_path);
    stage_unref(s);
}

static void test_log(void **state) {
    (void)state;
    enter("tests/good");
    struct stage *s = load("log.conf");
    static const struct stage_capture wanted[] = {{true, FRAMING_BY_TYPE, MISSING_WARN},
                                                  {true, FRAMING_BY_TYPE, MISSING_WARN},
                                                  {true, FRAMING_DOCKER, MISSING_FAIL},
                                                  {true, FRAMING_NONE, MISSING_IGNORE}};
    assert_int_equal(s->step_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(s->steps[i].capture.properties);
        assert_int_equal(s->steps[i].capture.framing, wanted[i].framing);
        assert_int_equal(s->steps[i].capture.missing, wanted[i].missing);
        assert_false(s->steps[i].rules.exist);
    }
    stage_unref(s);
}

static void check_everything(const struct stage *s) {
    const struct stage_call *call = &s->steps[0].call;
    const struct stage_rules *rules = &s->steps[1].rules;
    assert_string_equal(s->name, "everything.1_x");
    assert_null(s->disabled); /* its secrets are known */
    assert_int_equal(s->timeout_ms, 2 * 3600 * 1000);
    assert_false(s->durable);
    assert_int_equal(s->permissions.read.count, 2);
    assert_string_equal(s->permissions.write.items[0], "ops");
    assert_int_equal(s->host_count, 3);
    assert_int_equal(s->param_count, 9);
    assert_int_equal(json_int(s->params[1].preset), 7);
    assert_int_equal(json_size(s->params[6].preset), 2);
    assert_int_equal(s->params[8].type, PARAM_SECRET);
    assert_true(s->params[8].required);
    assert_string_equal(call->method, "PUT");
    assert_false(call->idempotent);
    assert_int_equal(call->header_count, 2);
    assert_string_equal(call->headers[0].name, "X.Key");
    assert_string_equal(call->content_type, "application/vnd.api+json");
    assert_int_equal(call->auth.kind, AUTH_BASIC);
    assert_true(call->tls.insecure);
    assert_string_equal(call->tls.ca, "common.inc");
    assert_string_equal(call->tls.key, "common.inc");
    assert_true(code_set_holds(&call->expect, 409));
    assert_true(rules->exist && rules->use_roots);
    assert_true(template_uses(rules->success_when.holds, ROOT_HEADERS));
    assert_string_equal(rules->failure_when.source, "body.failed | default(0) > 0");
    assert_non_null(rules->canceled_when.holds);
    assert_true(template_uses(rules->running_when.holds, ROOT_STEPS));
    assert_non_null(rules->warn_when.holds);
    assert_non_null(rules->error_when.holds);
    assert_string_equal(jsonpath_source(rules->error_path), "$.errors[0].message");
    assert_null(rules->error);
    assert_int_equal(rules->success_for_ms, 120000);
    assert_int_equal(rules->success_polls, 0);
    assert_int_equal(call->connect_timeout_ms, 1000);
    assert_int_equal(call->call_timeout_ms, 2000);
    assert_int_equal(call->max_reply_bytes, 1000);
    assert_int_equal(call->follow_redirects, 3);
    assert_int_equal(call->retry_attempts, 4);
    assert_int_equal(call->retry_delay_ms, 10);
    assert_int_equal(call->retry_max_delay_ms, 20);
    assert_null(call->unix_socket);
    assert_string_equal(s->steps[1].call.unix_socket, "/run/everything.sock");
    assert_int_equal(s->steps[1].timeout_ms, 0);
    assert_int_equal(s->steps[1].not_found_grace_ms, 10000);
    assert_true(rules->unknown_fails);
    assert_string_equal(rules->failure.items[0], "bad");
    assert_string_equal(rules->running.items[1], "2");
    assert_string_equal(rules->warn.items[2], "true");
    assert_int_equal(s->steps[1].output_count, 1);
    assert_string_equal(s->cancel->call.method, "POST");
    assert_int_equal(s->cancel->call.form_count, 1);
    assert_string_equal(s->cancel->call.content_type, "application/x-www-form-urlencoded");
    assert_int_equal(s->cancel_timeout_ms, 120 * 1000);
    assert_string_equal(s->cancel_fallback->call.method, "DELETE");
    assert_true(code_set_holds(&s->cancel_fallback->call.expect, 204));
    assert_int_equal(s->cancel_needs, 1);
    assert_int_equal(s->output_count, 3);
    assert_non_null(s->outputs[0].path);
    assert_non_null(s->outputs[2].expression);
    assert_int_equal(s->warning_count, 2);
    assert_int_equal(s->limits->concurrency, 5);
    assert_true(s->limits->per_second > 4.99 && s->limits->per_second < 5.01);
    assert_int_equal(s->limits->queue, 0);
    assert_int_equal(s->limits->gap_ms, 0); /* that is of calls */
    assert_int_equal(s->call_limits->gap_ms, 250);
    assert_int_equal(s->call_limits->breaker.window_ms, 120000);
    assert_int_equal(s->call_limits->breaker.minimum, 3);
    assert_int_equal(s->call_limits->breaker.pause_ms, 10000);
    assert_true(s->call_limits->breaker.ratio > 0.249 && s->call_limits->breaker.ratio < 0.251);
    assert_int_equal(s->dedup->on_duplicate, DUPLICATE_SUPERSEDE);
    assert_true(template_uses(s->dedup->key, ROOT_CALLER));
    assert_string_equal(s->warnings[0].where, "everything.conf:29");
    assert_non_null(strstr(s->warnings[0].what, "not verified"));
    assert_string_equal(s->warnings[1].where, "everything.conf:48");
    assert_non_null(strstr(s->warnings[1].what, "use https"));
}

static void test_callbacks(void **state) {
    (void)state;
    enter("tests/good");
    struct stage *s = load("callbacks.conf");
    const struct stage_step *ask = &s->steps[0], *early = &s->steps[1], *approval = &s->steps[2], *build = &s->steps[3];
    assert_int_equal(ask->callback_step, 0);
    assert_int_equal(ask->callback->timeout_ms, 2 * 24 * 3600 * 1000);
    assert_int_equal(ask->timeout_ms, 0);
    assert_int_equal(ask->callback->verify, VERIFY_STANDARD_WEBHOOKS);
    assert_true(ask->callback->rules.exist && ask->callback->rules.progress && !ask->rules.exist);
    assert_true(template_uses(ask->probe->step.call.url, ROOT_CALLBACK));
    assert_string_equal(jsonpath_source(ask->probe->step.call.retry_after), "$.seconds");
    assert_null(ask->call.retry_after);
    assert_int_equal(early->callback_step, 2); /* the next one that waits */
    assert_null(early->callback);
    assert_int_equal(early->timeout_ms, 0);
    assert_null(approval->call.url);
    assert_true(approval->call.idempotent);
    assert_int_equal(approval->callback_step, STAGE_STEPS_MAX);
    assert_int_equal(approval->callback->verify, VERIFY_BEARER);
    assert_true(approval->callback->rules.use_roots);
    assert_int_equal(approval->callback->timeout_ms, 0);
    assert_int_equal(build->callback_step, 3);
    assert_int_equal(build->callback->verify, VERIFY_GITHUB);
    assert_true(build->callback->hint && !build->callback->rules.exist && build->rules.exist);
    assert_int_equal(s->steps[4].callback_step, STAGE_STEPS_MAX);
    stage_unref(s);
}

/* A gateway that has no URL to tell can wait for nobody. A run that waits already may go on. */
static void test_callbacks_to_nowhere(void **state) {
    (void)state;
    enter("tests/good");
    struct stage_context nowhere = {.templates = "templates", .secret_known = knows, .no_callbacks = true};
    struct faults faults;
    faults_init(&faults);
    assert_null(stage_load("callbacks.conf", &nowhere, &faults));
    assert_int_equal(faults.count, 3);
    assert_string_equal(faults.items[0].where, "callbacks.conf:6");
    assert_string_equal(faults.items[0].what,
                        "nobody could call back: the gateway has no address of its own to tell; set public_url");
    faults_fini(&faults);
    faults_init(&faults);
    struct stage *s = stage_load("load-test.conf", &nowhere, &faults);
    assert_non_null(s);
    stage_unref(s);
    faults_fini(&faults);
}

static void test_everything(void **state) {
    (void)state;
    enter("tests/good");
    struct stage *s = load("everything.conf");
    check_everything(s);
    stage_unref(s);
}

/* What a run pins compiles to the same where none of the files is there any more (but those of TLS). */
static void test_pinned(void **state) {
    (void)state;
    static const char *const files[] = {"parts.conf", "load-test.conf", "labels.conf", "prometheus-gate.conf",
                                        "everything.conf"};
    for (size_t i = 0; i < 5; i++) {
        struct faults faults;
        faults_init(&faults);
        enter("tests/good");
        struct stage *first = load(files[i]);
        struct stage_context blind = {.templates = "/nonexistent", .secret_known = knows};
        if (i < 4) enter("/");
        struct stage *again = stage_load_source(first->source, &blind, &faults);
        assert_non_null(again);
        assert_string_equal(stage_hash(again), stage_hash(first));
        assert_string_equal(again->source, first->source);
        if (i == 0) assert_non_null(strstr(first->source, "part/run.txt"));
        if (i == 4) check_everything(again);
        stage_unref(again);
        stage_unref(first);
        faults_fini(&faults);
    }
}

static void test_pinned_is_checked(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "{\"file\":\"x\"}",
                                      "{\"file\":\"x\",\"text\":\"name = 1;\"}",
                                      "{\"file\":\"x\",\"text\":\"@include \\\"y\\\"\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct faults faults;
        faults_init(&faults);
        assert_null(stage_load_source(bad[i], &context, &faults));
        assert_true(faults.count > 0);
        faults_fini(&faults);
    }
}

/* docs/definitions.md holds the tables between its markers. */
static void test_docs(void **state) {
    (void)state;
    struct buf reference;
    struct arena *arena = arena_new();
    struct text docs;
    enter(".");
    buf_init(&reference, 1 << 20);
    fields_print_reference(&reference);
    assert_true(conf_disk.read(NULL, arena, "docs/definitions.md", &docs, NULL));
    const char *begin = strstr(docs.at, "<!-- begin: settings -->\n"), *end = strstr(docs.at, "<!-- end: settings -->");
    assert_true(begin && end);
    begin = strchr(begin, '\n') + 1;
    assert_int_equal(end - begin, reference.len);
    assert_memory_equal(begin, reference.at, reference.len);
    buf_fini(&reference);
    arena_free(arena);
}

static int setup(void **state) {
    (void)state;
    return getcwd(home, sizeof home) ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_two_steps),
        cmocka_unit_test(test_fixed_urls),
        cmocka_unit_test(test_wanted),
        cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_in_doubt),
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_callbacks_to_nowhere),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_pinned),
        cmocka_unit_test(test_pinned_is_checked),
        cmocka_unit_test(test_docs),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
