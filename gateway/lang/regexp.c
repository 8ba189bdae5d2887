/* Regular expressions: one reader for the two dialects that we take, and one form in which they go out.
 *
 * Definitions and documents bring patterns, and three engines see them: PCRE2 here, and whatever a client validates
 * the JSON Schema of a stage with. So a pattern is read by a grammar of our own, RFC 9485's with a few additions for
 * parameters, and written anew in the words that all three share. What they have no common word for (flags,
 * lookbehind, backreferences, \b) is refused, and the sentence says what to write instead.
 *
 * Nothing here matches anything; lang/pattern does. A function that reads has moved the cursor past what it read and
 * has written it, or has set the fault and returns false. */
#include "lang/regexp.h"

#include <string.h>

#define SOURCE_MAX 4096
#define DEPTH_MAX 64
#define COUNT_MAX 65535 /* PCRE2's */
#define LAST_CHARACTER "\xF4\x8F\xBF\xBF"

struct reader {
    struct text source;
    size_t at;
    unsigned depth;
    bool plain;
    struct buf *out;
    struct fault *fault;
};

static bool mistake(struct reader *r, size_t at, const char *what) {
    size_t column = 1 + text_characters((struct text){r->source.at, at < r->source.len ? at : r->source.len});
    return fault_set(r->fault, FAULT_SYNTAX, NULL, "the pattern has a mistake at column %zu: %s", column, what);
}

static char peek_at(const struct reader *r, size_t ahead) {
    return ahead < r->source.len - r->at ? r->source.at[r->at + ahead] : 0;
}

static bool ended(const struct reader *r) {
    return r->at >= r->source.len;
}

static char peek(const struct reader *r) {
    return peek_at(r, 0);
}

static bool sees(const struct reader *r, const char *word) {
    size_t n = strlen(word);
    return r->source.len - r->at >= n && memcmp(r->source.at + r->at, word, n) == 0;
}

static bool take(struct reader *r, const char *word) {
    if (!sees(r, word)) return false;
    r->at += strlen(word);
    return true;
}

static bool is_one_of(char c, const char *set) {
    return c && strchr(set, c);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* ---- characters ---- */

static struct text take_character(struct reader *r) {
    size_t start = r->at++;
    while (!ended(r) && ((unsigned char)peek(r) & 0xC0) == 0x80) r->at++;
    return (struct text){r->source.at + start, r->at - start};
}

static void put_character(struct buf *out, struct text c, bool in_class) {
    char first = c.at[0];
    if (first == '\n') buf_adds(out, "\\n");
    else if (first == '\r') buf_adds(out, "\\r");
    else if (first == '\t') buf_adds(out, "\\t");
    else if ((unsigned char)first < 0x20 || first == 0x7F) buf_addf(out, "\\x%02x", (unsigned)first);
    else {
        if (is_one_of(first, "^$\\.*+?()[]{}|/") || (in_class && first == '-')) buf_addc(out, '\\');
        buf_addt(out, c);
    }
}

void regexp_add_literal(struct buf *out, struct text literal) {
    struct reader r = {.source = literal};
    while (!ended(&r)) put_character(out, take_character(&r), false);
}

/* Behind the backslash: one character that stands for itself, or for a control. */
static bool take_single_escape(struct reader *r, struct text *ret) {
    static const char names[] = "nrt", meant[] = "\n\r\t";
    char c = peek(r);
    if (is_one_of(c, names)) {
        *ret = (struct text){&meant[strchr(names, c) - names], 1};
        r->at++;
        return true;
    }
    bool other = r->plain && c > ' ' && c < 0x7F && !is_digit(c) && ((c | 0x20) < 'a' || (c | 0x20) > 'z');
    if (!is_one_of(c, "()*+-.?[\\]^{|}") && !other) return false;
    *ret = take_character(r);
    return true;
}

/* ---- classes of characters ---- */

/* \p{…}: RFC 9485's categories, which are Unicode's without the surrogates. */
static bool is_category(struct text name) {
    static const char *const all[] = {"Llmotu", "Mcen", "Ndlo", "Pcdefios", "Zlps", "Sckmo", "Ccfno"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (name.len && name.at[0] == all[i][0])
            return name.len == 1 || (name.len == 2 && is_one_of(name.at[1], all[i] + 1));
    return false;
}

static bool take_category(struct reader *r) {
    size_t start = r->at - 1;
    r->at += 2;
    const char *begin = r->source.at + r->at, *end = memchr(begin, '}', r->source.len - r->at);
    struct text name = {begin, end ? (size_t)(end - begin) : 0};
    if (!is_category(name)) return mistake(r, start, "a category of characters is written as \\p{L} or \\p{Lu}");
    r->at += name.len + 1;
    buf_addt(r->out, (struct text){r->source.at + start, r->at - start});
    return true;
}

/* In ASCII, as PCRE2 and ECMAScript have them; Python's would take any digit of Unicode. */
static const char *shorthand(char c) {
    switch (c) {
    case 'd': return "0-9";
    case 'D': return "\\x01-\\x2f\\x3a-" LAST_CHARACTER;
    case 'w': return "0-9A-Z_a-z";
    case 'W': return "\\x01-\\x2f\\x3a-\\x40\\x5b-\\x5e\\x60\\x7b-" LAST_CHARACTER;
    case 's': return "\\x09-\\x0d ";
    case 'S': return "\\x01-\\x08\\x0e-\\x1f\\x21-" LAST_CHARACTER;
    default: return NULL;
    }
}

static bool refuse_escape(struct reader *r, size_t start) {
    char c = peek(r);
    if (ended(r)) return mistake(r, start, "the backslash has nothing behind it");
    if (!r->plain && is_one_of(c, "dDwWsS"))
        return mistake(r, start, "RFC 9485 has no \\d, \\w and \\s; write [0-9], [A-Za-z0-9_], [ \\t\\r\\n]");
    if (!r->plain && c == '$') return mistake(r, start, "RFC 9485 has no \\$; write [$]");
    if (is_one_of(c, "bB"))
        return mistake(r, start, "word boundaries are not supported; a pattern has to spell them out");
    if (is_digit(c) || is_one_of(c, "gk")) return mistake(r, start, "references to groups are not supported");
    if (is_one_of(c, "AzZ")) return mistake(r, start, "write ^ and $ for the ends");
    return mistake(r, start, "there is no such escape");
}

/* Behind the backslash: \p{…}, or a shorthand. *ret_found is false where it is neither. */
static bool read_class_escape(struct reader *r, bool in_class, bool *ret_found) {
    *ret_found = is_one_of(peek(r), "pP") && peek_at(r, 1) == '{';
    if (*ret_found) return take_category(r);
    const char *ranges = r->plain ? shorthand(peek(r)) : NULL;
    *ret_found = ranges != NULL;
    if (!ranges) return true;
    r->at++;
    buf_addf(r->out, in_class ? "%s" : "[%s]", ranges);
    return true;
}

static bool take_class_character(struct reader *r, struct text *ret) {
    size_t start = r->at;
    if (take(r, "\\")) return take_single_escape(r, ret) || refuse_escape(r, start);
    if (ended(r)) return mistake(r, start, "the class of characters lacks its ]");
    if (peek(r) == '-') return mistake(r, start, "a - inside a class has to be first or last, or written as \\-");
    if (r->plain && sees(r, "[:"))
        return mistake(r, start, "classes such as [:alpha:] are not supported; write A-Za-z");
    if (peek(r) == '[' && !r->plain) return mistake(r, start, "a [ inside a class is written as \\[");
    if (peek(r) == ']') return mistake(r, start, "an empty class of characters; a ] inside one is written as \\]");
    *ret = take_character(r);
    return true;
}

static bool comes_after(struct text a, struct text b) {
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len); /* UTF-8 sorts as its characters do */
    return order > 0 || (order == 0 && a.len > b.len);
}

static bool read_class_part(struct reader *r) {
    size_t start = r->at;
    bool found = false;
    if (take(r, "\\")) {
        if (!read_class_escape(r, true, &found)) return false;
        if (found) return true;
        r->at = start;
    }
    struct text low, high;
    if (!take_class_character(r, &low)) return false;
    put_character(r->out, low, true);
    if (peek(r) != '-' || peek_at(r, 1) == ']') return true;
    r->at++;
    if (!take_class_character(r, &high)) return false;
    if (comes_after(low, high)) return mistake(r, start, "this range of characters runs backwards");
    buf_addc(r->out, '-');
    put_character(r->out, high, true);
    return true;
}

static bool read_class(struct reader *r) {
    buf_addc(r->out, '[');
    if (take(r, "^")) buf_addc(r->out, '^');
    bool first = take(r, "-");
    if (first) buf_adds(r->out, "\\-");
    while (!first || peek(r) != ']') {
        first = true;
        if (sees(r, "-]")) {
            r->at++;
            buf_adds(r->out, "\\-");
        } else if (!read_class_part(r)) return false;
    }
    r->at++;
    buf_addc(r->out, ']');
    return true;
}

/* ---- atoms, pieces, branches ---- */

static bool read_alternatives(struct reader *r);

static bool refuse_group(struct reader *r, size_t start) {
    if (!r->plain) return mistake(r, start, "RFC 9485 has only plain groups: ( … )");
    if (sees(r, "<=") || sees(r, "<!")) return mistake(r, start, "looking behind is not supported");
    if (sees(r, "i")) return mistake(r, start, "flags are not supported; write both cases: [Aa]");
    return mistake(r, start, "of the groups that begin with (? there are (?: (?= and (?!");
}

static bool read_group(struct reader *r, bool *ret_repeats) {
    size_t start = r->at - 1;
    const char *opening = "(?:";
    *ret_repeats = true;
    if (take(r, "?")) {
        if (r->plain && take(r, ":")) opening = "(?:";
        else if (r->plain && (sees(r, "=") || sees(r, "!"))) {
            opening = peek(r) == '=' ? "(?=" : "(?!";
            r->at++;
            *ret_repeats = false;
        } else return refuse_group(r, start);
    }
    if (++r->depth > DEPTH_MAX) return mistake(r, start, "groups are nested too deeply");
    buf_adds(r->out, opening);
    if (!read_alternatives(r)) return false;
    r->depth--;
    if (!take(r, ")")) return mistake(r, start, "the group lacks its closing bracket");
    buf_addc(r->out, ')');
    return true;
}

static bool read_escape(struct reader *r) {
    size_t start = r->at - 1;
    bool found;
    struct text single;
    if (!read_class_escape(r, false, &found)) return false;
    if (found) return true;
    if (!take_single_escape(r, &single)) return refuse_escape(r, start);
    put_character(r->out, single, false);
    return true;
}

/* *ret_repeats: a quantifier may follow. */
static bool read_atom(struct reader *r, bool *ret_repeats) {
    *ret_repeats = true;
    if (take(r, "(")) return read_group(r, ret_repeats);
    if (take(r, "[")) return read_class(r);
    if (take(r, "\\")) return read_escape(r);
    if (is_one_of(peek(r), "*+?{")) return mistake(r, r->at, "there is nothing to repeat here");
    if (is_one_of(peek(r), "]}")) return mistake(r, r->at, "a bracket that closes nothing; for itself it needs a \\");
    if (peek(r) == '^' || peek(r) == '$') {
        *ret_repeats = !r->plain;
        buf_adds(r->out, peek(r) == '^' ? "(?:^)" : "(?:" REGEXP_END ")");
        r->at++;
        return true;
    }
    if (take(r, ".")) buf_adds(r->out, "[^\\n\\r]");
    else put_character(r->out, take_character(r), false);
    return true;
}

static bool read_count(struct reader *r, int64_t *ret) {
    size_t start = r->at;
    while (is_digit(peek(r))) r->at++;
    if (r->at == start) return mistake(r, start, "a count is written as {2}, {2,} or {2,5}; for itself a { needs a \\");
    if (!text_to_int((struct text){r->source.at + start, r->at - start}, ret) || *ret > COUNT_MAX)
        return mistake(r, start, "a count may be 65535 at most");
    return true;
}

static bool read_counts(struct reader *r) {
    size_t start = r->at - 1;
    int64_t least, most;
    if (!read_count(r, &least)) return false;
    most = least;
    bool open = take(r, ",");
    if (open && peek(r) != '}') {
        if (!read_count(r, &most)) return false;
        open = false;
    }
    if (!take(r, "}")) return mistake(r, start, "the count lacks its }");
    if (most < least) return mistake(r, start, "the second count is less than the first");
    if (open) buf_addf(r->out, "{%lld,}", (long long)least);
    else buf_addf(r->out, "{%lld,%lld}", (long long)least, (long long)most);
    return true;
}

static bool read_piece(struct reader *r) {
    bool repeats;
    if (!read_atom(r, &repeats)) return false;
    if (!is_one_of(peek(r), "*+?{")) return true;
    if (!repeats) return mistake(r, r->at, "there is nothing to repeat here");
    char c = peek(r);
    r->at++;
    if (c == '{' && !read_counts(r)) return false;
    if (c != '{') buf_addc(r->out, c);
    if (r->plain && take(r, "?")) buf_addc(r->out, '?');
    return true;
}

static bool read_alternatives(struct reader *r) {
    while (!ended(r) && peek(r) != ')') {
        if (take(r, "|")) buf_addc(r->out, '|');
        else if (!read_piece(r)) return false;
    }
    return true;
}

bool regexp_rewrite(struct buf *out, struct text source, enum regexp_dialect dialect, struct fault *fault) {
    struct reader r = {.source = source, .plain = dialect == REGEXP_PLAIN, .out = out, .fault = fault};
    if (source.len > SOURCE_MAX)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "the pattern has more than %d bytes", SOURCE_MAX);
    if (!text_utf8_check(source) || (source.len && memchr(source.at, 0, source.len)))
        return mistake(&r, 0, "it is not UTF-8 without U+0000");
    if (!read_alternatives(&r)) return false;
    return ended(&r) || mistake(&r, r.at, "a bracket that closes nothing; for itself it needs a \\");
}
