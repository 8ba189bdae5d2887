/* Rows as text: what was put comes back, and what was cut off or changed is never read beyond its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "store/sqlite_note.h"

#define ROWS 4

static struct row make(const char *id, const char *stage, const char *key, struct text body, int64_t number) {
    struct row row = {.place = number, .group = number / 2};
    snprintf(row.record.id, sizeof row.record.id, "%s", id);
    row.record.stage = stage;
    row.record.key = key;
    row.record.body = body;
    row.record.created_ms = number + 1;
    row.record.updated_ms = -number;
    return row;
}

static void put_all(struct buf *to, struct row *rows) {
    rows[0] = make("a", "s", "k", TEXT("{}"), INT64_MAX - 1);
    rows[1] = make("01JD0000000000000000000000", "größe", NULL, TEXT("\0\xff\n"), 0);
    rows[2] = make("b", "", "", TEXT(""), 7);
    rows[3] = make("c", "s", NULL, (struct text){0}, 1 << 20);
    buf_init(to, 1 << 20);
    for (int i = 0; i < ROWS; i++) note_put(to, &rows[i]);
}

static int take_all(struct text from, struct row *rows, struct arena *arena) {
    int count = 0;
    while (from.len && count < ROWS && note_take(arena, &from, &rows[count])) count++;
    return count;
}

static void comes_back(void **state) {
    (void)state;
    struct buf text;
    struct row rows[ROWS], got[ROWS];
    struct arena *arena = arena_new();
    put_all(&text, rows);
    assert_int_equal(take_all(buf_text(&text), got, arena), ROWS);
    for (int i = 0; i < ROWS; i++) {
        const struct store_record *a = &got[i].record, *b = &rows[i].record;
        assert_int_equal(got[i].place, rows[i].place);
        assert_int_equal(got[i].group, rows[i].group);
        assert_string_equal(a->id, b->id);
        assert_string_equal(a->stage, b->stage);
        assert_true(text_same_cstr(a->key, b->key));
        assert_true(text_same(a->body, b->body));
        assert_int_equal(a->created_ms, b->created_ms);
        assert_int_equal(a->updated_ms, b->updated_ms);
        assert_int_equal(a->ended_ms, 0);
    }
    arena_free(arena);
    buf_fini(&text);
}

/* Of its own size in memory, so that whoever reads beyond it is seen. */
static int take_copy(const char *bytes, size_t len) {
    struct row got[ROWS];
    struct arena *arena = arena_new();
    char *copy = mem_alloc(len + !len);
    memcpy(copy, bytes, len);
    int count = take_all((struct text){copy, len}, got, arena);
    mem_free(copy);
    arena_free(arena);
    return count;
}

static void is_cut_off(void **state) {
    (void)state;
    struct buf text;
    struct row rows[ROWS];
    put_all(&text, rows);
    int before = 0;
    for (size_t len = 0; len <= text.len; len++) {
        int count = take_copy(text.at, len);
        assert_in_range(count, before, before + 1);
        before = count;
    }
    assert_int_equal(before, ROWS);
    buf_fini(&text);
}

static void is_damaged(void **state) {
    (void)state;
    struct buf text;
    struct row rows[ROWS];
    put_all(&text, rows);
    for (size_t at = 0; at < text.len; at++) {
        static const unsigned char others[] = {0, 1, 0x7f, 0x80, 0xff};
        char was = text.at[at];
        for (size_t i = 0; i < sizeof others; i++) {
            text.at[at] = (char)others[i];
            assert_in_range(take_copy(text.at, text.len), 0, ROWS);
        }
        text.at[at] = was;
    }
    struct row nobody = make("", "s", NULL, TEXT("{}"), 1);
    buf_clear(&text);
    note_put(&text, &nobody);
    assert_int_equal(take_copy(text.at, text.len), 0);
    buf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(is_cut_off),
        cmocka_unit_test(is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
