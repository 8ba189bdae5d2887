/* Calls of lives: rendered, held where limits or the upstream want that, begun, and ended.
 *
 * What a call needs lives in the attempt's arena, and ends with it. A call that has to wait is rendered anew when it
 * may go: by then the run may be another. */
#include <string.h>

#include "back/secrets.h"
#include "base/count.h"
#include "run/callback.h"
#include "run/contract.h"
#include "run/life.h"
#include "run/turns.h"

void life_call_end(struct life *life) {
    life->transfer = NULL;
    secrets_unref(life->secrets);
    life->secrets = NULL;
    arena_free(life->attempt);
    life->attempt = NULL;
    life->request = NULL;
}

static const char *call_word(const struct run *run) {
    return run->state == RUN_CANCELING ? "cancel" : run->state == RUN_PROBING ? "probe" : "step";
}

static struct holds_now holds_now_of(const struct engine *engine) {
    return (struct holds_now){.wall_ms = loop_wall_ms(engine->loop), .mono_ms = loop_mono_ms(engine->loop)};
}

static void on_reply(void *arg, const struct reply *reply) {
    struct life *life = arg;
    struct log_context ctx = life_context(life->run);
    count_add_labelled(COUNT_FAMILY_CALLS, life->run->stage_name, reply_phase_word(reply->phase), 1);
    log_put(reply->phase == REPLY_ANSWERED ? LOG_DEBUG : LOG_WARN, "call_ended", &ctx,
            LOG_STR("phase", reply_phase_word(reply->phase)), LOG_STR("method", life->request->method),
            LOG_INT("code", reply->code), LOG_INT("ms", reply->took_ms), LOG_INT("bytes", reply->body.len),
            LOG_STR("what", reply->phase == REPLY_ANSWERED ? NULL : reply->fault->what));
    if (life->engine->settings.holds) {
        struct holds_now now = holds_now_of(life->engine);
        holds_note(life->engine->settings.holds, life->request, reply, &now);
    }
    contract_headers(life->contract, life->run, call_word(life->run), reply, loop_wall_ms(life->engine->loop));
    /* The reply lives in the attempt's arena, which has to outlast the move that reads it. */
    struct arena *attempt = life->attempt;
    life->attempt = NULL;
    life_call_end(life);
    struct engine *engine = life->engine;
    turns_called(life, reply);
    life_drive(life, &(struct run_event){.kind = RUN_EVENT_REPLY, .reply = reply});
    arena_free(attempt);
    engine_look_drained(engine);
}

static bool render(struct life *life, enum run_call call, struct fault *fault) {
    struct run *run = life->run;
    life->request = arena_new_of(life->attempt, struct request);
    const struct json *roots[RUN_ROOTS_MAX];
    const char *urls[STAGE_STEPS_MAX] = {0};
    run_roots_of_call(run, life->attempt, loop_wall_ms(life->engine->loop), run_call_of(run, call), roots);
    run_take_fresh(run); /* the attempt is in their arena */
    life->secrets = secrets_ref();
    roots[ROOT_SECRET] = secrets_json(life->secrets);
    if (call == RUN_CALL_STEP || call == RUN_CALL_PROBE)
        roots[ROOT_CALLBACK] = callback_root(life->attempt, run, life->engine->settings.callback_key,
                                             life->engine->settings.callback_url);
    for (size_t i = 0; i < run->step_count; i++) urls[i] = run->steps[i].url;
    if (run->steps[run->step].location) urls[run->step - 1] = run->steps[run->step].url; /* it came from there */
    struct request_source source = {
        .stage = run->stage, .roots = roots, .step_urls = urls, .traceparent = run->traceparent};
    if (run_call_of(run, call)->idempotency_header) source.idempotency_key = run_idempotency_key(run, life->attempt);
    return request_render(life->attempt, run_call_of(run, call), &source, life->request, fault);
}

/* The upstream has asked for quiet: the call waits, and is rendered anew then. */
static bool hold_for_quiet(struct life *life) {
    struct fault fault;
    const char *why;
    struct holds *holds = life->engine->settings.holds;
    if (!holds) return false;
    struct run_world world = life_world(life);
    struct holds_now now = holds_now_of(life->engine);
    int64_t until_ms = holds_until_ms(holds, life->attempt, life->request, &now, world.random, &why);
    if (!until_ms) return false;
    fault_set(&fault, FAULT_UPSTREAM, NULL, "%s", why);
    turns_called(life, NULL); /* its turn, if it had one, is for others */
    life_call_end(life);
    struct log_context ctx = life_context(life->run);
    log_fault(LOG_DEBUG, "call_held", &ctx, &fault);
    life_drive(life, &(struct run_event){.kind = RUN_EVENT_HELD, .fault = &fault, .until_ms = until_ms});
    return true;
}

/* Its turn has not come: it is rendered anew when it has. */
static bool hold_for_turn(struct life *life, enum run_call call, bool intended) {
    char turn[TURNS_TEXT_SIZE];
    if (turns_call(life, call, intended, turn)) return false;
    life_call_end(life);
    life_drive(life, &(struct run_event){.kind = RUN_EVENT_HELD, .turn = turn});
    return true;
}

/* The attempt is ready, and may go; else the run was told that it is HELD or REFUSED, and there is no attempt. What the
 * store has as being sent is not held any more: it would be in doubt. */
static bool prepare(struct life *life, enum run_call call, bool intended) {
    struct fault fault;
    life->attempt = life->run->fresh ? life->run->fresh->arena : arena_new();
    if (render(life, call, &fault)) return !(!intended && hold_for_quiet(life)) && !hold_for_turn(life, call, intended);
    life_call_end(life);
    struct log_context ctx = life_context(life->run);
    log_fault(LOG_WARN, "call_not_rendered", &ctx, &fault);
    life_drive(life, &(struct run_event){.kind = RUN_EVENT_REFUSED, .fault = &fault});
    return false;
}

void life_call_begin(struct life *life, enum run_call call, bool intended) {
    if (prepare(life, call, intended))
        life->transfer = transfer_begin(life->engine->upstream, life->request, life->attempt, on_reply, life);
}

/* It is rendered once more then. */
bool life_call_may_go(struct life *life) {
    if (!engine_limits(life->engine, life->run->stage)) return true;
    if (!prepare(life, RUN_CALL_STEP, false)) return false;
    life_call_end(life);
    return true;
}

void life_call_abort(struct life *life) {
    if (!life->transfer) return;
    transfer_cancel(life->transfer);
    life_call_end(life);
    turns_called(life, NULL);
}
