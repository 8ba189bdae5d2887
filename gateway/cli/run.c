/* `stagedoor run`: starts a run and follows it to its end.
 *
 * Parameters are words as in HTTPie: name=text, and name:=JSON for everything that is no text. They may also come from
 * a file or stdin as one JSON object, which is where secrets belong; a word wins over the file.
 *
 * A start is never sent without a key. Where the user names none we make one, so that a start whose answer was lost can
 * be sent again, and gives the same run instead of a second one. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/input.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "lang/url.h"

enum { SEND_MOST = 3, BODY_MAX_BYTES = 64 * 1024 * 1024 };

struct run_options {
    struct client_options client;
    const char *key, *params;
    bool no_wait, json;
    int64_t timeout_ms, patience_ms;
};

static const struct args_option options[] = {
    {'k', "key", ARGS_TEXT, "KEY", offsetof(struct run_options, key), "the same key gives the same run, started once",
     0, 0},
    {'p', "params", ARGS_TEXT, "FILE", offsetof(struct run_options, params),
     "take parameters from a JSON object in FILE; - is stdin", 0, 0},
    {'n', "no-wait", ARGS_FLAG, NULL, offsetof(struct run_options, no_wait), "print the run's id, and do not follow it",
     0, 0},
    {'t', "timeout", ARGS_DURATION, "TIME", offsetof(struct run_options, timeout_ms),
     "leave after TIME (30s, 2h); the run goes on", 0, 0},
    {0, "patience", ARGS_DURATION, "TIME", offsetof(struct run_options, patience_ms),
     "go on for TIME while the gateway is gone (default 1m)", 0, 0},
    {0, "json", ARGS_FLAG, NULL, offsetof(struct run_options, json), "print the last report as JSON", 0, 0},
    CLIENT_OPTIONS(struct run_options),
};

static const struct args_command command = {
    "run",
    "STAGE [NAME=TEXT | NAME:=JSON]...",
    "Starts a run of a stage and follows it to its end.\n\n"
    "NAME=TEXT gives a parameter as text, NAME:=JSON as JSON: users:=50 tags:='[\"a\"]'.\n"
    "Secrets belong into a file (--params): others can read the arguments of a process.\n"
    "Ctrl-C asks whether to cancel the run; a second one leaves, and the run goes on.\n\n"
    "exit status: 0 succeeded, 1 failed, 2 usage, 3 canceled, 4 gateway unreachable, 130 left\n",
    options,
    sizeof options / sizeof *options,
    1,
    1000};

/* One word NAME=TEXT or NAME:=JSON into the object. */
static bool add_word(struct arena *arena, struct json *params, struct json *words, const char *word,
                     struct fault *fault) {
    const char *equals = strchr(word, '=');
    if (!equals || equals == word || (equals == word + 1 && word[0] == ':'))
        return fault_set(fault, FAULT_SYNTAX, word, "a parameter is given as name=text or name:=JSON");
    bool typed = equals[-1] == ':';
    struct text name = {word, (size_t)(equals - word) - typed}, rest = text_of(equals + 1);
    char *where = arena_strndup(arena, name.at, name.len);
    if (!text_utf8_check(text_of(word))) return fault_set(fault, FAULT_SYNTAX, where, "it is not UTF-8");
    if (json_get(words, name)) return fault_set(fault, FAULT_INVALID, where, "it is given twice");
    const struct json *value = typed ? input_json(arena, rest, where, fault) : json_new_text(arena, rest);
    if (!value) return false;
    json_set_text(words, name, json_new_bool(arena, true));
    json_set_text(params, name, value);
    return true;
}

static bool take_file(struct arena *arena, const char *file, struct json *params, struct fault *fault) {
    const struct json *given = input_json_file(arena, file, fault);
    if (!given) return false;
    if (json_kind(given) != JSON_OBJECT)
        return fault_set(fault, FAULT_INVALID, file, "parameters are a JSON object, not %s",
                         json_kind_word(json_kind(given)));
    for (struct json_member m = json_first(given); m.name.at; m = json_next(given, m))
        json_set_text(params, m.name, m.value);
    return true;
}

/* The body of the start. */
static bool compose(struct arena *arena, const struct run_options *given, const struct args_words *words,
                    struct buf *out, struct fault *fault) {
    struct json *body = json_new_object(arena), *params = json_new_object(arena), *seen = json_new_object(arena);
    if (given->params && !take_file(arena, given->params, params, fault)) return false;
    for (size_t i = 1; i < words->count; i++)
        if (!add_word(arena, params, seen, words->items[i], fault)) return false;
    struct buf key;
    buf_init(&key, 64);
    unsigned char random[16];
    digest_random(random, sizeof random);
    buf_adds(&key, "cli-");
    buf_add_hex(&key, random, sizeof random);
    json_set(body, "parameters", params);
    json_set(body, "key", json_new_string(arena, given->key ? given->key : buf_cstr(&key)));
    json_write(out, body);
    buf_fini(&key);
    return !out->full || fault_set(fault, FAULT_TOO_LARGE, NULL, "the parameters are larger than 64 MiB");
}

static int send_start(struct client *client, struct arena *arena, const struct client_request *request,
                      struct client_answer *ret_answer) {
    struct fault fault;
    enum client_result result = CLIENT_LOST;
    for (int i = 0; i < SEND_MOST && result == CLIENT_LOST; i++) {
        if (i) screen_say("run", "%s; sending the start again, with the same key", fault.what);
        result = client_call(client, arena, request, ret_answer, &fault);
    }
    if (result != CLIENT_ANSWERED) {
        screen_fault("run", &fault);
        if (result == CLIENT_LOST) screen_say("run", "the run may have been started; see stagedoor runs");
        return EXIT_UNREACHABLE;
    }
    int status = client_exit(ret_answer);
    if (status == EXIT_DONE && report_id(ret_answer->body)) return EXIT_DONE;
    client_print_problem("run", client, ret_answer);
    return status == EXIT_DONE ? EXIT_UNREACHABLE : status;
}

static void print_started(const struct run_options *given, const struct json *report) {
    if (given->json) {
        report_print_json(stdout, report);
        return;
    }
    struct screen screen;
    struct buf id;
    screen_init(&screen, stdout);
    buf_init(&id, 4096);
    screen_clean(&id, &screen, text_of(report_id(report)));
    printf("%s\n", buf_cstr(&id));
    if (isatty(STDERR_FILENO)) screen_say("run", "to follow it: stagedoor watch %s", buf_cstr(&id));
    buf_fini(&id);
}

static int start(struct client *client, struct arena *arena, const struct run_options *given, const char *stage,
                 struct text body) {
    struct buf path;
    buf_init(&path, 64 * 1024);
    buf_adds(&path, "/stages/");
    url_encode(&path, text_of(stage));
    struct client_request request = {.method = "POST", .path = buf_cstr(&path), .body = body};
    struct client_answer answer;
    int status = send_start(client, arena, &request, &answer);
    buf_fini(&path);
    if (status != EXIT_DONE) return status;
    if (given->no_wait) {
        print_started(given, answer.body);
        return EXIT_DONE;
    }
    struct follow_settings settings = {.client = client,
                                       .command = "run",
                                       .timeout_ms = given->timeout_ms,
                                       .patience_ms = given->patience_ms,
                                       .json = given->json};
    return follow_run(&settings, report_id(answer.body), answer.body);
}

int command_run(int argc, char **argv) {
    struct run_options given = {.patience_ms = FOLLOW_PATIENCE_MS};
    struct args_words words;
    struct fault fault;
    int status = EXIT_USAGE;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    if (given.key && (!given.key[0] || !text_utf8_check(text_of(given.key))))
        return args_wrong("run", "a key is UTF-8 text, and not empty");
    if (!words.items[0][0] || strchr(words.items[0], '='))
        return args_wrong("run", "the stage's name comes first, then its parameters");
    struct arena *arena = arena_new();
    struct buf body;
    struct client *client = NULL;
    buf_init(&body, BODY_MAX_BYTES);
    if (compose(arena, &given, &words, &body, &fault) && (client = client_new(&given.client, &fault)))
        status = start(client, arena, &given, words.items[0], buf_text(&body));
    else {
        screen_fault("run", &fault);
        status = EXIT_USAGE;
    }
    client_free(client);
    buf_fini(&body);
    arena_free(arena);
    return status;
}
