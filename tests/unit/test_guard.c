/* The guard by tables: what each stream gives, whole, cut once at every place, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "front/guard.h"

static const struct guard_limits limits = {.max_head_bytes = 16384, .max_headers = 20, .max_body_bytes = 64};

/* What is asked for by name is the first field of that name. */
static void check_known(const struct guard_request *request) {
    const char *known[HTTP_HEADER_END + 1] = {0};
    for (const struct guard_header *h = request->headers; h; h = h->next) {
        assert_int_equal(strlen(h->name.at), h->name.len);
        assert_int_equal(strlen(h->value.at), h->value.len);
        const char **first = &known[http_header_of(h->name)];
        if (!*first) *first = h->value.at;
    }
    for (int i = 0; i < HTTP_HEADER_END; i++) assert_ptr_equal(request->known[i], known[i]);
}

static void write_request(struct buf *out, const struct guard_request *request) {
    buf_addf(out, "%s %.*s", http_method_word(request->method), TEXT_ARG(request->path));
    if (request->query.at) buf_addf(out, "?%.*s", TEXT_ARG(request->query));
    buf_addf(out, " 1.%d %s", request->minor, request->keep_alive ? "keep" : "close");
    for (struct guard_header *h = request->headers; h; h = h->next)
        if (!text_is_nocase(h->name, "Host")) buf_addf(out, " %.*s=%.*s", TEXT_ARG(h->name), TEXT_ARG(h->value));
    if (request->body.len) buf_addf(out, " [%.*s]", TEXT_ARG(request->body));
    buf_adds(out, "; ");
}

/* Pushes one piece; false once the stream is refused. */
static bool push(struct guard *guard, struct text piece, struct buf *out) {
    for (;;) {
        switch (guard_push(guard, &piece)) {
        case GUARD_MORE: assert_int_equal(piece.len, 0); return true;
        case GUARD_CONTINUE: buf_adds(out, "continue; "); break;
        case GUARD_REFUSED:
            assert_true(strlen(guard->refusal) > 10);
            buf_addf(out, "%d", guard->refusal_status);
            return false;
        case GUARD_REQUEST: {
            struct guard_request *request = guard_take(guard);
            check_known(request);
            write_request(out, request);
            arena_free(request->arena);
        }
        }
    }
}

/* Cuts the stream before `first`, and then every `step` bytes; each piece in a heap block of its own, so that ASan sees
 * its end. */
static char *run(const struct guard_limits *within, struct text stream, size_t first, size_t step) {
    struct guard guard;
    struct buf out;
    buf_init(&out, 1 << 20);
    guard_init(&guard, within);
    bool goes_on = true;
    for (size_t at = 0, next = first; at < stream.len && goes_on; at = next, next += step) {
        size_t n = next < stream.len ? next - at : stream.len - at;
        if (n == 0) continue;
        char *copy = mem_alloc(n);
        memcpy(copy, stream.at + at, n);
        goes_on = push(&guard, (struct text){copy, n}, &out);
        mem_free(copy);
    }
    static const char *const phases[] = {"", "in head", "in body", ""};
    if (goes_on) buf_adds(&out, phases[guard_phase(&guard)]);
    guard_fini(&guard);
    return buf_take(&out);
}

static void expect_within(const struct guard_limits *within, struct text stream, const char *expected) {
    size_t far = stream.len + 1;
    for (size_t cut = 0; cut <= (stream.len < 2000 ? stream.len : 0); cut++) {
        char *got = run(within, stream, cut ? cut : far, far);
        if (strcmp(got, expected) != 0) print_error("cut at %zu of: %.*s\n", cut, TEXT_ARG(stream));
        assert_string_equal(got, expected);
        mem_free(got);
    }
    for (size_t step = 1; step <= 7; step += 3) {
        char *got = run(within, stream, step, step);
        if (strcmp(got, expected) != 0) print_error("by %zu of: %.*s\n", step, TEXT_ARG(stream));
        assert_string_equal(got, expected);
        mem_free(got);
    }
}

struct row {
    struct text stream;
    const char *expected;
};

#define ROW(stream, expected) \
    { {"" stream, sizeof(stream) - 1}, expected }
#define H "Host: h\r\n"
#define GET "GET / HTTP/1.1\r\n" H
#define POST "POST / HTTP/1.1\r\n" H

static void expect_rows(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) expect_within(&limits, rows[i].stream, rows[i].expected);
}

static void test_request_lines(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW("", ""),
        ROW("GET /abcdef HTTP/1.1\r\n" H "\r\n", "GET /abcdef 1.1 keep; "),
        ROW("GET /abc?x=1&y=2 HTTP/1.1\r\n" H "\r\n", "GET /abc?x=1&y=2 1.1 keep; "),
        ROW("GET /?a?b HTTP/1.1\r\n" H "\r\n", "GET /?a?b 1.1 keep; "),
        ROW("GET /a? HTTP/1.1\r\n" H "\r\n", "GET /a? 1.1 keep; "),
        ROW("HEAD / HTTP/1.1\r\n" H "\r\n", "HEAD / 1.1 keep; "),
        ROW("OPTIONS /x HTTP/1.1\r\n" H "\r\n", "OPTIONS /x 1.1 keep; "),
        ROW("DELETE /x HTTP/1.1\r\n" H "\r\n", "DELETE /x 1.1 keep; "),
        ROW("GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close; "),
        ROW("\r\n\r\nGET / HTTP/1.0\r\n\r\n", "GET / 1.0 close; "),
        ROW("\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n", "400"),
        ROW("\r\r\nGET / HTTP/1.0\r\n\r\n", "400"),
        ROW("\nGET / HTTP/1.0\r\n\r\n", "400"),
        ROW("\rGET / HTTP/1.0\r\n\r\n", "400"),
        ROW(" GET / HTTP/1.0\r\n\r\n", "400"),
        ROW("\x16\x03\x01\x02\x00\x01\x00", "400"),
        ROW("\0GET / HTTP/1.0\r\n", "400"),
        /* versions */
        ROW("GET /x\r\n\r\n", "400"),
        ROW("GET\r\n\r\n", "400"),
        ROW("GET /x \r\n\r\n", "400"),
        ROW("GET /x?a=1\r\n", "400"),
        ROW("GET / HTTP/2.0\r\n" H "\r\n", "505"),
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        ROW("GET / HTTP/1.2\r\n" H "\r\n", "505"),
        ROW("GET / HTTP/0.9\r\n" H "\r\n", "505"),
        ROW("GET / HTTP/1.99\r\n" H "\r\n", "400"),
        ROW("GET / HTTP/1.\r\n" H "\r\n", "400"),
        ROW("GET / HTTP/1,1\r\n" H "\r\n", "400"),
        ROW("GET / http/1.1\r\n" H "\r\n", "400"),
        ROW("GET / HTTP/1.1 \r\n" H "\r\n", "400"),
        ROW("GET / x HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET  / HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET\t/ HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /\tHTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET / HTTP/1.1\n" H "\r\n", "400"),
        ROW("GET / HTTP/1.1\r\r\n" H "\r\n", "400"),
        /* methods */
        ROW("get / HTTP/1.1\r\n" H "\r\n", "501"),
        ROW("BREW / HTTP/1.1\r\n" H "\r\n", "501"),
        ROW("TRACE / HTTP/1.1\r\n" H "\r\n", "501"),
        ROW("CONNECT h:443 HTTP/1.1\r\n" H "\r\n", "501"),
        ROW("G@T / HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("G\0T / HTTP/1.1\r\n" H "\r\n", "400"),
        /* targets */
        ROW("GET x HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET * HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("OPTIONS * HTTP/1.1\r\n" H "\r\n", "501"),
        ROW("GET /a\0b HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a\x01 HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a\x7f HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a#b HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET http://h/x?y HTTP/1.1\r\n" H "\r\n", "GET /x?y 1.1 keep; "),
        ROW("GET HTTPS://h:1/x HTTP/1.1\r\n" H "\r\n", "GET /x 1.1 keep; "),
        ROW("GET http://h HTTP/1.1\r\n" H "\r\n", "GET / 1.1 keep; "),
        ROW("GET http://h?x=/ HTTP/1.1\r\n" H "\r\n", "GET /?x=/ 1.1 keep; "),
        ROW("GET http://u@h/ HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET http:///x HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET http:// HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET ftp://h/x HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET ?x HTTP/1.1\r\n" H "\r\n", "400"),
        /* cut off */
        ROW("GE", "in head"),
        ROW("GET / HTTP/1.1\r\n", "in head"),
        ROW("GET / HTTP/1.1\r\n" H "\r", "in head"),
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
}

static void test_fields(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW(GET "A:b\r\nC: \t d e \t\r\nF:\r\n\r\n", "GET / 1.1 keep A=b C=d e F=; "),
        ROW(GET "A: \xff\t.\r\n\r\n", "GET / 1.1 keep A=\xff\t.; "),
        ROW(GET "A: b\r\n\tc\r\n\r\n", "400"),
        ROW(GET "A: b\r\n c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n Host: h\r\n\r\n", "400"),
        ROW(GET "A : b\r\n\r\n", "400"),
        ROW(GET "A\t: b\r\n\r\n", "400"),
        ROW(GET ": b\r\n\r\n", "400"),
        ROW(GET "A\r\n\r\n", "400"),
        ROW(GET "A(: b\r\n\r\n", "400"),
        ROW(GET "\xc3\xa4: b\r\n\r\n", "400"),
        ROW(GET "A: b\0c\r\n\r\n", "400"),
        ROW(GET "A\0: b\r\n\r\n", "400"),
        ROW(GET "A: b\x01\r\n\r\n", "400"),
        ROW(GET "A: b\x7f\r\n\r\n", "400"),
        ROW(GET "A: b\rc\r\n\r\n", "400"),
        ROW(GET "A: b\r\r\n\r\n", "400"),
        ROW(GET "A: b\n\r\n", "400"),
        ROW(GET "A: b\r\n\n", "400"),
        /* Host */
        ROW("GET / HTTP/1.1\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / 1.1 keep; "),
        ROW("GET / HTTP/1.1\r\nhOST: [::1]:80\r\n\r\n", "GET / 1.1 keep; "),
        ROW("GET / HTTP/1.1\r\n" H H "\r\n", "400"),
        ROW("GET / HTTP/1.0\r\n" H H "\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: u@b\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400"),
        /* Connection */
        ROW(GET "Connection: close\r\n\r\n", "GET / 1.1 close Connection=close; "),
        ROW(GET "Connection: CLOSE\r\n\r\n", "GET / 1.1 close Connection=CLOSE; "),
        ROW(GET "Connection: x , close\r\n\r\n", "GET / 1.1 close Connection=x , close; "),
        ROW(GET "Connection: keep-alive\r\nConnection: close\r\n\r\n",
            "GET / 1.1 close Connection=keep-alive Connection=close; "),
        ROW(GET "Connection: closed\r\n\r\n", "GET / 1.1 keep Connection=closed; "),
        ROW("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0 keep Connection=Keep-Alive; "),
        ROW("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
            "GET / 1.0 close Connection=keep-alive, close; "),
        /* Expect */
        ROW(POST "Content-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
            "continue; POST / 1.1 keep Content-Length=1 Expect=100-continue [x]; "),
        ROW(POST "Expect: 100-CONTINUE\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "continue; POST / 1.1 keep Expect=100-CONTINUE Transfer-Encoding=chunked; "),
        ROW(POST "Expect: 100-continue\r\n\r\n", "POST / 1.1 keep Expect=100-continue; "),
        ROW(POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
            "POST / 1.1 keep Expect=100-continue Content-Length=0; "),
        ROW(POST "Content-Length: 65\r\nExpect: 100-continue\r\n\r\n", "413"),
        ROW(POST "Expect: 100-continue, x\r\n\r\n", "417"),
        ROW(POST "Expect: anything\r\n\r\n", "417"),
        ROW(POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", "417"),
        ROW("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
            "POST / 1.0 close Content-Length=1 Expect=100-continue [x]; "),
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
}

#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define GOT_CHUNKED "POST / 1.1 keep Transfer-Encoding=chunked"
#define SMUGGLED "GET /smuggled HTTP/1.1\r\n" H "\r\n"

static void test_bodies(void **state) {
    (void)state;
    static const struct row rows[] = {
        ROW(POST "Content-Length: 3\r\n\r\nabc", "POST / 1.1 keep Content-Length=3 [abc]; "),
        ROW(POST "Content-Length: 003\r\n\r\nabc" GET "\r\n",
            "POST / 1.1 keep Content-Length=003 [abc]; GET / 1.1 keep; "),
        ROW(POST "Content-Length: 3\r\n\r\nab", "in body"),
        ROW(POST "Content-Length: 0\r\n\r\n" GET "\r\n", "POST / 1.1 keep Content-Length=0; GET / 1.1 keep; "),
        ROW(GET "\r\n" POST "\r\n" GET "\r\nG", "GET / 1.1 keep; POST / 1.1 keep; GET / 1.1 keep; in head"),
        ROW(GET "\r\n\r\n" GET "\r\n", "GET / 1.1 keep; GET / 1.1 keep; "),
        ROW(GET "\r\n\0", "GET / 1.1 keep; 400"),
        ROW(POST "Content-Length: 64\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123",
            "POST / 1.1 keep Content-Length=64 [0123456789012345678901234567890123456789012345678901234567890123]; "),
        ROW(POST "Content-Length: 65\r\n\r\n", "413"),
        ROW(POST "Content-Length: 999999999999999999\r\n\r\n", "413"),
        ROW(POST "Content-Length: 30000000000000000000\r\n\r\n", "413"),
        ROW(POST "Content-Length: 18446744073709551617\r\n\r\nx", "413"),
        ROW(POST "Content-Length: -1\r\n\r\n", "400"),
        ROW(POST "Content-Length: +1\r\n\r\nx", "400"),
        ROW(POST "Content-Length: 0x1\r\n\r\nx", "400"),
        ROW(POST "Content-Length: 1 1\r\n\r\nx", "400"),
        ROW(POST "Content-Length: 1, 1\r\n\r\nx", "400"),
        ROW(POST "Content-Length: 1.0\r\n\r\nx", "400"),
        ROW(POST "Content-Length:\r\n\r\n", "400"),
        ROW(POST "Content-Length: 1\r\n\t2\r\n\r\nx", "400"),
        ROW(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400"),
        ROW(POST "Content-Length: 1\r\ncontent-length: 2\r\n\r\nx", "400"),
        ROW(POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, "400"),
        ROW(POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" SMUGGLED, "400"),
        /* codings */
        ROW(POST "Transfer-Encoding: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "POST / 1.1 keep Transfer-Encoding=CHUNKED [x]; "),
        ROW(POST "Transfer-Encoding: \tchunked \r\n\r\n0\r\n\r\n", GOT_CHUNKED "; "),
        ROW(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED, "501"),
        ROW(POST "Transfer-Encoding: chunked, chunked\r\n\r\n", "501"),
        ROW(POST "Transfer-Encoding: identity\r\n\r\n", "501"),
        ROW(POST "Transfer-Encoding:\r\n\r\n", "501"),
        ROW(POST "Transfer-Encoding: \vchunked\r\n\r\n", "400"),
        ROW(POST "Transfer-Encoding : chunked\r\n\r\n", "400"),
        ROW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ROW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", "400"),
        ROW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        /* chunks */
        ROW(CHUNKED "0\r\n\r\n" GET "\r\n", GOT_CHUNKED "; GET / 1.1 keep; "),
        ROW(CHUNKED "3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n" GET "\r\n",
            GOT_CHUNKED " [abc0123456789]; GET / 1.1 keep; "),
        ROW(CHUNKED "3;a=b\r\nabc\r\n1 ; c=\"d;e\"\r\nx\r\n0;z\r\n\r\n", GOT_CHUNKED " [abcx]; "),
        ROW(CHUNKED "3x\r\nabc\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED "3 x\r\nabc\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED "3 \r\nabc\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED " 3\r\nabc\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED "3;a\x01\r\nabc\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED "3;a\nabc\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED "3\nabc\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED "3\r\nabcd\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED "3\r\nabc0\r\n\r\n", "400"),
        ROW(CHUNKED "3\r\nabc\n0\r\n\r\n", "400"),
        ROW(CHUNKED "0x3\r\nabc\r\n0\r\n\r\n", "400"),
        ROW(CHUNKED "-3\r\nabc\r\n", "400"),
        ROW(CHUNKED "\r\nabc\r\n", "400"),
        ROW(CHUNKED ";a\r\nabc\r\n", "400"),
        ROW(CHUNKED "\x80\r\n\r\n", "400"),
        ROW(CHUNKED "41\r\n", "413"),
        ROW(CHUNKED "3f\r\n012345678901234567890123456789012345678901234567890123456789abc\r\n2\r\n", "413"),
        ROW(CHUNKED "ffffffff\r\n", "413"),
        ROW(CHUNKED "100000003\r\nabc\r\n", "413"),
        ROW(CHUNKED "10000000000000003\r\nabc\r\n", "413"),
        ROW(CHUNKED "000000003\r\nabc\r\n", "413"),
        /* trailers */
        ROW(CHUNKED "0\r\nA: b\r\nC: d\r\n\r\n" GET "\r\n", GOT_CHUNKED "; GET / 1.1 keep; "),
        ROW(CHUNKED "0\r\nContent-Length: 5\r\n\r\n" GET "\r\n", GOT_CHUNKED "; GET / 1.1 keep; "),
        ROW(CHUNKED "0\r\n" SMUGGLED, "400"),
        ROW(CHUNKED "0\r\nA: b\n\r\n", "400"),
        ROW(CHUNKED "0\r\n A: b\r\n\r\n", "400"),
        ROW(CHUNKED "0\r\nA b\r\n\r\n", "400"),
        ROW(CHUNKED "0\r\n\n", "400"),
        ROW(CHUNKED "0\r\nA: b\r\n", "in body"),
        ROW(CHUNKED "3\r\nab", "in body"),
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
}

/* head, then `count` times `unit`, then tail */
static void expect_long(const struct guard_limits *within, const char *head, const char *unit, size_t count,
                        const char *tail, const char *expected) {
    struct buf stream;
    buf_init(&stream, 1 << 22);
    buf_adds(&stream, head);
    for (size_t i = 0; i < count; i++) buf_adds(&stream, unit);
    buf_adds(&stream, tail);
    assert_false(stream.full);
    expect_within(within, buf_text(&stream), expected);
    buf_fini(&stream);
}

static void test_ceilings(void **state) {
    (void)state;
    static const struct guard_limits small = {.max_head_bytes = 64, .max_headers = 3, .max_body_bytes = 1 << 20};
    static const struct guard_limits many = {.max_head_bytes = 1 << 20, .max_headers = 100000, .max_body_bytes = 64};
    char *path = mem_alloc(GUARD_LINE_MAX + 2);
    memset(path, 'a', GUARD_LINE_MAX);

    /* the request line: 14 bytes around the path's a's */
    struct buf expected;
    buf_init(&expected, 1 << 20);
    buf_addf(&expected, "GET /%.*s 1.0 close; ", GUARD_LINE_MAX - 14, path);
    expect_long(&limits, "GET /", "a", GUARD_LINE_MAX - 14, " HTTP/1.0\r\n\r\n", buf_cstr(&expected));
    expect_long(&limits, "GET /", "a", GUARD_LINE_MAX - 13, " HTTP/1.0\r\n\r\n", "414");
    expect_long(&limits, "GET /", "a", 100000, "", "414");
    expect_long(&limits, "GET /", "a", GUARD_LINE_MAX - 4, "", "in head"); /* the last byte could be a CR */
    expect_long(&limits, "GET /", "a", GUARD_LINE_MAX - 3, "", "414");
    expect_long(&small, "GET /", "a", 51, " HTTP/1.0\r\n\r\n", "414");
    buf_fini(&expected);
    mem_free(path);

    /* the head: 64 bytes are 18 of the request line, 2 of the empty one, and 44 */
    expect_long(&small, "GET / HTTP/1.0\r\nA: ", "", 0, "0123456789012345678901234567890123456789012\r\n\r\n",
                "GET / 1.0 close A=0123456789012345678901234567890123456789012; ");
    expect_long(&small, "GET / HTTP/1.0\r\nA: ", "a", 44, "\r\n\r\n", "431");
    expect_long(&small, "GET / HTTP/1.0\r\nA: ", "a", 60000, "", "431");
    expect_long(&small, "GET / HTTP/1.0\r\n", "A:b\r\n", 3, "\r\n", "GET / 1.0 close A=b A=b A=b; ");
    expect_long(&small, "GET / HTTP/1.0\r\n", "A:b\r\n", 4, "\r\n", "431");
    expect_long(&limits, "GET / HTTP/1.0\r\n", "A:b\r\n", 100000, "", "431");
    expect_long(&many, "GET / HTTP/1.0\r\n", "A:b\r\n", 300000, "", "431");
    expect_long(&limits, "", "\r\n", 100000, "", "400");

    /* trailers, extensions, size lines */
    expect_long(&limits, CHUNKED "0\r\n", "A: b\r\n", 3000, "\r\n", "431");
    expect_long(&limits, CHUNKED "1;", "a", 300, "\r\nx\r\n0\r\n\r\n", "400");
    expect_long(&limits, CHUNKED, "0000", 100, "\r\n\r\n", "400");
    static const struct guard_limits big = {.max_head_bytes = 16384, .max_headers = 20, .max_body_bytes = 1 << 20};
    expect_long(&big, CHUNKED, "1;0123456789012345678901234567890123456789\r\nx\r\n", 101, "0\r\n\r\n", "400");
}

/* Pushing again after a refusal changes nothing. */
static void test_refusal_is_final(void **state) {
    (void)state;
    struct guard guard;
    guard_init(&guard, &limits);
    struct text bad = TEXT("nonsense\r\n");
    assert_int_equal(guard_push(&guard, &bad), GUARD_REFUSED);
    struct text good = TEXT(GET "\r\n");
    assert_int_equal(guard_push(&guard, &good), GUARD_REFUSED);
    assert_int_equal(guard.refusal_status, 400);
    assert_int_equal(guard_phase(&guard), GUARD_OVER);
    guard_fini(&guard);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_lines), cmocka_unit_test(test_fields),           cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_ceilings),      cmocka_unit_test(test_refusal_is_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
