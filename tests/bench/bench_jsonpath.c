/* Finds a path in a document again and again: bench_jsonpath PATH FILE SECONDS
 *
 * Prints {"finds": …, "seconds": …, "nodes": …}, then the nodes as a list. The document is parsed and the path compiled
 * before. A singular path goes the way that rules and outputs go, which stops at the first node. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lang/jsonpath.h"
#include "read_file.h"

static const struct json_limits LIMITS = {.max_bytes = FILE_MAX, .max_depth = 64, .max_items = 4000000};

static size_t find(const struct jsonpath *path, const struct json *root, struct arena *arena, struct json *list) {
    struct jsonpath_nodes nodes;
    struct fault fault = {0};
    if (jsonpath_singular(path)) {
        const struct json *first = jsonpath_first(path, root, arena);
        if (list && first) json_push(list, first);
        return first != NULL;
    }
    if (!jsonpath_find(path, root, arena, &nodes, &fault)) fputs(fault.what, stderr), exit(1);
    for (size_t i = 0; list && i < nodes.count; i++) json_push(list, nodes.items[i]);
    return nodes.count;
}

int main(int argc, char **argv) {
    if (argc != 4) return fputs("usage: bench_jsonpath PATH FILE SECONDS\n", stderr), 2;
    struct arena *arena = arena_new();
    struct fault fault = {0};
    const struct json *root = json_parse(arena, read_file(arena, argv[2]), &LIMITS, &fault);
    const struct jsonpath *path = root ? jsonpath_compile(arena, text_of(argv[1]), &fault) : NULL;
    if (!path) return fprintf(stderr, "%s\n", fault.what), 1;
    int64_t finds = 0, began_ms = clock_mono_ms(), until_ms = began_ms + (int64_t)(strtod(argv[3], NULL) * 1e3), now_ms;
    size_t nodes = 0, batch = jsonpath_singular(path) ? 10000 : 1;
    do {
        for (size_t i = 0; i < batch; i++, finds++) {
            struct arena *own = jsonpath_singular(path) ? NULL : arena_new();
            nodes = find(path, root, own, NULL);
            arena_free(own);
        }
        now_ms = clock_mono_ms();
    } while (now_ms < until_ms);
    struct json *list = json_new_array(arena);
    struct buf out;
    find(path, root, arena, list);
    buf_init(&out, 64 << 20);
    json_write(&out, list);
    printf("{\"finds\": %lld, \"seconds\": %.6f, \"nodes\": %zu}\n%s\n", (long long)finds,
           (double)(now_ms - began_ms) / 1e3, nodes, buf_cstr(&out));
    buf_fini(&out);
    arena_free(arena);
    return 0;
}
