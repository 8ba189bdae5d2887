/* Routing: from an exchange to the handler that answers it, and the answers that all handlers share.
 *
 * One table says everything about a route: method, pattern, handler, and whether a caller has to say who it is. A path
 * that is known with another method gets 405 with Allow; HEAD is GET without its body; OPTIONS says what is allowed.
 * What starts a run goes through the admission first, before anything of its body was looked at. */
#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "base/log.h"
#include "front/answer.h"
#include "front/api.h"
#include "front/browser.h"
#include "front/problem.h"

#define BODY_MAX (64 * 1024 * 1024)

struct route {
    enum http_method method;
    const char *pattern; /* its segments: {stage}, {id} and {token} match any one */
    size_t count;
    const char *segments[3];
    void (*handle)(struct api_call *call);
    enum {
        ANYBODY = 1, /* no token is asked for, also where there are callers */
        STARTS = 2   /* it makes work: it comes last where there is much of it */
    } flags;
};

static const struct route routes[] = {
    {HTTP_GET, "", 0, {NULL}, api_ops_index, ANYBODY},
    {HTTP_GET, "health", 1, {"health"}, api_ops_health, ANYBODY},
    {HTTP_GET, "ready", 1, {"ready"}, api_ops_ready, ANYBODY},
    {HTTP_GET, "metrics", 1, {"metrics"}, api_ops_metrics, 0},
    {HTTP_GET, "stages", 1, {"stages"}, api_stages_list, 0},
    {HTTP_GET, "stages/{stage}", 2, {"stages", "{stage}"}, api_stages_show, 0},
    {HTTP_POST, "stages/{stage}", 2, {"stages", "{stage}"}, api_runs_start, STARTS},
    {HTTP_POST, "stages/{stage}/cancel", 3, {"stages", "{stage}", "cancel"}, api_runs_cancel_key, 0},
    {HTTP_GET, "runs", 1, {"runs"}, api_runs_list, 0},
    {HTTP_POST, "runs", 1, {"runs"}, api_runs_start_named, STARTS},
    {HTTP_POST, "runs/cancel", 2, {"runs", "cancel"}, api_runs_cancel_named, 0},
    {HTTP_GET, "runs/{id}", 2, {"runs", "{id}"}, api_runs_show, 0},
    {HTTP_DELETE, "runs/{id}", 2, {"runs", "{id}"}, api_runs_cancel, 0},
    {HTTP_GET, "runs/{id}/explain", 3, {"runs", "{id}", "explain"}, api_runs_explain, 0},
    {HTTP_POST, "runs/{id}/cancel", 3, {"runs", "{id}", "cancel"}, api_runs_cancel, 0},
    {HTTP_POST, "callbacks/{token}", 2, {"callbacks", "{token}"}, api_callbacks_take, ANYBODY},
    {HTTP_GET, "webhooks/preconfigured", 2, {"webhooks", "preconfigured"}, api_stages_preconfigured, 0},
};
#define ROUTES (sizeof routes / sizeof *routes)

/* ---- answers ---- */

static void count_answer(const struct api_call *call, int status) {
    const struct exchange *exchange = call->exchange;
    int64_t ms = loop_mono_ms(call->api->loop) - exchange->began_mono_ms;
    enum log_level level = status >= 500 && !call->shed   ? LOG_WARN
                           : status >= 400 && !call->shed ? LOG_INFO
                                                          : LOG_DEBUG;
    count_add_labelled(COUNT_FAMILY_REQUESTS, call->route, answer_code(status), 1);
    count_observe(COUNT_HISTOGRAM_REQUEST_MS, ms);
    if (!log_wants(level)) return;
    struct log_context ctx = {.caller = caller_name(call->caller)};
    char target[512];
    snprintf(target, sizeof target, "%.*s", TEXT_ARG(exchange->target));
    log_put(level, "request", &ctx, LOG_STR("method", http_method_word(exchange->method)), LOG_STR("target", target),
            LOG_INT("code", status), LOG_INT("ms", ms), LOG_STR("peer", exchange->peer));
}

void api_answer(struct api_call *call, struct answer *answer) {
    count_answer(call, answer->status);
    struct callers *callers = call->callers; /* the call lives in the exchange's arena */
    exchange_answer(call->exchange, answer);
    callers_unref(callers);
}

void api_answer_json(struct api_call *call, int status, const struct buf *body) {
    struct answer answer = {.status = status, .content_type = "application/json", .body = buf_text(body)};
    api_answer(call, &answer);
}

static void add_header(struct answer *answer, const char *name, const char *value) {
    answer->headers[answer->header_count++] = (struct answer_header){name, value};
}

static void answer_problem(struct api_call *call, int status, const char *kind, const char *detail,
                           const struct fault *faults, size_t count, const char *allow) {
    struct buf body;
    buf_init(&body, BODY_MAX);
    problem_write(&body, status, kind, detail, faults, count);
    struct answer answer = {.status = status, .content_type = PROBLEM_TYPE, .body = buf_text(&body)};
    if (allow) add_header(&answer, "Allow", allow);
    if (status == 401) add_header(&answer, "WWW-Authenticate", "Bearer realm=\"stagedoor\"");
    if (status == 503) add_header(&answer, "Retry-After", "5");
    api_answer(call, &answer);
    buf_fini(&body);
}

void api_problem(struct api_call *call, int status, const char *kind, const char *detail, const struct faults *faults) {
    answer_problem(call, status, kind, detail, faults ? faults->items : NULL, faults ? faults->count : 0, NULL);
}

void api_fault(struct api_call *call, const struct fault *fault) {
    answer_problem(call, problem_status(fault->kind), fault_word(fault->kind), fault->what, fault, 1, NULL);
}

void api_refuse(int status, const char *what, struct buf *ret_body, const char **ret_content_type) {
    problem_write(ret_body, status, "refused", what, NULL, 0);
    *ret_content_type = PROBLEM_TYPE;
}

/* ---- matching ---- */

static bool is_variable(const char *segment) {
    return *segment == '{';
}

static bool match(const struct route *route, const struct exchange *exchange) {
    if (route->count != exchange->segment_count) return false;
    for (size_t i = 0; i < route->count; i++)
        if (!is_variable(route->segments[i]) && !text_is(exchange->segments[i], route->segments[i])) return false;
    return true;
}

/* What the path has where the pattern has a name in braces. */
static void take_segments(struct api_call *call, const struct route *route) {
    for (size_t i = 0; i < route->count; i++) {
        if (!is_variable(route->segments[i])) continue;
        const char **to = strcmp(route->segments[i], "{stage}") == 0 ? &call->stage
                          : strcmp(route->segments[i], "{id}") == 0  ? &call->id
                                                                     : &call->token;
        *to = call->exchange->segments[i].at;
    }
}

static const struct route *find(const struct exchange *exchange) {
    enum http_method method = exchange->method == HTTP_HEAD ? HTTP_GET : exchange->method;
    for (size_t i = 0; i < ROUTES; i++)
        if (routes[i].method == method && match(&routes[i], exchange)) return &routes[i];
    return NULL;
}

/* Of a path that is there, though not with this method. */
static const char *pattern_of(const struct exchange *exchange) {
    const char *pattern = "none";
    for (size_t i = 0; i < ROUTES; i++)
        if (match(&routes[i], exchange)) pattern = routes[i].pattern;
    return pattern;
}

static void write_allow(const struct exchange *exchange, struct buf *allow) {
    for (size_t i = 0; i < ROUTES; i++) {
        if (!match(&routes[i], exchange)) continue;
        buf_addf(allow, "%s%s", allow->len ? ", " : "", http_method_word(routes[i].method));
        if (routes[i].method == HTTP_GET) buf_adds(allow, ", HEAD");
    }
}

static void answer_no_route(struct api_call *call) {
    const struct exchange *exchange = call->exchange;
    char detail[256];
    struct buf methods;
    buf_init(&methods, 256);
    write_allow(exchange, &methods);
    const char *allow = buf_cstr(&methods);
    if (!*allow) {
        api_problem(call, 404, "not_found", "there is nothing at this path; GET / lists what there is", NULL);
    } else if (exchange->method == HTTP_OPTIONS) {
        struct answer answer = {.status = 204};
        add_header(&answer, "Allow", allow);
        api_answer(call, &answer);
    } else {
        snprintf(detail, sizeof detail, "%s is not allowed here; %s is", http_method_word(exchange->method), allow);
        answer_problem(call, 405, "unsupported", detail, NULL, 0, allow);
    }
    buf_fini(&methods);
}

/* ---- handling ---- */

static const char *base_url_of(const struct api *api, const struct exchange *exchange) {
    if (api->public_url[0]) return api->public_url;
    const char *host = exchange_header(exchange, HTTP_HEADER_HOST);
    return arena_join(exchange->arena, exchange->tls ? "https://" : "http://", host && *host ? host : "localhost",
                      NULL);
}

/* Who has a token is nobody's browser, a gateway that is meant for others is called by their names for it, and no
 * browser believes a certificate that was made for another name. */
static bool is_no_strange_page(const struct api *api, const struct exchange *exchange, struct fault *fault) {
    struct browser_rules rules = {.public_url = api->public_url,
                                  .any_host = api->callers || api->open || exchange->tls};
    return browser_check(exchange, &rules, fault);
}

static bool knows_caller(struct callers *callers, const struct exchange *exchange, const struct caller **ret_caller,
                         struct fault *fault) {
    if (!callers) return true;
    *ret_caller = callers_find_again(callers, exchange->memo, exchange_header(exchange, HTTP_HEADER_AUTHORIZATION),
                                     exchange->client_name, fault);
    return *ret_caller != NULL;
}

static bool identify(struct api_call *call, struct fault *fault) {
    call->callers = callers_ref(call->api->callers);
    return knows_caller(call->callers, call->exchange, &call->caller, fault);
}

/* As problem_write has it: written once, since it is given where there is no time. */
#define TOO_MUCH                                                                                             \
    "the gateway has more to do than it can, and a start would wait for its turn for too long; nothing was " \
    "started, try again later"
static const struct answer too_much = {
    .status = 503,
    .content_type = PROBLEM_TYPE,
    .body = TEXT("{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"" TOO_MUCH
                 "\",\"kind\":\"busy\",\"errors\":[{\"pointer\":\"queue_timeout\",\"detail\":\"" TOO_MUCH "\"}]}"),
    .headers = {{"Retry-After", "5"}},
    .header_count = 1};

static void on_admission(void *arg, bool goes) {
    struct api_call *call = arg;
    if (goes) {
        call->handle(call);
        return;
    }
    struct answer answer = too_much;
    call->shed = true;
    api_answer(call, &answer);
}

/* ---- admission ---- */

/* The stage of a start, where it needs no disk. One that is named in the body is not looked at before it is admitted,
 * so it counts as one that does. */
static const struct catalog_entry *in_memory_stage(const struct api *api, const struct route *route,
                                                   const struct exchange *exchange) {
    if (!is_variable(route->segments[route->count - 1])) return NULL;
    const struct catalog_entry *entry = catalog_find(api->catalog, exchange->segments[route->count - 1].at);
    return entry && entry->stage && !entry->stage->durable ? entry : NULL;
}

/* What api_handle will find. */
static bool may_start(const struct api *api, const struct exchange *exchange, const struct catalog_entry *entry) {
    const struct caller *caller = NULL;
    struct fault unused;
    if (!is_no_strange_page(api, exchange, &unused)) return false;
    return knows_caller(api->callers, exchange, &caller, &unused) && caller_may(caller, RIGHT_START, entry->name);
}

/* Whoever may not start the stage is answered as if there were none: what it needs would tell that it is there. NULL:
 * every start begins at once. */
static struct admission *admission_to(const struct api *api, bool may_start_in_memory) {
    return may_start_in_memory ? api->admission_in_memory : api->admission;
}

/* Most of the time nobody is turned away, and nothing has to be asked. */
static bool all_have_room(const struct api *api, size_t bytes) {
    return !(api->admission && admission_is_full(api->admission, bytes)) &&
           !(api->admission_in_memory && admission_is_full(api->admission_in_memory, bytes));
}

const struct answer *api_turn_away(struct exchange *exchange) {
    struct api *api = exchange->server;
    if (all_have_room(api, exchange->body.len)) return NULL;
    const struct route *route = find(exchange);
    if (!route || !(route->flags & STARTS)) return NULL;
    const struct catalog_entry *entry = in_memory_stage(api, route, exchange);
    struct admission *admission = admission_to(api, entry && may_start(api, exchange, entry));
    if (!admission || !admission_turns_away(admission, exchange->body.len)) return NULL;
    const struct api_call call = {.api = api, .exchange = exchange, .route = route->pattern, .shed = true};
    count_answer(&call, too_much.status);
    return &too_much;
}

static void admit(struct api_call *call, const struct route *route) {
    const struct catalog_entry *entry = in_memory_stage(call->api, route, call->exchange);
    struct admission *admission = admission_to(call->api, entry && caller_may(call->caller, RIGHT_START, entry->name));
    call->handle = route->handle;
    if (admission) admission_enter(admission, &call->seat, call->exchange->body.len, on_admission, call);
    else route->handle(call);
}

/* ---- all of it ---- */

void api_handle(struct exchange *exchange) {
    struct api_call *call = arena_new_of(exchange->arena, struct api_call);
    call->api = exchange->server;
    call->exchange = exchange;
    call->base_url = base_url_of(call->api, exchange);
    struct fault fault;
    const struct route *route = find(exchange);
    call->route = route ? route->pattern : pattern_of(exchange);
    if (route) take_segments(call, route);
    bool secret = route && call->token; /* the path is the credential: who has it may come by any name, from any page */
    if (!secret && !is_no_strange_page(call->api, exchange, &fault)) api_fault(call, &fault);
    else if (!route) answer_no_route(call);
    else if (!(route->flags & ANYBODY) && !identify(call, &fault)) api_fault(call, &fault);
    else if (route->flags & STARTS) admit(call, route);
    else route->handle(call);
}
