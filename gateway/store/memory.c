/* The place of records that no disk has, behind the same operations.
 *
 * An entry is there from the run's first record until it is forgotten: while the run is in flight with the few words
 * that lists and keys need, afterwards with a source that writes the record for whoever reads it; nobody may. Those
 * that are over are forgotten from the oldest on, so that what they take stays below a bound.
 *
 * All of it is behind one lock, which is held for some hundred instructions: texts of records are made outside, and a
 * walk through the list lets go of it after every WALK_STEPS entries. Always holds: an entry is in both lists of the
 * order of making and, if it has a source, in the queue of those that are kept; `bytes` is the sum over that queue. */
#include "store/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/count.h"
#include "base/digest.h"
#include "base/index.h"
#include "store/driver.h"

#define BODY_MAX (64 << 20)
#define WALK_STEPS 256

struct entry {
    struct index_link by_id, by_key;
    struct entry *newer, *older; /* by their place: when they were made, and in which order */
    struct entry *next;          /* that was kept after it */
    struct store_place place;
    struct store_record record; /* its texts are in `texts` */
    struct store_source *source;
    size_t bytes;
    char texts[];
};

struct walk {
    struct walk *next;
    struct entry *at; /* goes on to the older one if this goes */
};

struct memory {
    pthread_mutex_t lock;
    struct index by_id, by_key;
    char secret[16];
    struct entry *newest, *oldest;
    struct entry *last; /* that was put in: the next one's place is near */
    struct entry *first_kept, *last_kept;
    struct walk *walks;
    uint64_t turns;
    size_t bytes, max_kept;
    atomic_size_t count; /* read without the lock: most gateways have none */
};

struct memory *memory_new(size_t max_kept) {
    struct memory *memory = mem_alloc(sizeof *memory);
    pthread_mutex_init(&memory->lock, NULL);
    memory->max_kept = max_kept;
    digest_random(memory->secret, sizeof memory->secret);
    return memory;
}

static bool is_empty(struct memory *memory) {
    return atomic_load_explicit(&memory->count, memory_order_relaxed) == 0;
}

static struct store_source *source_ref(struct store_source *source) {
    if (source) atomic_fetch_add(&source->references, 1);
    return source;
}

/* ---- finding ---- */

static bool same_id(const void *owner, const void *id) {
    return strcmp(((const struct entry *)owner)->record.id, id) == 0;
}

static bool same_key(const void *owner, const void *arg) {
    const struct store_record *record = &((const struct entry *)owner)->record, *wanted = arg;
    return strcmp(record->stage, wanted->stage) == 0 && strcmp(record->key, wanted->key) == 0;
}

static uint32_t hash_of_id(const char *id) {
    return index_hash(text_of(id), (struct text){0});
}

/* Of what callers choose, and all loops look for: a secret keeps them from choosing keys that collide. */
static uint32_t hash_of_key(const struct memory *memory, const struct store_record *record) {
    uint32_t seeded = index_hash((struct text){memory->secret, sizeof memory->secret}, text_of(record->stage));
    return index_hash((struct text){(const char *)&seeded, sizeof seeded}, text_of(record->key));
}

static struct entry *find_id(const struct memory *memory, const char *id) {
    return index_find(&memory->by_id, hash_of_id(id), same_id, id);
}

static struct entry *find_key(const struct memory *memory, const struct store_record *record) {
    return record->key ? index_find(&memory->by_key, hash_of_key(memory, record), same_key, record) : NULL;
}

/* ---- the order ---- */

static bool is_before(const struct store_place *a, const struct store_place *b) {
    return a->created_ms < b->created_ms || (a->created_ms == b->created_ms && a->turn < b->turn);
}

/* Loops differ by a millisecond, and a clock that is set by an hour: where the last one came, this one comes. */
static struct entry *find_older(const struct memory *memory, const struct entry *entry) {
    struct entry *older = memory->last;
    while (older && is_before(&entry->place, &older->place)) older = older->older;
    while (older && older->newer && is_before(&older->newer->place, &entry->place)) older = older->newer;
    return older;
}

static void link_in(struct memory *memory, struct entry *entry) {
    entry->older = find_older(memory, entry);
    entry->newer = entry->older ? entry->older->newer : memory->oldest;
    *(entry->older ? &entry->older->newer : &memory->oldest) = entry;
    *(entry->newer ? &entry->newer->older : &memory->newest) = entry;
    memory->last = entry;
}

static void link_out(struct memory *memory, struct entry *entry) {
    for (struct walk *walk = memory->walks; walk; walk = walk->next)
        if (walk->at == entry) walk->at = entry->older;
    if (memory->last == entry) memory->last = entry->older ? entry->older : entry->newer;
    *(entry->older ? &entry->older->newer : &memory->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &memory->newest) = entry->older;
}

/* ---- coming and going ---- */

static const char *put_text(char **at, const char *text) {
    if (!text) return NULL;
    size_t size = strlen(text) + 1;
    char *to = memcpy(*at, text, size);
    *at += size;
    return to;
}

static struct entry *entry_new(const struct store_record *record) {
    const char *const texts[] = {record->stage, record->key, record->definition};
    size_t size = sizeof(struct entry);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) size += texts[i] ? strlen(texts[i]) + 1 : 0;
    struct entry *entry = mem_alloc(size);
    char *at = entry->texts;
    entry->record = *record;
    entry->record.stage = put_text(&at, record->stage);
    entry->record.key = put_text(&at, record->key);
    entry->record.definition = put_text(&at, record->definition);
    entry->record.body = (struct text){0};
    entry->bytes = size;
    return entry;
}

bool memory_insert(struct memory *memory, const struct store_record *record) {
    struct entry *entry = entry_new(record);
    pthread_mutex_lock(&memory->lock);
    bool fresh = !find_id(memory, record->id) && !find_key(memory, record);
    if (fresh) {
        entry->place = (struct store_place){record->created_ms, ++memory->turns};
        index_add(&memory->by_id, &entry->by_id, hash_of_id(record->id), entry);
        if (record->key) index_add(&memory->by_key, &entry->by_key, hash_of_key(memory, record), entry);
        link_in(memory, entry);
        atomic_fetch_add_explicit(&memory->count, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&memory->lock);
    if (!fresh) mem_free(entry);
    return fresh;
}

bool memory_update(struct memory *memory, const struct store_record *record) {
    pthread_mutex_lock(&memory->lock);
    struct entry *entry = find_id(memory, record->id);
    if (entry) {
        entry->record.status = record->status;
        entry->record.updated_ms = record->updated_ms;
        entry->record.ended_ms = record->ended_ms;
    }
    pthread_mutex_unlock(&memory->lock);
    return entry;
}

static void take_out(struct memory *memory, struct entry *entry) {
    link_out(memory, entry);
    index_remove(&memory->by_id, &entry->by_id);
    if (entry->record.key) index_remove(&memory->by_key, &entry->by_key);
    atomic_fetch_sub_explicit(&memory->count, 1, memory_order_relaxed);
}

static struct entry *take_oldest_kept(struct memory *memory) {
    struct entry *entry = memory->first_kept;
    memory->first_kept = entry->next;
    memory->bytes -= entry->bytes;
    count_add(COUNT_RUNS_KEPT, -1);
    take_out(memory, entry);
    return entry;
}

/* Not under the lock: what ends may be large. */
static void end_all(struct entry *entry) {
    while (entry) {
        struct entry *next = entry->next;
        store_source_unref(entry->source);
        mem_free(entry);
        entry = next;
    }
}

void memory_drop(struct memory *memory, const char *id) {
    if (is_empty(memory)) return;
    pthread_mutex_lock(&memory->lock);
    struct entry *entry = find_id(memory, id);
    if (entry && entry->source) entry = NULL; /* it is over, and nobody can have more of it */
    if (entry) take_out(memory, entry);
    pthread_mutex_unlock(&memory->lock);
    mem_free(entry);
}

void memory_keep(struct memory *memory, const char *id, struct store_source *source) {
    struct entry *gone = NULL, **last = &gone;
    pthread_mutex_lock(&memory->lock);
    struct entry *entry = find_id(memory, id);
    if (entry && !entry->source) {
        entry->source = source_ref(source);
        entry->bytes += source->bytes;
        memory->bytes += entry->bytes;
        *(memory->first_kept ? &memory->last_kept->next : &memory->first_kept) = entry;
        memory->last_kept = entry;
        count_add(COUNT_RUNS_KEPT, 1);
    }
    while (memory->bytes > memory->max_kept) {
        *last = take_oldest_kept(memory);
        count_add(COUNT_RUNS_FORGOTTEN, 1);
        last = &(*last)->next;
    }
    *last = NULL;
    pthread_mutex_unlock(&memory->lock);
    end_all(gone);
}

/* False: that is all. */
static bool prune_some(struct memory *memory, int64_t before_ms) {
    struct entry *gone = NULL, **last = &gone;
    unsigned left = WALK_STEPS;
    pthread_mutex_lock(&memory->lock);
    while (left && memory->first_kept && memory->first_kept->record.ended_ms < before_ms) {
        *last = take_oldest_kept(memory);
        last = &(*last)->next;
        left--;
    }
    *last = NULL;
    pthread_mutex_unlock(&memory->lock);
    end_all(gone);
    return !left;
}

void memory_prune(struct memory *memory, int64_t before_ms) {
    while (!is_empty(memory) && prune_some(memory, before_ms)) {}
}

void memory_free(struct memory *memory) {
    if (!memory) return;
    while (memory->oldest) {
        struct entry *entry = memory->oldest;
        take_out(memory, entry);
        entry->next = NULL;
        end_all(entry);
    }
    index_fini(&memory->by_id);
    index_fini(&memory->by_key);
    pthread_mutex_destroy(&memory->lock);
    mem_free(memory);
}

/* ---- reading ---- */

static void copy_record(struct arena *arena, const struct entry *entry, struct store_record *to) {
    *to = entry->record;
    to->stage = arena_strdup(arena, to->stage);
    to->key = arena_strdup(arena, to->key);
    to->definition = arena_strdup(arena, to->definition);
}

static void write_body(struct arena *arena, struct store_source *source, struct store_record *record) {
    struct buf body;
    buf_init(&body, BODY_MAX);
    source->write(source, &body);
    record->body = (struct text){arena_strndup(arena, body.at, body.len), body.len};
    buf_fini(&body);
}

static bool give(struct memory *memory, struct store_op *op, bool by_key) {
    if (is_empty(memory)) return false;
    struct store_source *source = NULL;
    pthread_mutex_lock(&memory->lock);
    const struct entry *entry = by_key ? find_key(memory, &op->record) : find_id(memory, op->record.id);
    if (entry) {
        op->found = arena_new_of(store_results(op), struct store_record);
        op->found_count = 1;
        copy_record(op->results, entry, op->found);
        source = source_ref(entry->source);
    }
    pthread_mutex_unlock(&memory->lock);
    if (!entry) return false;
    op->outcome = STORE_DONE;
    if (source) write_body(op->results, source, op->found);
    else op->found->body = TEXT("{}"); /* in flight: its engine is asked first, and knows all of it */
    store_source_unref(source);
    return true;
}

bool memory_get(struct memory *memory, struct store_op *op) {
    return give(memory, op, false);
}

bool memory_find_key(struct memory *memory, struct store_op *op) {
    return give(memory, op, true);
}

bool memory_recall(struct memory *memory, struct arena *arena, struct store_record *record) {
    pthread_mutex_lock(&memory->lock);
    const struct entry *entry = find_id(memory, record->id);
    struct store_source *source = entry ? source_ref(entry->source) : NULL;
    if (source) copy_record(arena, entry, record);
    pthread_mutex_unlock(&memory->lock);
    if (!source) return false;
    write_body(arena, source, record);
    store_source_unref(source);
    return true;
}

struct store_source *memory_take(struct memory *memory, struct arena *arena, struct store_record *ret_record) {
    pthread_mutex_lock(&memory->lock);
    struct entry *entry = memory->first_kept ? take_oldest_kept(memory) : NULL;
    pthread_mutex_unlock(&memory->lock);
    if (!entry) return NULL;
    struct store_source *source = entry->source;
    copy_record(arena, entry, ret_record);
    write_body(arena, source, ret_record);
    mem_free(entry);
    return source;
}

/* ---- lists ---- */

bool memory_place(struct memory *memory, const char *id, struct store_place *ret_place) {
    if (is_empty(memory)) return false;
    pthread_mutex_lock(&memory->lock);
    const struct entry *entry = find_id(memory, id);
    if (entry) *ret_place = entry->place;
    pthread_mutex_unlock(&memory->lock);
    return entry;
}

static bool is_wanted(const struct store_record *record, const struct store_filter *filter) {
    if (strcmp(record->status, STORE_ATTACHED) == 0) return false;
    if (filter->since_ms && record->created_ms < filter->since_ms) return false;
    if (filter->status && strcmp(record->status, filter->status) != 0) return false;
    for (size_t i = 0; filter->stages && i < filter->stage_count; i++)
        if (strcmp(record->stage, filter->stages[i]) == 0) return true;
    if (filter->stages) return false;
    return !filter->sees || filter->sees(filter->rights, record->stage);
}

struct picked {
    struct store_record *items;
    size_t count;
    bool more;
};

/* Up to WALK_STEPS entries. False: that is all. */
static bool pick_some(struct store_op *op, struct walk *walk, int64_t least_ms, struct picked *picked) {
    for (unsigned i = 0; i < WALK_STEPS; i++, walk->at = walk->at->older) {
        if (!walk->at || walk->at->place.created_ms < least_ms) return false;
        if (op->cursor.created_ms && !is_before(&walk->at->place, &op->cursor)) continue;
        if (!is_wanted(&walk->at->record, &op->filter)) continue;
        picked->more = picked->count == op->filter.limit;
        if (picked->more) return false;
        copy_record(op->results, walk->at, &picked->items[picked->count++]);
    }
    return true;
}

static void pick(struct memory *memory, struct store_op *op, int64_t least_ms, struct picked *picked) {
    struct walk walk = {0};
    pthread_mutex_lock(&memory->lock);
    const struct entry *from = op->cursor.turn ? find_id(memory, op->filter.before_id) : NULL;
    walk.at = from ? from->older : memory->newest;
    walk.next = memory->walks;
    memory->walks = &walk;
    while (pick_some(op, &walk, least_ms, picked)) {
        pthread_mutex_unlock(&memory->lock);
        pthread_mutex_lock(&memory->lock);
    }
    struct walk **at = &memory->walks;
    while (*at != &walk) at = &(*at)->next;
    *at = walk.next;
    pthread_mutex_unlock(&memory->lock);
}

void memory_merge(struct memory *memory, struct store_op *op) {
    if (is_empty(memory)) return;
    size_t limit = op->filter.limit;
    struct store_record *others = op->found;
    size_t other_count = op->found_count, i = 0, j = 0;
    struct picked picked = {.items = arena_array_of(store_results(op), struct store_record, limit)};
    int64_t least_ms = op->more ? others[other_count - 1].created_ms : INT64_MIN; /* what the other place has behind it
                                                                                      is not known */
    pick(memory, op, least_ms, &picked);
    op->found = arena_array_of(op->results, struct store_record, limit);
    op->found_count = 0;
    while (op->found_count < limit && (i < picked.count || j < other_count)) {
        bool mine = i < picked.count && (j == other_count || picked.items[i].created_ms >= others[j].created_ms);
        op->found[op->found_count++] = mine ? picked.items[i++] : others[j++];
    }
    op->more = op->more || picked.more || i < picked.count || j < other_count;
}
