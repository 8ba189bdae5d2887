/* A JSONPath query as a tree: what jsonpath_parse.c builds and jsonpath.c walks. For these two alone. */
#ifndef LANG_JSONPATH_TREE_H
#define LANG_JSONPATH_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"
#include "lang/pattern.h"

enum select { SELECT_NAME, SELECT_WILDCARD, SELECT_INDEX, SELECT_SLICE, SELECT_FILTER };

struct selector {
    enum select kind;
    struct text name;
    int64_t index;
    int64_t start, end, step;
    bool has_start, has_end;
    const struct condition *filter;
    struct selector *next;
};

struct segment {
    bool descendant;
    struct selector *selectors; /* at least one */
    struct segment *next;
};

struct query {
    bool relative; /* begins with @ */
    bool singular; /* RFC 9535, 2.3.5.1 */
    struct segment *segments;
};

/* RFC 9535, 2.4. One row a function: id, name, kinds of the parameters, kind of the result. */
#define JSONPATH_FUNCTIONS(X)                               \
    X(LENGTH, "length", TYPE_VALUE, TYPE_NONE, TYPE_VALUE)  \
    X(COUNT, "count", TYPE_NODES, TYPE_NONE, TYPE_VALUE)    \
    X(VALUE, "value", TYPE_NODES, TYPE_NONE, TYPE_VALUE)    \
    X(MATCH, "match", TYPE_VALUE, TYPE_VALUE, TYPE_LOGICAL) \
    X(SEARCH, "search", TYPE_VALUE, TYPE_VALUE, TYPE_LOGICAL)

enum function {
#define X(id, name, first, second, result) FUNCTION_##id,
    JSONPATH_FUNCTIONS(X)
#undef X
};

enum operand_kind { OPERAND_LITERAL, OPERAND_QUERY, OPERAND_CALL };

struct operand {
    enum operand_kind kind;
    const struct json *literal;
    struct query query;
    enum function function;
    struct operand *arguments[2];
    const struct pattern *pattern; /* of match() and search() with a literal pattern */
};

enum condition_kind { CONDITION_OR, CONDITION_AND, CONDITION_NOT, CONDITION_COMPARE, CONDITION_TEST };
enum comparison { COMPARE_EQ, COMPARE_NE, COMPARE_LE, COMPARE_LT, COMPARE_GE, COMPARE_GT };

struct condition {
    enum condition_kind kind;
    enum comparison comparison;
    const struct condition *a, *b;      /* OR, AND; NOT has only a */
    const struct operand *left, *right; /* COMPARE; TEST has only left */
};

bool jsonpath_parse(struct arena *arena, struct text source, struct query *ret_query, struct fault *fault);

/* An I-Regexp (RFC 9485), compiled. NULL for what is none. */
const struct pattern *jsonpath_pattern(struct arena *arena, struct text source, bool whole, struct fault *fault);

#endif
