/* Finds the entries of `webhook.preconfigured` in a file, and makes a definition of each.
 *
 * The file may be orca's own, with the key nested or dotted, or one that has it inside: a SpinnakerService, a ConfigMap
 * whose text it is. Keys are matched as Spring binds them (statusJsonPath, status-json-path). Every key that orca knows
 * is translated or needs nothing; every other one is named. Each entry goes through the same steps: its head, its
 * parameters, `request`, `status`, `cancel`; then it is written, and compiled. */
#include "orca/import.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "orca/compare.h"
#include "orca/import_job.h"
#include "orca/spring.h"

#define NAME_MAX_BYTES 64
#define GROUP_MAX_BYTES ((size_t)2 << 20)

struct entry {
    const struct yaml *node, *document;
    int line_offset;
};

/* ---- remarks ---- */

static bool is_said(const struct import_work *w, int line, const char *text) {
    for (size_t i = 0; i < w->remark_count; i++)
        if (w->remarks[i].line == line && strcmp(w->remarks[i].text, text) == 0) return true;
    return false;
}

void import_say(struct import_work *w, enum import_grade grade, int line, const char *format, ...) {
    va_list args;
    line += w->line_offset;
    va_start(args, format);
    const char *text = arena_vprintf(w->arena, format, args);
    va_end(args);
    if (is_said(w, line, text)) return;
    if (grade == IMPORT_UNSETTLED) {
        const char *shown = import_clean(w, text_of(arena_printf(w->arena, "%s:%d: %s", w->job->base, line, text)));
        buf_add(&w->unsettled[w->group], &shown, sizeof shown);
    }
    if (w->remark_count < IMPORT_REMARKS_MAX) w->remarks[w->remark_count++] = (struct import_remark){grade, line, text};
}

static void sort_remarks(struct import_work *w) {
    for (size_t i = 1; i < w->remark_count; i++) {
        struct import_remark moving = w->remarks[i];
        size_t to = i;
        for (; to > 0 && w->remarks[to - 1].line > moving.line; to--) w->remarks[to] = w->remarks[to - 1];
        w->remarks[to] = moving;
    }
}

/* ---- keys ---- */

static const char *const keys[] = {"enabled",
                                   "label",
                                   "description",
                                   "type",
                                   "parameters",
                                   "url",
                                   "customHeaders",
                                   "sensitiveHeaders",
                                   "parameterValues",
                                   "parameterData",
                                   "method",
                                   "payload",
                                   "waitForCompletion",
                                   "statusJsonPath",
                                   "statusUrlResolution",
                                   "statusUrlJsonPath",
                                   "progressJsonPath",
                                   "successStatuses",
                                   "canceledStatuses",
                                   "terminalStatuses",
                                   "permissions",
                                   "cancelEndpoint",
                                   "cancelMethod",
                                   "cancelPayload",
                                   "waitBeforeMonitor",
                                   "retryStatusCodes",
                                   "signalCancellation",
                                   "failFastStatusCodes"};
enum { KEY_COUNT = sizeof keys / sizeof *keys };

static const char *const stage_keys[] = {"monitorOnly",      "account",         "retries",
                                         "stageTimeoutMs",   "backoffPeriodMs", "webhookRetryStatusCodes",
                                         "expectedArtifacts"};

static const char *known_key(struct text key) {
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (spring_key_is(key, keys[i])) return keys[i];
    return NULL;
}

static void refuse_key(struct import_work *w, const struct yaml *key) {
    const char *word = import_clean(w, key->text);
    const char *nearest = text_nearest(word, keys, KEY_COUNT);
    for (size_t i = 0; i < sizeof stage_keys / sizeof *stage_keys; i++)
        if (spring_key_is(key->text, stage_keys[i])) {
            import_say(w, IMPORT_UNSETTLED, key->line, "%s is for a stage of a pipeline; here orca does not read it",
                       word);
            return;
        }
    if (strcmp(word, "headers") == 0) nearest = "customHeaders";
    if (nearest)
        import_say(w, IMPORT_UNSETTLED, key->line, "orca does not know the key %s; did you mean %s?", word, nearest);
    else import_say(w, IMPORT_UNSETTLED, key->line, "orca does not know the key %s, and ignores it", word);
}

static void say_twice(struct import_work *w, const char *name, const struct yaml *first, const struct yaml *again) {
    import_say(w, IMPORT_UNSETTLED, again->line, "%s stands here and in line %d, in two spellings", name,
               first->line + w->line_offset);
}

/* The entry with its keys as orca's class has them. */
static const struct yaml *canonical(struct import_work *w, const struct yaml *entry) {
    struct yaml *same = arena_copy(w->arena, entry, sizeof *entry);
    struct yaml_pair *pairs = arena_array_of(w->arena, struct yaml_pair, entry->count);
    same->pairs = pairs;
    same->count = 0;
    for (size_t i = 0; i < entry->count; i++) {
        const char *name = known_key(entry->pairs[i].key->text);
        if (!name) {
            refuse_key(w, entry->pairs[i].key);
            continue;
        }
        struct spring_found found = spring_keys(same, name);
        if (found.count) {
            say_twice(w, name, found.pairs[0]->key, entry->pairs[i].key);
            continue;
        }
        struct yaml *key = arena_copy(w->arena, entry->pairs[i].key, sizeof *key);
        key->text = text_of(name);
        pairs[same->count++] = (struct yaml_pair){key, entry->pairs[i].value};
    }
    return same;
}

static struct text text_at(struct import_work *w, const char *key) {
    const struct yaml *value = yaml_get(w->entry, key);
    if (yaml_is_null(value)) return (struct text){NULL, 0};
    if (value->kind != YAML_TEXT) {
        import_say(w, IMPORT_UNSETTLED, value->line, "%s is no text", key);
        return (struct text){NULL, 0};
    }
    return text_trim(import_resolve(w, yaml_as_text(value), value->line));
}

/* True, false, or `preset` where it is not there or cannot be told. */
static bool truth_at(struct import_work *w, const char *key, bool preset) {
    const struct yaml *value = yaml_get(w->entry, key);
    struct text word = text_at(w, key);
    if (!word.len) return preset;
    if (text_is_nocase(word, "true")) return true;
    if (!text_is_nocase(word, "false"))
        import_say(w, IMPORT_UNSETTLED, value->line, "%s: \"%s\" is not true or false", key, import_clean(w, word));
    return text_is_nocase(word, "false") ? false : preset;
}

/* ---- parameters ---- */

static void read_param_type(struct import_work *w, const struct yaml *value, struct import_param *param) {
    static const char *const types[] = {"boolean", "integer", "number"};
    struct text word = text_trim(yaml_as_text(value));
    if (!word.len || text_is_nocase(word, "string")) return;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (text_is_nocase(word, types[i])) {
            param->type = types[i];
            import_say(w, IMPORT_NOTE, value->line, "the type %s, which orca does not know, is one here", types[i]);
            return;
        }
    import_say(w, IMPORT_UNSETTLED, value->line, "a parameter of the type \"%s\"; orca knows string only",
               import_clean(w, word));
}

static void read_preset(struct import_work *w, const struct yaml *value, struct import_param *param) {
    if (yaml_is_null(value)) return;
    struct text text = import_resolve(w, yaml_as_text(value), value->line);
    if (!text_holds(text, "${")) {
        bool credential = import_secret_name(param->original, IMPORT_JSON) && text.len;
        if (credential) {
            param->type = "secret";
            param->required = true;
            import_say(w, IMPORT_NOTE, value->line,
                       "the default of %s looks like a credential and is not taken over: it has to be given",
                       param->name);
        } else param->preset = arena_strndup(w->arena, text.at, text.len);
        return;
    }
    param->required = true;
    const char *clean = import_clean(w, text);
    param->description = arena_printf(w->arena, "%s%sIn Spinnaker, the expression %s",
                                      param->description ? param->description : "",
                                      param->description && param->description[0] ? " " : "", clean);
    import_say(w, IMPORT_NOTE, value->line,
               "the default of %s is an expression, which only the pipeline can evaluate: it has to give %.*s",
               param->name, TEXT_ARG(text));
}

static void read_param_key(struct import_work *w, const struct yaml_pair *pair, struct import_param *param) {
    struct text key = pair->key->text;
    const struct yaml *value = pair->value;
    bool text = value->kind == YAML_TEXT && !yaml_is_null(value);
    const char *clean = text ? import_clean(w, import_resolve(w, yaml_as_text(value), value->line)) : NULL;
    if (spring_key_is(key, "label")) param->label = clean;
    else if (spring_key_is(key, "description")) param->description = clean;
    else if (spring_key_is(key, "type")) read_param_type(w, value, param);
    else if (spring_key_is(key, "order")) {
        if (!text_to_int(yaml_as_text(value), &param->order))
            import_say(w, IMPORT_UNSETTLED, value->line, "order is no whole number");
    } else if (spring_key_is(key, "options") && value->kind == YAML_LIST && value->count) {
        param->type = "choice";
        param->choices = value;
        import_say(w, IMPORT_NOTE, pair->key->line, "options, which orca ignores, are the choices of %s", param->name);
    } else if (!spring_key_is(key, "name") && !spring_key_is(key, "defaultValue"))
        import_say(w, IMPORT_UNSETTLED, pair->key->line, "orca does not know the key %s of a parameter",
                   import_clean(w, key));
}

/* A new one of that name; NULL after a remark. */
static struct import_param *begin_param(struct import_work *w, const struct yaml *item) {
    const struct yaml *name = spring_member(item, "name");
    struct text original = name ? text_trim(yaml_as_text(name)) : (struct text){NULL, 0};
    struct import_param *param = NULL;
    if (!original.len) import_say(w, IMPORT_UNSETTLED, item->line, "a parameter without a name");
    else if (import_param_find(w, original, false))
        import_say(w, IMPORT_UNSETTLED, name->line, "there are two parameters %s", import_clean(w, original));
    else if (!(param = import_param_add(w, original, false, NULL)))
        import_say(w, IMPORT_UNSETTLED, name->line, "more than %d parameters", IMPORT_PARAMS_MAX);
    else if (!text_is(original, param->name))
        import_say(w, IMPORT_NOTE, name->line,
                   "the parameter \"%s\" is called %s here: callers have to give it by that name",
                   import_clean(w, original), param->name);
    return param;
}

static void look_for_doubles(struct import_work *w, const struct yaml *item) {
    static const char *const names[] = {"name", "label", "description", "type", "order", "options", "defaultValue"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct spring_found found = spring_keys(item, names[i]);
        if (found.count > 1) say_twice(w, names[i], found.pairs[0]->key, found.pairs[1]->key);
    }
}

static void read_param(struct import_work *w, const struct yaml *item) {
    const struct yaml *preset = NULL;
    struct import_param *param = begin_param(w, item);
    if (!param) return;
    param->order = 0;
    look_for_doubles(w, item);
    for (size_t i = 0; i < item->count; i++) {
        read_param_key(w, &item->pairs[i], param);
        if (spring_key_is(item->pairs[i].key->text, "defaultValue")) preset = item->pairs[i].value;
    }
    read_preset(w, preset, param);
    if (param->type || param->preset || !import_secret_name(param->original, IMPORT_JSON)) return;
    param->type = "secret";
    import_say(w, IMPORT_NOTE, item->line, "the parameter %s looks like a credential, and is masked everywhere",
               param->name);
}

static void read_params(struct import_work *w) {
    const struct yaml *list = yaml_get(w->entry, "parameters");
    if (yaml_is_null(list)) return;
    if (list->kind != YAML_LIST) {
        import_say(w, IMPORT_UNSETTLED, list->line, "parameters is no list");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind == YAML_MAP) read_param(w, list->items[i]);
        else import_say(w, IMPORT_UNSETTLED, list->items[i]->line, "a parameter is a mapping: name, label, …");
    }
}

/* ---- the head ---- */

static void put_roles(struct import_work *w, const char *name, const struct yaml *value, struct buf *out) {
    bool list = value->kind == YAML_LIST;
    if (yaml_is_null(value) || (list && !value->count)) return;
    if (value->kind == YAML_MAP) {
        import_say(w, IMPORT_UNSETTLED, value->line, "permissions: a list of roles is expected");
        return;
    }
    buf_addf(out, " %s = [ ", name);
    for (size_t i = 0; i < (list ? value->count : 1); i++) {
        if (i) buf_adds(out, ", ");
        import_add_string(out, yaml_as_text(list ? value->items[i] : value));
    }
    buf_adds(out, " ];");
}

static void put_permissions(struct import_work *w, struct buf *out) {
    const struct yaml *map = yaml_get(w->entry, "permissions");
    struct buf roles;
    if (yaml_is_null(map) || map->count == 0) return;
    buf_init(&roles, 65536);
    for (size_t i = 0; map->kind == YAML_MAP && i < map->count; i++) {
        struct text key = map->pairs[i].key->text;
        if (text_is_nocase(key, "READ")) put_roles(w, "read", map->pairs[i].value, &roles);
        else if (text_is_nocase(key, "WRITE")) put_roles(w, "write", map->pairs[i].value, &roles);
        else import_say(w, IMPORT_UNSETTLED, map->pairs[i].key->line, "permissions: orca asks for READ and WRITE only");
    }
    if (map->kind != YAML_MAP) import_say(w, IMPORT_UNSETTLED, map->line, "permissions is no mapping");
    if (roles.len) buf_addf(out, "permissions = {%s };\n", buf_cstr(&roles));
    buf_fini(&roles);
}

static void put_line(struct buf *out, const char *name, const char *text) {
    buf_addf(out, "%s = ", name);
    import_add_string(out, text_of(text));
    buf_adds(out, ";\n");
}

static const char *head_of(struct import_work *w, bool enabled) {
    static const char *const texts[] = {"label", "description"};
    struct buf out;
    buf_init(&out, GROUP_MAX_BYTES);
    put_line(&out, "name", w->name);
    for (size_t i = 0; i < 2; i++) {
        const char *clean = import_clean(w, text_at(w, texts[i]));
        if (clean[0]) put_line(&out, texts[i], clean);
    }
    if (!enabled) buf_adds(&out, "enabled = false;\n");
    else if (w->names_secret) buf_adds(&out, "enabled = \"auto\"; # once its secrets are set\n");
    put_permissions(w, &out);
    const char *head = arena_strdup(w->arena, buf_cstr(&out));
    buf_fini(&out);
    return head;
}

/* ---- the calls ---- */

static const char *request_of(struct import_work *w, struct import_call *call) {
    const struct yaml *url = yaml_get(w->entry, "url");
    struct buf out;
    w->group = IMPORT_REQUEST;
    import_headers(w, call);
    call->method = import_method(w, "method", "POST");
    call->url = "https://unsettled.invalid/";
    if (yaml_is_null(url))
        import_say(w, IMPORT_UNSETTLED, w->entry->line,
                   "the entry has no url, and leaves it to each pipeline: write one");
    else call->url = import_url(w, url, "url", call);
    buf_init(&out, GROUP_MAX_BYTES);
    import_add_setting(&out, "method", text_of(call->method));
    import_add_setting(&out, "url", text_of(call->url));
    buf_adds(&out, call->headers);
    if (strcmp(call->method, "HEAD") != 0) import_body(w, "payload", w->name, call, &out);
    if (strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0)
        buf_adds(&out, "  follow_redirects = true;\n");
    import_codes(w, &out, strcmp(call->method, "POST") != 0 && strcmp(call->method, "PATCH") != 0);
    const char *text = arena_strdup(w->arena, buf_cstr(&out));
    buf_fini(&out);
    return text;
}

static const char *status_of(struct import_work *w, const struct import_call *request) {
    struct buf out;
    if (!truth_at(w, "waitForCompletion", false)) return NULL;
    w->group = IMPORT_STATUS;
    buf_init(&out, GROUP_MAX_BYTES);
    import_status(w, request, &out);
    const char *text = arena_strdup(w->arena, buf_cstr(&out));
    buf_fini(&out);
    return text;
}

static const char *cancel_of(struct import_work *w, const struct import_call *request, bool waits) {
    const struct yaml *url = yaml_get(w->entry, "cancelEndpoint");
    struct import_call call = *request;
    struct buf out;
    if (yaml_is_null(url) || (url->kind == YAML_TEXT && !url->text.len)) return NULL;
    if (!waits)
        import_say(w, IMPORT_NOTE, url->line,
                   "orca never sends cancelEndpoint without waitForCompletion; here it is sent");
    w->group = IMPORT_CANCEL;
    w->replies = true;
    buf_init(&out, GROUP_MAX_BYTES);
    import_add_setting(&out, "method", text_of(import_method(w, "cancelMethod", "POST")));
    import_add_setting(&out, "url", text_of(import_url(w, url, "cancelEndpoint", &call)));
    buf_adds(&out, call.headers);
    import_body(w, "cancelPayload", arena_printf(w->arena, "%s-cancel", w->name), &call, &out);
    w->replies = false;
    const char *text = arena_strdup(w->arena, buf_cstr(&out));
    buf_fini(&out);
    return text;
}

/* Whether it is waited for is each pipeline's choice, where the entry does not say; here somebody has to. */
static void say_what_waits(struct import_work *w) {
    static const char *const waiting[] = {"statusUrlResolution", "statusUrlJsonPath", "statusJsonPath",
                                          "progressJsonPath",    "successStatuses",   "canceledStatuses",
                                          "terminalStatuses",    "waitBeforeMonitor", "retryStatusCodes"};
    bool open = yaml_is_null(yaml_get(w->entry, "waitForCompletion"));
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++) {
        const struct yaml *value = yaml_get(w->entry, waiting[i]);
        if (yaml_is_null(value)) continue;
        import_say(w, open ? IMPORT_UNSETTLED : IMPORT_NOTE, value->line,
                   open ? "%s, and waitForCompletion is left to each pipeline: say true or false, and import it again"
                        : "%s means nothing, since waitForCompletion is false",
                   waiting[i]);
        return;
    }
}

static void say_what_is_open(struct import_work *w, const struct import_call *request, bool waits) {
    bool takes_body = request->method[0] == 'P';
    w->group = IMPORT_TOP;
    if (!waits) say_what_waits(w);
    if (takes_body && yaml_is_null(yaml_get(w->entry, "payload")))
        import_say(w, IMPORT_NOTE, w->entry->line,
                   "payload is not set: a pipeline could write one in Spinnaker; here nothing is sent");
    if (!yaml_is_null(yaml_get(w->entry, "parameterData")))
        import_say(w, IMPORT_NOTE, yaml_get(w->entry, "parameterData")->line,
                   "parameterData is for plug-ins of the editor, and is left out");
    if (!yaml_is_null(yaml_get(w->entry, "parameterValues")))
        import_say(w, IMPORT_NOTE, yaml_get(w->entry, "parameterValues")->line,
                   "parameterValues beat what a pipeline gives, so they are written in their places");
}

/* ---- one entry ---- */

static const char *stage_name(struct import_work *w, struct text type) {
    char *name = arena_strndup(w->arena, type.at, type.len < NAME_MAX_BYTES ? type.len : NAME_MAX_BYTES);
    for (char *c = name; *c; c++) {
        bool alnum = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (!alnum && (c == name || !strchr("-_.", *c))) *c = c == name ? 'x' : '-';
    }
    if (!text_is(type, name))
        import_say(w, IMPORT_NOTE, w->entry->line,
                   "the type \"%s\" cannot be a stage's name; it is %s here, and pipelines that have it need that type",
                   import_clean(w, type), name);
    return name;
}

static const struct import_stage *stage_of_name(const struct import_job *job, const char *name) {
    const struct import_stage *all = (const struct import_stage *)(const void *)job->stages.at;
    for (size_t i = 0; i < job->stages.len / sizeof *all; i++)
        if (all[i].name && strcasecmp(all[i].name, name) == 0) return &all[i];
    return NULL;
}

static void translate(struct import_work *w) {
    const char *groups[IMPORT_GROUPS];
    struct import_call request = {0};
    bool enabled = truth_at(w, "enabled", true);
    w->file_count = 1; /* the definition comes first */
    read_params(w);
    groups[IMPORT_REQUEST] = request_of(w, &request);
    groups[IMPORT_STATUS] = status_of(w, &request);
    groups[IMPORT_CANCEL] = cancel_of(w, &request, groups[IMPORT_STATUS] != NULL);
    say_what_is_open(w, &request, groups[IMPORT_STATUS] != NULL);
    groups[IMPORT_TOP] = head_of(w, enabled);
    sort_remarks(w);
    import_write(w, groups);
    import_verify(w, groups);
}

/* False: nothing is to be written for it, and a remark says why. */
static bool can_be_imported(struct import_work *w) {
    struct text type = text_at(w, "type");
    w->type = import_clean(w, type);
    if (!type.len || type.len > 256) {
        import_say(w, IMPORT_REFUSED, w->entry->line, "the entry has no type, and orca cannot find it");
        return false;
    }
    if (compare_is_export(w->entry)) {
        import_say(w, IMPORT_NOTE, w->entry->line,
                   "it starts a stage of stagedoor, and `export orca` has written it: there is nothing to import");
        return false;
    }
    if (!truth_at(w, "enabled", true) && yaml_is_null(yaml_get(w->entry, "url"))) {
        import_say(w, IMPORT_NOTE, w->entry->line, "it is disabled and has no url: there is nothing to import");
        return false;
    }
    w->name = w->secret_prefix = stage_name(w, type);
    const struct import_stage *same = stage_of_name(w->job, w->name);
    if (!same) return true;
    import_say(w, IMPORT_REFUSED, w->entry->line, "there is an entry of this type in line %d, and orca takes the first",
               same->line);
    return false;
}

static void add_stage(struct import_work *w, bool written) {
    struct import_stage stage = {.type = w->type ? w->type : "", .line = w->entry->line + w->line_offset};
    for (size_t i = 0; i < w->remark_count; i++) {
        stage.unsettled |= w->remarks[i].grade == IMPORT_UNSETTLED;
        written &= w->remarks[i].grade != IMPORT_REFUSED;
    }
    for (size_t i = 0; i < IMPORT_GROUPS; i++) stage.unsettled |= w->unsettled[i].len > 0;
    sort_remarks(w);
    stage.remarks = arena_copy(w->arena, w->remarks, w->remark_count * sizeof *w->remarks);
    stage.remark_count = w->remark_count;
    if (written) {
        stage.name = w->name;
        stage.files = arena_copy(w->arena, w->files, w->file_count * sizeof *w->files);
        stage.file_count = w->file_count;
    } else stage.unsettled = false;
    buf_add(&w->job->stages, &stage, sizeof stage);
}

static void import_entry(struct import_job *job, const struct entry *entry) {
    struct import_work *w = mem_alloc(sizeof *w);
    *w = (struct import_work){
        .job = job, .arena = job->arena, .document = entry->document, .line_offset = entry->line_offset};
    for (size_t i = 0; i < IMPORT_GROUPS; i++) buf_init(&w->unsettled[i], IMPORT_REMARKS_MAX * sizeof(char *));
    w->entry = entry->node;
    bool is_map = entry->node->kind == YAML_MAP;
    if (is_map) w->entry = canonical(w, entry->node);
    else import_say(w, IMPORT_REFUSED, entry->node->line, "an entry is a mapping: label, type, url, …");
    bool wanted = !job->only || (is_map && text_is(text_at(w, "type"), job->only));
    bool written = is_map && wanted && can_be_imported(w);
    if (written) translate(w);
    if (wanted) add_stage(w, written);
    for (size_t i = 0; i < IMPORT_GROUPS; i++) buf_fini(&w->unsettled[i]);
    mem_free(w);
}

/* ---- finding them ---- */

static bool fail_at(struct import_job *job, const struct yaml *node, int offset, const char *what,
                    struct fault *fault) {
    return fault_set(fault, FAULT_INVALID, NULL, "%s:%d: %s", job->file, node->line + offset, what);
}

static bool take_list(struct import_job *job, const struct yaml *list, const struct yaml *document, int offset,
                      struct fault *fault) {
    if (yaml_is_null(list)) return true;
    if (list->kind != YAML_LIST) return fail_at(job, list, offset, "webhook.preconfigured has to be a list", fault);
    for (size_t i = 0; i < list->count; i++) {
        struct entry entry = {list->items[i], document, offset};
        buf_add(&job->entries, &entry, sizeof entry);
    }
    return !job->entries.full || fail_at(job, list, offset, "more entries than 2,000", fault);
}

static bool walk(struct import_job *job, const struct yaml *node, const struct yaml *document, int offset, bool outer,
                 struct fault *fault);

/* orca-local.yml: | in a ConfigMap: the text is a file of its own. */
static bool walk_text(struct import_job *job, const struct yaml_pair *pair, int offset, struct fault *fault) {
    struct text name = pair->key->text, text = pair->value->text;
    struct yaml **documents;
    size_t count;
    if (!text_ends(name, ".yml") && !text_ends(name, ".yaml")) return true;
    if (!spring_mentions(text, "preconfigured") || pair->value->folded) return true;
    offset += pair->value->text_line - 1;
    const char *inside = arena_printf(job->arena, "%s, in %.*s from line %d on", job->file,
                                      name.len > 80 ? 80 : (int)name.len, name.at, offset + 1);
    if (!yaml_read(job->arena, text, inside, &documents, &count, fault)) return false;
    for (size_t i = 0; i < count; i++)
        if (!walk(job, documents[i], documents[i], offset, false, fault)) return false;
    return true;
}

/* The lists that this pair leads to: webhook.preconfigured itself, or inside of webhook. */
static struct spring_found lists_at(const struct yaml_pair *pair, bool *ret_is_webhook) {
    struct text key = pair->key->text, before;
    *ret_is_webhook = spring_path_ends(key, "webhook", &before) && pair->value->kind == YAML_MAP;
    if (*ret_is_webhook) return spring_keys(pair->value, "preconfigured");
    bool whole = spring_path_ends(key, "preconfigured", &before) && spring_path_ends(before, "webhook", &before);
    return (struct spring_found){{pair}, whole};
}

static bool check_once(struct import_job *job, const struct spring_found *found, int offset, struct fault *fault) {
    if (found->count < 2) return true;
    const char *what = arena_printf(job->arena, "webhook.preconfigured stands here and in line %d, in two spellings",
                                    found->pairs[0]->key->line + offset);
    return fail_at(job, found->pairs[1]->key, offset, what, fault);
}

static bool walk_pair(struct import_job *job, const struct yaml *map, size_t i, const struct yaml *document, int offset,
                      bool outer, struct fault *fault) {
    const struct yaml_pair *pair = &map->pairs[i];
    bool is_webhook;
    struct spring_found here = lists_at(pair, &is_webhook);
    if (here.count) {
        struct spring_found all = spring_paths(map, "webhook", "preconfigured");
        return check_once(job, &here, offset, fault) && check_once(job, &all, offset, fault) &&
               take_list(job, here.pairs[0]->value, document, offset, fault);
    }
    if (is_webhook) return true;
    if (pair->value->kind == YAML_TEXT) return !outer || walk_text(job, pair, offset, fault);
    return walk(job, pair->value, document, offset, outer, fault);
}

static bool walk(struct import_job *job, const struct yaml *node, const struct yaml *document, int offset, bool outer,
                 struct fault *fault) {
    if (++job->steps > IMPORT_STEPS_MAX) return fail_at(job, node, offset, "the file is too entangled", fault);
    bool good = true;
    for (size_t i = 0; good && node->kind == YAML_MAP && i < node->count; i++)
        good = walk_pair(job, node, i, document, offset, outer, fault);
    for (size_t i = 0; good && node->kind == YAML_LIST && i < node->count; i++)
        good = walk(job, node->items[i], document, offset, outer, fault);
    return good;
}

static bool find_entries(struct import_job *job, struct text source, struct fault *fault) {
    struct yaml **documents;
    size_t count;
    if (!yaml_read(job->arena, source, job->file, &documents, &count, fault)) return false;
    for (size_t i = 0; i < count; i++)
        if (!walk(job, documents[i], documents[i], 0, true, fault)) return false;
    return job->entries.len ||
           fault_set(fault, FAULT_NOT_FOUND, job->file,
                     "there is no entry in webhook.preconfigured (job.preconfigured has Run Job stages, which are "
                     "something else)");
}

const struct import *import_orca(struct arena *arena, struct text source, const char *file, const char *only,
                                 struct fault *fault) {
    const char *slash = strrchr(file, '/');
    struct import_job job = {.arena = arena, .file = file, .base = slash ? slash + 1 : file, .only = only};
    struct import *all = NULL;
    buf_init(&job.entries, IMPORT_MAX_ENTRIES * sizeof(struct entry));
    buf_init(&job.stages, IMPORT_MAX_ENTRIES * sizeof(struct import_stage));
    buf_init(&job.secrets, IMPORT_SECRETS_MAX * sizeof(struct import_secret));
    if (find_entries(&job, source, fault)) {
        const struct entry *entries = (const struct entry *)(const void *)job.entries.at;
        for (size_t i = 0; i < job.entries.len / sizeof *entries; i++) import_entry(&job, &entries[i]);
        all = arena_new_of(arena, struct import);
        all->stage_count = job.stages.len / sizeof(struct import_stage);
        all->stages = arena_copy(arena, buf_text(&job.stages).at, job.stages.len);
        all->secret_count = job.secrets.len / sizeof(struct import_secret);
        all->secrets = arena_copy(arena, buf_text(&job.secrets).at, job.secrets.len);
    }
    buf_fini(&job.entries);
    buf_fini(&job.stages);
    buf_fini(&job.secrets);
    return all;
}
