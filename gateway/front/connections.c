/* All connections of a listener: what they share, and how they end together: where the gateway stops (drain), and where
 * another process takes over (told, retire). What one connection does is connection.c's. */
#include "front/connections.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "front/connection.h"

#define TURN_MS 4 /* of reading, a pass */
#define TURN_OF_REFUSED_MS 1
#define DRAIN_PATIENCE_MS 250   /* for a request to begin, on a connection that was just accepted */
#define RETIRE_PATIENCE_MS 2000 /* for a request to arrive whole */

void connections_init(struct connections *all, struct loop *loop, const struct listener_settings *settings,
                      void (*gone)(void *arg), void *arg) {
    *all = (struct connections){.loop = loop, .settings = settings, .gone = gone, .arg = arg};
    all->guard_limits = (struct guard_limits){.max_head_bytes = settings->limits.max_head_bytes,
                                              .max_headers = settings->limits.max_headers,
                                              .max_body_bytes = settings->limits.max_body_bytes};
    all->crowd = crowd_new(loop, "client_read", TURN_MS, true, connection_readable);
    all->refused = crowd_new(loop, "refused_client_read", TURN_OF_REFUSED_MS, false, connection_readable);
    all->piece = mem_alloc(CONNECTION_PIECE_BYTES);
    buf_init(&all->scratch, CONNECTION_ANSWER_MAX);
    buf_init(&all->refusal.bytes, CONNECTION_ANSWER_MAX);
    answer_date(0, all->date);
}

void connections_fini(struct connections *all) {
    while (all->first) connection_end(all->first);
    crowd_free(all->crowd);
    crowd_free(all->refused);
    mem_free(all->piece);
    buf_fini(&all->scratch);
    buf_fini(&all->refusal.bytes);
}

/* Since it is in its phase. */
static int64_t phase_age_ms(const struct connection *connection) {
    const struct connections *all = connection->all;
    int64_t left = connection->deadline.due_ms - loop_mono_ms(all->loop);
    return connection_phase_ms(connection) - left;
}

void connections_drain(struct connections *all) {
    for (struct connection *connection = all->first, *next; connection; connection = next) {
        next = connection->next;
        if (connection->phase > IDLE || connection_has_news(connection)) continue;
        int64_t left = DRAIN_PATIENCE_MS - phase_age_ms(connection);
        if (connection->served || left <= 0) connection_end(connection);
        else loop_timer_set(&connection->deadline, left); /* it was accepted just now: its request is on the way */
    }
}

/* Kept alive from before, with nobody having said that it ends. */
static bool unaware(const struct connection *connection) {
    return connection->served &&
           (connection->phase == IDLE || (connection->phase == WRITING && !connection->close_after));
}

bool connections_told(const struct connections *all) {
    for (const struct connection *connection = all->first; connection; connection = connection->next)
        if (unaware(connection)) return false;
    return true;
}

/* The client of an idle connection reads an end of the stream, and may go on sending for a moment: no reset. A request
 * of an accepted connection is waited for, though not for ever: those who come after wait in the queue of the socket.
 */
static void retire_one(struct connection *connection) {
    bool late = phase_age_ms(connection) >= RETIRE_PATIENCE_MS;
    switch (connection->phase) {
    case IDLE:
        if (!connection_has_news(connection) && (connection->served || late)) connection_linger(connection);
        break;
    case HANDSHAKE:
        if (late) connection_end(connection);
        break;
    case HEAD:
    case BODY:
        if (late && !connection_has_news(connection))
            connection_refuse(connection, 503, "The gateway is being replaced; send it again");
        break;
    case BUSY:
    case WRITING:
    case LINGER: break;
    }
}

bool connections_retire(struct connections *all) {
    bool quiet = true;
    for (struct connection *connection = all->first, *next; connection; connection = next) {
        next = connection->next;
        retire_one(connection);
    }
    for (const struct connection *connection = all->first; connection; connection = connection->next)
        quiet = quiet && connection->phase == LINGER;
    return quiet;
}

void connections_wait_gone(const struct connections *all, int64_t until_mono_ms) {
    char ignored[4096];
    for (const struct connection *connection = all->first; connection; connection = connection->next) {
        struct pollfd one = {.fd = connection->evhtp->sock, .events = POLLIN};
        for (;;) {
            int64_t left = until_mono_ms - clock_mono_ms();
            if (left <= 0 || poll(&one, 1, (int)left) <= 0) break;
            if (recv(one.fd, ignored, sizeof ignored, MSG_DONTWAIT) <= 0) break;
        }
    }
}
