/* What a run makes, for Spinnaker: `artifacts` of the report, from the replies that decided its steps.
 *
 * orca reads them where a stage does not wait for its run, as objects of its class Artifact: members that a reply has
 * not are left out, since a null is no text for every reader, and so is an artifact that nothing names. */
#include <string.h>

#include "call/outputs.h"
#include "run/mask.h"
#include "run/run_move.h"

#define ARTIFACTS_MAX 1000
#define ARTIFACTS_BYTES_MAX (1 << 20)
#define TEXT_MAX 65536

static bool has_text(const struct json *artifact, const char *name) {
    const char *text = json_gets_text(artifact, name);
    return text && *text;
}

/* All of its members are texts. */
static const struct json *without_gaps(struct arena *arena, const struct json *artifact) {
    struct json *made = json_new_object(arena);
    struct buf text;
    buf_init(&text, TEXT_MAX);
    for (struct json_member m = json_first(artifact); m.name.at; m = json_next(artifact, m)) {
        enum json_kind kind = json_kind(m.value);
        if (kind == JSON_NULL || kind == JSON_OBJECT || kind == JSON_ARRAY) continue;
        buf_clear(&text);
        json_write_text(&text, m.value);
        if (text.len && !text.full) json_set_text(made, m.name, json_new_text(arena, buf_text(&text)));
    }
    buf_fini(&text);
    return made;
}

static void add_made(struct json *list, const struct stage_artifacts *artifacts, struct arena *arena,
                     const struct json *const *roots) {
    for (size_t i = 0; i < artifacts->count; i++) {
        const struct stage_artifact *one = &artifacts->items[i];
        const struct json *made = without_gaps(arena, outputs_make(arena, one->members, one->count, roots));
        if (has_text(made, "type") && (has_text(made, "name") || has_text(made, "reference"))) json_push(list, made);
    }
}

/* As the upstream has them: a list, or one. */
static void add_given(struct json *list, const struct stage_output *from, struct arena *arena,
                      const struct json *const *roots) {
    const struct json *given = json_gets(outputs_make(arena, from, 1, roots), from->name);
    bool many = json_kind(given) == JSON_ARRAY;
    for (size_t i = 0; i < (many ? json_size(given) : 1) && json_size(list) < ARTIFACTS_MAX; i++) {
        const struct json *one = many ? json_at(given, i) : given;
        if (json_kind(one) == JSON_OBJECT && has_text(one, "type")) json_push(list, one);
    }
}

static void add(struct json *list, const struct stage_artifacts *artifacts, struct arena *arena,
                const struct json *const *roots) {
    if (artifacts->list) add_given(list, artifacts->list, arena, roots);
    add_made(list, artifacts, arena, roots);
}

static bool fits(const struct json *list) {
    struct buf text;
    buf_init(&text, ARTIFACTS_BYTES_MAX);
    json_write(&text, list);
    bool fits = !text.full;
    buf_fini(&text);
    return fits;
}

bool move_makes_artifacts(const struct run *run, bool last) {
    const struct stage_artifacts *own = &step_of(run)->artifacts, *top = &run->stage->artifacts;
    return own->list || own->count || (last && (top->list || top->count));
}

void move_artifacts(struct move *m, const struct json *value, bool last, struct arena *scratch) {
    struct run *run = m->run;
    const struct json *roots[RUN_ROOTS_MAX], *before = frozen_thaw(scratch, run->artifacts);
    run_roots(run, scratch, m->world->now_ms, value, roots);
    struct json *list = json_new_array(scratch);
    for (size_t i = 0; i < json_size(before); i++) json_push(list, json_at(before, i));
    add(list, &step_of(run)->artifacts, scratch, roots);
    if (last) add(list, &run->stage->artifacts, scratch, roots);
    if (json_size(list) == json_size(before)) return;
    if (fits(list)) frozen_put(&run->artifacts, mask_value(run, scratch, list));
    else move_warn(m, "its artifacts are left out, since all of them are larger than 1 MiB", scratch);
}
