/* Texts and holes of a template, as operations of its program.
 *
 * The place runs along: what a text or hole is put into decides how it is escaped, and whether it may be there at all.
 * A JSON object must not have one name twice. Names that are written out are compared here; where branches or holes
 * make some of them, the template keeps all names, and rendering looks at what came out. */
#include "lang/template_compiler.h"

#include <string.h>

#include "lang/url.h"

/* A member's name that the template writes out. */
struct named {
    uint32_t object;
    struct op_name written;
};

/* ---- operations ---- */

struct op *emit_op(struct compiler *c, enum op_kind kind) {
    struct template *t = c->template;
    if (t->count == c->room) {
        c->room = c->room ? c->room * 2 : 16;
        struct op *ops = arena_array_of(compiler_lexer(c)->arena, struct op, c->room);
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
    struct named item = {object >> 1, {c->template->count, name, compiler_lexer(c)->origin}};
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
                return compiler_fault(c, new.written.name, FAULT_SYNTAX,
                                      "the template makes no JSON: this name occurs twice in one object");
        }
    }
    return true;
}

static void keep_names(struct compiler *c) {
    struct template *t = c->template;
    if (!t->names_vary) return;
    t->name_count = c->named.len / sizeof(struct named);
    struct op_name *names = arena_array_of(compiler_lexer(c)->arena, struct op_name, t->name_count);
    for (size_t i = 0; i < t->name_count; i++) {
        struct named item;
        memcpy(&item, c->named.at + i * sizeof item, sizeof item);
        names[i] = item.written;
    }
    t->names = names;
}

static const char *keep(struct compiler *c, const struct buf *made) {
    return arena_strndup(compiler_lexer(c)->arena, buf_text(made).at, made->len);
}

static bool add_literal(struct compiler *c, struct text literal) {
    struct place_step step;
    struct buf fixed, encoded;
    size_t named = c->named.len;
    buf_init(&fixed, TEMPLATE_SOURCE_MAX * 4);
    place_feed(&c->place, literal, &fixed, &c->names, &step);
    note_objects(c);
    if (c->place.kind == PLACE_FORM) {
        buf_init(&encoded, TEMPLATE_SOURCE_MAX * 4);
        url_encode(&encoded, buf_text(&fixed));
        buf_fini(&fixed);
        fixed = encoded;
    }
    if (!step.why && (fixed.len || step.fix != PLACE_KEEP)) {
        struct op *op = emit_op(c, OP_TEXT);
        op->text = (struct text){keep(c, &fixed), fixed.len};
        op->fix = step.fix;
        op->comma = step.comma;
    }
    buf_fini(&fixed);
    if (step.why) return compiler_fault(c, (struct text){literal.at + step.at, 1}, FAULT_SYNTAX, step.why);
    return check_names(c, named);
}

bool emit_text(struct compiler *c, size_t start, size_t end, bool trims_end) {
    const char *at = compiler_lexer(c)->source.at;
    while (c->trims && start < end && lex_is_blank(at[start])) start++;
    while (trims_end && start < end && lex_is_blank(at[end - 1])) end--;
    c->trims = false;
    return start >= end || add_literal(c, compiler_span(c, start, end));
}

/* ---- holes ---- */

static bool hole_fault(struct compiler *c, const struct expr *expr, const char *why) {
    return compiler_fault(c, expr->source, strstr(why, "makes no JSON") ? FAULT_SYNTAX : FAULT_INVALID, why);
}

static bool place_hole_of(struct compiler *c, struct op *op) {
    if (c->place.kind == PLACE_JSON && c->place.state == PLACE_STRING && c->place.in_name)
        c->template->names_vary = true;
    const char *why = place_hole(&c->place, &op->escape, &op->fix);
    if (why) return hole_fault(c, op->expr, why);
    if (compiler_ends_in(op->expr, "segments")) {
        if (op->escape != ESCAPE_SEGMENT) return hole_fault(c, op->expr, "segments is only for the path of a URL");
        op->escape = ESCAPE_SEGMENTS;
    }
    if (compiler_ends_in(op->expr, "safe")) {
        if (op->escape != ESCAPE_NONE && op->escape != ESCAPE_XML_TEXT)
            return hole_fault(c, op->expr, "safe is only for plain text and the text of XML; here it could break out");
        op->escape = ESCAPE_NONE;
    }
    bool plain = compiler_ends_in(op->expr, "tojson") && !op->expr->items[0]; /* it is JSON anyway */
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

bool emit_hole(struct compiler *c, const struct expr *expr) {
    bool first = c->template->count == 0, last = compiler_lexer(c)->at >= compiler_lexer(c)->source.len;
    struct op *op = emit_op(c, OP_HOLE);
    op->expr = expr;
    if (c->template->place == PLACE_URL && first && last && c->parts == 0) return place_whole_url(c, op);
    if (!place_hole_of(c, op)) return false;
    join_text(c);
    return true;
}

/* ---- beginning and end ---- */

void emit_init(struct compiler *c) {
    c->names = (struct place_names){.name = note_name, .arg = c};
    buf_init(&c->named, SIZE_MAX / 2);
    buf_init(&c->objects, SIZE_MAX / 2);
}

void emit_fini(struct compiler *c) {
    keep_names(c);
    buf_fini(&c->named);
    buf_fini(&c->objects);
}
