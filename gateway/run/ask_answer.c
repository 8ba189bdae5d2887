/* Answers, and questions that wait for them.
 *
 * A question may wait: for a record to be durable (a start, a cancel, a callback), for the end of a run (Prefer: wait),
 * or, after a restart, for the run to come back from the store. It is in one list at a time: that of the life that it
 * waits for, which says when that has come (run/life), or that of its engine's parked ones. Whoever asked may
 * lose patience meanwhile. */
#include <stdio.h>
#include <string.h>

#include "run/ask_inside.h"

/* ---- answers ---- */

static void deliver(void *arg) {
    struct ask *ask = arg;
    ask->done(ask);
}

struct fault *ask_fault(struct ask *ask) {
    if (!ask->fault) ask->fault = arena_new_of(ask->arena, struct fault);
    return ask->fault;
}

void ask_answer(struct ask *ask) {
    loop_timer_clear(&ask->timer);
    if (ask->engine->loop == ask->from) loop_later(ask->from, deliver, ask);
    else loop_post(ask->from, deliver, ask);
}

void ask_answer_fault(struct ask *ask, enum fault_kind kind, const char *where, const char *what) {
    ask->failed = true;
    fault_set(ask_fault(ask), kind, where, "%s", what);
    ask_answer(ask);
}

void ask_answer_report(struct ask *ask, const struct run *run, const struct history *history) {
    if (ask_start_goes_on(ask, run)) return;
    if (ask->kind == ASK_EXPLAIN) {
        run_explain_write(run, &ask->report);
        ask_answer(ask);
        return;
    }
    ask->ended = run_ended(run);
    ask->status = ask->ended ? run->status : RUN_RUNNING;
    memcpy(ask->id, run->id, sizeof ask->id);
    if (ask->kind != ASK_CALLBACK)
        run_report_write(run, history, loop_wall_ms(ask->engine->loop), ask->base_url, &ask->report);
    ask_answer(ask);
}

bool ask_allowed(const struct ask *ask, const char *stage) {
    return !ask->allowed || ask->allowed(ask, stage);
}

bool ask_fits(struct ask *ask, const struct run *run) {
    bool by_key = ask->kind == ASK_START || ask->kind == ASK_CANCEL_KEY;
    if (!ask_allowed(ask, run->stage_name) || (run->attached_to && !by_key)) {
        ask_answer_fault(ask, FAULT_NOT_FOUND, run->id, ASK_NO_SUCH_RUN);
        return false;
    }
    if (ask->kind == ASK_START && !ask->attached && run->fingerprint &&
        strcmp(run->fingerprint, ask->fingerprint) != 0) {
        char what[160];
        snprintf(what, sizeof what,
                 "the run %s has this key, with other parameters; a new piece of work needs a new key",
                 run->attached_to ? run->attached_to : run->id);
        ask_answer_fault(ask, FAULT_CONFLICT, "/key", what);
        return false;
    }
    return true;
}

/* ---- waiting for a life ---- */

static bool waits_for_end(const struct ask *ask, const struct engine *engine) {
    return ask->wait_ms > 0 && !engine->draining && !ask_start_keeps_key(ask);
}

static void unlist(struct ask **list, struct ask *ask) {
    for (; *list; list = &(*list)->next)
        if (*list == ask) {
            *list = ask->next;
            return;
        }
}

static void on_time_up(void *arg) {
    struct ask *ask = arg;
    struct life *life = ask->op;
    unlist(&life->asks, ask);
    life_read(life);
    ask_answer_report(ask, life->run, life->history);
}

static void wait_for(struct ask *ask, struct life *life, bool record) {
    ask->op = life;
    ask->waits_for_record = record;
    loop_timer_init(&ask->timer, life->engine->loop, "wait", on_time_up, ask);
    if (!record) loop_timer_set(&ask->timer, ask->wait_ms);
    ask->next = life->asks;
    life->asks = ask;
}

void ask_await_record(struct ask *ask, struct life *life) {
    wait_for(ask, life, true);
}

static void cancel(struct ask *ask, struct life *life) {
    struct log_context ctx = life_context(life->run);
    log_put(LOG_INFO, "run_cancel_wanted", &ctx, LOG_STR("by", ask->caller_name));
    wait_for(ask, life, true);
    life_cancel(life);
    if (life_writes(life)) return;
    unlist(&life->asks, ask); /* it wants no record: it is known, or over */
    ask_answer_report(ask, life->run, life->history);
}

void ask_of_life(struct ask *ask, struct life *life) {
    if (!ask_fits(ask, life->run)) return;
    life_read(life);
    if (ask->kind == ASK_CANCEL || ask->kind == ASK_CANCEL_KEY) cancel(ask, life);
    else if (!life->accepted || waits_for_end(ask, life->engine)) wait_for(ask, life, !life->accepted);
    else ask_answer_report(ask, life->run, life->history);
}

/* All records are durable: whoever waited for that is answered, or waits on for the end. */
void ask_recorded(struct life *life) {
    struct ask *waiting = life->asks;
    life->asks = NULL;
    while (waiting) {
        struct ask *ask = waiting;
        waiting = ask->next;
        if (ask->waits_for_record && !(ask->kind == ASK_START && waits_for_end(ask, life->engine))) {
            ask_answer_report(ask, life->run, life->history);
            continue;
        }
        if (ask->waits_for_record) {
            ask->waits_for_record = false;
            loop_timer_set(&ask->timer, ask->wait_ms);
        }
        ask->next = life->asks;
        life->asks = ask;
    }
}

void ask_answer_all(struct life *life) {
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        ask_answer_report(ask, life->run, life->history);
    }
}

/* The end will not come here any more. Who waits for a record is answered when it is durable. */
void ask_answer_waiting(struct life *life) {
    for (struct ask **at = &life->asks; *at;) {
        struct ask *ask = *at;
        if (ask->waits_for_record) {
            at = &ask->next;
            continue;
        }
        *at = ask->next;
        ask_answer_report(ask, life->run, life->history);
    }
}

void ask_refuse_all(struct life *life, const struct fault *fault) {
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        ask_answer_fault(ask, FAULT_BUSY, "store", fault->what);
    }
}

/* Another run has the key. Its start was asked for twice, or it is there from before a restart. */
void ask_found_instead(struct life *life, const struct store_record *record) {
    struct fault fault;
    struct run *other = run_load(record, NULL, &fault);
    while (life->asks) {
        struct ask *ask = life->asks;
        life->asks = ask->next;
        ask->created = false;
        if (!other) ask_answer_fault(ask, FAULT_INTERNAL, record->id, fault.what);
        else if (ask_fits(ask, other)) ask_answer_report(ask, other, NULL);
    }
    run_free(other);
}

/* ---- runs that are still to come from the store, after a restart ---- */

void ask_park(struct ask *ask) {
    struct engine *engine = ask->engine;
    if (engine->draining) {
        ask_answer_fault(ask, FAULT_BUSY, "gateway", ASK_STOPPING);
        return;
    }
    ask->next = engine->parked;
    engine->parked = ask;
}

bool ask_is_to_come(const struct engine *engine, const struct store_op *op) {
    return engine->expects && op->outcome == STORE_DONE && !op->found->ended_ms;
}

/* First come, first asked. */
void ask_again_parked(struct engine *engine) {
    struct ask *parked = NULL;
    while (engine->parked) {
        struct ask *ask = engine->parked;
        engine->parked = ask->next;
        ask->next = parked;
        parked = ask;
    }
    while (parked) {
        struct ask *ask = parked;
        parked = ask->next;
        ask->next = NULL;
        loop_post(engine->loop, ask_arrives, ask); /* one at a time: they may be many */
    }
}

void ask_refuse_parked(struct engine *engine, const struct fault *fault) {
    while (engine->parked) {
        struct ask *ask = engine->parked;
        engine->parked = ask->next;
        ask_answer_fault(ask, fault->kind, fault->where, fault->what);
    }
}

/* ---- no more patience ---- */

struct hurry {
    struct engine *engine;
    const struct ask *ask; /* only compared: it may have been answered, and be gone */
    char id[STORE_ID_SIZE];
};

static void hurry_arrives(void *arg) {
    struct hurry *hurry = arg;
    struct life *life = life_find_id(hurry->engine, hurry->id);
    for (struct ask *ask = hurry->engine->parked; ask; ask = ask->next)
        if (ask == hurry->ask) ask->wait_ms = 0;
    for (struct ask *ask = life ? life->asks : NULL; ask; ask = ask->next) {
        if (ask != hurry->ask) continue;
        ask->wait_ms = 0;
        if (ask->waits_for_record) break;
        unlist(&life->asks, ask);
        life_read(life);
        ask_answer_report(ask, life->run, life->history);
        break;
    }
    mem_free(hurry);
}

void ask_hurry(struct ask *ask) {
    struct hurry *hurry = mem_alloc(sizeof *hurry);
    ask->hurried = true;
    hurry->engine = ask->asked;
    hurry->ask = ask;
    memcpy(hurry->id, ask->asked_id, sizeof hurry->id);
    loop_post(ask->asked->loop, hurry_arrives, hurry);
}
