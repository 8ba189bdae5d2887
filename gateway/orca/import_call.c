/* The calls of an entry: what they send, written as settings of `request`, `status` and `cancel`.
 *
 * orca sends customHeaders and sensitiveHeaders with all three, so they are worked out once. A credential becomes
 * `auth` where it is Bearer or Basic, and a secret in any case. The payload's Content-Type decides what its template
 * is: without one orca says text/plain, whatever it sends; what is JSON is sent as JSON here, and said so. */
#include <string.h>
#include <strings.h>

#include "lang/template.h"
#include "lang/units.h"
#include "lang/url.h"
#include "orca/import_job.h"
#include "stage/stage.h"

#define INLINE_MAX_BYTES 120

/* ---- headers ---- */

/* Both notations; a group where libconfig can spell every name. */
struct lines {
    struct buf group, list, auth;
    bool plain;
};

static void add_header(struct lines *to, const char *name, struct text value) {
    char first = name[0];
    to->plain &= (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
    for (const char *c = name; *c; c++)
        to->plain &= (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' ||
                     *c == '_';
    buf_addf(&to->group, "    %s = ", name);
    import_add_string(&to->group, value);
    buf_adds(&to->group, ";\n");
    buf_addf(&to->list, "%s    { name = \"%s\"; value = ", to->list.len ? ",\n" : "", name);
    import_add_string(&to->list, value);
    buf_adds(&to->list, "; }");
}

/* Several values of one header are one with commas (RFC 9110, 5.3). */
static struct text header_text(struct import_work *w, const struct yaml *value) {
    struct buf text;
    if (value->kind == YAML_TEXT) return yaml_is_null(value) ? (struct text){"", 0} : yaml_as_text(value);
    buf_init(&text, IMPORT_TEXT_MAX);
    for (size_t i = 0; value->kind == YAML_LIST && i < value->count; i++) {
        if (text.len) buf_adds(&text, ", ");
        buf_addt(&text, yaml_as_text(value->items[i]));
    }
    struct text joined = {arena_strndup(w->arena, buf_cstr(&text), text.len), text.len};
    buf_fini(&text);
    return joined;
}

static bool is_reference(struct text value) { /* Spinnaker's own secrets: somebody has to look there */
    return text_starts(value, "encrypted:") || text_starts(value, "encryptedFile:") || text_starts(value, "secret://");
}

static const char *secret_of(struct import_work *w, const char *header, struct text value, int line) {
    const char *plain = arena_strndup(w->arena, value.at, value.len);
    return is_reference(value) ? import_secret(w, NULL, plain, header, line)
                               : import_secret(w, plain, NULL, header, line);
}

static bool add_basic(struct import_work *w, struct text credential, int line, struct buf *auth) {
    struct buf plain;
    buf_init(&plain, 65536);
    bool good = credential.len && buf_add_base64_decoded(&plain, credential) && plain.len &&
                text_utf8_check(buf_text(&plain)) && !memchr(plain.at, 0, plain.len);
    const char *colon = good ? memchr(plain.at, ':', plain.len) : NULL;
    if (colon && colon > plain.at && !memmem(plain.at, (size_t)(colon - plain.at), "{{", 2)) {
        struct text user = {plain.at, (size_t)(colon - plain.at)};
        struct text password = {colon + 1, plain.len - user.len - 1};
        buf_adds(auth, "  auth = { type = \"basic\"; user = ");
        import_add_string(auth, user);
        buf_addf(auth, "; password = \"{{ secret.%s }}\"; };\n", secret_of(w, "password", password, line));
    }
    buf_fini(&plain);
    return colon != NULL;
}

/* "Bearer x", "token x", "x": the scheme stays, the rest is a secret. */
static void add_credential(struct import_work *w, const char *name, struct text value, int line, struct lines *to) {
    const char *blank = memchr(value.at, ' ', value.len);
    size_t scheme = blank ? (size_t)(blank - value.at) : 0;
    bool has_scheme = scheme > 0 && scheme <= 20 && !memchr(blank + 1, ' ', value.len - scheme - 1) &&
                      text_token_check((struct text){value.at, scheme}) && strcasecmp(name, "Cookie") != 0;
    struct text rest = value;
    if (has_scheme) rest = text_trim((struct text){blank + 1, value.len - scheme - 1});
    struct text word = {value.at, scheme};
    bool authorization = has_scheme && strcasecmp(name, "Authorization") == 0;
    if (authorization && text_is_nocase(word, "Basic") && add_basic(w, rest, line, &to->auth)) return;
    const char *secret = secret_of(w, name, rest, line);
    if (authorization && text_is(word, "Bearer")) {
        buf_addf(&to->auth, "  auth = { type = \"bearer\"; token = \"{{ secret.%s }}\"; };\n", secret);
        return;
    }
    const char *template = arena_printf(w->arena, "%.*s%s{{ secret.%s }}", has_scheme ? (int)scheme : 0, value.at,
                                        has_scheme ? " " : "", secret);
    add_header(to, name, text_of(template));
}

static bool header_is_left_out(struct import_work *w, const char *name, int line) {
    static const char *const denied[] = {"X-SPINNAKER-USER", "X-SPINNAKER-ACCOUNT", "X-SPINNAKER-USER-ORIGIN",
                                         "X-SPINNAKER-REQUEST-ID", "X-SPINNAKER-EXECUTION-ID"};
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        if (strcasecmp(name, denied[i]) == 0) {
            import_say(w, IMPORT_NOTE, line, "the header %s is left out, as orca does", name);
            return true;
        }
    if (!stage_header_is_ours(name)) return false;
    import_say(w, IMPORT_NOTE, line, "the header %s is left out: the gateway makes it", name);
    return true;
}

static void one_header(struct import_work *w, const struct yaml_pair *pair, bool sensitive, struct import_call *call,
                       struct lines *to) {
    const char *name = pair->key->text.at;
    int line = pair->key->line;
    if (pair->value->kind == YAML_MAP || !text_token_check(pair->key->text)) {
        import_say(w, IMPORT_UNSETTLED, line, "the header %s: a name, and a value or a list of values, are expected",
                   import_clean(w, pair->key->text));
        return;
    }
    struct text value = text_trim(import_resolve(w, header_text(w, pair->value), line));
    if (header_is_left_out(w, name, line)) return;
    if (!value.len) {
        import_say(w, IMPORT_NOTE, line, "the header %s has no value, and is left out", name);
        return;
    }
    if (strcasecmp(name, "Content-Type") == 0) {
        call->content_type = arena_strndup(w->arena, value.at, value.len);
        return;
    }
    bool credential = sensitive || import_secret_name(text_of(name), IMPORT_HEADER);
    if (credential && !text_holds(value, "${")) {
        add_credential(w, name, value, line, to);
        return;
    }
    struct buf template;
    buf_init(&template, IMPORT_TEXT_MAX);
    w->secret_of = credential ? name : NULL;
    import_text(w, value, line, IMPORT_HEADER, &template);
    w->secret_of = NULL;
    add_header(to, name, buf_text(&template));
    buf_fini(&template);
}

static void headers_of(struct import_work *w, const char *key, struct import_call *call, struct lines *to) {
    const struct yaml *map = yaml_get(w->entry, key);
    if (yaml_is_null(map)) return;
    if (map->kind != YAML_MAP) {
        import_say(w, IMPORT_UNSETTLED, map->line, "%s is no mapping of names and values", key);
        return;
    }
    for (size_t i = 0; i < map->count; i++)
        one_header(w, &map->pairs[i], strcmp(key, "sensitiveHeaders") == 0, call, to);
}

void import_headers(struct import_work *w, struct import_call *call) {
    struct lines lines = {.plain = true};
    struct buf all;
    buf_init(&lines.group, IMPORT_TEXT_MAX);
    buf_init(&lines.list, IMPORT_TEXT_MAX);
    buf_init(&lines.auth, IMPORT_TEXT_MAX);
    buf_init(&all, 2 * IMPORT_TEXT_MAX);
    headers_of(w, "customHeaders", call, &lines);
    headers_of(w, "sensitiveHeaders", call, &lines);
    if (lines.list.len && lines.plain) buf_addf(&all, "  headers = {\n%s  };\n", buf_cstr(&lines.group));
    else if (lines.list.len) buf_addf(&all, "  headers = (\n%s\n  );\n", buf_cstr(&lines.list));
    buf_addt(&all, buf_text(&lines.auth));
    call->headers = arena_strdup(w->arena, buf_cstr(&all));
    buf_fini(&lines.group);
    buf_fini(&lines.list);
    buf_fini(&lines.auth);
    buf_fini(&all);
}

/* ---- url, method ---- */

/* https://user:password@host: OkHttp sends no such thing, but whoever wrote it meant it. */
static struct text lift_userinfo(struct import_work *w, struct text url, int line, struct import_call *call) {
    const char *host = memmem(url.at, url.len, "://", 3);
    if (!host) return url;
    size_t start = (size_t)(host - url.at) + 3, at = start, end = start;
    while (end < url.len && !strchr("/?#", url.at[end])) end++;
    for (size_t i = start; i < end; i++)
        if (url.at[i] == '@') at = i + 1;
    if (at == start || text_holds((struct text){url.at + start, at - start}, "${")) return url;
    struct buf encoded, auth;
    buf_init(&encoded, 65536);
    buf_init(&auth, 65536);
    buf_add_base64(&encoded, (struct text){url.at + start, at - 1 - start});
    bool other = strstr(call->headers, "  auth = ") || strcasestr(call->headers, "authorization");
    if (!other && add_basic(w, buf_text(&encoded), line, &auth))
        call->headers = arena_printf(w->arena, "%s%s", call->headers, buf_cstr(&auth));
    import_say(w, IMPORT_NOTE, line, "user and password of the URL are %s; orca's client does not send them at all",
               other ? "left out" : "sent as auth of type basic");
    buf_fini(&encoded);
    buf_fini(&auth);
    const char *rest = arena_printf(w->arena, "%.*s%.*s", (int)start, url.at, (int)(url.len - at), url.at + at);
    return text_of(rest);
}

const char *import_url(struct import_work *w, const struct yaml *value, const char *key, struct import_call *call) {
    struct buf out;
    if (value->kind != YAML_TEXT) {
        import_say(w, IMPORT_UNSETTLED, value->line, "%s is no text", key);
        return "https://unsettled.invalid/";
    }
    struct text url = text_trim(import_resolve(w, yaml_as_text(value), value->text_line));
    const char *fragment = memchr(url.at, '#', url.len);
    if (fragment && !text_holds(url, "${")) url.len = (size_t)(fragment - url.at); /* never sent */
    url = lift_userinfo(w, url, value->line, call);
    buf_init(&out, IMPORT_TEXT_MAX);
    bool good = import_text(w, url, value->text_line, IMPORT_URL, &out);
    bool absolute = text_starts(buf_text(&out), "http://") || text_starts(buf_text(&out), "https://");
    const char *template = good || absolute ? arena_strdup(w->arena, buf_cstr(&out)) : "https://unsettled.invalid/";
    buf_fini(&out);
    return template;
}

const char *import_method(struct import_work *w, const char *key, const char *preset) {
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    const struct yaml *value = yaml_get(w->entry, key);
    if (yaml_is_null(value)) return preset;
    struct text word = text_trim(import_resolve(w, yaml_as_text(value), value->line));
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (text_is_nocase(word, methods[i])) return methods[i];
    import_say(w, IMPORT_UNSETTLED, value->line, "%s: \"%s\" is no method that can be used", key,
               import_clean(w, word));
    return preset;
}

/* ---- body ---- */

static struct text essence_of(const char *type) {
    struct text rest = text_of(type), essence = {"", 0};
    text_cut(&rest, ';', &essence);
    return text_trim(essence);
}

static bool ends_nocase(struct text a, const char *end) {
    size_t len = strlen(end);
    return a.len > len && text_is_nocase((struct text){a.at + a.len - len, len}, end);
}

static enum import_place place_of(const char *content_type) {
    struct text essence = essence_of(content_type);
    if (text_is_nocase(essence, "application/json") || ends_nocase(essence, "+json")) return IMPORT_JSON;
    if (text_is_nocase(essence, "application/x-www-form-urlencoded")) return IMPORT_FORM;
    if (text_is_nocase(essence, "application/xml") || text_is_nocase(essence, "text/xml") ||
        ends_nocase(essence, "+xml"))
        return IMPORT_XML;
    return IMPORT_PLAIN;
}

static bool is_json_template(struct import_work *w, struct text template, struct fault *fault) {
    static const char *const roots[] = {"parameters", "secret", "run", "caller", "now", "request", "status"};
    static const struct template_names names = {.roots = roots, .count = sizeof roots / sizeof *roots};
    struct template_rules rules = {.place = PLACE_JSON, .names = &names, .file = "payload", .line = 1};
    return template_compile(w->arena, template, &rules, fault) != NULL;
}

static void add_file(struct import_work *w, const char *name, struct text text) {
    const char *whole = arena_printf(w->arena, "%.*s\n", TEXT_ARG(text));
    w->files[w->file_count++] = (struct import_file){name, true, text_of(whole)};
}

static void put_body(struct import_work *w, const char *file, enum import_place place, const char *content_type,
                     struct text template, struct buf *out) {
    const char *ending = place == IMPORT_JSON ? "json" : place == IMPORT_XML ? "xml" : "txt";
    bool in_place = template.len <= INLINE_MAX_BYTES && !memchr(template.at, '\n', template.len);
    const char *preset = in_place || place == IMPORT_JSON ? "application/json"
                         : place == IMPORT_XML            ? "application/xml"
                                                          : "text/plain; charset=utf-8";
    if (in_place) import_add_setting(out, "body", template);
    else {
        const char *name = arena_printf(w->arena, "%s.%s", file, ending);
        import_add_setting(out, "template", text_of(name));
        add_file(w, name, template);
    }
    if (strcmp(content_type, preset) != 0) import_add_setting(out, "content_type", text_of(content_type));
}

/* What an encoded piece of a form means; the piece itself where it is encoded badly. */
static const char *form_text(struct import_work *w, struct text piece) {
    struct buf plain;
    buf_init(&plain, IMPORT_TEXT_MAX);
    bool good = url_decode(&plain, piece, true) && text_utf8_check(buf_text(&plain)) &&
                strlen(buf_cstr(&plain)) == plain.len;
    const char *text = good ? arena_strdup(w->arena, buf_cstr(&plain)) : arena_strndup(w->arena, piece.at, piece.len);
    buf_fini(&plain);
    return text;
}

static void put_pair(struct import_work *w, struct text name, struct text value, int line, bool first,
                     struct buf *out) {
    struct buf template;
    const char *plain_name = form_text(w, name);
    buf_init(&template, IMPORT_TEXT_MAX);
    if (value.len && !text_holds(value, "${") && import_secret_name(name, IMPORT_FORM))
        buf_addf(&template, "{{ secret.%s }}", import_secret(w, form_text(w, value), NULL, plain_name, line));
    else import_text(w, value, line, IMPORT_FORM, &template);
    buf_addf(out, "%s    { name = ", first ? "" : ",\n");
    import_add_string(out, text_of(plain_name));
    buf_adds(out, "; value = ");
    import_add_string(out, buf_text(&template));
    buf_adds(out, "; }");
    buf_fini(&template);
}

/* a=1&b=${…}: each value in its place. */
static void put_form(struct import_work *w, struct text text, int line, struct buf *out) {
    struct text rest = text, pair, name = {"", 0};
    bool first = true;
    buf_adds(out, "  form = (\n");
    while (text_cut(&rest, '&', &pair)) {
        struct text whole = pair = text_trim(pair);
        if (!pair.len) continue;
        if (!text_cut(&pair, '=', &name) || !pair.at || text_holds(name, "${")) {
            import_say(w, IMPORT_UNSETTLED, line, "the form has a piece of %zu bytes without name=value", whole.len);
            continue;
        }
        put_pair(w, name, pair, line, first, out);
        first = false;
    }
    buf_adds(out, "\n  );\n");
}

/* Without a Content-Type: JSON if it is that, else a text, as orca sends it. */
static void put_untyped(struct import_work *w, const char *key, const char *file, struct text text, int line,
                        struct buf *template, struct buf *out) {
    bool looks = text.at[0] == '{' || text.at[0] == '[';
    struct fault fault = {0};
    size_t remarks = w->remark_count, unsettled = w->unsettled[w->group].len;
    if (looks) import_text(w, text, line, IMPORT_JSON, template);
    if (looks && is_json_template(w, buf_text(template), &fault)) {
        import_say(w, IMPORT_NOTE, line,
                   "%s is sent as application/json; orca says text/plain, since there is no Content-Type", key);
        put_body(w, file, IMPORT_JSON, "application/json", buf_text(template), out);
        return;
    }
    w->remark_count = remarks;
    w->unsettled[w->group].len = unsettled;
    buf_clear(template);
    import_text(w, text, line, IMPORT_PLAIN, template);
    import_say(w, IMPORT_NOTE, line,
               "%s is no JSON%s%s, and is sent as text/plain, as orca does without a Content-Type", key,
               fault.what[0] ? ": " : "", fault.what);
    put_body(w, file, IMPORT_PLAIN, "text/plain; charset=utf-8", buf_text(template), out);
}

static void put_typed(struct import_work *w, const char *key, const char *file, struct text text, int line,
                      const char *type, struct buf *template, struct buf *out) {
    enum import_place place = place_of(type);
    struct fault fault;
    if (place == IMPORT_FORM) {
        put_form(w, text, line, out);
        return;
    }
    if (text_holds(text_of(type), "${")) {
        import_say(w, IMPORT_UNSETTLED, line, "a Content-Type with an expression in it: %s",
                   import_clean(w, text_of(type)));
        type = "text/plain; charset=utf-8";
    }
    import_text(w, text, line, place, template);
    if (place == IMPORT_JSON && !is_json_template(w, buf_text(template), &fault)) {
        import_say(w, IMPORT_UNSETTLED, line, "%s is no JSON, though its Content-Type says so: %s", key, fault.what);
        buf_clear(template);
        buf_adds(template, "null");
    }
    put_body(w, file, place, type, buf_text(template), out);
}

void import_body(struct import_work *w, const char *key, const char *file, const struct import_call *call,
                 struct buf *out) {
    const struct yaml *value = yaml_get(w->entry, key);
    if (yaml_is_null(value) || (value->kind != YAML_TEXT && value->count == 0)) return;
    if (value->kind != YAML_TEXT) {
        import_say(w, IMPORT_UNSETTLED, value->line,
                   "%s is a %s, and orca takes a text (%s: |): it has never sent this", key,
                   value->kind == YAML_MAP ? "mapping" : "list", key);
        return;
    }
    struct text text = text_trim(import_resolve(w, yaml_as_text(value), value->text_line));
    struct buf template;
    if (!text.len) return;
    buf_init(&template, IMPORT_TEXT_MAX);
    if (call->content_type) put_typed(w, key, file, text, value->text_line, call->content_type, &template, out);
    else put_untyped(w, key, file, text, value->text_line, &template, out);
    if (template.full) import_say(w, IMPORT_UNSETTLED, value->line, "%s has more than 1 MiB as a template", key);
    buf_fini(&template);
}

/* ---- codes ---- */

static bool read_code(struct import_work *w, const struct yaml *item, const char *key, struct code_set *codes) {
    struct text rest = yaml_as_text(item), word;
    int64_t code;
    while (text_cut(&rest, ',', &word)) {
        if (!text_to_int(text_trim(word), &code) || code < 100 || code > 599) {
            import_say(w, IMPORT_UNSETTLED, item->line, "%s: \"%s\" is no status code", key, import_clean(w, word));
            return false;
        }
        codes->bits[(code - 100) / 64] |= (uint64_t)1 << (code - 100) % 64;
    }
    return true;
}

bool import_codes_read(struct import_work *w, const char *key, struct code_set *ret_codes) {
    const struct yaml *value = yaml_get(w->entry, key);
    *ret_codes = (struct code_set){0};
    if (yaml_is_null(value)) return false;
    if (value->kind == YAML_TEXT) return read_code(w, value, key, ret_codes);
    for (size_t i = 0; value->kind == YAML_LIST && i < value->count; i++)
        if (!read_code(w, value->items[i], key, ret_codes)) return false;
    return value->kind == YAML_LIST && value->count > 0;
}

void import_codes_add(struct buf *out, const struct code_set *codes) {
    buf_adds(out, "  retry = { on = \"");
    code_set_write(out, codes);
    buf_adds(out, "\"; };\n");
}

/* failFastStatusCodes: of what a call is tried again by itself, these are taken away. */
void import_codes(struct import_work *w, struct buf *out, bool idempotent) {
    struct code_set fail, retry;
    bool changed = false, any = false;
    if (!import_codes_read(w, "failFastStatusCodes", &fail)) return;
    code_set_parse(idempotent ? TEXT("408,425,429,5xx") : TEXT("429"), &retry, NULL);
    for (size_t i = 0; i < 8; i++) {
        changed |= (retry.bits[i] & fail.bits[i]) != 0;
        retry.bits[i] &= ~fail.bits[i];
        any |= retry.bits[i] != 0;
    }
    if (changed && any) import_codes_add(out, &retry);
    else if (changed) buf_adds(out, "  retry = { attempts = 0; };\n");
}
