/* How an answer looks on the wire. */
#ifndef FRONT_ANSWER_H
#define FRONT_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "front/exchange.h"

#define ANSWER_DATE_SIZE 30                                    /* "Mon, 23 Nov 2026 06:47:00 GMT" and NUL */
void answer_date(int64_t wall_ms, char out[ANSWER_DATE_SIZE]); /* IMF-fixdate: RFC 9110, 5.6.7 */

const char *answer_phrase(int status); /* RFC 9110, 15: "Not Found"; "Status" where there is none */
const char *answer_code(int status);   /* "404"; "other" where there is no phrase */

struct answer_wire {
    const char *date;
    int minor;       /* of the request's HTTP version */
    bool head_only;  /* the request was a HEAD */
    bool keep_alive; /* what to tell the client */
};

/* The whole answer as bytes. Headers that could split it, or that contradict its framing, are dropped and logged. */
void answer_write(struct buf *out, const struct answer *answer, const struct answer_wire *wire);

#endif
