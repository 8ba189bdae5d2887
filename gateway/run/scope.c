/* What the templates of a run may name.
 *
 * The roots are put together anew for each rendering: most of them are values that the run holds anyway, and a run in
 * flight should hold no more than it has to. */
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "call/outputs.h"
#include "run/run_move.h"

#define ALL UINT64_MAX
#define BIT(root) (UINT64_C(1) << (root))

static const struct json *about_run(const struct run *run, struct arena *arena) {
    char started[CLOCK_TEXT_SIZE];
    clock_format(run->created_ms, started);
    struct json *about = json_new_object(arena);
    json_set(about, "id", json_new_string(arena, run->id));
    json_set(about, "key", json_new_string(arena, run->key ? run->key : run->id));
    json_set(about, "stage", json_new_string(arena, run->stage_name));
    json_set(about, "started", json_new_string(arena, started));
    return about;
}

static const struct json *now_text(struct arena *arena, int64_t now_ms) {
    char now[CLOCK_TEXT_SIZE];
    clock_format(now_ms, now);
    return json_new_string(arena, now);
}

/* A step that follows was told a newer place to ask at than the step before was. */
static void put_location(const struct run *run, struct arena *arena, const struct json **roots) {
    const struct json **before = &roots[ROOT_STEPS + run->step - 1];
    struct json *value = json_new_object(arena), *headers = json_new_object(arena);
    const struct json *old = json_gets(*before, "headers");
    for (struct json_member m = json_first(*before); m.name.at; m = json_next(*before, m))
        json_set_text(value, m.name, m.value);
    for (struct json_member m = json_first(old); m.name.at; m = json_next(old, m))
        json_set_text(headers, m.name, m.value);
    json_set(headers, "location", json_new_string(arena, run->steps[run->step].location));
    json_set(value, "headers", headers);
    *before = value;
}

static bool has_location(const struct run *run) {
    return run->stage && run->step_count && run->steps[run->step].location;
}

static const struct json *parameters_of(const struct run *run, struct arena *arena) {
    return run->fresh ? run->fresh->parameters : frozen_thaw(arena, run->parameters);
}

static const struct json *caller_of(const struct run *run, struct arena *arena) {
    return run->fresh ? run->fresh->caller : frozen_thaw(arena, run->caller);
}

/* `named`: a bit for each root that is wanted. */
static void put_roots(const struct run *run, struct arena *arena, int64_t now_ms, uint64_t named,
                      const struct json **roots) {
    memset(roots, 0, RUN_ROOTS_MAX * sizeof *roots);
    if (named & BIT(ROOT_PARAMETERS)) roots[ROOT_PARAMETERS] = parameters_of(run, arena);
    if (named & BIT(ROOT_RUN)) roots[ROOT_RUN] = about_run(run, arena);
    if (named & BIT(ROOT_CALLER)) roots[ROOT_CALLER] = caller_of(run, arena);
    if (named & BIT(ROOT_NOW)) roots[ROOT_NOW] = now_text(arena, now_ms);
    for (size_t i = 0; i < run->step_count; i++)
        if (named & BIT(ROOT_STEPS + i)) roots[ROOT_STEPS + i] = frozen_thaw(arena, run->steps[i].value);
    if (has_location(run) && named & BIT(ROOT_STEPS + run->step - 1)) put_location(run, arena, roots);
}

/* Paths name the body too. */
static void put_reply(const struct run *run, const struct json *reply, uint64_t named, const struct json **roots) {
    roots[ROOT_BODY] = json_gets(reply, "body");
    if (named & BIT(ROOT_HEADERS)) roots[ROOT_HEADERS] = json_gets(reply, "headers");
    if (named & BIT(ROOT_CODE)) roots[ROOT_CODE] = json_gets(reply, "code");
    if (reply) roots[ROOT_STEPS + run->step] = reply; /* an output may name its own step as well */
}

void run_roots(const struct run *run, struct arena *arena, int64_t now_ms, const struct json *reply,
               const struct json *roots[RUN_ROOTS_MAX]) {
    put_roots(run, arena, now_ms, ALL, roots);
    put_reply(run, reply, ALL, roots);
}

void run_roots_of_call(const struct run *run, struct arena *arena, int64_t now_ms, const struct stage_call *call,
                       const struct json *roots[RUN_ROOTS_MAX]) {
    const struct template *single[] = {call->url, call->body, call->auth.user, call->auth.password, call->auth.token};
    uint64_t named = 0;
    for (size_t i = 0; i < sizeof single / sizeof *single; i++) named |= template_roots(single[i]);
    for (size_t i = 0; i < call->header_count; i++) named |= template_roots(call->headers[i].value);
    for (size_t i = 0; i < call->form_count; i++) named |= template_roots(call->form[i].value);
    put_roots(run, arena, now_ms, named, roots);
}

void run_roots_of_rules(const struct run *run, struct arena *arena, int64_t now_ms, const struct stage_rules *rules,
                        const struct json *roots[RUN_ROOTS_MAX]) {
    const struct template *texts[] = {rules->success_when.holds,
                                      rules->failure_when.holds,
                                      rules->canceled_when.holds,
                                      rules->running_when.holds,
                                      rules->warn_when.holds,
                                      rules->error_when.holds,
                                      rules->error,
                                      rules->at_most,
                                      rules->at_least};
    uint64_t named = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) named |= template_roots(texts[i]);
    for (size_t i = 0; i < rules->output_count; i++) named |= template_roots(rules->outputs[i].expression);
    put_roots(run, arena, now_ms, named, roots);
}

/* The form is what most upstreams ask for; the run's own key may be of any form, and come up in another stage too. */
const char *run_idempotency_key(const struct run *run, struct arena *arena) {
    const char *parts[] = {run->stage_name, run->stage->steps[run->step].name, run->key ? run->key : run->id};
    struct buf whole;
    char hex[65];
    buf_init(&whole, 1 << 20);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) buf_add(&whole, parts[i], strlen(parts[i]) + 1);
    digest_sha256_hex(buf_text(&whole), hex);
    buf_fini(&whole);
    hex[12] = '4'; /* RFC 9562, 5.4: the bits of version and variant; the others look as good as random */
    hex[16] = "89ab"[hex[16] & 3];
    return arena_printf(arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

const struct json *run_outputs_of(const struct run *run, struct arena *arena, const struct stage_output *outputs,
                                  size_t count, int64_t now_ms, struct said *said) {
    if (count == 0) return NULL;
    const struct json *roots[RUN_ROOTS_MAX];
    uint64_t named = 0, of_reply = BIT(ROOT_HEADERS) | BIT(ROOT_CODE) | BIT(ROOT_STEPS + run->step);
    for (size_t i = 0; i < count; i++) named |= template_roots(outputs[i].expression);
    put_roots(run, arena, now_ms, named, roots);
    if (named & of_reply) put_reply(run, move_said_value(arena, run, said), named, roots);
    roots[ROOT_BODY] = move_said_body(arena, run, said);
    return outputs_make(arena, outputs, count, roots);
}
