/* Admission: a line of starts that forms only while there is more to do than can be done.
 *
 * Every start makes work that comes later: a record, a call, a reply, another record. If starts were taken as they
 * come, that work would pile up behind them, and everybody's answers would get slower until callers give up. So a start
 * begins at once only where the loop and the disk keep up; else it waits in a line. The line moves once a pass, for a
 * slice, and only where messages and timers were all seen to and the disk keeps up: what was accepted goes on first,
 * and cannot become much. Polls, callbacks, cancels and reports are seen to in every pass.
 *
 * The bound is on the wait, not on a count: behind one that has waited for half of the patience nobody queues up any
 * more, and who has waited for all of it is refused. What the line holds in memory has a ceiling too. The log is told
 * once when refusals begin and once when there were none for CALM_MS. Always holds: whoever is in the line is in it by
 * the time of coming; `look` is set while there is a line. */
#include "front/admission.h"

#include "base/count.h"
#include "base/log.h"
#include "base/mem.h"

#define SLICE_MS 10    /* of starts, or so many, before the loop looks for other work */
#define DISK_LOOK_MS 2 /* how often it is looked whether the disk has caught up */
#define CALM_MS 1000
#ifdef TINY_LIMITS
#define LINE_BYTES (64 << 10)
#define SLICE_STARTS 4
#else
#define LINE_BYTES (32 << 20)
#define SLICE_STARTS 64 /* more of them would not stay in a core's caches until they are done */
#endif
#define SEAT_BYTES 4096 /* of a request, besides its body; about */

struct admission {
    struct loop *loop;
    const struct store *store;
    int64_t patience_ms;
    struct admission_seat *first, **last;
    size_t bytes;
    bool moving;            /* it has a turn in the next pass */
    struct loop_timer look; /* at the disk, and for who has waited long enough */
    struct loop_timer calm; /* while starts are refused */
    int64_t shedding_since_ms, shed_ms, shed;
};

static void on_turn(void *arg);

static int64_t waited_ms(const struct admission *admission) {
    return admission->first ? loop_mono_ms(admission->loop) - admission->first->came_ms : 0;
}

static bool disk_is_behind(const struct admission *admission) {
    return admission->store && store_is_behind(admission->store, loop_mono_ms(admission->loop));
}

/* ---- refusing ---- */

static void on_calm(void *arg) {
    struct admission *admission = arg;
    int64_t quiet = loop_mono_ms(admission->loop) - admission->shed_ms;
    if (quiet < CALM_MS) {
        loop_timer_set(&admission->calm, CALM_MS - quiet);
        return;
    }
    count_add(COUNT_OVERLOADED, -1);
    log_put(LOG_INFO, "overload_over", NULL, LOG_INT("loop", loop_index(admission->loop)),
            LOG_INT("refused", admission->shed), LOG_INT("ms", admission->shed_ms - admission->shedding_since_ms));
    admission->shed = 0;
}

static void note_shed(struct admission *admission) {
    admission->shed_ms = loop_mono_ms(admission->loop);
    count_add(COUNT_STARTS_SHED, 1);
    if (admission->shed++ == 0) {
        admission->shedding_since_ms = admission->shed_ms;
        count_add(COUNT_OVERLOADED, 1);
        loop_timer_set(&admission->calm, CALM_MS);
        log_put(LOG_WARN, "overloaded", NULL, LOG_INT("loop", loop_index(admission->loop)),
                LOG_STR("by", disk_is_behind(admission) ? "disk" : "loop"), LOG_INT("waited_ms", waited_ms(admission)));
    }
}

static void shed(struct admission *admission, struct admission_seat *seat) {
    note_shed(admission);
    seat->decided(seat->arg, false);
}

/* ---- the line ---- */

static void put(struct admission *admission, struct admission_seat *seat) {
    *admission->last = seat;
    admission->last = &seat->next;
    admission->bytes += seat->bytes;
    count_add(COUNT_STARTS_WAITING, 1);
}

static struct admission_seat *take(struct admission *admission) {
    struct admission_seat *seat = admission->first;
    admission->first = seat->next;
    if (!admission->first) admission->last = &admission->first;
    admission->bytes -= seat->bytes;
    count_add(COUNT_STARTS_WAITING, -1);
    return seat;
}

static void move(struct admission *admission) {
    if (admission->moving || !admission->first) return;
    admission->moving = true;
    loop_later(admission->loop, on_turn, admission);
}

static void look_again(struct admission *admission) {
    int64_t left = admission->patience_ms - waited_ms(admission);
    if (!admission->moving && left > DISK_LOOK_MS) left = DISK_LOOK_MS;
    loop_timer_set(&admission->look, left);
}

static void take_slice(struct admission *admission) {
    int64_t until_ms = loop_mono_ms(admission->loop) + SLICE_MS;
    for (int left = SLICE_STARTS; left > 0 && admission->first && !disk_is_behind(admission); left--) {
        struct admission_seat *seat = take(admission);
        seat->decided(seat->arg, true);
        loop_tick(admission->loop);
        if (loop_mono_ms(admission->loop) >= until_ms) break;
    }
}

/* Once a pass. */
static void on_turn(void *arg) {
    struct admission *admission = arg;
    admission->moving = false;
    if (admission->first && disk_is_behind(admission)) {
        look_again(admission);
        return;
    }
    if (!loop_has_left_over(admission->loop)) take_slice(admission);
    move(admission);
}

static void on_look(void *arg) {
    struct admission *admission = arg;
    while (admission->first && waited_ms(admission) >= admission->patience_ms) shed(admission, take(admission));
    if (!admission->first) return;
    if (!disk_is_behind(admission)) move(admission);
    look_again(admission);
}

static bool has_room(const struct admission *admission, size_t bytes) {
    return waited_ms(admission) * 2 < admission->patience_ms && admission->bytes + bytes + SEAT_BYTES <= LINE_BYTES;
}

static bool keeps_up(const struct admission *admission) {
    return !admission->first && !loop_is_behind(admission->loop) && !disk_is_behind(admission);
}

bool admission_is_full(const struct admission *admission, size_t bytes) {
    return !has_room(admission, bytes) && !keeps_up(admission);
}

bool admission_turns_away(struct admission *admission, size_t bytes) {
    if (!admission_is_full(admission, bytes)) return false;
    note_shed(admission);
    return true;
}

void admission_enter(struct admission *admission, struct admission_seat *seat, size_t bytes,
                     void (*decided)(void *arg, bool goes), void *arg) {
    *seat = (struct admission_seat){
        .decided = decided, .arg = arg, .came_ms = loop_mono_ms(admission->loop), .bytes = bytes + SEAT_BYTES};
    if (keeps_up(admission)) {
        decided(arg, true);
    } else if (!has_room(admission, bytes)) {
        shed(admission, seat);
    } else {
        put(admission, seat);
        move(admission);
        if (!loop_timer_waits(&admission->look)) look_again(admission);
    }
}

/* ---- beginning and end ---- */

struct admission *admission_new(struct loop *loop, const struct store *store, int64_t patience_ms) {
    struct admission *admission = mem_alloc(sizeof *admission);
    *admission = (struct admission){.loop = loop, .store = store, .patience_ms = patience_ms};
    admission->last = &admission->first;
    loop_timer_init(&admission->look, loop, "admission", on_look, admission);
    loop_timer_init(&admission->calm, loop, "admission_calm", on_calm, admission);
    return admission;
}

void admission_tune(struct admission *admission, int64_t patience_ms) {
    admission->patience_ms = patience_ms;
    if (admission->first) look_again(admission);
}

void admission_dismiss(struct admission *admission) {
    while (admission->first) {
        struct admission_seat *seat = take(admission);
        seat->decided(seat->arg, false);
    }
    loop_timer_clear(&admission->look);
    loop_timer_clear(&admission->calm);
}

void admission_free(struct admission *admission) {
    if (!admission) return;
    if (admission->shed) count_add(COUNT_OVERLOADED, -1);
    mem_free(admission);
}
