/* The guard: a machine that eats a connection's bytes and gives whole requests or one refusal.
 *
 * It stands in the place of libevhtp's parser because that is unsafe on raw bytes (split URIs get bytes from beyond the
 * buffer, requests can be smuggled past it, malformed ones get no answer). So libevhtp is shown neither head nor body
 * of a client, and nothing that was made of them: a canonical copy would be safe as far as we know that parser, yet all
 * that it could say of it is known here already.
 *
 * Each step below takes what it can from the input and says GO (the next step may run), an event, or that it wants
 * more. A decision is made from a whole line, or from a length that no continuation can bring back below its limit:
 * that is why any split of the stream gives the same events. Lengths are judged before contents for the same reason.
 * Strictness follows RFC 9112 and RFC 9110; where they let a server choose between repairing and refusing, it refuses:
 * two parties that repair differently are how requests get smuggled.
 *
 * Always holds: request is set from the first line until guard_take; a refused guard never leaves STEP_REFUSED. */
#include "front/guard.h"

#include <assert.h>
#include <string.h>

#define BLANK_LINES_MAX 2 /* before a request line; RFC 9112, 2.2 asks for at least one */
#define CHUNK_LINE_MAX 256
#define CHUNK_DIGITS_MAX 8
#define EXTENSION_BYTES_MAX 4096
#define LENGTH_DIGITS_MAX 18
#define REQUEST_BYTES 1952   /* what most take, until they are answered */
#define LINE_KEEP_BYTES 1024 /* a line buffer larger than this is not kept while the connection idles */

enum { GO = -1 }; /* beside enum guard_event */

enum step {
    STEP_START,
    STEP_REQUEST_LINE,
    STEP_FIELD,
    STEP_BODY,
    STEP_CHUNK_SIZE,
    STEP_CHUNK_DATA,
    STEP_CHUNK_END,
    STEP_TRAILER,
    STEP_DONE,
    STEP_REFUSED
};

static int refuse(struct guard *guard, int status, const char *what) {
    guard->step = STEP_REFUSED;
    guard->refusal_status = status;
    guard->refusal = what;
    return GUARD_REFUSED;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static struct text trim_blanks(struct text t) {
    while (t.len && (t.at[0] == ' ' || t.at[0] == '\t')) t.at++, t.len--;
    while (t.len && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\t')) t.len--;
    return t;
}

static struct text keep(struct guard *guard, struct text t) {
    return (struct text){arena_strndup(guard->request->arena, t.at ? t.at : "", t.len), t.len};
}

/* ---- lines ---- */

enum line { LINE_WAITS, LINE_WHOLE, LINE_LONG, LINE_BARE };

/* The next line without its CRLF, of at most `max` bytes. It is good until the next call. */
static enum line line_take(struct guard *guard, struct text *input, size_t max, struct text *ret_line) {
    if (guard->line_spent) {
        buf_clear(&guard->line);
        guard->line_spent = false;
    }
    const char *end = input->len ? memchr(input->at, '\n', input->len) : NULL;
    size_t n = end ? (size_t)(end - input->at) + 1 : input->len;
    if (guard->line.len + n > max + (end ? 2 : 1)) return LINE_LONG;
    struct text line = {input->at, n};
    text_skip(input, n);
    if (!end || guard->line.len) {
        guard->line.max = max + 2;
        buf_addt(&guard->line, line);
        line = buf_text(&guard->line);
    }
    if (!end) return LINE_WAITS;
    guard->line_spent = true;
    if (line.len < 2 || line.at[line.len - 2] != '\r') return LINE_BARE;
    *ret_line = (struct text){line.at, line.len - 2};
    return LINE_WHOLE;
}

static int refuse_bare(struct guard *guard) {
    return refuse(guard, 400, "A line ends with a line feed alone; HTTP lines end with CR LF");
}

/* ---- the request line ---- */

static int step_start(struct guard *guard, struct text *input) {
    bool blank = guard->line.len && !guard->line_spent; /* a CR has come */
    if (!blank && input->len == 0) return GUARD_MORE;
    if (!blank && input->at[0] != '\r' && input->at[0] != '\n') {
        if (!text_token_char(input->at[0]))
            return refuse(guard, 400, "The connection does not begin with an HTTP request");
        guard->step = STEP_REQUEST_LINE;
        return GO;
    }
    struct text line;
    switch (line_take(guard, input, 0, &line)) {
    case LINE_WAITS: return GUARD_MORE;
    case LINE_LONG: return refuse(guard, 400, "The connection does not begin with an HTTP request");
    case LINE_BARE: return refuse_bare(guard);
    case LINE_WHOLE: break;
    }
    if (++guard->blank_lines > BLANK_LINES_MAX)
        return refuse(guard, 400, "There are too many empty lines before the request");
    return GO;
}

static struct guard_request *request_new(void) {
    struct arena *arena = arena_new_for(REQUEST_BYTES);
    struct guard_request *request = arena_new_of(arena, struct guard_request);
    request->arena = arena;
    return request;
}

static int take_version(struct guard *guard, struct text version) {
    if (version.len != 8 || !text_starts(version, "HTTP/") || !is_digit(version.at[5]) || version.at[6] != '.' ||
        !is_digit(version.at[7]))
        return refuse(guard, 400, "The request line is not a method, a target and an HTTP version");
    if (version.at[5] != '1' || version.at[7] > '1')
        return refuse(guard, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here");
    guard->request->minor = version.at[7] - '0';
    return GO;
}

static int take_method(struct guard *guard, struct text method) {
    static const struct text words[] = {
#define X(word) TEXT(#word),
        HTTP_METHODS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!text_same(method, words[i])) continue;
        guard->request->method = (enum http_method)i;
        return GO;
    }
    if (!text_token_check(method)) return refuse(guard, 400, "The request's method is not a token");
    return refuse(guard, 501, "The request's method is not one that is known here");
}

static bool is_authority(struct text t) {
    static const bool others[256] = {
        [':'] = true, ['['] = true, [']'] = true, ['('] = true, [')'] = true, [','] = true, [';'] = true, ['='] = true};
    for (size_t i = 0; i < t.len; i++) {
        i += text_token_length((struct text){t.at + i, t.len - i});
        if (i < t.len && !others[(unsigned char)t.at[i]]) return false;
    }
    return true;
}

/* absolute-form (RFC 9112, 3.2.2): its authority counts instead of Host, and neither matters here. False: it is not. */
static bool cut_authority(struct text *target) {
    struct text rest = *target;
    if (rest.len > 7 && text_is_nocase((struct text){rest.at, 7}, "http://")) text_skip(&rest, 7);
    else if (rest.len > 8 && text_is_nocase((struct text){rest.at, 8}, "https://")) text_skip(&rest, 8);
    else return false;
    size_t n = 0;
    while (n < rest.len && rest.at[n] != '/' && rest.at[n] != '?') n++;
    if (n == 0 || !is_authority((struct text){rest.at, n})) return false;
    text_skip(&rest, n);
    *target = rest;
    return true;
}

static bool is_target_char(char c) {
    static const bool chars[256] = {['!'] = true, ['$' ... ';'] = true, ['='] = true, ['?' ... '~'] = true};
    return chars[(unsigned char)c];
}

static int take_target(struct guard *guard, struct text target) {
    struct guard_request *request = guard->request;
    for (size_t i = 0; i < target.len; i++)
        if (!is_target_char(target.at[i]))
            return refuse(guard, 400, "The request's target has a character that must be percent-encoded");
    if (text_is(target, "*")) {
        if (request->method == HTTP_OPTIONS)
            return refuse(guard, 501, "OPTIONS for the whole server is not known here");
        return refuse(guard, 400, "The request's target is not a path");
    }
    request->target = target = keep(guard, target);
    if ((target.len == 0 || target.at[0] != '/') && !cut_authority(&target))
        return refuse(guard, 400, "The request's target is not a path");
    struct text rest = target;
    if (!text_cut(&rest, '?', &request->path)) request->path = (struct text){0};
    request->query = rest;
    if (request->path.len == 0) request->path = TEXT("/");
    return GO;
}

static int step_request_line(struct guard *guard, struct text *input) {
    size_t max = guard->limits->max_head_bytes < GUARD_LINE_MAX ? guard->limits->max_head_bytes : GUARD_LINE_MAX;
    struct text line, method, target;
    switch (line_take(guard, input, max, &line)) {
    case LINE_WAITS: return GUARD_MORE;
    case LINE_LONG: return refuse(guard, 414, "The request line is longer than is accepted here");
    case LINE_BARE: return refuse_bare(guard);
    case LINE_WHOLE: break;
    }
    guard->head_bytes = line.len + 2;
    guard->request = request_new();
    guard->last_header = &guard->request->headers;
    if (!text_field_check(line)) return refuse(guard, 400, "The request line has a control character");
    if (!text_cut(&line, ' ', &method) || !text_cut(&line, ' ', &target) || !line.at)
        return refuse(guard, 400, "The request line is not a method, a target and an HTTP version");
    int said = take_version(guard, line);
    if (said == GO) said = take_method(guard, method);
    if (said == GO) said = take_target(guard, target);
    if (said == GO) guard->step = STEP_FIELD;
    return said;
}

/* ---- fields that frame the message ---- */

static int take_host(struct guard *guard, struct text value) {
    if (guard->hosts++) return refuse(guard, 400, "There is more than one Host field");
    if (!is_authority(value)) return refuse(guard, 400, "The Host field is not a host");
    return GO;
}

static int take_length(struct guard *guard, struct text value) {
    if (guard->lengths++) return refuse(guard, 400, "There is more than one Content-Length field");
    for (size_t i = 0; i < value.len; i++)
        if (!is_digit(value.at[i])) return refuse(guard, 400, "The Content-Length field is not a number");
    if (value.len == 0) return refuse(guard, 400, "The Content-Length field is not a number");
    if (value.len > LENGTH_DIGITS_MAX) return refuse(guard, 413, "The request's body is larger than is accepted here");
    int64_t length = 0;
    if (!text_to_int(value, &length)) return refuse(guard, 400, "The Content-Length field is not a number");
    guard->left = (uint64_t)length;
    return GO;
}

static int take_coding(struct guard *guard, struct text value) {
    if (guard->codings++) return refuse(guard, 400, "There is more than one Transfer-Encoding field");
    if (guard->request->minor == 0) return refuse(guard, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (!text_is_nocase(value, "chunked")) return refuse(guard, 501, "The only transfer coding known here is chunked");
    return GO;
}

static int take_connection(struct guard *guard, struct text value) {
    struct text option;
    while (text_cut(&value, ',', &option)) {
        option = trim_blanks(option);
        if (text_is_nocase(option, "close")) guard->says_close = true;
        if (text_is_nocase(option, "keep-alive")) guard->says_keep_alive = true;
    }
    return GO;
}

static int take_expect(struct guard *guard, struct text value) {
    if (guard->expects++ || !text_is_nocase(value, "100-continue"))
        return refuse(guard, 417, "The only expectation known here is 100-continue");
    return GO;
}

static int (*const framing[HTTP_HEADER_END])(struct guard *, struct text value) = {
    [HTTP_HEADER_HOST] = take_host,
    [HTTP_HEADER_CONTENT_LENGTH] = take_length,
    [HTTP_HEADER_TRANSFER_ENCODING] = take_coding,
    [HTTP_HEADER_CONNECTION] = take_connection,
    [HTTP_HEADER_EXPECT] = take_expect,
};

/* ---- the head's fields ---- */

static int field_split(struct guard *guard, struct text line, struct text *ret_name, struct text *ret_value) {
    if (line.at[0] == ' ' || line.at[0] == '\t')
        return refuse(guard, 400, "A header field is folded over several lines, or begins with a blank");
    size_t n = text_token_length(line);
    if (n == 0 || n == line.len || line.at[n] != ':') {
        if (!memchr(line.at, ':', line.len)) return refuse(guard, 400, "A header field has no colon");
        return refuse(guard, 400, "A header field's name is empty, or has a character that is not allowed in it");
    }
    *ret_name = (struct text){line.at, n};
    text_skip(&line, n + 1);
    if (!text_field_check(line)) return refuse(guard, 400, "A header field has a control character");
    *ret_value = trim_blanks(line);
    return GO;
}

/* The line is kept as it came, with NULs for the colon and for what is behind the value. */
static struct guard_header *header_new(struct guard *guard, struct text line, struct text name, struct text value) {
    struct guard_header *header = arena_alloc(guard->request->arena, sizeof *header + line.len + 1);
    size_t at = (size_t)(value.at - line.at);
    memcpy(header->line, line.at, line.len);
    header->line[name.len] = header->line[at + value.len] = 0;
    header->name = (struct text){header->line, name.len};
    header->value = (struct text){header->line + at, value.len};
    return header;
}

static int field_take(struct guard *guard, struct text line) {
    struct text name, value;
    int said = field_split(guard, line, &name, &value);
    if (said != GO) return said;
    struct guard_header *header = header_new(guard, line, name, value);
    *guard->last_header = header;
    guard->last_header = &header->next;
    enum http_header known = http_header_of(name);
    if (known == HTTP_HEADER_END) return GO;
    if (!guard->request->known[known]) guard->request->known[known] = header->value.at;
    return framing[known] ? framing[known](guard, header->value) : GO;
}

static int head_end(struct guard *guard) {
    struct guard_request *request = guard->request;
    if (request->minor == 1 && guard->hosts == 0) return refuse(guard, 400, "There is no Host field");
    if (guard->lengths && guard->codings)
        return refuse(guard, 400, "There are both a Content-Length and a Transfer-Encoding field");
    if (guard->left > guard->limits->max_body_bytes)
        return refuse(guard, 413, "The request's body is larger than is accepted here");
    request->keep_alive = !guard->says_close && (request->minor == 1 || guard->says_keep_alive);
    guard->step = guard->codings ? STEP_CHUNK_SIZE : guard->left ? STEP_BODY : STEP_DONE;
    buf_init(&guard->body, guard->limits->max_body_bytes);
    bool waits = guard->expects && request->minor == 1 && guard->step != STEP_DONE;
    return waits ? GUARD_CONTINUE : GO;
}

static size_t less(size_t a, size_t b) {
    return a > b ? a - b : 0;
}

static int step_field(struct guard *guard, struct text *input) {
    struct text line;
    switch (line_take(guard, input, less(guard->limits->max_head_bytes, guard->head_bytes + 2), &line)) {
    case LINE_WAITS: return GUARD_MORE;
    case LINE_LONG: return refuse(guard, 431, "The request's head is larger than is accepted here");
    case LINE_BARE: return refuse_bare(guard);
    case LINE_WHOLE: break;
    }
    guard->head_bytes += line.len + 2;
    if (line.len == 0) return head_end(guard);
    if (++guard->header_count > guard->limits->max_headers)
        return refuse(guard, 431, "The request has more header fields than are accepted here");
    return field_take(guard, line);
}

/* ---- the body ---- */

static bool body_move(struct guard *guard, struct text *input) {
    size_t n = input->len < guard->left ? input->len : (size_t)guard->left;
    if (n == 0) return guard->left == 0;
    buf_add(&guard->body, input->at, n);
    text_skip(input, n);
    guard->left -= n;
    return guard->left == 0;
}

/* Most bodies come in one piece. */
static bool body_keep(struct guard *guard, struct text *input) {
    if (guard->body.len || input->len < guard->left) return false;
    guard->request->body = keep(guard, (struct text){input->at, (size_t)guard->left});
    text_skip(input, (size_t)guard->left);
    guard->left = 0;
    return true;
}

static int step_body(struct guard *guard, struct text *input) {
    if (!body_keep(guard, input) && !body_move(guard, input)) return GUARD_MORE;
    guard->step = STEP_DONE;
    return GO;
}

/* chunk-size and the extensions behind it (RFC 9112, 7.1), which mean nothing to anybody and are dropped. */
static int chunk_size_take(struct guard *guard, struct text line) {
    uint64_t size = 0;
    size_t digits = 0;
    while (digits < line.len && text_hex_value(line.at[digits]) >= 0) {
        if (digits == CHUNK_DIGITS_MAX)
            return refuse(guard, 413, "A chunk of the body is larger than is accepted here");
        size = size * 16 + (uint64_t)text_hex_value(line.at[digits++]);
    }
    struct text extension = trim_blanks((struct text){line.at + digits, line.len - digits});
    if (digits == 0 || (digits < line.len && (extension.len == 0 || extension.at[0] != ';')) ||
        !text_field_check(extension))
        return refuse(guard, 400, "A chunk of the body does not begin with its size");
    guard->extension_bytes += line.len - digits;
    if (guard->extension_bytes > EXTENSION_BYTES_MAX)
        return refuse(guard, 400, "The body's chunks have too many extensions");
    if (size > guard->limits->max_body_bytes - guard->body.len)
        return refuse(guard, 413, "The request's body is larger than is accepted here");
    guard->left = size;
    guard->step = size ? STEP_CHUNK_DATA : STEP_TRAILER;
    return GO;
}

static int step_chunk_size(struct guard *guard, struct text *input) {
    struct text line;
    switch (line_take(guard, input, CHUNK_LINE_MAX, &line)) {
    case LINE_WAITS: return GUARD_MORE;
    case LINE_LONG: return refuse(guard, 400, "A chunk of the body does not begin with its size");
    case LINE_BARE: return refuse_bare(guard);
    case LINE_WHOLE: break;
    }
    return chunk_size_take(guard, line);
}

static int step_chunk_data(struct guard *guard, struct text *input) {
    if (!body_move(guard, input)) return GUARD_MORE;
    guard->step = STEP_CHUNK_END;
    return GO;
}

static int step_chunk_end(struct guard *guard, struct text *input) {
    struct text line;
    switch (line_take(guard, input, 0, &line)) {
    case LINE_WAITS: return GUARD_MORE;
    case LINE_LONG: return refuse(guard, 400, "A chunk of the body is longer than its size says");
    case LINE_BARE: return refuse_bare(guard);
    case LINE_WHOLE: break;
    }
    guard->step = STEP_CHUNK_SIZE;
    return GO;
}

/* Trailers are checked and dropped: merging them into the head could change what was already decided from it. */
static int step_trailer(struct guard *guard, struct text *input) {
    struct text line, name, value;
    switch (line_take(guard, input, less(guard->limits->max_head_bytes, guard->trailer_bytes + 2), &line)) {
    case LINE_WAITS: return GUARD_MORE;
    case LINE_LONG: return refuse(guard, 431, "The request's trailers are larger than is accepted here");
    case LINE_BARE: return refuse_bare(guard);
    case LINE_WHOLE: break;
    }
    guard->trailer_bytes += line.len + 2;
    if (line.len) return field_split(guard, line, &name, &value);
    guard->step = STEP_DONE;
    return GO;
}

static int step_done(struct guard *guard, struct text *input) {
    (void)guard, (void)input;
    return GUARD_REQUEST;
}

static int step_refused(struct guard *guard, struct text *input) {
    (void)guard, (void)input;
    return GUARD_REFUSED;
}

static int (*const steps[])(struct guard *, struct text *) = {
    [STEP_START] = step_start,         [STEP_REQUEST_LINE] = step_request_line, [STEP_FIELD] = step_field,
    [STEP_BODY] = step_body,           [STEP_CHUNK_SIZE] = step_chunk_size,     [STEP_CHUNK_DATA] = step_chunk_data,
    [STEP_CHUNK_END] = step_chunk_end, [STEP_TRAILER] = step_trailer,           [STEP_DONE] = step_done,
    [STEP_REFUSED] = step_refused,
};

enum guard_event guard_push(struct guard *guard, struct text *input) {
    int said = GO;
    while (said == GO) said = steps[guard->step](guard, input);
    return (enum guard_event)said;
}

struct guard_request *guard_take(struct guard *guard) {
    assert(guard->step == STEP_DONE);
    struct guard_request *request = guard->request;
    if (guard->body.len) {
        request->body = buf_text(&guard->body);
        arena_defer(request->arena, mem_free, buf_take(&guard->body));
    }
    guard->request = NULL;
    struct buf line = guard->line;
    if (line.cap > LINE_KEEP_BYTES) buf_fini(&line);
    buf_fini(&guard->body);
    guard_init(guard, guard->limits);
    guard->line = line;
    guard->line_spent = true;
    return request;
}

enum guard_phase guard_phase(const struct guard *guard) {
    switch ((enum step)guard->step) {
    case STEP_START: return GUARD_IDLE;
    case STEP_REQUEST_LINE:
    case STEP_FIELD: return GUARD_IN_HEAD;
    case STEP_DONE:
    case STEP_REFUSED: return GUARD_OVER;
    default: return GUARD_IN_BODY;
    }
}

void guard_init(struct guard *guard, const struct guard_limits *limits) {
    *guard = (struct guard){.limits = limits, .step = STEP_START};
}

void guard_fini(struct guard *guard) {
    if (guard->request) arena_free(guard->request->arena);
    buf_fini(&guard->line);
    buf_fini(&guard->body);
    *guard = (struct guard){.limits = guard->limits, .step = STEP_REFUSED};
}
