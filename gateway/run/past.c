/* Histories by stage, each filled from the store when it is first asked for.
 *
 * Every engine has its own: which engine a run belongs to is a matter of chance, so that each sees a fair sample, and
 * no lock is needed. Only runs that succeeded count; one that failed in its first second says nothing about how long
 * the work takes. Time that a run waited for its turn does not count either. What the store answers is put before what
 * ended meanwhile, since it is older. */
#include "run/past.h"

#include <string.h>

#include "base/mem.h"
#include "run/run.h"

struct past {
    struct past *next;
    struct index_link link;
    char *stage;
    const char *stages[1];
    struct history history;
    struct store_op op;
};

static bool same_stage(const void *owner, const void *stage) {
    return strcmp(((const struct past *)owner)->stage, stage) == 0;
}

static void on_listed(struct store_op *op) {
    struct past *past = op->arg;
    const struct history newer = past->history;
    past->history = (struct history){0};
    for (size_t i = op->outcome == STORE_DONE ? op->found_count : 0; i-- > 0;) {
        if (op->found[i].in_memory) continue; /* when it began, its record would say, which nobody has made */
        int64_t begun_ms = run_record_begun_ms(&op->found[i]);
        if (begun_ms) history_add(&past->history, op->found[i].ended_ms - begun_ms);
    }
    size_t first = newer.count < HISTORY_KEPT ? 0 : newer.next;
    for (size_t i = 0; i < newer.count; i++) history_add(&past->history, newer.newest[(first + i) % HISTORY_KEPT]);
    store_op_fini(op);
}

static void load(struct past *past, struct loop *loop, struct store *store) {
    past->stages[0] = past->stage;
    past->op = (struct store_op){
        .kind = STORE_LIST,
        .loop = loop,
        .done = on_listed,
        .arg = past,
        .filter = {.stages = past->stages, .stage_count = 1, .status = "SUCCEEDED", .limit = HISTORY_KEPT}};
    store_submit(store, &past->op);
}

struct history *pasts_find(struct pasts *pasts, struct loop *loop, struct store *store, const char *stage) {
    uint32_t hash = index_hash(text_of(stage), (struct text){0});
    struct past *past = index_find(&pasts->by_stage, hash, same_stage, stage);
    if (past) return &past->history;
    past = mem_alloc(sizeof *past);
    past->stage = mem_strdup(stage);
    past->next = pasts->first;
    pasts->first = past;
    index_add(&pasts->by_stage, &past->link, hash, past);
    if (store) load(past, loop, store);
    return &past->history;
}

void pasts_fini(struct pasts *pasts) {
    while (pasts->first) {
        struct past *past = pasts->first;
        pasts->first = past->next;
        store_op_fini(&past->op);
        mem_free(past->stage);
        mem_free(past);
    }
    index_fini(&pasts->by_stage);
}
