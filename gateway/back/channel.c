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
#include "back/channel.h"

#include "base/mem.h"

struct channels {
    struct loop *loop;
    size_t count, max; /* at rest */
    struct channel *youngest, *oldest;
    struct channel_place *places;
    struct loop_timer timer; /* for the oldest one */
};

/* ---- places ---- */

static bool place_is(const struct channel_place *place, const char *unix_socket, const struct stage_tls *tls,
                     bool own_origin) {
    if (!text_same_cstr(place->unix_socket, unix_socket)) return false;
    return !place->origin->is_tls || trust_is(&place->trust, tls, own_origin);
}

struct channel_place *channels_place(struct channels *channels, struct origin *origin, const char *unix_socket,
                                     const struct stage_tls *tls, bool own_origin) {
    for (struct channel_place *place = origin->places; place; place = place->next)
        if (place_is(place, unix_socket, tls, own_origin)) return place;
    struct channel_place *place = mem_alloc(sizeof *place);
    *place = (struct channel_place){.next = origin->places,
                                    .next_of_all = channels->places,
                                    .channels = channels,
                                    .origin = origin,
                                    .unix_socket = mem_strdup(unix_socket)};
    trust_init(&place->trust, tls, own_origin);
    origin->places = place;
    channels->places = place;
    return place;
}

/* ---- rest ---- */

static void leave_rest(struct channel *channel) {
    struct channels *channels = channel->place->channels;
    if (channel->previous) channel->previous->next = channel->next;
    else channel->place->resting = channel->next;
    if (channel->next) channel->next->previous = channel->previous;
    if (channel->younger) channel->younger->older = channel->older;
    else channels->youngest = channel->older;
    if (channel->older) channel->older->younger = channel->younger;
    else channels->oldest = channel->younger;
    channels->count--;
}

static void enter_rest(struct channel *channel) {
    struct channel_place *place = channel->place;
    struct channels *channels = place->channels;
    channel->previous = channel->younger = NULL;
    channel->next = place->resting;
    if (channel->next) channel->next->previous = channel;
    place->resting = channel;
    channel->older = channels->youngest;
    if (channel->older) channel->older->younger = channel;
    else channels->oldest = channel;
    channels->youngest = channel;
    channels->count++;
}

static void dismiss(struct channel *channel) {
    leave_rest(channel);
    channel_close(channel);
}

static void on_timer(void *arg) {
    struct channels *channels = arg;
    int64_t now_ms = loop_mono_ms(channels->loop);
    while (channels->oldest && now_ms - channels->oldest->rested_ms >= CHANNEL_KEPT_MS) dismiss(channels->oldest);
    if (channels->oldest) loop_timer_set(&channels->timer, channels->oldest->rested_ms + CHANNEL_KEPT_MS - now_ms);
}

void channel_rest(struct channel *channel) {
    struct channels *channels = channel->place->channels;
    channel->owner = NULL;
    channel->ready = NULL;
    channel->rested_ms = loop_mono_ms(channels->loop);
    channel_want(channel, false);
    enter_rest(channel);
    if (channels->count > channels->max) dismiss(channels->oldest);
    if (channels->count && !loop_timer_waits(&channels->timer)) loop_timer_set(&channels->timer, CHANNEL_KEPT_MS);
}

static bool is_good(struct channel *channel) {
    struct stream *stream = &channel->stream;
    return stream_is_quiet(stream) && (!stream->ssl || trust_holds(&channel->place->trust, stream->ssl));
}

struct channel *channel_take(struct channel_place *place, int64_t max_rest_ms) {
    int64_t now_ms = loop_mono_ms(place->channels->loop);
    for (struct channel *channel = place->resting, *next; channel; channel = next) {
        next = channel->next;
        bool is_old = now_ms - channel->rested_ms >= max_rest_ms;
        if (!is_old && is_good(channel)) {
            leave_rest(channel);
            return channel;
        }
        dismiss(channel);
        if (is_old) return NULL; /* so are all behind it; a new one takes its place */
    }
    return NULL;
}

/* ---- one ---- */

static void on_watch(void *arg, int fd, int events) {
    (void)fd;
    struct channel *channel = arg;
    if (channel->owner) channel->ready(channel->owner, events);
    else if (!stream_is_quiet(&channel->stream)) dismiss(channel);
}

struct channel *channel_new(struct channel_place *place, int fd, SSL *ssl) {
    struct channel *channel = mem_alloc(sizeof *channel);
    *channel = (struct channel){.place = place};
    stream_init(&channel->stream, fd, ssl);
    channel->watch = loop_watch_new(place->channels->loop, fd, LOOP_READ, "upstream", on_watch, channel);
    return channel;
}

void channel_use(struct channel *channel, void (*ready)(void *owner, int events), void *owner) {
    channel->ready = ready;
    channel->owner = owner;
}

void channel_want(struct channel *channel, bool to_write) {
    loop_watch_change(channel->watch, LOOP_READ | (to_write ? LOOP_WRITE : 0));
}

void channel_close(struct channel *channel) {
    loop_watch_free(channel->watch);
    stream_fini(&channel->stream);
    mem_free(channel);
}

/* ---- all ---- */

struct channels *channels_new(struct loop *loop, size_t max_resting) {
    struct channels *channels = mem_alloc(sizeof *channels);
    *channels = (struct channels){.loop = loop, .max = max_resting};
    loop_timer_init(&channels->timer, loop, "upstream_rest", on_timer, channels);
    return channels;
}

void channels_free(struct channels *channels) {
    if (!channels) return;
    while (channels->oldest) dismiss(channels->oldest);
    loop_timer_clear(&channels->timer);
    while (channels->places) {
        struct channel_place *place = channels->places;
        channels->places = place->next_of_all;
        trust_fini(&place->trust);
        mem_free(place->unix_socket);
        mem_free(place);
    }
    mem_free(channels);
}
