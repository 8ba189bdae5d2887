/* The upstream: jobs with a life of their own, and servers that answer well, badly or not at all.
 *
 * What it counts is the truth that the checks hold against what the gateway says. It is honest: a 4xx or a 503 means
 * that nothing was done, a probe finds what is there, a callback says how the job stands. Everything else it may do:
 * work that is refused, lost, done and answered with a 500, that ignores to be stopped, that says a word nobody knows.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "checks.h"
#include "run/callback.h"
#include "world.h"

enum { OBEYS, IGNORES_STOP, REFUSES_STOP, FAILS_STOP, IGNORES_ALL, OBEYS_KINDS };

bool word_is_ok(const char *word) {
    return strcmp(word, "ok") == 0 || strcmp(word, "hm") == 0;
}

/* ---- jobs ---- */

static bool job_over(const struct job *job) {
    return (job->stops_ms && world.mono_ms >= job->stops_ms) || world.mono_ms >= job->ends_ms;
}

const char *job_word(const struct job *job) {
    if (world.mono_ms >= job->ends_ms && (!job->stops_ms || job->ends_ms <= job->stops_ms)) return job->end;
    if (job->stops_ms && world.mono_ms >= job->stops_ms) return "gone";
    bool blips = job->blip_ms && world.mono_ms >= job->blip_ms && world.mono_ms < job->blip_ms + 4000;
    return blips ? "ok" : job->mid;
}

static struct job *job_find(const char *id) {
    for (size_t i = 0; i < world.job_count; i++)
        if (strcmp(world.jobs[i].id, id) == 0) return &world.jobs[i];
    return NULL;
}

static struct job *job_of(const struct seen *seen, size_t step) {
    for (size_t i = world.job_count; i-- > 0;)
        if (world.jobs[i].seen == seen && world.jobs[i].step == step) return &world.jobs[i];
    return NULL;
}

/* Does a step that asks for it look for success that lasts? Only there a job may say ok and go on. */
static bool may_blip(const struct seen *seen, size_t step) {
    bool any = false;
    for (size_t i = step; i < seen->stage->step_count; i++) {
        const struct stage_rules *rules = &seen->stage->steps[i].rules;
        any = any || rules->exist;
        if (rules->exist && !rules->success_for_ms && !rules->success_polls) return false;
        if (seen->stage->steps[i].callback) return false;
    }
    return any;
}

static struct job *job_new(struct seen *seen, size_t step) {
    static const char *const ends[] = {"ok", "ok", "ok", "ok", "hm", "bad", "gone", "zz"};
    if (world.job_count == WORLD_JOBS) return NULL;
    const struct job *before = job_of(seen, step);
    struct job *job = &world.jobs[world.job_count];
    bool go = before ? before->go : one_in(2);
    *job = (struct job){.seen = seen, .step = step, .born_ms = world.mono_ms, .go = go};
    snprintf(job->id, sizeof job->id, "j%zu", world.job_count++);
    job->visible_ms = world.mono_ms + (one_in(3) ? 1 + below(2000) : 0);
    job->ends_ms = world.mono_ms + 1 + below(one_in(4) ? 200000 : 15000);
    job->end = ends[below(8)];
    job->mid = one_in(8) ? "zz" : one_in(8) ? "" : "busy";
    job->obeys = one_in(2) ? OBEYS : (int)below(OBEYS_KINDS);
    if (may_blip(seen, step) && one_in(2)) job->blip_ms = world.mono_ms + below(8000);
    seen->steps[step].job = job;
    return job;
}

static void stop_job(struct job *job) {
    if (job_over(job)) return;
    int64_t at_ms = world.mono_ms + below(one_in(3) ? 20000 : 2000);
    if (!job->stops_ms || at_ms < job->stops_ms) job->stops_ms = at_ms;
    for (size_t i = 0; i < world.hook_count; i++)
        if (world.hooks[i].job == job && world.hooks[i].due_ms) world.hooks[i].due_ms = job->stops_ms;
}

static void write_job(const struct job *job, char *out, size_t size) {
    const char *word = job_word(job);
    const char *said = one_in(5) ? "it knows " SECRET_TOKEN ", " SECRET_HOOK " and " SECRET_PARAM ", ${T(java).x}"
                                 : "fine";
    char state[16];
    snprintf(state, sizeof state, "\"%s\"", word);
    snprintf(out, size, "{\"id\":\"%s\",\"state\":%s,\"go\":%s,\"message\":\"%s\",\"percent\":%u}", job->id,
             word[0] ? state : "null", job->go ? "true" : "false", said, below(101));
}

/* ---- requests ---- */

static const char *header_of(const struct request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0) return request->headers[i].value;
    return "";
}

void upstream_note(struct transfer *call) {
    const struct request *request = call->request;
    const char *path = strstr(request->url, "up.test");
    snprintf(call->path, sizeof call->path, "%s", path ? path + 7 : "");
    snprintf(call->kind, sizeof call->kind, "%s", header_of(request, "X-Kind"));
    snprintf(call->definition, sizeof call->definition, "%s", header_of(request, "X-Def"));
    snprintf(call->key, sizeof call->key, "%s", header_of(request, "Idempotency-Key"));
    snprintf(call->hook, sizeof call->hook, "%s", header_of(request, "X-Callback"));
    snprintf(call->auth, sizeof call->auth, "%s", request->token ? request->token : "");
    call->seen = seen_find(header_of(request, "X-Run"));
    call->step = (size_t)strtoul(header_of(request, "X-Step"), NULL, 10);
    if (!call->seen || call->step >= WORLD_STEPS || !path)
        fputs("a request that says not whose it is\n", stderr), abort();
}

static void say(struct transfer *call, int code, const char *body) {
    call->code = code;
    snprintf(call->body, sizeof call->body, "%s", body);
}

static void ask_for_quiet(struct transfer *call) {
    if (one_in(2)) snprintf(call->retry_after, sizeof call->retry_after, "%u", 1 + below(15));
}

/* Something is wrong with the server, and nothing was done. */
static bool in_trouble(struct transfer *call) {
    if (call->fate != FATE_ANSWERED || (int)below(200) >= world.trouble) return false;
    static const int codes[] = {503, 429, 503, 400, 404, 403};
    say(call, codes[below(6)], one_in(2) ? "" : "{\"error\":\"not now\"}");
    if (call->code == 503 || call->code == 429) ask_for_quiet(call);
    return true;
}

static void say_job(struct transfer *call, struct job *job, int code) {
    write_job(job, call->body, sizeof call->body);
    snprintf(call->word, sizeof call->word, "%s", job_word(job));
    call->code = code;
    if (code == 202) snprintf(call->location, sizeof call->location, "/jobs/%s", job->id);
    call->seen->steps[call->step].job = job;
}

/* ---- who may call back ---- */

static void note_hook(struct transfer *call, struct job *job) {
    struct callback_place place;
    const char *token = strstr(call->hook, "sdcb-");
    if (!token || !job || !callback_token_read(CALLBACK_KEY, text_of(token), &place)) return;
    struct hook *hook = NULL;
    for (size_t i = 0; i < world.hook_count; i++)
        if (world.hooks[i].seen == call->seen && world.hooks[i].step == place.step) hook = &world.hooks[i];
    if (!hook && world.hook_count == WORLD_HOOKS) return;
    if (!hook) hook = &world.hooks[world.hook_count++];
    else if (hook->job == job) return;
    call->seen->callback_taken[hook - world.hooks] = false;
    *hook = (struct hook){.seen = call->seen, .step = place.step, .job = job};
    snprintf(hook->token, sizeof hook->token, "%s", token);
    int64_t end_ms = job->stops_ms && job->stops_ms < job->ends_ms ? job->stops_ms : job->ends_ms;
    if (!one_in(6)) hook->due_ms = one_in(4) ? world.mono_ms + below(3000) : end_ms;
}

/* The job's word, as it is. Once it is over, until somebody has taken it. */
void upstream_call_back(struct hook *hook) {
    struct job *job = hook->job;
    int index = (int)(hook - world.hooks);
    bool over = job_over(job);
    int64_t end_ms = job->stops_ms && job->stops_ms < job->ends_ms ? job->stops_ms : job->ends_ms;
    hook->due_ms = over ? 0 : end_ms;
    if (one_in(4)) client_call_back(index, "ok", 0, true, one_in(2));
    if (!over && hook->early_sent) return;
    if (!over) {
        const struct stage_callback *callback = hook->seen->stage->steps[hook->step].callback;
        hook->early_sent = true; /* where any callback is success, there is nothing to say before the end */
        if (!callback->rules.exist && !callback->hint) return;
        hook->seen->messages++;
        client_call_back(index, job->mid, 1, false, true);
        return;
    }
    if (!hook->sent++) hook->seen->messages++;
    client_call_back(index, job_word(job), 2, false, true);
    if (hook->sent < 8 && (!hook->taken || one_in(3))) hook->due_ms = world.mono_ms + 50 + below(5000);
}

/* ---- answering ---- */

static void begin_work(struct transfer *call) {
    struct seen_step *step = &call->seen->steps[call->step];
    struct job *job = NULL;
    if (in_trouble(call)) return;
    if (call->fate == FATE_ANSWERED && (int)below(400) < world.trouble) {
        say(call, 500, "{\"error\":\"boom\"}");
        if (one_in(2)) return;
    }
    if (call->key[0]) {
        job = job_of(call->seen, call->step);
        if (job && strcmp(job->key, call->key) != 0) job = NULL;
    }
    if (!job) {
        job = job_new(call->seen, call->step);
        if (!job) return;
        step->acted++;
        snprintf(job->key, sizeof job->key, "%s", call->key);
        TRACE("upstream: %s begins for %s step %zu (%s at %lld%s)", job->id, call->seen->id + 20, call->step, job->end,
              (long long)job->ends_ms, job->go ? ", go" : "");
    }
    note_hook(call, job);
    if (call->code) return;
    if (one_in(60)) say(call, 200, "<html>welcome</html>");
    else say_job(call, job, one_in(3) ? 202 : 201);
}

static void poll_job(struct transfer *call, struct job *job) {
    if (job) call->seen->steps[call->step].job = job;
    note_hook(call, job);
    if (in_trouble(call)) return;
    if (!job || world.mono_ms < job->visible_ms) say(call, 404, "{\"error\":\"no such job\"}");
    else if (one_in(40)) say(call, 200, "<html>maintenance</html>");
    else if (job_over(job)) say_job(call, job, 200);
    else say_job(call, job, 202);
}

static void poll(struct transfer *call) {
    poll_job(call, job_find(call->path + strlen("/jobs/")));
}

static void look_at_gate(struct transfer *call) {
    struct job *job = job_of(call->seen, call->step);
    poll_job(call, job ? job : job_new(call->seen, call->step));
}

static void find(struct transfer *call) {
    const struct job *job = job_of(call->seen, call->step);
    if (in_trouble(call)) return;
    if (!job || world.mono_ms < job->visible_ms) {
        say(call, 200, "{\"items\":[]}");
        call->said_nothing = true;
        return;
    }
    char body[500];
    write_job(job, body, sizeof body);
    call->code = 200;
    snprintf(call->body, sizeof call->body, "{\"items\":[%s]}", body);
}

static void stop_one(struct transfer *call, struct job *job, bool kill) {
    int obeys = job->obeys;
    if (job_over(job)) {
        say(call, one_in(2) ? 409 : 404, "");
    } else if (obeys == OBEYS || (kill && obeys != IGNORES_ALL)) {
        stop_job(job);
        say(call, 204, "");
    } else if (obeys == REFUSES_STOP) {
        say(call, one_in(2) ? 409 : 403, "");
    } else if (obeys == FAILS_STOP) {
        say(call, one_in(2) ? 500 : 422, "");
    } else {
        say(call, 202, "");
    }
}

static void stop(struct transfer *call) {
    char id[40];
    bool kill = strcmp(call->kind, "fallback") == 0;
    if (in_trouble(call)) return;
    if (strncmp(call->path, "/jobs/", 6) == 0) {
        snprintf(id, sizeof id, "%.*s", (int)strcspn(call->path + 6, "/"), call->path + 6);
        struct job *job = job_find(id);
        check(CHECK_CANCEL_AIMED, !job || job->seen == call->seen, "%s", call->path);
        if (job) stop_one(call, job, kill);
        else say(call, 404, "");
        return;
    }
    check(CHECK_CANCEL_AIMED, strstr(call->path, call->seen->id), "%s", call->path);
    say(call, 404, "");
    for (size_t i = 0; i < world.job_count; i++)
        if (world.jobs[i].seen == call->seen) stop_one(call, &world.jobs[i], kill);
}

void upstream_arrives(struct transfer *call) {
    const char *path = call->path;
    TRACE("upstream gets %s %s step %zu", path, call->kind, call->step);
    if (strcmp(call->kind, "cancel") == 0 || strcmp(call->kind, "fallback") == 0) stop(call);
    else if (strcmp(call->kind, "probe") == 0) find(call);
    else if (strncmp(path, "/work/", 6) == 0) begin_work(call);
    else if (strncmp(path, "/jobs/", 6) == 0) poll(call);
    else if (strncmp(path, "/gates/", 7) == 0) look_at_gate(call);
    else if (!in_trouble(call)) {
        call->seen->steps[call->step].acted++;
        say(call, 200, "{\"id\":\"n\",\"state\":\"noted\",\"go\":true,\"message\":\"fine\"}");
    }
    const struct stage_step *step = &call->seen->stage->steps[call->step];
    bool once = strcmp(call->kind, "step") == 0 && !step->rules.exist && !step->call.idempotent;
    if (once && step->in_doubt != DOUBT_RESEND)
        check(CHECK_ONCE, call->seen->steps[call->step].acted <= 1, "step %zu of %s acted %u times", call->step,
              call->seen->id, call->seen->steps[call->step].acted);
    else if (once == false && step->call.idempotency_header && strcmp(call->kind, "step") == 0)
        check(CHECK_ONCE, call->seen->steps[call->step].acted <= 1, "step %zu of %s acted %u times, with a key",
              call->step, call->seen->id, call->seen->steps[call->step].acted);
}
