/* Templates: from source to a flat program of literal text and holes, and the loop that runs it.
 *
 * Compilation splits the source at its {{ }}, {# #} and {% %}, parses each expression, and lets the place say how each
 * hole is escaped. Then the program is run once with stand-ins for all values, and what comes out has to be what the
 * place asks for: a JSON text that parses, a URL. After that rendering only appends.
 *
 * A template is immutable and may be rendered by any thread. */
#include "lang/template.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lang/expr.h"
#include "lang/filter.h"
#include "lang/lex.h"
#include "lang/place.h"
#include "lang/url.h"

#define SOURCE_MAX ((size_t)1 << 20)

struct op {
    const struct expr *hole; /* NULL: literal text */
    struct text text;
    enum escape escape;
    bool in_string; /* JSON: the op begins inside a string */
    int line;
};

struct template {
    struct op *ops;
    size_t count;
    uint64_t roots_used;
    enum template_place place;
    const char *file;
};

struct compiler {
    struct expr_parser parser; /* its lexer holds the source, and the position in it */
    struct template *template;
    size_t room;
    bool trims; /* a - before the closing mark: blanks behind it are dropped */
};

static struct lexer *lexer_of(struct compiler *c) {
    return &c->parser.lexer;
}

/* ---- splitting ---- */

static struct op *add_op(struct compiler *c, size_t at) {
    struct template *t = c->template;
    if (t->count == c->room) {
        c->room = c->room ? c->room * 2 : 8;
        struct op *ops = arena_array_of(lexer_of(c)->arena, struct op, c->room);
        if (t->count) memcpy(ops, t->ops, t->count * sizeof *ops);
        t->ops = ops;
    }
    struct op *op = &t->ops[t->count++];
    *op = (struct op){.line = lex_line(lexer_of(c), at)};
    return op;
}

static bool is_blank(char ch) {
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

/* The literal text from `start` to `end`, less the blanks that a mark on either side takes away. */
static void add_text(struct compiler *c, size_t start, size_t end, bool trims_end) {
    const char *at = lexer_of(c)->source.at;
    while (c->trims && start < end && is_blank(at[start])) start++;
    while (trims_end && start < end && is_blank(at[end - 1])) end--;
    c->trims = false;
    if (start < end) add_op(c, start)->text = (struct text){at + start, end - start};
}

static size_t find(const struct compiler *c, size_t from, const char *what) {
    struct text source = c->parser.lexer.source;
    const char *hit = from < source.len ? memmem(source.at + from, source.len - from, what, strlen(what)) : NULL;
    return hit ? (size_t)(hit - source.at) : source.len;
}

static size_t find_mark(const struct compiler *c, size_t from) {
    struct text source = c->parser.lexer.source;
    for (;; from++) {
        from = find(c, from, "{");
        if (from + 1 >= source.len) return source.len;
        if (strchr("{%#", source.at[from + 1]) && source.at[from + 1]) return from;
    }
}

static bool compile_hole(struct compiler *c, size_t mark, size_t inner) {
    struct lexer *lexer = lexer_of(c);
    const struct expr *expr;
    lexer->at = inner;
    if (!lex_next(lexer)) return false;
    if (lexer->token.kind == TOKEN_CLOSE)
        return lex_fault(lexer, FAULT_SYNTAX, mark, "there is no expression between {{ and }}");
    if (!expr_parse(&c->parser, &expr)) return false;
    if (lexer->token.kind != TOKEN_CLOSE)
        return lex_fault(lexer, FAULT_SYNTAX, lexer->token.start, "expected }} or an operator");
    add_op(c, mark)->hole = expr;
    c->trims = lexer->token.text.at[0] == '-';
    lexer->at = lexer->token.end;
    return true;
}

static bool skip_comment(struct compiler *c, size_t mark, size_t inner) {
    struct lexer *lexer = lexer_of(c);
    size_t end = find(c, inner, "#}");
    if (end == lexer->source.len) return lex_fault(lexer, FAULT_SYNTAX, mark, "this comment is not closed by #}");
    c->trims = end > inner && lexer->source.at[end - 1] == '-';
    lexer->at = end + 2;
    return true;
}

struct tag {
    struct text name;
    size_t end; /* behind its %} */
    bool trims;
};

static bool read_tag(struct compiler *c, size_t mark, size_t inner, struct tag *ret) {
    struct text source = lexer_of(c)->source;
    size_t close = find(c, inner, "%}");
    if (close == source.len) return lex_fault(lexer_of(c), FAULT_SYNTAX, mark, "this tag is not closed by %%}");
    ret->trims = close > inner && source.at[close - 1] == '-';
    ret->end = close + 2;
    ret->name = text_trim((struct text){source.at + inner, close - inner - ret->trims});
    return true;
}

static bool compile_raw(struct compiler *c, size_t mark, const struct tag *open) {
    struct text source = lexer_of(c)->source;
    struct tag close;
    size_t start = open->end;
    c->trims = open->trims;
    for (size_t at = find(c, start, "{%"); at < source.len; at = find(c, at + 2, "{%")) {
        bool dash = at + 2 < source.len && source.at[at + 2] == '-';
        if (!read_tag(c, at, at + 2 + dash, &close)) return false;
        if (!text_is(close.name, "endraw")) continue;
        add_text(c, start, at, dash);
        c->trims = close.trims;
        lexer_of(c)->at = close.end;
        return true;
    }
    return lex_fault(lexer_of(c), FAULT_SYNTAX, mark, "this {%% raw %%} has no {%% endraw %%}");
}

static bool compile_tag(struct compiler *c, size_t mark, size_t inner) {
    static const char *const later[] = {"if",     "elif",  "else",     "endif", "for",     "endfor", "set",
                                        "endset", "macro", "endmacro", "block", "extends", "include"};
    struct tag tag;
    if (!read_tag(c, mark, inner, &tag)) return false;
    if (text_is(tag.name, "raw")) return compile_raw(c, mark, &tag);
    struct text word = tag.name;
    for (size_t i = 0; i < tag.name.len; i++)
        if (is_blank(tag.name.at[i])) {
            word.len = i;
            break;
        }
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (text_is(word, later[i]))
            return lex_fault(lexer_of(c), FAULT_UNSUPPORTED, mark, "{%% %s %%} is not supported yet", later[i]);
    return lex_fault(lexer_of(c), FAULT_SYNTAX, mark, "there is no tag \"%.*s\"", TEXT_ARG(word));
}

static bool split(struct compiler *c) {
    struct lexer *lexer = lexer_of(c);
    for (size_t start = 0; start < lexer->source.len; start = lexer->at) {
        size_t mark = find_mark(c, start);
        bool dash = mark + 2 < lexer->source.len && lexer->source.at[mark + 2] == '-';
        add_text(c, start, mark, dash);
        if (mark == lexer->source.len) break;
        char kind = lexer->source.at[mark + 1];
        size_t inner = mark + 2 + dash;
        if (!(kind == '{'   ? compile_hole(c, mark, inner)
              : kind == '#' ? skip_comment(c, mark, inner)
                            : compile_tag(c, mark, inner)))
            return false;
    }
    return true;
}

/* ---- places ---- */

static bool hole_fault(struct compiler *c, const struct op *op, const char *why) {
    return lex_fault(lexer_of(c), FAULT_INVALID, (size_t)(op->hole->source.at - lexer_of(c)->source.at), "%s", why);
}

static bool ends_in(const struct expr *expr, const char *filter) {
    return expr->kind == EXPR_FILTER && strcmp(expr->filter->name, filter) == 0;
}

static bool place_hole(struct compiler *c, const struct place *place, struct op *op) {
    const char *why = place_escape(place, &op->escape);
    if (why) return hole_fault(c, op, why);
    if (ends_in(op->hole, "segments")) {
        if (op->escape != ESCAPE_SEGMENT) return hole_fault(c, op, "segments is only for the path of a URL");
        op->escape = ESCAPE_SEGMENTS;
    }
    if (op->escape == ESCAPE_JSON_VALUE && ends_in(op->hole, "tojson")) op->hole = op->hole->a; /* it is JSON anyway */
    return true;
}

static bool is_whole_url(const struct template *t) {
    return t->place == PLACE_URL && t->count == 1 && t->ops[0].hole;
}

static bool place_whole_url(struct compiler *c, struct op *op) {
    if (op->hole->kind != EXPR_PATH)
        return hole_fault(c, op, "a URL that is one expression has to be a plain path, such as request.body.url");
    op->escape = ESCAPE_WHOLE_URL;
    return true;
}

static void encode_literal(struct compiler *c, struct op *op) {
    struct buf out;
    buf_init(&out, op->text.len * 3);
    url_encode(&out, op->text);
    op->text = (struct text){arena_strndup(lexer_of(c)->arena, buf_cstr(&out), out.len), out.len};
    buf_fini(&out);
}

static bool place_ops(struct compiler *c) {
    struct template *t = c->template;
    struct place place = {.kind = t->place};
    if (is_whole_url(t)) return place_whole_url(c, &t->ops[0]);
    for (size_t i = 0; i < t->count; i++) {
        struct op *op = &t->ops[i];
        op->in_string = place.in_string;
        if (op->hole && !place_hole(c, &place, op)) return false;
        if (!op->hole) place_feed(&place, op->text);
        if (!op->hole && t->place == PLACE_FORM) encode_literal(c, op);
    }
    return true;
}

/* ---- the run with stand-ins ---- */

/* Line breaks that comments and marks have swallowed are put back where JSON has room for them, so that the parser's
 * lines are the file's. */
static void stand_in(struct buf *out, const struct op *op, size_t number, int *line) {
    for (; !op->in_string && *line < op->line; ++*line) buf_addc(out, '\n');
    if (!op->hole) {
        buf_addt(out, op->text);
        for (size_t i = 0; i < op->text.len; i++) *line += op->text.at[i] == '\n';
    } else if (op->escape == ESCAPE_JSON_VALUE) buf_adds(out, "null");
    else buf_addf(out, "h%zu", number);
}

static void run_with_stand_ins(const struct template *t, struct buf *out, int line) {
    for (size_t i = 0; i < t->count; i++)
        if (t->place == PLACE_JSON) stand_in(out, &t->ops[i], i, &line);
        else if (t->ops[i].hole) buf_adds(out, "x");
        else buf_addt(out, t->ops[i].text);
}

static int line_in(const char *sentence, int otherwise) {
    const char *at = strstr(sentence, "line ");
    struct text rest = text_of(at ? at + 5 : ""), digits;
    int64_t line;
    return text_cut(&rest, ',', &digits) && text_to_int(digits, &line) ? (int)line + otherwise - 1 : otherwise;
}

static bool check_json(struct template *t, struct text made, int line, struct fault *fault) {
    static const struct json_limits limits = {.max_bytes = 16 << 20, .max_depth = 512, .max_items = 1 << 20};
    struct arena *arena = arena_new();
    struct fault why = {0};
    bool good = json_parse(arena, made, &limits, &why);
    arena_free(arena);
    if (good) return true;
    char where[256];
    snprintf(where, sizeof where, "%s:%d", t->file, line_in(why.what, line));
    return fault_set(fault, why.kind, where, "the template makes no JSON: %s%s", why.what,
                     line > 1 ? " (counted from the template's first line)" : "");
}

static bool check_url(const struct template *t, struct text made, int line, struct fault *fault) {
    struct url url;
    struct fault why = {0};
    char where[256];
    if (is_whole_url(t)) return true;
    snprintf(where, sizeof where, "%s:%d", t->file, line);
    if (!url_parse(made, &url, &why)) return fault_set(fault, why.kind, where, "%s", why.what);
    if (!place_has_dots(made)) return true;
    return fault_set(fault, FAULT_INVALID, where, "the URL has a path segment . or ..");
}

static bool check_header(const struct template *t, int line, struct fault *fault) {
    char where[256];
    for (size_t i = 0; i < t->count; i++)
        for (size_t j = 0; j < t->ops[i].text.len; j++) {
            char ch = t->ops[i].text.at[j];
            if ((unsigned char)ch >= 0x20 && ch != 0x7F) continue;
            snprintf(where, sizeof where, "%s:%d", t->file, line);
            return fault_set(fault, FAULT_INVALID, where, "a header's value cannot hold control characters");
        }
    return true;
}

static bool check_place(struct template *t, int line, struct fault *fault) {
    struct buf made;
    bool good = true;
    if (t->place == PLACE_HEADER) return check_header(t, line, fault);
    if (t->place != PLACE_JSON && t->place != PLACE_URL) return true;
    buf_init(&made, (size_t)16 << 20);
    run_with_stand_ins(t, &made, line);
    good = t->place == PLACE_JSON ? check_json(t, buf_text(&made), line, fault)
                                  : check_url(t, buf_text(&made), line, fault);
    buf_fini(&made);
    return good;
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

const struct template *template_compile(struct arena *arena, struct text source, const struct template_rules *rules,
                                        struct fault *fault) {
    assert(rules->names->count <= 64);
    if (!check_source(source, rules, fault)) return NULL;
    struct template *t = arena_new_of(arena, struct template);
    t->place = rules->place;
    t->file = arena_strdup(arena, rules->file ? rules->file : "template");
    struct compiler c = {.template = t, .parser = {.rules = rules}};
    *lexer_of(&c) = (struct lexer){.arena = arena,
                                   .source = {arena_strndup(arena, source.at, source.len), source.len},
                                   .file = t->file,
                                   .line = rules->line,
                                   .fault = fault};
    if (!split(&c) || !place_ops(&c)) return NULL;
    t->roots_used = c.parser.roots_used;
    return check_place(t, rules->line, fault) ? t : NULL;
}

/* ---- questions ---- */

bool template_is_constant(const struct template *t) {
    for (size_t i = 0; i < t->count; i++)
        if (t->ops[i].hole) return false;
    return true;
}

bool template_uses(const struct template *t, size_t root) {
    return root < 64 && (t->roots_used >> root & 1);
}

bool template_is_whole_url(const struct template *t, size_t *ret_root) {
    if (!is_whole_url(t)) return false;
    *ret_root = t->ops[0].hole->root;
    return true;
}

/* ---- rendering ---- */

static bool render_hole(const struct op *op, struct expr_run *run, struct buf *out, struct fault *fault) {
    const struct json *value;
    if (!expr_eval(run, op->hole, &value, fault)) return false;
    if (json_kind(value) == JSON_NULL && op->escape != ESCAPE_JSON_VALUE)
        return expr_fault(run, op->hole, FAULT_UNDEFINED, fault, "%.*s is null; default(…) would give it a value",
                          TEXT_ARG(op->hole->source));
    const char *why = place_put(out, op->escape, value);
    return !why || expr_fault(run, op->hole, FAULT_INVALID, fault, "%.*s %s", TEXT_ARG(op->hole->source), why);
}

static bool render_ops(const struct template *t, struct expr_run *run, struct buf *out, struct fault *fault) {
    for (size_t i = 0; i < t->count; i++) {
        const struct op *op = &t->ops[i];
        if (!op->hole) buf_addt(out, op->text);
        else if (!render_hole(op, run, out, fault)) return false;
    }
    static const char *const made[] = {[PLACE_TEXT] = "the text",
                                       [PLACE_JSON] = "the JSON body",
                                       [PLACE_URL] = "the URL",
                                       [PLACE_HEADER] = "the header",
                                       [PLACE_FORM] = "the form"};
    if (out->full)
        return fault_set(fault, FAULT_TOO_LARGE, t->file, "%s would have more than %zu bytes", made[t->place],
                         out->max);
    return true;
}

bool template_render(const struct template *t, const struct json *const *roots, struct buf *out, struct fault *fault) {
    struct expr_run run = {.roots = roots, .file = t->file};
    size_t before = out->len;
    bool good = render_ops(t, &run, out, fault);
    expr_run_end(&run);
    if (!good && out->at) out->at[out->len = before] = 0;
    return good;
}

const struct json *template_value(const struct template *t, const struct json *const *roots, struct arena *arena,
                                  struct fault *fault) {
    struct expr_run run = {.roots = roots, .file = t->file};
    const struct json *value = NULL;
    if (t->count == 1 && t->ops[0].hole) {
        if (expr_eval(&run, t->ops[0].hole, &value, fault)) value = json_share(arena, value);
        else value = NULL;
    } else {
        struct buf out;
        buf_init(&out, (size_t)16 << 20);
        if (render_ops(t, &run, &out, fault)) value = json_new_text(arena, buf_text(&out));
        buf_fini(&out);
    }
    expr_run_end(&run);
    return value;
}
