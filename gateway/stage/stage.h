/* A stage: one definition file, compiled. Immutable; everything in it lives in its own arena and is shared by reference
 * count.
 *
 * The two-step form (`request`, `status`) and the general one (`steps`) give the same thing: a list of steps. A step
 * with rules repeats until a rule decides; one without runs once. */
#ifndef STAGE_STAGE_H
#define STAGE_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "config/limits.h"
#include "lang/json.h"
#include "lang/jsonpath.h"
#include "lang/template.h"
#include "lang/units.h"
#include "lang/url.h"
#include "stage/param.h"

/* The roots that a template of a stage may name. The steps follow behind, in their order: ROOT_STEPS + step index. */
#define STAGE_ROOTS(X)                                                 \
    X(PARAMETERS, "parameters")                                        \
    X(SECRET, "secret")                                                \
    X(RUN, "run")       /* id, key, stage, started */                  \
    X(CALLER, "caller") /* user, application, pipeline, execution */   \
    X(NOW, "now")                                                      \
    X(CALLBACK, "callback")                                            \
    X(BODY, "body") /* of the reply at hand, in judging and outputs */ \
    X(HEADERS, "headers")                                              \
    X(CODE, "code")                                                    \
    X(OUTPUTS, "outputs") /* of the step at hand, made of that reply */

enum stage_root {
#define X(id, word) ROOT_##id,
    STAGE_ROOTS(X)
#undef X
        ROOT_STEPS
};

#define STAGE_STEPS_MAX 32
#define STAGE_NAME_MAX 64
#define STAGE_URL_MAX_BYTES 65536

struct stage_header {
    const char *name; /* a token (RFC 9110, 5.6.2) */
    const struct template *value;
};

enum stage_auth_kind { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };
struct stage_auth {
    enum stage_auth_kind kind;
    const struct template *user, *password; /* basic */
    const struct template *token;           /* bearer */
};

struct stage_tls {
    const char *ca;                /* a PEM file, or NULL: the system's */
    const char *certificate, *key; /* PEM files, or NULL */
    bool insecure;                 /* do not verify; warned about at load */
};

/* One request to be made: everything but its values. */
struct stage_call {
    const char *method; /* upper case */
    const struct template *url;
    const char *fixed_url;   /* what `url` gives, if nothing goes into it: a URL, without its fragment. Else NULL */
    const char *unix_socket; /* what is connected to in place of the URL's host; NULL: the host */
    const struct stage_header *headers;
    size_t header_count;
    const struct template *body;     /* NULL: none */
    const char *content_type;        /* of the body; NULL without one */
    const struct stage_header *form; /* names and values, sent urlencoded in place of a body */
    size_t form_count;
    struct stage_auth auth;
    struct stage_tls tls;
    struct code_set expect; /* codes that are an answer; any other is a failure. Default 2xx */
    bool expect_given;      /* of a cancel call: else 404, 405, 409 and 410 say that there is nothing to stop */
    int64_t connect_timeout_ms, call_timeout_ms, max_reply_bytes;
    unsigned follow_redirects; /* how many; 0: none */
    bool idempotent;           /* default: by the method (RFC 9110, 9.2.2) */
    const char
        *idempotency_header; /* NULL: none. It carries the same value at each try, and the upstream knows it again */
    unsigned retry_attempts; /* further tries of a call that failed in a way that allows one */
    int64_t retry_delay_ms, retry_max_delay_ms;
    int64_t retry_budget_ms;  /* from the first failure in a row to the last try; 0: none */
    struct code_set retry_on; /* codes after which it may be tried again; call/policy says which of them count */
    bool retry_on_given;      /* by the definition */
    /* What anybody looks at in the body of its reply: paths and templates alike; NULL: it may be all. */
    const struct json_wanted *wanted;
    const struct jsonpath *retry_after; /* where a reply's body says when to ask again; NULL: headers alone do */
};

struct stage_words {
    const char *const *items; /* compared without case, as orca does */
    size_t count;
};

/* A bare expression of the template language, over all names and the reply at hand. */
struct stage_condition {
    const struct template *holds; /* NULL: there is none */
    const char *source;           /* as written, for people */
};

struct stage_output {
    const char *name;
    const struct jsonpath *path;       /* of the reply's body; or */
    const struct template *expression; /* over all names; exactly one of the two */
};

/* What a run makes, in Spinnaker's form. */
struct stage_artifact {
    const struct stage_output *members; /* by the names of Spinnaker's Artifact */
    size_t count;
};
struct stage_artifacts {
    const struct stage_output *list; /* gives them as they are; or NULL, and */
    const struct stage_artifact *items;
    size_t count;
};

/* How a reply is judged: of a repeating step, and of a callback. */
struct stage_rules {
    bool exist; /* value or a condition: the step repeats until they decide. The error settings alone do not make it */
    bool use_roots; /* a condition, a threshold or `error`: judging needs the run's values, not the reply alone */
    const struct jsonpath *value;
    struct stage_words success, failure, canceled, running, warn;
    struct stage_condition success_when, failure_when, canceled_when, running_when, warn_when;
    struct stage_condition error_when;
    const struct jsonpath *error_path; /* what went wrong: a path, or a template; at most one of the two */
    const struct template *error;
    int64_t success_for_ms;          /* success has to last so long, */
    int64_t success_polls;           /* or for so many replies in a row; both 0: the first one does */
    bool unknown_fails;              /* unknown = "fail" */
    const struct jsonpath *progress; /* a number 0…100 becomes `percent`; text becomes the message */
    const struct jsonpath *message;
    /* prometheus-gate and its like: the value is a number that has to meet a threshold. NULL without one. */
    const struct template *at_most, *at_least;
    /* What the rules call `outputs`: those of their step, made of the reply at hand. None where no rule names them. */
    const struct stage_output *outputs;
    size_t output_count;
};

/* What is read out of a reply that is a log; see call/capture. */
enum stage_framing { FRAMING_BY_TYPE, FRAMING_NONE, FRAMING_DOCKER };
enum stage_missing { MISSING_WARN, MISSING_IGNORE, MISSING_FAIL };
struct stage_capture {
    bool properties;
    enum stage_framing framing;
    enum stage_missing missing; /* what it means that nothing was found */
};

/* How a callback shows from whom it is. */
enum stage_verify { VERIFY_NONE, VERIFY_STANDARD_WEBHOOKS, VERIFY_GITHUB, VERIFY_BEARER };

/* That a step waits to be called back. */
struct stage_callback {
    int64_t timeout_ms; /* of the waiting; 0: the step's own is all */
    bool hint;          /* it decides nothing, and only makes the next poll come now */
    enum stage_verify verify;
    const struct template *secret; /* of verify; NULL where there is none */
    struct stage_rules rules;      /* of its body; where they do not exist, every callback is success */
};

/* What becomes of a call that is not idempotent, when nobody knows whether it was acted on. */
enum stage_doubt { DOUBT_FAIL, DOUBT_RESEND, DOUBT_PROBE };

struct stage_step {
    const char *name;       /* "request" and "status" in the two-step form */
    struct stage_call call; /* its `url` is NULL in a step that only waits for its callback */
    enum stage_doubt in_doubt;
    const struct stage_probe *probe; /* of DOUBT_PROBE; else NULL */
    struct stage_rules rules;
    const struct stage_callback *callback; /* or NULL */
    size_t callback_step; /* for which step callback.url stands in this one's call; STAGE_STEPS_MAX: none */
    bool follows;         /* its URL is the Location of the step before, or of its own last 202 */
    int64_t every_ms;     /* from one poll to the next; repeating steps */
    int64_t max_every_ms; /* the longest, with backoff or adaptive */
    double backoff;       /* by this factor `every` grows from poll to poll; 1: not at all */
    bool adaptive;        /* poll where the stage's runs used to end */
    int64_t timeout_ms;   /* of the whole step; 0: none of its own */
    struct stage_condition
        when;                   /* over the earlier steps: the step is left out unless it holds. Not of the first one */
    int64_t not_found_grace_ms; /* so long after the step began a 404 means "not yet" */
    struct stage_capture capture;
    const struct stage_output *outputs;
    size_t output_count;
    struct stage_artifacts artifacts;
};

/* What becomes of a start of work that is in flight. */
enum stage_duplicate { DUPLICATE_ATTACH, DUPLICATE_REJECT, DUPLICATE_QUEUE, DUPLICATE_SUPERSEDE };
struct stage_dedup {
    const struct template *key; /* over parameters and caller */
    enum stage_duplicate on_duplicate;
};

/* Looks for what a call in doubt may have begun. */
struct stage_probe {
    struct stage_step step;    /* its call, always idempotent, not_found_grace_ms, and what is an error */
    struct stage_output found; /* of its reply: the work, as the body of the step's reply; or nothing */
};

/* Whom Spinnaker lets see and run the stage: names of fiat's roles; empty: everybody. The gateway itself knows no
 * roles. */
struct stage_permissions {
    struct stage_words read, write;
};

struct stage {
    struct arena *arena;
    const char *name, *label, *description;
    const char *file;     /* as it was read: "stages.d/load-test.conf" */
    const char *disabled; /* why it is not to be offered, a sentence; NULL: it is */
    const struct param *params;
    size_t param_count;
    const struct stage_step *steps;
    size_t step_count;                        /* at least 1 */
    const struct stage_step *cancel;          /* its call, always idempotent, and what is an error; or NULL */
    size_t cancel_needs;                      /* the cancel call can be rendered once this many steps have replied */
    size_t fallback_needs;                    /* … the fallback, surely */
    int64_t cancel_timeout_ms;                /* the upstream has to have stopped within; 0: it is not asked */
    const struct stage_step *cancel_fallback; /* where the cancel call does not do; or NULL */
    bool reads_headers;                       /* a template speaks of the headers of a reply, at hand or of a step */
    bool names_headers;                       /* a template speaks of the headers of a step's reply: runs keep them */
    bool names_outputs;                       /* the same of a step's outputs */
    struct json_wanted *named;                /* what templates speak of in those bodies; by step */
    const struct stage_output *outputs;       /* of the last step's last reply */
    size_t output_count;
    struct stage_artifacts artifacts; /* of the same */
    struct stage_permissions permissions;
    const char *const *hosts; /* further origins or hosts that URLs from replies may lead to */
    size_t host_count;
    int64_t timeout_ms;               /* of the whole run; 0: none */
    bool durable;                     /* its runs are on disk before they are acknowledged */
    int64_t orphan_after_ms;          /* canceled when nobody has looked at it for so long; 0: never */
    const struct limits *limits;      /* of its runs: concurrency, rate, queue; NULL: none */
    const struct limits *call_limits; /* of its calls: gap, breaker; NULL: none */
    const struct stage_dedup *dedup;  /* NULL: none */
    const char *const *roots;         /* names by root index, ROOT_STEPS + step_count of them */
    /* What a run pins: the definition's text and every template it read, so that it can be compiled again after a
     * restart. */
    const char *source; /* JSON: {"file": …, "text": …, "includes": {path: text, …}, "templates": {name: text, …}} */
    char hash[65];      /* SHA-256 of source, hex */
    const struct fault *warnings; /* what is allowed, and should be looked at: unverified TLS, … */
    size_t warning_count;
    int references; /* private; atomic */
};

/* What compiling needs from outside. */
struct stage_context {
    const char *templates;                             /* the directory of template files */
    bool (*secret_known)(void *arg, const char *name); /* NULL: every secret is taken as known */
    bool no_callbacks;     /* nobody could call back: there is no URL to tell; definitions that need one are refused */
    const char *self_test; /* self_test_source(); NULL: there is none. For catalog_load */
    void *arg;
};

/* Compiles a file, reports every mistake (`where` = "stages.d/x.conf:14"). NULL if there was one. The caller holds one
 * reference. */
struct stage *stage_load(const char *path, const struct stage_context *context, struct faults *faults);
/* The same from what a run pinned; nothing is read from disk but CA and certificate files. */
struct stage *stage_load_source(const char *source, const struct stage_context *context, struct faults *faults);

/* The name that a file declares, also a broken one, as long as its syntax is right; else NULL. In `arena`. */
const char *stage_peek_name(struct arena *arena, const char *path);

struct stage *stage_ref(struct stage *stage);
void stage_unref(struct stage *stage); /* NULL is allowed; any thread */

const char *stage_hash(const struct stage *stage);

/* Headers that say where a message begins, ends and goes: no definition may set them. Without case. */
bool stage_header_is_ours(const char *name);
#endif
