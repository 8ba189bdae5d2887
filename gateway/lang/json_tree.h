/* What a JSON value is made of. Private to lang/json and lang/json_parse. */
#ifndef LANG_JSON_TREE_H
#define LANG_JSON_TREE_H

#include "lang/json.h"

/* `hash` is of use where the object has an index. */
struct json_pair {
    const char *name; /* a NUL behind it */
    uint32_t len, hash;
    const struct json *value;
};

/* All that a value points to lies in its own arena, or for ever. */
struct json {
    enum json_kind kind;
    uint32_t room;       /* elements or members that fit */
    size_t size;         /* elements, members, or bytes of the text */
    struct arena *arena; /* NULL: it is a constant */
    union {
        bool truth;
        int64_t integer;
        double real;
        const char *text; /* a NUL behind it */
        const struct json **items;
        struct json_pair *pairs; /* in the order of their making; behind `room` of them the index */
    };
};

#define JSON_TREE_FEW 8 /* members that are looked through one by one; an object with more room has an index */

extern const struct json json_tree_null, json_tree_false, json_tree_true;

struct json *json_tree_new(struct arena *arena, enum json_kind kind, size_t behind); /* with so many bytes behind it */
size_t json_tree_pairs_bytes(size_t room); /* what so many members take, with their index */

/* An object's members have been put in place: makes their index. False where a name is there twice; *ret_second is the
 * later one. */
bool json_tree_index(struct json *object, const struct json_pair **ret_second);

#endif
