/* What the kinds of `stagedoor export` share. */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include <stdbool.h>

#include "cli/local.h"

struct export_options {
    struct local_options local;
    const char *only, *type_prefix, *token_env, *token_file, *check;
    bool before_2026_1, generic, no_token, json;
};

/* Gives the exit status. */
int export_orca(const struct export_options *given);

#endif
