/* A hash table of links that grows by doubling; it owns its slots, never its entries.
 *
 * Chained, so that removing is cheap and an entry never moves. Keys are ids and what callers send: the hash is not
 * keyed, but a loop holds no more runs than `max_runs`, and a caller who collides on purpose slows down nobody but the
 * loop it was given. */
#include "base/index.h"

#include "base/mem.h"
#include "base/word.h"

_Static_assert(sizeof(size_t) == 8, "stagedoor is for 64-bit platforms, such as amd64 and arm64");

/* Both halves of the product count, so that each bit of the word has a say in each bit of the hash. 32-bit compilers
 * have no such type. */
static uint64_t mix(uint64_t hash, uint64_t word) {
    __extension__ unsigned __int128 product = (unsigned __int128)(hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The length goes along, so that where one text ends and the next begins makes a difference. */
static uint64_t mix_text(uint64_t hash, struct text t) {
    uint64_t len = t.len;
    for (; t.len >= 8; text_skip(&t, 8)) hash = mix(hash, word_load(t.at, 8));
    return mix(t.len ? mix(hash, word_load(t.at, t.len)) : hash, len);
}

uint32_t index_hash(struct text first, struct text second) {
    uint64_t hash = mix_text(mix_text(UINT64_C(0xCBF29CE484222325), first), second);
    return (uint32_t)(hash ^ hash >> 32);
}

static void put(struct index *index, struct index_link *link) {
    struct index_link **slot = &index->slots[link->hash & (index->slot_count - 1)];
    link->next = *slot;
    *slot = link;
}

static void grow(struct index *index) {
    struct index old = *index;
    index->slot_count = old.slot_count ? old.slot_count * 2 : 64;
    index->slots = mem_alloc(index->slot_count * sizeof *index->slots);
    for (size_t i = 0; i < old.slot_count; i++)
        for (struct index_link *link = old.slots[i], *next; link; link = next) next = link->next, put(index, link);
    mem_free(old.slots);
}

void index_add(struct index *index, struct index_link *link, uint32_t hash, void *owner) {
    if (index->count >= index->slot_count) grow(index);
    link->hash = hash;
    link->owner = owner;
    index->count++;
    put(index, link);
}

void index_remove(struct index *index, struct index_link *link) {
    if (!index->slot_count) return;
    struct index_link **at = &index->slots[link->hash & (index->slot_count - 1)];
    while (*at && *at != link) at = &(*at)->next;
    if (!*at) return;
    *at = link->next;
    index->count--;
}

void *index_find(const struct index *index, uint32_t hash, bool (*same)(const void *owner, const void *arg),
                 const void *arg) {
    if (!index->slot_count) return NULL;
    for (struct index_link *link = index->slots[hash & (index->slot_count - 1)]; link; link = link->next)
        if (link->hash == hash && same(link->owner, arg)) return link->owner;
    return NULL;
}

void index_fini(struct index *index) {
    mem_free(index->slots);
    *index = (struct index){0};
}
