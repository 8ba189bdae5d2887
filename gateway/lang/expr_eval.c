/* The evaluation of template expressions.
 *
 * Scalars are held by value and everything else is borrowed; only what an operator or a filter makes anew goes to a
 * scratch arena, which is not even made for a template of paths, comparisons and numbers. An undefined name is a fault
 * at once; `default` and `is defined` are the only ones that catch it. JSON null is a value here; the places of a
 * template refuse it.
 *
 * A rendering may take so many steps and make so much text, whatever its values are. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lang/expr_reckon.h"
#include "lang/filter.h"

#ifdef TINY_LIMITS
#define MADE_MAX ((size_t)64 << 10)
#define WORK_MAX UINT64_C(100000)
#else
#define MADE_MAX ((size_t)32 << 20)
#define WORK_MAX UINT64_C(10000000)
#endif

bool expr_fault(const struct expr_run *run, const struct expr *expr, enum fault_kind kind, struct fault *fault,
                const char *format, ...) {
    char what[512];
    va_list args;
    if (!fault) return false;
    if (run->quiet && kind == FAULT_UNDEFINED) return fault->kind = kind, false;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return lex_fault_at(expr->origin, expr->source, fault, kind, what);
}

struct arena *expr_scratch(struct expr_run *run) {
    if (!run->scratch) run->scratch = arena_new();
    return run->scratch;
}

void expr_run_end(struct expr_run *run) {
    arena_free(run->scratch);
    run->scratch = NULL;
}

bool expr_work(struct expr_run *run, const struct expr *expr, size_t steps, struct fault *fault) {
    run->work += steps;
    if (run->work <= WORK_MAX) return true;
    return expr_fault(run, expr, FAULT_TOO_LARGE, fault, "rendering takes more than %llu steps",
                      (unsigned long long)WORK_MAX);
}

void expr_made_init(struct buf *out) {
    buf_init(out, MADE_MAX);
}

bool expr_made(struct expr_run *run, const struct expr *expr, struct buf *out, struct value *ret, struct fault *fault) {
    run->made += out->len;
    bool good = !out->full && run->made <= MADE_MAX;
    if (good) *ret = value_text((struct text){arena_strndup(expr_scratch(run), buf_cstr(out), out->len), out->len});
    buf_fini(out);
    return good || expr_fault(run, expr, FAULT_TOO_LARGE, fault,
                              "operators and filters make more than %zu bytes of text in one rendering", MADE_MAX);
}

/* ---- steps ---- */

static const struct value absent = {.kind = JSON_NULL, .absent = true};

struct value expr_member(struct value of, struct text name) {
    const struct json *found = of.kind == JSON_OBJECT ? json_get(of.json, name) : NULL;
    return found ? value_of(found) : absent;
}

static size_t character_at(struct text t, size_t at) {
    for (at++; at < t.len && ((unsigned char)t.at[at] & 0xC0) == 0x80;) at++;
    return at;
}

static int64_t length_of(struct value value) {
    if (value.kind == JSON_STRING) return (int64_t)text_characters(value.text);
    return value.kind == JSON_ARRAY ? (int64_t)json_size(value.json) : 0;
}

static size_t offset_of(struct text t, int64_t character) {
    size_t at = 0;
    for (; character > 0 && at < t.len; character--) at = character_at(t, at);
    return at;
}

struct value expr_element(struct value of, int64_t index) {
    int64_t length = length_of(of);
    if (index < 0) index += length;
    if (index < 0 || index >= length) return absent;
    if (of.kind == JSON_ARRAY) return value_of(json_at(of.json, (size_t)index));
    size_t start = offset_of(of.text, index);
    return value_text((struct text){of.text.at + start, character_at(of.text, start) - start});
}

static bool at_computed(struct expr_run *run, const struct expr_step *step, struct value *value, struct fault *fault) {
    struct value key;
    if (!expr_eval(run, step->computed, &key, fault)) return false;
    if (key.kind == JSON_STRING) *value = expr_member(*value, key.text);
    else if (key.kind == JSON_INT) *value = expr_element(*value, key.integer);
    else
        return expr_fault(run, step->computed, FAULT_INVALID, fault, "a key is text or an integer, but %.*s is %s",
                          TEXT_ARG(step->computed->source), json_kind_word(key.kind));
    return true;
}

static bool slice_bound(struct expr_run *run, const struct expr *expr, int64_t *ret, bool *ret_given,
                        struct fault *fault) {
    struct value value = value_null();
    *ret_given = false;
    if (expr && !expr_eval(run, expr, &value, fault)) return false;
    if (value.kind == JSON_NULL) return true;
    *ret_given = true;
    *ret = value.integer;
    return value.kind == JSON_INT ||
           expr_fault(run, expr, FAULT_INVALID, fault, "%.*s has to be an integer", TEXT_ARG(expr->source));
}

static int64_t clamp(int64_t at, int64_t least, int64_t most) {
    return at < least ? least : at > most ? most : at;
}

struct slice {
    int64_t from, to, by;
};

/* Python's rules (slice.indices). */
static bool slice_bounds(struct expr_run *run, const struct expr_step *step, int64_t length, struct slice *ret,
                         struct fault *fault) {
    bool from, to, by;
    if (!slice_bound(run, step->computed, &ret->from, &from, fault)) return false;
    if (!slice_bound(run, step->to, &ret->to, &to, fault) || !slice_bound(run, step->by, &ret->by, &by, fault))
        return false;
    if (!by) ret->by = 1;
    if (ret->by == 0) return expr_fault(run, step->by, FAULT_INVALID, fault, "the step of a slice may not be 0");
    int64_t least = ret->by > 0 ? 0 : -1, most = ret->by > 0 ? length : length - 1;
    if (from && ret->from < 0) ret->from += length;
    if (to && ret->to < 0) ret->to += length;
    ret->from = from ? clamp(ret->from, least, most) : ret->by > 0 ? least : most;
    ret->to = to ? clamp(ret->to, least, most) : ret->by > 0 ? most : least;
    return true;
}

static bool at_slice(struct expr_run *run, const struct expr *expr, const struct expr_step *step, struct value *value,
                     struct fault *fault) {
    struct slice s;
    int64_t length = length_of(*value);
    if (value->kind != JSON_ARRAY && value->kind != JSON_STRING)
        return expr_fault(run, expr, FAULT_INVALID, fault, "only arrays and texts can be sliced (%.*s)",
                          TEXT_ARG(expr->source));
    if (!slice_bounds(run, step, length, &s, fault) || !expr_work(run, expr, (size_t)length, fault)) return false;
    if (value->kind == JSON_STRING) {
        struct buf out;
        expr_made_init(&out);
        for (int64_t i = s.from; s.by > 0 ? i < s.to : i > s.to;) {
            size_t start = offset_of(value->text, i);
            if (!expr_work(run, expr, start + 1, fault)) return buf_fini(&out), false;
            buf_add(&out, value->text.at + start, character_at(value->text, start) - start);
            if (__builtin_add_overflow(i, s.by, &i)) break;
        }
        return expr_made(run, expr, &out, value, fault);
    }
    struct json *list = json_new_array(expr_scratch(run));
    for (int64_t i = s.from; s.by > 0 ? i < s.to : i > s.to;) {
        json_push(list, json_at(value->json, (size_t)i));
        if (__builtin_add_overflow(i, s.by, &i)) break;
    }
    *value = value_of(list);
    return true;
}

static bool walk(struct expr_run *run, const struct expr *expr, struct value value, struct value *ret,
                 struct fault *fault) {
    for (const struct expr_step *step = expr->steps; step && !value.absent; step = step->next) {
        if (step->kind == STEP_NAME && value.kind != JSON_OBJECT)
            return expr_fault(run, expr, FAULT_UNDEFINED, fault,
                              "%.*s is undefined: \"%.*s\" is looked for in a value of type %s", TEXT_ARG(expr->source),
                              TEXT_ARG(step->name), json_kind_word(value.kind));
        if (step->kind == STEP_NAME) value = expr_member(value, step->name);
        else if (step->kind == STEP_INDEX) value = expr_element(value, step->index);
        else if (step->kind == STEP_SLICE) {
            if (!at_slice(run, expr, step, &value, fault)) return false;
        } else if (!at_computed(run, step, &value, fault)) return false;
    }
    if (value.absent) return expr_fault(run, expr, FAULT_UNDEFINED, fault, "%.*s is undefined", TEXT_ARG(expr->source));
    *ret = value;
    return true;
}

/* Names of objects are followed without looking at each value on the way. */
static __attribute__((noinline)) bool walk_root(struct expr_run *run, const struct expr *expr, struct value *ret,
                                                struct fault *fault) {
    const struct json *root = run->roots[expr->root];
    const struct expr_step *step = expr->steps;
    const struct json *at = root;
    for (; step && at && step->kind == STEP_NAME; step = step->next) at = json_get(at, step->name);
    if (!step && at) return *ret = value_of(at), true;
    return walk(run, expr, root ? value_of(root) : absent, ret, fault);
}

static inline bool eval_path(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    const struct json *found = expr_seek(run, expr);
    if (!found) return walk_root(run, expr, ret, fault);
    json_open(found, ret);
    return true;
}

static __attribute__((noinline)) bool walk_local(struct expr_run *run, const struct expr *expr, struct value *ret,
                                                 struct fault *fault) {
    return walk(run, expr, run->variables[expr->root], ret, fault);
}

static inline bool eval_local(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    const struct value *variable = &run->variables[expr->root];
    if (expr->steps || variable->absent) return walk_local(run, expr, ret, fault);
    *ret = *variable;
    return true;
}

static bool eval_loop(struct expr_run *run, const struct expr *expr, struct value *ret) {
    const struct expr_loop *loop = &run->loops[expr->root];
    switch ((enum expr_loop_member)expr->operator) {
    case EXPR_LOOP_INDEX: *ret = value_int(loop->index + 1); break;
    case EXPR_LOOP_INDEX0: *ret = value_int(loop->index); break;
    case EXPR_LOOP_REVINDEX: *ret = value_int(loop->length - loop->index); break;
    case EXPR_LOOP_REVINDEX0: *ret = value_int(loop->length - loop->index - 1); break;
    case EXPR_LOOP_FIRST: *ret = value_bool(loop->index == 0); break;
    case EXPR_LOOP_LAST: *ret = value_bool(loop->index == loop->length - 1); break;
    case EXPR_LOOP_LENGTH: *ret = value_int(loop->length); break;
    }
    return true;
}

/* ---- undefined values ---- */

static bool eval_quiet(struct expr_run *run, const struct expr *expr, struct value *ret, bool *ret_defined,
                       struct fault *fault) {
    struct fault why;
    why.kind = FAULT_NONE;
    run->quiet++;
    *ret_defined = expr_eval(run, expr, ret, &why);
    run->quiet--;
    if (*ret_defined || why.kind == FAULT_UNDEFINED) return true;
    if (fault) *fault = why;
    return false;
}

static bool eval_default(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    bool defined, other_defined;
    struct value lenient = value_bool(false), other;
    if (!eval_quiet(run, expr->a, ret, &defined, fault)) return false;
    /* An argument is made before the filter looks at anything: one that is wrong is refused also where it is not
     * needed. */
    if (!eval_quiet(run, expr->b, &other, &other_defined, fault)) return false;
    if (expr->c && !expr_eval(run, expr->c, &lenient, fault)) return false;
    if (defined && ret->kind != JSON_NULL && (!value_truth(lenient) || value_truth(*ret))) return true;
    if (!other_defined) return expr_eval(run, expr->b, ret, fault); /* once more, for its sentence */
    *ret = other;
    return true;
}

/* ---- containers ---- */

static bool eval_list(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    struct arena *arena = expr_scratch(run);
    struct json *list = json_new_array(arena);
    if (!expr_work(run, expr, expr->count, fault)) return false;
    for (size_t i = 0; i < expr->count; i++) {
        struct value item;
        if (!expr_eval(run, expr->items[i], &item, fault)) return false;
        json_push(list, value_json(arena, item));
    }
    *ret = value_of(list);
    return true;
}

static bool eval_map(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    struct arena *arena = expr_scratch(run);
    struct json *map = json_new_object(arena);
    if (!expr_work(run, expr, expr->count, fault)) return false;
    for (size_t i = 0; i < expr->count; i += 2) {
        struct value name, item;
        if (!expr_eval(run, expr->items[i], &name, fault) || !expr_eval(run, expr->items[i + 1], &item, fault))
            return false;
        if (name.kind != JSON_STRING)
            return expr_fault(run, expr->items[i], FAULT_INVALID, fault, "a member's name is text, but %.*s is %s",
                              TEXT_ARG(expr->items[i]->source), json_kind_word(name.kind));
        json_set_text(map, name.text, value_json(arena, item));
    }
    *ret = value_of(map);
    return true;
}

/* ---- operators ---- */

static bool no_null(struct expr_run *run, const struct expr *expr, struct value value, struct fault *fault) {
    if (value.kind != JSON_NULL) return true;
    return expr_fault(run, expr, FAULT_UNDEFINED, fault, "%.*s is null; default(…) would give it a value",
                      TEXT_ARG(expr->source));
}

static bool eval_join(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    struct value a, b;
    if (!expr_eval(run, expr->a, &a, fault) || !expr_eval(run, expr->b, &b, fault)) return false;
    if (!no_null(run, expr->a, a, fault) || !no_null(run, expr->b, b, fault)) return false;
    return expr_reckon_join(run, expr, a, b, ret, fault);
}

static bool eval_arith(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    struct value a, b;
    if (!expr_eval(run, expr->a, &a, fault) || !expr_eval(run, expr->b, &b, fault)) return false;
    return expr_reckon(run, expr, a, b, ret, fault);
}

static bool eval_compare(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    struct value a, b;
    bool truth = true;
    if (!expr_eval(run, expr->items[0], &a, fault)) return false;
    for (size_t i = 1; i < expr->count && truth; i++, a = b) {
        if (!expr_eval(run, expr->items[i], &b, fault)) return false;
        if (!expr_reckon_order(run, expr, expr->between[i - 1], a, b, &truth, fault)) return false;
    }
    *ret = value_bool(truth);
    return true;
}

/* As in Jinja, `and` and `or` give one of their values, and look at the second only where they must. */
static bool eval_either(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    if (!expr_eval(run, expr->a, ret, fault)) return false;
    if (value_truth(*ret) == (expr->kind == EXPR_OR)) return true;
    return expr_eval(run, expr->b, ret, fault);
}

static bool eval_if(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    struct value condition;
    if (!expr_eval(run, expr->a, &condition, fault)) return false;
    if (value_truth(condition)) return expr_eval(run, expr->b, ret, fault);
    if (expr->c) return expr_eval(run, expr->c, ret, fault);
    return expr_fault(run, expr, FAULT_UNDEFINED, fault,
                      "%.*s is undefined: its condition is false, and it has no else", TEXT_ARG(expr->source));
}

/* ---- filters and tests ---- */

static bool eval_arguments(struct expr_run *run, const struct expr *expr, struct value *values,
                           struct filter_call *call) {
    call->run = run;
    call->expr = expr;
    for (size_t i = 0; i < expr->count; i++) {
        if (!expr->items[i]) continue;
        if (!expr_eval(run, expr->items[i], &values[i], call->fault)) return false;
        call->arguments[i] = &values[i];
    }
    return true;
}

static bool eval_filter(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    struct value value, values[FILTER_ARGUMENTS];
    struct filter_call call = {.name = expr->filter->name, .fault = fault};
    if (!expr_eval(run, expr->a, &value, fault) || !eval_arguments(run, expr, values, &call)) return false;
    return expr->filter->apply(&call, value, ret);
}

static bool eval_test(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    struct value value, values[FILTER_ARGUMENTS];
    struct filter_call call = {.name = expr->test->name, .fault = fault};
    bool truth = false;
    if (!expr_eval(run, expr->a, &value, fault) || !eval_arguments(run, expr, values, &call)) return false;
    if (!expr->test->ask(&call, value, &truth)) return false;
    *ret = value_bool(truth);
    return true;
}

/* Apart, so that the common ones need not make room for what these need. */
static __attribute__((noinline)) bool eval_other(struct expr_run *run, const struct expr *expr, struct value *ret,
                                                 struct fault *fault) {
    struct value value;
    bool defined;
    switch (expr->kind) {
    case EXPR_STEP: return expr_eval(run, expr->a, &value, fault) && walk(run, expr, value, ret, fault);
    case EXPR_FILTER: return eval_filter(run, expr, ret, fault);
    case EXPR_TEST: return eval_test(run, expr, ret, fault);
    case EXPR_DEFAULT: return eval_default(run, expr, ret, fault);
    case EXPR_LIST: return eval_list(run, expr, ret, fault);
    case EXPR_MAP: return eval_map(run, expr, ret, fault);
    case EXPR_ARITH: return eval_arith(run, expr, ret, fault);
    case EXPR_SIGN: return expr_eval(run, expr->a, ret, fault) && expr_reckon_sign(run, expr, ret, fault);
    case EXPR_JOIN: return eval_join(run, expr, ret, fault);
    case EXPR_COMPARE: return eval_compare(run, expr, ret, fault);
    case EXPR_AND:
    case EXPR_OR: return eval_either(run, expr, ret, fault);
    case EXPR_IF: return eval_if(run, expr, ret, fault);
    case EXPR_DEFINED:
        if (!eval_quiet(run, expr->a, &value, &defined, fault)) return false;
        *ret = value_bool(defined);
        return true;
    case EXPR_NOT:
        if (!expr_eval(run, expr->a, &value, fault)) return false;
        *ret = value_bool(!value_truth(value));
        return true;
    default: return false;
    }
}

bool expr_eval(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault) {
    switch (expr->kind) {
    case EXPR_LITERAL: *ret = expr->literal; return true;
    case EXPR_PATH: return eval_path(run, expr, ret, fault);
    case EXPR_LOCAL: return eval_local(run, expr, ret, fault);
    case EXPR_LOOP: return eval_loop(run, expr, ret);
    default: return eval_other(run, expr, ret, fault);
    }
}
