/* `stagedoor version`: our own version, and those of the libraries that a bug report asks for first.
 *
 * Only what cli/ may ask is asked: libcurl, which names what it stands on (TLS, compression, HTTP/2), and the C
 * library. The versions are those of the machine that runs us, not of the one that built us. */
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/report.h"

struct version_options {
    bool json;
};

static const struct args_option options[] = {
    {0, "json", ARGS_FLAG, NULL, offsetof(struct version_options, json), "print an object", 0, 0},
};

static const struct args_command command = {
    "version", "", "Prints the version of stagedoor and those of libraries.\n\nexit status: 0 done, 2 usage\n",
    options,   1,  0,
    0};

/* "libcurl/7.88.1 OpenSSL/3.0.22 …", and a remark in brackets here and there. */
static void add_libraries(struct arena *arena, struct json *libraries) {
    struct text rest = text_of(client_library()), word;
    while (text_cut(&rest, ' ', &word)) {
        struct text name;
        if (!text_holds(word, "/") || word.at[0] == '(' || !text_cut(&word, '/', &name)) continue;
        json_set_text(libraries, name, json_new_text(arena, word));
    }
    char libc[64] = "";
    confstr(_CS_GNU_LIBC_VERSION, libc, sizeof libc); /* "glibc 2.36" */
    struct text version = text_of(libc), name;
    if (text_cut(&version, ' ', &name)) json_set_text(libraries, name, json_new_text(arena, version));
}

int command_version(int argc, char **argv) {
    struct version_options given = {0};
    struct args_words words;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    struct arena *arena = arena_new();
    struct json *about = json_new_object(arena), *libraries = json_new_object(arena);
    add_libraries(arena, libraries);
    json_set(about, "version", json_new_string(arena, STAGEDOOR_VERSION));
    json_set(about, "libraries", libraries);
    json_set(about, "compiler", json_new_string(arena, __VERSION__));
    if (given.json) report_print_json(stdout, about);
    else {
        printf("stagedoor %s\n", STAGEDOOR_VERSION);
        for (struct json_member m = json_first(libraries); m.name.at; m = json_next(libraries, m))
            printf("  %.*s %.*s\n", TEXT_ARG(m.name), TEXT_ARG(json_text(m.value)));
        printf("  compiler %s\n", __VERSION__);
    }
    arena_free(arena);
    return EXIT_DONE;
}
