/* Values while a template is rendered: JSON's, with scalars outside the heap, so that most expressions allocate
 * nothing. */
#ifndef LANG_VALUE_H
#define LANG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "lang/json.h"

struct value {
    enum json_kind kind;
    bool absent; /* of a variable that was not set; never leaves the evaluator */
    union {
        bool truth;
        int64_t integer;
        double real;
        struct text text;        /* UTF-8 without NUL, borrowed; not NUL-terminated */
        const struct json *json; /* JSON_ARRAY, JSON_OBJECT */
    };
};

#define VALUE_DIGITS 40 /* room for any number */

static inline struct value value_of(const struct json *json) {
    struct value value = {.kind = JSON_NULL};
    json_open(json, &value);
    return value;
}
static inline struct value value_null(void) {
    return (struct value){.kind = JSON_NULL};
}
static inline struct value value_bool(bool truth) {
    return (struct value){.kind = JSON_BOOL, .truth = truth};
}
static inline struct value value_int(int64_t integer) {
    return (struct value){.kind = JSON_INT, .integer = integer};
}
static inline struct value value_text(struct text text) {
    return (struct value){.kind = JSON_STRING, .text = {text.at ? text.at : "", text.len}};
}
struct value value_real(double real); /* not finite: null */

const struct json *value_json(struct arena *arena, struct value value);
double value_number(struct value value); /* of an integer or a real; else 0 */
bool value_is_number(struct value value);
bool value_is_scalar(struct value value); /* neither null nor array nor object */
bool value_truth(struct value value);     /* as in Jinja: false, null, 0, "", [] and {} are not true */
bool value_same(struct value a, struct value b);
/* -1, 0, 1; false where the two have no order. */
bool value_order(struct value a, struct value b, int *ret);

/* The text of a scalar; digits go into `room`. Null, arrays and objects give an empty text. */
struct text value_scalar_text(struct value value, char room[VALUE_DIGITS]);
void value_write(struct buf *out, struct value value);      /* as JSON */
void value_write_text(struct buf *out, struct value value); /* a string bare, null as nothing, others as JSON */

#endif
