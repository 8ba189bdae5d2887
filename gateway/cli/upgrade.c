/* The old process's side of a hand-over: starts the new one, and leaves step by step.
 *
 * Each step is posted to every worker, and the next one begins when all have reported; a step has a deadline, and what
 * happens then is the step's own. The order keeps the time short in which nobody accepts: clients are told first, while
 * everything is still answered, and the slow part, calls to upstreams that cannot be repeated, comes before the sockets
 * are left alone. From RETIRING to READY connections wait in the sockets' queues, which both processes share.
 *
 * Between fork and exec only what a signal handler might call is called, since other threads hold locks. */
#include "cli/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define START_MS 60000  /* for the new process to read and check everything */
#define LEAVE_MS 2000   /* for clients to send once more, and be told */
#define RETIRE_MS 5000  /* for what was accepted to be answered */
#define READY_MS 300000 /* for the new process to open the store and go on with the runs */
#define BURY_MS 2000    /* for a process that has cut the line to end by itself, so that its status is known */
#define COMMAND_MAX 65536

static void enter(struct upgrade *upgrade, enum upgrade_state state);

/* ---- the new process ---- */

/* Everything that exec needs, ready before the fork. */
struct launch {
    const char *program;
    char *const *argv;
    char **environment;
    char *pid_digits; /* where the environment says LISTEN_PID */
    int fds[INHERIT_MAX];
    int count;
};

static struct launch launch_of(const struct upgrade *upgrade, struct arena *arena, const char *program, int line) {
    struct launch launch = {.program = program, .argv = upgrade->argv};
    struct buf names;
    size_t variables = 0;
    buf_init(&names, INHERIT_MAX * 32);
    for (size_t i = 0; i < upgrade->socket_count; i++) {
        launch.fds[launch.count++] = listen_socket_fd(upgrade->sockets[i]);
        buf_addf(&names, "%s%s", i ? ":" : "", listen_socket_is_own(upgrade->sockets[i]) ? INHERIT_OWN : INHERIT_HELD);
    }
    if (line >= 0) {
        launch.fds[launch.count++] = line;
        buf_adds(&names, ":" INHERIT_LINE);
    }
    while (environ[variables]) variables++;
    launch.environment = arena_array_of(arena, char *, variables + 4);
    memcpy(launch.environment, environ, variables * sizeof *environ);
    char *pid = arena_strdup(arena, "LISTEN_PID=                    ");
    launch.pid_digits = pid + strlen("LISTEN_PID=");
    launch.environment[variables++] = pid;
    launch.environment[variables++] = arena_printf(arena, "LISTEN_FDS=%d", launch.count);
    launch.environment[variables] = arena_printf(arena, "LISTEN_FDNAMES=%s", buf_cstr(&names));
    buf_fini(&names);
    return launch;
}

static void write_pid(char *digits) {
    char turned[20];
    size_t n = 0;
    for (unsigned pid = (unsigned)getpid(); pid; pid /= 10) turned[n++] = (char)('0' + pid % 10);
    while (n) *digits++ = turned[--n];
    *digits = 0;
}

/* Becomes the new program; returns only if that fails. Between fork and exec. */
static void become(struct launch *launch) {
    sigset_t none;
    int above = INHERIT_FIRST + launch->count;
    for (int i = 0; i < launch->count; i++) launch->fds[i] = fcntl(launch->fds[i], F_DUPFD, above);
    for (int i = 0; i < launch->count; i++) dup2(launch->fds[i], INHERIT_FIRST + i); /* stays open over exec */
    close_range((unsigned)above, ~0U, CLOSE_RANGE_CLOEXEC);
    write_pid(launch->pid_digits);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(launch->program, launch->argv, launch->environment);
}

static void child_main(struct launch *launch, int line) {
    become(launch);
    char said[256] = {LINE_FAILED};
    const char *why = strerrordesc_np(errno), *part[] = {launch->program, ": cannot be run: ", why ? why : "?"};
    size_t n = 1;
    for (size_t i = 0; i < 3; i++)
        for (const char *at = part[i]; *at && n < sizeof said; at++) said[n++] = *at;
    send(line, said, n, MSG_NOSIGNAL);
    _exit(127);
}

static bool launch_child(struct upgrade *upgrade, struct fault *fault) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fault_set(fault, FAULT_IO, NULL, "no line to a new process can be made: %s", strerror(errno));
    struct arena *arena = arena_new();
    struct launch launch = launch_of(upgrade, arena, upgrade->program, pair[1]);
    upgrade->pid = fork();
    if (upgrade->pid == 0) child_main(&launch, pair[1]);
    if (upgrade->pid < 0) fault_set(fault, FAULT_IO, NULL, "no new process can be started: %s", strerror(errno));
    arena_free(arena);
    close(pair[1]);
    upgrade->line = pair[0];
    if (upgrade->pid > 0) return true;
    close(pair[0]);
    upgrade->line = -1;
    return false;
}

static void cut_line(struct upgrade *upgrade) {
    loop_watch_free(upgrade->watch);
    upgrade->watch = NULL;
    if (upgrade->line >= 0) close(upgrade->line);
    upgrade->line = -1;
}

/* What is left of it, and how it ended. Blocks the main thread, which has nothing better to do. */
static void bury(struct upgrade *upgrade, bool ends, struct buf *ret_how) {
    int status = 0;
    pid_t gone = 0;
    for (int64_t until = clock_mono_ms() + BURY_MS; ends && gone == 0 && clock_mono_ms() < until; poll(NULL, 0, 5))
        gone = waitpid(upgrade->pid, &status, WNOHANG);
    if (gone == 0) kill(upgrade->pid, SIGKILL);
    while (gone == 0 && waitpid(upgrade->pid, &status, 0) < 0 && errno == EINTR) {}
    upgrade->pid = 0;
    if (WIFEXITED(status)) buf_addf(ret_how, "the new process ended with status %d", WEXITSTATUS(status));
    else buf_addf(ret_how, "the new process was ended by signal %d", WTERMSIG(status));
}

/* ---- going back ---- */

static void log_failed(struct text why) {
    struct buf text;
    buf_init(&text, LINE_MAX_BYTES + 1);
    buf_addt(&text, why);
    log_put(LOG_ERROR, "upgrade_failed", NULL, LOG_STR("what", buf_cstr(&text)));
    buf_fini(&text);
}

static bool may_go_back(const struct upgrade *upgrade) {
    return upgrade->state < UPGRADE_RETIRING;
}

static void go_back(struct upgrade *upgrade) {
    bool left = upgrade->state >= UPGRADE_LEAVING;
    upgrade->state = UPGRADE_NONE;
    loop_timer_clear(&upgrade->timer);
    for (unsigned i = 0; left && i < upgrade->worker_count; i++) worker_stay(&upgrade->workers[i]);
}

/* `why` is empty where only its end is known. */
static void lost(struct upgrade *upgrade, struct text why) {
    struct buf how;
    buf_init(&how, LINE_MAX_BYTES);
    cut_line(upgrade);
    bury(upgrade, why.len == 0, &how);
    log_failed(why.len ? why : buf_text(&how));
    buf_fini(&how);
    if (may_go_back(upgrade)) go_back(upgrade);
    else upgrade->failed = true;
}

bool upgrade_revoke(struct upgrade *upgrade) {
    bool back = may_go_back(upgrade);
    if (upgrade->state == UPGRADE_NONE) return true;
    if (upgrade->pid) lost(upgrade, TEXT("the gateway was told to end"));
    upgrade->state = UPGRADE_NONE;
    loop_timer_clear(&upgrade->timer);
    return back;
}

/* ---- the steps ---- */

static void on_line(void *arg, int fd, int events) {
    (void)events;
    struct upgrade *upgrade = arg;
    char said[LINE_MAX_BYTES];
    ssize_t got = recv(fd, said, sizeof said, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0 && said[0] == LINE_PREPARED && upgrade->state == UPGRADE_STARTING) enter(upgrade, UPGRADE_LEAVING);
    else lost(upgrade, got > 1 ? (struct text){said + 1, (size_t)got - 1} : (struct text){0});
}

static void on_time_up(void *arg) {
    struct upgrade *upgrade = arg;
    switch (upgrade->state) {
    case UPGRADE_STARTING: lost(upgrade, TEXT("the new process did not get ready in time")); break;
    case UPGRADE_SETTLING:
        lost(upgrade, TEXT("calls that may not be repeated did not end within drain_timeout; try again"));
        break;
    case UPGRADE_LEAVING:
    case UPGRADE_RETIRING:
    case UPGRADE_EMPTYING: enter(upgrade, upgrade->state + 1); break;
    case UPGRADE_NONE:
    case UPGRADE_OVER:
    case UPGRADE_STATES: break;
    }
}

static void one_is_done(void *arg) {
    const struct upgrade_report *report = arg;
    struct upgrade *upgrade = report->upgrade;
    if (report->state == upgrade->state && --upgrade->waiting == 0) enter(upgrade, upgrade->state + 1);
}

static void on_worker_done(void *arg) {
    struct upgrade_report *report = arg;
    loop_post(report->upgrade->loop, one_is_done, report);
}

static void enter(struct upgrade *upgrade, enum upgrade_state state) {
    static const enum worker_step steps[] = {[UPGRADE_LEAVING] = WORKER_LEAVE,
                                             [UPGRADE_SETTLING] = WORKER_SETTLE,
                                             [UPGRADE_RETIRING] = WORKER_RETIRE,
                                             [UPGRADE_EMPTYING] = WORKER_EMPTY};
    const int64_t limits[] = {[UPGRADE_LEAVING] = LEAVE_MS,
                              [UPGRADE_SETTLING] = upgrade->patience_ms,
                              [UPGRADE_RETIRING] = RETIRE_MS,
                              [UPGRADE_EMPTYING] = upgrade->patience_ms};
    upgrade->state = state;
    if (state == UPGRADE_OVER) {
        loop_timer_clear(&upgrade->timer);
        upgrade->over(upgrade->arg);
        return;
    }
    upgrade->waiting = upgrade->worker_count;
    loop_timer_set(&upgrade->timer, limits[state]);
    for (unsigned i = 0; i < upgrade->worker_count; i++)
        worker_step(&upgrade->workers[i], steps[state], on_worker_done, &upgrade->reports[state]);
}

void upgrade_begin(struct upgrade *upgrade) {
    struct fault fault;
    if (upgrade->state != UPGRADE_NONE) {
        log_put(LOG_WARN, "upgrade_under_way", NULL, LOG_INT("pid", upgrade->pid));
    } else if (getpid() == 1) { /* its end would end the container, and the new process with it */
        log_failed(TEXT("process 1 cannot hand over to another one"));
    } else if (!launch_child(upgrade, &fault)) {
        log_failed(text_of(fault.what));
    } else {
        log_put(LOG_INFO, "upgrade_begun", NULL, LOG_STR("program", upgrade->program), LOG_INT("pid", upgrade->pid));
        upgrade->state = UPGRADE_STARTING;
        upgrade->watch = loop_watch_new(upgrade->loop, upgrade->line, LOOP_READ, "upgrade", on_line, upgrade);
        loop_timer_set(&upgrade->timer, START_MS);
    }
}

/* ---- the end ---- */

/* True: the process is told to end. */
static bool read_signals(int signal_fd) {
    struct signalfd_siginfo info;
    bool end = false;
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        end = end || info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
    return end;
}

/* READY, or a reason in `ret_why`, or neither: then it is known by its end. */
static bool await_ready(const struct upgrade *upgrade, int signal_fd, struct buf *ret_why) {
    int64_t until = clock_mono_ms() + READY_MS;
    struct pollfd ways[] = {{.fd = upgrade->line, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
    char said[LINE_MAX_BYTES];
    for (int64_t left = READY_MS; left > 0; left = until - clock_mono_ms()) {
        if (poll(ways, 2, (int)left) <= 0) continue;
        if (ways[1].revents && read_signals(signal_fd)) kill(upgrade->pid, SIGTERM); /* it is its own master now */
        if (!ways[0].revents) continue;
        ssize_t got = recv(upgrade->line, said, sizeof said, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (got > 0 && said[0] == LINE_READY) return true;
        if (got > 1) buf_add(ret_why, said + 1, (size_t)got - 1);
        return false;
    }
    buf_adds(ret_why, "the new process did not open the store in time");
    return false;
}

bool upgrade_finish(struct upgrade *upgrade, int signal_fd) {
    const char letter = LINE_STORE;
    struct buf why;
    if (upgrade->failed) return false;
    loop_watch_free(upgrade->watch);
    upgrade->watch = NULL;
    send(upgrade->line, &letter, 1, MSG_NOSIGNAL);
    buf_init(&why, LINE_MAX_BYTES);
    bool ready = await_ready(upgrade, signal_fd, &why);
    if (ready) log_put(LOG_INFO, "handed_over", NULL, LOG_INT("pid", upgrade->pid));
    else lost(upgrade, buf_text(&why));
    buf_fini(&why);
    return ready;
}

void upgrade_fall_back(struct upgrade *upgrade) {
    struct launch launch = launch_of(upgrade, upgrade->arena, upgrade->image, -1);
    become(&launch);
}

/* ---- how this process was started ---- */

static char **read_arguments(struct arena *arena) {
    char *text = arena_alloc(arena, COMMAND_MAX);
    char **argv = arena_array_of(arena, char *, 1);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    size_t len = 0, count = 0;
    for (ssize_t got = 1; fd >= 0 && got > 0 && len < COMMAND_MAX - 1; len += (size_t)(got > 0 ? got : 0))
        got = read(fd, text + len, COMMAND_MAX - 1 - len);
    if (fd >= 0) close(fd);
    for (size_t i = 0; i < len; i++) count += text[i] == 0;
    argv = arena_array_of(arena, char *, count + 1);
    for (size_t i = 0, at = 0; i < count; i++, at += strlen(text + at) + 1) argv[i] = text + at;
    return argv;
}

/* By the name that it was called by, so that a link is followed anew; without a folder in it, where it was found. */
static const char *find_program(struct arena *arena, const char *name) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (name && strchr(name, '/')) return name;
    return n > 0 ? arena_strndup(arena, path, (size_t)n) : "/proc/self/exe";
}

void upgrade_init(struct upgrade *upgrade, struct loop *loop, struct arena *arena) {
    *upgrade = (struct upgrade){.loop = loop, .arena = arena, .line = -1, .image = "/proc/self/exe"};
    upgrade->argv = read_arguments(arena);
    upgrade->program = find_program(arena, upgrade->argv[0]);
    loop_timer_init(&upgrade->timer, loop, "upgrade", on_time_up, upgrade);
    for (int state = 0; state < UPGRADE_STATES; state++)
        upgrade->reports[state] = (struct upgrade_report){upgrade, (enum upgrade_state)state};
}

void upgrade_fini(struct upgrade *upgrade) {
    if (!upgrade->loop) return;
    cut_line(upgrade);
    loop_timer_clear(&upgrade->timer);
}
