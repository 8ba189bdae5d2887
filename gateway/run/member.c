/* Reports, records and explanations are written member by member, without a tree in between: they are made far more
 * often than anything else that is JSON here. */
#include "run/member.h"

#include "base/clock.h"

void member_put_string(struct buf *out, const char *value) {
    if (value) buf_add_json_string(out, text_of(value));
    else buf_adds(out, "null");
}

void member_put_time(struct buf *out, int64_t wall_ms) {
    char text[1 + CLOCK_TEXT_SIZE];
    if (!wall_ms) {
        buf_adds(out, "null");
        return;
    }
    clock_format(wall_ms, text + 1);
    text[0] = text[CLOCK_TEXT_SIZE] = '"';
    buf_add(out, text, sizeof text);
}

void member_put_known(struct buf *out, int64_t value, bool known) {
    if (known) buf_addi(out, value);
    else buf_adds(out, "null");
}
