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
#include <sys/signalfd.h>
#include <unistd.h>

#include "back/secrets.h"
#include "base/clock.h"
#include "base/count.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/descriptors.h"
#include "cli/reach.h"
#include "cli/serve_flags.h"
#include "cli/server.h"
#include "cli/sources.h"
#include "cli/supervisor.h"
#include "run/callback.h"

#define STORE_QUEUE_MAX 200000
#define PRUNE_EVERY_MS (10 * 60 * 1000)
#define PRUNE_SOON_MS 1000 /* after the start */
#define PRUNE_NEXT_MS 100  /* between two slices: a gateway may end thousands of runs a second */
#define LINGER_MS 2000     /* after a hand-over, for clients to see that idle connections are closed */

extern char **environ;

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
        if (info.ssi_signo == SIGHUP) sources_reload(server);
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

/* Of clients, all loops together. */
static int64_t most_connections(const struct settings *settings, unsigned loops) {
    int64_t most = descriptors_for_clients(settings->max_connections, loops);
    if (most < settings->max_connections)
        log_put(LOG_WARN, "max_connections_lowered", NULL, LOG_INT("from", settings->max_connections),
                LOG_INT("to", most),
                LOG_STR("what", "raise the limit of descriptors (LimitNOFILE= in systemd, ulimit -Hn)"));
    return most;
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
    unsigned count = worker_count(server->settings);
    server->engines.items = arena_array_of(server->arena, struct engine *, count);
    server->engines.count = count;
    server->workers = arena_array_of(server->arena, struct worker, count);
    server->gate = gate_new(count);
    server->contracts = contracts_new();
    struct worker_callbacks callbacks = {server->callback_key, server->callback_url};
    struct worker_shared shared = {.gate = server->gate,
                                   .holds = &server->holds,
                                   .contracts = server->contracts,
                                   .max_connections = most_connections(server->settings, count)};
    for (unsigned i = 0; i < count; i++)
        worker_init(&server->workers[i], i, server->settings, server->store, &callbacks, &shared, &server->engines);
    sources_tune(server);
}

/* ---- runs that go on ---- */

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
                                         .find_stage = sources_find_stage,
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
    descriptors_raise();
    upstream_global_init();
    server->loop = loop_new(UINT16_MAX);
    upgrade_init(&server->upgrade, server->loop, server->arena);
    /* Watched before it is read, so that no change can fall between the two. */
    const char *const directories[] = {settings->stages, settings->templates};
    server->watchdir = watchdir_new(server->loop, directories, 2, sources_reload_catalog, server);
    if (!sources_read_secrets(server, fault) || !sources_read_certificates(server, &server->tls, fault) ||
        !open_sockets(server, fault))
        return false;
    server->callback_url = reach_callback_url(server->arena, settings, server->sockets, server->socket_count);
    server->self_test = reach_self_test(server->arena, settings, server->sockets, server->socket_count);
    if (!sources_read_catalog(server, fault)) return false;
    faults_init(&faults);
    bool good = sources_read_callers(server, &faults);
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
            LOG_INT("stages", sources_count(server)), LOG_STR("store", server->settings->store));
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
        good = good && sources_read_settings(arena, &server.input, &settings, &faults);
        if (!good) print_faults(&faults);
        if (!good) inherit_say_failed(&server.inherit, &faults.items[0]);
        faults_fini(&faults);
        status = good ? serve(&server) : EXIT_USAGE;
    }
    arena_free(arena);
    return status;
}
