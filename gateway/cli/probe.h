/* A look at an address from outside, as a stranger has it: no token, one GET, and what the connection was like. */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "lang/json.h"

struct probe_request {
    const char *url;         /* whole; "http://127.0.0.1:8095/health" */
    const char *unix_socket; /* what is connected to in place of the URL's host; NULL: the host */
    const char *ca;          /* a PEM file; NULL: the system's authorities */
    bool unverified;         /* go on whatever the certificate is, to see it */
};

struct probe_result {
    bool answered;
    const char *error; /* why not, a sentence */
    bool untrusted;    /* since the certificate is not good: chain, name or time */
    int code;
    const struct json *body; /* NULL where it is none of JSON */
    const char *server;      /* its Server header, or NULL */
    bool has_date;
    int64_t date_ms;               /* of the Date header: a whole second, wall */
    int64_t asked_ms, answered_ms; /* wall: when it was asked, and the answer had come */
    bool tls;
    bool has_certificate;
    const char *subject, *issuer; /* of the server's own certificate; "" where it says nothing */
    const char *names;            /* its subjectAltName, or NULL */
    const char *expires_of;       /* of the chain, the certificate that ends first: its subject */
    int64_t expires_ms;           /* and when; 0: not known */
};

/* The result lives in `arena`. */
void probe_get(struct arena *arena, const struct probe_request *request, struct probe_result *ret_result);

#endif
