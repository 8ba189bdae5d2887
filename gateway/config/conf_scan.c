/* Reads configuration text as libconfig 1.5 will, one step ahead of it.
 *
 * Two passes. The first copies a file into one text, puts what it includes in place, and remembers for each line where
 * it came from; it knows comments and strings, and so finds those that never end (libconfig takes an open comment for
 * the end of the file, and succeeds). The second cuts that text into tokens and walks libconfig's grammar over them,
 * not to build anything, but to say what a human did wrong: libconfig itself only says "syntax error". It also notes
 * the lines on which values begin and end, since libconfig takes the line of the token behind them.
 *
 * What passes here is parsed by libconfig afterwards. Being a little stricter is fine (`1b` is one bad word here, and
 * an integer followed by a name there), being laxer only makes for a worse sentence. */
#include "config/conf_scan.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- the first pass: one text of many files ---- */

struct gather {
    struct arena *arena;
    const struct conf_reader *reader;
    struct faults *faults;
    struct buf text;
    struct buf places; /* of struct conf_place */
};

static void gather_line(struct gather *g, const char *file, int line) {
    struct conf_place place = {file, line};
    buf_add(&g->places, &place, sizeof place);
}

static bool gather_fault(struct gather *g, enum fault_kind kind, const char *file, int line, const char *what) {
    const char *where = line ? arena_printf(g->arena, "%s:%d", file, line) : file;
    faults_addf(g->faults, kind, where, "%s", what);
    return false;
}

static bool gather_file(struct gather *g, const char *path, int depth, const char *from, int from_line);

/* A line `@include "path"`, standing alone. *ret_len is its length up to the newline. */
static bool gather_include(struct gather *g, const char *file, int line, struct text rest, int depth, size_t *ret_len) {
    const char *newline = memchr(rest.at, '\n', rest.len);
    *ret_len = newline ? (size_t)(newline - rest.at) : rest.len;
    struct text words = text_trim((struct text){rest.at, *ret_len});
    words = text_trim((struct text){words.at + strlen("@include"), words.len - strlen("@include")});
    const char *close = words.len >= 2 && words.at[0] == '"' ? memchr(words.at + 1, '"', words.len - 1) : NULL;
    if (!close || close != words.at + words.len - 1)
        return gather_fault(g, FAULT_SYNTAX, file, line,
                            "an @include stands alone on its line, with a path in quotes: @include \"common.conf\"");
    if (depth == CONF_MAX_INCLUDES)
        return gather_fault(g, FAULT_TOO_LARGE, file, line,
                            "files include each other more than 10 deep; does one include itself?");
    const char *path = arena_strndup(g->arena, words.at + 1, words.len - 2);
    return gather_file(g, conf_path_beside(g->arena, file, path), depth + 1, file, line);
}

/* The end of the string that begins at s[0] == '"', behind its closing quote; 0 where there is none. */
static size_t string_end(const char *s, size_t len) {
    for (size_t i = 1; i < len; i++) {
        if (s[i] == '\\') i++;
        else if (s[i] == '"') return i + 1;
    }
    return 0;
}

static size_t comment_end(const char *s, size_t len) {
    const char *end = len >= 4 ? memmem(s + 2, len - 2, "*/", 2) : NULL;
    return end ? (size_t)(end - s) + 2 : 0;
}

static size_t line_end(const char *s, size_t len) {
    const char *end = memchr(s, '\n', len);
    return end ? (size_t)(end - s) : len;
}

static bool string_check(struct gather *g, const char *file, int line, struct text s) {
    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.at[i] == '\n') line++;
        if (s.at[i] != '\\') continue;
        i++;
        if (s.len - i > 2 && memcmp(s.at + i, "x00", 3) == 0)
            return gather_fault(g, FAULT_INVALID, file, line, "\\x00 is not possible in a string");
        if (s.at[i] == '\n') line++;
    }
    return true;
}

/* A string whose closing quote was forgotten ends at the next one, behind the `name =` of a later setting. */
static bool string_ran_on(struct text s) {
    const char *newline = memrchr(s.at, '\n', s.len);
    if (!newline) return false;
    struct text last = text_trim((struct text){newline, (size_t)(s.at + s.len - 1 - newline)});
    return last.len && strchr("=:", last.at[last.len - 1]);
}

static bool at_line_start(struct text t, size_t i) {
    while (i > 0 && (t.at[i - 1] == ' ' || t.at[i - 1] == '\t')) i--;
    return i == 0 || t.at[i - 1] == '\n';
}

static void gather_copy(struct gather *g, const char *file, int *line, struct text t) {
    buf_addt(&g->text, t);
    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] == '\n') gather_line(g, file, (*line)++);
}

static bool gather_text(struct gather *g, const char *file, struct text t, int depth) {
    int line = 1, ran_on = 0;
    for (size_t i = 0; i < t.len;) {
        const char *s = t.at + i;
        size_t left = t.len - i, n = 1;
        if (s[0] == '@' && at_line_start(t, i) && text_starts((struct text){s, left}, "@include")) {
            if (!gather_include(g, file, line, (struct text){s, left}, depth, &n)) return false;
            i += n;
            continue;
        }
        if (s[0] == '"') {
            n = string_end(s, left);
            if (!n && ran_on)
                return gather_fault(
                    g, FAULT_SYNTAX, file, ran_on,
                    "the string that begins here runs on over other settings; its closing quote is missing");
            if (!n) return gather_fault(g, FAULT_SYNTAX, file, line, "the string that begins here never ends");
            if (!ran_on && string_ran_on((struct text){s, n})) ran_on = line;
            if (!string_check(g, file, line, (struct text){s, n})) return false;
        } else if (left > 1 && s[0] == '/' && s[1] == '*') {
            n = comment_end(s, left);
            if (!n) return gather_fault(g, FAULT_SYNTAX, file, line, "the comment /* that begins here never ends");
        } else if (s[0] == '#' || (left > 1 && s[0] == '/' && s[1] == '/')) {
            n = line_end(s, left);
        }
        gather_copy(g, file, &line, (struct text){s, n});
        i += n;
    }
    if (t.len == 0 || t.at[t.len - 1] != '\n') gather_copy(g, file, &line, TEXT("\n"));
    return true;
}

static int count_lines(struct text t) {
    int lines = 1;
    for (size_t i = 0; i < t.len; i++) lines += t.at[i] == '\n';
    return lines;
}

static int bad_utf8_line(struct text t) {
    for (int line = 1;; line++) {
        struct text head;
        if (!text_cut(&t, '\n', &head) || !text_utf8_check(head)) return line;
    }
}

static bool gather_file(struct gather *g, const char *path, int depth, const char *from, int from_line) {
    struct text t;
    struct fault fault;
    if (!g->reader->read(g->reader->arg, g->arena, path, &t, &fault)) {
        if (from) return gather_fault(g, fault.kind, from, from_line, fault.what);
        faults_addf(g->faults, fault.kind, path, "%s", fault.what);
        return false;
    }
    const char *nul = t.len ? memchr(t.at, 0, t.len) : NULL;
    if (nul)
        return gather_fault(g, FAULT_SYNTAX, path, count_lines((struct text){t.at, (size_t)(nul - t.at)}),
                            "there is a NUL byte here; this is no text");
    if (!text_utf8_check(t))
        return gather_fault(g, FAULT_SYNTAX, path, bad_utf8_line(t), "there are bytes here that are not UTF-8");
    if (t.len >= 3 && memcmp(t.at, "\xEF\xBB\xBF", 3) == 0) t.at += 3, t.len -= 3; /* editors leave a byte order mark */
    if (!gather_text(g, path, t, depth)) return false;
    if (g->text.full) return gather_fault(g, FAULT_TOO_LARGE, path, 0, "with all that it includes it is over 1 MiB");
    return true;
}

/* ---- tokens ---- */

enum token_kind {
    TOKEN_NAME,
    TOKEN_BOOL,
    TOKEN_INT,
    TOKEN_INT64,
    TOKEN_REAL,
    TOKEN_STRING,
    TOKEN_SIGN,
    TOKEN_BAD,
    TOKEN_END
};

struct token {
    enum token_kind kind;
    struct text text;
    int line, last_line;
};

struct walk {
    struct arena *arena;
    struct faults *faults;
    const struct conf_scan *scan;
    size_t at;
    int line;
    int ran_on; /* the line on which a string begins that seems to lack its closing quote, or 0 */
    struct token token;
    struct token before;
    size_t settings;
    struct buf values; /* of struct conf_extent */
};

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || memchr("_*.+-", c, 5);
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t skip_digits(struct text t, size_t i) {
    while (i < t.len && is_digit(t.at[i])) i++;
    return i;
}

static bool is_real(struct text t) {
    size_t i = t.at[0] == '-' || t.at[0] == '+' ? 1 : 0;
    size_t whole = skip_digits(t, i), digits = whole - i;
    i = whole;
    bool dot = i < t.len && t.at[i] == '.';
    if (dot) {
        size_t end = skip_digits(t, i + 1);
        digits += end - i - 1;
        i = end;
    }
    if (digits == 0) return false;
    if (i == t.len) return dot;
    if (t.at[i] != 'e' && t.at[i] != 'E') return false;
    i++;
    if (i < t.len && (t.at[i] == '-' || t.at[i] == '+')) i++;
    return i < t.len && skip_digits(t, i) == t.len;
}

static bool is_name(struct text t) {
    if (!is_letter(t.at[0]) && t.at[0] != '*') return false;
    return !memchr(t.at, '.', t.len) && !memchr(t.at, '+', t.len);
}

/* An integer as libconfig writes it: decimal with a sign, or 0x and hex; L or LL behind it for 64 bits. */
static bool is_integer(struct text t, struct text *ret_digits, bool *ret_hex, bool *ret_long) {
    size_t suffix = 0;
    while (suffix < 2 && suffix < t.len && t.at[t.len - 1 - suffix] == 'L') suffix++;
    t.len -= suffix;
    *ret_long = suffix > 0;
    *ret_hex = t.len > 2 && t.at[0] == '0' && (t.at[1] == 'x' || t.at[1] == 'X');
    if (*ret_hex) {
        *ret_digits = (struct text){t.at + 2, t.len - 2};
        for (size_t i = 2; i < t.len; i++)
            if (!is_digit(t.at[i]) && !memchr("abcdefABCDEF", t.at[i], 12)) return false;
        return true;
    }
    if (t.len && t.at[0] == '+') t.at++, t.len--;
    *ret_digits = t;
    size_t i = t.len && t.at[0] == '-' ? 1 : 0;
    return i < t.len && skip_digits(t, i) == t.len;
}

static enum token_kind classify(struct text t) {
    struct text digits;
    bool hex, wide;
    if (text_is_nocase(t, "true") || text_is_nocase(t, "false")) return TOKEN_BOOL;
    if (is_integer(t, &digits, &hex, &wide)) return wide ? TOKEN_INT64 : TOKEN_INT;
    if (is_real(t)) return TOKEN_REAL;
    return is_name(t) ? TOKEN_NAME : TOKEN_BAD;
}

static size_t skip_space(struct walk *w) {
    struct text t = w->scan->text;
    for (;;) {
        const char *s = t.at + w->at;
        size_t left = t.len - w->at, n = 0;
        if (left == 0) return 0;
        if (*s == '\n') w->line++, n = 1;
        else if (strchr(" \t\r\f", *s)) n = 1;
        else if (*s == '#' || (left > 1 && s[0] == '/' && s[1] == '/')) n = line_end(s, left);
        else if (left > 1 && s[0] == '/' && s[1] == '*') {
            n = comment_end(s, left);
            w->line += count_lines((struct text){s, n}) - 1;
        } else return left;
        w->at += n;
    }
}

static struct token next_token(struct walk *w) {
    size_t left = skip_space(w);
    const char *s = w->scan->text.at + w->at;
    struct token token = {.kind = TOKEN_END, .text = {s, 0}, .line = w->line, .last_line = w->line};
    if (left == 0) return token;
    size_t n = 1;
    if (*s == '"') {
        n = string_end(s, left);
        token.kind = TOKEN_STRING;
        w->line += count_lines((struct text){s, n}) - 1;
        token.last_line = w->line;
        if (!w->ran_on && string_ran_on((struct text){s, n})) w->ran_on = token.line;
    } else if (is_word(*s)) {
        while (n < left && is_word(s[n])) n++;
        token.kind = classify((struct text){s, n});
    } else if (strchr("=:;,{}()[]", *s)) {
        token.kind = TOKEN_SIGN;
    } else {
        token.kind = TOKEN_BAD;
        while (n < left && !strchr(" \t\r\n\f\"=:;,{}()[]", s[n])) n++;
    }
    token.text.len = n;
    w->at += n;
    return token;
}

static void advance(struct walk *w) {
    w->before = w->token;
    w->token = next_token(w);
}

static bool is_sign(const struct walk *w, char sign) {
    return w->token.kind == TOKEN_SIGN && w->token.text.at[0] == sign;
}

/* ---- the second pass: libconfig's grammar ---- */

static bool refuse_at(struct walk *w, int line, enum fault_kind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static bool refuse_at(struct walk *w, int line, enum fault_kind kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *what = arena_vprintf(w->arena, format, args);
    va_end(args);
    struct conf_place place = conf_scan_place(w->scan, line);
    const char *hint = "";
    if (w->ran_on)
        hint = arena_printf(w->arena, " (does the string that begins on line %d lack its closing quote?)",
                            conf_scan_place(w->scan, w->ran_on).line);
    faults_addf(w->faults, kind, arena_printf(w->arena, "%s:%d", place.file, place.line), "%s%s", what, hint);
    return false;
}

#define refuse(w, ...) refuse_at((w), (w)->token.line, FAULT_SYNTAX, __VA_ARGS__)

static struct text shown(struct text t) {
    if (t.len > 40) t.len = 40;
    while (t.len && !text_utf8_check(t)) t.len--;
    return t;
}

static bool refuse_closer(struct walk *w, char opener, int opened) {
    int line = conf_scan_place(w->scan, opened).line;
    if (w->token.kind == TOKEN_END)
        return refuse_at(w, opened, FAULT_SYNTAX, "the %c that begins here is never closed", opener);
    return refuse(w, "%c does not close the %c of line %d", w->token.text.at[0], opener, line);
}

static bool check_integer(struct walk *w) {
    struct text t = w->token.text, digits;
    bool hex, wide, fits;
    int64_t value = 0;
    is_integer(t, &digits, &hex, &wide);
    if (hex) {
        while (digits.len > 1 && digits.at[0] == '0') digits.at++, digits.len--;
        fits = digits.len <= 16 && !(digits.len == 16 && digits.at[0] >= '8');
        if (fits) value = (int64_t)strtoull(arena_strndup(w->arena, digits.at, digits.len), NULL, 16);
    } else {
        fits = text_to_int(digits, &value);
    }
    if (!fits) return refuse(w, "%.*s does not fit into 64 bits", TEXT_ARG(shown(t)));
    if (!wide && (value > INT32_MAX || value < INT32_MIN))
        return refuse(w, "%.*s does not fit into 32 bits; write %.*sL", TEXT_ARG(t), TEXT_ARG(t));
    return true;
}

static bool refuse_value(struct walk *w, const char *of) {
    struct text t = shown(w->token.text);
    if (w->token.kind == TOKEN_END) return refuse(w, "the file ends where the value of \"%s\" should stand", of);
    if (w->token.kind == TOKEN_SIGN) {
        if (strchr("=:", t.at[0])) return refuse(w, "there is one %c too many after \"%s\"", t.at[0], of);
        return refuse(w, "the value of \"%s\" is missing", of);
    }
    static const char *const yes[] = {"yes", "no", "on", "off"};
    for (size_t i = 0; i < 4; i++)
        if (text_is_nocase(t, yes[i]))
            return refuse(w, "%.*s is no boolean here; write %s", TEXT_ARG(t), i % 2 ? "false" : "true");
    if (t.at[0] == '\'') return refuse(w, "strings stand in double quotes, not in single ones");
    return refuse(w, "text needs quotes: \"%.*s\"", TEXT_ARG(t));
}

static bool walk_value(struct walk *w, const char *of, int depth);
static bool walk_settings(struct walk *w, char opener, int opened, int depth);

static bool is_end(const struct walk *w) {
    return w->token.kind == TOKEN_END || (w->token.kind == TOKEN_SIGN && strchr("})]", w->token.text.at[0]));
}

/* A setting without braces around it, where an element of a list should stand. */
static bool is_bare_setting(const struct walk *w) {
    if (w->token.kind != TOKEN_NAME) return false;
    struct walk ahead = *w;
    struct token next = next_token(&ahead);
    return next.kind == TOKEN_SIGN && next.text.at[0] == '=';
}

/* `first` is the kind of an array's first element, TOKEN_END where this is it. */
static bool check_element(struct walk *w, const char *of, bool array, enum token_kind first) {
    if (array && w->token.kind == TOKEN_SIGN && strchr("{([", w->token.text.at[0]))
        return refuse(w, "[ ] holds plain values only; write \"%s\" with ( ) to hold groups or lists", of);
    bool plain = w->token.kind <= TOKEN_STRING && w->token.kind != TOKEN_NAME;
    if (array && first != TOKEN_END && plain && first != w->token.kind)
        return refuse(w, "the values of [ ] must be of one kind; write \"%s\" with ( ) to mix them", of);
    if (!array && is_bare_setting(w))
        return refuse(w, "settings in a list stand in braces: ( { %.*s = … } )", TEXT_ARG(shown(w->token.text)));
    return true;
}

/* At what stands behind an element; afterwards at the next one, or at the closer. */
static bool check_separator(struct walk *w, char opener, char closer, int opened) {
    if (is_sign(w, closer)) return true;
    if (is_sign(w, ';')) return refuse(w, "values in %c %c are separated by commas, not by ;", opener, closer);
    if (is_end(w)) return refuse_closer(w, opener, opened);
    if (!is_sign(w, ',')) return refuse(w, "a comma is missing before %.*s", TEXT_ARG(shown(w->token.text)));
    advance(w);
    return !is_sign(w, closer) || refuse(w, "there is a comma too many before %c", closer);
}

static bool walk_elements(struct walk *w, const char *of, char opener, int depth) {
    char closer = opener == '[' ? ']' : ')';
    int opened = w->token.line;
    enum token_kind first = TOKEN_END;
    advance(w);
    while (!is_sign(w, closer)) {
        if (is_end(w)) return refuse_closer(w, opener, opened);
        if (!check_element(w, of, opener == '[', first)) return false;
        if (first == TOKEN_END) first = w->token.kind;
        if (!walk_value(w, of, depth) || !check_separator(w, opener, closer, opened)) return false;
    }
    return true;
}

/* At the first token of a value; afterwards at the one behind it. */
static bool walk_value(struct walk *w, const char *of, int depth) {
    if (depth > CONF_MAX_DEPTH)
        return refuse_at(w, w->token.line, FAULT_TOO_LARGE, "more than 32 levels inside each other");
    size_t mine = w->values.len;
    struct conf_extent extent = {w->token.line, w->token.last_line};
    buf_add(&w->values, &extent, sizeof extent);
    switch (w->token.kind) {
    case TOKEN_STRING:
        while (w->token.kind == TOKEN_STRING) {
            extent.last_line = w->token.last_line;
            advance(w);
        }
        memcpy(w->values.at + mine, &extent, sizeof extent);
        return true;
    case TOKEN_INT:
    case TOKEN_INT64:
        if (!check_integer(w)) return false;
        break;
    case TOKEN_BOOL:
    case TOKEN_REAL: break;
    case TOKEN_SIGN:
        if (is_sign(w, '{')) {
            int opened = w->token.line;
            advance(w);
            if (!walk_settings(w, '{', opened, depth + 1)) return false;
        } else if (is_sign(w, '(') || is_sign(w, '[')) {
            if (!walk_elements(w, of, w->token.text.at[0], depth + 1)) return false;
        } else return refuse_value(w, of);
        break;
    default: return refuse_value(w, of);
    }
    extent.last_line = w->token.last_line;
    memcpy(w->values.at + mine, &extent, sizeof extent);
    advance(w);
    return true;
}

static bool check_name(struct walk *w) {
    struct text t = shown(w->token.text);
    if (w->token.kind == TOKEN_NAME) return true;
    if (w->token.kind == TOKEN_BOOL) return refuse(w, "%.*s cannot be a setting's name", TEXT_ARG(t));
    if (w->token.kind == TOKEN_STRING)
        return refuse(w, "a setting's name stands without quotes, and here is the string %.*s", TEXT_ARG(t));
    if (is_sign(w, ';') || is_sign(w, ',')) return refuse(w, "there is one %c too many", t.at[0]);
    if (w->token.kind == TOKEN_SIGN) return refuse(w, "a setting's name should stand here, not %c", t.at[0]);
    if (text_starts(t, "@"))
        return refuse(w, "%.*s is unknown; there is only @include, at the begin of a line", TEXT_ARG(t));
    return refuse(w, "\"%.*s\" cannot be a setting's name: letters, digits, - and _, and a letter first", TEXT_ARG(t));
}

struct seen {
    struct text name;
    int line;
    struct seen *next;
};

static bool check_duplicate(struct walk *w, struct seen **seen) {
    for (const struct seen *s = *seen; s; s = s->next)
        if (text_same(s->name, w->token.text))
            return refuse(w, "\"%.*s\" is set twice; the first time on line %d", TEXT_ARG(s->name),
                          conf_scan_place(w->scan, s->line).line);
    struct seen *mine = arena_new_of(w->arena, struct seen);
    *mine = (struct seen){w->token.text, w->token.line, *seen};
    *seen = mine;
    if (++w->settings > CONF_MAX_SETTINGS)
        return refuse_at(w, w->token.line, FAULT_TOO_LARGE, "more than %d settings in one file", CONF_MAX_SETTINGS);
    return true;
}

/* Up to the closing brace, at which it stops, or to the end of the text where `opener` is 0. */
static bool walk_settings(struct walk *w, char opener, int opened, int depth) {
    struct seen *seen = NULL;
    for (;;) {
        if (opener && is_sign(w, '}')) return true;
        if (w->token.kind == TOKEN_END) return opener ? refuse_closer(w, opener, opened) : true;
        if (w->token.kind == TOKEN_SIGN && strchr("})]", w->token.text.at[0]))
            return opener ? refuse_closer(w, opener, opened)
                          : refuse(w, "there is one %c too many", w->token.text.at[0]);
        if (!check_name(w) || !check_duplicate(w, &seen)) return false;
        const char *name = arena_strndup(w->arena, w->token.text.at, w->token.text.len);
        advance(w);
        if (!is_sign(w, '=') && !is_sign(w, ':'))
            return refuse_at(w, w->before.line, FAULT_SYNTAX, "= is missing after \"%s\"", name);
        advance(w);
        if (!walk_value(w, name, depth)) return false;
        if (is_sign(w, ';') || is_sign(w, ',')) advance(w);
    }
}

static bool walk_text(struct arena *arena, struct conf_scan *scan, struct faults *faults) {
    struct walk w = {.arena = arena, .faults = faults, .scan = scan, .line = 1};
    buf_init(&w.values, SIZE_MAX / 2);
    advance(&w);
    bool ok = walk_settings(&w, 0, 0, 0);
    scan->values = arena_copy(arena, buf_text(&w.values).at, w.values.len);
    scan->value_count = w.values.len / sizeof(struct conf_extent);
    buf_fini(&w.values);
    return ok;
}

struct conf_place conf_scan_place(const struct conf_scan *scan, int line) {
    if (line < 1) line = 1;
    if ((size_t)line > scan->place_count) line = (int)scan->place_count;
    return scan->places[line - 1];
}

bool conf_scan(struct arena *arena, const char *path, const struct conf_reader *reader, struct conf_scan *ret_scan,
               struct faults *faults) {
    struct gather g = {.arena = arena, .reader = reader, .faults = faults};
    buf_init(&g.text, CONF_MAX_BYTES);
    buf_init(&g.places, SIZE_MAX / 2);
    bool ok = gather_file(&g, arena_strdup(arena, path), 0, NULL, 0);
    struct conf_scan scan = {0};
    if (ok) {
        scan.text = (struct text){arena_strndup(arena, g.text.at, g.text.len), g.text.len};
        scan.places = arena_copy(arena, g.places.at, g.places.len);
        scan.place_count = g.places.len / sizeof(struct conf_place);
    }
    buf_fini(&g.text);
    buf_fini(&g.places);
    if (!ok || !walk_text(arena, &scan, faults)) return false;
    *ret_scan = scan;
    return true;
}
