/* The inbox of a step: the callbacks that came for it before it waited for them, and the marks of all that were taken,
 * so that one that is sent again is recognised. */
#ifndef RUN_INBOX_H
#define RUN_INBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "lang/json.h"

#define INBOX_MARK_SIZE 33                 /* 32 hexadecimal digits and NUL */
#define INBOX_KEPT 16                      /* messages */
#define INBOX_KEPT_BYTES (4 * 1024 * 1024) /* of all their bodies */
#define INBOX_KNOWN 32                     /* marks; the oldest are forgotten */

struct inbox_message {
    const struct json *value; /* {body, headers, code} */
    size_t bytes;             /* of the body */
};

struct inbox {
    char known[INBOX_KNOWN][INBOX_MARK_SIZE]; /* a ring */
    unsigned known_count;                     /* ever added */
    struct inbox_message kept[INBOX_KEPT];    /* in the order in which they came */
    unsigned kept_count;
};

/* A NULL inbox knows nothing, and holds nothing. */
bool inbox_knows(const struct inbox *inbox, const char *mark);
bool inbox_newest_is(const struct inbox *inbox, const char *mark);
void inbox_note(struct inbox *inbox, const char *mark);
bool inbox_keep(struct inbox *inbox, struct arena *arena,
                const struct inbox_message *message);                    /* a copy in `arena`; false where it is full */
bool inbox_take(struct inbox *inbox, struct inbox_message *ret_message); /* the first that is kept; false: none */

/* For the record. `values` in place of those that are kept: masked, as many as kept_count; NULL: without them. */
const struct json *inbox_write(const struct inbox *inbox, struct arena *arena, const struct json *const *values);
struct inbox *inbox_load(struct arena *arena, const struct json *from); /* NULL for what is no inbox */

#endif
