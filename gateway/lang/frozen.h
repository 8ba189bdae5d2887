/* A JSON value at rest: its compact text and nothing else, a tenth of what a tree takes.
 *
 * To be read it is thawed into the arena of whoever reads it, and ends with that. NULL is JSON null. */
#ifndef LANG_FROZEN_H
#define LANG_FROZEN_H

#include "lang/json.h"

struct frozen;

struct frozen *frozen_new(const struct json *value);           /* GIVES; NULL for null */
struct frozen *frozen_of_text(struct text text);               /* the same of JSON as frozen_text gives it */
void frozen_free(struct frozen *frozen);                       /* NULL is allowed */
void frozen_put(struct frozen **to, const struct json *value); /* in place of what is there */
/* The same, if its text has no more bytes than that; else what is there stays, and false. */
bool frozen_put_within(struct frozen **to, const struct json *value, size_t max);
/* What templates have nested deeper than the 512 levels of json_parse is null, as it is after a restart. */
const struct json *frozen_thaw(struct arena *arena, const struct frozen *frozen);
struct text frozen_text(const struct frozen *frozen); /* JSON as json_write makes it; borrowed */

#endif
