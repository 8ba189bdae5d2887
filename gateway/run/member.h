/* Members of a JSON object that is being written as text: the comma before them where one is needed, the name, the
 * value. */
#ifndef RUN_MEMBER_H
#define RUN_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* `out` ends in the object's { or in a member of it; `name` needs no escape. The value follows. */
void member_name(struct buf *out, const char *name);
void member_string(struct buf *out, const char *name, const char *value); /* UTF-8; NULL: null */
void member_time(struct buf *out, const char *name, int64_t wall_ms);     /* RFC 3339; 0: null */
void member_number(struct buf *out, const char *name, int64_t value);
void member_known(struct buf *out, const char *name, int64_t value, bool known); /* null where it is not */
void member_bool(struct buf *out, const char *name, bool value);

#endif
