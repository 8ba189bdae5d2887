/* Callers: what a file may say, every mistake with its line, who a request is taken for, and what each may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/text.h"
#include "front/callers.h"

static char path[64];

static struct callers *load(const char *text, struct faults *faults) {
    snprintf(path, sizeof path, "/tmp/stagedoor-callers-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    faults_init(faults);
    struct callers *callers = callers_load(path, faults);
    unlink(path);
    return callers;
}

static const char *digest_of(const char *token) {
    static char digest[65];
    digest_sha256_hex(text_of(token), digest);
    return digest;
}

#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"     /* "test" */
#define OTHER "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"   /* "foo" */
#define NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* "" */

static struct callers *good(void) {
    static const char text[] =
        "callers = (\n"
        "  { name = \"orca\"; token_sha256 = \"9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08\";"
        " start = [ \"*\" ]; },\n"
        "  { name = \"team-a\"; certificate = \"team-a.test\"; start = [ \"a-*\", \"shared\" ]; see = [ \"*\" ]; "
        "cancel "
        "= []; },\n"
        "  { name = \"board\"; token_sha256 = \"" OTHER "\"; see = ( \"b-*\" ); }\n"
        ");\n";
    struct faults faults;
    struct callers *callers = load(text, &faults);
    for (size_t i = 0; i < faults.count; i++) print_message("%s: %s\n", faults.items[i].where, faults.items[i].what);
    assert_non_null(callers);
    faults_fini(&faults);
    return callers;
}

static void test_who(void **state) {
    (void)state;
    static const struct {
        const char *authorization, *certificate, *name;
    } rows[] = {
        {"Bearer test", NULL, "orca"},
        {"bearer test", NULL, "orca"},
        {"Bearer   test  ", NULL, "orca"},
        {"Bearer foo", NULL, "board"},
        {NULL, "team-a.test", "team-a"},
        {"Bearer foo", "team-a.test", "team-a"},
        {"Bearer foo", "other.test", "board"},
        {NULL, NULL, NULL},
        {"", NULL, NULL},
        {"Bearer", NULL, NULL},
        {"Bearer ", NULL, NULL},
        {"Bearer tes", NULL, NULL},
        {"Bearer test2", NULL, NULL},
        {"Bearer " HEX, NULL, NULL},
        {"Basic test", NULL, NULL},
        {"test", NULL, NULL},
        {NULL, "team-a.test.evil", NULL},
        {NULL, "", NULL},
        {NULL, "TEAM-A.test", NULL},
        {"Bearer te st", NULL, NULL},
    };
    struct callers *callers = good();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fault fault = {0};
        const struct caller *caller = callers_find(callers, rows[i].authorization, rows[i].certificate, &fault);
        if (!rows[i].name != !caller) fail_msg("row %zu: %s", i, caller ? caller_name(caller) : fault.what);
        if (caller) assert_string_equal(caller_name(caller), rows[i].name);
        else assert_int_equal(fault.kind, FAULT_UNAUTHORIZED);
        if (!caller) assert_null(strstr(fault.what, "test2")); /* never what was sent */
    }
    callers_unref(callers);
}

/* What is remembered is of the callers that are in force, and of the token that was shown. */
static void test_again(void **state) {
    (void)state;
    struct callers *callers = good(), *others = good();
    struct caller_memo memo = {0};
    struct fault fault;
    const struct caller *orca = callers_find(callers, "Bearer test", NULL, &fault);
    for (int i = 0; i < 2; i++) assert_ptr_equal(callers_find_again(callers, &memo, "Bearer test", NULL, &fault), orca);
    assert_null(callers_find_again(callers, &memo, "Bearer tesT", NULL, &fault));
    assert_null(callers_find_again(callers, &memo, "Bearer tes", NULL, &fault));
    assert_null(callers_find_again(callers, &memo, "", NULL, &fault));
    assert_null(callers_find_again(callers, &memo, NULL, NULL, &fault));
    assert_int_equal(fault.kind, FAULT_UNAUTHORIZED);
    assert_ptr_equal(callers_find_again(callers, &memo, "Bearer test", NULL, &fault), orca);
    assert_string_equal(caller_name(callers_find_again(callers, &memo, "Bearer foo", NULL, &fault)), "board");
    callers_unref(callers);
    const struct caller *other = callers_find_again(others, &memo, "Bearer foo", NULL, &fault);
    assert_ptr_equal(other, callers_find(others, "Bearer foo", NULL, &fault));
    assert_ptr_equal(callers_find_again(others, NULL, "Bearer foo", NULL, &fault), other);
    struct faults faults;
    struct callers *left = load("callers = ( { name = \"orca\"; token_sha256 = \"" HEX "\"; } );", &faults);
    assert_null(callers_find_again(left, &memo, "Bearer foo", NULL, &fault));
    callers_unref(left);
    faults_fini(&faults);
    callers_unref(others);
    caller_memo_fini(&memo);
}

static void test_what_each_may(void **state) {
    (void)state;
    static const struct {
        const char *authorization, *certificate, *stage, *rights; /* s: start, v: see, c: cancel */
    } rows[] = {
        {"Bearer test", NULL, "anything", "svc"}, {"Bearer test", NULL, "", "svc"},
        {NULL, "team-a.test", "a-build", "sv"},   {NULL, "team-a.test", "a-", "sv"},
        {NULL, "team-a.test", "a", "v"},          {NULL, "team-a.test", "shared", "sv"},
        {NULL, "team-a.test", "shared2", "v"},    {NULL, "team-a.test", "b-build", "v"},
        {"Bearer foo", NULL, "b-build", "v"},     {"Bearer foo", NULL, "a-build", ""},
        {"Bearer foo", NULL, "B-build", ""},
    };
    struct callers *callers = good();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fault fault;
        const struct caller *caller = callers_find(callers, rows[i].authorization, rows[i].certificate, &fault);
        char rights[4] = "";
        if (caller_may(caller, RIGHT_START, rows[i].stage)) rights[strlen(rights)] = 's';
        if (caller_may(caller, RIGHT_SEE, rows[i].stage)) rights[strlen(rights)] = 'v';
        if (caller_may(caller, RIGHT_CANCEL, rows[i].stage)) rights[strlen(rights)] = 'c';
        assert_non_null(caller);
        if (strcmp(rights, rows[i].rights) != 0) fail_msg("row %zu: %s", i, rights);
        assert_int_equal(caller_sees_all(caller), strchr("ot", caller_name(caller)[0]) != NULL);
    }
    assert_true(caller_may(NULL, RIGHT_START, "x") && caller_sees_all(NULL)); /* an open gateway */
    assert_null(caller_name(NULL));
    callers_unref(callers);
}

/* Each with its line, and what the sentence has to hold. */
static void test_mistakes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int line; /* 0: of the file as a whole */
        const char *what;
    } rows[] = {
        {"", 0, "callers = ("},
        {"callers = { };", 1, "callers = ("},
        {"caller = ();", 1, "\"caller\""},
        {"callers = ();\nextra = 1;", 2, "\"extra\""},
        {"callers = ( 5 );", 1, "a caller is a group"},
        {"callers = ( { token_sha256 = \"" HEX "\"; } );", 1, "needs a name"},
        {"callers = (\n{ name = \"a\"; } );", 2, "needs token_sha256 or certificate"},
        {"callers = (\n{ name = \"\"; token_sha256 = \"" HEX "\"; } );", 2, "name has to be a string"},
        {"callers = (\n{ name = 5;\n token_sha256 = \"" HEX "\"; } );", 2, "name has to be a string"},
        {"callers = (\n{ name = \"a\";\n token_sha256 = \"abc\"; } );", 3, "64 hexadecimal digits"},
        {"callers = (\n{ name = \"a\";\n token_sha256 = \"" HEX "0\"; } );", 3, "64 hexadecimal digits"},
        {"callers = (\n{ name = \"a\";\n token_sha256 = \"g" HEX "\"; } );", 3, "64 hexadecimal digits"},
        {"callers = (\n{ name = \"a\";\n token_sha256 = \"" NOTHING "\"; } );", 3, "of nothing"},
        {"callers = (\n{ name = \"a\"; token_sha256 = \"" HEX "\";\n strat = [ \"*\" ]; } );", 3,
         "did you mean \"start\""},
        {"callers = (\n{ name = \"a\"; token_sha256 = \"" HEX "\";\n start = \"*\"; } );", 3, "list of stage names"},
        {"callers = (\n{ name = \"a\"; token_sha256 = \"" HEX "\";\n start = ( \"x\", 5 ); } );", 3, "no stage name"},
        {"callers = (\n{ name = \"a\"; token_sha256 = \"" HEX "\";\n start = [ \"a*b\" ]; } );", 3, "end in \"*\""},
        {"callers = (\n{ name = \"a\"; token_sha256 = \"" HEX "\";\n start = [ \"\" ]; } );", 3, "empty"},
        {"callers = (\n{ name = \"a\"; token_sha256 = \"" HEX "\"; },\n{ name = \"a\"; token_sha256 = \"" OTHER
         "\"; } );",
         3, "\"a\" already"},
        {"callers = (\n{ name = \"a\"; token_sha256 = \"" HEX "\"; },\n{ name = \"b\"; token_sha256 = \"" HEX
         "\"; } );",
         3, "same token"},
        {"callers = (\n{ name = \"a\"; certificate = \"x\"; },\n{ name = \"b\"; certificate = \"x\"; } );", 3,
         "same certificate"},
        {"callers = (", 1, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct faults faults;
        struct callers *callers = load(rows[i].text, &faults);
        char where[96];
        if (callers || !faults.count) fail_msg("row %zu is taken: %s", i, rows[i].text);
        if (rows[i].line) snprintf(where, sizeof where, "%s:%d", path, rows[i].line);
        else snprintf(where, sizeof where, "%s", path);
        const struct fault *fault = &faults.items[0];
        if (strcmp(fault->where, where) != 0 || !strstr(fault->what, rows[i].what))
            fail_msg("row %zu: %s: %s", i, fault->where, fault->what);
        faults_fini(&faults);
    }
}

static void test_every_mistake_at_once(void **state) {
    (void)state;
    struct faults faults;
    assert_null(load("callers = (\n"
                     "  { token_sha256 = \"xyz\"; },\n"
                     "  { name = \"b\"; },\n"
                     "  7\n"
                     ");\n",
                     &faults));
    assert_int_equal(faults.count, 4); /* the digest, both names … */
    faults_fini(&faults);
}

static void test_no_file(void **state) {
    (void)state;
    struct faults faults;
    faults_init(&faults);
    assert_null(callers_load("/nonexistent/callers.conf", &faults));
    assert_true(faults.count == 1 && strstr(faults.items[0].where, "/nonexistent/callers.conf"));
    faults_fini(&faults);
}

static void test_references(void **state) {
    (void)state;
    struct callers *callers = good();
    assert_ptr_equal(callers_ref(callers), callers);
    callers_unref(callers);
    assert_string_equal(digest_of("test"), HEX);
    struct fault fault;
    assert_non_null(callers_find(callers, "Bearer test", NULL, &fault));
    callers_unref(callers);
    callers_unref(NULL);
    assert_null(callers_ref(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who),      cmocka_unit_test(test_what_each_may),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_every_mistake_at_once),
        cmocka_unit_test(test_no_file),  cmocka_unit_test(test_references),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
