/* A stage for callers other than Spinnaker: what is written for each of them, and what they share. */
#ifndef CLI_CI_H
#define CLI_CI_H

#include <stdbool.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/ci_script.h"
#include "config/settings.h"
#include "lang/json.h"
#include "stage/catalog.h"

#define CI_OUTPUT_MAX (16 * 1024 * 1024)
#define CI_IMAGE "curlimages/curl:8.10.1" /* has a shell and curl */

struct ci {
    struct arena *arena;
    struct settings settings;
    struct catalog *catalog;
    const struct stage *stage;
    const char *base_url; /* of the gateway */
    struct buf out;
};

/* One for each kind of `export`: written to `out`. False: it was full. */
bool ci_hosts_github(struct ci *c);
bool ci_hosts_gitlab(struct ci *c);
bool ci_kubernetes_argo(struct ci *c);
bool ci_kubernetes_tekton(struct ci *c);
bool ci_jenkins_write(struct ci *c);
bool ci_azure_pipeline(struct ci *c);
bool ci_azure_definition(struct ci *c);

/* Texts, in c->arena. None has a control character, or what a system would put something else in place of. */
const char *ci_label(const struct ci *c);                  /* of the stage */
const char *ci_lower_name(const struct ci *c, char other); /* … as a host's label; `other` for the rest */
const char *ci_describe(const struct ci *c, const struct param *param); /* "Users: how many (integer, default 10)" */
const char *ci_preset(const struct ci *c, const struct param *param);   /* its default; NULL: none, or it is secret */
bool ci_is_secret(const struct param *param);
const char *ci_variable(const struct ci *c, size_t param); /* ci_script_variable */

/* Documents. */
const struct json *ci_string(const struct ci *c, const char *value);
struct json *ci_put_object(const struct ci *c, struct json *in, const char *name); /* an empty one, as a member */
struct json *ci_put_array(const struct ci *c, struct json *in, const char *name);
struct json *ci_push_object(const struct ci *c, struct json *in); /* an empty one, as an element */
/* The script, for c's stage and gateway, between two texts. */
const struct json *ci_shell(const struct ci *c, struct ci_script script, const char *before, const char *after);

/* The head of what is written: `what` it is for, `where` the token is and the report goes, the parameters. Each line
 * begins with `mark`. */
void ci_add_comments(struct ci *c, const char *mark, const char *kind, const char *what, const char *where);
bool ci_add_yaml(struct ci *c, const struct json *document);

#endif
