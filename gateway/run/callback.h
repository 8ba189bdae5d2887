/* Callbacks: the URL that an upstream calls when it is done, and what comes by it.
 *
 * A token names a run and one of its steps, and is signed with the store's key, so that nobody can make one up and
 * nothing has to be looked up to refuse it: "sdcb-", the run's id, "-", the step's index, "-", and the HMAC-SHA256 of
 * what stands before in 64 hexadecimal digits. It is the credential of whoever calls back, and is masked like one. */
#ifndef RUN_CALLBACK_H
#define RUN_CALLBACK_H

#include "base/text.h"
#include "call/reply.h"
#include "run/run.h"

#define CALLBACK_PREFIX "sdcb-"
#define CALLBACK_TOKEN_SIZE 112 /* and NUL */

struct callback_place {
    char id[STORE_ID_SIZE];
    size_t step;
};

/* `key` is store_key's. */
void callback_token(const char *key, const char *id, size_t step, char out[CALLBACK_TOKEN_SIZE]);
/* False for what this key never signed; in constant time. */
bool callback_token_read(const char *key, struct text token, struct callback_place *ret_place);

/* What templates of the call at hand see as `callback`: {"url": …}; NULL where its step tells none, or where the
 * gateway has no URL of its own (`base_url` is empty). */
const struct json *callback_root(struct arena *arena, const struct run *run, const char *key, const char *base_url);

/* Is the message from whom the step wants it to be? Faults as signature_check's; INTERNAL also where the definition's
 * secret cannot be rendered. */
bool callback_verify(const struct run *run, size_t step, const struct reply *message, int64_t now_ms,
                     struct fault *fault);

/* As run_move takes it: {body, headers, code}, without the headers that are credentials, and a mark. In `arena`. */
void callback_read(struct arena *arena, size_t step, const struct reply *message, struct run_callback *ret_callback);

/* Every token in the text as "sdcb-***". False, and nothing written, where there is none. */
bool callback_mask_text(struct text t, struct buf *ret_masked);
void callback_mask(struct buf *line); /* the same in place */

#endif
