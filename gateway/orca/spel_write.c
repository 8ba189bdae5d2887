/* Writes a SpEL tree in the template language.
 *
 * parameterValues become parameters; what the gateway is told about its caller (execution['id'], trigger['user'] …)
 * becomes caller.…; what only the pipeline knows becomes a parameter of its own, which the pipeline then gives.
 * Functions and methods are translated where the template language has exactly that, and refused by name where it has
 * not. A value of a parameter is text, as in orca; so + joins, and a condition reads true and false out of text, as
 * Spring does. */
#include "orca/spel_write.h"

#include <string.h>

#include "orca/jinja.h"

#define PATH_MAX_STEPS 64
#define OUT_MAX_BYTES ((size_t)1 << 20)

struct writer {
    struct arena *arena;
    const struct spel_names *names;
    struct fault *fault;
};

static bool refuse(struct writer *w, const struct spel *node, const char *what) {
    return fault_set(w->fault, FAULT_UNSUPPORTED, NULL, "${%.*s%s}: %s",
                     node->source.len > 160 ? 160 : (int)node->source.len, node->source.at,
                     node->source.len > 160 ? "…" : "", what);
}

static bool give(struct writer *w, struct spel_out *ret, enum spel_type type, enum spel_level level, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));

static bool give(struct writer *w, struct spel_out *ret, enum spel_type type, enum spel_level level, const char *format,
                 ...) {
    va_list args;
    va_start(args, format);
    *ret = (struct spel_out){arena_vprintf(w->arena, format, args), type, level};
    va_end(args);
    return strlen(ret->text) <= OUT_MAX_BYTES ||
           fault_set(w->fault, FAULT_TOO_LARGE, NULL, "the expression becomes longer than 1 MiB");
}

static const char *bracket(struct writer *w, const struct spel_out *out, enum spel_level wanted) {
    return out->level >= wanted ? out->text : arena_printf(w->arena, "(%s)", out->text);
}

static bool write_node(struct writer *w, const struct spel *node, struct spel_out *ret);

/* ---- paths ---- */

/* A path of names and constant indexes, taken apart. */
struct path {
    const struct spel *root;
    const struct spel *steps[PATH_MAX_STEPS]; /* what each adds: a SPEL_MEMBER, or the index itself */
    size_t count;
};

static bool is_constant(const struct spel *node) {
    return node->kind == SPEL_STRING || node->kind == SPEL_INT;
}

/* What the node adds to the path in front of it, NULL for what is no step: .name, ['name'], [0], .get('name') */
static const struct spel *step_of(const struct spel *node) {
    if (node->kind == SPEL_MEMBER) return node;
    if (node->kind == SPEL_INDEX && is_constant(node->b)) return node->b;
    bool get = node->kind == SPEL_METHOD && text_is(node->text, "get") && node->count == 1;
    return get && is_constant(node->items[0]) ? node->items[0] : NULL;
}

static bool read_path(const struct spel *node, struct path *path) {
    const struct spel *backwards[PATH_MAX_STEPS];
    for (path->count = 0; node->a && step_of(node); node = node->a) {
        if (path->count == PATH_MAX_STEPS) return false;
        backwards[path->count++] = step_of(node);
    }
    for (size_t i = 0; i < path->count; i++) path->steps[i] = backwards[path->count - 1 - i];
    path->root = node;
    return node->kind == SPEL_NAME || node->kind == SPEL_CALL || node->kind == SPEL_VARIABLE;
}

static bool path_is(const struct path *path, size_t count, const char *first, const char *second) {
    return path->count == count && text_is(path->steps[0]->text, first) &&
           (count == 1 || text_is(path->steps[1]->text, second));
}

static void add_steps(struct buf *out, const struct path *path, size_t from) {
    for (size_t i = from; i < path->count; i++) {
        if (path->steps[i]->kind == SPEL_INT) buf_addf(out, "[%.*s]", TEXT_ARG(path->steps[i]->text));
        else jinja_add_member(out, path->steps[i]->text);
    }
}

static bool give_path(struct writer *w, struct spel_out *ret, const char *root, const struct path *path, size_t from,
                      enum spel_type type) {
    struct buf out;
    buf_init(&out, OUT_MAX_BYTES);
    buf_adds(&out, root);
    add_steps(&out, path, from);
    *ret = (struct spel_out){arena_strdup(w->arena, buf_cstr(&out)), type, SPEL_ATOM};
    buf_fini(&out);
    return true;
}

static const char *caller_of(const struct path *path) {
    bool execution = text_is(path->root->text, "execution"), trigger = text_is(path->root->text, "trigger");
    if (execution && path_is(path, 1, "id", NULL)) return "caller.execution";
    if (execution && path_is(path, 1, "application", NULL)) return "caller.application";
    if (execution && path_is(path, 1, "name", NULL)) return "caller.pipeline";
    if (execution && (path_is(path, 2, "authentication", "user") || path_is(path, 2, "trigger", "user")))
        return "caller.user";
    return trigger && path_is(path, 1, "user", NULL) ? "caller.user" : NULL;
}

/* webhook.body.id and what else orca keeps of the replies. */
static bool write_reply(struct writer *w, const struct spel *node, const struct path *path, struct spel_out *ret) {
    if (!w->names->replies)
        return refuse(w, node,
                      "the reply is not known yet when this is sent; it is in cancelEndpoint and cancelPayload");
    if (text_is(path->root->text, "buildInfo")) return give_path(w, ret, "request.body", path, 0, SPEL_IS_ANY);
    if (path->count && text_is(path->steps[0]->text, "body"))
        return give_path(w, ret, "request.body", path, 1, SPEL_IS_ANY);
    if (path_is(path, 1, "statusCodeValue", NULL)) return give_path(w, ret, "request.code", path, 1, SPEL_IS_NUMBER);
    return refuse(w, node, "of the reply, body and statusCodeValue can be translated");
}

static bool write_given(struct writer *w, const struct spel *node, bool json, struct spel_out *ret) {
    const char *parameter = w->names->given(w->names->arg, node, json);
    if (!parameter) return refuse(w, node, "what stands in its place would be one parameter too many");
    return give(w, ret, json ? SPEL_IS_ANY : SPEL_IS_TEXT, SPEL_ATOM, "%s", parameter);
}

static bool write_name_path(struct writer *w, const struct spel *node, const struct path *path, struct spel_out *ret) {
    struct text root = path->root->text;
    if (text_is(root, "parameterValues")) {
        if (!path->count) return give(w, ret, SPEL_IS_ANY, SPEL_ATOM, "parameters");
        const char *parameter = w->names->parameter(w->names->arg, path->steps[0]->text);
        if (!parameter) return refuse(w, node, "there would be too many parameters");
        return give_path(w, ret, parameter, path, 1, path->count == 1 ? SPEL_IS_TEXT : SPEL_IS_ANY);
    }
    if (text_is(root, "webhook") || text_is(root, "buildInfo")) return write_reply(w, node, path, ret);
    const char *caller = caller_of(path);
    if (caller) return give(w, ret, SPEL_IS_TEXT, SPEL_ATOM, "%s", caller);
    return write_given(w, node, false, ret);
}

/* ---- functions and methods ---- */

struct filter {
    const char *name;
    size_t arguments;
    const char *filter; /* "" : the value itself */
    enum spel_type type;
};

static const struct filter functions[] = {
    {"toJson", 1, "tojson", SPEL_IS_TEXT},
    {"doNotEval", 1, "", SPEL_IS_ANY},
    {"toInt", 1, "int", SPEL_IS_NUMBER},
    {"toFloat", 1, "float", SPEL_IS_NUMBER},
    {"toBoolean", 1, "bool", SPEL_IS_BOOL},
    {"toBase64", 1, "b64encode", SPEL_IS_TEXT},
    {"fromBase64", 1, "b64decode", SPEL_IS_TEXT},
    {"readJson", 1, "fromjson", SPEL_IS_ANY},
    {"alphanumerical", 1, "regex_replace('[^A-Za-z0-9]', '')", SPEL_IS_TEXT},
};

/* What orca answers out of its own knowledge. */
static const char *const knowledge[] = {"stage",
                                        "stageByRefId",
                                        "stageExists",
                                        "judgment",
                                        "judgement",
                                        "pipelineId",
                                        "pipelineIdOrNull",
                                        "pipelineIdInApplication",
                                        "deployedServerGroups",
                                        "manifestLabelValue",
                                        "resolvedArtifacts",
                                        "triggerResolvedArtifact",
                                        "triggerResolvedArtifactByType",
                                        "fetchReference",
                                        "applicationMetadata",
                                        "canaryConfigNameToId",
                                        "cfServiceKey",
                                        "jsonFromUrl",
                                        "fromUrl",
                                        "yamlFromUrl",
                                        "propertiesFromUrl"};

static bool write_filtered(struct writer *w, const struct spel *subject, const struct filter *filter,
                           struct spel_out *ret) {
    struct spel_out inner;
    if (!write_node(w, subject, &inner)) return false;
    if (filter->filter[0])
        return give(w, ret, filter->type, SPEL_FILTERED, "%s | %s", bracket(w, &inner, SPEL_FILTERED), filter->filter);
    *ret = inner;
    return true;
}

static bool write_call(struct writer *w, const struct spel *node, struct spel_out *ret) {
    const char *nearest, *names[sizeof functions / sizeof *functions];
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        names[i] = functions[i].name;
        if (text_is(node->text, functions[i].name) && node->count == functions[i].arguments)
            return write_filtered(w, node->items[0], &functions[i], ret);
    }
    if (text_is(node->text, "currentUser") && node->count == 0)
        return give(w, ret, SPEL_IS_TEXT, SPEL_ATOM, "caller.user");
    if (text_is(node->text, "currentStage"))
        return refuse(w, node, "the stage in Spinnaker is not known here; run.id and run.key name the run");
    for (size_t i = 0; i < sizeof knowledge / sizeof *knowledge; i++)
        if (text_is(node->text, knowledge[i])) return write_given(w, node, false, ret);
    const char *word = arena_strndup(w->arena, node->text.at, node->text.len);
    nearest = text_nearest(word, names, sizeof names / sizeof *names);
    return refuse(w, node,
                  nearest ? arena_printf(w->arena, "#%s() cannot be translated; did you mean #%s()?", word, nearest)
                          : arena_printf(w->arena, "#%s() cannot be translated", word));
}

static const struct filter methods[] = {
    {"toString", 0, "string", SPEL_IS_TEXT},   {"toLowerCase", 0, "lower", SPEL_IS_TEXT},
    {"toUpperCase", 0, "upper", SPEL_IS_TEXT}, {"trim", 0, "trim", SPEL_IS_TEXT},
    {"length", 0, "length", SPEL_IS_NUMBER},   {"size", 0, "length", SPEL_IS_NUMBER},
};

static bool write_split(struct writer *w, const struct spel *node, const struct spel_out *of, struct spel_out *ret) {
    const struct spel *by = node->items[0];
    struct buf quoted;
    if (by->kind != SPEL_STRING || by->text.len != 1 || strchr(".$|()[{^?*+\\", by->text.at[0]))
        return refuse(w, node, ".split() takes a pattern in Java; one plain character can be translated");
    buf_init(&quoted, 100);
    jinja_add_string(&quoted, by->text);
    bool good = give(w, ret, SPEL_IS_ANY, SPEL_FILTERED, "%s | split(%s)", bracket(w, of, SPEL_FILTERED),
                     buf_cstr(&quoted));
    buf_fini(&quoted);
    return good;
}

static bool write_arguments(struct writer *w, const struct spel *node, struct spel_out out[2]) {
    for (size_t i = 0; i < node->count && i < 2; i++)
        if (!write_node(w, node->items[i], &out[i])) return false;
    return true;
}

static bool write_method(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct spel_out of, arguments[2];
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (text_is(node->text, methods[i].name) && node->count == 0)
            return write_filtered(w, node->a, &methods[i], ret);
    if (node->count > 2 || !write_node(w, node->a, &of) || !write_arguments(w, node, arguments)) {
        return node->count > 2
                   ? refuse(w, node, arena_printf(w->arena, ".%.*s() cannot be translated", TEXT_ARG(node->text)))
                   : false;
    }
    const char *first = node->count ? bracket(w, &arguments[0], SPEL_FILTERED) : "";
    const char *subject = bracket(w, &of, SPEL_FILTERED);
    if (text_is(node->text, "replace") && node->count == 2)
        return give(w, ret, SPEL_IS_TEXT, SPEL_FILTERED, "%s | replace(%s, %s)", subject, arguments[0].text,
                    arguments[1].text);
    if (text_is(node->text, "contains") && node->count == 1)
        return give(w, ret, SPEL_IS_BOOL, SPEL_LOOSE, "%s in %s", first, subject);
    if (text_is(node->text, "equals") && node->count == 1)
        return give(w, ret, SPEL_IS_BOOL, SPEL_LOOSE, "%s == %s", subject, first);
    if (text_is(node->text, "isEmpty") && node->count == 0)
        return give(w, ret, SPEL_IS_BOOL, SPEL_LOOSE, "%s | length == 0", subject);
    if (text_is(node->text, "substring") && node->count >= 1)
        return give(w, ret, SPEL_IS_TEXT, SPEL_ATOM, "%s[%s:%s]", bracket(w, &of, SPEL_ATOM), first,
                    node->count == 2 ? bracket(w, &arguments[1], SPEL_FILTERED) : "");
    if (text_is(node->text, "split") && node->count == 1) return write_split(w, node, &of, ret);
    return refuse(
        w, node,
        arena_printf(w->arena, ".%.*s() is a method of Java's, and cannot be translated", TEXT_ARG(node->text)));
}

/* ---- operators ---- */

/* Spring reads a condition out of text: true, yes, on and 1. */
static bool write_condition(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct spel_out inner;
    if (!write_node(w, node, &inner)) return false;
    if (inner.type == SPEL_IS_NUMBER) return refuse(w, node, "a number is no condition");
    *ret = inner;
    if (inner.type != SPEL_IS_TEXT) return true;
    return give(w, ret, SPEL_IS_BOOL, SPEL_FILTERED, "%s | bool", bracket(w, &inner, SPEL_FILTERED));
}

static bool write_null_test(struct writer *w, const struct spel *node, const struct spel *of, struct spel_out *ret) {
    struct spel_out inner;
    if (!write_node(w, of, &inner)) return false;
    const char *x = bracket(w, &inner, SPEL_FILTERED);
    return text_is(node->text, "==") ? give(w, ret, SPEL_IS_BOOL, SPEL_LOOSE, "%s is undefined or %s is none", x, x)
                                     : give(w, ret, SPEL_IS_BOOL, SPEL_LOOSE, "%s is defined and %s is not none", x, x);
}

static bool write_sum(struct writer *w, const struct spel *node, const struct spel_out *a, const struct spel_out *b,
                      struct spel_out *ret) {
    const char *left = bracket(w, a, SPEL_FILTERED), *right = bracket(w, b, SPEL_FILTERED);
    if (a->type == SPEL_IS_TEXT || b->type == SPEL_IS_TEXT)
        return give(w, ret, SPEL_IS_TEXT, SPEL_LOOSE, "%s ~ %s", left, right);
    if (a->type == SPEL_IS_NUMBER && b->type == SPEL_IS_NUMBER)
        return give(w, ret, SPEL_IS_NUMBER, SPEL_LOOSE, "%s + %s", left, right);
    return refuse(w, node, "whether + adds or joins cannot be told");
}

static bool write_binary(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct spel_out a, b;
    bool logic = text_is(node->text, "and") || text_is(node->text, "or");
    bool equality = text_is(node->text, "==") || text_is(node->text, "!=");
    if (equality && node->b->kind == SPEL_NULL) return write_null_test(w, node, node->a, ret);
    if (equality && node->a->kind == SPEL_NULL) return write_null_test(w, node, node->b, ret);
    if (logic ? !write_condition(w, node->a, &a) || !write_condition(w, node->b, &b)
              : !write_node(w, node->a, &a) || !write_node(w, node->b, &b))
        return false;
    if (text_is(node->text, "+")) return write_sum(w, node, &a, &b, ret);
    if (text_is(node->text, "/") || text_is(node->text, "%"))
        return refuse(w, node, "division is not translated: Java cuts off what this language keeps");
    bool computes = text_is(node->text, "-") || text_is(node->text, "*");
    if (computes && (a.type == SPEL_IS_TEXT || b.type == SPEL_IS_TEXT))
        return refuse(w, node, "a text cannot be computed with; #toInt(…) makes a number of it");
    return give(w, ret, computes ? SPEL_IS_NUMBER : SPEL_IS_BOOL, SPEL_LOOSE, "%s %.*s %s",
                bracket(w, &a, SPEL_FILTERED), TEXT_ARG(node->text), bracket(w, &b, SPEL_FILTERED));
}

static bool write_unary(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct spel_out inner;
    if (text_is(node->text, "not"))
        return write_condition(w, node->a, &inner) &&
               give(w, ret, SPEL_IS_BOOL, SPEL_LOOSE, "not %s", bracket(w, &inner, SPEL_FILTERED));
    if (!write_node(w, node->a, &inner)) return false;
    if (inner.type != SPEL_IS_NUMBER) return refuse(w, node, "a sign stands before numbers");
    return give(w, ret, SPEL_IS_NUMBER, SPEL_LOOSE, "%.*s%s", TEXT_ARG(node->text), bracket(w, &inner, SPEL_ATOM));
}

static bool write_elvis(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct spel_out a, b;
    if (!write_node(w, node->a, &a) || !write_node(w, node->b, &b)) return false;
    enum spel_type type = a.type == b.type ? a.type : SPEL_IS_ANY;
    return give(w, ret, type, SPEL_FILTERED, "%s | default(%s, true)", bracket(w, &a, SPEL_FILTERED), b.text);
}

static bool write_ternary(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct spel_out condition, yes, no;
    if (!write_condition(w, node->a, &condition) || !write_node(w, node->b, &yes) || !write_node(w, node->c, &no))
        return false;
    enum spel_type type = yes.type == no.type ? yes.type : SPEL_IS_ANY;
    return give(w, ret, type, SPEL_LOOSE, "%s if %s else %s", bracket(w, &yes, SPEL_FILTERED),
                bracket(w, &condition, SPEL_FILTERED), bracket(w, &no, SPEL_FILTERED));
}

/* ---- values in place ---- */

static bool write_items(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct buf out;
    bool map = node->kind == SPEL_MAP, good = true;
    buf_init(&out, OUT_MAX_BYTES);
    for (size_t i = 0; good && i < node->count; i++) {
        struct spel_out item;
        good = write_node(w, node->items[i], &item);
        if (good) buf_addf(&out, "%s%s", i == 0 ? "" : map && i % 2 ? ": " : ", ", item.text);
    }
    if (good && out.full) good = refuse(w, node, "it becomes longer than 1 MiB");
    if (good) give(w, ret, SPEL_IS_ANY, SPEL_ATOM, map ? "{%s}" : "[%s]", buf_cstr(&out));
    buf_fini(&out);
    return good;
}

static bool write_string(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct buf out;
    buf_init(&out, SPEL_MAX_BYTES * 8);
    jinja_add_string(&out, node->text);
    bool good = give(w, ret, SPEL_IS_TEXT, SPEL_ATOM, "%s", buf_cstr(&out));
    buf_fini(&out);
    return good;
}

/* A step behind what is no plain path: (a | split('/'))[0] */
static bool write_step(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct spel_out of, index;
    struct buf member;
    if (!write_node(w, node->a, &of)) return false;
    if (node->kind == SPEL_INDEX) {
        if (!write_node(w, node->b, &index)) return false;
        return give(w, ret, SPEL_IS_ANY, SPEL_ATOM, "%s[%s]", bracket(w, &of, SPEL_ATOM), index.text);
    }
    buf_init(&member, SPEL_MAX_BYTES * 8);
    jinja_add_member(&member, node->text);
    bool good = give(w, ret, SPEL_IS_ANY, SPEL_ATOM, "%s%s", bracket(w, &of, SPEL_ATOM), buf_cstr(&member));
    buf_fini(&member);
    return good;
}

static bool write_path(struct writer *w, const struct spel *node, struct spel_out *ret) {
    struct path path;
    if (!read_path(node, &path)) return node->a ? write_step(w, node, ret) : refuse(w, node, "it cannot be translated");
    if (path.root->kind == SPEL_NAME) return write_name_path(w, node, &path, ret);
    if (path.root->kind == SPEL_VARIABLE) return refuse(w, node, "such variables cannot be translated");
    for (size_t i = 0; i < sizeof knowledge / sizeof *knowledge; i++)
        if (text_is(path.root->text, knowledge[i])) return write_given(w, node, false, ret);
    return path.count ? write_step(w, node, ret) : write_call(w, path.root, ret);
}

static bool write_node(struct writer *w, const struct spel *node, struct spel_out *ret) {
    switch (node->kind) {
    case SPEL_NULL: return give(w, ret, SPEL_IS_ANY, SPEL_ATOM, "none");
    case SPEL_BOOL: return give(w, ret, SPEL_IS_BOOL, SPEL_ATOM, "%.*s", TEXT_ARG(node->text));
    case SPEL_INT:
    case SPEL_REAL: return give(w, ret, SPEL_IS_NUMBER, SPEL_ATOM, "%.*s", TEXT_ARG(node->text));
    case SPEL_STRING: return write_string(w, node, ret);
    case SPEL_METHOD: return step_of(node) ? write_path(w, node, ret) : write_method(w, node, ret);
    case SPEL_NAME:
    case SPEL_VARIABLE:
    case SPEL_CALL:
    case SPEL_MEMBER:
    case SPEL_INDEX: return write_path(w, node, ret);
    case SPEL_UNARY: return write_unary(w, node, ret);
    case SPEL_BINARY: return write_binary(w, node, ret);
    case SPEL_ELVIS: return write_elvis(w, node, ret);
    case SPEL_TERNARY: return write_ternary(w, node, ret);
    case SPEL_LIST:
    case SPEL_MAP: return write_items(w, node, ret);
    }
    return refuse(w, node, "it cannot be translated");
}

/* Whether nobody but orca knows it, so that a parameter takes its place: that one may be JSON where JSON is wanted. */
static bool is_given(const struct spel *node) {
    struct path path;
    if (!read_path(node, &path)) return false;
    if (path.root->kind == SPEL_NAME)
        return !text_is(path.root->text, "parameterValues") && !text_is(path.root->text, "webhook") &&
               !text_is(path.root->text, "buildInfo") && !caller_of(&path);
    for (size_t i = 0; i < sizeof knowledge / sizeof *knowledge; i++)
        if (path.root->kind == SPEL_CALL && text_is(path.root->text, knowledge[i])) return true;
    return false;
}

bool spel_write(struct arena *arena, const struct spel *node, const struct spel_names *names, bool bare,
                struct spel_out *ret, struct fault *fault) {
    struct writer w = {arena, names, fault};
    if (!bare) return write_node(&w, node, ret);
    bool to_json = node->kind == SPEL_CALL && text_is(node->text, "toJson") && node->count == 1;
    if (to_json) node = node->items[0];
    if (node->kind == SPEL_CALL && text_is(node->text, "doNotEval") && node->count == 1) node = node->items[0];
    if (is_given(node)) return write_given(&w, node, true, ret);
    if (!write_node(&w, node, ret)) return false;
    bool mixed = ret->type == SPEL_IS_ANY && (node->kind == SPEL_ELVIS || node->kind == SPEL_TERNARY);
    if (to_json || (ret->type != SPEL_IS_TEXT && !mixed)) return true;
    struct spel_out inner = *ret; /* its text is a piece of JSON */
    return give(&w, ret, SPEL_IS_ANY, SPEL_FILTERED, "%s%s | fromjson", bracket(&w, &inner, SPEL_FILTERED),
                mixed ? " | string" : "");
}
