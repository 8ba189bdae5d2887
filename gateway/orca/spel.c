/* A lexer and a parser by recursive descent for SpEL, and the search for expressions in a text.
 *
 * Precedence is Spring's: `?:` and `? :` are the loosest, then or, and, one comparison, sums, products, signs, and
 * paths. Strings have no backslashes: a quote is doubled. Words such as `and`, `eq` and `mod` are operators in any
 * case. The text around expressions is taken apart as Spring does it: the } that ends an expression is the first one
 * outside of its brackets and quotes. Nothing is evaluated here; orca/spel_write says what a tree means. */
#include "orca/spel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NUMBER_MAX_BYTES 40

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_TEXT, TOKEN_WHOLE, TOKEN_REAL_NUMBER, TOKEN_PUNCTUATION };

struct parser {
    struct arena *arena;
    struct text source;
    struct fault *fault;
    size_t at; /* behind the token at hand */
    enum token_kind kind;
    struct text text; /* of the token: a word, what a string means, digits, a sign */
    size_t start, last_end;
    unsigned depth;
};

static bool refuse(struct parser *p, enum fault_kind kind, size_t at, const char *what) {
    return fault_set(p->fault, kind, NULL, "column %zu of ${%.*s%s}: %s", at + 1,
                     p->source.len > 160 ? 160 : (int)p->source.len, p->source.at, p->source.len > 160 ? "…" : "",
                     what);
}

/* ---- tokens ---- */

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static char peek_at(const struct parser *p, size_t at) {
    return at < p->source.len ? p->source.at[at] : 0;
}

static bool lex_string(struct parser *p) {
    char quote = p->source.at[p->at++];
    struct buf text;
    buf_init(&text, SPEL_MAX_BYTES);
    for (;;) {
        char c = peek_at(p, p->at);
        if (p->at >= p->source.len || !c) break;
        p->at++;
        if (c == quote && peek_at(p, p->at) != quote) {
            p->kind = TOKEN_TEXT;
            p->text = (struct text){arena_strndup(p->arena, buf_cstr(&text), text.len), text.len};
            buf_fini(&text);
            return true;
        }
        if (c == quote) p->at++;
        buf_addc(&text, c);
    }
    buf_fini(&text);
    return refuse(p, FAULT_SYNTAX, p->start, "this quote is never closed");
}

static void lex_digits(struct parser *p) {
    while (is_digit(peek_at(p, p->at))) p->at++;
}

static bool number_fits(const struct parser *p) {
    int64_t whole;
    if (p->text.len > NUMBER_MAX_BYTES) return false;
    if (p->kind == TOKEN_WHOLE) return text_to_int(p->text, &whole);
    const char *digits = arena_strndup(p->arena, p->text.at, p->text.len);
    return isfinite(strtod(digits, NULL));
}

static bool lex_number(struct parser *p) {
    p->kind = TOKEN_WHOLE;
    lex_digits(p);
    if (peek_at(p, p->at) == '.' && is_digit(peek_at(p, p->at + 1))) {
        p->kind = TOKEN_REAL_NUMBER;
        p->at++;
        lex_digits(p);
    }
    char c = peek_at(p, p->at), next = peek_at(p, p->at + 1);
    if ((c == 'e' || c == 'E') &&
        (is_digit(next) || ((next == '-' || next == '+') && is_digit(peek_at(p, p->at + 2))))) {
        p->kind = TOKEN_REAL_NUMBER;
        p->at += 2;
        lex_digits(p);
    }
    p->text = (struct text){p->source.at + p->start, p->at - p->start};
    c = peek_at(p, p->at);
    if (c && strchr("lLfFdD", c)) p->at++;
    if (p->text.len > 1 && p->text.at[0] == '0' && is_digit(p->text.at[1]))
        return refuse(p, FAULT_SYNTAX, p->start, "a number with a leading zero");
    return (!is_letter(peek_at(p, p->at)) && number_fits(p)) || refuse(p, FAULT_SYNTAX, p->start, "this is no number");
}

static bool lex_sign(struct parser *p) {
    static const char *const signs[] = {"?:", "?.", "?[", "![", "^[", "$[", "==", "!=", "<=", ">=", "&&", "||", "++",
                                        "--", "+",  "-",  "*",  "/",  "%",  "^",  "<",  ">",  "!",  "?",  ":",  ".",
                                        ",",  "(",  ")",  "[",  "]",  "{",  "}",  "#",  "@",  "=",  "&"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t len = strlen(signs[i]);
        if (p->source.len - p->at < len || memcmp(p->source.at + p->at, signs[i], len) != 0) continue;
        p->kind = TOKEN_PUNCTUATION;
        p->text = (struct text){p->source.at + p->at, len};
        p->at += len;
        return true;
    }
    return refuse(p, FAULT_SYNTAX, p->at, "this cannot stand here");
}

static bool next(struct parser *p) {
    p->last_end = p->at;
    while (peek_at(p, p->at) == ' ' || peek_at(p, p->at) == '\t' || peek_at(p, p->at) == '\n' ||
           peek_at(p, p->at) == '\r')
        p->at++;
    p->start = p->at;
    char c = peek_at(p, p->at);
    if (p->at >= p->source.len) {
        p->kind = TOKEN_END;
        p->text = (struct text){"", 0};
        return true;
    }
    if (c == '\'' || c == '"') return lex_string(p);
    if (is_digit(c)) return lex_number(p);
    if (c == '$' && peek_at(p, p->at + 1) == '[') return lex_sign(p);
    if (!is_letter(c)) return lex_sign(p);
    while (is_letter(peek_at(p, p->at)) || is_digit(peek_at(p, p->at))) p->at++;
    p->kind = TOKEN_WORD;
    p->text = (struct text){p->source.at + p->start, p->at - p->start};
    return true;
}

static bool is_sign(const struct parser *p, const char *sign) {
    return p->kind == TOKEN_PUNCTUATION && text_is(p->text, sign);
}

static bool is_word(const struct parser *p, const char *word) {
    return p->kind == TOKEN_WORD && text_is_nocase(p->text, word);
}

static bool expect(struct parser *p, const char *sign) {
    if (is_sign(p, sign)) return next(p);
    return refuse(p, FAULT_SYNTAX, p->start, arena_printf(p->arena, "here %s is expected", sign));
}

/* ---- the tree ---- */

static struct spel *new_node(struct parser *p, enum spel_kind kind, size_t start) {
    struct spel *node = arena_new_of(p->arena, struct spel);
    node->kind = kind;
    node->text = p->text;
    node->source.at = p->source.at + start;
    return node;
}

static const struct spel *done(struct parser *p, struct spel *node) {
    node->source.len = (size_t)(p->source.at + p->last_end - node->source.at);
    return node;
}

static const struct spel *parse_expression(struct parser *p);

/* Items up to `close`; of a map also keys. The opening sign is taken already. */
static bool parse_items(struct parser *p, const char *close, struct spel *into) {
    struct buf items;
    bool good = true;
    buf_init(&items, SPEL_MAX_BYTES * sizeof(struct spel *));
    while (good && !is_sign(p, close)) {
        const struct spel *item = parse_expression(p);
        good = item != NULL;
        if (!good) break;
        bool pair = is_sign(p, ":") && (into->kind == SPEL_LIST || into->kind == SPEL_MAP);
        if (items.len == 0 && pair) into->kind = SPEL_MAP;
        if ((into->kind == SPEL_MAP) != pair) good = refuse(p, FAULT_SYNTAX, p->start, "here : is expected, or not");
        buf_add(&items, &item, sizeof item);
        if (good && pair) {
            if (item->kind == SPEL_NAME) { /* a bare key is its own name */
                struct spel *key = arena_copy(p->arena, item, sizeof *item);
                key->kind = SPEL_STRING;
                memcpy(items.at + items.len - sizeof key, &key, sizeof key);
            }
            good = next(p) && (item = parse_expression(p)) != NULL;
            if (good) buf_add(&items, &item, sizeof item);
        }
        if (good && !is_sign(p, close)) good = expect(p, ",");
    }
    if (good) good = next(p);
    into->count = items.len / sizeof(struct spel *);
    into->items = arena_copy(p->arena, buf_text(&items).at, items.len);
    buf_fini(&items);
    return good;
}

static const struct spel *parse_brace(struct parser *p) {
    struct spel *node = new_node(p, SPEL_LIST, p->start);
    if (!next(p)) return NULL;
    if (is_sign(p, ":")) { /* {:} is the empty map */
        node->kind = SPEL_MAP;
        if (!next(p) || !expect(p, "}")) return NULL;
        return done(p, node);
    }
    return parse_items(p, "}", node) ? done(p, node) : NULL;
}

static const struct spel *parse_function(struct parser *p) {
    size_t start = p->start;
    if (!next(p)) return NULL;
    if (p->kind != TOKEN_WORD) {
        refuse(p, FAULT_SYNTAX, p->start, "here a name is expected behind #");
        return NULL;
    }
    struct spel *node = new_node(p, SPEL_VARIABLE, start);
    if (!next(p)) return NULL;
    if (!is_sign(p, "(")) return done(p, node);
    node->kind = SPEL_CALL;
    if (!next(p) || !parse_items(p, ")", node)) return NULL;
    return done(p, node);
}

static const struct spel *parse_word(struct parser *p) {
    static const char *const literals[] = {"true", "false", "null"};
    struct spel *node = new_node(p, SPEL_NAME, p->start);
    for (size_t i = 0; i < 3; i++)
        if (is_word(p, literals[i])) {
            node->kind = i < 2 ? SPEL_BOOL : SPEL_NULL;
            node->text = text_of(literals[i]);
        }
    bool is_new = is_word(p, "new"), is_type = text_is(p->text, "T");
    size_t start = p->start;
    if (!next(p)) return NULL;
    if ((is_new && p->kind == TOKEN_WORD) || (is_type && is_sign(p, "("))) {
        refuse(p, FAULT_UNSUPPORTED, start, "types and objects of Java cannot be used here");
        return NULL;
    }
    if (node->kind == SPEL_NAME && is_sign(p, "(")) {
        refuse(p, FAULT_UNSUPPORTED, start, "a method of orca's own objects; functions begin with #");
        return NULL;
    }
    return done(p, node);
}

static const struct spel *parse_start(struct parser *p) {
    struct spel *node;
    if (p->kind == TOKEN_WORD) return parse_word(p);
    if (is_sign(p, "#")) return parse_function(p);
    if (is_sign(p, "{")) return parse_brace(p);
    if (is_sign(p, "(")) {
        if (!next(p)) return NULL;
        const struct spel *inner = parse_expression(p);
        return inner && expect(p, ")") ? inner : NULL;
    }
    if (p->kind == TOKEN_TEXT || p->kind == TOKEN_WHOLE || p->kind == TOKEN_REAL_NUMBER) {
        enum spel_kind kind = p->kind == TOKEN_TEXT ? SPEL_STRING : p->kind == TOKEN_WHOLE ? SPEL_INT : SPEL_REAL;
        node = new_node(p, kind, p->start);
        return next(p) ? done(p, node) : NULL;
    }
    if (is_sign(p, "@") || is_sign(p, "&")) refuse(p, FAULT_UNSUPPORTED, p->start, "beans of orca cannot be used here");
    else refuse(p, FAULT_SYNTAX, p->start, "here a value is expected");
    return NULL;
}

static const struct spel *parse_member(struct parser *p, const struct spel *of, size_t start) {
    static const char *const selections[] = {"?[", "![", "^[", "$["};
    if (!next(p)) return NULL;
    for (size_t i = 0; i < 4; i++)
        if (is_sign(p, selections[i])) {
            refuse(p, FAULT_UNSUPPORTED, p->start, "selections and projections (.?[…], .![…]) have no counterpart");
            return NULL;
        }
    if (p->kind != TOKEN_WORD) {
        refuse(p, FAULT_SYNTAX, p->start, "here a name is expected");
        return NULL;
    }
    struct spel *node = new_node(p, SPEL_MEMBER, start);
    node->a = of;
    if (!next(p)) return NULL;
    if (!is_sign(p, "(")) return done(p, node);
    node->kind = SPEL_METHOD;
    return next(p) && parse_items(p, ")", node) ? done(p, node) : NULL;
}

static const struct spel *parse_index(struct parser *p, const struct spel *of, size_t start) {
    if (!next(p)) return NULL;
    struct spel *node = new_node(p, SPEL_INDEX, start);
    node->a = of;
    node->b = parse_expression(p);
    if (node->b && node->b->kind == SPEL_NAME) { /* map[key] without quotes: the key is the name */
        struct spel *key = arena_copy(p->arena, node->b, sizeof *key);
        key->kind = SPEL_STRING;
        node->b = key;
    }
    return node->b && expect(p, "]") ? done(p, node) : NULL;
}

static const struct spel *parse_path(struct parser *p) {
    size_t start = p->start;
    const struct spel *node = parse_start(p);
    size_t steps = 0;
    while (node && (is_sign(p, ".") || is_sign(p, "?.") || is_sign(p, "["))) {
        if (++steps > SPEL_MAX_DEPTH) {
            refuse(p, FAULT_TOO_LARGE, p->start, "a path of more than 64 steps");
            return NULL;
        }
        node = is_sign(p, "[") ? parse_index(p, node, start) : parse_member(p, node, start);
    }
    if (node && (is_sign(p, "?[") || is_sign(p, "++") || is_sign(p, "--"))) {
        refuse(p, FAULT_UNSUPPORTED, p->start, "this has no counterpart");
        return NULL;
    }
    return node;
}

static const struct spel *parse_unary(struct parser *p) {
    bool is_not = is_sign(p, "!") || is_word(p, "not");
    if (!is_not && !is_sign(p, "-") && !is_sign(p, "+")) return parse_path(p);
    struct spel *node = new_node(p, SPEL_UNARY, p->start);
    if (is_not) node->text = TEXT("not");
    if (++p->depth > SPEL_MAX_DEPTH) {
        refuse(p, FAULT_TOO_LARGE, p->start, "more than 64 levels");
        return NULL;
    }
    node->a = next(p) ? parse_unary(p) : NULL;
    p->depth--;
    return node->a ? done(p, node) : NULL;
}

struct spel_operator {
    const char *sign, *means;
    int level; /* 0: loosest */
};

static const struct spel_operator operators[] = {
    {"||", "or", 0}, {"or", "or", 0}, {"&&", "and", 1}, {"and", "and", 1}, {"==", "==", 2}, {"eq", "==", 2},
    {"!=", "!=", 2}, {"ne", "!=", 2}, {"<", "<", 2},    {"lt", "<", 2},    {"<=", "<=", 2}, {"le", "<=", 2},
    {">", ">", 2},   {"gt", ">", 2},  {">=", ">=", 2},  {"ge", ">=", 2},   {"+", "+", 3},   {"-", "-", 3},
    {"*", "*", 4},   {"/", "/", 4},   {"div", "/", 4},  {"%", "%", 4},     {"mod", "%", 4}};

static const struct spel_operator *find_operator(const struct parser *p, int level) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (operators[i].level == level && (is_sign(p, operators[i].sign) || is_word(p, operators[i].sign)))
            return &operators[i];
    return NULL;
}

static bool refuse_operators(struct parser *p) {
    static const char *const words[] = {"matches", "instanceof", "between"};
    for (size_t i = 0; i < 3; i++)
        if (is_word(p, words[i]))
            return refuse(p, FAULT_UNSUPPORTED, p->start,
                          arena_printf(p->arena, "the operator %s has no counterpart", words[i]));
    if (is_sign(p, "^")) return refuse(p, FAULT_UNSUPPORTED, p->start, "powers are not translated");
    return true;
}

static const struct spel *parse_level(struct parser *p, int level) {
    size_t start = p->start, terms = 0;
    const struct spel *node = level > 4 ? parse_unary(p) : parse_level(p, level + 1);
    const struct spel_operator *found;
    while (node && level <= 4 && (found = find_operator(p, level)) != NULL) {
        struct spel *binary = new_node(p, SPEL_BINARY, start);
        binary->text = text_of(found->means);
        binary->a = node;
        if (++terms > SPEL_MAX_DEPTH) {
            refuse(p, FAULT_TOO_LARGE, p->start, "more than 64 operators in a row");
            return NULL;
        }
        binary->b = next(p) ? parse_level(p, level + 1) : NULL;
        node = binary->b ? done(p, binary) : NULL;
        if (level == 2) break;
    }
    return node && refuse_operators(p) ? node : NULL;
}

static const struct spel *parse_choice(struct parser *p) {
    size_t start = p->start;
    const struct spel *first = parse_level(p, 0);
    if (!first || (!is_sign(p, "?:") && !is_sign(p, "?"))) return first;
    bool elvis = is_sign(p, "?:");
    struct spel *node = new_node(p, elvis ? SPEL_ELVIS : SPEL_TERNARY, start);
    node->a = first;
    node->b = next(p) ? parse_expression(p) : NULL;
    if (!node->b) return NULL;
    if (!elvis) {
        if (!expect(p, ":")) return NULL;
        node->c = parse_expression(p);
        if (!node->c) return NULL;
    }
    return done(p, node);
}

static const struct spel *parse_expression(struct parser *p) {
    if (++p->depth > SPEL_MAX_DEPTH) {
        refuse(p, FAULT_TOO_LARGE, p->start, "more than 64 levels");
        return NULL;
    }
    const struct spel *node = parse_choice(p);
    p->depth--;
    return node;
}

const struct spel *spel_parse(struct arena *arena, struct text source, struct fault *fault) {
    struct parser p = {.arena = arena, .source = source, .fault = fault};
    if (source.len > SPEL_MAX_BYTES) {
        fault_set(fault, FAULT_TOO_LARGE, NULL, "an expression of more than %d bytes", SPEL_MAX_BYTES);
        return NULL;
    }
    const struct spel *node = next(&p) ? parse_expression(&p) : NULL;
    if (!node || p.kind == TOKEN_END) return node;
    if (is_sign(&p, "=")) refuse(&p, FAULT_UNSUPPORTED, p.start, "an assignment; equality is written ==");
    else refuse(&p, FAULT_SYNTAX, p.start, "this cannot stand here");
    return NULL;
}

/* ---- text with expressions in it ---- */

/* The } that ends what begins at `at`; SIZE_MAX where there is none. */
static size_t find_close(struct text source, size_t at) {
    size_t open = 0;
    for (char quote = 0; at < source.len; at++) {
        char c = source.at[at];
        if (quote) quote = c == quote ? 0 : quote;
        else if (c == '\'' || c == '"') quote = c;
        else if (c == '(' || c == '[' || c == '{') open++;
        else if (c == '}' && open == 0) return at;
        else if ((c == ')' || c == ']' || c == '}') && open > 0) open--;
    }
    return SIZE_MAX;
}

static bool add_part(struct buf *parts, bool is_expression, struct text text) {
    struct spel_part part = {is_expression, text};
    if (text.len || is_expression) buf_add(parts, &part, sizeof part);
    return !parts->full;
}

static bool split(struct text source, struct buf *parts, struct fault *fault) {
    size_t from = 0;
    for (size_t at = 0; at + 1 < source.len; at++) {
        if (source.at[at] != '$' || source.at[at + 1] != '{') continue;
        size_t close = find_close(source, at + 2);
        if (close == SIZE_MAX) {
            size_t rest = source.len - at;
            return fault_set(fault, FAULT_SYNTAX, NULL, "the expression %.*s is never closed",
                             rest > 80 ? 80 : (int)rest, source.at + at);
        }
        if (!add_part(parts, false, (struct text){source.at + from, at - from}) ||
            !add_part(parts, true, (struct text){source.at + at + 2, close - at - 2}))
            return fault_set(fault, FAULT_TOO_LARGE, NULL, "more than %d expressions in one text", SPEL_MAX_PARTS / 2);
        from = close + 1;
        at = close;
    }
    return add_part(parts, false, (struct text){source.at + from, source.len - from}) ||
           fault_set(fault, FAULT_TOO_LARGE, NULL, "more than %d expressions in one text", SPEL_MAX_PARTS / 2);
}

bool spel_split(struct arena *arena, struct text source, struct spel_part **ret_parts, size_t *ret_count,
                struct fault *fault) {
    struct buf parts;
    buf_init(&parts, SPEL_MAX_PARTS * sizeof(struct spel_part));
    bool good = split(source, &parts, fault);
    *ret_count = parts.len / sizeof(struct spel_part);
    *ret_parts = arena_copy(arena, buf_text(&parts).at, parts.len);
    buf_fini(&parts);
    return good;
}
