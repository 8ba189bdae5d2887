/* TLS for listeners, from OpenSSL: the context that sessions are made from, and the session of a connection.
 *
 * libevhtp's own set-up ignores keys that do not load and knows nothing of ALPN or minimum versions, and libevent's
 * bufferevents over TLS read as much as a client sends. TLS 1.2 and newer, no renegotiation, no compression; buffers
 * are released while a connection idles, which is most of what an idle TLS connection costs. A certificate that cannot
 * be used is a fault when it is loaded, never a handshake that fails later.
 *
 * A session reads its socket without reading ahead: what OpenSSL has not been asked for is still in the socket, so that
 * epoll tells of it. After a record that was not for the reader (a new key, a ticket asked for) it returns, too. */
#include "front/tls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"

struct tls_context {
    SSL_CTX *handle;
};

struct tls_session {
    SSL *ssl;
    unsigned long error; /* OpenSSL's, of what broke it; 0: none */
};

static const char *reason_of(unsigned long code) {
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    return reason ? reason : "";
}

/* The oldest error in the queue is the cause; the later ones are about who passed it on. */
static bool file_fault(struct fault *fault, const char *file, const char *what) {
    const char *reason = reason_of(ERR_get_error());
    if (access(file, R_OK) < 0) fault_set(fault, FAULT_IO, file, "cannot be read: %s", strerror(errno));
    else fault_set(fault, FAULT_INVALID, file, "%s%s%s", what, *reason ? ": " : "", reason);
    ERR_clear_error();
    return false;
}

/* RFC 7301. A client that offers protocols, and not ours, is told so instead of being misunderstood later. */
static int choose_protocol(SSL *tls, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offered,
                           unsigned int offered_len, void *arg) {
    (void)tls, (void)arg;
    static const unsigned char ours[] = "\x08http/1.1";
    for (unsigned i = 0; i < offered_len && offered_len - i > offered[i]; i += 1u + offered[i]) {
        if (offered[i] != ours[0] || memcmp(offered + i + 1, ours + 1, ours[0]) != 0) continue;
        *ret = offered + i + 1;
        *ret_len = ours[0];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A key with a passphrase must fail at once: OpenSSL's default asks on the terminal. */
static int no_passphrase(char *out, int size, int writing, void *arg) {
    (void)out, (void)size, (void)writing, (void)arg;
    return 0;
}

static bool demand_client_certificate(SSL_CTX *handle, const char *client_ca, struct fault *fault) {
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
    if (!names) return file_fault(fault, client_ca, "holds no certificate that could be used");
    SSL_CTX_set_client_CA_list(handle, names); /* takes them */
    if (SSL_CTX_load_verify_locations(handle, client_ca, NULL) != 1)
        return file_fault(fault, client_ca, "holds no certificate that could be used");
    SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return true;
}

static bool set_up(SSL_CTX *handle, const char *certificate, const char *key, const char *client_ca,
                   struct fault *fault) {
    static const unsigned char session_context[] = "stagedoor";
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION);
    SSL_CTX_set_options(handle, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                    SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(handle, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_clear_mode(handle, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_id_context(handle, session_context, sizeof session_context - 1);
    SSL_CTX_set_alpn_select_cb(handle, choose_protocol, NULL);
    SSL_CTX_set_default_passwd_cb(handle, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(handle, certificate) != 1)
        return file_fault(fault, certificate, "is not a certificate in PEM form");
    if (SSL_CTX_use_PrivateKey_file(handle, key, SSL_FILETYPE_PEM) != 1) {
        unsigned long code = ERR_peek_error();
        if (ERR_GET_LIB(code) == ERR_LIB_X509 && ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH) {
            ERR_clear_error();
            return fault_set(fault, FAULT_INVALID, key, "is not the key of the certificate in %s", certificate);
        }
        return file_fault(fault, key, "is not a private key in PEM form without a passphrase");
    }
    if (SSL_CTX_check_private_key(handle) != 1) {
        ERR_clear_error();
        return fault_set(fault, FAULT_INVALID, key, "is not the key of the certificate in %s", certificate);
    }
    return !client_ca || demand_client_certificate(handle, client_ca, fault);
}

struct tls_context *tls_context_new(const char *certificate, const char *key, const char *client_ca,
                                    struct fault *fault) {
    SSL_CTX *handle = SSL_CTX_new(TLS_server_method());
    if (!handle) {
        fault_set(fault, FAULT_INTERNAL, NULL, "OpenSSL cannot make a context");
        return NULL;
    }
    if (!set_up(handle, certificate, key, client_ca, fault)) {
        SSL_CTX_free(handle);
        return NULL;
    }
    struct tls_context *context = mem_alloc(sizeof *context);
    context->handle = handle;
    return context;
}

void tls_context_free(struct tls_context *context) {
    if (!context) return;
    SSL_CTX_free(context->handle);
    mem_free(context);
}

struct ssl_ctx_st *tls_context_ref(struct tls_context *context) {
    SSL_CTX_up_ref(context->handle);
    return context->handle;
}

void tls_context_unref(struct ssl_ctx_st *handle) {
    SSL_CTX_free(handle);
}

/* A CN with a NUL in it, or that is not UTF-8, is nobody's name. */
static char *common_name(X509 *certificate) {
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = subject ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
    X509_NAME_ENTRY *entry = at < 0 ? NULL : X509_NAME_get_entry(subject, at);
    unsigned char *utf8 = NULL;
    int n = entry ? ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry)) : -1;
    struct text name = {(const char *)utf8, n > 0 ? (size_t)n : 0};
    bool plain = name.len && !memchr(name.at, 0, name.len) && text_utf8_check(name);
    char *copy = plain ? mem_strndup(name.at, name.len) : NULL;
    OPENSSL_free(utf8);
    return copy;
}

/* ---- a session ---- */

struct tls_session *tls_session_new(struct ssl_ctx_st *handle, int fd, void (*send)(void *arg, struct text bytes),
                                    void *arg) {
    struct tls_session *session = mem_alloc(sizeof *session);
    *session = (struct tls_session){.ssl = SSL_new(handle)};
    wire_attach(session->ssl, fd, send, arg);
    SSL_set_accept_state(session->ssl);
    return session;
}

void tls_session_free(struct tls_session *session) {
    if (!session) return;
    /* Else OpenSSL takes it for one that has gone bad, and resumes it no more. */
    SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(session->ssl);
    mem_free(session);
}

ssize_t tls_session_read(struct tls_session *session, char *room, size_t size) {
    size_t len = 0;
    ERR_clear_error();
    int done = SSL_read_ex(session->ssl, room, size, &len);
    switch (SSL_get_error(session->ssl, done)) {
    case SSL_ERROR_NONE: return (ssize_t)len;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_WANT_READ: errno = EAGAIN; return -1;
    }
    session->error = ERR_get_error();
    ERR_clear_error();
    errno = EPROTO;
    return -1;
}

void tls_session_write(struct tls_session *session, struct text bytes) {
    size_t written;
    ERR_clear_error();
    SSL_write_ex(session->ssl, bytes.at, bytes.len, &written); /* fails only where reading has failed before */
    ERR_clear_error();
}

bool tls_session_is_open(const struct tls_session *session) {
    return SSL_is_init_finished(session->ssl);
}

char *tls_session_client(const struct tls_session *session) {
    X509 *certificate = SSL_get1_peer_certificate(
        session->ssl); /* the verdict alone is also "OK" where none was sent */
    if (!certificate) return NULL;
    char *name = SSL_get_verify_result(session->ssl) == X509_V_OK ? common_name(certificate) : NULL;
    X509_free(certificate);
    return name;
}

void tls_session_goodbye(struct tls_session *session) {
    if (SSL_is_init_finished(session->ssl) && !(SSL_get_shutdown(session->ssl) & SSL_SENT_SHUTDOWN))
        SSL_shutdown(session->ssl);
    ERR_clear_error();
}

const char *tls_session_why(const struct tls_session *session) {
    return reason_of(session->error);
}
