/* Run ids: their form, their order, and that id and key lead to the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "run/id.h"

static void test_form(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"01KAW00000ABCDEFGHJKMNPQRS", true},  {"00000000000000000000000000", true},
        {"ZZZZZZZZZZZZZZZZZZZZZZZZZZ", true},  {"", false},
        {"01KAW00000ABCDEFGHJKMNPQR", false},  {"01KAW00000ABCDEFGHJKMNPQRST", false},
        {"01kaw00000ABCDEFGHJKMNPQRS", false}, {"01KAW00000ABCDEFGHIJKMNPQR", false},
        {"01KAW00000ABCDEFGHJKLMNPQR", false}, {"01KAW00000ABCDEFGHJKMNOPQR", false},
        {"01KAW00000ABCDEFGHJKMNPQRU", false}, {"01KAW00000ABCDEFGHJKMNPQ S", false},
        {"01KAW00000ABCDEFGHJKMNPQ/S", false}, {"01KAW00000ABCDEFGHJKMNPQ\xc3\xa9", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (id_check(text_of(rows[i].text)) != rows[i].good) fail_msg("%s", rows[i].text);
    char with_nul[26] = "01KAW00000ABCDEFGHJKMNPQR";
    assert_false(id_check((struct text){with_nul, 26}));
}

static void test_owner(void **state) {
    (void)state;
    char id[STORE_ID_SIZE];
    for (uint32_t owner = 0; owner < ID_OWNER_VALUES; owner++) {
        id_make(1763880000000, owner, id);
        assert_int_equal(id_owner(text_of(id)), owner);
    }
    assert_true(id_check(text_of(id)));
}

static void test_owner_of_a_key(void **state) {
    (void)state;
    char key[32], id[STORE_ID_SIZE];
    unsigned loads[7] = {0};
    for (int i = 0; i < 7000; i++) {
        snprintf(key, sizeof key, "build-%d", i);
        uint32_t owner = id_owner_of_key(TEXT("load-test"), text_of(key));
        assert_true(owner < ID_OWNER_VALUES);
        id_make(1763880000000 + i, owner, id);
        assert_int_equal(id_owner(text_of(id)), owner);
        for (uint32_t loops = 1; loops <= 64; loops++) assert_int_equal(id_owner(text_of(id)) % loops, owner % loops);
        loads[owner % 7]++;
    }
    for (size_t i = 0; i < 7; i++) assert_true(loads[i] > 800 && loads[i] < 1200);
    assert_int_not_equal(id_owner_of_key(TEXT("a"), TEXT("b/c")), id_owner_of_key(TEXT("x"), TEXT("b/c")));
    /* ids in stores depend on it: it may never change */
    assert_int_equal(id_owner_of_key(TEXT("load-test"), TEXT("build-1")), 0x5322);
}

static void test_order(void **state) {
    (void)state;
    static const int64_t times[] = {
        0, 1, 31, 32, 1023, 1763880000000, 1763880000001, 1763880000032, 4102444800000, 281474976710655};
    char before[STORE_ID_SIZE] = "", id[STORE_ID_SIZE];
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        id_make(times[i], (uint32_t)(7919 * (10 - i)), id);
        assert_int_equal(strlen(id), 26);
        assert_true(strcmp(before, id) < 0);
        memcpy(before, id, sizeof before);
    }
}

static void test_no_two_are_the_same(void **state) {
    (void)state;
    static char ids[2000][STORE_ID_SIZE];
    for (size_t i = 0; i < 2000; i++) {
        id_make(1763880000000, 5, ids[i]);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(ids[i], ids[j]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_owner_of_a_key),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_no_two_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
