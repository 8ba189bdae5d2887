/* The log: one line an event, logfmt or JSON, written by a thread of its own so that a blocked pipe stops nobody.
 *
 *   log_put(LOG_INFO, "run_ended", &ctx, LOG_STR("status", "SUCCEEDED"), LOG_INT("ms", 1234));
 *
 * gives  time=… level=info event=run_ended run=01K… stage=load-test status=SUCCEEDED ms=1234 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/text.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

/* Who the line is about; NULL members are left out. `ctx` itself may be NULL. */
struct log_context {
    const char *run, *stage, *caller, *step, *trace;
};

struct log_field {
    const char *key;  /* NULL ends the list */
    const char *text; /* NULL: the number counts, or the field is left out if it is a LOG_STR of NULL */
    int64_t number;
    bool is_number;
};

#define LOG_STR(key, value) ((struct log_field){(key), (value), 0, false})
#define LOG_INT(key, value) ((struct log_field){(key), NULL, (int64_t)(value), true})
/* What the fields are made of is looked at only where the line is wanted. */
#define log_put(level, event, ctx, ...)                                                                       \
    (log_wants(level)                                                                                         \
         ? log_put_fields((level), (event), (ctx), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}}) \
         : (void)0)

/* Any thread. Never blocks: past 4 MiB waiting, lines are dropped and counted, and the count is logged later.
 * Of a value, at most 4 KiB are shown. */
void log_put_fields(enum log_level level, const char *event, const struct log_context *ctx,
                    const struct log_field *fields);
bool log_wants(enum log_level level); /* whether a line of that level is written at all */
void log_fault(enum log_level level, const char *event, const struct log_context *ctx, const struct fault *fault);

/* Starts the writer thread; before that lines go straight to stderr. `path` "-" or NULL is stderr. */
bool log_open(enum log_level least, enum log_format format, const char *path, struct fault *fault);
void log_set_least(enum log_level least); /* any thread */
void log_close(void);                     /* writes what waits, ends the thread */
void log_reopen(void);                    /* after log rotation: opens the path again */

/* Called for every line before it is queued, to mask secrets in place; set once, before threads start. */
void log_set_mask(void (*mask)(struct buf *line));

bool log_level_parse(struct text t, enum log_level *ret_level);

#endif
