/* What a kind of store offers to store.c: one row a URL scheme. Only this folder includes this. */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include "store/store.h"

struct store_driver {
    const char *scheme; /* of the URL, without its colon */
    void *(*open)(const char *rest, const struct store_settings *settings, struct fault *fault); /* behind the colon */
    void (*close)(void *state);
    void (*submit)(void *state, struct store_op *op); /* the results are empty */
    bool (*ready)(const void *state);
    bool (*places)(void *state, int64_t **ret_places, size_t *ret_count, struct fault *fault);
    bool (*each_stage)(void *state, void (*fn)(void *arg, const char *stage), void *arg, struct fault *fault);
    char *(*definition)(void *state, const char *hash, struct fault *fault);
    char *(*key)(void *state, struct fault *fault);
};

/* Posts `done` to the loops of the op and of those that `next` links to it; they are no longer the driver's. A LIST
 * whose cursor has a time goes on with what was made in that millisecond or before; else the driver puts there when the
 * run before_id was made. */
void store_answer(struct store_op *first);
struct arena *store_results(struct store_op *op); /* the op's arena, made when it is first asked for */

#endif
