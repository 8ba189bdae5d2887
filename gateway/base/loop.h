/* A loop: one thread's waiting. Timers, file descriptors, and messages from other threads.
 *
 * Everything here belongs to the loop's own thread, except loop_post and loop_stop. Each callback is timed: one that
 * takes longer than LOOP_STALL_MS is logged with its name as `loop_stalled` and counted, since it held up every run of
 * the loop. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOP_STALL_MS 50
#define LOOP_BEHIND_MS 10

struct loop;

struct loop *loop_new(unsigned index); /* GIVES; index 0… names the loop in logs and counters */
void loop_free(struct loop *loop);
unsigned loop_index(const struct loop *loop);
void loop_run(struct loop *loop);   /* until loop_stop; on the calling thread */
void loop_flush(struct loop *loop); /* runs what was posted, after the loop has ended and before it is freed */
void loop_stop(struct loop *loop);  /* any thread */

/* The clocks are read when the first callback of a pass begins, and the monotonic one when a callback ends, which tells
 * whether it took too long: that is when the next one begins. So these are as old as the callback at hand. The wall
 * clock goes on with the other one until the next pass, or for 10 ms: then it is seen that it was set. It goes back
 * only where it was set back, and may be a millisecond ahead. */
int64_t loop_mono_ms(const struct loop *loop);
int64_t loop_wall_ms(const struct loop *loop);

/* Any thread: fn(arg) runs on the loop's thread, in the order of posting. What is still waiting when the loop ends is
 * run by loop_free, on its caller's thread, so that no message is lost. */
void loop_post(struct loop *loop, void (*fn)(void *), void *arg);

/* fn(arg) at the top of the next pass, from the loop itself: where things that may not die inside a callback end. */
void loop_later(struct loop *loop, void (*fn)(void *), void *arg);

/* Messages or timers were left over when their share of a pass was used up: there is more to do than can be done. */
bool loop_has_left_over(const struct loop *loop);
/* Or somebody said so, or this pass has lasted for longer than LOOP_BEHIND_MS by now: a reading of its own. */
bool loop_is_behind(const struct loop *loop);
void loop_count_behind(struct loop *loop, int by); /* 1: what somebody collects for the loop waits for longer than that;
                                                      -1: no more */

struct loop_link {
    struct loop_link *next, *previous; /* both NULL while in no list */
};

/* A timer is embedded where it is used; it must be cleared before its memory goes. Clearing an idle timer is allowed.
 */
struct loop_timer {
    struct loop_link link; /* in the loop's wheel */
    struct loop *loop;
    const char *name;
    void (*fn)(void *);
    void *arg;
    int64_t due_ms; /* loop_mono_ms */
};

void loop_timer_init(struct loop_timer *timer, struct loop *loop, const char *name, void (*fn)(void *), void *arg);
void loop_timer_set(struct loop_timer *timer, int64_t delay_ms); /* once; replaces an earlier setting */
void loop_timer_clear(struct loop_timer *timer);
bool loop_timer_waits(const struct loop_timer *timer);

/* A watch on a descriptor that somebody else owns. Level triggered. */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_watch;
struct loop_watch *loop_watch_new(struct loop *loop, int fd, int events, const char *name,
                                  void (*fn)(void *arg, int fd, int events), void *arg);
void loop_watch_change(struct loop_watch *watch, int events); /* 0 rests */
void loop_watch_free(struct loop_watch *watch);               /* before the descriptor is closed; NULL is allowed */

/* For a callback that a library makes without us (libevhtp): times it as the loop's own are. loop_enter gives
 * loop_mono_ms. */
int64_t loop_enter(struct loop *loop);
void loop_leave(struct loop *loop, const char *name, int64_t entered);
void loop_tick(struct loop *loop); /* reads the clock within a callback that does several things, between two of them */

struct event_base *loop_base(struct loop *loop); /* for the libraries that bring their own events */

#endif
