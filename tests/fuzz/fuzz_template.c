/* The first byte picks the place, the rest is a template. What renders has to be what its place promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lang/template.h"
#include "lang/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char VALUES[] = "{\"s\":\"a\\\"/?#..\\r\\n%\",\"n\":5,\"r\":1e20,\"o\":{\"k\":[1,null,\"x\"]},\"z\":null,"
                             "\"e\":\"\",\"d\":\"..\",\"u\":\"https://h/x\"}";

static const struct json *is_json(struct arena *arena, struct text made) {
    static const struct json_limits limits = {.max_bytes = 1 << 20, .max_depth = 512, .max_items = 1 << 20};
    return json_parse(arena, made, &limits, NULL);
}

static void check(struct arena *arena, enum template_place place, const struct template *t, struct text made) {
    struct url url;
    size_t root;
    if (place == PLACE_JSON && !is_json(arena, made)) abort();
    if (place == PLACE_URL && !template_is_whole_url(t, &root) && !url_parse(made, &url, NULL)) abort();
    if (place != PLACE_HEADER) return;
    for (size_t i = 0; i < made.len; i++)
        if ((unsigned char)made.at[i] < 0x20 || made.at[i] == 0x7F) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct json_limits limits = {.max_bytes = 1 << 12, .max_depth = 16, .max_items = 100};
    static const char *const names[] = {"p", "secret"};
    static const struct template_names all = {.roots = names, .count = 2};
    if (size == 0) return 0;
    struct template_rules rules = {.place = (enum template_place)(data[0] % 6), .names = &all, .file = "f", .line = 3};
    struct arena *arena = arena_new();
    struct fault fault = {0};
    const struct json *roots[2] = {json_parse(arena, text_of(VALUES), &limits, NULL), NULL};
    const struct template *t = template_compile(arena, (struct text){(const char *)data + 1, size - 1}, &rules, &fault);
    if (!t && (fault.kind == FAULT_NONE || !text_starts(text_of(fault.where), "f:"))) abort();
    struct buf out;
    buf_init(&out, 1 << 20);
    if (t && template_render(t, roots, &out, &fault)) check(arena, rules.place, t, buf_text(&out));
    else if (out.len) abort();
    if (t) template_value(t, roots, arena, &fault);
    buf_fini(&out);
    arena_free(arena);
    return 0;
}
