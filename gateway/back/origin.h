/* Origins: the front part of a URL, "https://ci.example.com:8443", taken apart by libcurl once and not for every call.
 * Private to back/. */
#ifndef BACK_ORIGIN_H
#define BACK_ORIGIN_H

#include <curl/curl.h>

#include "base/mem.h"
#include "base/text.h"

struct origin {
    CURLU *parts; /* for CURLOPT_CURLU; nobody may change it */
    char *url;    /* the same as text: "https://ci.example.com:8443/" */
    struct text host;
};

struct origins; /* one a loop */

struct origins *origins_new(void);
void origins_free(struct origins *origins); /* no handle may use one any more; NULL is allowed */

/* The origin of a URL that url_parse has accepted, without a fragment; it lives as long as `origins`. NULL where
 * libcurl does not take its host. */
const struct origin *origins_find(struct origins *origins, const char *url);

/* The rest of such a URL, as the first line of a request has it: "/api?x=1". In `arena`, or within the URL. */
const char *origin_target(struct arena *arena, const char *url);

#endif
