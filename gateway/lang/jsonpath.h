/* JSONPath (RFC 9535), compiled once. */
#ifndef LANG_JSONPATH_H
#define LANG_JSONPATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"

struct jsonpath;

/* Lives in `arena`. The fault has kind SYNTAX and a sentence with the column and what was expected there. */
const struct jsonpath *jsonpath_compile(struct arena *arena, struct text source, struct fault *fault);

bool jsonpath_singular(const struct jsonpath *path); /* RFC 9535, 2.3.5.1: names and indexes only: at most one node */
const char *jsonpath_source(const struct jsonpath *path);

struct jsonpath_nodes {
    const struct json **items; /* in the arena; borrowed from the root value */
    size_t count;
};

/* All nodes in RFC order. Fails (TOO_LARGE) past 10,000 nodes or 1,000,000 visited values; match() and search() count
 * as 100 of them, and as 20,000 where they are hard. A pattern written in the path itself has to compile. */
bool jsonpath_find(const struct jsonpath *path, const struct json *root, struct arena *arena,
                   struct jsonpath_nodes *ret_nodes, struct fault *fault);

/* The first node, or NULL where there is none (or a limit was met). For a singular path no allocation is made. */
const struct json *jsonpath_first(const struct jsonpath *path, const struct json *root, struct arena *arena);

#endif
