/* The API: what a loop answers its clients with. One `struct api` a loop; everything in it changes on that loop only.
 */
#ifndef FRONT_API_H
#define FRONT_API_H

#include <stdbool.h>
#include <stddef.h>

#include "front/admission.h"
#include "front/callers.h"
#include "front/exchange.h"
#include "lang/json.h"
#include "run/ask.h"
#include "stage/catalog.h"
#include "store/store.h"

struct api {
    struct loop *loop;
    const struct engines *engines;
    struct store *store;
    struct contracts *contracts; /* of the process; NULL: nobody watches what upstreams send */
    struct catalog *catalog;     /* a reference: the generation that this loop offers */
    struct callers *callers;     /* a reference; NULL: whoever can connect may do everything */
    const char *public_url;   /* without a slash at its end; "": links begin with the scheme and Host of the request */
    const char *callback_key; /* store_key's; NULL: no callback is known */
    struct admission *admission;           /* of this loop; NULL: every start begins at once */
    struct admission *admission_in_memory; /* the same, of starts that need no disk: they wait for none */
    struct json_limits json;
    bool open;     /* any address may be listened on without callers: reached by whatever name */
    bool draining; /* /ready says no; new starts are refused by the engine */
};

/* One request, routed: who asks, and the values of the route's variables. */
struct api_call {
    struct api *api;
    struct exchange *exchange;
    const char *route; /* the pattern, for counters */
    void (*handle)(struct api_call *call);
    struct admission_seat seat;  /* of a start */
    bool shed;                   /* it was refused admission: nobody's log wants a line of each */
    const struct caller *caller; /* NULL where the gateway is open */
    struct callers *callers;     /* a reference, for as long as `caller` is used */
    const char *stage, *id, *token;
    bool named; /* the stage by the body, and not by the path */
    const char *base_url;
    int64_t wait_ms; /* Prefer: wait=N, of what asks an engine */
};

void api_handle(struct exchange *exchange); /* exchange->server is a struct api; fits listener_settings.handle */
/* … .turn_away: starts, while there is too much to do. Nothing else is asked then, neither who it is nor what of, but
 * for a stage that needs no disk: that it has a line of its own is for those who may start it. */
const struct answer *api_turn_away(struct exchange *exchange);
void api_refuse(int status, const char *what, struct buf *ret_body, const char **ret_content_type); /* … .refuse */

/* Answers, each ends the call. */
void api_answer_json(struct api_call *call, int status, const struct buf *body);
void api_answer(struct api_call *call, struct answer *answer);
void api_fault(struct api_call *call, const struct fault *fault);
void api_problem(struct api_call *call, int status, const char *kind, const char *detail, const struct faults *faults);

/* The entry of call->stage, if the caller may do that with it, or see it; else the call has been answered, and NULL. */
const struct catalog_entry *api_entry(struct api_call *call, enum caller_right right);

/* Handlers; the table of front/router.c names them. */
void api_stages_list(struct api_call *call);
void api_stages_show(struct api_call *call);
void api_stages_preconfigured(struct api_call *call);
void api_runs_start(struct api_call *call);
void api_runs_cancel_key(struct api_call *call);
void api_runs_start_named(struct api_call *call); /* the same two, with the stage's name in the body */
void api_runs_cancel_named(struct api_call *call);
void api_runs_list(struct api_call *call);
void api_runs_show(struct api_call *call);
void api_runs_cancel(struct api_call *call);
void api_callbacks_take(struct api_call *call);
void api_runs_explain(struct api_call *call);
void api_ops_index(struct api_call *call);
void api_ops_health(struct api_call *call);
void api_ops_ready(struct api_call *call);
void api_ops_metrics(struct api_call *call);

#endif
