/* The head of a request as it goes over the wire (RFC 9112, 3).
 *
 * transfer.c asks for the check once a call, and for the head once an exchange. Nothing but what was checked is
 * written: the method and names are tokens, values have no control characters, the target is what origin.c has judged,
 * the host is libcurl's. A line break in any of them would shift every later reply of the connection by one.
 *
 * Lines are in the order in which libcurl wrote them. A body has its length always, and what usually has a body has one
 * of zero without (RFC 9110, 8.6); there is no Expect, no chunk and no compression. */
#include "back/head.h"

#include <string.h>
#include <strings.h>

/* ---- the check ---- */

static bool check_headers(const struct request *request, struct fault *fault) {
    for (size_t i = 0; i < request->header_count; i++) {
        const struct request_header *header = &request->headers[i];
        if (!text_token_check(text_of(header->name)))
            return fault_set(fault, FAULT_INVALID, NULL, "the name of header %zu is not a token", i + 1);
        if (stage_header_is_ours(header->name))
            return fault_set(fault, FAULT_INVALID, NULL, "a request may not set the header %s", header->name);
        if (!request_value_check(header->value))
            return fault_set(fault, FAULT_INVALID, NULL, "the header %s holds a control character", header->name);
    }
    return true;
}

static bool check_credentials(const struct request *request, struct fault *fault) {
    const char *const values[] = {request->user, request->password, request->token};
    if (request->auth == AUTH_NONE) return true;
    for (size_t i = 0; i < 3; i++)
        if (values[i] && !request_value_check(values[i]))
            return fault_set(fault, FAULT_INVALID, NULL, "the credentials hold a control character");
    if (request->auth == AUTH_BASIC && request->user && strchr(request->user, ':'))
        return fault_set(fault, FAULT_INVALID, NULL, "the user of basic auth may not hold a colon (RFC 7617)");
    return true;
}

bool head_check(const struct request *request, struct fault *fault) {
    if (!text_token_check(text_of(request->method)) || strcmp(request->method, "CONNECT") == 0)
        return fault_set(fault, FAULT_INVALID, NULL, "the method is not one that a call can have");
    if (strcmp(request->method, "HEAD") == 0 && request->has_body)
        return fault_set(fault, FAULT_INVALID, NULL, "a HEAD request has no body");
    return check_headers(request, fault) && check_credentials(request, fault);
}

/* ---- the lines ---- */

static void add_line(struct buf *out, struct text name, struct text value) {
    static const char colon[] = ": ", end[] = "\r\n";
    size_t colon_len = value.len ? 2 : 1;
    char *to = buf_room(out, name.len + colon_len + value.len + 2);
    if (!to) return;
    memcpy(to, name.at, name.len);
    memcpy(to + name.len, colon, 2);
    memcpy(to + name.len + colon_len, value.at, value.len);
    memcpy(to + name.len + colon_len + value.len, end, 2);
    buf_grew(out, name.len + colon_len + value.len + 2);
}

static void add_credentials(struct buf *out, const struct request *request) {
    const char *user = request->user, *password = request->password;
    struct buf plain;
    switch (request->auth) {
    case AUTH_NONE: break;
    case AUTH_BEARER:
        buf_adds(out, "Authorization: Bearer ");
        buf_adds(out, request->token ? request->token : "");
        buf_adds(out, "\r\n");
        break;
    case AUTH_BASIC:
        buf_init(&plain, HEAD_MAX);
        if (user) buf_adds(&plain, user);
        buf_addc(&plain, ':');
        if (password) buf_adds(&plain, password);
        buf_adds(out, "Authorization: Basic ");
        buf_add_base64(out, buf_text(&plain));
        buf_adds(out, "\r\n");
        buf_fini(&plain);
        break;
    }
}

static bool goes_along(const struct request *request, const struct hop *hop, const char *name) {
    if (!hop->own_origin) return strcasecmp(name, "Accept") == 0 || strcasecmp(name, "User-Agent") == 0;
    if (hop->rewritten && strncasecmp(name, "Content-", strlen("Content-")) == 0) return false;
    return request->auth == AUTH_NONE || strcasecmp(name, "Authorization") != 0;
}

static bool sets(const struct request *request, const struct hop *hop, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (text_same_nocase(request->headers[i].name, name) && goes_along(request, hop, name)) return true;
    return false;
}

struct text head_body(const struct request *request, const struct hop *hop) {
    return request->has_body && !hop->rewritten ? request->body : (struct text){0};
}

static bool has_length(const struct request *request, const struct hop *hop) {
    const char *method = hop->method;
    if (request->has_body && !hop->rewritten) return true;
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
}

void head_write(struct buf *out, const struct request *request, const struct hop *hop, const struct origin *origin,
                struct arena *arena, const char *user_agent) {
    buf_adds(out, hop->method);
    buf_addc(out, ' ');
    buf_adds(out, origin_target(arena, origin, hop->url));
    buf_adds(out, " HTTP/1.1\r\n");
    add_line(out, TEXT("Host"), text_of(origin->host_header));
    if (!sets(request, hop, "Accept")) buf_addt(out, TEXT("Accept: */*\r\n"));
    for (size_t i = 0; i < request->header_count; i++) {
        const struct request_header *header = &request->headers[i];
        if (goes_along(request, hop, header->name)) add_line(out, text_of(header->name), text_of(header->value));
    }
    if (hop->own_origin) add_credentials(out, request);
    if (!sets(request, hop, "User-Agent")) add_line(out, TEXT("User-Agent"), text_of(user_agent));
    if (has_length(request, hop)) {
        buf_adds(out, "Content-Length: ");
        buf_addi(out, (int64_t)head_body(request, hop).len);
        buf_add(out, "\r\n", 2);
    }
    buf_add(out, "\r\n", 2);
}
