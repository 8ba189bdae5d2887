/* The newest runs, which have no rows yet.
 *
 * A run that ends at its first reply would have its row written twice, and its group changed: to be in flight for some
 * milliseconds. So the runs that begin in one commit share a row (a note, in `run_starts`) with all of their records,
 * and a run gets a row of its own with the first change, which is the end of most. A note whose runs have rows goes.
 *
 * Rows are given in the order of places: whoever is older than a run that changed gets its row too, as it is. So rows
 * are added to the end of the table, and the notes are what would follow it. They are few: TAIL_BYTES of records.
 *
 * Whoever reads runs knows nothing of this: all get rows before they are listed, or one of them is asked for
 * (STORE_SETTLE). That is rare: their engines know more of them.
 *
 * Always holds after a commit: a run in flight has a row, or is in a note and here; a run with a row counts for no
 * note, whether it is still in one or not. */
#include "store/sqlite_tail.h"

#include <pthread.h>
#include <string.h>

#include "base/index.h"
#include "store/sqlite_note.h"
#include "store/sqlite_op.h"
#include "store/sqlite_place.h"
#include "store/sqlite_row.h"

#ifdef TINY_LIMITS
#define TAIL_BYTES (16 << 10)
#else
#define TAIL_BYTES (128 << 10)
#endif
#define RECORD_BYTES (8 << 10)  /* of a run that is noted */
#define CHANGE_BYTES (64 << 10) /* of a change that waits for the commit */

struct note {
    int64_t seq;
    size_t runs;    /* that have no rows */
    size_t leaving; /* of them, with this transaction */
    bool dropped;   /* by it */
    struct note *next;
};

struct tail_run {
    struct index_link by_id, by_key; /* by_key: if it has one */
    struct row row;                  /* its stage, key and body stand behind it; no status, no definition */
    size_t bytes;
    struct note *note; /* NULL: begun in this transaction */
    /* of this transaction */
    struct store_op *change;
    int64_t change_group;
    bool has_row;
};

struct tail {
    struct tail_run **runs; /* in the order of their places */
    size_t count, room;
    struct row *rows; /* as many as there is room for runs; given by the last give_rows() */
    size_t row_count;
    size_t bytes;
    pthread_mutex_t lock; /* held while the two change, and by other threads */
    struct index ids, keys;
    struct note *notes;
    int64_t last_seq;
    struct buf text; /* of the note at hand */
    /* of this transaction */
    int64_t upto; /* a place: the last of those that changed; -1: none */
    size_t begun;
    struct note *noted;
};

/* ---- who is here ---- */

size_t tail_count(const struct sqlite_connection *c) {
    return c->tail ? c->tail->count : 0;
}

size_t tail_bytes(const struct sqlite_connection *c) {
    return c->tail ? c->tail->bytes : 0;
}

static uint32_t hash_of(const char *id) {
    return index_hash(text_of(id), (struct text){0});
}

static uint32_t hash_of_key(const struct store_record *record) {
    return index_hash(text_of(record->stage), text_of(record->key));
}

static bool same_id(const void *owner, const void *id) {
    const struct tail_run *run = owner;
    return strcmp(run->row.record.id, id) == 0;
}

static bool same_key(const void *owner, const void *record) {
    const struct store_record *one = &((const struct tail_run *)owner)->row.record, *other = record;
    return strcmp(one->key, other->key) == 0 && strcmp(one->stage, other->stage) == 0;
}

static struct tail_run *find_id(const struct tail *tail, const char *id) {
    return index_find(&tail->ids, hash_of(id), same_id, id);
}

static struct tail_run *find_key(const struct tail *tail, const struct store_record *it) {
    return it->key ? index_find(&tail->keys, hash_of_key(it), same_key, it) : NULL;
}

/* One that has a row now is still here until the commit. */
static struct tail_run *without_row(struct tail_run *run) {
    return run && !run->has_row ? run : NULL;
}

struct tail_run *tail_find(const struct sqlite_connection *c, const char *id) {
    return without_row(find_id(c->tail, id));
}

bool tail_has(const struct sqlite_connection *c, const struct store_record *it) {
    return tail_find(c, it->id) || without_row(find_key(c->tail, it));
}

bool tail_may_have(const struct sqlite_connection *c, const struct store_record *it) {
    pthread_mutex_lock(&c->tail->lock);
    bool named = find_id(c->tail, it->id) || find_key(c->tail, it);
    pthread_mutex_unlock(&c->tail->lock);
    return named;
}

int64_t tail_place_before(const struct sqlite_connection *c, int64_t before) {
    for (size_t i = tail_count(c); i > 0; i--)
        if (c->tail->runs[i - 1]->row.place < before) return c->tail->runs[i - 1]->row.place;
    return -1;
}

/* ---- runs that begin ---- */

static size_t size_of(const struct store_record *record) {
    size_t texts = strlen(record->id) + strlen(record->stage) + (record->key ? strlen(record->key) : 0);
    return 8 * sizeof(uint64_t) + texts + record->body.len;
}

bool tail_takes(const struct store_record *record) {
    return !record->ended_ms && size_of(record) <= RECORD_BYTES;
}

static char *put_behind(char **at, const char *from, size_t len) {
    char *to = *at;
    if (len) memcpy(to, from, len);
    to[len] = 0;
    *at = to + len + 1;
    return to;
}

static void place_in_order(struct tail *tail, struct tail_run *run) {
    if (tail->count == tail->room) {
        tail->room = tail->room ? 2 * tail->room : 64;
        tail->runs = mem_resize(tail->runs, tail->room * sizeof *tail->runs);
        tail->rows = mem_resize(tail->rows, tail->room * sizeof *tail->rows);
    }
    size_t at = tail->count++;
    for (; at > 0 && tail->runs[at - 1]->row.place > run->row.place; at--) tail->runs[at] = tail->runs[at - 1];
    tail->runs[at] = run;
}

static struct tail_run *add(struct tail *tail, const struct row *row) {
    const struct store_record *record = &row->record;
    size_t bytes = size_of(record);
    struct tail_run *run = mem_alloc(sizeof *run + bytes + 3);
    char *at = (char *)(run + 1);
    run->row = *row;
    run->row.record.stage = put_behind(&at, record->stage, strlen(record->stage));
    run->row.record.key = record->key ? put_behind(&at, record->key, strlen(record->key)) : NULL;
    run->row.record.body.at = put_behind(&at, record->body.at, record->body.len);
    run->row.record.status = run->row.record.definition = NULL;
    run->bytes = bytes;
    place_in_order(tail, run);
    pthread_mutex_lock(&tail->lock);
    index_add(&tail->ids, &run->by_id, hash_of(record->id), run);
    if (record->key) index_add(&tail->keys, &run->by_key, hash_of_key(record), run);
    pthread_mutex_unlock(&tail->lock);
    tail->bytes += bytes;
    return run;
}

void tail_add(struct sqlite_connection *c, const struct row *row) {
    add(c->tail, row);
    c->tail->begun++;
}

/* Its place in the order is its caller's to mend. */
static void forget(struct tail *tail, struct tail_run *run) {
    pthread_mutex_lock(&tail->lock);
    index_remove(&tail->ids, &run->by_id);
    if (run->row.record.key) index_remove(&tail->keys, &run->by_key);
    pthread_mutex_unlock(&tail->lock);
    tail->bytes -= run->bytes;
    mem_free(run);
}

/* ---- notes ---- */

static int write_note(struct sqlite_connection *c) {
    struct tail *tail = c->tail;
    sqlite3_stmt *s;
    buf_clear(&tail->text);
    for (size_t i = 0; i < tail->count; i++)
        if (!tail->runs[i]->note && !tail->runs[i]->has_row) note_put(&tail->text, &tail->runs[i]->row);
    if (tail->text.len == 0) return SQLITE_OK;
    int rc = tail->text.full ? SQLITE_INTERNAL : statement_find(c, STATEMENT_ADD_STARTS, &s);
    if (rc != SQLITE_OK) return rc;
    tail->noted = mem_alloc(sizeof *tail->noted);
    tail->noted->seq = tail->last_seq + 1;
    sqlite3_bind_int64(s, 1, tail->noted->seq);
    row_bind_body(s, 2, buf_text(&tail->text));
    return statement_settle(s, sqlite3_step(s));
}

static int drop_notes(struct sqlite_connection *c) {
    int rc = SQLITE_OK;
    for (struct note *note = c->tail->notes; note && rc == SQLITE_OK; note = note->next) {
        if (note->dropped || note->leaving < note->runs) continue;
        sqlite3_stmt *s;
        rc = statement_find(c, STATEMENT_DROP_STARTS, &s);
        if (rc != SQLITE_OK) break;
        sqlite3_bind_int64(s, 1, note->seq);
        rc = statement_settle(s, sqlite3_step(s));
        note->dropped = true;
    }
    return rc;
}

/* ---- rows ---- */

static bool gets_row(const struct tail_run *run, int64_t upto) {
    return !run->has_row && run->row.place <= upto;
}

static void give_row(struct tail *tail, struct tail_run *run) {
    struct row *row = &tail->rows[tail->row_count++];
    *row = run->row;
    run->has_row = true;
    if (!run->change) return;
    row->group = run->change_group;
    row->record.updated_ms = run->change->record.updated_ms;
    row->record.ended_ms = run->change->record.ended_ms;
    row->record.body = run->change->record.body;
}

/* Nobody here has its id or its key: that was seen to when it came. But somebody else may have written to the file:
 * then the run has no record any more, as its engine is to know. */
static void miss_rows(struct tail *tail) {
    for (size_t i = 0; i < tail->row_count; i++) {
        if (tail->rows[i].added) continue;
        struct tail_run *run = find_id(tail, tail->rows[i].record.id);
        if (run->change) run->change->outcome = STORE_MISSING;
    }
}

/* Not one alone: what these codes are said of has been done in part. */
static int add_rows(struct sqlite_connection *c) {
    struct tail *tail = c->tail;
    int rc = tail->row_count ? row_add(c, tail->rows, tail->row_count) : SQLITE_OK;
    if (rc == SQLITE_OK) miss_rows(tail);
    return sqlite_op_fails_alone(rc) ? SQLITE_ABORT : rc;
}

/* Notes go first, so that their pages are used again. */
static int give_rows(struct sqlite_connection *c, int64_t upto) {
    struct tail *tail = c->tail;
    tail->row_count = 0;
    for (size_t i = 0; i < tail->count; i++) {
        if (!gets_row(tail->runs[i], upto)) continue;
        if (tail->runs[i]->note) tail->runs[i]->note->leaving++;
        give_row(tail, tail->runs[i]);
    }
    int rc = drop_notes(c);
    return rc == SQLITE_OK ? add_rows(c) : rc;
}

int tail_settle(struct sqlite_connection *c) {
    return tail_count(c) ? give_rows(c, INT64_MAX) : SQLITE_OK;
}

int tail_change(struct sqlite_connection *c, struct tail_run *run, struct store_op *op, int64_t group,
                bool *ret_taken) {
    *ret_taken = !run->change && op->record.body.len <= CHANGE_BYTES;
    if (!*ret_taken) return give_rows(c, run->row.place);
    run->change = op;
    run->change_group = group;
    if (run->row.place > c->tail->upto) c->tail->upto = run->row.place;
    return SQLITE_OK;
}

/* ---- the transaction's end ---- */

/* The oldest leave if they are too many, at once as many as would do for the next few commits. */
static int64_t upto_of(const struct tail *tail) {
    size_t bytes = 0, i = tail->count;
    int64_t upto = tail->upto;
    for (size_t k = 0; k < tail->count; k++)
        if (!tail->runs[k]->has_row && tail->runs[k]->row.place > upto) bytes += tail->runs[k]->bytes;
    if (bytes <= TAIL_BYTES) return upto;
    for (bytes = 0; bytes <= TAIL_BYTES / 2; i--)
        if (!tail->runs[i - 1]->has_row) bytes += tail->runs[i - 1]->bytes;
    return tail->runs[i]->row.place;
}

int tail_write(struct sqlite_connection *c) {
    if (!tail_count(c)) return SQLITE_OK;
    int64_t upto = upto_of(c->tail);
    int rc = upto >= 0 ? give_rows(c, upto) : SQLITE_OK;
    return rc == SQLITE_OK && c->tail->begun ? write_note(c) : rc;
}

static void free_note(struct note **at) {
    struct note *note = *at;
    *at = note->next;
    mem_free(note);
}

static void keep_run(struct tail *tail, struct tail_run *run) {
    if (!run->note) {
        run->note = tail->noted;
        tail->noted->runs++;
    }
    tail->runs[tail->count++] = run;
}

static void next_transaction(struct tail *tail) {
    tail->upto = -1;
    tail->begun = 0;
    tail->noted = NULL;
}

void tail_keep(struct sqlite_connection *c) {
    struct tail *tail = c->tail;
    size_t count = tail_count(c);
    if (!count) return;
    tail->count = 0;
    for (size_t i = 0; i < count; i++)
        if (tail->runs[i]->has_row) forget(tail, tail->runs[i]);
        else keep_run(tail, tail->runs[i]);
    for (struct note **at = &tail->notes; *at;) {
        (*at)->runs -= (*at)->leaving;
        (*at)->leaving = 0;
        if ((*at)->dropped) free_note(at);
        else at = &(*at)->next;
    }
    if (tail->noted) {
        tail->last_seq = tail->noted->seq;
        tail->noted->next = tail->notes;
        tail->notes = tail->noted;
    }
    next_transaction(tail);
}

void tail_undo(struct sqlite_connection *c) {
    struct tail *tail = c->tail;
    size_t count = tail_count(c);
    if (!count) return;
    tail->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct tail_run *run = tail->runs[i];
        run->change = NULL;
        run->has_row = false;
        if (run->note) tail->runs[tail->count++] = run;
        else forget(tail, run);
    }
    for (struct note *note = tail->notes; note; note = note->next) note->leaving = 0, note->dropped = false;
    mem_free(tail->noted);
    next_transaction(tail);
}

void tail_free(struct tail *tail) {
    if (!tail) return;
    for (size_t i = 0; i < tail->count; i++) forget(tail, tail->runs[i]);
    while (tail->notes) free_note(&tail->notes);
    index_fini(&tail->ids);
    index_fini(&tail->keys);
    pthread_mutex_destroy(&tail->lock);
    buf_fini(&tail->text);
    mem_free(tail->noted);
    mem_free(tail->runs);
    mem_free(tail->rows);
    mem_free(tail);
}

/* ---- after a restart ---- */

static int load_run(struct sqlite_connection *c, const struct row *row, struct note *note) {
    int64_t place;
    int rc = place_find(c, row->record.id, &place);
    if (rc != SQLITE_OK || place >= 0) return rc;
    add(c->tail, row)->note = note;
    note->runs++;
    return rc;
}

static int load_note(struct sqlite_connection *c, int64_t seq, struct text text) {
    struct tail *tail = c->tail;
    struct note *note = mem_alloc(sizeof *note);
    struct arena *arena = arena_new();
    struct row row;
    int rc = SQLITE_OK;
    note->seq = tail->last_seq = seq;
    note->next = tail->notes;
    tail->notes = note;
    while (text.len && rc == SQLITE_OK) rc = note_take(arena, &text, &row) ? load_run(c, &row, note) : SQLITE_CORRUPT;
    arena_free(arena);
    return rc;
}

static struct tail *tail_new(void) {
    struct tail *tail = mem_alloc(sizeof *tail);
    pthread_mutex_init(&tail->lock, NULL);
    buf_init(&tail->text, TAIL_BYTES + 1);
    tail->upto = -1;
    return tail;
}

int tail_load(struct sqlite_connection *c) {
    sqlite3_stmt *s;
    c->tail = tail_new();
    int rc = statement_find(c, STATEMENT_EACH_STARTS, &s);
    if (rc != SQLITE_OK) return rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *records = sqlite3_column_blob(s, 1); /* before its length is asked for */
        rc = load_note(c, sqlite3_column_int64(s, 0), (struct text){records, (size_t)sqlite3_column_bytes(s, 1)});
        if (rc != SQLITE_OK) break;
    }
    return statement_settle(s, rc);
}
