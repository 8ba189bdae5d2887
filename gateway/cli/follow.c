/* Follows a run: asks for its report over and over, shows what changed, and ends with it.
 *
 * Each question asks the gateway to hold its answer for two seconds (Prefer: wait), so that an end is seen at once and
 * progress seldom later than that; against one that answers immediately we pause for the rest of a second ourselves.
 *
 * The run belongs to the gateway, not to us. So losing the gateway is no failure until our patience is used up, and
 * leaving never cancels by accident: at a terminal Ctrl-C asks first, elsewhere SIGINT leaves and says how to go on.
 * SIGINT is read from a descriptor beside the connection, hence no handler, and no moment at which it is missed. */
#include "cli/follow.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "lang/url.h"

enum { WAIT_S = 2, ROUND_MS = 1000, TICK_MS = 250 };

struct following {
    const struct follow_settings *settings;
    const char *id;
    struct screen screen; /* where progress goes */
    bool shows;           /* progress is shown at all */
    int signals;          /* a signalfd for SIGINT */
    bool interrupted;
    struct arena *arena; /* of the report at hand */
    const struct json *report;
    char *last_line; /* what the last line said */
    int64_t began_ms;
    int64_t lost_ms; /* since when the gateway has been gone; 0: it answers */
    unsigned turn;
};

static void show_bar(struct following *f) {
    struct buf title, message;
    buf_init(&title, 4096);
    buf_init(&message, 64 * 1024);
    screen_clean(&title, &f->screen, text_of(report_stage(f->report)));
    if (f->lost_ms) buf_adds(&message, "waiting for the gateway");
    else if (report_progress(f->report)[0]) screen_clean(&message, &f->screen, text_of(report_progress(f->report)));
    else screen_clean(&message, &f->screen, text_of(report_status(f->report)));
    struct screen_bar bar = {.title = buf_cstr(&title),
                             .message = buf_cstr(&message),
                             .percent = report_percent(f->report),
                             .elapsed_ms = report_elapsed_ms(f->report, clock_wall_ms()),
                             .turn = f->turn++};
    screen_bar_draw(&f->screen, &bar);
    buf_fini(&title);
    buf_fini(&message);
}

static void show_line(struct following *f) {
    struct buf line;
    buf_init(&line, 128 * 1024);
    report_line(&line, &f->screen, f->report);
    if (!f->last_line || strcmp(f->last_line, buf_cstr(&line)) != 0) {
        char at[CLOCK_TEXT_SIZE];
        clock_format(clock_wall_ms(), at);
        fprintf(f->screen.to, "%.19sZ  %s\n", at, buf_cstr(&line));
        fflush(f->screen.to);
        mem_free(f->last_line);
        f->last_line = buf_take(&line);
    }
    buf_fini(&line);
}

static void show(struct following *f) {
    if (!f->shows || !f->report) return;
    if (f->screen.terminal) show_bar(f);
    else show_line(f);
}

/* Something beside the progress is about to be printed. */
static void clear(struct following *f) {
    if (f->shows && f->screen.terminal) screen_bar_clear(&f->screen);
}

static bool took_signal(struct following *f) {
    struct signalfd_siginfo info;
    return read(f->signals, &info, sizeof info) == (ssize_t)sizeof info;
}

static int64_t left_ms(const struct following *f) {
    if (!f->settings->timeout_ms) return INT64_MAX;
    return f->settings->timeout_ms - (clock_mono_ms() - f->began_ms);
}

/* While a call waits. */
static bool on_wait(void *arg) {
    struct following *f = arg;
    if (took_signal(f)) f->interrupted = true;
    if (f->shows && f->screen.terminal && f->report) show_bar(f);
    return !f->interrupted && left_ms(f) > 0;
}

/* Until `until_ms` on the monotonic clock, the end of our time, or Ctrl-C. */
static void rest(struct following *f, int64_t until_ms) {
    for (;;) {
        int64_t ms = until_ms - clock_mono_ms();
        if (ms > left_ms(f)) ms = left_ms(f);
        if (ms <= 0 || f->interrupted) return;
        struct pollfd waits = {.fd = f->signals, .events = POLLIN};
        poll(&waits, 1, ms < TICK_MS ? (int)ms : TICK_MS);
        on_wait(f);
    }
}

static char *run_path(struct arena *arena, const char *id, const char *behind) {
    struct buf path;
    buf_init(&path, 64 * 1024);
    buf_adds(&path, "/runs/");
    url_encode(&path, text_of(id));
    buf_adds(&path, behind);
    char *made = arena_strndup(arena, buf_cstr(&path), path.len);
    buf_fini(&path);
    return made;
}

int follow_cancel(struct client *client, struct arena *arena, const char *command, const char *id,
                  struct client_answer *ret_answer) {
    struct client_request request = {.method = "POST", .path = run_path(arena, id, "/cancel"), .body = TEXT("{}")};
    return client_ask(client, arena, command, &request, ret_answer);
}

static void say_how(const struct following *f) {
    screen_say(f->settings->command,
               "the run goes on. To follow it: stagedoor watch %s; to cancel it: stagedoor cancel %s", f->id, f->id);
}

/* The terminal to ask at, also where stdin gave the parameters; -1 where nobody sits: no terminal, or we are in its
 * background, where reading would stop us. To be closed. */
static int open_terminal(void) {
    int fd = isatty(STDERR_FILENO) ? open("/dev/tty", O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0 && tcgetpgrp(fd) == getpgrp()) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

/* Reads an answer from the terminal. False: a second Ctrl-C. */
static bool read_yes(struct following *f, int terminal, bool *ret_yes) {
    *ret_yes = false;
    for (;;) {
        struct pollfd waits[] = {{.fd = f->signals, .events = POLLIN}, {.fd = terminal, .events = POLLIN}};
        if (poll(waits, 2, -1) < 0) continue;
        if (took_signal(f)) return false;
        if (!waits[1].revents) continue;
        char line[64] = "";
        ssize_t n = read(terminal, line, sizeof line - 1);
        struct text answer = text_trim((struct text){line, n > 0 ? (size_t)n : 0});
        *ret_yes = text_is_nocase(answer, "y") || text_is_nocase(answer, "yes");
        if (n <= 0) fputc('\n', stderr);
        return true;
    }
}

static void cancel(struct following *f) {
    struct client_answer answer;
    client_on_wait(f->settings->client, -1, ROUND_MS, NULL, NULL); /* this call is not to be interrupted */
    struct arena *arena = arena_new();
    if (follow_cancel(f->settings->client, arena, f->settings->command, f->id, &answer) == EXIT_DONE)
        screen_say(f->settings->command, "asked to cancel; waiting for the run to end");
    arena_free(arena);
    client_on_wait(f->settings->client, f->signals, TICK_MS, on_wait, f);
}

/* After Ctrl-C. False: leave. */
static bool stays(struct following *f) {
    bool yes = false;
    f->interrupted = false;
    clear(f);
    int terminal = open_terminal();
    if (terminal < 0) return false;
    fputs("cancel the run? [y/N] ", stderr);
    fflush(stderr);
    bool answered = read_yes(f, terminal, &yes);
    if (!answered) fputc('\n', stderr);
    close(terminal);
    if (yes) cancel(f);
    return answered;
}

/* The gateway did not answer, or not with a report. False: our patience is used up; there is none with a gateway that
 * has never answered. */
static bool endures(struct following *f, const struct fault *fault, int64_t again_s) {
    int64_t now = clock_mono_ms(), patience_ms = f->report ? f->settings->patience_ms : 0;
    if (!f->lost_ms) {
        clear(f);
        struct buf patience;
        buf_init(&patience, 64);
        screen_elapsed(&patience, patience_ms);
        if (patience_ms)
            screen_say(f->settings->command, "%s: %s; trying again for %s", fault->where, fault->what,
                       buf_cstr(&patience));
        else screen_fault(f->settings->command, fault);
        buf_fini(&patience);
        f->lost_ms = now;
    }
    int64_t spent = now - f->lost_ms;
    if (spent >= patience_ms) return false;
    int64_t pause = again_s > 0 ? again_s * 1000 : spent < 2000 ? 200 : ROUND_MS;
    if (pause > patience_ms - spent) pause = patience_ms - spent;
    rest(f, now + pause);
    return true;
}

static void found_again(struct following *f) {
    if (!f->lost_ms) return;
    f->lost_ms = 0;
    clear(f);
    screen_say(f->settings->command, "the gateway answers again");
}

enum round { ROUND_ON, ROUND_OVER };

static enum round take_answer(struct following *f, struct arena *arena, const struct client_answer *answer,
                              int *ret_exit) {
    if (client_is_passing(answer->code) || answer->code >= 500) { /* the run does not fail with the gateway */
        struct fault fault;
        fault_set(&fault, FAULT_BUSY, client_url(f->settings->client), "the gateway answers %d", answer->code);
        arena_free(arena);
        if (endures(f, &fault, answer->retry_after_s)) return ROUND_ON;
        *ret_exit = EXIT_UNREACHABLE;
        return ROUND_OVER;
    }
    if (answer->code != 200 || !report_id(answer->body)) {
        clear(f);
        client_print_problem(f->settings->command, f->settings->client, answer);
        *ret_exit = client_exit(answer) ? client_exit(answer) : EXIT_UNREACHABLE;
        arena_free(arena);
        return ROUND_OVER;
    }
    found_again(f);
    arena_free(f->arena);
    f->arena = arena;
    f->report = answer->body;
    return ROUND_ON;
}

/* One question. */
static enum round ask(struct following *f, int *ret_exit) {
    struct arena *arena = arena_new();
    int64_t wait_s = f->report && left_ms(f) > WAIT_S * 1000 ? WAIT_S : 0;
    struct client_request request = {.method = "GET", .path = run_path(arena, f->id, ""), .wait_s = wait_s};
    struct client_answer answer;
    struct fault fault;
    int64_t asked_ms = clock_mono_ms();
    switch (client_call(f->settings->client, arena, &request, &answer, &fault)) {
    case CLIENT_ABANDONED: arena_free(arena); return ROUND_ON;
    case CLIENT_NEVER_SENT:
    case CLIENT_LOST:
        arena_free(arena);
        if (endures(f, &fault, 0)) return ROUND_ON;
        *ret_exit = EXIT_UNREACHABLE;
        return ROUND_OVER;
    case CLIENT_ANSWERED: break;
    }
    enum round round = take_answer(f, arena, &answer, ret_exit);
    if (round == ROUND_OVER || report_ended(f->report)) return round;
    show(f);
    if (!f->lost_ms) rest(f, asked_ms + ROUND_MS);
    return round;
}

static int finish(struct following *f) {
    clear(f);
    if (f->settings->json) report_print_json(stdout, f->report);
    else {
        struct screen out;
        screen_init(&out, stdout);
        report_print(&out, f->report, clock_wall_ms());
    }
    return report_exit(f->report);
}

static int leave(struct following *f, int status) {
    clear(f);
    if (f->report && f->settings->json) report_print_json(stdout, f->report);
    if (f->report) say_how(f);
    return status;
}

static int follow(struct following *f) {
    int status = EXIT_DONE;
    show(f);
    for (;;) {
        if (report_ended(f->report)) return finish(f);
        if (screen_broken(&f->screen)) return EXIT_FAILED;
        if (f->interrupted && !stays(f)) return leave(f, EXIT_LEFT);
        if (left_ms(f) <= 0) {
            clear(f);
            screen_say(f->settings->command, "the time is up, and the run has not ended");
            return leave(f, EXIT_FAILED);
        }
        if (ask(f, &status) == ROUND_OVER) return status == EXIT_UNREACHABLE ? leave(f, status) : status;
    }
}

int follow_run(const struct follow_settings *settings, const char *id, const struct json *report) {
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    struct following f = {.settings = settings,
                          .id = id,
                          .report = report,
                          .signals = signalfd(-1, &interrupt, SFD_NONBLOCK | SFD_CLOEXEC),
                          .began_ms = clock_mono_ms()};
    screen_init(&f.screen, settings->json ? stderr : stdout);
    f.shows = !settings->json || f.screen.terminal;
    client_on_wait(settings->client, f.signals, TICK_MS, on_wait, &f);
    int status = follow(&f);
    client_on_wait(settings->client, -1, ROUND_MS, NULL, NULL);
    arena_free(f.arena);
    mem_free(f.last_line);
    close(f.signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}
