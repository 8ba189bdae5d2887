/* Routing: from an exchange to the handler that answers it, and the answers that all handlers share.
 *
 * One table says everything about a route: method, pattern, handler, and whether a caller has to say who it is. A path
 * that is known with another method gets 405 with Allow; HEAD is GET without its body; OPTIONS says what is allowed.
 * What starts a run goes through the admission first, before anything of its body was looked at. */
#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "base/log.h"
#include "front/api.h"
#include "front/browser.h"
#include "front/problem.h"

#define BODY_MAX (64 * 1024 * 1024)

struct route {
    enum http_method method;
    const char *pattern; /* segments; {stage}, {id} and {token} match any one */
    void (*handle)(struct api_call *call);
    enum {
        ANYBODY = 1, /* no token is asked for, also where there are callers */
        STARTS = 2   /* it makes work: it comes last where there is much of it */
    } flags;
};

static const struct route routes[] = {
    {HTTP_GET, "", api_ops_index, ANYBODY},
    {HTTP_GET, "health", api_ops_health, ANYBODY},
    {HTTP_GET, "ready", api_ops_ready, ANYBODY},
    {HTTP_GET, "metrics", api_ops_metrics, 0},
    {HTTP_GET, "stages", api_stages_list, 0},
    {HTTP_GET, "stages/{stage}", api_stages_show, 0},
    {HTTP_POST, "stages/{stage}", api_runs_start, STARTS},
    {HTTP_POST, "stages/{stage}/cancel", api_runs_cancel_key, 0},
    {HTTP_GET, "runs", api_runs_list, 0},
    {HTTP_POST, "runs", api_runs_start_named, STARTS},
    {HTTP_POST, "runs/cancel", api_runs_cancel_named, 0},
    {HTTP_GET, "runs/{id}", api_runs_show, 0},
    {HTTP_DELETE, "runs/{id}", api_runs_cancel, 0},
    {HTTP_GET, "runs/{id}/explain", api_runs_explain, 0},
    {HTTP_POST, "runs/{id}/cancel", api_runs_cancel, 0},
    {HTTP_POST, "callbacks/{token}", api_callbacks_take, ANYBODY},
    {HTTP_GET, "webhooks/preconfigured", api_stages_preconfigured, 0},
};
#define ROUTES (sizeof routes / sizeof *routes)

/* ---- answers ---- */

static void count_answer(const struct api_call *call, int status) {
    const struct exchange *exchange = call->exchange;
    char code[TEXT_INT_MAX + 1];
    code[text_of_int(status, code).len] = 0;
    int64_t ms = loop_mono_ms(call->api->loop) - exchange->began_mono_ms;
    enum log_level level = status >= 500 && !call->shed   ? LOG_WARN
                           : status >= 400 && !call->shed ? LOG_INFO
                                                          : LOG_DEBUG;
    count_add_labelled(COUNT_FAMILY_REQUESTS, call->route, code, 1);
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

static bool match(const char *pattern, const struct exchange *exchange) {
    if (!*pattern) return exchange->segment_count == 0;
    for (size_t i = 0; i < exchange->segment_count; i++) {
        const char *end = strchrnul(pattern, '/');
        if (*pattern != '{' && !text_same((struct text){pattern, (size_t)(end - pattern)}, exchange->segments[i]))
            return false;
        if (!*end) return i + 1 == exchange->segment_count;
        pattern = end + 1;
    }
    return false;
}

/* What the path has where the pattern has a name in braces. */
static void take_segments(struct api_call *call, const char *pattern) {
    struct text rest = text_of(pattern), part;
    for (size_t i = 0; i < call->exchange->segment_count && text_cut(&rest, '/', &part); i++) {
        struct text segment = call->exchange->segments[i];
        const char **to = text_is(part, "{stage}")   ? &call->stage
                          : text_is(part, "{id}")    ? &call->id
                          : text_is(part, "{token}") ? &call->token
                                                     : NULL;
        if (to) *to = segment.at;
    }
}

static const struct route *find(struct api_call *call) {
    enum http_method method = call->exchange->method == HTTP_HEAD ? HTTP_GET : call->exchange->method;
    for (size_t i = 0; i < ROUTES; i++) {
        if (!match(routes[i].pattern, call->exchange)) continue;
        call->route = routes[i].pattern;
        if (routes[i].method != method) continue;
        take_segments(call, routes[i].pattern);
        return &routes[i];
    }
    return NULL;
}

static void write_allow(const struct exchange *exchange, struct buf *allow) {
    for (size_t i = 0; i < ROUTES; i++) {
        if (!match(routes[i].pattern, exchange)) continue;
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
    const char *host = exchange_header(exchange, "Host");
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

static bool knows_caller(const struct callers *callers, const struct exchange *exchange,
                         const struct caller **ret_caller, struct fault *fault) {
    if (!callers) return true;
    *ret_caller = callers_find(callers, exchange_header(exchange, "Authorization"), exchange->client_name, fault);
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
    if (!strchr(route->pattern, '{')) return NULL;
    const struct catalog_entry *entry = catalog_find(api->catalog, exchange->segments[exchange->segment_count - 1].at);
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
    for (size_t i = 0; i < ROUTES; i++) {
        if (!(routes[i].flags & STARTS) || routes[i].method != exchange->method) continue;
        if (!match(routes[i].pattern, exchange)) continue;
        const struct catalog_entry *entry = in_memory_stage(api, &routes[i], exchange);
        struct admission *admission = admission_to(api, entry && may_start(api, exchange, entry));
        if (!admission || !admission_turns_away(admission, exchange->body.len)) return NULL;
        const struct api_call call = {.api = api, .exchange = exchange, .route = routes[i].pattern, .shed = true};
        count_answer(&call, too_much.status);
        return &too_much;
    }
    return NULL;
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
    call->route = "none";
    call->base_url = base_url_of(call->api, exchange);
    struct fault fault;
    const struct route *route = find(call);
    bool secret = route && call->token; /* the path is the credential: who has it may come by any name, from any page */
    if (!secret && !is_no_strange_page(call->api, exchange, &fault)) api_fault(call, &fault);
    else if (!route) answer_no_route(call);
    else if (!(route->flags & ANYBODY) && !identify(call, &fault)) api_fault(call, &fault);
    else if (route->flags & STARTS) admit(call, route);
    else route->handle(call);
}
