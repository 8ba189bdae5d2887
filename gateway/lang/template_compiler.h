/* A template while it is compiled, shared by the files that do it. Private to lang/template_*.c:
 *
 *   template_compile   goes through the source and its parts, mark by mark
 *   template_tag       reads what stands inside a mark
 *   template_block     statements: branches, loops, variables, and where their places meet
 *   template_emit      texts and holes, as operations
 *
 * What returns bool has set the compiler's fault where it returns false. */
#ifndef LANG_TEMPLATE_COMPILER_H
#define LANG_TEMPLATE_COMPILER_H

#include <string.h>

#include "lang/filter.h"
#include "lang/lex.h"
#include "lang/template_program.h"

#define TEMPLATE_SOURCE_MAX ((size_t)1 << 20) /* with all parts, as often as they are included */

#define TEMPLATE_BLOCKS_MAX 32

enum block_kind { BLOCK_IF, BLOCK_FOR, BLOCK_PART, BLOCK_SET };

struct block {
    enum block_kind kind;
    struct text mark;        /* its tag, for faults */
    struct text branch;      /* the tag of the branch at hand */
    struct place start, end; /* before it; behind the branches so far */
    struct text end_branch;  /* the tag of the branch that `end` was taken from */
    bool has_end, has_else;
    size_t open;  /* the operation that goes to the next branch: OP_IF, OP_FOR; SIZE_MAX: none */
    size_t jumps; /* the last OP_JUMP to the end; each holds the one before it; SIZE_MAX: none */
    struct expr_scope scope;
    size_t scope_op;   /* OP_SCOPE of the scope */
    struct text name;  /* SET: the variable's */
    struct expr *made; /* SET: what stands for the text in the operation's expression */
    size_t depth;
};

struct part {
    const char *name;
    const struct part *outer;
};

struct compiler {
    struct expr_parser parser; /* its lexer holds the source, and the position in it */
    struct template *template;
    size_t room;
    bool trims; /* a - before the closing mark: blanks behind it are dropped */
    struct place place;
    struct place_names names;
    struct buf named;   /* names that are written out; emit's own */
    struct buf objects; /* of unsigned: how many statements each array or object began inside of */
    struct block *blocks;
    unsigned block_count, loops;
    size_t landed; /* the operation that a jump goes to, the last such */
    const struct part *part;
    unsigned parts;
    size_t total; /* bytes of source */
};

static inline struct lexer *compiler_lexer(struct compiler *c) {
    return &c->parser.lexer;
}

static inline struct text compiler_span(struct compiler *c, size_t start, size_t end) {
    return (struct text){compiler_lexer(c)->source.at + start, end - start};
}

static inline bool compiler_fault(struct compiler *c, struct text at, enum fault_kind kind, const char *what) {
    return lex_fault_at(compiler_lexer(c)->origin, at, compiler_lexer(c)->fault, kind, what);
}

/* Whether the last thing that the expression does is this filter. */
static inline bool compiler_ends_in(const struct expr *expr, const char *filter) {
    return expr->kind == EXPR_FILTER && strcmp(expr->filter->name, filter) == 0;
}

/* ---- template_tag: the inside of a mark, token by token ---- */
bool tag_next(struct compiler *c);
bool tag_sees(struct compiler *c, const char *word);
bool tag_refuse(struct compiler *c, enum fault_kind kind, const char *what); /* false, with the token at hand */
bool tag_refuse_rest(struct compiler *c, const char *closing); /* behind an expression, what could not go on with it */
bool tag_expression(struct compiler *c, const struct expr **ret);
bool tag_close(struct compiler *c); /* the token at hand has to be the closing mark; goes behind it */

/* ---- template_emit ---- */
struct op *emit_op(struct compiler *c, enum op_kind kind); /* until the next one is made */
/* The literal text from `start` to `end`, less the blanks that a mark on either side takes away. */
bool emit_text(struct compiler *c, size_t start, size_t end, bool trims_end);
bool emit_hole(struct compiler *c, const struct expr *expr);
void emit_init(struct compiler *c); /* names of members are noted from here on */
void emit_fini(struct compiler *c); /* and kept in the template, where rendering has to look at them */

/* ---- template_block ---- */
struct block *block_top(struct compiler *c); /* the innermost statement that is open, or NULL */
struct block *block_push(struct compiler *c, enum block_kind kind, struct text mark); /* NULL after a fault */
void block_open_scope(struct compiler *c, struct block *block, bool is_loop, size_t depth);
void block_close_scope(struct compiler *c);
/* The tags, behind their word; `mark` is the word, for faults. */
bool block_if(struct compiler *c, struct text mark);
bool block_elif(struct compiler *c, struct text mark);
bool block_else(struct compiler *c, struct text mark);
bool block_endif(struct compiler *c, struct text mark);
bool block_for(struct compiler *c, struct text mark);
bool block_endfor(struct compiler *c, struct text mark);
bool block_set(struct compiler *c, struct text mark);
bool block_endset(struct compiler *c, struct text mark);

#endif
