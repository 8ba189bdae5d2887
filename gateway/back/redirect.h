/* Redirects: where a reply sends a call, and whether it may go there. Pure. Private to back/. */
#ifndef BACK_REDIRECT_H
#define BACK_REDIRECT_H

#include <stdbool.h>

#include "call/reply.h"
#include "call/request.h"

/* One exchange of a call: the first is the request itself, further ones are redirects. */
struct hop {
    const char *method, *url;
    bool own_origin; /* false once a redirect has left the request's origin, for good */
    bool rewritten;  /* a redirect has made a GET of it: no body, and it may be sent again */
};

enum redirect { REDIRECT_NONE, REDIRECT_FOLLOW, REDIRECT_REFUSED };

/* Judges a whole reply to `from`, `followed` redirects into the call. NONE: it is the call's reply. FOLLOW fills
 * *ret_next, in `arena`. REFUSED fills the fault: FORBIDDEN where it leads to an origin that is not allowed,
 * UNSUPPORTED where it is broken or one too many. Only GET and HEAD are followed, and what 301, 302 (of a POST) and 303
 * turn into a GET (RFC 9110, 15.4); a request with a body is never sent to a second place. */
enum redirect redirect_judge(struct arena *arena, const struct request *request, const struct hop *from,
                             const struct reply *reply, unsigned followed, struct hop *ret_next, struct fault *fault);

#endif
