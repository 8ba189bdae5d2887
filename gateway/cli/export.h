/* What the kinds of `stagedoor export` share. */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include <stdbool.h>

#include "base/mem.h"
#include "cli/local.h"
#include "lang/json.h"
#include "lang/url.h"
#include "orca/url_rules.h"

struct export_options {
    struct local_options local;
    const char *only, *type_prefix, *token_env, *token_file, *check;
    bool before_2026_1, generic, no_token, json;
};

/* What --check holds a file against. */
struct export_expected {
    struct arena *arena;
    const char *file;
    const struct json *entries; /* of orca/preconfigured */
    const char *base_url;
    struct url url; /* the same, taken apart */
    struct url_rules_host host;
    bool (*wanted)(void *arg, const char *stage); /* see orca/compare.h */
    void *arg;
    bool json;
};

/* public_url of the settings as what paths are put behind, and the same taken apart. */
bool export_base_url(struct arena *arena, const struct settings *settings, const char **ret_base, struct url *ret_url,
                     struct fault *fault);

/* Give the exit status. */
int export_orca(const struct export_options *given);
/* For other callers than Spinnaker; `stage` NULL where none was named. */
bool export_ci_knows(const char *kind);
int export_ci(const struct export_options *given, const char *kind, const char *stage);
int export_check(const struct export_expected *expected);

#endif
