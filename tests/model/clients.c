/* Who talks to the gateway: callers that start, look, cancel by id and by key, and whoever calls back. Each question is
 * a real one (run/ask), and each answer is checked against the disk. */
#include <assert.h>
#include <string.h>

#include "base/digest.h"
#include "checks.h"
#include "run/callback.h"
#include "world.h"

static const char *const keys[] = {"k0", "k1", "k2"};

/* ---- what is known of runs ---- */

struct seen *seen_find(const char *id) {
    for (size_t i = 0; i < world.seen_count; i++)
        if (strcmp(world.seen[i].id, id) == 0) return &world.seen[i];
    return NULL;
}

struct seen *seen_make(const char *id) {
    struct seen *seen = seen_find(id);
    if (seen) return seen;
    assert(world.seen_count < WORLD_RUNS);
    seen = &world.seen[world.seen_count++];
    snprintf(seen->id, sizeof seen->id, "%s", id);
    seen->read_ms = seen->looked_ms = seen->looked_before_ms = world.mono_ms;
    return seen;
}

static void look(struct seen *seen) {
    if (world.mono_ms - seen->looked_ms > 500) seen->looked_before_ms = seen->looked_ms;
    seen->looked_ms = seen->read_ms = world.mono_ms;
}

/* ---- answers ---- */

static void answered_callback(struct client *client) {
    const struct ask *ask = client->ask;
    struct hook *hook = &world.hooks[client->hook];
    struct seen_step *step = &hook->seen->steps[hook->step];
    const struct stage_callback *callback = hook->seen->stage->steps[hook->step].callback;
    TRACE("callback %s %s step %zu %s: %s", client->word, hook->seen->id + 20, hook->step,
          client->forged ? "forged" : "", ask->failed ? ask->fault->what : "taken");
    if (hook->seen->forgotten) {
        check(CHECK_FORGOTTEN, ask->failed && ask->fault->kind == FAULT_GONE, "%s was called back", hook->seen->id);
        return;
    }
    if (client->forged) {
        check(CHECK_CALLBACK_FORGED, ask->failed, "a forged callback was taken");
        return;
    }
    if (hook->job != client->job) return; /* the step was sent again, and that of its later call calls back now */
    bool busy = ask->failed && ask->fault->kind == FAULT_BUSY;
    bool before = hook->seen->callback_taken[client->hook] && client->message == 2;
    if (before && !busy)
        check(CHECK_CALLBACK_SAME, !ask->failed, "refused now: %s", ask->failed ? ask->fault->what : "");
    if (ask->failed || client->message != 2) return;
    hook->taken++;
    hook->seen->callback_taken[client->hook] = true;
    bool unknown = strcmp(client->word, "zz") == 0 && !callback->rules.unknown_fails;
    const struct image *image = world_image(hook->seen->id);
    bool stopped = image->cancel_wanted; /* then it tells no more than that the call has arrived */
    if (!callback->hint && !stopped && (!callback->rules.exist || !unknown)) step->callback_owed = true;
}

/* A key is its run's, or has a record of its own that names the run. */
static bool leads_to(const struct store_record *record, const char *id) {
    char named[64];
    int n = snprintf(named, sizeof named, "\"attached_to\":\"%s\"", id);
    return strcmp(record->id, id) == 0 || memmem(record->body.at, record->body.len, named, (size_t)n);
}

static void check_key(const char *key, const char *id) {
    unsigned kept = 0;
    for (size_t i = 0; i < world.image_count; i++) {
        const struct store_record *record = &world.images[i].record;
        if (!record->key || strcmp(record->key, key) != 0) continue;
        check(CHECK_ONE_A_KEY, leads_to(record, id), "the answer to key %s is %s, and it is that of %s", key, id,
              record->id);
        kept++;
    }
    check(CHECK_ONE_A_KEY, kept == 1, "%u records keep the key %s, which was answered with %s", kept, key, id);
}

static void answered_start(struct client *client) {
    const struct ask *ask = client->ask;
    if (ask->failed) return;
    struct seen *seen = seen_find(ask->id);
    check(CHECK_DURABLE, world_image(ask->id) && seen, "run %s is acknowledged, and not on disk", ask->id);
    seen->acknowledged = true;
    if (client->key[0]) check_key(client->key, ask->id);
}

static void answered_cancel(const struct client *client) {
    const struct ask *ask = client->ask;
    if (ask->failed) return;
    struct seen *seen = seen_find(ask->id);
    const struct image *image = world_image(ask->id);
    check(CHECK_DURABLE, seen && image && (image->cancel_wanted || image->record.ended_ms),
          "the cancel of %s is acknowledged, and not on disk", ask->id);
    seen->cancel_acknowledged = true;
    seen->acknowledged = true; /* also one that was canceled in advance */
    if (!image->record.ended_ms && !image->timed_out) seen->cancel_acknowledged_in_time = true;
}

/* True: the question was about a run that the gateway cannot know any more. */
static bool answered_forgotten(const struct client *client) {
    const struct ask *ask = client->ask;
    const struct seen *seen = client->id[0] ? seen_find(client->id) : NULL;
    if (!seen || !seen->forgotten) return false;
    check(CHECK_FORGOTTEN, ask->failed && ask->fault->kind == FAULT_NOT_FOUND, "%s is known", client->id);
    return true;
}

static void on_answer(struct ask *ask) {
    struct client *client = ask->arg;
    if (!world.dying && !answered_forgotten(client)) {
        TRACE("answer %d %s: %s", client->kind, ask->id[0] ? ask->id + 20 : "",
              ask->failed       ? ask->fault->what
              : ask->report.len ? buf_cstr(&ask->report)
                                : "good");
        bool by_id = client->kind == ASK_GET || client->kind == ASK_EXPLAIN || client->kind == ASK_CANCEL;
        if (by_id)
            check(CHECK_KNOWN, !ask->failed || ask->fault->kind == FAULT_BUSY, "%s: %s", ask->id,
                  ask->failed ? ask->fault->what : "");
        if (client->kind == ASK_START) answered_start(client);
        if (client->kind == ASK_CANCEL || client->kind == ASK_CANCEL_KEY) answered_cancel(client);
        if (client->kind == ASK_CALLBACK) answered_callback(client);
        else if (!ask->failed && client->kind == ASK_EXPLAIN)
            check_explanation(seen_find(ask->id), buf_text(&ask->report));
        else if (!ask->failed) check_report(seen_find(ask->id), &ask->report);
    }
    struct seen *seen = client->kind == ASK_CALLBACK ? NULL : seen_find(ask->id);
    if (seen) look(seen);
    client->used = false;
    ask_free(ask);
}

/* ---- questions ---- */

static struct client *client_new(enum ask_kind kind) {
    for (size_t i = 0; i < WORLD_ASKS; i++) {
        struct client *client = &world.clients[i];
        if (client->used) continue;
        *client = (struct client){.used = true, .kind = kind};
        client->ask = ask_new(kind, world_loop(below(world.engines_count)), on_answer, client);
        client->ask->base_url = "http://gw.test";
        client->ask->caller_name = "orca";
        return client;
    }
    return NULL;
}

void client_start(void) {
    if (world.seen_count + 4 >= WORLD_RUNS) return;
    struct client *client = client_new(ASK_START);
    if (!client) return;
    struct ask *ask = client->ask;
    const char *app = one_in(3) ? "b" : "a";
    if (!one_in(3)) ask->key = keys[below(3)];
    if (ask->key) snprintf(client->key, sizeof client->key, "%s", ask->key);
    if (ask->key && !one_in(8)) app = "a";
    struct json *parameters = json_new_object(ask->arena);
    json_set(parameters, "app", json_new_string(ask->arena, app));
    json_set(parameters, "pw", json_new_string(ask->arena, SECRET_PARAM));
    ask->stage_name = "model";
    ask->stage = stage_ref(world.stages[world.version]);
    ask->parameters = parameters;
    ask->caller = json_new_object(ask->arena);
    ask->fingerprint = app;
    ask->traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    if (one_in(4)) ask->wait_ms = 1 + below(8000);
    if (one_in(8)) ask->deadline_ms = world_wall_ms() + 1000 + below(60000);
    TRACE("start key=%s app=%s wait=%lld", client->key, app, (long long)ask->wait_ms);
    ask_send(&world.engines, ask);
}

static struct seen *pick(void) {
    if (!world.seen_count) return NULL;
    struct seen *seen = &world.seen[below((uint32_t)world.seen_count)];
    return seen->acknowledged || seen->forgotten ? seen : NULL;
}

void client_look(void) {
    struct seen *seen = pick();
    struct client *client = seen ? client_new(one_in(4) ? ASK_EXPLAIN : ASK_GET) : NULL;
    if (!client) return;
    memcpy(client->ask->id, seen->id, sizeof seen->id);
    memcpy(client->id, seen->id, sizeof seen->id);
    if (client->kind == ASK_GET && one_in(4)) client->ask->wait_ms = 1 + below(10000);
    look(seen);
    seen->read_ms = world.mono_ms + client->ask->wait_ms;
    ask_send(&world.engines, client->ask);
}

void client_cancel(void) {
    bool by_key = one_in(3);
    struct seen *seen = by_key ? NULL : pick();
    if (!by_key && !seen) return;
    if (by_key && world.seen_count + 4 >= WORLD_RUNS) return;
    struct client *client = client_new(by_key ? ASK_CANCEL_KEY : ASK_CANCEL);
    if (!client) return;
    client->ask->stage_name = "model";
    if (by_key) client->ask->key = keys[below(3)];
    else memcpy(client->ask->id, seen->id, sizeof seen->id), memcpy(client->id, seen->id, sizeof seen->id);
    TRACE("cancel %s", by_key ? client->ask->key : seen->id + 20);
    ask_send(&world.engines, client->ask);
}

static const char *signature_of(struct arena *arena, struct text body) {
    unsigned char sum[32];
    struct buf hex;
    digest_hmac_sha256(TEXT(SECRET_HOOK), body, sum);
    buf_init(&hex, 64);
    buf_add_hex(&hex, sum, sizeof sum);
    const char *made = arena_printf(arena, "sha256=%s", buf_cstr(&hex));
    buf_fini(&hex);
    return made;
}

/* A forged one has no secret to sign with; where the definition asks for none, its token is made up. */
void client_call_back(int hook_index, const char *word, int message, bool forged, bool named) {
    const struct hook *hook = &world.hooks[hook_index];
    const struct job *job = hook->job;
    struct callback_place place;
    char token[112];
    snprintf(token, sizeof token, "%s", hook->token);
    const struct stage_callback *callback = hook->seen->stage->steps[hook->step].callback;
    if (forged && callback->verify == VERIFY_NONE) {
        size_t at = 5 + below((uint32_t)strlen(token) - 5);
        token[at] = token[at] == '1' ? '2' : '1';
        check(CHECK_CALLBACK_FORGED, !callback_token_read(CALLBACK_KEY, text_of(token), &place), "%s is taken", token);
        return;
    }
    struct client *client = client_new(ASK_CALLBACK);
    if (!client) return;
    struct ask *ask = client->ask;
    client->hook = hook_index;
    client->job = job;
    client->message = message;
    client->forged = forged;
    client->word = word;
    check(CHECK_CALLBACK_FORGED, callback_token_read(CALLBACK_KEY, text_of(token), &place), "%s is not taken", token);
    memcpy(ask->id, place.id, sizeof ask->id);
    ask->step = place.step;
    const char *state = word[0] ? arena_printf(ask->arena, "\"%s\"", word) : "null";
    const char *body = arena_printf(ask->arena,
                                    "{\"id\":\"%s\",\"state\":%s,\"go\":%s,\"message\":\"by " SECRET_TOKEN "\"}",
                                    job->id, state, job->go ? "true" : "false");
    struct reply_header *headers = arena_array_of(ask->arena, struct reply_header, 3);
    struct reply *reply = arena_new_of(ask->arena, struct reply);
    *reply = (struct reply){.phase = REPLY_ANSWERED, .code = 200, .headers = headers, .body = text_of(body)};
    if (named)
        headers[reply->header_count++] = (struct reply_header){
            "webhook-id", arena_printf(ask->arena, "%s-%d-%d", job->id, message, forged)};
    const char *secret = forged ? "sha256=00" : signature_of(ask->arena, reply->body);
    if (callback->verify == VERIFY_GITHUB)
        headers[reply->header_count++] = (struct reply_header){"X-Hub-Signature-256", secret};
    if (callback->verify == VERIFY_BEARER)
        headers[reply->header_count++] = (struct reply_header){"Authorization",
                                                               forged ? "Bearer guess" : "Bearer " SECRET_HOOK};
    ask->message = reply;
    if (!forged) {
        struct seen_step *step = &hook->seen->steps[hook->step];
        step->calm = false;
        bool all = !callback->rules.exist;
        if (callback->hint) {
        } else if (all || word_is_ok(word)) step->said_ok++, step->called_ok = true;
        else if (strcmp(word, "bad") == 0) step->said_bad++;
        else if (strcmp(word, "gone") == 0) step->said_gone++;
        else step->said_unknown++;
    }
    ask_send(&world.engines, ask);
}

bool client_waits(void) {
    for (size_t i = 0; i < WORLD_ASKS; i++)
        if (world.clients[i].used) return true;
    return false;
}
