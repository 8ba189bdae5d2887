/* Collects findings, and prints them: a line each, for people and for grep, or as JSON.
 *
 * What is found is shown in the order of looking, so that the first failure is the nearest to the cause. Texts may come
 * from a gateway or from a file, and go through screen_clean. */
#include "cli/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/screen.h"

static const struct {
    const char *word;
    enum screen_colour colour;
} levels[] = {
    [FINDINGS_OK] = {"ok", COLOUR_GREEN},
    [FINDINGS_SKIPPED] = {"skipped", COLOUR_NONE},
    [FINDINGS_WARNING] = {"warning", COLOUR_YELLOW},
    [FINDINGS_FAILED] = {"failed", COLOUR_RED},
};

void findings_init(struct findings *findings, struct arena *arena) {
    *findings = (struct findings){.arena = arena};
}

static void put(struct findings *findings, const struct finding *finding) {
    if (findings->count == findings->room) {
        size_t room = findings->room ? 2 * findings->room : 32;
        struct finding *items = arena_array_of(findings->arena, struct finding, room);
        if (findings->count) memcpy(items, findings->items, findings->count * sizeof *items);
        findings->items = items;
        findings->room = room;
    }
    findings->items[findings->count++] = *finding;
}

void findings_add(struct findings *findings, enum findings_level level, const char *check, const char *mend,
                  const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *what = arena_vprintf(findings->arena, format, args);
    va_end(args);
    put(findings, &(struct finding){level, check, what, arena_strdup(findings->arena, mend)});
}

void findings_add_fault(struct findings *findings, enum findings_level level, const char *check, const char *mend,
                        const struct fault *fault) {
    findings_add(findings, level, check, mend, "%s%s%s", fault->where, fault->where[0] ? ": " : "", fault->what);
}

bool findings_failed(const struct findings *findings) {
    for (size_t i = 0; i < findings->count; i++)
        if (findings->items[i].level == FINDINGS_FAILED) return true;
    return false;
}

static void print_one(const struct screen *screen, const struct finding *finding) {
    struct buf line;
    const char *word = levels[finding->level].word;
    buf_init(&line, 1024 * 1024);
    screen_paint(&line, screen, levels[finding->level].colour, word);
    buf_addf(&line, "%*s%-11s ", (int)(sizeof "skipped" - strlen(word)), "", finding->check);
    screen_clean(&line, screen, text_of(finding->what));
    if (finding->mend) {
        buf_adds(&line, " -> ");
        screen_clean(&line, screen, text_of(finding->mend));
    }
    fprintf(screen->to, "%s\n", buf_cstr(&line));
    buf_fini(&line);
}

void findings_print(const struct findings *findings) {
    struct screen screen;
    size_t counts[sizeof levels / sizeof *levels] = {0};
    screen_init(&screen, stdout);
    for (size_t i = 0; i < findings->count; i++) {
        print_one(&screen, &findings->items[i]);
        counts[findings->items[i].level]++;
    }
    printf("%zu ok, %zu warning%s, %zu failed", counts[FINDINGS_OK], counts[FINDINGS_WARNING],
           counts[FINDINGS_WARNING] == 1 ? "" : "s", counts[FINDINGS_FAILED]);
    if (counts[FINDINGS_SKIPPED]) printf(", %zu skipped", counts[FINDINGS_SKIPPED]);
    putchar('\n');
}

const struct json *findings_json(const struct findings *findings) {
    struct arena *arena = findings->arena;
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        struct json *one = json_new_object(arena);
        json_set(one, "check", json_new_string(arena, finding->check));
        json_set(one, "status", json_new_string(arena, levels[finding->level].word));
        json_set(one, "message", json_new_string(arena, finding->what));
        json_set(one, "mend", json_new_string(arena, finding->mend));
        json_push(list, one);
    }
    return list;
}
