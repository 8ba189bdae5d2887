/* Writes a definition out of what the other parts have found, and compiles it to see that it is one.
 *
 * What is not settled stands as the setting `unsettled` in the group that it is about, with the line of orca's file;
 * the rest of the definition is whole, so that these are the only mistakes that `stagedoor check` shows. Should the
 * compiler find another one, it becomes such a remark as well: nothing that was imported is offered by accident. */
#include <string.h>

#include "lang/json.h"
#include "orca/import_job.h"
#include "stage/stage.h"

#define CONF_MAX ((size_t)4 << 20)

void import_add_string(struct buf *out, struct text text) {
    buf_addc(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '"' || c == '\\') buf_addf(out, "\\%c", c);
        else if (c == '\n') buf_adds(out, "\\n");
        else if (c == '\r') buf_adds(out, "\\r");
        else if (c == '\t') buf_adds(out, "\\t");
        else if (c < 0x20) buf_addf(out, "\\x%02x", c);
        else buf_addc(out, (char)c);
    }
    buf_addc(out, '"');
}

void import_add_setting(struct buf *out, const char *name, struct text text) {
    buf_addf(out, "  %s = ", name);
    import_add_string(out, text);
    buf_adds(out, ";\n");
}

/* ---- parameters ---- */

static void add_member(struct buf *out, const char *name, const char *value) {
    buf_addf(out, " %s = ", name);
    import_add_string(out, text_of(value));
    buf_addc(out, ';');
}

static void add_choices(struct buf *out, const struct yaml *choices) {
    buf_adds(out, " choices = [ ");
    for (size_t i = 0; i < choices->count; i++) {
        if (i) buf_adds(out, ", ");
        import_add_string(out, yaml_as_text(choices->items[i]));
    }
    buf_adds(out, " ];");
}

static void write_param(struct buf *out, const struct import_param *param) {
    buf_adds(out, "  {");
    add_member(out, "name", param->name);
    if (param->type) add_member(out, "type", param->type);
    if (param->label && param->label[0] && strcmp(param->label, param->name) != 0)
        add_member(out, "label", param->label);
    if (param->description && param->description[0]) add_member(out, "description", param->description);
    if (param->choices) add_choices(out, param->choices);
    if (param->preset) add_member(out, "default", param->preset);
    if (param->required) buf_adds(out, " required = true;");
    buf_adds(out, " }");
}

/* In the order that the editor shows them in, those that came to it last. */
static void sort_params(struct import_work *w) {
    for (size_t i = 1; i < w->param_count; i++) {
        struct import_param moving = w->params[i];
        size_t to = i;
        for (; to > 0 && w->params[to - 1].order > moving.order; to--) w->params[to] = w->params[to - 1];
        w->params[to] = moving;
    }
}

static void write_params(struct import_work *w, struct buf *out) {
    if (!w->param_count) return;
    sort_params(w);
    buf_adds(out, "\nparameters = (\n");
    for (size_t i = 0; i < w->param_count; i++) {
        write_param(out, &w->params[i]);
        buf_adds(out, i + 1 < w->param_count ? ",\n" : "\n");
    }
    buf_adds(out, ");\n");
}

/* ---- the file ---- */

static void write_unsettled(const struct import_work *w, enum import_group group, struct buf *out) {
    const char *const *all = (const char *const *)(const void *)w->unsettled[group].at;
    size_t count = w->unsettled[group].len / sizeof *all;
    const char *indent = group == IMPORT_TOP ? "" : "  ";
    if (!count) return;
    buf_addf(out, "%s# To be decided; take it out then.\n%sunsettled = [\n", indent, indent);
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s  ", indent);
        import_add_string(out, text_of(all[i]));
        buf_adds(out, i + 1 < count ? ",\n" : "\n");
    }
    buf_addf(out, "%s];\n", indent);
}

static void write_head(struct import_work *w, struct buf *out) {
    buf_addf(out, "# Imported from %s, line %d: %s in webhook.preconfigured.\n", import_clean(w, text_of(w->job->base)),
             w->entry->line + w->line_offset, import_clean(w, text_of(w->type)));
    for (size_t i = 0; i < w->remark_count; i++)
        if (w->remarks[i].grade == IMPORT_NOTE)
            buf_addf(out, "# line %d: %s\n", w->remarks[i].line, import_clean(w, text_of(w->remarks[i].text)));
    buf_addc(out, '\n');
}

void import_write(struct import_work *w, const char *const groups[IMPORT_GROUPS]) {
    static const char *const names[IMPORT_GROUPS] = {NULL, "request", "status", "cancel"};
    struct buf out;
    buf_init(&out, CONF_MAX);
    write_head(w, &out);
    buf_adds(&out, groups[IMPORT_TOP]);
    write_unsettled(w, IMPORT_TOP, &out);
    write_params(w, &out);
    for (enum import_group group = IMPORT_REQUEST; group < IMPORT_GROUPS; group++) {
        if (!groups[group]) continue;
        buf_addf(&out, "\n%s = {\n%s", names[group], groups[group]);
        write_unsettled(w, group, &out);
        buf_adds(&out, "};\n");
    }
    buf_adds(&out, "\noutputs = { body = \"$\"; }; # the last reply, as webhook.monitor.body was\n");
    struct import_file *file = &w->files[0];
    *file = (struct import_file){arena_printf(w->arena, "%s.conf", w->name), false, {0}};
    file->text = (struct text){arena_strndup(w->arena, buf_cstr(&out), out.len), out.len};
    if (out.full) import_say(w, IMPORT_REFUSED, w->entry->line, "the definition would have more than 4 MiB");
    buf_fini(&out);
}

/* ---- compiling it ---- */

static const char *pinned(struct import_work *w) {
    struct json *all = json_new_object(w->arena), *templates = json_new_object(w->arena);
    struct buf out;
    for (size_t i = 1; i < w->file_count; i++)
        json_set(templates, w->files[i].name, json_new_text(w->arena, w->files[i].text));
    json_set(all, "file", json_new_string(w->arena, w->files[0].name));
    json_set(all, "text", json_new_text(w->arena, w->files[0].text));
    json_set(all, "includes", json_new_object(w->arena));
    json_set(all, "templates", templates);
    buf_init(&out, CONF_MAX * 8);
    json_write(&out, all);
    const char *source = arena_strdup(w->arena, buf_cstr(&out));
    buf_fini(&out);
    return source;
}

void import_verify(struct import_work *w, const char *const groups[IMPORT_GROUPS]) {
    struct stage_context context = {.templates = "templates"};
    struct faults faults;
    bool more = false;
    faults_init(&faults);
    struct stage *stage = stage_load_source(pinned(w), &context, &faults);
    for (size_t i = 0; !stage && i < faults.count; i++) {
        if (text_starts(text_of(faults.items[i].what), "not settled: ")) continue;
        w->group = IMPORT_TOP;
        import_say(w, IMPORT_UNSETTLED, w->entry->line, "this does not do yet (%s): %s", faults.items[i].where,
                   faults.items[i].what);
        more = true;
    }
    stage_unref(stage);
    faults_fini(&faults);
    if (more) import_write(w, groups);
}
