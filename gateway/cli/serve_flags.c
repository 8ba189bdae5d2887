/* The command line of `stagedoor serve`: flags of its own, and those that the table of options makes.
 *
 * Options are read later, with the file and the environment, so that all mistakes are told at once; here flags are only
 * sorted. What asks for a text (--help, --print-options) is answered at once. */
#include "cli/serve_flags.h"

#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"

static void print_help(void) {
    struct buf help;
    buf_init(&help, 1024 * 1024);
    settings_print_help(&help);
    printf("usage: stagedoor serve [-c FILE] [--NAME VALUE]... [--print-options]\n\n"
           "Runs the gateway until SIGTERM. Options come from flags, the environment (STAGEDOOR_NAME), and\n"
           "stagedoor.conf; --print-options prints a commented stagedoor.conf with every default.\n\n%s",
           buf_cstr(&help));
    buf_fini(&help);
}

static int print_options(void) {
    struct buf sample;
    buf_init(&sample, 1024 * 1024);
    settings_print_sample(&sample);
    fputs(buf_cstr(&sample), stdout);
    buf_fini(&sample);
    return EXIT_DONE;
}

/* As all commands take it. *ret_file is NULL where the next argument is the file. */
static bool is_config(const char *flag, const char **ret_file) {
    static const char *const attached[] = {"--config=", "-c"};
    *ret_file = NULL;
    if (strcmp(flag, "--config") == 0 || strcmp(flag, "-c") == 0) return true;
    for (size_t i = 0; i < 2 && !*ret_file; i++)
        if (strncmp(flag, attached[i], strlen(attached[i])) == 0) *ret_file = flag + strlen(attached[i]);
    return *ret_file != NULL;
}

int serve_flags_read(int argc, char **argv, struct settings_input *input, const char **flags) {
    for (int i = 1; i < argc; i++) {
        const char *const *rest = (const char *const *)(argv + i);
        size_t n = settings_flag_length(rest, (size_t)(argc - i));
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return print_help(), EXIT_DONE;
        if (strcmp(argv[i], "--print-options") == 0) return print_options();
        const char *file;
        if (is_config(argv[i], &file)) {
            if (!file && i + 1 == argc) return args_wrong("serve", "--config needs a value: --config FILE");
            input->config = file ? file : argv[++i];
        } else { /* what is none of the table's is refused by it, with the nearest name */
            for (size_t j = 0; j < (n ? n : 1); j++) flags[input->flag_count++] = argv[i + (int)j];
            i += (int)(n ? n : 1) - 1;
        }
    }
    return -1;
}
