/* The filters: small functions from value to value, in one table at the end of the file.
 *
 * They take what Jinja's take and give what Jinja's give, but are strict where Jinja guesses: a value of the wrong kind
 * is a fault, since a request made of a guess has been sent before anyone can look. upper and lower change ASCII
 * letters only. `default` is part of the language, and not here: it has to see that its value is undefined. */
#include "lang/filter.h"

#include <math.h>
#include <string.h>

#include "lang/url.h"

#define MADE_MAX ((size_t)16 << 20) /* bytes that one filter may make */

#define FILTER(name)                                                                          \
    static bool name(struct expr_run *run, const struct expr *expr, const struct json *value, \
                     const struct json *const *arguments, const struct json **ret, struct fault *fault)

static bool wrong_kind(const struct expr_run *run, const struct expr *expr, const struct json *value,
                       const char *wanted, struct fault *fault) {
    return expr_fault(run, expr, FAULT_INVALID, fault, "%s takes %s, but %.*s is of type %s", expr->filter->name,
                      wanted, TEXT_ARG(expr->a->source), json_kind_word(json_kind(value)));
}

static bool is_scalar(const struct json *value) {
    enum json_kind kind = json_kind(value);
    return kind != JSON_ARRAY && kind != JSON_OBJECT && kind != JSON_NULL;
}

/* The text of a scalar: into `room`, so that numbers need no arena. */
static struct text text_in(const struct json *value, struct buf *room) {
    if (json_kind(value) == JSON_STRING) return json_text(value);
    buf_clear(room);
    json_write_text(room, value);
    return buf_text(room);
}

static bool made(struct expr_run *run, const struct expr *expr, struct buf *out, const struct json **ret,
                 struct fault *fault) {
    bool good = !out->full;
    if (good) *ret = json_new_text(expr_scratch(run), buf_text(out));
    buf_fini(out);
    return good ||
           expr_fault(run, expr, FAULT_TOO_LARGE, fault, "%s makes more than %zu bytes", expr->filter->name, MADE_MAX);
}

static bool change_case(struct expr_run *run, const struct expr *expr, const struct json *value, char first, char shift,
                        const struct json **ret, struct fault *fault) {
    if (!is_scalar(value)) return wrong_kind(run, expr, value, "text", fault);
    struct buf out;
    buf_init(&out, MADE_MAX);
    json_write_text(&out, value);
    for (size_t i = 0; i < out.len; i++)
        if (out.at[i] >= first && out.at[i] <= first + 25) out.at[i] = (char)(out.at[i] + shift);
    return made(run, expr, &out, ret, fault);
}

FILTER(apply_upper) {
    (void)arguments;
    return change_case(run, expr, value, 'a', -32, ret, fault);
}

FILTER(apply_lower) {
    (void)arguments;
    return change_case(run, expr, value, 'A', 32, ret, fault);
}

FILTER(apply_trim) {
    (void)arguments;
    if (json_kind(value) != JSON_STRING) return wrong_kind(run, expr, value, "text", fault);
    *ret = json_new_text(expr_scratch(run), text_trim(json_text(value)));
    return true;
}

FILTER(apply_string) {
    (void)arguments;
    struct buf out;
    buf_init(&out, MADE_MAX);
    json_write_text(&out, value);
    return made(run, expr, &out, ret, fault);
}

FILTER(apply_tojson) {
    (void)arguments;
    struct buf out;
    buf_init(&out, MADE_MAX);
    json_write(&out, value);
    return made(run, expr, &out, ret, fault);
}

FILTER(apply_join) {
    if (json_kind(value) != JSON_ARRAY) return wrong_kind(run, expr, value, "an array", fault);
    struct buf out;
    buf_init(&out, MADE_MAX);
    for (size_t i = 0; i < json_size(value); i++) {
        if (i && arguments[0]) json_write_text(&out, arguments[0]);
        json_write_text(&out, json_at(value, i));
    }
    return made(run, expr, &out, ret, fault);
}

FILTER(apply_length) {
    (void)arguments;
    int64_t length = (int64_t)json_size(value);
    struct text t = json_text(value);
    if (json_kind(value) == JSON_STRING)
        for (size_t i = 0; i < t.len; i++) length += ((unsigned char)t.at[i] & 0xC0) != 0x80;
    else if (is_scalar(value) || json_kind(value) == JSON_NULL)
        return wrong_kind(run, expr, value, "text, an array or an object", fault);
    *ret = json_new_int(expr_scratch(run), length);
    return true;
}

FILTER(apply_round) {
    double digits = json_number(arguments[0]);
    if (json_kind(value) == JSON_INT) return *ret = value, true;
    if (json_kind(value) != JSON_REAL) return wrong_kind(run, expr, value, "a number", fault);
    if (digits < 0 || digits > 15) return expr_fault(run, expr, FAULT_INVALID, fault, "round takes 0 to 15 digits");
    double scale = pow(10, trunc(digits)), rounded = round(json_number(value) * scale) / scale;
    *ret = json_new_real(expr_scratch(run), isfinite(rounded) ? rounded : json_number(value));
    return true;
}

FILTER(apply_int) {
    (void)arguments;
    int64_t number = json_int(value);
    switch (json_kind(value)) {
    case JSON_INT: *ret = value; return true;
    case JSON_BOOL: number = json_truth(value); break;
    case JSON_REAL:
        if (fabs(json_number(value)) >= 0x1p63)
            return expr_fault(run, expr, FAULT_INVALID, fault, "%.*s is too large for an integer",
                              TEXT_ARG(expr->a->source));
        break;
    case JSON_STRING:
        if (text_to_int(text_trim(json_text(value)), &number)) break;
        return expr_fault(run, expr, FAULT_INVALID, fault, "%.*s is text that is not an integer",
                          TEXT_ARG(expr->a->source));
    default: return wrong_kind(run, expr, value, "a number or text", fault);
    }
    *ret = json_new_int(expr_scratch(run), number);
    return true;
}

static bool apply_end(struct expr_run *run, const struct expr *expr, const struct json *value, bool last,
                      const struct json **ret, struct fault *fault) {
    if (json_kind(value) != JSON_ARRAY) return wrong_kind(run, expr, value, "an array", fault);
    if (json_size(value) == 0)
        return expr_fault(run, expr, FAULT_UNDEFINED, fault, "%.*s is empty and has no %s element",
                          TEXT_ARG(expr->a->source), expr->filter->name);
    *ret = json_at(value, last ? json_size(value) - 1 : 0);
    return true;
}

FILTER(apply_first) {
    (void)arguments;
    return apply_end(run, expr, value, false, ret, fault);
}

FILTER(apply_last) {
    (void)arguments;
    return apply_end(run, expr, value, true, ret, fault);
}

static void replace_all(struct buf *out, struct text t, struct text old, struct text new) {
    while (old.len && t.len) {
        const char *hit = memmem(t.at, t.len, old.at, old.len);
        if (!hit) break;
        size_t before = (size_t)(hit - t.at);
        buf_add(out, t.at, before);
        buf_addt(out, new);
        t = (struct text){hit + old.len, t.len - before - old.len};
    }
    buf_addt(out, t);
}

FILTER(apply_replace) {
    if (!is_scalar(value) || json_kind(arguments[0]) != JSON_STRING || json_kind(arguments[1]) != JSON_STRING)
        return wrong_kind(run, expr, value, "text and two texts as arguments", fault);
    struct buf out, room;
    buf_init(&out, MADE_MAX);
    buf_init(&room, 64);
    replace_all(&out, text_in(value, &room), json_text(arguments[0]), json_text(arguments[1]));
    buf_fini(&room);
    return made(run, expr, &out, ret, fault);
}

FILTER(apply_urlencode) {
    (void)arguments;
    if (!is_scalar(value)) return wrong_kind(run, expr, value, "text", fault);
    struct buf out, room;
    buf_init(&out, MADE_MAX);
    buf_init(&room, 64);
    url_encode(&out, text_in(value, &room));
    buf_fini(&room);
    return made(run, expr, &out, ret, fault);
}

static void add_base64(struct buf *out, struct text t) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < t.len; i += 3) {
        unsigned char bytes[3] = {0};
        size_t n = t.len - i < 3 ? t.len - i : 3;
        memcpy(bytes, t.at + i, n);
        buf_addc(out, digits[bytes[0] >> 2]);
        buf_addc(out, digits[(bytes[0] & 3) << 4 | bytes[1] >> 4]);
        buf_addc(out, n > 1 ? digits[(bytes[1] & 15) << 2 | bytes[2] >> 6] : '=');
        buf_addc(out, n > 2 ? digits[bytes[2] & 63] : '=');
    }
}

FILTER(apply_b64encode) {
    (void)arguments;
    if (!is_scalar(value)) return wrong_kind(run, expr, value, "text", fault);
    struct buf out, room;
    buf_init(&out, MADE_MAX);
    buf_init(&room, 64);
    add_base64(&out, text_in(value, &room));
    buf_fini(&room);
    return made(run, expr, &out, ret, fault);
}

/* Keeps its value; where it stands last in a URL's path, the slashes of the value stay slashes. */
FILTER(apply_segments) {
    (void)arguments;
    if (json_kind(value) != JSON_STRING) return wrong_kind(run, expr, value, "text", fault);
    *ret = value;
    return true;
}

static const struct filter filters[] = {
    {"upper", 0, 0, apply_upper},         {"lower", 0, 0, apply_lower},         {"trim", 0, 0, apply_trim},
    {"string", 0, 0, apply_string},       {"tojson", 0, 0, apply_tojson},       {"join", 0, 1, apply_join},
    {"length", 0, 0, apply_length},       {"round", 0, 1, apply_round},         {"int", 0, 0, apply_int},
    {"first", 0, 0, apply_first},         {"last", 0, 0, apply_last},           {"replace", 2, 2, apply_replace},
    {"urlencode", 0, 0, apply_urlencode}, {"b64encode", 0, 0, apply_b64encode}, {"segments", 0, 0, apply_segments},
};
#define FILTERS (sizeof filters / sizeof *filters)

const struct filter *filter_find(struct text name) {
    for (size_t i = 0; i < FILTERS; i++)
        if (text_is(name, filters[i].name)) return &filters[i];
    return NULL;
}

const char *filter_nearest(struct text name) {
    const char *names[FILTERS + 1];
    char word[64] = "";
    if (name.len >= sizeof word) return NULL;
    memcpy(word, name.at, name.len);
    for (size_t i = 0; i < FILTERS; i++) names[i] = filters[i].name;
    names[FILTERS] = "default";
    return text_nearest(word, names, FILTERS + 1);
}
