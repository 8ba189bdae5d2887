/* A stage as one entry of orca's `webhook.preconfigured` (WebhookProperties.PreconfiguredWebhook), so that it is native
 * in Spinnaker. The YAML of `export orca` and GET /webhooks/preconfigured are both made from it.
 *
 * Spring replaces `${name}` in orca.yml when orca starts, and takes what stands behind a `:` in the braces for a
 * default value. So no expression made here has a `:` between its braces, and no text of a definition keeps its `${`.
 */
#ifndef ORCA_PRECONFIGURED_H
#define ORCA_PRECONFIGURED_H

#include <stdbool.h>

#include "base/mem.h"
#include "lang/json.h"
#include "stage/stage.h"

/* Names a start: the same while orca sends again, and another after a restart of the stage by hand. */
#define PRECONFIGURED_KEY "${execution['id']}:${#currentStage().id}:${#currentStage().startTime}"

/* The type of the entry for all stages, behind the prefix: no stage may have this name in orca. */
#define PRECONFIGURED_GENERIC "stagedoor"

struct preconfigured_form {
    const char *base_url;      /* how orca reaches the gateway; without a slash at its end */
    const char *type_prefix;   /* in front of a stage's name: the type that pipelines use; "" */
    const char *authorization; /* value of the header; NULL: none is sent */
    bool before_2026_1;        /* that orca has no sensitiveHeaders, so it stands among the customHeaders */
};

/* Every field that noUserConfigurableFields asks for is set: the pipeline editor shows the parameters and nothing else.
 * Members in orca's order. */
const struct json *preconfigured_entry(struct arena *arena, const struct stage *stage,
                                       const struct preconfigured_form *form);

/* One entry for every stage there is or will be: which one, and its parameters as JSON, are parameters of it. */
const struct json *preconfigured_generic(struct arena *arena, const struct preconfigured_form *form);

/* What orca's OperationsController.preconfiguredWebhooks makes of an entry. */
const struct json *preconfigured_listing(struct arena *arena, const struct json *entry);

/* The default of a parameter cannot be told to orca, since it would be evaluated there. */
bool preconfigured_default_lost(struct arena *arena, const struct param *param);

/* Whether orca has a stage of this type itself, which would be run in place of ours. */
bool preconfigured_type_taken(const char *type);
#endif
