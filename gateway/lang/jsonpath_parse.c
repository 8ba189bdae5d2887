/* The parser of JSONPath: RFC 9535's grammar by recursive descent, straight from text to tree.
 *
 * There is no lexer in front, since blanks are part of the grammar: allowed between segments and inside brackets, but
 * neither around a name's dot nor between a function and its bracket. Functions are checked for their types here (RFC
 * 9535, 2.4.3), so that nothing can go wrong in kind when a query is walked.
 *
 * A function of this file either moves the cursor past what it read, or has set the fault and returns false or NULL.
 * Nesting is limited by depth, everything else by the length of the source. */
#include "lang/jsonpath_tree.h"

#include <string.h>

#include "lang/json_token.h"
#include "lang/lex.h"
#include "lang/regexp.h"

#define SOURCE_MAX 8192
#define DEPTH_MAX 32
#define INTEGER_MAX 9007199254740991 /* what I-JSON holds exactly */

struct parser {
    struct arena *arena;
    struct text source;
    size_t at;
    unsigned depth;
    struct fault *fault;
};

enum type { TYPE_NONE, TYPE_VALUE, TYPE_NODES, TYPE_LOGICAL };

static const struct {
    const char *name;
    enum type parameters[2], result;
} functions[] = {
#define X(id, name, first, second, result) [FUNCTION_##id] = {name, {first, second}, result},
    JSONPATH_FUNCTIONS(X)
#undef X
};

static size_t column(const struct parser *p, size_t at) {
    return 1 + text_characters((struct text){p->source.at, at});
}

static bool show(struct parser *p, size_t at) {
    lex_show(p->fault, p->source, (struct text){p->source.at + at, 1});
    return false;
}

static bool expected(struct parser *p, const char *what) {
    fault_set(p->fault, FAULT_SYNTAX, NULL, "JSONPath, column %zu: expected %s%s", column(p, p->at), what,
              p->at >= p->source.len ? ", but the path ends" : "");
    return show(p, p->at);
}

static bool mistake(struct parser *p, size_t at, const char *what) {
    fault_set(p->fault, FAULT_SYNTAX, NULL, "JSONPath, column %zu: %s", column(p, at), what);
    return show(p, at);
}

static char peek(const struct parser *p) {
    return p->at < p->source.len ? p->source.at[p->at] : 0;
}

static bool sees(const struct parser *p, const char *word) {
    size_t n = strlen(word);
    return p->source.len - p->at >= n && memcmp(p->source.at + p->at, word, n) == 0;
}

static bool take(struct parser *p, const char *word) {
    if (!sees(p, word)) return false;
    p->at += strlen(word);
    return true;
}

static void skip_blanks(struct parser *p) {
    while (peek(p) && strchr(" \t\n\r", peek(p))) p->at++;
}

static bool enter(struct parser *p) {
    return ++p->depth <= DEPTH_MAX || mistake(p, p->at, "the path is nested too deeply");
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool begins_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* ---- literals ---- */

static bool read_unit(struct parser *p, int *ret_unit) {
    *ret_unit = json_token_unit(p->source.at + p->at, p->source.at + p->source.len);
    if (*ret_unit < 0) {
        while (text_hex_value(peek(p)) >= 0) p->at++;
        return expected(p, "a hex digit");
    }
    p->at += 4;
    return true;
}

static bool read_unicode_escape(struct parser *p, char **to) {
    size_t start = p->at - 2;
    int unit, low;
    if (!read_unit(p, &unit)) return false;
    uint32_t character = (uint32_t)unit;
    if (json_token_is_low(unit)) return mistake(p, start, "a low surrogate without a high one before it");
    if (json_token_is_high(unit)) {
        if (!take(p, "\\u")) return expected(p, "the low surrogate's \\u escape");
        if (!read_unit(p, &low)) return false;
        if (!json_token_is_low(low)) return mistake(p, start, "a high surrogate without a low one behind it");
        character = json_token_pair(unit, low);
    }
    *to = text_put_character(*to, character);
    return true;
}

static bool read_escape(struct parser *p, char quote, char **to) {
    static const char letters[] = "bfnrt/\\", meant[] = "\b\f\n\r\t/\\";
    char c = peek(p);
    const char *found = c ? strchr(letters, c) : NULL;
    if (!found && c != quote && c != 'u') return expected(p, "one of bfnrtu/\\ or the quote behind a backslash");
    p->at++;
    if (c == 'u') return read_unicode_escape(p, to);
    *(*to)++ = found ? meant[found - letters] : quote;
    return true;
}

/* A string never grows by taking its escapes out. */
static bool read_string(struct parser *p, struct text *ret) {
    char quote = peek(p), *start = arena_alloc(p->arena, p->source.len - p->at + 1), *to = start;
    p->at++;
    for (;;) {
        char c = peek(p);
        if (p->at >= p->source.len) return expected(p, "the closing quote");
        if ((unsigned char)c < 0x20) return mistake(p, p->at, "a control character in a string; write it as an escape");
        p->at++;
        if (c == quote) break;
        if (c != '\\') *to++ = c;
        else if (!read_escape(p, quote, &to)) return false;
    }
    *ret = (struct text){start, (size_t)(to - start)};
    return true;
}

/* RFC 9535, 2.1: no leading zeros, no -0, and within I-JSON's range. */
static bool read_integer(struct parser *p, int64_t *ret) {
    size_t start = p->at;
    if (peek(p) == '-') p->at++;
    if (!is_digit(peek(p))) return expected(p, "a digit");
    size_t digits = p->at;
    while (is_digit(peek(p))) p->at++;
    if (p->source.at[digits] == '0' && (p->at - digits > 1 || digits > start))
        return mistake(p, start, "an integer with a leading zero or as -0");
    struct text t = {p->source.at + start, p->at - start};
    if (!text_to_int(t, ret) || *ret > INTEGER_MAX || *ret < -INTEGER_MAX)
        return mistake(p, start, "an integer beyond the range of -(2^53)+1 to (2^53)-1");
    return true;
}

static size_t count_digits(struct parser *p) {
    size_t start = p->at;
    while (is_digit(peek(p))) p->at++;
    return p->at - start;
}

static const struct json *read_number(struct parser *p) {
    static const struct json_limits limits = {.max_bytes = SOURCE_MAX, .max_depth = 1, .max_items = 1};
    size_t start = p->at;
    take(p, "-");
    if (!take(p, "0") && count_digits(p) == 0) return expected(p, "a digit"), NULL;
    if (take(p, ".") && count_digits(p) == 0) return expected(p, "a digit"), NULL;
    if (take(p, "e") || take(p, "E")) {
        if (!take(p, "+")) take(p, "-");
        if (count_digits(p) == 0) return expected(p, "a digit"), NULL;
    }
    const struct json *number = json_parse(p->arena, (struct text){p->source.at + start, p->at - start}, &limits, NULL);
    if (!number) mistake(p, start, "a number that is too large");
    return number;
}

/* ---- segments ---- */

static bool read_condition(struct parser *p, const struct condition **ret);
static bool read_segments(struct parser *p, struct query *query);

static bool read_name(struct parser *p, struct text *ret) {
    size_t start = p->at;
    if (!begins_name(peek(p))) return expected(p, "a name, which begins with a letter or _ (others need quotes)");
    while (begins_name(peek(p)) || is_digit(peek(p))) p->at++;
    *ret = (struct text){p->source.at + start, p->at - start};
    return true;
}

static bool at_integer(const struct parser *p) {
    return peek(p) == '-' || is_digit(peek(p));
}

static bool read_slice(struct parser *p, struct selector *selector) {
    selector->kind = SELECT_SLICE;
    selector->step = 1;
    p->at++; /* the first colon */
    skip_blanks(p);
    if (at_integer(p)) {
        if (!read_integer(p, &selector->end)) return false;
        selector->has_end = true;
    }
    size_t before = p->at;
    skip_blanks(p);
    if (!take(p, ":")) return p->at = before, true;
    before = p->at;
    skip_blanks(p);
    if (at_integer(p)) return read_integer(p, &selector->step);
    p->at = before;
    return true;
}

static bool read_index_or_slice(struct parser *p, struct selector *selector) {
    selector->kind = SELECT_INDEX;
    if (at_integer(p)) {
        if (!read_integer(p, &selector->index)) return false;
        selector->has_start = true;
        selector->start = selector->index;
    }
    size_t before = p->at;
    skip_blanks(p);
    if (peek(p) == ':') return read_slice(p, selector);
    p->at = before;
    return true;
}

static bool read_filter(struct parser *p, struct selector *selector) {
    selector->kind = SELECT_FILTER;
    p->at++;
    skip_blanks(p);
    return read_condition(p, &selector->filter);
}

static struct selector *read_selector(struct parser *p) {
    struct selector *selector = arena_new_of(p->arena, struct selector);
    char c = peek(p);
    bool good;
    if (c == '\'' || c == '"') selector->kind = SELECT_NAME, good = read_string(p, &selector->name);
    else if (c == '?') good = read_filter(p, selector);
    else if (c == ':' || at_integer(p)) good = read_index_or_slice(p, selector);
    else if (take(p, "*")) selector->kind = SELECT_WILDCARD, good = true;
    else if (c == '(') good = mistake(p, p->at, "scripts are no part of RFC 9535; the last element is written [-1]");
    else good = expected(p, "a name in quotes, an index, a slice, * or a filter");
    return good ? selector : NULL;
}

static bool read_bracketed(struct parser *p, struct segment *segment) {
    struct selector **end = &segment->selectors;
    do {
        skip_blanks(p);
        if (!(*end = read_selector(p))) return false;
        end = &(*end)->next;
        skip_blanks(p);
    } while (take(p, ","));
    return take(p, "]") || expected(p, "] or ,");
}

/* What people write who know other dialects, Jayway's above all, and what it is here. */
static bool refuse_habit(struct parser *p, size_t start) {
    if (peek(p) == '(')
        return mistake(p, start,
                       "functions stand in filters only, as in $.jobs[?length(@.name) > 3]; in an output, a "
                       "template counts: {{ body.jobs | length }}");
    return mistake(p, p->at, "a name with anything but letters, digits and _ needs quotes: ['a-b']");
}

static bool refuse_dot(struct parser *p) {
    if (is_digit(peek(p))) return mistake(p, p->at, "expected a name behind the dot; an index is written [0]");
    return mistake(p, p->at, "expected a name behind the dot; in front of [ there is no dot");
}

static bool read_shorthand(struct parser *p, struct segment *segment) {
    struct selector *selector = arena_new_of(p->arena, struct selector);
    segment->selectors = selector;
    selector->kind = SELECT_WILDCARD;
    if (take(p, "*")) return true;
    selector->kind = SELECT_NAME;
    size_t start = p->at;
    if (is_digit(peek(p)) || peek(p) == '[') return refuse_dot(p);
    if (!read_name(p, &selector->name)) return false;
    return (peek(p) != '(' && peek(p) != '-') || refuse_habit(p, start);
}

static bool read_segment(struct parser *p, struct segment *segment) {
    if (take(p, "[")) return read_bracketed(p, segment);
    if (!take(p, "..")) return p->at++, read_shorthand(p, segment);
    segment->descendant = true;
    return take(p, "[") ? read_bracketed(p, segment) : read_shorthand(p, segment);
}

static bool is_singular(const struct segment *segment) {
    const struct selector *only = segment->selectors;
    return !segment->descendant && !only->next && (only->kind == SELECT_NAME || only->kind == SELECT_INDEX);
}

static bool read_segments(struct parser *p, struct query *query) {
    struct segment **end = &query->segments;
    query->singular = true;
    for (;;) {
        size_t before = p->at;
        skip_blanks(p);
        if (peek(p) != '.' && peek(p) != '[') return p->at = before, true; /* blanks belong to what follows */
        *end = arena_new_of(p->arena, struct segment);
        if (!enter(p) || !read_segment(p, *end)) return false;
        p->depth--;
        query->singular = query->singular && is_singular(*end);
        end = &(*end)->next;
    }
}

static bool read_query(struct parser *p, struct query *query) {
    query->relative = peek(p) == '@';
    p->at++;
    return read_segments(p, query);
}

/* ---- filters ---- */

static bool read_operand(struct parser *p, struct operand *operand);

static enum type type_of(const struct operand *operand) {
    if (operand->kind == OPERAND_CALL) return functions[operand->function].result;
    return operand->kind == OPERAND_QUERY ? TYPE_NODES : TYPE_VALUE;
}

static bool fits(const struct operand *operand, enum type type) {
    if (type == TYPE_VALUE && operand->kind == OPERAND_QUERY) return operand->query.singular;
    return type_of(operand) == type;
}

static bool check_argument(struct parser *p, size_t at, const struct operand *argument, enum type type) {
    if (fits(argument, type)) return true;
    return mistake(p, at,
                   type == TYPE_NODES ? "this function takes a query here"
                                      : "this function takes a value here: a literal, or a query for a single node");
}

static bool compile_pattern(struct parser *p, size_t at, struct operand *call) {
    bool whole = call->function == FUNCTION_MATCH;
    if ((!whole && call->function != FUNCTION_SEARCH) || call->arguments[1]->kind != OPERAND_LITERAL) return true;
    const struct json *source = call->arguments[1]->literal;
    if (json_kind(source) != JSON_STRING) return true;
    struct fault why = {0};
    call->pattern = jsonpath_pattern(p->arena, json_text(source), whole, &why);
    return call->pattern || mistake(p, at, why.what);
}

static bool read_arguments(struct parser *p, struct operand *call) {
    size_t start = p->at, i = 0;
    skip_blanks(p);
    for (; i < 2 && functions[call->function].parameters[i] != TYPE_NONE; i++) {
        if (i > 0 && !take(p, ",")) return expected(p, "a comma and one more argument");
        skip_blanks(p);
        size_t at = p->at;
        call->arguments[i] = arena_new_of(p->arena, struct operand);
        if (!read_operand(p, call->arguments[i])) return false;
        if (!check_argument(p, at, call->arguments[i], functions[call->function].parameters[i])) return false;
        skip_blanks(p);
    }
    if (!take(p, ")")) return expected(p, "the function's closing bracket");
    return compile_pattern(p, start, call);
}

static bool read_call(struct parser *p, struct operand *operand) {
    size_t start = p->at;
    while ((peek(p) >= 'a' && peek(p) <= 'z') || is_digit(peek(p)) || peek(p) == '_') p->at++;
    struct text name = {p->source.at + start, p->at - start};
    operand->kind = OPERAND_CALL;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!text_is(name, functions[i].name)) continue;
        operand->function = (enum function)i;
        if (!take(p, "(")) return expected(p, "( right behind the function's name");
        return enter(p) && read_arguments(p, operand) && (p->depth--, true);
    }
    p->at = start;
    return expected(p, "a query, a literal, or one of the functions length, count, value, match, search");
}

static bool read_literal(struct parser *p, struct operand *operand, bool *ret_found) {
    struct text string;
    char c = peek(p);
    *ret_found = true;
    if (c == '\'' || c == '"') {
        if (!read_string(p, &string)) return false;
        operand->literal = json_new_text(p->arena, string);
    } else if (at_integer(p)) operand->literal = read_number(p);
    else if (take(p, "true")) operand->literal = json_new_bool(p->arena, true);
    else if (take(p, "false")) operand->literal = json_new_bool(p->arena, false);
    else if (take(p, "null")) operand->literal = json_new_null(p->arena);
    else *ret_found = false;
    return !*ret_found || operand->literal;
}

static bool read_operand(struct parser *p, struct operand *operand) {
    bool found;
    if (peek(p) == '@' || peek(p) == '$') {
        operand->kind = OPERAND_QUERY;
        return read_query(p, &operand->query);
    }
    if (peek(p) == '/') return mistake(p, p->at, "a pattern is a string: match(@.name, 'a.*')");
    if (!read_literal(p, operand, &found)) return false;
    return found || read_call(p, operand);
}

static bool take_comparison(struct parser *p, enum comparison *ret) {
    static const char *const signs[] = {[COMPARE_EQ] = "==", [COMPARE_NE] = "!=", [COMPARE_LE] = "<=",
                                        [COMPARE_LT] = "<",  [COMPARE_GE] = ">=", [COMPARE_GT] = ">"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if (!take(p, signs[i])) continue;
        *ret = (enum comparison)i;
        return true;
    }
    return false;
}

static bool check_comparable(struct parser *p, size_t at, const struct operand *operand) {
    if (fits(operand, TYPE_VALUE)) return true;
    return mistake(p, at, "only a single value can be compared: a literal, names and indexes, or a function's value");
}

static bool read_comparison(struct parser *p, struct condition *condition, size_t left_at) {
    struct operand *right = arena_new_of(p->arena, struct operand);
    condition->kind = CONDITION_COMPARE;
    condition->right = right;
    if (!check_comparable(p, left_at, condition->left)) return false;
    skip_blanks(p);
    size_t right_at = p->at;
    return read_operand(p, right) && check_comparable(p, right_at, right);
}

/* Behind an operand: a sign of another dialect. */
static bool refuse_sign(struct parser *p) {
    static const char *const habits[][2] = {
        {"=~", "a comparison with a pattern is written match(@.name, 'a.*') or search(@.name, 'a')"},
        {"=", "equality is written =="},
        {"<>", "inequality is written !="},
        {"and ", "and is written &&"},
        {"or ", "or is written ||"},
        {"in ", "there is no in; write @.a == 'x' || @.a == 'y'"},
        {"contains ", "there is no contains; write search(@.a, 'text'), or a filter within: @.list[?@ == 'x']"},
    };
    for (size_t i = 0; i < sizeof habits / sizeof *habits; i++)
        if (sees(p, habits[i][0]) && !sees(p, "==")) return mistake(p, p->at, habits[i][1]);
    return true;
}

static bool read_test(struct parser *p, struct condition *condition, bool may_compare) {
    struct operand *left = arena_new_of(p->arena, struct operand);
    size_t start = p->at;
    condition->kind = CONDITION_TEST;
    condition->left = left;
    if (!read_operand(p, left)) return false;
    size_t before = p->at;
    skip_blanks(p);
    if (!refuse_sign(p)) return false;
    if (may_compare && take_comparison(p, &condition->comparison)) return read_comparison(p, condition, start);
    p->at = before;
    if (type_of(left) == TYPE_VALUE) return mistake(p, start, "a value alone is no condition; compare it");
    return true;
}

static bool read_bracket_or_test(struct parser *p, struct condition *condition, bool may_compare) {
    if (!take(p, "(")) return read_test(p, condition, may_compare);
    const struct condition *inner;
    skip_blanks(p);
    if (!enter(p) || !read_condition(p, &inner)) return false;
    p->depth--;
    *condition = *inner;
    skip_blanks(p);
    return take(p, ")") || expected(p, ")");
}

static bool read_basic(struct parser *p, const struct condition **ret) {
    struct condition *condition = arena_new_of(p->arena, struct condition);
    *ret = condition;
    if (!take(p, "!")) return read_bracket_or_test(p, condition, true);
    struct condition *inner = arena_new_of(p->arena, struct condition);
    *condition = (struct condition){.kind = CONDITION_NOT, .a = inner};
    skip_blanks(p);
    return read_bracket_or_test(p, inner, false);
}

/* Reads `next` once or more, with `sign` between. Chains lean to the left, as long as the source allows. */
static bool read_chain(struct parser *p, const char *sign, enum condition_kind kind,
                       bool (*next)(struct parser *, const struct condition **), const struct condition **ret) {
    if (!next(p, ret)) return false;
    for (;;) {
        size_t before = p->at;
        skip_blanks(p);
        if (!take(p, sign)) return p->at = before, true;
        skip_blanks(p);
        struct condition *chain = arena_new_of(p->arena, struct condition);
        *chain = (struct condition){.kind = kind, .a = *ret};
        if (!next(p, &chain->b)) return false;
        *ret = chain;
    }
}

static bool read_and(struct parser *p, const struct condition **ret) {
    return read_chain(p, "&&", CONDITION_AND, read_basic, ret);
}

static bool read_condition(struct parser *p, const struct condition **ret) {
    return read_chain(p, "||", CONDITION_OR, read_and, ret);
}

static bool refuse_beginning(struct parser *p) {
    struct text rest = p->source, shown;
    if (!begins_name(peek(p)) && (!peek(p) || !strchr(".[@", peek(p))))
        return expected(p, "$, which begins every path");
    bool is_name = begins_name(peek(p));
    if (peek(p) == '@') rest.at++, rest.len--;
    shown = text_beginning(rest, 200);
    fault_set(p->fault, FAULT_SYNTAX, NULL, "JSONPath, column 1: expected $, which begins every path; write %s%.*s",
              is_name ? "$." : "$", TEXT_ARG(shown));
    return show(p, 0);
}

bool jsonpath_parse(struct arena *arena, struct text source, struct query *ret_query, struct fault *fault) {
    struct parser p = {.arena = arena, .source = source, .fault = fault};
    if (source.len > SOURCE_MAX)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "the JSONPath has more than %d bytes", SOURCE_MAX);
    if (!text_utf8_check(source)) return fault_set(fault, FAULT_SYNTAX, NULL, "the JSONPath is not valid UTF-8");
    if (peek(&p) != '$') return refuse_beginning(&p);
    if (!read_query(&p, ret_query)) return false;
    return p.at == source.len || expected(&p, ". or [");
}

const struct pattern *jsonpath_pattern(struct arena *arena, struct text source, bool whole, struct fault *fault) {
    struct buf out;
    buf_init(&out, 64 * 1024);
    const struct pattern *pattern = NULL;
    if (regexp_rewrite(&out, source, REGEXP_INTEROPERABLE, fault))
        pattern = pattern_compile(arena, buf_text(&out), whole, fault);
    buf_fini(&out);
    return pattern;
}
