/* Reads YAML; and imports it as a file of orca's: what comes out has been compiled, or says what is not settled. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "orca/import.h"
#include "orca/yaml_read.h"
#include "stage/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As much of a tree as its aliases allow: bounded, since they may make it endless. */
static size_t walk(const struct yaml *node, size_t steps) {
    if (!node) abort();
    if (steps > 10000) return steps;
    if (node->line < 1 || node->column < 1) abort();
    for (size_t i = 0; node->kind == YAML_LIST && i < node->count; i++) steps = walk(node->items[i], steps + 1);
    for (size_t i = 0; node->kind == YAML_MAP && i < node->count; i++) {
        if (node->pairs[i].key->kind != YAML_TEXT) abort();
        steps = walk(node->pairs[i].value, steps + 1);
    }
    if (node->kind == YAML_TEXT && strlen(node->text.at) != node->text.len) abort();
    return steps;
}

static void check_stage(const struct import_stage *stage) {
    if (!stage->name) return;
    if (!stage->file_count || stage->files[0].template) abort();
    for (size_t i = 0; i < stage->file_count; i++)
        if (strchr(stage->files[i].name, '/') || stage->files[i].name[0] == '.') abort();
    bool marked = text_holds(stage->files[0].text, "\nunsettled = [\n") ||
                  text_holds(stage->files[0].text, "\n  unsettled = [\n");
    if (stage->unsettled != marked) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct yaml **documents;
    size_t count;
    struct text source = {(const char *)data, size};
    bool good = yaml_read(arena, source, "orca.yml", &documents, &count, &fault);
    if (!good && fault.kind == FAULT_NONE) abort();
    for (size_t i = 0; good && i < count; i++) walk(documents[i], 0);
    fault.kind = FAULT_NONE;
    const struct import *all = good ? import_orca(arena, source, "orca.yml", NULL, &fault) : NULL;
    if (good && !all && fault.kind == FAULT_NONE) abort();
    for (size_t i = 0; all && i < all->stage_count; i++) check_stage(&all->stages[i]);
    arena_free(arena);
    return 0;
}
