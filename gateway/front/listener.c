/* The listener: its addresses, who is accepted, and how all of it ends. Connections are front/connection's.
 *
 * Each address is a socket of libevhtp's on this loop. Who is accepted is handed on at once; a row of them has an end,
 * since others are at work, and where accept fails it rests. Where another process takes over, a listener leaves (it
 * still accepts, yet each answer says that it is the last), then retires: what was accepted is answered, what is idle
 * gets its FIN, what has not been accepted stays in the socket's queue, which outlives this process. */
#include "front/listener.h"

#include <errno.h>
#include <evhtp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "front/connections.h"

#define RETIRE_LOOK_MS 10  /* how often a listener that retires looks at its connections */
#define ACCEPT_REST_MS 100 /* after accept found no descriptor left */
#define ACCEPT_ROW_MAX 64  /* connections in a row; further ones wait in the socket queue, and nobody waits for them */
#define ACCEPT_QUIET_MS 5000 /* a burst of such failures is over when none came for so long */
#define TURNED_AWAY_MAX 256

struct port { /* one address on this loop */
    struct port *next;
    struct listener *listener;
    evhtp_t *htp;
    bool is_unix;
    struct ssl_ctx_st *tls; /* NULL: plain */
    struct loop_timer rest;
    unsigned accepted;      /* since the last rest */
    int64_t failed_mono_ms; /* when accept failed last */
};

struct listener {
    struct loop *loop;
    struct listener_settings settings;
    struct port *ports;
    struct connections connections;
    bool retiring;                  /* accepts no more */
    struct loop_timer retire_timer; /* while it waits for `retired` */
    void (*retired)(void *);
    void *retired_arg;
    struct loop_timer drained_soon;
    void (*drained)(void *);
    void *drained_arg;
};

/* ---- accepting ---- */

/* evconnlistener would go on until nobody is left. */
static void count_accepted(struct port *port) {
    if (++port->accepted < ACCEPT_ROW_MAX) return;
    evconnlistener_disable(port->htp->server);
    loop_timer_set(&port->rest, 0);
}

/* Connections over the limit that may wait for their 503 to be read. */
static size_t most_turned_away(const struct connections *all) {
    size_t most = LISTENER_OVER(all->settings->limits.max_connections);
    return most < TURNED_AWAY_MAX ? most : TURNED_AWAY_MAX;
}

static evhtp_res on_accept(evhtp_connection_t *evhtp, void *arg) {
    struct port *port = arg;
    struct connections *all = &port->listener->connections;
    count_accepted(port);
    if (all->count >= all->settings->limits.max_connections + most_turned_away(all))
        return EVHTP_RES_ERROR; /* libevhtp closes it */
    int64_t entered = loop_enter(all->loop);
    connections_add(all, evhtp, port->is_unix, port->tls);
    loop_leave(all->loop, "client_accepted", entered);
    return EVHTP_RES_OK;
}

/* Without a rest, accept would fail again at once, and go on failing as fast as it can. */
static void on_accept_fault(struct evconnlistener *server, void *arg) {
    int failed = errno;
    struct port *port = ((evhtp_t *)arg)->arg;
    int64_t now = loop_enter(port->listener->loop);
    if (port->failed_mono_ms == 0 || now - port->failed_mono_ms > ACCEPT_QUIET_MS)
        log_put(LOG_ERROR, "accept_failed", NULL, LOG_STR("what", strerror(failed)),
                LOG_INT("connections", port->listener->connections.count));
    port->failed_mono_ms = now;
    evconnlistener_disable(server);
    loop_timer_set(&port->rest, ACCEPT_REST_MS);
}

static void on_rested(void *arg) {
    struct port *port = arg;
    port->accepted = 0;
    evconnlistener_enable(port->htp->server);
}

/* ---- the listener itself ---- */

static void on_retire_look(void *arg);

static void on_gone(void *arg) {
    struct listener *listener = arg;
    if (listener->connections.draining && listener->connections.count == 0) loop_timer_set(&listener->drained_soon, 0);
}

static void on_drained(void *arg) {
    struct listener *listener = arg;
    if (listener->drained) listener->drained(listener->drained_arg);
}

struct listener *listener_new(struct loop *loop, const struct listener_settings *settings) {
    struct listener *listener = mem_alloc(sizeof *listener);
    listener->loop = loop;
    listener->settings = *settings;
    connections_init(&listener->connections, loop, &listener->settings, on_gone, listener);
    loop_timer_init(&listener->drained_soon, loop, "drained", on_drained, listener);
    loop_timer_init(&listener->retire_timer, loop, "retire", on_retire_look, listener);
    signal(SIGPIPE, SIG_IGN); /* a client that has left is an error of write, not a signal */
    return listener;
}

static void port_free(struct port *port) {
    loop_timer_clear(&port->rest);
    evhtp_unbind_socket(port->htp);
    evhtp_free(port->htp);
    tls_context_unref(port->tls);
    mem_free(port);
}

bool listener_add(struct listener *listener, struct listen_socket *socket, struct tls_context *tls,
                  struct fault *fault) {
    const char *address = listen_socket_address(socket);
    if (listen_socket_wants_tls(socket) != (tls != NULL))
        return fault_set(fault, FAULT_INVALID, address, tls ? "is not a TLS address" : "needs a certificate and a key");
    int fd = listen_socket_dup(socket);
    if (fd < 0) return fault_set(fault, FAULT_IO, address, "cannot be listened on: %s", strerror(errno));
    struct port *port = mem_alloc(sizeof *port);
    port->listener = listener;
    port->is_unix = listen_socket_is_unix(socket);
    port->tls = tls ? tls_context_ref(tls) : NULL;
    loop_timer_init(&port->rest, listener->loop, "accept_rest", on_rested, port);
    port->htp = evhtp_new(loop_base(listener->loop), port);
    evhtp_set_post_accept_cb(port->htp, on_accept, port);
    if (evhtp_accept_socket(port->htp, fd, LISTEN_BACKLOG) != 0) {
        close(fd);
        port_free(port);
        return fault_set(fault, FAULT_IO, address, "cannot be listened on");
    }
    evconnlistener_set_error_cb(port->htp->server, on_accept_fault);
    port->next = listener->ports;
    listener->ports = port;
    return true;
}

void listener_renew_tls(struct listener *listener, struct tls_context *tls) {
    for (struct port *port = listener->ports; port; port = port->next) {
        if (!port->tls) continue;
        tls_context_unref(port->tls);
        port->tls = tls_context_ref(tls);
    }
}

static void accept_no_more(struct listener *listener) {
    for (struct port *port = listener->ports; port; port = port->next) {
        loop_timer_clear(&port->rest);
        evconnlistener_disable(port->htp->server);
    }
}

void listener_drain(struct listener *listener, void (*drained)(void *arg), void *arg) {
    listener->connections.draining = true;
    listener->drained = drained;
    listener->drained_arg = arg;
    accept_no_more(listener);
    connections_drain(&listener->connections);
    on_gone(listener);
}

/* ---- another process takes over ---- */

static void on_retire_look(void *arg) {
    struct listener *listener = arg;
    struct connections *all = &listener->connections;
    if (listener->retiring ? connections_retire(all) : connections_told(all)) listener->retired(listener->retired_arg);
    else loop_timer_set(&listener->retire_timer, RETIRE_LOOK_MS);
}

static void retire(struct listener *listener, void (*retired)(void *arg), void *arg) {
    listener->retired = retired;
    listener->retired_arg = arg;
    loop_timer_set(&listener->retire_timer, 0);
}

void listener_leave(struct listener *listener, void (*left)(void *arg), void *arg) {
    listener->connections.leaving = true;
    retire(listener, left, arg);
}

void listener_stay(struct listener *listener) {
    listener->connections.leaving = false;
    loop_timer_clear(&listener->retire_timer);
}

void listener_retire(struct listener *listener, void (*quiet)(void *arg), void *arg) {
    listener->connections.leaving = true;
    listener->retiring = true;
    accept_no_more(listener);
    retire(listener, quiet, arg);
}

void listener_wait_gone(struct listener *listener, int64_t until_mono_ms) {
    connections_wait_gone(&listener->connections, until_mono_ms);
}

void listener_free(struct listener *listener) {
    if (!listener) return;
    listener->connections.draining = false;
    loop_timer_clear(&listener->retire_timer);
    connections_fini(&listener->connections);
    while (listener->ports) {
        struct port *port = listener->ports;
        listener->ports = port->next;
        port_free(port);
    }
    loop_timer_clear(&listener->drained_soon);
    mem_free(listener);
}
