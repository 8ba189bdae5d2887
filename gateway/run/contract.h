/* The contract watch: what upstreams send that is not as the definitions of their stages expect, stage by stage, kept
 * and told while runs go on.
 *
 * A contract belongs to one definition of a stage: a definition that has changed begins a new one. It is in memory
 * only. How much of it there can be is bounded, whatever upstreams send. */
#ifndef RUN_CONTRACT_H
#define RUN_CONTRACT_H

#include <stdbool.h>
#include <stdint.h>

#include "call/reply.h"
#include "call/verdict.h"
#include "lang/json.h"
#include "stage/stage.h"

#define CONTRACT_FINDINGS_MAX 100                 /* of one definition */
#define CONTRACT_WORDS_MAX 20                     /* of them: words */
#define CONTRACT_WORD_MAX 100                     /* bytes of a word that are kept; those that begin alike are one */
#define CONTRACT_LINK_MAX 300                     /* bytes; a longer one is left out */
#define CONTRACT_CHANGES_MAX 10                   /* so often another date is told of, for each header that has one */
#define CONTRACT_SOON_MS (30 * INT64_C(86400000)) /* a sunset so near is told of as an error */

#define CONTRACT_KINDS(X)                                                                  \
    X(WORD, "word")               /* a status word that no list names */                   \
    X(MISSING, "missing")         /* nothing stands where a path or a template looks */    \
    X(TYPE, "type")               /* another JSON type than before */                      \
    X(DEPRECATION, "deprecation") /* the header of RFC 9745, or of the drafts before it */ \
    X(SUNSET, "sunset")           /* that of RFC 8594; counted as sunset_soon where it is near */

enum contract_kind {
#define X(id, word) CONTRACT_##id,
    CONTRACT_KINDS(X)
#undef X
        CONTRACT_KIND_END
};

struct run;
struct run_world;

struct contracts; /* of the process */
struct contract;  /* of one definition; counted */

/* ---- any thread ---- */

struct contracts *contracts_new(void);      /* GIVES */
void contracts_free(struct contracts *all); /* references that were given stay good; NULL is allowed */
/* GIVES a reference to the contract of a definition, begun now where there is none. Of one stage the few definitions
 * that were asked for last are kept. */
struct contract *contracts_begin(struct contracts *all, const struct stage *stage, int64_t now_ms);
/* GIVES a reference, or NULL where no run of that definition was seen. */
struct contract *contracts_find(struct contracts *all, const struct stage *stage);
void contract_unref(struct contract *contract); /* NULL is allowed */

/* {"since": …, "findings": […], "more": …}; `contract` may be NULL: nothing was seen. In `arena`. */
const struct json *contract_show(struct contract *contract, struct arena *arena, int64_t now_ms);

/* ---- what is looked at: any thread; world->contract may be NULL. A reply that is as expected takes no lock and no
 * memory, and changes nothing ---- */

/* A reply to the present step's call, or a callback for it, was judged, and its word noted in run->upstream_word. */
void contract_judged(const struct run_world *world, const struct run *run, bool callback,
                     const struct verdict *verdict);
/* The present step has succeeded by a reply with this body: what the paths of its outputs led to, and of the stage's
 * where it is the last step. */
void contract_outputs(const struct run_world *world, const struct run *run, const struct json *body,
                      const struct json *of_step, const struct json *of_stage);
/* The present step is over, since it has succeeded or its time is up: what none of its replies had. */
void contract_step_over(const struct run_world *world, const struct run *run, bool in_time);
/* A call could not be rendered: the present step's, or the cancel call. */
void contract_refused(const struct run_world *world, const struct run *run, bool cancel, const struct fault *fault);
/* The headers of a reply; `call` is "step", "probe" or "cancel". */
void contract_headers(struct contract *contract, struct run *run, const char *call, const struct reply *reply,
                      int64_t now_ms);

/* ---- for run/contract_watch, which knows what a finding is ---- */

struct contract_note {
    enum contract_kind kind;
    const char *step, *setting, *path; /* setting and path may be NULL */
    struct text word;                  /* of WORD; secrets are masked */
    const char *what;                  /* of MISSING: a sentence, and nothing that the upstream has sent */
    const char *expected, *found;      /* of TYPE */
    int64_t at_ms;                     /* of DEPRECATION and SUNSET: wall; 0: not known */
    const char *link;                  /* of both; secrets are masked. NULL: none */
};

/* Counts it in; the first one of its kind and place is told of in the log. */
void contract_put(struct contract *contract, const struct run *run, const struct contract_note *note, int64_t now_ms);

/* The kinds of values that a path has had: one slot each. */
size_t contract_slot(const struct contract *contract, size_t step, bool callback, enum verdict_part part);
size_t contract_output_slot(const struct contract *contract, size_t step, size_t output); /* step_count: the stage's */
/* The kind that the slot had first; `kind` where it had none, and has it from now on. */
enum json_kind contract_kind_first(struct contract *contract, size_t slot, enum json_kind kind);

/* A Sunset or Deprecation header's date: "@" with Unix time, an HTTP-date, or RFC 3339. */
bool contract_date(struct text value, int64_t now_ms, int64_t *ret_wall_ms);
/* The target of the first link with that relation (RFC 8288) among the reply's Link headers; empty: none. */
struct text contract_link(const struct reply *reply, const char *relation);

#endif
