/* TLS settings as OpenSSL's contexts, and certificates against hosts.
 *
 * A context belongs to the settings of one place (channel.c), and is made anew when one of its files has changed, so
 * that they can be rotated in place; what was read of them before counts no more then, nor does a session or a kept
 * connection that rests on it. The system's CA certificates take 30 ms to read: they are read once for the process and
 * shared.
 *
 * Who is at the other end is judged by OpenSSL alone: the chain up to a certificate that is trusted, and the name of
 * the host, or its address, in the certificate. A place keeps one session, the last that its upstream gave: a new
 * connection goes on with it and is spared most of the handshake. Sessions never leave their place, since OpenSSL does
 * not look at the certificate again when it goes on with one. */
#include "back/trust.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

static X509_STORE *system_store; /* written once before threads; counted and locked by OpenSSL itself */

void trust_global_init(void) {
    if (system_store) return;
    system_store = X509_STORE_new();
    X509_STORE_set_default_paths(system_store); /* obeys SSL_CERT_FILE and SSL_CERT_DIR */
}

/* ---- settings ---- */

static const char *certificate_of(const struct stage_tls *tls, bool own_origin) {
    return own_origin ? tls->certificate : NULL;
}

static const char *key_of(const struct stage_tls *tls, bool own_origin) {
    return certificate_of(tls, own_origin) ? tls->key : NULL;
}

bool trust_is(const struct trust *trust, const struct stage_tls *tls, bool own_origin) {
    return trust->insecure == tls->insecure && text_same_cstr(trust->ca, tls->ca) &&
           text_same_cstr(trust->certificate, certificate_of(tls, own_origin)) &&
           text_same_cstr(trust->key, key_of(tls, own_origin));
}

void trust_init(struct trust *trust, const struct stage_tls *tls, bool own_origin) {
    *trust = (struct trust){.insecure = tls->insecure,
                            .ca = mem_strdup(tls->ca),
                            .certificate = mem_strdup(certificate_of(tls, own_origin)),
                            .key = mem_strdup(key_of(tls, own_origin))};
}

void trust_forget_session(struct trust *trust) {
    SSL_SESSION_free(trust->session);
    trust->session = NULL;
}

static void forget_context(struct trust *trust) {
    SSL_CTX_free(trust->context);
    trust->context = NULL;
    trust_forget_session(trust);
}

void trust_fini(struct trust *trust) {
    forget_context(trust);
    mem_free(trust->ca);
    mem_free(trust->certificate);
    mem_free(trust->key);
}

/* ---- a context ---- */

/* OpenSSL keeps a list of what went wrong; the last one says most. */
static void add_error(struct buf *reason) {
    unsigned long error = ERR_peek_last_error();
    const char *words = error ? ERR_reason_error_string(error) : NULL;
    buf_adds(reason, words ? words : "no reason given");
}

static bool refuse(struct buf *reason, const char *what, const char *file) {
    buf_adds(reason, what);
    buf_adds(reason, file);
    buf_adds(reason, ": ");
    add_error(reason);
    return false;
}

static bool load_trusted(struct trust *trust, SSL_CTX *context, struct buf *reason) {
    if (!trust->ca) {
        X509_STORE_up_ref(system_store);
        SSL_CTX_set_cert_store(context, system_store);
        return true;
    }
    return SSL_CTX_load_verify_file(context, trust->ca) ||
           refuse(reason, "no CA certificates could be read from ", trust->ca);
}

static bool load_own(struct trust *trust, SSL_CTX *context, struct buf *reason) {
    if (!trust->certificate) return true;
    const char *key = trust->key ? trust->key : trust->certificate; /* one file may hold both */
    if (SSL_CTX_use_certificate_chain_file(context, trust->certificate) != 1)
        return refuse(reason, "no certificate could be read from ", trust->certificate);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(context) != 1)
        return refuse(reason, "no key of that certificate could be read from ", key);
    return true;
}

/* Else OpenSSL asks for it on the terminal. */
static int no_password(char *at, int size, int writing, void *unused) {
    (void)at, (void)size, (void)writing, (void)unused;
    return -1;
}

static int keep_session(SSL *client, SSL_SESSION *session) {
    struct trust *trust = SSL_get_app_data(client);
    if (trust->context != SSL_get_SSL_CTX(client)) return 0; /* of files that have changed since */
    SSL_SESSION_free(trust->session);
    trust->session = session;
    return 1; /* which is now ours */
}

static SSL_CTX *context_new(struct trust *trust, struct buf *reason) {
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_ALL | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY); /* else tickets without end would keep the loop in one call */
    SSL_CTX_set_alpn_protos(context, alpn, sizeof alpn - 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    SSL_CTX_set_default_passwd_cb(context, no_password);
    SSL_CTX_set_verify(context, trust->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    /* A definition's CA file may hold an intermediate certificate alone, as for curl. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    if (load_trusted(trust, context, reason) && load_own(trust, context, reason)) return context;
    SSL_CTX_free(context);
    return NULL;
}

static struct trust_stamp stamp_of(const char *file) {
    struct stat info;
    if (!file || stat(file, &info) != 0) return (struct trust_stamp){0};
    return (struct trust_stamp){info.st_ino, info.st_size, info.st_mtim};
}

static void take_stamps(const struct trust *trust, struct trust_stamp ret_stamps[TRUST_FILES]) {
    const char *const files[TRUST_FILES] = {trust->ca, trust->certificate, trust->key};
    for (size_t i = 0; i < TRUST_FILES; i++) ret_stamps[i] = stamp_of(files[i]);
}

static bool is_same_file(const struct trust_stamp *a, const struct trust_stamp *b) {
    return a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool files_are(const struct trust *trust, const struct trust_stamp stamps[TRUST_FILES]) {
    for (size_t i = 0; i < TRUST_FILES; i++)
        if (!is_same_file(&trust->stamps[i], &stamps[i])) return false;
    return true;
}

static bool renew_context(struct trust *trust, struct buf *reason) {
    struct trust_stamp stamps[TRUST_FILES];
    take_stamps(trust, stamps);
    if (!trust->context || !files_are(trust, stamps)) {
        forget_context(trust);
        trust->context = context_new(trust, reason);
        memcpy(trust->stamps, stamps, sizeof stamps);
    }
    return trust->context != NULL;
}

bool trust_holds(const struct trust *trust, const SSL *client) {
    struct trust_stamp stamps[TRUST_FILES];
    if (SSL_get_SSL_CTX(client) != trust->context) return false; /* one that was made of the files before */
    take_stamps(trust, stamps);
    return files_are(trust, stamps);
}

/* ---- a client ---- */

/* As certificates have it: without brackets, or without the dot that ends a full name. */
static bool bare_host(const char *host, char room[INET6_ADDRSTRLEN + 256]) {
    struct in6_addr address;
    bool is_bracketed = host[0] == '[';
    size_t len = strlen(host);
    if (is_bracketed) host++, len -= 2;
    else if (len && host[len - 1] == '.') len--;
    if (len > 255) len = 255; /* url_parse allows no more */
    memcpy(room, host, len);
    room[len] = 0;
    return is_bracketed || inet_pton(AF_INET, room, &address) == 1;
}

SSL *trust_client(struct trust *trust, const char *host, struct buf *ret_reason) {
    ERR_clear_error();
    if (!renew_context(trust, ret_reason)) return NULL;
    SSL *client = SSL_new(trust->context);
    char name[INET6_ADDRSTRLEN + 256];
    bool good;
    if (bare_host(host, name)) {
        good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(client), name);
    } else {
        SSL_set_hostflags(client, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        /* To OpenSSL, a dot in front stands for every name below. */
        good = name[0] != '.' && SSL_set1_host(client, name) && SSL_set_tlsext_host_name(client, name);
    }
    if (!good) {
        buf_adds(ret_reason, "the host is none that a certificate could be of");
        SSL_free(client);
        return NULL;
    }
    SSL_set_app_data(client, trust);
    if (trust->session) SSL_set_session(client, trust->session);
    SSL_set_connect_state(client);
    return client;
}

void trust_explain(const struct trust *trust, SSL *client, const char *host, int error, struct buf *ret_reason) {
    long verdict = SSL_get_verify_result(client);
    if (trust->insecure || verdict == X509_V_OK) {
        if (ERR_peek_last_error()) add_error(ret_reason);
        else buf_adds(ret_reason, error ? strerror(error) : "the connection was closed");
    } else if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        buf_adds(ret_reason, "the certificate is not one of ");
        buf_adds(ret_reason, host);
    } else {
        buf_adds(ret_reason, "SSL certificate problem: ");
        buf_adds(ret_reason, X509_verify_cert_error_string(verdict));
    }
}
