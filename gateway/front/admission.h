/* Admission: when a start may begin. A loop has two, on its thread: of starts that need the disk, and of those that
 * need none.
 *
 * Starts come last. While the loop or the disk has more to do than it can, a start waits until there is nothing else to
 * do; one that would wait for longer than `patience_ms` is refused. What else clients ask never comes here. */
#ifndef FRONT_ADMISSION_H
#define FRONT_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "store/store.h"

struct admission;

/* Embedded in who asks; zeroed. */
struct admission_seat {
    struct admission_seat *next;
    void (*decided)(void *arg, bool goes);
    void *arg;
    int64_t came_ms;
    size_t bytes;
};

struct admission *admission_new(struct loop *loop, const struct store *store,
                                int64_t patience_ms); /* GIVES; without a store no disk is waited for */
bool admission_is_full(const struct admission *admission, size_t bytes); /* whether a start would be refused at once */
/* The same; it counts as refused then, and must not enter. */
bool admission_turns_away(struct admission *admission, size_t bytes);
void admission_tune(struct admission *admission, int64_t patience_ms);
/* `decided` is called exactly once, at once or later. `bytes`: what is held in memory for as long as it waits. */
void admission_enter(struct admission *admission, struct admission_seat *seat, size_t bytes,
                     void (*decided)(void *arg, bool goes), void *arg);
void admission_dismiss(struct admission *admission); /* after the loop has ended, before the store is closed: who still
                                                        waits is refused, and nobody enters any more */
void admission_free(struct admission *admission);    /* NULL is allowed */

#endif
