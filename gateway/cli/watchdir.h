/* Watches directories with inotify, and says "something changed" once things have been quiet for a moment. */
#ifndef CLI_WATCHDIR_H
#define CLI_WATCHDIR_H

#include "base/loop.h"

struct watchdir;

/* `changed` is called on the loop, WATCHDIR_QUIET_MS after the last of a flock of changes, and at the latest
 * WATCHDIR_LATEST_MS after the first. A directory that is away is looked for again. NULL paths are skipped. GIVES. */
#define WATCHDIR_QUIET_MS 100
#define WATCHDIR_LATEST_MS 1000
struct watchdir *watchdir_new(struct loop *loop, const char *const *paths, size_t count, void (*changed)(void *arg),
                              void *arg);
void watchdir_free(struct watchdir *watchdir); /* NULL is allowed */

#endif
