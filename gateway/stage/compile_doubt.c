/* Compiles what becomes of a call in doubt: one that may have been acted on, or not.
 *
 * An idempotent call is simply sent again, so these settings are for the others, and a definition that says both is
 * refused: nobody could know which of them counts. Called once the step's call and rules are compiled. */
#include <string.h>
#include <strings.h>

#include "stage/compile.h"

#define GRACE_MS 10000
#define PROBE_TRIES 5

/* ---- the key ---- */

static void check_key_header(struct compile *c, const struct conf *at, const struct stage_call *call) {
    const char *name = call->idempotency_header;
    if (!text_token_check(text_of(name))) compile_fault(c, at, FAULT_INVALID, "\"%s\" cannot be a header's name", name);
    if (stage_header_is_ours(name) || strcasecmp(name, "Content-Type") == 0)
        compile_fault(c, at, FAULT_INVALID, "the header %s is made by the gateway and cannot carry a key", name);
    for (size_t i = 0; i < call->header_count; i++)
        if (strcasecmp(call->headers[i].name, name) == 0)
            compile_fault(c, at, FAULT_INVALID, "the header %s is set twice: in headers, and by idempotency_key", name);
}

static void read_key(struct compile *c, const struct conf *group, const char *of, struct stage_step *step) {
    const struct conf *at = conf_find(group, "idempotency_key"), *idempotent = conf_find(group, "idempotent");
    if (!at || !fields_type_fits(at, FIELD_KEY) || (at->kind == CONF_BOOL && !at->truth)) return;
    step->call.idempotency_header = at->kind == CONF_STRING ? at->string.at : "Idempotency-Key";
    check_key_header(c, at, &step->call);
    if (idempotent && idempotent->kind == CONF_BOOL && !idempotent->truth)
        compile_fault(c, idempotent, FAULT_INVALID, "with idempotency_key, %s is idempotent", of);
    if (step->rules.exist)
        compile_fault(c, at, FAULT_INVALID,
                      "%s repeats, so it has no idempotency_key: the upstream would give the first answer for ever",
                      of);
    step->call.idempotent = true;
}

/* ---- the probe ---- */

static void read_found(struct compile *c, const struct conf *group, struct stage_output *found) {
    const struct conf *at = conf_find(group, "found");
    c->scope.secrets = false;
    c->scope.reply = true;
    if (!at) compile_fault(c, group, FAULT_INVALID, "a probe needs found = \"$.…\": what it looks for in the reply");
    if (!at || at->kind != CONF_STRING) return;
    found->name = "found";
    if (text_holds(at->string, "{{")) found->expression = compile_template(c, at, PLACE_TEXT);
    else found->path = compile_path(c, at);
}

/* It may look for the URL that the lost call told. */
static const struct stage_probe *read_probe(struct compile *c, const struct conf *group, size_t callback_step) {
    struct stage_probe *probe = arena_new_of(c->arena, struct stage_probe);
    struct stage_call *call = &probe->step.call;
    const struct conf *idempotent = conf_find(group, "idempotent");
    struct field_place places[] = {{&fields_call, call}, {&fields_probe, probe}, {&fields_errors, NULL}};
    probe->step.name = "probe";
    probe->step.not_found_grace_ms = GRACE_MS;
    compile_call_defaults(call);
    call->retry_attempts = PROBE_TRIES;
    fields_read(c, group, "probe", places, 3);
    c->scope.callback = callback_step < STAGE_STEPS_MAX;
    c->scope.no_callback = "is nothing to look for: the call itself does not tell it";
    compile_call(c, group, "probe", COMPILE_PROBE, call);
    c->scope.callback = false;
    c->scope.no_callback = NULL;
    if (idempotent) compile_fault(c, idempotent, FAULT_INVALID, "a probe looks and does nothing: it is idempotent");
    call->idempotent = true;
    read_found(c, group, &probe->found);
    compile_errors(c, group, &probe->step.rules);
    return probe;
}

/* ---- which of them ---- */

static void check_doubt(struct compile *c, const struct conf *group, const char *of, const struct stage_step *step) {
    const struct conf *at = conf_find(group, "on_in_doubt"), *probe = conf_find(group, "probe");
    const struct conf *idempotent = conf_find(group, "idempotent"), *key = conf_find(group, "idempotency_key");
    bool sure = idempotent && idempotent->kind == CONF_BOOL && idempotent->truth;
    const struct conf *said = step->call.idempotency_header ? key : sure ? idempotent : NULL;
    if (step->in_doubt == DOUBT_PROBE && !probe)
        compile_fault(c, at, FAULT_INVALID, "on_in_doubt = \"probe\" needs probe = { … }");
    if (step->in_doubt != DOUBT_PROBE && probe)
        compile_fault(c, at, FAULT_INVALID, "there is a probe, and on_in_doubt says %s", conf_shown(c->arena, at));
    if (said && step->in_doubt != DOUBT_RESEND)
        compile_fault(c, at ? at : probe, FAULT_INVALID, "with %s, %s is idempotent, and never in doubt", said->name,
                      of);
    if (step->in_doubt == DOUBT_PROBE && step->rules.exist)
        compile_fault(c, at ? at : probe, FAULT_INVALID,
                      "%s repeats, so it has no probe; on_in_doubt = \"resend\" asks again", of);
}

void compile_doubt(struct compile *c, const struct conf *group, const char *of, struct stage_step *step) {
    const struct conf *at = conf_find(group, "on_in_doubt"), *probe = conf_find(group, "probe");
    bool said = at && at->kind == CONF_STRING;
    read_key(c, group, of, step);
    if (!said && !probe) return;
    step->in_doubt = !said || text_is(at->string, "probe") ? DOUBT_PROBE
                     : text_is(at->string, "resend")       ? DOUBT_RESEND
                                                           : DOUBT_FAIL;
    check_doubt(c, group, of, step);
    step->call.idempotent = step->in_doubt == DOUBT_RESEND && (step->call.idempotent || step->rules.exist);
    if (probe && probe->kind == CONF_GROUP) step->probe = read_probe(c, probe, step->callback_step);
}
