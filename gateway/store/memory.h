/* Records that are kept in memory alone: of runs in flight no more than what lists and keys need, since their engines
 * know the rest; of runs that are over also where their records come from. Private to store/. Any thread. */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store/store.h"

struct memory;

struct memory *memory_new(size_t max_kept); /* GIVES; bytes, as in store_settings */
void memory_free(struct memory *memory);    /* NULL is allowed */

/* Copies what it needs. False where the id or the (stage, key) is there already. */
bool memory_insert(struct memory *memory, const struct store_record *record);
bool memory_update(struct memory *memory, const struct store_record *record); /* false: it is not there */
void memory_drop(struct memory *memory, const char *id);                      /* if it is there */
void memory_keep(struct memory *memory, const char *id, struct store_source *source);

/* By the op's id, or its (stage, key): fills the op's results, with a body. False: it is not there. */
bool memory_get(struct memory *memory, struct store_op *op);
bool memory_find_key(struct memory *memory, struct store_op *op);
bool memory_recall(struct memory *memory, struct arena *arena, struct store_record *record);

/* Where the run of that id stands in lists. False: it is not there. */
bool memory_place(struct memory *memory, const char *id, struct store_place *ret_place);
/* Puts those that the op's filter wants between what the op has found elsewhere, as many as the limit allows. */
void memory_merge(struct memory *memory, struct store_op *op);

void memory_prune(struct memory *memory, int64_t before_ms); /* those that ended before */
/* Takes the oldest of those that are kept out of it. GIVES; NULL: there is none. The record is the op's own. */
struct store_source *memory_take(struct memory *memory, struct arena *arena, struct store_record *ret_record);

#endif
