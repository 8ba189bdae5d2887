/* JSON values: trees in an arena, and their text.
 *
 * A value is one allocation, and ends with its arena: nothing is counted, and nothing is freed apart. So a container
 * may only hold what lives as long as itself: what lies in another arena is copied when it is put in. Values that were
 * handed out do not change, hence threads may share them.
 *
 * A small object is looked through; a large one has an index of hashes behind its members. They are keyed, since names
 * may come from strangers, who could else choose some that collide.
 *
 * Reading text is json_parse's. */
#include "lang/json.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "lang/json_tree.h"
#include "lang/value.h"

#define MISSES_MAX 2 /* of a cursor */
#define ROOM_FIRST 4 /* of what is built */

const struct json json_tree_null = {.kind = JSON_NULL}, json_tree_false = {.kind = JSON_BOOL},
                  json_tree_true = {.kind = JSON_BOOL, .truth = true};

struct json *json_tree_new(struct arena *arena, enum json_kind kind, size_t behind) {
    struct json *value = arena_alloc(arena, sizeof *value + behind);
    value->kind = kind;
    value->arena = arena;
    return value;
}

/* ---- the index of an object: places of members by their hash, 1 for the first, 0 for none ---- */

static uint64_t keys[2];

static void make_keys(void) {
    digest_random(keys, sizeof keys);
}

static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_of(struct text name) {
    uint64_t hash = keys[0] ^ name.len, word;
    for (; name.len >= sizeof word; name.at += sizeof word, name.len -= sizeof word) {
        memcpy(&word, name.at, sizeof word);
        hash = fold(hash ^ word, keys[1]);
    }
    word = 0;
    if (name.len) memcpy(&word, name.at, name.len);
    hash = fold(hash ^ word, keys[1]);
    return (uint32_t)(hash ^ hash >> 32);
}

/* A power of two, at least half of which stays empty. */
static size_t slots_of(size_t room) {
    size_t slots = 2 * JSON_TREE_FEW;
    while (slots < 2 * room) slots *= 2;
    return slots;
}

size_t json_tree_pairs_bytes(size_t room) {
    return room * sizeof(struct json_pair) + (room > JSON_TREE_FEW ? slots_of(room) * sizeof(uint32_t) : 0);
}

static uint32_t *index_of(const struct json *object) {
    return (uint32_t *)(object->pairs + object->room);
}

static bool is_named(const struct json_pair *pair, struct text name) {
    return pair->len == name.len && memcmp(pair->name, name.at, name.len) == 0;
}

/* The member of that name, or NULL and where its place would be noted. */
static struct json_pair *find_by_hash(const struct json *object, struct text name, uint32_t hash, size_t *ret_slot) {
    const uint32_t *index = index_of(object);
    size_t mask = slots_of(object->room) - 1, slot = hash & mask;
    for (; index[slot]; slot = (slot + 1) & mask) {
        struct json_pair *pair = &object->pairs[index[slot] - 1];
        if (pair->hash == hash && is_named(pair, name)) return pair;
    }
    *ret_slot = slot;
    return NULL;
}

static struct json_pair *find(const struct json *object, struct text name) {
    size_t slot;
    if (object->room > JSON_TREE_FEW) return find_by_hash(object, name, hash_of(name), &slot);
    for (size_t i = 0; i < object->size; i++)
        if (is_named(&object->pairs[i], name)) return &object->pairs[i];
    return NULL;
}

static bool index_pair(struct json *object, size_t i) {
    struct json_pair *pair = &object->pairs[i];
    struct text name = {pair->name, pair->len};
    size_t slot;
    pair->hash = hash_of(name);
    if (find_by_hash(object, name, pair->hash, &slot)) return false;
    index_of(object)[slot] = (uint32_t)i + 1;
    return true;
}

/* As many as there are before it. */
static bool is_before(const struct json *object, size_t end, const struct json_pair *pair) {
    for (size_t i = 0; i < end; i++)
        if (is_named(&object->pairs[i], (struct text){pair->name, pair->len})) return true;
    return false;
}

bool json_tree_index(struct json *object, const struct json_pair **ret_second) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bool large = object->room > JSON_TREE_FEW;
    if (large) pthread_once(&once, make_keys);
    for (size_t i = 0; i < object->size; i++) {
        *ret_second = &object->pairs[i];
        if (large ? !index_pair(object, i) : is_before(object, i, *ret_second)) return false;
    }
    return true;
}

/* ---- reading ---- */

enum json_kind json_kind(const struct json *value) {
    return value ? value->kind : JSON_NULL;
}

const char *json_kind_word(enum json_kind kind) {
    static const char *const words[] = {
        [JSON_NULL] = "null",     [JSON_BOOL] = "boolean", [JSON_INT] = "integer",  [JSON_REAL] = "number",
        [JSON_STRING] = "string", [JSON_ARRAY] = "array",  [JSON_OBJECT] = "object"};
    return words[kind];
}

bool json_truth(const struct json *value) {
    return value && value->kind == JSON_BOOL && value->truth;
}

int64_t json_int(const struct json *value) {
    enum json_kind kind = json_kind(value);
    if (kind == JSON_INT) return value->integer;
    if (kind != JSON_REAL) return 0;
    double real = value->real;
    return real >= -0x1p63 && real < 0x1p63 ? (int64_t)real : 0;
}

double json_number(const struct json *value) {
    enum json_kind kind = json_kind(value);
    if (kind == JSON_INT) return (double)value->integer;
    return kind == JSON_REAL ? value->real : 0;
}

struct text json_text(const struct json *value) {
    return json_kind(value) == JSON_STRING ? (struct text){value->text, value->size} : (struct text){0};
}

void json_open(const struct json *json, struct value *ret) {
    ret->absent = false;
    ret->kind = json_kind(json);
    switch (ret->kind) {
    case JSON_NULL: return;
    case JSON_BOOL: ret->truth = json->truth; return;
    case JSON_INT: ret->integer = json->integer; return;
    case JSON_REAL: ret->real = json->real; return;
    case JSON_STRING: ret->text = (struct text){json->text, json->size}; return;
    case JSON_ARRAY:
    case JSON_OBJECT: ret->json = json; return;
    }
}

size_t json_size(const struct json *value) {
    enum json_kind kind = json_kind(value);
    return kind == JSON_ARRAY || kind == JSON_OBJECT ? value->size : 0;
}

const struct json *json_at(const struct json *array, size_t index) {
    return json_kind(array) == JSON_ARRAY && index < array->size ? array->items[index] : NULL;
}

const struct json *json_get(const struct json *object, struct text name) {
    if (json_kind(object) != JSON_OBJECT) return NULL;
    const struct json_pair *pair = find(object, name.at ? name : TEXT(""));
    return pair ? pair->value : NULL;
}

const struct json *json_gets(const struct json *object, const char *name) {
    return json_get(object, text_of(name));
}

const char *json_gets_text(const struct json *object, const char *name) {
    return json_text(json_gets(object, name)).at;
}

static struct json_member member_at(const struct json *object, const struct json_pair *pair) {
    if (pair == object->pairs + object->size) return (struct json_member){0};
    return (struct json_member){{pair->name, pair->len}, pair->value, pair};
}

struct json_member json_first(const struct json *object) {
    return json_kind(object) == JSON_OBJECT ? member_at(object, object->pairs) : (struct json_member){0};
}

struct json_member json_next(const struct json *object, struct json_member member) {
    return member_at(object, (const struct json_pair *)member.place + 1);
}

/* Asked for in another order, members are no longer guessed at: a wrong guess costs more than none. */
static __attribute__((noinline)) const struct json *seek_anew(struct json_cursor *cursor, const struct json *object,
                                                              struct text name) {
    const struct json_pair *pair = json_kind(object) == JSON_OBJECT ? find(object, name) : NULL;
    if (cursor->misses < MISSES_MAX) {
        cursor->misses++;
        if (pair) cursor->next = (size_t)(pair - object->pairs) + 1;
    }
    return pair ? pair->value : NULL;
}

const struct json *json_seek(struct json_cursor *cursor, const struct json *object, struct text name) {
    if (cursor->object != object) *cursor = (struct json_cursor){.object = object};
    if (cursor->misses < MISSES_MAX && cursor->next < json_size(object) && object->kind == JSON_OBJECT &&
        is_named(&object->pairs[cursor->next], name))
        return object->pairs[cursor->next++].value;
    return seek_anew(cursor, object, name);
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

static struct json *constant(const struct json *value) {
    return (struct json *)(uintptr_t)value; /* whoever builds on it is told by an assertion */
}

struct json *json_new_null(struct arena *arena) {
    (void)arena;
    return constant(&json_tree_null);
}

struct json *json_new_bool(struct arena *arena, bool value) {
    (void)arena;
    return constant(value ? &json_tree_true : &json_tree_false);
}

struct json *json_new_int(struct arena *arena, int64_t value) {
    struct json *made = json_tree_new(arena, JSON_INT, 0);
    made->integer = value;
    return made;
}

struct json *json_new_real(struct arena *arena, double value) {
    if (!isfinite(value)) return json_new_null(arena);
    struct json *made = json_tree_new(arena, JSON_REAL, 0);
    made->real = value;
    return made;
}

static size_t good_character(struct text t) {
    for (size_t n = 1; n <= 4 && n <= t.len; n++)
        if (text_utf8_check((struct text){t.at, n})) return t.at[0] ? n : 0;
    return 0;
}

static struct json *new_clean(struct arena *arena, struct text value) {
    struct json *made = json_tree_new(arena, JSON_STRING, value.len + 1);
    char *text = (char *)(made + 1);
    if (value.len) memcpy(text, value.at, value.len);
    made->text = text;
    made->size = value.len;
    return made;
}

static struct json *new_mended(struct arena *arena, struct text value) {
    struct buf buf;
    buf_init(&buf, value.len * 3);
    for (size_t i = 0; i < value.len;) {
        size_t n = good_character((struct text){value.at + i, value.len - i});
        if (n) buf_add(&buf, value.at + i, n);
        else buf_adds(&buf, "\xEF\xBF\xBD");
        i += n ? n : 1;
    }
    struct json *made = new_clean(arena, buf_text(&buf));
    buf_fini(&buf);
    return made;
}

static bool is_clean(struct text t) {
    return t.len == 0 || (!memchr(t.at, 0, t.len) && text_utf8_check(t));
}

struct json *json_new_text(struct arena *arena, struct text value) {
    return is_clean(value) ? new_clean(arena, value) : new_mended(arena, value);
}

struct json *json_new_string(struct arena *arena, const char *value) {
    return value ? json_new_text(arena, text_of(value)) : json_new_null(arena);
}

struct json *json_new_array(struct arena *arena) {
    return json_tree_new(arena, JSON_ARRAY, 0);
}

struct json *json_new_object(struct arena *arena) {
    return json_tree_new(arena, JSON_OBJECT, 0);
}

static uint32_t more_room(const struct json *container) {
    if (container->room > UINT32_MAX / 2) abort(); /* far beyond what the limits on texts let come up */
    return container->room ? container->room * 2 : ROOM_FIRST;
}

static void push(struct json *array, const struct json *value) {
    if (array->size == array->room) {
        array->room = more_room(array);
        const struct json **items = arena_array_of(array->arena, const struct json *, array->room);
        if (array->size) memcpy(items, array->items, array->size * sizeof *items);
        array->items = items;
    }
    array->items[array->size++] = value;
}

static void add_pair(struct json *object, struct text name, const struct json *value) {
    const struct json_pair *ignored;
    struct json_pair pair = {arena_strndup(object->arena, name.at, name.len), (uint32_t)name.len, 0, value};
    bool grows = object->size == object->room;
    if (grows) {
        object->room = more_room(object);
        struct json_pair *pairs = arena_alloc(object->arena, json_tree_pairs_bytes(object->room));
        if (object->size) memcpy(pairs, object->pairs, object->size * sizeof *pairs);
        object->pairs = pairs;
    }
    object->pairs[object->size++] = pair;
    if (grows) json_tree_index(object, &ignored);
    else if (object->room > JSON_TREE_FEW) index_pair(object, object->size - 1);
}

static const struct json *copy(struct arena *arena, const struct json *value) {
    struct json *made;
    switch (value->kind) {
    case JSON_STRING: return new_clean(arena, json_text(value));
    case JSON_ARRAY:
        made = json_new_array(arena);
        for (size_t i = 0; i < value->size; i++) json_push(made, value->items[i]);
        return made;
    case JSON_OBJECT:
        made = json_new_object(arena);
        for (size_t i = 0; i < value->size; i++)
            json_set_text(made, (struct text){value->pairs[i].name, value->pairs[i].len}, value->pairs[i].value);
        return made;
    default:
        made = json_tree_new(arena, value->kind, 0);
        made->integer = value->integer; /* or whatever of that size it is */
        return made;
    }
}

const struct json *json_share(struct arena *arena, const struct json *value) {
    return !value || !value->arena || value->arena == arena ? value : copy(arena, value);
}

static const struct json *kept(const struct json *container, const struct json *value) {
    return value ? json_share(container->arena, value) : &json_tree_null;
}

void json_push(struct json *array, const struct json *value) {
    assert(array->kind == JSON_ARRAY);
    push(array, kept(array, value));
}

void json_set(struct json *object, const char *name, const struct json *value) {
    json_set_text(object, text_of(name), value);
}

void json_set_text(struct json *object, struct text name, const struct json *value) {
    assert(object->kind == JSON_OBJECT && is_clean(name) && name.len <= UINT32_MAX);
    if (!name.at) name = TEXT("");
    struct json_pair *pair = find(object, name);
    if (pair) pair->value = kept(object, value);
    else add_pair(object, name, kept(object, value));
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
    buf_addc(out, '[');
    for (size_t i = 0; i < json_size(array) && !out->full; i++) {
        if (i) buf_addc(out, ',');
        write_break(out, inner);
        write_value(out, json_at(array, i), inner);
    }
    if (json_size(array)) write_break(out, style);
    buf_addc(out, ']');
}

static void write_object(struct buf *out, const struct json *object, struct style style) {
    struct style inner = {style.spaces, style.level + 1};
    const char *separator = "";
    buf_addc(out, '{');
    for (struct json_member m = json_first(object); m.name.at && !out->full; m = json_next(object, m)) {
        buf_adds(out, separator);
        separator = ",";
        write_break(out, inner);
        buf_add_json_string(out, m.name);
        buf_adds(out, style.spaces ? ": " : ":");
        write_value(out, m.value, inner);
    }
    if (json_size(object)) write_break(out, style);
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

size_t json_depth(const struct json *value) {
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
