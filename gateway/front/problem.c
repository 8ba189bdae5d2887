/* From faults to problem documents.
 *
 * `detail` begins with what is wrong, since orca shows its users little more than the beginning of an error's body. */
#include "front/problem.h"

#include <string.h>

#include "front/answer.h"

int problem_status(enum fault_kind kind) {
    static const int statuses[] = {
        [FAULT_NONE] = 500,      [FAULT_SYNTAX] = 400,      [FAULT_INVALID] = 422,      [FAULT_UNDEFINED] = 422,
        [FAULT_TOO_LARGE] = 413, [FAULT_UNSUPPORTED] = 415, [FAULT_UNAUTHORIZED] = 401, [FAULT_FORBIDDEN] = 403,
        [FAULT_NOT_FOUND] = 404, [FAULT_CONFLICT] = 409,    [FAULT_GONE] = 410,         [FAULT_BUSY] = 503,
        [FAULT_IO] = 503,        [FAULT_UPSTREAM] = 502,    [FAULT_INTERNAL] = 500,
    };
    return (size_t)kind < sizeof statuses / sizeof *statuses ? statuses[kind] : 500;
}

/* What a client sent may stand in a sentence: not as something that orca would evaluate, and not as bytes that are no
 * text. */
static void add_text(struct buf *out, const char *name, const char *value) {
    buf_addf(out, ",\"%s\":\"", name);
    for (const char *at = value; *at;) {
        size_t n = strcspn(at, "$");
        struct text piece = {at, n};
        if (text_utf8_check(piece)) buf_add_json_inner(out, piece);
        else buf_adds(out, "?");
        at += n;
        if (*at) buf_adds(out, at[1] == '{' ? "$ " : "$"), at++;
    }
    buf_addc(out, '"');
}

void problem_write(struct buf *out, int status, const char *kind, const char *detail, const struct fault *faults,
                   size_t count) {
    buf_addf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d", answer_phrase(status), status);
    add_text(out, "detail", detail);
    if (kind) add_text(out, "kind", kind);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (!faults[i].where[0]) continue;
        buf_adds(out, any ? "},{" : ",\"errors\":[{");
        size_t begin = out->len;
        add_text(out, "pointer", faults[i].where);
        add_text(out, "detail", faults[i].what);
        if (out->len > begin) memmove(out->at + begin, out->at + begin + 1, out->len - begin), out->len--;
        any = true;
    }
    buf_adds(out, any ? "}]}" : "}");
}
