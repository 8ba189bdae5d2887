/* Compiles the `parameters` of a definition.
 *
 * A constraint that its type does not know is a mistake and not ignored, since its writer believes in it. A default
 * goes through the same check as a caller's value, once the constraints are known to be good. */
#include <string.h>

#include "lang/regexp.h"
#include "stage/compile.h"
#include "stage/decimal.h"

static bool is_number(enum param_type type) {
    return type == PARAM_INTEGER || type == PARAM_NUMBER;
}

static bool has_length(enum param_type type) {
    return type == PARAM_STRING || type == PARAM_URL || type == PARAM_SECRET || type == PARAM_LIST;
}

static bool type_find(struct text word, enum param_type *ret_type) {
    static const char *const words[] = {
#define X(id, word) word,
        PARAM_TYPES(X)
#undef X
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!text_is(word, words[i])) continue;
        *ret_type = (enum param_type)i;
        return true;
    }
    return false;
}

/* The setting, if it is there and the type may have it. */
static const struct conf *constraint(struct compile *c, const struct conf *group, const char *name, bool fits,
                                     const struct param *p, const char *of) {
    const struct conf *at = conf_find(group, name);
    if (at && !fits) {
        compile_fault(c, at, FAULT_INVALID, "%s is for %s, and \"%s\" is of type %s", name, of, p->name,
                      param_type_word(p->type));
        return NULL;
    }
    return at;
}

static void check_bound(struct compile *c, const struct conf *at, bool given, double bound) {
    char decimal[DECIMAL_ROOM];
    if (given && !decimal_write(bound, decimal))
        compile_fault(
            c, at, FAULT_INVALID,
            "a bound has to be a whole number up to 2^53 - 1, or have 15 digits at most, so that it is exact");
}

static void read_bounds(struct compile *c, const struct conf *group, struct param *p) {
    const char *of = "integers and numbers";
    const struct conf *low = constraint(c, group, "minimum", is_number(p->type), p, of);
    const struct conf *high = constraint(c, group, "maximum", is_number(p->type), p, of);
    p->has_minimum = low && fields_type_fits(low, FIELD_NUMBER);
    p->has_maximum = high && fields_type_fits(high, FIELD_NUMBER);
    if (p->has_minimum) p->minimum = low->real;
    if (p->has_maximum) p->maximum = high->real;
    check_bound(c, low, p->has_minimum, p->minimum);
    check_bound(c, high, p->has_maximum, p->maximum);
    if (p->has_minimum && p->has_maximum && p->minimum > p->maximum)
        compile_fault(c, high, FAULT_INVALID, "the maximum of \"%s\" is less than its minimum", p->name);
}

static void read_lengths(struct compile *c, const struct conf *group, struct param *p) {
    const char *of = "strings, urls, secrets and lists";
    const struct conf *low = constraint(c, group, "min_length", has_length(p->type), p, of);
    const struct conf *high = constraint(c, group, "max_length", has_length(p->type), p, of);
    if (low && low->kind == CONF_INT && low->integer > 0) p->min_length = (size_t)low->integer;
    if (high && high->kind == CONF_INT && high->integer > 0) p->max_length = (size_t)high->integer;
    if (p->type == PARAM_LIST && (p->min_length > PARAM_LIST_MAX || p->max_length > PARAM_LIST_MAX))
        compile_fault(c, p->min_length > PARAM_LIST_MAX ? low : high, FAULT_INVALID,
                      "a list may have %d elements at most", PARAM_LIST_MAX);
    if (p->max_length && p->min_length > p->max_length)
        compile_fault(c, high, FAULT_INVALID, "the max_length of \"%s\" is less than its min_length", p->name);
}

static void read_pattern(struct compile *c, const struct conf *group, struct param *p) {
    const struct conf *at = constraint(c, group, "pattern", p->type == PARAM_STRING, p, "strings");
    struct fault fault;
    if (!at || at->kind != CONF_STRING) return;
    struct buf pattern;
    buf_init(&pattern, 1 << 17);
    p->pattern_source = at->string.at;
    if (regexp_rewrite(&pattern, text_of(at->string.at), REGEXP_PLAIN, &fault))
        p->pattern = pattern_compile(c->arena, buf_text(&pattern), true, &fault);
    buf_fini(&pattern);
    if (!p->pattern) compile_fault(c, at, FAULT_SYNTAX, "pattern: %s", fault.what);
}

static void read_choices(struct compile *c, const struct conf *group, struct param *p) {
    const struct conf *at = constraint(c, group, "choices", p->type == PARAM_CHOICE, p, "choices");
    if (!at && p->type == PARAM_CHOICE && !conf_find(group, "choices"))
        compile_fault(c, group, FAULT_INVALID, "the choice \"%s\" needs choices = [ \"…\", \"…\" ]", p->name);
    if (!at || !fields_type_fits(at, FIELD_WORDS)) return;
    struct stage_words words = {0};
    fields_read_words(c, at, &words);
    for (size_t i = 0; i < words.count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(words.items[i], words.items[j]) == 0)
                compile_fault(c, at, FAULT_INVALID, "the choice \"%s\" is listed twice", words.items[i]);
    p->choices = words.items;
    p->choice_count = words.count;
}

static void read_default(struct compile *c, const struct conf *group, struct param *p) {
    const struct conf *at = conf_find(group, "default");
    struct fault fault;
    if (!at) return;
    if (p->type == PARAM_SECRET) {
        compile_fault(c, at, FAULT_INVALID, "the secret \"%s\" cannot have a default; use {{ secret.NAME }} for one",
                      p->name);
        return;
    }
    if (!param_check(c->arena, p, compile_json(c->arena, at), &p->preset, &fault))
        compile_fault(c, at, FAULT_INVALID, "the default of \"%s\": %s", p->name, fault.what);
    else if (p->required) compile_warn(c, at, "\"%s\" is required, so its default is never used", p->name);
}

static void read_param(struct compile *c, const struct conf *group, struct param *p) {
    const struct conf *name = conf_find(group, "name"), *type = conf_find(group, "type");
    struct field_place place = {&fields_param, p};
    size_t before = compile_fault_count(c);
    fields_read(c, group, "a parameter", &place, 1);
    if (!name) compile_fault(c, group, FAULT_INVALID, "a parameter needs a name");
    else if (name->kind == CONF_STRING && compile_name_check(c, name, "parameter", COMPILE_PARAM_NAME))
        p->name = name->string.at;
    if (!p->name) return;
    if (type && (type->kind != CONF_STRING || !type_find(type->string, &p->type))) return; /* reported above */
    read_bounds(c, group, p);
    read_lengths(c, group, p);
    read_pattern(c, group, p);
    read_choices(c, group, p);
    if (compile_fault_count(c) == before) read_default(c, group, p);
}

void compile_params(struct compile *c, const struct conf *list) {
    struct param *params = arena_array_of(c->arena, struct param, list->count);
    c->stage->params = params;
    for (size_t i = 0; i < list->count; i++) {
        read_param(c, &list->items[i], &params[i]);
        c->stage->param_count = i + 1;
        for (size_t j = 0; j < i && params[i].name; j++)
            if (params[j].name && strcmp(params[i].name, params[j].name) == 0)
                compile_fault(c, conf_find(&list->items[i], "name"), FAULT_INVALID, "there are two parameters \"%s\"",
                              params[i].name);
    }
}
