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

/* Does the path lead into one member of the root alone, whatever the root is? */
bool jsonpath_into(const struct jsonpath *path, struct text *ret_name);

/* Of a singular path: does it lead nowhere since the value has another form than the path expects? False where it leads
 * to a node; and where it ends at an array with too few elements, or at a null inside, which is a value of that form
 * with nothing to give. */
bool jsonpath_misfits(const struct jsonpath *path, const struct json *root);

struct jsonpath_nodes {
    const struct json **items; /* in the arena; borrowed from the root value */
    const char **paths;        /* normalised (RFC 9535, 2.7), in the arena; NULL if they were not asked for */
    size_t count;
};

/* All nodes in RFC order. Fails (TOO_LARGE) past 10,000 nodes, 1,000,000 visited values or 2,000,000 steps of match()
 * and search() (lang/pattern.h); what a comparison or a length looks through counts as visited, each 64 bytes of a
 * string like a value. A pattern written in the path itself has to be an I-Regexp; one that a document brings and that
 * is none matches nothing. */
bool jsonpath_find(const struct jsonpath *path, const struct json *root, struct arena *arena,
                   struct jsonpath_nodes *ret_nodes, struct fault *fault);
/* The same with the path of each node. Fails (TOO_LARGE) past 16 MiB of paths too. */
bool jsonpath_locate(const struct jsonpath *path, const struct json *root, struct arena *arena,
                     struct jsonpath_nodes *ret_nodes, struct fault *fault);

/* The first node, or NULL where there is none (or a limit was met). For a singular path no allocation is made. */
const struct json *jsonpath_first(const struct jsonpath *path, const struct json *root, struct arena *arena);

#endif
