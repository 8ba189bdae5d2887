/* Text: borrowed slices, and buffers that grow up to a ceiling. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* A slice: borrowed bytes, not NUL-terminated. `at` may be NULL only where `len` is 0. */
struct text {
    const char *at;
    size_t len;
};

#define TEXT(literal) ((struct text){"" literal, sizeof(literal) - 1})
#define TEXT_ARG(t) (int)(t).len, (t).at ? (t).at : "" /* for "%.*s" */

/* Of a literal, the compiler knows the length. */
static inline struct text text_of(const char *s) { /* NULL gives an empty slice */
    return (struct text){s, s ? strlen(s) : 0};
}
static inline bool text_same(struct text a, struct text b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}
static inline bool text_same_cstr(const char *a, const char *b) { /* NULL is like NULL alone */
    return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool text_is(struct text a, const char *s) {
    return text_same(a, text_of(s));
}
static inline bool text_may_be_nocase(const char *a, const char *b) { /* most differ in their first letter already */
    return (*a | 0x20) == (*b | 0x20);
}
static inline bool text_is_nocase(struct text a, const char *s) { /* ASCII */
    return a.len == strlen(s) && (a.len == 0 || (text_may_be_nocase(a.at, s) && strncasecmp(a.at, s, a.len) == 0));
}
static inline bool text_same_nocase(const char *a, const char *b) {
    return text_may_be_nocase(a, b) && strcasecmp(a, b) == 0;
}
static inline bool text_starts(struct text a, const char *prefix) {
    size_t n = strlen(prefix);
    return a.len >= n && (n == 0 || memcmp(a.at, prefix, n) == 0);
}
bool text_ends(struct text a, const char *suffix);
bool text_holds(struct text a, const char *needle);
static inline void text_skip(struct text *t, size_t n) { /* takes n bytes off its front */
    if (n == 0) return;                                  /* perhaps of nothing at all: NULL */
    t->at += n;
    t->len -= n;
}
struct text text_beginning(struct text a, size_t most); /* at most so many bytes of it, cut between two characters of
                                                           UTF-8; what is none is cut where it has to be */
struct text text_trim(struct text a);                   /* spaces, tabs, CR, LF off both ends */
bool text_cut(struct text *rest, char separator,
              struct text *ret_head);                /* takes the part up to the separator off
                                                        `rest`; false when `rest` is used up (at is
                                                        NULL). "a,,b" gives "a", "", "b"; "" gives "". */
bool text_utf8_check(struct text a);                 /* RFC 3629: no overlong forms, no surrogates, at most U+10FFFF */
bool text_token_char(char c);                        /* RFC 9110, 5.6.2 */
size_t text_token_length(struct text a);             /* how many of them it begins with */
bool text_token_check(struct text a);                /* one or more of them */
size_t text_token_length(struct text a);             /* how many of them it begins with */
bool text_field_check(struct text a);                /* no control character but tabs (RFC 9110, 5.5) */
bool text_plain_check(struct text a);                /* nothing but printable ASCII and blanks */
bool text_to_int(struct text a, int64_t *ret_value); /* decimal with an optional '-', the whole slice, in range */
#define TEXT_INT_MAX 20                              /* bytes of the longest int64_t */
struct text text_of_int(int64_t value, char room[TEXT_INT_MAX]); /* decimal; from the first byte of `room` on */
int text_hex_value(char c);                                      /* 0…15; -1 for what is no hexadecimal digit */
#define TEXT_CHARACTER_MAX 4                                     /* bytes of UTF-8 */
char *text_put_character(char *to, uint32_t character);          /* writes it as UTF-8 and returns where that ends */
size_t text_characters(struct text a);                           /* how many, of valid UTF-8 */
const char *text_nearest(const char *word, const char *const *names, size_t count); /* "did you mean"; NULL if none is
                                                                                       near */
unsigned text_distance(struct text a, struct text b); /* edit distance, transpositions count one; capped at 64 */

/* A growing buffer with a ceiling. Appending past the ceiling appends nothing more and sets `full`; check once at the
 * end. Always NUL-terminated behind `len` once anything was appended (see buf_cstr). */
struct buf {
    char *at;
    size_t len;
    size_t cap;
    size_t max; /* bytes */
    bool full;
};

void buf_init(struct buf *buf, size_t max);
void buf_fini(struct buf *buf);
void buf_clear(struct buf *buf);                                  /* keeps the memory and the ceiling */
void buf_add_slowly(struct buf *buf, const void *at, size_t len); /* buf_add() where it has to grow, or cannot */
static inline void buf_add(struct buf *buf, const void *at, size_t len) {
    if (len == 0 || len >= buf->cap - buf->len || len > buf->max - buf->len || buf->full) {
        buf_add_slowly(buf, at, len);
        return;
    }
    memcpy(buf->at + buf->len, at, len);
    buf->at[buf->len += len] = 0;
}
static inline void buf_addt(struct buf *buf, struct text t) {
    buf_add(buf, t.at, t.len);
}
static inline void buf_addc(struct buf *buf, char c) {
    buf_add(buf, &c, 1);
}
static inline void buf_adds(struct buf *buf, const char *s) {
    buf_add(buf, s, strlen(s));
}
void buf_addi(struct buf *buf, int64_t value); /* decimal */
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *buf, const char *format, va_list args);
char *buf_room(struct buf *buf, size_t len); /* len bytes to be written in place behind the end, or NULL if the ceiling
                                                forbids it; then buf_grew(len written) */
void buf_grew(struct buf *buf, size_t len);
void buf_expect(struct buf *buf, size_t len); /* so much is likely to come: the memory for it is taken at once */
struct text buf_text(const struct buf *buf);
const char *buf_cstr(const struct buf *buf); /* "" when empty */
char *buf_take(struct buf *buf);             /* GIVES the bytes, NUL-terminated; the buffer is empty again */

void buf_add_json_string(struct buf *buf, struct text t); /* with its quotes; RFC 8259 escapes; t must be UTF-8 */
void buf_add_json_inner(struct buf *buf, struct text t);  /* the same without the quotes */
void buf_add_hex(struct buf *buf, const void *at, size_t len);
void buf_add_base64(struct buf *buf, struct text t);         /* RFC 4648, 4: with padding */
bool buf_add_base64_decoded(struct buf *buf, struct text t); /* false for what is no base64; some may be added then */

#endif
