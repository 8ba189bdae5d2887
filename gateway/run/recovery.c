/* From the store back into the engines, each run with the definition that it began with.
 *
 * Which runs there are is known before the loops begin; what begins later is none of them. Then they come in slices, in
 * the order of their starts: the store reads a slice while the engines are busy with the one before, each with its own
 * runs of it, and between two slices every loop polls and answers. One loop leads, that of the main thread.
 *
 *     read slice ─▶ each engine: engine_resume ─▶ next slice …
 *       none left ─▶ each engine: engine_supersede ─▶ the gate opens ─▶ each engine: engine_expect_none
 *
 * Until then the gate lets nobody go on by and by, and what a run that is still to come may decide waits: questions
 * about it, starts with its key, starts of stages with limits or dedup (run/ask_answer). Always holds: at most one
 * slice is being read, and at most SLICES_AHEAD are with the engines. */
#include "run/recovery.h"

#include <string.h>

#include "base/index.h"
#include "base/log.h"
#include "base/mem.h"
#include "run/id.h"

#define SLICES_AHEAD 2
#define AGAIN_MS 1000 /* after a slice that could not be read */

struct pinned {
    struct pinned *next;
    struct index_link link; /* by its hash: there may be as many as stages */
    const char *hash;
    struct stage *stage; /* NULL: it cannot be used, and `fault` says why */
    struct fault fault;
};

struct part {
    struct slice *slice;
    unsigned engine;
};

struct slice {
    struct recovery *recovery;
    struct store_op op;
    uint64_t before;              /* runs of the slices before it */
    const struct pinned **pinned; /* of each run */
    unsigned left;                /* engines that have not gone over it; atomic */
    struct part parts[];
};

struct recovery {
    struct recovery_settings settings;
    struct arena *arena;
    struct pinned *pinned;
    struct index by_hash;
    int64_t *places;
    size_t place_count, passed;
    uint64_t count; /* runs */
    struct slice *reading;
    unsigned ahead; /* slices that are with the engines */
    unsigned superseding;
    struct loop_timer again;
    bool stopped, over;
};

struct end {
    struct recovery *recovery;
    struct engine *engine;
};

static void go_on(struct recovery *recovery);

/* ---- definitions ---- */

static bool same_hash(const void *owner, const void *hash) {
    return strcmp(((const struct pinned *)owner)->hash, hash) == 0;
}

static const struct pinned *pinned_of(struct recovery *recovery, const char *hash) {
    uint32_t place = index_hash(text_of(hash), (struct text){0});
    struct pinned *pinned = index_find(&recovery->by_hash, place, same_hash, hash);
    if (pinned) return pinned;
    pinned = arena_new_of(recovery->arena, struct pinned);
    pinned->hash = arena_strdup(recovery->arena, hash);
    index_add(&recovery->by_hash, &pinned->link, place, pinned);
    pinned->stage = recovery->settings.find_stage(recovery->settings.arg, hash, &pinned->fault);
    pinned->next = recovery->pinned;
    recovery->pinned = pinned;
    return pinned;
}

/* ---- slices ---- */

static void slice_free(struct slice *slice) {
    store_op_fini(&slice->op);
    mem_free(slice);
}

static void slice_is_done(void *arg) {
    struct slice *slice = arg;
    struct recovery *recovery = slice->recovery;
    slice_free(slice);
    recovery->ahead--;
    go_on(recovery);
}

/* On the engine's loop. */
static void resume_part(void *arg) {
    const struct part *part = arg;
    struct slice *slice = part->slice;
    const struct engines *engines = slice->recovery->settings.engines;
    for (size_t i = 0; i < slice->op.found_count; i++) {
        const struct store_record *record = &slice->op.found[i];
        if (id_owner(text_of(record->id)) % engines->count != part->engine) continue;
        engine_resume(engines->items[part->engine], record, slice->before + i + 1, slice->pinned[i]->stage,
                      &slice->pinned[i]->fault);
    }
    if (__atomic_sub_fetch(&slice->left, 1, __ATOMIC_ACQ_REL) == 0)
        loop_post(slice->recovery->settings.loop, slice_is_done, slice);
}

static void hand_out(struct recovery *recovery, struct slice *slice) {
    const struct engines *engines = recovery->settings.engines;
    slice->before = recovery->count;
    slice->pinned = arena_array_of(slice->op.results, const struct pinned *, slice->op.found_count);
    for (size_t i = 0; i < slice->op.found_count; i++)
        slice->pinned[i] = pinned_of(recovery, slice->op.found[i].definition);
    slice->left = engines->count;
    recovery->count += slice->op.found_count;
    recovery->ahead++;
    for (unsigned i = 0; i < engines->count; i++) {
        slice->parts[i] = (struct part){slice, i};
        loop_post(engine_loop(engines->items[i]), resume_part, &slice->parts[i]);
    }
}

static void put_off_one(void *arg) {
    engine_put_off(arg);
}

/* It may take long: nobody is kept waiting for it. */
static void put_off(struct recovery *recovery, const struct fault *fault) {
    const struct engines *engines = recovery->settings.engines;
    log_fault(LOG_ERROR, "runs_not_read", NULL, fault);
    loop_timer_set(&recovery->again, AGAIN_MS);
    for (unsigned i = 0; i < engines->count; i++)
        loop_post(engine_loop(engines->items[i]), put_off_one, engines->items[i]);
}

static void on_read(struct store_op *op) {
    struct slice *slice = op->arg;
    struct recovery *recovery = slice->recovery;
    recovery->reading = NULL;
    if (op->outcome == STORE_DONE && !recovery->stopped) {
        recovery->passed += op->passed;
        hand_out(recovery, slice);
        go_on(recovery);
        return;
    }
    if (!recovery->stopped) put_off(recovery, &op->fault);
    slice_free(slice);
}

static void read_slice(struct recovery *recovery) {
    const struct recovery_settings *settings = &recovery->settings;
    struct slice *slice = mem_alloc(sizeof *slice + settings->engines->count * sizeof *slice->parts);
    size_t left = recovery->place_count - recovery->passed;
    slice->recovery = recovery;
    slice->op = (struct store_op){.kind = STORE_AT,
                                  .loop = settings->loop,
                                  .done = on_read,
                                  .arg = slice,
                                  .places = recovery->places + recovery->passed,
                                  .place_count = left < settings->slice ? left : settings->slice};
    recovery->reading = slice;
    store_submit(settings->store, &slice->op);
}

/* ---- the end ---- */

/* What only reading needed. */
static void release(struct recovery *recovery) {
    for (struct pinned *pinned = recovery->pinned; pinned; pinned = pinned->next) stage_unref(pinned->stage);
    recovery->pinned = NULL;
    index_fini(&recovery->by_hash);
    mem_free(recovery->places);
    recovery->places = NULL;
}

static void open_gate(struct recovery *recovery) {
    const struct recovery_settings *settings = &recovery->settings;
    if (settings->gate) gate_open(settings->gate, loop_mono_ms(settings->loop));
    release(recovery);
    recovery->over = true;
    settings->done(settings->arg, recovery->count);
}

static void expect_none(void *arg) {
    engine_expect_none(arg);
}

static void one_has_superseded(void *arg) {
    struct recovery *recovery = arg;
    const struct engines *engines = recovery->settings.engines;
    if (--recovery->superseding || recovery->stopped) return;
    open_gate(recovery);
    for (unsigned i = 0; i < engines->count; i++)
        loop_post(engine_loop(engines->items[i]), expect_none, engines->items[i]);
}

/* On the engine's loop. */
static void supersede(void *arg) {
    const struct end *end = arg;
    engine_supersede(end->engine);
    loop_post(end->recovery->settings.loop, one_has_superseded, end->recovery);
}

static void all_have_come(struct recovery *recovery) {
    const struct engines *engines = recovery->settings.engines;
    struct end *ends = arena_array_of(recovery->arena, struct end, engines->count);
    recovery->superseding = engines->count;
    for (unsigned i = 0; i < engines->count; i++) {
        ends[i] = (struct end){recovery, engines->items[i]};
        loop_post(engine_loop(engines->items[i]), supersede, &ends[i]);
    }
}

static void go_on(struct recovery *recovery) {
    bool all_read = recovery->passed == recovery->place_count;
    if (recovery->stopped || recovery->reading || loop_timer_waits(&recovery->again)) return;
    if (!all_read && recovery->ahead < SLICES_AHEAD) read_slice(recovery);
    else if (all_read && !recovery->ahead) all_have_come(recovery);
}

static void on_again(void *arg) {
    go_on(arg);
}

/* ---- all of it ---- */

struct recovery *recovery_new(const struct recovery_settings *settings, struct fault *fault) {
    const struct engines *engines = settings->engines;
    struct recovery *recovery = mem_alloc(sizeof *recovery);
    recovery->settings = *settings;
    recovery->arena = arena_new();
    loop_timer_init(&recovery->again, settings->loop, "recovery", on_again, recovery);
    if (!store_places(settings->store, &recovery->places, &recovery->place_count, fault)) {
        recovery_free(recovery);
        return NULL;
    }
    for (unsigned i = 0; i < engines->count && recovery->place_count; i++)
        engine_expect(engines->items[i], recovery->place_count / engines->count + 1);
    if (!recovery->place_count) open_gate(recovery); /* before anybody is let in */
    return recovery;
}

void recovery_begin(struct recovery *recovery) {
    if (!recovery->over) go_on(recovery);
}

bool recovery_is_over(const struct recovery *recovery) {
    return !recovery || recovery->over;
}

void recovery_stop(struct recovery *recovery) {
    if (!recovery) return;
    recovery->stopped = true;
    loop_timer_clear(&recovery->again);
}

void recovery_free(struct recovery *recovery) {
    if (!recovery) return;
    loop_timer_clear(&recovery->again);
    release(recovery);
    arena_free(recovery->arena);
    mem_free(recovery);
}
