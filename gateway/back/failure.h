/* Failures: how an exchange ended without a reply, as a sentence for humans. Private to back/. */
#ifndef BACK_FAILURE_H
#define BACK_FAILURE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "back/http_reply.h"
#include "base/fault.h"
#include "call/request.h"

enum failure_cause {
    FAILURE_URL,      /* libcurl does not take it */
    FAILURE_TOO_LONG, /* the head of the request */
    FAILURE_DIAL,     /* `result`, `error` */
    FAILURE_TLS,      /* `detail` */
    FAILURE_TIME,     /* `progress` says doing what, `limit_ms` after how long */
    FAILURE_REPLY,    /* `flaw` */
    FAILURE_LOST,     /* the connection broke: `error` or `detail` */
    FAILURE_ONCE      /* a kept connection died under what may be sent only once */
};

enum failure_progress {
    PROGRESS_NAME,    /* its address is looked up */
    PROGRESS_CONNECT, /* connecting */
    PROGRESS_TLS,     /* shaking hands */
    PROGRESS_REQUEST, /* connected; no byte of a reply has come */
    PROGRESS_REPLY
};

struct failure {
    enum failure_cause cause;
    enum failure_progress progress;
    const struct request *request;
    const char *url, *method; /* of the exchange */
    CURLcode result;
    int error; /* errno; 0: not known */
    const char *detail;
    enum http_reply_flaw flaw;
    int64_t limit_ms;
};

void failure_explain(const struct failure *failure, struct fault *fault);

/* The fault's `where`: "https://host:port"; paths and queries may hold secrets. */
void failure_place(const char *url, struct fault *fault);

#endif
