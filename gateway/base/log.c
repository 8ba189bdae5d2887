/* The log writer: callers format a line on their own thread, queue it, and a thread of its own writes what waits.
 *
 * Two buffers change places: one collects lines under a mutex, the other is being written. The collecting one has a
 * ceiling; lines past it are dropped and counted. log_open and log_close belong to the main thread. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_BYTES (64 * 1024)
#define LINE_RESERVE_BYTES 1024 /* for the keys behind a value that had to be cut */
#define VALUE_MAX_BYTES 4096
#define ESCAPED_MAX_BYTES 6 /* that one byte of a value may become */
#define QUEUE_MAX_BYTES (4 * 1024 * 1024)

static struct {
    enum log_level least;
    enum log_format format;
    void (*mask)(struct buf *);
    char *path;
    int fd;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct buf waiting;
    uint64_t dropped;
    bool running, stopping, reopen;
} writer = {
    .least = LOG_INFO, .fd = STDERR_FILENO, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static const char *const level_words[] = {"debug", "info", "warn", "error"};

static bool is_bare(struct text t) { /* may stand in logfmt without quotes */
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7F) return false;
    }
    return t.len > 0;
}

/* U+0080 to U+009F, which JSON lets stand, and terminals obey. */
static bool is_control(struct text t, size_t i) {
    return i + 1 < t.len && (unsigned char)t.at[i] == 0xC2 && (unsigned char)t.at[i + 1] < 0xA0;
}

static void add_visible(struct buf *line, struct text t) {
    size_t from = 0;
    for (size_t i = 0; i < t.len; i++) {
        if (!is_control(t, i)) continue;
        buf_add_json_inner(line, (struct text){t.at + from, i - from});
        buf_addf(line, "\\u%04x", (unsigned char)t.at[++i]);
        from = i + 1;
    }
    buf_add_json_inner(line, (struct text){t.at + from, t.len - from});
}

/* JSON string escapes need UTF-8; what is not, is shown byte by byte as Latin-1 would be. */
static void add_quoted(struct buf *line, struct text t) {
    bool good = text_utf8_check(t);
    buf_addc(line, '"');
    if (good) add_visible(line, t);
    for (size_t i = 0; !good && i < t.len; i++) {
        if ((unsigned char)t.at[i] >= 0x80) buf_addf(line, "\\u%04x", (unsigned char)t.at[i]);
        else buf_add_json_inner(line, (struct text){t.at + i, 1});
    }
    buf_addc(line, '"');
}

/* As much of a value as surely fits when it is escaped: a line that is cut anywhere else would not parse. */
static struct text fitting(const struct buf *line, struct text t) {
    size_t room = line->max - line->len;
    size_t most = room > LINE_RESERVE_BYTES ? (room - LINE_RESERVE_BYTES) / ESCAPED_MAX_BYTES : 0;
    if (most > VALUE_MAX_BYTES) most = VALUE_MAX_BYTES;
    return text_beginning(t, most);
}

static void add_key(struct buf *line, const char *key) {
    bool json = writer.format == LOG_JSON;
    if (line->len > 1) buf_addc(line, json ? ',' : ' ');
    if (json) buf_addf(line, "\"%s\":", key);
    else buf_addf(line, "%s=", key);
}

static void add_string(struct buf *line, const char *key, const char *value) {
    if (!value) return;
    add_key(line, key);
    struct text t = fitting(line, text_of(value));
    if (writer.format != LOG_JSON && is_bare(t)) buf_addt(line, t);
    else add_quoted(line, t);
}

static void format_line(struct buf *line, enum log_level level, const char *event, const struct log_context *ctx,
                        const struct log_field *fields) {
    char time[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_ms(), time);
    buf_adds(line, writer.format == LOG_JSON ? "{" : "");
    add_string(line, "time", time);
    add_string(line, "level", level_words[level]);
    add_string(line, "event", event);
    if (ctx) {
        add_string(line, "run", ctx->run);
        add_string(line, "stage", ctx->stage);
        add_string(line, "step", ctx->step);
        add_string(line, "caller", ctx->caller);
        add_string(line, "trace", ctx->trace);
    }
    for (; fields && fields->key; fields++) {
        if (fields->is_number) {
            add_key(line, fields->key);
            buf_addf(line, "%lld", (long long)fields->number);
        } else {
            add_string(line, fields->key, fields->text);
        }
    }
    if (writer.format == LOG_JSON) buf_addc(line, '}');
}

static void write_all(int fd, const char *at, size_t len) {
    while (len) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; /* nowhere left to complain to */
        at += n, len -= (size_t)n;
    }
}

bool log_wants(enum log_level level) {
    return level >= __atomic_load_n(&writer.least, __ATOMIC_RELAXED);
}

void log_put_fields(enum log_level level, const char *event, const struct log_context *ctx,
                    const struct log_field *fields) {
    if (!log_wants(level)) return;
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    format_line(&line, level, event, ctx, fields);
    if (writer.mask) writer.mask(&line);
    line.full = false, line.max += 1; /* a cut line still ends */
    buf_addc(&line, '\n');
    pthread_mutex_lock(&writer.lock);
    if (!writer.running) {
        write_all(writer.fd, line.at, line.len);
    } else if (line.len > writer.waiting.max - writer.waiting.len) {
        writer.dropped++;
    } else {
        buf_addt(&writer.waiting, buf_text(&line));
        pthread_cond_signal(&writer.wake);
    }
    pthread_mutex_unlock(&writer.lock);
    buf_fini(&line);
}

void log_fault(enum log_level level, const char *event, const struct log_context *ctx, const struct fault *fault) {
    log_put(level, event, ctx, LOG_STR("kind", fault_word(fault->kind)),
            LOG_STR("where", fault->where[0] ? fault->where : NULL), LOG_STR("what", fault->what),
            LOG_STR("lines", fault->lines[0] ? fault->lines : NULL));
}

static int open_path(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

static void reopen_locked(void) {
    writer.reopen = false;
    int fd = writer.path ? open_path(writer.path) : -1;
    if (fd < 0) return; /* keep writing to the old file: better there than nowhere */
    close(writer.fd);
    writer.fd = fd;
}

static void *writer_main(void *unused) {
    (void)unused;
    struct buf writing;
    buf_init(&writing, QUEUE_MAX_BYTES);
    pthread_mutex_lock(&writer.lock);
    for (;;) {
        while (!writer.waiting.len && !writer.stopping && !writer.reopen) pthread_cond_wait(&writer.wake, &writer.lock);
        if (writer.reopen) reopen_locked();
        if (!writer.waiting.len && writer.stopping) break;
        struct buf full = writer.waiting;
        writer.waiting = writing;
        writing = full;
        uint64_t dropped = writer.dropped;
        writer.dropped = 0;
        int fd = writer.fd; /* only this thread changes it */
        pthread_mutex_unlock(&writer.lock);
        write_all(fd, writing.at, writing.len);
        buf_clear(&writing);
        if (dropped) log_put(LOG_WARN, "log_dropped", NULL, LOG_INT("lines", dropped));
        pthread_mutex_lock(&writer.lock);
    }
    pthread_mutex_unlock(&writer.lock);
    buf_fini(&writing);
    return NULL;
}

bool log_open(enum log_level least, enum log_format format, const char *path, struct fault *fault) {
    int fd = STDERR_FILENO;
    if (path && strcmp(path, "-") != 0) {
        fd = open_path(path);
        if (fd < 0) return fault_set(fault, FAULT_IO, path, "the log cannot be opened: %s", strerror(errno));
        writer.path = mem_strdup(path);
    }
    writer.least = least;
    writer.format = format;
    writer.fd = fd;
    buf_init(&writer.waiting, QUEUE_MAX_BYTES);
    writer.stopping = false;
    if (pthread_create(&writer.thread, NULL, writer_main, NULL) != 0)
        return fault_set(fault, FAULT_IO, "log", "the log's thread cannot be started");
    writer.running = true;
    return true;
}

void log_set_least(enum log_level least) {
    __atomic_store_n(&writer.least, least, __ATOMIC_RELAXED);
}

void log_close(void) {
    if (!writer.running) return;
    pthread_mutex_lock(&writer.lock);
    writer.stopping = true;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
    pthread_join(writer.thread, NULL);
    writer.running = false;
    buf_fini(&writer.waiting);
    if (writer.path) close(writer.fd);
    mem_free(writer.path);
    writer.path = NULL;
    writer.fd = STDERR_FILENO;
}

void log_reopen(void) {
    pthread_mutex_lock(&writer.lock);
    writer.reopen = writer.path != NULL;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
}

void log_set_mask(void (*mask)(struct buf *line)) {
    writer.mask = mask;
}

bool log_level_parse(struct text t, enum log_level *ret_level) {
    for (size_t i = 0; i < sizeof level_words / sizeof *level_words; i++) {
        if (!text_is(t, level_words[i])) continue;
        *ret_level = (enum log_level)i;
        return true;
    }
    return false;
}
