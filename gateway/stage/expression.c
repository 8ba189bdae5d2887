/* Finds expressions that are left over, and says what may have gone wrong.
 *
 * In JSON they are looked for in the values, so that escapes hide none. A body that is none is read leniently: only as
 * far as it takes to know which member one stands at. Its braces are matched with quotes in mind, for an expression is
 * full of them, and those inside it end no text of the JSON around it. */
#include "stage/expression.h"

#include <stdio.h>
#include <string.h>

#define POINTER_MAX 200
#define DEPTH_MAX 64

bool expression_is_left(struct text t) {
    return text_holds(t, "${");
}

/* Behind the brace that closes the expression at `at`; `end` where none does. */
static const char *behind(const char *at, const char *end) {
    char quote = 0;
    int depth = 0;
    for (; at < end; at++) {
        if (quote) quote = *at == quote ? 0 : quote;
        else if (*at == '\'') quote = '\'';
        else if (*at == '{') depth++;
        else if (*at == '}' && --depth == 0) return at + 1;
    }
    return end;
}

/* A colon between the braces, which Spring takes for the beginning of a default value. */
static bool has_colon(struct text t) {
    const char *end = t.at + t.len, *at = t.at, *next;
    for (; (at = memmem(at, (size_t)(end - at), "${", 2)); at = next) {
        next = behind(at, end); /* what stands inside of it has been looked at as well */
        if (memchr(at, ':', (size_t)(next - at))) return true;
    }
    return false;
}

void expression_refuse(const char *where, struct text t, struct faults *faults) {
    static const char left[] = "holds \"${\": an expression that Spinnaker could not evaluate, and sent as it stands. ";
    if (has_colon(t))
        faults_addf(
            faults, FAULT_INVALID, where,
            "%sIt has a \":\", and in orca.yml Spring takes what follows a \":\" inside ${…} for a default value "
            "when orca starts, which leaves the rest broken: ?:, a ? b : c and maps do not work there. Put "
            "defaults and choices into the stage's definition",
            left);
    else
        faults_addf(
            faults, FAULT_INVALID, where,
            "%sIs a name in it misspelt or without a value? In orca.yml, a \":\" inside ${…} is eaten when orca "
            "starts",
            left);
}

void expression_add_pointer(struct buf *where, struct text name) {
    if (where->len < POINTER_MAX) buf_addc(where, '/');
    for (size_t i = 0; i < name.len && where->len < POINTER_MAX; i++) {
        if (name.at[i] == '~') buf_adds(where, "~0");
        else if (name.at[i] == '/') buf_adds(where, "~1");
        else buf_addc(where, name.at[i]);
    }
}

static void cut(struct buf *where, size_t len) {
    where->len = len;
    if (where->at) where->at[len] = 0;
}

bool expression_is_inside(const struct json *value) {
    if (json_kind(value) == JSON_STRING) return expression_is_left(json_text(value));
    for (size_t i = 0; json_kind(value) == JSON_ARRAY && i < json_size(value); i++)
        if (expression_is_inside(json_at(value, i))) return true;
    if (json_kind(value) != JSON_OBJECT) return false;
    for (struct json_member m = json_first(value); m.name.at; m = json_next(value, m))
        if (expression_is_left(m.name) || expression_is_inside(m.value)) return true;
    return false;
}

bool expression_find(const struct json *value, struct buf *where, struct faults *faults) {
    size_t len = where->len;
    bool found = false;
    if (json_kind(value) == JSON_STRING && expression_is_left(json_text(value))) {
        expression_refuse(buf_cstr(where), json_text(value), faults);
        return true;
    }
    for (size_t i = 0; json_kind(value) == JSON_ARRAY && i < json_size(value); i++) {
        buf_addf(where, "/%zu", i);
        found |= expression_find(json_at(value, i), where, faults);
        cut(where, len);
    }
    if (json_kind(value) != JSON_OBJECT) return found;
    for (struct json_member m = json_first(value); m.name.at; m = json_next(value, m)) {
        expression_add_pointer(where, m.name);
        if (expression_is_left(m.name)) {
            expression_refuse(buf_cstr(where), m.name, faults);
            found = true;
        }
        found |= expression_find(m.value, where, faults);
        cut(where, len);
    }
    return found;
}

/* ---- what is no JSON ---- */

struct reader {
    const char *at, *end;
    struct buf where;
    struct {
        bool array;
        size_t index, len; /* len: of `where` in front of the member */
    } levels[DEPTH_MAX];
    size_t depth;
    struct text last; /* the text read last: a member's name, if a colon follows */
    bool found;
    struct faults *faults;
};

static void refuse_here(struct reader *r, const char *begin, const char *end) {
    expression_refuse(r->where.len ? buf_cstr(&r->where) : "/", (struct text){begin, (size_t)(end - begin)}, r->faults);
    r->found = true;
}

static bool begins(const struct reader *r) {
    return r->end - r->at >= 2 && r->at[0] == '$' && r->at[1] == '{';
}

static void skip_expression(struct reader *r) {
    const char *begin = r->at;
    r->at = behind(r->at, r->end);
    refuse_here(r, begin, r->at);
}

static void read_string(struct reader *r) {
    const char *begin = ++r->at;
    while (r->at < r->end && *r->at != '"') {
        if (begins(r)) {
            skip_expression(r);
            continue;
        }
        if (*r->at == '\\' && r->at + 1 < r->end) r->at++;
        r->at++;
    }
    r->last = (struct text){begin, (size_t)(r->at - begin)};
    if (r->at < r->end) r->at++;
}

static void point_at_index(struct reader *r) {
    cut(&r->where, r->levels[r->depth].len);
    if (r->levels[r->depth].array && r->where.len < POINTER_MAX) buf_addf(&r->where, "/%zu", r->levels[r->depth].index);
}

static void open_level(struct reader *r, bool array) {
    if (r->depth + 1 < DEPTH_MAX) r->depth++;
    r->levels[r->depth].array = array;
    r->levels[r->depth].index = 0;
    r->levels[r->depth].len = r->where.len;
    point_at_index(r);
}

static void close_level(struct reader *r) {
    cut(&r->where, r->levels[r->depth].len);
    if (r->depth > 0) r->depth--;
}

static void read_sign(struct reader *r) {
    char c = *r->at++;
    if (c == '{' || c == '[') open_level(r, c == '[');
    if (c == '}' || c == ']') close_level(r);
    if (c == ',') {
        r->levels[r->depth].index++;
        point_at_index(r);
    }
    if (c == ':' && !r->levels[r->depth].array) {
        cut(&r->where, r->levels[r->depth].len);
        expression_add_pointer(&r->where, r->last);
    }
}

bool expression_find_raw(struct text body, struct faults *faults) {
    struct reader r = {.at = body.at, .end = body.at + body.len, .faults = faults};
    if (!expression_is_left(body)) return false;
    buf_init(&r.where, 64 * 1024);
    while (r.at < r.end && faults->count < FAULTS_MAX) {
        if (begins(&r)) skip_expression(&r);
        else if (*r.at == '"') read_string(&r);
        else read_sign(&r);
    }
    buf_fini(&r.where);
    return r.found;
}
