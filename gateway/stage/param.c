/* Turns what a caller sent into the values that a run works with.
 *
 * One function a type, each taking JSON of its own kind as it is and text as orca sends it: orca knows string
 * parameters only, and sends "" for a field that its user left empty. So "" means "not given" for every type but
 * string. Text is never guessed at: "50" is an integer, "1e2" and "fifty" are not; a number where text is wanted is
 * refused, since 1.10 would have become 1.1 before anybody here saw it.
 *
 * Nothing here knows HTTP or definitions; a default is checked by the same functions when a definition is compiled. */
#include "stage/param.h"

#include <math.h>
#include <string.h>

#include "lang/url.h"
#include "stage/decimal.h"
#include "stage/expression.h"

#define PARAM_JSON_LIMITS ((struct json_limits){.max_bytes = 1 << 20, .max_depth = 64, .max_items = 100000})

const char *param_type_word(enum param_type type) {
    static const char *const words[] = {
#define X(id, word) word,
        PARAM_TYPES(X)
#undef X
    };
    return words[type];
}

static bool refuse(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(struct fault *fault, const char *format, ...) {
    struct buf what;
    va_list args;
    buf_init(&what, 700);
    va_start(args, format);
    buf_addv(&what, format, args);
    va_end(args);
    fault_set(fault, FAULT_INVALID, NULL, "%s", buf_cstr(&what));
    buf_fini(&what);
    return false;
}

/* A value in a sentence, cut at a character's edge. */
static struct text shown(struct text t) {
    if (t.len > 60) t.len = 60;
    while (t.len && !text_utf8_check(t)) t.len--;
    return t;
}

static const char *kind_shown(const struct json *given) {
    switch (json_kind(given)) {
    case JSON_BOOL: return "a boolean";
    case JSON_INT:
    case JSON_REAL: return "a number";
    case JSON_STRING: return "a string";
    case JSON_ARRAY: return "an array";
    case JSON_OBJECT: return "an object";
    default: return "null";
    }
}

static bool check_length(const struct param *p, size_t length, const char *of, struct fault *fault) {
    if (length < p->min_length) return refuse(fault, "has %zu %s, and needs at least %zu", length, of, p->min_length);
    if (p->max_length && length > p->max_length)
        return refuse(fault, "has %zu %s, and may have at most %zu", length, of, p->max_length);
    return true;
}

static bool check_pattern(const struct param *p, struct text t, struct fault *fault) {
    if (!p->pattern) return true;
    enum pattern_result result = pattern_match(p->pattern, t);
    if (result == PATTERN_YES) return true;
    if (result == PATTERN_TOO_HARD)
        return refuse(fault, "is too hard to match against the pattern %s", p->pattern_source);
    return refuse(fault, "\"%.*s\" does not match the pattern %s", TEXT_ARG(shown(t)), p->pattern_source);
}

static bool take_string(const struct param *p, const struct json *given, struct fault *fault) {
    if (json_kind(given) != JSON_STRING)
        return refuse(fault, "must be a string, and is %s%s", kind_shown(given),
                      json_kind(given) == JSON_INT || json_kind(given) == JSON_REAL ? "; put it into quotes" : "");
    struct text t = json_text(given);
    return check_length(p, text_characters(t), "characters", fault) && check_pattern(p, t, fault);
}

static bool check_range(const struct param *p, double value, struct fault *fault) {
    if (p->has_minimum && value < p->minimum)
        return refuse(fault, "%.15g is less than the minimum, %.15g", value, p->minimum);
    if (p->has_maximum && value > p->maximum)
        return refuse(fault, "%.15g is more than the maximum, %.15g", value, p->maximum);
    return true;
}

/* JSON has one kind of number, and 50.0 is a whole one. The range is the same on both sides of zero, so that a number
 * beyond 64 bits, which has become a real, is never taken for the least of them. */
static bool whole_number(const struct json *given, int64_t *ret_value) {
    double real = json_number(given);
    *ret_value = json_int(given);
    if (json_kind(given) == JSON_INT) return *ret_value >= -PARAM_INTEGER_MAX;
    return json_kind(given) == JSON_REAL && real == trunc(real) && fabs(real) < 0x1p63;
}

static const struct json *take_integer(struct arena *arena, const struct param *p, const struct json *given,
                                       struct fault *fault) {
    int64_t value = json_int(given);
    struct text t = text_trim(json_text(given));
    switch (json_kind(given)) {
    case JSON_INT:
    case JSON_REAL:
        if (whole_number(given, &value)) break;
        refuse(fault, "%.15g is not a whole number", json_number(given));
        return NULL;
    case JSON_STRING:
        if (text_to_int(t, &value) && value >= -PARAM_INTEGER_MAX) break;
        refuse(fault, "\"%.*s\" is not a whole number", TEXT_ARG(shown(t)));
        return NULL;
    default: refuse(fault, "must be a whole number, and is %s", kind_shown(given)); return NULL;
    }
    if (!check_range(p, (double)value, fault)) return NULL;
    return json_kind(given) == JSON_INT ? given : json_new_int(arena, value);
}

static size_t count_digits(struct text t, size_t *at) {
    size_t start = *at;
    while (*at < t.len && t.at[*at] >= '0' && t.at[*at] <= '9') ++*at;
    return *at - start;
}

/* A number as JSON writes it, without an exponent and of so many digits that it survives as a double: the schema has to
 * say all this in a pattern, and bounds on it too. */
static bool is_decimal(struct text t) {
    size_t at = text_starts(t, "-"), start = at, whole = count_digits(t, &at), fraction = 0;
    if (whole == 0 || (whole > 1 && t.at[start] == '0')) return false;
    if (at < t.len && t.at[at] == '.') {
        at++;
        fraction = count_digits(t, &at);
        if (fraction == 0) return false;
    }
    return at == t.len && whole + fraction <= DECIMAL_DIGITS;
}

static const char *decimal_advice(struct text t) {
    size_t digits = 0, others = 0;
    for (size_t i = 0; i < t.len; i++) {
        if (t.at[i] >= '0' && t.at[i] <= '9') digits++;
        else if (!strchr("+-.eE", t.at[i])) others++;
    }
    if (others || digits == 0) return "";
    return digits > DECIMAL_DIGITS ? ": as text it may have 15 digits" : ": as text it is written like -12.5";
}

static const struct json *take_number(struct arena *arena, const struct param *p, const struct json *given,
                                      struct fault *fault) {
    const struct json *number = given;
    if (json_kind(given) == JSON_STRING) {
        struct text t = text_trim(json_text(given));
        struct json_limits limits = PARAM_JSON_LIMITS;
        number = is_decimal(t) ? json_parse(arena, t, &limits, NULL) : NULL;
        if (!number) {
            refuse(fault, "\"%.*s\" is not a number%s", TEXT_ARG(shown(t)), decimal_advice(t));
            return NULL;
        }
    } else if (json_kind(given) != JSON_INT && json_kind(given) != JSON_REAL) {
        refuse(fault, "must be a number, and is %s", kind_shown(given));
        return NULL;
    }
    int64_t whole;
    if (!check_range(p, json_number(number), fault)) return NULL;
    return whole_number(number, &whole) ? json_new_int(arena, whole) : number; /* 5 and 5.0 are one value */
}

static const struct json *take_boolean(struct arena *arena, const struct json *given, struct fault *fault) {
    if (json_kind(given) == JSON_BOOL) return given;
    struct text t = text_trim(json_text(given));
    if (text_is_nocase(t, "true") || text_is_nocase(t, "false")) return json_new_bool(arena, text_is_nocase(t, "true"));
    if (json_kind(given) == JSON_STRING) refuse(fault, "\"%.*s\" is neither true nor false", TEXT_ARG(shown(t)));
    else refuse(fault, "must be true or false, and is %s", kind_shown(given));
    return NULL;
}

static void add_choices(const struct param *p, struct buf *out) {
    for (size_t i = 0; i < p->choice_count; i++) {
        if (out->len > 300) {
            buf_adds(out, ", …");
            break;
        }
        buf_addf(out, "%s\"%s\"", i ? ", " : "", p->choices[i]);
    }
}

static const char *find_choice(const struct param *p, struct text t) {
    for (size_t i = 0; i < p->choice_count; i++)
        if (text_is(t, p->choices[i])) return p->choices[i];
    return NULL;
}

static const struct json *take_choice(struct arena *arena, const struct param *p, const struct json *given,
                                      struct fault *fault) {
    struct text t = json_text(given);
    int64_t number;
    if (whole_number(given, &number)) t = text_of(arena_printf(arena, "%lld", (long long)number));
    else if (json_kind(given) != JSON_STRING) {
        refuse(fault, "must be a string, and is %s", kind_shown(given));
        return NULL;
    }
    const char *choice = find_choice(p, t);
    if (!choice) choice = find_choice(p, text_trim(t));
    if (choice) return text_is(json_text(given), choice) ? given : json_new_string(arena, choice);
    struct buf list;
    buf_init(&list, 600);
    add_choices(p, &list);
    struct text cut = shown(t);
    const char *near = text_nearest(arena_strndup(arena, cut.at, cut.len), p->choices, p->choice_count);
    if (near) refuse(fault, "\"%.*s\" is not one of %s; did you mean \"%s\"?", TEXT_ARG(cut), buf_cstr(&list), near);
    else refuse(fault, "\"%.*s\" is not one of %s", TEXT_ARG(cut), buf_cstr(&list));
    buf_fini(&list);
    return NULL;
}

static const struct json *take_url(struct arena *arena, const struct param *p, const struct json *given,
                                   struct fault *fault) {
    if (json_kind(given) != JSON_STRING) {
        refuse(fault, "must be a URL, and is %s", kind_shown(given));
        return NULL;
    }
    struct text t = text_trim(json_text(given));
    struct url url;
    struct fault why;
    if (!url_parse(t, &url, &why)) {
        refuse(fault, "is not an absolute http or https URL: %s", why.what);
        return NULL;
    }
    if (!check_length(p, text_characters(t), "characters", fault)) return NULL;
    return t.len == json_text(given).len ? given : json_new_text(arena, t);
}

static const struct json *parse_text(struct arena *arena, struct text t, struct fault *fault) {
    struct json_limits limits = PARAM_JSON_LIMITS;
    struct fault why;
    const struct json *value = json_parse(arena, t, &limits, &why);
    if (!value) refuse(fault, "is text that is not JSON: %s", why.what);
    return value;
}

/* Callers that send strings only send JSON as its text. Text that begins like an array or an object has to be one; any
 * other that does not parse is a string, which is a JSON value too. */
static const struct json *take_json_text(struct arena *arena, struct text t, struct fault *fault) {
    struct text trimmed = text_trim(t);
    if (text_starts(trimmed, "{") || text_starts(trimmed, "[")) return parse_text(arena, trimmed, fault);
    const struct json *value = parse_text(arena, trimmed, NULL);
    return value ? value : json_new_text(arena, t);
}

static bool check_scalars(const struct json *list, struct fault *fault) {
    for (size_t i = 0; i < json_size(list); i++) {
        enum json_kind kind = json_kind(json_at(list, i));
        if (kind == JSON_ARRAY || kind == JSON_OBJECT || kind == JSON_NULL)
            return refuse(fault, "holds %s at index %zu, where only strings, numbers and booleans may be",
                          kind_shown(json_at(list, i)), i);
    }
    return true;
}

static const struct json *split_list(struct arena *arena, struct text t) {
    struct json *list = json_new_array(arena);
    for (struct text item; text_cut(&t, ',', &item);) {
        item = text_trim(item);
        if (item.len) json_push(list, json_new_text(arena, item));
    }
    return list;
}

/* A number in the text of a list is one that is never too large to be read: the schema has to say so in a pattern. */
static bool check_number(struct text t, size_t *at) {
    size_t rest = *at, exponent = 0;
    bool fits = true, in_exponent = false;
    if (t.at[rest] == '-') rest++;
    fits = count_digits(t, &rest) <= 18;
    for (; rest < t.len && strchr(".eE+-0123456789", t.at[rest]); rest++) {
        if (t.at[rest] == 'e' || t.at[rest] == 'E') in_exponent = true;
        else if (in_exponent && t.at[rest] >= '0') exponent++;
    }
    *at = rest;
    return fits && exponent <= 2;
}

static bool check_numbers(struct text t, struct fault *fault) {
    bool quoted = false;
    for (size_t i = 0; i < t.len;) {
        char c = t.at[i];
        if (quoted && c == '\\') i++;
        if (c == '"') quoted = !quoted;
        bool begins = !quoted && (c == '-' || (c >= '0' && c <= '9'));
        if (begins && !check_number(t, &i))
            return refuse(fault,
                          "holds a number of more than 18 digits, or an exponent of more than 2; put it into quotes");
        if (!begins) i++;
    }
    return true;
}

static const struct json *parse_list(struct arena *arena, struct text t, struct fault *fault) {
    const struct json *list = parse_text(arena, t, fault);
    return list && check_numbers(t, fault) ? list : NULL;
}

static const struct json *take_list(struct arena *arena, const struct param *p, const struct json *given,
                                    struct fault *fault) {
    const struct json *list = given;
    if (json_kind(given) == JSON_STRING) {
        struct text t = text_trim(json_text(given));
        list = text_starts(t, "[") ? parse_list(arena, t, fault) : split_list(arena, t);
        if (!list) return NULL;
    } else if (json_kind(given) != JSON_ARRAY) {
        refuse(fault, "must be a list, and is %s", kind_shown(given));
        return NULL;
    }
    if (json_size(list) > PARAM_LIST_MAX) {
        refuse(fault, "has %zu elements, and may have at most %d", json_size(list), PARAM_LIST_MAX);
        return NULL;
    }
    return check_scalars(list, fault) && check_length(p, json_size(list), "elements", fault) ? list : NULL;
}

/* A secret's faults never show its value. */
static bool take_secret(const struct param *p, const struct json *given, struct fault *fault) {
    if (json_kind(given) != JSON_STRING) return refuse(fault, "must be a string, and is %s", kind_shown(given));
    return check_length(p, text_characters(json_text(given)), "characters", fault);
}

static bool counts_as_absent(const struct param *p, const struct json *given) {
    if (json_kind(given) == JSON_NULL) return true;
    if (p->type == PARAM_STRING || json_kind(given) != JSON_STRING) return false;
    if (p->type == PARAM_CHOICE && find_choice(p, json_text(given))) return false;
    if (p->type == PARAM_SECRET) return json_text(given).len == 0;
    return text_trim(json_text(given)).len == 0;
}

bool param_check(struct arena *arena, const struct param *param, const struct json *given,
                 const struct json **ret_value, struct fault *fault) {
    const struct json *value = NULL;
    if (counts_as_absent(param, given)) {
        *ret_value = NULL;
        return true;
    }
    switch (param->type) {
    case PARAM_STRING: value = take_string(param, given, fault) ? given : NULL; break;
    case PARAM_INTEGER: value = take_integer(arena, param, given, fault); break;
    case PARAM_NUMBER: value = take_number(arena, param, given, fault); break;
    case PARAM_BOOLEAN: value = take_boolean(arena, given, fault); break;
    case PARAM_CHOICE: value = take_choice(arena, param, given, fault); break;
    case PARAM_URL: value = take_url(arena, param, given, fault); break;
    case PARAM_LIST: value = take_list(arena, param, given, fault); break;
    case PARAM_JSON:
        value = json_kind(given) == JSON_STRING ? take_json_text(arena, json_text(given), fault) : given;
        break;
    case PARAM_SECRET: value = take_secret(param, given, fault) ? given : NULL; break;
    }
    if (!value) return false;
    *ret_value = value;
    return true;
}

/* ---- all parameters of a call ---- */

static bool holds_expression(const struct json *value, struct text name, bool secret, struct faults *faults) {
    struct buf where;
    if (secret && json_kind(value) != JSON_STRING) return false; /* refused anyway, and its names are no pointer's */
    if (!expression_is_inside(value)) return false;              /* as ever: no place has to be written */
    buf_init(&where, 64 * 1024);
    buf_adds(&where, "/parameters");
    expression_add_pointer(&where, name);
    bool found = expression_find(value, &where, faults);
    buf_fini(&where);
    return found;
}

static const struct param *param_find(const struct param *params, size_t count, struct text name) {
    for (size_t i = 0; i < count; i++)
        if (text_is(name, params[i].name)) return &params[i];
    return NULL;
}

static void refuse_unknown(struct arena *arena, const struct param *params, size_t count, struct text name,
                           struct faults *faults) {
    const char **names = arena_array_of(arena, const char *, count);
    for (size_t i = 0; i < count; i++) names[i] = params[i].name;
    struct text cut = shown(name);
    const char *near = text_nearest(arena_strndup(arena, cut.at, cut.len), names, count);
    struct buf where;
    buf_init(&where, 512);
    buf_adds(&where, "/parameters");
    expression_add_pointer(&where, cut);
    faults_addf(faults, FAULT_UNDEFINED, buf_cstr(&where), "there is no parameter \"%.*s\"%s%s%s", TEXT_ARG(cut),
                near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    buf_fini(&where);
}

static const char *place_of(struct arena *arena, const struct param *p) {
    return arena_join(arena, "/parameters/", p->name, NULL);
}

static const struct json *check_one(struct arena *arena, const struct param *p, const struct json *given,
                                    struct faults *faults) {
    const struct json *value = NULL;
    struct fault fault;
    if (holds_expression(given, text_of(p->name), p->type == PARAM_SECRET, faults)) return NULL;
    if (!param_check(arena, p, given, &value, &fault)) {
        faults_addf(faults, fault.kind, place_of(arena, p), "%s", fault.what);
        return NULL;
    }
    bool empty = value && p->type == PARAM_STRING && json_text(value).len == 0;
    if (p->required && (!value || empty)) faults_addf(faults, FAULT_INVALID, place_of(arena, p), "is required");
    return value ? value : p->preset;
}

/* What is given as it is taken, in the order of the definition, is not copied. */
static const struct json *take_all(struct arena *arena, const struct param *params, size_t count,
                                   const struct json *given, struct faults *faults) {
    struct json *made = json_kind(given) == JSON_OBJECT ? NULL : json_new_object(arena);
    struct json_member m = json_first(given);
    for (size_t i = 0; i < count; i++) {
        bool in_order = m.name.at && text_is(m.name, params[i].name);
        const struct json *one = in_order ? m.value : json_gets(given, params[i].name);
        const struct json *value = check_one(arena, &params[i], one, faults);
        if (!made && (!in_order || value != one)) made = json_copy_members(arena, given, m.name.at);
        if (made) json_set(made, params[i].name, value);
        if (in_order) m = json_next(given, m);
    }
    return made ? made : given;
}

bool params_check(struct arena *arena, const struct param *params, size_t count, const struct json *given,
                  const struct json **ret_values, struct faults *faults) {
    size_t before = faults->count + faults->dropped;
    if (json_kind(given) != JSON_NULL && json_kind(given) != JSON_OBJECT) {
        faults_addf(faults, FAULT_INVALID, "/parameters", "must be an object, and is %s", kind_shown(given));
        return false;
    }
    const struct json *values = take_all(arena, params, count, given, faults);
    if (json_kind(given) == JSON_OBJECT) {
        for (struct json_member m = json_first(given); m.name.at; m = json_next(given, m)) {
            if (param_find(params, count, m.name)) continue;
            refuse_unknown(arena, params, count, m.name, faults);
            holds_expression(m.value, m.name, false, faults);
        }
    }
    if (faults->count + faults->dropped != before) return false;
    *ret_values = values;
    return true;
}

const struct json *params_masked(struct arena *arena, const struct param *params, size_t count,
                                 const struct json *values) {
    struct json *masked = json_new_object(arena);
    if (json_kind(values) != JSON_OBJECT) return masked;
    for (struct json_member m = json_first(values); m.name.at; m = json_next(values, m)) {
        const struct param *p = param_find(params, count, m.name);
        bool hide = p && p->type == PARAM_SECRET && json_kind(m.value) != JSON_NULL;
        json_set_text(masked, m.name, hide ? json_new_string(arena, "***") : json_share(arena, m.value));
    }
    return masked;
}
