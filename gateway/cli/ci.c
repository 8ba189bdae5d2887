/* What the snippets for other callers have in common: texts of a definition that no system takes for its own language,
 * the documents that they are made of, the script in them, and the comment at their head.
 *
 * Others put something of theirs in place of `${…}`, `{{…}}` or `$(…)`, so no text of a definition keeps one whole. */
#include "cli/ci.h"

#include <ctype.h>
#include <string.h>

#include "orca/yaml_write.h"

/* ---- texts ---- */

/* What a system would put something else in place of, and what would end a line of a comment. */
static const char *tame(struct arena *arena, const char *text) {
    struct buf out;
    buf_init(&out, CI_OUTPUT_MAX);
    for (const char *s = text ? text : ""; *s; s++) {
        bool opens = (s[0] == '$' || s[0] == '{') && (s[1] == '{' || s[1] == '(');
        buf_addc(&out, (unsigned char)*s < ' ' ? ' ' : *s);
        if (opens) buf_addc(&out, ' ');
    }
    const char *made = arena_strdup(arena, buf_cstr(&out));
    buf_fini(&out);
    return made;
}

const char *ci_label(const struct ci *c) {
    return tame(c->arena, c->stage->label ? c->stage->label : c->stage->name);
}

/* For names that are a host's label: Kubernetes, and others where it does no harm. */
const char *ci_lower_name(const struct ci *c, char other) {
    char *name = arena_strdup(c->arena, c->stage->name);
    for (char *s = name; *s; s++) *s = isalnum((unsigned char)*s) ? (char)tolower((unsigned char)*s) : other;
    for (size_t n = strlen(name); n && name[n - 1] == other; n--) name[n - 1] = 0;
    return name;
}

bool ci_is_secret(const struct param *param) {
    return param->type == PARAM_SECRET;
}

const char *ci_preset(const struct ci *c, const struct param *param) {
    struct buf text;
    if (!param->preset || ci_is_secret(param)) return NULL;
    buf_init(&text, CI_OUTPUT_MAX);
    json_write_text(&text, param->preset);
    const char *made = tame(c->arena, buf_cstr(&text));
    buf_fini(&text);
    return made;
}

/* "Concurrent users: how many at once (integer, default 10)" */
const char *ci_describe(const struct ci *c, const struct param *param) {
    const char *label = tame(c->arena, param->label ? param->label : param->name);
    const char *about = tame(c->arena, param->description), *preset = ci_preset(c, param);
    return arena_printf(c->arena, "%s%s%s (%s%s%s%s)", label, about[0] ? ": " : "", about, param_type_word(param->type),
                        param->required ? ", required" : "", preset ? ", default " : "", preset ? preset : "");
}

/* ---- JSON ---- */

const struct json *ci_string(const struct ci *c, const char *value) {
    return json_new_string(c->arena, value);
}

struct json *ci_put_object(const struct ci *c, struct json *in, const char *name) {
    struct json *made = json_new_object(c->arena);
    json_set(in, name, made);
    return made;
}

struct json *ci_put_array(const struct ci *c, struct json *in, const char *name) {
    struct json *made = json_new_array(c->arena);
    json_set(in, name, made);
    return made;
}

struct json *ci_push_object(const struct ci *c, struct json *in) {
    struct json *made = json_new_object(c->arena);
    json_push(in, made);
    return made;
}

const char *ci_variable(const struct ci *c, size_t param) {
    return ci_script_variable(c->arena, c->stage, param);
}

const struct json *ci_shell(const struct ci *c, struct ci_script script, const char *before, const char *after) {
    struct buf out;
    buf_init(&out, CI_OUTPUT_MAX);
    script.stage = c->stage;
    script.base_url = c->base_url;
    buf_adds(&out, before);
    ci_script_write(c->arena, &out, &script);
    buf_adds(&out, after);
    const struct json *made = json_new_text(c->arena, buf_text(&out));
    buf_fini(&out);
    return made;
}

/* ---- comments ---- */

void ci_add_comments(struct ci *c, const char *mark, const char *kind, const char *what, const char *where) {
    buf_addf(&c->out, "%s %s: the stage \"%s\" of %s. Written by `stagedoor export %s %s`.\n", mark, what,
             c->stage->name, c->base_url, kind, c->stage->name);
    buf_addf(&c->out, "%s %s\n", mark, where);
    const char *empty = strcmp(kind, "azure") == 0 ? "an empty text is a value"
                                                   : "of one that is left empty the default holds";
    if (c->stage->param_count) buf_addf(&c->out, "%s Parameters; %s:\n", mark, empty);
    for (size_t i = 0; i < c->stage->param_count; i++)
        buf_addf(&c->out, "%s   %s  %s\n", mark, c->stage->params[i].name, ci_describe(c, &c->stage->params[i]));
}

bool ci_add_yaml(struct ci *c, const struct json *document) {
    return yaml_write(&c->out, document);
}
