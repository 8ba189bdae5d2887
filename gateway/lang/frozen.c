/* Values at rest, as texts.
 *
 * The text is what json_write makes, which reads back as the same value: order of members, kinds of numbers and all.
 * Most values that rest are never read again, or once; the few that every poll needs are small. */
#include "lang/frozen.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_USUAL 511                  /* bytes */
#define FROZEN_MAX (1024 * 1024 * 1024) /* bytes; whoever made the value has far lower limits */

struct frozen {
    uint32_t len;
    char text[];
};

static const struct json_limits limits = {.max_bytes = FROZEN_MAX, .max_depth = 512, .max_items = SIZE_MAX};

struct frozen *frozen_of_text(struct text text) {
    if (!text.len || text_is(text, "null")) return NULL;
    if (text.len > FROZEN_MAX) abort();
    struct frozen *frozen = mem_resize(NULL, sizeof *frozen + text.len);
    frozen->len = (uint32_t)text.len;
    memcpy(frozen->text, text.at, text.len);
    return frozen;
}

/* NULL where it is null, or larger than that. */
static struct frozen *freeze(const struct json *value, size_t max, bool *ret_fits) {
    struct buf text;
    *ret_fits = true;
    if (json_kind(value) == JSON_NULL) return NULL;
    buf_init(&text, max);
    buf_expect(&text, TEXT_USUAL);
    json_write(&text, value);
    *ret_fits = !text.full;
    struct frozen *frozen = text.full ? NULL : frozen_of_text(buf_text(&text));
    buf_fini(&text);
    return frozen;
}

struct frozen *frozen_new(const struct json *value) {
    bool fits;
    struct frozen *frozen = freeze(value, FROZEN_MAX, &fits);
    if (!fits) abort();
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

bool frozen_put_within(struct frozen **to, const struct json *value, size_t max) {
    bool fits;
    struct frozen *made = freeze(value, max, &fits);
    if (!fits) return false;
    frozen_free(*to);
    *to = made;
    return true;
}

const struct json *frozen_thaw(struct arena *arena, const struct frozen *frozen) {
    struct fault fault;
    if (!frozen) return NULL;
    return json_parse(arena, frozen_text(frozen), &limits, &fault);
}

struct text frozen_text(const struct frozen *frozen) {
    return frozen ? (struct text){frozen->text, frozen->len} : TEXT("null");
}
