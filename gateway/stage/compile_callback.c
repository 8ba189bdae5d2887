/* Compiles callback = { … } of a step: how long it waits, whom it believes, and how the callback's body is judged.
 *
 * What judges is what judges a reply (compile_rules). The settings of a step that repeats have no meaning for something
 * that comes by itself. Whether anybody is told the URL is looked at by stage/stage, which sees all steps. */
#include <string.h>

#include "stage/compile.h"

static bool is_of(const char *name, const struct field_table *table) {
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(name, table->fields[i].name) == 0) return true;
    return false;
}

static bool judges(const char *name) {
    return is_of(name, &fields_judging);
}

static enum stage_verify type_of(struct text type) {
    if (text_is(type, "github")) return VERIFY_GITHUB;
    return text_is(type, "bearer") ? VERIFY_BEARER : VERIFY_STANDARD_WEBHOOKS;
}

static void read_verify(struct compile *c, const struct conf *group, struct stage_callback *callback) {
    if (!group || group->kind != CONF_GROUP) return;
    const struct conf *type = conf_find(group, "type"), *secret = conf_find(group, "secret");
    struct field_place place = {&fields_verify, NULL};
    size_t before = compile_fault_count(c);
    fields_read(c, group, "verify", &place, 1);
    if (!type)
        compile_fault(c, group, FAULT_INVALID, "verify needs type = \"standard-webhooks\", \"github\" or \"bearer\"");
    if (!secret) compile_fault(c, group, FAULT_INVALID, "verify needs secret = \"{{ secret.NAME }}\"");
    if (compile_fault_count(c) != before) return;
    c->scope.secrets = true;
    c->scope.reply = false;
    c->scope.steps = 0; /* a callback may come before any reply */
    callback->verify = type_of(type->string);
    callback->secret = compile_template(c, secret, PLACE_TEXT);
    c->scope.secrets = false;
}

static void check_settings(struct compile *c, const struct conf *group, bool polls) {
    const struct conf *hint = conf_find(group, "hint"), *timeout = conf_find(group, "timeout");
    bool hints = hint && hint->kind == CONF_BOOL && hint->truth;
    for (size_t i = 0; i < group->count; i++) {
        const struct conf *at = &group->items[i];
        if (hints && judges(at->name))
            compile_fault(c, at, FAULT_INVALID, "a callback that is a hint decides nothing, so %s has no use here",
                          at->name);
        else if (!is_of(at->name, &fields_callback) && is_of(at->name, &fields_repeat))
            compile_fault(c, at, FAULT_INVALID, "%s is for the step, not for its callback", at->name);
        else if (strcmp(at->name, "success_for") == 0)
            compile_fault(c, at, FAULT_INVALID, "success_for is for replies that follow each other, not for callbacks");
    }
    if (hints && !polls)
        compile_fault(c, hint, FAULT_INVALID,
                      "a hint makes the next poll come now, and this step does not poll: it has no rules of its own");
    if (timeout && polls)
        compile_fault(c, timeout, FAULT_INVALID,
                      "a step that polls has one timeout for both; it stands beside callback, not in it");
}

struct stage_callback *compile_callback(struct compile *c, const struct conf *group, const char *of, bool polls) {
    if (!group || group->kind != CONF_GROUP) return NULL;
    struct stage_callback *callback = arena_new_of(c->arena, struct stage_callback);
    struct stage_step judged = {.name = ""}; /* compile_rules takes a step; its rules are what is wanted */
    struct field_place places[] = {
        {&fields_callback, callback}, {&fields_judging, &judged.rules}, {&fields_repeat, NULL}};
    const char *what = arena_printf(c->arena, "callback of %s", of);
    size_t steps = c->scope.steps;
    fields_read(c, group, what, places, 3);
    check_settings(c, group, polls);
    read_verify(c, conf_find(group, "verify"), callback);
    c->scope.steps = steps;
    compile_rules(c, group, what, false, &judged);
    callback->rules = judged.rules;
    if (c->context->no_callbacks)
        compile_fault(c, group, FAULT_INVALID,
                      "nobody could call back: the gateway has no address of its own to tell; set public_url");
    return callback;
}

void compile_waiting(struct compile *c, const struct conf *group, const char *of, struct stage_call *call) {
    for (size_t i = 0; i < group->count; i++)
        if (is_of(group->items[i].name, &fields_call) || is_of(group->items[i].name, &fields_doubt))
            compile_fault(c, &group->items[i], FAULT_INVALID,
                          "%s is for a call, and %s has no url: it only waits for its callback", group->items[i].name,
                          of);
    call->method = "";
    call->idempotent = true; /* there is nothing that could be done twice */
}
