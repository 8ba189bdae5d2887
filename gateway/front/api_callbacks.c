/* Callbacks of upstreams: from an exchange to a question for the run that the token names.
 *
 * The token is looked at before anything else, and without looking anything up: what this gateway never signed is not
 * found. Who sent it is asked by the run's own definition (callback.verify), on the run's loop. The answer says as
 * little as it can: whoever calls back is told that it was taken, and nothing about the run. */
#include "base/count.h"
#include "front/api.h"
#include "front/guard.h"
#include "run/callback.h"

static void on_answer(struct ask *ask) {
    struct api_call *call = ask->arg;
    struct buf body;
    buf_init(&body, 64);
    buf_adds(&body, "{\"status\":\"accepted\"}");
    if (ask->failed && ask->fault->kind == FAULT_INTERNAL)
        api_problem(call, 500, "internal", "the callback cannot be verified here; the gateway's log says why", NULL);
    else if (ask->failed) api_fault(call, ask->fault);
    else api_answer_json(call, 200, &body);
    buf_fini(&body);
    ask_free(ask);
}

static const struct reply *message_of(const struct exchange *exchange) {
    struct reply *message = arena_new_of(exchange->arena, struct reply);
    size_t count = 0;
    for (const struct guard_header *header = exchange->headers; header; header = header->next) count++;
    struct reply_header *headers = arena_array_of(exchange->arena, struct reply_header, count);
    for (const struct guard_header *header = exchange->headers; header; header = header->next)
        headers[message->header_count++] = (struct reply_header){
            .name = arena_strndup(exchange->arena, header->name.at, header->name.len),
            .value = arena_strndup(exchange->arena, header->value.at, header->value.len)};
    message->phase = REPLY_ANSWERED;
    message->code = 200; /* so that a template may read it like a reply */
    message->headers = headers;
    message->body = exchange->body;
    return message;
}

void api_callbacks_take(struct api_call *call) {
    struct callback_place place;
    const char *key = call->api->callback_key;
    if (!key || !callback_token_read(key, text_of(call->token), &place)) {
        count_add_labelled(COUNT_FAMILY_CALLBACKS, "", "unknown", 1);
        api_problem(call, 404, "not_found", "there is no such callback", NULL);
        return;
    }
    struct ask *ask = ask_new(ASK_CALLBACK, call->api->loop, on_answer, call);
    memcpy(ask->id, place.id, sizeof ask->id);
    ask->step = place.step;
    ask->message = message_of(call->exchange);
    call->exchange->context = ask;
    ask_send(call->api->engines, ask);
}
