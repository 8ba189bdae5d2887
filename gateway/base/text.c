/* Slices and buffers: what C strings lack.
 *
 * A slice never owns; a buffer always does, and cannot exist without a ceiling, so that no stranger's input decides
 * how much memory we take. Nothing here knows a protocol; JSON string escaping is here because logs, reports and
 * templates all need the same one. */
#include "base/text.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

struct text text_of(const char *s) {
    return (struct text){s, s ? strlen(s) : 0};
}

bool text_same(struct text a, struct text b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool text_is(struct text a, const char *s) {
    return text_same(a, text_of(s));
}

bool text_is_nocase(struct text a, const char *s) {
    return a.len == strlen(s) && (a.len == 0 || strncasecmp(a.at, s, a.len) == 0);
}

bool text_starts(struct text a, const char *prefix) {
    size_t n = strlen(prefix);
    return a.len >= n && (n == 0 || memcmp(a.at, prefix, n) == 0);
}

bool text_holds(struct text a, const char *needle) {
    return a.len && memmem(a.at, a.len, needle, strlen(needle));
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

bool text_utf8_check(struct text a) {
    for (size_t i = 0; i < a.len;) {
        size_t n = utf8_length((const unsigned char *)a.at + i, a.len - i);
        if (n == 0) return false;
        i += n;
    }
    return true;
}

bool text_token_check(struct text a) {
    for (size_t i = 0; i < a.len; i++) {
        char c = a.at[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!plain && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return a.len > 0;
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

int text_hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
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
    mem_free(buf->at);
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

void buf_adds(struct buf *buf, const char *s) {
    buf_add(buf, s, strlen(s));
}

void buf_addt(struct buf *buf, struct text t) {
    buf_add(buf, t.at, t.len);
}

void buf_addc(struct buf *buf, char c) {
    buf_add(buf, &c, 1);
}

void buf_addv(struct buf *buf, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
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

void buf_addi(struct buf *buf, int64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do digits[--at] = (char)('0' + left % 10), left /= 10;
    while (left);
    if (value < 0) digits[--at] = '-';
    buf_add(buf, digits + at, sizeof digits - at);
}

void buf_addf(struct buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_addv(buf, format, args);
    va_end(args);
}

void buf_take_front(struct buf *buf, size_t len) {
    if (len == 0) return;
    buf->len -= len;
    memmove(buf->at, buf->at + len, buf->len + 1);
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

/* How many of eight bytes come before the first that is a control, a quote, a backslash or DEL: each term has the high
 * bit of such a byte set, and none below it. */
static size_t plain_of_eight(const char *at) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t v;
    memcpy(&v, at, sizeof v);
    v = le64toh(v);
    uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\', del = v ^ ones * 0x7F;
    uint64_t found = ((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
                     ((del - ones) & ~del);
    return found & high ? (size_t)__builtin_ctzll(found & high) / 8 : 8;
}

static size_t skip_plain(struct text t, size_t i) {
    for (size_t n = 8; n == 8 && t.len - i >= 8; i += n) n = plain_of_eight(t.at + i);
    for (; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7F) break;
    }
    return i;
}

void buf_add_json_inner(struct buf *buf, struct text t) {
    static const char escapes[128] = {
        ['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    static const char digits[] = "0123456789abcdef";
    for (size_t start = 0, end; start < t.len; start = end + 1) {
        end = skip_plain(t, start);
        buf_add(buf, t.at + start, end - start);
        if (end == t.len) return;
        unsigned char c = (unsigned char)t.at[end];
        const char written[] = {'\\', escapes[c] ? escapes[c] : 'u', '0', '0', digits[c >> 4], digits[c & 15]};
        buf_add(buf, written, escapes[c] ? 2 : 6);
    }
}

void buf_add_json_string(struct buf *buf, struct text t) {
    buf_addc(buf, '"');
    buf_add_json_inner(buf, t);
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
