/* A file as a text, for benches: who cannot read theirs ends. Header only, since each bench is one file. */
#ifndef BENCH_READ_FILE_H
#define BENCH_READ_FILE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

#define FILE_MAX (64 << 20)

static struct text read_file(struct arena *arena, const char *path) {
    struct buf buf;
    buf_init(&buf, FILE_MAX);
    FILE *file = fopen(path, "r");
    if (!file) perror(path), exit(1);
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) buf_add(&buf, part, n);
    fclose(file);
    struct text whole = {arena_strndup(arena, buf_cstr(&buf), buf.len), buf.len};
    buf_fini(&buf);
    return whole;
}

#endif
