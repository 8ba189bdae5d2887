/* Names in a file of Spring's: key and KEY, someKey, some-key and some_key are one. */
#ifndef ORCA_SPRING_H
#define ORCA_SPRING_H

#include <stdbool.h>

#include "orca/yaml_read.h"

bool spring_key_is(struct text key, const char *name);

/* NULL where there is none, or it is no map. */
const struct yaml *spring_member(const struct yaml *map, const char *name);

/* The setting `first.second` of a document, written as `first: {second: …}` or as `first.second: …`. */
const struct yaml *spring_find(const struct yaml *document, const char *first, const char *second);
#endif
