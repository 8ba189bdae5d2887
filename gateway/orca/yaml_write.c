/* Writes JSON values as YAML, by libyaml's emitter.
 *
 * The emitter knows what a style can carry, and takes double quotes where it cannot: control characters, text that ends
 * in blanks. It does not know what a reader makes of a text without quotes. YAML 1.1 takes `no`, `1_000`, `12:30:00`
 * and `2026-01-01` for other things than text, and readers differ; so a text goes without quotes only if it begins with
 * a letter, is made of harmless characters, and is none of the words that mean something.
 *
 * Lists of plain values stand on one line, everything else in blocks. */
#include "orca/yaml_write.h"

#include <yaml.h>

#include "lang/value.h"

struct writer {
    yaml_emitter_t emitter;
    bool ok;
};

static int on_bytes(void *arg, unsigned char *bytes, size_t len) {
    struct buf *out = arg;
    buf_add(out, bytes, len);
    return !out->full;
}

/* ---- how a text is written ---- */

static bool means_something(struct text t) {
    static const char *const words[] = {"y",    "n",     "yes",  "no",   "on",  "off",
                                        "true", "false", "null", "none", "inf", "nan"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (text_is_nocase(t, words[i])) return true;
    return false;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A ':' separates before a blank or at the end only; in a list on one line it and a comma are best left out. */
static bool goes_bare(struct text t, bool in_list) {
    if (t.len == 0 || (!is_letter(t.at[0]) && t.at[0] != '$')) return false;
    if (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == ':') return false;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.at[i];
        if (c == ':' && t.at[i + 1] == ' ') return false;
        if (!is_letter(c) && (c < '0' || c > '9') && !memchr("$_./- ,:;()", c, in_list ? 6 : 11)) return false;
    }
    return !means_something(t);
}

/* NEL, LS and PS: line ends to YAML 1.1, which a block would not keep apart. */
static bool has_odd_breaks(struct text t) {
    return text_holds(t, "\xC2\x85") || text_holds(t, "\xE2\x80\xA8") || text_holds(t, "\xE2\x80\xA9");
}

/* A block that keeps several line ends has to say so, and would end the whole document by dots where it is the last. */
static bool is_block(struct text t) {
    if (t.len == 0 || !memchr(t.at, '\n', t.len)) return false;
    return t.at[t.len - 1] != '\n' || (t.len > 1 && t.at[t.len - 2] != '\n');
}

static yaml_scalar_style_t style_of(struct text t, bool in_list) {
    if (goes_bare(t, in_list)) return YAML_PLAIN_SCALAR_STYLE;
    if (is_block(t) && !has_odd_breaks(t)) return YAML_LITERAL_SCALAR_STYLE;
    bool quoted_twice = has_odd_breaks(t) || (t.len && memchr(t.at, '\n', t.len));
    return quoted_twice ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_SINGLE_QUOTED_SCALAR_STYLE;
}

/* ---- events ---- */

/* `made` is what an event's initialisation returned; the emitter TAKES the event, whatever it answers. */
static void emit(struct writer *w, yaml_event_t *event, int made) {
    if (!made) w->ok = false;
    else if (!w->ok) yaml_event_delete(event);
    else w->ok = yaml_emitter_emit(&w->emitter, event);
}

static void write_scalar(struct writer *w, struct text t, yaml_scalar_style_t style) {
    yaml_event_t event;
    const yaml_char_t *bytes = (const yaml_char_t *)(t.len ? t.at : "");
    emit(w, &event, yaml_scalar_event_initialize(&event, NULL, NULL, bytes, (int)t.len, 1, 1, style));
}

static void write_value(struct writer *w, const struct json *value, bool in_list);

static void write_object(struct writer *w, const struct json *object) {
    yaml_event_t event;
    emit(w, &event, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
    for (struct json_member m = json_first(object); m.name.at; m = json_next(object, m)) {
        write_scalar(w, m.name, style_of(m.name, true));
        write_value(w, m.value, false);
    }
    emit(w, &event, yaml_mapping_end_event_initialize(&event));
}

static bool all_plain(const struct json *list) {
    for (size_t i = 0; i < json_size(list); i++) {
        enum json_kind kind = json_kind(json_at(list, i));
        if (kind == JSON_ARRAY || kind == JSON_OBJECT) return false;
    }
    return true;
}

static void write_list(struct writer *w, const struct json *list) {
    yaml_event_t event;
    bool plain = all_plain(list);
    emit(w, &event,
         yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                              plain ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE));
    for (size_t i = 0; i < json_size(list); i++) write_value(w, json_at(list, i), plain);
    emit(w, &event, yaml_sequence_end_event_initialize(&event));
}

static void write_value(struct writer *w, const struct json *value, bool in_list) {
    char room[VALUE_DIGITS];
    switch (json_kind(value)) {
    case JSON_OBJECT: write_object(w, value); break;
    case JSON_ARRAY: write_list(w, value); break;
    case JSON_STRING: write_scalar(w, json_text(value), style_of(json_text(value), in_list)); break;
    case JSON_NULL: write_scalar(w, TEXT("null"), YAML_PLAIN_SCALAR_STYLE); break;
    default: write_scalar(w, value_scalar_text(value_of(value), room), YAML_PLAIN_SCALAR_STYLE); break;
    }
}

static void begin(struct writer *w, struct buf *out) {
    yaml_event_t event;
    w->ok = yaml_emitter_initialize(&w->emitter);
    if (!w->ok) return;
    yaml_emitter_set_output(&w->emitter, on_bytes, out);
    yaml_emitter_set_unicode(&w->emitter, 1);
    yaml_emitter_set_width(&w->emitter, -1);
    emit(w, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(w, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
}

bool yaml_write(struct buf *out, const struct json *value) {
    struct writer w;
    yaml_event_t event;
    begin(&w, out);
    write_value(&w, value, false);
    emit(&w, &event, yaml_document_end_event_initialize(&event, 1));
    emit(&w, &event, yaml_stream_end_event_initialize(&event));
    yaml_emitter_delete(&w.emitter);
    return w.ok && !out->full;
}
