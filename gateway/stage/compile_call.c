/* Compiles one call: what is sent, how its sender is known, and when it is given up.
 *
 * The kind of a call (of `request`, `status`, `steps`, `cancel`) decides its default method only. Values are put where
 * their place escapes them; a body of a type for which there is no escaping is refused rather than filled in blindly.
 */
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "stage/compile.h"

/* ---- method ---- */

static bool has_body(const struct conf *group) {
    return conf_find(group, "body") || conf_find(group, "template") || conf_find(group, "form");
}

static const char *method_of(struct compile *c, const struct conf *group, enum compile_call_kind kind) {
    const struct conf *at = conf_find(group, "method");
    if (!at || at->kind != CONF_STRING)
        return kind == COMPILE_REQUEST || kind == COMPILE_CANCEL || has_body(group) ? "POST" : "GET";
    char *method = arena_strdup(c->arena, at->string.at);
    for (char *s = method; *s; s++)
        if (*s >= 'a' && *s <= 'z') *s = (char)(*s + 'A' - 'a');
    if (strcmp(method, "HEAD") == 0 && has_body(group))
        compile_fault(c, at, FAULT_INVALID, "a HEAD request has no body");
    return method;
}

static bool method_idempotent(const char *method) { /* RFC 9110, 9.2.2 */
    return strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0;
}

/* ---- headers and forms ---- */

static void check_header_name(struct compile *c, const struct conf *at, const char *name) {
    if (!text_token_check(text_of(name))) compile_fault(c, at, FAULT_INVALID, "\"%s\" cannot be a header's name", name);
    if (strcasecmp(name, "Content-Type") == 0)
        compile_fault(c, at, FAULT_INVALID, "Content-Type is set by content_type = \"…\", not in headers");
    if (stage_header_is_ours(name))
        compile_fault(c, at, FAULT_INVALID, "the header %s is made by the gateway and cannot be set", name);
}

static bool read_pair(struct compile *c, const struct conf *at, enum template_place place, struct stage_header *to) {
    const struct conf *name = at, *value = at;
    if (at->kind == CONF_GROUP) {
        struct field_place pair = {&fields_pair, NULL};
        size_t before = compile_fault_count(c);
        fields_read(c, at, "a header or form value", &pair, 1);
        name = conf_find(at, "name");
        value = conf_find(at, "value");
        if (compile_fault_count(c) != before) return false;
        if (!name || !value) {
            compile_fault(c, at, FAULT_INVALID, "here name = \"…\" and value = \"…\" are needed");
            return false;
        }
    } else if (at->kind != CONF_STRING) {
        compile_fault(c, at, FAULT_INVALID, "%s must be a string, and here is %s", at->name, conf_shown(c->arena, at));
        return false;
    }
    to->name = name == at ? at->name : name->string.at;
    if (place == PLACE_HEADER) check_header_name(c, name, to->name);
    to->value = compile_template(c, value, place);
    return true;
}

static void read_pairs(struct compile *c, const struct conf *at, enum template_place place,
                       const struct stage_header **ret_pairs, size_t *ret_count) {
    if (!at || !fields_type_fits(at, FIELD_PAIRS)) return;
    struct stage_header *pairs = arena_array_of(c->arena, struct stage_header, at->count);
    size_t count = 0;
    for (size_t i = 0; i < at->count; i++) {
        if (!read_pair(c, &at->items[i], place, &pairs[count])) continue;
        for (size_t j = 0; place == PLACE_HEADER && j < count; j++)
            if (strcasecmp(pairs[j].name, pairs[count].name) == 0)
                compile_fault(c, &at->items[i], FAULT_INVALID, "the header %s is set twice", pairs[count].name);
        count++;
    }
    *ret_pairs = pairs;
    *ret_count = count;
}

/* ---- body ---- */

static const char *default_type(const struct conf *template) {
    const char *dot = template && template->kind == CONF_STRING ? strrchr(template->string.at, '.') : NULL;
    if (dot && strcasecmp(dot, ".txt") == 0) return "text/plain; charset=utf-8";
    if (dot && strcasecmp(dot, ".xml") == 0) return "application/xml";
    return "application/json";
}

/* The place that a content type's values are escaped for. */
static bool place_of(struct compile *c, const struct conf *at, struct text type, enum template_place *ret_place) {
    struct text rest = type, essence;
    text_cut(&rest, ';', &essence);
    essence = text_trim(essence);
    bool json = text_is_nocase(essence, "application/json") ||
                (essence.len > 5 && strncasecmp(essence.at + essence.len - 5, "+json", 5) == 0);
    *ret_place = json ? PLACE_JSON : PLACE_TEXT;
    if (text_is_nocase(essence, "application/x-www-form-urlencoded")) {
        compile_fault(c, at, FAULT_INVALID,
                      "write form = { name = \"…\"; } for a form, so that its values are encoded");
        return false;
    }
    bool xml = text_is_nocase(essence, "text/xml") || text_is_nocase(essence, "application/xml") ||
               (essence.len > 4 && strncasecmp(essence.at + essence.len - 4, "+xml", 4) == 0);
    if (xml) *ret_place = PLACE_XML;
    return true;
}

static bool check_type(struct compile *c, const struct conf *at) {
    struct text t = at->string;
    bool slash = false, ok = t.len > 2;
    for (size_t i = 0; i < t.len; i++) {
        slash |= t.at[i] == '/' && i > 0 && i + 1 < t.len;
        ok &= t.at[i] >= 0x20 && t.at[i] < 0x7F;
    }
    if (!ok || !slash) compile_fault(c, at, FAULT_INVALID, "content_type: \"%.*s\" is no media type", TEXT_ARG(t));
    return ok && slash;
}

static void read_body(struct compile *c, const struct conf *group, const char *of, struct stage_call *call) {
    const struct conf *body = conf_find(group, "body"), *file = conf_find(group, "template");
    const struct conf *form = conf_find(group, "form"), *type = conf_find(group, "content_type");
    const struct conf *source = body ? body : file;
    if ((body != NULL) + (file != NULL) + (form != NULL) > 1) {
        compile_fault(c, form ? form : file, FAULT_INVALID, "%s has more than one of body, template and form", of);
        return;
    }
    if (type && type->kind == CONF_STRING && (form || !source)) {
        compile_fault(c, type, FAULT_INVALID, form ? "a form has its own content_type" : "content_type without a body");
        return;
    }
    read_pairs(c, form, PLACE_FORM, &call->form, &call->form_count);
    if (form) call->content_type = "application/x-www-form-urlencoded";
    if (!source || source->kind != CONF_STRING || (type && (type->kind != CONF_STRING || !check_type(c, type)))) return;
    enum template_place place;
    call->content_type = type ? type->string.at : default_type(file);
    if (!place_of(c, type ? type : source, text_of(call->content_type), &place)) return;
    call->body = body ? compile_template(c, body, place) : compile_template_file(c, file, place);
}

/* ---- credentials ---- */

static const struct template *credential(struct compile *c, const struct conf *group, const char *name, bool wanted,
                                         const char *type) {
    const struct conf *at = conf_find(group, name);
    if (!at && wanted) compile_fault(c, group, FAULT_INVALID, "auth of type %s needs %s", type, name);
    if (at && !wanted) compile_fault(c, at, FAULT_INVALID, "auth of type %s has no %s", type, name);
    return at && wanted && at->kind == CONF_STRING ? compile_template(c, at, PLACE_HEADER) : NULL;
}

static void read_auth(struct compile *c, const struct conf *group, struct stage_auth *auth) {
    if (!group || group->kind != CONF_GROUP) return;
    const struct conf *type = conf_find(group, "type");
    struct field_place place = {&fields_auth, NULL};
    size_t before = compile_fault_count(c);
    fields_read(c, group, "auth", &place, 1);
    if (!type) compile_fault(c, group, FAULT_INVALID, "auth needs type = \"basic\" or \"bearer\"");
    if (compile_fault_count(c) != before) return;
    bool basic = text_is(type->string, "basic");
    auth->kind = basic ? AUTH_BASIC : AUTH_BEARER;
    const struct conf *user = conf_find(group, "user");
    if (user && memchr(user->string.at, ':', user->string.len) && !text_holds(user->string, "{{"))
        compile_fault(c, user, FAULT_INVALID, "the user of basic authentication cannot hold a colon"); /* RFC 7617, 2 */
    auth->user = credential(c, group, "user", basic, type->string.at);
    auth->password = credential(c, group, "password", basic, type->string.at);
    auth->token = credential(c, group, "token", !basic, type->string.at);
}

static const char *pem_file(struct compile *c, const struct conf *group, const char *name) {
    const struct conf *at = conf_find(group, name);
    if (!at || at->kind != CONF_STRING) return NULL;
    const char *path = conf_path_beside(c->arena, c->source.file, at->string.at);
    if (access(path, R_OK) != 0) compile_fault(c, at, FAULT_IO, "%s: %s cannot be read: %m", name, path);
    return path;
}

static void read_tls(struct compile *c, const struct conf *group, struct stage_tls *tls) {
    if (!group || group->kind != CONF_GROUP) return;
    struct field_place place = {&fields_tls, tls};
    fields_read(c, group, "tls", &place, 1);
    tls->ca = pem_file(c, group, "ca");
    tls->certificate = pem_file(c, group, "certificate");
    tls->key = pem_file(c, group, "key");
    if (tls->key && !tls->certificate)
        compile_fault(c, conf_find(group, "key"), FAULT_INVALID, "key needs certificate");
    if (!tls->key) tls->key = tls->certificate;
    if (tls->insecure)
        compile_warn(c, conf_find(group, "insecure"),
                     "the upstream is not verified: whoever is on the way can pose as it");
}

static bool is_loopback(struct text rest) {
    return text_starts(rest, "localhost") || text_starts(rest, "127.") || text_starts(rest, "[::1]");
}

static bool sends_secret(const struct stage_call *call) {
    bool sends = call->auth.kind != AUTH_NONE || (call->body && template_uses(call->body, ROOT_SECRET)) ||
                 (call->url && template_uses(call->url, ROOT_SECRET));
    for (size_t i = 0; i < call->header_count; i++)
        sends |= call->headers[i].value && template_uses(call->headers[i].value, ROOT_SECRET);
    for (size_t i = 0; i < call->form_count; i++)
        sends |= call->form[i].value && template_uses(call->form[i].value, ROOT_SECRET);
    return sends;
}

static void warn_of_http(struct compile *c, const struct conf *url, const struct stage_call *call) {
    struct text t = url->string;
    if (call->unix_socket) return; /* nobody is on that way */
    if (t.len < 7 || strncasecmp(t.at, "http://", 7) != 0 || is_loopback((struct text){t.at + 7, t.len - 7})) return;
    if (sends_secret(call)) compile_warn(c, url, "credentials go over http, for all on the way to read; use https");
}

/* ---- the rest ---- */

static void read_redirects(const struct conf *at, struct stage_call *call) {
    if (!at) return;
    if (at->kind == CONF_BOOL) call->follow_redirects = at->truth ? 5 : 0;
    else if (at->kind == CONF_INT && at->integer >= 0) call->follow_redirects = (unsigned)at->integer;
}

static void read_retry(struct compile *c, const struct conf *group, struct stage_call *call) {
    if (!group || group->kind != CONF_GROUP) return;
    struct field_place place = {&fields_retry, call};
    const struct conf *attempts = conf_find(group, "attempts"), *max_delay = conf_find(group, "max_delay");
    fields_read(c, group, "retry", &place, 1);
    if (attempts && attempts->kind == CONF_INT && attempts->integer >= 0)
        call->retry_attempts = (unsigned)attempts->integer;
    call->retry_on_given = conf_find(group, "on") != NULL;
    if (call->retry_delay_ms <= call->retry_max_delay_ms) return;
    if (max_delay) compile_fault(c, max_delay, FAULT_INVALID, "max_delay is less than delay");
    else call->retry_max_delay_ms = call->retry_delay_ms;
}

/* A URL into which nothing goes is the same for each call. One that is none is told when it is called, as others are.
 */
static const char *fixed_url(struct arena *arena, const struct template *t) {
    struct buf text;
    struct url url;
    struct fault fault;
    size_t root;
    if (!t || template_roots(t) || template_is_whole_url(t, &root)) return NULL;
    buf_init(&text, STAGE_URL_MAX_BYTES);
    bool good = template_render(t, NULL, &text, &fault) && url_parse(buf_text(&text), &url, &fault);
    const char *fixed = good ? arena_strndup(arena, buf_cstr(&text), strcspn(buf_cstr(&text), "#")) : NULL;
    buf_fini(&text);
    return fixed;
}

static void read_url(struct compile *c, const struct conf *group, const char *of, struct stage_call *call) {
    const struct conf *at = conf_find(group, "url");
    if (!at) compile_fault(c, group, FAULT_INVALID, "%s needs a url", of);
    else if (at->kind == CONF_STRING && at->string.len == 0) compile_fault(c, at, FAULT_INVALID, "url is empty");
    else if (at->kind == CONF_STRING) call->url = compile_template(c, at, PLACE_URL);
    call->fixed_url = fixed_url(c->arena, call->url);
}

static void read_unix_socket(struct compile *c, const struct conf *at, struct stage_call *call) {
    struct sockaddr_un address;
    if (!at || at->kind != CONF_STRING) return;
    call->unix_socket = at->string.at;
    if (at->string.at[0] != '/')
        compile_fault(c, at, FAULT_INVALID, "unix_socket: \"%.*s\" is not an absolute path", TEXT_ARG(at->string));
    else if (at->string.len >= sizeof address.sun_path)
        compile_fault(c, at, FAULT_TOO_LARGE, "unix_socket is longer than the %zu bytes that a socket's path may have",
                      sizeof address.sun_path - 1);
}

/* What is listed and will not be done should not surprise anybody in the night. */
static void warn_of_codes(struct compile *c, const struct conf *retry, const struct stage_call *call) {
    const struct conf *on = retry && retry->kind == CONF_GROUP ? conf_find(retry, "on") : NULL;
    struct code_set ignored = {0};
    bool any = false;
    for (int code = 500; on && code <= 599; code++) {
        bool counts = code == 503 || !code_set_holds(&call->retry_on, code);
        if (!counts) ignored.bits[(code - 100) / 64] |= (uint64_t)1 << (code - 100) % 64, any = true;
    }
    if (!any) return;
    struct buf codes;
    buf_init(&codes, 2000);
    code_set_write(&codes, &ignored);
    compile_warn(c, on,
                 "with %s the call may have been acted on, and it is not idempotent: it is not tried again then; "
                 "idempotent = true would say that it may be",
                 buf_cstr(&codes));
    buf_fini(&codes);
}

void compile_call_defaults(struct stage_call *call) {
    code_set_parse(TEXT("2xx"), &call->expect, NULL);
    call->connect_timeout_ms = 5000;
    call->call_timeout_ms = 30000;
    call->max_reply_bytes = 1 << 20;
    call->retry_attempts = 2;
    call->retry_delay_ms = 1000;
    call->retry_max_delay_ms = 30000;
    code_set_parse(TEXT("408,425,429,5xx"), &call->retry_on, NULL);
}

void compile_call(struct compile *c, const struct conf *group, const char *of, enum compile_call_kind kind,
                  struct stage_call *call) {
    const struct conf *idempotent = conf_find(group, "idempotent"), *url = conf_find(group, "url");
    c->scope.secrets = true;
    c->scope.reply = false;
    call->method = method_of(c, group, kind);
    read_url(c, group, of, call);
    read_unix_socket(c, conf_find(group, "unix_socket"), call);
    c->scope.own_body = conf_find(group, "body") || conf_find(group, "template") || conf_find(group, "form");
    read_pairs(c, conf_find(group, "headers"), PLACE_HEADER, &call->headers, &call->header_count);
    c->scope.own_body = false;
    read_body(c, group, of, call);
    read_auth(c, conf_find(group, "auth"), &call->auth);
    read_tls(c, conf_find(group, "tls"), &call->tls);
    read_redirects(conf_find(group, "follow_redirects"), call);
    read_retry(c, conf_find(group, "retry"), call);
    call->idempotent = idempotent && idempotent->kind == CONF_BOOL ? idempotent->truth
                                                                   : method_idempotent(call->method);
    if (!call->idempotent && kind != COMPILE_CANCEL && kind != COMPILE_PROBE)
        warn_of_codes(c, conf_find(group, "retry"), call);
    for (size_t i = 0; call->auth.kind != AUTH_NONE && i < call->header_count; i++)
        if (strcasecmp(call->headers[i].name, "Authorization") == 0)
            compile_fault(c, conf_find(group, "auth"), FAULT_INVALID, "%s has both auth and an Authorization header",
                          of);
    if (url && url->kind == CONF_STRING) warn_of_http(c, url, call);
}
