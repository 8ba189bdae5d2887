/* What orca lets its webhook stages call: `user-configured-url-restrictions` of orca.yml, applied as
 * UserConfiguredUrlRestrictions.validateURI does it (spinnaker/orca, orca-core, as of 2026-08). It looks at the URL of
 * a start, of a look and of a cancel alike. */
#ifndef ORCA_URL_RULES_H
#define ORCA_URL_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "lang/json.h"
#include "lang/url.h"

struct url_rules_list {
    const char *const *items;
    size_t count;
};

/* The settings; members in the order of orca's own class. */
struct url_rules {
    const char *hostnames; /* allowedHostnamesRegex, over the whole name */
    struct url_rules_list schemes;
    bool reject_localhost, reject_link_local, reject_verbatim_ips;
    struct url_rules_list rejected_ips; /* addresses and CIDR blocks */
    struct url_rules_list excluded_domains, extra_excluded_patterns;
};

extern const struct url_rules url_rules_presets; /* where orca.yml says nothing */

/* What a name leads to. Pure checks do not look it up: that is the caller's to do. */
struct url_rules_host {
    const char *const *addresses; /* "10.0.0.5", "fd00::1" */
    size_t address_count;
    bool own; /* one of them is an address of the machine that orca would run on */
};

/* One rule that the URL breaks. */
struct url_rules_breach {
    const char *setting;      /* of orca.yml, which would have to change; NULL: none could help */
    const struct json *value; /* what it would have to be */
    const char *what;         /* a sentence */
    bool own_only;            /* only where orca runs on this machine */
};
#define URL_RULES_BREACHES_MAX 8

/* Every rule that the URL breaks, in the order in which orca finds them. They are what has to change, all together, so
 * that it passes. */
size_t url_rules_check(struct arena *arena, const struct url_rules *rules, const struct url *url,
                       const struct url_rules_host *host, struct url_rules_breach breaches[URL_RULES_BREACHES_MAX]);

#endif
