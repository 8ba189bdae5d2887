/* Following a run to its end: what `run` and `watch` have in common. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/client.h"
#include "lang/json.h"

enum { EXIT_LEFT = 130 }; /* as a shell says of what Ctrl-C ended */

struct follow_settings {
    struct client *client;
    const char *command; /* "run", "watch": for messages */
    int64_t timeout_ms;  /* leave after so long; 0: never. The run itself goes on */
    int64_t patience_ms; /* how long a gateway may be gone before we give up */
    bool json;           /* stdout is for the last report alone */
};

#define FOLLOW_PATIENCE_MS (60 * 1000)

/* Follows the run `id`. `report` is what is known of it, or NULL. Prints how it ended, and gives the exit status.
 * SIGINT is taken over meanwhile. */
int follow_run(const struct follow_settings *settings, const char *id, const struct json *report);

/* POST /runs/{id}/cancel. EXIT_DONE if it was taken; else what went wrong has been printed. */
int follow_cancel(struct client *client, struct arena *arena, const char *command, const char *id,
                  struct client_answer *ret_answer);

#endif
