/* The keys of an entry, as Spring binds them (statusJsonPath, status-json-path), and their plain values.
 *
 * Every key that orca knows is translated somewhere or needs nothing; every other one is named here. */
#include <string.h>

#include "orca/import_job.h"
#include "orca/spring.h"

static const char *const keys[] = {"enabled",
                                   "label",
                                   "description",
                                   "type",
                                   "parameters",
                                   "url",
                                   "customHeaders",
                                   "sensitiveHeaders",
                                   "parameterValues",
                                   "parameterData",
                                   "method",
                                   "payload",
                                   "waitForCompletion",
                                   "statusJsonPath",
                                   "statusUrlResolution",
                                   "statusUrlJsonPath",
                                   "progressJsonPath",
                                   "successStatuses",
                                   "canceledStatuses",
                                   "terminalStatuses",
                                   "permissions",
                                   "cancelEndpoint",
                                   "cancelMethod",
                                   "cancelPayload",
                                   "waitBeforeMonitor",
                                   "retryStatusCodes",
                                   "signalCancellation",
                                   "failFastStatusCodes"};
enum { KEY_COUNT = sizeof keys / sizeof *keys };

static const char *const stage_keys[] = {"monitorOnly",      "account",         "retries",
                                         "stageTimeoutMs",   "backoffPeriodMs", "webhookRetryStatusCodes",
                                         "expectedArtifacts"};

static const char *known_key(struct text key) {
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (spring_key_is(key, keys[i])) return keys[i];
    return NULL;
}

static void refuse_key(struct import_work *w, const struct yaml *key) {
    const char *word = import_clean(w, key->text);
    const char *nearest = text_nearest(word, keys, KEY_COUNT);
    for (size_t i = 0; i < sizeof stage_keys / sizeof *stage_keys; i++)
        if (spring_key_is(key->text, stage_keys[i])) {
            import_say(w, IMPORT_UNSETTLED, key->line, "%s is for a stage of a pipeline; here orca does not read it",
                       word);
            return;
        }
    if (strcmp(word, "headers") == 0) nearest = "customHeaders";
    if (nearest)
        import_say(w, IMPORT_UNSETTLED, key->line, "orca does not know the key %s; did you mean %s?", word, nearest);
    else import_say(w, IMPORT_UNSETTLED, key->line, "orca does not know the key %s, and ignores it", word);
}

void import_say_twice(struct import_work *w, const char *name, const struct yaml *first, const struct yaml *again) {
    import_say(w, IMPORT_UNSETTLED, again->line, "%s stands here and in line %d, in two spellings", name,
               first->line + w->line_offset);
}

/* The entry with its keys as orca's class has them. */
const struct yaml *import_canonical(struct import_work *w, const struct yaml *entry) {
    struct yaml *same = arena_copy(w->arena, entry, sizeof *entry);
    struct yaml_pair *pairs = arena_array_of(w->arena, struct yaml_pair, entry->count);
    same->pairs = pairs;
    same->count = 0;
    for (size_t i = 0; i < entry->count; i++) {
        const char *name = known_key(entry->pairs[i].key->text);
        if (!name) {
            refuse_key(w, entry->pairs[i].key);
            continue;
        }
        struct spring_found found = spring_keys(same, name);
        if (found.count) {
            import_say_twice(w, name, found.pairs[0]->key, entry->pairs[i].key);
            continue;
        }
        struct yaml *key = arena_copy(w->arena, entry->pairs[i].key, sizeof *key);
        key->text = text_of(name);
        pairs[same->count++] = (struct yaml_pair){key, entry->pairs[i].value};
    }
    return same;
}

struct text import_text_at(struct import_work *w, const char *key) {
    const struct yaml *value = yaml_get(w->entry, key);
    if (yaml_is_null(value)) return (struct text){NULL, 0};
    if (value->kind != YAML_TEXT) {
        import_say(w, IMPORT_UNSETTLED, value->line, "%s is no text", key);
        return (struct text){NULL, 0};
    }
    return text_trim(import_resolve(w, yaml_as_text(value), value->line));
}

/* True, false, or `preset` where it is not there or cannot be told. */
bool import_truth_at(struct import_work *w, const char *key, bool preset) {
    const struct yaml *value = yaml_get(w->entry, key);
    struct text word = import_text_at(w, key);
    if (!word.len) return preset;
    if (text_is_nocase(word, "true")) return true;
    if (!text_is_nocase(word, "false"))
        import_say(w, IMPORT_UNSETTLED, value->line, "%s: \"%s\" is not true or false", key, import_clean(w, word));
    return text_is_nocase(word, "false") ? false : preset;
}
