/* JSONPath: a table of our own, the mistakes with their columns, the limits, and RFC 9535's compliance suite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lang/jsonpath.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
static const struct json_limits LIMITS = {.max_bytes = 8 << 20, .max_depth = 512, .max_items = 2000000};

static const char BUILD[] = "{\"state\":\"done\",\"jobs\":[{\"name\":\"a\",\"result\":\"ok\",\"ms\":5},"
                            "{\"name\":\"b\",\"result\":\"bad\",\"ms\":12.5,\"log\":{\"url\":\"u\"}}],"
                            "\"it's\":1,\"none\":null}";

static void paths_and_values_of_another_form(void **state) {
    (void)state;
    static const struct {
        const char *path;
        bool misfits;
    } cases[] = {
        {"$", false},
        {"$.state", false},
        {"$.none", false},
        {"$.none.x[3].y", false},
        {"$.jobs[1]", false},
        {"$.jobs[2]", false},
        {"$.jobs[-2]", false},
        {"$.jobs[-3].name", false},
        {"$.jobs[2].x", false},
        {"$.nope", true},
        {"$.nope.x", true},
        {"$.state.x", true},
        {"$.state[0]", true},
        {"$[0]", true},
        {"$.jobs.name", true},
        {"$.jobs[0].log", true},
        {"$.jobs[1].log", false},
        {"$.jobs[1].log.url.x", true},
    };
    struct arena *arena = arena_new();
    const struct json *root = json_parse(arena, text_of(BUILD), &LIMITS, NULL);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct jsonpath *path = jsonpath_compile(arena, text_of(cases[i].path), NULL);
        if (jsonpath_misfits(path, root) != cases[i].misfits) fail_msg("%s", cases[i].path);
        bool leads = jsonpath_first(path, root, arena);
        if (leads && cases[i].misfits) fail_msg("%s leads to a value", cases[i].path);
    }
    assert_false(jsonpath_misfits(jsonpath_compile(arena, TEXT("$"), NULL), NULL));
    assert_true(jsonpath_misfits(jsonpath_compile(arena, TEXT("$.x"), NULL), NULL));
    arena_free(arena);
}

static void paths_into_one_member(void **state) {
    (void)state;
    static const struct {
        const char *path, *into; /* NULL: not into one alone */
    } cases[] = {
        {"$.state", "state"},
        {"$['state'].x[0]", "state"},
        {"$[\"it's\"]", "it's"},
        {"$.jobs[*].name", "jobs"},
        {"$.jobs[::-1].ms", "jobs"},
        {"$.jobs..name", "jobs"},
        {"$.jobs['a', 'b']", "jobs"},
        {"$", NULL},
        {"$[0]", NULL},
        {"$[*].x", NULL},
        {"$[1:].x", NULL},
        {"$..name", NULL},
        {"$['a', 'b']", NULL},
        {"$[?@.x].y", NULL},
        {"$.jobs[?@.name == $.name].ms", NULL}, /* which looks at the root again */
    };
    struct arena *arena = arena_new();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct text name = {0};
        bool into = jsonpath_into(jsonpath_compile(arena, text_of(cases[i].path), NULL), &name);
        if (into != (cases[i].into != NULL)) fail_msg("%s", cases[i].path);
        if (into && !text_is(name, cases[i].into)) fail_msg("%s: %.*s", cases[i].path, TEXT_ARG(name));
    }
    arena_free(arena);
}

static void paths_that_find(void **state) {
    (void)state;
    static const struct {
        const char *path, *nodes;
        bool singular;
    } cases[] = {
        {"$.state", "[\"done\"]", true},
        {"$['state']", "[\"done\"]", true},
        {"$[\"it's\"]", "[1]", true},
        {"$['it\\'s']", "[1]", true},
        {"$.none", "[null]", true},
        {"$.nope", "[]", true},
        {"$.jobs[-1].name", "[\"b\"]", true},
        {"$.jobs[0]['name']", "[\"a\"]", true},
        {"$.jobs[2]", "[]", true},
        {"$.jobs[*].name", "[\"a\",\"b\"]", false},
        {"$.jobs[0:1].ms", "[5]", false},
        {"$.jobs[::-1].ms", "[12.5,5]", false},
        {"$..name", "[\"a\",\"b\"]", false},
        {"$..url", "[\"u\"]", false},
        {"$.jobs[?@.result == 'bad'].name", "[\"b\"]", false},
        {"$.jobs[?@.log].name", "[\"b\"]", false},
        {"$.jobs[?!@.log].name", "[\"a\"]", false},
        {"$.jobs[?@.ms > 4 && @.ms <= 5 || @.name == 'x'].name", "[\"a\"]", false},
        {"$.jobs[?@.name == $.jobs[0].name].ms", "[5]", false},
        {"$.jobs[?match(@.name, '[b-z]')].ms", "[12.5]", false},
        {"$.jobs[?length(@.result) == 3].name", "[\"b\"]", false},
        {"$.jobs[?count(@.*) > 3].name", "[\"b\"]", false},
    };
    struct arena *arena = arena_new();
    const struct json *root = json_parse(arena, text_of(BUILD), &LIMITS, NULL);
    assert_non_null(root);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fault fault = {0};
        struct jsonpath_nodes nodes;
        const struct jsonpath *path = jsonpath_compile(arena, text_of(cases[i].path), &fault);
        if (!path) fail_msg("%s: %s", cases[i].path, fault.what);
        assert_string_equal(jsonpath_source(path), cases[i].path);
        assert_int_equal(jsonpath_singular(path), cases[i].singular);
        assert_true(jsonpath_find(path, root, arena, &nodes, &fault));
        struct json *list = json_new_array(arena);
        for (size_t j = 0; j < nodes.count; j++) json_push(list, nodes.items[j]);
        const struct json *wanted = json_parse(arena, text_of(cases[i].nodes), &LIMITS, NULL);
        if (!json_same(list, wanted)) fail_msg("%s finds %zu nodes", cases[i].path, nodes.count);
        assert_ptr_equal(jsonpath_first(path, root, arena), nodes.count ? nodes.items[0] : NULL);
    }
    arena_free(arena);
}

/* The path is shown, and the caret below it stands in the column that the sentence names. */
static void assert_caret(const struct fault *fault, const char *path) {
    const char *line = strchr(fault->lines, '\n'), *caret = strchr(fault->lines, '^');
    const char *named = strstr(fault->what, "column ");
    char column[32];
    assert_true(line && caret && named);
    assert_true(text_is((struct text){fault->lines, (size_t)(line - fault->lines)}, path));
    snprintf(column, sizeof column, "column %d:", (int)(caret - line));
    assert_true(text_starts(text_of(named), column));
}

static void mistakes_have_their_column(void **state) {
    (void)state;
    static const struct {
        const char *path, *what;
    } cases[] = {
        {"", "column 1: expected $"},
        {"state", "column 1: expected $"},
        {"$.", "column 3: expected a name"},
        {"$.1", "column 3: expected a name"},
        {"$x", "column 2: expected . or ["},
        {"$ ", "column 2: expected . or ["},
        {"$['a", "column 5: expected the closing quote, but the path ends"},
        {"$[a]", "column 3: expected a name in quotes"},
        {"$[01]", "column 3: an integer with a leading zero"},
        {"$[9007199254740992]", "column 3: an integer beyond"},
        {"$[0", "column 4: expected ] or ,"},
        {"$[?@.a ! 1]", "column 8: expected ] or ,"},
        {"$[?@.\xC3\xA9 ! 1]", "column 8: expected ] or ,"},
        {"$[?1]", "column 4: a value alone"},
        {"$[?@.* == 1]", "column 4: only a single value"},
        {"$[?foo(@)]", "column 4: expected a query, a literal"},
        {"$[?length(@.*) == 1]", "column 11: this function takes a value"},
        {"$[?count(1) == 1]", "column 10: this function takes a query"},
        {"$[?match(@.a, '(')]", "the pattern has a mistake"},
        {"$['\\x']", "column 5: expected one of"},
        {"$['\\ud800']", "column 10: expected the low surrogate"},
        {"$[?@.a == 1e999]", "column 11: a number that is too large"},
        {"$[?((((((((((((((((((((((((((((((((((@.a))))))))))))))))))))))))))))))))))]", "nested too deeply"},
        {"$[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@[?@",
         "nested too deeply"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        if (jsonpath_compile(arena, text_of(cases[i].path), &fault)) fail_msg("taken: %s", cases[i].path);
        if (!strstr(fault.what, cases[i].what)) fail_msg("%s: %s", cases[i].path, fault.what);
        if (text_starts(text_of(cases[i].what), "column ")) assert_caret(&fault, cases[i].path);
        arena_free(arena);
    }
}

/* What users of other dialects write gets an answer that they can use. */
static void habits_of_other_dialects(void **state) {
    (void)state;
    static const struct {
        const char *path, *what;
    } cases[] = {
        {"state", "column 1: expected $, which begins every path; write $.state"},
        {"jobs[0].name", "write $.jobs[0].name"},
        {".state", "write $.state"},
        {"['a']", "write $['a']"},
        {"@.a", "write $.a"},
        {"$.x.length()",
         "column 5: functions stand in filters only, as in $.jobs[?length(@.name) > 3]; in an output, a "
         "template counts: {{ body.jobs | length }}"},
        {"$.a.b-c", "column 6: a name with anything but letters, digits and _ needs quotes: ['a-b']"},
        {"$.a.0", "column 5: expected a name behind the dot; an index is written [0]"},
        {"$.a.['b']", "column 5: expected a name behind the dot; in front of [ there is no dot"},
        {"$.a[(@.length-1)]", "column 5: scripts are no part of RFC 9535; the last element is written [-1]"},
        {"$[?(@.a =~ /x/)]", "column 9: a comparison with a pattern is written match(@.name, 'a.*')"},
        {"$[?match(@.a, /x/)]", "column 15: a pattern is a string"},
        {"$[?(@.a = 'x')]", "column 9: equality is written =="},
        {"$[?(@.a <> 'x')]", "column 9: inequality is written !="},
        {"$[?(@.a and @.b)]", "column 9: and is written &&"},
        {"$[?(@.a or @.b)]", "column 9: or is written ||"},
        {"$[?(@.a in ['x'])]", "column 9: there is no in"},
        {"$[?(@.a contains 'x')]", "column 9: there is no contains"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct fault fault = {0};
        if (jsonpath_compile(arena, text_of(cases[i].path), &fault)) fail_msg("taken: %s", cases[i].path);
        if (!strstr(fault.what, cases[i].what)) fail_msg("%s: %s", cases[i].path, fault.what);
        arena_free(arena);
    }
}

/* RFC 9535, 2.7 and its table 20. */
static void normalised_paths(void **state) {
    (void)state;
    static const struct {
        const char *path, *document, *wanted;
    } cases[] = {
        {"$", "1", "$"},
        {"$.a", "{\"a\":1}", "$['a']"},
        {"$[-3]", "[1,2,3,4,5]", "$[2]"},
        {"$.a.b[1:2]", "{\"a\":{\"b\":[1,2]}}", "$['a']['b'][1]"},
        {"$['\\u000B']", "{\"\\u000b\":1}", "$['\\u000b']"},
        {"$['\\u0061']", "{\"a\":1}", "$['a']"},
        {"$.*", "{\"'\\\\\":1,\"\\b\\t\\n\\f\\r\":2,\"\\\"/\\u007f\":3}",
         "$['\\'\\\\'] $['\\b\\t\\n\\f\\r'] $['\"/\x7F']"},
        {"$..b", "{\"a\":[{\"b\":1},{\"b\":{\"b\":2}}],\"b\":3}",
         "$['b'] $['a'][0]['b'] $['a'][1]['b'] $['a'][1]['b']['b']"},
        {"$[?@.x > 1, 0]", "[{\"x\":1},{\"x\":2}]", "$[1] $[0]"},
        {"$[::-1]", "[1,2]", "$[1] $[0]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct jsonpath_nodes nodes;
        struct buf all;
        buf_init(&all, 4096);
        const struct json *root = json_parse(arena, text_of(cases[i].document), &LIMITS, NULL);
        const struct jsonpath *path = jsonpath_compile(arena, text_of(cases[i].path), NULL);
        assert_true(root && path && jsonpath_locate(path, root, arena, &nodes, NULL));
        for (size_t j = 0; j < nodes.count; j++) buf_addf(&all, "%s%s", j ? " " : "", nodes.paths[j]);
        assert_string_equal(buf_cstr(&all), cases[i].wanted);
        buf_fini(&all);
        arena_free(arena);
    }
}

/* Ten thousand nodes below a name of a mebibyte. */
static void paths_are_bounded(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct jsonpath_nodes nodes;
    struct fault fault = {0};
    struct json *root = json_new_object(arena), *list = json_new_array(arena);
    char *name = arena_alloc(arena, 1 << 20);
    memset(name, 'n', 1 << 20);
    for (int i = 0; i < 100; i++) json_push(list, json_new_int(arena, i));
    json_set_text(root, (struct text){name, 1 << 20}, list);
    const struct jsonpath *path = jsonpath_compile(arena, TEXT("$.*.*"), NULL);
    assert_true(jsonpath_find(path, root, arena, &nodes, &fault));
    assert_null(nodes.paths);
    assert_false(jsonpath_locate(path, root, arena, &nodes, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    arena_free(arena);
}

/* Each of these would compare, count or match the large value once for every element. */
static void large_values_cost_what_they_take(void **state) {
    (void)state;
    static const char *const paths[] = {"$.list[?$.big == $.twin]",
                                        "$.list[?length($.big) == @]",
                                        "$.list[?$.big <= $.twin]",
                                        "$.list[?search($.big, '[a-z]*[0-9]')]",
                                        "$.list[?$.deep == $.deeper]",
                                        "$.list[?match($.big, $.big)]",
                                        "$.list[?search($.big, '(a|aa)+[0-9]')]"};
    struct arena *arena = arena_new();
    struct json *root = json_new_object(arena), *list = json_new_array(arena);
    struct json *deep = json_new_array(arena), *deeper = json_new_array(arena);
    char *big = arena_alloc(arena, 1 << 20);
    memset(big, 'a', 1 << 20);
    for (int i = 0; i < 9000; i++) json_push(list, json_new_int(arena, i));
    for (int i = 0; i < 9000; i++) json_push(deep, json_new_int(arena, i)), json_push(deeper, json_new_int(arena, i));
    json_set(root, "big", json_new_text(arena, (struct text){big, 1 << 20}));
    json_set(root, "twin", json_new_text(arena, (struct text){big, 1 << 20}));
    json_set(root, "list", list);
    json_set(root, "deep", deep);
    json_set(root, "deeper", deeper);
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct fault fault = {0};
        struct jsonpath_nodes nodes;
        const struct jsonpath *path = jsonpath_compile(arena, text_of(paths[i]), &fault);
        if (!path) fail_msg("%s: %s", paths[i], fault.what);
        bool done = jsonpath_find(path, root, arena, &nodes, &fault);
        if (i == 5) assert_true(done && nodes.count == 0); /* 1 MiB is no pattern: compiled once, to nothing */
        else if (done || fault.kind != FAULT_TOO_LARGE) fail_msg("%s: not bounded", paths[i]);
    }
    arena_free(arena);
}

static void walks_are_bounded(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct jsonpath_nodes nodes;
    struct fault fault = {0};
    struct json *list = json_new_array(arena);
    const struct json *one = json_new_int(arena, 1);
    for (int i = 0; i < 10000; i++) json_push(list, one);
    const struct jsonpath *all = jsonpath_compile(arena, TEXT("$[*]"), NULL);
    assert_true(jsonpath_find(all, list, arena, &nodes, &fault));
    assert_int_equal(nodes.count, 10000);
    json_push(list, one);
    assert_false(jsonpath_find(all, list, arena, &nodes, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    const struct jsonpath *square = jsonpath_compile(arena, TEXT("$[?count($[*]) == 0]"), NULL);
    assert_false(jsonpath_find(square, list, arena, &nodes, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    assert_null(jsonpath_first(square, list, arena));
    arena_free(arena);
}

/* Each of these matches ends within its own limit, but all together took seconds. */
static void matches_are_bounded_in_sum(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct jsonpath_nodes nodes;
    struct fault fault = {0};
    struct json *list = json_new_array(arena);
    const struct json *text = json_new_string(arena, "aaaaaaaaaaaaaaaaaaaaaaaaaa!");
    for (int i = 0; i < 9000; i++) json_push(list, text);
    const struct jsonpath *hard = jsonpath_compile(arena, TEXT("$[?match(@, 'a*a*a*a*a*x?')]"), NULL);
    assert_false(jsonpath_find(hard, list, arena, &nodes, &fault));
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    const struct jsonpath *easy = jsonpath_compile(arena, TEXT("$[?match(@, 'a*!')]"), NULL);
    assert_true(jsonpath_find(easy, list, arena, &nodes, &fault));
    assert_int_equal(nodes.count, 9000);
    arena_free(arena);
}

/* ---- docs/jsonpath.md ---- */

static char *read_docs(void) {
    FILE *file = fopen("docs/jsonpath.md", "rb");
    assert_non_null(file);
    char *text = mem_alloc(1 << 16);
    assert_in_range(fread(text, 1, (1 << 16) - 1, file), 1000, (1 << 16) - 2);
    fclose(file);
    return text;
}

static void check_example(struct arena *arena, const struct json *root, const char *path, const char *wanted) {
    struct fault fault = {0};
    struct jsonpath_nodes nodes;
    const struct jsonpath *compiled = jsonpath_compile(arena, text_of(path), &fault);
    if (text_starts(text_of(wanted), "refused: ")) {
        if (compiled || !strstr(fault.what, wanted + strlen("refused: "))) fail_msg("%s: %s", path, fault.what);
        return;
    }
    if (!compiled || !jsonpath_find(compiled, root, arena, &nodes, &fault)) fail_msg("%s: %s", path, fault.what);
    struct json *found = json_new_array(arena);
    for (size_t i = 0; i < nodes.count; i++) json_push(found, nodes.items[i]);
    const struct json *expected = json_parse(arena, text_of(wanted), &LIMITS, &fault);
    if (!expected) fail_msg("%s: %s", wanted, fault.what);
    if (!json_same(found, expected)) fail_msg("%s does not find %s", path, wanted);
}

static void examples_of_the_docs(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    char *docs = read_docs();
    struct text rest = text_of(docs), line;
    struct buf document;
    const struct json *root = NULL;
    enum { PROSE, JSON, PATHS } in = PROSE;
    int examples = 0;
    buf_init(&document, 1 << 16);
    while (text_cut(&rest, '\n', &line)) {
        if (text_starts(line, "```")) {
            if (in == JSON) root = json_parse(arena, buf_text(&document), &LIMITS, NULL);
            in = text_is(line, "```json") ? JSON : text_is(line, "```jsonpath") ? PATHS : PROSE;
            continue;
        }
        if (in == JSON) buf_addt(&document, line);
        if (in != PATHS) continue;
        char *path = arena_strndup(arena, line.at, line.len), *arrow = strstr(path, " \xE2\x86\x92 ");
        assert_non_null(root);
        assert_non_null(arrow);
        *arrow = 0;
        check_example(arena, root, path, arrow + 5);
        examples++;
    }
    assert_in_range(examples, 30, 1000);
    buf_fini(&document);
    mem_free(docs);
    arena_free(arena);
}

/* ---- the suite ---- */

static char *read_suite(struct text *ret) {
    const char *shared = getenv("STAGEDOOR_SHARED");
    char name[1024];
    snprintf(name, sizeof name, "%s/data/jsonpath-cts.json", shared ? shared : "../shared");
    FILE *file = fopen(name, "rb");
    if (!file) return NULL;
    char *text = mem_alloc(LIMITS.max_bytes);
    *ret = (struct text){text, fread(text, 1, LIMITS.max_bytes, file)};
    fclose(file);
    return text;
}

/* Our JSON knows no U+0000, but two selectors of the suite hold one. It is read as U+E123, which the suite has nowhere
 * else, and given to the compiler as the byte that it stands for. */
static void disguise_nul(char *text, size_t len) {
    for (char *at = text; (at = memmem(at, len - (size_t)(at - text), "\\u0000", 6)); at++) memcpy(at, "\\ue123", 6);
}

static struct text selector_of(struct arena *arena, const struct json *test) {
    struct text t = json_text(json_gets(test, "selector"));
    char *copy = arena_strndup(arena, t.at, t.len), *at = memmem(copy, t.len, "\xEE\x84\xA3", 3);
    if (!at) return t;
    memmove(at + 1, at + 3, t.len - (size_t)(at - copy) - 3);
    *at = 0;
    return (struct text){copy, t.len - 2};
}

static bool is_one_of(const struct json *found, const struct json *test, const char *only, const char *several) {
    const struct json *results = json_gets(test, several);
    if (!results) return json_same(found, json_gets(test, only));
    for (size_t i = 0; i < json_size(results); i++)
        if (json_same(found, json_at(results, i))) return true;
    return false;
}

static bool passes(const struct json *test) {
    struct arena *arena = arena_new();
    struct jsonpath_nodes nodes;
    const struct jsonpath *path = jsonpath_compile(arena, selector_of(arena, test), NULL);
    bool good = !path == json_truth(json_gets(test, "invalid_selector"));
    if (path && good) {
        struct json *found = json_new_array(arena), *paths = json_new_array(arena);
        good = jsonpath_locate(path, json_gets(test, "document"), arena, &nodes, NULL);
        for (size_t i = 0; good && i < nodes.count; i++) {
            json_push(found, nodes.items[i]);
            json_push(paths, json_new_string(arena, nodes.paths[i]));
        }
        good = good && is_one_of(found, test, "result", "results") &&
               is_one_of(paths, test, "result_paths", "results_paths");
    }
    arena_free(arena);
    return good;
}

static void the_compliance_suite(void **state) {
    (void)state;
    enum { CASES = 703, PASSING = 703 };
    struct text source;
    char *text = read_suite(&source);
    if (!text) {
        print_message("SKIPPED: the JSONPath compliance suite is not there; set STAGEDOOR_SHARED to its folder\n");
        skip();
    }
    disguise_nul(text, source.len);
    struct arena *arena = arena_new();
    struct fault fault = {0};
    const struct json *suite = json_parse(arena, source, &LIMITS, &fault);
    if (!suite) fail_msg("%s", fault.what);
    const struct json *tests = json_gets(suite, "tests");
    int passed = 0;
    for (size_t i = 0; i < json_size(tests); i++) {
        if (passes(json_at(tests, i))) passed++;
        else
            print_message("fails: %s: %s\n", json_gets_text(json_at(tests, i), "name"),
                          json_gets_text(json_at(tests, i), "selector"));
    }
    assert_int_equal(json_size(tests), CASES);
    assert_int_equal(passed, PASSING);
    arena_free(arena);
    mem_free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_into_one_member),
        cmocka_unit_test(paths_that_find),
        cmocka_unit_test(paths_and_values_of_another_form),
        cmocka_unit_test(mistakes_have_their_column),
        cmocka_unit_test(habits_of_other_dialects),
        cmocka_unit_test(normalised_paths),
        cmocka_unit_test(paths_are_bounded),
        cmocka_unit_test(large_values_cost_what_they_take),
        cmocka_unit_test(walks_are_bounded),
        cmocka_unit_test(matches_are_bounded_in_sum),
        cmocka_unit_test(examples_of_the_docs),
        cmocka_unit_test(the_compliance_suite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
