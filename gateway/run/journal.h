/* The journal of a run: what every call was, how it ended, and what judged it. Kept small: calls in a row that ended in
 * the same way are one entry with a count. */
#ifndef RUN_JOURNAL_H
#define RUN_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define JOURNAL_FIRST 8 /* entries from the beginning … */
#define JOURNAL_MAX 40  /* … and the newest ones; those between are left out, and counted */

struct journal_note {
    const char *step;    /* its name, or "cancel" */
    const char *call;    /* what it was for: "step", "cancel", … a fixed word */
    const char *phase;   /* never_sent, maybe_acted_on, answered; or "refused": it could not be rendered */
    const char *verdict; /* a fixed word: running, succeeded, failed, canceled, again, given_up */
    const char *rule;    /* why: a sentence, without secrets; NULL: none */
    int code;            /* 0: no answer */
    int64_t at_ms;       /* wall; when it ended */
    int64_t took_ms;
};

struct journal_entry;

struct journal {
    struct journal_entry *first, *last;
    size_t count;
    uint64_t left_out; /* calls of entries that were dropped */
};

void journal_add(struct journal *journal, const struct journal_note *note); /* copies all of it */
void journal_fini(struct journal *journal);
size_t journal_bytes(const struct journal *journal); /* of memory that it takes */

/* As JSON, for records: [entries]; and back. What cannot be read is left out. */
void journal_write(const struct journal *journal, struct buf *out);
void journal_load(struct journal *journal, struct text entries, uint64_t left_out);

/* For people: the same with times as RFC 3339. */
void journal_print(const struct journal *journal, struct buf *out);

#endif
