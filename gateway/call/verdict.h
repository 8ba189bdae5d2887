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
    X(UPSTREAM_FAILED, "upstream_failed")           /* a failure word */                                               \
    X(UPSTREAM_CANCELED, "upstream_canceled")       /* a canceled word that nobody here asked for */                   \
    X(UPSTREAM_REFUSED, "upstream_refused")         /* a code outside `expect` */                                      \
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
    X(CANCELED_BEFORE_START, "canceled_before_start") /* no call was made */

enum reason {
#define X(id, word) REASON_##id,
    REASONS(X)
#undef X
};

const char *reason_word(enum reason reason); /* NULL for REASON_NONE */
enum reason reason_parse(const char *word);  /* NULL and unknown words give REASON_NONE */

struct verdict {
    enum verdict_kind kind;
    enum reason reason;     /* of FAILED and CANCELED */
    const char *word;       /* the upstream's own word for its state; NULL where the reply had none */
    bool unknown_word;      /* no list names it */
    bool warned;            /* a `warn` word: succeeded, with outputs.result = "WARN" */
    int percent;            /* 0…100; -1 unknown */
    const char *message;    /* for progress; or NULL */
    int64_t retry_after_ms; /* of AGAIN: what the upstream asked for; -1: nothing */
};

/* The values of a step's at_most and at_least, rendered; NaN where it has none. */
struct verdict_bounds {
    double at_most, at_least;
};

/* Judges the reply to a call of `step`. `elapsed_ms` is the time since the step began. A word is looked up without
 * case; failure beats canceled beats success beats running; an absent or null value is RUNNING. For a step without
 * rules, a code in `expect` succeeds. AGAIN is given only where the call may be repeated without doing anything twice.
 * `bounds` may be NULL. In `arena`. */
void verdict_judge(struct arena *arena, const struct stage_step *step, const struct reply *reply,
                   const struct verdict_bounds *bounds, int64_t elapsed_ms, struct verdict *ret_verdict);

/* A JSON number, or text that is one. */
bool verdict_number(const struct json *value, double *ret_number);

#endif
