/* Records: what is written is read back as it was, whatever an older version left out; rubbish is a fault; secrets are
 * kept no longer than they are needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

static const char definition[] =
    "name = \"job\"; parameters = ( { name = \"pin\"; type = \"secret\"; }, { name = \"target\"; } );"
    "request = { url = \"http://up.test/?pin={{ parameters.pin }}\"; };"
    "status = { url = \"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; every = \"5s\"; };"
    "outputs = { seen = \"$.seen\"; };";

static void begin(struct rig *rig, struct arena *arena) {
    rig_begin(rig, definition, 1);
    struct json *parameters = json_new_object(arena);
    json_set(parameters, "pin", json_new_string(arena, "hunter22"));
    json_set(parameters, "target", json_new_string(arena, "caf\u00e9 \U0001F600 \"quoted\"\n"));
    rig_start_with(rig, parameters);
}

static char *written(const struct run *run) {
    struct buf text;
    buf_init(&text, 1 << 20);
    run_record_write(run, &text);
    return buf_take(&text);
}

/* record -> run -> record is the same text, and so is the report. */
static void assert_same_way_back(struct rig *rig, bool with_stage) {
    struct fault fault;
    struct store_record record = rig_record(rig, &rig->durable);
    struct run *run = run_load(&record, with_stage ? rig->stage : NULL, &fault);
    assert_non_null(run);
    char *again = written(run);
    assert_string_equal(rig->durable.body, again);
    mem_free(again);
    run_free(run);
}

static void test_there_and_back(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct rig rig;
    begin(&rig, arena);
    rig_stored(&rig);
    assert_same_way_back(&rig, true);
    rig_answer(&rig, 201, "{\"id\": 5, \"text\": \"\\u20ac\"}");
    rig_stored(&rig);
    assert_same_way_back(&rig, true);
    assert_same_way_back(&rig, false);
    rig_answer(&rig, 200, "{\"state\": \"busy\", \"percent\": 1}");
    rig_cancel(&rig);
    rig_written(&rig);
    assert_same_way_back(&rig, true);
    rig_stored(&rig);
    assert_true(rig.over);
    assert_same_way_back(&rig, true);
    assert_same_way_back(&rig, false);
    rig_end(&rig);
    arena_free(arena);
}

static void test_the_report_is_the_same(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct rig rig;
    begin(&rig, arena);
    rig_stored(&rig);
    rig_answer(&rig, 201, "");
    rig_stored(&rig);
    rig_answer(&rig, 200, "{\"state\": \"ok\", \"seen\": [1, {\"a\": null}]}");
    rig_stored(&rig);
    struct fault fault;
    struct store_record record = rig_record(&rig, &rig.durable);
    struct run *run = run_load(&record, NULL, &fault);
    struct buf before, after;
    buf_init(&before, 1 << 20);
    buf_init(&after, 1 << 20);
    run_report_write(rig.run, NULL, 0, "http://gw", &before);
    run_report_write(run, NULL, 0, "http://gw", &after);
    assert_string_equal(buf_cstr(&before), buf_cstr(&after));
    buf_fini(&before);
    buf_fini(&after);
    run_free(run);
    rig_end(&rig);
    arena_free(arena);
}

/* As stagedoor 0.1.0 wrote it when jansson read it: in this order, and in any other, with spaces and escapes. */
static void test_records_that_were_written_before(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{\"version\":1,\"fingerprint\":\"e7e3\",\"traceparent\":\"00-f3ca-eb7a-01\",\"caller\":{\"user\":\"jane\","
        "\"application\":"
        "null},\"parameters\":{\"pin\":\"hunter22\",\"target\":\"caf\u00e9\"},\"step\":1,\"sending\":0,\"awaiting\":0,"
        "\"cancel_"
        "wanted\":0,\"cancel_since\":0,\"cancel_told\":0,\"cancel_fell_back\":0,\"orphaned\":0,\"timed_out\":0,"
        "\"attempt\":2,"
        "\"failing_since\":5,\"probe_attempt\":0,\"step_began\":1795451385233,\"due\":7,\"progress\":\"status: "
        "\\\"x\\\"\","
        "\"upstream_code\":200,\"percent\":-1,\"outputs\":{},\"artifacts\":[],\"warnings\":[\"w\"],\"journal_left_"
        "out\":3,"
        "\"journal\":[{\"count\":1,\"step\":\"request\",\"call\":\"step\",\"first\":1,\"last\":2,\"ms\":44,\"phase\":"
        "\"answered\","
        "\"code\":200,\"verdict\":\"succeeded\",\"rule\":\"the code is in "
        "expect\"}],\"steps\":[{\"name\":\"request\",\"status\":"
        "\"SUCCEEDED\",\"calls\":1,\"code\":200,\"url\":\"http://up.test/"
        "1\",\"value\":{\"body\":{\"id\":4711},\"code\":200}},{"
        "\"name\":\"status\",\"status\":\"NOT_STARTED\",\"calls\":0,\"code\":0,\"url\":null}]}",
        " { \"steps\" : [ { \"value\":{\"body\":{\"id\":4711},\"code\":200}, \"url\":\"http:\\/\\/up.test\\/1\", "
        "\"code\":200, "
        "\"calls\":1, \"status\":\"SUCCEEDED\", \"name\":\"request\" } , {} ] , \"journal\": [ {\"rule\":\"the code is "
        "in expect\", "
        "\"count\":1, \"step\":\"request\", \"call\":\"step\", \"first\":1, \"last\":2, \"ms\":44, "
        "\"phase\":\"answered\", "
        "\"code\":200, \"verdict\":\"succeeded\"} ], \"journal_left_out\": 3, \"warnings\":[\"w\"], "
        "\"progress\":\"status: "
        "\\u0022x\\u0022\", \"due\":7, \"step_began\":1795451385233, \"failing_since\":5, \"attempt\":2, \"step\":1, "
        "\"upstream_code\":200, \"parameters\":{\"pin\":\"hunter22\",\"target\":\"caf\u00e9\"}, "
        "\"caller\":{\"user\":\"jane\",\"application\":null}, \"traceparent\":\"00-f3ca-eb7a-01\", "
        "\"fingerprint\":\"e7e3\"}\n"};
    struct rig rig;
    char *written_again[2];
    rig_begin(&rig, definition, 1);
    for (size_t i = 0; i < 2; i++) {
        struct fault fault;
        struct rig_image image = {.status = RUN_RUNNING, .created_ms = RIG_BEGAN, .updated_ms = RIG_BEGAN};
        struct store_record record = rig_record(&rig, &image);
        record.body = text_of(bodies[i]);
        struct run *run = run_load(&record, rig.stage, &fault);
        assert_non_null(run);
        assert_string_equal(run->progress, "status: \"x\"");
        assert_string_equal(run->fingerprint, "e7e3");
        assert_string_equal(run->secrets[0], "hunter22");
        assert_string_equal(run->steps[0].url, "http://up.test/1");
        assert_int_equal(run->steps[0].status, RUN_SUCCEEDED);
        assert_int_equal(run->step_began_ms, 1795451385233);
        assert_int_equal(run->attempt, 2);
        assert_int_equal(run->journal.count, 1);
        assert_int_equal(run->journal.left_out, 3);
        assert_true(text_is(frozen_text(run->steps[0].value), "{\"body\":{\"id\":4711},\"code\":200}"));
        assert_true(text_is(frozen_text(run->warnings), "[\"w\"]"));
        assert_null(run->outputs);
        written_again[i] = written(run);
        run_free(run);
    }
    assert_string_equal(written_again[0], written_again[1]);
    for (size_t i = 0; i < 2; i++) mem_free(written_again[i]);
    rig_end(&rig);
}

static void test_members_that_are_not_there(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "{}", "{\"steps\": null, \"outputs\": 5, \"artifacts\": {}, \"warnings\": \"x\", \"step\": \"x\"}",
        "{\"step\": -1}", "{\"step\": 99999999999, \"steps\": [1, {}, []]}",
        "{\"version\": 2, \"later\": {\"much\": true}}"};
    struct rig rig;
    rig_begin(&rig, definition, 1);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (int with_stage = 0; with_stage <= 1; with_stage++) {
            struct fault fault;
            struct rig_image image = {.status = RUN_RUNNING, .created_ms = RIG_BEGAN, .updated_ms = RIG_BEGAN};
            struct store_record record = rig_record(&rig, &image);
            record.body = text_of(bodies[i]);
            struct run *run = run_load(&record, with_stage ? rig.stage : NULL, &fault);
            assert_non_null(run);
            assert_int_equal(run->percent, -1);
            assert_string_equal(run->progress, "");
            if (with_stage) assert_true(run->step < run->step_count);
            struct buf report;
            struct json_limits limits = {1 << 20, 64, 10000};
            struct arena *arena = arena_new();
            buf_init(&report, 1 << 20);
            run_report_write(run, NULL, 0, "", &report);
            const struct json *value = json_parse(arena, buf_text(&report), &limits, &fault);
            assert_int_equal(json_kind(json_gets(value, "outputs")), JSON_OBJECT);
            assert_int_equal(json_kind(json_gets(value, "artifacts")), JSON_ARRAY);
            if (with_stage) { /* and it goes on to some end */
                struct run_world world = {.now_ms = RIG_BEGAN};
                struct run_orders orders;
                run_resume(run, &world, &orders);
                assert_true(orders.wait_until || orders.store || orders.call);
            }
            buf_fini(&report);
            arena_free(arena);
            run_free(run);
        }
    rig_end(&rig);
}

static void test_rubbish(void **state) {
    (void)state;
    static const char *const bodies[] = {"",     "{",           "[]", "null", "\"x\"", "{\"step\": 1, \"step\": 2}",
                                         "\x80", "{\"step\": 1"};
    struct rig rig;
    rig_begin(&rig, definition, 1);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct fault fault = {0};
        struct rig_image image = {.status = RUN_RUNNING};
        struct store_record record = rig_record(&rig, &image);
        record.body = text_of(bodies[i]);
        assert_null(run_load(&record, rig.stage, &fault));
        assert_true(fault.kind != FAULT_NONE && fault.what[0]);
        assert_null(run_load(&record, NULL, NULL));
    }
    rig_end(&rig);
}

static void test_secrets(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct rig rig;
    begin(&rig, arena);
    rig_stored(&rig);
    assert_non_null(strstr(rig.durable.body, "\"pin\":\"hunter22\"")); /* in flight: calls need it */
    struct reply reply = {.phase = REPLY_ANSWERED, .code = 201, .url = "http://up.test/?pin=hunter22"};
    rig_reply(&rig, &reply);
    rig_stored(&rig);
    assert_null(strstr(rig.durable.body, "?pin=hunter22"));
    rig_answer(&rig, 200, "{\"state\": \"ok\", \"seen\": \"so hunter22 it is\"}");
    rig_stored(&rig);
    assert_null(strstr(rig.durable.body, "hunter22"));
    assert_non_null(strstr(rig.durable.body, "\"pin\":\"***\""));
    assert_non_null(strstr(rig.durable.body, "\"seen\":\"so *** it is\""));
    assert_non_null(strstr(rig.durable.body, "caf\u00e9"));
    rig_end(&rig);
    arena_free(arena);
}

/* Without the definition nobody knows which parameter is a secret. */
static void test_secrets_of_a_run_that_is_given_up(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct rig rig;
    begin(&rig, arena);
    rig_stored(&rig);
    rig_crash(&rig, false);
    struct fault fault;
    struct store_record record = rig_record(&rig, &rig.durable);
    rig.run = run_load(&record, NULL, &fault);
    struct run_world world = rig_world(&rig);
    struct run_orders orders;
    run_give_up(rig.run, &world, REASON_BROKEN_DEFINITION, "it is gone", &orders);
    rig_carry_out(&rig, &orders);
    rig_stored(&rig);
    assert_int_equal(rig.run->state, RUN_ENDED);
    assert_null(strstr(rig.durable.body, "hunter22"));
    rig_end(&rig);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_the_report_is_the_same),
        cmocka_unit_test(test_records_that_were_written_before),
        cmocka_unit_test(test_members_that_are_not_there),
        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_secrets_of_a_run_that_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
