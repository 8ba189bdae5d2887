/* Configuration files: values with their lines, what included files bring, and a sentence for every mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/conf_file.h"

struct memory_file {
    const char *path, *text;
};

static bool memory_read(void *arg, struct arena *arena, const char *path, struct text *ret_text, struct fault *fault) {
    (void)arena;
    for (const struct memory_file *f = arg; f->path; f++) {
        if (strcmp(f->path, path) != 0) continue;
        *ret_text = text_of(f->text);
        return true;
    }
    return fault_set(fault, FAULT_IO, NULL, "%s cannot be read: No such file or directory", path);
}

static const struct conf *read_files(struct arena *arena, struct memory_file *files, struct faults *faults) {
    struct conf_reader reader = {memory_read, files};
    faults_init(faults);
    return conf_file_read(arena, files[0].path, &reader, faults);
}

static void test_values(void **state) {
    (void)state;
    struct memory_file files[] = {{"d/x.conf", "a = 1;\nb : \"two\"\n     \" words\";\nc = true\nd = 1.5;\n"
                                               "e = [ 1, 2 ];\nf = ( \"x\",\n  { g = -3; } );\nh = 5000000000L;\n"
                                               "i = 0x7F;\n/* c\n c */ j = \"\\x41\\n\"; # end"},
                                  {NULL, NULL}};
    struct arena *arena = arena_new();
    struct faults faults;
    const struct conf *top = read_files(arena, files, &faults);
    assert_non_null(top);
    assert_int_equal(top->count, 9);
    assert_int_equal(conf_find(top, "a")->integer, 1);
    const struct conf *b = conf_find(top, "b");
    assert_true(text_is(b->string, "two words"));
    assert_int_equal(b->line, 2);
    assert_int_equal(b->value_line, 2);
    assert_int_equal(b->value_end_line, 3);
    assert_true(conf_find(top, "c")->truth);
    assert_true(conf_find(top, "d")->real == 1.5);
    assert_int_equal(conf_find(top, "e")->kind, CONF_ARRAY);
    const struct conf *f = conf_find(top, "f");
    assert_int_equal(f->kind, CONF_LIST);
    assert_int_equal(f->items[0].line, 7);
    assert_int_equal(f->items[1].line, 8);
    assert_int_equal(conf_find(&f->items[1], "g")->integer, -3);
    assert_true(conf_find(top, "h")->integer == 5000000000);
    assert_int_equal(conf_find(top, "i")->integer, 127);
    assert_true(text_is(conf_find(top, "j")->string, "A\n"));
    assert_int_equal(conf_find(top, "j")->line, 12);
    assert_null(conf_find(top, "k"));
    assert_string_equal(conf_where(arena, f), "d/x.conf:7");
    faults_fini(&faults);
    arena_free(arena);
}

static void test_includes(void **state) {
    (void)state;
    struct memory_file files[] = {
        {"d/x.conf", "a = 1;\n@include \"sub/y.conf\"\nb = 2;\ng = {\n  @include \"z.conf\"\n};\n"},
        {"d/sub/y.conf", "c = 3;\n\n@include \"w.conf\""},
        {"d/sub/w.conf", "w = \"deep\";"},
        {"d/z.conf", "z = 1;"},
        {NULL, NULL}};
    struct arena *arena = arena_new();
    struct faults faults;
    const struct conf *top = read_files(arena, files, &faults);
    assert_non_null(top);
    assert_int_equal(top->count, 5);
    assert_string_equal(conf_where(arena, conf_find(top, "c")), "d/sub/y.conf:1");
    assert_string_equal(conf_where(arena, conf_find(top, "w")), "d/sub/w.conf:1");
    assert_string_equal(conf_where(arena, conf_find(top, "b")), "d/x.conf:3");
    assert_string_equal(conf_where(arena, conf_find(conf_find(top, "g"), "z")), "d/z.conf:1");
    faults_fini(&faults);
    arena_free(arena);
}

struct mistake {
    const char *text, *where, *what;
};

static const struct mistake mistakes[] = {
    {"a = 1;\n/* never\nb = 2;\n", "x:2", "the comment /* that begins here never ends"},
    {"a = \"x;\nb = 2;\n", "x:1", "the string that begins here never ends"},
    {"a = \"x;\nb = \"y\";\n", "x:1",
     "the string that begins here runs on over other settings; its closing quote is missing"},
    {"a = \"x;\nb = \"y\"; c = \"\n", "x:2",
     "= is missing after \"y\" (does the string that begins on line 1 lack its closing quote?)"},
    {"a = 9999999999;", "x:1", "9999999999 does not fit into 32 bits; write 9999999999L"},
    {"\n\na = -2147483649;", "x:3", "-2147483649 does not fit into 32 bits; write -2147483649L"},
    {"a = 0xFFFFFFFF;", "x:1", "0xFFFFFFFF does not fit into 32 bits; write 0xFFFFFFFFL"},
    {"a = 99999999999999999999L;", "x:1", "99999999999999999999L does not fit into 64 bits"},
    {"a = \"x\\x00y\";", "x:1", "\\x00 is not possible in a string"},
    {"a = yes;", "x:1", "yes is no boolean here; write true"},
    {"a = Off;", "x:1", "Off is no boolean here; write false"},
    {"a = debug;", "x:1", "text needs quotes: \"debug\""},
    {"a = 5s;", "x:1", "text needs quotes: \"5s\""},
    {"a = http://x/;", "x:1", "text needs quotes: \"http\""},
    {"a = /etc/x;", "x:1", "text needs quotes: \"/etc/x\""},
    {"a = 'x';", "x:1", "strings stand in double quotes, not in single ones"},
    {"a = ;", "x:1", "the value of \"a\" is missing"},
    {"a == 1;", "x:1", "there is one = too many after \"a\""},
    {"a =", "x:1", "the file ends where the value of \"a\" should stand"},
    {"a \"x\";", "x:1", "= is missing after \"a\""},
    {"a {\n b = 1; };", "x:1", "= is missing after \"a\""},
    {"a = 1;;", "x:1", "there is one ; too many"},
    {"a.b = 1;", "x:1", "\"a.b\" cannot be a setting's name: letters, digits, - and _, and a letter first"},
    {"1a = 1;", "x:1", "\"1a\" cannot be a setting's name: letters, digits, - and _, and a letter first"},
    {"_a = 1;", "x:1", "\"_a\" cannot be a setting's name: letters, digits, - and _, and a letter first"},
    {"\"a\" = 1;", "x:1", "a setting's name stands without quotes, and here is the string \"a\""},
    {"true = 1;", "x:1", "true cannot be a setting's name"},
    {"= 1;", "x:1", "a setting's name should stand here, not ="},
    {"{ a = 1; }", "x:1", "a setting's name should stand here, not {"},
    {"a = [ 1, 2, ];", "x:1", "there is a comma too many before ]"},
    {"a = ( 1,\n 2,\n );", "x:3", "there is a comma too many before )"},
    {"a = [ 1 2 ];", "x:1", "a comma is missing before 2"},
    {"a = [ \"x\";\n \"y\" ];", "x:1", "values in [ ] are separated by commas, not by ;"},
    {"a = ( { b = 1; }\n { b = 2; } );", "x:2", "a comma is missing before {"},
    {"a = [ 1, \"x\" ];", "x:1", "the values of [ ] must be of one kind; write \"a\" with ( ) to mix them"},
    {"a = [ { b = 1; } ];", "x:1", "[ ] holds plain values only; write \"a\" with ( ) to hold groups or lists"},
    {"a = ( b = 1 );", "x:1", "settings in a list stand in braces: ( { b = … } )"},
    {"a = {\n b = 1;\n", "x:1", "the { that begins here is never closed"},
    {"a = [ 1, 2\nb = 1;", "x:2", "a comma is missing before b"},
    {"a = ( 1, 2 };", "x:1", "} does not close the ( of line 1"},
    {"a = { b = 1 );", "x:1", ") does not close the { of line 1"},
    {"a = 1;\n}\n", "x:2", "there is one } too many"},
    {"a = 1;\n\na = 2;", "x:3", "\"a\" is set twice; the first time on line 1"},
    {"a = 1;\n@include \"gone\"\n", "x:2", "gone cannot be read: No such file or directory"},
    {"@include gone\n", "x:1", "an @include stands alone on its line, with a path in quotes: @include \"common.conf\""},
    {"@include \"x\"\n", "x:1", "files include each other more than 10 deep; does one include itself?"},
    {"a = 1; @include \"y\"\n", "x:1", "@include is unknown; there is only @include, at the begin of a line"},
    {"@include_dir \"y\"\n", "x:1",
     "an @include stands alone on its line, with a path in quotes: @include \"common.conf\""},
    {"a = \"\xFF\";", "x:1", "there are bytes here that are not UTF-8"},
    {"a = 1;\n@include \"bad\"\n", "bad:2", "text needs quotes: \"x\""},
    {"a = 1;\n@include \"open\"\nb = 1; */", "open:1", "the comment /* that begins here never ends"},
};

static void test_mistakes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct memory_file files[] = {
            {"x", mistakes[i].text}, {"bad", "\nb = x;\n"}, {"open", "/* b = 1;"}, {NULL, NULL}};
        struct arena *arena = arena_new();
        struct faults faults;
        assert_null(read_files(arena, files, &faults));
        assert_int_equal(faults.count, 1);
        if (strcmp(faults.items[0].what, mistakes[i].what) != 0 ||
            strcmp(faults.items[0].where, mistakes[i].where) != 0)
            print_message("in: %s\n", mistakes[i].text);
        assert_string_equal(faults.items[0].what, mistakes[i].what);
        assert_string_equal(faults.items[0].where, mistakes[i].where);
        faults_fini(&faults);
        arena_free(arena);
    }
}

static void refused_as(const char *text, size_t repeat, const char *tail, const char *what) {
    struct buf buf;
    buf_init(&buf, 16 << 20);
    for (size_t i = 0; i < repeat; i++) buf_addf(&buf, "%s%zu%s", text, i, tail);
    struct memory_file files[] = {{"x", buf_cstr(&buf)}, {NULL, NULL}};
    struct arena *arena = arena_new();
    struct faults faults;
    assert_null(read_files(arena, files, &faults));
    assert_string_equal(faults.items[0].what, what);
    assert_int_equal(faults.items[0].kind, FAULT_TOO_LARGE);
    faults_fini(&faults);
    arena_free(arena);
    buf_fini(&buf);
}

static void test_ceilings(void **state) {
    (void)state;
    refused_as("a", 5001, " = 1;\n", "more than 5000 settings in one file");
    refused_as("a", 40, " = {", "more than 32 levels inside each other");
    refused_as("# ", 200000, "\n", "with all that it includes it is over 1 MiB");
}

static void test_disk(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct faults faults;
    faults_init(&faults);
    assert_null(conf_file_read(arena, "/nonexistent/x.conf", NULL, &faults));
    assert_string_equal(faults.items[0].where, "/nonexistent/x.conf");
    assert_string_equal(faults.items[0].what, "/nonexistent/x.conf cannot be read: No such file or directory");
    assert_null(conf_file_read(arena, "/tmp", NULL, &faults));
    assert_string_equal(faults.items[1].what, "/tmp is no regular file");
    faults_fini(&faults);
    arena_free(arena);
}

static void test_shown(void **state) {
    (void)state;
    struct memory_file files[] = {{"x", "a = true; b = 3; c = 1.5; d = \"x\"; e = [ ]; f = ( ); g = { };"},
                                  {NULL, NULL}};
    static const char *const want[] = {"true",       "the number 3", "the number 1.5", "the string \"x\"",
                                       "a list [ ]", "a list ( )",   "a group { }"};
    struct arena *arena = arena_new();
    struct faults faults;
    const struct conf *top = read_files(arena, files, &faults);
    for (size_t i = 0; i < top->count; i++) assert_string_equal(conf_shown(arena, &top->items[i]), want[i]);
    faults_fini(&faults);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_includes), cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_ceilings), cmocka_unit_test(test_disk),     cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
