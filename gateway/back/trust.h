/* Trust: whom an upstream's certificate has to come from, and what we show of ourselves. Private to back/. */
#ifndef BACK_TRUST_H
#define BACK_TRUST_H

#include <curl/curl.h>
#include <stdbool.h>

#include "stage/stage.h"

void trust_global_init(void); /* once, before threads: reads the system's CA certificates */

/* Sets every TLS option of a handle. `own_origin` is false for a redirect to another origin, which does not get to see
 * the client certificate. */
void trust_equip(CURL *easy, const struct stage_tls *tls, bool own_origin);

#endif
