/* Tokens of callbacks, made and read; and a callback's message, verified and read.
 *
 * What a callback does to its run is run/run's; how the question travels to the loop that owns the run is run/ask's.
 * Here is no state. A token is recognised by its prefix wherever it appears, so that masking needs no list of those
 * that were given out. */
#include "run/callback.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "back/secrets.h"
#include "base/digest.h"
#include "call/signature.h"
#include "run/id.h"

#define ID_LEN (STORE_ID_SIZE - 1)
#define PREFIX_LEN (sizeof CALLBACK_PREFIX - 1)
#define SECRET_SHORTEST 3 /* bytes behind it that are masked */
#define SUM_LEN 64
#define STEP_LEN_MAX 2
#define SECRET_MAX 65536
_Static_assert(CALLBACK_TOKEN_SIZE > PREFIX_LEN + ID_LEN + STEP_LEN_MAX + SUM_LEN + 2, "a token fits");
_Static_assert(STAGE_STEPS_MAX <= 100, "a step's index has two digits at most");

/* ---- tokens ---- */

static void sign(const char *key, struct text signed_part, char out[SUM_LEN + 1]) {
    unsigned char sum[32];
    struct buf hex;
    digest_hmac_sha256(text_of(key), signed_part, sum);
    buf_init(&hex, SUM_LEN);
    buf_add_hex(&hex, sum, sizeof sum);
    memcpy(out, buf_cstr(&hex), SUM_LEN + 1);
    buf_fini(&hex);
}

void callback_token(const char *key, const char *id, size_t step, char out[CALLBACK_TOKEN_SIZE]) {
    int n = snprintf(out, CALLBACK_TOKEN_SIZE, CALLBACK_PREFIX "%s-%u", id, (unsigned)step);
    char sum[SUM_LEN + 1];
    sign(key, (struct text){out, (size_t)n}, sum);
    snprintf(out + n, CALLBACK_TOKEN_SIZE - (size_t)n, "-%s", sum);
}

bool callback_token_read(const char *key, struct text token, struct callback_place *ret_place) {
    const size_t least = PREFIX_LEN + ID_LEN + 1 + 1 + 1 + SUM_LEN;
    if (token.len < least || token.len > least + STEP_LEN_MAX - 1 || !text_starts(token, CALLBACK_PREFIX)) return false;
    struct text id = {token.at + PREFIX_LEN, ID_LEN};
    struct text step = {id.at + ID_LEN + 1, token.len - least + 1};
    int64_t number;
    if (!id_check(id) || id.at[ID_LEN] != '-' || !text_to_int(step, &number) || number < 0) return false;
    memcpy(ret_place->id, id.at, ID_LEN);
    ret_place->id[ID_LEN] = 0;
    ret_place->step = (size_t)number;
    char wanted[CALLBACK_TOKEN_SIZE]; /* made anew, so that there is one spelling of a token */
    callback_token(key, ret_place->id, ret_place->step, wanted);
    return strlen(wanted) == token.len && digest_same(wanted, token.at, token.len);
}

const struct json *callback_root(struct arena *arena, const struct run *run, const char *key, const char *base_url) {
    size_t step = run->stage->steps[run->step].callback_step;
    if (step >= run->step_count || !key || !base_url || !base_url[0]) return NULL;
    char token[CALLBACK_TOKEN_SIZE];
    callback_token(key, run->id, step, token);
    struct json *root = json_new_object(arena);
    json_set(root, "url", json_new_string(arena, arena_printf(arena, "%s/callbacks/%s", base_url, token)));
    return root;
}

/* ---- messages ---- */

/* The secret may name secrets and parameters; nothing that comes later than they do. */
static const char *secret_of(const struct run *run, struct arena *arena, const struct template *secret, int64_t now_ms,
                             struct fault *fault) {
    const struct json *roots[RUN_ROOTS_MAX];
    struct secrets *secrets = secrets_ref();
    struct buf text;
    run_roots(run, arena, now_ms, NULL, roots);
    roots[ROOT_SECRET] = secrets_json(secrets);
    buf_init(&text, SECRET_MAX);
    bool good = template_render(secret, roots, &text, fault);
    const char *made = good ? arena_strdup(arena, buf_cstr(&text)) : NULL;
    if (!good && fault) fault->kind = FAULT_INTERNAL; /* the sender can do nothing about it */
    buf_fini(&text);
    secrets_unref(secrets);
    return made;
}

bool callback_verify(const struct run *run, size_t step, const struct reply *message, int64_t now_ms,
                     struct fault *fault) {
    const struct stage_callback *callback = run->stage->steps[step].callback;
    if (callback->verify == VERIFY_NONE) return true;
    struct arena *arena = arena_new();
    const char *secret = secret_of(run, arena, callback->secret, now_ms, fault);
    bool good = secret && signature_check(callback->verify, text_of(secret), message, now_ms, fault);
    arena_free(arena);
    return good;
}

static bool is_credential(struct text name) {
    static const char *const credentials[] = {"authorization", "cookie", "proxy-authorization"};
    for (size_t i = 0; i < sizeof credentials / sizeof *credentials; i++)
        if (text_is(name, credentials[i])) return true;
    return false;
}

static const struct json *without_credentials(struct arena *arena, const struct json *value) {
    struct json *made = json_new_object(arena), *headers = json_new_object(arena);
    const struct json *all = json_gets(value, "headers");
    for (struct json_member m = json_first(all); m.name.at; m = json_next(all, m))
        if (!is_credential(m.name)) json_set_text(headers, m.name, m.value);
    json_set(made, "body", json_gets(value, "body"));
    json_set(made, "headers", headers);
    json_set(made, "code", json_gets(value, "code"));
    return made;
}

/* What the sender calls this message: the same for each of its tries. */
static const char *name_of(const struct reply *message) {
    const char *name = reply_header(message, "webhook-id");
    return name ? name : reply_header(message, "X-GitHub-Delivery");
}

void callback_read(struct arena *arena, size_t step, const struct reply *message, struct run_callback *ret_callback) {
    char digest[65];
    const char *name = name_of(message);
    digest_sha256_hex(name ? text_of(name) : message->body, digest);
    digest[INBOX_MARK_SIZE - 1] = 0;
    *ret_callback = (struct run_callback){
        .step = step,
        .named = name != NULL,
        .message = {without_credentials(arena, reply_value(arena, message)), message->body.len}};
    memcpy(ret_callback->mark, digest, INBOX_MARK_SIZE);
}

/* ---- masking ---- */

static bool is_token_part(char c) {
    return isalnum((unsigned char)c) || c == '-';
}

/* Looked for by its last letter, which is the rarest; memmem takes longer for texts as short as most are. */
static const char *find_prefix(const char *at, const char *end) {
    const size_t last = PREFIX_LEN - 1;
    if ((size_t)(end - at) < PREFIX_LEN) return NULL;
    for (at += last; (at = memchr(at, CALLBACK_PREFIX[last], (size_t)(end - at))); at++)
        if (memcmp(at - last, CALLBACK_PREFIX, last) == 0) return at - last;
    return NULL;
}

/* What stands behind the next prefix, if it is long enough to be a token: so masking never makes a text longer. */
static const char *find_secret(const char *at, const char *end, const char **ret_end) {
    while ((at = find_prefix(at, end))) {
        const char *secret = at + PREFIX_LEN;
        for (at = secret; at < end && is_token_part(*at);) at++;
        *ret_end = at;
        if (at - secret >= SECRET_SHORTEST) return secret;
    }
    return NULL;
}

bool callback_mask_text(struct text t, struct buf *ret_masked) {
    const char *at = t.at, *end = t.at + t.len, *secret, *rest;
    if (t.len < PREFIX_LEN + SECRET_SHORTEST) return false;
    while (at && (secret = find_secret(at, end, &rest))) {
        buf_add(ret_masked, at, (size_t)(secret - at));
        buf_adds(ret_masked, "***");
        at = rest;
    }
    if (at == t.at) return false;
    buf_add(ret_masked, at, (size_t)(end - at));
    return true;
}

void callback_mask(struct buf *line) {
    struct buf masked;
    buf_init(&masked, line->max);
    if (!callback_mask_text(buf_text(line), &masked)) {
        buf_fini(&masked);
        return;
    }
    buf_fini(line);
    *line = masked;
}
