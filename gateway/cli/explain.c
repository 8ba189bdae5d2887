/* `stagedoor explain`: what every call of a run was, which rule judged it, and what comes next and when.
 *
 * The gateway tells it all; here it is only put into a table. */
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "lang/url.h"

struct explain_options {
    struct client_options client;
    bool json;
};

static const struct args_option options[] = {
    {0, "json", ARGS_FLAG, NULL, offsetof(struct explain_options, json), "print it as JSON", 0, 0},
    CLIENT_OPTIONS(struct explain_options),
};

static const struct args_command command = {
    "explain",
    "RUN",
    "Tells what every call of a run was, which rule judged it, and what comes next. Calls in a\n"
    "row that ended in the same way are one line.\n\n"
    "exit status: 0 done, 1 failed, 2 usage or no such run, 4 gateway unreachable\n",
    options,
    sizeof options / sizeof *options,
    1,
    1};

static void add_number(struct screen_table *table, const struct json *value, const char *unit) {
    struct buf cell;
    buf_init(&cell, 64);
    if (json_kind(value) == JSON_INT) buf_addf(&cell, "%lld%s", (long long)json_int(value), unit);
    screen_table_add(table, buf_text(&cell));
    buf_fini(&cell);
}

static void add_text(struct screen_table *table, const struct json *call, const char *name) {
    screen_table_add(table, text_of(json_gets_text(call, name)));
}

static void print_calls(struct arena *arena, const struct screen *screen, const struct json *calls) {
    static const char *const heads[] = {"STEP", "CALLS", "FIRST", "LAST", "TOOK", "PHASE", "CODE", "VERDICT", "WHY"};
    struct screen_table table;
    screen_table_init(&table, screen, arena, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) screen_table_add(&table, text_of(heads[i]));
    for (size_t i = 0; i < json_size(calls); i++) {
        const struct json *call = json_at(calls, i);
        add_text(&table, call, "step");
        add_number(&table, json_gets(call, "count"), "");
        add_text(&table, call, "first");
        add_text(&table, call, "last");
        add_number(&table, json_gets(call, "ms"), "ms");
        add_text(&table, call, "phase");
        add_number(&table, json_gets(call, "code"), "");
        add_text(&table, call, "verdict");
        add_text(&table, call, "rule");
    }
    screen_table_print(&table);
}

static void print_line(const struct screen *screen, const char *head, const char *value) {
    if (!value || !*value) return;
    struct buf line;
    buf_init(&line, 64 * 1024);
    screen_clean(&line, screen, text_of(value));
    printf("%s%s\n", head, buf_cstr(&line));
    buf_fini(&line);
}

static void print(struct arena *arena, const struct json *told) {
    struct screen screen;
    screen_init(&screen, stdout);
    const struct json *next = json_gets(told, "next");
    const char *what = json_gets_text(next, "what"), *at = json_gets_text(next, "at");
    print_line(&screen, "status:   ", json_gets_text(told, "status"));
    print_line(&screen, "reason:   ", json_gets_text(told, "reason"));
    print_line(&screen, "progress: ", json_gets_text(told, "progress"));
    if (what && at) what = arena_printf(arena, "%s, at %s", what, at);
    print_line(&screen, "waits for ", what);
    print_line(&screen, "deadline: ", json_gets_text(told, "deadline"));
    if (json_size(json_gets(told, "calls"))) {
        fputc('\n', stdout);
        print_calls(arena, &screen, json_gets(told, "calls"));
    }
    int64_t left_out = json_int(json_gets(told, "leftOut"));
    if (left_out) printf("\n%lld calls between the first and the last are left out\n", (long long)left_out);
}

int command_explain(int argc, char **argv) {
    struct explain_options given = {0};
    struct args_words words;
    struct fault fault;
    struct client_answer answer;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    if (!words.items[0][0]) return args_wrong("explain", "a run's id is not empty");
    struct client *client = client_new(&given.client, &fault);
    if (!client) {
        screen_fault("explain", &fault);
        return EXIT_USAGE;
    }
    struct arena *arena = arena_new();
    struct buf path;
    buf_init(&path, 64 * 1024);
    buf_adds(&path, "/runs/");
    url_encode(&path, text_of(words.items[0]));
    buf_adds(&path, "/explain");
    struct client_request request = {.method = "GET", .path = buf_cstr(&path)};
    status = client_ask(client, arena, "explain", &request, &answer);
    if (status == EXIT_DONE && given.json) report_print_json(stdout, answer.body);
    else if (status == EXIT_DONE) print(arena, answer.body);
    buf_fini(&path);
    arena_free(arena);
    client_free(client);
    return status;
}
