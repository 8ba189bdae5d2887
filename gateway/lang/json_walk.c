/* Going over JSON text without making anything of it.
 *
 * Where a hundred thousand records are read to be held as text again, a tree of each would be made for nothing. Here
 * each byte is looked at once, and what comes out are slices. All of a text is checked on the way, the parts that
 * nobody asks for too: RFC 8259, UTF-8, no U+0000 and no lone surrogates, as lang/json has it. Called by run/record and
 * run/journal, and by lang/json_parse for what it makes nothing of. */
#include "lang/json_walk.h"

#include <string.h>

#include "lang/json_token.h"

struct walk {
    const char *at, *end;
};

static void skip_blanks(struct walk *walk) {
    walk->at = json_token_skip_blanks(walk->at, walk->end);
}

static bool take(struct walk *walk, char c) {
    if (walk->at == walk->end || *walk->at != c) return false;
    walk->at++;
    return true;
}

/* ---- passing values ---- */

static __attribute__((noinline)) bool check_string(struct walk *walk, struct text inner, unsigned holds) {
    const char *at = inner.at, *end = at + inner.len;
    if (holds & JSON_TOKEN_WIDE && !text_utf8_check(inner)) return false;
    if (!(holds & JSON_TOKEN_ODD) || !json_token_check_escapes(&at, end)) return true;
    walk->at = at;
    return false;
}

static bool pass_string(struct walk *walk) {
    struct text inner;
    unsigned holds;
    if (walk->at == walk->end || *walk->at != '"') return false;
    if (!json_token_string(&walk->at, walk->end, &inner, &holds)) return false;
    return !(holds & (JSON_TOKEN_WIDE | JSON_TOKEN_ODD)) || check_string(walk, inner, holds);
}

static bool pass_number(struct walk *walk) {
    struct json_token_number number;
    return json_token_number(&walk->at, walk->end, &number);
}

static bool pass_word(struct walk *walk, struct text word) {
    return json_token_word(&walk->at, walk->end, word);
}

static bool pass_value(struct walk *walk, int depth);

static bool pass_array(struct walk *walk, int depth) {
    walk->at++;
    skip_blanks(walk);
    if (take(walk, ']')) return true;
    do {
        if (!pass_value(walk, depth)) return false;
    } while (take(walk, ','));
    return take(walk, ']');
}

static bool pass_colon(struct walk *walk) {
    skip_blanks(walk);
    return take(walk, ':');
}

/* Behind a member, up to the next one. */
static bool next_name(struct walk *walk) {
    if (!take(walk, ',')) return false;
    skip_blanks(walk);
    return true;
}

static bool pass_object(struct walk *walk, int depth) {
    walk->at++;
    skip_blanks(walk);
    if (take(walk, '}')) return true;
    do
        if (!pass_string(walk) || !pass_colon(walk) || !pass_value(walk, depth)) return false;
    while (next_name(walk));
    return take(walk, '}');
}

/* With the space around it. */
static bool pass_value(struct walk *walk, int depth) {
    bool good;
    skip_blanks(walk);
    if (walk->at == walk->end) return false;
    switch (*walk->at) {
    case '"': good = pass_string(walk); break;
    case '{': good = depth > 0 && pass_object(walk, depth - 1); break;
    case '[': good = depth > 0 && pass_array(walk, depth - 1); break;
    case 't': good = pass_word(walk, TEXT("true")); break;
    case 'f': good = pass_word(walk, TEXT("false")); break;
    case 'n': good = pass_word(walk, TEXT("null")); break;
    default: good = pass_number(walk);
    }
    skip_blanks(walk);
    return good;
}

bool json_walk_pass(const char **at, const char *end, size_t depth) {
    struct walk walk = {*at, end};
    bool good = pass_value(&walk, (int)depth);
    *at = walk.at;
    return good;
}

static struct text slice(const char *from, const char *to) {
    return text_trim((struct text){from, (size_t)(to - from)});
}

/* ---- members and elements ---- */

/* Where the name is in the list; `count` where it is not. Looked for from `from` on, and round. */
static size_t find_name(const struct text *names, size_t count, size_t from, struct text name) {
    for (size_t i = 0; i < count; i++) {
        size_t j = from + i < count ? from + i : from + i - count;
        if (text_same(names[j], name)) return j;
    }
    return count;
}

static bool pass_members(struct walk *walk, const struct text *names, size_t count, struct text *ret_values) {
    size_t next = 0;
    do {
        const char *began = walk->at;
        if (!pass_string(walk)) return false;
        const struct text name = {began + 1, (size_t)(walk->at - began) - 2};
        if (!pass_colon(walk)) return false;
        const char *value = walk->at;
        if (!pass_value(walk, JSON_WALK_DEPTH - 1)) return false;
        size_t i = find_name(names, count, next, name);
        if (i == count) continue;
        if (ret_values[i].len) return false;
        ret_values[i] = slice(value, walk->at);
        next = i + 1;
    } while (next_name(walk));
    return take(walk, '}');
}

bool json_walk_members(struct text object, const struct text *names, size_t count, struct text *ret_values,
                       size_t *ret_at) {
    struct walk walk = {object.at, object.at + object.len};
    memset(ret_values, 0, count * sizeof *ret_values);
    skip_blanks(&walk);
    bool good = take(&walk, '{');
    skip_blanks(&walk);
    good = good && (take(&walk, '}') || pass_members(&walk, names, count, ret_values));
    skip_blanks(&walk);
    *ret_at = (size_t)(walk.at - object.at);
    return good && walk.at == walk.end;
}

bool json_walk_next(struct text *rest, struct text *ret_value) {
    struct walk walk = {rest->at, rest->at + rest->len};
    if (!take(&walk, '[') && !take(&walk, ',')) return false;
    const char *value = walk.at;
    if (!pass_value(&walk, JSON_WALK_DEPTH)) return false;
    *ret_value = slice(value, walk.at);
    *rest = (struct text){walk.at, (size_t)(walk.end - walk.at)};
    return true;
}

/* ---- values ---- */

enum json_kind json_walk_kind(struct text value) {
    if (!value.len) return JSON_NULL;
    switch (value.at[0]) {
    case '"': return JSON_STRING;
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case 't':
    case 'f': return JSON_BOOL;
    case 'n': return JSON_NULL;
    default: break;
    }
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] == '.' || value.at[i] == 'e' || value.at[i] == 'E') return JSON_REAL;
    return JSON_INT;
}

bool json_walk_empty(struct text value) {
    enum json_kind kind = json_walk_kind(value);
    if (kind != JSON_ARRAY && kind != JSON_OBJECT) return true;
    return text_trim((struct text){value.at + 1, value.len - 2}).len == 0;
}

int64_t json_walk_int(struct text value) {
    int64_t number;
    return text_to_int(value, &number) ? number : 0;
}

static char *as_text(char *copy, size_t len) {
    const char *at = copy;
    char *to = copy;
    if (!json_token_unescape(&at, copy + len, &to)) *to = 0;
    return copy;
}

char *json_walk_string(struct text value) {
    if (json_walk_kind(value) != JSON_STRING) return NULL;
    return as_text(mem_strndup(value.at + 1, value.len - 2), value.len - 2);
}

char *json_walk_string_in(struct arena *arena, struct text value) {
    if (json_walk_kind(value) != JSON_STRING) return NULL;
    return as_text(arena_strndup(arena, value.at + 1, value.len - 2), value.len - 2);
}
