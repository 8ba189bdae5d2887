/* Reading the headers by which upstreams ask to be left alone.
 *
 * There is one standard (Retry-After), a custom that everybody has in a variant of his own (X-RateLimit-…), and a draft
 * that has changed its form on the way (RateLimit). A header that cannot be read is one that is not there. */
#include "call/asked.h"

#include <string.h>

#include "call/http_date.h"

#define EPOCH_MIN 1000000000 /* more seconds than this are a moment, not a wait */

static int64_t bounded(int64_t wait_ms) {
    return wait_ms < 0 ? 0 : wait_ms > ASKED_MAX_MS ? ASKED_MAX_MS : wait_ms;
}

/* The upstream's own clock, where it tells. */
static int64_t now_of(const struct reply *reply, int64_t now_ms) {
    const char *date = reply_header(reply, "Date");
    int64_t told_ms;
    return date && http_date_parse(text_trim(text_of(date)), now_ms, &told_ms) ? told_ms : now_ms;
}

/* Digits alone; more than fit are many. */
static bool seconds_of(struct text t, int64_t *ret) {
    t = text_trim(t);
    if (t.len == 0) return false;
    for (size_t i = 0; i < t.len; i++)
        if (t.at[i] < '0' || t.at[i] > '9') return false;
    if (t.len > 12 || !text_to_int(t, ret)) *ret = INT64_MAX / 1000;
    return true;
}

static bool header_seconds(const struct reply *reply, const char *name, int64_t *ret) {
    const char *value = reply_header(reply, name);
    return value && seconds_of(text_of(value), ret);
}

/* Seconds, or a date; -1 where it is neither. */
static int64_t wait_of(struct text value, const struct reply *reply, int64_t now_ms) {
    int64_t seconds, date_ms;
    if (seconds_of(value, &seconds)) return bounded(seconds * 1000);
    if (!http_date_parse(text_trim(value), now_ms, &date_ms)) return -1;
    return bounded(date_ms - now_of(reply, now_ms));
}

static int64_t retry_after(const struct reply *reply, int64_t now_ms) {
    const char *value = reply_header(reply, "Retry-After");
    return value ? wait_of(text_of(value), reply, now_ms) : -1;
}

int64_t asked_value_ms(const struct json *value, const struct reply *reply, int64_t now_ms) {
    if (json_kind(value) == JSON_STRING) return wait_of(json_text(value), reply, now_ms);
    if (json_kind(value) != JSON_INT && json_kind(value) != JSON_REAL) return -1;
    double seconds = json_number(value);
    if (!(seconds >= 0)) return -1;
    return seconds < (double)(ASKED_MAX_MS / 1000) ? (int64_t)(seconds * 1000) : ASKED_MAX_MS;
}

struct limit {
    bool told, remainder_told;
    int64_t remaining, reset_ms; /* from now */
};

static struct limit x_rate_limit(const struct reply *reply, int64_t now_ms) {
    struct limit limit = {0};
    int64_t reset;
    limit.told = header_seconds(reply, "X-RateLimit-Reset", &reset);
    limit.remainder_told = header_seconds(reply, "X-RateLimit-Remaining", &limit.remaining);
    if (limit.told) limit.reset_ms = bounded(reset >= EPOCH_MIN ? reset * 1000 - now_of(reply, now_ms) : reset * 1000);
    return limit;
}

static struct limit rate_limit_pair(const struct reply *reply) {
    struct limit limit = {0};
    int64_t reset;
    limit.told = header_seconds(reply, "RateLimit-Reset", &reset);
    limit.remainder_told = header_seconds(reply, "RateLimit-Remaining", &limit.remaining);
    if (limit.told) limit.reset_ms = bounded(reset * 1000);
    return limit;
}

/* One policy of a list: its parts are divided by ; or, in the draft's earlier form, by commas. */
static struct limit rate_limit_item(struct text item) {
    struct limit limit = {0};
    struct text part, name;
    int64_t reset;
    while (item.len) {
        text_cut(&item, ';', &part);
        if (!memchr(part.at, '=', part.len)) continue;
        text_cut(&part, '=', &name);
        name = text_trim(name);
        if (text_is_nocase(name, "r") || text_is_nocase(name, "remaining"))
            limit.remainder_told = seconds_of(part, &limit.remaining);
        if ((text_is_nocase(name, "t") || text_is_nocase(name, "reset")) && seconds_of(part, &reset)) {
            limit.told = true;
            limit.reset_ms = bounded(reset * 1000);
        }
    }
    return limit;
}

static bool is_exhausted(const struct limit *limit) {
    return limit->told && limit->remainder_told && limit->remaining == 0;
}

/* Of several policies, the exhausted one that lasts longest; else any. */
static struct limit rate_limit(const struct reply *reply) {
    struct limit found = {0};
    const char *value = reply_header(reply, "RateLimit");
    struct text rest = text_of(value ? value : ""), item;
    if (text_holds(rest, "reset=")) { /* limit=100, remaining=0, reset=30 is one item */
        char *one = mem_strdup(value);
        for (char *c = one; *c; c++)
            if (*c == ',') *c = ';';
        found = rate_limit_item(text_of(one));
        mem_free(one);
        return found;
    }
    while (rest.len) {
        text_cut(&rest, ',', &item);
        struct limit limit = rate_limit_item(item);
        bool worse = is_exhausted(&limit) && (!is_exhausted(&found) || limit.reset_ms > found.reset_ms);
        if (limit.told && (!found.told || worse)) found = limit;
    }
    return found;
}

/* All that is looked for here begins with one of two letters, and most replies have no header that does. */
static bool may_ask(const struct reply *reply) {
    for (size_t i = 0; i < reply->header_count; i++) {
        int first = reply->headers[i].name[0] | 0x20;
        if (first == 'r' || first == 'x') return true;
    }
    return false;
}

/* -1: no limit is reached. */
static int64_t limit_wait(const struct reply *reply, int64_t now_ms) {
    const struct limit limits[] = {x_rate_limit(reply, now_ms), rate_limit(reply), rate_limit_pair(reply)};
    for (size_t i = 0; i < 3; i++)
        if (is_exhausted(&limits[i])) return limits[i].reset_ms;
    for (size_t i = 0; i < 3 && reply->code == 429; i++)
        if (limits[i].told && !limits[i].remainder_told) return limits[i].reset_ms;
    return -1;
}

int64_t asked_wait_ms(const struct reply *reply, int64_t now_ms) {
    if (reply->phase != REPLY_ANSWERED || !may_ask(reply)) return -1;
    int64_t wait_ms = retry_after(reply, now_ms);
    return wait_ms >= 0 ? wait_ms : limit_wait(reply, now_ms);
}

bool asked_is_limited(const struct reply *reply) {
    if (reply->phase != REPLY_ANSWERED) return false;
    return reply->code == 429 || (reply->code == 403 && asked_wait_ms(reply, 0) >= 0);
}

int64_t asked_hold_ms(const struct reply *reply, int64_t now_ms) {
    if (reply->phase != REPLY_ANSWERED || !may_ask(reply)) return -1;
    if (reply->code == 429 || reply->code == 403 || reply->code == 503) return asked_wait_ms(reply, now_ms);
    return limit_wait(reply, now_ms);
}
