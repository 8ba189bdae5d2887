/* An index by text: of runs by id, or by stage and key. Chained hashing; links are embedded in the entries. */
#ifndef BASE_INDEX_H
#define BASE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct index_link {
    struct index_link *next;
    uint32_t hash;
    void *owner;
};

struct index {
    struct index_link **slots;
    size_t slot_count, count;
};

uint32_t index_hash(struct text first, struct text second);
void index_add(struct index *index, struct index_link *link, uint32_t hash, void *owner);
void index_remove(struct index *index, struct index_link *link);
/* The first entry with that hash for which same(owner, arg) holds; or NULL. */
void *index_find(const struct index *index, uint32_t hash, bool (*same)(const void *owner, const void *arg),
                 const void *arg);
void index_fini(struct index *index);

#endif
