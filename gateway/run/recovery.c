/* From the store back into the engines, each run with the definition that it began with.
 *
 * Definitions are looked for in the catalog first, then compiled from the text that the store has pinned: once each,
 * however many runs share one and in whatever order they come, since compiling takes far longer than reading a
 * run. Called by cli/serve, before there are other threads. */
#include "run/recovery.h"

#include <string.h>

#include "run/id.h"

struct pinned {
    struct pinned *next;
    const char *hash;
    struct stage *stage; /* NULL: it cannot be used, and `fault` says why */
    struct fault fault;
};

struct walk {
    const struct recovery *recovery;
    struct arena *arena;
    struct pinned *pinned;
    size_t count;
};

static struct stage *find_in_force(const struct catalog *catalog, const char *hash) {
    for (size_t i = 0; i < catalog->count; i++) {
        struct stage *stage = catalog->entries[i].stage;
        if (stage && strcmp(stage_hash(stage), hash) == 0) return stage_ref(stage);
    }
    return NULL;
}

/* Where no definition of the stage is in force (its file is gone, disabled or broken), its runs keep the limits that
 * they began with: the newest of them, since runs come in the order of their starts. */
static void keep_limits(const struct recovery *recovery, const struct stage *stage) {
    const struct catalog_entry *entry = catalog_find(recovery->catalog, text_of(stage->name));
    if (recovery->gate && !(entry && entry->stage))
        gate_tune_stage(recovery->gate, stage->name, stage->limits, stage->call_limits, 0);
}

static struct stage *compile(const struct recovery *recovery, const char *hash, struct fault *fault) {
    char *source = store_definition(recovery->store, hash, fault);
    if (!source) return NULL;
    struct faults faults;
    faults_init(&faults);
    struct stage *stage = stage_load_source(source, recovery->context, &faults);
    if (!stage && faults.count) *fault = faults.items[0];
    faults_fini(&faults);
    mem_free(source);
    return stage;
}

static const struct pinned *pinned_of(struct walk *walk, const char *hash) {
    for (struct pinned *pinned = walk->pinned; pinned; pinned = pinned->next)
        if (strcmp(pinned->hash, hash) == 0) return pinned;
    struct pinned *pinned = arena_new_of(walk->arena, struct pinned);
    pinned->hash = arena_strdup(walk->arena, hash);
    pinned->stage = find_in_force(walk->recovery->catalog, hash);
    if (!pinned->stage) {
        pinned->stage = compile(walk->recovery, hash, &pinned->fault);
        if (pinned->stage) keep_limits(walk->recovery, pinned->stage);
    }
    pinned->next = walk->pinned;
    walk->pinned = pinned;
    return pinned;
}

static bool resume_one(void *arg, const struct store_record *record) {
    struct walk *walk = arg;
    const struct pinned *pinned = pinned_of(walk, record->definition);
    const struct engines *engines = walk->recovery->engines;
    engine_resume(engines->items[id_owner(text_of(record->id)) % engines->count], record, pinned->stage,
                  &pinned->fault);
    walk->count++;
    return true;
}

bool recovery_resume(const struct recovery *recovery, size_t *ret_count, struct fault *fault) {
    struct walk walk = {.recovery = recovery, .arena = arena_new()};
    bool good = store_each_open(recovery->store, resume_one, &walk, fault);
    for (struct pinned *pinned = walk.pinned; pinned; pinned = pinned->next) stage_unref(pinned->stage);
    arena_free(walk.arena);
    *ret_count = walk.count;
    return good;
}
