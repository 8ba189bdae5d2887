/* The parts of `stagedoor doctor`, in the order in which they look. Private to cli/doctor*. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/findings.h"
#include "cli/probe.h"
#include "config/settings.h"
#include "lang/json.h"
#include "orca/url_rules.h"

struct doctor {
    struct arena *arena;
    struct findings findings;
    const char *config;              /* --config, or NULL */
    struct client_options client;    /* --url and --ca, as given */
    const struct settings *settings; /* of the gateway on this machine; NULL: it was not asked for, or cannot be read */
    const char *url;                 /* how the gateway is called from here: http…, https… or unix:/path */
    const char *base;                /* what its links begin with; NULL: not known */
    struct url_rules url_rules;      /* orca's: of --orca-yml, else as they are where orca.yml says nothing */
    const char *orca_file;           /* --orca-yml, or NULL */
    bool orca_trusts;                /* it names authorities besides those of the JVM */
    struct json *orca_yml;           /* what to put into orca.yml: an object of sections; empty: nothing */
};

/* What needs no gateway: configuration, definitions, secrets, callers, certificate, store. Fills in settings. */
void doctor_local(struct doctor *doctor);

/* A GET of `path` behind `url` without a token. */
void doctor_probe(struct doctor *doctor, const char *url, const char *path, bool unverified,
                  struct probe_result *ret_result);

/* Whether a gateway answers at doctor->url, is fit for work, and has the right time. False: there is nobody to ask
 * anything else. `must`: that it is not running is a failure. */
bool doctor_reach(struct doctor *doctor, bool must);

/* The caller's token, what it may do, and a start, looks and a cancel of the self-test, all at `url`. Finds
 * doctor->base. */
void doctor_ask(struct doctor *doctor, const char *url);

/* Takes what orca is told already from doctor->orca_file. */
bool doctor_read_orca(struct doctor *doctor, struct fault *fault);

/* What orca would make of a URL of the gateway: its rules, the name, TLS as a JVM sees it, the clock. True where it can
 * be called from here. */
bool doctor_orca(struct doctor *doctor, const char *url);

#endif
