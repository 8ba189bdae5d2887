/* Values at rest, as texts.
 *
 * The text is what json_write makes, which reads back as the same value: order of members, kinds of numbers and all.
 * Most values that rest are never read again, or once; the few that every poll needs are small. */
#include "lang/frozen.h"

#include <stdlib.h>
#include <string.h>

#define FROZEN_MAX (1024 * 1024 * 1024) /* bytes; whoever made the value has far lower limits */

struct frozen {
    uint32_t len;
    char text[];
};

static const struct json_limits limits = {.max_bytes = FROZEN_MAX, .max_depth = 512, .max_items = SIZE_MAX};

struct frozen *frozen_of_text(struct text text) {
    if (!text.len || text_is(text, "null")) return NULL;
    if (text.len > FROZEN_MAX) abort();
    struct frozen *frozen = mem_alloc(sizeof *frozen + text.len);
    frozen->len = (uint32_t)text.len;
    memcpy(frozen->text, text.at, text.len);
    return frozen;
}

struct frozen *frozen_new(const struct json *value) {
    struct buf text;
    if (json_kind(value) == JSON_NULL) return NULL;
    buf_init(&text, FROZEN_MAX);
    json_write(&text, value);
    if (text.full) abort();
    struct frozen *frozen = frozen_of_text(buf_text(&text));
    buf_fini(&text);
    return frozen;
}

void frozen_free(struct frozen *frozen) {
    mem_free(frozen);
}

void frozen_put(struct frozen **to, const struct json *value) {
    struct frozen *before = *to;
    *to = frozen_new(value);
    frozen_free(before);
}

const struct json *frozen_thaw(struct arena *arena, const struct frozen *frozen) {
    struct fault fault;
    if (!frozen) return NULL;
    return json_parse(arena, frozen_text(frozen), &limits, &fault);
}

struct text frozen_text(const struct frozen *frozen) {
    return frozen ? (struct text){frozen->text, frozen->len} : TEXT("null");
}
