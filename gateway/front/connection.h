/* A connection, for connections.c and connection.c alone. */
#ifndef FRONT_CONNECTION_H
#define FRONT_CONNECTION_H

#include <event2/bufferevent.h>
#include <evhtp.h>

#include "front/callers.h"
#include "front/connections.h"
#include "front/tls.h"

#define CONNECTION_PIECE_BYTES TLS_PIECE_BYTES /* read at once */
#define CONNECTION_ANSWER_MAX (256 << 20)      /* bytes */

enum phase { HANDSHAKE, IDLE, HEAD, BODY, BUSY, WRITING, LINGER };

struct connection {
    struct connection *next, **link; /* the place that points here */
    struct connections *all;
    evhtp_connection_t *evhtp;
    struct tls_session *session; /* NULL: plain */
    struct guard guard;
    struct evbuffer *raw; /* what the guard has not eaten */
    struct exchange *exchange;
    enum phase phase;
    struct loop_timer deadline;
    size_t unwritten; /* what the client had not got when the write deadline was last looked at */
    int minor;        /* of the request under way */
    bool head_only, keep_alive;
    bool close_after;    /* the answer that is being written is the last one */
    bool sent_all;       /* the client sends no more */
    struct crowd *crowd; /* that it is a member of */
    bool throttled;
    bool refused; /* its last answer was 503 */
    bool served;  /* a request of it was answered */
    bool dead;
    bool is_too_many; /* more are open than there may be: it is told so */
    bool is_unix, loopback;
    char *client_name;
    struct caller_memo memo;
    char peer[INET6_ADDRSTRLEN + 10];
};

int64_t connection_phase_ms(const struct connection *connection); /* how long it may be in its phase; 0: for ever */
bool connection_has_news(const struct connection *connection);    /* something has arrived, and was not read yet */
void connection_readable(void *member);                           /* as a member of a crowd */
void connection_end(struct connection *connection);               /* at once */
void connection_linger(struct connection *connection);            /* after a FIN, when the client has read it */
void connection_refuse(struct connection *connection, int status, const char *what); /* and its end */

#endif
