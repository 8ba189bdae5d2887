/* `stagedoor export github|gitlab`: a workflow of GitHub Actions and a job of GitLab CI that start a stage.
 *
 * Both have the script as a step, parameters and the token as variables of its environment, and a key that a restarted
 * job does not share. */
#include "cli/ci.h"
#include "cli/screen.h"

#define GITHUB_INPUTS_MAX 25 /* of workflow_dispatch */

/* ---- GitHub Actions ---- */

static void github_input(const struct ci *c, struct json *inputs, const struct param *param) {
    struct json *input = ci_put_object(c, inputs, param->name);
    bool choice = param->type == PARAM_CHOICE && param->choice_count;
    json_set(input, "description", ci_string(c, ci_describe(c, param)));
    json_set(input, "required", json_new_bool(c->arena, param->required));
    json_set(input, "type", ci_string(c, choice ? "choice" : "string"));
    if (!choice) return;
    struct json *options = ci_put_array(c, input, "options");
    if (!param->required && !param->preset) json_push(options, ci_string(c, "")); /* else the first one is taken */
    for (size_t i = 0; i < param->choice_count; i++) json_push(options, ci_string(c, param->choices[i]));
    if (param->preset) json_set(input, "default", param->preset);
}

bool ci_hosts_github(struct ci *c) {
    struct json *all = json_new_object(c->arena);
    json_set(all, "name", ci_string(c, ci_label(c)));
    struct json *inputs = ci_put_object(c, ci_put_object(c, ci_put_object(c, all, "on"), "workflow_dispatch"),
                                        "inputs");
    ci_put_object(c, all, "permissions");
    struct json *job = ci_put_object(c, ci_put_object(c, all, "jobs"), "stage");
    json_set(job, "name", ci_string(c, ci_label(c)));
    json_set(job, "runs-on", ci_string(c, "ubuntu-latest"));
    struct json *step = ci_push_object(c, ci_put_array(c, job, "steps"));
    json_set(step, "name", ci_string(c, ci_label(c)));
    json_set(step, "id", ci_string(c, "stage"));
    json_set(step, "shell", ci_string(c, "sh"));
    struct json *env = ci_put_object(c, step, "env");
    json_set(env, "STAGEDOOR_TOKEN", ci_string(c, "${{ secrets.STAGEDOOR_TOKEN }}"));
    json_set(
        env, "STAGEDOOR_KEY",
        ci_string(c,
                  "github:${{ github.run_id }}:${{ github.run_attempt }}:${{ github.job }}:${{ strategy.job-index }}"));
    for (size_t i = 0; i < c->stage->param_count; i++) {
        const struct param *param = &c->stage->params[i];
        bool secret = ci_is_secret(param);
        if (!secret) github_input(c, inputs, param);
        json_set(env, ci_variable(c, i),
                 ci_string(c, arena_printf(c->arena, "${{ %s.%s }}", secret ? "secrets" : "inputs",
                                           secret ? ci_variable(c, i) : param->name)));
    }
    const struct ci_script script = {.key = "$STAGEDOOR_KEY",
                                     .user = "${GITHUB_ACTOR:-}",
                                     .pipeline = "${GITHUB_WORKFLOW:-}",
                                     .execution = "${GITHUB_RUN_ID:-}",
                                     .finish = "  [ -z \"${GITHUB_OUTPUT:-}\" ] || "
                                               "printf 'report=%s\\n' \"$(cat \"$report\")\" >> \"$GITHUB_OUTPUT\"\n"};
    json_set(step, "run", ci_shell(c, script, "", ""));
    if (json_size(inputs) > GITHUB_INPUTS_MAX)
        screen_say("export", "GitHub takes %d inputs at most, and there are %zu: take some out of it, with their P_…",
                   GITHUB_INPUTS_MAX, json_size(inputs));
    ci_add_comments(c, "#", "github", "GitHub Actions",
                    "The secret STAGEDOOR_TOKEN is a caller's token. Later steps read "
                    "fromJSON(steps.stage.outputs.report).outputs.");
    return ci_add_yaml(c, all);
}

/* ---- GitLab CI ---- */

/* Others' variables are put in place of $NAME in the values of variables. */
bool ci_hosts_gitlab(struct ci *c) {
    struct json *all = json_new_object(c->arena), *job = ci_put_object(c, all, ci_lower_name(c, '-'));
    struct json *image = ci_put_object(c, job, "image");
    json_set(image, "name", ci_string(c, CI_IMAGE));
    json_push(ci_put_array(c, image, "entrypoint"), ci_string(c, ""));
    struct json *variables = ci_put_object(c, job, "variables");
    json_set(variables, "GIT_STRATEGY", ci_string(c, "none"));
    for (size_t i = 0; i < c->stage->param_count; i++)
        if (!ci_is_secret(&c->stage->params[i])) json_set(variables, ci_variable(c, i), ci_string(c, ""));
    const struct ci_script script = {.key = "\"gitlab:$CI_JOB_ID\"",
                                     .user = "${GITLAB_USER_LOGIN:-}",
                                     .pipeline = "${CI_PROJECT_PATH:-}",
                                     .execution = "${CI_PIPELINE_URL:-}"};
    /* In a shell of its own: the runner has traps in the one that it is read by. */
    json_push(ci_put_array(c, job, "script"), ci_shell(c, script, "(\n", ")\n"));
    struct json *artifacts = ci_put_object(c, job, "artifacts");
    json_set(artifacts, "when", ci_string(c, "always"));
    json_push(ci_put_array(c, artifacts, "paths"), ci_string(c, "stagedoor.json"));
    json_push(ci_put_array(c, job, "after_script"),
              ci_string(c, arena_printf(c->arena,
                                        "[ \"$CI_JOB_STATUS\" = success ] || printf 'header = \"Authorization: Bearer "
                                        "%%s\"\\n' \"${STAGEDOOR_TOKEN:-}\" | curl -sS -K - -X POST -H 'Content-Type: "
                                        "application/json' -d \"{\\\"key\\\":\\\"gitlab:$CI_JOB_ID\\\"}\" "
                                        "\"${STAGEDOOR_URL:-%s}/stages/%s/cancel\"",
                                        c->base_url, c->stage->name)));
    ci_add_comments(
        c, "#", "gitlab", "GitLab CI",
        "The masked variable STAGEDOOR_TOKEN is a caller's token. Later jobs read stagedoor.json, the report.");
    return ci_add_yaml(c, all);
}
