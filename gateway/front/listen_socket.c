/* Listening sockets: an address as text becomes a bound descriptor.
 *
 * Opened once, before loops run; each listener works on a dup of it. That way a connection waits in one queue for
 * whichever loop is free, and none is lost when a loop goes. Sockets are not left to libevhtp: it binds to any address
 * when it does not understand one, and says that it succeeded. Names are never looked up, for that could block and
 * surprise. A unix socket's file is removed at the end only if it is still the one that was made here.
 *
 * A socket may also come from another process: a supervisor that holds it, or the gateway that this one takes over
 * from. It is then found by what it is bound to, and used as it is. */
#include "front/listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

#define UNIX_MODE 0660

struct listen_socket {
    int fd;
    int family;
    bool tls;
    char *address; /* as text, with the real port */
    bool own;      /* not a supervisor's */
    char *path;    /* of a unix socket that is ours; NULL otherwise */
    dev_t device;  /* of its file */
    ino_t inode;
};

/* ---- addresses ---- */

struct place {
    bool tls;
    struct text path; /* of a unix socket; at is NULL otherwise */
    struct text host; /* without brackets */
    struct text port;
    bool v6;
};

static bool split_host(struct text rest, struct place *place, struct fault *fault) {
    const char *colon = rest.len ? memrchr(rest.at, ':', rest.len) : NULL;
    if (!colon)
        return fault_set(fault, FAULT_INVALID, NULL,
                         "'%.*s' has no port: write 127.0.0.1:8095, [::1]:8095 or unix:/path", TEXT_ARG(rest));
    place->host = (struct text){rest.at, (size_t)(colon - rest.at)};
    place->port = (struct text){colon + 1, rest.len - place->host.len - 1};
    int64_t port;
    if (place->port.len > 5 || !text_to_int(place->port, &port) || port < 0 || port > 65535 || place->port.at[0] == '-')
        return fault_set(fault, FAULT_INVALID, NULL, "'%.*s' is not a port", TEXT_ARG(place->port));
    struct text *host = &place->host;
    if (host->len > 2 && host->at[0] == '[' && host->at[host->len - 1] == ']') {
        *host = (struct text){host->at + 1, host->len - 2};
        place->v6 = true;
    } else if (text_is(*host, "*")) *host = TEXT("0.0.0.0");
    return true;
}

static bool split(struct text t, struct place *ret_place, struct fault *fault) {
    *ret_place = (struct place){0};
    if (memchr(t.at ? t.at : "", 0, t.len)) return fault_set(fault, FAULT_INVALID, NULL, "the address has a NUL in it");
    if (text_starts(t, "tls:")) {
        ret_place->tls = true;
        t = (struct text){t.at + 4, t.len - 4};
    }
    if (!text_starts(t, "unix:")) return split_host(t, ret_place, fault);
    ret_place->path = (struct text){t.at + 5, t.len - 5};
    if (ret_place->path.len == 0) return fault_set(fault, FAULT_INVALID, NULL, "'unix:' lacks the socket's path");
    if (ret_place->path.len >= sizeof((struct sockaddr_un){0}).sun_path)
        return fault_set(fault, FAULT_TOO_LARGE, NULL, "a unix socket's path has at most %zu bytes",
                         sizeof((struct sockaddr_un){0}).sun_path - 1);
    return true;
}

static struct addrinfo *resolve(const struct place *place, struct fault *fault) {
    char host[INET6_ADDRSTRLEN + 20], port[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_family = place->v6 ? AF_INET6 : AF_INET,
                             .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    int failed = EAI_NONAME;
    struct in_addr plain;
    if (place->host.len && place->host.len < sizeof host) {
        memcpy(host, place->host.at, place->host.len);
        host[place->host.len] = 0;
        memcpy(port, place->port.at, place->port.len);
        port[place->port.len] = 0;
        /* getaddrinfo also takes "127.1" and "0x7f000001"; nobody who writes those means it */
        if (place->v6 || inet_pton(AF_INET, host, &plain) == 1) failed = getaddrinfo(host, port, &hints, &found);
    }
    if (!failed) return found;
    fault_set(fault, FAULT_INVALID, NULL,
              "'%.*s' is not an IP address: write 127.0.0.1, [::1] or * (names are not looked up)",
              TEXT_ARG(place->host));
    return NULL;
}

bool listen_address_is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_UNIX) return true;
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof six);
        return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
    }
    struct sockaddr_in four;
    memcpy(&four, address, sizeof four);
    return address->sa_family == AF_INET && ntohl(four.sin_addr.s_addr) >> 24 == 127;
}

bool listen_address_parse(struct text t, struct listen_address *ret_address, struct fault *fault) {
    struct place place;
    if (!split(t, &place, fault)) return false;
    *ret_address = (struct listen_address){.text = t.at, .tls = place.tls, .loopback = true};
    if (place.path.at) return true;
    struct addrinfo *found = resolve(&place, fault);
    if (!found) return false;
    ret_address->loopback = listen_address_is_loopback(found->ai_addr);
    freeaddrinfo(found);
    return true;
}

static bool is_for_all(const struct place *place, const struct addrinfo *found) {
    struct sockaddr_in four = {0};
    struct sockaddr_in6 six = {0};
    if (place->v6) memcpy(&six, found->ai_addr, sizeof six);
    else memcpy(&four, found->ai_addr, sizeof four);
    return place->v6 ? IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr) : four.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool listen_address_url(struct text t, struct buf *ret_url) {
    struct place place;
    if (!split(t, &place, NULL) || place.path.at) return false;
    struct addrinfo *found = resolve(&place, NULL);
    if (!found) return false;
    bool all = is_for_all(&place, found);
    freeaddrinfo(found);
    if (!all)
        buf_addf(ret_url, "%s://%s%.*s%s:%.*s", place.tls ? "https" : "http", place.v6 ? "[" : "", TEXT_ARG(place.host),
                 place.v6 ? "]" : "", TEXT_ARG(place.port));
    return !all;
}

bool listen_address_own_url(struct text t, struct buf *ret_url, struct buf *ret_unix_socket) {
    struct place place;
    struct addrinfo *found = NULL;
    if (!split(t, &place, NULL)) return false;
    buf_addf(ret_url, "%s://", place.tls ? "https" : "http");
    buf_addt(ret_unix_socket, place.path);
    if (place.path.at) buf_adds(ret_url, "localhost");
    else if (!(found = resolve(&place, NULL))) return false;
    else if (is_for_all(&place, found))
        buf_addf(ret_url, "%s:%.*s", place.v6 ? "[::1]" : "127.0.0.1", TEXT_ARG(place.port));
    else
        buf_addf(ret_url, "%s%.*s%s:%.*s", place.v6 ? "[" : "", TEXT_ARG(place.host), place.v6 ? "]" : "",
                 TEXT_ARG(place.port));
    if (found) freeaddrinfo(found);
    return true;
}

/* ---- sockets of others ---- */

bool listen_socket_check(int fd, struct fault *fault) {
    int type = 0, listens = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return fault_set(fault, FAULT_INVALID, NULL, "it is no socket: %s", strerror(errno));
    size = sizeof listens;
    if (type == SOCK_STREAM && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens) return true;
    return fault_set(fault, FAULT_INVALID, NULL, "it is not a stream socket that listens");
}

union bound {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

static bool find_bound(int fd, union bound *ret_bound) {
    socklen_t size = sizeof *ret_bound;
    memset(ret_bound, 0, sizeof *ret_bound);
    return getsockname(fd, &ret_bound->any, &size) == 0;
}

static bool same_inet(const union bound *bound, const struct sockaddr *wanted) {
    union bound other = {0};
    memcpy(&other, wanted, wanted->sa_family == AF_INET6 ? sizeof other.six : sizeof other.four);
    if (bound->any.sa_family != wanted->sa_family) return false;
    if (wanted->sa_family == AF_INET6)
        return memcmp(&bound->six.sin6_addr, &other.six.sin6_addr, sizeof other.six.sin6_addr) == 0 &&
               (other.six.sin6_port == 0 || bound->six.sin6_port == other.six.sin6_port);
    return bound->four.sin_addr.s_addr == other.four.sin_addr.s_addr &&
           (other.four.sin_port == 0 || bound->four.sin_port == other.four.sin_port);
}

bool listen_socket_is_at(int fd, const char *address) {
    struct place place;
    union bound bound;
    if (!split(text_of(address), &place, NULL) || !find_bound(fd, &bound)) return false;
    if (place.path.at) return bound.any.sa_family == AF_UNIX && text_is(place.path, bound.un.sun_path);
    struct addrinfo *found = resolve(&place, NULL);
    if (!found) return false;
    bool same = same_inet(&bound, found->ai_addr);
    freeaddrinfo(found);
    return same;
}

void listen_socket_describe(int fd, struct buf *out) {
    char ip[INET6_ADDRSTRLEN] = "?";
    union bound bound;
    if (!find_bound(fd, &bound)) buf_adds(out, "unknown");
    else if (bound.any.sa_family == AF_UNIX) buf_addf(out, "unix:%s", bound.un.sun_path);
    else if (bound.any.sa_family == AF_INET6)
        buf_addf(out, "[%s]:%d", inet_ntop(AF_INET6, &bound.six.sin6_addr, ip, sizeof ip), ntohs(bound.six.sin6_port));
    else if (bound.any.sa_family == AF_INET)
        buf_addf(out, "%s:%d", inet_ntop(AF_INET, &bound.four.sin_addr, ip, sizeof ip), ntohs(bound.four.sin_port));
    else buf_adds(out, "of an unknown family");
}

/* ---- sockets ---- */

static bool listen_fault(struct fault *fault, const char *doing) {
    return fault_set(fault, FAULT_IO, NULL, "cannot %s: %s", doing, strerror(errno));
}

/* Removes the file of a gateway that is gone; anything else stays, and bind then says so. */
static bool remove_stale(const struct sockaddr_un *address, struct fault *fault) {
    struct stat found;
    if (lstat(address->sun_path, &found) < 0)
        return errno == ENOENT || listen_fault(fault, "look at the socket's path");
    if (!S_ISSOCK(found.st_mode)) return fault_set(fault, FAULT_CONFLICT, NULL, "there is a file that is not a socket");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return listen_fault(fault, "make a socket");
    int failed = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
    close(fd);
    if (failed != ECONNREFUSED)
        return fault_set(fault, FAULT_CONFLICT, NULL, "another process is listening there%s%s", failed ? ": " : "",
                         failed ? strerror(failed) : "");
    return unlink(address->sun_path) == 0 || listen_fault(fault, "remove the stale socket");
}

static bool note_file(struct listen_socket *socket_) {
    struct stat made;
    if (lstat(socket_->path, &made) < 0) return false;
    socket_->device = made.st_dev;
    socket_->inode = made.st_ino;
    return true;
}

static bool open_unix(struct listen_socket *socket_, struct text path, struct fault *fault) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path.at, path.len);
    if (!remove_stale(&address, fault)) return false;
    socket_->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_->fd < 0) return listen_fault(fault, "make a socket");
    fchmod(socket_->fd, UNIX_MODE); /* so that the file is never open to others, not even until the chmod below */
    if (bind(socket_->fd, (struct sockaddr *)&address, sizeof address) < 0) return listen_fault(fault, "bind");
    socket_->path = mem_strndup(path.at, path.len);
    if (chmod(socket_->path, UNIX_MODE) < 0 || !note_file(socket_)) return listen_fault(fault, "set the socket's mode");
    return true;
}

static bool open_inet(struct listen_socket *socket_, const struct addrinfo *at, struct fault *fault) {
    const int on = 1;
    socket_->family = at->ai_family;
    socket_->fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_->fd < 0) return listen_fault(fault, "make a socket");
    setsockopt(socket_->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(socket_->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(socket_->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (at->ai_family == AF_INET6 && setsockopt(socket_->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return listen_fault(fault, "keep an IPv6 socket to IPv6");
    if (bind(socket_->fd, at->ai_addr, at->ai_addrlen) < 0) return listen_fault(fault, "bind");
    return true;
}

/* The address again, with the port that the system chose where 0 was asked for. */
static char *real_address(int fd, const struct place *place) {
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    in_port_t port = 0;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0)
        memcpy(&port,
               (char *)&bound + (bound.ss_family == AF_INET6 ? offsetof(struct sockaddr_in6, sin6_port)
                                                             : offsetof(struct sockaddr_in, sin_port)),
               sizeof port);
    struct buf text;
    buf_init(&text, 200);
    buf_addf(&text, place->v6 ? "%s[%.*s]:%d" : "%s%.*s:%d", place->tls ? "tls:" : "", TEXT_ARG(place->host),
             ntohs(port));
    return buf_take(&text);
}

static bool socket_open(struct listen_socket *socket_, const char *address, struct fault *fault) {
    struct place place;
    if (!split(text_of(address), &place, fault)) return false;
    socket_->tls = place.tls;
    socket_->family = AF_UNIX;
    if (place.path.at) {
        if (!open_unix(socket_, place.path, fault)) return false;
        socket_->address = mem_strdup(address);
    } else {
        struct addrinfo *found = resolve(&place, fault);
        if (!found) return false;
        bool opened = open_inet(socket_, found, fault);
        freeaddrinfo(found);
        if (!opened) return false;
        socket_->address = real_address(socket_->fd, &place);
    }
    return listen(socket_->fd, LISTEN_BACKLOG) == 0 || listen_fault(fault, "listen");
}

struct listen_socket *listen_socket_open(const char *address, struct fault *fault) {
    struct listen_socket *made = mem_alloc(sizeof *made);
    made->fd = -1;
    made->own = true;
    if (socket_open(made, address, fault)) return made;
    fault_place(fault, "%s", address);
    listen_socket_close(made);
    return NULL;
}

struct listen_socket *listen_socket_adopt(int fd, const char *address, bool own) {
    const int on = 1;
    struct place place;
    struct listen_socket *made = mem_alloc(sizeof *made);
    made->fd = fd;
    made->own = own;
    split(text_of(address), &place, NULL);
    made->tls = place.tls;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (place.path.at) {
        made->family = AF_UNIX;
        made->address = mem_strdup(address);
        made->path = own ? mem_strndup(place.path.at, place.path.len) : NULL;
        if (own) note_file(made);
    } else {
        made->family = place.v6 ? AF_INET6 : AF_INET;
        made->address = real_address(fd, &place);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return made;
}

int listen_socket_fd(const struct listen_socket *socket_) {
    return socket_->fd;
}

bool listen_socket_is_own(const struct listen_socket *socket_) {
    return socket_->own;
}

void listen_socket_disown(struct listen_socket *socket_) {
    mem_free(socket_->path);
    socket_->path = NULL;
}

void listen_socket_close(struct listen_socket *socket_) {
    if (!socket_) return;
    struct stat now;
    if (socket_->path && lstat(socket_->path, &now) == 0 && now.st_dev == socket_->device &&
        now.st_ino == socket_->inode)
        unlink(socket_->path);
    if (socket_->fd >= 0) close(socket_->fd);
    mem_free(socket_->address);
    mem_free(socket_->path);
    mem_free(socket_);
}

const char *listen_socket_address(const struct listen_socket *socket_) {
    return socket_->address;
}

int listen_socket_dup(const struct listen_socket *socket_) {
    return fcntl(socket_->fd, F_DUPFD_CLOEXEC, 0);
}

bool listen_socket_is_unix(const struct listen_socket *socket_) {
    return socket_->family == AF_UNIX;
}

bool listen_socket_wants_tls(const struct listen_socket *socket_) {
    return socket_->tls;
}
