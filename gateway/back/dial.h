/* Dialing: from a name to a connected socket, by libcurl. One dialer a loop; private to back/. */
#ifndef BACK_DIAL_H
#define BACK_DIAL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct dialer;
struct dial; /* a connection that is being made */

struct dial_end {
    int fd;          /* GIVES: connected, not blocking, closed on exec; -1: none */
    CURLcode result; /* of -1 */
    int error;       /* errno of the last try; 0: not known */
};

struct dialer *dialer_new(struct loop *loop);
void dialer_free(struct dialer *dialer); /* nothing may be under way; NULL is allowed */

struct dial_order {
    const char *url;          /* "http://host:port/", as struct origin has it */
    const char *unix_socket;  /* connected to in place of the host; or NULL */
    int64_t patience_ms;      /* shared out among the addresses of a host; the caller has a timer of its own */
    void (*found)(void *arg); /* its address is known; may come from inside dial_begin, and no dial may be begun or
                                 cancelled in it */
    void (*done)(void *arg, const struct dial_end *end); /* once, never from inside dial_begin; the dial is gone */
    void *arg;
};

struct dial *dial_begin(struct dialer *dialer, const struct dial_order *order);
bool dial_found(const struct dial *dial); /* whether the address is known by now */
void dial_cancel(struct dial *dial);      /* waits for nobody, not for a resolver either */

#endif
