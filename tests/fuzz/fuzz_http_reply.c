/* Replies: any split of a stream gives what the whole stream gives, and what is whole was as long as it announced.
 *
 * The input's first byte says what the request was (HEAD, if odd) and whether the stream ends (by its second bit); the
 * second one is how many of the bytes behind it say where to cut (each is the length of a piece, the last one repeats);
 * the rest is the stream. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "back/http_reply.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 4096

#define HOLDS(claim) ((claim) ? (void)0 : abort())

struct input {
    bool to_head, ends;
    struct text cuts, stream;
};

static void check_field(const struct http_reply *reply, unsigned i, struct text name, struct text value) {
    HOLDS(i < reply->header_count);
    struct http_reply_field field = http_reply_field(reply, i);
    HOLDS(text_same(name, (struct text){reply->head->at + field.name_at, field.name_len}));
    HOLDS(text_same(value, (struct text){reply->head->at + field.value_at, field.value_len}));
}

static bool is_plain(struct text head) {
    for (size_t i = 0; i < head.len; i++)
        if ((head.at[i] < ' ' && head.at[i] != '\r' && head.at[i] != '\n') || head.at[i] == 0x7F) return false;
    return true;
}

/* What a reader without our code would say of the head: the length it announces, or -1. */
static int64_t check_head(const struct http_reply *reply) {
    struct text rest = buf_text(reply->head), line, name;
    int64_t length = -1;
    unsigned count = 0;
    HOLDS(text_starts(rest, "HTTP/1.") && text_ends(rest, "\r\n\r\n") && !memchr(rest.at, 0, rest.len));
    text_cut(&rest, '\n', &line);
    while (text_cut(&rest, '\n', &line) && line.len > 1) {
        line.len--;
        HOLDS(line.at[line.len] == '\r' && !memchr(line.at, '\r', line.len));
        HOLDS(text_cut(&line, ':', &name) && line.at && text_token_check(name));
        check_field(reply, count, name, text_trim(line));
        if (text_is_nocase(name, "Content-Length") && !text_to_int(text_trim(line), &length)) length = INT64_MAX;
        HOLDS(length >= -1);
        if (text_is_nocase(name, "Transfer-Encoding")) HOLDS(text_is_nocase(text_trim(line), "chunked"));
        count++;
    }
    HOLDS(count == reply->header_count && count <= HTTP_REPLY_HEADERS_MAX);
    HOLDS(!reply->is_plain || is_plain(buf_text(reply->head)));
    return length;
}

static bool is_chunked(const struct http_reply *reply) {
    struct text rest = buf_text(reply->head), line;
    while (text_cut(&rest, '\n', &line))
        if (line.len > 18 && text_is_nocase((struct text){line.at, 18}, "Transfer-Encoding:")) return true;
    return false;
}

static void check(const struct http_reply *reply, const struct input *input) {
    int64_t length = check_head(reply);
    bool bodyless = input->to_head || reply->code == 204 || reply->code == 304;
    HOLDS(reply->flaw == HTTP_REPLY_FINE && reply->code >= 200 && reply->code <= 999);
    HOLDS(reply->body->len <= BODY_MAX && !reply->head->full && !reply->body->full);
    if (bodyless) HOLDS(reply->body->len == 0);
    else if (!is_chunked(reply) && length >= 0) HOLDS(reply->body->len == (size_t)length);
    else if (!is_chunked(reply)) HOLDS(input->ends && !reply->may_reuse);
    if (!bodyless && is_chunked(reply) && length >= 0) HOLDS(!reply->may_reuse);
    if (input->ends) HOLDS(!reply->may_reuse);
}

static void write_whole(struct buf *out, const struct http_reply *reply, size_t left) {
    buf_addf(out, "%d %d %zu\n", reply->code, reply->may_reuse, left);
    buf_addt(out, buf_text(reply->head));
    buf_addt(out, buf_text(reply->body));
}

static void run(const struct input *input, struct text cuts, struct buf *out) {
    struct http_reply reply;
    struct buf head, fields, body;
    enum http_reply_state state = HTTP_REPLY_MORE;
    struct text stream = input->stream;
    size_t left = 0;
    buf_init(&head, HTTP_REPLY_HEAD_ROOM);
    buf_init(&fields, HTTP_REPLY_FIELDS_ROOM);
    buf_init(&body, BODY_MAX);
    http_reply_begin(&reply, &head, &fields, &body, input->to_head);
    for (size_t i = 0; stream.len; i++) {
        size_t n = cuts.len ? 1 + (size_t)(uint8_t)cuts.at[i < cuts.len ? i : cuts.len - 1] : stream.len;
        if (n > stream.len) n = stream.len;
        char *at = mem_alloc(n); /* its own block, so that ASan sees a read beyond it */
        memcpy(at, stream.at, n);
        struct text piece = {at, n};
        state = http_reply_push(&reply, &piece);
        HOLDS(state != HTTP_REPLY_MORE || piece.len == 0);
        left += piece.len;
        mem_free(at);
        stream.at += n;
        stream.len -= n;
    }
    if (input->ends) state = http_reply_end(&reply);
    if (state == HTTP_REPLY_WHOLE) {
        check(&reply, input);
        write_whole(out, &reply, left);
    }
    HOLDS((state == HTTP_REPLY_BROKEN) == (reply.flaw != HTTP_REPLY_FINE));
    buf_addf(out, "%d %d\n", (int)state, (int)reply.flaw);
    buf_fini(&head);
    buf_fini(&fields);
    buf_fini(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    size_t cuts = data[1] < size - 2 ? data[1] : size - 2;
    struct input input = {.to_head = data[0] & 1,
                          .ends = data[0] & 2,
                          .cuts = {(const char *)data + 2, cuts},
                          .stream = {(const char *)data + 2 + cuts, size - 2 - cuts}};
    struct buf whole, split;
    buf_init(&whole, 1 << 24);
    buf_init(&split, 1 << 24);
    run(&input, (struct text){0}, &whole);
    run(&input, input.cuts, &split);
    HOLDS(text_same(buf_text(&whole), buf_text(&split)));
    buf_fini(&whole);
    buf_fini(&split);
    return 0;
}
