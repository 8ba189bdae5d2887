/* The loop on libevent: one event_base, a wheel of timers behind one timerfd, and a mailbox behind an eventfd.
 *
 * libevent is used from the loop's own thread only, so no locks are needed in it: another thread puts a message into
 * the mailbox and writes to the eventfd. Timers live in a wheel of ours, embedded in their owners, because arming one
 * of 100,000 in libevent's own costs microseconds and an allocation-sized event each. Always holds: the timerfd goes
 * off before the first timer that waits, finding nothing due, or within a millisecond of it. By its own timers libevent
 * would wake up each millisecond until the kernel's next tick, up to 4 ms later, has moved the clock that it reads. */
#include "base/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wheel.h"

#define PASS_BUDGET_MS LOOP_BEHIND_MS /* of messages, or of timers, before the others get their turn */
#define PASS_BUDGET_MOST_MS 40        /* where the others take as much */
#define BOTH_READ_MS 10               /* as long as there is more to do at once, event_base_loop makes several passes */

struct message {
    struct message *next;
    void (*fn)(void *);
    void *arg;
};

struct queue {
    struct message *first, **last;
};

struct loop {
    unsigned index;
    struct event_base *base;
    struct event *alarm; /* for the timerfd */
    struct event *wake;  /* for the eventfd */
    struct event *soon;  /* for loop_later */
    int alarm_fd, wake_fd;
    int64_t mono_ms, wall_ms;
    int64_t both_read_ms;
    bool has_read;    /* the clocks, in this pass */
    int64_t alarm_ms; /* what the alarm is armed for; WHEEL_NEVER: it is not */
    struct wheel wheel;
    pthread_mutex_t lock; /* guards mailbox */
    struct queue mailbox;
    struct queue inbox; /* taken out of the mailbox, not yet run; the loop's own */
    struct queue later;
    int behind;                                 /* how many said so */
    bool timers_left;                           /* some were due when the budget was used up */
    int64_t messages_ended_ms, timers_ended_ms; /* when their last turn was over */
    atomic_bool stopping;
};

struct loop_watch {
    struct loop *loop;
    struct event *event;
    const char *name;
    void (*fn)(void *, int, int);
    void *arg;
    int fd, events;
};

/* The other clock is not set back or forward meanwhile. */
static void read_again(struct loop *loop) {
    int64_t mono_ms = clock_mono_ms();
    loop->wall_ms += mono_ms - loop->mono_ms;
    loop->mono_ms = mono_ms;
}

/* Milliseconds of the two clocks do not begin at the same moment, so a time told by the other clock may be one ahead:
 * it is not taken back, or a run might end before it began. Time may pass between two readings: it is not counted
 * twice. */
static void read_clocks(struct loop *loop) {
    read_again(loop);
    int64_t wall_ms = clock_wall_ms();
    if (wall_ms != loop->wall_ms && wall_ms != loop->wall_ms - 1) {
        loop->wall_ms = wall_ms;
        loop->mono_ms = clock_mono_ms();
    }
    loop->both_read_ms = loop->mono_ms;
    loop->has_read = true;
}

int64_t loop_enter(struct loop *loop) {
    if (!loop->has_read || loop->mono_ms - loop->both_read_ms >= BOTH_READ_MS) read_clocks(loop);
    return loop->mono_ms;
}

void loop_leave(struct loop *loop, const char *name, int64_t entered) {
    read_again(loop);
    int64_t took = loop->mono_ms - entered;
    if (took <= LOOP_STALL_MS) return;
    count_add(COUNT_LOOP_STALLS, 1);
    log_put(LOG_WARN, "loop_stalled", NULL, LOG_INT("loop", loop->index), LOG_STR("in", name), LOG_INT("ms", took));
}

void loop_tick(struct loop *loop) {
    read_again(loop);
}

static void queue_put(struct queue *queue, struct message *message) {
    if (!queue->first) queue->last = &queue->first;
    *queue->last = message;
    queue->last = &message->next;
}

static struct message *message_new(void (*fn)(void *), void *arg) {
    struct message *message = mem_alloc(sizeof *message);
    *message = (struct message){.fn = fn, .arg = arg};
    return message;
}

static void later_run(struct loop *loop) {
    struct message *message = loop->later.first; /* what is added meanwhile waits for the next pass */
    loop->later.first = NULL;
    while (message) {
        struct message *next = message->next;
        message->fn(message->arg);
        mem_free(message);
        message = next;
    }
}

/* What was left over gets as long as all else took since: the sockets of upstreams and of TLS have no budget, and who
 * uses them without end would leave ever less to the runs. */
static int64_t budget_ms(bool left_over, int64_t ended_ms, int64_t now_ms) {
    int64_t others_ms = left_over ? now_ms - ended_ms : 0;
    if (others_ms < PASS_BUDGET_MS) return PASS_BUDGET_MS;
    return others_ms < PASS_BUDGET_MOST_MS ? others_ms : PASS_BUDGET_MOST_MS;
}

static void inbox_fill(struct loop *loop) {
    pthread_mutex_lock(&loop->lock);
    if (loop->mailbox.first) {
        if (!loop->inbox.first) loop->inbox.last = &loop->inbox.first;
        *loop->inbox.last = loop->mailbox.first;
        loop->inbox.last = loop->mailbox.last;
        loop->mailbox.first = NULL;
    }
    pthread_mutex_unlock(&loop->lock);
}

/* Messages until the budget is used up: a commit of thousands of records must not keep sockets and timers waiting. */
static void inbox_run(struct loop *loop, int64_t until_ms) {
    while (loop->inbox.first) {
        struct message *message = loop->inbox.first;
        loop->inbox.first = message->next;
        message->fn(message->arg);
        mem_free(message);
        read_again(loop);
        if (loop->mono_ms >= until_ms) return;
    }
}

static void wake(struct loop *loop) {
    uint64_t one = 1;
    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

static void on_wake(evutil_socket_t fd, short events, void *arg) {
    (void)events;
    struct loop *loop = arg;
    int64_t entered = loop_enter(loop);
    uint64_t ignored;
    while (read(fd, &ignored, sizeof ignored) < 0 && errno == EINTR) {}
    if (atomic_load(&loop->stopping)) event_base_loopbreak(loop->base);
    int64_t until_ms = entered + budget_ms(loop->inbox.first, loop->messages_ended_ms, entered);
    inbox_fill(loop);
    inbox_run(loop, until_ms);
    loop->messages_ended_ms = loop->mono_ms;
    if (loop->inbox.first) wake(loop);
    loop_leave(loop, "messages", entered);
}

static void on_soon(evutil_socket_t fd, short events, void *arg) {
    (void)fd, (void)events;
    struct loop *loop = arg;
    int64_t entered = loop_enter(loop);
    later_run(loop);
    loop_leave(loop, "later", entered);
}

/* ---- timers ---- */

static void alarm_set(struct loop *loop) {
    int64_t next = wheel_next(&loop->wheel);
    if (next >= loop->alarm_ms) return; /* one that comes too early finds nothing due, and is set anew */
    loop->alarm_ms = next;
    int64_t left = next - loop->mono_ms;
    struct itimerspec wait = {.it_value = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000}};
    if (left <= 0) wait.it_value = (struct timespec){.tv_nsec = 1}; /* 0 is never */
    timerfd_settime(loop->alarm_fd, 0, &wait, NULL);
}

static void on_alarm(evutil_socket_t fd, short events, void *arg) {
    (void)fd, (void)events;
    struct loop *loop = arg;
    int64_t now = loop_enter(loop);
    int64_t most_ms = budget_ms(loop->timers_left, loop->timers_ended_ms, now);
    loop->alarm_ms = 0; /* it is set at the end, not by each callback */
    /* A timer set to "at once" from a timer waits for the next pass: descriptors get a turn. */
    wheel_turn(&loop->wheel, now);
    for (struct loop_timer *timer; (timer = wheel_take(&loop->wheel));) {
        const char *name = timer->name;
        int64_t entered = loop_enter(loop);
        timer->fn(timer->arg);
        loop_leave(loop, name, entered);
        if (loop->mono_ms - now >= most_ms) break; /* the alarm goes off again at once */
    }
    loop->timers_ended_ms = loop->mono_ms;
    loop->timers_left = loop->mono_ms - now >= most_ms && wheel_next(&loop->wheel) <= now;
    loop->alarm_ms = WHEEL_NEVER;
    alarm_set(loop);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, const char *name, void (*fn)(void *), void *arg) {
    *timer = (struct loop_timer){.loop = loop, .name = name, .fn = fn, .arg = arg};
}

void loop_timer_set(struct loop_timer *timer, int64_t delay_ms) {
    struct loop *loop = timer->loop;
    loop_timer_clear(timer);
    timer->due_ms = loop->mono_ms + (delay_ms > 0 ? delay_ms : 0);
    wheel_add(&loop->wheel, timer, loop->mono_ms);
    alarm_set(loop);
}

void loop_timer_clear(struct loop_timer *timer) {
    if (loop_timer_waits(timer)) wheel_remove(&timer->loop->wheel, timer);
}

bool loop_timer_waits(const struct loop_timer *timer) {
    return timer->link.next != NULL;
}

/* ---- descriptors ---- */

static void on_watch(evutil_socket_t fd, short events, void *arg) {
    struct loop_watch *watch = arg;
    struct loop *loop = watch->loop;
    const char *name = watch->name; /* the callback may free the watch */
    int64_t entered = loop_enter(loop);
    watch->fn(watch->arg, fd, (events & EV_READ ? LOOP_READ : 0) | (events & EV_WRITE ? LOOP_WRITE : 0));
    loop_leave(loop, name, entered);
}

static void watch_arm(struct loop_watch *watch, int events) {
    watch->events = events;
    if (events == 0) return;
    short flags = (short)(EV_PERSIST | (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0));
    event_assign(watch->event, watch->loop->base, watch->fd, flags, on_watch, watch);
    event_add(watch->event, NULL);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, int events, const char *name,
                                  void (*fn)(void *arg, int fd, int events), void *arg) {
    struct loop_watch *watch = mem_alloc(sizeof *watch);
    *watch = (struct loop_watch){.loop = loop, .name = name, .fn = fn, .arg = arg, .fd = fd};
    watch->event = event_new(loop->base, fd, EV_PERSIST, on_watch, watch);
    watch_arm(watch, events);
    return watch;
}

void loop_watch_change(struct loop_watch *watch, int events) {
    if (events == watch->events) return;
    event_del(watch->event);
    watch_arm(watch, events);
}

void loop_watch_free(struct loop_watch *watch) {
    if (!watch) return;
    event_free(watch->event);
    mem_free(watch);
}

/* ---- the loop itself ---- */

struct loop *loop_new(unsigned index) {
    struct loop *loop = mem_alloc(sizeof *loop);
    loop->index = index;
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    pthread_mutex_init(&loop->lock, NULL);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    event_add(loop->wake, NULL);
    loop->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->alarm = event_new(loop->base, loop->alarm_fd, EV_READ | EV_ET | EV_PERSIST, on_alarm, loop); /* never read */
    event_add(loop->alarm, NULL);
    loop->soon = evtimer_new(loop->base, on_soon, loop);
    read_clocks(loop);
    loop->alarm_ms = WHEEL_NEVER;
    wheel_init(&loop->wheel, loop->mono_ms);
    return loop;
}

void loop_flush(struct loop *loop) {
    do {
        inbox_fill(loop);
        inbox_run(loop, INT64_MAX);
        later_run(loop);
        inbox_fill(loop);
    } while (loop->inbox.first || loop->later.first);
}

void loop_free(struct loop *loop) {
    if (!loop) return;
    loop_flush(loop);
    event_free(loop->soon);
    event_free(loop->alarm);
    event_free(loop->wake);
    close(loop->wake_fd);
    close(loop->alarm_fd);
    /* A bufferevent that was freed with a callback due is held by that callback: let those that are left run out. */
    event_base_loop(loop->base, EVLOOP_NONBLOCK);
    event_base_free(loop->base);
    pthread_mutex_destroy(&loop->lock);
    mem_free(loop);
}

unsigned loop_index(const struct loop *loop) {
    return loop->index;
}

void loop_run(struct loop *loop) {
    while (!atomic_load(&loop->stopping)) {
        loop->has_read = false;
        event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    }
}

void loop_stop(struct loop *loop) {
    atomic_store(&loop->stopping, true);
    wake(loop);
}

void loop_post(struct loop *loop, void (*fn)(void *), void *arg) {
    struct message *message = message_new(fn, arg);
    pthread_mutex_lock(&loop->lock);
    bool was_empty = !loop->mailbox.first;
    queue_put(&loop->mailbox, message);
    pthread_mutex_unlock(&loop->lock);
    if (was_empty) wake(loop);
}

void loop_later(struct loop *loop, void (*fn)(void *), void *arg) {
    bool was_empty = !loop->later.first;
    queue_put(&loop->later, message_new(fn, arg));
    struct timeval now = {0};
    if (was_empty) event_add(loop->soon, &now);
}

/* libevent reads the clock once a pass, when it has collected what there is to do. */
static int64_t pass_age_ms(const struct loop *loop) {
    struct timeval began, now, age;
    event_base_gettimeofday_cached(loop->base, &began);
    gettimeofday(&now, NULL);
    timersub(&now, &began, &age);
    return (int64_t)age.tv_sec * 1000 + age.tv_usec / 1000;
}

bool loop_has_left_over(const struct loop *loop) {
    return loop->inbox.first || loop->timers_left;
}

bool loop_is_behind(const struct loop *loop) {
    return loop->behind > 0 || loop_has_left_over(loop) || pass_age_ms(loop) > LOOP_BEHIND_MS;
}

void loop_count_behind(struct loop *loop, int by) {
    loop->behind += by;
}

int64_t loop_mono_ms(const struct loop *loop) {
    return loop->mono_ms;
}

int64_t loop_wall_ms(const struct loop *loop) {
    return loop->wall_ms;
}

struct event_base *loop_base(struct loop *loop) {
    return loop->base;
}
