/* A reply: what came back from one upstream call, or how it failed. */
#ifndef CALL_REPLY_H
#define CALL_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"

/* How far a call got. A call that is not idempotent is repeated only when it was never sent. */
#define REPLY_PHASES(X)                                                                      \
    X(NEVER_SENT, "never_sent")         /* DNS, refused, TLS: no byte of the request left */ \
    X(MAYBE_ACTED_ON, "maybe_acted_on") /* bytes left, and no whole reply came */            \
    X(ANSWERED, "answered")

enum reply_phase {
#define X(id, word) REPLY_##id,
    REPLY_PHASES(X)
#undef X
};

struct reply_header {
    const char *name, *value;
};

struct reply {
    enum reply_phase phase;
    const struct fault *fault; /* where phase is not ANSWERED: UPSTREAM, TOO_LARGE (max_reply), FORBIDDEN (egress) …;
                                  `what` is for humans */
    bool timed_out;
    int code;
    const struct reply_header *headers;
    size_t header_count;
    struct text body;         /* bytes as they came */
    const struct json *value; /* the body, where it was read already: what reply_body gives; else NULL */
    bool is_json;             /* of `value` */
    const char *url;          /* the URL that answered (after redirects) */
    int64_t took_ms;
};

const char *reply_phase_word(enum reply_phase phase);
const char *reply_header(const struct reply *reply, const char *name); /* the first, without case; or NULL */

/* The body as a value: JSON where it parses as JSON (the content type is a hint, no more: many servers send
 * text/plain), else its text with what is not UTF-8 replaced; null when empty. *ret_is_json tells which. Of an object
 * there are the members that are wanted, and no others need be. */
const struct json *reply_body(struct arena *arena, const struct reply *reply, const struct json_wanted *wanted,
                              bool *ret_is_json);

const struct json *reply_headers(struct arena *arena, const struct reply *reply); /* {lower-case name: value} */

/* {"body": …, "headers": {lower-case name: value}, "code": …}: what templates see as <step>. */
const struct json *reply_value(struct arena *arena, const struct reply *reply);
/* The same with that body, and without the headers where nobody reads them. */
struct json *reply_value_with(struct arena *arena, const struct reply *reply, const struct json *body, bool headers);

#endif
