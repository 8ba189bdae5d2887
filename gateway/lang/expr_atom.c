/* The atoms of template expressions: literals, lists and maps, names, and the steps behind them.
 *
 * Names are resolved here: a root that does not exist, or a static path that nobody declared, never reaches a run. A
 * name is a variable of the template, or `loop`, or one of the roots that the caller offers. */
#include <string.h>

#include "lang/expr_parse.h"

#define STEPS_MAX 64

/* ---- literals ---- */

static bool parse_number(struct expr_parser *p, const struct expr **ret) {
    static const struct json_limits limits = {.max_bytes = 64, .max_depth = 1, .max_items = 1};
    struct expr *expr = expr_make(p, EXPR_LITERAL, p->lexer.token.start);
    const struct json *number = json_parse(p->lexer.arena, p->lexer.token.text, &limits, NULL);
    if (!number) return expr_here(p, FAULT_SYNTAX, "this is no number: it has a leading zero or is too large");
    expr->literal = value_of(number);
    if (!expr_next(p)) return false;
    expr_finish(p, expr, ret);
    return true;
}

static bool word_literal(struct text word, struct value *ret) {
    static const char *const words[] = {"true", "True", "false", "False", "none", "None", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!text_is(word, words[i])) continue;
        *ret = i < 4 ? value_bool(i < 2) : value_null();
        return true;
    }
    return false;
}

static bool parse_literal(struct expr_parser *p, struct value literal, const struct expr **ret) {
    struct expr *expr = expr_make(p, EXPR_LITERAL, p->lexer.token.start);
    expr->literal = literal;
    if (!expr_next(p)) return false;
    expr_finish(p, expr, ret);
    return true;
}

static bool parse_members(struct expr_parser *p, bool map, struct expr_items *items) {
    const char *close = map ? "}" : "]";
    const struct expr *item;
    if (!expr_next(p)) return false;
    while (!expr_sees(p, close)) {
        if (items->count >= EXPR_ITEMS_MAX) return expr_here(p, FAULT_TOO_LARGE, "more than 1000 elements");
        if (!expr_parse_condition(p, &item)) return false;
        expr_items_add(p, items, item);
        if (map && !expr_want(p, ":", "expected : behind the name")) return false;
        if (map && !expr_parse_condition(p, &item)) return false;
        if (map) expr_items_add(p, items, item);
        if (!expr_sees(p, ",")) break;
        if (!expr_next(p)) return false;
    }
    return expr_want(p, close, map ? "expected , or } behind the member" : "expected , or ] behind the element");
}

static bool parse_container(struct expr_parser *p, const struct expr **ret) {
    bool map = expr_sees(p, "{");
    struct expr *expr = expr_make(p, map ? EXPR_MAP : EXPR_LIST, p->lexer.token.start);
    struct expr_items items = {0};
    if (!parse_members(p, map, &items)) return false;
    expr->items = items.at;
    expr->count = items.count;
    expr_finish(p, expr, ret);
    return true;
}

/* ---- names ---- */

static bool is_word(struct text word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (text_is(word, words[i])) return true;
    return false;
}

static bool is_reserved(struct text word) {
    static const char *const words[] = {"if", "else", "elif", "and", "or", "not", "in", "is", "for"};
    return is_word(word, words, sizeof words / sizeof *words);
}

bool expr_name_check(struct expr_parser *p) {
    struct text name = p->lexer.token.text;
    struct value ignored;
    if (p->lexer.token.kind != TOKEN_NAME || is_reserved(name) || word_literal(name, &ignored))
        return expr_here(p, FAULT_SYNTAX, "expected a name");
    if (text_is(name, "loop")) return expr_here(p, FAULT_INVALID, "loop is the name of the loop; take another name");
    for (size_t i = 0; i < p->rules->names->count; i++)
        if (text_is(name, p->rules->names->roots[i]))
            return lex_fault(&p->lexer, FAULT_INVALID, p->lexer.token.start,
                             "%.*s is the name of something else here; take another name", TEXT_ARG(name));
    return true;
}

const struct expr_variable *expr_variable_find(const struct expr_scope *scope, struct text name) {
    for (; scope; scope = scope->outer)
        for (const struct expr_variable *v = scope->variables; v; v = v->next)
            if (text_same(v->name, name)) return v;
    return NULL;
}

static bool refuse_call(struct expr_parser *p, const struct expr_step *last);

static bool unknown_name(struct expr_parser *p, struct text name) {
    const struct template_names *names = p->rules->names;
    const char *all[EXPR_VARIABLES_MAX + 64], *near = NULL;
    size_t count = 0;
    char word[64] = "";
    for (size_t i = 0; i < names->count; i++) all[count++] = names->roots[i];
    for (const struct expr_scope *s = p->scope; s; s = s->outer)
        for (const struct expr_variable *v = s->variables; v && count < sizeof all / sizeof *all; v = v->next)
            all[count++] = arena_strndup(p->lexer.arena, v->name.at, v->name.len);
    if (name.len < sizeof word) {
        memcpy(word, name.at, name.len);
        near = text_nearest(word, all, count);
    }
    if (!near && p->lexer.at < p->lexer.source.len && p->lexer.source.at[p->lexer.at] == '(')
        return refuse_call(p, NULL);
    return lex_fault(&p->lexer, FAULT_UNDEFINED, p->lexer.token.start, "nothing is called \"%.*s\" here%s%s%s",
                     TEXT_ARG(name), near ? "; did you mean \"" : "; a text stands in quotes", near ? near : "",
                     near ? "\"?" : "");
}

static bool check_path(struct expr_parser *p, const struct expr *expr) {
    const struct template_names *names = p->rules->names;
    struct text steps[STEPS_MAX];
    size_t count = 0;
    struct fault why = {0};
    if (!names->check) return true;
    for (const struct expr_step *s = expr->steps; s && s->kind == STEP_NAME; s = s->next) steps[count++] = s->name;
    if (names->check(names->arg, names->roots[expr->root], steps, count, &why)) return true;
    return lex_fault_at(expr->origin, expr->source, p->lexer.fault, why.kind, why.what);
}

/* ---- steps ---- */

static bool parse_slice_end(struct expr_parser *p, const struct expr **ret) {
    return expr_next(p) && (expr_sees(p, ":") || expr_sees(p, "]") || expr_parse_condition(p, ret));
}

static bool parse_slice(struct expr_parser *p, struct expr_step *step) {
    step->kind = STEP_SLICE;
    if (!parse_slice_end(p, &step->to)) return false;
    return !expr_sees(p, ":") || parse_slice_end(p, &step->by);
}

static void settle_key(struct expr_step *step) {
    const struct expr *key = step->computed;
    step->kind = STEP_COMPUTED;
    bool minus = key->kind == EXPR_SIGN && key->operator== EXPR_MINUS;
    if (minus) key = key->a;
    if (key->kind != EXPR_LITERAL) return;
    if (key->literal.kind == JSON_INT) {
        step->kind = STEP_INDEX;
        step->index = minus ? -key->literal.integer : key->literal.integer;
    } else if (key->literal.kind == JSON_STRING && !minus) {
        step->kind = STEP_NAME;
        step->name = key->literal.text;
    }
}

static bool parse_key(struct expr_parser *p, struct expr_step *step) {
    if (!expr_next(p)) return false;
    if (!expr_sees(p, ":") && !expr_parse_condition(p, &step->computed)) return false;
    if (expr_sees(p, ":")) {
        if (!parse_slice(p, step)) return false;
    } else {
        settle_key(step);
    }
    return expr_want(p, "]", "expected ] behind the key");
}

static bool parse_step(struct expr_parser *p, struct expr_step *step) {
    if (expr_sees(p, "[")) return parse_key(p, step);
    if (!expr_next(p)) return false;
    struct text word = p->lexer.token.text;
    if (p->lexer.token.kind == TOKEN_NUMBER && text_to_int(word, &step->index)) step->kind = STEP_INDEX;
    else if (p->lexer.token.kind == TOKEN_NAME) step->kind = STEP_NAME;
    else return expr_here(p, FAULT_SYNTAX, "expected a name behind the dot; for other names write [\"…\"]");
    step->name = word;
    return expr_next(p);
}

static bool refuse_call(struct expr_parser *p, const struct expr_step *last) {
    static const char *const filters[] = {"items", "upper", "lower", "replace", "split", "join", "trim", "format"};
    if (last && last->kind == STEP_NAME && is_word(last->name, filters, 7))
        return lex_fault(&p->lexer, FAULT_UNSUPPORTED, p->lexer.token.start,
                         "calls are not supported; write it as a filter: … | %.*s", TEXT_ARG(last->name));
    return expr_here(p, FAULT_UNSUPPORTED, "calls are not supported; filters are written a | filter");
}

static bool read_steps(struct expr_parser *p, struct expr *expr) {
    const struct expr_step **end = &expr->steps;
    struct expr_step *step = NULL;
    for (int count = 0; expr_sees(p, ".") || expr_sees(p, "["); count++) {
        if (count == STEPS_MAX) return expr_here(p, FAULT_TOO_LARGE, "a path of more than 64 steps");
        step = arena_new_of(p->lexer.arena, struct expr_step);
        if (!parse_step(p, step)) return false;
        if (step->kind == STEP_NAME)
            step->name.at = arena_strndup(p->lexer.arena, step->name.at, step->name.len); /* json_seek wants a NUL */
        *end = step;
        end = &step->next;
    }
    return expr_sees(p, "(") ? refuse_call(p, step) : true;
}

bool expr_parse_steps(struct expr_parser *p, const struct expr **ret) {
    if (expr_sees(p, "(")) return refuse_call(p, NULL);
    if (!expr_sees(p, ".") && !expr_sees(p, "[")) return true;
    struct expr *expr = expr_make(p, EXPR_STEP, expr_start(p, *ret));
    expr->a = *ret;
    if (!read_steps(p, expr)) return false;
    expr_finish(p, expr, ret);
    return true;
}

/* ---- paths ---- */

static bool parse_root(struct expr_parser *p, struct expr *expr) {
    const struct template_names *names = p->rules->names;
    struct text name = p->lexer.token.text;
    size_t i = 0;
    while (i < names->count && !text_is(name, names->roots[i])) i++;
    if (i == names->count) return unknown_name(p, name);
    if (p->rules->no_secrets && text_is(name, "secret"))
        return expr_here(p, FAULT_INVALID, "a secret may not be used here: this text is shown, stored or logged");
    p->roots_used |= UINT64_C(1) << i;
    expr->root = i;
    if (!expr_next(p) || !read_steps(p, expr)) return false;
    const struct expr_step *first = expr->steps;
    if (first && first->kind == STEP_NAME && !first->next) expr->only = &first->name;
    return true;
}

static bool parse_loop(struct expr_parser *p, size_t depth, const struct expr **ret) {
    static const char *const members[] = {"index", "index0", "revindex", "revindex0", "first", "last", "length"};
    struct expr *expr = expr_make(p, EXPR_LOOP, p->lexer.token.start);
    int member = 0;
    expr->root = depth;
    if (!expr_next(p) || !expr_want(p, ".", "of a loop there are loop.index, index0, first, last, length, revindex"))
        return false;
    while (member < 7 && !expr_sees(p, members[member])) member++;
    if (member == 7)
        return expr_here(p, FAULT_UNDEFINED, "of a loop there are loop.index, index0, first, last, length, revindex");
    expr->operator= member;
    if (!expr_next(p)) return false;
    expr_finish(p, expr, ret);
    return true;
}

static bool parse_path(struct expr_parser *p, const struct expr **ret) {
    const struct expr_variable *variable = expr_variable_find(p->scope, p->lexer.token.text);
    const struct expr_scope *scope = p->scope;
    while (scope && !scope->is_loop) scope = scope->outer;
    if (scope && expr_sees(p, "loop")) return parse_loop(p, scope->depth, ret);
    struct expr *expr = expr_make(p, variable ? EXPR_LOCAL : EXPR_PATH, p->lexer.token.start);
    if (variable) {
        expr->root = variable->slot;
        if (!expr_next(p) || !read_steps(p, expr)) return false;
    } else if (!parse_root(p, expr)) {
        return false;
    }
    expr_finish(p, expr, ret);
    return variable || check_path(p, expr);
}

/* Behind the ( of what has a comma in it, or nothing: a tuple, which is a list here. */
static bool parse_tuple(struct expr_parser *p, size_t start, const struct expr **ret) {
    struct expr *expr = expr_make(p, EXPR_LIST, start);
    struct expr_items items = {0};
    if (*ret) expr_items_add(p, &items, *ret);
    while (expr_sees(p, ",")) {
        if (!expr_next(p)) return false;
        if (expr_sees(p, ")")) break;
        if (items.count == EXPR_ITEMS_MAX) return expr_here(p, FAULT_TOO_LARGE, "a list of more than 1000 elements");
        if (!expr_parse_condition(p, ret)) return false;
        expr_items_add(p, &items, *ret);
    }
    if (!expr_want(p, ")", "expected , or )")) return false;
    expr->items = items.at;
    expr->count = items.count;
    expr_finish(p, expr, ret);
    return true;
}

static bool parse_brackets(struct expr_parser *p, const struct expr **ret) {
    size_t start = p->lexer.token.start;
    *ret = NULL;
    if (!expr_next(p)) return false;
    if (!expr_sees(p, ")") && !expr_parse_condition(p, ret)) return false;
    if (!*ret || expr_sees(p, ",")) return parse_tuple(p, start, ret);
    return expr_want(p, ")", "expected )");
}

bool expr_parse_atom(struct expr_parser *p, const struct expr **ret) {
    struct token token = p->lexer.token;
    struct value literal;
    if (token.kind == TOKEN_STRING) return parse_literal(p, value_text(token.text), ret);
    if (token.kind == TOKEN_NUMBER) return parse_number(p, ret);
    if (expr_sees(p, "[") || expr_sees(p, "{")) return parse_container(p, ret);
    if (expr_sees(p, "(")) return parse_brackets(p, ret);
    if (expr_sees(p, "=")) return expr_here(p, FAULT_SYNTAX, "to compare, write ==");
    if (token.kind != TOKEN_NAME || is_reserved(token.text))
        return expr_here(p, FAULT_SYNTAX, "expected a name, a text in quotes or a number");
    return word_literal(token.text, &literal) ? parse_literal(p, literal, ret) : parse_path(p, ret);
}
