/* run/mask: what holds a secret is masked wherever it stands; what holds none is given back as it is, not copied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "back/secrets.h"
#include "run/mask.h"
#include "run/run.h"

static const struct {
    const char *value, *masked; /* masked NULL: the same value */
} cases[] = {
    {"null", NULL},
    {"true", NULL},
    {"\"plain\"", NULL},
    {"4711", NULL},
    {"123456789", "\"1***\""},
    {"\"hunter22\"", "\"***\""},
    {"\"a hunter22 b\"", "\"a *** b\""},
    {"\"sdcb-\"", NULL},
    {"\"sdcb-ab\"", NULL}, /* too short for a token */
    {"\"see sdcb-01KAW-0-ff here\"", "\"see sdcb-*** here\""},
    {"[]", NULL},
    {"[1,[2,\"x\"],{}]", NULL},
    {"[1,\"hunter22\",2]", "[1,\"***\",2]"},
    {"[1,2,[\"hunter22\"]]", "[1,2,[\"***\"]]"},
    {"{\"a\":1,\"b\":{\"c\":[]}}", NULL},
    {"{\"a\":1,\"b\":\"hunter22\",\"c\":[2]}", "{\"a\":1,\"b\":\"***\",\"c\":[2]}"},
    {"{\"a\":1,\"hunter22\":2,\"c\":3}", "{\"a\":1,\"***\":2,\"c\":3}"},
    {"{\"a\":{\"b\":[0,{\"hunter22\":\"hunter22\"}]},\"c\":3}", "{\"a\":{\"b\":[0,{\"***\":\"***\"}]},\"c\":3}"},
};

static void test_values(void **state) {
    (void)state;
    static const struct json_limits limits = {.max_bytes = 4096, .max_depth = 32, .max_items = 100};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena = arena_new();
        struct fault fault;
        struct buf text;
        const struct json *value = json_parse(arena, text_of(cases[i].value), &limits, &fault);
        assert_non_null(value);
        const struct json *masked = mask_value(NULL, arena, value);
        buf_init(&text, 4096);
        json_write(&text, masked);
        assert_string_equal(buf_cstr(&text), cases[i].masked ? cases[i].masked : cases[i].value);
        assert_int_equal(masked == value, !cases[i].masked);
        buf_clear(&text);
        json_write(&text, value); /* which others hold as well */
        assert_string_equal(buf_cstr(&text), cases[i].value);
        buf_fini(&text);
        arena_free(arena);
    }
}

/* Of a run that has secrets of its own: no part of any secret is left, wherever they overlap. */
static void test_secrets_that_overlap(void **state) {
    (void)state;
    static const char *secrets[] = {"abcdef", "defghi", "hunt", "see hunter22!", "abc"};
    static const struct {
        const char *text, *masked; /* masked NULL: nothing to mask */
    } rows[] = {
        {"plain abc", NULL},
        {"-abcdef-", "-***-"},
        {"-abcdefghi-", "-***-"},
        {"-defghiabcdef-", "-***-"},
        {"hunter22", "***"},
        {"I see hunter22! there", "I *** there"},
        {"I see hunter22 there", "I see *** there"},
        {"hunt and hunter22", "*** and ***"},
        {"hunt, see sdcb-01KAW-0-ff here", "***, see sdcb-*** here"},
    };
    struct stage stage = {.param_count = sizeof secrets / sizeof *secrets};
    const struct run run = {.stage = &stage, .secrets = secrets};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf masked;
        assert_int_equal(mask_text(&run, text_of(rows[i].text), &masked), rows[i].masked != NULL);
        assert_string_equal(buf_cstr(&masked), rows[i].masked ? rows[i].masked : "");
        buf_fini(&masked);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_secrets_that_overlap)};
    struct fault fault;
    setenv("STAGEDOOR_SECRET_PIN", "hunter22", 1);
    setenv("STAGEDOOR_SECRET_NUMBER", "23456789", 1);
    if (!secrets_load(NULL, &fault)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    secrets_unload();
    return failed;
}
