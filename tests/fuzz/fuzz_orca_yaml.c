/* Reads the input as orca's configuration, and holds an export against it; and takes it for the text of a definition,
 * which has to come back out of the export's YAML as it was, with nothing that differs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "orca/compare.h"
#include "orca/preconfigured.h"
#include "orca/yaml_write.h"

#define URL "http://gw.ops.svc.cluster.local:8095"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool every(void *arg, const char *stage) {
    (void)arg;
    return stage != NULL;
}

/* False: it is no YAML. */
static bool compare(struct arena *arena, struct text file, const struct json *entries, size_t *ret_differences) {
    struct yaml **documents;
    struct fault fault;
    struct compare with = {.arena = arena, .entries = entries, .base_url = URL, .wanted = every};
    if (!yaml_read(arena, file, "input", &documents, &with.document_count, &fault)) return false;
    with.documents = documents;
    const struct json *found = compare_entries(&with);
    *ret_differences = json_size(found);
    for (size_t i = 0; i < json_size(found); i++)
        if (!json_gets_text(json_at(found, i), "type") || !json_gets_text(json_at(found, i), "what")) abort();
    struct url_rules rules = compare_url_rules(&with);
    struct url_rules_breach breaches[URL_RULES_BREACHES_MAX];
    struct url_rules_host host = {0};
    struct url url;
    if (!url_parse(TEXT(URL), &url, &fault)) abort();
    url_rules_check(arena, &rules, &url, &host, breaches);
    return true;
}

static struct json *entries_with(struct arena *arena, struct text text) {
    struct preconfigured_form form = {.base_url = URL, .type_prefix = "gw-", .authorization = "Bearer ${T}"};
    const struct json *made = preconfigured_generic(arena, &form);
    struct json *entry = json_new_object(arena), *entries = json_new_array(arena), *roles = json_new_array(arena);
    struct json *permissions = json_new_object(arena);
    for (struct json_member m = json_first(made); m.name.at; m = json_next(made, m))
        json_set_text(entry, m.name, m.value);
    json_set(entry, "label", json_new_text(arena, text));
    json_push(roles, json_new_text(arena, text));
    json_push(roles, json_new_string(arena, "ops"));
    json_set(permissions, "WRITE", roles);
    json_set(entry, "permissions", permissions);
    json_push(entries, entry);
    return entries;
}

static void check_round(struct arena *arena, const struct json *entries, struct text text) {
    struct json *webhook = json_new_object(arena), *document = json_new_object(arena);
    struct buf out;
    size_t differences;
    json_set(webhook, "preconfigured", entries);
    json_set(document, "webhook", webhook);
    buf_init(&out, 16 << 20);
    if (!yaml_write(&out, document)) abort();
    if (!compare(arena, buf_text(&out), entries, &differences) || differences) abort();
    struct yaml **documents;
    size_t count;
    if (!yaml_read(arena, buf_text(&out), "it", &documents, &count, NULL) || count != 1) abort();
    const struct yaml *list = yaml_get(yaml_get(documents[0], "webhook"), "preconfigured");
    if (!text_same(yaml_get(list->items[0], "label")->text, text)) abort();
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new();
    struct text input = {arena_strndup(arena, (const char *)data, size), size};
    size_t differences;
    const struct json *entries = entries_with(arena, TEXT("Label"));
    compare(arena, input, entries, &differences);
    if (size < 4096) {
        entries = entries_with(arena, input); /* what is no UTF-8, and NUL, becomes U+FFFD */
        check_round(arena, entries, json_text(json_gets(json_at(entries, 0), "label")));
    }
    arena_free(arena);
    return 0;
}
