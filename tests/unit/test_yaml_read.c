/* YAML: the tree with its lines, anchors and merge keys, what is refused and where, and the limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "orca/yaml_read.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* {a=1 b=[x,y]} : a tree on one line. */
static void show(struct buf *out, const struct yaml *node) {
    if (node->kind == YAML_TEXT) buf_addf(out, "%.*s@%d", TEXT_ARG(node->text), node->line);
    if (node->kind == YAML_LIST) {
        buf_addc(out, '[');
        for (size_t i = 0; i < node->count; i++) {
            if (i) buf_addc(out, ',');
            show(out, node->items[i]);
        }
        buf_addc(out, ']');
    }
    if (node->kind == YAML_MAP) {
        buf_addc(out, '{');
        for (size_t i = 0; i < node->count; i++) {
            buf_addf(out, "%s%.*s=", i ? " " : "", TEXT_ARG(node->pairs[i].key->text));
            show(out, node->pairs[i].value);
        }
        buf_addc(out, '}');
    }
}

static void trees_are_read(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *shown; /* documents with ; between them */
    } cases[] = {
        {"", ""},
        {"# no more than a comment\n", ""},
        {"a: 1\nb: [x, y]\n", "{a=1@1 b=[x@2,y@2]}"},
        {"a:\n  b: 'it''s'\n  c: \"\\u00e9\"\n", "{a={b=it's@2 c=é@3}}"},
        {"a: |\n  one\n  two\nb: >-\n  one\n  two\n", "{a=one\ntwo\n@1 b=one two@4}"},
        {"- a\n---\n- b\n...\n", "[a@1];[b@3]"},
        {"\xEF\xBB\xBF"
         "a: b\n",
         "{a=b@1}"},
        {"a: &x {b: c}\nd: *x\n", "{a={b=c@1} d={b=c@1}}"},
        {"a: &x 1\nb: &x 2\nc: *x\n", "{a=1@1 b=2@2 c=2@2}"},
        {"base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  x: 3\n", "{base={x=1@1 y=2@1} mine={x=3@4 y=2@1}}"},
        {"a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], z: 3}\n",
         "{a={x=1@1} b={x=2@2 y=2@2} c={z=3@3 x=1@1 y=2@2}}"},
        {"a: {\"<<\": 1}\n", "{a={<<=1@1}}"},
        {"a:\n", "{a=@1}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct yaml **documents;
        size_t count;
        struct fault fault;
        struct buf shown;
        buf_init(&shown, 10000);
        if (!yaml_read(arena, text_of(cases[i].yaml), "x", &documents, &count, &fault))
            fail_msg("%s: %s %s", cases[i].yaml, fault.where, fault.what);
        for (size_t j = 0; j < count; j++) {
            if (j) buf_addc(&shown, ';');
            show(&shown, documents[j]);
        }
        assert_string_equal(buf_cstr(&shown), cases[i].shown);
        buf_fini(&shown);
        arena_free(arena);
    }
}

static void scalars_mean_what_yaml_1_1_says(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct yaml **documents;
    size_t count;
    struct fault fault;
    assert_true(yaml_read(arena, TEXT("a: yes\nb: 'yes'\nc: ~\nd: 'null'\ne:\nf: Off\ng: |\n  text\nh: 007\n"), "x",
                          &documents, &count, &fault));
    const struct yaml *map = documents[0];
    static const struct {
        const char *key, *text;
        bool null;
    } cases[] = {{"a", "true", false}, {"b", "yes", false},   {"c", "~", true},   {"d", "null", false},
                 {"e", "", true},      {"f", "false", false}, {"h", "007", false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_true(text_is(yaml_as_text(yaml_get(map, cases[i].key)), cases[i].text));
        assert_int_equal(yaml_is_null(yaml_get(map, cases[i].key)), cases[i].null);
    }
    assert_int_equal(yaml_get(map, "g")->line, 7);
    assert_int_equal(yaml_get(map, "g")->text_line, 8);
    assert_true(yaml_is_null(yaml_get(map, "nope")) && !yaml_get(yaml_get(map, "a"), "x"));
    arena_free(arena);
}

static void mistakes_say_where(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        size_t len;
        const char *where, *what;
        enum fault_kind kind;
    } cases[] = {
#define CASE(yaml, where, what, kind) {yaml, sizeof yaml - 1, where, what, FAULT_##kind}
        CASE("a:\n\tb: c\n", "f:2:1", "a tab cannot stand here", SYNTAX),
        CASE("a: b\nc: d\na: e\n", "f:3:1", "the key a stands here a second time; the first is in line 1", INVALID),
        CASE("a: \xC3\x28\n", "f:1:4", "this is not UTF-8", SYNTAX),
        CASE("é: \xFF\n", "f:1:4", "this is not UTF-8", SYNTAX),
        CASE("a: b\nc: \xED\xA0\x80\n", "f:2:4", "this is not UTF-8", SYNTAX),
        CASE("a: \0b\n", "f:1:4", "a control character", SYNTAX),
        CASE("a: \"\\0\"\n", "f:1:4", "the character NUL", INVALID),
        CASE("a: [b\n", "f:2:1", "", SYNTAX),
        CASE("a: b: c\n", "f:1:5", "", SYNTAX),
        CASE("{[a]: b}\n", "f:1:2", "a key has to be a text", INVALID),
        CASE("a: *b\n", "f:1:4", "there is no &b above this *b", SYNTAX),
        CASE("&a [*a]\n", "f:1:5", "*a stands inside of what &a names", SYNTAX),
        CASE("--- &a x\n--- *a\n", "f:2:5", "there is no &a", SYNTAX),
        CASE("a: {<<: b}\n", "f:1:5", "<< takes a mapping", INVALID),
        CASE("a: {<<: [b]}\n", "f:1:5", "<< takes mappings", INVALID),
#undef CASE
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct yaml **documents;
        size_t count;
        struct fault fault = {0};
        struct text text = {cases[i].yaml, cases[i].len};
        if (yaml_read(arena, text, "f", &documents, &count, &fault)) fail_msg("case %zu is taken", i);
        assert_string_equal(fault.where, cases[i].where);
        if (!strstr(fault.what, cases[i].what)) fail_msg("case %zu: %s", i, fault.what);
        assert_int_equal(fault.kind, cases[i].kind);
        arena_free(arena);
    }
}

static void assert_too_large(struct buf *source, const char *what) {
    struct arena *arena = arena_new();
    struct yaml **documents;
    size_t count;
    struct fault fault = {0};
    assert_false(yaml_read(arena, buf_text(source), "f", &documents, &count, &fault));
    if (!strstr(fault.what, what)) fail_msg("%s", fault.what);
    assert_int_equal(fault.kind, FAULT_TOO_LARGE);
    assert_true(arena_bytes(arena) < 100 << 20);
    buf_fini(source);
    arena_free(arena);
}

static void limits_hold(void **state) {
    (void)state;
    struct buf source;
    buf_init(&source, 8 << 20);
    for (int i = 0; i < YAML_MAX_DEPTH + 1; i++) buf_addc(&source, '[');
    assert_too_large(&source, "64 levels");
    buf_init(&source, 8 << 20);
    for (int i = 0; i < YAML_MAX_NODES; i++) buf_adds(&source, "- x\n");
    assert_too_large(&source, "100,000");
    buf_init(&source, 8 << 20);
    for (int i = 0; i < YAML_MAX_KEYS + 1; i++) buf_addf(&source, "k%d: x\n", i);
    assert_too_large(&source, "2,000");
    buf_init(&source, 8 << 20);
    for (int i = 0; i < YAML_MAX_DOCUMENTS + 1; i++) buf_adds(&source, "--- x\n");
    assert_too_large(&source, "100 documents");
    buf_init(&source, 8 << 20);
    for (int i = 0; i < 1001; i++) buf_addf(&source, "- &a%d x\n", i);
    assert_too_large(&source, "1,000");
    buf_init(&source, 8 << 20);
    for (size_t i = 0; i < YAML_MAX_BYTES + 1; i++) buf_addc(&source, '#');
    assert_too_large(&source, "bytes");
}

/* A merge key copies pairs: a thousand keys, merged a thousand times, are counted. */
static void merges_are_counted(void **state) {
    (void)state;
    struct buf source;
    buf_init(&source, 8 << 20);
    buf_adds(&source, "base: &b\n");
    for (int i = 0; i < 1000; i++) buf_addf(&source, "  k%d: x\n", i);
    for (int i = 0; i < 500; i++) buf_addf(&source, "m%d: {<<: *b}\n", i);
    assert_too_large(&source, "100,000");
}

/* Aliases are shared: ten levels of ten are 10^10 leaves, and a hundred nodes. */
static void a_billion_laughs_take_no_memory(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct buf source;
    struct yaml **documents;
    size_t count;
    buf_init(&source, 8 << 20);
    buf_adds(&source, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 10; i++)
        buf_addf(&source, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_true(yaml_read(arena, buf_text(&source), "f", &documents, &count, NULL));
    assert_true(arena_bytes(arena) < 1 << 20);
    const struct yaml *last = yaml_get(documents[0], "a9"), *before = yaml_get(documents[0], "a8");
    assert_ptr_equal(last->items[0], before);
    assert_ptr_equal(last->items[9], before);
    buf_fini(&source);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_read),     cmocka_unit_test(scalars_mean_what_yaml_1_1_says),
        cmocka_unit_test(mistakes_say_where), cmocka_unit_test(limits_hold),
        cmocka_unit_test(merges_are_counted), cmocka_unit_test(a_billion_laughs_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
