/* Listening sockets, and the addresses they are written as. */
#ifndef FRONT_LISTEN_SOCKET_H
#define FRONT_LISTEN_SOCKET_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/text.h"

#define LISTEN_BACKLOG \
    4096 /* who comes while another process takes over waits here; the system may have a lower limit */

/* "127.0.0.1:8095", "[::1]:8095", "*:8095" (all IPv4), "[::]:8095" (IPv6 only), "unix:/run/stagedoor.sock", each also
 * with a "tls:" in front. */
struct listen_address {
    const char *text; /* borrowed from what was parsed, and not NUL-terminated unless that is */
    bool tls;
    bool loopback; /* only reachable from this machine */
};
bool listen_address_parse(struct text t, struct listen_address *ret_address,
                          struct fault *fault); /* names are not looked up */

/* "http://127.0.0.1:8095": how a client on this network may call an address that names one. False for a unix socket,
 * for all of the machine's addresses ("*:8095"), and for what cannot be parsed. */
bool listen_address_url(struct text t, struct buf *ret_url);

/* How the gateway itself may call an address, all of the machine's by its loopback one. The URL's host means nothing
 * where there is a unix socket to connect to. False for what cannot be parsed. */
bool listen_address_own_url(struct text t, struct buf *ret_url, struct buf *ret_unix_socket);

/* Opened once, before loops run; every loop listens on a dup of each. A stale unix socket file is replaced, a live one
 * is a fault. */
struct listen_socket;
struct listen_socket *listen_socket_open(const char *address, struct fault *fault);
void listen_socket_close(struct listen_socket *socket); /* removes a unix socket's file, if it was made here */

/* A socket that was opened by somebody else: a supervisor, or the gateway before this one. */
bool listen_socket_check(int fd, struct fault *fault); /* whether it is one: a stream socket that listens */
bool listen_socket_is_at(int fd, const char *address); /* any port will do where the address says 0 */
void listen_socket_describe(int fd, struct buf *out);  /* its address, as `listen` would have it */
/* TAKES the descriptor. `own`: the gateway before this one made it, so a unix socket's file is to be removed at the
 * end. The address is one that the socket is at. GIVES. */
struct listen_socket *listen_socket_adopt(int fd, const char *address, bool own);
int listen_socket_fd(const struct listen_socket *socket);      /* to be passed on */
bool listen_socket_is_own(const struct listen_socket *socket); /* made here, or adopted as own */
void listen_socket_disown(struct listen_socket *socket);       /* another process has it: a unix socket's file stays */
const char *listen_socket_address(const struct listen_socket *socket); /* with the port the system chose for ":0" */

/* ---- for the listener ---- */
struct sockaddr;
int listen_socket_dup(const struct listen_socket *socket); /* GIVES a descriptor of the same socket; -1: none left */
bool listen_socket_is_unix(const struct listen_socket *socket);
bool listen_socket_wants_tls(const struct listen_socket *socket);
bool listen_address_is_loopback(const struct sockaddr *address); /* 127.0.0.0/8, ::1, or a unix socket */

#endif
