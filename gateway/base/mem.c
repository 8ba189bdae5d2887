/* The heap with an abort on exhaustion, and arenas on top of it.
 *
 * An arena is a list of chunks that are only ever freed together. The first chunk is small, or as large as it is known
 * to have to be (runs are many, and rest for long); later ones double up to a limit. Small arenas and small blocks come
 * and go with every request, more at a time than malloc keeps at hand (7 of a size), so a thread keeps some that are
 * free, until the process ends. A block is malloc's, whoever has it: what a library got from malloc may be freed here,
 * and the other way round. Built with MEM_SINGLE, each allocation is a chunk of its own and nothing is kept, so that
 * AddressSanitizer sees the edges of every object and the end of every lifetime. */
#include "base/mem.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_FIRST 928
#define CHUNK_LIMIT 65536
#define ALIGN _Alignof(max_align_t)
#ifdef MEM_SINGLE
#define SPARES_MAX 0
#else
#define SPARES_MAX 64 /* free arenas that a thread keeps, and chunks of each size */
#endif
#define SPARE_SIZES 3                /* of chunks behind the first: twice as large as that, and so on */
#define BLOCK_STEP 16                /* bytes: malloc's sizes of blocks are so far apart */
#define BLOCKS_MAX_BYTES (64 * 1024) /* of free blocks of each size, a thread */
#ifdef MEM_SINGLE
#define BLOCK_KINDS 1 /* none is kept */
#else
#define BLOCK_KINDS 65
#endif

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
    union {
        struct defer *defers; /* the newest first */
        struct arena *next;   /* of one that a thread keeps */
    };
    size_t bytes;
};

static void die(void) {
    fputs("stagedoor: out of memory\n", stderr);
    abort();
}

/* ---- blocks ---- */

struct block {
    struct block *next;
};

static _Thread_local struct {
    struct block *first;
    size_t count;
} blocks[BLOCK_KINDS]; /* of kind k, from 1, hold 16 * k + 8 bytes at least, as glibc's do */

static size_t kind_for(size_t size) {
    return size < BLOCK_STEP + 8 ? 1 : (size + 7) / BLOCK_STEP;
}

/* BLOCK_KINDS and more: none that is kept. */
static size_t kind_of(size_t room) {
    return room < BLOCK_STEP + 8 ? BLOCK_KINDS : (room - 8) / BLOCK_STEP;
}

static void *take_block(size_t size) {
    size_t kind = kind_for(size);
    struct block *block = kind < BLOCK_KINDS ? blocks[kind].first : NULL;
    if (!block) return NULL;
    blocks[kind].first = block->next;
    blocks[kind].count--;
    return block;
}

void *mem_take(size_t size) {
    void *at = take_block(size);
    if (!at) at = malloc(size ? size : 1);
    if (!at) die();
    return at;
}

void *mem_alloc(size_t size) {
    void *at = take_block(size);
    if (at) return memset(at, 0, size);
    at = calloc(1, size ? size : 1);
    if (!at) die();
    return at;
}

void mem_free(void *at) {
    if (!at) return;
    size_t kind = kind_of(malloc_usable_size(at));
    if (kind >= BLOCK_KINDS || blocks[kind].count * kind >= BLOCKS_MAX_BYTES / BLOCK_STEP) {
        free(at);
        return;
    }
    struct block *block = at;
    block->next = blocks[kind].first;
    blocks[kind].first = block;
    blocks[kind].count++;
}

void *mem_resize(void *at, size_t size) {
    if (!at) return mem_take(size);
    size_t room = malloc_usable_size(at), kind = kind_for(size), before = kind_of(room);
    if (kind < BLOCK_KINDS && before < BLOCK_KINDS) {
        if (size <= room && kind >= before) return at;
        void *to = mem_take(size);
        memcpy(to, at, size < room ? size : room);
        mem_free(at);
        return to;
    }
    at = realloc(at, size ? size : 1);
    if (!at) die();
    return at;
}

char *mem_strdup(const char *s) {
    return s ? mem_strndup(s, strlen(s)) : NULL;
}

char *mem_strndup(const char *s, size_t n) {
    char *copy = mem_take(n + 1);
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

/* ---- arenas ---- */

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

static _Thread_local struct {
    struct arena *first;
    size_t count;
    struct {
        struct chunk *first;
        size_t count;
    } chunks[SPARE_SIZES];
} spares;

/* Which size of chunk that is; SPARE_SIZES: none that is kept. */
static size_t spare_size(size_t size) {
    size_t i = 0;
    while (i < SPARE_SIZES && size != (size_t)CHUNK_FIRST << (i + 1)) i++;
    return i;
}

static struct chunk *take_spare(size_t size) {
    size_t i = spare_size(size);
    struct chunk *chunk = i < SPARE_SIZES ? spares.chunks[i].first : NULL;
    if (!chunk) return NULL;
    spares.chunks[i].first = chunk->next;
    spares.chunks[i].count--;
    return chunk;
}

static bool keep_chunk(struct chunk *chunk) {
    size_t i = spare_size(chunk->size);
    if (i == SPARE_SIZES || spares.chunks[i].count == SPARES_MAX) return false;
    memset(chunk->bytes, 0, chunk->used);
    chunk->used = 0;
    chunk->next = spares.chunks[i].first;
    spares.chunks[i].first = chunk;
    spares.chunks[i].count++;
    return true;
}

struct arena *arena_new(void) {
    struct arena *arena = spares.first;
    if (!arena) return arena_new_for(CHUNK_FIRST);
    spares.first = arena->next;
    spares.count--;
    arena->defers = NULL;
    return arena;
}

/* Its own chunk is all that it has. False: it is not one to be kept. */
static bool keep_spare(struct arena *arena) {
    if (!arena->own || arena->own->size != CHUNK_FIRST || spares.count == SPARES_MAX) return false;
    memset(arena->own->bytes, 0, arena->own->used);
    arena->own->used = 0;
    arena->chunks = arena->own;
    arena->bytes = sizeof *arena + sizeof *arena->own + CHUNK_FIRST;
    arena->next = spares.first;
    spares.first = arena;
    spares.count++;
    return true;
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
        if (chunk != arena->own && !keep_chunk(chunk)) mem_free(chunk);
    }
    if (!keep_spare(arena)) mem_free(arena);
}

static struct chunk *chunk_add(struct arena *arena, size_t size) {
    struct chunk *chunk = take_spare(size);
    if (!chunk) chunk = mem_alloc(sizeof *chunk + size);
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
        size_t want = chunk->size * 2;
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

char *arena_join(struct arena *arena, const char *first, ...) {
    size_t len = 0;
    va_list parts, again;
    va_start(parts, first);
    va_copy(again, parts);
    for (const char *part = first; part; part = va_arg(parts, const char *)) len += strlen(part);
    char *joined = arena_alloc(arena, len + 1), *to = joined;
    for (const char *part = first; part; part = va_arg(again, const char *)) {
        size_t n = strlen(part);
        memcpy(to, part, n);
        to += n;
    }
    va_end(again);
    va_end(parts);
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
