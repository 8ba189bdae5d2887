/* Connections under calls: kept, closed, lost, cut into pieces, and upstreams that mean no good. Over TCP, unix sockets
 * and TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "transfer_world.h"

/* Stands between the gateway and its sockets, for what is sent: pieces as small as they may be, or an end. */
static struct {
    size_t at_most;     /* bytes a call; every other call has no room at all; 0: whatever goes */
    unsigned fail_in;   /* the so-many-th call from now on fails with EPIPE; 0: none */
    size_t fail_behind; /* after so many bytes */
    bool was_full;
    unsigned calls;
    int nodelay, keepalive, on_exec; /* of the last socket */
} wire;

/* How many bytes this call may send; 0: it fails, and errno says how. */
static size_t wire_takes(void) {
    wire.calls++;
    if (wire.fail_in && --wire.fail_in == 0) {
        size_t part = wire.fail_behind;
        wire.fail_behind = 0;
        wire.fail_in = part ? 1 : 0;
        errno = EPIPE;
        return part;
    }
    if (!wire.at_most) return SIZE_MAX;
    wire.was_full = !wire.was_full;
    errno = EAGAIN;
    return wire.was_full ? 0 : wire.at_most;
}

/* Of TLS; others who send without MSG_DONTWAIT are the upstream's. */
ssize_t send(int fd, const void *at, size_t len, int flags) {
    ssize_t (*real)(int, const void *, size_t, int);
    *(void **)&real = dlsym(RTLD_NEXT, "send");
    size_t most = flags & MSG_DONTWAIT ? wire_takes() : SIZE_MAX;
    if (!most) return -1;
    return real(fd, at, len < most ? len : most, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    ssize_t (*real)(int, const struct msghdr *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "sendmsg");
    socklen_t size = sizeof(int);
    wire.nodelay = wire.keepalive = 0;
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &wire.nodelay, &size);
    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &wire.keepalive, &size);
    wire.on_exec = fcntl(fd, F_GETFD);
    size_t most = wire_takes();
    if (most == SIZE_MAX) return real(fd, message, flags);
    struct iovec first = message->msg_iov[0].iov_len ? message->msg_iov[0] : message->msg_iov[1];
    if (first.iov_len > most) first.iov_len = most;
    if (!most) return -1;
    struct msghdr less = {.msg_iov = &first, .msg_iovlen = 1};
    return real(fd, &less, flags);
}

/* 127.0.0.2 refuses, but only after a while, as a host does that is not this one. */
static int refused_fd = -1;

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t size) {
    int (*real)(int, const struct sockaddr *, socklen_t);
    *(void **)&real = dlsym(RTLD_NEXT, "connect");
    const struct sockaddr_in *to = address.__sockaddr_in__;
    if (to->sin_family != AF_INET || ntohl(to->sin_addr.s_addr) != INADDR_LOOPBACK + 1)
        return real(fd, address.__sockaddr__, size);
    refused_fd = fd;
    errno = EINPROGRESS;
    return -1;
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size) {
    if (fd != refused_fd || level != SOL_SOCKET || name != SO_ERROR)
        return (int)syscall(SYS_getsockopt, fd, level, name, value, size);
    refused_fd = -1;
    *(int *)value = ECONNREFUSED;
    return 0;
}

/* Time that has passed for this process alone. */
static atomic_llong skipped_ms;

int clock_gettime(clockid_t id, struct timespec *ret) {
    long failed = syscall(SYS_clock_gettime, id, ret);
    if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE) {
        long long ms = atomic_load(&skipped_ms) + ret->tv_nsec / 1000000;
        ret->tv_sec += ms / 1000;
        ret->tv_nsec = (long)(ms % 1000) * 1000000 + ret->tv_nsec % 1000000;
    }
    return (int)failed;
}

/* ---- ways to reach an upstream ---- */

enum way { BY_TCP, BY_UNIX, BY_TLS_13, BY_TLS_12, BY_UNIX_TLS, WAYS };

static const char *const way_names[] = {"TCP", "a unix socket", "TLS 1.3", "TLS 1.2", "TLS over a unix socket"};
static char socket_dir[] = "/tmp/test_channel.XXXXXX";

static void script_open(struct script *script, enum way way) {
    static char path[64];
    snprintf(path, sizeof path, "%s/socket", socket_dir);
    if (way == BY_UNIX || way == BY_UNIX_TLS) script->path = path;
    if (way >= BY_TLS_13) script->tls = server_context(0, NULL);
    if (way == BY_TLS_12) SSL_CTX_set_max_proto_version(script->tls, TLS1_2_VERSION);
    script_start(script);
}

static void script_close(struct script *script) {
    script_stop(script);
    SSL_CTX_free(script->tls);
    script_fini(script);
}

static struct request *add_by(struct world *world, enum way way, const char *method, const struct script *script) {
    const char *scheme = script->tls ? "https" : "http";
    size_t call = world_add(world, method, arena_printf(world->arena, "%s://127.0.0.1:%d/x", scheme, script->port));
    if (way == BY_UNIX) world->requests[call].url = "http://socket.test/x";
    if (way == BY_UNIX_TLS) world->requests[call].url = "https://127.0.0.1/x";
    world->requests[call].unix_socket = script->path;
    world->calls[call].tls = (struct stage_tls){.ca = tls_cert[0]};
    return &world->requests[call];
}

/* ---- a socket's own settings ---- */

static void test_socket(void **state) {
    (void)state;
    struct script script = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct world world;
    script_start(&script);
    world_init(&world);
    world_add_to(&world, "POST", &script, "/");
    world_run(&world);
    assert_phase(world.replies[0], REPLY_ANSWERED);
    assert_int_equal(wire.nodelay, 1);
    assert_int_equal(wire.keepalive, 1);
    assert_int_equal(wire.on_exec, FD_CLOEXEC);
    world_fini(&world);
    script_close(&script);
}

/* The first address refuses, later, and the socket that tries the second one gets the number of the first. */
static void test_second_address(void **state) {
    (void)state;
    struct script script = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct world world;
    script_start(&script);
    world_init(&world);
    world_add(&world, "POST", arena_printf(world.arena, "http://two.test:%d/", script.port));
    world_run(&world);
    assert_phase(world.replies[0], REPLY_ANSWERED);
    assert_true(world.replies[0]->took_ms < 4000);
    world_fini(&world);
    script_close(&script);
}

/* ---- Host ---- */

static void test_host_header(void **state) {
    (void)state;
    static const struct {
        const char *url, *host;
    } cases[] = {
        {"http://Socket.test/", "\r\nHost: socket.test\r\n"},
        {"HTTP://socket.test:08080/", "\r\nHost: socket.test:8080\r\n"},
        {"http://socket.test:80/", "\r\nHost: socket.test\r\n"},
        {"http://socket.test:443/", "\r\nHost: socket.test:443\r\n"},
        {"http://socket.test:8080?x", "\r\nHost: socket.test:8080\r\n"},
        {"http://[::1]/", "\r\nHost: [::1]\r\n"},
        {"http://[::1]:8080/", "\r\nHost: [::1]:8080\r\n"},
        {"http://socket.test./", "\r\nHost: socket.test.\r\n"},
        {"http://xn--bcher-kva.test/", "\r\nHost: xn--bcher-kva.test\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct script script = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
        struct world world;
        script_open(&script, BY_UNIX);
        world_init(&world);
        add_by(&world, BY_UNIX, "GET", &script)->url = cases[i].url;
        world_run(&world);
        assert_phase(world.replies[0], REPLY_ANSWERED);
        script_stop(&script);
        assert_holds(buf_cstr(&script.got), cases[i].host);
        assert_holds(buf_cstr(&script.got), "\r\nAccept: */*\r\n");
        world_fini(&world);
        script_fini(&script);
    }
}

/* ---- replies in pieces ---- */

/* Else what is written next waits until the gateway has confirmed what came before. */
static void write_through(const struct script_end *end) {
    int yes = 1;
    if (!end->script->path) assert_int_equal(setsockopt(end->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), 0);
}

static enum script_after byte_by_byte(struct script_end *end, unsigned index) {
    (void)index;
    write_through(end);
    for (const char *at = end->script->reply; *at; at++)
        if (!script_write(end, at, 1)) break;
    return end->script->after;
}

static const struct piece_case {
    const char *name, *reply;
    enum script_after after;
    bool is_reused;
} piece_cases[] = {
    {"a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", AFTER_KEEP, true},
    {"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\nA: b\r\n\r\n",
     AFTER_KEEP, true},
    {"100 and 103 before it",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
     "2\r\n\r\nhi",
     AFTER_KEEP, true},
    {"closed right behind it", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", AFTER_CLOSE, false},
    {"until its end", "HTTP/1.1 200 OK\r\n\r\nhi", AFTER_CLOSE, false},
    {"says that it ends", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", AFTER_KEEP, false},
    {"says too much", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 500 Lie\r\nContent-Length: 0\r\n\r\n",
     AFTER_KEEP, false},
};

static bool ends_cleanly(enum way way) { /* the script closes without a word of TLS */
    return way == BY_TCP || way == BY_UNIX;
}

static void run_pieces(enum way way, const struct piece_case *c, bool in_bytes) {
    struct script script = {.reply = c->reply, .after = c->after, .answer = in_bytes ? byte_by_byte : NULL};
    struct world world;
    if (c->after == AFTER_CLOSE && !strstr(c->reply, "Length") && !ends_cleanly(way)) return;
    if (in_bytes && strstr(c->reply, "Lie")) return; /* what comes later is an answer to what was asked meanwhile */
    script_open(&script, way);
    world_init(&world);
    for (int i = 0; i < 3; i++) add_by(&world, way, "GET", &script);
    world_run(&world);
    for (int i = 0; i < 3; i++) {
        assert_phase(world.replies[i], REPLY_ANSWERED);
        assert_int_equal(world.replies[i]->code, 200);
        assert_int_equal(world.replies[i]->body.len, 2);
        assert_memory_equal(world.replies[i]->body.at, "hi", 2);
    }
    world_fini(&world);
    script_stop(&script);
    if (c->is_reused) assert_int_equal(atomic_load(&script.connections), 1);
    else assert_int_equal(atomic_load(&script.connections), atomic_load(&script.requests));
    SSL_CTX_free(script.tls);
    script_fini(&script);
}

/* However it comes, and whatever comes behind it, a reply is the same. */
static void test_pieces(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof piece_cases / sizeof *piece_cases; i++) {
        print_message("  %s\n", piece_cases[i].name);
        for (int way = 0; way < WAYS; way++) run_pieces((enum way)way, &piece_cases[i], false);
        for (int way = 0; way < WAYS; way++) run_pieces((enum way)way, &piece_cases[i], true);
    }
}

/* With TLS, an end that nobody has announced may be somebody else's doing: no end of a body. */
static void test_cut_short(void **state) {
    (void)state;
    struct script script = {.reply = "HTTP/1.1 200 OK\r\n\r\nhi", .after = AFTER_CLOSE};
    struct world world;
    script_open(&script, BY_TLS_13);
    world_init(&world);
    add_by(&world, BY_TLS_13, "POST", &script);
    world_run(&world);
    assert_failed(world.replies[0], REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM, "broke in the middle of its reply");
    world_fini(&world);
    script_close(&script);
}

static enum script_after says_goodbye(struct script_end *end, unsigned index) {
    (void)index;
    script_puts(end, end->script->reply);
    SSL_shutdown(end->ssl);
    return AFTER_CLOSE;
}

static void test_said_goodbye(void **state) {
    (void)state;
    struct script script = {.reply = "HTTP/1.1 200 OK\r\n\r\nhi", .answer = says_goodbye};
    struct world world;
    script_open(&script, BY_TLS_13);
    world_init(&world);
    add_by(&world, BY_TLS_13, "POST", &script);
    world_run(&world);
    assert_phase(world.replies[0], REPLY_ANSWERED);
    assert_int_equal(world.replies[0]->body.len, 2);
    world_fini(&world);
    script_close(&script);
}

/* ---- requests in pieces ---- */

static void test_sent_in_pieces(void **state) {
    (void)state;
    for (int way = 0; way <= BY_UNIX; way++) {
        struct script script = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
        struct world world;
        script_open(&script, (enum way)way);
        world_init(&world);
        for (int i = 0; i < 3; i++) {
            struct request *request = add_by(&world, (enum way)way, "POST", &script);
            request->has_body = true;
            request->body = TEXT("{\"some\": \"body\"}");
        }
        wire.at_most = 1;
        wire.calls = 0;
        world_run(&world);
        wire.at_most = 0;
        for (int i = 0; i < 3; i++) assert_phase(world.replies[i], REPLY_ANSWERED);
        script_stop(&script);
        size_t len = script.got.len / 3;
        assert_true(wire.calls >= 2 * script.got.len);
        assert_string_equal(script.got.at + script.got.len - 16, "{\"some\": \"body\"}");
        assert_memory_equal(script.got.at, script.got.at + len, 2 * len);
        assert_int_equal(atomic_load(&script.connections), 1);
        world_fini(&world);
        script_fini(&script);
    }
}

#define LARGE (3 << 20)

static char large_byte(size_t i) {
    return (char)('a' + i * 2654435761u % 26);
}

static enum script_after large_reply(struct script_end *end, unsigned index) {
    (void)index;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n";
    char *body = mem_alloc(LARGE);
    for (size_t i = 0; i < LARGE; i++) body[i] = large_byte(i);
    script_puts(end, head);
    script_write(end, body, LARGE);
    mem_free(body);
    return AFTER_KEEP;
}

/* 3 MiB there, and 3 MiB back, twice over one connection. */
static void test_large_both_ways(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct script script = {.answer = large_reply};
        struct world world;
        script_open(&script, (enum way)way);
        world_init(&world);
        char *body = arena_alloc(world.arena, LARGE);
        for (size_t i = 0; i < LARGE; i++) body[i] = large_byte(i);
        for (int i = 0; i < 2; i++) {
            struct request *request = add_by(&world, (enum way)way, "POST", &script);
            request->has_body = true;
            request->body = (struct text){body, LARGE};
            world.calls[i].max_reply_bytes = LARGE;
        }
        world_run(&world);
        script_stop(&script);
        for (int i = 0; i < 2; i++) {
            assert_phase(world.replies[i], REPLY_ANSWERED);
            assert_int_equal(world.replies[i]->body.len, LARGE);
            assert_memory_equal(world.replies[i]->body.at, body, LARGE);
        }
        assert_memory_equal(script.got.at + script.got.len - LARGE, body, LARGE);
        assert_int_equal(atomic_load(&script.connections), 1);
        world_fini(&world);
        SSL_CTX_free(script.tls);
        script_fini(&script);
    }
}

/* ---- kept connections ---- */

static void test_kept(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct script script = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"};
        struct world world;
        print_message("  %s\n", way_names[way]);
        script_open(&script, (enum way)way);
        world_init(&world);
        for (int i = 0; i < CALLS_MAX; i++) add_by(&world, (enum way)way, i % 2 ? "GET" : "POST", &script);
        world_run(&world);
        for (int i = 0; i < CALLS_MAX; i++) assert_phase(world.replies[i], REPLY_ANSWERED);
        world_fini(&world);
        script_stop(&script);
        assert_int_equal(atomic_load(&script.requests), CALLS_MAX);
        assert_int_equal(atomic_load(&script.connections), 1);
        SSL_CTX_free(script.tls);
        script_fini(&script);
    }
}

/* Case, and zeros in front of a port, make no other upstream. */
static void test_kept_however_it_is_spelled(void **state) {
    (void)state;
    static const char *const spellings[] = {"http://kept.test:", "http://Kept.Test:", "HTTP://kept.test:00"};
    struct script script = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct world world;
    script_start(&script);
    world_init(&world);
    for (int i = 0; i < 3; i++)
        world_add(&world, "POST", arena_printf(world.arena, "%s%d/", spellings[i], script.port));
    world_run(&world);
    for (int i = 0; i < 3; i++) assert_phase(world.replies[i], REPLY_ANSWERED);
    world_fini(&world);
    script_stop(&script);
    assert_int_equal(atomic_load(&script.requests), 3);
    assert_int_equal(atomic_load(&script.connections), 1);
    script_fini(&script);
}

/* Two are kept: the one that has rested longest goes. */
static void test_kept_are_counted(void **state) {
    (void)state;
    static const unsigned order[] = {0, 1, 2, 2, 1, 0}, connections[] = {2, 1, 1};
    struct script scripts[3];
    struct world world;
    world_init_for(&world, 2);
    for (int i = 0; i < 3; i++) {
        scripts[i] = (struct script){.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
        script_start(&scripts[i]);
    }
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) world_add_to(&world, "GET", &scripts[order[i]], "/");
    world_run(&world);
    for (size_t i = 0; i < world.count; i++) assert_phase(world.replies[i], REPLY_ANSWERED);
    world_fini(&world);
    for (int i = 0; i < 3; i++) {
        script_stop(&scripts[i]);
        assert_int_equal(atomic_load(&scripts[i].connections), connections[i]);
        assert_int_equal(atomic_load(&scripts[i].requests), 2);
        script_fini(&scripts[i]);
    }
}

static void test_none_kept(void **state) {
    (void)state;
    struct script script = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct world world;
    script_start(&script);
    world_init_for(&world, 0);
    for (int i = 0; i < 3; i++) world_add_to(&world, "GET", &script, "/");
    world_run(&world);
    world_fini(&world);
    script_stop(&script);
    assert_int_equal(atomic_load(&script.connections), 3);
    script_fini(&script);
}

static const struct rest_case {
    const char *method;
    int rested_ms;
    unsigned connections; /* by then */
} rest_cases[] = {
    {"GET", 0, 1}, {"POST", 2500, 1}, {"POST", 3000, 2}, {"GET", 50000, 2}, {"GET", 60000, 3}, {"GET", 3000, 3},
};

struct rest {
    struct world world;
    struct script *script;
    struct loop_timer timer;
};

static void begin_rested(void *arg);

static void on_rested_done(void *arg, const struct reply *reply) {
    struct rest *rest = arg;
    assert_phase(reply, REPLY_ANSWERED);
    assert_int_equal(atomic_load(&rest->script->connections), rest_cases[rest->world.next++].connections);
    if (rest->world.next == rest->world.count) {
        loop_stop(rest->world.loop);
        return;
    }
    atomic_fetch_add(&skipped_ms, rest_cases[rest->world.next].rested_ms);
    loop_timer_set(&rest->timer, 0);
}

static void begin_rested(void *arg) {
    struct rest *rest = arg;
    transfer_begin(rest->world.upstream, &rest->world.requests[rest->world.next], rest->world.arena, on_rested_done,
                   rest);
}

/* What may be sent once does not go over a connection that has rested for long; nothing does after a minute. */
static void test_rested(void **state) {
    (void)state;
    struct script script = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct rest rest = {.script = &script};
    script_start(&script);
    world_init(&rest.world);
    loop_timer_set(&rest.world.alarm, HOUR_MS);
    loop_timer_init(&rest.timer, rest.world.loop, "rest", begin_rested, &rest);
    for (size_t i = 0; i < sizeof rest_cases / sizeof *rest_cases; i++)
        world_add_to(&rest.world, rest_cases[i].method, &script, "/");
    begin_rested(&rest);
    loop_run(rest.world.loop);
    world_fini(&rest.world);
    script_close(&script);
}

static atomic_bool misbehaved;

/* What an upstream does to the first connection once it has replied. */
static enum script_after misbehaves(struct script_end *end, unsigned index) {
    write_through(end);
    script_puts(end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    if (index > 0) return AFTER_KEEP;
    if (end->script->reply) script_puts(end, end->script->reply);
    else if (end->ssl) SSL_shutdown(end->ssl);
    else shutdown(end->fd, SHUT_WR);
    atomic_store(&misbehaved, true);
    return AFTER_KEEP;
}

struct wait {
    struct world world;
    struct loop_timer timer;
};

static void look_whether_misbehaved(void *arg) {
    struct wait *wait = arg;
    if (atomic_load(&misbehaved)) world_begin(&wait->world);
    else loop_timer_set(&wait->timer, 1);
}

static void on_first_done(void *arg, const struct reply *reply) {
    struct wait *wait = arg;
    assert_int_equal(reply->code, 200);
    loop_timer_set(&wait->timer, 1);
}

/* Unasked bytes, and the end of one direction only: such a connection is not used again, not even for what may be
 * repeated. A half of a reply that nobody asked for would be taken for the next one. */
static void test_speaks_unasked(void **state) {
    (void)state;
    static const char *const unasked[] = {"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", NULL};
    for (int way = 0; way < WAYS; way++) {
        for (size_t i = 0; i < 2; i++) {
            print_message("  %s, %s\n", way_names[way], unasked[i] ? "speaks" : "ends");
            struct script script = {.answer = misbehaves, .reply = unasked[i]};
            struct wait wait;
            atomic_store(&misbehaved, false);
            script_open(&script, (enum way)way);
            world_init(&wait.world);
            loop_timer_init(&wait.timer, wait.world.loop, "wait", look_whether_misbehaved, &wait);
            struct request *request = add_by(&wait.world, (enum way)way, "POST", &script);
            transfer_begin(wait.world.upstream, request, wait.world.arena, on_first_done, &wait);
            loop_run(wait.world.loop);
            assert_phase(wait.world.replies[0], REPLY_ANSWERED);
            assert_int_equal(wait.world.replies[0]->code, 200);
            world_fini(&wait.world);
            script_stop(&script);
            assert_int_equal(atomic_load(&script.requests), 2);
            assert_int_equal(atomic_load(&script.connections), 2);
            SSL_CTX_free(script.tls);
            script_fini(&script);
        }
    }
}

/* So many POSTs, of which the last fails in sending, behind so many bytes. Its reply lives as long as `world`. */
static const struct reply *fail_last(struct world *world, enum way way, const struct script *script, unsigned calls,
                                     unsigned fail_in, size_t fail_behind) {
    world_init(world);
    for (unsigned i = 0; i < calls; i++) add_by(world, way, "POST", script);
    wire.calls = 0;
    wire.fail_in = fail_in;
    wire.fail_behind = fail_behind;
    world_run(world);
    assert_int_equal(wire.fail_in, 0);
    return world->replies[calls - 1];
}

/* Nothing of it has left: a POST may go over another connection, once. One byte is in doubt, though nobody can do
 * anything with it. */
static void test_nothing_was_sent(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct script script = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
        struct world world;
        print_message("  %s\n", way_names[way]);
        script_open(&script, (enum way)way);
        assert_phase(fail_last(&world, (enum way)way, &script, 1, 0, 0), REPLY_ANSWERED);
        unsigned sends = wire.calls; /* of a new connection, with its handshake and one request */
        world_fini(&world);
        assert_phase(fail_last(&world, (enum way)way, &script, 2, sends + 1, 0), REPLY_ANSWERED);
        world_fini(&world);
        assert_failed(fail_last(&world, (enum way)way, &script, 2, sends + 1, 1), REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM,
                      "closed the connection without replying");
        world_fini(&world);
        assert_failed(fail_last(&world, (enum way)way, &script, 1, sends, 0), REPLY_NEVER_SENT, FAULT_UPSTREAM,
                      "broke before it replied");
        world_fini(&world);
        assert_failed(fail_last(&world, (enum way)way, &script, 1, sends, 1), REPLY_MAYBE_ACTED_ON, FAULT_UPSTREAM,
                      "broke before it replied");
        world_fini(&world);
        script_stop(&script);
        assert_int_equal(atomic_load(&script.requests), 1 + 2 + 1);
        SSL_CTX_free(script.tls);
        script_fini(&script);
    }
}

/* ---- an answer before the question has ended ---- */

struct raw { /* an upstream that sees bytes */
    void (*serve)(int fd);
    int listener, port;
    pthread_t thread;
    atomic_uint connections;
};

static void *raw_main(void *arg) {
    struct raw *raw = arg;
    for (int fd; (fd = accept(raw->listener, NULL, NULL)) >= 0;) {
        atomic_fetch_add(&raw->connections, 1);
        raw->serve(fd);
        close(fd);
    }
    return NULL;
}

static void raw_start(struct raw *raw) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    raw->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(raw->listener, (void *)&address, size) || listen(raw->listener, 64)) abort();
    getsockname(raw->listener, (void *)&address, &size);
    raw->port = ntohs(address.sin_port);
    pthread_create(&raw->thread, NULL, raw_main, raw);
}

static void raw_stop(struct raw *raw) {
    shutdown(raw->listener, SHUT_RDWR);
    pthread_join(raw->thread, NULL);
    close(raw->listener);
}

static void read_head(int fd) {
    char byte[4] = {0};
    while (memcmp(byte, "\r\n\r\n", 4) != 0) {
        memmove(byte, byte + 1, 3);
        if (read(fd, byte + 3, 1) != 1) return;
    }
}

static void say(int fd, const char *text) {
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) return;
}

static void drain(int fd) {
    char piece[4096];
    while (read(fd, piece, sizeof piece) > 0) {}
}

static atomic_uint refusals; /* that were told as replies */

/* Reads on only when the call is over, so that its body cannot have gone before. */
static void refuses(int fd, bool ends) {
    unsigned before = atomic_load(&refusals);
    read_head(fd);
    say(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    if (ends) shutdown(fd, SHUT_WR);
    while (atomic_load(&refusals) == before) usleep(1000);
    drain(fd);
}

static void refuses_and_ends(int fd) {
    refuses(fd, true);
}

static void refuses_and_stays(int fd) {
    refuses(fd, false);
}

static void on_refused(void *arg, const struct reply *reply) {
    struct world *world = arg;
    assert_phase(reply, REPLY_ANSWERED);
    assert_int_equal(reply->code, 413);
    assert_int_equal(reply->body.len, 2);
    atomic_fetch_add(&refusals, 1);
    if (++world->next == world->count) loop_stop(world->loop);
    else transfer_begin(world->upstream, &world->requests[world->next], world->arena, on_refused, world);
}

static void test_refused_early(void **state) {
    (void)state;
    static void (*const serves[])(int) = {refuses_and_ends, refuses_and_stays};
    for (size_t i = 0; i < 2; i++) {
        struct raw raw = {.serve = serves[i]};
        struct world world;
        raw_start(&raw);
        world_init(&world);
        char *body = arena_alloc(world.arena, 32 << 20); /* more than sockets hold */
        for (int j = 0; j < 2; j++) {
            size_t call = world_add(&world, "POST", arena_printf(world.arena, "http://127.0.0.1:%d/", raw.port));
            world.requests[call].has_body = true;
            world.requests[call].body = (struct text){body, 32 << 20};
        }
        transfer_begin(world.upstream, &world.requests[0], world.arena, on_refused, &world);
        loop_run(world.loop);
        world_fini(&world);
        raw_stop(&raw);
        assert_int_equal(atomic_load(&raw.connections), 2); /* of which the first could not be used again */
    }
}

/* ---- whom to trust ---- */

static void put_file(const char *path, const char *from) {
    char copy[128], bytes[8192];
    snprintf(copy, sizeof copy, "%s.new", path);
    FILE *source = fopen(from, "r"), *target = fopen(copy, "w");
    assert_true(source && target);
    size_t len = fread(bytes, 1, sizeof bytes, source);
    assert_int_equal(fwrite(bytes, 1, len, target), len);
    fclose(source);
    fclose(target);
    assert_int_equal(rename(copy, path), 0);
}

static char changing_ca[64];

static void put_ca(size_t call) {
    put_file(changing_ca, tls_cert[call % 2 ? 0 : 1]); /* every other one is right */
}

static void on_trust_done(void *arg, const struct reply *reply) {
    struct world *world = arg;
    world->replies[world->next++] = reply;
    if (world->next == world->count) {
        loop_stop(world->loop);
        return;
    }
    put_ca(world->next);
    transfer_begin(world->upstream, &world->requests[world->next], world->arena, on_trust_done, world);
}

/* A file of certificates that changes is read again, and a session that rests on the old one is worth nothing. */
static void test_trust_changes(void **state) {
    (void)state;
    struct script script = {.reply = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"};
    struct world world;
    snprintf(changing_ca, sizeof changing_ca, "%s/ca.pem", socket_dir);
    script_open(&script, BY_TLS_13);
    world_init(&world);
    for (int i = 0; i < 4; i++) {
        add_by(&world, BY_TLS_13, "POST", &script);
        world.calls[i].tls = (struct stage_tls){.ca = changing_ca};
    }
    put_ca(0);
    transfer_begin(world.upstream, &world.requests[0], world.arena, on_trust_done, &world);
    loop_run(world.loop);
    for (int i = 0; i < 4; i++) {
        if (i % 2) assert_phase(world.replies[i], REPLY_ANSWERED);
        else assert_failed(world.replies[i], REPLY_NEVER_SENT, FAULT_UPSTREAM, "SSL certificate problem: ");
    }
    unlink(changing_ca);
    world_fini(&world);
    script_close(&script);
}

static bool changes_at_rest;

static enum script_after changes_ca(struct script_end *end, unsigned index) {
    if (index == 1 && !changes_at_rest) put_ca(0);
    script_puts(end, end->script->reply);
    return AFTER_KEEP;
}

static void on_kept_done(void *arg, const struct reply *reply) {
    struct world *world = arg;
    world->replies[world->next++] = reply;
    if (world->next == 2 && changes_at_rest) put_ca(0);
    if (world->next == world->count) loop_stop(world->loop);
    else transfer_begin(world->upstream, &world->requests[world->next], world->arena, on_kept_done, world);
}

/* While a call is under way, or between two: what vouched for the kept connection does not count any more. */
static void test_trust_changes_under_kept_ones(void **state) {
    (void)state;
    for (int at_rest = 0; at_rest < 2; at_rest++) {
        struct script script = {.answer = changes_ca, .reply = "HTTP/1.1 204 No Content\r\n\r\n"};
        struct world world;
        snprintf(changing_ca, sizeof changing_ca, "%s/ca.pem", socket_dir);
        changes_at_rest = at_rest;
        script_open(&script, BY_TLS_13);
        world_init(&world);
        for (int i = 0; i < 3; i++) {
            add_by(&world, BY_TLS_13, "GET", &script);
            world.calls[i].tls = (struct stage_tls){.ca = changing_ca};
        }
        put_ca(1);
        transfer_begin(world.upstream, &world.requests[0], world.arena, on_kept_done, &world);
        loop_run(world.loop);
        for (int i = 0; i < 2; i++) assert_phase(world.replies[i], REPLY_ANSWERED);
        assert_failed(world.replies[2], REPLY_NEVER_SENT, FAULT_UPSTREAM, "SSL certificate problem: ");
        unlink(changing_ca);
        world_fini(&world);
        script_stop(&script);
        assert_int_equal(atomic_load(&script.connections), 2); /* the second one did not hold */
        SSL_CTX_free(script.tls);
        script_fini(&script);
    }
}

static void speaks_no_tls(int fd) {
    say(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    drain(fd);
}

static void says_nothing(int fd) {
    (void)fd;
}

static void test_no_tls(void **state) {
    (void)state;
    static const struct {
        void (*serve)(int);
        const char *what;
    } cases[] = {{speaks_no_tls, ": wrong version number"}, {says_nothing, "failed: "}};
    for (size_t i = 0; i < 2; i++) {
        struct raw raw = {.serve = cases[i].serve};
        struct world world;
        raw_start(&raw);
        world_init(&world);
        world_add(&world, "POST", arena_printf(world.arena, "https://127.0.0.1:%d/?k=sesame", raw.port));
        world_run(&world);
        assert_failed(world.replies[0], REPLY_NEVER_SENT, FAULT_UPSTREAM, cases[i].what);
        assert_holds(world.replies[0]->fault->what, "TLS with 127.0.0.1:");
        print_message("  %s\n", world.replies[0]->fault->what);
        world_fini(&world);
        raw_stop(&raw);
    }
}

/* ---- cancel ---- */

struct canceled {
    struct transfer *transfers[8];
    size_t count;
    struct loop *loop;
    struct loop_timer timer;
};

static void never_done(void *arg, const struct reply *reply) {
    (void)arg;
    fail_msg("a canceled call was done: %s", reply->fault->what);
}

static void cancel_all(void *arg) {
    struct canceled *canceled = arg;
    for (size_t i = 0; i < canceled->count; i++) transfer_cancel(canceled->transfers[i]);
    loop_stop(canceled->loop);
}

static void says_half(int fd) {
    read_head(fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");
    drain(fd);
}

/* While a name is looked up, and waited for; while hands are shaken; while the request is sent; in the midst of a
 * reply. Each state lasts until it is canceled. */
static void test_cancel_in_each_state(void **state) {
    (void)state;
    struct script stalls = {.after = AFTER_STALL};
    struct raw deaf = {.serve = says_half};
    struct world world;
    script_start(&stalls);
    raw_start(&deaf);
    world_init(&world);
    resolver_hold(true);
    struct canceled canceled = {.loop = world.loop};
    world_add(&world, "POST", arena_printf(world.arena, "http://slow.test:%d/", stalls.port));
    world_add(&world, "POST", arena_printf(world.arena, "http://slow.test:%d/", stalls.port));
    world_add(&world, "POST", arena_printf(world.arena, "https://127.0.0.1:%d/", stalls.port));
    world_add_to(&world, "POST", &stalls, "/");
    world_add(&world, "POST", arena_printf(world.arena, "http://127.0.0.1:%d/", deaf.port));
    world_add(&world, "POST", arena_printf(world.arena, "http://127.0.0.1:%d/", deaf.port)); /* not accepted yet */
    world.requests[5].has_body = true;
    world.requests[5].body = (struct text){arena_alloc(world.arena, 32 << 20), 32 << 20};
    for (size_t i = 0; i < world.count; i++)
        canceled.transfers[canceled.count++] = transfer_begin(world.upstream, &world.requests[i], world.arena,
                                                              never_done, NULL);
    loop_timer_init(&canceled.timer, world.loop, "cancel", cancel_all, &canceled);
    loop_timer_set(&canceled.timer, 100);
    loop_run(world.loop);
    world_fini(&world);
    resolver_hold(false);
    raw_stop(&deaf);
    script_close(&stalls);
}

/* ---- chaos ---- */

#define CHAOS_CALLS 400
#define CHAOS_AT_ONCE 8

static atomic_uint chaos_seed;

static unsigned dice(unsigned *seed, unsigned sides) {
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % sides;
}

/* Whole replies say "hi"; what is cut, or wrong, never reads like one that is whole and says something else. */
static enum script_after chaos(struct script_end *end, unsigned index) {
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    };
    unsigned seed = atomic_load(&chaos_seed) + index * 7919;
    write_through(end);
    for (int i = 0; i < 3; i++) dice(&seed, 2);
    const char *reply = replies[dice(&seed, 3)];
    size_t len = strlen(reply);
    char copy[256];
    memcpy(copy, reply, len);
    switch (dice(&seed, 8)) {
    case 0: script_write(end, reply, dice(&seed, (unsigned)len)); return AFTER_CLOSE;
    case 1: script_write(end, reply, dice(&seed, (unsigned)len)); return AFTER_RESET;
    case 2: script_puts(end, "\x16\x03\x01garbage\r\n\r\n"); return AFTER_KEEP;
    case 3: script_puts(end, reply), script_puts(end, reply); return AFTER_KEEP;
    case 4: script_puts(end, reply); return dice(&seed, 2) ? AFTER_RESET : AFTER_CLOSE;
    case 5:
        for (size_t i = 0; i < len; i++) script_write(end, reply + i, 1);
        return AFTER_KEEP;
    case 6:
        script_puts(end, reply);
        if (!end->ssl) shutdown(end->fd, SHUT_WR);
        return AFTER_KEEP;
    default: script_puts(end, reply); return AFTER_KEEP;
    }
}

static unsigned posts_of(const struct script *script) {
    unsigned count = 0;
    for (const char *at = buf_cstr(&script->got); (at = strstr(at, "POST /x HTTP/1.1\r\n")); at++) count++;
    return count;
}

struct storm {
    struct world *world;
    unsigned begun, done, answered;
};

static void on_storm_done(void *arg, const struct reply *reply) {
    struct storm *storm = arg;
    storm->done++;
    if (reply->phase == REPLY_ANSWERED) {
        storm->answered++;
        assert_int_equal(reply->code, 200);
        assert_int_equal(reply->body.len, 2);
        assert_memory_equal(reply->body.at, "hi", 2);
    } else assert_int_equal(reply->phase, REPLY_MAYBE_ACTED_ON);
    if (storm->done == CHAOS_CALLS) loop_stop(storm->world->loop);
    if (storm->begun == CHAOS_CALLS) return;
    transfer_begin(storm->world->upstream, &storm->world->requests[storm->begun++ % 2], storm->world->arena,
                   on_storm_done, storm);
}

static void test_chaos(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct script script = {.answer = chaos};
        struct world world;
        atomic_store(&chaos_seed, (unsigned)way + 1);
        script_open(&script, (enum way)way);
        world_init(&world);
        add_by(&world, (enum way)way, "GET", &script);
        add_by(&world, (enum way)way, "POST", &script);
        struct storm storm = {.world = &world};
        for (int i = 0; i < CHAOS_AT_ONCE; i++)
            transfer_begin(world.upstream, &world.requests[storm.begun++ % 2], world.arena, on_storm_done, &storm);
        loop_run(world.loop);
        print_message("  %s: %u of %u answered\n", way_names[way], storm.answered, CHAOS_CALLS);
        assert_true(storm.answered > CHAOS_CALLS / 3);
        assert_true(storm.answered < CHAOS_CALLS);
        script_stop(&script);
        assert_true(posts_of(&script) <= CHAOS_CALLS / 2); /* none was sent twice */
        world_fini(&world);
        SSL_CTX_free(script.tls);
        script_fini(&script);
    }
}

static int channel_set_up(void **state) {
    return mkdtemp(socket_dir) ? set_up(state) : -1;
}

static int channel_tear_down(void **state) {
    return rmdir(socket_dir) | tear_down(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_second_address),
        cmocka_unit_test(test_host_header),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_said_goodbye),
        cmocka_unit_test(test_sent_in_pieces),
        cmocka_unit_test(test_large_both_ways),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_kept_however_it_is_spelled),
        cmocka_unit_test(test_kept_are_counted),
        cmocka_unit_test(test_none_kept),
        cmocka_unit_test(test_rested),
        cmocka_unit_test(test_speaks_unasked),
        cmocka_unit_test(test_nothing_was_sent),
        cmocka_unit_test(test_refused_early),
        cmocka_unit_test(test_trust_changes),
        cmocka_unit_test(test_trust_changes_under_kept_ones),
        cmocka_unit_test(test_no_tls),
        cmocka_unit_test(test_cancel_in_each_state),
        cmocka_unit_test(test_chaos),
    };
    return cmocka_run_group_tests(tests, channel_set_up, channel_tear_down);
}
