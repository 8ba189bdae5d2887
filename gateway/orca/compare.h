/* What orca has against what it should have: its configuration file, and entries made by orca/preconfigured. */
#ifndef ORCA_COMPARE_H
#define ORCA_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "lang/json.h"
#include "orca/url_rules.h"
#include "orca/yaml_read.h"

struct compare {
    struct arena *arena;
    struct yaml *const *documents; /* of the file */
    size_t document_count;
    const struct json *entries;                   /* as they should be, one a type */
    const char *base_url;                         /* of the gateway: entries that call it are ours */
    bool (*wanted)(void *arg, const char *stage); /* of our entries that no stage is behind; NULL: none is told of */
    void *arg;
};

/* Whether an entry of webhook.preconfigured is one that `export orca` writes, of whatever gateway: its starts are named
 * as those of ours, and go where ours go. */
bool compare_is_export(const struct yaml *entry);

/* Whether the list of entries is there no more than once in a document; a fault names both lines. */
bool compare_check(const struct compare *compare, const char *file, struct fault *fault);

/* An array of differences, in the order of `entries`, those that are too many behind: {"type", "field" (null: the entry
 * as a whole), "what" ("missing", "extra": orca's view; "differs"; "twice": in two spellings), "line" (in the file; 0:
 * nowhere), "first" (of "twice": the other line), "orca", "stagedoor"}. The two values are null where one could be a
 * secret; so is "orca" of an entry that does not call the gateway. */
const struct json *compare_entries(const struct compare *compare);

/* The user-configured-url-restrictions of the file: what it does not say is as in url_rules_presets. */
struct url_rules compare_url_rules(const struct compare *compare);
#endif
