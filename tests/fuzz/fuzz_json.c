/* Beside jansson's own parser: both take the same texts and see the same values in them, but for numbers that are too
 * large for jansson; and where a name is found twice, jansson finds it too. Whatever parses is within its
 * limits, and is written as text that parses to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../helpers/json_depth.h"
#include "lang/json_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_limits limits = {.max_bytes = 1 << 16, .max_depth = 16, .max_items = 1000};

static void beside_jansson(struct text source, const struct json *value) {
    json_error_t error;
    size_t second_end = 0;
    if (source.len && memchr(source.at, 0, source.len)) { /* there jansson's text ends, and may be good */
        if (value) abort();
        return;
    }
    json_t *theirs = json_loadb(source.at, source.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    bool twice = json_find_twice(source, &second_end);
    if (theirs && (!value || twice || !json_equal(theirs, inside(value)))) abort();
    enum json_error_code code = theirs ? json_error_unknown : json_error_code(&error);
    bool too_large = code == json_error_numeric_overflow;
    if (!theirs && value && !too_large) abort();
    if (twice && !too_large && code != json_error_duplicate_key) abort();
    if (twice && !too_large && second_end < (size_t)error.position) abort(); /* more: in the second's own value */
    json_decref(theirs);
}

static void again(struct arena *arena, const struct json *value) {
    static const struct json_limits wide = {.max_bytes = 1 << 20, .max_depth = 16, .max_items = 1000};
    struct fault fault;
    struct buf out;
    buf_init(&out, wide.max_bytes);
    json_write(&out, value);
    if (json_depth(value) > limits.max_depth) abort();
    const struct json *read = json_parse(arena, buf_text(&out), &wide, &fault);
    if (!read || !json_same(value, read)) abort();
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new();
    struct fault fault = {0};
    const struct text source = {(const char *)data, size};
    const struct json *value = json_parse(arena, source, &limits, &fault);
    if (!value && fault.kind != FAULT_SYNTAX && fault.kind != FAULT_TOO_LARGE) abort();
    if (value || fault.kind == FAULT_SYNTAX) beside_jansson(source, value);
    if (value) again(arena, value);
    arena_free(arena);
    return 0;
}
