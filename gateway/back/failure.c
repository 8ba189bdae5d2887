/* How exchanges fail, in words that name the other side and what it did.
 *
 * transfer.c knows what happened and how far it had got; every sentence about it is made here. None of them quotes a
 * URL, which may hold a secret, and none what the upstream sent. */
#include "back/failure.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "lang/units.h"
#include "lang/url.h"

#define PEER_MAX 320

struct words {
    char peer[PEER_MAX], origin[PEER_MAX]; /* "host:port" or "the socket /…", "https://host:port" */
};

static void copy_text(char room[PEER_MAX], struct buf *text) {
    memcpy(room, buf_cstr(text), text->len + 1);
    buf_clear(text);
}

static void describe(const char *source, const char *unix_socket, struct words *words) {
    struct url url;
    *words = (struct words){0};
    if (!url_parse(text_of(source), &url, NULL)) return;
    struct buf text;
    buf_init(&text, PEER_MAX - 1);
    if (unix_socket) buf_addf(&text, "the socket %s", unix_socket);
    else buf_addf(&text, "%.*s:%d", TEXT_ARG(url.host), url_port(&url));
    copy_text(words->peer, &text);
    buf_addf(&text, "%.*s://%.*s:%d", TEXT_ARG(url.scheme), TEXT_ARG(url.host), url_port(&url));
    copy_text(words->origin, &text);
    buf_fini(&text);
}

void failure_place(const char *url, struct fault *fault) {
    struct words words;
    describe(url, NULL, &words);
    fault_place(fault, "%s", words.origin);
}

static void explain_dial(const struct failure *failure, const struct words *words, struct fault *fault) {
    const char *peer = words->peer, *where = words->origin;
    if (failure->result == CURLE_COULDNT_RESOLVE_HOST)
        fault_set(fault, FAULT_UPSTREAM, where, "the host name of %s cannot be resolved", peer);
    else if (failure->result != CURLE_COULDNT_CONNECT && failure->result != CURLE_OPERATION_TIMEDOUT)
        fault_set(fault, FAULT_UPSTREAM, where, "the call to %s failed: %s", peer, curl_easy_strerror(failure->result));
    else if (failure->error == ECONNREFUSED) fault_set(fault, FAULT_UPSTREAM, where, "connection refused by %s", peer);
    else if (failure->error)
        fault_set(fault, FAULT_UPSTREAM, where, "no connection to %s: %s", peer, strerror(failure->error));
    else fault_set(fault, FAULT_UPSTREAM, where, "no connection to %s", peer);
}

static void explain_time(const struct failure *failure, const struct words *words, struct fault *fault) {
    const char *peer = words->peer, *where = words->origin;
    struct buf limit;
    buf_init(&limit, 64);
    duration_write(&limit, failure->limit_ms);
    const char *after = buf_cstr(&limit);
    switch (failure->progress) {
    case PROGRESS_NAME:
        fault_set(fault, FAULT_UPSTREAM, where, "the address of %s was not found within %s", peer, after);
        break;
    case PROGRESS_CONNECT: fault_set(fault, FAULT_UPSTREAM, where, "no connection to %s within %s", peer, after); break;
    case PROGRESS_TLS: fault_set(fault, FAULT_UPSTREAM, where, "no TLS session with %s within %s", peer, after); break;
    case PROGRESS_REQUEST: fault_set(fault, FAULT_UPSTREAM, where, "no reply from %s within %s", peer, after); break;
    case PROGRESS_REPLY:
        fault_set(fault, FAULT_UPSTREAM, where, "%s stopped in the middle of its reply: not whole after %s", peer,
                  after);
        break;
    }
    buf_fini(&limit);
}

static void explain_too_large(const struct failure *failure, const struct words *words, struct fault *fault) {
    struct buf limit;
    buf_init(&limit, 64);
    size_write(&limit, failure->request->call->max_reply_bytes);
    fault_set(fault, FAULT_TOO_LARGE, words->origin, "the reply of %s is larger than max_reply (%s)", words->peer,
              buf_cstr(&limit));
    buf_fini(&limit);
}

static void explain_reply(const struct failure *failure, const struct words *words, struct fault *fault) {
    const char *peer = words->peer, *where = words->origin;
    switch (failure->flaw) {
    case HTTP_REPLY_FINE: break;
    case HTTP_REPLY_NOT_HTTP:
    case HTTP_REPLY_BAD_HEAD: fault_set(fault, FAULT_UPSTREAM, where, "what %s replied is not HTTP", peer); break;
    case HTTP_REPLY_LONG_LINE:
        fault_set(fault, FAULT_UPSTREAM, where, "the reply of %s has a header that is too long", peer);
        break;
    case HTTP_REPLY_TOO_MANY_HEADERS:
        fault_set(fault, FAULT_UPSTREAM, where, "the reply of %s has too many headers", peer);
        break;
    case HTTP_REPLY_BAD_CHUNKS:
        fault_set(fault, FAULT_UPSTREAM, where, "the reply of %s is broken: malformed chunks", peer);
        break;
    case HTTP_REPLY_TOO_LARGE: explain_too_large(failure, words, fault); break;
    case HTTP_REPLY_ENDED_EARLY:
        fault_set(fault, FAULT_UPSTREAM, where, "the reply of %s ended early: shorter than it announced", peer);
        break;
    case HTTP_REPLY_NO_REPLY:
        fault_set(fault, FAULT_UPSTREAM, where, "%s closed the connection without replying", peer);
        break;
    }
}

static void explain_lost(const struct failure *failure, const struct words *words, struct fault *fault) {
    const char *peer = words->peer, *detail = failure->detail;
    if (failure->progress == PROGRESS_REPLY)
        fault_set(fault, FAULT_UPSTREAM, words->origin, "the connection to %s broke in the middle of its reply", peer);
    else if (failure->error == ECONNRESET)
        fault_set(fault, FAULT_UPSTREAM, words->origin, "the connection to %s broke before it replied (reset)", peer);
    else
        fault_set(fault, FAULT_UPSTREAM, words->origin, "the connection to %s broke before it replied%s%s%s", peer,
                  *detail ? " (" : "", detail, *detail ? ")" : "");
}

void failure_explain(const struct failure *failure, struct fault *fault) {
    struct words words;
    describe(failure->url, failure->request->unix_socket, &words);
    switch (failure->cause) {
    case FAILURE_URL:
        fault_set(fault, FAULT_UPSTREAM, words.origin, "the call to %s failed: libcurl does not take its host",
                  words.peer);
        break;
    case FAILURE_TOO_LONG:
        fault_set(fault, FAULT_TOO_LARGE, words.origin, "the head of the request to %s is too large", words.peer);
        break;
    case FAILURE_DIAL: explain_dial(failure, &words, fault); break;
    case FAILURE_TLS:
        fault_set(fault, FAULT_UPSTREAM, words.origin, "TLS with %s failed: %s", words.peer, failure->detail);
        break;
    case FAILURE_TIME: explain_time(failure, &words, fault); break;
    case FAILURE_REPLY: explain_reply(failure, &words, fault); break;
    case FAILURE_LOST: explain_lost(failure, &words, fault); break;
    case FAILURE_ONCE:
        fault_set(fault, FAULT_UPSTREAM, words.origin,
                  "%s closed the connection without replying; whether it acted on the %s is not known, so it is not "
                  "sent again",
                  words.peer, failure->method);
        break;
    }
}
