/* Problem documents (RFC 9457), and the one place that maps kinds of faults to HTTP statuses. */
#ifndef FRONT_PROBLEM_H
#define FRONT_PROBLEM_H

#include "base/fault.h"
#include "base/text.h"

#define PROBLEM_TYPE "application/problem+json"

int problem_status(enum fault_kind kind);

/* {"type", "title", "status", "detail", "kind", "errors": [{"pointer", "detail"}]}; `errors` only where a fault names a
 * place.
 * `${` never stands in it. */
void problem_write(struct buf *out, int status, const char *kind, const char *detail, const struct fault *faults,
                   size_t count);

#endif
