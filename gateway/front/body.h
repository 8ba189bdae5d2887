/* The body of a request as JSON, whatever it calls itself. */
#ifndef FRONT_BODY_H
#define FRONT_BODY_H

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"

/* An empty body is an object without members. `type` is the Content-Type, or NULL. NULL with faults: UNSUPPORTED where
 * the type says that it is something else; SYNTAX where it is no JSON object; INVALID, with its place, for every
 * expression of Spinnaker's that was left over and made it none. */
const struct json *body_object(struct arena *arena, const char *type, struct text body,
                               const struct json_limits *limits, struct faults *faults);

#endif
