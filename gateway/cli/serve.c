/* `stagedoor serve`: puts the parts together, starts the loops, and keeps house on the main thread.
 *
 * The main thread has a loop of its own, for what is nobody's request: signals (TERM and INT drain, HUP reads
 * definitions, secrets, callers and certificates again, USR1 opens the log again), changes of the definitions'
 * directories, and the retention of ended runs. USR2 hands over to a new process (cli/upgrade). The order of starting
 * is the order of dependence: settings, log, secrets, catalog, callers, sockets, store, workers; and of stopping the
 * reverse. Runs that go on come back behind that, while the workers are at work. A process that takes over waits before
 * the store, until the old one has let it go. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "back/secrets.h"
#include "base/clock.h"
#include "base/count.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/inherit.h"
#include "cli/reach.h"
#include "cli/serve_flags.h"
#include "cli/supervisor.h"
#include "cli/upgrade.h"
#include "cli/watchdir.h"
#include "cli/worker.h"
#include "config/settings.h"
#include "run/callback.h"
#include "run/contract.h"
#include "run/recovery.h"
#include "stage/catalog.h"

#define STORE_QUEUE_MAX 200000
#define PRUNE_EVERY_MS (10 * 60 * 1000)
#define PRUNE_SOON_MS 1000 /* after the start */
#define PRUNE_NEXT_MS 100  /* between two slices: a gateway may end thousands of runs a second */
#define LINGER_MS 2000     /* after a hand-over, for clients to see that idle connections are closed */

extern char **environ;

struct server {
    struct arena *arena;
    struct settings_input input; /* where the settings come from, for SIGHUP */
    const struct settings *settings;
    struct loop *loop; /* of the main thread */
    struct store *store;
    struct catalog *catalog; /* what workers were given last */
    struct callers *callers;
    struct tls_context *tls; /* until the workers have it */
    struct listen_socket **sockets;
    size_t socket_count;
    const char *callback_key, *callback_url; /* url "": nobody can be told where to call back */
    const char *self_test;                   /* the definition that is built in; NULL: the gateway cannot call itself */
    struct worker *workers;
    struct engines engines;
    struct gate *gate;
    struct holds holds;
    struct contracts *contracts;
    struct watchdir *watchdir;
    struct loop_watch *signals;
    int signal_fd;
    struct loop_timer prune_timer, drain_timer;
    struct store_op prune;
    struct inherit inherit;
    struct upgrade upgrade;
    struct recovery *recovery;
    int64_t resuming_since_ms;
    bool upgrade_waits; /* until all runs are back */
    bool draining;
    unsigned drained; /* workers */
};

/* ---- what was broken when it was read ---- */

static bool print_fault(const struct fault *fault) {
    struct text rest = text_of(fault->lines), line;
    fprintf(stderr, "stagedoor: %s%s%s\n", fault->where, fault->where[0] ? ": " : "", fault->what);
    while (fault->lines[0] && text_cut(&rest, '\n', &line)) fprintf(stderr, "    %.*s\n", TEXT_ARG(line));
    return false;
}

static void print_faults(const struct faults *faults) {
    for (size_t i = 0; i < faults->count; i++) print_fault(&faults->items[i]);
    if (faults->dropped) fprintf(stderr, "stagedoor: and %zu more\n", faults->dropped);
}

static void log_faults(const char *event, const struct faults *faults) {
    for (size_t i = 0; i < faults->count; i++) log_fault(LOG_ERROR, event, NULL, &faults->items[i]);
}

/* settings_load, with public_url as it is used: without a slash at its end. */
static bool load_settings(struct arena *arena, const struct settings_input *input, struct settings *ret_settings,
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

/* ---- callbacks ---- */

static bool read_key(struct server *server, struct fault *fault) {
    char *key = store_key(server->store, fault);
    server->callback_key = arena_strdup(server->arena, key);
    mem_free(key);
    return server->callback_key != NULL;
}

/* Every line of the log goes through it. */
static void mask_line(struct buf *line) {
    secrets_mask(line);
    callback_mask(line);
}

/* ---- definitions ---- */

static struct stage_context context_of(const struct server *server) {
    return (struct stage_context){.templates = server->settings->templates,
                                  .secret_known = secrets_known,
                                  .self_test = server->self_test,
                                  .no_callbacks = !server->callback_url[0]};
}

static size_t count_files(const struct catalog *catalog) {
    size_t count = 0;
    for (size_t i = 0; i < catalog->count; i++) count += !catalog->entries[i].built_in;
    return count;
}

static void tell_entries(const struct catalog *catalog) {
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
        if (catalog_find(catalog, text_of(entry->name)) == entry) /* the one that counts, of those of one name */
            count_set_labelled(COUNT_FAMILY_STAGE_STATE, entry->name, NULL, entry->fault_count > 0);
    }
    log_put(LOG_INFO, "definitions_read", NULL, LOG_INT("stages", count_files(catalog)), LOG_INT("broken", broken),
            LOG_INT("disabled", disabled));
}

static bool read_catalog(struct server *server, struct fault *fault) {
    struct stage_context context = context_of(server);
    struct catalog *catalog = catalog_load(server->settings->stages, &context, server->catalog,
                                           loop_wall_ms(server->loop), fault);
    if (!catalog) return false;
    count_add(COUNT_RELOADS, 1);
    tell_entries(catalog);
    catalog_unref(server->catalog);
    server->catalog = catalog;
    tune_stages(server);
    for (unsigned i = 0; i < server->engines.count; i++) worker_offer(&server->workers[i], catalog);
    return true;
}

static void on_directory_changed(void *arg) {
    struct server *server = arg;
    struct fault fault;
    if (!read_catalog(server, &fault)) log_fault(LOG_ERROR, "definitions_not_read", NULL, &fault);
}

/* ---- callers and certificates ---- */

static bool read_callers(struct server *server, struct faults *faults) {
    if (!server->settings->callers[0]) return true;
    struct callers *callers = callers_load(server->settings->callers, faults);
    if (!callers) return false;
    callers_unref(server->callers);
    server->callers = callers;
    for (unsigned i = 0; i < server->engines.count; i++) worker_admit(&server->workers[i], callers);
    return true;
}

static bool read_certificates(struct server *server, struct tls_context **ret_tls, struct fault *fault) {
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
    if (!read_certificates(server, &tls, &fault)) {
        log_fault(LOG_ERROR, "certificate_not_read", NULL, &fault);
        return;
    }
    if (!tls) return;
    int *holders = mem_alloc(sizeof *holders);
    *holders = (int)server->engines.count;
    for (unsigned i = 0; i < server->engines.count; i++) worker_renew_tls(&server->workers[i], tls, holders);
    log_put(LOG_INFO, "certificate_read", NULL, LOG_STR("file", server->settings->tls_certificate));
}

static const char *secrets_directory(const struct server *server) {
    return server->settings->secrets[0] ? server->settings->secrets : NULL;
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
    if (!load_settings(server->arena, &server->input, next, &faults) || !check_taken(server, next, &faults)) {
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

static void reload(struct server *server) {
    struct fault fault;
    struct faults faults;
    faults_init(&faults);
    log_put(LOG_INFO, "reload", NULL);
    read_settings(server);
    if (!secrets_load(secrets_directory(server), &fault)) log_fault(LOG_ERROR, "secrets_not_read", NULL, &fault);
    if (!read_callers(server, &faults)) log_faults("callers_not_read", &faults);
    renew_certificates(server);
    on_directory_changed(server);
    faults_fini(&faults);
}

/* ---- retention ---- */

static void on_pruned(struct store_op *op) {
    struct server *server = op->arg;
    if (op->outcome == STORE_FAILED) log_fault(LOG_ERROR, "old_runs_not_deleted", NULL, &op->fault);
    else if (op->found_count) log_put(LOG_INFO, "old_runs_deleted", NULL, LOG_INT("runs", op->found_count));
    bool more = op->outcome == STORE_DONE && op->more;
    store_op_fini(op);
    if (!server->draining) loop_timer_set(&server->prune_timer, more ? PRUNE_NEXT_MS : PRUNE_EVERY_MS);
}

static void on_prune_due(void *arg) {
    struct server *server = arg;
    server->prune = (struct store_op){.kind = STORE_PRUNE,
                                      .loop = server->loop,
                                      .done = on_pruned,
                                      .arg = server,
                                      .before_ms = loop_wall_ms(server->loop) - server->settings->retention_ms};
    store_submit(server->store, &server->prune);
}

/* ---- stopping ---- */

static void stop(struct server *server) {
    loop_timer_clear(&server->drain_timer);
    loop_stop(server->loop);
}

static void one_is_drained(void *arg) {
    struct server *server = arg;
    if (++server->drained == server->engines.count) stop(server);
}

static void on_drained(void *arg, struct worker *worker) {
    (void)worker;
    struct server *server = arg;
    loop_post(server->loop, one_is_drained, server);
}

static void on_drain_timeout(void *arg) {
    struct server *server = arg;
    log_put(LOG_WARN, "drain_timeout", NULL, LOG_INT("ms", server->settings->drain_timeout_ms));
    stop(server);
}

static void drain(struct server *server, const char *why) {
    if (!upgrade_revoke(&server->upgrade) || server->draining) { /* nobody is served any more, or asked twice */
        stop(server);
        return;
    }
    supervisor_tell("STOPPING=1");
    log_put(LOG_INFO, "stopping", NULL, LOG_STR("why", why),
            LOG_INT("runs_in_flight", count_read(COUNT_RUNS_IN_FLIGHT)));
    server->draining = true;
    recovery_stop(server->recovery);
    loop_timer_clear(&server->prune_timer);
    loop_timer_set(&server->drain_timer, server->settings->drain_timeout_ms);
    for (unsigned i = 0; i < server->engines.count; i++) worker_drain(&server->workers[i], on_drained, server);
}

/* ---- handing over ---- */

static void on_upgrade_over(void *arg) {
    struct server *server = arg;
    server->draining = true;
    stop(server);
}

static void upgrade(struct server *server) {
    server->upgrade_waits = !recovery_is_over(server->recovery); /* what is not here cannot be handed over in order */
    if (server->draining || server->upgrade_waits) return;
    server->upgrade.workers = server->workers;
    server->upgrade.worker_count = server->engines.count;
    server->upgrade.sockets = server->sockets;
    server->upgrade.socket_count = server->socket_count;
    server->upgrade.patience_ms = server->settings->drain_timeout_ms;
    server->upgrade.over = on_upgrade_over;
    server->upgrade.arg = server;
    upgrade_begin(&server->upgrade);
}

/* The loops have ended, and the store is closed. Connections of clients that have not seen their end yet are left open
 * for a moment: what they send would be answered with a reset. */
static bool hand_over(struct server *server, struct fault *fault) {
    int64_t until = clock_mono_ms() + LINGER_MS;
    char state[40];
    if (!upgrade_finish(&server->upgrade, server->signal_fd)) {
        log_close();
        upgrade_fall_back(&server->upgrade);
        return fault_set(fault, FAULT_IO, server->upgrade.image, "cannot be run again: %s", strerror(errno));
    }
    snprintf(state, sizeof state, "MAINPID=%d", (int)server->upgrade.pid);
    supervisor_tell(state);
    for (size_t i = 0; i < server->socket_count; i++) listen_socket_disown(server->sockets[i]);
    for (unsigned i = 0; i < server->engines.count; i++) listener_wait_gone(server->workers[i].listener, until);
    return true;
}

static void on_signal(void *arg, int fd, int events) {
    (void)events;
    struct server *server = arg;
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) reload(server);
        else if (info.ssi_signo == SIGUSR1) log_reopen();
        else if (info.ssi_signo == SIGUSR2) upgrade(server);
        else drain(server, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

/* ---- starting ---- */

static void block_signals(struct server *server) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL); /* every thread inherits it */
    server->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool begin_log(const struct settings *settings, struct fault *fault) {
    enum log_level least = LOG_INFO;
    log_level_parse(text_of(settings->log_level), &least);
    log_set_mask(mask_line);
    return log_open(least, strcmp(settings->log_format, "json") == 0 ? LOG_JSON : LOG_LOGFMT, settings->log_file,
                    fault);
}

static bool open_sockets(struct server *server, struct fault *fault) {
    const struct settings_list *listen = &server->settings->listen;
    server->sockets = arena_array_of(server->arena, struct listen_socket *, listen->count);
    for (size_t i = 0; i < listen->count; i++) {
        struct listen_socket *socket = inherit_take(&server->inherit, listen->items[i]);
        if (!socket) socket = listen_socket_open(listen->items[i], fault);
        if (!socket) return false;
        server->sockets[server->socket_count++] = socket;
    }
    return inherit_check_rest(&server->inherit, fault);
}

static void make_workers(struct server *server) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = server->settings->loops ? (unsigned)server->settings->loops : cores > 0 ? (unsigned)cores : 1;
    server->engines.items = arena_array_of(server->arena, struct engine *, count);
    server->engines.count = count;
    server->workers = arena_array_of(server->arena, struct worker, count);
    server->gate = gate_new(count);
    server->contracts = contracts_new();
    struct worker_callbacks callbacks = {server->callback_key, server->callback_url};
    struct worker_shared shared = {server->gate, &server->holds, server->contracts};
    for (unsigned i = 0; i < count; i++)
        worker_init(&server->workers[i], i, server->settings, server->store, &callbacks, &shared, &server->engines);
    tune_stages(server);
    tune_hosts(server);
}

/* ---- runs that go on ---- */

/* Where no definition of the stage is in force (its file is gone, disabled or broken), its runs keep the limits that
 * they began with: the newest of them, since runs come in the order of their starts. */
static void keep_limits(struct server *server, const struct stage *stage) {
    const struct catalog_entry *entry = catalog_find(server->catalog, text_of(stage->name));
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
static struct stage *find_pinned(void *arg, const char *hash, struct fault *fault) {
    struct server *server = arg;
    for (size_t i = 0; i < server->catalog->count; i++) {
        struct stage *stage = server->catalog->entries[i].stage;
        if (stage && strcmp(stage_hash(stage), hash) == 0) return stage_ref(stage);
    }
    struct stage *stage = compile_pinned(server, hash, fault);
    if (stage) keep_limits(server, stage);
    return stage;
}

static void on_resumed(void *arg, size_t count) {
    struct server *server = arg;
    if (count)
        log_put(LOG_INFO, "runs_resumed", NULL, LOG_INT("runs", count),
                LOG_INT("ms", clock_mono_ms() - server->resuming_since_ms));
    if (server->upgrade_waits) upgrade(server);
}

static bool find_runs(struct server *server, struct fault *fault) {
    struct recovery_settings settings = {.engines = &server->engines,
                                         .store = server->store,
                                         .gate = server->gate,
                                         .loop = server->loop,
                                         .slice = RECOVERY_SLICE,
                                         .find_stage = find_pinned,
                                         .done = on_resumed,
                                         .arg = server};
    server->resuming_since_ms = clock_mono_ms();
    server->recovery = recovery_new(&settings, fault);
    return server->recovery != NULL;
}

/* ---- all of it ---- */

static bool start_workers(struct server *server, struct fault *fault) {
    for (unsigned i = 0; i < server->engines.count; i++) {
        struct worker *worker = &server->workers[i];
        worker_offer(worker, server->catalog);
        if (server->callers) worker_admit(worker, server->callers);
        if (!worker_listen(worker, server->sockets, server->socket_count, server->tls, fault)) return false;
    }
    tls_context_free(server->tls);
    server->tls = NULL;
    for (unsigned i = 0; i < server->engines.count; i++)
        if (!worker_start(&server->workers[i], fault)) return false;
    return true;
}

static bool start(struct server *server, struct fault *fault) {
    const struct settings *settings = server->settings;
    struct faults faults;
    block_signals(server); /* before the first thread, the log's */
    if (!reach_check(settings, fault) || !begin_log(settings, fault)) return false;
    raise_descriptors();
    upstream_global_init();
    server->loop = loop_new(UINT16_MAX);
    upgrade_init(&server->upgrade, server->loop, server->arena);
    /* Watched before it is read, so that no change can fall between the two. */
    const char *const directories[] = {settings->stages, settings->templates};
    server->watchdir = watchdir_new(server->loop, directories, 2, on_directory_changed, server);
    if (!secrets_load(secrets_directory(server), fault) || !read_certificates(server, &server->tls, fault) ||
        !open_sockets(server, fault))
        return false;
    server->callback_url = reach_callback_url(server->arena, settings, server->sockets, server->socket_count);
    server->self_test = reach_self_test(server->arena, settings, server->sockets, server->socket_count);
    if (!read_catalog(server, fault)) return false;
    faults_init(&faults);
    bool good = read_callers(server, &faults);
    if (!good) *fault = faults.items[0];
    faults_fini(&faults);
    if (!good || !supervisor_pid_check(settings->pid_file, fault)) return false;
    inherit_wait_store(&server->inherit);
    server->store = store_open(&(struct store_settings){.url = settings->store,
                                                        .max_queue = STORE_QUEUE_MAX,
                                                        .max_kept = (size_t)settings->kept_in_memory_bytes},
                               fault);
    if (!server->store || !read_key(server, fault)) return false;
    make_workers(server);
    return find_runs(server, fault) && supervisor_pid_write(settings->pid_file, fault) && start_workers(server, fault);
}

static void keep_house(struct server *server) {
    server->signals = loop_watch_new(server->loop, server->signal_fd, LOOP_READ, "signal", on_signal, server);
    loop_timer_init(&server->prune_timer, server->loop, "retention", on_prune_due, server);
    loop_timer_init(&server->drain_timer, server->loop, "drain", on_drain_timeout, server);
    loop_timer_set(&server->prune_timer, PRUNE_SOON_MS);
    for (size_t i = 0; i < server->socket_count; i++)
        log_put(LOG_INFO, "listening", NULL, LOG_STR("address", listen_socket_address(server->sockets[i])));
    log_put(LOG_INFO, "started", NULL, LOG_STR("version", STAGEDOOR_VERSION), LOG_INT("loops", server->engines.count),
            LOG_INT("stages", count_files(server->catalog)), LOG_STR("store", server->settings->store));
    recovery_begin(server->recovery);
    inherit_say_ready(&server->inherit);
    supervisor_tell("READY=1");
    loop_run(server->loop);
}

static void flush_loops(const struct server *server) {
    for (unsigned i = 0; i < server->engines.count; i++) loop_flush(server->workers[i].loop);
}

/* A question and its answer may be under way between two loops: no loop goes before all are quiet. */
static void stop_workers(struct server *server) {
    recovery_stop(server->recovery);
    for (unsigned i = 0; i < server->engines.count; i++) worker_join(&server->workers[i]);
    for (unsigned i = 0; i < server->engines.count; i++) {
        engine_detach(server->workers[i].engine);
        admission_dismiss(server->workers[i].api.admission);
        admission_dismiss(server->workers[i].api.admission_in_memory);
    }
    size_t lost = store_close(server->store);
    if (lost) log_put(LOG_WARN, "runs_lost", NULL, LOG_INT("runs", lost));
    flush_loops(server);
    for (unsigned i = 0; i < server->engines.count; i++) engine_dismiss(server->workers[i].engine);
    flush_loops(server);
}

static void finish(struct server *server) {
    for (unsigned i = 0; i < server->engines.count; i++) worker_fini(&server->workers[i]);
    gate_free(server->gate);
    holds_fini(&server->holds);
    contracts_free(server->contracts);
    for (size_t i = 0; i < server->socket_count; i++) listen_socket_close(server->sockets[i]);
    tls_context_free(server->tls);
    catalog_unref(server->catalog);
    callers_unref(server->callers);
    watchdir_free(server->watchdir);
    supervisor_pid_remove(server->settings->pid_file);
    upgrade_fini(&server->upgrade);
    loop_watch_free(server->signals);
    if (server->loop) {
        loop_flush(server->loop); /* a retention, or a slice of runs, that was under way */
        recovery_free(server->recovery);
        if (server->prune_timer.loop) loop_timer_clear(&server->prune_timer);
        loop_free(server->loop);
    }
    if (server->signal_fd > 0) close(server->signal_fd);
    log_put(LOG_INFO, "stopped", NULL);
    log_close();
    secrets_unload();
}

static int serve(struct server *server) {
    struct fault fault;
    bool started = start(server, &fault);
    bool good = started;
    if (started) keep_house(server);
    else inherit_say_failed(&server->inherit, &fault);
    stop_workers(server);
    if (server->upgrade.state == UPGRADE_OVER) good = hand_over(server, &fault);
    finish(server);
    if (good) return EXIT_DONE;
    print_fault(&fault);
    return started ? EXIT_FAILED : EXIT_USAGE;
}

int command_serve(int argc, char **argv) {
    json_use_mem();
    listener_use_mem();
    struct arena *arena = arena_new();
    const char **flags = arena_array_of(arena, const char *, (size_t)argc + 1);
    struct settings settings;
    struct server server = {
        .arena = arena, .input = {.flags = flags, .environment = (const char *const *)environ}, .settings = &settings};
    int status = serve_flags_read(argc, argv, &server.input, flags);
    if (status < 0) {
        struct faults faults;
        faults_init(&faults);
        struct fault fault;
        bool good = inherit_read(&server.inherit, &fault);
        if (!good) faults_add(&faults, &fault);
        good = good && load_settings(arena, &server.input, &settings, &faults);
        if (!good) print_faults(&faults);
        if (!good) inherit_say_failed(&server.inherit, &faults.items[0]);
        faults_fini(&faults);
        status = good ? serve(&server) : EXIT_USAGE;
    }
    arena_free(arena);
    return status;
}
