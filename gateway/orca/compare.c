/* Compares orca's configuration with what the definitions make of it now.
 *
 * An entry of orca's is ours if it has the type of one that should be there, or calls the gateway, or names its starts
 * as our entries do: the last two find what was exported once and is offered no more, also after a move of the gateway.
 * All others are nobody's business here.
 *
 * The file is read as Spring does (orca/spring), so far as an export can meet it; lists may be text with commas, and
 * placeholders are not resolved. The value of a header that no export writes is never shown, and that of Authorization
 * never compared: tokens stand there. */
#include "orca/compare.h"

#include <stdio.h>
#include <string.h>

#include "lang/pattern.h"
#include "lang/value.h"
#include "orca/preconfigured.h"
#include "orca/spring.h"

#define NAME_MAX_BYTES 128

/* ---- values ---- */

static struct text trimmed_end(struct text t) {
    while (t.len && (t.at[t.len - 1] == '\n' || t.at[t.len - 1] == ' ')) t.len--;
    return t;
}

static bool same_scalar(struct text has, const struct json *should_be) {
    char room[VALUE_DIGITS];
    struct text should = json_kind(should_be) == JSON_STRING ? json_text(should_be)
                                                             : value_scalar_text(value_of(should_be), room);
    return text_same(trimmed_end(has), trimmed_end(should));
}

static bool same_list(const struct yaml *has, const struct json *should) {
    struct text rest = has->text, one;
    size_t count = 0;
    if (has->kind == YAML_MAP) return false;
    if (has->kind == YAML_TEXT) {
        while (text_cut(&rest, ',', &one))
            if (!same_scalar(text_trim(one), json_at(should, count++))) return false;
        return count == json_size(should);
    }
    if (has->count != json_size(should)) return false;
    for (; count < has->count; count++)
        if (!same_scalar(yaml_as_text(has->items[count]), json_at(should, count))) return false;
    return true;
}

/* For people: what a leaf has, or of which kind it is. */
static const struct json *shown(struct arena *arena, const struct yaml *has) {
    if (!has) return NULL;
    if (has->kind == YAML_TEXT) return json_new_text(arena, yaml_as_text(has));
    struct json *list = json_new_array(arena);
    for (size_t i = 0; has->kind == YAML_LIST && i < has->count; i++) {
        if (has->items[i]->kind != YAML_TEXT) return json_new_string(arena, "(a list)");
        json_push(list, json_new_text(arena, yaml_as_text(has->items[i])));
    }
    return has->kind == YAML_LIST ? list : json_new_string(arena, "(a group)");
}

bool compare_is_export(const struct yaml *entry) {
    struct text url = yaml_as_text(spring_member(entry, "url"));
    const struct yaml *key = spring_member(spring_member(entry, "customHeaders"), "Idempotency-Key");
    if (key && key->kind == YAML_LIST) key = key->count ? key->items[0] : NULL;
    return text_is(yaml_as_text(key), PRECONFIGURED_KEY) && (text_holds(url, "/stages/") || text_ends(url, "/runs"));
}

/* ---- differences ---- */

struct work {
    const struct compare *compare;
    struct json *found;
    const char *type;
    const struct yaml *entry; /* as orca has it; NULL: it has none */
    bool ours;                /* no: whoever wrote it may have put secrets anywhere */
};

static struct json *begin_difference(struct work *w, const char *field, const char *what, const struct yaml *place) {
    struct arena *arena = w->compare->arena;
    struct json *one = json_new_object(arena);
    json_set(one, "type", json_new_string(arena, w->type));
    json_set(one, "field", json_new_string(arena, field));
    json_set(one, "what", json_new_string(arena, what));
    json_set(one, "line", json_new_int(arena, place ? place->line : 0));
    json_push(w->found, one);
    return one;
}

/* Values are shown where neither of the two can be a secret. */
static void add(struct work *w, const char *field, const struct yaml *has, const struct json *should, bool values) {
    const char *what = !has ? "missing" : !should ? "extra" : "differs";
    struct json *one = begin_difference(w, field, what, has ? has : w->entry);
    json_set(one, "orca", values && w->ours ? shown(w->compare->arena, has) : NULL);
    json_set(one, "stagedoor", values ? should : NULL);
}

static const char *path_of(struct work *w, const char *field, struct text name) {
    return arena_printf(w->compare->arena, "%s%s%.*s", field, field[0] ? "." : "", TEXT_ARG(name));
}

static bool expected(const struct json *object, struct text key) {
    char name[NAME_MAX_BYTES];
    for (struct json_member m = json_first(object); m.name.at; m = json_next(object, m)) {
        snprintf(name, sizeof name, "%.*s", TEXT_ARG(m.name));
        if (spring_key_is(key, name)) return true;
    }
    return false;
}

static struct spring_found keys_named(const struct yaml *map, struct text name) {
    char text[NAME_MAX_BYTES];
    snprintf(text, sizeof text, "%.*s", TEXT_ARG(name));
    return spring_keys(map, text);
}

static const struct yaml *member_named(const struct yaml *map, struct text name) {
    struct spring_found found = keys_named(map, name);
    return found.count ? found.pairs[0]->value : NULL;
}

/* Settings that stand there in two spellings: which of them orca takes is chance. */
static void find_doubles(struct work *w, const char *field, const struct yaml *has, const struct json *should) {
    struct arena *arena = w->compare->arena;
    for (struct json_member m = json_first(should); m.name.at; m = json_next(should, m)) {
        struct spring_found found = keys_named(has, m.name);
        if (found.count < 2) continue;
        struct json *one = begin_difference(w, path_of(w, field, m.name), "twice", found.pairs[1]->key);
        json_set(one, "first", json_new_int(arena, found.pairs[0]->key->line));
    }
}

static bool same_leaf(const struct yaml *has, const struct json *should) {
    if (json_kind(should) == JSON_ARRAY) return same_list(has, should);
    return has->kind == YAML_TEXT && same_scalar(yaml_is_null(has) ? TEXT("") : yaml_as_text(has), should);
}

static void compare_leaf(struct work *w, const char *field, const struct yaml *has, const struct json *should) {
    if (!has || !same_leaf(has, should)) add(w, field, has, should, true);
}

/* Of leaves: permissions, and each of the parameters. */
static void compare_group(struct work *w, const char *field, const struct yaml *has, const struct json *should) {
    find_doubles(w, field, has, should);
    for (struct json_member m = json_first(should); m.name.at; m = json_next(should, m))
        compare_leaf(w, path_of(w, field, m.name), member_named(has, m.name), m.value);
    for (size_t i = 0; has && has->kind == YAML_MAP && i < has->count; i++)
        if (!expected(should, has->pairs[i].key->text))
            add(w, path_of(w, field, has->pairs[i].key->text), has->pairs[i].value, NULL, true);
}

static const struct yaml *parameter_named(const struct yaml *list, struct text name) {
    for (size_t i = 0; list && list->kind == YAML_LIST && i < list->count; i++)
        if (text_same(yaml_as_text(spring_member(list->items[i], "name")), name)) return list->items[i];
    return NULL;
}

static const struct json *expected_parameter(const struct json *list, struct text name) {
    for (size_t i = 0; i < json_size(list); i++)
        if (text_same(json_text(json_gets(json_at(list, i), "name")), name)) return json_at(list, i);
    return NULL;
}

static void compare_parameters(struct work *w, const struct yaml *has, const struct json *should) {
    for (size_t i = 0; i < json_size(should); i++) {
        struct text name = json_text(json_gets(json_at(should, i), "name"));
        const struct yaml *one = parameter_named(has, name);
        if (one) compare_group(w, path_of(w, "parameters", name), one, json_at(should, i));
        else add(w, path_of(w, "parameters", name), NULL, json_at(should, i), true);
    }
    for (size_t i = 0; has && has->kind == YAML_LIST && i < has->count; i++) {
        struct text name = yaml_as_text(spring_member(has->items[i], "name"));
        if (!expected_parameter(should, name)) add(w, path_of(w, "parameters", name), has->items[i], NULL, true);
    }
}

/* ---- headers: what an export did not write may be a secret ---- */

#define AUTHORIZATION "Authorization"

static void compare_headers(struct work *w, const char *field, const struct json *should) {
    const struct yaml *has = spring_member(w->entry, field);
    for (struct json_member m = json_first(should); m.name.at; m = json_next(should, m))
        if (!text_is(m.name, AUTHORIZATION))
            compare_leaf(w, path_of(w, field, m.name), member_named(has, m.name), m.value);
    for (size_t i = 0; has && has->kind == YAML_MAP && i < has->count; i++) {
        struct text key = has->pairs[i].key->text;
        if (!expected(should, key) && !spring_key_is(key, AUTHORIZATION))
            add(w, path_of(w, field, key), has->pairs[i].value, NULL, false);
    }
}

/* Where the token stands, and not what it is. */
static void compare_token(struct work *w, const struct json *should) {
    static const char *const places[] = {"customHeaders", "sensitiveHeaders"};
    for (size_t i = 0; i < 2; i++) {
        const struct json *wanted = json_gets(json_gets(should, places[i]), AUTHORIZATION);
        const struct yaml *here = spring_member(spring_member(w->entry, places[i]), AUTHORIZATION);
        const struct yaml *there = spring_member(spring_member(w->entry, places[1 - i]), AUTHORIZATION);
        if (!wanted) continue;
        if (!here) add(w, path_of(w, places[i], TEXT(AUTHORIZATION)), NULL, wanted, false);
        if (there) add(w, path_of(w, places[1 - i], TEXT(AUTHORIZATION)), there, NULL, false);
    }
}

/* ---- webhook.allowedRequests (WebhookService.isAllowedRequest), where orca goes by it ---- */

static bool matches(struct arena *arena, const struct yaml *allowed, const char *url) {
    if (spring_key_is(yaml_as_text(spring_member(allowed, "matchStrategy")), "PATTERNMATCHES")) {
        struct fault fault;
        struct text source = yaml_as_text(spring_member(allowed, "urlPattern"));
        const struct pattern *pattern = pattern_compile(arena, source, true, &fault);
        return !pattern || pattern_match(pattern, text_of(url)) != PATTERN_NO; /* not understood: not judged */
    }
    struct text prefix = yaml_as_text(spring_member(allowed, "urlPrefix"));
    return prefix.len && prefix.len <= strlen(url) && memcmp(url, prefix.at, prefix.len) == 0;
}

static bool has_method(const struct yaml *allowed, const char *method) {
    const struct yaml *methods = spring_member(allowed, "httpMethods");
    struct text rest = yaml_as_text(methods), one;
    while (text_cut(&rest, ',', &one))
        if (text_is(text_trim(one), method)) return true;
    for (size_t i = 0; methods && methods->kind == YAML_LIST && i < methods->count; i++)
        if (text_is(yaml_as_text(methods->items[i]), method)) return true;
    return false;
}

static const struct yaml *webhook_setting(const struct compare *compare, const char *name) {
    const struct yaml *found = NULL;
    for (size_t i = 0; i < compare->document_count && !found; i++)
        found = spring_find(compare->documents[i], "webhook", name);
    return found;
}

static void check_allowed(struct work *w, const char *method, const char *url) {
    const struct yaml *list = webhook_setting(w->compare, "allowedRequests");
    for (size_t i = 0; list && list->kind == YAML_LIST && i < list->count; i++)
        if (has_method(list->items[i], method) && matches(w->compare->arena, list->items[i], url)) return;
    const char *request = arena_printf(w->compare->arena, "%s %s", method, url);
    add(w, "webhook.allowedRequests", NULL, json_new_string(w->compare->arena, request), true);
}

static void check_requests(struct work *w, const struct json *should) {
    const struct yaml *enabled = webhook_setting(w->compare, "allowedRequestsEnabled");
    if (!text_is_nocase(yaml_as_text(enabled), "true")) return;
    check_allowed(w, "POST", json_gets_text(should, "url"));
    check_allowed(w, "GET",
                  arena_printf(w->compare->arena, "%s/runs/01KAW00000ABCDEFGHJKMNPQRS", w->compare->base_url));
    check_allowed(w, "POST", json_gets_text(should, "cancelEndpoint"));
}

/* ---- entries ---- */

static bool apart(struct text field) {
    static const char *const fields[] = {"parameters", "permissions", "customHeaders", "sensitiveHeaders"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (spring_key_is(field, fields[i])) return true;
    return false;
}

static void compare_entry(struct work *w, const struct json *should) {
    find_doubles(w, "", w->entry, should);
    for (struct json_member m = json_first(should); m.name.at; m = json_next(should, m)) {
        const struct yaml *has = member_named(w->entry, m.name);
        bool preset = text_is(m.name, "enabled") && !has;
        if (!preset && !apart(m.name)) compare_leaf(w, path_of(w, "", m.name), has, m.value);
    }
    compare_parameters(w, spring_member(w->entry, "parameters"), json_gets(should, "parameters"));
    compare_group(w, "permissions", spring_member(w->entry, "permissions"), json_gets(should, "permissions"));
    compare_headers(w, "customHeaders", json_gets(should, "customHeaders"));
    compare_headers(w, "sensitiveHeaders", json_gets(should, "sensitiveHeaders"));
    compare_token(w, should);
    for (size_t i = 0; i < w->entry->count; i++) {
        struct text key = w->entry->pairs[i].key->text;
        if (!apart(key) && !expected(should, key)) add(w, path_of(w, "", key), w->entry->pairs[i].value, NULL, true);
    }
}

static const struct yaml *list_of(const struct compare *compare, size_t document) {
    const struct yaml *list = spring_find(compare->documents[document], "webhook", "preconfigured");
    return list && list->kind == YAML_LIST ? list : NULL;
}

/* The first one of a type, which is the one that orca takes. */
static const struct yaml *entry_of(const struct compare *compare, struct text type) {
    for (size_t i = 0; i < compare->document_count; i++) {
        const struct yaml *list = list_of(compare, i);
        for (size_t j = 0; list && j < list->count; j++)
            if (list->items[j]->kind == YAML_MAP &&
                text_same(yaml_as_text(spring_member(list->items[j], "type")), type))
                return list->items[j];
    }
    return NULL;
}

/* The stage that an entry of ours starts; "" where it is none of ours, or for all of them. */
static struct text stage_of(const struct compare *compare, const struct yaml *entry) {
    struct text url = yaml_as_text(spring_member(entry, "url"));
    size_t base = strlen(compare->base_url);
    const char *at = url.len ? memmem(url.at, url.len, "/stages/", 8) : NULL;
    bool here = text_starts(url, compare->base_url) && at == url.at + base;
    if (!at || (!here && !compare_is_export(entry))) return (struct text){"", 0};
    return (struct text){at + 8, (size_t)(url.at + url.len - at - 8)};
}

static void find_extra(struct work *w, const struct yaml *entry) {
    const struct compare *compare = w->compare;
    struct text type = yaml_as_text(spring_member(entry, "type")), stage = stage_of(compare, entry);
    const struct yaml *first = entry_of(compare, type);
    bool due = false;
    for (size_t i = 0; i < json_size(compare->entries); i++)
        due = due || text_same(type, json_text(json_gets(json_at(compare->entries, i), "type")));
    if (stage.len == 0 || (due && first == entry)) return;
    if (!compare->wanted(compare->arg, arena_strndup(compare->arena, stage.at, stage.len))) return;
    w->type = arena_strndup(compare->arena, type.at, type.len);
    w->entry = entry;
    add(w, NULL, entry, NULL, false);
}

bool compare_check(const struct compare *compare, const char *file, struct fault *fault) {
    for (size_t i = 0; i < compare->document_count; i++) {
        struct spring_found found = spring_paths(compare->documents[i], "webhook", "preconfigured");
        if (found.count > 1)
            return fault_set(fault, FAULT_INVALID, NULL,
                             "%s:%d: webhook.preconfigured stands here and in line %d, in two spellings", file,
                             found.pairs[1]->key->line, found.pairs[0]->key->line);
    }
    return true;
}

const struct json *compare_entries(const struct compare *compare) {
    struct work w = {.compare = compare, .found = json_new_array(compare->arena)};
    for (size_t i = 0; i < json_size(compare->entries); i++) {
        const struct json *should = json_at(compare->entries, i);
        w.type = json_gets_text(should, "type");
        w.entry = entry_of(compare, text_of(w.type));
        w.ours = w.entry && (compare_is_export(w.entry) ||
                             text_starts(yaml_as_text(spring_member(w.entry, "url")), compare->base_url));
        if (w.entry) compare_entry(&w, should);
        else add(&w, NULL, NULL, should, false);
        check_requests(&w, should);
    }
    for (size_t i = 0; compare->wanted && i < compare->document_count; i++) {
        const struct yaml *list = list_of(compare, i);
        for (size_t j = 0; list && j < list->count; j++)
            if (list->items[j]->kind == YAML_MAP) find_extra(&w, list->items[j]);
    }
    return w.found;
}

/* ---- restrictions ---- */

static const struct yaml *restriction(const struct compare *compare, const char *name) {
    const struct yaml *found = NULL;
    for (size_t i = 0; i < compare->document_count && !found; i++)
        found = spring_find(compare->documents[i], "user-configured-url-restrictions", name);
    return found;
}

static void read_flag(const struct compare *compare, const char *name, bool *flag) {
    const struct yaml *at = restriction(compare, name);
    if (at) *flag = !text_is_nocase(yaml_as_text(at), "false");
}

static void read_list(const struct compare *compare, const char *name, struct url_rules_list *list) {
    const struct yaml *at = restriction(compare, name);
    if (!at || at->kind == YAML_MAP) return;
    struct text rest = yaml_as_text(at), one;
    size_t count = 0, most = at->kind == YAML_LIST ? at->count : rest.len + 1;
    const char **items = arena_array_of(compare->arena, const char *, most);
    for (size_t i = 0; at->kind == YAML_LIST && i < at->count; i++)
        items[count++] = arena_strndup(compare->arena, yaml_as_text(at->items[i]).at, yaml_as_text(at->items[i]).len);
    while (at->kind == YAML_TEXT && text_cut(&rest, ',', &one))
        if (text_trim(one).len) items[count++] = arena_strndup(compare->arena, text_trim(one).at, text_trim(one).len);
    *list = (struct url_rules_list){items, count};
}

struct url_rules compare_url_rules(const struct compare *compare) {
    struct url_rules rules = url_rules_presets;
    const struct yaml *names = restriction(compare, "allowedHostnamesRegex");
    if (names) rules.hostnames = arena_strndup(compare->arena, yaml_as_text(names).at, yaml_as_text(names).len);
    read_flag(compare, "rejectLocalhost", &rules.reject_localhost);
    read_flag(compare, "rejectLinkLocal", &rules.reject_link_local);
    read_flag(compare, "rejectVerbatimIps", &rules.reject_verbatim_ips);
    read_list(compare, "allowedSchemes", &rules.schemes);
    read_list(compare, "rejectedIps", &rules.rejected_ips);
    read_list(compare, "excludedDomains", &rules.excluded_domains);
    read_list(compare, "extraExcludedPatterns", &rules.extra_excluded_patterns);
    return rules;
}
