/* A transfer: one call to an upstream from its request to its reply, over as many exchanges as redirects ask for.
 *
 *   transfer_begin -> hop_begin -> (waits for a lookup) -> hop_send -> (curl, in wire.c) -> on_ended
 *     -> the next hop, or finish -> done
 *
 * The engine is the only caller. What always holds: `done` is called once, from the loop, when the transfer is out of
 * curl and back in the pool; a request that is not idempotent is handed to a connection once. The second is guarded by
 * PREREQFUNCTION, which curl calls before each sending: where a kept-open connection dies before it has replied, curl
 * would send once more on a new one, a POST too, and tell nobody.
 *
 * curl is given methods and headers only after they have been checked: it writes what it gets, and a line break in a
 * header would shift every later reply of the connection by one. */
#include "back/transfer.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "back/failure.h"
#include "back/handle.h"
#include "back/lookup.h"
#include "back/origin.h"
#include "back/reader.h"
#include "back/redirect.h"
#include "back/trust.h"
#include "back/wire.h"
#include "base/clock.h"
#include "base/count.h"
#include "lang/url.h"

#ifdef MEM_SINGLE
#define POOL_MAX 0 /* so that AddressSanitizer sees the end of each transfer */
#else
#define POOL_MAX 64
#endif
#define POOL_BODY_MAX 65536   /* a buffer that has grown beyond this is not kept, and read apart */
#define HEAD_MAX (512 * 1024) /* curl itself stops at 300 KiB of headers */
#define HEADERS_MAX 1000

/* How long a connection may have idled and still be used. Most servers keep one for a minute or more; Node.js closes
 * it after 5 s, and a request that crosses with the close is lost. What may be sent only once does not risk that. */
#define KEPT_OPEN_S 60L
#define KEPT_OPEN_CAREFUL_S 3L

enum state {
    WAITING,  /* another transfer looks the host up; the timer is its patience */
    STARTING, /* the timer, at once: hop_send */
    SENDING,  /* curl has it */
    READING,  /* a large reply is all there, and being parsed */
    FAILING   /* the timer, at once: tells `fault` */
};

struct transfer {
    struct transfer *next; /* in the pool */
    struct upstream *upstream;
    const struct request *request;
    struct arena *arena;
    void (*done)(void *, const struct reply *);
    void *arg;
    struct handle handle;
    char detail[CURL_ERROR_SIZE];
    struct hop hop;
    const struct origin *origin; /* of the hop */
    unsigned redirects;
    bool sent;           /* in this hop: the request was handed to a connection */
    bool sent_before;    /* in an earlier hop */
    bool refused_resend; /* curl wanted to send twice */
    bool worn;           /* an exchange did not go plainly: the handle is reset before the next one */
    bool too_large;
    bool too_many_headers;
    bool head_ended; /* what comes now are trailers */
    unsigned head_lines;
    struct buf head, body; /* of the last reply only; its body up to max_reply */
    int64_t began_ms;
    enum state state;
    struct loop_timer timer;
    struct lookup_seat seat;
    struct fault fault; /* of FAILING */
    bool timed_out;
    struct reply *reply;     /* of READING */
    struct reading *reading; /* of READING */
};

struct upstream {
    struct loop *loop;
    struct wire *wire;
    struct lookups *lookups;
    struct reader *reader;
    struct origins *origins;
    char *user_agent; /* a line of the head */
    struct transfer *pool;
    size_t pool_count;
};

/* ---- what curl tells while it works ---- */

static bool may_repeat(const struct transfer *transfer) {
    return transfer->request->call->idempotent || transfer->hop.rewritten;
}

static void start_soon(struct transfer *transfer) {
    transfer->state = STARTING;
    loop_timer_set(&transfer->timer, 0);
}

static void address_found(struct transfer *transfer) {
    if (!lookup_leads(&transfer->seat)) return;
    struct lookup_seat *seat = lookup_settle(&transfer->seat, true, loop_mono_ms(transfer->upstream->loop));
    for (struct lookup_seat *next; seat; seat = next) {
        next = seat->next;
        start_soon(seat->owner);
    }
}

static int before_sending(void *arg, char *address, char *local, int port, int local_port) {
    (void)address, (void)local, (void)port, (void)local_port;
    struct transfer *transfer = arg;
    address_found(transfer);
    transfer->worn |= transfer->sent;
    if (transfer->sent && !may_repeat(transfer)) {
        transfer->refused_resend = true;
        return CURL_PREREQFUNC_ABORT;
    }
    transfer->sent = true;
    return CURL_PREREQFUNC_OK;
}

static void add_head_line(struct transfer *transfer, struct text line) {
    struct buf *head = &transfer->head;
    bool folded = line.len && (line.at[0] == ' ' || line.at[0] == '\t'); /* RFC 9112, 5.2: one space in its place */
    if (folded) {
        while (head->len && (head->at[head->len - 1] == '\r' || head->at[head->len - 1] == '\n')) head->len--;
        buf_addc(head, ' ');
        buf_addt(head, text_trim(line));
        buf_adds(head, "\r\n");
    } else {
        buf_addt(head, line);
        transfer->head_lines++;
    }
}

/* One line of a head, or of trailers. Each status line starts a head anew: 1xx are not the reply. */
static size_t on_header(char *at, size_t size, size_t count, void *arg) {
    struct transfer *transfer = arg;
    struct text line = {at, size * count};
    struct buf *head = &transfer->head;
    if (text_starts(line, "HTTP/") && (head->len == 0 || transfer->head_ended)) {
        buf_clear(head);
        transfer->head_ended = false;
        transfer->head_lines = 0;
    }
    if (!transfer->head_ended) add_head_line(transfer, line);
    if (text_trim(line).len == 0) transfer->head_ended = true;
    transfer->too_many_headers = head->full || transfer->head_lines > HEADERS_MAX;
    return transfer->too_many_headers ? 0 : line.len;
}

static size_t on_body(char *at, size_t size, size_t count, void *arg) {
    struct transfer *transfer = arg;
    buf_add(&transfer->body, at, size * count);
    transfer->too_large = transfer->body.full;
    return transfer->too_large ? 0 : size * count;
}

/* ---- a request as curl's options ---- */

/* The lines of a head, as curl takes them. In the transfer's arena: they end with the call. */
struct lines {
    struct arena *arena;
    struct curl_slist *first, **last;
};

static void add_line(struct lines *lines, char *line) {
    struct curl_slist *one = arena_new_of(lines->arena, struct curl_slist);
    one->data = line;
    *lines->last = one;
    lines->last = &one->next;
}

static void add_header(struct lines *lines, const char *name, const char *value) {
    size_t name_len = strlen(name), value_len = strlen(value);
    char *line = arena_alloc(lines->arena, name_len + value_len + sizeof ": ");
    memcpy(line, name, name_len);
    /* "Name:" would mean to curl that the header is not wanted; an empty one is written "Name;". */
    memcpy(line + name_len, value_len ? ": " : ";", value_len ? 2 : 1);
    memcpy(line + name_len + 2, value, value_len);
    add_line(lines, line);
}

static void add_basic(struct lines *lines, const char *user, const char *password) {
    const char *plain = arena_printf(lines->arena, "%s:%s", user ? user : "", password ? password : "");
    struct buf value;
    buf_init(&value, REQUEST_MAX_BYTES * 2);
    buf_adds(&value, "Basic ");
    buf_add_base64(&value, text_of(plain));
    add_header(lines, "Authorization", buf_cstr(&value));
    buf_fini(&value);
}

static void add_credentials(const struct transfer *transfer, struct lines *lines) {
    const struct request *request = transfer->request;
    if (!transfer->hop.own_origin) return;
    if (request->auth == AUTH_BASIC) add_basic(lines, request->user, request->password);
    if (request->auth == AUTH_BEARER) {
        const char *value = arena_printf(lines->arena, "Bearer %s", request->token ? request->token : "");
        add_header(lines, "Authorization", value);
    }
}

static bool header_goes_along(const struct transfer *transfer, const char *name) {
    const struct request *request = transfer->request;
    if (!transfer->hop.own_origin) return strcasecmp(name, "Accept") == 0 || strcasecmp(name, "User-Agent") == 0;
    if (transfer->hop.rewritten && strncasecmp(name, "Content-", strlen("Content-")) == 0) return false;
    return request->auth == AUTH_NONE || strcasecmp(name, "Authorization") != 0;
}

static struct curl_slist *write_head(const struct transfer *transfer) {
    const struct request *request = transfer->request;
    struct lines lines = {.arena = transfer->arena, .last = &lines.first};
    bool has_type = false, has_agent = false;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct request_header *header = &request->headers[i];
        if (!header_goes_along(transfer, header->name)) continue;
        has_type = has_type || strcasecmp(header->name, "Content-Type") == 0;
        has_agent = has_agent || strcasecmp(header->name, "User-Agent") == 0;
        add_header(&lines, header->name, header->value);
    }
    add_credentials(transfer, &lines);
    if (!has_agent) add_line(&lines, transfer->upstream->user_agent);
    if (!has_type) add_line(&lines, "Content-Type:"); /* curl's own would be that of a form */
    add_line(&lines, "Expect:");                      /* else curl waits a second before it sends what is over 1 MiB */
    return lines.first;
}

static int64_t time_left_ms(const struct transfer *transfer) {
    int64_t limit = transfer->request->call->call_timeout_ms;
    if (limit <= 0) return 0; /* none */
    int64_t left = limit - (clock_mono_ms() - transfer->began_ms);
    return left > 1 ? left : 1;
}

/* What all exchanges have in common. */
static void equip(struct transfer *transfer) {
    CURL *easy = transfer->handle.easy;
    wire_equip(transfer->upstream->wire, easy);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->detail);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_sending);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else the loop would wait for the resolver's thread */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");      /* nothing from http_proxy and its like */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
}

/* ---- a failure in words ---- */

struct peer {
    char name[320], origin[320]; /* "host:port" or "the socket /…", "https://host:port" */
};

static void describe(const char *source, const char *unix_socket, struct peer *peer) {
    struct url url;
    *peer = (struct peer){0};
    if (!url_parse(text_of(source), &url, NULL)) return;
    struct buf text;
    buf_init(&text, sizeof peer->name - 1);
    if (unix_socket) buf_addf(&text, "the socket %s", unix_socket);
    else buf_addf(&text, "%.*s:%d", TEXT_ARG(url.host), url_port(&url));
    memcpy(peer->name, buf_cstr(&text), text.len + 1);
    buf_clear(&text);
    buf_addf(&text, "%.*s://%.*s:%d", TEXT_ARG(url.scheme), TEXT_ARG(url.host), url_port(&url));
    memcpy(peer->origin, buf_cstr(&text), text.len + 1);
    buf_fini(&text);
}

static void explain(struct transfer *transfer, CURLcode result) {
    const struct stage_call *call = transfer->request->call;
    struct peer peer;
    describe(transfer->hop.url, transfer->request->unix_socket, &peer);
    struct failure failure = {.result = result,
                              .peer = peer.name,
                              .origin = peer.origin,
                              .method = transfer->hop.method,
                              .sent = transfer->sent,
                              .answered = transfer->head.len > 0,
                              .too_large = transfer->too_large,
                              .too_many_headers = transfer->too_many_headers,
                              .refused_resend = transfer->refused_resend,
                              .detail = transfer->detail,
                              .connect_timeout_ms = call->connect_timeout_ms,
                              .call_timeout_ms = call->call_timeout_ms,
                              .max_reply_bytes = call->max_reply_bytes};
    transfer->timed_out = failure_explain(transfer->handle.easy, &failure, &transfer->fault);
}

/* ---- an exchange ---- */

static void renew(struct transfer *transfer) {
    handle_reset(&transfer->handle);
    equip(transfer);
    transfer->worn = false;
}

static void fail_soon(struct transfer *transfer) {
    transfer->state = FAILING;
    loop_timer_set(&transfer->timer, 0);
}

static void hop_send(struct transfer *transfer) {
    const struct request *request = transfer->request;
    const struct stage_call *call = request->call;
    const struct hop *hop = &transfer->hop;
    const struct exchange_options options = {.origin = transfer->origin,
                                             .target = origin_target(transfer->arena, hop->url),
                                             .method = hop->method,
                                             .has_body = request->has_body && !hop->rewritten,
                                             .body = request->body,
                                             .headers = write_head(transfer),
                                             .unix_socket = request->unix_socket,
                                             .timeout_ms = time_left_ms(transfer),
                                             .connect_timeout_ms = call->connect_timeout_ms,
                                             .max_idle_s = may_repeat(transfer) ? KEPT_OPEN_S : KEPT_OPEN_CAREFUL_S,
                                             /* Stops at a Content-Length that is too large; chunked ones are counted in
                                              * on_body. HEAD announces what it does not send. */
                                             .max_bytes = strcmp(hop->method, "HEAD") == 0 ? 0 : call->max_reply_bytes,
                                             .tls = &call->tls,
                                             .own_origin = hop->own_origin};
    handle_fill(&transfer->handle, &options);
    transfer->state = SENDING;
    wire_start(transfer->upstream->wire, transfer->handle.easy);
}

static int64_t patience_ms(const struct transfer *transfer) {
    int64_t connect = transfer->request->call->connect_timeout_ms, left = time_left_ms(transfer);
    if (connect <= 0) connect = 60000;
    return left > 0 && left < connect ? left : connect;
}

static void hop_begin(struct transfer *transfer) {
    transfer->sent = false;
    transfer->head_ended = false;
    transfer->detail[0] = 0;
    buf_clear(&transfer->head);
    buf_clear(&transfer->body);
    if (transfer->worn) renew(transfer);
    transfer->origin = origins_find(transfer->upstream->origins, transfer->hop.url);
    if (!transfer->origin) {
        explain(transfer, CURLE_URL_MALFORMAT);
        fail_soon(transfer);
        return;
    }
    transfer->seat.owner = transfer;
    if (transfer->request->unix_socket || lookups_enter(transfer->upstream->lookups, transfer->origin->host,
                                                        &transfer->seat, loop_mono_ms(transfer->upstream->loop))) {
        hop_send(transfer);
        return;
    }
    transfer->state = WAITING;
    loop_timer_set(&transfer->timer, patience_ms(transfer));
}

/* ---- a reply from what came ---- */

/* What templates and reports get is UTF-8 without control characters, whatever was sent. In place, but for what is not
 * UTF-8; there is room for a NUL behind the text. */
static const char *clean(struct arena *arena, struct text text) {
    char *at = (char *)(uintptr_t)text.at, all = 0;
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)at[i] < 0x20 || at[i] == 0x7F) at[i] = ' ';
        all |= at[i];
    }
    at[text.len] = 0;
    bool is_ascii = !(all & 0x80);
    return is_ascii || text_utf8_check(text) ? at : json_text(json_new_text(arena, text)).at;
}

static void read_headers(struct transfer *transfer, struct reply *reply) {
    struct arena *arena = transfer->arena;
    struct text head = {arena_copy(arena, buf_cstr(&transfer->head), transfer->head.len + 1), transfer->head.len};
    struct text line, name;
    struct reply_header *headers = arena_array_of(arena, struct reply_header, transfer->head_lines + 1);
    text_cut(&head, '\n', &line); /* the status line */
    while (text_cut(&head, '\n', &line)) {
        if (line.len == 0 || !memchr(line.at, ':', line.len)) continue;
        text_cut(&line, ':', &name);
        headers[reply->header_count++] = (struct reply_header){clean(arena, text_trim(name)),
                                                               clean(arena, text_trim(line))};
    }
    reply->headers = headers;
}

/* ---- the end ---- */

static void transfer_free(struct transfer *transfer) {
    handle_fini(&transfer->handle);
    buf_fini(&transfer->head);
    buf_fini(&transfer->body);
    mem_free(transfer);
}

static void pool_put(struct transfer *transfer) {
    struct upstream *upstream = transfer->upstream;
    if (upstream->pool_count + 1 > POOL_MAX) {
        transfer_free(transfer);
        return;
    }
    if (transfer->worn) renew(transfer);
    else handle_empty(&transfer->handle);
    if (transfer->body.cap > POOL_BODY_MAX) buf_fini(&transfer->body);
    transfer->next = upstream->pool;
    upstream->pool = transfer;
    upstream->pool_count++;
}

static void finish(struct transfer *transfer, struct reply *reply) {
    void (*done)(void *, const struct reply *) = transfer->done;
    void *arg = transfer->arg;
    reply->url = arena_strdup(transfer->arena, transfer->hop.url);
    reply->took_ms = clock_mono_ms() - transfer->began_ms;
    count_add(COUNT_CALLS_IN_FLIGHT, -1);
    count_observe(COUNT_HISTOGRAM_CALL_MS, reply->took_ms);
    pool_put(transfer);
    done(arg, reply);
}

/* Of `fault`. */
static void finish_failed(struct transfer *transfer) {
    struct reply *reply = arena_new_of(transfer->arena, struct reply);
    reply->fault = transfer->fault;
    reply->timed_out = transfer->timed_out;
    reply->phase = transfer->sent || transfer->sent_before ? REPLY_MAYBE_ACTED_ON : REPLY_NEVER_SENT;
    finish(transfer, reply);
}

static void leave_lookup(struct transfer *transfer) {
    struct lookup_seat *leader = lookup_leave(&transfer->seat);
    if (leader) start_soon(leader->owner);
}

/* For a leader that has ended without sending: what it learned is for those who wait. */
static void settle_lookup(struct transfer *transfer, CURLcode result) {
    if (!lookup_leads(&transfer->seat)) return;
    if (result == CURLE_OPERATION_TIMEDOUT) { /* its own time was up; others may have more */
        leave_lookup(transfer);
        return;
    }
    if (result != CURLE_COULDNT_RESOLVE_HOST) {
        address_found(transfer);
        return;
    }
    struct lookup_seat *seat = lookup_settle(&transfer->seat, false, loop_mono_ms(transfer->upstream->loop));
    for (struct lookup_seat *next; seat; seat = next) {
        next = seat->next;
        struct transfer *other = seat->owner;
        explain(other, result);
        fail_soon(other);
    }
}

static void on_timer(void *arg) {
    struct transfer *transfer = arg;
    switch (transfer->state) {
    case STARTING: hop_send(transfer); break;
    case WAITING:
        leave_lookup(transfer);
        explain(transfer, CURLE_OPERATION_TIMEDOUT);
        finish_failed(transfer);
        break;
    case FAILING: finish_failed(transfer); break;
    case SENDING:
    case READING: break;
    }
}

static void on_read(void *arg) {
    struct transfer *transfer = arg;
    finish(transfer, transfer->reply);
}

/* What is too large to be copied is too large for the loop to parse. */
static void read_body(struct transfer *transfer, struct reply *reply) {
    size_t len = transfer->body.len;
    if (len <= POOL_BODY_MAX) {
        reply->body = (struct text){arena_strndup(transfer->arena, buf_cstr(&transfer->body), len), len};
        finish(transfer, reply);
        return;
    }
    transfer->state = READING;
    transfer->reply = reply;
    transfer->reading = reader_begin(transfer->upstream->reader, transfer->arena, reply, buf_take(&transfer->body), len,
                                     on_read, transfer);
}

static void follow(struct transfer *transfer, const struct hop *next) {
    transfer->hop = *next;
    transfer->redirects++;
    transfer->sent_before = true;
    hop_begin(transfer);
}

static struct reply *read_reply(struct transfer *transfer) {
    struct reply *reply = arena_new_of(transfer->arena, struct reply);
    long code = 0;
    curl_easy_getinfo(transfer->handle.easy, CURLINFO_RESPONSE_CODE, &code);
    reply->phase = REPLY_ANSWERED;
    reply->code = (int)code;
    read_headers(transfer, reply);
    return reply;
}

static void refuse_redirect(struct transfer *transfer) {
    struct peer peer;
    describe(transfer->hop.url, transfer->request->unix_socket, &peer);
    fault_place(&transfer->fault, "%s", peer.origin);
    finish_failed(transfer);
}

static void on_ended(void *owner, CURLcode result) {
    struct transfer *transfer = owner;
    settle_lookup(transfer, result);
    if (result != CURLE_OK) {
        transfer->worn = true;
        explain(transfer, result);
        finish_failed(transfer);
        return;
    }
    struct reply *reply = read_reply(transfer);
    struct hop next;
    switch (redirect_judge(transfer->arena, transfer->request, &transfer->hop, reply, transfer->redirects, &next,
                           &transfer->fault)) {
    case REDIRECT_FOLLOW: follow(transfer, &next); return;
    case REDIRECT_REFUSED: refuse_redirect(transfer); return;
    case REDIRECT_NONE: break;
    }
    read_body(transfer, reply);
}

/* ---- the beginning ---- */

static bool check_headers(const struct request *request, struct fault *fault) {
    for (size_t i = 0; i < request->header_count; i++) {
        const struct request_header *header = &request->headers[i];
        if (!text_token_check(text_of(header->name)))
            return fault_set(fault, FAULT_INVALID, NULL, "the name of header %zu is not a token", i + 1);
        if (stage_header_is_ours(header->name))
            return fault_set(fault, FAULT_INVALID, NULL, "a request may not set the header %s", header->name);
        if (!request_value_check(header->value))
            return fault_set(fault, FAULT_INVALID, NULL, "the header %s holds a control character", header->name);
    }
    return true;
}

static bool check_credentials(const struct request *request, struct fault *fault) {
    const char *const values[] = {request->user, request->password, request->token};
    if (request->auth == AUTH_NONE) return true;
    for (size_t i = 0; i < 3; i++)
        if (values[i] && !request_value_check(values[i]))
            return fault_set(fault, FAULT_INVALID, NULL, "the credentials hold a control character");
    if (request->auth == AUTH_BASIC && request->user && strchr(request->user, ':'))
        return fault_set(fault, FAULT_INVALID, NULL, "the user of basic auth may not hold a colon (RFC 7617)");
    return true;
}

static bool check_request(const struct request *request, struct fault *fault) {
    if (!text_token_check(text_of(request->method)) || strcmp(request->method, "CONNECT") == 0)
        return fault_set(fault, FAULT_INVALID, NULL, "the method is not one that a call can have");
    if (strcmp(request->method, "HEAD") == 0 && request->has_body)
        return fault_set(fault, FAULT_INVALID, NULL, "a HEAD request has no body");
    return check_headers(request, fault) && check_credentials(request, fault);
}

/* The last look before curl, which writes what it is given. */
static bool check(const struct request *request, struct fault *fault) {
    struct url url;
    struct peer peer;
    if (!url_parse(text_of(request->url), &url, fault)) return false;
    if (check_request(request, fault)) return true;
    describe(request->url, request->unix_socket, &peer);
    fault_place(fault, "%s", peer.origin);
    return false;
}

/* One that called the same origin before, since it has the TLS session of that origin (curl keeps five a handle); else
 * the one that has rested longest, once there are many. */
static struct transfer *pool_take(struct upstream *upstream, const struct origin *origin) {
    struct transfer **at = &upstream->pool;
    while (*at && (*at)->next && (*at)->handle.origin != origin) at = &(*at)->next;
    struct transfer *transfer = *at;
    if (!transfer || (transfer->handle.origin != origin && upstream->pool_count + 1 <= POOL_MAX)) return NULL;
    *at = transfer->next;
    upstream->pool_count--;
    return transfer;
}

static struct transfer *transfer_new(struct upstream *upstream, const struct origin *origin) {
    struct transfer *transfer = pool_take(upstream, origin);
    if (!transfer) {
        transfer = mem_alloc(sizeof *transfer);
        transfer->upstream = upstream;
        handle_init(&transfer->handle);
        equip(transfer);
        return transfer;
    }
    *transfer = (struct transfer){
        .upstream = upstream, .handle = transfer->handle, .head = transfer->head, .body = transfer->body};
    return transfer;
}

static size_t body_max(const struct request *request) {
    int64_t max = request->call->max_reply_bytes;
    return max > 0 ? (size_t)max : 0;
}

struct transfer *transfer_begin(struct upstream *upstream, const struct request *request, struct arena *arena,
                                void (*done)(void *arg, const struct reply *reply), void *arg) {
    struct fault fault;
    bool good = check(request, &fault);
    const struct origin *origin = good ? origins_find(upstream->origins, request->url) : NULL;
    struct transfer *transfer = transfer_new(upstream, origin);
    transfer->request = request;
    transfer->arena = arena;
    transfer->done = done;
    transfer->arg = arg;
    transfer->began_ms = clock_mono_ms();
    transfer->hop = (struct hop){.method = request->method, .url = request->url, .own_origin = true};
    transfer->head.max = HEAD_MAX;
    transfer->body.max = body_max(request);
    count_add(COUNT_CALLS_IN_FLIGHT, 1);
    loop_timer_init(&transfer->timer, upstream->loop, "transfer", on_timer, transfer);
    if (good) {
        hop_begin(transfer);
    } else {
        transfer->fault = fault;
        fail_soon(transfer);
    }
    return transfer;
}

void transfer_cancel(struct transfer *transfer) {
    count_add(COUNT_CALLS_IN_FLIGHT, -1);
    loop_timer_clear(&transfer->timer);
    if (transfer->state == SENDING) {
        wire_stop(transfer->upstream->wire, transfer->handle.easy);
        transfer->worn = true;
    }
    if (transfer->state == READING) reader_cancel(transfer->reading);
    leave_lookup(transfer);
    pool_put(transfer);
}

void upstream_global_init(void) {
    curl_global_init(CURL_GLOBAL_ALL); /* never undone: a resolver's thread may outlive its transfer */
    trust_global_init();
}

static char *user_agent_line(const char *user_agent) {
    struct buf line;
    buf_init(&line, REQUEST_MAX_BYTES);
    buf_adds(&line, "User-Agent: ");
    buf_adds(&line, user_agent);
    return buf_take(&line);
}

struct upstream *upstream_new(struct loop *loop, const struct upstream_settings *settings) {
    struct upstream *upstream = mem_alloc(sizeof *upstream);
    upstream->loop = loop;
    upstream->wire = wire_new(loop, settings->max_connections, on_ended);
    upstream->lookups = lookups_new();
    upstream->reader = reader_new(loop);
    upstream->origins = origins_new();
    upstream->user_agent = user_agent_line(settings->user_agent);
    return upstream;
}

void upstream_free(struct upstream *upstream) {
    if (!upstream) return;
    while (upstream->pool) {
        struct transfer *transfer = upstream->pool;
        upstream->pool = transfer->next;
        transfer_free(transfer);
    }
    wire_free(upstream->wire);
    lookups_free(upstream->lookups);
    reader_free(upstream->reader);
    origins_free(upstream->origins);
    mem_free(upstream->user_agent);
    mem_free(upstream);
}
