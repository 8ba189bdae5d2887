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

const char *answer_phrase(int status) {
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
    static const struct text ours[] = {TEXT("Content-Length"), TEXT("Transfer-Encoding"), TEXT("Connection"),
                                       TEXT("Date"), TEXT("Server")};
    struct text given = text_of(name);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (ours[i].len == given.len && text_is_nocase(given, ours[i].at)) return false;
    return text_token_check(given) && text_field_check(text_of(value));
}

static void write_header(struct buf *out, const char *name, const char *value) {
    if (!header_allowed(name, value)) {
        log_put(LOG_WARN, "answer_header_dropped", NULL, LOG_STR("header", name));
        return;
    }
    buf_adds(out, name);
    buf_adds(out, ": ");
    buf_adds(out, value);
    buf_adds(out, "\r\n");
}

void answer_write(struct buf *out, const struct answer *answer, const struct answer_wire *wire) {
    assert(answer->status >= 200 && answer->status <= 599 && answer->header_count <= ANSWER_HEADERS_MAX);
    bool bodiless = answer->status == 204 || answer->status == 304;
    buf_adds(out, "HTTP/1.1 ");
    buf_addi(out, answer->status);
    buf_addc(out, ' ');
    buf_adds(out, answer_phrase(answer->status));
    buf_adds(out, "\r\nServer: stagedoor\r\nDate: ");
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
