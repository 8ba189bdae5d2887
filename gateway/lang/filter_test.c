/* The tests behind `is`, and behind select and its like.
 *
 * They answer what Jinja's answer, but a boolean is no number. Those of patterns stand in filter_text.c. */
#include <math.h>

#include "lang/filter_each.h"

FILTER_ASK(defined) {
    (void)call;
    *ret = !value.absent;
    return true;
}

FILTER_ASK(undefined) {
    (void)call;
    *ret = value.absent;
    return true;
}

#define ASK_WHETHER(name, condition) \
    FILTER_ASK(name) {               \
        (void)call;                  \
        *ret = (condition);          \
        return true;                 \
    }

ASK_WHETHER(none, value.kind == JSON_NULL)
ASK_WHETHER(string, value.kind == JSON_STRING)
ASK_WHETHER(number, value_is_number(value))
ASK_WHETHER(integer, value.kind == JSON_INT)
ASK_WHETHER(float, value.kind == JSON_REAL)
ASK_WHETHER(boolean, value.kind == JSON_BOOL)
ASK_WHETHER(yes, value.kind == JSON_BOOL && value.truth)
ASK_WHETHER(no, value.kind == JSON_BOOL && !value.truth)
ASK_WHETHER(mapping, value.kind == JSON_OBJECT)
ASK_WHETHER(sequence, value.kind == JSON_ARRAY || value.kind == JSON_OBJECT || value.kind == JSON_STRING)

static bool divides(const struct filter_call *call, struct value value, int64_t by, int64_t rest, bool *ret) {
    if (value.kind == JSON_REAL) return *ret = fmod(fabs(value.real), (double)by) == (double)rest, true;
    if (value.kind != JSON_INT) return filter_wrong_kind(call, value, "a number");
    int64_t left = by == -1 ? 0 : value.integer % by;
    *ret = (left < 0 ? -left : left) == rest;
    return true;
}

FILTER_ASK(odd) {
    return divides(call, value, 2, 1, ret);
}

FILTER_ASK(even) {
    return divides(call, value, 2, 0, ret);
}

FILTER_ASK(divisibleby) {
    int64_t by;
    if (!filter_int_argument(call, 0, 1, &by)) return false;
    if (by == 0) return filter_fault(call, FAULT_INVALID, "division by zero");
    return divides(call, value, by, 0, ret);
}

FILTER_ASK(in) {
    return expr_holds(call->run, call->expr, *call->arguments[0], value, ret, call->fault);
}

FILTER_ASK(eq) {
    *ret = value_same(value, *call->arguments[0]);
    return true;
}

FILTER_ASK(ne) {
    *ret = !value_same(value, *call->arguments[0]);
    return true;
}

static bool order(const struct filter_call *call, struct value value, int *ret) {
    if (value_order(value, *call->arguments[0], ret)) return true;
    return filter_fault(call, FAULT_INVALID, "%s and %s have no order", json_kind_word(value.kind),
                        json_kind_word(call->arguments[0]->kind));
}

FILTER_ASK(lt) {
    int way;
    return order(call, value, &way) && (*ret = way < 0, true);
}

FILTER_ASK(le) {
    int way;
    return order(call, value, &way) && (*ret = way <= 0, true);
}

FILTER_ASK(gt) {
    int way;
    return order(call, value, &way) && (*ret = way > 0, true);
}

FILTER_ASK(ge) {
    int way;
    return order(call, value, &way) && (*ret = way >= 0, true);
}

/* As Python: there is a letter, and none of the other case. */
static bool all_in_case(const struct filter_call *call, struct value value, bool upper, bool *ret) {
    struct buf same, other;
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    expr_made_init(&same);
    expr_made_init(&other);
    filter_change_case(&same, value.text, upper);
    filter_change_case(&other, value.text, !upper);
    *ret = text_same(buf_text(&same), value.text) && !text_same(buf_text(&other), value.text);
    buf_fini(&same);
    buf_fini(&other);
    return expr_work(call->run, call->expr, value.text.len / 8, call->fault);
}

FILTER_ASK(lower) {
    return all_in_case(call, value, false, ret);
}

FILTER_ASK(upper) {
    return all_in_case(call, value, true, ret);
}
