/* What stands inside {{ }} and {% %}, token by token.
 *
 * The lexer is the parser's of expressions, so that a tag can go from its own words to an expression and back. */
#include "lang/template_compiler.h"

bool tag_next(struct compiler *c) {
    return lex_next(compiler_lexer(c));
}

bool tag_sees(struct compiler *c, const char *word) {
    return lex_is(compiler_lexer(c), word);
}

bool tag_refuse(struct compiler *c, enum fault_kind kind, const char *what) {
    return lex_fault(compiler_lexer(c), kind, compiler_lexer(c)->token.start, "%s", what);
}

bool tag_refuse_rest(struct compiler *c, const char *closing) {
    if (tag_sees(c, "=")) return tag_refuse(c, FAULT_SYNTAX, "to compare, write ==");
    return lex_fault(compiler_lexer(c), FAULT_SYNTAX, compiler_lexer(c)->token.start, "expected %s", closing);
}

bool tag_close(struct compiler *c) {
    struct lexer *lexer = compiler_lexer(c);
    if (lexer->token.kind != TOKEN_CLOSE)
        return tag_refuse_rest(c, lexer->closing[0] == '%' ? "%} or an operator" : "}} or an operator");
    c->trims = lexer->token.text.at[0] == '-';
    lexer->at = lexer->token.end;
    return true;
}

bool tag_expression(struct compiler *c, const struct expr **ret) {
    c->parser.depth = 0;
    return expr_parse(&c->parser, ret);
}
