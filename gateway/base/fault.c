/* Faults: plain values that travel up the call chain until somebody can tell a human.
 *
 * Nothing here logs; an outer layer logs a fault once, where it stops. Sentences are cut to fixed sizes so that a
 * fault can live on the stack of any function, and never fails to be made. */
#include "base/fault.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static void trim_to_character(char *s, size_t size, int wanted) {
    if (wanted < 0 || (size_t)wanted < size) return;
    size_t n = size - 1;
    while (n > 0 && ((unsigned char)s[n - 1] & 0xC0) == 0x80) n--; /* continuation bytes of a cut character */
    if (n > 0 && ((unsigned char)s[n - 1] & 0x80)) n--;
    s[n] = 0;
}

static void fill(struct fault *fault, enum fault_kind kind, const char *where, const char *format, va_list args) {
    struct fault made = {.kind = kind}; /* `where` may point into *fault */
    trim_to_character(made.where, sizeof made.where, snprintf(made.where, sizeof made.where, "%s", where ? where : ""));
    trim_to_character(made.what, sizeof made.what, vsnprintf(made.what, sizeof made.what, format, args));
    *fault = made;
}

bool fault_set(struct fault *fault, enum fault_kind kind, const char *where, const char *format, ...) {
    if (!fault) return false;
    va_list args;
    va_start(args, format);
    fill(fault, kind, where, format, args);
    va_end(args);
    return false;
}

void fault_place(struct fault *fault, const char *format, ...) {
    if (!fault || fault->where[0]) return;
    va_list args;
    va_start(args, format);
    trim_to_character(fault->where, sizeof fault->where, vsnprintf(fault->where, sizeof fault->where, format, args));
    va_end(args);
}

const char *fault_word(enum fault_kind kind) {
    static const char *const words[] = {
#define X(id, word) [FAULT_##id] = word,
        FAULT_KINDS(X)
#undef X
    };
    return (size_t)kind < sizeof words / sizeof *words ? words[kind] : "internal";
}

void faults_init(struct faults *faults) {
    *faults = (struct faults){0};
}

void faults_fini(struct faults *faults) {
    mem_free(faults->items);
    *faults = (struct faults){0};
}

void faults_add(struct faults *faults, const struct fault *fault) {
    if (faults->count == FAULTS_MAX) {
        faults->dropped++;
        return;
    }
    faults->items = mem_resize(faults->items, (faults->count + 1) * sizeof *faults->items);
    faults->items[faults->count++] = *fault;
}

void faults_addf(struct faults *faults, enum fault_kind kind, const char *where, const char *format, ...) {
    struct fault fault;
    va_list args;
    va_start(args, format);
    fill(&fault, kind, where, format, args);
    va_end(args);
    faults_add(faults, &fault);
}
