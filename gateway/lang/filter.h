/* The filters of the template language. */
#ifndef LANG_FILTER_H
#define LANG_FILTER_H

#include "lang/expr.h"

#define FILTER_ARGUMENTS 2

struct filter {
    const char *name;
    unsigned least, most; /* arguments; at most FILTER_ARGUMENTS */
    /* `arguments[i]` is NULL where it is not given. */
    bool (*apply)(struct expr_run *run, const struct expr *expr, const struct json *value,
                  const struct json *const *arguments, const struct json **ret, struct fault *fault);
};

const struct filter *filter_find(struct text name); /* NULL if there is none */
const char *filter_nearest(struct text name);       /* "did you mean"; NULL if none is near */

#endif
