/* SHA-256, random bytes and constant-time comparison: thin names for OpenSSL's.
 *
 * OpenSSL fails here only when it is broken or out of memory; neither can be answered to a client, so both abort. */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what) {
    fprintf(stderr, "stagedoor: OpenSSL failed: %s\n", what);
    abort();
}

static EVP_MD *sha256;

static void fetch_sha256(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256) die("SHA-256");
}

/* Looked up once: EVP_sha256() has OpenSSL look it up at each use, for more than a short text takes. */
static const EVP_MD *md_sha256(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch_sha256);
    return sha256;
}

void digest_sha256_hex(struct text t, char out[65]) {
    unsigned char sum[32];
    if (EVP_Digest(t.at ? t.at : "", t.len, sum, NULL, md_sha256(), NULL) != 1) die("SHA-256");
    for (size_t i = 0; i < sizeof sum; i++) {
        out[2 * i] = "0123456789abcdef"[sum[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
    }
    out[2 * sizeof sum] = 0;
}

void digest_hmac_sha256(struct text key, struct text t, unsigned char out[32]) {
    unsigned len = 32;
    if (!HMAC(md_sha256(), key.at ? key.at : "", (int)key.len, (const unsigned char *)(t.at ? t.at : ""), t.len, out,
              &len))
        die("HMAC");
}

/* What is asked for is a few bytes at a time, and each asking costs OpenSSL thousands of instructions. */
void digest_random(void *out, size_t len) {
    static _Thread_local unsigned char pool[4096];
    static _Thread_local size_t left;
    bool fits = len <= sizeof pool;
    if (!fits && RAND_bytes(out, (int)len) != 1) die("random numbers");
    if (!fits) return;
    if (left < len) {
        if (RAND_bytes(pool, sizeof pool) != 1) die("random numbers");
        left = sizeof pool;
    }
    left -= len;
    memcpy(out, pool + left, len);
    OPENSSL_cleanse(pool + left, len); /* told once */
}

bool digest_same(const void *a, const void *b, size_t len) {
    return CRYPTO_memcmp(a, b, len) == 0;
}
