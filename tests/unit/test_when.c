/* Steps that are left out: by what the steps before them said, in a row, at the end, and over restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

static const char four_steps[] =
    "name = \"job\"; steps = ("
    " { name = \"a\"; method = \"POST\"; url = \"http://up.test/a\"; outputs = { x = \"$.x\"; }; },"
    " { name = \"b\"; url = \"http://up.test/b\"; when = \"a.body.b\"; },"
    " { name = \"c\"; method = \"POST\"; url = \"http://up.test/c\"; when = \"a.outputs.x == 1 and parameters.go\"; },"
    " { name = \"d\"; url = \"http://up.test/{{ b.body.id if b is defined else 'none' }}\"; when = \"a.body.d\"; } );"
    "parameters = ( { name = \"go\"; type = \"boolean\"; default = true; } );"
    "outputs = { id = \"$.id\"; first = \"{{ a.body.x }}\"; };";

static void begin(struct rig *rig, const char *definition) {
    rig_begin(rig, definition, 1);
    struct arena *arena = arena_new();
    struct json *parameters = json_new_object(arena);
    json_set(parameters, "go", json_new_bool(arena, true));
    rig_start_with(rig, parameters);
    arena_free(arena);
    rig_stored(rig);
}

/* Steps by letter: upper case is made, lower case is left out. */
static void check_steps(const struct rig *rig, const char *wanted) {
    for (size_t i = 0; wanted[i]; i++) {
        bool made = wanted[i] < 'a';
        assert_int_equal(rig->run->steps[i].status, made ? RUN_SUCCEEDED : RUN_SKIPPED);
        assert_int_equal(rig->sends[i], made);
    }
}

static void test_left_out(void **state) {
    (void)state;
    static const struct {
        const char *body, *steps;
    } rows[] = {
        {"{\"b\": true, \"x\": 1, \"d\": [0], \"id\": 7}", "ABCD"},
        {"{\"b\": false, \"x\": 1, \"d\": \"yes\", \"id\": 7}", "AbCD"},
        {"{\"b\": 0, \"x\": 2, \"d\": {\"k\": 1}, \"id\": 7}", "AbcD"},
        {"{\"b\": \"\", \"x\": null, \"d\": null, \"id\": 7}", "Abcd"},
        {"{\"b\": 1, \"x\": 1, \"d\": 0, \"id\": 7}", "ABCd"},
        {"{\"b\": {}, \"x\": 1, \"d\": [], \"id\": 7}", "AbCd"},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct rig rig;
        begin(&rig, four_steps);
        while (rig.run->state == RUN_CALLING) {
            rig_answer(&rig, 200, rows[i / 2].body);
            if (i % 2 && rig.run->state == RUN_RECORDING) { /* what was decided is on disk, the call is not made */
                bool harmless = rig.run->stage->steps[rig.run->step].call.idempotent;
                rig_written(&rig);
                if (harmless) {
                    rig_restart(&rig);
                    rig_due(&rig);
                    rig.sends[rig.run->step] = 1; /* an idempotent call may be made anew */
                }
            }
            rig_stored(&rig);
        }
        assert_int_equal(rig.run->state, RUN_ENDED);
        assert_int_equal(rig.run->status, RUN_SUCCEEDED);
        check_steps(&rig, rows[i / 2].steps);
        assert_int_equal(json_int(json_gets(rig_value(&rig, rig.run->outputs), "id")),
                         7); /* of the last step that was made */
        rig_end(&rig);
    }
}

/* A mistake in `when` sends nothing more, and says where it is. */
static void test_when_that_cannot_be_told(void **state) {
    (void)state;
    struct rig rig;
    begin(&rig, four_steps);
    rig_answer(&rig, 200, "{\"x\": 1}");
    rig_stored(&rig);
    assert_int_equal(rig.run->status, RUN_TERMINAL);
    assert_int_equal(rig.run->reason, REASON_INVALID_REQUEST);
    assert_non_null(strstr(rig.run->error, "a: when of a step behind it cannot be told: "));
    assert_int_equal(rig.sends[1], 0);
    rig_end(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_left_out),
                                       cmocka_unit_test(test_when_that_cannot_be_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
