/* The look at a configuration text before libconfig gets it: puts included files in place, knows the file and line of
 * everything, and says in words what is wrong. */
#ifndef CONFIG_CONF_SCAN_H
#define CONFIG_CONF_SCAN_H

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/conf_file.h"

struct conf_place {
    const char *file;
    int line;
};

struct conf_extent {
    int first_line, last_line; /* of the text with everything included, 1… */
};

struct conf_scan {
    struct text text;                /* with everything included; NUL-terminated */
    const struct conf_place *places; /* by line of `text` - 1 */
    size_t place_count;
    const struct conf_extent *values; /* of every value and then what is in it, in the order of the text */
    size_t value_count;
};

/* All in `arena`. */
bool conf_scan(struct arena *arena, const char *path, const struct conf_reader *reader, struct conf_scan *ret_scan,
               struct faults *faults);
struct conf_place conf_scan_place(const struct conf_scan *scan, int line);

#endif
