/* Reports, records and explanations are written member by member, without a tree in between: they are made far more
 * often than anything else that is JSON here. */
#include "run/member.h"

#include "base/clock.h"

void member_begin(struct buf *out, struct text member) {
    size_t comma = out->at[out->len - 1] != '{' ? 0 : 1;
    buf_add(out, member.at + comma, member.len - comma);
}

void member_add_string(struct buf *out, struct text member, const char *value) {
    member_begin(out, member);
    if (value) buf_add_json_string(out, text_of(value));
    else buf_adds(out, "null");
}

void member_add_time(struct buf *out, struct text member, int64_t wall_ms) {
    char text[CLOCK_TEXT_SIZE];
    member_begin(out, member);
    if (wall_ms) clock_format(wall_ms, text);
    if (wall_ms) buf_addc(out, '"'), buf_add(out, text, sizeof text - 1), buf_addc(out, '"');
    else buf_adds(out, "null");
}

void member_add_number(struct buf *out, struct text member, int64_t value) {
    member_begin(out, member);
    buf_addi(out, value);
}

void member_add_known(struct buf *out, struct text member, int64_t value, bool known) {
    member_begin(out, member);
    if (known) buf_addi(out, value);
    else buf_adds(out, "null");
}

void member_add_bool(struct buf *out, struct text member, bool value) {
    member_begin(out, member);
    buf_adds(out, value ? "true" : "false");
}
