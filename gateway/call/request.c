/* A definition's call and a run's values in, a request as plain data out.
 *
 * Pure: no sockets, no clocks. The templates escape by place; what is left to do here is what a template cannot know:
 * that a URL from a reply leads where the definition allows, that headers cannot break the message, and the defaults
 * that a service expects (Accept, Content-Type, traceparent). Faults never quote a value: it may hold a secret. */
#include "call/request.h"

#include <string.h>

#define VALUE_MAX_BYTES 65536 /* a header, a credential */
#define RENDERED_USUAL 1023   /* bytes */
#define OWN_HEADERS 4         /* Content-Type, Accept, traceparent, a key */

struct rendering {
    struct arena *arena;
    const struct stage_call *call;
    const struct request_source *source;
    struct fault *fault;
};

/* ---- checks that back/ shares ---- */

bool request_value_check(const char *value) {
    return text_field_check(text_of(value));
}

static bool entry_allows(const char *entry, const struct url *home, const struct url *next) {
    struct url listed;
    if (strstr(entry, "://")) return url_parse(text_of(entry), &listed, NULL) && url_same_origin(&listed, next);
    bool steps_down = text_is_nocase(home->scheme, "https") && !text_is_nocase(next->scheme, "https");
    if (steps_down) return false;
    char whole[512]; /* a bare entry, read as an origin of the scheme at hand, so that ports and case follow one rule */
    struct buf text;
    buf_init(&text, sizeof whole - 1);
    buf_addf(&text, "%.*s://%s/", TEXT_ARG(next->scheme), entry);
    bool fits = !text.full;
    memcpy(whole, buf_cstr(&text), text.len + 1);
    buf_fini(&text);
    return fits && url_parse(text_of(whole), &listed, NULL) && url_same_origin(&listed, next);
}

bool request_may_go(const struct url *home, const struct url *next, const char *const *hosts, size_t host_count) {
    if (url_same_origin(home, next)) return true;
    for (size_t i = 0; i < host_count; i++)
        if (entry_allows(hosts[i], home, next)) return true;
    return false;
}

/* ---- rendering ---- */

/* In the arena, NUL-terminated; or NULL with a fault. */
static const char *render(const struct rendering *r, const struct template *template, size_t max,
                          struct text *ret_text) {
    struct buf out;
    buf_init(&out, max);
    buf_expect(&out, RENDERED_USUAL);
    const char *text = NULL;
    if (template_render(template, r->source->roots, &out, r->fault)) {
        text = arena_strndup(r->arena, buf_cstr(&out), out.len);
        if (ret_text) *ret_text = (struct text){text, out.len};
    }
    buf_fini(&out);
    return text;
}

static const char *render_value(const struct rendering *r, const struct template *template, const char *what) {
    struct text value;
    const char *text = render(r, template, VALUE_MAX_BYTES, &value);
    if (!text) {
        fault_place(r->fault, "%s", what);
        return NULL;
    }
    if (strlen(text) == value.len && request_value_check(text)) return text;
    fault_set(r->fault, FAULT_INVALID, r->source->stage->file, "the value of %s holds a control character", what);
    return NULL;
}

static bool refuse_origin(const struct rendering *r, const struct url *next) {
    return fault_set(r->fault, FAULT_FORBIDDEN, r->source->stage->file,
                     "the URL leads to an origin that is neither where it came from nor in the definition's hosts; to "
                     "allow it: hosts = [ \"%.*s://%.*s:%d\" ]",
                     TEXT_ARG(next->scheme), TEXT_ARG(next->host), url_port(next));
}

/* A URL that is one expression over a step's reply: relative to the URL that the step called. */
static const char *resolve_from_step(const struct rendering *r, size_t step, const char *reference) {
    const struct stage *stage = r->source->stage;
    const char *base = step < stage->step_count ? r->source->step_urls[step] : NULL;
    struct url home, next;
    if (!base) {
        fault_set(r->fault, FAULT_UNDEFINED, stage->file, "the URL comes from a step that has not had a reply yet");
        return NULL;
    }
    const char *url = url_resolve(r->arena, text_of(base), text_of(reference), r->fault);
    if (!url || !url_parse(text_of(url), &next, r->fault) || !url_parse(text_of(base), &home, r->fault)) return NULL;
    if (request_may_go(&home, &next, stage->hosts, stage->host_count)) return url;
    refuse_origin(r, &next);
    return NULL;
}

/* A URL that is one expression over anything else, say a parameter: only where the definition says. */
static const char *check_listed(const struct rendering *r, const char *url) {
    const struct stage *stage = r->source->stage;
    struct url next;
    if (!url_parse(text_of(url), &next, r->fault)) return NULL;
    struct url nowhere = {.scheme = TEXT("https"), .host = TEXT("")}; /* so http has to be listed as such */
    if (request_may_go(&nowhere, &next, stage->hosts, stage->host_count)) return url;
    refuse_origin(r, &next);
    return NULL;
}

/* The socket that a call goes through: its own, or that of the call whose reply its URL came from, as long as both are
 * of one origin. */
static const char *socket_of(const struct rendering *r, const struct stage_call *call, const char *url) {
    while (!call->unix_socket) {
        struct url home, here;
        size_t root;
        if (!template_is_whole_url(call->url, &root) || root < ROOT_STEPS) return NULL;
        const char *base = r->source->step_urls[root - ROOT_STEPS]; /* of a step before: the chain has an end */
        if (!base || !url_parse(text_of(base), &home, NULL) || !url_parse(text_of(url), &here, NULL)) return NULL;
        if (!url_same_origin(&home, &here)) return NULL;
        call = &r->source->stage->steps[root - ROOT_STEPS].call;
        url = base;
    }
    return call->unix_socket;
}

static const char *make_url(const struct rendering *r) {
    size_t root;
    struct url parsed;
    const char *url = render(r, r->call->url, STAGE_URL_MAX_BYTES, NULL);
    if (!url) return NULL;
    if (template_is_whole_url(r->call->url, &root))
        url = root >= ROOT_STEPS ? resolve_from_step(r, root - ROOT_STEPS, url) : check_listed(r, url);
    if (!url || !url_parse(text_of(url), &parsed, r->fault)) return NULL;
    const char *hash = strchr(url, '#');
    return hash ? arena_strndup(r->arena, url, (size_t)(hash - url)) : url;
}

static bool render_url(const struct rendering *r, struct request *request) {
    request->url = r->call->fixed_url ? r->call->fixed_url : make_url(r);
    if (request->url) request->unix_socket = socket_of(r, r->call, request->url);
    return request->url;
}

static bool has_header(const struct request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (text_same_nocase(request->headers[i].name, name)) return true;
    return false;
}

/* In headers `body` is what the request sends, so that it can be signed. */
static const struct json *const *roots_with_body(const struct rendering *r, struct text body) {
    bool used = false;
    for (size_t i = 0; i < r->call->header_count; i++) used |= template_uses(r->call->headers[i].value, ROOT_BODY);
    if (!used) return r->source->roots;
    size_t count = ROOT_STEPS + r->source->stage->step_count;
    const struct json **roots = arena_copy(r->arena, r->source->roots, count * sizeof *roots);
    roots[ROOT_BODY] = json_new_text(r->arena, body);
    return roots;
}

static bool render_headers(const struct rendering *whole, struct request *request) {
    struct request_source source = *whole->source;
    struct rendering with_body = {whole->arena, whole->call, &source, whole->fault}, *r = &with_body;
    const struct stage_call *call = r->call;
    source.roots = roots_with_body(whole, request->body);
    struct request_header *headers = arena_array_of(r->arena, struct request_header, call->header_count + OWN_HEADERS);
    request->headers = headers;
    for (size_t i = 0; i < call->header_count; i++) {
        const char *name = call->headers[i].name;
        if (!text_token_check(text_of(name)) || stage_header_is_ours(name))
            return fault_set(r->fault, FAULT_INVALID, r->source->stage->file, "a request may not set the header %s",
                             name);
        const char *value = render_value(r, call->headers[i].value, name);
        if (!value) return false;
        headers[request->header_count++] = (struct request_header){name, value};
    }
    const char *type = call->content_type ? call->content_type
                       : call->body       ? "application/json"
                                          : "application/x-www-form-urlencoded";
    if (request->has_body && !has_header(request, "Content-Type"))
        headers[request->header_count++] = (struct request_header){"Content-Type", type};
    if (!has_header(request, "Accept"))
        headers[request->header_count++] = (struct request_header){"Accept", "application/json"};
    if (r->source->traceparent && !has_header(request, "traceparent"))
        headers[request->header_count++] = (struct request_header){"traceparent", r->source->traceparent};
    if (call->idempotency_header && r->source->idempotency_key)
        headers[request->header_count++] = (struct request_header){call->idempotency_header,
                                                                   r->source->idempotency_key};
    return true;
}

static bool too_large(const struct rendering *r) {
    return fault_set(r->fault, FAULT_TOO_LARGE, r->source->stage->file, "the body of the request is larger than %d MiB",
                     REQUEST_MAX_BYTES / 1024 / 1024);
}

static bool render_form(const struct rendering *r, struct request *request) {
    struct buf out;
    bool ok = true;
    buf_init(&out, REQUEST_MAX_BYTES);
    for (size_t i = 0; ok && i < r->call->form_count; i++) {
        if (i > 0) buf_addc(&out, '&');
        url_encode(&out, text_of(r->call->form[i].name));
        buf_addc(&out, '=');
        ok = template_render(r->call->form[i].value, r->source->roots, &out, r->fault);
    }
    if (ok && out.full) ok = too_large(r);
    if (ok) request->body = (struct text){arena_strndup(r->arena, buf_cstr(&out), out.len), out.len};
    buf_fini(&out);
    return ok;
}

static bool render_body(const struct rendering *r, struct request *request) {
    request->has_body = r->call->body || r->call->form_count;
    if (r->call->body) return render(r, r->call->body, REQUEST_MAX_BYTES, &request->body) != NULL;
    return !r->call->form_count || render_form(r, request);
}

static bool render_credential(const struct rendering *r, const struct template *template, const char *what,
                              const char **ret_value) {
    if (!template) return true;
    *ret_value = render_value(r, template, what);
    return *ret_value != NULL;
}

static bool render_auth(const struct rendering *r, struct request *request) {
    const struct stage_auth *auth = &r->call->auth;
    request->auth = auth->kind;
    if (auth->kind == AUTH_BEARER) return render_credential(r, auth->token, "auth.token", &request->token);
    if (auth->kind == AUTH_NONE) return true;
    if (!render_credential(r, auth->user, "auth.user", &request->user)) return false;
    if (request->user && strchr(request->user, ':'))
        return fault_set(r->fault, FAULT_INVALID, r->source->stage->file, "auth.user may not hold a colon (RFC 7617)");
    return render_credential(r, auth->password, "auth.password", &request->password);
}

bool request_render(struct arena *arena, const struct stage_call *call, const struct request_source *source,
                    struct request *ret_request, struct fault *fault) {
    struct fault unread;
    struct rendering r = {arena, call, source, fault ? fault : &unread};
    struct request request = {
        .method = call->method, .call = call, .hosts = source->stage->hosts, .host_count = source->stage->host_count};
    if (!render_url(&r, &request) || !render_body(&r, &request) || !render_headers(&r, &request) ||
        !render_auth(&r, &request))
        return false;
    *ret_request = request;
    return true;
}
