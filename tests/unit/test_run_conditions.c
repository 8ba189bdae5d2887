/* Conditions that judge, and success that has to last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

static const char one_gate[] = "name = \"gate\"; request = { method = \"GET\"; url = \"http://up.test/\"; every = "
                               "\"1s\"; timeout = \"10m\"; %s };";

static void begin_gate(struct rig *rig, const char *settings) {
    char definition[1000];
    snprintf(definition, sizeof definition, one_gate, settings);
    rig_accept(rig, definition);
}

static void test_ends_by_conditions(void **state) {
    (void)state;
    static const struct {
        const char *settings, *body;
        enum run_status status;
        enum reason reason;
        const char *said;
    } rows[] = {
        {"success_when = \"body.n > 2\";", "{\"n\": 3}", RUN_SUCCEEDED, REASON_NONE, "succeeded"},
        {"success_when = \"false\"; failure_when = \"body.n > 2\";", "{\"n\": 3}", RUN_TERMINAL, REASON_UPSTREAM_FAILED,
         "request: failure_when holds: body.n > 2"},
        {"success_when = \"false\"; canceled_when = \"body.n > 2\";", "{\"n\": 3}", RUN_CANCELED,
         REASON_UPSTREAM_CANCELED, "request: canceled by the upstream: canceled_when holds: body.n > 2"},
        {"warn_when = \"body.n > 2\";", "{\"n\": 3}", RUN_SUCCEEDED, REASON_NONE, "succeeded with a warning"},
        {"value = \"$.s\"; success = [ \"ok\" ]; failure = [ \"bad\" ]; error_when = \"false\"; error = \"$.why\";",
         "{\"s\": \"bad\", \"why\": \"disk full\"}", RUN_TERMINAL, REASON_UPSTREAM_FAILED,
         "request: the upstream says \"bad\" - disk full"},
        {"value = \"$.s\"; success = [ \"ok\" ]; unknown = \"fail\";", "{\"s\": \"odd\"}", RUN_TERMINAL,
         REASON_UNKNOWN_STATUS, "request: the upstream says \"odd\", which no list of the definition names"},
        {"success_when = \"body.done\"; unknown = \"fail\";", "{\"done\": false}", RUN_TERMINAL, REASON_UNKNOWN_STATUS,
         "request: no condition describes the reply"},
        {"success_when = \"body.done\"; error = \"$.e\";", "{\"done\": true, \"e\": \"no\"}", RUN_TERMINAL,
         REASON_UPSTREAM_REFUSED, "request: the reply has an error: no"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin_gate(&rig, rows[i].settings);
        rig_answer(&rig, 200, rows[i].body);
        rig_assert_ends(&rig, rows[i].status, rows[i].reason);
        assert_string_equal(rig.run->progress, rows[i].said);
        if (rows[i].status == RUN_TERMINAL) assert_string_equal(rig.run->error, rows[i].said);
        rig_end(&rig);
    }
}

static void test_a_condition_over_what_is_not_there(void **state) {
    (void)state;
    struct rig rig;
    begin_gate(&rig, "success_when = \"body.state.ready\";");
    rig_answer(&rig, 200, "{}");
    assert_int_equal(rig.run->state, RUN_WAITING);
    assert_non_null(strstr(rig.run->progress, "request: running - success_when: body.state"));
    rig_due(&rig);
    rig_answer(&rig, 200, "{\"state\": {\"ready\": true}}");
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    rig_end(&rig);
}

static void test_an_error_in_a_200_ends_a_step_that_runs_once(void **state) {
    (void)state;
    struct rig rig;
    rig_begin(&rig,
              "name = \"s\"; steps = ( { name = \"send\"; method = \"POST\"; url = \"http://up.test/\"; error = "
              "\"$.errors[0].message\"; }, { name = \"next\"; url = \"http://up.test/\"; } );",
              1);
    rig_start_with(&rig, NULL);
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"errors\": [{\"message\": \"no such field\"}]}");
    rig_assert_ends(&rig, RUN_TERMINAL, REASON_UPSTREAM_REFUSED);
    assert_string_equal(rig.run->error, "send: the reply has an error: no such field");
    assert_int_equal(rig.sends[1], 0);
    rig_end(&rig);
}

static void test_success_has_to_last_over_a_restart(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        unsigned polls;
    } rows[] = {{"success_for = 3;", 3}, {"success_for = \"2500ms\";", 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        char settings[200];
        snprintf(settings, sizeof settings, "value = \"$.s\"; success = [ \"up\" ]; %s", rows[i].settings);
        begin_gate(&rig, settings);
        rig_answer(&rig, 200, "{\"s\": \"up\"}");
        rig_stored(&rig);
        assert_true(rig_durable_int(&rig, "steady_since") > 0);
        rig_due(&rig);
        rig_answer(&rig, 200, "{\"s\": \"down\"}");
        rig_stored(&rig);
        assert_int_equal(rig_durable_int(&rig, "steady_since"), 0);
        for (unsigned n = 1; n <= rows[i].polls; n++) {
            if (rig.run->state != RUN_WAITING) fail_msg("row %zu: %s after %u", i, run_state_word(rig.run->state), n);
            rig_due(&rig);
            rig_answer(&rig, 200, "{\"s\": \"up\"}");
            if (n < rows[i].polls) assert_non_null(strstr(rig.run->progress, "request: up - "));
            if (n == 1) {
                rig_stored(&rig);
                rig_restart(&rig);
            }
        }
        rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        rig_end(&rig);
    }
}

static void test_cancel_while_success_lasts(void **state) {
    (void)state;
    struct rig rig;
    begin_gate(&rig, "success_when = \"true\"; success_for = 3;");
    rig_answer(&rig, 200, "{}");
    rig_due(&rig);
    rig_cancel(&rig);
    while (!rig.over) rig_stored(&rig);
    assert_int_equal(rig.run->status, RUN_CANCELED);
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_by_conditions),
        cmocka_unit_test(test_a_condition_over_what_is_not_there),
        cmocka_unit_test(test_an_error_in_a_200_ends_a_step_that_runs_once),
        cmocka_unit_test(test_success_has_to_last_over_a_restart),
        cmocka_unit_test(test_cancel_while_success_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
