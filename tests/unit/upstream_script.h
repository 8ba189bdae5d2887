/* An upstream for tests: raw sockets in threads, which answers by a script and counts what it gets. Header only, since
 * each unit test is one file. */
#ifndef TESTS_UPSTREAM_SCRIPT_H
#define TESTS_UPSTREAM_SCRIPT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

#define SCRIPT_CONNECTIONS_MAX 1024 /* a slow machine opens one a call */

/* What happens to the connection once a reply has been written. */
enum script_after { AFTER_KEEP, AFTER_CLOSE, AFTER_RESET, AFTER_STALL };

struct script;

struct script_end { /* one connection */
    struct script *script;
    int fd;
    SSL *ssl;
    pthread_t thread;
};

struct script {
    /* Answers the request of this index (from 0, over all connections). NULL: `reply`, then `after`. */
    enum script_after (*answer)(struct script_end *end, unsigned index);
    const char *reply;
    size_t reply_len; /* 0: up to the NUL */
    enum script_after after;
    void (*on_request)(void *arg); /* from the script's thread, before the answer */
    void *arg;
    SSL_CTX *tls;
    const char *path; /* of a unix socket, in place of a port */
    /* results */
    atomic_uint connections, requests, closed;
    atomic_uint hung_up; /* stalls that the client ended */
    atomic_llong written;
    struct buf got; /* all requests, one behind the other; to be read when the script has stopped */
    /* private */
    int listener, port;
    pthread_t thread;
    pthread_mutex_t lock;
    struct script_end ends[SCRIPT_CONNECTIONS_MAX];
};

static bool script_write(struct script_end *end, const char *at, size_t len) {
    while (len) {
        size_t chunk = len > 65536 ? 65536 : len;
        ssize_t n = end->ssl ? SSL_write(end->ssl, at, (int)chunk) : send(end->fd, at, chunk, MSG_NOSIGNAL);
        if (n <= 0) return false;
        atomic_fetch_add(&end->script->written, n);
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool script_puts(struct script_end *end, const char *s) {
    return script_write(end, s, strlen(s));
}

static ssize_t script_read(struct script_end *end, char *at, size_t len) {
    return end->ssl ? SSL_read(end->ssl, at, (int)len) : read(end->fd, at, len);
}

/* Where the first request of `in` ends, or 0 while it is not whole. Content-Length only: it is all that we send. */
static size_t script_request_end(const struct buf *in) {
    const char *end = in->len ? strstr(in->at, "\r\n\r\n") : NULL;
    if (!end) return 0;
    const char *length = strcasestr(in->at, "\r\nContent-Length:");
    size_t body = length && length < end ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
    size_t whole = (size_t)(end - in->at) + 4 + body;
    return in->len >= whole ? whole : 0;
}

static void script_end_close(struct script_end *end, bool reset) {
    struct linger at_once = {1, 0};
    if (reset) setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (end->ssl) SSL_free(end->ssl);
    end->ssl = NULL;
    pthread_mutex_lock(&end->script->lock);
    close(end->fd);
    end->fd = -1;
    pthread_mutex_unlock(&end->script->lock);
    atomic_fetch_add(&end->script->closed, 1);
}

static bool script_answer(struct script_end *end, struct buf *in, size_t whole) {
    struct script *script = end->script;
    pthread_mutex_lock(&script->lock);
    buf_add(&script->got, in->at, whole);
    pthread_mutex_unlock(&script->lock);
    in->len -= whole;
    memmove(in->at, in->at + whole, in->len + 1);
    unsigned index = atomic_fetch_add(&script->requests, 1);
    if (script->on_request) script->on_request(script->arg);
    enum script_after after = script->after;
    if (script->answer) after = script->answer(end, index);
    else if (script->reply)
        script_write(end, script->reply, script->reply_len ? script->reply_len : strlen(script->reply));
    if (after == AFTER_KEEP) return true;
    char byte;
    if (after == AFTER_STALL) {
        while (script_read(end, &byte, 1) > 0) {}
        atomic_fetch_add(&script->hung_up, 1);
    }
    script_end_close(end, after == AFTER_RESET);
    return false;
}

static void *script_serve(void *arg) {
    struct script_end *end = arg;
    struct buf in;
    buf_init(&in, 64 << 20);
    bool open = true;
    if (end->script->tls) {
        end->ssl = SSL_new(end->script->tls);
        SSL_set_fd(end->ssl, end->fd);
        open = SSL_accept(end->ssl) == 1;
    }
    while (open) {
        char piece[4096];
        ssize_t n = script_read(end, piece, sizeof piece);
        if (n <= 0) break;
        buf_add(&in, piece, (size_t)n);
        for (size_t whole; open && (whole = script_request_end(&in));) open = script_answer(end, &in, whole);
    }
    if (end->fd >= 0) script_end_close(end, false);
    buf_fini(&in);
    return NULL;
}

static void *script_accept(void *arg) {
    struct script *script = arg;
    for (;;) {
        int fd = accept(script->listener, NULL, NULL);
        if (fd < 0) return NULL;
        unsigned index = atomic_load(&script->connections);
        if (index == SCRIPT_CONNECTIONS_MAX) fputs("the script has no room for further connections\n", stderr), abort();
        script->ends[index] = (struct script_end){.script = script, .fd = fd};
        pthread_create(&script->ends[index].thread, NULL, script_serve, &script->ends[index]);
        atomic_store(&script->connections, index + 1);
    }
}

static void script_listen_unix(struct script *script) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, script->path, strlen(script->path) + 1);
    script->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(script->listener, (void *)&address, sizeof address) || listen(script->listener, 64)) abort();
}

static void script_listen(struct script *script) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(script->listener, (void *)&address, size) || listen(script->listener, 64)) abort();
    getsockname(script->listener, (void *)&address, &size);
    script->port = ntohs(address.sin_port);
}

static void script_start(struct script *script) {
    signal(SIGPIPE, SIG_IGN); /* SSL_write has no MSG_NOSIGNAL */
    if (script->path) script_listen_unix(script);
    else script_listen(script);
    pthread_mutex_init(&script->lock, NULL);
    buf_init(&script->got, 64 << 20);
    pthread_create(&script->thread, NULL, script_accept, script);
}

/* Ends the connections and threads; results stay until script_fini. */
static void script_stop(struct script *script) {
    shutdown(script->listener, SHUT_RDWR);
    pthread_join(script->thread, NULL);
    close(script->listener);
    if (script->path) unlink(script->path);
    unsigned count = atomic_load(&script->connections);
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_lock(&script->lock);
        if (script->ends[i].fd >= 0) shutdown(script->ends[i].fd, SHUT_RDWR);
        pthread_mutex_unlock(&script->lock);
        pthread_join(script->ends[i].thread, NULL);
    }
}

static void script_fini(struct script *script) {
    buf_fini(&script->got);
    pthread_mutex_destroy(&script->lock);
}

#endif
