/* What the files that make config/settings share: the table by row numbers, and the reading of values by it. Private to
 * them: settings.c goes through the places where options are put, settings_value.c takes a value, settings_print.c
 * writes what there is. */
#ifndef CONFIG_SETTINGS_INSIDE_H
#define CONFIG_SETTINGS_INSIDE_H

#include "config/conf_file.h"
#include "config/settings.h"

enum settings_kind {
    SETTINGS_KIND_LIST,
    SETTINGS_KIND_STRING,
    SETTINGS_KIND_PATH,
    SETTINGS_KIND_STORE,
    SETTINGS_KIND_BOOL,
    SETTINGS_KIND_INTEGER,
    SETTINGS_KIND_DURATION,
    SETTINGS_KIND_SIZE,
    SETTINGS_KIND_UPSTREAMS,
    SETTINGS_KIND_CHOICE
};

struct settings_member {
    enum settings_kind kind;
    size_t offset; /* in struct settings */
};
extern const struct settings_member settings_members[]; /* beside settings_rows */

enum {
#define X(kind, name, preset, allowed, when, group, help) SETTINGS_ROW_##name,
    SETTINGS(X)
#undef X
        SETTINGS_ROWS
};

const char *settings_flag_name(struct arena *arena, const char *option); /* max_runs: --max-runs */

struct settings_reading {
    struct arena *arena;
    struct settings *settings;
    struct faults *faults;
    const char *beside; /* the file that relative paths lie beside, or NULL */
    const char *where;  /* of the value at hand */
    bool bad;           /* of the value at hand */
};

/* Adds a fault at `where`, of the value at hand. */
void settings_value_refuse(struct settings_reading *reading, enum fault_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The value of a row from one piece of text, whatever place it is from: lists have commas between their items. */
void settings_value_take(struct settings_reading *reading, size_t row, struct text t);
/* The same of a value of stagedoor.conf, which has a type. */
void settings_value_take_conf(struct settings_reading *reading, size_t row, const struct conf *conf);

#endif
