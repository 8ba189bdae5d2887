/* What a run makes: artifacts in Spinnaker's form, from each step that succeeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "run_rig.h"

#define HEAD \
    "name = \"s\"; parameters = ( { name = \"pin\"; type = \"secret\"; } ); request = { url = \"http://up.test/\";"
#define ONE                                                                                                           \
    "{ type = \"docker/image\"; name = \"$.image\"; version = \"$.tag\"; reference = \"{{ body.image }}:{{ body.tag " \
    "}}\"; }"
#define LOG                                                                                   \
    "SPINNAKER_CONFIG_JSON={\"artifacts\":[{\"type\":\"http/file\",\"reference\":\"http://a/" \
    "b\",\"customKind\":true}]}\n"

static const struct {
    const char *definition, *body, *artifacts;
} rows[] = {
    {HEAD "}; artifacts = (" ONE ");", "{\"image\": \"a/b\", \"tag\": 7}",
     "[{\"type\":\"docker/image\",\"name\":\"a/b\",\"version\":\"7\",\"reference\":\"a/b:7\"}]"},
    {HEAD "}; artifacts = (" ONE ");", "{\"image\": \"a/b\", \"tag\": null}",
     "[{\"type\":\"docker/image\",\"name\":\"a/b\"}]"},
    {HEAD "}; artifacts = (" ONE ");", "{\"tag\": \"x\"}", "[]"},
    {HEAD "}; artifacts = (" ONE ");", "no JSON", "[]"},
    {HEAD "}; artifacts = ( { type = \"$.t\"; name = \"n\"; account = \"acc\"; location = \"$.o\"; } );",
     "{\"t\": \"a\", \"o\": {\"p\": 1}}", "[{\"type\":\"a\",\"name\":\"n\",\"artifactAccount\":\"acc\"}]"},
    {HEAD "}; artifacts = ( { type = \"$.t\"; name = \"n\"; } );", "{}", "[]"},
    {HEAD "}; artifacts = ( );", "{}", "[]"},
    {HEAD "}; artifacts = \"$.made\";",
     "{\"made\": [{\"type\": \"x\", \"metadata\": {\"a\": 1}}, 5, {\"name\": \"y\"}]}",
     "[{\"type\":\"x\",\"metadata\":{\"a\":1}}]"},
    {HEAD "}; artifacts = \"$.made[*]\";", "{\"made\": [{\"type\": \"x\"}, {\"type\": \"y\"}]}",
     "[{\"type\":\"x\"},{\"type\":\"y\"}]"},
    {HEAD "}; artifacts = \"$.made\";", "{\"made\": {\"type\": \"x\"}}", "[{\"type\":\"x\"}]"},
    {HEAD "}; artifacts = \"$.made\";", "{\"made\": \"x\"}", "[]"},
    {HEAD "}; artifacts = \"{{ body.made | default([]) }}\";", "{}", "[]"},
    {HEAD " outputs = { o = \"$.o\"; }; artifacts = ( { type = \"t\"; name = \"{{ request.outputs.o }}\"; } ); };",
     "{\"o\": 5}", "[{\"type\":\"t\",\"name\":\"5\"}]"},
    {HEAD "}; artifacts = ( { type = \"t\"; name = \"$.echo\"; } );", "{\"echo\": \"hunter22\"}",
     "[{\"type\":\"t\",\"name\":\"***\"}]"},
    {"name = \"s\"; steps = ( { name = \"log\"; method = \"POST\"; url = \"http://up.test/\"; capture = "
     "\"properties\"; "
     "artifacts = \"{{ log.outputs.artifacts }}\"; } );",
     LOG, "[{\"type\":\"http/file\",\"reference\":\"http://a/b\",\"customKind\":true}]"},
    {"name = \"s\"; steps = ( { name = \"log\"; method = \"POST\"; url = \"http://up.test/\"; capture = "
     "\"properties\"; } );"
     "artifacts = \"{{ log.outputs.artifacts }}\";",
     LOG, "[{\"type\":\"http/file\",\"reference\":\"http://a/b\",\"customKind\":true}]"},
};

static void assert_artifacts(const struct frozen *artifacts, const char *wanted, size_t row) {
    struct text has = artifacts ? frozen_text(artifacts) : TEXT("[]");
    if (!text_is(has, wanted)) fail_msg("row %zu: %.*s", row, TEXT_ARG(has));
}

static void test_one_reply(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct rig rig;
        rig_begin(&rig, rows[i].definition, 1);
        struct json *parameters = json_new_object(arena);
        json_set(parameters, "pin", json_new_string(arena, "hunter22"));
        rig_start_with(&rig, parameters);
        rig_stored(&rig);
        rig_answer(&rig, 200, rows[i].body);
        rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
        assert_artifacts(rig.run->artifacts, rows[i].artifacts, i);
        rig_end(&rig);
        arena_free(arena);
    }
}

static const char two[] = HEAD
    " artifacts = ( { type = \"a\"; name = \"$.n\"; } ); };"
    "status = { url = \"http://up.test/1\"; value = \"$.state\"; success = [ \"ok\" ]; failure = [ \"bad\" ];"
    "  artifacts = ( { type = \"b\"; name = \"$.n\"; } ); };"
    "artifacts = ( { type = \"c\"; name = \"{{ request.body.n }}-{{ body.n }}\"; } );";

/* Those of the steps in their order, also over a restart; and of a step that fails none. */
static void test_steps(void **state) {
    (void)state;
    for (int good = 0; good < 2; good++) {
        struct rig rig;
        rig_accept(&rig, two);
        rig_answer(&rig, 200, "{\"n\": 1}");
        rig_stored(&rig);
        rig_restart(&rig);
        rig_due(&rig);
        rig_answer(&rig, 200, good ? "{\"state\": \"ok\", \"n\": 2}" : "{\"state\": \"bad\", \"n\": 2}");
        rig_assert_ends(&rig, good ? RUN_SUCCEEDED : RUN_TERMINAL, good ? REASON_NONE : REASON_UPSTREAM_FAILED);
        assert_artifacts(rig.run->artifacts,
                         good ? "[{\"type\":\"a\",\"name\":\"1\"},{\"type\":\"b\",\"name\":\"2\"},"
                                "{\"type\":\"c\",\"name\":\"1-2\"}]"
                              : "[{\"type\":\"a\",\"name\":\"1\"}]",
                         (size_t)good);
        rig_end(&rig);
    }
}

/* They are no reason to fail a run that has done its work. */
static void test_too_many(void **state) {
    (void)state;
    struct rig rig;
    struct buf body;
    buf_init(&body, 4 << 20);
    buf_adds(&body, "{\"made\": [{\"type\": \"x\", \"name\": \"");
    for (int i = 0; i < 2 << 20; i++) buf_addc(&body, 'n');
    buf_adds(&body, "\"}]}");
    rig_accept(&rig, HEAD " max_reply = \"8MiB\"; }; artifacts = \"$.made\";");
    rig_answer(&rig, 200, buf_cstr(&body));
    rig_assert_ends(&rig, RUN_SUCCEEDED, REASON_NONE);
    assert_null(rig.run->artifacts);
    assert_non_null(strstr(frozen_text(rig.run->warnings).at, "its artifacts are left out"));
    rig_end(&rig);
    buf_fini(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_reply),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
