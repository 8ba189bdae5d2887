/* Origins: the front part of a URL, "https://ci.example.com:8443", taken apart once and not for every call. Private to
 * back/. */
#ifndef BACK_ORIGIN_H
#define BACK_ORIGIN_H

#include <stdbool.h>

#include "base/mem.h"
#include "base/text.h"

struct channel_place;

struct origin {
    const char *host;        /* IPv6 in brackets */
    const char *host_header; /* "ci.example.com:8443": without the scheme's own port */
    const char *dial_url;    /* "http://ci.example.com:8443/", of https too: what libcurl is told to connect to */
    bool is_tls;
    struct channel_place *places; /* channel.c's */
};

struct origins; /* one a loop */

struct origins *origins_new(void);
void origins_free(struct origins *origins); /* no connection may be left; NULL is allowed */

/* The origin of a URL that url_parse has accepted, without a fragment; it lives as long as `origins`. NULL where
 * libcurl does not take its host. */
struct origin *origins_find(struct origins *origins, const char *url);

/* The rest of such a URL, as the first line of a request has it: "/api?x=1". In `arena`, or within the URL. */
const char *origin_target(struct arena *arena, const char *url);

#endif
