/* URLs (RFC 3986), as far as a gateway to http and https needs them. */
#ifndef LANG_URL_H
#define LANG_URL_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

/* Slices of the source. The host is as written, IPv6 with its brackets; port 0 means the scheme's own. */
struct url {
    struct text scheme, userinfo, host, path, query, fragment; /* at == NULL: the part is absent */
    int port;
};

/* An absolute http or https URL; refused: other schemes, no host, userinfo, bytes that RFC 3986 does not allow, bad %
 * escapes. */
bool url_parse(struct text source, struct url *ret_url, struct fault *fault);
/* Whether that may stand behind an origin: the path and query of such a URL, or nothing. No fragment. */
bool url_check_rest(struct text rest, struct fault *fault);
bool url_same_origin(const struct url *a, const struct url *b); /* RFC 6454, 4: scheme, host without case, port */
int url_port(const struct url *url);                            /* 80 or 443 where none is written */
/* RFC 3986, 5.2: a reference (also a relative one) against an absolute base. NULL with a fault if the result is none of
 * ours. */
char *url_resolve(struct arena *arena, struct text base, struct text reference, struct fault *fault);
void url_encode(struct buf *out, struct text value); /* all but unreserved characters (RFC 3986, 2.3) as %XX */
bool url_decode(struct buf *out, struct text value, bool plus_is_space); /* false for a bad escape */

#endif
