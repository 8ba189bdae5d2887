/* Secrets: where they come from, what is refused, and in which forms their values are masked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "back/secrets.h"

static char directory[64];

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void put(const char *name, const char *value, size_t len) {
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(value, 1, len, file), len);
    fclose(file);
}

static void puts_file(const char *name, const char *value) {
    put(name, value, strlen(value));
}

static int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/test_secrets.XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    secrets_unload();
    for (char **entry = environ; *entry;) {
        snprintf(command, sizeof command, "%.*s", (int)strcspn(*entry, "="), *entry);
        if (strncmp(command, "STAGEDOOR_SECRET_", 17) == 0) unsetenv(command);
        else entry++;
    }
    static const char *const names[] = {"a",       "b",        "loadtest_token", "ci-token",  "short",
                                        ".hidden", "..data",   "..2026/x",       "from-kube", "bad",
                                        "pipe",    "sub/file", "empty",          "crlf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path_of(names[i]));
    rmdir(path_of("..2026"));
    rmdir(path_of("sub"));
    return rmdir(directory);
}

static void assert_secret(const char *name, const char *value) {
    struct secrets *secrets = secrets_ref();
    const char *got = json_gets_text(secrets_json(secrets), name);
    if (value) {
        assert_true(secrets_known(NULL, name));
        assert_non_null(got);
        assert_string_equal(got, value);
    } else {
        assert_false(secrets_known(NULL, name));
        assert_null(got);
    }
    secrets_unref(secrets);
}

static void load(void) {
    struct fault fault = {0};
    if (!secrets_load(directory, &fault)) fail_msg("%s: %s", fault.where, fault.what);
}

static void test_sources(void **state) {
    (void)state;
    assert_null(secrets_ref());
    assert_false(secrets_known(NULL, "loadtest_token"));
    setenv("STAGEDOOR_SECRET_LOADTEST_TOKEN", "from the environment=", 1);
    setenv("STAGEDOOR_SECRET_Other", "other value", 1);
    setenv("STAGEDOOR_SECRET_", "nameless", 1);
    assert_true(secrets_load(NULL, NULL));
    assert_secret("loadtest_token", "from the environment=");
    assert_secret("other", "other value");
    assert_secret("", NULL);
    puts_file("loadtest_token", "from a file\n\n");
    puts_file("ci-token", "no newline");
    puts_file("crlf", "windows\r\n");
    puts_file("empty", "");
    puts_file(".hidden", "hidden");
    mkdir(path_of("sub"), 0700);
    puts_file("sub/file", "deeper");
    mkfifo(path_of("pipe"), 0600);
    load();
    assert_secret("loadtest_token", "from a file\n");
    assert_secret("ci-token", "no newline");
    assert_secret("crlf", "windows");
    assert_secret("empty", "");
    assert_secret("other", "other value");
    assert_secret(".hidden", NULL);
    assert_secret("sub", NULL);
    assert_secret("pipe", NULL);
}

/* As a kubelet mounts them: name -> ..data/name, ..data -> a directory that is swapped whole. */
static void test_kubernetes(void **state) {
    (void)state;
    mkdir(path_of("..2026"), 0700);
    puts_file("..2026/x", "mounted");
    assert_int_equal(symlink("..2026", path_of("..data")), 0);
    assert_int_equal(symlink("..data/x", path_of("from-kube")), 0);
    load();
    assert_secret("from-kube", "mounted");
    assert_secret("..data", NULL);
}

static void test_refused(void **state) {
    (void)state;
    static char large[65537];
    memset(large, 'x', sizeof large);
    const struct {
        const char *value;
        size_t len;
        enum fault_kind kind;
    } cases[] = {
        {"sesame\xff", 7, FAULT_INVALID},
        {"ses\0ame", 7, FAULT_INVALID},
        {large, sizeof large, FAULT_TOO_LARGE},
    };
    puts_file("a", "before");
    load();
    puts_file("a", "after");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fault fault = {0};
        put("bad", cases[i].value, cases[i].len);
        assert_false(secrets_load(directory, &fault));
        assert_int_equal(fault.kind, cases[i].kind);
        assert_string_equal(fault.where, path_of("bad"));
        assert_null(strstr(fault.what, "ses"));
        assert_secret("a", "before");
    }
    large[sizeof large - 1] = '\n'; /* which does not count */
    put("bad", large, sizeof large);
    load();
    assert_secret("a", "after");
    unlink(path_of("bad"));
    assert_int_equal(symlink("nowhere", path_of("bad")), 0);
    struct fault fault = {0};
    assert_false(secrets_load(directory, &fault));
    assert_int_equal(fault.kind, FAULT_IO);
    assert_false(secrets_load("/nonexistent/secrets", &fault));
    assert_int_equal(fault.kind, FAULT_IO);
    assert_string_equal(fault.where, "/nonexistent/secrets");
}

static void test_held_set_lives_on(void **state) {
    (void)state;
    puts_file("a", "first");
    load();
    struct secrets *held = secrets_ref();
    puts_file("a", "second");
    load();
    assert_string_equal(json_gets_text(secrets_json(held), "a"), "first");
    assert_secret("a", "second");
    secrets_unref(held);
}

static const struct mask_case {
    const char *line, *masked; /* masked NULL: nothing to mask */
} mask_cases[] = {
    {"", NULL},
    {"nothing here", NULL},
    {"open sesam", NULL},
    {"abc", NULL}, /* of three bytes */
    {"Authorization: Bearer open sesame!/\"ä", "Authorization: Bearer ***"},
    {"x=open%20sesame%21%2F%22%C3%A4&y", "x=***&y"},
    {"x=open%20sesame%21%2f%22%c3%a4&y", "x=***&y"},
    {"x=open+sesame%21%2F%22%C3%A4&y", "x=***&y"},
    {"{\"k\": \"open sesame!/\\\"ä\"}", "{\"k\": \"***\"}"},
    {"{\"k\": \"open sesame!\\/\\\"ä\"}", "{\"k\": \"***\"}"},
    {"b3BlbiBzZXNhbWUhLyLDpA==", "***A=="},             /* alone */
    {"Basic dTpvcGVuIHNlc2FtZSEvIsOk", "Basic dTp***"}, /* behind "u:" */
    {"Basic dXNlcjpvcGVuIHNlc2FtZSEvIsOkCg==", "Basic dXNlcjp***Cg=="},
    {"Basic YTo6b3BlbiBzZXNhbWUhLyLDpAo=", "Basic YTo6***Ao="},
    {"tokentokenlonger", "******"}, /* side by side */
    {"tokenlonge", "***longe"},
    {"tokenlonger", "***"},
    {"xoverlaplapover", "x***over"}, /* "overlap" and "laplap" share "lap" */
    {"a token, a token", "a ***, a ***"},
    {"toke", NULL},
};

static void test_mask(void **state) {
    (void)state;
    puts_file("a", "open sesame!/\"ä\n");
    puts_file("b", "token");
    puts_file("ci-token", "tokenlonger");
    puts_file("short", "abc");
    setenv("STAGEDOOR_SECRET_ONE", "overlap", 1);
    setenv("STAGEDOOR_SECRET_TWO", "laplap", 1);
    load();
    for (size_t i = 0; i < sizeof mask_cases / sizeof *mask_cases; i++) {
        const struct mask_case *c = &mask_cases[i];
        struct buf line, copy;
        buf_init(&line, 4096);
        buf_init(&copy, 4096);
        buf_adds(&line, c->line);
        assert_int_equal(secrets_mask_text(text_of(c->line), &copy), c->masked != NULL);
        secrets_mask(&line);
        assert_string_equal(buf_cstr(&line), c->masked ? c->masked : c->line);
        assert_string_equal(buf_cstr(&copy), c->masked ? c->masked : "");
        assert_int_equal(line.max, 4096);
        buf_fini(&line);
        buf_fini(&copy);
    }
}

static void assert_masked(const char *line, const char *masked) {
    struct buf got;
    buf_init(&got, 4096);
    buf_adds(&got, line);
    secrets_mask(&got);
    assert_string_equal(buf_cstr(&got), masked);
    buf_fini(&got);
}

/* A call that was made with a value may still be answered when the value has been changed, or is gone. */
static void test_mask_what_was(void **state) {
    (void)state;
    char value[24];
    puts_file("a", "sesame-1");
    puts_file("b", "tokens");
    load();
    puts_file("a", "sesame-2");
    unlink(path_of("b"));
    load();
    load();
    assert_masked("sesame-1 sesame-2 c2VzYW1lLTE= tokens", "*** *** ***E= ***");
    assert_secret("b", NULL);
    for (int i = 3; i < 66; i++) {
        snprintf(value, sizeof value, "sesame-%d!", i);
        puts_file("a", value);
        load();
    }
    assert_masked("sesame-2 sesame-3! sesame-65!", "*** *** ***");
    assert_masked("sesame-1", "sesame-1"); /* the oldest */
    puts_file("a", "sesame-2");            /* and back */
    load();
    assert_secret("a", "sesame-2");
    assert_masked("sesame-2 sesame-65!", "*** ***");
}

/* Every value, put anywhere into anything as base64, is gone: what is left does not decode to it. */
static void test_mask_base64_anywhere(void **state) {
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    puts_file("a", "s3cr3t-value");
    load();
    for (size_t before = 0; before < 7; before++)
        for (size_t after = 0; after < 7; after++) {
            char plain[64], coded[128];
            int len = snprintf(plain, sizeof plain, "%.*ss3cr3t-value%.*s", (int)before, "??????", (int)after,
                               "~~~~~~");
            size_t n = 0;
            for (int i = 0; i < len; i += 3) {
                unsigned three = (unsigned)(unsigned char)plain[i] << 16;
                if (i + 1 < len) three |= (unsigned)(unsigned char)plain[i + 1] << 8;
                if (i + 2 < len) three |= (unsigned char)plain[i + 2];
                for (int j = 0; j < 4; j++) coded[n++] = i + j <= len ? digits[three >> (18 - 6 * j) & 63] : '=';
            }
            coded[n] = 0;
            struct buf line;
            buf_init(&line, 4096);
            buf_adds(&line, coded);
            secrets_mask(&line);
            assert_non_null(strstr(buf_cstr(&line), "***"));
            assert_true(line.len <= n - 15 + 3 + 1); /* 12 bytes decide at least 15 characters */
            buf_fini(&line);
        }
}

static void *mask_for_a_while(void *arg) {
    for (int i = 0; i < 2000; i++) {
        struct buf line;
        buf_init(&line, 256);
        buf_adds(&line, "x first second x");
        secrets_mask(&line);
        if (!strstr(buf_cstr(&line), "***")) *(int *)arg = 1;
        buf_fini(&line);
    }
    return NULL;
}

static void test_load_while_others_mask(void **state) {
    (void)state;
    pthread_t threads[2];
    int missed = 0;
    puts_file("a", "first");
    load();
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, mask_for_a_while, &missed);
    for (int i = 0; i < 100; i++) {
        setenv("STAGEDOOR_SECRET_A", i % 2 ? "first" : "second", 1); /* a file wins: read by this thread only */
        load();
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_int_equal(missed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sources, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kubernetes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_held_set_lives_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mask, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mask_what_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mask_base64_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_load_while_others_mask, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
