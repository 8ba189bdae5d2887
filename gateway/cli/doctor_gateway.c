/* What doctor asks of a gateway that runs, from wherever doctor is.
 *
 * First as a stranger: is it there, may it get work, what time is it. Then with the caller's token: what may be done
 * with it. Last the self-test, used as orca uses a stage: a start, the same start again, looks at the URL that the
 * answer names, a cancel by key, twice. The run goes through the same engine as any other; it ends by itself when
 * doctor is killed in between.
 *
 * A URL out of an answer is only called if it belongs to the gateway that was named: the token goes nowhere else. */
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/digest.h"
#include "cli/doctor.h"
#include "cli/report.h"
#include "lang/url.h"
#include "stage/self_test.h"

enum {
    SKEW_MOST_MS = 5 * 1000,
    SKEW_BAD_MS = 60 * 1000,
    START_SLOW_MS = 1000, /* an acknowledged start is a matter of milliseconds; orca waits 20 s at least */
    END_WITHIN_MS = 20 * 1000,
    LOOK_EVERY_MS = 200
};

void doctor_probe(struct doctor *doctor, const char *url, const char *path, bool unverified,
                  struct probe_result *ret_result) {
    struct probe_request request = {.ca = doctor->client.ca, .unverified = unverified};
    bool is_unix = strncmp(url, "unix:", 5) == 0;
    struct text base = text_of(is_unix ? "http://localhost" : url);
    while (base.len && base.at[base.len - 1] == '/') base.len--;
    request.url = arena_printf(doctor->arena, "%.*s%s", TEXT_ARG(base), path);
    if (is_unix) request.unix_socket = url + 5;
    probe_get(doctor->arena, &request, ret_result);
}

/* ---- as a stranger ---- */

static void check_ready(struct doctor *d) {
    struct probe_result ready;
    doctor_probe(d, d->url, "/ready", true, &ready);
    if (ready.answered && ready.code == 200) {
        findings_add(&d->findings, FINDINGS_OK, "ready", NULL, "it takes runs");
        return;
    }
    const char *detail = json_gets_text(ready.body, "detail");
    findings_add(&d->findings, FINDINGS_FAILED, "ready", "its log says more", "/ready answers %d: %s", ready.code,
                 detail        ? detail
                 : ready.error ? ready.error
                               : "no reason");
}

/* The Date header is a whole second, cut off. */
static void check_clock(struct doctor *d, const struct probe_result *health) {
    if (!health->has_date) {
        findings_add(&d->findings, FINDINGS_WARNING, "clock", NULL, "the answer has no Date header");
        return;
    }
    int64_t low = health->asked_ms - 999 - health->date_ms, high = health->answered_ms - health->date_ms;
    int64_t skew = low > 0 ? low : high < 0 ? high : 0; /* by so much at least this clock is ahead */
    int64_t size = skew < 0 ? -skew : skew;
    if (size <= SKEW_MOST_MS)
        findings_add(&d->findings, FINDINGS_OK, "clock", NULL, "within %lld s of this machine's",
                     (long long)(SKEW_MOST_MS / 1000));
    else
        findings_add(&d->findings, size > SKEW_BAD_MS ? FINDINGS_FAILED : FINDINGS_WARNING, "clock",
                     "set both by NTP: deadlines, signatures and certificates depend on it",
                     "the gateway's clock is %lld s %s this machine's", (long long)(size / 1000),
                     skew > 0 ? "behind" : "ahead of");
}

static bool is_gateway(const struct probe_result *health) {
    const char *status = json_gets_text(health->body, "status");
    return health->answered && health->code == 200 && status && strcmp(status, "UP") == 0;
}

static void tell_not_reached(struct doctor *d, const struct probe_result *health, bool must) {
    enum findings_level level = must ? FINDINGS_FAILED : FINDINGS_WARNING;
    const char *detail = json_gets_text(health->body, "detail");
    if (!health->answered)
        findings_add(&d->findings, level, "gateway",
                     !health->untrusted                      ? "is it started? --url names another address"
                     : strstr(health->error, "subject name") ? "--url has to have a name that the certificate has"
                                                             : "--ca FILE names the authority",
                     "%s does not answer: %s", d->url, health->error);
    else
        findings_add(&d->findings, FINDINGS_FAILED, "gateway",
                     "name the gateway's own URL, with its path prefix if any",
                     "%s/health answers %d%s%s, not as a gateway does", d->url, health->code, detail ? ": " : "",
                     detail ? detail : "");
}

bool doctor_reach(struct doctor *d, bool must) {
    struct probe_result health, index;
    doctor_probe(d, d->url, "/health", false, &health);
    if (!is_gateway(&health)) {
        tell_not_reached(d, &health, must);
        return false;
    }
    doctor_probe(d, d->url, "/", false, &index);
    const char *version = json_gets_text(index.body, "version");
    findings_add(&d->findings, FINDINGS_OK, "gateway", NULL, "%s answers%s%s", d->url, version ? ", version " : "",
                 version ? version : "");
    check_ready(d);
    check_clock(d, &health);
    return true;
}

/* ---- with a token ---- */

static bool says(const struct json *list, const char *word) {
    for (size_t i = 0; i < json_size(list); i++)
        if (text_is(json_text(json_at(list, i)), word)) return true;
    return false;
}

static void check_rights(struct doctor *d, const struct json *stages) {
    size_t start = 0, blind = 0;
    const char *example = NULL;
    for (size_t i = 0; i < json_size(stages); i++) {
        const struct json *may = json_gets(json_at(stages, i), "may");
        if (!says(may, "start")) continue;
        start++;
        if (says(may, "see") && says(may, "cancel")) continue;
        blind++;
        example = json_gets_text(json_at(stages, i), "name");
    }
    if (blind)
        findings_add(&d->findings, FINDINGS_FAILED, "rights",
                     "give the caller see and cancel for whatever it may start, or leave both out of callers.conf",
                     "%s and %zu more may be started, but not looked at and canceled", example ? example : "a stage",
                     blind - 1);
    else if (start)
        findings_add(&d->findings, FINDINGS_OK, "rights", NULL, "%zu stage%s may be started", start,
                     start == 1 ? "" : "s");
    else if (!json_size(stages))
        findings_add(&d->findings, FINDINGS_WARNING, "rights", "GET /stages lists them", "this caller sees no stage");
    else
        findings_add(&d->findings, FINDINGS_FAILED, "rights", "start = [ \"*\" ] in callers.conf allows all of them",
                     "no stage may be started");
}

static bool is_on_this_machine(const char *url) {
    struct url parts;
    if (strncmp(url, "unix:", 5) == 0) return true;
    return url_parse(text_of(url), &parts, NULL) &&
           (text_is_nocase(parts.host, "localhost") || text_starts(parts.host, "127.") || text_is(parts.host, "[::1]"));
}

/* What one address of the gateway is asked with the caller's token. */
struct door {
    struct doctor *d;
    const char *url;
    struct client *client;
    const char *key; /* of the self-test's runs */
};

static enum client_result call(struct door *door, const char *method, const char *path, const char *body,
                               struct client_answer *ret_answer, struct fault *fault) {
    struct client_request request = {.method = method, .path = path, .body = text_of(body)};
    return client_call(door->client, door->d->arena, &request, ret_answer, fault);
}

static const char *detail_of(const struct client_answer *answer) {
    const char *detail = json_gets_text(answer->body, "detail");
    return detail ? detail : "it does not say why";
}

static void tell_token(struct door *door, const char *as, bool open) {
    struct doctor *d = door->d;
    if (!open)
        findings_add(&d->findings, FINDINGS_OK, "token", NULL, "%s accepts it, as \"%s\"", door->url, as ? as : "?");
    else if (is_on_this_machine(door->url))
        findings_add(&d->findings, FINDINGS_OK, "token", NULL, "%s asks for none, on this machine", door->url);
    else
        findings_add(&d->findings, FINDINGS_WARNING, "token",
                     "name who may in a callers file: docs/operations.md#callers",
                     "%s asks for none: whoever can connect may start every stage", door->url);
}

/* False: nothing else may be asked. */
static bool check_token(struct door *door) {
    struct doctor *d = door->d;
    struct client_answer answer;
    struct probe_result stranger;
    struct fault fault;
    if (call(door, "GET", "/stages", NULL, &answer, &fault) != CLIENT_ANSWERED) {
        findings_add_fault(&d->findings, FINDINGS_FAILED, "token", NULL, &fault);
        return false;
    }
    if (answer.code != 200) {
        findings_add(
            &d->findings, FINDINGS_FAILED, "token",
            "set STAGEDOOR_TOKEN, or STAGEDOOR_TOKEN_FILE to a file with it; its SHA-256 stands in callers.conf",
            "%s refuses it (%d): %s", door->url, answer.code, detail_of(&answer));
        return false;
    }
    doctor_probe(d, door->url, "/stages", true, &stranger);
    tell_token(door, json_gets_text(answer.body, "caller"), stranger.code == 200);
    check_rights(d, json_gets(answer.body, "stages"));
    return true;
}

static void find_base(struct door *door) {
    static const char end[] = "/stages/" SELF_TEST_NAME;
    struct client_answer answer;
    struct fault fault;
    if (call(door, "GET", end, NULL, &answer, &fault) != CLIENT_ANSWERED) return;
    const char *start = json_gets_text(answer.body, "startUrl");
    size_t n = start ? strlen(start) : 0, m = sizeof end - 1;
    if (n > m && strcmp(start + n - m, end) == 0) door->d->base = arena_strndup(door->d->arena, start, n - m);
}

/* ---- the self-test ---- */

static bool fail(struct door *door, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct door *door, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *what = arena_vprintf(door->d->arena, format, args);
    va_end(args);
    findings_add(&door->d->findings, FINDINGS_FAILED, "self-test", "the gateway's log says more", "%s", what);
    return false;
}

static const char *make_key(struct arena *arena) {
    unsigned char chance[12];
    struct buf key;
    digest_random(chance, sizeof chance);
    buf_init(&key, 64);
    buf_adds(&key, "doctor-");
    buf_add_hex(&key, chance, sizeof chance);
    const char *made = arena_strdup(arena, buf_cstr(&key));
    buf_fini(&key);
    return made;
}

/* A report as orca needs it; else it has been said what is wrong. */
static bool check_answer(struct door *door, const char *of, enum client_result result,
                         const struct client_answer *answer, const struct fault *fault) {
    if (result != CLIENT_ANSWERED) return fail(door, "%s: %s", of, fault->what);
    if (answer->code < 200 || answer->code > 299)
        return fail(door, "%s was refused (%d): %s", of, answer->code, detail_of(answer));
    if (!json_gets_text(answer->body, "status") || !json_gets_text(answer->body, "progress"))
        return fail(door, "the answer to %s has no status or no progress that is text; something on the way changes it",
                    of);
    return true;
}

static bool start(struct door *door, const char *body, const char **ret_id, int64_t *ret_ms) {
    struct client_answer answer;
    struct fault fault;
    int64_t began = clock_mono_ms();
    enum client_result result = call(door, "POST", "/stages/" SELF_TEST_NAME, body, &answer, &fault);
    *ret_ms = clock_mono_ms() - began;
    if (!check_answer(door, "the start", result, &answer, &fault)) return false;
    const char *id = report_id(answer.body), *url = json_gets_text(answer.body, "statusUrl");
    if (!id || !url) return fail(door, "the answer to the start names no run");
    if (door->d->base && strcmp(url, arena_printf(door->d->arena, "%s/runs/%s", door->d->base, id)) != 0)
        return fail(door, "statusUrl is %s, and not below %s as other links are", url, door->d->base);
    *ret_id = id;
    return true;
}

static bool look(struct door *door, const char *id, const struct json **ret_report) {
    struct client_answer answer;
    struct fault fault;
    const char *path = arena_printf(door->d->arena, "/runs/%s", id);
    enum client_result result = call(door, "GET", path, NULL, &answer, &fault);
    if (!check_answer(door, "a look at the run", result, &answer, &fault)) return false;
    *ret_report = answer.body;
    return true;
}

static bool has_called(const struct json *report) {
    return json_int(json_gets(json_gets(report, "upstream"), "code")) == 200;
}

/* Looks until `is` holds, or the run has ended. */
static bool look_until(struct door *door, const char *id, bool (*is)(const struct json *report),
                       const struct json **ret_report) {
    int64_t until = clock_mono_ms() + END_WITHIN_MS;
    const struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * 1000000L};
    for (;;) {
        if (!look(door, id, ret_report)) return false;
        if (is(*ret_report) || report_ended(*ret_report)) return true;
        if (clock_mono_ms() > until)
            return fail(door, "after %d s the run is where it was: %s (stagedoor explain %s)", END_WITHIN_MS / 1000,
                        report_progress(*ret_report), id);
        nanosleep(&pause, NULL);
    }
}

static bool cancel(struct door *door) {
    struct client_answer answer;
    struct fault fault;
    const char *body = arena_printf(door->d->arena, "{\"key\": \"%s\"}", door->key);
    enum client_result result = call(door, "POST", "/stages/" SELF_TEST_NAME "/cancel", body, &answer, &fault);
    return check_answer(door, "the cancel", result, &answer, &fault);
}

static bool is_status(struct door *door, const struct json *report, const char *wanted) {
    if (strcmp(report_status(report), wanted) == 0) return true;
    return fail(door, "the run ended %s, and should have been %s: %s (stagedoor explain %s)", report_status(report),
                wanted, report_progress(report), report_id(report));
}

static const char *start_body(struct door *door, const char *key, const char *hold) {
    return arena_printf(door->d->arena,
                        "{\"key\": \"%s\", \"parameters\": {\"hold\": \"%s\"}, \"caller\": {\"user\": "
                        "\"stagedoor doctor\"}}",
                        key, hold);
}

/* Started twice by one key, as orca does when it hears no answer; seen; canceled twice, as orca does as well. */
static bool try_cancel(struct door *door, int64_t *ret_ms) {
    const char *id, *again, *body = start_body(door, door->key, "true");
    const struct json *report;
    int64_t unused;
    if (!start(door, body, &id, ret_ms) || !start(door, body, &again, &unused)) return false;
    if (strcmp(id, again) != 0) return fail(door, "the same key gave two runs, %s and %s", id, again);
    if (!look_until(door, id, has_called, &report)) return false;
    if (report_ended(report)) return is_status(door, report, "RUNNING");
    return cancel(door) && look_until(door, id, report_ended, &report) && is_status(door, report, "CANCELED") &&
           cancel(door);
}

static bool try_success(struct door *door) {
    const char *id;
    const struct json *report;
    int64_t unused;
    return start(door, start_body(door, arena_printf(door->d->arena, "%s-2", door->key), "false"), &id, &unused) &&
           look_until(door, id, report_ended, &report) && is_status(door, report, "SUCCEEDED");
}

/* Whether there is one, and it may be started. */
static bool may_self_test(struct door *door) {
    struct client_answer answer;
    struct fault fault;
    struct doctor *d = door->d;
    if (call(door, "GET", "/stages/" SELF_TEST_NAME, NULL, &answer, &fault) != CLIENT_ANSWERED)
        return fail(door, "%s", fault.what);
    if (answer.code == 404) {
        findings_add(&d->findings, FINDINGS_SKIPPED, "self-test",
                     "name \"" SELF_TEST_NAME "\" in its start in callers.conf",
                     "this caller may not see it, or the gateway cannot call itself (only by client certificate)");
        return false;
    }
    if (answer.code == 200 && says(json_gets(answer.body, "may"), "start") &&
        says(json_gets(answer.body, "may"), "cancel"))
        return true;
    findings_add(&d->findings, FINDINGS_SKIPPED, "self-test",
                 "name \"" SELF_TEST_NAME "\" in its start in callers.conf", "this caller may not start and cancel it");
    return false;
}

static void check_self_test(struct door *door) {
    int64_t ms;
    door->key = make_key(door->d->arena);
    if (!may_self_test(door) || !try_cancel(door, &ms) || !try_success(door)) return;
    findings_add(&door->d->findings, ms > START_SLOW_MS ? FINDINGS_WARNING : FINDINGS_OK, "self-test",
                 ms > START_SLOW_MS ? "a slow disk, or something slow on the way" : NULL,
                 "started at %s in %lld ms, seen, canceled; another came to its end", door->url, (long long)ms);
}

void doctor_ask(struct doctor *doctor, const char *url) {
    struct client_options options = {.url = url, .ca = doctor->client.ca};
    struct door door = {.d = doctor, .url = url};
    struct fault fault;
    door.client = client_new(&options, &fault);
    if (!door.client) {
        findings_add_fault(&doctor->findings, FINDINGS_FAILED, "token", NULL, &fault);
        return;
    }
    if (check_token(&door)) {
        find_base(&door);
        check_self_test(&door);
    }
    client_free(door.client);
}
