/* `stagedoor cancel`: asks the gateway to cancel a run, by its id, or by stage and key for a run whose id nobody got to
 * know. The gateway's answer says that the wish is recorded; whether the upstream obeyed is seen in the report. */
#include <stddef.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "lang/url.h"

struct cancel_options {
    struct client_options client;
    const char *stage, *key;
    bool json;
};

static const struct args_option options[] = {
    {'s', "stage", ARGS_TEXT, "STAGE", offsetof(struct cancel_options, stage), "the stage, together with --key", 0, 0},
    {'k', "key", ARGS_TEXT, "KEY", offsetof(struct cancel_options, key), "the key that the run was started with", 0, 0},
    {0, "json", ARGS_FLAG, NULL, offsetof(struct cancel_options, json), "print the report as JSON", 0, 0},
    CLIENT_OPTIONS(struct cancel_options),
};

static const struct args_command command = {
    "cancel",
    "RUN | --stage STAGE --key KEY",
    "Cancels a run. Its end can be followed with stagedoor watch.\n\n"
    "exit status: 0 asked (or ended already), 1 failed, 2 usage or no such run, 4 gateway unreachable\n",
    options,
    sizeof options / sizeof *options,
    0,
    1};

static int cancel_by_key(struct client *client, struct arena *arena, const struct cancel_options *given,
                         struct client_answer *ret_answer) {
    struct buf path, body;
    buf_init(&path, 64 * 1024);
    buf_init(&body, 1024 * 1024);
    buf_adds(&path, "/stages/");
    url_encode(&path, text_of(given->stage));
    buf_adds(&path, "/cancel");
    buf_adds(&body, "{\"key\":");
    buf_add_json_string(&body, text_of(given->key));
    buf_addc(&body, '}');
    struct client_request request = {.method = "POST", .path = buf_cstr(&path), .body = buf_text(&body)};
    int status = client_ask(client, arena, "cancel", &request, ret_answer);
    buf_fini(&path);
    buf_fini(&body);
    return status;
}

static void print_answer(const struct cancel_options *given, const struct json *report) {
    struct screen screen;
    screen_init(&screen, stdout);
    if (given->json) report_print_json(stdout, report);
    else if (report_ended(report)) report_print(&screen, report, clock_wall_ms());
    else {
        struct buf line;
        buf_init(&line, 64 * 1024);
        screen_clean(&line, &screen, text_of(report_id(report) ? report_id(report) : "the run"));
        buf_adds(&line, "  ");
        report_line(&line, &screen, report);
        printf("%s\n", buf_cstr(&line));
        buf_fini(&line);
    }
}

static bool check_words(const struct cancel_options *given, const struct args_words *words) {
    if (words->count) return words->items[0][0] && !given->stage && !given->key;
    return given->stage && given->stage[0] && given->key && given->key[0] && text_utf8_check(text_of(given->key));
}

int command_cancel(int argc, char **argv) {
    struct cancel_options given = {0};
    struct args_words words;
    struct fault fault;
    struct client_answer answer;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    if (!check_words(&given, &words)) return args_wrong("cancel", "name either a run's id, or --stage and --key");
    struct client *client = client_new(&given.client, &fault);
    if (!client) {
        screen_fault("cancel", &fault);
        return EXIT_USAGE;
    }
    struct arena *arena = arena_new();
    if (words.count) status = follow_cancel(client, arena, "cancel", words.items[0], &answer);
    else status = cancel_by_key(client, arena, &given, &answer);
    if (status == EXIT_DONE) print_answer(&given, answer.body);
    arena_free(arena);
    client_free(client);
    return status;
}
