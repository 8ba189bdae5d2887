/* Manners towards upstreams: one reply that asks to wait holds all calls with the same credentials to the same origin,
 * whatever run they are of and on whatever loop.
 *
 * Credentials are what the call's auth says, the header Authorization, which a parameter may have given, and each
 * header whose template speaks of a secret; only a digest of them is kept. The engine asks before each call, and tells
 * every reply. The table is short (it holds only what is being waited for), so it is a plain array; with nothing in it,
 * nothing is computed. */
#include "run/holds.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digest.h"
#include "call/asked.h"

#define KEY_MAX (4 * 1024 * 1024)
#define SPREAD_LEAST_MS 1000
#define SPREAD_MOST_MS 60000

/* ---- the key ---- */

static void add_part(struct buf *out, const char *part) {
    buf_adds(out, part ? part : "");
    buf_addc(out, '\n'); /* no value has one */
}

static const char *header_of(const struct request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0) return request->headers[i].value;
    return NULL;
}

static void add_origin(struct buf *out, const struct url *url) {
    buf_addf(out, "%.*s://", TEXT_ARG(url->scheme));
    for (size_t i = 0; i < url->host.len; i++) {
        char c = url->host.at[i];
        buf_addc(out, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    buf_addf(out, ":%d\n", url_port(url));
}

static bool make_key(const struct request *request, char key[65]) {
    struct url url;
    struct buf text;
    if (!url_parse(text_of(request->url), &url, NULL)) return false;
    buf_init(&text, KEY_MAX);
    add_origin(&text, &url);
    add_part(&text, request->call->unix_socket); /* behind which any host may be */
    buf_addf(&text, "%d\n", (int)request->auth);
    add_part(&text, request->user);
    add_part(&text, request->password);
    add_part(&text, request->token);
    for (size_t i = 0; i < request->call->header_count; i++) {
        const struct stage_header *header = &request->call->headers[i];
        bool is_credential = strcasecmp(header->name, "Authorization") == 0 ||
                             template_uses(header->value, ROOT_SECRET);
        if (is_credential) add_part(&text, header_of(request, header->name));
    }
    digest_sha256_hex(buf_text(&text), key);
    buf_fini(&text);
    return true;
}

/* ---- the table ---- */

static void drop(struct holds *holds, size_t i) {
    holds->items[i] = holds->items[--holds->count];
}

static void drop_past(struct holds *holds, int64_t mono_ms) {
    for (size_t i = holds->count; i-- > 0;)
        if (holds->items[i].until_mono_ms <= mono_ms) drop(holds, i);
}

static struct hold *find(struct holds *holds, const char *key) {
    for (size_t i = 0; i < holds->count; i++)
        if (strcmp(holds->items[i].key, key) == 0) return &holds->items[i];
    return NULL;
}

static void drop_first_to_end(struct holds *holds) {
    size_t first = 0;
    for (size_t i = 1; i < holds->count; i++)
        if (holds->items[i].until_mono_ms < holds->items[first].until_mono_ms) first = i;
    drop(holds, first);
}

static struct hold *add(struct holds *holds, const char *key) {
    if (holds->count == HOLDS_MAX) drop_first_to_end(holds);
    if (holds->count == holds->room) {
        holds->room = holds->room ? 2 * holds->room : 8;
        holds->items = mem_resize(holds->items, holds->room * sizeof *holds->items);
    }
    struct hold *hold = &holds->items[holds->count++];
    *hold = (struct hold){0};
    memcpy(hold->key, key, sizeof hold->key);
    return hold;
}

/* A redirect led to another origin, where the credentials did not go. */
static bool came_from_elsewhere(const struct request *request, const struct reply *reply) {
    struct url asked, answered;
    return reply->url && url_parse(text_of(request->url), &asked, NULL) &&
           url_parse(text_of(reply->url), &answered, NULL) && !url_same_origin(&asked, &answered);
}

void holds_note(struct holds *holds, const struct request *request, const struct reply *reply,
                const struct holds_now *now) {
    char key[65];
    int64_t wait_ms = asked_hold_ms(reply, now->wall_ms);
    if (wait_ms <= 0 || came_from_elsewhere(request, reply) || !make_key(request, key)) return;
    pthread_mutex_lock(&holds->lock);
    drop_past(holds, now->mono_ms);
    struct hold *hold = find(holds, key);
    if (!hold) hold = add(holds, key);
    if (now->mono_ms + wait_ms > hold->until_mono_ms) {
        hold->until_mono_ms = now->mono_ms + wait_ms;
        hold->asked_ms = wait_ms;
        hold->code = reply->code;
    }
    atomic_store(&holds->any, true);
    pthread_mutex_unlock(&holds->lock);
}

static struct hold look_up(struct holds *holds, const char *key, int64_t mono_ms) {
    pthread_mutex_lock(&holds->lock);
    drop_past(holds, mono_ms);
    atomic_store(&holds->any, holds->count > 0);
    const struct hold *hold = find(holds, key);
    struct hold found = hold ? *hold : (struct hold){0};
    pthread_mutex_unlock(&holds->lock);
    return found;
}

static int64_t spread_of(int64_t asked_ms, uint32_t random) {
    int64_t most = asked_ms / 10;
    if (most < SPREAD_LEAST_MS) most = SPREAD_LEAST_MS;
    if (most > SPREAD_MOST_MS) most = SPREAD_MOST_MS;
    return (int64_t)((uint64_t)most * random >> 32);
}

bool holds_any(const struct holds *holds) {
    return holds && atomic_load(&holds->any);
}

int64_t holds_until_ms(struct holds *holds, struct arena *arena, const struct request *request,
                       const struct holds_now *now, uint32_t random, const char **ret_why) {
    char key[65], until[CLOCK_TEXT_SIZE];
    struct url url;
    if (!holds_any(holds) || !make_key(request, key)) return 0;
    struct hold hold = look_up(holds, key, now->mono_ms);
    if (!hold.asked_ms || !url_parse(text_of(request->url), &url, NULL)) return 0;
    int64_t until_ms = now->wall_ms + (hold.until_mono_ms - now->mono_ms);
    clock_format(until_ms, until);
    *ret_why = arena_printf(arena, "waiting until %.19sZ, as %.*s asked with its answer %d", until, TEXT_ARG(url.host),
                            hold.code);
    return until_ms + spread_of(hold.asked_ms, random);
}

void holds_fini(struct holds *holds) {
    pthread_mutex_destroy(&holds->lock);
    mem_free(holds->items);
    *holds = (struct holds){0};
}
