/* Compiles how a repeating step is judged, and what outputs are taken from replies.
 *
 * Rules that cannot end a step are mistakes: a step that looks at a value but knows no word for success would only ever
 * end by its time-out. Settings of a repeating step in one that has no rules are mistakes too, since it runs once. */
#include <string.h>
#include <strings.h>

#include "stage/compile.h"

struct word_list {
    const char *name;
    const struct stage_words *words;
};

static void check_words(struct compile *c, const struct conf *group, const struct stage_rules *r) {
    const struct word_list lists[] = {{"failure", &r->failure},
                                      {"canceled", &r->canceled},
                                      {"success", &r->success},
                                      {"warn", &r->warn},
                                      {"running", &r->running}};
    for (size_t a = 0; a < 5; a++)
        for (size_t i = 0; i < lists[a].words->count; i++)
            for (size_t b = 0; b <= a; b++)
                for (size_t j = 0; j < (a == b ? i : lists[b].words->count); j++) {
                    const char *word = lists[a].words->items[i];
                    if (strcasecmp(word, lists[b].words->items[j]) != 0) continue;
                    if (a == b)
                        compile_fault(c, conf_find(group, lists[a].name), FAULT_INVALID, "\"%s\" is twice in %s", word,
                                      lists[a].name);
                    else
                        compile_fault(c, conf_find(group, lists[a].name), FAULT_INVALID,
                                      "\"%s\" is in %s and in %s; a word can mean one thing only", word, lists[b].name,
                                      lists[a].name);
                }
}

static const struct conf *find_first(const struct conf *group, const char *const *names, size_t count) {
    for (size_t i = 0; i < group->count; i++)
        for (size_t j = 0; j < count; j++)
            if (strcmp(group->items[i].name, names[j]) == 0) return &group->items[i];
    return NULL;
}

static const char *const lists[] = {"success", "failure", "canceled", "warn", "running"};
static const char *const limits[] = {"at_most", "at_least"};
static const char *const judging[] = {"success", "failure", "canceled", "warn",     "running",
                                      "unknown", "at_most", "at_least", "progress", "message"};
static const char *const repeating[] = {"every", "not_found_grace"};

static void check_complete(struct compile *c, const struct conf *group, const char *of, bool must) {
    const struct conf *value = conf_find(group, "value");
    const struct conf *rule = find_first(group, judging, 10);
    const struct conf *limit = find_first(group, limits, 2), *list = find_first(group, lists, 5);
    if (!value && rule)
        compile_fault(c, rule, FAULT_INVALID, "%s needs a value to look at: value = \"$.…\"", rule->name);
    else if (!value && must)
        compile_fault(c, group, FAULT_INVALID,
                      "%s has no rule that could end it; add value = \"$.…\" and success = [ \"…\" ]", of);
    for (size_t i = 0; !value && !must && i < 2; i++) {
        const struct conf *pace = conf_find(group, repeating[i]);
        if (pace)
            compile_fault(c, pace, FAULT_INVALID,
                          "%s is for a step that repeats, and %s has no rules: value, success, …", pace->name, of);
    }
    if (value && !limit && !conf_find(group, "success") && !conf_find(group, "warn"))
        compile_fault(c, value, FAULT_INVALID,
                      "with value, %s needs success = [ \"…\" ], at_most or at_least; without, nothing can end it well",
                      of);
    if (limit && list)
        compile_fault(c, list, FAULT_INVALID,
                      "%s is a list of words, and %s takes the value as a number; use one of them", list->name,
                      limit->name);
}

static const struct template *read_limit(struct compile *c, const struct conf *at) {
    struct text t;
    if (!at || !fields_type_fits(at, FIELD_LIMIT)) return NULL;
    if (at->kind == CONF_STRING) {
        double number;
        t = at->string;
        if (text_holds(t, "{{")) return compile_template(c, at, PLACE_TEXT);
        if (!compile_number(t, &number)) {
            compile_fault(c, at, FAULT_INVALID, "%s: \"%.*s\" is neither a number nor a template", at->name,
                          TEXT_ARG(t));
            return NULL;
        }
    } else if (at->kind == CONF_INT) {
        t = text_of(arena_printf(c->arena, "%lld", (long long)at->integer));
    } else {
        t = text_of(arena_printf(c->arena, "%.17g", at->real));
    }
    return compile_template_text(c, at, t, PLACE_TEXT);
}

static void check_limits(struct compile *c, const struct conf *low, const struct conf *high) {
    if (!low || !high || low->kind == CONF_STRING || high->kind == CONF_STRING || low->real <= high->real) return;
    compile_fault(c, high, FAULT_INVALID, "at_most is less than at_least: no number is both");
}

/* The values were read into *step by the fields' tables before. */
void compile_rules(struct compile *c, const struct conf *group, const char *of, bool must, struct stage_step *step) {
    const struct conf *unknown = conf_find(group, "unknown");
    struct stage_rules *r = &step->rules;
    c->scope.secrets = false;
    c->scope.reply = true;
    r->exist = conf_find(group, "value") != NULL;
    r->unknown_fails = unknown && unknown->kind == CONF_STRING && text_is(unknown->string, "fail");
    r->at_most = read_limit(c, conf_find(group, "at_most"));
    r->at_least = read_limit(c, conf_find(group, "at_least"));
    check_limits(c, conf_find(group, "at_least"), conf_find(group, "at_most"));
    check_words(c, group, r);
    check_complete(c, group, of, must);
}

static bool word_given(const struct conf *group, const char *name, const char *word) {
    const struct conf *at = conf_find(group, name);
    return at && at->kind == CONF_STRING && text_is(at->string, word);
}

void compile_capture(struct compile *c, const struct conf *at, struct stage_capture *capture) {
    if (!at || !fields_type_fits(at, FIELD_CAPTURE)) return;
    capture->properties = true;
    if (at->kind == CONF_STRING) {
        if (text_is(at->string, "properties")) return;
        compile_fault(c, at, FAULT_INVALID, "capture: \"%.*s\" is not properties", TEXT_ARG(at->string));
        return;
    }
    struct field_place place = {&fields_capture, NULL};
    fields_read(c, at, "capture", &place, 1);
    if (!conf_find(at, "format")) compile_fault(c, at, FAULT_INVALID, "capture needs format = \"properties\"");
    if (word_given(at, "framing", "docker")) capture->framing = FRAMING_DOCKER;
    if (word_given(at, "framing", "none")) capture->framing = FRAMING_NONE;
    if (word_given(at, "missing", "ignore")) capture->missing = MISSING_IGNORE;
    if (word_given(at, "missing", "fail")) capture->missing = MISSING_FAIL;
}

static bool read_output(struct compile *c, const struct conf *at, struct stage_output *output) {
    output->name = at->name;
    if (at->kind != CONF_STRING) {
        compile_fault(c, at, FAULT_INVALID, "the output %s must be a string, and here is %s", at->name,
                      conf_shown(c->arena, at));
        return false;
    }
    if (text_starts(at->string, "$")) output->path = compile_path(c, at);
    else if (text_holds(at->string, "{{")) output->expression = compile_template(c, at, PLACE_TEXT);
    else
        compile_fault(c, at, FAULT_INVALID,
                      "the output %s is neither a JSONPath (\"$.…\") nor a template (\"{{ … }}\")", at->name);
    return output->path || output->expression;
}

void compile_outputs(struct compile *c, const struct conf *group, const struct stage_output **ret_outputs,
                     size_t *ret_count) {
    if (!group || group->kind != CONF_GROUP) return;
    struct stage_output *outputs = arena_array_of(c->arena, struct stage_output, group->count);
    size_t count = 0;
    c->scope.secrets = false;
    c->scope.reply = true;
    for (size_t i = 0; i < group->count; i++) count += read_output(c, &group->items[i], &outputs[count]);
    *ret_outputs = outputs;
    *ret_count = count;
}
