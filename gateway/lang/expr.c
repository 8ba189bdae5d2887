/* The parser of template expressions: Jinja's grammar and precedence, from loose to tight:
 *
 *     a if c else b  <  or  <  and  <  not  <  == != < <= > >= in  <  + -  <  ~  <  * / // %  <  **  <  sign
 *     <  .name [key]  <  | filter, is test
 *
 * Powers go from left to right, and a sign binds tighter, as in Jinja and not as in Python. Atoms are read by
 * expr_atom.c, filters and tests by expr_filter.c. What bounds the stack of an evaluation is the height of the tree,
 * chains included. Calls are refused by name: there is nothing to call. */
#include "lang/expr.h"

#include <string.h>

#include "lang/expr_parse.h"

#define HEIGHT_MAX 200

static bool parse_or(struct expr_parser *p, const struct expr **ret);

bool expr_next(struct expr_parser *p) {
    return lex_next(&p->lexer);
}

bool expr_sees(const struct expr_parser *p, const char *word) {
    return lex_is(&p->lexer, word);
}

bool expr_here(struct expr_parser *p, enum fault_kind kind, const char *what) {
    return lex_fault(&p->lexer, kind, p->lexer.token.start, "%s", what);
}

bool expr_want(struct expr_parser *p, const char *sign, const char *what) {
    return expr_sees(p, sign) ? expr_next(p) : expr_here(p, FAULT_SYNTAX, what);
}

struct expr *expr_make(struct expr_parser *p, enum expr_kind kind, size_t start) {
    struct expr *expr = arena_new_of(p->lexer.arena, struct expr);
    expr->kind = kind;
    expr->origin = p->lexer.origin;
    expr->source = (struct text){p->lexer.source.at + start, 0};
    return expr;
}

static unsigned taller(unsigned height, const struct expr *child) {
    return child && child->height >= height ? child->height + 1 : height;
}

/* The expression ends where the token before the one at hand ended. */
void expr_finish(struct expr_parser *p, struct expr *expr, const struct expr **ret) {
    expr->height = taller(taller(taller(1, expr->a), expr->b), expr->c);
    for (size_t i = 0; i < expr->count; i++) expr->height = taller(expr->height, expr->items[i]);
    for (const struct expr_step *step = expr->steps; step; step = step->next)
        expr->height = taller(taller(taller(expr->height, step->computed), step->to), step->by);
    expr->source.len = (size_t)(p->lexer.source.at + p->lexer.last_end - expr->source.at);
    *ret = expr;
}

size_t expr_start(const struct expr_parser *p, const struct expr *expr) {
    return (size_t)(expr->source.at - p->lexer.source.at);
}

void expr_items_add(struct expr_parser *p, struct expr_items *items, const struct expr *item) {
    if (items->count == items->room) {
        items->room = items->room ? items->room * 2 : 4;
        const struct expr **more = arena_array_of(p->lexer.arena, const struct expr *, items->room);
        if (items->count) memcpy(more, items->at, items->count * sizeof *more);
        items->at = more;
    }
    items->at[items->count++] = item;
}

/* ---- operators ---- */

struct sign {
    const char *sign;
    enum expr_operator operator;
};

static bool find_sign(const struct expr_parser *p, const struct sign *signs, size_t count, int *ret) {
    for (size_t i = 0; i < count; i++)
        if (expr_sees(p, signs[i].sign)) return *ret = signs[i].operator, true;
    return false;
}

static bool too_long(struct expr_parser *p) {
    return expr_here(p, FAULT_TOO_LARGE, "more than 64 operators in a row; use brackets or a {% set %}");
}

static bool parse_two(struct expr_parser *p, enum expr_kind kind, int operator,
                      bool (*right)(struct expr_parser *, const struct expr **), const struct expr **ret) {
    struct expr *expr = expr_make(p, kind, expr_start(p, *ret));
    expr->a = *ret;
    expr->operator= operator;
    if (!expr_next(p) || !right(p, &expr->b)) return false;
    expr_finish(p, expr, ret);
    return true;
}

/* In Jinja filters bind looser than the sign: -1|abs is (-1)|abs. */
static bool parse_signed(struct expr_parser *p, bool filters, const struct expr **ret) {
    if (expr_sees(p, "-") || expr_sees(p, "+")) {
        struct expr *expr = expr_make(p, EXPR_SIGN, p->lexer.token.start);
        expr->operator= expr_sees(p, "-") ? EXPR_MINUS : EXPR_PLUS;
        if (++p->depth > EXPR_DEPTH_MAX)
            return expr_here(p, FAULT_TOO_LARGE, "the expression is nested deeper than 64");
        if (!expr_next(p) || !parse_signed(p, false, &expr->a)) return false;
        p->depth--;
        expr_finish(p, expr, ret);
    } else if (!expr_parse_atom(p, ret)) {
        return false;
    }
    if (!expr_parse_steps(p, ret)) return false;
    for (int count = 0; filters && (expr_sees(p, "|") || expr_sees(p, "is")); count++) {
        if (count == EXPR_CHAIN_MAX) return expr_here(p, FAULT_TOO_LARGE, "more than 64 filters in a row");
        if (!(expr_sees(p, "|") ? expr_parse_filter(p, ret) : expr_parse_test(p, ret))) return false;
    }
    return true;
}

static bool parse_filtered(struct expr_parser *p, const struct expr **ret) {
    return parse_signed(p, true, ret);
}

static bool parse_power(struct expr_parser *p, const struct expr **ret) {
    if (!parse_filtered(p, ret)) return false;
    for (int count = 0; expr_sees(p, "**"); count++) {
        if (count == EXPR_CHAIN_MAX) return too_long(p);
        if (!parse_two(p, EXPR_ARITH, EXPR_POWER, parse_filtered, ret)) return false;
    }
    return true;
}

static bool parse_product(struct expr_parser *p, const struct expr **ret) {
    static const struct sign signs[] = {{"*", EXPR_TIMES}, {"/", EXPR_DIVIDE}, {"//", EXPR_FLOOR}, {"%", EXPR_MODULO}};
    int operator;
    if (!parse_power(p, ret)) return false;
    for (int count = 0; find_sign(p, signs, 4, &operator); count++) {
        if (count == EXPR_CHAIN_MAX) return too_long(p);
        if (!parse_two(p, EXPR_ARITH, operator, parse_power, ret)) return false;
    }
    return true;
}

static bool parse_join(struct expr_parser *p, const struct expr **ret) {
    if (!parse_product(p, ret)) return false;
    for (int count = 0; expr_sees(p, "~"); count++) {
        if (count == EXPR_CHAIN_MAX) return too_long(p);
        if (!parse_two(p, EXPR_JOIN, 0, parse_product, ret)) return false;
    }
    return true;
}

static bool parse_sum(struct expr_parser *p, const struct expr **ret) {
    static const struct sign signs[] = {{"+", EXPR_PLUS}, {"-", EXPR_MINUS}};
    int operator;
    if (!parse_join(p, ret)) return false;
    for (int count = 0; find_sign(p, signs, 2, &operator); count++) {
        if (count == EXPR_CHAIN_MAX) return too_long(p);
        if (!parse_two(p, EXPR_ARITH, operator, parse_join, ret)) return false;
    }
    return true;
}

static bool at_comparison(struct expr_parser *p, int *ret) {
    static const struct sign signs[] = {{"==", EXPR_EQ}, {"!=", EXPR_NE}, {"<=", EXPR_LE}, {">=", EXPR_GE},
                                        {"<", EXPR_LT},  {">", EXPR_GT},  {"in", EXPR_IN}, {"not", EXPR_NOT_IN}};
    return find_sign(p, signs, 8, ret);
}

static bool parse_compare(struct expr_parser *p, const struct expr **ret) {
    int operator;
    if (!parse_sum(p, ret)) return false;
    if (!at_comparison(p, &operator)) return true;
    struct expr *expr = expr_make(p, EXPR_COMPARE, expr_start(p, *ret));
    struct expr_items items = {0};
    enum expr_operator *between = arena_array_of(p->lexer.arena, enum expr_operator, EXPR_CHAIN_MAX);
    expr_items_add(p, &items, *ret);
    for (; at_comparison(p, &operator); expr_items_add(p, &items, *ret)) {
        if (items.count == EXPR_CHAIN_MAX) return too_long(p);
        between[items.count - 1] = (enum expr_operator) operator;
        if (!expr_next(p)) return false;
        if (operator== EXPR_NOT_IN && !expr_want(p, "in", "expected in behind not")) return false;
        if (!parse_sum(p, ret)) return false;
    }
    expr->between = between;
    expr->items = items.at;
    expr->count = items.count;
    expr_finish(p, expr, ret);
    return true;
}

static bool parse_not(struct expr_parser *p, const struct expr **ret) {
    if (!expr_sees(p, "not")) return parse_compare(p, ret);
    struct expr *expr = expr_make(p, EXPR_NOT, p->lexer.token.start);
    if (++p->depth > EXPR_DEPTH_MAX) return expr_here(p, FAULT_TOO_LARGE, "the expression is nested deeper than 64");
    if (!expr_next(p) || !parse_not(p, &expr->a)) return false;
    p->depth--;
    expr_finish(p, expr, ret);
    return true;
}

static bool parse_and(struct expr_parser *p, const struct expr **ret) {
    if (!parse_not(p, ret)) return false;
    for (int count = 0; expr_sees(p, "and"); count++) {
        if (count == EXPR_CHAIN_MAX) return too_long(p);
        if (!parse_two(p, EXPR_AND, 0, parse_not, ret)) return false;
    }
    return true;
}

static bool parse_or(struct expr_parser *p, const struct expr **ret) {
    if (!parse_and(p, ret)) return false;
    for (int count = 0; expr_sees(p, "or"); count++) {
        if (count == EXPR_CHAIN_MAX) return too_long(p);
        if (!parse_two(p, EXPR_OR, 0, parse_and, ret)) return false;
    }
    return true;
}

static bool parse_else(struct expr_parser *p, struct expr *expr) {
    if (!expr_next(p) || !parse_or(p, &expr->a)) return false;
    if (!expr_sees(p, "else")) return true;
    return expr_next(p) && expr_parse_condition(p, &expr->c);
}

bool expr_parse_condition(struct expr_parser *p, const struct expr **ret) {
    if (++p->depth > EXPR_DEPTH_MAX) return expr_here(p, FAULT_TOO_LARGE, "the expression is nested deeper than 64");
    if (!parse_or(p, ret)) return false;
    for (int count = 0; expr_sees(p, "if"); count++) {
        if (count == EXPR_CHAIN_MAX) return too_long(p);
        struct expr *expr = expr_make(p, EXPR_IF, expr_start(p, *ret));
        expr->b = *ret;
        if (!parse_else(p, expr)) return false;
        expr_finish(p, expr, ret);
    }
    p->depth--;
    return true;
}

static bool check_height(struct expr_parser *parser, const struct expr **ret) {
    if ((*ret)->height <= HEIGHT_MAX) return true;
    return lex_fault(&parser->lexer, FAULT_TOO_LARGE, expr_start(parser, *ret), "the expression is too large");
}

bool expr_parse(struct expr_parser *parser, const struct expr **ret) {
    return expr_parse_condition(parser, ret) && check_height(parser, ret);
}

bool expr_parse_filters(struct expr_parser *parser, struct text name, struct expr **ret_made, const struct expr **ret) {
    *ret_made = expr_make(parser, EXPR_LOCAL, (size_t)(name.at - parser->lexer.source.at));
    expr_finish(parser, *ret_made, ret);
    for (int count = 0; expr_sees(parser, "|"); count++) {
        if (count == EXPR_CHAIN_MAX) return expr_here(parser, FAULT_TOO_LARGE, "more than 64 filters in a row");
        if (!expr_parse_filter(parser, ret)) return false;
    }
    return check_height(parser, ret);
}

bool expr_parse_plain(struct expr_parser *parser, const struct expr **ret) {
    return parse_or(parser, ret) && check_height(parser, ret);
}
