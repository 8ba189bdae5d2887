/* URLs: taking apart, comparing, resolving and percent-encoding, as RFC 3986 has it.
 *
 * What we are strict about is what keeps a request on its host: every byte is checked before a URL is believed, a
 * backslash or a space is never guessed at, and a user name in front of the host (`https://good.example@evil.example/`)
 * is refused. A host may not hold % escapes either, though the RFC allows them: the libraries below us disagree about
 * what those mean. Faults never quote the URL, which may hold a token; they name the part or the column.
 *
 * Nothing is normalised: what was written is what is sent. */
#include "lang/url.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_alpha(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The characters of RFC 3986, 2.2 and 2.3, and the percent sign. Of the gen-delims a path and a query may hold some. */
enum { UNRESERVED = 1, SUB_DELIM = 2, PATH_DELIM = 4, OTHER_DELIM = 8, PERCENT = 16 };

static bool is_of(char c, unsigned kinds) {
    static const unsigned char known[256] = {['a' ... 'z'] = UNRESERVED, ['A' ... 'Z'] = UNRESERVED,
                                             ['0' ... '9'] = UNRESERVED, ['-'] = UNRESERVED,
                                             ['.'] = UNRESERVED,         ['_'] = UNRESERVED,
                                             ['~'] = UNRESERVED,         ['!'] = SUB_DELIM,
                                             ['$'] = SUB_DELIM,          ['&'] = SUB_DELIM,
                                             ['\''] = SUB_DELIM,         ['('] = SUB_DELIM,
                                             [')'] = SUB_DELIM,          ['*'] = SUB_DELIM,
                                             ['+'] = SUB_DELIM,          [','] = SUB_DELIM,
                                             [';'] = SUB_DELIM,          ['='] = SUB_DELIM,
                                             [':'] = PATH_DELIM,         ['/'] = PATH_DELIM,
                                             ['?'] = PATH_DELIM,         ['@'] = PATH_DELIM,
                                             ['#'] = OTHER_DELIM,        ['['] = OTHER_DELIM,
                                             [']'] = OTHER_DELIM,        ['%'] = PERCENT};
    return known[(unsigned char)c] & kinds;
}

static bool is_unreserved(char c) {
    return is_of(c, UNRESERVED);
}

static struct text slice(struct text t, size_t from, size_t to) {
    return (struct text){t.at + from, to - from};
}

static size_t find_any(struct text t, size_t from, char a, char b, char c) {
    while (from < t.len && t.at[from] != a && t.at[from] != b && t.at[from] != c) from++;
    return from;
}

/* ---- taking apart ---- */

struct parts {
    struct text scheme, authority, path, query, fragment; /* at == NULL: absent; the path is always there */
};

static size_t scheme_length(struct text t) {
    if (t.len == 0 || !is_alpha(t.at[0])) return 0;
    size_t n = 1;
    while (n < t.len && (is_alpha(t.at[n]) || is_digit(t.at[n]) || t.at[n] == '+' || t.at[n] == '-' || t.at[n] == '.'))
        n++;
    return n < t.len && t.at[n] == ':' ? n : 0;
}

/* RFC 3986, appendix B, without judging anything. */
static struct parts split(struct text t) {
    struct parts parts = {0};
    size_t at = 0, end = scheme_length(t);
    if (end) parts.scheme = slice(t, 0, end), at = end + 1;
    if (t.len - at >= 2 && t.at[at] == '/' && t.at[at + 1] == '/') {
        end = find_any(t, at + 2, '/', '?', '#');
        parts.authority = slice(t, at + 2, end);
        at = end;
    }
    end = find_any(t, at, '?', '#', '#');
    parts.path = slice(t, at, end);
    at = end;
    if (at < t.len && t.at[at] == '?') {
        end = find_any(t, at, '#', '#', '#');
        parts.query = slice(t, at + 1, end);
        at = end;
    }
    if (at < t.len) parts.fragment = slice(t, at + 1, t.len);
    return parts;
}

/* Every byte has to be one that RFC 3986 knows, and every % has to begin an escape. */
static bool check_bytes(struct text t, struct fault *fault) {
    for (size_t i = 0; i < t.len; i++) {
        char c = t.at[i];
        if (c == '%' && (t.len - i < 3 || text_hex_value(t.at[i + 1]) < 0 || text_hex_value(t.at[i + 2]) < 0))
            return fault_set(fault, FAULT_INVALID, NULL, "the URL has a %% without two hex digits at column %zu",
                             i + 1);
        if (!is_of(c, UNRESERVED | SUB_DELIM | PATH_DELIM | OTHER_DELIM | PERCENT))
            return fault_set(fault, FAULT_INVALID, NULL, "the URL has a character that is not allowed at column %zu",
                             i + 1);
    }
    return true;
}

static bool check_brackets(struct text part, struct fault *fault) {
    return find_any(part, 0, '[', ']', '#') == part.len ||
           fault_set(fault, FAULT_INVALID, NULL,
                     "the URL has one of the characters []# behind its host; write it as a %% escape");
}

static bool check_ipv6(struct text host) {
    char address[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    if (host.len - 2 >= sizeof address) return false;
    memcpy(address, host.at + 1, host.len - 2);
    address[host.len - 2] = 0;
    return inet_pton(AF_INET6, address, &ignored) == 1;
}

static bool check_host(struct text host, struct fault *fault) {
    if (host.len == 0) return fault_set(fault, FAULT_INVALID, NULL, "the URL has no host");
    if (host.len > 255) return fault_set(fault, FAULT_INVALID, NULL, "the URL's host is longer than 255 bytes");
    if (host.at[0] == '[')
        return check_ipv6(host) || fault_set(fault, FAULT_INVALID, NULL, "the URL's host is not an IPv6 address");
    for (size_t i = 0; i < host.len; i++)
        if (!is_of(host.at[i], UNRESERVED | SUB_DELIM))
            return fault_set(fault, FAULT_INVALID, NULL, "the URL's host has a character that is not allowed");
    return true;
}

static bool read_port(struct text digits, int *ret_port, struct fault *fault) {
    int64_t port = 0;
    if (digits.len && (!is_digit(digits.at[0]) || !text_to_int(digits, &port) || port < 1 || port > 65535))
        return fault_set(fault, FAULT_INVALID, NULL, "the URL's port is not a number from 1 to 65535");
    *ret_port = (int)port;
    return true;
}

static bool read_authority(struct text t, struct url *url, struct fault *fault) {
    if (t.len && memchr(t.at, '@', t.len))
        return fault_set(fault, FAULT_INVALID, NULL, "the URL has a user name in front of its host");
    size_t end = 0;
    if (t.len && t.at[0] == '[') {
        const char *close = memchr(t.at, ']', t.len);
        if (!close) return fault_set(fault, FAULT_INVALID, NULL, "the URL's host lacks its closing bracket");
        end = (size_t)(close - t.at) + 1;
    } else {
        end = find_any(t, 0, ':', ':', ':');
    }
    url->host = slice(t, 0, end);
    if (!check_host(url->host, fault)) return false;
    if (end == t.len) return true;
    if (t.at[end] != ':') return fault_set(fault, FAULT_INVALID, NULL, "the URL has something behind its host");
    return read_port(slice(t, end + 1, t.len), &url->port, fault);
}

bool url_parse(struct text source, struct url *ret_url, struct fault *fault) {
    if (!check_bytes(source, fault)) return false;
    struct parts parts = split(source);
    if (!text_is_nocase(parts.scheme, "http") && !text_is_nocase(parts.scheme, "https"))
        return fault_set(fault, FAULT_INVALID, NULL, "the URL does not begin with http:// or https://");
    if (!parts.authority.at) return fault_set(fault, FAULT_INVALID, NULL, "the URL lacks the // in front of its host");
    struct url url = {
        .scheme = parts.scheme, .path = parts.path, .query = parts.query, .fragment = parts.fragment, .port = 0};
    if (!read_authority(parts.authority, &url, fault)) return false;
    if (!check_brackets(url.path, fault) || !check_brackets(url.query, fault) || !check_brackets(url.fragment, fault))
        return false;
    *ret_url = url;
    return true;
}

/* Most have neither escapes nor faults. */
bool url_check_rest(struct text rest, struct fault *fault) {
    size_t plain = 0;
    while (plain < rest.len && is_of(rest.at[plain], UNRESERVED | SUB_DELIM | PATH_DELIM)) plain++;
    return plain == rest.len || (check_bytes(rest, fault) && check_brackets(rest, fault));
}

int url_port(const struct url *url) {
    if (url->port) return url->port;
    return url->scheme.len == 5 ? 443 : 80;
}

static bool same_nocase(struct text a, struct text b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        char x = a.at[i], y = b.at[i];
        if (x >= 'A' && x <= 'Z') x = (char)(x + 32);
        if (y >= 'A' && y <= 'Z') y = (char)(y + 32);
        if (x != y) return false;
    }
    return true;
}

bool url_same_origin(const struct url *a, const struct url *b) {
    return same_nocase(a->scheme, b->scheme) && same_nocase(a->host, b->host) && url_port(a) == url_port(b);
}

/* ---- resolving ---- */

static void drop_last_segment(struct buf *out, size_t start) {
    while (out->len > start && out->at[out->len - 1] != '/') out->len--;
    if (out->len > start) out->len--;
    if (out->at) out->at[out->len] = 0;
}

/* RFC 3986, 5.2.4, for a path that begins with a slash. */
static void add_without_dots(struct buf *out, struct text path) {
    size_t start = out->len;
    for (size_t at = 0; at < path.len;) {
        size_t end = find_any(path, at + 1, '/', '/', '/');
        struct text segment = slice(path, at + 1, end);
        bool last = end == path.len;
        if (text_is(segment, "..")) drop_last_segment(out, start);
        if (!text_is(segment, ".") && !text_is(segment, "..")) buf_addt(out, slice(path, at, end));
        else if (last) buf_addc(out, '/');
        at = end;
    }
}

/* RFC 3986, 5.2.3: the base's path up to its last slash, then the reference's. */
static void merge(struct buf *out, struct text base, struct text path) {
    size_t keep = base.len;
    while (keep && base.at[keep - 1] != '/') keep--;
    if (keep) buf_add(out, base.at, keep);
    else buf_addc(out, '/');
    buf_addt(out, path);
}

static void add_path(struct buf *out, struct text path) {
    if (path.len && path.at[0] == '/') add_without_dots(out, path);
    else buf_addt(out, path);
}

static void add_relative_path(struct buf *out, struct text base, struct text path) {
    if (path.at[0] == '/') {
        add_without_dots(out, path);
        return;
    }
    struct buf merged;
    buf_init(&merged, base.len + path.len + 1);
    merge(&merged, base, path);
    add_without_dots(out, buf_text(&merged));
    buf_fini(&merged);
}

static void add_part(struct buf *out, const char *lead, struct text part) {
    if (!part.at) return;
    buf_adds(out, lead);
    buf_addt(out, part);
}

/* RFC 3986, 5.2.2 and 5.3. */
static void compose(struct buf *out, const struct parts *base, const struct parts *reference) {
    bool own_authority = reference->scheme.at || reference->authority.at;
    buf_addt(out, reference->scheme.at ? reference->scheme : base->scheme);
    buf_addc(out, ':');
    add_part(out, "//", own_authority ? reference->authority : base->authority);
    if (own_authority) add_path(out, reference->path);
    else if (reference->path.len) add_relative_path(out, base->path, reference->path);
    else buf_addt(out, base->path);
    bool keeps_query = !own_authority && reference->path.len == 0 && !reference->query.at;
    add_part(out, "?", keeps_query ? base->query : reference->query);
    add_part(out, "#", reference->fragment);
}

char *url_resolve(struct arena *arena, struct text base, struct text reference, struct fault *fault) {
    struct url url;
    if (!url_parse(base, &url, fault) || !check_bytes(reference, fault)) return NULL;
    struct parts base_parts = split(base), reference_parts = split(reference);
    struct buf out;
    buf_init(&out, base.len + reference.len + 4);
    compose(&out, &base_parts, &reference_parts);
    char *result = url_parse(buf_text(&out), &url, fault) ? arena_strndup(arena, buf_cstr(&out), out.len) : NULL;
    buf_fini(&out);
    return result;
}

/* ---- percent-encoding ---- */

void url_encode(struct buf *out, struct text value) {
    static const char digits[] = "0123456789ABCDEF";
    size_t start = 0;
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if (is_unreserved((char)c)) continue;
        char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        buf_add(out, value.at + start, i - start);
        buf_add(out, escape, 3);
        start = i + 1;
    }
    if (value.len) buf_add(out, value.at + start, value.len - start);
}

bool url_decode(struct buf *out, struct text value, bool plus_is_space) {
    for (size_t i = 0, plain = 0;; i++, plain = i) {
        while (i < value.len && value.at[i] != '%' && !(value.at[i] == '+' && plus_is_space)) i++;
        if (i > plain) buf_add(out, value.at + plain, i - plain);
        if (i == value.len) return true;
        char c = ' ';
        if (value.at[i] == '%') {
            if (value.len - i < 3) return false;
            int high = text_hex_value(value.at[i + 1]), low = text_hex_value(value.at[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        buf_addc(out, c);
    }
}
