/* Jayway's paths: what each is in RFC 9535, which compiles; whether it is definite; what is refused, and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lang/jsonpath.h"
#include "orca/jayway.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void paths_are_translated(void **state) {
    (void)state;
    static const struct {
        const char *jayway, *rfc, *member; /* member NULL: it is not definite */
    } cases[] = {
        {"$", "$", ""},
        {"$.status", "$.status", ".status"},
        {"status", "$.status", ".status"},
        {"a.b", "$.a.b", ".a.b"},
        {"$.a.b[0].c", "$.a.b[0].c", ".a.b[0].c"},
        {"$['a']['b c']", "$.a['b c']", ".a['b c']"},
        {"$[\"it's\"]", "$['it\\'s']", "['it\\'s']"},
        {"$.build-number", "$['build-number']", "['build-number']"},
        {"$.jobs.0", "$.jobs['0']", ".jobs['0']"},
        {"$.ünïcode", "$['ünïcode']", "['ünïcode']"},
        {"$.jobs[-1]", "$.jobs[-1]", ".jobs[-1]"},
        {"$.jobs[ 007 ]", "$.jobs[7]", ".jobs[7]"},
        {"$.['a']", "$.a", ".a"},
        {" $.a ", "$.a", ".a"},
        {"$.jobs[*].name", "$.jobs[*].name", NULL},
        {"$.jobs.*", "$.jobs.*", NULL},
        {"$..name", "$..name", NULL},
        {"$..['a b']", "$..['a b']", NULL},
        {"$..*", "$..*", NULL},
        {"$.jobs[0,1]", "$.jobs[0,1]", NULL},
        {"$.jobs[1:3]", "$.jobs[1:3]", NULL},
        {"$.jobs[:2]", "$.jobs[:2]", NULL},
        {"$.jobs[-2:]", "$.jobs[-2:]", NULL},
        {"$.jobs[?(@.name == 'x')]", "$.jobs[?@.name == 'x']", NULL},
        {"$.jobs[?(@.name == \"x\")].id", "$.jobs[?@.name == 'x'].id", NULL},
        {"$.jobs[?(@.log)]", "$.jobs[?@.log]", NULL},
        {"$.jobs[?(!(@.log))]", "$.jobs[?!(@.log)]", NULL},
        {"$.jobs[?(!@.log)]", "$.jobs[?!(@.log)]", NULL},
        {"$.jobs[?(@.n>1&&@.n <= 5||@['a b']!=null)]", "$.jobs[?@.n > 1 && @.n <= 5 || @['a b'] != null]", NULL},
        {"$.jobs[?(@.n == $.want)]", "$.jobs[?@.n == $.want]", NULL},
        {"$.jobs[?(@.s in ['a', 'b'])]", "$.jobs[?(@.s == 'a' || @.s == 'b')]", NULL},
        {"$.jobs[?(@.s nin ['a'] && @.ok == true)]", "$.jobs[?!(@.s == 'a') && @.ok == true]", NULL},
        {"$.jobs[?(@.x === -1.5e3)]", "$.jobs[?@.x == -1.5e3]", NULL},
        {"$..[?(@.id == 1)]", "$..[?@.id == 1]", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct jayway path;
        struct fault fault;
        if (!jayway_read(arena, text_of(cases[i].jayway), &path, &fault))
            fail_msg("%s: %s", cases[i].jayway, fault.what);
        assert_string_equal(path.path, cases[i].rfc);
        assert_int_equal(path.definite, cases[i].member != NULL);
        if (cases[i].member) assert_string_equal(path.member, cases[i].member);
        if (!jsonpath_compile(arena, text_of(path.path), &fault)) fail_msg("%s: %s", path.path, fault.what);
        arena_free(arena);
    }
}

static void others_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *jayway, *said;
        enum fault_kind kind;
    } cases[] = {
        {"", "the path is empty", FAULT_SYNTAX},
        {"$.", "column 3 of $.: here a name is expected", FAULT_SYNTAX},
        {"$.a[", "here an index or a name in quotes is expected", FAULT_SYNTAX},
        {"$.a['b", "this quote is never closed", FAULT_SYNTAX},
        {"$.a[0", "this bracket is never closed", FAULT_SYNTAX},
        {"$.a b", "this cannot stand here", FAULT_SYNTAX},
        {"$.a[99999999999]", "this is no index", FAULT_SYNTAX},
        {"$.jobs.length()", "column 8 of $.jobs.length(): length() is a function of Jayway's", FAULT_UNSUPPORTED},
        {"$.n.sum()", "sum() is a function of Jayway's", FAULT_UNSUPPORTED},
        {"$.a(b)", "( cannot stand in a name", FAULT_SYNTAX},
        {"$.jobs[(@.length-1)]", "the last element is written [-1]", FAULT_UNSUPPORTED},
        {"$['a','b']", "several names at once", FAULT_UNSUPPORTED},
        {"$.jobs[?]", "one by name is Java's", FAULT_UNSUPPORTED},
        {"$.jobs[?(@.name =~ /a.*/i)]", "=~ has no counterpart", FAULT_UNSUPPORTED},
        {"$.jobs[?(@.tags anyof ['a'])]", "the operator anyof", FAULT_UNSUPPORTED},
        {"$.jobs[?(@.s in @.list)]", "only a list in place", FAULT_UNSUPPORTED},
        {"$.jobs[?(@.a == )]", "a path (@.x), a text or a number is expected", FAULT_SYNTAX},
        {"$.jobs[?(@.a == 1]", "here a ) is expected", FAULT_SYNTAX},
        {"concat()", "concat() takes texts in quotes and paths", FAULT_SYNTAX},
        {"concat('a', $..b)", "more than one value", FAULT_UNSUPPORTED},
        {"concat('a' $.b)", "here a comma or ) is expected", FAULT_SYNTAX},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct jayway path;
        struct fault fault = {0};
        if (jayway_read(arena, text_of(cases[i].jayway), &path, &fault)) fail_msg("%s is taken", cases[i].jayway);
        if (!strstr(fault.what, cases[i].said)) fail_msg("%s: %s", cases[i].jayway, fault.what);
        assert_int_equal(fault.kind, cases[i].kind);
        arena_free(arena);
    }
}

static void concat_is_taken_apart(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct jayway path;
    struct fault fault;
    assert_true(jayway_read(arena, TEXT("concat(\"http://h:1/\", $.a['b c'] , '/x')"), &path, &fault));
    assert_int_equal(path.part_count, 3);
    assert_true(text_is(path.parts[0].text, "http://h:1/") && !path.parts[0].is_path);
    assert_true(path.parts[1].is_path);
    assert_string_equal(path.parts[1].path, "$.a['b c']");
    assert_string_equal(path.parts[1].member, ".a['b c']");
    assert_true(text_is(path.parts[2].text, "/x"));
    assert_null(path.path);
    assert_true(jayway_read(arena, TEXT("$.concat('a',$.b)"), &path, &fault));
    assert_int_equal(path.part_count, 2);
    arena_free(arena);
}

static void limits_hold(void **state) {
    (void)state;
    static const char *const heads[] = {"$.a", "$.a[?(", "concat('a'"}, *const more[] = {".b", "(", ",'b'"};
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct arena *arena = arena_new();
        struct jayway path;
        struct fault fault = {0};
        struct buf source;
        buf_init(&source, 1 << 20);
        buf_adds(&source, heads[i]);
        for (size_t j = 0; source.len + 10 < JAYWAY_MAX_BYTES + (i == 0 ? 100 : 0); j++) buf_adds(&source, more[i]);
        assert_false(jayway_read(arena, buf_text(&source), &path, &fault));
        assert_int_equal(fault.kind, FAULT_TOO_LARGE);
        buf_fini(&source);
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_translated),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(concat_is_taken_apart),
        cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
