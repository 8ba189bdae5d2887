/* Filters from text to text. They count characters, not bytes, and see blanks as Python does.
 *
 * Cases are those of Unicode as the C library knows it; where that has no table of Unicode, only a to z change. Regular
 * expressions run within limits of steps, and within a number of matches for one rendering. */
#include <locale.h>
#include <pthread.h>
#include <string.h>
#include <wctype.h>

#include "lang/filter_each.h"
#include "lang/pattern.h"

#define MATCHES_MAX 10000                 /* of patterns, in one rendering */
#define STEPS_MAX (5 * PATTERN_STEPS_MAX) /* of all matches of one rendering; some 50 ms */

/* ---- characters ---- */

static uint32_t read_character(struct text t, size_t at, size_t *ret_len) {
    unsigned char first = (unsigned char)t.at[at];
    size_t len = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    uint32_t code = len == 1 ? first : first & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len && at + i < t.len; i++) code = code << 6 | ((unsigned char)t.at[at + i] & 0x3F);
    *ret_len = at + len <= t.len ? len : t.len - at;
    return code;
}

static void add_character(struct buf *out, uint32_t code) {
    char room[TEXT_CHARACTER_MAX];
    buf_add(out, room, (size_t)(text_put_character(room, code) - room));
}

static struct text first_characters(struct text t, size_t count) {
    size_t at = 0, len;
    for (; count > 0 && at < t.len; count--, at += len) read_character(t, at, &len);
    return (struct text){t.at, at};
}

bool filter_is_space(struct text t, size_t at, size_t *ret_len) {
    uint32_t c = read_character(t, at, ret_len);
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static locale_t unicode; /* made once, for the life of the process; 0 where there is none */

static void make_unicode(void) {
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static uint32_t other_case(uint32_t code, bool upper) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (code < 0x80) {
        if (upper) return code >= 'a' && code <= 'z' ? code - 32 : code;
        return code >= 'A' && code <= 'Z' ? code + 32 : code;
    }
    pthread_once(&once, make_unicode);
    if (!unicode) return code;
    return (uint32_t)(upper ? towupper_l((wint_t)code, unicode) : towlower_l((wint_t)code, unicode));
}

void filter_change_case(struct buf *out, struct text t, bool upper) {
    size_t len;
    for (size_t i = 0; i < t.len; i += len) {
        uint32_t code = read_character(t, i, &len);
        if (upper && code == 0xDF) buf_adds(out, "SS");
        else add_character(out, other_case(code, upper));
    }
}

static bool scalar_text(const struct filter_call *call, struct value value, char room[VALUE_DIGITS], struct text *ret) {
    if (!value_is_scalar(value)) return filter_wrong_kind(call, value, "text");
    *ret = value_scalar_text(value, room);
    return true;
}

static bool apply_case(const struct filter_call *call, struct value value, bool upper, struct value *ret) {
    char room[VALUE_DIGITS];
    struct text t;
    struct buf out;
    if (!scalar_text(call, value, room, &t)) return false;
    expr_made_init(&out);
    filter_change_case(&out, t, upper);
    return filter_made(call, &out, ret);
}

FILTER_APPLY(upper) {
    return apply_case(call, value, true, ret);
}

FILTER_APPLY(lower) {
    return apply_case(call, value, false, ret);
}

FILTER_APPLY(string) {
    if (value.kind == JSON_STRING) return *ret = value, true;
    struct buf out;
    expr_made_init(&out);
    value_write_text(&out, value);
    return filter_made(call, &out, ret);
}

/* ---- trim, split, replace ---- */

static bool is_trimmed(struct text t, size_t at, const struct text *chars, size_t *ret_len) {
    if (!chars) return filter_is_space(t, at, ret_len);
    read_character(t, at, ret_len);
    return chars->len && memmem(chars->at, chars->len, t.at + at, *ret_len);
}

static struct text trimmed(struct text t, const struct text *chars) {
    size_t len;
    while (t.len && is_trimmed(t, 0, chars, &len)) t.at += len, t.len -= len;
    for (size_t at = t.len; at > 0; t.len = at) {
        do at--;
        while (at > 0 && ((unsigned char)t.at[at] & 0xC0) == 0x80);
        if (!is_trimmed(t, at, chars, &len)) break;
    }
    return t;
}

FILTER_APPLY(trim) {
    struct text t, chars;
    char room[VALUE_DIGITS];
    struct buf out;
    if (!scalar_text(call, value, room, &t) || !filter_text_argument(call, 0, "", &chars)) return false;
    t = trimmed(t, call->arguments[0] ? &chars : NULL);
    if (value.kind == JSON_STRING) return *ret = value_text(t), true;
    expr_made_init(&out);
    buf_addt(&out, t);
    return filter_made(call, &out, ret);
}

static void push_text(struct arena *arena, struct json *list, struct text t) {
    json_push(list, json_new_text(arena, t));
}

static void split_at_blanks(struct arena *arena, struct json *list, struct text t, int64_t most) {
    size_t len;
    for (;;) {
        t = trimmed(t, NULL);
        if (t.len == 0) return;
        size_t end = 0;
        while (end < t.len && !filter_is_space(t, end, &len)) end += len;
        if (most-- == 0) end = t.len;
        push_text(arena, list, (struct text){t.at, end});
        t = (struct text){t.at + end, t.len - end};
    }
}

static void split_at(struct arena *arena, struct json *list, struct text t, struct text separator, int64_t most) {
    for (;;) {
        const char *hit = most-- != 0 && t.len ? memmem(t.at, t.len, separator.at, separator.len) : NULL;
        size_t end = hit ? (size_t)(hit - t.at) : t.len;
        push_text(arena, list, (struct text){t.at, end});
        if (!hit) return;
        t = (struct text){hit + separator.len, t.len - end - separator.len};
    }
}

FILTER_APPLY(split) {
    struct text separator;
    int64_t most;
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    if (!filter_text_argument(call, 0, "", &separator) || !filter_int_argument(call, 1, -1, &most)) return false;
    if (call->arguments[0] && separator.len == 0) return filter_fault(call, FAULT_INVALID, "the separator is empty");
    if (!expr_work(call->run, call->expr, value.text.len, call->fault)) return false;
    struct arena *arena = expr_scratch(call->run);
    struct json *list = json_new_array(arena);
    if (call->arguments[0]) split_at(arena, list, value.text, separator, most);
    else split_at_blanks(arena, list, value.text, most);
    *ret = value_of(list);
    return true;
}

static void replace_all(struct buf *out, struct text t, struct text old, struct text new, int64_t count) {
    while (count-- != 0 && t.len) {
        const char *hit = memmem(t.at, t.len, old.at, old.len);
        if (!hit) break;
        size_t before = (size_t)(hit - t.at);
        buf_add(out, t.at, before);
        buf_addt(out, new);
        t = (struct text){hit + old.len, t.len - before - old.len};
    }
    buf_addt(out, t);
}

FILTER_APPLY(replace) {
    char room[3][VALUE_DIGITS];
    struct text t, old, new;
    int64_t count;
    struct buf out;
    if (!scalar_text(call, value, room[0], &t) || !scalar_text(call, *call->arguments[0], room[1], &old)) return false;
    if (!scalar_text(call, *call->arguments[1], room[2], &new) || !filter_int_argument(call, 2, -1, &count))
        return false;
    if (old.len == 0) return filter_fault(call, FAULT_INVALID, "the text to replace is empty");
    expr_made_init(&out);
    replace_all(&out, t, old, new, count);
    return filter_made(call, &out, ret);
}

/* ---- truncate, indent ---- */

FILTER_APPLY(truncate) {
    struct text end, t = value.text;
    int64_t length, leeway;
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    if (!filter_int_argument(call, 0, 255, &length) || !filter_text_argument(call, 2, "...", &end)) return false;
    if (!filter_int_argument(call, 3, 5, &leeway)) return false;
    int64_t tail = (int64_t)text_characters(end);
    if (length < tail || leeway < 0)
        return filter_fault(call, FAULT_INVALID, "the length has to be %lld or more, the leeway 0 or more",
                            (long long)tail);
    if ((int64_t)text_characters(t) - leeway <= length) return *ret = value, true;
    struct text head = first_characters(t, (size_t)(length - tail));
    const char *blank = filter_flag(call, 1, false) || !head.len ? NULL : memrchr(head.at, ' ', head.len);
    if (blank) head.len = (size_t)(blank - head.at);
    struct buf out;
    expr_made_init(&out);
    buf_addt(&out, head);
    buf_addt(&out, end);
    return filter_made(call, &out, ret);
}

/* The length of the line break at `at`, as Python's splitlines() sees it; 0: none. */
static size_t line_break(struct text t, size_t at) {
    size_t len;
    uint32_t c = read_character(t, at, &len);
    if (c == '\r' && at + 1 < t.len && t.at[at + 1] == '\n') return 2;
    bool breaks = (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    return breaks ? len : 0;
}

static void add_indented(struct buf *out, struct text t, struct text indention, bool first, bool blank) {
    bool indents = first;
    for (size_t start = 0;; indents = true) {
        size_t end = start, size = 0, len;
        while (end < t.len && (size = line_break(t, end)) == 0) {
            read_character(t, end, &len);
            end += len;
        }
        if (indents && (end > start || blank || start == 0)) buf_addt(out, indention);
        buf_add(out, t.at + start, end - start);
        if (end >= t.len) return;
        buf_addc(out, '\n');
        start = end + size;
    }
}

FILTER_APPLY(indent) {
    char blanks[100];
    struct text indention = {blanks, 4};
    const struct value *width = call->arguments[0];
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    if (width && width->kind != JSON_INT && width->kind != JSON_STRING)
        return filter_fault(call, FAULT_INVALID, "its width is a number or text");
    if (width && width->kind == JSON_INT && (width->integer < 0 || width->integer > 100))
        return filter_fault(call, FAULT_INVALID, "its width is 0 to 100");
    memset(blanks, ' ', sizeof blanks);
    if (width) indention = width->kind == JSON_STRING ? width->text : (struct text){blanks, (size_t)width->integer};
    struct buf out;
    expr_made_init(&out);
    add_indented(&out, value.text, indention, filter_flag(call, 1, false), filter_flag(call, 2, false));
    return filter_made(call, &out, ret);
}

/* ---- regular expressions ---- */

static bool search(const struct filter_call *call, struct text subject, size_t from, struct text *groups, bool *ret) {
    unsigned done = call->run->matches++;
    if (done >= MATCHES_MAX)
        return filter_fault(call, FAULT_TOO_LARGE, "more than %d matches of patterns in one rendering", MATCHES_MAX);
    size_t left = STEPS_MAX - call->run->pattern_steps;
    enum pattern_result result = pattern_find(call->expr->compiled, subject, from, &left, groups);
    call->run->pattern_steps = STEPS_MAX - left;
    if (result != PATTERN_TOO_HARD) return *ret = result == PATTERN_YES, true;
    return filter_fault(call, FAULT_TOO_LARGE,
                        "the match limit was met: the pattern takes too many steps on this text");
}

/* \1 to \9 and \0 are groups, \\ is a backslash. */
static void add_replacement(struct buf *out, struct text replacement, const struct text *groups) {
    for (size_t i = 0; i < replacement.len; i++) {
        char c = replacement.at[i], after = i + 1 < replacement.len ? replacement.at[i + 1] : 0;
        if (c != '\\' || (after != '\\' && (after < '0' || after > '9'))) buf_addc(out, c);
        else if (after == '\\') buf_addc(out, after), i++;
        else buf_addt(out, groups[after - '0']), i++;
    }
}

static bool replace_matches(const struct filter_call *call, struct text t, struct text replacement, struct buf *out) {
    size_t from = 0, copied = 0, len;
    while (from <= t.len) {
        struct text groups[PATTERN_GROUPS];
        bool found;
        if (!expr_work(call->run, call->expr, (t.len - from) / 64 + 1, call->fault)) return false;
        if (!search(call, t, from, groups, &found)) return false;
        if (!found) break;
        size_t start = (size_t)(groups[0].at - t.at), end = start + groups[0].len;
        if (start < copied) break; /* \K in a look-behind can point back */
        buf_add(out, t.at + copied, start - copied);
        add_replacement(out, replacement, groups);
        copied = from = end;
        if (groups[0].len == 0 && end < t.len) {
            read_character(t, end, &len);
            from = end + len;
        } else if (groups[0].len == 0) {
            break;
        }
    }
    buf_add(out, t.at + copied, t.len - copied);
    return true;
}

FILTER_APPLY(regex_replace) {
    struct text replacement;
    struct buf out;
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    if (!filter_text_argument(call, 1, "", &replacement)) return false;
    expr_made_init(&out);
    if (replace_matches(call, value.text, replacement, &out)) return filter_made(call, &out, ret);
    buf_fini(&out);
    return false;
}

FILTER_APPLY(regex_search) {
    struct text groups[PATTERN_GROUPS];
    int64_t group;
    bool found;
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    if (!filter_int_argument(call, 1, 0, &group)) return false;
    if (group < 0 || group >= PATTERN_GROUPS) return filter_fault(call, FAULT_INVALID, "its group is 0 to 9");
    if (!search(call, value.text, 0, groups, &found)) return false;
    *ret = found && groups[group].at ? value_text(groups[group]) : value_null();
    return true;
}

static bool ask_pattern(const struct filter_call *call, struct value value, bool anchored, bool *ret) {
    struct text groups[PATTERN_GROUPS];
    if (value.kind != JSON_STRING) return filter_wrong_kind(call, value, "text");
    if (!search(call, value.text, 0, groups, ret)) return false;
    if (*ret && anchored) *ret = groups[0].at == value.text.at;
    return true;
}

FILTER_ASK(match) {
    return ask_pattern(call, value, true, ret);
}

FILTER_ASK(search) {
    return ask_pattern(call, value, false, ret);
}
