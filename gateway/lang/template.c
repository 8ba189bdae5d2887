/* Templates: the loop that runs a compiled one, and questions about it.
 *
 * The program is flat and only appends; it holds no state, so a template may be rendered by any thread. What is left to
 * look at while rendering is whether values fit their places, commas where branches left them open, and, where members'
 * names are made of values, whether two of one object coincide: that is a fault, since nobody could say which was
 * meant, and many a reader of JSON refuses it. */
#include "lang/template.h"

#include <stdio.h>
#include <string.h>

#include "lang/filter.h"
#include "lang/template_program.h"
#include "lang/url.h"

#ifdef TINY_LIMITS
#define PASSES_MAX 1000
#else
#define PASSES_MAX 100000
#endif

/* ---- questions ---- */

bool template_uses(const struct template *t, size_t root) {
    return root < 64 && (t->roots_used >> root & 1);
}

uint64_t template_roots(const struct template *t) {
    return t ? t->roots_used : 0;
}

bool template_is_whole_url(const struct template *t, size_t *ret_root) {
    if (!t->whole_url) return false;
    *ret_root = t->ops[0].expr->root;
    return true;
}

/* ---- rendering ---- */

struct rendering {
    const struct template *t;
    struct expr_run run;
    struct buf *out;
    size_t start, passes;
    struct fault *fault;
};

/* Apart, so that the common ones need not make room for what these need. */
static __attribute__((noinline)) bool put_other(struct rendering *r, const struct op *op, const struct value *value) {
    if (value->kind == JSON_NULL && op->escape != ESCAPE_JSON_VALUE)
        return expr_fault(&r->run, op->expr, FAULT_UNDEFINED, r->fault,
                          "%.*s is null; default(…) would give it a value", TEXT_ARG(op->expr->source));
    const char *why = place_put(r->out, op->escape, value);
    return !why || expr_fault(&r->run, op->expr, FAULT_INVALID, r->fault, "%.*s %s", TEXT_ARG(op->expr->source), why);
}

static inline bool put_hole(struct rendering *r, const struct op *op) {
    struct value value;
    const struct json *found = expr_seek(&r->run, op->expr);
    if (op->text.len) buf_addt(r->out, op->text);
    if (r->out->full) return true;
    if (found) json_open(found, &value);
    else if (!expr_eval(&r->run, op->expr, &value, r->fault)) return false;
    if (op->fix == PLACE_NEED && place_comma_wanted(r->out, r->start)) buf_addc(r->out, ',');
    if (value.kind == JSON_STRING && op->escape == ESCAPE_JSON_TEXT) buf_add_json_inner(r->out, value.text);
    else if (value.kind == JSON_INT && op->escape <= ESCAPE_JSON_VALUE) buf_addi(r->out, value.integer);
    else return put_other(r, op, &value);
    return true;
}

/* The comma goes with the blanks around it: [1, 2, ] is [1, 2]. */
static void drop_comma(struct buf *out, size_t start, struct text *text) {
    size_t at = out->len;
    while (at > start && lex_is_blank(out->at[at - 1])) at--;
    if (at == start || out->at[at - 1] != ',') return;
    out->at[out->len = at - 1] = 0;
    while (text->len && lex_is_blank(text->at[0])) text->at++, text->len--;
}

static __attribute__((noinline)) void put_fixed(struct rendering *r, const struct op *op) {
    struct text t = op->text;
    if (op->fix == PLACE_END) drop_comma(r->out, r->start, &t);
    else if (op->fix == PLACE_NEED && place_comma_wanted(r->out, r->start)) buf_addc(r->out, ',');
    else if (op->fix == PLACE_COMMA && !place_comma_wanted(r->out, r->start))
        t = (struct text){t.at + op->comma + 1, t.len - op->comma - 1};
    buf_addt(r->out, t);
}

static void put_text(struct rendering *r, const struct op *op) {
    if (op->fix == PLACE_KEEP) buf_addt(r->out, op->text);
    else put_fixed(r, op);
}

static bool bind_pair(struct rendering *r, const struct op *op, struct value item) {
    struct value *variables = &r->run.variables[op->slot];
    if (item.kind != JSON_ARRAY || json_size(item.json) != 2)
        return expr_fault(&r->run, op->expr, FAULT_INVALID, r->fault,
                          "this loop takes pairs, but an element of %.*s is none; objects give theirs by … | items",
                          TEXT_ARG(op->expr->source));
    variables[0] = value_of(json_at(item.json, 0));
    variables[1] = value_of(json_at(item.json, 1));
    return true;
}

static bool bind(struct rendering *r, const struct op *op) {
    const struct expr_loop *loop = &r->run.loops[op->depth];
    struct value *variables = &r->run.variables[op->slot];
    if (++r->passes > PASSES_MAX)
        return expr_fault(&r->run, op->expr, FAULT_TOO_LARGE, r->fault, "loops take more than %d passes", PASSES_MAX);
    if (op->items) {
        variables[0] = value_text(loop->member.name);
        variables[1] = value_of(loop->member.value);
        return true;
    }
    struct value item = loop->member.name.at ? value_text(loop->member.name)
                                             : value_of(json_at(loop->over, (size_t)loop->index));
    if (op->pairs) return bind_pair(r, op, item);
    variables[0] = item;
    return true;
}

static void first_pass(struct expr_loop *loop, struct value over) {
    *loop = (struct expr_loop){.over = over.json, .length = (int64_t)json_size(over.json)};
    if (over.kind == JSON_OBJECT) loop->member = json_first(over.json);
}

/* Those elements for which {% for … if … %} has passes, as a list: how many they are has to be known before the first.
 */
static bool choose(struct rendering *r, const struct op *op, struct value *over) {
    struct expr_loop *loop = &r->run.loops[op->depth];
    struct arena *arena = expr_scratch(&r->run);
    struct json *chosen = json_new_array(arena);
    bool names = over->kind == JSON_OBJECT;
    for (first_pass(loop, *over); loop->index < loop->length; loop->index++) {
        struct value good;
        if (!bind(r, op) || !expr_eval(&r->run, op->only, &good, r->fault)) return false;
        if (value_truth(good))
            json_push(chosen,
                      names ? json_new_text(arena, loop->member.name) : json_at(loop->over, (size_t)loop->index));
        if (names) loop->member = json_next(loop->over, loop->member);
    }
    *over = value_of(chosen);
    return true;
}

/* Each of these gives the operation that comes next, or NULL. */
static const struct op *begin_loop(struct rendering *r, const struct op *op) {
    struct expr_loop *loop = &r->run.loops[op->depth];
    struct value over;
    if (!expr_eval(&r->run, op->expr, &over, r->fault)) return NULL;
    if (over.kind != JSON_OBJECT && (over.kind != JSON_ARRAY || op->items)) {
        expr_fault(&r->run, op->expr, FAULT_INVALID, r->fault, "a loop goes over an %s, but %.*s is of type %s",
                   op->items ? "object" : "array or object", TEXT_ARG(op->expr->source), json_kind_word(over.kind));
        return NULL;
    }
    if (op->only && !choose(r, op, &over)) return NULL;
    first_pass(loop, over);
    if (!loop->length) return r->t->ops + op->to;
    return bind(r, op) ? op + 1 : NULL;
}

static const struct op *next_pass(struct rendering *r, const struct op *op) {
    struct expr_loop *loop = &r->run.loops[op->depth];
    if (++loop->index >= loop->length) return op + 1;
    if (loop->member.name.at) loop->member = json_next(loop->over, loop->member);
    return bind(r, op) ? r->t->ops + op->to + 1 : NULL;
}

static const struct op *branch(struct rendering *r, const struct op *op) {
    struct value value;
    if (!expr_eval(&r->run, op->expr, &value, r->fault)) return NULL;
    return value_truth(value) ? op + 1 : r->t->ops + op->to;
}

static void enter_scope(struct rendering *r, const struct op *op) {
    static const struct value absent = {.kind = JSON_NULL, .absent = true};
    for (const struct op_reset *reset = op->resets; reset; reset = reset->next)
        r->run.variables[reset->slot] = reset->outer == SIZE_MAX ? absent : r->run.variables[reset->outer];
}

static bool run_ops(struct rendering *r, const struct op *from, const struct op *to);

static const struct op *set_block(struct rendering *r, const struct op *op) {
    struct value *variable = &r->run.variables[op->slot];
    const struct op *end = r->t->ops + op->to;
    struct buf *outer = r->out, made;
    size_t start = r->start;
    expr_made_init(&made);
    r->out = &made;
    r->start = 0;
    bool good = run_ops(r, op + 1, end);
    r->out = outer;
    r->start = start;
    if (!good) return buf_fini(&made), NULL;
    good = expr_made(&r->run, op->expr, &made, variable, r->fault) && expr_eval(&r->run, op->expr, variable, r->fault);
    return good ? end : NULL;
}

static inline __attribute__((always_inline)) const struct op *step(struct rendering *r, const struct op *op) {
    switch (op->kind) {
    case OP_TEXT: put_text(r, op); return op + 1;
    case OP_HOLE: return put_hole(r, op) ? op + 1 : NULL;
    case OP_SCOPE: enter_scope(r, op); return op + 1;
    case OP_SET: return expr_eval(&r->run, op->expr, &r->run.variables[op->slot], r->fault) ? op + 1 : NULL;
    case OP_SET_BLOCK: return set_block(r, op);
    case OP_IF: return branch(r, op);
    case OP_JUMP: return r->t->ops + op->to;
    case OP_FOR: return begin_loop(r, op);
    case OP_NEXT: return next_pass(r, op);
    }
    return NULL;
}

/* About the whole, and no expression of it. */
static bool whole_fault(const struct rendering *r, enum fault_kind kind, const char *what) {
    char where[256];
    snprintf(where, sizeof where, "%s:%d", r->t->file, r->t->line);
    return fault_set(r->fault, kind, where, "%s", what);
}

/* ---- two members of one name ---- */

/* The name between quotes that ends at `end`. */
static struct text name_before(struct text made, size_t end) {
    size_t start = end > 1 && made.at[end - 1] == '"' ? end - 1 : 0;
    for (bool quote = false; start > 0 && !quote;) {
        size_t slashes = 0;
        quote = made.at[--start] == '"';
        while (quote && slashes < start && made.at[start - 1 - slashes] == '\\') slashes++;
        quote = quote && slashes % 2 == 0;
        if (quote) return (struct text){made.at + start + 1, end - start - 2};
    }
    return (struct text){0};
}

static const struct op_name *find_written(const struct template *t, const struct op *op, struct text name) {
    const struct op_name *found = NULL;
    for (size_t i = 0; i < t->name_count; i++)
        if (t->ops + t->names[i].op == op && text_same(t->names[i].name, name)) found = &t->names[i];
    return found;
}

/* Renders once more, up to the operation that writes the bytes `from` to `to`; of several the first that holds a value.
 */
static const struct op *find_writer(struct rendering *r, size_t from, size_t to) {
    const struct op *found = NULL;
    r->passes = 0;
    r->run.made = r->run.pattern_steps = 0;
    r->run.work = r->run.matches = 0;
    r->out->at[r->out->len = r->start] = 0;
    const struct op *end = r->t->ops + r->t->count, *next;
    for (const struct op *op = r->t->ops; op != end && r->out->len < to; op = next) {
        size_t before = r->out->len;
        if (!(next = step(r, op))) return NULL;
        bool writes = r->out->len > before && r->out->len > from && before < to;
        if (writes && (!found || (found->kind != OP_HOLE && op->kind == OP_HOLE))) found = op;
    }
    return found;
}

static bool name_fault(struct rendering *r, struct text made) {
    static const char what[] = "this makes a member whose name the object has already";
    size_t end;
    struct text name = json_find_twice(made, &end) ? name_before(made, end) : (struct text){0};
    if (!name.at) return whole_fault(r, FAULT_INVALID, what);
    size_t from = (size_t)(name.at - r->out->at);
    name.at = arena_strndup(expr_scratch(&r->run), name.at, name.len); /* the output is made anew */
    const struct op *op = find_writer(r, from, from + name.len + 1);
    const struct op_name *written = op ? find_written(r->t, op, name) : NULL;
    if (written) return lex_fault_at(written->origin, written->name, r->fault, FAULT_INVALID, what);
    if (op && op->kind == OP_HOLE) return expr_fault(&r->run, op->expr, FAULT_INVALID, r->fault, "%s", what);
    return whole_fault(r, FAULT_INVALID, what);
}

static bool check_made_json(struct rendering *r) {
    struct json_limits limits = {.max_bytes = SIZE_MAX, .max_depth = 512, .max_items = SIZE_MAX};
    struct text made = {r->out->at + r->start, r->out->len - r->start};
    struct fault why = {0};
    if (json_parse(expr_scratch(&r->run), made, &limits, &why)) return true;
    if (strstr(why.what, "twice")) return name_fault(r, made);
    return whole_fault(r, why.kind, why.what);
}

static bool check_made_url(struct rendering *r) {
    struct text made = {r->out->at + r->start, r->out->len - r->start};
    struct url url;
    struct fault why = {0};
    if (!url_parse(made, &url, &why)) return whole_fault(r, FAULT_INVALID, why.what);
    return !place_has_dots(made) || whole_fault(r, FAULT_INVALID, "the URL has a path segment . or ..");
}

static bool run_ops(struct rendering *r, const struct op *from, const struct op *to) {
    for (const struct op *op = from; op != to && !r->out->full;)
        if (!(op = step(r, op))) return false;
    return true;
}

static bool run_all(struct rendering *r) {
    static const char *const made[] = {
        [PLACE_TEXT] = "the text",     [PLACE_JSON] = "the JSON body", [PLACE_URL] = "the URL",
        [PLACE_HEADER] = "the header", [PLACE_FORM] = "the form",      [PLACE_XML] = "the XML body"};
    if (r->t->count && !run_ops(r, r->t->ops, r->t->ops + r->t->count)) return false;
    if (r->out->full)
        return fault_set(r->fault, FAULT_TOO_LARGE, r->t->file, "%s would have more than %zu bytes", made[r->t->place],
                         r->out->max);
    if (r->t->names_vary && !check_made_json(r)) return false;
    return r->t->place != PLACE_URL || !r->t->branches || r->t->whole_url || check_made_url(r);
}

static bool render(const struct template *t, const struct json *const *roots, struct buf *out, struct fault *fault) {
    struct value variables[EXPR_VARIABLES_MAX];
    struct expr_loop loops[EXPR_LOOPS_MAX];
    struct rendering r = {.t = t, .out = out, .start = out->len, .fault = fault};
    r.run.roots = roots;
    r.run.variables = variables;
    r.run.loops = loops;
    for (size_t i = 0; i < t->slots; i++) variables[i] = (struct value){.kind = JSON_NULL, .absent = true};
    bool good = run_all(&r);
    expr_run_end(&r.run);
    return good;
}

bool template_render(const struct template *t, const struct json *const *roots, struct buf *out, struct fault *fault) {
    size_t before = out->len;
    if (render(t, roots, out, fault)) return true;
    if (out->at) out->at[out->len = before] = 0;
    return false;
}

static const struct json *value_of_hole(const struct expr *expr, const struct json *const *roots, struct arena *arena,
                                        struct fault *fault) {
    struct expr_run run = {.roots = roots};
    struct value value;
    const struct json *json = NULL;
    if (expr_eval(&run, expr, &value, fault)) {
        json = value_json(arena, value);
        if (value.kind == JSON_ARRAY || value.kind == JSON_OBJECT) json = json_share(arena, json);
    }
    expr_run_end(&run);
    return json;
}

const struct json *template_value(const struct template *t, const struct json *const *roots, struct arena *arena,
                                  struct fault *fault) {
    if (t->count == 1 && t->ops[0].kind == OP_HOLE && !t->ops[0].text.len)
        return value_of_hole(t->ops[0].expr, roots, arena, fault);
    struct buf out;
    const struct json *value = NULL;
    buf_init(&out, (size_t)16 << 20);
    if (template_render(t, roots, &out, fault)) value = json_new_text(arena, buf_text(&out));
    buf_fini(&out);
    return value;
}
