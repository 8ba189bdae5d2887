/* Streams: bytes to and from a socket, plain or by TLS, without waiting. Private to back/. */
#ifndef BACK_STREAM_H
#define BACK_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct stream {
    int fd;
    SSL *ssl;         /* NULL: plain */
    struct buf held;  /* of TLS: records that the socket has not taken yet */
    bool wants_write; /* it can go on once the socket takes bytes. Of TLS, sending may wait for bytes that come, and
                         what has come may ask for some to be sent. */
    bool has_sent;    /* the socket has taken bytes, of any kind, since its owner set this to false */
    bool is_lost;     /* it has failed: nothing more goes either way */
    int error;        /* errno of that; 0: not of the system's */
};

enum stream_result { STREAM_DONE, STREAM_AGAIN, STREAM_CLOSED, STREAM_LOST };

/* TAKES the descriptor, and the client if there is one. A stream stays where it is. */
void stream_init(struct stream *stream, int fd, SSL *ssl);
void stream_fini(struct stream *stream); /* says goodbye where TLS wants it, and closes */

enum stream_result stream_shake_hands(struct stream *stream); /* of TLS: DONE, AGAIN or LOST */

/* Sends what goes of one text and then of the other, and takes it off their fronts: DONE, AGAIN or LOST. DONE: all of
 * it has left, with what was held. */
enum stream_result stream_send(struct stream *stream, struct text *first, struct text *second);

/* DONE with *ret_len > 0; AGAIN; CLOSED: its end, as the peer meant it; LOST. */
enum stream_result stream_receive(struct stream *stream, char *at, size_t size, size_t *ret_len);
bool stream_has_more(const struct stream *stream); /* bytes that have left the socket already */

const char *stream_reason(const struct stream *stream); /* of LOST, right after it: OpenSSL's word for it, or "" */

/* Whether it is open and the peer has said nothing. Reads what TLS itself has to say (session tickets). */
bool stream_is_quiet(struct stream *stream);

#endif
