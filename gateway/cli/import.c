/* `stagedoor import`: what another program is configured by, as definitions. So far that is orca.
 *
 * It asks no gateway. Nothing is written before all of it is known to be possible; a file that exists is left alone
 * without --force, unless it has the same bytes. Values of secrets are written to --secrets and nowhere else: not to
 * the screen, not into a definition. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/report.h"
#include "cli/screen.h"
#include "orca/import.h"

struct import_options {
    const char *to, *secrets, *only;
    bool force, json;
};

static const struct args_option options[] = {
    {0, "to", ARGS_TEXT, "DIR", offsetof(struct import_options, to),
     "write to DIR/stages.d and DIR/templates (default: .)", 0, 0},
    {0, "secrets", ARGS_TEXT, "DIR", offsetof(struct import_options, secrets),
     "write the secrets that the file has to DIR, one file each", 0, 0},
    {0, "only", ARGS_TEXT, "TYPE", offsetof(struct import_options, only), "only the entry of this type", 0, 0},
    {0, "force", ARGS_FLAG, NULL, offsetof(struct import_options, force), "overwrite files that exist", 0, 0},
    {0, "json", ARGS_FLAG, NULL, offsetof(struct import_options, json), "print what was done as JSON", 0, 0},
};

static const struct args_command command = {
    "import",
    "orca FILE",
    "Makes definitions of the webhook.preconfigured in FILE (orca.yml, orca-local.yml; - is stdin):\n"
    "one file for stages.d each, and a template where there is a payload. Secrets are lifted out and\n"
    "listed. What cannot be translated is named with its line; the definition is refused by\n"
    "'stagedoor check' until it is settled.\n\n"
    "exit status: 0 all is settled, 1 something is not, or was refused,\n"
    "             2 usage, the file cannot be read, or a file exists\n",
    options,
    sizeof options / sizeof *options,
    1,
    2};

/* One file to be written. */
struct output {
    const char *path;
    struct text text;
    mode_t mode;
    bool same; /* it is there, with these bytes */
};

struct run {
    struct arena *arena;
    const struct import_options *given;
    const struct import *all;
    struct output *outputs;
    size_t output_count;
};

/* ---- writing ---- */

static bool make_directory(const char *path, mode_t mode, struct fault *fault) {
    return mkdir(path, mode) == 0 || errno == EEXIST ||
           fault_set(fault, FAULT_IO, path, "the directory cannot be made: %m");
}

static bool make_directories(const struct run *r, struct fault *fault) {
    const char *const parts[] = {"", "/stages.d", "/templates"};
    for (size_t i = 0; i < 3; i++)
        if (!make_directory(arena_printf(r->arena, "%s%s", r->given->to, parts[i]), 0755, fault)) return false;
    return !r->given->secrets || make_directory(r->given->secrets, 0700, fault);
}

static bool has_bytes(const char *path, struct text text) {
    struct buf there;
    buf_init(&there, INPUT_MAX_BYTES);
    bool same = input_read(path, &there, NULL) && text_same(buf_text(&there), text);
    buf_fini(&there);
    return same;
}

/* All that is in the way, so that it can be seen at once. */
static bool check_outputs(struct run *r) {
    bool free = true;
    for (size_t i = 0; i < r->output_count; i++) {
        struct output *output = &r->outputs[i];
        struct stat there;
        if (lstat(output->path, &there) != 0) continue;
        output->same = S_ISREG(there.st_mode) && has_bytes(output->path, output->text);
        if (output->same || (r->given->force && S_ISREG(there.st_mode))) continue;
        screen_say("import",
                   r->given->force ? "%s exists, and is no file"
                                   : "%s exists; --force overwrites it, --to DIR goes "
                                     "elsewhere",
                   output->path);
        free = false;
    }
    return free;
}

static bool write_all(int fd, struct text text) {
    while (text.len) {
        ssize_t n = write(fd, text.at, text.len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        text.at += n;
        text.len -= (size_t)n;
    }
    return true;
}

/* Whole or not at all: written beside, then given its name. */
static bool write_output(const struct run *r, const struct output *output, struct fault *fault) {
    const char *part = arena_printf(r->arena, "%s.part-%ld", output->path, (long)getpid());
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, output->mode);
    if (fd < 0) return fault_set(fault, FAULT_IO, output->path, "cannot be written: %m");
    bool good = write_all(fd, output->text) && fsync(fd) == 0;
    if (close(fd) != 0) good = false;
    if (good) good = (r->given->force ? rename(part, output->path) : link(part, output->path)) == 0;
    if (!good) fault_set(fault, FAULT_IO, output->path, "cannot be written: %m");
    unlink(part);
    return good;
}

static void add_output(struct run *r, const char *directory, const char *name, struct text text, mode_t mode) {
    const char *path = arena_printf(r->arena, "%s/%s", directory, name);
    r->outputs[r->output_count++] = (struct output){path, text, mode, false};
}

static void plan_outputs(struct run *r) {
    const struct import *all = r->all;
    size_t most = all->secret_count;
    const char *stages = arena_printf(r->arena, "%s/stages.d", r->given->to);
    const char *templates = arena_printf(r->arena, "%s/templates", r->given->to);
    for (size_t i = 0; i < all->stage_count; i++) most += all->stages[i].file_count;
    r->outputs = arena_array_of(r->arena, struct output, most);
    for (size_t i = 0; i < all->stage_count; i++)
        for (size_t j = 0; j < all->stages[i].file_count; j++) {
            const struct import_file *file = &all->stages[i].files[j];
            add_output(r, file->template ? templates : stages, file->name, file->text, 0644);
        }
    for (size_t i = 0; r->given->secrets && i < all->secret_count; i++)
        if (all->secrets[i].value)
            add_output(r, r->given->secrets, all->secrets[i].name, text_of(all->secrets[i].value), 0600);
}

static bool write_outputs(struct run *r, struct fault *fault) {
    plan_outputs(r);
    if (!check_outputs(r)) return fault_set(fault, FAULT_CONFLICT, r->given->to, "nothing was written");
    if (!make_directories(r, fault)) return false;
    for (size_t i = 0; i < r->output_count; i++)
        if (!r->outputs[i].same && !write_output(r, &r->outputs[i], fault)) return false;
    return true;
}

/* ---- showing ---- */

static const char *grade_word(enum import_grade grade) {
    static const char *const words[] = {"note", "unsettled", "refused"};
    return words[grade];
}

static bool is_refused(const struct import_stage *stage) {
    for (size_t i = 0; i < stage->remark_count; i++)
        if (stage->remarks[i].grade == IMPORT_REFUSED) return true;
    return false;
}

static void print_remarks(const struct screen *screen, const char *file, const struct import_stage *stage) {
    static const enum screen_colour colours[] = {COLOUR_NONE, COLOUR_YELLOW, COLOUR_RED};
    for (size_t i = 0; i < stage->remark_count; i++) {
        const struct import_remark *remark = &stage->remarks[i];
        struct buf line;
        buf_init(&line, 64 * 1024);
        buf_adds(&line, "  ");
        screen_clean(&line, screen, text_of(file));
        buf_addf(&line, ":%d: ", remark->line);
        screen_paint(&line, screen, colours[remark->grade], grade_word(remark->grade));
        buf_adds(&line, ": ");
        screen_clean(&line, screen, text_of(remark->text));
        printf("%s\n", buf_cstr(&line));
        buf_fini(&line);
    }
}

static void print_stage(const struct screen *screen, const char *file, const struct import_stage *stage) {
    struct buf line;
    buf_init(&line, 64 * 1024);
    screen_clean(&line, screen, text_of(stage->type[0] ? stage->type : "an entry without a type"));
    if (!stage->name) buf_adds(&line, is_refused(stage) ? ": refused" : ": left out");
    for (size_t i = 0; i < stage->file_count; i++)
        buf_addf(&line, "%s%s/%s", i ? ", " : ": ", stage->files[i].template ? "templates" : "stages.d",
                 stage->files[i].name);
    printf("%s\n", buf_cstr(&line));
    buf_fini(&line);
    print_remarks(screen, file, stage);
}

static void print_secrets(const struct run *r, const struct screen *screen, const char *file) {
    size_t unknown = 0;
    if (!r->all->secret_count) return;
    printf("\nsecrets that the definitions name:\n");
    for (size_t i = 0; i < r->all->secret_count; i++) {
        const struct import_secret *secret = &r->all->secrets[i];
        struct buf line;
        buf_init(&line, 64 * 1024);
        buf_addf(&line, "  %s: ", secret->name);
        screen_clean(&line, screen, text_of(secret->from));
        buf_addc(&line, ' ');
        screen_clean(&line, screen, text_of(arena_printf(r->arena, "(%s:%d)", file, secret->line)));
        if (secret->value && r->given->secrets) buf_addf(&line, ", written to %s/%s", r->given->secrets, secret->name);
        else if (secret->value) buf_adds(&line, ", its value is in the file");
        else {
            buf_adds(&line, ", its value is what stands for ");
            screen_clean(&line, screen, text_of(secret->source));
        }
        unknown += !secret->value || !r->given->secrets;
        printf("%s\n", buf_cstr(&line));
        buf_fini(&line);
    }
    if (unknown)
        printf("Set each as a file of that name in the gateway's directory of secrets%s, or as\n"
               "STAGEDOOR_SECRET_NAME in its environment. Until then its stages are not offered.\n",
               r->given->secrets ? "" : " (--secrets DIR writes them)");
}

static void print_text(const struct run *r, const char *file) {
    struct screen screen;
    size_t written = 0, unsettled = 0, refused = 0;
    screen_init(&screen, stdout);
    for (size_t i = 0; i < r->all->stage_count; i++) {
        const struct import_stage *stage = &r->all->stages[i];
        print_stage(&screen, file, stage);
        written += stage->name != NULL;
        unsettled += stage->unsettled;
        refused += is_refused(stage);
    }
    print_secrets(r, &screen, file);
    printf("\n%zu %s: %zu imported, %zu of them to be settled, %zu refused, %zu left out\n", r->all->stage_count,
           r->all->stage_count == 1 ? "entry" : "entries", written, unsettled, refused,
           r->all->stage_count - written - refused);
}

static struct json *stage_json(const struct run *r, const struct import_stage *stage) {
    struct arena *arena = r->arena;
    struct json *one = json_new_object(arena), *files = json_new_array(arena), *remarks = json_new_array(arena);
    for (size_t i = 0; i < stage->file_count; i++)
        json_push(files, json_new_string(arena, arena_printf(arena, "%s/%s/%s", r->given->to,
                                                             stage->files[i].template ? "templates" : "stages.d",
                                                             stage->files[i].name)));
    for (size_t i = 0; i < stage->remark_count; i++) {
        struct json *remark = json_new_object(arena);
        json_set(remark, "grade", json_new_string(arena, grade_word(stage->remarks[i].grade)));
        json_set(remark, "line", json_new_int(arena, stage->remarks[i].line));
        json_set(remark, "message", json_new_text(arena, text_of(stage->remarks[i].text)));
        json_push(remarks, remark);
    }
    json_set(one, "type", json_new_text(arena, text_of(stage->type)));
    json_set(one, "stage", json_new_string(arena, stage->name));
    json_set(one, "line", json_new_int(arena, stage->line));
    json_set(one, "unsettled", json_new_bool(arena, stage->unsettled));
    json_set(one, "refused", json_new_bool(arena, is_refused(stage)));
    json_set(one, "files", files);
    json_set(one, "remarks", remarks);
    return one;
}

static struct json *secret_json(const struct run *r, const struct import_secret *secret) {
    struct json *one = json_new_object(r->arena);
    bool written = secret->value && r->given->secrets;
    json_set(one, "name", json_new_string(r->arena, secret->name));
    json_set(one, "from", json_new_text(r->arena, text_of(secret->from)));
    json_set(one, "line", json_new_int(r->arena, secret->line));
    json_set(one, "known", json_new_bool(r->arena, secret->value != NULL));
    json_set(
        one, "file",
        json_new_string(r->arena, written ? arena_printf(r->arena, "%s/%s", r->given->secrets, secret->name) : NULL));
    return one;
}

static void print_json(const struct run *r, const char *file, bool ok) {
    struct json *all = json_new_object(r->arena), *stages = json_new_array(r->arena),
                *secrets = json_new_array(r->arena);
    for (size_t i = 0; i < r->all->stage_count; i++) json_push(stages, stage_json(r, &r->all->stages[i]));
    for (size_t i = 0; i < r->all->secret_count; i++) json_push(secrets, secret_json(r, &r->all->secrets[i]));
    json_set(all, "ok", json_new_bool(r->arena, ok));
    json_set(all, "file", json_new_text(r->arena, text_of(file)));
    json_set(all, "stages", stages);
    json_set(all, "secrets", secrets);
    report_print_json(stdout, all);
}

/* ---- the command ---- */

static bool all_is_settled(const struct import *all) {
    for (size_t i = 0; i < all->stage_count; i++)
        if (all->stages[i].unsettled || is_refused(&all->stages[i])) return false;
    return true;
}

static int import_file(struct run *r, const char *path) {
    struct fault fault;
    struct buf source;
    const char *file = input_name(path);
    buf_init(&source, INPUT_MAX_BYTES);
    bool good = input_read(path, &source, &fault);
    if (good) r->all = import_orca(r->arena, buf_text(&source), file, r->given->only, &fault);
    buf_fini(&source);
    if (good && r->all && !r->all->stage_count)
        return args_wrong("import", "%s has no entry of the type \"%s\"", file, r->given->only);
    if (!good || !r->all || !write_outputs(r, &fault)) {
        screen_fault("import", &fault);
        return EXIT_USAGE;
    }
    bool ok = all_is_settled(r->all);
    if (r->given->json) print_json(r, file, ok);
    else print_text(r, file);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int command_import(int argc, char **argv) {
    static const char *const kinds[] = {"orca"};
    struct import_options given = {.to = "."};
    struct args_words words;
    int status;
    if (!args_parse(&command, argc, argv, &given, &words, &status)) return status;
    if (strcmp(words.items[0], kinds[0]) != 0) {
        const char *nearest = text_nearest(words.items[0], kinds, 1);
        return nearest ? args_wrong("import", "cannot import \"%s\" (did you mean %s?)", words.items[0], nearest)
                       : args_wrong("import", "cannot import \"%s\"; there is orca", words.items[0]);
    }
    if (words.count != 2) return args_wrong("import", "one FILE is needed: stagedoor import orca FILE");
    struct run r = {.arena = arena_new(), .given = &given};
    status = import_file(&r, words.items[1]);
    arena_free(r.arena);
    return status;
}
