/* Filters that write a value in another notation, or read one: JSON, percent-encoding, base64, digests, JSONPath.
 *
 * What is read comes from strangers: JSON within limits, base64 only where it is text again. Digests are OpenSSL's. */
#include <string.h>

#include "base/digest.h"
#include "lang/filter_each.h"
#include "lang/jsonpath.h"
#include "lang/url.h"

static bool scalar_text(const struct filter_call *call, struct value value, char room[VALUE_DIGITS], struct text *ret) {
    if (!value_is_scalar(value)) return filter_wrong_kind(call, value, "text");
    *ret = value_scalar_text(value, room);
    return true;
}

FILTER_APPLY(tojson) {
    int64_t spaces;
    struct buf out;
    if (!filter_int_argument(call, 0, 0, &spaces)) return false;
    if (spaces < 0 || spaces > 8) return filter_fault(call, FAULT_INVALID, "its indent is 0 to 8");
    expr_made_init(&out);
    if (spaces && !value_is_scalar(value) && value.kind != JSON_NULL)
        json_write_indented(&out, value.json, (unsigned)spaces);
    else value_write(&out, value);
    return filter_made(call, &out, ret);
}

FILTER_APPLY(fromjson) {
    static const struct json_limits limits = {.max_bytes = 16 << 20, .max_depth = 100, .max_items = 1000000};
    struct fault why = {0};
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    if (!expr_work(call->run, call->expr, value.text.len, call->fault)) return false;
    const struct json *parsed = json_parse(expr_scratch(call->run), value.text, &limits, &why);
    if (!parsed) return filter_fault(call, why.kind, "%s", why.what);
    *ret = value_of(parsed);
    return true;
}

/* ---- percent-encoding ---- */

/* As urllib's quote(): a slash stays in a text, and in a query a blank is a plus. */
static void add_quoted(struct buf *out, struct text t, bool query) {
    char keeps = query ? ' ' : '/';
    for (size_t start = 0;;) {
        const char *hit = start < t.len ? memchr(t.at + start, keeps, t.len - start) : NULL;
        size_t end = hit ? (size_t)(hit - t.at) : t.len;
        url_encode(out, (struct text){t.at + start, end - start});
        if (!hit) return;
        buf_addc(out, query ? '+' : '/');
        start = end + 1;
    }
}

static bool quote_member(const struct filter_call *call, struct buf *out, struct text name, const struct json *json) {
    char room[VALUE_DIGITS];
    struct text t;
    if (!scalar_text(call, value_of(json), room, &t)) return false;
    if (out->len) buf_addc(out, '&');
    add_quoted(out, name, true);
    buf_addc(out, '=');
    add_quoted(out, t, true);
    return true;
}

FILTER_APPLY(urlencode) {
    char room[VALUE_DIGITS];
    struct text t;
    struct buf out;
    bool good = true;
    expr_made_init(&out);
    if (value.kind == JSON_OBJECT) {
        for (struct json_member m = json_first(value.json); m.name.at && good; m = json_next(value.json, m))
            good = quote_member(call, &out, m.name, m.value);
    } else {
        good = scalar_text(call, value, room, &t);
        if (good) add_quoted(&out, t, false);
    }
    if (good) return filter_made(call, &out, ret);
    buf_fini(&out);
    return false;
}

/* ---- base64 ---- */

FILTER_APPLY(b64encode) {
    char room[VALUE_DIGITS];
    struct text t;
    struct buf out;
    if (!scalar_text(call, value, room, &t)) return false;
    expr_made_init(&out);
    buf_add_base64(&out, t);
    return filter_made(call, &out, ret);
}

FILTER_APPLY(b64decode) {
    struct buf out;
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    expr_made_init(&out);
    bool good = buf_add_base64_decoded(&out, value.text);
    struct text made = buf_text(&out);
    bool text = text_utf8_check(made) && !(made.len && memchr(made.at, 0, made.len));
    if (good && text) return filter_made(call, &out, ret);
    buf_fini(&out);
    return filter_fault(call, FAULT_INVALID, good ? "what it decodes to is no UTF-8 text" : "this is no base64");
}

/* ---- digests ---- */

FILTER_APPLY(sha256) {
    char room[VALUE_DIGITS], hex[65];
    struct text t;
    struct buf out;
    if (!scalar_text(call, value, room, &t)) return false;
    if (!expr_work(call->run, call->expr, t.len / 8, call->fault)) return false;
    digest_sha256_hex(t, hex);
    expr_made_init(&out);
    buf_adds(&out, hex);
    return filter_made(call, &out, ret);
}

FILTER_APPLY(hmac_sha256) {
    char room[2][VALUE_DIGITS];
    unsigned char sum[32];
    struct text t, key, form;
    struct buf out;
    if (!scalar_text(call, value, room[0], &t) || !scalar_text(call, *call->arguments[0], room[1], &key)) return false;
    if (!filter_text_argument(call, 1, "hex", &form)) return false;
    if (!text_is(form, "hex") && !text_is(form, "base64"))
        return filter_fault(call, FAULT_INVALID, "its form is \"hex\" or \"base64\"");
    if (!expr_work(call->run, call->expr, t.len / 8, call->fault)) return false;
    digest_hmac_sha256(key, t, sum);
    expr_made_init(&out);
    if (text_is(form, "hex")) buf_add_hex(&out, sum, sizeof sum);
    else buf_add_base64(&out, (struct text){(const char *)sum, sizeof sum});
    return filter_made(call, &out, ret);
}

/* ---- others ---- */

/* A singular path gives its value or nothing, any other a list. */
FILTER_APPLY(jsonpath) {
    const struct jsonpath *path = call->expr->compiled;
    struct arena *arena = expr_scratch(call->run);
    const struct json *root = value_json(arena, value);
    struct jsonpath_nodes nodes;
    struct fault why = {0};
    if (!expr_work(call->run, call->expr, 1000, call->fault)) return false;
    if (!jsonpath_find(path, root, arena, &nodes, &why)) return filter_fault(call, why.kind, "%s", why.what);
    if (jsonpath_singular(path)) {
        if (nodes.count == 0) return filter_fault(call, FAULT_UNDEFINED, "%s leads nowhere", jsonpath_source(path));
        *ret = value_of(nodes.items[0]);
        return true;
    }
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < nodes.count; i++) json_push(list, nodes.items[i]);
    *ret = value_of(list);
    return true;
}

/* segments and safe: what they mean is decided by the place, at load. */
FILTER_APPLY(keep) {
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    *ret = value;
    return true;
}
