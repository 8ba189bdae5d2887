/* Slices and buffers: what C strings lack.
 *
 * A slice never owns; a buffer always does, and cannot exist without a ceiling, so that no stranger's input decides
 * how much memory we take. Nothing here knows a protocol; JSON string escaping is here because logs, reports and
 * templates all need the same one. */
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/word.h"

bool text_ends(struct text a, const char *suffix) {
    size_t n = strlen(suffix);
    return a.len >= n && (n == 0 || memcmp(a.at + a.len - n, suffix, n) == 0);
}

bool text_holds(struct text a, const char *needle) {
    const char *at = a.len ? memchr(a.at, *needle, a.len) : NULL; /* most have not even its first byte */
    return at && memmem(at, a.len - (size_t)(at - a.at), needle, strlen(needle));
}

struct text text_beginning(struct text a, size_t most) {
    if (a.len <= most) return a;
    for (int i = 1; i < TEXT_CHARACTER_MAX && most > 0 && ((unsigned char)a.at[most] & 0xC0) == 0x80; i++) most--;
    return (struct text){a.at, most};
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct text text_trim(struct text a) {
    while (a.len && is_blank(a.at[0])) a.at++, a.len--;
    while (a.len && is_blank(a.at[a.len - 1])) a.len--;
    return a;
}

bool text_cut(struct text *rest, char separator, struct text *ret_head) {
    if (!rest->at) return false;
    const char *end = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
    if (!end) {
        *ret_head = *rest;
        *rest = (struct text){0};
        return true;
    }
    size_t n = (size_t)(end - rest->at);
    *ret_head = (struct text){rest->at, n};
    *rest = (struct text){end + 1, rest->len - n - 1};
    return true;
}

/* The length of the well-formed character at s (RFC 3629, section 4), or 0. */
static size_t utf8_length(const unsigned char *s, size_t left) {
    if (s[0] < 0x80) return 1;
    size_t n = s[0] >= 0xC2 && s[0] <= 0xDF   ? 2
               : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
               : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                              : 0;
    if (n == 0 || n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0;
    if (s[0] == 0xED && s[1] > 0x9F) return 0;
    if (s[0] == 0xF0 && s[1] < 0x90) return 0;
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0;
    return n;
}

/* Most text is ASCII: eight bytes at a time as long as it is. */
static size_t skip_ascii(struct text a, size_t i) {
    while (i + 8 <= a.len && !(word_load(a.at + i, 8) & WORD_HIGH)) i += 8;
    return i;
}

bool text_utf8_check(struct text a) {
    for (size_t i = skip_ascii(a, 0); i < a.len;) {
        size_t n = utf8_length((const unsigned char *)a.at + i, a.len - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

static const bool token_chars[256] = {
    ['!'] = true,         ['#' ... '\''] = true, ['*'] = true,         ['+'] = true, ['-'] = true, ['.'] = true,
    ['0' ... '9'] = true, ['A' ... 'Z'] = true,  ['^' ... 'z'] = true, ['|'] = true, ['~'] = true};

bool text_token_char(char c) {
    return token_chars[(unsigned char)c];
}

size_t text_token_length(struct text a) {
    const unsigned char *at = (const unsigned char *)a.at;
    size_t i = 0;
    while (i + 4 <= a.len &&
           token_chars[at[i]] & token_chars[at[i + 1]] & token_chars[at[i + 2]] & token_chars[at[i + 3]])
        i += 4;
    while (i < a.len && token_chars[at[i]]) i++;
    return i;
}

bool text_token_check(struct text a) {
    return a.len > 0 && text_token_length(a) == a.len;
}

#define DEL 0x7F

static uint64_t find_controls(uint64_t word) {
    return word_marks(word, word_below(word, ' ') | word_equal(word, DEL));
}

static bool holds_controls(struct text a) {
    for (size_t i = 0; i < a.len; i++) {
        unsigned char c = (unsigned char)a.at[i];
        if ((c < 0x20 && c != '\t') || c == DEL) return true;
    }
    return false;
}

/* Words, the last one with what is left, until there is something to look at more closely: a tab, most often. */
bool text_field_check(struct text a) {
    for (; a.len >= 8; text_skip(&a, 8))
        if (find_controls(word_load(a.at, 8))) return !holds_controls(a);
    return a.len == 0 || !find_controls(word_load_some(a.at, a.len)) || !holds_controls(a);
}

bool text_to_int(struct text a, int64_t *ret_value) {
    bool negative = a.len && a.at[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == a.len) return false;
    int64_t value = 0;
    for (; i < a.len; i++) {
        if (a.at[i] < '0' || a.at[i] > '9') return false;
        int digit = a.at[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value)) return false;
        if (__builtin_sub_overflow(value, digit, &value)) return false; /* counts down, so that INT64_MIN fits */
    }
    if (!negative && __builtin_sub_overflow((int64_t)0, value, &value)) return false;
    *ret_value = value;
    return true;
}

/* The last word may begin within the one before. */
bool text_plain_check(struct text a) {
    uint64_t found = 0;
    if (a.len < 8) {
        for (size_t i = 0; i < a.len; i++) found |= (unsigned char)(a.at[i] - ' ') > '~' - ' ';
        return !found;
    }
    for (size_t i = 0; i + 8 < a.len; i += 8) {
        uint64_t word = word_load(a.at + i, 8);
        found |= find_controls(word) | (word & WORD_HIGH);
    }
    uint64_t last = word_load(a.at + a.len - 8, 8);
    return !(found | find_controls(last) | (last & WORD_HIGH));
}

static size_t digits_of(uint64_t value) {
    size_t count = 1;
    for (; value >= 10000; value /= 10000) count += 4;
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

struct text text_of_int(int64_t value, char room[TEXT_INT_MAX]) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t len = digits_of(left) + (value < 0), at = len;
    for (; left >= 10; left /= 100) memcpy(room + (at -= 2), pairs + left % 100 * 2, 2);
    if (at > (value < 0)) room[value < 0] = (char)('0' + left);
    if (value < 0) room[0] = '-';
    return (struct text){room, len};
}

int text_hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *text_put_character(char *to, uint32_t character) {
    static const unsigned leads[] = {0, 0xC0, 0xE0, 0xF0};
    if (character < 0x80) {
        *to++ = (char)character;
        return to;
    }
    unsigned more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    *to++ = (char)(leads[more] | character >> 6 * more);
    while (more--) *to++ = (char)(0x80 | (character >> 6 * more & 0x3F));
    return to;
}

size_t text_characters(struct text a) {
    size_t count = skip_ascii(a, 0);
    for (size_t i = count; i < a.len; i++) count += ((unsigned char)a.at[i] & 0xC0) != 0x80;
    return count;
}

unsigned text_distance(struct text a, struct text b) {
    enum { MAX = 64 };
    if (a.len >= MAX || b.len >= MAX) return text_same(a, b) ? 0 : MAX;
    unsigned rows[3][MAX + 1]; /* Damerau, restricted: a swap of neighbours counts one */
    for (size_t j = 0; j <= b.len; j++) rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned best = above[j - 1] + (a.at[i - 1] != b.at[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

/* "params" for "parameters": its letters in their order, the first three side by side. */
static bool is_short_for(struct text word, struct text name) {
    if (word.len < 3 || name.len < word.len || memcmp(word.at, name.at, 3) != 0) return false;
    size_t found = 0;
    for (size_t i = 0; i < name.len && found < word.len; i++) found += name.at[i] == word.at[found];
    return found == word.len;
}

const char *text_nearest(const char *word, const char *const *names, size_t count) {
    const char *nearest = NULL;
    size_t length = strlen(word);
    unsigned best = length <= 3 ? 2 : length <= 8 ? 3 : 4; /* one less than this is still "near" */
    for (size_t i = 0; i < count; i++) {
        unsigned distance = text_distance(text_of(word), text_of(names[i]));
        if (distance < best) best = distance, nearest = names[i];
    }
    for (size_t i = 0; !nearest && i < count; i++)
        if (is_short_for(text_of(word), text_of(names[i]))) nearest = names[i];
    return nearest;
}

void buf_init(struct buf *buf, size_t max) {
    *buf = (struct buf){.max = max};
}

void buf_fini(struct buf *buf) {
    if (buf->at) mem_free(buf->at); /* most of them stayed empty */
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf) {
    buf->len = 0;
    buf->full = false;
    if (buf->at) buf->at[0] = 0;
}

char *buf_room(struct buf *buf, size_t len) {
    if (buf->full || len > buf->max - buf->len) {
        buf->full = true;
        return NULL;
    }
    if (buf->cap - buf->len <= len) { /* one more byte for the NUL */
        size_t cap = buf->cap ? buf->cap * 2 : 128;
        if (cap < buf->len + len + 1) cap = buf->len + len + 1;
        buf->at = mem_resize(buf->at, cap);
        buf->cap = cap;
    }
    return buf->at + buf->len;
}

void buf_expect(struct buf *buf, size_t len) {
    if (!buf->full && len <= buf->max - buf->len) buf_room(buf, len);
}

void buf_grew(struct buf *buf, size_t len) {
    buf->len += len;
    buf->at[buf->len] = 0;
}

void buf_add_slowly(struct buf *buf, const void *at, size_t len) {
    char *to = buf_room(buf, len);
    if (!to) return;
    if (len) memcpy(to, at, len);
    buf_grew(buf, len);
}

#define PRINTED_USUAL 127 /* bytes */

void buf_addv(struct buf *buf, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    if (!buf->at) buf_expect(buf, PRINTED_USUAL);
    size_t spare = buf->full ? 0 : buf->cap - buf->len; /* most lines fit into what is there */
    int n = vsnprintf(spare ? buf->at + buf->len : NULL, spare, format, again);
    va_end(again);
    char *to = n < 0 ? NULL : buf_room(buf, (size_t)n);
    if (!to) {
        if (spare) buf->at[buf->len] = 0;
        return;
    }
    if ((size_t)n >= spare) vsnprintf(to, (size_t)n + 1, format, args);
    buf_grew(buf, (size_t)n);
}

/* Whether so many bytes go where they belong without a look at the ceiling: the quick ways below write there. */
static bool has_room(const struct buf *buf, size_t len) {
    return len < buf->cap - buf->len && len <= buf->max - buf->len && !buf->full;
}

static __attribute__((noinline)) void add_int_slowly(struct buf *buf, int64_t value) {
    char digits[TEXT_INT_MAX];
    buf_addt(buf, text_of_int(value, digits));
}

void buf_addi(struct buf *buf, int64_t value) {
    if (has_room(buf, TEXT_INT_MAX)) buf_grew(buf, text_of_int(value, buf->at + buf->len).len);
    else add_int_slowly(buf, value);
}

void buf_addf(struct buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_addv(buf, format, args);
    va_end(args);
}

struct text buf_text(const struct buf *buf) {
    return (struct text){buf->at ? buf->at : "", buf->len};
}

const char *buf_cstr(const struct buf *buf) {
    return buf->at ? buf->at : "";
}

char *buf_take(struct buf *buf) {
    char *taken = buf->at ? buf->at : mem_strdup("");
    buf->at = NULL;
    buf->len = buf->cap = 0;
    buf->full = false;
    return taken;
}

/* What JSON has to escape, and DEL. */
static inline uint64_t find_special(uint64_t word) {
    return word_marks(word,
                      word_below(word, ' ') | word_equal(word, '"') | word_equal(word, '\\') | word_equal(word, DEL));
}

#define ESCAPE_MAX 6 /* bytes */

static __attribute__((noinline)) size_t write_unicode_escape(char *to, unsigned char c) {
    static const char digits[] = "0123456789abcdef";
    const char written[ESCAPE_MAX] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    memcpy(to, written, ESCAPE_MAX);
    return ESCAPE_MAX;
}

static inline size_t write_escape(char *to, unsigned char c) {
    static const char escapes[128] = {
        ['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    to[0] = '\\';
    to[1] = escapes[c];
    return to[1] ? 2 : write_unicode_escape(to, c);
}

/* Up to the first byte that has to be escaped; how many that are. A word at a time, of which the last overlaps the one
 * before, and blanks behind a short one: there has to be room for a word more than the text takes. */
static inline size_t copy_plain(char *to, struct text t) {
    size_t last = t.len < 8 ? 0 : t.len - 8, i = 0;
    uint64_t word, found = 0;
    if (t.len == 0) return 0;
    for (; i < last; i += 8) {
        word = word_load(t.at + i, 8);
        word_store(to + i, word);
        found = find_special(word);
        if (found) return i + word_first(found);
    }
    word = word_load_some(t.at + last, t.len);
    word_store(to + last, word);
    found = find_special(word);
    return found ? last + word_first(found) : t.len;
}

static size_t write_escaped(char *to, struct text t) {
    char *start = to;
    while (t.len) {
        size_t n = copy_plain(to, t);
        to += n;
        if (n < t.len) to += write_escape(to, (unsigned char)t.at[n++]);
        text_skip(&t, n);
    }
    return (size_t)(to - start);
}

static size_t skip_plain(struct text t, size_t i) {
    while (i < t.len) {
        uint64_t found = find_special(word_load_some(t.at + i, t.len - i));
        if (found) return i + word_first(found);
        i += t.len - i < 8 ? t.len - i : 8;
    }
    return i;
}

/* Each byte may become six. */
static __attribute__((noinline)) void add_escaped(struct buf *buf, struct text t) {
    if (t.len < buf->cap / 8 && has_room(buf, t.len * ESCAPE_MAX + 8)) {
        buf_grew(buf, write_escaped(buf->at + buf->len, t));
        return;
    }
    for (size_t start = 0, end; start < t.len; start = end + 1) {
        char written[ESCAPE_MAX];
        end = skip_plain(t, start);
        buf_add(buf, t.at + start, end - start);
        if (end < t.len) buf_add(buf, written, write_escape(written, (unsigned char)t.at[end]));
    }
}

void buf_add_json_inner(struct buf *buf, struct text t) {
    size_t n = 0;
    if (has_room(buf, t.len + 8)) {
        n = copy_plain(buf->at + buf->len, t);
        buf_grew(buf, n);
    }
    if (n < t.len) add_escaped(buf, (struct text){t.at + n, t.len - n});
}

void buf_add_json_string(struct buf *buf, struct text t) {
    if (has_room(buf, t.len + 8 + 2)) {
        char *to = buf->at + buf->len;
        size_t n = copy_plain(to + 1, t);
        to[0] = to[n + 1] = '"';
        buf_grew(buf, n + (n < t.len ? 1 : 2));
        if (n == t.len) return;
        text_skip(&t, n);
    } else {
        buf_addc(buf, '"');
    }
    add_escaped(buf, t);
    buf_addc(buf, '"');
}

void buf_add_hex(struct buf *buf, const void *at, size_t len) {
    static const char digits[] = "0123456789abcdef";
    char *to = buf_room(buf, len * 2);
    if (!to) return;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = ((const unsigned char *)at)[i];
        to[2 * i] = digits[c >> 4];
        to[2 * i + 1] = digits[c & 15];
    }
    buf_grew(buf, len * 2);
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void buf_add_base64(struct buf *buf, struct text t) {
    for (size_t i = 0; i < t.len; i += 3) {
        unsigned char bytes[3] = {0};
        size_t n = t.len - i < 3 ? t.len - i : 3;
        memcpy(bytes, t.at + i, n);
        buf_addc(buf, base64_digits[bytes[0] >> 2]);
        buf_addc(buf, base64_digits[(bytes[0] & 3) << 4 | bytes[1] >> 4]);
        buf_addc(buf, n > 1 ? base64_digits[(bytes[1] & 15) << 2 | bytes[2] >> 6] : '=');
        buf_addc(buf, n > 2 ? base64_digits[bytes[2] & 63] : '=');
    }
}

bool buf_add_base64_decoded(struct buf *buf, struct text t) {
    uint32_t bits = 0;
    size_t len = t.len;
    if (len % 4) return false;
    while (len > 0 && t.len - len < 2 && t.at[len - 1] == '=') len--;
    for (size_t i = 0; i < len; i++) {
        const char *digit = t.at[i] ? strchr(base64_digits, t.at[i]) : NULL;
        if (!digit) return false;
        bits = bits << 6 | (uint32_t)(digit - base64_digits);
        if (i % 4) buf_addc(buf, (char)(bits >> (6 - 2 * (i % 4)) & 0xFF));
    }
    return len % 4 != 1;
}
