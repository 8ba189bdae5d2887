/* Renders templates for tests in Python: a JSON object a line comes in, and one goes out.
 *
 * In: {"template": "…", "vars": {…}, "place": "text"}, or "expression" in place of "template"; "parts" holds what may
 * be included. Out: {"result": "…"}, or for an expression its value, or {"kind": "…", "where": "…", "what": "…"}. */
#include <stdio.h>
#include <string.h>

#include "lang/template.h"

static const struct json_limits limits = {.max_bytes = 16 << 20, .max_depth = 200, .max_items = 1000000};

struct roots {
    const char *names[64];
    const struct json *values[64];
    size_t count;
};

static enum template_place place_of(const char *word) {
    static const char *const words[] = {"text", "json", "url", "header", "form", "xml"};
    for (int i = 0; word && i < 6; i++)
        if (strcmp(word, words[i]) == 0) return (enum template_place)i;
    return PLACE_TEXT;
}

static bool read_part(void *arg, const char *name, const char **ret_file, struct text *ret_text, struct fault *fault) {
    const struct json *part = json_gets(arg, name);
    if (!part) return fault_set(fault, FAULT_NOT_FOUND, NULL, "%s cannot be read", name);
    *ret_file = name;
    *ret_text = json_text(part);
    return true;
}

static const struct json *work(struct arena *arena, const struct json *task, const struct roots *roots,
                               struct fault *fault) {
    struct template_names names = {.roots = roots->names, .count = roots->count};
    struct template_rules rules = {
        .place = place_of(json_gets_text(task, "place")), .names = &names, .file = "t", .line = 1, .part = read_part};
    rules.part_arg = (void *)(uintptr_t)json_gets(task, "parts");
    const struct json *source = json_gets(task, "template");
    if (!source) {
        source = json_gets(task, "expression");
        const struct template *bare = template_compile_expression(arena, json_text(source), &rules, fault);
        return bare ? template_value(bare, roots->values, arena, fault) : NULL;
    }
    const struct template *t = template_compile(arena, json_text(source), &rules, fault);
    struct buf out;
    const struct json *made = NULL;
    buf_init(&out, 16 << 20);
    if (t && template_render(t, roots->values, &out, fault)) made = json_new_text(arena, buf_text(&out));
    buf_fini(&out);
    return made;
}

static void answer(struct text line) {
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct roots roots = {0};
    struct json *reply = json_new_object(arena);
    const struct json *task = json_parse(arena, line, &limits, &fault), *vars = json_gets(task, "vars");
    for (struct json_member m = json_first(vars); m.name.at && roots.count < 64; m = json_next(vars, m)) {
        roots.names[roots.count] = m.name.at;
        roots.values[roots.count++] = m.value;
    }
    const struct json *made = task ? work(arena, task, &roots, &fault) : NULL;
    if (made) {
        json_set(reply, "result", made);
    } else {
        json_set(reply, "kind", json_new_string(arena, fault_word(fault.kind)));
        json_set(reply, "where", json_new_string(arena, fault.where));
        json_set(reply, "what", json_new_string(arena, fault.what));
        json_set(reply, "lines", json_new_string(arena, fault.lines));
    }
    struct buf out;
    buf_init(&out, 64 << 20);
    json_write(&out, reply);
    printf("%s\n", buf_cstr(&out));
    buf_fini(&out);
    arena_free(arena);
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    for (ssize_t len; (len = getline(&line, &room, stdin)) > 0;) answer((struct text){line, (size_t)len});
    mem_free(line);
    return 0;
}
