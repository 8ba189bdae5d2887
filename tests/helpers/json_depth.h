/* How deep arrays and objects stand inside each other, as fuzzers hold it against the limits of what has read them. */
#ifndef HELPERS_JSON_DEPTH_H
#define HELPERS_JSON_DEPTH_H

#include "lang/json.h"

static inline size_t json_depth(const struct json *value) {
    size_t deepest = 0;
    for (size_t i = 0; i < json_size(value) && json_kind(value) == JSON_ARRAY; i++) {
        size_t depth = json_depth(json_at(value, i));
        if (depth > deepest) deepest = depth;
    }
    for (struct json_member m = json_first(value); m.name.at; m = json_next(value, m)) {
        size_t depth = json_depth(m.value);
        if (depth > deepest) deepest = depth;
    }
    enum json_kind kind = json_kind(value);
    return kind == JSON_ARRAY || kind == JSON_OBJECT ? deepest + 1 : 0;
}

#endif
