/* From text to a JSON value, in one pass: a descent over the grammar of RFC 8259, in which a frame is a nesting.
 *
 * The values are jansson's, its parser is not: that takes 200 instructions a byte, most of a start, and gives up on
 * integers beyond 64 bits. Everything that the text decides has a bound: its own length, its depth, the number of its
 * values.
 *
 * It knows nothing of what the values are for. A fault says what is wrong and where, and repeats nothing of the text,
 * which may be somebody's secret. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lang/json_inside.h"
#include "lang/json_token.h"
#include "lang/json_walk.h"

#define DEPTH_CEILING 512
#define NUMBER_MAX 48  /* bytes; a longer one is rare enough for the heap */
#define SAFE_DIGITS 18 /* of any integer of 64 bits */

struct parser {
    const char *start, *at, *end;
    struct arena *arena; /* names that have an escape stay there */
    const struct json_limits *limits;
    const struct json_wanted *wanted; /* NULL: all */
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
    p->at = json_token_skip_blanks(p->at, p->end);
}

static bool refuse_escape(struct parser *p, enum json_token_fault fault, const char *at) {
    static const char *const sentences[] = {
        [JSON_TOKEN_CUT] = "the text ends in the middle of a value",
        [JSON_TOKEN_UNKNOWN] = "an escape that is not known",
        [JSON_TOKEN_DIGITS] = "an escape \\u that has not four hexadecimal digits",
        [JSON_TOKEN_NUL] = "a string holds the character U+0000",
        [JSON_TOKEN_HALF] = "half of a surrogate pair in an escape",
    };
    return refuse(p, at, sentences[fault]);
}

static bool unescape(struct parser *p, struct text *text) {
    buf_clear(&p->unescaped);
    char *start = buf_room(&p->unescaped, text->len), *to = start;
    const char *at = text->at;
    enum json_token_fault fault = json_token_unescape(&at, at + text->len, &to);
    *text = (struct text){start, (size_t)(to - start)};
    return !fault || refuse_escape(p, fault, at);
}

static __attribute__((noinline)) bool finish_string(struct parser *p, unsigned holds, struct text *text) {
    if (holds & JSON_TOKEN_WIDE && !text_utf8_check(*text))
        return refuse(p, text->at + text->len, "the text is not valid UTF-8");
    return !(holds & JSON_TOKEN_ESCAPES) || unescape(p, text);
}

/* A string or a name: what stands between the quotes, or `unescaped` until the next one. */
static bool read_string(struct parser *p, struct text *ret_text) {
    unsigned holds;
    if (!json_token_string(&p->at, p->end, ret_text, &holds))
        return refuse_here(p, "a control character that is not escaped");
    return !holds || finish_string(p, holds, ret_text);
}

static json_t *take_string(struct parser *p) {
    struct text text;
    return read_string(p, &text) ? must(json_stringn_nocheck(text.at, text.len)) : NULL;
}

/* ---- numbers ---- */

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

static json_t *take_number(struct parser *p) {
    const char *from = p->at;
    struct json_token_number number;
    if (!json_token_number(&p->at, p->end, &number)) {
        refuse(p, p->at + (p->at < p->end), "an invalid token");
        return NULL;
    }
    const struct text text = {from, (size_t)(p->at - from)};
    int64_t integer = 0;
    if (number.real) return new_real(p, text);
    if (number.digits <= SAFE_DIGITS) {
        for (const char *at = number.first; at < p->at; at++) integer = integer * 10 + (*at - '0');
        if (*from == '-') integer = -integer;
    } else if (!text_to_int(text, &integer)) {
        return new_real(p, text);
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

/* Nobody wants it. */
static bool pass_value(struct parser *p) {
    return json_walk_pass(&p->at, p->end, p->limits->max_depth - p->depth) || refuse_here(p, "an invalid token");
}

static bool take_member(struct parser *p, json_t *object) {
    struct text name;
    if (!take_name(p, &name)) return false;
    const char *end = p->at;
    const size_t before = json_object_size(object);
    skip_blanks(p);
    if (p->at == p->end || *p->at != ':') return refuse_here(p, "a colon is expected");
    p->at++;
    if (p->depth == 1 && !json_wants(p->wanted, name)) return pass_value(p);
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

static json_t *take_word(struct parser *p) {
    if (json_token_word(&p->at, p->end, TEXT("true"))) return json_true();
    if (json_token_word(&p->at, p->end, TEXT("false"))) return json_false();
    if (json_token_word(&p->at, p->end, TEXT("null"))) return json_null();
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
    return json_parse_wanted(arena, source, limits, NULL, fault);
}

const struct json *json_parse_wanted(struct arena *arena, struct text source, const struct json_limits *limits,
                                     const struct json_wanted *wanted, struct fault *fault) {
    struct parser p = {.start = source.at,
                       .at = source.at,
                       .end = source.at + source.len,
                       .arena = arena,
                       .limits = limits,
                       .wanted = wanted,
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
