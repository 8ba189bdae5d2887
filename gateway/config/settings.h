/* The options of the gateway: one table gives the struct, the reader of stagedoor.conf, the flags, the environment, the
 * sample, --help and docs/options.md.
 *
 * A value is taken from the flag --name, else from the environment STAGEDOOR_NAME (where that is not empty), else from
 * the file, else from the table. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/limits.h"

#ifdef TINY_LIMITS
#define SETTINGS_LIMIT(normal, tiny) tiny
#else
#define SETTINGS_LIMIT(normal, tiny) normal
#endif

/* kind, name, default, allowed, when a change takes effect, group, help
 *
 * Kinds: LIST of strings; STRING; PATH (relative ones are put behind the directory of stagedoor.conf); STORE (the same
 * behind "sqlite:"); BOOL; INTEGER, DURATION, SIZE ("low..high" is allowed); CHOICE ("a|b" are allowed). The member of
 * struct settings is called as the option, with _ms behind a duration and _bytes behind a size. */
#define SETTINGS(X)                                                                                                   \
    X(LIST, listen, "127.0.0.1:8095", "", RESTART, "Listening",                                                       \
      "Addresses to listen on: IPv4:port, [IPv6]:port, *:port or unix:/path, each with tls: in front for TLS "        \
      "(tls:*:8443). Anything but loopback and unix needs callers, tls_client_ca, or open = true.")                   \
    X(STRING, public_url, "", "", RELOAD, "Listening",                                                                \
      "The URL by which clients and upstreams reach the gateway; links in reports, and the URLs of callbacks, begin " \
      "with it. Empty: links begin with the scheme and Host of the request, callbacks with the first address of "     \
      "listen that names one.")                                                                                       \
    X(PATH, tls_certificate, "", "", RELOAD, "Listening",                                                             \
      "PEM file with the certificate and its chain. Used by the tls: addresses of listen.")                           \
    X(PATH, tls_key, "", "", RELOAD, "Listening",                                                                     \
      "PEM file with the certificate's key. Empty: it is in the file of tls_certificate.")                            \
    X(PATH, tls_client_ca, "", "", RELOAD, "Listening",                                                               \
      "PEM file with authorities. With it clients have to show a certificate that one of them signed.")               \
    X(PATH, stages, "stages.d", "", RESTART, "Files",                                                                 \
      "Directory with the definitions of stages, one *.conf file each.")                                              \
    X(PATH, templates, "templates", "", RESTART, "Files", "Directory with the template files that definitions name.") \
    X(PATH, secrets, "", "", RESTART, "Files",                                                                        \
      "Directory with one file a secret, named as the secret. Secrets also come from the environment: "               \
      "STAGEDOOR_SECRET_NAME.")                                                                                       \
    X(PATH, callers, "", "", RESTART, "Files",                                                                        \
      "File that names who may call, and which stages each may start, see and cancel. Empty: everybody who can "      \
      "connect.")                                                                                                     \
    X(BOOL, open, "false", "", RESTART, "Files",                                                                      \
      "Listen on addresses other than loopback without callers: whoever can connect may start every stage.")          \
    X(STORE, store, "sqlite:stagedoor.db", "", RESTART, "Runs", "Where runs are kept: sqlite:PATH.")                  \
    X(DURATION, retention, "30d", "0s..3650d", RELOAD, "Runs", "How long ended runs are kept.")                       \
    X(SIZE, kept_in_memory, SETTINGS_LIMIT("64MiB", "64KiB"), "0..64GiB", RESTART, "Runs",                            \
      "Memory for ended runs of stages with durable = false; when it is full the oldest are forgotten.")              \
    X(INTEGER, max_runs, SETTINGS_LIMIT("100000", "20"), "1..10000000", RELOAD, "Runs",                               \
      "Runs in flight; a start beyond that is answered 503.")                                                         \
    X(DURATION, queue_timeout, "1s", "0s..1m", RELOAD, "Runs",                                                        \
      "How long a start may wait for its turn while there is more to do than can be done; beyond that it is "         \
      "answered 503. Runs in flight, reports, callbacks and cancels go before starts.")                               \
    X(UPSTREAMS, upstreams, "", "", RELOAD, "Runs",                                                                   \
      "Limits of upstream hosts, over all stages: ( { host = \"api.github.com\"; concurrency = 20; rate = \"10/s\"; " \
      "gap = \"1s\"; breaker = { window = \"1m\"; ratio = 0.5; minimum = 10; pause = \"30s\"; }; } ). Calls wait "    \
      "until they fit. As a flag or variable: \"api.github.com rate=10/s breaker.pause=1m\".")                        \
    X(INTEGER, loops, "0", "0..256", RESTART, "Process", "Event loops, each with its own thread; 0 is one a core.")   \
    X(DURATION, drain_timeout, "30s", "0s..1d", RELOAD, "Process",                                                    \
      "After SIGTERM or SIGUSR2, how long what is under way may take. Runs go on after the next start.")              \
    X(PATH, pid_file, "", "", RESTART, "Process", "File that the id of the process is written to; empty: none.")      \
    X(STRING, user_agent, "stagedoor/" STAGEDOOR_VERSION, "", RESTART, "Process",                                     \
      "The User-Agent header of calls to upstreams.")                                                                 \
    X(CHOICE, log_level, "info", "debug|info|warn|error", RELOAD, "Log", "The least level that is logged.")           \
    X(CHOICE, log_format, "logfmt", "logfmt|json", RESTART, "Log", "The form of a log line.")                         \
    X(PATH, log_file, "-", "", RESTART, "Log", "File that the log is appended to; - is standard error.")              \
    X(INTEGER, max_connections, SETTINGS_LIMIT("10000", "50"), "1..1000000", RESTART, "Limits of clients",            \
      "Client connections open at a time; further ones are answered 503. Lowered, and logged, where calls to "        \
      "upstreams would have less than 1,000 descriptors (RLIMIT_NOFILE), or a quarter.")                              \
    X(SIZE, max_header_size, SETTINGS_LIMIT("16KiB", "1KiB"), "512..1MiB", RESTART, "Limits of clients",              \
      "The request line and all headers; above it 431.")                                                              \
    X(INTEGER, max_headers, SETTINGS_LIMIT("100", "16"), "4..10000", RESTART, "Limits of clients",                    \
      "Headers of one request; above it 431.")                                                                        \
    X(SIZE, max_body_size, SETTINGS_LIMIT("256KiB", "4KiB"), "64..64MiB", RESTART, "Limits of clients",               \
      "The body of a request; above it 413.")                                                                         \
    X(INTEGER, max_json_depth, SETTINGS_LIMIT("64", "8"), "2..512", RESTART, "Limits of clients",                     \
      "Arrays and objects inside each other in a body.")                                                              \
    X(INTEGER, max_json_items, SETTINGS_LIMIT("100000", "200"), "16..10000000", RESTART, "Limits of clients",         \
      "Values in a body.")                                                                                            \
    X(DURATION, head_timeout, SETTINGS_LIMIT("10s", "2s"), "100ms..1h", RESTART, "Limits of clients",                 \
      "From the first byte of a request until its head is complete; above it 408.")                                   \
    X(DURATION, body_timeout, SETTINGS_LIMIT("30s", "2s"), "100ms..1h", RESTART, "Limits of clients",                 \
      "From the end of the head until the body is complete; above it 408.")                                           \
    X(DURATION, idle_timeout, SETTINGS_LIMIT("75s", "5s"), "100ms..1d", RESTART, "Limits of clients",                 \
      "How long a connection may wait for its next request.")                                                         \
    X(DURATION, write_timeout, SETTINGS_LIMIT("30s", "2s"), "100ms..1h", RESTART, "Limits of clients",                \
      "How long a client may take no byte of its answer.")

struct settings_list {
    const char *const *items;
    size_t count;
};

struct settings_upstreams {
    const struct limits_upstream *items;
    size_t count;
};

struct settings {
    const char *config; /* the file that was read, or NULL */
#define SETTINGS_MEMBER_LIST(name) struct settings_list name
#define SETTINGS_MEMBER_STRING(name) const char *name
#define SETTINGS_MEMBER_PATH(name) const char *name
#define SETTINGS_MEMBER_STORE(name) const char *name
#define SETTINGS_MEMBER_BOOL(name) bool name
#define SETTINGS_MEMBER_INTEGER(name) int64_t name
#define SETTINGS_MEMBER_DURATION(name) int64_t name##_ms
#define SETTINGS_MEMBER_SIZE(name) int64_t name##_bytes
#define SETTINGS_MEMBER_UPSTREAMS(name) struct settings_upstreams name
#define SETTINGS_MEMBER_CHOICE(name) const char *name
#define X(kind, name, preset, allowed, when, group, help) SETTINGS_MEMBER_##kind(name);
    SETTINGS(X)
#undef X
};

struct settings_input {
    const char *config;       /* --config; NULL: stagedoor.conf where that file exists */
    const char *const *flags; /* what settings_flag_length knows as flags: "--loops", "2", "--open", … */
    size_t flag_count;
    const char *const *environment; /* as environ: "NAME=value" …, NULL at the end; NULL: none */
};

/* Reads all places, and reports every mistake: `where` is "file:line", "--name" or "STAGEDOOR_NAME". Everything
 * lives in `arena`. */
bool settings_load(struct arena *arena, const struct settings_input *input, struct settings *ret_settings,
                   struct faults *faults);

/* Whether args[0] is the flag of an option, and how many arguments it takes (1 or 2); else 0. For commands that
 * have flags of their own: they sort theirs out first. */
size_t settings_flag_length(const char *const *args, size_t count);

/* Calls fn for each option in which the two differ; `reload` tells whether a change takes effect without a
 * restart. */
void settings_each_difference(const struct settings *a, const struct settings *b,
                              void (*fn)(void *arg, const char *name, bool reload), void *arg);

/* Gives every option of `next` that takes a restart the value that is running. */
void settings_keep_fixed(const struct settings *running, struct settings *next);

void settings_print_sample(struct buf *out); /* stagedoor.conf with every default, and its help as comments */
void settings_print_help(struct buf *out);   /* the flags, for --help */

/* The rows, for tests and documentation. */
struct settings_row {
    const char *name, *kind, *preset, *allowed, *group, *help;
    bool reload;
};
extern const struct settings_row settings_rows[];
extern const size_t settings_row_count;

#endif
