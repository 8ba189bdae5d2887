/* Trust: whom an upstream's certificate has to come from, and what we show of ourselves. Private to back/. */
#ifndef BACK_TRUST_H
#define BACK_TRUST_H

#include <curl/curl.h>
#include <stdbool.h>

#include "stage/stage.h"

/* What a handle's TLS options are. Zeroed: not known. */
struct trust {
    bool known, insecure;
    char *ca, *certificate, *key; /* copies; NULL: none */
};

void trust_global_init(void); /* once, before threads: reads the system's CA certificates */

/* Sets the TLS options of a handle, all of them where one differs from `trust`, which then says what they are.
 * `own_origin` is false for a redirect to another origin, which does not get to see the client certificate. */
void trust_equip(struct trust *trust, CURL *easy, const struct stage_tls *tls, bool own_origin);
void trust_forget(struct trust *trust); /* the handle's options are no longer what they were */

#endif
