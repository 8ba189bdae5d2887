/* Looks up settings of orca's configuration by names, as Spring's relaxed binding does.
 *
 * Case, dashes and underscores in a key mean nothing, and a dot in it is a level. Only what stands in a file is looked
 * at: no placeholder, no profile, no environment. Used by what compares a file with an export; names are ours, so they
 * are short, and have no dots. */
#include "orca/spring.h"

#include <string.h>

static char folded(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static const char *past_dashes(const char *at, const char *end) {
    while (at < end && (*at == '-' || *at == '_')) at++;
    return at;
}

/* What is left of `key` behind `name`; NULL: it does not begin so. */
static const char *behind(struct text key, const char *name) {
    if (key.len == 0) return NULL;
    const char *at = key.at, *end = key.at + key.len;
    for (; *name; name++) {
        if (*name == '-') continue;
        at = past_dashes(at, end);
        if (at == end || folded(*at) != folded(*name)) return NULL;
        at++;
    }
    return past_dashes(at, end);
}

bool spring_key_is(struct text key, const char *name) {
    const char *rest = behind(key, name);
    return rest && rest == key.at + key.len;
}

bool spring_mentions(struct text text, const char *name) {
    for (; text.len; text.at++, text.len--)
        if (behind(text, name)) return true;
    return false;
}

static struct text rest_of(struct text key, const char *rest) {
    return (struct text){rest, (size_t)(key.at + key.len - rest)};
}

static void add(struct spring_found *found, const struct yaml_pair *pair) {
    if (found->count < 2) found->pairs[found->count++] = pair;
}

static void find(const struct yaml *map, const char *name, struct spring_found *found) {
    for (size_t i = 0; map && map->kind == YAML_MAP && i < map->count && found->count < 2; i++)
        if (spring_key_is(map->pairs[i].key->text, name)) add(found, &map->pairs[i]);
}

struct spring_found spring_keys(const struct yaml *map, const char *name) {
    struct spring_found found = {0};
    find(map, name, &found);
    return found;
}

struct spring_found spring_paths(const struct yaml *document, const char *first, const char *second) {
    struct spring_found found = {0};
    for (size_t i = 0; document && document->kind == YAML_MAP && i < document->count && found.count < 2; i++) {
        const struct yaml_pair *pair = &document->pairs[i];
        const char *rest = behind(pair->key->text, first);
        if (!rest) continue;
        struct text left = rest_of(pair->key->text, rest);
        if (!left.len) find(pair->value, second, &found);
        else if (left.at[0] == '.' && spring_key_is(rest_of(left, left.at + 1), second)) add(&found, pair);
    }
    return found;
}

const struct yaml *spring_member(const struct yaml *map, const char *name) {
    struct spring_found found = spring_keys(map, name);
    return found.count ? found.pairs[0]->value : NULL;
}

const struct yaml *spring_find(const struct yaml *document, const char *first, const char *second) {
    struct spring_found found = spring_paths(document, first, second);
    return found.count ? found.pairs[0]->value : NULL;
}

bool spring_path_ends(struct text path, const char *name, struct text *ret_before) {
    const char *dot = path.len ? memrchr(path.at, '.', path.len) : NULL;
    *ret_before = dot ? (struct text){path.at, (size_t)(dot - path.at)} : (struct text){NULL, 0};
    return spring_key_is(dot ? rest_of(path, dot + 1) : path, name);
}
