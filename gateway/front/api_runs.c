/* Runs for clients: start, look at, list, cancel. From an exchange to a question for the engine, and from its answer
 * back.
 *
 * A start is checked as a whole, and every mistake is reported at once. Bodies are read as what they are: orca sends
 * JSON as text/plain in Latin-1 when nobody told it otherwise. What orca could not evaluate arrives as a literal
 * `${…}`, and is refused with its place, but for a cancel, which orca sends with whatever it has and never looks at the
 * answer of. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digest.h"
#include "front/api.h"
#include "front/body.h"
#include "front/problem.h"
#include "lang/units.h"
#include "lang/url.h"
#include "run/id.h"
#include "stage/expression.h"

#define KEY_MAX 255
#define TRACEPARENT_LEN 55
#define WAIT_MAX_S 300
#define LIST_DEFAULT 50
#define LIST_MAX 1000
#define TEXT_MAX (64 * 1024 * 1024)

#define CALLER_MEMBERS 4
static const char *const caller_members[CALLER_MEMBERS] = {"user", "application", "pipeline", "execution"};

/* What the body of a start may have. Those of the caller may stand in it themselves. */
enum {
    START_PARAMETERS,
    START_CALLER,
    START_KEY,
    START_OF_CALLER,
    START_STAGE = START_OF_CALLER + CALLER_MEMBERS,
    START_MEMBERS
};
static const char *const start_members[START_MEMBERS] = {"parameters",  "caller",   "key",       "user",
                                                         "application", "pipeline", "execution", "stage"};

/* ---- headers ---- */

/* Prefer: wait=N (RFC 7240, 4.3), in milliseconds; 0 without one. */
static int64_t wait_of(const struct exchange *exchange) {
    struct text rest = text_of(exchange_header(exchange, HTTP_HEADER_PREFER)), part;
    int64_t seconds;
    while (text_cut(&rest, ',', &part)) {
        part = text_trim(part);
        if (part.len < 5 || strncasecmp(part.at, "wait=", 5) != 0) continue;
        part.at += 5, part.len -= 5;
        if (text_to_int(part, &seconds) && seconds > 0) return (seconds > WAIT_MAX_S ? WAIT_MAX_S : seconds) * 1000;
    }
    return 0;
}

/* X-Deadline: the time by which the caller wants it to be over, RFC 3339 or Unix time; seconds have 10 digits until the
 * year 2286, so that more are milliseconds. 0 without one. */
static int64_t deadline_of(const struct exchange *exchange, struct faults *faults) {
    struct text given = text_trim(text_of(exchange_header(exchange, HTTP_HEADER_X_DEADLINE)));
    int64_t at_ms;
    if (given.len == 0) return 0;
    if (expression_is_left(given)) {
        expression_refuse("X-Deadline", given, faults);
        return 0;
    }
    bool unix_time = text_to_int(given, &at_ms);
    if (unix_time && given.len <= 10) at_ms *= 1000;
    if ((unix_time || clock_parse(given, &at_ms)) && at_ms > 0) return at_ms;
    faults_addf(faults, FAULT_INVALID, "X-Deadline",
                "X-Deadline is a time, as in 2026-11-23T06:47:00Z, or seconds or milliseconds since 1970");
    return 0;
}

static bool is_hex(struct text t) {
    bool zero = true;
    for (size_t i = 0; i < t.len; i++) {
        if (!strchr("0123456789abcdef", t.at[i])) return false;
        zero = zero && t.at[i] == '0';
    }
    return !zero;
}

/* W3C Trace Context, 3.2: the caller's trace with a span of our own, or a new trace. */
static const char *traceparent_of(const struct exchange *exchange) {
    const char *given = exchange_header(exchange, HTTP_HEADER_TRACEPARENT);
    unsigned char chance[24];
    struct buf made;
    digest_random(chance, sizeof chance);
    buf_init(&made, TRACEPARENT_LEN);
    buf_expect(&made, TRACEPARENT_LEN);
    buf_adds(&made, "00-");
    bool good = given && strlen(given) == TRACEPARENT_LEN && strncmp(given, "00-", 3) == 0 && given[35] == '-' &&
                given[52] == '-' && is_hex((struct text){given + 3, 32}) && is_hex((struct text){given + 36, 16});
    if (good) buf_add(&made, given + 3, 32);
    else buf_add_hex(&made, chance, 16);
    buf_addc(&made, '-');
    buf_add_hex(&made, chance + 16, 8);
    buf_adds(&made, good && given[54] == '0' ? "-00" : "-01");
    const char *traceparent = arena_strdup(exchange->arena, buf_cstr(&made));
    buf_fini(&made);
    return traceparent;
}

/* ---- bodies ---- */

static void answer_mistakes(struct api_call *call, const struct faults *faults) {
    char detail[1200];
    const struct fault *first = &faults->items[0];
    size_t more = faults->count - 1 + faults->dropped;
    int n = snprintf(detail, sizeof detail, "%s: %s", first->where, first->what);
    if (more && n > 0 && (size_t)n < sizeof detail)
        snprintf(detail + n, sizeof detail - (size_t)n, " (and %zu more)", more);
    api_problem(call, 422, fault_word(first->kind), detail, faults);
}

/* What holds an expression names nothing, so there is nothing to cancel. orca sends it with whatever it has, also where
 * the start was refused for that, and looks at no answer. */
static void answer_ignored(struct api_call *call, const char *what) {
    struct buf body;
    buf_init(&body, 4096);
    buf_adds(&body, "{\"id\":null,\"stage\":");
    if (!call->stage || expression_is_left(text_of(call->stage))) buf_adds(&body, "null");
    else buf_add_json_string(&body, text_of(call->stage));
    buf_adds(&body, ",\"status\":\"NOT_STARTED\",\"progress\":\"ignored: ");
    buf_adds(&body, what);
    buf_adds(&body, " is an expression that was not evaluated, so it names no run\"}");
    api_answer_json(call, 200, &body);
    buf_fini(&body);
}

/* The body as an object. NULL once the call has been answered. */
static const struct json *object_of(struct api_call *call, bool cancels) {
    struct exchange *exchange = call->exchange;
    struct faults faults;
    faults_init(&faults);
    const struct json *object = body_object(exchange->arena, exchange_header(exchange, HTTP_HEADER_CONTENT_TYPE),
                                            exchange->body, &call->api->json, &faults);
    const struct fault *first = object ? NULL : &faults.items[0];
    if (first && first->kind == FAULT_INVALID && cancels) answer_ignored(call, "the key");
    else if (first && first->kind == FAULT_INVALID) answer_mistakes(call, &faults);
    else if (first)
        api_problem(call, first->kind == FAULT_UNSUPPORTED ? 415 : 400, fault_word(first->kind), first->what, NULL);
    faults_fini(&faults);
    return object;
}

static bool holds_expression(const char *s) {
    return s && expression_is_left(text_of(s));
}

static const char *clip_key(struct arena *arena, const char *key) { /* "abc" in quotes, as the IETF's draft writes it */
    size_t n = strlen(key);
    return n >= 2 && key[0] == '"' && key[n - 1] == '"' ? arena_strndup(arena, key + 1, n - 2) : key;
}

static const char *text_of_key(struct arena *arena, const struct json *value) {
    struct buf text;
    buf_init(&text, 64 * 1024);
    json_write_text(&text, value);
    const char *made = arena_strdup(arena, buf_cstr(&text));
    buf_fini(&text);
    return made;
}

/* The caller's key, from the header or the body's `value`. NULL where there is none, or a fault was added. */
static const char *key_of(struct api_call *call, const struct json *value, struct faults *faults) {
    struct arena *arena = call->exchange->arena;
    const char *header = exchange_header(call->exchange, HTTP_HEADER_IDEMPOTENCY_KEY), *member = NULL;
    if (header) header = clip_key(arena, header);
    if (json_kind(value) == JSON_STRING || json_kind(value) == JSON_INT) member = text_of_key(arena, value);
    else if (json_kind(value) != JSON_NULL)
        faults_addf(faults, FAULT_INVALID, "/key", "the key has to be a string, and is %s",
                    json_kind_word(json_kind(value)));
    const char *key = member ? member : header;
    if (!key) return NULL;
    if (member && header && strcmp(member, header) != 0)
        faults_addf(faults, FAULT_INVALID, "/key",
                    "the key of the body is another one than that of the Idempotency-Key header");
    if (holds_expression(key)) expression_refuse(member ? "/key" : "Idempotency-Key", text_of(key), faults);
    size_t n = strlen(key);
    if (n == 0 || n > KEY_MAX) faults_addf(faults, FAULT_INVALID, "/key", "the key has to have 1 to %d bytes", KEY_MAX);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)key[i] < 0x20 || key[i] == 0x7F) {
            faults_addf(faults, FAULT_INVALID, "/key", "the key holds a control character");
            break;
        }
    if (!text_utf8_check(text_of(key))) faults_addf(faults, FAULT_INVALID, "/key", "the key is not UTF-8");
    return key;
}

/* Where it is in the list; `count`: nowhere. */
static size_t place_of(struct text name, const char *const *names, size_t count) {
    size_t i = 0;
    while (i < count && !text_is(name, names[i])) i++;
    return i;
}

static void find_expressions(struct arena *arena, struct json_member member, const char *prefix,
                             struct faults *faults) {
    struct json *alone = json_new_object(arena);
    struct buf where;
    buf_init(&where, 64 * 1024);
    buf_adds(&where, prefix);
    json_set_text(alone, member.name, member.value);
    expression_find(alone, &where, faults);
    buf_fini(&where);
}

/* The values of those that are known, by their place in the list; NULL: not there. */
static void take_members(const struct json *object, const char *const *known, size_t count, const char *prefix,
                         struct arena *arena, const struct json **ret_values, struct faults *faults) {
    memset(ret_values, 0, count * sizeof *ret_values);
    for (struct json_member m = json_first(object); m.name.at; m = json_next(object, m)) {
        size_t place = place_of(m.name, known, count);
        if (place < count) {
            ret_values[place] = m.value;
            continue;
        }
        const char *name = arena_strndup(arena, m.name.at, m.name.len), *near = text_nearest(name, known, count);
        faults_addf(faults, FAULT_UNDEFINED, arena_printf(arena, "%s/%s", prefix, name),
                    "there is no member \"%s\" here%s%s%s", name, near ? "; did you mean \"" : "", near ? near : "",
                    near ? "\"?" : "");
        find_expressions(arena, m, prefix, faults);
    }
}

static void refuse_caller(struct arena *arena, const char *prefix, const char *name, const struct json *value,
                          struct faults *faults) {
    enum json_kind kind = json_kind(value);
    if (kind == JSON_STRING && expression_is_left(json_text(value)))
        expression_refuse(arena_join(arena, prefix, name, NULL), json_text(value), faults);
    else if (kind != JSON_STRING && kind != JSON_NULL)
        faults_addf(faults, FAULT_INVALID, arena_join(arena, prefix, name, NULL), "it has to be a string, and is %s",
                    json_kind_word(kind));
}

/* Who is behind the caller, in Spinnaker's terms: from "caller", or from members of the body itself. */
static const struct json *caller_of(struct arena *arena, const struct json *const *given, struct faults *faults) {
    const struct json *nested = given[START_CALLER], *values[CALLER_MEMBERS];
    struct json *made = json_new_object(arena);
    if (json_kind(nested) != JSON_OBJECT && json_kind(nested) != JSON_NULL)
        faults_addf(faults, FAULT_INVALID, "/caller", "caller has to be an object, and is %s",
                    json_kind_word(json_kind(nested)));
    take_members(nested, caller_members, CALLER_MEMBERS, "/caller", arena, values, faults);
    for (size_t i = 0; i < CALLER_MEMBERS; i++) {
        const char *name = caller_members[i];
        bool inside = json_kind(values[i]) != JSON_NULL;
        const struct json *value = inside ? values[i] : given[START_OF_CALLER + i];
        refuse_caller(arena, inside ? "/caller/" : "/", name, value, faults);
        json_set(made, name, value);
    }
    return made;
}

static const char *fingerprint_of(struct arena *arena, const struct json *parameters) {
    struct buf text;
    char digest[65];
    buf_init(&text, TEXT_MAX);
    json_write(&text, parameters); /* in the order of the definition, so the same values give the same text */
    digest_sha256_hex(buf_text(&text), digest);
    buf_fini(&text);
    return arena_strdup(arena, digest);
}

/* ---- asking ---- */

static void answer_report(struct api_call *call, struct ask *ask, int status, bool location) {
    struct arena *arena = call->exchange->arena;
    struct answer answer = {.status = status, .content_type = "application/json", .body = buf_text(&ask->report)};
    if (location)
        answer.headers[answer.header_count++] = (struct answer_header){
            "Location", arena_join(arena, call->base_url, "/runs/", ask->id, NULL)};
    if (call->wait_ms) answer.headers[answer.header_count++] = (struct answer_header){"Preference-Applied", "wait"};
    answer.headers[answer.header_count++] = (struct answer_header){"Cache-Control", "no-store"};
    api_answer(call, &answer);
}

static void on_answer(struct ask *ask) {
    struct api_call *call = ask->arg;
    bool acts = ask->kind != ASK_GET && ask->kind != ASK_LIST && ask->kind != ASK_EXPLAIN;
    if (ask->failed) api_fault(call, ask->fault);
    else answer_report(call, ask, acts && !ask->ended ? 202 : 200, ask->kind == ASK_START);
    ask_free(ask);
}

static bool allowed(const struct ask *ask, const char *stage) {
    const struct caller *caller = ask->rights;
    return caller_may(caller,
                      ask->kind == ASK_GET || ask->kind == ASK_EXPLAIN || ask->kind == ASK_START ? RIGHT_SEE
                                                                                                 : RIGHT_CANCEL,
                      stage) ||
           (ask->kind == ASK_START && caller_may(caller, RIGHT_START, stage));
}

static void on_gone(struct exchange *exchange) {
    ask_hurry(exchange->context);
}

static struct ask *ask_for(struct api_call *call, enum ask_kind kind) {
    struct ask *ask = ask_new(kind, call->api->loop, on_answer, call);
    ask->base_url = call->base_url;
    ask->caller_name = caller_name(call->caller);
    ask->allowed = allowed;
    ask->rights = call->caller;
    ask->wait_ms = call->wait_ms = wait_of(call->exchange);
    call->exchange->context = ask;
    if (ask->wait_ms) call->exchange->on_gone = on_gone;
    return ask;
}

static void ask_run(struct api_call *call, enum ask_kind kind) {
    if (!id_check(text_of(call->id))) {
        api_problem(call, 404, "not_found", "there is no such run; an id has 26 letters and digits", NULL);
        return;
    }
    struct ask *ask = ask_for(call, kind);
    memcpy(ask->id, call->id, sizeof ask->id);
    ask_send(call->api->engines, ask);
}

void api_runs_show(struct api_call *call) {
    ask_run(call, ASK_GET);
}

void api_runs_explain(struct api_call *call) {
    ask_run(call, ASK_EXPLAIN);
}

void api_runs_cancel(struct api_call *call) {
    ask_run(call, ASK_CANCEL);
}

/* ---- starting ---- */

/* The parameters may be a text that holds the object, as one input of a form makes it. NULL: none, or after a fault. */
static const struct json *parameters_of(struct api_call *call, const struct json *given, struct faults *faults) {
    struct text source = text_trim(json_text(given));
    struct fault fault;
    if (json_kind(given) != JSON_STRING) return given;
    if (source.len == 0) return NULL;
    if (expression_is_left(source)) expression_refuse("/parameters", source, faults);
    else if ((given = json_parse(call->exchange->arena, source, &call->api->json, &fault))) return given;
    else faults_addf(faults, fault.kind, "/parameters", "%s", fault.what);
    return NULL;
}

static void start(struct api_call *call, struct stage *stage, const struct json *object, struct faults *faults) {
    const struct json *given[START_MEMBERS], *parameters = NULL;
    struct arena *arena = call->exchange->arena;
    take_members(object, start_members, call->named ? START_MEMBERS : START_STAGE, "", arena, given, faults);
    const char *key = key_of(call, given[START_KEY], faults);
    const struct json *caller = caller_of(arena, given, faults);
    params_check(arena, stage->params, stage->param_count, parameters_of(call, given[START_PARAMETERS], faults),
                 &parameters, faults);
    int64_t deadline_ms = deadline_of(call->exchange, faults);
    if (faults->count) {
        answer_mistakes(call, faults);
        return;
    }
    struct ask *ask = ask_for(call, ASK_START);
    ask->deadline_ms = deadline_ms;
    ask->stage = stage_ref(stage);
    ask->stage_name = stage->name;
    ask->key = key;
    ask->caller = caller;
    ask->parameters = parameters;
    if (key) ask->fingerprint = fingerprint_of(arena, parameters);
    ask->traceparent = traceparent_of(call->exchange);
    ask_send(call->api->engines, ask);
}

/* Of a body that names its stage. False: there is none, and why is in `faults`. */
static bool take_stage(struct api_call *call, const struct json *object, struct faults *faults) {
    const char *name = json_gets_text(object, "stage");
    call->named = true;
    if (holds_expression(name)) expression_refuse("/stage", text_of(name), faults);
    else if (!name || !name[0])
        faults_addf(faults, FAULT_INVALID, "/stage", "the name of the stage is missing: {\"stage\": \"load-test\"}");
    if (faults->count) return false;
    struct text trimmed = text_trim(text_of(name));
    call->stage = arena_strndup(call->exchange->arena, trimmed.at, trimmed.len);
    return true;
}

/* The stage of the URL. False once the call has been answered. */
static bool name_check(struct api_call *call) {
    struct faults faults;
    if (!holds_expression(call->stage)) return true;
    faults_init(&faults);
    expression_refuse("the name of the stage, in the URL,", text_of(call->stage), &faults);
    answer_mistakes(call, &faults);
    faults_fini(&faults);
    return false;
}

/* The entry, if a run of it can be started; else the call has been answered, and NULL. */
static const struct catalog_entry *offered(struct api_call *call) {
    if (!name_check(call)) return NULL;
    const struct catalog_entry *entry = api_entry(call, RIGHT_START);
    if (!entry) return NULL;
    if (entry->disabled) {
        api_problem(call, 404, "not_found", "this stage is disabled; GET /stages says why", NULL);
        return NULL;
    }
    if (entry->stage) return entry;
    api_problem(call, 404, "not_found",
                "the definition of this stage is broken, so it is not offered; GET /stages says why", NULL);
    return NULL;
}

void api_runs_start(struct api_call *call) {
    const struct catalog_entry *entry = offered(call);
    const struct json *object = entry ? object_of(call, false) : NULL;
    struct faults faults;
    faults_init(&faults);
    if (object) start(call, entry->stage, object, &faults);
    faults_fini(&faults);
}

void api_runs_start_named(struct api_call *call) {
    const struct json *object = object_of(call, false);
    struct faults faults;
    faults_init(&faults);
    if (object && !take_stage(call, object, &faults)) {
        answer_mistakes(call, &faults);
    } else if (object) {
        const struct catalog_entry *entry = offered(call);
        if (entry) start(call, entry->stage, object, &faults);
    }
    faults_fini(&faults);
}

/* ---- canceling by key ---- */

static void cancel_key(struct api_call *call, const struct catalog_entry *entry, const struct json *object,
                       struct faults *faults) {
    const char *header = exchange_header(call->exchange, HTTP_HEADER_IDEMPOTENCY_KEY),
               *member = json_gets_text(object, "key");
    if (holds_expression(header) || holds_expression(member)) {
        answer_ignored(call, "the key");
        return;
    }
    const char *key = key_of(call, json_gets(object, "key"), faults);
    if (!key && !faults->count)
        faults_addf(faults, FAULT_INVALID, "/key", "the key of the run to cancel is missing: {\"key\": \"…\"}");
    if (faults->count) {
        answer_mistakes(call, faults);
        return;
    }
    struct ask *ask = ask_for(call, ASK_CANCEL_KEY);
    ask->stage_name = call->stage;
    ask->stage = entry->stage ? stage_ref(entry->stage) : NULL;
    ask->key = key;
    ask_send(call->api->engines, ask);
}

void api_runs_cancel_named(struct api_call *call) {
    const struct json *object = object_of(call, true);
    const struct catalog_entry *entry = NULL;
    struct faults faults;
    faults_init(&faults);
    if (object && holds_expression(json_gets_text(object, "stage"))) answer_ignored(call, "the stage");
    else if (object && !take_stage(call, object, &faults)) answer_mistakes(call, &faults);
    else if (object && (entry = api_entry(call, RIGHT_CANCEL))) cancel_key(call, entry, object, &faults);
    faults_fini(&faults);
}

void api_runs_cancel_key(struct api_call *call) {
    if (holds_expression(call->stage)) {
        answer_ignored(call, "the stage");
        return;
    }
    const struct catalog_entry *entry = api_entry(call, RIGHT_CANCEL);
    const struct json *object = entry ? object_of(call, true) : NULL;
    if (!object) return;
    struct faults faults;
    faults_init(&faults);
    cancel_key(call, entry, object, &faults);
    faults_fini(&faults);
}

/* ---- listing ---- */

static bool status_known(const char *status) {
#define X(id, word) \
    if (strcmp(status, word) == 0) return true;
    RUN_STATUSES(X)
#undef X
    return false;
}

static void read_since(struct api_call *call, const char *since, struct store_filter *filter, struct faults *faults) {
    int64_t ago_ms;
    if (clock_parse(text_of(since), &filter->since_ms)) return;
    if (duration_parse(text_of(since), &ago_ms, NULL)) filter->since_ms = loop_wall_ms(call->api->loop) - ago_ms;
    else
        faults_addf(faults, FAULT_INVALID, "since",
                    "since is a time, as in 2026-11-23T06:47:00Z, or a duration, as in 2h");
}

static void read_filter(struct api_call *call, struct store_filter *filter, struct faults *faults) {
    struct exchange *exchange = call->exchange;
    const char *limit = exchange_query(exchange, "limit"), *since = exchange_query(exchange, "since");
    int64_t count = LIST_DEFAULT;
    filter->status = exchange_query(exchange, "status");
    filter->before_id = exchange_query(exchange, "cursor");
    if (filter->status && !status_known(filter->status))
        faults_addf(faults, FAULT_INVALID, "status", "status is RUNNING, SUCCEEDED, TERMINAL or CANCELED");
    if (filter->before_id && !id_check(text_of(filter->before_id)))
        faults_addf(faults, FAULT_INVALID, "cursor", "cursor is what the answer before gave as \"cursor\"");
    if (limit && (!text_to_int(text_of(limit), &count) || count < 1 || count > LIST_MAX))
        faults_addf(faults, FAULT_INVALID, "limit", "limit is a number from 1 to %d", LIST_MAX);
    filter->limit = (size_t)count;
    if (since) read_since(call, since, filter, faults);
}

/* A filter that is not understood is refused: without it the answer would be a larger one than was asked for. */
static void check_query(struct api_call *call, struct faults *faults) {
    static const char *const known[] = {"stage", "status", "since", "limit", "cursor", "orphaned"};
    const size_t count = sizeof known / sizeof *known;
    struct text rest = call->exchange->query, part, name;
    while (text_cut(&rest, '&', &part)) {
        if (!text_cut(&part, '=', &name) || name.len == 0) continue;
        if (place_of(name, known, count) < count) continue;
        const char *word = arena_strndup(call->exchange->arena, name.at, name.len);
        const char *near = text_nearest(word, known, count);
        faults_addf(faults, FAULT_UNDEFINED, word, "there is no filter of this name%s%s%s",
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

/* Only runs in flight can be orphans. */
static bool read_orphaned(struct api_call *call, struct store_filter *filter, struct faults *faults) {
    const char *orphaned = exchange_query(call->exchange, "orphaned");
    if (!orphaned || strcmp(orphaned, "false") == 0) return false;
    if (strcmp(orphaned, "true") != 0) faults_addf(faults, FAULT_INVALID, "orphaned", "orphaned is true or false");
    if (filter->status && strcmp(filter->status, run_status_word(RUN_RUNNING)) != 0)
        faults_addf(faults, FAULT_INVALID, "status", "only a run that is RUNNING can be orphaned");
    filter->status = run_status_word(RUN_RUNNING);
    return true;
}

static bool sees(const void *rights, const char *stage) {
    return caller_may(rights, RIGHT_SEE, stage);
}

/* The stages that this caller may see, and asked for. The store knows them: a stage may have left the catalog, and its
 * runs are still there. */
static void read_stages(struct api_call *call, struct store_filter *filter) {
    const char *stage = exchange_query(call->exchange, "stage");
    if (!caller_sees_all(call->caller)) filter->sees = sees;
    filter->rights = call->caller;
    if (!stage) return;
    const char **stages = arena_array_of(call->exchange->arena, const char *, 1);
    filter->stages = stages;
    if (caller_may(call->caller, RIGHT_SEE, stage)) stages[filter->stage_count++] = stage;
}

void api_runs_list(struct api_call *call) {
    struct faults faults;
    struct store_filter filter = {0};
    faults_init(&faults);
    check_query(call, &faults);
    read_filter(call, &filter, &faults);
    bool orphaned = read_orphaned(call, &filter, &faults);
    read_stages(call, &filter);
    if (faults.count) {
        answer_mistakes(call, &faults);
    } else {
        struct ask *ask = ask_for(call, ASK_LIST);
        ask->filter = filter;
        ask->orphaned = orphaned;
        ask_send(call->api->engines, ask);
    }
    faults_fini(&faults);
}
