/* SpEL: what each expression becomes in the template language, which compiles; what is refused, and why; and how a text
 * is taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lang/template.h"
#include "orca/jinja.h"
#include "orca/spel_write.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *name_parameter(void *arg, struct text name) {
    struct buf out;
    buf_init(&out, 1000);
    buf_adds(&out, "parameters");
    jinja_add_member(&out, name);
    const char *text = arena_strdup(arg, buf_cstr(&out));
    buf_fini(&out);
    return text;
}

static const char *name_given(void *arg, const struct spel *node, bool json) {
    (void)arg;
    return node->source.len > 60 ? NULL : json ? "parameters.given_json" : "parameters.given";
}

static bool translate(struct arena *arena, const char *source, bool bare, bool replies, struct spel_out *ret,
                      struct fault *fault) {
    struct spel_names names = {arena, name_parameter, name_given, replies};
    const struct spel *node = spel_parse(arena, text_of(source), fault);
    return node && spel_write(arena, node, &names, bare, ret, fault);
}

static void assert_compiles(struct arena *arena, const char *source, const char *expression) {
    static const char *const roots[] = {"parameters", "caller", "request"};
    static const struct template_names names = {.roots = roots, .count = COUNT(roots)};
    struct template_rules rules = {.place = PLACE_TEXT, .names = &names, .file = "x", .line = 1};
    struct fault fault;
    if (!template_compile_expression(arena, text_of(expression), &rules, &fault))
        fail_msg("%s becomes %s: %s", source, expression, fault.what);
}

static void expressions_are_translated(void **state) {
    (void)state;
    static const struct {
        const char *spel, *template;
        bool bare, replies;
    } cases[] = {
        {"parameterValues['x']", "parameters.x", false, false},
        {"parameterValues[\"x\"]", "parameters.x", false, false},
        {"parameterValues.x", "parameters.x", false, false},
        {"parameterValues[x]", "parameters.x", false, false},
        {"parameterValues.get('x')", "parameters.x", false, false},
        {"parameterValues?.x", "parameters.x", false, false},
        {"  parameterValues [ 'a b' ]  ", "parameters['a b']", false, false},
        {"parameterValues['it''s']", "parameters['it\\'s']", false, false},
        {"parameterValues['or']", "parameters['or']", false, false},
        {"parameterValues", "parameters", false, false},
        {"execution['id']", "caller.execution", false, false},
        {"execution.application", "caller.application", false, false},
        {"execution['name']", "caller.pipeline", false, false},
        {"execution.authentication.user", "caller.user", false, false},
        {"trigger['user']", "caller.user", false, false},
        {"#currentUser()", "caller.user", false, false},
        {"trigger['tag']", "parameters.given", false, false},
        {"trigger.buildInfo.artifacts[0].version", "parameters.given", false, false},
        {"#stage('Deploy')['context']['x']", "parameters.given", false, false},
        {"#toJson(trigger)", "parameters.given_json", true, false},
        {"trigger.parameters.n", "parameters.given_json", true, false},
        {"webhook.body.links[0]['to it']", "request.body.links[0]['to it']", false, true},
        {"webhook['body']", "request.body", false, true},
        {"webhook.statusCodeValue", "request.code", false, true},
        {"buildInfo.id", "request.body.id", false, true},
        /* functions and methods */
        {"#toJson(parameterValues['x'])", "parameters.x | tojson", false, false},
        {"#toJson(parameterValues['x'])", "parameters.x", true, false},
        {"#toJson(#doNotEval(parameterValues))", "parameters", true, false},
        {"#toInt(parameterValues.n) + 1", "parameters.n | int + 1", false, false},
        {"#toBase64('a' + parameterValues.b)", "('a' ~ parameters.b) | b64encode", false, false},
        {"#readJson(parameterValues.j).a.b", "(parameters.j | fromjson).a.b", false, false},
        {"#alphanumerical(parameterValues.x)", "parameters.x | regex_replace('[^A-Za-z0-9]', '')", false, false},
        {"parameterValues['x'].toLowerCase().trim()", "parameters.x | lower | trim", false, false},
        {"parameterValues.x.replace('a', 'b')", "parameters.x | replace('a', 'b')", false, false},
        {"parameterValues.x.substring(0, 7)", "parameters.x[0:7]", false, false},
        {"parameterValues.x.split('/')[1]", "(parameters.x | split('/'))[1]", false, false},
        {"parameterValues.x.contains('b')", "'b' in parameters.x", false, false},
        {"!parameterValues.x.isEmpty()", "not (parameters.x | length == 0)", false, false},
        /* operators */
        {"'http://' + parameterValues['h'] + ':80'", "('http://' ~ parameters.h) ~ ':80'", false, false},
        {"1 + 2 * 3", "1 + (2 * 3)", false, false},
        {"(1 + 2) * 3", "(1 + 2) * 3", false, false},
        {"1 - 2 - 3", "(1 - 2) - 3", false, false},
        {"-5 + 2.5e3", "(-5) + 2.5e3", false, false},
        {"parameterValues['x'] ?: 'd'", "parameters.x | default('d', true)", false, false},
        {"parameterValues.x ?: parameterValues.y ?: 'd'",
         "parameters.x | default(parameters.y | default('d', true), true)", false, false},
        {"parameterValues['x'] == 'y' ? 'a' : 'b'", "'a' if (parameters.x == 'y') else 'b'", false, false},
        {"parameterValues.x eq 'y' and not parameterValues.z", "(parameters.x == 'y') and (not parameters.z | bool)",
         false, false},
        {"parameterValues.a || parameterValues.b && true", "parameters.a | bool or (parameters.b | bool and true)",
         false, false},
        {"parameterValues.x == null", "parameters.x is undefined or parameters.x is none", false, false},
        {"null != parameterValues.x", "parameters.x is defined and parameters.x is not none", false, false},
        {"parameterValues.x ? 1 : 2", "1 if parameters.x | bool else 2", false, false},
        {"parameterValues.a GT 'b'", "parameters.a > 'b'", false, false},
        /* values */
        {"{1, 'two', {'k': null}}", "[1, 'two', {'k': none}]", false, false},
        {"{name: parameterValues.x}", "{'name': parameters.x}", false, false},
        {"{:}", "{}", false, false},
        {"{}", "[]", false, false},
        {"\"say \"\"hi\"\"\"", "'say \"hi\"'", false, false},
        {"12L", "12", false, false},
        /* outside of quotes in JSON */
        {"parameterValues['n']", "parameters.n | fromjson", true, false},
        {"parameterValues.n ?: '3'", "parameters.n | default('3', true) | fromjson", true, false},
        {"parameterValues.n == '3'", "parameters.n == '3'", true, false},
        {"parameterValues.n ?: 3", "parameters.n | default(3, true) | string | fromjson", true, false},
        {"webhook.body.id", "request.body.id", true, true},
        {"#readJson(parameterValues.x)", "parameters.x | fromjson", true, false},
        {"parameterValues.x ? 'true' : 'false'", "('true' if parameters.x | bool else 'false') | fromjson", true,
         false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct spel_out out;
        struct fault fault;
        if (!translate(arena, cases[i].spel, cases[i].bare, cases[i].replies, &out, &fault))
            fail_msg("%s: %s", cases[i].spel, fault.what);
        if (strcmp(out.text, cases[i].template) != 0) fail_msg("%s becomes %s", cases[i].spel, out.text);
        assert_compiles(arena, cases[i].spel, out.text);
        arena_free(arena);
    }
}

static void others_are_refused_with_a_reason(void **state) {
    (void)state;
    static const struct {
        const char *spel, *said;
        enum fault_kind kind;
    } cases[] = {
        {"", "column 1 of ${}: here a value is expected", FAULT_SYNTAX},
        {"parameterValues[", "here a value is expected", FAULT_SYNTAX},
        {"parameterValues['x'", "here ] is expected", FAULT_SYNTAX},
        {"'never closed", "this quote is never closed", FAULT_SYNTAX},
        {"a b", "column 3 of ${a b}: this cannot stand here", FAULT_SYNTAX},
        {"1 +", "here a value is expected", FAULT_SYNTAX},
        {"a ? b", "here : is expected", FAULT_SYNTAX},
        {"007", "a number with a leading zero", FAULT_SYNTAX},
        {"12abc", "this is no number", FAULT_SYNTAX},
        {"1.5e331", "this is no number", FAULT_SYNTAX},
        {"99999999999999999999", "this is no number", FAULT_SYNTAX},
        {"a.", "here a name is expected", FAULT_SYNTAX},
        {"a = b", "equality is written ==", FAULT_UNSUPPORTED},
        {"T(java.time.Instant).now()", "types and objects of Java", FAULT_UNSUPPORTED},
        {"new java.net.URL('x')", "types and objects of Java", FAULT_UNSUPPORTED},
        {"@bean.x", "beans of orca", FAULT_UNSUPPORTED},
        {"execution.stages.?[type == 'x'][0]", "selections and projections", FAULT_UNSUPPORTED},
        {"execution.stages.![name]", "selections and projections", FAULT_UNSUPPORTED},
        {"parameterValues.x matches 'a.*'", "the operator matches", FAULT_UNSUPPORTED},
        {"1 between {1, 2}", "the operator between", FAULT_UNSUPPORTED},
        {"2 ^ 3", "powers are not translated", FAULT_UNSUPPORTED},
        {"foo('x')", "functions begin with #", FAULT_UNSUPPORTED},
        {"#toJsn(parameterValues)", "did you mean #toJson()?", FAULT_UNSUPPORTED},
        {"#currentStage().id", "run.id and run.key name the run", FAULT_UNSUPPORTED},
        {"#root", "such variables", FAULT_UNSUPPORTED},
        {"webhook.body.id", "the reply is not known yet", FAULT_UNSUPPORTED},
        {"parameterValues.x.codePointAt(0)", ".codePointAt() is a method of Java's", FAULT_UNSUPPORTED},
        {"parameterValues.x.split('[,;]')", "takes a pattern in Java", FAULT_UNSUPPORTED},
        {"7 / 2", "division is not translated", FAULT_UNSUPPORTED},
        {"parameterValues.n - 1", "#toInt(…) makes a number of it", FAULT_UNSUPPORTED},
        {"#readJson('1') + #readJson('2')", "whether + adds or joins", FAULT_UNSUPPORTED},
        {"-parameterValues.n", "a sign stands before numbers", FAULT_UNSUPPORTED},
        {"1 ? 2 : 3", "a number is no condition", FAULT_UNSUPPORTED},
        {"trigger.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g.h", "one parameter too many",
         FAULT_UNSUPPORTED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct spel_out out;
        struct fault fault = {0};
        if (translate(arena, cases[i].spel, false, false, &out, &fault))
            fail_msg("%s becomes %s", cases[i].spel, out.text);
        if (!strstr(fault.what, cases[i].said)) fail_msg("%s: %s", cases[i].spel, fault.what);
        assert_int_equal(fault.kind, cases[i].kind);
        arena_free(arena);
    }
}

static void repeat(struct buf *out, const char *what, size_t times) {
    for (size_t i = 0; i < times; i++) buf_adds(out, what);
}

static void limits_hold(void **state) {
    (void)state;
    static const struct {
        const char *many, *then;
        size_t times;
    } cases[] = {{"(", "", 5000}, {"!", "true", 5000}, {"1+", "1", 4000},   {"a.", "b", 4000},
                 {"{", "", 5000}, {"a[", "", 4000},    {"a?b:", "c", 2400}, {"x", "", SPEL_MAX_BYTES + 1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct buf source;
        struct fault fault = {0};
        buf_init(&source, 1 << 20);
        repeat(&source, cases[i].many, cases[i].times);
        buf_adds(&source, cases[i].then);
        assert_null(spel_parse(arena, buf_text(&source), &fault));
        assert_int_equal(fault.kind, FAULT_TOO_LARGE);
        buf_fini(&source);
        arena_free(arena);
    }
}

static void texts_are_taken_apart(void **state) {
    (void)state;
    static const struct {
        const char *text, *parts; /* literal as it is, expressions in <> */
    } cases[] = {
        {"", ""},
        {"plain $ text {x}", "plain $ text {x}"},
        {"${a}", "<a>"},
        {"a ${b} c ${d}", "a <b> c <d>"},
        {"${a}${b}", "<a><b>"},
        {"${#toJson({'a': 1})}!", "<#toJson({'a': 1})>!"},
        {"${'}'}x", "<'}'>x"},
        {"${a['}'] + \"}\"}x", "<a['}'] + \"}\">x"},
        {"${}", "<>"},
        {"{\"a\":{\"b\":${c}}}", "{\"a\":{\"b\":<c>}}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct spel_part *parts;
        size_t count;
        struct buf shown;
        buf_init(&shown, 1000);
        assert_true(spel_split(arena, text_of(cases[i].text), &parts, &count, NULL));
        for (size_t j = 0; j < count; j++)
            buf_addf(&shown, parts[j].is_expression ? "<%.*s>" : "%.*s", TEXT_ARG(parts[j].text));
        assert_string_equal(buf_cstr(&shown), cases[i].parts);
        buf_fini(&shown);
        arena_free(arena);
    }
}

static void what_never_closes_is_refused(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct spel_part *parts;
    size_t count;
    struct fault fault;
    assert_false(spel_split(arena, TEXT("a ${b['}']"), &parts, &count, &fault));
    assert_string_equal(fault.what, "the expression ${b['}'] is never closed");
    struct buf many;
    buf_init(&many, 1 << 20);
    repeat(&many, "${a}", SPEL_MAX_PARTS + 1);
    assert_false(spel_split(arena, buf_text(&many), &parts, &count, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    buf_fini(&many);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_are_translated),
        cmocka_unit_test(others_are_refused_with_a_reason),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(texts_are_taken_apart),
        cmocka_unit_test(what_never_closes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
