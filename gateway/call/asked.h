/* What an upstream asks of its callers: to wait, in one of the ways that are about. Pure; times are arguments. */
#ifndef CALL_ASKED_H
#define CALL_ASKED_H

#include <stdbool.h>
#include <stdint.h>

#include "call/reply.h"

#define ASKED_MAX_MS (24 * 60 * 60 * 1000LL) /* nobody is believed to ask for more */

/* How long the caller shall wait before it asks again; -1: nothing is said. The first of these that a reply has:
 *
 *   Retry-After              seconds or a date (RFC 9110, 10.2.3)
 *   X-RateLimit-Reset        seconds since 1970 (GitHub), or seconds to wait; where X-RateLimit-Remaining is 0
 *   RateLimit                "default";r=0;t=30 (draft-ietf-httpapi-ratelimit-headers), or limit=…, remaining=0,
 * reset=30 RateLimit-Reset          seconds to wait; where RateLimit-Remaining is 0
 *
 * With a code of 429 what is said of a limit counts also where no remainder is told. Moments are compared with the
 * reply's own Date where it has one, so that clocks which differ do no harm, else with now_ms (wall). */
int64_t asked_wait_ms(const struct reply *reply, int64_t now_ms);

/* What a value in a reply's body asks for, if it is a number of seconds, or says one as text, or a date as Retry-After
 * has it; -1: it does not. */
int64_t asked_value_ms(const struct json *value, const struct reply *reply, int64_t now_ms);

/* A limit on calls is reached: 429, or a 403 that says so by its headers. */
bool asked_is_limited(const struct reply *reply);

/* How long nobody shall call with these credentials; -1: nothing of the kind is said. What a refusal (429, 403, 503)
 * asks for; of any other reply, what it says of a limit that has no calls left. */
int64_t asked_hold_ms(const struct reply *reply, int64_t now_ms);

#endif
