/* The life of a run, as a table: for every state and every event, the function that answers it.
 *
 * The functions above the table, and those of the files beside this one, change the run and fill the orders; nobody
 * else writes `state`. They are pure: time and chance come in `world`, and what is to be done goes out in `orders`, so
 * that the whole life can be driven by a test with a clock of its own. What replies had that the definition does not
 * expect is told to `world->contract`, which changes nothing here. A function that stands for "nothing to do" says so
 * by its name, so that every pair is a decision. */
#include "run/run.h"

#include "call/pace.h"
#include "run/contract.h"
#include "run/run_move.h"

/* ---- words ---- */

const char *run_status_word(enum run_status status) {
    static const char *const words[] = {
#define X(id, word) [RUN_##id] = word,
        RUN_STATUSES(X)
#undef X
    };
    return words[status];
}

const char *run_state_word(enum run_state state) {
    static const char *const words[] = {
#define X(id, word) [RUN_##id] = word,
        RUN_STATES(X)
#undef X
    };
    return words[state];
}

bool run_ended(const struct run *run) {
    return run->state == RUN_ENDED;
}

/* As far as one can know before its reply: the steps behind it may be left out. */
bool move_is_last(const struct run *run) {
    return run->step + 1 == run->step_count;
}

const struct stage_call *run_call_of(const struct run *run, enum run_call call) {
    if (call == RUN_CALL_PROBE) return &step_of(run)->probe->step.call;
    if (call != RUN_CALL_CANCEL) return &step_of(run)->call;
    return run->cancel_fell_back ? &run->stage->cancel_fallback->call : &run->stage->cancel->call;
}

/* ---- orders ---- */

/* The time at which the present step, or the whole run, is over; 0: never. A poll that goes on only so that the run can
 * be canceled has the cancel's time. */
int64_t run_deadline_ms(const struct run *run) {
    if (run_cancel_needs_step(run)) return run_cancel_limit_ms(run);
    int64_t whole = run->stage->timeout_ms ? run->created_ms + run->stage->timeout_ms : 0;
    int64_t step = step_of(run)->timeout_ms && !run->queued ? run->step_began_ms + step_of(run)->timeout_ms : 0;
    int64_t first = whole && (!step || whole < step) ? whole : step;
    return run->deadline_ms && (!first || run->deadline_ms < first) ? run->deadline_ms : first;
}

static void order_call(struct move *m) {
    struct run *run = m->run;
    run->state = RUN_CALLING;
    run->steps[run->step].calls++;
    run->steps[run->step].status = RUN_RUNNING;
    m->orders->call = RUN_CALL_STEP;
    m->orders->wait_until = run_deadline_ms(run);
}

bool move_intends(const struct move *m) {
    return !step_of(m->run)->call.idempotent && !m->run->cancel_wanted && !m->world->limited;
}

/* The call of the present step; recorded as being sent first, where sending it twice would do harm. A callback that
 * came before may make a poll needless. */
void move_call(struct move *m) {
    struct run *run = m->run;
    bool harmless = step_of(run)->call.idempotent;
    if (!step_of(run)->call.url) {
        run_callback_wait(m);
        return;
    }
    if (step_of(run)->rules.exist && run_callback_judge_kept(m)) return;
    if (!run->begun_ms) run->begun_ms = m->world->now_ms;
    if ((harmless || run->sending) && !m->orders->store) {
        order_call(m);
        return;
    }
    m->orders->ask_first = !m->orders->store;
    run->sending = run->sending || (m->orders->ask_first ? !harmless : move_intends(m));
    run->state = RUN_INTENDING;
    m->orders->store = true;
}

void move_wait(struct move *m, int64_t due_ms) {
    int64_t deadline = run_deadline_ms(m->run);
    m->run->state = RUN_WAITING;
    m->run->due_ms = due_ms;
    m->orders->wait_until = deadline && deadline < due_ms ? deadline : due_ms;
}

void move_queue(struct move *m) {
    m->run->state = RUN_QUEUED;
    m->run->updated_ms = m->world->now_ms;
    m->orders->wait_until = run_deadline_ms(m->run);
}

void move_end(struct move *m, enum run_status status, enum reason reason, const char *error) {
    struct run *run = m->run;
    run->state = RUN_ENDING;
    run->status = status;
    run->reason = reason;
    run->ended_ms = run->updated_ms = m->world->now_ms;
    run->sending = false;
    if (status == RUN_SUCCEEDED) run->percent = 100;
    move_put_text(&run->error, run, error);
    m->orders->store = true;
    m->orders->undone = status != RUN_SUCCEEDED;
}

void move_fail(struct move *m, enum reason reason, const char *what) {
    struct run *run = m->run;
    run->steps[run->step].status = RUN_TERMINAL;
    if (!what) what = "";
    move_say(m, "%s: %.*s", step_of(run)->name, move_told(what), what);
    char *sentence = mem_strdup(run->progress);
    move_end(m, RUN_TERMINAL, reason, sentence);
    mem_free(sentence);
}

/* ---- time ---- */

static bool time_is_up(const struct move *m) {
    int64_t deadline = run_deadline_ms(m->run);
    return deadline && m->world->now_ms >= deadline;
}

/* The upstream is told to stop, so that what nobody waits for does not go on. */
void move_time_out(struct move *m) {
    if (!m->run->cancel_wanted) contract_step_over(m->world, m->run, false);
    if (!m->run->cancel_wanted) m->run->timed_out = m->run->cancel_wanted = true;
    if (!m->run->cancel_since_ms) m->run->cancel_since_ms = m->world->now_ms;
    m->run->updated_ms = m->world->now_ms;
    move_say_not_done(m, "");
    run_cancel_stop_now(m);
}

/* The next poll or try; or the time of the step or the run is up. */
static void due(struct move *m) {
    if (time_is_up(m) && run_callback_at_last(m)) return;
    if (time_is_up(m) || run_callback_overdue(m)) move_time_out(m);
    else if (m->run->awaiting) run_callback_wait_on(m);
    else move_call(m); /* also where the clock was set back meanwhile: the timer knows better */
}

/* The time is up: the call is given up, and the upstream told to stop. */
static void due_in_call(struct move *m) {
    if (!time_is_up(m)) {
        m->orders->wait_until = run_deadline_ms(m->run);
        return;
    }
    m->orders->abort_call = true;
    if (run_callback_at_last(m)) return;
    m->run->sending = m->run->may_have_acted = true; /* whatever it is */
    move_time_out(m);
}

/* Its turn has not come; its time may be up all the same. */
static void due_in_queue(struct move *m) {
    if (time_is_up(m)) move_time_out(m);
    else m->orders->wait_until = run_deadline_ms(m->run);
}

/* ---- records ---- */

/* The run, its intent, or what decided the step before is durable: the call may leave. No byte of it has yet, so a wish
 * to cancel that came meanwhile stops it, and so does its time, where the disk was slow. */
static void recorded(struct move *m) {
    if (m->run->cancel_wanted) {
        m->run->sending = false;
        run_cancel_begin(m);
    } else if (time_is_up(m)) {
        m->run->sending = false;
        if (m->run->state != RUN_INTENDING || !run_callback_at_last(m)) move_time_out(m);
    } else if (m->run->queued) {
        move_queue(m);
    } else if (m->run->state == RUN_RECORDING && !m->run->awaiting && m->run->due_ms > m->world->now_ms) {
        move_wait(m, m->run->due_ms); /* the upstream said when to ask first */
    } else {
        move_call(m);
        m->orders->intended = m->orders->call && !step_of(m->run)->call.idempotent;
    }
}

/* The end is durable, so it may be told. */
static void ended(struct move *m) {
    m->run->state = RUN_ENDED;
    m->orders->ended = true;
}

/* Nobody was told of it, so it is let go without a trace. */
static void dropped(struct move *m) {
    m->run->state = RUN_DROPPED;
    m->orders->ended = true;
}

/* ---- nothing to do, each for its reason ---- */

static void cannot_be(struct move *m) { /* the engine never brings this event here */
    (void)m;
}

static void is_over(struct move *m) { /* an end is an end */
    (void)m;
}

static void is_known(struct move *m) { /* it is being canceled already */
    (void)m;
}

static void is_durable(struct move *m) { /* a record that nothing waited for, as of a cancel wish during a call */
    (void)m;
}

static void came_late(struct move *m) { /* a timer of the state before */
    (void)m;
}

static void (*const moves[RUN_STATE_END][RUN_EVENT_END])(struct move *) = {
    /* STORED, UNSTORED, REPLY, REFUSED, HELD, DUE, CANCEL, CALLBACK, TURN */
    [RUN_ACCEPTING] = {recorded, dropped, cannot_be, cannot_be, cannot_be, came_late, run_cancel_want, cannot_be,
                       run_queue_turn_early},
    [RUN_QUEUED] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, due_in_queue, run_cancel_stop,
                    run_queue_called_back, run_queue_turn},
    [RUN_INTENDING] = {recorded, cannot_be, cannot_be, run_step_refused, run_step_held, came_late, run_cancel_want,
                       run_callback_early, cannot_be},
    [RUN_CALLING] = {is_durable, cannot_be, run_step_replied, run_step_refused, run_step_held, due_in_call,
                     run_cancel_stop_call, run_callback_in_call, cannot_be},
    [RUN_RECORDING] = {recorded, cannot_be, cannot_be, cannot_be, cannot_be, came_late, run_cancel_want,
                       run_callback_early, cannot_be},
    [RUN_WAITING] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, due, run_cancel_stop, run_callback_in_wait,
                     cannot_be},
    [RUN_PROBING] = {is_durable, cannot_be, run_doubt_replied, run_doubt_refused, run_doubt_held, run_doubt_due_in_call,
                     run_doubt_cancel_in_call, run_callback_in_doubt, cannot_be},
    [RUN_PROBE_WAITING] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, run_doubt_due, run_doubt_cancel,
                           run_callback_in_doubt, cannot_be},
    [RUN_STOPPING] = {run_cancel_begin, cannot_be, cannot_be, cannot_be, cannot_be, came_late, is_known,
                      run_callback_late, cannot_be},
    [RUN_CANCELING] = {is_durable, cannot_be, run_cancel_replied, run_cancel_refused, run_cancel_held,
                       run_cancel_due_in_call, is_known, run_callback_late, cannot_be},
    [RUN_CANCEL_WAITING] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, run_cancel_again, is_known,
                            run_callback_late, cannot_be},
    [RUN_CANCEL_CHECKING] = {is_durable, cannot_be, run_cancel_checked, run_cancel_check_refused, run_cancel_check_held,
                             run_cancel_due_in_check, is_known, run_callback_late, cannot_be},
    [RUN_CANCEL_CHECK_WAITING] = {is_durable, cannot_be, cannot_be, cannot_be, cannot_be, run_cancel_check, is_known,
                                  run_callback_late, cannot_be},
    [RUN_ENDING] = {ended, dropped, cannot_be, cannot_be, cannot_be, came_late, is_over, run_callback_late, is_over},
    [RUN_ENDED] = {is_over, is_over, is_over, is_over, is_over, is_over, is_over, run_callback_late, is_over},
    [RUN_DROPPED] = {is_over, is_over, is_over, is_over, is_over, is_over, is_over, run_callback_late, is_over},
};

static const char *why_given_up(enum run_event_kind kind) {
    if (kind == RUN_EVENT_DUE) return "the time is up";
    return kind == RUN_EVENT_CANCEL ? "the run is canceled" : "a callback came first";
}

void run_move(struct run *run, const struct run_event *event, const struct run_world *world,
              struct run_orders *ret_orders) {
    *ret_orders = (struct run_orders){0};
    struct move m = {.run = run, .event = event, .world = world, .orders = ret_orders};
    m.before = run->state;
    m.step = run->step;
    moves[m.before][event->kind](&m);
    if (ret_orders->abort_call) move_judged(&m, "given_up", "%s", why_given_up(event->kind));
    move_write_journal(&m);
}

/* After a restart. What was being sent is in doubt, unless sending it again does no harm. */
void run_resume(struct run *run, const struct run_world *world, struct run_orders *ret_orders) {
    *ret_orders = (struct run_orders){0};
    struct move m = {.run = run, .world = world, .orders = ret_orders};
    run->status = RUN_RUNNING;
    if (run->queued) {
        if (run->cancel_wanted) run_cancel_begin(&m);
        else move_queue(&m);
        return;
    }
    bool called = run->steps[run->step].calls > 0 || !run->cancel_wanted; /* as far as one can know */
    if (called && !run_callback_is_all(run) && step_of(run)->call.idempotent && !step_of(run)->rules.exist)
        run->sending = true;
    run->may_have_acted = run->may_have_acted || run->sending;
    if (run->cancel_wanted) {
        run_cancel_begin(&m);
    } else if (run_callback_is_all(run)) {
        run_callback_wait_on(&m);
    } else if (run->sending && !step_of(run)->call.idempotent) {
        run_doubt_resume(&m);
    } else {
        const struct stage_step *step = step_of(run);
        bool ahead = run->due_ms > world->now_ms && run->due_ms <= world->now_ms + RUN_DUE_MAX_MS;
        int64_t due_ms = ahead ? run->due_ms : world->now_ms;
        struct pace_now now = move_pace(run, world);
        if (step->rules.exist && world->now_ms - run->step_began_ms >= step->every_ms && !ahead)
            due_ms += pace_grid_ms(step, &now); /* each at its own phase: no herd */
        move_wait(&m, due_ms);
    }
}

void run_say_turn(struct run *run, const struct run_world *world, const char *text) {
    struct move m = {.run = run, .world = world};
    if (run->state != RUN_QUEUED) return;
    if (run->queued) move_say(&m, "%s", text);
    else move_say(&m, "%s: %s", step_of(run)->name, text);
}

void run_give_up(struct run *run, const struct run_world *world, enum reason reason, const char *what,
                 struct run_orders *ret_orders) {
    *ret_orders = (struct run_orders){0};
    struct move m = {.run = run, .world = world, .orders = ret_orders};
    move_say(&m, "%s cannot be used any more: %s",
             reason == REASON_BROKEN_RECORD ? "what the store holds of the run"
                                            : "the definition that the run began with",
             what);
    char *sentence = mem_strdup(run->progress);
    move_end(&m, RUN_TERMINAL, reason, sentence);
    mem_free(sentence);
}
