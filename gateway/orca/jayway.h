/* Jayway's JsonPath, which orca reads replies by, translated into RFC 9535. */
#ifndef ORCA_JAYWAY_H
#define ORCA_JAYWAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#define JAYWAY_MAX_BYTES 8192
#define JAYWAY_MAX_PARTS 32

/* A text, or where one is found. */
struct jayway_part {
    bool is_path;
    struct text text;   /* if it is no path */
    const char *path;   /* RFC 9535 */
    const char *member; /* of the same in the template language, behind the document's name: ".a['b c'][0]" */
};

struct jayway {
    bool definite;                   /* leads to one place at most: orca gets a value, and of any other path a list */
    const char *path;                /* RFC 9535; NULL for concat() */
    const char *member;              /* as above; NULL unless it is definite */
    const struct jayway_part *parts; /* of concat("…", $.x): definite paths and texts */
    size_t part_count;
};

/* In `arena`. False with the reason and the column where a path cannot be translated (UNSUPPORTED) or is none (SYNTAX).
 */
bool jayway_read(struct arena *arena, struct text source, struct jayway *ret, struct fault *fault);

#endif
