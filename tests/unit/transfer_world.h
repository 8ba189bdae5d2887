/* A world for transfers: a loop, calls made one after the other on it, a resolver, and certificates. Header only, since
 * each unit test is one file; includes come after cmocka's. */
#ifndef TESTS_TRANSFER_WORLD_H
#define TESTS_TRANSFER_WORLD_H

#include <dlfcn.h>
#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "back/transfer.h"
#include "base/count.h"
#include "upstream_script.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function" /* no test needs all of it */

#define CALLS_MAX 16
#define HOUR_MS 3600000

/* The resolver of this test: names under .test are 127.0.0.1, two.test is 127.0.0.2 as well and
 * first, nonexistent.invalid is not known. Stands in for libc's,
 * which libcurl calls from a thread of its own; slow.test waits while it is held. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool held;
    atomic_uint asked;
    atomic_uint inside;
} resolver = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    struct text host = text_of(name);
    if (text_is(host, "nonexistent.invalid")) return EAI_NONAME;
    if (!text_holds(host, ".test")) return real(name, service, hints, ret);
    atomic_fetch_add(&resolver.asked, 1);
    pthread_mutex_lock(&resolver.lock);
    resolver.inside++;
    pthread_cond_broadcast(&resolver.moved);
    while (resolver.held && text_is(host, "slow.test")) pthread_cond_wait(&resolver.moved, &resolver.lock);
    resolver.inside--;
    pthread_cond_broadcast(&resolver.moved);
    pthread_mutex_unlock(&resolver.lock);
    if (text_is(host, "unknown.test")) return EAI_NONAME;
    struct addrinfo plain = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    if (text_is(host, "two.test")) {
        int failed = real("127.0.0.2", service, &plain, ret);
        return failed ? failed : real("127.0.0.1", service, &plain, &(*ret)->ai_next);
    }
    return real("127.0.0.1", service, &plain, ret);
}

/* Letting go waits until nobody is inside. */
static void resolver_hold(bool held) {
    pthread_mutex_lock(&resolver.lock);
    resolver.held = held;
    pthread_cond_broadcast(&resolver.moved);
    while (!held && resolver.inside) pthread_cond_wait(&resolver.moved, &resolver.lock);
    pthread_mutex_unlock(&resolver.lock);
}

/* Calls made one after the other on one loop, each begun from the `done` of the one before it. */
struct world {
    struct loop *loop;
    struct upstream *upstream;
    struct arena *arena;
    struct loop_timer alarm;
    struct request requests[CALLS_MAX];
    struct stage_call calls[CALLS_MAX];
    const struct reply *replies[CALLS_MAX];
    size_t count, next;
    bool inside_begin;
};

static void on_alarm(void *arg) {
    (void)arg;
    fprintf(stderr, "a transfer was never done\n");
    abort();
}

static void world_init_for(struct world *world, size_t max_connections) {
    *world = (struct world){.loop = loop_new(0), .arena = arena_new()};
    struct upstream_settings settings = {.user_agent = "stagedoor/test", .max_connections = max_connections};
    world->upstream = upstream_new(world->loop, &settings);
    loop_timer_init(&world->alarm, world->loop, "test_alarm", on_alarm, world);
    loop_timer_set(&world->alarm, 60000);
}

static void world_init(struct world *world) {
    world_init_for(world, 16);
}

static void world_fini(struct world *world) {
    loop_timer_clear(&world->alarm);
    upstream_free(world->upstream);
    loop_free(world->loop);
    arena_free(world->arena);
    assert_int_equal(count_read(COUNT_CALLS_IN_FLIGHT), 0);
}

static bool method_is_idempotent(const char *method) {
    return strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0;
}

static size_t world_add(struct world *world, const char *method, const char *url) {
    size_t i = world->count++;
    assert_true(i < CALLS_MAX);
    world->calls[i] = (struct stage_call){.connect_timeout_ms = 5000,
                                          .call_timeout_ms = 20000,
                                          .max_reply_bytes = 1 << 20,
                                          .idempotent = method_is_idempotent(method)};
    world->requests[i] = (struct request){.method = method, .url = url, .call = &world->calls[i]};
    return i;
}

static size_t world_add_to(struct world *world, const char *method, const struct script *script, const char *path) {
    return world_add(world, method, arena_printf(world->arena, "http://127.0.0.1:%d%s", script->port, path));
}

static void world_begin(struct world *world);

static void on_done(void *arg, const struct reply *reply) {
    struct world *world = arg;
    assert_false(world->inside_begin);
    world->replies[world->next++] = reply;
    if (world->next == world->count) loop_stop(world->loop);
    else world_begin(world);
}

static void world_begin(struct world *world) {
    world->inside_begin = true;
    assert_non_null(transfer_begin(world->upstream, &world->requests[world->next], world->arena, on_done, world));
    world->inside_begin = false;
}

static void world_run(struct world *world) {
    world_begin(world);
    loop_run(world->loop);
    assert_int_equal(world->next, world->count);
}

static void assert_holds(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" is not in: %s", part, text);
}

static void assert_lacks(const char *text, const char *part) {
    if (strstr(text, part)) fail_msg("\"%s\" is in: %s", part, text);
}

static void assert_phase(const struct reply *reply, enum reply_phase phase) {
    if (reply->phase != phase)
        fail_msg("%s, not %s: %s", reply_phase_word(reply->phase), reply_phase_word(phase), reply->fault->what);
}

static void assert_failed(const struct reply *reply, enum reply_phase phase, enum fault_kind kind, const char *part) {
    assert_phase(reply, phase);
    assert_string_equal(fault_word(reply->fault->kind), fault_word(kind));
    assert_holds(reply->fault->what, part);
    assert_int_equal(reply->code, 0);
    assert_lacks(reply->fault->what, "sesame"); /* what tests put into queries and credentials */
    assert_lacks(reply->fault->where, "sesame");
}

/* ---- TLS ---- */

static char tls_dir[] = "/tmp/test_transfer.XXXXXX";
static char tls_cert[2][64], tls_key[2][64]; /* two servers (and clients) that know nothing of each other */

static void write_pem(const char *path, EVP_PKEY *key, X509 *certificate) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    if (certificate) PEM_write_X509(file, certificate);
    else PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static void make_certificate(int i) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1 + i);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), HOUR_MS / 1000);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)(i ? "two" : "one"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate, names, -1);
    X509_EXTENSION_free(names);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    snprintf(tls_cert[i], sizeof tls_cert[i], "%s/cert%d.pem", tls_dir, i);
    snprintf(tls_key[i], sizeof tls_key[i], "%s/key%d.pem", tls_dir, i);
    write_pem(tls_cert[i], key, certificate);
    write_pem(tls_key[i], key, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int set_up(void **state) {
    (void)state;
    upstream_global_init();
    if (!mkdtemp(tls_dir)) return -1;
    make_certificate(0);
    make_certificate(1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) unlink(tls_cert[i]), unlink(tls_key[i]);
    return rmdir(tls_dir);
}

static SSL_CTX *server_context(int i, const char *client_ca) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_file(context, tls_cert[i], SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(context, tls_key[i], SSL_FILETYPE_PEM), 1);
    if (client_ca) {
        assert_int_equal(SSL_CTX_load_verify_locations(context, client_ca, NULL), 1);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return context;
}

static size_t add_tls(struct world *world, const struct script *script, const char *host, struct stage_tls tls) {
    size_t call = world_add(world, "POST", arena_printf(world->arena, "https://%s:%d/", host, script->port));
    world->calls[call].tls = tls;
    return call;
}

#pragma GCC diagnostic pop

#endif
