/* YAML (1.1, as orca's configuration is written), read into plain values that know their line. libyaml stays behind
 * yaml_read.c. */
#ifndef ORCA_YAML_READ_H
#define ORCA_YAML_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#define YAML_MAX_BYTES ((size_t)4 * 1024 * 1024)
#define YAML_MAX_NODES 100000 /* also pairs that a merge key (<<) copies */
#define YAML_MAX_DEPTH 64
#define YAML_MAX_KEYS 2000 /* of one mapping */
#define YAML_MAX_DOCUMENTS 100

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

/* An alias is the node of its anchor, shared: who walks a tree has to bound his steps, not only its depth. */
struct yaml {
    enum yaml_kind kind;
    int line, column;   /* of its first character, from 1 */
    int text_line;      /* the line on which the text itself begins: the one below a | or > */
    bool plain, folded; /* written without quotes; written with > */
    struct text text;   /* UTF-8 without NUL; a NUL stands behind it */
    struct yaml_pair *pairs;
    struct yaml *const *items;
    size_t count; /* pairs or items */
};

struct yaml_pair {
    const struct yaml *key; /* a YAML_TEXT */
    const struct yaml *value;
};

/* All documents of a file. Refused, with "name:line:column": what is no YAML, bytes that are no UTF-8, a key twice in
 * one mapping, a key that is no text, an alias without an anchor or inside of its own, anything over a limit above. */
bool yaml_read(struct arena *arena, struct text source, const char *name, struct yaml ***ret_documents,
               size_t *ret_count, struct fault *fault);

const struct yaml *yaml_get(const struct yaml *map, const char *key); /* NULL where there is none, or it is no map */
bool yaml_is_null(const struct yaml *value); /* NULL, or a plain scalar that YAML reads as null: "", ~, null */
/* What SnakeYAML makes of a scalar, and Spring of that, where text is wanted: a plain yes is "true". */
struct text yaml_as_text(const struct yaml *value);

#endif
