/* The parser of template expressions: Jinja's grammar and precedence, from loose to tight:
 *
 *     a if c else b  <  or  <  and  <  not  <  == != < <= > >= in  <  ~  <  is  <  | filter  <  .name [key]
 *
 * Names are resolved here: a root that does not exist, or a static path that nobody declared, never reaches a run.
 * What Jinja has and we do not have yet (arithmetic, calls, lists) is refused by name. */
#include "lang/expr.h"

#include <stdlib.h>
#include <string.h>

#include "lang/filter.h"

#define DEPTH_MAX 64
#define STEPS_MAX 64
#define HEIGHT_MAX 200 /* of the tree, chains included: what bounds the stack of an evaluation */

static bool parse_if(struct expr_parser *p, const struct expr **ret);
static bool parse_tight(struct expr_parser *p, const struct expr **ret);

static bool next(struct expr_parser *p) {
    return lex_next(&p->lexer);
}

static bool sees(const struct expr_parser *p, const char *word) {
    return lex_is(&p->lexer, word);
}

static bool here(struct expr_parser *p, enum fault_kind kind, const char *what) {
    return lex_fault(&p->lexer, kind, p->lexer.token.start, "%s", what);
}

static bool want(struct expr_parser *p, const char *sign, const char *what) {
    return sees(p, sign) ? next(p) : here(p, FAULT_SYNTAX, what);
}

static struct expr *make(struct expr_parser *p, enum expr_kind kind, size_t start) {
    struct expr *expr = arena_new_of(p->lexer.arena, struct expr);
    expr->kind = kind;
    expr->line = lex_line(&p->lexer, start);
    expr->source = (struct text){p->lexer.source.at + start, 0};
    return expr;
}

static unsigned taller(unsigned height, const struct expr *child) {
    return child && child->height >= height ? child->height + 1 : height;
}

/* The expression ends where the token before the one at hand ended. */
static void finish(struct expr_parser *p, struct expr *expr, const struct expr **ret) {
    expr->height = taller(taller(taller(1, expr->a), expr->b), expr->c);
    for (const struct expr_step *step = expr->steps; step; step = step->next)
        expr->height = taller(expr->height, step->computed);
    expr->source.len = (size_t)(p->lexer.source.at + p->lexer.last_end - expr->source.at);
    *ret = expr;
}

static size_t start_of(const struct expr_parser *p, const struct expr *expr) {
    return (size_t)(expr->source.at - p->lexer.source.at);
}

/* ---- literals ---- */

static const struct json *number_of(struct expr_parser *p, struct text digits, bool negative) {
    static const struct json_limits limits = {.max_bytes = 64, .max_depth = 1, .max_items = 1};
    char text[64] = "-";
    if (digits.len > 60) return NULL;
    memcpy(text + negative, digits.at, digits.len);
    return json_parse(p->lexer.arena, (struct text){text, digits.len + negative}, &limits, NULL);
}

static bool parse_number(struct expr_parser *p, size_t start, bool negative, const struct expr **ret) {
    struct expr *expr = make(p, EXPR_LITERAL, start);
    expr->literal = number_of(p, p->lexer.token.text, negative);
    if (!expr->literal) return here(p, FAULT_SYNTAX, "this is no number: it has a leading zero or is too long");
    if (!next(p)) return false;
    finish(p, expr, ret);
    return true;
}

static const struct json *word_literal(struct arena *arena, struct text word) {
    static const char *const words[] = {"true", "True", "false", "False", "none", "None", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (text_is(word, words[i])) return i < 4 ? json_new_bool(arena, i < 2) : json_new_null(arena);
    return NULL;
}

static bool parse_literal(struct expr_parser *p, const struct json *literal, const struct expr **ret) {
    struct expr *expr = make(p, EXPR_LITERAL, p->lexer.token.start);
    expr->literal = literal;
    if (!next(p)) return false;
    finish(p, expr, ret);
    return true;
}

/* ---- paths ---- */

static bool parse_key(struct expr_parser *p, struct expr_step *step) {
    bool negative = sees(p, "-");
    if (negative && !next(p)) return false;
    struct text text = p->lexer.token.text;
    if (p->lexer.token.kind == TOKEN_NUMBER) {
        step->kind = STEP_INDEX;
        if (!text_to_int(text, &step->index)) return here(p, FAULT_SYNTAX, "an index has to be a whole number");
        if (negative) step->index = -step->index;
        return next(p);
    }
    if (negative) return here(p, FAULT_SYNTAX, "expected a number behind -");
    if (p->lexer.token.kind == TOKEN_STRING) {
        step->kind = STEP_NAME;
        step->name = text;
        return next(p);
    }
    step->kind = STEP_COMPUTED;
    return parse_if(p, &step->computed);
}

static bool parse_step(struct expr_parser *p, struct expr_step *step) {
    if (sees(p, "[")) return next(p) && parse_key(p, step) && want(p, "]", "expected ] behind the key");
    if (!next(p)) return false;
    if (p->lexer.token.kind != TOKEN_NAME)
        return here(p, FAULT_SYNTAX, "expected a name behind the dot; for other names write [\"…\"]");
    step->kind = STEP_NAME;
    step->name = p->lexer.token.text;
    return next(p);
}

static bool parse_steps(struct expr_parser *p, struct expr *expr) {
    const struct expr_step **end = &expr->steps;
    for (int count = 0; sees(p, ".") || sees(p, "["); count++) {
        if (count == STEPS_MAX) return here(p, FAULT_TOO_LARGE, "a path of more than 64 steps");
        struct expr_step *step = arena_new_of(p->lexer.arena, struct expr_step);
        if (!parse_step(p, step)) return false;
        *end = step;
        end = &step->next;
    }
    if (sees(p, "(")) return here(p, FAULT_UNSUPPORTED, "calls are not supported; filters are written a | filter");
    return true;
}

static bool check_path(struct expr_parser *p, const struct expr *expr) {
    const struct template_names *names = p->rules->names;
    struct text steps[STEPS_MAX];
    size_t count = 0;
    struct fault why = {0};
    if (!names->check) return true;
    for (const struct expr_step *s = expr->steps; s && s->kind == STEP_NAME; s = s->next) steps[count++] = s->name;
    if (names->check(names->arg, names->roots[expr->root], steps, count, &why)) return true;
    return lex_fault(&p->lexer, why.kind, start_of(p, expr), "%s", why.what);
}

static bool unknown_root(struct expr_parser *p, struct text name) {
    char word[64] = "";
    const char *near = NULL;
    if (name.len < sizeof word) {
        memcpy(word, name.at, name.len);
        near = text_nearest(word, p->rules->names->roots, p->rules->names->count);
    }
    if (near)
        return lex_fault(&p->lexer, FAULT_UNDEFINED, p->lexer.token.start,
                         "nothing is called \"%.*s\" here; did you mean \"%s\"?", TEXT_ARG(name), near);
    return lex_fault(&p->lexer, FAULT_UNDEFINED, p->lexer.token.start, "nothing is called \"%.*s\" here",
                     TEXT_ARG(name));
}

static bool resolve_root(struct expr_parser *p, size_t *ret) {
    const struct template_names *names = p->rules->names;
    struct text name = p->lexer.token.text;
    size_t i = 0;
    while (i < names->count && !text_is(name, names->roots[i])) i++;
    if (i == names->count) return unknown_root(p, name);
    if (p->rules->no_secrets && text_is(name, "secret"))
        return here(p, FAULT_INVALID, "a secret may not be used here: this text is shown, stored or logged");
    p->roots_used |= UINT64_C(1) << i;
    *ret = i;
    return true;
}

static bool parse_path(struct expr_parser *p, const struct expr **ret) {
    struct expr *expr = make(p, EXPR_PATH, p->lexer.token.start);
    if (!resolve_root(p, &expr->root) || !next(p) || !parse_steps(p, expr)) return false;
    finish(p, expr, ret);
    return check_path(p, expr);
}

static bool parse_bracket(struct expr_parser *p, const struct expr **ret) {
    size_t start = p->lexer.token.start;
    if (!next(p) || !parse_if(p, ret)) return false;
    if (!want(p, ")", "expected )")) return false;
    if (!sees(p, ".") && !sees(p, "[")) return true;
    struct expr *expr = make(p, EXPR_STEP, start);
    expr->a = *ret;
    if (!parse_steps(p, expr)) return false;
    finish(p, expr, ret);
    return true;
}

static bool is_reserved(struct text word) {
    static const char *const words[] = {"if", "else", "elif", "and", "or", "not", "in", "is", "for"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (text_is(word, words[i])) return true;
    return false;
}

static bool parse_primary(struct expr_parser *p, const struct expr **ret) {
    struct token token = p->lexer.token;
    if (token.kind == TOKEN_STRING) return parse_literal(p, json_new_text(p->lexer.arena, token.text), ret);
    if (token.kind == TOKEN_NUMBER) return parse_number(p, token.start, false, ret);
    if (sees(p, "(")) return parse_bracket(p, ret);
    if (sees(p, "[") || sees(p, "{")) return here(p, FAULT_UNSUPPORTED, "lists and objects are not supported yet");
    if (sees(p, "-")) {
        if (!next(p)) return false;
        if (p->lexer.token.kind != TOKEN_NUMBER) return here(p, FAULT_SYNTAX, "expected a number behind -");
        return parse_number(p, token.start, true, ret);
    }
    if (token.kind != TOKEN_NAME || is_reserved(token.text))
        return here(p, FAULT_SYNTAX, "expected a name, a text in quotes or a number");
    const struct json *literal = word_literal(p->lexer.arena, token.text);
    return literal ? parse_literal(p, literal, ret) : parse_path(p, ret);
}

/* ---- filters and tests ---- */

static bool unknown_filter(struct expr_parser *p, struct text name) {
    const char *near = filter_nearest(name);
    if (near)
        return lex_fault(&p->lexer, FAULT_UNDEFINED, p->lexer.token.start,
                         "there is no filter \"%.*s\"; did you mean \"%s\"?", TEXT_ARG(name), near);
    return lex_fault(&p->lexer, FAULT_UNDEFINED, p->lexer.token.start, "there is no filter \"%.*s\"", TEXT_ARG(name));
}

static bool parse_arguments(struct expr_parser *p, struct expr *expr, unsigned *ret_count) {
    const struct expr **places[FILTER_ARGUMENTS] = {&expr->b, &expr->c};
    *ret_count = 0;
    if (!sees(p, "(")) return true;
    if (!next(p)) return false;
    while (!sees(p, ")")) {
        if (*ret_count == FILTER_ARGUMENTS) return here(p, FAULT_SYNTAX, "too many arguments");
        if (!parse_if(p, places[(*ret_count)++])) return false;
        if (!sees(p, ",")) break;
        if (!next(p)) return false;
    }
    return want(p, ")", "expected ) or , behind the argument");
}

static bool parse_filter(struct expr_parser *p, const struct expr **ret) {
    if (!next(p)) return false;
    if (p->lexer.token.kind != TOKEN_NAME) return here(p, FAULT_SYNTAX, "expected a filter's name behind |");
    struct text name = p->lexer.token.text;
    size_t at = p->lexer.token.start;
    bool is_default = text_is(name, "default") || text_is(name, "d");
    struct expr *expr = make(p, is_default ? EXPR_DEFAULT : EXPR_FILTER, start_of(p, *ret));
    unsigned count, least = 1, most = 1;
    expr->a = *ret;
    if (!is_default) {
        if (!(expr->filter = filter_find(name))) return unknown_filter(p, name);
        least = expr->filter->least;
        most = expr->filter->most;
    }
    if (!next(p) || !parse_arguments(p, expr, &count)) return false;
    if (count < least || count > most)
        return lex_fault(&p->lexer, FAULT_SYNTAX, at, "%.*s takes %u%s argument%s, not %u", TEXT_ARG(name), most,
                         least < most ? " or fewer" : "", most == 1 ? "" : "s", count);
    finish(p, expr, ret);
    return true;
}

static bool parse_test(struct expr_parser *p, const struct expr **ret) {
    bool negated = false;
    size_t start = start_of(p, *ret);
    if (!next(p)) return false;
    if (sees(p, "not")) {
        negated = true;
        if (!next(p)) return false;
    }
    bool none = sees(p, "none") || sees(p, "None"), undefined = sees(p, "undefined");
    if (!none && !undefined && !sees(p, "defined"))
        return here(p, FAULT_UNSUPPORTED, "this test is not supported yet; there are defined, undefined and none");
    struct expr *expr = make(p, none ? EXPR_IS_NONE : EXPR_IS_DEFINED, start);
    expr->a = *ret;
    if (!next(p)) return false;
    finish(p, expr, ret);
    if (negated == undefined) return true;
    struct expr *not = make(p, EXPR_NOT, start);
    not ->a = *ret;
    finish(p, not, ret);
    return true;
}

static bool parse_tight(struct expr_parser *p, const struct expr **ret) {
    if (!parse_primary(p, ret)) return false;
    for (int count = 0; sees(p, "|") || sees(p, "is"); count++) {
        if (count == DEPTH_MAX) return here(p, FAULT_TOO_LARGE, "more than 64 filters on one value");
        if (!(sees(p, "|") ? parse_filter(p, ret) : parse_test(p, ret))) return false;
    }
    return true;
}

/* ---- operators ---- */

static bool refuse_arithmetic(struct expr_parser *p) {
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (sees(p, signs[i])) return here(p, FAULT_UNSUPPORTED, "arithmetic is not supported yet (~ joins texts)");
    return true;
}

static bool parse_two(struct expr_parser *p, enum expr_kind kind,
                      bool (*right)(struct expr_parser *, const struct expr **), const struct expr **ret) {
    struct expr *expr = make(p, kind, start_of(p, *ret));
    expr->a = *ret;
    if (!next(p) || !right(p, &expr->b)) return false;
    finish(p, expr, ret);
    return true;
}

static bool parse_join(struct expr_parser *p, const struct expr **ret) {
    if (!parse_tight(p, ret)) return false;
    for (int count = 0; sees(p, "~"); count++) {
        if (count == DEPTH_MAX) return here(p, FAULT_TOO_LARGE, "more than 64 texts joined");
        if (!parse_two(p, EXPR_JOIN, parse_tight, ret)) return false;
    }
    return refuse_arithmetic(p);
}

static bool at_comparison(struct expr_parser *p, enum expr_comparison *ret) {
    static const char *const signs[] = {
        [EXPR_EQ] = "==", [EXPR_NE] = "!=", [EXPR_LT] = "<", [EXPR_LE] = "<=", [EXPR_GT] = ">", [EXPR_GE] = ">="};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (!sees(p, signs[i])) continue;
        *ret = (enum expr_comparison)i;
        return true;
    }
    return false;
}

static bool parse_not_in(struct expr_parser *p, const struct expr **ret) {
    struct expr *not = make(p, EXPR_NOT, start_of(p, *ret));
    if (!next(p)) return false;
    if (!sees(p, "in")) return here(p, FAULT_SYNTAX, "expected in behind not");
    if (!parse_two(p, EXPR_IN, parse_join, ret)) return false;
    not ->a = *ret;
    finish(p, not, ret);
    return true;
}

static bool parse_compare(struct expr_parser *p, const struct expr **ret) {
    enum expr_comparison comparison;
    if (!parse_join(p, ret)) return false;
    if (sees(p, "in")) return parse_two(p, EXPR_IN, parse_join, ret);
    if (sees(p, "not")) return parse_not_in(p, ret);
    if (!at_comparison(p, &comparison)) return true;
    struct expr *expr = make(p, EXPR_COMPARE, start_of(p, *ret));
    expr->a = *ret;
    expr->comparison = comparison;
    if (!next(p) || !parse_join(p, &expr->b)) return false;
    if (at_comparison(p, &comparison))
        return here(p, FAULT_SYNTAX, "comparisons cannot be chained; join them with and");
    finish(p, expr, ret);
    return true;
}

static bool parse_not(struct expr_parser *p, const struct expr **ret) {
    if (!sees(p, "not")) return parse_compare(p, ret);
    struct expr *expr = make(p, EXPR_NOT, p->lexer.token.start);
    if (++p->depth > DEPTH_MAX) return here(p, FAULT_TOO_LARGE, "the expression is nested deeper than 64");
    if (!next(p) || !parse_not(p, &expr->a)) return false;
    p->depth--;
    finish(p, expr, ret);
    return true;
}

static bool parse_and(struct expr_parser *p, const struct expr **ret) {
    if (!parse_not(p, ret)) return false;
    for (int count = 0; sees(p, "and"); count++) {
        if (count == DEPTH_MAX) return here(p, FAULT_TOO_LARGE, "more than 64 conditions");
        if (!parse_two(p, EXPR_AND, parse_not, ret)) return false;
    }
    return true;
}

static bool parse_or(struct expr_parser *p, const struct expr **ret) {
    if (!parse_and(p, ret)) return false;
    for (int count = 0; sees(p, "or"); count++) {
        if (count == DEPTH_MAX) return here(p, FAULT_TOO_LARGE, "more than 64 conditions");
        if (!parse_two(p, EXPR_OR, parse_and, ret)) return false;
    }
    return true;
}

static bool parse_else(struct expr_parser *p, struct expr *expr) {
    if (!next(p) || !parse_or(p, &expr->a)) return false;
    if (!sees(p, "else")) return true;
    return next(p) && parse_if(p, &expr->c);
}

static bool parse_if(struct expr_parser *p, const struct expr **ret) {
    if (++p->depth > DEPTH_MAX) return here(p, FAULT_TOO_LARGE, "the expression is nested deeper than 64");
    if (!parse_or(p, ret)) return false;
    if (sees(p, "if")) {
        struct expr *expr = make(p, EXPR_IF, start_of(p, *ret));
        expr->b = *ret;
        if (!parse_else(p, expr)) return false;
        finish(p, expr, ret);
    }
    p->depth--;
    return true;
}

bool expr_parse(struct expr_parser *parser, const struct expr **ret) {
    if (!parse_if(parser, ret)) return false;
    if ((*ret)->height <= HEIGHT_MAX) return true;
    return lex_fault(&parser->lexer, FAULT_TOO_LARGE, start_of(parser, *ret), "the expression is too large");
}
