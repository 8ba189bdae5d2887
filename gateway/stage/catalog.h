/* The catalog: all stages of stages.d/, as one immutable generation. Loops hold a reference to the generation they work
 * with; reading the directory again makes a new one. A file that is broken keeps its last good stage in force, and says
 * so. */
#ifndef STAGE_CATALOG_H
#define STAGE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "stage/stage.h"

struct catalog_entry {
    const char *name; /* of the stage; of the file, without its directory and ending, where that is not known */
    const char *file;
    struct stage *stage;        /* in force; NULL where there never was a good one */
    const char *disabled;       /* why the newest version of the file is not offered, though it is good; or NULL */
    const struct fault *faults; /* of the newest version of the file; none: it is what is in force */
    size_t fault_count;
    bool built_in; /* no file: it comes with the program, and stands in no list unless it is asked for */
};

struct catalog {
    const struct catalog_entry *entries; /* by name */
    size_t count;
    int64_t loaded_wall_ms;
};

/* Reads every *.conf of `directory`. `previous` (may be NULL) is where last good stages come from; two files with one
 * name are both broken. A directory that cannot be read is a fault, and NULL. The stage that is built in is there as
 * well, unless a file that is in force has its name. The caller holds one reference. */
struct catalog *catalog_load(const char *directory, const struct stage_context *context, struct catalog *previous,
                             int64_t now_wall_ms, struct fault *fault);
struct catalog *catalog_ref(struct catalog *catalog);
void catalog_unref(struct catalog *catalog); /* any thread; NULL is allowed */
const struct catalog_entry *catalog_find(const struct catalog *catalog, const char *name);
const char *catalog_nearest(const struct catalog *catalog, struct text name);

#endif
