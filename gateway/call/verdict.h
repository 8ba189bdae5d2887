/* A verdict: what a reply means for its step. */
#ifndef CALL_VERDICT_H
#define CALL_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "call/reply.h"
#include "stage/stage.h"

enum verdict_kind {
    VERDICT_RUNNING,   /* ask again */
    VERDICT_SUCCEEDED, /* the step is done; the next one begins */
    VERDICT_FAILED,
    VERDICT_CANCELED,
    VERDICT_AGAIN /* no verdict: the call failed in a way that may pass; `retry_after_ms` says when */
};

/* Why a run ended as it did: fixed codes, for programs. */
#define REASONS(X)                                                                                                     \
    X(NONE, NULL)                                                                                                      \
    X(UPSTREAM_FAILED, "upstream_failed")           /* a failure word, or failure_when */                              \
    X(UPSTREAM_CANCELED, "upstream_canceled")       /* a canceled word that nobody here asked for */                   \
    X(UPSTREAM_REFUSED, "upstream_refused")         /* a code outside `expect`, or an error in the reply */            \
    X(UPSTREAM_UNREACHABLE, "upstream_unreachable") /* never sent, and no try left */                                  \
    X(UNKNOWN_STATUS, "unknown_status")             /* a word that no list names, with unknown = "fail" */             \
    X(BAD_REPLY, "bad_reply")                       /* an answer that is none: cut short, too large, not HTTP */       \
    X(NOTHING_CAPTURED, "nothing_captured")         /* a log without a line to capture, with missing = "fail" */       \
    X(IN_DOUBT, "in_doubt")                         /* sent, and nobody knows whether it was acted on */               \
    X(TIMEOUT, "timeout")                           /* the step's or the run's time is up */                           \
    X(REFUSED_EGRESS, "refused_egress")             /* a reply pointed to a host that the definition does not allow */ \
    X(INVALID_REQUEST, "invalid_request")           /* a template could not be rendered; nothing was sent */           \
    X(BROKEN_DEFINITION, "broken_definition")       /* the pinned definition compiles no more */                       \
    X(BROKEN_RECORD, "broken_record")               /* what the store holds of the run cannot be read */               \
    X(CANCELED, "canceled")                         /* asked for; the upstream confirmed it, or had nothing to stop */ \
    X(CANCEL_UNCONFIRMED, "cancel_unconfirmed")     /* asked for; the upstream did not confirm */                      \
    X(CANCELED_BEFORE_START, "canceled_before_start") /* no call was made */                                           \
    X(ORPHANED, "orphaned") /* nobody had looked at it for `orphan_after`, and the upstream was told to stop */

enum reason {
#define X(id, word) REASON_##id,
    REASONS(X)
#undef X
};

const char *reason_word(enum reason reason); /* NULL for REASON_NONE */
enum reason reason_parse(const char *word);  /* NULL and unknown words give REASON_NONE */

/* What a reply had at a path of the rules that judged it. */
enum verdict_part { VERDICT_VALUE, VERDICT_PROGRESS, VERDICT_MESSAGE, VERDICT_PARTS };
enum verdict_stood { VERDICT_UNASKED, VERDICT_NOTHING, VERDICT_KINDS }; /* VERDICT_KINDS + enum json_kind: a value */

struct verdict {
    enum verdict_kind kind;
    enum reason reason;      /* of FAILED and CANCELED */
    const char *word;        /* the upstream's own word for its state; NULL where the reply had none */
    bool unknown_word;       /* no list names it */
    bool warned;             /* by `warn` or `warn_when`: succeeded, with outputs.result = "WARN" */
    int percent;             /* 0…100; -1 unknown */
    const char *message;     /* for progress; or NULL */
    const char *rule;        /* the setting that decided: "failure", "success_when", "expect" …; NULL: none did */
    const struct json *body; /* of the reply, where it was looked into; else NULL */
    int64_t retry_after_ms;  /* so long the upstream asks not to be asked again; -1: nothing */
    /* For who watches whether the upstream keeps to what the definition expects (run/contract). */
    bool looked;            /* by verdict_judge_body: the reply was one that rules apply to */
    bool success_undefined; /* success_when speaks of what the reply has not */
    bool error_missing;     /* the reply has failed, and has nothing at the path of `error` */
    unsigned char stood[VERDICT_PARTS];
};

/* What judging may know besides the reply. */
struct verdict_scope {
    /* What rules may speak of, by root index, as run_roots makes it; the reply's own body, headers and code are put in
     * by verdict_judge. May be NULL where the rules do not say use_roots. */
    const struct json **roots;
    size_t step_root;   /* … of the step itself, by which its outputs may name it */
    int64_t now_ms;     /* wall */
    int64_t elapsed_ms; /* since the step began */
};

/* Judges the reply to a call of `step`. For a step without rules, a code in `expect` succeeds. AGAIN is given only
 * where the call may be repeated without doing anything twice. In `arena`. */
void verdict_judge(struct arena *arena, const struct stage_step *step, const struct reply *reply,
                   const struct verdict_scope *scope, struct verdict *ret_verdict);

/* The part of it that looks into a body by rules; for what came in another way as well, such as a callback. `roots` has
 * the body, headers and code at hand too; it may be NULL where the rules do not say use_roots. Never AGAIN.
 *
 * An error beats failure beats canceled beats success beats running, whether a word or a condition says so. Words are
 * compared without case; numbers, booleans and null (where a list names it) are words too. An absent value, a null that
 * no list names, and a condition over what is not there mean nothing: the step goes on. In `arena`. */
void verdict_judge_body(struct arena *arena, const struct stage_rules *rules, const struct json *body,
                        const struct json *const *roots, struct verdict *ret_verdict);

/* Puts what rules call `outputs` behind the body, headers and code that are in `roots` already. verdict_judge does so
 * itself. In `arena`. */
void verdict_put_outputs(struct arena *arena, const struct stage_rules *rules, const struct json **roots);

/* What the reply says went wrong, by `error`; NULL: nothing. In `arena`. */
const char *verdict_error(struct arena *arena, const struct stage_rules *rules, const struct json *body,
                          const struct json *const *roots);

/* Answered with an expected code, and failed all the same, by `error` or `error_when`? */
bool verdict_is_error(const struct verdict *verdict);

/* A success that has to last (success_for). */
struct verdict_series {
    int64_t since_ms, replies; /* wall; 0: the last reply was no success */
};

/* Counts a verdict in. A success that has not lasted yet becomes RUNNING, with a message that says how far it is; any
 * other verdict begins anew. Whether `series` has changed, so that a restart would have to know it. In `arena`. */
bool verdict_settle(struct arena *arena, const struct stage_rules *rules, int64_t now_ms, struct verdict_series *series,
                    struct verdict *verdict);

/* A JSON number, or text that is one. */
bool verdict_truth(const struct json *value); /* as in Jinja: null, false, 0 and what is empty are not true */
bool verdict_number(const struct json *value, double *ret_number);

#endif
