/* Answers as bytes: status line, headers, body.
 *
 * libevhtp's own replies are not used (they send bodies to HEAD, and a length of 0 before a body for some content
 * types), so the framing of a response is said here and nowhere else. Called by the listener; problem documents take
 * their titles from here. Pure, but for a line in the log when a handler's header must not be sent. */
#include "front/answer.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

#define STATUSES(X) /* RFC 9110, 15; RFC 6585; RFC 8470 */ \
    X(200, "OK")                                           \
    X(201, "Created")                                      \
    X(202, "Accepted")                                     \
    X(204, "No Content")                                   \
    X(206, "Partial Content")                              \
    X(301, "Moved Permanently")                            \
    X(302, "Found")                                        \
    X(303, "See Other")                                    \
    X(304, "Not Modified")                                 \
    X(307, "Temporary Redirect")                           \
    X(308, "Permanent Redirect")                           \
    X(400, "Bad Request")                                  \
    X(401, "Unauthorized")                                 \
    X(403, "Forbidden")                                    \
    X(404, "Not Found")                                    \
    X(405, "Method Not Allowed")                           \
    X(406, "Not Acceptable")                               \
    X(408, "Request Timeout")                              \
    X(409, "Conflict")                                     \
    X(410, "Gone")                                         \
    X(411, "Length Required")                              \
    X(412, "Precondition Failed")                          \
    X(413, "Content Too Large")                            \
    X(414, "URI Too Long")                                 \
    X(415, "Unsupported Media Type")                       \
    X(417, "Expectation Failed")                           \
    X(422, "Unprocessable Content")                        \
    X(425, "Too Early")                                    \
    X(428, "Precondition Required")                        \
    X(429, "Too Many Requests")                            \
    X(431, "Request Header Fields Too Large")              \
    X(500, "Internal Server Error")                        \
    X(501, "Not Implemented")                              \
    X(502, "Bad Gateway")                                  \
    X(503, "Service Unavailable")                          \
    X(504, "Gateway Timeout")                              \
    X(505, "HTTP Version Not Supported")                   \
    X(507, "Insufficient Storage")
#define STATUS_LEAST 200
#define BEHIND_STATUS "\r\nServer: stagedoor\r\nDate: "

struct status {
    const char *code, *phrase;
    struct text start; /* of an answer, up to its date */
};

static const struct status *status_find(int status) {
    static const struct status known[] = {
#define X(number, phrase) \
    [(number)-STATUS_LEAST] = {#number, phrase, TEXT("HTTP/1.1 " #number " " phrase BEHIND_STATUS)},
        STATUSES(X)
#undef X
    };
    size_t at = (size_t)(status - STATUS_LEAST); /* far too many for one below it */
    return at < sizeof known / sizeof *known && known[at].code ? &known[at] : NULL;
}

const char *answer_phrase(int status) {
    const struct status *known = status_find(status);
    return known ? known->phrase : "Status"; /* a client must not read it (RFC 9112, 4) */
}

const char *answer_code(int status) {
    const struct status *known = status_find(status);
    return known ? known->code : "other";
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
static bool header_allowed(struct text name, struct text value) {
    static const struct text ours[] = {TEXT("Content-Length"), TEXT("Transfer-Encoding"), TEXT("Connection"),
                                       TEXT("Date"), TEXT("Server")};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (ours[i].len == name.len && text_is_nocase(name, ours[i].at)) return false;
    return text_token_check(name) && text_field_check(value);
}

static char *put(char *to, struct text t) {
    return (char *)memcpy(to, t.at, t.len) + t.len;
}

static void write_header(struct buf *out, const char *header, const char *content) {
    struct text name = text_of(header), value = text_of(content);
    if (!header_allowed(name, value)) {
        log_put(LOG_WARN, "answer_header_dropped", NULL, LOG_STR("header", header));
        return;
    }
    char *begin = buf_room(out, name.len + value.len + 4), *to = begin;
    if (!to) return;
    to = put(to, name);
    to = put(to, TEXT(": "));
    to = put(to, value);
    to = put(to, TEXT("\r\n"));
    buf_grew(out, (size_t)(to - begin));
}

static void write_start(struct buf *out, int status) {
    const struct status *known = status_find(status);
    if (known) buf_addt(out, known->start);
    else buf_addf(out, "HTTP/1.1 %d Status" BEHIND_STATUS, status);
}

void answer_write(struct buf *out, const struct answer *answer, const struct answer_wire *wire) {
    assert(answer->status >= 200 && answer->status <= 599 && answer->header_count <= ANSWER_HEADERS_MAX);
    bool bodiless = answer->status == 204 || answer->status == 304;
    write_start(out, answer->status);
    buf_adds(out, wire->date);
    buf_adds(out, "\r\n");
    if (answer->content_type && !bodiless) write_header(out, "Content-Type", answer->content_type);
    if (!bodiless) {
        buf_adds(out, "Content-Length: ");
        buf_addi(out, answer->content_type ? (int64_t)answer->body.len : 0);
        buf_adds(out, "\r\n");
    }
    for (size_t i = 0; i < answer->header_count; i++)
        write_header(out, answer->headers[i].name, answer->headers[i].value);
    if (!wire->keep_alive) buf_adds(out, "Connection: close\r\n");
    else if (wire->minor == 0) buf_adds(out, "Connection: keep-alive\r\n");
    buf_adds(out, "\r\n");
    if (answer->content_type && !bodiless && !wire->head_only) buf_addt(out, answer->body);
}
