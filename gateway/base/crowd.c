/* The crowd on epoll. How long its members wait is measured by one of them that is ours: an eventfd, made readable when
 * a turn ends with more to do, is reached when all that were ready before it have been read. While that takes longer
 * than LOOP_BEHIND_MS the loop is behind, if the crowd presses. Always holds: `probe_ms` is set exactly while the
 * eventfd is readable. */
#include "base/crowd.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/count.h"
#include "base/mem.h"

#define BATCH 64

struct crowd {
    struct loop *loop;
    int64_t turn_ms;
    bool presses;
    void (*readable)(void *);
    int fd, probe_fd;
    struct loop_watch *watch;
    int64_t probe_ms; /* when it was made readable; 0: it is not */
    bool behind;
    struct epoll_event batch[BATCH];
    int at, count; /* of the batch; the next one that gets its turn */
};

static void set_behind(struct crowd *crowd, bool behind) {
    if (!crowd->presses || behind == crowd->behind) return;
    crowd->behind = behind;
    loop_count_behind(crowd->loop, behind ? 1 : -1);
}

/* ---- how long they wait ---- */

static void probe_begin(struct crowd *crowd) {
    uint64_t one = 1;
    if (crowd->probe_ms) return;
    if (write(crowd->probe_fd, &one, sizeof one) == sizeof one) crowd->probe_ms = loop_mono_ms(crowd->loop);
}

static int64_t probe_age_ms(const struct crowd *crowd) {
    return crowd->probe_ms ? loop_mono_ms(crowd->loop) - crowd->probe_ms : 0;
}

static void probe_end(struct crowd *crowd) {
    uint64_t ignored;
    if (crowd->presses) count_observe(COUNT_HISTOGRAM_READ_WAIT_MS, probe_age_ms(crowd));
    set_behind(crowd, probe_age_ms(crowd) > LOOP_BEHIND_MS);
    if (read(crowd->probe_fd, &ignored, sizeof ignored) == sizeof ignored) crowd->probe_ms = 0;
}

/* ---- a turn ---- */

static void serve(struct crowd *crowd, void *member) {
    if (member == crowd) {
        probe_end(crowd);
        return;
    }
    crowd->readable(member);
    loop_tick(crowd->loop);
}

static bool serve_batch(struct crowd *crowd, int64_t until_ms) {
    while (crowd->at < crowd->count) {
        if (loop_mono_ms(crowd->loop) >= until_ms) return false;
        void *member = crowd->batch[crowd->at++].data.ptr;
        if (member) serve(crowd, member);
    }
    return true;
}

/* False: out of time. What is left of a batch is where the next turn begins. */
static bool serve_all(struct crowd *crowd, int64_t until_ms) {
    bool in_time = serve_batch(crowd, until_ms);
    for (bool more = true; in_time && more; more = crowd->count == BATCH) {
        crowd->at = 0;
        crowd->count = epoll_wait(crowd->fd, crowd->batch, BATCH, 0);
        in_time = serve_batch(crowd, until_ms);
    }
    return in_time;
}

static void on_ready(void *arg, int fd, int events) {
    (void)fd, (void)events;
    struct crowd *crowd = arg;
    if (serve_all(crowd, loop_mono_ms(crowd->loop) + crowd->turn_ms)) {
        set_behind(crowd, false);
        return;
    }
    probe_begin(crowd);
    if (probe_age_ms(crowd) > LOOP_BEHIND_MS) set_behind(crowd, true);
}

/* ---- its members ---- */

bool crowd_add(struct crowd *crowd, int fd, void *member) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};
    return epoll_ctl(crowd->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

void crowd_remove(struct crowd *crowd, int fd, const void *member) {
    epoll_ctl(crowd->fd, EPOLL_CTL_DEL, fd, NULL);
    for (int i = crowd->at; i < crowd->count; i++)
        if (crowd->batch[i].data.ptr == member) crowd->batch[i].data.ptr = NULL;
}

/* ---- beginning and end ---- */

struct crowd *crowd_new(struct loop *loop, const char *name, int64_t turn_ms, bool presses,
                        void (*readable)(void *member)) {
    struct crowd *crowd = mem_alloc(sizeof *crowd);
    *crowd = (struct crowd){.loop = loop, .turn_ms = turn_ms, .presses = presses, .readable = readable};
    crowd->fd = epoll_create1(EPOLL_CLOEXEC);
    crowd->probe_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    crowd_add(crowd, crowd->probe_fd, crowd);
    crowd->watch = loop_watch_new(loop, crowd->fd, LOOP_READ, name, on_ready, crowd);
    return crowd;
}

void crowd_free(struct crowd *crowd) {
    if (!crowd) return;
    set_behind(crowd, false);
    loop_watch_free(crowd->watch);
    close(crowd->probe_fd);
    close(crowd->fd);
    mem_free(crowd);
}
