/* Reads the options from where operators put them, by the table in settings.h.
 *
 * Every place gives text: a flag and a variable as they are, the table's default too, and a value of stagedoor.conf
 * once its type was found fit. So there is one way in for all (`take`), and a default cannot be out of range unseen.
 * The places are read from the weakest to the strongest; a mistake in a place that a stronger one overrides is reported
 * all the same, since it would bite later.
 *
 * Relative paths follow the file: /etc/stagedoor/stagedoor.conf with stages = "stages.d" means /etc/stagedoor/stages.d,
 * also where that is the default. Those of flags and the environment are the caller's, relative to where it stands. */
#include "config/settings.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "config/conf_file.h"
#include "lang/units.h"

enum kind {
    KIND_LIST,
    KIND_STRING,
    KIND_PATH,
    KIND_STORE,
    KIND_BOOL,
    KIND_INTEGER,
    KIND_DURATION,
    KIND_SIZE,
    KIND_UPSTREAMS,
    KIND_CHOICE
};

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
const size_t settings_row_count = sizeof settings_rows / sizeof *settings_rows;

static const struct {
    enum kind kind;
    size_t offset;
} members[] = {
#define X(kind, name, preset, allowed, when, group, help) {KIND_##kind, OFFSET_##kind(name)},
    SETTINGS(X)
#undef X
};

static const char *const names[] = {
#define X(kind, name, preset, allowed, when, group, help) #name,
    SETTINGS(X)
#undef X
};
#define ROWS (sizeof names / sizeof *names)

struct load {
    struct arena *arena;
    struct settings *settings;
    struct faults *faults;
    const char *beside; /* the file that relative paths lie beside, or NULL */
    const char *where;  /* of the value at hand */
    bool bad;           /* of the value at hand */
};

static void refuse(struct load *l, enum fault_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void refuse(struct load *l, enum fault_kind kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *what = arena_vprintf(l->arena, format, args);
    va_end(args);
    faults_addf(l->faults, kind, l->where, "%s", what);
    l->bad = true;
}

static size_t row_find(const char *name) {
    size_t row = 0;
    while (row < ROWS && strcmp(names[row], name) != 0) row++;
    return row;
}

/* ---- values from text ---- */

static bool number_parse(enum kind kind, struct text t, int64_t *ret_value, struct fault *fault) {
    if (kind == KIND_DURATION) return duration_parse(t, ret_value, fault);
    if (kind == KIND_SIZE) return size_parse(t, ret_value, fault);
    if (text_to_int(t, ret_value)) return true;
    return fault_set(fault, FAULT_INVALID, NULL, "\"%.*s\" is not a whole number", TEXT_ARG(t));
}

static void take_number(struct load *l, size_t row, struct text t, int64_t *to) {
    struct fault fault;
    int64_t value, low, high;
    if (!number_parse(members[row].kind, t, &value, &fault)) {
        refuse(l, FAULT_INVALID, "%s: %s", names[row], fault.what);
        return;
    }
    struct text allowed = text_of(settings_rows[row].allowed);
    const char *dots = strstr(settings_rows[row].allowed, "..");
    struct text first = {allowed.at, (size_t)(dots - allowed.at)};
    number_parse(members[row].kind, first, &low, NULL);
    number_parse(members[row].kind, text_of(dots + 2), &high, NULL);
    if (value < low || value > high)
        refuse(l, FAULT_INVALID, "%s: %.*s is out of range: %.*s to %s are possible", names[row], TEXT_ARG(t),
               TEXT_ARG(first), dots + 2);
    else *to = value;
}

static void take_bool(struct load *l, size_t row, struct text t, bool *to) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!text_is_nocase(t, words[i])) continue;
        *to = i % 2 == 1;
        return;
    }
    refuse(l, FAULT_INVALID, "%s: \"%.*s\" is neither true nor false", names[row], TEXT_ARG(t));
}

static void take_choice(struct load *l, size_t row, struct text t, const char **to) {
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
    refuse(l, FAULT_INVALID, "%s: \"%.*s\" is not one of %s%s%s%s", names[row], TEXT_ARG(t), settings_rows[row].allowed,
           near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static const char *path_taken(struct load *l, const char *path) {
    if (!path[0] || strcmp(path, "-") == 0) return path;
    return conf_path_beside(l->arena, l->beside, path);
}

static const char *store_taken(struct load *l, const char *store) {
    if (strncmp(store, "sqlite:", 7) == 0 && store[7] && strcmp(store + 7, ":memory:") != 0)
        return arena_printf(l->arena, "sqlite:%s", conf_path_beside(l->arena, l->beside, store + 7));
    if (strncmp(store, "postgres", 8) == 0)
        refuse(l, FAULT_UNSUPPORTED, "store: PostgreSQL is not supported by this version; write \"sqlite:PATH\"");
    else refuse(l, FAULT_INVALID, "store: \"%s\" is not of the form sqlite:PATH", store);
    return store;
}

static void take_list(struct load *l, size_t row, const struct text *items, size_t count) {
    const char **list = arena_array_of(l->arena, const char *, count);
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        struct text item = text_trim(items[i]);
        if (item.len) list[taken++] = arena_strndup(l->arena, item.at, item.len);
        else refuse(l, FAULT_INVALID, "%s: one of the values is empty", names[row]);
    }
    if (!taken && !l->bad) refuse(l, FAULT_INVALID, "%s needs at least one value", names[row]);
    struct settings_list *to = (void *)((char *)l->settings + members[row].offset);
    if (!l->bad) *to = (struct settings_list){list, taken};
}

static void take_commas(struct load *l, size_t row, struct text t) {
    struct text items[64], rest = t;
    size_t count = 0;
    while (count < 64 && text_cut(&rest, ',', &items[count])) count++;
    if (rest.at) refuse(l, FAULT_TOO_LARGE, "%s: more than 64 values", names[row]);
    else take_list(l, row, items, count);
}

/* ---- upstream hosts ---- */

static void refuse_upstream(struct load *l, size_t row, const struct fault *fault) {
    refuse(l, fault->kind, "%s: %s", names[row], fault->what);
}

static void check_twice(struct load *l, size_t row, const struct limits_upstream *items, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(items[i].host, items[j].host) == 0) {
                refuse(l, FAULT_INVALID, "%s: %s is there twice", names[row], items[i].host);
                return;
            }
}

static void put_upstreams(struct load *l, size_t row, const struct limits_upstream *items, size_t count) {
    struct settings_upstreams *to = (void *)((char *)l->settings + members[row].offset);
    if (!l->bad) check_twice(l, row, items, count);
    if (!l->bad) *to = (struct settings_upstreams){items, count};
}

#define UPSTREAMS_MAX 256

/* One after the other, with commas between. */
static void take_upstreams(struct load *l, size_t row, struct text t) {
    struct text rest = text_trim(t), item;
    struct limits_upstream *items = arena_array_of(l->arena, struct limits_upstream, UPSTREAMS_MAX);
    size_t count = 0;
    struct fault fault;
    while (rest.len && text_cut(&rest, ',', &item)) {
        if (count == UPSTREAMS_MAX) {
            refuse(l, FAULT_TOO_LARGE, "%s: more than %d hosts", names[row], UPSTREAMS_MAX);
            return;
        }
        if (!limits_upstream_parse(l->arena, item, &items[count++], &fault)) {
            refuse_upstream(l, row, &fault);
            return;
        }
    }
    put_upstreams(l, row, items, count);
}

static void take_conf_upstreams(struct load *l, size_t row, const struct conf *conf) {
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
static void take(struct load *l, size_t row, struct text t) {
    char *to = (char *)l->settings + members[row].offset;
    const char *s = arena_strndup(l->arena, t.at, t.len);
    l->bad = false;
    if (!text_utf8_check(t) || memchr(s, 0, t.len)) {
        refuse(l, FAULT_INVALID, "%s: the value is not UTF-8 text", names[row]);
        return;
    }
    switch (members[row].kind) {
    case KIND_LIST: take_commas(l, row, t); break;
    case KIND_STRING: *(const char **)(void *)to = s; break;
    case KIND_PATH: *(const char **)(void *)to = path_taken(l, s); break;
    case KIND_STORE: *(const char **)(void *)to = store_taken(l, s); break;
    case KIND_BOOL: take_bool(l, row, t, (bool *)to); break;
    case KIND_INTEGER:
    case KIND_DURATION:
    case KIND_SIZE: take_number(l, row, t, (int64_t *)(void *)to); break;
    case KIND_CHOICE: take_choice(l, row, t, (const char **)(void *)to); break;
    case KIND_UPSTREAMS: take_upstreams(l, row, t); break;
    }
}

/* ---- the file ---- */

static void take_conf_list(struct load *l, size_t row, const struct conf *conf) {
    struct text *items = arena_array_of(l->arena, struct text, conf->count);
    l->bad = false;
    for (size_t i = 0; i < conf->count; i++) {
        if (conf->items[i].kind != CONF_STRING) {
            l->where = conf_where(l->arena, &conf->items[i]);
            refuse(l, FAULT_INVALID, "%s holds strings, and here is %s", names[row],
                   conf_shown(l->arena, &conf->items[i]));
            return;
        }
        items[i] = conf->items[i].string;
    }
    take_list(l, row, items, conf->count);
}

static const char *expected_form(enum kind kind) {
    switch (kind) {
    case KIND_LIST: return "a list of strings: [ \"…\", \"…\" ]";
    case KIND_UPSTREAMS: return "a list of groups: ( { host = \"…\"; … }, … )";
    case KIND_BOOL: return "true or false, without quotes";
    case KIND_INTEGER: return "a whole number, without quotes";
    case KIND_DURATION: return "a duration with its unit, in quotes, such as \"30s\"";
    case KIND_SIZE: return "a size in quotes, such as \"64KiB\"";
    default: return "a string in quotes";
    }
}

static void take_conf(struct load *l, size_t row, const struct conf *conf) {
    enum kind kind = members[row].kind;
    bool is_list = conf->kind == CONF_ARRAY || conf->kind == CONF_LIST;
    if (kind == KIND_LIST && is_list) take_conf_list(l, row, conf);
    else if (kind == KIND_UPSTREAMS && is_list) take_conf_upstreams(l, row, conf);
    else if (kind == KIND_BOOL && conf->kind == CONF_BOOL) take(l, row, text_of(conf->truth ? "true" : "false"));
    else if ((kind == KIND_INTEGER || kind == KIND_SIZE) && conf->kind == CONF_INT)
        take(l, row, text_of(arena_printf(l->arena, "%lld", (long long)conf->integer)));
    else if (kind != KIND_BOOL && kind != KIND_INTEGER && conf->kind == CONF_STRING) {
        if (kind == KIND_LIST) take_list(l, row, &conf->string, 1);
        else take(l, row, conf->string);
    } else
        refuse(l, FAULT_INVALID, "%s must be %s, and here is %s", names[row], expected_form(kind),
               conf_shown(l->arena, conf));
}

static void take_file(struct load *l, const char *path) {
    const struct conf *top = conf_file_read(l->arena, path, NULL, l->faults);
    for (size_t i = 0; top && i < top->count; i++) {
        const struct conf *conf = &top->items[i];
        size_t row = row_find(conf->name);
        l->where = conf_where(l->arena, conf);
        l->bad = false;
        if (row < ROWS) {
            take_conf(l, row, conf);
            continue;
        }
        const char *near = text_nearest(conf->name, names, ROWS);
        if (near) refuse(l, FAULT_UNDEFINED, "unknown option \"%s\"; did you mean \"%s\"?", conf->name, near);
        else refuse(l, FAULT_UNDEFINED, "unknown option \"%s\"", conf->name);
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

static void take_variable(struct load *l, struct text name, struct text value) {
    l->where = arena_printf(l->arena, "STAGEDOOR_%.*s", TEXT_ARG(name));
    const char *wanted = lowered(l->arena, name);
    size_t row = row_find(wanted);
    if (row < ROWS) {
        take(l, row, value);
        return;
    }
    const char *near = text_nearest(wanted, names, ROWS);
    char *upper = near ? arena_strdup(l->arena, near) : NULL;
    for (char *s = upper; s && *s; s++)
        if (*s >= 'a' && *s <= 'z') *s = (char)(*s + 'A' - 'a');
    if (upper) refuse(l, FAULT_UNDEFINED, "unknown environment variable; did you mean STAGEDOOR_%s?", upper);
    else refuse(l, FAULT_UNDEFINED, "unknown environment variable: no option is called \"%s\"", wanted);
}

static const char *variable_find(const char *const *environment, const char *name) {
    size_t len = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=' && (*environment)[len + 1])
            return *environment + len + 1;
    return NULL;
}

static void take_environment(struct load *l, const char *const *environment) {
    for (; environment && *environment; environment++) {
        struct text rest = text_of(*environment), name;
        if (!text_starts(rest, "STAGEDOOR_") || !text_cut(&rest, '=', &name)) continue;
        name = (struct text){name.at + strlen("STAGEDOOR_"), name.len - strlen("STAGEDOOR_")};
        if (rest.len && variable_is_ours(name)) take_variable(l, name, rest);
    }
}

/* ---- flags ---- */

struct flag {
    size_t row;     /* ROWS: none */
    bool negated;   /* --no-open */
    bool has_value; /* --name=value */
    struct text value;
};

static struct flag flag_parse(const char *arg) {
    struct flag flag = {.row = ROWS};
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
    if (flag.row == ROWS && strncmp(name, "no_", 3) == 0) {
        flag.row = row_find(name + 3);
        flag.negated = flag.row < ROWS && members[flag.row].kind == KIND_BOOL;
        if (!flag.negated) flag.row = ROWS;
    }
    return flag;
}

size_t settings_flag_length(const char *const *args, size_t count) {
    if (count == 0) return 0;
    struct flag flag = flag_parse(args[0]);
    if (flag.row == ROWS) return 0;
    return flag.has_value || members[flag.row].kind == KIND_BOOL || count == 1 ? 1 : 2;
}

static const char *flag_name(struct arena *arena, const char *option) {
    char *name = arena_printf(arena, "--%s", option);
    for (char *s = name; *s; s++)
        if (*s == '_') *s = '-';
    return name;
}

static void refuse_flag(struct load *l, const char *arg) {
    struct text rest = text_of(arg), name;
    text_cut(&rest, '=', &name);
    l->where = arena_strndup(l->arena, name.at, name.len);
    if (!text_starts(name, "--")) {
        refuse(l, FAULT_UNDEFINED, "unexpected argument");
        return;
    }
    const char *flags[ROWS];
    for (size_t i = 0; i < ROWS; i++) flags[i] = flag_name(l->arena, names[i]);
    const char *near = text_nearest(l->where, flags, ROWS);
    if (near) refuse(l, FAULT_UNDEFINED, "unknown flag; did you mean %s?", near);
    else refuse(l, FAULT_UNDEFINED, "unknown flag");
}

/* Lists may be given once an element: --listen a --listen b; they are joined with commas first. */
static void take_flags(struct load *l, const char *const *flags, size_t count) {
    const char *lists[ROWS] = {0};
    for (size_t i = 0; i < count;) {
        struct flag flag = flag_parse(flags[i]);
        size_t n = settings_flag_length(flags + i, count - i);
        if (n == 0) {
            refuse_flag(l, flags[i++]);
            continue;
        }
        l->where = flag_name(l->arena, names[flag.row]);
        struct text value = flag.has_value ? flag.value : n == 2 ? text_of(flags[i + 1]) : TEXT("true");
        if (flag.negated && flag.has_value) refuse(l, FAULT_INVALID, "--no-… takes no value");
        else if (flag.negated) take(l, flag.row, TEXT("false"));
        else if (!flag.has_value && n == 1 && members[flag.row].kind != KIND_BOOL)
            refuse(l, FAULT_INVALID, "its value is missing");
        else if (members[flag.row].kind == KIND_LIST || members[flag.row].kind == KIND_UPSTREAMS)
            lists[flag.row] = arena_printf(l->arena, "%s%s%.*s", lists[flag.row] ? lists[flag.row] : "",
                                           lists[flag.row] ? "," : "", TEXT_ARG(value));
        else take(l, flag.row, value);
        i += n;
    }
    for (size_t row = 0; row < ROWS; row++) {
        if (!lists[row]) continue;
        l->where = flag_name(l->arena, names[row]);
        take(l, row, text_of(lists[row]));
    }
}

/* ---- all places ---- */

static void check_together(struct load *l) {
    const struct settings *s = l->settings;
    l->where = "tls_key";
    if (s->tls_key[0] && !s->tls_certificate[0]) refuse(l, FAULT_INVALID, "tls_key needs tls_certificate");
    l->where = "tls_client_ca";
    if (s->tls_client_ca[0] && !s->tls_certificate[0]) refuse(l, FAULT_INVALID, "tls_client_ca needs tls_certificate");
    l->where = "public_url";
    const char *url = s->public_url;
    if (url[0] && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        refuse(l, FAULT_INVALID, "public_url: \"%s\" does not begin with http:// or https://", url);
    l->where = "user_agent";
    for (const char *c = s->user_agent; *c; c++) {
        if ((unsigned char)*c >= 0x20 && *c != 0x7F) continue;
        refuse(l, FAULT_INVALID, "user_agent holds a control character");
        break;
    }
}

bool settings_load(struct arena *arena, const struct settings_input *input, struct settings *ret_settings,
                   struct faults *faults) {
    struct settings made = {0};
    struct load l = {.arena = arena, .settings = &made, .faults = faults};
    size_t faults_before = faults->count + faults->dropped;
    const char *config = input->config ? input->config : variable_find(input->environment, "STAGEDOOR_CONFIG");
    if (!config && access("stagedoor.conf", F_OK) == 0) config = "stagedoor.conf";
    made.config = l.beside = arena_strdup(arena, config);
    for (size_t row = 0; row < ROWS; row++) {
        l.where = names[row];
        take(&l, row, text_of(settings_rows[row].preset));
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
    const void *x = (const char *)a + members[row].offset, *y = (const char *)b + members[row].offset;
    switch (members[row].kind) {
    case KIND_LIST: return list_same(x, y);
    case KIND_UPSTREAMS: return upstreams_same(x, y);
    case KIND_BOOL: return *(const bool *)x == *(const bool *)y;
    case KIND_INTEGER:
    case KIND_DURATION:
    case KIND_SIZE: return *(const int64_t *)x == *(const int64_t *)y;
    default: return strcmp(*(const char *const *)x, *(const char *const *)y) == 0;
    }
}

void settings_each_difference(const struct settings *a, const struct settings *b,
                              void (*fn)(void *arg, const char *name, bool reload), void *arg) {
    for (size_t row = 0; row < ROWS; row++)
        if (!value_same(row, a, b)) fn(arg, names[row], settings_rows[row].reload);
}

static size_t value_size(size_t row) {
    switch (members[row].kind) {
    case KIND_LIST: return sizeof(struct settings_list);
    case KIND_UPSTREAMS: return sizeof(struct settings_upstreams);
    case KIND_BOOL: return sizeof(bool);
    case KIND_INTEGER:
    case KIND_DURATION:
    case KIND_SIZE: return sizeof(int64_t);
    default: return sizeof(const char *);
    }
}

void settings_keep_fixed(const struct settings *running, struct settings *next) {
    for (size_t row = 0; row < ROWS; row++)
        if (!settings_rows[row].reload)
            memcpy((char *)next + members[row].offset, (const char *)running + members[row].offset, value_size(row));
}

/* ---- what is printed ---- */

static void add_wrapped(struct buf *out, const char *prefix, const char *text) {
    enum { WIDTH = 100 };
    struct text rest = text_of(text), word;
    size_t column = WIDTH;
    for (bool first = true; text_cut(&rest, ' ', &word); first = false) {
        if (column + 1 + word.len > WIDTH) {
            buf_addf(out, "%s%s", first ? "" : "\n", prefix);
            column = strlen(prefix);
        } else {
            buf_addc(out, ' ');
            column++;
        }
        buf_addt(out, word);
        column += word.len;
    }
    buf_addc(out, '\n');
}

static const char *allowed_shown(size_t row, struct buf *room) {
    const struct settings_row *r = &settings_rows[row];
    const char *dots = strstr(r->allowed, "..");
    if (!r->allowed[0]) return "";
    if (dots) buf_addf(room, " %.*s to %s.", (int)(dots - r->allowed), r->allowed, dots + 2);
    struct text rest = text_of(r->allowed), word;
    for (bool first = true; !dots && text_cut(&rest, '|', &word); first = false)
        buf_addf(room, "%s%.*s", first ? " One of " : ", ", TEXT_ARG(word));
    if (!dots) buf_addc(room, '.');
    return buf_cstr(room);
}

static void add_preset(struct buf *out, size_t row) {
    const struct settings_row *r = &settings_rows[row];
    switch (members[row].kind) {
    case KIND_BOOL:
    case KIND_INTEGER: buf_adds(out, r->preset); break;
    case KIND_LIST: buf_addf(out, "[ \"%s\" ]", r->preset); break;
    case KIND_UPSTREAMS: buf_adds(out, "( )"); break;
    default: buf_addf(out, "\"%s\"", r->preset);
    }
}

void settings_print_sample(struct buf *out) {
    buf_adds(out, "# stagedoor.conf: every option with its default. What a line sets can be left out.\n"
                  "# Each one is also a flag (--max-runs 5) and an environment variable (STAGEDOOR_MAX_RUNS=5);\n"
                  "# a flag wins over the environment, and the environment over this file. Relative paths lie\n"
                  "# beside this file. [reload]: a change takes effect with SIGHUP; the others need a restart.\n");
    const char *group = "";
    for (size_t row = 0; row < ROWS; row++) {
        const struct settings_row *r = &settings_rows[row];
        struct buf help;
        buf_init(&help, 4096);
        struct buf room;
        buf_init(&room, 256);
        buf_addf(&help, "%s%s%s", r->help, allowed_shown(row, &room), r->reload ? " [reload]" : "");
        if (strcmp(group, r->group) != 0) buf_addf(out, "\n# ---- %s ----\n", r->group);
        group = r->group;
        buf_addc(out, '\n');
        add_wrapped(out, "# ", buf_cstr(&help));
        buf_addf(out, "%s = ", r->name);
        add_preset(out, row);
        buf_adds(out, ";\n");
        buf_fini(&room);
        buf_fini(&help);
    }
}

static const char *value_word(enum kind kind) {
    switch (kind) {
    case KIND_LIST: return " VALUE,…";
    case KIND_UPSTREAMS: return " HOST LIMIT=VALUE …,…";
    case KIND_PATH: return " PATH";
    case KIND_BOOL: return "";
    case KIND_INTEGER: return " N";
    case KIND_DURATION: return " TIME";
    case KIND_SIZE: return " SIZE";
    case KIND_CHOICE: return " WORD";
    default: return " TEXT";
    }
}

void settings_help(struct buf *out) {
    struct arena *arena = arena_new();
    buf_adds(out,
             "  -c, --config PATH\n      The file that holds options. Default: stagedoor.conf, where it exists.\n");
    for (size_t row = 0; row < ROWS; row++) {
        const struct settings_row *r = &settings_rows[row];
        buf_addf(out, "  %s%s\n", flag_name(arena, r->name), value_word(members[row].kind));
        struct buf room;
        buf_init(&room, 256);
        const char *allowed = allowed_shown(row, &room);
        add_wrapped(out, "      ",
                    r->preset[0] ? arena_printf(arena, "%s%s Default: %s.", r->help, allowed, r->preset)
                                 : arena_printf(arena, "%s%s", r->help, allowed));
        buf_fini(&room);
    }
    arena_free(arena);
}
