/* SHA-256, random bytes and constant-time comparison: thin names for OpenSSL's.
 *
 * OpenSSL fails here only when it is broken or out of memory; neither can be answered to a client, so both abort. */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

static void die(const char *what) {
    fprintf(stderr, "stagedoor: OpenSSL failed: %s\n", what);
    abort();
}

void digest_sha256_hex(struct text t, char out[65]) {
    unsigned char sum[32];
    if (EVP_Digest(t.at ? t.at : "", t.len, sum, NULL, EVP_sha256(), NULL) != 1) die("SHA-256");
    for (size_t i = 0; i < sizeof sum; i++) snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

void digest_hmac_sha256(struct text key, struct text t, unsigned char out[32]) {
    unsigned len = 32;
    if (!HMAC(EVP_sha256(), key.at ? key.at : "", (int)key.len, (const unsigned char *)(t.at ? t.at : ""), t.len, out,
              &len))
        die("HMAC");
}

void digest_random(void *out, size_t len) {
    if (RAND_bytes(out, (int)len) != 1) die("random numbers");
}

bool digest_same(const void *a, const void *b, size_t len) {
    return CRYPTO_memcmp(a, b, len) == 0;
}
