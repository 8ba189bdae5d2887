/* Reads the options from where operators put them, by the table in settings.h.
 *
 * Every place gives text: a flag and a variable as they are, the table's default too, and a value of stagedoor.conf
 * once its type was found fit. So there is one way in for all (`settings_value_take`), and a default cannot be out of
 * range unseen. The places are read from the weakest to the strongest; a mistake in a place that a stronger one
 * overrides is reported all the same, since it would bite later.
 *
 * Relative paths follow the file: /etc/stagedoor/stagedoor.conf with stages = "stages.d" means /etc/stagedoor/stages.d,
 * also where that is the default. Those of flags and the environment are the caller's, relative to where it stands. */
#include "config/settings_inside.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define ROW_RELOAD true
#define ROW_RESTART false
#define WORD_LIST "list"
#define WORD_STRING "string"
#define WORD_PATH "path"
#define WORD_STORE "store"
#define WORD_BOOL "boolean"
#define WORD_INTEGER "integer"
#define WORD_DURATION "duration"
#define WORD_SIZE "size"
#define WORD_UPSTREAMS "upstreams"
#define WORD_CHOICE "choice"
#define OFFSET_LIST(name) offsetof(struct settings, name)
#define OFFSET_STRING(name) offsetof(struct settings, name)
#define OFFSET_PATH(name) offsetof(struct settings, name)
#define OFFSET_STORE(name) offsetof(struct settings, name)
#define OFFSET_BOOL(name) offsetof(struct settings, name)
#define OFFSET_INTEGER(name) offsetof(struct settings, name)
#define OFFSET_DURATION(name) offsetof(struct settings, name##_ms)
#define OFFSET_SIZE(name) offsetof(struct settings, name##_bytes)
#define OFFSET_UPSTREAMS(name) offsetof(struct settings, name)
#define OFFSET_CHOICE(name) offsetof(struct settings, name)

const struct settings_row settings_rows[] = {
#define X(kind, name, preset, allowed, when, group, help) \
    {#name, WORD_##kind, preset, allowed, group, help, ROW_##when},
    SETTINGS(X)
#undef X
};
const size_t settings_row_count = SETTINGS_ROWS;

const struct settings_member settings_members[] = {
#define X(kind, name, preset, allowed, when, group, help) {SETTINGS_KIND_##kind, OFFSET_##kind(name)},
    SETTINGS(X)
#undef X
};

static const char *const names[] = {
#define X(kind, name, preset, allowed, when, group, help) #name,
    SETTINGS(X)
#undef X
};

static size_t row_find(const char *name) {
    size_t row = 0;
    while (row < SETTINGS_ROWS && strcmp(settings_rows[row].name, name) != 0) row++;
    return row;
}

/* ---- the file ---- */

static void take_file(struct settings_reading *l, const char *path) {
    const struct conf *top = conf_file_read(l->arena, path, NULL, l->faults);
    for (size_t i = 0; top && i < top->count; i++) {
        const struct conf *conf = &top->items[i];
        size_t row = row_find(conf->name);
        l->where = conf_where(l->arena, conf);
        l->bad = false;
        if (row < SETTINGS_ROWS) {
            settings_value_take_conf(l, row, conf);
            continue;
        }
        const char *near = text_nearest(conf->name, names, SETTINGS_ROWS);
        if (near)
            settings_value_refuse(l, FAULT_UNDEFINED, "unknown option \"%s\"; did you mean \"%s\"?", conf->name, near);
        else settings_value_refuse(l, FAULT_UNDEFINED, "unknown option \"%s\"", conf->name);
    }
}

/* ---- the environment ---- */

/* Names that belong to others: secrets, the client commands, and what Kubernetes sets in every pod beside a service
 * that is called stagedoor (STAGEDOOR_SERVICE_HOST, STAGEDOOR_PORT_8095_TCP_ADDR, …). */
static bool variable_is_ours(struct text name) {
    static const char *const prefixes[] = {"SECRET_", "TOKEN", "SERVICE_", "PORT_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (text_starts(name, prefixes[i])) return false;
    return !text_is(name, "URL") && !text_is(name, "PORT") && !text_is(name, "CONFIG");
}

static const char *lowered(struct arena *arena, struct text t) {
    char *s = arena_strndup(arena, t.at, t.len);
    for (size_t i = 0; i < t.len; i++)
        if (s[i] >= 'A' && s[i] <= 'Z') s[i] = (char)(s[i] + 'a' - 'A');
    return s;
}

static void take_variable(struct settings_reading *l, struct text name, struct text value) {
    l->where = arena_printf(l->arena, "STAGEDOOR_%.*s", TEXT_ARG(name));
    const char *wanted = lowered(l->arena, name);
    size_t row = row_find(wanted);
    if (row < SETTINGS_ROWS) {
        settings_value_take(l, row, value);
        return;
    }
    const char *near = text_nearest(wanted, names, SETTINGS_ROWS);
    char *upper = near ? arena_strdup(l->arena, near) : NULL;
    for (char *s = upper; s && *s; s++)
        if (*s >= 'a' && *s <= 'z') *s = (char)(*s + 'A' - 'a');
    if (upper)
        settings_value_refuse(l, FAULT_UNDEFINED, "unknown environment variable; did you mean STAGEDOOR_%s?", upper);
    else settings_value_refuse(l, FAULT_UNDEFINED, "unknown environment variable: no option is called \"%s\"", wanted);
}

static const char *variable_find(const char *const *environment, const char *name) {
    size_t len = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=' && (*environment)[len + 1])
            return *environment + len + 1;
    return NULL;
}

static void take_environment(struct settings_reading *l, const char *const *environment) {
    for (; environment && *environment; environment++) {
        struct text rest = text_of(*environment), name;
        if (!text_starts(rest, "STAGEDOOR_") || !text_cut(&rest, '=', &name)) continue;
        name = (struct text){name.at + strlen("STAGEDOOR_"), name.len - strlen("STAGEDOOR_")};
        if (rest.len && variable_is_ours(name)) take_variable(l, name, rest);
    }
}

/* ---- flags ---- */

struct flag {
    size_t row;     /* SETTINGS_ROWS: none */
    bool negated;   /* --no-open */
    bool has_value; /* --name=value */
    struct text value;
};

static struct flag flag_parse(const char *arg) {
    struct flag flag = {.row = SETTINGS_ROWS};
    char name[64];
    struct text rest = text_of(arg), head;
    if (!text_starts(rest, "--")) return flag;
    text_cut(&rest, '=', &head);
    flag.has_value = rest.at != NULL;
    flag.value = rest;
    head = (struct text){head.at + 2, head.len - 2};
    if (head.len >= sizeof name) return flag;
    for (size_t i = 0; i < head.len; i++) name[i] = head.at[i] == '-' ? '_' : head.at[i];
    name[head.len] = 0;
    flag.row = row_find(name);
    if (flag.row == SETTINGS_ROWS && strncmp(name, "no_", 3) == 0) {
        flag.row = row_find(name + 3);
        flag.negated = flag.row < SETTINGS_ROWS && settings_members[flag.row].kind == SETTINGS_KIND_BOOL;
        if (!flag.negated) flag.row = SETTINGS_ROWS;
    }
    return flag;
}

size_t settings_flag_length(const char *const *args, size_t count) {
    if (count == 0) return 0;
    struct flag flag = flag_parse(args[0]);
    if (flag.row == SETTINGS_ROWS) return 0;
    return flag.has_value || settings_members[flag.row].kind == SETTINGS_KIND_BOOL || count == 1 ? 1 : 2;
}

const char *settings_flag_name(struct arena *arena, const char *option) {
    char *name = arena_printf(arena, "--%s", option);
    for (char *s = name; *s; s++)
        if (*s == '_') *s = '-';
    return name;
}

static void refuse_flag(struct settings_reading *l, const char *arg) {
    struct text rest = text_of(arg), name;
    text_cut(&rest, '=', &name);
    l->where = arena_strndup(l->arena, name.at, name.len);
    if (!text_starts(name, "--")) {
        settings_value_refuse(l, FAULT_UNDEFINED, "unexpected argument");
        return;
    }
    const char *flags[SETTINGS_ROWS];
    for (size_t i = 0; i < SETTINGS_ROWS; i++) flags[i] = settings_flag_name(l->arena, settings_rows[i].name);
    const char *near = text_nearest(l->where, flags, SETTINGS_ROWS);
    if (near) settings_value_refuse(l, FAULT_UNDEFINED, "unknown flag; did you mean %s?", near);
    else settings_value_refuse(l, FAULT_UNDEFINED, "unknown flag");
}

/* Lists may be given once an element: --listen a --listen b; they are joined with commas first. */
static void take_flags(struct settings_reading *l, const char *const *flags, size_t count) {
    const char *lists[SETTINGS_ROWS] = {0};
    for (size_t i = 0; i < count;) {
        struct flag flag = flag_parse(flags[i]);
        size_t n = settings_flag_length(flags + i, count - i);
        if (n == 0) {
            refuse_flag(l, flags[i++]);
            continue;
        }
        l->where = settings_flag_name(l->arena, settings_rows[flag.row].name);
        struct text value = flag.has_value ? flag.value : n == 2 ? text_of(flags[i + 1]) : TEXT("true");
        if (flag.negated && flag.has_value) settings_value_refuse(l, FAULT_INVALID, "--no-… takes no value");
        else if (flag.negated) settings_value_take(l, flag.row, TEXT("false"));
        else if (!flag.has_value && n == 1 && settings_members[flag.row].kind != SETTINGS_KIND_BOOL)
            settings_value_refuse(l, FAULT_INVALID, "its value is missing");
        else if (settings_members[flag.row].kind == SETTINGS_KIND_LIST ||
                 settings_members[flag.row].kind == SETTINGS_KIND_UPSTREAMS)
            lists[flag.row] = arena_printf(l->arena, "%s%s%.*s", lists[flag.row] ? lists[flag.row] : "",
                                           lists[flag.row] ? "," : "", TEXT_ARG(value));
        else settings_value_take(l, flag.row, value);
        i += n;
    }
    for (size_t row = 0; row < SETTINGS_ROWS; row++) {
        if (!lists[row]) continue;
        l->where = settings_flag_name(l->arena, settings_rows[row].name);
        settings_value_take(l, row, text_of(lists[row]));
    }
}

/* ---- all places ---- */

static void check_together(struct settings_reading *l) {
    const struct settings *s = l->settings;
    l->where = "tls_key";
    if (s->tls_key[0] && !s->tls_certificate[0])
        settings_value_refuse(l, FAULT_INVALID, "tls_key needs tls_certificate");
    l->where = "tls_client_ca";
    if (s->tls_client_ca[0] && !s->tls_certificate[0])
        settings_value_refuse(l, FAULT_INVALID, "tls_client_ca needs tls_certificate");
    l->where = "public_url";
    const char *url = s->public_url;
    if (url[0] && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        settings_value_refuse(l, FAULT_INVALID, "public_url: \"%s\" does not begin with http:// or https://", url);
    l->where = "user_agent";
    for (const char *c = s->user_agent; *c; c++) {
        if ((unsigned char)*c >= 0x20 && *c != 0x7F) continue;
        settings_value_refuse(l, FAULT_INVALID, "user_agent holds a control character");
        break;
    }
}

bool settings_load(struct arena *arena, const struct settings_input *input, struct settings *ret_settings,
                   struct faults *faults) {
    struct settings made = {0};
    struct settings_reading l = {.arena = arena, .settings = &made, .faults = faults};
    size_t faults_before = faults->count + faults->dropped;
    const char *config = input->config ? input->config : variable_find(input->environment, "STAGEDOOR_CONFIG");
    if (!config && access("stagedoor.conf", F_OK) == 0) config = "stagedoor.conf";
    made.config = l.beside = arena_strdup(arena, config);
    for (size_t row = 0; row < SETTINGS_ROWS; row++) {
        l.where = settings_rows[row].name;
        settings_value_take(&l, row, text_of(settings_rows[row].preset));
    }
    if (config) take_file(&l, config);
    l.beside = NULL;
    take_environment(&l, input->environment);
    take_flags(&l, input->flags, input->flag_count);
    check_together(&l);
    if (faults->count + faults->dropped != faults_before) return false;
    *ret_settings = made;
    return true;
}

static bool list_same(const struct settings_list *a, const struct settings_list *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0) return false;
    return true;
}

static bool upstreams_same(const struct settings_upstreams *a, const struct settings_upstreams *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i].host, b->items[i].host) != 0 || !limits_same(&a->items[i].limits, &b->items[i].limits))
            return false;
    return true;
}

static bool value_same(size_t row, const struct settings *a, const struct settings *b) {
    const void *x = (const char *)a + settings_members[row].offset, *y = (const char *)b + settings_members[row].offset;
    switch (settings_members[row].kind) {
    case SETTINGS_KIND_LIST: return list_same(x, y);
    case SETTINGS_KIND_UPSTREAMS: return upstreams_same(x, y);
    case SETTINGS_KIND_BOOL: return *(const bool *)x == *(const bool *)y;
    case SETTINGS_KIND_INTEGER:
    case SETTINGS_KIND_DURATION:
    case SETTINGS_KIND_SIZE: return *(const int64_t *)x == *(const int64_t *)y;
    default: return strcmp(*(const char *const *)x, *(const char *const *)y) == 0;
    }
}

void settings_each_difference(const struct settings *a, const struct settings *b,
                              void (*fn)(void *arg, const char *name, bool reload), void *arg) {
    for (size_t row = 0; row < SETTINGS_ROWS; row++)
        if (!value_same(row, a, b)) fn(arg, settings_rows[row].name, settings_rows[row].reload);
}

static size_t value_size(size_t row) {
    switch (settings_members[row].kind) {
    case SETTINGS_KIND_LIST: return sizeof(struct settings_list);
    case SETTINGS_KIND_UPSTREAMS: return sizeof(struct settings_upstreams);
    case SETTINGS_KIND_BOOL: return sizeof(bool);
    case SETTINGS_KIND_INTEGER:
    case SETTINGS_KIND_DURATION:
    case SETTINGS_KIND_SIZE: return sizeof(int64_t);
    default: return sizeof(const char *);
    }
}

void settings_keep_fixed(const struct settings *running, struct settings *next) {
    for (size_t row = 0; row < SETTINGS_ROWS; row++)
        if (!settings_rows[row].reload)
            memcpy((char *)next + settings_members[row].offset, (const char *)running + settings_members[row].offset,
                   value_size(row));
}
