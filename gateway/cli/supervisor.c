/* The gateway's side of its supervisor: systemd's notifications, and a pid file for those who signal by hand.
 *
 * Called by cli/serve. A notification that cannot be sent is nobody's trouble but the supervisor's, so it is not
 * reported. The pid file goes by rename; in a hand-over the new process replaces it, and the old one leaves it alone,
 * since it names another process by then. */
#include "cli/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

void supervisor_tell(const char *state) {
    const char *to = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = to ? strlen(to) : 0;
    if (n < 2 || n >= sizeof address.sun_path || (to[0] != '/' && to[0] != '@')) return;
    memcpy(address.sun_path, to, n);
    if (to[0] == '@') address.sun_path[0] = 0; /* a name that is no file */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address, size);
    close(fd);
}

static bool refuse(const char *path, struct fault *fault) {
    return fault_set(fault, FAULT_IO, path, "the pid file cannot be written: %s", strerror(errno));
}

static bool write_part(const char *path, struct buf *part, struct fault *fault) {
    buf_addf(part, "%s.%d", path, (int)getpid());
    int fd = open(buf_cstr(part), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return refuse(path, fault);
    bool written = dprintf(fd, "%d\n", (int)getpid()) > 0;
    return (close(fd) == 0 && written) || refuse(path, fault);
}

static bool replace(const char *path, bool keep, struct fault *fault) {
    struct buf part;
    if (!path[0]) return true;
    buf_init(&part, 8192);
    bool good = write_part(path, &part, fault);
    if (good && keep) good = rename(buf_cstr(&part), path) == 0 || refuse(path, fault);
    if (!good || !keep) unlink(buf_cstr(&part));
    buf_fini(&part);
    return good;
}

bool supervisor_pid_check(const char *path, struct fault *fault) {
    return replace(path, false, fault);
}

bool supervisor_pid_write(const char *path, struct fault *fault) {
    return replace(path, true, fault);
}

void supervisor_pid_remove(const char *path) {
    char digits[24] = "";
    int64_t pid;
    int fd = path[0] ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    ssize_t got = read(fd, digits, sizeof digits);
    close(fd);
    struct text named = text_trim((struct text){digits, got > 0 ? (size_t)got : 0});
    if (text_to_int(named, &pid) && pid == getpid()) unlink(path);
}
