/* Reads what a supervisor, or the gateway before, has left to this process; the new process's end of a hand-over.
 *
 * Called by cli/serve: first of all, since a process that is to take over has to say why it cannot, whatever the
 * reason; then where it opens sockets; and before it opens the store, which belongs to one process at a time. A line
 * that is cut means that the old process is gone, and its lock on the store with it: the new one goes on. */
#include "cli/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

static bool read_number(const char *name, int64_t *ret) {
    const char *value = getenv(name);
    return value && text_to_int(text_of(value), ret);
}

static bool take_one(struct inherit *inherit, int fd, struct text name, struct fault *fault) {
    if (text_is(name, INHERIT_LINE)) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        inherit->line = fd;
        return true;
    }
    if (!listen_socket_check(fd, fault)) {
        fault_place(fault, "descriptor %d of LISTEN_FDS", fd);
        return false;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    inherit->sockets[inherit->count].own = text_is(name, INHERIT_OWN);
    inherit->sockets[inherit->count++].fd = fd;
    return true;
}

static bool take_all(struct inherit *inherit, int64_t count, struct fault *fault) {
    const char *value = getenv("LISTEN_FDNAMES");
    struct text names = value ? text_of(value) : (struct text){0}, name;
    if (count < 0 || count > INHERIT_MAX)
        return fault_set(fault, FAULT_INVALID, "LISTEN_FDS", "0 to %d descriptors can be taken", INHERIT_MAX);
    for (int i = 0; i < (int)count; i++) {
        if (!text_cut(&names, ':', &name)) name = (struct text){0};
        if (!take_one(inherit, INHERIT_FIRST + i, name, fault)) return false;
    }
    return true;
}

bool inherit_read(struct inherit *ret_inherit, struct fault *fault) {
    *ret_inherit = (struct inherit){.line = -1};
    int64_t pid, count;
    bool good = true;
    if (read_number("LISTEN_PID", &pid) && pid == getpid() && getenv("LISTEN_FDS"))
        good = read_number("LISTEN_FDS", &count) ? take_all(ret_inherit, count, fault)
                                                 : fault_set(fault, FAULT_INVALID, "LISTEN_FDS", "is not a number");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return good;
}

struct listen_socket *inherit_take(struct inherit *inherit, const char *address) {
    for (size_t i = 0; i < inherit->count; i++) {
        int fd = inherit->sockets[i].fd;
        if (fd < 0 || !listen_socket_is_at(fd, address)) continue;
        inherit->sockets[i].fd = -1;
        return listen_socket_adopt(fd, address, inherit->sockets[i].own);
    }
    return NULL;
}

static bool refuse(const char *address, struct fault *fault) {
    return fault_set(
        fault, FAULT_INVALID, "listen",
        "the supervisor holds a socket at %s, which is not listened on: add it to listen, with tls: in front "
        "if it is to speak TLS, or take it from the supervisor",
        address);
}

bool inherit_check_rest(struct inherit *inherit, struct fault *fault) {
    struct buf address;
    bool good = true;
    buf_init(&address, 1024);
    for (size_t i = 0; i < inherit->count && good; i++) {
        int fd = inherit->sockets[i].fd;
        if (fd < 0) continue;
        buf_clear(&address);
        listen_socket_describe(fd, &address);
        if (inherit->line < 0 && !inherit->sockets[i].own) good = refuse(buf_cstr(&address), fault);
        else log_put(LOG_INFO, "listening_no_more", NULL, LOG_STR("address", buf_cstr(&address)));
        close(fd);
        inherit->sockets[i].fd = -1;
    }
    buf_fini(&address);
    return good;
}

/* ---- the line ---- */

static void say(struct inherit *inherit, struct text what) {
    if (inherit->line < 0) return;
    ssize_t sent;
    do sent = send(inherit->line, what.at, what.len, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
}

static void end_line(struct inherit *inherit) {
    if (inherit->line >= 0) close(inherit->line);
    inherit->line = -1;
}

void inherit_wait_store(struct inherit *inherit) {
    if (inherit->line < 0) return;
    const char letter = LINE_PREPARED;
    char answer[LINE_MAX_BYTES];
    ssize_t got;
    say(inherit, (struct text){&letter, 1});
    do got = recv(inherit->line, answer, sizeof answer, 0);
    while ((got < 0 && errno == EINTR) || (got > 0 && answer[0] != LINE_STORE));
}

void inherit_say_ready(struct inherit *inherit) {
    const char letter = LINE_READY;
    say(inherit, (struct text){&letter, 1});
    end_line(inherit);
}

void inherit_say_failed(struct inherit *inherit, const struct fault *fault) {
    struct buf text;
    buf_init(&text, LINE_MAX_BYTES);
    buf_addf(&text, "%c%s%s%s", LINE_FAILED, fault->where, fault->where[0] ? ": " : "", fault->what);
    say(inherit, buf_text(&text));
    buf_fini(&text);
    end_line(inherit);
}
