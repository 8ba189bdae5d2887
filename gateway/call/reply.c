/* What came back, as plain data and as a value for templates and paths.
 *
 * Nothing here judges a reply; that is verdict's. The content type decides nothing: many services send JSON as
 * text/plain, and an error page may call itself JSON. So a body is JSON if it parses as JSON within limits, and its
 * text otherwise. back/transfer makes replies; their sizes are bounded there by max_reply. */
#include "call/reply.h"

#include <strings.h>

#define HEADER_MAX_BYTES (1024 * 1024) /* more than a whole head can have */
#define BODY_MAX_DEPTH 128
#define BODY_MAX_ITEMS 250000 /* a value takes tens of bytes: a reply of some MiB may not become hundreds */

const char *reply_phase_word(enum reply_phase phase) {
    static const char *const words[] = {
#define X(id, word) [REPLY_##id] = word,
        REPLY_PHASES(X)
#undef X
    };
    return words[phase];
}

const char *reply_header(const struct reply *reply, const char *name) {
    for (size_t i = 0; i < reply->header_count; i++)
        if (text_same_nocase(reply->headers[i].name, name)) return reply->headers[i].value;
    return NULL;
}

const struct json *reply_body(struct arena *arena, const struct reply *reply, const struct json_wanted *wanted,
                              bool *ret_is_json) {
    struct text body = reply->body;
    *ret_is_json = reply->value && reply->is_json;
    if (reply->value) return reply->value;
    if (text_starts(body, "\xEF\xBB\xBF")) body.at += 3, body.len -= 3; /* RFC 8259, 8.1 lets a parser ignore it */
    if (body.len == 0) return json_new_null(arena);
    struct json_limits limits = {.max_bytes = body.len, .max_depth = BODY_MAX_DEPTH, .max_items = BODY_MAX_ITEMS};
    const struct json *value = json_parse_wanted(arena, body, &limits, wanted, NULL);
    *ret_is_json = value != NULL;
    return value ? value : json_new_text(arena, body);
}

static const char *lower_case(struct arena *arena, const char *name) {
    char *lower = arena_strdup(arena, name);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    return lower;
}

/* A header that comes several times is one list (RFC 9110, 5.3). */
static const struct json *joined(struct arena *arena, const struct reply *reply, size_t first) {
    struct buf list;
    buf_init(&list, HEADER_MAX_BYTES);
    for (size_t i = first; i < reply->header_count; i++) {
        if (strcasecmp(reply->headers[i].name, reply->headers[first].name) != 0) continue;
        if (i > first) buf_adds(&list, ", ");
        buf_adds(&list, reply->headers[i].value);
    }
    const struct json *value = json_new_text(arena, buf_text(&list));
    buf_fini(&list);
    return value;
}

const struct json *reply_headers(struct arena *arena, const struct reply *reply) {
    struct json *headers = json_new_object(arena);
    for (size_t i = 0; i < reply->header_count; i++) {
        const char *name = lower_case(arena, reply->headers[i].name);
        if (!json_gets(headers, name)) json_set(headers, name, joined(arena, reply, i));
    }
    return headers;
}

const struct json *reply_value(struct arena *arena, const struct reply *reply) {
    bool is_json;
    return reply_value_with(arena, reply, reply_body(arena, reply, NULL, &is_json), true);
}

struct json *reply_value_with(struct arena *arena, const struct reply *reply, const struct json *body, bool headers) {
    struct json *value = json_new_object(arena);
    json_set(value, "body", body);
    if (headers) json_set(value, "headers", reply_headers(arena, reply));
    json_set(value, "code", json_new_int(arena, reply->code));
    return value;
}
