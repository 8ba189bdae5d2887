/* Exchanges: what a client sent, decoded, and how an answer looks on the wire.
 *
 * Pure but for one thing: an answer's header that must not be sent is logged. Called by the listener, which makes
 * exchanges from the guard's requests and sends what answer_write gives, and by the handlers. A path is split before it
 * is decoded, and decoded once, so that no encoded character can become a separator; whatever another party on the way
 * might read differently (dot segments, %2f, empty segments) is refused instead of repaired. One slash at the end is
 * the same resource: people type it, and nothing here could be meant by it. */
#include "front/exchange.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/log.h"
#include "front/guard.h"

const char *http_method_word(enum http_method method) {
    static const char *const words[] = {
#define X(word) #word,
        HTTP_METHODS(X)
#undef X
    };
    return words[method];
}

/* ---- what the client sent ---- */

const char *exchange_header(const struct exchange *exchange, const char *name) {
    for (const struct guard_header *h = exchange->headers; h; h = h->next)
        if (text_is_nocase(h->name, name)) return h->value.at;
    return NULL;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Into `to`, which has room for encoded.len bytes and a NUL. */
static bool decode(struct text encoded, bool plus_is_space, char *to, size_t *ret_len) {
    size_t n = 0;
    for (size_t i = 0; i < encoded.len; i++) {
        char c = encoded.at[i];
        if (c == '+' && plus_is_space) c = ' ';
        if (c == '%') {
            int high = i + 2 < encoded.len ? hex_value(encoded.at[i + 1]) : -1;
            int low = i + 2 < encoded.len ? hex_value(encoded.at[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        to[n++] = c;
    }
    to[n] = 0;
    *ret_len = n;
    return true;
}

const char *exchange_query(struct exchange *exchange, const char *name) {
    struct text rest = exchange->query, pair, key;
    while (text_cut(&rest, '&', &pair)) {
        text_cut(&pair, '=', &key);
        struct text value = pair.at ? pair : TEXT("");
        char *decoded = arena_alloc(exchange->arena, key.len + value.len + 2);
        size_t n;
        if (!decode(key, true, decoded, &n) || !text_is((struct text){decoded, n}, name)) continue;
        if (!decode(value, true, decoded, &n)) return NULL;
        bool plain = !memchr(decoded, 0, n) && text_utf8_check((struct text){decoded, n});
        return plain ? decoded : NULL;
    }
    return NULL;
}

static const char *segment_fault(struct text encoded, struct text decoded) {
    if (decoded.len == 0) return "The path has an empty segment";
    if (text_is(decoded, ".") || text_is(decoded, "..")) return "The path has a '.' or '..' segment";
    if (memchr(decoded.at, '/', decoded.len)) return "The path has an encoded slash";
    if (memchr(decoded.at, '\\', decoded.len)) return "The path has a backslash";
    if (memchr(encoded.at, '#', encoded.len)) return "The path has a '#'";
    for (size_t i = 0; i < decoded.len; i++)
        if ((unsigned char)decoded.at[i] < 0x20 || decoded.at[i] == 0x7F) return "The path has a control character";
    if (!text_utf8_check(decoded)) return "The path is not UTF-8";
    return NULL;
}

bool exchange_split_path(struct arena *arena, struct text path, const struct text **ret_segments, size_t *ret_count,
                         const char **ret_what) {
    if (path.len == 0 || path.at[0] != '/') {
        *ret_what = "The path does not begin with a slash";
        return false;
    }
    struct text rest = {path.at + 1, path.len - 1}, encoded;
    if (rest.len && rest.at[rest.len - 1] == '/') rest.len--;
    size_t count = 0, most = 1;
    for (size_t i = 0; i < rest.len; i++) most += rest.at[i] == '/';
    struct text *segments = arena_array_of(arena, struct text, most);
    while (path.len > 1 && text_cut(&rest, '/', &encoded)) {
        char *to = arena_alloc(arena, encoded.len + 1);
        struct text decoded = {to, 0};
        *ret_what = "The path has a bad percent escape";
        if (!decode(encoded, false, to, &decoded.len)) return false;
        *ret_what = segment_fault(encoded, decoded);
        if (*ret_what) return false;
        segments[count++] = decoded;
    }
    *ret_segments = segments;
    *ret_count = count;
    return true;
}

/* ---- the answer ---- */

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    /* RFC 9110, 15; RFC 6585; RFC 8470 */
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

static const char *phrase_of(int status) {
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (phrases[i].status == status) return phrases[i].phrase;
    return "Status"; /* a client must not read it (RFC 9112, 4) */
}

void answer_date(int64_t wall_ms, char out[ANSWER_DATE_SIZE]) {
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t); /* not strftime: its names depend on the locale */
    struct buf text;
    buf_init(&text, ANSWER_DATE_SIZE - 1);
    buf_addf(&text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + (ptrdiff_t)t.tm_wday * 3, t.tm_mday,
             months + (ptrdiff_t)t.tm_mon * 3, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    memcpy(out, buf_cstr(&text), text.len + 1);
    buf_fini(&text);
}

/* Not sent as they are: what would split the answer, and what only the framing may say. */
static bool header_allowed(const char *name, const char *value) {
    static const char *const ours[] = {"Content-Length", "Transfer-Encoding", "Connection", "Date", "Server"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcasecmp(name, ours[i]) == 0) return false;
    for (const char *s = name; *s; s++)
        if (*s <= ' ' || *s > '~' || *s == ':') return false;
    for (const char *s = value; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7F) return false;
    return *name != 0;
}

static void write_header(struct buf *out, const char *name, const char *value) {
    if (header_allowed(name, value)) buf_addf(out, "%s: %s\r\n", name, value);
    else log_put(LOG_WARN, "answer_header_dropped", NULL, LOG_STR("header", name));
}

void answer_write(struct buf *out, const struct answer *answer, const struct answer_wire *wire) {
    assert(answer->status >= 200 && answer->status <= 599 && answer->header_count <= ANSWER_HEADERS_MAX);
    bool bodiless = answer->status == 204 || answer->status == 304;
    buf_addf(out, "HTTP/1.1 %d %s\r\nServer: stagedoor\r\nDate: %s\r\n", answer->status, phrase_of(answer->status),
             wire->date);
    if (answer->content_type && !bodiless) write_header(out, "Content-Type", answer->content_type);
    if (!bodiless) buf_addf(out, "Content-Length: %zu\r\n", answer->content_type ? answer->body.len : 0);
    for (size_t i = 0; i < answer->header_count; i++)
        write_header(out, answer->headers[i].name, answer->headers[i].value);
    if (!wire->keep_alive) buf_adds(out, "Connection: close\r\n");
    else if (wire->minor == 0) buf_adds(out, "Connection: keep-alive\r\n");
    buf_adds(out, "\r\n");
    if (answer->content_type && !bodiless && !wire->head_only) buf_addt(out, answer->body);
}

void exchange_answer(struct exchange *exchange, const struct answer *answer) {
    assert(exchange->send);
    void (*send)(struct exchange *, const struct answer *) = exchange->send;
    exchange->send = NULL;
    exchange->on_gone = NULL;
    send(exchange, answer);
}
