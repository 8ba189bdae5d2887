/* `stagedoor runs`: lists runs, newest first, as many pages of the gateway as the limit asks for.
 *
 * Filters are the gateway's own and only checked here as far as a typing mistake would else find nothing and look like
 * an answer: a status, a time. */
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "lang/units.h"
#include "lang/url.h"

enum { PAGE_MOST = 1000, LIMIT_PRESET = 50, LIMIT_MOST = 100000 };

struct runs_options {
    struct client_options client;
    const char *stage, *status, *since;
    int64_t limit;
    bool json;
};

static const struct args_option options[] = {
    {'s', "stage", ARGS_TEXT, "STAGE", offsetof(struct runs_options, stage), "only runs of this stage", 0, 0},
    {0, "status", ARGS_TEXT, "STATUS", offsetof(struct runs_options, status),
     "only these: not_started, running, succeeded, terminal, canceled", 0, 0},
    {0, "since", ARGS_TEXT, "TIME", offsetof(struct runs_options, since),
     "started since: 2h (ago), or 2026-11-23T06:00:00Z", 0, 0},
    {'l', "limit", ARGS_NUMBER, "N", offsetof(struct runs_options, limit), "at most so many (default 50)", 1,
     LIMIT_MOST},
    {0, "json", ARGS_FLAG, NULL, offsetof(struct runs_options, json), "print {\"runs\": [reports]}", 0, 0},
    CLIENT_OPTIONS(struct runs_options),
};

static const struct args_command command = {"runs",
                                            "",
                                            "Lists runs, newest first.\n\n"
                                            "exit status: 0 done, 1 failed, 2 usage, 4 gateway unreachable\n",
                                            options,
                                            sizeof options / sizeof *options,
                                            0,
                                            0};

static const char *const statuses[] = {"NOT_STARTED", "RUNNING", "SUCCEEDED", "TERMINAL", "CANCELED"};
enum { STATUS_COUNT = sizeof statuses / sizeof *statuses };

static bool check_status(struct arena *arena, const char **status, int *ret_exit) {
    if (!*status) return true;
    char *upper = arena_strdup(arena, *status);
    for (char *c = upper; *c; c++) *c = (char)toupper((unsigned char)*c);
    for (size_t i = 0; i < STATUS_COUNT; i++)
        if (strcmp(upper, statuses[i]) == 0) {
            *status = statuses[i];
            return true;
        }
    const char *nearest = text_nearest(upper, statuses, STATUS_COUNT);
    *ret_exit = nearest ? args_wrong("runs", "--status: no such status: \"%s\" (did you mean %s?)", *status, nearest)
                        : args_wrong("runs", "--status: no such status: \"%s\"", *status);
    return false;
}

static bool check_since(struct arena *arena, const char **since, int *ret_exit) {
    int64_t ms;
    if (!*since || clock_parse(text_of(*since), &ms)) return true;
    struct fault fault;
    if (!duration_parse(text_of(*since), &ms, &fault)) {
        *ret_exit = args_wrong("runs", "--since takes a duration (2h) or a time (2026-11-23T06:00:00Z), not \"%s\"",
                               *since);
        return false;
    }
    char at[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_ms() - ms, at);
    *since = arena_strdup(arena, at);
    return true;
}

static void add_query(struct buf *path, const char *name, const char *value) {
    if (!value) return;
    buf_addf(path, "%c%s=", strchr(buf_cstr(path), '?') ? '&' : '?', name);
    url_encode(path, text_of(value));
}

static const char *page_path(struct arena *arena, const struct runs_options *given, size_t had, const char *cursor) {
    struct buf path;
    buf_init(&path, 64 * 1024);
    int64_t left = given->limit - (int64_t)had;
    buf_addf(&path, "/runs?limit=%lld", (long long)(left > PAGE_MOST ? PAGE_MOST : left));
    add_query(&path, "stage", given->stage);
    add_query(&path, "status", given->status);
    add_query(&path, "since", given->since);
    add_query(&path, "cursor", cursor);
    char *made = arena_strndup(arena, buf_cstr(&path), path.len);
    buf_fini(&path);
    return made;
}

/* All pages into one list. */
static int collect(struct client *client, struct arena *arena, const struct runs_options *given, struct json *into) {
    const char *cursor = NULL;
    do {
        struct client_request request = {.method = "GET", .path = page_path(arena, given, json_size(into), cursor)};
        struct client_answer answer;
        int status = client_ask(client, arena, "runs", &request, &answer);
        if (status != EXIT_DONE) return status;
        const struct json *runs = json_gets(answer.body, "runs");
        if (json_kind(runs) != JSON_ARRAY) {
            client_print_problem("runs", client, &answer);
            return EXIT_UNREACHABLE;
        }
        for (size_t i = 0; i < json_size(runs) && (int64_t)json_size(into) < given->limit; i++)
            json_push(into, json_at(runs, i));
        cursor = json_size(runs) ? json_gets_text(answer.body, "cursor") : NULL;
    } while (cursor && cursor[0] && (int64_t)json_size(into) < given->limit);
    return EXIT_DONE;
}

static void add_row(struct screen_table *table, const struct json *report) {
    const char *created = json_gets_text(report, "created");
    struct buf cell;
    buf_init(&cell, 64);
    screen_table_add(table, text_of(report_id(report)));
    screen_table_add(table, text_of(report_stage(report)));
    screen_table_add(table, text_of(report_status(report)));
    screen_table_add(table, text_of(created));
    screen_elapsed(&cell, report_elapsed_ms(report, clock_wall_ms()));
    screen_table_add(table, buf_text(&cell));
    screen_table_add(table, text_of(report_progress(report)));
    buf_fini(&cell);
}

static void print_table(struct arena *arena, const struct json *runs) {
    static const char *const heads[] = {"RUN", "STAGE", "STATUS", "CREATED", "TOOK", "PROGRESS"};
    struct screen screen;
    struct screen_table table;
    screen_init(&screen, stdout);
    screen_table_init(&table, &screen, arena, sizeof heads / sizeof *heads);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) screen_table_add(&table, text_of(heads[i]));
    for (size_t i = 0; i < json_size(runs); i++)
        if (report_id(json_at(runs, i))) add_row(&table, json_at(runs, i));
    screen_table_print(&table);
}

static int list(struct arena *arena, const struct runs_options *given) {
    struct fault fault;
    struct client *client = client_new(&given->client, &fault);
    if (!client) {
        screen_fault("runs", &fault);
        return EXIT_USAGE;
    }
    struct json *all = json_new_object(arena), *runs = json_new_array(arena);
    int status = collect(client, arena, given, runs);
    json_set(all, "runs", runs);
    if (status == EXIT_DONE && given->json) report_print_json(stdout, all);
    else if (status == EXIT_DONE) print_table(arena, runs);
    client_free(client);
    return status;
}

int command_runs(int argc, char **argv) {
    struct runs_options given = {.limit = LIMIT_PRESET};
    struct args_words words;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    struct arena *arena = arena_new();
    if (check_status(arena, &given.status, &status) && check_since(arena, &given.since, &status))
        status = list(arena, &given);
    arena_free(arena);
    return status;
}
