/* JSON text that is read where it stands: one pass, no tree, no memory. For texts of our own making, of which a few
 * members are wanted and the others kept as they are: records.
 *
 * A value is a slice of its text; an empty slice is a value that is not there, and is read as null. */
#ifndef LANG_JSON_WALK_H
#define LANG_JSON_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"

#define JSON_WALK_DEPTH 256 /* arrays and objects inside each other */

/* Finds the values of an object's members by their names, which are quickest to find in the order of the text; names
 * that are written with escapes are not found. False, with the place in bytes, for a text that is no object, is not
 * valid JSON in any of its parts, is nested too deep, or has one of the names twice. What it does not look for: other
 * names that occur twice, and reals beyond double. */
bool json_walk_members(struct text object, const struct text *names, size_t count, struct text *ret_values,
                       size_t *ret_at);

/* The next element of an array; `*rest` is the array at first. False behind the last one, and for what is none. */
bool json_walk_next(struct text *rest, struct text *ret_value);

/* Moves `*at` behind one value and the space around it; false, with `*at` at what is wrong, where there is none, or one
 * with more than `depth` arrays and objects inside each other. */
bool json_walk_pass(const char **at, const char *end, size_t depth);

/* ---- values, of a text that was walked ---- */
enum json_kind json_walk_kind(struct text value);
bool json_walk_empty(struct text value);   /* an array or object without anything in it, or none of both */
int64_t json_walk_int(struct text value);  /* of a JSON_INT within 64 bits; else 0 */
char *json_walk_string(struct text value); /* of a JSON_STRING; else NULL. GIVES */
char *json_walk_string_in(struct arena *arena, struct text value); /* the same in an arena */

#endif
