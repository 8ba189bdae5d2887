/* What commands that ask no gateway read: the settings and the definitions of this machine. */
#ifndef CLI_LOCAL_H
#define CLI_LOCAL_H

#include <stdbool.h>

#include "base/fault.h"
#include "config/settings.h"
#include "stage/stage.h"

struct local_options {
    const char *config, *stages, *templates, *secrets, *public_url; /* NULL: as the settings have it */
    bool any_secret;
};

/* Rows for a command's table; `type` has a `struct local_options local`. */
#define LOCAL_OPTIONS(type)                                                                                      \
    {'c',                                                                                                        \
     "config",                                                                                                   \
     ARGS_TEXT,                                                                                                  \
     "FILE",                                                                                                     \
     offsetof(type, local.config),                                                                               \
     "take settings from this file (default: stagedoor.conf, where it exists)",                                  \
     0,                                                                                                          \
     0},                                                                                                         \
        {0, "stages", ARGS_TEXT, "DIR", offsetof(type, local.stages), "where definitions are", 0, 0},            \
        {0, "templates", ARGS_TEXT, "DIR", offsetof(type, local.templates), "where template files are", 0, 0},   \
        {0, "secrets", ARGS_TEXT, "DIR", offsetof(type, local.secrets), "where files with secrets are", 0, 0}, { \
        0, "any-secret", ARGS_FLAG, NULL, offsetof(type, local.any_secret), "take every secret as known", 0, 0   \
    }

/* Mistakes are told on stderr, by `command`. */
bool local_settings(struct arena *arena, const char *command, const struct local_options *given,
                    struct settings *ret_settings);

/* How definitions are compiled here; reads the secrets. */
bool local_context(const struct settings *settings, const struct local_options *given,
                   struct stage_context *ret_context, struct fault *fault);
#endif
