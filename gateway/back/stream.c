/* Bytes over a socket that does not block, by the system's calls or by OpenSSL's.
 *
 * channel.c and talk.c are the callers; waiting is theirs. OpenSSL's list of errors is the thread's, so it is emptied
 * before each call whose errors are looked at.
 *
 * To OpenSSL, writing never has to wait: what the socket does not take is held here, and no more of a request is made
 * into records until that has left. OpenSSL 3.0 cannot be left with a record in the midst of being written: a peer that
 * asks for new keys then (RFC 8446, 4.6.3) gets its answer as the next thing comes from it, which ends the connection
 * ("bad length"). Nor does it see that a write has failed: what the peer has said before is still read.
 *
 * Always holds: after LOST nothing is sent any more, a goodbye neither. */
#include "back/stream.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/wire.h"

#define RECORD_MAX 16384 /* bytes of one record of TLS (RFC 8446, 5.1) */
#define RECORDS_MAX 16   /* of TLS itself, at a time, on a connection that is quiet */
#define HELD_MAX 65536   /* a record, and what TLS itself has to say meanwhile */

static enum stream_result lose(struct stream *stream, int error) {
    stream->is_lost = true;
    stream->error = error;
    return STREAM_LOST;
}

static bool is_no_room(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* ---- what OpenSSL writes ---- */

/* Takes what goes off its front. */
static void put(struct stream *stream, struct text *bytes) {
    while (bytes->len && !stream->is_lost) {
        ssize_t len = send(stream->fd, bytes->at, bytes->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (len < 0 && errno == EINTR) continue;
        if (len < 0 && is_no_room(errno)) return;
        if (len < 0) {
            lose(stream, errno);
        } else {
            text_skip(bytes, (size_t)len);
            stream->has_sent = true;
        }
    }
}

static void on_write(void *arg, struct text bytes) {
    struct stream *stream = arg;
    if (stream->held.len == 0) put(stream, &bytes);
    if (!stream->is_lost) buf_addt(&stream->held, bytes);
    if (stream->held.full) lose(stream, ENOBUFS); /* who asks for so much and takes nothing means no good */
}

static void flush(struct stream *stream) {
    struct buf *held = &stream->held;
    struct text rest = buf_text(held);
    put(stream, &rest);
    if (rest.len == 0) {
        buf_fini(held); /* not to be kept at rest */
        buf_init(held, HELD_MAX);
    } else if (rest.len < held->len) {
        memmove(held->at, rest.at, rest.len);
        held->len = rest.len;
    }
}

/* ---- beginning and end ---- */

void stream_init(struct stream *stream, int fd, SSL *ssl) {
    *stream = (struct stream){.fd = fd, .ssl = ssl};
    buf_init(&stream->held, HELD_MAX);
    if (ssl) wire_attach(ssl, fd, on_write, stream);
}

void stream_fini(struct stream *stream) {
    if (stream->ssl) {
        ERR_clear_error();
        if (!stream->is_lost && SSL_is_init_finished(stream->ssl)) SSL_shutdown(stream->ssl);
        /* Else OpenSSL takes the session for one that has gone bad. */
        SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(stream->ssl);
    }
    buf_fini(&stream->held);
    close(stream->fd);
    *stream = (struct stream){.fd = -1};
}

/* ---- TLS ---- */

static void before_tls(struct stream *stream) {
    ERR_clear_error();
    errno = 0;
    if (stream->held.len) flush(stream);
}

/* What a call of OpenSSL means that has not done its work. */
static enum stream_result judge_tls(struct stream *stream, int result) {
    int error = errno;
    stream->wants_write = stream->held.len > 0;
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ: return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN: return STREAM_CLOSED;
    case SSL_ERROR_SYSCALL: return lose(stream, error);
    default: return lose(stream, 0);
    }
}

enum stream_result stream_shake_hands(struct stream *stream) {
    before_tls(stream);
    int result = SSL_do_handshake(stream->ssl);
    enum stream_result judged = result == 1 ? STREAM_DONE : judge_tls(stream, result);
    if (stream->is_lost) return STREAM_LOST;
    return judged == STREAM_CLOSED ? lose(stream, 0) : judged;
}

/* ---- sending ---- */

static void take_sent(struct text *first, struct text *second, size_t len) {
    size_t of_first = len < first->len ? len : first->len;
    text_skip(first, of_first);
    text_skip(second, len - of_first);
}

static enum stream_result send_plain(struct stream *stream, struct text *first, struct text *second) {
    stream->wants_write = false;
    while (first->len || second->len) {
        struct iovec parts[] = {{(void *)(uintptr_t)first->at, first->len},
                                {(void *)(uintptr_t)second->at, second->len}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = second->len ? 2 : 1};
        ssize_t len = sendmsg(stream->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (len < 0 && errno == EINTR) continue;
        stream->wants_write = len < 0 && is_no_room(errno);
        if (len < 0) return stream->wants_write ? STREAM_AGAIN : lose(stream, errno);
        take_sent(first, second, (size_t)len);
        stream->has_sent = true;
    }
    return STREAM_DONE;
}

static enum stream_result send_record(struct stream *stream, const char *at, size_t len, size_t *ret_len) {
    int sent = SSL_write(stream->ssl, at, len < RECORD_MAX ? (int)len : RECORD_MAX);
    if (sent <= 0) {
        enum stream_result judged = judge_tls(stream, sent);
        return judged == STREAM_CLOSED ? lose(stream, 0) : judged;
    }
    *ret_len = (size_t)sent;
    return STREAM_DONE;
}

/* A head and a small body go in one record. */
static enum stream_result send_tls(struct stream *stream, struct text *first, struct text *second) {
    enum stream_result result = STREAM_DONE;
    before_tls(stream);
    while (result == STREAM_DONE && !stream->held.len && !stream->is_lost && (first->len || second->len)) {
        char both[RECORD_MAX];
        struct text piece = first->len ? *first : *second;
        if (first->len && second->len && first->len + second->len <= sizeof both) {
            memcpy(both, first->at, first->len);
            memcpy(both + first->len, second->at, second->len);
            piece = (struct text){both, first->len + second->len};
        }
        size_t len = 0;
        result = send_record(stream, piece.at, piece.len, &len);
        take_sent(first, second, len);
    }
    stream->wants_write = stream->held.len > 0;
    if (stream->is_lost) return STREAM_LOST;
    return stream->wants_write ? STREAM_AGAIN : result;
}

enum stream_result stream_send(struct stream *stream, struct text *first, struct text *second) {
    return stream->ssl ? send_tls(stream, first, second) : send_plain(stream, first, second);
}

/* ---- receiving ---- */

static enum stream_result receive_tls(struct stream *stream, char *at, size_t size, size_t *ret_len) {
    before_tls(stream);
    int len = SSL_read(stream->ssl, at, size < INT32_MAX ? (int)size : INT32_MAX);
    if (len <= 0) return judge_tls(stream, len);
    stream->wants_write = stream->held.len > 0;
    *ret_len = (size_t)len;
    return STREAM_DONE;
}

enum stream_result stream_receive(struct stream *stream, char *at, size_t size, size_t *ret_len) {
    *ret_len = 0;
    if (stream->ssl) return receive_tls(stream, at, size, ret_len);
    ssize_t len = recv(stream->fd, at, size, MSG_DONTWAIT);
    if (len < 0) return is_no_room(errno) ? STREAM_AGAIN : lose(stream, errno);
    *ret_len = (size_t)len;
    return len == 0 ? STREAM_CLOSED : STREAM_DONE;
}

const char *stream_reason(const struct stream *stream) {
    const char *reason = stream->ssl ? ERR_reason_error_string(ERR_peek_last_error()) : NULL;
    return reason ? reason : "";
}

bool stream_has_more(const struct stream *stream) {
    return stream->ssl && SSL_has_pending(stream->ssl);
}

bool stream_is_quiet(struct stream *stream) {
    char byte;
    size_t len;
    if (stream->is_lost) return false; /* its socket may live all the same */
    for (int i = 0; i < RECORDS_MAX; i++) {
        ssize_t peeked = recv(stream->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (peeked < 0) return is_no_room(errno) && !stream_has_more(stream);
        if (peeked == 0 || !stream->ssl) return false;
        if (receive_tls(stream, &byte, 1, &len) != STREAM_AGAIN || stream->wants_write || stream->is_lost) return false;
    }
    return false;
}
