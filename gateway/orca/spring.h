/* Names in a file of Spring's: key and KEY, someKey, some-key and some_key are one. */
#ifndef ORCA_SPRING_H
#define ORCA_SPRING_H

#include <stdbool.h>

#include "orca/yaml_read.h"

/* Pairs of a file whose keys are one name to Spring. Where there are two, nobody knows which of them counts. */
struct spring_found {
    const struct yaml_pair *pairs[2]; /* the first ones, in the order of the file */
    size_t count;                     /* 0…2 */
};

bool spring_key_is(struct text key, const char *name);
bool spring_mentions(struct text text, const char *name); /* does it stand anywhere in it? */

struct spring_found spring_keys(const struct yaml *map, const char *name); /* none where it is no map */

/* The setting `first.second` of a document, written as `first: {second: …}` or as `first.second: …`. */
struct spring_found spring_paths(const struct yaml *document, const char *first, const char *second);

/* The value of the first of them; NULL where there is none. */
const struct yaml *spring_member(const struct yaml *map, const char *name);
const struct yaml *spring_find(const struct yaml *document, const char *first, const char *second);

/* Is the last level of a dotted key this name? *ret_before has those before it, {NULL, 0} where there are none. */
bool spring_path_ends(struct text path, const char *name, struct text *ret_before);
#endif
