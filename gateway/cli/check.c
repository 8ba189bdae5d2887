/* `stagedoor check`: compiles definitions as the gateway would, and shows every mistake with its file, its line, and
 * the line itself.
 *
 * Without files it reads the whole directory of definitions, which also finds two files of one name. It starts nothing
 * and asks no gateway. Where secrets are not at hand, as on a build machine, --any-secret takes every one as known. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/local.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "config/conf_file.h"
#include "stage/catalog.h"

struct check_options {
    struct local_options local;
    bool json;
};

static const struct args_option options[] = {
    LOCAL_OPTIONS(struct check_options),
    {0, "json", ARGS_FLAG, NULL, offsetof(struct check_options, json), "print what was found as JSON", 0, 0},
};

static const struct args_command command = {"check",
                                            "[FILE]...",
                                            "Checks definitions, all of a directory or the files named: every mistake "
                                            "with file and line.\n\n"
                                            "exit status: 0 no mistakes, 1 mistakes, 2 usage or configuration\n",
                                            options,
                                            sizeof options / sizeof *options,
                                            0,
                                            10000};

struct found {
    const char *file, *name; /* name: NULL where it is not known */
    const char *disabled;    /* or NULL */
    bool in_memory;          /* its runs are not durable */
    const struct fault *mistakes, *warnings;
    size_t mistake_count, warning_count;
};

struct check {
    struct arena *arena;
    const struct check_options *given;
    struct settings settings;
    struct stage_context context;
    struct found *found;
    size_t count;
};

/* ---- finding ---- */

static void check_files(struct check *c, const struct args_words *files) {
    c->found = arena_array_of(c->arena, struct found, files->count);
    for (size_t i = 0; i < files->count; i++) {
        struct found *found = &c->found[c->count++];
        struct faults faults;
        faults_init(&faults);
        struct stage *stage = stage_load(files->items[i], &c->context, &faults);
        found->file = files->items[i];
        found->name = stage ? arena_strdup(c->arena, stage->name) : stage_peek_name(c->arena, found->file);
        found->mistake_count = faults.count;
        found->mistakes = arena_copy(c->arena, faults.items, faults.count * sizeof *faults.items);
        if (stage) {
            found->disabled = arena_strdup(c->arena, stage->disabled);
            found->in_memory = !stage->durable;
            found->warning_count = stage->warning_count;
            found->warnings = arena_copy(c->arena, stage->warnings, stage->warning_count * sizeof *stage->warnings);
        }
        stage_unref(stage);
        faults_fini(&faults);
    }
}

static void drop_catalog(void *catalog) {
    catalog_unref(catalog);
}

static bool check_directory(struct check *c, struct fault *fault) {
    struct catalog *catalog = catalog_load(c->settings.stages, &c->context, NULL, 0, fault);
    if (!catalog) return false;
    arena_defer(c->arena, drop_catalog, catalog);
    c->found = arena_array_of(c->arena, struct found, catalog->count);
    for (; c->count < catalog->count; c->count++) {
        const struct catalog_entry *entry = &catalog->entries[c->count];
        struct found *found = &c->found[c->count];
        *found = (struct found){.file = entry->file, .name = entry->name, .disabled = entry->disabled};
        found->mistakes = entry->faults;
        found->mistake_count = entry->fault_count;
        if (!entry->stage) continue;
        found->in_memory = !entry->stage->durable;
        found->warnings = entry->stage->warnings;
        found->warning_count = entry->stage->warning_count;
    }
    return true;
}

/* ---- showing ---- */

static bool split_number(struct text *where, int64_t *ret_number) {
    const char *colon = where->len ? memrchr(where->at, ':', where->len) : NULL;
    if (!colon) return false;
    size_t len = (size_t)(colon - where->at);
    if (!text_to_int((struct text){colon + 1, where->len - len - 1}, ret_number)) return false;
    where->len = len;
    return true;
}

/* "stages.d/x.conf:14" or "templates/x.json:14:3" apart; 0 where there is none. */
static struct text split_where(const char *where, int64_t *ret_line, int64_t *ret_column) {
    struct text file = text_of(where);
    *ret_line = *ret_column = 0;
    if (!split_number(&file, ret_column)) return file;
    if (split_number(&file, ret_line)) return file;
    *ret_line = *ret_column;
    *ret_column = 0;
    return file;
}

/* The line of the fault's own source and the caret below it; a setting's template is shown by itself. */
static bool print_lines(const struct screen *screen, const struct fault *fault) {
    struct text rest = text_of(fault->lines), line;
    int64_t number, column;
    split_where(fault->where, &number, &column);
    for (bool first = true; fault->lines[0] && text_cut(&rest, '\n', &line); first = false) {
        struct buf shown;
        buf_init(&shown, 64 * 1024);
        if (first && column) buf_addf(&shown, "%6lld | ", (long long)number);
        else buf_adds(&shown, "       | ");
        screen_fit(&shown, screen, line, screen_width(screen) > 20 ? screen_width(screen) - 10 : 10);
        fprintf(screen->to, "%s\n", buf_cstr(&shown));
        buf_fini(&shown);
    }
    return fault->lines[0];
}

static void print_source_line(struct check *c, const struct screen *screen, const char *where) {
    int64_t number, column;
    struct text file = split_where(where, &number, &column), rest, line = {0};
    const char *path = arena_strndup(c->arena, file.at, file.len);
    if (number < 1 || !conf_disk.read(conf_disk.arg, c->arena, path, &rest, NULL)) return;
    for (int64_t i = 0; i < number; i++)
        if (!text_cut(&rest, '\n', &line)) return;
    struct buf shown;
    buf_init(&shown, 64 * 1024);
    buf_addf(&shown, "%6lld | ", (long long)number);
    screen_fit(&shown, screen, line, screen_width(screen) > 20 ? screen_width(screen) - 10 : 10);
    fprintf(screen->to, "%s\n", buf_cstr(&shown));
    buf_fini(&shown);
}

static void print_finding(struct check *c, const struct screen *screen, const struct fault *fault, bool mistake) {
    struct buf line;
    buf_init(&line, 16 * 1024);
    screen_clean(&line, screen, text_of(fault->where));
    buf_adds(&line, ": ");
    screen_paint(&line, screen, mistake ? COLOUR_RED : COLOUR_YELLOW, mistake ? "mistake" : "warning");
    buf_adds(&line, ": ");
    screen_clean(&line, screen, text_of(fault->what));
    fprintf(screen->to, "%s\n", buf_cstr(&line));
    buf_fini(&line);
    if (!print_lines(screen, fault)) print_source_line(c, screen, fault->where);
}

static void print_found(struct check *c) {
    struct screen screen;
    size_t mistakes = 0, warnings = 0, disabled = 0;
    screen_init(&screen, stdout);
    for (size_t i = 0; i < c->count; i++) {
        const struct found *found = &c->found[i];
        for (size_t j = 0; j < found->mistake_count; j++) print_finding(c, &screen, &found->mistakes[j], true);
        for (size_t j = 0; j < found->warning_count; j++) print_finding(c, &screen, &found->warnings[j], false);
        if (found->disabled) printf("%s: disabled: %s\n", found->file, found->disabled);
        if (found->in_memory) printf("%s: not durable: its runs are gone after a crash\n", found->file);
        disabled += found->disabled != NULL;
        mistakes += found->mistake_count;
        warnings += found->warning_count;
    }
    printf("%zu definition%s, %zu mistake%s, %zu warning%s", c->count, c->count == 1 ? "" : "s", mistakes,
           mistakes == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
    if (disabled) printf(", %zu disabled", disabled);
    putchar('\n');
}

static const struct json *findings_json(struct arena *arena, const struct fault *faults, size_t count) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < count; i++) {
        struct json *one = json_new_object(arena);
        int64_t line, column;
        json_set(one, "file", json_new_text(arena, split_where(faults[i].where, &line, &column)));
        json_set(one, "line", line > 0 ? json_new_int(arena, line) : json_new_null(arena));
        if (column > 0) json_set(one, "column", json_new_int(arena, column));
        json_set(one, "kind", json_new_string(arena, fault_word(faults[i].kind)));
        json_set(one, "message", json_new_text(arena, text_of(faults[i].what)));
        if (faults[i].lines[0]) json_set(one, "lines", json_new_string(arena, faults[i].lines));
        json_push(list, one);
    }
    return list;
}

static void print_json(const struct check *c, bool ok) {
    struct arena *arena = c->arena;
    struct json *all = json_new_object(arena), *files = json_new_array(arena);
    for (size_t i = 0; i < c->count; i++) {
        const struct found *found = &c->found[i];
        struct json *one = json_new_object(arena);
        json_set(one, "file", json_new_text(arena, text_of(found->file)));
        json_set(one, "stage", json_new_string(arena, found->name));
        json_set(one, "ok", json_new_bool(arena, found->mistake_count == 0));
        json_set(one, "disabled", json_new_string(arena, found->disabled));
        json_set(one, "durable", found->mistake_count ? NULL : json_new_bool(arena, !found->in_memory));
        json_set(one, "mistakes", findings_json(arena, found->mistakes, found->mistake_count));
        json_set(one, "warnings", findings_json(arena, found->warnings, found->warning_count));
        json_push(files, one);
    }
    json_set(all, "ok", json_new_bool(arena, ok));
    json_set(all, "definitions", files);
    report_print_json(stdout, all);
}

static int show(struct check *c) {
    bool ok = true;
    for (size_t i = 0; i < c->count; i++) ok = ok && c->found[i].mistake_count == 0;
    if (c->given->json) print_json(c, ok);
    else print_found(c);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

/* ---- the command ---- */

static int check(struct check *c, const struct args_words *files) {
    struct fault fault;
    if (!local_settings(c->arena, "check", &c->given->local, &c->settings)) return EXIT_USAGE;
    bool ok = local_context(&c->settings, &c->given->local, &c->context, &fault);
    if (ok && files->count) check_files(c, files);
    else if (!ok || !check_directory(c, &fault)) {
        screen_fault("check", &fault);
        return EXIT_USAGE;
    }
    return show(c);
}

int command_check(int argc, char **argv) {
    struct check_options given = {0};
    struct args_words files;
    int status;
    if (!args_parse(&command, argc, argv, &given, &files, &status)) return status;
    struct check c = {.arena = arena_new(), .given = &given};
    status = check(&c, &files);
    arena_free(c.arena);
    return status;
}
