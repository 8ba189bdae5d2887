/* TLS contexts for listeners, and what a listener asks of a connection's TLS. */
#ifndef FRONT_TLS_H
#define FRONT_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

struct ssl_st;     /* OpenSSL's SSL */
struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* Certificate chain, key, and optionally the CA that clients' certificates must come from (then one is demanded).
 * Immutable once made, so that all loops may use the same one. */
struct tls_context;

/* PEM files. A fault names the file. `client_ca` NULL: clients are not asked for a certificate. GIVES. */
struct tls_context *tls_context_new(const char *certificate, const char *key, const char *client_ca,
                                    struct fault *fault);
void tls_context_free(struct tls_context *context); /* connections that use it go on; NULL is allowed */

struct ssl_ctx_st *tls_context_ref(struct tls_context *context); /* GIVES a reference; end it with tls_context_unref */
void tls_context_unref(struct ssl_ctx_st *handle);               /* NULL is allowed */

/* The subject CN of the client's verified certificate: GIVES a heap string, or NULL if there is none. */
char *tls_client_name(struct ssl_st *tls);
void tls_say_goodbye(struct ssl_st *tls); /* sends close_notify; what the client sends can still be read */
/* What an OpenSSL error code means; "" for 0. */
void tls_error_text(unsigned long code, char *out, size_t size);

#endif
