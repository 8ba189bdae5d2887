/* A handle: one of libcurl's easy handles, used for one exchange after another without being reset between them.
 * Private to back/.
 *
 * Resetting a handle and telling it everything anew costs as much as sending the request. So it keeps what was set, and
 * only what differs from the exchange before is said again. What belongs to one exchange alone (its target, its
 * headers, its body) leaves it with handle_empty. */
#ifndef BACK_HANDLE_H
#define BACK_HANDLE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "back/origin.h"
#include "back/trust.h"
#include "base/text.h"

struct handle {
    CURL *easy;
    /* What it was told; the numbers are -1 where that is not known. */
    const struct origin *origin;
    char *method, *unix_socket; /* copies; NULL: none */
    int64_t timeout_ms, connect_timeout_ms, max_idle_s, max_bytes;
    struct trust trust;
};

/* One exchange as a handle is told it. All is borrowed, until handle_empty. */
struct exchange_options {
    const struct origin *origin;
    const char *target;
    const char *method;
    bool has_body; /* POST, PUT and PATCH always have one, if only an empty one */
    struct text body;
    struct curl_slist *headers;
    const char *unix_socket;                /* or NULL */
    int64_t timeout_ms, connect_timeout_ms; /* 0: libcurl's own */
    int64_t max_idle_s;                     /* how long a connection may have been kept open and still be used */
    int64_t max_bytes;                      /* of the reply, by what it announces; 0: no limit */
    const struct stage_tls *tls;
    bool own_origin;
};

void handle_init(struct handle *handle);
void handle_fini(struct handle *handle);
void handle_fill(struct handle *handle, const struct exchange_options *options);
void handle_empty(struct handle *handle); /* nothing of an exchange stays in it */
void handle_reset(struct handle *handle); /* nothing at all stays in it but its connections and sessions */

#endif
