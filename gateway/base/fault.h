/* A fault says what went wrong: its kind, where, and one sentence for a human.
 *
 * Every function that can fail returns bool and takes `struct fault *` last; it is written only on failure, and
 * never holds a secret. `where` names a place the reader can go to: `stages.d/x.conf:14`, `parameters.region`,
 * `https://host/path`. front/problem is the one place that maps kinds to HTTP statuses. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* One row a kind: the identifier, and the word that logs, `--json` output and problem documents use. */
#define FAULT_KINDS(X)                                                                             \
    X(NONE, "none")                                                                                \
    X(SYNTAX, "syntax")             /* text that does not parse: JSON, a definition, a template */ \
    X(INVALID, "invalid")           /* parses, but a value is not allowed */                       \
    X(UNDEFINED, "undefined")       /* a name that nothing defines */                              \
    X(TOO_LARGE, "too_large")       /* over a ceiling; the sentence names the ceiling */           \
    X(UNSUPPORTED, "unsupported")   /* well formed, but not something we do */                     \
    X(UNAUTHORIZED, "unauthorized") /* no caller, or a wrong token */                              \
    X(FORBIDDEN, "forbidden")       /* a known caller without the right */                         \
    X(NOT_FOUND, "not_found")                                                                      \
    X(CONFLICT, "conflict") /* the same key with other content */                                  \
    X(GONE, "gone")         /* it was here, and is over */                                         \
    X(BUSY, "busy")         /* try again later: full, draining */                                  \
    X(IO, "io")             /* the operating system, a disk, a socket refused */                   \
    X(UPSTREAM, "upstream") /* the other side misbehaved */                                        \
    X(INTERNAL, "internal") /* ours; should not happen */

enum fault_kind {
#define X(id, word) FAULT_##id,
    FAULT_KINDS(X)
#undef X
};

struct fault {
    enum fault_kind kind;
    char where[256];
    char what[768];
    char lines[320]; /* "" or the line of the source that is at fault, and a second line with a caret below it */
};

/* Fills `fault` and returns false, so that a function may end with `return fault_set(…)`. `where` may be NULL.
 * A sentence that is too long is cut at a character's edge. `fault` may be NULL for a caller that only asks whether. */
bool fault_set(struct fault *fault, enum fault_kind kind, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As if nothing had failed. It is more than a kilobyte, so it is not zeroed where calls are many. */
static inline void fault_clear(struct fault *fault) {
    fault->kind = FAULT_NONE;
    fault->where[0] = fault->what[0] = fault->lines[0] = 0;
}

/* Sets `where` if the fault has none yet; for callers that know the file when the callee did not. */
void fault_place(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *fault_word(enum fault_kind kind);

/* A list of faults, for checks that report every mistake at once. Holds at most `FAULTS_MAX`; the rest are counted. */
#define FAULTS_MAX 100

struct faults {
    struct fault *items; /* heap; owned */
    size_t count;
    size_t dropped;
};

void faults_init(struct faults *faults);
void faults_fini(struct faults *faults);
void faults_add(struct faults *faults, const struct fault *fault);
void faults_addf(struct faults *faults, enum fault_kind kind, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
