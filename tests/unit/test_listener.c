/* A real listener on loopback, in a thread of its own, and clients that behave and misbehave on blocking sockets.
 *
 * Routes of the server below: /echo answers at once with what it was sent; /hold waits until the test releases it;
 * /big answers with BIG_BYTES; /close answers and ends the connection; /empty answers 204. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/mem.h"
#include "front/listener.h"

#define BIG_BYTES (8u << 20)
#define H "Host: h\r\n"

/* ---- the server ---- */

#define USUAL "127.0.0.1:0"

struct server {
    struct loop *loop;
    struct listener *listener;
    struct listen_socket *socket;
    pthread_t thread;
    struct exchange *held; /* on the loop's thread */
    sem_t holds, went, drained, done;
    atomic_int handled, away;
    int away_before, open_at; /* the last request that was handled */
    int port;
};

static char *big;

static void on_gone(struct exchange *exchange) {
    struct server *server = exchange->server;
    assert_true(exchange->gone);
    sem_post(&server->went);
}

static void answer_echo(struct exchange *exchange) {
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_addf(&body, "%s", http_method_word(exchange->method));
    for (size_t i = 0; i < exchange->segment_count; i++) buf_addf(&body, "/%.*s", TEXT_ARG(exchange->segments[i]));
    buf_addf(&body, "?%.*s|%.*s", TEXT_ARG(exchange->query), TEXT_ARG(exchange->body));
    if (strcmp(exchange->peer, "unix") == 0) buf_adds(&body, "|unix");
    if (!exchange->loopback) buf_adds(&body, "|far");
    exchange_answer(exchange, &(struct answer){.status = 200, .content_type = "text/plain", .body = buf_text(&body)});
    buf_fini(&body);
}

static void answer_client(struct exchange *exchange) {
    assert_true(exchange->tls);
    const char *name = exchange->client_name ? exchange->client_name : "nobody";
    exchange_answer(exchange, &(struct answer){.status = 200, .content_type = "text/plain", .body = text_of(name)});
}

static void handle(struct exchange *exchange) {
    struct server *server = exchange->server;
    atomic_fetch_add(&server->handled, 1);
    server->away_before = atomic_load(&server->away);
    server->open_at = (int)count_read(COUNT_CONNECTIONS);
    struct text route = exchange->segment_count ? exchange->segments[0] : TEXT("");
    if (text_is(route, "hold")) {
        exchange->on_gone = on_gone;
        server->held = exchange;
        sem_post(&server->holds);
    } else if (text_is(route, "big")) {
        struct answer answer = {.status = 200, .content_type = "text/plain", .body = {big, BIG_BYTES}};
        exchange_answer(exchange, &answer);
    } else if (text_is(route, "client")) {
        answer_client(exchange);
    } else if (text_is(route, "close")) {
        exchange_answer(exchange, &(struct answer){.status = 200, .close = true});
    } else if (text_is(route, "empty")) {
        exchange_answer(exchange, &(struct answer){.status = 204});
    } else answer_echo(exchange);
}

static void take_a_millisecond(void) {
    int64_t now = clock_mono_ms();
    while (clock_mono_ms() == now) {}
}

static const struct answer *turn_away(struct exchange *exchange) {
    static const struct answer away = {.status = 503, .content_type = "text/plain", .body = TEXT("away")};
    static struct answer much = {.status = 503, .content_type = "text/plain"};
    struct text route = exchange->segment_count ? exchange->segments[0] : TEXT("");
    much.body = (struct text){big, BIG_BYTES};
    if (text_is(route, "away")) atomic_fetch_add(&((struct server *)exchange->server)->away, 1);
    if (exchange->query.len) take_a_millisecond();
    return text_is(route, "away") ? &away : text_is(route, "much") ? &much : NULL;
}

static void refuse(int status, const char *what, struct buf *ret_body, const char **ret_content_type) {
    *ret_content_type = "text/plain";
    buf_addf(ret_body, "%d %s", status, what);
}

static void *serve(void *arg) {
    struct server *server = arg;
    loop_run(server->loop);
    return NULL;
}

static const struct listener_limits usual = {.max_head_bytes = 16384,
                                             .max_headers = 100,
                                             .max_body_bytes = 100000,
                                             .max_connections = 100,
                                             .head_timeout_ms = 10000,
                                             .body_timeout_ms = 10000,
                                             .idle_timeout_ms = 10000,
                                             .write_timeout_ms = 10000};

static struct tls_context *usual_tls; /* in its tests, what is usual is over TLS */

static void server_start(struct server *server, const struct listener_limits *limits, const char *address,
                         struct tls_context *tls) {
    struct fault fault = {0};
    memset(server, 0, sizeof *server);
    sem_init(&server->holds, 0, 0);
    sem_init(&server->went, 0, 0);
    sem_init(&server->drained, 0, 0);
    sem_init(&server->done, 0, 0);
    server->loop = loop_new(0);
    const struct listener_settings settings = {
        .limits = *limits, .handle = handle, .turn_away = turn_away, .refuse = refuse, .arg = server};
    server->listener = listener_new(server->loop, &settings);
    if (usual_tls && strcmp(address, USUAL) == 0) {
        address = "tls:" USUAL;
        tls = usual_tls;
    }
    server->socket = listen_socket_open(address, &fault);
    if (!server->socket) print_error("%s: %s\n", fault.where, fault.what);
    assert_non_null(server->socket);
    assert_true(listener_add(server->listener, server->socket, tls, &fault));
    const char *colon = strrchr(listen_socket_address(server->socket), ':');
    server->port = (int)strtol(colon + 1, NULL, 10);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server) {
    loop_stop(server->loop);
    pthread_join(server->thread, NULL);
    listener_free(server->listener);
    if (server->held) exchange_answer(server->held, &(struct answer){.status = 200});
    listen_socket_close(server->socket);
    loop_free(server->loop);
    assert_int_equal(count_read(COUNT_CONNECTIONS), 0);
}

static void wait_for(sem_t *sem) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    assert_int_equal(sem_timedwait(sem, &until), 0);
}

static void release_on_loop(void *arg) {
    struct server *server = arg;
    struct exchange *held = server->held;
    server->held = NULL;
    exchange_answer(held, &(struct answer){.status = 200, .content_type = "text/plain", .body = TEXT("released")});
    sem_post(&server->done);
}

static void release(struct server *server) {
    loop_post(server->loop, release_on_loop, server);
    wait_for(&server->done);
}

static void on_drained(void *arg) {
    struct server *server = arg;
    sem_post(&server->drained);
}

static void drain_on_loop(void *arg) {
    struct server *server = arg;
    listener_drain(server->listener, on_drained, server);
    sem_post(&server->done);
}

static void drain(struct server *server) {
    loop_post(server->loop, drain_on_loop, server);
    wait_for(&server->done);
}

/* ---- clients ---- */

struct client {
    int fd;
    SSL *tls;
    struct buf got; /* what no reply was made of yet */
};

static int dial(const struct server *server) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void client_open_plain(struct client *client, const struct server *server) {
    *client = (struct client){.fd = dial(server)};
    buf_init(&client->got, BIG_BYTES * 2);
}

static void begin_tls(struct client *client, SSL_SESSION *session) {
    SSL_CTX *handle = SSL_CTX_new(TLS_client_method());
    client->tls = SSL_new(handle);
    if (session) {
        SSL_set_max_proto_version(client->tls, SSL_SESSION_get_protocol_version(session));
        SSL_set_session(client->tls, session);
    }
    SSL_CTX_free(handle);
    SSL_set_fd(client->tls, client->fd);
    assert_int_equal(SSL_connect(client->tls), 1);
}

static void client_open(struct client *client, const struct server *server) {
    client_open_plain(client, server);
    if (usual_tls) begin_tls(client, NULL);
}

static void client_close(struct client *client) {
    SSL_free(client->tls);
    if (client->fd >= 0) close(client->fd);
    buf_fini(&client->got);
}

/* The usual one, and one client of it. */
static void visit(struct server *server, struct client *client) {
    server_start(server, &usual, USUAL, NULL);
    client_open(client, server);
}

static void leave(struct server *server, struct client *client) {
    client_close(client);
    server_stop(server);
}

static ssize_t client_write(struct client *client, const void *at, size_t n) {
    return client->tls ? SSL_write(client->tls, at, (int)n) : send(client->fd, at, n, MSG_NOSIGNAL);
}

static void say_bytes(struct client *client, const char *at, size_t n) {
    while (n) {
        ssize_t wrote = client_write(client, at, n);
        assert_true(wrote > 0);
        at += wrote;
        n -= (size_t)wrote;
    }
}

static void say(struct client *client, const char *what) {
    say_bytes(client, what, strlen(what));
}

/* Until the server's system has acknowledged all of it: on a busy machine that is not at once. */
static void wait_arrived(const struct client *client) {
    int left = 1;
    while (left) assert_int_equal(ioctl(client->fd, SIOCOUTQ, &left), 0);
}

static ssize_t client_read(struct client *client) {
    char *room = buf_room(&client->got, 65536);
    ssize_t n = client->tls ? SSL_read(client->tls, room, 65536) : recv(client->fd, room, 65536, 0);
    if (n > 0) buf_grew(&client->got, (size_t)n);
    return n;
}

/* Reads one reply off the connection and compares its beginning; its body must be `body`, if that is given. */
static void expect_reply(struct client *client, const char *beginning, const char *body, bool head_only) {
    const char *end;
    while (!(end = client->got.len ? strstr(client->got.at, "\r\n\r\n") : NULL)) {
        ssize_t n = client_read(client);
        if (n <= 0) print_error("no reply, got: %s\n", buf_cstr(&client->got));
        assert_true(n > 0);
    }
    size_t head = (size_t)(end - client->got.at) + 4, length = 0;
    const char *says = strstr(client->got.at, "Content-Length: ");
    if (says && says < end && !head_only) length = strtoul(says + 16, NULL, 10);
    while (client->got.len < head + length) assert_true(client_read(client) > 0);
    struct text text = buf_text(&client->got);
    if (!text_starts(text, beginning)) print_error("expected %s, got %.*s\n", beginning, TEXT_ARG(text));
    assert_true(text_starts(text, beginning));
    if (body) {
        struct text got = {text.at + head, length};
        if (!text_is(got, body)) print_error("expected %s, got %.*s\n", body, TEXT_ARG(got));
        assert_true(text_is(got, body));
    }
    client->got.len -= head + length;
    memmove(client->got.at, client->got.at + head + length, client->got.len + 1);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void expect_end(struct client *client) {
    ssize_t n = client_read(client);
    if (n != 0 || client->got.len) print_error("not ended (%zd): %s\n", n, buf_cstr(&client->got));
    assert_int_equal(n, 0);
    assert_int_equal(client->got.len, 0);
}

static void one(const char *request, const char *beginning, const char *body) {
    struct server server;
    struct client client;
    visit(&server, &client);
    say(&client, request);
    expect_reply(&client, beginning, body, false);
    leave(&server, &client);
}

/* ---- tests ---- */

static void test_keep_alive(void **state) {
    (void)state;
    struct server server;
    struct client client;
    visit(&server, &client);
    for (int i = 0; i < 20; i++) {
        say(&client, "POST /echo/a%20b?x=1 HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
        expect_reply(&client, OK "Server: stagedoor\r\nDate: ", "POST/echo/a b?x=1|abc", false);
        say(&client, "GET /echo HTTP/1.1\r\n" H "Content-Type: multipart/mixed; boundary=x\r\n\r\n");
        expect_reply(&client, OK, "GET/echo?|", false);
        say(&client, "HEAD /echo HTTP/1.1\r\n" H "\r\n");
        expect_reply(&client, OK, NULL, true);
        say(&client, "GET /empty HTTP/1.1\r\n" H "\r\n");
        expect_reply(&client, "HTTP/1.1 204 No Content\r\n", "", false);
    }
    say(&client, "GET /echo HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    expect_reply(&client, OK, "GET/echo?|", false);
    expect_end(&client);
    leave(&server, &client);
    assert_int_equal(server.handled, 81);
}

static void test_http_1_0(void **state) {
    (void)state;
    struct server server;
    struct client client;
    visit(&server, &client);
    say(&client, "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect_reply(&client, OK, "GET/echo?|", false);
    say(&client, "GET /close HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect_reply(&client, OK, "", false);
    expect_end(&client);
    client_close(&client);
    client_open(&client, &server);
    say(&client, "GET /echo HTTP/1.0\r\n\r\n");
    expect_reply(&client, OK, "GET/echo?|", false);
    expect_end(&client);
    leave(&server, &client);
}

#define AWAY "POST /away HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"
#define UNAVAILABLE "HTTP/1.1 503 Service Unavailable\r\n"

/* Answered as all others are, in its turn, and the connection stays; the handler hears nothing of it. */
static void test_turned_away(void **state) {
    (void)state;
    struct server server;
    struct client client;
    visit(&server, &client);
    for (int i = 0; i < 20; i++) {
        say(&client, AWAY);
        expect_reply(&client, UNAVAILABLE "Server: stagedoor\r\nDate: ", "away", false);
    }
    say(&client, AWAY AWAY "GET /echo HTTP/1.1\r\n" H "\r\n" AWAY "HEAD /away HTTP/1.1\r\n" H
                           "\r\nGET /echo HTTP/1.1\r\n" H "\r\n");
    for (int i = 0; i < 2; i++) expect_reply(&client, UNAVAILABLE, "away", false);
    expect_reply(&client, OK, "GET/echo?|", false);
    expect_reply(&client, UNAVAILABLE, "away", false);
    expect_reply(&client, UNAVAILABLE, NULL, true);
    expect_reply(&client, OK, "GET/echo?|", false);
    say(&client, "GET /much HTTP/1.1\r\n" H "\r\n" AWAY); /* more than a socket holds */
    expect_reply(&client, UNAVAILABLE, big, false);
    expect_reply(&client, UNAVAILABLE, "away", false);
    say(&client, "POST /away HTTP/1.0\r\n\r\n");
    expect_reply(&client, UNAVAILABLE, "away", false);
    expect_end(&client);
    client_close(&client);
    client_open(&client, &server);
    say(&client, AWAY);
    expect_reply(&client, UNAVAILABLE, "away", false);
    say(&client, "POST /aw");
    wait_arrived(&client);
    drain(&server);
    say(&client, "ay HTTP/1.1\r\n" H "\r\n");
    expect_reply(&client, UNAVAILABLE, "away", false);
    expect_end(&client);
    client_close(&client);
    wait_for(&server.drained);
    server_stop(&server);
    assert_int_equal(server.handled, 2);
}

static void wait_on_loop(void *arg) {
    struct server *server = arg;
    wait_for(&server->went);
}

/* Told to come back later, he may be waited with: that others ask for refusals holds up nobody else. */
static void test_who_was_refused_is_read_last(void **state) {
    (void)state;
    struct server server;
    struct client refused[60], other;
    server_start(&server, &usual, USUAL, NULL);
    for (int i = 0; i < 60; i++) {
        client_open(&refused[i], &server);
        say(&refused[i], AWAY);
        expect_reply(&refused[i], UNAVAILABLE, "away", false);
    }
    client_open(&other, &server);
    say(&other, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&other, OK, NULL, false);
    loop_post(server.loop, wait_on_loop, &server); /* all of them are ready when it goes on, the other one last */
    for (int i = 0; i < 60; i++) say(&refused[i], "POST /away?slowly HTTP/1.1\r\n" H "\r\n");
    for (int i = 0; i < 60; i++) wait_arrived(&refused[i]);
    say(&other, "GET /echo HTTP/1.1\r\n" H "\r\n");
    wait_arrived(&other);
    sem_post(&server.went);
    expect_reply(&other, OK, NULL, false);
    assert_in_range(server.away_before, 60, 60 + 20); /* a millisecond each, in turns of 1 */
    for (int i = 0; i < 60; i++) expect_reply(&refused[i], UNAVAILABLE, "away", false);
    for (int i = 0; i < 60; i++) client_close(&refused[i]);
    client_close(&other);
    server_stop(&server);
    assert_int_equal(server.away, 120);
}

/* What is to end frees a descriptor: it does not wait behind those who ask again. */
static void test_who_was_refused_and_ends_is_not_read_last(void **state) {
    (void)state;
    struct server server;
    struct client refused[60], ends, other;
    server_start(&server, &usual, USUAL, NULL);
    for (int i = 0; i < 60; i++) {
        client_open(&refused[i], &server);
        say(&refused[i], AWAY);
        expect_reply(&refused[i], UNAVAILABLE, "away", false);
    }
    client_open(&ends, &server);
    say(&ends, "POST /away HTTP/1.0\r\n\r\n");
    expect_reply(&ends, UNAVAILABLE, "away", false);
    expect_end(&ends);
    client_open(&other, &server);
    say(&other, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&other, OK, NULL, false);
    assert_int_equal(server.open_at, 62);
    loop_post(server.loop, wait_on_loop, &server);
    for (int i = 0; i < 60; i++) say(&refused[i], "POST /away?slowly HTTP/1.1\r\n" H "\r\n");
    for (int i = 0; i < 60; i++) wait_arrived(&refused[i]);
    client_close(&ends);
    say(&other, "GET /echo HTTP/1.1\r\n" H "\r\n");
    wait_arrived(&other);
    sem_post(&server.went);
    expect_reply(&other, OK, NULL, false);
    assert_int_equal(server.open_at, 61);
    for (int i = 0; i < 60; i++) client_close(&refused[i]);
    client_close(&other);
    server_stop(&server);
}

/* However many requests came in one piece: others have their turn between them. */
static void test_one_is_turned_away_at_a_time(void **state) {
    (void)state;
    struct server server;
    struct client many, other;
    server_start(&server, &usual, USUAL, NULL);
    client_open(&many, &server);
    client_open(&other, &server);
    say(&many, AWAY); /* both were accepted */
    expect_reply(&many, UNAVAILABLE, "away", false);
    say(&other, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&other, OK, NULL, false);
    loop_post(server.loop, wait_on_loop, &server);
    for (int i = 0; i < 100; i++) say(&many, "POST /away?slowly HTTP/1.1\r\n" H "\r\n");
    wait_arrived(&many);
    say(&other, "GET /echo HTTP/1.1\r\n" H "\r\n");
    wait_arrived(&other);
    sem_post(&server.went);
    expect_reply(&other, OK, NULL, false);
    assert_in_range(server.away_before, 1, 1 + 2 * 32); /* libevent makes 32 callbacks of that kind a pass */
    for (int i = 0; i < 100; i++) expect_reply(&many, UNAVAILABLE, "away", false);
    client_close(&many);
    client_close(&other);
    server_stop(&server);
}

/* What is answered in pieces would wait for the client's delayed acknowledgement, 40 ms each time. */
static void test_nothing_waits_to_be_sent(void **state) {
    (void)state;
    struct server server;
    struct client client;
    int found = 0, on = 0;
    socklen_t size;
    visit(&server, &client);
    say(&client, AWAY); /* it was accepted */
    expect_reply(&client, UNAVAILABLE, "away", false);
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_in here = {0}, there = {0};
        size = sizeof here;
        if (getsockname(fd, (struct sockaddr *)&here, &size) != 0 || ntohs(here.sin_port) != server.port) continue;
        size = sizeof there;
        if (getpeername(fd, (struct sockaddr *)&there, &size) != 0) continue;
        size = sizeof on;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, &size), 0);
        assert_int_equal(on, 1);
        found++;
    }
    assert_int_equal(found, 1);
    leave(&server, &client);
}

static void test_pipelining(void **state) {
    (void)state;
    enum { COUNT = 5000 }; /* more than BACKLOG_BYTES, so that reading has to rest */
    struct server server;
    struct client client;
    struct buf all;
    visit(&server, &client);
    buf_init(&all, 1 << 20);
    for (int i = 0; i < COUNT; i++)
        buf_addf(&all, "POST /echo?%d HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n%02d", i, i % 100);
    say_bytes(&client, all.at, all.len);
    for (int i = 0; i < COUNT; i++) {
        char body[64];
        snprintf(body, sizeof body, "POST/echo?%d|%02d", i, i % 100);
        expect_reply(&client, OK, body, false);
    }
    buf_fini(&all);
    leave(&server, &client);
    assert_int_equal(server.handled, COUNT);
}

/* Requests behind one that is under way wait for it, and come in order. */
static void test_pipelining_behind_a_slow_one(void **state) {
    (void)state;
    struct server server;
    struct client client;
    visit(&server, &client);
    say(&client, "GET /hold HTTP/1.1\r\n" H "\r\nGET /echo HTTP/1.1\r\n" H "\r\nGET /nonsense HTTP/3.0\r\n\r\n");
    wait_for(&server.holds);
    release(&server);
    expect_reply(&client, OK, "released", false);
    expect_reply(&client, OK, "GET/echo?|", false);
    expect_reply(&client, "HTTP/1.1 505 ", "505 Only HTTP/1.1 and HTTP/1.0 are spoken here", false);
    expect_end(&client);
    leave(&server, &client);
}

static void test_split_requests(void **state) {
    (void)state;
    static const char request[] = "POST /echo/abc?x=1&y=2 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: t\r\n\r\n";
    struct server server;
    struct client client;
    visit(&server, &client);
    int on = 1;
    setsockopt(client.fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        int before = atomic_load(&server.handled);
        say_bytes(&client, request, cut);
        /* A second connection's answer shows that the loop has gone round, so the first part was read alone. */
        struct client other;
        client_open(&other, &server);
        say(&other, "GET /echo HTTP/1.1\r\n" H "\r\n");
        expect_reply(&other, OK, "GET/echo?|", false);
        client_close(&other);
        assert_int_equal(atomic_load(&server.handled), before + 1);
        say_bytes(&client, request + cut, sizeof request - 1 - cut);
        expect_reply(&client, OK, "POST/echo/abc?x=1&y=2|abcde", false);
    }
    leave(&server, &client);
}

static void test_expect_continue(void **state) {
    (void)state;
    struct server server;
    struct client client;
    visit(&server, &client);
    say(&client, "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    expect_reply(&client, "HTTP/1.1 100 Continue\r\n\r\n", NULL, false);
    say(&client, "abc");
    expect_reply(&client, OK, "POST/echo?|abc", false);
    say(&client, "POST /echo HTTP/1.1\r\n" H "Content-Length: 100001\r\nExpect: 100-continue\r\n\r\n");
    expect_reply(&client, "HTTP/1.1 413 ", NULL, false);
    expect_end(&client);
    leave(&server, &client);
    one("POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: tea\r\n\r\n", "HTTP/1.1 417 Expectation Failed\r\n",
        "417 The only expectation known here is 100-continue");
}

static void test_refusals(void **state) {
    (void)state;
    int64_t before = count_read(COUNT_REQUESTS_REFUSED);
    one("GET /a%2fb HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 The path has an encoded slash");
    one("GET /../x HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 The path has a '.' or '..' segment");
    one("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "400 There is no Host field");
    one("TRACE / HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 501 Not Implemented\r\n", NULL);
    one("\x16\x03\x01", "HTTP/1.1 400 Bad Request\r\n", "400 The connection does not begin with an HTTP request");
    one("POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\n", NULL);
    assert_int_equal(count_read(COUNT_REQUESTS_REFUSED) - before, 6);
    static const char *const heads[] = {"HEAD /%2f HTTP/1.1\r\n" H "\r\n", "HEAD / HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) { /* a refusal has no body either where it answers a HEAD */
        struct server server;
        struct client client;
        server_start(&server, &usual, USUAL, NULL);
        client_open(&client, &server);
        say(&client, heads[i]);
        expect_reply(&client, "HTTP/1.1 400 Bad Request\r\n", NULL, true);
        expect_end(&client);
        client_close(&client);
        server_stop(&server);
    }
    struct server server; /* and has one behind a HEAD that was answered */
    struct client client;
    visit(&server, &client);
    say(&client, "HEAD /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&client, OK, NULL, true);
    say(&client, "\x01");
    expect_reply(&client, "HTTP/1.1 400 ", "400 The connection does not begin with an HTTP request", false);
    expect_end(&client);
    leave(&server, &client);
}

/* The client is still sending when it is refused; the refusal must reach it, not a reset. */
static void test_oversized_body(void **state) {
    (void)state;
    struct server server;
    struct client client;
    char *lot = mem_alloc(4 << 20);
    visit(&server, &client);
    say(&client, "POST /echo HTTP/1.1\r\n" H "Content-Length: 4194304\r\n\r\n");
    say_bytes(&client, lot, 4 << 20);
    expect_reply(&client, "HTTP/1.1 413 Content Too Large\r\n",
                 "413 The request's body is larger than is accepted here", false);
    expect_end(&client);
    leave(&server, &client);
    assert_int_equal(server.handled, 0);
    mem_free(lot);
}

static void test_deadlines(void **state) {
    (void)state;
    struct listener_limits limits = usual;
    limits.head_timeout_ms = limits.body_timeout_ms = limits.idle_timeout_ms = 300;
    struct server server;
    struct client head, body, idle, drip;
    server_start(&server, &limits, USUAL, NULL);
    client_open(&head, &server);
    client_open(&body, &server);
    client_open(&idle, &server);
    say(&head, "GET / HTTP/1.1\r\n");
    say(&body, "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nab");
    expect_reply(&head, "HTTP/1.1 408 Request Timeout\r\n", "408 The request's head did not come in time", false);
    expect_end(&head);
    expect_reply(&body, "HTTP/1.1 408 Request Timeout\r\n", "408 The request's body did not come in time", false);
    expect_end(&body);
    expect_end(&idle);
    /* Bytes that trickle do not move the deadline. */
    client_open(&drip, &server);
    int64_t began = clock_mono_ms();
    struct timeval short_wait = {.tv_usec = 20000};
    setsockopt(drip.fd, SOL_SOCKET, SO_RCVTIMEO, &short_wait, sizeof short_wait);
    say(&drip, "GET /");
    while (client_read(&drip) < 0 && clock_mono_ms() - began < 5000) client_write(&drip, "a", 1);
    assert_true(clock_mono_ms() - began < 5000);
    assert_true(text_starts(buf_text(&drip.got), "HTTP/1.1 408 "));
    client_close(&head);
    client_close(&body);
    client_close(&idle);
    client_close(&drip);
    server_stop(&server);
    assert_int_equal(server.handled, 0);
}

/* What has arrived by the deadline, and waits for its turn to be read, is in time: the loop is late, not the client. */
static void test_deadline_with_news(void **state) {
    (void)state;
    enum { COUNT = 20 };
    struct listener_limits limits = usual;
    limits.idle_timeout_ms = 1000;
    struct server server;
    struct client clients[COUNT];
    server_start(&server, &limits, USUAL, NULL);
    for (int i = 0; i < COUNT; i++) {
        client_open(&clients[i], &server);
        say(&clients[i], AWAY);
        expect_reply(&clients[i], UNAVAILABLE, "away", false);
    }
    int64_t idle_since = clock_mono_ms();
    loop_post(server.loop, wait_on_loop, &server); /* the first pass behind it has all the deadlines, and reads one */
    for (int i = 0; i < COUNT; i++) say(&clients[i], "POST /away?slowly HTTP/1.1\r\n" H "\r\n");
    for (int i = 0; i < COUNT; i++) wait_arrived(&clients[i]);
    while (clock_mono_ms() - idle_since <= limits.idle_timeout_ms) usleep(1000);
    sem_post(&server.went);
    for (int i = 0; i < COUNT; i++) expect_reply(&clients[i], UNAVAILABLE, "away", false);
    for (int i = 0; i < COUNT; i++) expect_end(&clients[i]); /* who says no more is idle, as ever */
    for (int i = 0; i < COUNT; i++) client_close(&clients[i]);
    server_stop(&server);
    assert_int_equal(server.away, 2 * COUNT);
}

static void test_client_leaves(void **state) {
    (void)state;
    struct server server;
    struct client client;
    visit(&server, &client);
    say(&client, "GET /hold HTTP/1.1\r\n" H "\r\n");
    wait_for(&server.holds);
    client_close(&client);
    wait_for(&server.went);
    release(&server); /* answering a client that has left is allowed */
    /* by a reset */
    client_open(&client, &server);
    say(&client, "GET /hold HTTP/1.1\r\n" H "\r\n");
    wait_for(&server.holds);
    struct linger reset = {.l_onoff = 1};
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_close(&client);
    wait_for(&server.went);
    release(&server);
    /* only half: told to the handler, and still answered, with what was sent before */
    client_open(&client, &server);
    say(&client,
        "GET /hold HTTP/1.1\r\n" H "\r\nGET /echo HTTP/1.1\r\n" H "\r\nGET /hold HTTP/1.1\r\n" H "\r\nGET /tr");
    wait_for(&server.holds);
    shutdown(client.fd, SHUT_WR);
    wait_for(&server.went);
    release(&server);
    expect_reply(&client, OK, "released", false);
    expect_reply(&client, OK, "GET/echo?|", false);
    wait_for(&server.holds);
    wait_for(&server.went);
    release(&server);
    expect_reply(&client, OK, "released", false);
    expect_end(&client);
    leave(&server, &client);
}

/* The listener goes while a request is under way: the handler is told, and may answer later. */
static void test_free_in_flight(void **state) {
    (void)state;
    struct server server;
    struct client client, half;
    visit(&server, &client);
    client_open(&half, &server);
    say(&half, "GET /ec");
    say(&client, "GET /hold HTTP/1.1\r\n" H "\r\n");
    wait_for(&server.holds);
    server_stop(&server);
    assert_int_equal(sem_trywait(&server.went), 0);
    expect_end(&client);
    client_close(&client);
    client_close(&half);
}

static void test_drain(void **state) {
    (void)state;
    struct server server;
    struct client idle, busy, half, late;
    server_start(&server, &usual, USUAL, NULL);
    client_open(&idle, &server);
    client_open(&busy, &server);
    client_open(&half, &server);
    say(&idle, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&idle, OK, "GET/echo?|", false);
    say(&half, "GET /ec");
    say(&busy, "GET /hold HTTP/1.1\r\n" H "\r\n");
    wait_for(&server.holds);
    drain(&server);
    expect_end(&idle);
    assert_int_equal(sem_trywait(&server.drained), -1);
    client_open_plain(&late, &server); /* the system takes it, and nobody serves it */
    say(&late, "GET /echo HTTP/1.1\r\n" H "\r\n");
    say(&half, "ho HTTP/1.1\r\n" H "\r\n");
    while (!half.got.len) assert_true(client_read(&half) > 0);
    assert_non_null(strstr(half.got.at, "\r\nConnection: close\r\n"));
    expect_reply(&half, OK, "GET/echo?|", false);
    expect_end(&half);
    release(&server);
    expect_reply(&busy, OK, "released", false);
    expect_end(&busy);
    assert_int_equal(sem_trywait(&server.drained), -1); /* both linger until their clients have closed */
    client_close(&half);
    client_close(&busy);
    wait_for(&server.drained);
    assert_int_equal(recv(late.fd, (char[1]){0}, 1, MSG_DONTWAIT), -1);
    client_close(&late);
    client_close(&idle);
    server_stop(&server);
    assert_int_equal(server.handled, 3);
    /* nobody there */
    server_start(&server, &usual, USUAL, NULL);
    drain(&server);
    wait_for(&server.drained);
    server_stop(&server);
}

static void drain_when_told(void *arg) {
    struct server *server = arg;
    sem_post(&server->holds);
    wait_for(&server->went); /* the loop stands still, and what a client sends meanwhile is not read */
    listener_drain(server->listener, on_drained, server);
}

/* A request that has arrived when the drain begins is answered, although the loop had not seen it. */
static void test_drain_with_news(void **state) {
    (void)state;
    struct server server;
    struct client client;
    visit(&server, &client);
    say(&client, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&client, OK, NULL, false);
    loop_post(server.loop, drain_when_told, &server);
    wait_for(&server.holds);
    say(&client, "GET /echo HTTP/1.1\r\n" H "\r\n");
    sem_post(&server.went);
    expect_reply(&client, OK, "GET/echo?|", false);
    expect_end(&client);
    client_close(&client);
    wait_for(&server.drained);
    server_stop(&server);
}

static void test_max_connections(void **state) {
    (void)state;
    struct listener_limits limits = usual;
    limits.max_connections = 2;
    struct server server;
    struct client first, second, third;
    server_start(&server, &limits, USUAL, NULL);
    client_open(&first, &server);
    client_open(&second, &server);
    say(&first, "GET /echo HTTP/1.1\r\n" H "\r\n");
    say(&second, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&first, OK, NULL, false);
    expect_reply(&second, OK, NULL, false);
    client_open(&third, &server);
    say(&third, "GET /echo HTTP/1.1\r\n" H "\r\n");
    while (!third.got.len) assert_true(client_read(&third) > 0);
    assert_non_null(strstr(third.got.at, "\r\nRetry-After: 1\r\n"));
    expect_reply(&third, "HTTP/1.1 503 Service Unavailable\r\n", NULL, false);
    expect_end(&third);
    client_close(&third);
    say(&first, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&first, OK, NULL, false);
    client_close(&first);
    client_close(&second);
    server_stop(&server);
    assert_int_equal(server.handled, 3);
}

static void test_client_that_does_not_read(void **state) {
    (void)state;
    struct listener_limits limits = usual;
    limits.write_timeout_ms = 400;
    struct server server;
    struct client client;
    server_start(&server, &limits, USUAL, NULL);
    int small = 4096;
    client_open(&client, &server);
    setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(&client, "GET /big HTTP/1.1\r\n" H "\r\n");
    int64_t began = clock_mono_ms();
    while (count_read(COUNT_CONNECTIONS) != 0 || atomic_load(&server.handled) == 0) {
        assert_true(clock_mono_ms() - began < 10000);
        sched_yield();
    }
    client_close(&client);
    /* one that reads gets it all, however long that takes in sum */
    client_open(&client, &server);
    say(&client, "GET /big HTTP/1.1\r\n" H "\r\n");
    expect_reply(&client, OK, big, false);
    client_close(&client);
    /* also where that takes longer than the deadline: only standing still counts */
    client_open(&client, &server);
    small = 131072; /* the kernel probes a window smaller than a segment only now and then */
    setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(&client, "GET /big HTTP/1.1\r\n" H "\r\n");
    began = clock_mono_ms();
    while (clock_mono_ms() - began < 1000) {
        char some[16384];
        assert_true(recv(client.fd, some, sizeof some, MSG_WAITALL) == sizeof some);
        usleep(5000); /* a slow reader is what is tested */
    }
    assert_int_equal(count_read(COUNT_CONNECTIONS), 1);
    leave(&server, &client);
}

/* No descriptor left: accepting rests, and goes on as soon as there is one. */
static void test_no_descriptors(void **state) {
    (void)state;
    struct server server;
    struct client client, second;
    struct rlimit before, none;
    visit(&server, &client);
    say(&client, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&client, OK, NULL, false);
    second = (struct client){.fd = -1};
    buf_init(&second.got, 1 << 20);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 3; /* no new descriptor; those that are open stay */
    setrlimit(RLIMIT_NOFILE, &none);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    second.fd = fd;
    say(&second, "GET /echo HTTP/1.1\r\n" H "\r\n");
    for (int i = 0; i < 50; i++) { /* the connections that are there are served meanwhile */
        say(&client, "GET /echo HTTP/1.1\r\n" H "\r\n");
        expect_reply(&client, OK, NULL, false);
    }
    assert_int_equal(recv(fd, (char[1]){0}, 1, MSG_DONTWAIT), -1);
    setrlimit(RLIMIT_NOFILE, &before);
    expect_reply(&second, OK, "GET/echo?|", false);
    client_close(&second);
    leave(&server, &client);
}

/* ---- addresses and sockets ---- */

static void test_addresses(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool tls, loopback;
        const char *fault; /* a part of it; NULL: it is fine */
    } rows[] = {
        {"127.0.0.1:8095", false, true, NULL},
        {"127.1.2.3:0", false, true, NULL},
        {"*:8095", false, false, NULL},
        {"0.0.0.0:8095", false, false, NULL},
        {"10.0.0.1:80", false, false, NULL},
        {"[::1]:8095", false, true, NULL},
        {"[::]:8095", false, false, NULL},
        {"tls:127.0.0.1:8443", true, true, NULL},
        {"tls:[::]:8443", true, false, NULL},
        {"unix:/run/x.sock", false, true, NULL},
        {"tls:unix:/run/x.sock", true, true, NULL},
        {"", false, false, "no port"},
        {"127.0.0.1", false, false, "no port"},
        {":80", false, false, "not an IP address"},
        {"127.0.0.1:", false, false, "not a port"},
        {"127.0.0.1:x", false, false, "not a port"},
        {"127.0.0.1:65536", false, false, "not a port"},
        {"127.0.0.1:-1", false, false, "not a port"},
        {"127.0.0.1:-0", false, false, "not a port"},
        {"127.0.0.1:080000", false, false, "not a port"},
        {"localhost:80", false, false, "not looked up"},
        {"127.1:80", false, false, "not an IP address"},
        {"0x7f000001:80", false, false, "not an IP address"},
        {"::1:80", false, false, "not an IP address"},
        {"[::1", false, false, "not a"},
        {"[127.0.0.1]:80", false, false, "not an IP address"},
        {"[garbage]:80", false, false, "not an IP address"},
        {"[]:80", false, false, "not an IP address"},
        {"unix:", false, false, "path"},
        {"unix:/"
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
         "678901234567890",
         false, false, "at most 107 bytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct listen_address address;
        struct fault fault = {0};
        bool fine = listen_address_parse(text_of(rows[i].text), &address, &fault);
        if (fine != !rows[i].fault) print_error("%s: %s\n", rows[i].text, fault.what);
        assert_int_equal(fine, !rows[i].fault);
        if (fine) {
            assert_int_equal(address.tls, rows[i].tls);
            assert_int_equal(address.loopback, rows[i].loopback);
        } else if (!strstr(fault.what, rows[i].fault)) fail_msg("%s: %s", rows[i].text, fault.what);
    }
}

static void test_urls_of_addresses(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"127.0.0.1:8095", "http://127.0.0.1:8095"},
        {"tls:10.0.0.1:8443", "https://10.0.0.1:8443"},
        {"[::1]:80", "http://[::1]:80"},
        {"*:8095", NULL},
        {"0.0.0.0:8095", NULL},
        {"[::]:80", NULL},
        {"tls:[::]:80", NULL},
        {"unix:/run/x.sock", NULL},
        {"tls:unix:/run/x.sock", NULL},
        {"localhost:80", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf url;
        buf_init(&url, 200);
        assert_int_equal(listen_address_url(text_of(rows[i][0]), &url), rows[i][1] != NULL);
        assert_string_equal(buf_cstr(&url), rows[i][1] ? rows[i][1] : "");
        buf_fini(&url);
    }
}

static void test_own_urls(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"127.0.0.1:8095", "http://127.0.0.1:8095", ""},
        {"10.0.0.5:80", "http://10.0.0.5:80", ""},
        {"*:8095", "http://127.0.0.1:8095", ""},
        {"0.0.0.0:8095", "http://127.0.0.1:8095", ""},
        {"[::]:8095", "http://[::1]:8095", ""},
        {"tls:*:8443", "https://127.0.0.1:8443", ""},
        {"[::1]:8095", "http://[::1]:8095", ""},
        {"unix:/run/s.sock", "http://localhost", "/run/s.sock"},
        {"tls:unix:/run/s.sock", "https://localhost", "/run/s.sock"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf url, path;
        buf_init(&url, 200);
        buf_init(&path, 200);
        assert_true(listen_address_own_url(text_of(rows[i][0]), &url, &path));
        assert_string_equal(buf_cstr(&url), rows[i][1]);
        assert_string_equal(buf_cstr(&path), rows[i][2]);
        buf_fini(&path);
        buf_fini(&url);
    }
    struct buf none;
    buf_init(&none, 200);
    assert_false(listen_address_own_url(TEXT("gateway:8095"), &none, &none));
    buf_fini(&none);
}

/* Of one port, that nobody else has: *six for IPv6, and the other for IPv4, whose address goes into `same`. */
static struct listen_socket *open_both(struct listen_socket **six, char same[64]) {
    struct fault fault = {0};
    struct listen_socket *four = NULL;
    for (int i = 0; i < 20 && !four; i++) {
        if (i) listen_socket_close(*six);
        *six = listen_socket_open("[::]:0", &fault);
        if (!*six) skip(); /* a machine without IPv6 */
        assert_true(text_starts(text_of(listen_socket_address(*six)), "[::]:"));
        snprintf(same, 64, "127.0.0.1%s", strrchr(listen_socket_address(*six), ':'));
        four = listen_socket_open(same, &fault); /* the same port: the first is IPv6 only */
    }
    return four;
}

static void test_ipv6(void **state) {
    (void)state;
    struct fault fault = {0};
    struct listen_socket *six = NULL;
    char same[64];
    struct listen_socket *four = open_both(&six, same);
    assert_non_null(four);
    assert_null(listen_socket_open(same, &fault));
    assert_string_equal(fault.where, same);
    assert_non_null(strstr(fault.what, "cannot bind: Address already in use"));
    listen_socket_close(four);
    listen_socket_close(six);
}

static char directory[] = "/tmp/test_listener.XXXXXX";

static char *in_directory(char out[200], const char *prefix, const char *name) {
    snprintf(out, 200, "%s%s/%s", prefix, directory, name);
    return out;
}

static void test_unix_socket(void **state) {
    (void)state;
    struct server server;
    struct client client = {0};
    struct fault fault = {0};
    struct stat found;
    char address[200], path[200], command[200];
    in_directory(address, "unix:", "s");
    in_directory(path, "", "s");
    server_start(&server, &usual, address, NULL);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0660);
    client.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    buf_init(&client.got, 1 << 20);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, path, strlen(path));
    assert_int_equal(connect(client.fd, (struct sockaddr *)&to, sizeof to), 0);
    say(&client, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&client, OK, "GET/echo?||unix", false);
    client_close(&client);
    assert_null(listen_socket_open(address, &fault)); /* it is alive */
    assert_int_equal(fault.kind, FAULT_CONFLICT);
    assert_non_null(strstr(fault.what, "another process is listening there"));
    server_stop(&server);
    assert_int_equal(stat(path, &found), -1); /* removed with its socket */

    int left = socket(AF_UNIX, SOCK_STREAM, 0); /* what a killed gateway leaves */
    assert_int_equal(bind(left, (struct sockaddr *)&to, sizeof to), 0);
    close(left);
    struct listen_socket *again = listen_socket_open(address, &fault);
    assert_non_null(again);
    listen_socket_close(again);

    int file = open(path, O_CREAT | O_WRONLY, 0600); /* somebody's file is not ours to remove */
    close(file);
    assert_null(listen_socket_open(address, &fault));
    assert_non_null(strstr(fault.what, "not a socket"));
    assert_int_equal(unlink(path), 0);
    in_directory(command, "unix:", "none/s");
    assert_null(listen_socket_open(command, &fault));
    assert_non_null(strstr(fault.what, "No such file or directory"));
}

/* ---- TLS ---- */

struct made {
    EVP_PKEY *key;
    X509 *certificate;
};

static void make_certificate(struct made *ret, const char *name, const struct made *issuer) {
    ret->key = EVP_EC_gen("P-256");
    X509 *x = ret->certificate = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), issuer ? 2 : 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, ret->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer->certificate : x));
    if (!issuer) {
        X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(x, ca, -1);
        X509_EXTENSION_free(ca);
    }
    assert_true(X509_sign(x, issuer ? issuer->key : ret->key, EVP_sha256()) > 0);
}

static void made_free(struct made *made) {
    EVP_PKEY_free(made->key);
    X509_free(made->certificate);
}

static void save(const struct made *made, const char *certificate, const char *key) {
    char path[200];
    FILE *file = fopen(in_directory(path, "", certificate), "w");
    PEM_write_X509(file, made->certificate);
    fclose(file);
    file = fopen(in_directory(path, "", key), "w");
    PEM_write_PrivateKey(file, made->key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static struct made ca, ours, stranger, self;

static int set_up(void **state) {
    (void)state;
    big = mem_alloc(BIG_BYTES + 1);
    memset(big, 'b', BIG_BYTES);
    assert_non_null(mkdtemp(directory));
    make_certificate(&ca, "test CA", NULL);
    make_certificate(&ours, "deploy-bot \xc3\xa4", &ca);
    make_certificate(&stranger, "stranger", NULL);
    make_certificate(&self, "localhost", NULL);
    save(&ca, "ca.pem", "ca.key");
    save(&self, "server.pem", "server.key");
    save(&stranger, "stranger.pem", "stranger.key");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const files[] = {"ca.pem",       "ca.key",       "server.pem", "server.key",
                                        "stranger.pem", "stranger.key", "garbage.pem"};
    char path[200];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) unlink(in_directory(path, "", files[i]));
    rmdir(directory);
    made_free(&ca);
    made_free(&ours);
    made_free(&stranger);
    made_free(&self);
    mem_free(big);
    return 0;
}

static struct tls_context *context(const char *certificate, const char *key, const char *client_ca,
                                   struct fault *fault) {
    char a[200], b[200], c[200];
    return tls_context_new(in_directory(a, "", certificate), in_directory(b, "", key),
                           client_ca ? in_directory(c, "", client_ca) : NULL, fault);
}

#define WHO "GET /client HTTP/1.1\r\n" H "\r\n"

/* False when the handshake, or the first read behind it (TLS 1.3 refuses a client's certificate there), fails. */
static bool client_open_tls(struct client *client, const struct server *server, const struct made *identity,
                            const char *protocols, int newest) {
    client_open_plain(client, server);
    SSL_CTX *handle = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(handle, newest);
    SSL_CTX_set_min_proto_version(handle, newest && newest < TLS1_2_VERSION ? newest : TLS1_2_VERSION);
    if (newest == TLS1_1_VERSION) SSL_CTX_set_cipher_list(handle, "ALL:@SECLEVEL=0");
    if (protocols) SSL_CTX_set_alpn_protos(handle, (const unsigned char *)protocols, (unsigned)strlen(protocols));
    if (identity) {
        SSL_CTX_use_certificate(handle, identity->certificate);
        SSL_CTX_use_PrivateKey(handle, identity->key);
    }
    client->tls = SSL_new(handle);
    SSL_CTX_free(handle);
    SSL_set_fd(client->tls, client->fd);
    if (SSL_connect(client->tls) != 1) return false;
    return client_write(client, WHO, strlen(WHO)) > 0 && client_read(client) > 0;
}

static void test_tls(void **state) {
    (void)state;
    struct server server;
    struct client client;
    struct fault fault = {0};
    struct tls_context *tls = context("server.pem", "server.key", NULL, &fault);
    assert_non_null(tls);
    server_start(&server, &usual, "tls:127.0.0.1:0", tls);
    tls_context_free(tls); /* the listener has its own reference */
    assert_true(text_starts(text_of(listen_socket_address(server.socket)), "tls:127.0.0.1:"));
    assert_true(client_open_tls(&client, &server, NULL, "\x02h2\x08http/1.1", 0));
    expect_reply(&client, OK, "nobody", false);
    const unsigned char *chosen;
    unsigned chosen_length;
    SSL_get0_alpn_selected(client.tls, &chosen, &chosen_length);
    assert_int_equal(chosen_length, 8);
    assert_memory_equal(chosen, "http/1.1", 8);
    for (int i = 0; i < 100; i++) say(&client, WHO);
    for (int i = 0; i < 100; i++) expect_reply(&client, OK, "nobody", false);
    say(&client, "GET /big HTTP/1.1\r\n" H "\r\n");
    expect_reply(&client, OK, big, false);
    say(&client, AWAY "GET /much HTTP/1.1\r\n" H "\r\n" AWAY); /* who is turned away is encrypted as well */
    expect_reply(&client, UNAVAILABLE, "away", false);
    expect_reply(&client, UNAVAILABLE, big, false);
    expect_reply(&client, UNAVAILABLE, "away", false);
    say(&client, "GET /close HTTP/1.1\r\n" H "\r\n");
    expect_reply(&client, OK, "", false);
    assert_int_equal(client_read(&client), 0);
    assert_int_equal(SSL_get_error(client.tls, 0), SSL_ERROR_ZERO_RETURN); /* close_notify, not a cut */
    client_close(&client);

    assert_true(client_open_tls(&client, &server, NULL, NULL, TLS1_2_VERSION));
    expect_reply(&client, OK, "nobody", false);
    client_close(&client);
    assert_false(client_open_tls(&client, &server, NULL, "\x02h2", 0)); /* no protocol of ours */
    client_close(&client);
    assert_false(client_open_tls(&client, &server, NULL, NULL, TLS1_1_VERSION));
    client_close(&client);
    client_open_plain(&client, &server); /* plain HTTP to the TLS port */
    say(&client, "GET /echo HTTP/1.1\r\n" H "\r\n");
    while (client_read(&client) > 0) {}
    assert_false(text_starts(buf_text(&client.got), "HTTP/"));
    client_close(&client);
    client_open_plain(&client, &server); /* leaves in the handshake */
    leave(&server, &client);
}

static void test_tls_client_certificates(void **state) {
    (void)state;
    struct server server;
    struct client client;
    struct fault fault = {0};
    struct tls_context *tls = context("server.pem", "server.key", "ca.pem", &fault);
    assert_non_null(tls);
    server_start(&server, &usual, "tls:127.0.0.1:0", tls);
    tls_context_free(tls);
    static const int newest[] = {0, TLS1_2_VERSION};
    for (size_t i = 0; i < 2; i++) {
        assert_true(client_open_tls(&client, &server, &ours, NULL, newest[i]));
        expect_reply(&client, OK, "deploy-bot \xc3\xa4", false);
        client_close(&client);
        assert_false(client_open_tls(&client, &server, NULL, NULL, newest[i]));
        client_close(&client);
        assert_false(client_open_tls(&client, &server, &stranger, NULL, newest[i]));
        client_close(&client);
    }
    server_stop(&server);
    assert_int_equal(server.handled, 2);
}

struct renewal {
    struct server *server;
    struct tls_context *tls;
};

static void renew_on_loop(void *arg) {
    struct renewal *renewal = arg;
    listener_renew_tls(renewal->server->listener, renewal->tls);
    sem_post(&renewal->server->done);
}

static void expect_certificate(const struct client *client, const struct made *made) {
    X509 *got = SSL_get1_peer_certificate(client->tls);
    assert_int_equal(X509_cmp(got, made->certificate), 0);
    X509_free(got);
}

static void test_tls_renewal(void **state) {
    (void)state;
    struct server server;
    struct client before, after;
    struct fault fault = {0};
    struct tls_context *tls = context("server.pem", "server.key", NULL, &fault);
    struct tls_context *newer = context("stranger.pem", "stranger.key", NULL, &fault);
    server_start(&server, &usual, "tls:127.0.0.1:0", tls);
    tls_context_free(tls);
    assert_true(client_open_tls(&before, &server, NULL, NULL, 0));
    expect_reply(&before, OK, NULL, false);
    struct renewal renewal = {&server, newer};
    loop_post(server.loop, renew_on_loop, &renewal);
    wait_for(&server.done);
    tls_context_free(newer);
    assert_true(client_open_tls(&after, &server, NULL, NULL, 0));
    expect_reply(&after, OK, NULL, false);
    expect_certificate(&before, &self);
    expect_certificate(&after, &stranger);
    say(&before, "GET /echo HTTP/1.1\r\n" H "\r\n");
    expect_reply(&before, OK, NULL, false);
    client_close(&before);
    client_close(&after);
    server_stop(&server);
}

static void test_tls_deadline(void **state) {
    (void)state;
    struct listener_limits limits = usual;
    limits.head_timeout_ms = 150;
    struct server server;
    struct client client;
    struct fault fault = {0};
    struct tls_context *tls = context("server.pem", "server.key", NULL, &fault);
    server_start(&server, &limits, "tls:127.0.0.1:0", tls);
    tls_context_free(tls);
    client_open_plain(&client, &server); /* a handshake that stalls */
    say_bytes(&client, "\x16\x03\x01", 3);
    expect_end(&client);
    leave(&server, &client);
}

/* A session is resumed also if its connection was cut off; a connection at rest is told that it ends. */
static void test_tls_again(void **state) {
    (void)state;
    static const int newest[] = {TLS1_2_VERSION, 0};
    struct listener_limits limits = usual;
    limits.idle_timeout_ms = 50;
    struct server server;
    struct client first, second;
    struct fault fault = {0};
    struct tls_context *tls = context("server.pem", "server.key", NULL, &fault);
    server_start(&server, &limits, "tls:" USUAL, tls);
    tls_context_free(tls);
    for (size_t i = 0; i < 2; i++) {
        assert_true(client_open_tls(&first, &server, NULL, NULL, newest[i]));
        expect_reply(&first, OK, "nobody", false);
        SSL_SESSION *session = SSL_get1_session(first.tls);
        while (client_read(&first) > 0) {}
        assert_int_equal(SSL_get_error(first.tls, 0), SSL_ERROR_ZERO_RETURN); /* idle for too long: close_notify */
        client_open_plain(&second, &server);
        begin_tls(&second, session);
        assert_true(SSL_session_reused(second.tls));
        say(&second, WHO);
        expect_reply(&second, OK, "nobody", false);
        SSL_SESSION_free(session);
        client_close(&first);
        client_close(&second);
    }
    server_stop(&server);
}

/* New keys, each of which has to be answered with one, take as many turns as anything else that a client sends. */
static void test_tls_new_keys(void **state) {
    (void)state;
    struct server server;
    struct client client, other;
    visit(&server, &client);
    client_open(&other, &server);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(SSL_key_update(client.tls, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(client.tls), 1);
        if (i % 100) continue;
        say(&other, WHO);
        expect_reply(&other, OK, "nobody", false);
        say(&client, WHO);
        expect_reply(&client, OK, "nobody", false);
    }
    client_close(&other);
    leave(&server, &client);
}

static void test_tls_files(void **state) {
    (void)state;
    char path[200];
    FILE *file = fopen(in_directory(path, "", "garbage.pem"), "w");
    fputs("garbage\n", file);
    fclose(file);
    static const struct {
        const char *certificate, *key, *client_ca, *where, *what;
    } rows[] = {
        {"none.pem", "server.key", NULL, "none.pem", "cannot be read: No such file or directory"},
        {"server.pem", "none.key", NULL, "none.key", "cannot be read: No such file or directory"},
        {"garbage.pem", "server.key", NULL, "garbage.pem", "is not a certificate in PEM form"},
        {"server.pem", "garbage.pem", NULL, "garbage.pem", "is not a private key in PEM form"},
        {"server.pem", "stranger.key", NULL, "stranger.key", "is not the key of the certificate in "},
        {"server.pem", "server.key", "none.pem", "none.pem", "cannot be read: No such file or directory"},
        {"server.pem", "server.key", "garbage.pem", "garbage.pem", "holds no certificate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault fault = {0};
        assert_null(context(rows[i].certificate, rows[i].key, rows[i].client_ca, &fault));
        if (!strstr(fault.where, rows[i].where) || !text_starts(text_of(fault.what), rows[i].what))
            fail_msg("%zu: %s: %s", i, fault.where, fault.what);
    }
    struct fault fault = {0};
    struct loop *loop = loop_new(0);
    const struct listener_settings settings = {.limits = usual, .handle = handle, .refuse = refuse};
    struct listener *listener = listener_new(loop, &settings);
    struct listen_socket *plain = listen_socket_open("tls:127.0.0.1:0", &fault);
    assert_false(listener_add(listener, plain, NULL, &fault));
    assert_string_equal(fault.what, "needs a certificate and a key");
    listen_socket_close(plain);
    listener_free(listener);
    loop_free(loop);
}

static int go_over_tls(void **state) {
    (void)state;
    struct fault fault = {0};
    usual_tls = context("server.pem", "server.key", NULL, &fault);
    return usual_tls ? 0 : -1;
}

static int go_plain(void **state) {
    (void)state;
    tls_context_free(usual_tls);
    usual_tls = NULL;
    return 0;
}

#define OVER_TLS(test) \
    { #test " over TLS", test, go_over_tls, go_plain, NULL }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_urls_of_addresses),
        cmocka_unit_test(test_own_urls),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_http_1_0),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_turned_away),
        cmocka_unit_test(test_who_was_refused_is_read_last),
        cmocka_unit_test(test_who_was_refused_and_ends_is_not_read_last),
        cmocka_unit_test(test_one_is_turned_away_at_a_time),
        cmocka_unit_test(test_nothing_waits_to_be_sent),
        cmocka_unit_test(test_pipelining_behind_a_slow_one),
        cmocka_unit_test(test_split_requests),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_oversized_body),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_deadline_with_news),
        cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_free_in_flight),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_with_news),
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_client_that_does_not_read),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_tls_again),
        OVER_TLS(test_tls_new_keys),
        OVER_TLS(test_keep_alive),
        OVER_TLS(test_http_1_0),
        OVER_TLS(test_pipelining),
        OVER_TLS(test_turned_away),
        OVER_TLS(test_who_was_refused_is_read_last),
        OVER_TLS(test_who_was_refused_and_ends_is_not_read_last),
        OVER_TLS(test_one_is_turned_away_at_a_time),
        OVER_TLS(test_nothing_waits_to_be_sent),
        OVER_TLS(test_pipelining_behind_a_slow_one),
        OVER_TLS(test_split_requests),
        OVER_TLS(test_expect_continue),
        OVER_TLS(test_refusals),
        OVER_TLS(test_oversized_body),
        OVER_TLS(test_deadlines),
        OVER_TLS(test_deadline_with_news),
        OVER_TLS(test_client_leaves),
        OVER_TLS(test_free_in_flight),
        OVER_TLS(test_drain),
        OVER_TLS(test_drain_with_news),
        OVER_TLS(test_max_connections),
        OVER_TLS(test_client_that_does_not_read),
        cmocka_unit_test(test_tls_client_certificates),
        cmocka_unit_test(test_tls_renewal),
        cmocka_unit_test(test_tls_deadline),
        cmocka_unit_test(test_tls_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
