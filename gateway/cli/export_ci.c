/* `stagedoor export jenkins|gitlab|github|argo|tekton|azure|azure-stage STAGE`: one stage for callers other than
 * Spinnaker.
 *
 * The first five run one shell script (cli/ci_script) and differ in how parameters, the token and the key come to it.
 * Defaults are not written down: a parameter that is left empty takes that of the definition, also when it changes
 * later. Azure Pipelines can wait for a callback without an agent; it is told by a stage of its own, which starts the
 * stage at this same gateway, watches it, and reports however it ended. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/ci_script.h"
#include "cli/command.h"
#include "cli/export.h"
#include "cli/screen.h"
#include "orca/yaml_write.h"
#include "stage/catalog.h"

#define OUTPUT_MAX (16 * 1024 * 1024)
#define GITHUB_INPUTS_MAX 25 /* of workflow_dispatch */
#define IMAGE "curlimages/curl:8.10.1"

struct ci {
    struct arena *arena;
    struct settings settings;
    struct catalog *catalog;
    const struct stage *stage;
    const char *base_url;
    struct buf out;
};

/* ---- texts ---- */

/* What a system would put something else in place of, and what would end a line of a comment. */
static const char *tame(struct arena *arena, const char *text) {
    struct buf out;
    buf_init(&out, OUTPUT_MAX);
    for (const char *s = text ? text : ""; *s; s++) {
        bool opens = (s[0] == '$' || s[0] == '{') && (s[1] == '{' || s[1] == '(');
        buf_addc(&out, (unsigned char)*s < ' ' ? ' ' : *s);
        if (opens) buf_addc(&out, ' ');
    }
    const char *made = arena_strdup(arena, buf_cstr(&out));
    buf_fini(&out);
    return made;
}

static const char *label_of(const struct ci *c) {
    return tame(c->arena, c->stage->label ? c->stage->label : c->stage->name);
}

/* For names that are a host's label: Kubernetes, and others where it does no harm. */
static const char *lower_name(const struct ci *c, char other) {
    char *name = arena_strdup(c->arena, c->stage->name);
    for (char *s = name; *s; s++) *s = isalnum((unsigned char)*s) ? (char)tolower((unsigned char)*s) : other;
    for (size_t n = strlen(name); n && name[n - 1] == other; n--) name[n - 1] = 0;
    return name;
}

static bool is_secret(const struct param *param) {
    return param->type == PARAM_SECRET;
}

static const char *preset_of(const struct ci *c, const struct param *param) {
    struct buf text;
    if (!param->preset || is_secret(param)) return NULL;
    buf_init(&text, OUTPUT_MAX);
    json_write_text(&text, param->preset);
    const char *made = tame(c->arena, buf_cstr(&text));
    buf_fini(&text);
    return made;
}

/* "Concurrent users: how many at once (integer, default 10)" */
static const char *describe(const struct ci *c, const struct param *param) {
    const char *label = tame(c->arena, param->label ? param->label : param->name);
    const char *about = tame(c->arena, param->description), *preset = preset_of(c, param);
    return arena_printf(c->arena, "%s%s%s (%s%s%s%s)", label, about[0] ? ": " : "", about, param_type_word(param->type),
                        param->required ? ", required" : "", preset ? ", default " : "", preset ? preset : "");
}

/* ---- JSON ---- */

static const struct json *string(const struct ci *c, const char *value) {
    return json_new_string(c->arena, value);
}

static struct json *put_object(const struct ci *c, struct json *in, const char *name) {
    struct json *made = json_new_object(c->arena);
    json_set(in, name, made);
    return made;
}

static struct json *put_array(const struct ci *c, struct json *in, const char *name) {
    struct json *made = json_new_array(c->arena);
    json_set(in, name, made);
    return made;
}

static struct json *push_object(const struct ci *c, struct json *in) {
    struct json *made = json_new_object(c->arena);
    json_push(in, made);
    return made;
}

/* {"name": …, "value": …}, as Kubernetes writes lists of pairs. */
static void push_pair(const struct ci *c, struct json *in, const char *name, const char *value) {
    struct json *made = push_object(c, in);
    json_set(made, "name", string(c, name));
    json_set(made, "value", string(c, value));
}

static const char *variable(const struct ci *c, size_t param) {
    return ci_script_variable(c->arena, c->stage, param);
}

static const struct json *script_of(const struct ci *c, struct ci_script script, const char *before,
                                    const char *after) {
    struct buf out;
    buf_init(&out, OUTPUT_MAX);
    script.stage = c->stage;
    script.base_url = c->base_url;
    buf_adds(&out, before);
    ci_script_write(c->arena, &out, &script);
    buf_adds(&out, after);
    const struct json *made = json_new_text(c->arena, buf_text(&out));
    buf_fini(&out);
    return made;
}

/* ---- comments ---- */

static void add_comments(struct ci *c, const char *mark, const char *kind, const char *what, const char *where) {
    buf_addf(&c->out, "%s %s: the stage \"%s\" of %s. Written by `stagedoor export %s %s`.\n", mark, what,
             c->stage->name, c->base_url, kind, c->stage->name);
    buf_addf(&c->out, "%s %s\n", mark, where);
    const char *empty = strcmp(kind, "azure") == 0 ? "an empty text is a value"
                                                   : "of one that is left empty the default holds";
    if (c->stage->param_count) buf_addf(&c->out, "%s Parameters; %s:\n", mark, empty);
    for (size_t i = 0; i < c->stage->param_count; i++)
        buf_addf(&c->out, "%s   %s  %s\n", mark, c->stage->params[i].name, describe(c, &c->stage->params[i]));
}

static bool add_yaml(struct ci *c, const struct json *document) {
    return yaml_write(&c->out, document);
}

/* ---- GitHub Actions ---- */

static void github_input(const struct ci *c, struct json *inputs, const struct param *param) {
    struct json *input = put_object(c, inputs, param->name);
    bool choice = param->type == PARAM_CHOICE && param->choice_count;
    json_set(input, "description", string(c, describe(c, param)));
    json_set(input, "required", json_new_bool(c->arena, param->required));
    json_set(input, "type", string(c, choice ? "choice" : "string"));
    if (!choice) return;
    struct json *options = put_array(c, input, "options");
    if (!param->required && !param->preset) json_push(options, string(c, "")); /* else the first one is taken */
    for (size_t i = 0; i < param->choice_count; i++) json_push(options, string(c, param->choices[i]));
    if (param->preset) json_set(input, "default", param->preset);
}

static bool write_github(struct ci *c) {
    struct json *all = json_new_object(c->arena);
    json_set(all, "name", string(c, label_of(c)));
    struct json *inputs = put_object(c, put_object(c, put_object(c, all, "on"), "workflow_dispatch"), "inputs");
    put_object(c, all, "permissions");
    struct json *job = put_object(c, put_object(c, all, "jobs"), "stage");
    json_set(job, "name", string(c, label_of(c)));
    json_set(job, "runs-on", string(c, "ubuntu-latest"));
    struct json *step = push_object(c, put_array(c, job, "steps"));
    json_set(step, "name", string(c, label_of(c)));
    json_set(step, "id", string(c, "stage"));
    json_set(step, "shell", string(c, "sh"));
    struct json *env = put_object(c, step, "env");
    json_set(env, "STAGEDOOR_TOKEN", string(c, "${{ secrets.STAGEDOOR_TOKEN }}"));
    json_set(
        env, "STAGEDOOR_KEY",
        string(c, "github:${{ github.run_id }}:${{ github.run_attempt }}:${{ github.job }}:${{ strategy.job-index }}"));
    for (size_t i = 0; i < c->stage->param_count; i++) {
        const struct param *param = &c->stage->params[i];
        bool secret = is_secret(param);
        if (!secret) github_input(c, inputs, param);
        json_set(env, variable(c, i),
                 string(c, arena_printf(c->arena, "${{ %s.%s }}", secret ? "secrets" : "inputs",
                                        secret ? variable(c, i) : param->name)));
    }
    const struct ci_script script = {.key = "$STAGEDOOR_KEY",
                                     .user = "${GITHUB_ACTOR:-}",
                                     .pipeline = "${GITHUB_WORKFLOW:-}",
                                     .execution = "${GITHUB_RUN_ID:-}",
                                     .finish = "  [ -z \"${GITHUB_OUTPUT:-}\" ] || "
                                               "printf 'report=%s\\n' \"$(cat \"$report\")\" >> \"$GITHUB_OUTPUT\"\n"};
    json_set(step, "run", script_of(c, script, "", ""));
    if (json_size(inputs) > GITHUB_INPUTS_MAX)
        screen_say("export", "GitHub takes %d inputs at most, and there are %zu: take some out of it, with their P_…",
                   GITHUB_INPUTS_MAX, json_size(inputs));
    add_comments(c, "#", "github", "GitHub Actions",
                 "The secret STAGEDOOR_TOKEN is a caller's token. Later steps read "
                 "fromJSON(steps.stage.outputs.report).outputs.");
    return add_yaml(c, all);
}

/* ---- GitLab CI ---- */

/* Others' variables are put in place of $NAME in the values of variables. */
static bool write_gitlab(struct ci *c) {
    struct json *all = json_new_object(c->arena), *job = put_object(c, all, lower_name(c, '-'));
    struct json *image = put_object(c, job, "image");
    json_set(image, "name", string(c, IMAGE));
    json_push(put_array(c, image, "entrypoint"), string(c, ""));
    struct json *variables = put_object(c, job, "variables");
    json_set(variables, "GIT_STRATEGY", string(c, "none"));
    for (size_t i = 0; i < c->stage->param_count; i++)
        if (!is_secret(&c->stage->params[i])) json_set(variables, variable(c, i), string(c, ""));
    const struct ci_script script = {.key = "\"gitlab:$CI_JOB_ID\"",
                                     .user = "${GITLAB_USER_LOGIN:-}",
                                     .pipeline = "${CI_PROJECT_PATH:-}",
                                     .execution = "${CI_PIPELINE_URL:-}"};
    /* In a shell of its own: the runner has traps in the one that it is read by. */
    json_push(put_array(c, job, "script"), script_of(c, script, "(\n", ")\n"));
    struct json *artifacts = put_object(c, job, "artifacts");
    json_set(artifacts, "when", string(c, "always"));
    json_push(put_array(c, artifacts, "paths"), string(c, "stagedoor.json"));
    json_push(put_array(c, job, "after_script"),
              string(c, arena_printf(c->arena,
                                     "[ \"$CI_JOB_STATUS\" = success ] || printf 'header = \"Authorization: Bearer "
                                     "%%s\"\\n' \"${STAGEDOOR_TOKEN:-}\" | curl -sS -K - -X POST -H 'Content-Type: "
                                     "application/json' -d \"{\\\"key\\\":\\\"gitlab:$CI_JOB_ID\\\"}\" "
                                     "\"${STAGEDOOR_URL:-%s}/stages/%s/cancel\"",
                                     c->base_url, c->stage->name)));
    add_comments(
        c, "#", "gitlab", "GitLab CI",
        "The masked variable STAGEDOOR_TOKEN is a caller's token. Later jobs read stagedoor.json, the report.");
    return add_yaml(c, all);
}

/* ---- Argo Workflows ---- */

static void push_token(const struct ci *c, struct json *env, const char *name, const char *key) {
    struct json *token = push_object(c, env);
    json_set(token, "name", string(c, name));
    struct json *ref = put_object(c, put_object(c, token, "valueFrom"), "secretKeyRef");
    json_set(ref, "name", string(c, "stagedoor"));
    json_set(ref, "key", string(c, key));
    json_set(ref, "optional", json_new_bool(c->arena, true));
}

/* Kubernetes puts variables that stand above in place of $(NAME): so no secret stands above a parameter. */
static void push_variables(const struct ci *c, struct json *env, const char *before, const char *after) {
    push_pair(c, env, "STAGEDOOR_REPORT", "/tmp/stagedoor.json");
    for (size_t i = 0; i < c->stage->param_count; i++)
        if (!is_secret(&c->stage->params[i]))
            push_pair(c, env, variable(c, i),
                      arena_printf(c->arena, "%s%s%s", before, c->stage->params[i].name, after));
    push_token(c, env, "STAGEDOOR_TOKEN", "token");
    for (size_t i = 0; i < c->stage->param_count; i++)
        if (is_secret(&c->stage->params[i])) push_token(c, env, variable(c, i), c->stage->params[i].name);
}

static void push_argo_parameters(const struct ci *c, struct json *in, bool presets) {
    struct json *list = put_array(c, in, "parameters");
    for (size_t i = 0; i < c->stage->param_count; i++) {
        const struct param *param = &c->stage->params[i];
        if (is_secret(param)) continue;
        struct json *one = push_object(c, list);
        json_set(one, "name", string(c, param->name));
        if (presets) json_set(one, "description", string(c, describe(c, param)));
        if (presets && !param->required) json_set(one, "value", string(c, ""));
    }
}

static bool write_argo(struct ci *c) {
    struct json *all = json_new_object(c->arena);
    json_set(all, "apiVersion", string(c, "argoproj.io/v1alpha1"));
    json_set(all, "kind", string(c, "WorkflowTemplate"));
    json_set(put_object(c, all, "metadata"), "name", string(c, lower_name(c, '-')));
    struct json *spec = put_object(c, all, "spec");
    json_set(spec, "entrypoint", string(c, "stage"));
    push_argo_parameters(c, put_object(c, spec, "arguments"), true);
    struct json *template = push_object(c, put_array(c, spec, "templates"));
    json_set(template, "name", string(c, "stage"));
    push_argo_parameters(c, put_object(c, template, "inputs"), false);
    struct json *report = push_object(c, put_array(c, put_object(c, template, "outputs"), "parameters"));
    json_set(report, "name", string(c, "report"));
    json_set(put_object(c, report, "valueFrom"), "path", string(c, "/tmp/stagedoor.json"));
    struct json *script = put_object(c, template, "script");
    json_set(script, "image", string(c, IMAGE));
    json_push(put_array(c, script, "command"), string(c, "sh"));
    struct json *env = put_array(c, script, "env");
    push_pair(c, env, "STAGEDOOR_KEY", "argo:{{workflow.uid}}:{{pod.name}}");
    push_pair(c, env, "STAGEDOOR_PIPELINE", "{{workflow.name}}");
    push_variables(c, env, "{{inputs.parameters.", "}}");
    const struct ci_script shell = {.key = "$STAGEDOOR_KEY", .pipeline = "${STAGEDOOR_PIPELINE:-}"};
    json_set(script, "source", script_of(c, shell, "", ""));
    add_comments(c, "#", "argo", "Argo Workflows",
                 "The Kubernetes secret \"stagedoor\" has a caller's token under \"token\". The report is the output "
                 "parameter \"report\".");
    return add_yaml(c, all);
}

/* ---- Tekton ---- */

static bool write_tekton(struct ci *c) {
    struct json *all = json_new_object(c->arena);
    json_set(all, "apiVersion", string(c, "tekton.dev/v1"));
    json_set(all, "kind", string(c, "Task"));
    json_set(put_object(c, all, "metadata"), "name", string(c, lower_name(c, '-')));
    struct json *spec = put_object(c, all, "spec");
    json_set(spec, "description", string(c, label_of(c)));
    struct json *params = put_array(c, spec, "params");
    for (size_t i = 0; i < c->stage->param_count; i++) {
        const struct param *param = &c->stage->params[i];
        if (is_secret(param)) continue;
        struct json *one = push_object(c, params);
        json_set(one, "name", string(c, param->name));
        json_set(one, "type", string(c, "string"));
        json_set(one, "description", string(c, describe(c, param)));
        if (!param->required) json_set(one, "default", string(c, ""));
    }
    struct json *results = put_array(c, spec, "results");
    json_set(push_object(c, results), "name", string(c, "run"));
    json_set(push_object(c, results), "name", string(c, "status"));
    struct json *step = push_object(c, put_array(c, spec, "steps"));
    json_set(step, "name", string(c, "stage"));
    json_set(step, "image", string(c, IMAGE));
    struct json *env = put_array(c, step, "env");
    push_pair(c, env, "STAGEDOOR_KEY", "tekton:$(context.taskRun.uid):$(context.task.retry-count)");
    push_pair(c, env, "STAGEDOOR_PIPELINE", "$(context.taskRun.name)");
    push_pair(c, env, "STAGEDOOR_RUN", "$(results.run.path)");
    push_pair(c, env, "STAGEDOOR_STATUS", "$(results.status.path)");
    push_variables(c, env, "$(params.", ")");
    const struct ci_script shell = {.key = "$STAGEDOOR_KEY",
                                    .pipeline = "${STAGEDOOR_PIPELINE:-}",
                                    .finish = "  printf '%s' \"$id\" > \"$STAGEDOOR_RUN\"\n"
                                              "  printf '%s' \"$status\" > \"$STAGEDOOR_STATUS\"\n"};
    json_set(step, "script", script_of(c, shell, "#!/bin/sh\n", ""));
    add_comments(c, "#", "tekton", "Tekton",
                 "The Kubernetes secret \"stagedoor\" has a caller's token under \"token\". Results: run, its id, and "
                 "status.");
    return add_yaml(c, all);
}

/* ---- Jenkins ---- */

/* Inside of a text in single quotes. */
static void add_groovy(struct buf *out, const char *s) {
    for (; *s; s++) {
        if (*s == '\\' || *s == '\'') buf_addc(out, '\\');
        buf_addc(out, *s);
    }
}

/* Inside of one in three of them: they end it only side by side. */
static void add_groovy_lines(struct buf *out, const char *s) {
    for (; *s; s++) {
        if (*s == '\\' || (*s == '\'' && s[1] == '\'')) buf_addc(out, '\\');
        buf_addc(out, *s);
    }
}

static void jenkins_parameter(struct ci *c, const struct param *param) {
    bool choice = param->type == PARAM_CHOICE && param->choice_count;
    buf_addf(&c->out, "    %s(name: '%s', description: '",
             is_secret(param) ? "password"
             : choice         ? "choice"
                              : "string",
             param->name);
    add_groovy(&c->out, describe(c, param));
    buf_adds(&c->out, "'");
    if (choice) buf_addf(&c->out, ", choices: [%s", param->required ? "" : "''");
    for (size_t i = 0; choice && i < param->choice_count; i++) {
        buf_adds(&c->out, i || !param->required ? ", '" : "'");
        add_groovy(&c->out, param->choices[i]);
        buf_adds(&c->out, "'");
    }
    buf_adds(&c->out, choice ? "])\n" : ")\n");
}

/* What the shell gets: without being put into the script. withEnv puts variables in place of $NAME, and a $ of $$; a
 * parameter that the build was not started with is null. */
static void jenkins_environment(struct ci *c) {
    buf_adds(&c->out, "        withEnv([");
    for (size_t i = 0; i < c->stage->param_count; i++)
        buf_addf(&c->out, "%s\n            '%s=' + (params['%s'] ?: '').toString().replace('$', '$$')", i ? "," : "",
                 variable(c, i), c->stage->params[i].name);
    buf_adds(&c->out, "\n        ]) {\n");
}

static bool write_jenkins(struct ci *c) {
    const struct ci_script script = {.key = "\"jenkins:$BUILD_TAG:${STAGE_NAME:-}\"",
                                     .user = "${BUILD_USER_ID:-}",
                                     .pipeline = "${JOB_NAME:-}",
                                     .execution = "${BUILD_URL:-}"};
    add_comments(c, "//", "jenkins", "Jenkins",
                 "The credential stagedoor-token (secret text) is a caller's token. The report is archived as "
                 "stagedoor.json.");
    buf_adds(&c->out, "pipeline {\n  agent any\n");
    if (c->stage->param_count) buf_adds(&c->out, "  parameters {\n");
    for (size_t i = 0; i < c->stage->param_count; i++) jenkins_parameter(c, &c->stage->params[i]);
    if (c->stage->param_count) buf_adds(&c->out, "  }\n");
    buf_adds(&c->out, "  environment { STAGEDOOR_TOKEN = credentials('stagedoor-token') }\n  stages {\n    stage('");
    add_groovy(&c->out, label_of(c));
    buf_adds(&c->out, "') {\n      steps {\n");
    jenkins_environment(c);
    buf_adds(&c->out, "          sh '''\n");
    add_groovy_lines(&c->out, json_text(script_of(c, script, "", "")).at);
    buf_adds(&c->out,
             "'''\n        }\n      }\n"
             "      post { always { archiveArtifacts artifacts: 'stagedoor.json', allowEmptyArchive: true } }\n"
             "    }\n  }\n}\n");
    return !c->out.full;
}

/* ---- Azure Pipelines ---- */

static const char *azure_stage(const struct ci *c) {
    return arena_printf(c->arena, "azure-%s", c->stage->name);
}

/* They are sent all together, and an empty text is a value: so here the defaults are written down. */
static void azure_parameters(const struct ci *c, struct json *all) {
    struct json *list = put_array(c, all, "parameters");
    for (size_t i = 0; i < c->stage->param_count; i++) {
        const struct param *param = &c->stage->params[i];
        if (is_secret(param)) continue;
        struct json *one = push_object(c, list);
        json_set(one, "name", string(c, param->name));
        json_set(one, "displayName", string(c, describe(c, param)));
        json_set(one, "type", string(c, "string"));
        if (!param->required) json_set(one, "default", string(c, preset_of(c, param) ? preset_of(c, param) : ""));
    }
}

static bool write_azure(struct ci *c) {
    struct json *all = json_new_object(c->arena);
    if (c->stage->param_count) azure_parameters(c, all);
    struct json *job = push_object(c, put_array(c, all, "jobs"));
    json_set(job, "job", string(c, lower_name(c, '_')));
    json_set(job, "displayName", string(c, label_of(c)));
    json_set(job, "pool", string(c, "server"));
    struct json *step = push_object(c, put_array(c, job, "steps"));
    json_set(step, "task", string(c, "InvokeRESTAPI@1"));
    json_set(step, "displayName", string(c, label_of(c)));
    struct json *inputs = put_object(c, step, "inputs");
    json_set(inputs, "connectionType", string(c, "connectedServiceName"));
    json_set(inputs, "serviceConnection", string(c, "stagedoor"));
    json_set(inputs, "method", string(c, "POST"));
    json_set(inputs, "urlSuffix", string(c, arena_printf(c->arena, "/stages/%s", azure_stage(c))));
    json_set(inputs, "headers",
             string(c, "{\n  \"Content-Type\": \"application/json\",\n"
                       "  \"Authorization\": \"Bearer $(STAGEDOOR_TOKEN)\",\n"
                       "  \"Idempotency-Key\": \"azure:$(system.JobId):$(system.TaskInstanceId)\"\n}\n"));
    json_set(inputs, "body",
             string(c, arena_printf(c->arena,
                                    "{\"parameters\": {\n"
                                    "  \"collection\": \"$(system.CollectionUri)\",\n"
                                    "  \"project\": \"$(system.TeamProjectId)\",\n"
                                    "  \"hub\": \"$(system.HostType)\",\n"
                                    "  \"plan\": \"$(system.PlanId)\",\n"
                                    "  \"job\": \"$(system.JobId)\",\n"
                                    "  \"task\": \"$(system.TaskInstanceId)\",\n"
                                    "  \"token\": \"$(system.AccessToken)\",\n"
                                    "  \"parameters\": %s\n}}\n",
                                    c->stage->param_count ? "${{ convertToJson(parameters) }}" : "{}")));
    json_set(inputs, "waitForCompletion", string(c, "true"));
    add_comments(c, "#", "azure", "Azure Pipelines, without an agent",
                 "The service connection \"stagedoor\" (generic) has the gateway's URL, the secret variable "
                 "STAGEDOOR_TOKEN a caller's token.");
    buf_addf(&c->out, "# It is the stage %s that is started; `stagedoor export azure-stage %s` writes it.\n",
             azure_stage(c), c->stage->name);
    return add_yaml(c, all);
}

/* ---- the stage that tells Azure Pipelines ---- */

static const char azure_definition[] =
    "name        = \"%s\";\n"
    "label       = \"%s, for Azure Pipelines\";\n"
    "description = \"Starts %s at this gateway, and tells the pipeline how it ended.\";\n"
    "parameters = (\n"
    "  { name = \"collection\"; type = \"url\"; required = true; },\n"
    "  { name = \"project\"; required = true; }, { name = \"hub\"; required = true; },\n"
    "  { name = \"plan\"; required = true; }, { name = \"job\"; required = true; }, { name = \"task\"; required = "
    "true; },\n"
    "  { name = \"token\"; type = \"secret\"; required = true; },\n"
    "  { name = \"parameters\"; type = \"json\"; default = \"{}\"; }\n"
    ");\n"
    "steps = (\n"
    "  { name = \"start\"; method = \"POST\"; url = \"%s/stages/%s\"; idempotent = true;%s\n"
    "    body = \"{\\\"key\\\": {{ run.id }}, \\\"parameters\\\": {{ parameters.parameters }} }\";\n"
    "    expect = \"2xx,4xx\"; retry = { attempts = 20; }; },\n"
    "  { name = \"watch\"; url = \"%s/runs/{{ start.body.id }}\"; every = \"5s\"; timeout = \"365d\";%s\n"
    "    when = \"start.code < 300\";\n"
    "    value = \"$.status\"; success = [ \"SUCCEEDED\", \"TERMINAL\", \"CANCELED\" ]; running = [ \"RUNNING\" ];\n"
    "    progress = \"$.percent\"; message = \"$.progress\"; },\n"
    "  { name = \"tell\"; method = \"POST\"; idempotent = true; retry = { attempts = 20; };\n"
    "    url = \"https://dev.azure.com/{{ parameters.collection | replace('https://dev.azure.com/', '') | replace('/', "
    "'') }}\"\n"
    "          \"/{{ parameters.project }}/_apis/distributedtask/hubs/{{ parameters.hub }}/plans/{{ parameters.plan "
    "}}\"\n"
    "          \"/events?api-version=7.1\";\n"
    "    auth = { type = \"bearer\"; token = \"{{ parameters.token }}\"; };\n"
    "    body = \"{\\\"name\\\": \\\"TaskCompleted\\\", \\\"taskId\\\": {{ parameters.task }}, \\\"jobId\\\": {{ "
    "parameters.job }}, \"\n"
    "           \"\\\"result\\\": {{ 'succeeded' if watch is defined and watch.body.status == 'SUCCEEDED' else "
    "'failed' }} }\";\n"
    "    success_when  = \"watch is defined and watch.body.status == 'SUCCEEDED'\";\n"
    "    canceled_when = \"watch is defined and watch.body.status == 'CANCELED'\";\n"
    "    failure_when  = \"watch is not defined or watch.body.status == 'TERMINAL'\"; }\n"
    ");\n"
    "cancel = { method = \"POST\"; url = \"%s/stages/%s/cancel\"; body = \"{\\\"key\\\": {{ run.id }} }\";%s };\n"
    "outputs = { outputs = \"{{ watch.body.outputs if watch is defined else none }}\"; };\n";

static bool write_azure_stage(struct ci *c) {
    const char *auth = c->settings.callers[0]
                           ? " auth = { type = \"bearer\"; token = \"{{ secret.stagedoor_token }}\"; };"
                           : "";
    const char *name = c->stage->name, *base = c->base_url;
    struct buf label;
    buf_init(&label, OUTPUT_MAX);
    buf_add_json_inner(&label, text_of(label_of(c)));
    buf_addf(&c->out,
             "# A definition for stages.d. Written by `stagedoor export azure-stage %s`; `stagedoor export azure %s`\n"
             "# writes the pipeline that starts it.%s\n",
             name, name, auth[0] ? " The secret stagedoor_token is a token of a caller that may start it." : "");
    buf_addf(&c->out, azure_definition, azure_stage(c), buf_cstr(&label), name, base, name, auth, base, auth, base,
             name, auth);
    buf_fini(&label);
    return !c->out.full;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    bool (*write)(struct ci *c);
} kinds[] = {
    {"jenkins", write_jenkins}, {"gitlab", write_gitlab}, {"github", write_github},          {"argo", write_argo},
    {"tekton", write_tekton},   {"azure", write_azure},   {"azure-stage", write_azure_stage}};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

static bool find_stage(struct ci *c, const struct export_options *given, const char *name, struct fault *fault) {
    struct stage_context context;
    if (!local_context(&c->settings, &given->local, &context, fault)) return false;
    c->catalog = catalog_load(c->settings.stages, &context, NULL, 0, fault);
    if (!c->catalog) return false;
    const struct catalog_entry *entry = catalog_find(c->catalog, text_of(name));
    const char *near = entry ? NULL : catalog_nearest(c->catalog, text_of(name));
    if (!entry)
        return fault_set(fault, FAULT_NOT_FOUND, c->settings.stages, "there is no stage \"%s\"%s%s%s", name,
                         near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    if (entry->fault_count) *fault = entry->faults[0];
    else if (!entry->stage)
        fault_set(fault, FAULT_INVALID, entry->file, "%s; --any-secret takes it all the same", entry->disabled);
    c->stage = entry->stage;
    return !entry->fault_count && entry->stage;
}

static int run(struct ci *c, const struct export_options *given, size_t kind, const char *stage) {
    struct fault fault;
    struct url url;
    if (!local_settings(c->arena, "export", &given->local, &c->settings)) return EXIT_USAGE;
    if (!export_base_url(c->arena, &c->settings, &c->base_url, &url, &fault) || !find_stage(c, given, stage, &fault)) {
        screen_fault("export", &fault);
        return EXIT_USAGE;
    }
    if (!kinds[kind].write(c)) {
        screen_say("export", "what would be written is larger than %d MiB", OUTPUT_MAX >> 20);
        return EXIT_FAILED;
    }
    fwrite(buf_cstr(&c->out), 1, c->out.len, stdout);
    return EXIT_DONE;
}

bool export_ci_knows(const char *kind) {
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].name, kind) == 0) return true;
    return false;
}

int export_ci(const struct export_options *given, const char *kind, const char *stage) {
    if (given->only || given->type_prefix || given->generic || given->token_env || given->token_file || given->check ||
        given->no_token || given->before_2026_1 || given->json)
        return args_wrong("export", "%s takes a stage, and of the options only those that say where things are", kind);
    if (!stage) return args_wrong("export", "%s needs the name of a stage", kind);
    struct ci c = {.arena = arena_new()};
    int status = EXIT_USAGE;
    buf_init(&c.out, OUTPUT_MAX);
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].name, kind) == 0) status = run(&c, given, i, stage);
    buf_fini(&c.out);
    catalog_unref(c.catalog);
    arena_free(c.arena);
    return status;
}
