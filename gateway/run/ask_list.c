/* Lists of runs: what the store has, with what their engines know better.
 *
 * A list goes round the loops that own a run of it which is in flight, since the store is not told of every poll, or
 * which is in memory alone; and comes home to be answered. It works in slices, between which its loop does whatever
 * else there is: a thousand reports take tens of milliseconds. */
#include "run/ask_inside.h"
#include "run/id.h"
#include "run/turns.h"

#define REPORT_MAX (16 * 1024 * 1024)
#define LIST_ENOUGH \
    (ASK_REPORT_MAX / 2) /* no further run is put into an answer of that size; the cursor tells where to go on */
#define SLICE_RUNS 16    /* of a list, before the loop does something else */
#define SLICE_BYTES (256 << 10)

/* A list under way: what the store found, and what is known better than there. */
struct listing {
    struct store_op *op;
    const struct engines *engines;
    unsigned visited;   /* engines, from the home one on */
    const char **fresh; /* a report for each record; NULL: as the store has it */
    size_t at;          /* the next record */
    bool writes;        /* all engines were visited */
};

/* What one slice has done, of all that it may. */
struct slice {
    size_t runs, bytes;
};

static bool slice_is_full(const struct slice *slice) {
    return slice->runs >= SLICE_RUNS || slice->bytes >= SLICE_BYTES;
}

static unsigned owner_of(const struct listing *listing, size_t i) {
    return id_owner(text_of(listing->op->found[i].id)) % listing->engines->count;
}

static void refresh_one(struct ask *ask, struct listing *listing, struct slice *slice) {
    const struct engine *engine = ask->engine;
    struct store_record *record = &listing->op->found[listing->at];
    struct life *life = life_find_id(engine, record->id);
    if (life) turns_look(life);
    if (!life && record->in_memory && engine->store) {
        store_recall(engine->store, listing->op->results, record);
        slice->runs++;
        slice->bytes += record->body.len;
    }
    if (!life || (ask->orphaned && !life_is_orphan(life))) return;
    struct buf report;
    buf_init(&report, REPORT_MAX);
    run_report_write(life->run, life->history, loop_wall_ms(engine->loop), ask->base_url, &report);
    listing->fresh[listing->at] = arena_strdup(ask->arena, buf_cstr(&report));
    slice->runs++;
    slice->bytes += report.len;
    buf_fini(&report);
}

/* What this engine knows better. False: there is more. */
static bool refresh(struct ask *ask, struct listing *listing) {
    struct slice slice = {0};
    for (; listing->at < listing->op->found_count; listing->at++) {
        if (listing->engines->items[owner_of(listing, listing->at)] != ask->engine) continue;
        if (slice_is_full(&slice)) return false;
        refresh_one(ask, listing, &slice);
    }
    listing->at = 0;
    return true;
}

static bool owns_more(const struct listing *listing, unsigned engine) {
    const struct store_op *op = listing->op;
    for (size_t i = 0; i < op->found_count; i++)
        if ((op->found[i].ended_ms == 0 || op->found[i].in_memory) && owner_of(listing, i) == engine) return true;
    return false;
}

static void add_listed(const struct ask *ask, const struct listing *listing, size_t i, struct buf *out) {
    if (ask->orphaned && !listing->fresh[i]) return;
    struct run *loaded = listing->fresh[i] ? NULL : run_load(&listing->op->found[i], NULL, NULL);
    if (!listing->fresh[i] && !loaded) return;
    if (out->at[out->len - 1] != '[') buf_addc(out, ',');
    if (loaded) run_report_write(loaded, NULL, 0, ask->base_url, out);
    else buf_adds(out, listing->fresh[i]);
    run_free(loaded);
}

static void write_head(struct ask *ask, struct listing *listing) {
    listing->writes = true;
    buf_adds(&ask->report, "{\"runs\":[");
}

/* False: there is more. */
static bool write_some(struct ask *ask, struct listing *listing) {
    size_t before = ask->report.len;
    struct slice slice = {0};
    for (; listing->at < listing->op->found_count && ask->report.len < LIST_ENOUGH; listing->at++) {
        if (slice_is_full(&slice)) return false;
        add_listed(ask, listing, listing->at, &ask->report);
        slice.runs++;
        slice.bytes = ask->report.len - before;
    }
    return true;
}

static void listing_end(struct ask *ask, const struct listing *listing) {
    struct store_op *op = listing->op;
    size_t n = listing->at;
    buf_adds(&ask->report, "],\"cursor\":");
    if (op->more || n < op->found_count) buf_addf(&ask->report, "\"%s\"}", op->found[n - 1].id);
    else buf_adds(&ask->report, "null}");
    ask_answer(ask);
    ask_op_free(op);
}

static void listing_goes_on(void *arg);

static void listing_arrives(void *arg) {
    struct ask *ask = arg;
    const struct listing *listing = ask->op;
    ask->engine = listing->engines->items[(loop_index(ask->from) + listing->visited) % listing->engines->count];
    listing_goes_on(ask);
}

/* False: no other engine has a run of it. */
static bool listing_travels(struct ask *ask, struct listing *listing) {
    const struct engines *engines = listing->engines;
    while (++listing->visited < engines->count) {
        unsigned next = (loop_index(ask->from) + listing->visited) % engines->count;
        if (!owns_more(listing, next)) continue;
        loop_post(engines->items[next]->loop, listing_arrives, ask);
        return true;
    }
    return false;
}

static void listing_goes_on(void *arg) {
    struct ask *ask = arg;
    struct listing *listing = ask->op;
    bool done = listing->writes ? write_some(ask, listing) : refresh(ask, listing);
    if (done && listing->writes) {
        listing_end(ask, listing);
        return;
    }
    if (done && listing_travels(ask, listing)) return;
    if (done) write_head(ask, listing);
    loop_post(ask->engine->loop, listing_goes_on, ask);
}

static void on_listed(struct store_op *op) {
    struct ask *ask = op->arg;
    if (op->outcome == STORE_DONE) {
        struct listing *listing = ask->op;
        listing->op = op;
        listing->fresh = arena_array_of(ask->arena, const char *, op->found_count + 1);
        listing_arrives(ask);
        return;
    }
    if (op->outcome == STORE_FAILED) ask_answer_fault(ask, FAULT_BUSY, "store", op->fault.what);
    else
        ask_answer_fault(ask, FAULT_INVALID, "cursor", "there is no run with this id any more; begin without a cursor");
    ask_op_free(op);
}

void ask_list_prepare(struct ask *ask, const struct engines *engines) {
    struct listing *listing = arena_new_of(ask->arena, struct listing);
    listing->engines = engines;
    ask->op = listing;
}

void ask_list(struct ask *ask) {
    ask_submit(ask, STORE_LIST, on_listed);
}
