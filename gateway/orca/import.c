/* Makes a definition of each entry of `webhook.preconfigured`.
 *
 * Each entry goes through the same steps: its keys, its parameters, `request`, `status`, `cancel`, its head; then it is
 * written, and compiled. What cannot be translated is remarked on, with its line. */
#include "orca/import.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "orca/compare.h"
#include "orca/import_job.h"

#define NAME_MAX_BYTES 64
#define GROUP_MAX_BYTES ((size_t)2 << 20)

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
        const char *clean = import_clean(w, import_text_at(w, texts[i]));
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
    if (!import_truth_at(w, "waitForCompletion", false)) return NULL;
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
    bool enabled = import_truth_at(w, "enabled", true);
    w->file_count = 1; /* the definition comes first */
    import_params(w);
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
    struct text type = import_text_at(w, "type");
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
    if (!import_truth_at(w, "enabled", true) && yaml_is_null(yaml_get(w->entry, "url"))) {
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

static void import_entry(struct import_job *job, const struct import_entry *entry) {
    struct import_work *w = mem_alloc(sizeof *w);
    *w = (struct import_work){
        .job = job, .arena = job->arena, .document = entry->document, .line_offset = entry->line_offset};
    for (size_t i = 0; i < IMPORT_GROUPS; i++) buf_init(&w->unsettled[i], IMPORT_REMARKS_MAX * sizeof(char *));
    w->entry = entry->node;
    bool is_map = entry->node->kind == YAML_MAP;
    if (is_map) w->entry = import_canonical(w, entry->node);
    else import_say(w, IMPORT_REFUSED, entry->node->line, "an entry is a mapping: label, type, url, …");
    bool wanted = !job->only || (is_map && text_is(import_text_at(w, "type"), job->only));
    bool written = is_map && wanted && can_be_imported(w);
    if (written) translate(w);
    if (wanted) add_stage(w, written);
    for (size_t i = 0; i < IMPORT_GROUPS; i++) buf_fini(&w->unsettled[i]);
    mem_free(w);
}

/* ---- all of them ---- */

const struct import *import_orca(struct arena *arena, struct text source, const char *file, const char *only,
                                 struct fault *fault) {
    const char *slash = strrchr(file, '/');
    struct import_job job = {.arena = arena, .file = file, .base = slash ? slash + 1 : file, .only = only};
    struct import *all = NULL;
    buf_init(&job.entries, IMPORT_MAX_ENTRIES * sizeof(struct import_entry));
    buf_init(&job.stages, IMPORT_MAX_ENTRIES * sizeof(struct import_stage));
    buf_init(&job.secrets, IMPORT_SECRETS_MAX * sizeof(struct import_secret));
    if (import_find(&job, source, fault)) {
        const struct import_entry *entries = (const struct import_entry *)(const void *)job.entries.at;
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
