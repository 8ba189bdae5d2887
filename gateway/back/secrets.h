/* Secrets: from the environment (STAGEDOOR_SECRET_NAME) and a directory with one file a secret, as Docker, Kubernetes
 * and systemd credentials give them. Values leave this file only towards a request's rendering; `secrets_mask` takes
 * them out of anything else. */
#ifndef BACK_SECRETS_H
#define BACK_SECRETS_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/text.h"
#include "lang/json.h"

/* Reads all secrets anew and puts them in force, for all threads; the old set lives on while somebody holds it. A
 * thread that asked for secrets, or masked, holds what was in force then until it does so again, or ends. `directory`
 * may be NULL. Environment names are taken in lower case: STAGEDOOR_SECRET_LOADTEST_TOKEN is secret.loadtest_token. A
 * file wins over the environment; one trailing newline of a file is dropped. Unreadable files, values that are not
 * UTF-8, and values over 64 KiB are faults; nothing changes then. */
bool secrets_load(const char *directory, struct fault *fault);

bool secrets_known(void *unused, const char *name); /* fits stage_context.secret_known */

struct secrets;
struct secrets *secrets_ref(void); /* the set in force; GIVES a reference; NULL before the first load. No lock */
void secrets_unref(struct secrets *secrets);
void secrets_unload(void); /* at the end of the process; NULL is what secrets_ref gives then */
const struct json *
secrets_json(const struct secrets *secrets); /* an object: name to value; lives as long as the reference */

/* Replaces every secret's value (of 4 bytes or more) in the buffer by "***": as it is, percent-encoded, base64-encoded
 * and JSON-escaped; those of before a load too, the last 64 of them. Any thread. */
void secrets_mask(struct buf *line);
bool secrets_mask_text(struct text t,
                       struct buf *ret_masked); /* false, and nothing written, where there is nothing to mask */
/* Where the first of them is from `from` on, for whoever has more to mask; false: there is none. */
bool secrets_find(struct text t, size_t from, size_t *ret_start, size_t *ret_end);

#endif
