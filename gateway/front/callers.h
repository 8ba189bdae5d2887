/* Callers: who may call, and what each may do with which stage.
 *
 *   callers = (
 *     { name = "orca"; token_sha256 = "9f86d0…"; start = [ "*" ]; see = [ "*" ]; cancel = [ "*" ]; },
 *     { name = "team-a"; certificate = "team-a.example.com"; start = [ "a-*" ]; }
 *   );
 *
 * A caller shows a bearer token (RFC 6750; kept as its SHA-256) or a client certificate (its subject's common name).
 * `see` and `cancel` default to what `start` allows. A name may end in "*". */
#ifndef FRONT_CALLERS_H
#define FRONT_CALLERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"

struct callers;
struct caller;

enum caller_right { RIGHT_START, RIGHT_SEE, RIGHT_CANCEL, RIGHT_END };

struct callers *callers_load(const char *path,
                             struct faults *faults);  /* GIVES one reference; NULL with every mistake */
struct callers *callers_ref(struct callers *callers); /* NULL gives NULL */
void callers_unref(struct callers *callers);          /* any thread */

/* By the value of an Authorization header (may be NULL) or the certificate's name (may be NULL). In constant time for
 * tokens of one length. NULL with an UNAUTHORIZED fault. */
const struct caller *callers_find(const struct callers *callers, const char *authorization, const char *certificate,
                                  struct fault *fault);

/* Who a client was that showed this token before, to the same callers: to hash a token takes as long as all else that
 * is asked about a request. Zeroed at first; of one client, whose certificate stays the same. */
struct caller_memo {
    struct callers *callers; /* a reference: nobody else can have their place in memory */
    const struct caller *caller;
    char *authorization; /* owned */
};
/* callers_find for a client that comes again; `memo` may be NULL. */
const struct caller *callers_find_again(struct callers *callers, struct caller_memo *memo, const char *authorization,
                                        const char *certificate, struct fault *fault);
void caller_memo_fini(struct caller_memo *memo);

const char *caller_name(const struct caller *caller);
bool caller_may(const struct caller *caller, enum caller_right right,
                const char *stage); /* NULL caller: an open gateway: yes */
bool caller_sees_all(const struct caller *caller);

#endif
