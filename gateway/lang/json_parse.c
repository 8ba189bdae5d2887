/* From text to a JSON value, in one pass: a descent over the grammar of RFC 8259, in which a frame is a nesting.
 *
 * The values are jansson's, its parser is not: that takes 200 instructions a byte, most of a start, and gives up on
 * integers beyond 64 bits. Everything that the text decides has a bound: its own length, its depth, the number of its
 * values.
 *
 * It knows nothing of what the values are for. A fault says what is wrong and where, and repeats nothing of the text,
 * which may be somebody's secret. */
#include <assert.h>
#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lang/json_inside.h"

#define DEPTH_CEILING 512
#define NUMBER_MAX 48  /* bytes; a longer one is rare enough for the heap */
#define SAFE_DIGITS 18 /* of any integer of 64 bits */
#define SURROGATE_HIGH 0xD800
#define SURROGATE_LOW 0xDC00
#define SURROGATE_END 0xE000

struct parser {
    const char *start, *at, *end;
    struct arena *arena; /* names that have an escape stay there */
    const struct json_limits *limits;
    struct fault *fault;
    size_t depth, items;
    struct buf unescaped; /* the last string that had an escape */
    size_t second_end;    /* where a name ends that is there twice; 0: none */
};

/* ---- faults ---- */

/* `at` is behind what is wrong. Columns are characters. */
static bool refuse(struct parser *p, const char *at, const char *what) {
    int line = 1, column = 0;
    for (const char *s = p->start; s < at; s++) {
        if (*s == '\n') line++, column = 0;
        else column += ((unsigned char)*s & 0xC0) != 0x80;
    }
    return fault_set(p->fault, FAULT_SYNTAX, NULL, "not valid JSON: line %d, column %d: %s", line, column, what);
}

/* At a character that may not stand there. */
static bool refuse_here(struct parser *p, const char *what) {
    if (p->at == p->end) return refuse(p, p->at, "the text ends in the middle of a value");
    return refuse(p, p->at + 1, *p->at ? what : "a NUL byte");
}

static bool refuse_depth(struct parser *p) {
    return fault_set(p->fault, FAULT_TOO_LARGE, NULL, "the JSON is nested deeper than %zu levels",
                     p->limits->max_depth);
}

static bool refuse_items(struct parser *p) {
    return fault_set(p->fault, FAULT_TOO_LARGE, NULL, "the JSON has more than %zu values", p->limits->max_items);
}

/* ---- strings ---- */

static inline void skip_blanks(struct parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')) p->at++;
}

/* The first quote, backslash or control from `at` on. What else there was is added to *seen, bit by bit; there may be
 * more in it, of what stands behind. */
static inline const char *skip_plain(const char *at, const char *end, uint64_t *seen) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    for (; end - at >= 8; at += 8) {
        uint64_t v;
        memcpy(&v, at, sizeof v);
        v = le64toh(v);
        uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\';
        uint64_t found = ((v - ones * 0x20) | (quote - ones) | (slash - ones)) & ~v & high;
        *seen |= v;
        if (found) return at + (__builtin_ctzll(found) >> 3); /* the lowest is exact: nothing was borrowed below it */
    }
    for (; at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\'; at++) *seen |= (unsigned char)*at;
    return at;
}

struct raw {
    const char *at, *end; /* between the quotes */
    bool escapes;
};

/* Goes to behind the closing quote. */
static bool find_string(struct parser *p, struct raw *ret_raw) {
    uint64_t seen = 0;
    struct raw raw = {.at = ++p->at};
    for (;;) {
        p->at = skip_plain(p->at, p->end, &seen);
        if (p->at == p->end) return refuse_here(p, "");
        if (*p->at == '"') break;
        if (*p->at != '\\') return refuse_here(p, "a control character that is not escaped");
        raw.escapes = true;
        if (++p->at == p->end) return refuse_here(p, "");
        p->at++;
    }
    raw.end = p->at++;
    const struct text text = {raw.at, (size_t)(raw.end - raw.at)};
    if (seen & UINT64_C(0x8080808080808080) && !text_utf8_check(text))
        return refuse(p, raw.end, "the text is not valid UTF-8");
    *ret_raw = raw;
    return true;
}

/* Four hexadecimal digits, or -1. */
static int read_unit(const char *at, const char *end) {
    int unit = 0;
    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = text_hex_value(at[i]);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Behind "\u". Goes on to behind the escape. */
static bool read_character(struct parser *p, const char **at, const char *end, uint32_t *ret_character) {
    int high = read_unit(*at, end);
    if (high < 0) return refuse(p, *at, "an escape \\u that has not four hexadecimal digits");
    *at += 4;
    if (high == 0) return refuse(p, *at, "a string holds the character U+0000");
    *ret_character = (uint32_t)high;
    if (high < SURROGATE_HIGH || high >= SURROGATE_END) return true;
    bool pair = high < SURROGATE_LOW && end - *at >= 2 && (*at)[0] == '\\' && (*at)[1] == 'u';
    int low = pair ? read_unit(*at + 2, end) : -1;
    if (low < SURROGATE_LOW || low >= SURROGATE_END) return refuse(p, *at, "half of a surrogate pair in an escape");
    *at += 6;
    *ret_character = 0x10000 + ((uint32_t)(high - SURROGATE_HIGH) << 10) + (uint32_t)(low - SURROGATE_LOW);
    return true;
}

static char *put_character(char *to, uint32_t c) {
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    return to;
}

/* An escape is never shorter than what it stands for. NULL after a fault. */
static char *unescape(struct parser *p, const struct raw *raw, char *to) {
    static const char plain[128] = {
        ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};
    for (const char *at = raw->at; at < raw->end;) {
        const char *escape = memchr(at, '\\', (size_t)(raw->end - at));
        size_t n = (size_t)((escape ? escape : raw->end) - at);
        memcpy(to, at, n);
        to += n, at += n;
        if (!escape) break;
        unsigned char c = (unsigned char)at[1]; /* find_string has seen to it that there is one */
        at += 2;
        if (c == 'u') {
            uint32_t character = 0;
            if (!read_character(p, &at, raw->end, &character)) return NULL;
            to = put_character(to, character);
        } else if (c < sizeof plain && plain[c]) {
            *to++ = plain[c];
        } else {
            refuse(p, at, "an escape that is not known");
            return NULL;
        }
    }
    return to;
}

/* A string or a name: what stands between the quotes, or `unescaped` until the next one. */
static bool read_string(struct parser *p, struct text *ret_text) {
    struct raw raw = {0};
    if (!find_string(p, &raw)) return false;
    const size_t len = (size_t)(raw.end - raw.at);
    *ret_text = (struct text){raw.at, len};
    if (!raw.escapes) return true;
    buf_clear(&p->unescaped);
    char *to = buf_room(&p->unescaped, len);
    const char *end = unescape(p, &raw, to);
    if (end) *ret_text = (struct text){to, (size_t)(end - to)};
    return end;
}

static json_t *take_string(struct parser *p) {
    struct text text;
    return read_string(p, &text) ? must(json_stringn_nocheck(text.at, text.len)) : NULL;
}

/* ---- numbers ---- */

static bool is_digit(const struct parser *p) {
    return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

static size_t skip_digits(struct parser *p) {
    const char *from = p->at;
    while (is_digit(p)) p->at++;
    return (size_t)(p->at - from);
}

/* strtod wants a NUL behind the number, which the text need not have. */
static bool to_real(struct text number, double *ret_real) {
    char room[NUMBER_MAX + 1], *copy = number.len > NUMBER_MAX ? mem_strndup(number.at, number.len) : room;
    if (copy == room) memcpy(room, number.at, number.len), room[number.len] = 0;
    *ret_real = strtod(copy, NULL);
    if (copy != room) mem_free(copy);
    return isfinite(*ret_real);
}

static json_t *new_real(struct parser *p, struct text number) {
    double real;
    if (!to_real(number, &real)) {
        refuse(p, p->at, "a number is too large");
        return NULL;
    }
    return must(json_real(real));
}

/* The part behind the integer. False for what is no number. */
static bool skip_fraction(struct parser *p, bool *ret_is_real) {
    *ret_is_real = p->at < p->end && (*p->at == '.' || *p->at == 'e' || *p->at == 'E');
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (!skip_digits(p)) return false;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-')) p->at++;
        if (!skip_digits(p)) return false;
    }
    return true;
}

static json_t *take_number(struct parser *p) {
    const char *from = p->at;
    bool is_real;
    if (*p->at == '-') p->at++;
    const char *first = p->at;
    size_t digits = skip_digits(p);
    if (digits == 0 || (digits > 1 && *first == '0') || !skip_fraction(p, &is_real)) {
        refuse(p, p->at + (p->at < p->end), "an invalid token");
        return NULL;
    }
    struct text number = {from, (size_t)(p->at - from)};
    int64_t integer = 0;
    if (is_real) return new_real(p, number);
    if (digits <= SAFE_DIGITS) {
        for (const char *at = first; at < p->at; at++) integer = integer * 10 + (*at - '0');
        if (*from == '-') integer = -integer;
    } else if (!text_to_int(number, &integer)) {
        return new_real(p, number);
    }
    return must(json_integer(integer));
}

/* ---- arrays and objects ---- */

static json_t *take_value(struct parser *p);

static bool open_nesting(struct parser *p) {
    p->at++;
    if (++p->depth > p->limits->max_depth) return refuse_depth(p);
    skip_blanks(p);
    return true;
}

/* Behind an element or a member: false, with *ret_closed or with a fault, where no other one follows. */
static bool goes_on(struct parser *p, char close, const char *expected, bool *ret_closed) {
    skip_blanks(p);
    bool more = p->at < p->end && *p->at == ',';
    *ret_closed = p->at < p->end && *p->at == close;
    if (!more && !*ret_closed) return refuse_here(p, expected);
    p->at++;
    return more;
}

static bool take_elements(struct parser *p, json_t *array) {
    bool closed = false;
    if (p->at < p->end && *p->at == ']') {
        p->at++;
        return true;
    }
    do {
        json_t *element = take_value(p);
        if (!element) return false;
        must_do(json_array_append_new(array, element));
    } while (goes_on(p, ']', "a comma or ] is expected", &closed));
    return closed;
}

static bool take_name(struct parser *p, struct text *ret_name) {
    skip_blanks(p);
    if (p->at == p->end || *p->at != '"') return refuse_here(p, "a name in quotes is expected");
    if (!read_string(p, ret_name)) return false;
    if (ret_name->at != p->unescaped.at) return true;
    ret_name->at = arena_strndup(p->arena, ret_name->at, ret_name->len); /* what it names may have escapes as well */
    return true;
}

static bool take_member(struct parser *p, json_t *object) {
    struct text name;
    if (!take_name(p, &name)) return false;
    const char *end = p->at;
    const size_t before = json_object_size(object);
    skip_blanks(p);
    if (p->at == p->end || *p->at != ':') return refuse_here(p, "a colon is expected");
    p->at++;
    json_t *value = take_value(p);
    if (!value) return false;
    must_do(json_object_setn_new_nocheck(object, name.at, name.len, value));
    if (json_object_size(object) > before) return true;
    p->second_end = (size_t)(end - p->start);
    return refuse(p, end, "a name occurs twice in one object");
}

static bool take_members(struct parser *p, json_t *object) {
    bool closed = false;
    if (p->at < p->end && *p->at == '}') {
        p->at++;
        return true;
    }
    do
        if (!take_member(p, object)) return false;
    while (goes_on(p, '}', "a comma or } is expected", &closed));
    return closed;
}

/* TAKES the container. */
static json_t *take_nesting(struct parser *p, json_t *container) {
    bool is_array = *p->at == '[';
    if (open_nesting(p) && (is_array ? take_elements(p, container) : take_members(p, container))) {
        p->depth--;
        return container;
    }
    json_decref(container);
    return NULL;
}

/* ---- values ---- */

static bool is_word(struct parser *p, struct text word) {
    if ((size_t)(p->end - p->at) < word.len || memcmp(p->at, word.at, word.len) != 0) return false;
    p->at += word.len;
    return true;
}

static json_t *take_word(struct parser *p) {
    if (is_word(p, (struct text){"true", 4})) return json_true();
    if (is_word(p, (struct text){"false", 5})) return json_false();
    if (is_word(p, (struct text){"null", 4})) return json_null();
    refuse_here(p, "an invalid token");
    return NULL;
}

static json_t *take_value(struct parser *p) {
    skip_blanks(p);
    if (p->at == p->end) {
        refuse_here(p, "");
        return NULL;
    }
    if (++p->items > p->limits->max_items) {
        refuse_items(p);
        return NULL;
    }
    switch (*p->at) {
    case '"': return take_string(p);
    case '{': return take_nesting(p, must(json_object()));
    case '[': return take_nesting(p, must(json_array()));
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return take_number(p);
    default: return take_word(p);
    }
}

static json_t *take_whole(struct parser *p) {
    buf_init(&p->unescaped, (size_t)(p->end - p->start));
    json_t *value = take_value(p);
    if (value) skip_blanks(p);
    if (value && p->at < p->end) {
        refuse_here(p, "something follows the end of the value");
        json_decref(value);
        value = NULL;
    }
    buf_fini(&p->unescaped);
    return value;
}

const struct json *json_parse(struct arena *arena, struct text source, const struct json_limits *limits,
                              struct fault *fault) {
    struct parser p = {.start = source.at,
                       .at = source.at,
                       .end = source.at + source.len,
                       .arena = arena,
                       .limits = limits,
                       .fault = fault};
    assert(limits->max_depth <= DEPTH_CEILING);
    if (source.len > limits->max_bytes) {
        fault_set(fault, FAULT_TOO_LARGE, NULL, "the JSON has more than %zu bytes", limits->max_bytes);
        return NULL;
    }
    if (source.len == 0) {
        fault_set(fault, FAULT_SYNTAX, NULL, "not valid JSON: line 1, column 1: the text is empty");
        return NULL;
    }
    if (text_starts(source, "\xEF\xBB\xBF")) {
        fault_set(fault, FAULT_SYNTAX, NULL, "not valid JSON: line 1, column 1: a byte order mark");
        return NULL;
    }
    json_t *value = take_whole(&p);
    return value ? json_keep(arena, value) : NULL;
}

bool json_find_twice(struct text source, size_t *ret_end) {
    static const struct json_limits limits = {.max_bytes = SIZE_MAX, .max_depth = DEPTH_CEILING, .max_items = SIZE_MAX};
    struct fault fault;
    struct arena *arena = arena_new();
    struct parser p = {.start = source.at,
                       .at = source.at,
                       .end = source.at + source.len,
                       .arena = arena,
                       .limits = &limits,
                       .fault = &fault};
    json_decref(take_whole(&p));
    arena_free(arena);
    *ret_end = p.second_end;
    return p.second_end != 0;
}
