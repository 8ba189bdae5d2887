/* Memory: the heap, which aborts when it is exhausted, and arenas, whose contents end together.
 *
 * Out of memory aborts. That is fair only because every size that a stranger controls has a ceiling.
 * Arenas nest by lifetime: generation (catalog) > run > attempt. A function that returns memory takes the arena it goes
 * into as its first argument. An arena belongs to one thread at a time. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *mem_alloc(size_t size);               /* zeroed; never NULL */
void *mem_resize(void *at, size_t size);    /* the added part is not zeroed */
void mem_free(void *at);                    /* NULL is allowed */
char *mem_strdup(const char *s);            /* GIVES; NULL gives NULL */
char *mem_strndup(const char *s, size_t n); /* GIVES; NUL-terminated */

struct arena;

struct arena *arena_new(void);                       /* GIVES; end it with arena_free */
struct arena *arena_new_for(size_t bytes);           /* the same for so many, and little beyond them: for what rests */
void arena_free(struct arena *arena);                /* runs the deferred functions, last first; NULL is allowed */
void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for any object; size 0 gives a valid pointer */
void *arena_copy(struct arena *arena, const void *from, size_t size);
char *arena_strdup(struct arena *arena, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *arena, const char *s, size_t n);
/* The strings up to a NULL, eight at most, one behind the other. */
#define arena_join(arena, ...) arena_join_all((arena), (const char *const[]){__VA_ARGS__})
char *arena_join_all(struct arena *arena, const char *const *parts);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args);

/* Calls fn(arg) when the arena is freed; for what lives outside it (a library's object, a reference). */
void arena_defer(struct arena *arena, void (*fn)(void *), void *arg);

/* Bytes taken from the heap for this arena, its own bookkeeping included. */
size_t arena_bytes(const struct arena *arena);

/* What an allocation takes of its arena. */
#define ARENA_ROOM(size) (((size) + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t))

#define arena_new_of(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define arena_array_of(arena, type, count) ((type *)arena_alloc((arena), sizeof(type) * (count)))

#endif
