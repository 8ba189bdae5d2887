/* Finds the entries of `webhook.preconfigured`, wherever a file has them.
 *
 * It may be orca's own, with the key nested or dotted, or one that has it inside: a SpinnakerService, a ConfigMap whose
 * text it is. A file of aliases could make walks endless, so their steps are counted. */
#include "orca/import_job.h"
#include "orca/spring.h"

static bool fail_at(struct import_job *job, const struct yaml *node, int offset, const char *what,
                    struct fault *fault) {
    return fault_set(fault, FAULT_INVALID, NULL, "%s:%d: %s", job->file, node->line + offset, what);
}

static bool take_list(struct import_job *job, const struct yaml *list, const struct yaml *document, int offset,
                      struct fault *fault) {
    if (yaml_is_null(list)) return true;
    if (list->kind != YAML_LIST) return fail_at(job, list, offset, "webhook.preconfigured has to be a list", fault);
    for (size_t i = 0; i < list->count; i++) {
        struct import_entry entry = {list->items[i], document, offset};
        buf_add(&job->entries, &entry, sizeof entry);
    }
    return !job->entries.full || fail_at(job, list, offset, "more entries than 2,000", fault);
}

static bool walk(struct import_job *job, const struct yaml *node, const struct yaml *document, int offset, bool outer,
                 struct fault *fault);

/* orca-local.yml: | in a ConfigMap: the text is a file of its own. */
static bool walk_text(struct import_job *job, const struct yaml_pair *pair, int offset, struct fault *fault) {
    struct text name = pair->key->text, text = pair->value->text;
    struct yaml **documents;
    size_t count;
    if (!text_ends(name, ".yml") && !text_ends(name, ".yaml")) return true;
    if (!spring_mentions(text, "preconfigured") || pair->value->folded) return true;
    offset += pair->value->text_line - 1;
    const char *inside = arena_printf(job->arena, "%s, in %.*s from line %d on", job->file,
                                      name.len > 80 ? 80 : (int)name.len, name.at, offset + 1);
    if (!yaml_read(job->arena, text, inside, &documents, &count, fault)) return false;
    for (size_t i = 0; i < count; i++)
        if (!walk(job, documents[i], documents[i], offset, false, fault)) return false;
    return true;
}

/* The lists that this pair leads to: webhook.preconfigured itself, or inside of webhook. */
static struct spring_found lists_at(const struct yaml_pair *pair, bool *ret_is_webhook) {
    struct text key = pair->key->text, before;
    *ret_is_webhook = spring_path_ends(key, "webhook", &before) && pair->value->kind == YAML_MAP;
    if (*ret_is_webhook) return spring_keys(pair->value, "preconfigured");
    bool whole = spring_path_ends(key, "preconfigured", &before) && spring_path_ends(before, "webhook", &before);
    return (struct spring_found){{pair}, whole};
}

static bool check_once(struct import_job *job, const struct spring_found *found, int offset, struct fault *fault) {
    if (found->count < 2) return true;
    const char *what = arena_printf(job->arena, "webhook.preconfigured stands here and in line %d, in two spellings",
                                    found->pairs[0]->key->line + offset);
    return fail_at(job, found->pairs[1]->key, offset, what, fault);
}

static bool walk_pair(struct import_job *job, const struct yaml *map, size_t i, const struct yaml *document, int offset,
                      bool outer, struct fault *fault) {
    const struct yaml_pair *pair = &map->pairs[i];
    bool is_webhook;
    struct spring_found here = lists_at(pair, &is_webhook);
    if (here.count) {
        struct spring_found all = spring_paths(map, "webhook", "preconfigured");
        return check_once(job, &here, offset, fault) && check_once(job, &all, offset, fault) &&
               take_list(job, here.pairs[0]->value, document, offset, fault);
    }
    if (is_webhook) return true;
    if (pair->value->kind == YAML_TEXT) return !outer || walk_text(job, pair, offset, fault);
    return walk(job, pair->value, document, offset, outer, fault);
}

static bool walk(struct import_job *job, const struct yaml *node, const struct yaml *document, int offset, bool outer,
                 struct fault *fault) {
    if (++job->steps > IMPORT_STEPS_MAX) return fail_at(job, node, offset, "the file is too entangled", fault);
    bool good = true;
    for (size_t i = 0; good && node->kind == YAML_MAP && i < node->count; i++)
        good = walk_pair(job, node, i, document, offset, outer, fault);
    for (size_t i = 0; good && node->kind == YAML_LIST && i < node->count; i++)
        good = walk(job, node->items[i], document, offset, outer, fault);
    return good;
}

bool import_find(struct import_job *job, struct text source, struct fault *fault) {
    struct yaml **documents;
    size_t count;
    if (!yaml_read(job->arena, source, job->file, &documents, &count, fault)) return false;
    for (size_t i = 0; i < count; i++)
        if (!walk(job, documents[i], documents[i], 0, true, fault)) return false;
    return job->entries.len ||
           fault_set(fault, FAULT_NOT_FOUND, job->file,
                     "there is no entry in webhook.preconfigured (job.preconfigured has Run Job stages, which are "
                     "something else)");
}
