/* What browsers may not do on behalf of strangers: tables of Host and Origin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "front/browser.h"

struct row {
    const char *host, *origin; /* NULL: absent */
    enum http_method method;
    const char *public_url;
    bool any_host, passes;
};

static const struct row rows[] = {
    {"127.0.0.1:8095", NULL, HTTP_POST, "", false, true},
    {"localhost", NULL, HTTP_POST, "", false, true},
    {"LOCALHOST:8095", NULL, HTTP_POST, "", false, true},
    {"gw.localhost:1", NULL, HTTP_GET, "", false, true},
    {"[::1]:8095", NULL, HTTP_POST, "", false, true},
    {NULL, NULL, HTTP_POST, "", false, true},
    {"evil.example", NULL, HTTP_GET, "", false, false},
    {"evil.example:8095", NULL, HTTP_POST, "", false, false},
    {"localhost.evil.example", NULL, HTTP_POST, "", false, false},
    {"notlocalhost", NULL, HTTP_POST, "", false, false},
    {"127.0.0.1.evil.example", NULL, HTTP_POST, "", false, false},
    {"gw.example.com", NULL, HTTP_POST, "https://gw.example.com/", false, true},
    {"gw.example.com:8095", NULL, HTTP_POST, "https://GW.example.com", false, true},
    {"gw.example.com.evil.example", NULL, HTTP_POST, "https://gw.example.com", false, false},
    {"gw.ops.svc", NULL, HTTP_POST, "", true, true},
    {"127.0.0.1:8095", "http://evil.example", HTTP_POST, "", false, false},
    {"127.0.0.1:8095", "null", HTTP_POST, "", false, false},
    {"127.0.0.1:8095", "", HTTP_DELETE, "", false, false},
    {"127.0.0.1:8095", "http://127.0.0.1:8096", HTTP_POST, "", false, false},
    {"127.0.0.1:8095", "https://127.0.0.1:8095", HTTP_POST, "", false, false},
    {"127.0.0.1:8095", "http://127.0.0.1:8095", HTTP_POST, "", false, true},
    {"127.0.0.1:8095", "http://evil.example", HTTP_GET, "", false, true},
    {"127.0.0.1:8095", "https://gw.example.com", HTTP_POST, "https://gw.example.com/stagedoor", false, true},
    {"gw.ops.svc", "http://evil.example", HTTP_POST, "", true, false},
};

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        const char *known[HTTP_HEADER_END] = {[HTTP_HEADER_ORIGIN] = row->origin, [HTTP_HEADER_HOST] = row->host};
        struct exchange exchange = {.arena = arena_new(), .method = row->method, .known = known};
        struct browser_rules rules = {row->public_url, row->any_host};
        struct fault fault = {0};
        bool passes = browser_check(&exchange, &rules, &fault);
        if (passes != row->passes) print_error("row %zu: %s, %s\n", i, row->host, row->origin);
        assert_int_equal(passes, row->passes);
        if (!passes) assert_int_equal(fault.kind, FAULT_FORBIDDEN);
        arena_free(exchange.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
