/* What operators may change: read, told, and handed to the workers.
 *
 * At the start a part that cannot be read ends the process; later it is logged, and what was in force stays. Runs pin
 * their definitions: those that came back after a restart may have begun with one that no file has any more, which is
 * compiled from the store. */
#include "cli/sources.h"

#include <string.h>

#include "back/secrets.h"
#include "base/count.h"
#include "base/log.h"
#include "cli/reach.h"

static void log_faults(const char *event, const struct faults *faults) {
    for (size_t i = 0; i < faults->count; i++) log_fault(LOG_ERROR, event, NULL, &faults->items[i]);
}

bool sources_read_settings(struct arena *arena, const struct settings_input *input, struct settings *ret_settings,
                           struct faults *faults) {
    if (!settings_load(arena, input, ret_settings, faults)) return false;
    size_t n = strlen(ret_settings->public_url);
    if (n && ret_settings->public_url[n - 1] == '/')
        ret_settings->public_url = arena_strndup(arena, ret_settings->public_url, n - 1);
    return true;
}

/* ---- limits ---- */

/* Those of the newest definitions hold for all runs of a stage, also for those that began with another. */
static void tune_stages(struct server *server) {
    for (size_t i = 0; server->gate && i < server->catalog->count; i++) {
        const struct stage *stage = server->catalog->entries[i].stage;
        if (stage)
            gate_tune_stage(server->gate, stage->name, stage->limits, stage->call_limits, loop_mono_ms(server->loop));
    }
}

static void tune_hosts(struct server *server) {
    const struct settings_upstreams *upstreams = &server->settings->upstreams;
    gate_tune_hosts(server->gate, upstreams->items, upstreams->count, loop_mono_ms(server->loop));
}

void sources_tune(struct server *server) {
    tune_stages(server);
    tune_hosts(server);
}

/* ---- definitions ---- */

static struct stage_context context_of(const struct server *server) {
    return (struct stage_context){.templates = server->settings->templates,
                                  .secret_known = secrets_known,
                                  .self_test = server->self_test,
                                  .no_callbacks = !server->callback_url[0]};
}

size_t sources_count(const struct server *server) {
    size_t count = 0;
    for (size_t i = 0; i < server->catalog->count; i++) count += !server->catalog->entries[i].built_in;
    return count;
}

static void tell_entries(const struct server *server) {
    const struct catalog *catalog = server->catalog;
    size_t broken = 0, disabled = 0;
    for (size_t i = 0; i < catalog->count; i++) {
        const struct catalog_entry *entry = &catalog->entries[i];
        if (entry->built_in && !entry->fault_count) continue; /* nobody's news */
        struct log_context ctx = {.stage = entry->name};
        for (size_t j = 0; j < entry->fault_count; j++)
            log_fault(LOG_ERROR, "definition_broken", &ctx, &entry->faults[j]);
        for (size_t j = 0; entry->stage && j < entry->stage->warning_count; j++)
            log_fault(LOG_WARN, "definition_warning", &ctx, &entry->stage->warnings[j]);
        if (entry->disabled) log_put(LOG_INFO, "definition_disabled", &ctx, LOG_STR("why", entry->disabled));
        broken += entry->fault_count > 0;
        disabled += entry->disabled != NULL;
        if (catalog_find(catalog, entry->name) == entry) /* the one that counts, of those of one name */
            count_set_labelled(COUNT_FAMILY_STAGE_STATE, entry->name, NULL, entry->fault_count > 0);
    }
    log_put(LOG_INFO, "definitions_read", NULL, LOG_INT("stages", sources_count(server)), LOG_INT("broken", broken),
            LOG_INT("disabled", disabled));
}

bool sources_read_catalog(struct server *server, struct fault *fault) {
    struct stage_context context = context_of(server);
    struct catalog *catalog = catalog_load(server->settings->stages, &context, server->catalog,
                                           loop_wall_ms(server->loop), fault);
    if (!catalog) return false;
    count_add(COUNT_RELOADS, 1);
    catalog_unref(server->catalog);
    server->catalog = catalog;
    tell_entries(server);
    tune_stages(server);
    for (unsigned i = 0; i < server->engines.count; i++) worker_offer(&server->workers[i], catalog);
    return true;
}

void sources_reload_catalog(void *arg) {
    struct server *server = arg;
    struct fault fault;
    if (!sources_read_catalog(server, &fault)) log_fault(LOG_ERROR, "definitions_not_read", NULL, &fault);
}

/* ---- callers and certificates ---- */

bool sources_read_callers(struct server *server, struct faults *faults) {
    if (!server->settings->callers[0]) return true;
    struct callers *callers = callers_load(server->settings->callers, faults);
    if (!callers) return false;
    callers_unref(server->callers);
    server->callers = callers;
    for (unsigned i = 0; i < server->engines.count; i++) worker_admit(&server->workers[i], callers);
    return true;
}

bool sources_read_certificates(struct server *server, struct tls_context **ret_tls, struct fault *fault) {
    const struct settings *settings = server->settings;
    *ret_tls = NULL;
    if (!settings->tls_certificate[0]) return true;
    const char *key = settings->tls_key[0] ? settings->tls_key : settings->tls_certificate;
    *ret_tls = tls_context_new(settings->tls_certificate, key,
                               settings->tls_client_ca[0] ? settings->tls_client_ca : NULL, fault);
    return *ret_tls != NULL;
}

static void renew_certificates(struct server *server) {
    struct tls_context *tls;
    struct fault fault;
    if (!sources_read_certificates(server, &tls, &fault)) {
        log_fault(LOG_ERROR, "certificate_not_read", NULL, &fault);
        return;
    }
    if (!tls) return;
    int *holders = mem_alloc(sizeof *holders);
    *holders = (int)server->engines.count;
    for (unsigned i = 0; i < server->engines.count; i++) worker_renew_tls(&server->workers[i], tls, holders);
    log_put(LOG_INFO, "certificate_read", NULL, LOG_STR("file", server->settings->tls_certificate));
}

bool sources_read_secrets(const struct server *server, struct fault *fault) {
    return secrets_load(server->settings->secrets[0] ? server->settings->secrets : NULL, fault);
}

static void tell_difference(void *arg, const char *name, bool reload) {
    (void)arg;
    if (reload) log_put(LOG_INFO, "option_changed", NULL, LOG_STR("option", name));
    else log_put(LOG_WARN, "option_needs_restart", NULL, LOG_STR("option", name));
}

static void set_log_level(const struct settings *settings) {
    enum log_level least = LOG_INFO;
    log_level_parse(text_of(settings->log_level), &least);
    log_set_least(least);
}

/* What would be in force must not open an address that was guarded. */
static bool check_taken(const struct server *server, const struct settings *next, struct faults *faults) {
    struct settings taken = *next;
    struct fault fault;
    settings_keep_fixed(server->settings, &taken);
    if (reach_check(&taken, &fault)) return true;
    faults_add(faults, &fault);
    return false;
}

/* Only what may change without a restart is taken over; the rest stays as it was, and the log says so. The settings
 * live as long as the process, since loops may still read the old ones: a few kilobytes a SIGHUP. */
static void read_settings(struct server *server) {
    struct settings *next = arena_new_of(server->arena, struct settings);
    struct faults faults;
    faults_init(&faults);
    if (!sources_read_settings(server->arena, &server->input, next, &faults) || !check_taken(server, next, &faults)) {
        log_faults("options_not_read", &faults);
    } else {
        settings_each_difference(server->settings, next, tell_difference, NULL);
        settings_keep_fixed(server->settings, next);
        server->settings = next;
        set_log_level(next);
        server->callback_url = reach_callback_url(server->arena, next, server->sockets, server->socket_count);
        for (unsigned i = 0; i < server->engines.count; i++)
            worker_tune(&server->workers[i], next, server->callback_url);
        tune_hosts(server);
    }
    faults_fini(&faults);
}

void sources_reload(struct server *server) {
    struct fault fault;
    struct faults faults;
    faults_init(&faults);
    log_put(LOG_INFO, "reload", NULL);
    read_settings(server);
    if (!sources_read_secrets(server, &fault)) log_fault(LOG_ERROR, "secrets_not_read", NULL, &fault);
    if (!sources_read_callers(server, &faults)) log_faults("callers_not_read", &faults);
    renew_certificates(server);
    sources_reload_catalog(server);
    faults_fini(&faults);
}

/* ---- definitions that runs began with ---- */

/* Where no definition of the stage is in force (its file is gone, disabled or broken), its runs keep the limits that
 * they began with: the newest of them, since runs come in the order of their starts. */
static void keep_limits(struct server *server, const struct stage *stage) {
    const struct catalog_entry *entry = catalog_find(server->catalog, stage->name);
    if (!(entry && entry->stage))
        gate_tune_stage(server->gate, stage->name, stage->limits, stage->call_limits, loop_mono_ms(server->loop));
}

static struct stage *compile_pinned(struct server *server, const char *hash, struct fault *fault) {
    struct stage_context context = context_of(server);
    context.no_callbacks = false; /* a run that waits already goes on */
    char *source = store_definition(server->store, hash, fault);
    if (!source) return NULL;
    struct faults faults;
    faults_init(&faults);
    struct stage *stage = stage_load_source(source, &context, &faults);
    if (!stage && faults.count) *fault = faults.items[0];
    faults_fini(&faults);
    mem_free(source);
    return stage;
}

/* The definition that runs began with: in force still, or as the store has it. */
struct stage *sources_find_stage(void *arg, const char *hash, struct fault *fault) {
    struct server *server = arg;
    for (size_t i = 0; i < server->catalog->count; i++) {
        struct stage *stage = server->catalog->entries[i].stage;
        if (stage && strcmp(stage_hash(stage), hash) == 0) return stage_ref(stage);
    }
    struct stage *stage = compile_pinned(server, hash, fault);
    if (stage) keep_limits(server, stage);
    return stage;
}
