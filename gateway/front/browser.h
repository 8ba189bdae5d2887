/* Browsers: they send what any page tells them to, from a machine that may be allowed to connect. */
#ifndef FRONT_BROWSER_H
#define FRONT_BROWSER_H

#include <stdbool.h>

#include "base/fault.h"
#include "front/exchange.h"

struct browser_rules {
    const char *public_url; /* "": none */
    bool any_host;          /* the gateway is meant to be reached by any name: Host is not looked at */
};

/* False, with a FORBIDDEN fault, for a request that changes something and comes from a page of another origin (its
 * Origin header, RFC 6454, 7), and for one whose Host is a name that nobody here gave the gateway: how a page of a
 * stranger, whose name was made to resolve to this machine (DNS rebinding), would look. Names that pass: IP addresses,
 * localhost, names under .localhost (RFC 6761, 6.3), and the host of public_url. */
bool browser_check(const struct exchange *exchange, const struct browser_rules *rules, struct fault *fault);

#endif
