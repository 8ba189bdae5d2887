/* `stagedoor export jenkins|gitlab|github|argo|tekton|azure|azure-stage STAGE`: one stage for callers other than
 * Spinnaker.
 *
 * The first five run one shell script (cli/ci_script) and differ in how parameters, the token and the key come to it.
 * Defaults are not written down: a parameter that is left empty takes that of the definition, also when it changes
 * later. Azure Pipelines can wait for a callback without an agent; it is told by a stage of its own, which starts the
 * stage at this same gateway, watches it, and reports however it ended. */
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/ci.h"
#include "cli/command.h"
#include "cli/export.h"
#include "cli/screen.h"

static const struct {
    const char *name;
    bool (*write)(struct ci *c);
} kinds[] = {{"jenkins", ci_jenkins_write},       {"gitlab", ci_hosts_gitlab},      {"github", ci_hosts_github},
             {"argo", ci_kubernetes_argo},        {"tekton", ci_kubernetes_tekton}, {"azure", ci_azure_pipeline},
             {"azure-stage", ci_azure_definition}};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

static bool find_stage(struct ci *c, const struct export_options *given, const char *name, struct fault *fault) {
    struct stage_context context;
    if (!local_context(&c->settings, &given->local, &context, fault)) return false;
    c->catalog = catalog_load(c->settings.stages, &context, NULL, 0, fault);
    if (!c->catalog) return false;
    const struct catalog_entry *entry = catalog_find(c->catalog, name);
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
        screen_say("export", "what would be written is larger than %d MiB", CI_OUTPUT_MAX >> 20);
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
    buf_init(&c.out, CI_OUTPUT_MAX);
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].name, kind) == 0) status = run(&c, given, i, stage);
    buf_fini(&c.out);
    catalog_unref(c.catalog);
    arena_free(c.arena);
    return status;
}
