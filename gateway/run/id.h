/* Run ids: ULIDs (26 characters of Crockford's base 32; 48 bits of time, 80 of chance), which sort by the time of their
 * making.
 *
 * The last three characters (15 bits) also say which loop owns the run: their value modulo the number of loops. For a
 * run with a caller's key they are taken from a hash of stage and key, so that whoever has only the key finds the same
 * loop, also after a restart with another number of loops. */
#ifndef RUN_ID_H
#define RUN_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "store/store.h"

#define ID_OWNER_VALUES 32768u

bool id_check(struct text t);                                 /* 26 characters of the alphabet, upper case */
uint32_t id_owner(struct text id);                            /* 0…32767 */
uint32_t id_owner_of_key(struct text stage, struct text key); /* 0…32767 */
void id_make(int64_t wall_ms, uint32_t owner, char out[STORE_ID_SIZE]);

#endif
