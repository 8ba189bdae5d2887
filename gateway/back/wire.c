/* libcurl's multi-socket interface on the loop.
 *
 * curl tells which descriptors and which one timer it waits for; we tell it what happened, and then collect the handles
 * that have ended. transfer.c is the only caller. No function of a user ever runs inside a callback of curl, so handles
 * may be started and stopped anywhere.
 *
 * Between two calls on a kept-open connection curl gives its descriptor up and asks for it again. The watch stays armed
 * over that gap: two epoll_ctl fewer a call. Should the peer speak or close in the gap, the watch is put to rest (curl
 * looks at the connection before it uses it again). That is sound only for descriptors whose close we see, so it is
 * done for those that open_socket made; the resolver's, which curl closes in silence, are given up at once. */
#include "back/wire.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

struct seat { /* one a descriptor */
    struct loop_watch *watch;
    int wanted; /* what curl waits for; 0 in the gap between two calls */
    int armed;  /* what the watch waits for */
    bool ours;  /* made by open_socket */
};

struct wire {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer;
    struct seat *seats; /* by descriptor */
    size_t seat_count;
    int added; /* handles in the multi */
    size_t max_connections;
    void (*done)(void *, CURLcode);
    bool collect_waits; /* a message to the loop is under way */
    bool collecting;
    bool dead; /* freed in either; its memory goes when they are over */
};

static struct seat *seat_of(struct wire *wire, int fd) {
    size_t index = (size_t)fd;
    if (index >= wire->seat_count) {
        size_t count = index + 64;
        wire->seats = mem_resize(wire->seats, count * sizeof *wire->seats);
        for (size_t i = wire->seat_count; i < count; i++) wire->seats[i] = (struct seat){0};
        wire->seat_count = count;
    }
    return &wire->seats[index];
}

static void seat_clear(struct seat *seat) {
    loop_watch_free(seat->watch);
    *seat = (struct seat){0};
}

static void collect(struct wire *wire) {
    if (wire->collecting) return; /* a `done` below us has started another handle: the loop there goes on with it */
    wire->collecting = true;
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(wire->multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result; /* gone once the handle is removed */
        void *owner = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&owner);
        curl_multi_remove_handle(wire->multi, easy);
        wire->added--;
        wire->done(owner, result);
        if (wire->dead) break;
    }
    wire->collecting = false;
    if (wire->dead && !wire->collect_waits) mem_free(wire);
}

static void collect_later(void *arg) {
    struct wire *wire = arg;
    wire->collect_waits = false;
    if (wire->dead) mem_free(wire);
    else collect(wire);
}

/* Returns whether some handle has ended. */
static bool act(struct wire *wire, curl_socket_t fd, int events) {
    int running = 0;
    curl_multi_socket_action(wire->multi, fd, events, &running);
    return running < wire->added;
}

static void on_timer(void *arg) {
    struct wire *wire = arg;
    if (act(wire, CURL_SOCKET_TIMEOUT, 0)) collect(wire);
}

static void on_watch(void *arg, int fd, int events) {
    struct wire *wire = arg;
    struct seat *seat = seat_of(wire, fd);
    if (!seat->wanted) {
        loop_watch_change(seat->watch, 0);
        seat->armed = 0;
        return;
    }
    int mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
    if (act(wire, fd, mask)) collect(wire);
}

/* ---- what curl calls ---- */

static int want_timer(CURLM *multi, long delay_ms, void *arg) {
    (void)multi;
    struct wire *wire = arg;
    if (delay_ms < 0) loop_timer_clear(&wire->timer);
    else loop_timer_set(&wire->timer, delay_ms);
    return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused) {
    (void)easy, (void)unused;
    struct wire *wire = arg;
    struct seat *seat = seat_of(wire, fd);
    seat->wanted = what == CURL_POLL_IN      ? LOOP_READ
                   : what == CURL_POLL_OUT   ? LOOP_WRITE
                   : what == CURL_POLL_INOUT ? LOOP_READ | LOOP_WRITE
                                             : 0;
    if (what == CURL_POLL_REMOVE && !seat->ours) {
        seat_clear(seat);
    } else if (!seat->watch) {
        seat->watch = loop_watch_new(wire->loop, fd, seat->wanted, "upstream", on_watch, wire);
        seat->armed = seat->wanted;
    } else if (seat->wanted != seat->armed && (seat->wanted || seat->armed != LOOP_READ)) {
        loop_watch_change(seat->watch, seat->wanted);
        seat->armed = seat->wanted;
    }
    return 0;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    struct wire *wire = arg;
    bool known = address->family == AF_INET || address->family == AF_INET6 || address->family == AF_UNIX;
    if (!known) return CURL_SOCKET_BAD;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) return CURL_SOCKET_BAD;
    seat_of(wire, fd)->ours = true;
    return fd;
}

static int close_socket(void *arg, curl_socket_t fd) {
    struct wire *wire = arg;
    seat_clear(seat_of(wire, fd));
    return close(fd);
}

/* ---- for transfer.c ---- */

struct wire *wire_new(struct loop *loop, size_t max_connections, void (*done)(void *owner, CURLcode result)) {
    struct wire *wire = mem_alloc(sizeof *wire);
    wire->loop = loop;
    wire->done = done;
    wire->max_connections = max_connections;
    loop_timer_init(&wire->timer, loop, "upstream_timer", on_timer, wire);
    wire->multi = curl_multi_init();
    curl_multi_setopt(wire->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(wire->multi, CURLMOPT_SOCKETDATA, wire);
    curl_multi_setopt(wire->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(wire->multi, CURLMOPT_TIMERDATA, wire);
    curl_multi_setopt(wire->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return wire;
}

void wire_free(struct wire *wire) {
    if (!wire) return;
    curl_multi_cleanup(wire->multi); /* closes the connections, through close_socket */
    loop_timer_clear(&wire->timer);
    for (size_t i = 0; i < wire->seat_count; i++) seat_clear(&wire->seats[i]);
    mem_free(wire->seats);
    wire->dead = true;
    if (!wire->collect_waits && !wire->collecting) mem_free(wire);
}

void wire_equip(struct wire *wire, CURL *easy) {
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, wire);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, wire);
}

/* What curl compares its limit with is all of its connections, those at work too: calls that wait for one slow upstream
 * would leave no room for the idle ones of all others. */
static void keep_enough(struct wire *wire) {
    curl_multi_setopt(wire->multi, CURLMOPT_MAXCONNECTS, (long)wire->added + (long)wire->max_connections);
}

void wire_start(struct wire *wire, CURL *easy) {
    curl_multi_add_handle(wire->multi, easy);
    wire->added++;
    keep_enough(wire);
    /* Sends at once where a connection is open, instead of in the loop's next pass. */
    if (act(wire, CURL_SOCKET_TIMEOUT, 0) && !wire->collecting && !wire->collect_waits) {
        wire->collect_waits = true;
        loop_later(wire->loop, collect_later, wire);
    }
}

void wire_stop(struct wire *wire, CURL *easy) {
    curl_multi_remove_handle(wire->multi, easy);
    wire->added--;
}
