/* Reads the directory of definitions into one immutable generation.
 *
 * A file that compiles puts its new stage in force. One that does not keeps the stage which the same file gave last,
 * and carries its faults. A file that is gone, or disabled, takes its stage along. Where two files claim one name,
 * neither is believed: which of them came first would depend on the directory's order. A file whose text is unchanged
 * keeps the very stage that was in force, so that a reload costs no memory. */
#include "stage/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stage/self_test.h"

#define CATALOG_FILES_MAX 10000

struct generation {
    struct catalog catalog; /* first, so that a pointer to it is one to this */
    struct arena *arena;
    int references;
};

struct loading {
    struct arena *arena;
    const struct stage_context *context;
    struct catalog *previous;
};

static struct generation *generation_of(struct catalog *catalog) {
    return (struct generation *)(void *)catalog;
}

/* ---- the directory ---- */

static bool is_definition(const char *name) {
    size_t len = strlen(name);
    return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool list_directory(struct arena *arena, const char *directory, const char ***ret_files, size_t *ret_count,
                           struct fault *fault) {
    DIR *dir = opendir(directory);
    if (!dir)
        return fault_set(fault, FAULT_IO, directory, "the directory of definitions cannot be read: %s",
                         strerror(errno));
    const char **files = arena_array_of(arena, const char *, CATALOG_FILES_MAX);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (!is_definition(entry->d_name)) continue;
        if (count == CATALOG_FILES_MAX) {
            closedir(dir);
            return fault_set(fault, FAULT_TOO_LARGE, directory, "more than %d definitions", CATALOG_FILES_MAX);
        }
        files[count++] = arena_printf(arena, "%s/%s", directory, entry->d_name);
    }
    closedir(dir);
    qsort(files, count, sizeof *files, by_text);
    *ret_files = files;
    *ret_count = count;
    return true;
}

/* ---- one file ---- */

static const struct catalog_entry *previous_of(const struct loading *l, const char *file) {
    for (size_t i = 0; l->previous && i < l->previous->count; i++)
        if (strcmp(l->previous->entries[i].file, file) == 0) return &l->previous->entries[i];
    return NULL;
}

static const char *bare_name(struct arena *arena, const char *file) {
    const char *slash = strrchr(file, '/');
    const char *name = slash ? slash + 1 : file;
    return arena_strndup(arena, name, strlen(name) - strlen(".conf"));
}

static void keep_faults(struct loading *l, struct catalog_entry *entry, const struct faults *faults) {
    entry->faults = arena_copy(l->arena, faults->items, faults->count * sizeof *faults->items);
    entry->fault_count = faults->count;
}

/* A stage whose text is unchanged stays the very one that it was. */
static void keep_if_same(const struct loading *l, struct catalog_entry *entry) {
    const struct catalog_entry *before = previous_of(l, entry->file);
    struct stage *old = before ? before->stage : NULL;
    if (!old || !entry->stage || strcmp(stage_hash(old), stage_hash(entry->stage)) != 0) return;
    stage_unref(entry->stage);
    entry->stage = stage_ref(old);
}

static void load_entry(struct loading *l, const char *file, struct catalog_entry *entry) {
    const struct catalog_entry *before = previous_of(l, file);
    struct stage *old = before ? before->stage : NULL;
    struct faults faults;
    faults_init(&faults);
    entry->file = file;
    entry->stage = stage_load(file, l->context, &faults);
    if (entry->stage && entry->stage->disabled) {
        entry->name = arena_strdup(l->arena, entry->stage->name);
        entry->disabled = arena_strdup(l->arena, entry->stage->disabled);
        stage_unref(entry->stage);
        entry->stage = NULL;
    } else if (entry->stage) {
        entry->name = arena_strdup(l->arena, entry->stage->name);
        keep_if_same(l, entry);
    } else {
        const char *name = stage_peek_name(l->arena, file);
        keep_faults(l, entry, &faults);
        if (old) entry->stage = stage_ref(old);
        entry->name = arena_strdup(l->arena, old ? old->name : name ? name : bare_name(l->arena, file));
    }
    faults_fini(&faults);
}

/* ---- what is built in ---- */

static bool name_is_taken(const char *name, const struct catalog_entry *entries, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!entries[i].disabled && strcmp(entries[i].name, name) == 0) return true;
    return false;
}

/* True where it was put into *ret_entry. */
static bool load_built_in(struct loading *l, const struct catalog_entry *entries, size_t count,
                          struct catalog_entry *ret_entry) {
    struct catalog_entry entry = {.built_in = true};
    struct faults faults;
    if (!l->context->self_test) return false;
    faults_init(&faults);
    entry.stage = stage_load_source(l->context->self_test, l->context, &faults);
    keep_faults(l, &entry, &faults);
    faults_fini(&faults);
    entry.file = arena_strdup(l->arena, entry.stage ? entry.stage->file : "");
    entry.name = SELF_TEST_NAME;
    if (name_is_taken(entry.name, entries, count)) {
        stage_unref(entry.stage);
        return false;
    }
    keep_if_same(l, &entry);
    *ret_entry = entry;
    return true;
}

/* ---- two files with one name ---- */

static int by_name(const void *a, const void *b) {
    const struct catalog_entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->file, y->file);
}

static void break_twin(struct loading *l, struct catalog_entry *entry, const char *other) {
    const struct catalog_entry *before = previous_of(l, entry->file);
    struct fault *faults = arena_array_of(l->arena, struct fault, entry->fault_count + 1);
    for (size_t i = 0; i < entry->fault_count; i++) faults[i] = entry->faults[i];
    fault_set(&faults[entry->fault_count], FAULT_CONFLICT, entry->file, "the name \"%s\" is also that of %s",
              entry->name, other);
    entry->faults = faults;
    entry->fault_count++;
    struct stage *old = before ? before->stage : NULL;
    bool keeps = old && strcmp(old->name, entry->name) == 0;
    stage_unref(entry->stage);
    entry->stage = keeps ? stage_ref(old) : NULL;
}

static const struct catalog_entry *twin_of(const struct catalog_entry *entry, const struct catalog_entry *group,
                                           size_t count) {
    for (size_t i = 0; !entry->disabled && i < count; i++)
        if (&group[i] != entry && !group[i].disabled) return &group[i];
    return NULL;
}

/* A disabled definition claims no name: the one that ships may lie beside one's own. */
static void break_twins(struct loading *l, struct catalog_entry *entries, size_t count) {
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && strcmp(entries[end].name, entries[i].name) == 0) end++;
        for (size_t j = i; j < end; j++) {
            const struct catalog_entry *twin = twin_of(&entries[j], &entries[i], end - i);
            if (twin) break_twin(l, &entries[j], twin->file);
        }
        i = end;
    }
}

/* ---- generations ---- */

struct catalog *catalog_load(const char *directory, const struct stage_context *context, struct catalog *previous,
                             int64_t now_wall_ms, struct fault *fault) {
    struct arena *arena = arena_new();
    struct loading l = {.arena = arena, .context = context, .previous = previous};
    const char **files = NULL;
    size_t count = 0;
    if (!list_directory(arena, directory, &files, &count, fault)) {
        arena_free(arena);
        return NULL;
    }
    struct catalog_entry *entries = arena_array_of(arena, struct catalog_entry, count + 1);
    for (size_t i = 0; i < count; i++) load_entry(&l, files[i], &entries[i]);
    if (load_built_in(&l, entries, count, &entries[count])) count++;
    qsort(entries, count, sizeof *entries, by_name);
    break_twins(&l, entries, count);
    struct generation *g = arena_new_of(arena, struct generation);
    g->catalog = (struct catalog){.entries = entries, .count = count, .loaded_wall_ms = now_wall_ms};
    g->arena = arena;
    g->references = 1;
    return &g->catalog;
}

struct catalog *catalog_ref(struct catalog *catalog) {
    __atomic_add_fetch(&generation_of(catalog)->references, 1, __ATOMIC_RELAXED);
    return catalog;
}

void catalog_unref(struct catalog *catalog) {
    if (!catalog || __atomic_sub_fetch(&generation_of(catalog)->references, 1, __ATOMIC_ACQ_REL) != 0) return;
    for (size_t i = 0; i < catalog->count; i++) stage_unref(catalog->entries[i].stage);
    arena_free(generation_of(catalog)->arena);
}

static int weight_of(const struct catalog_entry *entry) {
    return entry->stage ? 2 : entry->disabled ? 0 : 1;
}

/* Of several files with one name the one that has a stage in force; else one that is not disabled. */
const struct catalog_entry *catalog_find(const struct catalog *catalog, const char *name) {
    size_t low = 0, high = catalog->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(name, catalog->entries[middle].name) <= 0) high = middle;
        else low = middle + 1;
    }
    const struct catalog_entry *found = NULL;
    for (; low < catalog->count && strcmp(name, catalog->entries[low].name) == 0; low++)
        if (!found || weight_of(&catalog->entries[low]) > weight_of(found)) found = &catalog->entries[low];
    return found;
}

const char *catalog_nearest(const struct catalog *catalog, struct text name) {
    if (name.len > STAGE_NAME_MAX) return NULL;
    const char **names = mem_alloc(catalog->count * sizeof *names);
    char *word = mem_strndup(name.at, name.len);
    for (size_t i = 0; i < catalog->count; i++) names[i] = catalog->entries[i].name;
    const char *near = text_nearest(word, names, catalog->count);
    mem_free(word);
    mem_free(names);
    return near;
}
