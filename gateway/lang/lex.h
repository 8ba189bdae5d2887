/* The tokens of an expression inside a template's {{ }}. */
#ifndef LANG_LEX_H
#define LANG_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

enum token_kind {
    TOKEN_NAME,   /* identifiers and the words and, or, not, in, is, if, else, true… */
    TOKEN_STRING, /* text holds what it means, escapes taken out */
    TOKEN_NUMBER, /* text holds the digits */
    TOKEN_SIGN,   /* text holds the sign: . [ ] ( ) | , ~ == … */
    TOKEN_CLOSE   /* the }} or -}} that ends the expression */
};

struct token {
    enum token_kind kind;
    struct text text;
    size_t start, end; /* in the source */
};

struct lexer {
    struct arena *arena; /* strings with escapes go here */
    struct text source;
    size_t at;
    struct token token; /* the one at hand */
    size_t last_end;    /* where the one before it ended */
    const char *file;
    int line;       /* of the byte at line_at; both move together */
    size_t line_at; /* 0 at first */
    struct fault *fault;
};

/* Reads the token at `at`; false with a fault at rubbish, or where the source ends. */
bool lex_next(struct lexer *lexer);
bool lex_is(const struct lexer *lexer, const char *sign_or_word); /* a NAME or SIGN of that text */

/* Sets a fault about the source's byte `at`: where = "file:line", the column in the sentence. Returns false. */
bool lex_fault(struct lexer *lexer, enum fault_kind kind, size_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int lex_line(struct lexer *lexer, size_t at);

#endif
