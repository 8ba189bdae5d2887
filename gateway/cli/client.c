/* HTTP to the gateway.
 *
 * One easy handle, kept so that its connection is used again, driven by a multi handle: only that lets a call be
 * watched while it waits, so that a bar moves on and Ctrl-C is heard at once. Redirects are not followed, and no URL
 * out of a report is ever called: the token goes to the gateway that the user named and nowhere else.
 *
 * Every request that this client makes may be made twice without harm: reads, cancels, and starts, which carry a key.
 * So libcurl's silent resend on a pooled connection that died is welcome here. */
#include "cli/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/screen.h"
#include "lang/url.h"

enum {
    CONNECT_MS = 10 * 1000,
    CALL_MS = 30 * 1000, /* beyond what was asked for with Prefer: wait */
    BODY_MAX_BYTES = 64 * 1024 * 1024,
    TOKEN_MAX_BYTES = 16 * 1024
};

#define URL_PRESET "http://127.0.0.1:8095"

struct client {
    char *url;    /* as the user wrote it */
    char *base;   /* what paths are put behind */
    char *socket; /* a unix socket's path, or NULL */
    char *ca, *token;
    bool direct; /* on this machine: no proxy */
    CURL *easy;
    CURLM *multi;
    int fd;
    int64_t every_ms;
    bool (*on_wait)(void *arg);
    void *arg;
};

static bool is_loopback(struct text host) {
    return text_is_nocase(host, "localhost") || text_is(host, "[::1]") || text_starts(host, "127.");
}

static bool take_url(struct client *client, struct fault *fault) {
    struct text t = text_of(client->url);
    if (text_starts(t, "unix:")) {
        if (client->url[5] != '/')
            return fault_set(fault, FAULT_INVALID, client->url, "a unix socket is named by its whole path: unix:/path");
        client->socket = mem_strdup(client->url + 5);
        client->base = mem_strdup("http://localhost");
        client->direct = true;
        return true;
    }
    if (!text_holds(t, "://"))
        return fault_set(fault, FAULT_INVALID, client->url, "the gateway's URL needs a scheme: http://%s", client->url);
    struct url url;
    if (!url_parse(t, &url, fault)) {
        fault_place(fault, "%s", client->url);
        return false;
    }
    if (url.query.at || url.fragment.at)
        return fault_set(fault, FAULT_INVALID, client->url, "the gateway's URL may have no query and no fragment");
    while (t.len && t.at[t.len - 1] == '/') t.len--;
    client->base = mem_strndup(t.at, t.len);
    client->direct = is_loopback(url.host);
    return true;
}

static bool take_token(struct client *client, struct text token, const char *where, struct fault *fault) {
    token = text_trim(token);
    if (token.len == 0) return fault_set(fault, FAULT_INVALID, where, "the token is empty");
    for (size_t i = 0; i < token.len; i++)
        if (token.at[i] <= ' ' || token.at[i] > '~')
            return fault_set(fault, FAULT_INVALID, where, "a token has neither blanks nor control characters");
    client->token = mem_strndup(token.at, token.len);
    return true;
}

static bool read_token_file(struct client *client, const char *path, struct fault *fault) {
    FILE *file = fopen(path, "re");
    if (!file) return fault_set(fault, FAULT_IO, path, "cannot read the token: %m");
    char *bytes = mem_alloc(TOKEN_MAX_BYTES);
    size_t len = fread(bytes, 1, TOKEN_MAX_BYTES, file);
    bool failed = ferror(file) != 0, good = false;
    if (failed) fault_set(fault, FAULT_IO, path, "cannot read the token: %m");
    else if (len == TOKEN_MAX_BYTES) fault_set(fault, FAULT_TOO_LARGE, path, "a token has less than 16 KiB");
    else good = take_token(client, (struct text){bytes, len}, path, fault);
    explicit_bzero(bytes, TOKEN_MAX_BYTES);
    mem_free(bytes);
    fclose(file);
    return good;
}

static bool home_token(struct client *client, struct fault *fault) {
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    struct buf path;
    buf_init(&path, 4096);
    if (config && config[0] == '/') buf_addf(&path, "%s/stagedoor/token", config);
    else if (home && home[0]) buf_addf(&path, "%s/.config/stagedoor/token", home);
    struct stat about;
    bool good = true;
    if (path.len && !path.full && stat(buf_cstr(&path), &about) == 0) {
        if (about.st_mode & 077)
            screen_say("client", "%s can be read by others; chmod 600 would keep it yours", buf_cstr(&path));
        good = read_token_file(client, buf_cstr(&path), fault);
    }
    buf_fini(&path);
    return good;
}

static bool find_token(struct client *client, struct fault *fault) {
    const char *token = getenv("STAGEDOOR_TOKEN"), *file = getenv("STAGEDOOR_TOKEN_FILE");
    if (token && token[0]) return take_token(client, text_of(token), "STAGEDOOR_TOKEN", fault);
    if (file && file[0]) return read_token_file(client, file, fault);
    return home_token(client, fault);
}

static bool take_ca(struct client *client, const char *ca, struct fault *fault) {
    if (!ca) return true;
    if (access(ca, R_OK) != 0) return fault_set(fault, FAULT_IO, ca, "cannot read the CA file: %m");
    client->ca = mem_strdup(ca);
    return true;
}

struct client *client_new(const struct client_options *options, struct fault *fault) {
    const char *set = getenv("STAGEDOOR_URL");
    struct client *client = mem_alloc(sizeof *client);
    client->fd = -1;
    client->every_ms = 1000;
    client->url = mem_strdup(options->url ? options->url : set && set[0] ? set : URL_PRESET);
    if (!take_url(client, fault) || !find_token(client, fault) || !take_ca(client, options->ca, fault)) {
        client_free(client);
        return NULL;
    }
    curl_global_init(CURL_GLOBAL_ALL);
    client->easy = curl_easy_init();
    client->multi = curl_multi_init();
    if (!client->easy || !client->multi) abort(); /* out of memory */
    return client;
}

void client_free(struct client *client) {
    if (!client) return;
    if (client->easy) curl_easy_cleanup(client->easy);
    if (client->multi) curl_multi_cleanup(client->multi);
    if (client->token) explicit_bzero(client->token, strlen(client->token));
    mem_free(client->url);
    mem_free(client->base);
    mem_free(client->socket);
    mem_free(client->ca);
    mem_free(client->token);
    mem_free(client);
}

const char *client_url(const struct client *client) {
    return client->url;
}

void client_on_wait(struct client *client, int fd, int64_t every_ms, bool (*fn)(void *arg), void *arg) {
    client->fd = fd;
    client->every_ms = every_ms;
    client->on_wait = fn;
    client->arg = arg;
}

static size_t receive(char *at, size_t size, size_t count, void *arg) {
    struct buf *body = arg;
    buf_add(body, at, size * count);
    return body->full ? 0 : size * count;
}

static struct curl_slist *request_headers(const struct client *client, const struct client_request *request) {
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json, application/problem+json");
    struct buf line;
    buf_init(&line, TOKEN_MAX_BYTES + 64);
    headers = curl_slist_append(headers, "Expect:");
    if (request->body.at) headers = curl_slist_append(headers, "Content-Type: application/json");
    if (request->wait_s > 0) {
        buf_addf(&line, "Prefer: wait=%lld", (long long)request->wait_s);
        headers = curl_slist_append(headers, buf_cstr(&line));
        buf_clear(&line);
    }
    if (client->token) {
        buf_addf(&line, "Authorization: Bearer %s", client->token);
        headers = curl_slist_append(headers, buf_cstr(&line));
        explicit_bzero(line.at, line.len);
    }
    buf_fini(&line);
    return headers;
}

static void prepare(const struct client *client, const struct client_request *request, const char *url,
                    struct curl_slist *headers, char *error, struct buf *body) {
    CURL *easy = client->easy;
    curl_easy_reset(easy); /* keeps the connection */
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "stagedoor/" STAGEDOOR_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(CALL_MS + request->wait_s * 1000));
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    if (client->socket) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    if (client->direct) curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (client->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (strcmp(request->method, "GET") == 0) return;
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.at ? request->body.at : "");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

/* Drives the one transfer. False: abandoned. */
static bool drive(struct client *client, CURLcode *ret_code) {
    int running = 1;
    *ret_code = CURLE_FAILED_INIT;
    while (curl_multi_perform(client->multi, &running) == CURLM_OK && running) {
        struct curl_waitfd extra = {.fd = client->fd, .events = CURL_WAIT_POLLIN};
        curl_multi_poll(client->multi, &extra, client->fd >= 0 ? 1 : 0, (int)client->every_ms, NULL);
        if (client->on_wait && !client->on_wait(client->arg)) return false;
    }
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(client->multi, &left));)
        if (m->msg == CURLMSG_DONE) *ret_code = m->data.result;
    return true;
}

static enum client_result failure(const struct client *client, CURLcode code, const char *error, const struct buf *body,
                                  struct fault *fault) {
    const char *what = error[0] ? error : curl_easy_strerror(code);
    if (body->full) what = "its answer is larger than 64 MiB";
    fault_set(fault, FAULT_IO, client->url, "the gateway does not answer: %s", what);
    long sent = 0;
    curl_easy_getinfo(client->easy, CURLINFO_REQUEST_SIZE, &sent);
    return sent ? CLIENT_LOST : CLIENT_NEVER_SENT;
}

static void take_answer(const struct client *client, struct arena *arena, const struct buf *body,
                        struct client_answer *answer) {
    static const struct json_limits limits = {.max_bytes = BODY_MAX_BYTES, .max_depth = 512, .max_items = 4000000};
    long code = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(client->easy, CURLINFO_RETRY_AFTER, &retry_after);
    *answer = (struct client_answer){.code = (int)code, .retry_after_s = (int64_t)retry_after};
    struct fault fault; /* what is no JSON comes from something else than a gateway, and is judged by its code */
    if (body->len) answer->body = json_parse(arena, buf_text(body), &limits, &fault);
}

enum client_result client_call(struct client *client, struct arena *arena, const struct client_request *request,
                               struct client_answer *ret_answer, struct fault *fault) {
    char error[CURL_ERROR_SIZE] = "";
    struct buf body;
    buf_init(&body, BODY_MAX_BYTES);
    char *url = arena_printf(arena, "%s%s", client->base, request->path);
    struct curl_slist *headers = request_headers(client, request);
    prepare(client, request, url, headers, error, &body);
    curl_multi_add_handle(client->multi, client->easy);
    CURLcode code;
    bool ended = drive(client, &code);
    curl_multi_remove_handle(client->multi, client->easy);
    enum client_result result = CLIENT_ANSWERED;
    if (!ended) {
        result = CLIENT_ABANDONED;
        fault_set(fault, FAULT_IO, client->url, "interrupted");
    } else if (code != CURLE_OK) result = failure(client, code, error, &body, fault);
    else take_answer(client, arena, &body, ret_answer);
    curl_slist_free_all(headers);
    buf_fini(&body);
    return result;
}

bool client_is_passing(int code) {
    return code == 429 || code == 502 || code == 503 || code == 504;
}

int client_exit(const struct client_answer *answer) {
    if (answer->code >= 200 && answer->code < 300) return answer->body ? EXIT_DONE : EXIT_UNREACHABLE;
    if (client_is_passing(answer->code)) return EXIT_UNREACHABLE;
    return answer->code >= 400 && answer->code < 500 ? EXIT_USAGE : EXIT_FAILED;
}

static const char *first_text(const struct json *object, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *text = json_gets_text(object, names[i]);
        if (text && text[0]) return text;
    }
    return NULL;
}

/* RFC 9457 leaves the members of `errors` open; its own example has `detail` and `pointer`. */
static void print_errors(const struct json *errors) {
    static const char *const wheres[] = {"pointer", "field", "where"}, *const whats[] = {"detail", "reason", "what"};
    struct screen screen;
    struct buf line;
    screen_init(&screen, stderr);
    buf_init(&line, 64 * 1024);
    for (size_t i = 0; i < json_size(errors); i++) {
        const struct json *error = json_at(errors, i);
        const char *where = first_text(error, wheres, 3), *what = first_text(error, whats, 3);
        buf_clear(&line);
        if (where) screen_clean(&line, &screen, text_of(where));
        if (where) buf_adds(&line, ": ");
        struct buf text;
        buf_init(&text, 32 * 1024);
        if (what) buf_adds(&text, what);
        else json_write_text(&text, error);
        screen_clean(&line, &screen, buf_text(&text));
        buf_fini(&text);
        fprintf(stderr, "  %s\n", buf_cstr(&line));
    }
    buf_fini(&line);
}

void client_print_problem(const char *command, const struct client *client, const struct client_answer *answer) {
    static const char *const names[] = {"detail", "title"};
    const char *what = first_text(answer->body, names, 2);
    if (what) screen_say(command, "%s (%d)", what, answer->code);
    else if (answer->code >= 300 && answer->code < 400)
        screen_say(command, "%s answered with a redirect (%d), which is not followed; name the gateway's own URL",
                   client->url, answer->code);
    else screen_say(command, "%s answered %d, not as a stagedoor gateway does", client->url, answer->code);
    const struct json *errors = json_gets(answer->body, "errors");
    if (json_kind(errors) == JSON_ARRAY) print_errors(errors);
    if (answer->code == 401 && !client->token)
        screen_say(command, "no token was sent; set STAGEDOOR_TOKEN, or STAGEDOOR_TOKEN_FILE to a file that holds it");
    if (answer->retry_after_s > 0) screen_say(command, "try again in %lld seconds", (long long)answer->retry_after_s);
}

int client_ask(struct client *client, struct arena *arena, const char *command, const struct client_request *request,
               struct client_answer *ret_answer) {
    struct fault fault;
    if (client_call(client, arena, request, ret_answer, &fault) != CLIENT_ANSWERED) {
        screen_fault(command, &fault);
        return EXIT_UNREACHABLE;
    }
    int status = client_exit(ret_answer);
    if (status != EXIT_DONE) client_print_problem(command, client, ret_answer);
    return status;
}

const char *client_library(void) {
    return curl_version();
}
