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
#define member_string(out, name, value) (member_name(out, name), member_put_string((out), (value)))
#define member_time(out, name, wall_ms) (member_name(out, name), member_put_time((out), (wall_ms)))
#define member_number(out, name, value) (member_name(out, name), buf_addi((out), (value)))
#define member_known(out, name, value, known) (member_name(out, name), member_put_known((out), (value), (known)))
#define member_bool(out, name, value) (member_name(out, name), buf_adds((out), (value) ? "true" : "false"))

/* For who has a MEMBER in hand. Inline, since of a literal the compiler knows the length. */
static inline void member_begin(struct buf *out, struct text member) {
    if (out->at[out->len - 1] != '{') buf_addt(out, member);
    else buf_add(out, member.at + 1, member.len - 1);
}

/* Values alone. */
void member_put_string(struct buf *out, const char *value);        /* UTF-8; NULL: null */
void member_put_time(struct buf *out, int64_t wall_ms);            /* RFC 3339; 0: null */
void member_put_known(struct buf *out, int64_t value, bool known); /* null where it is not */

#endif
