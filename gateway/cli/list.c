/* `stagedoor list`: what a gateway offers, with the parameters of each stage, and what the contract watch has found; a
 * broken definition is shown with its mistakes, and whether an older version of it is still in force. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "lang/url.h"

struct list_options {
    struct client_options client;
    bool json;
};

static const struct args_option options[] = {
    {0, "json", ARGS_FLAG, NULL, offsetof(struct list_options, json), "print the gateway's answer as JSON", 0, 0},
    CLIENT_OPTIONS(struct list_options),
};

static const struct args_command command = {
    "list",
    "[STAGE]",
    "Lists the stages that a gateway offers, with their parameters, and with what their upstreams\n"
    "have sent that the definition does not expect.\n\n"
    "exit status: 0 done, 1 failed, 2 usage or no such stage, 4 gateway unreachable\n",
    options,
    sizeof options / sizeof *options,
    0,
    1};

static void add_member(struct buf *out, const char *before, const struct json *object, const char *name) {
    const struct json *value = json_gets(object, name);
    if (json_kind(value) == JSON_NULL) return;
    buf_adds(out, before);
    json_write_text(out, value);
}

/* An integer's schema always has bounds; those of 64 bits are no news. */
static void add_bound(struct buf *out, const char *before, const struct json *schema, const char *name) {
    int64_t bound = json_int(json_gets(schema, name));
    if (bound != INT64_MAX && bound != -INT64_MAX) add_member(out, before, schema, name);
}

static void add_choices(struct buf *out, const struct json *choices) {
    for (size_t i = 0; i < json_size(choices); i++) {
        buf_adds(out, i ? "|" : "  ");
        json_write_text(out, json_at(choices, i));
    }
}

/* "required", "default 50", ranges and choices: what a caller has to know to fill it in. Ranges stand in the schema. */
static void describe_param(struct buf *out, const struct json *param, const struct json *schema) {
    const struct json *preset = json_gets(param, "default"), *label = json_gets(param, "label");
    if (json_kind(json_gets(param, "required")) == JSON_BOOL && json_truth(json_gets(param, "required")))
        buf_adds(out, "required");
    else if (json_kind(preset) != JSON_NULL) {
        buf_adds(out, "default ");
        json_write(out, preset);
    } else buf_adds(out, "optional");
    const struct json *shape = json_get(json_gets(schema, "properties"), json_text(json_gets(param, "name")));
    const struct json *first = json_at(json_gets(shape, "anyOf"), 0);
    if (first) shape = first; /* the parameter's own kind comes first */
    add_bound(out, ", at least ", shape, "minimum");
    add_bound(out, ", at most ", shape, "maximum");
    add_choices(out, json_gets(param, "choices"));
    if (!json_same(label, json_gets(param, "name"))) add_member(out, "  ", param, "label");
}

static void print_params(const struct screen *screen, struct arena *arena, const struct json *params,
                         const struct json *schema) {
    struct screen_table table;
    struct buf cell;
    buf_init(&cell, 64 * 1024);
    screen_table_init(&table, screen, arena, 3);
    for (size_t i = 0; i < json_size(params); i++) {
        const struct json *param = json_at(params, i);
        buf_clear(&cell);
        buf_adds(&cell, "    ");
        buf_addt(&cell, json_text(json_gets(param, "name")));
        screen_table_add(&table, buf_text(&cell));
        screen_table_add(&table, json_text(json_gets(param, "type")));
        buf_clear(&cell);
        describe_param(&cell, param, schema);
        screen_table_add(&table, buf_text(&cell));
    }
    screen_table_print(&table);
    buf_fini(&cell);
}

static void print_error(const struct screen *screen, const struct json *error) {
    const struct json *where = json_gets(error, "where"), *what = json_gets(error, "what");
    struct buf line;
    buf_init(&line, 256 * 1024);
    buf_adds(&line, "    ");
    if (json_kind(what) == JSON_NULL) report_value(&line, screen, error);
    else {
        if (json_text(where).len) {
            screen_clean(&line, screen, json_text(where));
            buf_adds(&line, ": ");
        }
        report_value(&line, screen, what);
    }
    fprintf(screen->to, "%s\n", buf_cstr(&line));
    buf_fini(&line);
}

static enum screen_colour colour_of(struct text state, bool broken) {
    return broken ? COLOUR_RED : text_is(state, "disabled") ? COLOUR_YELLOW : COLOUR_GREEN;
}

static void print_head(const struct screen *screen, const struct json *stage, bool broken) {
    struct buf line, name;
    buf_init(&line, 256 * 1024);
    buf_init(&name, 64 * 1024);
    screen_clean(&name, screen, json_text(json_gets(stage, "name")));
    screen_paint(&line, screen, COLOUR_BOLD, buf_cstr(&name));
    buf_adds(&line, "  ");
    buf_clear(&name);
    struct text state = json_text(json_gets(stage, "state"));
    screen_clean(&name, screen, state.len ? state : broken ? TEXT("broken") : TEXT("ok"));
    screen_paint(&line, screen, colour_of(state, broken), buf_cstr(&name));
    struct text about = json_text(json_gets(stage, "description"));
    if (!about.len && !json_same(json_gets(stage, "label"), json_gets(stage, "name")))
        about = json_text(json_gets(stage, "label"));
    if (about.len) buf_adds(&line, "  ");
    screen_clean(&line, screen, about);
    fprintf(screen->to, "%s\n", buf_cstr(&line));
    if (text_is(state, "stale")) fputs("    the version before these mistakes is in force\n", screen->to);
    buf_fini(&line);
    buf_fini(&name);
}

static void add_place(struct buf *line, const struct screen *screen, const struct json *finding) {
    static const char *const members[] = {"step", "setting", "path"};
    const char *before = "    upstream: ";
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct text text = json_text(json_gets(finding, members[i]));
        if (!text.len) continue;
        buf_adds(line, before);
        screen_clean(line, screen, text);
        before = " ";
    }
}

/* What the contract watch has found: one line each. */
static void print_finding(const struct screen *screen, const struct json *finding) {
    struct buf line;
    int64_t times = json_int(json_gets(finding, "times"));
    buf_init(&line, 256 * 1024);
    add_place(&line, screen, finding);
    buf_adds(&line, ": ");
    screen_clean(&line, screen, json_text(json_gets(finding, "what")));
    if (times == 1) buf_adds(&line, " (once, ");
    else buf_addf(&line, " (%lld times, last ", (long long)times);
    screen_clean(&line, screen, json_text(json_gets(finding, "last")));
    buf_adds(&line, ")");
    fprintf(screen->to, "%s\n", buf_cstr(&line));
    buf_fini(&line);
}

static void print_findings(const struct screen *screen, const struct json *contract) {
    const struct json *findings = json_gets(contract, "findings");
    for (size_t i = 0; i < json_size(findings); i++) print_finding(screen, json_at(findings, i));
    int64_t more = json_int(json_gets(contract, "more"));
    if (more > 0) fprintf(screen->to, "    upstream: and %lld times more, not kept\n", (long long)more);
}

static void print_stage(const struct screen *screen, struct arena *arena, const struct json *stage) {
    const struct json *errors = json_gets(stage, "errors"), *params = json_gets(stage, "parameters");
    bool broken = json_size(errors) > 0 || text_is(json_text(json_gets(stage, "state")), "broken");
    print_head(screen, stage, broken);
    if (json_kind(json_gets(stage, "disabled")) == JSON_STRING) print_error(screen, json_gets(stage, "disabled"));
    if (json_kind(json_gets(stage, "durable")) == JSON_BOOL && !json_truth(json_gets(stage, "durable")))
        fputs("    not durable: its runs are gone after a crash\n", screen->to);
    for (size_t i = 0; json_kind(errors) == JSON_ARRAY && i < json_size(errors); i++)
        print_error(screen, json_at(errors, i));
    if (json_kind(params) == JSON_ARRAY) print_params(screen, arena, params, json_gets(stage, "schema"));
    print_findings(screen, json_gets(stage, "contract"));
}

static bool is_listing(const struct json *body) {
    return json_kind(json_gets(body, "stages")) == JSON_ARRAY || json_kind(json_gets(body, "name")) == JSON_STRING;
}

static int fetch(struct client *client, struct arena *arena, struct text stage, struct client_answer *ret_answer) {
    struct buf path;
    buf_init(&path, 64 * 1024);
    buf_adds(&path, stage.at ? "/stages/" : "/stages");
    url_encode(&path, stage);
    struct client_request request = {.method = "GET", .path = buf_cstr(&path)};
    int status = client_ask(client, arena, "list", &request, ret_answer);
    buf_fini(&path);
    if (status != EXIT_DONE || is_listing(ret_answer->body)) return status;
    client_print_problem("list", client, ret_answer);
    return EXIT_UNREACHABLE;
}

/* The listing is a summary; parameters are asked for stage by stage. A stage that goes meanwhile is shown without. */
static void print_summary(const struct screen *screen, struct client *client, const struct json *stage) {
    struct text name = json_text(json_gets(stage, "name"));
    struct client_answer answer = {0};
    struct arena *arena = arena_new();
    bool broken = text_is(json_text(json_gets(stage, "state")), "broken");
    bool more = !broken && name.len && fetch(client, arena, name, &answer) == EXIT_DONE;
    print_stage(screen, arena, more ? answer.body : stage);
    arena_free(arena);
}

static int list(struct client *client, struct arena *arena, const char *stage, bool json) {
    struct client_answer answer;
    struct screen screen;
    int status = fetch(client, arena, text_of(stage), &answer);
    if (status != EXIT_DONE) return status;
    const struct json *stages = json_gets(answer.body, "stages");
    screen_init(&screen, stdout);
    if (json) report_print_json(stdout, answer.body);
    else if (json_kind(stages) != JSON_ARRAY) print_stage(&screen, arena, answer.body);
    else if (json_size(stages) == 0) screen_say("list", "the gateway offers no stages");
    for (size_t i = 0; !json && i < json_size(stages) && !screen_broken(&screen); i++)
        print_summary(&screen, client, json_at(stages, i));
    return status;
}

int command_list(int argc, char **argv) {
    struct list_options given = {0};
    struct args_words words;
    struct fault fault;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    if (words.count && !words.items[0][0]) return args_wrong("list", "a stage's name is not empty");
    struct client *client = client_new(&given.client, &fault);
    if (!client) {
        screen_fault("list", &fault);
        return EXIT_USAGE;
    }
    struct arena *arena = arena_new();
    status = list(client, arena, words.count ? words.items[0] : NULL, given.json);
    arena_free(arena);
    client_free(client);
    return status;
}
