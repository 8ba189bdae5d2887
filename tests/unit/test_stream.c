/* TLS that wants something of its own in the midst of a call: upstreams that use it to mean no good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/epoll.h>

#include "transfer_world.h"

#define BODY_BYTES (16 << 20) /* more than sockets hold */
#define PASSES_MAX 5000       /* the body takes hundreds; a loop that spins makes tens of thousands a second */

/* Passes of the loop. */
static atomic_uint passes;

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms) {
    int (*real)(int, struct epoll_event *, int, int);
    *(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
    atomic_fetch_add(&passes, 1);
    return real(fd, events, max, timeout_ms);
}

/* Receptions by TLS, of either side, also of nothing. */
static atomic_uint reads;

int SSL_read(SSL *ssl, void *at, int size) {
    int (*real)(SSL *, void *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "SSL_read");
    int len = real(ssl, at, size);
    atomic_fetch_add(&reads, 1);
    return len;
}

static void swallow(SSL *ssl) {
    char piece[65536];
    while (read(SSL_get_fd(ssl), piece, sizeof piece) > 0) {}
}

/* Asks for a handshake when the sockets are full, and takes what comes without an answer. */
static void renegotiates(SSL *ssl) {
    unsigned before = atomic_load(&reads);
    SSL_renegotiate(ssl);
    SSL_do_handshake(ssl);
    while (atomic_load(&reads) == before) usleep(1000);
    swallow(ssl);
}

/* An upstream of one connection, which speaks TLS 1.2 for as long as it likes to. */
struct tricky {
    SSL_CTX *tls;
    int listener, port;
    pthread_t thread;
};

static void *tricky_main(void *arg) {
    struct tricky *tricky = arg;
    int fd = accept(tricky->listener, NULL, NULL);
    SSL *ssl = SSL_new(tricky->tls);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) renegotiates(ssl);
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void tricky_start(struct tricky *tricky) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    signal(SIGPIPE, SIG_IGN);
    tricky->tls = server_context(0, NULL);
    SSL_CTX_set_max_proto_version(tricky->tls, TLS1_2_VERSION);
    tricky->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(tricky->listener, (void *)&address, size) || listen(tricky->listener, 1)) abort();
    getsockname(tricky->listener, (void *)&address, &size);
    tricky->port = ntohs(address.sin_port);
    pthread_create(&tricky->thread, NULL, tricky_main, tricky);
}

static void tricky_stop(struct tricky *tricky) {
    pthread_join(tricky->thread, NULL);
    close(tricky->listener);
    SSL_CTX_free(tricky->tls);
}

/* A loop that is told of what it does not act upon would turn without end. */
static void test_renegotiation(void **state) {
    (void)state;
    struct tricky tricky;
    struct world world;
    tricky_start(&tricky);
    world_init(&world);
    size_t call = world_add(&world, "POST", arena_printf(world.arena, "https://127.0.0.1:%d/", tricky.port));
    world.calls[call].tls = (struct stage_tls){.ca = tls_cert[0]};
    world.calls[call].call_timeout_ms = 1000;
    world.requests[call].has_body = true;
    world.requests[call].body = (struct text){arena_alloc(world.arena, BODY_BYTES), BODY_BYTES};
    world_run(&world);
    print_message("  %u passes of the loop\n", atomic_load(&passes));
    assert_failed(world.replies[0], REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM, "no reply from 127.0.0.1:");
    assert_true(atomic_load(&passes) < PASSES_MAX);
    world_fini(&world);
    tricky_stop(&tricky);
}

/* ---- sessions ---- */

/* Who goes on with a session is cut off, without a word. */
static int refuse_sessions(SSL *ssl, int *alert, void *arg) {
    (void)alert, (void)arg;
    struct linger at_once = {1, 0};
    const unsigned char *at;
    size_t len;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &at, &len)) return SSL_CLIENT_HELLO_SUCCESS;
    setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return SSL_CLIENT_HELLO_RETRY;
}

static enum script_after answers_once(struct script_end *end, unsigned index) {
    (void)index;
    script_puts(end, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    return AFTER_CLOSE;
}

/* A session that the upstream cannot go on with any more costs one call, and not each from then on. */
static void test_session_refused(void **state) {
    (void)state;
    struct script script = {.answer = answers_once};
    struct world world;
    script.tls = server_context(0, NULL);
    SSL_CTX_set_client_hello_cb(script.tls, refuse_sessions, NULL);
    script_start(&script);
    world_init(&world);
    for (int i = 0; i < 3; i++) add_tls(&world, &script, "127.0.0.1", (struct stage_tls){.ca = tls_cert[0]});
    world_run(&world);
    assert_phase(world.replies[0], REPLY_ANSWERED);
    assert_failed(world.replies[1], REPLY_NEVER_SENT, FAULT_UPSTREAM, "TLS with 127.0.0.1:");
    assert_phase(world.replies[2], REPLY_ANSWERED);
    world_fini(&world);
    script_stop(&script);
    SSL_CTX_free(script.tls);
    script_fini(&script);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renegotiation),
        cmocka_unit_test(test_session_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
