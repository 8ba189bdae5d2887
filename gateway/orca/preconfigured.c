/* Entries of orca's list of preconfigured webhooks, and what orca makes of them for the pipeline editor.
 *
 * An entry is plain JSON in the order of orca's own class: the YAML writer, the comparison of `export orca --check` and
 * GET /webhooks/preconfigured take it from here. Nothing is read from a definition but what people see of it, so an
 * entry stays the same while the definition's calls change: orca is restarted for a new stage or parameter only.
 *
 * The payload is one text for orca, a template of SpEL expressions. All parameters go in one piece through #toJson,
 * which quotes them; written into the JSON one by one they would break it at the first quote. */
#include "orca/preconfigured.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "stage/decimal.h"

#define TEXT_MAX (4 * 1024 * 1024)

static const char *const properties[] = {"url",
                                         "customHeaders",
                                         "method",
                                         "payload",
                                         "failFastStatusCodes",
                                         "waitForCompletion",
                                         "statusUrlResolution",
                                         "statusUrlJsonPath",
                                         "statusJsonPath",
                                         "progressJsonPath",
                                         "successStatuses",
                                         "canceledStatuses",
                                         "terminalStatuses",
                                         "signalCancellation",
                                         "cancelEndpoint",
                                         "cancelMethod",
                                         "cancelPayload",
                                         "waitBeforeMonitor",
                                         "retryStatusCodes"};
enum { PROPERTY_COUNT = sizeof properties / sizeof *properties };

static void set_string(struct arena *arena, struct json *object, const char *name, const char *value) {
    if (value) json_set(object, name, json_new_string(arena, value));
}

/* ---- text ---- */

/* Of a definition: what Spring would take for a placeholder stays text. */
static const char *plain(struct arena *arena, const char *text) {
    if (!text || !strstr(text, "${")) return text;
    char *made = arena_alloc(arena, strlen(text) * 2 + 1), *to = made;
    for (const char *at = text; *at; at++) {
        *to++ = *at;
        if (at[0] == '$' && at[1] == '{') *to++ = ' ';
    }
    return made;
}

static const char *take(struct arena *arena, struct buf *text) {
    const char *made = arena_strdup(arena, buf_cstr(text));
    buf_fini(text);
    return made;
}

static void add_hint(struct buf *out, const char *hint) {
    if (out->len) buf_adds(out, ", ");
    buf_adds(out, hint);
}

static void add_choices(struct buf *out, const struct param *param) {
    add_hint(out, "one of ");
    for (size_t i = 0; i < param->choice_count; i++) {
        if (i) buf_adds(out, i + 1 == param->choice_count ? " or " : ", ");
        buf_adds(out, param->choices[i]);
    }
}

static void add_range(struct buf *out, const struct param *param) {
    char least[DECIMAL_ROOM], most[DECIMAL_ROOM];
    bool low = param->has_minimum && decimal_write(param->minimum, least);
    bool high = param->has_maximum && decimal_write(param->maximum, most);
    if (low && high) buf_addf(out, " from %s to %s", least, most);
    else if (low) buf_addf(out, " of at least %s", least);
    else if (high) buf_addf(out, " of at most %s", most);
}

/* The editor has one text input for every parameter, so what it takes has to be said in words. */
static const char *hints_of(struct arena *arena, const struct param *param) {
    static const char *const words[] = {
        [PARAM_INTEGER] = "a whole number",
        [PARAM_NUMBER] = "a number",
        [PARAM_BOOLEAN] = "true or false",
        [PARAM_URL] = "a URL",
        [PARAM_LIST] = "a list: a, b",
        [PARAM_JSON] = "JSON",
        [PARAM_SECRET] = "everybody who can see the pipeline can read it",
    };
    struct buf hints;
    buf_init(&hints, TEXT_MAX);
    if (param->required) add_hint(&hints, "required");
    if (param->type == PARAM_CHOICE) add_choices(&hints, param);
    else if (param->type < sizeof words / sizeof *words && words[param->type]) add_hint(&hints, words[param->type]);
    if (param->type == PARAM_INTEGER || param->type == PARAM_NUMBER) add_range(&hints, param);
    return take(arena, &hints);
}

static const char *description_of(struct arena *arena, const struct param *param) {
    const char *hints = hints_of(arena, param), *said = param->description;
    if (!hints[0]) return said;
    return said ? arena_printf(arena, "%s (%s)", said, hints) : hints;
}

/* ---- parameters ---- */

static const char *default_of(struct arena *arena, const struct json *preset) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    if (json_kind(preset) == JSON_NULL) return NULL;
    json_write_text(&text, preset);
    return take(arena, &text);
}

bool preconfigured_default_lost(struct arena *arena, const struct param *param) {
    const char *preset = default_of(arena, param->preset);
    return preset && strstr(preset, "${");
}

static struct json *parameter_of(struct arena *arena, const char *name, const char *label, const char *preset,
                                 const char *description, size_t order) {
    struct json *made = json_new_object(arena);
    set_string(arena, made, "name", name);
    set_string(arena, made, "label", plain(arena, label ? label : name));
    if (preset && !strstr(preset, "${")) set_string(arena, made, "defaultValue", preset);
    set_string(arena, made, "description", plain(arena, description));
    set_string(arena, made, "type", "string"); /* orca knows no other */
    json_set(made, "order", json_new_int(arena, (int64_t)order));
    return made;
}

static struct json *parameters_of(struct arena *arena, const struct stage *stage) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < stage->param_count; i++) {
        const struct param *param = &stage->params[i];
        json_push(list, parameter_of(arena, param->name, param->label, default_of(arena, param->preset),
                                     description_of(arena, param), i));
    }
    return list;
}

static struct json *generic_parameters(struct arena *arena) {
    struct json *list = json_new_array(arena);
    json_push(list, parameter_of(arena, "stage", "Stage", NULL,
                                 "the stage's name, as stagedoor list shows it (required)", 0));
    json_push(list, parameter_of(arena, "parameters", "Parameters", NULL,
                                 "the stage's parameters as JSON, such as {\"users\": 50}; none: empty", 1));
    return list;
}

/* ---- an entry ---- */

static struct json *list_of(struct arena *arena, const char *value) {
    struct json *list = json_new_array(arena);
    json_push(list, json_new_string(arena, value));
    return list;
}

static struct json *codes_of(struct arena *arena, const int *codes, size_t count) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < count; i++) json_push(list, json_new_int(arena, codes[i]));
    return list;
}

static void set_headers(struct arena *arena, struct json *entry, const struct preconfigured_form *form) {
    struct json *headers = json_new_object(arena);
    json_set(headers, "Content-Type", list_of(arena, "application/json")); /* without it orca sends Latin-1 */
    json_set(headers, "Accept", list_of(arena, "application/json"));
    json_set(headers, "Idempotency-Key", list_of(arena, PRECONFIGURED_KEY));
    json_set(entry, "customHeaders", headers);
    if (!form->authorization) return;
    struct json *hidden = form->before_2026_1 ? headers : json_new_object(arena);
    json_set(hidden, "Authorization", list_of(arena, form->authorization));
    if (!form->before_2026_1) json_set(entry, "sensitiveHeaders", hidden);
}

/* `first` and `parameters` are members' text. */
static const char *payload_of(struct arena *arena, const char *first, const char *parameters) {
    return arena_printf(arena,
                        "{%s\"key\": \"" PRECONFIGURED_KEY "\",\n"
                        " \"user\": ${#toJson(trigger['user'])},\n"
                        " \"application\": ${#toJson(execution['application'])},\n"
                        " \"pipeline\": ${#toJson(execution['name'])},\n"
                        " \"execution\": ${#toJson(execution['id'])},\n"
                        " \"parameters\": %s}\n",
                        first, parameters);
}

/* What holds for every stage, since the gateway always answers in the same way. A code that a proxy in front of the
 * gateway may answer is worth another try: the key makes a second start harmless. */
static void set_polling(struct arena *arena, struct json *entry) {
    static const int hopeless[] = {501};
    json_set(entry, "failFastStatusCodes", codes_of(arena, hopeless, sizeof hopeless / sizeof *hopeless));
    json_set(entry, "waitForCompletion", json_new_bool(arena, true));
    set_string(arena, entry, "statusUrlResolution", "webhookResponse");
    set_string(arena, entry, "statusUrlJsonPath", "$.statusUrl");
    set_string(arena, entry, "statusJsonPath", "$.status");
    set_string(arena, entry, "progressJsonPath", "$.progress");
    set_string(arena, entry, "successStatuses", "SUCCEEDED");
    set_string(arena, entry, "canceledStatuses", "CANCELED");
    set_string(arena, entry, "terminalStatuses", "TERMINAL");
    json_set(entry, "signalCancellation", json_new_bool(arena, true));
}

static void set_cancel(struct arena *arena, struct json *entry, const char *url, const char *first) {
    static const int passing[] = {408, 425, 429};
    set_string(arena, entry, "cancelEndpoint", url);
    set_string(arena, entry, "cancelMethod", "POST");
    set_string(arena, entry, "cancelPayload", arena_printf(arena, "{%s\"key\": \"" PRECONFIGURED_KEY "\"}", first));
    json_set(entry, "waitBeforeMonitor", json_new_int(arena, 0)); /* a cancel during that time would not be sent */
    json_set(entry, "retryStatusCodes", codes_of(arena, passing, sizeof passing / sizeof *passing));
}

static const struct json *roles_of(struct arena *arena, const struct stage_words *roles) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < roles->count; i++) json_push(list, json_new_string(arena, plain(arena, roles->items[i])));
    return list;
}

static void set_permissions(struct arena *arena, struct json *entry, const struct stage_permissions *permissions) {
    if (!permissions->read.count && !permissions->write.count) return;
    struct json *made = json_new_object(arena);
    if (permissions->read.count) json_set(made, "READ", roles_of(arena, &permissions->read));
    if (permissions->write.count) json_set(made, "WRITE", roles_of(arena, &permissions->write));
    json_set(entry, "permissions", made);
}

static struct json *begin(struct arena *arena, const char *type, const char *label, const char *description) {
    struct json *entry = json_new_object(arena);
    set_string(arena, entry, "type", type);
    set_string(arena, entry, "label", plain(arena, label));
    set_string(arena, entry, "description", plain(arena, description));
    json_set(entry, "enabled", json_new_bool(arena, true));
    return entry;
}

const struct json *preconfigured_entry(struct arena *arena, const struct stage *stage,
                                       const struct preconfigured_form *form) {
    const char *url = arena_printf(arena, "%s/stages/%s", form->base_url, stage->name);
    struct json *entry = begin(arena, arena_printf(arena, "%s%s", form->type_prefix, stage->name),
                               stage->label ? stage->label : stage->name, stage->description);
    if (stage->param_count) json_set(entry, "parameters", parameters_of(arena, stage));
    set_string(arena, entry, "url", url);
    set_headers(arena, entry, form);
    set_string(arena, entry, "method", "POST");
    set_string(arena, entry, "payload",
               payload_of(arena, "", stage->param_count ? "${#toJson(parameterValues)}" : "{}"));
    set_polling(arena, entry);
    set_cancel(arena, entry, arena_printf(arena, "%s/cancel", url), "");
    set_permissions(arena, entry, &stage->permissions);
    return entry;
}

const struct json *preconfigured_generic(struct arena *arena, const struct preconfigured_form *form) {
    static const char which[] = "\"stage\": ${#toJson(parameterValues['stage'])},\n ";
    struct json *entry = begin(arena, arena_printf(arena, "%s" PRECONFIGURED_GENERIC, form->type_prefix), "Stagedoor",
                               "Any stage of stagedoor: the gateway knows them, and what they take");
    json_set(entry, "parameters", generic_parameters(arena));
    set_string(arena, entry, "url", arena_printf(arena, "%s/runs", form->base_url));
    set_headers(arena, entry, form);
    set_string(arena, entry, "method", "POST");
    set_string(arena, entry, "payload", payload_of(arena, which, "${#toJson(parameterValues['parameters'])}"));
    set_polling(arena, entry);
    set_cancel(arena, entry, arena_printf(arena, "%s/runs/cancel", form->base_url),
               "\"stage\": ${#toJson(parameterValues['stage'])}, ");
    return entry;
}

/* ---- orca's list ---- */

/* WebhookProperties.PreconfiguredWebhook.noUserConfigurableFields, of an entry that waits and resolves by
 * webhookResponse, as all of ours do. */
static bool all_set(const struct json *entry) {
    for (size_t i = 0; i < PROPERTY_COUNT; i++)
        if (json_kind(json_gets(entry, properties[i])) == JSON_NULL) return false;
    return true;
}

static const struct json *set_properties(struct arena *arena, const struct json *entry) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < PROPERTY_COUNT; i++)
        if (json_kind(json_gets(entry, properties[i])) != JSON_NULL)
            json_push(list, json_new_string(arena, properties[i]));
    return list;
}

/* The class has all of them, and null for what is not there. */
static const struct json *full_parameters(struct arena *arena, const struct json *parameters) {
    static const char *const members[] = {"name", "label", "defaultValue", "description", "type", "order"};
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < json_size(parameters); i++) {
        struct json *made = json_new_object(arena);
        for (size_t j = 0; j < sizeof members / sizeof *members; j++)
            json_set(made, members[j], json_gets(json_at(parameters, i), members[j]));
        json_push(list, made);
    }
    return list;
}

const struct json *preconfigured_listing(struct arena *arena, const struct json *entry) {
    static const char *const same[] = {"label", "description", "type", "waitForCompletion"};
    struct json *made = json_new_object(arena);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) json_set(made, same[i], json_gets(entry, same[i]));
    json_set(made, "preconfiguredProperties", set_properties(arena, entry));
    json_set(made, "noUserConfigurableFields", json_new_bool(arena, all_set(entry)));
    json_set(made, "parameters", full_parameters(arena, json_gets(entry, "parameters")));
    json_set(made, "parameterData", json_new_null(arena));
    return made;
}

/* ---- names ---- */

bool preconfigured_type_taken(const char *type) {
    static const char *const own[] = {"applySourceServerGroupCapacity",
                                      "awsCodeBuild",
                                      "bake",
                                      "bakeManifest",
                                      "bulkDestroyServerGroup",
                                      "canary",
                                      "checkPreconditions",
                                      "cloneServerGroup",
                                      "concourse",
                                      "createServerGroup",
                                      "deleteManifest",
                                      "deploy",
                                      "deployManifest",
                                      "destroyServerGroup",
                                      "disableCluster",
                                      "disableServerGroup",
                                      "enableServerGroup",
                                      "evaluateVariables",
                                      "findArtifactFromExecution",
                                      "findArtifactsFromResource",
                                      "findImage",
                                      "findImageFromTags",
                                      "gitlab-ci",
                                      "googleCloudBuild",
                                      "jenkins",
                                      "kayentaCanary",
                                      "manualJudgment",
                                      "patchManifest",
                                      "pipeline",
                                      "preconfiguredJob",
                                      "preconfiguredWebhook",
                                      "resizeServerGroup",
                                      "rollbackCluster",
                                      "runJob",
                                      "runJobManifest",
                                      "savePipeline",
                                      "scaleDownCluster",
                                      "scaleManifest",
                                      "script",
                                      "shrinkCluster",
                                      "travis",
                                      "undoRolloutManifest",
                                      "upsertLoadBalancer",
                                      "wait",
                                      "waitForCondition",
                                      "webhook",
                                      "wercker"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(type, own[i]) == 0) return true;
    return false;
}
