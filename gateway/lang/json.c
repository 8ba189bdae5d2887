/* JSON values on jansson, which nothing outside this file and lang/json_parse sees.
 *
 * A `struct json` is a json_t by another name, so that a value costs nothing of ours. Its life is tied to arenas: each
 * value made here holds one reference that the arena drops when it ends; containers hold references of their own.
 *
 * Writing is ours: jansson prints 0.1 as 0.10000000000000001. */
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/word.h"
#include "lang/json_inside.h"
#include "lang/value.h"

#define MISSES_MAX 2 /* of a cursor */

static void drop(void *value) {
    json_decref(value);
}

struct json *json_keep(struct arena *arena, json_t *value) {
    arena_defer(arena, drop, must(value));
    return outside(value);
}

/* ---- reading ---- */

enum json_kind json_kind(const struct json *value) {
    if (!value) return JSON_NULL;
    switch (json_typeof(inside(value))) {
    case JANSSON_OBJECT: return JSON_OBJECT;
    case JANSSON_ARRAY: return JSON_ARRAY;
    case JANSSON_STRING: return JSON_STRING;
    case JSON_INTEGER: return JSON_INT;
    case JANSSON_REAL: return JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE: return JSON_BOOL;
    case JANSSON_NULL: break;
    }
    return JSON_NULL;
}

const char *json_kind_word(enum json_kind kind) {
    static const char *const words[] = {
        [JSON_NULL] = "null",     [JSON_BOOL] = "boolean", [JSON_INT] = "integer",  [JSON_REAL] = "number",
        [JSON_STRING] = "string", [JSON_ARRAY] = "array",  [JSON_OBJECT] = "object"};
    return words[kind];
}

bool json_truth(const struct json *value) {
    return value && json_typeof(inside(value)) == JSON_TRUE;
}

int64_t json_int(const struct json *value) {
    enum json_kind kind = json_kind(value);
    if (kind == JSON_INT) return json_integer_value(inside(value));
    if (kind != JSON_REAL) return 0;
    double real = json_real_value(inside(value));
    return real >= -0x1p63 && real < 0x1p63 ? (int64_t)real : 0;
}

double json_number(const struct json *value) {
    enum json_kind kind = json_kind(value);
    if (kind == JSON_INT) return (double)json_integer_value(inside(value));
    return kind == JSON_REAL ? json_real_value(inside(value)) : 0;
}

struct text json_text(const struct json *value) {
    if (json_kind(value) != JSON_STRING) return (struct text){0};
    return (struct text){json_string_value(inside(value)), json_string_length(inside(value))};
}

void json_open(const struct json *json, struct value *ret) {
    const json_t *inner = inside(json);
    ret->absent = false;
    ret->kind = JSON_NULL;
    if (!json) return;
    if (json_typeof(inner) == JANSSON_STRING) { /* the commonest first */
        ret->kind = JSON_STRING;
        ret->text = (struct text){json_string_value(inner), json_string_length(inner)};
        return;
    }
    switch (json_typeof(inner)) {
    case JANSSON_OBJECT:
        ret->kind = JSON_OBJECT;
        ret->json = json;
        return;
    case JANSSON_ARRAY:
        ret->kind = JSON_ARRAY;
        ret->json = json;
        return;
    case JSON_INTEGER:
        ret->kind = JSON_INT;
        ret->integer = json_integer_value(inner);
        return;
    case JANSSON_REAL:
        ret->kind = JSON_REAL;
        ret->real = json_real_value(inner);
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        ret->kind = JSON_BOOL;
        ret->truth = json_typeof(inner) == JSON_TRUE;
        return;
    case JANSSON_STRING:
    case JANSSON_NULL: return;
    }
}

size_t json_size(const struct json *value) {
    enum json_kind kind = json_kind(value);
    if (kind == JSON_ARRAY) return json_array_size(inside(value));
    return kind == JSON_OBJECT ? json_object_size(inside(value)) : 0;
}

const struct json *json_at(const struct json *array, size_t index) {
    return json_kind(array) == JSON_ARRAY ? outside(json_array_get(inside(array), index)) : NULL;
}

/* jansson gives NULL for what is no object. */
const struct json *json_get(const struct json *object, struct text name) {
    return outside(json_object_getn(inside(object), name.at ? name.at : "", name.len));
}

const struct json *json_gets(const struct json *object, const char *name) {
    return json_get(object, text_of(name));
}

const char *json_gets_text(const struct json *object, const char *name) {
    return json_text(json_gets(object, name)).at;
}

bool json_wants(const struct json_wanted *wanted, struct text name) {
    if (!wanted || wanted->all) return true;
    for (const struct json_name *known = wanted->names; known; known = known->next)
        if (text_same(known->text, name)) return true;
    return false;
}

struct json_member json_first(const struct json *object) {
    if (json_kind(object) != JSON_OBJECT) return (struct json_member){0};
    void *iter = json_object_iter(inside(object));
    if (!iter) return (struct json_member){0};
    return (struct json_member){
        {json_object_iter_key(iter), json_object_iter_key_len(iter)}, outside(json_object_iter_value(iter)), iter};
}

struct json_member json_next(const struct json *object, struct json_member member) {
    void *iter = json_object_iter_next(inside(object), member.next);
    if (!iter) return (struct json_member){0};
    return (struct json_member){
        {json_object_iter_key(iter), json_object_iter_key_len(iter)}, outside(json_object_iter_value(iter)), iter};
}

static inline const struct json *found_at(struct json_cursor *cursor, const struct json *object, void *iter) {
    cursor->next = json_object_iter_next(inside(object), iter);
    return outside(json_object_iter_value(iter));
}

/* Asked for in another order, members are no longer guessed at: a wrong guess costs more than none. */
static __attribute__((noinline)) const struct json *seek_anew(struct json_cursor *cursor, const struct json *object,
                                                              struct text name) {
    if (cursor->misses == MISSES_MAX) return json_get(object, name);
    cursor->misses++;
    void *iter = json_object_iter_at(inside(object), name.at);
    return iter ? found_at(cursor, object, iter) : NULL;
}

const struct json *json_seek(struct json_cursor *cursor, const struct json *object, struct text name) {
    if (cursor->object != object)
        *cursor = (struct json_cursor){.object = object, .next = json_object_iter(inside(object))};
    if (cursor->misses == MISSES_MAX || !cursor->next || strcmp(json_object_iter_key(cursor->next), name.at) != 0)
        return seek_anew(cursor, object, name);
    return found_at(cursor, object, cursor->next);
}

static bool same_number(const struct json *a, const struct json *b) {
    if (json_kind(a) == json_kind(b))
        return json_kind(a) == JSON_INT ? json_int(a) == json_int(b) : json_number(a) == json_number(b);
    const struct json *real = json_kind(a) == JSON_REAL ? a : b, *integer = real == a ? b : a;
    double value = json_number(real); /* compared as integers: a double would lose digits of a large one */
    return value >= -0x1p63 && value < 0x1p63 && value == trunc(value) && (int64_t)value == json_int(integer);
}

static bool same_array(const struct json *a, const struct json *b) {
    if (json_size(a) != json_size(b)) return false;
    for (size_t i = 0; i < json_size(a); i++)
        if (!json_same(json_at(a, i), json_at(b, i))) return false;
    return true;
}

static bool same_object(const struct json *a, const struct json *b) {
    if (json_size(a) != json_size(b)) return false;
    for (struct json_member m = json_first(a); m.name.at; m = json_next(a, m)) {
        const struct json *other = json_get(b, m.name);
        if (!other || !json_same(m.value, other)) return false;
    }
    return true;
}

static bool is_number(enum json_kind kind) {
    return kind == JSON_INT || kind == JSON_REAL;
}

bool json_same(const struct json *a, const struct json *b) {
    enum json_kind kind = json_kind(a), other = json_kind(b);
    if (is_number(kind) && is_number(other)) return same_number(a, b);
    if (kind != other) return false;
    switch (kind) {
    case JSON_BOOL: return json_truth(a) == json_truth(b);
    case JSON_STRING: return text_same(json_text(a), json_text(b));
    case JSON_ARRAY: return same_array(a, b);
    case JSON_OBJECT: return same_object(a, b);
    default: return true;
    }
}

/* ---- building ---- */

struct json *json_new_null(struct arena *arena) {
    return json_keep(arena, json_null());
}

struct json *json_new_bool(struct arena *arena, bool value) {
    return json_keep(arena, json_boolean(value));
}

struct json *json_new_int(struct arena *arena, int64_t value) {
    return json_keep(arena, json_integer(value));
}

struct json *json_new_real(struct arena *arena, double value) {
    return json_keep(arena, isfinite(value) ? json_real(value) : json_null());
}

static size_t good_character(struct text t) {
    for (size_t n = 1; n <= 4 && n <= t.len; n++)
        if (text_utf8_check((struct text){t.at, n})) return t.at[0] ? n : 0;
    return 0;
}

/* Most is ASCII, and has no NUL: a word at a time. */
static bool is_plain(struct text t) {
    for (size_t i = 0; i < t.len; i += 8) {
        uint64_t word = word_load_some(t.at + i, t.len - i);
        if ((word | (word - WORD_ONES)) & WORD_HIGH) return false; /* of a NUL the difference has it */
    }
    return true;
}

static bool is_clean(struct text t) {
    return is_plain(t) || (!memchr(t.at, 0, t.len) && text_utf8_check(t));
}

bool json_mend_text(struct text t, struct buf *ret_mended) {
    buf_init(ret_mended, t.len * 3);
    if (is_clean(t)) return false;
    for (size_t i = 0; i < t.len;) {
        size_t n = good_character((struct text){t.at + i, t.len - i});
        if (n) buf_add(ret_mended, t.at + i, n);
        else buf_adds(ret_mended, "\xEF\xBF\xBD");
        i += n ? n : 1;
    }
    return true;
}

struct json *json_new_text(struct arena *arena, struct text value) {
    struct buf mended;
    if (json_mend_text(value, &mended)) value = buf_text(&mended);
    json_t *made = json_stringn_nocheck(value.at ? value.at : "", value.len);
    buf_fini(&mended);
    return json_keep(arena, made);
}

struct json *json_new_string(struct arena *arena, const char *value) {
    return value ? json_new_text(arena, text_of(value)) : json_new_null(arena);
}

struct json *json_new_array(struct arena *arena) {
    return json_keep(arena, json_array());
}

struct json *json_new_object(struct arena *arena) {
    return json_keep(arena, json_object());
}

static json_t *or_null(const struct json *value) {
    return value ? inside(value) : json_null();
}

void json_push(struct json *array, const struct json *value) {
    must_do(json_array_append(inside(array), or_null(value)));
}

void json_set(struct json *object, const char *name, const struct json *value) {
    json_set_text(object, text_of(name), value);
}

void json_set_text(struct json *object, struct text name, const struct json *value) {
    assert(is_clean(name));
    if (!name.at) name = TEXT("");
    must_do(json_object_setn_new_nocheck(inside(object), name.at, name.len, json_incref(or_null(value))));
}

struct json *json_copy_members(struct arena *arena, const struct json *object, const char *end) {
    struct json *made = json_new_object(arena);
    for (struct json_member m = json_first(object); m.name.at && m.name.at != end; m = json_next(object, m))
        json_set_text(made, m.name, m.value);
    return made;
}

const struct json *json_share(struct arena *arena, const struct json *value) {
    return value ? json_keep(arena, json_incref(inside(value))) : NULL;
}

/* ---- writing ---- */

void json_write_real(struct buf *out, double value) {
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) break;
    }
    buf_adds(out, digits);
    if (!strpbrk(digits, ".e")) buf_adds(out, ".0"); /* so that it reads back as a real */
}

struct style {
    unsigned spaces; /* 0: compact */
    unsigned level;
};

static void write_break(struct buf *out, struct style style) {
    if (style.spaces) buf_addf(out, "\n%*s", (int)(style.spaces * style.level), "");
}

static void write_value(struct buf *out, const struct json *value, struct style style);

static void write_array(struct buf *out, const struct json *array, struct style style) {
    struct style inner = {style.spaces, style.level + 1};
    const size_t count = json_size(array);
    buf_addc(out, '[');
    for (size_t i = 0; i < count && !out->full; i++) {
        if (i) buf_addc(out, ',');
        write_break(out, inner);
        write_value(out, json_at(array, i), inner);
    }
    if (count) write_break(out, style);
    buf_addc(out, ']');
}

static void write_object(struct buf *out, const struct json *object, struct style style) {
    struct style inner = {style.spaces, style.level + 1};
    bool any = false;
    buf_addc(out, '{');
    for (struct json_member m = json_first(object); m.name.at && !out->full; m = json_next(object, m)) {
        if (any) buf_addc(out, ',');
        any = true;
        write_break(out, inner);
        buf_add_json_string(out, m.name);
        buf_addc(out, ':');
        if (style.spaces) buf_addc(out, ' ');
        write_value(out, m.value, inner);
    }
    if (any) write_break(out, style);
    buf_addc(out, '}');
}

static void write_value(struct buf *out, const struct json *value, struct style style) {
    switch (json_kind(value)) {
    case JSON_NULL: buf_adds(out, "null"); return;
    case JSON_BOOL: buf_adds(out, json_truth(value) ? "true" : "false"); return;
    case JSON_INT: buf_addi(out, json_int(value)); return;
    case JSON_REAL: json_write_real(out, json_number(value)); return;
    case JSON_STRING: buf_add_json_string(out, json_text(value)); return;
    case JSON_ARRAY: write_array(out, value, style); return;
    case JSON_OBJECT: write_object(out, value, style); return;
    }
}

void json_write(struct buf *out, const struct json *value) {
    write_value(out, value, (struct style){0});
}

void json_write_text(struct buf *out, const struct json *value) {
    if (json_kind(value) == JSON_STRING) buf_addt(out, json_text(value));
    else if (json_kind(value) != JSON_NULL) json_write(out, value);
}

void json_write_indented(struct buf *out, const struct json *value, unsigned spaces) {
    write_value(out, value, (struct style){.spaces = spaces});
}
