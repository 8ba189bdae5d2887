/* Counting: thread-local rows for what is hot, one locked table for what has labels.
 *
 * A thread's block is made at its first count, linked into a list, and never freed: a thread's counts outlive it.
 * Reading sums the blocks with relaxed loads; a scrape may be a moment behind, never wrong for long. */
#include "base/count.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"

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
    struct labelled *next; /* by family, then in the order of appearance */
    char *first, *second;
    int64_t value;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks;
static struct labelled *families[COUNT_FAMILY_END];
static _Thread_local struct block *mine;

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

static bool same(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static int64_t *labelled_value(enum count_family family, const char *first, const char *second) {
    struct labelled **at = &families[family];
    for (; *at; at = &(*at)->next)
        if (same((*at)->first, first) && same((*at)->second, second)) return &(*at)->value;
    struct labelled *row = mem_alloc(sizeof *row);
    row->first = mem_strdup(first);
    row->second = mem_strdup(second);
    *at = row;
    return &row->value;
}

void count_add_labelled(enum count_family family, const char *first, const char *second, int64_t n) {
    pthread_mutex_lock(&lock);
    *labelled_value(family, first, second) += n;
    pthread_mutex_unlock(&lock);
}

void count_set_labelled(enum count_family family, const char *first, const char *second, int64_t value) {
    pthread_mutex_lock(&lock);
    *labelled_value(family, first, second) = value;
    pthread_mutex_unlock(&lock);
}

void count_observe(enum count_histogram id, int64_t ms) {
    struct histogram *histogram = &my_block()->histograms[id];
    size_t i = 0;
    while (i < BOUNDS && ms > bounds_ms[i]) i++;
    atomic_fetch_add_explicit(&histogram->below[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ms, ms, memory_order_relaxed);
}

static void write_head(struct buf *out, const char *name, const char *help, const char *type) {
    buf_addf(out, "# HELP " COUNT_PREFIX "%s %s\n# TYPE " COUNT_PREFIX "%s %s\n", name, help, name, type);
}

static void write_label(struct buf *out, const char *name, const char *value) {
    buf_addf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n') buf_adds(out, "\\n");
        else if (*value == '"' || *value == '\\') buf_addf(out, "\\%c", *value);
        else buf_addc(out, *value);
    }
    buf_addc(out, '"');
}

static void write_family(struct buf *out, enum count_family id, const char *name, const char *first,
                         const char *second) {
    for (struct labelled *row = families[id]; row; row = row->next) {
        buf_addf(out, COUNT_PREFIX "%s{", name);
        write_label(out, first, row->first);
        if (second && row->second) buf_addc(out, ','), write_label(out, second, row->second);
        buf_addf(out, "} %lld\n", (long long)row->value);
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
    write_family(out, COUNT_FAMILY_##id, name, first, second);
    COUNT_FAMILIES(X)
#undef X
#define X(id, name, help)                     \
    write_head(out, name, help, "histogram"); \
    write_histogram(out, COUNT_HISTOGRAM_##id, name);
    COUNT_HISTOGRAMS(X)
#undef X
    pthread_mutex_unlock(&lock);
}
