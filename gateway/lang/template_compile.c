/* Templates: from source to a flat program.
 *
 * One pass over the source: text, {{ }}, {% %} and {# #} become operations as they are met; branches and loops are
 * jumps, parts that are included are compiled in where they stand. The place runs along, so each hole knows how it is
 * escaped, and where branches meet it has to be the same place. What is left for rendering is appending.
 *
 * Variables are Jinja's: what {% set %} makes inside a loop or part ends with it, and each pass begins with what was
 * there before; inside {% if %} it stays. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lang/filter.h"
#include "lang/lex.h"
#include "lang/template_program.h"
#include "lang/url.h"

#define SOURCE_MAX ((size_t)1 << 20) /* with all parts, as often as they are included */
#define BLOCKS_MAX 32
#define PARTS_MAX 8
#define OPS_MAX 100000

struct block {
    enum { BLOCK_IF, BLOCK_FOR, BLOCK_PART, BLOCK_SET } kind;
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

/* A member's name that the template writes out. */
struct named {
    uint32_t object;
    struct op_name written;
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
    struct buf named;   /* of struct named */
    struct buf objects; /* of unsigned: how many statements each array or object began inside of */
    struct block *blocks;
    unsigned block_count, loops;
    size_t landed; /* the operation that a jump goes to, the last such */
    const struct part *part;
    unsigned parts;
    size_t total; /* bytes of source */
};

static struct lexer *lexer_of(struct compiler *c) {
    return &c->parser.lexer;
}

static struct text span(struct compiler *c, size_t start, size_t end) {
    return (struct text){lexer_of(c)->source.at + start, end - start};
}

static bool fault_at(struct compiler *c, struct text at, enum fault_kind kind, const char *what) {
    return lex_fault_at(lexer_of(c)->origin, at, lexer_of(c)->fault, kind, what);
}

/* ---- operations ---- */

static struct op *add_op(struct compiler *c, enum op_kind kind) {
    struct template *t = c->template;
    if (t->count == c->room) {
        c->room = c->room ? c->room * 2 : 16;
        struct op *ops = arena_array_of(lexer_of(c)->arena, struct op, c->room);
        if (t->count) memcpy(ops, t->ops, t->count * sizeof *ops);
        t->ops = ops;
    }
    struct op *op = &t->ops[t->count++];
    *op = (struct op){.kind = kind};
    return op;
}

static void note_objects(struct compiler *c) {
    while (c->objects.len / sizeof(unsigned) <= c->names.count)
        buf_add(&c->objects, &c->block_count, sizeof c->block_count);
}

/* Whether names of one object could coincide is known only where branches and holes make them. */
static void note_name(void *arg, uint32_t object, struct text name) {
    struct compiler *c = arg;
    if (!name.at || memchr(name.at, '\\', name.len)) c->template->names_vary = true; /* "\\u0041" is "A" */
    if (!name.at) return;
    struct named item = {object >> 1, {c->template->count, name, lexer_of(c)->origin}};
    note_objects(c);
    unsigned began;
    memcpy(&began, c->objects.at + item.object * sizeof began, sizeof began);
    if (c->block_count != began) c->template->names_vary = true;
    buf_add(&c->named, &item, sizeof item);
}

static bool check_names(struct compiler *c, size_t before) {
    for (size_t at = before; at < c->named.len; at += sizeof(struct named)) {
        struct named new, old;
        memcpy(&new, c->named.at + at, sizeof new);
        for (size_t i = 0; i < at && !c->template->names_vary; i += sizeof old) {
            memcpy(&old, c->named.at + i, sizeof old);
            if (old.object == new.object && text_same(old.written.name, new.written.name))
                return fault_at(c, new.written.name, FAULT_SYNTAX,
                                "the template makes no JSON: this name occurs twice in one object");
        }
    }
    return true;
}

static void keep_names(struct compiler *c) {
    struct template *t = c->template;
    if (!t->names_vary) return;
    t->name_count = c->named.len / sizeof(struct named);
    struct op_name *names = arena_array_of(lexer_of(c)->arena, struct op_name, t->name_count);
    for (size_t i = 0; i < t->name_count; i++) {
        struct named item;
        memcpy(&item, c->named.at + i * sizeof item, sizeof item);
        names[i] = item.written;
    }
    t->names = names;
}

static const char *keep(struct compiler *c, const struct buf *made) {
    return arena_strndup(lexer_of(c)->arena, buf_text(made).at, made->len);
}

static bool add_literal(struct compiler *c, struct text literal) {
    struct place_step step;
    struct buf fixed, encoded;
    size_t named = c->named.len;
    buf_init(&fixed, SOURCE_MAX * 4);
    place_feed(&c->place, literal, &fixed, &c->names, &step);
    note_objects(c);
    if (c->place.kind == PLACE_FORM) {
        buf_init(&encoded, SOURCE_MAX * 4);
        url_encode(&encoded, buf_text(&fixed));
        buf_fini(&fixed);
        fixed = encoded;
    }
    if (!step.why && (fixed.len || step.fix != PLACE_KEEP)) {
        struct op *op = add_op(c, OP_TEXT);
        op->text = (struct text){keep(c, &fixed), fixed.len};
        op->fix = step.fix;
        op->comma = step.comma;
    }
    buf_fini(&fixed);
    if (step.why) return fault_at(c, (struct text){literal.at + step.at, 1}, FAULT_SYNTAX, step.why);
    return check_names(c, named);
}

/* The literal text from `start` to `end`, less the blanks that a mark on either side takes away. */
static bool add_text(struct compiler *c, size_t start, size_t end, bool trims_end) {
    const char *at = lexer_of(c)->source.at;
    while (c->trims && start < end && lex_is_blank(at[start])) start++;
    while (trims_end && start < end && lex_is_blank(at[end - 1])) end--;
    c->trims = false;
    return start >= end || add_literal(c, span(c, start, end));
}

/* ---- holes ---- */

static bool hole_fault(struct compiler *c, const struct expr *expr, const char *why) {
    return fault_at(c, expr->source, strstr(why, "makes no JSON") ? FAULT_SYNTAX : FAULT_INVALID, why);
}

static bool ends_in(const struct expr *expr, const char *filter) {
    return expr->kind == EXPR_FILTER && strcmp(expr->filter->name, filter) == 0;
}

static bool place_hole_of(struct compiler *c, struct op *op) {
    if (c->place.kind == PLACE_JSON && c->place.state == PLACE_STRING && c->place.in_name)
        c->template->names_vary = true;
    const char *why = place_hole(&c->place, &op->escape, &op->fix);
    if (why) return hole_fault(c, op->expr, why);
    if (ends_in(op->expr, "segments")) {
        if (op->escape != ESCAPE_SEGMENT) return hole_fault(c, op->expr, "segments is only for the path of a URL");
        op->escape = ESCAPE_SEGMENTS;
    }
    if (ends_in(op->expr, "safe")) {
        if (op->escape != ESCAPE_NONE && op->escape != ESCAPE_XML_TEXT)
            return hole_fault(c, op->expr, "safe is only for plain text and the text of XML; here it could break out");
        op->escape = ESCAPE_NONE;
    }
    bool plain = ends_in(op->expr, "tojson") && !op->expr->items[0]; /* it is JSON anyway */
    if (op->escape == ESCAPE_JSON_VALUE && plain) op->expr = op->expr->a;
    return true;
}

static bool place_whole_url(struct compiler *c, struct op *op) {
    if (op->expr->kind != EXPR_PATH)
        return hole_fault(c, op->expr, "a URL that is one expression has to be a plain path, such as request.body.url");
    op->escape = ESCAPE_WHOLE_URL;
    c->template->whole_url = true;
    return true;
}

/* A text and the hole behind it become one operation, unless a jump goes between them, or it has to be known which of
 * the two wrote a name. */
static void join_text(struct compiler *c) {
    struct template *t = c->template;
    if (t->count < 2 || c->landed == t->count - 1 || t->names_vary) return;
    struct op *text = &t->ops[t->count - 2], *hole = text + 1;
    if (text->kind != OP_TEXT || text->fix != PLACE_KEEP || hole->fix != PLACE_KEEP) return;
    hole->text = text->text;
    *text = *hole;
    t->count--;
}

static bool add_hole(struct compiler *c, const struct expr *expr) {
    bool first = c->template->count == 0, last = lexer_of(c)->at >= lexer_of(c)->source.len;
    struct op *op = add_op(c, OP_HOLE);
    op->expr = expr;
    if (c->template->place == PLACE_URL && first && last && c->parts == 0) return place_whole_url(c, op);
    if (!place_hole_of(c, op)) return false;
    join_text(c);
    return true;
}

/* ---- tags ---- */

static bool next(struct compiler *c) {
    return lex_next(lexer_of(c));
}

static bool sees(struct compiler *c, const char *word) {
    return lex_is(lexer_of(c), word);
}

static bool here(struct compiler *c, enum fault_kind kind, const char *what) {
    return lex_fault(lexer_of(c), kind, lexer_of(c)->token.start, "%s", what);
}

/* Behind an expression stands what could not go on with it. */
static bool refuse_rest(struct compiler *c, const char *closing) {
    if (sees(c, "=")) return here(c, FAULT_SYNTAX, "to compare, write ==");
    return lex_fault(lexer_of(c), FAULT_SYNTAX, lexer_of(c)->token.start, "expected %s", closing);
}

/* The token at hand has to be the closing mark; goes behind it. */
static bool close_tag(struct compiler *c) {
    struct lexer *lexer = lexer_of(c);
    if (lexer->token.kind != TOKEN_CLOSE)
        return refuse_rest(c, lexer->closing[0] == '%' ? "%} or an operator" : "}} or an operator");
    c->trims = lexer->token.text.at[0] == '-';
    lexer->at = lexer->token.end;
    return true;
}

static bool parse_expression(struct compiler *c, const struct expr **ret) {
    c->parser.depth = 0;
    return expr_parse(&c->parser, ret);
}

static bool compile_hole(struct compiler *c, size_t mark) {
    struct lexer *lexer = lexer_of(c);
    const struct expr *expr;
    if (!next(c)) return false;
    if (lexer->token.kind == TOKEN_CLOSE)
        return lex_fault(lexer, FAULT_SYNTAX, mark, "there is no expression between {{ and }}");
    return parse_expression(c, &expr) && close_tag(c) && add_hole(c, expr);
}

static struct block *top(struct compiler *c) {
    return c->block_count ? &c->blocks[c->block_count - 1] : NULL;
}

static struct block *push(struct compiler *c, int kind, struct text mark) {
    if (c->block_count == BLOCKS_MAX) {
        fault_at(c, mark, FAULT_TOO_LARGE, "statements are nested deeper than 32");
        return NULL;
    }
    struct block *block = &c->blocks[c->block_count++];
    *block = (struct block){.mark = mark, .branch = mark, .start = c->place, .open = SIZE_MAX, .jumps = SIZE_MAX};
    block->kind = kind == BLOCK_IF    ? BLOCK_IF
                  : kind == BLOCK_FOR ? BLOCK_FOR
                  : kind == BLOCK_SET ? BLOCK_SET
                                      : BLOCK_PART;
    return block;
}

/* ---- scopes ---- */

static void open_scope(struct compiler *c, struct block *block, bool is_loop, size_t depth) {
    block->scope = (struct expr_scope){.outer = c->parser.scope, .is_loop = is_loop, .depth = depth};
    c->parser.scope = &block->scope;
    block->scope_op = c->template->count;
    add_op(c, OP_SCOPE);
}

static void close_scope(struct compiler *c) {
    c->parser.scope = c->parser.scope->outer;
}

static bool new_variable(struct compiler *c, struct text name, size_t *ret_slot) {
    if (c->template->slots == EXPR_VARIABLES_MAX)
        return here(c, FAULT_TOO_LARGE, "more than 64 variables in one template");
    struct expr_variable *v = arena_new_of(lexer_of(c)->arena, struct expr_variable);
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
    struct op_reset *reset = arena_new_of(lexer_of(c)->arena, struct op_reset);
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
    struct block *block = push(c, BLOCK_SET, mark);
    if (!block) return false;
    block->name = name;
    block->made = made;
    block->open = c->template->count;
    add_op(c, OP_SET_BLOCK)->expr = expr;
    open_scope(c, block, false, 0);
    c->place = (struct place){.kind = PLACE_TEXT};
    return close_tag(c);
}

static bool compile_endset(struct compiler *c, struct text mark) {
    struct block *block = top(c);
    size_t slot;
    if (!block || block->kind != BLOCK_SET)
        return fault_at(c, mark, FAULT_SYNTAX, "this {% endset %} belongs to no {% set %}");
    close_scope(c);
    c->block_count--;
    if (!own_variable(c, block->name, &slot)) return false;
    block->made->root = slot;
    c->template->ops[block->open].slot = slot;
    c->landed = c->template->ops[block->open].to = c->template->count;
    c->place = block->start;
    return close_tag(c);
}

static bool compile_set(struct compiler *c, struct text mark) {
    const struct expr *expr;
    size_t slot;
    if (!expr_name_check(&c->parser)) return false;
    struct text name = lexer_of(c)->token.text;
    if (!next(c)) return false;
    if (lexer_of(c)->token.kind == TOKEN_CLOSE || sees(c, "|")) return begin_set(c, mark, name);
    if (sees(c, ",") || sees(c, "."))
        return here(c, FAULT_UNSUPPORTED, "{% set %} sets one name; write one {% set %} for each");
    if (!sees(c, "=")) return here(c, FAULT_SYNTAX, "expected = behind the name");
    if (!next(c) || !parse_expression(c, &expr) || !own_variable(c, name, &slot)) return false;
    struct op *op = add_op(c, OP_SET);
    op->expr = expr;
    op->slot = slot;
    return close_tag(c);
}

/* ---- branches ---- */

static bool differ(struct compiler *c, const struct block *block, struct text first, const struct place *one,
                   struct text second, const struct place *other) {
    struct buf out;
    const struct lex_origin *origin = lexer_of(c)->origin;
    buf_init(&out, 500);
    buf_adds(&out, block->kind == BLOCK_FOR ? "a pass of this loop has to end where it began: it ends "
                                            : "the branches end in different places: this one ends ");
    place_words(other, &out);
    buf_addf(&out, "; the %s on line %d %s ", block->kind == BLOCK_FOR ? "loop" : "one", lex_line(origin, first.at),
             block->kind == BLOCK_FOR ? "begins" : "ends");
    place_words(one, &out);
    fault_at(c, second, FAULT_INVALID, buf_cstr(&out));
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
    add_op(c, OP_JUMP)->to = block->jumps;
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

static bool compile_if(struct compiler *c, struct text mark) {
    const struct expr *expr;
    c->template->branches = true;
    if (!parse_expression(c, &expr)) return false;
    struct block *block = push(c, BLOCK_IF, mark);
    if (!block) return false;
    block->open = c->template->count;
    add_op(c, OP_IF)->expr = expr;
    return close_tag(c);
}

static bool next_branch(struct compiler *c, struct block *block, struct text mark) {
    if (!end_branch(c, block)) return false;
    jump_to_end(c, block);
    land(c, block);
    c->place = block->start;
    block->branch = mark;
    return true;
}

static bool compile_elif(struct compiler *c, struct text mark) {
    struct block *block = top(c);
    const struct expr *expr;
    if (!block || block->kind != BLOCK_IF || block->has_else)
        return fault_at(c, mark, FAULT_SYNTAX, "this {% elif %} belongs to no {% if %}");
    if (!next_branch(c, block, mark) || !parse_expression(c, &expr)) return false;
    block->open = c->template->count;
    add_op(c, OP_IF)->expr = expr;
    return close_tag(c);
}

static bool end_passes(struct compiler *c, struct block *block);

static bool compile_else(struct compiler *c, struct text mark) {
    struct block *block = top(c);
    if (!block || (block->kind != BLOCK_IF && block->kind != BLOCK_FOR) || block->has_else)
        return fault_at(c, mark, FAULT_SYNTAX, "this {% else %} belongs to no {% if %} or {% for %}");
    block->has_else = true;
    if (sees(c, "if")) return here(c, FAULT_SYNTAX, "else if is written elif");
    if (block->kind == BLOCK_IF) return next_branch(c, block, mark) && close_tag(c);
    if (!end_passes(c, block)) return false;
    jump_to_end(c, block);
    land(c, block);
    c->place = block->start;
    block->branch = mark;
    open_scope(c, block, false, 0);
    return close_tag(c);
}

static bool compile_endif(struct compiler *c, struct text mark) {
    struct block *block = top(c);
    if (!block || block->kind != BLOCK_IF)
        return fault_at(c, mark, FAULT_SYNTAX, "this {% endif %} belongs to no {% if %}");
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
    return close_tag(c);
}

/* ---- loops ---- */

static bool read_names(struct compiler *c, struct text names[2], size_t *ret_count) {
    for (*ret_count = 0;;) {
        if (!expr_name_check(&c->parser)) return false;
        names[(*ret_count)++] = lexer_of(c)->token.text;
        if (!next(c)) return false;
        if (!sees(c, ",")) break;
        if (*ret_count == 2) return here(c, FAULT_UNSUPPORTED, "a loop takes one name, or two for pairs");
        if (!next(c)) return false;
    }
    return sees(c, "in") ? next(c) : here(c, FAULT_SYNTAX, "expected in behind the loop's name");
}

/* At the if of {% for x in xs if … %}: it knows x, but which pass it will be is not known yet; a loop in it is the one
 * around this one, as in Jinja. */
static bool parse_only(struct compiler *c, struct block *block) {
    const struct expr *only;
    block->scope.is_loop = false;
    if (!next(c) || !parse_expression(c, &only)) return false;
    block->scope.is_loop = true;
    c->template->ops[block->open].only = only;
    return true;
}

static bool compile_for(struct compiler *c, struct text mark) {
    struct text names[2];
    const struct expr *expr;
    size_t count, slot, second;
    bool only;
    c->template->branches = true;
    c->parser.depth = 0;
    if (!read_names(c, names, &count) || !expr_parse_plain(&c->parser, &expr)) return false;
    if (c->loops == EXPR_LOOPS_MAX) return fault_at(c, mark, FAULT_TOO_LARGE, "loops are nested deeper than 16");
    struct block *block = push(c, BLOCK_FOR, mark);
    if (!block) return false;
    block->open = c->template->count;
    struct op *op = add_op(c, OP_FOR);
    only = sees(c, "if");
    bool items = count == 2 && !only && ends_in(expr, "items");
    op->expr = items ? expr->a : expr;
    op->items = items;
    op->pairs = count == 2;
    op->depth = block->depth = c->loops++;
    open_scope(c, block, true, block->depth);
    if (!new_variable(c, names[0], &slot) || (count == 2 && !new_variable(c, names[1], &second))) return false;
    c->template->ops[block->open].slot = slot;
    if (only && !parse_only(c, block)) return false;
    place_repeat(&c->place);
    return close_tag(c);
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
    *add_op(c, OP_NEXT) = next_op;
    close_scope(c);
    c->loops--;
    return end_branch(c, block);
}

static bool compile_endfor(struct compiler *c, struct text mark) {
    struct block *block = top(c);
    if (!block || block->kind != BLOCK_FOR)
        return fault_at(c, mark, FAULT_SYNTAX, "this {% endfor %} belongs to no {% for %}");
    if (!block->has_else) {
        if (!end_passes(c, block) || !place_merge(&block->end, &block->start)) return false;
    } else {
        if (!end_branch(c, block)) return false;
        close_scope(c);
    }
    land(c, block);
    land_jumps(c, block);
    c->place = block->end;
    c->block_count--;
    return close_tag(c);
}

/* ---- parts ---- */

static bool compile_source(struct compiler *c, const struct lex_origin *origin);

static bool compile_part(struct compiler *c, struct text mark, const char *name) {
    const struct template_rules *rules = c->parser.rules;
    struct fault why = {0};
    struct text text;
    struct part part = {name, c->part};
    struct lex_origin *origin = arena_new_of(lexer_of(c)->arena, struct lex_origin);
    for (const struct part *p = c->part; p; p = p->outer)
        if (strcmp(p->name, name) == 0)
            return fault_at(c, mark, FAULT_INVALID, "this part includes itself, directly or by another part");
    if (c->parts == PARTS_MAX) return fault_at(c, mark, FAULT_TOO_LARGE, "parts are nested deeper than 8");
    if (!rules->part(rules->part_arg, name, &origin->file, &text, &why)) return fault_at(c, mark, why.kind, why.what);
    origin->source = text;
    origin->line = 1;
    struct lexer outer = *lexer_of(c);
    struct block *block = push(c, BLOCK_PART, mark);
    if (!block) return false;
    unsigned blocks = c->block_count;
    open_scope(c, block, false, 0);
    c->part = &part;
    c->parts++;
    if (!compile_source(c, origin)) return false;
    if (c->block_count != blocks)
        return fault_at(c, top(c)->mark, FAULT_SYNTAX, "this statement is not closed in its file");
    c->parts--;
    c->part = part.outer;
    close_scope(c);
    c->block_count--;
    c->trims = false;
    *lexer_of(c) = outer;
    return true;
}

static bool compile_include(struct compiler *c, struct text mark) {
    struct token name = lexer_of(c)->token;
    if (name.kind != TOKEN_STRING)
        return here(c, FAULT_SYNTAX, "a part's name has to be written out, in quotes: {% include \"part.json\" %}");
    if (!c->parser.rules->part)
        return fault_at(c, mark, FAULT_UNSUPPORTED, "{% include %} works in files of the directory of templates only");
    const char *file = arena_strndup(lexer_of(c)->arena, name.text.at, name.text.len);
    if (!next(c) || !close_tag(c)) return false;
    bool trims = c->trims;
    c->trims = false;
    if (!compile_part(c, mark, file)) return false;
    c->trims = trims;
    return true;
}

/* ---- raw, comments, words ---- */

static size_t find(struct compiler *c, size_t from, const char *what) {
    struct text source = lexer_of(c)->source;
    const char *hit = from < source.len ? memmem(source.at + from, source.len - from, what, strlen(what)) : NULL;
    return hit ? (size_t)(hit - source.at) : source.len;
}

static bool skip_comment(struct compiler *c, size_t mark, size_t inner) {
    struct lexer *lexer = lexer_of(c);
    size_t end = find(c, inner, "#}");
    if (end == lexer->source.len) return lex_fault(lexer, FAULT_SYNTAX, mark, "this comment is not closed by #}");
    c->trims = end > inner && lexer->source.at[end - 1] == '-';
    lexer->at = end + 2;
    return true;
}

/* At {% of what may be {% endraw %}: its end and whether it trims; false if it is something else. */
static bool at_endraw(struct compiler *c, size_t at, size_t *ret_end, bool *ret_trims) {
    struct text source = lexer_of(c)->source;
    size_t inner = at + 2, close = find(c, inner, "%}");
    if (close == source.len) return false;
    if (source.at[inner] == '-') inner++;
    *ret_trims = close > inner && source.at[close - 1] == '-';
    *ret_end = close + 2;
    return text_is(text_trim(span(c, inner, close - *ret_trims)), "endraw");
}

static bool compile_raw(struct compiler *c, struct text mark) {
    if (!close_tag(c)) return false;
    size_t start = lexer_of(c)->at, end;
    bool trims;
    for (size_t at = find(c, start, "{%"); at < lexer_of(c)->source.len; at = find(c, at + 2, "{%")) {
        if (!at_endraw(c, at, &end, &trims)) continue;
        if (!add_text(c, start, at, lexer_of(c)->source.at[at + 2] == '-')) return false;
        c->trims = trims;
        lexer_of(c)->at = end;
        return true;
    }
    return fault_at(c, mark, FAULT_SYNTAX, "this {% raw %} has no {% endraw %}");
}

static bool unknown_tag(struct compiler *c) {
    static const char *const words[] = {"if",  "elif",   "else",    "endif", "for",   "endfor",
                                        "set", "endset", "include", "raw",   "endraw"};
    static const char *const jinjas[] = {"macro",   "endmacro", "block", "endblock", "extends",
                                         "import",  "from",     "call",  "filter",   "with",
                                         "endwith", "do",       "break", "continue", "autoescape"};
    struct text word = lexer_of(c)->token.text;
    char copy[32] = "";
    for (size_t i = 0; i < sizeof jinjas / sizeof *jinjas; i++)
        if (text_is(word, jinjas[i]))
            return lex_fault(lexer_of(c), FAULT_UNSUPPORTED, lexer_of(c)->token.start, "{%% %s %%} is not supported",
                             jinjas[i]);
    if (word.len < sizeof copy) memcpy(copy, word.at, word.len);
    const char *near = text_nearest(copy, words, sizeof words / sizeof *words);
    return lex_fault(lexer_of(c), FAULT_SYNTAX, lexer_of(c)->token.start, "there is no tag \"%.*s\"%s%s%s",
                     TEXT_ARG(word), near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static bool compile_tag(struct compiler *c) {
    static const struct {
        const char *word;
        bool (*compile)(struct compiler *c, struct text mark);
    } tags[] = {{"if", compile_if},           {"elif", compile_elif}, {"else", compile_else},
                {"endif", compile_endif},     {"for", compile_for},   {"endfor", compile_endfor},
                {"include", compile_include}, {"set", compile_set},   {"endset", compile_endset}};
    struct lexer *lexer = lexer_of(c);
    if (!next(c)) return false;
    struct text mark = span(c, lexer->token.start, lexer->token.end);
    if (lexer->token.kind != TOKEN_NAME) return here(c, FAULT_SYNTAX, "expected if, for, set or another tag");
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (sees(c, tags[i].word)) return next(c) && tags[i].compile(c, mark);
    if (sees(c, "raw")) return next(c) && compile_raw(c, mark);
    return unknown_tag(c);
}

static size_t find_mark(struct compiler *c, size_t from) {
    struct text source = lexer_of(c)->source;
    for (;; from++) {
        from = find(c, from, "{");
        if (from + 1 >= source.len) return source.len;
        if (strchr("{%#", source.at[from + 1]) && source.at[from + 1]) return from;
    }
}

static bool compile_mark(struct compiler *c, size_t mark, size_t inner) {
    struct lexer *lexer = lexer_of(c);
    char kind = lexer->source.at[mark + 1];
    lexer->at = inner;
    lexer->open = 0;
    lexer->closing = kind == '{' ? "}}" : "%}";
    if (kind == '#') return skip_comment(c, mark, inner);
    if (c->template->count > OPS_MAX) return lex_fault(lexer, FAULT_TOO_LARGE, mark, "the template is too large");
    return kind == '{' ? compile_hole(c, mark) : compile_tag(c);
}

static bool compile_source(struct compiler *c, const struct lex_origin *origin) {
    struct lexer *lexer = lexer_of(c);
    c->total += origin->source.len;
    *lexer = (struct lexer){.arena = lexer->arena, .origin = origin, .source = origin->source, .fault = lexer->fault};
    if (c->total > SOURCE_MAX)
        return lex_fault(lexer, FAULT_TOO_LARGE, 0, "the template and its parts have more than %zu bytes", SOURCE_MAX);
    for (size_t start = 0; start < lexer->source.len; start = lexer->at) {
        size_t mark = find_mark(c, start);
        bool dash = mark + 2 < lexer->source.len && lexer->source.at[mark + 2] == '-';
        if (!add_text(c, start, mark, dash)) return false;
        if (mark == lexer->source.len) break;
        if (!compile_mark(c, mark, mark + 2 + dash)) return false;
    }
    return true;
}

/* ---- the whole ---- */

static bool finish(struct compiler *c) {
    struct lexer *lexer = lexer_of(c);
    if (c->block_count) {
        static const char *const words[] = {"this {% if %} has no {% endif %}", "this {% for %} has no {% endfor %}",
                                            "", "this {% set %} has no {% endset %}"};
        return fault_at(c, top(c)->mark, FAULT_SYNTAX, words[top(c)->kind]);
    }
    const char *why = c->template->whole_url ? NULL : place_finish(&c->place);
    return !why || lex_fault(lexer, FAULT_SYNTAX, lexer->source.len, "%s", why);
}

/* One way through the branches, with x for every value: through the first of each, or past all of them. */
static void run_with_stand_ins(const struct template *t, bool into, struct buf *out) {
    for (size_t i = 0; i < t->count; i++) {
        const struct op *op = &t->ops[i];
        buf_addt(out, op->text);
        if (op->kind == OP_HOLE) buf_addc(out, 'x');
        else if (op->kind == OP_JUMP || op->kind == OP_SET_BLOCK ||
                 (!into && (op->kind == OP_IF || op->kind == OP_FOR)))
            i = op->to - 1;
    }
}

static bool check_url(struct compiler *c, bool into) {
    struct url url;
    struct buf made;
    struct fault why = {0};
    buf_init(&made, (size_t)16 << 20);
    run_with_stand_ins(c->template, into, &made);
    bool good = url_parse(buf_text(&made), &url, &why);
    if (good && place_has_dots(buf_text(&made)))
        good = fault_set(&why, FAULT_INVALID, NULL, "the URL has a path segment . or ..");
    buf_fini(&made);
    return good || lex_fault(lexer_of(c), why.kind, 0, "%s", why.what);
}

static bool check_source(struct text source, const struct template_rules *rules, struct fault *fault) {
    char where[256];
    snprintf(where, sizeof where, "%s:%d", rules->file ? rules->file : "template", rules->line);
    if (source.len > SOURCE_MAX)
        return fault_set(fault, FAULT_TOO_LARGE, where, "the template has more than %zu bytes", SOURCE_MAX);
    if (!text_utf8_check(source) || (source.len && memchr(source.at, 0, source.len)))
        return fault_set(fault, FAULT_SYNTAX, where, "the template is not UTF-8, or holds a NUL byte");
    return true;
}

static bool compile_whole(struct compiler *c, const struct lex_origin *origin) {
    if (!compile_source(c, origin) || !finish(c)) return false;
    if (c->template->place != PLACE_URL || c->template->whole_url) return true;
    return check_url(c, true) && check_url(c, false);
}

static bool compile_bare(struct compiler *c, const struct lex_origin *origin) {
    struct lexer *lexer = lexer_of(c);
    const struct expr *expr;
    *lexer = (struct lexer){.arena = lexer->arena, .origin = origin, .source = origin->source, .fault = lexer->fault};
    if (!next(c) || !parse_expression(c, &expr)) return false;
    if (lexer->token.kind != TOKEN_CLOSE) return refuse_rest(c, "an operator, or the end");
    add_op(c, OP_HOLE)->expr = expr;
    return true;
}

static const struct template *compile(struct arena *arena, struct text source, const struct template_rules *rules,
                                      bool (*how)(struct compiler *, const struct lex_origin *), struct fault *fault) {
    struct fault ignored;
    assert(rules->names->count <= 64);
    if (!check_source(source, rules, fault)) return NULL;
    struct template *t = arena_new_of(arena, struct template);
    struct lex_origin *origin = arena_new_of(arena, struct lex_origin);
    struct expr_scope outermost = {0};
    t->place = rules->place;
    t->line = rules->line;
    t->file = origin->file = arena_strdup(arena, rules->file ? rules->file : "template");
    origin->source = (struct text){arena_strndup(arena, source.at, source.len), source.len};
    origin->line = rules->line;
    struct compiler c = {.template = t, .place = {.kind = rules->place}};
    c.parser = (struct expr_parser){.rules = rules, .scope = &outermost};
    c.parser.lexer = (struct lexer){.arena = arena, .fault = fault ? fault : &ignored};
    c.names = (struct place_names){.name = note_name, .arg = &c};
    c.blocks = mem_alloc(sizeof *c.blocks * BLOCKS_MAX);
    buf_init(&c.named, SIZE_MAX / 2);
    buf_init(&c.objects, SIZE_MAX / 2);
    bool good = how(&c, origin);
    t->roots_used = c.parser.roots_used;
    keep_names(&c);
    mem_free(c.blocks);
    buf_fini(&c.named);
    buf_fini(&c.objects);
    return good ? t : NULL;
}

const struct template *template_compile(struct arena *arena, struct text source, const struct template_rules *rules,
                                        struct fault *fault) {
    return compile(arena, source, rules, compile_whole, fault);
}

const struct template *template_compile_expression(struct arena *arena, struct text source,
                                                   const struct template_rules *rules, struct fault *fault) {
    return compile(arena, source, rules, compile_bare, fault);
}
