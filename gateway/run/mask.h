#ifndef RUN_MASK_H
#define RUN_MASK_H

#include "run/run.h"

/* Masking of what callers get to see: what holds a secret, or one of the run's own secret parameters. `run` may be
 * NULL. */

/* False, and nothing is written, where there is nothing to mask. */
bool mask_text(const struct run *run, struct text text, struct buf *ret_masked); /* GIVES, to buf_fini in any case */
/* Strings, names and long numbers. The same value where there is nothing to mask; else one in `arena`. */
const struct json *mask_value(const struct run *run, struct arena *arena, const struct json *value);

#endif
