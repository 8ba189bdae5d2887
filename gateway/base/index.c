/* A hash table of links that grows by doubling; it owns its slots, never its entries.
 *
 * Chained, so that removing is cheap and an entry never moves. Keys are ids and what callers send: the hash is not
 * keyed, but a loop holds no more runs than `max_runs`, and a caller who collides on purpose slows down nobody but the
 * loop it was given. */
#include "base/index.h"

#include "base/mem.h"

static uint32_t mix(uint32_t hash, struct text t) {
    for (size_t i = 0; i < t.len; i++) hash = (hash ^ (unsigned char)t.at[i]) * 16777619u;
    return hash;
}

uint32_t index_hash(struct text first, struct text second) {
    uint32_t hash = mix(mix(2166136261u, first) * 16777619u, second);
    return hash ^ hash >> 16;
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
