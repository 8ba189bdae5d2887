/* What is offered: the stages of the catalog, for people, for programs, and for whoever reads orca's own list.
 *
 * Everything comes from the generation that the loop holds, so an answer never mixes two. A stage that the caller has
 * no right to is not there for it. Broken definitions are shown with their mistakes: that is how whoever dropped one in
 * finds out. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "front/api.h"
#include "orca/preconfigured.h"
#include "run/contract.h"

#define BODY_MAX (64 * 1024 * 1024)

/* Whoever may do anything with a stage may know that it is there. */
static bool visible(const struct api_call *call, const char *stage) {
    return caller_may(call->caller, RIGHT_SEE, stage) || caller_may(call->caller, RIGHT_START, stage) ||
           caller_may(call->caller, RIGHT_CANCEL, stage);
}

/* What is built in stands in a list only for who asks for all. */
static bool listed(const struct api_call *call, const struct catalog_entry *entry) {
    const char *all = exchange_query(call->exchange, "all");
    return visible(call, entry->name) && (!entry->built_in || (all && strcmp(all, "true") == 0));
}

const struct catalog_entry *api_entry(struct api_call *call, enum caller_right right) {
    const struct catalog *catalog = call->api->catalog;
    const struct catalog_entry *entry = catalog_find(catalog, call->stage);
    char detail[256];
    if (!entry || !visible(call, entry->name)) {
        const char *near = caller_sees_all(call->caller) ? catalog_nearest(catalog, text_of(call->stage)) : NULL;
        snprintf(detail, sizeof detail, "there is no stage of this name%s%s%s", near ? "; did you mean \"" : "",
                 near ? near : "", near ? "\"?" : "; GET /stages lists them");
        api_problem(call, 404, "not_found", detail, NULL);
        return NULL;
    }
    if (right != RIGHT_SEE && !caller_may(call->caller, right, entry->name)) {
        snprintf(detail, sizeof detail, "the caller \"%s\" may not %s this stage", caller_name(call->caller),
                 right == RIGHT_START ? "start" : "cancel");
        api_problem(call, 403, "forbidden", detail, NULL);
        return NULL;
    }
    return entry;
}

static const struct json *faults_of(struct arena *arena, const struct fault *faults, size_t count) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < count; i++) {
        struct json *fault = json_new_object(arena);
        json_set(fault, "kind", json_new_string(arena, fault_word(faults[i].kind)));
        json_set(fault, "where", json_new_string(arena, faults[i].where));
        json_set(fault, "what", json_new_string(arena, faults[i].what));
        json_push(list, fault);
    }
    return list;
}

/* "ok", "disabled" and "broken" (not offered), or "stale": the newest version is broken, and the one before it is in
 * force. */
static const char *state_of(const struct catalog_entry *entry) {
    if (entry->disabled) return "disabled";
    return !entry->fault_count ? "ok" : entry->stage ? "stale" : "broken";
}

/* What the caller may do with the stage. */
static const struct json *rights_of(const struct api_call *call, const char *stage) {
    static const char *const words[RIGHT_END] = {
        [RIGHT_START] = "start", [RIGHT_SEE] = "see", [RIGHT_CANCEL] = "cancel"};
    struct arena *arena = call->exchange->arena;
    struct json *list = json_new_array(arena);
    for (int right = 0; right < RIGHT_END; right++)
        if (caller_may(call->caller, (enum caller_right)right, stage))
            json_push(list, json_new_string(arena, words[right]));
    return list;
}

static struct json *summary_of(const struct api_call *call, const struct catalog_entry *entry) {
    struct arena *arena = call->exchange->arena;
    const struct stage *stage = entry->stage;
    struct json *made = json_new_object(arena);
    json_set(made, "name", json_new_string(arena, entry->name));
    json_set(made, "label", json_new_string(arena, stage && stage->label ? stage->label : entry->name));
    json_set(made, "description", json_new_string(arena, stage ? stage->description : NULL));
    json_set(made, "state", json_new_string(arena, state_of(entry)));
    json_set(made, "file", json_new_string(arena, entry->file));
    json_set(made, "disabled", json_new_string(arena, entry->disabled));
    json_set(made, "durable", stage ? json_new_bool(arena, stage->durable) : NULL);
    json_set(made, "may", rights_of(call, entry->name));
    json_set(made, "errors", faults_of(arena, entry->faults, entry->fault_count));
    json_set(made, "warnings", faults_of(arena, stage ? stage->warnings : NULL, stage ? stage->warning_count : 0));
    return made;
}

static const struct json *choices_of(struct arena *arena, const struct param *param) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < param->choice_count; i++) json_push(list, json_new_string(arena, param->choices[i]));
    return list;
}

static const struct json *params_of(struct arena *arena, const struct stage *stage) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; stage && i < stage->param_count; i++) {
        const struct param *param = &stage->params[i];
        struct json *made = json_new_object(arena);
        json_set(made, "name", json_new_string(arena, param->name));
        json_set(made, "label", json_new_string(arena, param->label ? param->label : param->name));
        json_set(made, "description", json_new_string(arena, param->description));
        json_set(made, "type", json_new_string(arena, param_type_word(param->type)));
        json_set(made, "required", json_new_bool(arena, param->required));
        json_set(made, "default", param->preset);
        if (param->choice_count) json_set(made, "choices", choices_of(arena, param));
        json_push(list, made);
    }
    return list;
}

static const struct json *steps_of(struct arena *arena, const struct stage *stage) {
    struct json *list = json_new_array(arena);
    for (size_t i = 0; stage && i < stage->step_count; i++)
        json_push(list, json_new_string(arena, stage->steps[i].name));
    return list;
}

static void answer_value(struct api_call *call, const struct json *value) {
    struct buf made, body;
    buf_init(&made, BODY_MAX);
    buf_init(&body, BODY_MAX);
    json_write(&made, value);
    run_report_defuse(&body, buf_text(&made)); /* a description may hold anything */
    api_answer_json(call, 200, &body);
    buf_fini(&body);
    buf_fini(&made);
}

void api_stages_list(struct api_call *call) {
    struct arena *arena = call->exchange->arena;
    const struct catalog *catalog = call->api->catalog;
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < catalog->count; i++)
        if (listed(call, &catalog->entries[i])) json_push(list, summary_of(call, &catalog->entries[i]));
    struct json *made = json_new_object(arena);
    char loaded[CLOCK_TEXT_SIZE];
    clock_format(catalog->loaded_wall_ms, loaded);
    json_set(made, "loaded", json_new_string(arena, loaded));
    json_set(made, "caller", json_new_string(arena, caller_name(call->caller)));
    json_set(made, "stages", list);
    answer_value(call, made);
}

/* What runs of the definition in force have met; other callers' as well, so only for who may see them. */
static const struct json *contract_of(struct api_call *call, const struct catalog_entry *entry) {
    struct contracts *contracts = call->api->contracts;
    if (!contracts || !entry->stage || !caller_may(call->caller, RIGHT_SEE, entry->name)) return NULL;
    struct contract *contract = contracts_find(contracts, entry->stage);
    const struct json *made = contract_show(contract, call->exchange->arena, loop_wall_ms(call->api->loop));
    contract_unref(contract);
    return made;
}

void api_stages_show(struct api_call *call) {
    struct arena *arena = call->exchange->arena;
    const struct catalog_entry *entry = api_entry(call, RIGHT_SEE);
    if (!entry) return;
    struct json *made = summary_of(call, entry);
    json_set(made, "parameters", params_of(arena, entry->stage));
    if (entry->stage) json_set(made, "schema", params_schema(arena, entry->stage->params, entry->stage->param_count));
    json_set(made, "steps", steps_of(arena, entry->stage));
    json_set(made, "contract", contract_of(call, entry));
    json_set(made, "definition", json_new_string(arena, entry->stage ? stage_hash(entry->stage) : NULL));
    json_set(made, "startUrl",
             json_new_string(arena, arena_printf(arena, "%s/stages/%s", call->base_url, entry->name)));
    answer_value(call, made);
}

/* ---- orca's own list ---- */

void api_stages_preconfigured(struct api_call *call) {
    struct arena *arena = call->exchange->arena;
    const struct catalog *catalog = call->api->catalog;
    struct preconfigured_form form = {.base_url = call->base_url, .type_prefix = ""};
    struct json *list = json_new_array(arena);
    for (size_t i = 0; i < catalog->count; i++)
        if (catalog->entries[i].stage && !catalog->entries[i].built_in && visible(call, catalog->entries[i].name))
            json_push(list, preconfigured_listing(arena, preconfigured_entry(arena, catalog->entries[i].stage, &form)));
    answer_value(call, list);
}
