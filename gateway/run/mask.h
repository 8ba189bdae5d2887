/* Masking JSON values: strings (and long numbers) that hold a secret, or one of the run's own secret parameters. */
#ifndef RUN_MASK_H
#define RUN_MASK_H

#include "run/run.h"

/* The same value where there is nothing to mask. `run` may be NULL. Fits run_world.mask. */
const struct json *mask_value(void *run, struct arena *arena, const struct json *value);

#endif
