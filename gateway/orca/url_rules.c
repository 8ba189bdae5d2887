/* orca's rules for URLs.
 *
 * orca stops at the first rule that a URL breaks; whoever changes orca.yml wants to know all of them. So each is looked
 * at by itself, with what the settings before it, once changed, make of it: an address of this machine that is let
 * through passes the filter of names too, as it does in orca.
 *
 * orca looks at the first address of a name only; newer ones at all. All are looked at here: which one comes first is
 * chance. Java's patterns are PCRE2's but for rarities, and one that PCRE2 does not take is reported, not guessed at.
 */
#include "orca/url_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "lang/pattern.h"

static const char *const preset_schemes[] = {"http", "https"};
static const char *const preset_excluded[] = {"spinnaker", "local", "localdomain", "internal"};

const struct url_rules url_rules_presets = {.hostnames = ".*\\..+",
                                            .schemes = {preset_schemes, 2},
                                            .reject_localhost = true,
                                            .reject_link_local = true,
                                            .reject_verbatim_ips = true,
                                            .excluded_domains = {preset_excluded, 4}};

struct check {
    struct arena *arena;
    const struct url_rules *rules;
    const char *host; /* in lower case, without brackets */
    struct url_rules_breach *breaches;
    size_t count;
};

/* ---- addresses ---- */

/* 4 or 16 bytes of an address as text; 0 for what is none. */
static size_t address_bytes(const char *text, unsigned char out[16]) {
    if (inet_pton(AF_INET, text, out) == 1) return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

static bool is_loopback(const char *address) {
    unsigned char a[16];
    struct in6_addr six;
    size_t n = address_bytes(address, a);
    if (n == 4) return a[0] == 127;
    memcpy(&six, a, sizeof six);
    return n == 16 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool is_link_local(const char *address) {
    unsigned char a[16];
    size_t n = address_bytes(address, a);
    if (n == 4) return a[0] == 169 && a[1] == 254;
    return n == 16 && a[0] == 0xFE && (a[1] & 0xC0) == 0x80;
}

static bool same_bits(const unsigned char *a, const unsigned char *b, size_t bits) {
    size_t bytes = bits / 8, rest = bits % 8;
    if (memcmp(a, b, bytes) != 0) return false;
    return rest == 0 || ((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0;
}

/* "10.0.0.0/8", or one address. */
static bool block_holds(const char *block, const char *address) {
    unsigned char a[16], b[16];
    char base[INET6_ADDRSTRLEN];
    const char *slash = strchr(block, '/');
    size_t len = slash ? (size_t)(slash - block) : strlen(block);
    int64_t bits;
    if (len >= sizeof base) return false;
    memcpy(base, block, len);
    base[len] = 0;
    size_t n = address_bytes(address, a);
    if (n == 0 || address_bytes(base, b) != n) return false;
    if (!slash) bits = (int64_t)n * 8;
    else if (!text_to_int(text_of(slash + 1), &bits) || bits < 0 || bits > (int64_t)n * 8) return false;
    return same_bits(a, b, (size_t)bits);
}

/* ---- what is broken ---- */

static void add(struct check *c, const char *setting, const struct json *value, const char *what) {
    if (c->count < URL_RULES_BREACHES_MAX)
        c->breaches[c->count++] = (struct url_rules_breach){.setting = setting, .value = value, .what = what};
}

static const struct json *list_without(struct arena *arena, const struct url_rules_list *list,
                                       bool (*hits)(const char *item, const char *subject), const char *subject) {
    struct json *rest = json_new_array(arena);
    for (size_t i = 0; i < list->count; i++)
        if (!hits(list->items[i], subject)) json_push(rest, json_new_string(arena, list->items[i]));
    return rest;
}

static void check_scheme(struct check *c, struct text scheme) {
    struct json *with = json_new_array(c->arena);
    for (size_t i = 0; i < c->rules->schemes.count; i++) {
        if (text_is_nocase(scheme, c->rules->schemes.items[i])) return;
        json_push(with, json_new_string(c->arena, c->rules->schemes.items[i]));
    }
    json_push(with, json_new_text(c->arena, scheme));
    add(c, "allowedSchemes", with, arena_printf(c->arena, "unsupported URI scheme: %.*s", TEXT_ARG(scheme)));
}

/* ---- names ---- */

/* For a pattern that means this name and no other. */
static void add_quoted(struct buf *out, const char *name) {
    for (const char *s = name; *s; s++) {
        if (strchr(".\\[](){}*+?^$|", *s)) buf_addc(out, '\\');
        buf_addc(out, *s);
    }
}

static const char *widened(struct check *c) {
    struct buf out;
    buf_init(&out, 64 * 1024);
    buf_adds(&out, c->rules->hostnames);
    if (out.len) buf_addc(&out, '|');
    add_quoted(&out, c->host);
    const char *made = arena_strdup(c->arena, buf_cstr(&out));
    buf_fini(&out);
    return made;
}

static void check_allowed(struct check *c) {
    struct fault fault;
    const struct pattern *pattern = pattern_compile(c->arena, text_of(c->rules->hostnames), true, &fault);
    if (!pattern)
        add(c, NULL, NULL,
            arena_printf(c->arena, "allowedHostnamesRegex cannot be understood here, so nobody checked it: %s",
                         fault.what));
    else if (pattern_match(pattern, text_of(c->host)) != PATTERN_YES)
        add(c, "allowedHostnamesRegex", json_new_string(c->arena, widened(c)),
            arena_printf(c->arena, "Host not allowed: %s (allowedHostnamesRegex is %s)", c->host, c->rules->hostnames));
}

/* As the template (?=.+\.%s$).*\..+ says it: the domain is the end of the name, and something stands before it. */
static bool in_domain(const char *domain, const char *host) {
    size_t n = strlen(host), d = strlen(domain);
    return n > d + 1 && host[n - d - 1] == '.' && strcasecmp(host + n - d, domain) == 0;
}

static void check_domains(struct check *c) {
    for (size_t i = 0; i < c->rules->excluded_domains.count; i++) {
        if (!in_domain(c->rules->excluded_domains.items[i], c->host)) continue;
        add(c, "excludedDomains", list_without(c->arena, &c->rules->excluded_domains, in_domain, c->host),
            arena_printf(c->arena, "Host not allowed: %s (excludedDomains has \"%s\")", c->host,
                         c->rules->excluded_domains.items[i]));
        return; /* once, for all of them */
    }
}

static bool pattern_hits(const char *source, const char *host) {
    struct arena *arena = arena_new();
    const struct pattern *pattern = pattern_compile(arena, text_of(source), true, NULL);
    bool hits = pattern && pattern_match(pattern, text_of(host)) == PATTERN_YES;
    arena_free(arena);
    return hits;
}

static void check_patterns(struct check *c) {
    for (size_t i = 0; i < c->rules->extra_excluded_patterns.count; i++) {
        if (!pattern_hits(c->rules->extra_excluded_patterns.items[i], c->host)) continue;
        add(c, "extraExcludedPatterns",
            list_without(c->arena, &c->rules->extra_excluded_patterns, pattern_hits, c->host),
            arena_printf(c->arena, "Host not allowed: %s (extraExcludedPatterns has \"%s\")", c->host,
                         c->rules->extra_excluded_patterns.items[i]));
        return;
    }
}

/* ---- where it leads ---- */

static const char *first_that(const struct url_rules_host *host, bool (*is)(const char *address)) {
    for (size_t i = 0; i < host->address_count; i++)
        if (is(host->addresses[i])) return host->addresses[i];
    return NULL;
}

/* True where it is let through for what it leads to, whatever its name. */
static bool check_place(struct check *c, const struct url_rules_host *host) {
    const char *loopback = first_that(host, is_loopback), *link_local = first_that(host, is_link_local);
    const struct json *no = json_new_bool(c->arena, false);
    size_t before = c->count;
    if ((loopback || host->own) && c->rules->reject_localhost) {
        add(c, "rejectLocalhost", no,
            loopback ? arena_printf(c->arena, "Host not allowed: %s leads to %s, the machine itself", c->host, loopback)
                     : arena_printf(c->arena, "Host not allowed: %s leads to an address of this machine", c->host));
        if (c->count > before) c->breaches[before].own_only = !loopback;
    }
    if (link_local && c->rules->reject_link_local)
        add(c, "rejectLinkLocal", no,
            arena_printf(c->arena, "Host not allowed: %s leads to %s, which is link-local", c->host, link_local));
    return loopback || link_local;
}

static void check_blocks(struct check *c, const struct url_rules_host *host) {
    for (size_t i = 0; i < host->address_count; i++)
        for (size_t j = 0; j < c->rules->rejected_ips.count; j++) {
            if (!block_holds(c->rules->rejected_ips.items[j], host->addresses[i])) continue;
            add(c, "rejectedIps", list_without(c->arena, &c->rules->rejected_ips, block_holds, host->addresses[i]),
                arena_printf(c->arena, "Address not allowed: %s leads to %s, within %s of rejectedIps", c->host,
                             host->addresses[i], c->rules->rejected_ips.items[j]));
            return;
        }
}

static const char *bare_host(struct arena *arena, struct text host) {
    if (host.len > 2 && host.at[0] == '[') host = (struct text){host.at + 1, host.len - 2};
    char *bare = arena_strndup(arena, host.at, host.len);
    for (char *s = bare; *s; s++)
        if (*s >= 'A' && *s <= 'Z') *s = (char)(*s - 'A' + 'a');
    return bare;
}

size_t url_rules_check(struct arena *arena, const struct url_rules *rules, const struct url *url,
                       const struct url_rules_host *host, struct url_rules_breach breaches[URL_RULES_BREACHES_MAX]) {
    struct check c = {.arena = arena, .rules = rules, .host = bare_host(arena, url->host), .breaches = breaches};
    unsigned char bytes[16];
    bool is_ip = address_bytes(c.host, bytes) > 0;
    check_scheme(&c, url->scheme);
    if (is_ip && rules->reject_verbatim_ips)
        add(&c, "rejectVerbatimIps", json_new_bool(arena, false), "Verbatim IP addresses are not allowed");
    bool let_through = check_place(&c, host);
    if (!is_ip && !let_through) {
        check_allowed(&c);
        check_domains(&c);
        check_patterns(&c);
    }
    check_blocks(&c, host);
    return c.count;
}
