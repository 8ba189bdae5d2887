/* URLs: the parts, what is refused, RFC 3986's own examples of resolution, and the encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include "lang/url.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void urls_that_parse(void **state) {
    (void)state;
    static const struct {
        const char *source, *scheme, *host, *path, *query, *fragment; /* NULL: absent */
        int port, port_in_use;
    } cases[] = {
        {"http://a", "http", "a", "", NULL, NULL, 0, 80},
        {"https://a/", "https", "a", "/", NULL, NULL, 0, 443},
        {"HTTPS://Example.COM:8443/x/y;z?q=1&r#f", "HTTPS", "Example.COM", "/x/y;z", "q=1&r", "f", 8443, 8443},
        {"http://[::1]:80?", "http", "[::1]", "", "", NULL, 80, 80},
        {"http://127.0.0.1:", "http", "127.0.0.1", "", NULL, NULL, 0, 80},
        {"http://a/%20?b=%2F/?", "http", "a", "/%20", "b=%2F/?", NULL, 0, 80},
        {"http://a//b@c:d", "http", "a", "//b@c:d", NULL, NULL, 0, 80},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;
        struct fault fault = {0};
        if (!url_parse(text_of(cases[i].source), &url, &fault)) fail_msg("%s: %s", cases[i].source, fault.what);
        assert_true(text_is(url.scheme, cases[i].scheme));
        assert_true(text_is(url.host, cases[i].host));
        assert_true(text_is(url.path, cases[i].path));
        assert_int_equal(url.query.at != NULL, cases[i].query != NULL);
        assert_true(text_same(url.query, text_of(cases[i].query)));
        assert_int_equal(url.fragment.at != NULL, cases[i].fragment != NULL);
        assert_true(text_same(url.fragment, text_of(cases[i].fragment)));
        assert_null(url.userinfo.at);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url_port(&url), cases[i].port_in_use);
    }
}

/* What may stand behind an origin is what makes a URL of it, but for a fragment. */
static void rests_of_urls(void **state) {
    (void)state;
    static const struct {
        const char *rest;
        bool good, with_origin;
    } cases[] = {{"", true, true},
                 {"/", true, true},
                 {"/x/%20;y?q=/?@:", true, true},
                 {"?q", true, true},
                 {"/#f", false, true},
                 {"/[", false, false},
                 {"/a?]", false, false},
                 {"/%2", false, false},
                 {"/%zz", false, false},
                 {"/a b", false, false},
                 {"/a\n", false, false},
                 {"/\\", false, false},
                 {"/h\xC3\xB6", false, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char whole[64];
        struct url url;
        snprintf(whole, sizeof whole, "https://a:1%s", cases[i].rest);
        assert_int_equal(url_check_rest(text_of(cases[i].rest), NULL), cases[i].good);
        assert_int_equal(url_parse(text_of(whole), &url, NULL), cases[i].with_origin);
    }
}

static void urls_that_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *source, *what;
    } cases[] = {
        {"", "http://"},
        {"/a", "http://"},
        {"//a", "http://"},
        {"ftp://a", "http://"},
        {"file:///etc/passwd", "http://"},
        {"javascript:alert(1)", "http://"},
        {"http:a", "//"},
        {"http:/a", "//"},
        {"http://", "no host"},
        {"http:///a", "no host"},
        {"http://:80/", "no host"},
        {"http://u@a/", "user name"},
        {"http://u:p@a/", "user name"},
        {"http://a:b@c@d/", "user name"},
        {"http://a b/", "not allowed at column 9"},
        {"http://a\\b/", "not allowed at column 9"},
        {"http://a/\x01", "not allowed"},
        {"http://a/\x7f", "not allowed"},
        {"http://a/\xC3\xA9", "not allowed"},
        {"http://a/<x>", "not allowed"},
        {"http://a/{x}", "not allowed"},
        {"http://a/%", "%"},
        {"http://a/%4", "%"},
        {"http://a/%zz", "%"},
        {"http://a%2eb/", "host has a character"},
        {"http://[::1/", "bracket"},
        {"http://[::g]/", "IPv6"},
        {"http://[]/", "IPv6"},
        {"http://[fe80::1%25eth0]/", "IPv6"},
        {"http://[::1]x/", "behind its host"},
        {"http://a:0/", "port"},
        {"http://a:65536/", "port"},
        {"http://a:-1/", "port"},
        {"http://a:8x/", "port"},
        {"http://a:1:2/", "port"},
        {"http://a/[x]", "behind its host"},
        {"http://a/#x#y", "behind its host"},
        {"http://a/\r\nHost: b", "not allowed"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;
        struct fault fault = {0};
        if (url_parse(text_of(cases[i].source), &url, &fault)) fail_msg("taken: %s", cases[i].source);
        if (!strstr(fault.what, cases[i].what)) fail_msg("%s: %s", cases[i].source, fault.what);
    }
    struct url url;
    assert_false(url_parse(TEXT("http://a\0b/"), &url, NULL));
}

static void origins(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"http://a/x", "http://A:80/y?z", true},
        {"https://a", "HTTPS://a:443", true},
        {"http://a", "https://a", false},
        {"http://a", "http://a:8080", false},
        {"http://a", "http://a.evil.example", false},
        {"http://a:443", "https://a:443", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url a, b;
        assert_true(url_parse(text_of(cases[i].a), &a, NULL));
        assert_true(url_parse(text_of(cases[i].b), &b, NULL));
        assert_int_equal(url_same_origin(&a, &b), cases[i].same);
    }
}

static void resolution(void **state) {
    (void)state;
    static const char base[] = "http://a/b/c/d;p?q";
    static const struct {
        const char *reference, *result; /* NULL: refused */
    } cases[] = {
        /* RFC 3986, 5.4.1 */
        {"g:h", NULL},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q#s"},
        {"g#s", "http://a/b/c/g#s"},
        {"g?y#s", "http://a/b/c/g?y#s"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y#s"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        /* 5.4.2 */
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/./x", "http://a/b/c/g#s/./x"},
        {"g#s/../x", "http://a/b/c/g#s/../x"},
        {"http:g", NULL},
        /* ours */
        {"https://other.example/x/../y", "https://other.example/y"},
        {"//u@g/", NULL},
        {"/a b", NULL},
        {"/%zz", NULL},
        {"/..", "http://a/"},
        {"/a//../b", "http://a/a/b"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        char *result = url_resolve(arena, text_of(base), text_of(cases[i].reference), &fault);
        if (!result != !cases[i].result) fail_msg("%s: %s", cases[i].reference, result ? result : fault.what);
        if (result) assert_string_equal(result, cases[i].result);
        arena_free(arena);
    }
    struct arena *arena = arena_new();
    assert_string_equal(url_resolve(arena, TEXT("http://a"), TEXT("g"), NULL), "http://a/g");
    assert_string_equal(url_resolve(arena, TEXT("http://a:8080?q"), TEXT("../g"), NULL), "http://a:8080/g");
    assert_null(url_resolve(arena, TEXT("/a"), TEXT("http://a"), NULL));
    arena_free(arena);
}

static void encoding(void **state) {
    (void)state;
    struct buf out, back;
    buf_init(&out, 4096);
    buf_init(&back, 4096);
    url_encode(&out, TEXT("aZ09-._~ /?#&=+%\xC3\xA9\n"));
    assert_string_equal(buf_cstr(&out), "aZ09-._~%20%2F%3F%23%26%3D%2B%25%C3%A9%0A");
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    buf_clear(&out);
    url_encode(&out, (struct text){all, sizeof all});
    assert_true(url_decode(&back, buf_text(&out), true));
    assert_int_equal(back.len, sizeof all);
    assert_memory_equal(back.at, all, sizeof all);
    buf_clear(&back);
    assert_true(url_decode(&back, TEXT("a+b%2b"), true));
    assert_true(url_decode(&back, TEXT("a+b"), false));
    assert_string_equal(buf_cstr(&back), "a b+a+b");
    assert_false(url_decode(&back, TEXT("%"), false));
    assert_false(url_decode(&back, TEXT("%4"), false));
    assert_false(url_decode(&back, TEXT("%g0"), false));
    buf_fini(&out);
    buf_fini(&back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_that_parse), cmocka_unit_test(urls_that_are_refused),
        cmocka_unit_test(rests_of_urls),   cmocka_unit_test(origins),
        cmocka_unit_test(resolution),      cmocka_unit_test(encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
