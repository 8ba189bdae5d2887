/* Trust: whom an upstream's certificate has to come from, and what we show of ourselves. Private to back/. */
#ifndef BACK_TRUST_H
#define BACK_TRUST_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "base/text.h"
#include "stage/stage.h"

#define TRUST_FILES 3

struct trust_stamp { /* zero: there is no file, or it cannot be looked at */
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/* The TLS settings of calls to one origin, and the last session of theirs. */
struct trust {
    bool insecure;
    char *ca, *certificate, *key;           /* files, copies; NULL: none */
    SSL_CTX *context;                       /* NULL: none yet, or it has to be made anew */
    struct trust_stamp stamps[TRUST_FILES]; /* of the files when it was made */
    SSL_SESSION *session;                   /* for the next connection; NULL: none */
};

void trust_global_init(void); /* once, before threads: reads the system's CA certificates */

/* `own_origin` is false for a redirect to another origin, which does not get to see the client certificate. */
void trust_init(struct trust *trust, const struct stage_tls *tls, bool own_origin);
void trust_fini(struct trust *trust);
bool trust_is(const struct trust *trust, const struct stage_tls *tls, bool own_origin);

/* A TLS client for a connection to that host (IPv6 in brackets), which goes on with the session of an earlier one. The
 * files are read again where they have changed. GIVES; NULL with the reason in *ret_reason, an empty buffer.
 * `trust` has to outlive it. */
SSL *trust_client(struct trust *trust, const char *host, struct buf *ret_reason);

/* Whether such a client rests on the files as they are now. */
bool trust_holds(const struct trust *trust, const SSL *client);

void trust_forget_session(struct trust *trust); /* the next client begins without one */

/* Why the handshake of such a client has failed; `error` is errno, or 0. */
void trust_explain(const struct trust *trust, SSL *client, const char *host, int error, struct buf *ret_reason);

#endif
