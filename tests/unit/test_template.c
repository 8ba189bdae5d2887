/* Templates: what they make in each place, what they refuse when they are compiled and when they are rendered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lang/template.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
static const struct json_limits LIMITS = {.max_bytes = 1 << 20, .max_depth = 100, .max_items = 100000};

static const char *const ROOTS[] = {"parameters", "secret", "request", "absent"};
static const char *const VALUES[] = {
    "{\"users\":50,\"name\":\"O'Neil \\\"x\\\" "
    "<\\n>\",\"ratio\":0.25,\"big\":1e20,\"flag\":true,\"list\":[1,\"b\",null],"
    "\"empty\":\"\",\"none\":null,\"path\":\"a/b c\",\"dots\":\"..\",\"dot\":\".\",\"o\":{\"a-b\":{\"c\":\"deep\"}},"
    "\"crlf\":\"a\\r\\nX: y\",\"q\":\"a&b=c+d#e\",\"utf\":\"\\u00e9\",\"text\":\"Abc\",\"no\":[],\"key\":\"text\","
    "\"digits\":\" 42 \",\"pi\":3.14159,\"repo\":\"library/app\",\"up\":\"a/../b\",\"nul\":\"\\u0001\\u007f\"}",
    "{\"token\":\"s3cret\"}",
    "{\"body\":{\"links\":{\"self\":\"https://h.example/runs/1\",\"bad\":\"https://h.example/a b\",\"n\":5}}}",
};

static bool check_name(void *arg, const char *root, const struct text *names, size_t count, struct fault *fault) {
    (void)arg;
    if (strcmp(root, "parameters") != 0 || count == 0 || !text_is(names[0], "usres")) return true;
    return fault_set(fault, FAULT_UNDEFINED, NULL, "no parameter \"usres\"; did you mean \"users\"?");
}

static const struct template_names NAMES = {.roots = ROOTS, .count = COUNT(ROOTS), .check = check_name};

static struct template_rules rules_of(enum template_place place) {
    return (struct template_rules){.place = place, .names = &NAMES, .file = "t.json", .line = 1};
}

static void read_values(struct arena *arena, const struct json **roots) {
    for (size_t i = 0; i < COUNT(VALUES); i++) {
        roots[i] = json_parse(arena, text_of(VALUES[i]), &LIMITS, NULL);
        assert_non_null(roots[i]);
    }
}

/* `where` is "file:line", with or without the column. */
static void assert_where(const struct fault *fault, const char *where) {
    size_t len = strlen(where);
    if (strncmp(fault->where, where, len) != 0 || (fault->where[len] && fault->where[len] != ':'))
        fail_msg("%s: %s, and not at %s", fault->where, fault->what, where);
}

static void templates_that_render(void **state) {
    (void)state;
    static const struct {
        enum template_place place;
        const char *source, *made;
    } cases[] = {
        {PLACE_TEXT, "", ""},
        {PLACE_TEXT, "plain } }} { text", "plain } }} { text"},
        {PLACE_TEXT, "{{ parameters.users }} users", "50 users"},
        {PLACE_TEXT, "{{parameters['users']}}{{ parameters[\"o\"]['a-b'].c }}", "50deep"},
        {PLACE_TEXT, "{{ parameters.list[0] }}{{ parameters.list[-2] }}", "1b"},
        {PLACE_TEXT, "{{ parameters[parameters.key] }}", "Abc"},
        {PLACE_TEXT, "{{ parameters.key }}{{ parameters.users }}{{ parameters.name }}{{ parameters.users }}",
         "text50O'Neil \"x\" <\n>50"},
        {PLACE_TEXT, "{% if parameters.flag %}a{% endif %}{{ parameters.key }}", "atext"},
        {PLACE_TEXT, "{% if not parameters.flag %}a{% endif %}{{ parameters.key }}", "text"},
        {PLACE_TEXT, "{% if not parameters.flag %}a{% else %}b{% endif %}{{ parameters.key }}", "btext"},
        {PLACE_TEXT, "{% for x in parameters.no %}a{% endfor %}{{ parameters.key }}", "text"},
        {PLACE_TEXT, "{% set s %}a{% endset %}{{ parameters.key }}{{ s }}", "texta"},
        {PLACE_TEXT, "{% for x in parameters.no %}a{{ x }}{% else %}b{% endfor %}{{ parameters.key }}", "btext"},
        {PLACE_TEXT, "{% for x in [1, 2] %}a{% endfor %}{{ parameters.key }}", "aatext"},
        {PLACE_TEXT, "{% for x in [1, 2] %}{% if x == 2 %}a{% endif %}{{ x }}{% endfor %}", "1a2"},
        {PLACE_TEXT, "{{ parameters.nope | default('d') }}", "d"},
        {PLACE_TEXT, "{{ parameters.none | default(7) }}", "7"},
        {PLACE_TEXT, "{{ absent.x.y | default('gone') }}", "gone"},
        {PLACE_TEXT, "{{ parameters.empty | default('d') }}", ""},
        {PLACE_TEXT, "{{ parameters.empty | default(parameters.nope) }}",
         ""}, /* an undefined one that nobody needs is none */
        {PLACE_TEXT, "{{ parameters.nope | default(parameters.none) | default('e') }}", "e"},
        {PLACE_TEXT, "{{ 'it''s' }}", NULL},
        {PLACE_TEXT, "{{ 'it\\'s }}' }}", "it's }}"},
        {PLACE_TEXT, "{{ -5 }} {{ 1.5 }} {{ true }} {{ 'a' ~ 1 ~ parameters.flag }}", "-5 1.5 true a1true"},
        {PLACE_TEXT, "a{# {{ not.this }} #}b", "ab"},
        {PLACE_TEXT, "{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2.0 ** 3 }} {{ (-1) ** 9223372036854775807 }} {{ 0 ** 0 }}",
         "1024 0.5 8.0 -1 1"},
        {PLACE_TEXT, "{{ (-2) ** 63 }} {{ 2 ** 62 }}", "-9223372036854775808 4611686018427387904"},
        {PLACE_TEXT, "{{ 1 in (1, 2) }}{{ (1,) | length }}{{ () | length }}{{ ((1, 2), 3)[0][1] }}{{ (1) + 1 }}",
         "true1022"},
        {PLACE_TEXT,
         "{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}/{{ loop.length }}={{ x }}{{ loop.last }} {% endfor "
         "%}",
         "1/2=2false 2/2=4true "},
        {PLACE_TEXT, "{% for x in [1, 2] if x > 2 %}{{ x }}{% else %}none{% endfor %}", "none"},
        {PLACE_TEXT, "{% for k, v in {'a': 1, 'b': 2} | items if v > 1 and k %}{{ k }}={{ v }}{% endfor %}", "b=2"},
        {PLACE_TEXT, "{% for k in {'a': 1, 'b': 2} if k != 'a' %}{{ k }}{{ loop.first }}{% endfor %}", "btrue"},
        {PLACE_TEXT,
         "{% for x in [1, 2] %}{% for y in [1, 2] if loop.index == y %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
         "11 22 "},
        {PLACE_JSON, "[{% for x in parameters.list if x is string %}{{ x }},{% endfor %}]", "[\"b\"]"},
        {PLACE_TEXT, "{% set x %}a{{ parameters.users }}{% if true %}b{% endif %}{% endset %}{{ x }}{{ x | length }}",
         "a50b4"},
        {PLACE_TEXT, "{% set x = 1 %}{% set x %}{{ x }}2{% set x = 5 %}{% endset %}{{ x }}", "12"},
        {PLACE_TEXT, "{% set x|upper|replace('B', '-') %}abc{% endset %}{{ x }}", "A-C"},
        {PLACE_TEXT, "{% set x -%}  a {%- set y %}b{% endset %} {{- y }}{% endset %}{{ x }}", "ab"},
        {PLACE_TEXT,
         "{% set x = '-' %}{% for i in [1, 2] %}{% set x %}{{ x }}{{ i }}{{ loop.index }}{% endset %}{{ x }}{% endfor "
         "%}",
         "-11-22"},
        {PLACE_TEXT, "{% if parameters.users %}{% set x %}in{% endset %}{% endif %}{{ x }}", "in"},
        {PLACE_JSON, "{% set x %}{\"{{ parameters.key }}\"{% endset %}{\"a\": {{ x }}, \"b\": \"<{{ x }}>\"}",
         "{\"a\": \"{\\\"text\\\"\", \"b\": \"<{\\\"text\\\">\"}"},
        {PLACE_URL, "{% set x %}{{ parameters.path }}?{% endset %}https://h.example/{{ x }}",
         "https://h.example/a%2Fb%20c%3F"},
        {PLACE_FORM, "{% set x %}a b{% endset %}{{ x }} c", "a%20b%20c"},
        {PLACE_XML, "{% set x %}<{{ parameters.key }}>{% endset %}<a b=\"{{ x }}\">{{ x }}</a>",
         "<a b=\"&lt;text&gt;\">&lt;text&gt;</a>"},
        {PLACE_TEXT, "{% raw %}{{ x }}{% y %}{% endraw %}!", "{{ x }}{% y %}!"},
        {PLACE_TEXT, "a  {{- ' b ' -}}  c  {#- x -#}  d", "a b cd"},
        {PLACE_TEXT, "{{ 'y' if parameters.flag else 'n' }}{{ 'y' if parameters.empty else 'n' }}", "yn"},
        {PLACE_TEXT, "{{ 'y' if parameters.users > 49 and not parameters.none is defined else 'n' }}", "n"},
        {PLACE_TEXT, "{{ parameters.x is defined }} {{ parameters.x is not defined }} {{ parameters.none is none }}",
         "false true true"},
        {PLACE_TEXT, "{{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 2 >= 3 }} {{ 'b' in parameters.list }} {{ 'x' not in 'abc' }}",
         "true true false true true"},
        {PLACE_TEXT, "{{ parameters.nope or 1 }}", NULL},
        {PLACE_TEXT, "{{ parameters.empty or 'or' }} {{ (parameters.o)['a-b'].c }}", "or deep"},
        {PLACE_TEXT, "{{ parameters.text|upper }}{{ parameters.text|lower }}{{ ' x '|trim }}", "ABCabcx"},
        {PLACE_TEXT, "{{ parameters.list | join('-') }} {{ parameters.list | length }} {{ parameters.utf | length }}",
         "1-b- 3 1"},
        {PLACE_TEXT, "{{ parameters.o | tojson }}", "{\"a-b\":{\"c\":\"deep\"}}"},
        {PLACE_TEXT, "{{ parameters.pi | round(2) }} {{ parameters.pi | int }} {{ parameters.digits | int }}",
         "3.14 3 42"},
        {PLACE_TEXT, "{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 5.5 // 2 }}",
         "5.0 3 -4 2 -2 2.0"},
        {PLACE_TEXT, "{{ -2 + 3 }} {{ -parameters.users }} {{ 2 - -1 }} {{ 1 + 2 ~ 'x' if false else 'y' }}",
         "1 -50 3 y"},
        {PLACE_TEXT, "{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 1 < 3 in [3] }} {{ not 1 in [2] }}", "true false true true"},
        {PLACE_TEXT,
         "{{ [1, 'a', [2]][2][0] }} {{ {'a': {'b': 3}}.a.b }} {{ {'k': {'z': 1}} | length }}{{ [] | length }}",
         "2 3 10"},
        {PLACE_TEXT,
         "{{ [1, 2, 3, 4][1:3] }} {{ [1, 2, 3][::-1] }} {{ 'h\u00e9llo'[1:3] }} {{ [1, 2][-1:] }} {{ 'abc'[0] }}",
         "[2,3] [3,2,1] \xC3\xA9l [2] a"},
        {PLACE_TEXT, "{{ ([1] + [2]) | join('+') }} {{ 'a' * 3 }} {{ 'a' + 'b' }} {{ 1e3 }} {{ 1.5e-3 }}",
         "1+2 aaa ab 1000.0 0.0015"},
        {PLACE_TEXT, "{{ parameters.list.0 }} {{ parameters.o['a' ~ '-b'].c }} {{ '\\u00e9' }}", "1 deep \xC3\xA9"},
        {PLACE_TEXT, "{{ 'x' is string and 1 is not string }} {{ 2 is in [1, 2] }} {{ 'b1' is match '[a-z]' }}",
         "true true true"},
        {PLACE_TEXT, "{% if parameters.users > 100 %}a{% elif parameters.users > 10 %}b{% else %}c{% endif %}", "b"},
        {PLACE_TEXT, "{% if false %}a{% endif %}{% if true %}{% if false %}{% else %}z{% endif %}{% endif %}", "z"},
        {PLACE_TEXT,
         "{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}"
         "{{ loop.revindex }};{% endfor %}",
         "10truefalse33;21falsefalse32;32falsetrue31;"},
        {PLACE_TEXT, "{% for x in [] %}a{% else %}none{% endfor %}{% for x in [1] %}a{% else %}none{% endfor %}",
         "nonea"},
        {PLACE_TEXT, "{% for k, v in {'a': 1, 'b': [2]} | items %}{{ k }}{{ v }}{{ loop.last }} {% endfor %}",
         "a1false b[2]true "},
        {PLACE_TEXT, "{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}{% for a, b in [[1, 2]] %}{{ b }}{% endfor %}",
         "ab2"},
        {PLACE_TEXT,
         "{% for x in [1, 2] %}{% for y in [3, 4] %}{{ x * y }}{{ loop.first }} {% endfor %}{{ loop.index }}{% endfor "
         "%}",
         "3true 4false 16true 8false 2"},
        {PLACE_TEXT, "{% set x = 1 %}{% for i in [5, 6] %}{{ x }}{% set x = i %}{{ x }} {% endfor %}{{ x }}",
         "15 16 1"},
        {PLACE_TEXT, "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "2"},
        {PLACE_TEXT, "{% for i in [1, 2] %}{% if i == 1 %}{% set y = 7 %}{% endif %}{{ y | default('-') }}{% endfor %}",
         "7-"},
        {PLACE_TEXT, "a {%- if true -%} b {%- endif %} c{# x -#}  d", "ab cd"},
        {PLACE_TEXT, "{%- raw -%}  {{ x }}  {%- endraw -%}  y", "{{ x }}y"},
        {PLACE_JSON, "[{% for x in [1, 2] %}{{ x }}, {% endfor %}]", "[1, 2]"},
        {PLACE_JSON, "[1, 2, ]", "[1, 2]"},
        {PLACE_JSON, "{\"a\": [1, 2 ,\n], }", "{\"a\": [1, 2 ]}"},
        {PLACE_JSON, "[{% for x in [1, 2] %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}]", "[1, 2]"},
        {PLACE_JSON, "[{% for x in [1, 2] %}{% if not loop.first %}, {% endif %}{{ x }}{% endfor %}]", "[1, 2]"},
        {PLACE_JSON, "[{% for x in [1, 2] %}{{ x }} {% endfor %}]", "[1 ,2 ]"},
        {PLACE_JSON, "[{% for x in [] %}{{ x }},{% endfor %}]", "[]"},
        {PLACE_JSON, "[0{% for x in [] %}, {{ x }}{% endfor %}]", "[0]"},
        {PLACE_JSON, "[{% for x in [] %}{{ x }}{% endfor %}, 5]", "[ 5]"},
        {PLACE_JSON, "[{% for x in ['[1, ]', ','] %}\"{{ x }}, ]\", {% endfor %}]", "[\"[1, ], ]\", \",, ]\"]"},
        {PLACE_JSON, "{ {% if false %}\"a\": 1,{% endif %} {% if true %}\"b\": 2,{% endif %} }", "{  \"b\": 2}"},
        {PLACE_JSON, "{ {% for k, v in {'a': 1, 'b': none} | items %}\"{{ k }}\": {{ v }},{% endfor %}}",
         "{ \"a\": 1,\"b\": null}"},
        {PLACE_JSON, "{% if true %}{\"a\": 1}{% else %}[]{% endif %}", "{\"a\": 1}"},
        {PLACE_JSON, "{% if true %}{\"a\": 1}{% else %}{\"a\": 2}{% endif %}", "{\"a\": 1}"},
        {PLACE_JSON, "{% set n = 1 %}\n{\"a\": {{ {'x': n} }}}", "\n{\"a\": {\"x\":1}}"},
        {PLACE_URL, "https://{% if true %}a{% else %}b{% endif %}/{% for x in ['a/b', 'c'] %}{{ x }}/{% endfor %}?q=1",
         "https://a/a%2Fb/c/?q=1"},
        {PLACE_XML, "<a b=\"{{ parameters.name }}\">{{ parameters.name }}{{ '<i/>' | safe }}</a>",
         "<a b=\"O&#39;Neil &quot;x&quot; &lt;&#10;&gt;\">O'Neil \"x\" &lt;\n&gt;<i/></a>"},
        {PLACE_XML, "<a b='{{ parameters.users }}'><!-- < ' --><![CDATA[ <' ]]>{{ parameters.q }}</a>",
         "<a b='50'><!-- < ' --><![CDATA[ <' ]]>a&amp;b=c+d#e</a>"},
        {PLACE_TEXT, "{{ parameters.list | first }}{{ 'aXbX' | replace('X', '--') }}", "1a--b--"},
        {PLACE_TEXT, "{{ 'a b/c' | urlencode }} {{ 'user:pass' | b64encode }} {{ 'a' | b64encode }}",
         "a%20b/c dXNlcjpwYXNz YQ=="},
        {PLACE_JSON, "{\"n\": {{ parameters.users }}, \"s\": \"{{ parameters.name }}\", \"v\": {{ parameters.name }}}",
         "{\"n\": 50, \"s\": \"O'Neil \\\"x\\\" <\\n>\", \"v\": \"O'Neil \\\"x\\\" <\\n>\"}"},
        {PLACE_JSON, "[{{ parameters.none }}, {{ parameters.list }}, {{ parameters.o | tojson }}]",
         "[null, [1,\"b\",null], {\"a-b\":{\"c\":\"deep\"}}]"},
        {PLACE_JSON, "{\"k{{ parameters.users }}\": \"\\\"{{ parameters.list }}\"}",
         "{\"k50\": \"\\\"[1,\\\"b\\\",null]\"}"},
        {PLACE_JSON, "{{ parameters.big }}", "1e+20"},
        {PLACE_JSON, "{# a body #}{\"a\":{\"b\":{{ parameters.users }}}}", "{\"a\":{\"b\":50}}"},
        {PLACE_URL,
         "https://h.example/a/{{ parameters.path }}/b?q={{ parameters.q }}&{{ parameters.text }}=1#{{ "
         "parameters.q }}",
         "https://h.example/a/a%2Fb%20c/b?q=a%26b%3Dc%2Bd%23e&Abc=1#a%26b%3Dc%2Bd%23e"},
        {PLACE_URL, "https://h.example/v2/{{ parameters.repo | segments }}/tags",
         "https://h.example/v2/library/app/tags"},
        {PLACE_URL, "https://h.example/?n={{ parameters.big }}&e={{ parameters.empty }}&d={{ parameters.dots }}",
         "https://h.example/?n=1e%2B20&e=&d=.."},
        {PLACE_URL, "{{ request.body.links.self }}", "https://h.example/runs/1"},
        {PLACE_HEADER, "Bearer {{ secret.token }}", "Bearer s3cret"},
        {PLACE_FORM, "a b {{ parameters.q }}", "a%20b%20a%26b%3Dc%2Bd%23e"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        const struct json *roots[COUNT(ROOTS)] = {NULL};
        struct template_rules rules = rules_of(cases[i].place);
        struct buf out;
        buf_init(&out, 4096);
        read_values(arena, roots);
        const struct template *t = template_compile(arena, text_of(cases[i].source), &rules, &fault);
        bool good = t && template_render(t, roots, &out, &fault);
        if (good != (cases[i].made != NULL)) fail_msg("%s: %s", cases[i].source, fault.what);
        if (good) assert_string_equal(buf_cstr(&out), cases[i].made);
        if (good && cases[i].place == PLACE_JSON) assert_non_null(json_parse(arena, buf_text(&out), &LIMITS, &fault));
        buf_fini(&out);
        arena_free(arena);
    }
}

static void templates_that_do_not_compile(void **state) {
    (void)state;
    static const struct {
        enum template_place place;
        const char *source;
        enum fault_kind kind;
        const char *where, *what;
    } cases[] = {
        {PLACE_TEXT, "{{ }}", FAULT_SYNTAX, "t.json:1", "no expression"},
        {PLACE_TEXT, "a\n{{ parameters.users", FAULT_SYNTAX, "t.json:2", "}} is missing"},
        {PLACE_TEXT, "a\n\n  {{ paramters.users }}", FAULT_UNDEFINED, "t.json:3:6",
         "nothing is called \"paramters\" here; did you mean \"parameters\"?"},
        {PLACE_TEXT, "{{ parameters.usres }}", FAULT_UNDEFINED, "t.json:1:4", "no parameter \"usres\""},
        {PLACE_TEXT, "{{ parameters.users | uper }}", FAULT_UNDEFINED, "t.json:1", "did you mean \"upper\"?"},
        {PLACE_TEXT, "{{ parameters.users | defualt(1) }}", FAULT_UNDEFINED, "t.json:1", "did you mean \"default\"?"},
        {PLACE_TEXT, "{{ parameters.users | default }}", FAULT_SYNTAX, "t.json:1", "default takes 1 argument, not 0"},
        {PLACE_TEXT, "{{ 'a' | replace('b') }}", FAULT_SYNTAX, "t.json:1", "replace takes 2 arguments, not 1"},
        {PLACE_TEXT, "{{ parameters. }}", FAULT_SYNTAX, "t.json:1", "expected a name behind the dot"},
        {PLACE_TEXT, "{{ parameters.users users }}", FAULT_SYNTAX, "t.json:1", "expected }} or an operator"},
        {PLACE_TEXT, "{{ 'abc }}", FAULT_SYNTAX, "t.json:1", "no closing quote"},
        {PLACE_TEXT, "{{ 'a\\q' }}", FAULT_SYNTAX, "t.json:1", "unknown escape"},
        {PLACE_TEXT, "{{ a ? b }}", FAULT_UNDEFINED, "t.json:1", "nothing is called \"a\""},
        {PLACE_TEXT, "{{ 1 ? 2 }}", FAULT_SYNTAX, "t.json:1:6", "a if condition else b"},
        {PLACE_TEXT, "{{ 1 ` 2 }}", FAULT_SYNTAX, "t.json:1:6", "means nothing in an expression"},
        {PLACE_TEXT, "{{ 1 && 2 }}", FAULT_SYNTAX, "t.json:1:6", "; write and"},
        {PLACE_TEXT, "{{ 1 || 2 }}", FAULT_SYNTAX, "t.json:1:7", "for || write or"},
        {PLACE_TEXT, "{{ !parameters.flag }}", FAULT_SYNTAX, "t.json:1:4", "; write not"},
        {PLACE_TEXT, "{% if 1 = 2 %}{% endif %}", FAULT_SYNTAX, "t.json:1:9", "to compare, write =="},
        {PLACE_TEXT, "{% if 1 %}{% else if 2 %}{% endif %}", FAULT_SYNTAX, "t.json:1:19", "elif"},
        {PLACE_TEXT, "{{ parameters.key | to_nice_json }}", FAULT_UNDEFINED, "t.json:1:21", "; write tojson(2)"},
        {PLACE_TEXT, "{{ parameters.key | hash('sha256') }}", FAULT_UNDEFINED, "t.json:1:21", "; write sha256"},
        {PLACE_TEXT, "{{ 1 === 2 }}", FAULT_SYNTAX, "t.json:1:8", "to compare, write =="},
        {PLACE_TEXT, "{{ $.a }}", FAULT_SYNTAX, "t.json:1:4", "for a JSONPath write"},
        {PLACE_TEXT, "{{ ${a} }}", FAULT_SYNTAX, "t.json:1:4", "names stand as they are"},
        {PLACE_TEXT, "{{ parameters.key == running }}", FAULT_UNDEFINED, "t.json:1:22", "a text stands in quotes"},
        {PLACE_TEXT, "{{ len(parameters) }}", FAULT_UNSUPPORTED, "t.json:1:4", "calls are not supported"},
        {PLACE_TEXT, "{{ parameters.items() }}", FAULT_UNSUPPORTED, "t.json:1", "calls"},
        {PLACE_TEXT, "{% if x %}{% endif %}", FAULT_UNDEFINED, "t.json:1:7", "nothing is called \"x\""},
        {PLACE_TEXT, "{% macro x() %}{% endmacro %}", FAULT_UNSUPPORTED, "t.json:1:4", "{% macro %} is not supported"},
        {PLACE_TEXT, "{% if true %}", FAULT_SYNTAX, "t.json:1:4", "has no {% endif %}"},
        {PLACE_TEXT, "\n{% for x in [] %}a", FAULT_SYNTAX, "t.json:2:4", "has no {% endfor %}"},
        {PLACE_TEXT, "{% endif %}", FAULT_SYNTAX, "t.json:1:4", "belongs to no {% if %}"},
        {PLACE_TEXT, "{% if true %}{% endfor %}", FAULT_SYNTAX, "t.json:1:17", "belongs to no {% for %}"},
        {PLACE_TEXT, "{% if true %}{% else %}{% else %}{% endif %}", FAULT_SYNTAX, "t.json:1",
         "belongs to no {% if %}"},
        {PLACE_TEXT, "{% if true %}{% else %}{% elif 1 %}{% endif %}", FAULT_SYNTAX, "t.json:1", "{% elif %} belongs"},
        {PLACE_TEXT, "{% for a, b, c in [] %}{% endfor %}", FAULT_UNSUPPORTED, "t.json:1", "one name, or two"},
        {PLACE_TEXT, "{% for a in [] if %}{% endfor %}", FAULT_SYNTAX, "t.json:1:19", "expected a name"},
        {PLACE_TEXT, "{% for a in [] if loop.first %}{% endfor %}", FAULT_UNDEFINED, "t.json:1:19", "\"loop\""},
        {PLACE_TEXT, "{% for a in [1] if b %}{% set b = 1 %}{% endfor %}", FAULT_UNDEFINED, "t.json:1:20", "\"b\""},
        {PLACE_TEXT, "{% for parameters in [] %}{% endfor %}", FAULT_INVALID, "t.json:1:8", "take another name"},
        {PLACE_TEXT, "{% for loop in [] %}{% endfor %}", FAULT_INVALID, "t.json:1:8", "the name of the loop"},
        {PLACE_TEXT, "{% for x in [] %}{{ loop.indx }}{% endfor %}", FAULT_UNDEFINED, "t.json:1", "loop.index"},
        {PLACE_TEXT, "{{ loop.index }}", FAULT_UNDEFINED, "t.json:1:4", "nothing is called \"loop\""},
        {PLACE_TEXT, "{% for x in [1] %}{% set y = x %}{% endfor %}{{ y }}", FAULT_UNDEFINED, "t.json:1:49",
         "called \"y\""},
        {PLACE_TEXT, "{% set x %}a", FAULT_SYNTAX, "t.json:1:4", "no {% endset %}"},
        {PLACE_TEXT, "a{% endset %}", FAULT_SYNTAX, "t.json:1:5", "belongs to no {% set %}"},
        {PLACE_TEXT, "{% if 1 %}{% set x %}{% endif %}", FAULT_SYNTAX, "t.json:1:25", "belongs to no {% if %}"},
        {PLACE_TEXT, "{% if 1 %}{% set x %}{% else %}", FAULT_SYNTAX, "t.json:1:25", "belongs to no {% if %}"},
        {PLACE_TEXT, "{% set x %}{% for a in [] %}{% endset %}", FAULT_SYNTAX, "t.json:1:32",
         "belongs to no {% set %}"},
        {PLACE_TEXT, "{% set x | uper %}{% endset %}", FAULT_UNDEFINED, "t.json:1:12", "did you mean \"upper\""},
        {PLACE_TEXT, "{% set x %}{% set y = 1 %}{% endset %}{{ y }}", FAULT_UNDEFINED, "t.json:1:42", "\"y\""},
        {PLACE_TEXT, "{% set x %}{{ x }}{% endset %}", FAULT_UNDEFINED, "t.json:1:15", "\"x\""},
        {PLACE_URL, "{% set x %}{{ request.body.links.self }}{% endset %}", FAULT_INVALID, "t.json:1", ""},
        {PLACE_TEXT, "{% set a, b = 1, 2 %}", FAULT_UNSUPPORTED, "t.json:1", "one name"},
        {PLACE_TEXT, "{% set value = 1 %}{{ vlaue }}", FAULT_UNDEFINED, "t.json:1", "did you mean \"value\"?"},
        {PLACE_TEXT, "{% include \"x\" %}", FAULT_UNSUPPORTED, "t.json:1", "directory of templates"},
        {PLACE_TEXT, "{% include parameters.x %}", FAULT_SYNTAX, "t.json:1:12", "in quotes"},
        {PLACE_TEXT, "{{ 1 ** }}", FAULT_SYNTAX, "t.json:1:9", "expected a name"},
        {PLACE_TEXT, "{{ (1, 2 }}", FAULT_SYNTAX, "t.json:1:10", "expected , or )"},
        {PLACE_TEXT, "{{ (,) }}", FAULT_SYNTAX, "t.json:1:5", "expected a name"},
        {PLACE_TEXT, "{{ (1,,) }}", FAULT_SYNTAX, "t.json:1:7", "expected a name"},
        {PLACE_TEXT, "{{ [1, 2 }}", FAULT_SYNTAX, "t.json:1", "expected , or ]"},
        {PLACE_TEXT, "{{ {'a' 1} }}", FAULT_SYNTAX, "t.json:1", "expected : behind the name"},
        {PLACE_TEXT, "{{ 'a' is stirng }}", FAULT_UNDEFINED, "t.json:1:11", "did you mean \"string\"?"},
        {PLACE_TEXT, "{{ 'a' | regex_replace('(') }}", FAULT_SYNTAX, "t.json:1:24", "the pattern has a mistake"},
        {PLACE_TEXT, "{{ 'a' | regex_search(parameters.text) }}", FAULT_INVALID, "t.json:1:23", "written out"},
        {PLACE_TEXT, "{{ 'a' is match('*') }}", FAULT_SYNTAX, "t.json:1:17", "the pattern has a mistake"},
        {PLACE_TEXT, "{{ parameters | jsonpath('$[') }}", FAULT_SYNTAX, "t.json:1:26", ""},
        {PLACE_TEXT, "{{ [] | map('uper') }}", FAULT_UNDEFINED, "t.json:1:13", "did you mean \"upper\"?"},
        {PLACE_TEXT, "{{ [] | select('evn') }}", FAULT_UNDEFINED, "t.json:1:16", "did you mean \"even\"?"},
        {PLACE_TEXT, "{{ 1 | round(methd='ceil') }}", FAULT_UNDEFINED, "t.json:1:14", "no argument \"methd\""},
        {PLACE_TEXT, "{{ 1 | round(precision=1, 2) }}", FAULT_SYNTAX, "t.json:1", "come before"},
        {PLACE_TEXT, "{{ 1 | round(1, precision=2) }}", FAULT_SYNTAX, "t.json:1", "twice"},
        {PLACE_URL, "https://h/{{ parameters.text | safe }}", FAULT_INVALID, "t.json:1:14", "safe is only for"},
        {PLACE_JSON, "\"{{ parameters.text | safe }}\"", FAULT_INVALID, "t.json:1", "safe is only for"},
        {PLACE_JSON, "{\"a\": {% if true %}1{% else %}\n\"x{% endif %}}", FAULT_INVALID, "t.json:1:24",
         "this one ends inside a string, in 1 bracket, the last of an object; the one on line 1 ends behind a value"},
        {PLACE_JSON, "[{% if true %}]{% endif %}", FAULT_INVALID, "t.json:1", "ends behind the body's value"},
        {PLACE_JSON, "[{% for x in [1] %}[{% endfor %}]", FAULT_INVALID, "t.json:1:5", "has to end where it began"},
        {PLACE_JSON, "{\"a\": {% if true %}1{% endif %}}", FAULT_INVALID, "t.json:1", "between a colon and its value"},
        {PLACE_JSON, "[1 {{ parameters.users }}]", FAULT_SYNTAX, "t.json:1:7", "expected a comma"},
        {PLACE_JSON, "[,1]", FAULT_SYNTAX, "t.json:1:2", "a comma with no value"},
        {PLACE_JSON, "[1,,2]", FAULT_SYNTAX, "t.json:1:4", "a comma with no value"},
        {PLACE_JSON, "[tru]", FAULT_SYNTAX, "t.json:1:2", "text needs quotes"},
        {PLACE_JSON, "[01]", FAULT_SYNTAX, "t.json:1:2", "no number"},
        {PLACE_JSON, "[\"\\q\"]", FAULT_SYNTAX, "t.json:1", "no such escape"},
        {PLACE_JSON, "[\"\\ud800\"]", FAULT_SYNTAX, "t.json:1", "no character"},
        {PLACE_JSON, "[\"a\nb\"]", FAULT_SYNTAX, "t.json:1:4", "line break"},
        {PLACE_JSON, "[1", FAULT_SYNTAX, "t.json:1", "before its last bracket"},
        {PLACE_JSON, "{% if true %}1{% endif %}", FAULT_INVALID, "t.json:1", "before the body's value"},
        {PLACE_URL, "https://h/{% if true %}a?{% endif %}b", FAULT_INVALID, "t.json:1", "in the URL's query"},
        {PLACE_URL, "https://h{% if true %}/{% endif %}", FAULT_INVALID, "t.json:1", "in the URL's host"},
        {PLACE_XML, "<{{ parameters.text }}/>", FAULT_INVALID, "t.json:1", "written out"},
        {PLACE_XML, "<a b={{ parameters.text }}/>", FAULT_INVALID, "t.json:1", "needs quotes"},
        {PLACE_XML, "<!-- {{ parameters.text }} -->", FAULT_INVALID, "t.json:1", "comment"},
        {PLACE_XML, "<a b='", FAULT_SYNTAX, "t.json:1", "ends inside a tag"},
        {PLACE_XML, "<a {% if true %}b='{% endif %}'/>", FAULT_INVALID, "t.json:1", "in an attribute"},
        {PLACE_TEXT, "{% iff %}", FAULT_SYNTAX, "t.json:1", "no tag \"iff\""},
        {PLACE_TEXT, "{% if", FAULT_SYNTAX, "t.json:1", "%} is missing"},
        {PLACE_TEXT, "{# a", FAULT_SYNTAX, "t.json:1", "not closed by #}"},
        {PLACE_TEXT, "{% raw %} {{ a", FAULT_SYNTAX, "t.json:1", "has no {% endraw %}"},
        {PLACE_TEXT, "a\xFF", FAULT_SYNTAX, "t.json:1", "UTF-8"},
        {PLACE_TEXT, "{{ ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1", FAULT_TOO_LARGE,
         "t.json:1", "nested deeper than 64"},
        {PLACE_JSON, "", FAULT_SYNTAX, "t.json:1", "the template makes no JSON"},
        {PLACE_JSON, "{# a\n b #}{\n\"a\": }", FAULT_SYNTAX, "t.json:3:6", "no value"},
        {PLACE_JSON, "{{ parameters.users }}{{ parameters.users }}", FAULT_SYNTAX, "t.json:1", "makes no JSON"},
        {PLACE_JSON, "-{{ parameters.users }}", FAULT_SYNTAX, "t.json:1", "makes no JSON"},
        {PLACE_JSON, "{ {{ parameters.text }}: 1}", FAULT_SYNTAX, "t.json:1", "makes no JSON"},
        {PLACE_JSON, "\"\\{{ parameters.users }}\"", FAULT_SYNTAX, "t.json:1", "behind a backslash"},
        {PLACE_JSON, "{\"a\":1,\"a\":2}", FAULT_SYNTAX, "t.json:1", "twice"},
        {PLACE_URL, "https://{{ parameters.text }}/", FAULT_INVALID, "t.json:1:12", "scheme, host and port"},
        {PLACE_URL, "{{ parameters.text }}://h/", FAULT_INVALID, "t.json:1", "scheme, host and port"},
        {PLACE_URL, "https://h:{{ parameters.users }}/", FAULT_INVALID, "t.json:1", "scheme, host and port"},
        {PLACE_URL, "https://h{{ parameters.path }}", FAULT_INVALID, "t.json:1", "scheme, host and port"},
        {PLACE_URL, "{{ request.body.links.self }}/x", FAULT_INVALID, "t.json:1", "scheme, host and port"},
        {PLACE_URL, "{{ request.body.links.self | lower }}", FAULT_INVALID, "t.json:1", "a plain path"},
        {PLACE_URL, "ftp://h/{{ parameters.path }}", FAULT_INVALID, "t.json:1", "http://"},
        {PLACE_URL, "https://u@h/{{ parameters.path }}", FAULT_INVALID, "t.json:1", "user name"},
        {PLACE_URL, "https://h/a b", FAULT_INVALID, "t.json:1", "not allowed"},
        {PLACE_URL, "https://h/../{{ parameters.path }}", FAULT_INVALID, "t.json:1", ". or .."},
        {PLACE_URL, "https://h/?{{ parameters.path | segments }}", FAULT_INVALID, "t.json:1", "only for the path"},
        {PLACE_HEADER, "a\r\nb: {{ parameters.text }}", FAULT_SYNTAX, "t.json:1", "control"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        struct template_rules rules = rules_of(cases[i].place);
        if (template_compile(arena, text_of(cases[i].source), &rules, &fault)) fail_msg("taken: %s", cases[i].source);
        if (!strstr(fault.what, cases[i].what)) fail_msg("%s: %s", cases[i].source, fault.what);
        assert_int_equal(fault.kind, cases[i].kind);
        assert_where(&fault, cases[i].where);
        arena_free(arena);
    }
}

static void templates_that_do_not_render(void **state) {
    (void)state;
    static const struct {
        enum template_place place;
        const char *source;
        enum fault_kind kind;
        const char *what;
    } cases[] = {
        {PLACE_TEXT, "\n{{ parameters.nope }}", FAULT_UNDEFINED, "parameters.nope is undefined"},
        {PLACE_TEXT, "\n{{ parameters.users.x[0] }}", FAULT_UNDEFINED, "parameters.users.x[0] is undefined"},
        {PLACE_TEXT, "\n{{ parameters.text.x }}", FAULT_UNDEFINED,
         "parameters.text.x is undefined: \"x\" is looked for in a value of type string"},
        {PLACE_TEXT, "\n{{ parameters.none.x }}", FAULT_UNDEFINED,
         "parameters.none.x is undefined: \"x\" is looked for in a value of type null"},
        {PLACE_TEXT, "\n{{ absent }}", FAULT_UNDEFINED, "absent is undefined"},
        {PLACE_TEXT, "\n{{ parameters.none }}", FAULT_UNDEFINED, "parameters.none is null"},
        {PLACE_TEXT, "\n{{ 'a' ~ parameters.none }}", FAULT_UNDEFINED, "parameters.none is null"},
        {PLACE_TEXT, "\n{{ parameters.list[3] }}", FAULT_UNDEFINED, "parameters.list[3] is undefined"},
        {PLACE_TEXT, "\n{{ 1 if parameters.empty }}", FAULT_UNDEFINED, "has no else"},
        {PLACE_TEXT, "\n{{ parameters.no | first }}", FAULT_UNDEFINED, "is empty"},
        {PLACE_TEXT, "\n{{ parameters.o | upper }}", FAULT_INVALID,
         "upper takes text, but parameters.o is of type object"},
        {PLACE_TEXT, "\n{{ parameters.text + 1 }}", FAULT_INVALID, "~ joins a text and a number"},
        {PLACE_TEXT, "\n{{ 1 // 0 }}", FAULT_INVALID, "division by zero"},
        {PLACE_TEXT, "\n{{ parameters.users | default(1 // 0) }}", FAULT_INVALID, "division by zero"},
        {PLACE_TEXT, "\n{{ 1.5 % 0 }}", FAULT_INVALID, "division by zero"},
        {PLACE_TEXT, "\n{{ 9223372036854775807 + 1 }}", FAULT_TOO_LARGE, "beyond what a number can hold"},
        {PLACE_TEXT, "\n{{ -9223372036854775807 * 2 }}", FAULT_TOO_LARGE, "beyond what a number can hold"},
        {PLACE_TEXT, "\n{{ (-9223372036854775807 - 1) // -1 }}", FAULT_TOO_LARGE, "beyond what a number can hold"},
        {PLACE_TEXT, "\n{{ 1e308 * 10 }}", FAULT_TOO_LARGE, "beyond what a number can hold"},
        {PLACE_TEXT, "\n{{ [1, 'a'] | sort }}", FAULT_INVALID, "have no order"},
        {PLACE_TEXT, "\n{{ [{}] | map(attribute='a') }}", FAULT_UNDEFINED, "an element has no a"},
        {PLACE_TEXT, "\n{{ [] | max }}", FAULT_UNDEFINED, "is empty"},
        {PLACE_TEXT, "\n{% for x in 5 %}{% endfor %}", FAULT_INVALID, "a loop goes over an array or object"},
        {PLACE_TEXT, "\n{% for x, y in [1] %}{% endfor %}", FAULT_INVALID, "takes pairs"},
        {PLACE_TEXT, "\n{% if false %}{% set x = 1 %}{% endif %}{{ x }}", FAULT_UNDEFINED, "x is undefined"},
        {PLACE_TEXT, "\n{{ 'a' * 9000000000 }}", FAULT_TOO_LARGE, "bytes of text"},
        {PLACE_TEXT, "\n{{ 'x' | b64decode }}", FAULT_INVALID, "no base64"},
        {PLACE_TEXT, "\n{{ '/w==' | b64decode }}", FAULT_INVALID, "no UTF-8"},
        {PLACE_TEXT, "\n{{ '{' | fromjson }}", FAULT_SYNTAX, "not valid JSON"},
        {PLACE_TEXT, "\n{{ 'maybe' | bool }}", FAULT_INVALID, "true, yes, on"},
        {PLACE_TEXT, "\n{{ ('a' * 30 ~ 'X') is match('(a|a)*$') }}", FAULT_TOO_LARGE, "the match limit"},
        {PLACE_XML, "\n<a>{{ parameters.nul }}</a>", FAULT_INVALID, "XML cannot hold"},
        {PLACE_TEXT, "\n{{ parameters.text < 1 }}", FAULT_INVALID, "have no order"},
        {PLACE_JSON, "{\"{{ parameters.key }}\": 1, \"text\": 2}", FAULT_INVALID, "has already"},
        {PLACE_JSON, "{ {% for x in [1, 2] %}\"a\": {{ x }},{% endfor %}}", FAULT_INVALID, "has already"},
        {PLACE_JSON, "\n\"{{ parameters.none }}\"", FAULT_UNDEFINED, "parameters.none is null"},
        {PLACE_URL, "https://h/{{\nparameters.empty }}/x", FAULT_INVALID, "parameters.empty is empty"},
        {PLACE_URL, "https://h/{{\nparameters.dots }}/x", FAULT_INVALID, "parameters.dots is . or .."},
        {PLACE_URL, "https://h/{{\nparameters.dot }}", FAULT_INVALID, "parameters.dot is . or .."},
        {PLACE_URL, "https://h/.{{\nparameters.dot }}", FAULT_INVALID, "parameters.dot is . or .."},
        {PLACE_URL, "https://h/{{\nparameters.dot }}./x", FAULT_INVALID, "parameters.dot is . or .."},
        {PLACE_URL, "https://h/.{{\nparameters.empty }}", FAULT_INVALID, "parameters.empty is empty"},
        {PLACE_URL, "https://h/{{\nparameters.up | segments }}", FAULT_INVALID, "is . or .."},
        {PLACE_URL, "https://h/{{\nparameters.list }}", FAULT_INVALID, "array or object"},
        {PLACE_URL, "{{\nrequest.body.links.bad }}", FAULT_INVALID, "no URL"},
        {PLACE_URL, "{{\nrequest.body.links.n }}", FAULT_INVALID, "is no text"},
        {PLACE_URL, "{{\nrequest.body.links.gone }}", FAULT_UNDEFINED, "request.body.links.gone is undefined"},
        {PLACE_HEADER, "{{\nparameters.crlf }}", FAULT_INVALID, "parameters.crlf holds a control character"},
        {PLACE_HEADER, "{{\nparameters.nul }}", FAULT_INVALID, "control character"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        const struct json *roots[COUNT(ROOTS)] = {NULL};
        struct template_rules rules = rules_of(cases[i].place);
        struct buf out;
        buf_init(&out, 4096);
        buf_adds(&out, "kept");
        read_values(arena, roots);
        const struct template *t = template_compile(arena, text_of(cases[i].source), &rules, &fault);
        if (!t) fail_msg("%s: %s", cases[i].source, fault.what);
        if (template_render(t, roots, &out, &fault)) fail_msg("%s: %s", cases[i].source, buf_cstr(&out));
        if (!strstr(fault.what, cases[i].what)) fail_msg("%s: %s", cases[i].source, fault.what);
        assert_int_equal(fault.kind, cases[i].kind);
        assert_where(&fault, strchr(cases[i].source, '\n') ? "t.json:2" : "t.json:1");
        assert_string_equal(buf_cstr(&out), "kept");
        assert_null(strstr(fault.what, "s3cret"));
        buf_fini(&out);
        arena_free(arena);
    }
}

/* Names that turn out to be the same only when values are known: what is shown is the one that came second. */
static void names_that_coincide_are_shown(void **state) {
    (void)state;
    static const struct {
        const char *source, *where, *lines;
    } cases[] = {
        {"{\"{{ parameters.key }}\": 1,\n \"text\": 2}", "t.json:2:3", " \"text\": 2}\n  ^~~~"},
        {"{\"text\": 1,\n \"{{ parameters.key }}\": 2}", "t.json:2:6",
         " \"{{ parameters.key }}\": 2}\n     ^~~~~~~~~~~~~~"},
        {"{\"text\": 1, \"te{{ parameters.nope | default('') }}{{ 'xt' }}\": 2}", "t.json:1:54", NULL},
        {"{ {% for x in [1, 2] %}\"a\": {{ x }},{% endfor %}}", "t.json:1:25", NULL},
        {"{ {% if parameters.users %}\"a\": 1,{% endif %} \"b\": {\"a\": {}}, {% if true %}\"a\": 2{% endif %} }",
         "t.json:1:77", NULL},
        {"[{\"a\": 1},{ \"\\\\\": {% if true %}1, \"\\\"\":2, \"\\\\\": {% endif %} 5} ]", "t.json:1:44", NULL},
        {"{\"a\": {\"a\": {\"text\": 1, {% for k in {'text': 1} %}\"{{ k }}\": 2{% endfor %}}}}", "t.json:1:55", NULL},
        {"{\"A\": 1, \"\\u0041\": 2}", "t.json:1:11", "{\"A\": 1, \"\\u0041\": 2}\n          ^~~~~~"},
        {"{ {% for x in [1, 2] %}\"a{% set y = 0 %}b\": {{ x }},{% endfor %}}", "t.json:1", NULL},
        {"{\"\": {{ '\\u00e9' }}, {% set x %}\"\"{% endset %}\"{{ parameters.empty }}\": {{ x }}}", "t.json:1", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        const struct json *roots[COUNT(VALUES)];
        struct fault fault = {0};
        struct template_rules rules = rules_of(PLACE_JSON);
        struct buf out;
        buf_init(&out, 4096);
        buf_adds(&out, "kept");
        read_values(arena, roots);
        const struct template *t = template_compile(arena, text_of(cases[i].source), &rules, &fault);
        if (!t) fail_msg("%s: %s: %s", cases[i].source, fault.where, fault.what);
        assert_false(template_render(t, roots, &out, &fault));
        if (strcmp(fault.where, cases[i].where) != 0) fail_msg("%s: %s\n%s", cases[i].source, fault.where, fault.lines);
        assert_string_equal(fault.what, "this makes a member whose name the object has already");
        if (cases[i].lines) assert_string_equal(fault.lines, cases[i].lines);
        assert_string_equal(buf_cstr(&out), "kept");
        buf_fini(&out);
        arena_free(arena);
    }
}

/* The examples of docs/templates.md. */
static void the_examples_of_the_docs(void **state) {
    (void)state;
    static const struct {
        enum template_place place;
        const char *source, *made;
    } cases[] = {
        {PLACE_URL, "https://ci.example.com/jobs/{{ parameters.job }}/runs?branch={{ parameters.branch }}",
         "https://ci.example.com/jobs/nightly%2Ffull/runs?branch=a%26b"},
        {PLACE_JSON,
         "{\"text\": \"{{ parameters.users }} for {{ parameters.name }}\", \"users\": {{ parameters.users }}, "
         "\"tags\": "
         "{{ parameters.tags }}}",
         "{\"text\": \"50 for a \\\"b\\\"\", \"users\": 50, \"tags\": [\"x\",\"y\"]}"},
        {PLACE_URL, "https://hub.example/v2/{{ parameters.image | segments }}/tags/list",
         "https://hub.example/v2/library/nginx/tags/list"},
        {PLACE_TEXT, "{{ parameters.note | default('none') }}", "none"},
    };
    struct arena *arena = arena_new();
    const struct json *roots[COUNT(ROOTS)] = {
        json_parse(arena,
                   TEXT("{\"job\":\"nightly/full\",\"branch\":\"a&b\",\"users\":50,\"name\":\"a \\\"b\\\"\","
                        "\"tags\":[\"x\",\"y\"],\"image\":\"library/nginx\"}"),
                   &LIMITS, NULL)};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fault fault = {0};
        struct template_rules rules = rules_of(cases[i].place);
        struct buf out;
        buf_init(&out, 4096);
        const struct template *t = template_compile(arena, text_of(cases[i].source), &rules, &fault);
        if (!t || !template_render(t, roots, &out, &fault)) fail_msg("%s: %s", cases[i].source, fault.what);
        assert_string_equal(buf_cstr(&out), cases[i].made);
        buf_fini(&out);
    }
    arena_free(arena);
}

static void questions(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct fault fault = {0};
    size_t root = 99;
    const struct json *roots[COUNT(ROOTS)] = {NULL};
    struct template_rules url = rules_of(PLACE_URL), text = rules_of(PLACE_TEXT);
    read_values(arena, roots);
    const struct template *whole = template_compile(arena, TEXT("{{ request.body.links.self }}"), &url, &fault);
    assert_true(template_is_whole_url(whole, &root));
    assert_int_equal(root, 2);
    assert_true(template_uses(whole, 2));
    assert_false(template_uses(whole, 0));
    const struct template *fixed = template_compile(arena, TEXT("https://h/"), &url, &fault);
    assert_false(template_is_whole_url(fixed, &root));
    const struct template *list = template_compile(arena, TEXT("{{ parameters.list }}"), &text, &fault);
    assert_true(json_same(template_value(list, roots, arena, &fault), json_gets(roots[0], "list")));
    const struct template *mixed = template_compile(arena, TEXT("n={{ parameters.users }}"), &text, &fault);
    assert_true(text_is(json_text(template_value(mixed, roots, arena, &fault)), "n=50"));
    const struct template *made = template_compile(arena, TEXT("{{ parameters.text | upper }}"), &text, &fault);
    assert_true(text_is(json_text(template_value(made, roots, arena, &fault)), "ABC"));
    const struct template *none = template_compile(arena, TEXT("{{ parameters.nope }}"), &text, &fault);
    assert_null(template_value(none, roots, arena, &fault));
    assert_int_equal(fault.kind, FAULT_UNDEFINED);
    text.no_secrets = true;
    text.line = 14;
    assert_null(template_compile(arena, TEXT("a\n{{ secret.token }}"), &text, &fault));
    assert_where(&fault, "t.json:15");
    assert_int_equal(fault.kind, FAULT_INVALID);
    assert_null(template_compile(arena, TEXT("{{ parameters.x | default(secret.token) }}"), &text, &fault));
    arena_free(arena);
}

static void output_is_bounded(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct fault fault = {0};
    const struct json *roots[COUNT(ROOTS)] = {NULL};
    struct template_rules rules = rules_of(PLACE_TEXT);
    struct buf out;
    read_values(arena, roots);
    const struct template *t = template_compile(arena, TEXT("{{ parameters.text }}{{ parameters.text }}"), &rules,
                                                &fault);
    buf_init(&out, 6);
    assert_true(template_render(t, roots, &out, &fault));
    buf_fini(&out);
    buf_init(&out, 5);
    assert_false(template_render(t, roots, &out, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    assert_non_null(strstr(fault.what, " would have more than "));
    buf_fini(&out);
    buf_init(&out, 2);
    t = template_compile(arena, TEXT("abc{{ parameters.nope }}"), &rules, &fault);
    assert_false(template_render(t, roots, &out, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE); /* the first that is wrong, in the order of the template */
    buf_fini(&out);
    size_t size = (1 << 20) + 1;
    char *large = mem_alloc(size);
    memset(large, 'x', size);
    assert_null(template_compile(arena, (struct text){large, size}, &rules, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    assert_non_null(template_compile(arena, (struct text){large, size - 1}, &rules, &fault));
    mem_free(large);
    arena_free(arena);
}

/* A text that would be too long is not begun; the limit is loose, for slow machines and sanitizers. */
#ifdef __SANITIZE_THREAD__
#define LONG_S 3 /* of each byte that is written note is taken */
#else
#define LONG_S 0.3
#endif

static void repeating_takes_no_time(void **state) {
    (void)state;
    static const char *const sources[] = {"{{ 'l' * 4 ** 21 }}", "{{ 'ab' * 9223372036854775807 }}",
                                          "{{ ('l' * 30000000) | length }}{{ '' * 4 ** 21 }}{{ 'x' * -1 }}"};
    for (size_t i = 0; i < COUNT(sources); i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        const struct json *roots[COUNT(ROOTS)] = {NULL};
        struct template_rules rules = rules_of(PLACE_TEXT);
        struct buf out;
        buf_init(&out, 100);
        const struct template *t = template_compile(arena, text_of(sources[i]), &rules, &fault);
        assert_non_null(t);
        clock_t began = clock();
        bool made = template_render(t, roots, &out, &fault);
        double took = (double)(clock() - began) / CLOCKS_PER_SEC;
        if (took > LONG_S) fail_msg("%s took %.1f s", sources[i], took);
        if (made) assert_string_equal(buf_cstr(&out), "30000000");
        else assert_int_equal(fault.kind, FAULT_TOO_LARGE);
        buf_fini(&out);
        arena_free(arena);
    }
}

/* Whatever text a value holds, a JSON body parses and gives the value back, and a URL keeps its host and its shape. */
static void no_value_breaks_out(void **state) {
    (void)state;
    static const char alphabet[] = "\"\\/?#&=%{}[]:@.,; \n\r\t<>'+~$\x01\x7f"
                                   "aZ0";
    uint64_t seed = 88172645463325252u;
    struct fault fault = {0};
    struct template_rules json_rules = rules_of(PLACE_JSON), url_rules = rules_of(PLACE_URL);
    struct arena *outer = arena_new();
    const struct template *body = template_compile(outer, TEXT("{\"a\":\"{{ parameters }}\",\"b\":{{ parameters }}}"),
                                                   &json_rules, &fault);
    const struct template *url = template_compile(
        outer, TEXT("https://h.example/p/{{ parameters }}/q?x={{ parameters }}#f"), &url_rules, &fault);
    for (int i = 0; i < 5000; i++) {
        struct arena *arena = arena_new();
        char text[12];
        size_t len = 1 + (size_t)(i % 11);
        for (size_t j = 0; j < len; j++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            text[j] = alphabet[seed % (sizeof alphabet - 1)];
        }
        const struct json *value = json_new_text(arena, (struct text){text, len}), *roots[COUNT(ROOTS)] = {value};
        struct buf out;
        buf_init(&out, 4096);
        assert_true(template_render(body, roots, &out, &fault));
        const struct json *parsed = json_parse(arena, buf_text(&out), &LIMITS, &fault);
        assert_int_equal(json_size(parsed), 2);
        assert_true(json_same(json_gets(parsed, "a"), value));
        assert_true(json_same(json_gets(parsed, "b"), value));
        buf_clear(&out);
        if (template_render(url, roots, &out, &fault)) {
            size_t slashes = 0, questions = 0, hashes = 0;
            for (size_t j = 0; j < out.len; j++) {
                slashes += out.at[j] == '/';
                questions += out.at[j] == '?';
                hashes += out.at[j] == '#';
            }
            assert_true(text_starts(buf_text(&out), "https://h.example/p/"));
            assert_int_equal(slashes, 5);
            assert_int_equal(questions, 1);
            assert_int_equal(hashes, 1);
        } else {
            assert_true(text_is(json_text(value), ".") || text_is(json_text(value), ".."));
        }
        buf_fini(&out);
        arena_free(arena);
    }
    arena_free(outer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_that_render),
        cmocka_unit_test(templates_that_do_not_compile),
        cmocka_unit_test(templates_that_do_not_render),
        cmocka_unit_test(names_that_coincide_are_shown),
        cmocka_unit_test(the_examples_of_the_docs),
        cmocka_unit_test(questions),
        cmocka_unit_test(output_is_bounded),
        cmocka_unit_test(repeating_takes_no_time),
        cmocka_unit_test(no_value_breaks_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
