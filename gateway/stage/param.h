/* Parameters: what a caller may give a stage, and the check that turns what was given into values.
 *
 * Callers like orca send strings only, so "50" is a valid integer and "true" a valid boolean. All mistakes are reported
 * at once. */
#ifndef STAGE_PARAM_H
#define STAGE_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "lang/json.h"
#include "lang/pattern.h"

#define PARAM_INTEGER_MAX INT64_MAX /* and as much below zero */
#define PARAM_LIST_MAX 10000

/* id, word in a definition */
#define PARAM_TYPES(X)    \
    X(STRING, "string")   \
    X(INTEGER, "integer") \
    X(NUMBER, "number")   \
    X(BOOLEAN, "boolean") \
    X(CHOICE, "choice")   \
    X(URL, "url")         \
    X(LIST, "list")       \
    X(JSON, "json")       \
    X(SECRET, "secret") /* masked in every report, log and fault; not kept once the run has ended */

enum param_type {
#define X(id, word) PARAM_##id,
    PARAM_TYPES(X)
#undef X
};

struct param {
    const char *name;        /* [A-Za-z_][A-Za-z0-9_-]*, at most 64 */
    const char *label;       /* NULL: the name */
    const char *description; /* or NULL */
    enum param_type type;
    bool required;
    const struct json *preset; /* `default`, already checked; NULL without one */
    bool has_minimum, has_maximum;
    double minimum, maximum; /* integer, number */
    size_t min_length,
        max_length; /* string, url, secret: characters; list: elements. max_length 0: no limit of its own */
    const struct pattern *pattern; /* string, whole value; or NULL */
    const char *pattern_source;    /* in the plain dialect of lang/regexp */
    const char *const *choices;    /* choice */
    size_t choice_count;
};

const char *param_type_word(enum param_type type);

/* One value against one parameter: coerces and checks; the rules are in docs/definitions.md. *ret_value is NULL where
 * the value counts as not given (null, and "" for every type but string). The sentence of the fault names neither the
 * parameter nor, for a secret, the value. */
bool param_check(struct arena *arena, const struct param *param, const struct json *given,
                 const struct json **ret_value, struct fault *fault);

/* `given` is the object that the caller sent (NULL: none). On success *ret_values is an object with a member for each
 * parameter, in the order of the definition: given, else default, else null. Faults: one a mistake, `where` a JSON
 * Pointer ("/parameters/users"), with the nearest name for an unknown parameter; a `${` left in any string (also
 * nested) is one, since orca sends an expression that it could not evaluate as it stands. Values of a secret parameter
 * never stand in a sentence. */
bool params_check(struct arena *arena, const struct param *params, size_t count, const struct json *given,
                  const struct json **ret_values, struct faults *faults);

/* The values as a report may show them: secrets masked. */
const struct json *params_masked(struct arena *arena, const struct param *params, size_t count,
                                 const struct json *values);

/* JSON Schema 2020-12 of the object that params_check takes, exactly so: each parameter is `anyOf` the kinds and texts
 * that stand for it. In stage/param_schema.c. */
const struct json *params_schema(struct arena *arena, const struct param *params, size_t count);

#endif
