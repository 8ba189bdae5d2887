/* Statements of a template: {% if %}, {% for %}, {% set %}, with their branches, scopes and jumps.
 *
 * Branches and loops are jumps between operations. Where branches meet, and where a loop begins again, the place has to
 * be the same whichever way was taken: that is what makes escaping certain, and it is checked here. */
#include "lang/template_compiler.h"

#include <string.h>

struct block *block_top(struct compiler *c) {
    return c->block_count ? &c->blocks[c->block_count - 1] : NULL;
}

struct block *block_push(struct compiler *c, enum block_kind kind, struct text mark) {
    if (c->block_count == TEMPLATE_BLOCKS_MAX) {
        compiler_fault(c, mark, FAULT_TOO_LARGE, "statements are nested deeper than 32");
        return NULL;
    }
    struct block *block = &c->blocks[c->block_count++];
    *block = (struct block){
        .kind = kind, .mark = mark, .branch = mark, .start = c->place, .open = SIZE_MAX, .jumps = SIZE_MAX};
    return block;
}

/* ---- scopes ---- */

void block_open_scope(struct compiler *c, struct block *block, bool is_loop, size_t depth) {
    block->scope = (struct expr_scope){.outer = c->parser.scope, .is_loop = is_loop, .depth = depth};
    c->parser.scope = &block->scope;
    block->scope_op = c->template->count;
    emit_op(c, OP_SCOPE);
}

void block_close_scope(struct compiler *c) {
    c->parser.scope = c->parser.scope->outer;
}

static bool new_variable(struct compiler *c, struct text name, size_t *ret_slot) {
    if (c->template->slots == EXPR_VARIABLES_MAX)
        return tag_refuse(c, FAULT_TOO_LARGE, "more than 64 variables in one template");
    struct expr_variable *v = arena_new_of(compiler_lexer(c)->arena, struct expr_variable);
    *v = (struct expr_variable){name, c->template->slots++, c->parser.scope->variables};
    c->parser.scope->variables = v;
    *ret_slot = v->slot;
    return true;
}

static struct block *block_of_scope(struct compiler *c) {
    for (unsigned i = c->block_count; i > 0; i--)
        if (&c->blocks[i - 1].scope == c->parser.scope) return &c->blocks[i - 1];
    return NULL;
}

/* The variable of that name in the scope at hand, made if there is none; a new one begins as it is outside. */
static bool own_variable(struct compiler *c, struct text name, size_t *ret_slot) {
    for (const struct expr_variable *v = c->parser.scope->variables; v; v = v->next)
        if (text_same(v->name, name)) return *ret_slot = v->slot, true;
    const struct expr_variable *outer = expr_variable_find(c->parser.scope->outer, name);
    const struct block *block = block_of_scope(c);
    if (!new_variable(c, name, ret_slot)) return false;
    if (!block) return true;
    struct op_reset *reset = arena_new_of(compiler_lexer(c)->arena, struct op_reset);
    struct op *op = &c->template->ops[block->scope_op];
    *reset = (struct op_reset){*ret_slot, outer ? outer->slot : SIZE_MAX, op->resets};
    op->resets = reset;
    return true;
}

/* What is between {% set x %} and {% endset %} is a place of its own, plain text: it becomes a value, which is escaped
 * where it is put. Inside, the name still means what it meant before. */
static bool begin_set(struct compiler *c, struct text mark, struct text name) {
    const struct expr *expr;
    struct expr *made;
    c->parser.depth = 0;
    if (!expr_parse_filters(&c->parser, name, &made, &expr)) return false;
    struct block *block = block_push(c, BLOCK_SET, mark);
    if (!block) return false;
    block->name = name;
    block->made = made;
    block->open = c->template->count;
    emit_op(c, OP_SET_BLOCK)->expr = expr;
    block_open_scope(c, block, false, 0);
    c->place = (struct place){.kind = PLACE_TEXT};
    return tag_close(c);
}

bool block_endset(struct compiler *c, struct text mark) {
    struct block *block = block_top(c);
    size_t slot;
    if (!block || block->kind != BLOCK_SET)
        return compiler_fault(c, mark, FAULT_SYNTAX, "this {% endset %} belongs to no {% set %}");
    block_close_scope(c);
    c->block_count--;
    if (!own_variable(c, block->name, &slot)) return false;
    block->made->root = slot;
    c->template->ops[block->open].slot = slot;
    c->landed = c->template->ops[block->open].to = c->template->count;
    c->place = block->start;
    return tag_close(c);
}

bool block_set(struct compiler *c, struct text mark) {
    const struct expr *expr;
    size_t slot;
    if (!expr_name_check(&c->parser)) return false;
    struct text name = compiler_lexer(c)->token.text;
    if (!tag_next(c)) return false;
    if (compiler_lexer(c)->token.kind == TOKEN_CLOSE || tag_sees(c, "|")) return begin_set(c, mark, name);
    if (tag_sees(c, ",") || tag_sees(c, "."))
        return tag_refuse(c, FAULT_UNSUPPORTED, "{% set %} sets one name; write one {% set %} for each");
    if (!tag_sees(c, "=")) return tag_refuse(c, FAULT_SYNTAX, "expected = behind the name");
    if (!tag_next(c) || !tag_expression(c, &expr) || !own_variable(c, name, &slot)) return false;
    struct op *op = emit_op(c, OP_SET);
    op->expr = expr;
    op->slot = slot;
    return tag_close(c);
}

/* ---- branches ---- */

static bool differ(struct compiler *c, const struct block *block, struct text first, const struct place *one,
                   struct text second, const struct place *other) {
    struct buf out;
    const struct lex_origin *origin = compiler_lexer(c)->origin;
    buf_init(&out, 500);
    buf_adds(&out, block->kind == BLOCK_FOR ? "a pass of this loop has to end where it began: it ends "
                                            : "the branches end in different places: this one ends ");
    place_words(other, &out);
    buf_addf(&out, "; the %s on line %d %s ", block->kind == BLOCK_FOR ? "loop" : "one", lex_line(origin, first.at),
             block->kind == BLOCK_FOR ? "begins" : "ends");
    place_words(one, &out);
    compiler_fault(c, second, FAULT_INVALID, buf_cstr(&out));
    buf_fini(&out);
    return false;
}

/* The branch at hand ends here. */
static bool end_branch(struct compiler *c, struct block *block) {
    if (block->has_end) {
        struct place merged = block->end;
        if (!place_merge(&merged, &c->place))
            return differ(c, block, block->end_branch, &block->end, block->branch, &c->place);
        block->end = merged;
    } else {
        block->end = c->place;
        block->end_branch = block->branch;
        block->has_end = true;
    }
    return true;
}

static void jump_to_end(struct compiler *c, struct block *block) {
    size_t at = c->template->count;
    emit_op(c, OP_JUMP)->to = block->jumps;
    block->jumps = at;
}

static void land(struct compiler *c, struct block *block) {
    if (block->open != SIZE_MAX) c->template->ops[block->open].to = c->template->count;
    block->open = SIZE_MAX;
    c->landed = c->template->count;
}

static void land_jumps(struct compiler *c, struct block *block) {
    for (size_t at = block->jumps; at != SIZE_MAX;) {
        size_t before = c->template->ops[at].to;
        c->template->ops[at].to = c->template->count;
        at = before;
    }
    c->landed = c->template->count;
}

bool block_if(struct compiler *c, struct text mark) {
    const struct expr *expr;
    c->template->branches = true;
    if (!tag_expression(c, &expr)) return false;
    struct block *block = block_push(c, BLOCK_IF, mark);
    if (!block) return false;
    block->open = c->template->count;
    emit_op(c, OP_IF)->expr = expr;
    return tag_close(c);
}

static bool next_branch(struct compiler *c, struct block *block, struct text mark) {
    if (!end_branch(c, block)) return false;
    jump_to_end(c, block);
    land(c, block);
    c->place = block->start;
    block->branch = mark;
    return true;
}

bool block_elif(struct compiler *c, struct text mark) {
    struct block *block = block_top(c);
    const struct expr *expr;
    if (!block || block->kind != BLOCK_IF || block->has_else)
        return compiler_fault(c, mark, FAULT_SYNTAX, "this {% elif %} belongs to no {% if %}");
    if (!next_branch(c, block, mark) || !tag_expression(c, &expr)) return false;
    block->open = c->template->count;
    emit_op(c, OP_IF)->expr = expr;
    return tag_close(c);
}

static bool end_passes(struct compiler *c, struct block *block);

bool block_else(struct compiler *c, struct text mark) {
    struct block *block = block_top(c);
    if (!block || (block->kind != BLOCK_IF && block->kind != BLOCK_FOR) || block->has_else)
        return compiler_fault(c, mark, FAULT_SYNTAX, "this {% else %} belongs to no {% if %} or {% for %}");
    block->has_else = true;
    if (tag_sees(c, "if")) return tag_refuse(c, FAULT_SYNTAX, "else if is written elif");
    if (block->kind == BLOCK_IF) return next_branch(c, block, mark) && tag_close(c);
    if (!end_passes(c, block)) return false;
    jump_to_end(c, block);
    land(c, block);
    c->place = block->start;
    block->branch = mark;
    block_open_scope(c, block, false, 0);
    return tag_close(c);
}

bool block_endif(struct compiler *c, struct text mark) {
    struct block *block = block_top(c);
    if (!block || block->kind != BLOCK_IF)
        return compiler_fault(c, mark, FAULT_SYNTAX, "this {% endif %} belongs to no {% if %}");
    if (!end_branch(c, block)) return false;
    if (!block->has_else) { /* the way past all branches */
        struct place merged = block->end;
        if (!place_merge(&merged, &block->start))
            return differ(c, block, mark, &block->start, block->branch, &c->place);
        block->end = merged;
    }
    land(c, block);
    land_jumps(c, block);
    c->place = block->end;
    c->block_count--;
    return tag_close(c);
}

/* ---- loops ---- */

static bool read_names(struct compiler *c, struct text names[2], size_t *ret_count) {
    for (*ret_count = 0;;) {
        if (!expr_name_check(&c->parser)) return false;
        names[(*ret_count)++] = compiler_lexer(c)->token.text;
        if (!tag_next(c)) return false;
        if (!tag_sees(c, ",")) break;
        if (*ret_count == 2) return tag_refuse(c, FAULT_UNSUPPORTED, "a loop takes one name, or two for pairs");
        if (!tag_next(c)) return false;
    }
    return tag_sees(c, "in") ? tag_next(c) : tag_refuse(c, FAULT_SYNTAX, "expected in behind the loop's name");
}

/* At the if of {% for x in xs if … %}: it knows x, but which pass it will be is not known yet; a loop in it is the one
 * around this one, as in Jinja. */
static bool parse_only(struct compiler *c, struct block *block) {
    const struct expr *only;
    block->scope.is_loop = false;
    if (!tag_next(c) || !tag_expression(c, &only)) return false;
    block->scope.is_loop = true;
    c->template->ops[block->open].only = only;
    return true;
}

bool block_for(struct compiler *c, struct text mark) {
    struct text names[2];
    const struct expr *expr;
    size_t count, slot, second;
    bool only;
    c->template->branches = true;
    c->parser.depth = 0;
    if (!read_names(c, names, &count) || !expr_parse_plain(&c->parser, &expr)) return false;
    if (c->loops == EXPR_LOOPS_MAX) return compiler_fault(c, mark, FAULT_TOO_LARGE, "loops are nested deeper than 16");
    struct block *block = block_push(c, BLOCK_FOR, mark);
    if (!block) return false;
    block->open = c->template->count;
    struct op *op = emit_op(c, OP_FOR);
    only = tag_sees(c, "if");
    bool items = count == 2 && !only && compiler_ends_in(expr, "items");
    op->expr = items ? expr->a : expr;
    op->items = items;
    op->pairs = count == 2;
    op->depth = block->depth = c->loops++;
    block_open_scope(c, block, true, block->depth);
    if (!new_variable(c, names[0], &slot) || (count == 2 && !new_variable(c, names[1], &second))) return false;
    c->template->ops[block->open].slot = slot;
    if (only && !parse_only(c, block)) return false;
    place_repeat(&c->place);
    return tag_close(c);
}

/* The body is complete; the place behind all passes becomes the first end of the block. */
static bool end_passes(struct compiler *c, struct block *block) {
    struct place start = block->start, merged;
    const struct op *begin = &c->template->ops[block->open];
    place_repeat(&start);
    merged = start;
    if (!place_merge(&merged, &c->place) || merged.state != start.state)
        return differ(c, block, block->mark, &start, block->mark, &c->place);
    struct op next_op = {.kind = OP_NEXT,
                         .to = block->open,
                         .slot = begin->slot,
                         .depth = begin->depth,
                         .pairs = begin->pairs,
                         .items = begin->items,
                         .expr = begin->expr};
    *emit_op(c, OP_NEXT) = next_op;
    block_close_scope(c);
    c->loops--;
    return end_branch(c, block);
}

bool block_endfor(struct compiler *c, struct text mark) {
    struct block *block = block_top(c);
    if (!block || block->kind != BLOCK_FOR)
        return compiler_fault(c, mark, FAULT_SYNTAX, "this {% endfor %} belongs to no {% for %}");
    if (!block->has_else) {
        if (!end_passes(c, block) || !place_merge(&block->end, &block->start)) return false;
    } else {
        if (!end_branch(c, block)) return false;
        block_close_scope(c);
    }
    land(c, block);
    land_jumps(c, block);
    c->place = block->end;
    c->block_count--;
    return tag_close(c);
}
