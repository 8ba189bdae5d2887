/* The groups of runs that the writer of the embedded store remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "store/sqlite_group.h"

static void each_difference_is_another_group(void **state) {
    (void)state;
#define G(...) \
    { .stage = __VA_ARGS__ }
    static const struct run_group likes[] = {
        G("a", .definition = "d", .status = "RUNNING"),
        G("a", .definition = "d", .status = "RUNNING", .over = true),
        G("a", .definition = "d", .status = "SUCCEEDED", .over = true),
        G("a", .definition = "e", .status = "RUNNING"),
        G("b", .definition = "d", .status = "RUNNING"),
        G("ad", .definition = "", .status = "RUNNING"),
        G("", .definition = "ad", .status = "RUNNING"),
        G("a", .definition = "d"),
        G("a", .definition = "d", .status = ""),
    };
    enum { N = sizeof likes / sizeof *likes };
    struct groups *groups = groups_new();
    for (int i = 0; i < N; i++) {
        assert_null(groups_find(groups, &likes[i]));
        groups_add(groups, &likes[i])->number = i + 1;
    }
    for (int i = 0; i < N; i++) assert_int_equal(groups_find(groups, &likes[i])->number, i + 1);
    groups_forget(groups);
    for (int i = 0; i < N; i++) assert_null(groups_find(groups, &likes[i]));
    groups_free(groups);
    groups_free(NULL);
}

static void texts_are_its_own(void **state) {
    (void)state;
    struct groups *groups = groups_new();
    char stage[8] = "a";
    struct run_group *group = groups_add(groups,
                                         &(struct run_group){.stage = stage, .definition = "d", .status = "RUNNING"});
    group->defined = true;
    stage[0] = 'b';
    assert_null(groups_find(groups, &(struct run_group){.stage = "b", .definition = "d", .status = "RUNNING"}));
    assert_true(
        groups_find(groups, &(struct run_group){.stage = "a", .definition = "d", .status = "RUNNING"})->defined);
    groups_free(groups);
}

/* Definitions come and go for years: memory does not. */
static void so_many_and_no_more(void **state) {
    (void)state;
    struct groups *groups = groups_new();
    int found = 0;
    char stage[32];
    for (int i = 0; i < 25000; i++) {
        snprintf(stage, sizeof stage, "stage-%d", i);
        groups_add(groups, &(struct run_group){.stage = stage, .number = i});
        assert_int_equal(groups_find(groups, &(struct run_group){.stage = stage})->number, i);
    }
    for (int i = 0; i < 25000; i++) {
        snprintf(stage, sizeof stage, "stage-%d", i);
        const struct run_group *group = groups_find(groups, &(struct run_group){.stage = stage});
        found += group && group->number == i;
    }
    assert_int_equal(found, 5000);
    groups_free(groups);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_difference_is_another_group),
        cmocka_unit_test(texts_are_its_own),
        cmocka_unit_test(so_many_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
