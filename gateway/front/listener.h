/* Listeners: sockets, TLS, connections. The one file that knows libevhtp; the guard stands between it and the bytes. */
#ifndef FRONT_LISTENER_H
#define FRONT_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/loop.h"
#include "front/exchange.h"
#include "front/listen_socket.h"
#include "front/tls.h"

/* Of so many connections at most, how many more may be open, to be told that there are too many; never over 256. */
#define LISTENER_SHARE 8
#define LISTENER_OVER(max) ((max) / LISTENER_SHARE + 8)

struct listener_limits {
    size_t max_head_bytes;    /* 431; request line over 8 KiB: 414 */
    size_t max_headers;       /* 431 */
    size_t max_body_bytes;    /* 413 */
    size_t max_connections;   /* a loop; further ones are answered 503 and closed */
    int64_t head_timeout_ms;  /* for a whole head, from its first byte: 408 */
    int64_t body_timeout_ms;  /* for a whole body: 408 */
    int64_t idle_timeout_ms;  /* between requests: closed */
    int64_t write_timeout_ms; /* a client that does not read: closed */
};

struct listener_settings {
    struct listener_limits limits;
    void (*handle)(struct exchange *exchange); /* on the loop's thread */
    /* NULL: nobody is turned away. Asked before `handle`: the answer to a request that is not to be handled, or NULL.
     * It goes out as it is, at the least cost, and the connection stays. It never changes: its bytes are kept. */
    const struct answer *(*turn_away)(struct exchange *exchange);
    /* Fills in the answer to a request that is refused before there is an exchange: a problem document. */
    void (*refuse)(int status, const char *what, struct buf *ret_body, const char **ret_content_type);
    void *arg; /* exchange->server */
};

/* One loop's end of all sockets. Everything here is called on its loop's thread, or before and after the loop runs, and
 * never from within `handle`. */
struct listener;
struct listener *listener_new(struct loop *loop, const struct listener_settings *settings); /* GIVES */
/* `tls` is given exactly where the address says "tls:"; the listener takes a reference of its own. */
bool listener_add(struct listener *listener, struct listen_socket *socket, struct tls_context *tls,
                  struct fault *fault);
void listener_renew_tls(struct listener *listener, struct tls_context *tls); /* for connections from now on */
/* Accepts no more; idle connections close, the others after their answer. `drained` is called once, from the loop, when
 * none is left. A handler that holds its answer back holds this up: the deadline is the caller's. */
void listener_drain(struct listener *listener, void (*drained)(void *arg), void *arg);

/* The same in steps, where another process takes over the sockets. First: accepts and answers as before, yet each
 * answer announces that its connection closes; `left` is called when no client is left that was not told, which may be
 * never: the deadline is the caller's. */
void listener_leave(struct listener *listener, void (*left)(void *arg), void *arg);
void listener_stay(struct listener *listener); /* nobody takes over after all; `left` is not called any more */
/* Then: accepts no more (who comes waits in the socket's queue), answers what was accepted, and half-closes what is
 * idle. `quiet` is called when no request is left; connections may still be lingering. */
void listener_retire(struct listener *listener, void (*quiet)(void *arg), void *arg);
/* Last, after the loop has ended: blocks until the clients of lingering connections have closed them, or the time has
 * come. */
void listener_wait_gone(struct listener *listener, int64_t until_mono_ms);

/* Closes what is still open. Exchanges without an answer are told that their clients are gone; they may be answered as
 * long as the loop exists. */
void listener_free(struct listener *listener);

#endif
