/* The option parser: what each form of a command line gives. Mistakes are tested end to end, where their sentences are
 * seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/args.h"
#include "cli/command.h"

struct given {
    bool flag, other;
    const char *text;
    int64_t number, duration;
};

static const struct args_option options[] = {
    {'f', "flag", ARGS_FLAG, NULL, offsetof(struct given, flag), "a flag", 0, 0},
    {'o', "other", ARGS_FLAG, NULL, offsetof(struct given, other), "another", 0, 0},
    {'t', "text", ARGS_TEXT, "TEXT", offsetof(struct given, text), "text", 0, 0},
    {'n', "number", ARGS_NUMBER, "N", offsetof(struct given, number), "a number", -5, 100},
    {'d', "duration", ARGS_DURATION, "TIME", offsetof(struct given, duration), "a duration", 0, 0},
};
static const struct args_command command = {
    "try", "[WORD]...", "Tries.\n", options, sizeof options / sizeof *options, 0, 3};

#define ARGS_MOST 12

struct row {
    const char *args[ARGS_MOST];
    int exit; /* -1: parsed */
    struct given want;
    const char *words; /* joined by '|' */
};

static const struct row rows[] = {
    {{NULL}, -1, {0}, ""},
    {{"a", "b"}, -1, {0}, "a|b"},
    {{"a", "-f", "b"}, -1, {.flag = true}, "a|b"},
    {{"-fo"}, -1, {.flag = true, .other = true}, ""},
    {{"--flag", "--other"}, -1, {.flag = true, .other = true}, ""},
    {{"-t", "x"}, -1, {.text = "x"}, ""},
    {{"-tx"}, -1, {.text = "x"}, ""},
    {{"-ftx"}, -1, {.flag = true, .text = "x"}, ""},
    {{"-ft", "x", "y"}, -1, {.flag = true, .text = "x"}, "y"},
    {{"--text=x"}, -1, {.text = "x"}, ""},
    {{"--text="}, -1, {.text = ""}, ""},
    {{"--text", "-f"}, -1, {.text = "-f"}, ""},
    {{"--text=a=b"}, -1, {.text = "a=b"}, ""},
    {{"--text=a", "--text=b"}, -1, {.text = "b"}, ""},
    {{"-"}, -1, {0}, "-"},
    {{"--", "-f", "--flag"}, -1, {0}, "-f|--flag"},
    {{"-f", "--", "--"}, -1, {.flag = true}, "--"},
    {{""}, -1, {0}, ""},
    {{"--number", "-5"}, -1, {.number = -5}, ""},
    {{"--number=100"}, -1, {.number = 100}, ""},
    {{"--number=101"}, EXIT_USAGE, {0}, ""},
    {{"--number=-6"}, EXIT_USAGE, {0}, ""},
    {{"--number=1x"}, EXIT_USAGE, {0}, ""},
    {{"--number="}, EXIT_USAGE, {0}, ""},
    {{"-n"}, EXIT_USAGE, {0}, ""},
    {{"--duration=1m30s"}, -1, {.duration = 90000}, ""},
    {{"--duration=long"}, EXIT_USAGE, {0}, ""},
    {{"--fla"}, EXIT_USAGE, {0}, ""}, /* no abbreviations */
    {{"--flag=1"}, EXIT_USAGE, {0}, ""},
    {{"--=x"}, EXIT_USAGE, {0}, ""},
    {{"-fx"}, EXIT_USAGE, {0}, ""},
    {{"a", "b", "c", "d"}, EXIT_USAGE, {0}, ""},
    {{"--help"}, EXIT_DONE, {0}, ""},
    {{"-h"}, EXIT_DONE, {0}, ""},
    {{"a", "b", "c", "d", "-fh"}, EXIT_DONE, {0}, ""}, /* help wins over too many words */
    {{"--", "--help"}, -1, {0}, "--help"},
};

static const char *shown(const char *text) {
    return text ? text : "(null)";
}

static void parses(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        char storage[ARGS_MOST][32], *argv[ARGS_MOST + 1], name[] = "try", joined[128] = "";
        int argc = 1, status = -1;
        argv[0] = name;
        for (; argc <= ARGS_MOST && row->args[argc - 1]; argc++) {
            snprintf(storage[argc - 1], sizeof storage[0], "%s", row->args[argc - 1]);
            argv[argc] = storage[argc - 1];
        }
        struct given given = {0};
        struct args_words words = {0};
        bool go_on = args_parse(&command, argc, argv, &given, &words, &status);
        if (go_on != (row->exit < 0) || status != row->exit) fail_msg("row %zu: exit %d", i, status);
        if (!go_on) continue;
        for (size_t w = 0; w < words.count; w++) {
            size_t used = strlen(joined);
            snprintf(joined + used, sizeof joined - used, "%s%s", w ? "|" : "", words.items[w]);
        }
        if (strcmp(joined, row->words) != 0) fail_msg("row %zu: words %s", i, joined);
        if (given.flag != row->want.flag || given.other != row->want.other) fail_msg("row %zu: flags", i);
        if (strcmp(shown(given.text), shown(row->want.text)) != 0) fail_msg("row %zu: text %s", i, shown(given.text));
        if (given.number != row->want.number || given.duration != row->want.duration) fail_msg("row %zu: numbers", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(parses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
