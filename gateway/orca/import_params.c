/* The `parameters` of an entry. orca knows strings only, so what it ignores (types, options) says what was meant, and a
 * default that only a pipeline can evaluate, or that looks like a credential, is not taken over. */
#include "orca/import_job.h"
#include "orca/spring.h"

static void read_param_type(struct import_work *w, const struct yaml *value, struct import_param *param) {
    static const char *const types[] = {"boolean", "integer", "number"};
    struct text word = text_trim(yaml_as_text(value));
    if (!word.len || text_is_nocase(word, "string")) return;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (text_is_nocase(word, types[i])) {
            param->type = types[i];
            import_say(w, IMPORT_NOTE, value->line, "the type %s, which orca does not know, is one here", types[i]);
            return;
        }
    import_say(w, IMPORT_UNSETTLED, value->line, "a parameter of the type \"%s\"; orca knows string only",
               import_clean(w, word));
}

static void read_preset(struct import_work *w, const struct yaml *value, struct import_param *param) {
    if (yaml_is_null(value)) return;
    struct text text = import_resolve(w, yaml_as_text(value), value->line);
    if (!text_holds(text, "${")) {
        bool credential = import_secret_name(param->original, IMPORT_JSON) && text.len;
        if (credential) {
            param->type = "secret";
            param->required = true;
            import_say(w, IMPORT_NOTE, value->line,
                       "the default of %s looks like a credential and is not taken over: it has to be given",
                       param->name);
        } else param->preset = arena_strndup(w->arena, text.at, text.len);
        return;
    }
    param->required = true;
    const char *clean = import_clean(w, text);
    param->description = arena_printf(w->arena, "%s%sIn Spinnaker, the expression %s",
                                      param->description ? param->description : "",
                                      param->description && param->description[0] ? " " : "", clean);
    import_say(w, IMPORT_NOTE, value->line,
               "the default of %s is an expression, which only the pipeline can evaluate: it has to give %.*s",
               param->name, TEXT_ARG(text));
}

static void read_param_key(struct import_work *w, const struct yaml_pair *pair, struct import_param *param) {
    struct text key = pair->key->text;
    const struct yaml *value = pair->value;
    bool text = value->kind == YAML_TEXT && !yaml_is_null(value);
    const char *clean = text ? import_clean(w, import_resolve(w, yaml_as_text(value), value->line)) : NULL;
    if (spring_key_is(key, "label")) param->label = clean;
    else if (spring_key_is(key, "description")) param->description = clean;
    else if (spring_key_is(key, "type")) read_param_type(w, value, param);
    else if (spring_key_is(key, "order")) {
        if (!text_to_int(yaml_as_text(value), &param->order))
            import_say(w, IMPORT_UNSETTLED, value->line, "order is no whole number");
    } else if (spring_key_is(key, "options") && value->kind == YAML_LIST && value->count) {
        param->type = "choice";
        param->choices = value;
        import_say(w, IMPORT_NOTE, pair->key->line, "options, which orca ignores, are the choices of %s", param->name);
    } else if (!spring_key_is(key, "name") && !spring_key_is(key, "defaultValue"))
        import_say(w, IMPORT_UNSETTLED, pair->key->line, "orca does not know the key %s of a parameter",
                   import_clean(w, key));
}

/* A new one of that name; NULL after a remark. */
static struct import_param *begin_param(struct import_work *w, const struct yaml *item) {
    const struct yaml *name = spring_member(item, "name");
    struct text original = name ? text_trim(yaml_as_text(name)) : (struct text){NULL, 0};
    struct import_param *param = NULL;
    if (!original.len) import_say(w, IMPORT_UNSETTLED, item->line, "a parameter without a name");
    else if (import_param_find(w, original, false))
        import_say(w, IMPORT_UNSETTLED, name->line, "there are two parameters %s", import_clean(w, original));
    else if (!(param = import_param_add(w, original, false, NULL)))
        import_say(w, IMPORT_UNSETTLED, name->line, "more than %d parameters", IMPORT_PARAMS_MAX);
    else if (!text_is(original, param->name))
        import_say(w, IMPORT_NOTE, name->line,
                   "the parameter \"%s\" is called %s here: callers have to give it by that name",
                   import_clean(w, original), param->name);
    return param;
}

static void look_for_doubles(struct import_work *w, const struct yaml *item) {
    static const char *const names[] = {"name", "label", "description", "type", "order", "options", "defaultValue"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct spring_found found = spring_keys(item, names[i]);
        if (found.count > 1) import_say_twice(w, names[i], found.pairs[0]->key, found.pairs[1]->key);
    }
}

static void read_param(struct import_work *w, const struct yaml *item) {
    const struct yaml *preset = NULL;
    struct import_param *param = begin_param(w, item);
    if (!param) return;
    param->order = 0;
    look_for_doubles(w, item);
    for (size_t i = 0; i < item->count; i++) {
        read_param_key(w, &item->pairs[i], param);
        if (spring_key_is(item->pairs[i].key->text, "defaultValue")) preset = item->pairs[i].value;
    }
    read_preset(w, preset, param);
    if (param->type || param->preset || !import_secret_name(param->original, IMPORT_JSON)) return;
    param->type = "secret";
    import_say(w, IMPORT_NOTE, item->line, "the parameter %s looks like a credential, and is masked everywhere",
               param->name);
}

void import_params(struct import_work *w) {
    const struct yaml *list = yaml_get(w->entry, "parameters");
    if (yaml_is_null(list)) return;
    if (list->kind != YAML_LIST) {
        import_say(w, IMPORT_UNSETTLED, list->line, "parameters is no list");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind == YAML_MAP) read_param(w, list->items[i]);
        else import_say(w, IMPORT_UNSETTLED, list->items[i]->line, "a parameter is a mapping: name, label, …");
    }
}
