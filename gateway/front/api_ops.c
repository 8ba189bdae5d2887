/* What operators ask: is it alive, may it get work, what has it counted, what is there.
 *
 * /health says that the process answers, and nothing more, so that a full disk does not get it killed; /ready says that
 * it may get work. Both ask for no token: a load balancer has none. */
#include "base/count.h"
#include "front/api.h"

#define METRICS_MAX (64 * 1024 * 1024)

static void answer_text(struct api_call *call, int status, const char *json) {
    struct answer answer = {.status = status, .content_type = "application/json", .body = text_of(json)};
    api_answer(call, &answer);
}

void api_ops_index(struct api_call *call) {
    answer_text(call, 200,
                "{\"name\":\"stagedoor\",\"version\":\"" STAGEDOOR_VERSION
                "\",\"links\":[\"/stages\",\"/runs\",\"/health\","
                "\"/ready\",\"/metrics\",\"/webhooks/preconfigured\"]}");
}

void api_ops_health(struct api_call *call) {
    answer_text(call, 200, "{\"status\":\"UP\"}");
}

void api_ops_ready(struct api_call *call) {
    if (call->api->draining) api_problem(call, 503, "busy", "the gateway is being stopped", NULL);
    else if (!store_ready(call->api->store))
        api_problem(call, 503, "busy", "the store cannot take runs at the moment", NULL);
    else if (engine_expects(call->api->engines->items[loop_index(call->api->loop)]))
        api_problem(call, 503, "busy", "runs are still being read from the store", NULL);
    else answer_text(call, 200, "{\"status\":\"UP\"}");
}

void api_ops_metrics(struct api_call *call) {
    if (!caller_sees_all(call->caller)) {
        api_problem(call, 403, "forbidden", "the counters speak of all stages, and this caller may not see all of them",
                    NULL);
        return;
    }
    struct buf body;
    buf_init(&body, METRICS_MAX);
    count_write(&body);
    struct answer answer = {
        .status = 200, .content_type = "text/plain; version=0.0.4; charset=utf-8", .body = buf_text(&body)};
    api_answer(call, &answer);
    buf_fini(&body);
}
