/* Compiles the first line as a JSONPath, and walks the rest as a document with it. The path of each node that it finds
 * finds that node again, alone. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lang/jsonpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char DOCUMENT[] = "{\"a\":[1,2.5,\"x\",{\"b\":null,\"c\":[true]}],\"b\":{\"a\":\"a.*\",\"d\":[[],[1]]}}";

static void check_path(struct arena *arena, const struct json *root, const struct json *node, const char *source) {
    const struct jsonpath *path = jsonpath_compile(arena, text_of(source), NULL);
    if (!path && strlen(source) > 8192) return; /* longer than a path may be */
    if (!path || !jsonpath_singular(path) || jsonpath_first(path, root, arena) != node) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct json_limits limits = {.max_bytes = 1 << 12, .max_depth = 16, .max_items = 200};
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct text rest = {(const char *)data, size}, source = {0};
    text_cut(&rest, '\n', &source);
    const struct jsonpath *path = jsonpath_compile(arena, source, &fault);
    if (!path && fault.kind == FAULT_NONE) abort();
    const struct json *root = rest.len ? json_parse(arena, rest, &limits, NULL) : NULL;
    if (!root) root = json_parse(arena, text_of(DOCUMENT), &limits, NULL);
    struct jsonpath_nodes nodes, located;
    if (path && jsonpath_find(path, root, arena, &nodes, &fault)) {
        if (jsonpath_first(path, root, arena) != (nodes.count ? nodes.items[0] : NULL)) abort();
        if (jsonpath_singular(path) && nodes.count > 1) abort();
        if (!jsonpath_locate(path, root, arena, &located, &fault) || located.count != nodes.count) abort();
        for (size_t i = 0; i < located.count && i < 20; i++)
            check_path(arena, root, located.items[i], located.paths[i]);
    }
    arena_free(arena);
    return 0;
}
