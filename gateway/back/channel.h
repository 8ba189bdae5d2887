/* Channels: connections to origins, kept open between calls. One set a loop; private to back/. */
#ifndef BACK_CHANNEL_H
#define BACK_CHANNEL_H

#include "back/origin.h"
#include "back/stream.h"
#include "back/trust.h"
#include "base/loop.h"

#define CHANNEL_KEPT_MS 60000 /* most servers keep one for a minute or more */

struct channels;

/* What connections have in common that may stand in for each other: where they lead, whom they trust, and what they
 * show of us. Lives as long as `channels`. */
struct channel_place {
    struct channel_place *next; /* of the same origin */
    struct channel_place *next_of_all;
    struct channels *channels;
    const struct origin *origin;
    char *unix_socket;       /* a copy; NULL: none */
    struct trust trust;      /* of TLS */
    struct channel *resting; /* that rested last comes first */
};

struct channel {
    struct stream stream;
    struct channel_place *place;
    struct loop_watch *watch;
    void (*ready)(void *owner, int events);
    void *owner; /* NULL: it rests */
    /* at rest */
    struct channel *next, *previous; /* in its place */
    struct channel *younger, *older; /* of all */
    int64_t rested_ms;
};

struct channels *channels_new(struct loop *loop, size_t max_resting); /* GIVES */
void channels_free(struct channels *channels);                        /* none may be in use; NULL is allowed */

struct channel_place *channels_place(struct channels *channels, struct origin *origin, const char *unix_socket,
                                     const struct stage_tls *tls, bool own_origin);

/* One that has rested for less than `max_rest_ms`, is open, has nothing to say, and was made with the files of its TLS
 * as they are now; or NULL, when the caller makes one. What is passed over is closed. */
struct channel *channel_take(struct channel_place *place, int64_t max_rest_ms);

/* TAKES the socket and the client (NULL: plain). In use. */
struct channel *channel_new(struct channel_place *place, int fd, SSL *ssl);

/* `ready` is called when it can be read, or written where that is wanted. It may let go of the connection. */
void channel_use(struct channel *channel, void (*ready)(void *owner, int events), void *owner);
void channel_want(struct channel *channel, bool to_write);

void channel_rest(struct channel *channel); /* for the next call; not used any more */
void channel_close(struct channel *channel);

#endif
