/* TLS that wants something of its own in the midst of a call: upstreams that use it to mean no good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/epoll.h>

#include "back/stream.h"
#include "transfer_world.h"

#define BODY_BYTES (16 << 20) /* more than sockets hold */
#define BODY_END 'z'          /* its last byte, and no other one's */
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

/* Asks for new keys, while what is sent to it has filled the sockets. */
static void asks_for_keys(SSL *ssl) {
    assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(ssl), 1);
}

static atomic_size_t heard; /* bytes of requests */

/* Twice, each taken notice of by itself; then it hears all, and answers. */
static void asks_for_keys_twice(SSL *ssl) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    char piece[16384];
    for (int i = 0; i < 2; i++) {
        unsigned before = atomic_load(&reads);
        asks_for_keys(ssl);
        while (atomic_load(&reads) == before) usleep(1000);
    }
    int len;
    do {
        len = SSL_read(ssl, piece, sizeof piece);
        if (len > 0) atomic_fetch_add(&heard, (size_t)len);
    } while (len > 0 && piece[len - 1] != BODY_END);
    SSL_write(ssl, answer, sizeof answer - 1);
    SSL_read(ssl, piece, sizeof piece);
}

/* Asks for as long as the other side listens, and never reads: what is owed to it must not grow without end. */
static void asks_for_keys_for_ever(SSL *ssl) {
    while (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1) {}
}

/* An upstream of one connection, which speaks TLS for as long as it likes to. */
struct tricky {
    void (*behaves)(SSL *ssl);
    SSL_CTX *tls;
    int listener, port;
    pthread_t thread;
};

static void *tricky_main(void *arg) {
    struct tricky *tricky = arg;
    int fd = accept(tricky->listener, NULL, NULL);
    SSL *ssl = SSL_new(tricky->tls);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) tricky->behaves(ssl);
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void tricky_start(struct tricky *tricky, int version) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    signal(SIGPIPE, SIG_IGN);
    tricky->tls = server_context(0, NULL);
    SSL_CTX_set_max_proto_version(tricky->tls, version);
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

/* A call with more than the sockets take; the reply is in world->replies[0]. */
static void call_tricky(struct world *world, struct tricky *tricky, int version, int64_t timeout_ms) {
    tricky_start(tricky, version);
    world_init(world);
    size_t call = world_add(world, "POST", arena_printf(world->arena, "https://127.0.0.1:%d/", tricky->port));
    world->calls[call].tls = (struct stage_tls){.ca = tls_cert[0]};
    world->calls[call].call_timeout_ms = timeout_ms;
    world->requests[call].has_body = true;
    char *body = arena_alloc(world->arena, BODY_BYTES);
    body[BODY_BYTES - 1] = BODY_END;
    world->requests[call].body = (struct text){body, BODY_BYTES};
    world_run(world);
}

static void tricky_over(struct world *world, struct tricky *tricky) {
    world_fini(world);
    tricky_stop(tricky);
}

/* A loop that is told of what it does not act upon would turn without end. */
static void test_renegotiation(void **state) {
    (void)state;
    struct tricky tricky = {.behaves = renegotiates};
    struct world world;
    call_tricky(&world, &tricky, TLS1_2_VERSION, 1000);
    print_message("  %u passes of the loop\n", atomic_load(&passes));
    assert_failed(world.replies[0], REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM, "no reply from 127.0.0.1:");
    assert_true(atomic_load(&passes) < PASSES_MAX);
    tricky_over(&world, &tricky);
}

static void test_new_keys_while_sending(void **state) {
    (void)state;
    struct tricky tricky = {.behaves = asks_for_keys_twice};
    struct world world;
    call_tricky(&world, &tricky, TLS1_3_VERSION, 20000);
    assert_phase(world.replies[0], REPLY_ANSWERED);
    tricky_over(&world, &tricky);
    assert_true(atomic_load(&heard) > BODY_BYTES); /* and its head */
}

static void test_new_keys_for_ever(void **state) {
    (void)state;
    struct tricky tricky = {.behaves = asks_for_keys_for_ever};
    struct world world;
    call_tricky(&world, &tricky, TLS1_3_VERSION, 20000);
    assert_failed(world.replies[0], REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM, "broke before it replied");
    tricky_over(&world, &tricky);
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

/* One that has failed is no more to be used, though its socket may be open and still. */
static void test_lost_is_not_quiet(void **state) {
    (void)state;
    int ends[2];
    struct stream stream;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    stream_init(&stream, ends[0], NULL);
    assert_true(stream_is_quiet(&stream));
    stream.is_lost = true;
    assert_false(stream_is_quiet(&stream));
    stream_fini(&stream);
    close(ends[1]);
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
        cmocka_unit_test(test_renegotiation),     cmocka_unit_test(test_new_keys_while_sending),
        cmocka_unit_test(test_new_keys_for_ever), cmocka_unit_test(test_lost_is_not_quiet),
        cmocka_unit_test(test_session_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
