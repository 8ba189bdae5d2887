/* JSONPath: compiled queries, and the walk over a value that finds their nodes.
 *
 * The walk goes depth first: a node that one segment selects is followed through the rest of the path before the next
 * one is looked at. That gives RFC 9535's order without lists between the segments, so a query allocates nothing but
 * its result, and the tests inside filters, which want to know only whether there is a node, stop at the first.
 *
 * A node's own path is kept on the stack of the walk, as a chain of steps back to the root, and written down only for a
 * caller that wants it.
 *
 * A budget bounds every walk, filters inside it included: of visited values, which `visit` and `spend` alone draw on,
 * and of the steps that patterns take. A singular path needs no walk where only its node is wanted: it leads there. */
#include "lang/jsonpath.h"

#include <stdlib.h>
#include <string.h>

#include "lang/jsonpath_tree.h"

#define NODES_MAX 10000
#define VISITS_MAX 1000000
#define PATTERN_STEPS_ALL 2000000
#define PATHS_MAX_BYTES (16 << 20)

struct jsonpath {
    struct query query;
    const char *source;
};

/* What all walks of one call share. */
struct budget {
    const struct json *root;
    size_t visits, pattern_steps;
    bool spent, too_hard;
    struct arena *patterns; /* NULL until a document brings a pattern; then the last one is kept, since it mostly */
    const struct json *pattern_source; /* comes again with every node */
    const struct pattern *pattern;
    bool pattern_whole;
};

/* One step of the way from the root to a node. */
struct trail {
    const struct trail *up; /* NULL: the root */
    struct text name;       /* at == NULL: an index */
    size_t index;
};

/* One walk: what it is to find, and what it has found. */
struct walk {
    struct budget *budget;
    struct arena *arena; /* NULL: count the nodes and keep the last */
    bool locates;        /* keep the paths too */
    size_t enough;       /* stop after so many */
    const struct json **items;
    const char **paths;
    const struct json *last;
    size_t count, room, path_bytes;
};

const struct jsonpath *jsonpath_compile(struct arena *arena, struct text source, struct fault *fault) {
    struct jsonpath *path = arena_new_of(arena, struct jsonpath);
    path->source = arena_strndup(arena, source.at, source.len); /* names in the tree are slices of this copy */
    return jsonpath_parse(arena, (struct text){path->source, source.len}, &path->query, fault) ? path : NULL;
}

bool jsonpath_singular(const struct jsonpath *path) {
    return path->query.singular;
}

/* A filter may look at the root again. */
static bool has_filter(const struct segment *segments) {
    for (const struct segment *segment = segments; segment; segment = segment->next)
        for (const struct selector *s = segment->selectors; s; s = s->next)
            if (s->kind == SELECT_FILTER) return true;
    return false;
}

bool jsonpath_into(const struct jsonpath *path, struct text *ret_name) {
    const struct segment *first = path->query.segments;
    if (!first || first->descendant || first->selectors->next || first->selectors->kind != SELECT_NAME) return false;
    *ret_name = first->selectors->name;
    return !has_filter(first);
}

const char *jsonpath_source(const struct jsonpath *path) {
    return path->source;
}

/* Where a singular path leads; NULL: nowhere, and *ret_misfits as jsonpath_misfits has it. */
static const struct json *lead(const struct jsonpath *path, const struct json *root, bool *ret_misfits) {
    const struct json *node = root;
    *ret_misfits = false;
    for (const struct segment *segment = path->query.segments; segment; segment = segment->next) {
        const struct selector *selector = segment->selectors;
        bool index = selector->kind == SELECT_INDEX;
        if (json_kind(node) != (index ? JSON_ARRAY : JSON_OBJECT)) {
            *ret_misfits = node == root || json_kind(node) != JSON_NULL;
            return NULL;
        }
        if (index) {
            int64_t at = selector->index < 0 ? selector->index + (int64_t)json_size(node) : selector->index;
            node = at < 0 ? NULL : json_at(node, (size_t)at);
        } else {
            node = json_get(node, selector->name);
            *ret_misfits = !node;
        }
        if (!node) return NULL;
    }
    return node;
}

bool jsonpath_misfits(const struct jsonpath *path, const struct json *root) {
    bool misfits;
    lead(path, root, &misfits);
    return misfits;
}

/* ---- normalised paths (RFC 9535, 2.7) ---- */

static void add_name(struct buf *out, struct text name) {
    static const char letters[] = "btnfr\\'", meant[] = "\b\t\n\f\r\\'";
    buf_adds(out, "['");
    for (size_t i = 0; i < name.len; i++) {
        const char *found = strchr(meant, name.at[i]);
        if (found) buf_addf(out, "\\%c", letters[found - meant]);
        else if ((unsigned char)name.at[i] < 0x20) buf_addf(out, "\\u%04x", (unsigned)name.at[i]);
        else buf_addc(out, name.at[i]);
    }
    buf_adds(out, "']");
}

static void add_path(struct buf *out, const struct trail *trail) {
    if (!trail) {
        buf_addc(out, '$');
        return;
    }
    add_path(out, trail->up);
    if (trail->name.at) add_name(out, trail->name);
    else buf_addf(out, "[%zu]", trail->index);
}

static bool keep_path(struct walk *walk, const struct trail *trail) {
    struct buf path;
    buf_init(&path, PATHS_MAX_BYTES);
    add_path(&path, trail);
    walk->path_bytes += path.len;
    bool fits = !path.full && walk->path_bytes <= PATHS_MAX_BYTES;
    if (fits) walk->paths[walk->count] = arena_strndup(walk->arena, buf_cstr(&path), path.len);
    else walk->path_bytes = PATHS_MAX_BYTES + 1;
    buf_fini(&path);
    return fits;
}

/* ---- the walk; each function says whether to go on ---- */

static bool holds(struct budget *budget, const struct condition *condition, const struct json *node);
static bool follow(struct walk *walk, const struct segment *segment, const struct json *node,
                   const struct trail *trail);

static bool spend(struct budget *budget, size_t visits) {
    if (budget->visits < visits) budget->spent = true;
    else budget->visits -= visits;
    return !budget->spent;
}

static bool visit(struct budget *budget) {
    return spend(budget, 1);
}

static void make_room(struct walk *walk) {
    size_t room = walk->room ? walk->room * 2 : 8;
    const struct json **items = arena_array_of(walk->arena, const struct json *, room);
    if (walk->count) memcpy(items, walk->items, walk->count * sizeof *items);
    walk->items = items;
    walk->room = room;
    if (!walk->locates) return;
    const char **paths = arena_array_of(walk->arena, const char *, room);
    if (walk->count) memcpy(paths, walk->paths, walk->count * sizeof *paths);
    walk->paths = paths;
}

static bool found(struct walk *walk, const struct json *node, const struct trail *trail) {
    if (walk->arena && walk->count == walk->room) make_room(walk);
    if (walk->arena) walk->items[walk->count] = node;
    if (walk->locates && !keep_path(walk, trail)) return false;
    walk->last = node;
    return ++walk->count < walk->enough;
}

static bool follow_member(struct walk *walk, const struct segment *rest, struct json_member m,
                          const struct trail *trail) {
    return follow(walk, rest, m.value, &(struct trail){trail, m.name, 0});
}

static bool follow_element(struct walk *walk, const struct segment *rest, const struct json *node, size_t index,
                           const struct trail *trail) {
    return follow(walk, rest, json_at(node, index), &(struct trail){.up = trail, .index = index});
}

static bool select_wildcard(struct walk *walk, const struct segment *rest, const struct json *node,
                            const struct trail *trail) {
    if (json_kind(node) == JSON_ARRAY) {
        for (size_t i = 0; i < json_size(node); i++)
            if (!follow_element(walk, rest, node, i, trail)) return false;
        return true;
    }
    for (struct json_member m = json_first(node); m.name.at; m = json_next(node, m))
        if (!follow_member(walk, rest, m, trail)) return false;
    return true;
}

static bool select_filter(struct walk *walk, const struct selector *selector, const struct segment *rest,
                          const struct json *node, const struct trail *trail) {
    if (json_kind(node) == JSON_ARRAY) {
        for (size_t i = 0; i < json_size(node); i++) {
            if (!visit(walk->budget)) return false;
            if (holds(walk->budget, selector->filter, json_at(node, i)) && !follow_element(walk, rest, node, i, trail))
                return false;
        }
        return true;
    }
    for (struct json_member m = json_first(node); m.name.at; m = json_next(node, m)) {
        if (!visit(walk->budget)) return false;
        if (holds(walk->budget, selector->filter, m.value) && !follow_member(walk, rest, m, trail)) return false;
    }
    return true;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* RFC 9535, 2.3.4.2.2. */
static bool select_slice(struct walk *walk, const struct selector *s, const struct segment *rest,
                         const struct json *node, const struct trail *trail) {
    int64_t size = (int64_t)json_size(node), step = s->step;
    if (json_kind(node) != JSON_ARRAY || step == 0) return true;
    int64_t start = s->has_start ? s->start : step > 0 ? 0 : size - 1;
    int64_t end = s->has_end ? s->end : step > 0 ? size : -size - 1;
    if (start < 0 && s->has_start) start += size;
    if (end < 0) end += size;
    start = step > 0 ? clamp(start, 0, size) : clamp(start, -1, size - 1);
    end = step > 0 ? clamp(end, 0, size) : clamp(end, -1, size - 1);
    for (int64_t i = start; step > 0 ? i < end : i > end; i += step)
        if (!follow_element(walk, rest, node, (size_t)i, trail)) return false;
    return true;
}

static bool select_index(struct walk *walk, const struct selector *selector, const struct segment *rest,
                         const struct json *node, const struct trail *trail) {
    int64_t size = (int64_t)json_size(node), index = selector->index;
    if (json_kind(node) != JSON_ARRAY) return true;
    if (index < 0) index += size;
    return index < 0 || index >= size || follow_element(walk, rest, node, (size_t)index, trail);
}

static bool select_name(struct walk *walk, const struct selector *selector, const struct segment *rest,
                        const struct json *node, const struct trail *trail) {
    const struct json *child = json_get(node, selector->name);
    return !child || follow_member(walk, rest, (struct json_member){selector->name, child, NULL}, trail);
}

static bool select_children(struct walk *walk, const struct selector *selector, const struct segment *rest,
                            const struct json *node, const struct trail *trail) {
    switch (selector->kind) {
    case SELECT_NAME: return select_name(walk, selector, rest, node, trail);
    case SELECT_INDEX: return select_index(walk, selector, rest, node, trail);
    case SELECT_WILDCARD: return select_wildcard(walk, rest, node, trail);
    case SELECT_SLICE: return select_slice(walk, selector, rest, node, trail);
    case SELECT_FILTER: return select_filter(walk, selector, rest, node, trail);
    }
    return true;
}

static bool apply(struct walk *walk, const struct segment *segment, const struct json *node,
                  const struct trail *trail) {
    for (const struct selector *s = segment->selectors; s; s = s->next)
        if (!select_children(walk, s, segment->next, node, trail)) return false;
    return true;
}

static bool descend(struct walk *walk, const struct segment *segment, const struct json *node,
                    const struct trail *trail) {
    if (!visit(walk->budget) || !apply(walk, segment, node, trail)) return false;
    for (size_t i = 0; json_kind(node) == JSON_ARRAY && i < json_size(node); i++)
        if (!descend(walk, segment, json_at(node, i), &(struct trail){.up = trail, .index = i})) return false;
    for (struct json_member m = json_first(node); m.name.at; m = json_next(node, m))
        if (!descend(walk, segment, m.value, &(struct trail){trail, m.name, 0})) return false;
    return true;
}

static bool follow(struct walk *walk, const struct segment *segment, const struct json *node,
                   const struct trail *trail) {
    if (!visit(walk->budget)) return false;
    if (!segment) return found(walk, node, trail);
    return segment->descendant ? descend(walk, segment, node, trail) : apply(walk, segment, node, trail);
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
    follow(&walk, query->segments, query->relative ? node : budget->root, NULL);
    return walk;
}

static struct seen see_node(const struct walk *walk) {
    return walk->count == 1 ? (struct seen){SEEN_NODE, walk->last, 0} : (struct seen){0};
}

static size_t text_cost(struct text t) {
    return t.len / 64;
}

static struct seen length_of(struct budget *budget, struct seen value) {
    if (value.kind != SEEN_NODE) return (struct seen){0};
    if (!spend(budget, text_cost(json_text(value.node)))) return (struct seen){0};
    switch (json_kind(value.node)) {
    case JSON_STRING: return (struct seen){SEEN_NUMBER, NULL, (int64_t)text_characters(json_text(value.node))};
    case JSON_ARRAY:
    case JSON_OBJECT: return (struct seen){SEEN_NUMBER, NULL, (int64_t)json_size(value.node)};
    default: return (struct seen){0};
    }
}

static struct seen see(struct budget *budget, const struct operand *operand, const struct json *node) {
    if (operand->kind == OPERAND_LITERAL) return (struct seen){SEEN_NODE, operand->literal, 0};
    const struct operand *from = operand->kind == OPERAND_CALL ? operand->arguments[0] : operand;
    if (operand->kind == OPERAND_CALL && operand->function == FUNCTION_LENGTH)
        return length_of(budget, see(budget, from, node));
    bool counts = operand->kind == OPERAND_CALL && operand->function == FUNCTION_COUNT;
    struct walk walk = count_nodes(budget, &from->query, node, counts ? SIZE_MAX : 2);
    return counts ? (struct seen){SEEN_NUMBER, NULL, (int64_t)walk.count} : see_node(&walk);
}

static bool match_within(struct budget *budget, const struct pattern *pattern, struct text subject) {
    enum pattern_result result = pattern_match_within(pattern, subject, &budget->pattern_steps);
    if (result == PATTERN_TOO_HARD) budget->spent = budget->too_hard = true; /* no answer is better than a wrong one */
    return result == PATTERN_YES;
}

/* A pattern that a document brings; one that is no I-Regexp matches nothing (RFC 9535, 2.4.6). Compiling is dear. */
static const struct pattern *pattern_of(struct budget *budget, const struct operand *call, const struct json *source) {
    bool whole = call->function == FUNCTION_MATCH;
    if (call->pattern) return call->pattern;
    if (budget->pattern_source == source && budget->pattern_whole == whole) return budget->pattern;
    if (!spend(budget, 2000)) return NULL;
    arena_free(budget->patterns);
    budget->patterns = arena_new();
    budget->pattern_source = source;
    budget->pattern_whole = whole;
    budget->pattern = jsonpath_pattern(budget->patterns, json_text(source), whole, NULL);
    return budget->pattern;
}

static bool is_text(struct seen value) {
    return value.kind == SEEN_NODE && json_kind(value.node) == JSON_STRING;
}

static bool matches(struct budget *budget, const struct operand *call, const struct json *node) {
    struct seen subject = see(budget, call->arguments[0], node), source = see(budget, call->arguments[1], node);
    if (!is_text(subject) || !is_text(source)) return false;
    const struct pattern *pattern = pattern_of(budget, call, source.node);
    return pattern && match_within(budget, pattern, json_text(subject.node));
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

/* What comparing costs beyond the visit that led here. Values of two kinds or sizes differ at once. */
static bool pay_comparison(struct budget *budget, const struct json *a, const struct json *b) {
    if (json_kind(a) != json_kind(b)) return true;
    if (json_kind(a) == JSON_STRING) return spend(budget, text_cost(json_text(a)));
    if (json_size(a) != json_size(b)) return true;
    for (size_t i = 0; json_kind(a) == JSON_ARRAY && i < json_size(a); i++)
        if (!visit(budget) || !pay_comparison(budget, json_at(a, i), json_at(b, i))) return false;
    for (struct json_member m = json_first(a); m.name.at; m = json_next(a, m)) {
        const struct json *other = json_get(b, m.name);
        if (!visit(budget)) return false;
        if (other && !pay_comparison(budget, m.value, other)) return false;
    }
    return true;
}

static bool same(struct budget *budget, struct seen a, struct seen b) {
    if (a.kind == SEEN_NODE && b.kind == SEEN_NODE)
        return pay_comparison(budget, a.node, b.node) && json_same(a.node, b.node);
    if (is_number(a) && is_number(b))
        return is_integer(a) && is_integer(b) ? integer_of(a) == integer_of(b) : number_of(a) == number_of(b);
    return a.kind == SEEN_NOTHING && b.kind == SEEN_NOTHING;
}

static bool less_text(struct text a, struct text b) {
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len); /* UTF-8 sorts as its characters do */
    return order < 0 || (order == 0 && a.len < b.len);
}

static bool less(struct budget *budget, struct seen a, struct seen b) {
    if (is_number(a) && is_number(b))
        return is_integer(a) && is_integer(b) ? integer_of(a) < integer_of(b) : number_of(a) < number_of(b);
    return is_text(a) && is_text(b) && spend(budget, text_cost(json_text(a.node))) &&
           less_text(json_text(a.node), json_text(b.node));
}

static bool compare(struct budget *budget, const struct condition *condition, const struct json *node) {
    struct seen a = see(budget, condition->left, node), b = see(budget, condition->right, node);
    switch (condition->comparison) {
    case COMPARE_EQ: return same(budget, a, b);
    case COMPARE_NE: return !same(budget, a, b);
    case COMPARE_LT: return less(budget, a, b);
    case COMPARE_LE: return less(budget, a, b) || same(budget, a, b);
    case COMPARE_GT: return less(budget, b, a);
    case COMPARE_GE: return less(budget, b, a) || same(budget, a, b);
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

static bool check_limits(const struct budget *budget, const struct walk *walk, struct fault *fault) {
    if (budget->too_hard)
        return fault_set(fault, FAULT_TOO_LARGE, NULL,
                         "match() or search() in the JSONPath is too hard: more than %d "
                         "steps for one string, or %d for all",
                         PATTERN_STEPS_MAX, PATTERN_STEPS_ALL);
    if (budget->spent)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "the JSONPath had to visit more than %d values", VISITS_MAX);
    if (walk->count > NODES_MAX)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "the JSONPath selects more than %d nodes", NODES_MAX);
    if (walk->path_bytes > PATHS_MAX_BYTES)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "the paths of the nodes have more than %d bytes",
                         PATHS_MAX_BYTES);
    return true;
}

static void run(struct walk *walk, const struct jsonpath *path) {
    follow(walk, path->query.segments, walk->budget->root, NULL);
    arena_free(walk->budget->patterns);
    walk->budget->patterns = NULL;
}

static struct budget new_budget(const struct json *root) {
    return (struct budget){.root = root, .visits = VISITS_MAX, .pattern_steps = PATTERN_STEPS_ALL};
}

static bool find(const struct jsonpath *path, const struct json *root, bool locates, struct arena *arena,
                 struct jsonpath_nodes *ret_nodes, struct fault *fault) {
    struct budget budget = new_budget(root);
    struct walk walk = {.budget = &budget, .arena = arena, .locates = locates, .enough = NODES_MAX + 1};
    run(&walk, path);
    if (!check_limits(&budget, &walk, fault)) return false;
    *ret_nodes = (struct jsonpath_nodes){walk.items, walk.paths, walk.count};
    return true;
}

bool jsonpath_find(const struct jsonpath *path, const struct json *root, struct arena *arena,
                   struct jsonpath_nodes *ret_nodes, struct fault *fault) {
    return find(path, root, false, arena, ret_nodes, fault);
}

bool jsonpath_locate(const struct jsonpath *path, const struct json *root, struct arena *arena,
                     struct jsonpath_nodes *ret_nodes, struct fault *fault) {
    return find(path, root, true, arena, ret_nodes, fault);
}

const struct json *jsonpath_first(const struct jsonpath *path, const struct json *root, struct arena *arena) {
    (void)arena;
    bool misfits;
    if (path->query.singular) return lead(path, root, &misfits);
    struct budget budget = new_budget(root);
    struct walk walk = {.budget = &budget, .enough = 1};
    run(&walk, path);
    return budget.spent ? NULL : walk.last;
}
