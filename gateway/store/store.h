/* The store: where runs live. One interface, asynchronous: a loop never waits for a disk.
 *
 * An operation is a struct that the caller fills (zeroed first) and hands over; the store owns it until `done` is
 * called, exactly once, on the loop that asked and never inside store_submit, after the operation is durable (writes)
 * or answered (reads). Writes are carried out in the order in which they were handed over, and a read sees every write
 * that was handed over before it, done or not. The store does not look into records.
 *
 * A record may be kept in memory alone (`in_memory`): no disk is waited for, and a crash forgets it. Questions find
 * records in both places, and are answered as if there were one. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"

#define STORE_BEHIND_MS 100
#define STORE_ID_SIZE 27          /* a ULID and NUL; ids sort by the time of their making */
#define STORE_ATTACHED "ATTACHED" /* the status of a record that only keeps its key: no list has it */

struct store_record {
    char id[STORE_ID_SIZE];
    bool in_memory; /* alone. It has no body: while the run is in flight its engine knows more, and store_keep says
                       where it comes from afterwards */
    const char *stage;
    const char *key;                /* the caller's, or NULL; (stage, key) is unique */
    const char *status;             /* orca's word; what GET /runs?status= compares */
    const char *definition;         /* hash of the pinned definition */
    int64_t created_ms, updated_ms; /* wall */
    int64_t ended_ms;               /* 0: in flight; only these are resumed */
    struct text body;               /* the run, as run/record writes it */
};

struct store_filter {
    const char *const *stages; /* only these; NULL: all. An empty list (count 0, not NULL) finds nothing */
    size_t stage_count;
    bool (*sees)(const void *rights, const char *stage); /* without `stages`: those of which it says yes, on a thread of
                                                            the store; NULL: all */
    const void *rights;                                  /* for `sees` */
    const char *status;                                  /* NULL: any */
    int64_t since_ms;                                    /* created at or after; 0: any */
    const char *before_id; /* cursor: only older than this one, which must exist; NULL: from the newest */
    size_t limit;          /* 1…1000 */
};

enum store_kind {
    STORE_INSERT, /* record (+ definition_source, kept once by its hash). EXISTS gives the record that has the (stage,
                     key). An id that was in memory alone has moved to the disk then */
    STORE_UPDATE, /* record: status, updated_ms, ended_ms and body of an id, in the place where it is; its stage and its
                     definition have to be those of the INSERT. MISSING: nobody's record has that id, so that it may be
                     inserted again */
    STORE_GET,    /* by record.id */
    STORE_FIND_KEY, /* by record.stage and record.key */
    STORE_LIST,  /* by filter: newest first, by created_ms and then by the order of insertion. MISSING: there is no run
                    before_id. Stops short of the limit, with `more`, once it holds 32 MiB. Those in memory come without
                    a body: see store_recall */
    STORE_AT,    /* by places: the records there, in that order. Stops short once it holds 1 MiB; `passed` says how many
                    places it has gone over. One without a record is passed over */
    STORE_PRUNE, /* deletes runs that ended before `before_ms`, at most 1,000 an operation, and definitions that no
                    run in flight pins */
    STORE_SETTLE /* a driver's own: it writes down what it has put off */
};

/* FAILED: nothing is known to be on disk. The fault is BUSY where the queue was full or another program holds the file,
 * CONFLICT for an INSERT of an id that exists, TOO_LARGE or INTERNAL for a record that cannot be stored, IO for the
 * disk. */
enum store_outcome { STORE_DONE, STORE_EXISTS, STORE_MISSING, STORE_FAILED };

struct store_op {
    enum store_kind kind;
    struct loop *loop;
    void (*done)(struct store_op *op);
    void *arg;
    /* inputs: borrowed until done */
    struct store_record record;
    const char *definition_source;
    struct store_filter filter;
    const int64_t *places; /* AT */
    size_t place_count;
    int64_t before_ms;
    /* results, in `results`, which the op's owner ends with store_op_fini */
    enum store_outcome outcome;
    struct fault fault;         /* of STORE_FAILED */
    struct store_record *found; /* GET, FIND_KEY, LIST, AT, INSERT that EXISTS */
    size_t found_count;         /* PRUNE: how many were deleted */
    size_t passed;              /* AT */
    bool more;                  /* LIST: older ones exist; PRUNE: there may be more to delete */
    struct arena *results;
    /* private */
    struct store_op *next;
    uint64_t turn;
    int64_t since_ms;
    struct store *store;
    struct store_place {
        int64_t created_ms;
        uint64_t turn; /* of a record in memory; 0: of the driver's, which come behind those of their millisecond */
    } cursor;          /* LIST: where before_id is; created_ms 0: there is none */
};

struct store;

struct store_settings {
    const char *url;  /* "sqlite:stagedoor.db", "sqlite::memory:" is refused */
    size_t max_queue; /* writes that wait, and reads that wait; past it store_ready is false and a submit fails, BUSY */
    size_t max_kept;  /* bytes of runs that are over and kept in memory alone; the oldest make room for the newer */
};

/* Makes the file (mode 0600; its folder must exist) and its tables, brings an older file up to date, and keeps it from
 * being opened a second time. GIVES; NULL with a fault. */
struct store *store_open(const struct store_settings *settings, struct fault *fault);

/* Carries out what waits and answers it by messages to the loops, which must still exist: loops are freed after the
 * store, and nothing is submitted from here on, by a `done` neither. What is over and was kept in memory alone goes to
 * the disk, for whoever asks after the restart; gives how many could not. NULL is allowed. */
size_t store_close(struct store *store);
/* Any thread; where records may be in memory, the op's loop's own. */
void store_submit(struct store *store, struct store_op *op);
void store_op_fini(struct store_op *op); /* frees the results; the op may be used again */

/* The last commit went well and the queue has room. After one that failed the store tries again by itself, every
 * second. Any thread. */
bool store_ready(const struct store *store);
bool store_takes(const struct store *store, bool in_memory); /* would a record be taken there now? Any thread */

/* A run that is over, and kept in memory alone: its record is written when somebody reads it. */
struct store_source {
    void (*write)(const struct store_source *source, struct buf *out); /* any thread, several at a time */
    void (*end)(struct store_source *source);                          /* any thread, behind the last reference */
    const char *definition;                                            /* its source; as long as it lives */
    size_t bytes;                                                      /* that it takes */
    atomic_uint references;                                            /* 1 for whoever makes it */
};

void store_source_unref(struct store_source *source); /* NULL is allowed */
/* Of a record in memory that has ended: from here on it is read from `source`, of which a reference is taken. */
void store_keep(struct store *store, const char *id, struct store_source *source);
/* A record in memory that a list has found, as it is now, with its body. In `arena`; false: it is not kept (any more).
 */
bool store_recall(struct store *store, struct arena *arena, struct store_record *record);

/* Whether the disk has more to do than it can: more writes wait than make a commit worth its while, or one is not
 * carried out that has waited for longer than STORE_BEHIND_MS at `now_ms` (clock_mono_ms). Any thread; cheap. */
bool store_is_behind(const struct store *store, int64_t now_ms);

/* At start: where the runs are that have not ended, oldest first. A place stays its run's for as long as that is in the
 * store, and is nobody else's while the run is in flight. Blocking, and quick: no record is read. GIVES the places. */
bool store_places(struct store *store, int64_t **ret_places, size_t *ret_count, struct fault *fault);

/* The definition that a hash names. Blocking. GIVES; NULL with a fault. */
char *store_definition(struct store *store, const char *hash, struct fault *fault);

/* The store's key: 64 hexadecimal digits of chance, made once with the store and never changed, for signing what has to
 * be recognised after a restart. Blocking. GIVES; NULL with a fault. */
char *store_key(struct store *store, struct fault *fault);

#endif
