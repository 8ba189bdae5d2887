/* Command lines: one small parser, fed by a table per command. The table makes the parsing, the help and "did you
 * mean"; a test holds the manual page against the help. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum args_kind {
    ARGS_FLAG,    /* bool */
    ARGS_TEXT,    /* const char *, borrowed from argv */
    ARGS_NUMBER,  /* int64_t, least…most */
    ARGS_DURATION /* int64_t, milliseconds */
};

struct args_option {
    char letter; /* "-k"; 0: none */
    const char *name;
    enum args_kind kind;
    const char *value; /* what the help calls the value, "FILE"; NULL for a flag */
    size_t offset;     /* of the field, in the struct that args_parse fills */
    const char *help;
    int64_t least, most; /* of a number */
};

struct args_command {
    const char *name;     /* "run" */
    const char *synopsis; /* its words: "STAGE [NAME=VALUE | NAME:=JSON]..." */
    const char *about;    /* lines for the help, each ended by a newline */
    const struct args_option *options;
    size_t option_count;
    size_t least_words, most_words;
};

struct args_words {
    char **items; /* in argv, which is reordered */
    size_t count;
};

/* Options may stand anywhere before "--"; "--name=value" and "--name value" are the same, short flags may be joined,
 * and
 * "-" is a word. `into` holds the defaults. False: there is nothing left to do, and *ret_exit says how it ended (help
 * was asked for and printed, or a mistake was named on stderr). */
bool args_parse(const struct args_command *command, int argc, char **argv, void *into, struct args_words *ret_words,
                int *ret_exit);

/* "stagedoor run: …", and where to read on; gives EXIT_USAGE. */
int args_wrong(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
