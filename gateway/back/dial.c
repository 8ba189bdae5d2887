/* Connections are made by libcurl: it looks names up in a thread and remembers them for a minute, tries the addresses
 * of a host side by side (RFC 8305), and knows unix sockets. That is all it does here (CURLOPT_CONNECT_ONLY): TLS and
 * HTTP are spoken by ourselves, on the socket that it has made.
 *
 * The socket is taken out of curl as soon as it is connected, and its handle goes to the next one that dials. Left in
 * curl 7.88 it would not be safe: a handle that opens a connection looks through all others, once a second
 * (prune_dead_connections), and closes what it takes for dead, with what is still to be read there, and what was silent
 * for two minutes, as a slow call is. curl closes a socket through close_socket, which leaves the one open that is
 * being taken.
 *
 * curl tells which descriptors and which one timer it waits for; we tell it what happened, and then collect the handles
 * that have ended. No function of a user but `found` ever runs inside a callback of curl.
 */
#include "back/dial.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#ifdef MEM_SINGLE
#define REST_MAX 0 /* so that AddressSanitizer sees the end of each */
#else
#define REST_MAX 16
#endif

struct dial {
    struct dial *next; /* at rest */
    struct dialer *dialer;
    CURL *easy;
    bool found;
    struct dial_order order;
};

struct dialer {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer; /* curl's */
    struct loop_timer soon;  /* collects what has ended in dial_begin */
    int added;               /* handles in the multi */
    int taking;              /* the socket that curl closes and we keep; -1: none */
    struct dial *resting;
    size_t rest_count;
    bool collecting;
};

/* ---- ends ---- */

static void rest(struct dial *dial) {
    struct dialer *dialer = dial->dialer;
    if (dialer->rest_count + 1 > REST_MAX) {
        curl_easy_cleanup(dial->easy);
        mem_free(dial);
        return;
    }
    dial->next = dialer->resting;
    dialer->resting = dial;
    dialer->rest_count++;
}

static void leave_multi(struct dial *dial) {
    curl_multi_remove_handle(dial->dialer->multi, dial->easy);
    dial->dialer->added--;
}

/* The socket stays, and everything that curl has of it goes. */
static int take_socket(struct dial *dial) {
    struct dialer *dialer = dial->dialer;
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(dial->easy, CURLINFO_ACTIVESOCKET, &fd);
    dialer->taking = fd;
    leave_multi(dial);
    dialer->taking = -1;
    return fd;
}

static void end(struct dial *dial, CURLcode result) {
    struct dial_end told = {.fd = -1, .result = result};
    if (result == CURLE_OK) {
        told.fd = take_socket(dial);
        if (told.fd < 0) told.result = CURLE_COULDNT_CONNECT; /* the peer has closed it again */
    } else {
        long error = 0;
        curl_easy_getinfo(dial->easy, CURLINFO_OS_ERRNO, &error);
        told.error = (int)error;
        leave_multi(dial);
    }
    struct dial_order order = dial->order;
    rest(dial);
    order.done(order.arg, &told);
}

static void collect(struct dialer *dialer) {
    if (dialer->collecting) return; /* a `done` below us has begun another one: the loop there goes on with it */
    dialer->collecting = true;
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(dialer->multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode result = message->data.result; /* gone once the handle is removed */
        void *dial = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&dial);
        end(dial, result);
    }
    dialer->collecting = false;
}

static void on_soon(void *arg) {
    collect(arg);
}

/* Returns whether some handle has ended. */
static bool act(struct dialer *dialer, curl_socket_t fd, int events) {
    int running = 0;
    curl_multi_socket_action(dialer->multi, fd, events, &running);
    return running < dialer->added;
}

static void on_timer(void *arg) {
    struct dialer *dialer = arg;
    if (act(dialer, CURL_SOCKET_TIMEOUT, 0)) collect(dialer);
}

static void on_watch(void *arg, int fd, int events) {
    struct dialer *dialer = arg;
    int mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
    if (act(dialer, fd, mask)) collect(dialer);
}

/* ---- what curl calls ---- */

static int want_timer(CURLM *multi, long delay_ms, void *arg) {
    (void)multi;
    struct dialer *dialer = arg;
    if (delay_ms < 0) loop_timer_clear(&dialer->timer);
    else loop_timer_set(&dialer->timer, delay_ms);
    return 0;
}

/* curl keeps the watch of each descriptor for us. It gives one up before it closes the descriptor. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *kept) {
    (void)easy;
    struct dialer *dialer = arg;
    struct loop_watch *watch = kept;
    int events = what == CURL_POLL_IN      ? LOOP_READ
                 : what == CURL_POLL_OUT   ? LOOP_WRITE
                 : what == CURL_POLL_INOUT ? LOOP_READ | LOOP_WRITE
                                           : 0;
    if (what == CURL_POLL_REMOVE) {
        loop_watch_free(watch);
    } else if (watch) {
        loop_watch_change(watch, events);
    } else {
        watch = loop_watch_new(dialer->loop, fd, events, "upstream_dial", on_watch, dialer);
        curl_multi_assign(dialer->multi, fd, watch);
    }
    return 0;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    struct dial *dial = arg;
    bool known = address->family == AF_INET || address->family == AF_INET6 || address->family == AF_UNIX;
    if (!known) return CURL_SOCKET_BAD;
    if (!dial->found) {
        dial->found = true;
        dial->order.found(dial->order.arg);
    }
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int close_socket(void *arg, curl_socket_t fd) {
    struct dial *dial = arg;
    return fd == dial->dialer->taking ? 0 : close(fd);
}

/* ---- for transfer.c ---- */

struct dialer *dialer_new(struct loop *loop) {
    struct dialer *dialer = mem_alloc(sizeof *dialer);
    *dialer = (struct dialer){.loop = loop, .multi = curl_multi_init(), .taking = -1};
    loop_timer_init(&dialer->timer, loop, "upstream_dial", on_timer, dialer);
    loop_timer_init(&dialer->soon, loop, "upstream_dial", on_soon, dialer);
    curl_multi_setopt(dialer->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(dialer->multi, CURLMOPT_SOCKETDATA, dialer);
    curl_multi_setopt(dialer->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(dialer->multi, CURLMOPT_TIMERDATA, dialer);
    return dialer;
}

void dialer_free(struct dialer *dialer) {
    if (!dialer) return;
    while (dialer->resting) {
        struct dial *dial = dialer->resting;
        dialer->resting = dial->next;
        curl_easy_cleanup(dial->easy);
        mem_free(dial);
    }
    curl_multi_cleanup(dialer->multi);
    loop_timer_clear(&dialer->timer);
    loop_timer_clear(&dialer->soon);
    mem_free(dialer);
}

/* What all have in common. */
static struct dial *dial_new(struct dialer *dialer) {
    struct dial *dial = mem_alloc(sizeof *dial);
    *dial = (struct dial){.dialer = dialer, .easy = curl_easy_init()};
    CURL *easy = dial->easy;
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, dial);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, dial);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, dial);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else the loop would wait for the resolver's thread */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");      /* nothing from http_proxy and its like */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    return dial;
}

struct dial *dial_begin(struct dialer *dialer, const struct dial_order *order) {
    struct dial *dial = dialer->resting;
    if (dial) {
        dialer->resting = dial->next;
        dialer->rest_count--;
    } else {
        dial = dial_new(dialer);
    }
    dial->order = *order;
    dial->found = false;
    curl_easy_setopt(dial->easy, CURLOPT_URL, order->url);
    curl_easy_setopt(dial->easy, CURLOPT_UNIX_SOCKET_PATH, order->unix_socket);
    /* A little more than the caller's own timer, which knows what to say. */
    curl_easy_setopt(dial->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)order->patience_ms + 1000);
    curl_multi_add_handle(dialer->multi, dial->easy);
    dialer->added++;
    if (act(dialer, CURL_SOCKET_TIMEOUT, 0)) loop_timer_set(&dialer->soon, 0);
    return dial;
}

bool dial_found(const struct dial *dial) {
    return dial->found;
}

void dial_cancel(struct dial *dial) {
    leave_multi(dial);
    rest(dial);
}
