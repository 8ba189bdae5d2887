/* YAML for orca: JSON values as a block that people can read and that Spring's reader (SnakeYAML, YAML 1.1) takes for
 * what they are. */
#ifndef ORCA_YAML_WRITE_H
#define ORCA_YAML_WRITE_H

#include <stdbool.h>

#include "base/text.h"
#include "lang/json.h"

/* Appends one document. Text that a reader could take for something else (on, 1_000, 12:30, ~) is quoted; text of
 * several lines becomes a literal block; lines are never folded. False where it does not fit into `out`. */
bool yaml_write(struct buf *out, const struct json *value);
#endif
