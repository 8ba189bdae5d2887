/* The parser of command lines.
 *
 * A command describes its options once, as rows of a table with the offset of the field that each fills. From the rows
 * come the parsing, `--help` and the nearest name for a mistyped one, so that none of them can drift from the others.
 * `--help` and `-h` belong to every command and stand in no table.
 *
 * It is our own and not getopt_long because getopt_long takes abbreviations (which break scripts when an option is
 * added), knows no types, and cannot make the help. Nothing here decides what an option means. */
#include "cli/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/text.h"
#include "cli/command.h"
#include "lang/units.h"

struct parsing {
    const struct args_command *command;
    int argc, at;
    char **argv;
    char *into;
    bool help;
};

int args_wrong(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "stagedoor %s: ", command);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nTry 'stagedoor %s --help'.\n", command);
    va_end(args);
    return EXIT_USAGE;
}

static void print_help(const struct args_command *command) {
    printf("usage: stagedoor %s%s%s [options]\n\n%s\noptions:\n", command->name, command->synopsis[0] ? " " : "",
           command->synopsis, command->about);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct args_option *option = &command->options[i];
        char left[64];
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", option->letter ? '-' : ' ',
                 option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
                 option->value ? " " : "", option->value ? option->value : "");
        printf("  %-24s %s\n", left, option->help);
    }
    printf("  %-24s %s\n", "-h, --help", "print this help");
}

static const struct args_option *find_name(const struct args_command *command, struct text name) {
    for (size_t i = 0; i < command->option_count; i++)
        if (text_is(name, command->options[i].name)) return &command->options[i];
    return NULL;
}

static const struct args_option *find_letter(const struct args_command *command, char letter) {
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].letter && command->options[i].letter == letter) return &command->options[i];
    return NULL;
}

static int unknown_option(const struct args_command *command, struct text name) {
    enum { MOST = 64 };
    const char *names[MOST];
    size_t count = 0;
    names[count++] = "help";
    for (size_t i = 0; i < command->option_count && count < MOST; i++) names[count++] = command->options[i].name;
    char *word = mem_strndup(name.at, name.len);
    const char *nearest = text_nearest(word, names, count);
    int status = nearest ? args_wrong(command->name, "unknown option --%s (did you mean --%s?)", word, nearest)
                         : args_wrong(command->name, "unknown option --%s", word);
    mem_free(word);
    return status;
}

static bool store_number(const struct parsing *p, const struct args_option *option, const char *value, int *ret_exit) {
    int64_t number;
    if (!text_to_int(text_of(value), &number) || number < option->least || number > option->most) {
        *ret_exit = args_wrong(p->command->name, "--%s takes a whole number from %lld to %lld, not \"%s\"",
                               option->name, (long long)option->least, (long long)option->most, value);
        return false;
    }
    memcpy(p->into + option->offset, &number, sizeof number);
    return true;
}

static bool store_duration(const struct parsing *p, const struct args_option *option, const char *value,
                           int *ret_exit) {
    struct fault fault;
    int64_t ms;
    if (!duration_parse(text_of(value), &ms, &fault)) {
        *ret_exit = args_wrong(p->command->name, "--%s: %s", option->name, fault.what);
        return false;
    }
    memcpy(p->into + option->offset, &ms, sizeof ms);
    return true;
}

static bool store(const struct parsing *p, const struct args_option *option, const char *value, int *ret_exit) {
    bool yes = true;
    switch (option->kind) {
    case ARGS_FLAG: memcpy(p->into + option->offset, &yes, sizeof yes); return true;
    case ARGS_TEXT: memcpy(p->into + option->offset, &value, sizeof value); return true;
    case ARGS_NUMBER: return store_number(p, option, value, ret_exit);
    case ARGS_DURATION: return store_duration(p, option, value, ret_exit);
    }
    return true;
}

/* The value that follows as an argument of its own. */
static bool next_value(struct parsing *p, const struct args_option *option, const char **ret_value, int *ret_exit) {
    if (p->at + 1 >= p->argc) {
        *ret_exit = args_wrong(p->command->name, "--%s needs a value: --%s %s", option->name, option->name,
                               option->value);
        return false;
    }
    *ret_value = p->argv[++p->at];
    return true;
}

static bool parse_long(struct parsing *p, int *ret_exit) {
    struct text name = text_of(p->argv[p->at] + 2);
    const char *equals = memchr(name.at, '=', name.len), *value = NULL;
    if (equals) {
        value = equals + 1;
        name.len = (size_t)(equals - name.at);
    }
    const struct args_option *option = find_name(p->command, name);
    if (!option && text_is(name, "help") && !value) return p->help = true;
    if (!option) {
        *ret_exit = unknown_option(p->command, name);
        return false;
    }
    if (option->kind == ARGS_FLAG && value) {
        *ret_exit = args_wrong(p->command->name, "--%s takes no value", option->name);
        return false;
    }
    if (option->kind != ARGS_FLAG && !value && !next_value(p, option, &value, ret_exit)) return false;
    return store(p, option, value, ret_exit);
}

static bool parse_letters(struct parsing *p, int *ret_exit) {
    for (const char *letter = p->argv[p->at] + 1; *letter; letter++) {
        const struct args_option *option = find_letter(p->command, *letter);
        if (!option && *letter == 'h') {
            p->help = true;
            continue;
        }
        if (!option) {
            *ret_exit = args_wrong(p->command->name, "unknown option -%c", *letter);
            return false;
        }
        if (option->kind == ARGS_FLAG) {
            if (!store(p, option, NULL, ret_exit)) return false;
            continue;
        }
        const char *value = letter[1] ? letter + 1 : NULL;
        return (value || next_value(p, option, &value, ret_exit)) && store(p, option, value, ret_exit);
    }
    return true;
}

static bool check_words(const struct args_command *command, const struct args_words *words, int *ret_exit) {
    if (words->count < command->least_words)
        *ret_exit = args_wrong(command->name, "something is missing: stagedoor %s %s", command->name,
                               command->synopsis);
    else if (words->count > command->most_words)
        *ret_exit = args_wrong(command->name, "\"%s\" is too much", words->items[command->most_words]);
    else return true;
    return false;
}

bool args_parse(const struct args_command *command, int argc, char **argv, void *into, struct args_words *ret_words,
                int *ret_exit) {
    struct parsing p = {.command = command, .argc = argc, .argv = argv, .into = into};
    struct args_words words = {.items = argv + 1};
    bool only_words = false;
    for (p.at = 1; p.at < argc; p.at++) {
        char *argument = argv[p.at];
        if (only_words || argument[0] != '-' || argument[1] == 0) words.items[words.count++] = argument;
        else if (strcmp(argument, "--") == 0) only_words = true;
        else if (!(argument[1] == '-' ? parse_long(&p, ret_exit) : parse_letters(&p, ret_exit))) return false;
    }
    if (p.help) {
        print_help(command);
        *ret_exit = EXIT_DONE;
        return false;
    }
    *ret_words = words;
    return check_words(command, &words, ret_exit);
}
