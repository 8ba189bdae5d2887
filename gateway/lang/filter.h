/* The filters and tests of the template language. */
#ifndef LANG_FILTER_H
#define LANG_FILTER_H

#include "lang/expr.h"

#define FILTER_ARGUMENTS 4

struct filter_call {
    struct expr_run *run;
    const struct expr *expr; /* for faults */
    const char *name;
    const struct value *arguments[FILTER_ARGUMENTS]; /* NULL: not given */
    struct fault *fault;
};

/* What the compiler does with the first argument, which then has to be a text that is written out. */
enum filter_special {
    FILTER_PLAIN,
    FILTER_PATTERN, /* a regular expression */
    FILTER_JSONPATH,
    FILTER_MAP,              /* a filter's name, or attribute=… */
    FILTER_SELECT,           /* a test's name, or nothing */
    FILTER_ATTRIBUTE_SELECT, /* an attribute, then a test's name, or nothing */
    FILTER_PLACE             /* stands last, and is for the place: segments, safe */
};

struct filter {
    const char *name;
    const char *arguments; /* their names, with spaces between; a * behind those that have to be given */
    enum filter_special special;
    bool (*apply)(const struct filter_call *call, struct value value, struct value *ret);
    const char *gives;                   /* for the manual */
    const char *example, *example_gives; /* a text template, and what it makes */
};

struct filter_test {
    const char *name;
    const char *arguments;
    enum filter_special special;
    bool (*ask)(const struct filter_call *call, struct value value, bool *ret);
    const char *asks;
    const char *example, *example_gives;
};

const struct filter *filter_find(struct text name); /* NULL if there is none */
const struct filter_test *filter_test_find(struct text name);
const char *filter_nearest(struct text name); /* "did you mean"; NULL if none is near */
const char *filter_test_nearest(struct text name);
size_t filter_argument_count(const char *names, size_t *ret_least);
size_t filter_argument_index(const char *names, struct text word); /* SIZE_MAX: none of that name */

/* The tables, for the manual and the tests. */
extern const struct filter filter_table[];
extern const size_t filter_table_count;
extern const struct filter_test filter_test_table[];
extern const size_t filter_test_table_count;

#endif
