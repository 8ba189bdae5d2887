/* Compiles a template, and renders it, again and again: bench_template TEMPLATE VARS SECONDS
 *
 * SECONDS of CPU each: what others do on the machine meanwhile does not count, only that they leave the caches cold.
 * Prints {"renders": …, "seconds": …, "compiles": …, "compile_seconds": …}, then what was rendered, so that the caller
 * can see that the rival made the same. VARS is a JSON file with an object; its members are the roots. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lang/json.h"
#include "lang/template.h"
#include "read_file.h"

#define ROOTS_MAX 16

static void fail(const struct fault *fault) {
    fprintf(stderr, "%s: %s\n", fault->where, fault->what);
    exit(1);
}

static int64_t cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static int64_t compile_for(struct text source, const struct template_rules *rules, int64_t us, int64_t *ret_us) {
    struct fault fault;
    int64_t compiles = 0, began_us = cpu_us();
    do {
        for (int i = 0; i < 100; i++, compiles++) {
            struct arena *arena = arena_new();
            if (!template_compile(arena, source, rules, &fault)) fail(&fault);
            arena_free(arena);
        }
        *ret_us = cpu_us() - began_us;
    } while (*ret_us < us);
    return compiles;
}

int main(int argc, char **argv) {
    if (argc != 4) return fputs("usage: bench_template TEMPLATE VARS SECONDS\n", stderr), 2;
    struct arena *arena = arena_new();
    struct fault fault = {0};
    struct json_limits limits = {.max_bytes = 1 << 20, .max_depth = 64, .max_items = 100000};
    const struct json *vars = json_parse(arena, read_file(arena, argv[2]), &limits, &fault);
    if (!vars) fail(&fault);

    const char *names[ROOTS_MAX];
    const struct json *roots[ROOTS_MAX];
    size_t count = 0;
    for (struct json_member m = json_first(vars); m.name.at && count < ROOTS_MAX; m = json_next(vars, m)) {
        names[count] = arena_strndup(arena, m.name.at, m.name.len);
        roots[count++] = m.value;
    }
    struct template_names known = {.roots = names, .count = count};
    struct template_rules rules = {.place = PLACE_JSON, .names = &known, .file = argv[1], .line = 1};
    struct text source = read_file(arena, argv[1]);
    int64_t seconds_us = (int64_t)(strtod(argv[3], NULL) * 1e6), compile_us;
    int64_t compiles = compile_for(source, &rules, seconds_us, &compile_us);
    const struct template *compiled = template_compile(arena, source, &rules, &fault);
    if (!compiled) fail(&fault);

    struct buf out;
    buf_init(&out, 1 << 20);
    int64_t renders = 0, began_us = cpu_us(), until_us = began_us + seconds_us, now_us;
    do {
        for (int i = 0; i < 1000; i++, renders++) {
            buf_clear(&out);
            if (!template_render(compiled, roots, &out, &fault)) fail(&fault);
        }
        now_us = cpu_us();
    } while (now_us < until_us);
    printf("{\"renders\": %lld, \"seconds\": %.6f, \"compiles\": %lld, \"compile_seconds\": %.6f}\n%s\n",
           (long long)renders, (double)(now_us - began_us) / 1e6, (long long)compiles, (double)compile_us / 1e6,
           buf_cstr(&out));
    buf_fini(&out);
    arena_free(arena);
    return 0;
}
