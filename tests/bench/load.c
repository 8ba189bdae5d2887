/* A load at a rate, whatever the answers are like: an open loop, as many callers are who know nothing of each other.
 *
 *     load port=8095 rate=2000 seconds=10 path=/stages/fire body='{"key": "k-%n"}' …      prints a line of JSON
 *
 * Request n is due n / rate after the beginning, and its time is counted from there: one that had to wait for a free
 * connection was late for its caller. `%n` in path and body is the number of the request. With `follow_ms` each run
 * that was started is asked for by GET, so often, until it has ended, as orca does; `expect` is the status that it has
 * to end with. rate=0: each connection sends its next request once the last one was answered. With `every`, figures of
 * each so many seconds come as lines before the last one. With stay=1 its connections stay open until its input ends.
 * Answers need a Content-Length. One thread, no allocation a request. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

#define ID_SIZE 27
#define REQUEST_MAX (1 << 20)
#define ANSWER_KEPT 4096 /* of a body: what is read is at its beginning */
#define CODES 600
#define BUCKETS 1024 /* of a histogram: 32 for each doubling */
#define EVENTS 4096
#define BEGIN_MAX 64
#define CONNECTIONS_MAX 20000

static struct {
    int64_t port, rate, seconds, connections, follow_ms, drain_s, first, every, open, stay;
    const char *method, *path, *body, *prefer, *expect;
} plan = {.rate = 100, .seconds = 3, .connections = 256, .drain_s = 30, .method = "POST", .path = "/", .expect = ""};

struct histogram {
    int64_t counts[BUCKETS], total, most;
};

/* A run that was started, and has not been seen to have ended. */
struct followed {
    struct followed *next;
    int64_t due_us;
    char id[ID_SIZE];
};

struct connection {
    struct connection *next; /* of those that are free */
    int fd;
    bool busy, connecting, waits_to_write;
    int64_t due_us;
    struct followed *followed; /* it asks for this one; NULL: it starts one */
    struct buf out;
    size_t out_done;
    char head[8192], kept[ANSWER_KEPT + 1];
    size_t head_len, kept_len;
    int64_t body_left; /* -1: in the head */
    int code;
    bool last; /* the server closes it behind this answer */
};

static struct {
    int epoll;
    int64_t began_us, now_us;
    struct connection *all[CONNECTIONS_MAX], *free;
    int64_t opened, begun, sent, answered, lost, follows_sent;
    int64_t codes[CODES], codes_now[CODES];
    struct histogram starts, starts_now, follows, follows_now;
    struct followed *first, **last, *spare; /* in the order of being due */
    int64_t following, ended, unexpected;
    char odd[200]; /* the first answer that was not asked for */
} load;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- times ---- */

static size_t bucket_of(int64_t us) {
    if (us < 32) return us < 0 ? 0 : (size_t)us;
    int shift = 63 - __builtin_clzll((unsigned long long)us) - 5;
    size_t bucket = (size_t)(shift + 1) * 32 + ((size_t)(us >> shift) - 32);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static int64_t top_of(size_t bucket) {
    if (bucket < 32) return (int64_t)bucket;
    size_t shift = bucket / 32 - 1;
    return (int64_t)((bucket % 32 + 33) << shift) - 1;
}

static void observe(struct histogram *histogram, int64_t us) {
    histogram->counts[bucket_of(us)]++;
    histogram->total++;
    if (us > histogram->most) histogram->most = us;
}

static int64_t quantile_us(const struct histogram *histogram, double part) {
    int64_t wanted = (int64_t)((double)histogram->total * part), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        if ((seen += histogram->counts[i]) > wanted) return top_of(i) < histogram->most ? top_of(i) : histogram->most;
    return histogram->most;
}

static void print_times(const char *name, const struct histogram *h) {
    printf(", \"%s\": {\"count\": %lld, \"p50_us\": %lld, \"p99_us\": %lld, \"most_us\": %lld}", name,
           (long long)h->total, (long long)quantile_us(h, 0.5), (long long)quantile_us(h, 0.99), (long long)h->most);
}

static void print_codes(const int64_t *codes) {
    const char *comma = "";
    printf("\"codes\": {");
    for (int i = 0; i < CODES; i++) {
        if (!codes[i]) continue;
        printf("%s\"%d\": %lld", comma, i, (long long)codes[i]);
        comma = ", ";
    }
    printf("}");
}

/* ---- connections ---- */

static void watch(struct connection *connection, int how, bool writes) {
    struct epoll_event event = {.events = EPOLLIN | (writes ? EPOLLOUT : 0u), .data.ptr = connection};
    epoll_ctl(load.epoll, how, connection->fd, &event);
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void connection_open(struct connection *connection) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)plan.port)};
    int on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) fail("socket");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(connection->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) fail("connect");
    connection->connecting = true;
    watch(connection, EPOLL_CTL_ADD, true);
}

static struct connection *connection_take(void) {
    struct connection *connection = load.free;
    if (connection) {
        load.free = connection->next;
        return connection;
    }
    if (load.opened == plan.connections) return NULL;
    connection = mem_alloc(sizeof *connection);
    load.all[load.opened++] = connection;
    buf_init(&connection->out, REQUEST_MAX);
    connection->fd = -1;
    return connection;
}

static void connection_free(struct connection *connection) {
    connection->busy = false;
    connection->next = load.free;
    load.free = connection;
}

static void connection_close(struct connection *connection) {
    close(connection->fd);
    connection->fd = -1;
}

static void follow_later(struct followed *followed) {
    followed->due_us = load.now_us + plan.follow_ms * 1000;
    followed->next = NULL;
    *load.last = followed;
    load.last = &followed->next;
}

/* The answer will not come. A run is asked for again; what a start has done nobody knows. */
static void connection_lose(struct connection *connection) {
    if (connection->busy) load.lost++;
    if (connection->followed) follow_later(connection->followed);
    connection->followed = NULL;
    if (connection->fd >= 0) connection_close(connection);
    if (connection->busy) connection_free(connection);
}

static void connection_write(struct connection *connection) {
    while (connection->out_done < connection->out.len) {
        ssize_t n = send(connection->fd, connection->out.at + connection->out_done,
                         connection->out.len - connection->out_done, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) {
            connection_lose(connection);
            return;
        }
        connection->out_done += (size_t)n;
    }
    bool waits = connection->out_done < connection->out.len;
    if (waits != connection->waits_to_write) watch(connection, EPOLL_CTL_MOD, waits);
    connection->waits_to_write = waits;
}

/* ---- requests ---- */

static void add_numbered(struct buf *out, const char *text, int64_t number) {
    for (const char *mark; (mark = strstr(text, "%n")); text = mark + 2) {
        buf_add(out, text, (size_t)(mark - text));
        buf_addi(out, number);
    }
    buf_adds(out, text);
}

static void write_start(struct buf *out, int64_t number) {
    static struct buf body;
    body.max = REQUEST_MAX;
    buf_clear(&body);
    if (plan.body) add_numbered(&body, plan.body, number);
    buf_addf(out, "%s ", plan.method);
    add_numbered(out, plan.path, number);
    buf_addf(out, " HTTP/1.1\r\nHost: 127.0.0.1:%lld\r\n", (long long)plan.port);
    if (plan.body) buf_addf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.len);
    if (plan.prefer) buf_addf(out, "Prefer: %s\r\n", plan.prefer);
    buf_adds(out, "\r\n");
    buf_addt(out, buf_text(&body));
}

static void begin(struct connection *connection, int64_t due_us, struct followed *followed) {
    connection->busy = true;
    connection->due_us = due_us;
    connection->followed = followed;
    connection->head_len = connection->kept_len = 0;
    connection->body_left = -1;
    connection->out_done = 0;
    buf_clear(&connection->out);
    if (followed) {
        load.follows_sent++;
        buf_addf(&connection->out, "GET /runs/%s HTTP/1.1\r\nHost: 127.0.0.1:%lld\r\n\r\n", followed->id,
                 (long long)plan.port);
    } else {
        load.sent++;
        write_start(&connection->out, plan.first + load.begun++);
    }
    if (connection->fd < 0) connection_open(connection);
    else connection_write(connection);
}

/* ---- answers ---- */

static void remember(struct connection *connection, const char *status) {
    if (load.odd[0]) return;
    snprintf(load.odd, sizeof load.odd, "%d %s %.140s", connection->code, status, connection->kept);
    for (char *c = load.odd; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20) *c = '\'';
}

/* The text of a member whose value has no escapes. */
static bool member_of(const struct connection *connection, const char *name, char *ret, size_t size) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = strstr(connection->kept, wanted);
    if (!at) return false;
    at += strlen(wanted);
    at += strspn(at, " ");
    size_t n = *at == '"' ? strcspn(at + 1, "\"") : 0;
    if (n == 0 || n >= size) return false;
    memcpy(ret, at + 1, n);
    ret[n] = 0;
    return true;
}

static void look_at_run(struct connection *connection) {
    char status[32] = "?";
    struct followed *followed = connection->followed;
    member_of(connection, "status", status, sizeof status);
    if (strcmp(status, "RUNNING") == 0 || strcmp(status, "NOT_STARTED") == 0) {
        follow_later(followed);
        return;
    }
    load.following--;
    load.ended++;
    followed->next = load.spare;
    load.spare = followed;
    if (strcmp(status, plan.expect) == 0) return;
    load.unexpected++;
    remember(connection, status);
}

static void begin_following(struct connection *connection) {
    struct followed *followed = load.spare;
    if (followed) load.spare = followed->next;
    else followed = mem_alloc(sizeof *followed);
    load.following++;
    connection->followed = followed;
    if (member_of(connection, "id", followed->id, ID_SIZE)) look_at_run(connection);
    else follow_later(followed);
}

static void on_answer(struct connection *connection) {
    int64_t took = load.now_us - connection->due_us;
    bool good = connection->code == 200 || connection->code == 202;
    connection->kept[connection->kept_len] = 0;
    if (connection->followed) {
        observe(&load.follows, took);
        observe(&load.follows_now, took);
        if (good) look_at_run(connection);
        else {
            remember(connection, "of a run");
            load.codes[connection->code]++;
            load.codes_now[connection->code]++;
            follow_later(connection->followed);
        }
    } else {
        load.answered++;
        load.codes[connection->code]++;
        load.codes_now[connection->code]++;
        if (good) {
            observe(&load.starts, took);
            observe(&load.starts_now, took);
        } else if (connection->code != 503) remember(connection, "");
        if (good && plan.follow_ms) begin_following(connection);
    }
    connection->followed = NULL;
    if (connection->last) connection_close(connection);
    connection_free(connection);
}

static bool read_head(struct connection *connection) {
    struct text rest = {connection->head, connection->head_len}, line, name;
    int64_t code = 0, length = -1;
    text_cut(&rest, '\n', &line);
    if (line.len > 12) text_to_int((struct text){line.at + 9, 3}, &code);
    connection->last = false;
    while (text_cut(&rest, '\n', &line)) {
        if (!memchr(line.at, ':', line.len)) continue;
        text_cut(&line, ':', &name);
        if (text_is_nocase(name, "Content-Length")) text_to_int(text_trim(line), &length);
        if (text_is_nocase(name, "Connection")) connection->last = text_is_nocase(text_trim(line), "close");
    }
    connection->code = (int)code;
    if (code == 204) length = 0;
    connection->body_left = length;
    return code >= 100 && code < CODES && length >= 0;
}

static void take_body(struct connection *connection, const char *at, size_t n) {
    size_t room = ANSWER_KEPT - connection->kept_len, taken = n < room ? n : room;
    memcpy(connection->kept + connection->kept_len, at, taken);
    connection->kept_len += taken;
    connection->body_left -= (int64_t)n;
}

/* False: that is no answer. */
static bool take_bytes(struct connection *connection, const char *at, size_t n) {
    if (connection->body_left >= 0) {
        if ((int64_t)n > connection->body_left) return false;
        take_body(connection, at, n);
        return true;
    }
    if (connection->head_len + n >= sizeof connection->head) return false;
    memcpy(connection->head + connection->head_len, at, n);
    connection->head_len += n;
    connection->head[connection->head_len] = 0;
    const char *end = strstr(connection->head, "\r\n\r\n");
    if (!end) return true;
    size_t head = (size_t)(end + 4 - connection->head), whole = connection->head_len;
    connection->head_len = head;
    if (!read_head(connection) || (int64_t)(whole - head) > connection->body_left) return false;
    take_body(connection, connection->head + head, whole - head);
    return true;
}

static void connection_read(struct connection *connection) {
    char bytes[4096];
    ssize_t n = recv(connection->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 && !connection->busy) { /* an idle one was closed */
        connection_close(connection);
        return;
    }
    if (n <= 0 || !connection->busy || !take_bytes(connection, bytes, (size_t)n)) connection_lose(connection);
    else if (connection->body_left == 0) on_answer(connection);
}

static void on_event(const struct epoll_event *event) {
    struct connection *connection = event->data.ptr;
    if (connection->fd < 0) return;
    if (connection->connecting && event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        connection->connecting = false;
        connection->waits_to_write = true;
        connection_write(connection);
        return;
    }
    if (event->events & EPOLLOUT) connection_write(connection);
    if (connection->fd >= 0 && event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) connection_read(connection);
}

/* ---- time goes by ---- */

static bool starting(void) {
    return load.now_us - load.began_us < plan.seconds * 1000000;
}

static int64_t next_start_us(void) {
    return plan.rate ? load.began_us + load.begun * 1000000 / plan.rate : load.now_us;
}

/* A few at a time: where this process is late, answers are read before further connections are opened. */
static void begin_due(void) {
    struct connection *connection;
    int left = BEGIN_MAX;
    while (left-- > 0 && load.first && load.first->due_us <= load.now_us && (connection = connection_take())) {
        struct followed *followed = load.first;
        load.first = followed->next;
        if (!load.first) load.last = &load.first;
        begin(connection, followed->due_us, followed);
    }
    while (left-- > 0 && starting() && next_start_us() <= load.now_us && (connection = connection_take()))
        begin(connection, next_start_us(), NULL);
}

static int wait_ms(void) {
    int64_t next = load.now_us + 100000;
    if (load.first && load.first->due_us < next) next = load.first->due_us;
    if (starting() && plan.rate && next_start_us() < next) next = next_start_us();
    int64_t left = (next - load.now_us + 999) / 1000;
    return left < 0 ? 0 : (int)left;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void print_beat(bool final) {
    printf("{\"seconds\": %.1f, \"cpu_s\": %.2f, \"sent\": %lld, \"answered\": %lld, \"lost\": %lld, ",
           (double)(load.now_us - load.began_us) / 1e6, cpu_s(), (long long)load.sent, (long long)load.answered,
           (long long)load.lost);
    print_codes(final ? load.codes : load.codes_now);
    print_times("starts", final ? &load.starts : &load.starts_now);
    print_times("follows", final ? &load.follows : &load.follows_now);
    printf(", \"ended\": %lld, \"unexpected\": %lld, \"unended\": %lld, \"odd\": \"%s\"}\n", (long long)load.ended,
           (long long)load.unexpected, (long long)load.following, load.odd);
    fflush(stdout);
    load.starts_now = load.follows_now = (struct histogram){0};
    memset(load.codes_now, 0, sizeof load.codes_now);
}

/* What is said has an end, so that who reads it goes on. */
static void stay(void) {
    char byte;
    fclose(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
}

/* A few at a time, so that the server's queue has room for them. */
static void open_ahead(void) {
    static struct epoll_event events[EVENTS];
    struct connection *opened = NULL;
    while (load.opened < plan.open && load.opened < plan.connections) {
        struct connection *row[BEGIN_MAX];
        int count = 0, connected = 0;
        while (count < BEGIN_MAX && load.opened < plan.open && (row[count] = connection_take()))
            connection_open(row[count++]);
        while (connected < count) {
            int n = epoll_wait(load.epoll, events, EVENTS, 1000);
            for (int i = 0; i < n; i++) {
                const struct connection *connection = events[i].data.ptr;
                connected += connection->connecting;
                on_event(&events[i]);
            }
        }
        for (int i = 0; i < count; i++) row[i]->next = opened, opened = row[i];
    }
    for (struct connection *next; opened; opened = next) {
        next = opened->next;
        connection_free(opened);
    }
}

static bool done(void) {
    bool waits = load.answered + load.lost < load.sent || load.following > 0;
    return !starting() && (!waits || load.now_us - load.began_us > (plan.seconds + plan.drain_s) * 1000000);
}

static void run(void) {
    static struct epoll_event events[EVENTS];
    load.began_us = load.now_us = now_us();
    for (int64_t beats = 1; !done();) {
        begin_due();
        int n = epoll_wait(load.epoll, events, EVENTS, wait_ms());
        load.now_us = now_us();
        for (int i = 0; i < n; i++) on_event(&events[i]);
        if (plan.every && starting() && load.now_us - load.began_us >= beats * plan.every * 1000000) {
            print_beat(false);
            beats++;
        }
    }
    print_beat(true);
    if (plan.stay) stay();
}

/* ---- arguments ---- */

static bool take_argument(struct text name, const char *value) {
    const struct {
        const char *name;
        int64_t *number;
        const char **text;
    } rows[] = {
        {"port", &plan.port, NULL},           {"rate", &plan.rate, NULL},
        {"seconds", &plan.seconds, NULL},     {"connections", &plan.connections, NULL},
        {"follow_ms", &plan.follow_ms, NULL}, {"drain_s", &plan.drain_s, NULL},
        {"first", &plan.first, NULL},         {"every", &plan.every, NULL},
        {"open", &plan.open, NULL},           {"stay", &plan.stay, NULL},
        {"method", NULL, &plan.method},       {"path", NULL, &plan.path},
        {"body", NULL, &plan.body},           {"prefer", NULL, &plan.prefer},
        {"expect", NULL, &plan.expect},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!text_is(name, rows[i].name)) continue;
        if (rows[i].text) *rows[i].text = value;
        return rows[i].text || text_to_int(text_of(value), rows[i].number);
    }
    return false;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct text value = text_of(argv[i]), name;
        if (text_cut(&value, '=', &name) && value.at && take_argument(name, value.at)) continue;
        fprintf(stderr, "load: not understood: %s\n", argv[i]);
        return 2;
    }
    if (plan.connections < 1 || plan.connections > CONNECTIONS_MAX || plan.rate < 0) return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    load.last = &load.first;
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    open_ahead();
    run();
    return 0;
}
