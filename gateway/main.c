/* stagedoor: finds the sub-command and runs it.
 *
 * What holds for all of them is arranged here: descriptors 0 to 2 are taken before anything else could get them, output
 * leaves line by line, and output that could not be written is a failure. A reader that went away (`… | head`) ends us
 * as it would any other filter, yet not in the middle of what a command does: SIGPIPE is ignored until its end. */
#include <fcntl.h>
#ifdef WITH_MIMALLOC
#include <mimalloc.h>
#endif
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} commands[] = {
#define X(name, help) {#name, help, command_##name},
    COMMANDS(X)
#undef X
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *to) {
    fputs("usage: stagedoor COMMAND [arguments]\n\ncommands:\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++) fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
    fputs("\n'stagedoor help COMMAND' tells about one of them.\n", to);
}

static int run_command(const char *name, int argc, char **argv) {
    const char *names[COMMAND_COUNT + 1] = {"help"};
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        names[i + 1] = commands[i].name;
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc, argv);
    }
    const char *nearest = text_nearest(name, names, COMMAND_COUNT + 1);
    if (nearest) fprintf(stderr, "stagedoor: no command \"%s\" (did you mean %s?)\n", name, nearest);
    else fprintf(stderr, "stagedoor: no command \"%s\"\n", name);
    fputs("Try 'stagedoor help'.\n", stderr);
    return EXIT_USAGE;
}

static int run_help(int argc, char **argv) {
    char help[] = "--help";
    char *asked[] = {argv[1], help, NULL};
    if (argc == 1 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    return run_command(argv[1], 2, asked);
}

static int dispatch(int argc, char **argv) {
    static const char *const helps[] = {"help", "--help", "-h"}, *const versions[] = {"--version", "-V"};
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof helps / sizeof *helps; i++)
        if (strcmp(argv[1], helps[i]) == 0) return run_help(argc - 1, argv + 1);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (strcmp(argv[1], versions[i]) == 0) return run_command("version", argc - 1, argv + 1);
    return run_command(argv[1], argc - 1, argv + 1);
}

/* A descriptor that is closed is opened the wrong way round, so that using it fails, and no socket ever gets its
 * number. */
static void fill_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) abort();
}

static int end_output(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    struct pollfd out = {.fd = STDOUT_FILENO};
    if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR)) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    fputs("stagedoor: the output could not be written\n", stderr);
    return status == EXIT_DONE ? EXIT_FAILED : status;
}

/* mimalloc gives memory back some time after it is free, and only when more is taken or freed near it: what a burst of
 * large bodies took would stay until then. */
static void give_memory_back(void) {
#ifdef WITH_MIMALLOC
    mi_option_set(mi_option_decommit_delay, 0);
#endif
}

int main(int argc, char **argv) {
    give_memory_back();
    fill_descriptors();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    return end_output(dispatch(argc, argv));
}
