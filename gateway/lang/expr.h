/* Expressions of the template language: their tree, parser and evaluation. */
#ifndef LANG_EXPR_H
#define LANG_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "lang/lex.h"
#include "lang/template.h"
#include "lang/value.h"

enum expr_kind {
    EXPR_LITERAL,
    EXPR_PATH,    /* a root and its steps */
    EXPR_LOCAL,   /* a variable of {% set %} or {% for %}, and its steps */
    EXPR_LOOP,    /* loop.index and its like */
    EXPR_STEP,    /* a step into the value of another expression: (a if b else c).d */
    EXPR_FILTER,  /* a | name(arguments) */
    EXPR_TEST,    /* a is name(arguments) */
    EXPR_DEFAULT, /* a | default(b, c): b where a is undefined or null, or with c not true */
    EXPR_DEFINED,
    EXPR_LIST,
    EXPR_MAP,     /* items: name, value, name, value … */
    EXPR_ARITH,   /* a, operator, b */
    EXPR_SIGN,    /* + or - before a number */
    EXPR_JOIN,    /* a ~ b */
    EXPR_COMPARE, /* items, with an operator between each two: a < b < c */
    EXPR_AND,
    EXPR_OR,
    EXPR_NOT,
    EXPR_IF /* b if a else c; without c the value is undefined */
};

enum expr_operator {
    EXPR_EQ,
    EXPR_NE,
    EXPR_LE,
    EXPR_GE,
    EXPR_LT,
    EXPR_GT,
    EXPR_IN,
    EXPR_NOT_IN,
    EXPR_PLUS,
    EXPR_MINUS,
    EXPR_TIMES,
    EXPR_DIVIDE,
    EXPR_FLOOR,
    EXPR_MODULO,
    EXPR_POWER
};

enum expr_loop_member {
    EXPR_LOOP_INDEX,
    EXPR_LOOP_INDEX0,
    EXPR_LOOP_REVINDEX,
    EXPR_LOOP_REVINDEX0,
    EXPR_LOOP_FIRST,
    EXPR_LOOP_LAST,
    EXPR_LOOP_LENGTH
};

struct expr_step {
    enum { STEP_NAME, STEP_INDEX, STEP_COMPUTED, STEP_SLICE } kind;
    struct text name; /* a NUL stands behind it */
    int64_t index;
    const struct expr *computed, *to, *by; /* a slice: computed is its start; each may be NULL */
    const struct expr_step *next;
};

struct filter;
struct filter_test;

struct expr {
    enum expr_kind kind;
    unsigned height;    /* 1 + that of the tallest operand */
    struct text source; /* as written, for faults; a slice of the origin's source */
    const struct lex_origin *origin;
    struct value literal;
    size_t root;  /* PATH: the root; LOCAL: the variable; LOOP: how deep the loop is */
    int operator; /* ARITH and SIGN: an expr_operator; LOOP: an expr_loop_member */
    const struct expr_step *steps;
    const struct text *only;           /* PATH: the name, where one name is all that follows the root; else NULL */
    const struct expr *a, *b, *c;      /* operands */
    const struct expr *const *items;   /* of a list, map, comparison; the arguments of a filter or test, NULL: absent */
    const enum expr_operator *between; /* COMPARE: count - 1 of them */
    size_t count;
    const struct filter *filter;    /* FILTER; what map() applies is `inner` */
    const struct filter_test *test; /* TEST, and what select() and its like ask */
    const struct filter *inner;
    const void *compiled; /* an argument that is compiled at load: a pattern, a JSONPath */
};

/* Names that {% set %} and {% for %} have made, innermost first. */
struct expr_variable {
    struct text name;
    size_t slot;
    const struct expr_variable *next;
};

struct expr_scope {
    struct expr_scope *outer;
    struct expr_variable *variables;
    bool is_loop;
    size_t depth; /* of the loop */
};

struct expr_parser {
    struct lexer lexer;
    const struct template_rules *rules;
    struct expr_scope *scope;
    unsigned depth;
    uint64_t roots_used;
};

#define EXPR_LOOPS_MAX 16
#define EXPR_VARIABLES_MAX 64
#define EXPR_CURSORS 8

/* Reads one expression; the lexer's first token is read already, and afterwards stands behind the expression. */
bool expr_parse(struct expr_parser *parser, const struct expr **ret);
bool expr_parse_plain(struct expr_parser *parser, const struct expr **ret); /* the same without a … if b else c */
/* {% set x | filters %}: the token at hand stands behind the name. *ret is what becomes of the text *ret_made, a
 * variable whose slot (root) the caller fills in. */
bool expr_parse_filters(struct expr_parser *parser, struct text name, struct expr **ret_made, const struct expr **ret);
const struct expr_variable *expr_variable_find(const struct expr_scope *scope, struct text name);
bool expr_name_check(struct expr_parser *parser); /* whether the NAME at hand may name a variable */

struct expr_loop {
    const struct json *over;
    struct json_member member; /* of an object */
    int64_t index, length;
};

/* What one rendering needs. */
struct expr_run {
    const struct json *const *roots;
    struct value *variables;
    struct expr_loop *loops;
    struct json_cursor cursors[EXPR_CURSORS]; /* of the roots, by the lowest bits of their index */
    struct arena *scratch;                    /* made when the first value has to be made; expr_run_end frees it */
    size_t made;                              /* bytes of texts that operators and filters made */
    uint64_t work;
    unsigned matches;     /* of patterns */
    size_t pattern_steps; /* that they took */
    unsigned quiet;       /* > 0: an undefined value is expected, and needs no sentence */
};

/* The value; an undefined one is a fault (UNDEFINED). It is borrowed from the roots, the tree, or the scratch arena. */
bool expr_eval(struct expr_run *run, const struct expr *expr, struct value *ret, struct fault *fault);
/* The quick way of the commonest of all, parameters.name; NULL where it is another expression, or there is no value. */
static inline const struct json *expr_seek(struct expr_run *run, const struct expr *expr) {
    if (!expr->only) return NULL;
    const struct json *root = run->roots[expr->root];
    return root ? json_seek(&run->cursors[expr->root % EXPR_CURSORS], root, *expr->only) : NULL;
}
bool expr_fault(const struct expr_run *run, const struct expr *expr, enum fault_kind kind, struct fault *fault,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
struct arena *expr_scratch(struct expr_run *run);
void expr_run_end(struct expr_run *run);
/* A copy in scratch memory; false with TOO_LARGE when operators and filters make too much in one rendering, or `out` is
 * full. Ends `out`. */
bool expr_made(struct expr_run *run, const struct expr *expr, struct buf *out, struct value *ret, struct fault *fault);
void expr_made_init(struct buf *out);
/* Counts steps; false with TOO_LARGE when one rendering takes too many. */
bool expr_work(struct expr_run *run, const struct expr *expr, size_t steps, struct fault *fault);
bool expr_holds(struct expr_run *run, const struct expr *expr, struct value hay, struct value needle, bool *ret,
                struct fault *fault);
struct value expr_member(struct value of, struct text name); /* absent where there is none */
struct value expr_element(struct value of, int64_t index);   /* from the end if negative; a character of a text */

#endif
