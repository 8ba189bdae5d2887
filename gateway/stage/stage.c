/* Compiles a definition file into a stage.
 *
 * The order is: settings at the top, parameters, the names of the steps (templates speak of them), then each step, the
 * cancel call, and outputs. `request` and `status` become two steps called so; from there on nobody knows in which form
 * a definition was written. Mistakes do not stop the compiler; a stage comes out only where there were none.
 *
 * What was read is kept in the stage as one JSON text. Compiled again from that, the same stage comes out, whatever has
 * become of the files: a run pins it. */
#include "stage/stage.h"

#include <string.h>

#include "base/digest.h"
#include "stage/compile.h"

#define MINUTE_MS (60 * 1000)
#define HOUR_MS (60 * MINUTE_MS)
#define CANCEL_TRIES_AGAIN 4

static const char *const root_words[] = {
#define X(id, word) word,
    STAGE_ROOTS(X)
#undef X
};

/* Words of the template language, which cannot name a step. */
static const char *const language_words[] = {"and",   "or",   "not",  "in",   "is",    "if",    "elif",
                                             "else",  "for",  "set",  "true", "false", "none",  "True",
                                             "False", "None", "loop", "null", "endif", "endfor"};

struct plan {
    const struct conf *groups[STAGE_STEPS_MAX];
    const char *names[STAGE_STEPS_MAX]; /* never NULL; "" where the name is bad */
    size_t count;
    bool general; /* written with `steps` */
};

static void plan_add(struct plan *plan, const struct conf *group, const char *name) {
    plan->groups[plan->count] = group;
    plan->names[plan->count++] = name;
}

static bool word_is_one_of(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0) return true;
    return false;
}

static const char *step_name(struct compile *c, const struct plan *plan, const struct conf *group) {
    const struct conf *at = conf_find(group, "name");
    if (!at) compile_fault(c, group, FAULT_INVALID, "a step needs a name");
    if (!at || at->kind != CONF_STRING || !compile_name_check(c, at, "step", COMPILE_STEP_NAME)) return "";
    const char *name = at->string.at;
    if (word_is_one_of(name, root_words, ROOT_STEPS))
        compile_fault(c, at, FAULT_INVALID, "a step cannot be called \"%s\": templates mean something else by it",
                      name);
    else if (word_is_one_of(name, language_words, sizeof language_words / sizeof *language_words))
        compile_fault(c, at, FAULT_INVALID, "a step cannot be called \"%s\": it is a word of the template language",
                      name);
    else if (word_is_one_of(name, plan->names, plan->count))
        compile_fault(c, at, FAULT_INVALID, "there are two steps \"%s\"", name);
    return name;
}

static void plan_steps(struct compile *c, const struct conf *list, struct plan *plan) {
    plan->general = true;
    if (!fields_type_fits(list, FIELD_GROUPS)) return;
    if (list->count == 0) compile_fault(c, list, FAULT_INVALID, "steps is empty");
    if (list->count > STAGE_STEPS_MAX)
        compile_fault(c, list, FAULT_TOO_LARGE, "%zu steps are more than %d", list->count, STAGE_STEPS_MAX);
    for (size_t i = 0; i < list->count && i < STAGE_STEPS_MAX; i++)
        plan_add(plan, &list->items[i], step_name(c, plan, &list->items[i]));
}

static void plan_two(struct compile *c, const struct conf *top, struct plan *plan) {
    const struct conf *request = conf_find(top, "request"), *status = conf_find(top, "status");
    if (!request)
        compile_fault(c, status ? status : top, FAULT_INVALID,
                      status ? "status needs a request before it"
                             : "a definition needs request = { … } or steps = ( … )");
    if (request && request->kind == CONF_GROUP) plan_add(plan, request, "request");
    if (status && status->kind == CONF_GROUP) plan_add(plan, status, "status");
}

static void make_plan(struct compile *c, const struct conf *top, struct plan *plan) {
    const struct conf *steps = conf_find(top, "steps"), *request = conf_find(top, "request");
    const struct conf *status = conf_find(top, "status");
    if (steps && (request || status))
        compile_fault(c, steps, FAULT_INVALID,
                      "steps stands in place of request and status; use one form or the other");
    if (steps) plan_steps(c, steps, plan);
    else plan_two(c, top, plan);
    for (size_t i = 0; i < plan->count; i++)
        plan->groups[i] = compile_follow(c, plan->groups[i], i ? plan->names[i - 1] : NULL);
}

static void make_roots(struct compile *c, const struct plan *plan) {
    const char **roots = arena_array_of(c->arena, const char *, ROOT_STEPS + plan->count);
    for (size_t i = 0; i < ROOT_STEPS; i++) roots[i] = root_words[i];
    for (size_t i = 0; i < plan->count; i++) roots[ROOT_STEPS + i] = plan->names[i];
    c->stage->roots = roots;
    c->names = (struct template_names){.roots = roots, .count = ROOT_STEPS + plan->count};
}

/* In the two-step form with a status, the request runs once: rules in it are misplaced. */
static bool misplaced_rules(struct compile *c, const struct plan *plan, size_t index, const struct conf *group) {
    const struct conf *rule = compile_rules_find(group);
    if (plan->general || index != 0 || plan->count < 2 || !rule) return false;
    compile_fault(c, rule, FAULT_INVALID, "request runs once, so it has no rules; put %s into status",
                  strcmp(rule->name, "value") == 0 ? "value and its lists" : rule->name);
    return true;
}

/* The step whose callback.url a call of step `from` can tell: its own, or that of the next one that waits. */
static size_t waiting_step(const struct plan *plan, size_t from) {
    for (size_t i = from; i < plan->count; i++)
        if (conf_find(plan->groups[i], "callback")) return i;
    return STAGE_STEPS_MAX;
}

/* The call of a step, if it makes one, and whom it tells the URL of its callback. */
static void compile_step_call(struct compile *c, const struct plan *plan, size_t index, const char *of,
                              enum compile_call_kind kind, struct stage_step *step) {
    const struct conf *group = plan->groups[index];
    bool calls = conf_find(group, "url") || !conf_find(group, "callback");
    step->callback_step = waiting_step(plan, index);
    c->scope.callback = step->callback_step < STAGE_STEPS_MAX;
    c->scope.no_callback = "leads nowhere: neither this step nor a later one has callback = { … }";
    c->callback_used = false;
    if (calls) compile_call(c, group, of, kind, &step->call);
    else compile_waiting(c, group, of, &step->call);
    if (!c->callback_used) step->callback_step = STAGE_STEPS_MAX;
    c->scope.callback = false;
    c->scope.no_callback = NULL;
}

static void check_callbacks_told(struct compile *c, const struct plan *plan, const struct stage_step *steps) {
    for (size_t i = 0; i < plan->count; i++) {
        bool told = false;
        if (!steps[i].callback) continue;
        for (size_t j = 0; j <= i; j++) told |= steps[j].callback_step == i;
        if (!told)
            compile_fault(c, conf_find(plan->groups[i], "callback"), FAULT_INVALID,
                          "nobody is told where to call back: no call up to this step has {{ callback.url }} in it");
    }
}

static void compile_condition(struct compile *c, const struct conf *at, struct stage_condition *when) {
    when->holds = compile_expression(c, at);
    when->source = at->string.at;
}

static void compile_when(struct compile *c, const struct plan *plan, size_t index, struct stage_step *step) {
    const struct conf *group = plan->groups[index], *own = conf_find(group, "when");
    if (own && own->kind != CONF_STRING) return;
    c->scope.secrets = c->scope.reply = false;
    if (own) compile_condition(c, own, &step->when);
    if (own && index == 0)
        compile_fault(c, own, FAULT_INVALID, "the first step is always made; when is for those behind it");
    if (step->follows && (!own || step->when.holds))
        compile_condition(c, compile_follow_when(c, group, plan->names[index - 1]), &step->when);
}

static void compile_step_outputs(struct compile *c, struct stage_step *step, struct stage_callback *callback,
                                 const struct conf *artifacts) {
    compile_outputs(c, c->scope.own_outputs, &step->outputs, &step->output_count);
    c->scope.outputs = c->scope.steps; /* they may name those */
    compile_artifacts(c, artifacts, &step->artifacts);
    c->scope.own_outputs = NULL;
    compile_rules_outputs(&step->rules, step->outputs, step->output_count);
    if (callback) compile_rules_outputs(&callback->rules, step->outputs, step->output_count);
}

static void compile_step(struct compile *c, const struct plan *plan, size_t index, struct stage_step *step) {
    const struct conf *group = plan->groups[index], *callback = conf_find(group, "callback");
    bool is_status = !plan->general && index == 1, polls = compile_rules_find(group) != NULL;
    bool repeats = (is_status && !callback) || polls;
    const char *of = !plan->general ? plan->names[index]
                                    : arena_printf(c->arena, "the step \"%s\"", plan->names[index]);
    struct field_place places[] = {{&fields_call, &step->call},
                                   {&fields_repeat, step},
                                   {&fields_judging, &step->rules},
                                   {&fields_doubt, NULL},
                                   {&fields_step, NULL}};
    enum compile_call_kind kind = plan->general ? COMPILE_STEP : is_status ? COMPILE_STATUS : COMPILE_REQUEST;
    step->name = plan->names[index];
    step->follows = index > 0 && conf_find(group, "follow");
    step->every_ms = 5000;
    step->timeout_ms = repeats || (callback && !conf_find(callback, "timeout")) ? HOUR_MS : 0;
    compile_call_defaults(&step->call);
    c->at_hand = index;
    step->call.wanted = &c->wanted[index];
    fields_read(c, group, of, places, plan->general ? 5 : 4);
    c->scope.steps = c->scope.outputs = index;
    c->scope.own_outputs = conf_find(group, "outputs");
    compile_when(c, plan, index, step);
    compile_step_call(c, plan, index, of, kind, step);
    if (!misplaced_rules(c, plan, index, group)) compile_rules(c, group, of, is_status && !callback, step);
    if (step->rules.exist && !step->call.method[0])
        compile_fault(c, compile_rules_find(group), FAULT_INVALID,
                      "%s has no url, so it gets no reply to judge; what judges the callback stands in callback", of);
    struct stage_callback *waits = compile_callback(c, callback, of, step->rules.exist);
    step->callback = waits;
    compile_doubt(c, group, of, step);
    compile_capture(c, conf_find(group, "capture"), &step->capture);
    if (step->capture.properties && step->callback)
        compile_fault(c, conf_find(group, "capture"), FAULT_INVALID,
                      "capture reads the reply to a call, and %s waits for a callback; make two steps of it", of);
    c->scope.steps = index + 1;
    compile_step_outputs(c, step, waits, conf_find(group, "artifacts"));
}

/* To be told twice to stop does no harm, so a cancel call is made until it is answered. */
static const struct stage_step *compile_stop(struct compile *c, const struct conf *group, const char *of) {
    struct stage_step *step = arena_new_of(c->arena, struct stage_step);
    const struct conf *idempotent = conf_find(group, "idempotent");
    struct field_place places[] = {{&fields_call, &step->call}, {&fields_errors, NULL}, {&fields_cancel, c->stage}};
    bool fallback = c->stage->cancel != NULL;
    step->name = of;
    compile_call_defaults(&step->call);
    step->call.retry_attempts = CANCEL_TRIES_AGAIN;
    step->call.expect_given = conf_find(group, "expect") != NULL;
    fields_read(c, group, of, places, fallback ? 2 : 3);
    c->steps_used = 0;
    c->scope.no_callback = "leads nowhere here: a run that is canceled takes no callbacks any more";
    compile_call(c, group, of, COMPILE_CANCEL, &step->call);
    c->scope.no_callback = NULL;
    if (idempotent && idempotent->kind == CONF_BOOL && !idempotent->truth)
        compile_fault(c, idempotent, FAULT_INVALID, "%s is made until it is answered, so it is idempotent", of);
    step->call.idempotent = true;
    *(fallback ? &c->stage->fallback_needs : &c->stage->cancel_needs) = c->steps_used;
    compile_errors(c, group, &step->rules);
    return step;
}

static void compile_cancel(struct compile *c, const struct conf *group) {
    if (!group || group->kind != CONF_GROUP) return;
    const struct conf *fallback = conf_find(group, "fallback");
    c->stage->cancel_timeout_ms = MINUTE_MS;
    c->scope.steps = c->scope.outputs = c->stage->step_count;
    c->stage->cancel = compile_stop(c, group, "cancel");
    if (fallback && fallback->kind == CONF_GROUP) /* what it uses is not waited for: it may be for a later step alone */
        c->stage->cancel_fallback = compile_stop(c, fallback, "fallback");
}

static bool host_check(struct compile *c, const char *host) {
    bool whole = strstr(host, "://") != NULL;
    struct url url;
    const char *text = whole ? host : arena_printf(c->arena, "https://%s", host);
    if (!url_parse(text_of(text), &url, NULL)) return false;
    return url.path.len == 0 && !url.query.at && !url.fragment.at;
}

static void compile_hosts(struct compile *c, const struct conf *at) {
    struct stage_words hosts = {0};
    if (!at || !fields_type_fits(at, FIELD_WORDS)) return;
    fields_read_words(c, at, &hosts);
    for (size_t i = 0; i < hosts.count; i++)
        if (hosts.items[i][0] && !host_check(c, hosts.items[i]))
            compile_fault(c, at, FAULT_INVALID, "hosts: \"%s\" is not of the form host, host:port or https://host",
                          hosts.items[i]);
    c->stage->hosts = hosts.items;
    c->stage->host_count = hosts.count;
}

static void read_permissions(struct compile *c, const struct conf *group) {
    struct field_place place = {&fields_permissions, &c->stage->permissions};
    if (!group || group->kind != CONF_GROUP) return;
    fields_read(c, group, "permissions", &place, 1);
    if (group->count == 0) compile_fault(c, group, FAULT_INVALID, "permissions is empty");
}

static void read_enabled(struct compile *c, const struct conf *at) {
    if (!at || !fields_type_fits(at, FIELD_ENABLED)) return;
    if (at->kind == CONF_STRING && !text_is(at->string, "auto"))
        compile_fault(c, at, FAULT_INVALID, "enabled: \"%.*s\" is not true, false or \"auto\"", TEXT_ARG(at->string));
    c->may_lack = at->kind == CONF_STRING || !at->truth;
    if (at->kind == CONF_BOOL && !at->truth) c->stage->disabled = "its definition says enabled = false";
}

static void explain_lacked(struct compile *c) {
    if (!c->lacked || c->stage->disabled) return;
    bool several = strchr(c->lacked, ',') != NULL;
    c->stage->disabled = arena_printf(c->arena, "it needs the secret%s %s; docs/operations.md says how one is set",
                                      several ? "s" : "", c->lacked);
}

static void compile_top(struct compile *c, const struct conf *top) {
    const struct conf *name = conf_find(top, "name"), *params = conf_find(top, "parameters");
    struct stage *stage = c->stage;
    struct field_place place = {&fields_stage, stage};
    struct plan plan = {0};
    fields_read(c, top, "a definition", &place, 1);
    read_enabled(c, conf_find(top, "enabled"));
    read_permissions(c, conf_find(top, "permissions"));
    if (!name) compile_fault(c, top, FAULT_INVALID, "a definition needs a name: name = \"…\"");
    else if (name->kind == CONF_STRING && name->string.len) compile_name_check(c, name, "stage", COMPILE_STAGE_NAME);
    if (params && fields_type_fits(params, FIELD_GROUPS)) compile_params(c, params);
    make_plan(c, top, &plan);
    make_roots(c, &plan);
    stage->named = arena_array_of(c->arena, struct json_wanted, plan.count);
    c->wanted = arena_array_of(c->arena, struct json_wanted, plan.count);
    compile_limits(c, top);
    struct stage_step *steps = arena_array_of(c->arena, struct stage_step, plan.count);
    stage->steps = steps; /* what templates may say of a step depends on it */
    for (size_t i = 0; i < plan.count; i++) compile_step(c, &plan, i, &steps[i]);
    check_callbacks_told(c, &plan, steps);
    stage->step_count = plan.count;
    c->at_hand = STAGE_STEPS_MAX; /* any step may turn out to be the last one */
    compile_cancel(c, conf_find(top, "cancel"));
    c->scope.steps = c->scope.outputs = plan.count;
    compile_outputs(c, conf_find(top, "outputs"), &stage->outputs, &stage->output_count);
    compile_artifacts(c, conf_find(top, "artifacts"), &stage->artifacts);
    compile_hosts(c, conf_find(top, "hosts"));
    explain_lacked(c);
}

static void finish(struct compile *c) {
    struct stage *stage = c->stage;
    stage->file = c->source.file;
    stage->source = source_write(&c->source);
    digest_sha256_hex(text_of(stage->source), stage->hash);
    stage->warning_count = c->warnings.len / sizeof(struct fault);
    stage->warnings = arena_copy(c->arena, buf_text(&c->warnings).at, c->warnings.len);
    stage->references = 1;
}

/* The line of a fault in the definition itself; those of its templates and of files that it includes come behind. */
static int64_t line_of(const struct compile *c, const struct fault *fault) {
    size_t len = strlen(c->source.file);
    int64_t line;
    if (strncmp(fault->where, c->source.file, len) != 0) return INT64_MAX;
    return fault->where[len] == ':' && text_to_int(text_of(fault->where + len + 1), &line) ? line : 0;
}

/* The compiler goes by topics, a reader by lines. Those of one line stay in their order. */
static void sort_faults(const struct compile *c, size_t from) {
    struct fault *items = c->faults->items;
    for (size_t i = from + 1; i < c->faults->count; i++) {
        struct fault moving = items[i];
        size_t to = i;
        for (; to > from && line_of(c, &items[to - 1]) > line_of(c, &moving); to--) items[to] = items[to - 1];
        items[to] = moving;
    }
}

/* TAKES the arena that c->source was made in. */
static struct stage *compile_source(struct compile *c) {
    struct conf_reader reader = {source_read, &c->source};
    size_t before = compile_fault_count(c), first = c->faults->count;
    c->stage = arena_new_of(c->arena, struct stage);
    c->stage->arena = c->arena;
    c->stage->durable = true;
    buf_init(&c->warnings, FAULTS_MAX * sizeof(struct fault));
    const struct conf *top = conf_file_read(c->arena, c->source.file, &reader, c->faults);
    if (top) compile_top(c, top);
    bool ok = compile_fault_count(c) == before;
    if (ok) finish(c);
    buf_fini(&c->warnings);
    if (ok) return c->stage;
    sort_faults(c, first);
    arena_free(c->arena);
    return NULL;
}

struct stage *stage_load(const char *path, const struct stage_context *context, struct faults *faults) {
    struct compile c = {.arena = arena_new(), .faults = faults, .context = context};
    source_init_disk(&c.source, c.arena, path, context->templates);
    return compile_source(&c);
}

struct stage *stage_load_source(const char *source, const struct stage_context *context, struct faults *faults) {
    struct compile c = {.arena = arena_new(), .faults = faults, .context = context};
    struct fault fault;
    if (source_init_pinned(&c.source, c.arena, source, &fault)) return compile_source(&c);
    faults_add(faults, &fault);
    arena_free(c.arena);
    return NULL;
}

const char *stage_peek_name(struct arena *arena, const char *path) {
    struct faults faults;
    faults_init(&faults);
    const struct conf *name = conf_find(conf_file_read(arena, path, NULL, &faults), "name");
    faults_fini(&faults);
    return name && name->kind == CONF_STRING && name->string.len ? name->string.at : NULL;
}

struct stage *stage_ref(struct stage *stage) {
    __atomic_add_fetch(&stage->references, 1, __ATOMIC_RELAXED);
    return stage;
}

void stage_unref(struct stage *stage) {
    if (stage && __atomic_sub_fetch(&stage->references, 1, __ATOMIC_ACQ_REL) == 0) arena_free(stage->arena);
}

const char *stage_hash(const struct stage *stage) {
    return stage->hash;
}

bool stage_header_is_ours(const char *name) {
    static const struct text ours[] = {
        TEXT("Connection"), TEXT("Content-Length"),      TEXT("Expect"),           TEXT("Host"),
        TEXT("Keep-Alive"), TEXT("Proxy-Authorization"), TEXT("Proxy-Connection"), TEXT("TE"),
        TEXT("Trailer"),    TEXT("Transfer-Encoding"),   TEXT("Upgrade")};
    struct text given = text_of(name);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (ours[i].len == given.len && text_is_nocase(given, ours[i].at)) return true;
    return false;
}
