/* Upstreams that want to be left alone: until when, by host and credential. One for the process, shared by its loops
 * under a lock; nothing is kept over a restart. */
#ifndef RUN_HOLDS_H
#define RUN_HOLDS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call/reply.h"
#include "call/request.h"

#define HOLDS_MAX 1024 /* of more, those that end first are forgotten */

struct hold {
    char key[65]; /* a digest of origin and credentials */
    int64_t until_mono_ms, asked_ms;
    int code; /* of the reply that asked */
};

/* What is waited for goes by the clock that goes on evenly; what is told, by the other. */
struct holds_now {
    int64_t wall_ms, mono_ms;
};

/* Zeroed before its first use. */
struct holds {
    pthread_mutex_t lock;
    struct hold *items;
    size_t count, room;
    atomic_bool any; /* read without the lock, by those that ask */
};

/* Takes note of what a reply asks for (asked_hold_ms). */
void holds_note(struct holds *holds, const struct request *request, const struct reply *reply,
                const struct holds_now *now);

bool holds_any(const struct holds *holds); /* does anybody have to wait? Cheap; no lock. NULL is allowed */

/* Until when (wall, by the clock as it stands now) this call has to wait; 0: it may be made. The wait is a little
 * longer than what was asked for, by chance, so that those who waited do not come all at once. *ret_why is a sentence
 * in `arena`. */
int64_t holds_until_ms(struct holds *holds, struct arena *arena, const struct request *request,
                       const struct holds_now *now, uint32_t random, const char **ret_why);

void holds_fini(struct holds *holds);

#endif
