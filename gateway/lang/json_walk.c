/* Going over JSON text without making anything of it.
 *
 * Where a hundred thousand records are read to be held as text again, a tree of each would be made for nothing. Here
 * each byte is looked at once, and what comes out are slices. All of a text is checked on the way, the parts that
 * nobody asks for too: RFC 8259, UTF-8, no U+0000 and no lone surrogates, as lang/json has it. Called by run/record and
 * run/journal. */
#include "lang/json_walk.h"

#include <endian.h>
#include <string.h>

struct walk {
    const char *at, *end;
};

static void skip_space(struct walk *walk) {
    while (walk->at < walk->end && (*walk->at == ' ' || *walk->at == '\n' || *walk->at == '\r' || *walk->at == '\t'))
        walk->at++;
}

static bool take(struct walk *walk, char c) {
    if (walk->at == walk->end || *walk->at != c) return false;
    walk->at++;
    return true;
}

/* ---- strings ---- */

static int hex4(const char *at) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = text_hex_value(at[i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Behind \u. -1: it is no character; U+0000 is none. */
static int take_unit(struct walk *walk) {
    if (walk->end - walk->at < 4) return -1;
    int unit = hex4(walk->at);
    walk->at += 4;
    return unit ? unit : -1;
}

static int take_character(struct walk *walk) {
    int unit = take_unit(walk);
    if (unit < 0xD800 || unit > 0xDFFF) return unit;
    if (unit > 0xDBFF || !take(walk, '\\') || !take(walk, 'u')) return -1;
    int low = take_unit(walk);
    return low < 0xDC00 || low > 0xDFFF ? -1 : 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
}

/* Behind the backslash. */
static bool pass_escape(struct walk *walk) {
    if (walk->at == walk->end) return false;
    char c = *walk->at++;
    if (c == 'u') return take_character(walk) > 0;
    return c && strchr("\"\\/bfnrt", c);
}

/* A bit for each of eight bytes that is looked at by itself: quotes, backslashes, control characters, what is not
 * ASCII. The lowest bit is right; one above it may stand for a byte that is none of these. */
static uint64_t specials(const char *at) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    bytes = le64toh(bytes);
    uint64_t quotes = bytes ^ ones * '"', escapes = bytes ^ ones * '\\';
    return (bytes | (bytes - ones * 0x20) | (quotes - ones) | (escapes - ones)) & ones << 7;
}

static void skip_plain(struct walk *walk) {
    while (walk->end - walk->at >= 8) {
        uint64_t found = specials(walk->at);
        walk->at += found ? __builtin_ctzll(found) / 8 : 8;
        if (found) return;
    }
}

static bool pass_string(struct walk *walk) {
    const char *began = walk->at;
    bool ascii = true;
    if (!take(walk, '"')) return false;
    for (;;) {
        skip_plain(walk);
        if (walk->at == walk->end) return false;
        unsigned char c = (unsigned char)*walk->at++;
        if (c == '"') return ascii || text_utf8_check((struct text){began, (size_t)(walk->at - began)});
        if (c < 0x20 || (c == '\\' && !pass_escape(walk))) return false;
        ascii = ascii && c < 0x80;
    }
}

/* ---- the other values ---- */

static bool pass_digits(struct walk *walk) {
    const char *began = walk->at;
    while (walk->at < walk->end && *walk->at >= '0' && *walk->at <= '9') walk->at++;
    return walk->at > began;
}

static bool pass_number(struct walk *walk) {
    take(walk, '-');
    if (!take(walk, '0') && !pass_digits(walk)) return false;
    if (take(walk, '.') && !pass_digits(walk)) return false;
    if (!take(walk, 'e') && !take(walk, 'E')) return true;
    if (!take(walk, '+')) take(walk, '-');
    return pass_digits(walk);
}

static bool pass_word(struct walk *walk, const char *word, size_t n) {
    if ((size_t)(walk->end - walk->at) < n || memcmp(walk->at, word, n) != 0) return false;
    walk->at += n;
    return true;
}

static bool pass_value(struct walk *walk, int depth);

static bool pass_array(struct walk *walk, int depth) {
    walk->at++;
    skip_space(walk);
    if (take(walk, ']')) return true;
    do {
        if (!pass_value(walk, depth)) return false;
    } while (take(walk, ','));
    return take(walk, ']');
}

/* A member's name, up to its value. */
static bool pass_name(struct walk *walk) {
    skip_space(walk);
    if (!pass_string(walk)) return false;
    skip_space(walk);
    return take(walk, ':');
}

static bool pass_object(struct walk *walk, int depth) {
    walk->at++;
    skip_space(walk);
    if (take(walk, '}')) return true;
    do {
        if (!pass_name(walk) || !pass_value(walk, depth)) return false;
    } while (take(walk, ','));
    return take(walk, '}');
}

/* With the space around it. */
static bool pass_value(struct walk *walk, int depth) {
    bool good;
    skip_space(walk);
    if (walk->at == walk->end) return false;
    switch (*walk->at) {
    case '"': good = pass_string(walk); break;
    case '{': good = depth > 0 && pass_object(walk, depth - 1); break;
    case '[': good = depth > 0 && pass_array(walk, depth - 1); break;
    case 't': good = pass_word(walk, "true", 4); break;
    case 'f': good = pass_word(walk, "false", 5); break;
    case 'n': good = pass_word(walk, "null", 4); break;
    default: good = pass_number(walk);
    }
    skip_space(walk);
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
        const char *name = walk->at;
        if (!pass_name(walk)) return false;
        struct text named = slice(name, walk->at - 1);
        const char *value = walk->at;
        if (!pass_value(walk, JSON_WALK_DEPTH - 1)) return false;
        size_t i = find_name(names, count, next, (struct text){named.at + 1, named.len - 2});
        if (i == count) continue;
        if (ret_values[i].len) return false;
        ret_values[i] = slice(value, walk->at);
        next = i + 1;
    } while (take(walk, ','));
    return take(walk, '}');
}

bool json_walk_members(struct text object, const struct text *names, size_t count, struct text *ret_values,
                       size_t *ret_at) {
    struct walk walk = {object.at, object.at + object.len};
    memset(ret_values, 0, count * sizeof *ret_values);
    skip_space(&walk);
    bool good = take(&walk, '{');
    skip_space(&walk);
    good = good && (take(&walk, '}') || pass_members(&walk, names, count, ret_values));
    skip_space(&walk);
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

static char *put_utf8(char *to, int c) {
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const int heads[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (char)(heads[more] | c >> 6 * more);
    while (more--) *to++ = (char)(0x80 | (c >> 6 * more & 0x3F));
    return to;
}

/* In place: an escape is never shorter than what it stands for. */
static void unescape(char *text, size_t len) {
    struct walk walk = {text, text + len};
    char *to = text;
    while (walk.at < walk.end) {
        char c = *walk.at++;
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
        c = *walk.at++;
        const char *letter = strchr(letters, c);
        if (c == 'u') to = put_utf8(to, take_character(&walk));
        else *to++ = letter ? meant[letter - letters] : c;
    }
    *to = 0;
}

static char *as_text(char *copy, size_t len) {
    if (memchr(copy, '\\', len)) unescape(copy, len);
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
