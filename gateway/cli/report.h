/* Reports of runs, as the gateway sends them, for human eyes. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "cli/screen.h"
#include "lang/json.h"

const char *report_id(const struct json *report);     /* NULL where it is no report */
const char *report_status(const struct json *report); /* "" when absent; so for the others that return text */
const char *report_stage(const struct json *report);
const char *report_progress(const struct json *report);
int report_percent(const struct json *report); /* -1: not known */
bool report_ended(const struct json *report);
int report_exit(const struct json *report); /* of a run that has ended: its exit status */
int64_t report_elapsed_ms(const struct json *report, int64_t now_wall_ms); /* from its start to its end, or to now */

/* "RUNNING  40 %  polling: running": what a line a change consists of; clean. */
void report_line(struct buf *out, const struct screen *screen, const struct json *report);
/* How it ended: status, reason and error, outputs. */
void report_print(const struct screen *screen, const struct json *report, int64_t now_wall_ms);

/* A value as one line: text bare, everything else as JSON; clean. */
void report_value(struct buf *out, const struct screen *screen, const struct json *value);
void report_print_json(FILE *to, const struct json *value); /* indented, with a newline */

#endif
