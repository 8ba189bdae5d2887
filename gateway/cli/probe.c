/* One GET with libcurl, and what it tells of the connection.
 *
 * It sends no token and follows no redirect. libcurl here stands on OpenSSL, as the JVM's TLS does not; yet both want a
 * chain that the server sends whole, up to an authority that they know. */
#include "cli/probe.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "call/http_date.h"

enum { TIMEOUT_MS = 10 * 1000, CONNECT_MS = 5 * 1000, BODY_MAX_BYTES = 1024 * 1024 };

struct probe {
    struct arena *arena;
    struct probe_result *result;
    struct buf body;
};

static size_t take_body(char *at, size_t size, size_t count, void *arg) {
    struct probe *probe = arg;
    buf_add(&probe->body, at, size * count);
    return probe->body.full ? 0 : size * count;
}

static size_t take_header(char *at, size_t size, size_t count, void *arg) {
    struct probe *probe = arg;
    struct text value = {at, size * count}, name;
    if (!memchr(at, ':', size * count) || !text_cut(&value, ':', &name)) return size * count;
    value = text_trim(value);
    if (text_is_nocase(name, "Date"))
        probe->result->has_date = http_date_parse(value, clock_wall_ms(), &probe->result->date_ms);
    if (text_is_nocase(name, "Server")) probe->result->server = arena_strndup(probe->arena, value.at, value.len);
    return size * count;
}

/* ---- certificates ---- */

/* "Nov  3 13:00:00 2027 GMT", as OpenSSL prints a time. */
static int64_t time_of(const char *text) {
    struct tm tm = {0};
    const char *end = strptime(text, "%b %d %H:%M:%S %Y", &tm);
    return end && strcmp(end, " GMT") == 0 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static const char *field(const struct curl_slist *list, const char *name) {
    size_t n = strlen(name);
    for (; list; list = list->next)
        if (strncmp(list->data, name, n) == 0 && list->data[n] == ':') return list->data + n + 1;
    return NULL;
}

static const char *field_copy(struct probe *probe, const struct curl_slist *list, const char *name) {
    const char *value = field(list, name);
    return arena_strdup(probe->arena, value);
}

static void take_certificates(struct probe *probe, CURL *easy) {
    struct probe_result *result = probe->result;
    struct curl_certinfo *chain = NULL;
    if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain || chain->num_of_certs < 1) return;
    result->has_certificate = true;
    const char *subject = field_copy(probe, chain->certinfo[0], "Subject");
    const char *issuer = field_copy(probe, chain->certinfo[0], "Issuer");
    result->subject = subject ? subject : "";
    result->issuer = issuer ? issuer : "";
    result->names = field_copy(probe, chain->certinfo[0], "X509v3 Subject Alternative Name");
    for (int i = 0; i < chain->num_of_certs; i++) {
        const char *expires = field(chain->certinfo[i], "Expire date");
        int64_t at = expires ? time_of(expires) : 0;
        if (!at || (result->expires_ms && at >= result->expires_ms)) continue;
        result->expires_ms = at;
        result->expires_of = field_copy(probe, chain->certinfo[i], "Subject");
    }
}

/* ---- the call ---- */

static bool is_loopback(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return strncasecmp(host, "localhost", 9) == 0 || strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0;
}

static void prepare(CURL *easy, const struct probe_request *request, struct probe *probe, char *error) {
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "stagedoor/" STAGEDOOR_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, probe);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, probe);
    curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L);
    if (request->unix_socket) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
    if (request->unix_socket || is_loopback(request->url)) curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (request->unverified) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    } else if (request->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
}

static void take_answer(struct probe *probe, CURL *easy) {
    static const struct json_limits limits = {.max_bytes = BODY_MAX_BYTES, .max_depth = 64, .max_items = 100000};
    struct fault fault;
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    probe->result->answered = true;
    probe->result->code = (int)code;
    if (probe->body.len) probe->result->body = json_parse(probe->arena, buf_text(&probe->body), &limits, &fault);
}

void probe_get(struct arena *arena, const struct probe_request *request, struct probe_result *ret_result) {
    struct probe probe = {.arena = arena, .result = ret_result};
    char error[CURL_ERROR_SIZE] = "";
    *ret_result = (struct probe_result){
        .tls = strncasecmp(request->url, "https:", 6) == 0, .subject = "", .issuer = ""};
    buf_init(&probe.body, BODY_MAX_BYTES);
    curl_global_init(CURL_GLOBAL_ALL);
    CURL *easy = curl_easy_init();
    prepare(easy, request, &probe, error);
    ret_result->asked_ms = clock_wall_ms();
    CURLcode code = curl_easy_perform(easy);
    ret_result->answered_ms = clock_wall_ms();
    if (code == CURLE_OK) take_answer(&probe, easy);
    else ret_result->error = arena_strdup(arena, error[0] ? error : curl_easy_strerror(code));
    ret_result->untrusted = code == CURLE_PEER_FAILED_VERIFICATION;
    take_certificates(&probe, easy);
    curl_easy_cleanup(easy);
    buf_fini(&probe.body);
}
