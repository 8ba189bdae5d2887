/* What a gateway that trusts whoever can connect has to ask of a browser.
 *
 * A loopback address keeps other machines out, but not the pages that a browser on this machine shows: a page may post
 * text anywhere without asking. Browsers say which page it was (Origin), and which name they believe to talk to (Host).
 * Programs send no Origin, and are not hindered. Pure: headers in, verdict out. */
#include "front/browser.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "lang/url.h"

/* Host without its port; brackets stay. */
static struct text name_of(const char *host) {
    struct text name = text_of(host);
    size_t last = name.len;
    while (last > 0 && name.at[last - 1] >= '0' && name.at[last - 1] <= '9') last--;
    if (last > 0 && name.at[last - 1] == ':') name.len = last - 1;
    return name;
}

static bool is_address(struct text name) {
    struct in_addr room;
    char text[INET_ADDRSTRLEN] = "";
    if (name.len && name.at[0] == '[') return true; /* a name cannot look like that */
    if (name.len >= sizeof text) return false;
    memcpy(text, name.at, name.len);
    return inet_pton(AF_INET, text, &room) == 1;
}

static bool is_local_name(struct text name) {
    if (text_is(name, "127.0.0.1") || text_is_nocase(name, "localhost")) return true;
    size_t n = sizeof ".localhost" - 1;
    return name.len > n && text_is_nocase((struct text){name.at + name.len - n, n}, ".localhost");
}

static bool is_public(struct text name, const char *public_url) {
    struct url url;
    if (!url_parse(text_of(public_url), &url, NULL)) return false;
    const struct text host = url.host;
    return host.len == name.len && strncasecmp(host.at, name.at, host.len) == 0;
}

static bool check_host(const struct exchange *exchange, const struct browser_rules *rules, struct fault *fault) {
    const char *host = exchange_header(exchange, HTTP_HEADER_HOST);
    if (rules->any_host || !host || !*host) return true; /* HTTP/1.0 has none, and no browser speaks it */
    struct text name = name_of(host);
    if (is_local_name(name) || is_address(name) || is_public(name, rules->public_url)) return true;
    return fault_set(
        fault, FAULT_FORBIDDEN, NULL,
        "the gateway is not known as \"%.*s\" (the Host header); if it is, say so: public_url = \"%s://%.*s\"",
        (int)(name.len > 100 ? 100 : name.len), name.at, exchange->tls ? "https" : "http",
        (int)(strlen(host) > 100 ? 100 : strlen(host)), host);
}

static bool check_origin(const struct exchange *exchange, const struct browser_rules *rules, struct fault *fault) {
    const char *origin = exchange_header(exchange, HTTP_HEADER_ORIGIN),
               *host = exchange_header(exchange, HTTP_HEADER_HOST);
    if (!origin || exchange->method == HTTP_GET || exchange->method == HTTP_HEAD || exchange->method == HTTP_OPTIONS)
        return true;
    struct url from, here;
    const char *base = arena_printf(exchange->arena, "%s://%s", exchange->tls ? "https" : "http",
                                    host ? host : "localhost");
    if (url_parse(text_of(origin), &from, NULL) &&
        ((url_parse(text_of(base), &here, NULL) && url_same_origin(&from, &here)) ||
         (url_parse(text_of(rules->public_url), &here, NULL) && url_same_origin(&from, &here))))
        return true;
    return fault_set(fault, FAULT_FORBIDDEN, NULL,
                     "a page of another origin may not change anything here (the Origin header)");
}

bool browser_check(const struct exchange *exchange, const struct browser_rules *rules, struct fault *fault) {
    return check_host(exchange, rules, fault) && check_origin(exchange, rules, fault);
}
