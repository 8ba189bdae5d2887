/* What the parts of the expression parser share. Private to lang/expr*.c. */
#ifndef LANG_EXPR_PARSE_H
#define LANG_EXPR_PARSE_H

#include "lang/expr.h"

#define EXPR_DEPTH_MAX 64
#define EXPR_CHAIN_MAX 64   /* operators of one kind in a row */
#define EXPR_ITEMS_MAX 1000 /* of a list that is written out */

bool expr_next(struct expr_parser *p);
bool expr_sees(const struct expr_parser *p, const char *word);
bool expr_here(struct expr_parser *p, enum fault_kind kind, const char *what); /* a fault at the token at hand */
bool expr_want(struct expr_parser *p, const char *sign, const char *what);
struct expr *expr_make(struct expr_parser *p, enum expr_kind kind, size_t start);
void expr_finish(struct expr_parser *p, struct expr *expr, const struct expr **ret);
size_t expr_start(const struct expr_parser *p, const struct expr *expr);

struct expr_items {
    const struct expr **at;
    size_t count, room;
};
void expr_items_add(struct expr_parser *p, struct expr_items *items, const struct expr *item);

bool expr_parse_condition(struct expr_parser *p, const struct expr **ret); /* the loosest */
bool expr_parse_atom(struct expr_parser *p, const struct expr **ret);      /* without sign, filters and tests */
bool expr_parse_steps(struct expr_parser *p, const struct expr **ret);     /* those behind *ret, if any */
bool expr_parse_filter(struct expr_parser *p, const struct expr **ret);    /* at the | */
bool expr_parse_test(struct expr_parser *p, const struct expr **ret);      /* at the is */

#endif
