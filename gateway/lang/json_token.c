/* The escapes of JSON, which are rare enough to stand apart from what reads every byte.
 *
 * Strings are decoded in one place for all that take them: bodies, records, templates that make JSON, and paths. What
 * is wrong is told as a kind, since each of these has a sentence of its own for it. */
#include "lang/json_token.h"

int json_token_unit(const char *at, const char *end) {
    if (end - at < 4) return -1;
    int a = text_hex_value(at[0]), b = text_hex_value(at[1]), c = text_hex_value(at[2]), d = text_hex_value(at[3]);
    return (a | b | c | d) < 0 ? -1 : a << 12 | b << 8 | c << 4 | d;
}

/* Behind "\u". */
static enum json_token_fault take_unicode(const char **at, const char *end, uint32_t *ret_character) {
    int unit = json_token_unit(*at, end);
    if (unit < 0) return JSON_TOKEN_DIGITS;
    *at += 4;
    if (unit == 0) return JSON_TOKEN_NUL;
    *ret_character = (uint32_t)unit;
    if (!json_token_is_high(unit)) return json_token_is_low(unit) ? JSON_TOKEN_HALF : JSON_TOKEN_GOOD;
    bool second = end - *at >= 2 && (*at)[0] == '\\' && (*at)[1] == 'u';
    int low = second ? json_token_unit(*at + 2, end) : -1;
    if (!json_token_is_low(low)) return JSON_TOKEN_HALF;
    *at += 6;
    *ret_character = json_token_pair(unit, low);
    return JSON_TOKEN_GOOD;
}

const char json_token_meant[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};

static inline enum json_token_fault take_escape(const char **at, const char *end, uint32_t *ret_character) {
    if (end - *at < 2) {
        *at = end;
        return JSON_TOKEN_CUT;
    }
    unsigned char c = (unsigned char)(*at)[1];
    *at += 2;
    if (c == 'u') return take_unicode(at, end, ret_character);
    *ret_character = (unsigned char)json_token_meant[c];
    return *ret_character ? JSON_TOKEN_GOOD : JSON_TOKEN_UNKNOWN;
}

enum json_token_fault json_token_escape(const char **at, const char *end, uint32_t *ret_character) {
    return take_escape(at, end, ret_character);
}

/* To the next backslash, or the end. */
static const char *find_escape(const char *at, const char *end) {
    const char *escape = memchr(at, '\\', (size_t)(end - at));
    return escape ? escape : end;
}

enum json_token_fault json_token_check_escapes(const char **at, const char *end) {
    enum json_token_fault fault = JSON_TOKEN_GOOD;
    uint32_t character;
    while (!fault && (*at = find_escape(*at, end)) < end) fault = take_escape(at, end, &character);
    return fault;
}

enum json_token_fault json_token_unescape(const char **ret_at, const char *end, char **ret_to) {
    enum json_token_fault fault = JSON_TOKEN_GOOD;
    const char *at = *ret_at;
    char *to = *ret_to;
    while (!fault && at < end) {
        uint32_t character;
        if (*at != '\\') {
            size_t plain = (size_t)(find_escape(at, end) - at);
            memmove(to, at, plain);
            to += plain, at += plain;
        } else if (!(fault = take_escape(&at, end, &character))) {
            to = text_put_character(to, character);
        }
    }
    *ret_at = at, *ret_to = to;
    return fault;
}
