/* The operators of template expressions, on values. `expr` is the operation, for its operator and for faults. Private
 * to lang/expr_eval. */
#ifndef LANG_EXPR_RECKON_H
#define LANG_EXPR_RECKON_H

#include "lang/expr.h"

bool expr_reckon(struct expr_run *run, const struct expr *expr, struct value a, struct value b, struct value *ret,
                 struct fault *fault); /* EXPR_ARITH */
bool expr_reckon_sign(struct expr_run *run, const struct expr *expr, struct value *value, struct fault *fault);
bool expr_reckon_join(struct expr_run *run, const struct expr *expr, struct value a, struct value b, struct value *ret,
                      struct fault *fault);
bool expr_reckon_order(struct expr_run *run, const struct expr *expr, enum expr_operator operator, struct value a,
                       struct value b, bool *ret, struct fault *fault); /* one comparison, or `in` */

#endif
