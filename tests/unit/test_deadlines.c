/* Who waits for a run: the caller's deadline, and the cancel of a run that nobody looks at, over restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

static void begin(struct rig *rig, int64_t deadline_ms) {
    rig_begin(rig, rig_two_steps, 1);
    struct run_new from = rig_new(rig, NULL);
    from.deadline_ms = deadline_ms;
    rig->run = run_new(&from);
    rig_store(rig);
    rig_stored(rig);
    rig_answer(rig, 201, "{\"id\": 5}");
    rig_stored(rig);
    rig_answer(rig, 200, "{\"state\": \"running\"}");
}

static void poll_until_stopping(struct rig *rig) {
    while (rig->run->state != RUN_STOPPING) {
        rig_due(rig);
        if (rig->run->state == RUN_CALLING) rig_answer(rig, 200, "{\"state\": \"running\"}");
    }
}

static void test_the_first_of_all_deadlines_counts(void **state) {
    (void)state;
    static const struct {
        int64_t deadline, ends; /* ms after the beginning; the step has 60 s */
        const char *error;
    } rows[] = {
        {0, 60000, "status: not done within its time; the upstream says \"aborted\""},
        {90000, 60000, "status: not done within its time; the upstream says \"aborted\""},
        {20000, 20000, "status: not done by the caller's deadline; the upstream says \"aborted\""},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        bool restarts = i % 2;
        begin(&rig, rows[i / 2].deadline ? RIG_BEGAN + rows[i / 2].deadline : 0);
        if (restarts) rig_restart(&rig);
        poll_until_stopping(&rig);
        assert_int_equal(rig.now_ms - RIG_BEGAN, rows[i / 2].ends);
        rig_stored(&rig);
        rig_stops(&rig);
        rig_stored(&rig);
        assert_int_equal(rig.run->status, RUN_TERMINAL);
        assert_int_equal(rig.run->reason, REASON_TIMEOUT);
        assert_string_equal(rig.run->error, rows[i / 2].error);
        rig_end(&rig);
    }
}

static void test_orphans(void **state) {
    (void)state;
    static const struct {
        int code;
        enum reason reason;
        const char *progress;
    } rows[] = {
        {204, REASON_ORPHANED, "canceled, since nobody looked at the run any more: the upstream says \"aborted\""},
        {400, REASON_CANCEL_UNCONFIRMED,
         "canceled, since nobody looked at the run any more: the cancel call failed: the upstream answered 400"},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin(&rig, 0);
        rig_move(&rig, &(struct run_event){.kind = RUN_EVENT_CANCEL, .orphaned = true});
        assert_string_equal(rig.run->progress, "canceling, since nobody looks at the run any more");
        rig_stored(&rig);
        if (i % 2) rig_restart(&rig);
        if (rows[i / 2].code == 204) rig_stops(&rig);
        else rig_answer(&rig, rows[i / 2].code, "");
        rig_stored(&rig);
        assert_int_equal(rig.run->status, RUN_CANCELED);
        assert_int_equal(rig.run->reason, rows[i / 2].reason);
        assert_string_equal(rig.run->progress, rows[i / 2].progress);
        rig_end(&rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_first_of_all_deadlines_counts),
                                       cmocka_unit_test(test_orphans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
