/* The engine's side of the gate: from lives to tickets, and back.
 *
 * A run has a turn from its start until its end is durable, where its stage has limits or a dedup key; a call has one
 * while it is under way, where its host or stage has limits. Both are tickets of one struct, which a life has only
 * where it needs one. Calls that stop work, or that settle a doubt, are counted and never wait.
 *
 * What the gate lets go on by and by comes as a message to the loop; what only time lets go on, by one timer a loop. */
#include "run/turns.h"

#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "lang/units.h"
#include "lang/url.h"
#include "run/gate.h"
#include "run/id.h"

#define KEY_MAX 1000
#define SUPERSEDED_MAX 64 /* the last ones before it; those before them were told by these */

enum turn { TURN_NONE, TURN_WAITS, TURN_GOES };

struct turns {
    struct life *life; /* NULL until it is made */
    struct gate_ticket run, call;
    enum turn run_turn, call_turn; /* as this loop has been told */
};

static int64_t now_of(const struct engine *engine) {
    return loop_mono_ms(engine->loop);
}

/* ---- being told ---- */

static void set_timer(struct engine *engine) {
    int64_t due_ms = gate_due(engine->settings.gate), left = due_ms - now_of(engine);
    if (due_ms) loop_timer_set(&engine->gate_timer, left > 0 ? left : 0);
}

static void on_due(void *arg) {
    struct engine *engine = arg;
    gate_advance(engine->settings.gate, now_of(engine));
    set_timer(engine);
}

static void on_turns(void *arg) {
    struct engine *engine = arg;
    struct gate_ticket *ticket;
    if (engine->draining) return; /* the next start asks again */
    while ((ticket = gate_next(engine->settings.gate, engine->seat))) {
        struct turns *turns = ticket->owner;
        if (ticket == &turns->run) turns->run_turn = TURN_GOES;
        else turns->call_turn = TURN_GOES;
        life_drive(turns->life, &(struct run_event){.kind = RUN_EVENT_TURN});
    }
    set_timer(engine);
}

static void wake(void *arg) {
    struct engine *engine = arg;
    loop_post(engine->loop, on_turns, engine);
}

void turns_sit(struct engine *engine) {
    if (!engine->settings.gate) return;
    engine->seat = loop_index(engine->loop);
    loop_timer_init(&engine->gate_timer, engine->loop, "turns", on_due, engine);
    gate_sit(engine->settings.gate, engine->seat, wake, engine);
}

void turns_rise(struct engine *engine) {
    if (!engine->settings.gate) return;
    gate_sit(engine->settings.gate, engine->seat, NULL, NULL);
    loop_timer_clear(&engine->gate_timer);
}

/* ---- runs ---- */

static struct turns *turns_new(const struct engine *engine, const char *id) {
    struct turns *turns = mem_alloc(sizeof *turns);
    turns->run.owner = turns->call.owner = turns;
    turns->run.seat = turns->call.seat = engine->seat;
    memcpy(turns->run.id, id, sizeof turns->run.id);
    memcpy(turns->call.id, id, sizeof turns->call.id);
    return turns;
}

static const char *dedup_key(const struct stage *stage, const struct json *parameters, const struct json *caller,
                             struct arena *arena, struct fault *fault) {
    const struct json *roots[RUN_ROOTS_MAX] = {0};
    struct buf key;
    roots[ROOT_PARAMETERS] = parameters;
    roots[ROOT_CALLER] = caller;
    buf_init(&key, KEY_MAX);
    const char *made = NULL;
    if (template_render(stage->dedup->key, roots, &key, fault)) {
        made = arena_strdup(arena, buf_cstr(&key));
        if (key.len == 0) {
            fault_set(fault, FAULT_INVALID, "/parameters", "they give an empty dedup.key");
            made = NULL;
        }
    }
    buf_fini(&key);
    return made;
}

/* The lines of a run, its stage's first. */
static size_t wants_of(const struct stage *stage, const char *key, struct gate_want wants[GATE_LINES]) {
    size_t count = 0;
    if (stage->limits) wants[count++] = (struct gate_want){.kind = GATE_RUNS, .stage = stage->name};
    if (stage->dedup) wants[count++] = (struct gate_want){.kind = GATE_SAME, .stage = stage->name, .name = key};
    return count;
}

static void count_duplicate(struct gate *gate, const struct gate_ticket *ticket, const struct stage *stage,
                            enum turns_answer answer) {
    static const char *const words[] = {"attached", "rejected", "queued", "superseding"};
    char before[1][STORE_ID_SIZE];
    bool waits = answer == TURNS_WAITS && gate_before(gate, ticket, before, 1);
    if (answer == TURNS_TAKEN || waits)
        count_add_labelled(COUNT_FAMILY_DUPLICATES, stage->name, words[stage->dedup->on_duplicate], 1);
}

enum turns_answer turns_start(struct engine *engine, struct ask *ask, struct turns **ret_turns, struct fault *fault) {
    static const enum turns_answer answers[] = {[GATE_ANSWER_GOES] = TURNS_GOES,
                                                [GATE_ANSWER_WAITS] = TURNS_WAITS,
                                                [GATE_ANSWER_FULL] = TURNS_FULL,
                                                [GATE_ANSWER_TAKEN] = TURNS_TAKEN};
    const struct stage *stage = ask->stage;
    const char *key = NULL;
    struct gate_want wants[GATE_LINES];
    if (!engine->settings.gate || (!stage->limits && !stage->dedup)) return TURNS_NONE;
    if (stage->dedup && !(key = dedup_key(stage, ask->parameters, ask->caller, ask->arena, fault))) return TURNS_BAD;
    bool alone = stage->dedup && stage->dedup->on_duplicate <= DUPLICATE_REJECT;
    struct turns *turns = turns_new(engine, ask->id);
    size_t count = wants_of(stage, key, wants);
    enum turns_answer answer = answers[gate_enter(engine->settings.gate, &turns->run, wants, count,
                                                  alone ? GATE_ALONE : GATE_QUEUE, now_of(engine), ask->taken)];
    set_timer(engine);
    if (stage->dedup) count_duplicate(engine->settings.gate, &turns->run, stage, answer);
    if (answer == TURNS_FULL) count_add_labelled(COUNT_FAMILY_QUEUE_FULL, stage->name, NULL, 1);
    if (answer == TURNS_FULL || answer == TURNS_TAKEN) {
        mem_free(turns);
        return answer;
    }
    turns->run_turn = answer == TURNS_GOES ? TURN_GOES : TURN_WAITS;
    *ret_turns = turns;
    return answer;
}

void turns_adopt(struct life *life, struct turns *turns) {
    life->turns = turns;
    if (turns) turns->life = life;
}

void turns_resume(struct life *life, uint64_t number) {
    struct engine *engine = life->engine;
    const struct run *run = life->run;
    const struct stage *stage = run->stage;
    struct gate_want wants[GATE_LINES];
    if (!engine->settings.gate || !stage || (!stage->limits && !stage->dedup)) return;
    struct arena *scratch = arena_new();
    const char *key = stage->dedup ? dedup_key(stage, frozen_thaw(scratch, run->parameters),
                                               frozen_thaw(scratch, run->caller), scratch, NULL)
                                   : NULL;
    bool waits = run->queued && !run->cancel_wanted;
    struct turns *turns = turns_new(engine, run->id);
    turns->run.number = number;
    turns_adopt(life, turns);
    size_t count = wants_of(stage, key ? key : run->id, wants);
    turns->run_turn = gate_enter(engine->settings.gate, &turns->run, wants, count, waits ? GATE_RESUME : GATE_BACK,
                                 now_of(engine), NULL) == GATE_ANSWER_GOES
                          ? TURN_GOES
                          : TURN_WAITS;
    arena_free(scratch);
}

/* ---- superseding ---- */

struct superseded {
    struct engine *engine;
    char id[STORE_ID_SIZE], by[STORE_ID_SIZE];
};

static void superseded_arrives(void *arg) {
    struct superseded *superseded = arg;
    struct life *life = life_find_id(superseded->engine, superseded->id);
    if (life && !superseded->engine->draining && !life->run->cancel_wanted) {
        struct log_context ctx = life_context(life->run);
        log_put(LOG_INFO, "run_superseded", &ctx, LOG_STR("by", superseded->by));
        life_cancel(life);
    }
    mem_free(superseded);
}

void turns_supersede(struct life *life) {
    const struct stage *stage = life->run->stage;
    const struct engines *engines = life->engine->settings.engines;
    char ids[SUPERSEDED_MAX][STORE_ID_SIZE];
    if (!life->turns || !stage->dedup || stage->dedup->on_duplicate != DUPLICATE_SUPERSEDE) return;
    size_t count = gate_before(life->engine->settings.gate, &life->turns->run, ids, SUPERSEDED_MAX);
    for (size_t i = 0; i < count; i++) {
        struct superseded *superseded = mem_alloc(sizeof *superseded);
        superseded->engine = engines->items[id_owner(text_of(ids[i])) % engines->count];
        memcpy(superseded->id, ids[i], sizeof superseded->id);
        memcpy(superseded->by, life->run->id, sizeof superseded->by);
        loop_post(superseded->engine->loop, superseded_arrives, superseded);
    }
}

/* ---- calls ---- */

/* A poll may have to be a POST; where the definition says that it is idempotent, it changes nothing. */
static bool changes_things(const struct life *life, enum run_call call) {
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS"};
    for (size_t i = 0; i < sizeof safe / sizeof *safe; i++)
        if (strcmp(life->request->method, safe[i]) == 0) return false;
    if (call != RUN_CALL_STEP) return true;
    return !life->run->stage->steps[life->run->step].rules.exist || !life->request->call->idempotent;
}

/* What the option `upstreams` calls the host that a URL leads to; NULL: nothing. */
static const char *host_of(const struct life *life) {
    struct gate *gate = life->engine->settings.gate;
    struct url url;
    if (!gate_has_hosts(gate) || !url_parse(text_of(life->request->url), &url, NULL)) return NULL;
    char *host = arena_printf(life->attempt, "%.*s:%d", TEXT_ARG(url.host), url_port(&url));
    for (char *s = host; *s; s++)
        if (*s >= 'A' && *s <= 'Z') *s = (char)(*s + 'a' - 'A');
    if (gate_knows_host(gate, host)) return host;
    host[url.host.len] = 0;
    return gate_knows_host(gate, host) ? host : NULL;
}

static size_t call_wants_of(const struct life *life, struct gate_want wants[GATE_LINES]) {
    const struct stage *stage = life->run->stage;
    const char *host = host_of(life);
    size_t count = 0;
    if (host) wants[count++] = (struct gate_want){.kind = GATE_HOST, .name = host};
    if (stage->call_limits) wants[count++] = (struct gate_want){.kind = GATE_CALLS, .stage = stage->name};
    return count;
}

/* ---- where somebody stands, for people ---- */

static const char *ordinal_end(size_t n) {
    if (n % 100 >= 11 && n % 100 <= 13) return "th";
    return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

static void add_about(struct buf *out, int64_t ms) {
    if (ms < 0) return;
    buf_adds(out, ", about ");
    duration_write(out, (ms + 999) / 1000 * 1000);
    buf_adds(out, " to go");
}

static void add_broken(struct buf *out, const struct gate_place *place) {
    const char *whose = place->kind == GATE_HOST ? place->name : "the upstream";
    buf_addf(out, "%s is failing, as %lld of %lld calls did within ", whose, (long long)place->bad,
             (long long)place->calls);
    duration_write(out, place->limits.breaker.window_ms);
    if (place->wait_ms > 0) add_about(out, place->wait_ms);
    else buf_adds(out, "; one call is finding out");
}

static void add_rate(struct buf *out, const char *what, double per_second) {
    if (per_second > 1) {
        buf_addf(out, "%.3g %ss a second are allowed", per_second, what);
        return;
    }
    buf_addf(out, "one %s every ", what);
    duration_write(out, (int64_t)(1000 / per_second));
    buf_adds(out, " is allowed");
}

static void add_why(struct buf *out, const struct gate_place *place) {
    bool runs = place->kind == GATE_RUNS;
    const struct limits *limits = &place->limits;
    switch (place->why) {
    case VALVE_FREE: buf_adds(out, "those before it go first"); break;
    case VALVE_BUSY:
        if (place->kind == GATE_SAME) buf_adds(out, "the same work is under way");
        else if (limits->concurrency == 1)
            buf_addf(out, "one %s at once is allowed", runs ? "run of the stage" : "call to the host");
        else
            buf_addf(out, "%lld %s at once are allowed", (long long)limits->concurrency,
                     runs ? "runs of the stage" : "calls to the host");
        break;
    case VALVE_RATE:
        add_rate(out, runs ? "run" : "call", limits->per_second);
        add_about(out, place->wait_ms);
        break;
    case VALVE_GAP:
        buf_adds(out, "calls that change things keep a gap of ");
        duration_write(out, limits->gap_ms);
        add_about(out, place->wait_ms);
        break;
    case VALVE_BROKEN: add_broken(out, place); break;
    }
}

static bool say_place(struct engine *engine, struct gate_ticket *ticket, bool run, char text[TURNS_TEXT_SIZE]) {
    struct gate_place place;
    struct buf out;
    if (!gate_place(engine->settings.gate, ticket, now_of(engine), &place)) return false;
    buf_init(&out, TURNS_TEXT_SIZE - 1);
    buf_addf(&out, "%s: %zu%s of %zu", run ? "queued" : "held", place.rank, ordinal_end(place.rank), place.count);
    if (!run && place.kind == GATE_HOST) buf_addf(&out, " calls to %s", place.name);
    buf_adds(&out, ", since ");
    add_why(&out, &place);
    snprintf(text, TURNS_TEXT_SIZE, "%s", buf_cstr(&out));
    buf_fini(&out);
    return true;
}

void turns_look(struct life *life) {
    char text[TURNS_TEXT_SIZE];
    struct turns *turns = life->turns;
    if (!turns || life->run->state != RUN_QUEUED) return;
    bool run = life->run->queued;
    if (say_place(life->engine, run ? &turns->run : &turns->call, run, text)) life_say_turn(life, text);
}

/* ---- going, waiting, leaving ---- */

bool turns_limit(const struct engine *engine, const struct stage *stage) {
    return engine->settings.gate && (stage->call_limits || gate_has_hosts(engine->settings.gate));
}

bool turns_call(struct life *life, enum run_call call, bool force, char text[TURNS_TEXT_SIZE]) {
    struct engine *engine = life->engine;
    struct gate_want wants[GATE_LINES];
    if (!turns_limit(engine, life->run->stage)) return true;
    if (life->turns && life->turns->call_turn == TURN_GOES) {
        gate_begin(engine->settings.gate, &life->turns->call, now_of(engine));
        return true;
    }
    size_t count = call_wants_of(life, wants);
    if (count == 0) return true;
    if (!life->turns) turns_adopt(life, turns_new(engine, life->run->id));
    struct turns *turns = life->turns;
    turns->call.changes = changes_things(life, call);
    enum gate_answer answer = gate_enter(engine->settings.gate, &turns->call, wants, count,
                                         call == RUN_CALL_STEP && !force ? GATE_QUEUE : GATE_FORCE, now_of(engine),
                                         NULL);
    turns->call_turn = answer == GATE_ANSWER_GOES ? TURN_GOES : TURN_WAITS;
    set_timer(engine);
    if (answer == GATE_ANSWER_GOES) return true;
    if (!say_place(engine, &turns->call, false, text)) snprintf(text, TURNS_TEXT_SIZE, "held");
    return false;
}

static void leave_call(struct life *life, enum valve_outcome outcome) {
    if (!life->turns || life->turns->call_turn == TURN_NONE) return;
    life->turns->call_turn = TURN_NONE;
    gate_leave(life->engine->settings.gate, &life->turns->call, outcome, now_of(life->engine));
    set_timer(life->engine);
}

static void leave_run(struct life *life) {
    if (!life->turns || life->turns->run_turn == TURN_NONE) return;
    life->turns->run_turn = TURN_NONE;
    gate_leave(life->engine->settings.gate, &life->turns->run, VALVE_NONE, now_of(life->engine));
    set_timer(life->engine);
}

/* Whether the host is well: what it answers does not matter, as long as it answers, and not with a failure of its own.
 */
static enum valve_outcome outcome_of(const struct reply *reply) {
    if (!reply) return VALVE_NONE;
    if (reply->phase == REPLY_ANSWERED) return reply->code >= 500 ? VALVE_BAD : VALVE_GOOD;
    return reply->fault->kind == FAULT_UPSTREAM || reply->timed_out ? VALVE_BAD : VALVE_NONE;
}

void turns_called(struct life *life, const struct reply *reply) {
    leave_call(life, outcome_of(reply));
}

void turns_settle(struct life *life) {
    const struct turns *turns = life->turns;
    enum run_state state = life->run->state;
    if (!turns || life->dead) return;
    if (turns->run_turn == TURN_WAITS && state != RUN_QUEUED && state != RUN_ACCEPTING) leave_run(life);
    bool may_call = state == RUN_INTENDING || state == RUN_CALLING || state == RUN_QUEUED;
    if (turns->call_turn != TURN_NONE && !life->transfer && !may_call) leave_call(life, VALVE_NONE);
}

void turns_free(struct life *life) {
    leave_call(life, VALVE_NONE);
    leave_run(life);
    mem_free(life->turns);
    life->turns = NULL;
}
