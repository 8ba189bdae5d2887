/* A definition that stands in no file, compiled the way the store's are: for tests and benches in C. */
#ifndef HELPERS_DEFINITION_H
#define HELPERS_DEFINITION_H

#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "lang/json.h"
#include "stage/stage.h"

/* NULL, with its mistakes added, where it has some. */
static inline struct stage *definition_load(const char *file, struct text definition, struct faults *faults) {
    static const struct stage_context context = {.templates = "templates"};
    struct arena *arena = arena_new();
    struct json *source = json_new_object(arena);
    struct buf text;
    json_set(source, "file", json_new_string(arena, file));
    json_set(source, "text", json_new_text(arena, definition));
    json_set(source, "includes", json_new_object(arena));
    json_set(source, "templates", json_new_object(arena));
    buf_init(&text, 4 << 20);
    json_write(&text, source);
    struct stage *stage = stage_load_source(buf_cstr(&text), &context, faults);
    buf_fini(&text);
    arena_free(arena);
    return stage;
}

/* The same of one that has to be good. */
static inline struct stage *definition_must(const char *file, const char *definition) {
    struct faults faults;
    faults_init(&faults);
    struct stage *stage = definition_load(file, text_of(definition), &faults);
    for (size_t i = 0; i < faults.count; i++)
        fprintf(stderr, "%s: %s\n%s\n", faults.items[i].where, faults.items[i].what, definition);
    faults_fini(&faults);
    if (!stage) abort();
    return stage;
}

#endif
