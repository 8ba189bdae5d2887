/* What a run keeps of what its upstream said: outputs, warnings, and the replies that later steps may speak of.
 *
 * A log may be large and hold anything, so outputs and replies have bounds, and what templates do not name is not kept.
 */
#include <string.h>

#include "run/contract.h"
#include "run/mask.h"
#include "run/run_move.h"

#define OUTPUTS_MAX (4 * 1024 * 1024) /* bytes; what Spinnaker would have to keep */
#define WARNINGS_MAX 50
#define KEPT_MAX (8 * 1024 * 1024) /* bytes of a reply that later steps may speak of */

static bool is_small(const struct json *value, size_t max) {
    struct buf text;
    buf_init(&text, max);
    json_write(&text, value);
    bool small = !text.full;
    buf_fini(&text);
    return small;
}

static void add_members(struct json *to, const struct json *from) {
    for (struct json_member m = json_first(from); m.name.at; m = json_next(from, m)) json_set_text(to, m.name, m.value);
}

void move_warn(struct move *m, const char *what, struct arena *scratch) {
    struct run *run = m->run;
    const struct json *before = frozen_thaw(scratch, run->warnings);
    if (json_size(before) >= WARNINGS_MAX) return;
    struct json *warnings = json_new_array(scratch);
    for (size_t i = 0; i < json_size(before); i++) json_push(warnings, json_at(before, i));
    const char *sentence = arena_printf(scratch, "%s: %.*s", step_of(run)->name, move_told(what), what);
    json_push(warnings, mask_value(m->run, scratch, json_new_string(scratch, sentence)));
    frozen_put(&run->warnings, warnings);
}

/* Of a step that captures: reads the log that decided it. */
void move_capture(struct move *m, struct said *said, struct arena *scratch) {
    const struct stage_capture *how = &step_of(m->run)->capture;
    if (!how->properties || said->reply->phase != REPLY_ANSWERED) return;
    struct captured *captured = arena_new_of(scratch, struct captured);
    capture_read(scratch, how, said->reply, captured);
    said->captured = captured;
    said->body = NULL; /* which is the log, from now on */
    for (size_t i = 0; i < json_size(captured->warnings); i++)
        move_warn(m, json_text(json_at(captured->warnings, i)).at, scratch);
    if (how->missing == MISSING_WARN && !json_size(captured->values)) move_warn(m, CAPTURE_NOTHING, scratch);
}

/* Of a name that several have, the last one's. */
static const struct json *merged(struct arena *arena, const struct json *const *parts, size_t count) {
    const struct json *only = NULL;
    struct json *made = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!json_size(parts[i])) continue;
        if (only && !made) made = json_copy_members(arena, only, NULL);
        if (made) add_members(made, parts[i]);
        only = parts[i];
    }
    return made ? made : only;
}

const struct json *move_said_body(struct arena *arena, const struct run *run, struct said *said) {
    bool is_json;
    if (said->body) return said->body;
    if (!said->reply) said->body = json_gets(said->message.value, "body");
    else if (said->captured) said->body = json_new_text(arena, said->captured->log);
    else said->body = reply_body(arena, said->reply, step_of(run)->call.wanted, &is_json);
    return said->body;
}

/* "none" is an object to templates. */
static const struct json *outputs_of(const struct said *said, struct arena *arena) {
    return said->outputs ? said->outputs : json_new_object(arena);
}

const struct json *move_said_value(struct arena *arena, const struct run *run, struct said *said) {
    struct json *value = said->reply ? reply_value_with(arena, said->reply, move_said_body(arena, run, said),
                                                        run->stage->reads_headers)
                                     : json_copy_members(arena, said->message.value, NULL);
    if (said->outputs_made && run->stage->names_outputs) json_set(value, "outputs", outputs_of(said, arena));
    return value;
}

/* Those of its step. What the definition says itself wins over what a log says. */
static void make_outputs(struct move *m, struct said *said, struct arena *scratch) {
    const struct stage_step *step = step_of(m->run);
    if (said->outputs_made) return;
    const struct json *own = run_outputs_of(m->run, scratch, step->outputs, step->output_count, m->world->now_ms, said);
    said->outputs = said->captured ? merged(scratch, (const struct json *[]){said->captured->values, own}, 2) : own;
    said->outputs_made = true;
}

const struct json *move_value(struct move *m, struct said *said, struct arena *scratch) {
    make_outputs(m, said, scratch);
    return move_said_value(scratch, m->run, said);
}

/* The reply decided the step: take the outputs from it. Those at the top may name those of the last step. */
const struct json *move_outputs(struct move *m, struct said *said, bool last, bool warned, struct arena *scratch) {
    struct run *run = m->run;
    const struct stage *stage = run->stage;
    make_outputs(m, said, scratch);
    const struct json *own = said->outputs, *whole = NULL;
    if (last) whole = run_outputs_of(run, scratch, stage->outputs, stage->output_count, m->world->now_ms, said);
    if (!warned && !run->outputs && !json_size(own) && !json_size(whole)) return whole;
    struct json *result = warned ? json_new_object(scratch) : NULL;
    if (warned) json_set(result, "result", json_new_string(scratch, "WARN"));
    const struct json *parts[] = {frozen_thaw(scratch, run->outputs), mask_value(run, scratch, own),
                                  mask_value(run, scratch, whole), result}; /* a log may hold a secret as a name */
    const struct json *outputs = merged(scratch, parts, sizeof parts / sizeof *parts);
    if (run->outputs_left_out || !frozen_put_within(&run->outputs, outputs, OUTPUTS_MAX)) run->outputs_left_out = true;
    if (run->outputs_left_out) frozen_put(&run->outputs, NULL);
    return whole;
}

/* What no template speaks of is not held while the run rests. */
static const struct json *named_of(const struct json_wanted *named, const struct json *body, struct arena *scratch) {
    if (named->all || (named->names && json_kind(body) != JSON_OBJECT)) return body;
    if (!named->names) return NULL;
    struct json *made = json_new_object(scratch);
    for (struct json_member m = json_first(body); m.name.at; m = json_next(body, m))
        if (json_wants(named, m.name)) json_set_text(made, m.name, m.value);
    return made;
}

static const struct json *headers_of(const struct said *said, struct arena *scratch) {
    return said->reply ? reply_headers(scratch, said->reply) : json_gets(said->message.value, "headers");
}

static const struct json *code_of(const struct said *said, struct arena *scratch) {
    return said->reply ? json_new_int(scratch, said->reply->code) : json_gets(said->message.value, "code");
}

/* A log is nothing that anybody behind it may ask for. */
void move_keep(struct run *run, struct said *said, struct arena *scratch) {
    const struct stage *stage = run->stage;
    struct json *kept = json_new_object(scratch);
    bool log = step_of(run)->capture.properties;
    const struct json *body = log ? NULL
                                  : named_of(&stage->named[run->step], move_said_body(scratch, run, said), scratch);
    const struct json *outputs = stage->names_outputs ? outputs_of(said, scratch) : NULL;
    if (body) json_set(kept, "body", body);
    if (stage->names_headers) json_set(kept, "headers", headers_of(said, scratch));
    json_set(kept, "code", code_of(said, scratch));
    if (outputs && is_small(outputs, OUTPUTS_MAX)) json_set(kept, "outputs", outputs);
    frozen_put(&run->steps[run->step].value, kept);
}

/* The step is done: keep what later templates may ask for. */
void move_keep_said(struct move *m, const struct verdict *verdict, struct said *said, bool last,
                    struct arena *scratch) {
    struct run *run = m->run;
    run->steps[run->step].status = RUN_SUCCEEDED;
    if (!verdict->warned && last && !run->stage->output_count && !step_of(run)->output_count && !said->captured &&
        !move_makes_artifacts(run, last))
        return; /* nobody will ask */
    const struct json *whole = move_outputs(m, said, last, verdict->warned, scratch);
    if (!said->captured) contract_outputs(m->world, run, move_said_body(scratch, run, said), said->outputs, whole);
    if (move_makes_artifacts(run, last)) move_artifacts(m, move_said_value(scratch, run, said), last, scratch);
    if (!last) move_keep(run, said, scratch);
}

bool move_refuse_large(struct move *m, const struct said *said) {
    size_t bytes = said->reply ? said->reply->body.len : said->message.bytes;
    if (bytes <= KEPT_MAX) return false;
    move_fail(m, REASON_BAD_REPLY, "the reply is larger than the 8 MiB that are kept for the steps behind it");
    return true;
}

void move_take_outputs(struct move *m, struct arena *scratch) {
    struct said said = {.reply = m->event->reply};
    move_outputs(m, &said, move_is_last(m->run), false, scratch);
}
