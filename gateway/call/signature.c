/* Is a callback from whom it says?
 *
 * The three ways that upstreams sign: Standard Webhooks, GitHub's, and a bearer token. Pure: headers, body, secret and
 * time in, verdict out. The bytes of the body are taken as they came, before anybody parses them. A secret that is
 * empty would let everybody pass, so it lets nobody. Called by run/callback. */
#include "call/signature.h"

#include <string.h>
#include <strings.h>

#include "base/digest.h"

#define SUM_BYTES 32
#define BASE64_LEN 44 /* of a sum */

static bool refuse(struct fault *fault, const char *what) {
    return fault_set(fault, FAULT_UNAUTHORIZED, NULL, "%s", what);
}

/* ---- Standard Webhooks ---- */

static bool decode_secret(struct text secret, struct buf *ret_key, struct fault *fault) {
    if (text_starts(secret, "whsec_")) secret.at += 6, secret.len -= 6;
    buf_init(ret_key, secret.len);
    if (buf_add_base64_decoded(ret_key, secret) && ret_key->len) return true;
    return fault_set(fault, FAULT_INTERNAL, NULL,
                     "the secret for callbacks is not of the form that Standard Webhooks has: whsec_ and base64");
}

static bool is_timely(const char *timestamp, int64_t now_ms) {
    int64_t seconds;
    if (!text_to_int(text_of(timestamp), &seconds) || seconds < 0 || seconds > INT64_MAX / 1000) return false;
    int64_t off_ms = seconds * 1000 - now_ms;
    return off_ms >= -SIGNATURE_LEEWAY_MS && off_ms <= SIGNATURE_LEEWAY_MS;
}

/* A sender that changes its secret signs with the old and the new one for a while: one that fits is enough. */
static bool one_fits(const char *signatures, const char *wanted) {
    struct text rest = text_of(signatures), one;
    bool fits = false;
    while (text_cut(&rest, ' ', &one))
        fits |= one.len == 3 + BASE64_LEN && text_starts(one, "v1,") && digest_same(one.at + 3, wanted, BASE64_LEN);
    return fits;
}

static bool check_standard(struct text secret, const struct reply *message, int64_t now_ms, struct fault *fault) {
    const char *id = reply_header(message, "webhook-id"), *timestamp = reply_header(message, "webhook-timestamp");
    const char *signatures = reply_header(message, "webhook-signature");
    if (!id || !timestamp || !signatures)
        return refuse(fault, "the callback lacks webhook-id, webhook-timestamp or webhook-signature");
    if (!is_timely(timestamp, now_ms))
        return refuse(fault, "the callback's webhook-timestamp is no time, or more than five minutes off");
    struct buf key, content, wanted;
    unsigned char sum[SUM_BYTES];
    bool good = decode_secret(secret, &key, fault);
    if (good) {
        buf_init(&content, message->body.len + strlen(id) + strlen(timestamp) + 2);
        buf_addf(&content, "%s.%s.", id, timestamp);
        buf_addt(&content, message->body);
        digest_hmac_sha256(buf_text(&key), buf_text(&content), sum);
        buf_init(&wanted, BASE64_LEN);
        buf_add_base64(&wanted, (struct text){(const char *)sum, sizeof sum});
        good = one_fits(signatures, buf_cstr(&wanted)) || refuse(fault, "the callback's webhook-signature is wrong");
        buf_fini(&wanted);
        buf_fini(&content);
    }
    buf_fini(&key);
    return good;
}

/* ---- GitHub ---- */

static bool check_github(struct text secret, const struct reply *message, struct fault *fault) {
    static const char prefix[] = "sha256=";
    const size_t begin = sizeof prefix - 1;
    const char *signature = reply_header(message, "X-Hub-Signature-256");
    if (!signature) return refuse(fault, "the callback lacks X-Hub-Signature-256");
    unsigned char sum[SUM_BYTES];
    struct buf wanted;
    digest_hmac_sha256(secret, message->body, sum);
    buf_init(&wanted, 2 * SUM_BYTES);
    buf_add_hex(&wanted, sum, sizeof sum);
    bool good = strlen(signature) == begin + 2 * SUM_BYTES && strncmp(signature, prefix, begin) == 0 &&
                digest_same(signature + begin, buf_cstr(&wanted), 2 * SUM_BYTES);
    buf_fini(&wanted);
    return good || refuse(fault, "the callback's X-Hub-Signature-256 is wrong");
}

/* ---- bearer ---- */

/* By their digests, so that not even the length is told by the time it takes. */
static bool check_bearer(struct text secret, const struct reply *message, struct fault *fault) {
    const char *authorization = reply_header(message, "Authorization");
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return refuse(fault, "the callback lacks Authorization: Bearer …");
    char wanted[65], given[65];
    digest_sha256_hex(secret, wanted);
    digest_sha256_hex(text_trim(text_of(authorization + 7)), given);
    return digest_same(wanted, given, sizeof wanted) || refuse(fault, "the callback's bearer token is wrong");
}

bool signature_check(enum stage_verify kind, struct text secret, const struct reply *message, int64_t now_ms,
                     struct fault *fault) {
    if (kind == VERIFY_NONE) return true;
    if (secret.len == 0) return fault_set(fault, FAULT_INTERNAL, NULL, "the secret for callbacks is empty");
    switch (kind) {
    case VERIFY_STANDARD_WEBHOOKS: return check_standard(secret, message, now_ms, fault);
    case VERIFY_GITHUB: return check_github(secret, message, fault);
    default: return check_bearer(secret, message, fault);
    }
}
