/* Reads a path in the dialect of Jayway's JsonPath (2.x), and writes it as RFC 9535 has it.
 *
 * Nearly the same are names, indexes, slices and simple filters; names that RFC 9535 wants in quotes get them. A path
 * without `$` begins with it in Jayway too. What has no counterpart is refused with its reason: functions behind a
 * path, scripts, patterns, operators such as `anyof`. concat() at the root, which people build status URLs with, is
 * taken apart. What comes out was written by this file and is RFC 9535; orca/import compiles it all the same. */
#include "orca/jayway.h"

#include <string.h>

#include "orca/jinja.h"

#define FILTER_MAX_DEPTH 32

struct reader {
    struct arena *arena;
    struct text source;
    size_t at;
    struct fault *fault;
    bool definite;
    unsigned depth;
    struct buf *path, *member;
};

static bool refuse(struct reader *r, enum fault_kind kind, size_t at, const char *what) {
    return fault_set(r->fault, kind, NULL, "column %zu of %.*s: %s", at + 1,
                     r->source.len > 200 ? 200 : (int)r->source.len, r->source.at, what);
}

static char peek(const struct reader *r) {
    return r->at < r->source.len ? r->source.at[r->at] : 0;
}

static void skip_blanks(struct reader *r) {
    while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\n' || peek(r) == '\r') r->at++;
}

static bool take(struct reader *r, const char *sign) {
    size_t len = strlen(sign);
    if (r->source.len - r->at < len || memcmp(r->source.at + r->at, sign, len) != 0) return false;
    r->at += len;
    return true;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* 'a\'b': the text that it means. Jayway takes a backslash as "the next one as it is". */
static bool read_quoted(struct reader *r, struct text *ret) {
    char quote = peek(r);
    size_t start = r->at++;
    struct buf text;
    buf_init(&text, JAYWAY_MAX_BYTES);
    while (r->at < r->source.len && peek(r) != quote) {
        if (peek(r) == '\\' && r->at + 1 < r->source.len) r->at++;
        buf_addc(&text, r->source.at[r->at++]);
    }
    bool closed = r->at < r->source.len;
    if (closed) r->at++;
    *ret = (struct text){arena_strndup(r->arena, buf_cstr(&text), text.len), text.len};
    buf_fini(&text);
    return closed || refuse(r, FAULT_SYNTAX, start, "this quote is never closed");
}

/* ---- writing ---- */

static void add_quoted(struct buf *out, struct text value) { /* RFC 9535, 2.3.1.1 */
    buf_addc(out, '\'');
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if (c == '\'' || c == '\\') buf_addf(out, "\\%c", c);
        else if (c < 0x20) buf_addf(out, "\\u%04x", c);
        else buf_addc(out, (char)c);
    }
    buf_addc(out, '\'');
}

static void add_name(struct reader *r, struct text name, bool descendant) {
    bool plain = jinja_is_name(name);
    if (plain) buf_addf(r->path, "%s%.*s", descendant ? ".." : ".", TEXT_ARG(name));
    else {
        buf_adds(r->path, descendant ? "..[" : "[");
        add_quoted(r->path, name);
        buf_addc(r->path, ']');
    }
    jinja_add_member(r->member, name);
}

/* ---- filters: the condition is written to `path` as it is read ---- */

static bool read_segments(struct reader *r, bool in_filter);
static bool read_or(struct reader *r);

static bool read_filter_path(struct reader *r) {
    struct buf unused, *member = r->member;
    bool definite = r->definite;
    buf_init(&unused, JAYWAY_MAX_BYTES * 8);
    r->member = &unused;
    buf_addc(r->path, peek(r));
    r->at++;
    bool good = read_segments(r, true);
    r->member = member;
    r->definite = definite;
    buf_fini(&unused);
    return good;
}

static bool read_number(struct reader *r) {
    size_t start = r->at;
    if (peek(r) == '-') r->at++;
    while (is_digit(peek(r)) || peek(r) == '.' || peek(r) == 'e' || peek(r) == 'E' ||
           ((peek(r) == '-' || peek(r) == '+') && (r->source.at[r->at - 1] == 'e' || r->source.at[r->at - 1] == 'E')))
        r->at++;
    buf_add(r->path, r->source.at + start, r->at - start);
    return true;
}

static bool read_operand(struct reader *r) {
    static const char *const words[] = {"true", "false", "null"};
    struct text value;
    skip_blanks(r);
    char c = peek(r);
    if (c == '@' || c == '$') return read_filter_path(r);
    if (c == '\'' || c == '"') {
        if (!read_quoted(r, &value)) return false;
        add_quoted(r->path, value);
        return true;
    }
    if (is_digit(c) || c == '-') return read_number(r);
    for (size_t i = 0; i < 3; i++)
        if (take(r, words[i])) return buf_adds(r->path, words[i]), true;
    if (c == '/') return refuse(r, FAULT_UNSUPPORTED, r->at, "a pattern has no counterpart; write match(@.x, 'a.*')");
    if (c == '[') return refuse(r, FAULT_UNSUPPORTED, r->at, "a list is possible behind in and nin only");
    return refuse(r, FAULT_SYNTAX, r->at, "here a path (@.x), a text or a number is expected");
}

/* `@.x in ['a', 'b']`: each of them, compared. */
static bool read_in(struct reader *r, struct text left, bool not_in) {
    skip_blanks(r);
    if (!take(r, "[")) return refuse(r, FAULT_UNSUPPORTED, r->at, "behind in and nin only a list in place is possible");
    buf_adds(r->path, not_in ? "!(" : "(");
    for (bool first = true;; first = false) {
        buf_addf(r->path, "%s%.*s == ", first ? "" : " || ", TEXT_ARG(left));
        if (!read_operand(r)) return false;
        skip_blanks(r);
        if (take(r, "]")) break;
        if (!take(r, ",")) return refuse(r, FAULT_SYNTAX, r->at, "here a comma or ] is expected");
    }
    buf_addc(r->path, ')');
    return true;
}

static bool read_operator(struct reader *r, size_t left_at) {
    static const char *const pairs[][2] = {{"===", "=="}, {"!==", "!="}, {"==", "=="}, {"!=", "!="},
                                           {"<=", "<="},  {">=", ">="},  {"<", "<"},   {">", ">"}};
    skip_blanks(r);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (!take(r, pairs[i][0])) continue;
        buf_addf(r->path, " %s ", pairs[i][1]);
        return read_operand(r);
    }
    if (take(r, "=~")) return refuse(r, FAULT_UNSUPPORTED, r->at - 2, "=~ has no counterpart; write match(@.x, 'a.*')");
    size_t start = r->at;
    while ((peek(r) >= 'a' && peek(r) <= 'z') || (peek(r) >= 'A' && peek(r) <= 'Z')) r->at++;
    struct text word = {r->source.at + start, r->at - start};
    bool in = text_is_nocase(word, "in"), nin = text_is_nocase(word, "nin");
    if (!word.len) return true; /* a test for existence */
    if (!in && !nin)
        return refuse(r, FAULT_UNSUPPORTED, start,
                      arena_printf(r->arena, "the operator %.*s has no counterpart in RFC 9535", TEXT_ARG(word)));
    struct text left = {arena_strndup(r->arena, r->path->at + left_at, r->path->len - left_at), r->path->len - left_at};
    r->path->len = left_at;
    return read_in(r, left, nin);
}

static bool read_unary(struct reader *r) {
    skip_blanks(r);
    if (++r->depth > FILTER_MAX_DEPTH) return refuse(r, FAULT_TOO_LARGE, r->at, "more than 32 levels");
    bool good;
    if (peek(r) == '!' && !(r->at + 1 < r->source.len && r->source.at[r->at + 1] == '=')) {
        r->at++;
        buf_addc(r->path, '!');
        skip_blanks(r);
        bool group = peek(r) == '(';
        if (!group) buf_addc(r->path, '(');
        good = read_unary(r);
        if (!group) buf_addc(r->path, ')');
    } else if (take(r, "(")) {
        buf_addc(r->path, '(');
        good = read_or(r);
        skip_blanks(r);
        good = good && (take(r, ")") || refuse(r, FAULT_SYNTAX, r->at, "here a ) is expected"));
        buf_addc(r->path, ')');
    } else {
        size_t left_at = r->path->len;
        good = read_operand(r) && read_operator(r, left_at);
    }
    r->depth--;
    return good;
}

static bool read_chain(struct reader *r, const char *sign, bool (*part)(struct reader *)) {
    if (!part(r)) return false;
    for (skip_blanks(r); take(r, sign); skip_blanks(r)) {
        buf_addf(r->path, " %s ", sign);
        if (!part(r)) return false;
    }
    return true;
}

static bool read_and(struct reader *r) {
    return read_chain(r, "&&", read_unary);
}

static bool read_or(struct reader *r) {
    return read_chain(r, "||", read_and);
}

static bool read_filter(struct reader *r) {
    r->definite = false;
    skip_blanks(r);
    if (!take(r, "(")) return refuse(r, FAULT_UNSUPPORTED, r->at, "a filter is written [?(…)]; one by name is Java's");
    buf_adds(r->path, "[?");
    if (!read_or(r)) return false;
    skip_blanks(r);
    if (!take(r, ")")) return refuse(r, FAULT_SYNTAX, r->at, "here a ) is expected");
    buf_addc(r->path, ']');
    return true;
}

/* ---- segments ---- */

static bool read_integer(struct reader *r, struct text *ret) {
    size_t start = r->at;
    int64_t value;
    if (peek(r) == '-') r->at++;
    while (is_digit(peek(r))) r->at++;
    *ret = (struct text){r->source.at + start, r->at - start};
    if (!ret->len) return true;
    if (!text_to_int(*ret, &value) || value > INT32_MAX || value < -INT32_MAX)
        return refuse(r, FAULT_SYNTAX, start, "this is no index");
    char room[TEXT_INT_MAX]; /* 007 is no index of RFC 9535 */
    struct text number = text_of_int(value, room);
    ret->at = arena_strndup(r->arena, number.at, number.len);
    ret->len = number.len;
    return true;
}

/* [0], [-1], [0,1], [1:3] */
static bool read_indexes(struct reader *r) {
    struct text number;
    buf_addc(r->path, '[');
    for (size_t count = 1;; count++) {
        skip_blanks(r);
        if (!read_integer(r, &number)) return false;
        buf_addt(r->path, number);
        skip_blanks(r);
        bool slice = peek(r) == ':';
        if (!number.len && !slice)
            return refuse(r, FAULT_SYNTAX, r->at, "here an index or a name in quotes is expected");
        if (count == 1 && peek(r) == ']') buf_addf(r->member, "[%.*s]", TEXT_ARG(number));
        else r->definite = false;
        if (slice) {
            r->at++;
            if (!read_integer(r, &number)) return false;
            buf_addf(r->path, ":%.*s", TEXT_ARG(number));
            skip_blanks(r);
        }
        if (peek(r) != ',') break;
        r->at++;
        buf_addc(r->path, ',');
    }
    buf_addc(r->path, ']');
    return true;
}

static bool read_bracket(struct reader *r, bool descendant) {
    size_t start = r->at++;
    struct text name;
    skip_blanks(r);
    if (take(r, "?")) {
        if (descendant) buf_adds(r->path, "..");
        if (!read_filter(r)) return false;
    } else if (take(r, "*")) {
        buf_adds(r->path, descendant ? "..[*]" : "[*]");
        r->definite = false;
    } else if (peek(r) == '(') {
        return refuse(r, FAULT_UNSUPPORTED, r->at, "scripts have no counterpart; the last element is written [-1]");
    } else if (peek(r) == '\'' || peek(r) == '"') {
        if (!read_quoted(r, &name)) return false;
        add_name(r, name, descendant);
        skip_blanks(r);
        if (peek(r) == ',')
            return refuse(r, FAULT_UNSUPPORTED, r->at,
                          "several names at once give an object in orca, and no one value");
    } else {
        if (descendant) buf_adds(r->path, "..");
        if (!read_indexes(r)) return false;
    }
    skip_blanks(r);
    return take(r, "]") || refuse(r, FAULT_SYNTAX, start, "this bracket is never closed");
}

static bool refuse_function(struct reader *r, size_t start, struct text name) {
    static const char *const functions[] = {"length", "size",  "min",  "max",    "avg",    "stddev", "sum",
                                            "keys",   "first", "last", "concat", "append", "index"};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (text_is(name, functions[i]))
            return refuse(r, FAULT_UNSUPPORTED, start,
                          arena_printf(r->arena,
                                       "%s() is a function of Jayway's; RFC 9535 has functions in filters only",
                                       functions[i]));
    return refuse(r, FAULT_SYNTAX, start, "( cannot stand in a name without quotes");
}

static bool ends_name(const struct reader *r, bool in_filter) {
    char c = peek(r);
    if (!c || c == '.' || c == '[' || c == '(' || c == ' ' || c == '\t' || c == '\n' || c == '\r') return true;
    return in_filter && strchr(")=!<>&|,]", c);
}

static bool read_name(struct reader *r, bool descendant, bool in_filter) {
    size_t start = r->at;
    while (!ends_name(r, in_filter)) r->at++;
    struct text name = {r->source.at + start, r->at - start};
    if (!name.len) return refuse(r, FAULT_SYNTAX, start, "here a name is expected");
    if (peek(r) == '(') return refuse_function(r, start, name);
    if (text_is(name, "*")) {
        buf_adds(r->path, descendant ? "..*" : ".*");
        r->definite = false;
    } else add_name(r, name, descendant);
    return true;
}

static bool read_segments(struct reader *r, bool in_filter) {
    for (;;) {
        bool good, descendant = take(r, "..");
        if (descendant) r->definite = false;
        if (peek(r) == '[') good = read_bracket(r, descendant);
        else if (descendant) good = read_name(r, true, in_filter);
        else if (take(r, ".")) good = peek(r) == '[' ? read_bracket(r, false) : read_name(r, false, in_filter);
        else return true;
        if (!good) return false;
    }
}

static bool read_path(struct reader *r, bool in_list) {
    if (peek(r) == '$' || peek(r) == '@') {
        r->at++;
        buf_addc(r->path, '$');
        return read_segments(r, in_list);
    }
    buf_addc(r->path, '$');
    return read_name(r, false, in_list) && read_segments(r, in_list); /* Jayway puts "$." in front too */
}

/* ---- concat ---- */

static bool read_argument(struct reader *r, struct jayway_part *part) {
    skip_blanks(r);
    if (peek(r) == '"' || peek(r) == '\'') return read_quoted(r, &part->text);
    if (peek(r) != '$') return refuse(r, FAULT_SYNTAX, r->at, "concat() takes texts in quotes and paths");
    struct buf path, member;
    buf_init(&path, JAYWAY_MAX_BYTES * 8);
    buf_init(&member, JAYWAY_MAX_BYTES * 8);
    size_t start = r->at;
    r->path = &path, r->member = &member, r->definite = true;
    bool good = read_path(r, true);
    part->is_path = true;
    part->path = arena_strdup(r->arena, buf_cstr(&path));
    part->member = arena_strdup(r->arena, buf_cstr(&member));
    buf_fini(&path);
    buf_fini(&member);
    return good && (r->definite || refuse(r, FAULT_UNSUPPORTED, start, "this path can lead to more than one value"));
}

static bool read_concat(struct reader *r, struct jayway *ret) {
    struct jayway_part *parts = arena_array_of(r->arena, struct jayway_part, JAYWAY_MAX_PARTS);
    for (;;) {
        if (ret->part_count == JAYWAY_MAX_PARTS) return refuse(r, FAULT_TOO_LARGE, r->at, "more than 32 arguments");
        if (!read_argument(r, &parts[ret->part_count++])) return false;
        skip_blanks(r);
        if (take(r, ")")) break;
        if (!take(r, ",")) return refuse(r, FAULT_SYNTAX, r->at, "here a comma or ) is expected");
    }
    ret->parts = parts;
    ret->definite = true;
    return true;
}

/* ---- the whole ---- */

static bool read_end(struct reader *r) {
    skip_blanks(r);
    return r->at == r->source.len || refuse(r, FAULT_SYNTAX, r->at, "this cannot stand here");
}

bool jayway_read(struct arena *arena, struct text source, struct jayway *ret, struct fault *fault) {
    struct reader r = {.arena = arena, .source = text_trim(source), .fault = fault, .definite = true};
    struct buf path, member;
    *ret = (struct jayway){0};
    if (!r.source.len) return fault_set(fault, FAULT_SYNTAX, NULL, "the path is empty");
    if (r.source.len > JAYWAY_MAX_BYTES)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "the path has more than %d bytes", JAYWAY_MAX_BYTES);
    if (take(&r, "concat(") || take(&r, "$.concat(")) return read_concat(&r, ret) && read_end(&r);
    buf_init(&path, JAYWAY_MAX_BYTES * 64);
    buf_init(&member, JAYWAY_MAX_BYTES * 8);
    r.path = &path;
    r.member = &member;
    bool good = read_path(&r, false) && read_end(&r);
    if (good && path.full) good = fault_set(fault, FAULT_TOO_LARGE, NULL, "the path becomes too long");
    ret->definite = r.definite;
    ret->path = arena_strdup(arena, buf_cstr(&path));
    ret->member = r.definite ? arena_strdup(arena, buf_cstr(&member)) : NULL;
    buf_fini(&path);
    buf_fini(&member);
    return good;
}
