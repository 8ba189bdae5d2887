/* JSON values: parsing within limits, reading, building and writing. jansson stays behind this file.
 *
 * A value belongs to the arena it was made into, and is immutable once it has been handed to anyone else. Values may be
 * shared between threads for reading. All strings are UTF-8 (RFC 3629) without NUL. */
#ifndef LANG_JSON_H
#define LANG_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

struct json; /* a value */

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_limits {
    size_t max_bytes;
    size_t max_depth; /* arrays and objects inside each other; at most 512 */
    size_t max_items; /* values in all: a short text can be a large tree (jansson takes up to 79 x its text) */
};

/* Parses one JSON text (RFC 8259), any value at the top. Refused: duplicate names, lone surrogates, U+0000, invalid
 * UTF-8, a byte order mark, anything over a limit, reals beyond double. An integer beyond 64 bits becomes a real, the
 * others of the text stay exact. The fault has kind SYNTAX or TOO_LARGE and a sentence with line and column; `where` is
 * left empty. */
const struct json *json_parse(struct arena *arena, struct text source, const struct json_limits *limits,
                              struct fault *fault);

/* Which members of an object somebody looks at. */
struct json_name {
    const struct json_name *next;
    struct text text;
};
struct json_wanted {
    bool all;
    const struct json_name *names; /* of the members, if not all */
};
bool json_wants(const struct json_wanted *wanted, struct text name); /* NULL wants all */

/* The same, but of an object at the top those members alone are made. The others are passed over, as json_walk_members
 * does it: they count for no limit but that of depth, and there names that occur twice and reals beyond double are not
 * looked for. */
const struct json *json_parse_wanted(struct arena *arena, struct text source, const struct json_limits *limits,
                                     const struct json_wanted *wanted, struct fault *fault);

/* For a text that json_parse refuses since a name occurs twice in one object: where the second one ends, behind its
 * quote. False if that is not what is wrong. */
bool json_find_twice(struct text source, size_t *ret_end);

/* ---- reading; every function takes NULL for `value` as JSON null ---- */
enum json_kind json_kind(const struct json *value);
const char *
json_kind_word(enum json_kind kind);          /* "null", "boolean", "integer", "number", "string", "array", "object" */
bool json_truth(const struct json *value);    /* of a JSON_BOOL */
int64_t json_int(const struct json *value);   /* of a JSON_INT; a JSON_REAL is truncated within range; else 0 */
double json_number(const struct json *value); /* of a JSON_INT or JSON_REAL; else 0 */
struct text json_text(const struct json *value); /* of a JSON_STRING; NUL-terminated behind len; else empty */
/* All of that in one call. */
struct value;
void json_open(const struct json *json, struct value *ret);
size_t json_size(const struct json *value);                                /* elements or members; 0 for others */
const struct json *json_at(const struct json *array, size_t index);        /* NULL past the end */
const struct json *json_get(const struct json *object, struct text name);  /* NULL when absent */
const struct json *json_gets(const struct json *object, const char *name); /* the same for a C string */
const char *json_gets_text(const struct json *object, const char *name);   /* a string member, or NULL */
bool json_same(const struct json *a,
               const struct json *b); /* RFC 9535 equality: 1 == 1.0, order of members is ignored */

struct json_member {
    struct text name;
    const struct json *value;
    void *next; /* private */
};
/* for (struct json_member m = json_first(o); m.name.at; m = json_next(o, m)) … in the order of the source */
struct json_member json_first(const struct json *object);
struct json_member json_next(const struct json *object, struct json_member member);

/* json_get() for who asks for members one after the other, as templates do: the member behind the one that was found
 * last is looked at before the others are searched, until that has failed a few times. A zeroed cursor is a new one; an
 * object that is built on meanwhile must not be sought in. `name` holds no NUL, and one stands behind it. */
struct json_cursor {
    const struct json *object;
    void *next;      /* private */
    unsigned misses; /* private */
};
const struct json *json_seek(struct json_cursor *cursor, const struct json *object, struct text name);

/* ---- building ---- */
/* As a string takes it: bytes that are not UTF-8, or NUL, become U+FFFD. False, and nothing written, where there are
 * none. */
bool json_mend_text(struct text t, struct buf *ret_mended); /* GIVES, to buf_fini in any case */
struct json *json_new_null(struct arena *arena);
struct json *json_new_bool(struct arena *arena, bool value);
struct json *json_new_int(struct arena *arena, int64_t value);
struct json *json_new_real(struct arena *arena, double value);        /* not finite: null */
struct json *json_new_text(struct arena *arena, struct text value);   /* mended */
struct json *json_new_string(struct arena *arena, const char *value); /* NULL gives null */
struct json *json_new_array(struct arena *arena);
struct json *json_new_object(struct arena *arena);
/* Store a reference: the child lives as long as the parent, whatever arena it came from. NULL is null. */
void json_push(struct json *array, const struct json *value);
void json_set(struct json *object, const char *name, const struct json *value); /* replaces */
void json_set_text(struct json *object, struct text name, const struct json *value);
/* A new object with the members of one, or of nothing: those before `end`, which is a name of it as json_first and
 * json_next give them; NULL: all. */
struct json *json_copy_members(struct arena *arena, const struct json *object, const char *end);
const struct json *json_share(struct arena *arena,
                              const struct json *value); /* the same value, kept alive by `arena` as well */

/* ---- writing ---- */
void json_write(struct buf *out, const struct json *value); /* compact; doubles in the shortest form that reads back */
void json_write_text(struct buf *out, const struct json *value); /* as text in a template: a string bare, null as "" */
void json_write_indented(struct buf *out, const struct json *value, unsigned spaces);
void json_write_real(struct buf *out, double value); /* as json_write writes a finite number */

#endif
