/* The world's workings: the loop, the store, the network and the system's chance, under a virtual clock.
 *
 * Everything that is going to happen has a time; the earliest is next, and where several have the same, chance says
 * which. The wall clock is the virtual one and an offset that may jump. A record is in an image from its commit on; a
 * crash leaves the images, and of the writes under way as many as chance says, from the first on. Now and then somebody
 * takes a record away that a run in flight has. */
#include "world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../helpers/definition.h"
#include "back/transfer.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/loop.h"
#include "checks.h"
#include "run/id.h"
#include "run/life.h"
#include "run/mask.h"
#include "store/store.h"

#define SEEDS_A_DEFINITION 4

struct world world;

/* ---- chance ---- */

uint32_t chance(void) { /* splitmix64 */
    uint64_t z = world.random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)(z >> 32);
}

uint32_t below(uint32_t n) {
    return (uint32_t)((uint64_t)chance() * n >> 32);
}

bool one_in(uint32_t n) {
    return below(n) == 0;
}

/* In place of base/digest's, by the linker's --wrap: ids are made from it. */
void __wrap_digest_random(void *out, size_t len);
void __wrap_digest_random(void *out, size_t len) {
    unsigned char *to = out;
    for (size_t i = 0; i < len; i++) to[i] = (unsigned char)chance();
}

void trace(const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("%10lld  ", (long long)world.mono_ms);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

/* ---- in place of base/log ---- */

bool log_wants(enum log_level level) {
    (void)level;
    return world.tracing;
}

void log_put_fields(enum log_level level, const char *event, const struct log_context *ctx,
                    const struct log_field *fields) {
    if (!log_wants(level)) return;
    struct buf line;
    buf_init(&line, 4096);
    buf_addf(&line, "    log %s", event);
    if (ctx && ctx->run) buf_addf(&line, " run=%s", ctx->run + 20);
    for (; fields->key; fields++) {
        if (fields->is_number) buf_addf(&line, " %s=%lld", fields->key, (long long)fields->number);
        else if (fields->text) buf_addf(&line, " %s=%s", fields->key, fields->text);
    }
    trace("%s", buf_cstr(&line));
    buf_fini(&line);
}

void log_fault(enum log_level level, const char *event, const struct log_context *ctx, const struct fault *fault) {
    log_put_fields(level, event, ctx, (const struct log_field[]){LOG_STR("what", fault->what), {0}});
}

/* ---- in place of base/loop ---- */

struct loop {
    unsigned index;
};

static struct loop loops[WORLD_LOOPS] = {{0}, {1}};

struct loop *world_loop(unsigned index) {
    return &loops[index];
}

unsigned loop_index(const struct loop *loop) {
    return loop->index;
}

int64_t loop_mono_ms(const struct loop *loop) {
    (void)loop;
    return world.mono_ms;
}

int64_t world_wall_ms(void) {
    return WORLD_BEGAN_MS + world.mono_ms + world.wall_off_ms;
}

int64_t loop_wall_ms(const struct loop *loop) {
    (void)loop;
    return world_wall_ms();
}

void loop_post(struct loop *loop, void (*fn)(void *), void *arg) {
    (void)loop;
    assert(world.post_count < WORLD_POSTS);
    world.posts[(world.post_first + world.post_count++) % WORLD_POSTS] = (struct posted){fn, arg};
}

void loop_later(struct loop *loop, void (*fn)(void *), void *arg) {
    loop_post(loop, fn, arg);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, const char *name, void (*fn)(void *), void *arg) {
    *timer = (struct loop_timer){.loop = loop, .name = name, .fn = fn, .arg = arg};
}

void loop_timer_clear(struct loop_timer *timer) {
    if (!timer->link.next) return;
    size_t i = 0;
    while (world.timers[i] != timer) i++;
    world.timers[i] = world.timers[--world.timer_count];
    timer->link.next = NULL;
}

void loop_timer_set(struct loop_timer *timer, int64_t delay_ms) {
    timer->due_ms = world.mono_ms + (delay_ms > 0 ? delay_ms : 0);
    if (timer->link.next) return;
    assert(world.timer_count < WORLD_TIMERS);
    world.timers[world.timer_count++] = timer;
    timer->link.next = &timer->link; /* in no list: it waits */
}

bool loop_timer_waits(const struct loop_timer *timer) {
    return timer->link.next;
}

static bool run_post(void) {
    if (!world.post_count) return false;
    struct posted post = world.posts[world.post_first];
    world.post_first = (world.post_first + 1) % WORLD_POSTS;
    world.post_count--;
    post.fn(post.arg);
    return true;
}

/* ---- in place of store/store ---- */

struct store {
    int unused;
};

static struct store disk;

bool store_ready(const struct store *store) {
    (void)store;
    return world.mono_ms >= world.broken_until_ms;
}

bool store_takes(const struct store *store, bool in_memory) {
    return in_memory || store_ready(store);
}

void store_op_fini(struct store_op *op) {
    arena_free(op->results);
    op->results = NULL;
    op->found = NULL;
    op->found_count = 0;
}

/* The first occurrence is the record's own member: quotes inside of texts are escaped. */
int64_t record_int(struct text body, const char *name) {
    char member[40];
    int n = snprintf(member, sizeof member, "\"%s\":", name);
    const char *at = memmem(body.at, body.len, member, (size_t)n);
    return at ? strtoll(at + n, NULL, 10) : 0;
}

struct image *world_image(const char *id) {
    for (size_t i = 0; i < world.image_count; i++)
        if (strcmp(world.images[i].record.id, id) == 0) return &world.images[i];
    return NULL;
}

static struct image *image_of_key(const char *stage, const char *key) {
    for (size_t i = 0; key && i < world.image_count; i++) {
        const struct store_record *record = &world.images[i].record;
        if (record->key && strcmp(record->key, key) == 0 && strcmp(record->stage, stage) == 0) return &world.images[i];
    }
    return NULL;
}

static void record_drop(struct store_record *record) {
    mem_free((void *)(uintptr_t)record->stage);
    mem_free((void *)(uintptr_t)record->key);
    mem_free((void *)(uintptr_t)record->definition);
    mem_free((void *)(uintptr_t)record->body.at);
}

static void pin(const struct store_op *op) {
    for (size_t i = 0; i < world.pinned_count; i++)
        if (strcmp(world.pinned[i].hash, op->record.definition) == 0) return;
    if (!op->definition_source) return;
    struct pinned *pinned = &world.pinned[world.pinned_count++];
    snprintf(pinned->hash, sizeof pinned->hash, "%s", op->record.definition);
    pinned->source = mem_strdup(op->definition_source);
}

static void image_put(struct image *image, const struct store_record *from) {
    bool fresh = !image->record.id[0];
    struct store_record old = image->record;
    image->record = *from;
    image->record.status = from->status; /* fixed words */
    image->record.stage = fresh ? mem_strdup(from->stage) : old.stage;
    image->record.key = fresh ? mem_strdup(from->key) : old.key;
    image->record.definition = fresh ? mem_strdup(from->definition) : old.definition;
    image->record.created_ms = fresh ? from->created_ms : old.created_ms;
    image->record.body = (struct text){mem_strndup(from->body.at, from->body.len), from->body.len};
    if (!fresh) mem_free((void *)(uintptr_t)old.body.at);
    image->cancel_wanted = record_int(from->body, "cancel_wanted");
    image->timed_out = record_int(from->body, "timed_out");
    image->queued = !from->ended_ms && record_int(from->body, "queued");
    image->step = record_int(from->body, "step");
}

static void copy_out(struct arena *arena, const struct image *image, struct store_record *to) {
    *to = image->record;
    to->stage = arena_strdup(arena, image->record.stage);
    to->key = arena_strdup(arena, image->record.key);
    to->definition = arena_strdup(arena, image->record.definition);
    to->body.at = arena_strndup(arena, image->record.body.at, image->record.body.len);
}

static void give(struct store_op *op, const struct image *image) {
    if (!image) {
        op->outcome = STORE_MISSING;
        return;
    }
    op->results = arena_new();
    op->found = arena_new_of(op->results, struct store_record);
    op->found_count = 1;
    copy_out(op->results, image, op->found);
}

/* What a stage's earlier runs took: for those that poll where runs used to end. */
static void give_past(struct store_op *op) {
    op->results = arena_new();
    op->found_count = one_in(3) ? 12 : 0;
    op->found = arena_array_of(op->results, struct store_record, op->found_count + 1);
    for (size_t i = 0; i < op->found_count; i++) {
        op->found[i].created_ms = WORLD_BEGAN_MS - 3600000;
        op->found[i].ended_ms = op->found[i].created_ms + 5000 + below(60000);
    }
}

static void insert(struct store_op *op) {
    struct image *image = world_image(op->record.id), *taken = image_of_key(op->record.stage, op->record.key);
    if (image && (image->record.in_memory || image->taken_away)) { /* in memory: the gateway is being stopped */
        image->taken_away = false;
        check_commit(image, &op->record);
        pin(op);
        image_put(image, &op->record);
        return;
    }
    if (taken) {
        give(op, taken);
        op->outcome = STORE_EXISTS;
        return;
    }
    assert(world.image_count < WORLD_RUNS);
    check_commit(NULL, &op->record);
    pin(op);
    image_put(&world.images[world.image_count++], &op->record);
}

/* Somebody deletes a record now and then, of which the engine does not know before its next update. No chance is drawn
 * for it. */
static bool is_taken_away(struct image *image, const struct store_record *record) {
    if (!record->in_memory && record->updated_ms % 211 == 0) image->taken_away = true;
    return image->taken_away;
}

static void update(struct store_op *op) {
    struct image *image = world_image(op->record.id);
    if (!image || image->record.in_memory != op->record.in_memory || is_taken_away(image, &op->record)) {
        op->outcome = STORE_MISSING;
        return;
    }
    check_commit(image, &op->record);
    image_put(image, &op->record);
}

bool store_places(struct store *store, int64_t **ret_places, size_t *ret_count, struct fault *fault) {
    (void)store, (void)fault;
    *ret_places = mem_alloc(WORLD_RUNS * sizeof **ret_places);
    *ret_count = 0;
    for (size_t i = 0; i < world.image_count; i++)
        if (!world.images[i].record.ended_ms) (*ret_places)[(*ret_count)++] = (int64_t)i;
    return true;
}

static void give_places(struct store_op *op) {
    if (one_in(16)) {
        op->outcome = STORE_FAILED;
        fault_set(&op->fault, FAULT_IO, "store", "cannot read the database");
        return;
    }
    op->results = arena_new();
    op->found = arena_array_of(op->results, struct store_record, op->place_count);
    op->passed = 1 + below((uint32_t)op->place_count); /* it may stop short */
    for (size_t i = 0; i < op->passed; i++)
        copy_out(op->results, &world.images[op->places[i]], &op->found[op->found_count++]);
}

static void carry_out(struct store_op *op, bool works) {
    bool writes = op->kind == STORE_INSERT || op->kind == STORE_UPDATE;
    op->outcome = STORE_DONE;
    if (!works && (writes || world.dying)) {
        op->outcome = STORE_FAILED;
        fault_set(&op->fault, FAULT_IO, "store", "no space left on device");
        return;
    }
    switch (op->kind) {
    case STORE_INSERT: insert(op); break;
    case STORE_UPDATE: update(op); break;
    case STORE_GET: give(op, world_image(op->record.id)); break;
    case STORE_AT: give_places(op); break;
    case STORE_FIND_KEY: give(op, image_of_key(op->record.stage, op->record.key)); break;
    default: give_past(op); break;
    }
    if (writes)
        TRACE("disk: %s %s step=%lld sending=%lld cancel=%lld %s", op->record.id + 20, op->record.status,
              (long long)record_int(op->record.body, "step"), (long long)record_int(op->record.body, "sending"),
              (long long)record_int(op->record.body, "cancel_wanted"), op->outcome == STORE_EXISTS ? "exists" : "");
}

static void run_op(bool works) {
    struct store_op *op = world.ops[0];
    world.op_count--;
    memmove(world.ops, world.ops + 1, world.op_count * sizeof *world.ops);
    memmove(world.op_due_ms, world.op_due_ms + 1, world.op_count * sizeof *world.op_due_ms);
    carry_out(op, works);
    op->done(op);
}

/* ---- records in memory: as their engines have them ---- */

static void call_done(void *arg) {
    struct store_op *op = arg;
    op->done(op);
}

static void write_in_memory(struct store_op *op) {
    const struct engine *engine = world.items[id_owner(text_of(op->record.id)) % world.engines_count];
    struct run *run = life_find_id(engine, op->record.id)->run;
    struct buf body;
    check(CHECK_MEMORY, op->record.body.len == 0, "the record of %s was made, and nobody reads it", run->id);
    buf_init(&body, 64 << 20);
    run_record_write(run, &body);
    op->record.body = buf_text(&body);
    carry_out(op, true);
    buf_fini(&body);
    op->record.body = (struct text){0};
    loop_post(op->loop, call_done, op);
}

void store_source_unref(struct store_source *source) {
    if (source && atomic_fetch_sub(&source->references, 1) == 1) source->end(source);
}

void store_keep(struct store *store, const char *id, struct store_source *source) {
    (void)store;
    struct image *image = world_image(id);
    struct store_record record = image->record;
    struct buf body;
    buf_init(&body, 64 << 20);
    source->write(source, &body);
    record.body = buf_text(&body);
    check_commit(image, &record);
    image_put(image, &record);
    buf_fini(&body);
}

bool store_recall(struct store *store, struct arena *arena, struct store_record *record) {
    (void)store, (void)arena, (void)record;
    return false; /* nobody here asks for lists */
}

/* The process is gone. After an orderly stop the store has what was over on the disk, if that works. */
static void forget(bool saved) {
    size_t left = 0;
    for (size_t i = 0; i < world.image_count; i++) {
        struct image *image = &world.images[i];
        if (saved && image->record.ended_ms) image->record.in_memory = false;
        if (!image->record.in_memory && !image->taken_away) {
            world.images[left++] = *image;
            continue;
        }
        struct seen *seen = seen_find(image->record.id);
        TRACE("forgotten: %s", seen->id + 20);
        seen->forgotten = true;
        seen->acknowledged = false;
        record_drop(&image->record);
    }
    for (size_t i = left; i < world.image_count; i++) world.images[i] = (struct image){0};
    world.image_count = left;
}

void store_submit(struct store *store, struct store_op *op) {
    (void)store;
    op->outcome = STORE_FAILED;
    op->found = NULL;
    op->found_count = 0;
    op->results = NULL;
    if (op->record.in_memory) {
        write_in_memory(op);
        return;
    }
    assert(world.op_count < WORLD_OPS);
    int64_t due_ms = world.mono_ms + 1 + below(one_in(8) ? 200 : 12);
    if (world.op_count && world.op_due_ms[world.op_count - 1] > due_ms) due_ms = world.op_due_ms[world.op_count - 1];
    world.op_due_ms[world.op_count] = due_ms;
    world.ops[world.op_count++] = op;
}

/* ---- in place of back/transfer ---- */

struct upstream {
    unsigned engine;
};

static struct upstream upstreams[WORLD_LOOPS] = {{0}, {1}};

static enum fate draw_fate(void) {
    static const enum fate troubles[] = {FATE_NEVER_SENT, FATE_NEVER_SENT,  FATE_LOST_BEFORE, FATE_LOST_AFTER,
                                         FATE_STALL,      FATE_STALL_ACTED, FATE_TOO_LARGE};
    if (world.mono_ms < world.down_until_ms) return FATE_NEVER_SENT;
    if ((int)below(100) >= world.trouble) return FATE_ANSWERED;
    return troubles[below(sizeof troubles / sizeof *troubles)];
}

struct transfer *transfer_begin(struct upstream *upstream, const struct request *request, struct arena *arena,
                                void (*done)(void *arg, const struct reply *reply), void *arg) {
    size_t i = 0;
    while (i < WORLD_CALLS && world.calls[i].used) i++;
    assert(i < WORLD_CALLS && !world.dying);
    struct transfer *call = &world.calls[i];
    *call = (struct transfer){.used = true,
                              .request = request,
                              .arena = arena,
                              .done = done,
                              .arg = arg,
                              .began_ms = world.mono_ms,
                              .engine = upstream->engine,
                              .fate = draw_fate()};
    int64_t limit_ms = request->call->call_timeout_ms;
    int64_t there_ms = 1 + below(30), back_ms = 1 + below(one_in(6) ? 3000 : 60);
    if (there_ms + back_ms >= limit_ms) back_ms = 1;
    bool stalls = call->fate == FATE_STALL || call->fate == FATE_STALL_ACTED;
    bool arrives = call->fate != FATE_NEVER_SENT && call->fate != FATE_LOST_BEFORE && call->fate != FATE_STALL;
    call->arrives_ms = arrives ? world.mono_ms + there_ms : 0;
    call->ends_ms = world.mono_ms + (stalls ? limit_ms : there_ms + back_ms);
    upstream_note(call);
    TRACE("call: %s %s %s (%s step %zu)%s", call->seen ? call->seen->id + 20 : "?", request->method, request->url,
          call->kind, call->step, call->fate == FATE_ANSWERED ? "" : " !");
    check_call(call);
    return call;
}

/* Bytes that have left may arrive all the same. */
static void maybe_arrive(struct transfer *call) {
    if (call->arrives_ms && !call->arrived && one_in(2)) {
        call->arrived = true;
        upstream_arrives(call);
    }
}

void transfer_cancel(struct transfer *call) {
    maybe_arrive(call);
    TRACE("call given up: %s step %zu", call->kind, call->step);
    *call = (struct transfer){0};
}

static void fail_reply(const struct transfer *call, struct reply *reply) {
    bool never = call->fate == FATE_NEVER_SENT;
    reply->phase = never ? REPLY_NEVER_SENT : REPLY_MAYBE_ACTED_ON;
    reply->timed_out = call->fate == FATE_STALL || call->fate == FATE_STALL_ACTED;
    struct fault *fault = arena_new_of(call->arena, struct fault);
    reply->fault = fault;
    fault_set(fault, call->fate == FATE_TOO_LARGE ? FAULT_TOO_LARGE : FAULT_UPSTREAM, NULL, "%s",
              never                          ? "connection refused"
              : reply->timed_out             ? "no reply in time"
              : call->fate == FATE_TOO_LARGE ? "the reply is larger than max_reply"
                                             : "connection reset");
}

static void end_call(struct transfer *call) {
    struct reply_header headers[3];
    struct reply reply = {.phase = REPLY_ANSWERED, .headers = headers, .code = call->code};
    if (call->fate != FATE_ANSWERED) fail_reply(call, &reply);
    if (reply.phase == REPLY_ANSWERED) {
        reply.body = text_of(arena_strdup(call->arena, call->body));
        if (call->location[0])
            headers[reply.header_count++] = (struct reply_header){"Location",
                                                                  arena_strdup(call->arena, call->location)};
        if (call->retry_after[0])
            headers[reply.header_count++] = (struct reply_header){"Retry-After", call->retry_after};
    } else {
        reply.code = 0;
    }
    reply.url = call->request->url;
    reply.took_ms = world.mono_ms - call->began_ms;
    TRACE("reply: %s step %zu: %s %d %s%s", call->kind, call->step, reply_phase_word(reply.phase), reply.code,
          reply.phase == REPLY_ANSWERED ? call->word : "", call->retry_after[0] ? " Retry-After" : "");
    check_reply(call, reply.phase);
    struct transfer ended = *call;
    *call = (struct transfer){0};
    if (reply.header_count && ended.retry_after[0]) headers[reply.header_count - 1].value = ended.retry_after;
    ended.done(ended.arg, &reply);
}

/* ---- what happens next ---- */

enum next_kind { NEXT_NOTHING, NEXT_TIMER, NEXT_OP, NEXT_ARRIVAL, NEXT_REPLY, NEXT_HOOK, NEXT_START, NEXT_LOOK };

struct next {
    enum next_kind kind;
    int64_t at_ms;
    size_t index;
    uint32_t alike;
};

static void offer(struct next *next, enum next_kind kind, int64_t at_ms, size_t index) {
    if (next->kind != NEXT_NOTHING && at_ms > next->at_ms) return;
    if (next->kind != NEXT_NOTHING && at_ms == next->at_ms) {
        if (!one_in(++next->alike)) return;
    } else {
        next->alike = 1;
    }
    next->kind = kind;
    next->at_ms = at_ms;
    next->index = index;
}

static struct next find_next(void) {
    struct next next = {NEXT_NOTHING, 0, 0, 1};
    for (size_t i = 0; i < world.timer_count; i++) offer(&next, NEXT_TIMER, world.timers[i]->due_ms, i);
    if (world.op_count) offer(&next, NEXT_OP, world.op_due_ms[0], 0);
    for (size_t i = 0; i < WORLD_CALLS; i++) {
        const struct transfer *call = &world.calls[i];
        if (!call->used) continue;
        if (call->arrives_ms && !call->arrived) offer(&next, NEXT_ARRIVAL, call->arrives_ms, i);
        else offer(&next, NEXT_REPLY, call->ends_ms, i);
    }
    for (size_t i = 0; i < world.hook_count; i++)
        if (world.hooks[i].due_ms) offer(&next, NEXT_HOOK, world.hooks[i].due_ms, i);
    if (world.starts_left) offer(&next, NEXT_START, world.next_start_ms, 0);
    if (world.reads_left) offer(&next, NEXT_LOOK, world.next_look_ms, 0);
    return next;
}

static void happen(const struct next *next) {
    struct loop_timer *timer;
    switch (next->kind) {
    case NEXT_NOTHING: break;
    case NEXT_TIMER:
        timer = world.timers[next->index];
        loop_timer_clear(timer);
        timer->fn(timer->arg);
        break;
    case NEXT_OP: run_op(world.mono_ms >= world.broken_until_ms); break;
    case NEXT_ARRIVAL:
        world.calls[next->index].arrived = true;
        upstream_arrives(&world.calls[next->index]);
        break;
    case NEXT_REPLY: end_call(&world.calls[next->index]); break;
    case NEXT_HOOK: upstream_call_back(&world.hooks[next->index]); break;
    case NEXT_START:
        world.starts_left--;
        world.next_start_ms = world.mono_ms + below(one_in(2) ? 50 : 20000);
        client_start();
        break;
    case NEXT_LOOK:
        world.reads_left--;
        world.next_look_ms = world.mono_ms + below(30000);
        client_look();
        break;
    }
}

bool world_next(void) {
    if (run_post()) return true;
    struct next next = find_next();
    if (next.kind == NEXT_NOTHING) return false;
    if (next.at_ms > world.mono_ms) world.mono_ms = next.at_ms;
    happen(&next);
    return true;
}

/* ---- the gateway's process ---- */

static void tune(enum gate_kind kind, const struct stage *stage, const struct limits *limits) {
    struct limits none;
    limits_init(&none);
    gate_tune(world.gate, &(struct gate_want){.kind = kind, .stage = stage->name}, limits ? limits : &none,
              world.mono_ms);
}

static struct stage *find_stage(void *arg, const char *hash, struct fault *fault) {
    (void)arg, (void)fault;
    struct stage *in_force = world.stages[world.version];
    if (strcmp(stage_hash(in_force), hash) == 0) return stage_ref(in_force);
    for (size_t i = 0; i < world.pinned_count; i++) {
        if (strcmp(world.pinned[i].hash, hash) != 0) continue;
        struct faults faults;
        faults_init(&faults);
        struct stage_context context = {.templates = "templates"};
        struct stage *stage = stage_load_source(world.pinned[i].source, &context, &faults);
        faults_fini(&faults);
        assert(stage);
        return stage;
    }
    return NULL;
}

static struct stage *load(const char *definition) {
    return definition_must("stages.d/model.conf", definition);
}

void world_replace_definition(void) {
    world.version = 1 - world.version;
    if (!world.stages[world.version]) world.stages[world.version] = load(world.texts[world.version]);
}

static void on_resumed(void *arg, size_t count) {
    (void)arg;
    TRACE("---- all %zu runs are back", count);
    check_boot();
}

void world_boot(void) {
    struct engine_settings settings = {
        .max_runs = 100, .callback_key = CALLBACK_KEY, .callback_url = "http://gw.test", .engines = &world.engines};
    const struct stage *stage = world.stages[world.version];
    world.gate = settings.gate = gate_new(world.engines_count);
    settings.holds = &world.holds;
    world.engines = (struct engines){world.items, world.engines_count};
    for (unsigned i = 0; i < world.engines_count; i++)
        world.items[i] = engine_new(&loops[i], &upstreams[i], &disk, &settings);
    tune(GATE_RUNS, stage, stage->limits);
    tune(GATE_CALLS, stage, stage->call_limits);
    for (size_t i = 0; i < world.image_count; i++) world.images[i].was_queued = world.images[i].queued;
    struct recovery_settings recovery = {.engines = &world.engines,
                                         .store = &disk,
                                         .gate = world.gate,
                                         .loop = &loops[0],
                                         .slice = 1 + below(4),
                                         .find_stage = find_stage,
                                         .done = on_resumed};
    struct fault fault;
    world.recovery = recovery_new(&recovery, &fault);
    recovery_begin(world.recovery);
}

/* The process is gone: its memory is given back, and nothing of what it does meanwhile is seen outside. */
static void bury(void) {
    world.dying = true;
    recovery_stop(world.recovery);
    for (size_t i = 0; i < WORLD_CALLS; i++)
        if (world.calls[i].used) maybe_arrive(&world.calls[i]);
    for (unsigned i = 0; i < world.engines_count; i++) engine_detach(world.items[i]);
    while (world.op_count) run_op(false);
    while (run_post()) {}
    for (unsigned i = 0; i < world.engines_count; i++) engine_dismiss(world.items[i]);
    while (run_post()) {}
    for (size_t i = 0; i < WORLD_CALLS; i++) world.calls[i].arrives_ms = 0;
    for (unsigned i = 0; i < world.engines_count; i++) {
        engine_free(world.items[i]);
        while (run_post()) {} /* as loops are flushed before their engines go: one that goes wakes the others */
    }
    recovery_free(world.recovery);
    world.recovery = NULL;
    gate_free(world.gate);
    holds_fini(&world.holds);
    check(CHECK_RESUMED, world.timer_count == 0 && world.op_count == 0, "the process has left the timer '%s'",
          world.timer_count ? world.timers[0]->name : "");
    world.dying = false;
    world.quiet_until_ms = 0;
    world.changed_ms = 0;
}

void world_kill(void) {
    bool works = world.mono_ms >= world.broken_until_ms;
    size_t made_it = works ? below((uint32_t)world.op_count + 1) : 0;
    TRACE("---- kill -9 (%zu of %zu writes made it)", made_it, world.op_count);
    for (size_t i = 0; i < made_it; i++) { /* on disk, and nobody was told */
        struct store_op *op = world.ops[i];
        if (op->kind != STORE_INSERT && op->kind != STORE_UPDATE) continue;
        carry_out(op, true);
        store_op_fini(op);
    }
    bury();
    forget(false);
    check_kill();
}

static void on_drained(void *arg) {
    (*(unsigned *)arg)++;
}

void world_stop(void) {
    unsigned drained = 0, patience = 2000;
    TRACE("---- stop");
    world.stopping = true;
    recovery_stop(world.recovery);
    for (unsigned i = 0; i < world.engines_count; i++) engine_drain(world.items[i], on_drained, &drained);
    while (drained < world.engines_count && patience-- && world_next()) {}
    bool works = world.mono_ms >= world.broken_until_ms;
    for (size_t i = 0; works && i < world.image_count; i++) {
        const struct store_record *record = &world.images[i].record;
        check(CHECK_NOT_LOST, !record->in_memory || record->ended_ms, "%s is not on the disk after a stop", record->id);
    }
    bury();
    world.stopping = false;
    forget(works);
    check_kill();
}

/* ---- beginning and end ---- */

/* Compiling costs as much as a short scenario, so a few seeds in a row share a definition. */
static struct {
    uint64_t group;
    struct stage *stage;
} kept;

static void make_definition(void) {
    uint64_t group = world.seed / SEEDS_A_DEFINITION;
    world.random = group;
    definition_pick();
    for (unsigned i = 0; i < 2; i++) {
        struct buf text;
        buf_init(&text, 1 << 16);
        definition_make(i, &text);
        world.texts[i] = buf_take(&text);
    }
    world.random = world.seed;
    TRACE("the definition\n%s", world.texts[0]);
    if (!kept.stage || kept.group != group) {
        stage_unref(kept.stage);
        kept.stage = load(world.texts[0]);
        kept.group = group;
    }
    world.stages[0] = stage_ref(kept.stage);
}

void world_fini(void) {
    stage_unref(kept.stage);
    kept.stage = NULL;
}

void world_begin(uint64_t seed) {
    bool tracing = world.tracing;
    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.tracing = tracing;
    make_definition();
    world.mono_ms = 1000;
    world.engines_count = 1 + one_in(3);
    world.trouble = one_in(4) ? 0 : (int)below(40);
    world.starts_left = 1 + below(one_in(3) ? 5 : 2);
    world.reads_left = below(30);
    world.disturbances = below(6);
    world.every = 2 + below(one_in(2) ? 12 : 60);
    world_boot();
}

void world_end(void) {
    bury();
    for (size_t i = 0; i < world.image_count; i++) record_drop(&world.images[i].record);
    for (size_t i = 0; i < world.pinned_count; i++) mem_free(world.pinned[i].source);
    for (size_t i = 0; i < world.seen_count; i++) stage_unref(world.seen[i].stage);
    for (unsigned i = 0; i < 2; i++) {
        stage_unref(world.stages[i]);
        mem_free(world.texts[i]);
    }
}
