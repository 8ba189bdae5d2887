/* Digests and randomness, from OpenSSL. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

void digest_sha256_hex(struct text t, char out[65]);                            /* lower-case hex, NUL-terminated */
void digest_hmac_sha256(struct text key, struct text t, unsigned char out[32]); /* RFC 2104 */
void digest_random(void *out, size_t len); /* from the system's generator; aborts where there is none */
bool digest_same(const void *a, const void *b, size_t len); /* in constant time */

#endif
