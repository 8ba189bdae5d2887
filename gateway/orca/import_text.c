/* Texts of the file as templates: Spring's placeholders first, then SpEL, each in the place where it stands.
 *
 * orca makes one text of a payload, whatever is in it. Here a value in quotes of a JSON text stays a text, and one
 * outside of them is the JSON that its text means (`fromjson`), so that the same bytes come out, yet no value can break
 * out of its place. In a URL a value is escaped, and slashes of the path stay. */
#include <stdarg.h>
#include <string.h>

#include "lang/json.h"
#include "lang/url.h"
#include "orca/import_job.h"
#include "orca/jinja.h"
#include "orca/spel_write.h"

#define RESOLVE_DEPTH 8
#define RESOLVE_MAX 5000 /* placeholders in one text, with those that they bring */
#define PRESET_MAX_BYTES 65536

/* ---- placeholders ---- */

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "jira.url" or "jira.url:default" */
static bool is_property(struct text inner, struct text *ret_name, struct text *ret_preset) {
    size_t len = 0;
    while (len < inner.len && (is_letter(inner.at[len]) || is_digit(inner.at[len]) || strchr(".-", inner.at[len])))
        len++;
    *ret_name = (struct text){inner.at, len};
    *ret_preset = (struct text){NULL, 0};
    if (!len || !is_letter(inner.at[0]) || (len < inner.len && inner.at[len] != ':')) return false;
    if (len < inner.len && inner.at[len + 1 < inner.len ? len + 1 : len] == '\'') return false;
    if (len < inner.len) *ret_preset = (struct text){inner.at + len + 1, inner.len - len - 1};
    return true;
}

static bool is_known_root(struct text name) {
    static const char *const roots[] = {"execution", "trigger",  "parameterValues",      "parameters", "webhook",
                                        "buildInfo", "pipeline", "deployedServerGroups", "stage",      "context"};
    const char *dot = memchr(name.at, '.', name.len);
    if (dot) name.len = (size_t)(dot - name.at);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (text_is(name, roots[i])) return true;
    return false;
}

static const struct yaml *find_property(struct import_work *w, const struct yaml *map, struct text name) {
    if (!map || map->kind != YAML_MAP || ++w->job->steps > IMPORT_STEPS_MAX) return NULL;
    for (size_t i = 0; i < map->count; i++) {
        struct text key = map->pairs[i].key->text;
        if (text_same(key, name)) return map->pairs[i].value;
        if (key.len >= name.len || name.at[key.len] != '.' || memcmp(key.at, name.at, key.len) != 0) continue;
        struct text rest = {name.at + key.len + 1, name.len - key.len - 1};
        const struct yaml *found = find_property(w, map->pairs[i].value, rest);
        if (found) return found;
    }
    return NULL;
}

static size_t close_of(struct text text, size_t at) {
    size_t open = 0;
    for (size_t end = at + SPEL_MAX_BYTES; at < text.len && at < end; at++) {
        if (text.at[at] == '{') open++;
        else if (text.at[at] == '}' && open-- == 0) return at;
    }
    return SIZE_MAX;
}

static void resolve(struct import_work *w, struct text text, int line, unsigned depth, struct buf *out);

/* True if something was put in place of ${inner}. */
static bool resolve_one(struct import_work *w, struct text inner, int line, unsigned depth, struct buf *out) {
    struct text name, preset;
    if (!is_property(inner, &name, &preset)) return false;
    const struct yaml *found = find_property(w, w->document, name);
    if (found && found->kind == YAML_TEXT) {
        resolve(w, yaml_as_text(found), line, depth + 1, out);
        return true;
    }
    if (text_is(name, "dollarSign")) {
        buf_addc(out, '$');
        return true;
    }
    if (!preset.at) return false;
    import_say(w, IMPORT_NOTE, line, "${%.*s:…} is a property that the file does not set; its default is taken",
               TEXT_ARG(name));
    resolve(w, preset, line, depth + 1, out);
    return true;
}

static void resolve(struct import_work *w, struct text text, int line, unsigned depth, struct buf *out) {
    for (size_t at = 0; at < text.len; at++) {
        bool opens = text.at[at] == '$' && at + 1 < text.len && text.at[at + 1] == '{';
        bool looks = opens && depth < RESOLVE_DEPTH && ++w->resolved <= RESOLVE_MAX;
        size_t close = looks ? close_of(text, at + 2) : SIZE_MAX;
        struct text inner = {text.at + at + 2, close == SIZE_MAX ? 0 : close - at - 2};
        if (close != SIZE_MAX && resolve_one(w, inner, line, depth, out)) at = close;
        else buf_addc(out, text.at[at]);
    }
}

struct text import_resolve(struct import_work *w, struct text text, int line) {
    struct buf out;
    if (!text_holds(text, "${")) return text;
    buf_init(&out, IMPORT_TEXT_MAX);
    w->resolved = 0;
    resolve(w, text, line, 0, &out);
    if (out.full) import_say(w, IMPORT_UNSETTLED, line, "with its properties put in, the text has more than 1 MiB");
    struct text resolved = {arena_strndup(w->arena, buf_cstr(&out), out.len), out.len};
    buf_fini(&out);
    return resolved;
}

/* ---- parameters ---- */

struct import_param *import_param_find(struct import_work *w, struct text original, bool given) {
    for (size_t i = 0; i < w->param_count; i++)
        if (w->params[i].given == given && text_same(w->params[i].original, original)) return &w->params[i];
    return NULL;
}

static bool param_name_taken(const struct import_work *w, const char *name) {
    for (size_t i = 0; i < w->param_count; i++)
        if (strcmp(w->params[i].name, name) == 0) return true;
    return false;
}

/* Letters, digits, _ and -; what is not such is _, and runs of it one. */
static const char *param_name(struct import_work *w, struct text original) {
    struct buf name;
    buf_init(&name, 1000);
    for (size_t i = 0; i < original.len && name.len < 56; i++) {
        char c = original.at[i];
        bool good = is_letter(c) || is_digit(c) || (c == '-' && name.len);
        if (name.len == 0 && is_digit(c)) buf_addc(&name, '_');
        if (good) buf_addc(&name, c);
        else if (name.len && name.at[name.len - 1] != '_') buf_addc(&name, '_');
    }
    while (name.len && name.at[name.len - 1] == '_' && original.at[original.len - 1] != '_') name.at[--name.len] = 0;
    const char *base = name.len ? arena_strdup(w->arena, buf_cstr(&name)) : "value", *free_name = base;
    buf_fini(&name);
    for (int i = 2; param_name_taken(w, free_name); i++) free_name = arena_printf(w->arena, "%s_%d", base, i);
    return free_name;
}

struct import_param *import_param_add(struct import_work *w, struct text original, bool given, const char *label) {
    if (w->param_count == IMPORT_PARAMS_MAX) return NULL;
    struct import_param *param = &w->params[w->param_count];
    *param = (struct import_param){.original = original, .given = given, .label = label, .order = INT32_MAX};
    param->name = param_name(w, original);
    w->param_count++;
    return param;
}

const char *import_clean(struct import_work *w, struct text text) {
    struct buf out;
    buf_init(&out, IMPORT_TEXT_MAX);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        buf_addc(&out, c < 0x20 || c == 0x7F ? ' ' : (char)c);
        if (c == '$' && i + 1 < text.len && text.at[i + 1] == '{') buf_addc(&out, ' ');
    }
    struct text trimmed = text_trim(buf_text(&out));
    const char *clean = arena_strndup(w->arena, trimmed.at, trimmed.len);
    buf_fini(&out);
    return clean;
}

/* ---- expressions ---- */

struct hole {
    struct import_work *w;
    int line;
};

static const char *parameter_expression(struct import_work *w, const struct import_param *param) {
    struct buf out;
    buf_init(&out, 1000);
    buf_adds(&out, "parameters");
    jinja_add_member(&out, text_of(param->name));
    const char *expression = arena_strdup(w->arena, buf_cstr(&out));
    buf_fini(&out);
    return expression;
}

/* A value that the entry itself gives to parameterValues beats what a caller says. */
static const char *preset_value(struct import_work *w, struct text name) {
    const struct yaml *presets = yaml_get(w->entry, "parameterValues");
    const char *key = arena_strndup(w->arena, name.at, name.len);
    const struct yaml *value = yaml_get(presets, key);
    struct buf out;
    if (!value || value->kind != YAML_TEXT) return NULL;
    struct text text = import_resolve(w, yaml_as_text(value), value->line);
    if (text_holds(text, "${"))
        import_say(w, IMPORT_UNSETTLED, value->line, "parameterValues: %s has an expression, which cannot be put in",
                   key);
    if (text.len && (w->secret_of || import_secret_name(name, IMPORT_JSON)))
        return arena_printf(w->arena, "secret.%s",
                            import_secret(w, arena_strndup(w->arena, text.at, text.len), NULL, key, value->line));
    buf_init(&out, PRESET_MAX_BYTES * 8);
    jinja_add_string(&out, text);
    const char *expression = arena_strdup(w->arena, buf_cstr(&out));
    buf_fini(&out);
    return expression;
}

static const char *name_parameter(void *arg, struct text name) {
    struct hole *hole = arg;
    struct import_work *w = hole->w;
    const char *preset = preset_value(w, name);
    if (preset) return preset;
    struct import_param *param = import_param_find(w, name, false);
    if (!param) {
        param = import_param_add(w, name, false, NULL);
        if (!param) return NULL;
        import_say(w, IMPORT_NOTE, hole->line, "parameterValues['%.*s'] is not among the parameters; it is one now",
                   TEXT_ARG(name));
    }
    if (w->secret_of && !param->type) {
        param->type = "secret";
        if (param->preset) {
            import_say(w, IMPORT_NOTE, hole->line,
                       "the parameter %s is a credential: its default is not taken over, and it has to be given",
                       param->name);
            param->preset = NULL;
            param->required = true;
        }
    }
    return parameter_expression(w, param);
}

static const char *name_given(void *arg, const struct spel *node, bool json) {
    struct hole *hole = arg;
    struct import_work *w = hole->w;
    struct import_param *param = import_param_find(w, node->source, true);
    if (!param) {
        param = import_param_add(w, node->source, true, NULL);
        if (!param) return NULL;
        param->required = true;
        param->label = import_clean(w, node->source);
        param->description = arena_printf(w->arena, "In Spinnaker, the expression %s", param->label);
        import_say(w, IMPORT_NOTE, hole->line,
                   "%.*s is known to the pipeline only; the parameter %s takes its place, and the pipeline gives it "
                   "as ${%.*s}",
                   TEXT_ARG(node->source), param->name, TEXT_ARG(node->source));
    }
    if (json) param->type = "json";
    return parameter_expression(w, param);
}

/* What Spring would put in and the file has not: nobody here can know it. */
static bool is_foreign(struct text source) {
    struct text name, preset;
    struct text inner = text_trim(source);
    return is_property(inner, &name, &preset) && !is_known_root(name);
}

static void note_colon(struct import_work *w, struct text source, int line) {
    if (memchr(source.at, ':', source.len))
        import_say(w, IMPORT_NOTE, line,
                   "${%.*s}: orca never saw this, since Spring takes what stands behind : as a default; here it means "
                   "what it says",
                   TEXT_ARG(source));
}

/* A text that is no index: in a credential it may be a part of that. */
static bool has_literal(const struct spel *node) {
    bool index = node->kind == SPEL_INDEX || (node->kind == SPEL_METHOD && text_is(node->text, "get"));
    if (node->kind == SPEL_STRING) return true;
    if ((node->a && has_literal(node->a)) || (node->b && !index && has_literal(node->b)) ||
        (node->c && has_literal(node->c)))
        return true;
    for (size_t i = 0; !index && i < node->count; i++)
        if (has_literal(node->items[i])) return true;
    return false;
}

static bool write_expression(struct import_work *w, struct text source, int line, bool bare, struct spel_out *ret) {
    struct fault fault;
    struct hole hole = {w, line};
    struct spel_names names = {&hole, name_parameter, name_given, w->replies};
    if (is_foreign(source) && w->secret_of) {
        const char *shown = arena_printf(w->arena, "${%.*s}", TEXT_ARG(source));
        const char *name = import_secret(w, NULL, shown, w->secret_of, line);
        *ret = (struct spel_out){arena_printf(w->arena, "secret.%s", name), SPEL_IS_TEXT, SPEL_ATOM};
        return true;
    }
    if (is_foreign(source)) {
        import_say(w, IMPORT_UNSETTLED, line,
                   "${%.*s} is a property of orca, or of its environment, that the file does not set: write its value",
                   TEXT_ARG(source));
        return false;
    }
    const struct spel *node = spel_parse(w->arena, source, &fault);
    if (node && w->secret_of && has_literal(node)) {
        import_say(w, IMPORT_UNSETTLED, line, "an expression of %s has a text of its own: make a secret of it",
                   w->secret_of);
        return false;
    }
    if (!node || !spel_write(w->arena, node, &names, bare, ret, &fault)) {
        import_say(w, IMPORT_UNSETTLED, line, "%s", fault.what);
        return false;
    }
    note_colon(w, source, line);
    return true;
}

/* ---- texts ---- */

struct state {
    bool in_string;                   /* JSON */
    bool has_host, in_path, in_query; /* URL */
};

static void follow_json(struct state *state, struct text literal) {
    for (size_t i = 0; i < literal.len; i++) {
        if (literal.at[i] == '\\' && state->in_string) i++;
        else if (literal.at[i] == '"') state->in_string = !state->in_string;
    }
}

static void follow_url(struct state *state, struct text literal) {
    size_t at = 0;
    if (!state->has_host) {
        const char *host = literal.len ? memmem(literal.at, literal.len, "://", 3) : NULL;
        if (!host) return;
        state->has_host = true;
        at = (size_t)(host - literal.at) + 3;
    }
    for (; at < literal.len; at++) {
        if (literal.at[at] == '/') state->in_path = true;
        if (literal.at[at] == '?') state->in_path = state->in_query = true;
    }
}

/* Characters that a URL cannot hold are written as orca's client sends them. */
static void add_url_literal(struct buf *out, struct text literal, const struct state *state) {
    for (size_t i = 0; i < literal.len; i++) {
        unsigned char c = (unsigned char)literal.at[i];
        bool bad = c <= 0x20 || c >= 0x7F || strchr("\"<>\\^`{|}[]", c);
        if (bad && (state->in_path || memchr(literal.at, '/', i))) buf_addf(out, "%%%02X", c);
        else buf_addc(out, (char)c);
    }
}

/* `form` encodes what it is given, so what is encoded already is decoded first. */
static void add_form_literal(struct buf *out, struct text literal) {
    struct buf plain;
    buf_init(&plain, IMPORT_TEXT_MAX);
    bool good = url_decode(&plain, literal, true) && text_utf8_check(buf_text(&plain));
    jinja_add_literal(out, good ? buf_text(&plain) : literal);
    buf_fini(&plain);
}

static void add_literal(struct buf *out, struct text literal, enum import_place place, const struct state *state,
                        bool hole_follows) {
    size_t last = literal.len;
    bool brace = hole_follows && last && literal.at[last - 1] == '{' && place != IMPORT_URL;
    if (brace) literal.len--;
    if (place == IMPORT_URL) add_url_literal(out, literal, state);
    else if (place == IMPORT_FORM) add_form_literal(out, literal);
    else jinja_add_literal(out, literal);
    if (brace) buf_adds(out, place == IMPORT_JSON && !state->in_string ? "{ " : "{{ '{' }}");
}

/* What is meant by a value that is escaped for its place; itself where it is escaped badly. */
static const char *plain_value(struct import_work *w, struct text value, enum import_place place) {
    static const struct json_limits limits = {.max_bytes = IMPORT_TEXT_MAX, .max_depth = 1, .max_items = 1};
    struct buf decoded;
    struct fault fault;
    buf_init(&decoded, IMPORT_TEXT_MAX);
    bool good = place == IMPORT_URL && url_decode(&decoded, value, false);
    if (place == IMPORT_JSON) {
        const char *quoted = arena_printf(w->arena, "\"%.*s\"", TEXT_ARG(value));
        const struct json *string = json_parse(w->arena, text_of(quoted), &limits, &fault);
        good = json_kind(string) == JSON_STRING;
        buf_addt(&decoded, json_text(string));
    }
    const char *plain = good ? arena_strdup(w->arena, buf_cstr(&decoded))
                             : arena_strndup(w->arena, value.at, value.len);
    buf_fini(&decoded);
    return plain;
}

static void add_secret_value(struct import_work *w, struct text name, struct text value, int line,
                             enum import_place place, struct buf *out) {
    const char *plain = plain_value(w, value, place);
    const char *of = arena_strndup(w->arena, name.at, name.len);
    bool path = place == IMPORT_URL && strcmp(of, "hook") == 0;
    buf_addf(out, "{{ secret.%s%s }}", import_secret(w, plain, NULL, of, line), path ? " | segments" : "");
}

/* Beside an expression in a credential only what leads to it is known to be none: "Bearer ", "session=". */
static bool leads(struct text literal, bool hole_follows) {
    bool any = false;
    for (size_t i = 0; i < literal.len; i++) any = any || is_letter(literal.at[i]) || is_digit(literal.at[i]);
    return !any || (hole_follows && strchr(" =:\"", literal.at[literal.len - 1]));
}

static void put_literal(struct import_work *w, struct text literal, int line, enum import_place place,
                        struct state *state, bool hole_follows, struct buf *out) {
    size_t from = 0, start, end;
    struct text name;
    if (w->secret_of && !leads(literal, hole_follows)) {
        import_say(w, IMPORT_UNSETTLED, line, "%s has a text of its own beside an expression: make a secret of it",
                   w->secret_of);
        buf_adds(out, "UNSETTLED");
        return;
    }
    while (import_secret_find(literal, from, place, !hole_follows, &name, &start, &end)) {
        struct text before = {literal.at + from, start - from};
        add_literal(out, before, place, state, true);
        if (place == IMPORT_URL) follow_url(state, before);
        else follow_json(state, before);
        add_secret_value(w, name, (struct text){literal.at + start, end - start}, line, place, out);
        from = end;
    }
    struct text rest = {literal.at + from, literal.len - from};
    struct state after = *state;
    if (place == IMPORT_JSON) follow_json(&after, rest);
    if (place == IMPORT_JSON) state->in_string = after.in_string;
    add_literal(out, rest, place, state, hole_follows);
    if (place == IMPORT_URL) follow_url(state, rest);
}

static bool url_hole_is_good(struct import_work *w, const struct state *state, bool whole, const char *expression,
                             struct text source, int line) {
    bool reply = whole && strncmp(expression, "request.", 8) == 0;
    if (state->in_path || reply) return true;
    import_say(w, IMPORT_UNSETTLED, line,
               "${%.*s}: scheme, host and port stand in the definition, so that no value can lead elsewhere",
               TEXT_ARG(source));
    return false;
}

static bool put_expression(struct import_work *w, struct text source, int line, enum import_place place,
                           const struct state *state, bool whole, struct buf *out) {
    struct spel_out expression;
    bool bare = place == IMPORT_JSON && !state->in_string;
    bool good = write_expression(w, source, line, bare, &expression);
    if (good && place == IMPORT_URL) good = url_hole_is_good(w, state, whole, expression.text, source, line);
    if (!good) {
        buf_adds(out, bare ? "null" : "UNSETTLED");
        return false;
    }
    bool in_path = place == IMPORT_URL && state->in_path && !state->in_query;
    bool loose = in_path && expression.level == SPEL_LOOSE;
    const char *filters = !in_path ? "" : expression.type == SPEL_IS_TEXT ? " | segments" : " | string | segments";
    buf_addf(out, "{{ %s%s%s%s }}", loose ? "(" : "", expression.text, loose ? ")" : "", filters);
    return true;
}

static int lines_of(struct text text) {
    int lines = 0;
    for (size_t i = 0; i < text.len; i++) lines += text.at[i] == '\n';
    return lines;
}

bool import_text(struct import_work *w, struct text text, int line, enum import_place place, struct buf *out) {
    struct spel_part *parts;
    struct state state = {0};
    struct fault fault;
    size_t count;
    bool good = true;
    w->job->bytes += text.len;
    if (w->job->bytes > IMPORT_BYTES_MAX) {
        import_say(w, IMPORT_UNSETTLED, line, "the file has more than 16 MiB of texts, with its aliases");
        buf_adds(out, place == IMPORT_JSON ? "null" : "UNSETTLED");
        return false;
    }
    if (!spel_split(w->arena, text, &parts, &count, &fault)) {
        import_say(w, IMPORT_UNSETTLED, line, "%s", fault.what);
        buf_adds(out, place == IMPORT_JSON ? "null" : place == IMPORT_URL ? "https://unsettled.invalid/" : "UNSETTLED");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].is_expression) good &= put_expression(w, parts[i].text, line, place, &state, count == 1, out);
        else put_literal(w, parts[i].text, line, place, &state, i + 1 < count, out);
        line += lines_of(parts[i].text);
    }
    return good;
}
