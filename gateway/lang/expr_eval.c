/* The evaluation of template expressions.
 *
 * Values are JSON values: those of the roots are borrowed, and only what an operator or filter makes anew goes to a
 * scratch arena, which is not even made for a template of plain paths. An undefined name is a fault at once; `default`
 * and `is defined` are the only ones that catch it. JSON null is a value here; the places of a template refuse it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lang/expr.h"
#include "lang/filter.h"

#define JOINED_MAX ((size_t)16 << 20)

bool expr_fault(const struct expr_run *run, const struct expr *expr, enum fault_kind kind, struct fault *fault,
                const char *format, ...) {
    char where[256], what[512];
    va_list args;
    if (!fault) return false;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(where, sizeof where, "%s:%d", run->file, expr->line);
    return fault_set(fault, kind, where, "%s", what);
}

struct arena *expr_scratch(struct expr_run *run) {
    if (!run->scratch) run->scratch = arena_new();
    return run->scratch;
}

void expr_run_end(struct expr_run *run) {
    arena_free(run->scratch);
    run->scratch = NULL;
}

bool expr_truth(const struct json *value) {
    switch (json_kind(value)) {
    case JSON_NULL: return false;
    case JSON_BOOL: return json_truth(value);
    case JSON_INT: return json_int(value) != 0;
    case JSON_REAL: return json_number(value) < 0 || json_number(value) > 0;
    case JSON_STRING: return json_text(value).len > 0;
    case JSON_ARRAY:
    case JSON_OBJECT: return json_size(value) > 0;
    }
    return false;
}

/* ---- steps ---- */

static const struct json *at_index(const struct json *array, int64_t index) {
    int64_t size = (int64_t)json_size(array);
    if (index < 0) index += size;
    return index >= 0 && index < size ? json_at(array, (size_t)index) : NULL;
}

static bool at_computed(struct expr_run *run, const struct expr_step *step, const struct json **value,
                        struct fault *fault) {
    const struct json *key;
    if (!expr_eval(run, step->computed, &key, fault)) return false;
    if (json_kind(key) == JSON_STRING) *value = json_get(*value, json_text(key));
    else if (json_kind(key) == JSON_INT) *value = at_index(*value, json_int(key));
    else
        return expr_fault(run, step->computed, FAULT_INVALID, fault, "a key is text or an integer, but %.*s is %s",
                          TEXT_ARG(step->computed->source), json_kind_word(json_kind(key)));
    return true;
}

static bool walk(struct expr_run *run, const struct expr *expr, const struct json *value, const struct json **ret,
                 struct fault *fault) {
    for (const struct expr_step *step = expr->steps; step && value; step = step->next) {
        if (step->kind == STEP_NAME && json_kind(value) != JSON_OBJECT)
            return expr_fault(run, expr, FAULT_UNDEFINED, fault,
                              "%.*s is undefined: \"%.*s\" is looked for in a value of type %s", TEXT_ARG(expr->source),
                              TEXT_ARG(step->name), json_kind_word(json_kind(value)));
        if (step->kind == STEP_NAME) value = json_get(value, step->name);
        else if (step->kind == STEP_INDEX) value = at_index(value, step->index);
        else if (!at_computed(run, step, &value, fault)) return false;
    }
    if (!value) return expr_fault(run, expr, FAULT_UNDEFINED, fault, "%.*s is undefined", TEXT_ARG(expr->source));
    *ret = value;
    return true;
}

/* ---- operators ---- */

static bool eval_default(struct expr_run *run, const struct expr *expr, const struct json **ret, struct fault *fault) {
    struct fault why = {0};
    if (expr_eval(run, expr->a, ret, &why)) {
        if (json_kind(*ret) != JSON_NULL) return true;
    } else if (why.kind != FAULT_UNDEFINED) {
        if (fault) *fault = why;
        return false;
    }
    return expr_eval(run, expr->b, ret, fault);
}

static bool eval_filter(struct expr_run *run, const struct expr *expr, const struct json **ret, struct fault *fault) {
    const struct json *value, *arguments[FILTER_ARGUMENTS] = {NULL};
    if (!expr_eval(run, expr->a, &value, fault)) return false;
    if (expr->b && !expr_eval(run, expr->b, &arguments[0], fault)) return false;
    if (expr->c && !expr_eval(run, expr->c, &arguments[1], fault)) return false;
    return expr->filter->apply(run, expr, value, arguments, ret, fault);
}

static bool eval_join(struct expr_run *run, const struct expr *expr, const struct json **ret, struct fault *fault) {
    const struct json *a, *b;
    if (!expr_eval(run, expr->a, &a, fault) || !expr_eval(run, expr->b, &b, fault)) return false;
    if (json_kind(a) == JSON_NULL || json_kind(b) == JSON_NULL)
        return expr_fault(run, expr, FAULT_UNDEFINED, fault, "%.*s is null; default(…) would give it a value",
                          TEXT_ARG(json_kind(a) == JSON_NULL ? expr->a->source : expr->b->source));
    struct buf out;
    buf_init(&out, JOINED_MAX);
    json_write_text(&out, a);
    json_write_text(&out, b);
    bool good = !out.full;
    if (good) *ret = json_new_text(expr_scratch(run), buf_text(&out));
    buf_fini(&out);
    return good || expr_fault(run, expr, FAULT_TOO_LARGE, fault, "~ makes more than %zu bytes", JOINED_MAX);
}

static bool is_number(const struct json *value) {
    return json_kind(value) == JSON_INT || json_kind(value) == JSON_REAL;
}

/* -1, 0, 1; false where the two have no order. */
static bool order(const struct json *a, const struct json *b, int *ret) {
    if (json_kind(a) == JSON_INT && json_kind(b) == JSON_INT) {
        *ret = (json_int(a) > json_int(b)) - (json_int(a) < json_int(b));
        return true;
    }
    if (is_number(a) && is_number(b)) {
        *ret = (json_number(a) > json_number(b)) - (json_number(a) < json_number(b));
        return true;
    }
    if (json_kind(a) != JSON_STRING || json_kind(b) != JSON_STRING) return false;
    struct text x = json_text(a), y = json_text(b);
    int compared = memcmp(x.at, y.at, x.len < y.len ? x.len : y.len);
    *ret = compared ? (compared > 0) - (compared < 0) : (x.len > y.len) - (x.len < y.len);
    return true;
}

static bool eval_compare(struct expr_run *run, const struct expr *expr, bool *ret, struct fault *fault) {
    const struct json *a, *b;
    int way = 0;
    if (!expr_eval(run, expr->a, &a, fault) || !expr_eval(run, expr->b, &b, fault)) return false;
    if (expr->comparison == EXPR_EQ || expr->comparison == EXPR_NE) {
        *ret = json_same(a, b) == (expr->comparison == EXPR_EQ);
        return true;
    }
    if (!order(a, b, &way))
        return expr_fault(run, expr, FAULT_INVALID, fault, "%s and %s have no order (%.*s)",
                          json_kind_word(json_kind(a)), json_kind_word(json_kind(b)), TEXT_ARG(expr->source));
    *ret = expr->comparison == EXPR_LT   ? way < 0
           : expr->comparison == EXPR_LE ? way <= 0
           : expr->comparison == EXPR_GT ? way > 0
                                         : way >= 0;
    return true;
}

static bool eval_in(struct expr_run *run, const struct expr *expr, bool *ret, struct fault *fault) {
    const struct json *a, *b;
    if (!expr_eval(run, expr->a, &a, fault) || !expr_eval(run, expr->b, &b, fault)) return false;
    struct text needle = json_text(a), hay = json_text(b);
    *ret = false;
    if (json_kind(b) == JSON_ARRAY) {
        for (size_t i = 0; i < json_size(b) && !*ret; i++) *ret = json_same(a, json_at(b, i));
        return true;
    }
    if (json_kind(a) != JSON_STRING || (json_kind(b) != JSON_STRING && json_kind(b) != JSON_OBJECT))
        return expr_fault(run, expr, FAULT_INVALID, fault, "%s cannot be in %s (%.*s)", json_kind_word(json_kind(a)),
                          json_kind_word(json_kind(b)), TEXT_ARG(expr->source));
    if (json_kind(b) == JSON_OBJECT) *ret = json_get(b, needle) != NULL;
    else *ret = needle.len == 0 || (hay.len && memmem(hay.at, hay.len, needle.at, needle.len));
    return true;
}

static bool eval_defined(struct expr_run *run, const struct expr *expr, bool *ret, struct fault *fault) {
    const struct json *ignored;
    struct fault why = {0};
    *ret = expr_eval(run, expr->a, &ignored, &why);
    if (*ret || why.kind == FAULT_UNDEFINED) return true;
    if (fault) *fault = why;
    return false;
}

static bool eval_bool(struct expr_run *run, const struct expr *expr, bool *ret, struct fault *fault) {
    const struct json *a;
    switch (expr->kind) {
    case EXPR_COMPARE: return eval_compare(run, expr, ret, fault);
    case EXPR_IN: return eval_in(run, expr, ret, fault);
    case EXPR_IS_DEFINED: return eval_defined(run, expr, ret, fault);
    default: break;
    }
    if (!expr_eval(run, expr->a, &a, fault)) return false;
    *ret = expr->kind == EXPR_IS_NONE ? json_kind(a) == JSON_NULL : !expr_truth(a);
    return true;
}

/* As in Jinja, `and` and `or` give one of their values, and look at the second only where they must. */
static bool eval_either(struct expr_run *run, const struct expr *expr, const struct json **ret, struct fault *fault) {
    if (!expr_eval(run, expr->a, ret, fault)) return false;
    if (expr_truth(*ret) == (expr->kind == EXPR_OR)) return true;
    return expr_eval(run, expr->b, ret, fault);
}

static bool eval_if(struct expr_run *run, const struct expr *expr, const struct json **ret, struct fault *fault) {
    const struct json *condition;
    if (!expr_eval(run, expr->a, &condition, fault)) return false;
    if (expr_truth(condition)) return expr_eval(run, expr->b, ret, fault);
    if (expr->c) return expr_eval(run, expr->c, ret, fault);
    return expr_fault(run, expr, FAULT_UNDEFINED, fault,
                      "%.*s is undefined: its condition is false, and it has no else", TEXT_ARG(expr->source));
}

bool expr_eval(struct expr_run *run, const struct expr *expr, const struct json **ret, struct fault *fault) {
    bool truth = false;
    const struct json *value;
    switch (expr->kind) {
    case EXPR_LITERAL: *ret = expr->literal; return true;
    case EXPR_PATH: return walk(run, expr, run->roots[expr->root], ret, fault);
    case EXPR_STEP: return expr_eval(run, expr->a, &value, fault) && walk(run, expr, value, ret, fault);
    case EXPR_FILTER: return eval_filter(run, expr, ret, fault);
    case EXPR_DEFAULT: return eval_default(run, expr, ret, fault);
    case EXPR_JOIN: return eval_join(run, expr, ret, fault);
    case EXPR_AND:
    case EXPR_OR: return eval_either(run, expr, ret, fault);
    case EXPR_IF: return eval_if(run, expr, ret, fault);
    case EXPR_COMPARE:
    case EXPR_IN:
    case EXPR_NOT:
    case EXPR_IS_DEFINED:
    case EXPR_IS_NONE:
        if (!eval_bool(run, expr, &truth, fault)) return false;
        *ret = json_new_bool(expr_scratch(run), truth);
        return true;
    }
    return false;
}
