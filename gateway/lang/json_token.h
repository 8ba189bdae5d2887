/* What JSON text is made of (RFC 8259): blanks, strings with their escapes, numbers, words. Private to lang/:
 * lang/json_parse makes values of it, lang/json_walk goes over it, and what else has escapes as JSON has them reads
 * them here.
 *
 * Nothing here takes memory, has limits of its own, or reads at `end` or behind it. What takes `const char **at` moves
 * it to behind what it has read. What is called for each value is inline: half of the time of reading JSON is here. */
#ifndef LANG_JSON_TOKEN_H
#define LANG_JSON_TOKEN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "base/word.h"

static inline const char *json_token_skip_blanks(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) at++;
    return at;
}

static inline bool json_token_word(const char **at, const char *end, struct text word) {
    if ((size_t)(end - *at) < word.len || memcmp(*at, word.at, word.len) != 0) return false;
    *at += word.len;
    return true;
}

/* ---- numbers ---- */

struct json_token_number {
    const char *first; /* the first digit */
    size_t digits;     /* of the integer */
    bool real;         /* there is a fraction or an exponent */
};

/* False where there is none. */
static inline bool json_token_digits(const char **at, const char *end) {
    const char *from = *at, *to = from;
    while (to < end && *to >= '0' && *to <= '9') to++;
    *at = to;
    return to > from;
}

/* Of a number that has one, or an exponent, or both. */
static inline bool json_token_fraction(const char **at, const char *end) {
    if (**at == '.') {
        (*at)++;
        if (!json_token_digits(at, end)) return false;
    }
    if (*at == end || (**at != 'e' && **at != 'E')) return true;
    (*at)++;
    if (*at < end && (**at == '+' || **at == '-')) (*at)++;
    return json_token_digits(at, end);
}

/* False, with `*at` at what does not belong there, for what is no number. */
static inline bool json_token_number(const char **at, const char *end, struct json_token_number *ret_number) {
    const char *first = *at + (*at < end && **at == '-'), *to = first;
    bool any = json_token_digits(&to, end);
    *at = to;
    ret_number->first = first;
    ret_number->digits = (size_t)(to - first);
    ret_number->real = to < end && (*to == '.' || *to == 'e' || *to == 'E');
    if (!any || (*first == '0' && to - first > 1)) return false;
    return !ret_number->real || json_token_fraction(at, end);
}

/* ---- strings ---- */

/* What a string holds beside plain ASCII, and what is left to be done about it. */
enum {
    JSON_TOKEN_ESCAPES = 1, /* to be taken out */
    JSON_TOKEN_ODD = 2,     /* one of them is \u, or none that there is: to be checked */
    JSON_TOKEN_WIDE = 4,    /* characters that are not ASCII: to be checked */
};

extern const char json_token_meant[256]; /* by an escape of one letter: "\\n"; 0: there is none */

/* The first quote, backslash or control character from `at` on. What is not ASCII is told of, and may stand behind. */
static inline const char *json_token_skip_plain(const char *at, const char *end, unsigned *holds) {
    for (; end - at >= 8; at += 8) {
        uint64_t word = word_load(at, 8);
        uint64_t candidates = word_below(word, ' ') | word_equal(word, '"') | word_equal(word, '\\');
        if (!(candidates & WORD_HIGH)) continue; /* bytes that are not ASCII are always among them */
        if (word & WORD_HIGH) *holds |= JSON_TOKEN_WIDE;
        uint64_t marks = word_marks(word, candidates);
        if (marks) return at + word_first(marks);
    }
    for (; at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\'; at++)
        if ((unsigned char)*at >= 0x80) *holds |= JSON_TOKEN_WIDE;
    return at;
}

/* At the opening quote. Gives what stands between the quotes, and what it holds. False, with `*at` at the end of the
 * text or at a control character, where no quote closes it. */
static inline bool json_token_string(const char **at, const char *end, struct text *ret_inner, unsigned *ret_holds) {
    const char *from = *at + 1, *to = from;
    unsigned holds = 0;
    for (;;) {
        to = json_token_skip_plain(to, end, &holds);
        if (to < end && *to == '"') break;
        if (to == end || *to != '\\' || ++to == end) {
            *at = to;
            return false;
        }
        holds |= JSON_TOKEN_ESCAPES | (json_token_meant[(unsigned char)*to++] ? 0 : JSON_TOKEN_ODD);
    }
    *at = to + 1;
    *ret_inner = (struct text){from, (size_t)(to - from)};
    *ret_holds = holds;
    return true;
}

/* What is wrong with an escape; `*at` is then behind it. */
enum json_token_fault {
    JSON_TOKEN_GOOD,
    JSON_TOKEN_CUT,     /* the text ends behind its backslash */
    JSON_TOKEN_UNKNOWN, /* there is no such escape */
    JSON_TOKEN_DIGITS,  /* \u without four hexadecimal digits */
    JSON_TOKEN_NUL,     /* U+0000, which no text here may hold */
    JSON_TOKEN_HALF,    /* one half of a surrogate pair */
};

/* From its backslash on. */
enum json_token_fault json_token_escape(const char **at, const char *end, uint32_t *ret_character);

/* All escapes of a string. */
enum json_token_fault json_token_check_escapes(const char **at, const char *end);

/* The same, and writes the string without them. That is never longer, so that `*to` may be `*at`; it is moved to behind
 * what was written. */
enum json_token_fault json_token_unescape(const char **at, const char *end, char **to);

/* ---- the units of \u: halves of UTF-16 ---- */

int json_token_unit(const char *at, const char *end); /* four hexadecimal digits; -1 where they are not there */

static inline bool json_token_is_high(int unit) {
    return unit >= 0xD800 && unit < 0xDC00;
}

static inline bool json_token_is_low(int unit) {
    return unit >= 0xDC00 && unit < 0xE000;
}

static inline uint32_t json_token_pair(int high, int low) {
    return 0x10000 + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
}

#endif
