/* TLS for listeners: contexts, and the session of a connection. */
#ifndef FRONT_TLS_H
#define FRONT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/fault.h"
#include "base/text.h"

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

/* One connection's TLS: it reads the socket itself, and hands what is to be written to its owner. */
struct tls_session;

/* GIVES. `send` takes all that it is given, and may be called from any function below; it must not end the session. */
struct tls_session *tls_session_new(struct ssl_ctx_st *handle, int fd, void (*send)(void *arg, struct text bytes),
                                    void *arg);
void tls_session_free(struct tls_session *session); /* says nothing; NULL is allowed */

#define TLS_PIECE_BYTES 16384 /* of one record, at most (RFC 8446, 5.1) */

/* As recv, for TLS_PIECE_BYTES or more: bytes; 0 where the client sends no more; -1 with errno, EAGAIN where nothing
 * has come that is for the reader, EPROTO where tls_session_why says what broke it. One record a call, so that a client
 * who sends and sends gets no more than his turn, and nothing stays behind that the socket does not show. The handshake
 * goes on in here as well. */
ssize_t tls_session_read(struct tls_session *session, char *room, size_t size);
/* The handshake must be over. */
void tls_session_write(struct tls_session *session, struct text bytes);
bool tls_session_is_open(const struct tls_session *session); /* the handshake is over */
/* The subject CN of the client's verified certificate: GIVES a heap string, or NULL if there is none. */
char *tls_session_client(const struct tls_session *session);
void tls_session_goodbye(
    struct tls_session *session); /* sends close_notify, once; nothing before the handshake's end */
const char *tls_session_why(const struct tls_session *session); /* of what broke it; "" if nobody knows */

#endif
