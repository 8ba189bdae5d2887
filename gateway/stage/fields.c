/* The tables of a definition's settings, and the one loop that reads a group by them.
 *
 * A row whose value needs no more than its type is stored right here (its offset says where); the others are checked
 * for their type here, and compiled by who knows more: compile_params, compile_call, compile_rules. Settings that
 * DESIGN names and that this version does not do have rows of their own type, so that nobody is told that `callback`
 * was perhaps meant to be `cancel`. */
#include "stage/fields.h"

#include <string.h>

#include "lang/units.h"
#include "stage/compile.h"

#define ROW(type, name, offset, allowed, preset, help) \
    { #name, FIELD_##type, offset, allowed, preset, help }
#define LATER(name) \
    { #name, FIELD_LATER, FIELD_BY_HAND, "", "", "" }
#define HAND FIELD_BY_HAND
#define IN(type, member) offsetof(struct type, member)

static const struct field stage_fields[] = {
    ROW(STRING, name, IN(stage, name), "", "",
        "The stage's name, and the end of its URL: POST /stages/NAME. Letters, digits, `-`, `_`, `.`; at most 64. "
        "Required."),
    ROW(STRING, label, IN(stage, label), "", "the name", "What people see."),
    ROW(STRING, description, IN(stage, description), "", "", "One sentence for people."),
    ROW(ENABLED, enabled, HAND, "", "true",
        "false: the file is checked, and its stage is not offered. `\"auto\"`: it is, once all secrets that it names "
        "are "
        "set."),
    ROW(GROUPS, parameters, HAND, "", "none", "What a caller may give; see below."),
    ROW(GROUP, request, HAND, "", "", "The call that starts the work."),
    ROW(GROUP, status, HAND, "", "none",
        "The call that is repeated until a rule decides. Without it the run succeeds with the reply to `request`."),
    ROW(GROUPS, steps, HAND, "", "", "In place of `request` and `status`: up to 32 steps, one after the other."),
    ROW(GROUP, cancel, HAND, "", "none", "The call that stops the work."),
    ROW(GROUP, outputs, HAND, "", "none",
        "What the run gives, by name: a JSONPath into the body of the last reply (`\"$.links.report\"`) or a template "
        "(`\"{{ request.body.id }}\"`)."),
    ROW(WORDS, hosts, HAND, "", "none",
        "Further hosts that URLs from replies may lead to: `\"host\"`, `\"host:port\"` or `\"https://host\"`. The "
        "origin of the call that a URL came from is always allowed."),
    ROW(DURATION, timeout, IN(stage, timeout_ms), "0s..365d", "none", "Of the whole run."),
    ROW(DURATION, orphan_after, IN(stage, orphan_after_ms), "0s..365d", "0s, never",
        "A run whose status nobody has read for so long is canceled. A paused pipeline reads none either."),
    ROW(BOOL, durable, IN(stage, durable), "", "true",
        "With `false` its runs are kept in memory alone: no start waits for a disk, and after a crash they are gone."),
    ROW(GROUP, limits, HAND, "", "none", "How many runs go on at once, and how fast; see below."),
    ROW(GROUP, breaker, HAND, "", "none",
        "Holds the stage's calls while its upstream fails; `breaker = { };` has the defaults."),
    ROW(GROUP, dedup, HAND, "", "none", "The same work once: what becomes of a start of work that is in flight."),
    ROW(GROUP, permissions, HAND, "", "everybody",
        "Which roles of Spinnaker see the stage, and may run it. `stagedoor export orca` tells orca, which checks "
        "them; the gateway itself goes by its callers."),
    ROW(UNSETTLED, unsettled, HAND, "", "",
        "What is still to be decided. As long as it is there the definition is refused, with these texts; `stagedoor "
        "import` writes it where it cannot translate something."),
    ROW(ARTIFACTS, artifacts, HAND, "", "none",
        "What the run makes, as Spinnaker's artifacts; see \"Artifacts\". From the last reply, as outputs are."),
};

static const struct field permissions_fields[] = {
    ROW(WORDS, read, IN(stage_permissions, read), "", "everybody", "Roles that see the stage in the pipeline editor."),
    ROW(WORDS, write, IN(stage_permissions, write), "", "everybody",
        "Roles that may run it. orca takes a role for meant whose name contains one of these: `\"ops\"` lets `devops` "
        "in."),
};

static const struct field artifact_fields[] = {
    ROW(TEMPLATE, type, HAND, "", "", "Spinnaker's word for its kind, such as `\"docker/image\"`. Required."),
    ROW(TEMPLATE, name, HAND, "", "", "What it is: the image without its tag, the path of the file."),
    ROW(TEMPLATE, version, HAND, "", "", "Its version, tag or digest."),
    ROW(TEMPLATE, reference, HAND, "", "", "Where it is to be had, with its version."),
    ROW(TEMPLATE, location, HAND, "", "", "The region or namespace that it is in."),
    ROW(TEMPLATE, account, HAND, "", "", "The artifact account of Spinnaker that may fetch it."),
    ROW(TEMPLATE, provenance, HAND, "", "", "Where it comes from, such as the URL of a build."),
};

static const struct field param_fields[] = {
    ROW(STRING, name, HAND, "", "",
        "As callers and templates say it: `parameters.NAME`. A letter or `_`, then letters, digits, `_`, `-`; at most "
        "64. Required."),
    ROW(STRING, type, HAND, "string|integer|number|boolean|choice|url|list|json|secret", "string",
        "What values it takes; see below."),
    ROW(STRING, label, IN(param, label), "", "the name", "What people see."),
    ROW(STRING, description, IN(param, description), "", "", "One sentence for people."),
    ROW(BOOL, required, IN(param, required), "", "false", "A start without it is refused."),
    ROW(ANY, default, HAND, "", "null",
        "The value where none is given; checked as a given one would be. Not for a secret."),
    ROW(NUMBER, minimum, HAND, "", "none",
        "Of an integer or number. Whole, up to 2^53 - 1, or with 15 digits at most."),
    ROW(NUMBER, maximum, HAND, "", "none",
        "Of an integer or number. Whole, up to 2^53 - 1, or with 15 digits at most."),
    ROW(COUNT, min_length, HAND, "0..1000000", "0",
        "Characters of a string, url or secret; elements of a list (which has 10,000 at most)."),
    ROW(COUNT, max_length, HAND, "1..1000000", "none",
        "Characters of a string, url or secret; elements of a list (which has 10,000 at most)."),
    ROW(STRING, pattern, HAND, "", "none",
        "A regular expression that a string must match as a whole; see \"Patterns\"."),
    ROW(WORDS, choices, HAND, "", "", "The values of a choice."),
};

static const struct field call_fields[] = {
    ROW(STRING, method, HAND, "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS",
        "`request`, `cancel`: POST; `status` and steps: GET, or POST with a body", "The HTTP method."),
    ROW(TEMPLATE, url, HAND, "", "",
        "An http or https URL. Scheme, host and port stand as text, or all of it is one expression: `\"{{ "
        "request.body.links.self }}\"`. Required."),
    ROW(STRING, unix_socket, HAND, "", "none",
        "Connects to this socket of the machine in place of the URL's host, as `curl --unix-socket` does: "
        "`\"/run/docker.sock\"`. A URL out of a reply keeps the socket of its call, where it has the same origin."),
    ROW(PAIRS, headers, HAND, "", "none",
        "Further headers; values are templates. The list form is for names that libconfig cannot spell."),
    ROW(STRING, template, HAND, "", "none", "The body: a file below the directory of templates."),
    ROW(TEMPLATE, body, HAND, "", "none", "The body, in place."),
    ROW(PAIRS, form, HAND, "", "none", "The body: an HTML form, urlencoded; values are templates."),
    ROW(STRING, content_type, HAND, "", "application/json; text/plain for a template file *.txt",
        "Of the body. Of JSON types (also `…+json`) every value is escaped for its place."),
    ROW(GROUP, auth, HAND, "", "none", "Credentials: they go to the URL's own origin only."),
    ROW(GROUP, tls, HAND, "", "the system's authorities", "How the upstream is verified, and what it is shown."),
    ROW(CODES, expect, IN(stage_call, expect), "", "2xx; of `cancel` and its `fallback` 404, 405, 409 and 410 as well",
        "Status codes that are an answer; with any other the call has failed."),
    ROW(DURATION, connect_timeout, IN(stage_call, connect_timeout_ms), "10ms..10m", "5s",
        "Until the connection stands, TLS included."),
    ROW(DURATION, call_timeout, IN(stage_call, call_timeout_ms), "10ms..1d", "30s", "Of one call as a whole."),
    ROW(SIZE, max_reply, IN(stage_call, max_reply_bytes), "1..256MiB", "1MiB", "A larger reply is a failure."),
    ROW(REDIRECTS, follow_redirects, HAND, "0..20", "false", "true follows up to 5."),
    ROW(BOOL, idempotent, HAND, "", "by the method: all but POST and PATCH",
        "The call may be sent again when nobody knows whether it was acted on. A cancel call and a probe always may."),
    ROW(GROUP, retry, HAND, "", "", "How often a call is tried again that failed in a way that allows it."),
    ROW(UNSETTLED, unsettled, HAND, "", "", "As at the top: what is still to be decided about this call."),
    ROW(PATH, retry_after, IN(stage_call, retry_after), "", "the reply's headers alone",
        "Where the reply's body says how long to wait until it is asked again, or the next step is made: a number of "
        "seconds, or what `Retry-After` may hold. It counts as that header does."),
    LATER(limits),
};

static const struct field auth_fields[] = {
    ROW(STRING, type, HAND, "basic|bearer", "", "Required."),
    ROW(TEMPLATE, user, HAND, "", "", "Of type basic."),
    ROW(TEMPLATE, password, HAND, "", "", "Of type basic; `\"{{ secret.NAME }}\"`."),
    ROW(TEMPLATE, token, HAND, "", "", "Of type bearer; `\"{{ secret.NAME }}\"`."),
};

static const struct field tls_fields[] = {
    ROW(STRING, ca, HAND, "", "the system's",
        "PEM file with the authorities to trust. Relative paths lie beside the definition."),
    ROW(STRING, certificate, HAND, "", "none", "PEM file with the certificate to show."),
    ROW(STRING, key, HAND, "", "in the file of certificate", "PEM file with its key."),
    ROW(BOOL, insecure, IN(stage_tls, insecure), "", "false",
        "Do not verify the upstream. Warned about at every load."),
};

static const struct field retry_fields[] = {
    ROW(COUNT, attempts, HAND, "0..1000", "2; of `cancel` and its `fallback` 4, of `probe` 5",
        "Further tries of a call. A step that repeats goes on trying until its timeout; `cancel` and its `fallback` "
        "are tried within `cancel.timeout`."),
    ROW(DURATION, delay, IN(stage_call, retry_delay_ms), "0s..1d", "1s",
        "Before the first of them; it doubles each time."),
    ROW(DURATION, max_delay, IN(stage_call, retry_max_delay_ms), "0s..1d", "30s", "The longest delay."),
    ROW(DURATION, budget, IN(stage_call, retry_budget_ms), "0s..30d", "none",
        "From the first failure to the last try, of a step that repeats as well; `\"0s\"` is none. Where the upstream "
        "asks to wait for longer, the call has failed at once."),
    ROW(CODES, on, IN(stage_call, retry_on), "", "408,425,429,5xx; 429 for a call that is not idempotent",
        "Status codes after which a call is tried again. Of a call that is not idempotent only 4xx and 503 count: with "
        "any other it may have been acted on."),
};

static const struct field repeat_fields[] = {
    ROW(DURATION, every, IN(stage_step, every_ms), "10ms..7d", "5s",
        "From one call to the next, on a grid of the run's own: the second may come sooner."),
    ROW(DURATION, max_every, IN(stage_step, max_every_ms), "10ms..7d", "10 times `every`",
        "The longest time between two calls, with `backoff` or `adaptive`."),
    ROW(NUMBER, backoff, HAND, "", "1, no growth",
        "By this factor `every` grows from call to call, up to `max_every`: a number from 1 to 10 such as `1.5`."),
    ROW(BOOL, adaptive, IN(stage_step, adaptive), "", "false",
        "Once 10 runs of the stage have succeeded: poll where they used to end, between `every` and `max_every`."),
    ROW(DURATION, timeout, IN(stage_step, timeout_ms), "0s..365d", "1h for a step that repeats, else none",
        "Of the whole step; `\"0s\"` is none."),
    ROW(DURATION, not_found_grace, IN(stage_step, not_found_grace_ms), "0s..1d", "0s",
        "So long after the step began, a 404 means \"not there yet\"."),
    ROW(GROUP, outputs, HAND, "", "none", "As at the top, from this step's last reply."),
    ROW(CAPTURE, capture, HAND, "", "none", "The reply is a log, and lines of it are outputs; see \"Logs\"."),
    ROW(STRING, follow, HAND, "location", "",
        "The step asks where the reply of the step before says, in place of `url`: 202 means that the work goes on, "
        "any other code of "
        "`expect` that it is done; see \"Where the reply says where to ask\"."),
    ROW(GROUP, callback, HAND, "", "none", "The step waits to be called back by its upstream; see \"Callbacks\"."),
    ROW(UNSETTLED, unsettled, HAND, "", "",
        "What is still to be decided. As long as it is there the definition is refused, with these texts; `stagedoor "
        "import` writes it where it cannot translate something."),
    ROW(ARTIFACTS, artifacts, HAND, "", "none", "As at the top, from this step's last reply."),
    ROW(STRING, when, HAND, "", "none",
        "An expression over the earlier steps, the parameters and the like: the step is left out unless it holds. Not "
        "for the first "
        "step."),
};

static const struct field capture_fields[] = {
    ROW(STRING, format, HAND, "properties", "",
        "How a line says it: `SPINNAKER_PROPERTY_name=value`, "
        "`SPINNAKER_CONFIG_JSON={…}`. Required."),
    ROW(STRING, framing, HAND, "docker|none", "by the reply's Content-Type",
        "`docker`: the log comes as the Docker Engine API's multiplexed stream, which not every engine says in its "
        "Content-Type."),
    ROW(STRING, missing, HAND, "warn|ignore|fail", "warn", "What it means that the log has no such line."),
};

static const struct field judging_fields[] = {
    ROW(PATH, value, IN(stage_rules, value), "", "",
        "What the lists look at, in the reply's body. Absent or empty: still running; null too, unless a list has "
        "`\"null\"`."),
    ROW(WORDS, success, IN(stage_rules, success), "", "",
        "Values with which the step has succeeded. Compared without case."),
    ROW(WORDS, failure, IN(stage_rules, failure), "", "none", "Values with which it has failed."),
    ROW(WORDS, canceled, IN(stage_rules, canceled), "", "none", "Values with which it was canceled."),
    ROW(WORDS, running, IN(stage_rules, running), "", "none",
        "Values with which it goes on. Others do too, but are counted and warned about."),
    ROW(WORDS, warn, IN(stage_rules, warn), "", "none",
        "Values with which the step has succeeded, but should be looked at."),
    ROW(STRING, success_when, HAND, "", "none",
        "An expression, without braces: with what is true the step has succeeded. `\"body.done and code == 200\"`."),
    ROW(STRING, failure_when, HAND, "", "none", "The same for failure."),
    ROW(STRING, canceled_when, HAND, "", "none", "The same for canceled."),
    ROW(STRING, running_when, HAND, "", "none", "The same for what goes on, and is no surprise."),
    ROW(STRING, warn_when, HAND, "", "none",
        "The same for a success that should be looked at; also where `success` or `success_when` says success."),
    ROW(STEADY, success_for, HAND, "10ms..7d", "at once",
        "So long, or for so many replies in a row (1 to 1000), has success to last; anything else in between begins it "
        "anew."),
    ROW(STRING, unknown, HAND, "running|fail", "running",
        "What a value means that no list names; without `value`, a reply that no condition describes."),
    ROW(LIMIT, at_most, HAND, "", "none",
        "Instead of lists: `value` gives a number, and the step succeeds once it is this or less."),
    ROW(LIMIT, at_least, HAND, "", "none", "Instead of lists: the step succeeds once the number is this or more."),
    ROW(PATH, progress, IN(stage_rules, progress), "", "none", "A number from 0 to 100, or a text, for people."),
    ROW(PATH, message, IN(stage_rules, message), "", "none", "A text for people."),
    ROW(STRING, error_when, HAND, "", "none",
        "An expression, without braces: with what is true the call has failed for good, though its code is an expected "
        "one."),
    ROW(STRING, error, HAND, "", "none",
        "What went wrong, for the report: a JSONPath or a template. Without `error_when`, a reply that has anything "
        "there has failed, but null, false, 0 and what is empty."),
};

static const struct field limits_fields[] = {
    ROW(COUNT, concurrency, HAND, "1..1000000", "any number",
        "Runs at work at once. A run is at work from its first call until it has ended; further ones are queued."),
    ROW(STRING, rate, HAND, "", "any", "How fast runs begin: `\"5/s\"`, `\"30/m\"`, `\"100/h\"`, evenly spaced."),
    ROW(DURATION, gap, HAND, "1ms..1h", "none",
        "At least so long from one call of the stage that changes things to the next: of any method but GET, HEAD and "
        "OPTIONS, polls that are idempotent left out."),
    ROW(COUNT, queue, HAND, "0..1000000", "1000",
        "How many runs may be queued; a start beyond that is answered 503, which Spinnaker sends again."),
};

static const struct field breaker_fields[] = {
    ROW(DURATION, window, HAND, "1s..1h", "1m", "The time that is looked back on."),
    ROW(NUMBER, ratio, HAND, "", "0.5",
        "It opens where so many of the calls failed (unreachable, timed out, 5xx): 0.01 to 1."),
    ROW(COUNT, minimum, HAND, "1..1000000", "10", "It judges no fewer calls than these."),
    ROW(DURATION, pause, HAND, "100ms..1h", "30s", "So long no call is made; then one finds out."),
};

static const struct field dedup_fields[] = {
    ROW(TEMPLATE, key, HAND, "", "",
        "Starts whose keys are the same text are the same work: `\"{{ parameters.app }}/{{ parameters.version }}\"`. "
        "It "
        "may speak of `parameters` and `caller`. Required."),
    ROW(STRING, on_duplicate, HAND, "attach|reject|queue|supersede", "attach",
        "While a run with this key is in flight: answer with that run; refuse the start (409); let the new run wait "
        "until it has ended; or cancel it, and begin once it has ended."),
};

static const struct field doubt_fields[] = {
    ROW(STRING, on_in_doubt, HAND, "fail|probe|resend",
        "resend if the call is idempotent, probe if there is one, else fail",
        "What becomes of the call when nobody knows whether it was acted on: the reply was lost, or the gateway "
        "stopped "
        "meanwhile. `resend` may do the work twice."),
    ROW(GROUP, probe, HAND, "", "none",
        "A call that looks for the work: what it finds takes the place of the reply; where it finds nothing the call "
        "is "
        "sent again. Not for a step that repeats."),
    ROW(KEY, idempotency_key, HAND, "", "none",
        "The upstream honours a key: the call is idempotent, and carries one in `Idempotency-Key`, or the header that "
        "is "
        "named, the same at each try. Not for a step that repeats."),
};

static const struct field probe_fields[] = {
    ROW(PATH, found, HAND, "", "",
        "What was looked for: a JSONPath or a template, as of an output. Nothing is null, false, and an empty text, "
        "list "
        "or object. Required."),
    ROW(DURATION, not_found_grace, IN(stage_probe, step.not_found_grace_ms), "0s..1d", "10s",
        "So long after the doubt began, nothing found means \"not there yet\"."),
};

static const struct field cancel_fields[] = {
    ROW(DURATION, timeout, IN(stage, cancel_timeout_ms), "0s..1d", "1m",
        "So long the upstream has time to stop: where the step at hand is a poll, it is asked until it says so. "
        "`\"0s\"` does "
        "not ask."),
    ROW(GROUP, fallback, HAND, "", "none",
        "A call to make where `cancel` is refused, or the upstream has not stopped by half of `timeout`."),
};

static const struct field errors_fields[] = {
    ROW(STRING, error_when, HAND, "", "none",
        "An expression, without braces: with what is true the call has failed, though its code is an expected one."),
    ROW(STRING, error, HAND, "", "none",
        "What went wrong: a JSONPath or a template. Without `error_when`, a reply that has anything there has failed, "
        "but null, false, 0 and what is empty."),
};

static const struct field step_fields[] = {
    ROW(STRING, name, HAND, "", "",
        "As later templates say it: `NAME.body`, `NAME.headers`, `NAME.code`. A letter or `_`, then letters, digits, "
        "`_`. Required."),
};

static const struct field callback_fields[] = {
    ROW(DURATION, timeout, IN(stage_callback, timeout_ms), "1s..365d", "1h, unless the step has a timeout",
        "How long it waits, from the reply to the step's own call on. Not for a step that polls, which has its "
        "`timeout`."),
    ROW(GROUP, verify, HAND, "", "none", "How a callback shows from whom it is. Without, the URL is proof enough."),
    ROW(BOOL, hint, IN(stage_callback, hint), "", "false",
        "A callback decides nothing: it makes the next poll come now. For a step that polls."),
};

static const struct field verify_fields[] = {
    ROW(STRING, type, HAND, "standard-webhooks|github|bearer", "", "Required."),
    ROW(TEMPLATE, secret, HAND, "", "",
        "What both sides know: `\"{{ secret.NAME }}\"`. Of standard-webhooks: `whsec_` and base64. Required."),
};

static const struct field pair_fields[] = {
    ROW(STRING, name, HAND, "", "", "Required."),
    ROW(TEMPLATE, value, HAND, "", "", "Required."),
};

#define TABLE(name, title) \
    const struct field_table fields_##name = {title, name##_fields, sizeof name##_fields / sizeof *name##_fields}
TABLE(stage, "At the top of the file");
TABLE(permissions, "`permissions`");
TABLE(artifact, "`artifacts`: each of the list");
TABLE(param, "A parameter");
TABLE(call, "A call: `request`, `status`, `cancel`, and each of `steps`");
TABLE(auth, "`auth`");
TABLE(tls, "`tls`");
TABLE(retry, "`retry`");
TABLE(repeat, "Repeating: `status`, and each of `steps`");
TABLE(judging, "Judging: `status`, and each of `steps`");
TABLE(capture, "`capture`");
TABLE(callback, "`callback`, besides the settings of \"Judging\", which judge the callback's body here");
TABLE(verify, "`verify`");
TABLE(step, "Each of `steps`, besides a call's and a repeating step's settings");
TABLE(limits, "`limits`");
TABLE(breaker, "`breaker`");
TABLE(dedup, "`dedup`");
TABLE(doubt, "In doubt: `request`, `status`, and each of `steps`");
TABLE(probe, "`probe`, besides a call's settings");
TABLE(cancel, "`cancel`, besides a call's settings");
TABLE(errors, "Errors in a reply: `cancel`, its `fallback`, and `probe`");
TABLE(pair, "Each of `headers` and `form` in the list form");

static const char *expected(enum field_type type) {
    static const char *const words[] = {
#define X(id, expected) expected,
        FIELD_TYPES(X)
#undef X
    };
    return words[type];
}

static bool is_list(const struct conf *conf) {
    return conf->kind == CONF_ARRAY || conf->kind == CONF_LIST;
}

static bool list_of(const struct conf *conf, bool groups) {
    for (size_t i = 0; i < conf->count; i++) {
        enum conf_kind kind = conf->items[i].kind;
        if (groups ? kind != CONF_GROUP : kind != CONF_STRING && kind != CONF_INT && kind != CONF_BOOL) return false;
    }
    return true;
}

bool fields_type_fits(const struct conf *conf, enum field_type type) {
    enum conf_kind kind = conf->kind;
    switch (type) {
    case FIELD_BOOL: return kind == CONF_BOOL;
    case FIELD_COUNT: return kind == CONF_INT;
    case FIELD_NUMBER: return kind == CONF_INT || kind == CONF_REAL;
    case FIELD_SIZE: return kind == CONF_INT || kind == CONF_STRING;
    case FIELD_STEADY: return kind == CONF_INT || kind == CONF_STRING;
    case FIELD_CODES: return kind == CONF_INT || kind == CONF_STRING;
    case FIELD_WORDS: return kind == CONF_STRING || (is_list(conf) && list_of(conf, false));
    case FIELD_LIMIT: return kind == CONF_INT || kind == CONF_REAL || kind == CONF_STRING;
    case FIELD_REDIRECTS: return kind == CONF_BOOL || kind == CONF_INT;
    case FIELD_KEY: return kind == CONF_BOOL || kind == CONF_STRING;
    case FIELD_PAIRS: return kind == CONF_GROUP || (is_list(conf) && list_of(conf, true));
    case FIELD_ENABLED: return kind == CONF_BOOL || kind == CONF_STRING;
    case FIELD_UNSETTLED: return kind == CONF_STRING || (is_list(conf) && list_of(conf, false));
    case FIELD_CAPTURE: return kind == CONF_STRING || kind == CONF_GROUP;
    case FIELD_ARTIFACTS: return kind == CONF_STRING || (is_list(conf) && list_of(conf, true));
    case FIELD_GROUP: return kind == CONF_GROUP;
    case FIELD_GROUPS: return is_list(conf) && list_of(conf, true);
    case FIELD_ANY:
    case FIELD_LATER: return true;
    default: return kind == CONF_STRING;
    }
}

static bool number_parse(enum field_type type, struct text t, int64_t *ret_value, struct fault *fault) {
    if (type == FIELD_DURATION) return duration_parse(t, ret_value, fault);
    if (type == FIELD_SIZE) return size_parse(t, ret_value, fault);
    return text_to_int(t, ret_value) || fault_set(fault, FAULT_INVALID, NULL, "not a whole number");
}

static bool read_number(struct compile *c, const struct conf *at, const struct field *f, int64_t *ret_value) {
    struct fault fault;
    int64_t low, high;
    if (at->kind == CONF_INT) *ret_value = at->integer;
    else if (!number_parse(f->type, at->string, ret_value, &fault)) {
        compile_fault(c, at, FAULT_INVALID, "%s: %s", f->name, fault.what);
        return false;
    }
    const char *dots = strstr(f->allowed, "..");
    struct text first = {f->allowed, (size_t)(dots - f->allowed)};
    number_parse(f->type, first, &low, NULL);
    number_parse(f->type, text_of(dots + 2), &high, NULL);
    if (*ret_value >= low && *ret_value <= high) return true;
    const char *shown = at->kind == CONF_INT ? arena_printf(c->arena, "%lld", (long long)at->integer)
                                             : arena_printf(c->arena, "%.*s", TEXT_ARG(at->string));
    compile_fault(c, at, FAULT_INVALID, "%s: %s is out of range: %.*s to %s are possible", f->name, shown,
                  TEXT_ARG(first), dots + 2);
    return false;
}

static void read_codes(struct compile *c, const struct conf *at, const struct field *f, struct code_set *to) {
    struct fault fault;
    struct text t = at->string;
    if (at->kind == CONF_INT) t = text_of(arena_printf(c->arena, "%lld", (long long)at->integer));
    if (!code_set_parse(t, to, &fault)) compile_fault(c, at, FAULT_INVALID, "%s: %s", f->name, fault.what);
}

static const char *word_of(struct compile *c, const struct conf *item) {
    if (item->kind == CONF_INT) return arena_printf(c->arena, "%lld", (long long)item->integer);
    if (item->kind == CONF_BOOL) return item->truth ? "true" : "false";
    return item->string.at;
}

void fields_read_words(struct compile *c, const struct conf *at, struct stage_words *to) {
    const struct conf *items = at->kind == CONF_STRING ? at : at->items;
    size_t count = at->kind == CONF_STRING ? 1 : at->count;
    const char **words = arena_array_of(c->arena, const char *, count);
    for (size_t i = 0; i < count; i++) {
        words[i] = word_of(c, &items[i]);
        if (!words[i][0]) compile_fault(c, &items[i], FAULT_INVALID, "%s holds an empty word", at->name);
    }
    if (at->kind == CONF_STRING && memchr(at->string.at, ',', at->string.len))
        compile_fault(c, at, FAULT_INVALID, "%s is one word with commas in it; write a list: [ \"…\", \"…\" ]",
                      at->name);
    if (count == 0) compile_fault(c, at, FAULT_INVALID, "%s is empty", at->name);
    *to = (struct stage_words){words, count};
}

static void read_string(struct compile *c, const struct conf *at, const char **to) {
    *to = at->string.at;
    if (!at->string.len) compile_fault(c, at, FAULT_INVALID, "%s is empty", at->name);
}

static void refuse_unsettled(struct compile *c, const struct conf *at) {
    const struct conf *items = at->kind == CONF_STRING ? at : at->items;
    size_t count = at->kind == CONF_STRING ? 1 : at->count;
    if (count == 0) compile_fault(c, at, FAULT_INVALID, "not settled: %s is still there", at->name);
    for (size_t i = 0; i < count; i++)
        compile_fault(c, &items[i], FAULT_INVALID, "not settled: %s", word_of(c, &items[i]));
}

static void store(struct compile *c, const struct conf *at, const struct field *f, void *to) {
    int64_t number;
    switch (f->type) {
    case FIELD_STRING: read_string(c, at, to); break;
    case FIELD_BOOL: *(bool *)to = at->truth; break;
    case FIELD_DURATION:
    case FIELD_SIZE:
        if (read_number(c, at, f, &number)) *(int64_t *)to = number;
        break;
    case FIELD_CODES: read_codes(c, at, f, to); break;
    case FIELD_WORDS: fields_read_words(c, at, to); break;
    case FIELD_PATH: *(const struct jsonpath **)to = compile_path(c, at); break;
    default: break;
    }
}

static const struct field *field_find(const struct field_table *table, const char *name) {
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->fields[i].name, name) == 0) return &table->fields[i];
    return NULL;
}

static void refuse_unknown(struct compile *c, const struct conf *at, const char *of, const struct field_place *places,
                           size_t count) {
    const char *names[128];
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < places[i].table->count && n < 128; j++)
            if (places[i].table->fields[j].type != FIELD_LATER) names[n++] = places[i].table->fields[j].name;
    compile_fault(c, at, FAULT_UNDEFINED, "unknown setting \"%s\" in %s%s", at->name, of,
                  compile_hint(c, text_of(at->name), names, n));
}

static const char *element_hint(struct compile *c, const struct conf *at, const struct field *f) {
    bool lists = f->type == FIELD_WORDS || f->type == FIELD_GROUPS || f->type == FIELD_PAIRS ||
                 f->type == FIELD_ARTIFACTS;
    if (!lists || !is_list(at)) return conf_shown(c->arena, at);
    for (size_t i = 0; i < at->count; i++) {
        enum conf_kind kind = at->items[i].kind;
        bool fits = f->type == FIELD_WORDS ? kind == CONF_STRING || kind == CONF_INT || kind == CONF_BOOL
                                           : kind == CONF_GROUP;
        if (!fits) return arena_printf(c->arena, "%s in it", conf_shown(c->arena, &at->items[i]));
    }
    return conf_shown(c->arena, at);
}

static bool allowed_check(struct compile *c, const struct conf *at, const struct field *f) {
    if (!strchr(f->allowed, '|')) return true;
    const char *words[16];
    size_t count = 0;
    bool upper = f->allowed[0] >= 'A' && f->allowed[0] <= 'Z'; /* methods, which many write in lower case */
    struct text rest = text_of(f->allowed), word;
    while (count < 16 && text_cut(&rest, '|', &word)) {
        words[count] = arena_strndup(c->arena, word.at, word.len);
        if (upper ? text_is_nocase(at->string, words[count]) : text_is(at->string, words[count])) return true;
        count++;
    }
    compile_fault(c, at, FAULT_INVALID, "%s: \"%.*s\" is not one of %s%s", f->name, TEXT_ARG(at->string), f->allowed,
                  compile_hint(c, at->string, words, count));
    return false;
}

static void read_one(struct compile *c, const struct conf *at, const char *of, const struct field_place *places,
                     size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct field *f = field_find(places[i].table, at->name);
        if (!f) continue;
        int64_t number;
        if (f->type == FIELD_LATER)
            compile_fault(c, at, FAULT_UNSUPPORTED, "%s in %s is not supported by this version", f->name, of);
        else if (!fields_type_fits(at, f->type))
            compile_fault(c, at, FAULT_INVALID, "%s must be %s, and here is %s", f->name, expected(f->type),
                          element_hint(c, at, f));
        else if (f->type == FIELD_UNSETTLED) refuse_unsettled(c, at);
        else if (!allowed_check(c, at, f)) return;
        else if (f->offset != FIELD_BY_HAND && places[i].base) store(c, at, f, (char *)places[i].base + f->offset);
        else if (f->type == FIELD_COUNT || (f->type == FIELD_REDIRECTS && at->kind == CONF_INT))
            read_number(c, at, f, &number);
        return;
    }
    refuse_unknown(c, at, of, places, count);
}

void fields_read(struct compile *c, const struct conf *group, const char *of, const struct field_place *places,
                 size_t count) {
    for (size_t i = 0; i < group->count; i++) read_one(c, &group->items[i], of, places, count);
}

/* ---- the reference ---- */

static void add_allowed(struct buf *out, const char *allowed) {
    const char *dots = strstr(allowed, "..");
    if (dots) buf_addf(out, " %.*s to %s.", (int)(dots - allowed), allowed, dots + 2);
    struct text rest = text_of(allowed), word;
    for (bool first = true; !dots && allowed[0] && text_cut(&rest, '|', &word); first = false)
        buf_addf(out, "%s`%.*s`", first ? " One of " : ", ", TEXT_ARG(word));
    if (!dots && allowed[0]) buf_addc(out, '.');
}

void fields_print_reference(struct buf *out) {
    static const struct field_table *const tables[] = {
        &fields_stage,   &fields_limits,   &fields_breaker,     &fields_dedup, &fields_param,    &fields_call,
        &fields_pair,    &fields_auth,     &fields_tls,         &fields_retry, &fields_repeat,   &fields_judging,
        &fields_capture, &fields_step,     &fields_doubt,       &fields_probe, &fields_callback, &fields_verify,
        &fields_cancel,  &fields_artifact, &fields_permissions, &fields_errors};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        buf_addf(out, "%s### %s\n\n| setting | is | default | meaning |\n|---|---|---|---|\n", i ? "\n" : "",
                 tables[i]->title);
        for (size_t j = 0; j < tables[i]->count; j++) {
            const struct field *f = &tables[i]->fields[j];
            if (f->type == FIELD_LATER) continue;
            buf_addf(out, "| `%s` | %s | %s | %s", f->name, expected(f->type), f->preset, f->help);
            add_allowed(out, f->allowed);
            buf_adds(out, " |\n");
        }
    }
}
