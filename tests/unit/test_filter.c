/* The tables of filters and tests: every example gives what its row says, and docs/templates.md holds the tables.
 *
 * MANUAL_WRITE=1 in the environment writes them there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lang/filter.h"
#include "lang/template.h"

static const char PAGE[] = "docs/templates.md";

static void render(const char *source, const char *wanted) {
    static const char *const names[] = {"nope"};
    static const struct template_names all = {.roots = names, .count = 1};
    struct template_rules rules = {.place = PLACE_TEXT, .names = &all, .file = "example", .line = 1};
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct buf out;
    const struct json *roots[] = {json_new_object(arena)};
    buf_init(&out, 4096);
    const struct template *t = template_compile(arena, text_of(source), &rules, &fault);
    if (!t || !template_render(t, roots, &out, &fault)) fail_msg("%s: %s", source, fault.what);
    if (strcmp(buf_cstr(&out), wanted) != 0) fail_msg("%s gives %s, not %s", source, buf_cstr(&out), wanted);
    buf_fini(&out);
    arena_free(arena);
}

static void examples_hold(void **state) {
    (void)state;
    for (size_t i = 0; i < filter_table_count; i++)
        if (filter_table[i].example) render(filter_table[i].example, filter_table[i].example_gives);
    for (size_t i = 0; i < filter_test_table_count; i++)
        render(filter_test_table[i].example, filter_test_table[i].example_gives);
}

/* ---- the manual ---- */

/* In a table's cell: a bar would end it, a line break is shown as it is written. */
static void add_code(struct buf *out, const char *text) {
    buf_addc(out, '`');
    for (; *text; text++) {
        if (*text == '|') buf_adds(out, "\\|");
        else if (*text == '\n') buf_adds(out, "\\n");
        else buf_addc(out, *text);
    }
    buf_addc(out, '`');
}

static void add_row(struct buf *out, const char *name, const char *arguments, const char *gives, const char *example,
                    const char *made) {
    char shown[160];
    struct buf head = {.at = shown, .cap = sizeof shown, .max = sizeof shown - 1};
    struct text rest = text_of(arguments), argument;
    buf_adds(&head, name);
    for (const char *before = "("; arguments[0] && text_cut(&rest, ' ', &argument); before = ", ") {
        bool must = argument.at[argument.len - 1] == '*';
        buf_addf(&head, "%s%.*s%s", before, (int)(argument.len - must), argument.at, must ? "" : "=…");
    }
    if (arguments[0]) buf_addc(&head, ')');
    buf_adds(out, "| ");
    add_code(out, buf_cstr(&head));
    buf_addf(out, " | %s | ", gives);
    if (example) {
        add_code(out, example);
        buf_adds(out, " gives ");
        add_code(out, made);
    }
    buf_adds(out, " |\n");
}

static void make_filters(struct buf *out) {
    buf_adds(out, "\n| filter | gives | example |\n|---|---|---|\n");
    for (size_t i = 0; i < filter_table_count; i++) {
        const struct filter *f = &filter_table[i];
        add_row(out, f->name, f->arguments, f->gives, f->example, f->example_gives);
    }
}

static void make_tests(struct buf *out) {
    buf_adds(out, "\n| test | asks for | example |\n|---|---|---|\n");
    for (size_t i = 0; i < filter_test_table_count; i++) {
        const struct filter_test *t = &filter_test_table[i];
        add_row(out, t->name, t->arguments, t->asks, t->example, t->example_gives);
    }
}

static void read_page(struct buf *page) {
    char part[4096];
    FILE *f = fopen(PAGE, "r");
    if (!f) fail_msg("%s cannot be read", PAGE);
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) buf_add(page, part, n);
    fclose(f);
}

/* What stands between <!-- name --> and <!-- end of name -->; false: another text stood there. */
static bool put_between(struct buf *page, const char *name, const struct buf *made) {
    char open[64], close[64];
    snprintf(open, sizeof open, "<!-- %s -->\n", name);
    snprintf(close, sizeof close, "<!-- end of %s -->", name);
    char *start = strstr(page->at, open), *end = strstr(page->at, close);
    if (!start || !end) fail_msg("%s has no %s", PAGE, open);
    start += strlen(open);
    struct text old = {start, (size_t)(end - start)};
    if (text_same(old, buf_text(made))) return true;
    struct buf fresh;
    buf_init(&fresh, page->max);
    buf_add(&fresh, page->at, (size_t)(start - page->at));
    buf_addt(&fresh, buf_text(made));
    buf_adds(&fresh, end);
    buf_fini(page);
    *page = fresh;
    return false;
}

static void write_page(const struct buf *page) {
    FILE *f = fopen(PAGE, "w");
    assert_non_null(f);
    fwrite(page->at, 1, page->len, f);
    fclose(f);
}

static void the_manual_holds_the_tables(void **state) {
    (void)state;
    struct buf page, filters, tests;
    buf_init(&page, 1 << 20);
    buf_init(&filters, 1 << 20);
    buf_init(&tests, 1 << 20);
    read_page(&page);
    make_filters(&filters);
    make_tests(&tests);
    bool same = put_between(&page, "filters", &filters);
    same = put_between(&page, "tests", &tests) && same;
    if (!same && getenv("MANUAL_WRITE")) write_page(&page);
    else if (!same) fail_msg("%s is not what the tables say; MANUAL_WRITE=1 build/unit/test_filter writes it", PAGE);
    buf_fini(&page);
    buf_fini(&filters);
    buf_fini(&tests);
}

static void arguments_by_name(void **state) {
    (void)state;
    size_t least;
    assert_int_equal(filter_argument_count("", &least), 0);
    assert_int_equal(least, 0);
    assert_int_equal(filter_argument_count("a* b c", &least), 3);
    assert_int_equal(least, 1);
    assert_int_equal(filter_argument_index("a* b c", TEXT("a")), 0);
    assert_int_equal(filter_argument_index("a* b c", TEXT("c")), 2);
    assert_true(filter_argument_index("a* b c", TEXT("d")) == SIZE_MAX);
    for (size_t i = 0; i < filter_table_count; i++)
        assert_true(filter_argument_count(filter_table[i].arguments, &least) <= FILTER_ARGUMENTS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_hold),
        cmocka_unit_test(the_manual_holds_the_tables),
        cmocka_unit_test(arguments_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
