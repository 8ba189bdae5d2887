/* `stagedoor export jenkins`: a declarative pipeline that starts a stage.
 *
 * Parameters reach the script through its environment and never as a part of its text, so that what somebody types into
 * a form is not run. */
#include "cli/ci.h"

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
             ci_is_secret(param) ? "password"
             : choice            ? "choice"
                                 : "string",
             param->name);
    add_groovy(&c->out, ci_describe(c, param));
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
                 ci_variable(c, i), c->stage->params[i].name);
    buf_adds(&c->out, "\n        ]) {\n");
}

bool ci_jenkins_write(struct ci *c) {
    const struct ci_script script = {.key = "\"jenkins:$BUILD_TAG:${STAGE_NAME:-}\"",
                                     .user = "${BUILD_USER_ID:-}",
                                     .pipeline = "${JOB_NAME:-}",
                                     .execution = "${BUILD_URL:-}"};
    ci_add_comments(c, "//", "jenkins", "Jenkins",
                    "The credential stagedoor-token (secret text) is a caller's token. The report is archived as "
                    "stagedoor.json.");
    buf_adds(&c->out, "pipeline {\n  agent any\n");
    if (c->stage->param_count) buf_adds(&c->out, "  parameters {\n");
    for (size_t i = 0; i < c->stage->param_count; i++) jenkins_parameter(c, &c->stage->params[i]);
    if (c->stage->param_count) buf_adds(&c->out, "  }\n");
    buf_adds(&c->out, "  environment { STAGEDOOR_TOKEN = credentials('stagedoor-token') }\n  stages {\n    stage('");
    add_groovy(&c->out, ci_label(c));
    buf_adds(&c->out, "') {\n      steps {\n");
    jenkins_environment(c);
    buf_adds(&c->out, "          sh '''\n");
    add_groovy_lines(&c->out, json_text(ci_shell(c, script, "", "")).at);
    buf_adds(&c->out,
             "'''\n        }\n      }\n"
             "      post { always { archiveArtifacts artifacts: 'stagedoor.json', allowEmptyArchive: true } }\n"
             "    }\n  }\n}\n");
    return !c->out.full;
}
