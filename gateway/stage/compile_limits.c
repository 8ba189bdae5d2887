/* Compiles what bounds a stage: limits, the breaker, and which of its work is the same.
 *
 * Names, types and ranges are checked by the fields' tables first; only a group without mistakes there is read. A run
 * without any of these settings is told so by NULLs, and never comes to the gate. */
#include <string.h>

#include "stage/compile.h"

#define QUEUE_DEFAULT 1000

static bool read_group(struct compile *c, const struct conf *group, const char *of, const struct field_table *table) {
    struct field_place place = {table, NULL};
    size_t before = compile_fault_count(c);
    fields_read(c, group, of, &place, 1);
    return compile_fault_count(c) == before;
}

static bool set_all(struct compile *c, const struct conf *group, const char *prefix, struct limits *to) {
    bool good = true;
    for (size_t i = 0; i < group->count; i++) {
        const struct conf *at = &group->items[i];
        const char *value = limits_text(c->arena, at);
        struct fault fault;
        if (limits_set(to, text_of(arena_printf(c->arena, "%s%s", prefix, at->name)), text_of(value), &fault)) continue;
        compile_fault(c, at, fault.kind, "%s", fault.what);
        good = false;
    }
    return good;
}

static const struct limits *keep(struct compile *c, const struct limits *limits) {
    struct limits *kept = arena_new_of(c->arena, struct limits);
    *kept = *limits;
    return kept;
}

static void take_limits(struct compile *c, const struct conf *group, bool dedup, struct limits *calls) {
    struct limits runs;
    limits_init(&runs);
    if (!read_group(c, group, "limits", &fields_limits) || !set_all(c, group, "", &runs)) return;
    bool bounds = runs.concurrency || runs.per_second > 0;
    if (group->count == 0) compile_fault(c, group, FAULT_INVALID, "limits is empty");
    if (runs.queue >= 0 && !bounds && !dedup)
        compile_fault(c, conf_find(group, "queue"), FAULT_INVALID,
                      "queue needs concurrency or rate, or dedup: without, no run ever waits");
    calls->gap_ms = runs.gap_ms;
    runs.gap_ms = 0;
    if (runs.queue < 0) runs.queue = QUEUE_DEFAULT;
    if (bounds || (dedup && conf_find(group, "queue"))) c->stage->limits = keep(c, &runs);
}

static void take_breaker(struct compile *c, const struct conf *group, struct limits *calls) {
    if (!read_group(c, group, "breaker", &fields_breaker)) return;
    limits_set(calls, TEXT("breaker"), TEXT(""), NULL);
    set_all(c, group, "breaker.", calls);
}

static const struct template *read_key(struct compile *c, const struct conf *at) {
    struct compile_scope scope = c->scope;
    c->scope = (struct compile_scope){0};
    const struct template *key = compile_template(c, at, PLACE_TEXT);
    c->scope = scope;
    for (size_t root = 0; key && root < c->names.count; root++) {
        if (root == ROOT_PARAMETERS || root == ROOT_CALLER || !template_uses(key, root)) continue;
        compile_fault(c, at, FAULT_INVALID, "key: it can speak of parameters and caller only, and there is %s",
                      c->names.roots[root]);
        return NULL;
    }
    return key;
}

static void take_dedup(struct compile *c, const struct conf *group) {
    static const char *const words[] = {"attach", "reject", "queue", "supersede"};
    const struct conf *key = conf_find(group, "key"), *on = conf_find(group, "on_duplicate");
    if (!key) compile_fault(c, group, FAULT_INVALID, "dedup needs a key: key = \"{{ parameters.… }}\"");
    bool good = read_group(c, group, "dedup", &fields_dedup);
    struct stage_dedup *dedup = arena_new_of(c->arena, struct stage_dedup);
    if (key && key->kind == CONF_STRING) dedup->key = read_key(c, key);
    if (!good || !dedup->key) return;
    for (size_t i = 0; on && i < sizeof words / sizeof *words; i++)
        if (text_is(on->string, words[i])) dedup->on_duplicate = (enum stage_duplicate)i;
    c->stage->dedup = dedup;
}

/* Nothing is wrong with it, but it hardly is what was meant. */
static void warn_of_no_cancel(struct compile *c, const struct conf *top) {
    const struct conf *orphan = conf_find(top, "orphan_after");
    const struct stage_dedup *dedup = c->stage->dedup;
    if (conf_find(top, "cancel")) return;
    if (c->stage->orphan_after_ms)
        compile_warn(c, orphan, "orphan_after cancels a run, and there is no cancel: the upstream is not told");
    if (dedup && dedup->on_duplicate == DUPLICATE_SUPERSEDE)
        compile_warn(c, conf_find(top, "dedup"),
                     "supersede cancels a run, and there is no cancel: the upstream is not told, and both do the work");
}

void compile_limits(struct compile *c, const struct conf *top) {
    const struct conf *limits = conf_find(top, "limits"), *breaker = conf_find(top, "breaker");
    const struct conf *dedup = conf_find(top, "dedup");
    struct limits calls;
    limits_init(&calls);
    if (dedup && dedup->kind == CONF_GROUP) take_dedup(c, dedup);
    if (limits && limits->kind == CONF_GROUP) take_limits(c, limits, dedup != NULL, &calls);
    if (breaker && breaker->kind == CONF_GROUP) take_breaker(c, breaker, &calls);
    if (calls.gap_ms || calls.breaker.window_ms) c->stage->call_limits = keep(c, &calls);
    warn_of_no_cancel(c, top);
}
