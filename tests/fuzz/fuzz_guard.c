/* The guard: any split of a stream gives what the whole stream gives, and what it lets through is canonical.
 *
 * The input's first byte is how many of the bytes behind it say where to cut (each is the length of a piece, the last
 * one repeats); the rest is the stream. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "front/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct guard_limits limits = {.max_head_bytes = 512, .max_headers = 8, .max_body_bytes = 128};

#define HOLDS(claim) \
    if (!(claim)) abort()

static void check_text(struct text t, const char *banned, unsigned char least, unsigned char most) {
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        HOLDS((c >= least && c <= most && c != 0x7F) || c == '\t');
        HOLDS(!strchr(banned, c));
    }
}

static void check(const struct guard_request *request) {
    size_t hosts = 0, lengths = 0, codings = 0, headers = 0;
    int64_t length = 0;
    HOLDS(request->minor == 0 || request->minor == 1);
    HOLDS(http_method_word(request->method));
    HOLDS(request->path.len && request->path.at[0] == '/');
    check_text(request->path, "\t \"<>#?", 0x21, 0x7E);
    check_text(request->query, "\t \"<>#", 0x21, 0x7E);
    for (const struct guard_header *h = request->headers; h; h = h->next) {
        HOLDS(h->name.len && h->name.at[h->name.len] == 0 && h->value.at[h->value.len] == 0);
        check_text(h->name, "\t \"(),/:;<=>?@[\\]{}", 0x21, 0x7E);
        check_text(h->value, "", 0x20, 0xFF);
        HOLDS(text_same(text_trim(h->value), h->value));
        headers++;
        hosts += text_is_nocase(h->name, "Host");
        codings += text_is_nocase(h->name, "Transfer-Encoding");
        if (!text_is_nocase(h->name, "Content-Length")) continue;
        lengths++;
        HOLDS(text_to_int(h->value, &length));
    }
    HOLDS(headers <= limits.max_headers && hosts <= 1 && lengths + codings <= 1);
    HOLDS(request->minor == 0 || hosts == 1);
    HOLDS(request->body.len <= limits.max_body_bytes);
    HOLDS(codings || request->body.len == (size_t)length);
}

/* What is asked for by name is the first field of that name. */
static void check_known(const struct guard_request *request) {
    const char *known[HTTP_HEADER_END + 1] = {0};
    for (const struct guard_header *h = request->headers; h; h = h->next) {
        const char **first = &known[http_header_of(h->name)];
        if (!*first) *first = h->value.at;
    }
    for (int i = 0; i < HTTP_HEADER_END; i++) HOLDS(request->known[i] == known[i]);
}

static void write_request(struct buf *out, const struct guard_request *request) {
    buf_addf(out, "%d %d %d ", (int)request->method, request->minor, request->keep_alive);
    buf_addt(out, request->target);
    buf_addc(out, '\n');
    for (const struct guard_header *h = request->headers; h; h = h->next) {
        buf_addt(out, h->name);
        buf_addc(out, ':');
        buf_addt(out, h->value);
        buf_addc(out, '\n');
    }
    buf_addt(out, request->body);
    buf_addc(out, '\n');
}

static bool push(struct guard *guard, struct text piece, struct buf *out) {
    for (;;) {
        switch (guard_push(guard, &piece)) {
        case GUARD_MORE: HOLDS(piece.len == 0); return true;
        case GUARD_CONTINUE: buf_adds(out, "continue\n"); break;
        case GUARD_REFUSED:
            HOLDS(guard->refusal_status >= 400 && guard->refusal_status <= 505 && guard->refusal);
            buf_addf(out, "%d %s\n", guard->refusal_status, guard->refusal);
            return false;
        case GUARD_REQUEST: {
            struct guard_request *request = guard_take(guard);
            check(request);
            check_known(request);
            write_request(out, request);
            arena_free(request->arena);
        }
        }
    }
}

static void run(struct text stream, struct text cuts, struct buf *out) {
    struct guard guard;
    guard_init(&guard, &limits);
    bool goes_on = true;
    for (size_t i = 0; stream.len && goes_on; i++) {
        size_t n = cuts.len ? 1 + (size_t)(uint8_t)cuts.at[i < cuts.len ? i : cuts.len - 1] : stream.len;
        if (n > stream.len) n = stream.len;
        char *piece = mem_alloc(n); /* its own block, so that ASan sees a read beyond it */
        memcpy(piece, stream.at, n);
        goes_on = push(&guard, (struct text){piece, n}, out);
        mem_free(piece);
        stream.at += n;
        stream.len -= n;
    }
    if (goes_on) buf_addf(out, "phase %d\n", (int)guard_phase(&guard));
    guard_fini(&guard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    size_t cuts = data[0] < size - 1 ? data[0] : size - 1;
    struct text where = {(const char *)data + 1, cuts};
    struct text stream = {(const char *)data + 1 + cuts, size - 1 - cuts};
    struct buf whole, split;
    buf_init(&whole, 1 << 24);
    buf_init(&split, 1 << 24);
    run(stream, (struct text){0}, &whole);
    run(stream, where, &split);
    HOLDS(text_same(buf_text(&whole), buf_text(&split)));
    buf_fini(&whole);
    buf_fini(&split);
    return 0;
}
