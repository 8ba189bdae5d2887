/* Looks up settings of orca's configuration by names, as Spring's relaxed binding does.
 *
 * Case, dashes and underscores in a key mean nothing, and a dot in it is a level. Only what stands in a file is looked
 * at: no placeholder, no profile, no environment. Used by what compares a file with an export; names are ours, so they
 * are short, and have no dots. */
#include "orca/spring.h"

static char folded(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* What is left of `key` behind `name`; NULL: it does not begin so. */
static const char *behind(struct text key, const char *name) {
    const char *at = key.at, *end = key.at + key.len;
    for (; *name; name++) {
        if (*name == '-') continue;
        while (at < end && (*at == '-' || *at == '_')) at++;
        if (at == end || folded(*at) != folded(*name)) return NULL;
        at++;
    }
    return at;
}

bool spring_key_is(struct text key, const char *name) {
    const char *rest = behind(key, name);
    return rest && rest == key.at + key.len;
}

const struct yaml *spring_member(const struct yaml *map, const char *name) {
    for (size_t i = 0; map && map->kind == YAML_MAP && i < map->count; i++)
        if (spring_key_is(map->pairs[i].key->text, name)) return map->pairs[i].value;
    return NULL;
}

const struct yaml *spring_find(const struct yaml *document, const char *first, const char *second) {
    for (size_t i = 0; document && document->kind == YAML_MAP && i < document->count; i++) {
        const struct yaml *value = document->pairs[i].value;
        struct text key = document->pairs[i].key->text;
        const char *rest = behind(key, first);
        if (!rest) continue;
        struct text left = {rest, (size_t)(key.at + key.len - rest)};
        const struct yaml *found = left.len ? NULL : spring_member(value, second);
        if (found) return found;
        if (left.len && left.at[0] == '.' && spring_key_is((struct text){left.at + 1, left.len - 1}, second))
            return value;
    }
    return NULL;
}
