/* The small notations of definitions and options: durations, sizes, rates, code sets. */
#ifndef LANG_UNITS_H
#define LANG_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/text.h"

/* "500ms", "5s", "1.5h", "2h30m", "30d"; units ms s m h d w. At most 10 years. "0" alone is allowed. */
bool duration_parse(struct text t, int64_t *ret_ms, struct fault *fault);
void duration_write(struct buf *out, int64_t ms); /* "2h30m", "500ms", "0s"; reads back */

/* "64KiB", "1MiB", "2GiB", "1000", "10kB"; at most 1 TiB. */
bool size_parse(struct text t, int64_t *ret_bytes, struct fault *fault);
void size_write(struct buf *out, int64_t bytes); /* the largest unit that divides it; reads back */

/* "5/s", "30/m", "100/h"; *ret_per_second > 0 */
bool rate_parse(struct text t, double *ret_per_second, struct fault *fault);

/* "2xx,304,409", "200-299"; codes 100 to 599. */
struct code_set {
    uint64_t bits[8]; /* bit (code - 100) */
};
bool code_set_parse(struct text t, struct code_set *ret_set, struct fault *fault);
bool code_set_holds(const struct code_set *set, int code);
void code_set_write(struct buf *out, const struct code_set *set);

#endif
