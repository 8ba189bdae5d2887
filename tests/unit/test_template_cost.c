/* What rendering costs: no allocation but the output's, counted below everything, in jansson as well.
 *
 * Sanitizers have a malloc of their own, so there the counting is left out, and only the output is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lang/template.h"

static size_t allocations;

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *at, size_t size);

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *at, size_t size) {
    allocations++;
    return __libc_realloc(at, size);
}
#endif

/* No object has a name in a branch: where names could coincide, the output is parsed to see whether they do. */
static const char BODY[] =
    "{\"target\": \"{{ parameters.url }}/{{ parameters.path }}\", \"users\": {{ parameters.users }},\n"
    " \"ratio\": {{ parameters.ratio }}, \"large\": {% if parameters.users > 10 and parameters.on %}\n"
    " {{ parameters.users * 2 + 1 }}{% else %}null{% endif %}, \"tags\": [{% for t in parameters.tags %}\n"
    " {\"i\": {{ loop.index }}, \"t\": \"{{ t }}\", \"last\": {{ loop.last }}},{% endfor %}],\n"
    " {% set n = parameters.users // 3 %}\"n\": {{ n }}, \"note\": \"{{ parameters.note | default('none') }}\",\n"
    " \"env\": [{% for k, v in parameters.env | items %}[\"{{ k }}\", {{ v }}]{% endfor %}], \"all\": {{ "
    "parameters.env }},\n"
    " \"on\": {{ 'yes' if parameters.on is defined and 'a' in parameters.tags else 'no' }}}";
static const char VALUES[] =
    "{\"url\": \"https://h.example\", \"path\": \"a b\\\"c\", \"users\": 50, \"ratio\": 0.25, \"on\": true,"
    " \"tags\": [\"a\", \"b\\n\", \"c\"], \"env\": {\"K\": 1.5}}";

static void rendering_allocates_nothing(void **state) {
    (void)state;
    static const char *const names[] = {"parameters"};
    static const struct template_names all = {.roots = names, .count = 1};
    static const struct json_limits limits = {.max_bytes = 1 << 16, .max_depth = 10, .max_items = 1000};
    struct template_rules rules = {.place = PLACE_JSON, .names = &all, .file = "body", .line = 1};
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct buf out, first;
    const struct template *t = template_compile(arena, text_of(BODY), &rules, &fault);
    if (!t) fail_msg("%s: %s\n%s", fault.where, fault.what, fault.lines);
    const struct json *roots[] = {json_parse(arena, text_of(VALUES), &limits, &fault)};
    buf_init(&out, 1 << 16);
    buf_init(&first, 1 << 16);
    assert_true(template_render(t, roots, &first, &fault));
    assert_true(template_render(t, roots, &out, &fault));
    buf_clear(&out);
    size_t before = allocations;
    for (int i = 0; i < 100; i++) {
        buf_clear(&out);
        assert_true(template_render(t, roots, &out, &fault));
    }
    assert_int_equal(allocations - before, 0);
    assert_true(text_same(buf_text(&out), buf_text(&first)));
    assert_non_null(json_parse(arena, buf_text(&out), &limits, &fault));
    buf_fini(&out);
    buf_fini(&first);
    arena_free(arena);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    assert_true(allocations > before); /* it does count */
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rendering_allocates_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
