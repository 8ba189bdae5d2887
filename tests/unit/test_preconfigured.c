/* Entries for orca: their fields, what Spring and SpEL are kept from, and orca's own list of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "orca/preconfigured.h"
#include "run_rig.h"

#define KEY "${execution['id']}:${#currentStage().id}:${#currentStage().startTime}"

static const struct preconfigured_form form = {.base_url = "http://gw.test/x", .type_prefix = "gw-"};

static const struct json *entry_of(struct arena *arena, const char *definition, const struct preconfigured_form *how) {
    struct stage *stage = rig_stage(
        arena_printf(arena, "name = \"job\"; request = { url = \"http://up.test/\"; }; %s", definition));
    const struct json *entry = preconfigured_entry(arena, stage, how);
    stage_unref(stage);
    return entry;
}

static void assert_json(const struct json *value, const char *expected) {
    struct buf out;
    buf_init(&out, 1 << 20);
    json_write(&out, value);
    assert_string_equal(buf_cstr(&out), expected);
    buf_fini(&out);
}

static void test_fields(void **state) {
    static const char *const expected[][2] = {
        {"type", "\"gw-job\""},
        {"label", "\"job\""},
        {"description", "null"},
        {"enabled", "true"},
        {"parameters", "null"},
        {"url", "\"http://gw.test/x/stages/job\""},
        {"method", "\"POST\""},
        {"customHeaders", "{\"Content-Type\":[\"application/json\"],\"Accept\":[\"application/json\"],"
                          "\"Idempotency-Key\":[\"" KEY "\"]}"},
        {"sensitiveHeaders", "null"},
        {"failFastStatusCodes", "[501]"},
        {"waitForCompletion", "true"},
        {"statusUrlResolution", "\"webhookResponse\""},
        {"successStatuses", "\"SUCCEEDED\""},
        {"cancelEndpoint", "\"http://gw.test/x/stages/job/cancel\""},
        {"cancelPayload", "\"{\\\"key\\\": \\\"" KEY "\\\"}\""},
        {"waitBeforeMonitor", "0"},
        {"retryStatusCodes", "[408,425,429]"},
        {"permissions", "null"},
    };
    (void)state;
    struct arena *arena = arena_new();
    const struct json *entry = entry_of(arena, "", &form);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_json(json_gets(entry, expected[i][0]), expected[i][1]);
    arena_free(arena);
}

static void test_authorization(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct preconfigured_form with = form;
    with.authorization = "Bearer ${T}";
    const struct json *entry = entry_of(arena, "", &with);
    assert_json(json_gets(entry, "sensitiveHeaders"), "{\"Authorization\":[\"Bearer ${T}\"]}");
    assert_null(json_gets(json_gets(entry, "customHeaders"), "Authorization"));
    with.before_2026_1 = true;
    entry = entry_of(arena, "", &with);
    assert_null(json_gets(entry, "sensitiveHeaders"));
    assert_json(json_gets(json_gets(entry, "customHeaders"), "Authorization"), "[\"Bearer ${T}\"]");
    arena_free(arena);
}

/* No ':' between the braces of any expression, wherever it stands. */
static void check_text(struct text t) {
    for (size_t i = 0; i + 1 < t.len; i++) {
        if (t.at[i] != '$' || t.at[i + 1] != '{') continue;
        while (i < t.len && t.at[i] != '}') assert_int_not_equal(t.at[i++], ':');
        assert_true(i < t.len);
    }
}

static void check_all(const struct json *value) {
    if (json_kind(value) == JSON_STRING) check_text(json_text(value));
    for (size_t i = 0; json_kind(value) == JSON_ARRAY && i < json_size(value); i++) check_all(json_at(value, i));
    if (json_kind(value) != JSON_OBJECT) return;
    for (struct json_member m = json_first(value); m.name.at; m = json_next(value, m)) check_all(m.value);
}

#define EVIL "${a:b} $${c} ${"
#define TAME "$ {a:b} $$ {c} $ {"

static void test_text_of_a_definition_is_no_expression(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    const struct json *entry = entry_of(arena,
                                        "label = \"" EVIL "\"; description = \"" EVIL
                                        "\"; permissions = { read = \"" EVIL "\"; }; parameters = ( { name = "
                                        "\"p\"; label = \"" EVIL "\"; description = \"" EVIL "\"; default = \"" EVIL
                                        "\"; } );",
                                        &form);
    check_all(entry);
    check_all(preconfigured_generic(arena, &form));
    assert_string_equal(json_gets_text(entry, "label"), TAME);
    assert_string_equal(json_gets_text(entry, "description"), TAME);
    assert_json(json_gets(entry, "permissions"), "{\"READ\":[\"" TAME "\"]}");
    assert_json(json_gets(entry, "parameters"), "[{\"name\":\"p\",\"label\":\"" TAME "\",\"description\":\"" TAME
                                                "\",\"type\":\"string\",\"order\":0}]");
    arena_free(arena);
}

static void test_defaults_that_cannot_be_told(void **state) {
    static const struct {
        const char *parameter;
        bool lost;
    } rows[] = {
        {"{ name = \"p\"; }", false},
        {"{ name = \"p\"; default = \"\"; }", false},
        {"{ name = \"p\"; default = \"$ {x} $x\"; }", false},
        {"{ name = \"p\"; default = \"a ${x}\"; }", true},
        {"{ name = \"p\"; type = \"json\"; default = { a = \"${x}\"; }; }", true},
        {"{ name = \"p\"; type = \"integer\"; default = 7; }", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct stage *stage = rig_stage(
            arena_printf(arena, "name = \"job\"; request = { url = \"http://up.test/\"; }; parameters = ( %s );",
                         rows[i].parameter));
        assert_int_equal(preconfigured_default_lost(arena, &stage->params[0]), rows[i].lost);
        stage_unref(stage);
        arena_free(arena);
    }
}

static void test_listing(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    const struct json *entry = entry_of(
        arena,
        "description = \"D\"; parameters = ( { name = \"n\"; type = \"integer\"; default = 7; required = true; } );",
        &form);
    assert_json(
        preconfigured_listing(arena, entry),
        "{\"label\":\"job\",\"description\":\"D\",\"type\":\"gw-job\",\"waitForCompletion\":true,"
        "\"preconfiguredProperties\":[\"url\",\"customHeaders\",\"method\",\"payload\",\"failFastStatusCodes\","
        "\"waitForCompletion\",\"statusUrlResolution\",\"statusUrlJsonPath\",\"statusJsonPath\",\"progressJsonPath\","
        "\"successStatuses\",\"canceledStatuses\",\"terminalStatuses\",\"signalCancellation\",\"cancelEndpoint\","
        "\"cancelMethod\",\"cancelPayload\",\"waitBeforeMonitor\",\"retryStatusCodes\"],"
        "\"noUserConfigurableFields\":true,\"parameters\":[{\"name\":\"n\",\"label\":\"n\",\"defaultValue\":\"7\","
        "\"description\":\"required, a whole number\",\"type\":\"string\",\"order\":0}],\"parameterData\":null}");
    struct json *less = json_new_object(arena);
    for (struct json_member m = json_first(entry); m.name.at; m = json_next(entry, m))
        if (!text_is(m.name, "retryStatusCodes")) json_set_text(less, m.name, m.value);
    assert_false(json_truth(json_gets(preconfigured_listing(arena, less), "noUserConfigurableFields")));
    arena_free(arena);
}

static void test_types_of_orca(void **state) {
    (void)state;
    assert_true(preconfigured_type_taken("wait"));
    assert_true(preconfigured_type_taken("manualJudgment"));
    assert_false(preconfigured_type_taken("Wait"));
    assert_false(preconfigured_type_taken("gw-wait"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_text_of_a_definition_is_no_expression),
        cmocka_unit_test(test_defaults_that_cannot_be_told),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_types_of_orca),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
