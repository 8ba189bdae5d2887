/* The parser of filters and tests: a | name(arguments), a is name(arguments).
 *
 * Arguments are given by place or by name, as in Jinja; which there are says the row of the filter. What a filter
 * compiles (a regular expression, a JSONPath) has to be written out in the template, so that it is compiled and checked
 * once, at load, and so that no parameter becomes a program. */
#include <string.h>

#include "lang/expr_parse.h"
#include "lang/filter.h"
#include "lang/jsonpath.h"
#include "lang/pattern.h"

struct arguments {
    const struct expr *at[FILTER_ARGUMENTS];
    size_t places; /* of at[] that are used, from the first */
};

/* Filters that people know from Ansible, and how it is said here. */
static const char *ours(struct text name) {
    static const struct {
        const char *name, *write;
    } known[] = {
        {"json_query", "jsonpath(\"$.…\")"},
        {"ternary", "a if condition else b"},
        {"to_nice_json", "tojson(2)"},
        {"hash", "sha256"},
        {"mandatory", "nothing: what is undefined is refused"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (text_is(name, known[i].name)) return known[i].write;
    return NULL;
}

static bool unknown(struct expr_parser *p, struct text at, const char *what, struct text name, const char *near) {
    char sentence[256];
    struct buf out = {.at = sentence, .cap = sizeof sentence, .max = sizeof sentence - 1};
    buf_addf(&out, "there is no %s \"%.*s\"", what, (int)(name.len < 64 ? name.len : 64), name.at);
    if (ours(name)) buf_addf(&out, "; write %s", ours(name));
    else if (near) buf_addf(&out, "; did you mean \"%s\"?", near);
    return lex_fault_at(p->lexer.origin, at, p->lexer.fault, FAULT_UNDEFINED, buf_cstr(&out));
}

static struct text span_of(const struct expr_parser *p, struct token token) {
    return (struct text){p->lexer.source.at + token.start, token.end - token.start};
}

/* The token at hand is a name with a = behind it. */
static bool at_keyword(const struct expr_parser *p) {
    struct text source = p->lexer.source;
    size_t at = p->lexer.token.end;
    if (p->lexer.token.kind != TOKEN_NAME) return false;
    while (at < source.len && lex_is_blank(source.at[at])) at++;
    return at < source.len && source.at[at] == '=' && !(at + 1 < source.len && source.at[at + 1] == '=');
}

static bool parse_keyword(struct expr_parser *p, const char *name, const char *names, struct arguments *arguments) {
    size_t index = filter_argument_index(names, p->lexer.token.text);
    if (index == SIZE_MAX)
        return lex_fault(&p->lexer, FAULT_UNDEFINED, p->lexer.token.start, "%s has no argument \"%.*s\"; it takes %s",
                         name, TEXT_ARG(p->lexer.token.text), names[0] ? names : "none");
    if (arguments->at[index]) return expr_here(p, FAULT_SYNTAX, "this argument is given twice");
    if (!expr_next(p) || !expr_next(p)) return false;
    return expr_parse_condition(p, &arguments->at[index]);
}

static bool parse_arguments(struct expr_parser *p, const char *name, const char *names, struct arguments *arguments) {
    size_t least, most = filter_argument_count(names, &least);
    bool keywords = false;
    if (!expr_next(p)) return false;
    while (!expr_sees(p, ")")) {
        bool keyword = at_keyword(p);
        if (keywords && !keyword)
            return expr_here(p, FAULT_SYNTAX, "arguments without a name come before those with one");
        keywords |= keyword;
        if (keyword && !parse_keyword(p, name, names, arguments)) return false;
        if (!keyword && arguments->places == most)
            return lex_fault(&p->lexer, FAULT_SYNTAX, p->lexer.token.start, "%s takes %s%zu argument%s", name,
                             least < most ? "at most " : "", most, most == 1 ? "" : "s");
        if (!keyword && !expr_parse_condition(p, &arguments->at[arguments->places++])) return false;
        if (!expr_sees(p, ",")) break;
        if (!expr_next(p)) return false;
    }
    return expr_want(p, ")", "expected ) or , behind the argument");
}

static bool enough(struct expr_parser *p, struct text at, const char *name, const char *names,
                   const struct arguments *arguments) {
    size_t least, most = filter_argument_count(names, &least), given = 0;
    char sentence[128];
    while (given < most && arguments->at[given]) given++;
    if (given >= least) return true;
    struct buf out = {.at = sentence, .cap = sizeof sentence, .max = sizeof sentence - 1};
    buf_addf(&out, "%s takes %zu argument%s, not %zu", name, least, least == 1 ? "" : "s", given);
    return lex_fault_at(p->lexer.origin, at, p->lexer.fault, FAULT_SYNTAX, buf_cstr(&out));
}

static void take(struct expr_parser *p, struct expr *expr, const struct arguments *arguments) {
    const struct expr **items = arena_array_of(p->lexer.arena, const struct expr *, FILTER_ARGUMENTS);
    memcpy(items, arguments->at, sizeof arguments->at);
    expr->items = items;
    expr->count = FILTER_ARGUMENTS;
}

/* ---- arguments that are compiled ---- */

static bool written_out(struct expr_parser *p, const struct expr *argument, const char *what) {
    if (argument->kind == EXPR_LITERAL && argument->literal.kind == JSON_STRING) return true;
    char sentence[128];
    struct buf out = {.at = sentence, .cap = sizeof sentence, .max = sizeof sentence - 1};
    buf_addf(&out, "%s has to be written out here, in quotes", what);
    return lex_fault_at(argument->origin, argument->source, p->lexer.fault, FAULT_INVALID, buf_cstr(&out));
}

static bool compile_argument(struct expr_parser *p, struct expr *expr, enum filter_special special, size_t index) {
    const struct expr *argument = expr->items[index];
    struct fault why = {0};
    if (!written_out(p, argument, special == FILTER_PATTERN ? "the pattern" : "the JSONPath")) return false;
    struct text source = argument->literal.text;
    if (special == FILTER_PATTERN) expr->compiled = pattern_compile(p->lexer.arena, source, false, &why);
    else expr->compiled = jsonpath_compile(p->lexer.arena, source, &why);
    if (expr->compiled) return true;
    return lex_fault_at(argument->origin, argument->source, p->lexer.fault, why.kind, why.what);
}

static bool choose_test(struct expr_parser *p, struct expr *expr, size_t index) {
    const struct expr *argument = expr->items[index];
    if (!argument) return true;
    if (!written_out(p, argument, "the test's name")) return false;
    expr->test = filter_test_find(argument->literal.text);
    if (!expr->test)
        return unknown(p, argument->source, "test", argument->literal.text,
                       filter_test_nearest(argument->literal.text));
    struct arguments rest = {{0}, 0};
    for (size_t i = index + 1; i < FILTER_ARGUMENTS; i++) rest.at[i - index - 1] = expr->items[i];
    if (!enough(p, argument->source, expr->test->name, expr->test->arguments, &rest)) return false;
    if (expr->test->special == FILTER_PATTERN) return compile_argument(p, expr, FILTER_PATTERN, index + 1);
    return true;
}

static bool choose_filter(struct expr_parser *p, struct expr *expr) {
    const struct expr *argument = expr->items[0];
    if (!argument && expr->items[3]) return true; /* map(attribute="…") */
    if (!argument)
        return lex_fault_at(expr->origin, expr->source, p->lexer.fault, FAULT_SYNTAX,
                            "map takes a filter's name, or attribute=\"…\"");
    if (!written_out(p, argument, "the filter's name")) return false;
    expr->inner = filter_find(argument->literal.text);
    if (!expr->inner || expr->inner->special == FILTER_MAP || expr->inner->special == FILTER_SELECT ||
        expr->inner->special == FILTER_ATTRIBUTE_SELECT || expr->inner->special == FILTER_PLACE)
        return unknown(p, argument->source, "filter for map", argument->literal.text,
                       expr->inner ? NULL : filter_nearest(argument->literal.text));
    struct arguments rest = {{expr->items[1], expr->items[2]}, 0};
    if (!enough(p, argument->source, expr->inner->name, expr->inner->arguments, &rest)) return false;
    if (expr->inner->special != FILTER_PLAIN) return compile_argument(p, expr, expr->inner->special, 1);
    return true;
}

static bool settle_filter(struct expr_parser *p, struct expr *expr) {
    switch (expr->filter->special) {
    case FILTER_PATTERN:
    case FILTER_JSONPATH: return compile_argument(p, expr, expr->filter->special, 0);
    case FILTER_MAP: return choose_filter(p, expr);
    case FILTER_SELECT: return choose_test(p, expr, 0);
    case FILTER_ATTRIBUTE_SELECT: return choose_test(p, expr, 1);
    case FILTER_PLAIN:
    case FILTER_PLACE: break;
    }
    return true;
}

/* ---- filters ---- */

static bool parse_default(struct expr_parser *p, struct text at, struct expr *expr) {
    static const char names[] = "default_value* boolean";
    struct arguments arguments = {{0}, 0};
    if (expr_sees(p, "(") && !parse_arguments(p, "default", names, &arguments)) return false;
    if (!enough(p, at, "default", names, &arguments)) return false;
    expr->b = arguments.at[0];
    expr->c = arguments.at[1];
    return true;
}

bool expr_parse_filter(struct expr_parser *p, const struct expr **ret) {
    if (!expr_next(p)) return false;
    struct token name = p->lexer.token;
    struct text at = span_of(p, name);
    if (name.kind != TOKEN_NAME)
        return expr_here(p, FAULT_SYNTAX,
                         expr_sees(p, "|") ? "expected a filter's name behind |; for || write or"
                                           : "expected a filter's name behind |");
    bool is_default = text_is(name.text, "default") || text_is(name.text, "d");
    struct expr *expr = expr_make(p, is_default ? EXPR_DEFAULT : EXPR_FILTER, expr_start(p, *ret));
    struct arguments arguments = {{0}, 0};
    expr->a = *ret;
    if (!is_default && !(expr->filter = filter_find(name.text)))
        return unknown(p, at, "filter", name.text, filter_nearest(name.text));
    if (!expr_next(p)) return false;
    if (is_default) {
        if (!parse_default(p, at, expr)) return false;
    } else {
        const struct filter *filter = expr->filter;
        if (expr_sees(p, "(") && !parse_arguments(p, filter->name, filter->arguments, &arguments)) return false;
        if (!enough(p, at, filter->name, filter->arguments, &arguments)) return false;
        take(p, expr, &arguments);
    }
    expr_finish(p, expr, ret);
    return is_default || settle_filter(p, expr);
}

/* ---- tests ---- */

static bool begins_argument(const struct expr_parser *p) {
    static const char *const words[] = {"else", "or", "and", "if", "is", "in", "not"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (expr_sees(p, words[i])) return false;
    enum token_kind kind = p->lexer.token.kind;
    return kind == TOKEN_NAME || kind == TOKEN_STRING || kind == TOKEN_NUMBER || expr_sees(p, "[") || expr_sees(p, "{");
}

static bool parse_test_arguments(struct expr_parser *p, const struct filter_test *test, struct arguments *arguments) {
    size_t least, most = filter_argument_count(test->arguments, &least);
    if (expr_sees(p, "(")) return parse_arguments(p, test->name, test->arguments, arguments);
    if (most == 0 || !begins_argument(p)) return true;
    return expr_parse_atom(p, &arguments->at[0]) && expr_parse_steps(p, &arguments->at[0]);
}

static void negate(struct expr_parser *p, const struct expr **ret) {
    struct expr *not = expr_make(p, EXPR_NOT, expr_start(p, *ret));
    not ->a = *ret;
    expr_finish(p, not, ret);
}

static bool parse_defined(struct expr_parser *p, bool negated, const struct expr **ret) {
    struct expr *expr = expr_make(p, EXPR_DEFINED, expr_start(p, *ret));
    bool undefined = expr_sees(p, "undefined");
    expr->a = *ret;
    if (!expr_next(p)) return false;
    expr_finish(p, expr, ret);
    if (negated != undefined) negate(p, ret);
    return true;
}

bool expr_parse_test(struct expr_parser *p, const struct expr **ret) {
    if (!expr_next(p)) return false;
    bool negated = expr_sees(p, "not");
    if (negated && !expr_next(p)) return false;
    struct token name = p->lexer.token;
    struct text at = span_of(p, name);
    if (name.kind != TOKEN_NAME) return expr_here(p, FAULT_SYNTAX, "expected a test's name behind is");
    if (text_is(name.text, "defined") || text_is(name.text, "undefined")) return parse_defined(p, negated, ret);
    struct expr *expr = expr_make(p, EXPR_TEST, expr_start(p, *ret));
    struct arguments arguments = {{0}, 0};
    expr->a = *ret;
    if (!(expr->test = filter_test_find(name.text)))
        return unknown(p, at, "test", name.text, filter_test_nearest(name.text));
    if (!expr_next(p) || !parse_test_arguments(p, expr->test, &arguments)) return false;
    if (!enough(p, at, expr->test->name, expr->test->arguments, &arguments)) return false;
    take(p, expr, &arguments);
    expr_finish(p, expr, ret);
    if (expr->test->special == FILTER_PATTERN && !compile_argument(p, expr, FILTER_PATTERN, 0)) return false;
    if (negated) negate(p, ret);
    return true;
}
