/* The lexer of template expressions: Jinja's tokens, as far as we have its grammar.
 *
 * It reads one token ahead and no more. Strings come out as what they mean, everything else as a slice of the source,
 * so that a fault can always name its line and column. */
#include "lang/lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lang/json_token.h"

int lex_line(const struct lex_origin *origin, const char *at) {
    int line = origin->line;
    for (const char *c = origin->source.at; c < at; c++) line += *c == '\n';
    return line;
}

/* ---- faults ---- */

static size_t characters(const char *from, const char *to) {
    return text_characters((struct text){from, (size_t)(to - from)});
}

#define SHOWN_MAX 100 /* bytes of a line that are shown, and of those before the caret */
#define BEFORE_MAX 60

/* The line, cut around the caret where it is long, and the caret below it. */
static void draw(struct buf *out, struct text line, const char *caret, size_t width) {
    const char *start = line.at, *end = line.at + line.len;
    if (caret - start > BEFORE_MAX && line.len > SHOWN_MAX) start = caret - BEFORE_MAX;
    while (start > line.at && ((unsigned char)*start & 0xC0) == 0x80) start--;
    if (end - start > SHOWN_MAX) end = start + SHOWN_MAX;
    while (end < line.at + line.len && ((unsigned char)*end & 0xC0) == 0x80) end++;
    for (const char *c = start; c < end; c++) buf_addc(out, (unsigned char)*c < 0x20 || *c == 0x7F ? ' ' : *c);
    buf_addc(out, '\n');
    for (size_t i = characters(start, caret); i > 0; i--) buf_addc(out, ' ');
    buf_addc(out, '^');
    for (size_t i = 1; i < width && caret + i < end; i++) buf_addc(out, '~');
}

void lex_show(struct fault *fault, struct text line, struct text span) {
    struct buf lines;
    if (!fault) return;
    buf_init(&lines, sizeof fault->lines - 1);
    draw(&lines, line, span.at, span.len);
    if (!lines.full) memcpy(fault->lines, buf_cstr(&lines), lines.len + 1);
    buf_fini(&lines);
}

bool lex_fault_at(const struct lex_origin *origin, struct text span, struct fault *fault, enum fault_kind kind,
                  const char *what) {
    const char *start = span.at, *end = span.at, *last = origin->source.at + origin->source.len;
    char where[256];
    if (!fault) return false;
    while (start > origin->source.at && start[-1] != '\n') start--;
    while (end < last && *end != '\n') end++;
    snprintf(where, sizeof where, "%s:%d:%zu", origin->file, lex_line(origin, span.at), characters(start, span.at) + 1);
    fault_set(fault, kind, where, "%s", what);
    lex_show(fault, (struct text){start, (size_t)(end - start)}, span);
    return false;
}

bool lex_fault(struct lexer *lexer, enum fault_kind kind, size_t at, const char *format, ...) {
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    size_t width = at == lexer->token.start && lexer->token.end > at ? lexer->token.end - at : 1;
    return lex_fault_at(lexer->origin, (struct text){lexer->source.at + at, width}, lexer->fault, kind, what);
}

bool lex_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- tokens ---- */

bool lex_is(const struct lexer *lexer, const char *sign_or_word) {
    enum token_kind kind = lexer->token.kind;
    return (kind == TOKEN_NAME || kind == TOKEN_SIGN) && text_is(lexer->token.text, sign_or_word);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static char peek(const struct lexer *lexer, size_t ahead) {
    return lexer->at + ahead < lexer->source.len ? lexer->source.at[lexer->at + ahead] : 0;
}

static bool done(struct lexer *lexer, enum token_kind kind) {
    lexer->token.kind = kind;
    lexer->token.end = lexer->at;
    if (kind != TOKEN_STRING)
        lexer->token.text = (struct text){lexer->source.at + lexer->token.start, lexer->at - lexer->token.start};
    return true;
}

/* \uXXXX of the basic plane without surrogates; what is beyond can be written as it is. */
static bool lex_unicode(struct lexer *lexer, char **to) {
    const char *source = lexer->source.at;
    int unit = json_token_unit(source + lexer->at + 2, source + lexer->source.len);
    if (unit < 0) return lex_fault(lexer, FAULT_SYNTAX, lexer->at, "\\u takes four hexadecimal digits");
    if (unit == 0 || json_token_is_high(unit) || json_token_is_low(unit))
        return lex_fault(lexer, FAULT_SYNTAX, lexer->at, "this is no character; write it as it is, without \\u");
    *to = text_put_character(*to, (uint32_t)unit);
    lexer->at += 5;
    return true;
}

static bool lex_escape(struct lexer *lexer, char **to) {
    static const char letters[] = "nrtbf\\'\"", meant[] = "\n\r\t\b\f\\'\"";
    if (peek(lexer, 1) == 'u') return lex_unicode(lexer, to);
    const char *found = peek(lexer, 1) ? strchr(letters, peek(lexer, 1)) : NULL;
    if (!found)
        return lex_fault(
            lexer, FAULT_SYNTAX, lexer->at,
            "unknown escape; there are \\n, \\r, \\t, \\b, \\f, \\\\, \\', \\\" and \\u00e9, and a backslash "
            "itself is \\\\");
    *(*to)++ = meant[found - letters];
    lexer->at++;
    return true;
}

static bool lex_string(struct lexer *lexer) {
    char quote = peek(lexer, 0), *start, *to;
    const char *close = lexer->source.at + ++lexer->at;
    const char *end = lexer->source.at + lexer->source.len;
    while (close < end && *close != quote) close += *close == '\\' && end - close > 1 ? 2 : 1;
    if (close >= end) return lex_fault(lexer, FAULT_SYNTAX, lexer->token.start, "this text has no closing quote");
    start = to = arena_alloc(lexer->arena, (size_t)(close - lexer->source.at) - lexer->at + 1);
    for (; peek(lexer, 0) != quote; lexer->at++)
        if (peek(lexer, 0) != '\\') *to++ = peek(lexer, 0);
        else if (!lex_escape(lexer, &to)) return false;
    lexer->at++;
    lexer->token.text = (struct text){start, (size_t)(to - start)};
    return done(lexer, TOKEN_STRING);
}

static void skip_digits(struct lexer *lexer) {
    while (is_digit(peek(lexer, 0))) lexer->at++;
}

static bool lex_number(struct lexer *lexer) {
    skip_digits(lexer);
    if (peek(lexer, 0) == '.' && is_digit(peek(lexer, 1))) {
        lexer->at++;
        skip_digits(lexer);
    }
    size_t sign = peek(lexer, 1) == '-' || peek(lexer, 1) == '+';
    if ((peek(lexer, 0) == 'e' || peek(lexer, 0) == 'E') && is_digit(peek(lexer, 1 + sign))) {
        lexer->at += 1 + sign;
        skip_digits(lexer);
    }
    if (is_letter(peek(lexer, 0))) return lex_fault(lexer, FAULT_SYNTAX, lexer->at, "a letter right behind a number");
    return done(lexer, TOKEN_NUMBER);
}

static bool sees_close(const struct lexer *lexer, size_t ahead) {
    return lexer->closing && peek(lexer, ahead) == lexer->closing[0] && peek(lexer, ahead + 1) == lexer->closing[1];
}

/* What other languages write so. */
static const char *hint(const struct lexer *lexer) {
    static const struct {
        const char *sign, *hint;
    } hints[] = {
        {"&&", "; write and"},
        {"!", "; write not"},
        {"?", "; a choice is written a if condition else b"},
        {"${", "; inside of {{ }} names stand as they are"},
        {"$", "; for a JSONPath write value | jsonpath(\"$.…\")"},
    };
    struct text rest = {lexer->source.at + lexer->at, lexer->source.len - lexer->at};
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (text_starts(rest, hints[i].sign)) return hints[i].hint;
    return "";
}

static bool lex_sign(struct lexer *lexer) {
    static const char *const signs[] = {"==", "!=", "<=", ">=", "//", "**", "<", ">", ".", "[", "]", "(", ")",
                                        "|",  ",",  "~",  "+",  "-",  "*",  "/", "%", ":", "{", "}", "="};
    bool dash = peek(lexer, 0) == '-';
    if (lexer->open == 0 && sees_close(lexer, dash)) {
        lexer->at += 2 + dash;
        return done(lexer, TOKEN_CLOSE);
    }
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t n = strlen(signs[i]);
        if (lexer->source.len - lexer->at < n || memcmp(lexer->source.at + lexer->at, signs[i], n) != 0) continue;
        if (strchr("([{", signs[i][0])) lexer->open++;
        else if (strchr(")]}", signs[i][0]) && lexer->open) lexer->open--;
        lexer->at += n;
        return done(lexer, TOKEN_SIGN);
    }
    return lex_fault(lexer, FAULT_SYNTAX, lexer->at, "a character that means nothing in an expression%s", hint(lexer));
}

bool lex_next(struct lexer *lexer) {
    lexer->last_end = lexer->token.end;
    while (lex_is_blank(peek(lexer, 0))) lexer->at++;
    lexer->token = (struct token){.start = lexer->at, .end = lexer->at};
    if (lexer->at >= lexer->source.len) {
        if (!lexer->closing) return done(lexer, TOKEN_CLOSE);
        return lex_fault(lexer, FAULT_SYNTAX, lexer->at, "the template ends inside an expression; %s is missing",
                         lexer->closing);
    }
    char c = peek(lexer, 0);
    if (c == '"' || c == '\'') return lex_string(lexer);
    if (is_digit(c)) return lex_number(lexer);
    if (!is_letter(c)) return lex_sign(lexer);
    while (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0))) lexer->at++;
    return done(lexer, TOKEN_NAME);
}
