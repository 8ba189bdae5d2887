/* JSONPath: compiled queries, and the walk over a value that finds their nodes.
 *
 * The walk goes depth first: a node that one segment selects is followed through the rest of the path before the next
 * one is looked at. That gives RFC 9535's order without lists between the segments, so a query allocates nothing but
 * its result, and the tests inside filters, which want to know only whether there is a node, stop at the first.
 *
 * A budget of visited values bounds every walk, filters inside it included. `visit` and
 * `spend` are the only ones that draw on it. */
#include "lang/jsonpath.h"

#include <stdlib.h>
#include <string.h>

#include "lang/jsonpath_tree.h"

#define NODES_MAX 10000
#define VISITS_MAX 1000000

struct jsonpath {
    struct query query;
    const char *source;
};

/* What all walks of one call share. */
struct budget {
    const struct json *root;
    size_t visits;
    bool spent;
};

/* One walk: what it is to find, and what it has found. */
struct walk {
    struct budget *budget;
    struct arena *arena; /* NULL: count the nodes and keep the last */
    size_t enough;       /* stop after so many */
    const struct json **items;
    const struct json *last;
    size_t count, room;
};

const struct jsonpath *jsonpath_compile(struct arena *arena, struct text source, struct fault *fault) {
    struct jsonpath *path = arena_new_of(arena, struct jsonpath);
    path->source = arena_strndup(arena, source.at, source.len); /* names in the tree are slices of this copy */
    return jsonpath_parse(arena, (struct text){path->source, source.len}, &path->query, fault) ? path : NULL;
}

bool jsonpath_singular(const struct jsonpath *path) {
    return path->query.singular;
}

const char *jsonpath_source(const struct jsonpath *path) {
    return path->source;
}

/* ---- the walk; each function says whether to go on ---- */

static bool holds(struct budget *budget, const struct condition *condition, const struct json *node);
static bool follow(struct walk *walk, const struct segment *segment, const struct json *node);

static bool visit(struct budget *budget) {
    if (budget->visits == 0) budget->spent = true;
    else budget->visits--;
    return !budget->spent;
}

static bool found(struct walk *walk, const struct json *node) {
    if (walk->arena && walk->count == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 8;
        const struct json **items = arena_array_of(walk->arena, const struct json *, room);
        if (walk->count) memcpy(items, walk->items, walk->count * sizeof *items);
        walk->items = items;
        walk->room = room;
    }
    if (walk->arena) walk->items[walk->count] = node;
    walk->last = node;
    return ++walk->count < walk->enough;
}

static bool select_wildcard(struct walk *walk, const struct segment *rest, const struct json *node) {
    if (json_kind(node) == JSON_ARRAY) {
        for (size_t i = 0; i < json_size(node); i++)
            if (!follow(walk, rest, json_at(node, i))) return false;
        return true;
    }
    for (struct json_member m = json_first(node); m.name.at; m = json_next(node, m))
        if (!follow(walk, rest, m.value)) return false;
    return true;
}

static bool select_filter(struct walk *walk, const struct selector *selector, const struct segment *rest,
                          const struct json *node) {
    if (json_kind(node) == JSON_ARRAY) {
        for (size_t i = 0; i < json_size(node); i++) {
            const struct json *child = json_at(node, i);
            if (!visit(walk->budget)) return false;
            if (holds(walk->budget, selector->filter, child) && !follow(walk, rest, child)) return false;
        }
        return true;
    }
    for (struct json_member m = json_first(node); m.name.at; m = json_next(node, m)) {
        if (!visit(walk->budget)) return false;
        if (holds(walk->budget, selector->filter, m.value) && !follow(walk, rest, m.value)) return false;
    }
    return true;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* RFC 9535, 2.3.4.2.2. */
static bool select_slice(struct walk *walk, const struct selector *s, const struct segment *rest,
                         const struct json *node) {
    int64_t size = (int64_t)json_size(node), step = s->step;
    if (json_kind(node) != JSON_ARRAY || step == 0) return true;
    int64_t start = s->has_start ? s->start : step > 0 ? 0 : size - 1;
    int64_t end = s->has_end ? s->end : step > 0 ? size : -size - 1;
    if (start < 0 && s->has_start) start += size;
    if (end < 0) end += size;
    start = step > 0 ? clamp(start, 0, size) : clamp(start, -1, size - 1);
    end = step > 0 ? clamp(end, 0, size) : clamp(end, -1, size - 1);
    for (int64_t i = start; step > 0 ? i < end : i > end; i += step)
        if (!follow(walk, rest, json_at(node, (size_t)i))) return false;
    return true;
}

static const struct json *select_index(const struct selector *selector, const struct json *node) {
    int64_t size = (int64_t)json_size(node), index = selector->index;
    if (index < 0) index += size;
    return index >= 0 && index < size ? json_at(node, (size_t)index) : NULL;
}

static bool select_children(struct walk *walk, const struct selector *selector, const struct segment *rest,
                            const struct json *node) {
    const struct json *child = NULL;
    switch (selector->kind) {
    case SELECT_NAME: child = json_get(node, selector->name); break;
    case SELECT_INDEX: child = select_index(selector, node); break;
    case SELECT_WILDCARD: return select_wildcard(walk, rest, node);
    case SELECT_SLICE: return select_slice(walk, selector, rest, node);
    case SELECT_FILTER: return select_filter(walk, selector, rest, node);
    }
    return !child || follow(walk, rest, child);
}

static bool apply(struct walk *walk, const struct segment *segment, const struct json *node) {
    for (const struct selector *s = segment->selectors; s; s = s->next)
        if (!select_children(walk, s, segment->next, node)) return false;
    return true;
}

static bool descend(struct walk *walk, const struct segment *segment, const struct json *node) {
    if (!visit(walk->budget) || !apply(walk, segment, node)) return false;
    for (size_t i = 0; json_kind(node) == JSON_ARRAY && i < json_size(node); i++)
        if (!descend(walk, segment, json_at(node, i))) return false;
    for (struct json_member m = json_first(node); m.name.at; m = json_next(node, m))
        if (!descend(walk, segment, m.value)) return false;
    return true;
}

static bool follow(struct walk *walk, const struct segment *segment, const struct json *node) {
    if (!visit(walk->budget)) return false;
    if (!segment) return found(walk, node);
    return segment->descendant ? descend(walk, segment, node) : apply(walk, segment, node);
}

/* ---- filters ---- */

/* What a comparison sees: nothing at all, a node of some value, or a number that a function made. */
struct seen {
    enum { SEEN_NOTHING, SEEN_NODE, SEEN_NUMBER } kind;
    const struct json *node;
    int64_t number;
};

static struct walk count_nodes(struct budget *budget, const struct query *query, const struct json *node,
                               size_t enough) {
    struct walk walk = {.budget = budget, .enough = enough};
    follow(&walk, query->segments, query->relative ? node : budget->root);
    return walk;
}

static struct seen see_node(const struct walk *walk) {
    return walk->count == 1 ? (struct seen){SEEN_NODE, walk->last, 0} : (struct seen){0};
}

static int64_t count_characters(struct text t) {
    int64_t count = 0;
    for (size_t i = 0; i < t.len; i++) count += ((unsigned char)t.at[i] & 0xC0) != 0x80;
    return count;
}

static struct seen length_of(struct seen value) {
    if (value.kind != SEEN_NODE) return (struct seen){0};
    switch (json_kind(value.node)) {
    case JSON_STRING: return (struct seen){SEEN_NUMBER, NULL, count_characters(json_text(value.node))};
    case JSON_ARRAY:
    case JSON_OBJECT: return (struct seen){SEEN_NUMBER, NULL, (int64_t)json_size(value.node)};
    default: return (struct seen){0};
    }
}

static struct seen see(struct budget *budget, const struct operand *operand, const struct json *node) {
    if (operand->kind == OPERAND_LITERAL) return (struct seen){SEEN_NODE, operand->literal, 0};
    const struct operand *from = operand->kind == OPERAND_CALL ? operand->arguments[0] : operand;
    if (operand->kind == OPERAND_CALL && operand->function == FUNCTION_LENGTH)
        return length_of(see(budget, from, node));
    bool counts = operand->kind == OPERAND_CALL && operand->function == FUNCTION_COUNT;
    struct walk walk = count_nodes(budget, &from->query, node, counts ? SIZE_MAX : 2);
    return counts ? (struct seen){SEEN_NUMBER, NULL, (int64_t)walk.count} : see_node(&walk);
}

static bool spend(struct budget *budget, size_t visits) {
    if (budget->visits < visits) budget->spent = true;
    else budget->visits -= visits;
    return !budget->spent;
}

/* Matching is dearer than visiting, and pays for it: little as long as it is quick, much where it is not, so that all
 * matches of a walk together are bounded. No answer is better than a wrong one. */
static bool match_within(struct budget *budget, const struct pattern *pattern, struct text subject) {
    if (!spend(budget, 100)) return false;
    enum pattern_result result = pattern_match_quick(pattern, subject);
    if (result == PATTERN_TOO_HARD) {
        if (!spend(budget, 20000)) return false;
        result = pattern_match(pattern, subject);
    }
    if (result == PATTERN_TOO_HARD) budget->spent = true;
    return result == PATTERN_YES;
}

/* A pattern that a document brings is compiled for this one match; one that does not compile matches nothing (RFC 9535,
 * 2.4.6). */
static bool match_text(struct budget *budget, const struct operand *call, struct text subject, struct text source) {
    if (call->pattern) return match_within(budget, call->pattern, subject);
    struct arena *arena = arena_new();
    const struct pattern *pattern = jsonpath_pattern(arena, source, call->function == FUNCTION_MATCH, NULL);
    bool yes = pattern && match_within(budget, pattern, subject);
    arena_free(arena);
    return yes;
}

static bool is_text(struct seen value) {
    return value.kind == SEEN_NODE && json_kind(value.node) == JSON_STRING;
}

static bool matches(struct budget *budget, const struct operand *call, const struct json *node) {
    struct seen subject = see(budget, call->arguments[0], node), source = see(budget, call->arguments[1], node);
    if (!is_text(subject) || !is_text(source)) return false;
    size_t compiles = call->pattern ? 0 : 100;
    return spend(budget, compiles) && match_text(budget, call, json_text(subject.node), json_text(source.node));
}

static bool is_integer(struct seen value) {
    return value.kind == SEEN_NUMBER || json_kind(value.node) == JSON_INT;
}

static bool is_number(struct seen value) {
    return value.kind == SEEN_NUMBER ||
           (value.kind == SEEN_NODE && (json_kind(value.node) == JSON_INT || json_kind(value.node) == JSON_REAL));
}

static int64_t integer_of(struct seen value) {
    return value.kind == SEEN_NUMBER ? value.number : json_int(value.node);
}

static double number_of(struct seen value) {
    return value.kind == SEEN_NUMBER ? (double)value.number : json_number(value.node);
}

static bool same(struct seen a, struct seen b) {
    if (a.kind == SEEN_NODE && b.kind == SEEN_NODE) return json_same(a.node, b.node);
    if (is_number(a) && is_number(b))
        return is_integer(a) && is_integer(b) ? integer_of(a) == integer_of(b) : number_of(a) == number_of(b);
    return a.kind == SEEN_NOTHING && b.kind == SEEN_NOTHING;
}

static bool less_text(struct text a, struct text b) {
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len); /* UTF-8 sorts as its characters do */
    return order < 0 || (order == 0 && a.len < b.len);
}

static bool less(struct seen a, struct seen b) {
    if (is_number(a) && is_number(b))
        return is_integer(a) && is_integer(b) ? integer_of(a) < integer_of(b) : number_of(a) < number_of(b);
    return is_text(a) && is_text(b) && less_text(json_text(a.node), json_text(b.node));
}

static bool compare(struct budget *budget, const struct condition *condition, const struct json *node) {
    struct seen a = see(budget, condition->left, node), b = see(budget, condition->right, node);
    switch (condition->comparison) {
    case COMPARE_EQ: return same(a, b);
    case COMPARE_NE: return !same(a, b);
    case COMPARE_LT: return less(a, b);
    case COMPARE_LE: return less(a, b) || same(a, b);
    case COMPARE_GT: return less(b, a);
    case COMPARE_GE: return less(b, a) || same(a, b);
    }
    return false;
}

static bool test(struct budget *budget, const struct operand *operand, const struct json *node) {
    if (operand->kind == OPERAND_CALL) return matches(budget, operand, node);
    return count_nodes(budget, &operand->query, node, 1).count > 0;
}

static bool holds(struct budget *budget, const struct condition *condition, const struct json *node) {
    switch (condition->kind) {
    case CONDITION_OR: return holds(budget, condition->a, node) || holds(budget, condition->b, node);
    case CONDITION_AND: return holds(budget, condition->a, node) && holds(budget, condition->b, node);
    case CONDITION_NOT: return !holds(budget, condition->a, node);
    case CONDITION_COMPARE: return compare(budget, condition, node);
    case CONDITION_TEST: return test(budget, condition->left, node);
    }
    return false;
}

/* ---- results ---- */

bool jsonpath_find(const struct jsonpath *path, const struct json *root, struct arena *arena,
                   struct jsonpath_nodes *ret_nodes, struct fault *fault) {
    struct budget budget = {.root = root, .visits = VISITS_MAX};
    struct walk walk = {.budget = &budget, .arena = arena, .enough = NODES_MAX + 1};
    follow(&walk, path->query.segments, root);
    if (budget.spent)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "the JSONPath had to visit more than %d values", VISITS_MAX);
    if (walk.count > NODES_MAX)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "the JSONPath selects more than %d nodes", NODES_MAX);
    *ret_nodes = (struct jsonpath_nodes){walk.items, walk.count};
    return true;
}

const struct json *jsonpath_first(const struct jsonpath *path, const struct json *root, struct arena *arena) {
    (void)arena;
    struct budget budget = {.root = root, .visits = VISITS_MAX};
    struct walk walk = {.budget = &budget, .enough = 1};
    follow(&walk, path->query.segments, root);
    return budget.spent ? NULL : walk.last;
}
