/* A talk: one request over a connection, and the reply to it. Private to back/. */
#ifndef BACK_TALK_H
#define BACK_TALK_H

#include "back/http_reply.h"
#include "back/stream.h"
#include "call/reply.h"

struct talk {
    struct http_reply reply;
    struct buf head, fields, body;        /* of the reply; see http_reply.h */
    struct text unsent_head, unsent_body; /* of the request */
    struct buf held;                      /* a copy of that head, where it did not go at once */
    bool sent;                            /* bytes of the request, or of its TLS, have left */
    bool heard;                           /* bytes of a reply have come */
    bool sending;
};

enum talk_state {
    TALK_GOES_ON,
    TALK_WHOLE,  /* `reply` is */
    TALK_BROKEN, /* its flaw says why */
    TALK_LOST    /* the stream failed, it says how */
};

void talk_init(struct talk *talk);
void talk_fini(struct talk *talk);
void talk_rest(struct talk *talk); /* its buffers are kept for another one, unless they have grown large */

/* Begins to send. The body is borrowed until the talk has ended, the head is not; `body_max` is of the reply's. Where
 * this loses the stream, talk_go_on is due at once: it tells so, after what the peer has said before. */
void talk_begin(struct talk *talk, struct stream *stream, struct text head, struct text body, size_t body_max,
                bool is_head);

/* When the stream can be read, or written where it wants that. `room` is lent for the call. */
enum talk_state talk_go_on(struct talk *talk, struct stream *stream, char *room, size_t size);

struct reply *talk_reply(const struct talk *talk, struct arena *arena); /* of WHOLE: its code and headers, no body */
bool talk_may_reuse(const struct talk *talk); /* of WHOLE: the connection is as it was before the talk */

#endif
