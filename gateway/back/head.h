/* Heads of requests: what is sent in front of a body, and the last look at a request before it is. Private to back/. */
#ifndef BACK_HEAD_H
#define BACK_HEAD_H

#include "back/origin.h"
#include "back/redirect.h"
#include "call/request.h"

#define HEAD_MAX (3 * REQUEST_MAX_BYTES) /* a user and a password grow when they are encoded */

/* Whether its method, headers and credentials may be written as they are. The URL is not looked at. */
bool head_check(const struct request *request, struct fault *fault);

/* The head of one exchange of a request that head_check has passed, with the empty line. What is for the request's own
 * origin alone, and what does not fit a redirect, stays out. `out` is full where it is larger than HEAD_MAX. */
void head_write(struct buf *out, const struct request *request, const struct hop *hop, const struct origin *origin,
                struct arena *arena, const char *user_agent);

struct text head_body(const struct request *request, const struct hop *hop); /* what is sent behind it */

#endif
