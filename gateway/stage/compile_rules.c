/* Compiles how a repeating step is judged, and what outputs are taken from replies.
 *
 * Rules that cannot end a step are mistakes: a step that looks at a value but knows no word and no condition for
 * success would only ever end by its time-out. Settings of a repeating step in one that has no rules are mistakes too,
 * since it runs once. */
#include <string.h>
#include <strings.h>

#include "stage/compile.h"

#define STEADY_MAX_MS (7LL * 24 * 60 * 60 * 1000)
#define STEADY_MAX_POLLS 1000

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
static const char *const makers[] = {"value",         "success_when", "failure_when",
                                     "canceled_when", "running_when", "warn_when"};
static const char *const of_value[] = {"success", "failure", "canceled", "warn", "running", "at_most", "at_least"};
static const char *const of_rules[] = {"unknown", "progress", "message", "success_for"};
static const char *const good_ends[] = {"success", "warn", "at_most", "at_least", "success_when", "warn_when"};
static const char *const repeating[] = {"every", "not_found_grace", "max_every", "backoff", "adaptive"};
#define FIND(group, names) find_first(group, names, sizeof names / sizeof *names)

const struct conf *compile_rules_find(const struct conf *group) {
    return FIND(group, makers);
}

static void check_complete(struct compile *c, const struct conf *group, const char *of, bool must) {
    const struct conf *value = conf_find(group, "value"), *rule = compile_rules_find(group);
    const struct conf *of_no_value = FIND(group, of_value), *of_no_rule = FIND(group, of_rules);
    const struct conf *limit = FIND(group, limits), *list = FIND(group, lists);
    if (!value && of_no_value)
        compile_fault(c, of_no_value, FAULT_INVALID, "%s needs a value to look at: value = \"$.…\"", of_no_value->name);
    else if (!rule && of_no_rule)
        compile_fault(c, of_no_rule, FAULT_INVALID, "%s needs rules: value = \"$.…\" with its lists, or success_when",
                      of_no_rule->name);
    else if (!rule && must)
        compile_fault(c, group, FAULT_INVALID,
                      "%s has no rule that could end it; add value = \"$.…\" and success = [ \"…\" ], or success_when",
                      of);
    for (size_t i = 0; !rule && !must && i < sizeof repeating / sizeof *repeating; i++) {
        const struct conf *pace = conf_find(group, repeating[i]);
        if (pace)
            compile_fault(c, pace, FAULT_INVALID,
                          "%s is for a step that repeats, and %s has no rules: value, success, …", pace->name, of);
    }
    if (rule && !FIND(group, good_ends))
        compile_fault(c, rule, FAULT_INVALID,
                      "with %s, %s needs success = [ \"…\" ], at_most, at_least or success_when; without, nothing can "
                      "end it well",
                      rule->name, of);
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

static void read_pace(struct compile *c, const struct conf *group, struct stage_step *step) {
    const struct conf *backoff = conf_find(group, "backoff"), *most = conf_find(group, "max_every");
    step->backoff = 1;
    if (backoff && fields_type_fits(backoff, FIELD_NUMBER)) {
        step->backoff = backoff->kind == CONF_INT ? (double)backoff->integer : backoff->real;
        if (!(step->backoff >= 1 && step->backoff <= 10)) {
            step->backoff = 1;
            compile_fault(c, backoff, FAULT_INVALID, "backoff is a factor: 1 to 10 are possible, such as 1.5");
        }
    }
    if (most && !backoff && !step->adaptive)
        compile_fault(c, most, FAULT_INVALID,
                      "max_every needs backoff = 1.5 or adaptive = true; without, polls come every %s",
                      conf_find(group, "every") ? "`every`" : "5s");
    if (!most) step->max_every_ms = 10 * step->every_ms;
    else if (step->max_every_ms < step->every_ms) compile_fault(c, most, FAULT_INVALID, "max_every is less than every");
}

static void read_condition(struct compile *c, const struct conf *group, const char *name,
                           struct stage_condition *condition) {
    const struct conf *at = conf_find(group, name);
    if (!at || at->kind != CONF_STRING) return;
    condition->holds = compile_expression(c, at);
    condition->source = at->string.at;
}

/* A plain sentence is there in every reply, so it needs a condition that says when it is meant. */
static void read_error(struct compile *c, const struct conf *group, struct stage_rules *rules) {
    const struct conf *at = conf_find(group, "error");
    if (!at || at->kind != CONF_STRING) return;
    if (text_starts(at->string, "$")) rules->error_path = compile_path(c, at);
    else if (text_holds(at->string, "{{") || conf_find(group, "error_when"))
        rules->error = compile_template(c, at, PLACE_TEXT);
    else
        compile_fault(c, at, FAULT_INVALID,
                      "error is neither a JSONPath (\"$.…\") nor a template (\"{{ … }}\"); a plain sentence needs "
                      "error_when");
}

static void read_steady(struct compile *c, const struct conf *at, struct stage_rules *rules) {
    struct fault fault;
    if (!at || !fields_type_fits(at, FIELD_STEADY)) return;
    if (at->kind == CONF_STRING && !duration_parse(at->string, &rules->success_for_ms, &fault))
        compile_fault(c, at, FAULT_INVALID, "success_for: %s", fault.what);
    else if (at->kind == CONF_STRING && (rules->success_for_ms < 10 || rules->success_for_ms > STEADY_MAX_MS))
        compile_fault(c, at, FAULT_INVALID, "success_for: %.*s is out of range: 10ms to 7d are possible",
                      TEXT_ARG(at->string));
    else if (at->kind == CONF_INT && (at->integer < 1 || at->integer > STEADY_MAX_POLLS))
        compile_fault(c, at, FAULT_INVALID, "success_for: %lld is out of range: 1 to %d replies in a row are possible",
                      (long long)at->integer, STEADY_MAX_POLLS);
    else if (at->kind == CONF_INT) rules->success_polls = at->integer;
}

static bool any_condition(const struct stage_rules *r) {
    return r->success_when.holds || r->failure_when.holds || r->canceled_when.holds || r->running_when.holds ||
           r->warn_when.holds;
}

void compile_errors(struct compile *c, const struct conf *group, struct stage_rules *r) {
    c->scope.secrets = false;
    c->scope.reply = true;
    read_condition(c, group, "error_when", &r->error_when);
    read_error(c, group, r);
    r->use_roots = r->error || r->error_path || r->error_when.holds;
}

static void read_judging(struct compile *c, const struct conf *group, struct stage_rules *r) {
    const struct conf *unknown = conf_find(group, "unknown");
    c->scope.secrets = false;
    c->scope.reply = c->scope.judging = true;
    r->exist = compile_rules_find(group) != NULL;
    r->unknown_fails = unknown && unknown->kind == CONF_STRING && text_is(unknown->string, "fail");
    r->at_most = read_limit(c, conf_find(group, "at_most"));
    r->at_least = read_limit(c, conf_find(group, "at_least"));
    read_condition(c, group, "success_when", &r->success_when);
    read_condition(c, group, "failure_when", &r->failure_when);
    read_condition(c, group, "canceled_when", &r->canceled_when);
    read_condition(c, group, "running_when", &r->running_when);
    read_condition(c, group, "warn_when", &r->warn_when);
    compile_errors(c, group, r);
    read_steady(c, conf_find(group, "success_for"), r);
    r->use_roots |= r->at_most || r->at_least || any_condition(r);
    check_limits(c, conf_find(group, "at_least"), conf_find(group, "at_most"));
    check_words(c, group, r);
    c->scope.judging = false;
}

static bool condition_uses(const struct stage_condition *condition, size_t root) {
    return condition->holds && template_uses(condition->holds, root);
}

void compile_rules_outputs(struct stage_rules *r, const struct stage_output *outputs, size_t count) {
    const struct stage_condition *conditions[] = {&r->success_when, &r->failure_when, &r->canceled_when,
                                                  &r->running_when, &r->warn_when,    &r->error_when};
    const struct template *texts[] = {r->at_most, r->at_least, r->error};
    bool used = false;
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        used |= condition_uses(conditions[i], ROOT_OUTPUTS);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) used |= texts[i] && template_uses(texts[i], ROOT_OUTPUTS);
    if (!used) return;
    r->outputs = outputs;
    r->output_count = count;
}

/* The values were read into *step by the fields' tables before. */
void compile_rules(struct compile *c, const struct conf *group, const char *of, bool must, struct stage_step *step) {
    read_judging(c, group, &step->rules);
    check_complete(c, group, of, must);
    read_pace(c, group, step);
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
