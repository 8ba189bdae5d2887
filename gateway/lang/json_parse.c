/* From text to a JSON value, in one pass: a descent over the grammar of RFC 8259, in which a frame is a nesting.
 *
 * A string is copied once, into the allocation of its value. Elements and members are collected on a stack beside the
 * frames until their number is known, so that arrays and objects are as large as they have to be. Everything that the
 * text decides has a bound: its own length, its depth, the number of its values.
 *
 * It knows nothing of what the values are for. A fault says what is wrong and where, and repeats nothing of the text,
 * which may be somebody's secret. */
#include <assert.h>
#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lang/json_tree.h"

#define DEPTH_CEILING 512
#define SOURCE_CEILING UINT32_MAX
#define NUMBER_MAX 48  /* bytes; a longer one is rare enough for the heap */
#define SAFE_DIGITS 18 /* of any integer of 64 bits */
#define STACK_FIRST 32 /* pairs */
#define SURROGATE_HIGH 0xD800
#define SURROGATE_LOW 0xDC00
#define SURROGATE_END 0xE000

struct parser {
    const char *start, *at, *end;
    struct arena *arena;
    const struct json_limits *limits;
    struct fault *fault;
    size_t depth, items;
    struct json_pair *stack; /* of elements and members whose arrays and objects are open */
    size_t top, room;
    struct json_pair first[STACK_FIRST];
    size_t second_end; /* where a name ends that is there twice; 0: none */
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

/* Into `to`, which is zeroed and has room for the text as it stands and a NUL. */
static bool copy_string(struct parser *p, const struct raw *raw, char *to, size_t *ret_len) {
    *ret_len = (size_t)(raw->end - raw->at);
    if (!raw->escapes) {
        memcpy(to, raw->at, *ret_len);
        return true;
    }
    const char *end = unescape(p, raw, to);
    if (end) *ret_len = (size_t)(end - to);
    return end;
}

static const struct json *take_string(struct parser *p) {
    struct raw raw;
    if (!find_string(p, &raw)) return NULL;
    struct json *value = json_tree_new(p->arena, JSON_STRING, (size_t)(raw.end - raw.at) + 1);
    value->text = (char *)(value + 1);
    return copy_string(p, &raw, (char *)(value + 1), &value->size) ? value : NULL;
}

static bool take_name(struct parser *p, struct json_pair *ret_pair) {
    struct raw raw;
    size_t len;
    if (!find_string(p, &raw)) return false;
    char *name = arena_alloc(p->arena, (size_t)(raw.end - raw.at) + 1);
    if (!copy_string(p, &raw, name, &len)) return false;
    *ret_pair = (struct json_pair){.name = name, .len = (uint32_t)len, .hash = (uint32_t)(p->at - p->start)};
    return true;
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

static const struct json *new_real(struct parser *p, struct text number) {
    double real;
    if (!to_real(number, &real)) {
        refuse(p, p->at, "a number is too large");
        return NULL;
    }
    struct json *value = json_tree_new(p->arena, JSON_REAL, 0);
    value->real = real;
    return value;
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

static const struct json *take_number(struct parser *p) {
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
    struct json *value = json_tree_new(p->arena, JSON_INT, 0);
    value->integer = integer;
    return value;
}

/* ---- arrays and objects ---- */

static const struct json *take_value(struct parser *p);

static void push(struct parser *p, const struct json_pair *pair) {
    if (p->top == p->room) {
        struct json_pair *more = mem_resize(p->stack == p->first ? NULL : p->stack, 2 * p->room * sizeof *more);
        if (p->stack == p->first) memcpy(more, p->first, sizeof p->first);
        p->stack = more;
        p->room *= 2;
    }
    p->stack[p->top++] = *pair;
}

static const struct json *close_array(struct parser *p, size_t from) {
    size_t count = p->top - from;
    struct json *array = json_tree_new(p->arena, JSON_ARRAY, count * sizeof *array->items);
    array->items = (const struct json **)(array + 1);
    array->size = array->room = (uint32_t)count;
    for (size_t i = 0; i < count; i++) array->items[i] = p->stack[from + i].value;
    p->top = from;
    p->depth--;
    return array;
}

static const struct json *close_object(struct parser *p, size_t from) {
    size_t count = p->top - from;
    const struct json_pair *second;
    struct json *object = json_tree_new(p->arena, JSON_OBJECT, json_tree_pairs_bytes(count));
    object->pairs = (struct json_pair *)(object + 1);
    object->size = object->room = (uint32_t)count;
    memcpy(object->pairs, p->stack + from, count * sizeof *object->pairs);
    if (!json_tree_index(object, &second)) {
        p->second_end = p->stack[from + (size_t)(second - object->pairs)].hash;
        refuse(p, p->start + p->second_end, "a name occurs twice in one object");
        return NULL;
    }
    p->top = from;
    p->depth--;
    return object;
}

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

static const struct json *take_array(struct parser *p) {
    size_t from = p->top;
    bool closed = false;
    if (!open_nesting(p)) return NULL;
    if (p->at < p->end && *p->at == ']') {
        p->at++;
        return close_array(p, from);
    }
    do {
        struct json_pair element = {.value = take_value(p)};
        if (!element.value) return NULL;
        push(p, &element);
    } while (goes_on(p, ']', "a comma or ] is expected", &closed));
    return closed ? close_array(p, from) : NULL;
}

static bool take_member(struct parser *p) {
    struct json_pair member;
    skip_blanks(p);
    if (p->at == p->end || *p->at != '"') return refuse_here(p, "a name in quotes is expected");
    if (!take_name(p, &member)) return false;
    skip_blanks(p);
    if (p->at == p->end || *p->at != ':') return refuse_here(p, "a colon is expected");
    p->at++;
    member.value = take_value(p);
    if (member.value) push(p, &member);
    return member.value;
}

static const struct json *take_object(struct parser *p) {
    size_t from = p->top;
    bool closed = false;
    if (!open_nesting(p)) return NULL;
    if (p->at < p->end && *p->at == '}') {
        p->at++;
        return close_object(p, from);
    }
    do
        if (!take_member(p)) return NULL;
    while (goes_on(p, '}', "a comma or } is expected", &closed));
    return closed ? close_object(p, from) : NULL;
}

/* ---- values ---- */

static const struct json *take_word(struct parser *p) {
    static const struct {
        struct text word;
        const struct json *value;
    } words[] = {{{"true", 4}, &json_tree_true}, {{"false", 5}, &json_tree_false}, {{"null", 4}, &json_tree_null}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = words[i].word.len;
        if ((size_t)(p->end - p->at) < n || memcmp(p->at, words[i].word.at, n) != 0) continue;
        p->at += n;
        return words[i].value;
    }
    refuse_here(p, "an invalid token");
    return NULL;
}

static const struct json *take_value(struct parser *p) {
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
    case '{': return take_object(p);
    case '[': return take_array(p);
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

static void parser_init(struct parser *p, struct arena *arena, struct text source, const struct json_limits *limits,
                        struct fault *fault) {
    p->start = p->at = source.at;
    p->end = source.at + source.len;
    p->arena = arena;
    p->limits = limits;
    p->fault = fault;
    p->depth = p->items = p->top = p->second_end = 0;
    p->stack = p->first;
    p->room = STACK_FIRST;
}

static const struct json *take_whole(struct parser *p) {
    const struct json *value = take_value(p);
    if (value) skip_blanks(p);
    if (value && p->at < p->end) {
        refuse_here(p, "something follows the end of the value");
        value = NULL;
    }
    if (p->stack != p->first) mem_free(p->stack);
    return value;
}

const struct json *json_parse(struct arena *arena, struct text source, const struct json_limits *limits,
                              struct fault *fault) {
    struct parser p;
    assert(limits->max_depth <= DEPTH_CEILING);
    parser_init(&p, arena, source, limits, fault);
    if (source.len > limits->max_bytes || source.len > SOURCE_CEILING) {
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
    return take_whole(&p);
}

bool json_find_twice(struct text source, size_t *ret_end) {
    static const struct json_limits limits = {
        .max_bytes = SOURCE_CEILING, .max_depth = DEPTH_CEILING, .max_items = SIZE_MAX};
    struct parser p;
    struct fault fault;
    struct arena *arena = arena_new();
    parser_init(&p, arena, source, &limits, &fault);
    take_whole(&p);
    arena_free(arena);
    *ret_end = p.second_end;
    return p.second_end != 0;
}
