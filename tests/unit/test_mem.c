/* base/mem: arenas keep what they give whole, aligned and zeroed, and end in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void heap_copies(void **state) {
    (void)state;
    char *copy = mem_strndup("hello", 3);
    assert_string_equal(copy, "hel");
    mem_free(copy);
    assert_null(mem_strdup(NULL));
    mem_free(NULL);
    char *none = mem_alloc(0);
    assert_non_null(none);
    none = mem_resize(none, 100);
    memset(none, 1, 100);
    mem_free(none);
}

/* Many sizes around the chunks' edges: no two overlap, each is zeroed and aligned, and all keep what is put there. */
static void arena_gives_whole_objects(void **state) {
    (void)state;
    enum { MANY = 2000 };
    static unsigned char *made[MANY];
    static size_t sizes[MANY];
    struct arena *arena = arena_new();
    uint32_t random = 12345;
    for (size_t i = 0; i < MANY; i++) {
        random = random * 1664525u + 1013904223u;
        sizes[i] = i % 100 == 0 ? random >> 14 : (random >> 24);
        made[i] = arena_alloc(arena, sizes[i]);
        assert_int_equal((uintptr_t)made[i] % _Alignof(max_align_t), 0);
        for (size_t b = 0; b < sizes[i]; b++) assert_int_equal(made[i][b], 0);
        memset(made[i], (int)(i % 255 + 1), sizes[i]);
    }
    for (size_t i = 0; i < MANY; i++)
        for (size_t b = 0; b < sizes[i]; b++) assert_int_equal(made[i][b], i % 255 + 1);
    arena_free(arena);
}

static void arena_counts_its_bytes(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    size_t empty = arena_bytes(arena);
    assert_true(empty > 0 && empty < 1024);
    arena_alloc(arena, 4096);
    assert_true(arena_bytes(arena) >= empty + 4096);
    size_t before = arena_bytes(arena);
    arena_alloc(arena, 1 << 20);
    assert_true(arena_bytes(arena) >= before + (1 << 20));
    assert_true(arena_bytes(arena) < before + (1 << 20) + 256);
    arena_free(arena);
}

static void arena_copies_text(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    assert_null(arena_strdup(arena, NULL));
    assert_string_equal(arena_strdup(arena, "whole"), "whole");
    assert_string_equal(arena_strndup(arena, "whole", 2), "wh");
    assert_string_equal(arena_strndup(arena, NULL, 0), "");
    assert_string_equal(arena_printf(arena, "%s-%d", "a", 42), "a-42");
    assert_string_equal(arena_join(arena, "a", "", "bc", "d", NULL), "abcd");
    assert_string_equal(arena_join(arena, "", NULL), "");
    assert_memory_equal(arena_copy(arena, "a\0b", 3), "a\0b", 3);
    assert_non_null(arena_copy(arena, NULL, 0));
    char *large = arena_printf(arena, "%0*d", 100000, 7);
    assert_int_equal(strlen(large), 100000);
    arena_free(arena);
}

static char order[8];
static void note(void *arg) {
    strncat(order, arg, 1);
}

static void arena_runs_what_was_deferred_last_first(void **state) {
    (void)state;
    order[0] = 0;
    struct arena *arena = arena_new();
    for (const char *word = "abc"; *word; word++) arena_defer(arena, note, arena_strndup(arena, word, 1));
    assert_string_equal(order, "");
    arena_free(arena); /* the arguments are in the arena: still readable while the functions run */
    assert_string_equal(order, "cba");
    arena_free(NULL);
}

/* What rests takes no more than it was said to need. */
static void test_an_arena_for_what_is_known(void **state) {
    (void)state;
    size_t sizes[] = {1, 400, 16, 65}, room = 0;
    for (size_t i = 0; i < 4; i++) room += ARENA_ROOM(sizes[i]);
    struct arena *arena = arena_new_for(room);
    size_t before = arena_bytes(arena);
    for (size_t i = 0; i < 4; i++) memset(arena_alloc(arena, sizes[i]), 1, sizes[i]);
#ifndef MEM_SINGLE
    assert_int_equal(arena_bytes(arena), before);
    assert_true(before <= room + 64);
#endif
    memset(arena_alloc(arena, 1000), 1, 1000); /* more is no mistake */
    assert_true(arena_bytes(arena) > before);
    arena_free(arena);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_arena_for_what_is_known),
        cmocka_unit_test(heap_copies),
        cmocka_unit_test(arena_gives_whole_objects),
        cmocka_unit_test(arena_counts_its_bytes),
        cmocka_unit_test(arena_copies_text),
        cmocka_unit_test(arena_runs_what_was_deferred_last_first),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
