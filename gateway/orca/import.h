/* orca's `webhook.preconfigured`, as definitions: one a stage, with its template files, and the secrets lifted out. */
#ifndef ORCA_IMPORT_H
#define ORCA_IMPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#define IMPORT_MAX_ENTRIES 2000

enum import_grade {
    IMPORT_NOTE,      /* it is done, and somebody might want to know */
    IMPORT_UNSETTLED, /* the definition has a setting `unsettled` there, and is refused until somebody has decided */
    IMPORT_REFUSED    /* nothing is written for the entry */
};

struct import_remark {
    enum import_grade grade;
    int line; /* of the file that is imported */
    const char *text;
};

struct import_file {
    const char *name; /* "githubStatus.conf", "githubStatus.json" */
    bool template;    /* it belongs into the directory of templates, else into that of definitions */
    struct text text;
};

struct import_stage {
    const char *type; /* as orca has it; "" where there is none */
    const char *name; /* the stage's; NULL: nothing is written */
    int line;
    struct import_file *files;
    size_t file_count;
    struct import_remark *remarks; /* by line */
    size_t remark_count;
    bool unsettled;
};

struct import_secret {
    const char *name;
    const char *value;  /* NULL: not in the file, somebody has to find it */
    const char *source; /* what the file has in place of a value: "${jira.token}"; or NULL */
    const char *from;   /* "Authorization of githubStatus" */
    int line;
};

struct import {
    struct import_stage *stages;
    size_t stage_count;
    struct import_secret *secrets;
    size_t secret_count;
};

/* Reads a file of orca (orca.yml, orca-local.yml, a ConfigMap or SpinnakerService that has one inside), and translates
 * every entry, or those of the type `only`. Everything lives in `arena`. NULL where the file is no YAML (SYNTAX with
 * line and column), is over a limit, or has no webhook.preconfigured (NOT_FOUND). What comes out has been compiled: it
 * passes `stagedoor check`, or has its remarks as `unsettled`. */
const struct import *import_orca(struct arena *arena, struct text source, const char *file, const char *only,
                                 struct fault *fault);

#endif
