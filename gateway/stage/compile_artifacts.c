/* Compiles `artifacts`: what a run makes, named as Spinnaker names it.
 *
 * The list form says for each artifact where its members come from; the short form is the place where the reply has a
 * list in Spinnaker's own form. Members are compiled as outputs are, and may be plain text as well. */
#include <string.h>

#include "stage/compile.h"

#define ARTIFACTS_MAX 100

/* As Spinnaker's Artifact has it. */
static const char *spelled(const char *name) {
    return strcmp(name, "account") == 0 ? "artifactAccount" : name;
}

static bool read_value(struct compile *c, const struct conf *at, const char *name, struct stage_output *ret) {
    *ret = (struct stage_output){.name = name};
    if (at->kind != CONF_STRING) return false;
    if (text_starts(at->string, "$")) ret->path = compile_path(c, at);
    else ret->expression = compile_template(c, at, PLACE_TEXT);
    return ret->path || ret->expression;
}

static void read_list(struct compile *c, const struct conf *at, struct stage_artifacts *artifacts) {
    if (!text_starts(at->string, "$") && !text_holds(at->string, "{{")) {
        compile_fault(c, at, FAULT_INVALID,
                      "artifacts is neither a JSONPath (\"$.…\") nor a template (\"{{ … }}\"), nor a list of groups");
        return;
    }
    struct stage_output *list = arena_new_of(c->arena, struct stage_output);
    if (read_value(c, at, at->name, list)) artifacts->list = list;
}

static void read_artifact(struct compile *c, const struct conf *group, struct stage_artifact *artifact) {
    struct field_place place = {&fields_artifact, NULL};
    struct stage_output *members = arena_array_of(c->arena, struct stage_output, group->count + 1);
    fields_read(c, group, "artifacts", &place, 1);
    if (!conf_find(group, "type"))
        compile_fault(c, group, FAULT_INVALID, "an artifact needs a type, such as \"docker/image\"");
    if (!conf_find(group, "name") && !conf_find(group, "reference"))
        compile_fault(c, group, FAULT_INVALID, "an artifact needs a name or a reference");
    for (size_t i = 0; i < group->count; i++)
        artifact->count += read_value(c, &group->items[i], spelled(group->items[i].name), &members[artifact->count]);
    artifact->members = members;
}

void compile_artifacts(struct compile *c, const struct conf *at, struct stage_artifacts *artifacts) {
    if (!at || !fields_type_fits(at, FIELD_ARTIFACTS)) return;
    c->scope.secrets = false;
    c->scope.reply = true;
    if (at->kind == CONF_STRING) {
        read_list(c, at, artifacts);
        return;
    }
    if (at->count > ARTIFACTS_MAX) {
        compile_fault(c, at, FAULT_INVALID, "%zu artifacts; %d are possible", at->count, ARTIFACTS_MAX);
        return;
    }
    struct stage_artifact *items = arena_array_of(c->arena, struct stage_artifact, at->count + 1);
    for (size_t i = 0; i < at->count; i++) read_artifact(c, &at->items[i], &items[i]);
    artifacts->items = items;
    artifacts->count = at->count;
}
