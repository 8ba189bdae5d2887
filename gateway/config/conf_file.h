/* Configuration files in libconfig's notation, read into plain values that know their file and line.
 *
 * libconfig 1.5 does the parsing and stays behind conf_file.c. What it gets wrong or leaves unsaid is caught before it
 * sees the text (config/conf_scan.h): comments that never end, integers that it would wrap, mistakes that it would call
 * "syntax error". */
#ifndef CONFIG_CONF_FILE_H
#define CONFIG_CONF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#define CONF_MAX_BYTES (1024 * 1024) /* a file with all that it includes */
#define CONF_MAX_SETTINGS 5000       /* libconfig takes quadratic time: 20,000 in one group take seconds */
#define CONF_MAX_DEPTH 32
#define CONF_MAX_INCLUDES 10 /* inside each other */

enum conf_kind { CONF_BOOL, CONF_INT, CONF_REAL, CONF_STRING, CONF_ARRAY, CONF_LIST, CONF_GROUP };

struct conf {
    enum conf_kind kind;
    const char *name; /* NULL in arrays and lists, and at the top */
    const char *file; /* where the setting's name stands, or the element itself */
    int line;
    int value_line, value_end_line; /* where the value begins and ends */
    bool truth;
    int64_t integer;
    double real; /* of a CONF_INT as well */
    struct text string;
    const struct conf *items; /* of an array, list or group, in the order of the file */
    size_t count;
};

/* Where text comes from: a disk, or what a run pinned. `path` is as written, or put behind the directory of the file
 * that includes it. */
struct conf_reader {
    bool (*read)(void *arg, struct arena *arena, const char *path, struct text *ret_text, struct fault *fault);
    void *arg;
};
extern const struct conf_reader conf_disk; /* regular files of at most CONF_MAX_BYTES */

/* Reads a file and what it includes; the values live in `arena`. NULL with at least one fault, `where` = "file:line".
 * `reader` NULL is the disk. */
const struct conf *conf_file_read(struct arena *arena, const char *path, const struct conf_reader *reader,
                                  struct faults *faults);

const struct conf *conf_find(const struct conf *group, const char *name); /* NULL where there is none */

/* For sentences: what stands there, as in: the string "x", the number 3, a list. Cut to a fair length. */
const char *conf_shown(struct arena *arena, const struct conf *conf);
const char *conf_where(struct arena *arena, const struct conf *conf); /* "file:line" of its value */

/* `path` behind the directory that `beside` is in, unless it is absolute or `beside` has none. */
const char *conf_path_beside(struct arena *arena, const char *beside, const char *path);

#endif
