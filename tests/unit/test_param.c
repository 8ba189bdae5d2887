/* Parameters: every type against every kind of value that a caller may send, constraints, and the sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stage/param.h"

static const struct json *parse(struct arena *arena, const char *text) {
    struct json_limits limits = {1 << 20, 64, 100000};
    struct fault fault;
    const struct json *value = json_parse(arena, text_of(text), &limits, &fault);
    if (!value) print_message("bad test: %s: %s\n", text, fault.what);
    return value;
}

static const char *written(struct arena *arena, const struct json *value) {
    struct buf out;
    buf_init(&out, 1 << 20);
    json_write(&out, value);
    const char *s = arena_strdup(arena, buf_cstr(&out));
    buf_fini(&out);
    return s;
}

struct value_row {
    enum param_type type;
    const char *given;
    const char *want; /* the value as JSON; "absent"; or the sentence behind "!" */
};

static const struct value_row values[] = {
    {PARAM_STRING, "\"x\"", "\"x\""},
    {PARAM_STRING, "\"\"", "\"\""},
    {PARAM_STRING, "\" x \"", "\" x \""},
    {PARAM_STRING, "\"50\"", "\"50\""},
    {PARAM_STRING, "\"\\u00e9\"", "\"é\""},
    {PARAM_STRING, "null", "absent"},
    {PARAM_STRING, "1.10", "!must be a string, and is a number; put it into quotes"},
    {PARAM_STRING, "true", "!must be a string, and is a boolean"},
    {PARAM_STRING, "[]", "!must be a string, and is an array"},
    {PARAM_STRING, "{}", "!must be a string, and is an object"},
    {PARAM_INTEGER, "50", "50"},
    {PARAM_INTEGER, "-3", "-3"},
    {PARAM_INTEGER, "50.0", "50"},
    {PARAM_INTEGER, "5e1", "50"},
    {PARAM_INTEGER, "\"50\"", "50"},
    {PARAM_INTEGER, "\" 50\\n\"", "50"},
    {PARAM_INTEGER, "\"-0\"", "0"},
    {PARAM_INTEGER, "\"007\"", "7"},
    {PARAM_INTEGER, "9223372036854775807", "9223372036854775807"},
    {PARAM_INTEGER, "\"9223372036854775807\"", "9223372036854775807"},
    {PARAM_INTEGER, "\"9223372036854775808\"", "!\"9223372036854775808\" is not a whole number"},
    {PARAM_INTEGER, "-9223372036854775807", "-9223372036854775807"},
    {PARAM_INTEGER, "-9223372036854775808", "!-9.22337203685478e+18 is not a whole number"},
    {PARAM_INTEGER, "-9223372036854775809", "!-9.22337203685478e+18 is not a whole number"},
    {PARAM_INTEGER, "1e18", "1000000000000000000"},
    {PARAM_INTEGER, "9007199254740993", "9007199254740993"},
    {PARAM_INTEGER, "1e300", "!1e+300 is not a whole number"},
    {PARAM_INTEGER, "\"\"", "absent"},
    {PARAM_INTEGER, "\"  \"", "absent"},
    {PARAM_INTEGER, "null", "absent"},
    {PARAM_INTEGER, "50.5", "!50.5 is not a whole number"},
    {PARAM_INTEGER, "\"50.5\"", "!\"50.5\" is not a whole number"},
    {PARAM_INTEGER, "\"1e2\"", "!\"1e2\" is not a whole number"},
    {PARAM_INTEGER, "\"0x10\"", "!\"0x10\" is not a whole number"},
    {PARAM_INTEGER, "\"+5\"", "!\"+5\" is not a whole number"},
    {PARAM_INTEGER, "\"fifty\"", "!\"fifty\" is not a whole number"},
    {PARAM_INTEGER, "\"5 0\"", "!\"5 0\" is not a whole number"},
    {PARAM_INTEGER, "true", "!must be a whole number, and is a boolean"},
    {PARAM_INTEGER, "[5]", "!must be a whole number, and is an array"},
    {PARAM_NUMBER, "1.5", "1.5"},
    {PARAM_NUMBER, "2", "2"},
    {PARAM_NUMBER, "\"1.5\"", "1.5"},
    /* 5, 5.0 and "5.0" are one value: the same key gives the same run */
    {PARAM_NUMBER, "5.0", "5"},
    {PARAM_NUMBER, "\"5.0\"", "5"},
    {PARAM_NUMBER, "1e300", "1e+300"},
    {PARAM_NUMBER, "-2e3", "-2000"},
    {PARAM_NUMBER, "\"-0.25\"", "-0.25"},
    {PARAM_NUMBER, "\"123456789012345\"", "123456789012345"},
    {PARAM_NUMBER, "\"-2e3\"", "!\"-2e3\" is not a number: as text it is written like -12.5"},
    {PARAM_NUMBER, "\"1234567890.123456\"", "!\"1234567890.123456\" is not a number: as text it may have 15 digits"},
    {PARAM_NUMBER, "\"007\"", "!\"007\" is not a number: as text it is written like -12.5"},
    {PARAM_NUMBER, "\" 7 \"", "7"},
    {PARAM_NUMBER, "\"\"", "absent"},
    {PARAM_NUMBER, "\"1,5\"", "!\"1,5\" is not a number"},
    {PARAM_NUMBER, "\".5\"", "!\".5\" is not a number: as text it is written like -12.5"},
    {PARAM_NUMBER, "\"NaN\"", "!\"NaN\" is not a number"},
    {PARAM_NUMBER, "\"Infinity\"", "!\"Infinity\" is not a number"},
    {PARAM_NUMBER, "\"1e999\"", "!\"1e999\" is not a number: as text it is written like -12.5"},
    {PARAM_NUMBER, "\"true\"", "!\"true\" is not a number"},
    {PARAM_NUMBER, "false", "!must be a number, and is a boolean"},
    {PARAM_NUMBER, "{}", "!must be a number, and is an object"},
    {PARAM_BOOLEAN, "true", "true"},
    {PARAM_BOOLEAN, "false", "false"},
    {PARAM_BOOLEAN, "\"true\"", "true"},
    {PARAM_BOOLEAN, "\"FALSE\"", "false"},
    {PARAM_BOOLEAN, "\" True \"", "true"},
    {PARAM_BOOLEAN, "\"\"", "absent"},
    {PARAM_BOOLEAN, "\"yes\"", "!\"yes\" is neither true nor false"},
    {PARAM_BOOLEAN, "\"1\"", "!\"1\" is neither true nor false"},
    {PARAM_BOOLEAN, "1", "!must be true or false, and is a number"},
    {PARAM_CHOICE, "\"smoke\"", "\"smoke\""},
    {PARAM_CHOICE, "\" soak\"", "\"soak\""},
    {PARAM_CHOICE, "3", "\"3\""},
    {PARAM_CHOICE, "3.0", "\"3\""},
    {PARAM_CHOICE, "\"\"", "absent"},
    {PARAM_CHOICE, "\"Smoke\"", "!\"Smoke\" is not one of \"smoke\", \"soak\", \"3\"; did you mean \"smoke\"?"},
    {PARAM_CHOICE, "\"spike\"", "!\"spike\" is not one of \"smoke\", \"soak\", \"3\"; did you mean \"smoke\"?"},
    {PARAM_CHOICE, "\"whatever\"", "!\"whatever\" is not one of \"smoke\", \"soak\", \"3\""},
    {PARAM_CHOICE, "true", "!must be a string, and is a boolean"},
    {PARAM_URL, "\"https://a.example/x?y=1\"", "\"https://a.example/x?y=1\""},
    {PARAM_URL, "\" http://a.example \"", "\"http://a.example\""},
    {PARAM_URL, "\"\"", "absent"},
    {PARAM_URL, "5", "!must be a URL, and is a number"},
    {PARAM_URL, "\"ftp://a.example\"", "!*is not an absolute http or https URL: "},
    {PARAM_URL, "\"/path\"", "!*is not an absolute http or https URL: "},
    {PARAM_URL, "\"javascript:alert(1)\"", "!*is not an absolute http or https URL: "},
    {PARAM_URL, "\"https://user:pw@a.example/\"", "!*is not an absolute http or https URL: "},
    {PARAM_LIST, "[\"a\",1,true]", "[\"a\",1,true]"},
    {PARAM_LIST, "[]", "[]"},
    {PARAM_LIST, "\"a, b,,c \"", "[\"a\",\"b\",\"c\"]"},
    {PARAM_LIST, "\"a\"", "[\"a\"]"},
    {PARAM_LIST, "\" [1, \\\"x\\\"]\"", "[1,\"x\"]"},
    {PARAM_LIST, "\"\"", "absent"},
    {PARAM_LIST, "\"[1e100]\"",
     "!holds a number of more than 18 digits, or an exponent of more than 2; put it into quotes"},
    {PARAM_LIST, "\"[\\\"1e1000\\\", -1e-10]\"", "[\"1e1000\",-1e-10]"},
    {PARAM_LIST, "\"[1,\"", "!*is text that is not JSON: "},
    {PARAM_LIST, "[[1]]", "!holds an array at index 0, where only strings, numbers and booleans may be"},
    {PARAM_LIST, "[1,null]", "!holds null at index 1, where only strings, numbers and booleans may be"},
    {PARAM_LIST, "5", "!must be a list, and is a number"},
    {PARAM_LIST, "{}", "!must be a list, and is an object"},
    {PARAM_JSON, "{\"a\":[1]}", "{\"a\":[1]}"},
    {PARAM_JSON, "5", "5"},
    {PARAM_JSON, "false", "false"},
    {PARAM_JSON, "\"{\\\"a\\\": 1}\"", "{\"a\":1}"},
    {PARAM_JSON, "\"\\\"x\\\"\"", "\"x\""},
    {PARAM_JSON, "\"null\"", "null"},
    {PARAM_JSON, "\"\"", "absent"},
    {PARAM_JSON, "null", "absent"},
    {PARAM_JSON, "\"plain text\"", "\"plain text\""},
    {PARAM_JSON, "\" 12 \"", "12"},
    {PARAM_JSON, "\"{\\\"a\\\": \"", "!*is text that is not JSON: "},
    {PARAM_JSON, "\" [1,\"", "!*is text that is not JSON: "},
    {PARAM_SECRET, "\"hush\"", "\"hush\""},
    {PARAM_SECRET, "\" \"", "\" \""},
    {PARAM_SECRET, "\"\"", "absent"},
    {PARAM_SECRET, "12345", "!must be a string, and is a number"},
};

static void test_values(void **state) {
    (void)state;
    static const char *const choices[] = {"smoke", "soak", "3"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const struct value_row *row = &values[i];
        struct arena *arena = arena_new();
        struct param p = {.name = "p", .type = row->type, .choices = choices, .choice_count = 3};
        const struct json *value = NULL;
        struct fault fault = {.kind = FAULT_NONE};
        bool ok = param_check(arena, &p, parse(arena, row->given), &value, &fault);
        const char *got = !ok ? arena_printf(arena, "!%s", fault.what) : value ? written(arena, value) : "absent";
        bool prefix = row->want[0] == '!' && row->want[1] == '*';
        const char *want = prefix ? arena_printf(arena, "!%s", row->want + 2) : row->want;
        if (prefix) got = arena_strndup(arena, got, strlen(want));
        if (strcmp(got, want) != 0) print_message("%s %s\n", param_type_word(row->type), row->given);
        assert_string_equal(got, want);
        if (!ok) assert_int_equal(fault.kind, FAULT_INVALID);
        arena_free(arena);
    }
}

struct constraint_row {
    struct param param;
    const char *given, *want;
};

static void test_constraints(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    const struct pattern *lower = pattern_compile(arena, TEXT("[a-z]+"), true, NULL);
    const struct constraint_row rows[] = {
        {{.type = PARAM_INTEGER, .has_minimum = true, .minimum = 1}, "1", "1"},
        {{.type = PARAM_INTEGER, .has_minimum = true, .minimum = 1}, "\"0\"", "!0 is less than the minimum, 1"},
        {{.type = PARAM_INTEGER, .has_maximum = true, .maximum = 5000}, "5001", "!5001 is more than the maximum, 5000"},
        {{.type = PARAM_NUMBER, .has_maximum = true, .maximum = 0.5},
         "\"0.51\"",
         "!0.51 is more than the maximum, 0.5"},
        {{.type = PARAM_STRING, .max_length = 2}, "\"éé\"", "\"éé\""},
        {{.type = PARAM_STRING, .max_length = 2}, "\"abc\"", "!has 3 characters, and may have at most 2"},
        {{.type = PARAM_STRING, .min_length = 2}, "\"a\"", "!has 1 characters, and needs at least 2"},
        {{.type = PARAM_STRING, .pattern = lower, .pattern_source = "[a-z]+"}, "\"abc\"", "\"abc\""},
        {{.type = PARAM_STRING, .pattern = lower, .pattern_source = "[a-z]+"},
         "\"abc1\"",
         "!\"abc1\" does not match the pattern [a-z]+"},
        {{.type = PARAM_STRING, .pattern = lower, .pattern_source = "[a-z]+"},
         "\"abc\\n\"",
         "!\"abc\n\" does not match the pattern [a-z]+"},
        {{.type = PARAM_LIST, .min_length = 2}, "\"a\"", "!has 1 elements, and needs at least 2"},
        {{.type = PARAM_LIST, .max_length = 1}, "[1,2]", "!has 2 elements, and may have at most 1"},
        {{.type = PARAM_URL, .max_length = 10}, "\"http://abc.de\"", "!has 13 characters, and may have at most 10"},
        {{.type = PARAM_SECRET, .min_length = 8}, "\"hush\"", "!has 4 characters, and needs at least 8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct json *value = NULL;
        struct fault fault;
        bool ok = param_check(arena, &rows[i].param, parse(arena, rows[i].given), &value, &fault);
        assert_string_equal(ok ? written(arena, value) : arena_printf(arena, "!%s", fault.what), rows[i].want);
    }
    arena_free(arena);
}

static const struct param three[] = {
    {.name = "target", .type = PARAM_URL, .required = true},
    {.name = "users", .type = PARAM_INTEGER, .has_minimum = true, .minimum = 1},
    {.name = "note", .type = PARAM_STRING, .required = true},
    {.name = "key", .type = PARAM_SECRET, .min_length = 6},
};

struct check_row {
    const char *given;
    const char *faults; /* "where: what\n" each; "" where the values follow */
    const char *values;
};

#define LEFT_OVER                                                                                                     \
    "holds \"${\": an expression that Spinnaker could not evaluate, and sent as it stands. Is a name in it misspelt " \
    "or "                                                                                                             \
    "without a value? In orca.yml, a \":\" inside ${…} is eaten when orca starts\n"

#define LEFT_OVER_COLON                                                                                                \
    "holds \"${\": an expression that Spinnaker could not evaluate, and sent as it stands. It has a \":\", and in "    \
    "orca.yml Spring takes what follows a \":\" inside ${…} for a default value when orca starts, which leaves the " \
    "rest broken: ?:, a ? b : c and maps do not work there. Put defaults and choices into the stage's definition\n"

static const struct check_row checks[] = {
    {"{\"target\":\"http://x\",\"note\":\"n\"}", "",
     "{\"target\":\"http://x\",\"users\":null,\"note\":\"n\",\"key\":null}"},
    {"{\"note\":\"n\",\"users\":\"\",\"target\":\"http://x\",\"key\":\"\"}", "",
     "{\"target\":\"http://x\",\"users\":null,\"note\":\"n\",\"key\":null}"},
    {"null", "/parameters/target: is required\n/parameters/note: is required\n", NULL},
    {"{\"target\":\"\",\"note\":\"\"}", "/parameters/target: is required\n/parameters/note: is required\n", NULL},
    {"[]", "/parameters: must be an object, and is an array\n", NULL},
    {"{\"target\":5,\"note\":\"n\",\"users\":\"many\",\"key\":\"short\"}",
     "/parameters/target: must be a URL, and is a number\n/parameters/users: \"many\" is not a whole number\n"
     "/parameters/key: has 5 characters, and needs at least 6\n",
     NULL},
    {"{\"target\":\"http://x\",\"note\":\"n\",\"user\":1,\"zzz/~\":2}",
     "/parameters/user: there is no parameter \"user\"; did you mean \"users\"?\n"
     "/parameters/zzz~1~0: there is no parameter \"zzz/~\"\n",
     NULL},
    {"{\"target\":\"http://x\",\"note\":\"${trigger['x']}\"}", "/parameters/note: " LEFT_OVER, NULL},
    {"{\"target\":\"http://x\",\"note\":\"n\",\"users\":\"${a ?: 5}\"}", "/parameters/users: " LEFT_OVER_COLON, NULL},
    {"{\"target\":\"http://x\",\"note\":{\"a\":[\"b\",\"c ${d}\"]}}", "/parameters/note/a/1: " LEFT_OVER, NULL},
    {"{\"target\":\"http://x\",\"note\":{\"${a}\":1}}", "/parameters/note/${a}: " LEFT_OVER, NULL},
    {"{\"target\":\"http://x\",\"note\":\"n\",\"other\":\"${d}\"}",
     "/parameters/other: there is no parameter \"other\"\n/parameters/other: " LEFT_OVER, NULL},
    {"{\"target\":\"http://x\",\"note\":\"$5 {x}\"}", "",
     "{\"target\":\"http://x\",\"users\":null,\"note\":\"$5 {x}\",\"key\":null}"},
};

static void test_check(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct arena *arena = arena_new();
        struct faults faults;
        struct buf all;
        const struct json *checked = NULL;
        faults_init(&faults);
        buf_init(&all, 1 << 16);
        bool ok = params_check(arena, three, 4, parse(arena, checks[i].given), &checked, &faults);
        for (size_t f = 0; f < faults.count; f++)
            buf_addf(&all, "%s: %s\n", faults.items[f].where, faults.items[f].what);
        assert_string_equal(buf_cstr(&all), checks[i].faults);
        assert_int_equal(ok, checks[i].values != NULL);
        if (ok) assert_string_equal(written(arena, checked), checks[i].values);
        buf_fini(&all);
        faults_fini(&faults);
        arena_free(arena);
    }
}

/* What is to be taken as it stands is; anything else is copied from where it differs. */
static void test_values_as_given(void **state) {
    (void)state;
    static const char *const choices[] = {"smoke", "soak"};
    static const struct param few[] = {{.name = "note", .type = PARAM_STRING},
                                       {.name = "users", .type = PARAM_INTEGER},
                                       {.name = "at", .type = PARAM_URL},
                                       {.name = "kind", .type = PARAM_CHOICE, .choices = choices, .choice_count = 2}};
    static const struct {
        const char *given;
        size_t count;
        const char *values; /* NULL: the same */
    } rows[] = {
        {"{\"note\":\"n\",\"users\":5,\"at\":\"http://x\",\"kind\":\"soak\"}", 4, NULL},
        {"{\"note\":\"n\",\"users\":5}", 2, NULL},
        {"{}", 0, NULL},
        {"null", 0, "{}"},
        {"null", 1, "{\"note\":null}"},
        {"{\"note\":\"n\"}", 2, "{\"note\":\"n\",\"users\":null}"},
        {"{\"note\":\"n\",\"users\":null}", 2, "{\"note\":\"n\",\"users\":null}"},
        {"{\"note\":\"n\",\"users\":\"5\"}", 2, "{\"note\":\"n\",\"users\":5}"},
        {"{\"users\":5,\"note\":\"n\"}", 2, "{\"note\":\"n\",\"users\":5}"},
        {"{\"note\":\"n\",\"at\":\"http://x\",\"users\":5}", 3, "{\"note\":\"n\",\"users\":5,\"at\":\"http://x\"}"},
        {"{\"note\":\"n\",\"users\":5,\"at\":\" http://x\",\"kind\":\" soak\"}", 4,
         "{\"note\":\"n\",\"users\":5,\"at\":\"http://x\",\"kind\":\"soak\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new();
        struct faults faults;
        const struct json *given = parse(arena, rows[i].given), *checked = NULL;
        faults_init(&faults);
        assert_true(params_check(arena, few, rows[i].count, given, &checked, &faults));
        if ((checked == given) != !rows[i].values) fail_msg("row %zu", i);
        assert_string_equal(written(arena, checked), rows[i].values ? rows[i].values : rows[i].given);
        faults_fini(&faults);
        arena_free(arena);
    }
}

static void test_secret_never_shown(void **state) {
    (void)state;
    static const char *const given[] = {"{\"s\":\"hunter2-hunter2\"}", "{\"s\":[\"hunter2\"]}",
                                        "{\"s\":{\"hunter2\":1}}", "{\"s\":\"${hunter2}\"}",
                                        "{\"s\":{\"hunter2\":\"${x}\"}}"};
    struct param p = {.name = "s", .type = PARAM_SECRET, .max_length = 3};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        struct arena *arena = arena_new();
        struct faults faults;
        const struct json *checked;
        faults_init(&faults);
        assert_false(params_check(arena, &p, 1, parse(arena, given[i]), &checked, &faults));
        assert_int_equal(faults.count, 1);
        assert_null(strstr(faults.items[0].what, "hunter2"));
        assert_string_equal(faults.items[0].where, "/parameters/s");
        faults_fini(&faults);
        arena_free(arena);
    }
}

static void test_defaults_and_mask(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct faults faults;
    faults_init(&faults);
    const struct param params[] = {
        {.name = "users", .type = PARAM_INTEGER, .preset = json_new_int(arena, 50)},
        {.name = "key", .type = PARAM_SECRET},
        {.name = "note", .type = PARAM_STRING, .preset = json_new_string(arena, "d")},
    };
    const struct json *checked;
    assert_true(params_check(arena, params, 3, parse(arena, "{\"key\":\"hush\",\"users\":\"\",\"note\":\"\"}"),
                             &checked, &faults));
    assert_string_equal(written(arena, checked), "{\"users\":50,\"key\":\"hush\",\"note\":\"\"}");
    assert_string_equal(written(arena, params_masked(arena, params, 3, checked)),
                        "{\"users\":50,\"key\":\"***\",\"note\":\"\"}");
    assert_true(params_check(arena, params, 3, NULL, &checked, &faults));
    assert_string_equal(written(arena, params_masked(arena, params, 3, checked)),
                        "{\"users\":50,\"key\":null,\"note\":\"d\"}");
    faults_fini(&faults);
    arena_free(arena);
}

static void test_schema(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    static const char *const choices[] = {"a", "b"};
    const struct param params[] = {
        {.name = "i", .type = PARAM_INTEGER, .required = true, .has_minimum = true, .minimum = 1},
        {.name = "n", .type = PARAM_NUMBER, .has_maximum = true, .maximum = 0.5, .label = "N"},
        {.name = "s", .type = PARAM_STRING, .pattern_source = "a|b", .max_length = 3, .description = "D"},
        {.name = "c", .type = PARAM_CHOICE, .choices = choices, .choice_count = 2},
        {.name = "l", .type = PARAM_LIST, .min_length = 1},
        {.name = "j", .type = PARAM_JSON},
        {.name = "u", .type = PARAM_URL},
        {.name = "k", .type = PARAM_SECRET},
        {.name = "b", .type = PARAM_BOOLEAN, .preset = json_new_bool(arena, true)},
    };
    const struct json *schema = params_schema(arena, params, sizeof params / sizeof *params);
    const struct json *all = json_gets(schema, "properties");
    static const struct {
        const char *name, *first;
        size_t options;
    } wanted[] = {
        {"i", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9223372036854775807}", 2},
        {"n", "{\"type\":\"number\",\"maximum\":0.5}", 4},
        {"s", "{\"type\":\"string\",\"maxLength\":3,\"pattern\":\"^(?:a|b)$(?!\\\\n)\"}", 2},
        {"c", "{\"enum\":[\"a\",\"b\"]}", 4},
        {"l",
         "{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]},\"minItems\":1,\"maxItems\":"
         "10000}",
         5},
        {"j", "{\"type\":[\"object\",\"array\",\"number\",\"boolean\"]}", 5},
        {"k", "{\"type\":\"string\",\"minLength\":1}", 3},
        {"b", "{\"type\":\"boolean\"}", 4},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const struct json *options = json_gets(json_gets(all, wanted[i].name), "anyOf");
        assert_string_equal(written(arena, json_at(options, 0)), wanted[i].first);
        assert_int_equal(json_size(options), wanted[i].options);
    }
    assert_string_equal(json_gets_text(json_gets(all, "n"), "title"), "N");
    assert_string_equal(json_gets_text(json_gets(all, "s"), "description"), "D");
    assert_true(json_truth(json_gets(json_gets(all, "b"), "default")));
    assert_true(json_truth(json_gets(json_gets(all, "k"), "writeOnly")));
    assert_string_equal(written(arena, json_gets(schema, "required")), "[\"i\"]");
    assert_false(json_truth(json_gets(schema, "additionalProperties")));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_values_as_given),
        cmocka_unit_test(test_secret_never_shown),
        cmocka_unit_test(test_defaults_and_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
