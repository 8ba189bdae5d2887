/* The program that a template is compiled to. Private to lang/template*.c. */
#ifndef LANG_TEMPLATE_PROGRAM_H
#define LANG_TEMPLATE_PROGRAM_H

#include "lang/expr.h"
#include "lang/place.h"

enum op_kind {
    OP_TEXT,
    OP_HOLE, /* its text, which may be empty, and the value */
    OP_IF,   /* goes to `to` unless the expression is true */
    OP_JUMP, /* goes to `to` */
    OP_FOR,  /* begins the loop; goes to `to` where there is nothing to repeat */
    OP_NEXT, /* goes behind the OP_FOR at `to` for another pass */
    OP_SET,
    OP_SET_BLOCK, /* what the operations up to `to` make is the variable's text, which the expression may then change */
    OP_SCOPE      /* gives the variables of a scope the values they have outside it */
};

struct op_reset {
    size_t slot, outer; /* outer == SIZE_MAX: absent */
    struct op_reset *next;
};

struct op {
    enum op_kind kind;
    enum escape escape;
    enum place_fix fix;
    const struct expr *expr;
    struct text text;
    size_t to, comma;        /* comma: where in the text, PLACE_COMMA */
    size_t slot, depth;      /* SET, FOR, NEXT: the variable; of FOR and NEXT how deep the loop is */
    bool pairs;              /* FOR, NEXT: two variables, slot and slot + 1 */
    bool items;              /* FOR: over the members of an object, without a list of pairs made for it */
    const struct expr *only; /* FOR: the passes that are made are those for which this is true; NULL: all */
    struct op_reset *resets;
};

/* A member's name that the template writes out: looked up when two names of one object turn out to be the same. */
struct op_name {
    size_t op; /* the operation that writes it */
    struct text name;
    const struct lex_origin *origin;
};

struct template {
    struct op *ops;
    const struct op_name *names;
    size_t name_count; /* 0 unless names_vary */
    size_t count, slots;
    uint64_t roots_used;
    enum template_place place;
    bool whole_url, names_vary, branches; /* names_vary: members' names could coincide */
    const char *file;
    int line;
};

#endif
