/* Making and reading run ids. The owner's bits are part of the id, so that nothing has to be looked up to find its
 * loop. */
#include "run/id.h"

#include <string.h>

#include "base/digest.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#define ID_LEN (STORE_ID_SIZE - 1)

bool id_check(struct text t) {
    if (t.len != ID_LEN) return false;
    for (size_t i = 0; i < t.len; i++)
        if (!t.at[i] || !strchr(alphabet, t.at[i])) return false;
    return true;
}

uint32_t id_owner(struct text id) {
    uint32_t value = 0;
    for (size_t i = ID_LEN - 3; i < ID_LEN; i++) value = value * 32 + (uint32_t)(strchr(alphabet, id.at[i]) - alphabet);
    return value;
}

/* FNV-1a: stable over restarts and versions, since ids in the store depend on it. */
static uint32_t hash(uint32_t value, struct text t) {
    for (size_t i = 0; i < t.len; i++) value = (value ^ (unsigned char)t.at[i]) * 16777619u;
    return value;
}

uint32_t id_owner_of_key(struct text stage, struct text key) {
    uint32_t value = hash(hash(hash(2166136261u, stage), TEXT("/")), key);
    return (value ^ value >> 15) % ID_OWNER_VALUES;
}

static void put(char *out, size_t count, uint64_t value) {
    while (count-- > 0) out[count] = alphabet[value % 32], value /= 32;
}

void id_make(int64_t wall_ms, uint32_t owner, char out[STORE_ID_SIZE]) {
    uint64_t chance[2];
    digest_random(chance, sizeof chance);
    put(out, 10, (uint64_t)wall_ms);
    put(out + 10, 7, chance[0]);
    put(out + 17, 6, chance[1]);
    put(out + 23, 3, owner);
    out[ID_LEN] = 0;
}
