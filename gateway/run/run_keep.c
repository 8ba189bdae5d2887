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

static struct json *copy_of(struct arena *arena, const struct json *object) {
    struct json *made = json_new_object(arena);
    add_members(made, object);
    return made;
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
        if (only && !made) made = copy_of(arena, only);
        if (made) add_members(made, parts[i]);
        only = parts[i];
    }
    return made ? made : only;
}

/* What the definition says itself wins over what a log says. */
static const struct json *own_outputs(struct move *m, const struct said *said, const struct json *value,
                                      struct arena *scratch) {
    const struct stage_step *step = step_of(m->run);
    const struct json *own = run_outputs_of(m->run, scratch, step->outputs, step->output_count, m->world->now_ms,
                                            value);
    return said->captured ? merged(scratch, (const struct json *[]){said->captured->values, own}, 2) : own;
}

/* The outputs at the top may name those of the last step. */
static const struct json *with_outputs(const struct json *value, const struct json *own, struct arena *scratch) {
    struct json *whole = copy_of(scratch, value);
    json_set(whole, "outputs", own);
    return whole;
}

const struct json *move_value(struct move *m, const struct said *said, struct arena *scratch) {
    const struct json *value = said_value(scratch, m->run, said);
    return with_outputs(value, own_outputs(m, said, value, scratch), scratch);
}

/* Those at the top of the definition. */
static const struct json *outputs_of_all(struct move *m, const struct json *value, const struct json *own,
                                         struct arena *scratch) {
    const struct stage *stage = m->run->stage;
    if (stage->output_count == 0) return NULL;
    if (stage->names_outputs) value = with_outputs(value, own, scratch);
    return run_outputs_of(m->run, scratch, stage->outputs, stage->output_count, m->world->now_ms, value);
}

/* The reply decided the step: take the outputs from it. Gives those of the step itself. */
const struct json *move_outputs(struct move *m, const struct said *said, const struct json *value, bool last,
                                bool warned, struct arena *scratch) {
    struct run *run = m->run;
    const struct json *own = own_outputs(m, said, value, scratch);
    const struct json *whole = last ? outputs_of_all(m, value, own, scratch) : NULL;
    if (!warned && !run->outputs && !json_size(own) && !json_size(whole)) return own;
    struct json *result = warned ? json_new_object(scratch) : NULL;
    if (warned) json_set(result, "result", json_new_string(scratch, "WARN"));
    const struct json *parts[] = {frozen_thaw(scratch, run->outputs), mask_value(run, scratch, own),
                                  mask_value(run, scratch, whole), result}; /* a log may hold a secret as a name */
    const struct json *outputs = merged(scratch, parts, sizeof parts / sizeof *parts);
    if (run->outputs_left_out || !frozen_put_within(&run->outputs, outputs, OUTPUTS_MAX)) run->outputs_left_out = true;
    if (run->outputs_left_out) frozen_put(&run->outputs, NULL);
    return own;
}

static bool is_named(const struct stage_named *named, struct text name) {
    for (const struct stage_member *member = named->members; member; member = member->next)
        if (text_same(member->name, name)) return true;
    return false;
}

/* What no template speaks of is not held while the run rests. */
static const struct json *named_of(const struct stage_named *named, const struct json *body, struct arena *scratch) {
    if (named->whole || (named->members && json_kind(body) != JSON_OBJECT)) return body;
    if (!named->members) return NULL;
    struct json *made = json_new_object(scratch);
    for (struct json_member m = json_first(body); m.name.at; m = json_next(body, m))
        if (is_named(named, m.name)) json_set_text(made, m.name, m.value);
    return made;
}

void move_keep(struct run *run, const struct json *value, const struct json *own_outputs, struct arena *scratch) {
    struct json *kept = json_new_object(scratch);
    bool log = step_of(run)->capture.properties; /* which nobody behind it may ask for */
    for (struct json_member v = json_first(value); v.name.at; v = json_next(value, v)) {
        bool is_body = text_is(v.name, "body");
        if (is_body) v.value = log ? NULL : named_of(&run->stage->named[run->step], v.value, scratch);
        if (is_body ? v.value != NULL : !text_is(v.name, "headers") || run->stage->names_headers)
            json_set_text(kept, v.name, v.value);
    }
    if (run->stage->names_outputs && is_small(own_outputs, OUTPUTS_MAX)) json_set(kept, "outputs", own_outputs);
    frozen_put(&run->steps[run->step].value, kept);
}

/* The step is done: keep what later templates may ask for. */
void move_keep_said(struct move *m, const struct verdict *verdict, const struct said *said, bool last,
                    struct arena *scratch) {
    struct run *run = m->run;
    run->steps[run->step].status = RUN_SUCCEEDED;
    if (!verdict->warned && last && !run->stage->output_count && !step_of(run)->output_count && !said->captured &&
        !move_makes_artifacts(run, last))
        return; /* nobody will ask */
    const struct json *value = said_value(scratch, m->run, said);
    if (!said->captured) contract_outputs(m->world, run, json_gets(value, "body"));
    const struct json *own = move_outputs(m, said, value, last, verdict->warned, scratch);
    if (move_makes_artifacts(run, last)) move_artifacts(m, with_outputs(value, own, scratch), last, scratch);
    if (!last) move_keep(run, value, own, scratch);
}

bool move_refuse_large(struct move *m, const struct said *said) {
    size_t bytes = said->reply ? said->reply->body.len : said->message.bytes;
    if (bytes <= KEPT_MAX) return false;
    move_fail(m, REASON_BAD_REPLY, "the reply is larger than the 8 MiB that are kept for the steps behind it");
    return true;
}

void move_take_outputs(struct move *m, struct arena *scratch) {
    struct said said = {.reply = m->event->reply};
    move_outputs(m, &said, said_value(scratch, m->run, &said), move_is_last(m->run), false, scratch);
}
