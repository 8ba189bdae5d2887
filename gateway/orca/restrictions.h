/* orca's own rules for URLs that users configure (UserConfiguredUrlRestrictions), as far as a name alone shows that
 * they stand in the way. They hold for preconfigured webhooks too. */
#ifndef ORCA_RESTRICTIONS_H
#define ORCA_RESTRICTIONS_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/mem.h"
#include "lang/json.h"

/* The members of `user-configured-url-restrictions` that have to differ from orca's defaults so that it calls `url`: an
 * object, empty where it does so anyway. What a name resolves to is not asked. NULL: it is no URL. */
const struct json *restrictions_needed(struct arena *arena, const char *url, struct fault *fault);

/* Sentences, as an array: what of `needed` the settings `given` (an object, or NULL) do not have. */
const struct json *restrictions_lacking(struct arena *arena, const struct json *needed, const struct json *given,
                                        const char *url);
#endif
