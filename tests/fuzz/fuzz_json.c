/* Whatever parses is within its limits, and is written as text that parses to the same. */
#include <stdint.h>
#include <stdlib.h>

#include "lang/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct json_limits limits = {.max_bytes = 1 << 16, .max_depth = 16, .max_items = 1000};
    static const struct json_limits wide = {.max_bytes = 1 << 20, .max_depth = 16, .max_items = 1000};
    struct arena *arena = arena_new();
    struct fault fault = {0};
    const struct json *value = json_parse(arena, (struct text){(const char *)data, size}, &limits, &fault);
    if (!value && fault.kind != FAULT_SYNTAX && fault.kind != FAULT_TOO_LARGE) abort();
    if (value) {
        struct buf out;
        buf_init(&out, wide.max_bytes);
        json_write(&out, value);
        if (json_depth(value) > limits.max_depth) abort();
        const struct json *again = json_parse(arena, buf_text(&out), &wide, &fault);
        if (!again || !json_same(value, again)) abort();
        buf_fini(&out);
    }
    arena_free(arena);
    return 0;
}
