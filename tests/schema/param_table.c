/* Says what parameters a definition takes: reads lines {"definition": TEXT, "values": [PARAMETERS, …]} from stdin, and
 * prints for each {"schema": …, "faults": [[WHERE, …], …]}: the schema of its parameters, and for each of the values
 * the places where params_check found a mistake. A definition that does not compile gives {"mistakes": […]}. */
#include <stdio.h>
#include <stdlib.h>

#include "../helpers/definition.h"

static const struct json_limits LIMITS = {.max_bytes = 64 << 20, .max_depth = 300, .max_items = 4000000};

static const struct json *told(struct arena *arena, const struct faults *faults, bool sentences) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < faults->count; i++)
        json_push(list, json_new_string(arena, sentences ? faults->items[i].what : faults->items[i].where));
    return list;
}

static const struct json *check(struct arena *arena, const struct stage *stage, const struct json *values) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < json_size(values); i++) {
        struct faults faults;
        const struct json *checked;
        faults_init(&faults);
        bool good = params_check(arena, stage->params, stage->param_count, json_at(values, i), &checked, &faults);
        if (good != (faults.count == 0)) abort();
        json_push(list, told(arena, &faults, false));
        faults_fini(&faults);
    }
    return list;
}

static void answer(struct arena *arena, const struct json *line) {
    struct json *result = json_new_object(arena);
    struct faults faults;
    struct buf out;
    faults_init(&faults);
    struct stage *stage = definition_load("x.conf", json_text(json_gets(line, "definition")), &faults);
    if (stage) {
        json_set(result, "schema", params_schema(arena, stage->params, stage->param_count));
        json_set(result, "faults", check(arena, stage, json_gets(line, "values")));
    } else json_set(result, "mistakes", told(arena, &faults, true));
    buf_init(&out, 64 << 20);
    json_write(&out, result);
    puts(buf_cstr(&out));
    buf_fini(&out);
    faults_fini(&faults);
    stage_unref(stage);
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    while ((len = getline(&line, &room, stdin)) > 0) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        const struct json *value = json_parse(arena, (struct text){line, (size_t)len}, &LIMITS, &fault);
        if (!value) return fprintf(stderr, "%s\n", fault.what), 2;
        answer(arena, value);
        arena_free(arena);
    }
    mem_free(line);
    return 0;
}
