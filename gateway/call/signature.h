/* Signatures of callbacks: is a message from whom it says? */
#ifndef CALL_SIGNATURE_H
#define CALL_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

#include "call/reply.h"
#include "stage/stage.h"

#define SIGNATURE_LEEWAY_MS (5 * 60 * 1000) /* between the clocks of the two sides; Standard Webhooks */

/* Checks the headers and the body of a message, by
 *  - VERIFY_STANDARD_WEBHOOKS: webhook-id, webhook-timestamp (seconds, at most five minutes off), webhook-signature (a
 *    list of "v1,BASE64", one of which has to fit); the secret is "whsec_" and base64, or base64 alone
 *    (github.com/standard-webhooks, spec);
 *  - VERIFY_GITHUB: X-Hub-Signature-256, "sha256=" and hexadecimal digits;
 *  - VERIFY_BEARER: Authorization: Bearer SECRET (RFC 6750).
 * VERIFY_NONE passes. Compares in constant time. False with UNAUTHORIZED, which never quotes the secret; or with
 * INTERNAL where the secret is none that could be used. */
bool signature_check(enum stage_verify kind, struct text secret, const struct reply *message, int64_t now_ms,
                     struct fault *fault);

#endif
