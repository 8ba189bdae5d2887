/* What doctor found: a line a check, how it went, and how to mend it. */
#ifndef CLI_FINDINGS_H
#define CLI_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "lang/json.h"

enum findings_level {
    FINDINGS_OK,
    FINDINGS_SKIPPED, /* could not be looked at, for a reason that another line names */
    FINDINGS_WARNING,
    FINDINGS_FAILED
};

struct finding {
    enum findings_level level;
    const char *check; /* a word: "token" */
    const char *what;  /* a sentence */
    const char *mend;  /* a sentence, or NULL */
};

struct findings {
    struct arena *arena;
    struct finding *items;
    size_t count, room;
};

void findings_init(struct findings *findings, struct arena *arena);

/* `mend` is for a warning and a failure, or NULL; it is copied. */
void findings_add(struct findings *findings, enum findings_level level, const char *check, const char *mend,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
/* "where: what" of a fault. */
void findings_add_fault(struct findings *findings, enum findings_level level, const char *check, const char *mend,
                        const struct fault *fault);

bool findings_failed(const struct findings *findings);             /* whether one did */
void findings_print(const struct findings *findings);              /* to stdout */
const struct json *findings_json(const struct findings *findings); /* an array */

#endif
