/* What the body of a reply asks for (`retry_after`) is the pace of a run. run_rig.h checks the invariants at every
 * step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define S 1000

/* The first reply puts off the step behind it: a poll, a call that is not idempotent, or one that is left out. */
static const char polled[] =
    "name = \"job\"; request = { url = \"http://up.test/\"; retry_after = \"$.wait\"; }; status = { "
    "url = \"http://up.test/1\"; every = \"2s\"; value = \"$.state\"; success = [ \"ok\" ]; "
    "canceled = [ \"aborted\" ]; retry_after = \"$.wait\"; }; cancel = { url = "
    "\"http://up.test/stop\"; timeout = \"40s\"; retry_after = \"$.wait\"; };";
static const char posted[] =
    "name = \"job\"; steps = ( { name = \"a\"; method = \"POST\"; url = \"http://up.test/a\"; "
    "retry_after = \"$.wait\"; }, { name = \"b\"; method = \"POST\"; url = \"http://up.test/b\"; "
    "when = \"a.body.never | default(false)\"; }, { name = \"c\"; method = \"POST\"; url = "
    "\"http://up.test/c\"; } );";

static void begin(struct rig *rig, const char *definition) {
    rig_accept(rig, definition);
    rig_answer(rig, 200, "{\"wait\": 7}");
    rig_stored(rig);
    assert_int_equal(rig->run->state, RUN_WAITING);
    assert_int_equal(rig->timer_ms, rig->now_ms + 7 * S);
}

static void test_the_next_step_is_put_off(void **state) {
    (void)state;
    struct rig rig;
    for (int restart = 0; restart <= 1; restart++) {
        begin(&rig, polled);
        if (restart) rig_restart(&rig);
        assert_int_equal(rig.timer_ms, RIG_BEGAN + 7 * S);
        rig_due(&rig);
        rig_answer(&rig, 200, "{\"wait\": 30}");
        assert_int_equal(rig.timer_ms, rig.now_ms + 30 * S);
        rig_due(&rig);
        rig_answer(&rig, 503, "{\"wait\": 50}");
        assert_int_equal(rig.timer_ms, rig.now_ms + 50 * S);
        rig_due(&rig);
        rig_answer(&rig, 200, "{\"state\": \"ok\", \"wait\": 60}");
        rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        rig_end(&rig);
    }
}

/* A call that was put off was not sent: nothing is in doubt after a restart. */
static void test_what_was_put_off_is_not_in_doubt(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, posted);
    assert_int_equal(rig_durable_int(&rig, "sending"), 0);
    rig_restart(&rig);
    assert_int_equal(rig.timer_ms, RIG_BEGAN + 7 * S);
    rig_due(&rig);
    assert_int_equal(rig.run->state, RUN_INTENDING);
    rig_stored(&rig);
    assert_int_equal(rig.sends[2], 1);
    rig_answer(&rig, 200, "");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

static void test_canceled_meanwhile(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, polled);
    rig_cancel(&rig);
    rig_stored(&rig);
    assert_int_equal(rig.under_way, RUN_CALL_CANCEL); /* at once */
    rig_answer(&rig, 503, "{\"wait\": 25}");
    assert_int_equal(rig.timer_ms, rig.now_ms + 25 * S);
    rig_due(&rig);
    rig_stops(&rig);
    rig_assert_ends(&rig, RUN_CANCELED, REASON_CANCELED);
    rig_end(&rig);
}

/* Nobody is waited for without end. */
static void test_bounds(void **state) {
    (void)state;
    struct rig rig;
    rig_accept(&rig, polled);
    rig_answer(&rig, 200, "{\"wait\": 1e9}");
    rig_stored(&rig);
    assert_int_equal(rig.timer_ms, rig.now_ms + 3600 * S); /* also the time of the step */
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_step_is_put_off),
        cmocka_unit_test(test_what_was_put_off_is_not_in_doubt),
        cmocka_unit_test(test_canceled_meanwhile),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
