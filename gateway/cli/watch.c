/* `stagedoor watch`: follows a run that somebody started, maybe another program.
 *
 * Only the command line is here; follow.c does the rest, for `run` as well. */
#include <stddef.h>

#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/screen.h"

struct watch_options {
    struct client_options client;
    bool json;
    int64_t timeout_ms, patience_ms;
};

static const struct args_option options[] = {
    {'t', "timeout", ARGS_DURATION, "TIME", offsetof(struct watch_options, timeout_ms),
     "leave after TIME (30s, 2h); the run goes on", 0, 0},
    {0, "patience", ARGS_DURATION, "TIME", offsetof(struct watch_options, patience_ms),
     "go on for TIME while the gateway is gone (default 1m)", 0, 0},
    {0, "json", ARGS_FLAG, NULL, offsetof(struct watch_options, json), "print the last report as JSON", 0, 0},
    CLIENT_OPTIONS(struct watch_options),
};

static const struct args_command command = {
    "watch",
    "RUN",
    "Follows a run to its end. Ctrl-C asks whether to cancel it; a second one leaves.\n\n"
    "exit status: 0 succeeded, 1 failed, 2 usage, 3 canceled, 4 gateway unreachable, 130 left\n",
    options,
    sizeof options / sizeof *options,
    1,
    1};

int command_watch(int argc, char **argv) {
    struct watch_options given = {.patience_ms = FOLLOW_PATIENCE_MS};
    struct args_words words;
    struct fault fault;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    if (!words.items[0][0]) return args_wrong("watch", "a run's id is not empty");
    struct client *client = client_new(&given.client, &fault);
    if (!client) {
        screen_fault("watch", &fault);
        return EXIT_USAGE;
    }
    struct follow_settings settings = {.client = client,
                                       .command = "watch",
                                       .timeout_ms = given.timeout_ms,
                                       .patience_ms = given.patience_ms,
                                       .json = given.json};
    status = follow_run(&settings, words.items[0], NULL);
    client_free(client);
    return status;
}
