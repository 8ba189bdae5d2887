/* Reads the input as a log: as it is, as frames that an engine may have cut it into (the first byte says how small),
 * and as a stream of frames itself. However it was cut, the same log gives the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "call/capture.h"

#define SEVERAL 24 /* bytes; frames are no longer than this, so that lines lie across them */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct captured read_as(struct arena *arena, struct text body, enum stage_framing framing) {
    struct stage_capture how = {.properties = true, .framing = framing};
    struct reply reply = {.phase = REPLY_ANSWERED, .code = 200, .body = body};
    struct captured captured;
    capture_read(arena, &how, &reply, &captured);
    if (json_kind(captured.values) != JSON_OBJECT || json_kind(captured.warnings) != JSON_ARRAY) abort();
    if (json_size(captured.values) > 2 * CAPTURE_NAMES_MAX) abort();
    if (json_size(captured.warnings) > CAPTURE_WARNINGS_MAX + 1) abort();
    if (captured.log.len > body.len + 1) abort();
    return captured;
}

static void add_frames(struct buf *to, struct text log, size_t longest) {
    for (size_t at = 0; at < log.len; at += longest) {
        size_t len = log.len - at < longest ? log.len - at : longest;
        char head[8] = {1, 0, 0, 0, 0, 0, 0, (char)len};
        buf_add(to, head, sizeof head);
        buf_add(to, log.at + at, len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new();
    struct text log = {(const char *)data, size};
    struct buf framed;
    buf_init(&framed, 1 << 20);
    read_as(arena, log, FRAMING_DOCKER);
    if (size && size < 65536) {
        struct captured plain = read_as(arena, log, FRAMING_NONE);
        add_frames(&framed, log, 1 + data[0] % SEVERAL);
        struct captured same = read_as(arena, buf_text(&framed), FRAMING_DOCKER);
        if (!text_same(same.log, log) || !json_same(same.values, plain.values)) abort();
        if (!json_same(same.warnings, plain.warnings)) abort();
    }
    buf_fini(&framed);
    arena_free(arena);
    return 0;
}
