/* A transfer: one call to an upstream from its request to its reply, over as many exchanges as redirects ask for.
 *
 *   transfer_begin -> hop_begin -> (a connection that rests in its place), or
 *                     hop_connect -> (waits for a lookup) -> hop_dial -> on_dialed -> (shakes hands) -> hop_send
 *     -> on_ready -> the next hop, or finish -> done
 *
 * The engine is the only caller. What always holds: `done` is called once, from the loop, when the transfer has let go
 * of its connection and is back in the pool. Bytes of a request go to one connection; to a second one only where a kept
 * connection died without a word, which happens when the upstream closes it at that moment, and the request may be
 * repeated, or nothing of it had left.
 *
 * libcurl makes connections (dial.c), OpenSSL their TLS (trust.c); bytes are moved by talk.c. Here is who does what
 * when, how long it may take, and what comes of it. */
#include "back/transfer.h"

#include <curl/curl.h>
#include <string.h>
#include <unistd.h>

#include "back/channel.h"
#include "back/dial.h"
#include "back/failure.h"
#include "back/head.h"
#include "back/lookup.h"
#include "back/reader.h"
#include "back/talk.h"
#include "base/count.h"

#ifdef MEM_SINGLE
#define POOL_MAX 0 /* so that AddressSanitizer sees the end of each transfer */
#else
#define POOL_MAX 64
#endif
#define BODY_SMALL 65536          /* a larger one is not copied, and read apart */
#define OUT_KEPT 65536            /* bytes that the buffer of heads may have between calls */
#define CONNECT_DEFAULT_MS 300000 /* where nothing else is said */

/* How long a connection may have rested and still be used. Node.js closes it after 5 s, and a request that crosses with
 * the close is lost: what may be sent only once does not risk that. */
#define REST_CAREFUL_MS 3000

enum state {
    WAITING,  /* another transfer looks the host up */
    STARTING, /* the timer, at once: hop_dial */
    DIALING,
    SHAKING, /* hands, for TLS */
    TALKING,
    READING, /* a large reply is all there, and being parsed */
    FAILING  /* the timer, at once: tells `fault` */
};

struct transfer {
    struct transfer *next; /* in the pool */
    struct upstream *upstream;
    const struct request *request;
    struct arena *arena;
    void (*done)(void *, const struct reply *);
    void *arg;
    enum state state;
    struct loop_timer timer; /* of the state */
    int64_t began_ms;
    /* the hop */
    struct hop hop;
    struct origin *origin;
    struct channel_place *place;
    struct lookup_seat seat;
    struct dial *dial;        /* of DIALING */
    struct channel *channel;  /* of SHAKING and TALKING */
    bool is_kept;             /* it has served other calls */
    int64_t connected_by_ms;  /* loop_mono_ms */
    int64_t connect_limit_ms; /* how long that was */
    /* the call */
    unsigned redirects;
    bool sent_before; /* bytes of it, in an earlier talk */
    bool timed_out;
    struct reply *reply;     /* of READING */
    struct reading *reading; /* of READING */
    /* kept in the pool */
    struct talk talk;
    struct fault fault; /* of FAILING */
};

struct upstream {
    struct loop *loop;
    struct dialer *dialer;
    struct channels *channels;
    struct lookups *lookups;
    struct reader *reader;
    struct origins *origins;
    char *user_agent;
    struct transfer *pool;
    size_t pool_count;
    struct buf out;   /* the head that is being sent */
    char room[65536]; /* what is being received */
};

static bool may_repeat(const struct transfer *transfer) {
    return transfer->request->call->idempotent || transfer->hop.rewritten;
}

/* ---- time ---- */

static void at_once(struct transfer *transfer, enum state state) {
    transfer->state = state;
    loop_timer_set(&transfer->timer, 0);
}

static int64_t time_left_ms(const struct transfer *transfer) {
    int64_t limit = transfer->request->call->call_timeout_ms;
    if (limit <= 0) return 0; /* none */
    int64_t left = limit - (loop_mono_ms(transfer->upstream->loop) - transfer->began_ms);
    return left > 1 ? left : 1;
}

/* Both clocks run until the connection stands; the shorter one will ring. */
static void limit_connecting(struct transfer *transfer) {
    const struct stage_call *call = transfer->request->call;
    int64_t connect = call->connect_timeout_ms, left = time_left_ms(transfer);
    if (connect <= 0) connect = CONNECT_DEFAULT_MS;
    bool hurries = left > 0 && left <= connect;
    transfer->connect_limit_ms = hurries ? call->call_timeout_ms : connect;
    transfer->connected_by_ms = loop_mono_ms(transfer->upstream->loop) + (hurries ? left : connect);
}

static int64_t connect_left_ms(const struct transfer *transfer) {
    int64_t left = transfer->connected_by_ms - loop_mono_ms(transfer->upstream->loop);
    return left > 1 ? left : 1;
}

/* ---- a failure in words ---- */

static void explain(struct transfer *transfer, struct failure *failure) {
    failure->request = transfer->request;
    failure->url = transfer->hop.url;
    failure->method = transfer->hop.method;
    transfer->timed_out = failure->cause == FAILURE_TIME;
    failure_explain(failure, &transfer->fault);
}

static void fail_soon(struct transfer *transfer, struct failure failure) {
    explain(transfer, &failure);
    at_once(transfer, FAILING);
}

/* ---- lookups ---- */

static void on_found(void *arg) {
    struct transfer *transfer = arg;
    if (!lookup_leads(&transfer->seat)) return;
    struct lookup_seat *seat = lookup_settle(&transfer->seat, true, loop_mono_ms(transfer->upstream->loop));
    for (struct lookup_seat *next; seat; seat = next) {
        next = seat->next;
        at_once(seat->owner, STARTING);
    }
}

static void leave_lookup(struct transfer *transfer) {
    struct lookup_seat *leader = lookup_leave(&transfer->seat);
    if (leader) at_once(leader->owner, STARTING);
}

/* For a leader that has found nothing: what it learned is for those who wait. */
static void settle_lookup(struct transfer *transfer, const struct dial_end *end) {
    if (!lookup_leads(&transfer->seat)) return;
    if (end->result != CURLE_COULDNT_RESOLVE_HOST) {
        leave_lookup(transfer);
        return;
    }
    struct lookup_seat *seat = lookup_settle(&transfer->seat, false, loop_mono_ms(transfer->upstream->loop));
    for (struct lookup_seat *next; seat; seat = next) {
        next = seat->next;
        fail_soon(seat->owner, (struct failure){.cause = FAILURE_DIAL, .result = end->result});
    }
}

/* ---- a connection ---- */

static void hop_send(struct transfer *transfer);
static void on_ready(void *owner, int events);

static void let_go(struct transfer *transfer) {
    /* Perhaps for its session: the next one begins from the start. */
    if (transfer->state == SHAKING) trust_forget_session(&transfer->place->trust);
    channel_close(transfer->channel);
    transfer->channel = NULL;
}

static void shake_hands(struct transfer *transfer) {
    struct channel *channel = transfer->channel;
    struct buf reason;
    switch (stream_shake_hands(&channel->stream)) {
    case STREAM_DONE: hop_send(transfer); break;
    case STREAM_AGAIN: channel_want(channel, channel->stream.wants_write); break;
    case STREAM_CLOSED:
    case STREAM_LOST:
        buf_init(&reason, sizeof transfer->fault.what);
        trust_explain(&transfer->place->trust, channel->stream.ssl, transfer->origin->host, channel->stream.error,
                      &reason);
        let_go(transfer);
        fail_soon(transfer, (struct failure){.cause = FAILURE_TLS, .detail = buf_cstr(&reason)});
        buf_fini(&reason);
        break;
    }
}

static void begin_tls(struct transfer *transfer, int fd) {
    struct buf reason;
    buf_init(&reason, sizeof transfer->fault.what);
    SSL *client = trust_client(&transfer->place->trust, transfer->origin->host, &reason);
    if (client) {
        transfer->state = SHAKING;
        transfer->channel = channel_new(transfer->place, fd, client);
        channel_use(transfer->channel, on_ready, transfer);
        shake_hands(transfer);
    } else {
        close(fd);
        fail_soon(transfer, (struct failure){.cause = FAILURE_TLS, .detail = buf_cstr(&reason)});
    }
    buf_fini(&reason);
}

static void on_dialed(void *arg, const struct dial_end *end) {
    struct transfer *transfer = arg;
    transfer->dial = NULL;
    settle_lookup(transfer, end);
    if (end->fd < 0) {
        fail_soon(transfer, (struct failure){.cause = FAILURE_DIAL, .result = end->result, .error = end->error});
    } else if (transfer->origin->is_tls) {
        begin_tls(transfer, end->fd);
    } else {
        transfer->channel = channel_new(transfer->place, end->fd, NULL);
        channel_use(transfer->channel, on_ready, transfer);
        hop_send(transfer);
    }
}

static void hop_dial(struct transfer *transfer) {
    const struct dial_order order = {.url = transfer->origin->dial_url,
                                     .unix_socket = transfer->request->unix_socket,
                                     .patience_ms = connect_left_ms(transfer),
                                     .found = on_found,
                                     .done = on_dialed,
                                     .arg = transfer};
    transfer->state = DIALING;
    loop_timer_set(&transfer->timer, order.patience_ms);
    transfer->dial = dial_begin(transfer->upstream->dialer, &order);
}

static void hop_connect(struct transfer *transfer) {
    struct upstream *upstream = transfer->upstream;
    transfer->is_kept = false;
    limit_connecting(transfer);
    transfer->seat.owner = transfer;
    if (transfer->request->unix_socket ||
        lookups_enter(upstream->lookups, text_of(transfer->origin->host), transfer->origin->dial_url, &transfer->seat,
                      loop_mono_ms(upstream->loop))) {
        hop_dial(transfer);
        return;
    }
    transfer->state = WAITING;
    loop_timer_set(&transfer->timer, connect_left_ms(transfer));
}

/* ---- an exchange ---- */

static size_t body_max(const struct request *request) {
    int64_t max = request->call->max_reply_bytes;
    return max > 0 ? (size_t)max : 0;
}

static void hop_send(struct transfer *transfer) {
    const struct request *request = transfer->request;
    const struct hop *hop = &transfer->hop;
    struct buf *out = &transfer->upstream->out;
    struct channel *channel = transfer->channel;
    transfer->state = TALKING;
    loop_timer_clear(&transfer->timer);
    if (request->call->call_timeout_ms > 0) loop_timer_set(&transfer->timer, time_left_ms(transfer));
    buf_clear(out);
    head_write(out, request, hop, transfer->origin, transfer->arena, transfer->upstream->user_agent);
    if (out->full) {
        let_go(transfer);
        fail_soon(transfer, (struct failure){.cause = FAILURE_TOO_LONG});
        return;
    }
    transfer->sent_before |= transfer->talk.sent;
    talk_begin(&transfer->talk, &channel->stream, buf_text(out), head_body(request, hop), body_max(request),
               strcmp(hop->method, "HEAD") == 0);
    channel_want(channel, channel->stream.wants_write);
    if (channel->stream.is_lost) loop_timer_set(&transfer->timer, 0);
    if (out->cap > OUT_KEPT) buf_fini(out);
}

static void hop_begin(struct transfer *transfer) {
    struct upstream *upstream = transfer->upstream;
    const struct request *request = transfer->request;
    if (!origins_find(upstream->origins, transfer->arena, &transfer->hop.url, &transfer->origin, &transfer->fault)) {
        at_once(transfer, FAILING);
        return;
    }
    if (!transfer->origin) {
        fail_soon(transfer, (struct failure){.cause = FAILURE_URL});
        return;
    }
    transfer->place = channels_place(upstream->channels, transfer->origin, request->unix_socket, &request->call->tls,
                                     transfer->hop.own_origin);
    transfer->channel = channel_take(transfer->place, may_repeat(transfer) ? CHANNEL_KEPT_MS : REST_CAREFUL_MS);
    if (!transfer->channel) {
        hop_connect(transfer);
        return;
    }
    transfer->is_kept = true;
    channel_use(transfer->channel, on_ready, transfer);
    hop_send(transfer);
}

/* ---- the end ---- */

static void transfer_free(struct transfer *transfer) {
    talk_fini(&transfer->talk);
    mem_free(transfer);
}

static void pool_put(struct transfer *transfer) {
    struct upstream *upstream = transfer->upstream;
    if (upstream->pool_count + 1 > POOL_MAX) {
        transfer_free(transfer);
        return;
    }
    talk_rest(&transfer->talk);
    transfer->next = upstream->pool;
    upstream->pool = transfer;
    upstream->pool_count++;
}

static void finish(struct transfer *transfer, struct reply *reply) {
    void (*done)(void *, const struct reply *) = transfer->done;
    void *arg = transfer->arg;
    reply->url = arena_strdup(transfer->arena, transfer->hop.url);
    reply->took_ms = loop_mono_ms(transfer->upstream->loop) - transfer->began_ms;
    count_add(COUNT_CALLS_IN_FLIGHT, -1);
    count_observe(COUNT_HISTOGRAM_CALL_MS, reply->took_ms);
    loop_timer_clear(&transfer->timer);
    pool_put(transfer);
    done(arg, reply);
}

/* Of `fault`. */
static void finish_failed(struct transfer *transfer) {
    struct reply *reply = arena_new_of(transfer->arena, struct reply);
    reply->fault = arena_copy(transfer->arena, &transfer->fault, sizeof transfer->fault);
    reply->timed_out = transfer->timed_out;
    reply->phase = transfer->talk.sent || transfer->sent_before ? REPLY_MAYBE_ACTED_ON : REPLY_NEVER_SENT;
    finish(transfer, reply);
}

static void fail(struct transfer *transfer, struct failure failure) {
    explain(transfer, &failure);
    finish_failed(transfer);
}

/* Lets go of all that it waits for. */
static void abandon(struct transfer *transfer) {
    leave_lookup(transfer);
    if (transfer->dial) dial_cancel(transfer->dial);
    if (transfer->channel) let_go(transfer);
    if (transfer->state == READING) reader_cancel(transfer->reading);
    transfer->dial = NULL;
}

static void run_out_of_time(struct transfer *transfer) {
    bool talks = transfer->state == TALKING;
    struct failure failure = {.cause = FAILURE_TIME, .limit_ms = transfer->connect_limit_ms};
    if (talks) failure.limit_ms = transfer->request->call->call_timeout_ms;
    if (talks) failure.progress = transfer->talk.heard ? PROGRESS_REPLY : PROGRESS_REQUEST;
    else if (transfer->state == SHAKING) failure.progress = PROGRESS_TLS;
    else if (transfer->dial && dial_found(transfer->dial)) failure.progress = PROGRESS_CONNECT;
    else failure.progress = PROGRESS_NAME;
    abandon(transfer);
    fail(transfer, failure);
}

static void on_timer(void *arg) {
    struct transfer *transfer = arg;
    switch (transfer->state) {
    case STARTING: hop_dial(transfer); break;
    case FAILING: finish_failed(transfer); break;
    case WAITING:
    case DIALING:
    case SHAKING: run_out_of_time(transfer); break;
    case TALKING:
        if (transfer->channel->stream.is_lost) on_ready(transfer, 0);
        else run_out_of_time(transfer);
        break;
    case READING: break;
    }
}

/* ---- a talk that went wrong ---- */

static void break_off(struct transfer *transfer, enum talk_state state) {
    const struct stream *stream = &transfer->channel->stream;
    const struct talk *talk = &transfer->talk;
    bool died = !talk->heard && (state == TALK_LOST || talk->reply.flaw == HTTP_REPLY_NO_REPLY);
    struct failure failure = {.cause = state == TALK_LOST ? FAILURE_LOST : FAILURE_REPLY,
                              .progress = talk->heard ? PROGRESS_REPLY : PROGRESS_REQUEST,
                              .error = stream->error,
                              .detail = state == TALK_LOST ? stream_reason(stream) : "",
                              .flaw = talk->reply.flaw};
    let_go(transfer);
    if (died && transfer->is_kept) {
        if (!talk->sent || may_repeat(transfer)) {
            hop_connect(transfer);
            return;
        }
        failure.cause = FAILURE_ONCE;
    }
    fail(transfer, failure);
}

/* ---- a reply from what came ---- */

static void on_read(void *arg) {
    struct transfer *transfer = arg;
    finish(transfer, transfer->reply);
}

/* What is too large to be copied is too large for the loop to parse. */
static void read_body(struct transfer *transfer, struct reply *reply) {
    struct buf *body = &transfer->talk.body;
    size_t len = body->len;
    if (len <= BODY_SMALL) {
        reply->body = (struct text){arena_strndup(transfer->arena, buf_cstr(body), len), len};
        finish(transfer, reply);
        return;
    }
    transfer->state = READING;
    transfer->reply = reply;
    transfer->reading = reader_begin(transfer->upstream->reader, transfer->arena, reply, buf_take(body), len,
                                     transfer->request->call->wanted, on_read, transfer);
}

static void follow(struct transfer *transfer, const struct hop *next) {
    transfer->hop = *next;
    transfer->redirects++;
    hop_begin(transfer);
}

static void take_reply(struct transfer *transfer) {
    struct channel *channel = transfer->channel;
    transfer->channel = NULL;
    loop_timer_clear(&transfer->timer);
    if (talk_may_reuse(&transfer->talk)) channel_rest(channel);
    else channel_close(channel);
    struct reply *reply = talk_reply(&transfer->talk, transfer->arena);
    struct hop next;
    switch (redirect_judge(transfer->arena, transfer->request, &transfer->hop, reply, transfer->redirects, &next,
                           &transfer->fault)) {
    case REDIRECT_FOLLOW: follow(transfer, &next); break;
    case REDIRECT_REFUSED:
        failure_place(transfer->hop.url, &transfer->fault);
        finish_failed(transfer);
        break;
    case REDIRECT_NONE: read_body(transfer, reply); break;
    }
}

static void on_ready(void *owner, int events) {
    (void)events;
    struct transfer *transfer = owner;
    struct upstream *upstream = transfer->upstream;
    struct stream *stream = &transfer->channel->stream;
    if (transfer->state == SHAKING) {
        shake_hands(transfer);
        return;
    }
    enum talk_state state = talk_go_on(&transfer->talk, stream, upstream->room, sizeof upstream->room);
    switch (state) {
    case TALK_GOES_ON: channel_want(transfer->channel, stream->wants_write); break;
    case TALK_WHOLE: take_reply(transfer); break;
    case TALK_BROKEN:
    case TALK_LOST: break_off(transfer, state); break;
    }
}

/* ---- the beginning ---- */

static struct transfer *transfer_new(struct upstream *upstream) {
    struct transfer *transfer = upstream->pool;
    if (!transfer) {
        transfer = mem_alloc(sizeof *transfer);
        transfer->upstream = upstream;
        talk_init(&transfer->talk);
        return transfer;
    }
    upstream->pool = transfer->next;
    upstream->pool_count--;
    memset(transfer, 0, offsetof(struct transfer, talk));
    transfer->upstream = upstream;
    transfer->talk.sent = transfer->talk.heard = false;
    return transfer;
}

struct transfer *transfer_begin(struct upstream *upstream, const struct request *request, struct arena *arena,
                                void (*done)(void *arg, const struct reply *reply), void *arg) {
    struct transfer *transfer = transfer_new(upstream);
    transfer->request = request;
    transfer->arena = arena;
    transfer->done = done;
    transfer->arg = arg;
    transfer->began_ms = loop_mono_ms(upstream->loop);
    transfer->hop = (struct hop){.method = request->method, .url = request->url, .own_origin = true};
    count_add(COUNT_CALLS_IN_FLIGHT, 1);
    loop_timer_init(&transfer->timer, upstream->loop, "transfer", on_timer, transfer);
    if (head_check(request, &transfer->fault)) {
        hop_begin(transfer);
    } else {
        failure_place(request->url, &transfer->fault);
        at_once(transfer, FAILING);
    }
    return transfer;
}

void transfer_cancel(struct transfer *transfer) {
    count_add(COUNT_CALLS_IN_FLIGHT, -1);
    loop_timer_clear(&transfer->timer);
    abandon(transfer);
    pool_put(transfer);
}

void upstream_global_init(void) {
    curl_global_init(CURL_GLOBAL_ALL); /* never undone: a resolver's thread may outlive its transfer */
    trust_global_init();
}

struct upstream *upstream_new(struct loop *loop, const struct upstream_settings *settings) {
    struct upstream *upstream = mem_alloc(sizeof *upstream);
    upstream->loop = loop;
    upstream->dialer = dialer_new(loop);
    upstream->channels = channels_new(loop, settings->max_connections);
    upstream->lookups = lookups_new();
    upstream->reader = reader_new(loop);
    upstream->origins = origins_new();
    upstream->user_agent = mem_strdup(settings->user_agent);
    buf_init(&upstream->out, HEAD_MAX);
    return upstream;
}

void upstream_free(struct upstream *upstream) {
    if (!upstream) return;
    while (upstream->pool) {
        struct transfer *transfer = upstream->pool;
        upstream->pool = transfer->next;
        transfer_free(transfer);
    }
    dialer_free(upstream->dialer);
    channels_free(upstream->channels);
    lookups_free(upstream->lookups);
    reader_free(upstream->reader);
    origins_free(upstream->origins);
    buf_fini(&upstream->out);
    mem_free(upstream->user_agent);
    mem_free(upstream);
}
