/* Where a definition's text comes from, and what of it a run pins: the file, what it includes, and its templates. */
#ifndef STAGE_SOURCE_H
#define STAGE_SOURCE_H

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"

struct source {
    struct arena *arena;
    const struct json *pinned; /* NULL: read from disk */
    const char *file;
    const char *templates; /* the directory */
    struct json *text, *includes, *read_templates;
};

void source_init_disk(struct source *source, struct arena *arena, const char *file, const char *templates);
bool source_init_pinned(struct source *source, struct arena *arena, const char *pinned, struct fault *fault);

/* Fits conf_reader.read; `arg` is the source. */
bool source_read(void *arg, struct arena *arena, const char *path, struct text *ret_text, struct fault *fault);

/* A template by its name below the directory of templates; *ret_file is its path, for faults. */
bool source_template(struct source *source, const char *name, const char **ret_file, struct text *ret_text,
                     struct fault *fault);

const char *source_write(const struct source *source); /* what was read so far, as JSON; in the source's arena */

#endif
