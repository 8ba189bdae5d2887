/* What an exchange is, in libcurl's options.
 *
 * transfer.c owns handles, sets what all of its exchanges have in common (callbacks, protocols), and says when one has
 * to be reset: after a failure, or where libcurl has sent twice, since it counts its tries over a handle's life and
 * gives up at the sixth.
 *
 * Always holds: what a member of struct handle says is what the easy handle has. Every option that is set here is set
 * by handle_fill for each exchange, or compared with what was set before, so none is left over from another one. */
#include "back/handle.h"

#include <string.h>

#include "base/mem.h"

static void forget(struct handle *handle) {
    mem_free(handle->method);
    mem_free(handle->unix_socket);
    trust_forget(&handle->trust);
    *handle = (struct handle){
        .easy = handle->easy, .timeout_ms = -1, .connect_timeout_ms = -1, .max_idle_s = -1, .max_bytes = -1};
}

void handle_init(struct handle *handle) {
    *handle = (struct handle){.easy = curl_easy_init()};
    forget(handle);
}

void handle_fini(struct handle *handle) {
    forget(handle);
    curl_easy_cleanup(handle->easy);
}

void handle_reset(struct handle *handle) {
    forget(handle);
    curl_easy_reset(handle->easy); /* keeps connections, sessions and the DNS cache, which are the multi's */
}

/* ---- what is said only where it differs ---- */

static void set_long(struct handle *handle, CURLoption option, int64_t *known, int64_t value) {
    if (*known == value) return;
    *known = value;
    curl_easy_setopt(handle->easy, option, (long)value);
}

static void set_text(struct handle *handle, CURLoption option, char **known, const char *value) {
    if (*known && value ? strcmp(*known, value) == 0 : *known == value) return;
    mem_free(*known);
    *known = mem_strdup(value);
    curl_easy_setopt(handle->easy, option, value);
}

static void set_limits(struct handle *handle, const struct exchange_options *options) {
    set_long(handle, CURLOPT_TIMEOUT_MS, &handle->timeout_ms, options->timeout_ms);
    set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, &handle->connect_timeout_ms, options->connect_timeout_ms);
    set_long(handle, CURLOPT_MAXAGE_CONN, &handle->max_idle_s, options->max_idle_s);
    if (handle->max_bytes == options->max_bytes) return;
    handle->max_bytes = options->max_bytes;
    curl_easy_setopt(handle->easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)options->max_bytes);
}

static void set_origin(struct handle *handle, const struct origin *origin) {
    if (handle->origin == origin) return;
    handle->origin = origin;
    curl_easy_setopt(handle->easy, CURLOPT_CURLU, origin->parts);
    curl_easy_setopt(handle->easy, CURLOPT_URL,
                     origin->url); /* what it makes of the parts for itself is not made anew */
}

/* ---- what is said for every exchange ---- */

/* HTTPGET undoes what NOBODY and POSTFIELDS have made of the handle before. */
static void set_method(struct handle *handle, const struct exchange_options *options) {
    CURL *easy = handle->easy;
    const char *method = options->method;
    bool expects_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (options->has_body || expects_body) { /* RFC 9110, 8.6: then Content-Length: 0 is sent too */
        struct text body = options->has_body ? options->body : (struct text){"", 0};
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.at ? body.at : ""); /* not copied by curl */
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    }
    set_text(handle, CURLOPT_CUSTOMREQUEST, &handle->method, method);
}

void handle_fill(struct handle *handle, const struct exchange_options *options) {
    set_limits(handle, options);
    set_origin(handle, options->origin);
    set_text(handle, CURLOPT_UNIX_SOCKET_PATH, &handle->unix_socket, options->unix_socket);
    trust_equip(&handle->trust, handle->easy, options->tls, options->own_origin);
    set_method(handle, options);
    curl_easy_setopt(handle->easy, CURLOPT_REQUEST_TARGET, options->target);
    curl_easy_setopt(handle->easy, CURLOPT_HTTPHEADER, options->headers);
}

void handle_empty(struct handle *handle) {
    curl_easy_setopt(handle->easy, CURLOPT_REQUEST_TARGET, NULL);
    curl_easy_setopt(handle->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(handle->easy, CURLOPT_POSTFIELDS, NULL);
}
