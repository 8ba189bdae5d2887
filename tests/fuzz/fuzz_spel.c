/* Takes a text apart, parses its expressions, and writes them: whatever is written compiles as an expression of the
 * template language, and names nothing but what it was given. The first byte says how it is to be written. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lang/template.h"
#include "orca/jinja.h"
#include "orca/spel_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *name_parameter(void *arg, struct text name) {
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_adds(&out, "parameters");
    jinja_add_member(&out, name);
    const char *text = arena_strdup(arg, buf_cstr(&out));
    buf_fini(&out);
    return text;
}

static const char *name_given(void *arg, const struct spel *node, bool json) {
    (void)arg;
    return node->source.len > 1000 ? NULL : json ? "parameters.json" : "parameters.given";
}

/* It may be too deep or too long for the template language; nothing else. */
static void check_expression(struct arena *arena, const struct spel_out *out) {
    static const char *const roots[] = {"parameters", "caller", "request"};
    static const struct template_names names = {.roots = roots, .count = 3};
    struct template_rules rules = {.place = PLACE_TEXT, .names = &names, .file = "x", .line = 1};
    struct fault fault = {0};
    if (!text_utf8_check(text_of(out->text))) return;
    if (template_compile_expression(arena, text_of(out->text), &rules, &fault)) return;
    if (fault.kind == FAULT_SYNTAX || fault.kind == FAULT_INTERNAL) {
        fprintf(stderr, "%s: %s\n", out->text, fault.what);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct spel_part *parts;
    size_t count, bytes = 0;
    struct text source = {(const char *)data + 1, size - 1};
    struct spel_names names = {arena, name_parameter, name_given, (data[0] & 2) != 0};
    if (spel_split(arena, source, &parts, &count, &fault)) {
        for (size_t i = 0; i < count; i++) {
            struct spel_out out;
            bytes += parts[i].text.len + (parts[i].is_expression ? 3 : 0);
            if (!parts[i].is_expression) continue;
            fault.kind = FAULT_NONE;
            const struct spel *node = spel_parse(arena, parts[i].text, &fault);
            bool good = node && spel_write(arena, node, &names, (data[0] & 1) != 0, &out, &fault);
            if (!good && fault.kind == FAULT_NONE) abort();
            if (good) check_expression(arena, &out);
        }
        if (bytes != source.len) abort();
    } else if (fault.kind == FAULT_NONE) abort();
    arena_free(arena);
    return 0;
}
