/* A definition of any bytes compiles or gives at least one fault, and what compiled compiles again from its pinned form
 * to the same. Nothing is read from disk: the text comes in as a pinned definition. */
#include <stdlib.h>
#include <string.h>

#include "stage/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *pin(struct arena *arena, struct text text) {
    struct json *pinned = json_new_object(arena), *templates = json_new_object(arena);
    struct json *includes = json_new_object(arena);
    struct buf out;
    json_set(templates, "t.json", json_new_string(arena, "{\"a\": {{ parameters.a }}}"));
    json_set(includes, "i.inc", json_new_string(arena, "label = \"included\";"));
    json_set(pinned, "file", json_new_string(arena, "x.conf"));
    json_set(pinned, "text", json_new_text(arena, text));
    json_set(pinned, "includes", includes);
    json_set(pinned, "templates", templates);
    buf_init(&out, SIZE_MAX / 2);
    json_write(&out, pinned);
    const char *written = arena_strdup(arena, buf_cstr(&out));
    buf_fini(&out);
    return written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct stage_context context = {.templates = "/nonexistent"};
    struct arena *arena = arena_new();
    struct faults faults;
    faults_init(&faults);
    struct stage *stage = stage_load_source(pin(arena, (struct text){(const char *)data, size}), &context, &faults);
    if (!stage != (faults.count > 0)) abort();
    for (size_t i = 0; i < faults.count; i++)
        if (!faults.items[i].what[0] || faults.items[i].kind == FAULT_NONE ||
            strcmp(faults.items[i].what, "syntax error") ==
                0) /* libconfig refused what conf_scan should have explained */
            abort();
    if (stage) {
        struct stage *again = stage_load_source(stage->source, &context, &faults);
        if (!again || strcmp(stage_hash(again), stage_hash(stage)) != 0) abort();
        stage_unref(again);
    }
    stage_unref(stage);
    faults_fini(&faults);
    arena_free(arena);
    return 0;
}
