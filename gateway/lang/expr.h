/* Expressions of the template language: their tree, parser and evaluation. */
#ifndef LANG_EXPR_H
#define LANG_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "lang/json.h"
#include "lang/lex.h"
#include "lang/template.h"

enum expr_kind {
    EXPR_LITERAL,
    EXPR_PATH,    /* a root and its steps */
    EXPR_STEP,    /* a step into the value of another expression: (a if b else c).d */
    EXPR_FILTER,  /* a | name(arguments) */
    EXPR_DEFAULT, /* a | default(b): b where a is undefined or null */
    EXPR_JOIN,    /* a ~ b */
    EXPR_COMPARE,
    EXPR_IN,
    EXPR_AND,
    EXPR_OR,
    EXPR_NOT,
    EXPR_IS_DEFINED,
    EXPR_IS_NONE,
    EXPR_IF /* b if a else c; without c the value is undefined */
};

enum expr_comparison { EXPR_EQ, EXPR_NE, EXPR_LT, EXPR_LE, EXPR_GT, EXPR_GE };

struct expr_step {
    enum { STEP_NAME, STEP_INDEX, STEP_COMPUTED } kind;
    struct text name;
    int64_t index;
    const struct expr *computed;
    const struct expr_step *next;
};

struct filter;

struct expr {
    enum expr_kind kind;
    struct text source; /* as written, for faults */
    int line;
    unsigned height; /* 1 + that of the tallest operand */
    const struct json *literal;
    size_t root;
    const struct expr_step *steps;
    const struct filter *filter;
    enum expr_comparison comparison;
    const struct expr *a, *b, *c; /* operands; a filter's arguments are b and c */
};

struct expr_parser {
    struct lexer lexer;
    const struct template_rules *rules;
    unsigned depth;
    uint64_t roots_used;
};

/* Reads one expression; the lexer's first token is read already, and afterwards stands behind the expression. */
bool expr_parse(struct expr_parser *parser, const struct expr **ret);

/* What one rendering needs. */
struct expr_run {
    const struct json *const *roots;
    const char *file;
    struct arena *scratch; /* made when the first value has to be made; expr_run_end frees it */
};

/* The value, never NULL: an undefined one is a fault (UNDEFINED). Borrowed from the roots, the tree, or the scratch
 * arena. */
bool expr_eval(struct expr_run *run, const struct expr *expr, const struct json **ret, struct fault *fault);
bool expr_truth(const struct json *value); /* as in Jinja: false, null, 0, "", [] and {} are not true */
bool expr_fault(const struct expr_run *run, const struct expr *expr, enum fault_kind kind, struct fault *fault,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
struct arena *expr_scratch(struct expr_run *run);
void expr_run_end(struct expr_run *run);

#endif
