/* What orca could not evaluate: it sends an expression of the pipeline that failed as it stands, `${…}` and all. */
#ifndef STAGE_EXPRESSION_H
#define STAGE_EXPRESSION_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/text.h"
#include "lang/json.h"

bool expression_is_left(struct text t);
bool expression_is_inside(const struct json *value); /* in one of its texts, or in a member's name */

/* One fault, at `where`, with what is likely to be wrong about it. The expression itself is not shown: it may stand
 * where a secret should. */
void expression_refuse(const char *where, struct text t, struct faults *faults);

void expression_add_pointer(struct buf *where, struct text name); /* "/name" (RFC 6901, 3) */

/* A fault for every one in a value: texts, and names of members. `where` is the JSON Pointer to it, as it is after the
 * call too. Whether there was one. */
bool expression_find(const struct json *value, struct buf *where, struct faults *faults);

/* The same for a body that is no JSON, as it often is because of them: `"x": ${…}`. The pointers are those that the
 * body would have if each stood for a value. */
bool expression_find_raw(struct text body, struct faults *faults);

#endif
