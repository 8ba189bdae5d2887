/* Replies from bytes: each stream is read whole, byte by byte, and cut in two at every place, with the same outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "back/http_reply.h"
#include "base/mem.h"

#define BODY_MAX 1000

enum { GOES_ON, ENDS };

/* What is said of a stream, as text, so that two ways of reading it can be compared. */
static void write_outcome(struct buf *out, const struct http_reply *reply, enum http_reply_state state, size_t left) {
    static const char *const flaws[] = {
        [HTTP_REPLY_FINE] = "fine",
        [HTTP_REPLY_NOT_HTTP] = "not HTTP",
        [HTTP_REPLY_BAD_HEAD] = "bad head",
        [HTTP_REPLY_LONG_LINE] = "long line",
        [HTTP_REPLY_TOO_MANY_HEADERS] = "too many headers",
        [HTTP_REPLY_BAD_CHUNKS] = "bad chunks",
        [HTTP_REPLY_TOO_LARGE] = "too large",
        [HTTP_REPLY_ENDED_EARLY] = "ended early",
        [HTTP_REPLY_NO_REPLY] = "no reply",
    };
    if (state == HTTP_REPLY_MORE) buf_adds(out, "more");
    if (state == HTTP_REPLY_BROKEN) buf_adds(out, flaws[reply->flaw]);
    if (state == HTTP_REPLY_MORE || state == HTTP_REPLY_BROKEN) return;
    assert_int_equal(reply->flaw, HTTP_REPLY_FINE);
    buf_addf(out, "%d %s", reply->code, reply->may_reuse ? "again" : "last");
    if (left) buf_addf(out, " +%zu", left);
    buf_adds(out, " | ");
    buf_addt(out, buf_text(reply->body));
}

struct reading {
    struct http_reply reply;
    struct buf head, fields, body, outcome;
};

static void reading_init(struct reading *reading) {
    buf_init(&reading->head, HTTP_REPLY_HEAD_ROOM);
    buf_init(&reading->fields, HTTP_REPLY_FIELDS_ROOM);
    buf_init(&reading->body, BODY_MAX);
    buf_init(&reading->outcome, 4 * BODY_MAX);
}

static void reading_fini(struct reading *reading) {
    buf_fini(&reading->head);
    buf_fini(&reading->fields);
    buf_fini(&reading->body);
    buf_fini(&reading->outcome);
}

/* A piece is a block of its own, so that ASan sees a read beyond it. */
static enum http_reply_state push(struct http_reply *reply, struct text piece, size_t *left) {
    char *at = mem_alloc(piece.len);
    memcpy(at, piece.at, piece.len);
    struct text input = {at, piece.len};
    enum http_reply_state state = http_reply_push(reply, &input);
    if (state == HTTP_REPLY_MORE) assert_int_equal(input.len, 0);
    *left += input.len;
    mem_free(at);
    return state;
}

/* In pieces of `step` bytes, the first one of `first`. */
static const char *read_stream(struct reading *reading, struct text stream, bool to_head, int ends, size_t first,
                               size_t step) {
    enum http_reply_state state = HTTP_REPLY_MORE;
    size_t left = 0;
    http_reply_begin(&reading->reply, &reading->head, &reading->fields, &reading->body, to_head);
    for (size_t n = first; stream.len; n = step) {
        if (n > stream.len) n = stream.len;
        state = push(&reading->reply, (struct text){stream.at, n}, &left);
        stream.at += n;
        stream.len -= n;
    }
    if (ends == ENDS) state = http_reply_end(&reading->reply);
    buf_clear(&reading->outcome);
    write_outcome(&reading->outcome, &reading->reply, state, left);
    return buf_cstr(&reading->outcome);
}

/* The headers stand where the text of the head has them. */
static void check_fields(const struct reading *reading) {
    struct text rest = buf_text(&reading->head), line, name;
    text_cut(&rest, '\n', &line);
    for (unsigned i = 0; i < reading->reply.header_count; i++) {
        struct http_reply_field field = http_reply_field(&reading->reply, i);
        assert_true(text_cut(&rest, '\n', &line) && text_cut(&line, ':', &name));
        struct text value = text_trim(line), kept = {reading->head.at + field.value_at, field.value_len};
        assert_ptr_equal(reading->head.at + field.name_at, name.at);
        assert_int_equal(field.name_len, name.len);
        assert_true(text_same(kept, value));
        assert_true(kept.at >= line.at && kept.at + kept.len <= line.at + line.len);
    }
    assert_true(text_cut(&rest, '\n', &line) && text_is(line, "\r") && rest.len == 0);
}

static void check_same(struct reading *other, const char *outcome, const struct reading *reading, const char *whole) {
    assert_string_equal(outcome, whole);
    if (whole[0] < '1' || whole[0] > '9') return;
    assert_string_equal(buf_cstr(&other->head), buf_cstr(&reading->head));
    assert_int_equal(other->reply.header_count, reading->reply.header_count);
    check_fields(reading);
    check_fields(other);
}

/* Each way of cutting; returns what it came to, as long as `reading` lives. */
static const char *read_all_ways(struct reading *reading, struct text stream, bool to_head, int ends) {
    struct reading other;
    reading_init(&other);
    const char *whole = read_stream(reading, stream, to_head, ends, stream.len, stream.len);
    check_same(&other, read_stream(&other, stream, to_head, ends, 1, 1), reading, whole);
    size_t stride = stream.len < 1000 ? 1 : stream.len / 7;
    for (size_t cut = 1; cut < stream.len; cut += stride)
        check_same(&other, read_stream(&other, stream, to_head, ends, cut, stream.len), reading, whole);
    reading_fini(&other);
    return whole;
}

static const struct stream_case {
    const char *name;
    struct text stream;
    const char *outcome; /* "code again|last +left | body", or the flaw */
    int ends;
    bool to_head;
} stream_cases[] = {
/* ---- what a reply looks like ---- */
#define OK "HTTP/1.1 200 OK\r\n"
    {"a length", TEXT(OK "Content-Length: 2\r\n\r\nhi"), "200 again | hi", GOES_ON, false},
    {"a length, and the stream ends", TEXT(OK "Content-Length: 2\r\n\r\nhi"), "200 last | hi", ENDS, false},
    {"no body", TEXT(OK "Content-Length: 0\r\n\r\n"), "200 again | ", GOES_ON, false},
    {"until the end", TEXT(OK "\r\nhi"), "200 last | hi", ENDS, false},
    {"until the end, which has not come", TEXT(OK "\r\nhi"), "more", GOES_ON, false},
    {"until the end, nothing", TEXT(OK "\r\n"), "200 last | ", ENDS, false},
    {"bytes that are not text", TEXT(OK "Content-Length: 3\r\n\r\n\0\xff\n"), "200 again | ", GOES_ON, false},
    {"an encoded body stays", TEXT(OK "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"),
     "200 again | \x1f\x8b", GOES_ON, false},
    {"HTTP/1.0", TEXT("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"), "200 last | hi", GOES_ON, false},
    {"HTTP/1.0 that stays", TEXT("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi"),
     "200 again | hi", GOES_ON, false},
    {"close", TEXT(OK "connection: Close\r\nContent-Length: 0\r\n\r\n"), "200 last | ", GOES_ON, false},
    {"close among others", TEXT(OK "Connection: x ,\tclose,y\r\nContent-Length: 0\r\n\r\n"), "200 last | ", GOES_ON,
     false},
    {"close in a second header", TEXT(OK "Connection: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
     "200 last | ", GOES_ON, false},
    {"close and keep-alive", TEXT("HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n"),
     "200 last | ", GOES_ON, false},
    {"closed is not close", TEXT(OK "Connection: closed\r\nContent-Length: 0\r\n\r\n"), "200 again | ", GOES_ON, false},
    {"Proxy-Connection is nothing", TEXT(OK "Proxy-Connection: close\r\nContent-Length: 0\r\n\r\n"), "200 again | ",
     GOES_ON, false},

    /* ---- bytes behind it: an answer to nothing that was asked ---- */
    {"bytes behind a length", TEXT(OK "Content-Length: 2\r\n\r\nhi!"), "200 last +1 | hi", GOES_ON, false},
    {"a second reply", TEXT(OK "Content-Length: 0\r\n\r\n" OK "Content-Length: 0\r\n\r\n"), "200 last +38 | ", GOES_ON,
     false},
    {"bytes behind chunks", TEXT(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n"), "200 last +2 | ", GOES_ON,
     false},
    {"a body that 204 has not", TEXT("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi"), "204 last +2 | ", GOES_ON,
     false},

    /* ---- no body, whatever is announced (RFC 9112, 6.3) ---- */
    {"HEAD", TEXT(OK "Content-Length: 99999999\r\n\r\n"), "200 again | ", GOES_ON, true},
    {"HEAD without a length", TEXT(OK "\r\n"), "200 again | ", GOES_ON, true},
    {"HEAD of chunks", TEXT(OK "Transfer-Encoding: chunked\r\n\r\n"), "200 again | ", GOES_ON, true},
    {"HEAD with a body", TEXT(OK "Content-Length: 2\r\n\r\nhi"), "200 last +2 | ", GOES_ON, true},
    {"204", TEXT("HTTP/1.1 204 No Content\r\n\r\n"), "204 again | ", GOES_ON, false},
    {"204 that announces a body", TEXT("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n"), "204 last | ", GOES_ON,
     false},
    {"204 that announces none", TEXT("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), "204 again | ", GOES_ON,
     false},
    {"204 of chunks", TEXT("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), "204 last | ", GOES_ON,
     false},
    {"304", TEXT("HTTP/1.1 304 Not Modified\r\nContent-Length: 99999999\r\n\r\n"), "304 again | ", GOES_ON, false},
    {"205 has a length like others", TEXT("HTTP/1.1 205 Reset\r\nContent-Length: 1\r\n\r\nx"), "205 again | x", GOES_ON,
     false},
    {"100 first", TEXT("HTTP/1.1 100 Continue\r\nX-A: no\r\n\r\n" OK "Content-Length: 2\r\n\r\nhi"), "200 again | hi",
     GOES_ON, false},
    {"three 1xx first",
     TEXT("HTTP/1.1 100 \r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nConnection: close\r\nContent-Length: 7\r\n"
          "Transfer-Encoding: chunked\r\n\r\n" OK "Content-Length: 2\r\n\r\nhi"),
     "200 again | hi", GOES_ON, false},
    {"1xx and nothing", TEXT("HTTP/1.1 100 Continue\r\n\r\n"), "no reply", ENDS, false},
    {"101", TEXT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "not HTTP", GOES_ON,
     false},
    {"Upgrade is only offered", TEXT(OK "Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nhi"),
     "200 again | hi", GOES_ON, false},

    /* ---- an early end ---- */
    {"nothing", TEXT(""), "no reply", ENDS, false},
    {"in the version", TEXT("HTT"), "ended early", ENDS, false},
    {"in the head", TEXT(OK "X-A: b\r\n"), "ended early", ENDS, false},
    {"in the last line end", TEXT(OK "Content-Length: 0\r\n\r"), "ended early", ENDS, false},
    {"in the length", TEXT(OK "Content-Length: 3\r\n\r\nhi"), "ended early", ENDS, false},
    {"in a chunk", TEXT(OK "Transfer-Encoding: chunked\r\n\r\n9\r\nhi"), "ended early", ENDS, false},
    {"before the last chunk", TEXT(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"), "ended early", ENDS, false},
    {"in the trailers", TEXT(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n"), "ended early", ENDS,
     false},

    /* ---- status lines: only HTTP/1.0 and 1.1, and three digits. libcurl let "HTTP/2 200" and "HTTP 200" pass. ---- */
    {"SSH", TEXT("SSH-2.0-OpenSSH_9.2\r\n"), "not HTTP", GOES_ON, false},
    {"HTTP/0.9", TEXT("<html>"), "not HTTP", GOES_ON, false},
    {"one wrong byte", TEXT("x"), "not HTTP", GOES_ON, false},
    {"HTTP/2", TEXT("HTTP/2 200 \r\n\r\n"), "not HTTP", GOES_ON, false},
    {"frames of HTTP/2", TEXT("\0\0\6\4\0\0\0\0\0\0\3\0\0\0d"), "not HTTP", GOES_ON, false},
    {"the preface of HTTP/2", TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"TLS", TEXT("\x15\3\1\0\2\2\x16"), "not HTTP", GOES_ON, false},
    {"HTTP/1.2", TEXT("HTTP/1.2 200 OK\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"HTTP/1.10", TEXT("HTTP/1.10 200 OK\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"small letters", TEXT("http/1.1 200 OK\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"another name of five bytes", TEXT("HABC/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"an empty line first", TEXT("\r\n" OK "Content-Length: 0\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"an empty line between heads", TEXT("HTTP/1.1 100 \r\n\r\n\r\n" OK "Content-Length: 0\r\n\r\n"), "not HTTP",
     GOES_ON, false},
    {"two blanks", TEXT("HTTP/1.1  200 OK\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"a tab", TEXT("HTTP/1.1\t200 OK\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"no code", TEXT("HTTP/1.1\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"two digits", TEXT("HTTP/1.1 20 OK\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"four digits", TEXT("HTTP/1.1 2000 OK\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"099", TEXT("HTTP/1.1 099 OK\r\n\r\n"), "not HTTP", GOES_ON, false},
    {"999", TEXT("HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n"), "999 again | ", GOES_ON, false},
    {"no reason", TEXT("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), "200 again | ", GOES_ON, false},
    {"no reason and no blank", TEXT("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), "200 again | ", GOES_ON, false},
    {"obs-text in the reason", TEXT("HTTP/1.1 200 \xe4\r\nContent-Length: 0\r\n\r\n"), "200 again | ", GOES_ON, false},
    {"a NUL in the reason", TEXT("HTTP/1.1 200 O\0K\r\n\r\n"), "bad head", GOES_ON, false},
    {"a bare CR in the reason", TEXT("HTTP/1.1 200 O\rK\r\n\r\n"), "bad head", GOES_ON, false},

    /* ---- headers ---- */
    {"LF alone ends a line", TEXT("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"), "200 again | hi", GOES_ON, false},
    {"no blanks", TEXT(OK "Content-Length:2\r\n\r\nhi"), "200 again | hi", GOES_ON, false},
    {"many blanks", TEXT(OK "Content-Length: \t 2  \r\n\r\nhi"), "200 again | hi", GOES_ON, false},
    {"an empty value", TEXT(OK "X-A:\r\nX-B: \r\nContent-Length: 0\r\n\r\n"), "200 again | ", GOES_ON, false},
    {"folded", TEXT(OK "X-A: a\r\n  b\r\n\tc\r\nContent-Length:\r\n 2\r\n\r\nhi"), "200 again | hi", GOES_ON, false},
    {"a fold of blanks", TEXT(OK "X-A: a\r\n   \r\nContent-Length: 2\r\n\r\nhi"), "200 again | hi", GOES_ON, false},
    {"folded, with nothing to fold", TEXT(OK " X-A: a\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a control character in a value", TEXT(OK "X-A: a\x1b\x7f\r\nContent-Length: 0\r\n\r\n"), "200 again | ", GOES_ON,
     false},
    {"obs-text in a value", TEXT(OK "X-A: \xff\xc3(\r\nContent-Length: 0\r\n\r\n"), "200 again | ", GOES_ON, false},
    {"a NUL in a value", TEXT(OK "X-A: a\0b\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a NUL in a name", TEXT(OK "X\0A: b\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a bare CR in a value", TEXT(OK "X-A: a\rb\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a bare CR at its end", TEXT(OK "X-A: a\r\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a bare CR before a value", TEXT(OK "Content-Length:\r* 2\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"a bare CR in a fold", TEXT(OK "Content-Length: 2\r\n \r*\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"a bare CR for the empty line", TEXT(OK "Content-Length: 0\r\n\rX\r\n\r\n"), "bad head", GOES_ON, false},
    {"no colon", TEXT(OK "X-A\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"an empty name", TEXT(OK ": a\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a blank before the colon", TEXT(OK "X-A : a\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a blank before the colon of a length", TEXT(OK "Content-Length : 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a tab before the colon", TEXT(OK "X-A\t: a\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a blank in a name", TEXT(OK "X A: a\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a name that is no token", TEXT(OK "X(A): a\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"obs-text in a name", TEXT(OK "X\xe4: a\r\nContent-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},

    /* ---- lengths: libcurl read "2x" as 2, and took the last of several ---- */
    {"twice the same", TEXT(OK "Content-Length: 2\r\ncontent-length: 2\r\n\r\nhi"), "200 again | hi", GOES_ON, false},
    {"the same in other digits", TEXT(OK "Content-Length: 2\r\nContent-Length: 02\r\n\r\nhi"), "200 again | hi",
     GOES_ON, false},
    {"two that differ", TEXT(OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"a list", TEXT(OK "Content-Length: 2, 3\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"negative", TEXT(OK "Content-Length: -9\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"with a sign", TEXT(OK "Content-Length: +2\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"hexadecimal", TEXT(OK "Content-Length: 0x2\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"something behind it", TEXT(OK "Content-Length: 2x\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"two in one", TEXT(OK "Content-Length: 1 2\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"two in one, folded", TEXT(OK "Content-Length: 1\r\n 2\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"an empty length", TEXT(OK "Content-Length:\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"as long as allowed, not yet come", TEXT(OK "Content-Length: 1000\r\n\r\nhi"), "more", GOES_ON, false},
    {"longer than allowed", TEXT(OK "Content-Length: 1001\r\n\r\n"), "too large", GOES_ON, false},
    {"2^63", TEXT(OK "Content-Length: 9223372036854775808\r\n\r\n"), "too large", GOES_ON, false},
    {"2^64", TEXT(OK "Content-Length: 18446744073709551616\r\n\r\n"), "too large", GOES_ON, false},
    {"conflicting where there is no body", TEXT("HTTP/1.1 304 \r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
     "bad head", GOES_ON, false},

/* ---- chunks ---- */
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
    {"chunks", TEXT(CHUNKED "1\r\nh\r\n00a\r\nello, you.\r\nB\r\n0123\r\n56789\r\n0\r\n\r\n"),
     "200 again | hello, you.0123\r\n56789", GOES_ON, false},
    {"no chunk", TEXT(CHUNKED "0\r\n\r\n"), "200 again | ", GOES_ON, false},
    {"chunks that end the stream", TEXT(CHUNKED "2\r\nhi\r\n0\r\n\r\n"), "200 last | hi", ENDS, false},
    {"extensions", TEXT(CHUNKED "1;x=y\r\nh\r\n1 ; x=\"\xe4;\"\r\ni\r\n0;last\r\n\r\n"), "200 again | hi", GOES_ON,
     false},
    {"blanks behind a size", TEXT(CHUNKED "2  \r\nhi\r\n0\t\r\n\r\n"), "200 again | hi", GOES_ON, false},
    {"trailers", TEXT(CHUNKED "2\r\nhi\r\n0\r\nX-Late: 1\r\n more\r\nContent-Length: 9\r\n\r\n"), "200 again | hi",
     GOES_ON, false},
    {"capitals", TEXT(OK "TRANSFER-ENCODING: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), "200 again | hi", GOES_ON, false},
    {"chunks and a length", TEXT(OK "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
     "200 last | hi", GOES_ON, false},
    {"a length and chunks", TEXT(OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
     "200 last | hi", GOES_ON, false},
    {"chunks and a length that is too large",
     TEXT(OK "Content-Length: 99999\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), "200 last | hi",
     GOES_ON, false},
    {"chunks of HTTP/1.0",
     TEXT("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
     "200 last | hi", GOES_ON, false},
    {"another coding", TEXT(OK "Transfer-Encoding: gzip\r\n\r\nhi"), "bad head", ENDS, false},
    {"identity", TEXT(OK "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"another coding first", TEXT(OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "bad head", GOES_ON, false},
    {"chunked not last", TEXT(OK "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"), "bad head", GOES_ON, false},
    {"another coding in a second header",
     TEXT(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n"), "bad head", GOES_ON, false},
    {"chunked twice", TEXT(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "bad head",
     GOES_ON, false},
    {"nearly chunked", TEXT(OK "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), "bad head", GOES_ON, false},
    {"chunked with a parameter", TEXT(OK "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"), "bad head", GOES_ON,
     false},
    {"an empty coding", TEXT(OK "Transfer-Encoding:\r\nContent-Length: 2\r\n\r\nhi"), "bad head", GOES_ON, false},
    {"no size", TEXT(CHUNKED "\r\n"), "bad chunks", GOES_ON, false},
    {"no digit", TEXT(CHUNKED "zz\r\nhi"), "bad chunks", GOES_ON, false},
    {"a negative size", TEXT(CHUNKED "-2\r\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"a prefix", TEXT(CHUNKED "0x2\r\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"a blank before the size", TEXT(CHUNKED " 2\r\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"something behind the size", TEXT(CHUNKED "2 hi\r\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"16 digits", TEXT(CHUNKED "0000000000000002\r\nhi\r\n0\r\n\r\n"), "200 again | hi", GOES_ON, false},
    {"17 digits", TEXT(CHUNKED "00000000000000002\r\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"17 digits that would be 2", TEXT(CHUNKED "10000000000000002\r\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"2^64 - 1 in a chunk", TEXT(CHUNKED "ffffffffffffffff\r\nhi"), "too large", GOES_ON, false},
    {"a chunk that sums to 2^64", TEXT(CHUNKED "2\r\nhi\r\nfffffffffffffffe\r\nhi"), "too large", GOES_ON, false},
    {"as much as allowed", TEXT(CHUNKED "3e8\r\n"), "more", GOES_ON, false},
    {"more than allowed", TEXT(CHUNKED "3e9\r\n"), "too large", GOES_ON, false},
    {"more than allowed in two", TEXT(CHUNKED "1\r\na\r\n3e8\r\n"), "too large", GOES_ON, false},
    {"LF alone behind a size", TEXT(CHUNKED "2\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"LF alone in an extension", TEXT(CHUNKED "2;x\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"CR alone behind a size", TEXT(CHUNKED "2\rXhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"a NUL in an extension", TEXT(CHUNKED "2;\0\r\nhi\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"LF alone behind a chunk", TEXT(CHUNKED "2\r\nhi\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"nothing behind a chunk", TEXT(CHUNKED "2\r\nhi0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"something else behind a chunk", TEXT(CHUNKED "2\r\nhiXY0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"a chunk that is longer", TEXT(CHUNKED "2\r\nhi!\r\n0\r\n\r\n"), "bad chunks", GOES_ON, false},
    {"a trailer without a colon", TEXT(CHUNKED "0\r\nX\r\n\r\n"), "bad head", GOES_ON, false},
    {"a second reply for trailers", TEXT(CHUNKED "0\r\n" OK "Content-Length: 0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a trailer with a NUL", TEXT(CHUNKED "0\r\nX: \0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a fold with a NUL in a trailer", TEXT(CHUNKED "0\r\nX: y\r\n \0\r\n\r\n"), "bad head", GOES_ON, false},
    {"a tab behind a length", TEXT(OK "Content-Length: 2 \t\r\n\r\nhi"), "200 again | hi", GOES_ON, false},
    {"a fold for the first trailer", TEXT(CHUNKED "0\r\n X: y\r\n\r\n"), "bad head", GOES_ON, false},
};

static void test_streams(void **state) {
    (void)state;
    struct reading reading;
    reading_init(&reading);
    for (size_t i = 0; i < sizeof stream_cases / sizeof *stream_cases; i++) {
        const struct stream_case *c = &stream_cases[i];
        const char *outcome = read_all_ways(&reading, c->stream, c->to_head, c->ends);
        if (strcmp(outcome, c->outcome) != 0) fail_msg("%s: %s, not %s", c->name, outcome, c->outcome);
    }
    reading_fini(&reading);
}

static void test_bytes_of_a_body(void **state) {
    (void)state;
    struct reading reading;
    reading_init(&reading);
    read_all_ways(&reading, TEXT(OK "Content-Length: 4\r\n\r\na\0\xff\n"), false, GOES_ON);
    assert_int_equal(reading.body.len, 4);
    assert_memory_equal(reading.body.at, "a\0\xff\n", 4);
    reading_fini(&reading);
}

/* ---- the head as text ---- */

static const struct head_case {
    const char *name;
    struct text stream;
    const char *head;
    unsigned header_count;
    bool is_plain;
} head_cases[] = {
    {"as it came, but for blanks at an end", TEXT(OK "X-A:  b \t\r\nContent-Length: 0\r\n\r\n"),
     OK "X-A:  b\r\nContent-Length: 0\r\n\r\n", 2, false},
    {"LF becomes CRLF", TEXT("HTTP/1.1 200 OK\nX-A: b \nX-B: c\nContent-Length: 0\n\n"),
     OK "X-A: b\r\nX-B: c\r\nContent-Length: 0\r\n\r\n", 3, true},
    {"folds are one blank", TEXT(OK "X-A: a \r\n \t b \r\n\tc\r\nContent-Length: 0\r\n\r\n"),
     OK "X-A: a b c\r\nContent-Length: 0\r\n\r\n", 2, false},
    {"folds behind nothing", TEXT(OK "X-A:  \r\n  \r\n b\r\n  \r\n c\r\nX-B:\r\n\r\n"), OK "X-A: b c\r\nX-B:\r\n\r\n",
     2, true},
    {"a fold of blanks", TEXT(OK "X-A: a\n  \nContent-Length: 0\r\n\r\n"), OK "X-A: a\r\nContent-Length: 0\r\n\r\n", 2,
     true},
    {"not that of 1xx", TEXT("HTTP/1.1 103 Early\xe4\r\nLink: </a>\r\n\r\n" OK "Content-Length: 0\r\n\r\n"),
     OK "Content-Length: 0\r\n\r\n", 1, true},
    {"not the trailers, nor the frames of chunks", TEXT(CHUNKED "1;x\r\na\r\n0\r\nX: \xe4\r\n\r\n"), CHUNKED, 1, false},
    {"a control character", TEXT(OK "X-A: abcdefghijk\x7f\r\n\r\n"), OK "X-A: abcdefghijk\x7f\r\n\r\n", 1, false},
    {"one in the last word", TEXT(OK "X-A: abcdefghij\x1f-\r\n\r\n"), OK "X-A: abcdefghij\x1f-\r\n\r\n", 1, false},
    {"one in a short line", TEXT(OK "X: \x1f\r\n\r\n"), OK "X: \x1f\r\n\r\n", 1, false},
    {"obs-text", TEXT(OK "X-A: abcdefghijklm\x80nop\r\n\r\n"), OK "X-A: abcdefghijklm\x80nop\r\n\r\n", 1, false},
    {"obs-text in the reason", TEXT("HTTP/1.1 200 \xe4\r\n\r\n"), "HTTP/1.1 200 \xe4\r\n\r\n", 0, false},
};

static void test_heads(void **state) {
    (void)state;
    struct reading reading;
    reading_init(&reading);
    for (size_t i = 0; i < sizeof head_cases / sizeof *head_cases; i++) {
        const struct head_case *c = &head_cases[i];
        print_message("  %s\n", c->name);
        read_all_ways(&reading, c->stream, false, ENDS);
        assert_int_equal(reading.reply.flaw, HTTP_REPLY_FINE);
        assert_int_equal(reading.head.len, strlen(c->head));
        assert_memory_equal(reading.head.at, c->head, reading.head.len);
        assert_int_equal(reading.reply.header_count, c->header_count);
        assert_int_equal(reading.reply.is_plain, c->is_plain);
    }
    reading_fini(&reading);
}

/* ---- limits ---- */

static void add_many(struct buf *stream, size_t count, const char *text) {
    for (size_t i = 0; i < count; i++) buf_adds(stream, text);
}

/* `before`, `count` times `text`, `behind`. */
static const struct limit_case {
    const char *name, *before, *text, *behind;
    size_t count;
    const char *outcome;
} limit_cases[] = {
    {"a line as long as allowed", OK "X: ", "a", "\r\nContent-Length: 0\r\n\r\n", HTTP_REPLY_LINE_MAX - 5,
     "200 again | "},
    {"a longer line", OK "X: ", "a", "\r\nContent-Length: 0\r\n\r\n", HTTP_REPLY_LINE_MAX - 4, "long line"},
    {"a line without an end", OK "X: ", "a", "", HTTP_REPLY_LINE_MAX, "long line"},
    {"a long reason", "HTTP/1.1 200 ", "a", "\r\n\r\n", HTTP_REPLY_LINE_MAX, "long line"},
    {"many headers that are long", OK,
     "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
     "Content-Length: 0\r\n\r\n", 999, "200 again | "},
    {"as many headers as allowed", OK, "a:\r\n", "Content-Length: 0\r\n\r\n", HTTP_REPLY_HEADERS_MAX - 1,
     "200 again | "},
    {"one header more", OK, "a:\r\n", "Content-Length: 0\r\n\r\n", HTTP_REPLY_HEADERS_MAX, "too many headers"},
    {"a head that is too long", OK, "a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n b\r\n",
     "", HTTP_REPLY_HEAD_MAX / 78 + 1, "too many headers"},
    {"folds that are too many", OK "a:b\r\n", " c\r\n", "", HTTP_REPLY_HEAD_MAX / 4, "too many headers"},
    {"folds that grow", OK "a:b\r\n", " \n", "Content-Length: 0\r\n\r\n", HTTP_REPLY_HEAD_MAX / 2 - 32, "200 again | "},
    {"1xx without an end", "", "HTTP/1.1 100 Continue\r\nX: aaaaaaaaaaaaaaaaaa\r\n\r\n", "",
     HTTP_REPLY_HEAD_MAX / 48 + 1, "too many headers"},
    {"trailers as many as allowed", CHUNKED "0\r\n", "a:\r\n", "\r\n", HTTP_REPLY_HEADERS_MAX, "200 again | "},
    {"one trailer more", CHUNKED "0\r\n", "a:\r\n", "\r\n", HTTP_REPLY_HEADERS_MAX + 1, "too many headers"},
    {"trailers that are too long", CHUNKED "0\r\na: b\r\n", " cccccccccccccccccccccccccccccccccccccccccccccccccc\r\n",
     "", HTTP_REPLY_HEAD_MAX / 53 + 1, "too many headers"},
    {"an extension as long as allowed", CHUNKED "0;", "x", "\r\n\r\n", 4096 - 4, "200 again | "},
    {"a longer extension", CHUNKED "0;", "x", "\r\n\r\n", 4096 - 3, "bad chunks"},
    {"an extension without an end", CHUNKED "0;", "x", "", 4096, "bad chunks"},
    {"a body without an end", OK "\r\n", "x", "", BODY_MAX + 1, "too large"},
    {"chunks without an end", CHUNKED, "1\r\nx\r\n", "", BODY_MAX + 1, "too large"},
};

static void test_limits(void **state) {
    (void)state;
    struct reading reading;
    struct buf stream;
    reading_init(&reading);
    buf_init(&stream, 1 << 20);
    for (size_t i = 0; i < sizeof limit_cases / sizeof *limit_cases; i++) {
        const struct limit_case *c = &limit_cases[i];
        buf_clear(&stream);
        buf_adds(&stream, c->before);
        add_many(&stream, c->count, c->text);
        buf_adds(&stream, c->behind);
        const char *outcome = read_all_ways(&reading, buf_text(&stream), false, GOES_ON);
        if (strcmp(outcome, c->outcome) != 0) fail_msg("%s: %s, not %s", c->name, outcome, c->outcome);
        assert_false(reading.head.full);
    }
    buf_fini(&stream);
    reading_fini(&reading);
}

static void test_as_large_as_allowed(void **state) {
    (void)state;
    struct reading reading;
    struct buf stream;
    reading_init(&reading);
    buf_init(&stream, 1 << 20);
    buf_adds(&stream, OK "\r\n");
    add_many(&stream, BODY_MAX, "x");
    read_all_ways(&reading, buf_text(&stream), false, ENDS);
    assert_int_equal(reading.reply.flaw, HTTP_REPLY_FINE);
    assert_int_equal(reading.body.len, BODY_MAX);
    buf_fini(&stream);
    reading_fini(&reading);
}

/* ---- after the verdict ---- */

static void test_verdicts_are_final(void **state) {
    (void)state;
    struct reading reading;
    reading_init(&reading);
    struct text more = TEXT(OK "Content-Length: 0\r\n\r\n");
    read_stream(&reading, TEXT("SSH-2"), false, GOES_ON, 5, 5);
    assert_int_equal(http_reply_push(&reading.reply, &more), HTTP_REPLY_BROKEN);
    assert_int_equal(http_reply_end(&reading.reply), HTTP_REPLY_BROKEN);
    assert_int_equal(reading.reply.flaw, HTTP_REPLY_NOT_HTTP);
    read_stream(&reading, TEXT(OK "Content-Length: 1\r\n\r\na"), false, GOES_ON, 100, 100);
    assert_true(reading.reply.may_reuse);
    assert_int_equal(http_reply_push(&reading.reply, &more), HTTP_REPLY_WHOLE);
    assert_int_equal(more.len, strlen(OK "Content-Length: 0\r\n\r\n"));
    assert_false(reading.reply.may_reuse);
    assert_int_equal(reading.body.len, 1);
    reading_fini(&reading);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_bytes_of_a_body),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_as_large_as_allowed),
        cmocka_unit_test(test_verdicts_are_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
