/* A hierarchical timing wheel (Varghese and Lauck, 1987).
 *
 * The first level has a slot for each of the next 256 ms, the second one for each 256 ms of the next 65 s, and so on to
 * 49 days; what is due later waits in the last level and is looked at again. When the time of a slot of a higher level
 * comes, its timers move to lower ones. So a poll that is due in 10 s is linked into a slot, moved once, and taken out,
 * whether ten runs wait or a million; a heap's order costs a miss of the cache a level, with 17 of them at 100,000.
 *
 * Always holds: a timer is in the slot of its level that its due time names, and that time is less than a turn of the
 * level away from `now`; the bit of a slot is set exactly while it holds timers; no timer waits for a time before
 * `next`, but for those in `due`. Slots keep the order of coming. */
#include "base/wheel.h"

#include <assert.h>

#define BITS 8 /* of a time, a level */

static void link_init(struct loop_link *list) {
    list->next = list->previous = list;
}

static void link_last(struct loop_link *list, struct loop_link *link) {
    link->next = list;
    link->previous = list->previous;
    list->previous->next = link;
    list->previous = link;
}

static void unlink_from(struct loop_link *link) {
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->next = link->previous = NULL;
}

static struct loop_timer *timer_of(struct loop_link *link) {
    return (struct loop_timer *)link; /* its first member */
}

static void move_all(struct loop_link *from, struct loop_link *to) {
    from->next->previous = to->previous;
    from->previous->next = to;
    to->previous->next = from->next;
    to->previous = from->previous;
    link_init(from);
}

/* ---- bits ---- */

static void mark(struct wheel *wheel, unsigned level, unsigned slot) {
    wheel->used[level][slot / 64] |= (uint64_t)1 << slot % 64;
}

static void unmark(struct wheel *wheel, unsigned level, unsigned slot) {
    wheel->used[level][slot / 64] &= ~((uint64_t)1 << slot % 64);
}

/* How many slots from `from` on, going round, to the first one in use; -1: none is. */
static int distance(const uint64_t *used, unsigned from) {
    for (unsigned ahead = 0; ahead < WHEEL_SLOTS;) {
        unsigned slot = (from + ahead) % WHEEL_SLOTS;
        uint64_t left = used[slot / 64] >> slot % 64;
        if (left) {
            unsigned found = ahead + (unsigned)__builtin_ctzll(left);
            return found < WHEEL_SLOTS ? (int)found : -1;
        }
        ahead += 64 - slot % 64;
    }
    return -1;
}

/* ---- places ---- */

/* When the first slot of a level that is in use comes: to be taken, in the first level, else to be moved down. A slot
 * of a higher level that is the one of `now` is a whole turn away. */
static int64_t level_next(const struct wheel *wheel, unsigned level) {
    int64_t turns = wheel->now >> level * BITS;
    unsigned first = level > 0;
    int ahead = distance(wheel->used[level], (unsigned)(turns + first) % WHEEL_SLOTS);
    return ahead < 0 ? WHEEL_NEVER : (turns + first + ahead) << level * BITS;
}

static void find_next(struct wheel *wheel) {
    wheel->next = WHEEL_NEVER;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        int64_t next = level_next(wheel, level);
        if (next < wheel->next) wheel->next = next;
    }
}

static void place(struct wheel *wheel, struct loop_timer *timer) {
    int64_t at = timer->due_ms < wheel->now ? wheel->now : timer->due_ms, ahead = at - wheel->now, most = 1;
    most = (most << WHEEL_LEVELS * BITS) - 1;
    if (ahead > most) at = wheel->now + most, ahead = most;
    unsigned level = 0;
    while (ahead >> (level + 1) * BITS) level++;
    unsigned slot = (unsigned)(at >> level * BITS) % WHEEL_SLOTS;
    link_last(&wheel->slots[level][slot], &timer->link);
    mark(wheel, level, slot);
    int64_t start = at >> level * BITS << level * BITS;
    if (start < wheel->next) wheel->next = start;
}

/* The slots of higher levels whose time has come with `now`. */
static void move_down(struct wheel *wheel) {
    for (unsigned level = WHEEL_LEVELS - 1; level > 0; level--) {
        if (wheel->now & (((int64_t)1 << level * BITS) - 1)) continue;
        unsigned slot = (unsigned)(wheel->now >> level * BITS) % WHEEL_SLOTS;
        struct loop_link list;
        link_init(&list);
        if (wheel->slots[level][slot].next == &wheel->slots[level][slot]) continue;
        move_all(&wheel->slots[level][slot], &list);
        unmark(wheel, level, slot);
        while (list.next != &list) {
            struct loop_timer *timer = timer_of(list.next);
            unlink_from(&timer->link);
            place(wheel, timer);
        }
    }
}

/* ---- for the loop ---- */

void wheel_init(struct wheel *wheel, int64_t now) {
    *wheel = (struct wheel){.now = now, .next = WHEEL_NEVER};
    link_init(&wheel->due);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) link_init(&wheel->slots[level][slot]);
}

void wheel_add(struct wheel *wheel, struct loop_timer *timer, int64_t now) {
    assert(!timer->link.next);
    if (now > wheel->now && now < wheel->next) wheel->now = now; /* nothing lies between */
    place(wheel, timer);
}

void wheel_remove(struct wheel *wheel, struct loop_timer *timer) {
    struct loop_link *left = timer->link.next;
    unlink_from(&timer->link);
    if (left->next != left || left == &wheel->due) return;
    size_t slot = (size_t)(left - &wheel->slots[0][0]);
    unmark(wheel, (unsigned)(slot / WHEEL_SLOTS), (unsigned)(slot % WHEEL_SLOTS));
}

int64_t wheel_next(const struct wheel *wheel) {
    return wheel->due.next != &wheel->due ? wheel->now : wheel->next;
}

void wheel_turn(struct wheel *wheel, int64_t now) {
    while (wheel->next <= now) {
        if (wheel->next > wheel->now) {
            wheel->now = wheel->next;
            move_down(wheel);
        }
        unsigned slot = (unsigned)wheel->now % WHEEL_SLOTS;
        if (wheel->slots[0][slot].next != &wheel->slots[0][slot]) move_all(&wheel->slots[0][slot], &wheel->due);
        unmark(wheel, 0, slot);
        find_next(wheel);
    }
    if (now > wheel->now) wheel->now = now;
}

struct loop_timer *wheel_take(struct wheel *wheel) {
    if (wheel->due.next == &wheel->due) return NULL;
    struct loop_timer *timer = timer_of(wheel->due.next);
    unlink_from(&timer->link);
    return timer;
}
