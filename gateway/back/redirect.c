/* Redirects are ours, not curl's: curl drops Authorization and Cookie where the origin changes, but keeps every other
 * header, X-Api-Key included, and knows nothing of the hosts that a definition allows. transfer.c asks after each whole
 * reply.
 *
 * Sentences name origins only: a path or a query may hold a secret. */
#include "back/redirect.h"

#include <string.h>

#include "lang/url.h"

static bool is_safe(const char *method) {
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* The method of the next exchange, or NULL where the reply is to be taken as it is. */
static const char *next_method(int code, const char *method) {
    switch (code) {
    case 301:
    case 302: return is_safe(method) ? method : strcmp(method, "POST") == 0 ? "GET" : NULL;
    case 303: return strcmp(method, "HEAD") == 0 ? method : "GET";
    case 307:
    case 308: return is_safe(method) ? method : NULL;
    default: return NULL;
    }
}

static const char *without_fragment(struct arena *arena, const char *url) {
    const char *hash = strchr(url, '#');
    return hash ? arena_strndup(arena, url, (size_t)(hash - url)) : url;
}

enum redirect redirect_judge(struct arena *arena, const struct request *request, const struct hop *from,
                             const struct reply *reply, unsigned followed, struct hop *ret_next, struct fault *fault) {
    const char *location = reply_header(reply, "Location");
    const char *method = next_method(reply->code, from->method);
    if (request->call->follow_redirects == 0 || !location || !method) return REDIRECT_NONE;
    struct url home, base, next;
    char *url = url_resolve(arena, text_of(from->url), text_of(location), fault);
    if (!url || !url_parse(text_of(url), &next, fault) || !url_parse(text_of(from->url), &base, fault) ||
        !url_parse(text_of(request->url), &home, fault)) {
        fault_set(fault, FAULT_UNSUPPORTED, NULL, "a redirect (%d) leads to something that is not a http or https URL",
                  reply->code);
        return REDIRECT_REFUSED;
    }
    if (followed >= request->call->follow_redirects) {
        fault_set(fault, FAULT_UNSUPPORTED, NULL,
                  "more than %u redirects (follow_redirects), the last one to %.*s://%.*s:%d: perhaps a loop",
                  request->call->follow_redirects, TEXT_ARG(next.scheme), TEXT_ARG(next.host), url_port(&next));
        return REDIRECT_REFUSED;
    }
    if (!request_may_go(&home, &next, request->hosts, request->host_count)) {
        fault_set(fault, FAULT_FORBIDDEN, NULL,
                  "a redirect leads to another origin; to allow it: hosts = [ \"%.*s://%.*s:%d\" ]",
                  TEXT_ARG(next.scheme), TEXT_ARG(next.host), url_port(&next));
        return REDIRECT_REFUSED;
    }
    *ret_next = (struct hop){.method = method,
                             .url = without_fragment(arena, url),
                             .own_origin = from->own_origin && url_same_origin(&base, &next),
                             .rewritten = from->rewritten || strcmp(method, from->method) != 0};
    return REDIRECT_FOLLOW;
}
