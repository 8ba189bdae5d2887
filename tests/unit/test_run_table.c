/* The table of states and events, as docs/run-states.md has it: each pair has an outcome, and this is it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

static void test_words_and_back(void **state) {
    (void)state;
    for (int i = REASON_NONE + 1; reason_word((enum reason)i); i++)
        assert_int_equal(reason_parse(reason_word((enum reason)i)), i);
    assert_null(reason_word(REASON_NONE));
    assert_null(reason_word((enum reason)1000));
    assert_int_equal(reason_parse(NULL), REASON_NONE);
    assert_int_equal(reason_parse("no such reason"), REASON_NONE);
    for (int i = 0; i < RUN_STATE_END; i++) assert_non_null(run_state_word((enum run_state)i));
}

static void reach_doubt(struct rig *rig, enum run_state state) {
    rig_accept(rig,
               "name = \"job\"; timeout = \"60s\"; request = { url = \"http://up.test/{{ callback.url }}\"; probe = { "
               "url = \"http://up.test/jobs\"; found = \"$.items[0]\"; }; callback = { }; };");
    rig_fail(rig, REPLY_MAYBE_ACTED_ON);
    if (state == RUN_PROBING) rig_due(rig);
}

/* Brings a run into a state, by the shortest way there. */
static void reach(struct rig *rig, enum run_state state) {
    if (state == RUN_PROBING || state == RUN_PROBE_WAITING) {
        reach_doubt(rig, state);
        assert_int_equal(rig->run->state, state);
        return;
    }
    if (state >= RUN_WAITING && state <= RUN_ENDED) {
        rig_begin_polling(rig);
        rig_answer(rig, 200, state >= RUN_ENDING ? "{\"state\": \"passed\"}" : "{}");
    } else {
        rig_begin(rig, rig_two_steps, 1);
        rig->queued = state == RUN_QUEUED;
        rig_start_with(rig, NULL);
        if (state == RUN_DROPPED) rig_unstored(rig);
        else if (state != RUN_ACCEPTING) rig_stored(rig);
    }
    if (state == RUN_INTENDING) rig_fail(rig, REPLY_NEVER_SENT), rig_due(rig);
    if (state == RUN_RECORDING) rig_answer(rig, 201, "{\"id\": 5}");
    if (state >= RUN_STOPPING && state <= RUN_CANCEL_CHECK_WAITING) rig_cancel(rig);
    if (state >= RUN_CANCELING && state <= RUN_CANCEL_CHECK_WAITING) rig_stored(rig);
    if (state == RUN_CANCEL_WAITING) rig_answer(rig, 503, "");
    if (state == RUN_CANCEL_CHECKING || state == RUN_CANCEL_CHECK_WAITING) rig_answer(rig, 204, ""), rig_stored(rig);
    if (state == RUN_CANCEL_CHECKING) rig_due(rig);
    if (state == RUN_ENDED) rig_stored(rig);
    assert_string_equal(run_state_word(rig->run->state), run_state_word(state));
}

/* What becomes of every state with every event: the state after it, and the orders: s store, c call, p probe, k cancel
 * call, h check whether it has stopped, a abort the call, w wait until, e ended. "-" is nothing at all: no order, and a
 * record as before. */
static void test_every_state_with_every_event(void **state) {
    (void)state;
    static const char *const table[RUN_STATE_END][RUN_EVENT_END] = {
        /* STORED, UNSTORED, REPLY (200), REFUSED, HELD, DUE, CANCEL, CALLBACK, TURN */
        [RUN_ACCEPTING] = {"calling c", "dropped e", "-", "-", "-", "-", "accepting s", "-", "-"},
        [RUN_QUEUED] = {"-", "-", "-", "-", "-", "-", "stopping s", "queued s", "intending s"},
        [RUN_INTENDING] = {"calling c", "-", "-", "ending s", "waiting sw", "-", "intending s", "intending s", "-"},
        [RUN_CALLING] = {"-", "-", "recording s", "ending s", "waiting sw", "-", "calling s", "calling s", "-"},
        [RUN_RECORDING] = {"calling cw", "-", "-", "-", "-", "-", "recording s", "recording s", "-"},
        [RUN_WAITING] = {"-", "-", "-", "-", "-", "calling cw", "stopping s", "ending s", "-"},
        [RUN_PROBING] = {"-", "-", "probe_waiting w", "ending s", "probe_waiting w", "probing w", "stopping sa",
                         "ending saw", "-"},
        [RUN_PROBE_WAITING] = {"-", "-", "-", "-", "-", "probing pw", "stopping s", "ending sw", "-"},
        [RUN_STOPPING] = {"canceling kw", "-", "-", "-", "-", "-", "-", "-", "-"},
        [RUN_CANCELING] = {"-", "-", "cancel_check_waiting sw", "ending s", "cancel_waiting w", "canceling w", "-", "-",
                           "-"},
        [RUN_CANCEL_WAITING] = {"-", "-", "-", "-", "-", "canceling kw", "-", "-", "-"},
        [RUN_CANCEL_CHECKING] = {"-", "-", "cancel_check_waiting w", "ending s", "cancel_check_waiting w",
                                 "cancel_checking w", "-", "-", "-"},
        [RUN_CANCEL_CHECK_WAITING] = {"-", "-", "-", "-", "-", "cancel_checking hw", "-", "-", "-"},
        [RUN_ENDING] = {"ended e", "dropped e", "-", "-", "-", "-", "-", "-", "-"},
        [RUN_ENDED] = {"-", "-", "-", "-", "-", "-", "-", "-", "-"},
        [RUN_DROPPED] = {"-", "-", "-", "-", "-", "-", "-", "-", "-"},
    };
    for (int from = 0; from < RUN_STATE_END; from++)
        for (int kind = 0; kind < RUN_EVENT_END; kind++) {
            struct rig rig;
            struct rig_image before, after;
            struct run_orders orders;
            struct fault fault;
            reach(&rig, (enum run_state)from);
            rig_image_take(&rig, &before);
            struct reply reply = {.phase = REPLY_ANSWERED, .code = 200, .body = TEXT("{}")};
            fault_set(&fault, FAULT_UNDEFINED, NULL, "not there");
            struct run_callback callback;
            struct arena *arena = arena_new();
            callback_read(arena, rig.run->step_count - 1, &(struct reply){.body = TEXT("{\"state\": \"passed\"}")},
                          &callback);
            struct run_event event = {
                .kind = (enum run_event_kind)kind, .reply = &reply, .fault = &fault, .callback = &callback};
            struct run_world world = rig_world(&rig);
            run_move(rig.run, &event, &world, &orders);
            rig_image_take(&rig, &after);
            char became[64];
            snprintf(became, sizeof became, "%s %s%s%s%s%s%s", run_state_word(rig.run->state), orders.store ? "s" : "",
                     orders.call == RUN_CALL_STEP    ? "c"
                     : orders.call == RUN_CALL_PROBE ? "p"
                     : orders.call == RUN_CALL_CHECK ? "h"
                                                     : "",
                     orders.call == RUN_CALL_CANCEL ? "k" : "", orders.abort_call ? "a" : "",
                     orders.wait_until ? "w" : "", orders.ended ? "e" : "");
            bool same = (int)rig.run->state == from && strcmp(before.body, after.body) == 0 &&
                        became[strlen(became) - 1] == ' ';
            if (strcmp(same ? "-" : became, table[from][kind]) != 0)
                fail_msg("%s, event %d: %s, not %s", run_state_word((enum run_state)from), kind, same ? "-" : became,
                         table[from][kind]);
            rig_image_drop(&before);
            rig_image_drop(&after);
            rig_end(&rig);
            arena_free(arena);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_and_back),
        cmocka_unit_test(test_every_state_with_every_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
