/* The walk takes what lang/json takes, and its values are the same; what it takes beyond that are names that occur
 * twice and numbers that are too large, which it does not look for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../helpers/json_depth.h"
#include "lang/json_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct text names[] = {{"a", 1}, {"b", 1}, {"c", 1}};
enum { NAMES = sizeof names / sizeof *names };

static const struct json_limits limits = {.max_bytes = 1 << 20, .max_depth = JSON_WALK_DEPTH, .max_items = 1 << 20};

static void compare(const struct json *value, struct text walked) {
    enum json_kind kind = json_walk_kind(walked);
    bool wide = kind == JSON_INT && json_kind(value) == JSON_REAL;
    if (kind != json_kind(value) && !wide) abort();
    if (kind == JSON_INT && !wide && json_walk_int(walked) != json_int(value)) abort();
    if (json_walk_empty(walked) != (json_size(value) == 0)) abort();
    char *string = json_walk_string(walked);
    if (!string != (kind != JSON_STRING) || (string && strcmp(string, json_text(value).at) != 0)) abort();
    mem_free(string);
    struct text rest = walked, item;
    size_t count = 0;
    while (json_walk_next(&rest, &item)) compare(json_at(value, count++), item);
    if (kind == JSON_ARRAY && count != json_size(value)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new();
    struct text source = {(const char *)data, size}, values[NAMES];
    struct fault fault = {0};
    size_t at;
    const struct json *value = json_parse(arena, source, &limits, &fault);
    bool walked = json_walk_members(source, names, NAMES, values, &at);
    bool passed_over = strstr(fault.what, "occurs twice") || strstr(fault.what, "number");
    if (at > size || (walked && !value && !passed_over)) abort();
    if (value && json_kind(value) == JSON_OBJECT && !walked && json_depth(value) <= JSON_WALK_DEPTH) abort();
    for (size_t i = 0; value && walked && i < NAMES; i++)
        if (values[i].len) compare(json_get(value, names[i]), values[i]);
    arena_free(arena);
    return 0;
}
