/* Connections that wait for their next call, by what they may be used for.
 *
 * A place is an origin with its settings: an upstream that one certificate vouched for is never called over a
 * connection that another one did. transfer.c takes a connection from its place, or makes one, and lets it rest when a
 * reply is whole and the peer keeps it open. There rest so many as were asked for, of all places together; the one that
 * has rested longest goes first, and each goes after a minute.
 *
 * A connection is watched for as long as it is open, also at rest: a peer that closes it, or says what nobody has
 * asked for, ends it then. Since that may have happened in this very pass of the loop, it is looked at once more before
 * it is used. Always holds: what rests has no owner, and is in both lists. */
#include "back/connection.h"

#include <string.h>

#include "base/mem.h"

struct connections {
    struct loop *loop;
    size_t count, max; /* at rest */
    struct connection *youngest, *oldest;
    struct connection_place *places;
    struct loop_timer timer; /* for the oldest one */
};

/* ---- places ---- */

static bool place_is(const struct connection_place *place, const char *unix_socket, const struct stage_tls *tls,
                     bool own_origin) {
    if (place->unix_socket && unix_socket ? strcmp(place->unix_socket, unix_socket) != 0
                                          : place->unix_socket != unix_socket)
        return false;
    return !place->origin->is_tls || trust_is(&place->trust, tls, own_origin);
}

struct connection_place *connections_place(struct connections *connections, struct origin *origin,
                                           const char *unix_socket, const struct stage_tls *tls, bool own_origin) {
    for (struct connection_place *place = origin->places; place; place = place->next)
        if (place_is(place, unix_socket, tls, own_origin)) return place;
    struct connection_place *place = mem_alloc(sizeof *place);
    *place = (struct connection_place){.next = origin->places,
                                       .next_of_all = connections->places,
                                       .connections = connections,
                                       .origin = origin,
                                       .unix_socket = mem_strdup(unix_socket)};
    trust_init(&place->trust, tls, own_origin);
    origin->places = place;
    connections->places = place;
    return place;
}

/* ---- rest ---- */

static void leave_rest(struct connection *connection) {
    struct connections *connections = connection->place->connections;
    if (connection->previous) connection->previous->next = connection->next;
    else connection->place->resting = connection->next;
    if (connection->next) connection->next->previous = connection->previous;
    if (connection->younger) connection->younger->older = connection->older;
    else connections->youngest = connection->older;
    if (connection->older) connection->older->younger = connection->younger;
    else connections->oldest = connection->younger;
    connections->count--;
}

static void enter_rest(struct connection *connection) {
    struct connection_place *place = connection->place;
    struct connections *connections = place->connections;
    connection->previous = connection->younger = NULL;
    connection->next = place->resting;
    if (connection->next) connection->next->previous = connection;
    place->resting = connection;
    connection->older = connections->youngest;
    if (connection->older) connection->older->younger = connection;
    else connections->oldest = connection;
    connections->youngest = connection;
    connections->count++;
}

static void dismiss(struct connection *connection) {
    leave_rest(connection);
    connection_close(connection);
}

static void on_timer(void *arg) {
    struct connections *connections = arg;
    int64_t now_ms = loop_mono_ms(connections->loop);
    while (connections->oldest && now_ms - connections->oldest->rested_ms >= CONNECTION_KEPT_MS)
        dismiss(connections->oldest);
    if (connections->oldest)
        loop_timer_set(&connections->timer, connections->oldest->rested_ms + CONNECTION_KEPT_MS - now_ms);
}

void connection_rest(struct connection *connection) {
    struct connections *connections = connection->place->connections;
    connection->owner = NULL;
    connection->ready = NULL;
    connection->rested_ms = loop_mono_ms(connections->loop);
    connection_want(connection, false);
    enter_rest(connection);
    if (connections->count > connections->max) dismiss(connections->oldest);
    if (connections->count && !loop_timer_waits(&connections->timer))
        loop_timer_set(&connections->timer, CONNECTION_KEPT_MS);
}

struct connection *connection_take(struct connection_place *place, int64_t max_rest_ms) {
    int64_t now_ms = loop_mono_ms(place->connections->loop);
    for (struct connection *connection = place->resting, *next; connection; connection = next) {
        next = connection->next;
        bool is_old = now_ms - connection->rested_ms >= max_rest_ms;
        if (!is_old && stream_is_quiet(&connection->stream)) {
            leave_rest(connection);
            return connection;
        }
        dismiss(connection);
        if (is_old) return NULL; /* so are all behind it; a new one takes its place */
    }
    return NULL;
}

/* ---- one ---- */

static void on_watch(void *arg, int fd, int events) {
    (void)fd;
    struct connection *connection = arg;
    if (connection->owner) connection->ready(connection->owner, events);
    else if (!stream_is_quiet(&connection->stream)) dismiss(connection);
}

struct connection *connection_new(struct connection_place *place, int fd, SSL *ssl) {
    struct connection *connection = mem_alloc(sizeof *connection);
    *connection = (struct connection){.place = place};
    stream_init(&connection->stream, fd, ssl);
    connection->watch = loop_watch_new(place->connections->loop, fd, LOOP_READ, "upstream", on_watch, connection);
    return connection;
}

void connection_use(struct connection *connection, void (*ready)(void *owner, int events), void *owner) {
    connection->ready = ready;
    connection->owner = owner;
}

void connection_want(struct connection *connection, bool to_write) {
    loop_watch_change(connection->watch, LOOP_READ | (to_write ? LOOP_WRITE : 0));
}

void connection_close(struct connection *connection) {
    loop_watch_free(connection->watch);
    stream_fini(&connection->stream);
    mem_free(connection);
}

/* ---- all ---- */

struct connections *connections_new(struct loop *loop, size_t max_resting) {
    struct connections *connections = mem_alloc(sizeof *connections);
    *connections = (struct connections){.loop = loop, .max = max_resting};
    loop_timer_init(&connections->timer, loop, "upstream_rest", on_timer, connections);
    return connections;
}

void connections_free(struct connections *connections) {
    if (!connections) return;
    while (connections->oldest) dismiss(connections->oldest);
    loop_timer_clear(&connections->timer);
    while (connections->places) {
        struct connection_place *place = connections->places;
        connections->places = place->next_of_all;
        trust_fini(&place->trust);
        mem_free(place->unix_socket);
        mem_free(place);
    }
    mem_free(connections);
}
