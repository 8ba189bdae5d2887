/* Outputs: what a step, or a whole stage, gives, made of a reply. */
#ifndef CALL_OUTPUTS_H
#define CALL_OUTPUTS_H

#include <stddef.h>

#include "base/mem.h"
#include "stage/stage.h"

/* `roots` is what templates may name, by root index; a path looks into roots[ROOT_BODY]. An object of the outputs by
 * name; one that the reply has not is null, one whose path may find several is an array. In `arena`; borrows from the
 * roots. */
struct json *outputs_make(struct arena *arena, const struct stage_output *outputs, size_t count,
                          const struct json *const *roots);

/* What one output's path (its first node; null where there is none) or expression gives. NULL with a fault. */
const struct json *outputs_value(const struct stage_output *output, struct arena *arena,
                                 const struct json *const *roots, struct fault *fault);

#endif
