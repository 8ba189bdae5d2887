/* What this process was started with: listening sockets that another process opened, and maybe a line to that process.
 *
 * The protocol is systemd's, sd_listen_fds(3): LISTEN_PID is ours, LISTEN_FDS says how many descriptors there are from
 * 3 on, LISTEN_FDNAMES names them. A gateway that hands over to a new process (cli/upgrade) speaks it too; it names the
 * sockets it made itself INHERIT_OWN, the others as they were named, and the line INHERIT_LINE. */
#ifndef CLI_INHERIT_H
#define CLI_INHERIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "front/listen_socket.h"

#define INHERIT_FIRST 3
#define INHERIT_MAX 65 /* 64 addresses may be listened on, and the line */
#define INHERIT_OWN "stagedoor-own"
#define INHERIT_HELD "stagedoor-held"
#define INHERIT_LINE "stagedoor-line"

/* What is said on the line, one letter a message. */
enum {
    LINE_PREPARED = 'p', /* the new process: everything is read and found good; it lacks but the store */
    LINE_FAILED = 'f',   /* the new process: it cannot start; the reason follows */
    LINE_READY = 'r',    /* the new process: it answers requests */
    LINE_STORE = 's'     /* the old process: the store is free */
};
#define LINE_MAX_BYTES 2048

struct inherit {
    struct {
        int fd; /* -1: it was taken */
        bool own;
    } sockets[INHERIT_MAX];
    size_t count;
    int line; /* -1: none */
};

/* Reads the environment and takes the variables out of it. To be called once, before there are threads. */
bool inherit_read(struct inherit *ret_inherit, struct fault *fault);
/* The socket that is bound to the address, adopted; NULL: there is none. GIVES */
struct listen_socket *inherit_take(struct inherit *inherit, const char *address);
/* What `listen` does not name: an error where a supervisor holds it; closed where the gateway before listened there. */
bool inherit_check_rest(struct inherit *inherit, struct fault *fault);

/* The new process's end of the line; all of these do nothing where there is none. */
void inherit_wait_store(struct inherit *inherit); /* says PREPARED, and blocks until the store is free */
void inherit_say_ready(struct inherit *inherit);  /* the last word */
void inherit_say_failed(struct inherit *inherit, const struct fault *fault); /* the last word */

#endif
