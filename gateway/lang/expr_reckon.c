/* What the operators of template expressions do with values: arithmetic, joining, comparing.
 *
 * Numbers are Python's, as far as 64 bits go: / gives a real, // and % round towards minus infinity, and an integer
 * that would not fit is a fault and never a wrong number. Operands come evaluated; called by lang/expr_eval. */
#include "lang/expr_reckon.h"

#include <math.h>
#include <string.h>

bool expr_reckon_join(struct expr_run *run, const struct expr *expr, struct value a, struct value b, struct value *ret,
                      struct fault *fault) {
    struct buf out;
    expr_made_init(&out);
    value_write_text(&out, a);
    value_write_text(&out, b);
    return expr_made(run, expr, &out, ret, fault);
}

static bool arith_wrong(struct expr_run *run, const struct expr *expr, struct value a, struct value b,
                        struct fault *fault) {
    bool texts = expr->operator== EXPR_PLUS &&(a.kind == JSON_STRING || b.kind == JSON_STRING);
    return expr_fault(run, expr, FAULT_INVALID, fault, "%s and %s cannot be reckoned with (%.*s)%s",
                      json_kind_word(a.kind), json_kind_word(b.kind), TEXT_ARG(expr->source),
                      texts ? "; ~ joins a text and a number" : "");
}

static bool too_large(struct expr_run *run, const struct expr *expr, struct fault *fault) {
    return expr_fault(run, expr, FAULT_TOO_LARGE, fault, "%.*s is beyond what a number can hold",
                      TEXT_ARG(expr->source));
}

static bool real_result(struct expr_run *run, const struct expr *expr, double real, struct value *ret,
                        struct fault *fault) {
    *ret = value_real(real);
    return ret->kind == JSON_REAL || too_large(run, expr, fault);
}

static int64_t floor_divide(int64_t a, int64_t b) {
    int64_t whole = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? whole - 1 : whole;
}

/* By squares: a base of 0, 1 or -1 takes any exponent, and each other is over after 63 bits. */
static bool power_overflows(int64_t base, int64_t exponent, int64_t *ret) {
    for (*ret = 1; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(*ret, base, ret)) return true;
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return true;
    }
    return false;
}

static bool reckon_integers(struct expr_run *run, const struct expr *expr, int64_t a, int64_t b, struct value *ret,
                            struct fault *fault) {
    int64_t result = 0;
    bool over = false;
    switch ((enum expr_operator)expr->operator) {
    case EXPR_PLUS: over = __builtin_add_overflow(a, b, &result); break;
    case EXPR_MINUS: over = __builtin_sub_overflow(a, b, &result); break;
    case EXPR_TIMES: over = __builtin_mul_overflow(a, b, &result); break;
    case EXPR_DIVIDE: return real_result(run, expr, (double)a / (double)b, ret, fault);
    case EXPR_POWER:
        if (b < 0) return real_result(run, expr, pow((double)a, (double)b), ret, fault);
        over = power_overflows(a, b, &result);
        break;
    default:
        over = a == INT64_MIN && b == -1;
        if (over) break;
        result = floor_divide(a, b);
        if (expr->operator== EXPR_MODULO) result = a - result * b;
        break;
    }
    *ret = value_int(result);
    return !over || too_large(run, expr, fault);
}

static double real_modulo(double a, double b) {
    double rest = fmod(a, b);
    if (!(rest < 0) && !(rest > 0)) return copysign(0, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

static double real_floor(double a, double b) {
    double whole = (a - real_modulo(a, b)) / b;
    if (!(whole < 0) && !(whole > 0)) return copysign(0, a / b);
    return floor(whole) + (whole - floor(whole) > 0.5);
}

static bool reckon_reals(struct expr_run *run, const struct expr *expr, double a, double b, struct value *ret,
                         struct fault *fault) {
    switch ((enum expr_operator)expr->operator) {
    case EXPR_PLUS: return real_result(run, expr, a + b, ret, fault);
    case EXPR_MINUS: return real_result(run, expr, a - b, ret, fault);
    case EXPR_TIMES: return real_result(run, expr, a * b, ret, fault);
    case EXPR_DIVIDE: return real_result(run, expr, a / b, ret, fault);
    case EXPR_FLOOR: return real_result(run, expr, real_floor(a, b), ret, fault);
    case EXPR_POWER: return real_result(run, expr, pow(a, b), ret, fault);
    default: return real_result(run, expr, real_modulo(a, b), ret, fault);
    }
}

static bool add_lists(struct expr_run *run, const struct expr *expr, struct value a, struct value b, struct value *ret,
                      struct fault *fault) {
    struct json *list = json_new_array(expr_scratch(run));
    if (!expr_work(run, expr, json_size(a.json) + json_size(b.json), fault)) return false;
    for (size_t i = 0; i < json_size(a.json); i++) json_push(list, json_at(a.json, i));
    for (size_t i = 0; i < json_size(b.json); i++) json_push(list, json_at(b.json, i));
    *ret = value_of(list);
    return true;
}

static bool repeat_text(struct expr_run *run, const struct expr *expr, struct text text, int64_t times,
                        struct value *ret, struct fault *fault) {
    struct buf out;
    size_t total = 0;
    expr_made_init(&out);
    if (times > 0 && __builtin_mul_overflow(text.len, (size_t)times, &total)) total = SIZE_MAX;
    char *to = buf_room(&out, total);
    if (to && total) memcpy(to, text.at, text.len);
    for (size_t have = text.len, more; to && have < total; have += more) {
        more = have < total - have ? have : total - have;
        memcpy(to + have, to, more);
    }
    if (to) buf_grew(&out, total);
    return expr_made(run, expr, &out, ret, fault);
}

bool expr_reckon(struct expr_run *run, const struct expr *expr, struct value a, struct value b, struct value *ret,
                 struct fault *fault) {
    int operator= expr->operator;
    if (operator== EXPR_PLUS && a.kind == JSON_STRING && b.kind == JSON_STRING)
        return expr_reckon_join(run, expr, a, b, ret, fault);
    if (operator== EXPR_PLUS && a.kind == JSON_ARRAY && b.kind == JSON_ARRAY)
        return add_lists(run, expr, a, b, ret, fault);
    if (operator== EXPR_TIMES && a.kind == JSON_STRING && b.kind == JSON_INT)
        return repeat_text(run, expr, a.text, b.integer, ret, fault);
    if (!value_is_number(a) || !value_is_number(b)) return arith_wrong(run, expr, a, b, fault);
    bool divides = operator== EXPR_DIVIDE || operator== EXPR_FLOOR || operator== EXPR_MODULO;
    if (divides && !value_truth(b))
        return expr_fault(run, expr, FAULT_INVALID, fault, "division by zero: %.*s is 0", TEXT_ARG(expr->b->source));
    if (operator== EXPR_POWER && !value_truth(a) && value_number(b) < 0)
        return expr_fault(run, expr, FAULT_INVALID, fault, "division by zero: 0 has no negative power (%.*s)",
                          TEXT_ARG(expr->source));
    if (a.kind == JSON_INT && b.kind == JSON_INT) return reckon_integers(run, expr, a.integer, b.integer, ret, fault);
    return reckon_reals(run, expr, value_number(a), value_number(b), ret, fault);
}

bool expr_reckon_sign(struct expr_run *run, const struct expr *expr, struct value *value, struct fault *fault) {
    if (!value_is_number(*value))
        return expr_fault(run, expr, FAULT_INVALID, fault, "%.*s is no number", TEXT_ARG(expr->a->source));
    if (expr->operator== EXPR_PLUS) return true;
    if (value->kind == JSON_REAL) return value->real = -value->real, true;
    if (value->integer == INT64_MIN) return too_large(run, expr, fault);
    value->integer = -value->integer;
    return true;
}

/* ---- comparisons ---- */

bool expr_holds(struct expr_run *run, const struct expr *expr, struct value hay, struct value needle, bool *ret,
                struct fault *fault) {
    *ret = false;
    if (hay.kind == JSON_ARRAY) {
        if (!expr_work(run, expr, json_size(hay.json), fault)) return false;
        for (size_t i = 0; i < json_size(hay.json) && !*ret; i++)
            *ret = value_same(needle, value_of(json_at(hay.json, i)));
        return true;
    }
    if (hay.kind == JSON_OBJECT) return *ret = needle.kind == JSON_STRING && json_get(hay.json, needle.text), true;
    if (needle.kind != JSON_STRING || hay.kind != JSON_STRING)
        return expr_fault(run, expr, FAULT_INVALID, fault, "%s cannot be in %s (%.*s)", json_kind_word(needle.kind),
                          json_kind_word(hay.kind), TEXT_ARG(expr->source));
    if (!expr_work(run, expr, hay.text.len / 64, fault)) return false;
    *ret = needle.text.len == 0 || (hay.text.len && memmem(hay.text.at, hay.text.len, needle.text.at, needle.text.len));
    return true;
}

bool expr_reckon_order(struct expr_run *run, const struct expr *expr, enum expr_operator operator, struct value a,
                       struct value b, bool *ret, struct fault *fault) {
    int way = 0;
    if (operator== EXPR_IN || operator== EXPR_NOT_IN) {
        if (!expr_holds(run, expr, b, a, ret, fault)) return false;
        *ret = *ret == (operator== EXPR_IN);
        return true;
    }
    if (operator== EXPR_EQ || operator== EXPR_NE) return *ret = value_same(a, b) == (operator== EXPR_EQ), true;
    if (!value_order(a, b, &way))
        return expr_fault(run, expr, FAULT_INVALID, fault, "%s and %s have no order (%.*s)", json_kind_word(a.kind),
                          json_kind_word(b.kind), TEXT_ARG(expr->source));
    *ret = operator== EXPR_LT ? way < 0 : operator== EXPR_LE ? way <= 0 : operator== EXPR_GT ? way > 0 : way >= 0;
    return true;
}
