/* base/fault: faults are cut at characters' edges, placed once, and listed up to a ceiling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/text.h"

static void fills_a_fault(void **state) {
    (void)state;
    struct fault fault = {0};
    assert_false(fault_set(&fault, FAULT_INVALID, "x.conf:3", "%s is %d", "users", 7));
    assert_int_equal(fault.kind, FAULT_INVALID);
    assert_string_equal(fault.where, "x.conf:3");
    assert_string_equal(fault.what, "users is 7");
    assert_false(fault_set(NULL, FAULT_INVALID, NULL, "nobody listens"));
    assert_false(fault_set(&fault, FAULT_IO, NULL, "no place"));
    assert_string_equal(fault.where, "");
}

/* A fault may be made from what it already holds: the usual way of adding to it. */
static void refills_from_itself(void **state) {
    (void)state;
    struct fault fault = {0};
    fault_set(&fault, FAULT_IO, "here", "cause");
    fault_set(&fault, FAULT_UPSTREAM, fault.where, "while calling: %s", fault.what);
    assert_string_equal(fault.where, "here");
    assert_string_equal(fault.what, "while calling: cause");
}

static void places_once(void **state) {
    (void)state;
    struct fault fault = {0};
    fault_set(&fault, FAULT_SYNTAX, NULL, "bad");
    fault_place(&fault, "%s:%d", "a.conf", 1);
    fault_place(&fault, "%s:%d", "b.conf", 2);
    assert_string_equal(fault.where, "a.conf:1");
    fault_place(NULL, "nowhere");
}

static void cuts_at_a_characters_edge(void **state) {
    (void)state;
    static const char *const characters[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t c = 0; c < 4; c++) {
        for (size_t shift = 0; shift < 5; shift++) {
            char text[4096] = "";
            memset(text, '.', shift);
            for (size_t n = shift; n < 2000; n += strlen(characters[c])) memcpy(text + n, characters[c], c + 1);
            struct fault fault;
            fault_set(&fault, FAULT_IO, text, "%s", text);
            assert_true(text_utf8_check(text_of(fault.what)) && text_utf8_check(text_of(fault.where)));
            assert_in_range(strlen(fault.what), sizeof fault.what - 5, sizeof fault.what - 1);
            assert_memory_equal(fault.what, text, strlen(fault.what));
        }
    }
}

static void every_kind_has_its_word(void **state) {
    (void)state;
    for (enum fault_kind a = FAULT_NONE; a <= FAULT_INTERNAL; a++)
        for (enum fault_kind b = FAULT_NONE; b < a; b++) assert_string_not_equal(fault_word(a), fault_word(b));
    assert_string_equal(fault_word((enum fault_kind)1000), "internal");
}

static void lists_up_to_its_ceiling(void **state) {
    (void)state;
    struct faults faults;
    faults_init(&faults);
    for (int i = 0; i < FAULTS_MAX + 7; i++) faults_addf(&faults, FAULT_INVALID, NULL, "number %d", i);
    assert_int_equal(faults.count, FAULTS_MAX);
    assert_int_equal(faults.dropped, 7);
    assert_string_equal(faults.items[0].what, "number 0");
    assert_string_equal(faults.items[FAULTS_MAX - 1].what, "number 99");
    faults_fini(&faults);
    assert_int_equal(faults.count, 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_a_fault),
        cmocka_unit_test(refills_from_itself),
        cmocka_unit_test(places_once),
        cmocka_unit_test(cuts_at_a_characters_edge),
        cmocka_unit_test(every_kind_has_its_word),
        cmocka_unit_test(lists_up_to_its_ceiling),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
