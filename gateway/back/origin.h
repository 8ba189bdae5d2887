/* Origins: the front part of a URL, "https://ci.example.com:8443", taken apart once and not for every call. Private to
 * back/. */
#ifndef BACK_ORIGIN_H
#define BACK_ORIGIN_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

struct channel_place;

struct origin {
    size_t len;              /* of that part, in its normal form */
    const char *host;        /* IPv6 in brackets */
    const char *host_header; /* "ci.example.com:8443": without the scheme's own port */
    const char *dial_url;    /* "http://ci.example.com:8443/", of https too: what libcurl is told to connect to */
    bool is_tls;
    struct channel_place *places; /* channel.c's */
};

struct origins; /* one a loop */

struct origins *origins_new(void);
void origins_free(struct origins *origins); /* no connection may be left; NULL is allowed */

/* The origin of a URL, which lives as long as `origins`; *ret_origin is NULL where libcurl does not take its host.
 * A URL that spells its origin otherwise than the origin does ("HTTP://A:080/") is replaced by one, in `arena`, that
 * does not. Faults: as url_parse has them. A URL has no fragment here. */
bool origins_find(struct origins *origins, struct arena *arena, const char **url, struct origin **ret_origin,
                  struct fault *fault);

/* The rest of a URL that origins_find has left, as the first line of a request has it: "/api?x=1". In `arena`, or
 * within the URL.
 */
const char *origin_target(struct arena *arena, const struct origin *origin, const char *url);

#endif
