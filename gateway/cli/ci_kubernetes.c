/* `stagedoor export argo|tekton`: a WorkflowTemplate of Argo and a Task of Tekton that start a stage.
 *
 * Both run the script in a container, and take the token and secret parameters from the Kubernetes secret "stagedoor".
 * Kubernetes puts a variable in place of $(NAME) in those below it, so what is secret comes last. */
#include "cli/ci.h"

/* {"name": …, "value": …}, as Kubernetes writes lists of pairs. */
static void push_pair(const struct ci *c, struct json *in, const char *name, const char *value) {
    struct json *made = ci_push_object(c, in);
    json_set(made, "name", ci_string(c, name));
    json_set(made, "value", ci_string(c, value));
}

/* A resource of that kind, named as the stage; its spec. */
static struct json *begin_resource(const struct ci *c, struct json *all, const char *api, const char *kind) {
    json_set(all, "apiVersion", ci_string(c, api));
    json_set(all, "kind", ci_string(c, kind));
    json_set(ci_put_object(c, all, "metadata"), "name", ci_string(c, ci_lower_name(c, '-')));
    return ci_put_object(c, all, "spec");
}

/* The parameters that are not secret: their names, `type` where it is said, and where they are declared, which is where
 * `preset` says what a default is called, their descriptions and defaults. */
static void push_parameters(const struct ci *c, struct json *list, const char *type, const char *preset) {
    for (size_t i = 0; i < c->stage->param_count; i++) {
        const struct param *param = &c->stage->params[i];
        if (ci_is_secret(param)) continue;
        struct json *one = ci_push_object(c, list);
        json_set(one, "name", ci_string(c, param->name));
        if (type) json_set(one, "type", ci_string(c, type));
        if (preset) json_set(one, "description", ci_string(c, ci_describe(c, param)));
        if (preset && !param->required) json_set(one, preset, ci_string(c, ""));
    }
}

/* ---- Argo Workflows ---- */

static void push_token(const struct ci *c, struct json *env, const char *name, const char *key) {
    struct json *token = ci_push_object(c, env);
    json_set(token, "name", ci_string(c, name));
    struct json *ref = ci_put_object(c, ci_put_object(c, token, "valueFrom"), "secretKeyRef");
    json_set(ref, "name", ci_string(c, "stagedoor"));
    json_set(ref, "key", ci_string(c, key));
    json_set(ref, "optional", json_new_bool(c->arena, true));
}

/* Kubernetes puts variables that stand above in place of $(NAME): so no secret stands above a parameter. */
static void push_variables(const struct ci *c, struct json *env, const char *before, const char *after) {
    push_pair(c, env, "STAGEDOOR_REPORT", "/tmp/stagedoor.json");
    for (size_t i = 0; i < c->stage->param_count; i++)
        if (!ci_is_secret(&c->stage->params[i]))
            push_pair(c, env, ci_variable(c, i),
                      arena_printf(c->arena, "%s%s%s", before, c->stage->params[i].name, after));
    push_token(c, env, "STAGEDOOR_TOKEN", "token");
    for (size_t i = 0; i < c->stage->param_count; i++)
        if (ci_is_secret(&c->stage->params[i])) push_token(c, env, ci_variable(c, i), c->stage->params[i].name);
}

bool ci_kubernetes_argo(struct ci *c) {
    struct json *all = json_new_object(c->arena);
    struct json *spec = begin_resource(c, all, "argoproj.io/v1alpha1", "WorkflowTemplate");
    json_set(spec, "entrypoint", ci_string(c, "stage"));
    push_parameters(c, ci_put_array(c, ci_put_object(c, spec, "arguments"), "parameters"), NULL, "value");
    struct json *template = ci_push_object(c, ci_put_array(c, spec, "templates"));
    json_set(template, "name", ci_string(c, "stage"));
    push_parameters(c, ci_put_array(c, ci_put_object(c, template, "inputs"), "parameters"), NULL, NULL);
    struct json *report = ci_push_object(c, ci_put_array(c, ci_put_object(c, template, "outputs"), "parameters"));
    json_set(report, "name", ci_string(c, "report"));
    json_set(ci_put_object(c, report, "valueFrom"), "path", ci_string(c, "/tmp/stagedoor.json"));
    struct json *script = ci_put_object(c, template, "script");
    json_set(script, "image", ci_string(c, CI_IMAGE));
    json_push(ci_put_array(c, script, "command"), ci_string(c, "sh"));
    struct json *env = ci_put_array(c, script, "env");
    push_pair(c, env, "STAGEDOOR_KEY", "argo:{{workflow.uid}}:{{pod.name}}");
    push_pair(c, env, "STAGEDOOR_PIPELINE", "{{workflow.name}}");
    push_variables(c, env, "{{inputs.parameters.", "}}");
    const struct ci_script shell = {.key = "$STAGEDOOR_KEY", .pipeline = "${STAGEDOOR_PIPELINE:-}"};
    json_set(script, "source", ci_shell(c, shell, "", ""));
    ci_add_comments(
        c, "#", "argo", "Argo Workflows",
        "The Kubernetes secret \"stagedoor\" has a caller's token under \"token\". The report is the output "
        "parameter \"report\".");
    return ci_add_yaml(c, all);
}

/* ---- Tekton ---- */

bool ci_kubernetes_tekton(struct ci *c) {
    struct json *all = json_new_object(c->arena);
    struct json *spec = begin_resource(c, all, "tekton.dev/v1", "Task");
    json_set(spec, "description", ci_string(c, ci_label(c)));
    push_parameters(c, ci_put_array(c, spec, "params"), "string", "default");
    struct json *results = ci_put_array(c, spec, "results");
    json_set(ci_push_object(c, results), "name", ci_string(c, "run"));
    json_set(ci_push_object(c, results), "name", ci_string(c, "status"));
    struct json *step = ci_push_object(c, ci_put_array(c, spec, "steps"));
    json_set(step, "name", ci_string(c, "stage"));
    json_set(step, "image", ci_string(c, CI_IMAGE));
    struct json *env = ci_put_array(c, step, "env");
    push_pair(c, env, "STAGEDOOR_KEY", "tekton:$(context.taskRun.uid):$(context.task.retry-count)");
    push_pair(c, env, "STAGEDOOR_PIPELINE", "$(context.taskRun.name)");
    push_pair(c, env, "STAGEDOOR_RUN", "$(results.run.path)");
    push_pair(c, env, "STAGEDOOR_STATUS", "$(results.status.path)");
    push_variables(c, env, "$(params.", ")");
    const struct ci_script shell = {.key = "$STAGEDOOR_KEY",
                                    .pipeline = "${STAGEDOOR_PIPELINE:-}",
                                    .finish = "  printf '%s' \"$id\" > \"$STAGEDOOR_RUN\"\n"
                                              "  printf '%s' \"$status\" > \"$STAGEDOOR_STATUS\"\n"};
    json_set(step, "script", ci_shell(c, shell, "#!/bin/sh\n", ""));
    ci_add_comments(
        c, "#", "tekton", "Tekton",
        "The Kubernetes secret \"stagedoor\" has a caller's token under \"token\". Results: run, its id, and "
        "status.");
    return ci_add_yaml(c, all);
}
