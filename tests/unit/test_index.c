/* The index against a plain list: whatever is added and removed, in any order, both find the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/index.h"
#include "base/mem.h"

struct entry {
    struct index_link link;
    char name[16];
    bool in;
};

static bool same(const void *owner, const void *arg) {
    return strcmp(((const struct entry *)owner)->name, arg) == 0;
}

static uint32_t hash_of(const char *name, uint32_t mask) {
    return index_hash(text_of(name), (struct text){0}) & mask;
}

static void drive(uint32_t mask) { /* a small mask makes collisions */
    enum { COUNT = 700, MOVES = 20000 };
    struct entry *entries = mem_alloc(COUNT * sizeof *entries);
    struct index index = {0};
    size_t count = 0;
    uint32_t random = 1;
    assert_null(index_find(&index, 5, same, "x"));
    for (size_t i = 0; i < COUNT; i++) snprintf(entries[i].name, sizeof entries[i].name, "run-%zu", i);
    for (int move = 0; move < MOVES; move++) {
        random = random * 1664525u + 1013904223u;
        struct entry *e = &entries[(random >> 8) % COUNT];
        uint32_t hash = hash_of(e->name, mask);
        assert_ptr_equal(index_find(&index, hash, same, e->name), e->in ? e : NULL);
        if (e->in) index_remove(&index, &e->link), count--;
        else index_add(&index, &e->link, hash, e), count++;
        e->in = !e->in;
        assert_int_equal(index.count, count);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_ptr_equal(index_find(&index, hash_of(entries[i].name, mask), same, entries[i].name),
                         entries[i].in ? &entries[i] : NULL);
    index_fini(&index);
    assert_int_equal(index.count, 0);
    mem_free(entries);
}

static void test_against_a_list(void **state) {
    (void)state;
    static const uint32_t masks[] = {UINT32_MAX, 7, 0};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) drive(masks[i]);
}

static void test_removing_what_is_not_there(void **state) {
    (void)state;
    struct index index = {0};
    struct entry a = {.name = "a"}, b = {.name = "b"};
    index_add(&index, &a.link, 1, &a);
    b.link.hash = 1;
    index_remove(&index, &b.link);
    assert_int_equal(index.count, 1);
    index_remove(&index, &a.link);
    index_remove(&index, &a.link);
    assert_int_equal(index.count, 0);
    index_fini(&index);
    index_remove(&index, &a.link); /* an index that never held anything */
}

static void test_hash(void **state) {
    (void)state;
    assert_int_equal(index_hash(TEXT("a"), TEXT("b")), index_hash(TEXT("a"), TEXT("b")));
    assert_int_not_equal(index_hash(TEXT("a"), TEXT("b")), index_hash(TEXT("b"), TEXT("a")));
    assert_int_not_equal(index_hash(TEXT("ab"), TEXT("c")), index_hash(TEXT("a"), TEXT("bc")));
    assert_int_not_equal(index_hash(TEXT("ab"), TEXT("")), index_hash(TEXT(""), TEXT("ab")));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_a_list),
                                       cmocka_unit_test(test_removing_what_is_not_there), cmocka_unit_test(test_hash)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
