/* A value of an option, from text to its member of struct settings.
 *
 * Whatever place it was put in, a value comes as text; one of stagedoor.conf has a type as well, which has to be fit.
 * What is wrong with it is told with the option's name, and leaves the member as it was. */
#include "config/settings_inside.h"

#include <string.h>

#include "lang/units.h"

void settings_value_refuse(struct settings_reading *l, enum fault_kind kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *what = arena_vprintf(l->arena, format, args);
    va_end(args);
    faults_addf(l->faults, kind, l->where, "%s", what);
    l->bad = true;
}

/* ---- values from text ---- */

static bool number_parse(enum settings_kind kind, struct text t, int64_t *ret_value, struct fault *fault) {
    if (kind == SETTINGS_KIND_DURATION) return duration_parse(t, ret_value, fault);
    if (kind == SETTINGS_KIND_SIZE) return size_parse(t, ret_value, fault);
    if (text_to_int(t, ret_value)) return true;
    return fault_set(fault, FAULT_INVALID, NULL, "\"%.*s\" is not a whole number", TEXT_ARG(t));
}

static void take_number(struct settings_reading *l, size_t row, struct text t, int64_t *to) {
    struct fault fault;
    int64_t value, low, high;
    if (!number_parse(settings_members[row].kind, t, &value, &fault)) {
        settings_value_refuse(l, FAULT_INVALID, "%s: %s", settings_rows[row].name, fault.what);
        return;
    }
    struct text allowed = text_of(settings_rows[row].allowed);
    const char *dots = strstr(settings_rows[row].allowed, "..");
    struct text first = {allowed.at, (size_t)(dots - allowed.at)};
    number_parse(settings_members[row].kind, first, &low, NULL);
    number_parse(settings_members[row].kind, text_of(dots + 2), &high, NULL);
    if (value < low || value > high)
        settings_value_refuse(l, FAULT_INVALID, "%s: %.*s is out of range: %.*s to %s are possible",
                              settings_rows[row].name, TEXT_ARG(t), TEXT_ARG(first), dots + 2);
    else *to = value;
}

static void take_bool(struct settings_reading *l, size_t row, struct text t, bool *to) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!text_is_nocase(t, words[i])) continue;
        *to = i % 2 == 1;
        return;
    }
    settings_value_refuse(l, FAULT_INVALID, "%s: \"%.*s\" is neither true nor false", settings_rows[row].name,
                          TEXT_ARG(t));
}

static void take_choice(struct settings_reading *l, size_t row, struct text t, const char **to) {
    struct text rest = text_of(settings_rows[row].allowed), word;
    const char *choices[8];
    size_t count = 0;
    while (count < 8 && text_cut(&rest, '|', &word)) choices[count++] = arena_strndup(l->arena, word.at, word.len);
    for (size_t i = 0; i < count; i++) {
        if (!text_is(t, choices[i])) continue;
        *to = choices[i];
        return;
    }
    const char *near = text_nearest(arena_strndup(l->arena, t.at, t.len), choices, count);
    settings_value_refuse(l, FAULT_INVALID, "%s: \"%.*s\" is not one of %s%s%s%s", settings_rows[row].name, TEXT_ARG(t),
                          settings_rows[row].allowed, near ? "; did you mean \"" : "", near ? near : "",
                          near ? "\"?" : "");
}

static const char *path_taken(struct settings_reading *l, const char *path) {
    if (!path[0] || strcmp(path, "-") == 0) return path;
    return conf_path_beside(l->arena, l->beside, path);
}

static const char *store_taken(struct settings_reading *l, const char *store) {
    if (strncmp(store, "sqlite:", 7) == 0 && store[7] && strcmp(store + 7, ":memory:") != 0)
        return arena_printf(l->arena, "sqlite:%s", conf_path_beside(l->arena, l->beside, store + 7));
    if (strncmp(store, "postgres", 8) == 0)
        settings_value_refuse(l, FAULT_UNSUPPORTED,
                              "store: PostgreSQL is not supported by this version; write \"sqlite:PATH\"");
    else settings_value_refuse(l, FAULT_INVALID, "store: \"%s\" is not of the form sqlite:PATH", store);
    return store;
}

static void take_list(struct settings_reading *l, size_t row, const struct text *items, size_t count) {
    const char **list = arena_array_of(l->arena, const char *, count);
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        struct text item = text_trim(items[i]);
        if (item.len) list[taken++] = arena_strndup(l->arena, item.at, item.len);
        else settings_value_refuse(l, FAULT_INVALID, "%s: one of the values is empty", settings_rows[row].name);
    }
    if (!taken && !l->bad)
        settings_value_refuse(l, FAULT_INVALID, "%s needs at least one value", settings_rows[row].name);
    struct settings_list *to = (void *)((char *)l->settings + settings_members[row].offset);
    if (!l->bad) *to = (struct settings_list){list, taken};
}

static void take_commas(struct settings_reading *l, size_t row, struct text t) {
    struct text items[64], rest = t;
    size_t count = 0;
    while (count < 64 && text_cut(&rest, ',', &items[count])) count++;
    if (rest.at) settings_value_refuse(l, FAULT_TOO_LARGE, "%s: more than 64 values", settings_rows[row].name);
    else take_list(l, row, items, count);
}

/* ---- upstream hosts ---- */

static void refuse_upstream(struct settings_reading *l, size_t row, const struct fault *fault) {
    settings_value_refuse(l, fault->kind, "%s: %s", settings_rows[row].name, fault->what);
}

static void check_twice(struct settings_reading *l, size_t row, const struct limits_upstream *items, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(items[i].host, items[j].host) == 0) {
                settings_value_refuse(l, FAULT_INVALID, "%s: %s is there twice", settings_rows[row].name,
                                      items[i].host);
                return;
            }
}

static void put_upstreams(struct settings_reading *l, size_t row, const struct limits_upstream *items, size_t count) {
    struct settings_upstreams *to = (void *)((char *)l->settings + settings_members[row].offset);
    if (!l->bad) check_twice(l, row, items, count);
    if (!l->bad) *to = (struct settings_upstreams){items, count};
}

#define UPSTREAMS_MAX 256

/* One after the other, with commas between. */
static void take_upstreams(struct settings_reading *l, size_t row, struct text t) {
    struct text rest = text_trim(t), item;
    struct limits_upstream *items = arena_array_of(l->arena, struct limits_upstream, UPSTREAMS_MAX);
    size_t count = 0;
    struct fault fault;
    while (rest.len && text_cut(&rest, ',', &item)) {
        if (count == UPSTREAMS_MAX) {
            settings_value_refuse(l, FAULT_TOO_LARGE, "%s: more than %d hosts", settings_rows[row].name, UPSTREAMS_MAX);
            return;
        }
        if (!limits_upstream_parse(l->arena, item, &items[count++], &fault)) {
            refuse_upstream(l, row, &fault);
            return;
        }
    }
    put_upstreams(l, row, items, count);
}

static void take_conf_upstreams(struct settings_reading *l, size_t row, const struct conf *conf) {
    struct limits_upstream *items = arena_array_of(l->arena, struct limits_upstream, conf->count);
    for (size_t i = 0; i < conf->count; i++) {
        const struct conf *at = &conf->items[i];
        struct fault fault;
        if (at->kind != CONF_GROUP)
            fault_set(&fault, FAULT_INVALID, NULL, "holds groups { host = \"…\"; … }, and here is %s",
                      conf_shown(l->arena, at));
        else if (limits_upstream_read(l->arena, at, &items[i], &at, &fault)) continue;
        l->where = conf_where(l->arena, at);
        refuse_upstream(l, row, &fault);
    }
    put_upstreams(l, row, items, conf->count);
}

/* Everything but lists from one piece of text. */
void settings_value_take(struct settings_reading *l, size_t row, struct text t) {
    char *to = (char *)l->settings + settings_members[row].offset;
    const char *s = arena_strndup(l->arena, t.at, t.len);
    l->bad = false;
    if (!text_utf8_check(t) || memchr(s, 0, t.len)) {
        settings_value_refuse(l, FAULT_INVALID, "%s: the value is not UTF-8 text", settings_rows[row].name);
        return;
    }
    switch (settings_members[row].kind) {
    case SETTINGS_KIND_LIST: take_commas(l, row, t); break;
    case SETTINGS_KIND_STRING: *(const char **)(void *)to = s; break;
    case SETTINGS_KIND_PATH: *(const char **)(void *)to = path_taken(l, s); break;
    case SETTINGS_KIND_STORE: *(const char **)(void *)to = store_taken(l, s); break;
    case SETTINGS_KIND_BOOL: take_bool(l, row, t, (bool *)to); break;
    case SETTINGS_KIND_INTEGER:
    case SETTINGS_KIND_DURATION:
    case SETTINGS_KIND_SIZE: take_number(l, row, t, (int64_t *)(void *)to); break;
    case SETTINGS_KIND_CHOICE: take_choice(l, row, t, (const char **)(void *)to); break;
    case SETTINGS_KIND_UPSTREAMS: take_upstreams(l, row, t); break;
    }
}

/* ---- values of stagedoor.conf ---- */

static void take_conf_list(struct settings_reading *l, size_t row, const struct conf *conf) {
    struct text *items = arena_array_of(l->arena, struct text, conf->count);
    l->bad = false;
    for (size_t i = 0; i < conf->count; i++) {
        if (conf->items[i].kind != CONF_STRING) {
            l->where = conf_where(l->arena, &conf->items[i]);
            settings_value_refuse(l, FAULT_INVALID, "%s holds strings, and here is %s", settings_rows[row].name,
                                  conf_shown(l->arena, &conf->items[i]));
            return;
        }
        items[i] = conf->items[i].string;
    }
    take_list(l, row, items, conf->count);
}

static const char *expected_form(enum settings_kind kind) {
    switch (kind) {
    case SETTINGS_KIND_LIST: return "a list of strings: [ \"…\", \"…\" ]";
    case SETTINGS_KIND_UPSTREAMS: return "a list of groups: ( { host = \"…\"; … }, … )";
    case SETTINGS_KIND_BOOL: return "true or false, without quotes";
    case SETTINGS_KIND_INTEGER: return "a whole number, without quotes";
    case SETTINGS_KIND_DURATION: return "a duration with its unit, in quotes, such as \"30s\"";
    case SETTINGS_KIND_SIZE: return "a size in quotes, such as \"64KiB\"";
    default: return "a string in quotes";
    }
}

void settings_value_take_conf(struct settings_reading *l, size_t row, const struct conf *conf) {
    enum settings_kind kind = settings_members[row].kind;
    bool is_list = conf->kind == CONF_ARRAY || conf->kind == CONF_LIST;
    if (kind == SETTINGS_KIND_LIST && is_list) take_conf_list(l, row, conf);
    else if (kind == SETTINGS_KIND_UPSTREAMS && is_list) take_conf_upstreams(l, row, conf);
    else if (kind == SETTINGS_KIND_BOOL && conf->kind == CONF_BOOL)
        settings_value_take(l, row, text_of(conf->truth ? "true" : "false"));
    else if ((kind == SETTINGS_KIND_INTEGER || kind == SETTINGS_KIND_SIZE) && conf->kind == CONF_INT)
        settings_value_take(l, row, text_of(arena_printf(l->arena, "%lld", (long long)conf->integer)));
    else if (kind != SETTINGS_KIND_BOOL && kind != SETTINGS_KIND_INTEGER && conf->kind == CONF_STRING) {
        if (kind == SETTINGS_KIND_LIST) take_list(l, row, &conf->string, 1);
        else settings_value_take(l, row, conf->string);
    } else
        settings_value_refuse(l, FAULT_INVALID, "%s must be %s, and here is %s", settings_rows[row].name,
                              expected_form(kind), conf_shown(l->arena, conf));
}
