/* The tokens of expressions and tags inside a template. */
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
    TOKEN_CLOSE   /* the }} or %} that ends the expression, a - before it included; or the end of a bare expression */
};

struct token {
    enum token_kind kind;
    struct text text;
    size_t start, end; /* in the source */
};

/* A text that is compiled, and where it stands. Lives as long as what was compiled from it, for faults at render. */
struct lex_origin {
    struct text source;
    const char *file;
    int line; /* of the file, on which the source begins (1…) */
};

struct lexer {
    struct arena *arena; /* strings with escapes go here */
    const struct lex_origin *origin;
    struct text source; /* the origin's */
    size_t at;
    struct token token;  /* the one at hand */
    size_t last_end;     /* where the one before it ended */
    const char *closing; /* "}}" or "%}"; NULL: a bare expression, which ends with the source */
    unsigned open;       /* brackets: inside of { } a }} closes maps */
    struct fault *fault;
};

/* Reads the token at `at`; false with a fault at rubbish, or where the source ends. */
bool lex_next(struct lexer *lexer);
bool lex_is(const struct lexer *lexer, const char *sign_or_word); /* a NAME or SIGN of that text */

/* Sets a fault about the source's byte `at`: where = "file:line:column", lines = that line and a caret. Returns false.
 */
bool lex_fault(struct lexer *lexer, enum fault_kind kind, size_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same about `span`, a slice of the origin's source. */
bool lex_fault_at(const struct lex_origin *origin, struct text span, struct fault *fault, enum fault_kind kind,
                  const char *what);
/* Fills `lines` of a fault that has been set: the line and a caret below `span` of it. `fault` may be NULL. */
void lex_show(struct fault *fault, struct text line, struct text span);
int lex_line(const struct lex_origin *origin, const char *at);
bool lex_is_blank(char c);

#endif
