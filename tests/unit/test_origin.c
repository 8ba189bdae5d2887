/* Origins: one for all spellings, and what is left of a URL for the first line of a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "back/origin.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define URL_BYTES 4096

static struct origin *find(struct origins *origins, struct arena *arena, const char **url) {
    struct origin *origin = NULL;
    struct fault fault = {0};
    if (!origins_find(origins, arena, url, &origin, &fault)) fail_msg("%s: %s", *url, fault.what);
    assert_non_null(origin);
    return origin;
}

static void test_parts(void **state) {
    (void)state;
    static const struct {
        const char *url, *normal, *host, *host_header, *dial_url, *target;
        bool is_tls;
    } cases[] = {
        {"http://a.test/x?y=1", "http://a.test/x?y=1", "a.test", "a.test", "http://a.test:80/", "/x?y=1", false},
        {"https://a.test", "https://a.test", "a.test", "a.test", "http://a.test:443/", "/", true},
        {"http://a.test:8080?q", "http://a.test:8080?q", "a.test", "a.test:8080", "http://a.test:8080/", "/?q", false},
        {"http://[::1]:8080/", "http://[::1]:8080/", "[::1]", "[::1]:8080", "http://[::1]:8080/", "/", false},
        {"HTTPS://A.Test:0443/X", "https://a.test/X", "a.test", "a.test", "http://a.test:443/", "/X", true},
        {"http://a.test:0443", "http://a.test:443", "a.test", "a.test:443", "http://a.test:443/", "/", false},
        {"http://[::A]:/%7e", "http://[::a]/%7e", "[::a]", "[::a]", "http://[::a]:80/", "/%7e", false},
    };
    struct origins *origins = origins_new();
    struct arena *arena = arena_new();
    for (size_t i = 0; i < 2 * COUNT(cases); i++) { /* the second time it is known */
        size_t row = i % COUNT(cases);
        const char *url = cases[row].url;
        struct origin *origin = find(origins, arena, &url);
        assert_string_equal(url, cases[row].normal);
        assert_string_equal(origin->host, cases[row].host);
        assert_string_equal(origin->host_header, cases[row].host_header);
        assert_string_equal(origin->dial_url, cases[row].dial_url);
        assert_string_equal(origin_target(arena, origin, url), cases[row].target);
        assert_int_equal(origin->is_tls, cases[row].is_tls);
    }
    arena_free(arena);
    origins_free(origins);
}

/* What upstreams send must not decide how many there are. */
static void test_spellings(void **state) {
    (void)state;
    static const char *const same[] = {"http://host.test/",  "http://Host.test/",    "HTTP://HOST.TEST/x",
                                       "http://host.test:/", "http://host.test:80/", "hTTp://hosT.test:0080?q",
                                       "http://host.test?x"};
    static const char *const others[] = {"https://host.test/", "http://host.test:8080/", "http://host.test./",
                                         "http://hos.test/",   "https://host.test:80/",  "http://host.testt/"};
    struct origins *origins = origins_new();
    struct arena *arena = arena_new();
    const char *url = "http://hOst.test:080/first";
    struct origin *first = find(origins, arena, &url), *found[COUNT(others)];
    for (size_t i = 0; i < COUNT(same); i++) {
        url = same[i];
        assert_ptr_equal(find(origins, arena, &url), first);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        url = others[i];
        found[i] = find(origins, arena, &url);
        assert_ptr_not_equal(found[i], first);
        for (size_t j = 0; j < i; j++) assert_ptr_not_equal(found[i], found[j]);
    }
    char long_one[URL_BYTES];
    memset(long_one, '0', sizeof long_one);
    memcpy(long_one, "http://host.test:", strlen("http://host.test:"));
    memcpy(long_one + sizeof long_one - 4, "80/", 4);
    url = long_one;
    assert_ptr_equal(find(origins, arena, &url), first);
    assert_string_equal(url, "http://host.test/");
    arena_free(arena);
    origins_free(origins);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const known[] = {"http://a.test/", "http://a.test/a b", "http://a.test/[", "http://a.test/%2"};
    static const char *const unknown[] = {"http://b.test/a b", "http://b.test:0/", "http://b.test:65536/", "b.test/",
                                          "http://u@b.test/"};
    struct origins *origins = origins_new();
    struct arena *arena = arena_new();
    struct origin *origin;
    struct fault fault;
    const char *url = known[0];
    find(origins, arena, &url);
    for (size_t i = 1; i < COUNT(known); i++) {
        url = known[i];
        assert_false(origins_find(origins, arena, &url, &origin, &fault));
    }
    for (size_t i = 0; i < COUNT(unknown); i++) {
        url = unknown[i];
        assert_false(origins_find(origins, arena, &url, &origin, &fault));
    }
    url = "http://a(b.test/"; /* RFC 3986 allows it, and libcurl does not */
    for (int i = 0; i < 2; i++) {
        assert_true(origins_find(origins, arena, &url, &origin, &fault));
        assert_null(origin);
    }
    arena_free(arena);
    origins_free(origins);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
