/* Credentials in a file of orca: what looks like one is lifted out, and the definition only names it.
 *
 * What looks like one is told by its name (a header, an argument of a URL, a member of a JSON text), never by its
 * value. The same value has one secret, whatever entries have it. Values stay in struct import_secret and go nowhere
 * else. */
#include <string.h>
#include <strings.h>

#include "orca/import_job.h"

#define NAME_MAX_BYTES 60

/* "X-Api-Key", "api_key" and "apiKey" alike: "xapikey", "apikey" */
static void squeeze(struct text name, char room[64]) {
    size_t len = 0;
    for (size_t i = 0; i < name.len && len < 63; i++) {
        char c = name.at[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c + 'a' - 'A');
        if (c != '-' && c != '_' && c != '.') room[len++] = c;
    }
    room[len] = 0;
}

static bool ends_with(const char *s, const char *end) {
    size_t a = strlen(s), b = strlen(end);
    return a >= b && strcmp(s + a - b, end) == 0;
}

bool import_secret_name(struct text name, enum import_place place) {
    static const char *const parts[] = {"token",      "secret",     "password",  "passwd",    "apikey",
                                        "credential", "privatekey", "accesskey", "passphrase"};
    static const char *const not [] = {"type", "name", "url", "idempotencykey", "expires", "ttl", "endpoint", "count"};
    static const char *const headers[] = {"authorization", "proxyauthorization", "cookie"};
    static const char *const arguments[] = {"key", "sig", "signature", "auth", "pwd", "pass", "code"};
    char word[64];
    squeeze(name, word);
    for (size_t i = 0; i < sizeof not / sizeof *not ; i++)
        if (ends_with(word, not [i])) return false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(word, parts[i])) return true;
    for (size_t i = 0; place == IMPORT_HEADER && i < sizeof headers / sizeof *headers; i++)
        if (strcmp(word, headers[i]) == 0) return true;
    for (size_t i = 0; (place == IMPORT_URL || place == IMPORT_FORM) && i < sizeof arguments / sizeof *arguments; i++)
        if (strcmp(word, arguments[i]) == 0) return true;
    return place == IMPORT_HEADER &&
           (ends_with(word, "applicationkey") || ends_with(word, "authkey") || ends_with(word, "auth"));
}

static bool name_is_taken(const struct import_job *job, const char *name) {
    const struct import_secret *all = (const struct import_secret *)(const void *)job->secrets.at;
    for (size_t i = 0; i < job->secrets.len / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) return true;
    return false;
}

static const char *make_name(struct import_work *w, const char *of) {
    struct buf name;
    buf_init(&name, 1000);
    buf_addf(&name, "%s_%s", w->secret_prefix, of);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        if (c >= 'A' && c <= 'Z') name.at[i] = (char)(c + 'a' - 'A');
        else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) name.at[i] = '_';
    }
    size_t len = name.len > NAME_MAX_BYTES ? NAME_MAX_BYTES : name.len;
    const char *base = arena_strndup(w->arena, buf_cstr(&name), len), *free_name = base;
    buf_fini(&name);
    for (int i = 2; name_is_taken(w->job, free_name); i++) free_name = arena_printf(w->arena, "%s_%d", base, i);
    return free_name;
}

const char *import_secret(struct import_work *w, const char *value, const char *source, const char *of, int line) {
    const struct import_secret *all = (const struct import_secret *)(const void *)w->job->secrets.at;
    w->names_secret = true;
    for (size_t i = 0; i < w->job->secrets.len / sizeof *all; i++)
        if (text_same_cstr(all[i].value, value) && text_same_cstr(all[i].source, source)) return all[i].name;
    struct import_secret secret = {.name = make_name(w, of),
                                   .value = arena_strdup(w->arena, value),
                                   .source = arena_strdup(w->arena, source),
                                   .from = arena_printf(w->arena, "%s of %s", of, w->type),
                                   .line = line + w->line_offset};
    buf_add(&w->job->secrets, &secret, sizeof secret);
    if (w->job->secrets.full)
        import_say(w, IMPORT_UNSETTLED, line, "there are more secrets than %d", IMPORT_SECRETS_MAX);
    return secret.name;
}

/* ---- where they stand ---- */

/* The path of a URL that is a credential as a whole. */
static bool find_hook(struct text literal, size_t from, struct text *ret_name, size_t *ret_start, size_t *ret_end) {
    static const char *const hooks[] = {
        "://hooks.slack.com/services/",   "://hooks.slack.com/workflows/",   "://hooks.slack.com/triggers/",
        "://discord.com/api/webhooks/",   "://discordapp.com/api/webhooks/", ".webhook.office.com/webhookb2/",
        "://outlook.office.com/webhook/", "://api.telegram.org/bot",         "://hooks.zapier.com/hooks/catch/"};
    for (size_t i = 0; from == 0 && i < sizeof hooks / sizeof *hooks; i++) {
        const char *at = literal.len ? memmem(literal.at, literal.len, hooks[i], strlen(hooks[i])) : NULL;
        if (!at) continue;
        *ret_name = TEXT("hook");
        *ret_start = (size_t)(at - literal.at) + strlen(hooks[i]);
        *ret_end = literal.len;
        for (size_t j = *ret_start; j < literal.len; j++)
            if (literal.at[j] == '?' || literal.at[j] == '#') {
                *ret_end = j;
                break;
            }
        return *ret_end > *ret_start;
    }
    return false;
}

/* name=value of a query; a value that an expression continues is left alone. */
static bool find_argument(struct text literal, size_t from, bool ends, struct text *ret_name, size_t *ret_start,
                          size_t *ret_end) {
    for (size_t i = from; i < literal.len; i++) {
        if (literal.at[i] != '?' && literal.at[i] != '&') continue;
        size_t start = i + 1, equals = start;
        while (equals < literal.len && !strchr("=&#", literal.at[equals])) equals++;
        if (equals >= literal.len || literal.at[equals] != '=') continue;
        size_t end = equals + 1;
        while (end < literal.len && !strchr("&#", literal.at[end])) end++;
        *ret_name = (struct text){literal.at + start, equals - start};
        *ret_start = equals + 1;
        *ret_end = end;
        bool whole = end < literal.len || ends;
        if (whole && end > *ret_start && import_secret_name(*ret_name, IMPORT_URL)) return true;
    }
    return false;
}

static size_t string_end(struct text literal, size_t from) {
    for (size_t i = from; i < literal.len; i++) {
        if (literal.at[i] == '\\') i++;
        else if (literal.at[i] == '"') return i;
    }
    return SIZE_MAX;
}

/* "name": "value" */
static bool find_member(struct text literal, size_t from, struct text *ret_name, size_t *ret_start, size_t *ret_end) {
    for (size_t i = from; i < literal.len; i++) {
        if (literal.at[i] != '"') continue;
        size_t close = string_end(literal, i + 1), at = close;
        if (close == SIZE_MAX) continue;
        for (at++; at < literal.len && strchr(" \t\r\n", literal.at[at]);) at++;
        if (at >= literal.len || literal.at[at] != ':') continue;
        for (at++; at < literal.len && strchr(" \t\r\n", literal.at[at]);) at++;
        if (at >= literal.len || literal.at[at] != '"') continue;
        *ret_name = (struct text){literal.at + i + 1, close - i - 1};
        *ret_start = at + 1;
        *ret_end = string_end(literal, at + 1);
        if (*ret_end != SIZE_MAX && *ret_end > *ret_start && import_secret_name(*ret_name, IMPORT_JSON)) return true;
    }
    return false;
}

bool import_secret_find(struct text literal, size_t from, enum import_place place, bool ends, struct text *ret_name,
                        size_t *ret_start, size_t *ret_end) {
    if (place == IMPORT_JSON) return find_member(literal, from, ret_name, ret_start, ret_end);
    if (place != IMPORT_URL) return false;
    return (ends && find_hook(literal, from, ret_name, ret_start, ret_end)) ||
           find_argument(literal, from, ends, ret_name, ret_start, ret_end);
}
