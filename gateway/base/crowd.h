/* A crowd: descriptors that wait to be read, more of them than one pass of the loop has time for.
 *
 * libevent hands out whatever is ready, thousands at once, and nothing else comes between. A crowd has an epoll of its
 * own, which the loop watches as one descriptor: its members get a turn a pass, in the order in which they became
 * readable, until `turn_ms` are used up. What is left stays in the kernel, where it holds up nobody but its sender.
 * Belongs to its loop's thread. */
#ifndef BASE_CROWD_H
#define BASE_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct crowd;

/* GIVES. A turn is timed under `name`, as every callback of the loop. Where it `presses`, the
 * loop is behind while its members wait for longer than LOOP_BEHIND_MS. */
struct crowd *crowd_new(struct loop *loop, const char *name, int64_t turn_ms, bool presses,
                        void (*readable)(void *member));
void crowd_free(struct crowd *crowd); /* NULL is allowed */

/* Level triggered. False: the kernel takes no more (errno). */
bool crowd_add(struct crowd *crowd, int fd, void *member);
void crowd_remove(struct crowd *crowd, int fd, const void *member); /* before the descriptor is closed; from anywhere */

#endif
