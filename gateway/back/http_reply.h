/* A reply from the bytes of a connection: HTTP/1.1 framing (RFC 9112) from the client's side.
 *
 * Pure: no socket, no clock. What it says depends on the bytes and their end alone, never on how they were cut into
 * pieces. A verdict is final: nothing is taken after it. Private to back/. */
#ifndef BACK_HTTP_REPLY_H
#define BACK_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define HTTP_REPLY_LINE_MAX (100 * 1024) /* bytes of one line of a head, its line end included */
#define HTTP_REPLY_HEAD_MAX (300 * 1024) /* of all heads of a reply, those of 1xx too, and of trailers */
#define HTTP_REPLY_HEADERS_MAX 1000      /* of one head; of the trailers */

/* What buf_init() is told for `head`: lines that do not stay are gathered behind what does. */
#define HTTP_REPLY_HEAD_ROOM (HTTP_REPLY_HEAD_MAX + 8192)

/* Where a header stands in `head`. */
struct http_reply_field {
    unsigned name_at, name_len, value_at, value_len;
};

#define HTTP_REPLY_FIELDS_ROOM (HTTP_REPLY_HEADERS_MAX * sizeof(struct http_reply_field)) /* the same for `fields` */

enum http_reply_state {
    HTTP_REPLY_MORE, /* all that was pushed is used up */
    HTTP_REPLY_WHOLE,
    HTTP_REPLY_BROKEN /* `flaw` says why */
};

enum http_reply_flaw {
    HTTP_REPLY_FINE,
    HTTP_REPLY_NOT_HTTP,         /* no status line of HTTP/1.0 or 1.1, or 101, which nobody asked for */
    HTTP_REPLY_BAD_HEAD,         /* malformed, trailers too; or it frames the body in a way that cannot be trusted */
    HTTP_REPLY_LONG_LINE,        /* LINE_MAX */
    HTTP_REPLY_TOO_MANY_HEADERS, /* HEAD_MAX, HEADERS_MAX */
    HTTP_REPLY_BAD_CHUNKS,
    HTTP_REPLY_TOO_LARGE,   /* the body, announced or come, exceeds its buffer's ceiling */
    HTTP_REPLY_ENDED_EARLY, /* in the head or in a body that announced more */
    HTTP_REPLY_NO_REPLY     /* ended before a byte, or behind a 1xx */
};

struct http_reply {
    /* For all to read. */
    struct buf
        *head;             /* of WHOLE: the status line, the headers and an empty line, each with CRLF; folded ones are
                              joined with a space, and none ends with blanks. It has no NUL and no bare CR; names are tokens. */
    struct buf *fields;    /* of WHOLE: see http_reply_field */
    struct buf *body;      /* of WHOLE: without the frames of its chunks; nothing is decoded */
    int code;              /* of WHOLE */
    unsigned header_count; /* of WHOLE */
    bool is_plain;         /* of WHOLE: there is nothing in the head but printable ASCII */
    bool may_reuse;        /* of WHOLE: the connection may carry another request. It may not if bytes came behind the
                              reply, or if the reply says or implies that it ends */
    enum http_reply_flaw flaw;
    /* Its own. */
    int step;     /* enum step of http_reply.c */
    bool to_head; /* the request's method was HEAD */
    bool is_chunked, has_length, says_close, says_keep_alive;
    int minor;         /* of HTTP/1.minor */
    size_t line_at;    /* where in `head` the line begins that is being gathered */
    size_t head_bytes; /* towards HEAD_MAX */
    unsigned trailer_count;
    uint64_t length; /* announced */
    uint64_t left;   /* of the body or of the chunk */
};

/* The buffers are borrowed until the reply is not used any more, and emptied. `head` and `fields` have ceilings of
 * HEAD_ROOM and FIELDS_ROOM at least; that of `body` is what the body may have. */
void http_reply_begin(struct http_reply *reply, struct buf *head, struct buf *fields, struct buf *body, bool to_head);

/* Header number `i` of header_count, without blanks around its value. */
static inline struct http_reply_field http_reply_field(const struct http_reply *reply, unsigned i) {
    struct http_reply_field field;
    memcpy(&field, reply->fields->at + i * sizeof field, sizeof field);
    return field;
}

/* Takes bytes off the front of `input`. With WHOLE, what follows the reply is left in it. */
enum http_reply_state http_reply_push(struct http_reply *reply, struct text *input);

/* The stream has ended: WHOLE or BROKEN. */
enum http_reply_state http_reply_end(struct http_reply *reply);

#endif
