/* What curl's results mean, in words that name the other side and what it did.
 *
 * curl's own words (the error buffer) are passed on only where they are about TLS or malformed bytes; elsewhere they
 * may quote a URL, and a URL may hold a secret. */
#include "back/failure.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "lang/units.h"

static bool reached(CURL *easy, CURLINFO moment) {
    curl_off_t us = 0;
    curl_easy_getinfo(easy, moment, &us);
    return us > 0;
}

/* CURLINFO_CONNECT_TIME_T would be the obvious thing to ask, but 7.88 sets it when TLS stands too. */
static bool has_peer(CURL *easy) {
    char *address = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address);
    return address && *address;
}

static bool explain_timeout(CURL *easy, const struct failure *failure, struct fault *fault) {
    /* Both clocks run until the connection stands; the shorter one is what has rung. */
    bool connecting = !failure->sent && failure->connect_timeout_ms > 0 &&
                      (failure->call_timeout_ms <= 0 || failure->connect_timeout_ms < failure->call_timeout_ms);
    struct buf limit;
    buf_init(&limit, 64);
    duration_write(&limit, connecting ? failure->connect_timeout_ms : failure->call_timeout_ms);
    const char *after = buf_cstr(&limit);
    const char *peer = failure->peer;
    if (failure->answered)
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "%s stopped in the middle of its reply: not whole after %s",
                  peer, after);
    else if (failure->sent)
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "no reply from %s within %s", peer, after);
    else if (!reached(easy, CURLINFO_NAMELOOKUP_TIME_T))
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "the address of %s was not found within %s", peer, after);
    else if (!has_peer(easy))
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "no connection to %s within %s", peer, after);
    else fault_set(fault, FAULT_UPSTREAM, failure->origin, "no TLS session with %s within %s", peer, after);
    buf_fini(&limit);
    return true;
}

static void explain_connect(CURL *easy, const struct failure *failure, struct fault *fault) {
    long error = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error);
    if (error == ECONNREFUSED)
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "connection refused by %s", failure->peer);
    else if (error != 0)
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "no connection to %s: %s", failure->peer,
                  strerror((int)error));
    else fault_set(fault, FAULT_UPSTREAM, failure->origin, "no connection to %s", failure->peer);
}

static void explain_too_large(const struct failure *failure, struct fault *fault) {
    struct buf limit;
    buf_init(&limit, 64);
    size_write(&limit, failure->max_reply_bytes);
    fault_set(fault, FAULT_TOO_LARGE, failure->origin, "the reply of %s is larger than max_reply (%s)", failure->peer,
              buf_cstr(&limit));
    buf_fini(&limit);
}

static void explain_broken(const struct failure *failure, struct fault *fault) {
    const char *peer = failure->peer, *detail = failure->detail;
    if (strstr(detail, "chunk"))
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "the reply of %s is broken: malformed chunks", peer);
    else if (strstr(detail, "response headers"))
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "the reply of %s has too many headers", peer);
    else if (failure->answered)
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "the connection to %s broke in the middle of its reply",
                  peer);
    else
        fault_set(fault, FAULT_UPSTREAM, failure->origin, "the connection to %s broke before it replied%s", peer,
                  strstr(detail, "reset") ? " (reset)" : "");
}

bool failure_explain(CURL *easy, const struct failure *failure, struct fault *fault) {
    const char *peer = failure->peer, *where = failure->origin;
    if (failure->too_large || failure->result == CURLE_FILESIZE_EXCEEDED) {
        explain_too_large(failure, fault);
        return false;
    }
    if (failure->too_many_headers) {
        fault_set(fault, FAULT_UPSTREAM, where, "the reply of %s has too many headers", peer);
        return false;
    }
    if (failure->refused_resend) {
        fault_set(fault, FAULT_UPSTREAM, where,
                  "%s closed the connection without replying; whether it acted on the %s is not known, so it is not "
                  "sent again",
                  peer, failure->method);
        return false;
    }
    switch (failure->result) {
    case CURLE_OPERATION_TIMEDOUT: return explain_timeout(easy, failure, fault);
    case CURLE_COULDNT_RESOLVE_HOST:
        fault_set(fault, FAULT_UPSTREAM, where, "the host name of %s cannot be resolved", peer);
        break;
    case CURLE_COULDNT_CONNECT: explain_connect(easy, failure, fault); break;
    case CURLE_GOT_NOTHING:
        fault_set(fault, FAULT_UPSTREAM, where, "%s closed the connection without replying", peer);
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: explain_broken(failure, fault); break;
    case CURLE_PARTIAL_FILE:
        fault_set(fault, FAULT_UPSTREAM, where, "the reply of %s ended early: shorter than it announced", peer);
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* of something that would be HTTP/0.9 */
        fault_set(fault, FAULT_UPSTREAM, where, "what %s replied is not HTTP", peer);
        break;
    case CURLE_OUT_OF_MEMORY: /* what 7.88 says of a header line over 100 KB; its allocations abort elsewhere */
        fault_set(fault, FAULT_UPSTREAM, where, "the reply of %s has a header that is too long", peer);
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        fault_set(fault, FAULT_UPSTREAM, where, "TLS with %s failed: %s", peer,
                  failure->detail[0] ? failure->detail : curl_easy_strerror(failure->result));
        break;
    default:
        fault_set(fault, FAULT_UPSTREAM, where, "the call to %s failed: %s", peer, curl_easy_strerror(failure->result));
    }
    return false;
}
