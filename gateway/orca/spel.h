/* Spring's expression language, as far as people write it in orca.yml: text with ${…} in it, taken apart and parsed. */
#ifndef ORCA_SPEL_H
#define ORCA_SPEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#define SPEL_MAX_BYTES 10000 /* of one expression; Spring's own limit */
#define SPEL_MAX_DEPTH 64
#define SPEL_MAX_PARTS 2000 /* of one text */

enum spel_kind {
    SPEL_NULL,
    SPEL_BOOL,     /* text: "true" or "false" */
    SPEL_INT,      /* text: decimal digits */
    SPEL_REAL,     /* text: as JSON writes a number */
    SPEL_STRING,   /* text: what it means */
    SPEL_NAME,     /* text: a property of the root: parameterValues */
    SPEL_VARIABLE, /* text: #name without brackets */
    SPEL_CALL,     /* text: #name(items) */
    SPEL_MEMBER,   /* a.text */
    SPEL_INDEX,    /* a[b] */
    SPEL_METHOD,   /* a.text(items) */
    SPEL_UNARY,    /* text: "-", "+" or "not"; of a */
    SPEL_BINARY,   /* text: "or", "and", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"; of a and b */
    SPEL_ELVIS,    /* a ?: b */
    SPEL_TERNARY,  /* a ? b : c */
    SPEL_LIST,     /* {items} */
    SPEL_MAP       /* {key: value, …}: items are keys and values in turn; a bare key is a SPEL_STRING */
};

struct spel {
    enum spel_kind kind;
    struct text text;
    struct text source; /* as written */
    const struct spel *a, *b, *c;
    const struct spel *const *items;
    size_t count;
};

/* The pieces of a text: as it stands, or what is between ${ and its }. */
struct spel_part {
    bool is_expression;
    struct text text; /* a slice of the source */
};

/* False with a fault about a ${ that is never closed, or too many of them. */
bool spel_split(struct arena *arena, struct text source, struct spel_part **ret_parts, size_t *ret_count,
                struct fault *fault);

/* In `arena`; slices of `source` are kept. NULL with a fault: SYNTAX, or UNSUPPORTED for what SpEL has and is never
 * translated: types (T(…)), new, selections (.?[…]), beans, assignments, matches, instanceof, between, powers. */
const struct spel *spel_parse(struct arena *arena, struct text source, struct fault *fault);

#endif
