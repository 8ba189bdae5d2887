/* A stage as a shell script: what the snippets for other callers run. */
#ifndef CLI_CI_SCRIPT_H
#define CLI_CI_SCRIPT_H

#include "base/mem.h"
#include "base/text.h"
#include "stage/stage.h"

struct ci_script {
    const struct stage *stage;
    const char *base_url; /* of the gateway */
    const char *key;      /* shell: the start's key; the same for a start that is sent again, and another for a rerun */
    const char *user, *pipeline, *execution; /* shell: who is behind it; NULL: not told */
    const char *finish; /* lines of shell, when the run has ended: $status, $id and the file $report; or NULL */
};

/* The variable of the environment that the script takes a parameter from: P_users. In `arena`. */
const char *ci_script_variable(struct arena *arena, const struct stage *stage, size_t param);

/* For any POSIX shell with curl. Its exit status is that of `stagedoor run`. */
void ci_script_write(struct arena *arena, struct buf *out, const struct ci_script *script);

#endif
