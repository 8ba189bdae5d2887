/* A value as jansson has it. Private to lang/json and lang/json_parse. */
#ifndef LANG_JSON_INSIDE_H
#define LANG_JSON_INSIDE_H

#include <stdlib.h>

#include "lang/json.h"

/* jansson's names of its types are ours as well, with other values. Nothing that includes this may use jansson's
 * json_is_…() macros, which would take ours. */
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_REAL JANSSON_REAL
#define JSON_NULL JANSSON_NULL
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_REAL
#undef JSON_NULL

static inline json_t *inside(const struct json *value) {
    return (json_t *)(uintptr_t)value; /* jansson takes no const, but its reading functions write nothing */
}

static inline struct json *outside(json_t *value) {
    return (struct json *)value;
}

/* Out of memory is the only way in which jansson's makers fail on what we give them. */
static inline json_t *must(json_t *value) {
    if (!value) abort();
    return value;
}

static inline void must_do(int result) {
    if (result != 0) abort();
}

/* TAKES the reference, which ends with the arena. */
struct json *json_keep(struct arena *arena, json_t *value);

#endif
