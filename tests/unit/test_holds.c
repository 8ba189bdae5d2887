/* Holds: who has to wait for whom, by tables; and that the table neither grows without end nor holds for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "call/asked.h"
#include "run/holds.h"
#include "run_rig.h"

#define NOW 1795429692000 /* 2026-11-23T10:28:12Z */

static const struct reply_header soon = {"Retry-After", "60"};

static struct reply refusal(int code, const struct reply_header *header, const char *url) {
    return (struct reply){
        .phase = REPLY_ANSWERED, .code = code, .headers = header, .header_count = header ? 1 : 0, .url = url};
}

/* The clocks, where nobody has set one. */
static struct holds_now at(int64_t now_ms) {
    return (struct holds_now){.wall_ms = now_ms, .mono_ms = now_ms - NOW + 5000};
}

static void note(struct holds *holds, const struct request *request, const struct reply *reply) {
    struct holds_now now = at(NOW);
    holds_note(holds, request, reply, &now);
}

static int64_t until_at(struct holds *holds, const struct request *request, struct holds_now now,
                        const char **ret_said) {
    static char said[500];
    struct arena *arena = arena_new();
    const char *why = NULL;
    int64_t until_ms = holds_until_ms(holds, arena, request, &now, 0, &why);
    snprintf(said, sizeof said, "%s", why ? why : "");
    if (ret_said) *ret_said = said;
    arena_free(arena);
    return until_ms;
}

static int64_t until(struct holds *holds, const struct request *request, int64_t now_ms, const char **ret_said) {
    return until_at(holds, request, at(now_ms), ret_said);
}

static void test_host_and_credential(void **state) {
    (void)state;
    struct stage *stage = rig_stage(
        "name = \"s\"; request = { url = \"http://up.test/\"; headers = { Api_Key = \"{{ "
        "secret.key }}\"; X_Other = \"{{ run.id }}\"; Authorization = \"{{ run.key }}\"; }; };");
    const struct stage_call *with_key = &stage->steps[0].call;
    static const struct stage_call plain = {0}, socket = {.unix_socket = "/run/a.sock"};
    struct request_header first[] = {{"Api_Key", "one"}, {"X_Other", "a"}},
                          same[] = {{"Api_Key", "one"}, {"X_Other", "b"}},
                          other[] = {{"Api_Key", "two"}, {"X_Other", "a"}},
                          caller[] = {{"Api_Key", "one"}, {"Authorization", "a"}},
                          another[] = {{"Api_Key", "one"}, {"Authorization", "b"}};
    const struct {
        struct request asked, next;
        bool held;
    } rows[] = {
        {{.url = "https://a.test/x", .call = &plain}, {.url = "https://A.test:443/y?z", .call = &plain}, true},
        {{.url = "https://a.test/x", .call = &plain}, {.url = "https://b.test/x", .call = &plain}, false},
        {{.url = "https://a.test/x", .call = &plain}, {.url = "https://a.test/x", .call = &socket}, false},
        {{.url = "https://a.test/x", .call = &plain}, {.url = "https://a.test:444/x", .call = &plain}, false},
        {{.url = "https://a.test/x", .call = &plain}, {.url = "http://a.test:443/x", .call = &plain}, false},
        {{.url = "https://a.test/", .call = &plain, .auth = AUTH_BEARER, .token = "t"},
         {.url = "https://a.test/", .call = &plain, .auth = AUTH_BEARER, .token = "t"},
         true},
        {{.url = "https://a.test/", .call = &plain, .auth = AUTH_BEARER, .token = "t"},
         {.url = "https://a.test/", .call = &plain, .auth = AUTH_BEARER, .token = "u"},
         false},
        {{.url = "https://a.test/", .call = &plain, .auth = AUTH_BEARER, .token = "t"},
         {.url = "https://a.test/", .call = &plain},
         false},
        {{.url = "https://a.test/", .call = &plain, .auth = AUTH_BASIC, .user = "u", .password = "p"},
         {.url = "https://a.test/", .call = &plain, .auth = AUTH_BASIC, .user = "u", .password = "q"},
         false},
        {{.url = "https://a.test/", .call = with_key, .headers = first, .header_count = 2},
         {.url = "https://a.test/", .call = with_key, .headers = same, .header_count = 2},
         true},
        {{.url = "https://a.test/", .call = with_key, .headers = first, .header_count = 2},
         {.url = "https://a.test/", .call = with_key, .headers = other, .header_count = 2},
         false},
        {{.url = "https://a.test/", .call = with_key, .headers = caller, .header_count = 2},
         {.url = "https://a.test/", .call = with_key, .headers = another, .header_count = 2},
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct holds holds = {0};
        const char *said;
        struct reply reply = refusal(429, &soon, rows[i].asked.url);
        assert_int_equal(until(&holds, &rows[i].next, NOW, &said), 0);
        note(&holds, &rows[i].asked, &reply);
        int64_t until_ms = until(&holds, &rows[i].next, NOW, &said);
        if (until_ms != (rows[i].held ? NOW + 60000 : 0)) fail_msg("row %zu: %lld", i, (long long)until_ms);
        holds_fini(&holds);
    }
    stage_unref(stage);
}

static void test_what_holds(void **state) {
    (void)state;
    static const struct stage_call call = {0};
    static const struct reply_header none_left[] = {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "60"}};
    const struct request request = {.url = "https://a.test/", .call = &call};
    const struct {
        struct reply reply;
        const char *said; /* NULL: nobody is held */
    } rows[] = {
        {refusal(429, &soon, request.url), "waiting until 2026-11-23T10:29:12Z, as a.test asked with its answer 429"},
        {refusal(503, &soon, request.url), "waiting until 2026-11-23T10:29:12Z, as a.test asked with its answer 503"},
        {refusal(202, &soon, request.url), NULL},
        {refusal(429, NULL, request.url), NULL},
        {refusal(429, &soon, "https://elsewhere.test/"), NULL},
        {{.phase = REPLY_ANSWERED, .code = 200, .headers = none_left, .header_count = 2},
         "waiting until 2026-11-23T10:29:12Z, as a.test asked with its answer 200"},
        {{.phase = REPLY_NEVER_SENT, .headers = &soon, .header_count = 1}, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct holds holds = {0};
        const char *said;
        note(&holds, &request, &rows[i].reply);
        int64_t until_ms = until(&holds, &request, NOW + 1, &said);
        if ((until_ms != 0) != (rows[i].said != NULL)) fail_msg("row %zu: %lld", i, (long long)until_ms);
        if (rows[i].said) assert_string_equal(said, rows[i].said);
        holds_fini(&holds);
    }
}

static void test_time(void **state) {
    (void)state;
    static const struct stage_call call = {0};
    static const struct reply_header later = {"Retry-After", "600"};
    const struct request request = {.url = "https://a.test/", .call = &call};
    struct reply short_one = refusal(429, &soon, NULL), long_one = refusal(429, &later, NULL);
    struct holds holds = {0};
    note(&holds, &request, &short_one);
    note(&holds, &request, &long_one);
    note(&holds, &request, &short_one); /* the longer one stays */
    assert_int_equal(holds.count, 1);
    assert_int_equal(until(&holds, &request, NOW, NULL), NOW + 600000);
    struct arena *arena = arena_new();
    const char *why;
    struct holds_now now = at(NOW);
    int64_t latest = holds_until_ms(&holds, arena, &request, &now, UINT32_MAX, &why);
    assert_in_range(latest, NOW + 600000 + 50000, NOW + 600000 + 60000); /* a tenth, by chance */
    arena_free(arena);
    assert_int_equal(until(&holds, &request, NOW + 599999, NULL), NOW + 600000);
    assert_int_equal(until(&holds, &request, NOW + 600000, NULL), 0);
    assert_int_equal(holds.count, 0);
    holds_fini(&holds);
}

/* Whoever sets the clock: what was asked for is waited for, no less and no more, and told by the clock as it is. */
static void test_the_clock_is_set(void **state) {
    (void)state;
    static const struct stage_call call = {0};
    const struct request request = {.url = "https://a.test/", .call = &call};
    const struct reply reply = refusal(429, &soon, NULL);
    static const int64_t by_ms[] = {-ASKED_MAX_MS / 2, -48 * ASKED_MAX_MS, ASKED_MAX_MS / 2, 48 * ASKED_MAX_MS};
    for (size_t i = 0; i < sizeof by_ms / sizeof *by_ms; i++) {
        struct holds holds = {0};
        note(&holds, &request, &reply);
        struct holds_now half = at(NOW + 30000), over = at(NOW + 60000);
        half.wall_ms += by_ms[i], over.wall_ms += by_ms[i];
        assert_int_equal(until_at(&holds, &request, half, NULL), half.wall_ms + 30000);
        assert_int_equal(until_at(&holds, &request, over, NULL), 0);
        holds_fini(&holds);
    }
}

static void test_ceiling(void **state) {
    (void)state;
    static const struct stage_call call = {0};
    struct holds holds = {0};
    for (int i = 0; i < 2 * HOLDS_MAX; i++) {
        char url[64], seconds[16];
        snprintf(url, sizeof url, "https://h%d.test/", i);
        snprintf(seconds, sizeof seconds, "%d", 100 + i);
        struct reply_header header = {"Retry-After", seconds};
        struct request request = {.url = url, .call = &call};
        struct reply reply = refusal(429, &header, url);
        note(&holds, &request, &reply);
        assert_true(holds.count <= HOLDS_MAX);
    }
    struct request first = {.url = "https://h0.test/", .call = &call};
    struct request last = {.url = "https://h2047.test/", .call = &call};
    assert_int_equal(until(&holds, &first, NOW, NULL), 0);
    assert_int_equal(until(&holds, &last, NOW, NULL), NOW + 2147000);
    holds_fini(&holds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_and_credential), cmocka_unit_test(test_what_holds), cmocka_unit_test(test_time),
        cmocka_unit_test(test_the_clock_is_set),    cmocka_unit_test(test_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
