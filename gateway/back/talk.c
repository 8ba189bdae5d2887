/* One exchange of HTTP/1.1: a request's bytes out, a reply's bytes in, side by side.
 *
 * transfer.c has the connection and waits for it; here is what happens when it can be read or written. Nobody waits for
 * the request to be out before the reply is read: an upstream may answer (413, 401) and close before it has read it
 * all. So an error in sending ends sending alone: what the peer said before is read up to its end, and only that end is
 * told. The common case is one call that sends all, and one, later, that receives all. */
#include "back/talk.h"

#include "base/mem.h"

#define KEPT_MAX 65536 /* bytes that a buffer at rest may have */

void talk_init(struct talk *talk) {
    *talk = (struct talk){0};
    buf_init(&talk->head, HTTP_REPLY_HEAD_ROOM);
    buf_init(&talk->fields, HTTP_REPLY_FIELDS_ROOM);
}

void talk_fini(struct talk *talk) {
    buf_fini(&talk->head);
    buf_fini(&talk->fields);
    buf_fini(&talk->body);
    buf_fini(&talk->held);
}

void talk_rest(struct talk *talk) {
    if (talk->head.cap > KEPT_MAX) buf_fini(&talk->head);
    if (talk->body.cap > KEPT_MAX) buf_fini(&talk->body);
    buf_fini(&talk->held);
}

/* ---- out ---- */

static void send_some(struct talk *talk, struct stream *stream) {
    talk->sending = stream_send(stream, &talk->unsent_head, &talk->unsent_body) == STREAM_AGAIN;
}

void talk_begin(struct talk *talk, struct stream *stream, struct text head, struct text body, size_t body_max,
                bool is_head) {
    talk->heard = stream->has_sent = false;
    talk->unsent_head = head;
    talk->unsent_body = body;
    talk->head.max = HTTP_REPLY_HEAD_ROOM;
    talk->body.max = body_max;
    http_reply_begin(&talk->reply, &talk->head, &talk->fields, &talk->body, is_head);
    send_some(talk, stream);
    talk->sent = stream->has_sent;
    if (!talk->sending) return;
    buf_fini(&talk->held); /* of a talk that was broken off */
    buf_init(&talk->held, talk->unsent_head.len);
    buf_addt(&talk->held, talk->unsent_head);
    talk->unsent_head = buf_text(&talk->held);
}

/* ---- in ---- */

static enum talk_state state_of(enum http_reply_state state) {
    return state == HTTP_REPLY_MORE ? TALK_GOES_ON : state == HTTP_REPLY_WHOLE ? TALK_WHOLE : TALK_BROKEN;
}

static enum talk_state hear(struct talk *talk, struct stream *stream, char *room, size_t size, bool *ret_silent) {
    size_t len;
    switch (stream_receive(stream, room, size, &len)) {
    case STREAM_AGAIN: *ret_silent = true; return TALK_GOES_ON;
    case STREAM_CLOSED: return state_of(http_reply_end(&talk->reply));
    case STREAM_LOST: return TALK_LOST;
    case STREAM_DONE: break;
    }
    talk->heard = true;
    struct text input = {room, len};
    return state_of(http_reply_push(&talk->reply, &input));
}

static enum talk_state hear_all(struct talk *talk, struct stream *stream, char *room, size_t size) {
    enum talk_state state;
    bool silent = false;
    do state = hear(talk, stream, room, size, &silent);
    while (state == TALK_GOES_ON && !silent && (stream_has_more(stream) || stream->is_lost));
    return state == TALK_GOES_ON && stream->is_lost ? TALK_LOST : state;
}

/* Sending comes last, so that the stream wants what it wants: with TLS, what has come may be what sending waits for. */
enum talk_state talk_go_on(struct talk *talk, struct stream *stream, char *room, size_t size) {
    enum talk_state state = hear_all(talk, stream, room, size);
    if (state == TALK_GOES_ON && talk->sending) {
        send_some(talk, stream);
        if (stream->is_lost) state = hear_all(talk, stream, room, size);
    }
    talk->sent = stream->has_sent; /* also of what TLS held */
    return state;
}

/* ---- a reply from what came ---- */

/* What templates and reports get is UTF-8 without control characters, whatever was sent. In place, but for what is not
 * UTF-8. */
static const char *clean(struct arena *arena, char *at, size_t len) {
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)at[i] < 0x20 || at[i] == 0x7F) at[i] = ' ';
    struct text text = {at, len};
    return text_utf8_check(text) ? at : json_text(json_new_text(arena, text)).at;
}

static void read_headers(const struct http_reply *read, struct arena *arena, struct reply *reply) {
    char *head = arena_copy(arena, read->head->at, read->head->len);
    struct reply_header *headers = arena_array_of(arena, struct reply_header, read->header_count);
    for (unsigned i = 0; i < read->header_count; i++) {
        struct http_reply_field field = http_reply_field(read, i);
        char *value = head + field.value_at;
        head[field.name_at + field.name_len] = value[field.value_len] = 0; /* the colon, and the line's end */
        headers[i].name = head + field.name_at;
        headers[i].value = read->is_plain ? value : clean(arena, value, field.value_len);
    }
    reply->headers = headers;
    reply->header_count = read->header_count;
}

struct reply *talk_reply(const struct talk *talk, struct arena *arena) {
    struct reply *reply = arena_new_of(arena, struct reply);
    reply->phase = REPLY_ANSWERED;
    reply->code = talk->reply.code;
    read_headers(&talk->reply, arena, reply);
    return reply;
}

bool talk_may_reuse(const struct talk *talk) {
    return talk->reply.may_reuse && !talk->sending && talk->unsent_head.len == 0 && talk->unsent_body.len == 0;
}
