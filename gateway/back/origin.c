/* The origins that were ever called, by their text.
 *
 * libcurl takes a URL apart once for each origin: it knows which hosts it will connect to, and how they are written
 * (127.1 is 127.0.0.1). So does url_parse: of the next URL of an origin only the rest is looked at. That is the target,
 * which we write as it is, so every byte of it is judged here for each exchange.
 *
 * There are as many as definitions name, so they are never given up. Upstreams may spell them as they like
 * ("HTTP://A:0080/"): each is here once, in its normal form, and a URL that spells it otherwise is written anew. */
#include "back/origin.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdint.h>
#include <string.h>

#include "lang/url.h"

#define BUCKETS 256

struct entry {
    struct entry *next;
    struct origin origin;
    char *key, *host, *host_header, *dial_url;
};

struct origins {
    struct entry *last; /* that was found; as a rule it is asked for again */
    struct entry *buckets[BUCKETS];
};

struct origins *origins_new(void) {
    return mem_alloc(sizeof(struct origins));
}

static void entry_free(struct entry *entry) {
    mem_free(entry->key);
    mem_free(entry->host);
    mem_free(entry->host_header);
    mem_free(entry->dial_url);
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

/* Up to the path or the query, one of which begins what is left; whatever it is. */
static size_t origin_length(const char *url) {
    const char *mark = strstr(url, "://"), *host = mark ? mark + strlen("://") : url;
    return (size_t)(host - url) + strcspn(host, "/?");
}

static uint32_t hash(const char *at, size_t len) {
    uint32_t sum = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) sum = (sum ^ (unsigned char)at[i]) * 16777619u;
    return sum;
}

/* Its host as libcurl writes it, IPv6 in brackets; NULL where it does not take it. GIVES. */
static char *host_of_curl(const char *origin) {
    CURLU *parts = curl_url();
    char *found = NULL, *host = NULL;
    if (curl_url_set(parts, CURLUPART_URL, origin, CURLU_DISALLOW_USER) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &found, 0) == CURLUE_OK)
        host = mem_strdup(found);
    curl_free(found);
    curl_url_cleanup(parts);
    return host;
}

static char *print(const char *before, const char *host, int port, const char *after) {
    struct buf text;
    buf_init(&text, 1024);
    buf_adds(&text, before);
    buf_adds(&text, host);
    if (port) buf_addf(&text, ":%d", port);
    buf_adds(&text, after);
    return buf_take(&text);
}

static bool is_tls(const struct url *url) {
    return url->scheme.len == strlen("https");
}

/* 0: the scheme's own, which is not written. */
static int written_port(const struct url *url) {
    int port = url_port(url);
    return port == (is_tls(url) ? 443 : 80) ? 0 : port;
}

static struct entry *entry_new(const char *key, const struct url *url) {
    char *host = host_of_curl(key);
    if (!host) return NULL;
    struct entry *entry = mem_alloc(sizeof *entry);
    entry->key = mem_strdup(key);
    entry->host = host;
    entry->host_header = print("", host, written_port(url), "");
    entry->dial_url = print("http://", host, url_port(url), "/");
    entry->origin = (struct origin){.len = strlen(key),
                                    .host = host,
                                    .host_header = entry->host_header,
                                    .dial_url = entry->dial_url,
                                    .is_tls = is_tls(url)};
    return entry;
}

static struct entry **bucket_of(struct origins *origins, const char *at, size_t len) {
    return &origins->buckets[hash(at, len) % BUCKETS];
}

static bool begins(const struct entry *entry, const char *url) {
    size_t len = entry->origin.len;
    return strncmp(url, entry->key, len) == 0 && (url[len] == '/' || url[len] == '?' || !url[len]);
}

static struct entry *entry_find(struct origins *origins, const char *at, size_t len) {
    for (struct entry *entry = *bucket_of(origins, at, len); entry; entry = entry->next)
        if (entry->origin.len == len && memcmp(entry->key, at, len) == 0) return entry;
    return NULL;
}

static struct entry *entry_add(struct origins *origins, const char *key, const struct url *url) {
    struct entry *entry = entry_new(key, url);
    if (!entry) return NULL;
    struct entry **bucket = bucket_of(origins, key, strlen(key));
    entry->next = *bucket;
    *bucket = entry;
    return entry;
}

/* RFC 3986, 6.2.2.1 and 6.2.3. What url_same_origin takes for the same has one. */
static char *normal_form(struct arena *arena, const struct url *url) {
    int port = written_port(url);
    char *key = port ? arena_printf(arena, "%.*s://%.*s:%d", TEXT_ARG(url->scheme), TEXT_ARG(url->host), port)
                     : arena_printf(arena, "%.*s://%.*s", TEXT_ARG(url->scheme), TEXT_ARG(url->host));
    for (char *at = key; *at; at++)
        if (*at >= 'A' && *at <= 'Z') *at = (char)(*at - 'A' + 'a');
    return key;
}

bool origins_find(struct origins *origins, struct arena *arena, const char **url, struct origin **ret_origin,
                  struct fault *fault) {
    struct url parsed;
    struct entry *entry = origins->last;
    if (!entry || !begins(entry, *url)) entry = entry_find(origins, *url, origin_length(*url));
    if (entry) {
        origins->last = entry;
        *ret_origin = &entry->origin;
        return url_check_rest(text_of(*url + entry->origin.len), fault);
    }
    if (!url_parse(text_of(*url), &parsed, fault)) return false;
    const char *rest = *url + origin_length(*url);
    const char *key = normal_form(arena, &parsed);
    entry = entry_find(origins, key, strlen(key));
    if (!entry) entry = entry_add(origins, key, &parsed);
    *ret_origin = entry ? &entry->origin : NULL;
    if (entry) *url = arena_printf(arena, "%s%s", key, rest);
    return true;
}

const char *origin_target(struct arena *arena, const struct origin *origin, const char *url) {
    assert(!strchr(url, '#')); /* it would be sent */
    const char *rest = url + origin->len;
    return rest[0] == '/' ? rest : arena_printf(arena, "/%s", rest); /* RFC 9112, 3.2.1 */
}
