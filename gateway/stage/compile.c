/* The common ground of the definition compiler: faults at their line, templates and paths.
 *
 * Compiling goes on after a mistake, so that a file's mistakes are reported all at once; what could not be compiled is
 * NULL in the stage, which is thrown away in the end. So nothing here may look into what it did not check.
 *
 * Which names a template may use depends on where it stands: `scope` says so, and `check_names` is what the template
 * compiler asks about every path. Roots that are used without a member (`{{ body }}`) are looked at afterwards. */
#include "stage/compile.h"

#include <string.h>

static const char *const run_members[] = {"id", "key", "stage", "started"};
static const char *const caller_members[] = {"user", "application", "pipeline", "execution"};
static const char *const reply_members[] = {"body", "headers", "code", "outputs"};
static const char *const callback_members[] = {"url"};

void compile_fault(struct compile *c, const struct conf *at, enum fault_kind kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *what = arena_vprintf(c->arena, format, args);
    va_end(args);
    faults_addf(c->faults, kind, conf_where(c->arena, at), "%s", what);
}

void compile_warn(struct compile *c, const struct conf *at, const char *format, ...) {
    struct fault warning;
    va_list args;
    va_start(args, format);
    const char *what = arena_vprintf(c->arena, format, args);
    va_end(args);
    fault_set(&warning, FAULT_INVALID, conf_where(c->arena, at), "%s", what);
    buf_add(&c->warnings, &warning, sizeof warning);
}

const char *compile_hint(struct compile *c, struct text word, const char *const *names, size_t count) {
    if (word.len > 64) return "";
    const char *wanted = arena_strndup(c->arena, word.at, word.len);
    const char *near = text_nearest(wanted, names, count);
    return near ? arena_printf(c->arena, "; did you mean \"%s\"?", near) : "";
}

size_t compile_fault_count(const struct compile *c) {
    return c->faults->count + c->faults->dropped;
}

/* ---- names in templates ---- */

static bool check_parameter(struct compile *c, struct text name, struct fault *fault) {
    const struct stage *s = c->stage;
    const char **names = arena_array_of(c->arena, const char *, s->param_count);
    for (size_t i = 0; i < s->param_count; i++) {
        names[i] = s->params[i].name ? s->params[i].name : "";
        if (text_is(name, names[i])) return true;
    }
    return fault_set(fault, FAULT_UNDEFINED, NULL, "no parameter \"%.*s\" is declared%s", TEXT_ARG(name),
                     compile_hint(c, name, names, s->param_count));
}

static void note_lacked(struct compile *c, const char *name) {
    struct text rest = text_of(c->lacked), other;
    while (text_cut(&rest, ',', &other))
        if (text_is(text_trim(other), name)) return;
    c->lacked = c->lacked ? arena_printf(c->arena, "%s, %s", c->lacked, name) : name;
}

static bool check_secret(struct compile *c, struct text name, struct fault *fault) {
    const char *wanted = arena_strndup(c->arena, name.at, name.len);
    if (!c->context->secret_known || c->context->secret_known(c->context->arg, wanted)) return true;
    if (c->may_lack) {
        note_lacked(c, wanted);
        return true;
    }
    char *upper = arena_strdup(c->arena, wanted);
    for (char *s = upper; *s; s++)
        if (*s >= 'a' && *s <= 'z') *s = (char)(*s + 'A' - 'a');
    return fault_set(fault, FAULT_UNDEFINED, NULL,
                     "no secret \"%s\" is known: set STAGEDOOR_SECRET_%s, or put it into a file of that name in the "
                     "directory of secrets",
                     wanted, upper);
}

static bool check_member(struct compile *c, const char *root, struct text name, const char *const *members,
                         size_t count, struct fault *fault) {
    for (size_t i = 0; i < count; i++)
        if (text_is(name, members[i])) return true;
    const char *hint = compile_hint(c, name, members, count);
    if (*hint) return fault_set(fault, FAULT_UNDEFINED, NULL, "%s has no \"%.*s\"%s", root, TEXT_ARG(name), hint);
    const char *list = members[0];
    for (size_t i = 1; i < count; i++) list = arena_printf(c->arena, "%s, %s", list, members[i]);
    return fault_set(fault, FAULT_UNDEFINED, NULL, "%s has no \"%.*s\"; it has %s", root, TEXT_ARG(name), list);
}

/* Which outputs a step declares is known here, what its reply has is not. */
static bool check_outputs(struct compile *c, size_t step, const struct text *names, size_t count, struct fault *fault) {
    const char *name = c->names.roots[ROOT_STEPS + step];
    const struct stage_step *of = &c->stage->steps[step];
    if (step >= c->scope.outputs)
        return fault_set(fault, FAULT_UNDEFINED, NULL, "the outputs of \"%s\" are not made yet when this is needed",
                         name);
    if (of->output_count == 0 && !of->capture.properties)
        return fault_set(fault, FAULT_UNDEFINED, NULL, "the step \"%s\" declares no outputs", name);
    c->stage->names_outputs = true;
    if (count == 0 || of->capture.properties) return true; /* what a log gives, the job knows */
    const char **known = arena_array_of(c->arena, const char *, of->output_count);
    for (size_t i = 0; i < of->output_count; i++) known[i] = of->outputs[i].name;
    return check_member(c, arena_printf(c->arena, "%s.outputs", name), names[0], known, of->output_count, fault);
}

/* In the rules of a step: they are not compiled yet, but what they are called is known. */
static bool check_own_outputs(struct compile *c, const struct text *names, size_t count, struct fault *fault) {
    const struct conf *declared = c->scope.own_outputs;
    if (!declared || declared->kind != CONF_GROUP || declared->count == 0)
        return fault_set(fault, FAULT_UNDEFINED, NULL, "the step declares no outputs");
    const char **known = arena_array_of(c->arena, const char *, declared->count);
    for (size_t i = 0; i < declared->count; i++) known[i] = declared->items[i].name;
    return count == 0 || check_member(c, "outputs", names[0], known, declared->count, fault);
}

static bool check_step(struct compile *c, const char *root, const struct text *names, size_t count,
                       struct fault *fault) {
    size_t step = 0;
    while (strcmp(c->names.roots[ROOT_STEPS + step], root) != 0) step++;
    if (step >= c->scope.steps)
        return fault_set(fault, FAULT_UNDEFINED, NULL, "the step \"%s\" has not replied when this is needed", root);
    if (count == 0) return true;
    if (text_is(names[0], "body") && c->stage->steps[step].capture.properties)
        return fault_set(fault, FAULT_UNDEFINED, NULL,
                         "the log of \"%s\" is not kept; what was captured is in %s.outputs", root, root);
    if (text_is(names[0], "outputs")) return check_outputs(c, step, names + 1, count - 1, fault);
    return check_member(c, root, names[0], reply_members, 4, fault);
}

static bool refuse_reply(const char *root, struct fault *fault) {
    return fault_set(fault, FAULT_UNDEFINED, NULL,
                     "%s is known only where a reply is judged; say of which step: STEP.%s", root, root);
}

static bool check_root(struct compile *c, enum stage_root root, struct fault *fault) {
    switch (root) {
    case ROOT_SECRET:
        return c->scope.secrets || fault_set(fault, FAULT_FORBIDDEN, NULL, "a secret may stand in requests only");
    case ROOT_CALLBACK:
        if (c->scope.callback) return true;
        return fault_set(fault, FAULT_UNDEFINED, NULL, "callback.url %s",
                         c->scope.no_callback ? c->scope.no_callback
                                              : "is as good as a key, and may stand in the calls of steps only");
    case ROOT_BODY: return c->scope.reply || c->scope.own_body || refuse_reply(c->names.roots[root], fault);
    case ROOT_HEADERS:
    case ROOT_CODE: return c->scope.reply || refuse_reply(c->names.roots[root], fault);
    case ROOT_OUTPUTS:
        return c->scope.judging || fault_set(fault, FAULT_UNDEFINED, NULL,
                                             "outputs are those of the step whose reply is judged, and here is no rule "
                                             "of a step; say of which step: STEP.outputs");
    default: return true;
    }
}

/* `name` NULL: all of it. */
static void want(struct compile *c, struct json_wanted *wanted, const struct text *name) {
    if (!name) wanted->all = true;
    if (!name || json_wants(wanted, *name)) return;
    struct json_name *made = arena_new_of(c->arena, struct json_name);
    *made = (struct json_name){wanted->names, {arena_strndup(c->arena, name->at, name->len), name->len}};
    wanted->names = made;
}

/* Of the body of the reply at hand. */
static void want_at_hand(struct compile *c, const struct text *name) {
    size_t count = c->names.count - ROOT_STEPS;
    for (size_t i = 0; i < count; i++)
        if (i == c->at_hand || c->at_hand == STAGE_STEPS_MAX) want(c, &c->wanted[i], name);
}

/* A template speaks of the reply to a step, or of a part of it. */
static void note_body(struct compile *c, size_t step, const struct text *names, size_t count) {
    if (count && !text_is(names[0], "body")) return;
    const struct text *name = count > 1 ? &names[1] : NULL;
    want(c, &c->stage->named[step], name);
    want(c, &c->wanted[step], name);
}

static bool check_names(void *arg, const char *root, const struct text *names, size_t count, struct fault *fault) {
    struct compile *c = arg;
    size_t index = 0;
    while (index < c->names.count && strcmp(c->names.roots[index], root) != 0) index++;
    if (index >= ROOT_STEPS) {
        if (count == 0 || text_is(names[0], "headers")) c->stage->names_headers = c->stage->reads_headers = true;
        if (count == 0) c->stage->names_outputs = true;
        note_body(c, index - ROOT_STEPS, names, count);
        return check_step(c, root, names, count, fault);
    }
    if (index == ROOT_BODY && !c->scope.own_body) want_at_hand(c, count ? names : NULL);
    if (index == ROOT_HEADERS) c->stage->reads_headers = true;
    if (index == ROOT_CALLBACK) c->callback_used = true; /* whatever is wrong with it */
    if (!check_root(c, (enum stage_root)index, fault)) return false;
    switch (index) {
    case ROOT_PARAMETERS: return count == 0 || check_parameter(c, names[0], fault);
    case ROOT_SECRET:
        if (count) return check_secret(c, names[0], fault);
        return fault_set(fault, FAULT_UNDEFINED, NULL, "say which secret: secret.NAME");
    case ROOT_RUN: return count == 0 || check_member(c, root, names[0], run_members, 4, fault);
    case ROOT_CALLBACK: return count == 0 || check_member(c, root, names[0], callback_members, 1, fault);
    case ROOT_CALLER: return count == 0 || check_member(c, root, names[0], caller_members, 4, fault);
    case ROOT_OUTPUTS: return check_own_outputs(c, names, count, fault);
    default: return true;
    }
}

static bool check_used(struct compile *c, const struct template *t, struct fault *fault) {
    for (size_t root = 0; root < ROOT_STEPS; root++)
        if (template_uses(t, root) && !check_root(c, (enum stage_root)root, fault)) return false;
    if (template_uses(t, ROOT_CALLBACK)) c->callback_used = true;
    if (template_uses(t, ROOT_HEADERS)) c->stage->reads_headers = true;
    for (size_t step = 0; step + ROOT_STEPS < c->names.count; step++) {
        if (!template_uses(t, ROOT_STEPS + step)) continue;
        if (!check_step(c, c->names.roots[ROOT_STEPS + step], NULL, 0, fault)) return false;
        if (c->steps_used < step + 1) c->steps_used = step + 1;
    }
    return true;
}

/* ---- templates and paths ---- */

static bool read_part(void *arg, const char *name, const char **ret_file, struct text *ret_text, struct fault *fault) {
    struct compile *c = arg;
    return source_template(&c->source, name, ret_file, ret_text, fault);
}

/* The template stands in a definition, and its columns are not those of the file: they go into the sentence. */
static void blame_setting(struct fault *fault, const char *fixed_where, const char *setting) {
    struct fault whole = *fault;
    char *colon = strrchr(whole.where, ':');
    int64_t column;
    bool columns = fault->lines[0] && colon && text_to_int(text_of(colon + 1), &column);
    if (columns) *colon = 0;
    fault_set(fault, whole.kind, fixed_where ? fixed_where : whole.where, "%s: %s%s%s%s", setting,
              columns ? "column " : "", columns ? colon + 1 : "", columns ? ": " : "", whole.what);
    memcpy(fault->lines, whole.lines, sizeof fault->lines);
}

static const struct template *compile_at(struct compile *c, struct text source, enum template_place place,
                                         const char *file, int line, const char *fixed_where, const char *setting,
                                         bool bare) {
    struct template_names names = c->names;
    names.check = check_names;
    names.arg = c;
    struct template_rules rules = {
        .place = place, .names = &names, .file = file, .line = line, .no_secrets = !c->scope.secrets};
    if (!setting[0]) {
        rules.part = read_part;
        rules.part_arg = c;
    }
    struct fault fault = {.kind = FAULT_NONE};
    const struct template *t = bare ? template_compile_expression(c->arena, source, &rules, &fault)
                                    : template_compile(c->arena, source, &rules, &fault);
    if (t && check_used(c, t, &fault)) return t;
    fault_place(&fault, "%s:%d", file, line);
    if (setting[0]) blame_setting(&fault, fixed_where, setting);
    faults_add(c->faults, &fault);
    return NULL;
}

static const struct template *compile_setting(struct compile *c, const struct conf *at, struct text source,
                                              enum template_place place, bool bare) {
    /* \n in the string would be counted as a line of the file; only a value that spans lines has lines of its own */
    bool one_line = at->value_line == at->value_end_line;
    const char *where = one_line ? arena_printf(c->arena, "%s:%d", at->file, at->value_line) : NULL;
    return compile_at(c, source, place, at->file, at->value_line, where, at->name ? at->name : "", bare);
}

const struct template *compile_template_text(struct compile *c, const struct conf *at, struct text source,
                                             enum template_place place) {
    return compile_setting(c, at, source, place, false);
}

const struct template *compile_expression(struct compile *c, const struct conf *at) {
    if (!text_starts(text_trim(at->string), "{{")) return compile_setting(c, at, at->string, PLACE_TEXT, true);
    compile_fault(c, at, FAULT_INVALID, "%s is an expression; write it without {{ }}", at->name);
    return NULL;
}

const struct template *compile_template(struct compile *c, const struct conf *at, enum template_place place) {
    return compile_template_text(c, at, at->string, place);
}

const struct template *compile_template_file(struct compile *c, const struct conf *at, enum template_place place) {
    const char *file;
    struct text text;
    struct fault fault;
    if (source_template(&c->source, at->string.at, &file, &text, &fault))
        return compile_at(c, text, place, file, 1, NULL, "", false);
    compile_fault(c, at, fault.kind, "%s: %s", at->name, fault.what);
    return NULL;
}

const struct jsonpath *compile_path(struct compile *c, const struct conf *at) {
    struct fault fault;
    struct text name;
    const struct jsonpath *path = jsonpath_compile(c->arena, at->string, &fault);
    if (path) {
        want_at_hand(c, jsonpath_into(path, &name) ? &name : NULL);
        return path;
    }
    struct fault named;
    fault_set(&named, fault.kind, conf_where(c->arena, at), "%s: %s", at->name, fault.what);
    memcpy(named.lines, fault.lines, sizeof named.lines);
    faults_add(c->faults, &named);
    return NULL;
}

bool compile_number(struct text t, double *ret_number) {
    struct json_limits limits = {.max_bytes = 64, .max_depth = 1, .max_items = 1};
    struct arena *arena = arena_new();
    const struct json *value = json_parse(arena, text_trim(t), &limits, NULL);
    bool ok = json_kind(value) == JSON_INT || json_kind(value) == JSON_REAL;
    *ret_number = json_number(value);
    arena_free(arena);
    return ok;
}

const struct json *compile_json(struct arena *arena, const struct conf *conf) {
    switch (conf->kind) {
    case CONF_BOOL: return json_new_bool(arena, conf->truth);
    case CONF_INT: return json_new_int(arena, conf->integer);
    case CONF_REAL: return json_new_real(arena, conf->real);
    case CONF_STRING: return json_new_text(arena, conf->string);
    case CONF_ARRAY:
    case CONF_LIST: {
        struct json *array = json_new_array(arena);
        for (size_t i = 0; i < conf->count; i++) json_push(array, compile_json(arena, &conf->items[i]));
        return array;
    }
    case CONF_GROUP: break;
    }
    struct json *object = json_new_object(arena);
    for (size_t i = 0; i < conf->count; i++)
        json_set(object, conf->items[i].name, compile_json(arena, &conf->items[i]));
    return object;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool compile_name_check(struct compile *c, const struct conf *at, const char *what, enum compile_name_kind kind) {
    static const char *const rules[] = {
        "letters, digits, - _ and ., a letter or digit first, at most 64",
        "letters, digits, _ and -, a letter or _ first, at most 64",
        "letters, digits and _, a letter or _ first, at most 64",
    };
    struct text t = at->string;
    bool ok = t.len > 0 && t.len <= STAGE_NAME_MAX;
    for (size_t i = 0; ok && i < t.len; i++) {
        char at_hand = t.at[i];
        ok = is_letter(at_hand) || (at_hand == '_' && (i || kind != COMPILE_STAGE_NAME)) ||
             (is_digit(at_hand) && (i || kind == COMPILE_STAGE_NAME)) ||
             (at_hand == '-' && i && kind != COMPILE_STEP_NAME) || (at_hand == '.' && i && kind == COMPILE_STAGE_NAME);
    }
    if (!ok) compile_fault(c, at, FAULT_INVALID, "\"%.*s\" cannot be a %s's name: %s", TEXT_ARG(t), what, rules[kind]);
    return ok;
}
