/* Which of orca's URL rules public_url runs into, and the least that has to be changed about them.
 *
 * The rules are those of UserConfiguredUrlRestrictions: no verbatim addresses, nothing on the machine itself or of its
 * link, no name without a dot, and no name in a few domains, `local` among them, which is where Kubernetes has its
 * services (cluster.local). A list in orca.yml takes the place of the default one, so the rest of it is said again. A
 * rule that is not needed is not loosened: they guard orca against its users. */
#include "orca/restrictions.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "lang/pattern.h"
#include "lang/url.h"

static const char *const excluded[] = {"spinnaker", "local", "localdomain", "internal"};
enum { EXCLUDED_COUNT = sizeof excluded / sizeof *excluded };

/* As OkHttp's HttpUrl has it: in lower case, without brackets. NULL after a fault. */
static const char *host_of(struct arena *arena, const char *url, struct fault *fault) {
    struct url parts;
    if (!url_parse(text_of(url), &parts, fault)) return NULL;
    struct text host = parts.host;
    if (host.len > 1 && host.at[0] == '[') host = (struct text){host.at + 1, host.len - 2};
    char *made = arena_strndup(arena, host.at, host.len);
    for (char *c = made; *c; c++) *c = (char)tolower((unsigned char)*c);
    return made;
}

static bool is_ipv4(const char *host, unsigned char ret_bytes[4]) {
    return inet_pton(AF_INET, host, ret_bytes) == 1;
}

static bool is_ipv6(const char *host, unsigned char ret_bytes[16]) {
    return inet_pton(AF_INET6, host, ret_bytes) == 1;
}

static bool is_address(const char *host) {
    unsigned char bytes[16];
    return is_ipv4(host, bytes) || is_ipv6(host, bytes);
}

static bool is_loopback(const char *host) {
    static const unsigned char one[16] = {[15] = 1};
    unsigned char bytes[16];
    if (is_ipv4(host, bytes)) return bytes[0] == 127;
    return is_ipv6(host, bytes) ? memcmp(bytes, one, sizeof one) == 0 : strcmp(host, "localhost") == 0;
}

static bool is_link_local(const char *host) {
    unsigned char bytes[16];
    if (is_ipv4(host, bytes)) return bytes[0] == 169 && bytes[1] == 254;
    return is_ipv6(host, bytes) && bytes[0] == 0xFE && (bytes[1] & 0xC0) == 0x80;
}

/* The excluded domain that a name is in; EXCLUDED_COUNT: none. */
static size_t excluded_domain(const char *host) {
    const char *dot = strrchr(host, '.');
    for (size_t i = 0; dot && dot != host && i < EXCLUDED_COUNT; i++)
        if (strcmp(dot + 1, excluded[i]) == 0) return i;
    return EXCLUDED_COUNT;
}

static void need_name(struct arena *arena, const char *host, struct json *needed) {
    size_t domain = excluded_domain(host);
    if (!strchr(host, '.'))
        json_set(needed, "allowedHostnamesRegex", json_new_string(arena, arena_printf(arena, "%s|.*\\..+", host)));
    if (domain == EXCLUDED_COUNT) return;
    struct json *others = json_new_array(arena);
    for (size_t i = 0; i < EXCLUDED_COUNT; i++)
        if (i != domain) json_push(others, json_new_string(arena, excluded[i]));
    json_set(needed, "excludedDomains", others);
}

const struct json *restrictions_needed(struct arena *arena, const char *url, struct fault *fault) {
    const char *host = host_of(arena, url, fault);
    if (!host) return NULL;
    struct json *needed = json_new_object(arena), *no = json_new_bool(arena, false);
    if (is_address(host)) json_set(needed, "rejectVerbatimIps", no);
    if (is_loopback(host)) json_set(needed, "rejectLocalhost", no); /* which lets such a name pass the others as well */
    else if (is_link_local(host)) json_set(needed, "rejectLinkLocal", no);
    else if (!is_address(host)) need_name(arena, host, needed);
    return needed;
}

/* ---- what is there already ---- */

static bool holds(const struct json *list, const char *word) {
    if (json_kind(list) == JSON_STRING) return text_is(json_text(list), word);
    for (size_t i = 0; i < json_size(list); i++)
        if (text_is(json_text(json_at(list, i)), word)) return true;
    return false;
}

/* Java's expressions are close enough to ours for what stands there; one that is not understood is not judged. */
static bool lets_pass(struct arena *arena, const struct json *regex, const char *host) {
    struct fault fault;
    const struct pattern *pattern = pattern_compile(arena, json_text(regex), true, &fault);
    return !pattern || pattern_match(pattern, text_of(host)) != PATTERN_NO;
}

static bool is_false(const struct json *value) {
    return (json_kind(value) == JSON_BOOL && !json_truth(value)) || text_is_nocase(json_text(value), "false");
}

const struct json *restrictions_lacking(struct arena *arena, const struct json *needed, const struct json *given,
                                        const char *url) {
    struct json *lacking = json_new_array(arena);
    struct fault fault;
    const char *host = host_of(arena, url, &fault);
    for (struct json_member m = json_first(needed); host && m.name.at; m = json_next(needed, m)) {
        const struct json *has = json_get(given, m.name);
        const char *what = NULL;
        if (text_is(m.name, "excludedDomains")) {
            const char *domain = excluded[excluded_domain(host)];
            if (json_kind(has) == JSON_NULL || holds(has, domain))
                what = arena_printf(arena, "excludedDomains has \"%s\", which %s is in", domain, host);
        } else if (text_is(m.name, "allowedHostnamesRegex")) {
            if (json_kind(has) != JSON_STRING || !lets_pass(arena, has, host))
                what = arena_printf(arena, "allowedHostnamesRegex does not match %s", host);
        } else if (!is_false(has)) {
            what = arena_printf(arena, "%.*s is not false", TEXT_ARG(m.name));
        }
        if (what) json_push(lacking, json_new_string(arena, what));
    }
    return lacking;
}
