/* Connections: to origins, kept open between calls. One set a loop; private to back/. */
#ifndef BACK_CONNECTION_H
#define BACK_CONNECTION_H

#include "back/origin.h"
#include "back/stream.h"
#include "back/trust.h"
#include "base/loop.h"

#define CONNECTION_KEPT_MS 60000 /* most servers keep one for a minute or more */

struct connections;

/* What connections have in common that may stand in for each other: where they lead, whom they trust, and what they
 * show of us. Lives as long as `connections`. */
struct connection_place {
    struct connection_place *next; /* of the same origin */
    struct connection_place *next_of_all;
    struct connections *connections;
    const struct origin *origin;
    char *unix_socket;          /* a copy; NULL: none */
    struct trust trust;         /* of TLS */
    struct connection *resting; /* that rested last comes first */
};

struct connection {
    struct stream stream;
    struct connection_place *place;
    struct loop_watch *watch;
    void (*ready)(void *owner, int events);
    void *owner; /* NULL: it rests */
    /* at rest */
    struct connection *next, *previous; /* in its place */
    struct connection *younger, *older; /* of all */
    int64_t rested_ms;
};

struct connections *connections_new(struct loop *loop, size_t max_resting); /* GIVES */
void connections_free(struct connections *connections);                     /* none may be in use; NULL is allowed */

struct connection_place *connections_place(struct connections *connections, struct origin *origin,
                                           const char *unix_socket, const struct stage_tls *tls, bool own_origin);

/* One that has rested for less than `max_rest_ms`, is open, and has nothing to say; or NULL, when the caller makes one.
 * What is passed over is closed. */
struct connection *connection_take(struct connection_place *place, int64_t max_rest_ms);

/* TAKES the socket and the client (NULL: plain). In use. */
struct connection *connection_new(struct connection_place *place, int fd, SSL *ssl);

/* `ready` is called when it can be read, or written where that is wanted. It may let go of the connection. */
void connection_use(struct connection *connection, void (*ready)(void *owner, int events), void *owner);
void connection_want(struct connection *connection, bool to_write);

void connection_rest(struct connection *connection); /* for the next call; not used any more */
void connection_close(struct connection *connection);

#endif
