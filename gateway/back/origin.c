/* The origins that were ever called, by their text.
 *
 * libcurl takes a URL apart, puts it together again and copies its parts for every transfer, at a tenth of what a poll
 * costs. It is given the origin, taken apart beforehand (CURLOPT_CURLU), and the rest as the target that it writes as
 * it is (CURLOPT_REQUEST_TARGET). That is sound because url_parse has looked at every byte of both.
 *
 * There are as many as definitions name, so they are never given up. An origin is told from another by its bytes:
 * "http://A/" and "http://a/" are two here, and one to libcurl. */
#include "back/origin.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lang/url.h"

#define BUCKETS 256

struct entry {
    struct entry *next;
    struct origin origin;
    size_t len; /* of the text without its last slash */
};

struct origins {
    struct entry *buckets[BUCKETS];
};

struct origins *origins_new(void) {
    return mem_alloc(sizeof(struct origins));
}

static void entry_free(struct entry *entry) {
    curl_url_cleanup(entry->origin.parts);
    mem_free(entry->origin.url);
    mem_free(entry);
}

void origins_free(struct origins *origins) {
    if (!origins) return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct entry *entry = origins->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry_free(entry);
        }
    }
    mem_free(origins);
}

/* Up to the path or the query, one of which begins what is left. */
static size_t origin_length(const char *url) {
    const char *host = strstr(url, "://") + strlen("://");
    return (size_t)(host - url) + strcspn(host, "/?");
}

static uint32_t hash(const char *at, size_t len) {
    uint32_t sum = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) sum = (sum ^ (unsigned char)at[i]) * 16777619u;
    return sum;
}

static struct entry *entry_new(const char *at, size_t len) {
    struct entry *entry = mem_alloc(sizeof *entry);
    char *url = mem_alloc(len + 2);
    memcpy(url, at, len);
    url[len] = '/';
    entry->origin = (struct origin){.parts = curl_url(), .url = url};
    entry->len = len;
    struct url parsed;
    if (url_parse((struct text){url, len}, &parsed, NULL)) entry->origin.host = parsed.host;
    if (curl_url_set(entry->origin.parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK) return entry;
    entry_free(entry);
    return NULL;
}

const struct origin *origins_find(struct origins *origins, const char *url) {
    size_t len = origin_length(url);
    struct entry **bucket = &origins->buckets[hash(url, len) % BUCKETS];
    for (struct entry *entry = *bucket; entry; entry = entry->next)
        if (entry->len == len && memcmp(entry->origin.url, url, len) == 0) return &entry->origin;
    struct entry *entry = entry_new(url, len);
    if (!entry) return NULL;
    entry->next = *bucket;
    *bucket = entry;
    return &entry->origin;
}

const char *origin_target(struct arena *arena, const char *url) {
    assert(!strchr(url, '#')); /* it would be sent */
    const char *rest = url + origin_length(url);
    return rest[0] == '/' ? rest : arena_printf(arena, "/%s", rest); /* RFC 9112, 3.2.1 */
}
