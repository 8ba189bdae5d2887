/* Reads a run's report, and shows it.
 *
 * The gateway promises every field in every report; still each is read as if it might be missing or of another kind,
 * since what answers at a URL need not be a gateway of this version. Whatever is shown is cleaned first. */
#include "cli/report.h"

#include <string.h>

#include "base/clock.h"
#include "cli/command.h"

enum { TEXT_MAX_BYTES = 256 * 1024, VALUE_MAX_BYTES = 64 * 1024 * 1024 };

static const char *member(const struct json *report, const char *name) {
    const char *text = json_kind(report) == JSON_OBJECT ? json_gets_text(report, name) : NULL;
    return text ? text : "";
}

const char *report_id(const struct json *report) {
    const char *id = member(report, "id");
    return id[0] && member(report, "status")[0] ? id : NULL;
}

const char *report_status(const struct json *report) {
    return member(report, "status");
}

const char *report_stage(const struct json *report) {
    return member(report, "stage");
}

const char *report_progress(const struct json *report) {
    return member(report, "progress");
}

int report_percent(const struct json *report) {
    const struct json *percent = json_kind(report) == JSON_OBJECT ? json_gets(report, "percent") : NULL;
    if (json_kind(percent) != JSON_INT && json_kind(percent) != JSON_REAL) return -1;
    double value = json_number(percent);
    return value < 0 ? 0 : value > 100 ? 100 : (int)value;
}

/* A status that this version does not know is taken for one of a run that goes on. */
static const struct {
    const char *status;
    int exit;
    enum screen_colour colour;
} ends[] = {{"SUCCEEDED", EXIT_DONE, COLOUR_GREEN},
            {"TERMINAL", EXIT_FAILED, COLOUR_RED},
            {"CANCELED", EXIT_CANCELED, COLOUR_YELLOW}};

static int find_end(const char *status) {
    for (int i = 0; i < (int)(sizeof ends / sizeof *ends); i++)
        if (strcmp(status, ends[i].status) == 0) return i;
    return -1;
}

bool report_ended(const struct json *report) {
    return find_end(report_status(report)) >= 0;
}

int report_exit(const struct json *report) {
    int end = find_end(report_status(report));
    return end < 0 ? EXIT_FAILED : ends[end].exit;
}

static enum screen_colour colour_of(const char *status) {
    int end = find_end(status);
    return end < 0 ? COLOUR_NONE : ends[end].colour;
}

int64_t report_elapsed_ms(const struct json *report, int64_t now_wall_ms) {
    int64_t from, to = now_wall_ms;
    if (!clock_parse(text_of(member(report, "created")), &from)) return 0;
    const char *ended = member(report, "ended");
    if (ended[0] && !clock_parse(text_of(ended), &to)) return 0;
    return to > from ? to - from : 0;
}

void report_value(struct buf *out, const struct screen *screen, const struct json *value) {
    struct buf text;
    buf_init(&text, VALUE_MAX_BYTES);
    if (json_kind(value) == JSON_STRING) buf_addt(&text, json_text(value));
    else json_write(&text, value);
    screen_clean(out, screen, buf_text(&text));
    buf_fini(&text);
}

void report_line(struct buf *out, const struct screen *screen, const struct json *report) {
    const char *progress = report_progress(report);
    screen_clean(out, screen, text_of(report_status(report)));
    if (report_percent(report) >= 0 && !strchr(progress, '%')) buf_addf(out, "  %d %%", report_percent(report));
    if (progress[0]) buf_adds(out, "  ");
    screen_clean(out, screen, text_of(progress));
}

static void print_head(const struct screen *screen, const struct json *report, int64_t now_wall_ms) {
    struct buf line;
    const char *status = report_status(report);
    buf_init(&line, TEXT_MAX_BYTES);
    struct buf clean;
    buf_init(&clean, TEXT_MAX_BYTES);
    screen_clean(&clean, screen, text_of(status));
    screen_paint(&line, screen, colour_of(status), buf_cstr(&clean));
    buf_addc(&line, ' ');
    screen_clean(&line, screen, text_of(report_stage(report)));
    buf_addc(&line, ' ');
    screen_clean(&line, screen, text_of(member(report, "id")));
    buf_adds(&line, " after ");
    screen_elapsed(&line, report_elapsed_ms(report, now_wall_ms));
    fprintf(screen->to, "%s\n", buf_cstr(&line));
    buf_fini(&clean);
    buf_fini(&line);
}

static void print_value(const struct screen *screen, const char *before, struct text name, const struct json *value) {
    struct buf line;
    buf_init(&line, VALUE_MAX_BYTES);
    screen_clean(&line, screen, name);
    buf_adds(&line, " = ");
    report_value(&line, screen, value);
    fprintf(screen->to, "%s%s\n", before, buf_cstr(&line));
    buf_fini(&line);
}

/* `error` is a sentence, or an object that holds one. */
static const struct json *error_sentence(const struct json *error) {
    static const char *const names[] = {"message", "what", "detail"};
    for (size_t i = 0; json_kind(error) == JSON_OBJECT && i < sizeof names / sizeof *names; i++)
        if (json_kind(json_gets(error, names[i])) == JSON_STRING) return json_gets(error, names[i]);
    return error;
}

void report_print(const struct screen *screen, const struct json *report, int64_t now_wall_ms) {
    print_head(screen, report, now_wall_ms);
    const struct json *reason = json_gets(report, "reason"), *error = error_sentence(json_gets(report, "error"));
    if (json_kind(reason) != JSON_NULL) print_value(screen, "  ", TEXT("reason"), reason);
    if (json_kind(error) != JSON_NULL) print_value(screen, "  ", TEXT("error"), error);
    const struct json *warnings = json_gets(report, "warnings");
    for (size_t i = 0; json_kind(warnings) == JSON_ARRAY && i < json_size(warnings); i++)
        print_value(screen, "  ", TEXT("warning"), json_at(warnings, i));
    const struct json *outputs = json_gets(report, "outputs");
    if (json_kind(outputs) != JSON_OBJECT || json_size(outputs) == 0) return;
    fprintf(screen->to, "outputs:\n");
    for (struct json_member m = json_first(outputs); m.name.at; m = json_next(outputs, m))
        print_value(screen, "  ", m.name, m.value);
}

void report_print_json(FILE *to, const struct json *value) {
    struct buf text;
    buf_init(&text, VALUE_MAX_BYTES);
    json_write_indented(&text, value, 2);
    fprintf(to, "%s\n", buf_cstr(&text));
    buf_fini(&text);
}
