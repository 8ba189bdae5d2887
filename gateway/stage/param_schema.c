/* The JSON Schema (2020-12) of a stage's parameters: it takes exactly what params_check takes.
 *
 * Callers that send text only are part of that, so each parameter is a list of alternatives (`anyOf`): its own kind
 * first, then the texts that stand for it as patterns, and, unless it is required, what counts as not given. A `${`
 * anywhere is refused by `$defs/plain`, which every parameter refers to.
 *
 * One thing no schema can say: that a text of a json parameter, which begins like an array or an object, is JSON. It is
 * given as contentMediaType, which validators check only if they are asked to. tests/schema holds all of this against
 * a validator. Whoever changes what lang/url or stage/param take has to change it here. */
#include <math.h>

#include "lang/regexp.h"
#include "stage/decimal.h"
#include "stage/param.h"

#define BEGIN "^" REGEXP_BLANKS
#define END REGEXP_BLANKS REGEXP_END
#define BLANK_TEXT BEGIN REGEXP_END
#define HEX "[0-9A-Fa-f]"

/* lang/url: RFC 3986 without user names; IPv6 addresses as inet_pton takes them. */
#define URL_BYTES "A-Za-z0-9._~!$&'()*+,;=\\-"
#define URL_PART(more) "(?:[" URL_BYTES more "]|%" HEX "{2})*"
#define H16 HEX "{1,4}"
#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 OCTET "(?:\\." OCTET "){3}"
#define IPV6                                                                                                           \
    "(?:(?:" H16 ":){7}" H16 "|(?:" H16 ":){1,7}:|(?:" H16 ":){1,6}:" H16 "|(?:" H16 ":){1,5}(?::" H16 "){1,2}"        \
    "|(?:" H16 ":){1,4}(?::" H16 "){1,3}|(?:" H16 ":){1,3}(?::" H16 "){1,4}|(?:" H16 ":){1,2}(?::" H16 "){1,5}"        \
    "|" H16 ":(?::" H16 "){1,6}|:(?:(?::" H16 "){1,7}|:)"                                                              \
    "|(?:" H16 ":){6}" IPV4 "|(?:" H16 ":){1,5}:" IPV4 "|(?:" H16 ":){1,4}:" H16 ":" IPV4 "|(?:" H16 ":){1,3}(?::" H16 \
    "){1,2}:" IPV4 "|(?:" H16 ":){1,2}(?::" H16 "){1,3}:" IPV4 "|" H16 ":(?::" H16 "){1,4}:" IPV4 "|:(?::" H16         \
    "){0,5}:" IPV4 ")"
#define PORT "(?::(?:0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?)?"
#define URL                                                                      \
    "[Hh][Tt][Tt][Pp][Ss]?:\\/\\/(?:\\[" IPV6 "\\]|[" URL_BYTES "]{1,255})" PORT \
    "(?:\\/" URL_PART(":@\\/") ")?(?:"                                           \
                               "\\?" URL_PART(":@\\/?") ")?(?:#" URL_PART(":@\\/?") ")?"

/* One value of a JSON array in text. */
#define JSON_ESCAPE                                                                                            \
    "\\\\(?:[\"\\\\\\/bfnrt]|u(?!0000)(?:[0-9A-CEFa-cef]" HEX "{3}|[Dd][0-7]" HEX "{2}|[Dd][89ABab]" HEX "{2}" \
    "\\\\u[Dd][C-Fc-f]" HEX "{2}))"
#define JSON_STRING_TEXT "\"(?:[^\"\\\\\\x00-\\x1f]|" JSON_ESCAPE ")*\""
#define JSON_NUMBER_TEXT "-?(?:0|[1-9][0-9]{0,17})(?:\\.[0-9]+)?(?:[eE][+\\-]?[0-9]{1,2})?"
#define JSON_SCALAR_TEXT "(?:" JSON_STRING_TEXT "|" JSON_NUMBER_TEXT "|true|false)"

struct maker {
    struct arena *arena;
    const struct param *param;
    struct json *options;
};

static struct json *add_option(struct maker *m, const char *type) {
    struct json *option = json_new_object(m->arena);
    if (type) json_set(option, "type", json_new_string(m->arena, type));
    json_push(m->options, option);
    return option;
}

static void set_text(struct maker *m, struct json *schema, const char *name, const char *value) {
    json_set(schema, name, json_new_string(m->arena, value));
}

static void set_size(struct maker *m, struct json *schema, const char *name, size_t size) {
    json_set(schema, name, json_new_int(m->arena, (int64_t)size));
}

static struct json *add_text(struct maker *m, const char *pattern) {
    struct json *option = add_option(m, "string");
    set_text(m, option, "pattern", pattern);
    return option;
}

/* A further pattern beside the option's own. */
static void also(struct maker *m, struct json *option, const struct buf *pattern) {
    struct json *further = json_new_object(m->arena), *all = json_new_array(m->arena);
    const struct json *before = json_gets(option, "allOf");
    for (size_t i = 0; i < json_size(before); i++) json_push(all, json_at(before, i));
    set_text(m, further, "pattern", buf_cstr(pattern));
    json_push(all, further);
    json_set(option, "allOf", all);
}

static void never(struct maker *m, struct json *option, const char *pattern) {
    struct json *not = json_new_object(m->arena);
    set_text(m, not, "pattern", pattern);
    json_set(option, "not", not );
}

/* ---- a function a type ---- */

static void add_lengths(struct maker *m, struct json *option, size_t least) {
    if (least) set_size(m, option, "minLength", least);
    if (m->param->max_length) set_size(m, option, "maxLength", m->param->max_length);
}

static void add_string(struct maker *m) {
    struct json *option = add_option(m, "string");
    const struct param *p = m->param;
    add_lengths(m, option, p->min_length == 0 && p->required ? 1 : p->min_length);
    if (!p->pattern_source) return;
    struct buf pattern;
    buf_init(&pattern, 1 << 17);
    buf_adds(&pattern, "^(?:");
    if (regexp_rewrite(&pattern, text_of(p->pattern_source), REGEXP_PLAIN, NULL)) {
        buf_adds(&pattern, ")" REGEXP_END);
        set_text(m, option, "pattern", buf_cstr(&pattern));
    }
    buf_fini(&pattern);
}

static void add_secret(struct maker *m) {
    struct json *option = add_option(m, "string");
    add_lengths(m, option, m->param->min_length ? m->param->min_length : 1);
    if (m->param->required) return;
    json_set(add_option(m, NULL), "const", json_new_string(m->arena, ""));
}

static const struct json *bound(struct maker *m, double value) {
    return value == trunc(value) ? json_new_int(m->arena, (int64_t)value) : json_new_real(m->arena, value);
}

static void add_range(struct maker *m, struct json *option) {
    const struct param *p = m->param;
    bool integer = p->type == PARAM_INTEGER;
    if (integer || p->has_minimum)
        json_set(option, "minimum", p->has_minimum ? bound(m, p->minimum) : json_new_int(m->arena, -PARAM_INTEGER_MAX));
    if (integer || p->has_maximum)
        json_set(option, "maximum", p->has_maximum ? bound(m, p->maximum) : json_new_int(m->arena, PARAM_INTEGER_MAX));
}

/* A fraction in the bound of an integer is rounded to the inside. */
static const char *shown_bound(struct maker *m, bool given, double value, bool upper, char decimal[DECIMAL_ROOM]) {
    if (m->param->type == PARAM_INTEGER) {
        if (!given) return upper ? "9223372036854775807" : "-9223372036854775807";
        value = upper ? floor(value) : ceil(value);
    }
    return given && decimal_write(value, decimal) ? decimal : NULL;
}

static void add_text_range(struct maker *m, struct json *option) {
    const struct param *p = m->param;
    bool fractions = p->type == PARAM_NUMBER;
    char decimal[DECIMAL_ROOM];
    struct buf pattern;
    buf_init(&pattern, 64 * 1024);
    const char *low = shown_bound(m, p->has_minimum, p->minimum, false, decimal);
    if (low) {
        decimal_add_at_least(&pattern, low, fractions);
        also(m, option, &pattern);
    }
    buf_clear(&pattern);
    const char *high = shown_bound(m, p->has_maximum, p->maximum, true, decimal);
    if (high) {
        decimal_add_at_most(&pattern, high, fractions);
        also(m, option, &pattern);
    }
    buf_fini(&pattern);
}

static void add_integer(struct maker *m) {
    add_range(m, add_option(m, "integer"));
    add_text_range(m, add_text(m, BEGIN "-?[0-9]+" END));
}

static void add_number(struct maker *m) {
    add_range(m, add_option(m, "number"));
    struct json *text = add_text(m, BEGIN "-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?" END);
    struct buf digits;
    buf_init(&digits, 200);
    buf_addf(&digits, "^[^0-9]*(?:[0-9][^0-9]*){1,%d}" REGEXP_END, DECIMAL_DIGITS);
    also(m, text, &digits);
    buf_fini(&digits);
    add_text_range(m, text);
}

static void add_boolean(struct maker *m) {
    add_option(m, "boolean");
    add_text(m, BEGIN "(?:[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])" END);
}

static void push_digits(struct maker *m, struct json *values, const char *choice) {
    int64_t number;
    struct text t = text_of(choice);
    if (!text_to_int(t, &number) || number < -PARAM_INTEGER_MAX) return;
    if (text_is(t, arena_printf(m->arena, "%lld", (long long)number)))
        json_push(values, json_new_int(m->arena, number));
}

static void add_choice(struct maker *m) {
    const struct param *p = m->param;
    struct json *values = json_new_array(m->arena);
    struct buf pattern;
    size_t bare = 0;
    buf_init(&pattern, 1 << 22);
    buf_adds(&pattern, BEGIN "(?:");
    for (size_t i = 0; i < p->choice_count; i++) {
        struct text choice = text_of(p->choices[i]);
        json_push(values, json_new_string(m->arena, p->choices[i]));
        push_digits(m, values, p->choices[i]);
        if (choice.len == 0 || text_trim(choice).len != choice.len) continue; /* only taken as it stands */
        if (bare++) buf_addc(&pattern, '|');
        regexp_add_literal(&pattern, choice);
    }
    buf_adds(&pattern, ")" END);
    json_set(add_option(m, NULL), "enum", values);
    if (bare) add_text(m, buf_cstr(&pattern));
    buf_fini(&pattern);
}

static void add_url(struct maker *m) {
    const struct param *p = m->param;
    struct json *option = add_text(m, BEGIN URL END);
    struct buf length;
    buf_init(&length, 200);
    buf_addf(&length, BEGIN "[^ \\t\\r\\n]{%zu,", p->min_length);
    if (p->max_length) buf_addf(&length, "%zu", p->max_length);
    buf_adds(&length, "}" END);
    if (p->min_length || p->max_length) also(m, option, &length);
    buf_fini(&length);
}

static size_t items_max(const struct param *p) {
    return p->max_length && p->max_length < PARAM_LIST_MAX ? p->max_length : PARAM_LIST_MAX;
}

static void add_array(struct maker *m) {
    struct json *array = add_option(m, "array"), *items = json_new_object(m->arena), *types = json_new_array(m->arena);
    static const char *const scalars[] = {"string", "number", "boolean"};
    for (size_t i = 0; i < 3; i++) json_push(types, json_new_string(m->arena, scalars[i]));
    json_set(items, "type", types);
    json_set(array, "items", items);
    if (m->param->min_length) set_size(m, array, "minItems", m->param->min_length);
    set_size(m, array, "maxItems", items_max(m->param));
}

/* `first`, then `more` for each further element, as often as the list may have elements. */
static void add_elements(const struct param *p, struct buf *out, const char *first, const char *more) {
    size_t least = p->min_length ? p->min_length - 1 : 0;
    buf_addf(out, "%s(?:%s){%zu,%zu}", first, more, least, items_max(p) - 1);
}

static void add_list(struct maker *m) {
    static const char scalar[] = JSON_SCALAR_TEXT REGEXP_BLANKS,
                      next[] = "," REGEXP_BLANKS JSON_SCALAR_TEXT REGEXP_BLANKS;
    static const char word[] = "[^,]*[^, \\t\\r\\n][^,]*", gap[] = "(?:," REGEXP_BLANKS ")*,[^,]*[^, \\t\\r\\n][^,]*";
    const struct param *p = m->param;
    struct buf pattern;
    add_array(m);
    if (p->min_length > PARAM_LIST_MAX) return;
    buf_init(&pattern, 8192);
    buf_adds(&pattern, BEGIN "\\[" REGEXP_BLANKS "(?:");
    add_elements(p, &pattern, scalar, next);
    buf_addf(&pattern, ")%s\\]" END, p->min_length ? "" : "?");
    add_text(m, buf_cstr(&pattern));
    buf_clear(&pattern);
    buf_adds(&pattern, "^(?:" REGEXP_BLANKS ",)*(?:");
    add_elements(p, &pattern, word, gap);
    buf_adds(&pattern, ")(?:," REGEXP_BLANKS ")*" REGEXP_END);
    never(m, add_text(m, buf_cstr(&pattern)), BEGIN "\\[");
    if (!p->min_length) add_text(m, BEGIN "(?:," REGEXP_BLANKS ")+" REGEXP_END);
    buf_fini(&pattern);
}

static void add_json(struct maker *m) {
    struct json *kinds = json_new_array(m->arena);
    static const char *const all[] = {"object", "array", "number", "boolean"};
    for (size_t i = 0; i < 4; i++) json_push(kinds, json_new_string(m->arena, all[i]));
    json_set(add_option(m, NULL), "type", kinds);
    add_text(m, BEGIN "[^ \\t\\r\\n\\[{]");
    set_text(m, add_text(m, BEGIN "[\\[{]"), "contentMediaType", "application/json");
}

static void add_absent(struct maker *m) {
    enum param_type type = m->param->type;
    if (m->param->required) return;
    if (type != PARAM_STRING && type != PARAM_SECRET) add_text(m, BLANK_TEXT);
    add_option(m, "null");
}

/* ---- all of them ---- */

static const struct json *reference(struct arena *arena) {
    struct json *made = json_new_object(arena);
    json_set(made, "$ref", json_new_string(arena, "#/$defs/plain"));
    return made;
}

static const struct json *schema_of(struct arena *arena, const struct param *p) {
    struct json *schema = json_new_object(arena);
    struct maker m = {arena, p, json_new_array(arena)};
    if (p->label) set_text(&m, schema, "title", p->label);
    if (p->description) set_text(&m, schema, "description", p->description);
    if (p->preset) json_set(schema, "default", p->preset);
    if (p->type == PARAM_SECRET) json_set(schema, "writeOnly", json_new_bool(arena, true));
    switch (p->type) {
    case PARAM_STRING: add_string(&m); break;
    case PARAM_INTEGER: add_integer(&m); break;
    case PARAM_NUMBER: add_number(&m); break;
    case PARAM_BOOLEAN: add_boolean(&m); break;
    case PARAM_CHOICE: add_choice(&m); break;
    case PARAM_URL: add_url(&m); break;
    case PARAM_LIST: add_list(&m); break;
    case PARAM_JSON: add_json(&m); break;
    case PARAM_SECRET: add_secret(&m); break;
    }
    add_absent(&m);
    json_set(schema, "anyOf", m.options);
    set_text(&m, schema, "$ref", "#/$defs/plain");
    return schema;
}

/* Text without `${`, and values that hold no other. */
static const struct json *plain(struct arena *arena) {
    struct json *made = json_new_object(arena), *not = json_new_object(arena), *defs = json_new_object(arena);
    json_set(not, "type", json_new_string(arena, "string"));
    json_set(not, "pattern", json_new_string(arena, "\\$\\{"));
    json_set(made, "not", not );
    json_set(made, "items", reference(arena));
    json_set(made, "propertyNames", reference(arena));
    json_set(made, "additionalProperties", reference(arena));
    json_set(defs, "plain", made);
    return defs;
}

const struct json *params_schema(struct arena *arena, const struct param *params, size_t count) {
    struct json *schema = json_new_object(arena), *properties = json_new_object(arena),
                *required = json_new_array(arena);
    for (size_t i = 0; i < count; i++) {
        json_set(properties, params[i].name, schema_of(arena, &params[i]));
        if (params[i].required) json_push(required, json_new_string(arena, params[i].name));
    }
    json_set(schema, "$schema", json_new_string(arena, "https://json-schema.org/draft/2020-12/schema"));
    json_set(schema, "type", json_new_string(arena, "object"));
    json_set(schema, "properties", properties);
    json_set(schema, "required", required);
    json_set(schema, "additionalProperties", json_new_bool(arena, false));
    json_set(schema, "$defs", plain(arena));
    return schema;
}
