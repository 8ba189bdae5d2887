/* A definition's call and a run's values, as the request that they give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "call/request.h"

enum { ROOT_REQUEST = ROOT_STEPS, ROOT_FIND, ROOTS };

static const char *const root_names[ROOTS] = {
#define X(id, word) [ROOT_##id] = word,
    STAGE_ROOTS(X)
#undef X
        [ROOT_REQUEST] = "request",
    [ROOT_FIND] = "find",
};

static const char *const hosts[] = {"ci.example.com", "artifacts.example.com:8443", "http://plain.example.com"};

/* One stage of two steps; the first has called https://api.example.com/v1/runs?x=1. */
struct bench {
    struct arena *arena;
    struct stage stage;
    struct stage_step steps[2];
    const struct json *roots[ROOTS];
    const char *step_urls[2];
    struct request_source source;
    struct stage_call call;
    struct request request;
    struct fault fault;
};

static const struct json *json_of(struct bench *bench, const char *text) {
    struct json_limits limits = {.max_bytes = 1 << 20, .max_depth = 16, .max_items = 1000};
    const struct json *value = json_parse(bench->arena, text_of(text), &limits, &bench->fault);
    if (!value) fail_msg("%s", bench->fault.what);
    return value;
}

static void bench_init(struct bench *bench) {
    *bench = (struct bench){.arena = arena_new()};
    bench->stage = (struct stage){
        .file = "stages.d/x.conf", .steps = bench->steps, .step_count = 2, .roots = root_names};
    bench->stage.hosts = hosts;
    bench->stage.host_count = sizeof hosts / sizeof *hosts;
    bench->step_urls[0] = "https://api.example.com/v1/runs?x=1";
    bench->source = (struct request_source){
        .stage = &bench->stage, .roots = bench->roots, .step_urls = bench->step_urls};
    bench->call = (struct stage_call){.method = "GET"};
}

static void bench_fini(struct bench *bench) {
    arena_free(bench->arena);
}

static const struct template *template_of(struct bench *bench, const char *source, enum template_place place) {
    struct template_names names = {.roots = root_names, .count = ROOTS};
    struct template_rules rules = {.place = place, .names = &names, .file = "stages.d/x.conf", .line = 1};
    const struct template *made = template_compile(bench->arena, text_of(source), &rules, &bench->fault);
    if (!made) fail_msg("%s: %s", source, bench->fault.what);
    return made;
}

static bool render(struct bench *bench) {
    return request_render(bench->arena, &bench->call, &bench->source, &bench->request, &bench->fault);
}

static void render_well(struct bench *bench) {
    if (!render(bench)) fail_msg("%s: %s", bench->fault.where, bench->fault.what);
}

static const char *header(const struct bench *bench, const char *name) {
    const char *found = NULL;
    for (size_t i = 0; i < bench->request.header_count; i++) {
        if (strcasecmp(bench->request.headers[i].name, name) != 0) continue;
        assert_null(found); /* never twice */
        found = bench->request.headers[i].value;
    }
    return found;
}

static void assert_header(const struct bench *bench, const char *name, const char *value) {
    const char *found = header(bench, name);
    if (!value) {
        assert_null(found);
        return;
    }
    assert_non_null(found);
    assert_string_equal(found, value);
}

/* ---- where it goes ---- */

static const struct url_case {
    const char *url, *parameters, *body; /* templates see parameters, and body as request.body */
    const char *result;                  /* NULL: a fault */
    enum fault_kind kind;
    const char *what;
} url_cases[] = {
    {"https://h.example/a", "{}", "{}", "https://h.example/a", 0, NULL},
    {"https://h.example/a#part", "{}", "{}", "https://h.example/a", 0, NULL},
    {"https://h.example/{{ parameters.p }}?q={{ parameters.q }}", "{\"p\":\"a b/../c\",\"q\":\"1&x=2\"}", "{}",
     "https://h.example/a%20b%2F..%2Fc?q=1%26x%3D2", 0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://api.example.com/v1/runs/7\"}",
     "https://api.example.com/v1/runs/7", 0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"HTTPS://API.example.com:443/7\"}", "HTTPS://API.example.com:443/7",
     0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"/v2/7?a=b#c\"}", "https://api.example.com/v2/7?a=b", 0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"runs/7\"}", "https://api.example.com/v1/runs/7", 0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"?page=2\"}", "https://api.example.com/v1/runs?page=2", 0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"//ci.example.com/7\"}", "https://ci.example.com/7", 0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://CI.example.com/7\"}", "https://CI.example.com/7", 0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://artifacts.example.com:8443/7\"}",
     "https://artifacts.example.com:8443/7", 0, NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"http://plain.example.com/7\"}", "http://plain.example.com/7", 0,
     NULL},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://evil.example/7?k=sesame\"}", NULL, FAULT_FORBIDDEN,
     "hosts = [ \"https://evil.example:443\" ]"},
    {"{{ request.body.next }}", "{}", "{\"next\":\"http://api.example.com/7\"}", NULL, FAULT_FORBIDDEN,
     "http://api.example.com:80"},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://api.example.com:8443/7\"}", NULL, FAULT_FORBIDDEN, ":8443"},
    {"{{ request.body.next }}", "{}", "{\"next\":\"http://ci.example.com/7\"}", NULL, FAULT_FORBIDDEN,
     "http://ci.example.com:80"},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://artifacts.example.com/7\"}", NULL, FAULT_FORBIDDEN, ":443"},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://xci.example.com/7\"}", NULL, FAULT_FORBIDDEN, "xci"},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://ci.example.com.evil.example/7\"}", NULL, FAULT_FORBIDDEN,
     "evil"},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://api.example.com@evil.example/\"}", NULL, FAULT_INVALID, ""},
    {"{{ request.body.next }}", "{}", "{\"next\":\"file:///etc/passwd\"}", NULL, FAULT_INVALID, ""},
    {"{{ request.body.next }}", "{}", "{\"next\":\"https://api.example.com/a\\r\\nsesame: b\"}", NULL, FAULT_INVALID,
     ""},
    {"{{ request.body.next }}", "{}", "{}", NULL, FAULT_UNDEFINED, ""},
    {"{{ find.body.next }}", "{}", "{}", NULL, FAULT_UNDEFINED, "has not had a reply"},
    {"{{ parameters.target }}", "{\"target\":\"https://ci.example.com/x\"}", "{}", "https://ci.example.com/x", 0, NULL},
    {"{{ parameters.target }}", "{\"target\":\"http://plain.example.com/\"}", "{}", "http://plain.example.com/", 0,
     NULL},
    {"{{ parameters.target }}", "{\"target\":\"https://api.example.com/x\"}", "{}", NULL, FAULT_FORBIDDEN,
     "hosts = [ \"https://api.example.com:443\" ]"},
    {"{{ parameters.target }}", "{\"target\":\"http://ci.example.com/x\"}", "{}", NULL, FAULT_FORBIDDEN,
     "hosts = [ \"http://ci.example.com:80\" ]"},
    {"{{ parameters.target }}", "{\"target\":\"/x\"}", "{}", NULL, FAULT_INVALID, ""},
};

static void test_url(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof url_cases / sizeof *url_cases; i++) {
        const struct url_case *c = &url_cases[i];
        struct bench bench;
        bench_init(&bench);
        print_message("  %s %s %s\n", c->url, c->parameters, c->body);
        bench.roots[ROOT_PARAMETERS] = json_of(&bench, c->parameters);
        bench.roots[ROOT_REQUEST] = json_of(&bench, arena_printf(bench.arena, "{\"body\":%s}", c->body));
        bench.roots[ROOT_FIND] = json_of(&bench, "{\"body\":{\"next\":\"/x\"}}");
        bench.call.url = template_of(&bench, c->url, PLACE_URL);
        bench.steps[0].call.url = template_of(&bench, "https://api.example.com/v1/runs?x=1", PLACE_URL);
        if (c->result) {
            render_well(&bench);
            assert_string_equal(bench.request.url, c->result);
        } else {
            assert_false(render(&bench));
            assert_string_equal(fault_word(bench.fault.kind), fault_word(c->kind));
            if (!strstr(bench.fault.what, c->what)) fail_msg("\"%s\" is not in: %s", c->what, bench.fault.what);
            assert_null(strstr(bench.fault.what, "sesame"));
        }
        bench_fini(&bench);
    }
}

/* ---- through what it goes ---- */

static const struct socket_case {
    const char *url, *own, *first, *second; /* the call's own socket, and those of the two steps */
    const char *body, *result;
} socket_cases[] = {
    {"https://h.example/", NULL, "/a", "/b", "{}", NULL}, /* what others have is not ours */
    {"https://h.example/", "/own", NULL, NULL, "{}", "/own"},
    {"{{ request.body.next }}", NULL, NULL, NULL, "{\"next\":\"/x\"}", NULL},
    {"{{ request.body.next }}", NULL, "/a", NULL, "{\"next\":\"/x\"}", "/a"},
    {"{{ request.body.next }}", NULL, "/a", NULL, "{\"next\":\"https://API.example.com:443/x\"}", "/a"},
    {"{{ request.body.next }}", "/own", "/a", NULL, "{\"next\":\"/x\"}", "/own"},
    {"{{ request.body.next }}", NULL, "/a", NULL, "{\"next\":\"https://ci.example.com/x\"}", NULL}, /* listed */
    {"{{ find.body.next }}", NULL, "/a", NULL, "{}", "/a"}, /* of a step whose own URL came from a reply */
    {"{{ find.body.next }}", NULL, "/a", "/b", "{}", "/b"},
    {"{{ find.body.other }}", NULL, "/a", NULL, "{}", NULL},
};

static void test_socket(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof socket_cases / sizeof *socket_cases; i++) {
        const struct socket_case *c = &socket_cases[i];
        struct bench bench;
        bench_init(&bench);
        print_message("  %s %s\n", c->url, c->body);
        bench.step_urls[1] = "https://api.example.com/v1/found";
        bench.steps[0].call = (struct stage_call){
            .url = template_of(&bench, "https://api.example.com/v1/runs", PLACE_URL), .unix_socket = c->first};
        bench.steps[1].call = (struct stage_call){.url = template_of(&bench, "{{ request.body.find }}", PLACE_URL),
                                                  .unix_socket = c->second};
        bench.roots[ROOT_REQUEST] = json_of(&bench, arena_printf(bench.arena, "{\"body\":%s}", c->body));
        bench.roots[ROOT_FIND] = json_of(&bench,
                                         "{\"body\":{\"next\":\"/x\",\"other\":\"http://plain.example.com/\"}}");
        bench.call.url = template_of(&bench, c->url, PLACE_URL);
        bench.call.unix_socket = c->own;
        render_well(&bench);
        if (c->result) assert_string_equal(bench.request.unix_socket, c->result);
        else assert_null(bench.request.unix_socket);
        bench_fini(&bench);
    }
}

/* ---- what it carries ---- */

static void bench_with_url(struct bench *bench) {
    bench_init(bench);
    bench->call.url = template_of(bench, "https://h.example/", PLACE_URL);
    bench->roots[ROOT_PARAMETERS] = json_of(
        bench, "{\"n\":7,\"text\":\"a \\\"b\\\" & c=d\",\"break\":\"a\\r\\nX: b\",\"colon\":\"a:b\",\"empty\":\"\"}");
    bench->roots[ROOT_SECRET] = json_of(bench, "{\"token\":\"sesame\",\"broken\":\"sesame\\nx\"}");
}

static void test_headers(void **state) {
    (void)state;
    struct bench bench;
    bench_with_url(&bench);
    struct stage_header headers[] = {{"X-Text", template_of(&bench, "t={{ parameters.text }}", PLACE_HEADER)},
                                     {"X-Empty", template_of(&bench, "{{ parameters.empty }}", PLACE_HEADER)}};
    bench.call.headers = headers;
    bench.call.header_count = 2;
    bench.source.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    render_well(&bench);
    assert_string_equal(bench.request.method, "GET");
    assert_ptr_equal(bench.request.call, &bench.call);
    assert_ptr_equal(bench.request.hosts, hosts);
    assert_header(&bench, "X-Text", "t=a \"b\" & c=d");
    assert_header(&bench, "X-Empty", "");
    assert_header(&bench, "Accept", "application/json");
    assert_header(&bench, "traceparent", bench.source.traceparent);
    assert_header(&bench, "Content-Type", NULL);
    assert_false(bench.request.has_body);
    bench_fini(&bench);
}

static void test_own_headers_win(void **state) {
    (void)state;
    struct bench bench;
    bench_with_url(&bench);
    struct stage_header headers[] = {{"ACCEPT", template_of(&bench, "text/plain", PLACE_HEADER)},
                                     {"content-type", template_of(&bench, "a/b", PLACE_HEADER)},
                                     {"Traceparent", template_of(&bench, "mine", PLACE_HEADER)}};
    bench.call.headers = headers;
    bench.call.header_count = 3;
    bench.call.body = template_of(&bench, "x", PLACE_TEXT);
    bench.call.content_type = "text/plain";
    bench.source.traceparent = "theirs";
    render_well(&bench);
    assert_header(&bench, "Accept", "text/plain");
    assert_header(&bench, "Content-Type", "a/b");
    assert_header(&bench, "traceparent", "mine");
    bench_fini(&bench);
}

static void test_fixed_url(void **state) {
    (void)state;
    struct bench bench;
    bench_with_url(&bench);
    bench.call.fixed_url = "http://fixed.example/a";
    bench.call.unix_socket = "/run/x";
    render_well(&bench);
    assert_string_equal(bench.request.url, "http://fixed.example/a");
    assert_string_equal(bench.request.unix_socket, "/run/x");
    bench_fini(&bench);
}

static void test_headers_refused(void **state) {
    (void)state;
    static const char *const names[] = {
        "Content-Length", "transfer-encoding", "Connection", "Expect", "X A", "X:A", "X\r\nA", "", "Höst"};
    struct bench bench;
    bench_with_url(&bench);
    struct stage_header one = {.value = template_of(&bench, "sesame", PLACE_HEADER)};
    bench.call.headers = &one;
    bench.call.header_count = 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        one.name = names[i];
        assert_false(render(&bench));
        assert_int_equal(bench.fault.kind, FAULT_INVALID);
    }
    one = (struct stage_header){"X-A", template_of(&bench, "{{ parameters.break }}", PLACE_HEADER)};
    assert_false(render(&bench));
    assert_int_equal(bench.fault.kind, FAULT_INVALID);
    one.value = template_of(&bench, "{{ parameters.break }}", PLACE_TEXT); /* where the template would let it pass */
    assert_false(render(&bench));
    assert_int_equal(bench.fault.kind, FAULT_INVALID);
    assert_non_null(strstr(bench.fault.what, "X-A"));
    bench_fini(&bench);
}

static void test_body(void **state) {
    (void)state;
    struct bench bench;
    bench_with_url(&bench);
    bench.call.method = "POST";
    bench.call.body = template_of(&bench, "{\"n\": {{ parameters.n }}, \"t\": \"{{ parameters.text }}\"}", PLACE_JSON);
    render_well(&bench);
    assert_true(bench.request.has_body);
    assert_true(text_is(bench.request.body, "{\"n\": 7, \"t\": \"a \\\"b\\\" & c=d\"}"));
    assert_header(&bench, "Content-Type", "application/json");
    bench.call.content_type = "application/vnd.x+json";
    render_well(&bench);
    assert_header(&bench, "Content-Type", "application/vnd.x+json");
    bench_fini(&bench);
}

/* The signature was made by another program. */
static void test_headers_sign_the_body(void **state) {
    (void)state;
    struct bench bench;
    bench_with_url(&bench);
    struct stage_header headers[] = {
        {"X-Hub-Signature-256", template_of(&bench, "sha256={{ body | hmac_sha256(secret.token) }}", PLACE_HEADER)}};
    bench.call.headers = headers;
    bench.call.header_count = 1;
    bench.call.body = template_of(&bench, "{\"n\": {{ parameters.n }}}", PLACE_JSON);
    render_well(&bench);
    assert_header(&bench, "X-Hub-Signature-256",
                  "sha256=9a34c02ec7ac6c2a17485ef861c11c5da18620e138f1335c24581ce724f9a985");
    bench_fini(&bench);
}

static void test_form(void **state) {
    (void)state;
    struct bench bench;
    bench_with_url(&bench);
    struct stage_header form[] = {{"a b", template_of(&bench, "{{ parameters.text }}", PLACE_FORM)},
                                  {"n", template_of(&bench, "{{ parameters.n }}", PLACE_FORM)},
                                  {"e", template_of(&bench, "{{ parameters.empty }}", PLACE_FORM)}};
    bench.call.form = form;
    bench.call.form_count = 3;
    render_well(&bench);
    assert_true(bench.request.has_body);
    assert_true(text_is(bench.request.body, "a%20b=a+%22b%22+%26+c%3Dd&n=7&e=") ||
                text_is(bench.request.body, "a%20b=a%20%22b%22%20%26%20c%3Dd&n=7&e="));
    assert_header(&bench, "Content-Type", "application/x-www-form-urlencoded");
    bench_fini(&bench);
}

static void test_body_too_large(void **state) {
    (void)state;
    struct bench bench;
    bench_with_url(&bench);
    char *large = arena_alloc(bench.arena, REQUEST_MAX_BYTES + 1);
    memset(large, 'x', REQUEST_MAX_BYTES);
    struct json *parameters = json_new_object(bench.arena);
    json_set(parameters, "large", json_new_string(bench.arena, large));
    bench.roots[ROOT_PARAMETERS] = parameters;
    bench.call.body = template_of(&bench, "{{ parameters.large }}", PLACE_TEXT);
    render_well(&bench);
    assert_int_equal(bench.request.body.len, REQUEST_MAX_BYTES);
    bench.call.body = template_of(&bench, "{{ parameters.large }}y", PLACE_TEXT);
    assert_false(render(&bench));
    assert_int_equal(bench.fault.kind, FAULT_TOO_LARGE);
    struct stage_header form = {"f", template_of(&bench, "{{ parameters.large }}", PLACE_FORM)};
    bench.call.body = NULL;
    bench.call.form = &form;
    bench.call.form_count = 1;
    assert_false(render(&bench));
    assert_int_equal(bench.fault.kind, FAULT_TOO_LARGE);
    bench.call.form_count = 0;
    bench.call.url = template_of(&bench, "https://h.example/{{ parameters.large }}", PLACE_URL);
    assert_false(render(&bench));
    assert_int_equal(bench.fault.kind, FAULT_TOO_LARGE);
    bench_fini(&bench);
}

static void test_auth(void **state) {
    (void)state;
    struct bench bench;
    bench_with_url(&bench);
    struct stage_auth *auth = &bench.call.auth;
    *auth = (struct stage_auth){AUTH_BEARER, NULL, NULL, template_of(&bench, "{{ secret.token }}", PLACE_HEADER)};
    render_well(&bench);
    assert_int_equal(bench.request.auth, AUTH_BEARER);
    assert_string_equal(bench.request.token, "sesame");
    assert_header(&bench, "Authorization", NULL); /* apart from the headers */
    *auth = (struct stage_auth){AUTH_BASIC, template_of(&bench, "user", PLACE_HEADER),
                                template_of(&bench, "{{ secret.token }}", PLACE_HEADER), NULL};
    render_well(&bench);
    assert_string_equal(bench.request.user, "user");
    assert_string_equal(bench.request.password, "sesame");
    auth->user = template_of(&bench, "{{ parameters.colon }}", PLACE_HEADER);
    assert_false(render(&bench));
    assert_int_equal(bench.fault.kind, FAULT_INVALID);
    *auth = (struct stage_auth){AUTH_BEARER, NULL, NULL, template_of(&bench, "{{ secret.broken }}", PLACE_HEADER)};
    assert_false(render(&bench));
    assert_null(strstr(bench.fault.what, "sesame"));
    auth->token = template_of(&bench, "{{ secret.broken }}", PLACE_TEXT);
    assert_false(render(&bench));
    assert_int_equal(bench.fault.kind, FAULT_INVALID);
    assert_null(strstr(bench.fault.what, "sesame"));
    bench_fini(&bench);
}

static void test_idempotency_key(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench);
    bench.call.url = template_of(&bench, "https://a.example/", PLACE_URL);
    bench.source.idempotency_key = "k-1";
    render_well(&bench);
    assert_header(&bench, "Idempotency-Key", NULL); /* only where the definition says so */
    bench.call.idempotency_header = "X-Key";
    render_well(&bench);
    assert_header(&bench, "X-Key", "k-1");
    bench_fini(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idempotency_key),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_own_headers_win),
        cmocka_unit_test(test_fixed_url),
        cmocka_unit_test(test_headers_refused),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_headers_sign_the_body),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_body_too_large),
        cmocka_unit_test(test_auth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
