/* Reads the files of a definition, and remembers them.
 *
 * A run keeps the definition that it began with, over reloads and restarts. So every text that compiling reads goes
 * through here, and is written down; given back later, the same compile sees the same texts and touches no disk. Paths
 * are the keys, as they were formed: they are the same again, since they come from the texts themselves. */
#include "stage/source.h"

#include <string.h>

#include "config/conf_file.h"

static void source_start(struct source *s, struct arena *arena) {
    *s = (struct source){.arena = arena};
    s->includes = json_new_object(arena);
    s->read_templates = json_new_object(arena);
}

void source_init_disk(struct source *source, struct arena *arena, const char *file, const char *templates) {
    source_start(source, arena);
    source->file = arena_strdup(arena, file);
    source->templates = arena_strdup(arena, templates ? templates : "templates");
}

bool source_init_pinned(struct source *source, struct arena *arena, const char *pinned, struct fault *fault) {
    struct json_limits limits = {.max_bytes = 64 << 20, .max_depth = 8, .max_items = 100000};
    source_start(source, arena);
    const struct json *value = json_parse(arena, text_of(pinned), &limits, fault);
    if (!value) return false;
    source->file = json_gets_text(value, "file");
    if (!source->file || !json_gets_text(value, "text"))
        return fault_set(fault, FAULT_INVALID, NULL, "a pinned definition has no file or no text");
    source->pinned = value;
    source->templates = "templates";
    return true;
}

static bool pinned_text(const struct source *s, const char *group, const char *key, struct text *ret_text,
                        struct fault *fault) {
    const struct json *value = json_gets(json_gets(s->pinned, group), key);
    if (json_kind(value) != JSON_STRING)
        return fault_set(fault, FAULT_NOT_FOUND, NULL, "%s is not part of the pinned definition", key);
    *ret_text = json_text(value);
    return true;
}

bool source_read(void *arg, struct arena *arena, const char *path, struct text *ret_text, struct fault *fault) {
    struct source *s = arg;
    bool first = strcmp(path, s->file) == 0;
    if (s->pinned && first) *ret_text = json_text(json_gets(s->pinned, "text"));
    else if (s->pinned && !pinned_text(s, "includes", path, ret_text, fault)) return false;
    else if (!s->pinned && !conf_disk.read(conf_disk.arg, arena, path, ret_text, fault)) return false;
    struct json *text = json_new_text(s->arena, *ret_text);
    if (first) s->text = text;
    else json_set(s->includes, path, text);
    return true;
}

static bool name_check(const char *name, struct fault *fault) {
    struct text rest = text_of(name), part;
    if (name[0] == '/' || strchr(name, '\\'))
        return fault_set(fault, FAULT_INVALID, NULL, "\"%s\" must be a path below the directory of templates", name);
    while (text_cut(&rest, '/', &part)) {
        if (part.len && !text_is(part, "..") && !text_is(part, ".")) continue;
        return fault_set(fault, FAULT_INVALID, NULL, "\"%s\" must be a path below the directory of templates", name);
    }
    return true;
}

bool source_template(struct source *source, const char *name, const char **ret_file, struct text *ret_text,
                     struct fault *fault) {
    if (!name_check(name, fault)) return false;
    const char *path = arena_printf(source->arena, "%s/%s", source->templates, name);
    if (source->pinned) {
        if (!pinned_text(source, "templates", name, ret_text, fault)) return false;
    } else if (!conf_disk.read(conf_disk.arg, source->arena, path, ret_text, fault)) {
        return false;
    }
    if (!text_utf8_check(*ret_text) || (ret_text->len && memchr(ret_text->at, 0, ret_text->len)))
        return fault_set(fault, FAULT_SYNTAX, NULL, "%s is not UTF-8 text", path);
    json_set(source->read_templates, name, json_new_text(source->arena, *ret_text));
    *ret_file = path;
    return true;
}

const char *source_write(const struct source *source) {
    struct json *value = json_new_object(source->arena);
    struct buf out;
    json_set(value, "file", json_new_string(source->arena, source->file));
    json_set(value, "text", source->text);
    json_set(value, "includes", source->includes);
    json_set(value, "templates", source->read_templates);
    buf_init(&out, SIZE_MAX / 2);
    json_write(&out, value);
    const char *written = arena_strndup(source->arena, buf_text(&out).at, out.len);
    buf_fini(&out);
    return written;
}
