/* When a call may be made again: one table for the calls of steps, probes and cancels. Pure. */
#ifndef CALL_POLICY_H
#define CALL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "call/reply.h"
#include "call/verdict.h"
#include "stage/stage.h"

enum policy_answer {
    POLICY_EXPECTED, /* it was answered with a code of `expect` */
    POLICY_AGAIN,    /* it may be made again without doing anything twice */
    POLICY_IN_DOUBT, /* it may have been acted on, and is not idempotent */
    POLICY_FAILED    /* to make it again would be no use, or do harm */
};

struct policy {
    enum policy_answer answer;
    enum reason reason; /* where it ends there; NONE for EXPECTED */
    int64_t wait_ms;    /* what the upstream asked for; -1: nothing */
};

/* By how far the call got, what it was answered, and whether it is idempotent. now_ms: wall. */
struct policy policy_judge(const struct stage_call *call, const struct reply *reply, int64_t now_ms);

/* A call that is not idempotent, and was answered with this code, was not acted on: 4xx, and 503, with which a server
 * says that it cannot handle the request now. Of `on`, no others count for such a call. */
bool policy_code_is_harmless(int code);

/* What the tries must not last longer than. */
struct policy_bound {
    const char *name;     /* the setting, for people */
    int64_t ms, spent_ms; /* of it; ms is 0 where there is no such bound */
};

struct policy_try {
    unsigned failed;  /* tries in a row that failed, the last one too */
    int64_t since_ms; /* wall; when the first of them did */
    int64_t now_ms, wait_ms;
    bool endless; /* a poll: however many tries */
    uint32_t random;
    struct policy_bound bound; /* besides the call's own retry.budget */
};

/* The delay before the next try. -1 where none is left, or the budget or the bound does not last so long; then *ret_why
 * says that, a part of a sentence in `arena`; NULL for the former. */
int64_t policy_delay_ms(struct arena *arena, const struct stage_call *call, const struct policy_try *one,
                        const char **ret_why);

#endif
