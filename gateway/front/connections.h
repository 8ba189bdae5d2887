/* Connections: the clients of one listener, from accept to close. For the listener alone. */
#ifndef FRONT_CONNECTIONS_H
#define FRONT_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crowd.h"
#include "base/loop.h"
#include "base/text.h"
#include "front/answer.h"
#include "front/guard.h"
#include "front/listener.h"

struct ssl_ctx_st;
struct evhtp_connection;
struct connection;

/* An answer that is given again and again, as bytes. */
struct ready_answer {
    const struct answer *answer;
    struct answer_wire wire;
    int64_t second; /* of its date */
    struct buf bytes;
};

/* All connections of a listener, and what they share. */
struct connections {
    struct loop *loop;
    const struct listener_settings *settings; /* borrowed */
    void (*gone)(void *arg);                  /* told of each that has ended; from anywhere */
    void *arg;
    bool leaving;  /* each answer is its connection's last */
    bool draining; /* and so is one that was begun before */
    size_t count;
    /* what follows is connection.c's and connections.c's */
    struct connection *first;
    struct guard_limits guard_limits;
    struct crowd *crowd, *refused; /* who is read, and who is read last */
    char *piece;                   /* what was read just now */
    struct buf scratch;            /* an answer on its way to a bufferevent */
    struct ready_answer refusal;   /* the last one of who was turned away */
    int64_t date_second;
    char date[ANSWER_DATE_SIZE];
};

void connections_init(struct connections *all, struct loop *loop, const struct listener_settings *settings,
                      void (*gone)(void *arg), void *arg);
void connections_fini(struct connections *all); /* closes what is open */

/* TAKES a connection that libevhtp has just accepted: it sees none of its bytes. Over the limit it is told so. `tls`
 * NULL: it is plain. */
void connections_add(struct connections *all, struct evhtp_connection *evhtp, bool is_unix, struct ssl_ctx_st *tls);

/* Where nobody is accepted any more. Idle connections end, and those that came just now soon; all others after their
 * answer. */
void connections_drain(struct connections *all);
bool connections_told(const struct connections *all); /* no client is left that was not told that its connection ends */
/* Half-closes what is idle, and refuses what takes too long to arrive. Whether no request is left. */
bool connections_retire(struct connections *all);
/* Blocks until the clients of lingering connections have closed them, or the time has come. */
void connections_wait_gone(const struct connections *all, int64_t until_mono_ms);

#endif
