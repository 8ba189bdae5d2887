/* The heap with an abort on exhaustion, and arenas on top of it.
 *
 * An arena is a list of chunks that are only ever freed together. The first chunk is small, or as large as it is known
 * to have to be (runs are many, and rest for long). The second is as large, since a call mostly needs a little more
 * than one, and beyond a KiB mimalloc takes thrice as long; later ones double up to a limit. Built with MEM_SINGLE,
 * each allocation is a chunk of its own, so that AddressSanitizer sees the edges of every object and the end of every
 * lifetime. */
#include "base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_FIRST 928
#define CHUNK_LIMIT 65536
#define ALIGN _Alignof(max_align_t)
#define JOINED_MAX 8

struct chunk {
    struct chunk *next;
    size_t size; /* usable bytes */
    size_t used;
    max_align_t bytes[];
};

struct defer {
    struct defer *next;
    void (*fn)(void *);
    void *arg;
};

struct arena {
    struct chunk *chunks; /* the newest first; allocations come from it */
    struct chunk *own;    /* the one that is freed with the arena; NULL with MEM_SINGLE */
    struct defer *defers; /* the newest first */
    size_t bytes;
};

static void die(void) {
    fputs("stagedoor: out of memory\n", stderr);
    abort();
}

void *mem_alloc(size_t size) {
    void *at = calloc(1, size ? size : 1);
    if (!at) die();
    return at;
}

/* Of nothing realloc makes something as well, but takes three times as long for it. */
void *mem_resize(void *at, size_t size) {
    if (size == 0) size = 1;
    at = at ? realloc(at, size) : malloc(size);
    if (!at) die();
    return at;
}

void mem_free(void *at) {
    free(at);
}

char *mem_strdup(const char *s) {
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

char *mem_strndup(const char *s, size_t n) {
    char *copy = mem_resize(NULL, n + 1);
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

/* The first chunk stands behind the arena itself: one allocation where little is needed, which is most often. */
struct arena *arena_new_for(size_t bytes) {
#ifdef MEM_SINGLE
    (void)bytes;
    struct arena *arena = mem_alloc(sizeof *arena);
    arena->bytes = sizeof *arena;
#else
    struct with_chunk {
        struct arena arena;
        struct chunk chunk;
    };
    struct with_chunk *both = mem_alloc(sizeof *both + bytes);
    struct arena *arena = &both->arena;
    arena->chunks = arena->own = &both->chunk;
    arena->own->size = bytes;
    arena->bytes = sizeof *both + bytes;
#endif
    return arena;
}

struct arena *arena_new(void) {
    return arena_new_for(CHUNK_FIRST);
}

void arena_free(struct arena *arena) {
    if (!arena) return;
    while (arena->defers) { /* a deferred function may read what the arena holds, so they run before any chunk goes */
        struct defer *defer = arena->defers;
        arena->defers = defer->next;
        defer->fn(defer->arg);
    }
    while (arena->chunks) {
        struct chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        if (chunk != arena->own) mem_free(chunk);
    }
    mem_free(arena);
}

static struct chunk *chunk_add(struct arena *arena, size_t size) {
    struct chunk *chunk = mem_alloc(sizeof *chunk + size);
    chunk->size = size;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->bytes += sizeof *chunk + size;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t size) {
    if (size > PTRDIFF_MAX / 2) die(); /* so that adding our own bytes never wraps */
#ifdef MEM_SINGLE
    struct chunk *own = chunk_add(arena, size ? size : 1);
    own->used = own->size;
    return own->bytes;
#else
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (size == 0) size = ALIGN;
    struct chunk *chunk = arena->chunks;
    if (chunk->size - chunk->used < size) {
        size_t want = chunk == arena->own ? chunk->size : chunk->size * 2;
        if (want > CHUNK_LIMIT) want = CHUNK_LIMIT;
        chunk = chunk_add(arena, want < size ? size : want);
    }
    void *at = (char *)chunk->bytes + chunk->used;
    chunk->used += size;
    return at;
#endif
}

void *arena_copy(struct arena *arena, const void *from, size_t size) {
    void *to = arena_alloc(arena, size);
    if (size) memcpy(to, from, size);
    return to;
}

char *arena_strdup(struct arena *arena, const char *s) {
    return s ? arena_strndup(arena, s, strlen(s)) : NULL;
}

char *arena_strndup(struct arena *arena, const char *s, size_t n) {
    char *copy = arena_alloc(arena, n + 1);
    if (n) memcpy(copy, s, n);
    return copy;
}

char *arena_join_all(struct arena *arena, const char *const *parts) {
    size_t lengths[JOINED_MAX], len = 0, count = 0;
    for (; parts[count]; count++) {
        assert(count < JOINED_MAX);
        len += lengths[count] = strlen(parts[count]);
    }
    char *joined = arena_alloc(arena, len + 1), *to = joined;
    for (size_t i = 0; i < count; to += lengths[i++]) memcpy(to, parts[i], lengths[i]);
    return joined;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0) die();
    char *made = arena_alloc(arena, (size_t)n + 1);
    vsnprintf(made, (size_t)n + 1, format, args);
    return made;
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *made = arena_vprintf(arena, format, args);
    va_end(args);
    return made;
}

void arena_defer(struct arena *arena, void (*fn)(void *), void *arg) {
    struct defer *defer = arena_alloc(arena, sizeof *defer);
    *defer = (struct defer){.next = arena->defers, .fn = fn, .arg = arg};
    arena->defers = defer;
}

size_t arena_bytes(const struct arena *arena) {
    return arena->bytes;
}
