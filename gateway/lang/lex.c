/* The lexer of template expressions: Jinja's tokens, as far as we have its grammar.
 *
 * It reads one token ahead and no more. Strings come out as what they mean, everything else as a slice of the source,
 * so that a fault can always name its line and column. */
#include "lang/lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* From the last place that was asked for, since a template may have very many. */
int lex_line(struct lexer *lexer, size_t at) {
    for (; lexer->line_at < at; lexer->line_at++) lexer->line += lexer->source.at[lexer->line_at] == '\n';
    for (; lexer->line_at > at; lexer->line_at--) lexer->line -= lexer->source.at[lexer->line_at - 1] == '\n';
    return lexer->line;
}

static size_t column_of(const struct lexer *lexer, size_t at) {
    size_t start = at;
    while (start > 0 && lexer->source.at[start - 1] != '\n') start--;
    return at - start + 1;
}

bool lex_fault(struct lexer *lexer, enum fault_kind kind, size_t at, const char *format, ...) {
    char what[512], where[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(where, sizeof where, "%s:%d", lexer->file ? lexer->file : "template", lex_line(lexer, at));
    return fault_set(lexer->fault, kind, where, "column %zu: %s", column_of(lexer, at), what);
}

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

static bool lex_string(struct lexer *lexer) {
    static const char letters[] = "nrt\\'\"", meant[] = "\n\r\t\\'\"";
    char quote = peek(lexer, 0), *start, *to;
    const char *close = lexer->source.at + ++lexer->at;
    const char *end = lexer->source.at + lexer->source.len;
    while (close < end && *close != quote) close += *close == '\\' && end - close > 1 ? 2 : 1;
    if (close >= end) return lex_fault(lexer, FAULT_SYNTAX, lexer->token.start, "this text has no closing quote");
    start = to = arena_alloc(lexer->arena, (size_t)(close - lexer->source.at) - lexer->at + 1);
    for (; peek(lexer, 0) != quote; lexer->at++) {
        char c = peek(lexer, 0);
        if (c == '\\') {
            const char *found = peek(lexer, 1) ? strchr(letters, peek(lexer, 1)) : NULL;
            if (!found)
                return lex_fault(lexer, FAULT_SYNTAX, lexer->at,
                                 "unknown escape; there are \\n, \\r, \\t, \\\\, \\' and \\\"");
            c = meant[found - letters];
            lexer->at++;
        }
        *to++ = c;
    }
    lexer->at++;
    lexer->token.text = (struct text){start, (size_t)(to - start)};
    return done(lexer, TOKEN_STRING);
}

static bool lex_number(struct lexer *lexer) {
    while (is_digit(peek(lexer, 0))) lexer->at++;
    if (peek(lexer, 0) == '.' && is_digit(peek(lexer, 1))) {
        lexer->at++;
        while (is_digit(peek(lexer, 0))) lexer->at++;
    }
    if (is_letter(peek(lexer, 0))) return lex_fault(lexer, FAULT_SYNTAX, lexer->at, "a letter right behind a number");
    return done(lexer, TOKEN_NUMBER);
}

static bool lex_sign(struct lexer *lexer) {
    static const char *const signs[] = {"-}}", "}}", "==", "!=", "<=", ">=", "//", "**", "<", ">", ".", "[", "]", "(",
                                        ")",   "|",  ",",  "~",  "+",  "-",  "*",  "/",  "%", ":", "{", "}", "="};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t n = strlen(signs[i]);
        if (lexer->source.len - lexer->at < n || memcmp(lexer->source.at + lexer->at, signs[i], n) != 0) continue;
        lexer->at += n;
        return done(lexer, i < 2 ? TOKEN_CLOSE : TOKEN_SIGN);
    }
    return lex_fault(lexer, FAULT_SYNTAX, lexer->at, "a character that means nothing in an expression");
}

bool lex_next(struct lexer *lexer) {
    lexer->last_end = lexer->token.end;
    while (peek(lexer, 0) && strchr(" \t\r\n", peek(lexer, 0))) lexer->at++;
    lexer->token = (struct token){.start = lexer->at, .end = lexer->at};
    if (lexer->at >= lexer->source.len)
        return lex_fault(lexer, FAULT_SYNTAX, lexer->at, "the template ends inside an expression; }} is missing");
    char c = peek(lexer, 0);
    if (c == '"' || c == '\'') return lex_string(lexer);
    if (is_digit(c)) return lex_number(lexer);
    if (!is_letter(c)) return lex_sign(lexer);
    while (is_letter(peek(lexer, 0)) || is_digit(peek(lexer, 0))) lexer->at++;
    return done(lexer, TOKEN_NAME);
}
