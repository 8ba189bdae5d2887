/* The guard: HTTP/1.1 framing (RFC 9112), from raw bytes to whole, validated requests, one at a time.
 *
 * Pure: no socket, no clock, no library. What it says depends on the bytes alone, never on how they were cut into
 * pieces. A refusal is final: the stream is not looked at again, and its connection is to be closed. */
#ifndef FRONT_GUARD_H
#define FRONT_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/text.h"
#include "front/exchange.h"

#define GUARD_LINE_MAX 8192 /* bytes of a request line without its CRLF; more is 414 */

struct guard_limits {
    size_t max_head_bytes; /* request line and fields, CRLFs included; more is 431. Trailers have the same ceiling. */
    size_t max_headers;    /* 431 */
    size_t max_body_bytes; /* 413 */
};

/* A field as it was sent, its value trimmed: tchar names, no control characters but tab. Both are NUL-terminated. */
struct guard_header {
    struct guard_header *next;
    struct text name, value;
    char line[]; /* in which they lie */
};

/* Everything is in its arena, the request itself too. */
struct guard_request {
    struct arena *arena;
    enum http_method method;
    int minor; /* HTTP/1.minor: 0 or 1 */
    bool keep_alive;
    struct text target; /* as it was sent */
    struct text path;   /* begins with '/'; the visible ASCII characters but " < > #, nothing decoded */
    struct text query;  /* raw, behind '?'; at is NULL when there is none */
    struct guard_header *headers;
    const char *known[HTTP_HEADER_END]; /* the first value of each; NULL: there is none */
    struct text body;                   /* whole, its chunks joined */
};

enum guard_event {
    GUARD_MORE,     /* all input is used up, nothing is complete */
    GUARD_CONTINUE, /* the head is fine and its sender waits for "100 Continue"; push on */
    GUARD_REQUEST,  /* a whole request: take it with guard_take, then push on */
    GUARD_REFUSED   /* refusal_status and refusal say why */
};

enum guard_phase { GUARD_IDLE, GUARD_IN_HEAD, GUARD_IN_BODY, GUARD_OVER };

struct guard {
    const struct guard_limits *limits; /* borrowed */
    int step;                          /* enum step of guard.c */
    struct buf line;                   /* a line of which a part has come */
    bool line_spent;                   /* what `line` holds was dealt with */
    unsigned blank_lines;
    size_t head_bytes, header_count, trailer_bytes, extension_bytes;
    struct guard_request *request; /* the one that is being read */
    struct guard_header **last_header;
    unsigned hosts, lengths, codings, expects;
    bool says_close, says_keep_alive;
    uint64_t left; /* bytes of the body or of the chunk that have not come */
    struct buf body;
    int refusal_status;
    const char *refusal; /* one sentence; static */
};

void guard_init(struct guard *guard, const struct guard_limits *limits);
void guard_fini(struct guard *guard);

/* Takes bytes off the front of `input`, up to the next event. What follows a whole request is left in `input`. */
enum guard_event guard_push(struct guard *guard, struct text *input);

/* After GUARD_REQUEST. GIVES the request: end it with arena_free(request->arena). */
struct guard_request *guard_take(struct guard *guard);

enum guard_phase guard_phase(const struct guard *guard); /* which deadline is running */

#endif
