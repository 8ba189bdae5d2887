/* Reports, records and explanations are written member by member, without a tree in between: they are made far more
 * often than anything else that is JSON here. */
#include "run/member.h"

#include "base/clock.h"

void member_name(struct buf *out, const char *name) {
    buf_adds(out, out->at[out->len - 1] == '{' ? "\"" : ",\"");
    buf_adds(out, name);
    buf_adds(out, "\":");
}

void member_string(struct buf *out, const char *name, const char *value) {
    member_name(out, name);
    if (value) buf_add_json_string(out, text_of(value));
    else buf_adds(out, "null");
}

void member_time(struct buf *out, const char *name, int64_t wall_ms) {
    char text[CLOCK_TEXT_SIZE];
    clock_format(wall_ms, text);
    member_string(out, name, wall_ms ? text : NULL);
}

void member_number(struct buf *out, const char *name, int64_t value) {
    member_name(out, name);
    buf_addi(out, value);
}

void member_known(struct buf *out, const char *name, int64_t value, bool known) {
    member_name(out, name);
    if (known) buf_addi(out, value);
    else buf_adds(out, "null");
}

void member_bool(struct buf *out, const char *name, bool value) {
    member_name(out, name);
    buf_adds(out, value ? "true" : "false");
}
