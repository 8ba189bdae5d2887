/* A bare expression: a condition or an output. What it gives is JSON, is the same a second time, and is what a template
 * of it alone gives. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lang/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char VALUES[] = "{\"state\":\"run\\u00efng\",\"n\":5,\"m\":-3,\"r\":2.5,\"big\":9223372036854775807,"
                             "\"yes\":true,\"z\":null,\"e\":\"\","
                             "\"o\":{\"k\":[1,null,\"x\",{\"a\":1}]},\"list\":[3,1,2],\"words\":[\"b\",\"a\",\"B\"],"
                             "\"jobs\":[{\"name\":\"a\",\"ok\":true,\"ms\":5},{\"name\":\"b\",\"ok\":false,\"ms\":1.5}]"
                             ",\"when\":\"2026-01-02T03:04:05Z\"}";

/* Both give the same value, or neither gives one. */
static void check_same(const struct json *one, const struct json *other) {
    if (!one != !other || (one && !json_same(one, other))) abort();
}

static void check_json(struct arena *arena, const struct json *value) {
    static const struct json_limits wide = {.max_bytes = SIZE_MAX, .max_depth = 512, .max_items = SIZE_MAX};
    struct buf out;
    buf_init(&out, 1 << 20); /* what is larger costs more time than it tells */
    json_write(&out, value);
    const struct json *again = json_parse(arena, buf_text(&out), &wide, NULL);
    if (!out.full && (!again || !json_same(value, again))) abort();
    buf_fini(&out);
}

/* Only `segments` depends on the place; a template takes a little less of nesting and length. */
static void check_template(struct arena *arena, struct text source, const struct template_rules *rules,
                           const struct json *const *roots, const struct json *value) {
    struct buf wrapped;
    struct fault fault = {0};
    buf_init(&wrapped, source.len + 8);
    buf_adds(&wrapped, "{{ ");
    buf_addt(&wrapped, source);
    buf_adds(&wrapped, " }}");
    const struct template *t = template_compile(arena, buf_text(&wrapped), rules, &fault);
    if (t) check_same(template_value(t, roots, arena, &fault), value);
    else if (fault.kind != FAULT_TOO_LARGE && !memmem(source.at, source.len, "segments", 8)) abort();
    buf_fini(&wrapped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct json_limits limits = {.max_bytes = 1 << 12, .max_depth = 16, .max_items = 100};
    static const char *const names[] = {"body", "code", "secret", "later"};
    static const struct template_names all = {.roots = names, .count = 4};
    static const struct template_rules rules = {.place = PLACE_TEXT, .names = &all, .file = "f", .line = 3};
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct text source = {(const char *)data, size};
    const struct json *roots[4] = {json_parse(arena, text_of(VALUES), &limits, NULL),
                                   json_parse(arena, text_of("201"), &limits, NULL), NULL, NULL};
    const struct template *t = template_compile_expression(arena, source, &rules, &fault);
    if (!t && (fault.kind == FAULT_NONE || !text_starts(text_of(fault.where), "f:"))) abort();
    if (t) {
        fault = (struct fault){0};
        const struct json *value = template_value(t, roots, arena, &fault);
        if (!value && (fault.kind == FAULT_NONE || !text_starts(text_of(fault.where), "f:"))) abort();
        if (value) check_json(arena, value);
        check_same(template_value(t, roots, arena, &fault), value);
        check_template(arena, source, &rules, roots, value);
    }
    arena_free(arena);
    return 0;
}
