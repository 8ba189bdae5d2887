/* Filters of arrays and objects.
 *
 * Texts are compared without case where Jinja does so (sort, unique, min, max, dictsort), unless case_sensitive is
 * given. Where Jinja gives an iterator we give an array. What has no order is a fault. */
#include <stdlib.h>
#include <string.h>

#include "lang/filter_each.h"

static bool want_array(const struct filter_call *call, struct value value) {
    if (value.kind != JSON_ARRAY) return filter_wrong_kind(call, value, "an array");
    return expr_work(call->run, call->expr, json_size(value.json), call->fault);
}

/* The element, or what its attribute holds, which may be absent. */
static bool read_part(const struct filter_call *call, struct value item, size_t argument, struct value *ret) {
    const struct value *path = call->arguments[argument];
    if (!path || path->kind == JSON_NULL) return *ret = item, true;
    if (path->kind == JSON_INT) *ret = expr_element(item, path->integer);
    else if (path->kind == JSON_STRING) *ret = filter_attribute(item, path->text);
    else return filter_fault(call, FAULT_INVALID, "its attribute is text");
    return true;
}

static bool part_of(const struct filter_call *call, struct value item, size_t argument, struct value *ret) {
    char room[VALUE_DIGITS];
    if (!read_part(call, item, argument, ret)) return false;
    if (!ret->absent) return true;
    return filter_fault(call, FAULT_UNDEFINED, "an element has no %.*s",
                        TEXT_ARG(value_scalar_text(*call->arguments[argument], room)));
}

/* ---- elements ---- */

static bool end_of(const struct filter_call *call, struct value value, bool last, struct value *ret) {
    if (value.kind == JSON_OBJECT && !last && json_size(value.json))
        return *ret = value_text(json_first(value.json).name), true;
    if (value.kind != JSON_ARRAY && value.kind != JSON_STRING) return filter_wrong_kind(call, value, "an array");
    *ret = expr_element(value, last ? -1 : 0);
    if (!ret->absent) return true;
    return filter_fault(call, FAULT_UNDEFINED, "%.*s is empty and has no %s element", TEXT_ARG(call->expr->a->source),
                        call->name);
}

FILTER_APPLY(first) {
    return end_of(call, value, false, ret);
}

FILTER_APPLY(last) {
    return end_of(call, value, true, ret);
}

FILTER_APPLY(length) {
    size_t length = 0;
    if (value.kind == JSON_STRING) length = text_characters(value.text);
    else if (value.kind == JSON_ARRAY || value.kind == JSON_OBJECT) length = json_size(value.json);
    else return filter_wrong_kind(call, value, "text, an array or an object");
    *ret = value_int((int64_t)length);
    return true;
}

/* The characters of a text, the names of an object. */
FILTER_APPLY(list) {
    struct arena *arena = expr_scratch(call->run);
    if (value.kind == JSON_ARRAY) return *ret = value, true;
    if (value_is_scalar(value) && value.kind != JSON_STRING) return filter_wrong_kind(call, value, "an array");
    if (value.kind == JSON_NULL) return filter_wrong_kind(call, value, "an array");
    struct json *list = json_new_array(arena);
    if (value.kind == JSON_OBJECT) {
        if (!expr_work(call->run, call->expr, json_size(value.json), call->fault)) return false;
        for (struct json_member m = json_first(value.json); m.name.at; m = json_next(value.json, m))
            json_push(list, json_new_text(arena, m.name));
    } else {
        if (!expr_work(call->run, call->expr, value.text.len, call->fault)) return false;
        for (size_t at = 0, end; at < value.text.len; at = end) {
            for (end = at + 1; end < value.text.len && ((unsigned char)value.text.at[end] & 0xC0) == 0x80;) end++;
            json_push(list, json_new_text(arena, (struct text){value.text.at + at, end - at}));
        }
    }
    *ret = value_of(list);
    return true;
}

FILTER_APPLY(reverse) {
    if (value.kind == JSON_STRING) {
        struct buf out;
        expr_made_init(&out);
        for (size_t end = value.text.len, at = end; at > 0; end = at) {
            do at--;
            while (at > 0 && ((unsigned char)value.text.at[at] & 0xC0) == 0x80);
            buf_add(&out, value.text.at + at, end - at);
        }
        return filter_made(call, &out, ret);
    }
    if (!want_array(call, value)) return false;
    struct json *list = json_new_array(expr_scratch(call->run));
    for (size_t i = json_size(value.json); i > 0; i--) json_push(list, json_at(value.json, i - 1));
    *ret = value_of(list);
    return true;
}

FILTER_APPLY(join) {
    struct buf out;
    bool good = true;
    char room[VALUE_DIGITS];
    struct text separator = TEXT("");
    if (!want_array(call, value)) return false;
    if (call->arguments[0]) separator = value_scalar_text(*call->arguments[0], room);
    expr_made_init(&out);
    for (size_t i = 0; i < json_size(value.json) && good; i++) {
        struct value part;
        if (i) buf_addt(&out, separator);
        good = part_of(call, value_of(json_at(value.json, i)), 1, &part);
        if (good) value_write_text(&out, part);
    }
    if (good) return filter_made(call, &out, ret);
    buf_fini(&out);
    return false;
}

/* ---- order ---- */

struct sorted {
    struct value key;
    const struct json *item;
    size_t index;
};

static struct value without_case(const struct filter_call *call, struct value value) {
    struct buf out;
    struct value lowered = value;
    if (value.kind != JSON_STRING) return value;
    expr_made_init(&out);
    filter_change_case(&out, value.text, false);
    return filter_made(call, &out, &lowered) ? lowered : value;
}

static bool has_order(const struct filter_call *call, const struct sorted *items, size_t count) {
    int way;
    for (size_t i = 1; i < count; i++)
        if (!value_order(items[0].key, items[i].key, &way))
            return filter_fault(call, FAULT_INVALID, "%s and %s have no order", json_kind_word(items[0].key.kind),
                                json_kind_word(items[i].key.kind));
    return true;
}

static int compare_up(const void *a, const void *b) {
    const struct sorted *x = a, *y = b;
    int way = 0;
    value_order(x->key, y->key, &way);
    return way ? way : (x->index > y->index) - (x->index < y->index);
}

static int compare_down(const void *a, const void *b) {
    const struct sorted *x = a, *y = b;
    int way = 0;
    value_order(y->key, x->key, &way);
    return way ? way : (x->index > y->index) - (x->index < y->index);
}

static size_t log_of(size_t count) {
    size_t log = 1;
    while (count >>= 1) log++;
    return log;
}

static bool sort_items(const struct filter_call *call, struct sorted *items, size_t count, bool down) {
    if (!has_order(call, items, count)) return false;
    if (!expr_work(call->run, call->expr, count * log_of(count), call->fault)) return false;
    if (count) qsort(items, count, sizeof *items, down ? compare_down : compare_up);
    return true;
}

static bool read_sorted(const struct filter_call *call, struct value value, bool sensitive, size_t attribute,
                        struct sorted **ret) {
    size_t count = json_size(value.json);
    struct sorted *items = *ret = arena_array_of(expr_scratch(call->run), struct sorted, count + 1);
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct sorted){.item = json_at(value.json, i), .index = i};
        if (!part_of(call, value_of(items[i].item), attribute, &items[i].key)) return false;
        if (!sensitive) items[i].key = without_case(call, items[i].key);
    }
    return true;
}

FILTER_APPLY(sort) {
    struct sorted *items;
    if (!want_array(call, value) || !read_sorted(call, value, filter_flag(call, 1, false), 2, &items)) return false;
    size_t count = json_size(value.json);
    if (!sort_items(call, items, count, filter_flag(call, 0, false))) return false;
    struct json *list = json_new_array(expr_scratch(call->run));
    for (size_t i = 0; i < count; i++) json_push(list, items[i].item);
    *ret = value_of(list);
    return true;
}

FILTER_APPLY(unique) {
    struct sorted *items;
    size_t kept = 0;
    if (!want_array(call, value) || !read_sorted(call, value, filter_flag(call, 0, false), 1, &items)) return false;
    size_t count = json_size(value.json);
    struct json *list = json_new_array(expr_scratch(call->run));
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;
        if (!expr_work(call->run, call->expr, kept, call->fault)) return false;
        while (j < kept && !value_same(items[j].key, items[i].key)) j++;
        if (j < kept) continue;
        items[kept++] = items[i];
        json_push(list, items[i].item);
    }
    *ret = value_of(list);
    return true;
}

static bool extreme(const struct filter_call *call, struct value value, int wanted, struct value *ret) {
    struct sorted *items;
    size_t best = 0;
    if (!want_array(call, value) || !read_sorted(call, value, filter_flag(call, 0, false), 1, &items)) return false;
    size_t count = json_size(value.json);
    if (count == 0) return filter_fault(call, FAULT_UNDEFINED, "%.*s is empty", TEXT_ARG(call->expr->a->source));
    if (!has_order(call, items, count)) return false;
    for (size_t i = 1; i < count; i++) {
        int way = 0;
        value_order(items[i].key, items[best].key, &way);
        if (way == wanted) best = i;
    }
    *ret = value_of(items[best].item);
    return true;
}

FILTER_APPLY(min) {
    return extreme(call, value, -1, ret);
}

FILTER_APPLY(max) {
    return extreme(call, value, 1, ret);
}

FILTER_APPLY(sum) {
    struct value total = call->arguments[1] ? *call->arguments[1] : value_int(0), part;
    if (!want_array(call, value)) return false;
    for (size_t i = 0; i < json_size(value.json); i++) {
        if (!part_of(call, value_of(json_at(value.json, i)), 0, &part)) return false;
        if (!value_is_number(part) || !value_is_number(total))
            return filter_fault(call, FAULT_INVALID, "it adds up numbers, not %s", json_kind_word(part.kind));
        if (total.kind == JSON_INT && part.kind == JSON_INT) {
            if (__builtin_add_overflow(total.integer, part.integer, &total.integer))
                return filter_fault(call, FAULT_TOO_LARGE, "the sum is too large for an integer");
        } else {
            total = value_real(value_number(total) + value_number(part));
            if (total.kind != JSON_REAL) return filter_fault(call, FAULT_TOO_LARGE, "the sum is too large");
        }
    }
    *ret = total;
    return true;
}

/* ---- objects ---- */

static const struct json *pair_of(struct arena *arena, struct json_member m) {
    struct json *pair = json_new_array(arena);
    json_push(pair, json_new_text(arena, m.name));
    json_push(pair, m.value);
    return pair;
}

static bool want_object(const struct filter_call *call, struct value value) {
    if (value.kind != JSON_OBJECT) return filter_wrong_kind(call, value, "an object");
    return expr_work(call->run, call->expr, 2 * json_size(value.json), call->fault);
}

FILTER_APPLY(items) {
    struct arena *arena = expr_scratch(call->run);
    if (!want_object(call, value)) return false;
    struct json *list = json_new_array(arena);
    for (struct json_member m = json_first(value.json); m.name.at; m = json_next(value.json, m))
        json_push(list, pair_of(arena, m));
    *ret = value_of(list);
    return true;
}

FILTER_APPLY(dictsort) {
    struct arena *arena = expr_scratch(call->run);
    struct text by;
    size_t count = 0;
    if (!want_object(call, value) || !filter_text_argument(call, 1, "key", &by)) return false;
    if (!text_is(by, "key") && !text_is(by, "value"))
        return filter_fault(call, FAULT_INVALID, "it sorts by \"key\" or \"value\"");
    struct sorted *items = arena_array_of(arena, struct sorted, json_size(value.json) + 1);
    for (struct json_member m = json_first(value.json); m.name.at; m = json_next(value.json, m), count++) {
        struct value key = text_is(by, "key") ? value_text(m.name) : value_of(m.value);
        if (!filter_flag(call, 0, false)) key = without_case(call, key);
        items[count] = (struct sorted){key, pair_of(arena, m), count};
    }
    if (!sort_items(call, items, count, filter_flag(call, 2, false))) return false;
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < count; i++) json_push(list, items[i].item);
    *ret = value_of(list);
    return true;
}

/* ---- filters and tests for each element ---- */

/* The call of what is done to each element: its arguments are those behind the first `taken`. */
static struct filter_call inner_call(const struct filter_call *call, const char *name, size_t taken) {
    struct filter_call inner = {.run = call->run, .expr = call->expr, .name = name, .fault = call->fault};
    for (size_t i = taken; i < FILTER_ARGUMENTS; i++) inner.arguments[i - taken] = call->arguments[i];
    return inner;
}

FILTER_APPLY(map) {
    const struct filter *filter = call->expr->inner;
    struct arena *arena = expr_scratch(call->run);
    if (!want_array(call, value)) return false;
    struct json *list = json_new_array(arena);
    struct filter_call inner = inner_call(call, filter ? filter->name : call->name, 1);
    inner.arguments[2] = NULL;
    for (size_t i = 0; i < json_size(value.json); i++) {
        struct value item = value_of(json_at(value.json, i)), made;
        if (!(filter ? filter->apply(&inner, item, &made) : part_of(call, item, 3, &made))) return false;
        json_push(list, value_json(arena, made));
    }
    *ret = value_of(list);
    return true;
}

static bool pick(const struct filter_call *call, struct value value, bool wanted, bool attribute, struct value *ret) {
    const struct filter_test *test = call->expr->test;
    bool may_miss = test && (test->ask == filter_is_defined || test->ask == filter_is_undefined);
    struct filter_call inner = inner_call(call, test ? test->name : call->name, attribute ? 2 : 1);
    if (!want_array(call, value)) return false;
    struct json *list = json_new_array(expr_scratch(call->run));
    for (size_t i = 0; i < json_size(value.json); i++) {
        struct value item = value_of(json_at(value.json, i));
        if (attribute && !(may_miss ? read_part : part_of)(call, item, 0, &item)) return false;
        bool truth = value_truth(item);
        if (test && !test->ask(&inner, item, &truth)) return false;
        if (truth == wanted) json_push(list, json_at(value.json, i));
    }
    *ret = value_of(list);
    return true;
}

FILTER_APPLY(select) {
    return pick(call, value, true, false, ret);
}

FILTER_APPLY(reject) {
    return pick(call, value, false, false, ret);
}

FILTER_APPLY(selectattr) {
    return pick(call, value, true, true, ret);
}

FILTER_APPLY(rejectattr) {
    return pick(call, value, false, true, ret);
}
