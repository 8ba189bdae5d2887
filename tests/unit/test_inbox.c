/* The inbox of a step: what it holds, what it knows, its ceilings, and the way into a record and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "run/inbox.h"

static void mark_of(unsigned i, char mark[INBOX_MARK_SIZE]) {
    snprintf(mark, INBOX_MARK_SIZE, "%032u", i);
}

static void test_nothing(void **state) {
    (void)state;
    struct inbox_message message;
    assert_false(inbox_knows(NULL, "x"));
    assert_false(inbox_newest_is(NULL, "x"));
    assert_false(inbox_take(NULL, &message));
    assert_null(inbox_load(NULL, NULL));
}

/* The newest are known, however many there were. */
static void test_marks(void **state) {
    (void)state;
    struct inbox inbox = {0};
    char mark[INBOX_MARK_SIZE];
    for (unsigned i = 0; i < 5 * INBOX_KNOWN; i++) {
        mark_of(i, mark);
        assert_false(inbox_knows(&inbox, mark));
        inbox_note(&inbox, mark);
        inbox_note(&inbox, mark); /* in a row it takes no second place */
        assert_true(inbox_newest_is(&inbox, mark));
        for (unsigned back = 0; back <= i && back < INBOX_KNOWN; back++) {
            mark_of(i - back, mark);
            assert_true(inbox_knows(&inbox, mark));
        }
        if (i < INBOX_KNOWN) continue;
        mark_of(i - INBOX_KNOWN, mark);
        assert_false(inbox_knows(&inbox, mark));
    }
}

static void test_keeping(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct inbox inbox = {0};
    struct inbox_message message = {.bytes = 10}, out;
    for (unsigned i = 0; i < INBOX_KEPT; i++) {
        message.value = json_new_int(arena, i);
        assert_true(inbox_keep(&inbox, arena, &message));
    }
    assert_false(inbox_keep(&inbox, arena, &message));
    for (unsigned i = 0; i < INBOX_KEPT; i++) {
        assert_true(inbox_take(&inbox, &out));
        assert_int_equal(json_int(out.value), i);
    }
    assert_false(inbox_take(&inbox, &out));
    message.bytes = INBOX_KEPT_BYTES - 1;
    assert_true(inbox_keep(&inbox, arena, &message));
    message.bytes = 2;
    assert_false(inbox_keep(&inbox, arena, &message));
    message.bytes = 1;
    assert_true(inbox_keep(&inbox, arena, &message));
    arena_free(arena);
}

static void test_into_a_record_and_back(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct inbox inbox = {0}, *back;
    struct inbox_message message = {.value = json_new_string(arena, "secret"), .bytes = 6}, out;
    const struct json *masked[] = {json_new_string(arena, "***")};
    char mark[INBOX_MARK_SIZE];
    for (unsigned i = 0; i < INBOX_KNOWN + 3; i++) mark_of(i, mark), inbox_note(&inbox, mark);
    inbox_keep(&inbox, arena, &message);
    back = inbox_load(arena, inbox_write(&inbox, arena, masked));
    for (unsigned i = 0; i < INBOX_KNOWN + 3; i++) {
        mark_of(i, mark);
        assert_int_equal(inbox_knows(back, mark), i >= 3);
    }
    assert_true(inbox_newest_is(back, mark));
    assert_true(inbox_take(back, &out));
    assert_true(text_is(json_text(out.value), "***"));
    assert_int_equal(out.bytes, 6);
    back = inbox_load(arena, inbox_write(&inbox, arena, NULL)); /* after the end nothing is judged any more */
    assert_false(inbox_take(back, &out));
    assert_true(inbox_knows(back, mark));
    back = inbox_load(arena, json_new_object(arena));
    assert_false(inbox_knows(back, mark));
    assert_null(inbox_load(arena, json_new_string(arena, "rubbish")));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_keeping),
        cmocka_unit_test(test_into_a_record_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
