/* The catalog: what is read, found and kept as files come, break, heal, clash and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "stage/catalog.h"
#include "stage/self_test.h"

static char directory[] = "/tmp/test_catalog.XXXXXX";
static const struct stage_context context = {.templates = "/nonexistent"};

static void path_of(const char *file, char path[128]) {
    snprintf(path, 128, "%s/%s", directory, file);
}

static void put(const char *file, const char *text) {
    char path[128];
    path_of(file, path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void drop(const char *file) {
    char path[128];
    path_of(file, path);
    unlink(path);
}

#define GOOD(name, label) "name = \"" name "\"; label = \"" label "\"; request = { url = \"https://a.example/\"; };"

/* TAKES `previous`. */
static struct catalog *reload(struct catalog *previous) {
    struct fault fault;
    struct catalog *catalog = catalog_load(directory, &context, previous, 1234, &fault);
    assert_non_null(catalog);
    catalog_unref(previous);
    return catalog;
}

static const struct catalog_entry *find(const struct catalog *catalog, const char *name) {
    return catalog_find(catalog, name);
}

static void test_reading(void **state) {
    (void)state;
    put("b.conf", GOOD("beta", "B"));
    put("a.conf", GOOD("zeta", "Z"));
    put("c.conf", "name = ;");
    put("d.conf", "name = \"delta\"; request = 1;");
    put("note.txt", "no definition");
    put(".hidden.conf", "nor this");
    struct catalog *catalog = reload(NULL);
    assert_int_equal(catalog->count, 4);
    assert_int_equal(catalog->loaded_wall_ms, 1234);
    assert_string_equal(catalog->entries[0].name, "beta");
    assert_string_equal(find(catalog, "zeta")->stage->label, "Z");
    assert_int_equal(find(catalog, "zeta")->fault_count, 0);
    assert_null(find(catalog, "c")->stage); /* its name cannot be read, so the file's stands for it */
    assert_int_equal(find(catalog, "c")->fault_count, 1);
    assert_non_null(strstr(find(catalog, "c")->faults[0].where, "/c.conf:1"));
    assert_null(find(catalog, "delta")->stage);
    assert_null(find(catalog, "gamma"));
    assert_null(find(catalog, ""));
    assert_null(find(catalog, "bet"));
    assert_null(find(catalog, "beta2"));
    assert_string_equal(catalog_nearest(catalog, TEXT("betta")), "beta");
    assert_null(catalog_nearest(catalog, TEXT("something-else")));
    catalog_unref(catalog);
}

static bool no_secret(void *arg, const char *name) {
    (void)arg, (void)name;
    return false;
}

#define NEEDS(enabled)                                                                                                \
    "name = \"s\"; enabled = " enabled "; request = { url = \"https://a.example/{{ secret.one }}\"; headers = { X = " \
    "\"{{ secret.two }}{{ secret.one }}\"; }; };"

/* Checked, listed with the reason, and not in force; whatever was in force before. */
static void test_disabled(void **state) {
    (void)state;
    static const struct {
        const char *text, *disabled, *fault;
        bool secrets_known;
    } cases[] = {
        {NEEDS("true"), NULL, "no secret \"one\" is known", false},
        {NEEDS("true"), NULL, NULL, true},
        {NEEDS("\"auto\""), "it needs the secrets one, two; docs/operations.md says how one is set", NULL, false},
        {NEEDS("\"auto\""), NULL, NULL, true},
        {NEEDS("false"), "its definition says enabled = false", NULL, false},
        {NEEDS("false"), "its definition says enabled = false", NULL, true},
    };
    put("s.conf", GOOD("s", "before"));
    struct catalog *before = reload(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage_context strict = context;
        struct fault fault;
        if (!cases[i].secrets_known) strict.secret_known = no_secret;
        put("s.conf", cases[i].text);
        struct catalog *catalog = catalog_load(directory, &strict, before, 1, &fault);
        const struct catalog_entry *entry = find(catalog, "s");
        assert_int_equal(entry->fault_count != 0, cases[i].fault != NULL);
        if (cases[i].fault) assert_non_null(strstr(entry->faults[0].what, cases[i].fault));
        assert_int_equal(entry->stage != NULL, !cases[i].disabled); /* a broken one keeps what was in force */
        if (cases[i].disabled) assert_string_equal(entry->disabled, cases[i].disabled);
        else assert_null(entry->disabled);
        catalog_unref(catalog);
    }
    catalog_unref(before);
    drop("s.conf");
}

/* One's own definition beside the disabled one that ships. */
static void test_disabled_twin(void **state) {
    (void)state;
    put("a.conf", "name = \"twin\"; enabled = false; request = { url = \"https://a.example/\"; };");
    put("b.conf", GOOD("twin", "mine"));
    struct catalog *catalog = reload(NULL);
    assert_string_equal(find(catalog, "twin")->stage->label, "mine");
    assert_int_equal(catalog->entries[0].fault_count + catalog->entries[1].fault_count, 0);
    put("b.conf", "name = \"twin\"; request = 1;");
    catalog = reload(catalog);
    assert_string_equal(find(catalog, "twin")->stage->label, "mine"); /* broken: the one before it stays */
    assert_int_equal(find(catalog, "twin")->fault_count, 1);
    put("b.conf", GOOD("twin", "mine"));
    put("c.conf", GOOD("twin", "other"));
    catalog = reload(catalog);
    assert_int_equal(catalog->entries[0].fault_count, 0);
    assert_non_null(strstr(catalog->entries[1].faults[0].what, "also that of"));
    assert_non_null(strstr(catalog->entries[1].faults[0].what, "/c.conf"));
    assert_non_null(strstr(catalog->entries[2].faults[0].what, "/b.conf"));
    catalog_unref(catalog);
    drop("a.conf"), drop("b.conf"), drop("c.conf");
}

static void test_keeps_last_good(void **state) {
    (void)state;
    put("a.conf", GOOD("a", "first"));
    struct catalog *catalog = reload(NULL);
    struct stage *first = stage_ref(find(catalog, "a")->stage);
    catalog = reload(catalog);
    assert_ptr_equal(find(catalog, "a")->stage, first); /* unchanged: the very same */
    put("a.conf", "name = \"renamed\"; request = { };");
    catalog = reload(catalog);
    assert_ptr_equal(find(catalog, "a")->stage, first);
    assert_int_equal(find(catalog, "a")->fault_count, 1);
    assert_null(find(catalog, "renamed"));
    put("a.conf", "syntax error");
    catalog = reload(catalog); /* broken twice in a row: the last good one is still there */
    assert_ptr_equal(find(catalog, "a")->stage, first);
    assert_int_equal(find(catalog, "a")->fault_count, 1);
    put("a.conf", GOOD("a", "second"));
    catalog = reload(catalog);
    assert_string_equal(find(catalog, "a")->stage->label, "second");
    assert_int_equal(find(catalog, "a")->fault_count, 0);
    assert_string_equal(first->label, "first"); /* whoever holds it can still use it */
    stage_unref(first);
    drop("a.conf");
    catalog = reload(catalog);
    assert_int_equal(catalog->count, 0);
    catalog_unref(catalog);
}

static void test_two_of_one_name(void **state) {
    (void)state;
    put("a.conf", GOOD("same", "A"));
    put("b.conf", GOOD("same", "B"));
    put("c.conf", GOOD("other", "C"));
    struct catalog *catalog = reload(NULL);
    assert_int_equal(catalog->count, 3);
    assert_null(find(catalog, "same")->stage);
    assert_non_null(find(catalog, "other")->stage);
    for (size_t i = 1; i < 3; i++) {
        assert_string_equal(catalog->entries[i].name, "same");
        assert_int_equal(catalog->entries[i].faults[0].kind, FAULT_CONFLICT);
    }
    assert_non_null(strstr(catalog->entries[1].faults[0].what, "/b.conf"));
    assert_non_null(strstr(catalog->entries[2].faults[0].what, "/a.conf"));
    drop("b.conf");
    catalog = reload(catalog);
    struct stage *stage = find(catalog, "same")->stage;
    assert_string_equal(stage->label, "A");
    put("0.conf", GOOD("same", "late")); /* a newcomer does not push out what is in force */
    catalog = reload(catalog);
    assert_ptr_equal(find(catalog, "same")->stage, stage);
    assert_int_equal(find(catalog, "same")->fault_count, 1);
    catalog_unref(catalog);
}

static void test_no_directory(void **state) {
    (void)state;
    struct fault fault;
    assert_null(catalog_load("/nonexistent", &context, NULL, 0, &fault));
    assert_int_equal(fault.kind, FAULT_IO);
    assert_string_equal(fault.where, "/nonexistent");
}

/* Compiled for every kind of address that a gateway can have; a file of that name takes its place. */
static void test_built_in(void **state) {
    (void)state;
    static const struct self_test_place places[] = {{"http://127.0.0.1:8095", NULL},
                                                    {"https://[::1]:8443", NULL},
                                                    {"http://localhost", "/run/a \"b\" \\c/stagedoor.sock"}};
    struct arena *arena = arena_new();
    struct fault fault;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct stage_context with = context;
        with.self_test = self_test_source(arena, &places[i]);
        struct catalog *catalog = catalog_load(directory, &with, NULL, 1, &fault);
        const struct catalog_entry *entry = find(catalog, SELF_TEST_NAME);
        assert_int_equal(catalog->count, 1);
        assert_true(entry->built_in);
        if (entry->fault_count) fail_msg("%s: %s", entry->faults[0].where, entry->faults[0].what);
        const struct stage_call *call = &entry->stage->steps[0].call;
        assert_int_equal(call->unix_socket != NULL, places[i].unix_socket != NULL);
        if (call->unix_socket) assert_string_equal(call->unix_socket, places[i].unix_socket);
        const struct stage *stage = entry->stage;
        struct catalog *next = catalog_load(directory, &with, catalog, 2, &fault);
        assert_ptr_equal(find(next, SELF_TEST_NAME)->stage, stage);
        catalog_unref(next);
        catalog_unref(catalog);
    }
    put("a.conf", GOOD("self-test", "mine"));
    struct stage_context with = context;
    with.self_test = self_test_source(arena, &places[0]);
    struct catalog *catalog = catalog_load(directory, &with, NULL, 1, &fault);
    assert_int_equal(catalog->count, 1);
    assert_false(find(catalog, SELF_TEST_NAME)->built_in);
    assert_string_equal(find(catalog, SELF_TEST_NAME)->stage->label, "mine");
    catalog_unref(catalog);
    arena_free(arena);
}

static int setup(void **state) {
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int clean(void **state) {
    (void)state;
    static const char *const files[] = {"0.conf", "a.conf", "b.conf", "c.conf", "d.conf", "note.txt", ".hidden.conf"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) drop(files[i]);
    return 0;
}

static int teardown(void **state) {
    clean(state);
    return rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_reading, clean),         cmocka_unit_test_teardown(test_disabled, clean),
        cmocka_unit_test_teardown(test_disabled_twin, clean),   cmocka_unit_test_teardown(test_keeps_last_good, clean),
        cmocka_unit_test_teardown(test_two_of_one_name, clean), cmocka_unit_test(test_no_directory),
        cmocka_unit_test_teardown(test_built_in, clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
