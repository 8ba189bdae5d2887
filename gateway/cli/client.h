/* The client's end of the gateway's HTTP: one call at a time, on libcurl.
 *
 * The gateway is found by --url, then STAGEDOOR_URL, then http://127.0.0.1:8095. The token comes from STAGEDOOR_TOKEN,
 * a file named by STAGEDOOR_TOKEN_FILE, or ~/.config/stagedoor/token, and never from an argument, where every user of
 * the machine could read it. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/args.h"
#include "lang/json.h"

struct client_options {
    const char *url; /* NULL: from the environment */
    const char *ca;  /* a PEM file; NULL: the system's */
};

/* Rows for a command's table; `type` has a `struct client_options client`. */
#define CLIENT_OPTIONS(type)                                                                                   \
    {0,                                                                                                        \
     "url",                                                                                                    \
     ARGS_TEXT,                                                                                                \
     "URL",                                                                                                    \
     offsetof(type, client.url),                                                                               \
     "the gateway: http://, https:// or unix:/path (default STAGEDOOR_URL)",                                   \
     0,                                                                                                        \
     0},                                                                                                       \
    {                                                                                                          \
        0, "ca", ARGS_TEXT, "FILE", offsetof(type, client.ca), "trust the certificates in this PEM file", 0, 0 \
    }

struct client;

/* GIVES. NULL with a fault where the URL, the token or the CA file cannot be used (the caller's mistake, EXIT_USAGE).
 */
struct client *client_new(const struct client_options *options, struct fault *fault);
void client_free(struct client *client); /* NULL is allowed */
const char *client_url(const struct client *client);

/* Called during a call after every event of it, whenever `fd` can be read, and at least every `every_ms`; false
 * abandons the call. */
void client_on_wait(struct client *client, int fd, int64_t every_ms, bool (*fn)(void *arg), void *arg);

struct client_request {
    const char *method;
    const char *path; /* with its query, already encoded; "/runs/01K…" */
    struct text body; /* JSON; at NULL: none */
    int64_t wait_s;   /* Prefer: wait=…; 0: none */
};

enum client_result {
    CLIENT_ANSWERED,
    CLIENT_NEVER_SENT, /* no name, no connection, no TLS */
    CLIENT_LOST,       /* the request may have arrived, and no whole answer came */
    CLIENT_ABANDONED   /* by the function of client_on_wait */
};

struct client_answer {
    int code;
    const struct json *body; /* NULL where it is none of JSON */
    int64_t retry_after_s;   /* 0: none named */
};

/* The answer lives in `arena`. For every result but CLIENT_ANSWERED the fault (IO) says what happened. */
enum client_result client_call(struct client *client, struct arena *arena, const struct client_request *request,
                               struct client_answer *ret_answer, struct fault *fault);

/* One call that has to succeed: prints what went wrong, problem documents with all their errors. EXIT_DONE, or what the
 * command is to exit with. */
int client_ask(struct client *client, struct arena *arena, const char *command, const struct client_request *request,
               struct client_answer *ret_answer);

bool client_is_passing(int code); /* 429, 502, 503, 504: the gateway, or a proxy before it, is busy */
int client_exit(const struct client_answer *answer); /* what an answer means for an exit status */
void client_print_problem(const char *command, const struct client *client, const struct client_answer *answer);

const char *client_library(void); /* libcurl's name and version, and those of what it is built on */

#endif
