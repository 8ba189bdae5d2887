/* `stagedoor export azure|azure-stage`: a job of Azure Pipelines that waits without an agent, and the stage that tells
 * it.
 *
 * Invoke REST API starts the second stage, which starts the first at this same gateway, watches it, and calls Azure
 * back however it ended. */
#include "cli/ci.h"

/* ---- Azure Pipelines ---- */

static const char *azure_stage(const struct ci *c) {
    return arena_printf(c->arena, "azure-%s", c->stage->name);
}

/* They are sent all together, and an empty text is a value: so here the defaults are written down. */
static void azure_parameters(const struct ci *c, struct json *all) {
    struct json *list = ci_put_array(c, all, "parameters");
    for (size_t i = 0; i < c->stage->param_count; i++) {
        const struct param *param = &c->stage->params[i];
        if (ci_is_secret(param)) continue;
        struct json *one = ci_push_object(c, list);
        json_set(one, "name", ci_string(c, param->name));
        json_set(one, "displayName", ci_string(c, ci_describe(c, param)));
        json_set(one, "type", ci_string(c, "string"));
        if (!param->required) json_set(one, "default", ci_string(c, ci_preset(c, param) ? ci_preset(c, param) : ""));
    }
}

bool ci_azure_pipeline(struct ci *c) {
    struct json *all = json_new_object(c->arena);
    if (c->stage->param_count) azure_parameters(c, all);
    struct json *job = ci_push_object(c, ci_put_array(c, all, "jobs"));
    json_set(job, "job", ci_string(c, ci_lower_name(c, '_')));
    json_set(job, "displayName", ci_string(c, ci_label(c)));
    json_set(job, "pool", ci_string(c, "server"));
    struct json *step = ci_push_object(c, ci_put_array(c, job, "steps"));
    json_set(step, "task", ci_string(c, "InvokeRESTAPI@1"));
    json_set(step, "displayName", ci_string(c, ci_label(c)));
    struct json *inputs = ci_put_object(c, step, "inputs");
    json_set(inputs, "connectionType", ci_string(c, "connectedServiceName"));
    json_set(inputs, "serviceConnection", ci_string(c, "stagedoor"));
    json_set(inputs, "method", ci_string(c, "POST"));
    json_set(inputs, "urlSuffix", ci_string(c, arena_printf(c->arena, "/stages/%s", azure_stage(c))));
    json_set(inputs, "headers",
             ci_string(c, "{\n  \"Content-Type\": \"application/json\",\n"
                          "  \"Authorization\": \"Bearer $(STAGEDOOR_TOKEN)\",\n"
                          "  \"Idempotency-Key\": \"azure:$(system.JobId):$(system.TaskInstanceId)\"\n}\n"));
    json_set(inputs, "body",
             ci_string(c, arena_printf(c->arena,
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
    json_set(inputs, "waitForCompletion", ci_string(c, "true"));
    ci_add_comments(c, "#", "azure", "Azure Pipelines, without an agent",
                    "The service connection \"stagedoor\" (generic) has the gateway's URL, the secret variable "
                    "STAGEDOOR_TOKEN a caller's token.");
    buf_addf(&c->out, "# It is the stage %s that is started; `stagedoor export azure-stage %s` writes it.\n",
             azure_stage(c), c->stage->name);
    return ci_add_yaml(c, all);
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

bool ci_azure_definition(struct ci *c) {
    const char *auth = c->settings.callers[0]
                           ? " auth = { type = \"bearer\"; token = \"{{ secret.stagedoor_token }}\"; };"
                           : "";
    const char *name = c->stage->name, *base = c->base_url;
    struct buf label;
    buf_init(&label, CI_OUTPUT_MAX);
    buf_add_json_inner(&label, text_of(ci_label(c)));
    buf_addf(&c->out,
             "# A definition for stages.d. Written by `stagedoor export azure-stage %s`; `stagedoor export azure %s`\n"
             "# writes the pipeline that starts it.%s\n",
             name, name, auth[0] ? " The secret stagedoor_token is a token of a caller that may start it." : "");
    buf_addf(&c->out, azure_definition, azure_stage(c), buf_cstr(&label), name, base, name, auth, base, auth, base,
             name, auth);
    buf_fini(&label);
    return !c->out.full;
}
