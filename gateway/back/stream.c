/* Bytes over a socket that does not block, by the system's calls or by OpenSSL's.
 *
 * channel.c and talk.c are the callers; waiting is theirs. OpenSSL writes without MSG_NOSIGNAL: main.c sees to
 * SIGPIPE. Its list of errors is the thread's, so it is emptied before each call whose errors are looked at.
 *
 * Always holds: after LOST nothing is sent any more, a goodbye neither. */
#include "back/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECORD_MAX 16384 /* bytes of one record of TLS (RFC 8446, 5.1) */
#define RECORDS_MAX 16   /* of TLS itself, at a time, on a connection that is quiet */

void stream_init(struct stream *stream, int fd, SSL *ssl) {
    *stream = (struct stream){.fd = fd, .ssl = ssl};
    if (ssl) SSL_set_fd(ssl, fd);
}

void stream_fini(struct stream *stream) {
    if (stream->ssl) {
        ERR_clear_error();
        if (!stream->is_lost && SSL_is_init_finished(stream->ssl)) SSL_shutdown(stream->ssl);
        /* Else OpenSSL takes the session for one that has gone bad. */
        SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(stream->ssl);
    }
    close(stream->fd);
    *stream = (struct stream){.fd = -1};
}

static enum stream_result lose(struct stream *stream, int error) {
    stream->is_lost = true;
    stream->error = error;
    return STREAM_LOST;
}

static bool is_no_room(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* What a call of OpenSSL that has not done its work means. */
static enum stream_result judge_tls(struct stream *stream, int result) {
    int error = errno;
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ: return STREAM_AGAIN;
    case SSL_ERROR_WANT_WRITE: stream->wants_write = true; return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN: return STREAM_CLOSED;
    case SSL_ERROR_SYSCALL: return lose(stream, error);
    default: return lose(stream, 0);
    }
}

static void before_tls(struct stream *stream) {
    ERR_clear_error();
    errno = 0;
    stream->wants_write = false;
}

enum stream_result stream_shake_hands(struct stream *stream) {
    before_tls(stream);
    int result = SSL_do_handshake(stream->ssl);
    if (result == 1) return STREAM_DONE;
    enum stream_result judged = judge_tls(stream, result);
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
    }
    return STREAM_DONE;
}

static enum stream_result send_record(struct stream *stream, const char *at, size_t len, size_t *ret_len) {
    before_tls(stream);
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
    while (result == STREAM_DONE && (first->len || second->len)) {
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
    return result;
}

enum stream_result stream_send(struct stream *stream, struct text *first, struct text *second) {
    return stream->ssl ? send_tls(stream, first, second) : send_plain(stream, first, second);
}

/* ---- receiving ---- */

static enum stream_result receive_tls(struct stream *stream, char *at, size_t size, size_t *ret_len) {
    before_tls(stream);
    int len = SSL_read(stream->ssl, at, size < INT32_MAX ? (int)size : INT32_MAX);
    if (len <= 0) return judge_tls(stream, len);
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
    for (int i = 0; i < RECORDS_MAX; i++) {
        ssize_t peeked = recv(stream->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (peeked < 0) return is_no_room(errno) && !stream_has_more(stream);
        if (peeked == 0 || !stream->ssl) return false;
        if (receive_tls(stream, &byte, 1, &len) != STREAM_AGAIN || stream->wants_write) return false;
    }
    return false;
}
