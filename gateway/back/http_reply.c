/* A reply: a machine that eats a connection's bytes and gives one whole reply, or why it is none.
 *
 * A line is gathered behind `head`: those of a head stay there, those of chunks and trailers are cut off again. A
 * header is taken apart once, as its line comes; what its value means is asked when the head is whole, for lines that
 * fold may follow. Each step below takes what it can from the input and says GO (the next step may run), a state, or
 * that it wants more. A decision is made from a whole line, or from a length that no continuation can bring back below
 * its limit: that is why any split of the stream gives the same. Lengths are judged before contents for the same
 * reason.
 *
 * Where RFC 9112 lets a client repair or refuse, what says where a reply ends is refused, for who repairs it otherwise
 * reads another reply; the rest is taken as libcurl 7.88.1 took it. tests/unit/test_http_reply.c has each case. */
#include "back/http_reply.h"

#include <assert.h>
#include <string.h>

#define CHUNK_LINE_MAX 4096
#define CHUNK_DIGITS_MAX 16
#define VERSION_LEN 7 /* "HTTP/1." */

enum { GO = -1 }; /* beside enum http_reply_state */

enum step {
    STEP_STATUS_LINE,
    STEP_FIELD,
    STEP_LENGTH,
    STEP_UNTIL_END,
    STEP_CHUNK_SIZE,
    STEP_CHUNK_DATA,
    STEP_CHUNK_END,
    STEP_TRAILER,
    STEP_WHOLE,
    STEP_BROKEN
};

static int broken(struct http_reply *reply, enum http_reply_flaw flaw) {
    reply->step = STEP_BROKEN;
    reply->flaw = flaw;
    reply->may_reuse = false;
    return HTTP_REPLY_BROKEN;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* ---- lines ---- */

enum line { LINE_WAITS, LINE_WHOLE, LINE_LONG };

/* The next line with its line end, of at most `max` bytes. */
static inline enum line line_take(struct http_reply *reply, struct text *input, size_t max, struct text *ret_line) {
    struct buf *head = reply->head;
    if (input->len == 0) return LINE_WAITS;
    const char *end = memchr(input->at, '\n', input->len);
    size_t n = end ? (size_t)(end - input->at) + 1 : input->len;
    if (head->len - reply->line_at + n > max) return LINE_LONG;
    buf_add(head, input->at, n);
    text_skip(input, n);
    if (!end) return LINE_WAITS;
    *ret_line = (struct text){head->at + reply->line_at, head->len - reply->line_at};
    return LINE_WHOLE;
}

static void line_drop(struct http_reply *reply) {
    reply->head->len = reply->line_at;
}

static size_t less(size_t a, size_t b) {
    return a > b ? a - b : 0;
}

/* A line of a head or of trailers, its end taken off: LF alone is one too (RFC 9112, 2.2). */
static int head_line_take(struct http_reply *reply, struct text *input, struct text *ret_line) {
    size_t left = less(HTTP_REPLY_HEAD_MAX, reply->head_bytes);
    switch (line_take(reply, input, left < HTTP_REPLY_LINE_MAX ? left : HTTP_REPLY_LINE_MAX, ret_line)) {
    case LINE_WAITS: return HTTP_REPLY_MORE;
    case LINE_LONG:
        return broken(reply, left < HTTP_REPLY_LINE_MAX ? HTTP_REPLY_TOO_MANY_HEADERS : HTTP_REPLY_LONG_LINE);
    case LINE_WHOLE: break;
    }
    reply->head_bytes += ret_line->len;
    ret_line->len--;
    if (ret_line->len && ret_line->at[ret_line->len - 1] == '\r') ret_line->len--;
    return GO;
}

/* RFC 9112, 2.2, and 9110, 5.5. Other control characters are made blanks later. */
static bool is_poisoned(struct http_reply *reply, struct text line) {
    if (text_plain_check(line)) return false;
    reply->is_plain = false;
    return memchr(line.at, 0, line.len) || memchr(line.at, '\r', line.len);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The line stays in the head, without blanks at its end. */
static void line_keep(struct http_reply *reply, struct text line) {
    struct buf *head = reply->head;
    while (line.len && is_blank(line.at[line.len - 1])) line.len--;
    const char *end = line.at + line.len;
    if (end + 2 < head->at + head->len || *end != '\r') { /* else it ends as it should */
        head->len = reply->line_at + line.len;
        buf_add(head, "\r\n", 2);
    }
    reply->line_at = head->len;
}

static bool is_folded(struct text line) {
    return line.len && is_blank(line.at[0]);
}

/* ---- headers that frame the body ---- */

/* Said twice, it has to be the same (RFC 9110, 8.6; of a list in one line nothing is believed). */
static bool take_length(struct http_reply *reply, struct text value) {
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.at[i])) return false;
        uint64_t digit = (uint64_t)(value.at[i] - '0');
        length = length > (UINT64_MAX - digit) / 10 ? UINT64_MAX : length * 10 + digit;
    }
    if (value.len == 0 || (reply->has_length && reply->length != length)) return false;
    reply->has_length = true;
    reply->length = length;
    return true;
}

/* Chunked, once: any other coding is one that no request of ours allows (RFC 9112, 7.4). */
static bool take_coding(struct http_reply *reply, struct text value) {
    if (reply->is_chunked || !text_is_nocase(value, "chunked")) return false;
    reply->is_chunked = true;
    return true;
}

static bool take_connection(struct http_reply *reply, struct text value) {
    struct text option;
    while (text_cut(&value, ',', &option)) {
        option = text_trim(option);
        if (text_is_nocase(option, "close")) reply->says_close = true;
        if (text_is_nocase(option, "keep-alive")) reply->says_keep_alive = true;
    }
    return true;
}

#define FRAMING(name, take) [sizeof name - 1] = {name, take}

/* By the lengths of their names. */
static const struct {
    const char *name;
    bool (*take)(struct http_reply *, struct text value);
} framing[] = {
    FRAMING("Content-Length", take_length),
    FRAMING("Transfer-Encoding", take_coding),
    FRAMING("Connection", take_connection),
};

/* ---- headers ---- */

/* The name of a line that is taken apart, which ends at its colon. */
static bool field_begin(struct text line, size_t *ret_name_len) {
    *ret_name_len = text_token_length(line);
    return *ret_name_len > 0 && *ret_name_len < line.len && line.at[*ret_name_len] == ':';
}

/* Where the value begins that reaches from there to the end of the last line that was kept. */
static size_t value_begin(const struct http_reply *reply, size_t at) {
    const char *head = reply->head->at;
    while (at < reply->line_at - 2 && is_blank(head[at])) at++;
    return at;
}

static bool field_add(struct http_reply *reply, struct text line) {
    size_t name_len, name_at = reply->line_at;
    if (!field_begin(line, &name_len)) return false;
    line_keep(reply, line);
    size_t at = value_begin(reply, name_at + name_len + 1);
    struct http_reply_field field = {(unsigned)name_at, (unsigned)name_len, (unsigned)at,
                                     (unsigned)(reply->line_at - 2 - at)};
    buf_add(reply->fields, &field, sizeof field);
    reply->header_count++;
    return true;
}

/* RFC 9112, 5.2: one space in place of what folds. */
static void field_join(struct http_reply *reply, struct text line) {
    struct buf *head = reply->head, *fields = reply->fields;
    struct text rest = text_trim(line);
    char *at = head->at + reply->line_at - 2;
    *at = ' ';
    memmove(at + 1, rest.at, rest.len);
    reply->line_at = (size_t)(at - head->at);
    line_keep(reply, (struct text){at, rest.len + 1});
    struct http_reply_field last = http_reply_field(reply, reply->header_count - 1);
    last.value_at = (unsigned)value_begin(reply, last.value_at);
    last.value_len = (unsigned)(reply->line_at - 2 - last.value_at);
    memcpy(fields->at + fields->len - sizeof last, &last, sizeof last);
}

static bool fields_take(struct http_reply *reply) {
    const char *head = reply->head->at;
    for (unsigned i = 0; i < reply->header_count; i++) {
        struct http_reply_field field = http_reply_field(reply, i);
        size_t kind = field.name_len;
        if (kind >= sizeof framing / sizeof framing[0] || !framing[kind].name) continue;
        if (strncasecmp(head + field.name_at, framing[kind].name, kind) != 0) continue;
        if (!framing[kind].take(reply, (struct text){head + field.value_at, field.value_len})) return false;
    }
    return true;
}

/* ---- a head, whole ---- */

static int whole(struct http_reply *reply) {
    reply->step = STEP_WHOLE;
    return GO;
}

static int body_begin(struct http_reply *reply) {
    bool stays = !reply->says_close && (reply->minor == 1 || reply->says_keep_alive);
    if (reply->to_head || reply->code == 304) {
        reply->may_reuse = stays;
        return whole(reply);
    }
    if (reply->code == 204) { /* what announces a body may send one */
        reply->may_reuse = stays && !reply->is_chunked && reply->length == 0;
        return whole(reply);
    }
    if (reply->is_chunked) { /* RFC 9112, 6.1: a length beside chunks, or chunks in HTTP/1.0, are not to be trusted */
        reply->may_reuse = stays && !reply->has_length && reply->minor == 1;
        reply->step = STEP_CHUNK_SIZE;
        return GO;
    }
    if (!reply->has_length) {
        reply->step = STEP_UNTIL_END;
        return GO;
    }
    if (reply->length > reply->body->max) return broken(reply, HTTP_REPLY_TOO_LARGE);
    reply->may_reuse = stays;
    reply->left = reply->length;
    reply->step = STEP_LENGTH;
    return GO;
}

static void head_begin(struct http_reply *reply) {
    buf_clear(reply->head);
    buf_clear(reply->fields);
    reply->step = STEP_STATUS_LINE;
    reply->is_plain = true;
    reply->line_at = 0;
    reply->header_count = 0;
    reply->length = 0;
    reply->is_chunked = reply->has_length = reply->says_close = reply->says_keep_alive = false;
}

static int head_end(struct http_reply *reply) {
    if (!fields_take(reply)) return broken(reply, HTTP_REPLY_BAD_HEAD);
    if (reply->code >= 200) return body_begin(reply);
    head_begin(reply);
    return GO;
}

/* ---- its lines ---- */

/* RFC 9112, 4; the blank before a reason that is empty may lack. */
static bool status_line_read(struct http_reply *reply, struct text line) {
    const char *at = line.at;
    if (line.len < 12 || (at[7] != '0' && at[7] != '1') || at[8] != ' ') return false;
    if (at[9] < '1' || at[9] > '9' || !is_digit(at[10]) || !is_digit(at[11])) return false;
    if (line.len > 12 && at[12] != ' ') return false;
    reply->minor = at[7] - '0';
    reply->code = (at[9] - '0') * 100 + (at[10] - '0') * 10 + at[11] - '0';
    return reply->code != 101;
}

static int step_status_line(struct http_reply *reply, struct text *input) {
    struct text line;
    size_t lacks = less(VERSION_LEN, reply->head->len), n = input->len < lacks ? input->len : lacks;
    if (n && memcmp(input->at, &"HTTP/1."[VERSION_LEN - lacks], n) != 0) return broken(reply, HTTP_REPLY_NOT_HTTP);
    int said = head_line_take(reply, input, &line);
    if (said != GO) return said;
    if (!status_line_read(reply, line)) return broken(reply, HTTP_REPLY_NOT_HTTP);
    if (is_poisoned(reply, line)) return broken(reply, HTTP_REPLY_BAD_HEAD);
    line_keep(reply, line);
    reply->step = STEP_FIELD;
    return GO;
}

static int step_field(struct http_reply *reply, struct text *input) {
    struct text line;
    int said = head_line_take(reply, input, &line);
    if (said != GO) return said;
    if (is_poisoned(reply, line)) return broken(reply, HTTP_REPLY_BAD_HEAD);
    if (is_folded(line)) {
        if (reply->header_count == 0) return broken(reply, HTTP_REPLY_BAD_HEAD);
        field_join(reply, line);
        return GO;
    }
    if (line.len == 0) {
        line_keep(reply, line);
        return head_end(reply);
    }
    if (reply->header_count == HTTP_REPLY_HEADERS_MAX) return broken(reply, HTTP_REPLY_TOO_MANY_HEADERS);
    return field_add(reply, line) ? GO : broken(reply, HTTP_REPLY_BAD_HEAD);
}

/* ---- the body ---- */

static bool body_move(struct http_reply *reply, struct text *input) {
    size_t n = input->len < reply->left ? input->len : (size_t)reply->left;
    buf_add(reply->body, input->at, n);
    text_skip(input, n);
    reply->left -= n;
    return reply->left == 0;
}

static int step_length(struct http_reply *reply, struct text *input) {
    return body_move(reply, input) ? whole(reply) : HTTP_REPLY_MORE;
}

static int step_until_end(struct http_reply *reply, struct text *input) {
    buf_addt(reply->body, *input);
    text_skip(input, input->len);
    return reply->body->full ? broken(reply, HTTP_REPLY_TOO_LARGE) : HTTP_REPLY_MORE;
}

/* chunk-size, and the extensions behind it (RFC 9112, 7.1), which mean nothing to anybody and are dropped. */
static int chunk_size_read(struct http_reply *reply, struct text line) {
    uint64_t size = 0;
    size_t digits = 0;
    for (; digits < line.len && text_hex_value(line.at[digits]) >= 0; digits++)
        size = size << 4 | (uint64_t)text_hex_value(line.at[digits]);
    struct text rest = text_trim((struct text){line.at + digits, line.len - digits});
    if (digits == 0 || digits > CHUNK_DIGITS_MAX || (rest.len && rest.at[0] != ';') || !text_field_check(rest))
        return broken(reply, HTTP_REPLY_BAD_CHUNKS);
    if (size > reply->body->max - reply->body->len) return broken(reply, HTTP_REPLY_TOO_LARGE);
    reply->left = size;
    reply->step = size ? STEP_CHUNK_DATA : STEP_TRAILER;
    return GO;
}

/* A line of the frames, which end with CRLF and nothing else. */
static int chunk_line_take(struct http_reply *reply, struct text *input, size_t max, struct text *ret_line) {
    switch (line_take(reply, input, max, ret_line)) {
    case LINE_WAITS: return HTTP_REPLY_MORE;
    case LINE_LONG: return broken(reply, HTTP_REPLY_BAD_CHUNKS);
    case LINE_WHOLE: break;
    }
    line_drop(reply);
    if (ret_line->len < 2 || ret_line->at[ret_line->len - 2] != '\r') return broken(reply, HTTP_REPLY_BAD_CHUNKS);
    ret_line->len -= 2;
    return GO;
}

static int step_chunk_size(struct http_reply *reply, struct text *input) {
    struct text line;
    int said = chunk_line_take(reply, input, CHUNK_LINE_MAX, &line);
    return said == GO ? chunk_size_read(reply, line) : said;
}

static int step_chunk_data(struct http_reply *reply, struct text *input) {
    if (!body_move(reply, input)) return HTTP_REPLY_MORE;
    reply->step = STEP_CHUNK_END;
    return GO;
}

static int step_chunk_end(struct http_reply *reply, struct text *input) {
    struct text line;
    int said = chunk_line_take(reply, input, 2, &line);
    if (said == GO) reply->step = STEP_CHUNK_SIZE;
    return said;
}

/* Checked and dropped: merging trailers into the head could change what was already decided from it. */
static int step_trailer(struct http_reply *reply, struct text *input) {
    struct text line;
    size_t name_len;
    int said = head_line_take(reply, input, &line);
    if (said != GO) return said;
    line_drop(reply);
    if (line.len == 0) return whole(reply);
    if (is_poisoned(reply, line)) return broken(reply, HTTP_REPLY_BAD_HEAD);
    if (is_folded(line)) return reply->trailer_count ? GO : broken(reply, HTTP_REPLY_BAD_HEAD);
    if (++reply->trailer_count > HTTP_REPLY_HEADERS_MAX) return broken(reply, HTTP_REPLY_TOO_MANY_HEADERS);
    return field_begin(line, &name_len) ? GO : broken(reply, HTTP_REPLY_BAD_HEAD);
}

/* ---- the whole ---- */

static int step_whole(struct http_reply *reply, struct text *input) {
    if (input->len) reply->may_reuse = false;
    return HTTP_REPLY_WHOLE;
}

static int step_broken(struct http_reply *reply, struct text *input) {
    (void)reply, (void)input;
    return HTTP_REPLY_BROKEN;
}

static int (*const steps[])(struct http_reply *, struct text *) = {
    [STEP_STATUS_LINE] = step_status_line, [STEP_FIELD] = step_field,           [STEP_LENGTH] = step_length,
    [STEP_UNTIL_END] = step_until_end,     [STEP_CHUNK_SIZE] = step_chunk_size, [STEP_CHUNK_DATA] = step_chunk_data,
    [STEP_CHUNK_END] = step_chunk_end,     [STEP_TRAILER] = step_trailer,       [STEP_WHOLE] = step_whole,
    [STEP_BROKEN] = step_broken,
};

enum http_reply_state http_reply_push(struct http_reply *reply, struct text *input) {
    int said = GO;
    while (said == GO) said = steps[reply->step](reply, input);
    return (enum http_reply_state)said;
}

enum http_reply_state http_reply_end(struct http_reply *reply) {
    switch ((enum step)reply->step) {
    case STEP_WHOLE: break;
    case STEP_UNTIL_END: reply->step = STEP_WHOLE; break;
    case STEP_BROKEN: return HTTP_REPLY_BROKEN;
    default: broken(reply, reply->head->len ? HTTP_REPLY_ENDED_EARLY : HTTP_REPLY_NO_REPLY); return HTTP_REPLY_BROKEN;
    }
    reply->may_reuse = false;
    return HTTP_REPLY_WHOLE;
}

void http_reply_begin(struct http_reply *reply, struct buf *head, struct buf *fields, struct buf *body, bool to_head) {
    assert(head->max >= HTTP_REPLY_HEAD_ROOM && fields->max >= HTTP_REPLY_FIELDS_ROOM);
    *reply = (struct http_reply){.head = head, .fields = fields, .body = body, .to_head = to_head};
    buf_clear(body);
    head_begin(reply);
}
