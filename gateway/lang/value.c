/* Values while a template is rendered.
 *
 * A scalar is held by value and a text is borrowed, from a root, from the template, or from the scratch memory of the
 * rendering; arrays and objects are JSON values of somebody else. So reading a path, comparing and counting cost no
 * allocation; only filters that make new texts or containers do.
 *
 * Equality is JSON's: 1 equals 1.0, and true equals no number. Numbers and texts have an order, nothing else has. */
#include "lang/value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct value value_real(double real) {
    return isfinite(real) ? (struct value){.kind = JSON_REAL, .real = real} : value_null();
}

const struct json *value_json(struct arena *arena, struct value value) {
    switch (value.kind) {
    case JSON_NULL: return json_new_null(arena);
    case JSON_BOOL: return json_new_bool(arena, value.truth);
    case JSON_INT: return json_new_int(arena, value.integer);
    case JSON_REAL: return json_new_real(arena, value.real);
    case JSON_STRING: return json_new_text(arena, value.text);
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    return value.json;
}

double value_number(struct value value) {
    return value.kind == JSON_INT ? (double)value.integer : value.kind == JSON_REAL ? value.real : 0;
}

bool value_is_number(struct value value) {
    return value.kind == JSON_INT || value.kind == JSON_REAL;
}

bool value_is_scalar(struct value value) {
    return value.kind != JSON_NULL && value.kind != JSON_ARRAY && value.kind != JSON_OBJECT;
}

bool value_truth(struct value value) {
    switch (value.kind) {
    case JSON_NULL: return false;
    case JSON_BOOL: return value.truth;
    case JSON_INT: return value.integer != 0;
    case JSON_REAL: return value.real < 0 || value.real > 0;
    case JSON_STRING: return value.text.len > 0;
    case JSON_ARRAY:
    case JSON_OBJECT: return json_size(value.json) > 0;
    }
    return false;
}

/* Compared as integers where they are: a double would lose digits of a large one. */
static int order_numbers(struct value a, struct value b) {
    if (a.kind == b.kind && a.kind == JSON_INT) return (a.integer > b.integer) - (a.integer < b.integer);
    if (a.kind == b.kind) return (a.real > b.real) - (a.real < b.real);
    double real = a.kind == JSON_REAL ? a.real : b.real, whole = floor(real);
    int64_t integer = a.kind == JSON_INT ? a.integer : b.integer;
    int way;
    if (real >= 0x1p63) way = 1;
    else if (real < -0x1p63) way = -1;
    else if ((int64_t)whole != integer) way = (int64_t)whole > integer ? 1 : -1;
    else way = real > whole;
    return a.kind == JSON_REAL ? way : -way;
}

static int order_texts(struct text a, struct text b) {
    size_t least = a.len < b.len ? a.len : b.len;
    int compared = least ? memcmp(a.at, b.at, least) : 0;
    return compared ? (compared > 0) - (compared < 0) : (a.len > b.len) - (a.len < b.len);
}

bool value_order(struct value a, struct value b, int *ret) {
    if (value_is_number(a) && value_is_number(b)) return *ret = order_numbers(a, b), true;
    if (a.kind != JSON_STRING || b.kind != JSON_STRING) return false;
    *ret = order_texts(a.text, b.text);
    return true;
}

bool value_same(struct value a, struct value b) {
    if (value_is_number(a) && value_is_number(b)) return order_numbers(a, b) == 0;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case JSON_BOOL: return a.truth == b.truth;
    case JSON_STRING: return text_same(a.text, b.text);
    case JSON_ARRAY:
    case JSON_OBJECT: return json_same(a.json, b.json);
    default: return true;
    }
}

/* ---- writing ---- */

static struct text real_text(double real, char room[VALUE_DIGITS]) {
    struct buf out = {.at = room, .cap = VALUE_DIGITS, .max = VALUE_DIGITS - 1};
    json_write_real(&out, real);
    return buf_text(&out);
}

struct text value_scalar_text(struct value value, char room[VALUE_DIGITS]) {
    switch (value.kind) {
    case JSON_BOOL: return value.truth ? TEXT("true") : TEXT("false");
    case JSON_INT: return text_of_int(value.integer, room);
    case JSON_REAL: return real_text(value.real, room);
    case JSON_STRING: return value.text;
    default: return TEXT("");
    }
}

void value_write(struct buf *out, struct value value) {
    char room[VALUE_DIGITS];
    switch (value.kind) {
    case JSON_NULL: buf_add(out, "null", 4); return;
    case JSON_STRING: buf_add_json_string(out, value.text); return;
    case JSON_ARRAY:
    case JSON_OBJECT: json_write(out, value.json); return;
    default: buf_addt(out, value_scalar_text(value, room)); return;
    }
}

void value_write_text(struct buf *out, struct value value) {
    if (value.kind == JSON_STRING) buf_addt(out, value.text);
    else if (value.kind != JSON_NULL) value_write(out, value);
}
