/* Counting: thread-local rows for what is hot, one table for what has labels.
 *
 * A thread's block is made at its first count, linked into a list, and never freed: a thread's counts outlive it.
 * Reading sums the blocks with relaxed loads; a scrape may be a moment behind, never wrong for long.
 *
 * What has labels is found by their hash. Sets are only ever added, at the head of a chain and under the lock, so that
 * finding one takes none. The text of a sample is made with its set, but for the number: a scrape of ten thousand of
 * them is little more than copying. */
#include "base/count.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

static const int64_t bounds_ms[] = {1,    2,    5,    10,    25,    50,    100,    250,    500,
                                    1000, 2500, 5000, 10000, 30000, 60000, 300000, 3600000};
#define BOUNDS (sizeof bounds_ms / sizeof *bounds_ms)

struct histogram {
    _Atomic int64_t below[BOUNDS + 1];
    _Atomic int64_t sum_ms;
};

struct block {
    struct block *next;
    _Atomic int64_t values[COUNT_END];
    struct histogram histograms[COUNT_HISTOGRAM_END];
};

struct labelled {
    struct labelled *chained; /* with the same hash; set before anybody can find it */
    struct labelled *next;    /* of the family, in the order of appearance; under the lock */
    enum count_family family;
    uint32_t hash;
    char *first, *second;
    char *sample; /* name and labels, as they are shown */
    size_t sample_len;
    _Atomic int64_t value;
};

struct family {
    const char *name, *first, *second;
    struct labelled *sets, **last;
};

#define CHAINS (1u << 14)
#define SAMPLE_MAX (1 << 20)
#define RECENT 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for what is added, and while it is shown */
static struct block *blocks;
static _Atomic(struct labelled *) chains[CHAINS];
static size_t set_count;
static struct family families[] = {
#define X(id, name, help, first, second) {COUNT_PREFIX name, first, second, NULL, NULL},
    COUNT_FAMILIES(X)
#undef X
};
static _Thread_local struct block *mine;
static _Thread_local struct labelled *recent[RECENT]; /* by where their labels were; sets stay for ever */

static struct block *my_block(void) {
    if (mine) return mine;
    mine = mem_alloc(sizeof *mine);
    pthread_mutex_lock(&lock);
    mine->next = blocks;
    blocks = mine;
    pthread_mutex_unlock(&lock);
    return mine;
}

void count_add(enum count id, int64_t n) {
    atomic_fetch_add_explicit(&my_block()->values[id], n, memory_order_relaxed);
}

static int64_t sum(enum count id) {
    int64_t total = 0;
    for (struct block *block = blocks; block; block = block->next)
        total += atomic_load_explicit(&block->values[id], memory_order_relaxed);
    return total;
}

int64_t count_read(enum count id) {
    pthread_mutex_lock(&lock);
    int64_t total = sum(id);
    pthread_mutex_unlock(&lock);
    return total;
}

/* ---- sets of labels ---- */

/* FNV-1a; who may choose labels may start runs. */
static uint32_t hash_of(enum count_family family, const char *first, const char *second) {
    uint32_t hash = 2166136261u ^ (uint32_t)family;
    for (; *first; first++) hash = (hash ^ (unsigned char)*first) * 16777619u;
    for (hash *= 16777619u; second && *second; second++) hash = (hash ^ (unsigned char)*second) * 16777619u;
    return hash ^ hash >> 15;
}

static bool is_of(const struct labelled *set, enum count_family family, const char *first, const char *second) {
    return set->family == family && text_same_cstr(set->first, first) && text_same_cstr(set->second, second);
}

static struct labelled *find(enum count_family family, const char *first, const char *second, uint32_t hash) {
    struct labelled *set = atomic_load_explicit(&chains[hash % CHAINS], memory_order_acquire);
    for (; set; set = set->chained)
        if (set->hash == hash && is_of(set, family, first, second)) return set;
    return NULL;
}

static void add_label(struct buf *out, const char *name, const char *value) {
    buf_addf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n') buf_adds(out, "\\n");
        else if (*value == '"' || *value == '\\') buf_addf(out, "\\%c", *value);
        else buf_addc(out, *value);
    }
    buf_addc(out, '"');
}

static void make_sample(const struct family *family, struct labelled *set) {
    struct buf out;
    buf_init(&out, SAMPLE_MAX);
    buf_addf(&out, "%s{", family->name);
    add_label(&out, family->first, set->first);
    if (family->second && set->second) buf_addc(&out, ','), add_label(&out, family->second, set->second);
    buf_adds(&out, "} ");
    set->sample_len = out.len;
    set->sample = buf_take(&out);
}

static struct labelled *set_new(enum count_family id, const char *first, const char *second, uint32_t hash) {
    struct family *family = &families[id];
    struct labelled *set = mem_alloc(sizeof *set);
    set->family = id;
    set->hash = hash;
    set->first = mem_strdup(first);
    set->second = mem_strdup(second);
    make_sample(family, set);
    *(family->last ? family->last : &family->sets) = set;
    family->last = &set->next;
    set_count++;
    set->chained = atomic_load_explicit(&chains[hash % CHAINS], memory_order_relaxed);
    atomic_store_explicit(&chains[hash % CHAINS], set, memory_order_release);
    return set;
}

/* Under the lock: another thread may have added it meanwhile. */
static struct labelled *find_or_add(enum count_family family, const char *first, const char *second) {
    uint32_t hash = hash_of(family, first, second);
    struct labelled *set = find(family, first, second, hash);
    return set ? set : set_new(family, first, second, hash);
}

/* Names of stages and of routes stay where they are, most words are the program's: whoever counts the same again has
 * the same addresses. What is found there is held against the labels. */
static struct labelled **place_of(enum count_family family, const char *first, const char *second) {
    uintptr_t mixed = (uintptr_t)first / 8 + (uintptr_t)second + (uintptr_t)family * 11;
    return &recent[mixed % RECENT];
}

static struct labelled *find_or_make(enum count_family family, const char *first, const char *second) {
    struct labelled *set = find(family, first, second, hash_of(family, first, second));
    if (set) return set;
    pthread_mutex_lock(&lock);
    if (set_count < COUNT_SETS_MAX) set = find_or_add(family, first, second);
    else set = find_or_add(family, COUNT_OTHERS, families[family].second ? COUNT_OTHERS : NULL);
    pthread_mutex_unlock(&lock);
    return set;
}

static struct labelled *set_of(enum count_family family, const char *first, const char *second) {
    struct labelled **place = place_of(family, first, second);
    if (!*place || !is_of(*place, family, first, second)) *place = find_or_make(family, first, second);
    return *place;
}

void count_add_labelled(enum count_family family, const char *first, const char *second, int64_t n) {
    atomic_fetch_add_explicit(&set_of(family, first, second)->value, n, memory_order_relaxed);
}

void count_set_labelled(enum count_family family, const char *first, const char *second, int64_t value) {
    atomic_store_explicit(&set_of(family, first, second)->value, value, memory_order_relaxed);
}

/* ---- histograms ---- */

void count_observe(enum count_histogram id, int64_t ms) {
    struct histogram *histogram = &my_block()->histograms[id];
    size_t i = 0;
    while (i < BOUNDS && ms > bounds_ms[i]) i++;
    atomic_fetch_add_explicit(&histogram->below[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ms, ms, memory_order_relaxed);
}

/* ---- the page ---- */

static void write_head(struct buf *out, const char *name, const char *help, const char *type) {
    buf_addf(out, "# HELP " COUNT_PREFIX "%s %s\n# TYPE " COUNT_PREFIX "%s %s\n", name, help, name, type);
}

static void write_family(struct buf *out, const struct family *family) {
    for (const struct labelled *set = family->sets; set; set = set->next) {
        buf_add(out, set->sample, set->sample_len);
        buf_addi(out, atomic_load_explicit(&set->value, memory_order_relaxed));
        buf_addc(out, '\n');
    }
}

static void write_histogram(struct buf *out, enum count_histogram id, const char *name) {
    int64_t total = 0, sum_ms = 0;
    for (size_t i = 0; i <= BOUNDS; i++) {
        for (struct block *block = blocks; block; block = block->next)
            total += atomic_load_explicit(&block->histograms[id].below[i], memory_order_relaxed);
        if (i < BOUNDS)
            buf_addf(out, COUNT_PREFIX "%s_bucket{le=\"%g\"} %lld\n", name, (double)bounds_ms[i] / 1000,
                     (long long)total);
    }
    for (struct block *block = blocks; block; block = block->next)
        sum_ms += atomic_load_explicit(&block->histograms[id].sum_ms, memory_order_relaxed);
    buf_addf(out, COUNT_PREFIX "%s_bucket{le=\"+Inf\"} %lld\n", name, (long long)total);
    buf_addf(out, COUNT_PREFIX "%s_sum %.3f\n" COUNT_PREFIX "%s_count %lld\n", name, (double)sum_ms / 1000, name,
             (long long)total);
}

static bool is_gauge(enum count_family id) {
    return id == COUNT_FAMILY_STAGE_STATE || id == COUNT_FAMILY_WAITING || id == COUNT_FAMILY_BREAKER;
}

void count_write(struct buf *out) {
    pthread_mutex_lock(&lock);
#define X(id, type, name, help)        \
    write_head(out, name, help, type); \
    buf_addf(out, COUNT_PREFIX "%s %lld\n", name, (long long)sum(COUNT_##id));
    COUNTS(X)
#undef X
#define X(id, name, help, first, second)                                            \
    write_head(out, name, help, is_gauge(COUNT_FAMILY_##id) ? "gauge" : "counter"); \
    write_family(out, &families[COUNT_FAMILY_##id]);
    COUNT_FAMILIES(X)
#undef X
#define X(id, name, help)                     \
    write_head(out, name, help, "histogram"); \
    write_histogram(out, COUNT_HISTOGRAM_##id, name);
    COUNT_HISTOGRAMS(X)
#undef X
    pthread_mutex_unlock(&lock);
}
