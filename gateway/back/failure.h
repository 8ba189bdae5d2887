/* Failures: from curl's result to a sentence for humans. Private to back/. */
#ifndef BACK_FAILURE_H
#define BACK_FAILURE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

struct failure {
    CURLcode result;
    const char *peer;   /* "host:port" */
    const char *origin; /* "https://host:port": the fault's `where`; paths and queries may hold secrets */
    const char *method;
    bool sent;     /* this exchange's request was handed to a connection */
    bool answered; /* the head of a reply has come */
    bool too_large, too_many_headers;
    bool refused_resend; /* curl was about to send once more what may be sent only once */
    const char *detail;  /* curl's own words */
    int64_t connect_timeout_ms, call_timeout_ms, max_reply_bytes;
};

/* Fills the fault; returns whether time ran out. `easy` is asked for how far it got. */
bool failure_explain(CURL *easy, const struct failure *failure, struct fault *fault);

#endif
