/* Connections: what their bytes become, and which phase they are in. With the listener and
 * connections.c, which ends them, it is what knows libevhtp.
 *
 * libevhtp accepts, makes the bufferevents, and keeps the life of a connection. It is shown nothing of what is said on
 * it: right after accept its callbacks are taken off the bufferevent. Its parser is unsafe, its replies send bodies to
 * HEAD and can contradict their length, and a request of its own for each of ours would be for nothing. Connections are
 * read by us, as members of a crowd, through their TLS session where there is one; what that wants to be sent goes the
 * way of all other bytes. The guard makes requests out of what comes; what it has to wait with lies in `raw`. A whole
 * request is handed to the handler as an exchange; answers go to the socket as bytes, and what that does not take, to
 * the bufferevent. Only when all of an answer has gone is the guard asked for the next request: one at a time.
 *
 * Reading goes on while a request is under way, so that a client that leaves is seen; who sends more than
 * BACKLOG_BYTES ahead has to wait. A client that ends its sending half has left as far as the handler is told, yet an
 * answer is still written: it may be reading.
 *
 * A connection is in one phase, connection_enter is its only writer, and each phase has one deadline:
 *   HANDSHAKE > IDLE > HEAD > BODY > BUSY (the handler has it) > WRITING (the answer) > IDLE, or LINGER and the end.
 * A refusal goes from any of the first four to WRITING; an answer that the socket takes at once is never in it. LINGER
 * has sent its FIN and swallows what still comes, because closing with unread input would reset the connection and take
 * the answer away from the client.
 *
 * Whoever was turned away is read last, until a request of his was taken: told to come back later, he may be waited
 * with, and refusing somebody who asks again and again costs up to a third of a run each time.
 *
 * Always holds: exchange is set exactly in BUSY; a connection's memory outlives the callback it ended in (loop_later).
 * libevhtp keeps no list of connections and frees none when it is freed itself, so the list here is the one that
 * counts. */
#include "front/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/count.h"
#include "base/log.h"
#include "base/mem.h"

#define BACKLOG_BYTES 65536
#define LINGER_MS 2000
#define READ_LATE_MS 100 /* until it is looked again whether what has arrived was read */
#define SCRATCH_KEEP_BYTES 65536
#define REFUSAL_MAX_BYTES 16384

/* ---- a connection's phases and end ---- */

int64_t connection_phase_ms(const struct connection *connection) {
    const struct listener_limits *limits = &connection->all->settings->limits;
    switch (connection->phase) {
    case HANDSHAKE:
    case HEAD: return limits->head_timeout_ms;
    case IDLE: return limits->idle_timeout_ms;
    case BODY: return limits->body_timeout_ms;
    case WRITING: return limits->write_timeout_ms;
    case LINGER: return LINGER_MS;
    case BUSY: break;
    }
    return 0;
}

static void connection_enter(struct connection *connection, enum phase phase) {
    if (connection->phase == phase) return;
    connection->phase = phase;
    if (phase == BUSY) loop_timer_clear(&connection->deadline);
    else loop_timer_set(&connection->deadline, connection_phase_ms(connection));
}

static struct evbuffer *output_of(const struct connection *connection) {
    return bufferevent_get_output(connection->evhtp->bev);
}

/* ---- being read ---- */

static void stop_reading(struct connection *connection) {
    if (connection->crowd) crowd_remove(connection->crowd, connection->evhtp->sock, connection);
    connection->crowd = NULL;
}

static void end_later(void *arg) {
    connection_end(arg);
}

/* Where the kernel takes no more, the connection ends in the next pass. */
static void go_on_reading(struct connection *connection) {
    struct connections *all = connection->all;
    struct crowd *crowd = connection->refused ? all->refused : all->crowd;
    if (connection->crowd || connection->sent_all) return;
    if (crowd_add(crowd, connection->evhtp->sock, connection)) connection->crowd = crowd;
    else loop_later(all->loop, end_later, connection);
}

static void set_refused(struct connection *connection, bool refused) {
    if (connection->refused == refused) return;
    connection->refused = refused;
    if (!connection->crowd) return;
    stop_reading(connection);
    go_on_reading(connection);
}

/* ---- its end ---- */

static void connection_gone(struct connection *connection) {
    struct exchange *exchange = connection->exchange;
    if (!exchange || exchange->gone) return;
    exchange->gone = true;
    void (*on_gone)(struct exchange *) = exchange->on_gone;
    exchange->on_gone = NULL;
    if (on_gone) on_gone(exchange);
}

/* libevhtp's hook: the connection is going, whoever decided it. */
static evhtp_res on_fini(evhtp_connection_t *evhtp, void *arg) {
    (void)evhtp;
    struct connection *connection = arg;
    struct connections *all = connection->all;
    connection->dead = true;
    *connection->link = connection->next;
    if (connection->next) connection->next->link = connection->link;
    all->count--;
    count_add(COUNT_CONNECTIONS, -1);
    if (connection->session) tls_session_goodbye(connection->session);
    tls_session_free(connection->session);
    connection->session = NULL;
    stop_reading(connection);
    loop_timer_clear(&connection->deadline);
    if (connection->exchange) {
        connection->exchange->sender = NULL;
        connection_gone(connection);
        connection->exchange = NULL;
    }
    guard_fini(&connection->guard);
    evbuffer_free(connection->raw);
    connection->raw = NULL;
    mem_free(connection->client_name);
    caller_memo_fini(&connection->memo);
    loop_later(all->loop, mem_free, connection);
    all->gone(all->arg);
    return EVHTP_RES_OK;
}

void connection_end(struct connection *connection) {
    if (!connection->dead) evhtp_connection_free(connection->evhtp);
}

void connection_linger(struct connection *connection) {
    if (connection->sent_all) {
        connection_end(connection);
        return;
    }
    evbuffer_drain(connection->raw, evbuffer_get_length(connection->raw));
    if (connection->session) tls_session_goodbye(connection->session);
    shutdown(connection->evhtp->sock, SHUT_WR);
    go_on_reading(connection);
    connection_enter(connection, LINGER);
}

/* ---- answers ---- */

/* Most answers fit into the socket, which saves arming and disarming it in epoll. What does not fit, and what went
 * wrong, is libevent's: on_write is told, never from in here. */
static void put_on_wire(void *arg, struct text bytes) {
    struct connection *connection = arg;
    bool direct = evbuffer_get_length(output_of(connection)) == 0;
    ssize_t sent = direct ? send(connection->evhtp->sock, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
    size_t gone = sent > 0 ? (size_t)sent : 0;
    if (gone < bytes.len) bufferevent_write(connection->evhtp->bev, bytes.at + gone, bytes.len - gone);
    connection->unwritten += bytes.len;
}

/* True: all of it is in the socket. */
static bool send_bytes(struct connection *connection, struct text bytes) {
    connection->unwritten = evbuffer_get_length(output_of(connection));
    if (connection->session) tls_session_write(connection->session, bytes);
    else put_on_wire(connection, bytes);
    return evbuffer_get_length(output_of(connection)) == 0;
}

static struct answer_wire wire_of(const struct connection *connection) {
    struct connections *all = connection->all;
    int64_t now = loop_wall_ms(all->loop);
    if (now / 1000 != all->date_second) {
        all->date_second = now / 1000;
        answer_date(now, all->date);
    }
    return (struct answer_wire){.date = all->date,
                                .minor = connection->minor,
                                .head_only = connection->head_only,
                                .keep_alive = !connection->close_after};
}

static bool write_answer(struct connection *connection, const struct answer *answer) {
    struct connections *all = connection->all;
    const struct answer_wire wire = wire_of(connection);
    buf_clear(&all->scratch);
    answer_write(&all->scratch, answer, &wire);
    if (all->scratch.full) {
        log_put(LOG_ERROR, "answer_too_large", NULL, LOG_INT("bytes", answer->body.len));
        buf_clear(&all->scratch);
        answer_write(&all->scratch, &(struct answer){.status = 500}, &wire);
    }
    bool sent = send_bytes(connection, buf_text(&all->scratch));
    if (all->scratch.cap > SCRATCH_KEEP_BYTES) {
        buf_fini(&all->scratch);
        buf_init(&all->scratch, CONNECTION_ANSWER_MAX);
    }
    return sent;
}

static bool same_wire(const struct answer_wire *a, const struct answer_wire *b) {
    return a->minor == b->minor && a->head_only == b->head_only && a->keep_alive == b->keep_alive;
}

/* Where there is too much to do, saying so has to be cheap. */
static bool write_refusal(struct connection *connection, const struct answer *answer) {
    const struct answer_wire wire = wire_of(connection);
    struct connections *all = connection->all;
    struct ready_answer *ready = &all->refusal;
    if (ready->answer != answer || ready->second != all->date_second || !same_wire(&ready->wire, &wire)) {
        buf_clear(&ready->bytes);
        answer_write(&ready->bytes, answer, &wire);
        ready->answer = answer;
        ready->wire = wire;
        ready->second = all->date_second;
    }
    return send_bytes(connection, buf_text(&ready->bytes));
}

static void written_soon(const struct connection *connection) {
    bufferevent_trigger(connection->evhtp->bev, EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

/* on_write comes in every case, later. */
static void wait_until_written(struct connection *connection, bool sent) {
    if (sent) written_soon(connection);
    connection_enter(connection, WRITING);
}

static bool answer_is_last(const struct connection *connection, const struct answer *answer) {
    const struct connections *all = connection->all;
    return answer->close || !connection->keep_alive || all->draining || all->leaving;
}

static void answer_written(struct connection *connection) {
    connection->head_only = false;
    if (connection->close_after || connection->all->draining) connection_linger(connection);
    else connection_enter(connection, IDLE);
}

/* One a callback, however many requests came in one piece. */
static void connection_answer(struct connection *connection, const struct answer *answer, bool refused) {
    connection->exchange = NULL;
    connection->close_after = answer_is_last(connection, answer);
    connection->served = true;
    set_refused(connection, refused && !connection->close_after);
    bool sent = refused ? write_refusal(connection, answer) : write_answer(connection, answer);
    bool goes_on = evbuffer_get_length(connection->raw) > 0 || connection->sent_all;
    if (sent && !goes_on) answer_written(connection);
    else wait_until_written(connection, sent);
}

static void exchange_end(void *arg) {
    struct exchange *exchange = arg;
    arena_free(exchange->arena);
}

static void on_answer(struct exchange *exchange, const struct answer *answer) {
    if (exchange->sender) connection_answer(exchange->sender, answer, false);
    loop_later(exchange->loop, exchange_end, exchange);
}

void connection_refuse(struct connection *connection, int status, const char *what) {
    struct connections *all = connection->all;
    struct buf body;
    struct answer answer = {.status = status, .close = true};
    if (status == 503) answer.headers[answer.header_count++] = (struct answer_header){"Retry-After", "1"};
    buf_init(&body, REFUSAL_MAX_BYTES);
    all->settings->refuse(status, what, &body, &answer.content_type);
    answer.body = buf_text(&body);
    count_add(COUNT_REQUESTS_REFUSED, 1);
    log_put(LOG_INFO, "request_refused", NULL, LOG_STR("peer", connection->peer), LOG_INT("status", status),
            LOG_STR("what", what));
    connection->close_after = true;
    if (connection->guard.request) connection->head_only = connection->guard.request->method == HTTP_HEAD;
    wait_until_written(connection, write_answer(connection, &answer));
    buf_fini(&body);
}

/* ---- requests ---- */

static struct exchange *exchange_new(struct connection *connection, const struct guard_request *request) {
    struct connections *all = connection->all;
    struct exchange *exchange = arena_new_of(request->arena, struct exchange);
    exchange->arena = request->arena;
    exchange->loop = all->loop;
    exchange->server = all->settings->arg;
    exchange->method = request->method;
    exchange->target = request->target;
    exchange->query = request->query;
    exchange->body = request->body;
    exchange->headers = request->headers;
    exchange->known = request->known;
    exchange->peer = arena_copy(request->arena, connection->peer, sizeof connection->peer);
    exchange->client_name = arena_strdup(request->arena, connection->client_name);
    exchange->loopback = connection->loopback;
    exchange->tls = connection->session;
    exchange->memo = &connection->memo;
    exchange->began_mono_ms = loop_mono_ms(all->loop);
    exchange->send = on_answer;
    return exchange;
}

static void connection_begin(struct connection *connection) {
    struct guard_request *request = guard_take(&connection->guard);
    struct exchange *exchange = exchange_new(connection, request);
    const char *what;
    connection->minor = request->minor;
    connection->head_only = request->method == HTTP_HEAD;
    connection->keep_alive = request->keep_alive;
    if (!exchange_split_path(request->arena, request->path, &exchange->segments, &exchange->segment_count, &what) ||
        !exchange_check_query(request->arena, request->query, &what)) {
        connection_refuse(connection, 400, what);
        arena_free(request->arena);
        return;
    }
    const struct listener_settings *settings = connection->all->settings;
    const struct answer *refusal = settings->turn_away ? settings->turn_away(exchange) : NULL;
    if (refusal) {
        connection_answer(connection, refusal, true);
        arena_free(request->arena);
        return;
    }
    exchange->sender = connection;
    connection->exchange = exchange;
    connection_enter(connection, BUSY);
    settings->handle(exchange);
    if (connection->sent_all) connection_gone(connection); /* unless it has its answer */
}

/* From what had to wait, else from what came just now. */
static enum guard_event guard_eat(struct connection *connection, struct text *fresh) {
    struct evbuffer_iovec piece;
    if (evbuffer_peek(connection->raw, -1, NULL, &piece, 1) < 1) return guard_push(&connection->guard, fresh);
    struct text input = {piece.iov_base, piece.iov_len};
    enum guard_event event = guard_push(&connection->guard, &input);
    evbuffer_drain(connection->raw, piece.iov_len - input.len);
    return event;
}

static bool has_input(const struct connection *connection, struct text fresh) {
    return fresh.len > 0 || evbuffer_get_length(connection->raw) > 0;
}

static void connection_throttle(struct connection *connection) {
    bool wanted = connection->phase >= BUSY && evbuffer_get_length(connection->raw) > BACKLOG_BYTES;
    if (wanted == connection->throttled || connection->sent_all) return;
    connection->throttled = wanted;
    if (wanted) stop_reading(connection);
    else go_on_reading(connection);
}

static void let_wait(struct connection *connection, struct text *fresh) {
    if (fresh->len) evbuffer_add(connection->raw, fresh->at, fresh->len);
    fresh->len = 0;
}

/* Lets the guard eat, up to the next request. The connection may be dead afterwards. */
static void connection_pump(struct connection *connection, struct text fresh) {
    static const enum phase phases[] = {[GUARD_IDLE] = IDLE, [GUARD_IN_HEAD] = HEAD, [GUARD_IN_BODY] = BODY};
    while (connection->phase < BUSY && has_input(connection, fresh)) {
        switch (guard_eat(connection, &fresh)) {
        case GUARD_MORE: break;
        case GUARD_CONTINUE: send_bytes(connection, text_of("HTTP/1.1 100 Continue\r\n\r\n")); break;
        case GUARD_REFUSED:
            connection_refuse(connection, connection->guard.refusal_status, connection->guard.refusal);
            break;
        case GUARD_REQUEST:
            let_wait(connection, &fresh);
            connection_begin(connection);
            break;
        }
        if (connection->dead) return;
    }
    let_wait(connection, &fresh);
    connection_throttle(connection);
    if (connection->phase >= BUSY) return;
    if (connection->sent_all) connection_end(connection);
    else connection_enter(connection, phases[guard_phase(&connection->guard)]);
}

/* ---- what happens to a connection ---- */

static void client_sent_all(struct connection *connection) {
    connection->sent_all = true;
    if (connection->phase == BUSY) connection_gone(connection);
    else if (connection->phase != WRITING) connection_end(connection);
}

static void client_failed(struct connection *connection) {
    if (connection->phase == HANDSHAKE)
        log_put(LOG_INFO, "tls_refused", NULL, LOG_STR("peer", connection->peer),
                LOG_STR("what", tls_session_why(connection->session)));
    connection_end(connection);
}

static void client_sent(struct connection *connection, struct text bytes) {
    if (connection->phase == LINGER) return;
    if (evbuffer_get_length(connection->raw)) let_wait(connection, &bytes);
    connection_pump(connection, bytes);
}

static void welcome(struct connection *connection) {
    connection_enter(connection, IDLE);
    if (connection->is_too_many)
        connection_refuse(connection, 503, "There are more connections than are accepted here");
}

static ssize_t read_session(struct connection *connection) {
    ssize_t n = tls_session_read(connection->session, connection->all->piece, CONNECTION_PIECE_BYTES);
    int why = errno;
    if (connection->phase == HANDSHAKE && tls_session_is_open(connection->session)) {
        connection->client_name = tls_session_client(connection->session);
        welcome(connection);
    }
    errno = why;
    return n;
}

/* Of an answer there is a deadline; what TLS itself has to say is due to whoever asks for it (new keys), and who asks
 * without end and reads nothing means no good. */
static bool is_owed_too_much(const struct connection *connection) {
    return connection->phase <= BUSY && evbuffer_get_length(output_of(connection)) > BACKLOG_BYTES;
}

/* A member of the crowd is readable. Who lingers is not listened to. */
void connection_readable(void *member) {
    struct connection *connection = member;
    bool plain = !connection->session || connection->phase == LINGER;
    ssize_t n = plain ? recv(connection->evhtp->sock, connection->all->piece, CONNECTION_PIECE_BYTES, MSG_DONTWAIT)
                      : read_session(connection);
    if (n > 0) {
        client_sent(connection, (struct text){connection->all->piece, (size_t)n});
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !is_owed_too_much(connection)) return;
    stop_reading(connection);
    if (n == 0) client_sent_all(connection);
    else client_failed(connection);
}

static void on_write(struct bufferevent *bev, void *arg) {
    (void)bev;
    struct connection *connection = arg;
    struct loop *loop = connection->all->loop;
    int64_t entered = loop_enter(loop);
    if (connection->phase == WRITING && evbuffer_get_length(output_of(connection)) == 0) {
        answer_written(connection);
        if (connection->phase == IDLE) connection_pump(connection, (struct text){0});
    }
    loop_leave(loop, "client_written", entered);
}

/* Nothing can be written to it. */
static void on_event(struct bufferevent *bev, short events, void *arg) {
    (void)bev, (void)events;
    struct connection *connection = arg;
    struct loop *loop = connection->all->loop;
    int64_t entered = loop_enter(loop);
    client_failed(connection);
    loop_leave(loop, "client_event", entered);
}

/* What the client has not got yet, here and in the kernel: that takes megabytes, and asks for more only when a third of
 * them is gone, so our own buffer stands still for long while a slow client reads all the time. */
static size_t unread_bytes(const struct connection *connection) {
    int queued = 0;
    if (ioctl(connection->evhtp->sock, SIOCOUTQ, &queued) < 0) queued = 0;
    return evbuffer_get_length(output_of(connection)) + (size_t)queued;
}

static void write_is_late(struct connection *connection) {
    size_t left = unread_bytes(connection);
    bool moves = left < connection->unwritten;
    connection->unwritten = left;
    if (moves) {
        loop_timer_set(&connection->deadline, connection->all->settings->limits.write_timeout_ms);
        return;
    }
    log_put(LOG_INFO, "client_does_not_read", NULL, LOG_STR("peer", connection->peer), LOG_INT("bytes", left));
    connection_end(connection);
}

bool connection_has_news(const struct connection *connection) {
    char byte;
    return recv(connection->evhtp->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* What has arrived may wait for its turn: that is not the client's doing. */
static bool is_read_late(const struct connection *connection) {
    return connection->phase < BUSY && connection_has_news(connection);
}

static void on_deadline(void *arg) {
    struct connection *connection = arg;
    if (is_read_late(connection)) {
        loop_timer_set(&connection->deadline, READ_LATE_MS);
        return;
    }
    switch (connection->phase) {
    case HEAD: connection_refuse(connection, 408, "The request's head did not come in time"); break;
    case BODY: connection_refuse(connection, 408, "The request's body did not come in time"); break;
    case WRITING: write_is_late(connection); break;
    default: connection_end(connection);
    }
}

/* ---- beginning ---- */

static void peer_write(struct connection *connection) {
    struct buf text;
    char ip[INET6_ADDRSTRLEN] = "?";
    buf_init(&text, sizeof connection->peer - 1);
    const struct sockaddr *from = connection->evhtp->saddr;
    if (connection->is_unix) buf_adds(&text, "unix"); /* what accept gives for these is not a whole sockaddr */
    else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, from, sizeof six);
        buf_addf(&text, "[%s]:%d", inet_ntop(AF_INET6, &six.sin6_addr, ip, sizeof ip), ntohs(six.sin6_port));
    } else {
        struct sockaddr_in four;
        memcpy(&four, from, sizeof four);
        buf_addf(&text, "%s:%d", inet_ntop(AF_INET, &four.sin_addr, ip, sizeof ip), ntohs(four.sin_port));
    }
    memcpy(connection->peer, buf_cstr(&text), text.len + 1);
    connection->loopback = connection->is_unix || listen_address_is_loopback(from);
    buf_fini(&text);
}

static struct connection *connection_new(struct connections *all, evhtp_connection_t *evhtp, bool is_unix,
                                         struct ssl_ctx_st *tls) {
    struct connection *connection = mem_alloc(sizeof *connection);
    connection->all = all;
    connection->is_unix = is_unix;
    connection->evhtp = evhtp;
    if (tls) connection->session = tls_session_new(tls, evhtp->sock, put_on_wire, connection);
    connection->minor = 1;
    connection->raw = evbuffer_new();
    guard_init(&connection->guard, &all->guard_limits);
    peer_write(connection);
    loop_timer_init(&connection->deadline, all->loop, "client_deadline", on_deadline, connection);
    connection->next = all->first;
    connection->link = &all->first;
    if (connection->next) connection->next->link = &connection->next;
    all->first = connection;
    all->count++;
    count_add(COUNT_CONNECTIONS, 1);
    count_add(COUNT_CONNECTIONS_ACCEPTED, 1);
    return connection;
}

static void connection_take_over(struct connection *connection) {
    bufferevent_setcb(connection->evhtp->bev, NULL, on_write, on_event, connection);
    evhtp_connection_set_hook(connection->evhtp, evhtp_hook_on_connection_fini, (evhtp_hook)on_fini, connection);
    bufferevent_disable(connection->evhtp->bev, EV_READ);
    go_on_reading(connection);
}

void connections_add(struct connections *all, evhtp_connection_t *evhtp, bool is_unix, struct ssl_ctx_st *tls) {
    struct connection *connection = connection_new(all, evhtp, is_unix, tls);
    connection->is_too_many = all->count > all->settings->limits.max_connections;
    connection->phase = tls ? HANDSHAKE : IDLE;
    loop_timer_set(&connection->deadline, connection_phase_ms(connection));
    connection_take_over(connection);
    if (!tls) welcome(connection);
}
