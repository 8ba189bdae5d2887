/* An exchange: one request of a client, validated and decoded, and the answer that is owed to it.
 *
 * The handler that is given an exchange calls exchange_answer exactly once, then or later, on the exchange's loop; also
 * when the client has left meanwhile (the answer is dropped then). The exchange and its arena end some time after that.
 */
#ifndef FRONT_EXCHANGE_H
#define FRONT_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"

#define HTTP_METHODS(X) X(GET) X(HEAD) X(POST) X(PUT) X(PATCH) X(DELETE) X(OPTIONS)

enum http_method {
#define X(word) HTTP_##word,
    HTTP_METHODS(X)
#undef X
};

/* Headers that are asked for by name, with the first letter in lower case. */
#define HTTP_HEADERS(X)                            \
    X(AUTHORIZATION, 'a', "Authorization")         \
    X(CONNECTION, 'c', "Connection")               \
    X(CONTENT_LENGTH, 'c', "Content-Length")       \
    X(CONTENT_TYPE, 'c', "Content-Type")           \
    X(EXPECT, 'e', "Expect")                       \
    X(HOST, 'h', "Host")                           \
    X(IDEMPOTENCY_KEY, 'i', "Idempotency-Key")     \
    X(ORIGIN, 'o', "Origin")                       \
    X(PREFER, 'p', "Prefer")                       \
    X(TRACEPARENT, 't', "traceparent")             \
    X(TRANSFER_ENCODING, 't', "Transfer-Encoding") \
    X(X_DEADLINE, 'x', "X-Deadline")

enum http_header {
#define X(id, letter, name) HTTP_HEADER_##id,
    HTTP_HEADERS(X)
#undef X
        HTTP_HEADER_END
};

#define ANSWER_HEADERS_MAX 8

struct answer_header {
    const char *name, *value; /* no control characters; checked */
};

struct answer {
    int status;
    const char *content_type; /* NULL: no body */
    struct text body;         /* copied */
    struct answer_header headers[ANSWER_HEADERS_MAX];
    size_t header_count;
    bool close; /* end the connection after this answer */
};

struct exchange {
    struct arena *arena; /* for whatever lives as long as the exchange */
    struct loop *loop;
    void *server; /* what listener_settings.arg said */
    enum http_method method;
    const struct text *segments; /* of the path, decoded, none empty, each with a NUL behind it: "/runs/x%20y" gives
                                    "runs", "x y"; "/" gives none */
    size_t segment_count;
    struct text target;      /* as it was sent, for logs */
    struct text query;       /* raw, behind '?' */
    struct text body;        /* whole */
    const char *peer;        /* "127.0.0.1:5000", "unix" */
    const char *client_name; /* subject CN of a verified client certificate, or NULL */
    bool loopback;           /* the client is on this machine: loopback address or unix socket */
    bool tls;
    struct caller_memo *memo; /* of the client's token, while the connection is there: for the handler alone, before it
                                 has returned; NULL: nobody remembers */
    int64_t began_mono_ms;
    bool gone; /* the client has left, or at least sends no more: an answer is still tried */
    void (*on_gone)(
        struct exchange *exchange);     /* set by the handler if it wants to know; not called after the answer */
    void *context;                      /* the handler's */
    const struct guard_header *headers; /* all of them, as they came */
    const char *const *known;           /* by enum http_header; see exchange_header */
    void (*send)(struct exchange *exchange,
                 const struct answer *answer); /* the listener's, or a test's: exchange_answer calls it, once */
    void *sender;                              /* whose `send` it is */
};

const char *http_method_word(enum http_method method);
enum http_header http_header_of(struct text name); /* without case; HTTP_HEADER_END: nobody asks for it */
static inline const char *exchange_header(const struct exchange *exchange, enum http_header header) {
    return exchange->known[header]; /* the first of that name, or NULL */
}
/* The first query value of that name, percent-decoded into the exchange's arena; NULL when absent or badly encoded. */
const char *exchange_query(struct exchange *exchange, const char *name);

/* HEAD, Content-Length, Date, Server and Connection are seen to here. */
void exchange_answer(struct exchange *exchange, const struct answer *answer);

/* For the listener, which makes exchanges. Splits at '/', then decodes each segment once, into the arena. False, with a
 * sentence, for what others might read as another path: bad escapes, dot and empty segments, encoded slashes,
 * backslashes, controls, bytes that are not UTF-8. One slash at the end counts for nothing. */
bool exchange_split_path(struct arena *arena, struct text path, const struct text **ret_segments, size_t *ret_count,
                         const char **ret_what);
/* Whether every name and value of the query can be decoded to text; what could not would be taken for absent. */
bool exchange_check_query(struct arena *arena, struct text query, const char **ret_what);

#endif
