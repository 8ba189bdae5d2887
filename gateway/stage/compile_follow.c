/* `follow = "location"`: the asynchronous request-reply pattern, written out.
 *
 * A server that takes work answers 202 with the place to ask at, and answers 202 there until the work is done (RFC
 * 9110, 15.3.3 leaves the rest to custom; Azure, and many that are like it, have this one). It is not a mechanism of
 * its own: what is missing in the group is put there in the words of the language, and compiled as if somebody had
 * written it. */
#include <string.h>

#include "stage/compile.h"

#define ADDED_MAX 4

struct addition {
    struct conf *group, *items;
    const struct conf *at; /* the setting `follow`: where mistakes are shown */
};

static struct conf *add(const struct addition *to, const char *name) {
    if (conf_find(to->group, name)) return NULL;
    struct conf *item = &to->items[to->group->count++];
    *item = *to->at;
    item->name = name;
    return item;
}

static void add_text(const struct addition *to, const char *name, const char *text) {
    struct conf *item = add(to, name);
    if (item) item->string = text_of(text);
}

const struct conf *compile_follow(struct compile *c, const struct conf *group, const char *before) {
    const struct conf *at = group->kind == CONF_GROUP ? conf_find(group, "follow") : NULL;
    if (!at || at->kind != CONF_STRING) return group;
    if (!text_is(at->string, "location"))
        compile_fault(c, at, FAULT_INVALID, "follow: \"%.*s\" is not possible; follow = \"location\" is",
                      TEXT_ARG(at->string));
    if (!before) {
        compile_fault(c, at, FAULT_INVALID, "follow needs a step before it, whose reply says where to ask");
        return group;
    }
    if (conf_find(group, "url"))
        compile_fault(c, conf_find(group, "url"), FAULT_INVALID, "with follow the url comes from the reply of %s",
                      before);
    struct conf *whole = arena_new_of(c->arena, struct conf);
    struct conf *items = arena_array_of(c->arena, struct conf, group->count + ADDED_MAX);
    *whole = *group;
    memcpy(items, group->items, group->count * sizeof *items);
    whole->items = items;
    struct addition to = {whole, items, at};
    add_text(&to, "url", arena_printf(c->arena, "{{ %s.headers.location }}", before));
    if (!compile_rules_find(group)) {
        add_text(&to, "success_when", "code != 202");
        add_text(&to, "running_when", "code == 202");
    }
    struct conf *redirects = add(&to, "follow_redirects");
    if (redirects) redirects->kind = CONF_BOOL, redirects->truth = true;
    return whole;
}

/* Its own comes first: it may ask whether there was a reply at all. */
const struct conf *compile_follow_when(struct compile *c, const struct conf *group, const char *before) {
    const struct conf *own = conf_find(group, "when"), *at = own ? own : conf_find(group, "follow");
    struct conf *when = arena_copy(c->arena, at, sizeof *at);
    const char *there = arena_printf(c->arena, "%s.code == 202 or %s.headers.location is defined", before, before);
    if (own) there = arena_printf(c->arena, "(%.*s) and (%s)", TEXT_ARG(own->string), there);
    when->name = "when";
    when->string = text_of(there);
    return when;
}
