/* Making runs and ending them: a run and all that stands in it from its first moment share one arena, as large as that
 * is. */
#include <string.h>

#include "run/run_move.h"

/* Whoever masks asks for each text anew, so they are at hand as they are. */
void run_find_secrets(struct run *run, const struct json *parameters) {
    const char **secrets = NULL;
    struct arena *scratch = NULL;
    for (size_t i = 0; run->stage && i < run->stage->param_count; i++) {
        const struct param *param = &run->stage->params[i];
        if (param->type != PARAM_SECRET) continue;
        if (!parameters) parameters = frozen_thaw(scratch = arena_new(), run->parameters);
        if (!parameters) break;
        const char *value = json_gets_text(parameters, param->name);
        if (!value) continue;
        if (!secrets) secrets = arena_array_of(run->arena, const char *, run->stage->param_count);
        secrets[i] = arena_strdup(run->arena, value);
    }
    run->secrets = secrets;
    arena_free(scratch);
}

static size_t room_of(const struct run_new *from, const char *stage_name, const char *definition, size_t step_count) {
    const char *texts[] = {from->key, from->fingerprint, from->traceparent, from->caller_name, stage_name, definition};
    size_t room = ARENA_ROOM(sizeof(struct run)) + ARENA_ROOM(step_count * sizeof(struct run_step));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) room += texts[i] ? ARENA_ROOM(strlen(texts[i]) + 1) : 0;
    return room;
}

/* The stage has its own name and hash already, where there is one. */
struct run *run_make(const struct run_new *from, const char *stage_name, const char *definition, size_t step_count) {
    struct stage *stage = from->stage;
    if (stage && stage_name && strcmp(stage_name, stage->name) == 0) stage_name = NULL;
    if (stage && definition && strcmp(definition, stage->hash) == 0) definition = NULL;
    struct arena *arena = arena_new_for(room_of(from, stage_name, definition, step_count));
    struct run *run = arena_new_of(arena, struct run);
    run->arena = arena;
    memcpy(run->id, from->id, sizeof run->id);
    run->key = arena_strdup(arena, from->key);
    run->fingerprint = arena_strdup(arena, from->fingerprint);
    run->traceparent = arena_strdup(arena, from->traceparent);
    run->caller_name = arena_strdup(arena, from->caller_name);
    run->stage_name = stage_name || !stage ? arena_strdup(arena, stage_name) : stage->name;
    run->definition = definition || !stage ? arena_strdup(arena, definition) : stage->hash;
    run->created_ms = run->updated_ms = run->begun_ms = run->step_began_ms = from->now_ms;
    run->deadline_ms = from->deadline_ms;
    run->percent = -1;
    run->step_count = step_count;
    run->steps = arena_array_of(arena, struct run_step, step_count);
    if (stage) run->stage = stage_ref(stage);
    return run;
}

static struct run *make_whole(const struct run_new *from, const char *stage_name, const char *definition,
                              size_t step_count) {
    struct run *run = run_make(from, stage_name, definition, step_count);
    run->caller = frozen_new(from->caller);
    run->parameters = frozen_new(from->parameters);
    run_find_secrets(run, from->parameters);
    return run;
}

static struct run_fresh *fresh_of(const struct run_new *from) {
    struct arena *arena = arena_new();
    struct run_fresh *fresh = arena_new_of(arena, struct run_fresh);
    *fresh = (struct run_fresh){arena, json_share(arena, from->caller), json_share(arena, from->parameters)};
    return fresh;
}

struct arena *run_take_fresh(struct run *run) {
    struct arena *arena = run->fresh ? run->fresh->arena : NULL;
    run->fresh = NULL;
    return arena;
}

struct run *run_new(const struct run_new *from) {
    struct run *run = make_whole(from, NULL, NULL, from->stage->step_count);
    run->state = RUN_ACCEPTING;
    run->status = RUN_RUNNING;
    run->queued = from->queued;
    if (run->queued) run->begun_ms = 0;
    bool held = run->queued || from->limited;
    if (!held) run->fresh = fresh_of(from);
    run->sending = !held && !run->stage->steps[0].call.idempotent; /* the intent goes along with the record */
    run->progress = mem_strdup(run->queued ? "queued" : "accepted");
    return run;
}

struct run *run_new_canceled(const struct run_new *from, const char *stage_name) {
    const struct stage *stage = from->stage;
    struct run *run = make_whole(from, stage ? NULL : stage_name, stage ? NULL : "", stage ? stage->step_count : 0);
    run->state = RUN_ENDING;
    run->status = RUN_CANCELED;
    run->reason = REASON_CANCELED_BEFORE_START;
    run->cancel_wanted = true;
    run->ended_ms = from->now_ms;
    run->progress = mem_strdup("canceled: before it was started");
    return run;
}

struct run *run_new_attached(const struct run_new *from, const char *id) {
    struct run *run = run_make(from, NULL, NULL, 0);
    run->attached_to = arena_strdup(run->arena, id);
    run->state = RUN_ENDING;
    run->ended_ms = from->now_ms;
    run->progress = mem_strdup("");
    return run;
}

void run_shed(struct run *run) {
    arena_free(run_take_fresh(run));
    for (size_t i = 0; i < run->step_count; i++) {
        struct run_step *step = &run->steps[i];
        mem_free(step->url);
        mem_free(step->location);
        frozen_free(step->value);
        step->url = step->location = NULL;
        step->value = NULL;
        if (step->inbox) step->inbox->kept_count = 0; /* what they hold is in the arena */
    }
}

static size_t text_bytes(const char *text) {
    return text ? strlen(text) + 1 : 0;
}

size_t run_bytes(const struct run *run) {
    const struct frozen *values[] = {run->caller, run->parameters, run->outputs, run->artifacts, run->warnings};
    size_t bytes = arena_bytes(run->arena) + journal_bytes(&run->journal) + text_bytes(run->progress) +
                   text_bytes(run->error) + text_bytes(run->upstream_word);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) bytes += frozen_text(values[i]).len;
    for (size_t i = 0; i < run->step_count; i++)
        bytes += text_bytes(run->steps[i].url) + text_bytes(run->steps[i].location) +
                 frozen_text(run->steps[i].value).len;
    return bytes;
}

void run_free(struct run *run) {
    if (!run) return;
    stage_unref(run->stage);
    mem_free(run->progress);
    mem_free(run->error);
    mem_free(run->upstream_word);
    run_shed(run);
    struct frozen *values[] = {run->caller, run->parameters, run->outputs, run->artifacts, run->warnings};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) frozen_free(values[i]);
    journal_fini(&run->journal);
    arena_free(run->arena);
}
