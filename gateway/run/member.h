/* Members of a JSON object that is being written as text: the comma before them where one is needed, the name, the
 * value. A name is a literal that needs no escape; quotes, comma and colon are put around it by the compiler. */
#ifndef RUN_MEMBER_H
#define RUN_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define MEMBER(name) TEXT(",\"" name "\":")

/* `out` ends in the object's { or in a member of it. The value follows. */
#define member_name(out, name) member_begin((out), MEMBER(name))
#define member_string(out, name, value) member_add_string((out), MEMBER(name), (value)) /* UTF-8; NULL: null */
#define member_time(out, name, wall_ms) member_add_time((out), MEMBER(name), (wall_ms)) /* RFC 3339; 0: null */
#define member_number(out, name, value) member_add_number((out), MEMBER(name), (value))
#define member_known(out, name, value, known) \
    member_add_known((out), MEMBER(name), (value), (known)) /* null where it is not */
#define member_bool(out, name, value) member_add_bool((out), MEMBER(name), (value))

/* The same for who has a MEMBER in hand. */
void member_begin(struct buf *out, struct text member);
void member_add_string(struct buf *out, struct text member, const char *value);
void member_add_time(struct buf *out, struct text member, int64_t wall_ms);
void member_add_number(struct buf *out, struct text member, int64_t value);
void member_add_known(struct buf *out, struct text member, int64_t value, bool known);
void member_add_bool(struct buf *out, struct text member, bool value);

#endif
