/* `stagedoor export`: the stages of this machine's definitions in the form of another system, one kind a file.
 *
 * The command line is one for all kinds; what a kind writes, and from what, is its own. Nothing is sent to anybody. */
#include "cli/export.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/args.h"
#include "cli/command.h"

static const struct args_option options[] = {
    LOCAL_OPTIONS(struct export_options),
    {0, "public-url", ARGS_TEXT, "URL", offsetof(struct export_options, local.public_url),
     "how orca reaches the gateway (default: public_url of the settings)", 0, 0},
    {0, "only", ARGS_TEXT, "NAMES", offsetof(struct export_options, only),
     "these stages: names and patterns, with commas between them", 0, 0},
    {0, "type-prefix", ARGS_TEXT, "TEXT", offsetof(struct export_options, type_prefix),
     "put this in front of a stage's name to make its type in pipelines", 0, 0},
    {0, "generic", ARGS_FLAG, NULL, offsetof(struct export_options, generic),
     "one entry for all stages, which has the name as a parameter", 0, 0},
    {0, "token-env", ARGS_TEXT, "NAME", offsetof(struct export_options, token_env),
     "orca takes its token from its environment (default: STAGEDOOR_TOKEN)", 0, 0},
    {0, "token-file", ARGS_TEXT, "FILE", offsetof(struct export_options, token_file),
     "write the token in this file into the output", 0, 0},
    {0, "no-token", ARGS_FLAG, NULL, offsetof(struct export_options, no_token),
     "orca shows no token (the default where callers is not set)", 0, 0},
    {0, "orca-before-2026.1", ARGS_FLAG, NULL, offsetof(struct export_options, before_2026_1),
     "put the token into customHeaders: that orca has no sensitiveHeaders", 0, 0},
    {0, "check", ARGS_TEXT, "FILE", offsetof(struct export_options, check),
     "write nothing; say how FILE, which orca reads, differs from it", 0, 0},
    {0, "json", ARGS_FLAG, NULL, offsetof(struct export_options, json), "print JSON in place of YAML or text", 0, 0},
};

static const struct args_command command = {
    "export",
    "orca | KIND STAGE",
    "orca: the stages as native stages of Spinnaker: the list webhook.preconfigured for\n"
    "orca-local.yml, and what orca has to be told so that it calls the gateway at all.\n"
    "KIND is jenkins, gitlab, github, argo or tekton: a job that runs the stage, in their notation;\n"
    "or azure, a job without an agent, for a stage that azure-stage writes the definition of.\n\n"
    "exit status: 0 done, 1 a definition is broken, or FILE differs,\n"
    "             2 usage or configuration\n",
    options,
    sizeof options / sizeof *options,
    1,
    2};

/* It is written into YAML, Groovy and shell scripts, and Spring and others put something in place of ${…}. */
bool export_base_url(struct arena *arena, const struct settings *settings, const char **ret_base, struct url *ret_url,
                     struct fault *fault) {
    struct text url = text_of(settings->public_url);
    if (!url.len)
        return fault_set(
            fault, FAULT_INVALID, "public_url",
            "orca and other callers need the URL at which they reach the gateway, and none is set: write "
            "public_url = \"https://stagedoor.example.com\"; into stagedoor.conf, or give --public-url URL");
    while (url.len && url.at[url.len - 1] == '/') url.len--;
    *ret_base = arena_strndup(arena, url.at, url.len);
    if (!url_parse(text_of(*ret_base), ret_url, fault)) return false;
    return !strpbrk(*ret_base, "?#${}'\"\\") ||
           fault_set(fault, FAULT_INVALID, "public_url", "\"%s\" is not a URL that paths can be put behind",
                     settings->public_url);
}

/* "orca", and what export_ci knows. */
static const char *const kinds[] = {"orca", "jenkins", "gitlab", "github", "argo", "tekton", "azure", "azure-stage"};

int command_export(int argc, char **argv) {
    struct export_options given = {0};
    struct args_words words;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    const char *kind = words.items[0], *stage = words.count > 1 ? words.items[1] : NULL;
    if (export_ci_knows(kind)) return export_ci(&given, kind, stage);
    const char *near = text_nearest(kind, kinds, sizeof kinds / sizeof *kinds);
    if (strcmp(kind, "orca") != 0)
        return near ? args_wrong("export", "there is no \"%s\" (did you mean %s?)", kind, near)
                    : args_wrong("export", "there is no \"%s\"; there is orca, and others: see --help", kind);
    return stage ? args_wrong("export", "orca has all stages; --only %s picks one", stage) : export_orca(&given);
}
