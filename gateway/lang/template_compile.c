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

#include "lang/template_compiler.h"
#include "lang/url.h"

#define PARTS_MAX 8
#define OPS_MAX 100000

/* ---- tags ---- */

static bool compile_hole(struct compiler *c, size_t mark) {
    struct lexer *lexer = compiler_lexer(c);
    const struct expr *expr;
    if (!tag_next(c)) return false;
    if (lexer->token.kind == TOKEN_CLOSE)
        return lex_fault(lexer, FAULT_SYNTAX, mark, "there is no expression between {{ and }}");
    return tag_expression(c, &expr) && tag_close(c) && emit_hole(c, expr);
}

/* ---- parts ---- */

static bool compile_source(struct compiler *c, const struct lex_origin *origin);

static bool compile_part(struct compiler *c, struct text mark, const char *name) {
    const struct template_rules *rules = c->parser.rules;
    struct fault why = {0};
    struct text text;
    struct part part = {name, c->part};
    struct lex_origin *origin = arena_new_of(compiler_lexer(c)->arena, struct lex_origin);
    for (const struct part *p = c->part; p; p = p->outer)
        if (strcmp(p->name, name) == 0)
            return compiler_fault(c, mark, FAULT_INVALID, "this part includes itself, directly or by another part");
    if (c->parts == PARTS_MAX) return compiler_fault(c, mark, FAULT_TOO_LARGE, "parts are nested deeper than 8");
    if (!rules->part(rules->part_arg, name, &origin->file, &text, &why))
        return compiler_fault(c, mark, why.kind, why.what);
    origin->source = text;
    origin->line = 1;
    struct lexer outer = *compiler_lexer(c);
    struct block *block = block_push(c, BLOCK_PART, mark);
    if (!block) return false;
    unsigned blocks = c->block_count;
    block_open_scope(c, block, false, 0);
    c->part = &part;
    c->parts++;
    if (!compile_source(c, origin)) return false;
    if (c->block_count != blocks)
        return compiler_fault(c, block_top(c)->mark, FAULT_SYNTAX, "this statement is not closed in its file");
    c->parts--;
    c->part = part.outer;
    block_close_scope(c);
    c->block_count--;
    c->trims = false;
    *compiler_lexer(c) = outer;
    return true;
}

static bool compile_include(struct compiler *c, struct text mark) {
    struct token name = compiler_lexer(c)->token;
    if (name.kind != TOKEN_STRING)
        return tag_refuse(c, FAULT_SYNTAX,
                          "a part's name has to be written out, in quotes: {% include \"part.json\" %}");
    if (!c->parser.rules->part)
        return compiler_fault(c, mark, FAULT_UNSUPPORTED,
                              "{% include %} works in files of the directory of templates only");
    const char *file = arena_strndup(compiler_lexer(c)->arena, name.text.at, name.text.len);
    if (!tag_next(c) || !tag_close(c)) return false;
    bool trims = c->trims;
    c->trims = false;
    if (!compile_part(c, mark, file)) return false;
    c->trims = trims;
    return true;
}

/* ---- raw, comments, words ---- */

static size_t find(struct compiler *c, size_t from, const char *what) {
    struct text source = compiler_lexer(c)->source;
    const char *hit = from < source.len ? memmem(source.at + from, source.len - from, what, strlen(what)) : NULL;
    return hit ? (size_t)(hit - source.at) : source.len;
}

static bool skip_comment(struct compiler *c, size_t mark, size_t inner) {
    struct lexer *lexer = compiler_lexer(c);
    size_t end = find(c, inner, "#}");
    if (end == lexer->source.len) return lex_fault(lexer, FAULT_SYNTAX, mark, "this comment is not closed by #}");
    c->trims = end > inner && lexer->source.at[end - 1] == '-';
    lexer->at = end + 2;
    return true;
}

/* At {% of what may be {% endraw %}: its end and whether it trims; false if it is something else. */
static bool at_endraw(struct compiler *c, size_t at, size_t *ret_end, bool *ret_trims) {
    struct text source = compiler_lexer(c)->source;
    size_t inner = at + 2, close = find(c, inner, "%}");
    if (close == source.len) return false;
    if (source.at[inner] == '-') inner++;
    *ret_trims = close > inner && source.at[close - 1] == '-';
    *ret_end = close + 2;
    return text_is(text_trim(compiler_span(c, inner, close - *ret_trims)), "endraw");
}

static bool compile_raw(struct compiler *c, struct text mark) {
    if (!tag_close(c)) return false;
    size_t start = compiler_lexer(c)->at, end;
    bool trims;
    for (size_t at = find(c, start, "{%"); at < compiler_lexer(c)->source.len; at = find(c, at + 2, "{%")) {
        if (!at_endraw(c, at, &end, &trims)) continue;
        if (!emit_text(c, start, at, compiler_lexer(c)->source.at[at + 2] == '-')) return false;
        c->trims = trims;
        compiler_lexer(c)->at = end;
        return true;
    }
    return compiler_fault(c, mark, FAULT_SYNTAX, "this {% raw %} has no {% endraw %}");
}

static bool unknown_tag(struct compiler *c) {
    static const char *const words[] = {"if",  "elif",   "else",    "endif", "for",   "endfor",
                                        "set", "endset", "include", "raw",   "endraw"};
    static const char *const jinjas[] = {"macro",   "endmacro", "block", "endblock", "extends",
                                         "import",  "from",     "call",  "filter",   "with",
                                         "endwith", "do",       "break", "continue", "autoescape"};
    struct text word = compiler_lexer(c)->token.text;
    char copy[32] = "";
    for (size_t i = 0; i < sizeof jinjas / sizeof *jinjas; i++)
        if (text_is(word, jinjas[i]))
            return lex_fault(compiler_lexer(c), FAULT_UNSUPPORTED, compiler_lexer(c)->token.start,
                             "{%% %s %%} is not supported", jinjas[i]);
    if (word.len < sizeof copy) memcpy(copy, word.at, word.len);
    const char *near = text_nearest(copy, words, sizeof words / sizeof *words);
    return lex_fault(compiler_lexer(c), FAULT_SYNTAX, compiler_lexer(c)->token.start, "there is no tag \"%.*s\"%s%s%s",
                     TEXT_ARG(word), near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static bool compile_tag(struct compiler *c) {
    static const struct {
        const char *word;
        bool (*compile)(struct compiler *c, struct text mark);
    } tags[] = {{"if", block_if},        {"elif", block_elif},     {"else", block_else},         {"endif", block_endif},
                {"for", block_for},      {"endfor", block_endfor}, {"include", compile_include}, {"set", block_set},
                {"endset", block_endset}};
    struct lexer *lexer = compiler_lexer(c);
    if (!tag_next(c)) return false;
    struct text mark = compiler_span(c, lexer->token.start, lexer->token.end);
    if (lexer->token.kind != TOKEN_NAME) return tag_refuse(c, FAULT_SYNTAX, "expected if, for, set or another tag");
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (tag_sees(c, tags[i].word)) return tag_next(c) && tags[i].compile(c, mark);
    if (tag_sees(c, "raw")) return tag_next(c) && compile_raw(c, mark);
    return unknown_tag(c);
}

static size_t find_mark(struct compiler *c, size_t from) {
    struct text source = compiler_lexer(c)->source;
    for (;; from++) {
        from = find(c, from, "{");
        if (from + 1 >= source.len) return source.len;
        if (strchr("{%#", source.at[from + 1]) && source.at[from + 1]) return from;
    }
}

static bool compile_mark(struct compiler *c, size_t mark, size_t inner) {
    struct lexer *lexer = compiler_lexer(c);
    char kind = lexer->source.at[mark + 1];
    lexer->at = inner;
    lexer->open = 0;
    lexer->closing = kind == '{' ? "}}" : "%}";
    if (kind == '#') return skip_comment(c, mark, inner);
    if (c->template->count > OPS_MAX) return lex_fault(lexer, FAULT_TOO_LARGE, mark, "the template is too large");
    return kind == '{' ? compile_hole(c, mark) : compile_tag(c);
}

static bool compile_source(struct compiler *c, const struct lex_origin *origin) {
    struct lexer *lexer = compiler_lexer(c);
    c->total += origin->source.len;
    *lexer = (struct lexer){.arena = lexer->arena, .origin = origin, .source = origin->source, .fault = lexer->fault};
    if (c->total > TEMPLATE_SOURCE_MAX)
        return lex_fault(lexer, FAULT_TOO_LARGE, 0, "the template and its parts have more than %zu bytes",
                         TEMPLATE_SOURCE_MAX);
    for (size_t start = 0; start < lexer->source.len; start = lexer->at) {
        size_t mark = find_mark(c, start);
        bool dash = mark + 2 < lexer->source.len && lexer->source.at[mark + 2] == '-';
        if (!emit_text(c, start, mark, dash)) return false;
        if (mark == lexer->source.len) break;
        if (!compile_mark(c, mark, mark + 2 + dash)) return false;
    }
    return true;
}

/* ---- the whole ---- */

static bool finish(struct compiler *c) {
    struct lexer *lexer = compiler_lexer(c);
    if (c->block_count) {
        static const char *const words[] = {"this {% if %} has no {% endif %}", "this {% for %} has no {% endfor %}",
                                            "", "this {% set %} has no {% endset %}"};
        return compiler_fault(c, block_top(c)->mark, FAULT_SYNTAX, words[block_top(c)->kind]);
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
    return good || lex_fault(compiler_lexer(c), why.kind, 0, "%s", why.what);
}

static bool check_source(struct text source, const struct template_rules *rules, struct fault *fault) {
    char where[256];
    snprintf(where, sizeof where, "%s:%d", rules->file ? rules->file : "template", rules->line);
    if (source.len > TEMPLATE_SOURCE_MAX)
        return fault_set(fault, FAULT_TOO_LARGE, where, "the template has more than %zu bytes", TEMPLATE_SOURCE_MAX);
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
    struct lexer *lexer = compiler_lexer(c);
    const struct expr *expr;
    *lexer = (struct lexer){.arena = lexer->arena, .origin = origin, .source = origin->source, .fault = lexer->fault};
    if (!tag_next(c) || !tag_expression(c, &expr)) return false;
    if (lexer->token.kind != TOKEN_CLOSE) return tag_refuse_rest(c, "an operator, or the end");
    emit_op(c, OP_HOLE)->expr = expr;
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
    c.blocks = mem_alloc(sizeof *c.blocks * TEMPLATE_BLOCKS_MAX);
    emit_init(&c);
    bool good = how(&c, origin);
    t->roots_used = c.parser.roots_used;
    emit_fini(&c);
    mem_free(c.blocks);
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
