/* Eight bytes of text looked at in one register; the first byte is the lowest. Whatever goes over text to find the few
 * bytes that mean something (JSON, headers, what has to be escaped) asks for them here.
 *
 * A mark is the high bit of a byte. The lowest mark of a word is right, and so is that there is none; above the lowest
 * one bytes may be marked that are not meant, since subtracting has borrowed from them. Bytes that are not ASCII are
 * never marked. Users: base/text, base/index, lang/json_token. */
#ifndef BASE_WORD_H
#define BASE_WORD_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD_ONES UINT64_C(0x0101010101010101)
#define WORD_HIGH (WORD_ONES << 7)
#define WORD_BLANKS (WORD_ONES * ' ')

/* `size` bytes, at most eight, with NULs behind them. */
static inline uint64_t word_load(const char *at, size_t size) {
    uint64_t word = 0;
    memcpy(&word, at, size);
    return le64toh(word);
}

static inline void word_store(char *to, uint64_t word) {
    word = htole64(word);
    memcpy(to, &word, sizeof word);
}

/* From one to eight bytes, with blanks behind them. Reads none beyond them; two reads may overlap. */
static inline uint64_t word_load_some(const char *at, size_t size) {
    uint64_t word;
    if (size >= 8) return word_load(at, 8);
    if (size >= 4) word = word_load(at, 4) | word_load(at + size - 4, 4) << (size - 4) * 8;
    else
        word = word_load(at, 1) | word_load(at + size / 2, 1) << size / 2 * 8 |
               word_load(at + size - 1, 1) << (size - 1) * 8;
    return word | WORD_BLANKS << size * 8;
}

/* Candidates for word_marks(), which may be joined by `|`. `limit` and `c` are ASCII. */
static inline uint64_t word_below(uint64_t word, unsigned char limit) {
    return word - WORD_ONES * limit;
}

static inline uint64_t word_equal(uint64_t word, unsigned char c) {
    return (word ^ WORD_ONES * c) - WORD_ONES;
}

static inline uint64_t word_marks(uint64_t word, uint64_t candidates) {
    return candidates & ~word & WORD_HIGH;
}

/* The number of the first marked byte. */
static inline size_t word_first(uint64_t marks) {
    return (unsigned)__builtin_ctzll(marks) >> 3; /* which is never negative: no sign to extend */
}

#endif
