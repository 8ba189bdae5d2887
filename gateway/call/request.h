/* A request: one upstream call, rendered, as plain data. */
#ifndef CALL_REQUEST_H
#define CALL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"
#include "lang/url.h"
#include "stage/stage.h"

#define REQUEST_MAX_BYTES (4 * 1024 * 1024)

struct request_header {
    const char *name;  /* a token */
    const char *value; /* no control characters */
};

struct request {
    const char *method, *url; /* an absolute http or https URL, without fragment */
    const char *unix_socket;  /* connected to in place of the URL's host, redirects included; or NULL */
    const struct request_header *headers;
    size_t header_count;
    bool has_body;
    struct text body;
    /* Credentials, apart from the headers: they go to the URL's own origin only, never along a redirect to another. */
    enum stage_auth_kind auth;
    const char *user, *password, *token;
    const struct stage_call *call; /* time-outs, ceilings, TLS, expected codes */
    const char *const *hosts;      /* where redirects may lead besides the URL's own origin */
    size_t host_count;
};

/* What rendering needs to know of the run. */
struct request_source {
    const struct stage *stage;
    const struct json *const *roots; /* by root index */
    const char *const *step_urls;    /* the URL each step called, NULL where it has not; by step index */
    const char *idempotency_key;     /* for a call that carries one; NULL: none */
    const char *traceparent;         /* W3C Trace Context, sent along; NULL: none */
};

/* Renders a call. In `arena`. Faults: UNDEFINED and INVALID of the template; FORBIDDEN where a URL from a reply leads
 * to an origin that is neither the one of the call it came from nor in the definition's `hosts` (reason
 * refused_egress). A relative URL from a reply is resolved against the URL of the call it came from. */
bool request_render(struct arena *arena, const struct stage_call *call, const struct request_source *source,
                    struct request *ret_request, struct fault *fault);

/* Whether what came from `home` (a URL in a reply, a redirect) may lead a call to `next`: the same origin, or one that
 * `hosts` lists. An entry is an origin ("https://ci.example.com:8443"), or a host, with or without a port
 * ("ci.example.com": its scheme's own port); a bare host never allows a step down from https to http. */
bool request_may_go(const struct url *home, const struct url *next, const char *const *hosts, size_t host_count);

bool request_value_check(const char *value); /* of a header: no control characters but the tab */

#endif
