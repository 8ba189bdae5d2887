/* Reads limits, one setting at a time, by a table.
 *
 * Definitions and options write them as groups, flags and variables as words (`rate=10/s`); both come down to a name
 * and a text, so that a range is checked in one place. Called by config/settings for upstream hosts, and by
 * stage/compile_limits for stages. */
#include "config/limits.h"

#include <string.h>

#include "lang/units.h"
#include "lang/url.h"

enum kind { COUNT, RATE, DURATION, RATIO };

static const struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *low, *high;
} rows[] = {
    {"concurrency", COUNT, offsetof(struct limits, concurrency), "1", "1000000"},
    {"rate", RATE, offsetof(struct limits, per_second), "", ""},
    {"gap", DURATION, offsetof(struct limits, gap_ms), "1ms", "1h"},
    {"queue", COUNT, offsetof(struct limits, queue), "0", "1000000"},
    {"breaker.window", DURATION, offsetof(struct limits, breaker.window_ms), "1s", "1h"},
    {"breaker.ratio", RATIO, offsetof(struct limits, breaker.ratio), "0.01", "1"},
    {"breaker.minimum", COUNT, offsetof(struct limits, breaker.minimum), "1", "1000000"},
    {"breaker.pause", DURATION, offsetof(struct limits, breaker.pause_ms), "100ms", "1h"},
};
#define ROWS (sizeof rows / sizeof *rows)

void limits_init(struct limits *limits) {
    *limits = (struct limits){.queue = -1};
}

static bool same_number(double a, double b) {
    return !(a < b) && !(a > b);
}

bool limits_same(const struct limits *a, const struct limits *b) {
    const struct limits_breaker *x = &a->breaker, *y = &b->breaker;
    return a->concurrency == b->concurrency && same_number(a->per_second, b->per_second) && a->gap_ms == b->gap_ms &&
           a->queue == b->queue && x->window_ms == y->window_ms && x->pause_ms == y->pause_ms &&
           x->minimum == y->minimum && same_number(x->ratio, y->ratio);
}

/* ---- values ---- */

static bool number_parse(enum kind kind, struct text t, int64_t *ret, struct fault *fault) {
    if (kind == DURATION) return duration_parse(t, ret, fault);
    return text_to_int(t, ret) || fault_set(fault, FAULT_INVALID, NULL, "\"%.*s\" is not a whole number", TEXT_ARG(t));
}

static bool out_of_range(const struct row *row, struct text t, struct fault *fault) {
    return fault_set(fault, FAULT_INVALID, NULL, "%s: %.*s is out of range: %s to %s are possible", row->name,
                     TEXT_ARG(t), row->low, row->high);
}

static bool set_number(const struct row *row, struct text t, int64_t *to, struct fault *fault) {
    int64_t value, low, high;
    struct fault why;
    if (!number_parse(row->kind, t, &value, &why))
        return fault_set(fault, FAULT_INVALID, NULL, "%s: %s", row->name, why.what);
    number_parse(row->kind, text_of(row->low), &low, NULL);
    number_parse(row->kind, text_of(row->high), &high, NULL);
    if (value < low || value > high) return out_of_range(row, t, fault);
    *to = value;
    return true;
}

static bool set_rate(const struct row *row, struct text t, double *to, struct fault *fault) {
    struct fault why;
    if (rate_parse(t, to, &why)) return true;
    return fault_set(fault, FAULT_INVALID, NULL, "%s: %s", row->name, why.what);
}

/* A plain decimal: digits, and perhaps a point with digits behind it. */
static bool decimal_parse(struct text t, double *ret) {
    double value = 0, place = 1;
    size_t i = 0, digits = 0;
    for (; i < t.len && t.at[i] >= '0' && t.at[i] <= '9'; i++, digits++) value = value * 10 + (t.at[i] - '0');
    if (i < t.len && t.at[i] == '.')
        for (i++; i < t.len && t.at[i] >= '0' && t.at[i] <= '9'; i++, digits++)
            place /= 10, value += place * (t.at[i] - '0');
    *ret = value;
    return digits > 0 && digits < 18 && i == t.len;
}

static bool set_ratio(const struct row *row, struct text t, double *to, struct fault *fault) {
    double value;
    if (!decimal_parse(t, &value))
        return fault_set(fault, FAULT_INVALID, NULL, "%s: \"%.*s\" is not a number such as 0.5", row->name,
                         TEXT_ARG(t));
    if (value < 0.01 || value > 1) return out_of_range(row, t, fault);
    *to = value;
    return true;
}

/* Whoever wants a breaker and says no more gets this one. */
static void want_breaker(struct limits *limits) {
    if (!limits->breaker.window_ms)
        limits->breaker = (struct limits_breaker){
            .window_ms = 60 * 1000, .pause_ms = 30 * 1000, .minimum = 10, .ratio = 0.5};
}

static const struct row *row_find(struct text name) {
    for (size_t i = 0; i < ROWS; i++)
        if (text_is(name, rows[i].name)) return &rows[i];
    return NULL;
}

bool limits_set(struct limits *limits, struct text name, struct text value, struct fault *fault) {
    const struct row *row = row_find(name);
    if (text_starts(name, "breaker") && (row || text_is(name, "breaker"))) want_breaker(limits);
    if (text_is(name, "breaker")) return true;
    if (!row) {
        const char *names[ROWS];
        for (size_t i = 0; i < ROWS; i++) names[i] = rows[i].name;
        char wanted[64] = "";
        memcpy(wanted, name.at, name.len < sizeof wanted ? name.len : sizeof wanted - 1);
        const char *near = text_nearest(wanted, names, ROWS);
        return fault_set(fault, FAULT_UNDEFINED, NULL, "unknown setting \"%.*s\"%s%s%s", TEXT_ARG(name),
                         near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    char *to = (char *)limits + row->offset;
    switch (row->kind) {
    case RATE: return set_rate(row, value, (double *)(void *)to, fault);
    case RATIO: return set_ratio(row, value, (double *)(void *)to, fault);
    default: return set_number(row, value, (int64_t *)(void *)to, fault);
    }
}

const char *limits_text(struct arena *arena, const struct conf *value) {
    switch (value->kind) {
    case CONF_STRING: return value->string.at;
    case CONF_INT: return arena_printf(arena, "%lld", (long long)value->integer);
    case CONF_REAL: return arena_printf(arena, "%.15g", value->real);
    default: return NULL;
    }
}

/* ---- upstream hosts ---- */

static bool stands_in_url(struct arena *arena, const char *host) {
    struct url url;
    return url_parse(text_of(arena_printf(arena, "http://%s/", host)), &url, NULL);
}

/* "host", "host:port", "[::1]:8443"; what a URL may have between // and /. */
static bool take_host(struct arena *arena, struct text t, const char **ret, struct fault *fault) {
    char *host = arena_strndup(arena, t.at, t.len);
    bool good = t.len > 0 && t.len <= 255 && stands_in_url(arena, host);
    for (char *s = host; *s; s++) {
        if (*s >= 'A' && *s <= 'Z') *s = (char)(*s + 'a' - 'A');
        good = good && ((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || strchr("-._:[]", *s));
    }
    *ret = host;
    return good || fault_set(fault, FAULT_INVALID, NULL,
                             "\"%s\" is not a host such as \"api.github.com\" or \"ci:8443\"", host);
}

static bool limits_something(const struct limits *limits, struct fault *fault) {
    struct limits none;
    limits_init(&none);
    return !limits_same(limits, &none) ||
           fault_set(fault, FAULT_INVALID, NULL, "nothing is limited: say concurrency, rate, gap or breaker");
}

bool limits_upstream_parse(struct arena *arena, struct text t, struct limits_upstream *ret, struct fault *fault) {
    struct text rest = text_trim(t), word, name;
    limits_init(&ret->limits);
    text_cut(&rest, ' ', &word);
    if (!take_host(arena, word, &ret->host, fault)) return false;
    while (text_cut(&rest, ' ', &word)) {
        if (word.len == 0) continue;
        struct text value = word;
        text_cut(&value, '=', &name);
        if (!value.at && !text_is(name, "breaker"))
            return fault_set(fault, FAULT_INVALID, NULL, "\"%.*s\": write name=value, as in rate=10/s", TEXT_ARG(word));
        if (text_is(name, "queue"))
            return fault_set(fault, FAULT_INVALID, NULL,
                             "queue is for a stage: what waits for a host is held, not refused");
        if (!limits_set(&ret->limits, name, value.at ? value : TEXT(""), fault)) return false;
    }
    return limits_something(&ret->limits, fault);
}

static bool read_setting(struct arena *arena, const struct conf *at, const char *prefix, struct limits *to,
                         struct fault *fault) {
    const char *name = arena_printf(arena, "%s%s", prefix, at->name), *value = limits_text(arena, at);
    if (strcmp(name, "queue") == 0)
        return fault_set(fault, FAULT_INVALID, NULL,
                         "queue is for a stage: what waits for a host is held, not refused");
    if (!value || strcmp(name, "breaker") == 0)
        return fault_set(fault, FAULT_INVALID, NULL, "%s cannot be %s", name, conf_shown(arena, at));
    return limits_set(to, text_of(name), text_of(value), fault);
}

static bool read_breaker(struct arena *arena, const struct conf *group, struct limits *to, const struct conf **ret_at,
                         struct fault *fault) {
    if (!limits_set(to, TEXT("breaker"), TEXT(""), fault)) return false;
    for (size_t i = 0; i < group->count; i++) {
        *ret_at = &group->items[i];
        if (!read_setting(arena, *ret_at, "breaker.", to, fault)) return false;
    }
    return true;
}

bool limits_upstream_read(struct arena *arena, const struct conf *group, struct limits_upstream *ret,
                          const struct conf **ret_at, struct fault *fault) {
    const struct conf *host = conf_find(group, "host");
    limits_init(&ret->limits);
    *ret_at = host ? host : group;
    if (!host || host->kind != CONF_STRING)
        return fault_set(fault, FAULT_INVALID, NULL, "an upstream needs a host: host = \"…\"");
    if (!take_host(arena, host->string, &ret->host, fault)) return false;
    for (size_t i = 0; i < group->count; i++) {
        const struct conf *at = *ret_at = &group->items[i];
        if (at == host) continue;
        bool breaker = at->kind == CONF_GROUP && strcmp(at->name, "breaker") == 0;
        if (breaker ? !read_breaker(arena, at, &ret->limits, ret_at, fault)
                    : !read_setting(arena, at, "", &ret->limits, fault))
            return false;
    }
    *ret_at = group;
    return limits_something(&ret->limits, fault);
}
